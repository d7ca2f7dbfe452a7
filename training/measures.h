/* measures.h: how good the pictures of a generator are, in numbers. Nothing in it knows networks:
 * features go in, numbers come out:
 *
 *     double fcd = measure_frechet(made, 10000, real, 10000, 128, NULL);
 *
 * A set of features is an array of rows, (n,d), a row a picture. What a number says only its
 * yardsticks tell: give each measure also the real pictures against other real ones (the floor),
 * and pictures that were spoiled on purpose. Every result has the same bits for any number of
 * threads. Sizes out of the range that a comment gives: NaN, or 0 of an int. */
#ifndef MEASURES_H
#define MEASURES_H
#include "core/error.h"
#include "core/matrix.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- Frechet distance */

/* F29: the Frechet distance of two Gaussians with means m (d) and covariances C (d,d):
 *     |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2)    >= 0; 0: the same m and C
 * Eigenvalues that rounding made negative count as 0. */
static double measure_frechet_gaussians(const double *mean_a, const double *cov_a,
                                        const double *mean_b, const double *cov_b, int d) {
    long square = (long)d * d;
    double *s = new_doubles(4. * square), *v = s + square, *root = v + square, *t = root + square;
    double result = 0;
    memcpy(s, cov_a, sizeof *s * square);
    symmetric_eigen(s, v, d);
    for (int i = 0; i < d; i++)             /* t = V diag(sqrt(e)), root = t V^T = C_a^1/2 */
        for (int j = 0; j < d; j++) t[i * d + j] = v[i * d + j] * sqrt(fmax(s[j * d + j], 0));
    for (int i = 0; i < d; i++)
        for (int j = 0; j < d; j++) s[i * d + j] = v[j * d + i];
    matrix_product(root, t, s, d);
    matrix_product(t, root, cov_b, d);
    matrix_product(s, t, root, d);
    for (int i = 0; i < d; i++)             /* symmetric but for rounding */
        for (int j = 0; j < i; j++) s[i * d + j] = s[j * d + i] = (s[i * d + j] + s[j * d + i]) / 2;
    symmetric_eigen(s, NULL, d);
    for (int i = 0; i < d; i++) {
        double m = mean_a[i] - mean_b[i], e = s[i * d + i], root_e = e > 0 ? sqrt(e) : e * 0;
        result += m * m + cov_a[i * d + i] + cov_b[i * d + i] - 2 * root_e;      /* NaN stays NaN */
    }
    free(s);
    return result < 0 ? 0 : result;
}

/* mean (d) and covariance (d,d), divided by n - 1, of rows (n,d) */
static void measure_moments(double *mean, double *cov, const float *x, long n, int d) {
    for (int j = 0; j < d; j++) mean[j] = 0;
    for (long i = 0; i < n; i++)
        for (int j = 0; j < d; j++) mean[j] += x[i * d + j];
    for (int j = 0; j < d; j++) mean[j] /= n;
#pragma omp parallel for schedule(static)
    for (int j = 0; j < d; j++) {
        for (int k = 0; k < d; k++) cov[j * d + k] = 0;
        for (long i = 0; i < n; i++) {
            double r = x[i * d + j] - mean[j];
            for (int k = 0; k < d; k++) cov[j * d + k] += r * (x[i * d + k] - mean[k]);
        }
        for (int k = 0; k < d; k++) cov[j * d + k] /= n - 1;
    }
}

/* F29 of the Gaussians with two sets' means and covariances   a: (n,d), b: (m,d); n, m >= 2
 * trace: tr C_b, or NULL. With the features of Inception v3 this is FID (Heusel et al. 2017); with
 * those of a classifier of one's own it is another number, here called FCD (Frechet classifier
 * distance), and two FCDs compare only if the classifier was the same. */
static inline double measure_frechet(const float *a, long n, const float *b, long m, int d,
                                     double *trace) {
    if (trace) *trace = 0;
    if (d < 1 || n < 2 || m < 2) return NAN;
    double *mean_a = new_doubles(2. * d * (d + 1)), *cov_a = mean_a + d;
    double *mean_b = cov_a + (long)d * d, *cov_b = mean_b + d;
    measure_moments(mean_a, cov_a, a, n, d);
    measure_moments(mean_b, cov_b, b, m, d);
    for (int i = 0; trace && i < d; i++) *trace += cov_b[i * d + i];
    double distance = measure_frechet_gaussians(mean_a, cov_a, mean_b, cov_b, d);
    free(mean_a);
    return distance;
}

/* ---------------------------------------------------------------- precision, recall */

/* For each row i of a, (n,d), against all rows j of b, (m,d), by squared distance:
 *     radius NULL: out[i] = the distance to the k-th nearest other row; a is b
 *     else:        out[i] = is it inside one of the balls of b, distance <= radius[j]?
 * WIDE rows of b at a time are turned, side by side: the inner loop has no sum across lanes. */
enum { WIDE = 64, NEAREST = 16 };
static void measure_neighbours(double *out, const float *a, long n, const float *b, long m, int d,
                               int k, const double *radius) {
    float *turned = new_floats(WIDE * d);
    double *nearest = new_doubles((double)n * k);       /* of each row of a, in order */
    for (long i = 0; i < n; i++) out[i] = 0;
    for (long i = 0; i < n * k; i++) nearest[i] = INFINITY;
    for (long first = 0; first < m; first += WIDE) {
        int wide = fmin(WIDE, m - first);
        for (int i = 0; i < wide * d; i++) turned[i % d * WIDE + i / d] = b[first * d + i];
#pragma omp parallel for schedule(static)
        for (long i = 0; i < n; i++) {
            const float *x = a + i * d, *y = turned;
            double *list = nearest + i * k;
            float sum[WIDE] = {0};
            for (int e = 0; e < d; e++, y += WIDE)
#pragma omp simd
                for (int j = 0; j < WIDE; j++) sum[j] += (x[e] - y[j]) * (x[e] - y[j]);
            for (int j = 0; j < wide; j++) {
                if (radius && sum[j] <= radius[first + j]) out[i] = 1;
                if (radius || first + j == i || !(sum[j] < list[k - 1])) continue;
                int at = k - 1;
                for (; at > 0 && sum[j] < list[at - 1]; at--) list[at] = list[at - 1];
                list[at] = sum[j];
            }
            if (!radius) out[i] = list[k - 1];
        }
    }
    free(turned), free(nearest);
}

/* The share of rows of b, (m,d), that lie inside the manifold of a, (n,d) */
static double measure_inside(const float *a, long n, const float *b, long m, int d, int k) {
    double *radius = new_doubles(n), *inside = new_doubles(m), sum = 0;
    measure_neighbours(radius, a, n, a, n, d, k, NULL);
    measure_neighbours(inside, b, m, a, n, d, k, radius);
    for (long i = 0; i < m; i++) sum += inside[i];
    free(radius), free(inside);
    return sum / m;
}

/* F36. A set's manifold: the balls around each of its rows that reach to its k-th nearest other row
 * (Kynkaanniemi et al. 2019; k = 3).
 *     precision: the share of `made` inside the manifold of `real`: do they look real?
 *     recall:    the share of `real` inside the manifold of `made`: is everything there?
 * real: (n,d), made: (m,d), best n = m; 1 <= k <= NEAREST, k < n, m. */
static inline int measure_precision_recall(double *precision, double *recall, const float *real_,
                                           long n, const float *made, long m, int d, int k) {
    *precision = *recall = NAN;
    if (k < 1 || k > NEAREST || n <= k || m <= k || d < 1) return 0;
    *precision = measure_inside(real_, n, made, m, d, k);
    *recall = measure_inside(made, m, real_, n, d, k);
    return 1;
}

/* ---------------------------------------------------------------- classes */

/* share[c] = how many of the labels (n), each 0..classes-1, are c, over n. */
static inline void measure_histogram(double *share, const int *label, long n, int classes) {
    for (int c = 0; c < classes; c++) share[c] = 0;
    for (long i = 0; i < n; i++) share[label[i]] += 1. / n;
}

/* F37: KL(share || uniform) = sum_c share_c log(classes share_c), in nats: from 0 (all equally
 * often) to log(classes) (only one), as the mode count of Srivastava et al. 2017 does; they compare
 * with the training set, whose classes are equal here. */
static inline double measure_kl_to_uniform(const double *share, int classes) {
    double kl = 0;
    for (int c = 0; c < classes; c++)
        if (share[c] != 0) kl += share[c] * log(classes * share[c]);
    return kl < 0 ? 0 : kl;
}

/* Classes with at least a tenth of the share that a uniform set would give them: less may be the
 * classifier's mistakes. */
static inline int measure_covered(const double *share, int classes) {
    int covered = 0;
    for (int c = 0; c < classes; c++) covered += share[c] * classes >= 0.1 - 1e-9;    /* rounding */
    return covered;
}

/* ---------------------------------------------------------------- sliced Wasserstein */

/* 64 random bits from a counter, as SplitMix64 (Steele, Lea, Flood 2014); and a number in (0,1] */
static uint64_t measure_bits(uint64_t seed, uint64_t i) {
    uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}
static double measure_uniform(uint64_t seed, uint64_t i) {
    return ((measure_bits(seed, i) >> 11) + 0.5) * 0x1p-53;
}

static int measure_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* F35. Along a direction t, |t| = 1, two sets of numbers are as far apart as the sorted lists; the
 * mean over random directions (Rabin et al. 2011; for GANs Karras et al. 2018):
 *     1/T sum_t 1/n sum_i |sort(a t)_i - sort(b t)_i|     >= 0     a, b: (n,d), n >= 1
 * own 1, n >= 2: along differences of two rows of b. b varies along these, noise in all directions
 * alike. */
static inline double measure_sliced_wasserstein(const float *a, const float *b, long n, int d,
                                                int directions, uint64_t seed, int own) {
    if (n < 1 + own || d < 1 || directions < 1) return NAN;
    double *distance = new_doubles(directions), result = 0;
#pragma omp parallel for schedule(static)
    for (int t = 0; t < directions; t++) {
        double *p = new_doubles(2. * n + d), *q = p + n, *way = q + n, norm = 0, sum = 0;
        long first = measure_bits(seed, 2 * t) % n, second = first;
        if (own) second = (first + 1 + measure_bits(seed, 2 * t + 1) % (n - 1)) % n;
        for (int j = 0; j < d; j++) {
            uint64_t i = 2 * ((uint64_t)t * d + j);
            if (own) way[j] = (double)b[first * d + j] - b[second * d + j];
            else way[j] = sqrt(-2 * log(measure_uniform(seed, i)))   /* N(0,1) (Box, Muller 1958) */
                          * cos(2 * 3.14159265358979323846 * measure_uniform(seed, i + 1));
            norm += way[j] * way[j];
        }
        for (long i = 0; i < n; i++)
            for (int j = 0; j < d; j++)
                p[i] += a[i * d + j] * way[j], q[i] += b[i * d + j] * way[j];
        qsort(p, n, sizeof *p, measure_compare);
        qsort(q, n, sizeof *q, measure_compare);
        for (long i = 0; i < n; i++) sum += fabs(p[i] - q[i]);
        distance[t] = norm == 0 ? sum : sum / (n * sqrt(norm));  /* two equal rows: all is 0 */
        free(p);
    }
    for (int t = 0; t < directions; t++) result += distance[t] / directions;
    free(distance);
    return result;
}

/* `count` squares of side x side pixels from random places of a picture (h,w,c): to,
 * (count, side*side*c). side <= h, w. With the distance above they tell textures apart: noise has
 * the same spread of brightness as a pattern, but not its edges. */
static inline void measure_patches(float *to, const float *picture, int h, int w, int c, int side,
                                   int count, uint64_t seed) {
    for (int i = 0; i < count; i++) {
        long y = measure_bits(seed, 2 * i) % (h - side + 1);
        long x = measure_bits(seed, 2 * i + 1) % (w - side + 1);
        for (int row = 0; row < side; row++, to += side * c)
            memcpy(to, picture + ((y + row) * w + x) * c, sizeof *to * side * c);
    }
}

/* ---------------------------------------------------------------- MS-SSIM */

/* The windowed mean of x y, (h,w), or of x where y is NULL, rows first, then columns:
 * out, (h - k + 1, w - k + 1). room: h (w - k + 1) */
static void measure_window(double *out, const double *x, const double *y, int h, int w,
                           const double *g, int k, double *room) {
    int oh = h - k + 1, ow = w - k + 1;
    for (int i = 0; i < h * ow; i++) {
        room[i] = 0;
        for (int u = 0, at = i / ow * w + i % ow; u < k; u++, at++)
            room[i] += g[u] * (x[at] * (y ? y[at] : 1));
    }
    for (int i = 0; i < oh * ow; i++) {
        out[i] = 0;
        for (int u = 0; u < k; u++) out[i] += g[u] * room[i + u * ow];
    }
}

/* mean(cs), and mean(l cs) to *both, of one channel (h,w). room: 6 h w */
static double measure_ssim(double *both, const double *a, const double *b, int h, int w,
                           double *room) {
    int k = fmin(11, fmin(h, w));
    long n = (long)h * w, out = (long)(h - k + 1) * (w - k + 1);
    double g[11], sum = 0, cs_sum = 0, deviation = 1.5 * k / 11;
    double *mean_a = room + n, *mean_b = mean_a + n, *aa = mean_b + n, *bb = aa + n, *ab = bb + n;
    const double *const factor[5][2] = { { a }, { b }, { a, a }, { b, b }, { a, b } };
    for (int i = 0; i < k; i++) {
        double at = i - (k - 1) / 2.0;
        sum += g[i] = exp(-at * at / (2 * deviation * deviation));
    }
    for (int i = 0; i < k; i++) g[i] /= sum;
    for (int i = 0; i < 5; i++)
        measure_window(mean_a + i * n, factor[i][0], factor[i][1], h, w, g, k, room);
    *both = 0;
    for (long i = 0; i < out; i++) {
        double m = mean_a[i] * mean_b[i], squares = mean_a[i] * mean_a[i] + mean_b[i] * mean_b[i];
        double cs = (2 * (ab[i] - m) + 9e-4) / (aa[i] + bb[i] - squares + 9e-4);
        cs_sum += cs;
        *both += cs * (2 * m + 1e-4) / (squares + 1e-4);
    }
    *both /= out;
    return cs_sum / out;
}

static void measure_halve(double *x, int h, int w) {     /* in place: (h,w) -> (h/2,w/2) */
    for (int i = 0; i < h / 2; i++)
        for (int j = 0; j < w / 2; j++) {
            const double *at = x + 2 * i * w + 2 * j;
            x[i * (w / 2) + j] = (at[0] + at[1] + at[w] + at[w + 1]) / 4;
        }
}

/* F38: MS-SSIM of two pictures (h,w,c) in [-1,1], 1: the same (Wang, Simoncelli, Bovik 2003). At
 * each scale, with means, variances and covariance under a Gaussian window of 11 x 11 (deviation
 * 1.5) on pixels mapped to [0,1], C1 = .01^2, C2 = .03^2:
 *     cs = (2 s_ab + C2) / (s_a^2 + s_b^2 + C2)     l = (2 m_a m_b + C1) / (m_a^2 + m_b^2 + C1)
 *     product over scales of mean(max(cs, 0))^w, at the last one mean(l cs)^w
 * Each scale halves the picture (means of 2 x 2; an odd last row is dropped). There are at most
 * five scales, as many as leave 11 pixels; the weights of fewer are scaled to the sum 1. A picture
 * that is smaller than 11 has a window of its size. Channels: the mean of all. As diversity: the
 * mean over pairs of made pictures of one class; higher than among real ones: less diverse (Odena
 * et al. 2017). */
static inline double measure_ms_ssim(const float *a, const float *b, int h, int w, int c) {
    static const double weight[5] = { .0448, .2856, .3001, .2363, .1333 };
    int scales = 1, side = fmin(h, w);
    long n = (long)h * w;
    double total = weight[0], result = 0, *x = new_doubles(8. * n), *y = x + n;
    while (scales < 5 && side >> scales >= 11) total += weight[scales++];
    for (int k = 0; k < c; k++) {
        double product = 1, both;
        for (long i = 0; i < n; i++) x[i] = (a[i * c + k] + 1) / 2, y[i] = (b[i * c + k] + 1) / 2;
        for (int s = 0, sh = h, sw = w; s < scales; s++, sh /= 2, sw /= 2) {
            double cs = measure_ssim(&both, x, y, sh, sw, y + n);
            double term = s == scales - 1 ? both : cs;
            product *= pow(term > 0 ? term : term * 0, weight[s] / total);
            measure_halve(x, sh, sw), measure_halve(y, sh, sw);
        }
        result += product / c;
    }
    free(x);
    return result;
}

/* ---------------------------------------------------------------- grain, checkerboard */

/* Of a picture's brightness y, x being (h,w,c) in [-1,1], are added to sum:
 *     [0], [1]   |4 y - four neighbours| where y and all eight are cloth, brighter than 20 of 255;
 *                at how many pixels: their quotient is the grain
 *     [2]        mean of the square of the fourth differences / 16 along both sides, which keep a
 *                checkerboard whole and leave 1/256 of a pattern of twice its period */
static inline void measure_surface(double sum[3], const float *x, int h, int w, int c) {
    static const double high[5] = { 1 / 16., -4 / 16., 6 / 16., -4 / 16., 1 / 16. };
    const double least = 20 / 127.5 - 1;
    double *y = new_doubles((double)h * w), squares = 0;
    for (long p = 0; p < (long)h * w; p++)
        for (int k = 0; k < c; k++) y[p] += x[p * c + k] / c;
    for (int i = 1; i < h - 1; i++)
        for (int j = 1; j < w - 1; j++) {
            const double *at = y + (long)i * w + j;
            int cloth = 1;
            for (int k = 0; k < 9; k++) cloth &= at[(k / 3 - 1) * w + k % 3 - 1] > least;
            if (cloth) sum[0] += fabs(4 * *at - at[-w] - at[w] - at[-1] - at[1]), sum[1]++;
        }
    for (int i = 2; i < h - 2; i++)
        for (int j = 2; j < w - 2; j++) {
            double e = 0;
            for (int k = 0; k < 25; k++)
                e += high[k / 5] * high[k % 5] * y[(long)(i + k / 5 - 2) * w + j + k % 5 - 2];
            squares += e * e;
        }
    if (h > 4 && w > 4) sum[2] += squares / ((h - 4.) * (w - 4));
    free(y);
}

/* ---------------------------------------------------------------- content */

/* F9 on light and shade alone: the mean, over blocks of block x block pixels and weighted with the
 * mask's mean in them, of the squared difference of the blocks' mean brightness.
 * x: (h,w,xc), y: (h,w,yc), mask: (h,w) or NULL; h, w >= block; what is left over at the right and
 * below does not count. 0: the content is untouched; 0 also where the mask is empty. */
static inline double measure_content_distance(const float *x, int xc, const float *y, int yc,
                                              const float *mask, int h, int w, int block) {
    double sum = 0, weights = 0;
    if (block < 1 || h < block || w < block) return NAN;
    for (int i = 0; i + block <= h; i += block)
        for (int j = 0; j + block <= w; j += block) {
            double light_x = 0, light_y = 0, m = 0, pixels = block * block;
            for (int u = 0; u < block; u++)
                for (int v = 0; v < block; v++) {
                    long at = (long)(i + u) * w + j + v;
                    for (int k = 0; k < xc; k++) light_x += x[at * xc + k] / (pixels * xc);
                    for (int k = 0; k < yc; k++) light_y += y[at * yc + k] / (pixels * yc);
                    m += (mask ? mask[at] : 1) / pixels;
                }
            sum += m * (light_x - light_y) * (light_x - light_y), weights += m;
        }
    return weights > 0 ? sum / weights : weights * 0;
}
#endif
