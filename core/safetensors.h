/* safetensors.h: named tensors in one file, in the format of Python's package `safetensors`.
 *
 * A file is three things, one after the other:
 *     8 bytes     N, the length of the header: unsigned, little-endian
 *     N bytes     the header: JSON text in UTF-8, begins with '{', may end in spaces
 *     the rest    the tensors' values, little-endian and row-major, without hole or overlap
 * A header looks like this; its offsets count from the beginning of the data:
 *     {"__metadata__": {"step": "500"},
 *      "g.w": {"dtype": "F32", "shape": [3, 64], "data_offsets": [0, 768]}, ...}
 *
 *     StTensor t = {"g.w", "F32", 2, {3, 64}, weights, sizeof weights};
 *     must(st_write("a.safetensors", &t, 1, &(StMeta){"step", "500"}, 1));
 *
 *     StFile file;
 *     must(st_open(&file, "a.safetensors"));
 *     const StTensor *w = st_find(&file, "g.w");
 *     if (!w || !st_read_f32(w, weights, 3*64)) ...
 *     st_close(&file);
 *
 * Functions that return int return 1 when all went well; else 0, and error_text() says which file,
 * what is wrong, what was expected. A file from a stranger is safe to open: everything in it is
 * checked before it is used, and it costs no more memory than a few times its size. */
#ifndef SAFETENSORS_H
#define SAFETENSORS_H
#include "core/error.h"
#include "core/files.h"
#include <stddef.h>

enum { ST_RANK_MAX = 8 };               /* the most dimensions of a tensor */
enum { ST_HEADER_MAX = 100000000 };     /* bytes; the Python package has the same limit */

typedef struct StTensor {
    const char *name;                   /* UTF-8, not empty, not "__metadata__", once in a file */
    const char *dtype;                  /* "F32", or another of st_dtypes below */
    int rank;                           /* 0 (a single number) to ST_RANK_MAX */
    long shape[ST_RANK_MAX];            /* each 0 or more; a 0 makes an empty tensor */
    const void *data;                   /* aligned if no tensor before it has a narrower dtype */
    size_t bytes;                       /* product of the shape * size of the dtype */
} StTensor;

typedef struct StMeta { const char *key, *value; } StMeta;      /* UTF-8; each key once */

typedef struct StFile {
    StTensor *tensors;  int count;      /* in the order of their data */
    StMeta *meta;       int metas;      /* in the order of their keys */
    char *data;                         /* all data, then the header: what those two point into */
} StFile;

/* Reads and checks a whole file. Where it breaks a rule of the format, *file is empty. */
int st_open(StFile *file, const char *path);

/* Frees what st_open made: tensors, names and data. */
void st_close(StFile *file);

/* The tensor of a name, the value of a key of the metadata, until st_close. NULL: not there. */
const StTensor *st_find(const StFile *file, const char *name);
const char *st_meta(const StFile *file, const char *key);

/* Copies the values of a tensor of dtype F64, F32, F16 or BF16 to out, converted. Fails on another
 * dtype or another count. The message begins with the tensor's name. */
int st_read_f32(const StTensor *tensor, float *out, long count);
int st_read_f64(const StTensor *tensor, double *out, long count);

/* Writes all of a file or nothing (file_begin, file_end), and reads it back before it takes the
 * name `path`. The tensors keep their order. Fails if the disk refuses or st_open would. A symbolic
 * link at `path` is replaced, not followed. */
int st_write(const char *path, const StTensor *tensors, int count, const StMeta *meta, int metas);

/* Is it UTF-8, as names and metadata must be? */
int st_is_text(const char *text);
#endif

#if defined(SAFETENSORS_IMPLEMENTATION) && !defined(SAFETENSORS_IMPLEMENTED)
#define SAFETENSORS_IMPLEMENTED
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(size_t) == sizeof(long), "a file that fits in memory is counted by a long");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "it copies numbers as they lie");

static const struct { const char *name; size_t size; } st_dtypes[] = {
    {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"C64", 8},
    {"BOOL", 1}, {"I64", 8}, {"I32", 4}, {"I16", 2}, {"I8", 1}, {"U64", 8}, {"U32", 4}, {"U16", 2},
    {"U8", 1}, {NULL, 0},
};

/* ---- Reading ------------------------------------------------------------------------------------
 * One function for each rule of the header's grammar. Each begins at r->at, steps over what it
 * understands, and returns 0 at the first byte that breaks the rule. The header ends in a NUL,
 * which fits no rule and so stops every function. */

#define ST_AGAIN ": the file is damaged or was made for something else; restore it or make it again"

typedef struct StReader {
    const char *path, *name;            /* of the file, and of the tensor being read: */
    StFile *file;                       /* it is tensors[count] here */
    char *header, *at;                  /* the header, and the next character to read there */
    long bytes, offsets[2];             /* of all data; of this tensor's, from where to where */
    int seen, metadata;                 /* bits of its three keys; __metadata__: those that came */
} StReader;

static int st_bad(const StReader *r, const char *expected) {
    int found = isprint((unsigned char)*r->at) ? *r->at : '?';
    return fail("%s: byte %ld, in the header%s%.200s: expected %s, at '%c'" ST_AGAIN, r->path,
                8 + r->at - r->header, *r->name ? ", tensor " : "", r->name, expected, found);
}

/* Skips white space; if c comes next, skips it too and returns 1. */
static int st_accept(StReader *r, char c) {
    r->at += strspn(r->at, " \t\r\n");
    return *r->at == c && r->at++;
}

static int st_expect(StReader *r, char c) {
    return st_accept(r, c) || st_bad(r, (char[]){'\'', c, '\'', 0});
}

/* The length in bytes of the UTF-8 character at s; 0 if it is none: a stray or missing continuation
 * byte, a longer form than needed, half a surrogate pair, a code above U+10FFFF. */
static int st_utf8(const unsigned char *s) {
    int c = s[0], n = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    for (int i = 1; i < n; i++) if ((s[i] & 0xC0) != 0x80) return 0;
    if ((c == 0xE0 && s[1] < 0xA0) || (c == 0xED && s[1] > 0x9F)) return 0;
    if ((c == 0xF0 && s[1] < 0x90) || (c == 0xF4 && s[1] > 0x8F)) return 0;
    return n;
}

int st_is_text(const char *text) {
    int n = 1;
    for (; *text && n; text += n) n = st_utf8((const unsigned char *)text);
    return n > 0;
}

/* The number that \uHHHH at s stands for; -1 if that is not what is there. */
static long st_unicode(const char *s) {
    if (s[0] != '\\' || s[1] != 'u') return -1;
    for (int i = 2; i < 6; i++) if (!isxdigit((unsigned char)s[i])) return -1;
    return strtol((char[]){s[2], s[3], s[4], s[5], 0}, NULL, 16);
}

/* The escape at r->at, as UTF-8 at *to. Codes above U+FFFF are a high, then a low surrogate. */
static int st_escape(StReader *r, char **to) {
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    static const char first[] = "\0\xC0\xE0\xF0";
    const char *letter = r->at[1] ? strchr(letters, r->at[1]) : NULL;
    long code = letter ? meanings[letter - letters] : st_unicode(r->at);
    if (code <= 0)
        return st_bad(r, "an escape: \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u0001 to \\uffff");
    r->at += letter ? 2 : 6;
    if (code >= 0xD800 && code <= 0xDFFF) {
        long low = st_unicode(r->at);
        if (code > 0xDBFF || low < 0xDC00 || low > 0xDFFF)
            return st_bad(r, "a high, then a low surrogate");
        code = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00);
        r->at += 6;
    }
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;    /* bytes of 6 bits */
    *(*to)++ = first[more] | code >> 6 * more;
    while (more--) *(*to)++ = 0x80 | (code >> 6 * more & 0x3F);
    return 1;
}

/* A text in quotes, decoded where it lies: what an escape stands for is shorter than the escape. */
static int st_text(StReader *r, const char **text) {
    if (!st_accept(r, '"')) return st_bad(r, "a text in quotes");
    char *to = r->at;
    *text = to;
    while (*r->at != '"') {
        int n = (unsigned char)*r->at < 32 ? 0 : st_utf8((unsigned char *)r->at);
        if (n == 0) return st_bad(r, "UTF-8 without control characters, or a closing quote");
        if (*r->at != '\\') while (n--) *to++ = *r->at++;
        else if (!st_escape(r, &to)) return 0;
    }
    r->at++;
    *to = 0;                            /* on the closing quote, or before it */
    return 1;
}

/* [a, b, ...]: at most `most` whole numbers from 0 to LONG_MAX. Returns how many, or -1. */
static int st_numbers(StReader *r, long *out, int most) {
    int n = 0;
    if (!st_expect(r, '[')) return -1;
    if (st_accept(r, ']')) return 0;
    do {
        char *from = r->at += strspn(r->at, " \t\r\n");
        errno = 0;
        long value = isdigit((unsigned char)*from) ? strtol(from, &r->at, 10) : -1;
        if (value < 0 || errno || (*from == '0' && r->at > from + 1))
            return st_bad(r, "a whole number") - 1;
        if (n == most) return st_bad(r, "fewer numbers before this") - 1;
        out[n++] = value;
    } while (st_accept(r, ','));
    return st_expect(r, ']') ? n : -1;
}

/* {"key": value, ...}: calls `member` where each value begins. */
static int st_object(StReader *r, int (*member)(StReader *r, const char *key)) {
    const char *key;
    if (!st_expect(r, '{')) return 0;
    if (st_accept(r, '}')) return 1;
    do if (!st_text(r, &key) || !st_expect(r, ':') || !member(r, key)) return 0;
    while (st_accept(r, ','));
    return st_expect(r, '}');
}

/* Inside "__metadata__": "step": "500". */
static int st_metadata_member(StReader *r, const char *key) {
    StMeta *m = &r->file->meta[r->file->metas++];
    m->key = key;
    return st_text(r, &m->value);
}

/* Inside a tensor: "dtype": "F32", "shape": [3, 64], "data_offsets": [0, 768], in any order. */
static int st_tensor_member(StReader *r, const char *key) {
    StTensor *t = &r->file->tensors[r->file->count];
    int dtype = !strcmp(key, "dtype"), shape = !strcmp(key, "shape");
    int bit = dtype + 2 * shape + 4 * !strcmp(key, "data_offsets");
    if (!bit || r->seen & bit)
        return st_bad(r, "dtype, shape and data_offsets, once each, before this");
    r->seen |= bit;
    if (dtype) return st_text(r, &t->dtype);
    if (shape) return (t->rank = st_numbers(r, t->shape, ST_RANK_MAX)) >= 0;
    int n = st_numbers(r, r->offsets, 2);
    return n == 2 || (n >= 0 && st_bad(r, "two data_offsets before this"));
}

/* In the header: "__metadata__": {...}, or "name": {...}, a tensor, whose parts have to agree. */
static int st_header_member(StReader *r, const char *name) {
    if (!strcmp(name, "__metadata__"))
        return r->metadata++ ? st_bad(r, "__metadata__ only once")
                             : st_object(r, st_metadata_member);
    StTensor *t = &r->file->tensors[r->file->count];
    *t = (StTensor){.name = name};
    r->name = name;
    r->seen = 0;
    if (!*name) return st_bad(r, "a name that is not empty before this");
    if (!st_object(r, st_tensor_member)) return 0;
    if (r->seen != 7) return st_bad(r, "dtype, shape and data_offsets before this");
    int d = 0, fits = r->offsets[0] <= r->offsets[1] && r->offsets[1] <= r->bytes;
    while (st_dtypes[d].name && strcmp(st_dtypes[d].name, t->dtype)) d++;
    if (!st_dtypes[d].name) return st_bad(r, "a dtype such as F32 before this");
    if (!fits) return st_bad(r, "data_offsets within the file");
    size_t bytes = st_dtypes[d].size;
    t->data = r->file->data + r->offsets[0];
    t->bytes = r->offsets[1] - r->offsets[0];
    for (int i = 0; i < t->rank; i++)
        fits &= !__builtin_mul_overflow(bytes, (size_t)t->shape[i], &bytes);
    if (!fits || bytes != t->bytes)
        return st_bad(r, "data_offsets that are as far apart as dtype and shape need");
    r->file->count++;
    r->name = "";
    return 1;
}

/* Names begin both structs. Sorting makes twins neighbours; all pairs of a million take hours. */
static int st_by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int st_unique(const StReader *r, char *array, int length, size_t size) {
    qsort(array, length, size, st_by_name);
    for (int i = 1; i < length; i++, array += size)
        if (!st_by_name(array, array + size))
            return fail("%s: '%.200s' is there twice, expected once" ST_AGAIN, r->path,
                        *(char **)array);
    return 1;
}

static int st_by_place(const void *a, const void *b) {
    const StTensor *s = a, *t = b;      /* at the same place, an empty tensor comes first */
    int place = (s->data > t->data) - (s->data < t->data);
    return place ? place : (s->bytes > t->bytes) - (s->bytes < t->bytes);
}

/* Each byte belongs to exactly one tensor: sorted by place, each begins where the last one ends. */
static int st_covered(const StReader *r) {
    const StFile *f = r->file;
    const char *end = f->data;
    qsort(f->tensors, f->count, sizeof(StTensor), st_by_place);
    for (const StTensor *t = f->tensors; t < f->tensors + f->count; end += t++->bytes)
        if (t->data != end)
            return fail("%s: tensor '%.200s' leaves a hole or overlaps" ST_AGAIN, r->path, t->name);
    return end == r->header ||
           fail("%s: %ld bytes after the last tensor" ST_AGAIN, r->path, (long)(r->header - end));
}

/* Asks for memory only after it has checked the length against the file's size, reads the data only
 * when the header is good. A tensor takes at least 51 bytes of header, metadata 6. */
static int st_load(StReader *r, FILE *in, size_t size) {
    StFile *f = r->file;
    uint64_t first = 0;
    if (fread(&first, 1, 8, in) != 8 || size < 8 || first > size - 8 || first > ST_HEADER_MAX)
        return fail("%s: its %zu bytes do not begin with the length of a header, expected at most "
                    "%d and the rest of the file: is it a safetensors file?", r->path, size,
                    ST_HEADER_MAX);
    size_t length = first;
    r->bytes = size - 8 - length;
    f->tensors = malloc((length / 51 + 1) * sizeof(StTensor));
    f->meta = malloc((length / 6 + 1) * sizeof(StMeta));
    f->data = size <= LONG_MAX ? malloc(size) : NULL;
    if (!f->tensors || !f->meta || !f->data)
        return fail("%s: not enough memory for %zu bytes: close other programs", r->path, size);
    r->header = r->at = f->data + r->bytes;
    r->header[length] = 0;
    if (fread(r->header, 1, length, in) != length)
        return fail("%s: cannot read its header: try again", r->path);
    if (*r->at != '{') return st_bad(r, "'{'");
    if (!st_object(r, st_header_member)) return 0;
    r->at += strspn(r->at, " ");
    if (r->at != r->header + length) return st_bad(r, "nothing but spaces after the last '}'");
    if (!st_unique(r, (char *)f->tensors, f->count, sizeof(StTensor)) ||
        !st_unique(r, (char *)f->meta, f->metas, sizeof(StMeta)) || !st_covered(r)) return 0;
    return fread(f->data, 1, r->bytes, in) == (size_t)r->bytes ||
           fail("%s: cannot read its %ld bytes of data: try again when no program writes to it",
                r->path, r->bytes);
}

int st_open(StFile *file, const char *path) {
    StReader r = {.path = path, .name = "", .file = file};
    size_t size;
    FILE *in = file_open(path, &size);
    *file = (StFile){0};
    if (!in) return 0;
    int ok = st_load(&r, in, size);
    fclose(in);
    if (!ok) st_close(file);
    return ok;
}

void st_close(StFile *file) {
    free(file->tensors); free(file->meta); free(file->data);
    *file = (StFile){0};
}

const StTensor *st_find(const StFile *file, const char *name) {
    for (int i = 0; i < file->count; i++)
        if (!strcmp(file->tensors[i].name, name)) return &file->tensors[i];
    return NULL;
}

const char *st_meta(const StFile *file, const char *key) {
    for (int i = 0; i < file->metas; i++)
        if (!strcmp(file->meta[i].key, key)) return file->meta[i].value;
    return NULL;
}

/* Half precision: (-1)^sign 2^(exponent-15) (1 + fraction/1024), but exponent 0 means 2^-14
 * fraction/1024, and 31 means infinity or NaN. */
static double st_half(uint32_t bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    if (exponent == 31) size = fraction ? NAN : INFINITY;
    return bits >> 15 ? -size : size;
}

/* The values go to f32 or f64, whichever is not NULL; by memcpy, since odd addresses may occur. */
static int st_read(const StTensor *t, float *f32, double *f64, long count) {
    const char *type = t->dtype;
    int half = !strcmp(type, "F16"), brain = !strcmp(type, "BF16");
    size_t size = !strcmp(type, "F64") ? 8 : !strcmp(type, "F32") ? 4 : half || brain ? 2 : 0;
    if (size == 0)
        return fail("%.200s: dtype %.50s, expected F64, F32, F16 or BF16: save it as one",
                    t->name, type);
    long have = t->bytes / size;
    if (have != count)
        return fail("%.200s: %ld values, expected %ld: is this the right file?",
                    t->name, have, count);
    for (long i = 0; i < count; i++) {
        union { uint64_t bits; float f32; double f64; } x = {0};
        memcpy(&x, (const char *)t->data + i * size, size);
        if (brain) x.bits <<= 16;                               /* the upper half of a float */
        double value = half ? st_half(x.bits) : size < 8 ? x.f32 : x.f64;
        if (f32) f32[i] = value;
        else f64[i] = value;
    }
    return 1;
}

int st_read_f32(const StTensor *t, float *out, long count) { return st_read(t, out, NULL, count); }
int st_read_f64(const StTensor *t, double *out, long count) { return st_read(t, NULL, out, count); }

/* ---- Writing --------------------------------------------------------------------------------- */

static void st_put_text(FILE *out, const char *text, char after) {
    putc('"', out);
    for (; *text; text++)
        if ((unsigned char)*text < 32) fprintf(out, "\\u%04x", *text);
        else fprintf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    fprintf(out, "\"%c", after);
}

/* Returns 0 when the disk refuses, with the reason in errno. */
static int st_put_file(FILE *out, const StTensor *tensors, int count, const StMeta *meta,
                       int metas) {
    uint64_t length = 0;
    size_t offset = 0;
    fwrite(&length, 1, 8, out);                                 /* again below, when it is known */
    fprintf(out, "{\"__metadata__\":{%s", metas ? "" : "}");
    for (int i = 0; i < metas; i++) {
        st_put_text(out, meta[i].key, ':');
        st_put_text(out, meta[i].value, i + 1 < metas ? ',' : '}');
    }
    for (int i = 0; i < count; i++) {
        const StTensor *t = &tensors[i];
        putc(',', out);
        st_put_text(out, t->name, ':');
        fprintf(out, "{\"dtype\":\"%s\",\"shape\":[", t->dtype);
        for (int k = 0; k < t->rank; k++) fprintf(out, k ? ",%ld" : "%ld", t->shape[k]);
        fprintf(out, "],\"data_offsets\":[%zu,%zu]}", offset, offset + t->bytes);
        offset += t->bytes;
    }
    putc('}', out);
    length = ftell(out) - 8;
    for (; length % 8; length++) putc(' ', out);                /* aligns data */
    for (int i = 0; i < count && !ferror(out); i++)
        if (tensors[i].bytes) fwrite(tensors[i].data, 1, tensors[i].bytes, out);
    if (ferror(out) || fseek(out, 0, SEEK_SET)) return 0;
    return fwrite(&length, 1, 8, out) == 8 && fflush(out) == 0 && fsync(fileno(out)) == 0;
}

int st_write(const char *path, const StTensor *tensors, int count, const StMeta *meta, int metas) {
    for (int i = 0; i < count; i++)
        if (tensors[i].rank < 0 || tensors[i].rank > ST_RANK_MAX)
            return fail("%s: not written: tensor '%.200s' has %d dimensions, expected 0 to %d: "
                        "reshape it", path, tensors[i].name, tensors[i].rank, ST_RANK_MAX);
    FileWrite w;
    StFile back = {0};
    struct stat info;
    if (!stat(path, &info) && !S_ISREG(info.st_mode))
        return fail("%s: not written: a folder or device has this name", path);
    FILE *out = file_begin(&w, path);
    if (!out) return 0;
    int ok = st_put_file(out, tensors, count, meta, metas) || fail("%s", strerror(errno));
    ok = ok && (st_open(&back, w.fresh) || fail("%s", error_text() + strlen(w.fresh) + 2));
    st_close(&back);
    if (!file_end(&w, ok))
        return fail("%s: not written (%.500s); what was there is as it was: check the folder, the "
                    "room on the disk, and the tensors", path, error_text());
    char *slash = strrchr(w.fresh, '/');    /* a synced folder keeps its names in a power cut */
    if (slash) slash[slash == w.fresh] = 0;
    int folder = open(slash ? w.fresh : ".", O_RDONLY);
    if (folder >= 0) { fsync(folder); close(folder); }
    return 1;
}
#endif
