/* test_recipes.c: whole networks, and the whole objective of every recipe, against central differences, in double.
 *
 * test_gradients.c has shown that each operation is right by itself. Here is what can still go wrong between them: a
 * node that reads the wrong neighbour, a gradient that is overwritten where two readers should add, a loss with another
 * weight than its gradient. With h the step and v a direction in which parameters move (four points, as Richardson):
 *
 *   dL/dv = (8 [L(hv) - L(-hv)] - [L(2hv) - L(-2hv)]) / 12h + O(h^4)       must be       sum_i dL/dp_i v_i
 *
 * Two honest limits. Rounding: L carries a few eps |L|, so the quotient carries a few eps |L| / h: that much is allowed
 * on top of the relative error of 1e-6; and at least half of the directions must be sharp: there it is less than 1e-6.
 * (The rest are mostly biases before a norm, whose true gradient is zero.) Kinks: where a relu turns its sign between
 * the four points there is no derivative to compare with. The table `watched` below hashes the sign of everything that
 * relu and total variation look at; if the hash differs between the points, h becomes ten times smaller, and the third
 * time the direction is skipped. Skipped directions are counted: at most one of twenty may be. Where the quotient and
 * the gradient differ, h becomes smaller too: what is left of the O(h^4) then vanishes, a wrong gradient stays wrong.
 * Compile with -Dreal=double. With TEST_QUICK in the environment (sanitizers are slow) few tensors of a recipe are
 * looked at, each as a whole, sharpness is judged over all recipes together, and the planted errors are left out. */
#include "gan.h"
#include "golden_penalty.h"
#include "validation/recipe_inputs.h"
#include "test.h"
#ifdef _OPENMP
#include <omp.h>
#endif

_Static_assert(sizeof(real) == 8, "compile with -Dreal=double");

#define TOLERANCE 1e-6
#define ROUNDING (8 * 0x1p-52)                        /* of a loss, relative */
static const double steps[] = { 1e-4, 1e-5, 1e-6 };

/* ------------------------------------------------------------------------------------------------ watched tables */

static uint64_t branches;                             /* a hash of every sign that some operation has decided by */
static void branch(int sign) { branches = (branches ^ (uint64_t)(sign + 2)) * 0x100000001B3u; }

static void watched_leaky_relu(real *y, const real *x, real slope, long n) {
    ops_naive.leaky_relu_forward(y, x, slope, n);
    for (long i = 0; i < n; i++) branch(x[i] > 0);
}
static void watched_total_variation(real *loss, const real *x, int n, int h, int w, int c) {
    ops_naive.total_variation_forward(loss, x, n, h, w, c);
    long all = (long)n * h * w * c, row = (long)w * c;
    for (long i = 0; i + c < all; i++) branch(x[i + c] > x[i]);                  /* against the pixel to the right, */
    for (long i = 0; i + row < all; i++) branch(x[i + row] > x[i]);              /* and the one below */
}
static void keep_parameters(real *p, real *m, real *v, const real *g, long n, real lr, real beta1, real beta2, real eps,
                            long t) {
    (void)p, (void)m, (void)v, (void)g, (void)n, (void)lr, (void)beta1, (void)beta2, (void)eps, (void)t;
}

static void keep_rmsprop(real *p, real *v, const real *g, long n, real lr, real decay, real eps) {
    (void)p, (void)v, (void)g, (void)n, (void)lr, (void)decay, (void)eps;
}
static void keep_clip(real *x, real limit, long n) { (void)x, (void)limit, (void)n; }
static void watched_hinge(real *loss, const real *x, real sign, long n) {
    ops_naive.hinge_forward(loss, x, sign, n);
    for (long i = 0; i < n; i++) branch(1 - sign * x[i] > 0);
}
static void watched_absolute_error(real *loss, const real *a, const real *b, const real *weight, long n) {
    ops_naive.absolute_error_forward(loss, a, b, weight, n);
    for (long i = 0; i < n; i++) branch(a[i] > b[i]);
}
/* the ranks: by which number of t, which stays, each stands beside */
static void watched_match_ranks(real *y, real *sorted, const real *x, const real *t, long rows, int c) {
    ops_naive.match_ranks(y, sorted, x, t, rows, c);
    for (long i = 0; i < rows * c; i++) branch((int)(1e6 * y[i]));
}

static void watched_maxpool(real *y, const real *x, int n, int h, int w, int c, int f) {
    ops_naive.maxpool_forward(y, x, n, h, w, c, f);
    long row = (long)w * c, of = (long)(w / f) * c;
    for (long i = 0; i < (long)n * (h / f) * of; i++) {                          /* which of its block each is: picture, row, column, channel */
        const real *block = x + i / of / (h / f) * h * row + i / of % (h / f) * f * row + i % of / c * f * c + i % c;
        for (int k = 0; k < f * f; k++) branch(block[k / f * row + k % f * c] == y[i]);
    }
}

/* The naive table with these: a training step leaves its gradients in net->g and the parameters where they were,
 * so that D is still the same when G's loss is computed. */
static Ops watched;

/* The same for the losses at h, -h, 2h, -2h, which are most of the work. First: loops in an order that the compiler makes
 * vectors of, also of the passes back to the inputs, which a penalty on gradients takes. */
static void quick_dense(real *y, const real *x, const real *w, const real *b, int n, int in, int out) {
    for (int r = 0; r < n; r++) {
        real *to = y + (long)r * out;
        for (int o = 0; o < out; o++) to[o] = b ? b[o] : 0;
        for (int i = 0; i < in; i++)
            for (int o = 0; o < out; o++) to[o] += x[(long)r * in + i] * w[(long)i * out + o];
    }
}

/* For each pair of pixels that a tap of the kernel joins: `from` in the larger picture, `to` in the smaller one, the tap's (C,O) weights */
typedef enum Pass { FORWARD, INPUT } Pass;
static void quick_convolution(Pass pass, real *x, real *w, real *y, const Conv *d) {
    int s = d->stride, K = d->kernel, C = d->c, O = d->o;
    for (int n = 0; n < d->n; n++)
        for (int p = 0; p < d->oh; p++)
            for (int q = 0; q < d->ow; q++)
                for (int u = 0; u < K; u++)
                    for (int v = 0; v < K; v++) {
                        int i = p * s + u - d->pad, j = q * s + v - d->pad;
                        if (i < 0 || i >= d->h || j < 0 || j >= d->w) continue;
                        real *from = x + (((long)n * d->h + i) * d->w + j) * C, *to = y + (((long)n * d->oh + p) * d->ow + q) * O;
                        for (int c = 0; c < C; c++) {
                            real *tap = w + (((long)u * K + v) * C + c) * O, sum = 0;
                            if (pass == FORWARD) for (int o = 0; o < O; o++) to[o] += from[c] * tap[o];
                            if (pass != INPUT) continue;
                            #pragma omp simd reduction(+:sum)
                            for (int o = 0; o < O; o++) sum += to[o] * tap[o];
                            from[c] += sum;
                        }
                    }
}
#define IN(x) ((real *)(uintptr_t)(x))                /* only read, whatever its type says */
static void quick_bias(real *y, const real *b, long rows, int c) {
    for (long i = 0; i < rows; i++)
        for (int k = 0; k < c; k++) y[i * c + k] = b ? b[k] : 0;
}
static void quick_forward(real *y, const real *x, const real *w, const real *b, const Conv *d) {
    quick_bias(y, b, (long)d->n * d->oh * d->ow, d->o);
    quick_convolution(FORWARD, IN(x), IN(w), y, d);
}
static void quick_input(real *dx, const real *dy, const real *w, const Conv *d) { quick_convolution(INPUT, dx, IN(w), IN(dy), d); }
static void quick_transpose_forward(real *y, const real *x, const real *w, const real *b, const Conv *d) {
    quick_bias(y, b, (long)d->n * d->h * d->w, d->c);
    quick_input(y, x, w, d);
}
static void quick_transpose_input(real *dx, const real *dy, const real *w, const Conv *d) { quick_convolution(FORWARD, IN(dy), IN(w), dx, d); }

/* Second: without the gradients of weights, which no loss looks at; and without any backward pass where no penalty needs it */
static void no_product(real *to, const real *a, const real *b, int n, int in, int out) {
    (void)to, (void)a, (void)b, (void)n, (void)in, (void)out;
}
static void no_convolution(real *to, const real *a, const real *b, const Conv *d) {
    (void)to, (void)a, (void)b, (void)d;
}

static Ops quick, losses;

static void make_tables(void) {
    watched = ops_naive;
    watched.leaky_relu_forward = watched_leaky_relu;
    watched.total_variation_forward = watched_total_variation;
    watched.hinge_forward = watched_hinge, watched.maxpool_forward = watched_maxpool;
    watched.absolute_error_forward = watched_absolute_error, watched.match_ranks = watched_match_ranks;
    watched.adam_step = keep_parameters, watched.rmsprop_step = keep_rmsprop, watched.clip = keep_clip;
    quick = watched;
    quick.dense_forward = quick_dense, quick.conv2d_forward = quick_forward;
    quick.conv2d_backward_input = quick_input;
    quick.conv2d_transpose_forward = quick_transpose_forward, quick.conv2d_transpose_backward_input = quick_transpose_input;
    quick.dense_backward_weight = no_product;
    quick.conv2d_backward_weight = quick.conv2d_transpose_backward_weight = no_convolution;
    quick.depthwise_conv2d_backward_weight = no_convolution;
    losses = quick;
    losses.dense_backward_input = no_product;
    losses.conv2d_backward_input = losses.depthwise_conv2d_backward_input = no_convolution;
    losses.conv2d_transpose_backward_input = no_convolution;
}

/* The quick loops compute what the textbook's do: an odd shape, padding, stride 2 */
static void test_quick(void) {
    const Conv d = { .n = 2, .h = 7, .w = 5, .c = 3, .oh = 4, .ow = 3, .o = 5, .kernel = 3, .stride = 2, .pad = 1 };
    enum { X = 2 * 7 * 5 * 3, W = 3 * 3 * 3 * 5, Y = 2 * 4 * 3 * 5, ALL = 3 * Y + 2 * X };
    real in[X + W + Y + 5], out[2][ALL];
    const Ops *tables[2] = { &ops_naive, &quick };
    ops_naive.random_normal(in, X + W + Y + 5, 1, 1);
    for (int t = 0; t < 2; t++) {
        real *y = out[t], *dx = y + Y, *up = dx + X, *back = up + X;
        memset(y, 0, sizeof out[t]);
        tables[t]->conv2d_forward(y, in, in + X, in + X + W + Y, &d);
        tables[t]->conv2d_backward_input(dx, in + X + W, in + X, &d);
        tables[t]->conv2d_transpose_forward(up, in + X + W, in + X, in, &d);
        tables[t]->conv2d_transpose_backward_input(back, in, in + X, &d);
        tables[t]->dense_forward(back + Y, in, in + X, in + X + W + Y, Y / 5, 6, 5);
    }
    for (int i = 0; i < ALL; i++) CLOSE(out[1][i], out[0][i], 1e-13, 0, "the quick loops, number %d", i);
}

/* --------------------------------------------------------------------------------------------------- the checker */

/* A loss, as a function of a network's parameters and inputs */
typedef struct Problem {
    const char *name;
    double (*loss)(struct Problem *problem, const Ops *table);       /* leaves gradients in net->g and the inputs' dy */
    Net *net;                                         /* whose parameters move */
    int every;                                        /* only every so many-th tensor is looked at */
    Gan *gan;                                         /* a recipe, or NULL: */
    int out;                                          /* then L = sum_j above_j y_j of the node `out`, */
    const real *above;                                /* and the inputs move too */
} Problem;

/* How often the checker could compare (and of these, without leaning on the allowance for rounding), and could not. */
typedef struct Tally { int compared, sharp, skipped; } Tally;

static long reals_of(const Node *node) { return (long)node->n * node->h * node->w * node->c; }

/* x = start + a v   all: (n) */
static void move(real *x, const real *start, const real *v, double a, long n) {
    for (long i = 0; i < n; i++) x[i] = start[i] + a * v[i];
}

/* Is the derivative along v what the gradient says? -1: a kink is in the way */
static int direction_agrees(Problem *problem, real *x, const real *start, const real *gradient, const real *v, long n,
                            Tally *tally) {
    static const double at[4] = { 1, -1, 2, -2 }, weight[4] = { 8, -8, -1, 1 };
    double want = 0;
    int wrong = 0;
    for (long i = 0; i < n; i++) want += gradient[i] * v[i];
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        double h = steps[s], difference = 0, largest = 0;
        uint64_t seen[4];
        for (int k = 0; k < 4; k++) {
            branches = 0;
            move(x, start, v, at[k] * h, n);
            int backward = problem->gan && (problem->gan->options.penalty_weight > 0 || problem->gan->recipe->spectral);     /* the loss itself takes such passes */
            double loss = problem->loss(problem, backward ? &quick : &losses);
            difference += weight[k] * loss / (12 * h);
            largest = fmax(largest, fabs(loss));
            seen[k] = branches;
        }
        move(x, start, v, 0, n);
        if (seen[0] != seen[1] || seen[0] != seen[2] || seen[0] != seen[3]) continue;
        double noise = ROUNDING * largest / h, error = fabs(difference - want);
        wrong = !(error <= TOLERANCE * fabs(difference) + noise);
        if (wrong) continue;
        tally->compared++;
        tally->sharp += noise <= TOLERANCE * fabs(difference);
        return 1;
    }
    tally->skipped += !wrong;
    return wrong ? 0 : -1;
}

static int quick_look(void) { return getenv("TEST_QUICK") != NULL; }

static double size_of(const real *v, long n) {
    double sum = 0;
    for (long i = 0; i < n; i++) sum += v[i] * v[i];
    return sqrt(sum);
}

/* One tensor: first all of it along a random direction v of length 1, then single elements: the one with the largest
 * gradient, and some drawn by lot. v is half the gradient itself, each element times a random factor in [0,2): that
 * makes dL/dv large and the comparison sharp; and half pure chance: that finds a gradient that ought to be there. */
static int tensor_agrees(Problem *problem, real *x, const real *gradient, long n, uint64_t stream, Tally *tally) {
    real *v = malloc((size_t)n * sizeof *v), *start = malloc((size_t)n * sizeof *start);
    double rms = size_of(gradient, n) / sqrt((double)n);
    enum { SINGLES = 10 };
    int singles = quick_look() ? 0 : !problem->gan ? SINGLES : problem->every ? 1 : 2, good;
    long single[SINGLES] = {0};
    for (int k = 1; k < singles; k++) single[k] = philox_below(1, stream, (uint64_t)k, (int)n);
    memcpy(start, x, (size_t)n * sizeof *start);
    for (long i = 0; i < n; i++) {
        uint32_t word = philox_word(3, stream, (uint64_t)i);                           /* two numbers of [0,2) */
        v[i] = (word >> 16) / 32768.0 * gradient[i] + (rms > 0 ? rms : 1) * sqrt(3) * ((word & 0xFFFF) / 32768.0 - 1);
        if (fabs(gradient[i]) > fabs(gradient[single[0]])) single[0] = i;
    }
    ops_naive.scale(v, 1 / size_of(v, n), n);
    good = direction_agrees(problem, x, start, gradient, v, n, tally) != 0;
    for (int k = 0; k < singles && good; k++) {
        ops_naive.fill(v, 0, n);
        v[single[k]] = 1;
        good = direction_agrees(problem, x, start, gradient, v, n, tally) != 0;
    }
    free(v), free(start);
    return good;
}

/* All gradients of a problem, computed by `table`. NULL, or the first tensor whose gradient is wrong. */
static const char *wrong_gradient(Problem *problem, const Ops *table, Tally *tally) {
    static char name[64];
    Net *net = problem->net;
    NetTensor t;
    int good = isfinite(problem->loss(problem, table));
    real *gradient = ops_naive.alloc(net->parameters), *dy = ops_naive.alloc(net->activation_gradients);
    ops_naive.copy(gradient, net->g, net->parameters);
    ops_naive.copy(dy, net->dy, net->activation_gradients);
    snprintf(name, sizeof name, "the loss");
    for (int i = 0; good && net_tensor(net, i, &t); i++) {
        if (t.in_buffer || (problem->every && i % problem->every)) continue;
        good = tensor_agrees(problem, net->p + t.offset, gradient + t.offset, t.count, (uint64_t)i, tally);
        snprintf(name, sizeof name, "%s", t.name);
    }
    for (int i = 0; good && !problem->gan && i < net->nodes; i++) {
        Node *node = &net->node[i];
        if (node->a >= 0) continue;
        good = tensor_agrees(problem, node->y, dy + (node->dy - net->dy), reals_of(node), 1000 + (uint64_t)i, tally);
        snprintf(name, sizeof name, "input %d", i);
    }
    ops_naive.release(gradient), ops_naive.release(dy);
    return good ? NULL : name;
}

/* -------------------------------------------------------------------------------------------- networks to look at */

static int one_of_each(Net *net) {                    /* every builder on a path of its own, straight from an input */
    int x = net_input(net, 4, 6, 3), z = net_input(net, 4, 6, 3), part[17], parts = 0;
    part[parts++] = dense(net, x, 4);
    part[parts++] = conv2d(net, x, 2, 3, 2, 1);
    part[parts++] = conv2d_transpose(net, x, 2, 5, 2, 2);
    part[parts++] = batchnorm(net, x);
    part[parts++] = instancenorm(net, x);
    part[parts++] = leaky_relu(net, x, 0.2);
    part[parts++] = relu(net, x);
    part[parts++] = tanh_(net, x);
    part[parts++] = sigmoid_(net, x);
    part[parts++] = add(net, x, z);
    part[parts++] = concat(net, z, x);
    part[parts++] = reflect_pad(net, x, 2);
    part[parts++] = upsample(net, x, 2);
    part[parts++] = avgpool(net, x, 2);
    part[parts++] = gray(net, x);
    part[parts++] = reshape(net, z, 6, 2, 6);
    part[parts++] = waves(net, part[0], 3, 5, 2);
    int sum = dense(net, part[0], 3);
    for (int i = 1; i < parts; i++) sum = add(net, sum, dense(net, tanh_(net, part[i]), 3));
    return sum;
}

static int twice(Net *net) {                          /* nodes that several others read: their gradients add up */
    int x = net_input(net, 1, 1, 5), y = dense(net, x, 6), z = tanh_(net, y);
    y = add(net, y, y);
    z = concat(net, z, z);
    z = concat(net, z, y);
    y = add(net, sigmoid_(net, y), y);
    return add(net, dense(net, concat(net, z, x), 3), dense(net, concat(net, x, y), 3));
}

static int reshaped(Net *net) {                       /* a node read under two names, which share their memory */
    int x = net_input(net, 2, 3, 2), y = tanh_(net, dense(net, x, 12)), r = reshape(net, y, 2, 3, 2);
    int s = reshape(net, r, 3, 2, 2);
    int t = add(net, conv2d(net, r, 2, 3, 1, 1), r);
    return add(net, dense(net, concat(net, s, reshape(net, t, 3, 2, 2)), 4), dense(net, y, 4));
}

static int overwritten(Net *net) {                    /* where a relu or a gradient may work in place, and where not */
    int x = net_input(net, 2, 3, 2), y = dense(net, x, 12), r = reshape(net, y, 2, 3, 2);
    int a = relu(net, tanh_(net, conv2d(net, r, 4, 3, 1, 1)));
    int b = leaky_relu(net, relu(net, instancenorm(net, tanh_(net, conv2d(net, r, 3, 3, 1, 1)))), 0.2);
    int c = relu(net, conv2d(net, batchnorm(net, add(net, r, relu(net, r))), 2, 3, 1, 1));
    int d = leaky_relu(net, moments(net, conv2d(net, r, 2, 1, 1, 0)), 0.2);
    d = concat(net, d, leaky_relu(net, net_input(net, 1, 1, 3), 0.2));
    return add(net, dense(net, concat(net, a, concat(net, b, c)), 3), dense(net, concat(net, d, y), 3));
}

static int normalized(Net *net) {
    int x = conv2d(net, net_input(net, 5, 4, 2), 18, 3, 1, 1);
    x = leaky_relu(net, batchnorm(net, x), 0.1);
    x = relu(net, instancenorm(net, conv2d(net, x, 3, 3, 1, 1)));
    return sigmoid_(net, batchnorm(net, dense(net, x, 4)));
}

static int skips(Net *net) {                          /* down and up again, with a bridge, a residual, late noise */
    int x = net_input(net, 8, 8, 1), noise = net_input(net, 2, 2, 1);
    int a = relu(net, conv2d(net, reflect_pad(net, x, 1), 3, 3, 1, 0));
    int b = leaky_relu(net, conv2d(net, a, 4, 4, 2, 1), 0.2);
    int c = add(net, b, instancenorm(net, conv2d(net, reflect_pad(net, b, 1), 4, 3, 1, 0)));
    c = concat(net, c, upsample(net, noise, 2));
    int up = concat(net, relu(net, conv2d_transpose(net, c, 3, 4, 2, 1)), a);
    int picture = tanh_(net, conv2d(net, up, 3, 5, 1, 2));
    return concat(net, avgpool(net, gray(net, picture), 4), avgpool(net, picture, 4));
}

static const struct { const char *name; int (*build)(Net *net); } networks[] = {
    { "one of each", one_of_each }, { "twice", twice }, { "reshaped", reshaped },
    { "overwritten", overwritten }, { "normalized", normalized }, { "skips", skips },
};
enum { NETWORKS = sizeof networks / sizeof *networks, MOST_ABOVE = 20000 };

/* Weights of a size that lets gradients through, and biases, gammas and betas where nothing is 0 or 1 by design */
static void shake_parameters(Net *net, uint64_t stream) {
    NetTensor t;
    real *noise = ops_naive.alloc(net->parameters);
    net_initialize(net, 7, stream, 1);
    ops_naive.random_normal(noise, net->parameters, 8, stream);
    for (int i = 0; net_tensor(net, i, &t); i++)
        if (t.rank == 1 && !t.in_buffer) ops_naive.axpy(net->p + t.offset, noise + t.offset, (real)0.2, t.count);
    ops_naive.release(noise);
}

static double network_loss(Problem *problem, const Ops *table) {
    Net *net = problem->net;
    Node *out = &net->node[problem->out];
    double sum = 0;
    net->ops = table;
    net_forward(net, 1);
    net_zero_activations(net);
    net_zero_gradients(net);
    for (long j = 0; j < reals_of(out); j++) {
        sum += problem->above[j] * out->y[j];
        out->dy[j] += problem->above[j];
    }
    net_backward(net, NET_WEIGHTS | NET_INPUT);
    return sum;
}

static Problem network_problem(Net *net, int which, real *above) {
    net_begin(net, "n", &ops_naive, 3);
    Problem problem = { .name = networks[which].name, .loss = network_loss, .net = net };
    problem.out = networks[which].build(net);
    if (!net_finish(net, 1) || net->activations > MOST_ABOVE) exit(1);
    shake_parameters(net, STREAM(STREAM_G, 0));
    for (int i = 0; i < net->nodes; i++)
        if (net->node[i].a < 0)
            ops_naive.random_normal(net->node[i].y, reals_of(&net->node[i]), 9, (uint64_t)i);
    ops_naive.random_normal(above, net->activations, 10, 0);
    problem.above = above;
    return problem;
}

static void check_tally(const char *of, const char *loss, const Tally *tally) {
    CHECK(tally->compared > 0, "%s, %s: nothing is compared", of, loss);
    CHECK(20 * tally->skipped <= tally->compared, "%s, %s: %d directions skipped, %d compared", of, loss,
          tally->skipped, tally->compared);
    CHECK(2 * tally->sharp >= tally->compared, "%s, %s: only %d comparisons of %d are sharp", of, loss, tally->sharp,
          tally->compared);
}

static void test_networks(void) {
    static const char *const kinds[] = {
        "input", "reshape", "dense", "conv2d", "conv2d_transpose", "batchnorm", "instancenorm", "leaky_relu", "relu",
        "tanh", "sigmoid", "add", "concat", "reflect_pad", "upsample", "avgpool", "gray", "waves",
    };
    int seen[sizeof kinds / sizeof *kinds] = {0};
    static real above[MOST_ABOVE];
    for (int i = 0; i < NETWORKS; i++) {
        Net net;
        Tally tally = {0};
        Problem problem = network_problem(&net, i, above);
        const char *wrong = wrong_gradient(&problem, &watched, &tally);
        CHECK(!wrong, "network '%s': the gradient of %s is wrong", problem.name, wrong);
        check_tally(problem.name, "all gradients", &tally);
        for (int k = 0; k < net.nodes; k++)
            for (size_t j = 0; j < sizeof kinds / sizeof *kinds; j++)
                seen[j] |= !strcmp(net.node[k].kind->name, kinds[j]);
        net_free(&net);
    }
    for (size_t j = 0; j < sizeof kinds / sizeof *kinds; j++) CHECK(seen[j], "no network has a node '%s'", kinds[j]);
}

/* What net_backward was not asked for stays as it was, and what it was asked for does not depend on the rest. */
static void test_what(void) {
    static real above[MOST_ABOVE];
    for (int i = 0; i < NETWORKS; i++) {
        Net net;
        Problem problem = network_problem(&net, i, above);
        size_t bytes = (size_t)net.parameters * sizeof(real), dbytes = (size_t)net.activation_gradients * sizeof(real);
        network_loss(&problem, &ops_naive);
        real *g = malloc(bytes), *dy = malloc(dbytes);
        memcpy(g, net.g, bytes), memcpy(dy, net.dy, dbytes);

        Node *out = &net.node[problem.out];
            net_zero_gradients(&net), net_zero_activations(&net);
        ops_naive.axpy(out->dy, above, 1, reals_of(out));
        net_backward(&net, NET_INPUT);
        CHECK(size_of(net.g, net.parameters) == 0, "network '%s': NET_INPUT alone adds to weight gradients",
              problem.name);
        CHECK(!memcmp(dy, net.dy, dbytes), "network '%s': NET_INPUT alone gives other gradients", problem.name);

        net_zero_activations(&net);
        ops_naive.axpy(out->dy, above, 1, reals_of(out));
        net_backward(&net, NET_WEIGHTS);
        CHECK(!memcmp(g, net.g, bytes), "network '%s': NET_WEIGHTS alone gives other gradients", problem.name);

        net_zero_activations(&net);
        ops_naive.axpy(out->dy, above, 1, reals_of(out));
        net_backward(&net, NET_WEIGHTS);
        ops_naive.axpy(net.g, g, -2, net.parameters);
        CHECK(size_of(net.g, net.parameters) <= 1e-12 * size_of(g, net.parameters),
              "network '%s': gradients do not add up", problem.name);
        free(g), free(dy);
        net_free(&net);
    }
}

/* --------------------------------------------------------------------------------------------------- the recipes */

static double recipe_loss(Problem *problem, const Ops *table) {
    Gan *gan = problem->gan;
    Report report;
    gan->ops = table;
    for (int i = 0; gan_net(gan, i); i++) gan_net(gan, i)->ops = table, gan_net(gan, i)->freeze_u = 1;
    gan->step = 0;                                                   /* the same z again */
    gan_step(gan, &report);
    return problem->net == &gan->d || problem->net == &gan->d2 ? report.loss_d : report.loss_g;
}

/* The last number: only every so many-th tensor is looked at. Where another recipe with the same networks looks at all of
 * them, the objective is what is new, and some tensors show it. */
static const struct { const char *recipe; GanOptions options; int every; } trials[] = {
    { "dcgan", { .batch = 3, .size = 8, .channels = 2, .lr = 1, .seed = 11 }, 0 },
    { "style", { .batch = 2, .size = 8, .channels = 3, .lr = 1, .seed = 12, .content_weight = 1.3, .style_weight = 0.7,
                 .tv_weight = 0.4 }, 0 },
    { "mlp", { .batch = 5, .size = 8, .channels = 1, .lr = 1, .seed = 13, .smoothing = 0.1 }, 0 },
    { "dcgan64", { .batch = 4, .size = 16, .channels = 1, .lr = 1, .seed = 14 }, 2 },
    { "lsgan", { .batch = 4, .size = 8, .channels = 1, .lr = 1, .seed = 15, .diversity_weight = 0.3, .tail = 4 }, 3 },
    { "hinge", { .batch = 3, .size = 8, .channels = 1, .lr = 1, .seed = 16, .penalty_weight = 3 }, 3 },
    { "wgan", { .batch = 3, .size = 8, .channels = 1, .lr = 1, .seed = 17, .n_critic = 2 }, 3 },
    { "wgan-gp", { .batch = 3, .size = 8, .channels = 1, .lr = 1, .seed = 18, .penalty_weight = 2 }, 3 },
    { "r3gan", { .batch = 3, .size = 8, .channels = 1, .lr = 1, .seed = 30, .penalty_weight = 2, .tail = 3 }, 0 },
    { "cgan", { .batch = 3, .size = 8, .channels = 1, .classes = INPUT_CLASSES, .lr = 1, .seed = 19, .penalty_weight = 3 }, 3 },
    { "adain", { .batch = 2, .size = 16, .channels = 3, .lr = 1, .seed = 20, .content_weight = 0.8, .style_weight = 1.7, .tv_weight = 0.4 }, 0 },
    { "features", { .batch = 3, .size = 16, .channels = 3, .classes = INPUT_CLASSES, .lr = 1, .seed = 21 }, 0 },
    { "stylegan", { .batch = 3, .size = 8, .channels = 1, .classes = INPUT_CLASSES, .lr = 1, .seed = 23 }, 0 },
    { "vaegan", { .batch = 3, .size = 8, .channels = 1, .lr = 1, .seed = 24, .content_weight = 0.7, .kl_weight = 0.2 }, 3 },
    { "cyclegan", { .batch = 2, .size = 8, .channels = 1, .lr = 1, .seed = 25, .penalty_weight = 3, .cycle_weight = 3, .identity_weight = 2, .body = SEPARABLE }, 3 },
    { "pattern", { .batch = 2, .size = 8, .channels = 2, .lr = 1, .seed = 28, .content_weight = 2, .diversity_weight = 0.5, .body = INCEPTION }, 0 },
    { "pattern", { .batch = 2, .size = 8, .channels = 1, .lr = 1, .seed = 29, .content_weight = 2, .diversity_weight = 0.5, .body = SEPARABLE }, 2 },
    { "pix2pix", { .batch = 2, .size = 8, .channels = 1, .lr = 1, .seed = 26, .content_weight = 2 }, 0 },
    { "cloth", { .batch = 1, .size = 16, .channels = 3, .classes = 2, .lr = 1, .seed = 31, .content_weight = 2, .style_weight = 0.6 }, 4 },
    { "classifier", { .batch = 3, .size = 9, .channels = 2, .classes = INPUT_CLASSES, .lr = 1, .seed = 22 }, 0 },
};
enum { TRIALS = sizeof trials / sizeof *trials };

/* Pictures, garments and masks by lot: smooth noise in (-1,1), masks in [0,1) */
static void begin_trial(Gan *gan, int i) {
    const GanOptions *o = &trials[i].options;
    gan_begin(gan, recipe_find(trials[i].recipe), o, &ops_naive);
    if (!gan_finish(gan)) exit(1);
    for (int k = 0; gan_net(gan, k); k++)
        if (gan_net(gan, k)->training & NET_WEIGHTS) shake_parameters(gan_net(gan, k), STREAM(STREAM_G + k, 0));
    recipe_inputs(gan, 0);
    gan->ops = &watched;                                 /* a few rounds of power iteration for those with spectral normalisation */
    for (int k = 0; gan_net(gan, k); k++) gan_net(gan, k)->ops = &watched;
    for (int k = 0; gan->recipe->spectral && k < 3; k++) {
        Report report;
        gan_step(gan, &report);
    }
}

static void test_recipes(void) {
    for (const Recipe *r = recipes; r->name; r++) {
        int tried = 0;
        for (int i = 0; i < TRIALS; i++) tried |= !strcmp(trials[i].recipe, r->name);
        CHECK(tried, "recipe '%s' has no gradient check", r->name);
    }
    Tally all = {0};
    for (int i = 0; i < TRIALS; i++)
        for (int net = 0; net < (quick_look() ? 1 : GAN_NETS); net++) {          /* a step computes both losses */
            Gan gan;
            Tally tally = {0};
            begin_trial(&gan, i);
            Problem problem = { .loss = recipe_loss, .gan = &gan, .net = gan_net(&gan, net) };
            if (!problem.net || !problem.net->parameters || !(problem.net->training & NET_WEIGHTS)) { gan_free(&gan); continue; }
            problem.name = problem.net == &gan.d || problem.net == &gan.d2 ? "L_D" : "L_G";
            problem.every = quick_look() ? 16 : trials[i].every;
            const char *wrong = wrong_gradient(&problem, &watched, &tally);
            CHECK(!wrong, "recipe '%s': the gradient of %s by %s is wrong", trials[i].recipe, problem.name, wrong);
            if (!quick_look()) check_tally(trials[i].recipe, problem.name, &tally);
            all.compared += tally.compared, all.sharp += tally.sharp, all.skipped += tally.skipped;
            gan_free(&gan);
        }
    check_tally("all recipes", "all gradients", &all);
}

/* --------------------------------------------------------------------------------------------------- the checker */

/* One wrong operation each, right in shape and nearly right in value */
static void axpy_forgets(real *y, const real *x, real a, long n) { (void)y, (void)x, (void)a, (void)n; }
static void tanh_overwrites(real *dx, const real *dy, const real *y, long n) {
    for (long i = 0; i < n; i++) dx[i] = dy[i] * (1 - y[i] * y[i]);
}
static void concat_swaps(real *da, real *db, const real *dy, long rows, int ca, int cb) {
    ops_naive.concat_backward(ca == cb ? db : da, ca == cb ? da : db, dy, rows, ca, cb);
}
static void normalize_constant(real *dx, real *dgamma, real *dbeta, const real *dy, const real *x, const real *gamma,
                               const real *mean, const real *var, int groups, long rows, int c) {
    real *unused = ops_naive.alloc(groups * rows * c);
    ops_naive.normalize_backward(unused, dgamma, dbeta, dy, x, gamma, mean, var, groups, rows, c);
    for (long i = 0; i < groups * rows * c; i++)                     /* as if mean and variance did not depend on x */
        dx[i] += gamma[i % c] / sqrt(var[i / (rows * c) * c + i % c] + NORM_EPS) * dy[i];
    ops_naive.release(unused);
}
static void conv2d_slightly_off(real *dw, const real *x, const real *dy, const Conv *d) {
    long n = (long)d->kernel * d->kernel * d->c * d->o;
    real *off = ops_naive.alloc(n);
    ops_naive.conv2d_backward_weight(off, x, dy, d);
    ops_naive.axpy(dw, off, 1.00001, n);
    ops_naive.release(off);
}
static void conv2d_forgets_corner(real *dw, const real *x, const real *dy, const Conv *d) {
    real last = dw[(long)d->kernel * d->kernel * d->c * d->o - 1];
    ops_naive.conv2d_backward_weight(dw, x, dy, d);
    dw[(long)d->kernel * d->kernel * d->c * d->o - 1] = last;
}
static void bce_always_real(real *dlogits, const real *logits, real target, real scale, long n) {
    ops_naive.bce_logits_backward(dlogits, logits, target * 0 + 1, scale, n);
}
static void bce_too_large(real *dlogits, const real *logits, real target, real scale, long n) {
    ops_naive.bce_logits_backward(dlogits, logits, target, (real)1.01 * scale, n);
}
static void error_without_mask(real *da, const real *a, const real *b, const real *weight, real scale, long n) {
    (void)weight;
    ops_naive.squared_error_backward(da, a, b, NULL, scale, n);
}
static void error_without_weight(real *da, const real *a, const real *b, const real *weight, real scale, long n) {
    (void)scale;
    ops_naive.squared_error_backward(da, a, b, weight, 1, n);
}
static void gram_without_mean(real *df, const real *dg, const real *f, const real *mean, long rows, int c) {
    (void)mean;
    ops_naive.gram_backward(df, dg, f, NULL, rows, c);
}
static void variation_wrong_sign(real *dx, const real *x, real scale, int n, int h, int w, int c) {
    ops_naive.total_variation_backward(dx, x, -scale, n, h, w, c);
}

static void test_checker(void) {
    enum { L_G, L_D };
    Ops wrong[12];
    for (int i = 0; i < 12; i++) wrong[i] = watched;
    wrong[0].axpy = axpy_forgets;
    wrong[1].tanh_backward = tanh_overwrites;
    wrong[2].concat_backward = concat_swaps;
    wrong[3].normalize_backward = normalize_constant;
    wrong[4].conv2d_backward_weight = conv2d_slightly_off;
    wrong[5].conv2d_backward_weight = conv2d_forgets_corner;
    wrong[6].bce_logits_backward = bce_always_real;
    wrong[7].bce_logits_backward = bce_too_large;
    wrong[8].squared_error_backward = error_without_mask;
    wrong[9].squared_error_backward = error_without_weight;
    wrong[10].gram_backward = gram_without_mean;
    wrong[11].total_variation_backward = variation_wrong_sign;

    static const struct { int table, network; } in_network[] = { {0, 1}, {1, 1}, {2, 0}, {3, 3}, {4, 4}, {5, 4} };
    for (size_t i = 0; i < sizeof in_network / sizeof *in_network; i++) {
        static real above[MOST_ABOVE];
        Net net;
        Problem problem = network_problem(&net, in_network[i].network, above);
        CHECK(wrong_gradient(&problem, &wrong[in_network[i].table], &(Tally){0}),
              "planted error %d is not seen in network '%s'", in_network[i].table, problem.name);
        net_free(&net);
    }
    static const struct { int table, trial, loss; } in_recipe[] = {
        {3, 0, L_G}, {6, 0, L_D}, {7, 0, L_D}, {7, 0, L_G},
        {3, 1, L_G}, {4, 1, L_D}, {6, 1, L_D}, {8, 1, L_G}, {9, 1, L_G}, {10, 1, L_G}, {11, 1, L_G},
    };
    for (size_t i = 0; i < sizeof in_recipe / sizeof *in_recipe; i++) {
        Gan gan;
        begin_trial(&gan, in_recipe[i].trial);
        Problem problem = { .loss = recipe_loss, .net = in_recipe[i].loss == L_D ? &gan.d : &gan.g, .gan = &gan };
        CHECK(wrong_gradient(&problem, &wrong[in_recipe[i].table], &(Tally){0}),
              "planted error %d is not seen in recipe '%s', %s", in_recipe[i].table, trials[in_recipe[i].trial].recipe,
              in_recipe[i].loss == L_D ? "L_D" : "L_G");
        gan_free(&gan);
    }

    real x[4] = { 1, -1e-9, 3, -2 }, y[4];                          /* a kink: one sign of four turns */
    branches = 0, watched.leaky_relu_forward(y, x, 0, 4);
    uint64_t before = branches;
    x[0] = 0.5;
    branches = 0, watched.leaky_relu_forward(y, x, 0, 4);
    CHECK(branches == before, "no sign has turned, but the hash differs");
    x[1] = 1e-9;
    branches = 0, watched.leaky_relu_forward(y, x, 0, 4);
    CHECK(branches != before, "a relu's sign turns unseen");
    branches = 0, watched.total_variation_forward(y, x, 1, 2, 2, 1);
    before = branches;
    x[3] = 4;
    branches = 0, watched.total_variation_forward(y, x, 1, 2, 2, 1);
    CHECK(branches != before, "a difference of neighbours turns unseen");
}

int main(void) {
#ifdef _OPENMP
    omp_set_num_threads(1);                          /* networks this small wait longer for threads than they compute */
#endif
    make_tables();
    test_quick();
    test_networks();
    test_what();
    test_recipes();
    CHECK(!golden_penalty_wrong(&ops_naive, 1e-6, 1), "the gradient of the gradient penalty is not PyTorch's");
    if (!getenv("TEST_QUICK")) test_checker();
    return test_report("recipes");
}
