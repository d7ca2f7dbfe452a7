/* layers.h: every operation a GAN is made of, forward and backward, in plain C: the definition that
 * all else is tested against.
 *
 * What is here
 *   struct Ops      the table of operations. A network computes by one `const Ops *` alone.
 *   ops_naive       this file's table: one loop per sum sign, OpenMP over independent outputs.
 *   philox4x32      counter-based random numbers: a function of (seed, stream, index) alone.
 * tiled.h (fast on the CPU) and cuda_kernels.cu (the GPU) fill the same table: tiled_NAME and NAME.
 *
 * How to use it alone
 *   #define LAYERS_IMPLEMENTATION      in exactly one .c file
 *   #include "layers.h"
 *   ops_naive.conv2d_forward(y, x, w, b, &conv);
 *   Define `real` as double before the include to get the same code in double precision.
 *
 * Conventions
 *   - Activations are NHWC: x[n,h,w,c] stands at x[((n*H + h)*W + w)*C + c]. `rows` means N*H*W:
 *     all pixels of a batch; beside `groups` those of one group, in adain those of one picture.
 *   - Convolution weights are HWIO: w[u,v,c,o] at w[((u*K + v)*C + c)*O + o], dense ones w[in,out].
 *   - Outputs come first, then inputs, then sizes. dx stands for dL/dx.
 *   - Forward functions overwrite their output; backward functions ADD (+=) to the gradients they
 *     compute. A gradient may be NULL where the comment says so. `In place`: dx may be dy; then
 *     the gradient takes dy's place and is not added.
 *   - The same bits for any number of threads: work is split by output, each sum has a fixed order.
 *   - F-numbers name the formulas; notebooks-as-md/README.md has the index. */
#ifndef LAYERS_H
#define LAYERS_H
#include <math.h>
#include <stdint.h>

#ifndef real
#define real float
#endif
#ifdef __cplusplus
extern "C" {
#endif

/* The geometry of a convolution from (n,h,w,c) to (n,oh,ow,o): a square kernel, zero padding.
 * Output pixel (p,q) sees input pixels (p*stride + u - pad, q*stride + v - pad), 0 <= u,v < kernel.
 * A transposed convolution reads the struct from right to left: (n,oh,ow,o) to (n,h,w,c). */
typedef struct Conv { int n, h, w, c, oh, ow, o, kernel, stride, pad; } Conv;

/* Signatures that several operations share. A loss of two tensors has a weight for each number. */
typedef void ConvForward(real *y, const real *x, const real *w, const real *b, const Conv *d);
typedef void ConvBackwardInput(real *dx, const real *dy, const real *w, const Conv *d);
typedef void ConvBackwardWeight(real *dw, const real *x, const real *dy, const Conv *d);
typedef void Resize(real *to, const real *from, int n, int h, int w, int c, int factor);
typedef void LossOfTwo(real *loss, const real *a, const real *b, const real *weight, long n);
typedef void LossOfTwoBackward(real *da, const real *a, const real *b, const real *weight,
                               real scale, long n);

typedef struct Ops {
    const char *name;
    /* memory where the table computes: alloc gives zeros, or NULL when there is none left */
    real *(*alloc)(long count);
    void (*release)(real *x);
    void (*upload)(real *here, const real *host, long n);
    void (*download)(real *host, const real *here, long n);
    /* how many reals an operation borrows: a convolution, a Gram matrix, a search */
    long (*conv_scratch)(const Conv *d);
    long (*gram_scratch)(long rows, int c);
    long (*nearest_scratch)(long nx, long ny, int c);
    /* vectors */
    void (*fill)(real *x, real value, long n);
    void (*copy)(real *y, const real *x, long n);
    void (*axpy)(real *y, const real *x, real a, long n);
    void (*scale)(real *x, real a, long n);
    void (*clip)(real *x, real limit, long n);
    void (*clip_norm)(real *x, const real *square, real limit, long n);
    void (*sum_squares)(real *out, const real *x, long n);
    void (*random_uniform)(real *x, long n, uint64_t seed, uint64_t stream);
    void (*random_normal)(real *x, long n, uint64_t seed, uint64_t stream);
    /* F6: dense layers */
    void (*dense_forward)(real *y, const real *x, const real *w, const real *b,
                          int n, int in, int out);
    void (*dense_backward_input)(real *dx, const real *dy, const real *w, int n, int in, int out);
    void (*dense_backward_weight)(real *dw, const real *x, const real *dy, int n, int in, int out);
    void (*bias_backward)(real *db, const real *dy, long rows, int c);
    /* F18: convolution, its two gradients, and the transposed convolution that is one of them */
    ConvForward *conv2d_forward, *conv2d_transpose_forward;
    ConvBackwardInput *conv2d_backward_input, *conv2d_transpose_backward_input;
    ConvBackwardWeight *conv2d_backward_weight, *conv2d_transpose_backward_weight;
    /* depthwise convolution: d->o = d->c, and each channel has a filter of its own */
    ConvForward *depthwise_conv2d_forward;
    ConvBackwardInput *depthwise_conv2d_backward_input;
    ConvBackwardWeight *depthwise_conv2d_backward_weight;
    /* spectral normalisation */
    void (*normalize_vector)(real *x, real *norm, long n);
    void (*spectral_forward)(real *y, const real *w, const real *sigma, long n);
    void (*spectral_backward)(real *dw, const real *dy, const real *y, const real *u, const real *v,
                              const real *sigma, int in, int out);
    /* F17: batch normalisation (groups = 1) and instance normalisation (groups = N) */
    void (*normalize_forward)(real *y, real *mean, real *var, const real *x, const real *gamma,
                              const real *beta, int groups, long rows, int c);
    void (*normalize_backward)(real *dx, real *dgamma, real *dbeta, const real *dy, const real *x,
                               const real *gamma, const real *mean, const real *var,
                               int groups, long rows, int c);
    void (*batchnorm_track)(real *running_mean, real *running_var, const real *mean,
                            const real *var, real momentum, long rows, int c);
    void (*batchnorm_inference)(real *y, const real *x, const real *gamma, const real *beta,
                                const real *running_mean, const real *running_var,
                                long rows, int c);
    /* F16: what AdaIN takes from a style, and how it gives it to a picture */
    void (*moments_forward)(real *y, const real *x, int groups, long rows, int c);
    void (*moments_backward)(real *dx, const real *dy, const real *x, const real *y,
                             int groups, long rows, int c);
    void (*adain_forward)(real *y, real *mean, real *var, const real *x, const real *style,
                          int n, long rows, int c);
    void (*adain_backward)(real *dx, real *dstyle, const real *dy, const real *x, const real *style,
                           const real *mean, const real *var, int n, long rows, int c);
    /* activations */
    void (*leaky_relu_forward)(real *y, const real *x, real slope, long n);
    void (*leaky_relu_backward)(real *dx, const real *dy, const real *y, real slope, long n);
    void (*tanh_forward)(real *y, const real *x, long n);
    void (*tanh_backward)(real *dx, const real *dy, const real *y, long n);
    void (*sigmoid_forward)(real *y, const real *x, long n);
    void (*sigmoid_backward)(real *dx, const real *dy, const real *y, long n);
    void (*dropout_forward)(real *y, const real *x, real rate, long n,
                            uint64_t seed, uint64_t stream, long first);
    void (*dropout_backward)(real *dx, const real *dy, real rate, long n,
                             uint64_t seed, uint64_t stream, long first);
    /* shape */
    void (*add_forward)(real *y, const real *a, const real *b, long n);
    void (*lerp)(real *y, const real *a, const real *b, const real *t, int n, long each);
    void (*concat_forward)(real *y, const real *a, const real *b, long rows, int ca, int cb);
    void (*concat_backward)(real *da, real *db, const real *dy, long rows, int ca, int cb);
    void (*reflect_pad_forward)(real *y, const real *x, int n, int h, int w, int c, int pad);
    void (*reflect_pad_backward)(real *dx, const real *dy, int n, int h, int w, int c, int pad);
    Resize *upsample_forward, *upsample_backward, *avgpool_forward, *avgpool_backward;
    Resize *maxpool_forward;
    void (*maxpool_backward)(real *dx, const real *dy, const real *x,
                             int n, int h, int w, int c, int factor);
    void (*gray_forward)(real *y, const real *x, long rows, int c);
    void (*gray_backward)(real *dx, const real *dy, long rows, int c);
    /* F34: waves, and numbers of the whole picture, at every pixel */
    void (*waves_forward)(real *y, const real *x, const real *k, const real *b, int n, int h, int w,
                          int waves, int others);
    void (*waves_backward)(real *dx, real *dk, const real *dy, const real *x, const real *k, int n,
                           int h, int w, int waves, int others);
    /* losses: forward writes one number, backward adds `scale` times its gradient */
    void (*mean_sigmoid)(real *out, const real *logits, long n);
    void (*bce_logits_forward)(real *loss, const real *logits, real target, long n);
    void (*bce_logits_backward)(real *dlogits, const real *logits, real target, real scale, long n);
    void (*softmax_cross_entropy_forward)(real *loss, const real *logits, const real *label,
                                          long n, int classes);
    void (*softmax_cross_entropy_backward)(real *dlogits, const real *logits, const real *label,
                                           real scale, long n, int classes);
    LossOfTwo *squared_error_forward, *absolute_error_forward;
    LossOfTwoBackward *squared_error_backward, *absolute_error_backward;
    void (*hinge_forward)(real *loss, const real *x, real sign, long n);
    void (*hinge_backward)(real *dx, const real *x, real sign, real scale, long n);
    void (*mean_forward)(real *loss, const real *x, long n);
    void (*mean_backward)(real *dx, real scale, long n);
    void (*gram_forward)(real *g, real *mean, const real *f, long rows, int c);
    void (*gram_backward)(real *df, const real *dg, const real *f, const real *mean,
                          long rows, int c);
    void (*style_loss_forward)(real *loss, const real *g, const real *target, long n);
    void (*style_loss_backward)(real *dg, const real *g, const real *target, real scale, long n);
    void (*total_variation_forward)(real *loss, const real *x, int n, int h, int w, int c);
    void (*total_variation_backward)(real *dx, const real *x, real scale,
                                     int n, int h, int w, int c);
    /* F12: the loss and its gradient by g at once */
    void (*gradient_penalty)(real *loss, real *v, const real *g, int n, long each);
    /* F14: the code of a variational autoencoder */
    void (*gaussian_sample_forward)(real *z, const real *code, long rows, int k,
                                    uint64_t seed, uint64_t stream, long first);
    void (*gaussian_sample_backward)(real *dcode, const real *dz, const real *code,
                                     long rows, int k, uint64_t seed, uint64_t stream, long first);
    void (*kl_forward)(real *loss, const real *code, long rows, int k);
    void (*kl_backward)(real *dcode, const real *code, real scale, long rows, int k);
    /* a number to report */
    void (*batch_std)(real *out, const real *x, int n, long each);
    /* search, order */
    void (*match_ranks)(real *y, real *sorted, const real *x, const real *t, long rows, int c);
    void (*nearest)(real *index, real *least, const real *x, const real *y, const real *weight,
                    long nx, long ny, int c);
    /* F19, and the optimiser of F11 */
    void (*adam_step)(real *p, real *m, real *v, const real *g, long n,
                      real lr, real beta1, real beta2, real eps, long t);
    void (*rmsprop_step)(real *p, real *v, const real *g, long n, real lr, real decay, real eps);
} Ops;

/* The names of all entries from conv_scratch on, once: every table is filled from these lists. The
 * products that tiled.h does faster and the GPU does in three precisions; what else tiled.h does
 * faster; and the entries whose code in this file is fast enough for any CPU. */
#define OPS_PRODUCTS(_) _(dense_forward) _(dense_backward_input) _(dense_backward_weight) \
    _(conv2d_forward) _(conv2d_backward_input) _(conv2d_backward_weight) \
    _(conv2d_transpose_forward) _(conv2d_transpose_backward_input) \
    _(conv2d_transpose_backward_weight)
#define OPS_TILED(_) _(conv_scratch) _(gram_scratch) _(nearest_scratch) _(gram_forward) \
    _(gram_backward) _(nearest) _(bias_backward) _(normalize_forward) _(normalize_backward)
#define OPS_SIMPLE(_) _(fill) _(copy) _(axpy) _(scale) _(clip) _(clip_norm) _(sum_squares) \
    _(random_uniform) _(random_normal) _(depthwise_conv2d_forward) \
    _(depthwise_conv2d_backward_input) _(depthwise_conv2d_backward_weight) _(normalize_vector) \
    _(spectral_forward) _(spectral_backward) _(batchnorm_track) _(batchnorm_inference) \
    _(moments_forward) _(moments_backward) _(adain_forward) _(adain_backward) \
    _(leaky_relu_forward) _(leaky_relu_backward) _(tanh_forward) _(tanh_backward) \
    _(sigmoid_forward) _(sigmoid_backward) _(dropout_forward) _(dropout_backward) _(add_forward) \
    _(lerp) _(concat_forward) _(concat_backward) _(reflect_pad_forward) _(reflect_pad_backward) \
    _(upsample_forward) _(upsample_backward) _(avgpool_forward) _(avgpool_backward) \
    _(maxpool_forward) _(maxpool_backward) _(gray_forward) _(gray_backward) _(waves_forward) \
    _(waves_backward) _(match_ranks) _(mean_sigmoid) _(bce_logits_forward) _(bce_logits_backward) \
    _(softmax_cross_entropy_forward) _(softmax_cross_entropy_backward) _(squared_error_forward) \
    _(squared_error_backward) _(absolute_error_forward) _(absolute_error_backward) \
    _(hinge_forward) _(hinge_backward) _(mean_forward) _(mean_backward) _(style_loss_forward) \
    _(style_loss_backward) _(total_variation_forward) _(total_variation_backward) \
    _(gradient_penalty) _(gaussian_sample_forward) _(gaussian_sample_backward) _(kl_forward) \
    _(kl_backward) _(batch_std) _(adam_step) _(rmsprop_step)
#define OPS(_) OPS_PRODUCTS(_) OPS_TILED(_) OPS_SIMPLE(_)

extern const Ops ops_naive;

#define NORM_EPS 1e-5              /* added to a variance before its square root is taken (F17) */
#define TURN 6.283185307179586     /* radians (F34) */

/* ---------------------------------------------------------------------- random numbers, shared
 * cuda_kernels.cu compiles the same text for the GPU: the same bits. */
#ifdef __CUDACC__
#define CPU_AND_GPU __host__ __device__ static inline
#else
#define CPU_AND_GPU static inline
#endif

/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011).
 * out: four random 32-bit words; key = seed, counter = (index, stream). A block cipher without
 * memory: any thread, CPU or GPU, first or resumed run, gets the same words for the same three. */
CPU_AND_GPU void philox4x32(uint32_t out[4], uint64_t seed, uint64_t stream, uint64_t index) {
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32);
    uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u;               /* the golden ratio and sqrt(3) - 1, as 32-bit fractions */
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* Element i of a stream: 32 bits; uniform in [0,1), 24 bits; an integer in [0,n), 0 < n < 2^31 */
CPU_AND_GPU uint32_t philox_word(uint64_t seed, uint64_t stream, uint64_t i) {
    uint32_t r[4];
    philox4x32(r, seed, stream, i / 4);
    return r[i % 4];
}
CPU_AND_GPU float philox_uniform(uint64_t seed, uint64_t stream, uint64_t i) {
    return (float)(philox_word(seed, stream, i) >> 8) * 0x1p-24f;
}
CPU_AND_GPU int philox_below(uint64_t seed, uint64_t stream, uint64_t i, int n) {
    return (int)((uint64_t)philox_word(seed, stream, i) * (uint64_t)n >> 32);
}

/* Two words to two independent normals: r = sqrt(-2 ln u1), (r cos 2 pi u2, r sin 2 pi u2)
 * (Box and Muller, 1958). Every IEEE machine rounds fmaf alike: a GPU draws the same bits. */
CPU_AND_GPU void box_muller(float z[2], uint32_t k1, uint32_t k2) {
    int e;                                   /* u1 = (k1 + 1/2) / 2^32 = m 2^e, in (0,1] */
    float m = frexpf(fmaf((float)k1, 0x1p-32f, 0x1p-33f), &e);
    if (m < 0.70710678f) m *= 2, e--;
    float s = (m - 1) / (m + 1), s2 = s * s; /* ln m = 2 (s + s^3/3 + s^5/5 + ...) */
    float series = fmaf(s2, fmaf(s2, fmaf(s2, fmaf(s2, 1 / 9.f, 1 / 7.f), 1 / 5.f), 1 / 3.f), 1.f);
    float r = sqrtf(-2 * fmaf((float)e, 0.69314718f, (s + s) * series));
    float t = (float)(k2 & 0x3FFFFFFF) * 0x1p-30f * 1.57079633f;      /* the angle in its quarter */
    float t2 = t * t;
    float cosine = fmaf(t2, fmaf(t2, fmaf(t2, fmaf(t2, fmaf(t2, fmaf(t2, 2.0876757e-9f,
                        -2.7557319e-7f), 2.4801587e-5f), -1.3888889e-3f), 4.1666668e-2f),
                        -0.5f), 1.f);
    float sine = t * fmaf(t2, fmaf(t2, fmaf(t2, fmaf(t2, fmaf(t2, -2.5052108e-8f, 2.7557319e-6f),
                          -1.9841270e-4f), 8.3333333e-3f), -1.6666667e-1f), 1.f);
    if (k2 >> 31) r = -r;                    /* the third and fourth quarter: half a turn */
    z[0] = r * (k2 >> 30 & 1 ? -sine : cosine);
    z[1] = r * (k2 >> 30 & 1 ? cosine : sine);
}

/* Elements 4 block .. 4 block + 3 of a stream of normals; and element i alone. */
CPU_AND_GPU void philox_normals(float z[4], uint64_t seed, uint64_t stream, uint64_t block) {
    uint32_t k[4];
    philox4x32(k, seed, stream, block);
    box_muller(z, k[0], k[1]);
    box_muller(z + 2, k[2], k[3]);
}
CPU_AND_GPU float philox_normal(uint64_t seed, uint64_t stream, uint64_t i) {
    float z[4];
    philox_normals(z, seed, stream, i / 4);
    return z[i % 4];
}
#ifdef __cplusplus
}
#endif
#endif

#if defined(LAYERS_IMPLEMENTATION) && !defined(LAYERS_IMPLEMENTED)
#define LAYERS_IMPLEMENTED
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------------- memory and vectors */

static real *naive_alloc(long count) {                /* aligned as the widest vectors are */
    size_t bytes = ((size_t)count * sizeof(real) + 63) / 64 * 64;
    real *x = count < 0 || (size_t)count > SIZE_MAX / 2 / sizeof(real) ? NULL
              : aligned_alloc(64, bytes ? bytes : 64);
    return x ? memset(x, 0, bytes ? bytes : 64) : NULL;
}
static void naive_release(real *x) { free(x); }
static long conv_scratch(const Conv *d) { (void)d; return 0; }
static long gram_scratch(long rows, int c) { (void)rows, (void)c; return 0; }
static long nearest_scratch(long nx, long ny, int c) { (void)nx, (void)ny, (void)c; return 0; }

/* Large sums are cut into 64 slices whatever the number of threads: that fixes their order. A loop
 * of fewer than WORTH rounds is not worth waking another thread: if(parallel: ..), because a bare
 * if(..) would also take the vectors from its simd. */
enum { SLICES = 64, WORTH = 1 << 13 };

/* x = value   x: (n) */
static void fill(real *x, real value, long n) {
    #pragma omp parallel for simd if(parallel: n > WORTH)
    for (long i = 0; i < n; i++) x[i] = value;
}

/* y = x   x, y: (n)   move: by one thread */
static void move(real *y, const real *x, long n) { memcpy(y, x, sizeof(real) * (size_t)n); }
static void copy(real *y, const real *x, long n) {
    #pragma omp parallel for simd if(parallel: n > WORTH)
    for (long i = 0; i < n; i++) y[i] = x[i];
}

/* y += a x   x, y: (n) */
static void axpy(real *y, const real *x, real a, long n) {
    #pragma omp parallel for simd if(parallel: n > WORTH)
    for (long i = 0; i < n; i++) y[i] += a * x[i];
}

/* x *= a   x: (n) */
static void scale(real *x, real a, long n) {
    #pragma omp parallel for simd if(parallel: n > WORTH)
    for (long i = 0; i < n; i++) x[i] *= a;
}

/* x = min(max(x, -limit), limit), NaN stays NaN   x: (n)   F11, weight clipping */
static void clip(real *x, real limit, long n) {
    for (long i = 0; i < n; i++) x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

/* x *= min(1, limit / sqrt(square))   x: (n), square: (1), limit > 0
 * sum_squares, then this, bound a gradient's norm. Where square is NaN, some x is NaN already: then
 * all stay as they are, so that the first NaN can be found. */
static void clip_norm(real *x, const real *square, real limit, long n) {
    double norm = sqrt((double)*square);
    if (norm > limit) scale(x, (real)(limit / norm), n);
}

static double add_slices(const double partial[SLICES]) {
    double total = 0;
    for (int s = 0; s < SLICES; s++) total += partial[s];
    return total;
}

/* out = sum_i x_i^2   x: (n), out: (1)   slices of 16 lanes; not finite as soon as one x is not */
static void sum_squares(real *out, const real *x, long n) {
    enum { LANES = 16 };
    double partial[SLICES];
    #pragma omp parallel for
    for (int s = 0; s < SLICES; s++) {
        long i = n * s / SLICES, end = n * (s + 1) / SLICES;
        double lane[LANES] = {0};
        for (; i + LANES <= end; i += LANES)
            for (int j = 0; j < LANES; j++) lane[j] += (double)x[i + j] * x[i + j];
        for (; i < end; i++) lane[0] += (double)x[i] * x[i];
        partial[s] = 0;
        for (int j = 0; j < LANES; j++) partial[s] += lane[j];
    }
    *out = (real)add_slices(partial);
}

/* ------------------------------------------------------------------------------ random numbers */

/* x_i uniform in [0,1)   x: (n) */
static void random_uniform(real *x, long n, uint64_t seed, uint64_t stream) {
    for (long i = 0; i < n; i++) x[i] = philox_uniform(seed, stream, i);
}

/* x_i ~ N(0,1)   x: (n)   Block i of four words gives elements 4i .. 4i+3. */
static void random_normal(real *x, long n, uint64_t seed, uint64_t stream) {
    #pragma omp parallel for
    for (long i = 0; i < (n + 3) / 4; i++) {
        float z[4];
        philox_normals(z, seed, stream, i);
        for (int j = 0; j < 4 && 4 * i + j < n; j++) x[4 * i + j] = z[j];
    }
}

/* ----------------------------------------------------------------------------------- F6: dense */

/* y[n,o] = b[o] + sum_i x[n,i] w[i,o]   x: (N,in)  w: (in,out)  b: (out) or NULL  y: (N,out) */
static void dense_forward(real *y, const real *x, const real *w, const real *b,
                          int n, int in, int out) {
    #pragma omp parallel for
    for (long r = 0; r < n; r++)
        for (long o = 0; o < out; o++) {
            real sum = b ? b[o] : 0;
            for (long i = 0; i < in; i++) sum += x[r * in + i] * w[i * out + o];
            y[r * out + o] = sum;
        }
}
/* dx[n,i] += sum_o dy[n,o] w[i,o] */
static void dense_backward_input(real *dx, const real *dy, const real *w, int n, int in, int out) {
    #pragma omp parallel for
    for (long r = 0; r < n; r++)
        for (long i = 0; i < in; i++) {
            real sum = 0;
            for (long o = 0; o < out; o++) sum += dy[r * out + o] * w[i * out + o];
            dx[r * in + i] += sum;
        }
}
/* dw[i,o] += sum_n x[n,i] dy[n,o] */
static void dense_backward_weight(real *dw, const real *x, const real *dy, int n, int in, int out) {
    #pragma omp parallel for
    for (long i = 0; i < in; i++)
        for (long o = 0; o < out; o++) {
            real sum = 0;
            for (long r = 0; r < n; r++) sum += x[r * in + i] * dy[r * out + o];
            dw[i * out + o] += sum;
        }
}

/* Sums over rows take 16 channels c0, c0 + 1 .. at a time: they share a cache line.
 * sum[j] += sum_r x[r,j]   square[j] += sum_r (x[r,j] - mean[j])^2   x: the first of `lanes` <= 16
 * neighbouring channels of a (rows,C) matrix */
enum { LINE = 16 };
static int lanes_at(int c0, int c) { return c - c0 < LINE ? c - c0 : LINE; }
/* for each lane j < lanes, which is nearly always LINE or half of it: constants make it vectors */
#define EACH_LANE(j, statement) \
    if (lanes == LINE) { _Pragma("omp simd") for (int j = 0; j < LINE; j++) { statement; } } \
    else if (lanes == LINE / 2) { \
        _Pragma("omp simd") for (int j = 0; j < LINE / 2; j++) { statement; } \
    } else for (int j = 0; j < lanes; j++) { statement; }
static void add_rows(double sum[LINE], const real *x, long rows, int c, int lanes) {
    for (long r = 0; r < rows; r++) EACH_LANE(j, sum[j] += x[r * c + j])
}
static void add_squares(double square[LINE], const double mean[LINE], const real *x,
                        long rows, int c, int lanes) {
    for (long r = 0; r < rows; r++)
        EACH_LANE(j, square[j] += (x[r * c + j] - mean[j]) * (x[r * c + j] - mean[j]))
}

/* db[c] += sum_r dy[r,c]   dy: (rows,C): the gradient of every `+ b`, dense or convolution */
static void bias_backward(real *db, const real *dy, long rows, int c) {
    #pragma omp parallel for
    for (int c0 = 0; c0 < c; c0 += LINE) {
        double sum[LINE] = {0};
        add_rows(sum, dy + c0, rows, c, lanes_at(c0, c));
        for (int j = 0; j < lanes_at(c0, c); j++) db[c0 + j] += (real)sum[j];
    }
}

/* ---------------------------------------------------------------------------- F18: convolution */

/* Where x[n,i,j,c] (N,H,W,C), y[n,p,q,o] (N,OH,OW,O) and w[u,v,c,o] (K,K,C,O) stand. */
static long at_x(const Conv *d, long n, int i, int j, int c) {
    return ((n * d->h + i) * d->w + j) * d->c + c;
}
static long at_y(const Conv *d, long n, int p, int q, int o) {
    return ((n * d->oh + p) * d->ow + q) * d->o + o;
}
static long at_w(const Conv *d, long u, int v, int c, int o) {
    return ((u * d->kernel + v) * d->c + c) * d->o + o;
}
/* Is (i,j) a pixel of x? Is there an output pixel (p,q) with p*s = ps and q*s = qs? */
static int in_x(const Conv *d, int i, int j) { return i >= 0 && i < d->h && j >= 0 && j < d->w; }
static int in_y(const Conv *d, int ps, int qs) {
    int s = d->stride;
    return ps >= 0 && qs >= 0 && ps % s == 0 && qs % s == 0 && ps / s < d->oh && qs / s < d->ow;
}

/* y[n,p,q,o] += sum_{u,v,c} x[n, p*s+u-pad, q*s+v-pad, c] w[u,v,c,o]   x is zero outside (H,W)
 * x: (N,H,W,C)  w: (K,K,C,O)  y: (N,OH,OW,O)
 * The heart of conv2d_forward and of conv2d_transpose_backward_input. */
static void convolve(real *y, const real *x, const real *w, const Conv *d) {
    int s = d->stride, K = d->kernel;
    #pragma omp parallel for collapse(2)
    for (int n = 0; n < d->n; n++)
        for (int p = 0; p < d->oh; p++)
            for (int q = 0; q < d->ow; q++)
                for (int o = 0; o < d->o; o++) {
                    real sum = 0;
                    for (int u = 0; u < K; u++)
                        for (int v = 0; v < K; v++) {
                            int i = p * s + u - d->pad, j = q * s + v - d->pad;
                            if (!in_x(d, i, j)) continue;
                            for (int c = 0; c < d->c; c++)
                                sum += x[at_x(d, n, i, j, c)] * w[at_w(d, u, v, c, o)];
                        }
                    y[at_y(d, n, p, q, o)] += sum;
                }
}

/* every row of y = b, or zero   y: (rows,C)  b: (C) or NULL: where a layer's output starts from */
static void broadcast_bias(real *y, const real *b, long rows, int c) {
    #pragma omp parallel for
    for (long r = 0; r < rows; r++)
        for (int j = 0; j < c; j++) y[r * c + j] = b ? b[j] : 0;
}

/* y[n,p,q,o] = b[o] + sum_{u,v,c} x[n, p*s+u-pad, q*s+v-pad, c] w[u,v,c,o]   b: (O) or NULL */
static void conv2d_forward(real *y, const real *x, const real *w, const real *b, const Conv *d) {
    broadcast_bias(y, b, (long)d->n * d->oh * d->ow, d->o);
    convolve(y, x, w, d);
}
/* dx[n,i,j,c] += sum_{u,v,o} dy[n,p,q,o] w[u,v,c,o]   where p*s+u-pad = i and q*s+v-pad = j
 * The same products as the forward sum, collected by input pixel. */
static void conv2d_backward_input(real *dx, const real *dy, const real *w, const Conv *d) {
    int s = d->stride, K = d->kernel;
    #pragma omp parallel for collapse(2)
    for (int n = 0; n < d->n; n++)
        for (int i = 0; i < d->h; i++)
            for (int j = 0; j < d->w; j++)
                for (int c = 0; c < d->c; c++) {
                    real sum = 0;
                    for (int u = 0; u < K; u++)
                        for (int v = 0; v < K; v++) {
                            int ps = i + d->pad - u, qs = j + d->pad - v;
                            if (!in_y(d, ps, qs)) continue;
                            for (int o = 0; o < d->o; o++)
                                sum += dy[at_y(d, n, ps / s, qs / s, o)] * w[at_w(d, u, v, c, o)];
                        }
                    dx[at_x(d, n, i, j, c)] += sum;
                }
}
/* dw[u,v,c,o] += sum_{n,p,q} x[n, p*s+u-pad, q*s+v-pad, c] dy[n,p,q,o] */
static void conv2d_backward_weight(real *dw, const real *x, const real *dy, const Conv *d) {
    int s = d->stride, K = d->kernel;
    #pragma omp parallel for collapse(3)
    for (int u = 0; u < K; u++)
        for (int v = 0; v < K; v++)
            for (int c = 0; c < d->c; c++)
                for (int o = 0; o < d->o; o++) {
                    real sum = 0;
                    for (int n = 0; n < d->n; n++)
                        for (int p = 0; p < d->oh; p++)
                            for (int q = 0; q < d->ow; q++) {
                                int i = p * s + u - d->pad, j = q * s + v - d->pad;
                                if (in_x(d, i, j))
                                    sum += x[at_x(d, n, i, j, c)] * dy[at_y(d, n, p, q, o)];
                            }
                    dw[at_w(d, u, v, c, o)] += sum;
                }
}

/* Transposed convolution: the input gradient of convolution d as a layer; its shapes swap places:
 * y[n,i,j,c] = b[c] + sum_{u,v,o} x[n,p,q,o] w[u,v,c,o]
 * x: (N,OH,OW,O)  w: (K,K,C,O)  b: (C) or NULL  y: (N,H,W,C)
 * Its gradients are the forward pass and the weight gradient of d.   (Dumoulin and Visin, 2016) */
static void conv2d_transpose_forward(real *y, const real *x, const real *w, const real *b,
                                     const Conv *d) {
    broadcast_bias(y, b, (long)d->n * d->h * d->w, d->c);
    conv2d_backward_input(y, x, w, d);
}
/* dx[n,p,q,o] += sum_{u,v,c} dy[n, p*s+u-pad, q*s+v-pad, c] w[u,v,c,o]   dx: (N,OH,OW,O) */
static void conv2d_transpose_backward_input(real *dx, const real *dy, const real *w,
                                            const Conv *d) {
    convolve(dx, dy, w, d);
}
/* dw[u,v,c,o] += sum_{n,p,q} dy[n, p*s+u-pad, q*s+v-pad, c] x[n,p,q,o] */
static void conv2d_transpose_backward_weight(real *dw, const real *x, const real *dy,
                                             const Conv *d) {
    conv2d_backward_weight(dw, dy, x, d);
}

/* y[n,p,q,c] = b[c] + sum_{u,v} x[n, p*s+u-pad, q*s+v-pad, c] w[u,v,c]   x is zero outside (H,W)
 * x: (N,H,W,C)  w: (K,K,C)  b: (C) or NULL  y: (N,OH,OW,C), so d->o = d->c
 * A 1x1 convolution after it mixes the channels (Chollet 2017, Howard et al. 2017). */
static void depthwise_conv2d_forward(real *y, const real *x, const real *w, const real *b,
                                     const Conv *d) {
    int s = d->stride, K = d->kernel, C = d->c;
    #pragma omp parallel for collapse(2)
    for (int n = 0; n < d->n; n++)
        for (int p = 0; p < d->oh; p++)
            for (int q = 0; q < d->ow; q++) {
                real *to = y + at_y(d, n, p, q, 0);
                for (int c = 0; c < C; c++) to[c] = b ? b[c] : 0;
                for (int u = 0; u < K; u++)
                    for (int v = 0; v < K; v++) {
                        int i = p * s + u - d->pad, j = q * s + v - d->pad;
                        if (!in_x(d, i, j)) continue;
                        for (int c = 0; c < C; c++)
                            to[c] += x[at_x(d, n, i, j, c)] * w[(u * K + v) * C + c];
                    }
            }
}
/* dx[n,i,j,c] += sum_{u,v} dy[n,p,q,c] w[u,v,c]   where p*s+u-pad = i and q*s+v-pad = j */
static void depthwise_conv2d_backward_input(real *dx, const real *dy, const real *w,
                                            const Conv *d) {
    int s = d->stride, K = d->kernel, C = d->c;
    #pragma omp parallel for collapse(2)
    for (int n = 0; n < d->n; n++)
        for (int i = 0; i < d->h; i++)
            for (int j = 0; j < d->w; j++)
                for (int u = 0; u < K; u++)
                    for (int v = 0; v < K; v++) {
                        int ps = i + d->pad - u, qs = j + d->pad - v;
                        if (!in_y(d, ps, qs)) continue;
                        real *to = dx + at_x(d, n, i, j, 0);
                        for (int c = 0; c < C; c++)
                            to[c] += dy[at_y(d, n, ps / s, qs / s, c)] * w[(u * K + v) * C + c];
                    }
}
/* dw[u,v,c] += sum_{n,p,q} x[n, p*s+u-pad, q*s+v-pad, c] dy[n,p,q,c] */
static void depthwise_conv2d_backward_weight(real *dw, const real *x, const real *dy,
                                             const Conv *d) {
    int s = d->stride, K = d->kernel, C = d->c;
    #pragma omp parallel for collapse(3)
    for (int u = 0; u < K; u++)
        for (int v = 0; v < K; v++)
            for (int c0 = 0; c0 < C; c0 += LINE) {
                double sum[LINE] = {0};
                int lanes = lanes_at(c0, C);
                for (int n = 0; n < d->n; n++)
                    for (int p = 0; p < d->oh; p++)
                        for (int q = 0; q < d->ow; q++) {
                            int i = p * s + u - d->pad, j = q * s + v - d->pad;
                            if (!in_x(d, i, j)) continue;
                            const real *a = x + at_x(d, n, i, j, c0);
                            const real *b = dy + at_y(d, n, p, q, c0);
                            for (int k = 0; k < lanes; k++) sum[k] += (double)a[k] * b[k];
                        }
                for (int k = 0; k < lanes; k++) dw[(u * K + v) * C + c0 + k] += (real)sum[k];
            }
}

/* ---------------------------------------------------------------------- spectral normalisation */

/* norm = |x|   x /= max(norm, 1e-12)   x: (n) in place, norm: (1)
 * For the power iteration: v = W^T u, u = W v; then |W v| is the largest singular value of W. */
static void normalize_vector(real *x, real *norm, long n) {
    sum_squares(norm, x, n);
    *norm = (real)sqrt((double)*norm);
    real length = *norm < (real)1e-12 ? (real)1e-12 : *norm;
    #pragma omp parallel for simd if(parallel: n > WORTH)
    for (long i = 0; i < n; i++) x[i] /= length;
}

/* F23: y = w / sigma   w, y: (n), sigma: (1)
 * (Miyato, Kataoka, Koyama, Yoshida 2018: a dense layer so divided is 1-Lipschitz) */
static void spectral_forward(real *y, const real *w, const real *sigma, long n) {
    #pragma omp parallel for simd if(parallel: n > WORTH)
    for (long i = 0; i < n; i++) y[i] = w[i] / *sigma;
}
/* dw[i,o] += (dy[i,o] - u[i] v[o] sum_{k,l} dy[k,l] y[k,l]) / sigma
 * The gradient where sigma = u^T W v, with u and v held constant.
 * dw, dy, y: (in,out), of a convolution (K K C,O)  u: (in)  v: (out)  sigma: (1) */
static void spectral_backward(real *dw, const real *dy, const real *y, const real *u,
                              const real *v, const real *sigma, int in, int out) {
    double partial[SLICES];
    long n = (long)in * out;
    #pragma omp parallel for
    for (int s = 0; s < SLICES; s++) {
        partial[s] = 0;
        for (long i = n * s / SLICES; i < n * (s + 1) / SLICES; i++)
            partial[s] += (double)dy[i] * y[i];
    }
    double dot = add_slices(partial);
    #pragma omp parallel for
    for (long i = 0; i < in; i++) {
        real k = (real)(dot * u[i]);
        for (int o = 0; o < out; o++) dw[i * out + o] += (dy[i * out + o] - k * v[o]) / *sigma;
    }
}

/* -------------------------------------------------------------------------- F17: normalisation */

/* mu = 1/R sum_r x[g,r,c]   var = 1/R sum_r (x[g,r,c] - mu)^2
 * y = gamma_c (x - mu) / sqrt(var + eps) + beta_c
 * x, y: (groups,rows,C)  mean, var: (groups,C)  gamma, beta: (C)
 * groups = 1, rows = N*H*W: batch normalisation (Ioffe, Szegedy 2015).
 * groups = N, rows = H*W: instance normalisation (Ulyanov, Vedaldi, Lempitsky 2016). */
static void normalize_forward(real *y, real *mean, real *var, const real *x, const real *gamma,
                              const real *beta, int groups, long rows, int c) {
    #pragma omp parallel for collapse(2)
    for (int g = 0; g < groups; g++)
        for (int c0 = 0; c0 < c; c0 += LINE) {
            long at = g * rows * c + c0, channel = (long)g * c + c0;
            double mean_[LINE] = {0}, square[LINE] = {0};
            real a[LINE], b[LINE], mu[LINE];
            int lanes = lanes_at(c0, c);
            add_rows(mean_, x + at, rows, c, lanes);
            for (int j = 0; j < lanes; j++)
                mean_[j] = mu[j] = mean[channel + j] = (real)(mean_[j] / rows);
            add_squares(square, mean_, x + at, rows, c, lanes);
            for (int j = 0; j < lanes; j++) {
                real v = var[channel + j] = (real)(square[j] / rows);
                a[j] = gamma[c0 + j] / (real)sqrt((double)v + NORM_EPS);
                b[j] = beta[c0 + j];
            }
            for (long i = at; i < at + rows * c; i += c)
                EACH_LANE(j, y[i + j] = a[j] * (x[i + j] - mu[j]) + b[j])
        }
}
/* With h = (x - mu) / sqrt(var + eps) and the means taken over the rows of a group:
 * dgamma_c += sum_{g,r} dy h     dbeta_c += sum_{g,r} dy     (both may be NULL)
 * dx += gamma_c / sqrt(var + eps) (dy - mean(dy) - h mean(dy h)), also in place */
static void normalize_backward(real *dx, real *dgamma, real *dbeta, const real *dy, const real *x,
                               const real *gamma, const real *mean, const real *var,
                               int groups, long rows, int c) {
    #pragma omp parallel for
    for (int c0 = 0; c0 < c; c0 += LINE) {
        int lanes = lanes_at(c0, c);
        for (int g = 0; g < groups; g++) {
            long at = g * rows * c + c0, channel = (long)g * c + c0;
            double sum[LINE] = {0}, dot[LINE] = {0};
            real k[LINE], mu[LINE], rstd[LINE], mean_dy[LINE], mean_dyh[LINE];
            for (int j = 0; j < lanes; j++) {
                mu[j] = mean[channel + j];
                rstd[j] = (real)(1 / sqrt((double)var[channel + j] + NORM_EPS));
                k[j] = gamma[c0 + j] * rstd[j];
            }
            for (long i = at; i < at + rows * c; i += c)
                EACH_LANE(j, sum[j] += dy[i + j];
                          dot[j] += dy[i + j] * ((x[i + j] - mu[j]) * rstd[j]))
            for (int j = 0; j < lanes; j++) {
                mean_dy[j] = (real)(sum[j] / rows);
                mean_dyh[j] = (real)(dot[j] / rows);
                if (dgamma) dgamma[c0 + j] += (real)dot[j];
                if (dbeta) dbeta[c0 + j] += (real)sum[j];
            }
            for (long i = at; i < at + rows * c; i += c)
                EACH_LANE(j, dx[i + j] = (dx == dy ? 0 : dx[i + j]) + k[j] * (dy[i + j] - mean_dy[j]
                                         - (x[i + j] - mu[j]) * rstd[j] * mean_dyh[j]))
        }
    }
}

/* running += momentum (batch - running), the variance with R/(R-1), as PyTorch does   all: (C) */
static void batchnorm_track(real *running_mean, real *running_var, const real *mean,
                            const real *var, real momentum, long rows, int c) {
    double unbiased = rows > 1 ? (double)rows / (double)(rows - 1) : 1;
    for (int j = 0; j < c; j++) {
        running_mean[j] += momentum * (mean[j] - running_mean[j]);
        running_var[j] += momentum * ((real)(var[j] * unbiased) - running_var[j]);
    }
}

/* y = gamma_c (x - running_mean_c) / sqrt(running_var_c + eps) + beta_c   x, y: (rows,C) */
static void batchnorm_inference(real *y, const real *x, const real *gamma, const real *beta,
                                const real *running_mean, const real *running_var,
                                long rows, int c) {
    #pragma omp parallel for
    for (long r = 0; r < rows; r++)
        for (int j = 0; j < c; j++)
            y[r * c + j] = gamma[j] / (real)sqrt((double)running_var[j] + NORM_EPS)
                           * (x[r * c + j] - running_mean[j]) + beta[j];
}

/* F16: y[g,0,c] = sqrt(var + eps)   y[g,1,c] = mu
 * mu = 1/R sum_r x[g,r,c]   var = 1/R sum_r (x[g,r,c] - mu)^2   x: (groups,rows,C)  y: (groups,2,C)
 * With groups = N the style of a picture as AdaIN sees it (Huang, Belongie 2017): a picture of mean
 * 0 and variance 1 per channel, times y[g,0], plus y[g,1], takes it on. */
static void moments_forward(real *y, const real *x, int groups, long rows, int c) {
    #pragma omp parallel for collapse(2)
    for (int g = 0; g < groups; g++)
        for (int c0 = 0; c0 < c; c0 += LINE) {
            const real *from = x + g * rows * c + c0;
            real *to = y + 2L * g * c + c0;
            double mu[LINE] = {0}, square[LINE] = {0};
            int lanes = lanes_at(c0, c);
            add_rows(mu, from, rows, c, lanes);
            for (int j = 0; j < lanes; j++) mu[j] /= rows;
            add_squares(square, mu, from, rows, c, lanes);
            for (int j = 0; j < lanes; j++)
                to[j] = (real)sqrt(square[j] / rows + NORM_EPS), to[c + j] = (real)mu[j];
        }
}
/* dx[g,r,c] += 1/R (dy[g,0,c] (x[g,r,c] - y[g,1,c]) / y[g,0,c] + dy[g,1,c]) */
static void moments_backward(real *dx, const real *dy, const real *x, const real *y,
                             int groups, long rows, int c) {
    #pragma omp parallel for
    for (long r = 0; r < groups * rows; r++) {
        const real *yg = y + r / rows * 2 * c, *dyg = dy + r / rows * 2 * c;
        for (int j = 0; j < c; j++)
            dx[r * c + j] += (dyg[j] * (x[r * c + j] - yg[c + j]) / yg[j] + dyg[c + j]) / rows;
    }
}

/* F16, AdaIN: instance normalisation whose gamma and beta are each picture's own,
 * y = s[i,0,c] (x - mu) / sqrt(var + eps) + s[i,1,c]   (Huang, Belongie 2017)
 * x, y: (n,rows,C)   mean, var: (n,C)   style: (n,2,C), as moments_forward gives it */
static void adain_forward(real *y, real *mean, real *var, const real *x, const real *style,
                          int n, long rows, int c) {
    #pragma omp parallel for
    for (long i = 0; i < (long)n * c; i += c)
        normalize_forward(y + i * rows, mean + i, var + i, x + i * rows, style + 2 * i,
                          style + 2 * i + c, 1, rows, c);
}
/* dx and dstyle += those of normalize_backward, for each picture, also in place */
static void adain_backward(real *dx, real *dstyle, const real *dy, const real *x, const real *style,
                           const real *mean, const real *var, int n, long rows, int c) {
    #pragma omp parallel for
    for (long i = 0; i < (long)n * c; i += c)
        normalize_backward(dx + i * rows, dstyle + 2 * i, dstyle + 2 * i + c, dy + i * rows,
                           x + i * rows, style + 2 * i, mean + i, var + i, 1, rows, c);
}

/* -------------------------------------------------------------------------------- activations */

/* y = x > 0 ? x : slope x   slope 0 is relu   x, y: (n) */
static void leaky_relu_forward(real *y, const real *x, real slope, long n) {
    #pragma omp parallel for simd if(parallel: n > WORTH)
    for (long i = 0; i < n; i++) y[i] = (x[i] > 0 ? 1 : slope) * x[i];
}
/* dx += dy (y > 0 ? 1 : slope), also in place   for slope >= 0 the sign of y is the sign of x */
static void leaky_relu_backward(real *dx, const real *dy, const real *y, real slope, long n) {
    if (dx == dy) {
        #pragma omp parallel for simd if(parallel: n > WORTH)
        for (long i = 0; i < n; i++) dx[i] *= y[i] > 0 ? 1 : slope;
        return;
    }
    #pragma omp parallel for simd if(parallel: n > WORTH)
    for (long i = 0; i < n; i++) dx[i] += (y[i] > 0 ? 1 : slope) * dy[i];
}

/* y = tanh x   x, y: (n) */
static void tanh_forward(real *y, const real *x, long n) {
    #pragma omp parallel for if(n > WORTH)
    for (long i = 0; i < n; i++)
        y[i] = sizeof(real) == 4 ? (real)tanhf((float)x[i]) : (real)tanh((double)x[i]);
}
/* dx += dy (1 - y^2) */
static void tanh_backward(real *dx, const real *dy, const real *y, long n) {
    #pragma omp parallel for simd if(parallel: n > WORTH)
    for (long i = 0; i < n; i++) dx[i] += dy[i] * (1 - y[i] * y[i]);
}

/* y = 1 / (1 + exp(-x)), written so that exp never overflows */
static real sigmoid(real x) {
    double e = exp(-fabs((double)x));
    return (real)(x >= 0 ? 1 / (1 + e) : e / (1 + e));
}
static void sigmoid_forward(real *y, const real *x, long n) {
    for (long i = 0; i < n; i++) y[i] = sigmoid(x[i]);
}
/* dx += dy y (1 - y) */
static void sigmoid_backward(real *dx, const real *dy, const real *y, long n) {
    for (long i = 0; i < n; i++) dx[i] += dy[i] * y[i] * (1 - y[i]);
}

/* k of elements 4 block .. 4 block + 3, below: four numbers cost as much as one */
static void dropout_keeps(real k[4], real rate, uint64_t seed, uint64_t stream, long block) {
    uint32_t words[4];
    philox4x32(words, seed, stream, (uint64_t)block);
    for (int j = 0; j < 4; j++)
        k[j] = (float)(words[j] >> 8) * 0x1p-24f < rate ? 0 : 1 / (1 - rate);
}
/* y_i = x_i k_i   k_i = 0 with probability rate, else 1 / (1 - rate)   x, y: (n), 0 <= rate < 1
 * k_i = 0 where philox_uniform(seed, stream, first + i) < rate: the backward pass draws it again.
 * first: not 0 where other processes hold the batch's beginning.   (Srivastava et al. 2014) */
static void drop(real *y, int adds, const real *x, real rate, long n, uint64_t seed,
                 uint64_t stream, long first) {
    #pragma omp parallel for
    for (long block = first / 4; block < (first + n + 3) / 4; block++) {
        real keep[4];
        dropout_keeps(keep, rate, seed, stream, block);
        for (int j = 0; j < 4; j++) {
            long i = 4 * block + j - first;
            if (i >= 0 && i < n) y[i] = adds ? y[i] + x[i] * keep[j] : x[i] * keep[j];
        }
    }
}
static void dropout_forward(real *y, const real *x, real rate, long n,
                            uint64_t seed, uint64_t stream, long first) {
    drop(y, 0, x, rate, n, seed, stream, first);
}
/* dx_i += dy_i k_i */
static void dropout_backward(real *dx, const real *dy, real rate, long n,
                             uint64_t seed, uint64_t stream, long first) {
    drop(dx, 1, dy, rate, n, seed, stream, first);
}

/* -------------------------------------------------------------------------------------- shape */

/* y = a + b   all: (n)   (its backward is two axpy) */
static void add_forward(real *y, const real *a, const real *b, long n) {
    #pragma omp parallel for simd if(parallel: n > WORTH)
    for (long i = 0; i < n; i++) y[i] = a[i] + b[i];
}

/* F12, between real and fake: y[i,k] = t_i a[i,k] + (1 - t_i) b[i,k]   a, b, y: (N,E), t: (N) */
static void lerp(real *y, const real *a, const real *b, const real *t, int n, long each) {
    #pragma omp parallel for
    for (int i = 0; i < n; i++)
        for (long k = i * each; k < (i + 1) * each; k++) y[k] = t[i] * a[k] + (1 - t[i]) * b[k];
}

/* y[r, 0..ca) = a[r], y[r, ca..ca+cb) = b[r]   a: (rows,ca)  b: (rows,cb)  y: (rows,ca+cb) */
static void concat_forward(real *y, const real *a, const real *b, long rows, int ca, int cb) {
    #pragma omp parallel for
    for (long r = 0; r < rows; r++) {
        move(y + r * (ca + cb), a + r * ca, ca);
        move(y + r * (ca + cb) + ca, b + r * cb, cb);
    }
}
/* da[r] += dy[r, 0..ca), db[r] += dy[r, ca..ca+cb)   da or db may be NULL */
static void concat_backward(real *da, real *db, const real *dy, long rows, int ca, int cb) {
    #pragma omp parallel for
    for (long r = 0; r < rows; r++) {
        for (int j = 0; j < ca && da; j++) da[r * ca + j] += dy[r * (ca + cb) + j];
        for (int j = 0; j < cb && db; j++) db[r * cb + j] += dy[r * (ca + cb) + ca + j];
    }
}

/* index i, -size < i < 2 size - 1, mirrored at both ends of a row: -1 -> 1, size -> size - 2 */
static int reflect(int i, int size) { return i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i; }

/* y[n,i,j,c] = x[n, reflect(i-pad), reflect(j-pad), c]
 * x: (N,H,W,C)  y: (N,H+2pad,W+2pad,C)   pad < H, W */
static void reflect_pad_forward(real *y, const real *x, int n, int h, int w, int c, int pad) {
    int hp = h + 2 * pad, wp = w + 2 * pad;
    #pragma omp parallel for
    for (int r = 0; r < n * hp; r++) {
        long row = (long)(r / hp) * h + reflect(r % hp - pad, h);
        for (int j = 0; j < wp; j++)
            move(y + ((long)r * wp + j) * c, x + (row * w + reflect(j - pad, w)) * c, c);
    }
}
/* dx[n, reflect(i-pad), reflect(j-pad), c] += dy[n,i,j,c]
 * In order, one image per thread: a pixel is written many times. */
static void reflect_pad_backward(real *dx, const real *dy, int n, int h, int w, int c, int pad) {
    int hp = h + 2 * pad, wp = w + 2 * pad;
    #pragma omp parallel for
    for (int image = 0; image < n; image++)
        for (int r = image * hp; r < (image + 1) * hp; r++) {
            long row = (long)image * h + reflect(r % hp - pad, h);
            for (int j = 0; j < wp; j++) {
                real *to = dx + (row * w + reflect(j - pad, w)) * c;
                const real *from = dy + ((long)r * wp + j) * c;
                for (int k = 0; k < c; k++) to[k] += from[k];
            }
        }
}

/* F34: what is the same at every pixel, and what comes again after a period, in all directions:
 *   y[n,i,j] = b + (sin a_1 .. sin a_W, cos a_1 .. cos a_W, x[n,W], x[n,W+1] .. x[n,W+M-1])
 *   a_q = k[0,q] i + k[1,q] j + 2 pi x[n,q]
 * x: (N,W+M): phases in turns and M numbers  wave numbers k: (2,W), in radians a pixel
 * b: (2W+M) or NULL  y: (N,H,W',2W+M)   (Bergmann, Jetchev, Vollgraf 2017: periodic spatial GAN) */
static real wave_angle(const real *x, const real *k, long i, long j, int q, int waves) {
    return k[q] * (real)i + k[waves + q] * (real)j + (real)TURN * x[q];
}
static void waves_forward(real *y, const real *x, const real *k, const real *b, int n, int h, int w,
                          int waves, int others) {
    int c = 2 * waves + others;
    #pragma omp parallel for
    for (long p = 0; p < (long)n * h * w; p++) {
        const real *of = x + p / w / h * (waves + others);
        real *to = y + p * c;
        for (int q = 0; q < waves; q++) {
            real a = wave_angle(of, k, p / w % h, p % w, q, waves);
            to[q] = (real)sin((double)a), to[waves + q] = (real)cos((double)a);
        }
        for (int q = 0; q < others; q++) to[2 * waves + q] = of[waves + q];
        for (int q = 0; q < c && b; q++) to[q] += b[q];
    }
}
/* dx[n,q] += 2 pi sum of da_q   dk[0,q] += sum of da_q i   dk[1,q] += sum of da_q j   with
 * da_q = dsin_q cos a_q - dcos_q sin a_q   dx[n,W+m] += sum of dy's channel 2W+m
 * dx and dk: or NULL */
static void waves_backward(real *dx, real *dk, const real *dy, const real *x, const real *k,
                           int n, int h, int w, int waves, int others) {
    int c = 2 * waves + others;
    #pragma omp parallel for
    for (int q = 0; q < waves + others; q++) {
        double sum_i = 0, sum_j = 0;
        for (long m = 0; m < n; m++) {
            const real *of = x + m * (waves + others);
            double sum = 0;
            for (long p = 0; p < (long)h * w; p++) {
                const real *from = dy + (m * h * w + p) * c;
                double da = from[waves + q];
                if (q < waves) {
                    double a = wave_angle(of, k, p / w, p % w, q, waves);
                    da = from[q] * cos(a) - from[waves + q] * sin(a);
                }
                sum += da, sum_i += da * (double)(p / w), sum_j += da * (double)(p % w);
            }
            if (dx) dx[m * (waves + others) + q] += (real)(q < waves ? TURN * sum : sum);
        }
        if (dk && q < waves) dk[q] += (real)sum_i, dk[waves + q] += (real)sum_j;
    }
}

/* y[n,i,j,c] = x[n, i/f, j/f, c]   nearest neighbour   x: (N,H,W,C)  y: (N,H f,W f,C) */
static void upsample_forward(real *y, const real *x, int n, int h, int w, int c, int f) {
    #pragma omp parallel for
    for (long r = 0; r < (long)n * h * f; r++)
        for (int j = 0; j < w * f; j++)
            move(y + (r * w * f + j) * c, x + (r / f * w + j / f) * c, c);
}
/* dx[n,i,j,c] += sum over the f x f pixels that copied it */
static void upsample_backward(real *dx, const real *dy, int n, int h, int w, int c, int f) {
    #pragma omp parallel for
    for (long r = 0; r < (long)n * h; r++)
        for (int i = 0; i < f; i++)
            for (int j = 0; j < w * f; j++)
                for (int k = 0; k < c; k++)
                    dx[(r * w + j / f) * c + k] += dy[((r * f + i) * w * f + j) * c + k];
}

/* F30: y[n,i,j,c] = 1/f^2 sum of x over the f x f block of (i,j)
 * x: (N,H,W,C)  y: (N,H/f,W/f,C)   f divides H and W
 * Up to 1/f^2 the transpose of upsample: each is the other's backward pass. */
static void avgpool_forward(real *y, const real *x, int n, int h, int w, int c, int f) {
    fill(y, 0, (long)n * (h / f) * (w / f) * c);
    #pragma omp parallel for
    for (long r = 0; r < (long)n * (h / f); r++)
        for (int i = 0; i < f; i++)
            for (int j = 0; j < w; j++)
                for (int k = 0; k < c; k++)
                    y[(r * (w / f) + j / f) * c + k] += x[((r * f + i) * w + j) * c + k] / (f * f);
}
/* dx[n,i,j,c] += dy[n, i/f, j/f, c] / f^2 */
static void avgpool_backward(real *dx, const real *dy, int n, int h, int w, int c, int f) {
    #pragma omp parallel for
    for (long r = 0; r < (long)n * h; r++)
        for (int j = 0; j < w; j++)
            for (int k = 0; k < c; k++)
                dx[(r * w + j) * c + k] += dy[(r / f * (w / f) + j / f) * c + k] / (f * f);
}

/* is a the maximum of a and b? NaN is, whatever the other one: it must not be lost */
static int larger(real a, real b) { return a > b || a != a; }

/* F30: y[n,i,j,c] = max of x over the f x f block of (i,j)
 * x: (N,H,W,C)  y: (N,H/f,W/f,C)
 * Both quotients are rounded down: rows and columns that fill no block are not seen. */
static void maxpool_forward(real *y, const real *x, int n, int h, int w, int c, int f) {
    int oh = h / f, ow = w / f;
    #pragma omp parallel for
    for (long r = 0; r < (long)n * oh; r++)
        for (int j = 0; j < ow; j++)
            for (int u = 0; u < f * f; u++) {
                const real *from = x + ((r / oh * h + r % oh * f + u / f) * w + j * f + u % f) * c;
                real *to = y + (r * ow + j) * c;
                for (int k = 0; k < c; k++)
                    to[k] = u == 0 || larger(from[k], to[k]) ? from[k] : to[k];
            }
}
/* dx[the block's first maximum] += dy[n,i,j,c]   found again in x, so that nothing needs storing */
static void maxpool_backward(real *dx, const real *dy, const real *x,
                             int n, int h, int w, int c, int f) {
    int oh = h / f, ow = w / f;
    #pragma omp parallel for
    for (long r = 0; r < (long)n * oh; r++)
        for (int j = 0; j < ow; j++)
            for (int k = 0; k < c; k++) {
                long best = ((r / oh * h + r % oh * f) * w + j * f) * c + k, at = best;
                for (int u = 0; u < f; u++, at += (long)(w - f) * c)
                    for (int v = 0; v < f; v++, at += c) best = larger(x[at], x[best]) ? at : best;
                dx[best] += dy[(r * ow + j) * c + k];
            }
}

/* y[r] = 1/C sum_c x[r,c]   light and shade without colour   x: (rows,C)  y: (rows) */
static void gray_forward(real *y, const real *x, long rows, int c) {
    for (long r = 0; r < rows; r++) {
        real sum = 0;
        for (int j = 0; j < c; j++) sum += x[r * c + j];
        y[r] = sum / c;
    }
}
/* dx[r,c] += dy[r] / C */
static void gray_backward(real *dx, const real *dy, long rows, int c) {
    for (long r = 0; r < rows; r++)
        for (int j = 0; j < c; j++) dx[r * c + j] += dy[r] / c;
}

/* ------------------------------------------------------------------------------------- losses */

/* out = 1/n sum_i 1 / (1 + exp(-l_i))   logits l: (n), out: (1)
 * How real D finds what it sees: D(x), or D(G(z)). */
static void mean_sigmoid(real *out, const real *logits, long n) {
    double sum = 0;
    for (long i = 0; i < n; i++) sum += 1 / (1 + exp(-(double)logits[i]));
    *out = (real)(sum / n);
}

/* F4: L = 1/n sum_i max(l_i,0) - l_i t + log(1 + exp(-|l_i|))
 * logits l: (n), target t in [0,1] for all, loss: (1)
 * Equal to -[t log s + (1-t) log(1-s)] with s = sigmoid(l), but finite for every l. t = 1 and t = 0
 * are F3's two halves; t = 1 on the generator's pictures is F2. */
static void bce_logits_forward(real *loss, const real *logits, real target, long n) {
    double sum = 0;
    for (long i = 0; i < n; i++) {
        double l = logits[i];
        sum += (l > 0 ? l : 0) - l * target + log1p(exp(-fabs(l)));
    }
    *loss = (real)(sum / n);
}
/* dl_i += scale/n (sigmoid(l_i) - t) */
static void bce_logits_backward(real *dlogits, const real *logits, real target, real scale,
                                long n) {
    for (long i = 0; i < n; i++) dlogits[i] += scale / n * (sigmoid(logits[i]) - target);
}

/* log sum_j exp(l_j)   l: (classes)   relative to the largest one, so that exp never overflows */
static double log_sum_exp(const real *l, int classes) {
    double most = l[0], sum = 0;
    for (int j = 1; j < classes; j++) most = l[j] > most ? l[j] : most;
    for (int j = 0; j < classes; j++) sum += exp(l[j] - most);
    return most + log(sum);
}

/* L = 1/n sum_i -log s[i,t_i]   s[i,j] = exp(l[i,j]) / sum_k exp(l[i,k])   logits l: (n,classes)
 * label t: (n) class numbers 0, 1 .. classes-1; any other number makes the loss NaN */
static void softmax_cross_entropy_forward(real *loss, const real *logits, const real *label,
                                          long n, int classes) {
    double sum = 0;
    for (long i = 0; i < n; i++) {
        const real *l = logits + i * classes;
        double chosen = NAN;
        for (int j = 0; j < classes; j++) chosen = label[i] == j ? l[j] : chosen;
        sum += log_sum_exp(l, classes) - chosen;
    }
    *loss = (real)(sum / n);
}
/* dl[i,j] += scale/n (s[i,j] - (1 where j = t_i, else 0)) */
static void softmax_cross_entropy_backward(real *dlogits, const real *logits, const real *label,
                                           real scale, long n, int classes) {
    for (long i = 0; i < n; i++) {
        const real *l = logits + i * classes;
        double all = log_sum_exp(l, classes);
        for (int j = 0; j < classes; j++)
            dlogits[i * classes + j] += (real)(scale / n * (exp(l[j] - all) - (label[i] == j)));
    }
}

/* sum_i m_i   weight m: (n) or NULL for all ones */
static double total_weight(const real *weight, long n) {
    double total = weight ? 0 : n;
    for (long i = 0; i < n && weight; i++) total += weight[i];
    return total;
}

/* F9: L = sum_i m_i (a_i - b_i)^2 / sum_i m_i
 * a, b: (n), weight m: (n) or NULL for all ones; 0 when all m are 0
 * The content loss of two pictures inside a mask, or of two feature maps (Gatys et al. 2015). */
static void squared_error_forward(real *loss, const real *a, const real *b, const real *weight,
                                  long n) {
    double sum = 0, total = total_weight(weight, n);
    for (long i = 0; i < n; i++) {
        double m = weight ? weight[i] : 1, e = (double)a[i] - b[i];
        sum += m * e * e;
    }
    *loss = (real)(total == 0 ? 0 : sum / total);
}
/* da_i += scale 2 m_i (a_i - b_i) / sum_j m_j */
static void squared_error_backward(real *da, const real *a, const real *b, const real *weight,
                                   real scale, long n) {
    double total = total_weight(weight, n);
    if (total == 0) return;
    real k = (real)(2 * scale / total);
    for (long i = 0; i < n; i++) da[i] += k * (weight ? weight[i] : 1) * (a[i] - b[i]);
}

/* F15, F28: L = sum_i m_i |a_i - b_i| / sum_i m_i
 * a, b: (n), weight m: (n) or NULL for all ones; 0 when all m are 0
 * Blurs less than the square; pix2pix and CycleGAN use it (Isola et al., Zhu et al. 2017). */
static void absolute_error_forward(real *loss, const real *a, const real *b, const real *weight,
                                   long n) {
    double sum = 0, total = total_weight(weight, n);
    for (long i = 0; i < n; i++) sum += (weight ? weight[i] : 1) * fabs((double)a[i] - b[i]);
    *loss = (real)(total == 0 ? 0 : sum / total);
}
/* da_i += scale m_i sign(a_i - b_i) / sum_j m_j   sign(0) = 0, sign(NaN) = NaN */
static void absolute_error_backward(real *da, const real *a, const real *b, const real *weight,
                                    real scale, long n) {
    double total = total_weight(weight, n);
    if (total == 0) return;
    real k = (real)(scale / total);
    #pragma omp parallel for if(n > WORTH)
    for (long i = 0; i < n; i++) {
        real e = a[i] - b[i];
        da[i] += k * (weight ? weight[i] : 1) * (e > 0 ? 1 : e < 0 ? -1 : e);
    }
}

/* F22: L = 1/n sum_i max(0, 1 - s x_i)   x: (n), s: 1 to push x above 1, -1 to push it below -1
 * The critic's loss on real (s = 1) and fake (s = -1) pictures (Lim, Ye 2017). */
static void hinge_forward(real *loss, const real *x, real sign, long n) {
    double sum = 0;
    for (long i = 0; i < n; i++) {
        double below = 1 - (double)sign * x[i];
        sum += below <= 0 ? 0 : below;
    }
    *loss = (real)(sum / n);
}
/* dx_i -= scale/n s   where 1 - s x_i > 0 */
static void hinge_backward(real *dx, const real *x, real sign, real scale, long n) {
    real k = -scale / n * sign;
    for (long i = 0; i < n; i++) {
        real below = 1 - sign * x[i];
        dx[i] += below <= 0 ? 0 : below > 0 ? k : below;              /* the third: NaN */
    }
}

/* F11: L = 1/n sum_i x_i   x: (n)
 * Wasserstein: the critic's loss is mean(fake) - mean(real) (Arjovsky et al. 2017). */
static void mean_forward(real *loss, const real *x, long n) {
    double sum = 0;
    for (long i = 0; i < n; i++) sum += x[i];
    *loss = (real)(sum / n);
}
/* dx_i += scale/n */
static void mean_backward(real *dx, real scale, long n) {
    for (long i = 0; i < n; i++) dx[i] += scale / n;
}

/* F8: G[i,j] = 1/R sum_r (F[r,i] - mu_i)(F[r,j] - mu_j)
 * mu_i = 1/R sum_r F[r,i], or zero where mean is NULL   f: (rows,C)  mean: (C) or NULL  g: (C,C)
 * With mean NULL this is the Gram matrix of Gatys, Ecker and Bethge (2015); with it, the
 * covariance: what is left is texture alone, not overall colour. */
static void gram_forward(real *g, real *mean, const real *f, long rows, int c) {
    if (mean) {
        fill(mean, 0, c);
        bias_backward(mean, f, rows, c);
        for (int i = 0; i < c; i++) mean[i] /= rows;
    }
    #pragma omp parallel for
    for (long i = 0; i < c; i++)
        for (int j = 0; j < c; j++) {
            double sum = 0;
            for (long r = 0; r < rows; r++)
                sum += (f[r * c + i] - (mean ? mean[i] : 0))
                       * (f[r * c + j] - (mean ? mean[j] : 0));
            g[i * c + j] = (real)(sum / rows);
        }
}
/* dF[r,i] += 1/R sum_j (dG[i,j] + dG[j,i]) (F[r,j] - mu_j)   no term of mu: sum_r (F - mu) = 0 */
static void gram_backward(real *df, const real *dg, const real *f, const real *mean,
                          long rows, int c) {
    #pragma omp parallel for
    for (long r = 0; r < rows; r++)
        for (long i = 0; i < c; i++) {
            real sum = 0;
            for (long j = 0; j < c; j++)
                sum += (dg[i * c + j] + dg[j * c + i]) * (f[r * c + j] - (mean ? mean[j] : 0));
            df[r * c + i] += sum / rows;
        }
}

/* F8: L = sum_i (g_i - t_i)^2 / sum_i t_i^2   g, target t: (n) two Gram matrices, loss: (1)
 * Relative, so that one weight serves layers of any size and scale; 0 where the target is zero. */
static void style_loss_forward(real *loss, const real *g, const real *target, long n) {
    double sum = 0, norm = 0;
    for (long i = 0; i < n; i++) {
        sum += ((double)g[i] - target[i]) * ((double)g[i] - target[i]);
        norm += (double)target[i] * target[i];
    }
    *loss = (real)(norm == 0 ? 0 : sum / norm);
}
/* dg_i += scale 2 (g_i - t_i) / sum_j t_j^2 */
static void style_loss_backward(real *dg, const real *g, const real *target, real scale, long n) {
    double norm = 0;
    for (long i = 0; i < n; i++) norm += (double)target[i] * target[i];
    if (norm == 0) return;
    for (long i = 0; i < n; i++) dg[i] += (real)(2 * scale / norm) * (g[i] - target[i]);
}

/* F10: L = 1/(N H W C) sum |x[n,i+1,j,c] - x[n,i,j,c]| + |x[n,i,j+1,c] - x[n,i,j,c]|   x: (N,H,W,C)
 * (Rudin, Osher, Fatemi 1992) */
static void total_variation_forward(real *loss, const real *x, int n, int h, int w, int c) {
    long row = (long)w * c, count = n * h * row;
    double sum = 0;
    for (long i = 0; i < count; i++) {
        if (i / row % h + 1 < h) sum += fabs((double)x[i + row] - x[i]);
        if (i % row / c + 1 < w) sum += fabs((double)x[i + c] - x[i]);
    }
    *loss = (real)(sum / (double)count);
}
/* each |b - a| adds scale sign(b - a) / (N H W C) to db and takes it from da; sign(0) = 0 */
static void add_sign(real *dx, const real *x, long a, long b, real k) {
    real step = x[b] > x[a] ? k : x[b] < x[a] ? -k : 0;
    dx[b] += step, dx[a] -= step;
}
static void total_variation_backward(real *dx, const real *x, real scale,
                                     int n, int h, int w, int c) {
    long row = (long)w * c;
    real k = (real)(scale / (double)(n * h * row));
    #pragma omp parallel for
    for (int image = 0; image < n; image++)
        for (long i = image * h * row; i < (image + 1) * h * row; i++) {
            if (i / row % h + 1 < h) add_sign(dx, x, i, i + row, k);
            if (i % row / c + 1 < w) add_sign(dx, x, i, i + c, k);
        }
}

/* F12: L = 1/N sum_i (|g_i| - 1)^2
 * v_i = dL/dg_i = 2 (|g_i| - 1) / (N |g_i|) g_i, and 0 where g_i = 0   g, v: (N,E), loss: (1)
 * g_i is the critic's gradient by its picture i; the second differentiation starts from v.
 * (Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville 2017) */
static void gradient_penalty(real *loss, real *v, const real *g, int n, long each) {
    double partial[SLICES];
    #pragma omp parallel for
    for (int s = 0; s < SLICES; s++) {
        partial[s] = 0;
        for (long i = (long)n * s / SLICES; i < (long)n * (s + 1) / SLICES; i++) {
            double square = 0;
            for (long k = i * each; k < (i + 1) * each; k++) square += (double)g[k] * g[k];
            double r = sqrt(square);
            real factor = (real)(2 * (r - 1) / (n * (r < 1e-12 ? 1e-12 : r)));
            for (long k = i * each; k < (i + 1) * each; k++) v[k] = factor * g[k];
            partial[s] += (r - 1) * (r - 1);
        }
    }
    *loss = (real)(add_slices(partial) / n);
}

/* F14: z[r,j] = m + exp(l/2) eps   m = code[r,j], l = code[r,k+j]: mean and log variance
 * code: (rows,2k)  z: (rows,k)   eps = philox_normal(seed, stream, first + r k + j), which the
 * backward pass draws again; first as in dropout.   (Kingma, Welling 2013) */
static void gaussian_sample_forward(real *z, const real *code, long rows, int k,
                                    uint64_t seed, uint64_t stream, long first) {
    #pragma omp parallel for
    for (long i = 0; i < rows * k; i++) {
        const real *m = code + i / k * 2 * k + i % k;
        z[i] = (real)(m[0] + exp(m[k] / 2.) * philox_normal(seed, stream, first + i));
    }
}
/* dm += dz   dl += dz eps exp(l/2) / 2   dcode: (rows,2k)  dz: (rows,k) */
static void gaussian_sample_backward(real *dcode, const real *dz, const real *code, long rows,
                                     int k, uint64_t seed, uint64_t stream, long first) {
    #pragma omp parallel for
    for (long i = 0; i < rows * k; i++) {
        long m = i / k * 2 * k + i % k;
        float eps = philox_normal(seed, stream, first + i);
        dcode[m] += dz[i];
        dcode[m + k] += (real)(dz[i] * exp(code[m + k] / 2.) / 2 * eps);
    }
}

/* F14: L = 1/rows sum_{r,j} (m^2 + exp(l) - 1 - l) / 2   m = code[r,j], l = code[r,k+j]
 * code: (rows,2k), loss: (1)
 * How far the code's distribution is from N(0,1): the Kullback-Leibler divergence. */
static void kl_forward(real *loss, const real *code, long rows, int k) {
    double sum = 0;
    for (long i = 0; i < rows * k; i++) {
        double m = code[i / k * 2 * k + i % k], l = code[i / k * 2 * k + i % k + k];
        sum += (m * m + expm1(l) - l) / 2;
    }
    *loss = (real)(sum / rows);
}
/* dm += scale/rows m   dl += scale/rows (exp(l) - 1) / 2 */
static void kl_backward(real *dcode, const real *code, real scale, long rows, int k) {
    #pragma omp parallel for
    for (long i = 0; i < rows * k; i++) {
        long m = i / k * 2 * k + i % k;
        dcode[m] += scale / rows * code[m];
        dcode[m + k] += (real)(scale / rows * expm1((double)code[m + k]) / 2);
    }
}

/* out = 1/E sum_k sqrt(1/N sum_n (x[n,k] - mu_k)^2)   mu_k = 1/N sum_n x[n,k]   x: (N,E), out: (1)
 * How much the N pictures of a batch differ, pixel by pixel: 0 when all are alike. */
static void batch_std(real *out, const real *x, int n, long each) {
    double partial[SLICES];
    #pragma omp parallel for
    for (int s = 0; s < SLICES; s++) {
        partial[s] = 0;
        for (long k = each * s / SLICES; k < each * (s + 1) / SLICES; k++) {
            double sum = 0, square = 0;
            for (long i = k; i < n * each; i += each) sum += x[i];
            for (long i = k; i < n * each; i += each) square += (x[i] - sum / n) * (x[i] - sum / n);
            partial[s] += sqrt(square / n);
        }
    }
    *out = (real)(add_slices(partial) / each);
}

/* ------------------------------------------------------------------------------ search, order */

/* y[i,j] = that element of column j of t which has the rank, in this column, that x[i,j] has in its
 * own; of equals the one in the earlier row is the smaller   x, t, y, sorted t: (rows,C)   F35
 * Each rank is counted: rows^2 C comparisons, and the order of nothing matters. NaN has no rank: in
 * t it comes after all numbers, in x it stays. */
static void count_smaller(int rank[LINE], const real *x, long i, long rows, int c, int lanes) {
    const real *own = x + i * c;
    for (int j = 0; j < lanes; j++) rank[j] = 0;
    for (long k = 0; k < i; k++)
        for (int j = 0; j < lanes; j++) rank[j] += x[k * c + j] <= own[j];
    for (long k = i + 1; k < rows; k++)
        for (int j = 0; j < lanes; j++) rank[j] += x[k * c + j] < own[j];
}
static void match_ranks(real *y, real *sorted, const real *x, const real *t, long rows, int c) {
    fill(sorted, (real)NAN, rows * c);
    for (int pass = 0; pass < 2; pass++)
        #pragma omp parallel for
        for (long i = 0; i < rows; i++)
            for (int c0 = 0; c0 < c; c0 += LINE) {
                int rank[LINE], lanes = lanes_at(c0, c);
                count_smaller(rank, (pass ? x : t) + c0, i, rows, c, lanes);
                for (int j = 0; j < lanes; j++) {
                    long at = (long)rank[j] * c + c0 + j, own = i * c + c0 + j;
                    if (pass) y[own] = x[own] == x[own] ? sorted[at] : x[own];
                    else if (t[own] == t[own]) sorted[at] = t[own];
                }
            }
}

/* An index travels as a real, which is exact up to 2^24: for more rows the program ends. */
static void nearest_limit(long ny) {
    if (ny <= 1 << 24) return;
    fprintf(stderr, "nearest: %ld rows to search: expected at most %d, what a float counts "
            "exactly\n", ny, 1 << 24);
    exit(1);
}
/* index[i] = argmin_j w_j |x_i - y_j|^2, the first j of equals   least[i] = w_j |x_i - y_j|^2 there
 * x: (NX,C)  y: (NY,C), NY > 0  weight w > 0: (NY) or NULL for all ones  index, least: (NX)
 * A distance that is NaN is the least of all: it must not be lost. */
static void nearest(real *index, real *least, const real *x, const real *y, const real *weight,
                    long nx, long ny, int c) {
    nearest_limit(ny);
    #pragma omp parallel for
    for (long i = 0; i < nx; i++)
        for (long j = 0; j < ny; j++) {
            real d = 0;
            for (int k = 0; k < c; k++)
                d += (x[i * c + k] - y[j * c + k]) * (x[i * c + k] - y[j * c + k]);
            if (weight) d *= weight[j];
            if (j == 0 || d < least[i] || (d != d && least[i] == least[i]))
                least[i] = d, index[i] = (real)j;
        }
}

/* ----------------------------------------------------------------------------------- F19: Adam */

/* m = beta1 m + (1-beta1) g   v = beta2 v + (1-beta2) g^2   p -= lr m^ / (sqrt(v^) + eps)
 * with m^ = m / (1 - beta1^t), v^ = v / (1 - beta2^t), t = 1, 2 ..   all: (n) (Kingma, Ba 2014) */
static void adam_step(real *p, real *m, real *v, const real *g, long n,
                      real lr, real beta1, real beta2, real eps, long t) {
    real step = (real)(lr / (1 - pow((double)beta1, (double)t)));
    real unbias = (real)(1 / (1 - pow((double)beta2, (double)t)));
    #pragma omp parallel for simd if(parallel: n > WORTH)
    for (long i = 0; i < n; i++) {
        m[i] = beta1 * m[i] + (1 - beta1) * g[i];
        v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
        p[i] -= step * m[i] / ((real)sqrt((double)(v[i] * unbias)) + eps);
    }
}

/* F27: v = decay v + (1-decay) g^2   p -= lr g / (sqrt(v) + eps)   all: (n)
 * F11's optimiser: a critic whose target moves with every step is no place for momentum.
 * (Tieleman, Hinton 2012; as PyTorch, no momentum) */
static void rmsprop_step(real *p, real *v, const real *g, long n, real lr, real decay, real eps) {
    #pragma omp parallel for simd if(parallel: n > WORTH)
    for (long i = 0; i < n; i++) {
        v[i] = decay * v[i] + (1 - decay) * g[i] * g[i];
        p[i] -= lr * g[i] / ((real)sqrt((double)v[i]) + eps);
    }
}

/* ---------------------------------------------------------------------------------- the table */

#define COUNT(name) + 1
_Static_assert(sizeof(Ops) == offsetof(Ops, conv_scratch) + (0 OPS(COUNT)) * sizeof(void (*)(void)),
               "an entry of struct Ops is missing in OPS_PRODUCTS, OPS_TILED and OPS_SIMPLE");
#undef COUNT

/* What stands first in a table of the CPU, and an entry that is this file's function. */
#define CPU_MEMORY .alloc = naive_alloc, .release = naive_release, .upload = copy, .download = copy
#define NAIVE(name) .name = name,

const Ops ops_naive = { .name = "naive", CPU_MEMORY, OPS(NAIVE) };
#endif
