/* image.h: one picture: cut, enlarged, laid on another; a garment's mask, and a print on it.
 *
 *     Image photo, small;
 *     if (!image_load(&photo, "shirt.jpg") || !image_fit(&small, &photo, 64, 64))     // formats.h
 *         fprintf(stderr, "%s\n", error_text());
 *
 * All of images/ keeps these rules:
 *   - pixels are floats in [-1, 1], rows from the top, channels last: pixels[(y*w + x)*c + k];
 *   - a mask holds floats in [0, 1], (h,w): 1 on the garment, 0 on the background;
 *   - a function that can fail returns 0 and leaves one line in error_text(). None prints, exits or
 *     draws random numbers;
 *   - an Image that a function makes is not freed first, must not be the source, and is empty after
 *     a failure: image_free is always right.
 * A side is 1 to 16384 pixels, a picture has at most 50 megapixels. */
#ifndef IMAGE_H
#define IMAGE_H
#include "core/error.h"
#include <math.h>
#include <stddef.h>

typedef struct Image {
    int h, w, c;        /* rows, columns, channels: 1 = gray, 3 = RGB */
    float *pixels;      /* (h,w,c) in [-1,1] */
    float *mask;        /* (h,w) in [0,1], or NULL: the whole picture counts */
    int tileable;       /* 1: a textile pattern, whose edges meet when it is repeated */
} Image;

enum { IMAGE_SIDE = 16384, IMAGE_AREA = 50000000 };
static inline int image_size_ok(long long h, long long w) {
    return h >= 1 && w >= 1 && h <= IMAGE_SIDE && w <= IMAGE_SIDE && h * w <= IMAGE_AREA;
}

int image_new(Image *out, int h, int w, int c);     /* zeros (mid-gray), no mask; c = 1..4 */
int image_add_mask(Image *image, float value);      /* a mask with this value everywhere */
int image_copy(Image *dst, const Image *src);
void image_free(Image *image);                      /* and makes it empty */

/* The byte b is the pixel b/127.5 - 1 (F20); the pixel x is the byte round((x + 1)*127.5), clamped
 * to 0..255, NaN is 0. */
static inline float image_from_byte(unsigned char b) { return b / 127.5f - 1; }
unsigned char image_to_byte(float x);

static inline float image_clamp(float x, float low, float high) {
    return fminf(fmaxf(x, low), high);
}

/* out (n,c_out) = in (n,c_in): gray is repeated into RGB; RGB becomes gray by its luminance
 * .299 R + .587 G + .114 B. out may be in if c_out <= c_in. */
void image_channels(float *out, int c_out, const float *in, int c_in, size_t n);

/* The distance of the point (x,y) from the straight line between the points a and b */
float image_distance(float x, float y, const float a[2], const float b[2]);

/* Rows y..y+h-1 and columns x..x+w-1; or src repeated, dst[i,j] = src[i % src.h, j % src.w] */
int image_crop(Image *dst, const Image *src, int y, int x, int h, int w);
int image_tile(Image *dst, const Image *src, int h, int w);

/* Lays one picture on another, from row top and column left on; each pixel becomes scale x scale.
 * What lies outside is cut off. If `to` has a mask, it gets that of `from`, or 1. */
void image_paste(Image *to, const Image *from, int top, int left, int scale);

/* Rows first, then columns, the mask too. An axis that shrinks by s = in/out averages its box,
 *     y[i] = 1/s sum_j |[i s, (i+1) s) n [j, j+1)| x[j]          (|.|: the length of the overlap)
 * and one that grows is bilinear, with half-pixel centres and clamped edges (align_corners=False):
 *     p = max(0, (i + 1/2) in/out - 1/2)
 *     y[i] = (1 - frac p) x[floor p] + frac p x[min(floor p + 1, in - 1)] */
int image_resize(Image *dst, const Image *src, int h, int w);

/* All of a picture of any shape in the middle of (h,w), on a ground of its border's colour (white
 * if the border has none), where the mask is 0. */
int image_fit(Image *dst, const Image *src, int h, int w);

/* Averages the mask over 3x3, with weights 1 2 1 each way (edges repeated). A mask of whole pixels
 * shows stairs when it is enlarged; rounded before, and with 2m - 1/2 after, its edge is smooth. */
int image_round_mask(Image *image);

/* Shrinks the mask by r pixels: to[y,x] = min of from[y+v,x+u], |u|,|v| <= r */
int image_draw_in(Image *image, int r);

/* The mask is above 0 only in rows *top..*bottom-1, columns *left..*right-1; *bottom is 0 if it is
 * 0 everywhere. */
void image_mask_box(int *top, int *left, int *bottom, int *right, const Image *image);

/* An RGB picture becomes white around the garment; all: on it too, where a print is to cover it */
void image_whiten(Image *image, int all);

/* tones: the garment's luminance, (h,w,1). Within `rim` pixels of its edge the garment is mixed
 * with the background. There, and outside the mask, tones are continued smoothly from further
 * inside, if there is an inside; it is their mask. Without a mask, all of the picture is inside. */
int image_tones(Image *tones, const Image *image, int rim);

/* Lays a print on the garment, which keeps its folds and shadows. With all colours in [0,1]
 *     image = m y f + (1 - m) image
 *     f = 1 - shade + shade clamp((l + s) / (light + s), .15, 1.25)
 * m: the mask, times the print's if it has one; y: the print, gray or RGB; l: the smaller of the
 * picture's luminance and the tones (a light background in the edge leaves no pale seam, but a
 * drawn outline stays); light: the tone that 80% of the garment are below; s = .15 max(1 - 2 light,
 * 0): a dark garment's folds would otherwise have the contrast of lacquer. print and tones have one
 * size; their corner lies at (top, left) of the image, which is RGB with a mask. */
void image_lay_print(Image *image, const Image *print, const Image *tones, int top, int left,
                     double shade);
/* The i-th of the 2(h + w) border pixels: top, bottom, left, right. The corners come twice. */
static inline size_t image_border_pixel(const Image *m, int i) {
    if (i < 2 * m->w) return i < m->w ? i : (m->h - 1) * m->w + i - m->w;
    i -= 2 * m->w;
    return i < m->h ? i * m->w : (i - m->h) * m->w + m->w - 1;
}
#endif

#if defined(IMAGE_IMPLEMENTATION) && !defined(IMAGE_IMPLEMENTED)
#define IMAGE_IMPLEMENTED
#include <stdlib.h>
#include <string.h>

int image_new(Image *out, int h, int w, int c) {
    memset(out, 0, sizeof *out);
    if (!image_size_ok(h, w) || c < 1 || c > 4)
        return fail("a picture of %d x %d pixels and %d channels cannot be made: sides are "
                    "1..16384, at most 50 megapixels, 1..4 channels", w, h, c);
    out->pixels = calloc(h * w * c, sizeof *out->pixels);
    if (!out->pixels) return fail("out of memory for a picture of %d x %d pixels", w, h);
    out->h = h, out->w = w, out->c = c;
    return 1;
}

void image_free(Image *image) {
    free(image->pixels), free(image->mask);
    memset(image, 0, sizeof *image);
}

int image_add_mask(Image *image, float value) {
    size_t n = image->h * image->w;
    image->mask = malloc(n * sizeof *image->mask);
    if (!image->mask) return fail("out of memory for a mask of %d x %d", image->w, image->h);
    for (size_t i = 0; i < n; i++) image->mask[i] = value;
    return 1;
}

unsigned char image_to_byte(float x) {
    x = (x + 1) * 127.5f;
    return !(x > 0) ? 0 : x >= 255 ? 255 : x + .5f;            /* NaN is not > 0 */
}

void image_channels(float *out, int c_out, const float *in, int c_in, size_t n) {
    if (c_out == c_in) memmove(out, in, n * c_in * sizeof *out);
    else for (size_t i = 0; i < n; i++, in += c_in) {
        if (c_out == 1) out[i] = .299f * in[0] + .587f * in[1] + .114f * in[2];
        else out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = in[0];
    }
}

float image_distance(float x, float y, const float a[2], const float b[2]) {
    float dx = b[0] - a[0], dy = b[1] - a[1], length2 = dx * dx + dy * dy, t = 0;
    if (length2 > 0) t = image_clamp(((x - a[0]) * dx + (y - a[1]) * dy) / length2, 0, 1);
    float u = x - a[0] - t * dx, v = y - a[1] - t * dy;
    return sqrtf(u * u + v * v);
}

/* A new picture with the channels of src, and a mask of zeros if src has one. */
static int im_new_like(Image *out, const Image *src, int h, int w) {
    memset(out, 0, sizeof *out);
    if (!src->pixels) return fail("the source picture is empty");
    if (image_new(out, h, w, src->c) && (!src->mask || image_add_mask(out, 0))) return 1;
    image_free(out);
    return 0;
}

void image_paste(Image *to, const Image *from, int top, int left, int scale) {
    int bottom = top + from->h * scale, right = left + from->w * scale;
    for (int y = top > 0 ? top : 0; y < bottom && y < to->h; y++)
        for (int x = left > 0 ? left : 0; x < right && x < to->w; x++) {
            long i = y * to->w + x;
            long j = (y - top) / scale * from->w + (x - left) / scale;
            image_channels(to->pixels + i * to->c, to->c, from->pixels + j * from->c, from->c, 1);
            if (to->mask) to->mask[i] = from->mask ? from->mask[j] : 1;
        }
}

int image_crop(Image *dst, const Image *src, int y, int x, int h, int w) {
    memset(dst, 0, sizeof *dst);
    if (y < 0 || x < 0 || h < 1 || w < 1 || h > src->h - y || w > src->w - x)
        return fail("a crop of %d x %d pixels at column %d, row %d leaves the %d x %d there are",
                    w, h, x, y, src->w, src->h);
    if (!im_new_like(dst, src, h, w)) return 0;
    image_paste(dst, src, -y, -x, 1);
    return 1;
}

int image_tile(Image *dst, const Image *src, int h, int w) {
    if (!im_new_like(dst, src, h, w)) return 0;
    for (int y = 0; y < h; y += src->h)
        for (int x = 0; x < w; x += src->w) image_paste(dst, src, y, x, 1);
    dst->tileable = src->tileable && h % src->h == 0 && w % src->w == 0;
    return 1;
}

int image_copy(Image *dst, const Image *src) { return image_tile(dst, src, src->h, src->w); }

/* One axis: in (outer, n, inner) -> out (outer, m, inner), by the formulas above image_resize. With
 * n*m units along the axis all overlaps are whole numbers: in's cell j is [j m, (j+1) m), out's box
 * i is [i n, (i+1) n). */
static float *im_resize_axis(const float *in, int outer, int n, int inner, int m) {
    float *out = in ? calloc(outer * m * inner, sizeof *out) : NULL;
    for (long i = 0; out && i < m; i++) {
        double p = fmax((i + .5) * n / m - .5, 0);
        int grow = m > n, first = grow ? p : i * n / m;
        int last = grow ? (first + 1 < n ? first + 1 : first) : (int)(((i + 1) * n - 1) / m);
        for (long j = first; j <= last; j++) {
            double low = fmax(j * m, i * n), high = fmin((j + 1) * m, (i + 1) * n);
            float weight = !grow ? (high - low) / n : first == last ? 1 : 1 - fabs(p - j);
            for (long o = 0; o < outer; o++) {
                float *to = out + (o * m + i) * inner;
                const float *from = in + (o * n + j) * inner;
                for (int k = 0; k < inner; k++) to[k] += weight * from[k];
            }
        }
    }
    return out;
}

int image_resize(Image *dst, const Image *src, int h, int w) {
    memset(dst, 0, sizeof *dst);
    if (!src->pixels || !image_size_ok(h, w))
        return fail("cannot resize a picture of %d x %d pixels to %d x %d", src->w, src->h, w, h);
    if (h == src->h && w == src->w) return image_copy(dst, src);
    float *rows = im_resize_axis(src->pixels, 1, src->h, src->w * src->c, h);
    float *mask = im_resize_axis(src->mask, 1, src->h, src->w, h);
    *dst = (Image){ h, w, src->c, im_resize_axis(rows, h, src->w, src->c, w),
                    im_resize_axis(mask, h, src->w, 1, w), src->tileable };
    free(rows), free(mask);
    if (dst->pixels && (dst->mask || !src->mask)) return 1;
    image_free(dst);
    return fail("out of memory for a picture of %d x %d pixels", w, h);
}

/* colour = the border's median in each channel, if 60% of the border is near it; else white */
static void im_border_colour(const Image *m, float *colour) {
    int n = 2 * (m->h + m->w), near = 0;
    for (int k = 0; k < m->c; k++) {
        int histogram[256] = {0}, level = 0;
        for (int i = 0; i < n; i++)
            histogram[image_to_byte(m->pixels[image_border_pixel(m, i) * m->c + k])]++;
        for (int seen = histogram[0]; seen < (n + 1) / 2; seen += histogram[++level]) {}
        colour[k] = image_from_byte(level);
    }
    for (int i = 0; i < n; i++) {
        const float *pixel = m->pixels + image_border_pixel(m, i) * m->c;
        int alike = 1;
        for (int k = 0; k < m->c; k++) alike &= fabsf(pixel[k] - colour[k]) <= .18f;
        near += alike;
    }
    for (int k = 0; k < m->c && near * 10 < n * 6; k++) colour[k] = 1;
}

int image_fit(Image *dst, const Image *src, int h, int w) {
    if (!src->pixels || !image_size_ok(h, w)) return image_resize(dst, src, h, w);  /* says why */
    double by = fmin((double)h / src->h, (double)w / src->w);
    int inner_h = fmax(1, lround(src->h * by)), inner_w = fmax(1, lround(src->w * by));
    if (inner_h == h && inner_w == w) return image_resize(dst, src, h, w);
    float colour[4], none = 0;
    Image inner, ground = { 1, 1, src->c, colour, src->mask ? &none : NULL, 0 };
    memset(dst, 0, sizeof *dst);
    im_border_colour(src, colour);
    int good = image_resize(&inner, src, inner_h, inner_w) && image_tile(dst, &ground, h, w);
    if (good) image_paste(dst, &inner, (h - inner_h) / 2, (w - inner_w) / 2, 1);
    image_free(&inner);
    return good;
}

/* Of each place of the mask and those d before and after it on an axis, edges repeated: the
 * smallest, or the mean with weights 1 2 1. */
static int im_filter_mask(Image *image, int axis, long d, int smallest) {
    long h = image->h, w = image->w, n = h * w, last = (axis ? h : w) - 1, step = axis ? w : 1;
    float *old = malloc(n * sizeof *old), *mask = image->mask;
    if (!old) return fail("out of memory for a mask of %ld x %ld", w, h);
    memcpy(old, mask, n * sizeof *old);
    for (long i = 0; i < n; i++) {
        long at = axis ? i / w : i % w, back = at < d ? at : d, on = last - at < d ? last - at : d;
        float before = old[i - back * step], after = old[i + on * step];
        mask[i] = smallest ? fminf(old[i], fminf(before, after))
                           : (before + 2 * old[i] + after) / 4;
    }
    free(old);
    return 1;
}

int image_round_mask(Image *image) {
    return im_filter_mask(image, 0, 1, 0) && im_filter_mask(image, 1, 1, 0);
}

/* The minimum over a reach of k each way, taken at three places 2k + 1 apart, is that over a reach
 * of 3k + 1: this takes few passes. */
int image_draw_in(Image *image, int r) {
    int good = 1;
    for (int axis = 0; axis < 2; axis++)
        for (int reach = 0, step; good && reach < r; reach += step) {
            step = 2 * reach + 1 < r - reach ? 2 * reach + 1 : r - reach;
            good = im_filter_mask(image, axis, step, 1);
        }
    return good;
}

void image_mask_box(int *top, int *left, int *bottom, int *right, const Image *image) {
    *top = image->h, *left = image->w, *bottom = *right = 0;
    for (int y = 0; y < image->h; y++) for (int x = 0; x < image->w; x++) {
        if (!(image->mask[y * image->w + x] > 0)) continue;
        if (!*bottom) *top = y;
        *bottom = y + 1, *left = x < *left ? x : *left, *right = x >= *right ? x + 1 : *right;
    }
}

void image_whiten(Image *image, int all) {
    for (long i = 0; i < 3L * image->h * image->w; i++) {
        float m = all ? 0 : image->mask[i / 3];
        image->pixels[i] = m * image->pixels[i] + 1 - m;
    }
}

/* Outside its mask a gray picture gets the garment's tones: unknown pixels come from the picture at
 * half the size, where they were filled in the same way. Left white, the outline would be the
 * strongest edge in sight: a generator paints it dark, and instance normalization, scaled to it,
 * leaves plain cloth without a pattern. */
static int im_fill_outside(Image *gray) {
    long n = gray->h * gray->w;
    Image half, full;
    for (long i = 0; i < n; i++) gray->pixels[i] *= gray->mask[i];
    if (!image_resize(&half, gray, (gray->h + 1) / 2, (gray->w + 1) / 2)) return 0;
    for (long i = 0; i < half.h * half.w; i++)    /* the mean of those that are known */
        half.pixels[i] /= fmaxf(half.mask[i], 1e-6f), half.mask[i] = fminf(4 * half.mask[i], 1);
    int good = (n == 1 || im_fill_outside(&half)) && image_resize(&full, &half, gray->h, gray->w);
    image_free(&half);
    for (long i = 0; good && i < n; i++) gray->pixels[i] += (1 - gray->mask[i]) * full.pixels[i];
    if (good) image_free(&full);
    return good;
}

int image_tones(Image *tones, const Image *image, int rim) {
    long inside = 0;
    Image inner;
    int good = image_new(tones, image->h, image->w, 1) && image_add_mask(tones, 1);
    if (good) image_paste(tones, image, 0, 0, 1);
    if (good && image->mask) {
        good = image_copy(&inner, tones) && image_draw_in(&inner, rim);
        for (long i = 0; good && i < image->h * image->w; i++) inside += inner.mask[i] > .5f;
        if (inside) { Image t = *tones; *tones = inner; inner = t; }
        image_free(&inner);
        good = good && im_fill_outside(tones);
    }
    if (!good) image_free(tones);
    return good;
}

void image_lay_print(Image *image, const Image *print, const Image *tones, int top, int left,
                     double shade) {
    double histogram[256] = {0}, total = 0, sum = 0;
    int bin = 0;
    for (long i = 0; i < tones->h * tones->w; i++)
        histogram[image_to_byte(tones->pixels[i])] += tones->mask[i], total += tones->mask[i];
    while (bin < 255 && (sum += histogram[bin]) < .8 * total) bin++;
    float light = fmaxf(bin / 255.f, .02f), s = shade;
    float soft = .15f * fmaxf(1 - 2 * light, 0);
    for (long i = 0; i < print->h * print->w; i++) {
        long at = (top + i / print->w) * image->w + left + i % print->w;
        float l, m = image->mask[at] * (print->mask ? print->mask[i] : 1);
        float *p = image->pixels + 3 * at;
        if (!(m > 0)) continue;
        image_channels(&l, 1, p, 3, 1);
        l = (fminf(l, tones->pixels[i]) + 1) / 2;
        float fold = 1 - s + s * image_clamp((l + soft) / (light + soft), .15f, 1.25f);
        for (int k = 0; k < 3; k++) {
            float y = (print->pixels[i * print->c + k % print->c] + 1) / 2 * fold;
            p[k] = m * (2 * image_clamp(y, 0, 1) - 1) + (1 - m) * p[k];
        }
    }
}
#endif
