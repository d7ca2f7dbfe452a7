/* bench.c: how fast, in figures anybody can reproduce with `make bench`. Never a pass/fail test.
 *   bench    CPU, per layer: naive and tiled, GFLOP/s, and the share of the multiply-add peak here
 *   bench serve [--device D] [--precision P]    one line of answer to each line of standard input,
 *            so that bench_torch.py can alternate it with PyTorch in one run:
 *     list                        the device, the compiler, the layers with their Conv, as JSON
 *     layer I PASS RUNG REPS      layer I, pass 0 forward, 1 grad input, 2 grad weight, REPS times:
 *                                 milliseconds of one. RUNG 0 the fast kernels of this precision;
 *                                 1 naive; cuda: 2 shared-memory tile, 3 register tile
 *     step RECIPE BATCH SIZE CHANNELS REPS [TAIL]    REPS training steps: milliseconds of one,
 *                                 peak memory in MB (cuda: the GPU's, without its context). TAIL
 *                                 as in ./train; 0 unless told: the documents' networks
 *     gram DEPTH SIZE REPS        REPS steps of gram.h on a picture of SIZE x SIZE, with VGG16's or
 *                                 VGG19's sizes, random weights
 *   A line that begins with "error" says what cannot be answered. The first asking allocates and
 *   warms up; that is not timed. */
#define IMAGES_IMPLEMENTATION
#define FEATURENET_IMPLEMENTATION
#include "gan.c"
#include "core/error.h"
#include "style/gram.h"
#ifdef _OPENMP
#include <omp.h>
#endif

/* Multiply-adds on registers alone, in as many independent chains as the tile has, on all cores at
 * once. Returns the best GFLOP/s of three tries. */
static double peak(void) {
    const long rounds = 10000000;
    int threads = 1;
    volatile float sink = 0, almost = 0.9f;
    double best = 0;
    for (int repeat = 0; repeat < 3; repeat++) {
        double begin = now();
        #pragma omp parallel
        {
            Vec acc[ROWS][VECS], m = almost - (Vec){0};
            for (int i = 0; i < ROWS; i++)       /* unlike, or the compiler computes one for all */
                for (int v = 0; v < VECS; v++) acc[i][v] = m * (almost + i * VECS + v);
            for (long r = 0; r < rounds; r++)
                for (int i = 0; i < ROWS; i++)
                    for (int v = 0; v < VECS; v++) acc[i][v] = acc[i][v] * m + m;
            for (int i = 0; i < ROWS; i++)
                for (int v = 0; v < VECS; v++) sink += acc[i][v][0];
#ifdef _OPENMP
            #pragma omp single
            threads = omp_get_num_threads();
#endif
        }
        double rate = 2.0 * ROWS * COLS * (double)rounds * threads / (now() - begin) * 1e-9;
        if (rate > best) best = rate;
    }
    (void)sink;                                 /* only written: so that the chains are computed */
    return best;
}

/* ---------------------------------------------------------------------------------- the device */

static int is_cuda(const Ops *ops) { return !strncmp(ops->name, "cuda", 4); }

/* waits for what the GPU has still to do; the CPU has always done what it was asked for */
static void finish(const Ops *ops) {
#ifdef WITH_CUDA
    if (is_cuda(ops)) cuda_synchronize();
#endif
    (void)ops;
}

/* the table for a rung of the ladder; NULL: this device has no such rung */
static const Ops *climb(const Ops *ops, int rung) {
#ifdef WITH_CUDA
    if (is_cuda(ops)) {
        cuda_ladder(rung);
        return rung >= 0 && rung <= 3 ? ops : NULL;
    }
#endif
    return rung == 0 ? ops : rung == 1 ? &ops_naive : NULL;
}

/* ---------------------------------------------------------------------------------- the layers */

typedef struct Layer { const char *name; Conv d; int transpose, cuda; } Layer;   /* cuda: a GPU's */

/* square pictures, padded so that the output's side is h / stride */
#define LISTED_LAYER(name, n, h, c, o, kernel, stride, transpose, cuda) { name, \
    { n, h, h, c, h / stride, h / stride, o, kernel, stride, (kernel - 1) / 2 }, transpose, cuda }
static const Layer list[] = {
    LISTED_LAYER("D28 conv 1->64 k5 s2", 64, 28, 1, 64, 5, 2, 0, 0),
    LISTED_LAYER("D28 conv 64->128 k5 s2", 64, 14, 64, 128, 5, 2, 0, 0),
    LISTED_LAYER("G28 transposed 128->64 k5 s2", 64, 14, 64, 128, 5, 2, 1, 0),
    LISTED_LAYER("G28 transposed 64->1 k5 s2", 64, 28, 1, 64, 5, 2, 1, 0),
    LISTED_LAYER("D64 conv 3->64 k4 s2", 64, 64, 3, 64, 4, 2, 0, 0),
    LISTED_LAYER("D64 conv 64->128 k4 s2", 64, 32, 64, 128, 4, 2, 0, 0),
    LISTED_LAYER("D64 conv 128->256 k4 s2", 64, 16, 128, 256, 4, 2, 0, 0),
    LISTED_LAYER("D64 conv 256->512 k4 s2", 64, 8, 256, 512, 4, 2, 0, 0),
    LISTED_LAYER("G64 transposed 512->256 k4 s2", 64, 8, 256, 512, 4, 2, 1, 0),
    LISTED_LAYER("G64 transposed 256->128 k4 s2", 64, 16, 128, 256, 4, 2, 1, 0),
    LISTED_LAYER("G64 transposed 128->64 k4 s2", 64, 32, 64, 128, 4, 2, 1, 0),
    LISTED_LAYER("G64 transposed 64->3 k4 s2", 64, 64, 3, 64, 4, 2, 1, 0),
    LISTED_LAYER("G64 transposed 512->256 k4 s2", 128, 8, 256, 512, 4, 2, 1, 1),
    LISTED_LAYER("G64 transposed 256->128 k4 s2", 128, 16, 128, 256, 4, 2, 1, 1),
    LISTED_LAYER("G64 transposed 128->64 k4 s2", 128, 32, 64, 128, 4, 2, 1, 1),
    LISTED_LAYER("G64 transposed 64->3 k4 s2", 128, 64, 3, 64, 4, 2, 1, 1),
    LISTED_LAYER("conv 64->64 k3 256x256", 1, 256, 64, 64, 3, 1, 0, 0),
    LISTED_LAYER("conv 128->128 k3 256x256", 1, 256, 128, 128, 3, 1, 0, 0),
    LISTED_LAYER("conv 256->256 k3 256x256", 1, 256, 256, 256, 3, 1, 0, 0),
    LISTED_LAYER("conv 64->64 k3 256x256", 4, 256, 64, 64, 3, 1, 0, 1),
    LISTED_LAYER("conv 128->128 k3 256x256", 4, 256, 128, 128, 3, 1, 0, 1),
    LISTED_LAYER("conv 256->256 k3 256x256", 4, 256, 256, 256, 3, 1, 0, 1),
};
enum { LISTED = sizeof list / sizeof *list };

/* multiplications and additions; taps that lie beside the picture do not count */
static double flops(const Conv *d) {
    long taps[2] = { 0, 0 };                    /* along the height, along the width */
    for (int axis = 0; axis < 2; axis++)
        for (int p = 0; p < (axis ? d->ow : d->oh); p++)
            for (int u = 0, i; u < d->kernel; u++)
                i = p * d->stride - d->pad + u, taps[axis] += i >= 0 && i < (axis ? d->w : d->h);
    return 2.0 * d->n * (double)taps[0] * (double)taps[1] * d->o * d->c;
}

/* A layer's numbers. Results go to a place of their own: gradients are added to what is there, and
 * what is added a thousand times must not be an input of the next measurement. */
typedef struct Tensors { real *x, *y, *w, *out; } Tensors;

static void release(const Ops *ops, Tensors *t) {
    real *all[] = { t->x, t->y, t->w, t->out };
    for (int i = 0; i < 4; i++)
        if (all[i]) ops->release(all[i]);
    memset(t, 0, sizeof *t);
}

static int prepare(const Ops *ops, Tensors *t, const Conv *d) {
    long nx = (long)d->n * d->h * d->w * d->c, ny = (long)d->n * d->oh * d->ow * d->o;
    long nw = (long)d->kernel * d->kernel * d->c * d->o, most = nx > ny ? nx : ny;
    t->x = ops->alloc(nx), t->y = ops->alloc(ny), t->w = ops->alloc(nw);
    t->out = ops->alloc(most > nw ? most : nw);
    if (!t->x || !t->y || !t->w || !t->out) {
        release(ops, t);
        return fail("not enough memory for the layer");
    }
    ops->random_normal(t->x, nx, 1, 1);
    ops->random_normal(t->y, ny, 1, 2);
    ops->random_normal(t->w, nw, 1, 3);
    return 1;
}

/* seconds of one pass, measured over `reps` of them */
static double time_pass(const Ops *ops, const Layer *l, const Tensors *t, int pass, long reps) {
    const Conv *d = &l->d;
    const real *in = l->transpose ? t->y : t->x, *dout = l->transpose ? t->x : t->y;
    int which = 2 * pass + (l->transpose != 0);
    finish(ops);
    double begin = now();
    for (long r = 0; r < reps; r++)
        switch (which) {
            case 0: ops->conv2d_forward(t->out, in, t->w, NULL, d); break;
            case 1: ops->conv2d_transpose_forward(t->out, in, t->w, NULL, d); break;
            case 2: ops->conv2d_backward_input(t->out, dout, t->w, d); break;
            case 3: ops->conv2d_transpose_backward_input(t->out, dout, t->w, d); break;
            case 4: ops->conv2d_backward_weight(t->out, in, dout, d); break;
            case 5: ops->conv2d_transpose_backward_weight(t->out, in, dout, d);
        }
    finish(ops);
    return (now() - begin) / (double)reps;
}

static double best_of(const Ops *ops, const Layer *l, const Tensors *t, int pass, double least) {
    double best = 1e9, spent = 0;
    for (int r = 0; r < 20 && (r < 1 || spent < least); r++) {
        double s = time_pass(ops, l, t, pass, 1);
        spent += s;
        if (s < best) best = s;
    }
    return best;
}

static void layers(void) {
    const char *pass_name[3] = { "forward", "grad input", "grad weight" };
    double top = peak();
    printf("multiply-add peak measured here: %.0f GFLOP/s; tile %d x %d. Operations are those of the "
           "definition;\nwhere core/winograd.h does with fewer, more than 100%% is possible.\n\n",
           top, ROWS, COLS);
    printf("| layer (batch 64; 256x256: 1) | pass | naive GFLOP/s | tiled GFLOP/s | tiled / naive "
           "| of peak |\n|---|---|---|---|---|---|\n");
    for (int i = 0; i < LISTED; i++) {
        Layer small = list[i];              /* the naive loop takes seconds: fewer images or rows */
        Tensors t = {0};
        if (list[i].cuda) continue;
        if (small.d.n > 2) small.d.n = 2;
        else small.d.h = small.d.oh = 32;
        while (flops(&small.d) > 2.5e9) small.d.h = small.d.oh /= 2;
        must(prepare(&ops_tiled, &t, &list[i].d));
        for (int pass = 0; pass < 3; pass++) {
            double fast = flops(&list[i].d) / best_of(&ops_tiled, &list[i], &t, pass, 0.5) * 1e-9;
            double slow = flops(&small.d) / best_of(&ops_naive, &small, &t, pass, 0.2) * 1e-9;
            printf("| %s | %s | %.2f | %.1f | %.0f | %.0f%% |\n", pass ? "" : list[i].name,
                   pass_name[pass], slow, fast, fast / slow, 100 * fast / top);
            fflush(stdout);
        }
        release(&ops_tiled, &t);
    }
    printf("\nmultiply-add peak measured again: %.0f GFLOP/s\n", peak());
}

/* --------------------------------------------------------------------------------------- serve */

/* peak resident memory of this process in MB (Linux; getrusage would report what the parent held
 * when it forked) */
static long peak_memory(void) {
    char line[256];
    long kb = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %ld", &kb) == 1) break;
    if (file) fclose(file);
    return kb / 1024;
}

static int answer_list(const Ops *ops) {
    const char *comma = "", *device = device_name(ops);
    printf("{\"device\": \"%s\", \"compiler\": \"%s\", \"layers\": [", device, __VERSION__);
    for (int i = 0; i < LISTED; i++) {
        const Conv *d = &list[i].d;
        if (list[i].cuda && !is_cuda(ops)) continue;
        printf("%s{\"i\": %d, \"name\": \"%s\", \"transpose\": %d, \"n\": %d, \"h\": %d, "
               "\"w\": %d, \"c\": %d, ", comma, i, list[i].name, list[i].transpose, d->n, d->h,
               d->w, d->c);
        printf("\"oh\": %d, \"ow\": %d, \"o\": %d, \"kernel\": %d, \"stride\": %d, \"pad\": %d, "
               "\"flops\": %.0f}", d->oh, d->ow, d->o, d->kernel, d->stride, d->pad, flops(d));
        comma = ", ";
    }
    printf("]}\n");
    return 1;
}

static int answer_layer(const Ops *ops, int i, int pass, int rung, long reps) {
    static Tensors t;                                     /* of the layer asked for last */
    static int held = -1, warm[4][3];
    if (i < 0 || i >= LISTED || pass < 0 || pass > 2 || rung < 0 || rung > 3 || reps < 1)
        return fail("no such layer, pass, rung or count");
    const Ops *table = climb(ops, rung);
    if (!table) return fail("no rung %d on %s", rung, device_name(ops));
    if (held != i) {
        release(ops, &t);
        held = -1;
        if (!prepare(ops, &t, &list[i].d)) return 0;
        held = i;
        memset(warm, 0, sizeof warm);
    }
    /* a GPU that another program has used since is first given back to this one */
    if (!warm[rung][pass]++ || is_cuda(ops)) time_pass(table, &list[i], &t, pass, 1);
    printf("%.6f\n", 1e3 * time_pass(table, &list[i], &t, pass, reps));
    return 1;
}

static int answer_step(const Ops *ops, const char *name, int batch, int size, int channels,
                       int tail, long reps) {
    static Gan gan;                                       /* of the configuration asked for last */
    static char held[100];
    static double gpu;                                    /* what it took of the GPU's memory */
    char wanted[160];
    Report report;
    const Recipe *recipe = recipe_find(name);
    if (!recipe || batch < 1 || size < 8 || size % recipe->multiple || channels < 1 ||
        channels > 4 || reps < 1)
        return fail("no such recipe, batch, size (a multiple of 4; style: 8), channels or count");
    climb(ops, 0);
    snprintf(wanted, sizeof wanted, "%s %d %d %d %d", name, batch, size, channels, tail);
    if (strcmp(held, wanted)) {
        long pixels = (long)batch * size * size;
        GanOptions o = recipe->defaults;
        if (*held) gan_free(&gan);
        *held = 0;
        o.batch = batch, o.size = size, o.channels = channels, o.seed = 1;
        o.tail = tail;
        double before = device_free_bytes(ops);
        gan_begin(&gan, recipe, &o, ops);
        if (!gan_finish(&gan)) return gan_free(&gan), fail("not enough memory for %s", wanted);
        ops->random_normal(gan.x_real, pixels * channels, 1, 9);
        ops->tanh_forward(gan.x_real, gan.x_real, pixels * channels);
        if (gan_content(&gan)) {
            ops->random_uniform(gan.content, pixels, 1, 10);
            ops->random_uniform(gan.mask, pixels, 1, 11);
        }
        gan_step(&gan, &report);                /* borrows all the memory that later steps need */
        gpu = before - device_free_bytes(ops);
        strcpy(held, wanted);
    }
    if (is_cuda(ops)) gan_step(&gan, &report);
    finish(ops);
    double begin = now();
    for (long r = 0; r < reps; r++) gan_step(&gan, &report);
    finish(ops);
    printf("%.6f %ld\n", 1e3 * (now() - begin) / (double)reps,
           is_cuda(ops) ? (long)(gpu / 1048576) : peak_memory());
    return 1;
}

/* A file of VGG's weights in memory: random numbers in torchvision's shapes, up to relu5_1; count:
 * tensors */
static StTensor *random_vgg(int depth, int *count) {
    static StTensor list[32];
    static char names[32][32];
    int torch = 0, in = 3;
    *count = 0;
    for (int block = 0; block < 5; block++, torch++) {
        int convs = block < 2 ? 2 : block == 4 ? 1 : depth == 19 ? 4 : 3;
        for (int i = 0; i < convs; i++, torch += 2) {
            int out = block < 3 ? 64 << block : 512;
            long n = 9L * in * out;
            float *w = calloc((size_t)(n + out), sizeof *w);
            if (!w) return NULL;
            ops_naive.random_normal(w, n, 1, (uint64_t)torch);
            ops_naive.scale(w, (float)sqrt(2.0 / (9 * in)), n);
            for (int bias = 0; bias < 2; bias++, ++*count) {
                snprintf(names[*count], sizeof names[0], "features.%d.%s", torch,
                         bias ? "bias" : "weight");
                list[*count] = (StTensor){ names[*count], "F32", bias ? 1 : 4, { out, in, 3, 3 },
                                           bias ? w + n : w, sizeof *w * (size_t)(bias ? out : n) };
            }
            in = out;
        }
    }
    return list;
}

static int answer_gram(const Ops *ops, int depth, int size, long reps) {
    static Gram g;                                        /* of the configuration asked for last */
    static GramOptions o;
    static StFile file;
    static GramStep at;
    static int held;
    static real *m, *v;
    static double gpu;
    int wanted = 1000 * size + depth;
    long n = 3L * size * size;
    if ((depth != 16 && depth != 19) || size < 16 || reps < 1 || (held && held != wanted))
        return fail("expected VGG16 or 19, a size from 16 up, one of each to a process");
    if (!held) {
        Image picture;
        double before = device_free_bytes(ops);
        o = gram_defaults(depth), o.weights = &file;
        file.tensors = random_vgg(depth, &file.count);
        m = ops->alloc(n), v = ops->alloc(n);
        if (!file.tensors || !m || !v || !image_new(&picture, size, size, 3))
            return fail("not enough memory");
        ops_naive.random_normal(picture.pixels, n, 1, 12);
        ops_naive.tanh_forward(picture.pixels, picture.pixels, n);
        must(gram_check(&g, &o, ops) && gram_targets(&g, &(Styles){ &picture, NULL, 1 }, size));
        must(gram_begin(&g, &picture));
        ops->random_normal(g.picture->y, n, 1, 13);
        gram_loss(&g, &at, 0);                  /* borrows all the memory that later steps need */
        gpu = before - device_free_bytes(ops);
        held = wanted;
    }
    finish(ops);
    double begin = now();
    for (long r = 0; r < reps; r++) {
        gram_loss(&g, &at, 0);
        ops->adam_step(g.picture->y, m, v, g.picture->dy, n, 1e-3f, 0.9f, 0.999f, 1e-8f, r + 1);
    }
    finish(ops);
    printf("%.6f %ld\n", 1e3 * (now() - begin) / (double)reps,
           is_cuda(ops) ? (long)(gpu / 1048576) : peak_memory());
    return 1;
}

static void serve(int device, int precision) {
    const Ops *ops = device_open(device, precision);
    char line[200], name[100];
    int a, b, c, tail, good;
    long n;
    must(ops != NULL);
    while (tail = 0, fgets(line, sizeof line, stdin)) {
        if (!strcmp(line, "list\n")) good = answer_list(ops);
        else if (sscanf(line, "layer %d %d %d %ld", &a, &b, &c, &n) == 4)
            good = answer_layer(ops, a, b, c, n);
        else if (sscanf(line, "step %99s %d %d %d %ld %d", name, &a, &b, &c, &n, &tail) >= 5)
            good = answer_step(ops, name, a, b, c, tail, n);
        else if (sscanf(line, "gram %d %d %ld", &a, &b, &n) == 3) good = answer_gram(ops, a, b, n);
        else good = fail("expected list, layer I PASS RUNG REPS, step RECIPE BATCH SIZE CHANNELS "
                         "REPS [TAIL] or gram DEPTH SIZE REPS");
        if (!good) printf("error: %s\n", error_text());
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    int device, precision;
    Option table[] = {
        WORD_OPTION("--device", &device, DEVICE_WORDS, "cpu", 0, ""),
        WORD_OPTION("--precision", &precision, PRECISION_WORDS, "float32", 0, ""),
        END_OF_OPTIONS };
    error_program("bench", 0, NULL);
    if (argc > 1 && strcmp(argv[1], "serve"))
        die(1, "usage: bench, or bench serve [--device cpu|naive|cuda|auto] [--precision float32|tf32|bf16]");
    if (argc == 1) layers();
    else options_parse(table, argc - 1, argv + 1), serve(device, precision);
    return 0;
}
