/* test_images.c: every promise of images.h, on pictures made here and written to a folder that is removed again.
 * Debian's Fashion-MNIST and GIMP's patterns are looked at too where they are installed. */
#define _DEFAULT_SOURCE
#include "stb_image_write.h"
#include "core/files.h"
#include "core/matrix.h"
#include "images/images.h"
#include "test.h"
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sys/resource.h>
#include <time.h>

static char folder[] = "/tmp/test_images_XXXXXX";
static char path_buffer[8][512];

/* folder/name; eight results live at once */
static const char *in_folder(const char *name) {
    static int turn;
    char *path = path_buffer[turn++ % 8];
    snprintf(path, sizeof path_buffer[0], "%s/%s", folder, name);
    return path;
}

typedef struct { unsigned char b[1 << 18]; size_t n; } Bytes;

static void put(void *to, void *data, int n) {                  /* what stb's writers call */
    Bytes *bytes = to;
    if (bytes->n + n > sizeof bytes->b) abort();
    memcpy(bytes->b + bytes->n, data, n);
    bytes->n += n;
}
static void put_byte(Bytes *to, int value) { unsigned char b = (unsigned char)value; put(to, &b, 1); }
static void put_be32(Bytes *to, uint32_t v) { for (int i = 24; i >= 0; i -= 8) put_byte(to, v >> i & 255); }
static void put_le32(Bytes *to, uint32_t v) { for (int i = 0; i < 32; i += 8) put_byte(to, v >> i & 255); }
static void set_be32(unsigned char *b, uint32_t v) { for (int i = 0; i < 4; i++) b[i] = v >> (24 - 8 * i) & 255; }

static const char *write_file(const char *name, const void *data, size_t n) {
    const char *path = in_folder(name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, n, file) != n || fclose(file)) { perror(path); abort(); }
    return path;
}

/* the call failed, and its one line names each of two things */
static void check_error(int result, const char *first, const char *second, int line) {
    const char *error = error_text();
    CHECK(result == 0, "line %d: an error about %s was expected", line, first);
    CHECK(strstr(error, first) && strstr(error, second), "line %d: \"%s\" names not both %s and %s", line, error,
          first, second);
    CHECK(!strchr(error, '\n') && *error, "line %d: not one line: %s", line, error);
}
/* an integer, mixed, as a number in [0,1) */
static float hash(uint32_t x) {
    x ^= x >> 16, x *= 0x7feb352du, x ^= x >> 15, x *= 0x846ca68bu, x ^= x >> 16;
    return (float)(x >> 8) / 16777216.f;
}
#define FAILS(call, first, second) check_error((call) != 0, first, second, __LINE__)
#define WORKS(call) do { int ok_ = (call) != 0; CHECK(ok_, "%s: %s", #call, error_text()); } while (0)

/* 20 x 12, c channels: a smooth picture that no symmetry maps to itself; alpha, if any, is 255 */
enum { W = 20, H = 12 };
static void sample_bytes(unsigned char *b, int c) {
    for (int y = 0; y < H; y++) for (int x = 0; x < W; x++) for (int k = 0; k < c; k++)
        b[(y * W + x) * c + k] = (unsigned char)(10 + 9 * x + (k + 1) * 4 * y - 20 * k * (x > 9));
    for (int i = 0; i < W * H && c % 2 == 0; i++) b[i * c + c - 1] = 255;
}

enum { PNG, JPEG, BMP, TGA, TGA_RLE };
static void encode(Bytes *to, int kind, const unsigned char *b, int c) {
    to->n = 0;
    stbi_write_tga_with_rle = kind == TGA_RLE;
    if (kind == PNG) stbi_write_png_to_func(put, to, W, H, c, b, 0);
    if (kind == JPEG) stbi_write_jpg_to_func(put, to, W, H, c, b, 98);
    if (kind == BMP) stbi_write_bmp_to_func(put, to, W, H, c, b);
    if (kind >= TGA) stbi_write_tga_to_func(put, to, W, H, c, b);
}

static void make_pat(Bytes *to, int c, const unsigned char *b) {
    to->n = 0;
    put_be32(to, 29), put_be32(to, 1), put_be32(to, W), put_be32(to, H), put_be32(to, c);
    put(to, "GPAT", 4), put(to, "name", 5), put(to, (void *)b, W * H * c);
}

/* ---- one picture ---------------------------------------------------------------------------------------------- */

static void test_formats(void) {
    static const char *const name[] = { "a.png", "a.jpg", "a.bmp", "a.tga", "b.tga" };
    static unsigned char b[W * H * 4];
    static Bytes file;
    for (int kind = PNG; kind <= TGA_RLE; kind++) for (int c = 1; c <= 4; c++) {
        Image image;
        if (c == 2 || (kind == JPEG && c == 4)) continue;
        sample_bytes(b, c);
        encode(&file, kind, b, c);
        WORKS(image_load(&image, write_file(name[kind], file.b, file.n)));
        CHECK(image.h == H && image.w == W && image.c == 3 && !image.mask && !image.tileable, "%s is %dx%dx%d",
              name[kind],
              image.h, image.w, image.c);
        float worst = 0;
        for (int i = 0; i < W * H * 3 && image.pixels; i++)
            worst = fmaxf(worst, fabsf(image.pixels[i] - (b[i / 3 * c + (c == 1 ? 0 : i % 3)] / 127.5f - 1)));
        CHECK(worst <= (kind == JPEG ? .12f : 1e-6f), "%s with %d channels is off by %g", name[kind], c, worst);
        image_free(&image);
    }
    sample_bytes(b, 3);
    encode(&file, PNG, b, 3);
    Image image;
    WORKS(image_load(&image, write_file("no extension", file.b, file.n)));      /* known by content */
    image_free(&image);
    image_free(&image);
    for (int c = 1; c <= 4; c++) {
        sample_bytes(b, c);
        make_pat(&file, c, b);
        WORKS(image_load(&image, write_file("a.pat", file.b, file.n)));
        CHECK(image.tileable && image.h == H && image.w == W && image.c == 3, "the pattern is a tileable RGB picture");
        CLOSE(image.pixels[(5 * W + 7) * 3], b[(5 * W + 7) * c] / 127.5 - 1, 1e-6, 0, "a pattern's pixel");
        image_free(&image);
    }
}

static void test_alpha(void) {
    static Bytes file;
    unsigned char b[W * H * 4];
    Image image;
    sample_bytes(b, 4);
    for (int i = 0; i < W * H; i++) b[i * 4 + 3] = i % W < 5 ? 0 : i % W < 10 ? 102 : 255;
    encode(&file, PNG, b, 4);
    WORKS(image_load(&image, write_file("alpha.png", file.b, file.n)));
    CHECK(image.mask != NULL, "transparency is kept as a mask");
    int at[3] = { 2 * W + 2, 2 * W + 7, 2 * W + 15 };
    for (int i = 0; i < 3 && image.mask; i++) {
        double alpha = b[at[i] * 4 + 3] / 255.;
        CLOSE(image.mask[at[i]], alpha, 1e-6, 0, "the mask is alpha");
        CLOSE(image.pixels[at[i] * 3 + 1], alpha * (b[at[i] * 4 + 1] / 127.5 - 1) + 1 - alpha, 1e-6, 0, "on white");
    }
    CHECK(image_garment_mask(&image) == 2, "an alpha mask is kept");
    image_free(&image);
    for (int i = 0; i < W * H; i++) b[i * 4 + 3] = 251;
    encode(&file, PNG, b, 4);
    WORKS(image_load(&image, write_file("alpha.png", file.b, file.n)));
    CHECK(!image.mask, "251/255 is opaque");
    image_free(&image);
}

/* Decodes the first n bytes from a block of exactly that size, so that ASan sees one byte too many. */
static int decode(const char *name, const Bytes *file, size_t n) {
    unsigned char *bytes = malloc(n);
    Image image = {0};
    memcpy(bytes, file->b, n);
    int ok = image_decode(&image, name, bytes, n);
    CHECK(ok || (!image.pixels && !image.mask), "%s: a failed load leaves an empty picture", name);
    image_free(&image);
    free(bytes);
    return ok;
}

/* No file that ends early may load, whatever the format and wherever it is cut; no flipped bit may do harm, and PNG's
 * checksums find every one. */
static void test_damaged(void) {
    static const char *const name[] = { "cut.png", "cut.jpg", "cut.bmp", "cut.tga", "cut.tga", "cut.pat" };
    static Bytes file;
    unsigned char b[W * H * 3];
    sample_bytes(b, 3);
    for (int kind = PNG; kind <= TGA_RLE + 1; kind++) {
        long cut = 0, flipped = 0;
        if (kind <= TGA_RLE) encode(&file, kind, b, 3);
        else make_pat(&file, 3, b);
        CHECK(decode(name[kind], &file, file.n), "%s: %s", name[kind], error_text());
        for (size_t n = 1; n < file.n; n++) cut += decode(name[kind], &file, n);
        CHECK(cut == 0, "%s: %ld of %zu cut files were taken for whole", name[kind], cut, file.n - 1);
        for (size_t i = 0; i < file.n; i++) for (int bit = 0; bit < 8; bit++) {
            file.b[i] ^= 1 << bit;
            flipped += decode(name[kind], &file, file.n);
            file.b[i] ^= 1 << bit;
        }
        if (kind == PNG) CHECK(flipped == 0, "%ld PNG files with a flipped bit were taken for good", flipped);
    }
    encode(&file, JPEG, b, 3);
    Image image;
    FAILS(image_load(&image, write_file("cut.jpg", file.b, file.n - 2)), "cut.jpg", "ends early");
    encode(&file, PNG, b, 3);
    FAILS(image_load(&image, write_file("cut.png", file.b, file.n - 9)), "cut.png", "ends early");
    file.b[file.n / 2] ^= 8;
    FAILS(image_load(&image, write_file("bad.png", file.b, file.n)), "bad.png", "damaged");
}

static void png_of_size(Bytes *file, uint32_t w, uint32_t h) {
    unsigned char b[W * H * 3];
    sample_bytes(b, 3);
    encode(file, PNG, b, 3);
    set_be32(file->b + 16, w), set_be32(file->b + 20, h);
    set_be32(file->b + 29, crc32_of(file->b + 12, 17));
}

/* A TIFF file with one entry, the orientation: what EXIF holds. big: bytes in the order MM */
static void put_exif(Bytes *to, int orientation, int big) {
    static const unsigned char little[] = "II*\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0\0\0\0\0\0\0\0\0";
    static const unsigned char large[] = "MM\0*\0\0\0\10\0\1\1\22\0\3\0\0\0\1\0\0\0\0\0\0\0\0";
    put(to, (void *)(uintptr_t)(big ? large : little), 26);
    to->b[to->n - (big ? 7 : 8)] = (unsigned char)orientation;
}

/* `file` with a segment APP1 (JPEG) or a chunk (PNG) of `length` bytes put in behind its beginning */
static void insert(Bytes *out, const Bytes *file, int kind, const char *name, const Bytes *data) {
    size_t at = kind == JPEG ? 2 : 33;
    out->n = 0;
    put(out, (void *)(uintptr_t)file->b, (int)at);
    if (kind == JPEG) put_be32(out, 0xffe10000 + (uint32_t)data->n + 8), put(out, (char[]){ 'E', 'x', 'i', 'f', 0, 0 }, 6);
    else put_be32(out, (uint32_t)data->n), put(out, (void *)(uintptr_t)name, 4);
    put(out, (void *)(uintptr_t)data->b, (int)data->n);
    if (kind == PNG) put_be32(out, crc32_of(out->b + at + 4, data->n + 4));
    put(out, (void *)(uintptr_t)(file->b + at), (int)(file->n - at));
}

/* Phones turn the picture by a number in EXIF: from (y,x) of what is shown to (row,column) of what is stored */
static void test_orientation(void) {
    static const struct { int swap, down, back; } turn[9] = { {0}, { 0, 0, 0 }, { 0, 0, 1 }, { 0, 1, 1 }, { 0, 1, 0 },
                                                              { 1, 0, 0 }, { 1, 1, 0 }, { 1, 1, 1 }, { 1, 0, 1 } };
    static Bytes file, exif, turned;
    unsigned char b[W * H * 4];
    for (int kind = 0; kind < 2; kind++) for (int big = 0; big < 2; big++) for (int o = 0; o <= 9; o++) {
        Image plain, shown;
        int form = kind ? PNG : JPEG, known = o >= 1 && o <= 8 ? o : 1, wrong = 0;
        sample_bytes(b, kind ? 4 : 3);
        if (kind) b[3] = 0;                                             /* a mask is turned too */
        encode(&file, form, b, kind ? 4 : 3);
        exif.n = 0, put_exif(&exif, o, big);
        insert(&turned, &file, form, "eXIf", &exif);
        const char *name = kind ? "turned.png" : "turned.jpg";
        WORKS(image_load(&plain, write_file(kind ? "plain.png" : "plain.jpg", file.b, file.n)));
        WORKS(image_load(&shown, write_file(name, turned.b, turned.n)));
        CHECK(shown.h == (turn[known].swap ? W : H) && shown.w == (turn[known].swap ? H : W), "orientation %d: %dx%d", o, shown.w, shown.h);
        for (int y = 0; y < shown.h; y++) for (int x = 0; x < shown.w; x++) {
            int row = turn[known].swap ? x : y, column = turn[known].swap ? y : x;
            if (turn[known].down) row = H - 1 - row;
            if (turn[known].back) column = W - 1 - column;
            wrong += !!memcmp(shown.pixels + 3 * (y * shown.w + x), plain.pixels + 3 * (row * W + column), 3 * sizeof(float));
            if (kind) wrong += shown.mask[y * shown.w + x] != plain.mask[row * W + column];
        }
        CHECK(!wrong, "%s, orientation %d: %d pixels lie elsewhere", name, o, wrong);
        for (size_t n = 0; n < exif.n; n++) {                           /* damaged EXIF is no error */
            Image cut;
            Bytes part = exif;
            part.n = n;
            insert(&turned, &file, form, "eXIf", &part);
            WORKS(image_load(&cut, write_file(name, turned.b, turned.n)));
            image_free(&cut);
        }
        image_free(&plain), image_free(&shown);
    }
}

/* What cameras and programs do, and what is no picture of ours whatever its name */
static void test_habits(void) {
    static Bytes file, text, changed;
    static const struct { const char *bytes; int n; const char *said; } other[] = {
        { "RIFF\1\2\3\4WEBPVP8 ", 16, "WebP" }, { "\0\0\0\30ftypheic\0\0\0\0", 16, "HEIC" }, { "\0\0\0\34ftypavif\0\0\0\0", 16, "AVIF" },
        { "GIF89a\1\0\1\0\0\0\0\0\0\0", 16, "GIF" }, { "II*\0\10\0\0\0\0\0\0\0\0\0\0\0", 16, "TIFF" }, { "%PDF-1.7 ......", 16, "PDF" } };
    unsigned char b[W * H * 4];
    Image plain, image;
    sample_bytes(b, 3);
    encode(&file, JPEG, b, 3);
    WORKS(image_load(&plain, write_file("plain.jpg", file.b, file.n)));
    for (int markers = 1; markers < 4; markers++) {                     /* restart markers before the end */
        changed = file, changed.n -= 2;
        for (int i = 0; i < markers; i++) put_byte(&changed, 0xff), put_byte(&changed, 0xd0 + i);
        put_byte(&changed, 0xff), put_byte(&changed, 0xd9);
        WORKS(image_load(&image, write_file("camera.jpg", changed.b, changed.n)));
        CHECK(image.pixels && !memcmp(image.pixels, plain.pixels, sizeof(float) * W * H * 3), "%d markers change the picture", markers);
        image_free(&image);
    }
    image_free(&plain);
    encode(&file, PNG, b, 3);
    text.n = 0, put(&text, (char[]){ 'a', 0, 'b' }, 3);
    insert(&changed, &file, PNG, "tEXt", &text);
    changed.b[33 + 8 + 3] ^= 1;                                         /* its checksum */
    WORKS(image_load(&image, write_file("text.png", changed.b, changed.n)));
    image_free(&image);
    insert(&changed, &file, PNG, "PLTE", &text);
    changed.b[33 + 8 + 3] ^= 1;
    FAILS(image_load(&image, write_file("palette.png", changed.b, changed.n)), "palette.png", "checksum");
    insert(&changed, &file, PNG, "CgBI", &text);
    FAILS(image_load(&image, write_file("iphone.png", changed.b, changed.n)), "iphone.png", "CgBI");
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        const char *path = write_file("shirt.jpg", other[i].bytes, (size_t)other[i].n);
        FAILS(image_load(&image, path), "shirt.jpg", other[i].said);
        FAILS(image_known(path), "shirt.jpg", other[i].said);
    }
    CHECK(image_known(write_file("shirt", file.b, file.n)) == 1, "a name without an ending is no reason");
    encode(&file, BMP, b, 3);
    file.b[30] = 1;
    FAILS(image_load(&image, write_file("rle.bmp", file.b, file.n)), "rle.bmp", "run-length");
}

static void test_load_errors(void) {
    static Bytes file;
    unsigned char b[W * H * 3];
    Image image;
    static const uint32_t size[][2] = { { 0, 0 }, { 0, 5 }, { 100000, 100000 }, { 16385, 1 }, { 8000, 8000 },
                                        { 0xffffffff, 2 } };
    for (int i = 0; i < 6; i++) {
        char text[64];
        png_of_size(&file, size[i][0], size[i][1]);
        snprintf(text, sizeof text, "%u x %u", size[i][0], size[i][1]);
        FAILS(image_load(&image, write_file("size.png", file.b, file.n)), text, "50 megapixels");
    }
    png_of_size(&file, W, H + 1);
    FAILS(image_load(&image, write_file("more.png", file.b, file.n)), "more.png", "decoded");
    sample_bytes(b, 3);
    make_pat(&file, 3, b);
    set_be32(file.b + 8, 100000);
    FAILS(image_load(&image, write_file("size.pat", file.b, file.n)), "100000 x 12", "16384");
    make_pat(&file, 3, b);
    set_be32(file.b + 16, 5);
    FAILS(image_load(&image, write_file("five.pat", file.b, file.n)), "five.pat", "GIMP");
    encode(&file, BMP, b, 3);
    file.b[22] = file.b[23] = file.b[24] = 0xff, file.b[25] = 0x7f;
    FAILS(image_load(&image, write_file("size.bmp", file.b, file.n)), "20 x 2147483647", "16384");
    encode(&file, JPEG, b, 3);
    size_t table = 0;
    while (file.b[table] != 0xff || file.b[table + 1] != 0xc4) table++;
    memset(file.b + table + 5, 255, 2);                         /* 510 symbols in a table of at most 256 */
    FAILS(image_load(&image, write_file("dht.jpg", file.b, file.n)), "dht.jpg", "Huffman table");
    encode(&file, JPEG, b, 3);
    size_t frame = 0;
    while (file.b[frame] != 0xff || file.b[frame + 1] != 0xc0) frame++;
    file.b[frame + 5] = file.b[frame + 6] = 0;
    FAILS(image_load(&image, write_file("zero.jpg", file.b, file.n)), "20 x 0", "zero.jpg");
    FAILS(image_load(&image, folder), folder, "folder");
    FAILS(image_load(&image, in_folder("missing.png")), "missing.png", "No such file");
    FAILS(image_load(&image, write_file("empty.png", "", 0)), "empty.png", "empty");
    FAILS(image_load(&image, write_file("text.png", "this is no picture at all", 25)), "text.png",
          "PNG, JPEG, BMP, TGA");
    FAILS(image_load(&image, "/dev/null"), "/dev/null", "regular");
    const char *huge = write_file("huge.png", "x", 1);
    if (truncate(huge, (1LL << 30) + 1) == 0) FAILS(image_load(&image, huge), "huge.png", "1 GB");
    remove(huge);
}

static int files_in_folder(const char *path) {
    int n = 0;
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir)); ) n += e->d_name[0] != '.';
    if (dir) closedir(dir);
    return n;
}

static void test_save(void) {
    Image image, back;
    WORKS(image_new(&image, 9, 7, 1));
    for (int i = 0; i < 63; i++) image.pixels[i] = (float)(i * 4) / 127.5f - 1;
    image.pixels[0] = NAN, image.pixels[1] = 7, image.pixels[2] = -INFINITY, image.pixels[3] = 100.4f / 127.5f - 1;
    image.pixels[4] = 100.6f / 127.5f - 1;
    WORKS(image_save(&image, in_folder("gray.png")));
    WORKS(image_load(&back, in_folder("gray.png")));
    static const int want[] = { 0, 255, 0, 100, 101, 20, 24 };
    for (int i = 0; i < 7; i++) CLOSE((back.pixels[i * 3] + 1) * 127.5, want[i], 1e-3, 0, "byte %d", i);
    image_free(&back);
    WORKS(image_save(&image, in_folder("gray.JPEG")));
    WORKS(image_load(&back, in_folder("gray.JPEG")));
    CHECK(back.h == 9 && back.w == 7, "a JPEG keeps its size");
    image_free(&back);
    image_free(&image);

    WORKS(image_new(&image, 64, 64, 3));
    for (int i = 0; i < 64 * 64 * 3; i++) image.pixels[i] = hash((uint32_t)i) * 2 - 1;
    if (mkdir(in_folder("save"), 0777)) perror("mkdir");
    WORKS(image_save(&image, in_folder("save/a.png")));
    CHECK(files_in_folder(in_folder("save")) == 1, "only the picture is in the folder");
    WORKS(image_load(&back, in_folder("save/a.png")));
    float worst = 0;
    for (int i = 0; i < 64 * 64 * 3; i++) worst = fmaxf(worst, fabsf(back.pixels[i] - image.pixels[i]));
    CHECK(worst <= .5f / 127.5f + 1e-6f, "PNG and back is off by %g, at most half a byte", worst);
    image_free(&back);

    /* a disk with 1000 bytes left: an error, the old picture as it was, nothing left over */
    struct rlimit old, small = { 1000, RLIM_INFINITY };
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    int png = image_save(&image, in_folder("save/a.png"));
    FAILS(png, "a.png", "File too large");
    int jpg = image_save(&image, in_folder("save/b.jpg"));
    FAILS(jpg, "b.jpg", "File too large");
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK(files_in_folder(in_folder("save")) == 1, "nothing is left of a failed save");
    WORKS(image_load(&back, in_folder("save/a.png")));
    image_free(&back);

    FAILS(image_save(&image, in_folder("save/none/a.png")), "none/a.png", "No such file");
    FAILS(image_save(&image, in_folder("save/a.png/b.png")), "b.png", "Not a directory");
    FAILS(image_save(&image, in_folder("save")), "save", "cannot write there");
    CHECK(files_in_folder(in_folder("save")) == 1, "nothing is left of a failed rename");
    if (geteuid()) {
        chmod(in_folder("save"), 0555);
        FAILS(image_save(&image, in_folder("save/c.png")), "c.png", "Permission");
        chmod(in_folder("save"), 0755);
    }
    image.c = 2;
    FAILS(image_save(&image, in_folder("two.png")), "two.png", "1 or 3 channels");
    image.c = 3;
    image_free(&image);
    FAILS(image_save(&image, in_folder("none.png")), "none.png", "channels");
}

/* ---- shape ---------------------------------------------------------------------------------------------------- */

static Image make(int h, int w, int c, const float *values) {
    Image image;
    WORKS(image_new(&image, h, w, c));
    for (int i = 0; i < h * w * c; i++) image.pixels[i] = values ? values[i] : (float)i;
    return image;
}

static void check_resize(int h, int w, const float *in, int H2, int W2, const float *want, const char *what) {
    Image src = make(h, w, 1, in), dst;
    image_add_mask(&src, 0);
    memcpy(src.mask, src.pixels, sizeof(float) * h * w);
    WORKS(image_resize(&dst, &src, H2, W2));
    CHECK(dst.h == H2 && dst.w == W2 && dst.c == 1 && dst.mask, "%s: shape", what);
    for (int i = 0; i < H2 * W2; i++) {
        CLOSE(dst.pixels[i], want[i], 1e-6, 1e-6, "%s: pixel %d", what, i);
        CLOSE(dst.mask[i], want[i], 1e-6, 1e-6, "%s: mask %d", what, i);
    }
    image_free(&src), image_free(&dst);
}

static void test_resize(void) {
    float ramp[16];
    for (int i = 0; i < 16; i++) ramp[i] = (float)i;
    check_resize(4, 4, ramp, 2, 2, (float[]){ 2.5f, 4.5f, 10.5f, 12.5f }, "boxes of 2x2");
    check_resize(1, 3, (float[]){ 3, 6, 12 }, 1, 2, (float[]){ 4, 10 }, "3 to 2: (3 + 6/2)/1.5, (6/2 + 12)/1.5");
    check_resize(3, 1, (float[]){ 3, 6, 12 }, 2, 1, (float[]){ 4, 10 }, "3 to 2, upright");
    check_resize(1, 5, (float[]){ 1, 2, 4, 8, 16 }, 1, 3, (float[]){ 1.4f, 4.4f, 12.8f }, "5 to 3");
    /* torch.nn.functional.interpolate(mode='bilinear', align_corners=False) */
    check_resize(2, 2, ramp, 4, 4, (float[]){ 0, .25f, .75f, 1, .5f, .75f, 1.25f, 1.5f,
                                              1.5f, 1.75f, 2.25f, 2.5f, 2, 2.25f,
                                              2.75f, 3 }, "bilinear 2 to 4");
    check_resize(1, 3, ramp, 1, 5, (float[]){ 0, .4f, 1, 1.6f, 2 }, "bilinear 3 to 5");
    check_resize(1, 1, (float[]){ 7 }, 2, 3, (float[]){ 7, 7, 7, 7, 7, 7 }, "one pixel");
    check_resize(4, 4, ramp, 4, 4, ramp, "the same size");
    check_resize(2, 4, ramp, 4, 2, (float[]){ .5f, 2.5f, 1.5f, 3.5f, 3.5f, 5.5f, 4.5f, 6.5f },
                 "one axis grows, one shrinks");
    Image src = make(7, 11, 3, NULL), dst;
    double before = 0, after = 0;
    for (int i = 0; i < 7 * 11 * 3; i++) before += src.pixels[i] / (7 * 11);
    WORKS(image_resize(&dst, &src, 5, 4));
    for (int i = 0; i < 5 * 4 * 3; i++) after += dst.pixels[i] / (5 * 4);
    CLOSE(after, before, 0, 1e-6, "an area filter keeps the mean");
    image_free(&dst);
    FAILS(image_resize(&dst, &src, 0, 4), "4 x 0", "resize");
    image_free(&src);
    FAILS(image_resize(&dst, &src, 4, 4), "resize", "0 x 0");
    FAILS(image_new(&dst, 10, 20000, 3), "20000 x 10", "16384");
    FAILS(image_new(&dst, 10000, 10000, 3), "50 megapixels", "10000");
    FAILS(image_new(&dst, 10, 10, 5), "5 channels", "1..4");
    FAILS(image_copy(&dst, &src), "empty", "source");
}

static void test_fit(void) {
    Image src = make(2, 4, 3, NULL), dst;
    WORKS(image_fit(&dst, &src, 3, 6));
    CHECK(dst.h == 3 && dst.w == 6 && !dst.mask, "the same shape: nothing is padded");
    CLOSE(dst.pixels[(2 * 6 + 5) * 3 + 2], 23, 1e-5, 0, "the last corner stays");
    image_free(&dst);
    WORKS(image_fit(&dst, &src, 4, 4));             /* a border of many colours: white above and below */
    for (int i = 0; i < 12; i++) CLOSE(dst.pixels[i], 1, 0, 0, "white above");
    for (int i = 0; i < 24; i++) CLOSE(dst.pixels[12 + i], i, 1e-6, 0, "all of the picture in the middle");
    image_free(&dst);
    for (int i = 0; i < 24; i++) src.pixels[i] = -.5f;          /* one colour all round */
    image_add_mask(&src, 1);
    WORKS(image_fit(&dst, &src, 8, 4));
    CHECK(dst.h == 8 && dst.w == 4 && dst.mask, "padded upright");
    for (int i = 0; i < 96; i++) CLOSE(dst.pixels[i], -.5, .004, 0, "the border's colour goes on");
    for (int i = 0; i < 32; i++) CLOSE(dst.mask[i], i / 4 >= 3 && i / 4 < 5, 0, 0, "no garment in the padding");
    image_free(&dst);
    FAILS(image_fit(&dst, &src, 8, -4), "-4", "resize");
    image_free(&src);
    Image thin = make(1, 300, 1, NULL);
    WORKS(image_fit(&dst, &thin, 16, 16));
    CHECK(dst.pixels[0] == 1 && dst.pixels[7 * 16] < 20 && dst.pixels[7 * 16 + 15] > 280, "a thin picture keeps a row");
    image_free(&dst), image_free(&thin);
}

static void test_crop_tile_copy(void) {
    Image src = make(3, 5, 3, NULL), dst, copy;
    image_add_mask(&src, .25f);
    src.tileable = 1;
    WORKS(image_crop(&dst, &src, 1, 2, 2, 3));
    CHECK(dst.h == 2 && dst.w == 3 && dst.pixels[0] == 21 && dst.pixels[17] == 44 && dst.mask[5] == .25f
          && !dst.tileable, "crop");
    image_free(&dst);
    FAILS(image_crop(&dst, &src, 2, 0, 2, 5), "5 x 2", "5 x 3");
    FAILS(image_crop(&dst, &src, -1, 0, 2, 5), "row -1", "leaves");
    FAILS(image_crop(&dst, &src, 0, 2147483647, 1, 2147483647), "crop", "leaves");
    WORKS(image_tile(&dst, &src, 7, 8));
    int wrong = dst.tileable;
    for (int y = 0; y < 7; y++) for (int x = 0; x < 8; x++) for (int k = 0; k < 3; k++)
        wrong += dst.pixels[(y * 8 + x) * 3 + k] != src.pixels[(y % 3 * 5 + x % 5) * 3 + k];
    CHECK(!wrong, "tile repeats");
    image_free(&dst);
    WORKS(image_tile(&dst, &src, 6, 10));
    CHECK(dst.tileable, "whole repeats stay tileable");
    image_free(&dst);
    WORKS(image_copy(&copy, &src));
    CHECK(copy.tileable && !memcmp(copy.pixels, src.pixels, sizeof(float) * 45) && copy.mask[14] == .25f, "copy");
    CHECK(copy.pixels != src.pixels && copy.mask != src.mask, "a copy is its own");
    image_free(&copy), image_free(&src);
}

static void test_garment_mask(void) {
    Image m;
    WORKS(image_new(&m, 64, 48, 3));
    for (int y = 0; y < 64; y++) for (int x = 0; x < 48; x++) for (int k = 0; k < 3; k++) {
        float noise = .08f * (hash((uint32_t)(y * 48 + x)) - .5f);
        int garment = y >= 10 && y < 60 && x >= 12 && x < 36, hole = y >= 30 && y < 36 && x >= 20 && x < 28;
        int speck = y == 4 && x == 4;
        m.pixels[(y * 48 + x) * 3 + k] = (garment && !hole ? -.5f + .2f * k : speck ? -1 : .9f) + noise;
    }
    Image again;
    WORKS(image_copy(&again, &m));
    CHECK(image_garment_mask(&m) == 1, "a garment on a plain background is found");
    CHECK(m.mask[0] == 0 && m.mask[4 * 48 + 4] == 0, "background and speck are out");
    CHECK(m.mask[20 * 48 + 20] == 1 && m.mask[33 * 48 + 24] == 1, "garment is in, and what it encloses");
    CLOSE(m.mask[30 * 48 + 12], .75, 1e-6, 0, "the edge inside");
    CLOSE(m.mask[30 * 48 + 11], .25, 1e-6, 0, "the edge outside");
    CHECK(m.mask[30 * 48 + 13] == 1 && m.mask[30 * 48 + 10] == 0, "the feather is a pixel wide");
    CHECK(image_garment_mask(&m) == 2, "the second time it is there already");
    for (int i = 0; i < 64 * 48; i++) again.pixels[i * 3] = hash((uint32_t)i) * 2 - 1;
    CHECK(image_garment_mask(&again) == 3, "a busy background");
    CHECK(again.mask[0] == 1 && again.mask[64 * 48 - 1] == 1, "all of it");
    image_free(&m), image_free(&again);
    WORKS(image_new(&m, 60, 60, 3));
    for (int i = 0; i < 60 * 60; i++)           /* 36% of the border are garment */
        for (int k = 0; k < 3; k++) m.pixels[i * 3 + k] = i % 60 < 44 && i / 60 >= 14 ? (float)(k - 1) * .4f : 1;
    CHECK(image_garment_mask(&m) == 1, "a garment that the picture's border cuts");
    CHECK(m.mask[59 * 60] == 1 && m.mask[30 * 60 + 20] == 1 && m.mask[5] == 0 && m.mask[59 * 60 + 55] == 0, "is found");
    image_free(&m);
    WORKS(image_new(&m, 20, 20, 1));
    CHECK(image_garment_mask(&m) == 3 && m.mask[0] == 1, "nothing stands out: all of it");
    image_free(&m);
    FAILS(image_garment_mask(&m), "empty", "garment");
}

/* ---- sets ----------------------------------------------------------------------------------------------------- */

static void make_idx(Bytes *file, int count, int h, int w) {
    file->n = 0;
    put_be32(file, 0x803), put_be32(file, count), put_be32(file, h), put_be32(file, w);
    for (int i = 0; i < count * h * w; i++) put_byte(file, i * 7 % 256);
}

/* gzip by hand: stored blocks, with whichever of FTEXT 1, FHCRC 2, FEXTRA 4, FNAME 8, FCOMMENT 16 are flagged */
static void make_gz(Bytes *gz, const Bytes *plain, int flags) {
    gz->n = 0;
    put(gz, "\x1f\x8b\x08", 3), put_byte(gz, flags), put(gz, "\0\0\0\0\0\3", 6);
    if (flags & 4) put(gz, "\5\0extra", 7);
    if (flags & 8) put(gz, "a name", 7);
    if (flags & 16) put(gz, "a comment", 10);
    if (flags & 2) put(gz, "\x12\x34", 2);
    for (size_t at = 0; at < plain->n; at += 60000) {
        size_t n = plain->n - at < 60000 ? plain->n - at : 60000;
        put_byte(gz, at + n == plain->n), put_byte(gz, n & 255), put_byte(gz, (int)(n >> 8));
        put_byte(gz, ~n & 255), put_byte(gz, (int)(~n >> 8) & 255), put(gz, (void *)(plain->b + at), (int)n);
    }
    put_le32(gz, crc32_of(plain->b, plain->n)), put_le32(gz, (uint32_t)plain->n);
}

static void check_idx(const char *path, int labels) {
    ImageSet set;
    float pixels[30];
    WORKS(imageset_load(&set, path, NULL));
    CHECK(set.count == 4 && set.h == 5 && set.w == 6 && set.c == 1 && !set.mask, "%s: %ld of %dx%dx%d", path, set.count,
          set.h, set.w, set.c);
    CHECK(!strcmp(set.source, path), "the source is remembered");
    CHECK((set.label != NULL) == labels, "%s: labels", path);
    if (labels && set.label)
        CHECK(set.classes == 4 && set.label[1] == 3, "%s: label values", path);
    if (set.count) WORKS(imageset_get(&set, 3, pixels, NULL));
    for (int i = 0; i < 30; i++) CLOSE(pixels[i], (90 + i) * 7 % 256 / 127.5 - 1, 1e-6, 0, "%s: pixel %d", path, i);
    imageset_free(&set);
}

/* a mask drawn in, its box, a garment's tones, and prints laid on it, each against its definition */
static void test_print(void) {
    enum { H = 23, W = 31 };
    Image m, was, tones, print;
    int top, left, bottom, right, bad;
    WORKS(image_new(&m, H, W, 3));
    m.mask = calloc(H * W, sizeof *m.mask);
    image_mask_box(&top, &left, &bottom, &right, &m);
    CHECK(bottom == 0, "an empty mask has no box");
    for (int i = 0; i < H * W; i++) {
        int y = i / W, x = i % W, inside = y >= 4 && y < 20 && x >= 5 && x < 27;
        m.mask[i] = !inside ? 0 : y == 4 || y == 19 || x == 5 || x == 26 ? .5f : 1;
        for (int k = 0; k < 3; k++) m.pixels[3 * i + k] = m.mask[i] < 1 ? 1 : x < 16 ? .2f : -.4f;         /* light bleeds into the edge */
    }
    image_mask_box(&top, &left, &bottom, &right, &m);
    CHECK(top == 4 && left == 5 && bottom == 20 && right == 27, "box %d %d %d %d", top, left, bottom, right);
    for (int r = 0; r < 8; r++) {
        WORKS(image_copy(&was, &m));
        WORKS(image_draw_in(&was, r));
        bad = 0;
        for (int i = 0; i < H * W; i++) {
            float least = 1;
            for (int y = i / W - r; y <= i / W + r; y++)
                for (int x = i % W - r; x <= i % W + r; x++)
                    if (y >= 0 && y < H && x >= 0 && x < W) least = fminf(least, m.mask[y * W + x]);
            bad += was.mask[i] != least;
        }
        CHECK(!bad, "drawn in by %d: %d pixels are wrong", r, bad);
        image_free(&was);
    }
    WORKS(image_tones(&tones, &m, 1));
    bad = 0;
    for (int i = 0; i < H * W; i++)                                  /* both halves of the cloth, and between them only at the middle */
        bad += !(tones.pixels[i] > -.4001f && tones.pixels[i] < .2001f) || (m.mask[i] == 1 && tones.mask[i] == 1 && tones.pixels[i] != m.pixels[3 * i]);
    CHECK(!bad && tones.c == 1 && tones.mask[11 * W + 5] == 0, "tones: %d are not the cloth's", bad);
    WORKS(image_copy(&was, &m));
    WORKS(image_new(&print, H, W, 1));
    for (int i = 0; i < H * W; i++) print.pixels[i] = .5f;
    image_lay_print(&m, &print, &tones, 0, 0, 1);
    CLOSE(m.pixels[3 * (11 * W + 9)], .5, .01, 0, "in the light the print is itself");
    CLOSE((m.pixels[3 * (11 * W + 22)] + 1) / 2, .75 * .3 / .6, .01, 0, "in half the light half as light");
    CLOSE(m.pixels[3 * (11 * W + 5)], .5 * .5 + .5 * 1, .02, 0, "half of it at the edge, where the white is not the cloth's");
    bad = 0;
    for (int i = 0; i < H * W; i++) bad += !(was.mask[i] > 0) && memcmp(m.pixels + 3 * i, was.pixels + 3 * i, 12);
    CHECK(!bad, "outside the mask %d pixels changed", bad);
    memcpy(m.pixels, was.pixels, sizeof(float) * H * W * 3);
    m.pixels[3 * (6 * W + 9) + 1] = m.pixels[3 * (6 * W + 9)] = m.pixels[3 * (6 * W + 9) + 2] = -1;     /* a seam, drawn after the tones */
    image_lay_print(&m, &print, &tones, 0, 0, 1);
    CLOSE((m.pixels[3 * (6 * W + 9)] + 1) / 2, .75 * .15, .01, 0, "drawn lines stay");
    memcpy(m.pixels, was.pixels, sizeof(float) * H * W * 3);
    image_lay_print(&m, &print, &tones, 0, 0, 0);
    CLOSE(m.pixels[3 * (11 * W + 22)], .5, 1e-6, 0, "without shade the print alone");
    image_free(&tones);
    free(m.mask), m.mask = NULL;
    WORKS(image_tones(&tones, &m, 3));
    CLOSE(tones.pixels[11 * W + 22], .5, 1e-6, 0, "a picture without a mask keeps its own");
    image_free(&m), image_free(&was), image_free(&print), image_free(&tones);
}

static void test_idx(void) {
    static Bytes file, gz, labels;
    ImageSet set;
    make_idx(&file, 4, 5, 6);
    check_idx(write_file("plain", file.b, file.n), 0);
    for (int flags = 0; flags < 32; flags++) {
        make_gz(&gz, &file, flags);
        check_idx(write_file("x.gz", gz.b, gz.n), 0);
    }
    check_idx(write_file("plain-images", file.b, file.n), 0);           /* nothing comes after "images" */
    const char *path = write_file("t-images-idx3-ubyte.gz", gz.b, gz.n);
    labels.n = 0, put_be32(&labels, 0x801), put_be32(&labels, 4), put(&labels, "\0\3\1\2", 4);
    write_file("t-labels-idx1-ubyte", labels.b, labels.n);
    check_idx(path, 1);
    static const char *const dotted[] = { "d-images.idx3-ubyte", "e-images.idx3-ubyte", "f-images-idx3-ubyte" };
    static const char *const beside[] = { "d-labels.idx1-ubyte", "e-labels-idx1-ubyte", "f-labels.idx1-ubyte" };
    for (int i = 0; i < 3; i++) {                           /* some copies have a dot in their names */
        path = write_file(dotted[i], file.b, file.n);
        WORKS(imageset_load(&set, path, NULL));
        CHECK(!set.label && strstr(set.note, "labels"), "%s: without labels it says so: %s", dotted[i], set.note);
        imageset_free(&set);
        write_file(beside[i], labels.b, labels.n);
        check_idx(path, 1);
    }
    path = in_folder("t-images-idx3-ubyte.gz");
    labels.b[7] = 3;
    write_file("t-labels-idx1-ubyte", labels.b, labels.n);
    FAILS(imageset_load(&set, path, NULL), "t-labels-idx1-ubyte", "12 bytes");
    write_file("t-labels-idx1-ubyte", labels.b, labels.n - 1);
    FAILS(imageset_load(&set, path, NULL), "3 labels", "4 pictures");
    write_file("t-labels-idx1-ubyte", file.b, file.n);
    FAILS(imageset_load(&set, path, NULL), "00000803", "00000801");

    for (size_t n = 4; n < file.n; n++)
        FAILS(imageset_load(&set, write_file("cut-idx", file.b, n), NULL), "cut-idx", "bytes");
    make_gz(&gz, &file, 31);
    int loaded = 0;
    for (size_t n = 1; n < gz.n; n++) loaded += imageset_load(&set, write_file("cut.gz", gz.b, n), NULL);
    CHECK(loaded == 0, "%d cut gzip files were taken for whole", loaded);
    for (size_t i = 3; i < gz.n; i++) {                     /* a flipped bit is refused, or was of no importance */
        gz.b[i] ^= 16;
        if (imageset_load(&set, write_file("flip.gz", gz.b, gz.n), NULL)) {
            CHECK(set.count == 4 && set.pixels[9] == 63, "byte %zu flipped: wrong data", i);
            imageset_free(&set);
        }
        gz.b[i] ^= 16;
    }
    put_byte(&file, 0);
    FAILS(imageset_load(&set, write_file("long-idx", file.b, file.n), NULL), "137 bytes", "promises 136");
    make_gz(&gz, &file, 0);
    gz.b[gz.n - 1] = 0x3f;                                      /* a bomb: 1 GB promised in 150 bytes */
    FAILS(imageset_load(&set, write_file("bomb.gz", gz.b, gz.n), NULL), "bomb.gz", "cannot come out");
    file.n = 0, put_be32(&file, 0x803);
    for (int i = 0; i < 3; i++) put_be32(&file, 0xffffffff);
    FAILS(imageset_load(&set, write_file("vast-idx", file.b, file.n), NULL), "vast-idx", "4294967295");
    file.n = 0, put_be32(&file, 0x803), put_be32(&file, 0x40000000), put_be32(&file, 16384), put_be32(&file, 16384);
    FAILS(imageset_load(&set, write_file("large-idx", file.b, file.n), NULL), "16 bytes",
          "promises 288230376151711760");
    file.n = 0, put_be32(&file, 0x803), put_be32(&file, 0), put_be32(&file, 28), put_be32(&file, 28);
    FAILS(imageset_load(&set, write_file("none-idx", file.b, file.n), NULL), "none-idx", "is 0");
}

/* What v/255 of cloth makes of white: 1 - v/255 (1 - colour). From any two v of one garment the third follows. */
static void test_tinted(const char *folder) {
    enum { N = 3, EACH = 28 * 28 };
    static float x[N][EACH * 3], again[EACH * 3], gray[EACH], mask[EACH], large[64 * 64 * 3];
    ImageSetOptions o = { .fashion_mnist_dir = folder };
    ImageSet set, photo;
    WORKS(imageset_load(&set, "fashion-mnist:test:tinted", &o));
    CHECK(set.c == 3 && set.stored_c == 1 && set.count == N, "RGB, kept gray");
    for (int i = 0; i < N; i++) {
        float colour[3] = { 1, 1, 1 }, most = 0;
        imageset_get(&set, i, x[i], NULL);
        for (int p = 0; p < EACH; p++)                   /* the colour from the pixel with the most cloth, the others by the formula */
            if (set.pixels[i * EACH + p] / 255.f > most)
                for (int k = 0; k < 3; k++) most = set.pixels[i * EACH + p] / 255.f, colour[k] = 1 - (1 - x[i][3 * p + k]) / most;
        for (int p = 0; p < EACH * 3; p++)
            CLOSE(x[i][p], 1 - set.pixels[i * EACH + p / 3] / 255. * (1 - colour[p % 3]), 1e-4, 0, "picture %d, number %d", i, p);
        for (int k = 0; k < 3; k++) CHECK(colour[k] >= -1 && colour[k] < .91f, "picture %d: a colour of cloth: %g", i, colour[k]);
        float high = fmaxf(colour[0], fmaxf(colour[1], colour[2])), low = fminf(colour[0], fminf(colour[1], colour[2]));
        CHECK(high - low > .02f, "picture %d: not gray: %g to %g", i, low, high);
    }
    CHECK(memcmp(x[0], x[1], sizeof *x) && memcmp(x[1], x[2], sizeof *x), "each its own colour");
    imageset_get(&set, 1, again, NULL);
    CHECK(!memcmp(x[1], again, sizeof again), "the same each time");
    imageset_free(&set);
    o.photo = 1;
    WORKS(imageset_load(&photo, "fashion-mnist:test:tinted", &o));
    imageset_get(&photo, 1, again, mask);
    CHECK(photo.inverted && mask[0] == (photo.pixels[EACH] > 5), "with a mask");
    for (int p = 0; p < EACH * 3; p++) CLOSE(again[p], x[1][p], 1e-6, 0, "the same picture: it is on white already");
    imageset_free(&photo);
    o = (ImageSetOptions){ .channels = 1, .fashion_mnist_dir = folder };
    WORKS(imageset_load(&set, "fashion-mnist:test:tinted", &o));
    imageset_get(&set, 1, gray, NULL);
    CLOSE(gray[5], .299 * x[1][15] + .587 * x[1][16] + .114 * x[1][17], 1e-5, 0, "its luminance");
    imageset_free(&set);
    o = (ImageSetOptions){ .h = 64, .w = 64, .fashion_mnist_dir = folder };
    WORKS(imageset_load(&set, "fashion-mnist:test:tinted", &o));
    imageset_get(&set, 1, large, NULL);
    for (int k = 0; k < 3; k++) CLOSE(large[k], x[1][k], 1e-5, 0, "enlarged: the corner");
    imageset_free(&set);
}

static void test_set_options(void) {
    static Bytes file;
    ImageSet set;
    float pixels[64 * 64 * 3], mask[64 * 64];
    make_idx(&file, 4, 5, 6);
    file.b[16] = 5, file.b[17] = 6;
    const char *path = write_file("options", file.b, file.n);
    WORKS(imageset_load(&set, path, &(ImageSetOptions){ .photo = 1, .limit = 2, .channels = 3 }));
    CHECK(set.count == 2 && set.c == 3 && set.stored_c == 1 && set.inverted, "limit, photo, channels");
    WORKS(imageset_get(&set, 0, pixels, mask));
    CLOSE(pixels[0], 1 - 10 / 255., 1e-6, 0, "inverted");
    CHECK(pixels[0] == pixels[1] && pixels[1] == pixels[2], "gray in three channels");
    CHECK(mask[0] == 0 && mask[1] == 1, "mask = raw > .02*255 = 5.1");
    FAILS(imageset_get(&set, 2, pixels, NULL), "picture 2", "there are 2");
    FAILS(imageset_get(&set, -1, pixels, NULL), "picture -1", path);
    imageset_free(&set);
    WORKS(imageset_load(&set, path, &(ImageSetOptions){ .h = 10, .w = 12 }));
    CHECK(set.h == 10 && set.w == 12 && set.stored_h == 5 && set.stored_w == 6, "enlarged when fetched");
    WORKS(imageset_get(&set, 1, pixels, mask));
    CLOSE(pixels[0], set.pixels[30] / 127.5 - 1, 1e-6, 0, "the corner of the bilinear picture");
    CLOSE(pixels[1], (.75 * set.pixels[30] + .25 * set.pixels[31]) / 127.5 - 1, 1e-6, 0, "and its neighbour");
    CHECK(mask[0] == 1 && mask[119] == 1, "no mask: all of it");
    imageset_free(&set);
    imageset_free(&set);
    FAILS(imageset_load(&set, path, &(ImageSetOptions){ .channels = 2 }), "2 channels", "1 or 3");
    FAILS(imageset_load(&set, path, &(ImageSetOptions){ .h = 20000 }), "20000", "16384");
    FAILS(imageset_load(&set, "/nowhere/at/all", NULL), "/nowhere/at/all", "synthetic");
    FAILS(imageset_load(&set, "fashion-mnist:valid", NULL), "fashion-mnist:valid", "fashion-mnist:train");
    FAILS(imageset_load(&set, "fashion-mnist:tintd", NULL), "fashion-mnist:tintd", ":train, :test, :plain, :patterned and :tinted");
    FAILS(imageset_load(&set, "fashion-mnist:test:plane", NULL), ":test:plane", ":test:plain");
    FAILS(imageset_load(&set, "fashion-mnist", &(ImageSetOptions){ .fashion_mnist_dir = folder }), folder,
          "dataset-fashion-mnist");
    make_idx(&file, 3, 28, 28);
    write_file("t10k-images-idx3-ubyte", file.b, file.n);
    WORKS(imageset_load(&set, "fashion-mnist:test", &(ImageSetOptions){ .fashion_mnist_dir = folder }));
    CHECK(set.count == 3 && set.h == 28 && !set.label, "a folder of one's own, without gzip or labels");
    imageset_free(&set);
    test_tinted(folder);
}

/* An (h,w) RGB picture of one colour in the set's folder. */
static void write_plain(const char *name, int h, int w, float red, float green, float blue) {
    Image image;
    image_new(&image, h, w, 3);
    image_fill(&image, 0, 0, h, w, (float[]){ red, green, blue });
    WORKS(image_save(&image, in_folder(name)));
    image_free(&image);
}

static void make_folder(const char *name) { if (mkdir(in_folder(name), 0777)) perror(name); }

static void test_folders(void) {
    ImageSet set;
    float pixels[16 * 16 * 3], mask[16 * 16];
    make_folder("flat"), make_folder("flat/deeper"), make_folder("flat/.hidden");
    write_plain("flat/b.png", 8, 6, 0, 0, 0), write_plain("flat/a.png", 4, 4, 1, -1, -1);
    write_plain("flat/deeper/c.jpg", 9, 9, -1, -1, -1), write_plain("flat/.hidden/x.png", 9, 9, 0, 0, 0);
    write_plain("flat/.x.png", 9, 9, 0, 0, 0);
    write_file("flat/notes.txt", "not a picture", 13), write_file("flat/broken.png", "\x89PNG\r\n\x1a\n....", 12);
    int links = symlink("..", in_folder("flat/deeper/loop")) | symlink("nowhere", in_folder("flat/dangling"));
    CHECK(links == 0, "two links could be made");
    WORKS(imageset_load(&set, in_folder("flat/"), NULL));
    CHECK(set.count == 3 && set.h == 4 && set.w == 4 && set.c == 3 && !set.label && set.classes == 0 && !set.mask,
          "flat: %ld of %dx%dx%d", set.count, set.h, set.w, set.c);
    CHECK(set.skipped == 3 && *set.note, "text, broken and dangling are counted: %ld, %s",
          set.skipped, set.note);
    WORKS(imageset_get(&set, 0, pixels, NULL));
    CHECK(pixels[0] == 1 && pixels[1] == -1, "a.png is first");
    WORKS(imageset_get(&set, 2, pixels, mask));
    CHECK(pixels[0] < -.95f && mask[0] == 1, "deeper/c.jpg is last");
    imageset_free(&set);
    static const char *const below[] = { "/a.png", "/b.png", "/broken.png", "/dangling", "/deeper/c.jpg", "/notes.txt" };
    ImageList list;
    for (int without = 0; without < 2; without++) {
        WORKS(image_list(&list, in_folder("flat"), without ? (const char *const[]){ "none", in_folder("flat/.hidden/../deeper"), NULL } : NULL));
        CHECK(list.count == 6 - without, "%ld files are listed", list.count);
        for (int i = 0; i < list.count; i++)
            CHECK(!strcmp(list.path[i] + strlen(in_folder("flat")), below[without && i == 4 ? 5 : i]), "file %d is %s", i, list.path[i]);
        image_list_free(&list);
    }
    char slashes[4096];                                  /* the root folder, by a name that leaves no room for the files in it */
    memset(slashes, '/', sizeof slashes), slashes[sizeof slashes - 1] = 0;
    FAILS(image_list(&list, slashes, NULL), "too long", "//");
    Image dot;
    WORKS(image_new(&dot, 1, 1, 3));
    FAILS(image_save(&dot, slashes), "too long", "//");
    image_free(&dot);
    WORKS(image_list(&list, "no such file", NULL));
    CHECK(list.count == 1 && !strcmp(list.path[0], "no such file"), "what is no folder is a file, until it is read");
    image_list_free(&list);
    CHECK(is_folder(in_folder("flat")) && !is_folder(in_folder("flat/a.png")) && !is_folder(in_folder("none")), "folders");
    CHECK(same_file(in_folder("flat"), in_folder("flat/deeper/loop")) && !same_file("", "") && !same_file(in_folder("flat"), folder),
          "the same file by two names");
    ImageSetOptions gray = { .h = 16, .w = 16, .channels = 1, .limit = 1, .photo = 1 };
    WORKS(imageset_load(&set, in_folder("flat"), &gray));
    WORKS(imageset_get(&set, 0, pixels, mask));
    CHECK(set.count == 1 && set.c == 1 && set.mask && mask[0] == 1, "limit, gray and masks of folders");
    CLOSE(pixels[0], 2 * .299 - 1, .005, 0, "red is .299 in gray");
    imageset_free(&set);
    WORKS(imageset_load(&set, in_folder("flat/a.png"), NULL));
    CHECK(set.count == 1 && !set.label, "one picture is a set of one");
    imageset_free(&set);

    make_folder("classes"), make_folder("classes/coats"), make_folder("classes/coats/red"),
        make_folder("classes/coats-b");
    make_folder("classes/empty"), make_folder("classes/shoes"), make_folder("classes/bad");
    write_plain("classes/shoes/s.png", 4, 4, 0, 0, 0), write_plain("classes/coats/z.png", 4, 4, 0, 0, 0);
    write_plain("classes/coats/red/r.png", 4, 4, 0, 0, 0), write_plain("classes/coats-b/b.png", 4, 4, 0, 0, 0);
    write_file("classes/bad/b.png", "\x89PNG\r\n\x1a\n....", 12);
    write_file("classes/README", "four classes", 12);
    WORKS(imageset_load(&set, in_folder("classes"), NULL));
    CHECK(set.count == 4 && set.classes == 3 && set.label, "classes: %ld pictures, %d classes", set.count, set.classes);
    static const int label[] = { 0, 0, 1, 2 };
    for (int i = 0; i < 4 && set.label; i++) CHECK(set.label[i] == label[i], "label %d is %d", i, set.label[i]);
    imageset_free(&set);

    FAILS(imageset_load(&set, in_folder("classes/empty"), NULL), "classes/empty", "none of the 0 files");
    FAILS(imageset_load(&set, in_folder("classes/bad"), NULL), "none of the 1 files", "GIMP");
    FAILS(imageset_load(&set, in_folder("classes/README"), NULL), "README", "PNG, JPEG");
    make_folder("windows"), write_file("windows/Thumbs.db", "\xd0\xcf\x11\xe0 not a picture", 18);
    write_file("windows/a.png", "\x89PNG\r\n\x1a\n....", 12), write_plain("windows/z.png", 4, 4, 0, 0, 0);
    WORKS(imageset_load(&set, in_folder("windows"), NULL));
    CHECK(set.skipped == 2 && strstr(set.note, "a.png"), "the damaged picture is told, not Thumbs.db: %s", set.note);
    imageset_free(&set);
    char deep[400] = "deep";
    for (int i = 0; i < 20; i++) { make_folder(deep); strcat(deep, "/d"); }
    FAILS(imageset_load(&set, in_folder("deep"), NULL), "deep", "nested deeper than 16");
}

static void test_synthetic(void) {
    ImageSet a, b;
    WORKS(imageset_load(&a, "synthetic:60", NULL));
    WORKS(imageset_load(&b, "synthetic", &(ImageSetOptions){ .limit = 40 }));
    CHECK(a.count == 60 && a.h == 28 && a.w == 28 && a.c == 1 && a.classes == 10, "synthetic");
    CHECK(b.count == 40 && !memcmp(a.pixels, b.pixels, 40 * 28 * 28), "picture i is the same in every set");
    for (int i = 0; i < 60; i++) {
        const unsigned char *p = a.pixels + i * 784;
        int lit = 0, same = 0;
        for (int k = 0; k < 784; k++) lit += p[k] > 5;
        for (int j = 0; j < i; j++) same += !memcmp(p, a.pixels + j * 784, 784);
        CHECK(p[0] == 0 && p[27] == 0 && p[783] == 0, "picture %d: black corners", i);
        CHECK(lit > 50 && lit < 600, "picture %d: %d pixels are lit", i, lit);
        CHECK(same == 0 && a.label[i] == i % 10, "picture %d is its own", i);
    }
    imageset_free(&a), imageset_free(&b);
    float pixels[40 * 48], mask[40 * 48];
    WORKS(imageset_load(&a, "synthetic:10", &(ImageSetOptions){ .h = 40, .w = 48, .photo = 1 }));
    WORKS(imageset_get(&a, 0, pixels, mask));
    CHECK(a.stored_h == 40 && a.stored_w == 48 && pixels[0] == 1 && mask[0] == 0, "drawn at its size, on white");
    CHECK(mask[20 * 48 + 24] == 1 && pixels[20 * 48 + 24] < .5f, "with its mask");
    imageset_free(&a);
    FAILS(imageset_load(&a, "synthetic:0", NULL), "synthetic:0", "1..1000000");
    FAILS(imageset_load(&a, "synthetic:12x", NULL), "synthetic:12x", "1..1000000");
    FAILS(imageset_load(&a, "synthetic:99999999999999999999", NULL), "synthetic:9999", "1..1000000");
}

static void test_patterns(void) {
    for (int kind = 0; kind < IMAGE_PATTERNS; kind++) {
        Image a, b;
        WORKS(image_pattern_synthetic(&a, kind, 128));
        WORKS(image_pattern_synthetic(&b, kind, 128));
        CHECK(a.h == 128 && a.w == 128 && a.c == 3 && a.tileable, "pattern %d", kind);
        CHECK(!memcmp(a.pixels, b.pixels, sizeof(float) * 128 * 128 * 3), "pattern %d is always the same", kind);
        /* tileable: going across the seam is no rougher than any step inside */
        double seam = 0, most = 0;
        for (int at = 0; at < 128; at++) {
            double across = 0, down = 0;
            for (int i = 0; i < 128; i++) for (int k = 0; k < 3; k++) {
                across += fabs(a.pixels[(i * 128 + at) * 3 + k] - a.pixels[(i * 128 + (at + 1) % 128) * 3 + k]);
                down += fabs(a.pixels[(at * 128 + i) * 3 + k] - a.pixels[((at + 1) % 128 * 128 + i) * 3 + k]);
            }
            if (at == 127) seam = fmax(across, down);
            else most = fmax(most, fmax(across, down));
        }
        CHECK(seam <= most, "pattern %d: the seam shows: %g against %g", kind, seam, most);
        float low = 9, high = -9;
        for (int i = 0; i < 128 * 128 * 3; i++) low = fminf(low, a.pixels[i]), high = fmaxf(high, a.pixels[i]);
        CHECK(low >= -1 && high <= 1 && high - low > .8f, "pattern %d: %g..%g", kind, low, high);
        image_free(&a), image_free(&b);
    }
    Image a;
    FAILS(image_pattern_synthetic(&a, 6, 64), "pattern 6", "0..5");
    FAILS(image_pattern_synthetic(&a, -1, 64), "pattern -1", "0..5");
    FAILS(image_pattern_synthetic(&a, 0, 100), "size 100", "power of two");
    FAILS(image_pattern_synthetic(&a, 0, 8192), "size 8192", "4096");
    WORKS(image_pattern_synthetic(&a, 0, 8));
    image_free(&a);
}

/* ---- augmentation --------------------------------------------------------------------------------------------- */

static void test_augment(void) {
    enum { N = 9 };
    float in[N * N * 3], mask[N * N], out[N * N * 3], out_mask[N * N], middle[8];
    const float any[8] = { .9f, .1f, .8f, .7f, .2f, .7f, .1f, .6f };
    for (int i = 0; i < N * N * 3; i++) in[i] = hash((uint32_t)i) * 2 - 1;
    for (int i = 0; i < N * N; i++) mask[i] = hash((uint32_t)i + 1000);
    for (int i = 0; i < 8; i++) middle[i] = .5f;
    Augment none = {0}, all = { 40, .2f, .2f, .2f, .2f, 1 }, a;
    CHECK(all.rotation == 40 && all.shift_x == .2f && all.shift_y == .2f && all.shear == .2f && all.zoom == .2f
          && all.flip == 1,
          "document 001's ranges");
    image_augment(out, out_mask, in, mask, N, N, 3, &none, any);
    CHECK(!memcmp(out, in, sizeof in) && !memcmp(out_mask, mask, sizeof mask), "nothing on: bit for bit the same");
    image_augment(out, NULL, in, NULL, N, N, 3, &all, middle);
    CHECK(!memcmp(out, in, sizeof in), "all on, but in the middle of every range: the same");

    a = none, a.flip = 1;
    image_augment(out, out_mask, in, mask, N, N, 3, &a, any);
    int wrong = 0;
    for (int i = 0; i < N * N; i++) wrong += out[i * 3 + 1] != in[(i / N * N + N - 1 - i % N) * 3 + 1];
    for (int i = 0; i < N * N; i++) wrong += out_mask[i] != mask[i / N * N + N - 1 - i % N];
    CHECK(!wrong, "flipped left to right, mask too");

    float u[8];
    memcpy(u, middle, sizeof u);
    a = none, a.rotation = 180, u[0] = .75f;                    /* 90 degrees: q = c + (-dx, dy) */
    image_augment(out, out_mask, in, mask, N, N, 3, &a, u);
    float worst = 0;
    for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) for (int k = 0; k < 3; k++)
        worst = fmaxf(worst, fabsf(out[(i * N + j) * 3 + k] - in[((N - 1 - j) * N + i) * 3 + k]));
    CHECK(worst < 1e-5f, "a quarter turn moves every pixel to its place: %g", worst);
    CLOSE(out_mask[2 * N + 3], mask[(N - 1 - 3) * N + 2], 1e-5, 0, "and the mask");

    memcpy(u, middle, sizeof u);
    a = none, a.shift_x = 4 / 9.f, u[1] = .75f, a.shift_y = 2 / 9.f, u[2] = .25f;   /* from 2 right, 1 up */
    image_augment(out, NULL, in, NULL, N, N, 3, &a, u);
    worst = 0;
    for (int i = 0; i < N; i++) for (int j = 0; j < N; j++)
        worst = fmaxf(worst, fabsf(out[(i * N + j) * 3] - in[((i ? i - 1 : 0) * N + (j + 2 < N ? j + 2 : N - 1)) * 3]));
    CHECK(worst < 1e-5f, "shifts by whole pixels, nearest fill: %g", worst);

    for (int i = 0; i < N * N; i++) in[i * 3] = (float)(i % N), in[i * 3 + 1] = (float)(i / N), in[i * 3 + 2] = 1;
    memcpy(u, middle, sizeof u);
    a = none, a.zoom = .5f, u[4] = 0, u[5] = .25f;              /* x twice as large, y 1/.75 */
    image_augment(out, NULL, in, NULL, N, N, 3, &a, u);
    CLOSE(out[(4 * N + 6) * 3], 5, 1e-5, 0, "zoom x: 4 + .5*2");
    CLOSE(out[(8 * N + 4) * 3 + 1], 7, 1e-5, 0, "zoom y: 4 + .75*4");
    CLOSE(out[2], 1, 1e-6, 0, "a constant stays");
    memcpy(u, middle, sizeof u);
    a = none, a.shear = .4f, u[3] = .75f;                       /* shear angle .2 */
    image_augment(out, NULL, in, NULL, N, N, 3, &a, u);
    CLOSE(out[(4 * N + 7) * 3 + 1], 4 - 3 * sin(.2), 1e-5, 0, "shear: rows move with the column");
    CLOSE(out[(4 * N + 7) * 3], 4 + 3 * cos(.2), 1e-5, 0, "shear: cos along the columns");
}

static void test_augment_parse(void) {
    Augment a, d = { 40, .2f, .2f, .2f, .2f, 1 }, none = {0};
    WORKS(augment_parse(&a, "all"));
    CHECK(!memcmp(&a, &d, sizeof a), "all");
    WORKS(augment_parse(&a, "none"));
    CHECK(!memcmp(&a, &none, sizeof a), "none");
    WORKS(augment_parse(&a, "flip,rotation,zoom=.1"));
    CHECK(a.flip == 1 && a.rotation == 40 && a.zoom == .1f && a.shear == 0 && a.shift_x == 0 && a.shift_y == 0,
          "a list");
    WORKS(augment_parse(&a, "shift=.3,shear,shift_y=0.25"));
    CHECK(!a.flip && a.shift_x == .3f && a.shift_y == .25f && a.shear == .2f, "shift is both, the last word counts");
    WORKS(augment_parse(&a, "shift"));
    CHECK(a.shift_x == .2f && a.shift_y == .2f, "shift alone");
    static const char *const bad[] = { "", "flip,", ",flip", "rotate", "zoom=", "zoom=x", "zoom=.1x", "zoom=-.1",
                                       "zoom=1", "zoom=nan",
                                       "rotation=400", "flip=1", "all,flip", "shift_=1", "rotation =3", "=", "zoo" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Augment before = a;
        FAILS(augment_parse(&a, bad[i]), "augmentation", "rotation (degrees");
        CHECK(!memcmp(&a, &before, sizeof a), "a failed parse changes nothing");
    }
}

/* ---- showing things ------------------------------------------------------------------------------------------- */

static void test_grid(void) {
    Image g;
    float pixels[5 * 2 * 3];
    for (int i = 0; i < 30; i++) pixels[i] = -1 + i / 15.f;
    WORKS(image_grid(&g, pixels, 5, 2, 3, 1, 2, 4, 1));
    CHECK(g.h == 3 * 9 + 1 && g.w == 2 * 13 + 1 && g.c == 3, "a grid of %dx%d", g.h, g.w);
    int wrong = 0;
    for (int i = 0; i < 5; i++) for (int y = 0; y < 8; y++) for (int x = 0; x < 12; x++) for (int k = 0; k < 3; k++)
        wrong += g.pixels[((1 + i / 2 * 9 + y) * g.w + 1 + i % 2 * 13 + x) * 3 + k]
              != pixels[i * 6 + y / 4 * 3 + x / 4];
    CHECK(!wrong, "every pixel is drawn 4 x 4");
    CHECK(g.pixels[0] == .76f && g.pixels[(27 * g.w + 26) * 3] == .76f && g.pixels[(20 * g.w + 20) * 3] == .76f,
          "gray between");
    image_free(&g);
    WORKS(image_grid(&g, pixels, 5, 1, 2, 3, 3, 1, 0));
    CHECK(g.h == 2 && g.w == 6 && g.pixels[(1 * 6 + 1) * 3 + 2] == pixels[3 * 6 + 5],
          "colours as they are");
    image_free(&g);
    FAILS(image_grid(&g, pixels, 0, 2, 3, 1, 2, 4, 1), "0 pictures", "at least one");
    FAILS(image_grid(&g, pixels, 5, 2, 3, 2, 2, 4, 1), "3 x 2 x 2", "channels");
    FAILS(image_grid(&g, pixels, 5, 2, 3, 1, 2, 0, 1), "scale 0", "1..64");
    FAILS(image_grid(&g, pixels, 5, 2, 3, 1, 0, 4, 1), "0 columns", "at least one");
    FAILS(image_grid(&g, pixels, 2000000000, 2, 3, 1, 1, 4, 1), "2000000000", "fewer");
}

static void test_text(void) {
    Image m;
    const float ink[3] = { 1, -1, .5f };
    WORKS(image_new(&m, 20, 40, 3));
    image_text(&m, 2, 3, "l", 2, ink);                             /* a bar one pixel wide and seven high, twice as large */
    int dots = 0;
    for (int i = 0; i < 800; i++) dots += m.pixels[i * 3] == 1 && m.pixels[i * 3 + 1] == -1 && m.pixels[i * 3 + 2] == .5f;
    CHECK(dots >= 4 * 6 && dots <= 4 * 10, "an l has %d pixels", dots);
    CHECK(m.pixels[(1 * 40 + 4) * 3] == 0 && m.pixels[(17 * 40 + 7) * 3] == 0, "and nothing beside it");
    image_free(&m);
    WORKS(image_new(&m, 30, 30, 1));
    char every[256];
    for (int i = 0; i < 255; i++) every[i] = (char)(i + 1);
    every[255] = 0;
    for (int at = -70; at < 70; at += 7) image_text(&m, at, -at, every, 3, ink);    /* clipped at all sides */
    image_free(&m);
    static Image drawn[127];
    for (int letter = 33; letter < 127; letter++) {             /* every letter is drawn, and none like another */
        int on = 0, twins = 0;
        WORKS(image_new(&drawn[letter], 14, 14, 1));
        image_text(&drawn[letter], 1, 1, (char[]){ (char)letter, 0 }, 1, (float[]){ 1, 1, 1 });
        for (int i = 0; i < 14 * 14; i++) on += drawn[letter].pixels[i] > 0;
        for (int other = 33; other < letter; other++)
            twins += !memcmp(drawn[letter].pixels, drawn[other].pixels, sizeof(float) * 14 * 14);
        CHECK(on > 0 && on < 40 && !twins, "letter %c: %d dots, %d twins", letter, on, twins);
    }
    for (int letter = 33; letter < 127; letter++) image_free(&drawn[letter]);
}

/* ---- colours --------------------------------------------------------------------------------------------------- */

static void test_colours(void) {
    const double s[9] = { 2, .5, -.3, .5, 1, .2, -.3, .2, .5 }, c[9] = { .7, .1, .2, .1, .3, -.1, .2, -.1, 1.5 };
    double half[9], unhalf[9], a[9], b[9], mean[2][3], covariance[2][9];
    colour_power(half, s, .5), colour_power(unhalf, s, -.5);
    matrix_product(a, half, half, 3);
    for (int i = 0; i < 9; i++) CLOSE(a[i], s[i], 1e-12, 0, "root squared, element %d", i);
    matrix_product(a, unhalf, s, 3), matrix_product(b, a, unhalf, 3);
    for (int i = 0; i < 9; i++) CLOSE(b[i], i % 4 ? 0 : 1, 1e-12, 0, "whitened, element %d", i);
    colour_monge(half, c, c);
    for (int i = 0; i < 9; i++) CLOSE(half[i], i % 4 ? 0 : 1, 1e-12, 0, "nothing moves, element %d", i);
    colour_monge(half, c, s);
    matrix_product(a, half, c, 3), matrix_product(b, a, half, 3);
    for (int i = 0; i < 9; i++) {
        CLOSE(b[i], s[i], .005, 0, "T C T = S but for the ridge, element %d", i);
        CLOSE(half[i], half[i % 3 * 3 + i / 3], 1e-12, 0, "Monge's map is symmetric, element %d", i);
    }

    Image x, like, was;
    WORKS(image_new(&x, 40, 30, 3));
    WORKS(image_new(&like, 20, 50, 3));
    for (int i = 0; i < 3600; i++) x.pixels[i] = .3f * hash((uint32_t)i) + .2f * hash((uint32_t)(i / 3 + 9000)) - .1f * (float)(i % 3);
    for (int i = 0; i < 3000; i++) like.pixels[i] = .4f * hash((uint32_t)(i / 3 + 20000)) * (float)(i % 3) - .2f * hash((uint32_t)(i + 30000));
    WORKS(image_add_mask(&like, 1));
    for (int i = 0; i < 500; i++) like.mask[i] = .2f, like.pixels[3 * i] = -1;                  /* outside: not counted */
    WORKS(image_copy(&was, &x));
    colour_match(&x, &like);
    colour_statistics(mean[0], covariance[0], &x, NULL, 1);
    colour_statistics(mean[1], covariance[1], &like, NULL, 1);
    for (int i = 0; i < 3; i++) CLOSE(mean[0][i], mean[1][i], 2e-4, 0, "mean %d", i);
    for (int i = 0; i < 9; i++) CLOSE(covariance[0][i], covariance[1][i], .005, 0, "covariance %d, but for the ridge", i);
    double together[3], other[9], weight[2] = { 1, 3 };
    colour_statistics(mean[0], covariance[0], &was, NULL, 1);
    colour_statistics(together, other, (Image[]){ was, like }, weight, 2);
    for (int i = 0; i < 3; i++) CLOSE(together[i], .25 * mean[0][i] + .75 * mean[1][i], 1e-9, 0, "mean of two, channel %d", i);
    for (int i = 0; i < 1000; i++) like.mask[i] = 0;
    colour_statistics(mean[0], covariance[0], &like, NULL, 1);
    CHECK(mean[0][1] == 0 && covariance[0][4] == 0, "no pixel: zero, not NaN");
    colour_match(&like, &(Image){ .h = 1, .w = 1, .c = 3, .pixels = (float[]){ .5f, .5f, .5f } });
    for (int i = 0; i < 3000; i++) CHECK(isfinite(like.pixels[i]), "a flat colour and an empty mask: %g", like.pixels[i]);

    for (int i = 0; i < 3600; i++) x.pixels[i] = 2 * hash((uint32_t)(i + 50000)) - 1, was.pixels[i] = 2 * hash((uint32_t)(i + 60000)) - 1;
    memcpy(was.pixels, x.pixels, 30 * sizeof(float));
    Image kept;
    WORKS(image_copy(&kept, &x));
    colour_keep_luminance(&kept, &was);
    CHECK(!memcmp(kept.pixels, x.pixels, 30 * sizeof(float)), "where the two agree no bit changes");
    for (int i = 0; i < 1200; i++) {
        const float *k = kept.pixels + 3 * i, *f = x.pixels + 3 * i, *p = was.pixels + 3 * i;
        double y = .299 * k[0] + .587 * k[1] + .114 * k[2], full = .299 * p[0] + .587 * p[1] + .114 * p[2];
        CLOSE(y, .299 * f[0] + .587 * f[1] + .114 * f[2], 1e-6, 0, "luminance of pixel %d", i);
        CLOSE((k[0] - y) * (p[2] - full), (k[2] - y) * (p[0] - full), 2e-6, 0, "hue of pixel %d", i);
        CHECK(fabsf(k[0]) <= 1 && fabsf(k[1]) <= 1 && fabsf(k[2]) <= 1, "pixel %d is a colour", i);
    }
    image_free(&x), image_free(&like), image_free(&was), image_free(&kept);
}

/* The same 32 x 32 colours in files of other kinds, made by Python's PIL: (8 x, 8 y, 40; 200 on the right half) */
static void test_kinds(void) {
    static const struct { const char *name; double within; int gray; } kind[] = {
        { "16bit.png", .5, 0 }, { "palette.png", 20, 0 }, { "gray.png", 1, 1 }, { "cmyk.jpg", 8, 0 } };
    const char *folder = getenv("TESTS");
    for (int k = 0; k < 4; k++) {
        char path[4096];
        double most = 0;
        Image m;
        snprintf(path, sizeof path, "%s/data/%s", folder ? folder : "tests", kind[k].name);
        WORKS(image_load(&m, path));
        CHECK(m.h == 32 && m.w == 32 && m.c == 3 && !m.mask, "%s: %d x %d x %d", path, m.w, m.h, m.c);
        for (int i = 0; i < 1024 && m.pixels; i++) {
            double c[3] = { i % 32 * 8, i / 32 * 8, i % 32 < 16 ? 40 : 200 }, gray = .299 * c[0] + .587 * c[1] + .114 * c[2];
            for (int j = 0; j < 3; j++) most = fmax(most, fabs((m.pixels[3 * i + j] + 1) * 127.5 - (kind[k].gray ? gray : c[j])));
        }
        CHECK(most <= kind[k].within, "%s: off by %g", path, most);
        image_free(&m);
    }
}

static long count_colour(const Image *m, float r, float g, float b) {
    long n = 0;
    for (int i = 0; i < m->h * m->w; i++)
        n += fabsf(m->pixels[i * 3] - r) + fabsf(m->pixels[i * 3 + 1] - g) + fabsf(m->pixels[i * 3 + 2] - b) < .02f;
    return n;
}

static void plot_works(const PlotSeries *series, int count, const char *what) {
    Image p;
    WORKS(image_plot(&p, series, count, what, "step"));
    CHECK(p.h == 420 && p.w == 900 && p.c == 3, "%s: %dx%dx%d", what, p.h, p.w, p.c);
    int outside = 0;
    for (int i = 0; i < 420 * 900 * 3 && p.pixels; i++) outside += !(p.pixels[i] >= -1 && p.pixels[i] <= 1);
    CHECK(!outside, "%s: %d values are no colours", what, outside);
    image_free(&p);
}

static void test_plot(void) {
    static double x[20000], y[20000], z[20000];
    for (int i = 0; i < 20000; i++) x[i] = i * 10, y[i] = exp(-i / 4000.), z[i] = y[i] + hash((uint32_t)i);
    Image p;
    WORKS(image_plot(&p, (PlotSeries[]){ { "a", x, y, 200 } }, 1, "title", "step"));
    long blue = count_colour(&p, -1, -.106f, .396f);
    CHECK(blue > 800 && blue < 4000, "a two pixel line: %ld blue pixels", blue);
    CHECK(count_colour(&p, 1, 1, 1) > 300000, "on white");
    image_free(&p);
    for (int i = 60; i < 140; i++) y[i] = NAN;
    WORKS(image_plot(&p, (PlotSeries[]){ { "a", x, y, 200 } }, 1, "title", "step"));
    long with_gap = count_colour(&p, -1, -.106f, .396f);
    CHECK(with_gap < blue * 3 / 4, "NaN leaves a gap: %ld of %ld", with_gap, blue);
    image_free(&p);
    WORKS(image_plot(&p, (PlotSeries[]){ { "noise", x, z, 20000 } }, 1, NULL, NULL));
    long strong = count_colour(&p, -1, -.106f, .396f), white = count_colour(&p, 1, 1, 1);
    CHECK(strong > 800 && strong < 6000, "noise has a strong average: %ld", strong);
    CHECK(white < 300000, "over a faint band: %ld white", white);
    image_free(&p);
    double same[] = { 5, 5, 5 }, zero[] = { 0, 0 }, nan[] = { NAN, NAN, INFINITY }, one[] = { -3 },
        tiny[] = { 1e-320, 3e-320 };
    double wide[] = { -1e299, 1e299, 1e308, -1e308 }, close[] = { 1e17, 1e17 + 16 }, bad_x[] = { NAN, 2, INFINITY };
    plot_works(NULL, 0, "no series");
    plot_works((PlotSeries[]){ { "empty", NULL, NULL, 0 } }, 1, "empty");
    plot_works((PlotSeries[]){ { "same", NULL, same, 3 }, { "zero", NULL, zero, 2 } }, 2, "constant");
    plot_works((PlotSeries[]){ { "zero", zero, zero, 2 } }, 1, "one place");
    plot_works((PlotSeries[]){ { "nan", NULL, nan, 3 }, { "one", NULL, one, 1 } }, 2, "no numbers");
    plot_works((PlotSeries[]){ { "nan", NULL, nan, 3 } }, 1, "only no numbers");
    plot_works((PlotSeries[]){ { "tiny", tiny, tiny, 2 } }, 1, "denormal");
    plot_works((PlotSeries[]){ { "wide", NULL, wide, 4 } }, 1, "huge");
    plot_works((PlotSeries[]){ { "close", NULL, close, 2 } }, 1, "nearly constant");
    plot_works((PlotSeries[]){ { "x", bad_x, same, 3 } }, 1, "x has gaps");
    FAILS(image_plot(&p, NULL, 9, "nine", ""), "9 series", "at most 8");
}

/* ---- what may be installed ------------------------------------------------------------------------------------ */

static void test_fashion_mnist(void) {
    ImageSet set;
    if (access("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz", R_OK)) return;
    WORKS(imageset_load(&set, "fashion-mnist", NULL));
    CHECK(set.count == 60000 && set.h == 28 && set.w == 28 && set.classes == 10, "Fashion-MNIST: %ld", set.count);
    CHECK(set.label && set.label[0] == 9, "the first is an ankle boot");
    double sum = 0;
    for (long i = 0; i < set.count * 784; i++) sum += set.pixels[i];
    CLOSE(sum / (set.count * 784.), 72.94, .005, 0, "the mean pixel");
    imageset_free(&set);
    float pixels[64 * 64], mask[64 * 64];
    WORKS(imageset_load(&set, "fashion-mnist:test", &(ImageSetOptions){ .h = 64, .w = 64, .photo = 1 }));
    CHECK(set.count == 10000 && set.label && set.inverted, "the test part");
    clock_t start = clock();
    for (int i = 0; i < 640; i++) imageset_get(&set, i, pixels, mask);
    double each = (double)(clock() - start) / CLOCKS_PER_SEC / 640;
    CHECK(each < 2e-3, "64 fetched pictures of 64x64 take %.1f ms", each * 64e3);
    imageset_free(&set);
}

static void test_gimp_patterns(void) {
    ImageSet set;
    if (access("/usr/share/gimp/2.0/patterns", R_OK)) return;
    WORKS(imageset_load(&set, "/usr/share/gimp/2.0/patterns",
                        &(ImageSetOptions){ .h = 32, .w = 32 }));
    CHECK(set.count == 110 && set.skipped == 0, "GIMP: %ld patterns, %ld not readable: %s", set.count, set.skipped,
          set.note);
    imageset_free(&set);
}

int main(void) {
    if (!mkdtemp(folder)) { perror(folder); return 1; }
    CHECK(!strcmp(error_text(), ""), "no error before the first");
    test_formats();
    test_alpha();
    test_damaged();
    test_orientation();
    test_habits();
    test_load_errors();
    test_save();
    test_resize();
    test_fit();
    test_crop_tile_copy();
    test_garment_mask();
    test_print();
    test_idx();
    test_set_options();
    test_folders();
    test_synthetic();
    test_patterns();
    test_augment();
    test_augment_parse();
    test_grid();
    test_text();
    test_plot();
    test_colours();
    test_kinds();
    test_fashion_mnist();
    test_gimp_patterns();
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command)) printf("  %s was left behind\n", folder);
    return test_report("images");
}
