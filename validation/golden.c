/* golden.c: writes the golden vectors that ./validate compares others with. validation/README.md
 * says what is in the files.
 *
 *   build/golden FOLDER [NAME]...                       all operations and recipes, or those named
 *   build/golden_float FOLDER REFERENCE [NAME]...
 *
 * Operations run in the textbook code of layers.h, on inputs that are float32 numbers. Compiled
 * with -Dreal=double -DREFERENCE that is the reference; compiled without, the files hold what
 * ops_tiled makes of the reference's inputs in float32: ours, to be validated too. */
#include "gan.h"
#include "core/error.h"
#include "core/options.h"
#include "core/tiled.h"
#include "validation/recipe_inputs.h"
#include "validation/tolerances.h"
#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>

#ifdef REFERENCE
_Static_assert(sizeof(real) == 8, "compile with -Dreal=double");
static const Ops *table = &ops_naive;
#else
static const Ops *table = &ops_tiled;
#endif
enum { DOUBLE = sizeof(real) == 8, STEPS = 10, BATCH = 4, MOST = 50000, SAMPLES = 4096,
       TENSORS = 30000 };

/* ---------------------------------------------------------------------------- a file to be */

static StTensor tensor[TENSORS];
static StMeta meta[TENSORS];
static int tensors, metas;

/* printf into one of a few lines in turn */
__attribute__((format(printf, 1, 2))) static const char *text(const char *format, ...) {
    static char lines[16][1000];
    static int turn;
    char *line = lines[turn++ % 16];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof *lines, format, list);
    va_end(list);
    return line;
}
static void *memory(size_t bytes) {
    void *p = malloc(bytes);
    if (!p) die(1, "not enough memory");
    return p;
}
static char *kept(const char *line) { return strcpy(memory(strlen(line) + 1), line); }

static int judged = DOUBLE;              /* do results get a tolerance? The reference's do */
static void say_of(const char *key, const char *value) {
    meta[metas++] = (StMeta){ kept(key), kept(value) };
}

static long product(const long *shape) {
    long n = 1;
    for (; shape && *shape; shape++) n *= *shape;
    return n;
}

/* A tensor of float32 (wide = 4) or float64 (8). shape ends in 0; NULL: one number */
static void put(const char *name, const real *v, const long *shape, int wide) {
    StTensor *t = &tensor[tensors++];
    long n = product(shape);
    *t = (StTensor){ .name = kept(name), .dtype = wide == 8 ? "F64" : "F32" };
    for (; shape && shape[t->rank]; t->rank++) t->shape[t->rank] = shape[t->rank];
    void *to = memory(t->bytes = (size_t)n * (size_t)wide);
    if (tensors == TENSORS) die(1, "more than %d tensors in a file", TENSORS);
    for (long i = 0; i < n; i++)
        if (wide == 8) ((double *)to)[i] = v[i];
        else ((float *)to)[i] = (float)v[i];
    t->data = to;
}

/* What a computation starts from: float32 numbers, which the others read from the reference */
static StFile from;
static void begin_with(const char *name, real *v, const long *shape) {
    long n = product(shape);
    const StTensor *t = from.count ? st_find(&from, name) : NULL;
    float *f = memory(sizeof *f * (size_t)n);
    for (long i = 0; i < n; i++) f[i] = (float)v[i];
    if (from.count && !(t && st_read_f32(t, f, n)))
        die(1, "no %s in the reference: make it again", name);
    for (long i = 0; i < n; i++) v[i] = f[i];
    free(f);
    put(name, v, shape, 4);
}

static double rms(const real *v, long n) {
    double square = 0;
    for (long i = 0; i < n; i++) square += (double)v[i] * v[i];
    return sqrt(square / (double)n);
}

/* A result: in float32 and, by the reference, in float64, with its tolerance */
static void put_result(const char *name, const real *v, const long *shape, double atol, double rtol,
                       const char *why) {
    put(name, v, shape, 4);
    if (DOUBLE) put(text("%s.f64", name), v, shape, 8);
    if (judged) say_of(name, text("atol %.3g rtol %.3g: %s", atol, rtol, why));
}

/* 8 bytes before 4: safetensors.h wants each tensor's data aligned */
static void finish(const char *folder, const char *name) {
    const char *path = text("%s/%s.safetensors", folder, name);
    StTensor *sorted = memory(sizeof *sorted * (size_t)(tensors + 1));
    int n = 0;
    for (int wide = 1; wide >= 0; wide--)
        for (int i = 0; i < tensors; i++)
            if (wide == !strcmp(tensor[i].dtype, "F64")) sorted[n++] = tensor[i];
    must(st_write(path, sorted, n, meta, metas));
    printf("%s: %d tensors\n", path, n);
    for (int i = 0; i < tensors; i++)
        free((void *)(uintptr_t)tensor[i].name), free((void *)(uintptr_t)tensor[i].data);
    for (int i = 0; i < metas; i++)
        free((void *)(uintptr_t)meta[i].key), free((void *)(uintptr_t)meta[i].value);
    free(sorted);
    tensors = metas = 0;
}

/* ---------------------------------------------------------------------------- an operation */

typedef struct Kept { const char *name; real *v; long size; int result; } Kept;

static Kept *kept_value(Kept *list, int *count, const Tensor *t) {
    for (int i = 0; i < *count; i++)
        if (!strcmp(list[i].name, t->name) && list[i].size == t->size) return &list[i];
    list[*count] = (Kept){ t->name, ops_naive.alloc(t->size), t->size, !(t->role & IN) };
    return &list[(*count)++];
}

/* One entry on one case. What an earlier entry has written (y, var) is what this one reads; dx
 * begins at 0. Where it reads a result, four times the tolerance: that one's error comes on top. */
static void put_entry(const char *at, const Op *op, Case k, Kept *list, int *count, uint64_t seed) {
    Data x = data_random(op, &k, seed);
    real *p[MOST_TENSORS];
    double chain = 1, rtol = rtol_of(op, &k);
    for (int j = 0; j < x.count; j++) {
        const Tensor *t = &x.tensor[j];
        int before = *count, adds = t->role & INOUT && t->name[0] == 'd';
        const Kept *here = kept_value(list, count, t);
        p[j] = here->v;
        if (*count == before && t->role & IN && here->result) chain = 4;
        if (*count == before) continue;                              /* there already */
        for (long e = 0; e < t->size; e++) p[j][e] = t->role & OUT ? 0 : x.value[j][e];
        if (adds) table->fill(p[j], 0, t->size);
        const char *name = text("%s/%s%s", at, t->name, t->role & INOUT ? ".before" : "");
        if (t->role & (IN | INOUT) && !adds) begin_with(name, p[j], t->shape);
    }
    op->call(table, p, &k);
    if (!strcmp(op->name, "dropout_forward")) rtol = 2 * 0x1p-23;        /* x / (1 - rate) */
    rtol *= chain;
    for (int j = 0; j < x.count; j++) {
        const Tensor *t = &x.tensor[j];
        if (t->role & IN) continue;
        double atol = rtol * rms(p[j], t->size);
        put_result(text("%s/%s", at, t->name), p[j], t->shape, atol, rtol,
                   text("%s, %.3g eps", op->name, rtol * 0x1p23));
    }
    data_free(&x);
}

/* Every entry of one group on one case; and the gradient of b, an entry of its own in the table */
static void put_case(const char *group, int number, Case k) {
    Kept list[30], *b = NULL, *dy = NULL;
    const Op *bias = op_list;
    int count = 0;
    char at[80];
    const Conv *d = &k.d;
    const real sizes[13] = { d->n, d->h, d->w, d->c, d->oh, d->ow, d->o, d->kernel, d->stride,
                             d->pad, k.a, k.scale, (real)k.t };
    snprintf(at, sizeof at, "%s.%d", group, number);
    put(text("%s/case", at), sizes, (long[]){ 13, 0 }, 4);
    say_of(text("%s/constants", at), constants_of(group, &k));
    for (int i = 0; i < OPS; i++)                                    /* dy is not x again */
        if (!strcmp(group_of(&op_list[i]), group))
            put_entry(at, &op_list[i], k, list, &count, 2024 + (uint64_t)i);
    for (int i = 0; i < count; i++) {
        if (!strcmp(list[i].name, "b")) b = &list[i];
        if (!strcmp(list[i].name, "dy")) dy = &list[i];
    }
    if (b && dy && has_word("conv2d conv2d_transpose depthwise_conv2d dense", group)) {
        int c = (int)b->size, rows = (int)dy->size / c;
        while (strcmp(bias->name, "bias_backward")) bias++;
        put_entry(at, bias, (Case){ .d = CONV(rows, 1, 1, c, c, 1, 1, 0) }, list, &count, 0);
    }
    for (int i = 0; i < count; i++) ops_naive.release(list[i].v);
}

/* the formula index is in notebooks-as-md/README.md */
static const char *formula_of(const char *group) {
    static const char *const list[][2] = {
        { "dense", "F6" }, { "conv2d", "F18" }, { "conv2d_transpose", "F18" },
        { "depthwise_conv2d", "F18, a filter of its own for each channel" },
        { "bias", "F6, F18: the gradient of b" }, { "normalize", "F17" },
        { "batchnorm_track", "F17" }, { "batchnorm_inference", "F17" }, { "moments", "F16" },
        { "adain", "F16" }, { "lerp", "F12" },
        { "bce_logits", "F4; F2 and F3 with targets 1 and 0" }, { "squared_error", "F9" },
        { "absolute_error", "F15" }, { "mean", "F11" }, { "clip", "F11" }, { "gram", "F8" },
        { "style_loss", "F8" }, { "total_variation", "F10" }, { "gradient_penalty", "F12" },
        { "gaussian_sample", "F14" }, { "kl", "F14" }, { "adam_step", "F19" },
        { "rmsprop_step", "F11's optimiser" }, { "waves", "F34" }, { "match_ranks", "F35" },
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (!strcmp(list[i][0], group)) return list[i][1];
    return "no number: the comment above it in layers.h";
}

static void write_group(const char *folder, const char *group) {
    const Op *op = op_list;
    size_t count;
    while (strcmp(group_of(op), group)) op++;
    const Case *cases = cases_of(op, &count);
    int number = 0;
    for (size_t i = 0; i < count; i++) {
        Tensor t[MOST_TENSORS];
        long most = 0;
        for (int j = op->tensors(t, &cases[i]); j-- > 0;)
            if (t[j].size > most) most = t[j].size;
        if (most <= MOST) put_case(group, number++, cases[i]);
    }
    say_of("op", group);
    say_of("formula", formula_of(group));
    say_of("case", "n h w c oh ow o kernel stride pad a scale t; what the operation reads of them, "
                   "and its other constants: N/constants");
    say_of("layout", "NHWC; weights of conv2d and conv2d_transpose (kernel, kernel, c, o), "
                     "of dense (in, out)");
    finish(folder, group);
}

/* ------------------------------------------------------------------------------- a recipe */

/* the table, with every draw of random numbers written down, as PREFIX/KIND.NUMBER */
static const char *prefix;               /* NULL: not now */
static int draws;
static void put_draw(const char *kind, real *x, long n, uint64_t seed, uint64_t stream) {
    typedef unsigned long long Big;
    if (!prefix) return;
    const char *name = text("%s/%s.%d", prefix, kind, draws++);
    begin_with(name, x, (long[]){ n, 0 });
    say_of(name, text("seed %llu stream %llu: purpose %llu, index %llu", (Big)seed, (Big)stream,
                      (Big)(stream >> 40), (Big)(stream & ((1ull << 40) - 1))));
}
static void drawn_normal(real *x, long n, uint64_t seed, uint64_t stream) {
    table->random_normal(x, n, seed, stream);
    put_draw("normal", x, n, seed, stream);
}
static void drawn_uniform(real *x, long n, uint64_t seed, uint64_t stream) {
    table->random_uniform(x, n, seed, stream);
    put_draw("uniform", x, n, seed, stream);
}
static void drawn_dropout(real *y, const real *x, real rate, long n, uint64_t seed, uint64_t stream,
                          long first) {
    real *one = ops_naive.alloc(n), *factor = ops_naive.alloc(n);    /* of each number */
    ops_naive.fill(one, 1, n);
    ops_naive.dropout_forward(factor, one, rate, n, seed, stream, first);
    put_draw("dropout", factor, n, seed, stream);
    table->dropout_forward(y, x, rate, n, seed, stream, first);
    ops_naive.release(one), ops_naive.release(factor);
}
static void drawn_gaussian(real *z, const real *code, long rows, int k, uint64_t seed,
                           uint64_t stream, long first) {
    real *zero = ops_naive.alloc(2 * rows * k), *eps = ops_naive.alloc(rows * k);
    ops_naive.gaussian_sample_forward(eps, zero, rows, k, seed, stream, first);
    put_draw("eps", eps, rows * k, seed, stream);
    table->gaussian_sample_forward(z, code, rows, k, seed, stream, first);
    ops_naive.release(zero), ops_naive.release(eps);
}

/* How far may another implementation be after t steps? GANs are chaotic, some recipes within ten
 * steps, and Adam turns a gradient of nearly zero into a step of the learning rate with its sign.
 * So the reference measures it: beside it runs a shadow, in double too, but with the result of
 * every sum and every parameter rounded to float32. TIMES their largest difference is allowed. */
enum { TIMES = 50 };
static void round_to_float(real *x, long n) { for (long i = 0; i < n; i++) x[i] = (float)x[i]; }
#define IN_AND_OUT ((long)d->n * d->h * d->w * d->c)
#define OUTPUTS ((long)d->n * d->oh * d->ow * d->o)
#define FILTERS ((long)d->kernel * d->kernel * d->c * d->o)
#define IN1 const real *x, const real *w
#define FORWARD (real *y, IN1, const real *b, const Conv *d), (y, x, w, b, d), y
#define BACKWARD (real *y, IN1, const Conv *d), (y, x, w, d), y
#define DENSE_CALL (real *y, IN1, int n, int in, int out), (y, x, w, n, in, out), y
#define GROUPS ((long)groups * c)
#define MEAN_AND_VAR (round_to_float(mean, GROUPS), round_to_float(var, GROUPS), y)
#define AFFINE (dgamma ? round_to_float(dgamma, c), round_to_float(dbeta, c) : (void)0, dx)
#define ROUNDED_ENTRIES(X) \
    X(conv2d_forward, FORWARD, OUTPUTS) \
    X(conv2d_backward_input, BACKWARD, IN_AND_OUT) \
    X(conv2d_backward_weight, BACKWARD, FILTERS) \
    X(conv2d_transpose_forward, FORWARD, IN_AND_OUT) \
    X(conv2d_transpose_backward_input, BACKWARD, OUTPUTS) \
    X(conv2d_transpose_backward_weight, BACKWARD, FILTERS) \
    X(dense_forward, (real *y, IN1, const real *b, int n, int in, int out), \
      (y, x, w, b, n, in, out), y, (long)n * out) \
    X(dense_backward_input, DENSE_CALL, (long)n * in) \
    X(dense_backward_weight, DENSE_CALL, (long)in * out) \
    X(bias_backward, (real *db, const real *dy, long rows, int c), (db, dy, rows, c), db, c) \
    X(normalize_forward, (real *y, real *mean, real *var, const real *x, const real *gamma, \
      const real *beta, int groups, long rows, int c), \
      (y, mean, var, x, gamma, beta, groups, rows, c), MEAN_AND_VAR, GROUPS * rows) \
    X(normalize_backward, (real *dx, real *dgamma, real *dbeta, const real *dy, const real *x, \
      const real *gamma, const real *mean, const real *var, int groups, long rows, int c), \
      (dx, dgamma, dbeta, dy, x, gamma, mean, var, groups, rows, c), AFFINE, GROUPS * rows) \
    X(adain_forward, (real *y, real *mean, real *var, const real *x, const real *style, \
      int groups, long rows, int c), (y, mean, var, x, style, groups, rows, c), MEAN_AND_VAR, \
      GROUPS * rows) \
    X(adain_backward, (real *dx, real *dstyle, const real *dy, const real *x, const real *style, \
      const real *mean, const real *var, int groups, long rows, int c), \
      (dx, dstyle, dy, x, style, mean, var, groups, rows, c), \
      (round_to_float(dstyle, 2 * GROUPS), dx), GROUPS * rows)
#define ROUNDED(...) ROUNDED_(__VA_ARGS__)       /* FORWARD, BACKWARD: three arguments each */
#define ROUNDED_(entry, parameters, arguments, y, n) \
    static void rounded_##entry parameters { ops_naive.entry arguments; round_to_float(y, n); }
ROUNDED_ENTRIES(ROUNDED)

static Ops rounding_table(void) {
    Ops ops = *table;
#define TAKE(entry, ...) ops.entry = rounded_##entry;
    ROUNDED_ENTRIES(TAKE)
    return ops;
}

static double largest(const real *a, const real *b, long n) {
    double most = 0;
    for (long i = 0; i < n; i++) most = fmax(most, fabs((double)a[i] - (b ? (double)b[i] : 0)));
    return most;
}

/* The tensors of a network at the start */
static void put_start(Net *net) {
    NetTensor t;
    for (int i = 0; net_tensor(net, i, &t); i++) {
        real *v = (t.in_buffer ? net->buffer : net->p) + t.offset;
        long shape[5] = {0};
        memcpy(shape, t.shape, sizeof t.shape);
        begin_with(text("start/%s", t.name), v, shape);
    }
}

/* The same after a step, or their gradients: at most SAMPLES numbers of each, element j * count /
 * samples as number j. One kind has no right value: a bias that a norm takes out again. Its
 * gradient is rounding, of which Adam makes steps of the learning rate. */
static void put_network(Net *net, const Net *shadow, int gradient, const char *when, double step) {
    NetTensor t;
    double most = largest(net->g, NULL, net->parameters);
    int arbitrary = 0;
    for (int i = 0; net_tensor(net, i, &t); i++) {
        const char *name = text("%s/%s%s", when, t.name, gradient ? ".grad" : "");
        real *v = (t.in_buffer ? net->buffer : gradient ? net->g : net->p) + t.offset;
        real *w = (t.in_buffer ? shadow->buffer : gradient ? shadow->g : shadow->p) + t.offset;
        real some[SAMPLES];
        long n = t.count < SAMPLES ? t.count : SAMPLES;
        int zero = !t.in_buffer && largest(net->g + t.offset, NULL, t.count) <= 1e-10 * most;
        arbitrary |= zero;
        if (gradient && t.in_buffer) continue;
        double rtol = gradient ? 1e-5 : 1e-6, atol = TIMES * largest(v, w, t.count);
        for (long j = 0; j < n; j++) some[j] = v[j * t.count / n];
        if (gradient) atol += rtol * (rms(some, n) + 0.01 * most);
        else atol += (zero || (arbitrary && t.in_buffer) ? 2 : 1e-3) * step;
        put(name, some, (long[]){ n, 0 }, 4);
        const char *why = gradient ? "a gradient" : t.in_buffer ? "a statistic" : "a parameter";
        if (zero) why = "a bias that a norm takes out: its gradient is rounding";
        if (judged) say_of(name, text("atol %.3g rtol %.3g: %s", atol, rtol, why));
    }
}

/* A number of a report, by the reference and its shadow; how far they have been apart */
typedef struct Number { const char *name; const double *v, *w; double apart; } Number;
static void put_number(const char *when, Number *number) {
    real v = (real)*number->v;
    number->apart = fmax(number->apart, fabs(*number->v - *number->w));
    put_result(text("%s/%s", when, number->name), &v, NULL, TIMES * number->apart + 1e-7, 1e-5,
               "a number of the report");
}

/* After how many steps may two right programs be anywhere? Of RMSprop's first steps, g / sqrt(0.01
 * g^2), only the sign depends on g; dcgan64 takes large steps on batch norms of four numbers */
static int steps_held(const char *recipe) {
    return has_word("wgan dcgan64", recipe) ? 1 : has_word("style", recipe) ? 6 : STEPS;
}

/* What step t is given: the shadow has the same */
static void put_inputs(Gan *gan, Gan *shadow, const char *when) {
    const GanOptions *o = &gan->options;
    long n = o->batch, all = n * gan_n_critic(gan), side = o->size, c = gan_content(gan);
    struct { const char *name; real *v, *w; long shape[5]; } input[] = {
        { "images", gan->x_real, shadow->x_real, { all, side, side, o->channels } },
        { "content", gan->content, shadow->content, { n, side, side, c } },
        { "mask", gan->mask, shadow->mask, { n, side, side, 1 } },
        { "outside", gan->outside, shadow->outside, { n, side, side, c } },
        { "labels", gan->labels, shadow->labels, { n } },
        { "given", gan->given, shadow->given, { all, o->classes } },
    };
    for (size_t i = 0; i < sizeof input / sizeof *input; i++) {
        if (!input[i].v) continue;
        begin_with(text("%s/%s", when, input[i].name), input[i].v, input[i].shape);
        ops_naive.copy(input[i].w, input[i].v, product(input[i].shape));
    }
}

/* What step t has made, in the order of the computation: D's losses, gradients and parameters
 * before G's, so that the first that is wrong is the cause */
enum { LOSS_D, NORM_D, PENALTY_D, LOSS_G, NORM_G, NUMBERS };
static void put_results(Gan *gan, Gan *shadow, const char *when, Number *number, double step) {
    Net *net;
    int nets = 0;
    while (gan_net(gan, nets)) nets++;
    for (int i = PENALTY_D; i >= 0 && gan->d.nodes; i--) put_number(when, &number[i]);
    for (int k = nets - 1; (net = k < 0 ? NULL : gan_net(gan, k)); k--) {
        for (int i = NORM_G; i >= LOSS_G && !k; i--) put_number(when, &number[i]);
        if (!(net->training & NET_WEIGHTS)) continue;
        put_network(net, gan_net(shadow, k), 1, when, 0);
        put_network(net, gan_net(shadow, k), 0, when, step);
    }
}

static void write_recipe(const char *folder, const Recipe *recipe, const char *name_of) {
    Ops recording = *table, rounding = rounding_table();
    recording.random_normal = drawn_normal, recording.random_uniform = drawn_uniform;
    recording.dropout_forward = drawn_dropout, recording.gaussian_sample_forward = drawn_gaussian;
    Gan gan, shadow;
    Report r, s;
    Net *net;
    Number number[NUMBERS] = {
        { "loss_d", &r.loss_d, &s.loss_d, 0 }, { "norm_d", &r.norm_d, &s.norm_d, 0 },
        { "penalty", &r.penalty, &s.penalty, 0 }, { "loss_g", &r.loss_g, &s.loss_g, 0 },
        { "norm_g", &r.norm_g, &s.norm_g, 0 } };
    int size = has_word("dcgan64 adain features cloth", recipe->name) ? 16 : 8;
    GanOptions o = recipe_inputs_options(recipe->name, BATCH, size);
    o.ema = 0;
    gan_begin(&gan, recipe, &o, &recording), gan_begin(&shadow, recipe, &o, &rounding);
    must(gan_finish(&gan) && gan_finish(&shadow));
    for (int k = 0; (net = gan_net(&gan, k)); k++) {
        put_start(net);
        ops_naive.copy(gan_net(&shadow, k)->p, net->p, net->parameters);
    }
    for (int t = 1; t <= STEPS; t++) {
        char when[20];
        recipe_inputs(&gan, (uint64_t)t);
        snprintf(when, sizeof when, "step%d", t);
        judged = DOUBLE && t <= steps_held(recipe->name);
        put_inputs(&gan, &shadow, when);
        prefix = when, draws = 0;
        gan_step(&gan, &r);
        prefix = NULL;
        if (DOUBLE) gan_step(&shadow, &s); else s = r;
        for (int k = 0; (net = gan_net(&shadow, k)); k++)
            round_to_float(net->p, net->parameters);
        double step = t * fmax(o.lr, o.lr_d) * (recipe->rmsprop ? 5 : 1);
        put_results(&gan, &shadow, when, number, step);
    }
    judged = DOUBLE;
    const char *lr = text("%s", exact(o.lr)), *lr_d = o.lr_d ? exact(o.lr_d) : lr;
    say_of("recipe", text("%s: batch %d, size %d, seed %llu, lr %s, beta1 %g, beta2 %g, eps 1e-08, "
                          "lr_d %s%s", recipe->name, o.batch, o.size, (unsigned long long)o.seed,
                          lr, o.beta1, o.beta2, lr_d,
                          recipe->rmsprop ? ", decay 0.99 of RMSprop" : ""));
    say_of("formula", recipe->source);
    say_of("judged", text("steps 1 to %d: later ones have no tolerance, two right programs may be "
                          "anywhere", steps_held(recipe->name)));
    say_of("samples", text("after the start, a tensor of more than %d numbers is given by %d of "
                           "them: element j * count / %d as number j", SAMPLES, SAMPLES, SAMPLES));
    gan_free(&gan), gan_free(&shadow);
    finish(folder, name_of);
}

/* Every name there is: the groups of operations, then train_RECIPE; returns their number */
static int all_names(const char *known[200]) {
    int n = 0;
    for (int i = 0; i < OPS; i++)                                    /* groups follow each other */
        if (!n || strcmp(group_of(&op_list[i]), known[n - 1]))
            known[n++] = kept(group_of(&op_list[i]));
    for (const Recipe *r = recipes; r->name; r++)                    /* hinge is an operation too */
        known[n++] = kept(text("train_%s", r->name));
    return n;
}

/* The place of a name in the list. An unknown one ends the program and names the shortest that has
 * it as a part, as adam_step has adam, or else the one that is spelt most alike. */
static int place_of(const char *name, const char **known, int names) {
    const char *whole = NULL;
    for (int i = 0; i < names; i++) {
        if (!strcmp(known[i], name)) return i;
        if (strstr(known[i], name) && !(whole && strlen(whole) <= strlen(known[i])))
            whole = known[i];
    }
    const char *hint = whole ? text(", did you mean '%s'?", whole)
                             : did_you_mean(name, known, names, sizeof *known);
    die(1, "unknown name '%s'%s", name, *hint ? hint : ": known are the operations of struct Ops "
        "without _forward and _backward, and train_RECIPE");
}

int main(int count, char **argument) {
    int fixed = DOUBLE ? 2 : 3;
    error_program("golden", 0, NULL);
    if (count < fixed) die(2, "usage: FOLDER %s[NAME]...", DOUBLE ? "" : "REFERENCE ");
    const char *folder = argument[1], *reference = argument[fixed - 1], *known[200];
    int names = all_names(known), wanted[200] = {0};
    for (int i = fixed; i < count; i++) wanted[place_of(argument[i], known, names)] = 1;
    if (mkdir(folder, 0777) && errno != EEXIST) die(1, "%s: %s", folder, strerror(errno));
    for (int i = 0; i < names; i++) {
        if (count > fixed && !wanted[i]) continue;
        if (!DOUBLE) must(st_open(&from, text("%s/%s.safetensors", reference, known[i])));
        if (strncmp(known[i], "train_", 6)) write_group(folder, known[i]);
        else write_recipe(folder, recipe_find(known[i] + 6), known[i]);
        st_close(&from);
    }
    return 0;
}
