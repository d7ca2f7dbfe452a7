/* golden_penalty.h: D's gradient in a step of wgan-gp against PyTorch's exact double backward (golden_penalty.py), for test_recipes
 * (double) and test_golden_dcgan (float32). A number may differ by `tolerance` of the largest of its tensor:
 *   double    1e-6   weights, noise and pictures are drawn as floats, 6e-8 away from PyTorch's; measured: 2.7e-7
 *   float32   1e-5   sums of up to 1,600 products, forward, backward and once more; measured: 2.5e-6
 * The penalty itself, whose |grad D| are 0.99 to 1.11 and lose their first digits in |grad D| - 1, by twenty times that. */
#ifndef GOLDEN_PENALTY_H
#define GOLDEN_PENALTY_H
#include "gan.h"
#include "test.h"

/* tensor `name` of the file: *count of its numbers, and the largest; the caller frees */
static inline double *golden_penalty_tensor(const StFile *golden, const char *name, long *count, double *largest) {
    const StTensor *t = st_find(golden, name);
    double *want = t ? malloc(t->bytes + 1) : NULL;
    *count = t ? (long)(t->bytes / sizeof *want) : 0, *largest = 0;
    if (!want || !st_read_f64(t, want, *count)) {
        printf("no tensor '%s' in the golden file: make it again with golden_penalty.py\n", name);
        exit(1);
    }
    for (long j = 0; j < *count; j++) *largest = fmax(*largest, fabs(want[j]));
    return want;
}

/* how many numbers are wrong, named when `loud` */
static inline int golden_penalty_wrong(const Ops *ops, double tolerance, int loud) {
    GanOptions o = recipe_find("wgan-gp")->defaults;
    o.batch = 4, o.size = 12, o.channels = 1, o.seed = 2024, o.n_critic = 1, o.penalty_weight = 100, o.tail = 0;          /* as in golden_penalty.py */
    Gan gan;
    Report r;
    StFile golden;
    NetTensor t;
    char path[300];
    long count;
    int wrong = 0;
    double largest, *want;
    snprintf(path, sizeof path, "%.200s/data/penalty.safetensors", getenv("TESTS") ? getenv("TESTS") : "tests");
    if (!st_open(&golden, path)) { printf("%s\n", error_text()); exit(1); }
    gan_begin(&gan, recipe_find("wgan-gp"), &o, ops);
    if (!gan_finish(&gan)) exit(1);
    ops->scale(gan.d.p, (real)3.75, gan.d.parameters);
    for (int i = 0; i < gan.d.nodes; i++) {
        const Node *node = &gan.d.node[i];
        if (node->biases) ops->random_normal(gan.d.p + node->bias, node->biases, o.seed, STREAM(STREAM_D, 100 + i));
        if (node->biases) ops->scale(gan.d.p + node->bias, (real)0.1, node->biases);
    }
    ops->random_normal(gan.x_real, o.batch * o.size * o.size, o.seed, STREAM(STREAM_DATA, 0));
    ops->tanh_forward(gan.x_real, gan.x_real, o.batch * o.size * o.size);
    gan_step(&gan, &r);
#define COMPARE(got, want, allowed, ...) if (!(fabs((got) - (want)) <= (allowed)) && ++wrong && loud) CLOSE(got, want, allowed, 0, __VA_ARGS__)
    want = golden_penalty_tensor(&golden, "report", &count, &largest);
    const double got[3] = { r.loss_d, r.penalty, r.norm_d };
    for (int k = 0; k < 3; k++)
        COMPARE(got[k], want[k], (k == 1 ? 20 : 1) * tolerance * fabs(want[k]), "%s: L_D, penalty, norm: number %d", ops->name, k);
    free(want);
    for (int i = 0; net_tensor(&gan.d, i, &t); i++) {
        want = golden_penalty_tensor(&golden, t.name, &count, &largest);
        for (long j = 0; j < count; j++)
            COMPARE(gan.d.g[t.offset + j * t.count / count], want[j], tolerance * largest, "%s: D's gradient, %s, number %ld", ops->name, t.name, j);
        free(want);
    }
#undef COMPARE
    gan_free(&gan);
    st_close(&golden);
    return wrong;
}
#endif
