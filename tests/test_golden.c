/* test_golden.c: every operation of the CPU tables against PyTorch's numbers in
 * data/ops.safetensors. golden_ops.py makes that file and says what is in it. It is looked for in
 * the folder $TESTS, else in tests/. */
#define ERROR_IMPLEMENTATION
#define LAYERS_IMPLEMENTATION
#define TILED_IMPLEMENTATION
#define SAFETENSORS_IMPLEMENTATION
#include "layers.h"
#include "core/tiled.h"
#include "core/safetensors.h"
#include "validation/tolerances.h"
#include "op_calls.h"
#include "test.h"

static const Ops *const tables[] = { &ops_naive, &ops_tiled };
enum { TABLES = sizeof tables / sizeof *tables };

/* PyTorch has nothing to say on moving numbers, or on our random ones. */
static const char *const without_golden = "fill copy axpy scale random_uniform random_normal";

static const StTensor *golden(const StFile *file, const Op *op, int number, const char *tensor,
                              const char *suffix) {
    char name[100];
    snprintf(name, sizeof name, "%s.%d/%s%s", group_of(op), number, tensor, suffix);
    return st_find(file, name);
}

/* The sizes of case `number` of an entry's group; 0 when the file has no such case. */
static int read_case(const StFile *file, const Op *op, int number, Case *k) {
    float v[13];
    const StTensor *t = golden(file, op, number, "case", "");
    if (!t || !st_read_f32(t, v, 13)) return 0;
    *k = (Case){ .a = v[10], .scale = v[11], .t = (long)v[12] };
    int *const size[] = { &k->d.n, &k->d.h, &k->d.w, &k->d.c, &k->d.oh, &k->d.ow, &k->d.o,
                          &k->d.kernel, &k->d.stride,
                          &k->d.pad };
    for (int i = 0; i < 10; i++) *size[i] = (int)v[i];
    return 1;
}

/* Runs one entry on the inputs of one case and compares all that it writes. NULL, or what is wrong.
 * */
static const char *check_golden(const StFile *file, const Ops *table, const Op *op, int number) {
    static char message[200];
    Case k;
    if (!read_case(file, op, number, &k)) return "no case";
    const char *wrong = NULL;
    float *want[MOST_TENSORS] = {0};
    Data x = data_random(op, &k, 1);
    for (int i = 0; i < x.count && !wrong; i++) {
        const Tensor *t = &x.tensor[i];
        const StTensor *value = golden(file, op, number, t->name, "");
        const StTensor *before = golden(file, op, number, t->name, ".before");
        if (!value && t->role & MAYBE) {                              /* absent: NULL */
            ops_naive.release(x.value[i]);
            x.value[i] = NULL;
            continue;
        }
        want[i] = ops_naive.alloc(t->size);
        if (!value) snprintf(message, sizeof message, "the file has no %s", t->name),
            wrong = message;
        else if (!st_read_f32(value, want[i], t->size)) wrong = error_text();
        else if (t->role & IN) ops_naive.copy(x.value[i], want[i], t->size);
        else if (t->role & INOUT) ops_naive.fill(x.value[i], 0, t->size);
        if (before && !wrong && !st_read_f32(before, x.value[i], t->size)) wrong = error_text();
    }
    if (!wrong) wrong = run(table, op, &k, &x);
    for (int i = 0; i < x.count && !wrong; i++) {
        if (!want[i] || x.tensor[i].role & IN) continue;
        long at = first_difference(x.value[i], want[i], x.tensor[i].size, rtol_of(op, &k));
        if (at < 0) continue;
        snprintf(message, sizeof message, "%s[%ld] = %.9g, PyTorch %.9g", x.tensor[i].name, at,
                 (double)x.value[i][at], (double)want[i][at]);
        wrong = message;
    }
    for (int i = 0; i < x.count; i++) ops_naive.release(want[i]);
    data_free(&x);
    return wrong;
}

static void test_table(const StFile *file, const Ops *table) {
    for (int i = 0; i < OPS; i++) {
        const Op *op = &op_list[i];
        Case k;
        int number = 0;
        for (; read_case(file, op, number, &k); number++) {
            const char *wrong = check_golden(file, table, op, number);
            CHECK(!wrong, "%s %s.%d: %s (%s)", table->name, op->name, number, wrong, sizes_of(&k));
        }
        CHECK(number >= 2 || has_word(without_golden, op->name), "%s has %d golden cases, not 2",
              op->name, number);
    }
}

/* Planted errors: in the file, one value of each kind of tensor; in the code, a leaky relu with
 * another slope. */
static void slope_off(real *y, const real *x, real slope, long n) {
    ops_naive.leaky_relu_forward(y, x, slope * 1.00001f, n);
}

static void test_checkers(const StFile *file) {
    CHECK(comparison_mistakes() == 0, "first_difference makes %d mistakes", comparison_mistakes());
    static const char *const planted[][2] = {
        { "conv2d_forward", "y" }, { "conv2d_forward", "x" }, { "conv2d_backward_weight", "dw" },
        { "dense_forward", "b" }, { "clip", "x.before" }, { "adam_step", "p" },
            { "bce_logits_forward", "loss" },
        { "gram_forward", "g" },
    };
    const float errors[] = { 1.001f, -1, NAN };
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++)
        for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
            const Op *op = find_op(planted[i][0]);
            const StTensor *t = golden(file, op, 0, planted[i][1], "");
            CHECK(t, "%s.0 has %s", op->name, planted[i][1]);
            if (!t) continue;
            float *first = (float *)(uintptr_t)t->data, old = *first;
            CHECK(!check_golden(file, &ops_naive, op, 0), "%s is right before the planted error",
                  op->name);
            *first *= errors[e];
            CHECK(check_golden(file, &ops_naive, op, 0), "%s: an error in %s is not seen", op->name,
                  planted[i][1]);
            *first = old;
        }
    Ops broken = ops_naive;
    broken.leaky_relu_forward = slope_off;
    CHECK(check_golden(file, &broken, find_op("leaky_relu_forward"), 0),
          "an error in the code is not seen");
    CHECK(check_golden(file, &ops_naive, find_op("conv2d_forward"), 99),
          "a missing case is not noticed");
}

int main(void) {
    char path[4096];
    StFile file;
    const char *folder = getenv("TESTS");
    snprintf(path, sizeof path, "%s/data/ops.safetensors", folder ? folder : "tests");
    int opened = st_open(&file, path);
    CHECK(opened, "%s", error_text());
    if (opened) {
        CHECK(st_meta(&file, "torch"), "the file says which PyTorch made it");
        test_checkers(&file);
        for (int i = 0; i < TABLES; i++) test_table(&file, tables[i]);
        st_close(&file);
    }
    return test_report("golden");
}
