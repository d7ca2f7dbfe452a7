/* test_cloth.c: cloth as transfer weaves it: a repeat whose edges meet, pieces that are the whole, shares of styles; and
 * the period and the waves of a picture, on pictures whose period is known. The generator has its first weights: what is
 * asked of it here holds for any. TEST_QUICK=1: one period. */
#include "core/tiled.h"
#include "style/generator.h"
#include "images/period.h"
#include "test.h"
#include <unistd.h>

enum { STYLES = 3 };

static void save_run(const char *path, int styles) {
    GanOptions o = recipe_find("cloth")->defaults;
    static Gan gan;
    static const StMeta meta[] = { { "--size", "16" } };
    o.batch = 2, o.size = 16, o.seed = 3, o.classes = styles;
    CHECK(gan_begin(&gan, recipe_find("cloth"), &o, &ops_tiled) && gan_finish(&gan) && gan_save(&gan, path, meta, 1),
          "%s: %s", path, error_text());
    gan_free(&gan);
}

/* mean |difference| of columns (rows) a and b */
static double apart(const Image *x, int a, int b, int rows) {
    double sum = 0;
    int n = rows ? x->w : x->h;
    for (int i = 0; i < n; i++)
        for (int c = 0; c < 3; c++) {
            long p = rows ? (long)a * x->w + i : (long)i * x->w + a, q = rows ? (long)b * x->w + i : (long)i * x->w + b;
            sum += fabs(x->pixels[3 * p + c] - x->pixels[3 * q + c]) / (3 * n);
        }
    return sum;
}

/* Is the seam between the last column (row) and the first as smooth as those between neighbours? */
static int seamless(const Image *x, int rows) {
    int n = rows ? x->h : x->w;
    double most = 0;
    for (int i = 0; i + 1 < n; i++) most = fmax(most, apart(x, i, i + 1, rows));
    return apart(x, n - 1, 0, rows) <= most;
}

static int same(const Image *a, const Image *b) {
    return a->h == b->h && a->w == b->w && !memcmp(a->pixels, b->pixels, sizeof(float) * 3 * (size_t)a->h * (size_t)a->w);
}

/* all but the rounding of the waves' angles, which a piece begins to count at its own corner */
static int alike(const Image *a, const Image *b) {
    int good = a->h == b->h && a->w == b->w;
    for (long i = 0; good && i < 3L * a->h * a->w; i++) good = fabsf(a->pixels[i] - b->pixels[i]) < 1e-4f;
    return good;
}

static void weave(Generator *g, Image *x, int repeats, int tile, const double *share, int h, int w) {
    g->repeats = repeats, g->tile = tile, g->share = share;
    CHECK(generator_weave(g, x, h, w), "%d x %d: %s", w, h, error_text());
}

static void test_weaving(const char *path, int styles) {
    static const double shares[3][STYLES] = { { 1, 0, 0 }, { 0, 1, 0 }, { 0.5, 0.5, 0 } };
    static Generator g;
    Image a, b, c, d;
    g = (Generator){ .ops = &ops_tiled, .seed = 5 };
    CHECK(generator_open(&g, path, "", 0), "%s", error_text());
    CHECK(g.classes == styles && g.channels == 3, "%d styles, expected %d", g.classes, styles);
    weave(&g, &a, 1, 0, NULL, 96, 64);
    CHECK(seamless(&a, 0) && seamless(&a, 1), "the edges of a repeat do not meet");
    weave(&g, &b, 1, 40, NULL, 96, 64);
    CHECK(alike(&a, &b), "a repeat in pieces is another");
    weave(&g, &c, 0, 0, NULL, 96, 64);
    CHECK(!alike(&a, &c), "what does not repeat is a repeat");
    weave(&g, &d, 0, 24, NULL, 96, 64);
    CHECK(alike(&c, &d), "cloth in pieces is another");
    image_free(&d);
    weave(&g, &d, 0, 0, NULL, 91, 61);
    CHECK(d.h == 91 && d.w == 61, "%d x %d pixels, expected 61 x 91", d.w, d.h);
    for (int k = 0; k < 3 && styles > 1; k++) {
        image_free(&b);
        weave(&g, &b, 1, 0, shares[k], 96, 64);
        CHECK(same(&a, &b) == (k == 0), "the shares %d of the styles", k);
    }
    image_free(&a), image_free(&b), image_free(&c), image_free(&d);
    gan_free(&g.gan), st_close(&g.checkpoint);
}

/* a picture of two waves, of `period` pixels, in directions that stand at right angles; and noise */
static void test_period(double period, double direction) {
    Image x;
    double k[4], want = TURN / period, least = 9;
    CHECK(image_new(&x, 160, 200, 3), "%s", error_text());
    for (long p = 0; p < 160L * 200; p++)
        for (int c = 0; c < 3; c++) {
            double i = (double)(p / 200), j = (double)(p % 200), a = cos(direction), b = sin(direction);
            x.pixels[3 * p + c] = (float)(0.4 * sin(want * (a * i + b * j)) + 0.4 * sin(want * (b * i - a * j))
                                          + 0.05 * philox_normal(1, 2, (uint64_t)(3 * p + c)));
        }
    CLOSE(image_period(&x), period, 1, 0.03, "the period");
    image_waves(k, 2, &x);
    for (int q = 0; q < 2; q++) CLOSE(hypot(k[q], k[2 + q]), want, 0.02, 0, "wave %d", q);
    for (int q = 0; q < 2; q++) least = fmin(least, fabs(k[q] - want * cos(direction)) + fabs(k[2 + q] - want * sin(direction)));
    CHECK(least < 0.04, "the direction of the waves: %g", least);
    for (long p = 0; p < 3L * 160 * 200; p++) x.pixels[p] = (float)sin(want * (double)(p / 3 % 200));
    CLOSE(image_period(&x), period, 1, 0.03, "stripes: a ridge along them is no peak");
    for (long p = 0; p < 3L * 160 * 200; p++) x.pixels[p] = 0.3f;
    CHECK(image_period(&x) == 0, "one colour has a period");
    image_free(&x);
}

int main(void) {
    char path[] = "/tmp/test_cloth.XXXXXX";
    int file = mkstemp(path);
    CHECK(file >= 0, "no temporary file");
    for (int styles = 1; styles <= STYLES; styles += STYLES - 1) {
        save_run(path, styles);
        test_weaving(path, styles);
    }
    test_period(20, 0);
    if (!getenv("TEST_QUICK")) test_period(31, 0.5), test_period(14, 1);
    close(file), unlink(path);
    return test_report("cloth");
}
