/* compress.h: the generator of a checkpoint in fewer bytes. The discriminator and the optimiser's moments stay behind, then
 *   pruning       the share `prune` of each weight tensor that is smallest in magnitude becomes zero (Han et al. 2015);
 *   quantisation  float16, or int8 with one scale s_o for each output channel o (Krishnamoorthi 2018, symmetric):
 *                 s_o = max |w_o| / 127     q = round(w / s_o), ties to even     w is read back as s_o q: off by s_o / 2 at most.
 * The file is safetensors: NAME (I8) and NAME.scale (F32, all sides 1 but the output channel's), so that in Python the weight is
 * NAME * NAME.scale. Vectors (biases, norms, running statistics) stay F32. Zeros take as much room as other numbers: what pruning
 * saves shows once the file is packed (gzip), or in hardware that skips zeros.
 *
 *     #define COMPRESS_IMPLEMENTATION        // in exactly one .c file, with safetensors.h's
 *     StFile file;  CompressReport report;
 *     if (!st_open(&file, "checkpoint.safetensors")) ...
 *     const char *error = compress_write("small.safetensors", &file, 0.5, 1, &report);      // NULL: all went well */
#ifndef COMPRESS_H
#define COMPRESS_H
#include "core/safetensors.h"

typedef struct CompressReport { long numbers, weights, zeros; } CompressReport;    /* of the generator: all; in weights; zeros among these */

/* Writes the generator ("g.*") of a checkpoint to `path`, with the checkpoint's metadata and "compressed". 0 <= prune < 1; int8 0:
 * float16. NULL, or one line: a file that is compressed already, no generator, a number that is not finite or too large for
 * float16, a failure to write. */
const char *compress_write(const char *path, const StFile *from, double prune, int int8, CompressReport *report);

/* The values of a tensor as floats, of whatever dtype st_read_f32 reads, or I8 with its scale. NULL, or one line. */
const char *compress_read(const StFile *file, const StTensor *tensor, float *out, long count);
#endif

#if defined(COMPRESS_IMPLEMENTATION) && !defined(COMPRESS_IMPLEMENTED)
#define COMPRESS_IMPLEMENTED
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char compress_message[6100];
__attribute__((format(printf, 1, 2)))
static const char *compress_fail(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(compress_message, sizeof compress_message, format, list);
    va_end(list);
    return compress_message;
}

/* Which side of a weight is its output channel: the last one; of a transposed convolution, (K,K,O,C), the one before */
static int compress_axis(const StTensor *t) { return t->rank - 1 - (strstr(t->name, "conv2d_transpose") != NULL); }

/* of element i, its place along that side */
static long compress_channel(const StTensor *t, int axis, long i) {
    for (int k = t->rank - 1; k > axis; k--) i /= t->shape[k];
    return i % t->shape[axis];
}

/* Half precision, rounded to nearest, ties to even; |x| < 65520. Below 2^-14 the steps are 2^-24. */
static uint16_t compress_half(float x) {
    int e;
    double size = fabs((double)x);
    frexp(size, &e);                                     /* size in [2^(e-1), 2^e) */
    if (e < -13) e = -13;
    double steps = nearbyint(ldexp(size, 11 - e));       /* 2^10 to 2^11 of them, or fewer below 2^-14 */
    uint32_t bits = steps >= 1024 ? (uint32_t)(e + 14) * 1024 + (uint32_t)(steps - 1024) : (uint32_t)steps;     /* 2048 carries over */
    return (uint16_t)(bits | (signbit(x) ? 0x8000u : 0));
}

static int compress_compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The floor(share n) smallest magnitudes become zero; of equal ones, the first */
static int compress_prune(float *w, long n, double share) {
    long count = (long)(share * (double)n), below = 0;
    float *size = malloc(sizeof *size * (size_t)(n + 1));
    if (!size) return 0;
    for (long i = 0; i < n; i++) size[i] = fabsf(w[i]);
    qsort(size, (size_t)n, sizeof *size, compress_compare);
    float limit = count ? size[count - 1] : -1;
    while (below < count && size[below] < limit) below++;
    for (long i = 0, ties = count - below; i < n; i++)
        if (fabsf(w[i]) < limit || (fabsf(w[i]) == limit && ties-- > 0)) w[i] = 0;
    free(size);
    return 1;
}

/* s_o and q   w: (t->shape) scale: (channels) */
static void compress_int8(int8_t *q, float *scale, const float *w, const StTensor *t, long n) {
    int axis = compress_axis(t);
    for (long o = 0; o < t->shape[axis]; o++) scale[o] = 0;
    for (long i = 0; i < n; i++) {
        float *s = &scale[compress_channel(t, axis, i)];
        *s = fmaxf(*s, fabsf(w[i]) / 127);
    }
    for (long i = 0; i < n; i++) {
        float s = scale[compress_channel(t, axis, i)];
        q[i] = (int8_t)(s > 0 ? fmaxf(-127, fminf(127, nearbyintf(w[i] / s))) : 0);
    }
}

const char *compress_write(const char *path, const StFile *from, double prune, int int8, CompressReport *report) {
    static const char *const how[] = { "float16", "int8" };
    const char *error = NULL, *before = st_meta(from, "compressed");
    int small = 0, large = 0;
    size_t most = (size_t)from->count + 1;
    char told[64];
    *report = (CompressReport){0};
    if (before) return compress_fail("compressed already (%.100s): give the run's folder, or the checkpoint in it", before);
    StTensor *narrow = calloc(most, sizeof *narrow), *wide = calloc(2 * most, sizeof *wide);     /* F32 goes first in the file */
    StMeta *meta = calloc((size_t)from->metas + 1, sizeof *meta);
    void **room = calloc(4 * most, sizeof *room);
    int rooms = 0;
    if (!narrow || !wide || !meta || !room) error = compress_fail("not enough memory");
    for (int i = 0; !error && i < from->count; i++) {
        const StTensor *t = &from->tensors[i];
        if (strncmp(t->name, "g.", 2) || !strncmp(t->name, "g.adam_", 7)) continue;
        long n = 1;
        for (int k = 0; k < t->rank; k++) n *= t->shape[k];
        float *w = room[rooms++] = malloc(sizeof *w * (size_t)(n + 1));
        if (!w) { error = compress_fail("not enough memory"); break; }
        if (!st_read_f32(t, w, n)) { error = compress_fail("%s", error_text()); break; }
        for (long k = 0; k < n && !error; k++)
            if (!(fabsf(w[k]) <= (int8 || t->rank < 2 ? 3e38f : 65504)))
                error = compress_fail("tensor '%s' holds %g, which %s cannot", t->name, w[k], how[int8 != 0]);
        report->numbers += n;
        StTensor out = *t;
        if (t->rank < 2) {
            out.dtype = "F32", out.data = w, out.bytes = 4 * (size_t)n;
            wide[large++] = out;
            continue;
        }
        void *packed = room[rooms++] = malloc(2 * (size_t)(n + 1));
        float *scale = room[rooms++] = malloc(sizeof *scale * (size_t)(t->shape[compress_axis(t)] + 1));
        char *name = room[rooms++] = malloc(strlen(t->name) + 8);
        if (!packed || !scale || !name || !compress_prune(w, n, prune)) error = compress_fail("not enough memory");
        if (error) break;
        report->weights += n;
        if (int8) {
            compress_int8(packed, scale, w, t, n);
            for (long k = 0; k < n; k++) report->zeros += ((int8_t *)packed)[k] == 0;
            StTensor s = { .name = name, .dtype = "F32", .rank = t->rank, .data = scale };
            sprintf(name, "%s.scale", t->name);
            for (int k = 0; k < t->rank; k++) s.shape[k] = k == compress_axis(t) ? t->shape[k] : 1;
            s.bytes = sizeof *scale * (size_t)t->shape[compress_axis(t)];
            wide[large++] = s;
        } else {
            for (long k = 0; k < n; k++) {
                ((uint16_t *)packed)[k] = compress_half(w[k]);
                report->zeros += w[k] == 0;
            }
        }
        out.dtype = int8 ? "I8" : "F16", out.data = packed, out.bytes = (int8 ? 1 : 2) * (size_t)n;
        narrow[small++] = out;
    }
    if (!error && !small) error = compress_fail("no tensor 'g.*': expected a run's checkpoint");
    if (!error) {
        snprintf(told, sizeof told, "prune %g, %s", prune, how[int8 != 0]);
        int metas = 0;
        for (int i = 0; i < from->metas; i++)            /* where the run lay is nobody's business */
            if (strcmp(from->meta[i].key, "--out")) meta[metas++] = from->meta[i];
        meta[metas++] = (StMeta){ "compressed", told };
        memcpy(wide + large, narrow, sizeof *wide * (size_t)small);
        if (!st_write(path, wide, large + small, meta, metas)) error = compress_fail("%s", error_text());
    }
    for (int i = 0; i < rooms; i++) free(room[i]);
    free(narrow), free(wide), free(meta), free(room);
    return error;
}

const char *compress_read(const StFile *file, const StTensor *t, float *out, long count) {
    if (strcmp(t->dtype, "I8")) return st_read_f32(t, out, count) ? NULL : compress_fail("%s", error_text());
    char name[300];
    snprintf(name, sizeof name, "%.200s.scale", t->name);
    const StTensor *s = st_find(file, name);
    int axis = t->rank ? compress_axis(t) : -1, fits = s && axis >= 0 && (long)t->bytes == count && s->rank == t->rank;
    for (int k = 0; fits && k < t->rank; k++) fits = s->shape[k] == (k == axis ? t->shape[k] : 1);
    if (!fits) return compress_fail("%s: integers take a tensor '%s' with a number for each output channel: is this a file of --compress?",
                                    t->name, name);
    float *scale = malloc(sizeof *scale * (size_t)(t->shape[axis] + 1));
    if (!scale) return compress_fail("not enough memory");
    const char *error = st_read_f32(s, scale, t->shape[axis]) ? NULL : compress_fail("%s", error_text());
    for (long i = 0; !error && i < count; i++) out[i] = ((const int8_t *)t->data)[i] * scale[compress_channel(t, axis, i)];
    free(scale);
    return error;
}
#endif
