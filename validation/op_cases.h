/* op_cases.h: every entry of struct Ops that computes, in one list: how to call it, which tensors
 * it reads and writes, and on which sizes it is tried. With the list, all operations are one loop:
 *
 *   for (int i = 0; i < OPS; i++) {
 *       Data x = data_random(&op_list[i], &shape, seed);      tensors of the right sizes, at random
 *       op_list[i].call(&ops_tiled, x.value, &shape);
 *       ... x.tensor[0].name, x.value[0][0] ...
 *       data_free(&x);
 *   }
 *
 * An entry's pointers come first in its argument list, in the order of the list below; then its
 * sizes and its numbers. Needs LAYERS_IMPLEMENTATION before it, in the same file. */
#ifndef OP_CASES_H
#define OP_CASES_H
#include "layers.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What an operation does with a tensor. INOUT: a gradient that is added to, or data changed in
 * place. MAYBE: may be NULL. POSITIVE: a variance or a weight. LABEL: a class of C. */
enum { IN = 1, OUT = 2, INOUT = 4, MAYBE = 8, POSITIVE = 16, LABEL = 32 };
/* shape: up to 4 numbers, then 0; size: their product */
typedef struct Tensor { int role; const char *name; long shape[5], size; } Tensor;

/* One set of sizes and numbers; d holds the sizes of all operations, not of convolutions only. */
typedef struct Case {
    Conv d;
    real a; /* slope, target, limit, momentum, beta1, factor: in [0,1) it is good for all of them */
    real scale;          /* of a loss's gradient; the learning rate */
    long t;              /* Adam's step */
    const char *null;    /* the tensors passed as NULL, by name, separated by spaces */
} Case;

#define SIZES __attribute__((unused)) long N = k->d.n, H = k->d.h, W = k->d.w, C = k->d.c, \
    OH = k->d.oh, OW = k->d.ow, O = k->d.o, K = k->d.kernel, S = k->d.stride, P = k->d.pad, \
    ROWS = N * H * W, ALL = ROWS * C; \
    __attribute__((unused)) real a = k->a, scale = k->scale;
#define T(role, name, ...) { role, #name, { __VA_ARGS__ }, 0 }
#define P1 p[0]
#define P2 P1, p[1]
#define P3 P2, p[2]
#define P4 P3, p[3]
#define P5 P4, p[4]
#define P6 P5, p[5]
#define P7 P6, p[6]
#define P8 P7, p[7]
/* shapes; UNEVEN: a picture that S does not divide, CODE: a VAE's */
#define IMAGE N, H, W, C
#define CONVOLVED N, OH, OW, O
#define KERNEL K, K, C, O
#define UNEVEN N, H*S + S - 1, W*S + S/2, C
#define CODE N, H, W, 2*C
/* the tensors that most operations have */
#define IN_X T(IN, x, IMAGE)
#define OUT_Y T(OUT, y, IMAGE)
#define IN_DY T(IN, dy, IMAGE)
#define ADD_DX T(INOUT, dx, IMAGE)
#define OUT_LOSS T(OUT, loss, 1)
#define IN_W T(IN, w, KERNEL)
#define IN_LOGITS T(IN, logits, IMAGE)
#define IN_A_B_WEIGHT T(IN, a, IMAGE), T(IN, b, IMAGE), T(IN|MAYBE|POSITIVE, weight, IMAGE)
/* constants, which constants_of gives to the golden files. These are float32 numbers, so that a
 * reference in double and one in float32 compute with the same */
#define RANDOM_SEED 0x123456789ABCDEFu
#define RANDOM_STREAM 0xFEDCBA987654321u
#define SEEDS RANDOM_SEED, RANDOM_STREAM
#define CLIP_LIMIT (real)(float)(a + (real)0.1f)
#define HINGE_SIGN (real)(a < (real)0.5 ? 1 : -1)
#define BETA2 (real)0.999f
#define STEP_EPS (real)1e-8f
/* a depthwise convolution has as many output channels as input channels */
#define CHANNELS(d) &(Conv){ d.n, d.h, d.w, d.c, d.oh, d.ow, d.c, d.kernel, d.stride, d.pad }

/* New operations go to the end: the inputs of a case follow from its place in this list. */
#define OP_LIST(OP) \
    OP(fill, (P1, a, ALL), T(OUT, x, IMAGE)) \
    OP(copy, (P2, ALL), OUT_Y, IN_X) \
    OP(axpy, (P2, a, ALL), T(INOUT, y, IMAGE), IN_X) \
    OP(scale, (P1, a, ALL), T(INOUT, x, IMAGE)) \
    OP(clip, (P1, a, ALL), T(INOUT, x, IMAGE)) \
    OP(clip_norm, (P2, CLIP_LIMIT, ALL), T(INOUT, x, IMAGE), T(IN|POSITIVE, square, 1)) \
    OP(sum_squares, (P2, ALL), T(OUT, out, 1), IN_X) \
    OP(random_uniform, (P1, ALL, SEEDS), T(OUT, x, IMAGE)) \
    OP(random_normal, (P1, ALL, SEEDS), T(OUT, x, IMAGE)) \
    OP(dense_forward, (P4, N, C, O), T(OUT, y, N, O), T(IN, x, N, C), T(IN, w, C, O), \
       T(IN|MAYBE, b, O)) \
    OP(dense_backward_input, (P3, N, C, O), T(INOUT, dx, N, C), T(IN, dy, N, O), T(IN, w, C, O)) \
    OP(dense_backward_weight, (P3, N, C, O), T(INOUT, dw, C, O), T(IN, x, N, C), T(IN, dy, N, O)) \
    OP(bias_backward, (P2, N*OH*OW, O), T(INOUT, db, O), T(IN, dy, CONVOLVED)) \
    OP(conv2d_forward, (P4, &k->d), T(OUT, y, CONVOLVED), IN_X, IN_W, T(IN|MAYBE, b, O)) \
    OP(conv2d_backward_input, (P3, &k->d), ADD_DX, T(IN, dy, CONVOLVED), IN_W) \
    OP(conv2d_backward_weight, (P3, &k->d), T(INOUT, dw, KERNEL), IN_X, T(IN, dy, CONVOLVED)) \
    OP(conv2d_transpose_forward, (P4, &k->d), OUT_Y, T(IN, x, CONVOLVED), IN_W, T(IN|MAYBE, b, C)) \
    OP(conv2d_transpose_backward_input, (P3, &k->d), T(INOUT, dx, CONVOLVED), IN_DY, IN_W) \
    OP(conv2d_transpose_backward_weight, (P3, &k->d), T(INOUT, dw, KERNEL), T(IN, x, CONVOLVED), \
       IN_DY) \
    OP(depthwise_conv2d_forward, (P4, CHANNELS(k->d)), T(OUT, y, N, OH, OW, C), IN_X, \
       T(IN, w, K, K, C), T(IN|MAYBE, b, C)) \
    OP(depthwise_conv2d_backward_input, (P3, CHANNELS(k->d)), ADD_DX, T(IN, dy, N, OH, OW, C), \
       T(IN, w, K, K, C)) \
    OP(depthwise_conv2d_backward_weight, (P3, CHANNELS(k->d)), T(INOUT, dw, K, K, C), IN_X, \
       T(IN, dy, N, OH, OW, C)) \
    OP(normalize_vector, (P2, ALL), T(INOUT, x, IMAGE), T(OUT, norm, 1)) \
    OP(spectral_forward, (P3, C*O), T(OUT, y, C, O), T(IN, w, C, O), T(IN|POSITIVE, sigma, 1)) \
    OP(spectral_backward, (P6, C, O), T(INOUT, dw, C, O), T(IN, dy, C, O), T(IN, y, C, O), \
       T(IN, u, C), T(IN, v, O), T(IN|POSITIVE, sigma, 1)) \
    OP(normalize_forward, (P6, N, H*W, C), OUT_Y, T(OUT, mean, N, C), T(OUT, var, N, C), IN_X, \
       T(IN, gamma, C), T(IN, beta, C)) \
    OP(normalize_backward, (P8, N, H*W, C), ADD_DX, T(INOUT|MAYBE, dgamma, C), \
       T(INOUT|MAYBE, dbeta, C), IN_DY, IN_X, T(IN, gamma, C), T(IN, mean, N, C), \
       T(IN|POSITIVE, var, N, C)) \
    OP(batchnorm_track, (P4, a, ROWS, C), T(INOUT, running_mean, C), \
       T(INOUT|POSITIVE, running_var, C), T(IN, mean, C), T(IN|POSITIVE, var, C)) \
    OP(batchnorm_inference, (P6, ROWS, C), OUT_Y, IN_X, T(IN, gamma, C), T(IN, beta, C), \
       T(IN, running_mean, C), T(IN|POSITIVE, running_var, C)) \
    OP(moments_forward, (P2, N, H*W, C), T(OUT, y, N, 2, C), IN_X) \
    OP(moments_backward, (P4, N, H*W, C), ADD_DX, T(IN, dy, N, 2, C), IN_X, \
       T(IN|POSITIVE, y, N, 2, C)) \
    OP(leaky_relu_forward, (P2, a, ALL), OUT_Y, IN_X) \
    OP(leaky_relu_backward, (P3, a, ALL), ADD_DX, IN_DY, T(IN, y, IMAGE)) \
    OP(tanh_forward, (P2, ALL), OUT_Y, IN_X) \
    OP(tanh_backward, (P3, ALL), ADD_DX, IN_DY, T(IN, y, IMAGE)) \
    OP(sigmoid_forward, (P2, ALL), OUT_Y, IN_X) \
    OP(sigmoid_backward, (P3, ALL), ADD_DX, IN_DY, T(IN, y, IMAGE)) \
    OP(dropout_forward, (P2, a, ALL, SEEDS, 0), OUT_Y, IN_X) \
    OP(dropout_backward, (P2, a, ALL, SEEDS, 0), ADD_DX, IN_DY) \
    OP(add_forward, (P3, ALL), OUT_Y, T(IN, a, IMAGE), T(IN, b, IMAGE)) \
    OP(lerp, (P4, N, H*W*C), OUT_Y, T(IN, a, IMAGE), T(IN, b, IMAGE), T(IN, t, N)) \
    OP(concat_forward, (P3, ROWS, C, O), T(OUT, y, N, H, W, C + O), T(IN, a, IMAGE), \
       T(IN, b, N, H, W, O)) \
    OP(concat_backward, (P3, ROWS, C, O), T(INOUT|MAYBE, da, IMAGE), \
       T(INOUT|MAYBE, db, N, H, W, O), T(IN, dy, N, H, W, C + O)) \
    OP(reflect_pad_forward, (P2, N, H, W, C, P), T(OUT, y, N, H + 2*P, W + 2*P, C), IN_X) \
    OP(reflect_pad_backward, (P2, N, H, W, C, P), ADD_DX, T(IN, dy, N, H + 2*P, W + 2*P, C)) \
    OP(upsample_forward, (P2, N, H, W, C, S), T(OUT, y, N, H*S, W*S, C), IN_X) \
    OP(upsample_backward, (P2, N, H, W, C, S), ADD_DX, T(IN, dy, N, H*S, W*S, C)) \
    OP(avgpool_forward, (P2, N, H*S, W*S, C, S), OUT_Y, T(IN, x, N, H*S, W*S, C)) \
    OP(avgpool_backward, (P2, N, H*S, W*S, C, S), T(INOUT, dx, N, H*S, W*S, C), IN_DY) \
    OP(maxpool_forward, (P2, UNEVEN, S), OUT_Y, T(IN, x, UNEVEN)) \
    OP(maxpool_backward, (P3, UNEVEN, S), T(INOUT, dx, UNEVEN), IN_DY, T(IN, x, UNEVEN)) \
    OP(gray_forward, (P2, ROWS, C), T(OUT, y, N, H, W), IN_X) \
    OP(gray_backward, (P2, ROWS, C), ADD_DX, T(IN, dy, N, H, W)) \
    OP(mean_sigmoid, (P2, ALL), T(OUT, out, 1), IN_LOGITS) \
    OP(bce_logits_forward, (P2, a, ALL), OUT_LOSS, IN_LOGITS) \
    OP(bce_logits_backward, (P2, a, scale, ALL), T(INOUT, dlogits, IMAGE), IN_LOGITS) \
    OP(softmax_cross_entropy_forward, (P3, ROWS, C), OUT_LOSS, IN_LOGITS, \
       T(IN|LABEL, label, N, H, W)) \
    OP(softmax_cross_entropy_backward, (P3, scale, ROWS, C), T(INOUT, dlogits, IMAGE), IN_LOGITS, \
       T(IN|LABEL, label, N, H, W)) \
    OP(squared_error_forward, (P4, ALL), OUT_LOSS, IN_A_B_WEIGHT) \
    OP(squared_error_backward, (P4, scale, ALL), T(INOUT, da, IMAGE), IN_A_B_WEIGHT) \
    OP(absolute_error_forward, (P4, ALL), OUT_LOSS, IN_A_B_WEIGHT) \
    OP(absolute_error_backward, (P4, scale, ALL), T(INOUT, da, IMAGE), IN_A_B_WEIGHT) \
    OP(hinge_forward, (P2, HINGE_SIGN, ALL), OUT_LOSS, IN_X) \
    OP(hinge_backward, (P2, HINGE_SIGN, scale, ALL), ADD_DX, IN_X) \
    OP(mean_forward, (P2, ALL), OUT_LOSS, IN_X) \
    OP(mean_backward, (P1, scale, ALL), ADD_DX) \
    OP(gram_forward, (P3, ROWS, C), T(OUT, g, C, C), T(OUT|MAYBE, mean, C), T(IN, f, IMAGE)) \
    OP(gram_backward, (P4, ROWS, C), T(INOUT, df, IMAGE), T(IN, dg, C, C), T(IN, f, IMAGE), \
       T(IN|MAYBE, mean, C)) \
    OP(style_loss_forward, (P3, C*C), OUT_LOSS, T(IN, g, C, C), T(IN, target, C, C)) \
    OP(style_loss_backward, (P3, scale, C*C), T(INOUT, dg, C, C), T(IN, g, C, C), \
       T(IN, target, C, C)) \
    OP(total_variation_forward, (P2, N, H, W, C), OUT_LOSS, IN_X) \
    OP(total_variation_backward, (P2, scale, N, H, W, C), ADD_DX, IN_X) \
    OP(gradient_penalty, (P3, N, H*W*C), OUT_LOSS, T(OUT, v, IMAGE), T(IN, g, IMAGE)) \
    OP(gaussian_sample_forward, (P2, ROWS, C, SEEDS, 0), T(OUT, z, IMAGE), T(IN, code, CODE)) \
    OP(gaussian_sample_backward, (P3, ROWS, C, SEEDS, 0), T(INOUT, dcode, CODE), T(IN, dz, IMAGE), \
       T(IN, code, CODE)) \
    OP(kl_forward, (P2, ROWS, C), OUT_LOSS, T(IN, code, CODE)) \
    OP(kl_backward, (P2, scale, ROWS, C), T(INOUT, dcode, CODE), T(IN, code, CODE)) \
    OP(batch_std, (P2, N, H*W*C), T(OUT, out, 1), IN_X) \
    OP(nearest, (P5, N*H, ROWS, (int)C + 24), T(OUT, index, N*H), T(OUT, least, N*H), \
       T(IN, x, N*H, C + 24), T(IN, y, ROWS, C + 24), T(IN|MAYBE|POSITIVE, weight, N, H, W)) \
    OP(adam_step, (P4, ALL, scale, a, BETA2, STEP_EPS, k->t), T(INOUT, p, IMAGE), \
       T(INOUT, m, IMAGE), T(INOUT|POSITIVE, v, IMAGE), T(IN, g, IMAGE)) \
    OP(rmsprop_step, (P3, ALL, scale, a, STEP_EPS), T(INOUT, p, IMAGE), \
       T(INOUT|POSITIVE, v, IMAGE), T(IN, g, IMAGE)) \
    OP(waves_forward, (P4, N, H, W, C, O), T(OUT, y, N, H, W, 2*C + O), T(IN, x, N, C + O), \
       T(IN, k, 2, C), T(IN|MAYBE, b, 2*C + O)) \
    OP(waves_backward, (P5, N, H, W, C, O), T(INOUT|MAYBE, dx, N, C + O), \
       T(INOUT|MAYBE, dk, 2, C), T(IN, dy, N, H, W, 2*C + O), T(IN, x, N, C + O), T(IN, k, 2, C)) \
    OP(match_ranks, (P4, N*H, C), T(OUT, y, N, H, C), T(OUT, sorted, N, H, C), T(IN, x, N, H, C), \
       T(IN, t, N, H, C)) \
    OP(adain_forward, (P5, N, H*W, C), OUT_Y, T(OUT, mean, N, C), T(OUT, var, N, C), IN_X, \
       T(IN, style, N, 2, C)) \
    OP(adain_backward, (P7, N, H*W, C), ADD_DX, T(INOUT, dstyle, N, 2, C), IN_DY, IN_X, \
       T(IN, style, N, 2, C), T(IN, mean, N, C), T(IN|POSITIVE, var, N, C))

/* to[i] = list[i], with the product of its shape as its size */
static int sized(Tensor *to, const Tensor *list, int count) {
    for (int i = 0; i < count; i++) {
        to[i] = list[i], to[i].size = 1;
        for (const long *d = to[i].shape; *d; d++) to[i].size *= *d;
    }
    return count;
}

/* From each line of the list: a function that calls the entry, one that gives its tensors */
#define DEFINE(entry, arguments, ...) \
    static void call_##entry(const Ops *table, real **p, const Case *k) { \
        SIZES \
        table->entry arguments; \
    } \
    static int tensors_##entry(Tensor *to, const Case *k) { \
        SIZES \
        Tensor list[] = { __VA_ARGS__ }; \
        return sized(to, list, (int)(sizeof list / sizeof *list)); \
    }
#define ROW(entry, ...) { #entry, call_##entry, tensors_##entry },
OP_LIST(DEFINE)
typedef struct Op {
    const char *name;
    void (*call)(const Ops *table, real **p, const Case *k);
    int (*tensors)(Tensor *to, const Case *k);
} Op;
static const Op op_list[] = { OP_LIST(ROW) };
enum { OPS = sizeof op_list / sizeof *op_list, MOST_TENSORS = 8 };
_Static_assert(sizeof(Ops) == offsetof(Ops, fill) + OPS * sizeof(void (*)(void)),
               "an entry of struct Ops has no line in OP_LIST, so no test");

/* The geometry of a convolution: images n x h x w x c, o output channels, kernel, stride, pad. */
#define CONV(n, h, w, c, o, k, s, p) \
    { n, h, w, c, CONV_SIZE(h, k, s, p), CONV_SIZE(w, k, s, p), o, k, s, p }
#define CONV_SIZE(size, kernel, stride, pad) (((size) + 2 * (pad) - (kernel)) / (stride) + 1)

/* The group of cases an entry belongs to: conv2d_backward_input's is conv2d. */
static inline const char *group_of(const Op *op) {
    static char group[64];
    snprintf(group, sizeof group, "%s", op->name);
    char *end = strstr(group, "_forward");
    if (!end) end = strstr(group, "_backward");
    if (end) *end = 0;
    return group;
}

/* ------------------------------------------------------------------------------------ the sizes */

static const Case conv_cases[] = {
    { .d = CONV(1, 1, 1, 1, 1, 1, 1, 0) }, { .d = CONV(3, 1, 1, 5, 7, 1, 1, 0) },
    { .d = CONV(2, 7, 5, 3, 17, 3, 1, 1) }, { .d = CONV(1, 13, 9, 1, 1, 5, 2, 2) },
    { .d = CONV(1, 2, 3, 2, 2, 5, 3, 2) },          /* the kernel is larger than the picture */
    { .d = CONV(2, 8, 5, 3, 4, 3, 3, 0) },          /* 8 - 3 = 3 + 2: two rows are never seen */
    { .d = CONV(1, 11, 10, 7, 5, 1, 3, 0) },        /* most pixels are never seen */
    { .d = CONV(1, 9, 8, 3, 2, 1, 2, 1) },          /* a border of windows that see only padding */
    { .d = CONV(3, 10, 11, 9, 33, 4, 2, 1) }, { .d = CONV(1, 41, 3, 2, 8, 4, 3, 2) },
    { .d = CONV(2, 17, 14, 19, 7, 5, 3, 2) },
    { .d = CONV(1, 9, 23, 65, 67, 2, 1, 0) },       /* one more than a tile of 64, three more */
    { .d = CONV(4, 5, 5, 130, 3, 1, 1, 0) },
    { .d = CONV(1, 4, 4, 100, 1, 4, 1, 0) },        /* a discriminator's last layer */
    { .d = CONV(1, 3, 300, 4, 5, 3, 1, 1) }, { .d = CONV(1, 31, 37, 3, 65, 3, 2, 1) },
    { .d = CONV(2, 20, 21, 3, 9, 7, 1, 3) }, { .d = CONV(2, 29, 33, 17, 37, 3, 1, 1) },
    { .d = CONV(2, 9, 7, 12, 132, 3, 2, 1) },       /* fours everywhere: 16-byte loads */
    { .d = CONV(3, 12, 10, 68, 8, 4, 2, 1) }, { .d = CONV(2, 11, 8, 20, 64, 3, 1, 1) },
    { .d = CONV(1, 40, 9, 5, 6, 3, 1, 1) },         /* one picture: many bands */
    { .d = CONV(1, 33, 18, 3, 4, 5, 2, 2) },
    { .d = CONV(19, 6, 5, 4, 6, 3, 1, 1) },         /* a batch, and not a round number */
    /* TensorFlow's "same": pads 1 above and left, 2 below and right */
    { .d = { 2, 28, 28, 3, 14, 14, 20, 5, 2, 1 } },
};
#define DENSE(n_, in, out) .d = { .n = n_, .c = in, .o = out }
static const Case dense_cases[] = {
    { DENSE(1, 1, 1) }, { DENSE(1, 100, 1) }, { DENSE(7, 1, 65) }, { DENSE(13, 100, 129) },
    { DENSE(65, 67, 6) }, { DENSE(5, 1000, 17) }, { DENSE(395, 33, 70) }, { DENSE(140, 36, 200) },
};
#define IMAGES(n_, h_, w_, c_, o_, stride_, pad_) \
    .d = { .n = n_, .h = h_, .w = w_, .c = c_, .o = o_, .stride = stride_, .pad = pad_ }
static const Case image_cases[] = {  /* o: concat's second width; stride: upsample's factor */
    { IMAGES(1, 1, 1, 1, 1, 1, 0), .a = 0, .scale = 1, .t = 1 },
    { IMAGES(2, 3, 4, 3, 2, 2, 2), .a = 0.2f, .scale = 0.7f, .t = 2 },
    { IMAGES(1, 5, 2, 17, 33, 3, 1), .a = 0.9f, .scale = -1.3f, .t = 10 },
    { IMAGES(3, 7, 11, 70, 5, 1, 2), .a = 0.5f, .scale = 2, .t = 3 },
    { IMAGES(1, 33, 129, 1, 1, 3, 5), .a = 0, .scale = 1e-3f, .t = 100000 },
    { IMAGES(1, 9, 7, 130, 131, 1, 1), .a = 0.2f, .scale = 0.1f, .t = 7 },
    { IMAGES(2, 67, 61, 13, 3, 2, 3), .a = 0.2f, .scale = 1, .t = 20 },
};

/* The cases an operation is tested on. */
static inline const Case *cases_of(const Op *op, size_t *count) {
    int conv = strstr(op->name, "conv2d") || !strncmp(op->name, "bias", 4);
    int dense = !strncmp(op->name, "dense", 5);
    size_t bytes = conv ? sizeof conv_cases : dense ? sizeof dense_cases : sizeof image_cases;
    *count = bytes / sizeof(Case);
    return conv ? conv_cases : dense ? dense_cases : image_cases;
}

/* normalize_forward with a variance of 1/(m-1), m = rows: a mistake that validate.c looks for */
static inline void normalize_unbiased(real *y, real *mean, real *var, const real *x,
                                      const real *gamma, const real *beta, int groups, long rows,
                                      int c) {
    double unbias = (double)rows / (double)(rows - 1);
    ops_naive.normalize_forward(y, mean, var, x, gamma, beta, groups, rows, c);
    for (long i = 0; i < groups * rows * c && rows > 1; i++) {
        long g = i / (rows * c) * c + i % c;
        double deviation = sqrt((double)var[g] * unbias + NORM_EPS);
        y[i] = gamma[i % c] * (x[i] - mean[g]) / (real)deviation + beta[i % c];
    }
    ops_naive.scale(var, rows > 1 ? (real)unbias : 1, (long)groups * c);
}

/* ---------------------------------------------------------------------- the tensors of one call */

typedef struct Data { int count; Tensor tensor[MOST_TENSORS]; real *value[MOST_TENSORS]; } Data;

/* Is `name` one of the words of `list`? */
static int has_word(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; at && (at = strstr(at, name)); at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == 0 || at[length] == ' ')) return 1;
    return 0;
}

/* x in the fewest digits that read back as the same number */
static inline const char *exact(double x) {
    static char text[32];
    if (x == floor(x) && fabs(x) < 1e15) return snprintf(text, sizeof text, "%.0f", x), text;
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
    }
    return text;
}

/* All that a group of operations reads on a case beside its tensors and their sizes, under the
 * names of layers.h's arguments: "lr=1 beta1=0 beta2=0.9990000128746033 ..". eps of the norms and
 * `least` are no arguments: layers.h has them in its formulas. */
static inline const char *constants_of(const char *group, const Case *k) {
    SIZES
    const struct { const char *name; double value; const char *groups; } list[] = {
        { "kernel", K, "conv2d conv2d_transpose depthwise_conv2d" },
        { "stride", S, "conv2d conv2d_transpose depthwise_conv2d" },
        { "pad", P, "conv2d conv2d_transpose depthwise_conv2d reflect_pad" },
        { "factor", S, "upsample avgpool maxpool" },
        { "value", a, "fill" }, { "a", a, "axpy scale" },
        { "limit", a, "clip" }, { "limit", CLIP_LIMIT, "clip_norm" },
        { "slope", a, "leaky_relu" }, { "target", a, "bce_logits" }, { "rate", a, "dropout" },
        { "momentum", a, "batchnorm_track" }, { "rows", ROWS, "batchnorm_track" },
        { "eps", NORM_EPS, "normalize moments adain batchnorm_inference" },
        { "least", (real)1e-12, "normalize_vector gradient_penalty" },
        { "sign", HINGE_SIGN, "hinge" },
        { "scale", scale, "bce_logits softmax_cross_entropy squared_error absolute_error hinge" },
        { "scale", scale, "mean style_loss total_variation kl" },
        { "lr", scale, "adam_step rmsprop_step" }, { "beta1", a, "adam_step" },
        { "beta2", BETA2, "adam_step" }, { "decay", a, "rmsprop_step" },
        { "eps", STEP_EPS, "adam_step rmsprop_step" }, { "t", k->t, "adam_step" },
    };
    static char text[300];
    size_t length = 0;
    text[0] = 0;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (has_word(list[i].groups, group))
            length += (size_t)snprintf(text + length, sizeof text - length, "%s%s=%s",
                                       length ? " " : "", list[i].name, exact(list[i].value));
    if (has_word("random_uniform random_normal dropout gaussian_sample", group))
        snprintf(text + length, sizeof text - length, "%sseed=%llu stream=%llu first=0",
                 length ? " " : "", (unsigned long long)RANDOM_SEED,
                 (unsigned long long)RANDOM_STREAM);
    return text;
}

/* The tensors of one call: what is read is drawn at random, what must be overwritten is NaN. */
static Data data_random(const Op *op, const Case *k, uint64_t seed) {
    Data x = {0};
    x.count = op->tensors(x.tensor, k);
    for (int i = 0; i < x.count; i++) {
        const Tensor *t = &x.tensor[i];
        if (has_word(k->null, t->name)) continue;
        real *v = x.value[i] = ops_naive.alloc(t->size);
        if (t->role & OUT) ops_naive.fill(v, (real)NAN, t->size);
        else if (t->role & LABEL)
            for (long j = 0; j < t->size; j++)
                v[j] = (real)philox_below(seed, i, j, k->d.c);
        else if (t->role & POSITIVE)
            for (long j = 0; j < t->size; j++)
                v[j] = (real)0.1 + philox_uniform(seed, i, j);
        else ops_naive.random_normal(v, t->size, seed, i);
    }
    return x;
}

static void data_free(Data *x) {
    for (int i = 0; i < x->count; i++) ops_naive.release(x->value[i]);
}

/* The tensor called `name`, or -1. */
static inline int data_find(const Data *x, const char *name) {
    for (int i = 0; i < x->count; i++)
        if (!strcmp(x->tensor[i].name, name)) return i;
    return -1;
}
#endif
