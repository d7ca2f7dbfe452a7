/* tile.h: the small matrix product that lives in registers, on which tiled.h and winograd.h stand.
 * It is as wide as the processor's vectors; memory for what is packed comes from `scratch`. */
#ifndef TILE_H
#define TILE_H
#include "layers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#else
static inline int omp_get_max_threads(void) { return 1; }
static inline int omp_get_num_threads(void) { return 1; }
static inline int omp_get_thread_num(void) { return 0; }
#endif

#if defined(__AVX512F__)              /* 32 registers of 16 floats: 6 x 64 results in 24 of them */
enum { LANES = 16, ROWS = 6, VECS = 4 };
#elif defined(__AVX2__) && defined(__FMA__)  /* 16 registers of 8: 6 x 16 results in 12 */
enum { LANES = 8, ROWS = 6, VECS = 2 };
#else                                     /* 16 registers of 4 or more: 4 x 8 results in 8 */
enum { LANES = 4, ROWS = 4, VECS = 2 };
#endif
enum { COLS = LANES * VECS };
enum { DEPTH = 8192 / COLS };  /* steps of the sum with one block of b */
enum { MARGIN = LANES > 2 * ROWS ? LANES : 2 * ROWS };   /* what may be read past an end */
enum { DOTS = 8 };            /* rows whose sums are done at once where there is no tile */

typedef float Vec __attribute__((vector_size(LANES * 4), aligned(4)));
typedef float Half __attribute__((vector_size(LANES * 2), aligned(4)));
typedef int Mask __attribute__((vector_size(LANES * 4), aligned(4)));

static inline long smaller(long a, long b) { return a < b ? a : b; }
static inline long most(long a, long b) { return a > b ? a : b; }
static inline long blocks(long n, long size) { return (n + size - 1) / size; }

/* sums[i][j] = (more ? sums[i][j] : 0)
 *              + sum_{q<runs} sum_{k<length} a[i][at + q*jump + k] b[q*(length + skip) + k][j]
 * for i < rows, j < vecs*LANES, where rows*vecs = ROWS*VECS: ROWS x COLS, or twice as many rows and
 * half as many columns   a: pointers to rows   b: a panel of rows of vecs*LANES numbers
 * The compiler unrolls the loops over i and v, whose bounds are constant, so acc stays in
 * registers. The pragmas unroll the loops that load and store acc before gcc makes one copy in
 * memory of each. */
__attribute__((always_inline))
static inline void tile(float *sums, int more, const float *const *a, long at, int rows, int vecs,
                        int runs, long jump, long length, const float *b, long skip) {
    Vec acc[ROWS * VECS], *to = (Vec *)sums;
    #pragma GCC unroll 24
    for (int i = 0; i < ROWS * VECS; i++) acc[i] = more ? to[i] : (Vec){0};
    for (int q = 0; q < runs; q++, b += skip * vecs * LANES)
        for (long k = 0; k < length; k++, b += vecs * LANES)
            for (int i = 0; i < rows; i++)
                for (int v = 0; v < vecs; v++)
                    acc[i * vecs + v] += a[i][at + q * jump + k] * ((const Vec *)b)[v];
    #pragma GCC unroll 24
    for (int i = 0; i < ROWS * VECS; i++) to[i] = acc[i];
}

/* out[i][j] = sum_{k<length} a[k][at + i] b[k][j], for the same i and j: a sum down columns of a */
__attribute__((always_inline))
static inline void tile_down(float *out, const float *const *a, long at, int rows, int vecs,
                             long length, const float *b) {
    Vec acc[ROWS * VECS] = {{0}};
    for (long k = 0; k < length; k++, b += vecs * LANES)
        for (int i = 0; i < rows; i++)
            for (int v = 0; v < vecs; v++)
                acc[i * vecs + v] += a[k][at + i] * ((const Vec *)b)[v];
    #pragma GCC unroll 24
    for (int i = 0; i < ROWS * VECS; i++) ((Vec *)out)[i] = acc[i];
}

/* out[i] = the same sum for DOTS rows and one column: its numbers b lie side by side, and the lanes
 * run along the sum. For layers whose few results would leave most of a tile idle. */
__attribute__((always_inline))
static inline void dots(float *out, const float *const *a, int runs, long jump, long length,
                        const float *b, long skip) {
    Vec acc[DOTS] = {{0}};
    Half half[DOTS][2], last[DOTS] = {{0}};
    float lane[LANES / 2];
    for (int i = 0; i < DOTS; i++) out[i] = 0;
    for (int q = 0; q < runs; q++, b += length + skip) {
        long k = 0;
        for (; k + LANES <= length; k += LANES)
            for (int i = 0; i < DOTS; i++)
                acc[i] += *(const Vec *)(a[i] + q * jump + k) * *(const Vec *)(b + k);
        for (; k + LANES / 2 <= length; k += LANES / 2)
            for (int i = 0; i < DOTS; i++)
                last[i] += *(const Half *)(a[i] + q * jump + k) * *(const Half *)(b + k);
        for (; k < length; k++)
            for (int i = 0; i < DOTS; i++) out[i] += a[i][q * jump + k] * b[k];
    }
    memcpy(half, acc, sizeof half);
    for (int i = 0; i < DOTS; i++) {
        half[i][0] += half[i][1] + last[i];
        memcpy(lane, &half[i][0], sizeof lane);
        for (int l = 0; l < LANES / 2; l++) out[i] += lane[l];
    }
}

/* to[i][j] += acc[i][j], or where there is a start, to[i][j] = start[j] + acc[i][j]
 * for i < rows, j < cols, at most width   acc: rows of `width` numbers */
__attribute__((always_inline))
static inline void put_tile(float *const *to, const float *start, const float *acc, long rows,
                            long cols, int width) {
    for (long i = 0; i < rows; i++) {
        const float *from = start ? start : to[i], *sum = acc + i * width;
        if (cols >= width)
            for (int j = 0; j < width; j += LANES)
                *(Vec *)(to[i] + j) = *(const Vec *)(from + j) + *(const Vec *)(sum + j);
        else
            for (long j = 0; j < cols; j++) to[i][j] = from[j] + sum[j];
    }
}

/* -------------------------------------------------------------------------------------- scratch */

/* `count` floats, aligned for Vec; contents undefined; give back with free */
static inline float *floats(long count) {
    float *memory = aligned_alloc(64, ((size_t)count * sizeof(float) + 63) / 64 * 64);
    if (memory) return memory;
    fprintf(stderr, "tiled.h: no memory for %ld MB of scratch: use a smaller --batch or --size\n",
            count >> 18);
    exit(1);
}
/* the same in slot 0..4, kept until a larger request */
static inline float *scratch(int slot, long count) {
    static float *memory[5];
    static long capacity[5];
    if (count > capacity[slot]) {
        free(memory[slot]);
        memory[slot] = floats(count);
        capacity[slot] = count;
    }
    return memory[slot];
}

/* Tasks 0 to count - 1 for the threads of a parallel region, to be made before it. A thread first
 * takes the tasks of its own share, in order, and then what is left of the others'. A share is the
 * same each time, so its pictures are in the cache of the core that wrote them. OpenMP's dynamic
 * schedule gives a task to the first thread that asks: a step then takes a tenth longer. */
enum { APART = 64 / sizeof(long) };            /* a line of the cache for each thread */
typedef struct Tasks { long count, *taken; } Tasks;

static inline void tasks_again(Tasks *t, int thread) { t->taken[thread * APART] = 0; }
static inline Tasks tasks_for(long count) {
    int threads = omp_get_max_threads();
    Tasks t = { count, (long *)scratch(4, 2L * APART * threads) };
    for (int i = 0; i < threads; i++) tasks_again(&t, i);
    return t;
}
/* the next one, or count when all are taken */
static inline long next_task(const Tasks *t) {
    int threads = omp_get_num_threads();
    for (int i = 0; i < threads; i++) {
        int owner = (omp_get_thread_num() + i) % threads;
        long first = t->count * owner / threads, end = t->count * (owner + 1) / threads, next;
        #pragma omp atomic capture
        next = t->taken[owner * APART]++;
        if (first + next < end) return first + next;
    }
    return t->count;
}
/* the memory of task i among as many places as there are threads, or tasks if these are fewer */
static inline long place_of(const Tasks *t, long i) {
    return t->count < omp_get_num_threads() ? i : omp_get_thread_num();
}

/* how many columns a panel has for n results: COLS, or half where the last would be half empty */
static inline int panel_width(long n) { return blocks(n, COLS / 2) % 2 ? COLS / 2 : COLS; }

/* One pass: output pictures y (n,oh,ow,o), each pixel from a window of input pictures x (n,h,w,c).
 * width: columns of a panel */
typedef struct Windows {
    const Conv *d;
    real *y;
    const real *b, *x;
    int back, adds, h, w, c, oh, ow, o, width;
    float *packed;                              /* the weights: panels (K*K*c, width) */
} Windows;
#define FORWARD(y, b, x) &(Windows){ d, y, b, x, 0, 0, d->h, d->w, d->c, d->oh, d->ow, d->o, 0, 0 }
#define BACK(y, b, x) &(Windows){ d, y, b, x, 1, 0, d->oh, d->ow, d->o, d->h, d->w, d->c, 0, 0 }

#endif
