/* tiled.h: the table of layers.h with its matrix products done fast on the CPU: dense layers, the
 * convolution passes, the Gram matrix and the search for nearest rows, all of them on ONE small
 * matrix product that lives in registers, `tile` (tile.h). Where a convolution can do with fewer
 * multiplications, winograd.h does it. The sums of a normalisation stand here too.
 *
 * How to use it: #define LAYERS_IMPLEMENTATION and TILED_IMPLEMENTATION in one .c file, include
 * layers.h, then tiled.h, and hand &ops_tiled to the network. Compile with -O3 -march=native: the
 * width of the tile follows from the processor (AVX-512, AVX2 with FMA, or whatever else gcc and
 * clang make of 4-float vectors: SSE, NEON, plain C).
 *
 * Three ideas
 *   1. A tile of ROWS x COLS results stays in registers while DEPTH steps of the sum run. Each step
 *      loads COLS numbers of b and ROWS numbers of a, and does ROWS * COLS multiply-adds:
 *      arithmetic, not memory, sets the pace, as long as these COLS x DEPTH numbers of b, which
 *      many tiles share, stay in the first-level cache.
 *   2. In NHWC the patch under one kernel row is `kernel * c` CONTIGUOUS numbers of the picture.
 *      So a convolution is a matrix product whose left-hand rows are pointers into the picture:
 *      they may overlap, no patch matrix is built, stride is only a distance between pointers.
 *      Pixels whose patches the border cuts alike are done together: nothing is padded, and no
 *      zero is multiplied. The input gradient is such a product too, with the taps sorted.
 *   3. Work is cut by blocks of data, never by the number of threads, and every number is written
 *      by one task, or by several in a fixed order: the same bits for any number of threads.
 * The scratch memory only grows, to what the largest layer needs, and is shared: one network runs
 * at a time. */
#ifndef TILED_H
#define TILED_H
#include "layers.h"

extern const Ops ops_tiled;
#endif

#if defined(TILED_IMPLEMENTATION) && !defined(TILED_IMPLEMENTED)
#define TILED_IMPLEMENTED
#define LAYERS_IMPLEMENTATION       /* what is not worth a tile is done by the textbook loops */
#include "layers.h"
#include "core/tile.h"
#include "core/winograd.h"

enum { PIXELS = 192 };        /* rows of a task: their patches stay in the second-level cache */
enum { TAPS = 128, GATHER = 128 };  /* weight gradient: taps of a task, pixels at a time */
enum { THIN = 4 };            /* so few columns are computed by dots */
enum { SEARCH = 96 };         /* search: rows of a task, they stay in the first-level cache */

/* ----------------------------------------------------------------------------- F18: convolution */

/* What pixel i of an output sees of its input along one axis: `count` pixels from `from` on,
 * through as many taps of the kernel from `tap` on. The border cuts `count` down: no padding. */
typedef struct Span { int i, from, count, tap; } Span;

/* back = 0: an output pixel p of convolution d sees the input pixels p*s - pad + u, u < kernel.
 * back = 1: an input pixel i sees the output pixels p with p*s - pad + u = i. Their u are all of
 * one remainder by s, and fall while p rises: so the taps are sorted, see tap_of.   in: the length
 * of the axis that is seen */
static Span span(const Conv *d, int back, int in, int i) {
    int s = d->stride, first = i * s - d->pad, taps = d->kernel, base = 0;
    if (back) {
        int at = i + d->pad, remainder = at % s;
        for (int r = 0; r < remainder; r++) base += (int)blocks(d->kernel - r, s);
        taps = (int)blocks(d->kernel - remainder, s);
        first = at / s - taps + 1;
    }
    int begin = (int)most(0, -first), end = (int)smaller(taps, in - first);
    return begin < end ? (Span){ i, first + begin, end - begin, base + begin } : (Span){ .i = i };
}
/* the u of tap number t of a span */
static int tap_of(const Conv *d, int back, int t) {
    if (!back) return t;
    for (int r = 0;; r++) {
        int taps = (int)blocks(d->kernel - r, d->stride);
        if (t < taps) return r + d->stride * (taps - 1 - t);
        t -= taps;
    }
}

/* the spans of all `out` pixels of an axis, those with the same taps side by side */
static int same_taps(Span a, Span b) { return a.tap == b.tap && a.count == b.count; }
static void sorted_spans(Span *to, const Conv *d, int back, int in, int out) {
    for (int i = 0; i < out; i++) to[i] = span(d, back, in, i);
    for (int begin = 0, end; begin < out; begin = end) {
        end = begin + 1;
        for (int j = end; j < out; j++)
            if (same_taps(to[begin], to[j])) {
                Span found = to[j];
                memmove(to + end + 1, to + end, sizeof *to * (size_t)(j - end));
                to[end++] = found;
            }
    }
}
/* how many there are with the same taps as the first */
static int alike(const Span *span, int all) {
    int n = 1;
    while (n < all && same_taps(span[0], span[n])) n++;
    return n;
}

/* Pixels whose windows have the same taps: numbers `first` to first + count - 1 of those in
 * `images` images from `image` on, rows row[0..rows), columns col[0..cols) */
typedef struct Task { const Span *row, *col; int rows, cols, image; long first, count; } Task;

/* Panel p's rows of one tap, c rows, in the order of the spans' taps: zeros past the last column */
static void pack_tap(const Windows *g, const real *w, long p, int t) {
    const Conv *d = g->d;
    int K = d->kernel, u = tap_of(d, g->back, t / K), v = tap_of(d, g->back, t % K);
    long cols = smaller(g->width, g->o - p * g->width);
    long sk = g->back ? 1 : d->o, sj = g->back ? d->o : 1;
    const real *from = w + ((long)u * K + v) * d->c * d->o + p * g->width * sj;
    float *to = g->packed + (p * K * K + t) * g->c * g->width;
    for (long k = 0; k < g->c; k++, to += g->width) {
        for (long j = 0; j < cols; j++) to[j] = from[k * sk + j * sj];
        for (long j = cols; j < g->width; j++) to[j] = 0;
    }
}

/* A task's columns from j on: one panel, in tiles of R pixels x V vectors. in, out: its pixels'
 * windows and results; a last tile may pass their end. All tiles take a block of the panel, DEPTH
 * steps of the sum or as many whole rows of the window, before the next block. */
__attribute__((always_inline))
static inline void panel_tiles(const Windows *g, const Task *t, const float *const *in,
                               float *const *out, long j, int R, int V) {
    const float zeros[COLS] = {0}, *start = g->adds ? NULL : g->b ? g->b + j : zeros;
    long K = g->d->kernel, jump = (long)g->w * g->c, count = t->count, rows = t->row->count;
    long run = rows ? (long)t->col->count * g->c : 0, tall = most(1, DEPTH / most(1, run));
    const float *w = g->packed + (j * K * K + (t->row->tap * K + t->col->tap) * g->width) * g->c;
    float sums[(PIXELS + MARGIN) * COLS], *to[2 * ROWS];
    for (long u = 0; u < most(1, rows); u += tall)
        for (long k = 0; k < most(1, run); k += DEPTH) {
            int runs = (int)smaller(tall, most(1, rows) - u), more = u + k > 0;
            int last = u + tall >= rows && k + DEPTH >= run;
            long length = smaller(DEPTH, run - k), at = u * jump + k, skip = K * g->c - length;
            const float *block = w + (u * K * g->c + k) * V * LANES;
            for (long p = 0; p < count; p += R) {
                float *acc = more || !last ? sums + p * V * LANES : sums;
                tile(acc, more, in + p, at, R, V, runs, jump, length, block, skip);
                for (int i = 0; i < R && last; i++) to[i] = out[p + i] + j;
                if (last) put_tile(to, start, acc, smaller(R, count - p), g->o - j, V * LANES);
            }
        }
}

/* A task's few columns, by dots: a panel is one column */
static inline void thin_dots(const Windows *g, const Task *t, const float *const *in,
                             float *const *out) {
    long K = g->d->kernel, jump = (long)g->w * g->c, run = (long)t->col->count * g->c;
    for (long p = 0; p < t->count; p += DOTS)
        for (long j = 0; j < g->o; j++) {
            const float *w = g->packed + (j * K * K + t->row->tap * K + t->col->tap) * g->c;
            float sums[DOTS], start = g->b ? g->b[j] : 0;
            dots(sums, in + p, t->row->count, jump, run, w, (K - t->col->count) * g->c);
            for (int i = 0; i < smaller(DOTS, t->count - p); i++)
                out[p + i][j] = (g->adds ? out[p + i][j] : start) + sums[i];
        }
}

/* A task's columns from j0 up to j1: tiles of R pixels x V vectors; V = 0: dots */
__attribute__((always_inline))
static inline void window_tiles(const Windows *g, const Task *t, long j0, long j1, int R, int V) {
    const float *in[PIXELS + MARGIN];
    float *out[PIXELS + MARGIN];
    long each = (long)t->rows * t->cols, q = t->first % t->cols;
    long n = t->image + t->first / each, r = t->first % each / t->cols;
    for (long p = 0; p < t->count; q = 0, n += ++r == t->rows, r %= t->rows) {
        const float *from = g->x + (n * g->h + t->row[r].from) * g->w * g->c;
        float *to = g->y + (n * g->oh + t->row[r].i) * g->ow * g->o;
        for (; q < t->cols && p < t->count; q++, p++)
            in[p] = from + (long)t->col[q].from * g->c, out[p] = to + (long)t->col[q].i * g->o;
    }
    for (int i = 0; i < MARGIN; i++) in[t->count + i] = in[0], out[t->count + i] = out[0];
    for (long j = j0; j < j1 && V; j += g->width) panel_tiles(g, t, in, out, j, R, V);
    if (!V) thin_dots(g, t, in, out);
}

/* how many reals the spans and the tasks take, at most */
static long task_scratch(const Conv *d, long oh, long ow) {
    long kinds = 2 * d->kernel + d->stride;
    long tasks = d->n * smaller(oh, kinds) * smaller(ow, kinds) + blocks(d->n * oh * ow, PIXELS);
    return ((oh + ow) * (long)sizeof(Span) + tasks * (long)sizeof(Task)) / (long)sizeof(real) + 1;
}

/* The pixels with the same taps are done together: their rows of the left-hand matrix are equally
 * long, and the taps that would fall on the border's zeros are left out. Small pictures are taken
 * twelve at a time, which fills tiles of 6 and 12 rows */
static Task *window_tasks(const Windows *g, long *count) {
    const Conv *d = g->d;
    int lot = g->h * g->w == 1 ? d->n : (long)g->h * g->w * g->c > 1 << 14 ? 1 : 12;
    Span *row = (Span *)scratch(3, task_scratch(d, g->oh, g->ow)), *col = row + g->oh;
    Task *task = (Task *)(col + g->ow);
    sorted_spans(row, d, g->back, g->h, g->oh), sorted_spans(col, d, g->back, g->w, g->ow);
    *count = 0;
    for (int n = 0; n < d->n; n += lot)
        for (int r = 0, rows; r < g->oh; r += rows) {
            rows = alike(row + r, g->oh - r);
            for (int q = 0, cols; q < g->ow; q += cols) {
                cols = alike(col + q, g->ow - q);
                long all = smaller(lot, d->n - n) * rows * cols;
                for (long first = 0; first < all; first += PIXELS)
                    task[(*count)++] = (Task){ row + r, col + q, rows, cols, n, first,
                                               smaller(PIXELS, all - first) };
            }
        }
    return task;
}

static void windows(real *y, const real *b, int adds, const real *x, const real *w, const Conv *d,
                    int back) {
    Windows g = back ? *BACK(y, b, x) : *FORWARD(y, b, x);
    g.adds = adds;
    if (winograd_pays(d, WINDOWS)) {
        winograd_windows(&g, w);
        return;
    }
    g.width = g.o <= THIN ? 1 : panel_width(g.o);
    long panels = blocks(g.o, g.width), taps = (long)d->kernel * d->kernel, tasks;
    long step = g.width == 1 ? g.o : g.width, steps = blocks(g.o, step);
    g.packed = scratch(1, panels * g.width * taps * g.c);
    const Task *task = window_tasks(&g, &tasks);
    Tasks all = tasks_for(tasks * steps);
    #pragma omp parallel
    {
        #pragma omp for collapse(2)
        for (long p = 0; p < panels; p++)
            for (long t = 0; t < taps; t++) pack_tap(&g, w, p, (int)t);
        for (long i; (i = next_task(&all)) < all.count;) {
            const Task *t = task + i / steps;
            long j0 = i % steps * step, j1 = smaller(g.o, j0 + step);
            if (g.width == 1) window_tiles(&g, t, j0, j1, 0, 0);
            else if (g.width == COLS) window_tiles(&g, t, j0, j1, ROWS, VECS);
            else window_tiles(&g, t, j0, j1, 2 * ROWS, VECS / 2);
        }
    }
}

/* y = b + patches w    dx += the products whose window has the pixel    (layers.h: conv2d) */
static void tiled_conv2d_forward(real *y, const real *x, const real *w, const real *b,
                                 const Conv *d) {
    windows(y, b, 0, x, w, d, 0);
}
static void tiled_conv2d_backward_input(real *dx, const real *dy, const real *w, const Conv *d) {
    windows(dx, NULL, 1, dy, w, d, 1);
}

/* The weight gradient cuts dw into parts of at most TAPS rows: `length` taps of one kernel row u
 * from `first` on, or whole rows, as many as `tall` says. The pixels that see some of them, rows x
 * cols from (p0,q0) on in each picture, are cut into `slices`; columns: of dw, of a task */
typedef struct Part {
    long u, tall, first, length, columns, slice, slices, p0, q0, rows, cols;
} Part;

static void part_pixels(Part *part, const Conv *d) {
    int s = d->stride, pad = d->pad;
    long v = part->first / d->c, v_last = (part->first + part->length - 1) / d->c;
    part->p0 = most(0, blocks(pad - part->u - part->tall + 1, s));
    part->q0 = most(0, blocks(pad - v_last, s));
    part->rows = most(0, smaller(d->oh, blocks(d->h + pad - part->u, s)) - part->p0);
    part->cols = most(0, smaller(d->ow, blocks(d->w + pad - v, s)) - part->q0);
}

/* The part's taps of the patch of pixel (p,q) of picture n: where they lie in x, or a copy in `to`
 * where they are of several rows, the border cuts them (zeros), or a tile would pass x's end */
static inline const float *patch_taps(float *to, const real *x, const Conv *d, const Part *part,
                                      long n, long p, long q) {
    long edge = (long)d->w * d->c, begin = (q * d->stride - d->pad) * d->c + part->first;
    long length = part->length, low = most(0, -begin), high = smaller(length, edge - begin);
    long i = p * d->stride - d->pad + part->u, last = i + part->tall;
    const real *from = x + (n * d->h + i) * edge + begin;
    const real *end = x + d->n * d->h * edge - length - MARGIN;
    int inside = low == 0 && high == length;
    if (part->tall == 1 && inside && from <= end) return from;
    float *at = to;
    for (; i < last; i++, from += edge, at += length) {
        if (i < 0 || i >= d->h) memset(at, 0, sizeof *at * (size_t)length);
        else if (!inside || from > end)
            for (long k = 0; k < length; k++) at[k] = k < low || k >= high ? 0 : from[k];
        else if (length <= LANES)                      /* also what comes after them, for now */
            *(Vec *)at = *(const Vec *)from;
        else memcpy(at, from, (size_t)blocks(length, LANES) * sizeof(Vec));
    }
    for (int k = 0; k < MARGIN; k++) at[k] = 0;        /* tiles read these too, denormals slowly */
    return to;
}

/* dw[part] += patches^T dy: rows are taps, columns output channels, and the sum runs over pixels,
 * GATHER of them at a time, whose dy are copied tight first. Columns past the last one of dw are
 * computed from whatever comes next in dy, and dropped. */
__attribute__((always_inline))
static inline void part_tiles(real *dw, const real *x, const real *dy, const Conv *d,
                              const Part *part, long column, int R, int V) {
    enum { ROW = TAPS + MARGIN };
    long taps = part->tall * part->length, each = part->rows * part->cols, count = d->n * each;
    long lots = blocks(count, GATHER), at = lots * part->slice / part->slices * GATHER;
    long end = smaller(count, lots * (part->slice + 1) / part->slices * GATHER);
    long n = at / most(1, each), p = at / most(1, part->cols) % most(1, part->rows);
    long q = at % most(1, part->cols), last = smaller(d->o, column + part->columns);
    const real *past = dy + (long)d->n * d->oh * d->ow * d->o;
    float gathered[GATHER][ROW], panel[GATHER * COLS];
    const real *from[GATHER], *patch[GATHER];
    for (long pixels; at < end; at += pixels) {
        pixels = smaller(GATHER, end - at);
        for (long i = 0; i < pixels; i++) {
            from[i] = dy + ((n * d->oh + part->p0 + p) * d->ow + part->q0 + q) * d->o;
            patch[i] = patch_taps(gathered[i], x, d, part, n, part->p0 + p, part->q0 + q);
            if (++q == part->cols) q = 0, p++;
            if (p == part->rows) p = 0, n++;
        }
        for (long o = column; o < last; o += V * LANES) {
            long wide = smaller(V * LANES, d->o - o);
            for (long i = 0; i < pixels; i++) {
                Vec *to = (Vec *)panel + i * V;
                if (from[i] + o + V * LANES <= past)
                    for (int v = 0; v < V; v++) to[v] = ((const Vec *)(from[i] + o))[v];
                else for (long j = 0; j < V * LANES; j++)
                    ((float *)to)[j] = j < wide ? from[i][o + j] : 0;
            }
            for (long r = 0; r < taps; r += R) {
                float acc[ROWS * COLS], *to[2 * ROWS];
                for (int i = 0; i < R; i++) to[i] = dw + (r + i) * d->o + o;
                tile_down(acc, patch, r, R, V, pixels, panel);
                put_tile(to, NULL, acc, smaller(R, taps - r), wide, V * LANES);
            }
        }
    }
}

/* A task adds its part of dw, `columns` wide, over its share of the pixels: all of them, or where
 * dw is too small for many tasks an eighth, into one of eight copies. The tasks take the share in
 * rounds, whose pixels fit a cache. */
typedef struct Cut {
    long tall, unit, units, length, pieces, parts, columns, groups, copies, rounds;
} Cut;
static Cut cut(const Conv *d) {
    long run = (long)d->kernel * d->c, width = panel_width(d->o), size = d->kernel * run * d->o;
    long data = (long)d->n * ((long)d->h * d->w * d->c + (long)d->oh * d->ow * d->o);
    Cut k = { .tall = smaller(d->kernel, most(1, TAPS / run)), .copies = 1 };
    k.unit = d->c < TAPS ? smaller(run, TAPS / d->c * d->c) : d->c;
    k.units = blocks(run, k.unit), k.pieces = blocks(k.unit, TAPS);
    k.length = blocks(k.unit, k.pieces);
    k.parts = blocks(d->kernel, k.tall) * k.units * k.pieces;
    if (k.parts < 8 && 8 * size <= data) k.copies = 8;
    k.columns = k.parts * k.copies < 8 ? width : blocks(d->o, width) * width;
    k.groups = blocks(d->o, k.columns);
    k.rounds = most(1, data / k.copies >> 18);
    return k;
}

static void tiled_conv2d_backward_weight(real *dw, const real *x, const real *dy, const Conv *d);

/* With few output channels most columns of a tile would be idle. With stride 1, x and dy can
 * exchange their roles: dw[u,v,c,o] is dw[K-1-u,K-1-v,o,c] of a layer from dy to x. */
static int is_thin(const Conv *d) {
    return d->o <= THIN && d->c > THIN && d->stride == 1 && d->pad < d->kernel;
}
static Conv turned(const Conv *d) {
    int pad = d->kernel - 1 - d->pad;
    return (Conv){ d->n, d->oh, d->ow, d->o, d->h, d->w, d->c, d->kernel, 1, pad };
}
static void thin_backward_weight(real *dw, const real *x, const real *dy, const Conv *d) {
    const Conv swapped = turned(d);
    long taps = (long)d->kernel * d->kernel;
    real *sums = scratch(1, taps * d->c * d->o);
    fill(sums, 0, taps * d->c * d->o);
    tiled_conv2d_backward_weight(sums, dy, x, &swapped);
    for (long t = 0; t < taps; t++)
        for (long c = 0; c < d->c; c++)
            for (long o = 0; o < d->o; o++)
                dw[(t * d->c + c) * d->o + o] += sums[((taps - 1 - t) * d->o + o) * d->c + c];
}

static void tiled_conv2d_backward_weight(real *dw, const real *x, const real *dy, const Conv *d) {
    if (winograd_pays(d, WEIGHTS)) {
        winograd_backward_weight(dw, x, dy, d);
        return;
    }
    if (is_thin(d)) {
        thin_backward_weight(dw, x, dy, d);
        return;
    }
    long run = (long)d->kernel * d->c, size = d->kernel * run * d->o;
    Cut k = cut(d);
    float *sums = k.copies > 1 ? scratch(2, k.copies * size) : dw;
    if (k.copies > 1) fill(sums, 0, k.copies * size);
    Tasks tasks = tasks_for(k.copies * k.parts * k.groups);
    #pragma omp parallel
    for (long round = 0; round < k.rounds; round++) {
        for (long task; (task = next_task(&tasks)) < tasks.count;) {
            long copy = task / (k.parts * k.groups), i = task / k.groups % k.parts;
            long unit = i / k.pieces % k.units, u = i / k.pieces / k.units * k.tall;
            long first = unit * k.unit + i % k.pieces * k.length;
            long end = smaller((unit + 1) * k.unit, run);
            Part part = { u, smaller(k.tall, d->kernel - u), first, smaller(k.length, end - first),
                          k.columns, copy * k.rounds + round, k.copies * k.rounds, 0, 0, 0, 0 };
            real *to = sums + copy * size + (u * run + first) * d->o;
            part_pixels(&part, d);
            if (panel_width(d->o) == COLS)
                part_tiles(to, x, dy, d, &part, task % k.groups * k.columns, ROWS, VECS);
            else part_tiles(to, x, dy, d, &part, task % k.groups * k.columns, 2 * ROWS, VECS / 2);
        }
        #pragma omp barrier                                  /* rounds keep their order */
        tasks_again(&tasks, omp_get_thread_num());
        #pragma omp barrier
    }
    for (long i = 0; i < k.copies && k.copies > 1; i++) axpy(dw, sums + i * size, 1, size);
}

/* the transposed convolution: the same three passes with their roles exchanged (layers.h) */
static void tiled_conv2d_transpose_forward(real *y, const real *x, const real *w, const real *b,
                                           const Conv *d) {
    windows(y, b, 0, x, w, d, 1);
}
static void tiled_conv2d_transpose_backward_input(real *dx, const real *dy, const real *w,
                                                  const Conv *d) {
    windows(dx, NULL, 1, dy, w, d, 0);
}
static void tiled_conv2d_transpose_backward_weight(real *dw, const real *x, const real *dy,
                                                   const Conv *d) {
    tiled_conv2d_backward_weight(dw, dy, x, d);
}

/* the packed weights, the copies, the tasks, or what winograd.h takes for one pass or all */
static long tiled_conv_scratch(const Conv *d) {
    long pixels = task_scratch(d, most(d->h, d->oh), most(d->w, d->ow));
    long winograd = winograd_pays(d, WEIGHTS) ? winograd_scratch(d) + pixels : 0;
    const Conv swapped = turned(d);
    long taps = (long)d->kernel * d->kernel, copies = cut(is_thin(d) ? &swapped : d).copies;
    long forward = blocks(d->o, COLS) * COLS * d->c, back = blocks(d->c, COLS) * COLS * d->o;
    long windows = taps * (most(forward, back) + (copies > 1 ? copies * d->c * d->o : 0)) + pixels;
    return most(winograd, windows) + 2L * APART * omp_get_max_threads();
}

/* ---------------------------------------------------------- F6, F8: dense layers, Gram matrices */

/* a dense layer is a convolution of pictures of one pixel */
#define PIXEL &(Conv){ n, 1, 1, in, 1, 1, out, 1, 1, 0 }
static void tiled_dense_forward(real *y, const real *x, const real *w, const real *b,
                                int n, int in, int out) {
    windows(y, b, 0, x, w, PIXEL, 0);
}
static void tiled_dense_backward_input(real *dx, const real *dy, const real *w,
                                       int n, int in, int out) {
    windows(dx, NULL, 1, dy, w, PIXEL, 1);
}
static void tiled_dense_backward_weight(real *dw, const real *x, const real *dy,
                                        int n, int in, int out) {
    tiled_conv2d_backward_weight(dw, x, dy, PIXEL);
}

/* the centred features; dG + dG^T; what the products borrow */
static long tiled_gram_scratch(long rows, int c) {
    Conv product = { (int)rows, 1, 1, c, 1, 1, c, 1, 1, 0 };
    return rows * c + (long)c * c + tiled_conv_scratch(&product);
}

/* F - mu, in slot 0 */
static const float *centred(const real *f, const real *mean, long rows, int c) {
    float *e = scratch(0, rows * c);
    #pragma omp parallel for
    for (long r = 0; r < rows; r++)
        for (int j = 0; j < c; j++) e[r * c + j] = f[r * c + j] - (mean ? mean[j] : 0);
    return e;
}
/* G = (F - mu)^T (F - mu) / R    (layers.h: gram_forward) */
static void tiled_gram_forward(real *g, real *mean, const real *f, long rows, int c) {
    fill(g, 0, (long)c * c);
    if (mean) {
        fill(mean, 0, c);
        bias_backward(mean, f, rows, c);
        scale(mean, 1.f / rows, c);
    }
    const float *e = centred(f, mean, rows, c);
    tiled_dense_backward_weight(g, e, e, (int)rows, c, c);
    scale(g, 1.f / rows, (long)c * c);
}
/* dF += (F - mu) (dG + dG^T) / R    (layers.h: gram_backward) */
static void tiled_gram_backward(real *df, const real *dg, const real *f, const real *mean,
                                long rows, int c) {
    float *both = scratch(2, (long)c * c);
    for (int i = 0; i < c; i++)
        for (int j = 0; j < c; j++) both[i * c + j] = (dg[i * c + j] + dg[j * c + i]) / rows;
    tiled_dense_backward_input(df, centred(f, mean, rows, c), both, (int)rows, c, c);
}

/* ------------------------------------------------------------------------- F17: sums over rows */

/* The rows of each of `groups` (rows,C) matrices are cut into at most 64 bands of 256 rows or more.
 * A band is read twice, 16 channels at a time: these usually stay in the second-level cache.
 * part: two sums of each band (groups, bands, 2, C) */
typedef struct Bands { long rows, count; int c; double *part; } Bands;
static Bands cut_bands(int groups, long rows, int c) {
    long size = most(256, blocks(rows, 64)), count = blocks(rows, size);
    return (Bands){ size, count, c, (double *)scratch(0, groups * count * 2 * c * 2) };
}
static double *band_part(const Bands *b, long g, long band) {
    return b->part + (g * b->count + band) * 2 * b->c;
}
#define EACH_LINE(c) for (int c0 = 0, lanes; lanes = lanes_at(c0, c), c0 < c; c0 += LINE)

/* (layers.h: bias_backward) */
static void tiled_bias_backward(real *db, const real *dy, long rows, int c) {
    Bands b = cut_bands(1, rows, c);
    #pragma omp parallel for
    for (long band = 0; band < b.count; band++)
        EACH_LINE(c) {
            double sum[LINE] = {0};
            long first = band * b.rows;
            add_rows(sum, dy + first * c + c0, smaller(b.rows, rows - first), c, lanes);
            memcpy(band_part(&b, 0, band) + c0, sum, (size_t)lanes * sizeof *sum);
        }
    for (int j = 0; j < c; j++) {
        double sum = 0;
        for (long band = 0; band < b.count; band++) sum += band_part(&b, 0, band)[j];
        db[j] += (real)sum;
    }
}

/* (layers.h: normalize_forward)   Each band has its mean m and its squares s about it. Two sets of
 * n and k numbers make one with  s = s1 + s2 + (m2 - m1)^2 n k / (n + k)  (Chan, Golub, LeVeque
 * 1979). */
static void tiled_normalize_forward(real *y, real *mean, real *var, const real *x,
                                    const real *gamma, const real *beta, int groups, long rows,
                                    int c) {
    Bands b = cut_bands(groups, rows, c);
    #pragma omp parallel
    {
        #pragma omp for collapse(2)
        for (int g = 0; g < groups; g++)
            for (long band = 0; band < b.count; band++) {
                long first = band * b.rows, n = smaller(b.rows, rows - first);
                double *part = band_part(&b, g, band);
                EACH_LINE(c) {
                    const real *from = x + (g * rows + first) * c + c0;
                    double m[LINE] = {0}, s[LINE] = {0};
                    add_rows(m, from, n, c, lanes);
                    for (int j = 0; j < lanes; j++) part[c0 + j] = m[j] /= n;
                    add_squares(s, m, from, n, c, lanes);
                    memcpy(part + c + c0, s, (size_t)lanes * sizeof *s);
                }
            }
        #pragma omp for collapse(2)
        for (int g = 0; g < groups; g++)
            for (int j = 0; j < c; j++) {
                double m = band_part(&b, g, 0)[j], s = band_part(&b, g, 0)[c + j];
                for (long band = 1; band < b.count; band++) {
                    double n = band * b.rows, k = smaller(b.rows, rows - band * b.rows);
                    double *part = band_part(&b, g, band), more = part[j] - m;
                    m += more * k / (n + k), s += part[c + j] + more * more * n * k / (n + k);
                }
                mean[(long)g * c + j] = (real)m, var[(long)g * c + j] = (real)(s / rows);
            }
        #pragma omp for collapse(2)
        for (int g = 0; g < groups; g++)
            for (long band = 0; band < b.count; band++)
                EACH_LINE(c) {
                    long at = (g * rows + band * b.rows) * c + c0;
                    long end = at + smaller(b.rows, rows - band * b.rows) * c;
                    real a[LINE], shift[LINE], mu[LINE];
                    for (int j = 0; j < lanes; j++) {
                        double v = var[(long)g * c + c0 + j];
                        a[j] = gamma[c0 + j] / (real)sqrt(v + NORM_EPS), shift[j] = beta[c0 + j];
                        mu[j] = mean[(long)g * c + c0 + j];
                    }
                    for (long i = at; i < end; i += c)
                        EACH_LANE(j, y[i + j] = a[j] * (x[i + j] - mu[j]) + shift[j])
                }
    }
}
/* (layers.h: normalize_backward) */
static void tiled_normalize_backward(real *dx, real *dgamma, real *dbeta, const real *dy,
                                     const real *x, const real *gamma, const real *mean,
                                     const real *var, int groups, long rows, int c) {
    Bands b = cut_bands(groups, rows, c);
    #pragma omp parallel
    for (int add = 0; add < 2; add++) {        /* 0: the sums of each band; 1: dx, from all sums */
        #pragma omp for collapse(2)
        for (int g = 0; g < groups; g++)
            for (long band = 0; band < b.count; band++)
                EACH_LINE(c) {
                    long at = (g * rows + band * b.rows) * c + c0, channel = (long)g * c + c0;
                    long end = at + smaller(b.rows, rows - band * b.rows) * c;
                    double sum[LINE] = {0}, dot[LINE] = {0}, *part = band_part(&b, g, band) + c0;
                    const double *total = band_part(&b, g, 0) + c0;
                    real k[LINE], mu[LINE], rstd[LINE], mean_dy[LINE] = {0}, mean_dyh[LINE] = {0};
                    for (int j = 0; j < lanes; j++) {
                        mu[j] = mean[channel + j];
                        rstd[j] = (real)(1 / sqrt((double)var[channel + j] + NORM_EPS));
                        k[j] = gamma[c0 + j] * rstd[j];
                        if (!add) continue;
                        mean_dy[j] = (real)(total[j] / rows);
                        mean_dyh[j] = (real)(total[c + j] / rows);
                    }
                    for (long i = at; i < end && !add; i += c)
                        EACH_LANE(j, sum[j] += dy[i + j];
                                  dot[j] += dy[i + j] * ((x[i + j] - mu[j]) * rstd[j]))
                    for (int j = 0; j < lanes && !add; j++) part[j] = sum[j], part[c + j] = dot[j];
                    for (long i = at; i < end && add; i += c)
                        EACH_LANE(j, dx[i + j] = (dx == dy ? 0 : dx[i + j]) + k[j] * (dy[i + j]
                                         - mean_dy[j] - (x[i + j] - mu[j]) * rstd[j] * mean_dyh[j]))
                }
        #pragma omp for
        for (int j = 0; j < 2 * c; j++)
            for (int g = 0; g < groups && !add; g++) {
                double *total = band_part(&b, g, 0) + j;
                real *to = j < c ? dbeta : dgamma;
                for (long band = 1; band < b.count; band++) *total += band_part(&b, g, band)[j];
                if (to) to[j % c] += (real)*total;
            }
    }
}

/* --------------------------------------------------------------------------------------- search */

/* the rows of x, and the panels of y */
static long tiled_nearest_scratch(long nx, long ny, int c) {
    return (nx + blocks(ny, COLS) * COLS) * (c + 2);
}

/* (layers.h: nearest)   A distance is a product of rows two numbers longer,
 *     w |x - y|^2 = (-2x, |x|^2, 1) . w (y, 1, |y|^2)
 * and is never stored: each tile of distances is looked at where it was computed. A new least is
 * rare, about ln(ny) times in a row of ny, so most tiles end after a comparison of vectors. What
 * rounding takes below zero counts as zero. Columns past the last row of y are infinitely far. */
static void tiled_nearest(real *index, real *least, const real *x, const real *y,
                          const real *weight, long nx, long ny, int c) {
    nearest_limit(ny);
    long K = c + 2;
    float *rows = scratch(0, nx * K), *panels = scratch(1, blocks(ny, COLS) * COLS * K);
    #pragma omp parallel for
    for (long i = 0; i < nx; i++) {
        const float *from = x + i * c;
        float *to = rows + i * K, square = 0;
        for (int k = 0; k < c; k++) to[k] = -2 * from[k], square += from[k] * from[k];
        to[c] = square, to[c + 1] = 1;
    }
    #pragma omp parallel for
    for (long j = 0; j < blocks(ny, COLS) * COLS; j++) {
        float *to = panels + j / COLS * COLS * K + j % COLS, square = 0;
        float w = j < ny && weight ? weight[j] : 1;
        for (int k = 0; k < c; k++) {
            float v = j < ny ? y[j * c + k] : 0;
            to[k * COLS] = w * v, square += v * v;
        }
        to[c * COLS] = j < ny ? w : 0, to[(c + 1) * COLS] = j < ny ? w * square : INFINITY;
    }
    #pragma omp parallel for schedule(dynamic)
    for (long first = 0; first < nx; first += SEARCH) {
        long last = smaller(first + SEARCH, nx);
        for (long i = first; i < last; i++) least[i] = INFINITY, index[i] = 0;
        for (long j0 = 0; j0 < ny; j0 += COLS)
            for (long i = first; i < last; i += ROWS) {
                const float *a[ROWS];
                float d[ROWS][COLS];
                Mask less = {0};
                int lane[LANES], some = 0;
                for (int r = 0; r < ROWS; r++) a[r] = rows + smaller(i + r, last - 1) * K;
                tile(d[0], 0, a, 0, ROWS, VECS, 1, 0, K, panels + j0 * K, 0);
                for (int r = 0; r < ROWS; r++)
                    for (int v = 0; v < VECS; v++)                   /* less than least, or NaN */
                        less |= ~(((Vec *)d[r])[v] >= (Vec){0} + least[smaller(i + r, last - 1)]);
                memcpy(lane, &less, sizeof lane);
                for (int l = 0; l < LANES; l++) some |= lane[l];
                for (long r = 0; some && r < smaller(ROWS, last - i); r++)
                    for (long j = 0; j < smaller(COLS, ny - j0); j++) {
                        float new = d[r][j], old = least[i + r];
                        if (new < old || (new != new && old == old))
                            least[i + r] = new, index[i + r] = (float)(j0 + j);
                    }
            }
        for (long i = first; i < last; i++) least[i] = least[i] < 0 ? 0 : least[i];
    }
}

#define TILED(name) .name = tiled_##name,

const Ops ops_tiled = { .name = "cpu", CPU_MEMORY,
                        OPS_PRODUCTS(TILED) OPS_TILED(TILED) OPS_SIMPLE(NAIVE) };
#endif
