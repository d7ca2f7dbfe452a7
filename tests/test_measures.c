/* test_measures.c: measures.h against numpy's numbers (golden_measures.h), against closed forms, and against what a measure is for:
 * pictures that were spoiled more are further away, and a pattern is told from noise. And checkpoint.h: every half, every rounding. */
#define MEASURES_IMPLEMENTATION
#include "core/checkpoint.h"
#include "images/images.h"
#include "training/measures.h"
#include "golden_measures.h"
#include "test.h"
#ifdef _OPENMP
#include <omp.h>
#else
static void omp_set_num_threads(int n) { (void)n; }
#endif

#define LENGTH(x) (int)(sizeof(x) / sizeof *(x))

static uint32_t state = 1;
static float *drawn(long n, float scale, float shift) {  /* n numbers of the generator of golden_measures.py */
    float *x = malloc(sizeof(float) * (size_t)n);
    for (long i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) / 8388608 - 1;
        x[i] = x[i] * scale + shift;
    }
    return x;
}

static void test_golden(void) {
    state = 1;
    for (int i = 0; i < LENGTH(golden_frechet); i++) {
        int n = golden_frechet[i].n, m = golden_frechet[i].m, d = golden_frechet[i].d;
        float *a = drawn((long)n * d, 1, 0), *b = drawn((long)m * d, .5f, .25f);
        for (int k = 0; k < golden_frechet[i].dead; k++) {
            for (int r = 0; r < n; r++) a[r * d + k] = 0;
            for (int r = 0; r < m; r++) b[r * d + k] = 0;
        }
        /* where n <= d or features are dead, roots of eigenvalues that are 0 but for rounding are 1e-8 */
        CLOSE(measure_frechet(a, n, b, m, d, NULL), golden_frechet[i].want, 3e-7, 1e-9, "Frechet %d: numpy", i);
        CLOSE(measure_frechet(b, m, a, n, d, NULL), golden_frechet[i].want, 3e-7, 1e-9, "Frechet %d: symmetric", i);
        CLOSE(measure_frechet(a, n, a, n, d, NULL), 0, 3e-7, 0, "Frechet %d: to itself", i);
        free(a), free(b);
    }
    for (int i = 0; i < LENGTH(golden_precision); i++) {
        int n = golden_precision[i].n, m = golden_precision[i].m, d = golden_precision[i].d;
        float *a = drawn((long)n * d, 1, 0), *b = drawn((long)m * d, 1, (float)golden_precision[i].shift);
        double precision, recall;
        CHECK(measure_precision_recall(&precision, &recall, a, n, b, m, d, golden_precision[i].k), "precision %d", i);
        CLOSE(precision, golden_precision[i].precision, 1e-12, 0, "precision %d: numpy", i);
        CLOSE(recall, golden_precision[i].recall, 1e-12, 0, "recall %d: numpy", i);
        free(a), free(b);
    }
    for (int i = 0; i < LENGTH(golden_ssim); i++) {
        int h = golden_ssim[i].h, w = golden_ssim[i].w, c = golden_ssim[i].c;
        float *a = drawn((long)h * w * c, .5f, 0), *b = drawn((long)h * w * c, (float)golden_ssim[i].noise, 0);
        for (long k = 0; k < (long)h * w * c; k++) b[k] = a[k] + b[k];
        CLOSE(measure_ms_ssim(a, b, h, w, c), golden_ssim[i].want, 1e-7, 1e-6, "MS-SSIM %d: numpy", i);
        CLOSE(measure_ms_ssim(a, a, h, w, c), 1, 1e-12, 0, "MS-SSIM %d: of a picture and itself", i);
        free(a), free(b);
    }
}

/* Gaussians whose distance is known: diagonal covariances give sum (m_a - m_b)^2 + (s_a - s_b)^2, and a rotation changes nothing */
static void test_closed_forms(void) {
    enum { D = 5 };
    double mean_a[D], mean_b[D], a[D * D] = {0}, b[D * D] = {0}, v[D * D], e[D * D], turned_a[D * D], turned_b[D * D], x[D * D], want = 0;
    for (int i = 0; i < D; i++) {
        double s = 0.5 + i, t = i == 3 ? 0 : 3 - 0.5 * i;                /* one deviation is 0 */
        mean_a[i] = i, mean_b[i] = 1 - i, a[i * D + i] = s * s, b[i * D + i] = t * t;
        want += (mean_a[i] - mean_b[i]) * (mean_a[i] - mean_b[i]) + (s - t) * (s - t);
    }
    CLOSE(measure_frechet_gaussians(mean_a, a, mean_b, b, D), want, 0, 1e-12, "Frechet of two Gaussians with diagonal covariances");
    for (int i = 0; i < D * D; i++) x[i] = 1.0 / (1 + i / D + i % D);    /* Hilbert's matrix: its eigenvectors are the rotation */
    memcpy(e, x, sizeof x);
    symmetric_eigen(e, v, D);
    double trace = 0;
    for (int i = 0; i < D; i++) trace += e[i * D + i];
    CLOSE(trace, 1 + 1 / 3. + 1 / 5. + 1 / 7. + 1 / 9., 0, 1e-14, "the eigenvalues' sum is the trace");
    for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++) {
            double dot = 0, back = 0, ta = 0, tb = 0;
            for (int k = 0; k < D; k++) {
                dot += v[k * D + i] * v[k * D + j], back += v[i * D + k] * e[k * D + k] * v[j * D + k];
                ta += v[i * D + k] * a[k * D + k] * v[j * D + k], tb += v[i * D + k] * b[k * D + k] * v[j * D + k];
            }
            turned_a[i * D + j] = ta, turned_b[i * D + j] = tb;
            CLOSE(dot, i == j, 1e-14, 0, "eigenvectors are orthonormal");
            CLOSE(back, x[i * D + j], 1e-14, 0, "V diag(e) V^T");
        }
    CLOSE(measure_frechet_gaussians(mean_a, turned_a, mean_b, turned_b, D), want, 0, 1e-7, "Frechet, rotated");

    double share[4], one[4] = { 0, 1, 0, 0 };
    measure_histogram(share, (int[]){ 0, 1, 2, 3, 0, 1, 2, 3 }, 8, 4);
    CLOSE(measure_kl_to_uniform(share, 4), 0, 1e-15, 0, "KL of a uniform histogram");
    CHECK(measure_covered(share, 4) == 4, "four classes");
    CLOSE(measure_kl_to_uniform(one, 4), log(4), 1e-15, 0, "KL of one class of four");
    CHECK(measure_covered(one, 4) == 1, "one class");
    measure_histogram(share, (int[]){ 0, 0, 0, 1 }, 4, 4);
    CLOSE(measure_kl_to_uniform(share, 4), 0.75 * log(3), 1e-15, 0, "KL of 3 : 1");
    double rare[2] = { 0.96, 0.04 };
    CHECK(measure_covered(rare, 2) == 1, "4%% of two classes is less than a tenth of its share");
    int label[10000] = {0};
    double ten[10];
    for (int i = 0; i < 10000; i++) label[i] = i < 100 ? 9 : i % 9;
    measure_histogram(ten, label, 10000, 10);
    CHECK(measure_covered(ten, 10) == 10, "100 of 10,000 pictures are a tenth of a tenth");

    enum { N = 1001 };
    float *p = drawn(N, 1, 0), *q = malloc(sizeof(float) * N), *r = drawn(2 * N, 1, 0), *s = malloc(sizeof(float) * 2 * N);
    for (int i = 0; i < N; i++) q[N - 1 - i] = p[i] + 0.25f, s[2 * i] = r[2 * i] + 3, s[2 * i + 1] = r[2 * i + 1] - 4;
    CLOSE(measure_sliced_wasserstein(p, q, N, 1, 7, 1, 0), 0.25, 1e-6, 0, "sliced Wasserstein: numbers moved by 1/4, in another order");
    CLOSE(measure_sliced_wasserstein(p, p, N, 1, 7, 1, 0), 0, 0, 0, "to itself");
    CLOSE(measure_sliced_wasserstein(p, q, N, 1, 7, 1, 1), 0.25, 1e-6, 0, "of one number there is one direction");
    /* moved by v in the plane: the mean of |v cos| over directions is 2/pi |v|; 4,000 random ones come within 3% */
    CLOSE(measure_sliced_wasserstein(r, s, N, 2, 4000, 1, 0), 5 * 2 / 3.14159265, 0, 0.03, "moved by (3,-4)");

    enum { H = 9, W = 11 };                              /* odd: the last row and the last three columns do not count */
    float gray[H * W], rgb[H * W * 3], mask[H * W];
    for (int i = 0; i < H * W; i++) {
        gray[i] = i % 2 ? .5f : -.5f, mask[i] = i % W < 4;
        for (int k = 0; k < 3; k++) rgb[3 * i + k] = (float)k - 1 + (i % W < 4 ? .5f : 0);      /* brightness 1/2 at the left, else 0 */
    }
    CLOSE(measure_content_distance(gray, 1, gray, 1, NULL, H, W, 4), 0, 0, 0, "content: of a picture and itself");
    CLOSE(measure_content_distance(rgb, 3, gray, 1, NULL, H, W, 4), .125, 1e-7, 0, "content: half of the blocks are 1/2 lighter");
    CLOSE(measure_content_distance(rgb, 3, gray, 1, mask, H, W, 4), .25, 1e-7, 0, "content: inside the mask all are");
    memset(mask, 0, sizeof mask);
    CLOSE(measure_content_distance(rgb, 3, gray, 1, mask, H, W, 4), 0, 0, 0, "content: an empty mask");
    free(p), free(q), free(r), free(s);
}

/* Pictures of 6x8 whose grain and checkerboard are known, two channels of the same brightness but for a tint that means take out */
static void test_surface(void) {
    enum { H = 6, W = 8 };
    static const struct { const char *name; double grain, pixels, checker; } want[] = {
        { "flat", 0, 24, 0 }, { "a ramp", 0, 24, 0 }, { "a checkerboard", 24 * 8 * 0.25, 24, 0.0625 },
        { "stripes", 24 * 4 * 0.25, 24, 0 }, { "dark", 0, 0, 0 }, { "one dark corner", 0, 23, 0 } };
    for (int kind = 0; kind < 6; kind++) {
        float x[H * W * 2];
        double sum[3] = { 0 };
        for (int i = 0; i < H; i++)
            for (int j = 0; j < W; j++) {
                double y = kind == 1 ? 0.05 * i - 0.1 * j : kind == 2 ? 0.25 * ((i + j) % 2 * 2 - 1) : kind == 3 ? 0.25 * (i % 2 * 2 - 1)
                         : kind == 4 ? -0.9 : 0;
                if (kind == 5 && !i && !j) y = -1;
                for (int k = 0; k < 2; k++) x[(i * W + j) * 2 + k] = (float)(y + (k ? 0.0625 : -0.0625));
            }
        measure_surface(sum, x, H, W, 2);
        CLOSE(sum[0], want[kind].grain, 1e-6, 0, "grain of %s", want[kind].name);
        CLOSE(sum[1], want[kind].pixels, 0, 0, "cloth of %s", want[kind].name);
        if (kind < 5) CLOSE(sum[2], want[kind].checker, 1e-9, 0, "checkerboard of %s", want[kind].name);
    }
}

static void test_errors(void) {
    float x[12] = {0}, bad[12] = { 0, NAN };
    double p, r;
    CHECK(isnan(measure_frechet(x, 1, x, 6, 2, NULL)), "a covariance takes two rows");
    CHECK(isnan(measure_frechet(x, 6, bad, 6, 2, NULL)), "NaN among the features is not lost: Frechet");
    CHECK(isnan(measure_frechet(bad, 6, x, 6, 2, NULL)), "NaN among the features is not lost: Frechet, first set");
    CHECK(!measure_precision_recall(&p, &r, x, 3, x, 4, 3, 3) && isnan(p) && isnan(r), "three rows have no third neighbour");
    CHECK(!measure_precision_recall(&p, &r, x, 4, x, 4, 3, 0), "k = 0");
    CHECK(isnan(measure_sliced_wasserstein(x, x, 0, 2, 4, 1, 0)), "no rows");
    CHECK(isnan(measure_sliced_wasserstein(x, bad, 6, 2, 4, 1, 0)), "NaN is not lost: sliced Wasserstein");
    CHECK(isnan(measure_sliced_wasserstein(x, bad, 6, 2, 16, 1, 1)) && isnan(measure_sliced_wasserstein(x, x, 1, 2, 4, 1, 1)), "nor along its own");
    CHECK(isnan(measure_ms_ssim(x, bad, 3, 4, 1)), "NaN is not lost: MS-SSIM");
    CHECK(isnan(measure_content_distance(x, 1, bad, 1, NULL, 3, 4, 2)), "NaN is not lost: content");
    float larger[25] = { 0, NAN };
    double sum[3] = { 0 };
    measure_surface(sum, larger, 5, 5, 1);
    CHECK(isnan(sum[2]), "NaN is not lost: checkerboard");
    CHECK(isnan(measure_content_distance(x, 1, x, 1, NULL, 3, 4, 4)), "a block larger than the picture");
}

/* Garments, spoiled step by step: 4x4 means as features. And textures by their patches: stripes elsewhere are nearer than noise
 * of the same mean and variance, a blurred pattern is nearer than noise, other patterns are further than the same one. */
enum { SIDE = 28, COUNT = 600, FEATURES = 49, PATCH = 7 };

static float noise(void) {
    double sum = 0;
    for (int k = 0; k < 12; k++) {
        state = state * 1664525u + 1013904223u;
        sum += (state >> 8) / 16777216.0;
    }
    return (float)(sum - 6);
}

static void test_orderings(void) {
    ImageSet set;
    CHECK(imageset_load(&set, "synthetic:1200", NULL), "%s", error_text());
    float *clean = malloc(sizeof(float) * COUNT * FEATURES), *x = malloc(sizeof(float) * COUNT * FEATURES), picture[SIDE * SIDE];
    double distance[4], first = 0;
    for (int level = -1; level < 4; level++) {           /* the reference; other garments; + N(0,.1), + N(0,.3); noise alone */
        for (int i = 0; i < COUNT; i++) {
            CHECK(imageset_get(&set, i + (level >= 0 ? COUNT : 0), picture, NULL), "%s", error_text());
            for (int k = 0; k < SIDE * SIDE; k++) {
                float z = level > 0 ? noise() * (level == 1 ? .1f : level == 2 ? .3f : 1) : 0;
                picture[k] = fmaxf(-1, fminf(1, (level == 3 ? 0 : picture[k]) + z));
            }
            float *row = (level < 0 ? clean : x) + i * FEATURES;
            for (int k = 0; k < FEATURES; k++) {
                row[k] = 0;
                for (int p = 0; p < 16; p++) row[k] += picture[(k / 7 * 4 + p / 4) * SIDE + k % 7 * 4 + p % 4] / 16;
            }
        }
        if (level >= 0) distance[level] = measure_frechet(x, COUNT, clean, COUNT, FEATURES, NULL);
        if (level == 2)
            for (int threads = 1; threads < 4; threads++) {
                double p[4];
                omp_set_num_threads(threads);
                CHECK(measure_precision_recall(&p[0], &p[1], clean, COUNT, x, COUNT, FEATURES, 3), "precision");
                p[2] = measure_sliced_wasserstein(clean, x, COUNT, FEATURES, 9, 5, 0), p[3] = measure_frechet(x, COUNT, clean, COUNT, FEATURES, NULL);
                double sum = p[0] + 3 * p[1] + 5 * p[2] + 7 * p[3];
                CHECK(threads == 1 || sum == first, "the same bits for %d threads", threads);
                first = sum;
            }
    }
    CHECK(2 * distance[0] < distance[1] && 2 * distance[1] < distance[2] && 2 * distance[2] < distance[3],
          "each step further: %g %g %g %g", distance[0], distance[1], distance[2], distance[3]);
    free(clean), free(x);
    imageset_free(&set);

    enum { TILE = 64, PLACES = 3000, D = PATCH * PATCH * 3 };
    Image pattern, other;
    float *patch[4], wild[TILE * TILE * 3];
    for (int kind = 0; kind < IMAGE_PATTERNS; kind++) {
        CHECK(image_pattern_synthetic(&pattern, kind, TILE) && image_pattern_synthetic(&other, (kind + 1) % IMAGE_PATTERNS, TILE), "%s", error_text());
        for (int k = 0; k < 3; k++) {                    /* noise with the pattern's mean and variance in each channel */
            double sum = 0, square = 0, n = TILE * TILE;
            for (int i = 0; i < TILE * TILE; i++) sum += pattern.pixels[3 * i + k], square += pattern.pixels[3 * i + k] * pattern.pixels[3 * i + k];
            for (int i = 0; i < TILE * TILE; i++) wild[3 * i + k] = (float)(sum / n + sqrt(fmax(square / n - sum / n * sum / n, 0)) * noise());
        }
        const float *from[4] = { pattern.pixels, pattern.pixels, wild, other.pixels };
        for (int i = 0; i < 4; i++) {
            patch[i] = malloc(sizeof(float) * PLACES * D);
            measure_patches(patch[i], from[i], TILE, TILE, 3, PATCH, PLACES, (uint64_t)i);
        }
        double same = measure_sliced_wasserstein(patch[1], patch[0], PLACES, D, 32, 1, 0);
        double rough = measure_sliced_wasserstein(patch[2], patch[0], PLACES, D, 32, 1, 0);
        double another = measure_sliced_wasserstein(patch[3], patch[0], PLACES, D, 32, 1, 0);
        CHECK(3 * same < rough, "pattern %d: noise is rejected: %g, the pattern elsewhere %g", kind, rough, same);
        double own = measure_sliced_wasserstein(patch[1], patch[0], PLACES, D, 32, 1, 1);
        double own_rough = measure_sliced_wasserstein(patch[2], patch[0], PLACES, D, 32, 1, 1);
        CHECK(3 * own < own_rough, "pattern %d, its own directions: noise is rejected: %g, the pattern elsewhere %g", kind, own_rough, own);
        CHECK(3 * same < another, "pattern %d: another pattern is rejected: %g, the same %g", kind, another, same);
        for (int i = 0; i < 4; i++) free(patch[i]);
        image_free(&pattern), image_free(&other);
    }
}

/* ----------------------------------------------------------------------------------------------------------- compression */

static double half(int bits) {                           /* F16: five bits of exponent, ten behind the point */
    return bits < 0x400 ? ldexp(bits, -24) : ldexp(1024 + bits % 1024, bits / 1024 - 25);
}
/* All that are finite, of both signs, and what lies midway to the next one, just below and just above it */
static void test_half(void) {
    enum { ALL = 0x7C00, KINDS = 5 };
    const char *path = "build/test_half.safetensors", *original = "build/test_float.safetensors";
    float *x = malloc(sizeof(float) * KINDS * ALL);
    uint16_t *want = malloc(sizeof *want * KINDS * ALL);
    for (int bits = 0; bits < ALL; bits++) {
        float middle = (float)((half(bits) + half(bits + 1)) / 2);
        float of[KINDS] = { (float)half(bits), (float)-half(bits), middle, nextafterf(middle, 0), nextafterf(middle, 1e9f) };
        int to[KINDS] = { bits, bits | 0x8000, bits + (bits & 1), bits, bits + 1 };
        for (int k = 0; k < KINDS; k++) x[k * ALL + bits] = bits == ALL - 1 && k > 1 ? 0 : of[k];
        for (int k = 0; k < KINDS; k++) want[k * ALL + bits] = bits == ALL - 1 && k > 1 ? 0 : (uint16_t)to[k];
    }
    StTensor t = { "g.1.dense.weight", "F32", 2, { KINDS, ALL }, x, sizeof(float) * KINDS * ALL };
    StMeta meta = { "recipe", "dcgan" };
    StFile file, small;
    CompressReport report;
    CHECK(st_write(original, &t, 1, &meta, 1) && st_open(&file, original), "%s", error_text());
    CHECK(compress_write(path, &file, 0, 0, &report) && st_open(&small, path), "%s", error_text());
    const StTensor *got = st_find(&small, t.name);
    CHECK(got && got->bytes == sizeof *want * KINDS * ALL && !memcmp(got->data, want, got->bytes),
          "a half does not come back as it was, or a number between two is rounded to the wrong one");
    st_close(&small), st_close(&file);
    remove(path), remove(original), free(x), free(want);
}

/* A file of a convolution, a transposed one, a dense layer and a bias, odd sizes: written, opened, and read back */
static void test_compress(void) {
    const char *path = "build/test_compress.safetensors", *original = "build/test_original.safetensors";
    long count[4] = { 3 * 3 * 2 * 5, 2 * 3 * 7 * 3, 11 * 5, 5 };
    float *w[4], got[200];
    state = 7;
    for (int i = 0; i < 4; i++) w[i] = drawn(count[i], 1 + (float)i, 0);
    for (int i = 0; i < 3 * 3 * 2; i++) w[0][5 * i + 3] = 0;              /* an output channel of zeros */
    StTensor t[] = { { "g.1.conv2d.weight", "F32", 4, { 3, 3, 2, 5 }, w[0], 4 * (size_t)count[0] },
                     { "g.2.conv2d_transpose.weight", "F32", 4, { 2, 3, 7, 3 }, w[1], 4 * (size_t)count[1] },
                     { "g.3.dense.weight", "F32", 2, { 11, 5 }, w[2], 4 * (size_t)count[2] }, { "g.3.dense.bias", "F32", 1, { 5 }, w[3], 4 * (size_t)count[3] },
                     { "g.adam_m", "F32", 1, { 5 }, w[3], 4 * (size_t)count[3] }, { "d.1.dense.weight", "F32", 2, { 11, 5 }, w[2], 4 * (size_t)count[2] } };
    StMeta meta = { "recipe", "dcgan" };
    StFile file, small;
    CompressReport report;
    CHECK(st_write(original, t, 6, &meta, 1) && st_open(&file, original), "%s", error_text());
    for (int int8 = 0; int8 < 2; int8++)
        for (int half = 0; half < 2; half++) {
            CHECK(compress_write(path, &file, half ? 0.5 : 0, int8, &report), "%s", error_text());
            CHECK(st_open(&small, path), "%s", error_text());
            CHECK(small.count == (int8 ? 7 : 4), "the generator alone: %d tensors", small.count);
            CHECK(st_meta(&small, "recipe") && st_meta(&small, "compressed"), "the metadata");
            CHECK(!compress_write("build/test_twice.safetensors", &small, 0, int8, &report), "a compressed file is not compressed again");
            for (int i = 0; i < 4; i++) {
                const StTensor *s = st_find(&small, t[i].name);
                int good = s ? compress_read(&small, s, got, count[i]) : fail("is missing");
                CHECK(good, "%s: %s", t[i].name, error_text());
                if (!good) continue;
                long channels = i == 1 ? 7 : t[i].shape[t[i].rank - 1], inner = i == 1 ? 3 : 1, zeros = 0;
                float largest[16] = {0}, kept = 9, lost = 0;
                for (long k = 0; k < count[i]; k++) {
                    long o = k / inner % channels;
                    largest[o] = fmaxf(largest[o], fabsf(w[i][k]));
                }
                for (long k = 0; k < count[i]; k++) {
                    float size = fabsf(w[i][k]), step = int8 ? largest[k / inner % channels] / 127 : size / 1024;
                    zeros += got[k] == 0;
                    if (got[k] == 0) lost = fmaxf(lost, size - step); else kept = fminf(kept, size);
                    if (half && got[k] == 0) continue;
                    CLOSE(got[k], w[i][k], i == 3 ? 0 : step * 0.5001, 0, "%s, number %ld, within half a step", t[i].name, k);
                }
                if (half && i < 3) CHECK(zeros >= count[i] / 2 && lost <= kept, "%s: the smaller half is zero: %ld, %g %g", t[i].name, zeros, lost, kept);
            }
            st_close(&small);
        }
    /* what a stranger may have done to the scales */
    int8_t q[6] = { 1, 2, 3, 4, 5, 6 };
    float scale[3] = { 1, .5f, .25f };
    StTensor odd[] = { { "g.w.scale", "F32", 2, { 1, 3 }, scale, 12 }, { "g.w", "I8", 2, { 2, 3 }, q, 6 } };
    CHECK(st_write(path, odd, 2, NULL, 0) && st_open(&small, path), "%s", error_text());
    CHECK(compress_read(&small, st_find(&small, "g.w"), got, 6) && got[0] == 1 && got[1] == 1 && got[2] == .75f && got[3] == 4 && got[5] == 1.5f, "q times scale");
    CHECK(!compress_read(&small, st_find(&small, "g.w"), got, 5), "another count");
    st_close(&small);
    for (int damage = 0; damage < 3; damage++) {
        StTensor bad[] = { odd[0], odd[1] };
        if (damage == 0) bad[0].name = "g.w.scales";
        if (damage == 1) bad[0].shape[0] = 3, bad[0].shape[1] = 1;
        if (damage == 2) bad[0].rank = 1, bad[0].shape[0] = 3;
        CHECK(st_write(path, bad, 2, NULL, 0) && st_open(&small, path), "%s", error_text());
        CHECK(!compress_read(&small, st_find(&small, "g.w"), got, 6) && strstr(error_text(), "g.w.scale"),
              "scales of another shape: %s", error_text());
        st_close(&small);
    }
    w[2][3] = NAN;
    st_close(&file);
    CHECK(st_write(original, t, 6, &meta, 1) && st_open(&file, original), "%s", error_text());
    CHECK(!compress_write(path, &file, 0, 1, &report) && strstr(error_text(), "g.3.dense.weight"), "NaN is not compressed");
    st_close(&file);
    remove(path), remove(original);
    for (int i = 0; i < 4; i++) free(w[i]);
}

int main(void) {
    test_half();
    test_compress();
    test_golden();
    test_closed_forms();
    test_surface();
    test_errors();
    test_orderings();
    return test_report("measures");
}
