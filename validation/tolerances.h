/* tolerances.h: how far a float32 result may be from another implementation's: |got - want| <= atol + rtol |want|.
 *
 *   rtol = ulps * eps * sqrt(K)      eps = 2^-23, the distance between 1 and the next float
 *   atol = rtol * rms(want)          the root of the mean square of the whole tensor: the scale of its data
 *
 * K is the number of terms of each sum. Every addition rounds by at most half an eps of the partial sum, with a sign
 * as good as random, so K of them add up to about sqrt(K); another order of the same sum rounds otherwise. A sum whose
 * terms cancel is small but its error is not: that is what atol is for. Correct code stays below half of all this. */
#ifndef TOLERANCES_H
#define TOLERANCES_H
#include "validation/op_cases.h"

static double rtol_of(const Op *op, const Case *k) {
    SIZES
    const struct { const char *op; double ulps, terms; } table[] = {
        /* moved, not computed, or drawn with arithmetic that rounds alike everywhere: the same bits */
        { "fill", 0, 1 }, { "copy", 0, 1 }, { "clip", 0, 1 }, { "random_uniform", 0, 1 }, { "random_normal", 0, 1 },
        { "concat_forward", 0, 1 }, { "reflect_pad_forward", 0, 1 }, { "upsample_forward", 0, 1 },
        { "maxpool_forward", 0, 1 }, { "dropout_forward", 0, 1 },
        /* one to three roundings; a multiply-add may round once or twice */
        { "axpy", 2, 1 }, { "scale", 2, 1 }, { "add_forward", 2, 1 }, { "concat_backward", 2, 1 },
        { "maxpool_backward", 2, 1 }, { "dropout_backward", 2, 1 }, { "hinge_backward", 2, 1 }, { "mean_backward", 2, 1 },
        { "lerp", 4, 1 }, { "spectral_forward", 2, 1 },
        { "gray_backward", 2, 1 }, { "leaky_relu_forward", 2, 1 }, { "leaky_relu_backward", 2, 1 },
        { "batchnorm_track", 4, 1 }, { "clip_norm", 4, 1 }, /* a root, a quotient and a product */
        /* tanh and exp of another library differ in the last two bits; 1 - y^2 cancels near |y| = 1 */
        { "tanh_forward", 4, 1 }, { "tanh_backward", 8, 1 }, { "sigmoid_forward", 4, 1 }, { "sigmoid_backward", 4, 1 },
        /* a few pixels are added onto one: up to 9 of a mirrored pixel, factor^2 of a scaled one */
        { "reflect_pad_backward", 2, 9 }, { "upsample_backward", 2, (double)S * S }, { "gray_forward", 2, C },
        { "avgpool_forward", 2, (double)S * S }, { "avgpool_backward", 2, 1 },
        { "depthwise_conv2d_forward", 4, K * K }, { "depthwise_conv2d_backward_input", 4, K * K },
        /* matrix products: K products, each rounded, in any order */
        { "dense_forward", 4, C }, { "dense_backward_input", 4, O }, { "dense_backward_weight", 4, N },
        { "conv2d_forward", 4, K * K * C }, { "conv2d_backward_input", 4, K * K * O },
        { "conv2d_backward_weight", 4, N * OH * OW }, { "conv2d_transpose_forward", 4, K * K * O },
        { "conv2d_transpose_backward_input", 4, K * K * C }, { "conv2d_transpose_backward_weight", 4, N * OH * OW },
        { "depthwise_conv2d_backward_weight", 4, N * OH * OW },
        { "bias_backward", 4, N * OH * OW }, { "gram_forward", 4, ROWS }, { "gram_backward", 4, C },
        /* the index is a whole number and must be equal; the least as a product of rows two longer cancels a little */
        { "nearest", 4, C + 26 },
        /* sums over the rows of a group; the mean of many numbers is sqrt(K) smaller than they are, its error is not */
        { "normalize_forward", 4, H * W }, { "normalize_backward", 4, H * W },
        { "moments_forward", 4, H * W }, { "moments_backward", 8, 1 },
        { "batchnorm_inference", 8, 1 }, /* a root, a quotient, and x - mean, which cancels */
        /* one number, summed in double or as a tree: K hardly matters */
        { "sum_squares", 8, 1 }, { "bce_logits_forward", 8, 1 }, { "squared_error_forward", 8, 1 },
        { "style_loss_forward", 8, 1 }, { "total_variation_forward", 8, 1 }, { "mean_sigmoid", 8, 1 }, { "batch_std", 8, 1 },
        { "softmax_cross_entropy_forward", 8, 1 }, { "absolute_error_forward", 8, 1 }, { "hinge_forward", 8, 1 },
        { "mean_forward", 8, 1 }, { "kl_forward", 8, 1 }, { "normalize_vector", 8, 1 }, { "gradient_penalty", 8, 1 },
        /* a difference and a few products; the factor in front is itself a sum */
        { "bce_logits_backward", 8, 1 }, { "squared_error_backward", 8, 1 }, { "style_loss_backward", 8, 1 },
        { "total_variation_backward", 4, 1 }, { "softmax_cross_entropy_backward", 8, 1 },
        { "absolute_error_backward", 4, 1 }, { "kl_backward", 8, 1 }, { "spectral_backward", 8, 1 },
        { "gaussian_sample_forward", 8, 1 }, { "gaussian_sample_backward", 8, 1 },
        { "adam_step", 8, 1 }, /* a root, a quotient, and two rounded corrections */
        { "rmsprop_step", 8, 1 },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].op, op->name)) return table[i].ulps * 0x1p-23 * sqrt(table[i].terms);
    return NAN;                                                        /* no tolerance: every comparison fails */
}

/* The first element with not |got - want| <= atol + rtol |want|, or -1. NaN and infinity are close to nothing. */
static long first_difference(const real *got, const real *want, long n, double rtol) {
    double squares = 0;
    for (long i = 0; i < n; i++) squares += (double)want[i] * want[i];
    double atol = n ? rtol * sqrt(squares / (double)n) : 0;
    for (long i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= atol + rtol * fabs((double)want[i]))) return i;
    return -1;
}

/* Planted errors: does first_difference see what it must see, and only that? Returns the number of wrong verdicts. */
static inline int comparison_mistakes(void) {
    enum { AT = 7, LENGTH = 20 };
    const double rtol = 1e-5;
    real want[LENGTH], got[LENGTH];
    double squares = 0;
    for (int i = 0; i < LENGTH; i++) want[i] = (real)(i - 9.5), squares += (double)want[i] * want[i];
    double allowed = rtol * (sqrt(squares / LENGTH) + fabs((double)want[AT]));
    const struct { double value; int seen; } planted[] = {
        { want[AT], 0 }, { want[AT] + 0.9 * allowed, 0 }, { want[AT] - 0.9 * allowed, 0 },
        { want[AT] + 1.1 * allowed, 1 }, { want[AT] - 1.1 * allowed, 1 },
        { -want[AT], 1 }, { 0, 1 }, { NAN, 1 }, { INFINITY, 1 }, { -INFINITY, 1 },
    };
    int mistakes = 0;
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        memcpy(got, want, sizeof got);
        got[AT] = (real)planted[i].value;
        mistakes += first_difference(got, want, LENGTH, rtol) != (planted[i].seen ? AT : -1);
    }
    memcpy(got, want, sizeof got);
    got[AT] = want[AT + 1], got[AT + 1] = want[AT];                     /* two elements exchanged */
    mistakes += first_difference(got, want, LENGTH, rtol) != AT;
    mistakes += first_difference(want, want, LENGTH, NAN) != 0;         /* an operation without a tolerance */
    want[AT] = (real)NAN;
    mistakes += first_difference(want, want, LENGTH, rtol) < 0;         /* NaN is not even close to NaN */
    return mistakes;
}
#endif
