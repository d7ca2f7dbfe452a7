/* sheet.h: contact sheets, text on pictures, and line plots. */
#ifndef SHEET_H
#define SHEET_H
#include "images/image.h"

/* A contact sheet of pixels (n,h,w,c), c = 1 or 3, on light gray; each pixel is scale x scale:
 * (rows*(h*scale + gap) + gap, columns*(w*scale + gap) + gap, 3) */
int image_grid(Image *out, const float *pixels, int n, int h, int w, int c, int columns, int scale,
               int gap);

/* A rectangle of one colour; what lies outside the picture is cut off. */
void image_fill(Image *m, int y, int x, int h, int w, const float rgb[3]);

/* Text from (y,x) on; '\n' begins a line. Letters are 5 x 7 dots of scale x scale pixels, 6 dots
 * from one to the next and 10 from line to line. What is not ASCII becomes a box. */
void image_text(Image *image, int y, int x, const char *text, int scale, const float rgb[3]);

/* A line plot, (420,900,3), of at most 8 series: each faint, and its average over about a sixtieth
 * of its length strong. x may be NULL (0, 1, 2...); NaN leaves a gap. */
typedef struct PlotSeries { const char *name; const double *x, *y; long n; } PlotSeries;
int image_plot(Image *out, const PlotSeries *series, int count, const char *title,
               const char *xlabel);
#endif

#if defined(SHEET_IMPLEMENTATION) && !defined(SHEET_IMPLEMENTED)
#define SHEET_IMPLEMENTED
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void image_fill(Image *m, int y, int x, int h, int w, const float rgb[3]) {
    const Image dot = { 1, 1, 3, (float *)rgb, NULL, 0 };
    for (int i = 0; i < h * w; i++) image_paste(m, &dot, y + i / w, x + i % w, 1);
}

int image_grid(Image *out, const float *pixels, int n, int h, int w, int c, int columns, int scale,
               int gap) {
    static const float gray[3] = { .76f, .76f, .76f };
    memset(out, 0, sizeof *out);
    if (n < 1 || columns < 1 || (c != 1 && c != 3) || !image_size_ok(h, w) ||
        scale < 1 || scale > 64 || gap < 0 || gap > 64)
        return fail("a grid of %d pictures of %d x %d x %d in %d columns, scale %d, gap %d: "
                    "expected at least one of each, 1 or 3 channels, scale 1..64, gap 0..64",
                    n, w, h, c, columns, scale, gap);
    long long rows = (n + (long long)columns - 1) / columns, H = rows * (h * scale + gap) + gap;
    long long W = (long long)columns * (w * scale + gap) + gap;
    if (!image_size_ok(H, W))
        return fail("a grid of %d pictures would be %lld x %lld pixels: show fewer, or smaller",
                    n, W, H);
    if (!image_new(out, H, W, 3)) return 0;
    image_fill(out, 0, 0, out->h, out->w, gray);
    for (int i = 0; i < n; i++) {
        const Image cell = { h, w, c, (float *)pixels + (size_t)i * h * w * c, NULL, 0 };
        image_paste(out, &cell, gap + i / columns * (h * scale + gap),
                    gap + i % columns * (w * scale + gap), scale);
    }
    return 1;
}

/* ASCII 32..127, the last a box: eight rows a letter, the last for descenders. The five dots of a
 * row are a number in base 2, the left dot first; it is written as the character '0' + number. */
static const char im_font[] =
    "0000000044444040:::00000::O:O::04?D>5N40II248CC0<BD8EB=044400000248884208422248004E>E400"
    "044O440000000<48000O000000000<<011248@@0>ACEIA>04<4444>0>A1248O0>A161A>026:BO220O@N11A>0"
    "68@NAA>0O1244440>AA>AA>0>AA?12<00<<0<<000<<00<48248@842000O0O00084212480>A124040>AGEG@>0"
    ">AAOAAA0NAANAAN0>A@@@A>0NAAAAAN0O@@N@@O0O@@N@@@0>A@CAA?0AAAOAAA0>44444>072222B<0ABDHDBA0"
    "@@@@@@O0AKEEAAA0AIEECAA0>AAAAA>0NAAN@@@0>AAAEB=0NAANDBA0?@@>11N0O4444440AAAAAA>0AAAA::40"
    "AAAEEKA0AA:4:AA0AA:44440O1248@O0>88888>0@@842110>22222>04:A000000000000O8400000000>1?A?0"
    "@@NAAAN000?@@@?011?AAA?000>AO@?068N8888000?AA?1>@@NAAAA040<444>0206222B<@@BDHDB0<44444>0"
    "00JEEEE000NAAAA000>AAA>000NAAN@@00?AA?1100FH@@@000?@>1N088N8886000AAAA?000AA::4000AAEE:0"
    "00A:4:A000AAA?1>00O248O0244844204444444084424480008E2000OAAAAAO0";

void image_text(Image *image, int y, int x, const char *text, int scale, const float rgb[3]) {
    int left = x;
    for (; *text; text++, x += 6 * scale) {
        const char *row = im_font + 8 * (*text < 32 || *text > 126 ? 127 - 32 : *text - 32);
        if (*text == '\n') y += 10 * scale, x = left - 6 * scale;
        else for (int i = 0; i < 40; i++)
            if ((row[i / 5] - '0') >> (4 - i % 5) & 1)
                image_fill(image, y + i / 5 * scale, x + i % 5 * scale, scale, scale, rgb);
    }
}

enum { IM_PLOT_H = 420, IM_PLOT_W = 900 };
enum { IM_LEFT = 88, IM_RIGHT = 862, IM_TOP = 66, IM_BOTTOM = 358 };
static const float im_ink[3] = { -.7f, -.7f, -.7f }, im_rule[3] = { .8f, .8f, .8f };

/* align: the part of the text that lies left of x */
static void im_label(Image *m, int y, int x, float align, const char *text) {
    image_text(m, y, x - align * 12 * strlen(text), text, 2, im_ink);
}

static double im_x(const PlotSeries *s, long i) { return s->x ? s->x[i] : i; }

static int im_plotted(const PlotSeries *s, long i) {
    return fabs(s->y[i]) < 1e300 && fabs(im_x(s, i)) < 1e300;       /* NaN is not < 1e300 */
}

/* low and high are drawn at the pixels from and to. Ticks are step apart: 1, 2 or 5 times a power
 * of ten, so that about `ticks` of them fit. Empty and constant ranges are widened. */
typedef struct { double low, high, step; float from, to; } ImAxis;

static ImAxis im_axis(double low, double high, int ticks, float from, float to) {
    if (!(low <= high)) low = 0, high = 1;
    if (!(high - low > 1e-9 * fabs(low) + 1e-200)) {
        double wider = fabs(low) < 1e-100 ? 1 : fabs(low) / 2;
        low -= wider, high += wider;
    }
    double rough = (high - low) / ticks, power = pow(10, floor(log10(rough)));
    double ratio = rough / power, step = ratio < 1.5 ? 1 : ratio < 3.5 ? 2 : ratio < 7.5 ? 5 : 10;
    return (ImAxis){ low, high, power * step, from, to };
}

static float im_place(const ImAxis *a, double value) {
    float part = image_clamp((value - a->low) / (a->high - a->low), 0, 1);
    return a->from + part * (a->to - a->from);
}

static void im_ticks(Image *m, const ImAxis *a, int upright) {
    for (double k = ceil(a->low / a->step - 1e-9); k <= a->high / a->step + 1e-9; k++) {
        char text[32];
        int at = lroundf(im_place(a, k * a->step));
        snprintf(text, sizeof text, "%.6g", k * a->step + 0);                   /* + 0: no "-0" */
        if (upright) image_fill(m, at, IM_LEFT, 1, IM_RIGHT - IM_LEFT, im_rule);
        else image_fill(m, IM_TOP, at, IM_BOTTOM - IM_TOP, 1, im_rule);
        if (upright) im_label(m, at - 7, IM_LEFT - 10, 1, text);
        else im_label(m, IM_BOTTOM + 12, at, .5f, text);
    }
}

/* The line through (x[i], mean[i]), mean += rate (y[i] - mean), broken where there is no number.
 * m->mask becomes its coverage c = clamp(r + 1/2 - distance to the line), and the picture
 * m = (1 - opacity c) m + opacity c rgb. */
static void im_curve(Image *m, const PlotSeries *s, double rate, const ImAxis *ax, const ImAxis *ay,
                     float r, const float rgb[3], float opacity) {
    memset(m->mask, 0, sizeof(float) * IM_PLOT_H * IM_PLOT_W);
    float a[2] = { NAN, NAN }, b[2];
    double mean = 0;
    long seen = 0;
    for (long i = 0; i < s->n; i++, memcpy(a, b, sizeof a)) {
        b[0] = b[1] = NAN;
        if (!im_plotted(s, i)) continue;
        mean += fmax(rate, 2. / (seen++ + 2)) * (s->y[i] - mean);   /* a steep start */
        b[0] = im_place(ax, im_x(s, i)), b[1] = im_place(ay, mean);
        if (isnan(a[0])) memcpy(a, b, sizeof a);
        int top = fminf(a[1], b[1]) - r, bottom = fmaxf(a[1], b[1]) + r + 1;
        int left = fminf(a[0], b[0]) - r, right = fmaxf(a[0], b[0]) + r + 1;
        for (int v = top; v <= bottom; v++) for (int u = left; u <= right; u++) {
            float distance = image_distance(u + .5f, v + .5f, a, b), *c = m->mask + v * m->w + u;
            *c = fmaxf(*c, image_clamp(r + .5f - distance, 0, 1));
        }
    }
    for (long i = 0; i < IM_PLOT_H * IM_PLOT_W * 3; i++)
        m->pixels[i] += opacity * m->mask[i / 3] * (rgb[i % 3] - m->pixels[i]);
}

int image_plot(Image *out, const PlotSeries *series, int count, const char *title,
               const char *xlabel) {
    static const float white[3] = { 1, 1, 1 }, rgb[8][3] = {        /* Okabe and Ito's colours */
        { -1, -.106f, .396f }, { .671f, -.263f, -1 }, { -1, .239f, -.098f }, { .6f, -.051f, .31f },
        { .804f, .247f, -1 }, { -.325f, .412f, .827f }, { -1, -1, -1 }, { 0, 0, 0 } };
    double low_x = INFINITY, high_x = -INFINITY, low_y = INFINITY, high_y = -INFINITY;
    memset(out, 0, sizeof *out);
    if (count < 0 || count > 8) return fail("a plot of %d series: at most 8", count);
    for (const PlotSeries *s = series; s < series + count; s++) for (long i = 0; i < s->n; i++) {
        if (!im_plotted(s, i)) continue;
        low_x = fmin(low_x, im_x(s, i)), high_x = fmax(high_x, im_x(s, i));
        low_y = fmin(low_y, s->y[i]), high_y = fmax(high_y, s->y[i]);
    }
    ImAxis ax = im_axis(low_x, high_x, 8, IM_LEFT, IM_RIGHT);
    ImAxis ay = im_axis(low_y, high_y, 5, IM_BOTTOM, IM_TOP);
    ay.low = floor(ay.low / ay.step + 1e-9) * ay.step;
    ay.high = ceil(ay.high / ay.step - 1e-9) * ay.step;
    if (!image_new(out, IM_PLOT_H, IM_PLOT_W, 3) || !image_add_mask(out, 0))
        return image_free(out), 0;
    image_fill(out, 0, 0, out->h, out->w, white);
    im_ticks(out, &ax, 0), im_ticks(out, &ay, 1);
    image_fill(out, IM_BOTTOM, IM_LEFT, 1, IM_RIGHT - IM_LEFT, im_ink);
    image_fill(out, IM_TOP, IM_LEFT, IM_BOTTOM - IM_TOP + 1, 1, im_ink);
    im_label(out, 14, IM_LEFT, 0, title ? title : "");
    im_label(out, IM_BOTTOM + 38, (IM_LEFT + IM_RIGHT) / 2, .5f, xlabel ? xlabel : "");
    if (!(low_x <= high_x))
        im_label(out, (IM_TOP + IM_BOTTOM) / 2, (IM_LEFT + IM_RIGHT) / 2, .5f, "no data");
    for (int k = count - 1, x = IM_RIGHT; k >= 0; k--, x -= 16) {       /* names, from the right */
        im_curve(out, &series[k], 1, &ax, &ay, .6f, rgb[k], .3f);
        im_curve(out, &series[k], 1. / (series[k].n / 60 + 1), &ax, &ay, 1.2f, rgb[k], 1);
        im_label(out, IM_TOP - 24, x, 1, series[k].name);
        x -= 12 * strlen(series[k].name) + 32;
        image_fill(out, IM_TOP - 19, x, 4, 24, rgb[k]);
    }
    free(out->mask), out->mask = NULL;
    return 1;
}
#endif
