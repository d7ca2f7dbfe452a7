/* garment.h: where in a picture is the garment? A search that starts from the background.
 *
 * The picture's border is taken for background. Its light is a polynomial of degree 2 in the place,
 * per channel, so that a table may be lit from one side; where the background has grain, the
 * picture is smoothed more. From the border inwards everything is background that has this color
 * and shows no edge. What is left is then judged: shadows begin softly, garments do not; enclosed
 * background is a hole if it has exactly the background's color, else it is white cloth. */
#ifndef GARMENT_H
#define GARMENT_H
#include "images/image.h"

/* Makes the mask. Specks up to 1/500 of the picture are dropped, and the edge is rounded.
 * 1: made. 2: there was a mask already (alpha); it is kept. 3: less than 60% of the border are
 * alike, or nothing stands out from it; the mask is 1 everywhere. 0: out of memory.
 * How well it does: tests/BENCHMARKS.md, "Masks". */
int image_garment_mask(Image *image);
#endif

#if defined(GARMENT_IMPLEMENTATION) && !defined(GARMENT_IMPLEMENTED)
#define GARMENT_IMPLEMENTED
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* While the search is under way, picture->mask holds labels. */
enum { BACKGROUND, GARMENT, LIKE, OTHER, SOFT, NOW, LIGHT_TERMS = 6 };
#define MASK_LIMIT .25                  /* a background that differs more has no one color */
typedef struct MaskSearch {
    Image *picture, smooth;             /* smooth: its means over a few pixels */
    float *edge, *room;                 /* (h,w): the range of smooth in 3x3; for sorting */
    int *queue, count;                  /* pixels: count of the background, or of a region */
    int radius;                         /* of the smoothing */
    double light[3][LIGHT_TERMS];       /* of 1, x, y, x^2, xy, y^2; x, y in [-1,1] */
    double sigma;                       /* how far from it the background is, typically */
} MaskSearch;

static void light_terms(const MaskSearch *s, int i, double t[LIGHT_TERMS]) {
    int w = s->picture->w, h = s->picture->h;
    double x = 2. * (i % w) / w - 1, y = 2. * (i / w) / h - 1;
    t[0] = 1, t[1] = x, t[2] = y, t[3] = x * x, t[4] = x * y, t[5] = y * y;
}
static double light_at(const MaskSearch *s, int i, int k) {
    double t[LIGHT_TERMS], sum = 0;
    light_terms(s, i, t);
    for (int j = 0; j < LIGHT_TERMS; j++) sum += s->light[k][j] * t[j];
    return sum;
}

/* how far pixel i of image is from the background's light there: its largest channel */
static double unlikeness(const MaskSearch *s, const Image *image, int i) {
    double most = 0;
    for (int k = 0; k < image->c; k++)
        most = fmax(most, fabs(image->pixels[i * image->c + k] - light_at(s, i, k)));
    return most;
}

static int compare_floats(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}
/* the number of room[0..n) that `share` of them are below; sorts them */
static float quantile(MaskSearch *s, int n, double share) {
    qsort(s->room, n, sizeof *s->room, compare_floats);
    return n ? s->room[(int)(share * (n - 1))] : 0;
}

/* Least squares: normal equations of n unknowns, with three right sides: a is (n, n + 3). A sample
 * t has n terms, then the right sides. solve goes by Gauss and Jordan; unknown j of right side k is
 * then a[j][n + k] / a[j][j]. */
static void add_sample(int n, double *a, const double *t, double weight) {
    for (int j = 0; j < n; j++)
        for (int k = 0; k < n + 3; k++) a[j * (n + 3) + k] += weight * t[j] * t[k];
}
static void solve(int n, double *a) {
    int w = n + 3;
    double ridge = 1e-6 * a[0] + 1e-12;
    for (int j = 0; j < n; j++) a[j * w + j] += ridge;
    for (int j = 0; j < n; j++)
        for (int k = 0; k < n; k++) {
            double factor = a[k * w + j] / a[j * w + j];
            for (int l = 0; l < w && k != j; l++) a[k * w + l] -= factor * a[j * w + l];
        }
}

/* Weighted least squares of the first terms over the pixels queue[0..count), `rounds` times: pixels
 * far from the last fit count little, with weights 1 / (1 + (r / 2 sigma)^2)^2. */
static void fit_light(MaskSearch *s, int terms, int rounds) {
    enum { SAMPLES = 4000 };
    const Image *m = &s->smooth;
    int wide = terms + 3;
    for (int step = s->count / SAMPLES + 1; rounds > 0; rounds--) {
        double a[LIGHT_TERMS * (LIGHT_TERMS + 3)] = {0}, t[LIGHT_TERMS + 3] = {0};
        int n = 0;
        for (int q = 0; q < s->count; q += step) {
            double far = unlikeness(s, m, s->queue[q]) / (2 * s->sigma), near = 1 / (1 + far * far);
            light_terms(s, s->queue[q], t);
            for (int k = 0; k < m->c; k++) t[terms + k] = m->pixels[s->queue[q] * m->c + k];
            add_sample(terms, a, t, near * near);
        }
        solve(terms, a);
        for (int k = 0; k < m->c; k++)
            for (int j = 0; j < terms; j++)
                s->light[k][j] = a[j * wide + terms + k] / a[j * wide + j];
        for (int q = 0; q < s->count; q += step)
            s->room[n++] = unlikeness(s, m, s->queue[q]);
        s->sigma = fmax(1.2 * quantile(s, n, .5), .006);
    }
}

/* The pixel v rows below pixel i and u columns right of it; -1: outside of the picture */
static int near_pixel(const Image *m, int i, int v, int u) {
    int x = i % m->w + u, y = i / m->w + v;
    return x < 0 || y < 0 || x >= m->w || y >= m->h ? -1 : y * m->w + x;
}
/* Neighbour k = 0..3 of pixel i; where the picture ends, i itself */
static int neighbour(const Image *m, int i, int k) {
    static const int down[] = { 0, 0, -1, 1 }, right[] = { -1, 1, 0, 0 };
    int at = near_pixel(m, i, down[k], right[k]);
    return at < 0 ? i : at;
}
/* how many of them have this label */
static int around(const Image *m, int i, float label) {
    int n = 0;
    for (int k = 0; k < 4; k++) n += m->mask[neighbour(m, i, k)] == label;
    return n;
}

/* The 4-connected region of label `from` around start gets the label `to`: queue[0..size) */
static int flood(MaskSearch *s, int start, float from, float to) {
    float *mask = s->picture->mask;
    int size = 0;
    if (mask[start] != from) return 0;
    mask[start] = to, s->queue[size++] = start;
    for (int head = 0; head < size; head++)
        for (int k = 0; k < 4; k++) {
            int at = neighbour(s->picture, s->queue[head], k);
            if (mask[at] == from) mask[at] = to, s->queue[size++] = at;
        }
    return size;
}
static void relabel(MaskSearch *s, int size, float to) {
    for (int q = 0; q < size; q++) s->picture->mask[s->queue[q]] = to;
}

/* Means over 2 radius + 1 pixels, twice each way, edges repeated; then their range in 3x3 */
static void smooth_picture(MaskSearch *s) {
    Image *m = &s->smooth;
    int h = m->h, w = m->w, c = m->c, r = s->radius;
    memcpy(m->pixels, s->picture->pixels, sizeof(float) * h * w * c);
    for (int pass = 0; pass < 4 * c; pass++) {
        int k = pass / 4, down = pass % 2;
        for (int i = 0; i < h * w; i++) s->room[i] = m->pixels[i * c + k];
        for (int i = 0; i < h * w; i++) {
            float sum = 0;
            for (int d = -r; d <= r; d++) {
                int x = i % w + (down ? 0 : d), y = i / w + (down ? d : 0);
                x = x < 0 ? 0 : x >= w ? w - 1 : x, y = y < 0 ? 0 : y >= h ? h - 1 : y;
                sum += s->room[y * w + x];
            }
            m->pixels[i * c + k] = sum / (2 * r + 1);
        }
    }
    for (long i = 0; i < h * w * c; i++) {
        float low = 2, high = -2, *edge = &s->edge[i / c];
        for (int d = 0; d < 9; d++) {
            long at = near_pixel(m, i / c, d / 3 - 1, d % 3 - 1);
            float v = at < 0 ? m->pixels[i] : m->pixels[at * c + i % c];
            low = fminf(low, v), high = fmaxf(high, v);
        }
        *edge = i % c ? fmaxf(*edge, high - low) : high - low;
    }
}

/* The light of the border, two pixels wide. barrier: the range in 3x3 that is an edge there.
 * 0: less than 60% of the border are alike, or its grain is too coarse */
static int look_at_border(MaskSearch *s, float *barrier) {
    int h = s->picture->h, w = s->picture->w, alike = 0, calm = 0;
    for (s->radius = 1;; s->radius = 3) {
        smooth_picture(s);
        s->count = 0, s->sigma = 1e3;
        memset(s->light, 0, sizeof s->light);
        for (int i = 0; i < h * w; i++)
            if (i % w < 2 || i / w < 2 || i % w >= w - 2 || i / w >= h - 2)
                s->queue[s->count++] = i;
        fit_light(s, 1, 8);             /* even light first: it finds what most of it is */
        fit_light(s, LIGHT_TERMS, 6);
        if (s->radius == 3 || s->sigma < .02) break;
    }
    for (int q = 0; q < s->count; q++) s->room[q] = unlikeness(s, s->picture, s->queue[q]);
    float grain = quantile(s, s->count, .5);
    for (int q = 0; q < s->count; q++) {
        double far = unlikeness(s, &s->smooth, s->queue[q]);
        alike += far < fmax(5 * s->sigma, .12);
        if (far < 3 * s->sigma) s->room[calm++] = s->edge[s->queue[q]];
    }
    *barrier = 1.3f * quantile(s, calm, .97) + .01f;
    return alike > .6 * s->count && grain < MASK_LIMIT && 5 * s->sigma < MASK_LIMIT;
}

/* From the border inwards; then the light is fitted to what was found, which may be brighter or
 * darker than the border is. Returns how unlike background may be; 0: there is hardly any. */
static double grow_background(MaskSearch *s, float barrier) {
    Image *m = s->picture;
    int n = m->h * m->w;
    double limit = 0;
    for (int round = 0; round < 5; round++) {
        limit = fmin(fmax(5 * s->sigma, .03), MASK_LIMIT);
        for (int i = 0; i < n; i++) {
            int like = unlikeness(s, &s->smooth, i) < limit && s->edge[i] < barrier;
            m->mask[i] = like ? LIKE : OTHER;
        }
        for (int i = 0; i < 2 * (m->h + m->w); i++)
            flood(s, image_border_pixel(m, i), LIKE, BACKGROUND);
        s->count = 0;
        for (int i = 0; i < n; i++) if (m->mask[i] == BACKGROUND) s->queue[s->count++] = i;
        if (s->count < n / 20) return 0;
        if (round < 3) fit_light(s, LIGHT_TERMS, 2);
    }
    return limit;
}

/* Is the region queue[0..size), labelled NOW, a shadow or a light? A third of its rim touches the
 * background, and the picture changes there little, and by less than .3 of what it does in all. */
static int is_soft(MaskSearch *s, int size) {
    const Image *m = s->picture;
    int rim = 0, perimeter = 0;
    for (int q = 0; q < size; q++) {
        int i = s->queue[q];
        perimeter += around(m, i, NOW) < 4;
        if (!around(m, i, BACKGROUND)) continue;
        float edge = 0;
        for (int d = 0; d < 25; d++) {
            int at = near_pixel(m, i, d / 5 - 2, d % 5 - 2);
            if (at >= 0) edge = fmaxf(edge, s->edge[at]);
        }
        s->room[rim++] = edge;
    }
    if (rim < 4 || rim < .35 * perimeter) return 0;
    float hard = quantile(s, rim, .25);
    for (int q = 0; q < size; q++) s->room[q] = unlikeness(s, &s->smooth, s->queue[q]);
    return hard < fminf(.06f, .3f * quantile(s, size, .8));
}

/* Is such a region a hole? Its colour is exactly the background's. */
static int is_hole(MaskSearch *s, int size) {
    double sum = 0;
    for (int q = 0; q < size; q++) sum += unlikeness(s, &s->smooth, s->queue[q]);
    return sum < 2 * s->sigma * size;
}

/* Of this label, regions that pass the test become background, if they are larger than 1/part of
 * the picture and smaller than the share `most` of what was found; others become OTHER. */
static void judge_regions(MaskSearch *s, float label, int part, double most,
                          int (*test)(MaskSearch *s, int size)) {
    const Image *m = s->picture;
    int n = m->h * m->w, found = 0;
    for (int i = 0; i < n; i++) found += m->mask[i] != BACKGROUND;
    for (int i = 0; i < n; i++) {
        int size = flood(s, i, label, NOW);
        int ground = size > n / part && size < most * found && test(s, size);
        relabel(s, size, ground ? BACKGROUND : OTHER);
    }
}

/* Has pixel i the background's color, darker or brighter? */
static int same_color(const MaskSearch *s, int i) {
    double low = 9, high = 0;
    for (int k = 0; k < s->smooth.c; k++) {
        double ground = fmax(light_at(s, i, k) + 1, .05);
        double ratio = (s->smooth.pixels[i * s->smooth.c + k] + 1) / ground;
        low = fmin(low, ratio), high = fmax(high, ratio);
    }
    return low > .4 && high < 1.5 && high - low < .05 + 2 * s->sigma;
}

/* Does the background go on at pixel i? What it is within 4 pixels of there, a plane through it by
 * least squares says what it is at i. A third of these pixels at least: it does not pass a gap. */
static int goes_on(const MaskSearch *s, int i) {
    enum { REACH = 4, T = 3 };
    const Image *m = s->picture;
    double a[T][T + 3] = {{0}}, far = 0;
    int all = 0;
    for (int v = -REACH; v <= REACH; v++)
        for (int u = -REACH; u <= REACH; u++) {
            int at = near_pixel(m, i, v, u);
            if (at < 0) continue;
            all++;
            if (m->mask[at] != BACKGROUND && m->mask[at] != SOFT) continue;
            double t[T + 3] = { 1, u, v };
            for (int k = 0; k < m->c; k++) t[T + k] = m->pixels[at * m->c + k];
            add_sample(T, a[0], t, 1);
        }
    if (a[0][0] < .37 * all) return 0;
    solve(T, a[0]);
    for (int k = 0; k < m->c; k++)
        far = fmax(far, fabs(s->smooth.pixels[i * m->c + k] - a[0][T + k] / a[0][0]));
    return far < .05;
}

/* Shadows and lights: the background's color, darker or brighter. First those regions without an
 * edge inside, then what the background goes on into. Grain would look like edges. */
static void accept_shadows(MaskSearch *s) {
    Image *m = s->picture;
    int n = m->h * m->w, size = 0;
    if (s->radius > 1) return;
    for (int i = 0; i < n; i++)
        if (m->mask[i] != BACKGROUND && same_color(s, i) &&
            s->edge[i] < fmin(.13, .05 + .35 * unlikeness(s, &s->smooth, i))) m->mask[i] = SOFT;
    judge_regions(s, SOFT, 2000, .45, is_soft);
    for (int i = 0; i < n; i++) if (m->mask[i] == BACKGROUND) s->queue[size++] = i;
    for (int head = 0; head < size; head++)
        for (int k = 0; k < 4; k++) {
            int at = neighbour(m, s->queue[head], k);
            float *label = &m->mask[at];
            if (*label != BACKGROUND && *label != SOFT && same_color(s, at) && goes_on(s, at))
                *label = SOFT, s->queue[size++] = at;
        }
    judge_regions(s, SOFT, 2000, .45, is_soft);
}

/* What is like the background but enclosed: a hole (between a bag and its strap), or else cloth of
 * that color */
static void judge_islands(MaskSearch *s, double limit) {
    Image *m = s->picture;
    for (int i = 0; i < m->h * m->w; i++)
        if (m->mask[i] != BACKGROUND)
            m->mask[i] = unlikeness(s, &s->smooth, i) < limit ? LIKE : OTHER;
    judge_regions(s, LIKE, 300, .7, is_hole);
}

/* Smoothing has moved the edge outwards: it goes back to where the picture itself is .4 of the
 * way from the background to the cloth that is most unlike it nearby, which is half way to typical
 * cloth. And JPEG has rung: within RINGING pixels of something strong, what
 * is unlike the background by 6% of that is background. */
static void sharpen_edge(MaskSearch *s) {
    Image *m = s->picture;
    enum { RINGING = 8 };
    int n = m->h * m->w, reach = s->radius == 1 ? 3 : 5;
    for (int i = 0; i < n; i++) s->room[i] = unlikeness(s, m, i);
    for (int i = 0; i < n; i++) {
        float most = 0, far = 0;
        int rim = 0;
        if (m->mask[i] == BACKGROUND) continue;
        for (int v = -RINGING; v <= RINGING; v++)
            for (int u = -RINGING; u <= RINGING; u++) {
                int at = near_pixel(m, i, v, u), off = abs(u) > abs(v) ? abs(u) : abs(v);
                if (at < 0) continue;
                rim |= off <= reach && m->mask[at] == BACKGROUND;
                if (off < reach) most = fmaxf(most, s->room[at]);
                far = fmaxf(far, s->room[at]);
            }
        int out = s->room[i] < fmaxf(.06f * far, rim ? .4f * most : 0);
        m->mask[i] = out ? LIKE : OTHER;
    }
    for (int i = 0; i < n; i++)
        if (m->mask[i] == LIKE && around(m, i, BACKGROUND)) flood(s, i, LIKE, BACKGROUND);
    for (int i = 0; i < n; i++)
        if (m->mask[i] == LIKE) m->mask[i] = OTHER;     /* enclosed: cloth */
}

/* Labels GARMENT and BACKGROUND; returns how many pixels the garment has */
static int search_garment(MaskSearch *s) {
    Image *m = s->picture;
    int n = m->h * m->w, garment = 0, speck = n / 500 > 2 ? n / 500 : 2;
    float barrier;
    double limit = look_at_border(s, &barrier) ? grow_background(s, barrier) : 0;
    if (!(limit > 0)) return 0;
    accept_shadows(s);
    judge_islands(s, limit);
    sharpen_edge(s);
    for (int i = 0; i < n; i++) {
        int size = flood(s, i, OTHER, GARMENT);
        if (size > speck) garment += size;
        else relabel(s, size, BACKGROUND);
    }
    return garment;
}

int image_garment_mask(Image *image) {
    size_t n = image->h * image->w;
    if (image->mask) return 2;
    if (!image->pixels) return fail("an empty picture has no garment");
    if (!image_add_mask(image, 1)) return 0;
    MaskSearch s = { .picture = image, .edge = malloc(n * sizeof(float)),
                     .room = malloc(n * sizeof(float)), .queue = malloc(n * sizeof(int)) };
    int good = s.edge && s.room && s.queue && image_copy(&s.smooth, image);
    int garment = good ? search_garment(&s) : 0;
    for (size_t i = 0; !garment && i < n; i++) image->mask[i] = 1;
    good = good && image_round_mask(image);
    free(s.edge), free(s.room), free(s.queue), image_free(&s.smooth);
    if (good) return garment ? 1 : 3;
    free(image->mask), image->mask = NULL;
    return fail("out of memory for the mask of %d x %d", image->w, image->h);
}
#endif
