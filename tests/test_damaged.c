/* test_damaged.c: 10,000 damaged files, and not one crash, hang or wild allocation.
 *
 * Good files of each format are made here, damaged by a seeded generator, and loaded. A loader must refuse with one
 * line that names the file, or hand out something sane, each byte of which is then touched. Checksums are mostly mended
 * after the damage: else they would refuse everything, and the code behind them would never see a damaged byte.
 *
 *   test_damaged             10,000 files; build it with -fsanitize=address,undefined to see each wrong step
 *   test_damaged SEED        others */
#define ERROR_IMPLEMENTATION
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The headers below ask for memory here, and the largest request is noted. */
static size_t largest;

void *counted_malloc(size_t size) { if (size > largest) largest = size; return malloc(size); }
void *counted_calloc(size_t n, size_t size) { if (n * size > largest) largest = n * size; return calloc(n, size); }
void *counted_realloc(void *old, size_t size) { if (size > largest) largest = size; return realloc(old, size); }
void counted_free(void *p) { free(p); }
#define malloc counted_malloc
#define calloc counted_calloc
#define realloc counted_realloc
#include "stb_image_write.h"
unsigned char *stbi_zlib_compress(unsigned char *data, int length, int *packed, int quality);
#define FILES_IMPLEMENTATION
#define SAFETENSORS_IMPLEMENTATION
#include "core/safetensors.h"
#define IMAGES_IMPLEMENTATION
#include "images/images.h"
#undef malloc
#undef calloc
#undef realloc
#include "test.h"

#if defined __SANITIZE_ADDRESS__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum { ROOM = 1 << 17, SEEDS = 6 };
typedef struct { unsigned char bytes[ROOM]; size_t n; } File;

static char folder[200], path[300], where[500];          /* where: what to print if the program dies */
static volatile double sum;                             /* everything that is read is added here, so that it is read */

/* ---- chance: splitmix64, a counter and a hash of it -------------------------------------------------------------- */

static uint64_t counter;

static uint64_t chance(void) {
    uint64_t x = counter += 0x9E3779B97F4A7C15;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
    x = (x ^ x >> 27) * 0x94D049BB133111EB;
    return x ^ x >> 31;
}

static size_t below(size_t n) { return n ? (size_t)(chance() % n) : 0; }

/* ---- files and small numbers in them ----------------------------------------------------------------------------- */

static void store(const char *to, const File *f) {
    FILE *out = fopen(to, "wb");
    if (!out || fwrite(f->bytes, 1, f->n, out) != f->n || fclose(out)) { perror(to); exit(1); }
}

static void fetch(const char *from, File *f) {
    FILE *in = fopen(from, "rb");
    if (!in) { perror(from); exit(1); }
    f->n = fread(f->bytes, 1, ROOM, in);
    fclose(in);
}

static void append(void *file, void *bytes, int n) {    /* also what stb's writers call */
    File *f = file;
    if (n < 0 || f->n + (size_t)n > ROOM) { printf("a seed is too large\n"); exit(1); }
    memcpy(f->bytes + f->n, bytes, (size_t)n);
    f->n += (size_t)n;
}

static void put(unsigned char *to, uint64_t value, int bytes, int big_endian) {
    for (int i = 0; i < bytes; i++) to[big_endian ? bytes - 1 - i : i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get(const unsigned char *from, int bytes, int big_endian) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)from[big_endian ? bytes - 1 - i : i] << 8 * i;
    return value;
}

/* Replaces `old` bytes at `at` by `new` ones (which do not lie in f). */
static void replace(File *f, size_t at, size_t old, const void *bytes, size_t new) {
    if (f->n - old + new > ROOM) return;
    memmove(f->bytes + at + new, f->bytes + at + old, f->n - at - old);
    memcpy(f->bytes + at, bytes, new);
    f->n += new - old;
}

/* ---- good files -------------------------------------------------------------------------------------------------- */

static void seed_safetensors(File *f, int k) {
    static const double values[64] = {1, -2, 0.5, 1e300, 4e-320};
    static const uint16_t halves[8] = {0x3C00, 0x7C00, 0xFFFF, 1};
    static const StTensor some[] = {
        {"g.1.w", "F32", 4, {2, 3, 1, 4}, values, 96},          {"g.1.b", "F64", 1, {3}, values, 24},
        {"h", "F16", 2, {2, 2}, halves, 8},                     {"brain", "BF16", 1, {4}, halves, 8},
        {"\xE8\xA1\xA3 \"\\\n", "I64", 0, {0}, values, 8},     {"none", "U8", 2, {0, 7}, NULL, 0},
    };
    static const StMeta meta[] = {{"step", "500"}, {"options", "{\"recipe\": \"dcgan\",\n\"\xF0\x9F\x91\x97\"}"}};
    static StTensor many[40];
    static char names[40][16];
    for (int i = 0; i < 40; i++) {
        snprintf(names[i], sizeof names[i], "n%d", i);
        many[i] = (StTensor){names[i], i % 3 ? "U8" : "F32", 1, {i % 5}, values, (size_t)(i % 5) * (i % 3 ? 1 : 4)};
    }
    int ok = k == 0 ? st_write(path, some, 6, meta, 2) : k == 1 ? st_write(path, some, 1, NULL, 0) :
             k == 2 ? st_write(path, many, 40, NULL, 0) : k == 3 ? st_write(path, NULL, 0, meta, 2) :
             k == 4 ? st_write(path, some + 1, 5, meta, 1) : st_write(path, NULL, 0, NULL, 0);
    if (!ok) { puts(error_text()); exit(1); }
    fetch(path, f);
}

static void seed_picture_bytes(unsigned char *pixels, int n) {
    for (int i = 0; i < n; i++) pixels[i] = (unsigned char)(i % 7 < 3 ? (uint64_t)i * 5 : chance());
}

static void seed_png(File *f, int k) {
    static const int size[SEEDS][3] = {{5, 7, 1}, {9, 4, 2}, {16, 16, 3}, {12, 5, 4}, {1, 1, 3}, {40, 30, 4}};
    unsigned char pixels[4800];
    seed_picture_bytes(pixels, sizeof pixels);
    f->n = 0;
    stbi_write_png_to_func(append, f, size[k][0], size[k][1], size[k][2], pixels, 0);
    if (k == 3) {                                       /* a palette picture: 12x5 indices, all of them below 4 */
        for (int i = 0; i < 60; i++) pixels[i] &= 3;
        f->n = 0;
        stbi_write_png_to_func(append, f, 12, 5, 1, pixels, 0);
        static const unsigned char palette[] = "\0\0\0\14PLTE\0\0\0\377\0\0\0\377\0\0\0\377cccc\0\0\0\2tRNS\0\200cccc";
        f->bytes[25] = 3;
        replace(f, 33, 0, palette, sizeof palette - 1);
    }
}

static void seed_jpeg(File *f, int k) {
    static const int size[SEEDS][4] = {{8, 8, 3, 95},   {17, 9, 3, 80}, {16, 16, 1, 90},     /* w, h, c, quality */
                                       {33, 20, 3, 50}, {1, 1, 3, 90},  {24, 40, 3, 95}};
    unsigned char pixels[4800];
    seed_picture_bytes(pixels, sizeof pixels);
    f->n = 0;
    stbi_write_jpg_to_func(append, f, size[k][0], size[k][1], size[k][2], pixels, size[k][3]);
}

static void seed_bmp(File *f, int k) {
    unsigned char pixels[4800];
    seed_picture_bytes(pixels, sizeof pixels);
    f->n = 0;
    if (k < 4) { stbi_write_bmp_to_func(append, f, 5 + 3 * k, 7 + k, k % 2 ? 4 : 3, pixels); return; }
    /* 8 (or 4) bits with a palette of 16: 14 + 40 bytes of header, 64 of palette, 6 rows of 8 */
    int bits = k == 4 ? 8 : 4;
    memset(f->bytes, 0, 54);
    memcpy(f->bytes, "BM", 2);
    put(f->bytes + 2, 166, 4, 0), put(f->bytes + 10, 118, 4, 0), put(f->bytes + 14, 40, 4, 0);
    put(f->bytes + 18, 7, 4, 0), put(f->bytes + 22, 6, 4, 0), put(f->bytes + 26, 1, 2, 0);
    put(f->bytes + 28, (uint64_t)bits, 2, 0), put(f->bytes + 46, 16, 4, 0);
    f->n = 54;
    append(f, pixels, 64);
    for (int i = 0; i < 48; i++) pixels[i] &= 15;
    append(f, pixels, 48);
}

static void seed_tga(File *f, int k) {
    unsigned char pixels[4800];
    seed_picture_bytes(pixels, sizeof pixels);
    f->n = 0;
    stbi_write_tga_with_rle = k % 2;
    stbi_write_tga_to_func(append, f, 6 + k, 9, 1 + k % 4, pixels);
}

static void seed_pat(File *f, int k) {
    unsigned char pixels[4800];
    int w = 3 + 2 * k, h = 8 - k, c = 1 + k % 4;
    seed_picture_bytes(pixels, sizeof pixels);
    memset(f->bytes, 0, 32);
    const uint32_t header[] = {24 + 8, 1, (uint32_t)w, (uint32_t)h, (uint32_t)c};
    for (int i = 0; i < 5; i++) put(f->bytes + 4 * i, header[i], 4, 1);
    memcpy(f->bytes + 20, "GPATtartan", 10);
    f->n = 32;
    append(f, pixels, w * h * c);
}

static void seed_idx(File *f, int k) {
    static const uint32_t size[SEEDS][3] = {{3, 4, 5}, {1, 1, 1}, {10, 28, 28}, {2, 8, 3}, {7, 2, 2}, {3, 16, 16}};
    unsigned char pixels[8000];
    seed_picture_bytes(pixels, sizeof pixels);
    put(f->bytes, 0x803, 4, 1);
    for (int i = 0; i < 3; i++) put(f->bytes + 4 + 4 * i, size[k][i], 4, 1);
    f->n = 16;
    append(f, pixels, (int)(size[k][0] * size[k][1] * size[k][2]));
}

static void seed_labels(File *f, int k) {               /* for the three pictures of seed_idx(0) */
    static const unsigned char label[SEEDS][3] = {{0, 1, 2}, {9, 9, 9}, {0, 0, 0}, {255, 0, 3}, {1, 2, 3}, {4, 0, 4}};
    put(f->bytes, 0x801, 4, 1);
    put(f->bytes + 4, 3, 4, 1);
    memcpy(f->bytes + 8, label[k], 3);
    f->n = 11;
}

/* gzip of f: a header, here with a name, what stb's zlib writes less its own header and checksum, CRC-32, size. */
static void zip(File *f) {
    static const unsigned char head[] = {0x1F, 0x8B, 8, 8, 1, 2, 3, 4, 0, 3, 'i', 'd', 'x', 0};
    int n;
    uint32_t crc = crc32_of(f->bytes, f->n);
    size_t size = f->n;
    unsigned char *packed = stbi_zlib_compress(f->bytes, (int)f->n, &n, 8);
    f->n = 0;
    append(f, (void *)head, sizeof head);
    append(f, packed + 2, n - 6);
    free(packed);
    put(f->bytes + f->n, crc, 4, 0);
    put(f->bytes + f->n + 4, size, 4, 0);
    f->n += 8;
}

static void seed_gz(File *f, int k) { seed_idx(f, k); zip(f); }

/* ---- damage ------------------------------------------------------------------------------------------------------ */

/* A place in the file; every other time near its beginning, where the headers are. */
static size_t place(const File *f) { return below(chance() % 2 || f->n < 64 ? f->n : 64); }

static void damage(File *f, const File *other) {
    static const uint64_t hostile[] = {
        0, 1, 2, 0xFF, 0x4000, 0x4001, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE,
        0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFF8, 0xFFFFFFFFFFFFFFFF,
    };
    static const unsigned char levels[] = {0x00, 0xFF, 0x7F, 0x80};
    static File copy;
    size_t at = place(f), n;
    switch (f->n ? below(9) : 7) {
    case 0:                                             /* cut */
        f->n = at;
        break;
    case 1: case 2:                                     /* flip bits */
        for (n = 1 + below(8); n; n--) f->bytes[place(f)] ^= (unsigned char)(1 << below(8));
        break;
    case 3:                                             /* a run of one value */
        n = 1 + below(16);
        memset(f->bytes + at, levels[below(4)], n < f->n - at ? n : f->n - at);
        break;
    case 4: case 5: {                                   /* a number that hurts; most numbers lie at even places */
        int width = 2 << below(3);
        if (chance() % 4) at &= ~(size_t)1;
        n = below(sizeof hostile / sizeof *hostile);
        if (at + (size_t)width <= f->n) put(f->bytes + at, hostile[n], width, chance() % 2);
        break;
    }
    case 6:                                             /* a piece is missing, or there twice */
        n = 1 + below(f->n - at < 200 ? f->n - at : 200);
        if (n > f->n - at) n = f->n - at;
        memcpy(copy.bytes, f->bytes + at, n);
        if (chance() % 2) replace(f, at, n, "", 0);
        else replace(f, at, 0, copy.bytes, n);
        break;
    case 7:                                             /* a piece too much */
        n = 1 + below(chance() % 8 ? 16 : 3000);
        for (size_t i = 0; i < n; i++) copy.bytes[i] = (unsigned char)chance();
        replace(f, at, 0, copy.bytes, n);
        break;
    default:                                            /* the end of another file */
        n = below(other->n);
        replace(f, at, f->n - at, other->bytes + n, other->n - n);
    }
}

/* Damage that is still text: other digits, quotes and braces missing or there too often, words in other places. */
static void damage_text(File *f) {
    static const char *words[] = {
        "{", "}", "[", "]", "\"", ":", ",", "-", "\\", "\\u", "\\ud83d", "\\ud83d\\udc57", "\\u0000", "0", "9", "null",
        "true", "1e9", "0.5", "18446744073709551615", "9223372036854775807", "9223372036854775808", "4294967296", "-1",
        "\"dtype\"", "\"shape\"", "\"data_offsets\"", "\"F32\"", "\"BF16\"", "\"__metadata__\":", "\"g.1.w\"",
        "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},", "[0,0]", "\"\":\"\",", " ", "\n", "\xC3",
    };
    static char many[3000];
    if (f->n < 10) return;
    uint64_t length = get(f->bytes, 8, 0);
    if (length > f->n - 8 || length == 0) return;
    size_t at = 8 + below(length), before = f->n, n = sizeof words / sizeof *words;
    const char *word = words[below(n)];
    switch (below(5)) {
    case 0:                                             /* another digit */
        while (at < 8 + length && (f->bytes[at] < '0' || f->bytes[at] > '9')) at++;
        if (at < 8 + length) f->bytes[at] = (unsigned char)('0' + below(10));
        break;
    case 1:                                             /* a sign less */
        while (at < 8 + length && !strchr("\"{}[],:", f->bytes[at])) at++;
        if (at < 8 + length) replace(f, at, 1, "", 0);
        break;
    case 2:                                             /* very deep */
        memset(many, "{[\" "[below(4)], sizeof many);
        replace(f, at, 0, many, below(sizeof many));
        break;
    case 3: replace(f, at, 0, word, strlen(word)); break;
    default: replace(f, at, strlen(word) < 8 + length - at ? strlen(word) : 0, word, strlen(word));
    }
    if (chance() % 8) put(f->bytes, length + (f->n - before), 8, 0);        /* and the length agrees */
}

/* The checksums of a PNG's chunks, as far as there are chunks. */
static void mend_png(File *f) {
    for (size_t at = 8; at + 12 <= f->n;) {
        size_t length = get(f->bytes + at, 4, 1);
        if (length > f->n - at - 12) return;
        put(f->bytes + at + 8 + length, crc32_of(f->bytes + at + 4, length + 4), 4, 1);
        at += length + 12;
    }
}

/* ---- loading: NULL if all is well, else what is not -------------------------------------------------------------- */

static const char *line_is_good(const char *line, const char *name) {
    if (!*line) return "refused without a word";
    return strchr(line, '\n') ? "more than one line" : strstr(line, name) ? NULL : "the file is not named";
}

static const char *load_safetensors(int *loaded) {
    static float narrow[ROOM];
    static double wide[ROOM];
    StFile f;
    *loaded = st_open(&f, path);
    if (!*loaded) return f.tensors || f.data ? "a failed open leaves something" : line_is_good(error_text(), path);
    const char *bad = NULL;
    size_t all = 0;
    for (int i = 0; i < f.metas; i++) sum += (double)strlen(f.meta[i].key) + (double)strlen(f.meta[i].value);
    for (const StTensor *t = f.tensors; t < f.tensors + f.count; t++) {
        long count = 1;
        if (t->rank < 0 || t->rank > ST_RANK_MAX || !*t->name || !t->dtype) { bad = "a tensor that cannot be"; break; }
        for (int i = 0; i < t->rank; i++) count *= t->shape[i];
        for (size_t i = 0; i < t->bytes; i++) sum += ((const unsigned char *)t->data)[i];
        all += t->bytes;
        if (t->bytes > ROOM || (count == 0) != (t->bytes == 0)) { bad = "shape and bytes disagree"; break; }
        int is_float = strstr(" F64 F32 F16 BF16 ", t->dtype) != NULL;
        int a = st_read_f32(t, narrow, count), b = st_read_f64(t, wide, count);
        if (a != is_float || b != is_float) bad = "st_read_f32 and st_read_f64 read floats, all, and only them";
        if (st_find(&f, t->name) != t) bad = "a tensor that cannot be found";
    }
    if (all > ROOM) bad = "more data than the file has";
    st_close(&f);
    return bad;
}

/* low <= x[i] <= 1, for all i. NaN is not. */
static int in_range(const float *x, size_t n, float low) {
    int good = 1;
    for (size_t i = 0; i < n; i++) good &= x[i] >= low && x[i] <= 1;
    return good;
}

static const char *load_image(int *loaded) {
    Image image;
    *loaded = image_load(&image, path);
    if (!*loaded) return image.pixels ? "a failed load leaves something" : line_is_good(error_text(), path);
    const char *bad = NULL;
    if (image.h < 1 || image.w < 1 || image.h > 16384 || image.w > 16384 || image.c != 3) bad = "a size that cannot be";
    if (!bad && (long)image.h * image.w > 50000000) bad = "more than 50 megapixels";
    size_t n = bad ? 0 : (size_t)image.h * (size_t)image.w;
    if (!in_range(image.pixels, 3 * n, -1)) bad = "a pixel outside [-1, 1]";
    if (image.mask && !in_range(image.mask, n, 0)) bad = "a mask outside [0, 1]";
    image_free(&image);
    return bad;
}

static const char *load_set(const char *source, int *loaded) {
    ImageSet set;
    *loaded = imageset_load(&set, source, NULL);
    if (!*loaded) return set.pixels ? "a failed load leaves something" : line_is_good(error_text(), path);
    const char *bad = NULL;
    if (set.count < 1 || set.h < 1 || set.w < 1 || set.h > 16384 || set.w > 16384 || set.c < 1 || set.c > 3)
        bad = "a size that cannot be";
    size_t each = bad ? 0 : (size_t)set.stored_h * (size_t)set.stored_w * (size_t)set.stored_c;
    for (size_t i = 0; !bad && i < (size_t)set.count * each; i++) sum += set.pixels[i];
    for (long i = 0; !bad && set.label && i < set.count; i++)
        if (set.label[i] < 0 || set.label[i] >= set.classes) bad = "a label outside the classes";
    size_t floats = (size_t)set.h * (size_t)set.w;
    float *pixels = bad ? NULL : malloc(floats * (size_t)set.c * sizeof(float));
    float *mask = bad ? NULL : malloc(floats * sizeof(float));
    for (long i = 0; pixels && mask && i < set.count; i += set.count > 1 ? set.count - 1 : 1) {
        if (!imageset_get(&set, i, pixels, mask)) { bad = "a picture that cannot be fetched"; break; }
        if (!in_range(pixels, floats * (size_t)set.c, -1)) bad = "a pixel outside [-1, 1]";
        if (!in_range(mask, floats, 0)) bad = "a mask outside [0, 1]";
    }
    free(pixels);
    free(mask);
    imageset_free(&set);
    return bad;
}

static const char *load_idx(int *loaded) { return load_set(path, loaded); }

static const char *load_labels(int *loaded) {           /* path holds the labels; the pictures next to it are good */
    char pictures[sizeof path + 8];
    snprintf(pictures, sizeof pictures, "%s/a-images-idx3-ubyte", folder);
    return load_set(pictures, loaded);
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

/* The most memory one request may ask for: tensors cost a few times their file, and a picture may have 50 million
 * pixels, which are 600 MB as float RGB. */
#define PICTURE (50000000L * 3 * sizeof(float))

static const struct Format {
    const char *format, *file;                          /* its name and that of the file */
    int files;
    void (*seed)(File *, int k);
    const char *(*load)(int *loaded);
    size_t memory;                                      /* the most that one request may ask for */
} formats[] = {
    {"safetensors", "a.safetensors", 3000, seed_safetensors, load_safetensors, 4 * ROOM},
    {"IDX", "a-idx3-ubyte", 1000, seed_idx, load_idx, PICTURE},
    {"IDX in gzip", "a-idx3-ubyte.gz", 1000, seed_gz, load_idx, PICTURE},
    {"IDX labels", "a-labels-idx1-ubyte", 500, seed_labels, load_labels, 4 * ROOM},
    {"GIMP pattern", "a.pat", 1000, seed_pat, load_image, PICTURE},
    {"PNG", "a.png", 1500, seed_png, load_image, PICTURE},
    {"JPEG", "a.jpg", 1000, seed_jpeg, load_image, PICTURE},
    {"BMP", "a.bmp", 500, seed_bmp, load_image, PICTURE},
    {"TGA", "a.tga", 500, seed_tga, load_image, PICTURE},
};
enum { FORMATS = sizeof formats / sizeof *formats };

/* A file in gzip, whatever its name, may ask for what deflate can at most have packed into it, too. */
static int asks_too_much(const struct Format *format, const File *f) {
    return largest > format->memory + (f->n > 1 && f->bytes[0] == 0x1f && f->bytes[1] == 0x8b ? 1032 * f->n : 0);
}

static void died(int number) {
    const char *why = number == SIGALRM ? "  FAIL hangs: " : "  FAIL crashes: ";
    if (write(1, why, strlen(why)) < 0 || write(1, where, strlen(where)) < 0) _exit(2);
    _exit(1);
}

static void damage_format(const struct Format *format, File *f, const File seeds[FORMATS][SEEDS]) {
    const char *name = format->format;
    int text = !strcmp(name, "safetensors") && chance() % 2, mend = chance() % 8 != 0, k = (int)below(SEEDS);
    int inside = !strcmp(name, "IDX in gzip") && chance() % 2;              /* damaged before it was packed */
    *f = seeds[format - formats][k];
    if (inside) seed_idx(f, k);
    for (size_t times = 1 + below(3); times; times--)
        if (text) damage_text(f);
        else damage(f, &seeds[chance() % 4 ? (size_t)(format - formats) : below(FORMATS)][below(SEEDS)]);
    if (inside) zip(f);
    if (mend && !strcmp(name, "PNG")) mend_png(f);
}

/* Headers that promise 4 gigapixels, and 49 megapixels (which would be allowed), over a few bytes of data: refused, and nothing is asked
 * for but room for the file itself. Where width and height stand in each format: */
static void huge_headers(File *f, const File seeds[FORMATS][SEEDS]) {
    static const struct { int w, h, bytes, big_endian; } place[FORMATS] = {
        {0}, {12, 8, 4, 1}, {12, 8, 4, 1}, {0}, {8, 12, 4, 1}, {16, 20, 4, 1}, {7, 5, 2, 1}, {18, 22, 4, 0}, {12, 14, 2, 0} };
    for (int i = 0; i < FORMATS; i++)
        for (int huge = 0; huge < 2; huge++) {
            const struct Format *format = &formats[i];
            uint64_t at = 0, side = !huge ? 7000 : place[i].bytes == 2 ? 65535 : 65536;
            int loaded, k = i == 2 ? 0 : 5;
            *f = seeds[i][k];
            if (i == 2) seed_idx(f, 0);
            if (format->seed == seed_jpeg) while (f->bytes[at] != 0xFF || f->bytes[at + 1] != 0xC0) at++;        /* the frame's header */
            if (!place[i].bytes && i) put(f->bytes + 4, side * side, 4, 1);                                      /* labels: how many */
            else if (i) {
                put(f->bytes + at + place[i].w, side, place[i].bytes, place[i].big_endian);
                put(f->bytes + at + place[i].h, side, place[i].bytes, place[i].big_endian);
            } else {
                int n = snprintf((char *)f->bytes + 8, ROOM - 8, "{\"a\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[0,%llu]}}",
                                 (int)side, (int)side, (unsigned long long)(4 * side * side));
                put(f->bytes, (uint64_t)n, 8, 0), f->n = 8 + (size_t)n + 8;
            }
            if (format->seed == seed_png) mend_png(f);
            if (i == 2) zip(f);
            snprintf(path, sizeof path, "%s/%s", folder, format->file);
            store(path, f);
            largest = 0;
            const char *bad = format->load(&loaded);
            CHECK(!bad && !loaded, "%s of %d x %d pixels: %s", format->format, (int)side, (int)side, bad ? bad : "is accepted");
            CHECK(largest <= 4 * ROOM, "%s of %d x %d pixels: %zu bytes are asked for", format->format, (int)side, (int)side, largest);
            unlink(path);
        }
}

int main(int argc, char **argv) {
    static File seeds[FORMATS][SEEDS], f;
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 5;
    snprintf(folder, sizeof folder, "%.150s/damaged-XXXXXX", base);
    if (!mkdtemp(folder)) { perror(folder); return 1; }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("  seed %llu\n", (unsigned long long)seed);

    signal(SIGALRM, died);
    if (!SANITIZED) {                                   /* the sanitizers have their own handlers, and need room */
        struct rlimit limit = {(rlim_t)3 << 30, (rlim_t)3 << 30};
        setrlimit(RLIMIT_AS, &limit);
        signal(SIGSEGV, died), signal(SIGBUS, died), signal(SIGFPE, died), signal(SIGABRT, died);
    }
    snprintf(path, sizeof path, "%s/a-images-idx3-ubyte", folder);
    seed_idx(&f, 0);
    store(path, &f);
    for (int i = 0; i < FORMATS; i++)
        for (int k = 0; k < SEEDS; k++) {
            snprintf(path, sizeof path, "%s/%s", folder, formats[i].file);
            counter = seed + (uint64_t)k;
            formats[i].seed(&seeds[i][k], k);
            if (!strcmp(formats[i].format, "PNG")) mend_png(&seeds[i][k]);
        }

    for (const struct Format *format = formats; format < formats + FORMATS; format++) {
        int loaded, accepted = 0, good = 0;
        size_t most = 0;
        snprintf(path, sizeof path, "%s/%s", folder, format->file);
        for (int k = 0; k < SEEDS; k++) {               /* undamaged, all are accepted: the refusals mean something */
            store(path, &seeds[format - formats][k]);
            const char *bad = format->load(&loaded);
            good += loaded && !bad;
            if (!loaded) printf("  %s\n", format->load == load_safetensors ? error_text() : error_text());
        }
        for (int i = 0; i < format->files; i++) {
            if (i % 100 == 0) alarm(SANITIZED ? 120 : 20);
            counter = seed * 0x100000001B3 + (uint64_t)(format - formats) * 1000000 + (uint64_t)i * 0xD1342543DE82EF95;
            snprintf(where, sizeof where, "%s, number %d, seed %llu; the file is %s\n", format->format, i,
                     (unsigned long long)seed, path);
            damage_format(format, &f, (const File (*)[SEEDS])seeds);
            store(path, &f);
            largest = 0;
            const char *bad = format->load(&loaded);
            accepted += loaded;
            if (largest > most) most = largest;
            if (!bad && asks_too_much(format, &f)) bad = "asks for too much memory";
            CHECK(!bad, "%s, number %d: %s (largest request %zu bytes)", format->format, i, bad, largest);
        }
        alarm(0);
        printf("  %-12s %5d files: %5d refused, %4d readable; largest request %zu bytes\n", format->format,
               format->files, format->files - accepted, accepted, most);
        CHECK(good == SEEDS, "%s: %d of %d good files are accepted", format->format, good, SEEDS);
        CHECK(accepted > 0 && accepted < format->files, "%s: %d damaged files are readable", format->format, accepted);
        unlink(path);
    }
    huge_headers(&f, (const File (*)[SEEDS])seeds);
    snprintf(path, sizeof path, "%s/a-images-idx3-ubyte", folder);
    unlink(path);
    CHECK(rmdir(folder) == 0, "nothing is left behind in %s", folder);
    return test_report("damaged");
}
