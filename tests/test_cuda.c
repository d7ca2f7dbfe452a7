/* test_cuda.c: whole recipes on the device cuda against the CPU: the same losses for ten steps, the
 * same pictures, the same bits twice, and a checkpoint that goes from one device to the other.
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
static int steps, large;

typedef struct Run { Gan gan; Report report[MOST_STEPS]; long pixels; real *picture; } Run;

static void begin(Run *run, const char *recipe, const Ops *ops, int batch, int size) {
    GanOptions o = recipe_inputs_options(recipe, batch, size);
    o.tv_weight = 0.1;
    if (!large && o.n_critic > 1) o.n_critic = 2;
    gan_begin(&run->gan, recipe_find(recipe), &o, ops);
    CHECK(gan_finish(&run->gan), "%s: memory", ops->name);
    run->pixels = (long)batch * size * size * o.channels;
    run->picture = ops_naive.alloc(run->pixels);
}
static void end(Run *run) {
    gan_free(&run->gan);
    ops_naive.release(run->picture);
}

static void train(Run *run, int from, int to) {
    for (int i = from; i < to; i++) {
        recipe_inputs(&run->gan, (uint64_t)run->gan.step);
        gan_step(&run->gan, &run->report[i]);
    }
    gan_sample(&run->gan, 3, run->picture);
}

/* Both devices round differently, and training amplifies that: a bias right behind zero gradients
 * takes Adam's full step in the direction of rounding noise. The tolerance of float32, 2e-4 of a
 * loss's size, holds for the few steps run on the CPU; whether ten steps on a GPU keep to it, no
 * GPU has shown yet. */
static void compare(const Run *got, const Run *want, double tolerance, const char *what) {
    for (int i = 0; i < steps; i++) {
        const double *a = (const double *)&got->report[i], *b = (const double *)&want->report[i];
        for (size_t k = 0; k < sizeof(Report) / sizeof(double); k++)
            CLOSE(a[k], b[k], tolerance, tolerance, "%s: step %d, number %d of the report", what,
                  i + 1, (int)k);
    }
    double worst = 0;
    for (long i = 0; i < got->pixels; i++)
        worst = fmax(worst, fabs((double)got->picture[i] - want->picture[i]));
    CHECK(worst <= 25 * tolerance, "%s: pictures differ by %g", what, worst);
}
static int same(const Run *a, const Run *b) {
    return !memcmp(a->report, b->report, sizeof a->report) &&
           !memcmp(a->picture, b->picture, sizeof(real) * (size_t)a->pixels);
}

/* On the CPU only: one step, the same losses and pictures */
static void test_step(const char *recipe, int batch, int size) {
    Run cpu = {0}, gpu = {0};
    begin(&cpu, recipe, &ops_tiled, batch, size), begin(&gpu, recipe, &ops_cuda, batch, size);
    train(&cpu, 0, 1), train(&gpu, 0, 1);
    compare(&gpu, &cpu, 2e-4, recipe);
    end(&cpu), end(&gpu);
}

static void test_recipe(const char *recipe, int batch, int size) {
    Run cpu = {0}, gpu = {0}, again = {0}, moved = {0};
    char path[1024];
    const char *folder = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    snprintf(path, sizeof path, "%s/test_cuda.%d.safetensors", folder, (int)getpid());
    begin(&cpu, recipe, &ops_tiled, batch, size), begin(&gpu, recipe, &ops_cuda, batch, size);
    begin(&again, recipe, &ops_cuda, batch, size), begin(&moved, recipe, &ops_tiled, batch, size);
    train(&cpu, 0, steps);
    train(&gpu, 0, steps / 2);
    CHECK(gan_save(&gpu.gan, path, NULL, 0), "%s", error_text());
    train(&gpu, steps / 2, steps);
    train(&again, 0, steps);
    compare(&gpu, &cpu, 2e-4, recipe);
    CHECK(same(&gpu, &again), "%s: another run has other bits", recipe);

    CHECK(gan_load(&moved.gan, path), "%s", error_text());
    memcpy(moved.report, gpu.report, sizeof moved.report);
    train(&moved, steps / 2, steps);                                /* the second half on the CPU */
    compare(&moved, &cpu, 2e-4, "half of the run on each device");
    gpu.report[steps - 1].loss_g *= 1.001;
    CHECK(!same(&gpu, &again), "a changed loss is not seen");
    remove(path);
    end(&cpu), end(&gpu), end(&again), end(&moved);
}

/* Each precision on the fast kernels: losses near the CPU's, other bits than the CPU's, the same
 * bits twice. */
static void test_precision(const Ops *ops, double tolerance, int batch, int size) {
    Run cpu = {0}, gpu = {0}, again = {0};
    begin(&cpu, "dcgan", &ops_tiled, batch, size);
    begin(&gpu, "dcgan", ops, batch, size), begin(&again, "dcgan", ops, batch, size);
    train(&cpu, 0, steps), train(&gpu, 0, steps), train(&again, 0, steps);
    compare(&gpu, &cpu, tolerance, ops->name);
    CHECK(same(&gpu, &again), "%s: another run has other bits", ops->name);
    CHECK(memcmp(gpu.report, cpu.report, sizeof gpu.report),
          "%s: the CPU's very bits: was it asked at all?", ops->name);
    end(&cpu), end(&gpu), end(&again);
}

int main(int argc, char **argv) {
    large = argc > 1 && !strcmp(argv[1], "large");
    const char *missing = cuda_open(0);
    CHECK(!missing, "%s", missing);
    if (missing) return test_report("cuda");
    steps = large ? MOST_STEPS : 2;
    cuda_ladder(large ? 0 : 2);
    for (const Recipe *r = recipes; r->name; r++) {
        if (r->feeds == FEED_CROPS || r->feeds == FEED_LABELS) continue;                  /* draws no pictures */
        int small = !strcmp(r->name, "dcgan") || !strcmp(r->name, "style");
        int repaints = r->feeds >= FEED_UNPAIRED;
        if (large) test_recipe(r->name, repaints ? 8 : 32, r->multiple == 4 ? 28 : 64);
        else if (small) test_recipe(r->name, repaints ? 2 : 3, r->multiple == 4 ? 8 : 16);
    }
    static const char *const once[] = { "hinge", "wgan-gp", "vaegan", "cyclegan", "pix2pix",
                                        "stylegan", "adain" };
    steps = large ? steps : 1;
    for (int i = 0; i < 7 && !large; i++) test_step(once[i], 2, strcmp(once[i], "adain") ? 8 : 16);
    cuda_ladder(0);
    steps = large ? MOST_STEPS : 1;
    test_precision(&ops_cuda, 2e-4, large ? 128 : 2, large ? 64 : 4);
    if (!cuda_open(2)) {                                /* else a GPU without such tensor cores */
        test_precision(&ops_cuda_tf32, 1e-2, large ? 64 : 2, large ? 28 : 4);
        test_precision(&ops_cuda_bf16, 5e-2, large ? 64 : 2, large ? 28 : 4);
    }
    cuda_close();
    return test_report("cuda");
}
