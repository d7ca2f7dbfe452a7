/* safetensors.h: named tensors in one file, in the format that Python's `safetensors` package reads and writes.

   A file is three things, one after the other:
       8 bytes     N, the length of the header: unsigned, little-endian
       N bytes     the header: JSON text in UTF-8, begins with '{', may end in spaces
       the rest    the data: the tensors' values, little-endian and row-major, without hole or overlap
   and a header looks like this, its offsets counted from the beginning of the data:
       {"__metadata__": {"step": "500"}, "g.w": {"dtype": "F32", "shape": [3, 64], "data_offsets": [0, 768]}, ...}

   One .c file says #define SAFETENSORS_IMPLEMENTATION before the #include "core/safetensors.h"; the others only include it.
       StTensor t = {"g.w", "F32", 2, {3, 64}, weights, sizeof weights};
       if (!st_write("a.safetensors", &t, 1, &(StMeta){"step", "500"}, 1)) die(error_text());

       StFile file;
       if (!st_open(&file, "a.safetensors")) die(error_text());
       const StTensor *w = st_find(&file, "g.w");
       if (!w || !st_read_f32(w, weights, 3*64)) ...
       st_close(&file);

   Functions that return int return 1 when all went well; else 0, and error_text() has one line: which file, what is
   wrong, what was expected, what to do. Nothing prints or exits. A file from a stranger is safe to open: nothing in it
   is believed before it is checked, and it costs no more memory than a few times its size.
   Needs POSIX and 64 bits. One thread at a time: the error message is shared. */
#ifndef SAFETENSORS_H
#define SAFETENSORS_H
#include "core/error.h"
#include <stddef.h>

#define ST_RANK_MAX 8                   /* the most dimensions of a tensor */
#define ST_HEADER_MAX 100000000         /* bytes; the Python package has the same limit */

typedef struct StTensor {
    const char *name;                   /* UTF-8, not empty, not "__metadata__", once in a file */
    const char *dtype;                  /* "F32", or another of st_dtypes below */
    int rank;                           /* 0 (a single number) to ST_RANK_MAX */
    long shape[ST_RANK_MAX];            /* each 0 or more; a 0 makes an empty tensor */
    const void *data;                   /* aligned for its dtype if no tensor before it has a narrower one */
    size_t bytes;                       /* product of the shape * size of the dtype */
} StTensor;

typedef struct StMeta { const char *key, *value; } StMeta;          /* UTF-8 both; a key stands once in a file */

typedef struct StFile {
    StTensor *tensors;  int count;      /* in the order of their data */
    StMeta *meta;       int metas;      /* in the order of their keys */
    char *data;                         /* all data, then the header: what the pointers in those two point into */
} StFile;

/* Reads and checks a whole file. Fails if it cannot be read or breaks any rule of the format; *file is then empty. */
int st_open(StFile *file, const char *path);

/* Frees what st_open made: tensors, names and data are gone after it. Cannot fail. */
void st_close(StFile *file);

/* The tensor of that name, the value of that key of the metadata; NULL if the file has none. Valid until st_close. */
const StTensor *st_find(const StFile *file, const char *name);
const char *st_meta(const StFile *file, const char *key);

/* Copies the values of a tensor of dtype F64, F32, F16 or BF16 to out, converted. Fails on another dtype, or if it has
 * not exactly `count` values. A tensor does not know its file: the message begins with the tensor's name instead. */
int st_read_f32(const StTensor *tensor, float *out, long count);
int st_read_f64(const StTensor *tensor, double *out, long count);

/* Writes a file, all of it or nothing: the bytes go to PATH.tmp-PROCESS in the same folder, which is read back and then
 * takes the name `path`. Whatever happens, `path` is the whole old file or the whole new one. The tensors keep their
 * order. Fails if the disk refuses, or if st_open would. A symbolic link at `path` is replaced, not followed. */
int st_write(const char *path, const StTensor *tensors, int count, const StMeta *meta, int metas);

/* Is it UTF-8, as names and metadata must be? */
int st_is_text(const char *text);

/* One line about the last failure; "" if there was none. */
#endif

#if defined(SAFETENSORS_IMPLEMENTATION) && !defined(SAFETENSORS_IMPLEMENTED)
#define SAFETENSORS_IMPLEMENTED
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(size_t) == 8 && sizeof(long) == 8, "safetensors.h counts bytes in 64 bits");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors.h copies numbers as they lie in memory");

static const struct { const char *name; size_t size; } st_dtypes[] = {
    {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"C64", 8}, {"BOOL", 1},
    {"I64", 8}, {"I32", 4}, {"I16", 2}, {"I8", 1}, {"U64", 8}, {"U32", 4}, {"U16", 2}, {"U8", 1}, {NULL, 0},
};

/* Every failure comes through here. Control characters, say from a hostile name, cannot break the line. Returns 0. */
static int st_fail(const char *subject, const char *format, ...) {
    char text[4000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fail("%.4096s: %s", subject, text);
}

/* ---- Reading ------------------------------------------------------------------------------------------------------
 * One function for each rule of the header's grammar. Each begins at r->at, steps over what it understands, and returns
 * 0 at the first byte that breaks the rule. The header ends in a NUL, which fits no rule: nobody can step beyond it. */

#define ST_AGAIN ": the file is damaged or was made for something else; restore it or make it again"

typedef struct StReader {
    const char *path, *name;            /* of the file, and of the tensor being read: */
    StFile *file;                       /* it is tensors[count] here */
    char *header, *at;                  /* the header, and the next character to read there */
    long bytes, offsets[2];             /* how much data there is, and where those of the tensor being read lie */
    int seen, metadata;                 /* which of the tensor's three keys were there, as bits; was __metadata__ */
} StReader;

static int st_bad(const StReader *r, const char *expected) {
    int found = isprint((unsigned char)*r->at) ? *r->at : '?';
    return st_fail(r->path, "byte %ld, in the header%s%.200s: expected %s, at '%c'" ST_AGAIN,
                   8 + (long)(r->at - r->header), *r->name ? ", tensor " : "", r->name, expected, found);
}

/* Skips white space; if c comes next, skips it too and returns 1. */
static int st_accept(StReader *r, char c) {
    r->at += strspn(r->at, " \t\r\n");
    return *r->at == c && r->at++;
}

static int st_expect(StReader *r, char c) { return st_accept(r, c) || st_bad(r, (char[]){'\'', c, '\'', 0}); }

/* The length in bytes of the UTF-8 character at s; 0 if it is none: a stray or missing continuation byte, a longer form
 * than needed, half a surrogate pair, a code above U+10FFFF. */
static int st_utf8(const unsigned char *s) {
    int n = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;
    for (int i = 1; i < n; i++) if ((s[i] & 0xC0) != 0x80) return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F)) return 0;
    if ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F)) return 0;
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

/* The escape at r->at, as UTF-8 at *to. Codes above U+FFFF are written as two, a high and a low surrogate. */
static int st_escape(StReader *r, char **to) {
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t", first[] = "\0\xC0\xE0\xF0";
    const char *letter = r->at[1] ? strchr(letters, r->at[1]) : NULL;
    long code = letter ? meanings[letter - letters] : st_unicode(r->at);
    if (code <= 0) return st_bad(r, "an escape: \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u0001 to \\uffff");
    r->at += letter ? 2 : 6;
    if (code >= 0xD800 && code <= 0xDFFF) {
        long low = st_unicode(r->at);
        if (code > 0xDBFF || low < 0xDC00 || low > 0xDFFF) return st_bad(r, "a high, then a low surrogate");
        code = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00);
        r->at += 6;
    }
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;     /* bytes to follow, 6 bits in each */
    *(*to)++ = (char)(first[more] | code >> 6 * more);
    while (more--) *(*to)++ = (char)(0x80 | (code >> 6 * more & 0x3F));
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

/* [a, b, ...]: at most `most` whole numbers, 0 to 2^63 - 1. Returns how many; -1 if the rule is broken. */
static int st_numbers(StReader *r, long *out, int most) {
    int n = 0;
    if (!st_expect(r, '[')) return -1;
    if (st_accept(r, ']')) return 0;
    do {
        char *from = r->at += strspn(r->at, " \t\r\n");
        errno = 0;
        long value = isdigit((unsigned char)*from) ? strtol(from, &r->at, 10) : -1;
        if (value < 0 || errno || (*from == '0' && r->at > from + 1)) return st_bad(r, "a whole number") - 1;
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
    int bit = !strcmp(key, "dtype") ? 1 : !strcmp(key, "shape") ? 2 : !strcmp(key, "data_offsets") ? 4 : 0;
    if (!bit || r->seen & bit) return st_bad(r, "dtype, shape and data_offsets, once each, before this");
    r->seen |= bit;
    if (bit == 1) return st_text(r, &t->dtype);
    if (bit == 2) return (t->rank = st_numbers(r, t->shape, ST_RANK_MAX)) >= 0;
    int n = st_numbers(r, r->offsets, 2);
    return n == 2 || (n >= 0 && st_bad(r, "two data_offsets before this"));
}

/* In the header: "__metadata__": {...}, or "name": {...}, a tensor, whose parts are checked against each other. */
static int st_header_member(StReader *r, const char *name) {
    if (!strcmp(name, "__metadata__"))
        return r->metadata++ ? st_bad(r, "__metadata__ only once") : st_object(r, st_metadata_member);
    StTensor *t = &r->file->tensors[r->file->count];
    *t = (StTensor){.name = name};
    r->name = name;
    r->seen = 0;
    if (!*name) return st_bad(r, "a name that is not empty before this");
    if (!st_object(r, st_tensor_member)) return 0;
    if (r->seen != 7) return st_bad(r, "dtype, shape and data_offsets before this");
    int d = 0, fits = 1;
    while (st_dtypes[d].name && strcmp(st_dtypes[d].name, t->dtype)) d++;
    size_t bytes = st_dtypes[d].size;
    if (bytes == 0) return st_bad(r, "a dtype such as F32 before this");
    if (r->offsets[0] > r->offsets[1] || r->offsets[1] > r->bytes) return st_bad(r, "data_offsets within the file");
    t->data = r->file->data + r->offsets[0];
    t->bytes = (size_t)(r->offsets[1] - r->offsets[0]);
    for (int i = 0; i < t->rank; bytes *= (size_t)t->shape[i++])
        if (t->shape[i] && bytes > SIZE_MAX / (size_t)t->shape[i]) fits = 0;
    if (!fits || bytes != t->bytes) return st_bad(r, "data_offsets that are as far apart as dtype and shape need");
    r->file->count++;
    r->name = "";
    return 1;
}

/* Names begin both structs. Sorted, twins are neighbours; comparing all pairs would take hours for a million names. */
static int st_by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int st_unique(const StReader *r, char *array, int length, size_t size) {
    qsort(array, (size_t)length, size, st_by_name);
    for (int i = 1; i < length; i++, array += size)
        if (!st_by_name(array, array + size))
            return st_fail(r->path, "'%.200s' is there twice, expected once" ST_AGAIN, *(char **)array);
    return 1;
}

static int st_by_place(const void *a, const void *b) {
    const StTensor *s = a, *t = b;      /* at the same place, an empty tensor comes first */
    return s->data != t->data ? (s->data < t->data ? -1 : 1) : (s->bytes > t->bytes) - (s->bytes < t->bytes);
}

/* Each byte of the data belongs to exactly one tensor: sorted by place, each begins where the one before it ended. */
static int st_covered(const StReader *r) {
    const StFile *f = r->file;
    const char *end = f->data;
    qsort(f->tensors, (size_t)f->count, sizeof(StTensor), st_by_place);
    for (const StTensor *t = f->tensors; t < f->tensors + f->count; end += t++->bytes)
        if (t->data != end) return st_fail(r->path, "tensor '%.200s' leaves a hole or overlaps" ST_AGAIN, t->name);
    return end == r->header || st_fail(r->path, "%ld bytes after the last tensor" ST_AGAIN, (long)(r->header - end));
}

/* Memory is asked for only after the length was checked against the file's size, data are read only when the header is
 * good. The shortest tensor takes 51 bytes of header and the shortest metadata 6, so there cannot be more of them. */
static int st_load(StReader *r, FILE *in, uint64_t size) {
    StFile *f = r->file;
    uint64_t length = 0;
    if (fread(&length, 1, 8, in) != 8 || size < 8 || length > size - 8 || length > ST_HEADER_MAX)
        return st_fail(r->path, "its %llu bytes do not begin with the length of a header, expected at most %d and the "
                       "rest of the file: is it a safetensors file?", (unsigned long long)size, ST_HEADER_MAX);
    r->bytes = (long)(size - 8 - length);
    f->tensors = malloc((length / 51 + 1) * sizeof(StTensor));
    f->meta = malloc((length / 6 + 1) * sizeof(StMeta));
    f->data = malloc(size);
    if (!f->tensors || !f->meta || !f->data)
        return st_fail(r->path, "not enough memory for %llu bytes: close other programs", (unsigned long long)size);
    r->header = r->at = f->data + r->bytes;
    r->header[length] = 0;
    if (fread(r->header, 1, length, in) != length) return st_fail(r->path, "cannot read its header: try again");
    if (*r->at != '{') return st_bad(r, "'{'");
    if (!st_object(r, st_header_member)) return 0;
    r->at += strspn(r->at, " ");
    if (r->at != r->header + length) return st_bad(r, "nothing but spaces after the last '}'");
    if (!st_unique(r, (char *)f->tensors, f->count, sizeof(StTensor)) ||
        !st_unique(r, (char *)f->meta, f->metas, sizeof(StMeta)) || !st_covered(r)) return 0;
    return fread(f->data, 1, (size_t)r->bytes, in) == (size_t)r->bytes ||
           st_fail(r->path, "cannot read its %ld bytes of data: try again when nobody writes it", r->bytes);
}

int st_open(StFile *file, const char *path) {
    StReader r = {.path = path, .name = "", .file = file};
    struct stat info = {0};
    *file = (StFile){0};
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))       /* a pipe could make us wait for ever */
        return st_fail(path, "no regular file: expected the path of a .safetensors file");
    FILE *in = fopen(path, "rb");
    if (!in) return st_fail(path, "cannot open it (%s): check the path", strerror(errno));
    int ok = st_load(&r, in, (uint64_t)info.st_size);
    fclose(in);
    if (!ok) st_close(file);
    return ok;
}

void st_close(StFile *file) {
    free(file->tensors); free(file->meta); free(file->data);
    *file = (StFile){0};
}

const StTensor *st_find(const StFile *file, const char *name) {
    for (int i = 0; i < file->count; i++) if (!strcmp(file->tensors[i].name, name)) return &file->tensors[i];
    return NULL;
}

const char *st_meta(const StFile *file, const char *key) {
    for (int i = 0; i < file->metas; i++) if (!strcmp(file->meta[i].key, key)) return file->meta[i].value;
    return NULL;
}

/* Half precision: (-1)^sign 2^(exponent-15) (1 + fraction/1024), but exponent 0 means 2^-14 fraction/1024, and 31 means
 * infinity or NaN. */
static double st_half(uint32_t bits) {
    uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
    double size = exponent == 0 ? fraction / 0x1p24 : (1024 + fraction) * (double)(1u << exponent) / 0x1p25;
    if (exponent == 31) size = fraction ? NAN : INFINITY;
    return bits >> 15 ? -size : size;
}

/* The values go to f32 or to f64, whichever is not NULL. By memcpy, because data may lie at odd addresses. */
static int st_read(const StTensor *t, float *f32, double *f64, long count) {
    int half = !strcmp(t->dtype, "F16"), brain = !strcmp(t->dtype, "BF16");
    size_t size = !strcmp(t->dtype, "F64") ? 8 : !strcmp(t->dtype, "F32") ? 4 : half || brain ? 2 : 0;
    if (size == 0) return st_fail(t->name, "dtype %.50s, expected F64, F32, F16 or BF16: use its data", t->dtype);
    if (count < 0 || t->bytes / size != (size_t)count)
        return st_fail(t->name, "%zu values, expected %ld: is this the right file?", t->bytes / size, count);
    for (long i = 0; i < count; i++) {
        uint64_t bits = 0;
        float narrow;
        double value;
        memcpy(&bits, (const char *)t->data + (size_t)i * size, size);
        if (brain) bits <<= 16;                                 /* bfloat16 is the upper half of a float */
        memcpy(&narrow, &bits, 4);
        memcpy(&value, &bits, 8);
        if (size < 8) value = half ? st_half((uint32_t)bits) : narrow;
        if (f32) f32[i] = (float)value;
        else f64[i] = value;
    }
    return 1;
}

int st_read_f32(const StTensor *tensor, float *out, long count) { return st_read(tensor, out, NULL, count); }
int st_read_f64(const StTensor *tensor, double *out, long count) { return st_read(tensor, NULL, out, count); }

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static void st_put_text(FILE *out, const char *text, char after) {
    putc('"', out);
    for (; *text; text++)
        if ((unsigned char)*text < 32) fprintf(out, "\\u%04x", *text);
        else fprintf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    fprintf(out, "\"%c", after);
}

/* Returns 0 when the disk refuses, with the reason in errno. */
static int st_put_file(FILE *out, const StTensor *tensors, int count, const StMeta *meta, int metas) {
    uint64_t length = 0, offset = 0;
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
        fprintf(out, "],\"data_offsets\":[%llu,", (unsigned long long)offset);
        fprintf(out, "%llu]}", (unsigned long long)(offset += t->bytes));
    }
    putc('}', out);
    for (length = (uint64_t)ftell(out) - 8; length % 8; length++) putc(' ', out);       /* this aligns the data */
    for (int i = 0; i < count && !ferror(out); i++)
        if (tensors[i].bytes) fwrite(tensors[i].data, 1, tensors[i].bytes, out);
    if (ferror(out) || fseek(out, 0, SEEK_SET)) return 0;
    return fwrite(&length, 1, 8, out) == 8 && fflush(out) == 0 && fsync(fileno(out)) == 0;
}

int st_write(const char *path, const StTensor *tensors, int count, const StMeta *meta, int metas) {
    for (int i = 0; i < count; i++)
        if (tensors[i].rank < 0 || tensors[i].rank > ST_RANK_MAX)
            return st_fail(path, "not written: tensor '%.200s' has %d dimensions, expected 0 to %d: reshape it",
                           tensors[i].name, tensors[i].rank, ST_RANK_MAX);
    size_t length = strlen(path);
    char *temporary = malloc(length + 32), why[500];
    StFile back = {0};
    struct stat info;
    if (!temporary) return st_fail(path, "not enough memory to write it: close other programs");
    memcpy(temporary, path, length);
    sprintf(temporary + length, ".tmp-%ld", (long)getpid());
    unlink(temporary);                                          /* left by a dead process that had our number */
    int special = stat(path, &info) == 0 && !S_ISREG(info.st_mode);
    FILE *out = special ? NULL : fopen(temporary, "wbx");
    int ok = out && st_put_file(out, tensors, count, meta, metas);
    snprintf(why, sizeof why, "%s", special ? "a folder or device has this name" : strerror(errno));
    if (out) fclose(out);
    if (ok && !(ok = st_open(&back, temporary))) snprintf(why, sizeof why, "%s", error_text() + strlen(temporary) + 2);
    st_close(&back);
    if (ok && (ok = rename(temporary, path) == 0) == 0) snprintf(why, sizeof why, "%s", strerror(errno));
    if (!ok) {
        unlink(temporary);
        st_fail(path, "not written (%s); what was there is as it was: check the folder, the room on the disk, "
                "and the tensors", why);
    } else {                            /* it has its name; syncing the folder keeps that through a power cut */
        char *slash = strrchr(temporary, '/');
        if (slash) slash[slash == temporary] = 0;
        int folder = open(slash ? temporary : ".", O_RDONLY);
        if (folder >= 0) { fsync(folder); close(folder); }
    }
    free(temporary);
    return ok;
}
#endif
