/* bench.c: how fast, in figures anybody can reproduce with `make bench`. Never a pass/fail test.
 *   bench            per layer: naive and tiled, GFLOP/s, and the share of the multiply-add peak measured here
 *   bench step       trains dcgan, batch 64: one step for every line on standard input, its milliseconds on standard output
 *                    (bench_torch.py alternates these steps with PyTorch's) */
#include "../gan.c"
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#endif

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Multiply-adds on registers alone: twelve independent chains per core hide the latency of each. Returns GFLOP/s of all threads. */
static double peak(void) {
    enum { CHAINS = 12 };
    const long rounds = 20000000;
    int threads = 1;
    volatile float sink = 0, almost = 0.9f;
    double best = 0;
    for (int repeat = 0; repeat < 3; repeat++) {
        double begin = now();
        #pragma omp parallel
        {
            Vec acc[CHAINS], m = almost - (Vec){0};
            for (int i = 0; i < CHAINS; i++) acc[i] = m;
            for (long r = 0; r < rounds; r++)
                for (int i = 0; i < CHAINS; i++) acc[i] = acc[i] * m + m;
            for (int i = 0; i < CHAINS; i++) sink += acc[i][0];
#ifdef _OPENMP
            #pragma omp single
            threads = omp_get_num_threads();
#endif
        }
        double rate = 2.0 * CHAINS * LANES * (double)rounds * threads / (now() - begin) * 1e-9;
        if (rate > best) best = rate;
    }
    return best;
}

typedef struct Layer { const char *name; Conv d; int transpose; } Layer;

static double time_pass(const Ops *ops, const Layer *l, int pass, float *x, float *y, float *w, double least) {
    double best = 1e9, spent = 0;
    for (int r = 0; r < 20 && (r < 1 || spent < least); r++) {
        double begin = now();
        if (pass == 0) (l->transpose ? ops->conv2d_transpose_forward : ops->conv2d_forward)(l->transpose ? x : y, l->transpose ? y : x, w, NULL, &l->d);
        if (pass == 1) (l->transpose ? ops->conv2d_transpose_backward_input : ops->conv2d_backward_input)(l->transpose ? y : x, l->transpose ? x : y, w, &l->d);
        if (pass == 2) (l->transpose ? ops->conv2d_transpose_backward_weight : ops->conv2d_backward_weight)(w, l->transpose ? y : x, l->transpose ? x : y, &l->d);
        double t = now() - begin;
        spent += t;
        if (t < best) best = t;
    }
    return best;
}

static void layers(void) {
    static const Layer list[] = {
        { "D28 conv 1->64 k5 s2", { 64, 28, 28, 1, 14, 14, 64, 5, 2, 2 }, 0 },
        { "D28 conv 64->128 k5 s2", { 64, 14, 14, 64, 7, 7, 128, 5, 2, 2 }, 0 },
        { "G28 transposed 128->64 k5 s2", { 64, 14, 14, 64, 7, 7, 128, 5, 2, 2 }, 1 },
        { "G28 transposed 64->1 k5 s2", { 64, 28, 28, 1, 14, 14, 64, 5, 2, 2 }, 1 },
        { "D64 conv 3->64 k4 s2", { 64, 64, 64, 3, 32, 32, 64, 4, 2, 1 }, 0 },
        { "D64 conv 64->128 k4 s2", { 64, 32, 32, 64, 16, 16, 128, 4, 2, 1 }, 0 },
        { "D64 conv 128->256 k4 s2", { 64, 16, 16, 128, 8, 8, 256, 4, 2, 1 }, 0 },
        { "D64 conv 256->512 k4 s2", { 64, 8, 8, 256, 4, 4, 512, 4, 2, 1 }, 0 },
        { "conv 64->64 k3 256x256", { 1, 256, 256, 64, 256, 256, 64, 3, 1, 1 }, 0 },
        { "conv 128->128 k3 256x256", { 1, 256, 256, 128, 256, 256, 128, 3, 1, 1 }, 0 },
    };
    const char *pass_name[3] = { "forward", "grad input", "grad weight" };
    double top = peak();
    printf("multiply-add peak measured here: %.0f GFLOP/s; tile %d x %d\n\n", top, ROWS, COLS);
    printf("| layer (batch 64; 256x256: 1) | pass | naive GFLOP/s | tiled GFLOP/s | tiled / naive | of peak |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        const Conv *d = &list[i].d;
        long nx = (long)d->n * d->h * d->w * d->c, ny = (long)d->n * d->oh * d->ow * d->o, nw = (long)d->kernel * d->kernel * d->c * d->o;
        float *x = ops_tiled.alloc(nx), *y = ops_tiled.alloc(ny), *w = ops_tiled.alloc(nw);
        Layer small = list[i];                            /* the naive loop takes seconds: measure it on fewer images or rows */
        if (small.d.n > 2) small.d.n = 2;
        else small.d.h = small.d.oh = 32;
        double flops = 2.0 * (double)ny * d->kernel * d->kernel * d->c;
        double small_flops = flops * small.d.n / d->n * small.d.oh / d->oh;
        if (!x || !y || !w) { fprintf(stderr, "bench: not enough memory\n"); exit(1); }
        ops_tiled.random_normal(x, nx, 1, 1);
        ops_tiled.random_normal(y, ny, 1, 2);
        ops_tiled.random_normal(w, nw, 1, 3);
        for (int pass = 0; pass < 3; pass++) {
            double fast = flops / time_pass(&ops_tiled, &list[i], pass, x, y, w, 0.5) * 1e-9;
            double slow = small_flops / time_pass(&ops_naive, &small, pass, x, y, w, 0.2) * 1e-9;
            printf("| %s | %s | %.2f | %.1f | %.0f | %.0f%% |\n", pass ? "" : list[i].name, pass_name[pass], slow, fast, fast / slow, 100 * fast / top);
            fflush(stdout);
        }
        ops_tiled.release(x), ops_tiled.release(y), ops_tiled.release(w);
    }
}

/* peak resident memory of this process in MB (Linux; getrusage would report what the parent held when it forked) */
static long peak_memory(void) {
    char line[256];
    long kb = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %ld", &kb) == 1) break;
    if (file) fclose(file);
    return kb / 1024;
}

static void steps(void) {
    Gan gan;
    Report report;
    GanOptions o = recipe_find("dcgan")->defaults;
    char line[16];
    o.channels = 1, o.seed = 1;
    gan_begin(&gan, recipe_find("dcgan"), &o, &ops_tiled);
    if (!gan_finish(&gan)) { fprintf(stderr, "bench: not enough memory\n"); exit(1); }
    ops_tiled.random_normal(gan.images, 64 * 28 * 28, 1, 9);
    ops_tiled.tanh_forward(gan.images, gan.images, 64 * 28 * 28);
    while (fgets(line, sizeof line, stdin)) {
        double begin = now();
        gan_step(&gan, &report);
        double ms = 1e3 * (now() - begin);
        printf("%.4f %ld\n", ms, peak_memory());
        fflush(stdout);
    }
    gan_free(&gan);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "step")) steps();
    else layers();
    return 0;
}
