/* test_featurenet.c: the networks of featurenet.h and the loss, gradient and steps of gram.h against PyTorch's numbers in
 * data/vgg16.safetensors and data/vgg19.safetensors (golden_vgg.py makes them and says what is in them); and what gram_transfer
 * promises: memory as predicted, the same bits for any number of threads, one line for whatever is wrong, a picture that is better.
 * With TEST_QUICK in the environment (sanitizers are slow) each thing is done once, with VGG16, and the planted
 * errors are left out. */
#define _GNU_SOURCE
#define ERROR_IMPLEMENTATION
#define FILES_IMPLEMENTATION
#define LAYERS_IMPLEMENTATION
#define TILED_IMPLEMENTATION
#define NET_IMPLEMENTATION
#define SAFETENSORS_IMPLEMENTATION
#define IMAGES_IMPLEMENTATION
#define FEATURENET_IMPLEMENTATION
#include "layers.h"
#include "core/tiled.h"
#include "core/net.h"
#include "style/gram.h"
#include "test.h"
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#else
static void omp_set_num_threads(int n) { (void)n; }
#endif

/* PyTorch computes in double, we in float32 through up to 16 layers: a few hundred roundings of 6e-8 each, most of them small */
#define TOLERANCE 2e-5

#ifdef WITH_CUDA                                                     /* linked with cuda_kernels.cu, or with what cuda_on_cpu makes of it */
#include "core/device.h"
static const Ops *const tables[] = { &ops_cuda };
#else
static const Ops *const tables[] = { &ops_naive, &ops_tiled };
#endif
enum { TABLES = sizeof tables / sizeof *tables };

static float *read_all(const StFile *file, const char *key, const char *name, long count) {
    char full[80];
    snprintf(full, sizeof full, "%s%s%s", key, *key ? "/" : "", name);
    const StTensor *t = st_find(file, full);
    float *x = calloc((size_t)count, sizeof *x);
    CHECK(t && st_read_f32(t, x, count), "the file has %s with %ld numbers", full, count);
    return x;
}

/* the largest |got - want|, relative to the root of the mean square of want; NaN is infinitely far */
static double distance(const real *got, const float *want, long n) {
    double squares = 0, most = 0;
    for (long i = 0; i < n; i++) squares += (double)want[i] * want[i];
    for (long i = 0; i < n; i++) {
        double d = fabs((double)got[i] - want[i]);
        if (!(d <= most)) most = isfinite(d) ? d : INFINITY;
    }
    return most / fmax(sqrt(squares / (double)n), 1e-30);
}
static void check_golden(const StFile *file, const char *key, const char *name, const real *got, long n, double tolerance, const char *table) {
    float *want = read_all(file, key, name, n);
    double d = distance(got, want, n);
    CHECK(d <= tolerance, "%s: %s/%s differs by %g of its size from PyTorch's", table, key, name, d);
    free(want);
}

/* the same of what lies where ops computes */
static void check_golden_on(const Ops *ops, const StFile *file, const char *key, const char *name, const real *got, long n, double tolerance) {
    real *host = malloc(sizeof *host * (size_t)n);
    ops->download(host, got, n);
    check_golden(file, key, name, host, n, tolerance, ops->name);
    free(host);
}

static Image picture_of(const StFile *file, const char *name) {
    const StTensor *t = st_find(file, name);
    Image p = {0};
    if (t && t->rank == 3 && image_new(&p, (int)t->shape[0], (int)t->shape[1], 3)) st_read_f32(t, p.pixels, 3L * p.h * p.w);
    CHECK(p.pixels, "the file has the picture %s", name);
    return p;
}

/* the same loss as golden_vgg.py */
static GramOptions golden_options(const StFile *file, int depth, int pooling, int centred) {
    GramOptions o = gram_defaults(depth);
    o.weights = file, o.pooling = pooling, o.centred = centred;
    o.content = 0.3, o.style = 2, o.tv = 0.05, o.lr = 0.02, o.steps = 4;
    return o;
}

/* ------------------------------------------------------------------------------------------------------- against PyTorch */

static void test_features(const StFile *file, const Ops *ops, int depth, int pooling) {
    Net net;
    Features f;
    Image start = picture_of(file, "start");
    long n = 3L * start.h * start.w;
    net_begin(&net, "vgg", ops, 1);
    int good = features_vgg(&f, &net, depth, "relu5_1", start.h, start.w, pooling, file) && net_finish(&net, NET_INPUT) && features_load(&f, &net, file);
    CHECK(good, "%s", error_text());
    if (!good) return;
    ops->upload(net.node[f.picture].y, start.pixels, n);
    net_forward(&net, 0);
    for (int l = 0; l < f.layers; l++) {
        char name[40];
        const Node *node = &net.node[f.layer[l].node];
        const char *key = pooling == FEATURES_AVERAGE ? "avg" : "max";
        snprintf(name, sizeof name, "%s/%s", key, f.layer[l].name);
        if (!st_find(file, name)) continue;
        check_golden_on(ops, file, key, f.layer[l].name, node->y, (long)node->h * node->w * node->c, TOLERANCE);
        snprintf(name, sizeof name, "gram_%s", f.layer[l].name);
        if (pooling != FEATURES_MAX || depth != 16 || f.layer[l].name[6] != '1') continue;
        real *gram = ops->alloc((long)node->c * node->c);
        ops->gram_forward(gram, NULL, node->y, (long)node->h * node->w, node->c);
        check_golden_on(ops, file, key, name, gram, (long)node->c * node->c, TOLERANCE);
        ops->release(gram);
    }
    CHECK(features_node(&f, "relu5_1") == net.nodes - 1, "the network ends where it was asked to");
    CHECK(features_node(&f, "relu5_2") < 0 && features_node(&f, "relu") < 0, "a layer that is not there");
    net_free(&net);
    image_free(&start);
}

/* Loss, gradient, and four steps. `spoil` plants an error, and returns whether it was seen: 1 one weight, 2 the content's weight. */
static int compare_loss(const StFile *file, const Ops *ops, int depth, int pooling, int centred, int spoil) {
    Gram g;
    GramStep at = {0};
    GramOptions o = golden_options(file, depth, pooling, centred);
    Image content = picture_of(file, "content"), style = picture_of(file, "style"), start = picture_of(file, "start"), result;
    char key[40];
    real values[8];
    int seen = 0;
    snprintf(key, sizeof key, "%s%s", pooling == FEATURES_AVERAGE ? "avg" : "max", centred ? "_centred" : "");
    if (spoil == 2) o.content *= 1.001;
    int good = gram_check(&g, &o, ops) && gram_targets(&g, &(Styles){ &style, NULL, 1 }, fmax(content.h, content.w)) && gram_begin(&g, &content);
    CHECK(good, "%s", error_text());
    if (!good) return 0;
    ops->upload(g.picture->y, start.pixels, 3L * start.h * start.w);
    if (spoil == 1) g.net.p[g.net.node[g.f.layer[3].conv].weight + 7] *= (real)1.01;
    gram_loss(&g, &at, 1);
    for (int l = 0; l < 5; l++) values[l] = (real)at.style[l];
    values[5] = (real)at.content, values[6] = (real)at.tv, values[7] = (real)at.total;
    long n = 3L * start.h * start.w;
    if (spoil) {
        float *want = read_all(file, key, "gradient", n);
        seen = distance(g.picture->dy, want, n) > 10 * TOLERANCE;
        free(want);
    } else {
        check_golden(file, key, "losses", values, 8, TOLERANCE, ops->name);
        /* relu's and max pooling's kinks: where two numbers are equal but for rounding, the gradient may take the other way */
        check_golden_on(ops, file, key, "gradient", g.picture->dy, n, 10 * TOLERANCE);
    }
    gram_end(&g);
    ops->release(g.gram);
    if (!spoil && !centred) {
        o.start = &start;
        good = gram_transfer(&result, &content, &(Styles){ &style, NULL, 1 }, &o, ops);
        CHECK(good, "%s", error_text());
        /* Adam divides by the gradient's size: what is rounding in a gradient near zero is a part of a step in the picture */
        if (good) check_golden(file, key, "result", result.pixels, n, 1e-3, ops->name);
        image_free(&result);
    }
    image_free(&content), image_free(&style), image_free(&start);
    return seen;
}

/* ------------------------------------------------------------------------------------------------------------- promises */

static long allocated, most_allocated;                   /* reals, of counting_ops */
static real *counting_alloc(long n) {
    long *x = calloc(1, sizeof(long) + 64 + sizeof(real) * (size_t)n);
    *x = n;
    allocated += n;
    if (allocated > most_allocated) most_allocated = allocated;
    return (real *)(void *)((char *)x + 64);
}
static void counting_release(real *x) {
    if (!x) return;
    long *block = (long *)(void *)((char *)x - 64);
    allocated -= *block;
    free(block);
}

static Image drawn(int kind, int h, int w) {
    Image p, q;
    image_pattern_synthetic(&p, kind, 64);
    image_resize(&q, &p, h, w);
    image_free(&p);
    return q;
}

static double first_total, last_total;
static int calls;
static void watch(const GramStep *s) {
    if (!calls++) first_total = s->total;
    last_total = s->total;
    CHECK(s->fraction > 0 && s->fraction <= 1 && s->number >= 1 && s->number <= s->levels * s->steps, "step %d, %g done", s->number, s->fraction);
}

/* Functions with known minima, and some that have none: L-BFGS finds the first and ends on the others */
typedef struct Valley { int kind; long n, calls; } Valley;
static double valley(void *context, double *g, const double *x) {
    Valley *v = context;
    double f = 0;
    v->calls++;
    for (long i = 0; i < v->n; i++) g[i] = 0;
    for (long i = 0; i < v->n && v->kind == 0; i++) {                         /* sum l_i (x_i - i)^2 / 2, l_i from 1 to 1000 */
        double l = pow(1000, (double)i / (double)(v->n - 1)), e = x[i] - (double)i;
        f += l * e * e / 2, g[i] = l * e;
    }
    for (long i = 0; i + 1 < v->n && v->kind == 1; i++) {                     /* Rosenbrock: sum 100 (x_i+1 - x_i^2)^2 + (1 - x_i)^2 */
        double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
        f += 100 * a * a + b * b, g[i] += -400 * a * x[i] - 2 * b, g[i + 1] += 200 * a;
    }
    for (long i = 0; i < v->n && v->kind == 2; i++) f -= x[i], g[i] = -1;                 /* no lower end */
    for (long i = 0; i < v->n && v->kind == 3; i++) f += x[i] * x[i], g[i] = -2 * x[i];   /* the gradient of another function */
    for (long i = 0; i < v->n && v->kind == 4; i++) g[i] = 1;                             /* flat, whatever the gradient says */
    for (long i = 0; i < v->n && v->kind == 5; i++) f += fabs(x[i]), g[i] = x[i] < 0 ? -1 : 1;        /* a kink */
    return v->kind == 6 || (v->kind == 7 && v->calls > 1) ? NAN : f;
}
static double bound = INFINITY;
static double descend(int kind, long n, int evaluations, double *x) {
    static double work[LBFGS_ROWS * 20];
    Valley v = { kind, n, 0 };
    for (long i = 0; i < n; i++) x[i] = kind == 1 && i % 2 == 0 ? -1.2 : 1.1;
    double f = lbfgs(x, n, bound, evaluations, 0.1, valley, &v, work), g[20];
    CHECK(v.calls <= evaluations, "kind %d: %ld evaluations of %d", kind, v.calls, evaluations);
    CHECK(kind > 5 || f == valley(&v, g, x), "kind %d: the value returned is that of the point", kind);
    return f;
}
static void test_lbfgs(void) {
    double x[20];
    double f = descend(0, 20, 250, x);
    CHECK(f < 1e-12, "a quadratic with curvatures from 1 to 1000: %g", f);
    for (int i = 0; i < 20; i++) CLOSE(x[i], i, 1e-6, 0, "its minimum, %d", i);
    for (long n = 2; n <= 10; n += 8) {
        f = descend(1, n, n == 2 ? 80 : 200, x);
        CHECK(f < 1e-12, "Rosenbrock's valley in %ld dimensions: %g", n, f);
        for (int i = 0; i < n; i++) CLOSE(x[i], 1, 1e-5, 0, "its minimum, %d", i);
    }
    CHECK(descend(1, 2, 20, x) > descend(1, 2, 30, x), "more evaluations, less loss");
    CHECK(descend(2, 3, 100, x) < -1e4, "no lower end: it goes down, and ends");
    CHECK(descend(3, 3, 1000, x) <= 3 * 1.1 * 1.1, "a wrong gradient never makes it worse");
    for (int kind = 4; kind < 8; kind++) {
        descend(kind, 3, 1000000, x);
        for (int i = 0; i < 3; i++) CHECK(isfinite(x[i]) && fabs(x[i]) <= 1.1, "kind %d: x stays: %g", kind, x[i]);
    }
    bound = 7.5;                                                  /* in a box a sum of functions of one number each is minimal number by number */
    f = descend(0, 20, 250, x);
    for (int i = 0; i < 20; i++) CLOSE(x[i], fmin(i, 7.5), 1e-5, 0, "the minimum within bounds, %d", i);
    bound = 1.2;
    for (int i = 0; i < 2; i++) f = descend(1, 10, i ? 100 : 30, x);
    CHECK(f < 1e-6, "Rosenbrock's valley within bounds: %g", f);
    bound = INFINITY;
    descend(0, 20, 1, x);
    CHECK(x[3] == 1.1, "one evaluation moves nothing");
}

static void test_builtin(void) {
    Image content = drawn(1, 70, 50), style[2] = { drawn(2, 64, 64), drawn(4, 48, 60) }, result[3] = {{0}}, blank, twice;
    GramOptions o = gram_defaults(0);
    int quick = getenv("TEST_QUICK") != NULL;
    o.steps = quick ? 11 : 20, o.progress = watch;
    for (int threads = 1; threads <= 3 - quick; threads++) {
        omp_set_num_threads(threads);
        calls = 0;
        int good = gram_transfer(&result[threads - 1], &content, &(Styles){ style, (double[]){ 1, 3 }, 2 }, &o, &ops_tiled);
        CHECK(good, "%s", error_text());
        if (!good) return;
        CHECK(result[0].h == 70 && result[0].w == 50 && result[0].c == 3, "the picture has the content's size");
        CHECK(!memcmp(result[0].pixels, result[threads - 1].pixels, sizeof(float) * 70 * 50 * 3), "%d threads give other bits", threads);
        CHECK(calls == (o.steps == 11 ? 4 : 6), "%d calls of the callback: expected the first, step 10 and the last of two levels", calls);
        CHECK(last_total < 0.4 * first_total, "the loss falls from %g to %g", first_total, last_total);
    }
    omp_set_num_threads(2);
    int inside = 1;
    for (int i = 0; i < 70 * 50 * 3; i++) inside &= result[0].pixels[i] >= -1 && result[0].pixels[i] <= 1;
    CHECK(inside, "pixels lie in [-1,1]");
    /* colours: the mean is the styles', a quarter of the first and three quarters of the second */
    double mean[3][3] = {{0}}, unused[9];
    colour_statistics(mean[0], unused, style, (double[]){ 1, 3 }, 2);
    colour_statistics(mean[1], unused, &result[0], NULL, 1);
    for (int c = 0; c < 3; c++) CLOSE(mean[1][c], mean[0][c], 0.15, 0, "mean of channel %d", c);
    o.seed = 2;
    gram_transfer(&blank, &content, &(Styles){ style, (double[]){ 1, 3 }, 2 }, &o, &ops_tiled);
    CHECK(memcmp(blank.pixels, result[0].pixels, sizeof(float) * 70 * 50 * 3), "another seed, another picture");
    image_free(&blank);
    o.seed = 1, o.noise = 1;
    gram_transfer(&blank, &content, &(Styles){ style, (double[]){ 1, 3 }, 2 }, &o, &ops_tiled);
    CHECK(memcmp(blank.pixels, result[0].pixels, sizeof(float) * 70 * 50 * 3), "noise starts another picture");
    image_free(&blank);

    /* both optimizers lower the loss, the same for any number of threads */
    o = gram_defaults(0);
    o.steps = 7, o.progress = watch;
    for (int i = 0; i < 3 - quick; i++) {
        omp_set_num_threads(1 + i % 2);
        o.optimizer = i ? GRAM_LBFGS : GRAM_ADAM, calls = 0;
        CHECK(gram_transfer(&blank, &content, &(Styles){ style, NULL, 2 }, &o, &ops_tiled), "%s", error_text());
        CHECK(last_total < 0.7 * first_total, "optimizer %d: the loss falls from %g to %g", i, first_total, last_total);
        if (i == 1) image_copy(&twice, &blank);
        if (i == 2) CHECK(!memcmp(twice.pixels, blank.pixels, sizeof(float) * 70 * 50 * 3), "L-BFGS: two threads give other bits");
        image_free(&blank);
    }
    image_free(&twice);
    o = gram_defaults(0);

    /* memory: what is predicted is what is asked for at most, for both kinds of features */
    Ops counting = ops_tiled;
    counting.alloc = counting_alloc, counting.release = counting_release, counting.conv_scratch = ops_naive.conv_scratch;
    o.steps = 1, o.progress = NULL;
    double predicted = gram_bytes(&content, &(Styles){ style, NULL, 2 }, &o, &counting);
    gram_transfer(&blank, &content, &(Styles){ style, NULL, 2 }, &o, &counting);
    CLOSE((double)most_allocated * sizeof(real), predicted, 0, 0.01, "bytes at the peak; naive's scratch is none");
    CHECK((double)most_allocated * sizeof(real) <= predicted, "%g bytes are more than predicted: %g", (double)most_allocated * sizeof(real), predicted);
    CHECK(allocated == 0, "%ld reals are not released", allocated);
    image_free(&blank);
    for (int i = 0; i < 3; i++) image_free(&result[i]);
    image_free(&content), image_free(&style[0]), image_free(&style[1]);
}

static void expect(int good, const char *word) {
    CHECK(!good && strstr(error_text(), word) && !strchr(error_text(), '\n'), "expected a line with '%s', got %d, '%s'", word, good, error_text());
}

/* In RGB, L-BFGS stays in [-1,1]: the picture returned has the loss that was reported, and less than it began with */
static void test_bounds(const StFile *file) {
    Image content = drawn(2, 48, 48), style = drawn(0, 48, 48), result, again;
    GramOptions o = golden_options(file, 16, FEATURES_MAX, 0);
    for (int i = 0; i < 48 * 48 * 3; i++) content.pixels[i] = content.pixels[i] > 0 ? 1 : -1;
    o.optimizer = GRAM_LBFGS, o.steps = getenv("TEST_QUICK") ? 5 : 30, o.progress = watch, calls = 0;
    CHECK(gram_transfer(&result, &content, &(Styles){ &style, NULL, 1 }, &o, &ops_tiled), "%s", error_text());
    double first = first_total, reported = last_total;
    CHECK(reported < 0.9 * first, "the loss falls from %g to %g", first, reported);
    o.start = &result, o.steps = 1, calls = 0;
    CHECK(gram_transfer(&again, &content, &(Styles){ &style, NULL, 1 }, &o, &ops_tiled), "%s", error_text());
    CLOSE(first_total, reported, 0, 1e-4, "loss of the picture returned");
    image_free(&content), image_free(&style), image_free(&result), image_free(&again);
}

static void test_errors(const StFile *file) {
    Image content = drawn(0, 32, 32), small = drawn(0, 12, 40), result;
    GramOptions good = golden_options(file, 16, FEATURES_MAX, 0), o;
    double none = 0;
#define TRY(change, word) do { o = good, change; expect(gram_transfer(&result, &content, &(Styles){ &content, NULL, 1 }, &o, &ops_tiled), word); CHECK(!result.pixels, "a result"); } while (0)
    TRY(o.vgg = 17, "VGG17");
    TRY(o.vgg = 19, "features.16.weight");                           /* VGG16 pools there */
    TRY(o.weights = NULL, "needs a file");
    TRY(o.vgg = 0, "content layer");
    TRY(o.style_layers = "relu1_1 relu9_1", "relu9_1");
    TRY(o.style_layers = "relu1_3", "relu1_3");
    TRY(o.style_layers = "", "expected names");
    TRY(o.style_layers = "relu1_1 relu1_1 relu1_1 relu1_1 relu1_1 relu1_1 relu1_1 relu1_1 relu1_1", "at most");
    TRY(o.content_layer = "relu4_9", "relu4_9");
    TRY(o.content = NAN, "content");
    TRY(o.steps = 0, "steps 0");
    TRY(o.optimizer = 2, "optimizer 2");
    TRY(o.lr = 1e38, "finite");
    TRY(o.start = &small, "start picture of 40 x 12");
    o = good;
    expect(gram_transfer(&result, &small, &(Styles){ &content, NULL, 1 }, &o, &ops_tiled), "content picture of 40 x 12");
    expect(gram_transfer(&result, &content, &(Styles){ &content, &none, 1 }, &o, &ops_tiled), "more than 0");
    expect(gram_transfer(&result, &content, &(Styles){ &content, NULL, 0 }, &o, &ops_tiled), "no style");
    /* files: a tensor that is missing, of another shape, or of a type that is no number */
    StFile broken = *file;
    broken.tensors = malloc(sizeof *broken.tensors * (size_t)broken.count);
    for (int what = 0; what < 4; what++) {
        static const char *const names[4] = { "features.10.weight", "features.10.bias", "features.12.weight", "features.0.weight" };
        memcpy(broken.tensors, file->tensors, sizeof *broken.tensors * (size_t)broken.count);
        StTensor *t = (StTensor *)(uintptr_t)st_find(&broken, names[what]);
        if (what == 0) t->name = "other";
        if (what == 1) t->shape[0]--;
        if (what == 2) t->rank = 3;
        if (what == 3) t->dtype = "I32";
        o = good, o.weights = &broken;
        expect(gram_transfer(&result, &content, &(Styles){ &content, NULL, 1 }, &o, &ops_tiled), names[what]);
    }
    free(broken.tensors);
    Net net;
    Features f;
    net_begin(&net, "vgg", &ops_tiled, 1);
    CHECK(!features_vgg(&f, &net, 16, "relu5_1", 40, 48, FEATURES_AVERAGE, file), "average pooling takes multiples of 16");
    CHECK(!features_vgg(&f, &net, 16, "relu5_4", 64, 64, FEATURES_MAX, NULL), "VGG16 has no relu5_4");
    CHECK(!features_vgg(&f, &net, 16, "relu5_1", 8, 8, FEATURES_MAX, NULL) && !features_random(&f, &net, 18, 16), "sides");
    CHECK(features_multiple("relu1_1") == 1 && features_multiple("relu5_3") == 16, "multiples");
    net_begin(&net, "vgg", &ops_tiled, 1);
    CHECK(features_vgg(&f, &net, 19, "relu5_4", 224, 224, FEATURES_MAX, NULL) && net.parameters == 20024384 + 12, "VGG19 has 20,024,384 weights "
          "in its convolutions, and 12 normalise; here %ld", net.parameters);
    image_free(&content), image_free(&small);
}

int main(void) {
    const char *folder = getenv("TESTS");
#ifdef WITH_CUDA
    const char *missing = cuda_open(0);
    CHECK(!missing, "%s", missing);
    if (missing) return test_report("featurenet");
#endif
    for (int depth = 16; depth <= (getenv("TEST_QUICK") ? 16 : 19); depth += 3) {
        char path[4096];
        StFile file;
        snprintf(path, sizeof path, "%s/data/vgg%d.safetensors", folder ? folder : "tests", depth);
        int opened = st_open(&file, path);
        CHECK(opened, "%s", error_text());
        if (!opened) continue;
        int quick = getenv("TEST_QUICK") != NULL;
        for (int t = quick ? TABLES - 1 : 0; t < TABLES; t++)                         /* naive takes a minute under the sanitizers */
            for (int pooling = FEATURES_MAX; pooling <= (depth == 16 ? FEATURES_AVERAGE : FEATURES_MAX); pooling++) {
                test_features(&file, tables[t], depth, pooling);
                for (int centred = 0; centred < 2; centred++)
                    if (!quick || (depth == 16 && centred == (pooling == FEATURES_MAX)))
                        compare_loss(&file, tables[t], depth, pooling, centred, 0);
            }
#ifdef WITH_CUDA
        st_close(&file);                                 /* the rest is not the table's doing */
        continue;
#endif
        if (depth == 16) {
            for (int spoil = 1; spoil <= 2 && !quick; spoil++) CHECK(compare_loss(&file, &ops_tiled, 16, FEATURES_MAX, 0, spoil), "planted error %d is not seen", spoil);
            test_errors(&file);
            test_bounds(&file);
        }
        st_close(&file);
    }
#ifdef WITH_CUDA
    (void)test_errors, (void)test_bounds, (void)test_builtin, (void)test_lbfgs;
    cuda_close();
#else
    test_lbfgs();
    test_builtin();
#endif
    return test_report("featurenet");
}
