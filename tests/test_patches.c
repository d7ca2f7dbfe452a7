/* test_patches.c: patches.h: the fused search against a double loop, components, votes, the pyramid, memory and failures,
 * and what a user sees: the same bits for any number of threads, a style that is the content gives the content back, print
 * changes nothing outside its mask. Each checker also sees a planted error. TEST_QUICK=1: smaller pictures, fewer of them. */
#include "layers.h"
#include "core/tiled.h"
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* every allocation of images.o and of the two headers is counted, and the fail_at-th one fails; so are those of the table, but not what it borrows */
static size_t live, peak;
static long allocations, fail_at;
static void *counted(void *p) {
    live += p ? malloc_usable_size(p) : 0;
    if (live > peak) peak = live;
    return p;
}
static int refused(void) { return ++allocations == fail_at; }
void *counted_malloc(size_t n) { return refused() ? NULL : counted(malloc(n)); }
void *counted_calloc(size_t n, size_t each) { return refused() ? NULL : counted(calloc(n, each)); }
static void *counted_aligned(size_t to, size_t n) { return refused() ? NULL : counted(aligned_alloc(to, n)); }
void counted_free(void *p) {
    live -= p ? malloc_usable_size(p) : 0;
    free(p);
}
void *counted_realloc(void *p, size_t n) {
    live -= p ? malloc_usable_size(p) : 0;
    return counted(realloc(p, n));
}
#define malloc counted_malloc
#define calloc counted_calloc
#define realloc counted_realloc
#define aligned_alloc counted_aligned
#define free counted_free
#include "images/images.h"
#include "style/patches.h"
#include "test.h"
#ifdef WITH_CUDA                                        /* linked with cuda_kernels.cu, or with what cuda_on_cpu makes of it */
#include "core/device.h"
#endif
#ifdef _OPENMP
#include <omp.h>
static void threads(int n) { omp_set_num_threads(n); }
#else
static void threads(int n) { (void)n; }
#endif

static real *ops_alloc(long n) { return counted_calloc((size_t)n, sizeof(real)); }
static void ops_release(real *x) { counted_free(x); }
static Ops ops;                                                                 /* ops_tiled, counted */

static int quick;
static int side(int n) { return quick ? n / 2 < 16 ? 16 : n / 2 : n; }           /* of a picture */
static double uniform(uint64_t i) { return philox_uniform(7, 7, i); }
static void *room(size_t bytes) {
    void *p = calloc(bytes ? bytes : 1, 1);
    if (!p) exit(1);
    return p;
}

/* A picture of smooth waves and a little noise; kind: which */
static Image drawn(int h, int w, int c, int kind) {
    Image m;
    if (!image_new(&m, h, w, c)) exit(1);
    for (int y = 0; y < h; y++) for (int x = 0; x < w; x++) for (int k = 0; k < c; k++)
        m.pixels[(y * w + x) * c + k] = (float)(.6 * sin(.31 * (kind + 1) * x + k + .17 * y)
              + .3 * cos(.4 * y - .1 * kind * x)
                                        + .2 * uniform((uint64_t)(((kind * 100 + y) * 1000 + x) * 3 + k)) - .1);
    return m;
}
/* The middle ellipse of a picture as its mask, with a soft edge */
static void ellipse(Image *m) {
    m->mask = malloc(sizeof(float) * (size_t)(m->h * m->w));
    for (int y = 0; y < m->h; y++) for (int x = 0; x < m->w; x++) {
        double r = hypot((y + .5) / m->h - .5, (x + .5) / m->w - .5);
        m->mask[y * m->w + x] = (float)fmin(fmax((.36 - r) * 20, 0), 1);
    }
}
static PatchesOptions small(PatchesMode mode) {
    PatchesOptions o = patches_default(mode);
    o.iterations = quick ? 1 : 2;
    return o;
}

/* What ./transfer does: finds the garment (paint: all of a picture without a mask), paints the cut-out, lays the print */
static double shade = .85;
static int cut_out(Image *out, Cutout *cut, const Image *content, PatchesMode mode) {
    int good = image_copy(out, content);
    *cut = (Cutout){ .top = 0 };
    if (good && !out->mask && mode == PATCHES_PAINT) {
        good = (out->mask = malloc(sizeof(float) * (size_t)(out->h * out->w))) != NULL || fail("out of memory for a mask");
        for (int i = 0; good && i < out->h * out->w; i++) out->mask[i] = 1;
    }
    return good && image_garment_mask(out) && cutout_take(cut, out, PATCHES_MARGIN, PATCHES_SMALLEST, 0);
}
static int paint(Image *out, const Image *content, const Image *style, const double *weight, int styles, const PatchesOptions *o,
                 const Ops *table) {
    Image print = {0};
    Cutout cut;
    int good = cut_out(out, &cut, content, o->mode) && patches_transfer(&print, &cut, &(Styles){ style, weight, styles }, o, table);
    CHECK(good || (!print.pixels && !print.mask), "after an error the print is empty");
    if (good) image_lay_print(out, &print, &cut.tones, cut.top, cut.left, o->mode == PATCHES_PRINT ? shade : 0);
    else image_free(out);
    image_free(&print), cutout_free(&cut);
    return good;
}

/* ---- the search ------------------------------------------------------------------------------------------------ */

static double squared(const float *q, const float *k) {
    double sum = 0;
    for (int t = 0; t < PM_KEPT; t++) sum += ((double)q[t] - k[t]) * ((double)q[t] - k[t]);
    return sum;
}
/* how many of best[] are not (nearly) the least of weight D, by a double loop in double */
static long wrong_matches(const float *best, const float *q, long nq, const float *k, long nk) {
    double *least = room(sizeof(double) * (size_t)nk);
    long wrong = 0;
    for (long j = 0; j < nk; j++) {
        least[j] = 1e30;
        for (long i = 0; i < nq; i++) least[j] = fmin(least[j], squared(q + i * PM_KEPT, k + j * PM_KEPT));
    }
    for (long i = 0; i < nq; i++) {
        double low = 1e30;
        for (long j = 0; j < nk; j++) low = fmin(low, squared(q + i * PM_KEPT, k + j * PM_KEPT) / (least[j] + .002 * PM_TAPS));
        int b = (int)best[i];
        wrong += !(b >= 0 && b < nk && squared(q + i * PM_KEPT, k + b * PM_KEPT) / (least[b] + .002 * PM_TAPS) <= low * (1 + 1e-4) + 1e-5);
    }
    free(least);
    return wrong;
}
static void test_search(void) {
    static const int sizes[][2] = { {1, 1}, {1, 17}, {5, 2}, {7, 13}, {96, 16}, {97, 64}, {203, 131}, {64, 300} };
    for (int s = 0; s < 16; s++) {
        long nq = sizes[s % 8][0], nk = sizes[s % 8][1], most = nq > nk ? nq : nk;
        float *all = room(4 * (size_t)(2 * (nq + nk) * PM_KEPT + nk + 2 * most)), *q = all, *k = q + nq * PM_KEPT;
        float *best = room(4 * (size_t)most), *weight = room(4 * (size_t)nk);
        for (long i = 0; i < (nq + nk) * PM_KEPT; i++) q[i] = (float)(uniform((uint64_t)i) * 2 - 1);
        Pm m = { .ops = s < 8 ? &ops_tiled : &ops_naive, .best = best, .weight = weight };
        m.on.queries = q, m.on.keys = k, m.on.weight = k + nk * PM_KEPT, m.on.index = m.on.weight + nk, m.on.least = m.on.index + most;
        pm_search(&m, nq, nk);
        CHECK(wrong_matches(best, q, nq, k, nk) == 0, "%ld queries, %ld keys: the search is the double loop", nq, nk);
        for (long j = 0; j < nk; j += 7) {
            double least = 1e30;
            for (long i = 0; i < nq; i++) least = fmin(least, squared(q + i * PM_KEPT, k + j * PM_KEPT));
            CLOSE(weight[j], 1 / (least + .002 * PM_TAPS), 0, 1e-4, "weight of key %ld of %ld", j, nk);
        }
        if (nk > 1) {
            best[nq - 1] = (float)(((int)best[nq - 1] + 1) % (int)nk);
            CHECK(wrong_matches(best, q, nq, k, nk) == 1, "a wrong match is seen");
        }
        free(all), free(best), free(weight);
    }
}

/* ---- components ------------------------------------------------------------------------------------------------ */

static double not_orthonormal(const float *basis) {                             /* the largest |v_i . v_j - (i == j)| */
    double worst = 0;
    for (int i = 0; i < PM_KEPT; i++) for (int j = 0; j <= i; j++) {
        double dot = 0;
        for (int t = 0; t < PM_TAPS; t++) dot += (double)basis[t * PM_KEPT + i] * basis[t * PM_KEPT + j];
        worst = fmax(worst, fabs(dot - (i == j)));
    }
    return worst;
}
/* |V V^T r|^2 / |r|^2 over all (centred) rows */
static double captured(const float *basis, const float *rows, long n) {
    double in = 0, all = 0;
    for (long i = 0; i < n; i++) {
        for (int k = 0; k < PM_KEPT; k++) {
            double dot = 0;
            for (int t = 0; t < PM_TAPS; t++) dot += (double)basis[t * PM_KEPT + k] * rows[i * PM_TAPS + t];
            in += dot * dot;
        }
        for (int t = 0; t < PM_TAPS; t++) all += (double)rows[i * PM_TAPS + t] * rows[i * PM_TAPS + t];
    }
    return in / all;
}
/* the components of n rows, which it centres */
static void components(float *basis, float *rows, long n) {
    float *covariance = room(4 * PM_TAPS * PM_TAPS), mean[PM_TAPS];
    double *work = room(16 * PM_TAPS * PM_KEPT);
    ops_tiled.gram_forward(covariance, mean, rows, n, PM_TAPS);
    for (long i = 0; i < n * PM_TAPS; i++) rows[i] -= mean[i % PM_TAPS];
    pm_components(basis, covariance, work);
    free(covariance), free(work);
}
static void test_components(void) {
    enum { N = 301 };
    float *rows = room(sizeof(float) * N * PM_TAPS), basis[PM_TAPS * PM_KEPT];
    double in = 0, all = 0;
    for (int i = 0; i < N * PM_TAPS; i++) rows[i] = (float)((uniform((uint64_t)i) - .5) * pow(.93,
          i % PM_TAPS * 85 % PM_TAPS) + 3);
    components(basis, rows, N);
    CHECK(not_orthonormal(basis) < 1e-5, "the basis is orthonormal: %g", not_orthonormal(basis));
    for (int t = 0; t < PM_TAPS;
          t++) {                     /* Ky Fan: the best 38 directions hold no less than any 38 coordinates */
        double v = 0;
        for (long i = 0; i < N; i++) v += (double)rows[i * PM_TAPS + t] * rows[i * PM_TAPS + t];
        all += v, in += pow(.93, t * 85 % PM_TAPS) > pow(.93, 37.5) ? v : 0;
    }
    CHECK(captured(basis, rows, N) > .998 * in / all, "captured: %.5f of the variance, 38 coordinates hold %.5f",
          captured(basis, rows, N), in / all);
    for (int t = 0; t < PM_TAPS; t++) basis[t * PM_KEPT] = basis[t * PM_KEPT + 1];
    CHECK(not_orthonormal(basis) > .5, "a direction twice is seen");

    for (int i = 0; i < N; i++) for (int t = 0; t < PM_TAPS;
          t++) {             /* rank 9: everything is captured, rows come back */
        double x = 0;
        for (int k = 0; k < 9; k++) x += uniform((uint64_t)(i * 9 + k)) * (uniform((uint64_t)(90000 + t * 9 + k)) - .5);
        rows[i * PM_TAPS + t] = (float)x;
    }
    components(basis, rows, N);
    CLOSE(captured(basis, rows, N), 1, 1e-5, 0, "rank 9 is captured whole");
    double worst = 0;
    for (int t = 0; t < PM_TAPS; t++) {
        double back = 0;
        for (int k = 0; k < PM_KEPT; k++) {
            double dot = 0;
            for (int u = 0; u < PM_TAPS; u++) dot += (double)basis[u * PM_KEPT + k] * rows[u];
            back += dot * basis[t * PM_KEPT + k];
        }
        worst = fmax(worst, fabs(back - rows[t]));
    }
    CHECK(worst < 1e-4, "a row is rebuilt from its components: %g", worst);

    for (int i = 0; i < N * PM_TAPS; i++) rows[i] = .3f;
          /* one colour: no variance, no division by zero */
    components(basis, rows, N);
    double sum = 0;
    for (int i = 0; i < PM_TAPS * PM_KEPT; i++) sum += fabs(basis[i]);
    CHECK(sum == 0, "a constant has no components: %g", sum);
    free(rows);
}

/* Patches in components, against sums over the picture; and D of two patches */
static void test_project(void) {
    enum { H = 17, W = 23, N = 29 };
    float picture[H * W * 4], *rows = room(4 * N * PM_KEPT), basis[PM_TAPS * PM_KEPT], mean[PM_TAPS], origin[PM_KEPT] = {0};
    int at[N];
    for (int i = 0; i < H * W * 4; i++) picture[i] = (float)uniform((uint64_t)i);
    for (int i = 0; i < PM_TAPS * PM_KEPT; i++) basis[i] = (float)uniform((uint64_t)(5000 + i)) - .5f;
    for (int t = 0; t < PM_TAPS; t++) mean[t] = (float)uniform((uint64_t)(99000 + t));
    for (int i = 0; i < PM_TAPS * PM_KEPT; i++) origin[i % PM_KEPT] -= mean[i / PM_KEPT] * basis[i];
    for (int i = 0; i < N; i++) at[i] = (i * 5) % (H - 6) * W + (i * 3) % (W - 6);
    Pm m = { .ops = &ops_tiled, .gathered = room(4 * N * PM_TAPS) };
    m.on.patches = room(4 * N * PM_TAPS), m.on.basis = basis, m.on.origin = origin;
    pm_project(&m, rows, picture, W, at, N);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < PM_KEPT; k += 9) {
            double y = 0;
            for (int t = 0; t < PM_TAPS; t++)
                y += (picture[4 * (at[i] + t / PM_RUN * W) + t % PM_RUN] - (double)mean[t]) * basis[t * PM_KEPT + k];
            CLOSE(rows[i * PM_KEPT + k], y, 1e-4, 1e-5, "patch %d component %d", i, k);
        }
    double d = 0;
    for (int t = 0; t < PM_TAPS; t++)
        d += pow(picture[4 * (at[0] + t / PM_RUN * W) + t % PM_RUN] - (double)picture[4 * (at[1] + t / PM_RUN * W) + t % PM_RUN], 2);
    CLOSE(pm_distance(picture + 4 * at[0], 4 * W, picture + 4 * at[1], 4 * W), d, 0, 1e-5, "distance of two patches");
    free(rows), free(m.gathered), free(m.on.patches);
}

/* ---- one level ------------------------------------------------------------------------------------------------- */

/* x by the definition, in double: every patch adds its pixels */
static double worst_vote(const Pm *m, const float *before, const PmLevel *l, const PmGrid *grid) {
    const float *x = m->x.pixels, *atlas = m->atlas;
    const int *match = m->refined, *slot = m->query_of, rows = grid->rows, cols = grid->cols, py = grid->phase_y, px = grid->phase_x;
    double worst = 0;
    for (int y = 0; y < l->h; y++) for (int z = 0; z < l->w; z++) for (int k = 0; k < 3; k++) {
        double sum = 0, total = 0;
        for (int i = 0; i < rows; i++) for (int j = 0; j < cols; j++) {
            int dy = y - (i * l->stride - py - 3), dx = z - (j * l->stride - px - 3);
            if (slot[i * cols + j] < 0 || dy < 0 || dy > 6 || dx < 0 || dx > 6) continue;
            double g = exp(-((dy - 3) * (dy - 3) + (dx - 3) * (dx - 3)) * 9 / 49.);
            sum += g * atlas[4 * (match[slot[i * cols + j]] + dy * l->atlas_w + dx) + k], total += g;
        }
        worst = fmax(worst, fabs(x[(y * l->w + z) * 3 + k] - (total > 0 ? sum / total : before[(y * l->w + z) * 3 + k])));
    }
    return worst;
}
static void test_vote(void) {
    enum { H = 19, W = 22, AH = 15, AW = 18 };
    float atlas[AH * AW * 4], x[H * W * 3], before[H * W * 3];
    int match[H * W * 4], slot[H * W * 4];
    for (int i = 0; i < AH * AW * 4; i++) atlas[i] = (float)uniform((uint64_t)i);
    for (int i = 0; i < H * W * 3; i++) before[i] = (float)uniform((uint64_t)(i + 9999));
    for (int stride = 1; stride <= 3; stride++) {
        PmLevel l = { .h = H, .w = W, .stride = stride, .atlas_h = AH, .atlas_w = AW };
        int py = stride / 2, px = stride - 1, n = 0;
        int rows = (H - 2 + py + stride) / stride + 1, cols = (W - 2 + px + stride) / stride + 1;
        for (int i = 0; i < rows * cols; i++) {
            slot[i] = i % cols > cols / 2 && i / cols < rows / 2 ? -1 : n;      /* a corner without patches */
            if (slot[i] >= 0) match[n++] = philox_below(1, 2, (uint64_t)i, AH - 6) * AW + philox_below(1, 3,
                  (uint64_t)i, AW - 6);
        }
        memcpy(x, before, sizeof x);
        Pm m = { .atlas = atlas, .x = { .pixels = x }, .refined = match, .query_of = slot };
        PmGrid grid = { rows, cols, py, px };
        pm_vote(m.x.pixels, &m, &l, &grid);
        double worst = worst_vote(&m, before, &l, &grid);
        CHECK(worst < 1e-5, "votes at stride %d: %g", stride, worst);
        CHECK(x[(W - 1) * 3] == before[(W - 1) * 3], "no vote: the pixel stays");
        match[n / 2]++;
        CHECK(worst_vote(&m, before, &l, &grid) > 1e-3, "a patch that moved is seen");
    }
}

static void test_plan(void) {
    for (int n = 0; n < 300; n++) {
        Image style[3] = {{0}};
        double weight[3];
        int h = 16 + philox_below(3, 0, (uint64_t)n, n < 250 ? 300 : 1500), w = 16 + philox_below(3, 1, (uint64_t)n, 300);
        int styles = 1 + n % 3;
        for (int s = 0; s < styles; s++) {
            style[s].h = 16 + philox_below(3, 2, (uint64_t)(3 * n + s), 200), style[s].w = 16 + philox_below(3, 4,
                  (uint64_t)(3 * n + s), 200);
            style[s].tileable = (n >> s) & 1, weight[s] = .1 + uniform((uint64_t)(3 * n + s));
        }
        PatchesOptions o = patches_default(n % 2 ? PATCHES_PRINT : PATCHES_PAINT);
        o.style_scale = n % 5 ? 1 : 1.7, o.size = 4096;
        Pm m = { .o = &o, .ops = &ops, .source = &(Styles){ style, weight, styles } };
        if (!pm_plan(&m, h, w)) continue;
        const PmLevel *top = &m.level[m.levels - 1];
        CHECK(top->h == h && top->w == w && m.levels <= PATCHES_LEVELS,
              "the finest level is the picture: %d x %d", w, h);
        m.key_at = room(sizeof(int) * PM_MOST_KEYS);
        for (int i = 0; i < m.levels; i++) {
            const PmLevel *l = &m.level[i];
            int bad = 0;
            if (i) CHECK(abs((int)lround(.7 * l->h) - m.level[i - 1].h) <= 1
                  && abs((int)lround(.7 * l->w) - m.level[i - 1].w) <= 1,
                         "each level is .7 of the next: %d after %d", m.level[i - 1].h, l->h);
            CHECK(i || m.levels == 1 || (l->h >= 11 && l->w >= 11), "the coarsest level: %d x %d", l->w, l->h);
            CHECK(l->h > PM_MARGIN && l->w > PM_MARGIN, "room to mirror: %d x %d", l->w, l->h);
            long rows = (l->h - 2 + 2 * l->stride - 1) / l->stride + 1, cols = (l->w - 2
                  + 2 * l->stride - 1) / l->stride + 1;
            CHECK(rows * cols <= m.max_queries, "%ld queries, room for %ld", rows * cols, m.max_queries);
            long keys = pm_keys(&m, l, (uint64_t)n);
            CHECK(keys > 0 && keys <= PM_MOST_KEYS
                  && (long)l->atlas_h * l->atlas_w <= (long)top->atlas_h * top->atlas_w, "%ld keys", keys);
            for (long k = 0; k < keys; k++) {
                int y = m.key_at[k] / l->atlas_w, x = m.key_at[k] % l->atlas_w, s = 0;
                while (s < styles - 1 && y >= l->in[s + 1].top) s++;
                bad += y - l->in[s].top >= l->in[s].rows || x >= l->in[s].cols || (k && m.key_at[k] == m.key_at[k - 1]);
            }
            CHECK(!bad, "%d keys outside their style", bad);
        }
        free(m.key_at);
    }
    Image style[2] = { { .h = 400, .w = 400 }, { .h = 400, .w = 400 } };        /* shares of the keys follow the weights */
    PatchesOptions o = patches_default(PATCHES_PAINT);
    Pm m = { .o = &o, .ops = &ops, .source = &(Styles){ style, (double[]){ 3, 1 }, 2 } };
    CHECK(pm_plan(&m, 400, 400), "a plan");
    const PmLevel *l = &m.level[m.levels - 1];
    double keys[2];
    for (int i = 0; i < 2; i++) keys[i] = (double)l->in[i].rows * l->in[i].cols / l->in[i].step / l->in[i].step;
    CLOSE(keys[0] / keys[1], 3, 0, .01, "three times the keys");
}

/* ---- planes and colours ---------------------------------------------------------------------------------------- */

static void test_statistics(void) {
    enum { H = 13, W = 17 };
    float x[H * W], y[H * W];
    for (int r = 0; r < 20; r += 3) for (int axis = 0; axis < 2; axis++) {
        for (int i = 0; i < H * W; i++) x[i] = (float)uniform((uint64_t)i);
        if (axis) pm_box(y, x, W, 1, H, W, r);
        else pm_box(y, x, H, W, W, 1, r);
        double worst = 0;
        for (int i = 0; i < H * W; i++) {
            double sum = 0, n = 0;
            for (int j = 0; j < H * W; j++)
                if (axis ? j % W == i % W && abs(j / W - i / W) <= r : j / W == i / W
                      && abs(j % W - i % W) <= r) sum += x[j], n++;
            worst = fmax(worst, fabs(sum / n - y[i]));
        }
        CHECK(worst < 1e-6, "box of radius %d, axis %d: %g", r, axis, worst);
    }
    for (int i = 0; i < H * W; i++) x[i] = .4f;
    pm_blur(x, y, H, W, 3);
    for (int i = 0; i < H * W; i++) CLOSE(x[i], .4, 1e-6, 0, "a constant stays one");

    double content[PM_BINS] = {0}, style[PM_BINS] = {0};
    float map[PM_BINS];
    for (int i = 0; i < 50000; i++) {
        float u = (float)uniform((uint64_t)i);
        content[pm_bin(u)] += 1, style[pm_bin(u * u)] += 3;
    }
    pm_map_tones(map, content, style);
    for (double r = .05; r < 1; r += .1) CLOSE(map[pm_bin((float)r)], r * r, .02, 0, "what u becomes where ranks are those of u^2: %g", r);
    memset(style, 0, sizeof style), style[pm_bin(.5f)] = 9;
    pm_map_tones(map, content, style);
    CLOSE(map[pm_bin(.3f)], .5, .01, 0, "all in one place");
    CHECK(pm_bin(-1) == 0 && pm_bin(7) == PM_BINS - 1, "bins end somewhere");
}

/* ---- what a user sees ------------------------------------------------------------------------------------------ */

static int same(const Image *a, const Image *b) {
    return a->h == b->h && a->w == b->w && !memcmp(a->pixels, b->pixels, sizeof(float) * (size_t)(a->h * a->w * 3));
}
static int colours(const Image *m) {                                            /* how many values are no colours */
    int bad = 0;
    for (int i = 0; i < m->h * m->w * 3; i++) bad += !(m->pixels[i] >= -1 && m->pixels[i] <= 1);
    return bad;
}
#define WORKS(call) do { int ok_ = (call); CHECK(ok_, "%s: %s", #call, error_text()); } while (0)

static void test_threads_and_seeds(void) {
    Image c = drawn(side(61), side(47), 3, 0), s = drawn(side(40), side(37), 3, 1), one, other;
    for (int mode = 0; mode < 2; mode++) {
        PatchesOptions o = small((PatchesMode)mode);
        if (mode) ellipse(&c), s.tileable = 1;
        threads(1);
        WORKS(paint(&one, &c, &s, NULL, 1, &o, &ops));
        CHECK(!colours(&one), "values are colours");
        for (int n = 2; n <= 3; n++) {
            threads(n);
            WORKS(paint(&other, &c, &s, NULL, 1, &o, &ops));
            CHECK(same(&one, &other), "mode %d: the same bits with %d threads", mode, n);
            other.pixels[other.h * other.w * 3 / 2] += 1e-7f;
            CHECK(!same(&one, &other), "one bit is seen");
            image_free(&other);
        }
        o.seed = 2;
        if (mode) { WORKS(paint(&other, &c, &s, NULL, 1, &o, &ops)); CHECK(!same(&one, &other), "another seed");
              image_free(&other); }
        image_free(&one);
    }
    threads(2);
    image_free(&c), image_free(&s);
}

static double difference(const Image *a, const Image *b) {
    double sum = 0;
    for (int i = 0; i < a->h * a->w * 3; i++) sum += fabs(a->pixels[i] - b->pixels[i]) / 2;
    return sum / (a->h * a->w * 3);
}
static void test_identity(void) {
    Image c = drawn(side(44), side(40), 3, 2), s = drawn(side(44), side(40), 3, 0), r;
    PatchesOptions o = small(PATCHES_PAINT);
    o.detail = 0;
    WORKS(paint(&r, &c, &c, NULL, 1, &o, &ops));
    double own = difference(&r, &c);
    CHECK(own < .03, "the content as its own style comes back: %g of 1", own);
    image_free(&r);
    WORKS(paint(&r, &c, &s, NULL, 1, &o, &ops));
    CHECK(difference(&r, &c) > 2 * own, "another style does not: %g", difference(&r, &c));
    image_free(&r);
    image_free(&c), image_free(&s);
}

/* a style's mask becomes the print's: light disks on a dark ground, opaque where they are light */
static void test_clear_style(void) {
    Image c = drawn(side(44), side(40), 3, 2), s, r, whole;
    PatchesOptions o = small(PATCHES_PRINT);
    Cutout cut;
    int n = 0, area = c.h * c.w;
    must(image_add_mask(&c, 1) && image_new(&s, 32, 32, 3) && image_add_mask(&s, 0));
    for (int i = 0; i < 32 * 32; i++) {
        s.mask[i] = hypot(i / 32 - 15.5, i % 32 - 15.5) < 10;
        for (int k = 0; k < 3; k++) s.pixels[3 * i + k] = s.mask[i] > 0 ? .8f : -.8f;
    }
    WORKS(cut_out(&whole, &cut, &c, o.mode));
    WORKS(patches_transfer(&r, &cut, &(Styles){ &s, NULL, 1 }, &o, &ops));
    CHECK(r.mask && r.h * r.w == area, "no mask");
    for (int i = 0; i < area && r.mask; i++) {
        n += r.mask[i] > .5f;
        CLOSE(r.pixels[3 * i], 1.6 * r.mask[i] - .8, .02, 0, "pixel %d is as opaque as it is light", i);
    }
    CHECK(n > area / 8 && n < area * 3 / 4, "%d of %d pixels are opaque", n, area);
    image_free(&r), free(s.mask), s.mask = NULL;
    WORKS(patches_transfer(&r, &cut, &(Styles){ &s, NULL, 1 }, &o, &ops));
    CHECK(!r.mask, "a mask, where the style has none");
    image_free(&r), image_free(&c), image_free(&s), image_free(&whole), cutout_free(&cut);
}

static int touched(const Image *before, const Image *after, const float *mask, int *inside) {
    int outside = 0;
    *inside = 0;
    for (int i = 0; i < before->h * before->w; i++) {
        int differs = memcmp(before->pixels + 3 * i, after->pixels + 3 * i, 12) != 0;
        outside += !(mask[i] > 0) && differs, *inside += mask[i] > 0 && differs;
    }
    return outside;
}
static void test_print(void) {
    Image c = drawn(side(52), side(40), 3, 0), s = drawn(side(30), side(26), 3, 3), r;
    PatchesOptions o = small(PATCHES_PRINT);
    int inside;
    ellipse(&c);
    WORKS(paint(&r, &c, &s, NULL, 1, &o, &ops));
    CHECK(touched(&c, &r, c.mask, &inside) == 0 && inside > (quick ? 100 : 500),
          "print: %d pixels inside the mask changed, none outside", inside);
    r.pixels[0] = nextafterf(r.pixels[0], 9);
    CHECK(touched(&c, &r, c.mask, &inside) == 1, "one pixel outside is seen");
    image_free(&r);
    for (int i = 0; i < c.h * c.w; i++) for (int k = 0; k < 3; k++) if (!(c.mask[i] > .5f)) c.pixels[3 * i + k] = 1;
    free(c.mask), c.mask = NULL;                                                /* a garment on white: it is found */
    for (int i = 0; i < c.h * c.w * 3; i++) if (c.pixels[i] < 1) c.pixels[i] *= .5f;
    WORKS(paint(&r, &c, &s, NULL, 1, &o, &ops));
    CHECK(r.mask && touched(&c, &r, r.mask, &inside) == 0 && inside > (quick ? 100 : 500)
          && inside < c.h * c.w * 3 / 4, "the garment is found: %d", inside);
    image_free(&r);
    shade = 0, o.content_weight = 0, s.tileable = 1;                          /* flat cloth: the style's own colours */
    float low = 9, high = -9, below = 9, above = -9;
    WORKS(paint(&r, &c, &s, NULL, 1, &o, &ops));
    for (int i = 0; i < s.h * s.w * 3; i++) low = fminf(low, s.pixels[i]), high = fmaxf(high, s.pixels[i]);
    for (int i = 0; i < r.h * r.w * 3; i++) if (r.mask[i / 3] == 1) below = fminf(below, r.pixels[i]),
          above = fmaxf(above, r.pixels[i]);
    CHECK(below > low - .01f && above < high + .01f, "colours %g..%g of a style of %g..%g", below, above, low, high);
    shade = .85;
    image_free(&r), image_free(&c), image_free(&s);
}

/* The mean over the patches of x (every second one) of their distance to the nearest patch of s */
static double patch_distance(const Image *x, const Image *s) {
    double sum = 0;
    int n = 0;
    for (int y = 0; y <= x->h - PM_SIDE; y += 2) for (int i = 0; i <= x->w - PM_SIDE; i += 2, n++) {
        float least = INFINITY;
        for (int v = 0; v <= s->h - PM_SIDE; v++) for (int j = 0; j <= s->w - PM_SIDE; j++) {
            const float *a = x->pixels + (y * x->w + i) * 3, *b = s->pixels + (v * s->w + j) * 3;
            float d = 0;
            for (int r = 0; r < PM_SIDE; r++, a += x->w * 3, b += s->w * 3)
                for (int t = 0; t < PM_SIDE * 3; t++) d += (a[t] - b[t]) * (a[t] - b[t]);
            least = fminf(least, d);
        }
        sum += sqrt(least);
    }
    return sum / n;
}
/* What any table promises. Its rounding decides between two patches that are equally like the picture, so its pixels are not
 * the CPU's, but they are as near to the style; the same bits twice; the content as its own style comes back; print changes
 * nothing outside the mask. */
static void test_table(const Ops *table) {
    Image c = drawn(side(62), side(54), 3, 2), s = drawn(side(60), side(64), 3, 0), cpu, r, again;
    PatchesOptions o = small(PATCHES_PAINT);
    int inside;
    WORKS(paint(&cpu, &c, &s, NULL, 1, &o, &ops_tiled));
    WORKS(paint(&r, &c, &s, NULL, 1, &o, table) && paint(&again, &c, &s, NULL, 1, &o, table));
    double want = patch_distance(&cpu, &s);
    CHECK(same(&r, &again), "%s: other bits the second time", table->name);
    CLOSE(patch_distance(&r, &s), want, 0, .03, "%s: the mean distance of its patches", table->name);
    CHECK(!(fabs(patch_distance(&c, &s) - want) <= .03 * want), "the content's own distance is another");
    CHECK(table != &ops_naive || difference(&r, &cpu) < .01, "two tables: %g of 1", difference(&r, &cpu));
    image_free(&again), image_free(&r), o.detail = 0;
    WORKS(paint(&r, &c, &c, NULL, 1, &o, table));
    CHECK(difference(&r, &c) < .03, "%s: the content as its own style: %g of 1", table->name, difference(&r, &c));
    image_free(&r), ellipse(&c), o = small(PATCHES_PRINT);
    WORKS(paint(&r, &c, &s, NULL, 1, &o, table));
    CHECK(!touched(&c, &r, c.mask, &inside) && inside > 100, "%s: print changes what is outside its mask", table->name);
    image_free(&r), image_free(&cpu), image_free(&c), image_free(&s);
}

/* pictures that hold nothing, and several styles: sensible colours, no NaN */
static void test_odd_pictures(void) {
    for (int kind = 0; kind < 6; kind++) {
        Image c = drawn(side(36), side(32), 3, kind == 1), r;
        Image s[2] = { drawn(side(28), side(33), 3, 1 + (kind == 2)), drawn(24, 24, 3, 3) };
        for (int i = 0; i < c.h * c.w * c.c && (kind == 3 || kind == 5); i++) c.pixels[i] = .25f;
        for (int i = 0; i < s[0].h * s[0].w * s[0].c && kind >= 4; i++) s[0].pixels[i] = i % 3 == 1 ? -.5f : .5f;
        for (int mode = 0; mode < 2; mode++) {
            PatchesOptions o = small((PatchesMode)mode);
            if (quick && (kind + mode) % 2) continue;
            WORKS(paint(&r, &c, s, kind ? NULL : (double[]){ 2, 1 }, kind ? 1 : 2, &o, &ops));
            CHECK(r.h == c.h && r.w == c.w && r.c == 3 && !colours(&r), "kind %d, mode %d: %d values are no colours",
                  kind, mode, colours(&r));
            if (kind == 5 && !mode) CLOSE(r.pixels[200 * 3], r.pixels[201 * 3], 1e-4, 0, "flat on flat is flat");
            image_free(&r);
        }
        image_free(&c), image_free(&s[0]), image_free(&s[1]);
    }
    Image c = drawn(200, 34, 3, 0), s = drawn(20, 20, 3, 1), r;
          /* larger than o.size: painted smaller, enlarged */
    PatchesOptions o = small(PATCHES_PRINT);
    o.size = 100;
    WORKS(paint(&r, &c, &s, NULL, 1, &o, &ops));
    CHECK(r.h == 200 && r.w == 34 && !colours(&r), "%d x %d", r.w, r.h);
    image_free(&r), image_free(&c), image_free(&s);
}

static void test_memory(void) {
    for (int n = 0; n < (quick ? 3 : 8); n++) {
        Image c = drawn(side(40 + 30 * (n % 3)), side(50), 3, 0), r;
        Image s[2] = { drawn(side(40 + 20 * n), side(60), 3, 1), drawn(side(30), side(30), 3, 2) };
        PatchesOptions o = small(n % 2 ? PATCHES_PRINT : PATCHES_PAINT);
        o.iterations = 1, o.style_scale = n == 2 ? 2 : 1;
        if (n == 4) o.size = 64;
        if (n == 5) ellipse(&c);
        if (n == 1 || n == 6) must(image_add_mask(&s[0], 1));
        Image whole;
        Cutout cut;
        WORKS(cut_out(&whole, &cut, &c, o.mode));
        double told = patches_bytes(cut.part.h, cut.part.w, &(Styles){ s, NULL, 1 + n % 2 }, &o, &ops);
        size_t before = live;
        peak = live;
        WORKS(patches_transfer(&r, &cut, &(Styles){ s, NULL, 1 + n % 2 }, &o, &ops));
        double taken = (double)(peak - before);
        CHECK(told >= taken && told <= 1.4 * taken, "case %d: %.0f bytes told, %.0f taken", n, told, taken);
        o.memory = taken * .9;
        image_free(&r);
        peak = live;
        CHECK(!patches_transfer(&r, &cut, &(Styles){ s, NULL, 1 + n % 2 }, &o, &ops) && strstr(error_text(), "MB are allowed"),
              "limit: %s", error_text());
        CHECK(!r.pixels && !r.mask && (double)(peak - before) < taken * .5, "refused before much was taken");
        image_free(&whole), cutout_free(&cut);
        image_free(&c), image_free(&s[0]), image_free(&s[1]);
    }
    Image s = drawn(512, 512, 3, 1);
    PatchesOptions o = patches_default(PATCHES_PAINT);
    double more = patches_bytes(512, 512, &(Styles){ &s, NULL, 1 }, &o, &ops_tiled) - patches_bytes(512, 512, &(Styles){ &s, NULL, 1 }, &o, &ops);
    CLOSE(more, 4. * (double)ops_tiled.nearest_scratch(172 * 172, 172 * 172, PM_KEPT), 0, .02, "what the table borrows is counted");
    double large = patches_bytes(512, 512, &(Styles){ &s, NULL, 1 }, &o, &ops);
    CHECK(large > 20e6 && large < 200e6, "512 x 512 takes %.0f MB", large / 1e6);
    image_free(&s);
}

/* Every single allocation fails once: an error, an empty result, nothing lost */
static void test_no_memory(void) {
    Image c = drawn(side(60), side(60), 3, 0), s = drawn(side(26), side(24), 3, 1), r;
    PatchesOptions o = small(PATCHES_PRINT);
    o.iterations = 1;
    ellipse(&c);
    size_t before = live;
    int done = 0, count = 0;
    for (count = 1; !done && count < 200; count++) {
        allocations = 0, fail_at = count;
        done = paint(&r, &c, &s, NULL, 1, &o, &ops);
        fail_at = 0;
        if (done) break;
        CHECK(strstr(error_text(), "out of memory") && !r.pixels && live == before, "allocation %d: %s", count,
              error_text());
    }
    CHECK(done && count > 15, "%d allocations, each failed once", count - 1);
    image_free(&r), image_free(&c), image_free(&s);
}

static int steps;
static double last_fraction;
static void progress(double fraction) {
    CHECK(fraction > last_fraction && fraction <= 1, "%g", fraction);
    last_fraction = fraction, steps++;
}
#define FAILS(text) do { \
    int failed_ = !paint(&r, &c, s, weight, styles, &o, &ops); \
    CHECK(failed_ && !r.pixels && strstr(error_text(), text) && !strchr(error_text(), '\n'), \
          "expected an error with '%s', got '%s'", text, error_text()); \
    o = small(PATCHES_PRINT), weight = NULL, styles = 1; } while (0)

static void test_errors(void) {
    Image c = drawn(40, 40, 3, 0), s[1] = { drawn(32, 32, 3, 1) }, r, keep;
    PatchesOptions o = small(PATCHES_PRINT);
    const double *weight = NULL;
    int styles = 1;
    o.content_weight = 1.5; FAILS("content_weight is 1.5: expected 0 to 1");
    o.content_weight = NAN; FAILS("content_weight");
    o.style_scale = 0; FAILS("style_scale");
    o.detail = 2; FAILS("detail");
    o.size = 8; FAILS("size is 8: expected 32 to 4096");
    o.iterations = 0; FAILS("iterations");
    o.memory = -1; FAILS("memory");
    o.mode = (PatchesMode)5; FAILS("mode");
    styles = 0; FAILS("number of styles is 0: expected 1 to 8");
    styles = 9; FAILS("number of styles");
    weight = (double[]){ 0 }; FAILS("weight 1 is 0");
    weight = (double[]){ NAN }; FAILS("weight 1");
    o.memory = 1000; FAILS("MB are allowed: give a smaller size");
    keep = c, c.h = 15; FAILS("content 1 has 40 x 15 pixels of 3 channels: expected RGB, at least 16 x 16"); c = keep;
    keep = s[0], s[0].pixels = NULL; FAILS("style 1"); s[0] = keep;
    keep = c, c.c = 1; FAILS("1 channels"); c = keep;
    keep = s[0], s[0].w = 3; FAILS("style 1 has 3 x 32"); s[0] = keep;
    float was = c.pixels[77];
    c.pixels[77] = NAN; FAILS("content 1 has a pixel that is not a number");
    c.pixels[77] = was, was = s[0].pixels[5];
    s[0].pixels[5] = INFINITY; FAILS("style 1 has a pixel");
    s[0].pixels[5] = was;
    ellipse(&c);
    c.mask[3] = 2; FAILS("mask outside 0..1");
    memset(c.mask, 0, sizeof(float) * 1600); FAILS("its mask is empty");
    for (int i = 0; i < 63; i++) c.mask[i] = 1;
    FAILS("holds 63 pixels");
    free(c.mask), c.mask = NULL;
    Image thin = drawn(600, 20, 3, 0);
    keep = c, c = thin, o.size = 64; FAILS("leave a side below 16: give a larger size");
    CHECK(patches_bytes(600, 20, &(Styles){ s, NULL, 1 }, &(PatchesOptions){ .style_scale = 1, .size = 64, .iterations = 1 }, &ops) == 0,
          "and takes no bytes");
    c = keep;
    image_free(&thin);
    thin = drawn(16, 6000, 3, 0);
    keep = s[0], s[0] = thin, o.style_scale = 8, o.memory = 1e12; FAILS("more than 40 million pixels");
    s[0] = keep;
    image_free(&thin);
    image_free(&c), c = drawn(48, 48, 3, 0);                                  /* two levels */
    o.progress = progress;
    WORKS(paint(&r, &c, s, NULL, 1, &o, &ops));
    CHECK(steps == 2 * o.iterations && last_fraction > .8, "%d steps, the last at %g", steps, last_fraction);
    image_free(&r), image_free(&c), image_free(&s[0]);
}

int main(void) {
    quick = getenv("TEST_QUICK") != NULL;
    ops = ops_tiled, ops.alloc = ops_alloc, ops.release = ops_release;
    ops.conv_scratch = ops_naive.conv_scratch, ops.gram_scratch = ops_naive.gram_scratch, ops.nearest_scratch = ops_naive.nearest_scratch;
    threads(2);
#ifdef WITH_CUDA                                          /* the rest is not the table's doing */
    const char *missing = cuda_open(0);
    CHECK(!missing, "%s", missing);
    if (!missing) test_table(&ops_cuda), cuda_close();
    return test_report("patches");
#endif
    test_search();
    test_components();
    test_project();
    test_vote();
    test_plan();
    test_statistics();
    test_threads_and_seeds();
    test_identity();
    test_clear_style();
    test_print();
    test_table(&ops_naive);
    test_odd_pictures();
    test_memory();
    test_no_memory();
    test_errors();
    CHECK(live == 0, "%zu bytes were not freed", live);
    return test_report("patches");
}
