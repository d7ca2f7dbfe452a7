/* period.h: after how many pixels does a textile's motif come again?
 *
 *     double p = image_period(&textile);      24.5: about 24 pixels from motif to motif */
#ifndef PERIOD_H
#define PERIOD_H
#include "images/image.h"

/* By the autocorrelation of its colours,
 *     C(d) = mean over p of <x(p) - m, x(p + d) - m> / variance,     m: the mean colour
 * A motif agrees with itself at d = 0; C falls, and rises again where the next one lies. The period
 * is the shortest d that is a peak of C beyond that fall, with a lower C on the way to it (stripes
 * have ridges), and at least 3/4 as high as the highest one. Where no peak is higher than 0.4, or
 * only far away, motifs are scattered, and it is 3 times the distance at which C, averaged over all
 * directions, is down to 0.1 (a third of a wave). It looks at the picture's middle, a square,
 * shrunk to at most 256 pixels, and there at distances up to 64 and half of the side. 0: the
 * picture has one colour, or no memory. */
double image_period(const Image *x);

/* The strongest waves of its colours: k[0 .. count-1] radians a row, k[count ..] a column; 0 where
 * there are no more. They are the peaks of the power |sum over p of x(p) v(p) e^(i k.p)|^2 of the
 * same middle, v: a window that falls to 0 at the edges (Hann), with periods of 10 to 64 pixels,
 * and no two of them close together. */
void image_waves(double *k, int count, const Image *x);
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
        const float *a = x->pixels + i * x->w * c;
        const float *b = a + (dy * x->w + dx) * c;
        float row = 0;
        #pragma omp simd reduction(+:row)
        for (int k = left * c; k < right * c; k++) row += a[k] * b[k];
        sum += row;
    }
    return sum / ((x->h - dy) * (right - left) * c);
}

/* The period in pixels. at: C of all lags, (0,0) in the middle */
static double period_of(const double *at, int far) {
    double ring[PERIOD_FAR + 1] = {0}, count[PERIOD_FAR + 1] = {0}, best = 0, period = 0;
    const double *middle = at + PERIOD_FAR * PERIOD_SIDE + PERIOD_FAR;
    for (int i = -far; i <= far; i++)
        for (int j = -far; j <= far; j++) {
            int r = lround(sqrt(i * i + j * j));
            if (r <= far) ring[r] += middle[i * PERIOD_SIDE + j], count[r]++;
        }
    int fall = 1;
    for (int r = 0; r <= far; r++) ring[r] /= count[r];
    while (fall < far && ring[fall] > 0.1 && ring[fall + 1] < ring[fall]) fall++;
    for (int pass = 0; pass < 2; pass++)                 /* the highest peak, then the shortest */
        for (int i = 0; i < far; i++)
            for (int j = 1 - far; j < far; j++) {
                const double *here = middle + i * PERIOD_SIDE + j;
                double r = sqrt(i * i + j * j);
                int peak = r > fall && r < far;
                for (int k = 0; k < 9 && peak; k++)
                    peak = here[(k / 3 - 1) * PERIOD_SIDE + k % 3 - 1] <= *here;
                if (!peak || !(*here > 0.4) || *here < 0.75 * best) continue;
                double least = *here;                     /* no ridge: on the way C is lower */
                for (double t = 1 / r; t < 1; t += 1 / r)
                    least = fmin(least, middle[lround(i * t) * PERIOD_SIDE + lround(j * t)]);
                if (!(least < 0.8 * *here)) continue;
                if (!pass) best = fmax(best, *here);
                else if (!(period > 0) || r < period) period = r;
            }
    int scattered = 3 * fall;               /* a repeat of many motifs is not one of them */
    return period > 0 && period < 2.5 * scattered ? period : scattered;
}

/* The middle of the picture, a square of at most 256, colours with mean 0: *by: how much it has
 * been shrunk. 0: no memory */
static int period_middle(Image *x, double *by, const Image *from) {
    int shorter = from->h < from->w ? from->h : from->w, side = shorter < 256 ? shorter : 256;
    Image small = {0};
    double mean[4] = {0};
    *x = (Image){0}, *by = (double)shorter / side;
    int h = lround(from->h / *by), w = lround(from->w / *by);
    int good = image_resize(&small, from, h, w)
            && image_crop(x, &small, (h - side) / 2, (w - side) / 2, side, side);
    long n = good ? side * side : 0;
    for (long p = 0; p < n * x->c; p++) mean[p % x->c] += x->pixels[p] / (double)n;
    for (long p = 0; p < n * x->c; p++) x->pixels[p] -= (float)mean[p % x->c];
    image_free(&small);
    return good;
}

double image_period(const Image *from) {
    double square = 0, by, period = 0, *at = calloc(PERIOD_SIDE * PERIOD_SIDE, sizeof *at);
    Image x;
    int good = period_middle(&x, &by, from) && at;
    int far = x.h / 2 < PERIOD_FAR ? x.h / 2 : PERIOD_FAR;
    long n = x.h * x.w * x.c;
    for (long p = 0; p < n; p++) square += x.pixels[p] * x.pixels[p] / (double)n;
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
    image_free(&x), free(at);
    return period;
}

/* to (most+1, 2 most+1): the power of the waves (i,j) k0; x: windowed. across: (h, 2 most+1, 2) */
static void waves_power(double *to, double *across, const Image *x, int most, double k0) {
    int wide = 2 * most + 1, side = x->w;
    memset(to, 0, (most + 1) * wide * sizeof *to);
    for (int c = 0; c < x->c; c++) {
        #pragma omp parallel for
        for (int p = 0; p < side * wide; p++) {           /* along a row first, then the columns */
            double re = 0, im = 0, k = k0 * (p % wide - most);
            for (int q = 0; q < side; q++) {
                double v = x->pixels[(p / wide * side + q) * x->c + c];
                re += v * cos(k * q), im += v * sin(k * q);
            }
            across[2 * p] = re, across[2 * p + 1] = im;
        }
        #pragma omp parallel for
        for (int p = 0; p < (most + 1) * wide; p++) {
            double re = 0, im = 0, k = k0 * (p / wide);
            for (int q = 0; q < side; q++) {
                const double *a = across + 2 * (q * wide + p % wide);
                re += a[0] * cos(k * q) - a[1] * sin(k * q);
                im += a[0] * sin(k * q) + a[1] * cos(k * q);
            }
            to[p] += re * re + im * im;
        }
    }
}

void image_waves(double *k, int count, const Image *from) {
    const double turn = 6.283185307179586;
    enum { SHORTEST = 10, LONGEST = 64, APART = 4 };
    Image x;
    double by;
    memset(k, 0, 2 * count * sizeof *k);
    if (!period_middle(&x, &by, from)) return;
    int side = x.h, most = 2 * side / SHORTEST, wide = 2 * most + 1;
    double k0 = turn / (2 * side);                        /* steps of half a period in the square */
    double *power = calloc((most + 1) * wide, sizeof *power);
    double *across = calloc(2 * side * wide, sizeof *across);
    int good = power && across;
    for (long p = 0; p < side * side; p++)
        for (int c = 0; c < x.c; c++)
            x.pixels[p * x.c + c] *= (float)((1 - cos(turn * (p / side + .5) / side))
                                             * (1 - cos(turn * (p % side + .5) / side)));
    if (good) waves_power(power, across, &x, most, k0);
    for (int n = 0; n < count && good; n++) {
        int best = -1;
        for (int p = 0; p < (most + 1) * wide; p++) {
            double r = hypot(p / wide, p % wide - most) * k0 / turn;
            if (r * SHORTEST > 1 || r * LONGEST < 1) continue;
            if (power[p] > (best < 0 ? 0 : power[best])) best = p;
        }
        if (best < 0) break;
        k[n] = k0 * (best / wide) / by, k[count + n] = k0 * (best % wide - most) / by;
        for (int p = 0; p < (most + 1) * wide; p++) {     /* it, and its mirror image on row 0 */
            int i = p / wide - best / wide, j = p % wide - best % wide;
            int mi = p / wide + best / wide, mj = p % wide + best % wide - 2 * most;
            if (hypot(i, j) <= APART || hypot(mi, mj) <= APART) power[p] = 0;
        }
    }
    image_free(&x), free(power), free(across);
}
#endif
