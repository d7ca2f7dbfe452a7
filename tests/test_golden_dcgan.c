/* test_golden_dcgan.c: ten training steps of the recipe dcgan against PyTorch; and the gradient penalty of wgan-gp, by golden_penalty.h.
 *
 * golden_dcgan.py has taken the same ten steps in float64, from the same weights, noise and pictures, and has written
 * down what came out (data/dcgan.safetensors). This test needs that file, but neither Python nor torch.
 *
 * How near must float32 come? One step rounds each loss and gradient by some eps = 2^-23, relative. The parameters hand
 * this on: step t starts from parameters that are off by what t - 1 steps have gathered, so allow t times as much after
 * t steps. (GANs are chaotic: over thousands of steps the difference would double again and again. Ten are few.)
 *   losses, D(x), D(G(z)), norms     relative (1 + t) 5e-7
 *   parameters, statistics           t 2e-3 lr, and relative 5e-7: Adam moves each by about lr a step, whatever the
 *                                    size of its gradient, so lr is the unit in which an error of the gradient shows
 * One tensor has no right value: a bias that a batch norm follows is taken out again with the mean. Its gradient is
 * zero plus rounding, and Adam divides rounding by rounding: it may be anywhere that t steps can take it, and the
 * running mean behind it follows.
 *
 * With TEST_QUICK in the environment (sanitizers are slow) the planted errors are left out. */
#include "gan.h"
#include "golden_penalty.h"
#include "core/tiled.h"
#include "test.h"
#ifdef _OPENMP
#include <omp.h>
#endif

enum { BATCH = 4, SIZE = 12, STEPS = 10, SEED = 2024 };             /* as in golden_dcgan.py */

static StFile golden;

/* A tensor of the golden file as floats; *count of them. The caller frees. */
static float *golden_values(const char *name, long *count) {
    const StTensor *t = st_find(&golden, name);
    float *values = NULL;
    *count = t ? (long)(t->bytes / sizeof(float)) : 0;
    if (t && (values = malloc(t->bytes + 1)) && st_read_f32(t, values, *count)) return values;
    printf("test_golden_dcgan: no tensor '%s' in the golden file: make it again with golden_dcgan.py\n", name);
    exit(1);
}

/* Counts the numbers that are too far away; says which when `loud`. */
static int differ(double got, double want, double atol, double rtol, int loud, const char *what, long index) {
    if (fabs(got - want) <= atol + rtol * fabs(want)) return 0;
    if (loud) CLOSE(got, want, atol, rtol, "%s, number %ld", what, index);
    return 1;
}

/* Every tensor of a network after t steps: element j * count / samples is stored as number j. */
static int compare_parameters(const Net *net, int t, double lr, int loud, long *compared) {
    NetTensor tensor;
    int wrong = 0;
    for (int i = 0; net_tensor(net, i, &tensor); i++) {
        char name[96];
        long samples;
        snprintf(name, sizeof name, "step%d.%s", t, tensor.name);
        float *want = golden_values(name, &samples);
        int arbitrary = !strcmp(tensor.name, "g.5.conv2d_transpose.bias")
                     || !strcmp(tensor.name, "g.6.batchnorm.running_mean");
        double atol = t * lr * (arbitrary ? 2 : 2e-3);
        const float *here = (tensor.in_buffer ? net->buffer : net->p) + tensor.offset;
        for (long j = 0; j < samples; j++, ++*compared)
            wrong += differ(here[j * tensor.count / samples], want[j], atol, 5e-7, loud, name, j);
        free(want);
    }
    return wrong;
}

/* The ten steps, with these options on this table: how many numbers are not PyTorch's? */
static int compare_training(const Ops *ops, const GanOptions *options, int loud, long *compared) {
    static const char *const names[6] = { "loss_d", "loss_g", "d_real", "d_fake", "norm_d", "norm_g" };
    const double lr = options->lr;
    int wrong = 0;
    long count;
    float *reports = golden_values("reports", &count), *pictures = golden_values("step1.pictures", &count);
    Gan gan;
    Report r;
    gan_begin(&gan, recipe_find("dcgan"), options, ops);
    if (!gan_finish(&gan)) exit(1);
    for (int t = 1; t <= STEPS; t++) {
        ops->random_normal(gan.x_real, BATCH * SIZE * SIZE, SEED, STREAM(STREAM_DATA, t - 1));
        ops->tanh_forward(gan.x_real, gan.x_real, BATCH * SIZE * SIZE);
        gan_step(&gan, &r);
        const double got[6] = { r.loss_d, r.loss_g, r.d_real, r.d_fake, r.norm_d, r.norm_g };
        for (int k = 0; k < 6; k++, ++*compared)
            wrong += differ(got[k], reports[6 * (t - 1) + k], 0, (1 + t) * 5e-7, loud, names[k], t);
        for (long j = 0; j < count && t == 1; j++, ++*compared)
            wrong += differ(gan.g.node[gan.g_picture].y[j], pictures[j], 5e-6, 0, loud, "G's pictures", j);
        if (t == 1 || t == STEPS)
            wrong += compare_parameters(&gan.g, t, lr, loud, compared)
                   + compare_parameters(&gan.d, t, lr, loud, compared);
    }
    gan_free(&gan);
    free(reports), free(pictures);
    return wrong;
}

/* Mistakes that still train: a smoothed label, the variance with 1/R for 1/(R-1), Adam without its corrections */
static void bce_smoothed(real *dlogits, const real *logits, real target, real scale, long n) {
    ops_tiled.bce_logits_backward(dlogits, logits, target == 1 ? 0.99f : target, scale, n);
}
static void track_biased(real *mean, real *var, const real *batch_mean, const real *batch_var, real momentum, long rows,
                         int c) {
    (void)rows;
    ops_tiled.batchnorm_track(mean, var, batch_mean, batch_var, momentum, 1, c);
}
static void adam_uncorrected(real *p, real *m, real *v, const real *g, long n, real lr, real beta1, real beta2,
                             real eps, long t) {
    ops_tiled.adam_step(p, m, v, g, n, lr, beta1, beta2, eps, t + 1000000);
}

static void penalty_slightly_off(real *loss, real *v, const real *g, int n, long each) {
    ops_tiled.gradient_penalty(loss, v, g, n, each);
    ops_tiled.scale(v, 1.0001f, n * each);
}

static void test_planted(const GanOptions *right) {
    GanOptions options[5] = { *right, *right, *right, *right, *right };
    options[0].beta1 = 0.6, options[1].beta2 = 0.99, options[2].lr *= 1.01, options[3].clip = 0.25, options[4].seed++;
    for (int i = 0; i < 5; i++)
        CHECK(compare_training(&ops_tiled, &options[i], 0, &(long){0}), "wrong options, number %d, are not seen", i);
    Ops wrong[3] = { ops_tiled, ops_tiled, ops_tiled };
    wrong[0].bce_logits_backward = bce_smoothed;
    wrong[1].batchnorm_track = track_biased;
    wrong[2].adam_step = adam_uncorrected;
    for (int i = 0; i < 3; i++)
        CHECK(compare_training(&wrong[i], right, 0, &(long){0}), "a wrong operation, number %d, is not seen", i);
    wrong[0] = ops_tiled, wrong[0].gradient_penalty = penalty_slightly_off;
    CHECK(golden_penalty_wrong(&wrong[0], 1e-5, 0), "a wrong gradient penalty is not seen");
}

int main(void) {
#ifdef _OPENMP
    omp_set_num_threads(1);                          /* networks this small wait longer for threads than they compute */
#endif
    char path[300];
    snprintf(path, sizeof path, "%.200s/data/dcgan.safetensors", getenv("TESTS") ? getenv("TESTS") : "tests");
    if (!st_open(&golden, path)) {
        printf("test_golden_dcgan: %s\n", error_text());
        return 1;
    }
    GanOptions right = recipe_find("dcgan")->defaults;
    right.batch = BATCH, right.size = SIZE, right.channels = 1, right.seed = SEED;
    right.tail = 0, right.lr = 2e-4;                                 /* document 001's network, as golden_common.py has it */
    const Ops *tables[2] = { &ops_naive, &ops_tiled };
    for (int i = 0; i < 2; i++) {
        long compared = 0;
        int wrong = compare_training(tables[i], &right, 1, &compared);
        CHECK(!wrong, "%s: %d of %ld numbers are not PyTorch's", tables[i]->name, wrong, compared);
        CHECK(compared > 2000, "%s: only %ld numbers compared", tables[i]->name, compared);
        CHECK(!golden_penalty_wrong(tables[i], 1e-5, 1), "%s: the gradient of the gradient penalty is not PyTorch's", tables[i]->name);
    }
    if (!getenv("TEST_QUICK")) test_planted(&right);
    st_close(&golden);
    return test_report("golden_dcgan");
}
