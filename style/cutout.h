/* cutout.h: what is painted of a picture, and in which styles: decided once, whatever paints it.
 *
 *     Cutout cut;                      photo: RGB, with the mask of what is to be painted
 *     if (!cutout_take(&cut, &photo, 0, 1, 2)) return 0;
 *     ... a method makes `print`, a picture of the size of cut.part ...
 *     image_lay_print(&photo, &print, &cut.tones, cut.top, cut.left, shade);
 *
 * Of a program one .c file includes style/, whose functions are static, and static inline where not
 * every program calls them. */
#ifndef CUTOUT_H
#define CUTOUT_H
#include "images/images.h"
#include <stdlib.h>
#include <string.h>

typedef struct Cutout {
    Image part;                         /* (h,w,3), with its part of the mask */
    Image tones;                        /* image_tones of it: (h,w,1) */
    int top, left;                      /* where it lies in the picture */
} Cutout;

enum { CUTOUT_ALL = 1 << 14 };          /* a margin: all of the picture */

/* Pictures (RGB) and the share of each in the mixture, in any unit; NULL: all alike */
typedef struct Styles { const Image *picture; const double *share; int count; } Styles;
static inline double styles_sum(const Styles *s) {
    double all = 0;
    for (int i = 0; i < s->count; i++) all += s->share ? s->share[i] : 1;
    return all;
}
static inline double styles_share(const Styles *s, int i) {             /* of 1 */
    return (s->share ? s->share[i] : 1) / styles_sum(s);
}

static void cutout_widen(int *low, int *high, int n, int margin, int least) {    /* low..high-1 */
    *low = fmax(0, *low - margin);
    *high = fmin(n, fmax(*high + margin, *low + least));
    *low = fmax(0, fmin(*low, *high - least));
}

static inline void cutout_free(Cutout *cut) { image_free(&cut->part), image_free(&cut->tones); }

/* What the mask shows and `margin` pixels around it; a side is at least `least` long where the
 * picture's is. rim: image_tones's; 0: a hundredth of the longer side. Errors: no pixel of the
 * mask is above 0, memory; *cut is empty then. */
static inline int cutout_take(Cutout *cut, const Image *picture, int margin, int least, int rim) {
    int bottom, right;
    memset(cut, 0, sizeof *cut);
    image_mask_box(&cut->top, &cut->left, &bottom, &right, picture);
    if (!bottom)
        return fail("its mask is empty, there is nothing to print on: --mask can say where");
    cutout_widen(&cut->top, &bottom, picture->h, margin, least);
    cutout_widen(&cut->left, &right, picture->w, margin, least);
    int h = bottom - cut->top, w = right - cut->left;
    int good = image_crop(&cut->part, picture, cut->top, cut->left, h, w)
            && image_tones(&cut->tones, &cut->part, rim ? rim : ceil(.01 * fmax(h, w)));
    if (!good) cutout_free(cut);
    return good;
}

/* The picture becomes (h,w), rounded. It grows by bilinear steps of at most `most`: 2 is smoother
 * than one large step, whose grid would show. Errors: more pixels than a picture has, memory. */
static inline int resize_in_steps(Image *picture, double height, double width, double most) {
    int h = fmax(1, lround(height)), w = fmax(1, lround(width));
    if ((double)h * w > 5e7)
        return fail("%d x %d pixels are more than a picture's 50 million: give a smaller --size "
                    "or a larger --style-scale", w, h);
    while (picture->h != h || picture->w != w) {
        Image next;
        int next_h = fmin(h, most * picture->h), next_w = fmin(w, most * picture->w);
        if (!image_resize(&next, picture, next_h, next_w)) return 0;
        image_free(picture);
        *picture = next;
    }
    return 1;
}

/* What is transparent in the style gets the colour `ground`; clear: it keeps its mask */
static inline void lay_on_ground(Image *style, const double ground[3], int clear) {
    for (long i = 0; style->mask && i < 3L * style->h * style->w; i++) {
        float m = style->mask[i / 3];
        style->pixels[i] = m * style->pixels[i] + (1 - m) * (float)ground[i % 3];
    }
    if (!clear) free(style->mask), style->mask = NULL;
}

/* F of a print x = a F + (1 - a) ground, where a is its mask */
static inline void take_off_ground(Image *x, const double ground[3]) {
    for (long i = 0; x->mask && i < 3L * x->h * x->w; i++) {
        double a = x->mask[i / 3], f = (x->pixels[i] - (1 - a) * ground[i % 3]) / fmax(a, .01);
        x->pixels[i] = image_clamp(f, -1, 1);
    }
}
#endif
