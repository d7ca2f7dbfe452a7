/* test_ops.c: a table against ops_naive, entry by entry; and what all tables promise: results stay
 * in their tensors, the same bits for any number of threads, NaN reaches the output, random numbers
 * that are random. The test walks op_cases.h's list, which has every entry of struct Ops. Another
 * table is one line in `tables`. Set OMP_WAIT_POLICY=passive, as run.sh does: threads that wait
 * busily on a busy computer take ten times as long. */
#define ERROR_IMPLEMENTATION
#define LAYERS_IMPLEMENTATION
#define TILED_IMPLEMENTATION
#include "layers.h"
#include "core/tiled.h"
#include "core/tile.h"
#include "validation/tolerances.h"
#include "op_calls.h"
#include "test.h"
#ifdef _OPENMP
#include <omp.h>
#else
static void omp_set_num_threads(int n) { (void)n; }
#endif

#ifdef WITH_CUDA /* linked with cuda_kernels.cu, or with what cuda_on_cpu makes of it */
#include "core/device.h"
static const Ops *const tables[] = { &ops_cuda };
#else
static const Ops *const tables[] = { &ops_naive, &ops_tiled };
#endif
enum { TABLES = sizeof tables / sizeof *tables };

/* ---------------------------------------------------------------------- one table against naive */

static void test_memory(const Ops *table) {
    enum { LENGTH = 1003 };
    real sent[LENGTH], back[LENGTH];
    for (int i = 0; i < LENGTH; i++) sent[i] = (real)(i - 500.25), back[i] = (real)NAN;
    real *x = table->alloc(LENGTH), *none = table->alloc(0);
    CHECK(x, "%s: alloc gives memory", table->name);
    table->download(back, x, LENGTH);
    int zeros = 0;
    for (int i = 0; i < LENGTH; i++) zeros += back[i] == 0;
    CHECK(zeros == LENGTH, "%s: %d of %d numbers of fresh memory are zero", table->name, zeros,
          LENGTH);
    table->upload(x, sent, LENGTH);
    table->download(back, x, LENGTH);
    CHECK(!memcmp(sent, back, sizeof sent), "%s: what was uploaded is downloaded", table->name);
    table->upload(x + 1, sent, LENGTH - 2);
    table->download(back, x, LENGTH);
    int last = LENGTH - 1;
    CHECK(back[0] == sent[0] && !memcmp(back + 1, sent, sizeof(real) * (LENGTH - 2))
          && back[last] == sent[last],
          "%s: upload keeps to its length", table->name);
    table->release(x), table->release(none), table->release(NULL);
    for (size_t i = 0; i < sizeof conv_cases / sizeof *conv_cases; i++) {
        Conv twice = conv_cases[i].d;
        twice.n *= 2;
        long one = table->conv_scratch(&conv_cases[i].d), two = table->conv_scratch(&twice);
        CHECK(one >= 0 && two >= one, "%s: conv_scratch %ld, and %ld for twice the batch",
              table->name, one, two);
    }
    long small = table->gram_scratch(10, 3), gram = table->gram_scratch(1000, 33);
    CHECK(small >= 0 && table->gram_scratch(2000, 33) >= gram, "%s: gram_scratch", table->name);
    long tiny = table->nearest_scratch(1, 1, 1), rows = table->nearest_scratch(90, 80, 38);
    CHECK(tiny >= 0 && table->nearest_scratch(900, 800, 38) >= rows, "%s: nearest_scratch",
          table->name);
}

/* Keeps so many bits behind the point of every number that the entry reads; then a product that
 * rounds to as many is exact. */
static void round_inputs(Data *x, int bits) {
    for (int i = 0; i < x->count; i++)
        for (long j = 0; j < x->tensor[i].size && x->tensor[i].role & IN && x->value[i]; j++) {
            int e;
            double m = frexp((double)x->value[i][j], &e);
            x->value[i][j] = (real)ldexp(nearbyint(ldexp(m, bits + 1)), e - bits - 1);
        }
}

/* All tensors of one call, of a table and of ops_naive on the same data. NULL, or what is wrong.
 * input_bits: round what is read to so many bits; the tolerance becomes slack times itself, and
 * extra more. */
static int input_bits;
static double slack = 1, extra;
static const char *compare(const Ops *table, const Op *op, const Case *k) {
    static char message[200];
    Data got = data_random(op, k, 11);
    if (input_bits) round_inputs(&got, input_bits);
    Data want = data_copy(&got);
    const char *wrong = run(&ops_naive, op, k, &want);
    if (!wrong) wrong = run(table, op, k, &got);
    for (int i = 0; i < got.count && !wrong; i++) {
        if (!got.value[i] || got.tensor[i].role & IN) continue;
        long at = first_difference(got.value[i], want.value[i], got.tensor[i].size,
                                   slack * rtol_of(op, k) + extra);
        if (at < 0) continue;
        snprintf(message, sizeof message, "%s[%ld] = %.9g, naive %.9g", got.tensor[i].name, at,
                 (double)got.value[i][at], (double)want.value[i][at]);
        wrong = message;
    }
    data_free(&got), data_free(&want);
    return wrong;
}

static void test_table(const Ops *table) {
    test_memory(table);
    for (int i = 0; i < OPS; i++) {
        size_t count;
        const Case *cases = cases_of(&op_list[i], &count);
        for (size_t j = 0; j < count; j++) {
            Case k = cases[j];
            for (int choice = 0; choose_null(&op_list[i], &k, choice); choice++) {
                const char *wrong = compare(table, &op_list[i], &k);
                CHECK(!wrong, "%s %s: %s (%s)", table->name, op_list[i].name, wrong, sizes_of(&k));
            }
        }
    }
}

#ifdef WITH_CUDA
/* The matrix products alone: on aligned tensors (16-byte loads), on every rung of the ladder, and
 * with tensor cores. On the CPU, where that is slow, each operation takes another sixth of the
 * cases each time; the argument large takes all. */
static size_t thin = 6;
static void test_products(const Ops *table, const char *how) {
    static size_t turn;
    turn++;
    for (int i = 0; i < OPS; i++) {
        size_t count;
        const Case *cases = cases_of(&op_list[i], &count);
        if (strncmp(op_list[i].name, "conv2d", 6) && strncmp(op_list[i].name, "dense", 5)
            && strncmp(op_list[i].name, "gram", 4)) continue;
        for (size_t j = (turn + (size_t)i) % thin; j < count; j += thin) {
            const char *wrong = compare(table, &op_list[i], &cases[j]);
            CHECK(!wrong, "%s %s, %s: %s (%s)", table->name, op_list[i].name, how, wrong,
                  sizes_of(&cases[j]));
        }
    }
}

/* The kernel for outputs of one to four channels, however small: every number of channels, pictures
 * of more than one block, pixels that no tap reaches, a kernel larger than the picture, a depth
 * that is no multiple of the eight channels of one part. */
static const Case thin_cases[] = {
    { .d = CONV(2, 13, 71, 1, 12, 5, 2, 2) }, { .d = CONV(1, 67, 9, 2, 4, 4, 2, 1) },
    { .d = CONV(2, 35, 18, 3, 20, 3, 1, 1) }, { .d = CONV(1, 2, 3, 4, 8, 5, 3, 2) },
    { .d = CONV(3, 9, 8, 4, 12, 1, 2, 1) }, { .d = { 2, 9, 10, 3, 5, 5, 4, 5, 2, 1 } },
    { .d = CONV(2, 17, 33, 4, 1, 3, 1, 1) }, { .d = CONV(1, 9, 40, 8, 2, 7, 1, 3) },
    { .d = CONV(1, 12, 9, 20, 3, 5, 1, 0) }, { .d = CONV(2, 4, 5, 12, 4, 2, 1, 1) },
};
/* Tensor cores take channels in fours: a tile and more of lines and columns, a depth that is cut
 * into slices, borders, taps that are missing in a phase. The third one is a dense layer's. */
static const Case tensor_cases[] = {
    { .d = CONV(2, 9, 7, 12, 132, 3, 2, 1) }, { .d = CONV(3, 10, 9, 68, 8, 4, 2, 1) },
    { .d = CONV(140, 1, 1, 36, 200, 1, 1, 0) }, { .d = CONV(2, 11, 12, 20, 24, 5, 3, 2) },
    { .d = CONV(1, 2, 3, 4, 20, 5, 3, 2) }, { .d = CONV(19, 6, 5, 4, 36, 3, 1, 1) },
};
/* every convolution, with and without its optional tensors, on the fastest kernels */
static void test_fastest(const Ops *table, const Case *cases, size_t bytes, const char *but,
                         const char *how) {
    cuda_ladder(4);
    for (size_t i = 0; i < bytes / sizeof *cases; i++)
        for (int j = 0; j < OPS; j++) {
            Case k = cases[i];
            if (strncmp(op_list[j].name, "conv2d", 6) || strstr(op_list[j].name, but)) continue;
            for (int choice = 0; choose_null(&op_list[j], &k, choice); choice++) {
                const char *wrong = compare(table, &op_list[j], &k);
                CHECK(!wrong, "%s %s, %s: %s (%s)", table->name, op_list[j].name, how, wrong,
                      sizes_of(&k));
            }
        }
    cuda_ladder(0);
}

/* Tensor cores multiply rounded numbers exactly and add in float32. So on numbers that are rounded
 * already the products are as close to naive's as any float32 sum, save that the cores cut off what
 * hangs over where others round: four times the tolerance. On other numbers each product is off by
 * two roundings, 2^-8 each with bf16's 7 bits and 2^-11 with tf32's 10, and the sum by as much of
 * its own size; the largest of some thousand numbers by four times that. */
static void test_precision(const Ops *table, int bits) {
    static const char *const asked[] = { "conv2d_forward", "conv2d_backward_input",
                                         "conv2d_backward_weight" };
    input_bits = bits;
    slack = 4;
    test_products(table, "rounded numbers");
    test_fastest(table, tensor_cases, sizeof tensor_cases, "none", "rounded numbers");
    input_bits = bits + 1;
    for (int i = 0; i < 3; i++)
        CHECK(compare(table, find_op(asked[i]), &tensor_cases[3]),
              "%s %s: one bit more is not seen", table->name, asked[i]);
    input_bits = 0, slack = 1, extra = 4 * ldexp(1, -bits - 1);
    test_products(table, "all bits");
    extra = 0;
}

static void test_cuda(void) {
    static const char *const rungs[] = { "", "naive", "shared-memory tile", "register tile",
                                         "largest tile" };
    guard_length = 64;
    for (int rung = 0; rung <= 4; rung++) {
        cuda_ladder(rung);
        test_products(&ops_cuda, rung ? rungs[rung] : "aligned");
    }
    test_fastest(&ops_cuda, thin_cases, sizeof thin_cases, "weight", "thin");
    if (!cuda_open(2)) { /* else a GPU without such tensor cores */
        test_precision(&ops_cuda_tf32, 10);
        test_precision(&ops_cuda_bf16, 7);
    }
    guard_length = 67;
}
#endif

/* What naive gives onto g is g plus what it gives onto zero: backward functions add, forward
 * functions overwrite. */
static void test_accumulation(void) {
    for (int i = 0; i < OPS; i++) {
        const Op *op = &op_list[i];
        size_t count;
        Case k = cases_of(op, &count)[2];
        Data start = data_random(op, &k, 3), onto = data_copy(&start), zero = data_copy(&start);
        for (int j = 0; j < zero.count; j++)
            if (zero.tensor[j].role & INOUT) ops_naive.fill(zero.value[j], 0, zero.tensor[j].size);
        const char *wrong = run(&ops_naive, op, &k, &onto);
        if (!wrong) wrong = run(&ops_naive, op, &k, &zero);
        CHECK(!wrong, "%s: %s", op->name, wrong);
        for (int j = 0; j < onto.count && strstr(op->name, "_backward"); j++)
            for (long e = 0; e < onto.tensor[j].size && onto.tensor[j].role & INOUT; e++)
                CLOSE(onto.value[j][e], (double)start.value[j][e] + zero.value[j][e], 1e-4, 1e-5,
                      "%s adds to %s",
                      op->name, onto.tensor[j].name);
        data_free(&onto), data_free(&zero), data_free(&start);
    }
}

/* ---------------------------------------------------------------------------------- determinism */

/* Runs one case with 1, 2 and 3 threads (a GPU: twice). NULL, or what has other bits than with one
 * thread. */
#ifdef WITH_CUDA
enum { MOST_THREADS = 2 };
#else
enum { MOST_THREADS = 3 };
#endif
static const char *thread_difference(const Ops *table, const Op *op, const Case *k) {
    const char *wrong = NULL;
    Data start = data_random(op, k, 5), one = {0};
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        Data x = data_copy(&start);
        omp_set_num_threads(threads);
        if (run(table, op, k, &x)) wrong = "the run";
        for (int i = 0; i < x.count && threads > 1; i++)
            if (memcmp(x.value[i], one.value[i], sizeof(real) * x.tensor[i].size))
                wrong = x.tensor[i].name;
        if (threads == 1) one = x;
        else data_free(&x);
    }
    data_free(&one), data_free(&start);
    return wrong;
}

static void test_threads(const Ops *table, size_t every) {
    int threads = omp_get_max_threads();
    for (int i = 0; i < OPS; i++) {
        size_t count;
        const Case *cases = cases_of(&op_list[i], &count);
        for (size_t j = i % every; j < count; j += every) {
            const char *wrong = thread_difference(table, &op_list[i], &cases[j]);
            CHECK(!wrong, "%s %s: %s has other bits with 2 or 3 threads than with 1 (%s)",
                  table->name,
                  op_list[i].name, wrong, sizes_of(&cases[j]));
        }
    }
    omp_set_num_threads(threads);
}

#ifndef WITH_CUDA
/* every task once, whether the threads are as many as were expected, or fewer, or have no share */
static void test_tasks(void) {
    enum { MOST = 20 };
    int threads = omp_get_max_threads();
    for (int expected = 1; expected <= 5; expected += 2)
        for (int come = 1; come <= expected; come++)
            for (int count = 0; count <= MOST; count++) {
                int taken[MOST + 1] = {0}, wrong = 0;
                omp_set_num_threads(expected);
                Tasks tasks = tasks_for(count);
                omp_set_num_threads(come);
                #pragma omp parallel
                for (int round = 0; round < 2; round++) {
                    for (long i; (i = next_task(&tasks)) < count;) {
                        #pragma omp atomic
                        taken[i]++;
                    }
                    #pragma omp barrier
                    tasks_again(&tasks, omp_get_thread_num());
                    #pragma omp barrier
                }
                for (int i = 0; i <= MOST; i++) wrong += taken[i] != (i < count ? 2 : 0);
                CHECK(!wrong, "%d of %d tasks not once a round, %d threads", wrong, count, come);
            }
    omp_set_num_threads(threads);
}

/* core/winograd.h and thin_backward_weight: odd sizes, every padding, channels that leave a rest,
 * more squares than are done at a time; with 1, 2 and 3 threads. */
static void test_winograd(const Ops *table) {
    static const Case cases[] = {
        { .d = CONV(2, 61, 62, 16, 17, 4, 2, 0) }, { .d = CONV(1, 37, 42, 18, 33, 4, 2, 2) },
        { .d = CONV(2, 31, 34, 17, 16, 4, 2, 1) },
        { .d = CONV(1, 17, 20, 16, 70, 3, 1, 0) }, { .d = CONV(1, 12, 15, 40, 16, 3, 1, 2) },
        { .d = CONV(1, 64, 64, 16, 16, 3, 1, 1) }, { .d = CONV(2, 13, 9, 24, 3, 3, 1, 1) },
    };
    int threads = omp_get_max_threads();
    for (int i = 0; i < OPS; i++)
        for (size_t j = 0; j < sizeof cases / sizeof *cases; j++) {
            if (strncmp(op_list[i].name, "conv2d", 6)) continue;
            const char *wrong = compare(table, &op_list[i], &cases[j]);
            const char *other = thread_difference(table, &op_list[i], &cases[j]);
            CHECK(!wrong, "%s %s: %s (%s)", table->name, op_list[i].name, wrong,
                  sizes_of(&cases[j]));
            CHECK(!other, "%s %s: %s has other bits with 2 or 3 threads (%s)", table->name,
                  op_list[i].name, other, sizes_of(&cases[j]));
        }
    omp_set_num_threads(threads);
}
#endif

/* ------------------------------------------------------------------------------------ constants */

/* The golden files must have every constant: where another a, scale or t makes another result,
 * constants_of must say another text. */
static void test_constants(void) {
    for (int i = 0; i < OPS; i++) {
        const Op *op = &op_list[i];
        size_t count;
        const Case k = cases_of(op, &count)[1];
        Data start = data_random(op, &k, 11);
        for (int number = 0; number < 3; number++) {
            Case other = k;
            char text[300];
            int differs = 0;
            if (number == 0) other.a = (real)0.6f;
            if (number == 1) other.scale = 3;
            if (number == 2) other.t = 9;
            Data x = data_copy(&start), y = data_copy(&start);
            run(&ops_naive, op, &k, &x), run(&ops_naive, op, &other, &y);
            for (int j = 0; j < x.count; j++)
                differs |= memcmp(x.value[j], y.value[j], sizeof(real) * x.tensor[j].size) != 0;
            data_free(&x), data_free(&y);
            snprintf(text, sizeof text, "%s", constants_of(group_of(op), &k));
            CHECK(!differs || strcmp(text, constants_of(group_of(op), &other)),
                  "%s reads a constant that is not in '%s'", op->name, text);
        }
        data_free(&start);
    }
}

/* ------------------------------------------------------------------------------------------ NaN */

static int has_nan(const real *x, long n) {
    for (long i = 0; i < n; i++)
        if (isnan(x[i])) return 1;
    return 0;
}

/* One NaN in any input of a forward function must reach a result, and so must one in the gradient
 * from above: a comparison like `x > 0 ? x : 0` could swallow it, and training would go on with
 * nonsense. An optimiser's NaN must reach the parameters. NULL, or the tensor whose NaN is lost. */
static const char *nan_lost(const Ops *table, const Op *op) {
    static const Case conv = { .d = CONV(2, 5, 6, 3, 4, 3, 1, 1) }, dense = { DENSE(3, 5, 4) };
    static const Case image = { IMAGES(2, 5, 4, 3, 2, 2, 1), .a = 0, .scale = 1, .t = 2 };
    size_t count;
    const Case *cases = cases_of(op, &count);
    const Case *k = cases == conv_cases ? &conv : cases == dense_cases ? &dense : &image;
    int backward = strstr(op->name, "_backward") != NULL;
    const char *lost = NULL;
    Data start = data_random(op, k, 9);
    for (int i = 0; i < start.count; i++) {
        const Tensor *t = &start.tensor[i];
        if (t->role & OUT || (backward && !has_word("dy dg dz", t->name))) continue;
        /* of clip_norm: NaN means no limit, x has the NaN already */
        if (!strcmp(t->name, "square")) continue;
        Data x = data_copy(&start);
        x.value[i][t->size / 2] = (real)NAN;
        int reached = 0, outputs = strstr(op->name, "_step") ? 1 : x.count;
        if (!run(table, op, k, &x))
            for (int j = 0; j < outputs; j++)
                if (!(x.tensor[j].role & IN) && has_nan(x.value[j], x.tensor[j].size)) reached = 1;
        if (!reached) lost = t->name;
        data_free(&x);
    }
    data_free(&start);
    return lost;
}

static void test_nan(const Ops *table) {
    for (int i = 0; i < OPS; i++) {
        const char *lost = nan_lost(table, &op_list[i]);
        CHECK(!lost, "%s %s: NaN in %s is lost", table->name, op_list[i].name, lost);
    }
}

/* A norm within its limit, or one that is NaN, leaves every bit of x as it is; beyond any limit it
 * leaves nothing. */
static void test_clip_norm(const Ops *table) {
    enum { LENGTH = 1003 };
    const real squares[4] = { 0, (real)3.999999, (real)NAN, (real)INFINITY };
    static real sent[LENGTH], back[LENGTH];
    real *x = table->alloc(LENGTH), *square = table->alloc(1);
    ops_naive.random_normal(sent, LENGTH, 8, 0);
    for (int i = 0; i < 4; i++) {
        table->upload(x, sent, LENGTH), table->upload(square, &squares[i], 1);
        table->clip_norm(x, square, 2, LENGTH);
        table->download(back, x, LENGTH);
        if (i == 3) ops_naive.scale(sent, 0, LENGTH);
        int same = 0;
        for (int j = 0; j < LENGTH; j++) same += back[j] == sent[j];
        CHECK(same == LENGTH, "%s: clip_norm(2) of a square of %g: %d of %d numbers are right",
              table->name,
              (double)squares[i], same, LENGTH);
    }
    table->release(x), table->release(square);
}

/* What is told the number of its first element draws the numbers that one call for all would draw
 * there. */
static void test_first(const Ops *table) {
    enum { K = 12, ROWS = 9, FIRST = 4 * K, ALL = K * ROWS };
    static real x[2 * ALL], whole[2 * ALL], part[2 * ALL];
    real *in = table->alloc(2 * ALL), *dz = table->alloc(ALL), *out = table->alloc(2 * ALL);
    ops_naive.random_normal(x, 2 * ALL, 8, 1);
    table->upload(in, x, 2 * ALL), table->upload(dz, x, ALL);
    for (int op = 0; op < 4; op++) {
        long width = op == 3 ? 2 : 1;
        for (int parts = 1; parts <= 2; parts++) {
            table->fill(out, 0, 2 * ALL);
            for (int p = 0; p < parts; p++) {
                long first = p ? FIRST : 0, n = p ? ALL - FIRST : parts == 2 ? FIRST : ALL;
                real *to = out + width * first, *from = op == 2 ? in + 2 * first : in + first;
                if (op == 0) table->dropout_forward(to, from, (real)0.5, n, 3, 4, first);
                if (op == 1) table->dropout_backward(to, from, (real)0.5, n, 3, 4, first);
                if (op == 2) table->gaussian_sample_forward(to, from, n / K, K, 3, 4, first);
                if (op == 3)
                    table->gaussian_sample_backward(to, dz + first, in + 2 * first, n / K, K,
                                                    3, 4, first);
            }
            table->download(parts == 1 ? whole : part, out, width * ALL);
        }
        CHECK(!memcmp(whole, part, sizeof(real) * (width * ALL)),
              "%s: %s in two parts draws other numbers", table->name,
              (const char *[]){ "dropout_forward", "dropout_backward", "gaussian_sample_forward",
                                "gaussian_sample_backward" }[op]);
    }
    table->release(in), table->release(dz), table->release(out);
}

/* What may work in place leaves there what it would have added to zeros, or written elsewhere. */
static void test_in_place(const Ops *table) {
    enum { GROUPS = 2, ROWS = 37, C = 19, ALL = GROUPS * ROWS * C };
    static real host[2][ALL], x[ALL];
    real *dy = table->alloc(ALL), *out = table->alloc(ALL), *y = table->alloc(ALL);
    real *few = table->alloc(6 * GROUPS * C), *gamma = few, *mean = gamma + 2 * GROUPS * C;
    real *var = mean + GROUPS * C, *d = var + GROUPS * C;
    ops_naive.random_normal(x, ALL, 8, 2);
    table->upload(y, x, ALL), table->fill(few, (real)0.7, 6 * GROUPS * C);
    for (int op = 0; op < 4; op++) {
        for (int in = 0; in < 2; in++) {
            real *to = in ? dy : out;
            table->upload(dy, x + ALL / 2, ALL / 2), table->upload(dy + ALL / 2, x, ALL / 2);
            table->fill(out, 0, ALL);
            if (op == 0) table->leaky_relu_forward(to, dy, (real)0.2, ALL);
            if (op == 1) table->leaky_relu_backward(to, dy, y, (real)0.2, ALL);
            if (op == 2)
                table->normalize_backward(to, NULL, NULL, dy, y, gamma, mean, var, GROUPS, ROWS, C);
            if (op == 3)
                table->adain_backward(to, d, dy, y, gamma, mean, var, GROUPS, ROWS, C);
            table->download(host[in], to, ALL);
        }
        int same = 0;
        for (int i = 0; i < ALL; i++) same += host[0][i] == host[1][i] && host[0][i] != 0;
        CHECK(same == ALL, "%s: in place, operation %d: %d of %d numbers are right", table->name,
              op, same, ALL);
    }
    table->release(dy), table->release(out), table->release(y), table->release(few);
}

/* Of equals the first row is found, wherever the search was cut; so is a NaN, and something where
 * all is infinitely far. */
static void test_nearest(const Ops *table) {
    enum { NX = 70, NY = 1500, C = 3 };
    static real x[NX * C], y[NY * C], index[NX], least[NX];
    real *here = table->alloc(NX * C + NY * C + 2 * NX);
    real *at = here + NX * C, *found = at + NY * C, *by = found + NX;
    for (int i = 0; i < NX * C; i++) x[i] = (real)philox_below(1, 1, i, 3);
    for (int round = 0; round < 4; round++) {
        int wrong = 0, nan = 900;
        for (int i = 0; i < NY * C; i++)
            y[i] = (real)philox_below(1, 2, i, 3) + (i / C < 300 * round);
        if (round == 2) y[nan * C] = y[nan * C + 100] = (real)NAN;
        if (round == 3) for (int i = 0; i < NY * C; i++) y[i] = (real)1e30;
        table->upload(here, x, NX * C), table->upload(at, y, NY * C);
        table->nearest(found, by, here, at, NULL, NX, NY, C);
        table->download(index, found, NX), table->download(least, by, NX);
        for (int i = 0; i < NX; i++) {
            int first = 0;
            real most = (real)INFINITY;
            for (int j = 0; j < NY && round < 2; j++) {
                real d = 0;
                for (int k = 0; k < C; k++)
                    d += (x[i * C + k] - y[j * C + k]) * (x[i * C + k] - y[j * C + k]);
                if (d < most) most = d, first = j;
            }
            if (round == 2) first = nan, most = (real)NAN;
            if (round == 3) most = sizeof(real) == 4 ? (real)INFINITY : least[i];
            wrong += index[i] != first || !(least[i] == most || (isnan(least[i]) && isnan(most)));
        }
        CHECK(!wrong, "%s: nearest, round %d: %d of %d rows are wrong", table->name, round, wrong,
              NX);
    }
    table->release(here);
}

/* ------------------------------------------------------------------------------- random numbers */

/* The known answers that the authors of Philox publish, and a counter in our order: index below,
 * stream above. */
static void test_philox(void) {
    static const struct { uint64_t seed, stream, index; uint32_t want[4]; } known[] = {
        { 0, 0, 0, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { ~0ull, ~0ull, ~0ull, { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { 0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88,        /* the digits of pi */
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t got[4];
        philox4x32(got, known[i].seed, known[i].stream, known[i].index);
        for (int j = 0; j < 4; j++)
            CHECK(got[j] == known[i].want[j], "Philox vector %d, word %d: %08x", (int)i, j, got[j]);
    }
    int seen[7] = {0};
    for (uint64_t i = 0; i < 7000; i++) {
        int below = philox_below(5, 6, i, 7);
        if (below >= 0 && below < 7) seen[below]++;
    }
    for (int i = 0; i < 7; i++)
        CHECK(abs(seen[i] - 1000) < 120, "philox_below(7) gives %d %d times of 7000", i, seen[i]);
    CHECK(philox_below(5, 6, 0, 1) == 0, "below 1 there is only 0");
}

/* The polynomials of box_muller against the library's log, sin and cos in double. */
static void test_box_muller(void) {
    for (uint64_t i = 0; i < 20000; i++) {
        uint32_t k[4];
        float z[2];
        philox4x32(k, 1, 2, i);
        if (i < 4) k[0] = i & 1 ? 0xFFFFFFFFu : 0, k[1] = i & 2 ? 0xFFFFFFFFu : 0; /* the corners */
        box_muller(z, k[0], k[1]);
        double u1 = (k[0] + 0.5) * 0x1p-32, r = sqrt(-2 * log(u1));
        double angle = 6.283185307179586 * k[1] * 0x1p-32;
        /* u1 has 24 bits: near 1 its logarithm has few */
        double tolerance = 4e-7 * r + 1.3e-7 / fmax(r, 5e-4);
        CLOSE(z[0], r * cos(angle), tolerance, 0, "r cos, words %08x %08x", k[0], k[1]);
        CLOSE(z[1], r * sin(angle), tolerance, 0, "r sin, words %08x %08x", k[0], k[1]);
    }
}

static int ascending(const void *a, const void *b) {
    double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}

/* Are these numbers, put through their distribution function, uniform in [0,1)? Sorts u.
 * Kolmogorov and Smirnov: the largest distance of the counts from the line, times sqrt(n), exceeds
 * 1.95 once in 1000. Pearson's chi-square over 64 equal bins has mean 63 and exceeds 103 once in
 * 1000. The seed is fixed: no luck. */
static void check_uniform(double *u, long n, const char *what) {
    double distance = 0, chi = 0;
    long bin[64] = {0};
    qsort(u, (size_t)n, sizeof *u, ascending);
    CHECK(u[0] >= 0 && u[n - 1] < 1, "%s: %g to %g, expected within [0,1)", what, u[0], u[n - 1]);
    for (long i = 0; i < n; i++) {
        distance = fmax(distance, fmax(fabs(u[i] - (double)i / (double)n),
                                       fabs(u[i] - (double)(i + 1) / (double)n)));
        bin[(int)(u[i] * 64) & 63]++;
    }
    double each = n / 64.;
    for (int i = 0; i < 64; i++) chi += ((double)bin[i] - each) * ((double)bin[i] - each) / each;
    CHECK(distance * sqrt((double)n) < 1.95, "%s: Kolmogorov-Smirnov %g", what,
          distance * sqrt((double)n));
    CHECK(chi < 103, "%s: chi-square %g", what, chi);
}

/* n numbers of a stream, on the host. */
static void draw(const Ops *table, int normal, real *out, long n, uint64_t seed, uint64_t stream) {
    real *x = table->alloc(n);
    (normal ? table->random_normal : table->random_uniform)(x, n, seed, stream);
    table->download(out, x, n);
    table->release(x);
}

static void test_random(const Ops *table) {
    enum { LENGTH = 200000 };
    static real x[LENGTH], y[LENGTH];
    static double u[LENGTH];
    for (int normal = 0; normal < 2; normal++) {
        const char *what = normal ? "random_normal" : "random_uniform";
        draw(table, normal, x, LENGTH, 1, 0);
        for (long i = 0; i < LENGTH; i++) u[i] = normal ? erfc(-x[i] / sqrt(2)) / 2 : x[i];
        check_uniform(u, LENGTH, what);
        for (long n = 1; n < 10000; n = n * 3 + 1) {
            draw(table, normal, y, n, 1, 0);
            CHECK(!memcmp(x, y, sizeof(real) * n),
                  "%s: the first %ld of a longer draw are others", what, n);
        }
        double mean = normal ? 0 : 0.5, variance = normal ? 1 : 1 / 12.;
        /* neighbours, another seed, another stream: not correlated */
        for (int other = 0; other < 5; other++) {
            double sum = 0;
            int lag = other < 3 ? other + 1 : 0;
            draw(table, normal, y, LENGTH, other == 3 ? 2 : 1, other == 4);
            for (long i = lag; i < LENGTH; i++) sum += (x[i - lag] - mean) * (y[i] - mean);
            CLOSE(sum / LENGTH / variance, 0, 4 / sqrt(LENGTH), 0, "%s: correlation %d", what,
                  other);
        }
    }
    double moment[5] = {0};                                          /* x now holds normals */
    long beyond[7] = {0};
    for (long i = 0; i < LENGTH; i++) {
        for (int p = 1; p <= 4; p++) moment[p] += pow(x[i], p) / LENGTH;
        for (int s = 1; s <= 6; s++) beyond[s] += fabsf(x[i]) > s;
    }
    const double want[5] = { 0, 0, 1, 0, 3 }, spread[5] = { 0, 1, 2, 15, 96 }; /* E x^p, Var x^p */
    for (int p = 1; p <= 4; p++)
        CLOSE(moment[p], want[p], 4 * sqrt(spread[p] / LENGTH), 0, "moment %d", p);
    for (int s = 1; s <= 6; s++) {
        double expected = LENGTH * erfc(s / sqrt(2));
        CLOSE(beyond[s], expected, 4 * sqrt(expected) + 1, 0,
              "normals beyond %d standard deviations", s);
    }
    draw(table, 0, y, 1001, 3, 4);
    for (long i = 0; i < 1001; i++)
        CHECK(y[i] == philox_uniform(3, 4, i), "philox_uniform is random_uniform");
}

/* --------------------------------------------------------------------------------- the checkers */

/* An addition with a typical mistake, by its number. */
enum { ONE_BEFORE, ONE_BEHIND, READS_BEHIND, ONE_MISSING, CHANGES_INPUT, SLIGHTLY_OFF, MISTAKES,
       COUNTS_THREADS = MISTAKES };
static int mistake;
static void add_wrongly(real *y, const real *a, const real *b, long n) {
    ops_naive.add_forward(y, a, b, mistake == ONE_MISSING ? n - 1 : n);
    switch (mistake) {
        case ONE_BEFORE: y[-1] = 0; break;
        case ONE_BEHIND: y[n] = 0; break;
        case READS_BEHIND: y[n - 1] += 0 * a[n]; break;
        case CHANGES_INPUT: *(real *)(uintptr_t)(a + n / 2) += 1; break;
        case SLIGHTLY_OFF: y[n / 2] *= 1.000002f; break;
        case COUNTS_THREADS: y[n / 2] += 1e-3f * (real)omp_get_max_threads();
    }
}
static void relu_without_nan(real *y, const real *x, real slope, long n) {
    for (long i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : slope * fminf(x[i], 0);
}
static void adam_skips_nan(real *p, real *m, real *v, const real *g, long n,
                           real lr, real b1, real b2, real eps, long t) {
    for (long i = 0; i < n; i++)
        if (!isnan(g[i])) ops_naive.adam_step(p + i, m + i, v + i, g + i, 1, lr, b1, b2, eps, t);
}

static void test_checkers(void) {
    CHECK(comparison_mistakes() == 0, "first_difference makes %d mistakes", comparison_mistakes());
    const Op *add = find_op("add_forward");
    Ops broken = ops_naive;
    broken.add_forward = add_wrongly;
    guards_end_it = 0;
    CHECK(!compare(&ops_naive, add, &image_cases[3]), "naive is naive");
    for (mistake = 0; mistake < MISTAKES; mistake++)
        CHECK(compare(&broken, add, &image_cases[3]), "planted error %d is not seen", mistake);
    guards_end_it = 1;
    broken.leaky_relu_forward = relu_without_nan;
    broken.adam_step = adam_skips_nan;
#ifdef _OPENMP
    CHECK(thread_difference(&broken, add, &image_cases[3]),
          "a result that depends on the threads is not seen");
#endif
    CHECK(nan_lost(&broken, find_op("leaky_relu_forward")), "a relu that swallows NaN is not seen");
    CHECK(nan_lost(&broken, find_op("adam_step")), "an Adam that swallows NaN is not seen");
}

int main(int argc, char **argv) {
    (void)argc, (void)argv;
#ifdef WITH_CUDA
    if (argc > 1 && !strcmp(argv[1], "large")) thin = 1;
    const char *missing = cuda_open(0);
    CHECK(!missing, "%s", missing);
    if (missing) return test_report("ops");
#endif
    test_checkers();
    test_philox();
    test_box_muller();
    test_accumulation();
    test_constants();
#ifndef WITH_CUDA
    test_tasks();
#endif
    for (int i = 0; i < TABLES; i++) {
        test_table(tables[i]);
#ifdef WITH_CUDA
        test_threads(tables[i], thin);
#else
        test_threads(tables[i], 1);
        if (tables[i] == &ops_tiled) test_winograd(tables[i]);
#endif
        test_nan(tables[i]);
        test_clip_norm(tables[i]);
        test_nearest(tables[i]);
        test_first(tables[i]);
        test_in_place(tables[i]);
        test_random(tables[i]);
    }
#ifdef WITH_CUDA
    test_cuda();
    cuda_close();
#endif
    return test_report("ops");
}
