/* winograd.h: convolutions with fewer multiplications (F18), for tiled.h.
 * Two neighbours of a sum with r taps, y0 = sum_a x[a] g[a] and y1 = sum_a x[a+1] g[a], take 2r
 * multiplications. r + 1 are enough (Winograd 1980; in layers: Lavin and Gray 2015):
 *   r = 2:  m = ( (x0 - x1) g0,  x1 (g0 + g1),  (x1 - x2) g1 )      y = ( m0 + m1, m1 - m2 )
 *   r = 3:  m = ( (x0 - x2) g0,  (x1 + x2) (g0 + g1 + g2) / 2,  (x2 - x1) (g0 - g1 + g2) / 2,
 *                 (x1 - x3) g2 )                            y = ( m0 + m1 + m2, m1 - m2 - m3 )
 * In matrices y = S' (G g . B x), so the gradient of the taps is dg = G' (S dy . B x). Along both
 * axes that makes (r+1)^2 products for a square of 2x2 results: 9 where 16 were, or 16 for 36. The
 * sum over the channels turns each of them into a matrix product, on tile.h's tile. A kernel of 4
 * with stride 2 is four kernels of 2, each on every second pixel. */
#ifndef WINOGRAD_H
#define WINOGRAD_H
#include "core/tile.h"

enum { SQUARES = 48, CHANNELS = 96 };  /* squares of a task; channels of one of a weight gradient */
enum { LOT = 1 << 18 };                /* how much B x a weight gradient takes at a time */
enum { WINDOWS = 70, WEIGHTS = 90 };   /* the products may be at most so many percent of the
                                        * multiplications */
enum Map { B_X, G_W, GT_M, ST_M, S_DY };

/* in place: one of the five matrices times v[0], v[step], ... It takes and gives 2, r or r + 1
 * numbers; the rest of v may hold anything. */
__attribute__((always_inline))
static inline void map_axis(Vec *v, int step, int r, enum Map map) {
    const Vec a = v[0], b = v[step], c = v[2 * step], d = v[r * step];
    const Vec even = (a + c) * 0.5f, odd = b * 0.5f, half = (b + c) * 0.5f;
    const Vec two[][3] = { { a - b, b, b - c }, { a, a + b, b }, { a + b, b + c },
                           { a + b, b - c }, { a, a + b, -b } };
    const Vec three[][4] = { { a - c, b + c, c - b, b - d }, { a, even + odd, even - odd, c },
                             { a + half, (b - c) * 0.5f, half + d },
                             { a + b + c, b - c - d }, { a, a + b, a - b, -b } };
    for (int i = 0; i <= r; i++) v[i * step] = r == 2 ? two[map][i] : three[map][i];
}
/* the same along the first `rows` rows of v (r+1,r+1), then along the first `cols` columns */
__attribute__((always_inline))
static inline void map_both(Vec *v, int r, enum Map map, int rows, int cols) {
    for (int i = 0; i < rows; i++) map_axis(v + i * (r + 1), 1, r, map);
    for (int j = 0; j < cols; j++) map_axis(v + j, r + 1, r, map);
}

/* One axis: square t reads input pixels from `from + step t` on, and its result j < 2 is pixel
 * to + stride (2t + j), where 2t + j < count */
typedef struct Axis { int from, step, to, stride, count; } Axis;

/* calls a function with r, or with a tile's size, as constants: by these its loops unroll */
#define WITH_R(function, f, ...) \
    ((f)->r == 2 ? function(f, __VA_ARGS__, 2) : function(f, __VA_ARGS__, 3))
#define WITH_TILE(function, f, ...) \
    ((f)->g.width < COLS ? function(f, __VA_ARGS__, 2 * ROWS, VECS / 2) \
                         : function(f, __VA_ARGS__, ROWS, VECS))

/* A pass: r taps on each of in*in phases of the input, for each of out*out phases of the output.
 *   product: the (r+1)^2 of them    depth: in*in*c, the length of their sums
 *   rows, cols: squares of a picture; `squares` in all, `lot` of them, `channels` at a time
 *   weights: G w (panels, out*out, products, depth, width), or the sums of a weight gradient
 *   (products, panels, depth, width)    sums: its S dy (products, panels, lot, width), `shared`
 *   own: each thread's B x (products, lot, next) and results (products, SQUARES, width), `each`
 *   zeros (c): stands for pixels outside */
typedef struct Winograd {
    Windows g;
    int r, products, in, out;
    long depth, next, rows, cols, squares, lot, panels, channels, tasks, shared, each;
    float *weights, *sums, *own, *zeros;
} Winograd;

/* Forward, tap s a + b of output pixel i sees x[s (i + a) - pad + b]. Backward, phase b is the
 * pixels s k - pad + b of dx, which see dy[k - r + 1] to dy[k]. */
static inline Axis axis(const Conv *d, int back, int b, int length) {
    int s = d->stride, first = (int)most(0, blocks(d->pad - b, s)), to = first * s - d->pad + b;
    if (!back) return (Axis){ -d->pad, 2 * s, 0, 1, length };
    return (Axis){ first - d->kernel / s + 1, 2, to, s, (int)most(0, blocks(length - to, s)) };
}

/* how many taps of all output pixels along one axis lie inside the input */
static inline long taps_inside(const Conv *d, int out, int in) {
    long sum = 0;
    for (int i = 0; i < out; i++)
        for (int at = i * d->stride - d->pad, u = 0; u < d->kernel; u++, at++)
            sum += at >= 0 && at < in;
    return sum;
}
/* Does it pay? Only for kernels of 4 with stride 2 and of 3 with stride 1, with 16 channels or more
 * on both sides, where the products are at most `percent` of the multiplications inside the border:
 * small pictures have a large border, and squares that are half used. */
static inline int winograd_pays(const Conv *d, int percent) {
    int s = d->stride, r = d->kernel / s;
    long rows = blocks(most(d->oh, blocks(d->h, s)), 2);
    long cols = blocks(most(d->ow, blocks(d->w, s)), 2);
    if (r * s != d->kernel || r + s != 4 || r < 2 || smaller(d->c, d->o) < 16) return 0;
    return 100 * rows * cols * s * s * (r + 1) * (r + 1)
           <= percent * taps_inside(d, d->oh, d->h) * taps_inside(d, d->ow, d->w);
}

static inline Winograd winograd(const Windows *g, int gradient) {
    const Conv *d = g->d;
    Winograd f = { .g = *g, .r = d->kernel / d->stride, .in = g->back ? 1 : d->stride,
                   .out = g->back ? d->stride : 1, .lot = SQUARES };
    f.products = (f.r + 1) * (f.r + 1);
    f.g.width = panel_width(g->o), f.panels = blocks(g->o, f.g.width);
    f.depth = (long)f.in * f.in * g->c, f.next = f.depth + MARGIN;
    for (int b = 0; b < f.out; b++) {
        f.rows = most(f.rows, blocks(axis(d, g->back, b, g->oh).count, 2));
        f.cols = most(f.cols, blocks(axis(d, g->back, b, g->ow).count, 2));
    }
    f.squares = d->n * f.rows * f.cols, f.tasks = blocks(f.squares, SQUARES) * f.out * f.out;
    if (gradient) {                       /* sums lot by lot, whatever the number of threads */
        f.lot *= most(1, LOT / (f.products * f.next * SQUARES));
        f.lot = smaller(f.lot, blocks(f.squares, SQUARES) * SQUARES);
        long parts = f.in * f.in, tasks = parts * blocks(g->c, CHANNELS);
        long threads = omp_get_max_threads();                        /* as many for each of them */
        long cuts = blocks(blocks(tasks, threads) * threads, parts);
        f.channels = blocks(blocks(g->c, cuts), 2 * ROWS) * 2 * ROWS, f.next = f.channels + MARGIN;
        f.tasks = parts * blocks(g->c, f.channels);
        f.shared = f.products * f.panels * f.lot * f.g.width;
    }
    f.each = LANES + f.products * (f.lot * f.next + SQUARES * f.g.width);
    return f;
}

/* how many floats: the sums, what the threads at work have, zeros; weights */
static inline long winograd_own(const Winograd *f) {
    return smaller(omp_get_max_threads(), f->tasks) * f->each;
}
static inline long winograd_data(const Winograd *f) { return f->shared + winograd_own(f) + f->g.c; }
static inline long winograd_weights(const Winograd *f) {
    return f->panels * f->out * f->out * f->products * f->depth * f->g.width;
}
static inline void winograd_memory(Winograd *f, int slot) {
    f->sums = scratch(0, winograd_data(f)), f->weights = scratch(slot, winograd_weights(f));
    f->own = f->sums + f->shared, f->zeros = f->own + winograd_own(f);
    memset(f->zeros, 0, (size_t)f->g.c * sizeof *f->zeros);
}

/* B x of square number `at` for phase q of the output, channels k0 to k1 of one phase of the input:
 * its number a goes to to[a * lot * next]. The last vector overlaps the one before. */
__attribute__((always_inline))
static inline void square_data(const Winograd *f, float *to, long at, int q, int phase, long k0,
                               long k1, int r) {
    const Windows *g = &f->g;
    Axis row = axis(g->d, g->back, q / f->out, g->oh), col = axis(g->d, g->back, q % f->out, g->ow);
    long n = at / (f->rows * f->cols), apart = f->lot * f->next;
    long i0 = row.from + at / f->cols % f->rows * row.step + phase / f->in;
    long j0 = col.from + at % f->cols * col.step + phase % f->in;
    const float *pixel[16];
    for (int a = 0; a < (r + 1) * (r + 1); a++) {
        long i = i0 + a / (r + 1) * f->in, j = j0 + a % (r + 1) * f->in;
        int inside = i >= 0 && i < g->h && j >= 0 && j < g->w;
        pixel[a] = inside ? g->x + ((n * g->h + i) * g->w + j) * g->c : f->zeros;
    }
    for (long k = k0; k < k1; k += LANES) {
        long from = smaller(k, g->c - LANES);
        Vec v[16];
        for (int a = 0; a < (r + 1) * (r + 1); a++) v[a] = *(const Vec *)(pixel[a] + from);
        map_both(v, r, B_X, r + 1, r + 1);
        for (int a = 0; a < (r + 1) * (r + 1); a++) *(Vec *)(to + a * apart + from - k0) = v[a];
    }
}

/* the same of `count` squares from `first` on, one row of `next` numbers for each */
static void squares_data(const Winograd *f, float *to, long first, long count, int q, int phase,
                         long k0, long k1) {
    for (long t = 0; t < count; t++)
        WITH_R(square_data, f, to + t * f->next, first + t, q, phase, k0, k1);
}

/* G w: row e of panel p for phase q of the output. Backward, the taps are in reverse order. */
__attribute__((always_inline))
static inline void row_weights(const Winograd *f, const real *w, long p, int q, long e, int r) {
    const Conv *d = f->g.d;
    int back = f->g.back, phase = back ? q : (int)(e / f->g.c), s = d->stride;
    long width = f->g.width, apart = f->depth * width, sk = back ? 1 : d->o, sj = back ? d->o : 1;
    float *to = f->weights + ((p * f->out * f->out + q) * f->products * f->depth + e) * width;
    for (long j0 = 0; j0 < width; j0 += LANES) {
        long j = p * width + j0, count = smaller(LANES, f->g.o - j);
        Vec v[16];
        for (int a = 0; a < r; a++)
            for (int b = 0; b < r; b++) {
                long t = s * (back ? r - 1 - a : a) + phase / s;
                t = t * d->kernel + s * (back ? r - 1 - b : b) + phase % s;
                const float *from = w + t * d->c * d->o + e % f->g.c * sk + j * sj;
                float lanes[LANES] = {0};
                for (long l = 0; l < count; l++) lanes[l] = from[l * sj];
                memcpy(&v[a * (r + 1) + b], lanes, sizeof lanes);
            }
        map_both(v, r, G_W, r, r + 1);
        for (int a = 0; a < (r + 1) * (r + 1); a++) *(Vec *)(to + a * apart + j0) = v[a];
    }
}

/* S' of products m (products, SQUARES, width) into y: `count` squares from `first` on */
__attribute__((always_inline))
static inline void put_results(const Winograd *f, const float *m, long first, long count, long p,
                               int q, int r) {
    const Windows *g = &f->g;
    const float zeros[COLS] = {0}, *start = g->adds ? NULL : g->b ? g->b + p * g->width : zeros;
    Axis row = axis(g->d, g->back, q / f->out, g->oh), col = axis(g->d, g->back, q % f->out, g->ow);
    for (long t = 0; t < count; t++) {
        long n = (first + t) / (f->rows * f->cols), i0 = (first + t) / f->cols % f->rows * 2;
        long j0 = (first + t) % f->cols * 2;
        float sums[4 * COLS], *to[4];
        int inside = 0, which[4];
        for (int a = 0; a < 4; a++) {
            long i = i0 + a / 2, j = j0 + a % 2;
            if (i >= row.count || j >= col.count) continue;
            i = row.to + i * row.stride, j = col.to + j * col.stride;
            to[inside] = g->y + ((n * g->oh + i) * g->ow + j) * g->o + p * g->width;
            which[inside++] = a / 2 * (r + 1) + a % 2;
        }
        for (long k = 0; k < g->width; k += LANES) {
            Vec v[16];
            for (int a = 0; a < (r + 1) * (r + 1); a++)
                v[a] = *(const Vec *)(m + (a * SQUARES + t) * g->width + k);
            map_both(v, r, ST_M, r + 1, 2);
            for (int a = 0; a < inside; a++) *(Vec *)(sums + a * g->width + k) = v[which[a]];
        }
        put_tile(to, start, sums, inside, g->o - p * g->width, (int)g->width);
    }
}

/* the results of `count` squares from `first` on, for phase q: in tiles of R squares x V vectors.
 * The thread that computes their B x is the one that needs it. */
__attribute__((always_inline))
static inline void block_results(const Winograd *f, long place, long first, long count, int q,
                                 int R, int V) {
    const float *in[SQUARES + MARGIN];
    float *data = f->own + place * f->each, *m = data + f->products * SQUARES * f->next;
    for (int phase = 0; phase < f->in * f->in; phase++)
        squares_data(f, data + phase * f->g.c, first, count, q, phase, 0, f->g.c);
    for (long p = 0; p < f->panels; p++) {
        long panel = f->depth * V * LANES, at = (p * f->out * f->out + q) * f->products * panel;
        for (int a = 0; a < f->products; a++, at += panel) {
            float *sums = m + a * SQUARES * V * LANES;
            for (long t = 0; t < count + R; t++)
                in[t] = data + (a * SQUARES + smaller(t, count - 1)) * f->next;
            for (long k = 0; k < f->depth; k += DEPTH)
                for (long t = 0; t < count; t += R)
                    tile(sums + t * V * LANES, k > 0, in + t, k, R, V, 1, 0,
                         smaller(DEPTH, f->depth - k), f->weights + at + k * V * LANES, 0);
        }
        WITH_R(put_results, f, m, first, count, p, q);
    }
}

static inline void winograd_windows(const Windows *g, const real *w) {
    Winograd f = winograd(g, 0);
    int phases = f.out * f.out;
    Tasks tasks = tasks_for(f.tasks);
    winograd_memory(&f, 1);
    #pragma omp parallel
    {
        #pragma omp for collapse(3)
        for (long p = 0; p < f.panels; p++)
            for (int q = 0; q < phases; q++)
                for (long e = 0; e < f.depth; e++)
                    WITH_R(row_weights, &f, w, p, q, e);
        for (long i; (i = next_task(&tasks)) < f.tasks;) {
            long first = i / phases * SQUARES, count = smaller(SQUARES, f.squares - first);
            WITH_TILE(block_results, &f, place_of(&tasks, i), first, count, i % phases);
        }
    }
}

/* S dy of square number `at`, number t of its lot */
__attribute__((always_inline))
static inline void square_sums(const Winograd *f, const real *dy, long at, long t, int r) {
    const Windows *g = &f->g;
    long n = at / (f->rows * f->cols), i0 = at / f->cols % f->rows * 2, j0 = at % f->cols * 2;
    for (long k = 0; k < f->panels * g->width; k += LANES) {
        long panel = k / g->width, column = k % g->width;
        Vec v[16];
        for (int a = 0; a < 4; a++) {
            long i = i0 + a / 2, j = j0 + a % 2, count = i < g->oh && j < g->ow ? g->o - k : 0;
            const real *from = dy + ((n * g->oh + i) * g->ow + j) * g->o + k;
            Vec lanes = {0};
            if (count >= LANES) lanes = *(const Vec *)from;
            else if (count > 0) memcpy(&lanes, from, (size_t)count * sizeof *from);
            v[a / 2 * (r + 1) + a % 2] = lanes;
        }
        map_both(v, r, S_DY, 2, r + 1);
        for (int a = 0; a < (r + 1) * (r + 1); a++)
            *(Vec *)(f->sums + ((a * f->panels + panel) * f->lot + t) * g->width + column) = v[a];
    }
}

/* (B x)' S dy over a lot of `count` squares from `begin` on: the rows of channels k0 to k1 of one
 * phase of the input. The thread that computes their B x is the one that needs it. */
__attribute__((always_inline))
static inline void lot_gradients(const Winograd *f, long place, long begin, long count, int phase,
                                 long k0, int R, int V) {
    const float zeros[COLS] = {0}, *row[DEPTH];
    float *data = f->own + place * f->each + LANES;  /* LANES: the last vector may begin before */
    long end = smaller(f->g.c - k0, f->channels), width = V * LANES;
    squares_data(f, data, begin, count, 0, phase, k0, k0 + end);
    for (long a = 0; a < f->products; a++)
        for (long p = 0; p < f->panels; p++)
            for (long t0 = 0; t0 < count; t0 += DEPTH) {
                long length = smaller(DEPTH, count - t0), from = (a * f->panels + p) * f->depth;
                const float *panel = f->sums + ((a * f->panels + p) * f->lot + t0) * width;
                float *sums = f->weights + (from + phase * f->g.c + k0) * width;
                for (long t = 0; t < length; t++) row[t] = data + (a * f->lot + t0 + t) * f->next;
                for (long e = 0; e < end; e += R) {
                    float acc[ROWS * COLS], *to[2 * ROWS];
                    for (int i = 0; i < R; i++) to[i] = sums + (e + i) * width;
                    tile_down(acc, row, e, R, V, length, panel);
                    put_tile(to, begin || t0 ? NULL : zeros, acc, smaller(R, end - e), width,
                             V * LANES);
                }
            }
}

/* dw += G' of the sums: row e of panel p */
__attribute__((always_inline))
static inline void row_gradients(const Winograd *f, real *dw, long p, long e, int r) {
    const Conv *d = f->g.d;
    long phase = e / d->c, width = f->g.width, s = d->stride;
    float sums[9 * COLS], *to[9];
    for (long j = 0; j < width; j += LANES) {
        Vec v[16];
        for (int a = 0; a < (r + 1) * (r + 1); a++)
            v[a] = *(const Vec *)(f->weights + ((a * f->panels + p) * f->depth + e) * width + j);
        map_both(v, r, GT_M, r + 1, r);
        for (int a = 0; a < r * r; a++) *(Vec *)(sums + a * width + j) = v[a / r * (r + 1) + a % r];
    }
    for (int a = 0; a < r * r; a++) {
        long t = (s * (a / r) + phase / s) * d->kernel + s * (a % r) + phase % s;
        to[a] = dw + (t * d->c + e % d->c) * d->o + p * width;
    }
    put_tile(to, NULL, sums, r * r, d->o - p * width, (int)width);
}

static inline void winograd_backward_weight(real *dw, const real *x, const real *dy,
                                            const Conv *d) {
    Winograd f = winograd(FORWARD(NULL, NULL, x), 1);
    long cuts = blocks(d->c, f.channels);
    Tasks tasks = tasks_for(f.tasks);
    winograd_memory(&f, 2);
    #pragma omp parallel
    {
        for (long begin = 0; begin < f.squares; begin += f.lot) {
            long count = smaller(f.lot, f.squares - begin);
            tasks_again(&tasks, omp_get_thread_num());
            #pragma omp for
            for (long t = 0; t < count; t++)
                WITH_R(square_sums, &f, dy, begin + t, t);
            for (long i; (i = next_task(&tasks)) < f.tasks;)
                WITH_TILE(lot_gradients, &f, place_of(&tasks, i), begin, count, i / cuts,
                          i % cuts * f.channels);
            #pragma omp barrier
        }
        #pragma omp for collapse(2)
        for (long p = 0; p < f.panels; p++)
            for (long e = 0; e < f.depth; e++)
                WITH_R(row_gradients, &f, dw, p, e);
    }
}

/* the largest pass forward or back, and the weight gradient */
static inline long winograd_scratch(const Conv *d) {
    Winograd f = winograd(FORWARD(NULL, NULL, NULL), 0);
    Winograd back = winograd(BACK(NULL, NULL, NULL), 0);
    Winograd gradient = winograd(FORWARD(NULL, NULL, NULL), 1);
    long weights = winograd_weights(&f);
    return most(winograd_data(&gradient), most(winograd_data(&f), winograd_data(&back))) + weights
           + most(weights, winograd_weights(&back));
}
#endif
