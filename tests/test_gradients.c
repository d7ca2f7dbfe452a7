/* test_gradients.c: every backward function of the table against central differences of its forward
 * function.
 *
 *   dL/dx_i = (L(x + h e_i) - L(x - h e_i)) / 2h     with L = sum_j dy_j y_j for a random dy, or L
 *   = scale * loss
 *
 * Names carry the meaning: the tensor dx of a backward function is the gradient of the forward
 * function's x; dy is what comes from above when y is an output; everything else of the same name
 * is the same tensor. Compile with -Dreal=double: in float the differences have three digits, in
 * double ten. */
#define ERROR_IMPLEMENTATION
#define LAYERS_IMPLEMENTATION
#include "layers.h"
#include "op_calls.h"
#include "test.h"
#ifdef _OPENMP
#include <omp.h>
#endif

_Static_assert(sizeof(real) == 8, "compile with -Dreal=double");

#define TOLERANCE 1e-6
#define STEP 1e-5

/* Do two gradients agree, element by element, to a relative error of 1e-6? An element far smaller
 * than the largest one
 * is measured against a thousandth of the largest: the differences have no more digits. */
static int gradients_agree(const real *got, const real *want, long n) {
    double largest = 0;
    for (long i = 0; i < n; i++) largest = fmax(largest, fabs(want[i]));
    for (long i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= TOLERANCE * fmax(fabs(want[i]), 1e-3 * largest))) return 0;
    return 1;
}

/* L: the loss the gradient is of. `above` holds dL/d(output), by the output's number, or NULL. */
static double loss_of(const Ops *table, const Op *forward, const Case *k, Data *x, real **above) {
    double sum = 0;
    if (run(table, forward, k, x)) return NAN;
    for (int i = 0; i < x->count; i++) {
        if (!(x->tensor[i].role & OUT)) continue;
        if (!strcmp(x->tensor[i].name, "loss")) sum += k->scale * x->value[i][0];
        for (long j = 0; j < x->tensor[i].size && above[i]; j++)
            sum += above[i][j] * x->value[i][j];
    }
    return sum;
}

/* Checks all gradients that one backward function computes, for one case. NULL, or what is wrong.
 * */
static const char *check_gradient(const Ops *table, const Op *backward, const Op *forward,
                                  const Case *k,
                                  int *checked) {
    const char *wrong = NULL;
    real *above[MOST_TENSORS] = {0};
    Data f = data_random(forward, k, 1), b = data_random(backward, k, 2);
    if (run(table, forward, k, &f)) wrong = "the forward function fails";
    for (int i = 0; i < b.count; i++) { /* link the two calls by the names of their tensors */
        const char *name = b.tensor[i].name;
        int same = data_find(&f, name), of = name[0] == 'd' ? data_find(&f, name + 1) : -1;
        if (!b.value[i] || !(b.tensor[i].role & IN)) continue;
        if (same >= 0) memcpy(b.value[i], f.value[same], sizeof(real) * b.tensor[i].size);
        else if (of >= 0) above[of] = b.value[i];
        else wrong = "an input of the backward function is unknown to the forward function";
    }
    real *before[MOST_TENSORS] = {0};
    for (int i = 0; i < b.count; i++)
        if (b.value[i] && b.tensor[i].role & INOUT) {
            before[i] = ops_naive.alloc(b.tensor[i].size);
            ops_naive.copy(before[i], b.value[i], b.tensor[i].size);
        }
    if (!wrong) wrong = run(table, backward, k, &b);
    for (int i = 0; i < b.count; i++) {
        int of = data_find(&f, b.tensor[i].name + 1);
        if (!before[i]) continue;
        if (of < 0 || f.tensor[of].size != b.tensor[i].size) {
            wrong = "a gradient of nothing";
            break;
        }
        if (!f.value[of]) continue;
        real *difference = ops_naive.alloc(b.tensor[i].size), *x = f.value[of];
        for (long j = 0; j < b.tensor[i].size; j++) {
            real old = x[j], high, low;
            x[j] = old + STEP, high = x[j];
            double loss = loss_of(table, forward, k, &f, above);
            x[j] = old - STEP, low = x[j];
            difference[j] = (loss - loss_of(table, forward, k, &f, above)) / (high - low);
            x[j] = old;
            b.value[i][j] -= before[i][j]; /* gradients are added to what was there */
        }
        if (!gradients_agree(b.value[i], difference, b.tensor[i].size)) wrong = b.tensor[i].name;
        ops_naive.release(difference);
        ++*checked;
    }
    for (int i = 0; i < b.count; i++) ops_naive.release(before[i]);
    data_free(&f), data_free(&b);
    return wrong;
}

/* ---------------------------------------------------------------------------------------- cases */

static const Case small_conv[] = {
    { .d = CONV(1, 1, 1, 1, 1, 1, 1, 0) },
    { .d = CONV(2, 4, 3, 2, 3, 1, 1, 0) },
    { .d = CONV(1, 5, 4, 2, 1, 1, 2, 0) },
    { .d = CONV(2, 4, 5, 2, 3, 3, 1, 1) },
    { .d = CONV(1, 6, 5, 1, 2, 3, 1, 0) },
    { .d = CONV(1, 5, 6, 2, 2, 3, 2, 1) }, /* 6 + 2 - 3 is odd: a column remains */
    { .d = CONV(2, 4, 7, 1, 3, 3, 3, 2) },
    { .d = CONV(1, 8, 5, 3, 1, 3, 3, 0) }, /* 8 - 3 = 3 + 2: two rows remain, never seen */
    { .d = CONV(1, 6, 4, 2, 2, 4, 2, 1) },
    { .d = CONV(1, 5, 7, 1, 2, 4, 3, 2) },
    { .d = CONV(1, 4, 4, 2, 2, 4, 1, 0) },
    { .d = CONV(1, 6, 7, 2, 2, 5, 2, 2) },
    { .d = CONV(1, 5, 6, 1, 2, 5, 1, 0) },
    { .d = CONV(1, 2, 3, 2, 2, 5, 3, 2) }, /* the kernel is larger than the picture */
    /* TensorFlow's "same": pads 1 above and left, 2 below and right */
    { .d = { 1, 6, 6, 2, 3, 3, 2, 5, 2, 1 } },
};
static const Case small_dense[] = {
    { .d = { .n = 1, .c = 1, .o = 1 } }, { .d = { .n = 3, .c = 5, .o = 4 } },
        { .d = { .n = 5, .c = 2, .o = 7 } },
};
static const Case norm_cases[] = {                                    /* n groups of h x w rows */
    { .d = { .n = 1, .h = 4, .w = 3, .c = 2 } }, { .d = { .n = 3, .h = 3, .w = 5, .c = 3 } },
    { .d = { .n = 1, .h = 2, .w = 3, .c = 18 } }, { .d = { .n = 2, .h = 1, .w = 5, .c = 1 } },
};
static const Case small_images[] = { /* o: concat's second width; stride: upsample's factor */
    { .d = { .n = 1, .h = 1, .w = 1, .c = 1, .o = 1, .stride = 1, .pad = 0 }, .a = 0, .scale = 1 },
    { .d = { .n = 2, .h = 3, .w = 4, .c = 3, .o = 2, .stride = 2, .pad = 2 }, .a = 0.2,
      .scale = 0.7 },
    { .d = { .n = 1, .h = 5, .w = 2, .c = 2, .o = 4, .stride = 3, .pad = 1 }, .a = 0.9,
      .scale = -1.3 },
    { .d = { .n = 2, .h = 1, .w = 6, .c = 4, .o = 1, .stride = 1, .pad = 0 }, .a = 0, .scale = 2 },
};

/* The forward function whose gradient a backward function computes, and the cases to check it on.
 * */
static const Op *forward_of(const Op *backward) {
    char name[80];
    int bias = !strcmp(backward->name, "bias_backward");
    snprintf(name, sizeof name, "%s_forward", bias ? "conv2d" : group_of(backward));
    return find_op(name);
}
static const Case *small_cases_of(const Op *op, size_t *count) {
    const char *group = group_of(op);
    int conv = strstr(group, "conv2d") || !strcmp(group, "bias"), dense = !strcmp(group, "dense");
    int norm = has_word("normalize moments adain", group);
    size_t bytes = conv ? sizeof small_conv : dense ? sizeof small_dense
                 : norm ? sizeof norm_cases : sizeof small_images;
    *count = bytes / sizeof(Case);
    return conv ? small_conv : dense ? small_dense : norm ? norm_cases : small_images;
}

/* Spectral normalisation as a function of w alone: sigma = u^T W v first. */
static void call_spectral(const Ops *table, real **p, const Case *k) {
    SIZES
    *p[1] = 0;
    for (long i = 0; i < C * O; i++) *p[1] += p[3][i / O] * p[2][i] * p[4][i % O];
    table->spectral_forward(p[0], p[2], p[1], C * O);
}
static int tensors_spectral(Tensor *to, const Case *k) {
    SIZES
    Tensor list[] = { T(OUT, y, C, O), T(OUT, sigma, 1), T(IN, w, C, O), T(IN, u, C), T(IN, v, O) };
    return sized(to, list, (int)(sizeof list / sizeof *list));
}
/* The gradient that gradient_penalty gives along with its loss, as a backward function. */
static void call_penalty(const Ops *table, real **p, const Case *k) {
    SIZES
    real loss, *v = ops_naive.alloc(ALL);
    table->gradient_penalty(&loss, v, p[1], (int)N, H * W * C);
    ops_naive.axpy(p[0], v, scale, ALL);
    ops_naive.release(v);
}
static int tensors_penalty(Tensor *to, const Case *k) {
    SIZES
    Tensor list[] = { T(INOUT, dg, N, H, W, C), T(IN, g, N, H, W, C) };
    return sized(to, list, (int)(sizeof list / sizeof *list));
}

static void test_all_gradients(void) {
    int seen[OPS] = {0}, penalties = 0;
    const Op spectral = { "spectral", call_spectral, tensors_spectral };
    const Op penalty = { "penalty", call_penalty, tensors_penalty };
    const Op *backward = find_op("spectral_backward");
    for (size_t j = 0; j < sizeof small_images / sizeof *small_images; j++) {
        const char *wrong = check_gradient(&ops_naive, backward, &spectral, &small_images[j],
                                           &seen[backward - op_list]);
        CHECK(!wrong, "%s: %s (%s)", backward->name, wrong, sizes_of(&small_images[j]));
        wrong = check_gradient(&ops_naive, &penalty, find_op("gradient_penalty"), &small_images[j],
                               &penalties);
        CHECK(!wrong && penalties, "gradient_penalty: %s (%s)", wrong, sizes_of(&small_images[j]));
    }
    for (int i = 0; i < OPS; i++) {
        const Op *op = &op_list[i];
        size_t count;
        const Case *cases = small_cases_of(op, &count);
        if (!strstr(op->name, "_backward") || op == backward) continue;
        for (size_t j = 0; j < count; j++) {
            const Op *both[2] = { op, forward_of(op) };      /* whose optional tensors are NULL */
            for (int b = 0; b < 2; b++) {
                Case k = cases[j];
                for (int choice = b; choose_null(both[b], &k, choice); choice++) {
                    const char *wrong = check_gradient(&ops_naive, op, both[1], &k, &seen[i]);
                    CHECK(!wrong, "%s: %s (%s)", op->name, wrong, sizes_of(&k));
                }
            }
        }
    }
    for (int i = 0; i < OPS; i++)
        CHECK(!strstr(op_list[i].name, "_backward") || seen[i], "%s has no gradient check",
              op_list[i].name);
}

/* ---------------------------------------------------------------------------------- the checker */

/* tanh_backward with a typical mistake, by its number; and a mistake of two other functions. */
enum { OVERWRITES, WRONG_SIGN, ONE_NAN, SLIGHTLY_OFF, ONE_TOO_MANY, TANH_MISTAKES, MISTAKES = 7 };
static int mistake;
static void tanh_wrongly(real *dx, const real *dy, const real *y, long n) {
    if (mistake == OVERWRITES) ops_naive.fill(dx, 0, n);
    ops_naive.tanh_backward(dx, dy, y, n);
    for (long i = 0; i < n; i++) {
        real slope = dy[i] * (1 - y[i] * y[i]);
        if (mistake == SLIGHTLY_OFF) dx[i] += 1e-5 * slope;
        if (mistake == WRONG_SIGN && i == n - 1) dx[i] -= 2 * slope;
    }
    if (mistake == ONE_NAN) dx[n / 2] = NAN;
    if (mistake == ONE_TOO_MANY) dx[n] = 0;
}
static void norm_constant_mean(real *dx, real *dgamma, real *dbeta, const real *dy, const real *x,
                               const real *gamma, const real *mean, const real *var,
                               int groups, long rows, int c) {
    for (long i = 0; i < groups * rows * c; i++)   /* as if mean and variance were constants */
        dx[i] += gamma[i % c] / sqrt(var[i / (rows * c) * c + i % c] + NORM_EPS) * dy[i];
    real *unused = ops_naive.alloc(groups * rows * c);
    ops_naive.normalize_backward(unused, dgamma, dbeta, dy, x, gamma, mean, var, groups, rows, c);
    ops_naive.release(unused);
}
static void gram_half(real *df, const real *dg, const real *f, const real *mean, long rows, int c) {
    for (long r = 0; r < rows; r++)              /* dG is not symmetric: both halves count */
        for (int i = 0; i < c; i++)
            for (int j = 0; j < c; j++)
                df[r * c + i] += 2 * dg[i * c + j] * (f[r * c + j] - (mean ? mean[j] : 0)) / rows;
}

static void test_checker(void) {
    Ops broken = ops_naive;
    broken.tanh_backward = tanh_wrongly;
    broken.normalize_backward = norm_constant_mean;
    broken.gram_backward = gram_half;
    guards_end_it = 0;
    for (mistake = 0; mistake < MISTAKES; mistake++) {
        const Op *b = find_op(mistake < TANH_MISTAKES ? "tanh_backward"
                              : mistake == TANH_MISTAKES ? "normalize_backward" : "gram_backward");
        int checked = 0;
        CHECK(!check_gradient(&ops_naive, b, forward_of(b), &small_images[1], &checked),
              "%s itself is right", b->name);
        CHECK(check_gradient(&broken, b, forward_of(b), &small_images[1], &checked),
              "planted error %d is not seen", mistake);
    }
    guards_end_it = 1;
    real want[4] = { 1, -2, 1e-7, 0 }, got[4];
    static const struct { int at; real value; int agree; } planted[] = {
        { 0, 1, 1 }, { 0, 1 + 0.9e-6, 1 }, { 0, 1 + 1.1e-6, 0 }, { 1, 2, 0 }, { 1, NAN, 0 },
            { 1, INFINITY, 0 },
        { 2, 1.1e-7, 0 }, { 3, 1e-8, 0 }, { 3, 1e-10, 1 },
    };
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        memcpy(got, want, sizeof got);
        got[planted[i].at] = planted[i].value;
        CHECK(gradients_agree(got, want, 4) == planted[i].agree,
              "element %d = %g: expected verdict %d",
              planted[i].at, planted[i].value, planted[i].agree);
    }
    want[2] = NAN;
    CHECK(!gradients_agree(want, want, 4), "NaN agrees with nothing");
}

/* ----------------------------------------------------------------------------------------- Adam */

static void test_adam(void) {
    /* By hand: lr 0.1, beta1 1/2, beta2 3/4, gradients 1, -2, 1/2.
     *   t=1  m = 1/2    v = 1/4     m^ = 1     v^ = 1
     *   t=2  m = -3/4   v = 19/16   m^ = -1    v^ = 19/16 / (7/16) = 19/7
     *   t=3  m = -1/8   v = 61/64   m^ = -1/7  v^ = 61/64 / (37/64) = 61/37 */
    real p = 1, m = 0, v = 0;
    const real g[3] = { 1, -2, 0.5 }, m_want[3] = { 0.5, -0.75, -0.125 },
        v_want[3] = { 0.25, 19 / 16., 61 / 64. };
    const double step[3] = { -0.1, 0.1 / sqrt(19 / 7.), 0.1 / 7 / sqrt(61 / 37.) };
    double want = 1;
    for (int t = 1; t <= 3; t++) {
        ops_naive.adam_step(&p, &m, &v, &g[t - 1], 1, 0.1, 0.5, 0.75, 0, t);
        want += step[t - 1];
        CLOSE(p, want, 1e-15, 1e-14, "Adam's p after step %d", t);
        CLOSE(m, m_want[t - 1], 0, 1e-15, "Adam's m after step %d", t);
        CLOSE(v, v_want[t - 1], 0, 1e-15, "Adam's v after step %d", t);
    }
    /* Under a constant gradient m^ = g and v^ = g^2 at every step: p moves by lr g / (|g| + eps)
     * for any betas. */
    real q[2] = { 0, 0 }, mq[2] = {0}, vq[2] = {0};
    const real gq[2] = { 4, -0.25 };
    for (int t = 1; t <= 50; t++) ops_naive.adam_step(q, mq, vq, gq, 2, 0.01, 0.9, 0.999, 0.5, t);
    CLOSE(q[0], -50 * 0.01 * 4 / 4.5, 0, 1e-11, "50 equal steps down");
    CLOSE(q[1], 50 * 0.01 * 0.25 / 0.75, 0, 1e-11, "50 equal steps up");
}

int main(void) {
#ifdef _OPENMP
    omp_set_num_threads(1); /* pictures of ten pixels are no work for two */
#endif
    test_all_gradients();
    test_checker();
    test_adam();
    return test_report("gradients");
}
