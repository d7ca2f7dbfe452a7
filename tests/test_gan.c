/* test_gan.c: what a training run promises, in float, on small pictures.
 *
 *   The same bits for any number of threads; after save and resume; for training with and without samples in between.
 *   The naive and the tiled table train alike. A checkpoint that does not fit is refused by name.
 *   Inference shares memory between activations and computes the same bits. Memory is what net_bytes says.
 *   A large picture painted in pieces is the one painted at once.
 *   The host never touches the memory of the table, which may be a GPU's.
 * With TEST_QUICK in the environment (sanitizers are slow) there is less of everything. */
#include "gan.h"
#include "style/large.h"
#include "validation/recipe_inputs.h"
#include "core/checkpoint.h"
#include "core/tiled.h"
#include "test.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

static char folder[200];                              /* of the files that this test writes */

static const char *file_in_folder(const char *name) {
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void set_threads(int n) {
#ifdef _OPENMP
    omp_set_num_threads(n);
#else
    (void)n;
#endif
}

/* ------------------------------------------------------------------------------------------------- training runs */

static void begin(Gan *gan, const char *recipe, int batch, int size, const Ops *ops) {
    GanOptions o = recipe_inputs_options(recipe, batch, size);
    gan_begin(gan, recipe_find(recipe), &o, ops);
    if (!gan_finish(gan)) {
        printf("test_gan: not enough memory\n");
        exit(1);
    }
}

static void train(Gan *gan, int steps, Report *reports) {
    for (int i = 0; i < steps; i++) {
        recipe_inputs(gan, (uint64_t)gan->step);
        gan_step(gan, &reports[i]);
    }
}

static int same_net(const Net *a, const Net *b) {
    size_t p = (size_t)a->parameters * sizeof(real), s = (size_t)a->buffers * sizeof(real);
    return a->parameters == b->parameters && a->buffers == b->buffers && a->adam_steps == b->adam_steps
        && !memcmp(a->p, b->p, p) && (!a->m || (!memcmp(a->m, b->m, p) && !memcmp(a->v, b->v, p)))
        && !memcmp(a->buffer, b->buffer, s);
}

/* All that a run carries from one step to the next, bit for bit */
static int same_state(const Gan *a, const Gan *b) {
    int same = a->step == b->step;
    for (int i = 0; gan_net(a, i); i++) same = same && same_net(gan_net(a, i), gan_net(b, i));
    for (int i = 0; i < a->buffers; i++)
        same = same && (!a->buffer[i].name || !memcmp(*a->buffer[i].at, *b->buffer[i].at, (size_t)a->buffer[i].count * sizeof(real)));
    return same;
}

static const struct { const char *recipe; const Ops *ops; int batch, size, quick_size; } runs[] = {
    { "dcgan", &ops_naive, 5, 8, 4 }, { "dcgan", &ops_tiled, 9, 28, 8 },
    { "style", &ops_naive, 3, 16, 8 }, { "style", &ops_tiled, 3, 32, 8 },
    { "mlp", &ops_tiled, 3, 16, 8 }, { "dcgan64", &ops_tiled, 3, 32, 16 }, { "lsgan", &ops_tiled, 4, 16, 8 },
    { "hinge", &ops_tiled, 3, 16, 8 }, { "wgan", &ops_tiled, 3, 16, 8 }, { "wgan-gp", &ops_tiled, 3, 16, 8 }, { "r3gan", &ops_tiled, 3, 16, 8 },
    { "cgan", &ops_tiled, 3, 16, 8 }, { "pattern", &ops_tiled, 4, 16, 8 }, { "adain", &ops_tiled, 3, 32, 16 }, { "features", &ops_tiled, 3, 32, 16 },
};
enum { RUNS = sizeof runs / sizeof *runs, STEPS = 3 };
static int quick;

/* The side of small pictures for a recipe: nothing here depends on it. LONG=1: larger ones (but not 16, where rounding
 * turns the sign of a number in dcgan's D, so that its slope is another) */
static int side(const char *name) {
    int multiple = recipe_find(name)->multiple;
    return multiple > 8 || (multiple == 8 && strcmp(name, "style")) ? 16 : at_length() ? 24 : 8;
}

/* under the sanitizers, which are slow, one recipe of each kind. adain, whose encoder takes most of the time, is left to
 * watched.sh. */
static int left_out(const char *name) {
    static const char *const kinds[] = { "dcgan", "style", "vaegan" };
    int kept = !quick;
    for (int i = 0; i < 3; i++) kept |= !strcmp(kinds[i], name);
    return !kept;
}

static void test_threads(void) {
    for (int i = 0; i < RUNS; i++) {
        if (left_out(runs[i].recipe)) continue;
        Gan one;
        Report want[STEPS], got[STEPS];
        int size = quick ? runs[i].quick_size : runs[i].size;
        set_threads(1);
        begin(&one, runs[i].recipe, runs[i].batch, size, runs[i].ops);
        train(&one, STEPS, want);
        for (int threads = quick || at_length() ? 2 : 3; threads <= 3 - quick; threads++) {
            Gan many;
            set_threads(threads);
            begin(&many, runs[i].recipe, runs[i].batch, size, runs[i].ops);
            train(&many, STEPS, got);
            CHECK(same_state(&one, &many), "%s, %s: %d threads compute other parameters than one", runs[i].recipe,
                  runs[i].ops->name, threads);
            CHECK(!memcmp(want, got, sizeof want), "%s, %s: %d threads report other losses than one", runs[i].recipe,
                  runs[i].ops->name, threads);
            uint32_t bits;
            real *last = &many.g.v[many.g.parameters - 1];
            memcpy(&bits, last, 4), bits ^= 1, memcpy(last, &bits, 4);
            CHECK(!same_state(&one, &many), "one wrong bit is not seen");
            gan_free(&many);
        }
        for (int s = 0; s < STEPS; s++)
            CHECK(isfinite(want[s].loss_d + want[s].loss_g + want[s].norm_d + want[s].norm_g + want[s].batch_std),
                  "%s, %s: step %d reports numbers that are not finite", runs[i].recipe, runs[i].ops->name, s);
        gan_free(&one);
    }
    set_threads(1);
}

/* The two tables sum in different orders: their first losses differ by float's rounding only. (Later steps drift apart:
 * Adam divides by sqrt(v), so where a gradient is near zero its rounding decides the sign of a full step. A critic takes five
 * of them before G's loss: at a rate of at most 1e-4.) */
static void test_tables(void) {
    for (int i = 0; recipes[i].name; i++) {
        if (left_out(recipes[i].name)) continue;
        Gan naive, tiled;
        Report a, b;
        begin(&naive, recipes[i].name, 3, side(recipes[i].name), &ops_naive);
        begin(&tiled, recipes[i].name, 3, side(recipes[i].name), &ops_tiled);
        naive.options.lr = tiled.options.lr = fmin(naive.options.lr, 1e-4);
        train(&naive, 1, &a), train(&tiled, 1, &b);
        const struct { const char *name; double want, got, rtol; } numbers[] = {
            { "loss_d", a.loss_d, b.loss_d, 1e-6 }, { "loss_g", a.loss_g, b.loss_g, 1e-5 },     /* after D's update */
            { "d_real", a.d_real, b.d_real, 1e-6 }, { "d_fake", a.d_fake, b.d_fake, 1e-6 },
            { "norm_d", a.norm_d, b.norm_d, 1e-5 }, { "norm_g", a.norm_g, b.norm_g, 1e-4 },
            { "part 0", a.part[0], b.part[0], 1e-5 }, { "part 1", a.part[1], b.part[1], 1e-5 },
            { "part 2", a.part[2], b.part[2], 1e-5 }, { "part 3", a.part[3], b.part[3], 1e-5 }, { "batch_std", a.batch_std, b.batch_std, 1e-5 },
        };
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
            CLOSE(numbers[k].got, numbers[k].want, 0, numbers[k].rtol, "%s: the tables' %s", recipes[i].name, numbers[k].name);
        gan_free(&naive), gan_free(&tiled);
    }
}

/* ----------------------------------------------------------------------------------------------------- checkpoints */

static void test_resume(void) {
    enum { N = 2, M = 2 };
    for (int i = 0; recipes[i].name; i++) {
        if (left_out(recipes[i].name)) continue;
        Gan whole, first, second;
        Report want[N + M], got[N + M];
        char path[300];
        snprintf(path, sizeof path, "%s", file_in_folder("resume.safetensors"));
        begin(&whole, recipes[i].name, 2, side(recipes[i].name), &ops_tiled);
        train(&whole, N + M, want);
        begin(&first, recipes[i].name, 2, side(recipes[i].name), &ops_tiled);
        train(&first, N, got);
        CHECK(gan_save(&first, path, &(StMeta){ "note", "half way" }, 1), "%s", error_text());
        begin(&second, recipes[i].name, 2, side(recipes[i].name), &ops_tiled);
        train(&second, 1, got + N);                                  /* it has been elsewhere before */
        CHECK(!same_state(&first, &second), "%s: one step and two give the same", recipes[i].name);
        CHECK(gan_load(&second, path), "%s", error_text());
        CHECK(same_state(&first, &second), "%s: what is loaded is not what was saved", recipes[i].name);
        train(&second, M, got + N);
        CHECK(same_state(&whole, &second), "%s: %d + %d steps are not %d", recipes[i].name, N, M, N + M);
        CHECK(!memcmp(want, got, sizeof want), "%s: a resumed run reports other losses", recipes[i].name);
        CHECK(gan_load(&second, path), "%s", error_text());
        second.step++;                                               /* planted: another z, other pictures */
        train(&second, M, got + N);
        second.step--;
        CHECK(!same_state(&whole, &second), "%s: a run that resumes at the wrong step is not seen", recipes[i].name);

        StFile file;
        CHECK(st_open(&file, path), "%s", error_text());
        CHECK(!strcmp(st_meta(&file, "note"), "half way") && !strcmp(st_meta(&file, "step"), "2")
              && !strcmp(st_meta(&file, "recipe"), recipes[i].name), "%s: the checkpoint's metadata", recipes[i].name);
        st_close(&file);
        unlink(path);
        gan_free(&whole), gan_free(&first), gan_free(&second);
    }
}

/* Writes a copy of a checkpoint in which the tensor `name` is missing, or (other_type) holds integers. */
static void save_damaged(const char *from, const char *to, const char *name, int other_type) {
    StFile file;
    int kept = 0;
    CHECK(st_open(&file, from), "%s", error_text());
    for (int i = 0; i < file.count; i++) {
        int is = !strcmp(file.tensors[i].name, name);
        if (is && !other_type) continue;
        file.tensors[kept] = file.tensors[i];
        if (is) file.tensors[kept].dtype = "I32";
        kept++;
    }
    CHECK(st_write(to, file.tensors, kept, file.meta, file.metas), "%s", error_text());
    st_close(&file);
}

/* Copies all but the last `missing` bytes of a file. */
static void save_truncated(const char *from, const char *to, long missing) {
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    if (!in || !out) exit(1);
    fseek(in, 0, SEEK_END);
    long size = ftell(in) - missing;
    rewind(in);
    for (long i = 0; i < size; i++) putc(getc(in), out);
    fclose(in), fclose(out);
}

/* Loading this file must fail, say where (path) and what, and leave the networks as they are. */
static void check_refused(Gan *gan, Gan *twin, const char *path, const char *what, const char *case_) {
    CHECK(!gan_load(gan, path), "%s: loaded without complaint", case_);
    CHECK(!strncmp(error_text(), path, strlen(path)), "%s: the message does not begin with the path: %s", case_,
          error_text());
    CHECK(strstr(error_text(), what), "%s: the message does not name %s: %s", case_, what, error_text());
    CHECK(!strchr(error_text(), '\n'), "%s: the message is not one line", case_);
    if (twin) CHECK(same_state(gan, twin), "%s: the networks have changed", case_);
}

static void test_load_errors(void) {
    Gan gan, twin, other;
    Report report;
    char good[300], bad[300];
    snprintf(good, sizeof good, "%s", file_in_folder("good.safetensors"));
    snprintf(bad, sizeof bad, "%s", file_in_folder("bad.safetensors"));
    begin(&gan, "dcgan", 2, 8, &ops_tiled);
    begin(&twin, "dcgan", 2, 8, &ops_tiled);
    train(&gan, 1, &report), train(&twin, 1, &report);

    begin(&other, "dcgan", 3, 8, &ops_tiled);                        /* another batch size: no tensor depends on it */
    CHECK(gan_save(&other, good, NULL, 0), "%s", error_text());
    CHECK(gan_load(&gan, good) && gan.step == 0 && same_net(&gan.g, &other.g), "another batch size: %s", error_text());
    gan_free(&other);
    CHECK(gan_save(&twin, good, NULL, 0), "%s", error_text());
    CHECK(gan_load(&gan, good) && same_state(&gan, &twin), "%s", error_text());
    train(&gan, 1, &report), train(&twin, 1, &report);               /* now the file holds other numbers than they do */

    check_refused(&gan, &twin, file_in_folder("none.safetensors"), "none.safetensors", "no file");
    begin(&other, "dcgan", 2, 12, &ops_tiled);
    CHECK(gan_save(&other, bad, NULL, 0), "%s", error_text());
    check_refused(&gan, &twin, bad, "'g.1.dense.weight' is 100x1152, the recipe needs 100x512", "another picture size");
    StFile file;
    CHECK(st_open(&file, bad), "%s", error_text());
    CHECK(!net_load(&gan.g, &file, bad, "dcgan") && strstr(error_text(), "g.1.dense.weight") && strstr(error_text(), bad),
          "net_load, another picture size: %s", error_text());
    CHECK(net_load(&other.g, &file, bad, "dcgan"), "net_load: %s", error_text());
    st_close(&file);
    gan_free(&other);
    begin(&other, "style", 2, 8, &ops_tiled);
    CHECK(gan_save(&other, bad, NULL, 0), "%s", error_text());
    check_refused(&gan, &twin, bad, "--recipe style, expected a checkpoint of --recipe dcgan", "another recipe");
    check_refused(&other, NULL, good, "--recipe dcgan, expected a checkpoint of --recipe style", "another recipe");
    gan_free(&other);
    CHECK(st_write(bad, NULL, 0, NULL, 0), "%s", error_text());
    check_refused(&gan, &twin, bad, "not a checkpoint of ours", "an empty file of the right format");
    for (long missing = 1; missing < 3000000; missing *= 40) {
        save_truncated(good, bad, missing);
        check_refused(&gan, &twin, bad, "expected", "a truncated file");
    }
    static const char *const names[] = { "g.1.dense.weight", "g.3.batchnorm.running_var", "d.5.dense.bias",
                                         "d.adam_v" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int other_type = 0; other_type < 2; other_type++) {
            save_damaged(good, bad, names[i], other_type);
            check_refused(&gan, &twin, bad, names[i], other_type ? "a tensor of another type" : "a missing tensor");
        }
    CHECK(gan_load(&gan, good) && gan.step == 1, "the good one after all of these: %s", error_text());
    CHECK(!gan_save(&gan, file_in_folder("no/such/folder.safetensors"), NULL, 0), "saved where no folder is");
    CHECK(strstr(error_text(), "no/such/folder"), "a folder that is not there: %s", error_text());
    unlink(good), unlink(bad);
    gan_free(&gan), gan_free(&twin);
}

/* Whatever learns begins with weights by lot, no two networks alike. Zeros would look like a network, and never learn.
 * (cloth's palette, its last layer, begins as the colours of its style, here a diagonal; its directions are drawn in each step.) */
static void test_first_weights(void) {
    for (int r = 0; recipes[r].name; r++) {
        Gan gan;
        NetTensor t;
        begin(&gan, recipes[r].name, 2, side(recipes[r].name), &ops_naive);
        for (int k = 0; gan_net(&gan, k); k++) {
            const Net *net = gan_net(&gan, k), *before = k ? gan_net(&gan, k - 1) : NULL;
            if (!(net->training & NET_WEIGHTS) && !strcmp(net->name, "patches")) continue;
            for (int i = 0; net->parameters && net_tensor(net, i, &t); i++) {
                int zeros = 0;
                if (!strcmp(recipes[r].name, "cloth") && t.count == 9) continue;
                for (long j = 0; j < t.count; j++) zeros += !(t.in_buffer ? net->buffer : net->p)[t.offset + j];
                CHECK(zeros == (t.rank == 1 && (strstr(t.name, "bias") || strstr(t.name, "beta") || strstr(t.name, "mean")) ? t.count : 0)
                      || strstr(t.name, ".bias"), "%s, %s: %d zeros of %ld", recipes[r].name, t.name, zeros, t.count);
            }
            CHECK(!before || before->parameters != net->parameters || !net->parameters || memcmp(before->p, net->p, (size_t)net->parameters * sizeof(real)),
                  "%s: two networks begin alike", recipes[r].name);
        }
        gan_free(&gan);
    }
}

/* options.ema: what pictures are made with is the moving average, worked out here once more; what is trained is not touched by it */
static void test_average(void) {
    enum { N = 5 };
    Gan plain, averaged;
    Report report;
    GanOptions o = recipe_inputs_options("dcgan", 2, 8);
    o.ema = 0.6;
    gan_begin(&averaged, recipe_find("dcgan"), &o, &ops_tiled), gan_finish(&averaged);
    o.ema = 0;
    gan_begin(&plain, recipe_find("dcgan"), &o, &ops_tiled), gan_finish(&plain);
    long n = plain.g.parameters, each = 2 * 8 * 8;
    double *want = malloc((size_t)n * sizeof *want), worst = 0;
    real one[2 * 8 * 8], other[2 * 8 * 8];
    for (long i = 0; i < n; i++) want[i] = plain.g.p[i];
    for (int k = 0; k < N; k++) {
        double a = fmin(0.6, (1. + k) / (10. + k));
        recipe_inputs(&plain, (uint64_t)k), recipe_inputs(&averaged, (uint64_t)k);
        gan_step(&plain, &report), gan_step(&averaged, &report);
        for (long i = 0; i < n; i++) want[i] = a * want[i] + (1 - a) * plain.g.p[i];
    }
    CHECK(same_net(&plain.g, &averaged.g), "an average changes the training");
    for (long i = 0; i < n; i++) worst = fmax(worst, fabs(averaged.ema[i] - want[i]) / (fabs(want[i]) + 1e-3));
    CHECK(worst <= N * 1e-6, "the moving average is wrong by %g", worst);                  /* a few roundings of float32 each step */
    gan_sample(&averaged, 0, one), gan_sample(&plain, 0, other);
    CHECK(memcmp(one, other, sizeof one), "pictures are not made with the average");
    ops_tiled.copy(plain.g.p, averaged.ema, n);
    gan_sample(&plain, 0, other);
    CHECK(!memcmp(one, other, sizeof one), "pictures of %ld numbers are not those of the average", each);
    free(want);
    gan_free(&plain), gan_free(&averaged);
}

/* Every parameter and every running statistic is in exactly one tensor, and no two tensors have the same name. */
static void test_tensors(void) {
    for (int r = 0; recipes[r].name; r++) {
        if (left_out(recipes[r].name)) continue;
        Gan gan;
        GanOptions o = recipe_inputs_options(recipes[r].name, 2, side(recipes[r].name));
        gan_begin(&gan, &recipes[r], &o, &ops_naive);
        for (int k = 0; gan_net(&gan, k); k++) {
            const Net *net = gan_net(&gan, k);
            char *covered = calloc((size_t)(net->parameters + net->buffers), 1);
            NetTensor t, u;
            for (int i = 0; net_tensor(net, i, &t); i++) {
                long product = 1, start = (t.in_buffer ? net->parameters : 0) + t.offset;
                for (int j = 0; j < t.rank; j++) product *= t.shape[j];
                CHECK(product == t.count, "%s: the shape holds %ld, not %ld", t.name, product, t.count);
                CHECK(t.offset >= 0 && t.offset + t.count <= (t.in_buffer ? net->buffers : net->parameters),
                      "%s lies outside its block", t.name);
                for (long j = 0; j < t.count; j++) covered[start + j]++;
                for (int j = 0; j < i && net_tensor(net, j, &u); j++)
                    CHECK(strcmp(t.name, u.name), "two tensors '%s'", t.name);
                CHECK(!strncmp(t.name, net->name, strlen(net->name)) && t.name[strlen(net->name)] == '.', "'%s' does not begin with its network", t.name);
            }
            long wrong = 0;
            for (long j = 0; j < net->parameters + net->buffers; j++) wrong += covered[j] != 1;
            CHECK(!wrong, "%s, %s: %ld numbers are not in exactly one tensor", recipes[r].name, net->name, wrong);
            free(covered);
        }
        gan_free(&gan);
    }
}

/* ------------------------------------------------------------------------------------------------------- inference */

/* a and b describe the same network. a keeps every activation, b shares memory: do the nodes that nobody reads come out
 * with the same bits? The caller fills ALL inputs before the walk: none may lie where a node before it writes. */
static int same_inference(Net *a, Net *b) {
    int read[NET_MAX_NODES] = {0}, same = 1;
    if (!net_finish(a, 1) || !net_finish(b, 0)) exit(1);
    net_initialize(a, 3, 0, 1), net_initialize(b, 3, 0, 1);
    a->ops->random_uniform(a->buffer, a->buffers, 4, 0);             /* running statistics that are not 0 and 1 */
    b->ops->random_uniform(b->buffer, b->buffers, 4, 0);
    for (int i = 0; i < a->nodes; i++) {
        Node *x = &a->node[i], *y = &b->node[i];
        long n = (long)x->n * x->h * x->w * x->c;
        if (x->a >= 0) read[x->a] = 1;
        if (x->b >= 0) read[x->b] = 1;
        if (x->a >= 0) continue;
        a->ops->random_normal(x->y, n, 6, (uint64_t)i), b->ops->random_normal(y->y, n, 6, (uint64_t)i);
    }
    net_forward(a, 0), net_forward(b, 0);
    for (int i = 0; i < a->nodes; i++) {
        Node *x = &a->node[i];
        long n = (long)x->n * x->h * x->w * x->c;
        if (!read[i] && memcmp(x->y, b->node[i].y, (size_t)n * sizeof(real))) same = 0;
    }
    return same;
}

static void test_inference_of_recipes(void) {
    static const int sizes[][3] = { { 1, 8, 8 }, { 2, 24, 40 }, { 1, 40, 24 }, { 3, 16, 16 } };
    for (size_t i = 0; i < (quick ? 2 : sizeof sizes / sizeof *sizes); i++) {
        Gan a = { .ops = &ops_tiled, .options.channels = 3 }, b = a;
        style_generator(&a, sizes[i][0], sizes[i][1], sizes[i][2]);
        style_generator(&b, sizes[i][0], sizes[i][1], sizes[i][2]);
        CHECK(same_inference(&a.g, &b.g), "style generator, %dx%d: shared memory gives other bits", sizes[i][1],
              sizes[i][2]);
        CHECK(3 * b.g.activations < a.g.activations, "style generator, %dx%d: %ld reals for inference, %ld for training",
              sizes[i][1], sizes[i][2], b.g.activations, a.g.activations);
        net_free(&a.g), net_free(&b.g);
    }
    for (int size = 4; size <= 28; size += 8) {
        Gan a, b;
        GanOptions o = recipe_inputs_options("dcgan", 3, size);
        gan_begin(&a, recipe_find("dcgan"), &o, &ops_tiled), gan_begin(&b, recipe_find("dcgan"), &o, &ops_tiled);
        CHECK(same_inference(&a.g, &b.g), "dcgan's generator, size %d: shared memory gives other bits", size);
        CHECK(same_inference(&a.d, &b.d), "dcgan's discriminator, size %d: shared memory gives other bits", size);
        gan_free(&a), gan_free(&b);
    }
}

/* Nodes thrown together by the dice, every picture 4x4x3, each reading any picture before it */
static void random_network(Net *net, uint64_t seed) {
    int picture[40], n = 0;
    net_begin(net, "n", &ops_naive, 2);
    picture[n++] = net_input(net, 4, 4, 3);
    while (n < 24) {
        uint64_t at = 4 * (uint64_t)n;
        int from = n < 6 ? 0 : n - 6;                                /* mostly the last few, so that many die young */
        if (philox_below(seed, 1, at, 5) == 0) from = 0;
        int x = picture[from + philox_below(seed, 1, at + 1, n - from)];
        int y = picture[from + philox_below(seed, 1, at + 2, n - from)];
        switch (philox_below(seed, 1, at + 3, 8)) {
            case 0: x = net_input(net, 4, 4, 3); break;
            case 1: x = add(net, x, y); break;
            case 2: x = reshape(net, x, 4, 4, 3); break;
            case 3: x = tanh_(net, x); break;
            case 4: x = leaky_relu(net, x, 0.2); break;
            case 5: x = conv2d(net, concat(net, x, y), 3, 3, 1, 1); break;
            case 6: x = upsample(net, avgpool(net, x, 2), 2); break;
            default: x = reshape(net, dense(net, reshape(net, x, 2, 8, 3), 48), 4, 4, 3);
        }
        picture[n++] = x;
    }
}

static void test_inference_of_anything(void) {
    int wrong = 0, all = quick ? 30 : 300;
    for (uint64_t seed = 0; seed < (uint64_t)all; seed++) {
        Net a, b;
        random_network(&a, seed), random_network(&b, seed);
        wrong += !same_inference(&a, &b);
        net_free(&a), net_free(&b);
    }
    CHECK(!wrong, "shared memory gives other bits in %d of %d random networks", wrong, all);

    Net a, b;                                                        /* planted: two nodes in one place */
    random_network(&a, 1), random_network(&b, 1);
    same_inference(&a, &b);
    b.node[b.nodes - 1].y = b.node[0].y;
    int last = a.nodes - 1;
    CHECK(memcmp(a.node[last].y, b.node[last].y, 96 * sizeof(real)), "an overwritten output is not seen");
    net_free(&a), net_free(&b);
}

static void test_sample(void) {
    static const char *const names[] = { "dcgan", "style" };
    for (int i = 0; i < 2; i++) {
        Gan gan, quiet;
        Report report[2], want[2];
        begin(&gan, names[i], 2, 16, &ops_tiled), begin(&quiet, names[i], 2, 16, &ops_tiled);
        long n = 2L * 16 * 16 * gan.options.channels;
        size_t bytes = (size_t)n * sizeof(real);
        real *first = malloc(bytes), *again = malloc(bytes), *other = malloc(bytes);
        train(&gan, 1, report), train(&quiet, 1, want);
        gan_sample(&gan, 7, first), gan_sample(&gan, 8, other), gan_sample(&gan, 7, again);
        CHECK(!memcmp(first, again, bytes), "%s: the same draw gives another picture", names[i]);
        CHECK(memcmp(first, other, bytes), "%s: another draw gives the same picture", names[i]);
        gan.step += 1000;
        gan_sample(&gan, 7, again);
        gan.step -= 1000;
        CHECK(!memcmp(first, again, bytes), "%s: the same draw at another time gives another picture", names[i]);
        long outside = 0;
        for (long k = 0; k < n; k++) outside += !(fabs((double)first[k]) <= 1);
        CHECK(!outside, "%s: %ld pixels are not in [-1, 1]", names[i], outside);
        train(&gan, 1, report + 1), train(&quiet, 1, want + 1);
        CHECK(same_state(&gan, &quiet) && !memcmp(report, want, sizeof want),
              "%s: looking at samples changes training", names[i]);
        free(first), free(again), free(other);
        gan_free(&gan), gan_free(&quiet);
    }
}

/* ------------------------------------------------------------------------------------------------- large pictures */

enum { TALL = 104, WIDE = 136, OVERLAP = 32 };
static real everything[4][TALL * WIDE];               /* what the style generator reads: a picture, noise at three scales */

/* Contrast grows from left to right: pieces have statistics of their own */
static int fill_piece(void *context, int y, int x) {
    Gan *gan = context;
    static real piece[TALL * WIDE];
    for (int i = 0; i < 4; i++) {
        const Node *to = &gan->g.node[i ? gan->g_latent[i - 1] : gan->g_content];
        int grain = i < 2 ? 1 : 4 * (i - 1);
        for (int j = 0; j < to->h * to->w; j++)
            piece[j] = everything[i][(y / grain + j / to->w) * (WIDE / grain) + x / grain + j % to->w];
        gan->ops->upload(to->y, piece, to->h * to->w);
    }
    return 1;
}

/* the largest difference to `want` */
static double difference(const float *got, const float *want, int channels) {
    double most = 0;
    for (long i = 0; i < (long)TALL * WIDE * channels; i++) most = fmax(most, isfinite(got[i]) ? fabs((double)got[i] - want[i]) : INFINITY);
    return most;
}

static void style_pieces(Gan *gan, Large *l, int h, int w, int overlap) {
    style_generator(gan, 1, h, w);
    *l = (Large){ .net = &gan->g, .h = TALL, .w = WIDE, .piece_h = h, .piece_w = w, .overlap = overlap, .fill = fill_piece, .context = gan };
    if (!net_finish(&gan->g, 0)) exit(1);
    net_initialize(&gan->g, 3, 1, 2);
    for (int i = 0; i < gan->g.nodes; i++)            /* gamma and beta that are not all alike */
        if (gan->g.node[i].saved >= 0) gan->ops->random_normal(gan->g.p + gan->g.node[i].weight, gan->g.node[i].weights * 2, 3, (uint64_t)i);
}

static void test_large(void) {
    static const struct { int h, w; } piece[] = { { 104, 104 }, { 88, 96 }, { 104, 80 }, { 104, 136 } };
    static float whole[TALL * WIDE * 3], given[TALL * WIDE * 3], got[TALL * WIDE * 3];
    for (int i = 0; i < 4; i++) ops_naive.random_normal(everything[i], TALL * WIDE, 7, (uint64_t)i);
    for (int i = 0; i < TALL * WIDE; i++) everything[0][i] = (real)tanh(2. * everything[0][i] * (i % WIDE) / WIDE - 1 + 2. * i / (TALL * WIDE));
    Gan gan = { .ops = &ops_tiled, .options.channels = 3 };
    Large l;
    style_pieces(&gan, &l, TALL, WIDE, 0);
    int reach = net_receptive_field(&gan.g, gan.g_picture, TALL), picture = gan.g_picture;
    CHECK(reach == 26, "the style generator sees %d pixels around, 7 + 2 + 1 + 6 x 2 + 1 + 1 + 2 were expected", reach);
    fill_piece(&gan, 0, 0);
    net_forward(&gan.g, 0);
    gan.ops->download(whole, gan.g.node[picture].y, TALL * WIDE * 3);
    long saves = gan.g.saves;
    real *statistics = malloc((size_t)saves * sizeof(real));
    gan.ops->download(statistics, gan.g.save, saves);
    gan.g.given = gan.g.nodes;
    fill_piece(&gan, 0, 0);                           /* the walk has written over its inputs */
    net_forward(&gan.g, 0);
    gan.ops->download(given, gan.g.node[picture].y, TALL * WIDE * 3);
    CHECK(difference(given, whole, 3) < 1e-5, "given its own statistics the picture differs by %g", difference(given, whole, 3));
    net_free(&gan.g);
    for (size_t i = 0; i < sizeof piece / sizeof *piece; i++) {
        style_pieces(&gan, &l, piece[i].h, piece[i].w, OVERLAP);
        gan.ops->upload(gan.g.save, statistics, saves);
        gan.g.given = gan.g.nodes;
        CHECK(large_paint(&l, picture, got) && difference(got, given, 3) < 1e-5, "%s, pieces of %d x %d, the same statistics: differ by %g",
              gan.ops->name, piece[i].h, piece[i].w, difference(got, given, 3));
        CHECK(large_settle(&l) && large_paint(&l, picture, got) && difference(got, whole, 3) < 1e-4,
              "%s, %d pieces of %d x %d, their common statistics: differ by %g", gan.ops->name, large_pieces(&l), piece[i].h, piece[i].w,
              difference(got, whole, 3));
        CHECK(l.done == l.total, "%g of %g pieces", l.done, l.total);
        net_free(&gan.g);
    }
    style_pieces(&gan, &l, 88, 96, OVERLAP);           /* planted: each piece normalised by itself */
    CHECK(large_paint(&l, picture, got) && difference(got, whole, 3) > 0.1, "statistics of each piece alone are not seen");
    net_free(&gan.g);
    style_pieces(&gan, &l, 80, 80, 16);           /* planted: an overlap below the reach */
    gan.ops->upload(gan.g.save, statistics, saves);
    gan.g.given = gan.g.nodes;
    CHECK(large_paint(&l, picture, got) && difference(got, given, 3) > 1e-4, "an overlap of 16 pixels is not seen");
    net_free(&gan.g);
    free(statistics);
}

/* ---------------------------------------------------------------------------------------------------------- memory */

static double allocated;                              /* bytes asked for */
static int allocations, blocks_alive, fail_at;        /* allocation number fail_at fails */

static real *counting_alloc(long count) {
    if (++allocations == fail_at) return NULL;
    allocated += (double)count * sizeof(real);
    blocks_alive++;
    return ops_naive.alloc(count);
}
static void counting_release(real *x) {
    blocks_alive--;
    ops_naive.release(x);
}

static void test_memory(void) {
    Ops counting = ops_naive;
    counting.alloc = counting_alloc, counting.release = counting_release;
    for (int r = 0; recipes[r].name; r++) {
        if (left_out(recipes[r].name)) continue;
        Gan gan;
        GanOptions o = recipe_inputs_options(recipes[r].name, 2, side(recipes[r].name));
        for (int training = 0; training < 2; training++) {
            gan_begin(&gan, &recipes[r], &o, &counting);
            allocated = 0;
            CHECK(net_finish(&gan.g, training), "not enough memory");
            CHECK(allocated == net_bytes(&gan.g, training), "%s, training %d: net_bytes is %.0f, allocated are %.0f",
                  recipes[r].name, training, net_bytes(&gan.g, training), allocated);
            gan_free(&gan);
        }
        gan_begin(&gan, &recipes[r], &o, &counting);
        allocated = 0, allocations = 0;
        CHECK(gan_finish(&gan), "not enough memory");
        CHECK(allocated == gan_bytes(&gan), "%s: gan_bytes is %.0f, allocated are %.0f", recipes[r].name,
              gan_bytes(&gan), allocated);
        gan_free(&gan);
        for (int i = 1, all = allocations; i <= all; i++) {          /* each allocation in turn finds no memory left */
            fail_at = i, allocations = 0;
            gan_begin(&gan, &recipes[r], &o, &counting);
            CHECK(!gan_finish(&gan), "%s: allocation %d of %d fails unseen", recipes[r].name, i, all);
            gan_free(&gan);
            fail_at = 0;
        }
        CHECK(blocks_alive == 0, "%s: %d blocks are never released", recipes[r].name, blocks_alive);
    }
}

/* ------------------------------------------------------------------------------------------- memory that is elsewhere
 * ops_tiled with its memory locked away, as a GPU's is: it can be read and written while an operation runs, and at no
 * other time. Host code that touches it ends the program; memory of the host that an operation is given is counted. */

static char *vault;
static size_t vault_used;
static int strangers;                                 /* pointers that were on the wrong side */
#define VAULT ((size_t)1 << 30)                       /* of addresses; a block is never reused, so all of it is zeros */

static void vault_access(int how) {
    if (vault_used && mprotect(vault, vault_used, how)) exit(1);
}
static int in_vault(const real *x) { return (const char *)x >= vault && (const char *)x < vault + vault_used; }
static void see_reals(const real *x) { strangers += x && !in_vault(x); }
static void see_conv(const Conv *d) { (void)d; }      /* is the host's on every table */
static void see_number(double x) { (void)x; }

static real *guarded_alloc(long count) {
    size_t at = vault_used, bytes = ((size_t)count * sizeof(real) / 4096 + 1) * 4096;
    if (at + bytes > VAULT) return NULL;
    vault_used += bytes;
    return (real *)(void *)(vault + at);
}
static void guarded_release(real *x) { see_reals(x); }
static void guarded_upload(real *here, const real *host, long n) {
    strangers += !in_vault(here) || in_vault(host);
    vault_access(PROT_READ | PROT_WRITE);
    ops_naive.upload(here, host, n);
    vault_access(PROT_NONE);
}
static void guarded_download(real *host, const real *here, long n) {
    strangers += !in_vault(here) || in_vault(host);
    vault_access(PROT_READ | PROT_WRITE);
    ops_naive.download(host, here, n);
    vault_access(PROT_NONE);
}
static long guarded_conv_scratch(const Conv *d) { return ops_tiled.conv_scratch(d); }
static long guarded_gram_scratch(long rows, int c) { return ops_tiled.gram_scratch(rows, c); }
static long guarded_nearest_scratch(long nx, long ny, int c) { return ops_tiled.nearest_scratch(nx, ny, c); }

/* the number of arguments, the entry, the types of its arguments: a line of struct Ops each */
#define GUARDED(_) \
    _(3, fill, Out, real, long) _(3, copy, Out, In, long) _(4, axpy, Out, In, real, long) _(3, scale, Out, real, long) \
    _(3, clip, Out, real, long) _(4, clip_norm, Out, In, real, long) _(3, sum_squares, Out, In, long) \
    _(4, random_uniform, Out, long, uint64_t, uint64_t) _(4, random_normal, Out, long, uint64_t, uint64_t) \
    _(7, dense_forward, Out, In, In, In, int, int, int) _(6, dense_backward_input, Out, In, In, int, int, int) \
    _(6, dense_backward_weight, Out, In, In, int, int, int) _(4, bias_backward, Out, In, long, int) \
    _(5, conv2d_forward, Out, In, In, In, const Conv *) _(4, conv2d_backward_input, Out, In, In, const Conv *) \
    _(4, conv2d_backward_weight, Out, In, In, const Conv *) _(5, conv2d_transpose_forward, Out, In, In, In, const Conv *) \
    _(4, conv2d_transpose_backward_input, Out, In, In, const Conv *) \
    _(4, conv2d_transpose_backward_weight, Out, In, In, const Conv *) \
    _(9, normalize_forward, Out, Out, Out, In, In, In, int, long, int) \
    _(11, normalize_backward, Out, Out, Out, In, In, In, In, In, int, long, int) \
    _(5, moments_forward, Out, In, int, long, int) _(7, moments_backward, Out, In, In, In, int, long, int) \
    _(8, adain_forward, Out, Out, Out, In, In, int, long, int) \
    _(10, adain_backward, Out, Out, In, In, In, In, In, int, long, int) \
    _(5, softmax_cross_entropy_forward, Out, In, In, long, int) \
    _(6, softmax_cross_entropy_backward, Out, In, In, real, long, int) \
    _(7, dropout_forward, Out, In, real, long, uint64_t, uint64_t, long) _(7, dropout_backward, Out, In, real, long, uint64_t, uint64_t, long) \
    _(5, absolute_error_forward, Out, In, In, In, long) _(6, absolute_error_backward, Out, In, In, In, real, long) \
    _(4, hinge_forward, Out, In, real, long) _(5, hinge_backward, Out, In, real, real, long) \
    _(3, mean_forward, Out, In, long) _(3, mean_backward, Out, real, long) \
    _(7, rmsprop_step, Out, Out, In, long, real, real, real) \
    _(5, depthwise_conv2d_forward, Out, In, In, In, const Conv *) _(4, depthwise_conv2d_backward_input, Out, In, In, const Conv *) \
    _(4, depthwise_conv2d_backward_weight, Out, In, In, const Conv *) _(3, normalize_vector, Out, Out, long) \
    _(4, spectral_forward, Out, In, In, long) _(8, spectral_backward, Out, In, In, In, In, In, int, int) \
    _(6, lerp, Out, In, In, In, int, long) _(5, gradient_penalty, Out, Out, In, int, long) \
    _(7, gaussian_sample_forward, Out, In, long, int, uint64_t, uint64_t, long) \
    _(8, gaussian_sample_backward, Out, In, In, long, int, uint64_t, uint64_t, long) \
    _(4, kl_forward, Out, In, long, int) _(5, kl_backward, Out, In, real, long, int) \
    _(7, batchnorm_track, Out, Out, In, In, real, long, int) _(8, batchnorm_inference, Out, In, In, In, In, In, long, int) \
    _(4, leaky_relu_forward, Out, In, real, long) _(5, leaky_relu_backward, Out, In, In, real, long) \
    _(3, tanh_forward, Out, In, long) _(4, tanh_backward, Out, In, In, long) _(3, sigmoid_forward, Out, In, long) \
    _(4, sigmoid_backward, Out, In, In, long) _(4, add_forward, Out, In, In, long) \
    _(6, concat_forward, Out, In, In, long, int, int) _(6, concat_backward, Out, Out, In, long, int, int) \
    _(7, reflect_pad_forward, Out, In, int, int, int, int, int) _(7, reflect_pad_backward, Out, In, int, int, int, int, int) \
    _(7, upsample_forward, Out, In, int, int, int, int, int) _(7, upsample_backward, Out, In, int, int, int, int, int) \
    _(7, avgpool_forward, Out, In, int, int, int, int, int) _(7, avgpool_backward, Out, In, int, int, int, int, int) \
    _(7, maxpool_forward, Out, In, int, int, int, int, int) _(8, maxpool_backward, Out, In, In, int, int, int, int, int) \
    _(4, gray_forward, Out, In, long, int) _(4, gray_backward, Out, In, long, int) _(3, mean_sigmoid, Out, In, long) \
    _(4, bce_logits_forward, Out, In, real, long) _(5, bce_logits_backward, Out, In, real, real, long) \
    _(5, squared_error_forward, Out, In, In, In, long) _(6, squared_error_backward, Out, In, In, In, real, long) \
    _(5, gram_forward, Out, Out, In, long, int) _(6, gram_backward, Out, In, In, In, long, int) \
    _(4, style_loss_forward, Out, In, In, long) _(5, style_loss_backward, Out, In, In, real, long) \
    _(6, total_variation_forward, Out, In, int, int, int, int) _(7, total_variation_backward, Out, In, real, int, int, int, int) \
    _(9, waves_forward, Out, In, In, In, int, int, int, int, int) _(10, waves_backward, Out, Out, In, In, In, int, int, int, int, int) \
    _(6, match_ranks, Out, Out, In, In, long, int) _(4, batch_std, Out, In, int, long) _(8, nearest, Out, Out, In, In, In, long, long, int) \
    _(10, adam_step, Out, Out, Out, In, long, real, real, real, real, long)

typedef real *Out;
typedef const real *In;
#define SEE(x) _Generic((x), real *: see_reals, const real *: see_reals, const Conv *: see_conv, default: see_number)(x);
#define CALL(name, ...) vault_access(PROT_READ | PROT_WRITE); ops_tiled.name(__VA_ARGS__); vault_access(PROT_NONE);
#define DEFINE3(name, A, B, C) static void guarded_##name(A a, B b, C c) { SEE(a) SEE(b) SEE(c) CALL(name, a, b, c) }
#define DEFINE4(name, A, B, C, D) static void guarded_##name(A a, B b, C c, D d) { \
    SEE(a) SEE(b) SEE(c) SEE(d) CALL(name, a, b, c, d) }
#define DEFINE5(name, A, B, C, D, E) static void guarded_##name(A a, B b, C c, D d, E e) { \
    SEE(a) SEE(b) SEE(c) SEE(d) SEE(e) CALL(name, a, b, c, d, e) }
#define DEFINE6(name, A, B, C, D, E, F) static void guarded_##name(A a, B b, C c, D d, E e, F f) { \
    SEE(a) SEE(b) SEE(c) SEE(d) SEE(e) SEE(f) CALL(name, a, b, c, d, e, f) }
#define DEFINE7(name, A, B, C, D, E, F, G) static void guarded_##name(A a, B b, C c, D d, E e, F f, G g) { \
    SEE(a) SEE(b) SEE(c) SEE(d) SEE(e) SEE(f) SEE(g) CALL(name, a, b, c, d, e, f, g) }
#define DEFINE8(name, A, B, C, D, E, F, G, H) static void guarded_##name(A a, B b, C c, D d, E e, F f, G g, H h) { \
    SEE(a) SEE(b) SEE(c) SEE(d) SEE(e) SEE(f) SEE(g) SEE(h) CALL(name, a, b, c, d, e, f, g, h) }
#define DEFINE9(name, A, B, C, D, E, F, G, H, I) static void guarded_##name(A a, B b, C c, D d, E e, F f, G g, H h, I i) { \
    SEE(a) SEE(b) SEE(c) SEE(d) SEE(e) SEE(f) SEE(g) SEE(h) SEE(i) CALL(name, a, b, c, d, e, f, g, h, i) }
#define DEFINE10(name, A, B, C, D, E, F, G, H, I, J) \
    static void guarded_##name(A a, B b, C c, D d, E e, F f, G g, H h, I i, J j) { \
    SEE(a) SEE(b) SEE(c) SEE(d) SEE(e) SEE(f) SEE(g) SEE(h) SEE(i) SEE(j) CALL(name, a, b, c, d, e, f, g, h, i, j) }
#define DEFINE11(name, A, B, C, D, E, F, G, H, I, J, K) \
    static void guarded_##name(A a, B b, C c, D d, E e, F f, G g, H h, I i, J j, K k) { \
    SEE(a) SEE(b) SEE(c) SEE(d) SEE(e) SEE(f) SEE(g) SEE(h) SEE(i) SEE(j) SEE(k) CALL(name, a, b, c, d, e, f, g, h, i, j, k) }
#define DEFINE(count, name, ...) DEFINE##count(name, __VA_ARGS__)
#define ENTRY(count, name, ...) .name = guarded_##name,
GUARDED(DEFINE)
static const Ops ops_guarded = { .name = "guarded", .alloc = guarded_alloc, .release = guarded_release,
    .upload = guarded_upload, .download = guarded_download, .conv_scratch = guarded_conv_scratch, .gram_scratch = guarded_gram_scratch,
    .nearest_scratch = guarded_nearest_scratch, GUARDED(ENTRY) };

/* Does a child that runs this on x die of it? */
static int dies(void (*of)(real *x), real *x) {
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        signal(SIGSEGV, SIG_DFL);
        of(x);
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status);
}
static void touch(real *x) { *(volatile real *)x = 1; }
static void touch_in_an_operation(real *x) { ops_guarded.fill(x, 1, 1); }

static void test_guarded(void) {
    void (*entry[sizeof(Ops) / sizeof(void (*)(void))])(void);
    memcpy(entry, &ops_guarded, sizeof entry);
    for (size_t i = 0; i < sizeof entry / sizeof *entry; i++)
        CHECK(entry[i], "entry %d of struct Ops is not guarded", (int)i);
    vault = mmap(NULL, VAULT, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (vault == MAP_FAILED) exit(1);
    real *x = ops_guarded.alloc(1), host[1] = { 2 };
    CHECK(dies(touch, x), "the host can touch locked memory");
    CHECK(!dies(touch_in_an_operation, x), "an operation cannot touch locked memory");
    ops_guarded.copy(x, host, 1);
    CHECK(strangers == 1, "memory of the host in an operation is not seen");
    strangers = 0;

    for (int i = 0; recipes[i].name; i++) {
        if (left_out(recipes[i].name)) continue;
        const char *name = recipes[i].name;
        if (recipes[i].feeds == FEED_CROPS || recipes[i].feeds == FEED_LABELS) continue;            /* draws no pictures */
        if (!strcmp(name, "mlp") || !strcmp(name, "dcgan64") || !strcmp(name, "lsgan") || !strcmp(name, "wgan")) continue;     /* dcgan's step again */
        Gan gan, plain;
        Report got[3], want[3];
        char path[300], twin[300];
        int size = side(name);
        long n = 2L * size * size * recipe_inputs_options(name, 2, size).channels;
        real *picture = malloc((size_t)n * sizeof *picture), *as_plain = malloc((size_t)n * sizeof *picture);
        snprintf(path, sizeof path, "%s", file_in_folder("guarded.safetensors"));
        snprintf(twin, sizeof twin, "%s", file_in_folder("plain.safetensors"));
        begin(&gan, name, 2, size, &ops_guarded), begin(&plain, name, 2, size, &ops_tiled);
        gan.options.clip = plain.options.clip = 0.01;
        train(&gan, 2, got), train(&plain, 2, want);
        CHECK(gan_save(&gan, path, NULL, 0) && gan_save(&plain, twin, NULL, 0), "%s", error_text());
        StFile a, b;
        int opened = st_open(&a, path) && st_open(&b, twin), same = opened && a.count == b.count;
        for (int k = 0; same && k < a.count; k++)
            same = a.tensors[k].bytes == b.tensors[k].bytes && !memcmp(a.tensors[k].data, b.tensors[k].data, a.tensors[k].bytes);
        CHECK(same, "%s: locked memory gives another checkpoint", recipes[i].name);
        if (opened) st_close(&a), st_close(&b);
        CHECK(gan_load(&gan, twin) && gan_load(&plain, path), "%s", error_text());
        train(&gan, 1, got + 2), train(&plain, 1, want + 2);
        gan_sample(&gan, 3, picture), gan_sample(&plain, 3, as_plain);
        CHECK(!memcmp(got, want, sizeof got), "%s: locked memory gives other losses", recipes[i].name);
        CHECK(!memcmp(picture, as_plain, (size_t)n * sizeof *picture), "%s: locked memory gives other pictures", recipes[i].name);
        for (int k = 0; gan_net(&gan, k); k++)
            CHECK(!net_find_not_finite(gan_net(&gan, k)), "%s: not finite", recipes[i].name);
        CHECK(!strangers, "%s: %d pointers are on the wrong side", recipes[i].name, strangers);
        unlink(path), unlink(twin);
        free(picture), free(as_plain);
        gan_free(&gan), gan_free(&plain);
        if (madvise(vault, vault_used, MADV_DONTNEED)) exit(1);      /* zeros again, and fewer pages to lock and unlock */
        vault_used = 0;
    }
    munmap(vault, VAULT);
}

/* ------------------------------------------------------------------------------------------------- small promises */

/* Plants a NaN in one number, asks for its name, and takes it away again. */
static void check_planted(Net *net, real *x, int node, const char *what) {
    char want[96];
    real old = *x;
    snprintf(want, sizeof want, "%s.%d.%s (%s)", net->name, node, net->node[node].kind->name, what);
    *x = (real)(node % 2 ? NAN : INFINITY);
    const char *got = net_find_not_finite(net);
    CHECK(got && !strcmp(got, want), "planted in %s, found in %s", want, got ? got : "nothing");
    *x = old;
}

static void test_not_finite(void) {
    for (int r = 0; recipes[r].name; r++) {
        if (left_out(recipes[r].name)) continue;
        Gan gan;
        Report report;
        begin(&gan, recipes[r].name, 2, side(recipes[r].name), &ops_tiled);
        train(&gan, 1, &report);
        Net *nets[2] = { &gan.g, &gan.d };
        for (int k = 0; k < 2; k++) {
            Net *net = nets[k];
            const char *found = net_find_not_finite(net);
            CHECK(!found, "%s: not finite after one step: %s", recipes[r].name, found);
            for (int i = 0; i < net->nodes; i++) {
                Node *node = &net->node[i];
                long last = (long)node->n * node->h * node->w * node->c - 1, end = node->weights + node->biases - 1;
                int y = 0, dy = 0;                    /* the first node of those that share the memory */
                while (net->node[y].y != node->y) y++;
                while (net->node[dy].dy != node->dy) dy++;
                check_planted(net, &node->y[last], y, "output");
                check_planted(net, &node->dy[last], dy, "gradient");
                if (!node->weights) continue;
                check_planted(net, &net->p[node->weight], i, "parameters");
                check_planted(net, &net->p[node->weight + end], i, "parameters");
                check_planted(net, &net->g[node->weight], i, "parameter gradient");
                check_planted(net, &net->g[node->weight + end], i, "parameter gradient");
            }
        }
        gan_free(&gan);
    }
}

/* options.clip: where the gradient is longer than that, it becomes that long; 0 bounds nothing */
static void test_clip(void) {
    const double share[] = { 2, 1.000001, 0.25 };        /* the limit, of the gradient's norm */
    GanOptions o = recipe_inputs_options("dcgan", 2, 8);
    Gan gan;
    Report report;
    real *g = NULL;
    for (int i = -1; i < 3; i++) {
        o.clip = i < 0 ? 0 : share[i] * report.norm_d;
        gan_begin(&gan, recipe_find("dcgan"), &o, &ops_tiled);
        if (!gan_finish(&gan)) exit(1);
        train(&gan, 1, &report);
        const Net *net = &gan.d;
        size_t bytes = (size_t)net->parameters * sizeof(real);
        long wrong = 0;
        if (!g) memcpy(g = malloc(bytes), net->g, bytes);
        real square, factor = i == 2 ? (real)0.25 : 1;
        ops_tiled.sum_squares(&square, net->g, net->parameters);
        CLOSE(sqrt((double)square), report.norm_d * factor, 0, 1e-6, "the norm after clipping");
        for (long k = 0; k < net->parameters; k++)
            wrong += !(fabs(net->g[k] - (double)g[k] * factor) <= (i == 2 ? 1e-6 * fabs((double)g[k]) : 0));
        CHECK(!wrong, "limit %g: %ld gradients are not %g of what they were", o.clip, wrong, (double)factor);
        gan_free(&gan);
    }
    free(g);
}

/* F16: features whose style is their own stay as they are; with another's moments they get just these */
static void test_adain(void) {
    enum { N = 2, H = 5, W = 7, C = 3 };
    Net net;
    net_begin(&net, "a", &ops_tiled, N);
    int x = net_input(&net, H, W, C), s = net_input(&net, H + 2, W, C), own = adain(&net, x, moments(&net, x)), m = moments(&net, s);
    int other = moments(&net, adain(&net, x, m));
    if (!net_finish(&net, 0)) exit(1);
    ops_tiled.random_normal(net.node[x].y, (long)N * H * W * C, 3, 1);
    ops_tiled.random_uniform(net.node[s].y, (long)N * (H + 2) * W * C, 3, 2);
    real want[N * H * W * C];
    memcpy(want, net.node[x].y, sizeof want);
    net_forward(&net, 0);
    for (int i = 0; i < N * H * W * C; i++) CLOSE(net.node[own].y[i], want[i], 2e-6, 0, "AdaIN of style == content, number %d", i);
    real style[2 * N * C];
    memcpy(style, net.node[other].y, sizeof style);
    net_free(&net);
    for (int i = 0; i < N; i++)
        for (int c = 0; c < C; c++) {
            double mean = 0, square = 0, n = (H + 2) * W;
            for (int p = 0; p < (H + 2) * W; p++) {
                double v = philox_uniform(3, 2, (uint64_t)(((long)i * (H + 2) * W + p) * C + c));
                mean += v / n, square += v * v / n;
            }
            CLOSE(style[2 * i * C + C + c], mean, 1e-6, 1e-5, "the mean after AdaIN, picture %d channel %d", i, c);
            CLOSE(style[2 * i * C + c], sqrt(square - mean * mean + NORM_EPS), 1e-5, 1e-4, "the deviation after AdaIN, picture %d channel %d", i, c);
        }
}

/* What a step reports is of all networks: the gradients' norms of both generators and both discriminators */
static void test_norms_of_two(void) {
    static const char *const names[] = { "cyclegan", "vaegan", "dcgan" };
    for (int k = 0; k < 3; k++) {
        Gan gan;
        Report r;
        real square[5] = { 0 };
        begin(&gan, names[k], 2, 8, &ops_tiled);
        train(&gan, 1, &r);
        const Net *nets[5] = { &gan.g, &gan.f, &gan.e, &gan.d, &gan.d2 };
        for (int i = 0; i < 5; i++)
            if (nets[i]->nodes) gan.ops->sum_squares(&square[i], nets[i]->g, nets[i]->parameters);
        CLOSE(r.norm_g, sqrt((double)square[0] + square[1] + square[2]), 0, 1e-5, "%s: norm_g", names[k]);
        CLOSE(r.norm_d, sqrt((double)square[3] + square[4]), 0, 1e-5, "%s: norm_d", names[k]);
        CHECK(r.d_real > 0 && r.d_real < 1 && r.d_fake > 0 && r.d_fake < 1, "%s: D's means", names[k]);
        gan_free(&gan);
    }
}

/* To ask D what it thinks does not change what it learns: the power iteration of F23 is training's */
static void test_judge(void) {
    Gan gan, asked;
    Report r;
    begin(&gan, "hinge", 2, 8, &ops_tiled), begin(&asked, "hinge", 2, 8, &ops_tiled);
    const Node *logit = &gan.d.node[gan.d_logits];
    real *logits = malloc(sizeof *logits * (size_t)(logit->n * logit->h * logit->w * logit->c));
    for (int i = 0; i < 2; i++) {
        train(&gan, 1, &r), train(&asked, 1, &r);
        gan_judge(&asked, asked.x_real, logits);
    }
    CHECK(same_state(&gan, &asked), "hinge learns something else when it is asked");
    free(logits), gan_free(&gan), gan_free(&asked);
}

int main(void) {
    snprintf(folder, sizeof folder, "%s/test_gan.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(folder)) {
        printf("test_gan: cannot make the folder %s\n", folder);
        return 1;
    }
    quick = getenv("TEST_QUICK") != NULL;
    test_threads();
    test_tables();
    test_resume();
    test_load_errors();
    test_first_weights();
    test_average();
    test_tensors();
    test_inference_of_recipes();
    test_inference_of_anything();
    test_sample();
    if (!quick) test_large();                         /* watched.sh paints in pieces under the sanitizers */
    test_memory();
    test_guarded();
    test_not_finite();
    test_clip();
    test_adain();
    test_norms_of_two();
    test_judge();
    rmdir(folder);
    return test_report("gan");
}
