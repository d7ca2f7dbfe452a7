/* test_mixture.c: a GAN in two dimensions, where one can see whether it works.
 *
 * The data: eight Gaussian spots on a ring. The failure to fear is mode collapse: G finds one spot
 * that D cannot tell from the data, and puts every z there. So the test counts the samples on each
 * spot, and those on none. Data and networks are those of the page's game (notebooks-as-md/page/toys.h); objectives
 * and training step those of the recipes dcgan (F2, F3, F19) and r3gan (F32, F33), from their
 * entries in the table of recipes: what is tested here is the code that trains on garments. After
 * 2000 steps, of 12 seeds tried the worst had 7% of its samples on its rarest spot (fair would be
 * 12.5%), and 88% on some spot: far enough from the 2% and 70% asked for below to survive another
 * compiler's rounding. With TEST_QUICK in the environment (sanitizers are slow) it trains for 20
 * steps only, and passes no verdict.
 *   test_mixture losses       prints D's and G's losses of 50 steps: test_page.sh compares */
#include "notebooks-as-md/page/toys.h"
#include "test.h"
#ifdef _OPENMP
#include <omp.h>
#endif

enum { MODES = 8, BATCH = 128, NOISE = 2, STEPS = 2000, SAMPLES = 2048 };
static Plane ring;

/* Which share of a set of points lies on each spot; the smallest of these shares, and their sum.
 * xy: (n,2) */
typedef struct Coverage { double share[MODES], least, sum; } Coverage;

static Coverage cover(const real *xy, int n) {
    Coverage c = { .least = 1 };
    plane_cover(&ring, c.share, xy, n);
    for (int k = 0; k < MODES; k++) c.sum += c.share[k], c.least = fmin(c.least, c.share[k]);
    return c;
}

static int finds_all_modes(const Coverage *c) { return c->least >= 0.02 && c->sum >= 0.7; }

/* Trains from this seed, by a recipe's losses, and counts where the samples lie. tells: of every
 * step its losses */
static Coverage train_ring(const char *recipe, uint64_t seed, int steps, int tells) {
    static real xy[2 * SAMPLES];
    const GanOptions *by = &recipe_find(recipe)->defaults;
    const GanOptions o = { .batch = BATCH, .size = 1, .channels = 2, .lr = 1e-3, .seed = seed,
                           .beta1 = by->beta1, .beta2 = by->beta2,
                           .penalty_weight = by->penalty_weight };
    Toy toy = { .noise = NOISE };
    Gan gan;
    Report report;
    if (!toy_begin(&gan, &toy, recipe, &o)) exit(1);
    for (int i = 0; i < steps; i++) {
        plane_draw(&ring, gan.x_real, BATCH, seed, (uint64_t)i);
        gan_step(&gan, &report);
        if (tells) printf("[%.9g, %.9g],\n", report.loss_d, report.loss_g);
    }
    for (int i = 0; i < SAMPLES / BATCH; i++) gan_sample(&gan, (uint64_t)i, xy + 2 * BATCH * i);
    gan_free(&gan);
    return cover(xy, SAMPLES);
}

static void test_ring(void) {
    if (getenv("TEST_QUICK")) {
        Coverage c = train_ring("r3gan", 1, 20, 0);
        CHECK(c.sum >= 0 && c.sum <= 1, "after 20 steps %g of the samples lie on spots", c.sum);
        return;
    }
    for (int k = 0; k < 2; k++) {
        uint64_t seeds = at_length() ? 10 : 2;
        const char *recipe = k ? "r3gan" : "dcgan";
        for (uint64_t seed = 1; seed <= seeds; seed++) {
            Coverage c = train_ring(recipe, seed, STEPS, 0);
            CHECK(finds_all_modes(&c),
                  "%s, seed %d: the rarest spot has %.1f%% of the samples, all spots %.1f%%",
                  recipe, (int)seed, 100 * c.least, 100 * c.sum);
        }
    }
    Coverage untrained = train_ring("dcgan", 1, 0, 0);
    CHECK(!finds_all_modes(&untrained), "a generator that has learnt nothing finds all modes");
}

/* The counting itself: the data passes; what has collapsed, wholly or a little, or lies beside the
 * spots, does not. */
static void test_counting(void) {
    static real data[2 * SAMPLES], xy[2 * SAMPLES];
    plane_draw(&ring, data, SAMPLES, 1, 0);
    Coverage c = cover(data, SAMPLES);
    CHECK(finds_all_modes(&c) && c.sum > 0.99 && c.least > 0.1,
          "the data itself: rarest %g, together %g", c.least, c.sum);

    for (int i = 0; i < SAMPLES; i++) memcpy(xy + 2 * i, data, 2 * sizeof *xy);
    c = cover(xy, SAMPLES);
    CHECK(!finds_all_modes(&c) && c.least == 0 && c.sum == 1, "one point: rarest %g, together %g",
          c.least, c.sum);

    for (int lost = 0; lost < MODES; lost++) {          /* one spot's samples go to its neighbour */
        const double *from = ring.place[lost], *to = ring.place[(lost + 1) % MODES];
        memcpy(xy, data, sizeof xy);
        for (int i = 0; i < SAMPLES; i++)
            if (hypot(xy[2 * i] - from[0], xy[2 * i + 1] - from[1]) <= 5 * ring.sigma)
                for (int k = 0; k < 2; k++) xy[2 * i + k] += (real)(to[k] - from[k]);
        c = cover(xy, SAMPLES);
        CHECK(!finds_all_modes(&c) && c.share[lost] == 0, "spot %d is lost unseen", lost);
    }

    memcpy(xy, data, sizeof xy);
    for (int i = 0; i < 2 * SAMPLES; i++) xy[i] *= 1.4f;             /* a larger ring */
    c = cover(xy, SAMPLES);
    CHECK(!finds_all_modes(&c), "samples beside the spots: together %g", c.sum);
    for (int i = 0; i < 2 * SAMPLES; i++) xy[i] = NAN;
    c = cover(xy, SAMPLES);
    CHECK(!finds_all_modes(&c), "NaN lies on a spot");
}

int main(int argc, char **argv) {
#ifdef _OPENMP
    omp_set_num_threads(1);                          /* networks this small wait for threads */
#endif
    plane_begin(&ring, RING, NULL, 0);
    if (argc > 1 && !strcmp(argv[1], "losses")) return train_ring("dcgan", 1, 50, 1), 0;
    test_counting();
    test_ring();
    return test_report("mixture");
}
