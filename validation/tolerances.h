/* tolerances.h: how far a float32 result may be from another implementation's: |got - want| <= atol
 * + rtol |want|.
 *
 *   rtol = ulps * eps * sqrt(K)      eps = 2^-23, the distance between 1 and the next float
 *   atol = rtol * rms(want)          the root of the mean square of the whole tensor, its scale
 *
 * K is the number of terms of each sum. Every addition rounds by at most half an eps of the partial
 * sum, with a sign as good as random, so K of them add up to about sqrt(K); another order of the
 * same sum rounds otherwise. A sum whose terms cancel is small but its error is not: that is what
 * atol is for. Correct code stays below half of all this. */
#ifndef TOLERANCES_H
#define TOLERANCES_H
#include "validation/op_cases.h"

static double rtol_of(const Op *op, const Case *k) {
    SIZES
    const struct { double ulps, terms; const char *ops; } table[] = {
        /* moved, not computed, or drawn with arithmetic that rounds alike everywhere */
        { 0, 1, "fill copy clip random_uniform random_normal concat_forward reflect_pad_forward" },
        { 0, 1, "upsample_forward maxpool_forward dropout_forward match_ranks" },
        /* one to three roundings; a multiply-add may round once or twice */
        { 2, 1, "axpy scale add_forward concat_backward maxpool_backward dropout_backward" },
        { 2, 1, "hinge_backward mean_backward spectral_forward gray_backward avgpool_backward" },
        { 2, 1, "leaky_relu_forward leaky_relu_backward" },
        { 4, 1, "lerp batchnorm_track clip_norm" },
        /* tanh and exp of another library differ in the last two bits; 1 - y^2 cancels near 1 */
        { 4, 1, "tanh_forward sigmoid_forward sigmoid_backward" }, { 8, 1, "tanh_backward" },
        /* a few pixels are added onto one: up to 9 of a mirrored pixel, factor^2 of a scaled one */
        { 2, 9, "reflect_pad_backward" }, { 2, S * S, "upsample_backward avgpool_forward" },
        { 2, C, "gray_forward" },
        { 4, K * K, "depthwise_conv2d_forward depthwise_conv2d_backward_input" },
        /* matrix products: K products, each rounded, in any order */
        { 4, C, "dense_forward gram_backward" }, { 4, O, "dense_backward_input" },
        { 4, N, "dense_backward_weight" },
        { 4, K * K * C, "conv2d_forward conv2d_transpose_backward_input" },
        { 4, K * K * O, "conv2d_backward_input conv2d_transpose_forward" },
        { 4, N * OH * OW, "conv2d_backward_weight conv2d_transpose_backward_weight" },
        { 4, N * OH * OW, "depthwise_conv2d_backward_weight bias_backward" },
        { 4, ROWS, "gram_forward" },
        /* the index must be equal; a distance as a product of rows two longer cancels a little */
        { 4, C + 26, "nearest" },
        /* sums over the rows of a group; the mean of K numbers is sqrt(K) smaller than they are,
         * its error is not */
        { 4, H * W, "normalize_forward normalize_backward moments_forward" },
        { 4, H * W, "adain_forward adain_backward" },
        { 8, 1, "moments_backward batchnorm_inference" },
        /* one number, summed in double or as a tree: K hardly matters */
        { 8, 1, "sum_squares bce_logits_forward squared_error_forward absolute_error_forward" },
        { 8, 1, "style_loss_forward total_variation_forward mean_sigmoid batch_std mean_forward" },
        { 8, 1, "softmax_cross_entropy_forward hinge_forward kl_forward normalize_vector" },
        { 8, 1, "gradient_penalty" },
        /* a difference and a few products; the factor in front is itself a sum */
        { 8, 1, "bce_logits_backward squared_error_backward style_loss_backward kl_backward" },
        { 8, 1, "softmax_cross_entropy_backward spectral_backward" },
        { 8, 1, "gaussian_sample_forward gaussian_sample_backward" },
        { 4, 1, "total_variation_backward absolute_error_backward" },
        /* an angle grows with the place, and its error with it */
        { 4, (H + W + 6) * (H + W + 6), "waves_forward waves_backward" },   /* 2 pi x */
        /* a root, a quotient, and rounded corrections */
        { 8, 1, "adam_step rmsprop_step" },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (has_word(table[i].ops, op->name)) return table[i].ulps * 0x1p-23 * sqrt(table[i].terms);
    return NAN;                                         /* no tolerance: every comparison fails */
}
#endif
