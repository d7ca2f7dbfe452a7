/* drawn.h: garments and textiles drawn by the program, for use without any data: the same index
 * gives the same picture everywhere. */
#ifndef DRAWN_H
#define DRAWN_H
#include "images/image.h"

/* One garment, (h,w) bytes, light on black; its class is index % 10, in Fashion-MNIST's order. */
void drawn_garment(unsigned char *out, int h, int w, long index);

/* The dye of garment number index: what the cloth takes of white light in R, G and B,
 *     share_k = 1 - value (1 - saturation (1 - wheel_k(hue)))
 * Hue, saturation and value follow from the index; cloth is seldom as bright as a pure colour. */
void drawn_dye(float share[3], long index);

/* A textile, (size,size,3), tileable; size is a power of two, 8..4096.
 * kind 0..IMAGE_PATTERNS-1: stripes, tartan, dots, chevron, daisies, ikat */
enum { IMAGE_PATTERNS = 6 };
int image_pattern_synthetic(Image *out, int kind, int size);
#endif

#if defined(DRAWN_IMPLEMENTATION) && !defined(DRAWN_IMPLEMENTED)
#define DRAWN_IMPLEMENTED
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* An integer, mixed by shifts and multiplications, as a number in [0,1) */
static float im_hash(uint32_t x) {
    x ^= x >> 16, x *= 0x7feb352du, x ^= x >> 15, x *= 0x846ca68bu, x ^= x >> 16;
    return (x >> 8) / 16777216.f;
}

/* Drawings in a frame of 28 x 28, x from the middle, y from the top: T-shirt, trouser, pullover,
 * dress, coat, sandal, shirt, sneaker, bag, boot. half: only the right half is given, from top to
 * bottom, and mirrored. outline: x y of its corners. lines: radius, x y of both ends; a radius
 * above 0 makes a dark seam, one below 0 a strap that belongs to the silhouette. */
static const struct ImDrawing { int half; const char *outline, *lines; } im_drawing[10] = {
    { 1, "0 4.6  2.6 3  4 3.2  7 4.6  11.2 10  8.4 12  6.4 9.8  6.5 18  6.7 25  0 25.3",
      ".3 0 5.4 2.7 3.9  .3 6.2 5 6.4 9.6  .25 8.1 11.2 10.6 9.3  .25 0 24.3 6.4 24" },
    { 1, "0 1.6  4.4 1.5  4.8 4  5.5 8.5  5.7 18  5.4 26.6  2 26.8  1.4 20  .45 10.5  0 10.2",
      ".3 0 2.8 4.6 2.8  .35 0 3 0 10  .3 2.4 3.2 4.9 5.8  .2 3.6 9 3.7 26" },
    { 1, "0 3.6  2.8 2.6  4.2 2.8  7.6 4.4  9.6 9  11.6 23.2  9 24  7.1 11.5  6.9 18  7.1 25.4 "
      "0 25.6", ".35 0 4.4 2.9 3.5  .3 6.6 5 7 11  .3 9 22.7 11.3 22  .35 0 24 7 23.8" },
    { 1, "0 4.8  2.3 1.6  3.7 1.5  3.9 4.6  4.4 7  3.3 11.5  4.4 16  6.4 26.4  0 26.9",
      ".3 0 11.7 3.2 11.5  .25 1.2 13 2.8 25.6  .2 .8 5 1.8 10.5" },
    { 1, "0 3.8  2.6 2  4 2.4  7.4 4  9.2 8.5  11 21.6  8.6 22.4  7 11.5  6.8 15  7.9 26.6 "
      "0 26.8", ".4 0 9.6 0 26  .45 0 9.8 2.8 3  .35 2.8 17.4 5.6 16.8  .3 6.7 5 6.9 11" },
    { 0, "-12 21  -11.5 18.6  -8.5 18.2  -5 19  0 19.6  5 20  10.5 19.8  12.4 21  11 22  3 22 "
      "-3 21.6  -7 21.4  -11 22", "-.7 -9.8 19 -8.6 13.2  -.5 -8.6 13.4 -3 13  -.5 -8.8 15.4 -3 13 "
      "-.5 -3 13 4.4 16.4  -.9 1.4 19.6 4.6 16.4  -.9 4.6 16.4 7.4 17  -.9 7.4 17 9.6 19.8 "
      ".3 -11 20.4 11.4 20.9" },
    { 1, "0 4.2  2.4 2  3.8 2.4  7.3 4.1  9.1 8.5  11.2 22.4  8.9 23  6.7 11  6.2 17  6.8 25.8 "
      "3 26.4  0 26", ".3 0 4.8 0 25.6  .4 0 5 2.1 3.4  .35 2.1 3.4 3.2 5  .3 8.8 21.4 11 20.8 "
      ".25 2.6 9.6 4.8 9.6" },
    { 0, "-12 20.6  -12.2 16  -11.2 12.6  -9 13.6  -5.5 11.4  -3.6 11.6  1.5 15.2  8 16.6 "
      "11.6 18.2  12.4 20.8  11 21.8  -11 21.8", ".5 -12 19.6 12 19.8  .3 -8.5 14 -7.6 19 "
      ".3 -3.4 12.2 2.4 16.2  .3 6.4 16.6 7.4 19.4  .35 -3.6 14.6 -1.6 12.6  .35 -1.6 15.8 .4 13.8 "
      ".35 .4 17 2.4 15" },
    { 1, "0 11.7  9 12  11 24.2  0 24.8", "-.55 5.4 12 5 8.4  -.55 5 8.4 3.8 6  -.55 3.8 6 2 4.7 "
      "-.55 2 4.7 0 4.3  .35 0 17.8 9.6 16.2  .9 0 17.4 0 18.6" },
    { 0, "-10.4 22.4  -9.8 17  -10.4 11  -10.2 5  -2.4 5.4  -2.2 12  2 15.4  8 17  11.4 19 "
      "11.8 22  1.5 22.4  .5 22  -4.5 22  -5 24  -10 24", ".4 -10.2 21.2 11.6 21.2 "
      ".3 -10 7 -2.4 7.2  .3 -6.2 7.4 -6.6 13  .25 -2.4 12.6 -9.8 15.6" },
};

/* The numbers in a text go to `to`; returns how many they are. */
static int im_numbers(float *to, const char *text) {
    int n = 0;
    for (char *end; *text; text = end) to[n++] = strtof(text, &end);
    return n;
}

/* The outline with round corners: each becomes a curve of four points,
 * (1-t)^2 a + 2 t (1-t) corner + t^2 b, where a and b lie a third of the way to the corners before
 * and after it. Returns the number of points. */
static int im_outline(float (*point)[2], const struct ImDrawing *d) {
    float corner[16][2];
    int n = im_numbers(corner[0], d->outline) / 2;
    for (int i = 0; i < 8 * n; i++) {
        int at = i / 8, k = i % 2, before = at ? at - 1 : d->half ? 0 : n - 1;
        int after = at + 1 < n ? at + 1 : d->half ? at : 0;
        float t = i / 2 % 4 / 3.f, x = corner[at][k];
        float a = x + (corner[before][k] - x) / 3, b = x + (corner[after][k] - x) / 3;
        point[i / 2][k] = (1 - t) * (1 - t) * a + 2 * t * (1 - t) * x + t * t * b;
    }
    return 4 * n;
}

/* Brightness of the cloth at (x,y) of the frame: darker at the sides, soft folds, some stripes */
static float im_cloth(float x, float y, int kind, uint32_t seed) {
    const float tau = 6.2831853f;
    float round = kind == 1 ? fabsf(fabsf(x) - 3.2f) / 3 : fabsf(x) / 12;
    float fold = sinf(tau * (x * (.09f + .06f * im_hash(seed + 1)) + y * .025f + im_hash(seed + 2)))
               * sinf(tau * (y * .036f - x * .04f + im_hash(seed + 3)));
    float shade = 1 - .16f * round * round + .1f * fold - .004f * (y - 14);
    int soft = kind == 0 || kind == 2 || kind == 3 || kind == 6;
    if (soft && im_hash(seed + 4) < .3f) {
        float period = 2.4f + 2 * im_hash(seed + 5), across = im_hash(seed + 6) < .7f ? y : x;
        shade -= .22f * image_clamp(.5f + 2 * sinf(tau * across / period), 0, 1);
    }
    return shade;
}

/* What lies inside the outline or on a strap, by the distance to them */
void drawn_garment(unsigned char *out, int h, int w, long index) {
    const struct ImDrawing *d = &im_drawing[index % 10];
    uint32_t seed = index * 16 + 1;
    float point[64][2], line[45], scale = (h < w ? h : w) / 28.f;
    float wide = scale * (.86f + .2f * im_hash(seed + 7)), cx = im_hash(seed + 9) - .5f;
    float tall = scale * (.92f + .1f * im_hash(seed + 8)), cy = im_hash(seed + 10) - .5f;
    float light = .52f + .44f * im_hash(seed + 11);
    cx = w / 2.f + cx * scale, cy = h / 2.f + cy * scale;
    int n = im_outline(point, d), lines = im_numbers(line, d->lines);
    for (int i = 0; i < h * w; i++) {
        float x = (i % w + .5f - cx) / wide, y = 14 + (i / w + .5f - cy) / tall;
        float side = d->half ? fabsf(x) : x, edge = 100, seam = 0;
        int inside = 0;
        for (int k = 0; k < n - d->half; k++) {
            const float *a = point[k], *b = point[(k + 1) % n];
            edge = fminf(edge, image_distance(side, y, a, b));
            if ((a[1] <= y) != (b[1] <= y))
                inside ^= side < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]);
        }
        if (inside) edge = -edge;
        for (const float *s = line; s < line + lines; s += 5) {
            float distance = image_distance(side, y, s + 1, s + 3);
            if (*s < 0) edge = fminf(edge, distance + *s);
            else seam = fmaxf(seam, image_clamp(*s * sqrtf(scale) + .5f - distance * scale, 0, 1));
        }                                                       /* thread hardly grows */
        float value = light * im_cloth(x, y, index % 10, seed) * (1 - .42f * seam);
        value += .03f * (im_hash(seed * 65599u + i) - .5f);
        float cover = image_clamp(.5f - edge * scale, 0, 1);
        out[i] = 255 * fminf(1, fmaxf(.06f, value)) * cover + .5f;
    }
}

void drawn_dye(float share[3], long index) {
    float u[3];
    for (int k = 0; k < 3; k++) u[k] = im_hash(3 * index + k + 7);
    float saturation = .1f + .65f * u[1], value = (.15f + .8f * u[2]) * (1 - .25f * saturation);
    for (int k = 0; k < 3; k++) {       /* around the wheel: 0, up to 1, 0 again; a third apart */
        float wheel = image_clamp(fabsf(fmodf(6 * u[0] + 2 * k, 6) - 3) - 1, 0, 1);
        share[k] = 1 - value * (1 - saturation * (1 - wheel));
    }
}

/* stripes, tartan, chevron, ikat */
static const struct ImBand { float width; unsigned colour; } im_bands[4][13] = {
    { {30,0x1f3a5f}, {7,0xf4ead5}, {4,0xc8553d}, {7,0xf4ead5}, {12,0x6f9a8d}, {7,0xf4ead5},
      {4,0xc8553d}, {7,0xf4ead5} },
    { {16,0x8e1f2f}, {3,0x16324f}, {3,0x8e1f2f}, {12,0x16324f}, {3,0xe8c468}, {12,0x1d4d3f},
      {3,0xf1ede2}, {12,0x1d4d3f}, {3,0xe8c468}, {12,0x16324f}, {3,0x8e1f2f}, {3,0x16324f} },
    { {8,0xe4572e}, {2,0xfaf3e3}, {8,0xf2b134}, {2,0xfaf3e3}, {8,0x2e8b8b}, {2,0xfaf3e3},
      {8,0x17324d}, {2,0xfaf3e3} },
    { {.14f,0xf6e7cb}, {.22f,0xd8572a}, {.08f,0xf6e7cb}, {.26f,0x1d3461}, {.08f,0xe8b04a},
      {.26f,0x7a1f3d}, {.08f,0xf6e7cb}, {.3f,0x2a7f86}, {.1f,0xf6e7cb}, {.24f,0x1d3461},
      {.12f,0xe8b04a}, {9,0xd8572a} },
};

/* The colour at t >= 0 of bands that repeat with the sum of their widths */
static unsigned im_band(const struct ImBand *band, float t) {
    float period = 0;
    for (int i = 0; band[i].width > 0; i++) period += band[i].width;
    t -= period * floorf(t / period);
    while (t >= band->width && band[1].width > 0) t -= band++->width;
    return band->colour;
}

static float im_wave(float t) { return fabsf(2 * (t - floorf(t)) - 1); }    /* 1 at 0, 0 at 1/2 */

/* Rows of dots (kind 2) or daisies, every other row shifted by half a place */
static unsigned im_motif(int kind, float u, float v) {
    static const unsigned dot[4] = { 0xe9b44c, 0xf3e9dc, 0xd1495b, 0xf3e9dc };
    static const unsigned petal[2] = { 0xf7f0e0, 0xe89a9a };
    int n = kind == 2 ? 8 : 4, row = v * n;
    float x = u * n + row % 2 * .5f, y = v * n - row - .5f;
    int column = x;
    x -= column + .5f;
    float r = hypotf(x, y), angle = atan2f(y, x) + (column & 3);    /* each daisy is turned */
    if (kind == 2) return r < .27f ? dot[(column + row / 2 * 2) & 3] : 0x22375a;
    return r < .09f ? 0xe9b44c : r < .3f + .11f * cosf(8 * angle) ? petal[row & 1] : 0x2f6f5e;
}

/* sample: warp and weft of the tartan show half and half */
static unsigned im_textile(int kind, float u, float v, int sample) {
    if (kind == 0) return im_band(im_bands[0], v * 78 * 3);
    if (kind == 1) return im_band(im_bands[1], (sample & 1 ? u : v) * 85 * 2 + 8);
    if (kind == 3) return im_band(im_bands[2], v * 80 + 10 * im_wave(u * 4));
    if (kind != 5) return im_motif(kind, u, v);
    uint32_t thread = u * 128;  /* ikat: diamonds; threads and bundles of three slip */
    float slip = .035f * (im_hash(77u + thread) - .5f) + .03f * (im_hash(991u + thread / 3) - .5f);
    return im_band(im_bands[3], im_wave((thread + .5f) / 128 * 2) + im_wave((v + slip) * 2));
}

int image_pattern_synthetic(Image *out, int kind, int size) {
    memset(out, 0, sizeof *out);
    if (kind < 0 || kind >= IMAGE_PATTERNS)
        return fail("pattern %d: there are 0..%d", kind, IMAGE_PATTERNS - 1);
    if (size < 8 || size > 4096 || size & (size - 1))
        return fail("a pattern of size %d: expected a power of two, 8..4096", size);
    if (!image_new(out, size, size, 3)) return 0;
    float *pixel = out->pixels;
    for (int y = 0; y < size; y++) for (int x = 0; x < size; x++, pixel += 3) {
        float twill = ((x + y) & 3) < 2 ? 1.f : .955f;
        for (int s = 0; s < 16; s++) {                          /* 4 x 4 samples a pixel */
            float u = (x + (s % 4 + .5f) / 4) / size, v = (y + (s / 4 + .5f) / 4) / size;
            unsigned rgb = im_textile(kind, u, v, s ^ s / 4);
            for (int k = 0; k < 3; k++) pixel[k] += (rgb >> (16 - 8 * k) & 255) / 16.f;
        }
        for (int k = 0; k < 3; k++) pixel[k] = pixel[k] * twill / 127.5f - 1;
    }
    return out->tileable = 1;
}
#endif
