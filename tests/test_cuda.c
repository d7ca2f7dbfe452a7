/* test_cuda.c: whole recipes on the device cuda against the CPU: the same losses and pictures from
 * the same parameters, the same bits twice, and a run that changes its device at every step.
 *
 * Two right programs that round differently do not train alike: Adam divides by the gradient's
 * size, so where a gradient is zero but for rounding, a parameter moves by a whole step in the
 * direction of that rounding. After ten steps of dcgan two builds for one CPU (SSE, AVX-512)
 * differ by 1e-3, of dcgan64 by 1e-1. So single steps are compared: before each one both devices
 * load the same checkpoint, and they take it with a learning rate of 0.
 *
 * Linked with what nvcc makes of cuda_kernels.cu, for a GPU: test_cuda large; or with what
 * cuda_on_cpu makes of it: then pictures are tiny, steps few, and most of them use the kernel that
 * computes no more than they need (rung 2). Single operations are test_ops.c's, built with
 * WITH_CUDA. */
#include "core/device.h"
#include "gan.h"
#include "validation/recipe_inputs.h"
#include "core/tiled.h"
#include "test.h"
#include <unistd.h>

enum { MOST_STEPS = 10 };
static int large;
static char path[1024];                                  /* the checkpoint that all load */

typedef struct Side { Gan gan; double lr, lr_d; Report report; long pixels; real *picture; } Side;
typedef struct Apart { double median, most, pictures; } Apart;       /* of single steps */

static void begin(Side *side, const char *recipe, const Ops *ops, int batch, int size) {
    GanOptions o = recipe_inputs_options(recipe, batch, size);
    o.tv_weight = 0.1;
    if (!large && o.n_critic > 1) o.n_critic = 2;
    gan_begin(&side->gan, recipe_find(recipe), &o, ops);
    CHECK(gan_finish(&side->gan), "%s: memory", ops->name);
    side->lr = o.lr, side->lr_d = o.lr_d, side->pixels = (long)batch * size * size * o.channels;
    side->picture = ops_naive.alloc(side->pixels);
}
static void end(Side *side) {
    gan_free(&side->gan);
    ops_naive.release(side->picture);
}
/* A step, with the recipe's learning rates or with 0 */
static void step(Side *side, int learns) {
    side->gan.options.lr = learns ? side->lr : 0, side->gan.options.lr_d = learns ? side->lr_d : 0;
    recipe_inputs(&side->gan, (uint64_t)side->gan.step);
    gan_step(&side->gan, &side->report);
}
static void held_step(Side *side) {
    int feeds = side->gan.recipe->feeds;
    CHECK(gan_load(&side->gan, path), "%s", error_text());
    step(side, 0);
    if (feeds != FEED_CROPS && feeds != FEED_LABELS)                 /* those draw no pictures */
        gan_sample(&side->gan, 3, side->picture);
}

/* the largest difference of two numbers, relative to 1 + what is wanted; NaN is infinitely far */
static double report_distance(const Report *got, const Report *want) {
    const double *a = (const double *)got, *b = (const double *)want;
    double most = 0;
    for (size_t k = 0; k < sizeof(Report) / sizeof(double); k++) {
        double d = fabs(a[k] - b[k]) / (1 + fabs(b[k]));
        if (!(d <= most)) most = isfinite(d) ? d : INFINITY;
    }
    return most;
}
static int by_size(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* A run of `steps` steps whose first, third .. are the CPU's and the others `ops`': what both make
 * of a step after each of them. twice: also, whether `ops` gives the same bits again */
static Apart held(const char *recipe, const Ops *ops, int batch, int size, int steps, int twice) {
    Side cpu = {0}, gpu = {0};
    Apart apart = {0};
    double distance[MOST_STEPS];
    begin(&cpu, recipe, &ops_tiled, batch, size), begin(&gpu, recipe, ops, batch, size);
    for (int i = 0; i < steps; i++) {
        Side *turn = i % 2 ? &gpu : &cpu;
        if (i) CHECK(gan_load(&turn->gan, path), "%s", error_text());
        step(turn, 1);
        CHECK(gan_save(&turn->gan, path, NULL, 0), "%s", error_text());
        held_step(&cpu), held_step(&gpu);
        distance[i] = report_distance(&gpu.report, &cpu.report);
        for (long k = 0; k < gpu.pixels; k++) {
            double d = fabs((double)gpu.picture[k] - cpu.picture[k]);
            if (!(d <= apart.pictures)) apart.pictures = isfinite(d) ? d : INFINITY;
        }
    }
    qsort(distance, (size_t)steps, sizeof *distance, by_size);
    apart.median = distance[steps / 2], apart.most = distance[steps - 1];
    printf("  %-10s %-9s a step differs from the CPU's by %.1e (median), %.1e (most), pictures by "
           "%.1e\n", recipe, ops->name, apart.median, apart.most, apart.pictures);
    if (twice) {
        Report first = gpu.report;
        uint64_t hash = gan_hash(&gpu.gan);                          /* Adam's moments: gradients */
        real *picture = cpu.picture;
        memcpy(picture, gpu.picture, sizeof(real) * (size_t)gpu.pixels);
        held_step(&gpu);
        CHECK(!memcmp(&first, &gpu.report, sizeof first) && hash == gan_hash(&gpu.gan) &&
              !memcmp(picture, gpu.picture, sizeof(real) * (size_t)gpu.pixels),
              "%s, %s: the same step again has other bits", recipe, ops->name);
    }
    remove(path);
    end(&cpu), end(&gpu);
    return apart;
}

/* Rounding moves a report by 2e-6 of its size, but for a step in which a relu or |x| changes
 * sides: hence the median. */
static int is_float32(Apart a) { return a.median <= 5e-5 && a.most <= 1e-2 && a.pictures <= 1e-3; }
static void test_recipe(const char *recipe, int batch, int size, int steps, int twice) {
    Apart a = held(recipe, &ops_cuda, batch, size, steps, twice);
    CHECK(is_float32(a), "%s: single steps differ by %g (median), %g (most), pictures by %g",
          recipe, a.median, a.most, a.pictures);
}

/* What the comparison must find: errors planted in the CPU's table. The backward pass is given the
 * variance over N-1 in place of N; a weight's gradient counts the first pixel twice. */
static void wrong_variance(real *y, real *mean, real *var, const real *x, const real *gamma,
                           const real *beta, int groups, long rows, int c) {
    ops_tiled.normalize_forward(y, mean, var, x, gamma, beta, groups, rows, c);
    for (int j = 0; j < groups * c; j++) var[j] *= (real)rows / (real)(rows - 1);
}
static void wrong_gradient(real *dw, const real *x, const real *dy, const Conv *d) {
    Conv first = *d;
    first.n = first.oh = first.ow = 1;
    ops_tiled.conv2d_backward_weight(dw, x, dy, d);
    ops_tiled.conv2d_backward_weight(dw, x, dy, &first);
}
static void test_planted(void) {
    Ops variance = ops_tiled, gradient = ops_tiled;
    variance.name = "variance", variance.normalize_forward = wrong_variance;
    gradient.name = "gradient", gradient.conv2d_backward_weight = wrong_gradient;
    CHECK(!is_float32(held("dcgan", &variance, 3, 8, 3, 0)), "a variance over N-1 is not seen");
    CHECK(!is_float32(held("dcgan", &gradient, 3, 8, 3, 0)), "a pixel too many is not seen");
}

/* Each precision on the fast kernels: near the CPU's losses, but not its bits: was it asked? */
static void test_precision(const Ops *ops, double median, double most) {
    Apart a = large ? held("dcgan", ops, 64, 28, MOST_STEPS, 1) : held("dcgan", ops, 2, 4, 1, 0);
    CHECK(a.median <= median && a.most <= most, "%s: single steps differ by %g (median), %g (most)",
          ops->name, a.median, a.most);
    CHECK(a.most > 0, "%s: the CPU's very bits: was it asked at all?", ops->name);
    CHECK(ops == &ops_cuda || a.median > 5e-5, "%s: rounds as float32 does", ops->name);
}

/* One of each kind of network and loss, as small as they can be */
static void test_small(void) {
    static const char *const pairs[] = { "hinge", "wgan-gp", "vaegan", "stylegan" };
    static const char *const single[] = { "cyclegan", "pix2pix", "classifier", "style", "adain" };
    cuda_ladder(2);
    test_recipe("dcgan", 3, 8, 2, 1);
    for (int i = 0; i < 4; i++) test_recipe(pairs[i], 2, 8, 1, 0);
    for (int i = 0; i < 5; i++) test_recipe(single[i], 1, i < 3 ? 8 : 16, 1, 0);
    cuda_ladder(0);
}

int main(int argc, char **argv) {
    large = argc > 1 && !strcmp(argv[1], "large");
    const char *folder = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", *missing = cuda_open(0);
    snprintf(path, sizeof path, "%s/test_cuda.%d.safetensors", folder, (int)getpid());
    CHECK(!missing, "%s", missing);
    if (missing) return test_report("cuda");
    test_planted();
    if (!large) test_small();
    for (const Recipe *r = recipes; r->name && large; r++)
        test_recipe(r->name, r->feeds >= FEED_UNPAIRED ? 8 : 32, r->multiple == 4 ? 28 : 64,
                    MOST_STEPS, 1);
    test_precision(&ops_cuda, 5e-5, 1e-2);
    if (!cuda_open(2)) {                                /* else a GPU without such tensor cores */
        test_precision(&ops_cuda_tf32, 1e-2, 1e-1);
        test_precision(&ops_cuda_bf16, 5e-2, 5e-1);
    }
    cuda_close();
    return test_report("cuda");
}
