/* period.h: after how many pixels does a textile's motif come again?
 *
 *     double p = image_period(&textile);      24.5: about 24 pixels from motif to motif
 *
 * One .c file says #define PERIOD_IMPLEMENTATION; it needs the code of image.h. */
#ifndef PERIOD_H
#define PERIOD_H
#include "images/image.h"

/* By the autocorrelation of its colours,
 *     C(d) = mean over p of <x(p) - m, x(p + d) - m> / variance,     m: the mean colour
 * A motif agrees with itself at d = 0; C falls, and rises again where the next one lies. The period
 * is the shortest d that is a peak of C beyond that fall, and at least 3/4 as high as the highest
 * one. Where no peak is higher than 0.4, or only far away, motifs are scattered, and it is 3 times
 * the distance at which C, averaged over all directions, is down to 0.1 (a third of a wave). It
 * looks at the picture's middle, a square,
 * shrunk to at most 256 pixels, and there at distances up to 64 and half of the side. 0: the
 * picture has one colour, or no memory. */
double image_period(const Image *x);
#endif

#if defined(PERIOD_IMPLEMENTATION) && !defined(PERIOD_IMPLEMENTED)
#define PERIOD_IMPLEMENTED
#include <stdlib.h>
#include <string.h>

enum { PERIOD_FAR = 64, PERIOD_SIDE = 2 * PERIOD_FAR + 1 };

/* C of the lag (dy,dx) */
static double period_agrees(const Image *x, int dy, int dx) {
    double sum = 0;
    int left = dx < 0 ? -dx : 0, right = x->w - (dx > 0 ? dx : 0), c = x->c;
    for (int i = 0; i + dy < x->h; i++) {
        const float *a = x->pixels + (long)i * x->w * c;
        const float *b = a + ((long)dy * x->w + dx) * c;
        float row = 0;
        #pragma omp simd reduction(+:row)
        for (int k = left * c; k < right * c; k++) row += a[k] * b[k];
        sum += row;
    }
    return sum / ((double)(x->h - dy) * (right - left) * c);
}

/* The period in pixels of x, whose colours have mean 0. at: C of all lags, (0,0) in the middle */
static double period_of(const double *at, int far) {
    double ring[PERIOD_FAR + 1] = {0}, count[PERIOD_FAR + 1] = {0}, best = 0, period = 0;
    const double *middle = at + PERIOD_FAR * PERIOD_SIDE + PERIOD_FAR;
    for (int i = -far; i <= far; i++)
        for (int j = -far; j <= far; j++) {
            int r = (int)lround(sqrt((double)(i * i + j * j)));
            if (r <= far) ring[r] += middle[i * PERIOD_SIDE + j], count[r]++;
        }
    int fall = 1;
    for (int r = 0; r <= far; r++) ring[r] /= count[r];
    while (fall < far && ring[fall] > 0.1 && ring[fall + 1] < ring[fall]) fall++;
    for (int pass = 0; pass < 2; pass++)                 /* the highest peak, then the shortest */
        for (int i = 0; i < far; i++)
            for (int j = 1 - far; j < far; j++) {
                const double *here = middle + i * PERIOD_SIDE + j;
                double r = sqrt((double)(i * i + j * j));
                int peak = r > fall && r < far;
                for (int k = 0; k < 9 && peak; k++)
                    peak = here[(k / 3 - 1) * PERIOD_SIDE + k % 3 - 1] <= *here;
                if (!peak || !(*here > 0.4) || *here < 0.75 * best) continue;
                if (!pass) best = fmax(best, *here);
                else if (!(period > 0) || r < period) period = r;
            }
    int scattered = 3 * fall;               /* a repeat of many motifs is not one of them */
    return period > 0 && period < 2.5 * scattered ? period : scattered;
}

double image_period(const Image *from) {
    double mean[4] = {0}, square = 0, *at = calloc(PERIOD_SIDE * PERIOD_SIDE, sizeof *at);
    int shorter = from->h < from->w ? from->h : from->w, side = shorter < 256 ? shorter : 256;
    double by = (double)shorter / side, period = 0;
    int far = side / 2 < PERIOD_FAR ? side / 2 : PERIOD_FAR;
    Image small = {0}, x = {0};
    int good = at && image_resize(&small, from, (int)lround(from->h / by), (int)lround(from->w / by));
    good = good && image_crop(&x, &small, (small.h - side) / 2, (small.w - side) / 2, side, side);
    long n = good ? (long)x.h * x.w : 0;
    for (long p = 0; p < n * x.c; p++) mean[p % x.c] += x.pixels[p] / (double)n;
    for (long p = 0; p < n * x.c; p++) {
        x.pixels[p] -= (float)mean[p % x.c];
        square += x.pixels[p] * x.pixels[p] / (double)(n * x.c);
    }
    if (good && square > 1e-6) {
        #pragma omp parallel for
        for (int i = 0; i <= far; i++)
            for (int j = -far; j <= far; j++) {
                double c = period_agrees(&x, i, j) / square;
                at[(PERIOD_FAR + i) * PERIOD_SIDE + PERIOD_FAR + j] = c;
                at[(PERIOD_FAR - i) * PERIOD_SIDE + PERIOD_FAR - j] = c;
            }
        period = by * period_of(at, far);
    }
    image_free(&small), image_free(&x), free(at);
    return period;
}
#endif
