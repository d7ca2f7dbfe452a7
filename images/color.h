/* color.h: the colours of RGB pictures (c = 3): mean and covariance, and maps between them. */
#ifndef COLOR_H
#define COLOR_H
#include "images/image.h"

/* mean (3) = E[x], covariance (3,3) = E[(x - mean)(x - mean)^T] over the pixels of `count` pictures
 * where their masks are above 1/2. weight: of each picture, or NULL if all count alike. */
void colour_statistics(double mean[3], double covariance[9], const Image *picture,
                       const double *weight, int count);

void colour_power(double out[9], const double s[9], double p);  /* s^p, eigenvalues from 1e-8 up */

/* T = C^-1/2 (C^1/2 S C^1/2)^1/2 C^-1/2: of all linear maps that turn the covariance C (from) into
 * S (to), T C T = S, it moves the colours least (Monge's problem for Gaussians; Olkin, Pukelsheim
 * 1982). Both get COLOUR_RIDGE on the diagonal: a flat colour's noise does not become colourful. */
#define COLOUR_RIDGE 1e-3
void colour_monge(double t[9], const double from[9], const double to[9]);

/* x = to + M (x - from) */
void colour_map(Image *x, const double m[9], const double from[3], const double to[3]);

/* x gets the mean and covariance of `like`, clamped to [-1,1] (Gatys, Bethge, Hertzmann, Shechtman:
 * "Preserving color in neural artistic style transfer", 2016: their colour histogram matching). */
void colour_match(Image *x, const Image *like);

/* x keeps its luminance Y and takes the rest from a picture of its size: x = Y_x + s (p - Y_p),
 * with the largest s of 0..1 that keeps R, G and B in [-1,1] (their luminance-only transfer). Where
 * x and p agree, no bit changes. */
void colour_keep_luminance(Image *x, const Image *p);
#endif

#if defined(COLOR_IMPLEMENTATION) && !defined(COLOR_IMPLEMENTED)
#define COLOR_IMPLEMENTED
#include "core/matrix.h"
#include <string.h>

void colour_statistics(double mean[3], double covariance[9], const Image *picture,
                       const double *weight, int count) {
    double all = 0;
    memset(mean, 0, 3 * sizeof *mean), memset(covariance, 0, 9 * sizeof *covariance);
    for (int k = 0; k < count; k++) {
        double n = 0, sum[3] = {0}, square[9] = {0}, share = weight ? weight[k] : 1;
        for (long p = 0; p < picture[k].h * picture[k].w; p++) {
            const float *x = picture[k].pixels + 3 * p;
            if (picture[k].mask && !(picture[k].mask[p] > .5f)) continue;
            for (int i = 0; i < 3; i++) sum[i] += x[i];
            for (int i = 0; i < 9; i++) square[i] += (double)x[i / 3] * x[i % 3];
            n++;
        }
        if (n == 0) continue;
        all += share;
        for (int i = 0; i < 3; i++) mean[i] += share * sum[i] / n;
        for (int i = 0; i < 9; i++) covariance[i] += share * square[i] / n;
    }
    for (int i = 0; all > 0 && i < 3; i++) mean[i] /= all;
    for (int i = 0; all > 0 && i < 9; i++)
        covariance[i] = covariance[i] / all - mean[i / 3] * mean[i % 3];
}

void colour_power(double out[9], const double s[9], double p) {     /* V diag(e^p) V^T */
    double e[9], v[9];
    memcpy(e, s, sizeof e);
    symmetric_eigen(e, v, 3);
    for (int i = 0; i < 9; i++) {
        out[i] = 0;
        for (int k = 0; k < 3; k++)
            out[i] += v[i / 3 * 3 + k] * pow(fmax(e[4 * k], 1e-8), p) * v[i % 3 * 3 + k];
    }
}

void colour_monge(double t[9], const double from[9], const double to[9]) {
    double c[9], s[9], root[9], whiten[9], a[9], b[9];
    memcpy(c, from, sizeof c), memcpy(s, to, sizeof s);
    for (int i = 0; i < 9; i += 4) c[i] += COLOUR_RIDGE, s[i] += COLOUR_RIDGE;
    colour_power(root, c, .5), colour_power(whiten, c, -.5);
    matrix_product(a, root, s, 3), matrix_product(b, a, root, 3);
    colour_power(a, b, .5);
    matrix_product(b, whiten, a, 3), matrix_product(t, b, whiten, 3);
}

void colour_map(Image *x, const double m[9], const double from[3], const double to[3]) {
    for (long p = 0; p < x->h * x->w; p++) {
        float *at = x->pixels + 3 * p;
        double d[3] = { at[0] - from[0], at[1] - from[1], at[2] - from[2] };
        for (int i = 0; i < 3; i++)
            at[i] = to[i] + m[3 * i] * d[0] + m[3 * i + 1] * d[1] + m[3 * i + 2] * d[2];
    }
}

void colour_match(Image *x, const Image *like) {
    double mean[2][3], covariance[2][9], t[9];
    colour_statistics(mean[0], covariance[0], x, NULL, 1);
    colour_statistics(mean[1], covariance[1], like, NULL, 1);
    colour_monge(t, covariance[0], covariance[1]);
    colour_map(x, t, mean[0], mean[1]);
    for (long i = 0; i < x->h * x->w * 3; i++)
        x->pixels[i] = image_clamp(x->pixels[i], -1, 1);
}

void colour_keep_luminance(Image *x, const Image *p) {
    for (long i = 0; i < x->h * x->w * 3; i += 3) {
        float *a = x->pixels + i, s = 1, y, y_p, d[3];
        const float *b = p->pixels + i;
        if (!memcmp(a, b, 3 * sizeof *a)) continue;
        image_channels(&y, 1, a, 3, 1), image_channels(&y_p, 1, b, 3, 1);
        for (int k = 0; k < 3; k++) {
            d[k] = b[k] - y_p;
            if (y + d[k] > 1) s = fminf(s, (1 - y) / d[k]);
            if (y + d[k] < -1) s = fminf(s, (-1 - y) / d[k]);
        }
        for (int k = 0; k < 3; k++) a[k] = image_clamp(y + s * d[k], -1, 1);
    }
}
#endif
