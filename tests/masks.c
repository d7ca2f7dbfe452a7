/* masks.c: how well image_garment_mask finds garments whose masks are known: `make masks` prints a table.
 *
 * Garments of Fashion-MNIST's test part and drawn ones, dyed or not, are laid on five kinds of ground: plain, lit from one
 * side or above, with a soft shadow beside the garment, textured, and white (half of these garments are white too). Camera
 * noise is added. IoU = pixels in both masks / pixels in one of them; masks are cut at 1/2. It fails
 * where the mean over all is below .97 or the tenth percentile below .90.
 *
 *     build/masks [N]          N pictures of Fashion-MNIST and N/4 drawn ones for each ground (40) */
#include "images/images.h"
#include "test.h"
#include "layers.h"
#include <math.h>

enum { PLAIN, LIT, SHADOWED, TEXTURED, WHITE, GROUNDS };
static const char *const ground_name[] = { "plain", "lit", "shadowed", "textured", "white" };

/* random numbers of picture `stream`, counted: the same on every machine */
static uint64_t stream, draws;
static double uniform(double low, double high) { return low + (high - low) * philox_uniform(1, stream, draws++); }
static double normal(void) {
    float four[4];
    philox_normals(four, 2, stream, draws++);
    return four[0];
}

/* A garment of side x side pixels with a crisp mask: as ./transfer enlarges it */
static void garment(Image *g, const ImageSet *set, long index, int side) {
    must(image_new(g, set->h, set->w, 3) && image_add_mask(g, 1));
    must(imageset_get(set, index, g->pixels, g->mask));
    float by = (float)side / set->h;
    image_round_mask(g);
    while (g->h != side) {
        Image larger;
        int to = side < 2 * g->h ? side : 2 * g->h;
        must(image_resize(&larger, g, to, to));
        image_free(g), *g = larger;
    }
    for (long i = 0; i < (long)g->h * g->w; i++) g->mask[i] = image_clamp((g->mask[i] - .5f) * fmaxf(by, 1) + .5f, 0, 1);
    if (by > 1) must(image_draw_in(g, (int)(by / 2)));
}

/* means over 2 r + 1, twice each way */
static void soften(float *x, int h, int w, int r) {
    float *from = malloc(sizeof *x * (size_t)(h * w));
    for (int pass = 0; pass < 4; pass++) {
        memcpy(from, x, sizeof *x * (size_t)(h * w));
        for (int i = 0; i < h * w; i++) {
            float sum = 0;
            for (int d = -r; d <= r; d++) {
                int y = i / w + (pass % 2 ? d : 0), u = i % w + (pass % 2 ? 0 : d);
                sum += from[(y < 0 ? 0 : y >= h ? h - 1 : y) * w + (u < 0 ? 0 : u >= w ? w - 1 : u)];
            }
            x[i] = sum / (float)(2 * r + 1);
        }
    }
    free(from);
}

/* The light that falls on each pixel of the ground (h,w). m: the garment's mask there */
static void light_ground(float *light, const float *m, int h, int w, int ground, int linear) {
    double x0 = uniform(.2, .8), y0 = uniform(.2, .8), fall = uniform(.15, .35), dark = uniform(.2, .4), angle = uniform(0, 3.14), period = uniform(3, 10);
    int down = (int)uniform(4, 18), right = (int)uniform(-12, 12), r = (int)uniform(5, 11);
    for (int i = 0; i < h * w; i++) {
        int y = i / w, x = i % w;
        light[i] = 1;
        if (ground == LIT) light[i] -= (float)(fall * (linear ? 1.2 * (x * cos(angle) / w + y * sin(angle) / h) : 1.4 * hypot((double)x / w - x0, (double)y / h - y0)));
        if (ground == SHADOWED) light[i] = y >= down && x >= right && x - right < w ? m[(y - down) * w + x - right] : 0;
        if (ground == TEXTURED) light[i] = (float)normal();
    }
    if (ground == SHADOWED || ground == TEXTURED) soften(light, h, w, ground == SHADOWED ? r : 1);
    for (int i = 0; i < h * w; i++) {
        if (ground == SHADOWED) light[i] = 1 - (float)dark * light[i];
        if (ground == TEXTURED) light[i] = 1 + .06f * light[i] + .04f * (float)sin(6.283 * (i % w * cos(angle) + i / w * sin(angle)) / period);
    }
}

/* picture number i on this ground; truth: (picture->h, picture->w) */
static void compose(Image *picture, float **truth, const ImageSet *set, int i, int ground) {
    static const double contrast = .15;
    Image g;
    int side = 192 + 64 * (int)uniform(0, 3), h = side + (int)uniform(32, 96), w = side + (int)uniform(32, 96);
    int top = (h - side) / 2 + (int)uniform(-6, 6), left = (w - side) / 2 + (int)uniform(-6, 6), white = ground == WHITE && i % 2;
    double dye[3], base[3], tone = 0, all = 0, level = 1, dyed = i % 3 == 1 && !white;
    garment(&g, set, (7 * i + 3) % set->count, side);
    for (int k = 0; k < 3; k++) dye[k] = dyed ? uniform(.5, 1) : 1;
    for (long p = 0; p < 3L * side * side; p++) tone += g.mask[p / 3] * (g.pixels[p] + 1) / 2 * dye[p % 3], all += g.mask[p / 3];
    for (int tries = 0; ground != WHITE && tries < 50; tries++)      /* a ground that is not as light as the garment */
        if (level = uniform(.45, .95), fabs(level - tone / all) > contrast) break;
    double warm = ground == WHITE ? 0 : uniform(0, .06);
    for (int k = 0; k < 3; k++) base[k] = fmin(1, level * (1 + warm * (1 - k)));
    float *m = *truth = calloc((size_t)(h * w), sizeof *m), *light = malloc(sizeof *light * (size_t)(h * w));
    must(image_new(picture, h, w, 3));
    for (int p = 0; p < side * side; p++) m[(top + p / side) * w + left + p % side] = g.mask[p];
    light_ground(light, m, h, w, ground, i % 2);
    for (int p = 0; p < h * w; p++)
        for (int k = 0; k < 3; k++) {
            int y = p / w - top, x = p % w - left, inside = y >= 0 && x >= 0 && y < side && x < side;
            double cloth = inside ? (g.pixels[3 * (y * side + x) + k] + 1) / 2 : 0;
            if (white) cloth = .8 + .17 * cloth;
            double v = m[p] * cloth * dye[k] + (1 - m[p]) * base[k] * light[p] + .008 * normal();
            picture->pixels[3 * p + k] = (float)(2 * fmin(1, fmax(0, v)) - 1);
        }
    free(light), image_free(&g);
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double print_row(const char *name, double *iou, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += iou[i];
    qsort(iou, (size_t)n, sizeof *iou, compare_doubles);
    printf("| %-10s | %4d | %.4f | %.4f | %.4f |\n", name, n, sum / n, iou[n / 10], iou[0]);
    return sum / n;
}

int main(int count, char **argument) {
    int number = count > 1 ? atoi(argument[1]) : 40, all = 0, each = number + number / 4;
    ImageSet sets[2];
    ImageSetOptions o = { .channels = 3, .photo = 1 };
    must(imageset_load(&sets[0], "fashion-mnist:test", &o));
    o.h = o.w = 256;
    must(imageset_load(&sets[1], "synthetic:200", &o));
    double *iou = malloc(sizeof *iou * (size_t)(2 * GROUNDS * each)), *total = iou + GROUNDS * each;
    printf("| ground | pictures | mean IoU | tenth percentile | least |\n|---|---|---|---|---|\n");
    for (int ground = 0; ground < GROUNDS; ground++) {
        for (int i = 0; i < each; i++) {
            Image picture;
            float *truth;
            double both = 0, either = 0;
            int drawn = i >= number;
            stream = (uint64_t)(ground * 10000 + i), draws = 0;
            compose(&picture, &truth, &sets[drawn], (drawn ? i - number : i) + 100 * ground, ground);
            must(image_garment_mask(&picture));
            for (int p = 0; p < picture.h * picture.w; p++) {
                int found = picture.mask[p] > .5f, is = truth[p] > .5f;
                both += found && is, either += found || is;
            }
            iou[ground * each + i] = total[all++] = both / either;
            image_free(&picture), free(truth);
        }
        print_row(ground_name[ground], iou + ground * each, each);
    }
    int good = print_row("all", total, all) >= .97 && total[all / 10] >= .9;
    if (!good) printf("expected a mean of .97 and a tenth percentile of .90\n");
    free(iou);
    imageset_free(&sets[0]), imageset_free(&sets[1]);
    return !good;
}
