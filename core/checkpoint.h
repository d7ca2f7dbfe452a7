/* checkpoint.h: what a run carries from step to step, in a file; a generator in fewer bytes.
 *
 * checkpoint_save writes the tensors of some networks by their names in net.h
 * ("g.3.conv2d.weight"), Adam's moments ("g.adam_m", "g.adam_v"), buffers by names of their own,
 * and the metadata "recipe", "step" and "format".
 *
 * compress_write keeps the generator ("g.*") without its moments, after
 *   pruning       of each weight tensor the share `prune` becomes zero, smallest magnitudes first
 *                 (Han et al. 2015);
 *   quantisation  float16, or int8 with a scale s_o for each output channel o (Krishnamoorthi 2018,
 *                 symmetric): s_o = max |w_o| / 127, q = round(w / s_o), ties to even; it is read
 *                 back as s_o q: off by s_o / 2 at most.
 * It writes NAME (I8) and NAME.scale (F32, all sides 1 but the output channel's): in Python the
 * weight is NAME * NAME.scale. Vectors (biases, norms, running statistics) stay F32. Pruning saves
 * room once the file is packed (gzip), or in hardware that skips zeros.
 *
 * Functions that return int return 1 when all went well; else 0, and error_text() says why. */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H
#include "core/error.h"
#include "core/net.h"
#include "core/safetensors.h"

/* The format stands in the metadata; it grows when older programs would misread a checkpoint. */
enum { CHECKPOINT_FORMAT = 1, CHECKPOINT_NETS = 6, CHECKPOINT_BUFFERS = 8 };

typedef struct CheckpointBuffer { const char *name; real *at; long count; } CheckpointBuffer;
typedef struct Checkpoint {
    const Ops *ops;
    const char *recipe;
    long step;
    Net *net[CHECKPOINT_NETS + 1];      /* ended by NULL */
    int weights_only;                   /* 1: without Adam's moments */
    int buffers;
    CheckpointBuffer buffer[CHECKPOINT_BUFFERS];
} Checkpoint;

/* Writes the whole file, with `meta` as given, or nothing. The hash is that of its tensors. */
int checkpoint_save(const Checkpoint *c, const char *path, const StMeta *meta, int metas);
uint64_t checkpoint_hash(const Checkpoint *c);

/* Reading: st_open, if the file is of our format (without "format": of format 1). Then: is it a
 * whole checkpoint of this recipe, of which step? Then its numbers; nothing changes unless all
 * tensors have the right shapes. path: for the messages. */
int checkpoint_open(StFile *file, const char *path);
int checkpoint_step(const StFile *file, const char *path, const char *recipe, long *step);
int checkpoint_load(const Checkpoint *c, const StFile *file, const char *path);
int net_load(Net *net, const StFile *file, const char *path, const char *recipe);  /* parameters */

/* of the generator: all numbers; those that are weights; the zeros among these */
typedef struct CompressReport { long numbers, weights, zeros; } CompressReport;

/* Writes the generator of a checkpoint, with the checkpoint's metadata and "compressed". 0 <= prune
 * < 1; int8 0: float16. Fails on a file that is compressed already, no generator, a number that is
 * not finite or too large for float16. */
int compress_write(const char *path, const StFile *from, double prune, int int8,
                   CompressReport *report);

/* The values of a tensor: F64, F32, F16, BF16, or I8 with its scale. */
int compress_read(const StFile *file, const StTensor *tensor, real *out, long count);
#endif

#if defined(CHECKPOINT_IMPLEMENTATION) && !defined(CHECKPOINT_IMPLEMENTED)
#define CHECKPOINT_IMPLEMENTED
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One tensor on its way to or from the file; here: its numbers, where the table computes */
typedef struct Slot { NetTensor t; real *here; } Slot;

static Slot slot_vector(const char *name, const char *end, real *here, long count) {
    Slot s = { { .rank = 1, .shape = { count }, .count = count }, here };
    snprintf(s.t.name, sizeof s.t.name, "%s%s", name, end);
    return s;
}

/* all of them in the file's order; the caller frees it */
static Slot *checkpoint_slots(const Checkpoint *c, int *count) {
    int most = c->buffers, n = 0;
    for (Net *const *net = c->net; *net; net++) most += 4 * (*net)->nodes + 2;
    Slot *slot = room_for(most, sizeof *slot);
    for (int k = 0; c->net[k]; k++) {
        const Net *net = c->net[k];
        for (int i = 0; net_tensor(net, i, &slot[n].t); i++, n++)
            slot[n].here = (slot[n].t.in_buffer ? net->buffer : net->p) + slot[n].t.offset;
        if (!net->m || c->weights_only) continue;
        slot[n++] = slot_vector(net->name, ".adam_m", net->m, net->parameters);
        slot[n++] = slot_vector(net->name, ".adam_v", net->v, net->parameters);
    }
    for (int i = 0; i < c->buffers; i++)
        slot[n++] = slot_vector(c->buffer[i].name, "", c->buffer[i].at, c->buffer[i].count);
    *count = n;
    return slot;
}

int checkpoint_save(const Checkpoint *c, const char *path, const StMeta *meta, int metas) {
    int count;
    long numbers = 0;
    char step[32], format[16];
    Slot *slot = checkpoint_slots(c, &count);
    for (int i = 0; i < count; i++) numbers += slot[i].t.count;
    real *host = room_for(numbers, sizeof *host), *to = host;
    StTensor tensor[count + 1];
    StMeta all[metas + 3];
    for (int i = 0; i < count; i++) {
        const NetTensor *t = &slot[i].t;
        tensor[i] = (StTensor){ t->name, sizeof(real) == 4 ? "F32" : "F64", t->rank, {0}, to,
                                t->count * sizeof(real) };
        memcpy(tensor[i].shape, t->shape, sizeof t->shape);
        c->ops->download(to, slot[i].here, t->count);
        to += t->count;
    }
    snprintf(step, sizeof step, "%ld", c->step);
    snprintf(format, sizeof format, "%d", CHECKPOINT_FORMAT);
    const StMeta own[3] = { { "recipe", c->recipe }, { "step", step }, { "format", format } };
    for (int i = 0; i < metas + 3; i++) all[i] = i < 3 ? own[i] : meta[i - 3];
    int good = st_write(path, tensor, count, all, metas + 3);
    free(slot), free(host);
    return good;
}

/* FNV-1a (Fowler, Noll, Vo 1991), four bytes at a time */
uint64_t checkpoint_hash(const Checkpoint *c) {
    int count;
    uint64_t hash = 14695981039346656037u;
    Slot *slot = checkpoint_slots(c, &count);
    for (int i = 0; i < count; i++) {
        size_t words = slot[i].t.count * sizeof(real) / 4;
        uint32_t *host = room_for(words, sizeof *host);
        c->ops->download((void *)host, slot[i].here, slot[i].t.count);
        for (size_t k = 0; k < words; k++) hash = (hash ^ host[k]) * 1099511628211u;
        free(host);
    }
    free(slot);
    return hash;
}

int checkpoint_open(StFile *file, const char *path) {
    if (!st_open(file, path)) return 0;
    const char *text = st_meta(file, "format");
    char *end;
    if (!text) text = "1";
    long number = strtol(text, &end, 10);
    if (number == CHECKPOINT_FORMAT && !*end) return 1;
    fail("%s: its format is %.20s, this program reads format %d: %s", path, text, CHECKPOINT_FORMAT,
         number > CHECKPOINT_FORMAT ? "a newer version made it, take that one"
                         : "an older version made it, take that one or train anew");
    st_close(file);
    return 0;
}

int checkpoint_step(const StFile *file, const char *path, const char *recipe, long *step) {
    const char *number = st_meta(file, "step"), *made = st_meta(file, "recipe");
    const char *compressed = st_meta(file, "compressed");
    char *end;
    if (compressed)
        return fail("%s: compressed (%.100s), it holds a generator and nothing to train it with: "
                    "give the checkpoint it was made from", path, compressed);
    if (!number || !made || strcmp(made, recipe))
        return fail("%s: %s%s, expected a checkpoint of --recipe %s: give the recipe it was made "
                    "with", path, made ? "made with --recipe " : "not a checkpoint of ours",
                    made ? made : "", recipe);
    *step = strtol(number, &end, 10);
    return (end > number && !*end && *step >= 0) ||
           fail("%s: its step is '%s', expected a number: the file was edited or damaged", path,
                number);
}

static const char *shape_text(char text[200], int rank, const long *shape) {
    text[0] = 0;
    for (int i = 0; i < rank; i++) sprintf(text + strlen(text), i ? "x%ld" : "%ld", shape[i]);
    return text;
}

/* One tensor from the file, its shape and type checked; write = 0 only checks. */
static int slot_read(const Checkpoint *c, const Slot *slot, const StFile *file, const char *path,
                     int write) {
    const NetTensor *need = &slot->t;
    const StTensor *t = st_find(file, need->name);
    char have[200], expected[200];
    shape_text(expected, need->rank, need->shape);
    if (!t)
        return fail("%s: no tensor '%s' (%s): was it made with --recipe %s?", path, need->name,
                    expected, c->recipe);
    if (strcmp(shape_text(have, t->rank, t->shape), expected))
        return fail("%s: tensor '%s' is %s, the recipe needs %s: was it made with --recipe %s and "
                    "these sizes, channels, --body and --tail?", path, need->name, have, expected,
                    c->recipe);
    real *host = room_for(need->count, sizeof *host);
    int good = compress_read(file, t, host, need->count);
    if (good && write) c->ops->upload(slot->here, host, need->count);
    free(host);
    return good || fail("%s: tensor '%s': %s", path, need->name, error_text());
}

int checkpoint_load(const Checkpoint *c, const StFile *file, const char *path) {
    int count, good = 1;
    Slot *slot = checkpoint_slots(c, &count);
    for (int write = 0; write < 2; write++)           /* checks all before it overwrites any */
        for (int i = 0; good && i < count; i++) good = slot_read(c, &slot[i], file, path, write);
    free(slot);
    return good;
}

int net_load(Net *net, const StFile *file, const char *path, const char *recipe) {
    Checkpoint c = { .ops = net->ops, .recipe = recipe, .net = { net }, .weights_only = 1 };
    return checkpoint_load(&c, file, path);
}

/* ---------------------------------------------------------------------------------- compression */

/* Which side of a weight is its output channel: the last, or conv2d_transpose's third; < 0: none */
static int compress_axis(const StTensor *t) {
    return t->rank - 1 - (strstr(t->name, "conv2d_transpose") != NULL);
}

/* of element i, its place along that side */
static long compress_channel(const StTensor *t, long i) {
    int axis = compress_axis(t);
    for (int k = t->rank - 1; k > axis; k--) i /= t->shape[k];
    return i % t->shape[axis];
}

/* Half precision, rounded to nearest, ties to even; |x| < 65520; steps of 2^-24 below 2^-14 */
static uint16_t compress_half(float x) {
    int e;
    double size = fabs(x);
    frexp(size, &e);                                     /* size in [2^(e-1), 2^e) */
    if (e < -13 || size == 0) e = -13;
    int steps = nearbyint(ldexp(size, 11 - e));     /* 2^10 to 2^11, or fewer below 2^-14 */
    return steps + (e + 13) * 1024 + (signbit(x) ? 0x8000 : 0);    /* 2^11 carry over */
}

static int compress_compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The floor(share n) smallest magnitudes become zero; of equal ones, the first */
static void compress_prune(float *w, long n, double share) {
    long count = share * n, below = 0;
    float *size = new_floats(n);
    for (long i = 0; i < n; i++) size[i] = fabsf(w[i]);
    qsort(size, n, sizeof *size, compress_compare);
    float limit = count ? size[count - 1] : -1;
    while (below < count && size[below] < limit) below++;
    for (long i = 0, ties = count - below; i < n; i++)
        if (fabsf(w[i]) < limit || (fabsf(w[i]) == limit && ties-- > 0)) w[i] = 0;
    free(size);
}

/* s_o and q   w: (t->shape)   scale: (channels) zeros */
static void compress_int8(int8_t *q, float *scale, const float *w, const StTensor *t, long n) {
    for (long i = 0; i < n; i++) {
        float *s = &scale[compress_channel(t, i)];
        *s = fmaxf(*s, fabsf(w[i]) / 127);
    }
    for (long i = 0; i < n; i++) {
        float s = scale[compress_channel(t, i)];
        q[i] = s > 0 ? fmaxf(-127, fminf(127, nearbyintf(w[i] / s))) : 0;
    }
}

static const char *const compress_types[] = { "float16", "int8" };

/* A tensor becomes out[0], and its scale out[1], if it gets one. Returns the memory that these
 * point into; NULL if it fails. */
static void *compress_tensor(const StTensor *t, double prune, int int8, StTensor out[2],
                             CompressReport *report) {
    int vector = t->rank < 2, axis = compress_axis(t);
    long n = 1, channels = vector ? 0 : t->shape[axis];
    for (int k = 0; k < t->rank; k++) n *= t->shape[k];
    float *w = new_floats(2. * n + channels + strlen(t->name)), *scale = w + n;
    uint16_t *half = (void *)(scale + channels);
    int8_t *q = (void *)half;
    char *name = (char *)(half + n);
    int good = st_read_f32(t, w, n);
    for (long i = 0; good && i < n; i++)
        if (!(fabsf(w[i]) <= (int8 || vector ? 3e38f : 65504)))
            good = fail("tensor '%s' holds %g, which %s cannot", t->name, w[i],
                        compress_types[int8]);
    if (!good) return free(w), NULL;
    report->numbers += n;
    out[0] = *t, out[0].dtype = "F32", out[0].data = w, out[0].bytes = sizeof *w * n;
    if (vector) return w;
    compress_prune(w, n, prune);
    report->weights += n;
    out[0].dtype = int8 ? "I8" : "F16", out[0].data = q, out[0].bytes = int8 ? n : 2 * n;
    if (int8) {
        sprintf(name, "%s.scale", t->name);
        out[1] = (StTensor){ name, "F32", t->rank, {0}, scale, sizeof *scale * channels };
        for (int k = 0; k < t->rank; k++) out[1].shape[k] = k == axis ? channels : 1;
        compress_int8(q, scale, w, t, n);
    } else
        for (long i = 0; i < n; i++) half[i] = compress_half(w[i]);
    for (long i = 0; i < n; i++) report->zeros += int8 ? q[i] == 0 : w[i] == 0;
    return w;
}

int compress_write(const char *path, const StFile *from, double prune, int int8,
                   CompressReport *report) {
    const char *before = st_meta(from, "compressed");
    if (before)
        return fail("compressed already (%.100s): give the run's folder, or the checkpoint in it",
                    before);
    int narrows = 0, wides = 0, rooms = 0, metas = 0, good = 1;
    char told[64];
    StTensor *wide = room_for(3 * from->count, sizeof *wide), *narrow = wide + 2 * from->count;
    StMeta *meta = room_for(from->metas, sizeof *meta);
    void **room = room_for(from->count, sizeof *room);
    *report = (CompressReport){0};
    for (int i = 0; good && i < from->count; i++) {
        const StTensor *t = &from->tensors[i];
        StTensor out[2] = {0};
        if (strncmp(t->name, "g.", 2) || !strncmp(t->name, "g.adam_", 7)) continue;
        good = (room[rooms++] = compress_tensor(t, prune, int8, out, report)) != NULL;
        if (t->rank < 2) wide[wides++] = out[0];
        else narrow[narrows++] = out[0];
        if (out[1].name) wide[wides++] = out[1];
    }
    if (good && !narrows) good = fail("no tensor 'g.*': expected a run's checkpoint");
    if (good) {
        snprintf(told, sizeof told, "prune %g, %s", prune, compress_types[int8]);
        for (int i = 0; i < from->metas; i++)            /* the run's folder does not go along */
            if (strcmp(from->meta[i].key, "--out")) meta[metas++] = from->meta[i];
        meta[metas++] = (StMeta){ "compressed", told };
        memcpy(wide + wides, narrow, sizeof *wide * narrows);     /* F32 goes first */
        good = st_write(path, wide, wides + narrows, meta, metas);
    }
    for (int i = 0; i < rooms; i++) free(room[i]);
    free(wide), free(meta), free(room);
    return good;
}

int compress_read(const StFile *file, const StTensor *t, real *out, long count) {
    if (strcmp(t->dtype, "I8"))
        return sizeof(real) == 4 ? st_read_f32(t, (void *)out, count)
                                 : st_read_f64(t, (void *)out, count);
    char name[300];
    snprintf(name, sizeof name, "%.200s.scale", t->name);
    const StTensor *s = st_find(file, name);
    int axis = compress_axis(t);
    int fits = s && axis >= 0 && (long)t->bytes == count && s->rank == t->rank;
    for (int k = 0; fits && k < t->rank; k++) fits = s->shape[k] == (k == axis ? t->shape[k] : 1);
    if (!fits)
        return fail("%s: integers take a tensor '%s' with a number for each output channel: is "
                    "this a file of --compress?", t->name, name);
    float *scale = new_floats(t->shape[axis]);
    int good = st_read_f32(s, scale, t->shape[axis]);
    for (long i = 0; good && i < count; i++)
        out[i] = ((const int8_t *)t->data)[i] * scale[compress_channel(t, i)];
    free(scale);
    return good;
}
#endif
