/* patches.h: style transfer of one picture without training: every small patch of the picture is
 * replaced by the patch of the style that is most like it, from coarse to fine.
 *
 *     PatchesOptions o = patches_default(PATCHES_PRINT);
 *     cutout_take(&cut, &photo, PATCHES_MARGIN, PATCHES_SMALLEST, 0);         (style/cutout.h)
 *     Styles one = { &cloth, NULL, 1 };
 *     if (!patches_transfer(&print, &cut, &one, &o, &ops_tiled)) puts(error_text());
 *
 *   PATCHES_PAINT   the picture is painted anew in the style
 *   PATCHES_PRINT   the style is a cloth, whose pattern covers the garment
 *
 * The idea (texture optimisation: Kwatra, Essa, Bobick, Kwatra, "Texture optimization for
 * example-based synthesis", 2005; for style transfer: Elad and Milanfar, "Style transfer via
 * texture synthesis", 2017; the normalised distance: Granot, Feinstein, Shocher, Bagon, Irani,
 * "Drop the GAN", 2022). x: the result, s: the style, both on one level of a pyramid:
 *   1. match   for every patch q of x:  k(q) = argmin_k D(q,k) / (min_q' D(q',k) + eps),
 *              D(q,k) = |q - k|^2      (without the denominator the few smoothest patches win
 *              everywhere; with it, all of the style is used)
 *   2. vote    every pixel of x becomes the average of the style's pixels that the matched
 *              patches lay upon it
 *   3. pull    its luminance goes some way towards a guide, which is made of the content's; then
 *              again from 1, and on to finer levels: the shorter side of the coarsest has 32 to
 *              45 pixels, each level is .7 of the next
 * A patch has 7 x 7 pixels of four numbers: R, G, B and t * luminance, where x shows t * guide
 * instead: the patch found is not only like x, it is as light or dark as the content. Patches are
 * compared in their first 38 principal components.
 *
 * Deterministic: the same bits for any number of threads, and again on the same GPU. Another
 * processor rounds in another way, and where two patches are equally like x it takes the other one:
 * its pixels differ, the mean distance of its patches to the style's does so by less than 3%. */
#ifndef PATCHES_H
#define PATCHES_H
#include "layers.h"
#include "style/cutout.h"

typedef enum PatchesMode { PATCHES_PAINT, PATCHES_PRINT } PatchesMode;
enum { PATCHES_STYLES = 8, PATCHES_LEVELS = 16 };
enum { PATCHES_MARGIN = 4, PATCHES_SMALLEST = 16 };     /* of the cut-out: around it, its sides */

typedef struct PatchesOptions {
    PatchesMode mode;
    double content_weight;  /* 0..1: how strongly the content's luminance guides */
    double style_scale;     /* 1/8..8: size of the motifs; 1, paint: the style is as long as what is
                             * painted, print: it covers it; a tileable style: as drawn on a garment
                             * of 256 pixels */
    double detail;          /* 0..1: fine luminance detail of the content, added at the end */
    int size;               /* 32..4096: larger cut-outs are painted this long, and enlarged */
    int iterations;         /* 1..32: matches and votes a level */
    uint64_t seed;          /* another seed: another result */
    double memory;          /* bytes that may be taken: to need more is an error */
    void (*progress)(double fraction);          /* or NULL; after each vote */
} PatchesOptions;

static inline PatchesOptions patches_default(PatchesMode mode) {
    PatchesOptions o = { .mode = mode, .content_weight = .5, .style_scale = 1, .detail = .35,
                         .size = 1024, .iterations = 4, .seed = 1, .memory = 2e9 };
    if (mode == PATCHES_PRINT) o.content_weight = .1, o.detail = 0;
    return o;
}

/* A patch: 7 runs of 28 contiguous floats, 38 components. The widest grid of queries, and room for
 * it around x */
enum { PM_SIDE = 7, PM_HALF = 3, PM_RUN = 4 * PM_SIDE, PM_TAPS = PM_SIDE * PM_RUN, PM_KEPT = 38 };
enum { PM_STRIDE = 3, PM_MARGIN = PM_HALF + PM_STRIDE - 1 };
enum { PM_QUERIES = 17000, PM_KEYS = 16000, PM_MOST_KEYS = PM_KEYS + PATCHES_STYLES };
enum { PM_SAMPLE = 2048, PM_BINS = 1024 };

static inline long pm_smaller(long a, long b) { return a < b ? a : b; }
static inline float pm_luminance(const float *p) {
    return .299f * p[0] + .587f * p[1] + .114f * p[2];
}

/* ---- principal components ------------------------------------------------------------------- */

/* c: (PM_TAPS, PM_TAPS), the covariance of patches.   basis: (PM_TAPS, PM_KEPT), orthonormal
 * columns that span (nearly) the eigenvectors of its largest eigenvalues, by subspace iteration
 * V <- orthonormal(C V). A column without variance (a style of one colour) is zero: it then adds
 * nothing to D.   work: 2 PM_KEPT * PM_TAPS doubles: v and u, a vector a row */
static void pm_components(float *basis, const float *c, double *work) {
    double *v = work, *u = v + PM_TAPS * PM_KEPT, trace = 0;
    for (int t = 0; t < PM_TAPS; t++) trace += c[t * PM_TAPS + t];
    for (int i = 0; i < PM_TAPS * PM_KEPT; i++) v[i] = philox_uniform(1, 1, i) - .5f;
    for (int round = 0; round < 12; round++) {
        #pragma omp parallel for
        for (int i = 0; i < PM_KEPT * PM_TAPS; i++) {
            const float *row = c + i % PM_TAPS * PM_TAPS;
            double sum = 0;
            for (int t = 0; t < PM_TAPS; t++) sum += row[t] * v[i / PM_TAPS * PM_TAPS + t];
            u[i] = sum;
        }
        for (int k = 0; k < PM_KEPT; k++) {
            double *to = u + k * PM_TAPS, size = 0;
            for (const double *of = v; of < v + k * PM_TAPS; of += PM_TAPS) {
                double dot = 0;                                 /* modified Gram-Schmidt */
                for (int t = 0; t < PM_TAPS; t++) dot += to[t] * of[t];
                for (int t = 0; t < PM_TAPS; t++) to[t] -= dot * of[t];
            }
            for (int t = 0; t < PM_TAPS; t++) size += to[t] * to[t];
            size = sqrt(size);
            int none = !(size > 1e-9 * trace && size > 1e-12);
            for (int t = 0; t < PM_TAPS; t++) v[k * PM_TAPS + t] = none ? 0 : to[t] / size;
        }
    }
    for (int i = 0; i < PM_TAPS * PM_KEPT; i++)
        basis[i] = v[i % PM_KEPT * PM_TAPS + i / PM_KEPT];
}

/* ---- statistics ----------------------------------------------------------------------------- */

/* to[i] = mean of from over [i-r, i+r]: `lines` rows, `next` apart, of n numbers, `step` apart */
static void pm_box(float *to, const float *from, long lines, long next, long n, long step, long r) {
    #pragma omp parallel for
    for (long line = 0; line < lines; line++) {
        const float *x = from + line * next;
        double sum = 0;
        for (long i = 0; i < pm_smaller(r, n); i++) sum += x[i * step];
        for (long i = 0; i < n; i++) {
            if (i + r < n) sum += x[(i + r) * step];
            if (i - r > 0) sum -= x[(i - r - 1) * step];
            long low = i - r > 0 ? i - r : 0, high = pm_smaller(i + r, n - 1);
            to[line * next + i * step] = sum / (high - low + 1);
        }
    }
}

/* x (h,w) blurred: three boxes of 2r+1, nearly a Gaussian, 3 ((2r+1)^2 - 1) / 12 = sigma^2 */
static void pm_blur(float *x, float *spare, long h, long w, double sigma) {
    long r = lround((sqrt(4 * sigma * sigma + 1) - 1) / 2);
    for (int pass = 0; pass < 3 && r > 0; pass++) {
        pm_box(spare, x, h, w, w, 1, r);
        pm_box(x, spare, w, 1, h, w, r);
    }
}

/* map[b] = the tone of the style that has the same rank as tones in bin b of the content.
 * content, style: how much lies in each of PM_BINS bins of [0,1] */
static int pm_bin(float tone) { return image_clamp(tone * PM_BINS, 0, PM_BINS - 1); }
static void pm_map_tones(float *map, const double *content, const double *style) {
    double all[2] = {0}, below[2] = {0};
    for (int b = 0; b < PM_BINS; b++) all[0] += content[b], all[1] += style[b];
    for (int b = 0, s = 0; b < PM_BINS; below[0] += content[b++]) {
        double rank = (below[0] + content[b] / 2) / fmax(all[0], 1e-30);
        while (s < PM_BINS - 1 && below[1] + style[s] < rank * all[1]) below[1] += style[s++];
        map[b] = (s + .5f) / PM_BINS;
    }
}

/* ---- the plan ------------------------------------------------------------------------------- */

typedef struct PmLevel {                /* one level of the pyramid */
    int h, w, stride;                   /* of x; of the grid of queries */
    int atlas_h, atlas_w;               /* the styles, one below the other, in one picture */
    /* where patches may begin in each: rows from top on, columns; step of the grid of keys */
    struct { int top, rows, cols; double step; } in[PATCHES_STYLES];
} PmLevel;

typedef struct PmGrid { int rows, cols, phase_y, phase_x; } PmGrid;     /* of queries */

typedef struct Pm {                     /* everything a run holds; pictures are in [0,1] */
    const PatchesOptions *o;
    const Ops *ops;
    const Styles *source;               /* as given */
    int h, w, styles, levels, clear, style_h[PATCHES_STYLES], style_w[PATCHES_STYLES];
    double share[PATCHES_STYLES];
    float tone_weight;                  /* t above */
    PmLevel level[PATCHES_LEVELS];
    long max_queries;
    double done, total;                 /* queries so far, and in all: for progress */
    Image style[PATCHES_STYLES], guide, x;      /* guide: (h,w,1) with the mask */
    void *memory;                       /* one block; the arrays below lie in it */
    float *planes, *atlas, *padded;     /* (4,h,w); styles; x with its margin; 4 numbers a pixel */
    unsigned char *begins;              /* may a patch begin at this pixel of the atlas? */
    int *key_at, *query_at;             /* where patches begin, in the atlas and in padded */
    int *query_of;                      /* the query at a point of the grid, or -1 */
    float *best, *weight;               /* which key each query is like; weights of the keys */
    int *refined;                       /* where in the atlas each query's patch begins */
    float *gathered, *basis, *covariance;
    double *work;
    struct {                            /* where ops computes, one block too: all */
        real *all, *patches, *covariance, *mean, *basis, *origin, *keys, *queries, *weight;
        real *index, *least;
    } on;
} Pm;

/* A level of (h,w) where the styles have `scale` of their full size. Returns 0: too large */
static int pm_plan_level(PmLevel *l, const Pm *m, double scale) {
    l->h = lround(m->h * scale), l->w = lround(m->w * scale);
    for (l->stride = 1; l->stride < PM_STRIDE; l->stride++)
        if ((l->h / l->stride + 2L) * (l->w / l->stride + 2L) <= PM_QUERIES) break;
    for (int i = 0; i < m->styles; i++) {
        /* a tileable style is followed by itself */
        int room = m->source->picture[i].tileable ? 0 : PM_SIDE - 1;
        int rows = fmax(lround(m->style_h[i] * scale), PM_SIDE + 4) - room;
        int cols = fmax(lround(m->style_w[i] * scale), PM_SIDE + 4) - room;
        double keys = fmax(1, PM_KEYS * m->share[i]);
        l->in[i].top = l->atlas_h, l->in[i].rows = rows, l->in[i].cols = cols;
        l->in[i].step = fmax(1, sqrt(rows * cols / keys));
        l->atlas_h += rows + PM_SIDE - 1;
        if (cols + PM_SIDE - 1 > l->atlas_w) l->atlas_w = cols + PM_SIDE - 1;
    }
    return (double)l->atlas_h * l->atlas_w <= 4e7;
}

/* Sizes of everything, for a cut-out of (h,w): x has them too, or those of o->size. */
static int pm_plan(Pm *m, int cut_h, int cut_w) {
    const PatchesOptions *o = m->o;
    double by = fmin(1, o->size / fmax(cut_h, cut_w)), scale = 1;
    int h = m->h = lround(cut_h * by), w = m->w = lround(cut_w * by), good = 1;
    double longer = fmax(h, w), shorter = fmin(h, w);
    m->tone_weight = o->content_weight * 7 / 6;
    if (shorter < PATCHES_SMALLEST)
        return fail("patches: %d x %d pixels at size %d leave a side below %d: give a larger size",
                    cut_w, cut_h, o->size, PATCHES_SMALLEST);
    m->styles = m->source->count;
    for (int i = 0; i < m->styles; i++) {
        const Image *s = &m->source->picture[i];
        double cover = fmax((double)h / s->h, (double)w / s->w);
        double fit = o->mode == PATCHES_PRINT ? cover : longer / fmax(s->h, s->w);
        by = o->style_scale * (s->tileable ? longer / 256 : fit);
        m->clear |= s->mask != NULL;
        m->share[i] = styles_share(m->source, i);
        m->style_h[i] = fmax(lround(s->h * by), PM_SIDE + 4);
        m->style_w[i] = fmax(lround(s->w * by), PM_SIDE + 4);
        good = good && (double)m->style_h[i] * m->style_w[i] <= 4e7 && m->style_h[i] <= 16384
            && m->style_w[i] <= 16384;
    }
    for (m->levels = 1; shorter * pow(.7, m->levels) >= 32;) m->levels++;
    for (int n = m->levels - 1; n >= 0; n--, scale *= .7)               /* the last level is x */
        good = good && pm_plan_level(&m->level[n], m, scale);
    long all = (h + 2L) * (w + 2L), thin = (h / PM_STRIDE + 2L) * (w / PM_STRIDE + 2L);
    m->max_queries = all <= PM_QUERIES ? all : thin > PM_QUERIES ? thin : PM_QUERIES;
    return good || fail("patches: a style has more than 40 million pixels, or 16384 on a side, at "
                        "style_scale %g: give less", o->style_scale);
}

/* Places all arrays, the first ON_HOST in a block that begins at `host`, the others in one at
 * `device` (NULL: nowhere yet), and says how large the two are */
static void pm_place(Pm *m, char *host, char *device, size_t size[2]) {
    enum { ON_HOST = 14 };
    const PmLevel *l = &m->level[m->levels - 1];
    size_t area = m->h * m->w, atlas = l->atlas_h * l->atlas_w;
    size_t keys = PM_MOST_KEYS, queries = m->max_queries;
    size_t more = keys > queries ? keys : queries;
    size_t margin = (m->h + 2 * PM_MARGIN) * (m->w + 2 * PM_MARGIN);
    const struct { void *array; size_t words; } part[] = {              /* of four bytes */
        { &m->planes, 4 * area }, { &m->atlas, 4 * atlas }, { &m->begins, atlas / 4 + 1 },
        { &m->padded, 4 * margin }, { &m->gathered, PM_SAMPLE * PM_TAPS }, { &m->best, queries },
        { &m->weight, keys }, { &m->key_at, keys }, { &m->query_at, queries },
        { &m->query_of, queries }, { &m->refined, queries }, { &m->basis, PM_TAPS * PM_KEPT },
        { &m->covariance, PM_TAPS * PM_TAPS }, { &m->work, 4 * PM_TAPS * PM_KEPT },
        { &m->on.patches, PM_SAMPLE * PM_TAPS }, { &m->on.covariance, PM_TAPS * PM_TAPS },
        { &m->on.mean, PM_TAPS }, { &m->on.basis, PM_TAPS * PM_KEPT }, { &m->on.origin, PM_KEPT },
        { &m->on.keys, keys * PM_KEPT }, { &m->on.queries, queries * PM_KEPT },
        { &m->on.weight, keys }, { &m->on.index, more }, { &m->on.least, more } };
    size[0] = size[1] = 0;
    for (int i = 0, at; i < (int)(sizeof part / sizeof *part); i++) {
        char *block = (at = i >= ON_HOST) ? device : host, *here = block ? block + size[at] : NULL;
        memcpy(part[i].array, &here, sizeof here);                      /* whatever it points to */
        size[at] += (4 * part[i].words + 63) / 64 * 64;
    }
}

/* ---- one level: x -> x ---------------------------------------------------------------------- */

/* The grid of keys at a random phase: rows floor((i + uy) step), columns alike. Returns how many */
static long pm_keys(Pm *m, const PmLevel *l, uint64_t stream) {
    long n = 0;
    for (int s = 0; s < m->styles; s++) {
        float uy = philox_uniform(m->o->seed, stream, 2 + 2 * s);
        float ux = philox_uniform(m->o->seed, stream, 3 + 2 * s);
        double step = l->in[s].step, rows = fmax(1, floor(l->in[s].rows / step));
        double cols = fmax(1, floor(l->in[s].cols / step));
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < cols && n < PM_MOST_KEYS; j++) {
                long y = pm_smaller((i + uy) * step, l->in[s].rows - 1);
                long x = pm_smaller((j + ux) * step, l->in[s].cols - 1);
                m->key_at[n++] = (l->in[s].top + y) * l->atlas_w + x;
            }
    }
    return n;
}

/* |a - b|^2 of two patches where they lie, in all 196 numbers; rows are ja and jb floats apart */
static float pm_distance(const float *a, long ja, const float *b, long jb) {
    float sum = 0;
    for (int r = 0; r < PM_SIDE; r++, a += ja, b += jb) {
        #pragma omp simd reduction(+:sum)
        for (int t = 0; t < PM_RUN; t++) sum += (a[t] - b[t]) * (a[t] - b[t]);
    }
    return sum;
}

/* Is what a neighbour on the grid of queries found, continued, better? A candidate is
 * k(q') - (q' - q)   (Ashikhmin, "Synthesizing natural textures", 2001): between the keys of the
 * grid too. Cost: D in all 196 numbers, times the weight of the key that it comes from. Reads best,
 * writes refined: no order matters. */
static void pm_refine(Pm *m, const PmLevel *l, const PmGrid *grid) {
    int rows = grid->rows, cols = grid->cols;
    #pragma omp parallel for schedule(dynamic, 64)
    for (int g = 0; g < rows * cols; g++) {
        float least = INFINITY;
        int query = m->query_of[g];
        for (int c = 0; query >= 0 && c < 9; c++) {
            int dy = (c + 4) / 3 % 3 - 1, dx = (c + 4) % 3 - 1;         /* c = 0: q itself */
            int i = g / cols + dy, j = g % cols + dx;
            int from = i < 0 || i >= rows || j < 0 || j >= cols ? -1 : m->query_of[i * cols + j];
            if (from < 0) continue;
            long key = m->best[from];
            long at = m->key_at[key] - l->stride * (dy * l->atlas_w + dx);
            if (at < 0 || at >= l->atlas_h * l->atlas_w || !m->begins[at]) continue;
            float cost = m->weight[key] * pm_distance(m->padded + 4L * m->query_at[query],
                4 * (l->w + 2 * PM_MARGIN), m->atlas + 4 * at, 4L * l->atlas_w);
            if (cost < least) least = cost, m->refined[query] = at;
        }
    }
}

/* to[p] = sum_q g(p - q) s[k(q) + p - q] / sum_q g(p - q)  over the patches that cover pixel p;
 * where there is none, p keeps its value.   g(d) = exp(-(|d - centre| / (7/3))^2): the middle of a
 * patch counts most */
static void pm_vote(float *to, const Pm *m, const PmLevel *l, const PmGrid *grid) {
    float g[PM_SIDE];
    int stride = l->stride;
    for (int d = -PM_HALF; d <= PM_HALF; d++)
        g[d + PM_HALF] = expf(-(float)(d * d) * 9 / (PM_SIDE * PM_SIDE));
    #pragma omp parallel for schedule(dynamic, 64)
    for (int p = 0; p < l->h * l->w; p++) {
        float sum[3] = {0}, total = 0;          /* query i covers padded rows i * stride .. + 6 */
        int y = p / l->w + grid->phase_y + PM_HALF, x = p % l->w + grid->phase_x + PM_HALF;
        for (int i = y / stride; i >= 0 && y - i * stride < PM_SIDE; i--)
            for (int j = x / stride; j >= 0 && x - j * stride < PM_SIDE; j--) {
                int none = i >= grid->rows || j >= grid->cols;
                int query = none ? -1 : m->query_of[i * grid->cols + j];
                if (query < 0) continue;
                int dy = y - i * stride, dx = x - j * stride;
                const float *s = m->atlas + 4L * (m->refined[query] + dy * l->atlas_w + dx);
                float weight = g[dy] * g[dx];
                for (int k = 0; k < 3; k++) sum[k] += weight * s[k];
                total += weight;
            }
        for (int k = 0; total > 0 && k < 3; k++) to[3L * p + k] = sum[k] / total;
    }
}

/* The styles at this level, in the atlas; opacity: their masks, in the place of their colours */
static int pm_atlas(Pm *m, const PmLevel *l, int opacity) {
    memset(m->begins, 0, l->atlas_h * l->atlas_w);
    memset(m->atlas, 0, l->atlas_h * l->atlas_w * 4 * sizeof *m->atlas);
    for (int i = 0; i < m->styles; i++) {
        int rows = l->in[i].rows, cols = l->in[i].cols;
        int room = m->source->picture[i].tileable ? 0 : PM_SIDE - 1;
        Image s;
        if (!image_resize(&s, &m->style[i], rows + room, cols + room)) return 0;
        for (int y = 0; y < rows + PM_SIDE - 1; y++)
            for (int x = 0; x < cols + PM_SIDE - 1; x++) {
                long at = (l->in[i].top + y) * l->atlas_w + x;
                long from = y % s.h * s.w + x % s.w;
                float *p = s.pixels + from * 3;
                for (int k = 0; opacity && k < 3; k++) p[k] = s.mask ? s.mask[from] : 1;
                memcpy(m->atlas + 4 * at, p, 3 * sizeof *p);
                m->atlas[4 * at + 3] = m->tone_weight * pm_luminance(p);
                m->begins[at] = y < rows && x < cols;
            }
        image_free(&s);
    }
    return 1;
}

/* The n patches that begin at the pixels at[0], at[every], .. of a picture of 4 numbers, in rows */
static void pm_gather(float *rows, const float *picture, long width, const int *at, long every,
                      long n) {
    for (long i = 0; i < n * PM_SIDE; i++)
        memcpy(rows + i * PM_RUN, picture + 4 * (at[i / PM_SIDE * every] + i % PM_SIDE * width),
               PM_RUN * sizeof *rows);
}

/* The patches at at[0..n) in components, y (n, PM_KEPT) = V^T (patch - mean): a dense layer */
static void pm_project(const Pm *m, real *y, const float *picture, long width, const int *at,
                       long n) {
    for (long first = 0, count; first < n; first += count) {
        count = pm_smaller(PM_SAMPLE, n - first);
        pm_gather(m->gathered, picture, width, at + first, 1, count);
        m->ops->upload(m->on.patches, m->gathered, count * PM_TAPS);
        m->ops->dense_forward(y + first * PM_KEPT, m->on.patches, m->on.basis, m->on.origin,
                              count, PM_TAPS, PM_KEPT);
    }
}

/* best[q] = argmin_k weight[k] D(q,k),   weight[k] = 1 / (min_q' D(q',k) + eps),
 * eps = .002 * PM_TAPS   (Granot et al.) */
static void pm_search(const Pm *m, long queries, long keys) {
    const Ops *ops = m->ops;
    real *index = m->on.index, *least = m->on.least;
    ops->nearest(index, least, m->on.keys, m->on.queries, NULL, keys, queries, PM_KEPT);
    ops->download(m->weight, least, keys);
    for (long k = 0; k < keys; k++) m->weight[k] = 1 / (m->weight[k] + .002f * PM_TAPS);
    ops->upload(m->on.weight, m->weight, keys);
    ops->nearest(index, least, m->on.queries, m->on.keys, m->on.weight, queries, keys, PM_KEPT);
    ops->download(m->best, index, queries);
}

/* The components of the style's patches at this level, from two thousand of them */
static void pm_learn(const Pm *m, const PmLevel *l, long keys) {
    const Ops *ops = m->ops;
    long every = (keys + PM_SAMPLE - 1) / PM_SAMPLE, sample = (keys + every - 1) / every;
    pm_gather(m->gathered, m->atlas, l->atlas_w, m->key_at, every, sample);
    ops->upload(m->on.patches, m->gathered, sample * PM_TAPS);
    ops->gram_forward(m->on.covariance, m->on.mean, m->on.patches, sample, PM_TAPS);
    ops->download(m->covariance, m->on.covariance, PM_TAPS * PM_TAPS);
    pm_components(m->basis, m->covariance, m->work);
    ops->upload(m->on.basis, m->basis, PM_TAPS * PM_KEPT);
    ops->dense_forward(m->on.origin, m->on.mean, m->on.basis, NULL, 1, PM_TAPS, PM_KEPT);
    ops->scale(m->on.origin, -1, PM_KEPT);
}

/* x and the guide, mirrored around, into padded */
static int pm_mirror(int i, int n) { return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i; }
static void pm_pad(Pm *m, const PmLevel *l, const Image *guide) {
    int width = l->w + 2 * PM_MARGIN;
    #pragma omp parallel for
    for (int i = 0; i < (l->h + 2 * PM_MARGIN) * width; i++) {
        int y = pm_mirror(i / width - PM_MARGIN, l->h), x = pm_mirror(i % width - PM_MARGIN, l->w);
        long from = y * l->w + x;
        memcpy(m->padded + 4L * i, m->x.pixels + 3 * from, 3 * sizeof *m->padded);
        m->padded[4L * i + 3] = m->tone_weight * guide->pixels[from];
    }
}

/* The patches of the grid that touch the mask: query_of and query_at. Returns how many. */
static long pm_queries(Pm *m, const PmLevel *l, const PmGrid *grid, const float *mask) {
    long n = 0;
    for (int i = 0; i < grid->rows * grid->cols; i++) {
        int top = i / grid->cols * l->stride - grid->phase_y - PM_HALF, inside = 0;
        int left = i % grid->cols * l->stride - grid->phase_x - PM_HALF;
        for (int y = top < 0 ? 0 : top; y < top + PM_SIDE && y < l->h; y++)
            for (int x = left < 0 ? 0 : left; x < left + PM_SIDE && x < l->w; x++)
                inside |= mask[y * l->w + x] > 0;
        m->query_of[i] = inside ? n : -1;
        if (!inside) continue;
        m->query_at[n++] = (top + PM_MARGIN) * (l->w + 2 * PM_MARGIN) + left + PM_MARGIN;
    }
    return n;
}

/* x's mask, by the same votes as its colours */
static int pm_vote_opacity(Pm *m, const PmLevel *l, const PmGrid *grid) {
    long n = l->h * l->w;
    float *opacity = m->planes;                             /* the same in three channels */
    if (!image_add_mask(&m->x, 1) || !pm_atlas(m, l, 1)) return 0;
    for (long i = 0; i < 3 * n; i++) opacity[i] = 1;
    pm_vote(opacity, m, l, grid);
    for (long i = 0; i < n; i++) m->x.mask[i] = image_clamp(opacity[3 * i], 0, 1);
    return 1;
}

/* All iterations of a level. guide: at its size, with the mask */
static int pm_level(Pm *m, int number, const Image *guide) {
    const PmLevel *l = &m->level[number];
    const PatchesOptions *o = m->o;
    int stride = l->stride;
    if (!pm_atlas(m, l, 0)) return 0;
    pm_learn(m, l, pm_keys(m, l, number << 8));
    for (int it = 0; it < o->iterations; it++) {
        uint64_t stream = number << 8 | it;
        PmGrid grid = { .phase_y = philox_below(o->seed, stream, 0, stride),
                        .phase_x = philox_below(o->seed, stream, 1, stride) };
        grid.rows = (l->h - 2 + grid.phase_y + stride) / stride + 1;
        grid.cols = (l->w - 2 + grid.phase_x + stride) / stride + 1;
        pm_pad(m, l, guide);
        long queries = pm_queries(m, l, &grid, guide->mask), keys = pm_keys(m, l, stream);
        pm_project(m, m->on.keys, m->atlas, l->atlas_w, m->key_at, keys);
        pm_project(m, m->on.queries, m->padded, l->w + 2 * PM_MARGIN, m->query_at, queries);
        pm_search(m, queries, keys);
        pm_refine(m, l, &grid);
        pm_vote(m->x.pixels, m, l, &grid);

        int last = number == m->levels - 1 && it == o->iterations - 1;
        if (last && m->clear && !pm_vote_opacity(m, l, &grid)) return 0;
        float pull = o->content_weight * (1 - .5 * it / o->iterations), *x = m->x.pixels;
        for (long i = 0; !last && i < l->h * l->w; i++, x += 3) {
            float d = pull / (1 + pull) * (guide->pixels[i] - pm_luminance(x));
            for (int k = 0; k < 3; k++) x[k] += d;
        }
        m->done += grid.rows * grid.cols;
        if (o->progress) o->progress(fmin(m->done / m->total, 1));
    }
    return 1;
}

/* ---- before and after ----------------------------------------------------------------------- */

/* The guide: where the result is to be light or dark. l: luminance of the content, m: mask, all
 * means over the mask.
 *   l0 = (l - mean l) / sd l
 *   paint: half of it evened out, so that a dark corner gets as much drawing as a bright one:
 *          z = (l - a) / sqrt(v + .003), a and v mean and variance nearby (blurs);
 *          l0 <- l0 / 2 + (z - mean z) / sd z / 2
 *   g = sd_style l0 + mean_style
 *   paint: half way from there to the style's histogram, quantile_style(rank(l0))
 * Standard deviations have floors: a plain white shirt stays plain, its noise is not blown up to a
 * pattern. */
static void pm_standardise(float *x, const float *mask, long n, float floor) {
    double sum = 0, square = 0, count = 0;
    for (long i = 0; i < n; i++)
        if (mask[i] > .5f) sum += x[i], square += (double)x[i] * x[i], count++;
    double mean = sum / fmax(count, 1), variance = square / fmax(count, 1) - mean * mean;
    float sd = fmaxf(sqrt(fmax(variance, 0)), floor);
    for (long i = 0; i < n; i++) x[i] = (x[i] - (float)mean) / sd;
}

/* a (h,w) evened out: (g - nearby mean) / nearby standard deviation, blurs over the mask */
static float *pm_even_out(Pm *m) {
    const float *g = m->guide.pixels, *mask = m->guide.mask;
    long n = m->h * m->w;
    float *d = m->planes, *a = d + n, *v = a + n, *spare = v + n;
    double sigma = .12 * pm_smaller(m->h, m->w);
    for (long i = 0; i < n; i++) d[i] = mask[i], a[i] = g[i] * mask[i];
    pm_blur(d, spare, m->h, m->w, sigma);
    pm_blur(a, spare, m->h, m->w, sigma);
    for (long i = 0; i < n; i++)
        a[i] = g[i] - a[i] / (d[i] + 1e-3f), v[i] = a[i] * a[i] * mask[i];
    pm_blur(v, spare, m->h, m->w, sigma);
    for (long i = 0; i < n; i++) a[i] /= sqrtf(v[i] / (d[i] + 1e-3f) + .003f);
    pm_standardise(a, mask, n, .2f);
    return a;
}

/* mean, covariance: of the styles' colours; that of their luminance l = w . x is w^T C w */
static void pm_guide(Pm *m, const double mean[3], const double covariance[9]) {
    static const double w[3] = { .299, .587, .114 };
    float *g = m->guide.pixels, *mask = m->guide.mask;
    long n = m->h * m->w;
    double light = 0, variance = 0;
    for (int i = 0; i < 9; i++) variance += w[i / 3] * w[i % 3] * covariance[i];
    for (int i = 0; i < 3; i++) light += w[i] * mean[i];
    float sd = sqrt(fmax(variance, 0));
    const float *even = m->o->mode == PATCHES_PAINT ? pm_even_out(m) : NULL;
    pm_standardise(g, mask, n, .03f);
    for (long i = 0; even && i < n; i++) g[i] = (g[i] + even[i]) / 2;
    pm_standardise(g, mask, n, .3f);
    if (even) {
        double content[PM_BINS] = {0}, tones[PM_BINS] = {0};
        float map[PM_BINS];
        for (long i = 0; i < n; i++)
            if (mask[i] > .5f) content[pm_bin((g[i] + 4) / 8)] += 1;
        for (int s = 0; s < m->styles; s++)
            for (long i = 0, all = m->style[s].h * m->style[s].w; i < all; i++)
                tones[pm_bin(pm_luminance(m->style[s].pixels + 3 * i))] += m->share[s] / all;
        pm_map_tones(map, content, tones);
        for (long i = 0; i < n; i++)
            g[i] = (map[pm_bin((g[i] + 4) / 8)] + sd * g[i] + (float)light) / 2;
    } else
        for (long i = 0; i < n; i++) g[i] = sd * g[i] + (float)light;
    for (long i = 0; i < n; i++) g[i] = image_clamp(g[i], 0, 1);
}

/* Where print begins: the style itself, side by side; a large one is centred, a tileable one starts
 * anywhere. Several share the cloth in squares, about 5 across: the
 * u_i = frac(u + i (sqrt(5) - 1)/2) of the squares fill [0,1) evenly in any order, and style s gets
 * those in its share of [0,1). */
static void pm_tiles(Pm *m) {
    uint64_t seed = m->o->seed, stream = 1 << 16;
    int cell = (m->h < m->w ? m->h : m->w) / 5;
    for (long i = 0; i < m->h * m->w; i++) {
        int y = i / m->w, z = i % m->w, s = 0;
        double u = philox_uniform(seed, stream, 0)
                 + (y / cell * (m->w / cell + 1) + z / cell) * .6180339887498949;
        for (u -= floor(u) + m->share[0]; u >= 0 && s < m->styles - 1; u -= m->share[s]) s++;
        int h = m->style_h[s], w = m->style_w[s];
        uint64_t at = 2 * s + 4;
        int any = m->source->picture[s].tileable;
        y += any ? philox_below(seed, stream, at, h) : h > m->h ? (h - m->h) / 2 : 0;
        z += any ? philox_below(seed, stream, at + 1, w) : w > m->w ? (w - m->w) / 2 : 0;
        const float *from = m->style[s].pixels + (y % h * w + z % w) * 3;
        memcpy(m->x.pixels + 3 * i, from, 3 * sizeof *from);
    }
}

static void pm_unit(Image *x) {                                         /* from [-1,1] to [0,1] */
    for (long i = 0; i < x->h * x->w * x->c; i++)
        x->pixels[i] = image_clamp((x->pixels[i] + 1) / 2, 0, 1);
}

/* Where paint begins: the content in the style's colours, as light as the guide */
static void pm_recolour(Image *x, const Image *guide, double mean[2][3], double covariance[2][9]) {
    double map[9];
    colour_monge(map, covariance[0], covariance[1]);
    colour_map(x, map, mean[0], mean[1]);
    for (long i = 0; i < x->h * x->w; i++) {
        float *p = x->pixels + 3 * i, d = guide->pixels[i] - pm_luminance(p);
        for (int k = 0; k < 3; k++) p[k] = image_clamp(p[k] + d, 0, 1);
    }
}

/* m->x: the content at working size, becomes the painted picture; m->guide: its tones */
static int pm_paint(Pm *m) {
    const PatchesOptions *o = m->o;
    double mean[2][3], covariance[2][9];                    /* colours of content and styles */
    for (int s = 0; s < m->styles; s++) {
        const Image *from = &m->source->picture[s];
        if (!image_resize(&m->style[s], from, m->style_h[s], m->style_w[s])) return 0;
        pm_unit(&m->style[s]);
    }
    pm_unit(&m->x), pm_unit(&m->guide);
    colour_statistics(mean[0], covariance[0], &m->x, NULL, 1);
    colour_statistics(mean[1], covariance[1], m->style, m->share, m->styles);
    free(m->guide.mask), m->guide.mask = m->x.mask, m->x.mask = NULL;
    pm_guide(m, mean[1], covariance[1]);
    if (o->mode == PATCHES_PRINT) pm_tiles(m);
    else pm_recolour(&m->x, &m->guide, mean, covariance);
    for (const PmLevel *l = m->level; l < m->level + m->levels; l++)
        m->total += o->iterations * (l->h / l->stride + 1.) * (l->w / l->stride + 1.);
    for (int i = 0; i < m->levels; i++) {
        int h = m->level[i].h, w = m->level[i].w;
        Image guide = { 0 };
        int good = resize_in_steps(&m->x, h, w, INFINITY) && image_resize(&guide, &m->guide, h, w)
                && pm_level(m, i, &guide);
        image_free(&guide);
        if (!good) return 0;
    }
    if (o->detail > 0) {                                        /* x += detail (g - blurred g) */
        long n = m->h * m->w;
        float *blurred = m->planes, *g = m->guide.pixels;
        memcpy(blurred, g, n * sizeof *g);
        pm_blur(blurred, blurred + n, m->h, m->w, .02 * pm_smaller(m->h, m->w));
        for (long i = 0; i < 3 * n; i++)
            m->x.pixels[i] += (float)o->detail * (g[i / 3] - blurred[i / 3]);
    }
    return 1;
}

static int pm_check(const Image *image, const char *what, int number) {
    int small = image->h < PATCHES_SMALLEST || image->w < PATCHES_SMALLEST;
    if (!image->pixels || small || image->c != 3)
        return fail("patches: %s %d has %d x %d pixels of %d channels: expected RGB, at least "
                    "16 x 16", what, number, image->w, image->h, image->c);
    for (long i = 0; i < image->h * image->w * 3; i++)
        if (!isfinite(image->pixels[i]))
            return fail("patches: %s %d has a pixel that is not a number", what, number);
    return 1;
}
static int pm_check_mask(const Image *image) {
    long inside = 0;
    for (long i = 0; i < image->h * image->w; i++) {
        if (!(image->mask[i] >= 0 && image->mask[i] <= 1))
            return fail("patches: the content has a mask outside 0..1");
        inside += image->mask[i] > .5f;
    }
    return inside >= 64
        || fail("patches: the mask, or what is opaque, holds %ld pixels, expected at least 64",
                inside);
}
static int pm_check_options(const PatchesOptions *o, const Styles *styles) {
    struct { const char *name; double value, low, high; } range[] = {
        { "mode", o->mode, 0, 1 }, { "content_weight", o->content_weight, 0, 1 },
        { "style_scale", o->style_scale, .125, 8 }, { "detail", o->detail, 0, 1 },
        { "size", o->size, 32, 4096 }, { "iterations", o->iterations, 1, 32 },
        { "memory", o->memory, 0, 1e15 },
        { "the number of styles", styles->count, 1, PATCHES_STYLES } };
    for (size_t i = 0; i < sizeof range / sizeof *range; i++)
        if (!(range[i].value >= range[i].low && range[i].value <= range[i].high))
            return fail("patches: %s is %g: expected %g to %g", range[i].name, range[i].value,
                        range[i].low, range[i].high);
    for (int i = 0; styles->share && i < styles->count; i++)
        if (!(styles->share[i] > 1e-9 && styles->share[i] < 1e9))
            return fail("patches: weight %d is %g: expected 1e-9 to 1e9", i + 1, styles->share[i]);
    return 1;
}

/* The blocks, what the table borrows, and the pictures. In floats, a pixel painted: guide 2, x and
 * its next size 6; a pixel of the styles 3, and what one needs while it is resized: itself, and one
 * axis. A smaller working size is enlarged at the end. Where a style has a mask, it and x's. */
static double pm_bytes(Pm *m, int h, int w) {
    const Ops *ops = m->ops;
    Conv layer = { PM_SAMPLE, 1, 1, PM_TAPS, 1, 1, PM_KEPT, 1, 1, 0 };
    long rows = m->max_queries > PM_MOST_KEYS ? m->max_queries : PM_MOST_KEYS;
    double area = m->h * m->w, all = (double)h * w, styles = 0, most = 0;
    double borrowed = fmax(ops->conv_scratch(&layer), ops->gram_scratch(PM_SAMPLE, PM_TAPS));
    size_t block[2];
    pm_place(m, NULL, NULL, block);
    for (int i = 0; i < m->styles; i++) {
        double s = m->style_h[i] * m->style_w[i];
        styles += s, most = fmax(most, fmax(2 * s, m->style_h[i] * m->source->picture[i].w));
    }
    return block[0] + block[1]
         + 4 * (fmax(borrowed, ops->nearest_scratch(rows, rows, PM_KEPT)) + 8 * area + 3 * styles
                + (m->clear ? area + styles + most : 0)
                + fmax(3 * most, all > 1.01 * area ? 6 * all : 0));
}

/* The most memory, in bytes, that patches_transfer takes for a cut-out of (h,w), with the print and
 * what the table borrows; exact within a few percent. 0: it would refuse these sizes. */
static inline double patches_bytes(int h, int w, const Styles *styles, const PatchesOptions *o,
                                   const Ops *ops) {
    Pm m = { .o = o, .ops = ops, .source = styles };
    int good = pm_check_options(o, styles) && h >= 1 && w >= 1 && pm_plan(&m, h, w);
    return good ? pm_bytes(&m, h, w) : 0;
}

static int pm_allocate(Pm *m, double need) {
    size_t block[2];
    if (m->o->memory > 0 && need > m->o->memory)
        return fail("patches: painting %d x %d pixels takes %.1f MB of memory, %.1f MB are "
                    "allowed: give a smaller size", m->w, m->h, need / 1e6, m->o->memory / 1e6);
    pm_place(m, NULL, NULL, block);
    m->memory = aligned_alloc(64, block[0]);
    m->on.all = m->ops->alloc(block[1] / sizeof(real));
    if (!m->memory || !m->on.all)
        return fail("patches: out of memory: painting %d x %d pixels takes %.1f MB: give a smaller "
                    "size", m->w, m->h, need / 1e6);
    pm_place(m, m->memory, (char *)m->on.all, block);
    return 1;
}

/* print: a new picture of the cut-out's size, RGB; where a style has a mask, with the mask of the
 * patches that it is made of. cut: with a mask; sides, of the styles too, of at least 16 pixels;
 * shares > 0; ops: the table that searches, in float. 0 after an error, *print is empty then: an
 * option out of range, a picture too small or with a pixel that is not finite, a mask of less than
 * 64 pixels, memory. */
static inline int patches_transfer(Image *print, const Cutout *cut, const Styles *styles,
                                   const PatchesOptions *o, const Ops *ops) {
    const Image *part = &cut->part;
    int h = part->h, w = part->w;
    Pm m = { .o = o, .ops = ops, .source = styles };
    *print = (Image){ 0 };
    int good = pm_check_options(o, styles) && pm_check(part, "content", 1);
    for (int i = 0; good && i < styles->count; i++)
        good = pm_check(&styles->picture[i], "style", i + 1);
    good = good && pm_check_mask(part) && pm_plan(&m, h, w)
        && pm_allocate(&m, pm_bytes(&m, h, w)) && image_resize(&m.guide, &cut->tones, m.h, m.w)
        && image_resize(&m.x, part, m.h, m.w) && pm_paint(&m)
        && resize_in_steps(&m.x, h, w, INFINITY);
    for (long i = 0; good && i < 3L * h * w; i++) m.x.pixels[i] = 2 * m.x.pixels[i] - 1;
    if (good) *print = m.x;
    else image_free(&m.x);
    for (int i = 0; i < PATCHES_STYLES; i++) image_free(&m.style[i]);
    image_free(&m.guide);
    free(m.memory);
    if (m.on.all) ops->release(m.on.all);
    return good;
}
#endif
