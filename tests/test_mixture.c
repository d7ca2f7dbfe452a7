/* test_mixture.c: a GAN in two dimensions, where one can see whether it works.
 *
 * The data: eight Gaussian spots on a ring. The failure everybody fears is mode collapse: G finds one spot that D cannot
 * tell from the data and paints it for every z. So the test counts: how many samples lie on each spot, and how many on none.
 * The networks are dense layers from net.h; the objective and the training step are those of the recipe `dcgan` (F2, F3,
 * F19): what is tested here is the code that trains on garments. */
#include "gan.h"
#include "tiled.h"
#include "test.h"

enum { MODES = 8, BATCH = 128, WIDTH = 64, NOISE = 4, SAMPLES = 2048, STEPS = 2500 };
static const double RADIUS = 2, SIGMA = 0.15;         /* neighbouring spots are 1.5 apart: ten sigma */

static void mode_center(int k, double center[2]) {
    center[0] = RADIUS * cos(2 * 3.14159265358979 * k / MODES);
    center[1] = RADIUS * sin(2 * 3.14159265358979 * k / MODES);
}

/* n points of the data: a spot by the dice, a Gaussian step away from it   xy: (n,2) */
static void draw_points(float *xy, int n, uint64_t seed, uint64_t step) {
    ops_naive.random_normal(xy, 2L * n, seed, STREAM(STREAM_DATA, 2 * step));
    for (int i = 0; i < n; i++) {
        double center[2];
        mode_center(philox_below(seed, STREAM(STREAM_DATA, 2 * step + 1), (uint64_t)i, MODES), center);
        for (int k = 0; k < 2; k++) xy[2 * i + k] = (float)(center[k] + SIGMA * xy[2 * i + k]);
    }
}

/* What a set of points covers: the share of them within four sigma of each spot, and their sum. (Of the data itself
 * 1 - exp(-4^2/2), nearly all, lie there.) */
typedef struct Coverage { double share[MODES], near, least; } Coverage;

static Coverage cover(const float *xy, int n) {
    Coverage c = {0};
    for (int i = 0; i < n; i++)
        for (int k = 0; k < MODES; k++) {
            double center[2];
            mode_center(k, center);
            if (hypot(xy[2 * i] - center[0], xy[2 * i + 1] - center[1]) <= 4 * SIGMA) c.share[k] += 1. / n;
        }
    c.least = 1;
    for (int k = 0; k < MODES; k++) c.near += c.share[k], c.least = fmin(c.least, c.share[k]);
    return c;
}

/* The verdict: no spot has less than a sixth of its fair share of 1/8, and seven samples of ten lie on some spot. */
static int finds_all_modes(const Coverage *c) { return c->least >= 0.02 && c->near >= 0.7; }

static void ring_describe(Gan *gan) {
    Net *g = &gan->g, *d = &gan->d;
    int x;
    gan->g_noise[0] = x = net_input(g, 1, 1, NOISE);
    gan->noises = 1;
    for (int i = 0; i < 2; i++) x = relu(g, dense(g, x, WIDTH));
    gan->g_picture = dense(g, x, 2);

    gan->d_picture = x = net_input(d, 1, 1, 2);
    for (int i = 0; i < 2; i++) x = leaky_relu(d, dense(d, x, WIDTH), 0.2);
    gan->d_logits = dense(d, x, 1);
}

int main(int argc, char **argv) {
    int steps = argc > 2 ? atoi(argv[2]) : STEPS;
    double lr = argc > 3 ? atof(argv[3]) : 1e-3;
    Recipe ring = *recipe_find("dcgan");
    ring.name = "ring", ring.describe = ring_describe;
    for (uint64_t seed = 1; seed <= (uint64_t)(argc > 1 ? atoi(argv[1]) : 3); seed++) {
        GanOptions o = { .batch = BATCH, .size = 1, .channels = 2, .lr = lr, .beta1 = 0.5, .beta2 = argc > 4 ? atof(argv[4]) : 0.999, .seed = seed };
        Gan gan;
        Report report;
        gan_begin(&gan, &ring, &o, &ops_tiled);
        gan_finish(&gan);
        net_initialize(&gan.g, seed, STREAM(STREAM_G, 0), 2);
        net_initialize(&gan.d, seed, STREAM(STREAM_D, 0), 2);
        for (int i = 0; i < steps; i++) {
            draw_points(gan.images, BATCH, seed, (uint64_t)i);
            gan_step(&gan, &report);
            if ((i+1)%500==0) {
        float xy[2 * SAMPLES];
        for (int j = 0; j < SAMPLES / BATCH; j++) gan_sample(&gan, (uint64_t)j, xy + 2 * BATCH * j);
        Coverage c = cover(xy, SAMPLES);
        printf("%d: least %.3f near %.3f  | ", i+1, c.least, c.near);
            }
        }
        float xy[2 * SAMPLES];
        for (int j = 0; j < SAMPLES / BATCH; j++) gan_sample(&gan, (uint64_t)j, xy + 2 * BATCH * j);
        Coverage c = cover(xy, SAMPLES);
        printf("seed %d: least %.3f near %.3f %s\n", (int)seed, c.least, c.near, finds_all_modes(&c)?"ok":"--");
        gan_free(&gan);
    }
    return test_report("mixture");
}
