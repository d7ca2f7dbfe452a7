/* golden.c: writes the golden vectors that ./validate compares others with. validation/README.md says what is in the files.
 *
 *   build/golden FOLDER [NAME]...                       all operations and recipes, or those named
 *   build/golden_float FOLDER REFERENCE [NAME]...
 *
 * Operations run in the textbook code of layers.h, on inputs that are float32 numbers. Compiled with -Dreal=double -DREFERENCE that is the
 * reference; compiled without, the files hold what ops_tiled makes of the reference's inputs in float32: ours, to be validated too. */
#include "gan.h"
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
enum { DOUBLE = sizeof(real) == 8, STEPS = 10, BATCH = 4, MOST = 50000, SAMPLES = 4096, TENSORS = 30000 };

/* ---------------------------------------------------------------------------------------------------- a file to be */

static StTensor tensor[TENSORS];
static StMeta meta[TENSORS];
static int tensors, metas;

static char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *text(const char *format, ...) {
    char line[1000];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    char *copy = strdup(line);
    if (!copy) fprintf(stderr, "golden: not enough memory\n"), exit(1);
    return copy;
}

static int judged = DOUBLE;              /* do results get a tolerance? The reference's do */
static void say_of(const char *key, char *value) { meta[metas++] = (StMeta){ strdup(key), value }; }

/* A tensor of `wide` bytes a number: 4, float32, or 8, float64. shape ends in 0; NULL: one number */
static void put(const char *name, const real *v, const long *shape, int wide) {
    StTensor *t = &tensor[tensors++];
    long n = 1;
    *t = (StTensor){ .name = strdup(name), .dtype = wide == 8 ? "F64" : "F32" };
    for (; shape && shape[t->rank]; t->rank++) n *= t->shape[t->rank] = shape[t->rank];
    void *to = malloc(t->bytes = (size_t)n * (size_t)wide);
    if (!to || !t->name || tensors == TENSORS) fprintf(stderr, "golden: not enough memory\n"), exit(1);
    for (long i = 0; i < n; i++)
        if (wide == 8) ((double *)to)[i] = v[i];
        else ((float *)to)[i] = (float)v[i];
    t->data = to;
}

/* What a computation starts from: the reference rounds it to float32, so that everybody has the same; the others read that. */
static StFile from;
static void begin_with(const char *name, real *v, const long *shape) {
    long n = 1;
    for (int d = 0; shape && shape[d]; d++) n *= shape[d];
    const StTensor *t = from.count ? st_find(&from, name) : NULL;
    float *f = malloc(sizeof *f * (size_t)n);
    if (!f) fprintf(stderr, "golden: not enough memory\n"), exit(1);
    for (long i = 0; i < n; i++) f[i] = (float)v[i];
    if (from.count && !(t && st_read_f32(t, f, n))) fprintf(stderr, "golden: no %s in the reference: make it again\n", name), exit(1);
    for (long i = 0; i < n; i++) v[i] = f[i];
    free(f);
    put(name, v, shape, 4);
}

static double rms(const real *v, long n) {
    double square = 0;
    for (long i = 0; i < n; i++) square += (double)v[i] * v[i];
    return sqrt(square / (double)n);
}

/* A result: in float32 and, by the reference, in float64; and how far another implementation's may be from it */
static void put_result(const char *name, const real *v, const long *shape, double atol, double rtol, const char *why) {
    put(name, v, shape, 4);
    if (DOUBLE) {
        char *name64 = text("%s.f64", name);
        put(name64, v, shape, 8);
        free(name64);
    }
    if (judged) say_of(name, text("atol %.3g rtol %.3g: %s", atol, rtol, why));
}

static int finish(const char *folder, const char *name) {
    char *path = text("%s/%s.safetensors", folder, name);
    /* 8 bytes before 4: safetensors.h wants each tensor's data aligned */
    StTensor *sorted = malloc(sizeof *sorted * (size_t)(tensors + 1));
    int n = 0;
    for (int wide = 1; wide >= 0; wide--) for (int i = 0; i < tensors; i++) if (wide == !strcmp(tensor[i].dtype, "F64")) sorted[n++] = tensor[i];
    int good = st_write(path, sorted, n, meta, metas);
    if (!good) fprintf(stderr, "golden: %s\n", error_text());
    else printf("%s: %d tensors\n", path, n);
    for (int i = 0; i < tensors; i++) free((void *)(uintptr_t)tensor[i].name), free((void *)(uintptr_t)tensor[i].data);
    for (int i = 0; i < metas; i++) free((void *)(uintptr_t)meta[i].key), free((void *)(uintptr_t)meta[i].value);
    free(sorted), free(path);
    return tensors = metas = 0, good;
}

/* ----------------------------------------------------------------------------------------------------- an operation */

typedef struct Kept { const char *name; real *v; long size; int result; } Kept;

static Kept *kept_value(Kept *kept, int *count, const Tensor *t) {
    for (int i = 0; i < *count; i++) if (!strcmp(kept[i].name, t->name) && kept[i].size == t->size) return &kept[i];
    kept[*count] = (Kept){ t->name, ops_naive.alloc(t->size), t->size, !(t->role & IN) };
    return &kept[(*count)++];
}

/* Every entry of one group on one case: what an earlier entry has written (y, var) is what a later one reads, dx begins at 0 */
static void put_case(const char *group, int number, Case k) {
    Kept kept[30];
    int count = 0;
    const real sizes[13] = { k.d.n, k.d.h, k.d.w, k.d.c, k.d.oh, k.d.ow, k.d.o, k.d.kernel, k.d.stride, k.d.pad, k.a, k.scale, (real)k.t };
    char *name = text("%s.%d/case", group, number);
    put(name, sizes, (long[]){ 13, 0 }, 4);
    for (int i = 0; i < OPS; i++) {
        const Op *op = &op_list[i];
        if (strcmp(group_of(op), group)) continue;
        Data x = data_random(op, &k, 2024 + (uint64_t)i);            /* dy is not x again */
        real *p[MOST_TENSORS];
        double chain = 1;                                            /* 4 when it reads a result, whose error comes on top */
        for (int j = 0; j < x.count; j++) {
            const Tensor *t = &x.tensor[j];
            int before = count;
            Kept *here = kept_value(kept, &count, t);
            p[j] = here->v;
            if (count == before && t->role & IN && here->result) chain = 4;
            if (count == before) continue;                           /* there already */
            for (long e = 0; e < t->size; e++) p[j][e] = t->role & OUT ? 0 : x.value[j][e];
            if (t->role & INOUT && t->name[0] == 'd') table->fill(p[j], 0, t->size);
            char *at = text("%s.%d/%s%s", group, number, t->name, t->role & INOUT ? ".before" : "");
            if (t->role & IN || (t->role & INOUT && t->name[0] != 'd')) begin_with(at, p[j], t->shape);
            free(at);
        }
        op->call(table, p, &k);
        double rtol = chain * (strcmp(op->name, "dropout_forward") ? rtol_of(op, &k) : 2 * 0x1p-23);      /* x / (1 - rate): a rounding that all our tables share */
        for (int j = 0; j < x.count; j++) {
            const Tensor *t = &x.tensor[j];
            if (t->role & IN) continue;
            char *at = text("%s.%d/%s", group, number, t->name), *why = text("%s, %.3g eps", op->name, rtol * 0x1p23);
            put_result(at, p[j], t->shape, rtol * rms(p[j], t->size), rtol, why);
            free(at), free(why);
        }
        data_free(&x);
    }
    real *dy = NULL;
    long rows = 1, c = 0;
    int bias = 0;                                                    /* the gradient of b, which the table has as an entry of its own */
    for (int i = 0; i < count; i++) if (!strcmp(kept[i].name, "b")) bias = has_word("conv2d conv2d_transpose depthwise_conv2d dense", group), c = kept[i].size;
    for (int i = 0; i < count; i++) if (!strcmp(kept[i].name, "dy")) dy = kept[i].v, rows = kept[i].size / (c ? c : 1);
    if (bias && dy) {
        real *db = ops_naive.alloc(c);
        double rtol = 4 * 0x1p-23 * sqrt((double)rows);
        table->bias_backward(db, dy, rows, (int)c);
        char *at = text("%s.%d/db", group, number), *why = text("bias_backward, %.3g eps", rtol * 0x1p23);
        put_result(at, db, (long[]){ c, 0 }, rtol * rms(db, c), rtol, why);
        ops_naive.release(db), free(at), free(why);
    }
    for (int i = 0; i < count; i++) ops_naive.release(kept[i].v);
    free(name);
}

/* the formula index is in notebooks-as-md/README.md */
static const char *formula_of(const char *group) {
    static const char *const list[][2] = {
        { "dense", "F6" }, { "conv2d", "F18" }, { "conv2d_transpose", "F18" }, { "depthwise_conv2d", "F18, a filter of its own for each channel" },
        { "bias", "F6, F18: the gradient of b" }, { "normalize", "F17" }, { "batchnorm_track", "F17" }, { "batchnorm_inference", "F17" }, { "moments", "F16" },
        { "lerp", "F12" }, { "bce_logits", "F4; F2 and F3 with targets 1 and 0" }, { "squared_error", "F9" }, { "absolute_error", "F15" }, { "mean", "F11" },
        { "clip", "F11" }, { "gram", "F8" }, { "style_loss", "F8" }, { "total_variation", "F10" }, { "gradient_penalty", "F12" },
        { "gaussian_sample", "F14" }, { "kl", "F14" }, { "adam_step", "F19" }, { "rmsprop_step", "F11's optimiser" },
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) if (!strcmp(list[i][0], group)) return list[i][1];
    return "no number: the comment above it in layers.h";
}

static int write_group(const char *folder, const Op *op) {
    char *group = text("%s", group_of(op));
    size_t count;
    const Case *cases = cases_of(op, &count);
    int number = 0;
    for (size_t i = 0; i < count; i++) {
        Tensor t[MOST_TENSORS];
        long most = 0;
        for (int j = op->tensors(t, &cases[i]); j-- > 0;) if (t[j].size > most) most = t[j].size;
        if (most <= MOST) put_case(group, number++, cases[i]);
    }
    say_of("op", text("%s", group));
    say_of("formula", text("%s", formula_of(group)));
    say_of("case", text("n h w c oh ow o kernel stride pad a scale t"));
    say_of("layout", text("NHWC; weights of conv2d and conv2d_transpose (kernel, kernel, c, o), of dense (in, out)"));
    int good = finish(folder, group);
    free(group);
    return good;
}

/* --------------------------------------------------------------------------------------------------------- a recipe */

/* the table, with every draw of random numbers written down */
static char prefix[20];
static int draws;
static void put_draw(const char *kind, real *x, long n, uint64_t seed, uint64_t stream) {
    char *name = text("%s/%s.%d", prefix, kind, draws++);
    begin_with(name, x, (long[]){ n, 0 });
    say_of(name, text("seed %llu stream %llu: purpose %llu, index %llu", (unsigned long long)seed, (unsigned long long)stream,
                      (unsigned long long)(stream >> 40), (unsigned long long)(stream & ((1ull << 40) - 1))));
    free(name);
}
static void drawn_normal(real *x, long n, uint64_t seed, uint64_t stream) {
    table->random_normal(x, n, seed, stream);
    if (prefix[0]) put_draw("normal", x, n, seed, stream);
}
static void drawn_uniform(real *x, long n, uint64_t seed, uint64_t stream) {
    table->random_uniform(x, n, seed, stream);
    if (prefix[0]) put_draw("uniform", x, n, seed, stream);
}
static void drawn_dropout(real *y, const real *x, real rate, long n, uint64_t seed, uint64_t stream, long first) {
    real *one = ops_naive.alloc(n), *factor = ops_naive.alloc(n);    /* what each number is multiplied by */
    ops_naive.fill(one, 1, n);
    ops_naive.dropout_forward(factor, one, rate, n, seed, stream, first);
    if (prefix[0]) put_draw("dropout", factor, n, seed, stream);
    table->dropout_forward(y, x, rate, n, seed, stream, first);
    ops_naive.release(one), ops_naive.release(factor);
}
static void drawn_gaussian(real *z, const real *code, long rows, int k, uint64_t seed, uint64_t stream, long first) {
    real *zero = ops_naive.alloc(2 * rows * k), *eps = ops_naive.alloc(rows * k);
    ops_naive.gaussian_sample_forward(eps, zero, rows, k, seed, stream, first);
    if (prefix[0]) put_draw("eps", eps, rows * k, seed, stream);
    table->gaussian_sample_forward(z, code, rows, k, seed, stream, first);
    ops_naive.release(zero), ops_naive.release(eps);
}

/* How far may another implementation be after t steps? GANs are chaotic, some recipes within ten steps, and Adam turns a gradient of nearly
 * zero into a step of the learning rate with its sign. So the reference measures it: beside it runs a shadow, in double too, but with the
 * result of every sum and every parameter rounded to float32. Allowed is TIMES the largest difference between the two in a tensor. */
enum { TIMES = 50 };
static void round_to_float(real *x, long n) { for (long i = 0; i < n; i++) x[i] = (float)x[i]; }
#define ROUNDED(...) ROUNDED_(__VA_ARGS__)                           /* after FORWARD and BACKWARD have become three arguments each */
#define ROUNDED_(entry, parameters, arguments, result, count) \
    static void rounded_##entry parameters { ops_naive.entry arguments; round_to_float(result, count); }
#define IN_AND_OUT ((long)d->n * d->h * d->w * d->c)
#define OUTPUTS ((long)d->n * d->oh * d->ow * d->o)
#define FILTERS ((long)d->kernel * d->kernel * d->c * d->o)
#define FORWARD (real *y, const real *x, const real *w, const real *b, const Conv *d), (y, x, w, b, d), y
#define BACKWARD (real *y, const real *x, const real *w, const Conv *d), (y, x, w, d), y
ROUNDED(conv2d_forward, FORWARD, OUTPUTS)
ROUNDED(conv2d_backward_input, BACKWARD, IN_AND_OUT)
ROUNDED(conv2d_backward_weight, BACKWARD, FILTERS)
ROUNDED(conv2d_transpose_forward, FORWARD, IN_AND_OUT)
ROUNDED(conv2d_transpose_backward_input, BACKWARD, OUTPUTS)
ROUNDED(conv2d_transpose_backward_weight, BACKWARD, FILTERS)
ROUNDED(dense_forward, (real *y, const real *x, const real *w, const real *b, int n, int in, int out), (y, x, w, b, n, in, out), y, (long)n * out)
ROUNDED(dense_backward_input, (real *dx, const real *dy, const real *w, int n, int in, int out), (dx, dy, w, n, in, out), dx, (long)n * in)
ROUNDED(dense_backward_weight, (real *dw, const real *x, const real *dy, int n, int in, int out), (dw, x, dy, n, in, out), dw, (long)in * out)
ROUNDED(bias_backward, (real *db, const real *dy, long rows, int c), (db, dy, rows, c), db, c)
ROUNDED(normalize_forward, (real *y, real *mean, real *var, const real *x, const real *gamma, const real *beta, int groups, long rows, int c),
        (y, mean, var, x, gamma, beta, groups, rows, c), (round_to_float(mean, (long)groups * c), round_to_float(var, (long)groups * c), y), groups * rows * c)
ROUNDED(normalize_backward, (real *dx, real *dgamma, real *dbeta, const real *dy, const real *x, const real *gamma, const real *mean, const real *var,
        int groups, long rows, int c), (dx, dgamma, dbeta, dy, x, gamma, mean, var, groups, rows, c),
        (dgamma ? round_to_float(dgamma, c), round_to_float(dbeta, c) : (void)0, dx), groups * rows * c)

static Ops rounding_table(void) {
    Ops ops = *table;
#define TAKE(entry) ops.entry = rounded_##entry
    TAKE(conv2d_forward), TAKE(conv2d_backward_input), TAKE(conv2d_backward_weight), TAKE(conv2d_transpose_forward), TAKE(dense_forward);
    TAKE(conv2d_transpose_backward_input), TAKE(conv2d_transpose_backward_weight), TAKE(dense_backward_input), TAKE(dense_backward_weight);
    TAKE(bias_backward), TAKE(normalize_forward), TAKE(normalize_backward);
    return ops;
}

static double largest(const real *a, const real *b, long n) {
    double most = 0;
    for (long i = 0; i < n; i++) most = fmax(most, fabs((double)a[i] - (b ? (double)b[i] : 0)));
    return most;
}

enum { START, GRADIENT, AFTER };
/* The tensors of a network: all numbers at the start, later at most SAMPLES of each, element j * count / samples as number j. One kind has
 * no right value: a bias that a norm takes out again. Its gradient is rounding, of which Adam makes steps of the learning rate. */
static void put_network(Net *net, const Net *shadow, int what, const char *when, double step) {
    NetTensor t;
    double most = largest(net->g, NULL, net->parameters);
    int arbitrary = 0;
    for (int i = 0; net_tensor(net, i, &t); i++) {
        real *const base[] = { net->p, net->g, net->p }, *const other[] = { shadow->p, shadow->g, shadow->p };
        real *v = (t.in_buffer ? net->buffer : base[what]) + t.offset, *w = (t.in_buffer ? shadow->buffer : other[what]) + t.offset;
        int zero = what && !t.in_buffer && largest(net->g + t.offset, NULL, t.count) <= 1e-10 * most;
        arbitrary |= zero;
        if (what == GRADIENT && t.in_buffer) continue;
        char *name = text("%s/%s%s", when, t.name, what == GRADIENT ? ".grad" : "");
        if (what == START) {
            long shape[ST_RANK_MAX + 1] = {0};
            for (int d = 0; d < t.rank; d++) shape[d] = t.shape[d];
            begin_with(name, v, shape);
        } else {
            long n = t.count < SAMPLES ? t.count : SAMPLES;
            real *some = malloc((size_t)n * sizeof *some);
            double rtol = what == GRADIENT ? 1e-5 : 1e-6, atol = TIMES * largest(v, w, t.count);
            if (!some) fprintf(stderr, "golden: not enough memory\n"), exit(1);
            for (long j = 0; j < n; j++) some[j] = v[j * t.count / n];
            atol += what == GRADIENT ? rtol * (rms(some, n) + 0.01 * most) : (zero || (arbitrary && t.in_buffer) ? 2 : 1e-3) * step;
            put(name, some, (long[]){ n, 0 }, 4);
            if (judged) say_of(name, text("atol %.3g rtol %.3g: %s", atol, rtol, zero ? "a bias that a norm takes out: its gradient is rounding" :
                              what == GRADIENT ? "a gradient" : t.in_buffer ? "a statistic" : "a parameter"));
            free(some);
        }
        free(name);
    }
}

static void put_number(const char *when, const char *what, double value, double shadow, double *apart) {
    real v = (real)value;
    char *name = text("%s/%s", when, what);
    *apart = fmax(*apart, fabs(value - shadow));
    put_result(name, &v, NULL, TIMES * *apart + 1e-7, 1e-5, "a number of the report");
    free(name);
}

/* After how many steps may two right programs be anywhere? RMSprop's first steps, g / sqrt(0.01 g^2), have the sign of each element and no size;
 * dcgan64 takes large steps on batch norms of four numbers */
static int steps_held(const char *recipe) { return has_word("wgan dcgan64", recipe) ? 1 : has_word("style", recipe) ? 6 : STEPS; }

static int write_recipe(const char *folder, const Recipe *recipe, const char *name_of) {
    Ops recording = *table;
    recording.random_normal = drawn_normal, recording.random_uniform = drawn_uniform;
    recording.dropout_forward = drawn_dropout, recording.gaussian_sample_forward = drawn_gaussian;
    Ops rounding = rounding_table();
    Gan gan, shadow;
    Report r, s;
    double apart[5] = {0};
    GanOptions o = recipe_inputs_options(recipe->name, BATCH, has_word("dcgan64 adain features", recipe->name) ? 16 : 8);
    o.ema = 0, o.lr = (float)o.lr, o.lr_d = (float)o.lr_d;
    gan_begin(&gan, recipe, &o, &recording), gan_begin(&shadow, recipe, &o, &rounding);
    if (!gan_finish(&gan) || !gan_finish(&shadow)) return fprintf(stderr, "golden: %s: %s\n", recipe->name, error_text()), 0;
    for (int k = 0; gan_net(&gan, k); k++) {
        Net *net = gan_net(&gan, k), *other = gan_net(&shadow, k);
        put_network(net, other, START, "start", 0);
        ops_naive.copy(other->p, net->p, net->parameters);
    }
    for (int t = 1; t <= STEPS; t++) {
        long batch = (long)gan_n_critic(&gan) * o.batch;
        recipe_inputs(&gan, (uint64_t)t);
        snprintf(prefix, sizeof prefix, "step%d", t);
        judged = DOUBLE && t <= steps_held(recipe->name);
        draws = 0;
        struct { const char *name; real *v, *w; long shape[5]; } input[] = {
            { "images", gan.x_real, shadow.x_real, { batch, o.size, o.size, o.channels } },
            { "content", gan.content, shadow.content, { o.batch, o.size, o.size, gan_content(&gan) } },
            { "mask", gan.mask, shadow.mask, { o.batch, o.size, o.size, 1 } },
            { "outside", gan.outside, shadow.outside, { o.batch, o.size, o.size, gan_content(&gan) } },
            { "labels", gan.labels, shadow.labels, { o.batch } },
            { "given", recipe->conditional == ON_CLASS ? gan.given : NULL, shadow.given, { batch, o.classes } },
        };
        for (size_t i = 0; i < sizeof input / sizeof *input; i++) {
            if (!input[i].v) continue;
            long n = 1;
            for (int d = 0; input[i].shape[d]; d++) n *= input[i].shape[d];
            char *name = text("%s/%s", prefix, input[i].name);
            begin_with(name, input[i].v, input[i].shape);
            ops_naive.copy(input[i].w, input[i].v, n);
            free(name);
        }
        gan_step(&gan, &r);
        char when[sizeof prefix];
        strcpy(when, prefix);
        prefix[0] = 0;
        if (DOUBLE) gan_step(&shadow, &s); else s = r;
        for (int k = 0; gan_net(&gan, k); k++) round_to_float(gan_net(&shadow, k)->p, gan_net(&shadow, k)->parameters);
        /* in the order of the computation: D's losses, gradients and parameters before G's, so that the first that is wrong is the cause */
        const struct { const char *name; double v, w; } number[] = { { "loss_g", r.loss_g, s.loss_g }, { "norm_g", r.norm_g, s.norm_g },
            { "loss_d", r.loss_d, s.loss_d }, { "norm_d", r.norm_d, s.norm_d }, { "penalty", r.penalty, s.penalty } };
        int nets = 0;
        while (gan_net(&gan, nets)) nets++;
        for (int i = 4; i >= 2 && gan.d.nodes; i--) put_number(when, number[i].name, number[i].v, number[i].w, &apart[i]);
        for (int k = nets - 1; k >= 0; k--) {
            Net *net = gan_net(&gan, k);
            for (int i = 1; i >= 0 && !k; i--) put_number(when, number[i].name, number[i].v, number[i].w, &apart[i]);
            if (!(net->training & NET_WEIGHTS)) continue;
            put_network(net, gan_net(&shadow, k), GRADIENT, when, 0);
            put_network(net, gan_net(&shadow, k), AFTER, when, t * fmax(o.lr, o.lr_d) * (recipe->rmsprop ? 5 : 1));
        }
    }
    say_of("recipe", text("%s: batch %d, size %d, seed %llu, lr %g, beta1 %g, beta2 %g", recipe->name, o.batch, o.size, (unsigned long long)o.seed, o.lr, o.beta1, o.beta2));
    judged = DOUBLE;
    say_of("formula", text("%s", recipe->source));
    say_of("judged", text("steps 1 to %d: later ones have no tolerance, two right programs may be anywhere", steps_held(recipe->name)));
    say_of("samples", text("after the start, a tensor of more than %d numbers is given by %d of them: element j * count / %d as number j", SAMPLES, SAMPLES, SAMPLES));
    gan_free(&gan), gan_free(&shadow);
    return finish(folder, name_of);
}

/* MISTAKE=padding, variance or adam in the environment: mistakes for ./validate to name */
static void wrong_padding(real *y, const real *x, const real *w, const real *b, const Conv *d) {
    Conv wrong = *d;
    wrong.pad++;
    ops_naive.conv2d_forward(y, x, w, b, &wrong);
}
static void wrong_variance(real *y, real *mean, real *var, const real *x, const real *gamma, const real *beta, int groups, long rows, int c) {
    ops_naive.normalize_forward(y, mean, var, x, gamma, beta, groups, rows, c);
    for (long i = 0; i < groups * rows * c && rows > 1; i++) {
        long g = i / (rows * c) * c + i % c;
        y[i] = gamma[i % c] * (x[i] - mean[g]) / (real)sqrt((double)var[g] * (double)rows / (double)(rows - 1) + NORM_EPS) + beta[i % c];
    }
    ops_naive.scale(var, rows > 1 ? (real)rows / (real)(rows - 1) : 1, (long)groups * c);
}
static void wrong_adam(real *p, real *m, real *v, const real *g, long n, real lr, real beta1, real beta2, real eps, long t) {
    ops_naive.adam_step(p, m, v, g, n, lr, beta1, beta2, eps, t + 100000000);
}
static Ops mistaken(const char *mistake) {
    Ops ops = *table;
    if (!strcmp(mistake, "padding")) ops.conv2d_forward = wrong_padding;
    if (!strcmp(mistake, "variance")) ops.normalize_forward = wrong_variance;
    if (!strcmp(mistake, "adam")) ops.adam_step = wrong_adam;
    return ops;
}

static int open_reference(const char *folder, const char *name) {
    char *path = text("%s/%s.safetensors", folder, name);
    int good = !DOUBLE ? st_open(&from, path) : 1;
    if (!good) fprintf(stderr, "golden: %s\n", error_text());
    free(path);
    return good;
}

static int is_named(char **name, int names, const char *what) {
    for (int i = 0; i < names; i++) if (name[i] && !strcmp(name[i], what)) return name[i] = NULL, 1;      /* what is left is unknown */
    return !names;
}

int main(int count, char **argument) {
    const char *usage = DOUBLE ? "golden FOLDER [NAME]..." : "golden_float FOLDER REFERENCE [NAME]...";
    int fixed = DOUBLE ? 2 : 3, names = count - fixed;
    if (count < fixed) return fprintf(stderr, "usage: %s\n", usage), 2;
    const char *folder = argument[1], *reference = DOUBLE ? "" : argument[2];
    if (mkdir(folder, 0777) && errno != EEXIST) return fprintf(stderr, "golden: %s: %s\n", folder, strerror(errno)), 1;
    Ops wrong = getenv("MISTAKE") ? mistaken(getenv("MISTAKE")) : *table;
    table = &wrong;
    char *group = text("%s", "");
    for (int i = 0; i < OPS; i++) {                                  /* a group's entries follow each other in the list */
        if (!strcmp(group_of(&op_list[i]), group)) continue;
        free(group), group = text("%s", group_of(&op_list[i]));
        if (!is_named(argument + fixed, names, group)) continue;
        if (!open_reference(reference, group) || !write_group(folder, &op_list[i])) return 1;
        st_close(&from);
    }
    for (const Recipe *r = recipes; r->name; r++) {
        char *name = text("train_%s", r->name);                      /* hinge is an operation too */
        if (is_named(argument + fixed, names, name)) {
            if (!open_reference(reference, name) || !write_recipe(folder, r, name)) return 1;
            st_close(&from);
        }
        free(name);
    }
    free(group);
    for (int i = 0; i < names; i++) if (argument[fixed + i]) return fprintf(stderr, "golden: unknown name '%s': known are the operations of struct Ops without _forward and _backward, and train_RECIPE\n", argument[fixed + i]), 1;
    return 0;
}
