/* tiled.h: the table of layers.h with its matrix products done fast on the CPU: dense layers, the
 * convolution passes, the Gram matrix and the search for nearest rows, all of them on ONE small
 * matrix product that lives in registers, `tile`.
 *
 * How to use it: #define LAYERS_IMPLEMENTATION and TILED_IMPLEMENTATION in one .c file, include
 * layers.h, then tiled.h, and hand &ops_tiled to the network. Compile with -O3 -march=native: the
 * width of the tile follows from the processor (AVX-512, AVX2 with FMA, or whatever else gcc and
 * clang make of 4-float vectors: SSE, NEON, plain C).
 *
 * Three ideas
 *   1. A tile of ROWS x COLS results stays in registers while the whole sum runs. Each step of the
 *      sum loads COLS numbers of b and ROWS numbers of a, and does ROWS * COLS multiply-adds:
 *      arithmetic, not memory, sets the pace.
 *   2. In NHWC the patch under one kernel row is `kernel * c` CONTIGUOUS numbers of the padded
 *      picture. So a convolution is a matrix product whose left-hand rows are pointers into the
 *      picture: they may overlap, no patch matrix is built, stride is only a distance between
 *      pointers, and after padding there is no border to test for.
 *   3. Work is cut by blocks of data, never by the number of threads, and every number is written
 *      by one task, or by two in a fixed order: the same bits for any number of threads.
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)              /* 32 registers of 16 floats: 6 x 64 results in 24 of them */
enum { LANES = 16, ROWS = 6, VECS = 4 };
#elif defined(__AVX2__) && defined(__FMA__)  /* 16 registers of 8: 6 x 16 results in 12 */
enum { LANES = 8, ROWS = 6, VECS = 2 };
#else                                     /* 16 registers of 4 or more: 4 x 8 results in 8 */
enum { LANES = 4, ROWS = 4, VECS = 2 };
#endif
enum { COLS = LANES * VECS };
enum { PIXELS = 192 };        /* rows of a task: their patches stay in the second-level cache */
enum { TAPS = 96, GATHER = 128 };  /* weight gradient: taps of a task, pixels gathered at a time */
enum { SEARCH = 96 };         /* search: rows of a task, they stay in the first-level cache */

typedef float Vec __attribute__((vector_size(LANES * 4), aligned(4)));
typedef int Mask __attribute__((vector_size(LANES * 4), aligned(4)));

static inline long smaller(long a, long b) { return a < b ? a : b; }
static inline long most(long a, long b) { return a > b ? a : b; }
static inline long blocks(long n, long size) { return (n + size - 1) / size; }

/* out[i][j] = sum_{q<runs} sum_{k<length} a[i][q*jump + k*step] b[q*length + k][j]
 * for i < ROWS, j < COLS   a: ROWS pointers   b: (runs*length, COLS), one panel
 * The compiler unrolls the loops over i and v: their bounds are constant; acc stays near. */
__attribute__((always_inline))
static inline void tile(float out[ROWS][COLS], const float *const a[ROWS], int runs, long jump,
                        long length, long step, const float *b) {
    Vec acc[ROWS][VECS] = {{{0}}};
    for (int q = 0; q < runs; q++)
        for (long k = 0; k < length; k++, b += COLS)
            for (int i = 0; i < ROWS; i++)
                for (int v = 0; v < VECS; v++)
                    acc[i][v] += a[i][q * jump + k * step] * ((const Vec *)b)[v];
    memcpy(out, acc, sizeof acc);
}

/* to[i][0..cols) += acc[i][0..cols)   for i < rows, the rows of `to` being `stride` apart */
__attribute__((always_inline))
static inline void add_tile(float *to, long stride, float acc[ROWS][COLS], long rows, long cols) {
    if (rows >= ROWS && cols >= COLS)
        for (int i = 0; i < ROWS; i++)
            for (int v = 0; v < VECS; v++) ((Vec *)(to + i * stride))[v] += ((Vec *)acc[i])[v];
    else
        for (int i = 0; i < smaller(ROWS, rows); i++)
            for (int j = 0; j < smaller(COLS, cols); j++) to[i * stride + j] += acc[i][j];
}

/* -------------------------------------------------------------------------------------- scratch */

/* `count` floats (aligned for Vec) in slot 0..3, kept until a larger request; contents undefined */
static float *scratch(int slot, long count) {
    static float *memory[4];
    static long capacity[4];
    if (count > capacity[slot]) {
        free(memory[slot]);
        memory[slot] = aligned_alloc(64, ((size_t)count * sizeof(float) + 63) / 64 * 64);
        if (!memory[slot]) {
            fprintf(stderr, "tiled.h: no memory for %ld MB of scratch: use a smaller --batch or "
                    "--size\n", count >> 18);
            exit(1);
        }
        capacity[slot] = count;
    }
    return memory[slot];
}

/* panel (K, COLS) = `cols` columns of a matrix, element (k,j) at b[k*sk + j*sj], then zeros */
static inline const float *pack_panel(float *panel, const float *b, long K, long cols, long sk,
                                      long sj) {
    if (sj == 1 && cols == COLS)
        for (long k = 0; k < K; k++) memcpy(panel + k * COLS, b + k * sk, sizeof(float) * COLS);
    else
        for (long k = 0; k < K; k++)
            for (long j = 0; j < COLS; j++) panel[k * COLS + j] = j < cols ? b[k * sk + j * sj] : 0;
    return panel;
}
/* a (K,N) matrix as panels (ceil(N/COLS), K, COLS) in slot 1: tile reads them front to back */
static const float *pack(const float *b, long K, long N, long sk, long sj) {
    float *panels = scratch(1, blocks(N, COLS) * COLS * K);
    #pragma omp parallel for
    for (long p = 0; p < blocks(N, COLS); p++)
        pack_panel(panels + p * K * COLS, b + p * COLS * sj, K, smaller(COLS, N - p * COLS), sk,
                   sj);
    return panels;
}

/* ------------------------------------------------------------------------------ matrix products */

/* y[m,j] += sum_k a[m*sm + k*sk] b[k,j]   y: (M,N)  panels: b (K,N), packed */
__attribute__((always_inline))
static inline void product(float *y, const float *a, long sm, long sk, const float *panels, long M,
                           long K, long N) {
    long row_blocks = blocks(M, PIXELS), columns = blocks(N, COLS);
    #pragma omp parallel for collapse(2) schedule(static)
    for (long p = 0; p < columns; p++)
        for (long block = 0; block < row_blocks; block++)
            for (long m = block * PIXELS; m < smaller(M, (block + 1) * PIXELS); m += ROWS) {
                const float *rows[ROWS];
                float acc[ROWS][COLS];
                /* past the end: the last row again */
                for (int i = 0; i < ROWS; i++) rows[i] = a + smaller(m + i, M - 1) * sm;
                tile(acc, rows, 1, 0, K, sk, panels + p * K * COLS);
                add_tile(y + m * N + p * COLS, N, acc, M - m, N - p * COLS);
            }
}

/* y = b + x w     (layers.h: dense_forward) */
static void tiled_dense_forward(real *y, const real *x, const real *w, const real *b,
                                int n, int in, int out) {
    broadcast_bias(y, b, n, out);
    product(y, x, in, 1, pack(w, in, out, out, 1), n, in, out);
}
/* dx += dy w^T    (layers.h: dense_backward_input) */
static void tiled_dense_backward_input(real *dx, const real *dy, const real *w,
                                       int n, int in, int out) {
    product(dx, dy, out, 1, pack(w, out, in, 1, out), n, out, in);
}
/* dw += x^T dy    (layers.h: dense_backward_weight) */
static void tiled_dense_backward_weight(real *dw, const real *x, const real *dy,
                                        int n, int in, int out) {
    product(dw, x, 1, in, pack(dy, n, out, out, 1), in, n, out);
}

/* the centred features, and as packed panels of columns; dG + dG^T */
static long tiled_gram_scratch(long rows, int c) {
    return rows * c + (long)blocks(c, COLS) * COLS * (rows > c ? rows : c) + (long)c * c;
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
    product(g, e, 1, c, pack(e, rows, c, c, 1), c, rows, c);
    scale(g, 1.f / rows, (long)c * c);
}
/* dF += (F - mu) (dG + dG^T) / R    (layers.h: gram_backward) */
static void tiled_gram_backward(real *df, const real *dg, const real *f, const real *mean,
                                long rows, int c) {
    float *both = scratch(2, (long)c * c);
    for (int i = 0; i < c; i++)
        for (int j = 0; j < c; j++) both[i * c + j] = (dg[i * c + j] + dg[j * c + i]) / rows;
    product(df, centred(f, mean, rows, c), c, 1, pack(both, c, c, c, 1), rows, c, c);
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
                tile(d, a, 1, 0, K, 1, panels + j0 * K);
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

/* ----------------------------------------------------------------------------- F18: convolution */

/* the picture with room for every pixel that a kernel touches: padded height and width */
static int padded(const Conv *d, int size, int out) {
    return (int)most((out - 1) * d->stride + d->kernel, size + d->pad);
}
static int padded_height(const Conv *d) { return padded(d, d->h, d->oh); }
static int padded_width(const Conv *d) { return padded(d, d->w, d->ow); }
static int needs_padding(const Conv *d) {
    return padded_height(d) != d->h || padded_width(d) != d->w;
}

/* the padded row where the patches of output row r of all images begin; past the last: the end */
static long sum_row(const Conv *d, long r) {
    int hp = padded_height(d);
    return r < (long)d->n * d->oh ? r / d->oh * hp + r % d->oh * d->stride : (long)d->n * hp;
}

/* x: (N,H,W,C) -> (N,HP,WP,C) with zeros around; x itself where no padding is needed */
static const float *pad_picture(const Conv *d, const float *x) {
    if (!needs_padding(d)) return x;
    long row = (long)d->w * d->c, padded_row = (long)padded_width(d) * d->c;
    int hp = padded_height(d);
    float *to = scratch(0, d->n * hp * padded_row);
    #pragma omp parallel for
    for (long r = 0; r < d->n * hp; r++) {
        long i = r % hp - d->pad, from = (r / hp * d->h + i) * row;
        fill(to + r * padded_row, 0, padded_row);
        if (i >= 0 && i < d->h) copy(to + r * padded_row + d->pad * d->c, x + from, row);
    }
    return to;
}

/* where in the padded picture the patch of each output pixel begins   (N*OH*OW) */
static const long *patches(const Conv *d) {
    long rows = (long)d->n * d->oh, wp = padded_width(d);
    long *at = (long *)scratch(3, rows * d->ow * (long)(sizeof(long) / sizeof(float)));
    #pragma omp parallel for
    for (long r = 0; r < rows; r++)
        for (int q = 0; q < d->ow; q++)
            at[r * d->ow + q] = (sum_row(d, r) * wp + q * d->stride) * d->c;
    return at;
}

/* weight gradient: in how many slices the pixels are summed */
static long gradient_slices(long taps) { return blocks(taps, TAPS) < 8 ? 8 : 1; }

/* y += x convolved with w: rows are patches, columns are output channels    (layers.h: convolve) */
static void tiled_convolve(real *y, const real *x, const real *w, const Conv *d) {
    long run = (long)d->kernel * d->c, K = d->kernel * run, jump = (long)padded_width(d) * d->c;
    long count = (long)d->n * d->oh * d->ow, panels = blocks(d->o, COLS);
    const float *picture = pad_picture(d, x), *packed = pack(w, K, d->o, d->o, 1);
    const long *patch = patches(d);
    #pragma omp parallel for schedule(static)
    for (long block = 0; block < blocks(count, PIXELS); block++)
        for (long b = 0; b < panels; b++)
            for (long p = block * PIXELS; p < smaller(count, (block + 1) * PIXELS); p += ROWS) {
                const float *rows[ROWS];
                float acc[ROWS][COLS];
                for (int i = 0; i < ROWS; i++) rows[i] = picture + patch[smaller(p + i, count - 1)];
                tile(acc, rows, d->kernel, jump, run, 1, packed + b * K * COLS);
                add_tile(y + p * d->o + b * COLS, d->o, acc, count - p, d->o - b * COLS);
            }
}
/* every pixel of y = b, or zero: broadcast_bias, quick for few channels too   y: (pixels,C) */
static void start_from_bias(real *y, const real *b, long pixels, int c) {
    #pragma omp parallel for
    for (long p = 0; p < pixels; p += PIXELS) {
        real *to = y + p * c;
        long count = smaller(PIXELS, pixels - p) * c;
        for (int j = 0; j < c; j++) to[j] = b ? b[j] : 0;
        for (long done = c; done < count; done *= 2)
            copy(to + done, to, smaller(done, count - done));
    }
}
static void tiled_conv2d_forward(real *y, const real *x, const real *w, const real *b,
                                 const Conv *d) {
    start_from_bias(y, b, (long)d->n * d->oh * d->ow, d->o);
    tiled_convolve(y, x, w, d);
}

/* Input gradient: how many rows of output pixels (of all images, one below the other) a task takes,
 * a band. Whole images of a batch; of a few images about a 64th, and enough that no band's patches
 * reach the band after the next. */
static long band_rows(const Conv *d) {
    if (d->n >= 16) return d->oh * smaller(blocks(PIXELS, (long)d->oh * d->ow), d->n / 8);
    long reach = blocks(d->kernel, d->stride) - 1, wide = blocks(32, d->ow);
    return most(most(reach, wide), blocks((long)d->n * d->oh, 64));
}

/* dx += the products dy w^T added up where their patches lie: rows are output pixels, columns the
 * K*K*C taps of a patch (layers.h: conv2d_backward_input). A band belongs to one task, and its
 * patches are added in order. Patches of neighbouring bands overlap where an image is cut: then all
 * even bands have their turn first, and all odd ones after them. */
static void tiled_conv2d_backward_input(real *dx, const real *dy, const real *w, const Conv *d) {
    int hp = padded_height(d), wp = padded_width(d), bordered = needs_padding(d);
    long run = (long)d->kernel * d->c, taps = d->kernel * run, row = (long)wp * d->c, K = d->o;
    long panels = blocks(taps, COLS), height = band_rows(d), all = (long)d->n * d->oh;
    long turns = height % d->oh ? 2 : 1;
    const float *packed = pack(w, K, taps, 1, K);
    const long *patch = patches(d);
    float *sum = bordered ? scratch(0, d->n * hp * row) : dx;
    for (long turn = 0; turn < turns; turn++) {
        #pragma omp parallel for schedule(static)
        for (long band = turn * height; band < all; band += turns * height) {
            long last = smaller(band + height, all) * d->ow;
            long begin_row = sum_row(d, band), end_row = sum_row(d, band + turns * height);
            if (bordered && turn == 0) fill(sum + begin_row * row, 0, (end_row - begin_row) * row);
            for (long begin = band * d->ow; begin < last; begin += PIXELS)
                for (long b = 0; b < panels; b++) {
                    long end = smaller(begin + PIXELS, last);
                    long tap = b * COLS, cols = smaller(COLS, taps - tap);
                    /* all columns in one kernel row? */
                    int whole = cols == COLS && tap / run == (tap + COLS - 1) / run;
                    long offset[COLS];
                    for (long j = 0; j < cols; j++)
                        offset[j] = (tap + j) / run * row + (tap + j) % run;
                    for (long p = begin; p < end; p += ROWS) {
                        const float *rows[ROWS];
                        float acc[ROWS][COLS];
                        for (int i = 0; i < ROWS; i++) rows[i] = dy + smaller(p + i, end - 1) * K;
                        tile(acc, rows, 1, 0, K, 1, packed + b * K * COLS);
                        for (long i = 0; i < smaller(ROWS, end - p); i++) {
                            float *to = sum + patch[p + i];
                            if (whole)
                                for (int v = 0; v < VECS; v++)
                                    ((Vec *)(to + offset[0]))[v] += ((Vec *)acc[i])[v];
                            else
                                for (long j = 0; j < cols; j++) to[offset[j]] += acc[i][j];
                        }
                    }
                }
            /* take the border off again. The rows of an odd band and of the next even one have all
             * that they get now, and so have the first band's, which no odd one reaches */
            if (turn == 0 && turns > 1) end_row = band ? begin_row : sum_row(d, height);
            for (long r = begin_row; bordered && r < end_row; r++) {
                long i = r % hp - d->pad, width = i >= 0 && i < d->h ? (long)d->w * d->c : 0;
                const float *from = sum + r * row + (long)d->pad * d->c;
                float *to = dx + (r / hp * d->h + i) * d->w * d->c;
                for (long j = 0; j < width; j++) to[j] += from[j];
            }
        }
    }
}

/* dw += patches^T dy: rows are the K*K*C taps, columns the output channels, and the sum runs over
 * all pixels (layers.h: conv2d_backward_weight). GATHER pixels x TAPS taps are copied tight first:
 * the tile walks down their columns. dy is packed beforehand where several tasks read it (taps >
 * TAPS), else by the one task that does, a panel at a time. Where the taps alone make too few
 * tasks, the pixels are cut in slices too, summed apart and added up in order. */
static void tiled_conv2d_backward_weight(real *dw, const real *x, const real *dy, const Conv *d) {
    enum { ROW = TAPS + 8 };                     /* not a power of two: cache sets */
    long run = (long)d->kernel * d->c, taps = d->kernel * run, size = taps * d->o;
    long jump = (long)padded_width(d) * d->c;
    long count = (long)d->n * d->oh * d->ow, slices = gradient_slices(taps);
    const float *picture = pad_picture(d, x), *packed = NULL;
    if (taps > TAPS) packed = pack(dy, count, d->o, d->o, 1);
    const long *patch = patches(d);
    float *sums = slices > 1 ? scratch(2, slices * size) : dw;
    if (slices > 1) fill(sums, 0, slices * size);
    #pragma omp parallel for collapse(2) schedule(static)
    for (long slice = 0; slice < slices; slice++)
        for (long tap = 0; tap < taps; tap += TAPS) {
            float gathered[GATHER][ROW], panel[GATHER][COLS];
            long m = smaller(TAPS, taps - tap), end = count * (slice + 1) / slices;
            memset(gathered, 0, sizeof gathered);
            for (long p0 = count * slice / slices; p0 < end; p0 += GATHER) {
                long pixels = smaller(GATHER, end - p0);
                for (long j = 0, length; j < m; j += length) {      /* kernel row by kernel row */
                    long u = (tap + j) / run, v = (tap + j) % run;
                    length = smaller(run - v, m - j);
                    for (long p = 0; p < pixels; p++) {
                        const float *from = picture + patch[p0 + p] + u * jump + v;
                        for (long k = 0; k < length; k++) gathered[p][j + k] = from[k];
                    }
                }
                for (long o = 0; o < d->o; o += COLS) {
                    const float *b = packed ? packed + o * count + p0 * COLS
                                            : pack_panel(panel[0], dy + p0 * d->o + o, pixels,
                                                         smaller(COLS, d->o - o), d->o, 1);
                    for (long r = 0; r < m; r += ROWS) {
                        const float *rows[ROWS];
                        float acc[ROWS][COLS];
                        for (int i = 0; i < ROWS; i++) rows[i] = &gathered[0][r + i];
                        tile(acc, rows, 1, 0, pixels, ROW, b);
                        add_tile(sums + slice * size + (tap + r) * d->o + o, d->o, acc, m - r,
                                 d->o - o);
                    }
                }
            }
        }
    for (long i = 0; i < slices && slices > 1; i++) axpy(dw, sums + i * size, 1, size);
}

/* the transposed convolution: the same three passes with their roles exchanged (layers.h) */
static void tiled_conv2d_transpose_forward(real *y, const real *x, const real *w, const real *b,
                                           const Conv *d) {
    start_from_bias(y, b, (long)d->n * d->h * d->w, d->c);
    tiled_conv2d_backward_input(y, x, w, d);
}
static void tiled_conv2d_transpose_backward_input(real *dx, const real *dy, const real *w,
                                                  const Conv *d) {
    tiled_convolve(dx, dy, w, d);
}
static void tiled_conv2d_transpose_backward_weight(real *dw, const real *x, const real *dy,
                                                   const Conv *d) {
    tiled_conv2d_backward_weight(dw, dy, x, d);
}

/* the padded picture, the largest packed matrix, slices, the patch table */
static long tiled_conv_scratch(const Conv *d) {
    long picture = needs_padding(d) ? (long)d->n * padded_height(d) * padded_width(d) * d->c : 0;
    long taps = (long)d->kernel * d->kernel * d->c, slices = gradient_slices(taps);
    long columns = blocks(d->o, COLS) * COLS, pixels = (long)d->n * d->oh * d->ow;
    long weights = most(taps * columns, blocks(taps, COLS) * COLS * d->o);
    long gradient = taps > TAPS ? pixels * columns : 0;
    long sums = slices > 1 ? slices * taps * d->o : 0;
    return picture + most(weights, gradient) + sums + 2 * pixels;
}

#define TILED(name) .name = tiled_##name,

const Ops ops_tiled = { .name = "cpu", CPU_MEMORY,
                        OPS_PRODUCTS(TILED) OPS_TILED(TILED) OPS_SIMPLE(NAIVE) };
#endif
