/* op_calls.h: one entry of a table on one case of validation/op_cases.h: is it right, and does it keep to its tensors?
 *
 *       Data x = data_random(&op_list[i], &shape, seed);
 *       const char *wrong = run(&ops_tiled, &op_list[i], &shape, &x);      NULL, or what is wrong
 */
#ifndef OP_CALLS_H
#define OP_CALLS_H
#include "validation/op_cases.h"

static inline const Op *find_op(const char *name) {
    for (int i = 0; i < OPS; i++)
        if (!strcmp(op_list[i].name, name)) return &op_list[i];
    fprintf(stderr, "op_cases.h: no operation '%s' in the list\n", name);
    exit(1);
}

/* Choice number i of the optional tensors to pass as NULL, for case k; 0: no such choice. */
static inline int choose_null(const Op *op, Case *k, int choice) {
    static char names[100];
    Tensor t[MOST_TENSORS];
    int count = op->tensors(t, k), optional = 0;
    names[0] = 0;
    for (int i = 0; i < count; i++)
        if (t[i].role & MAYBE && choice >> optional++ & 1)
            strcat(strcat(names, names[0] ? " " : ""), t[i].name);
    k->null = names;
    return choice < 1 << optional;
}

static inline Data data_copy(const Data *from) {
    Data x = *from;
    for (int i = 0; i < x.count; i++) {
        if (!from->value[i]) continue;
        x.value[i] = ops_naive.alloc(x.tensor[i].size);
        ops_naive.copy(x.value[i], from->value[i], x.tensor[i].size);
    }
    return x;
}

/* ---- comparison ---- */

/* The first element with not |got - want| <= atol + rtol |want|, or -1. NaN and infinity are close
 * to nothing. */
static long first_difference(const real *got, const real *want, long n, double rtol) {
    double squares = 0;
    for (long i = 0; i < n; i++) squares += (double)want[i] * want[i];
    double atol = n ? rtol * sqrt(squares / (double)n) : 0;
    for (long i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= atol + rtol * fabs((double)want[i]))) return i;
    return -1;
}

/* Planted errors: does first_difference see what it must see, and only that? Returns the number of
 * wrong verdicts. */
static inline int comparison_mistakes(void) {
    enum { AT = 7, LENGTH = 20 };
    const double rtol = 1e-5;
    real want[LENGTH], got[LENGTH];
    double squares = 0;
    for (int i = 0; i < LENGTH; i++) want[i] = (real)(i - 9.5),
        squares += (double)want[i] * want[i];
    double allowed = rtol * (sqrt(squares / LENGTH) + fabs((double)want[AT]));
    const struct { double value; int seen; } planted[] = {
        { want[AT], 0 }, { want[AT] + 0.9 * allowed, 0 }, { want[AT] - 0.9 * allowed, 0 },
        { want[AT] + 1.1 * allowed, 1 }, { want[AT] - 1.1 * allowed, 1 },
        { -want[AT], 1 }, { 0, 1 }, { NAN, 1 }, { INFINITY, 1 }, { -INFINITY, 1 },
    };
    int mistakes = 0;
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        memcpy(got, want, sizeof got);
        got[AT] = (real)planted[i].value;
        mistakes += first_difference(got, want, LENGTH, rtol) != (planted[i].seen ? AT : -1);
    }
    memcpy(got, want, sizeof got);
    got[AT] = want[AT + 1], got[AT + 1] = want[AT];                     /* two elements exchanged */
    mistakes += first_difference(got, want, LENGTH, rtol) != AT;
    /* an operation without a tolerance */
    mistakes += first_difference(want, want, LENGTH, NAN) != 0;
    want[AT] = (real)NAN;
    mistakes += first_difference(want, want, LENGTH, rtol) < 0; /* NaN is not even close to NaN */
    return mistakes;
}

/* ---- one call ---- */

/* With -fsanitize=address even a read of a guard that spoils nothing ends the program, unless
 * guards_end_it is 0. */
#ifdef __SANITIZE_ADDRESS__
#define POISONED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define POISONED 1
#endif
#endif
#ifdef POISONED
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes) ((void)(at))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at))
#endif
static int guards_end_it = 1;

/* Calls one entry of a table on copies of the tensors in the table's own memory, and brings the
 * results back to x. Around each tensor lie guard zones of NaN: a read out of range spoils a
 * result, a write out of range changes a guard. They are odd in length: a tensor inside a block of
 * parameters is aligned to nothing either. With guard_length = 64 tensors are aligned as fresh
 * memory is: for code that then reads faster. NULL, or what the operation did that it must not. */
static int guard_length = 67;
static inline const char *run(const Ops *table, const Op *op, const Case *k, Data *x) {
    enum { MOST = 67 };
    static char message[200];
    real guard[MOST], back[MOST], *place[MOST_TENSORS] = {0};
    const int GUARD = guard_length;
    const size_t bytes = sizeof(real) * GUARD;
    message[0] = 0;
    for (int i = 0; i < GUARD; i++) guard[i] = (real)NAN;
    for (int i = 0; i < x->count; i++) {
        if (!x->value[i]) continue;
        long n = x->tensor[i].size;
        real *block = table->alloc(n + 2 * GUARD);
        if (!block) return "no memory";
        place[i] = block + GUARD;
        table->upload(block, guard, GUARD);
        table->upload(place[i], x->value[i], n);
        table->upload(place[i] + n, guard, GUARD);
        if (guards_end_it) ASAN_POISON_MEMORY_REGION(block, bytes);
        if (guards_end_it) ASAN_POISON_MEMORY_REGION(place[i] + n, bytes);
    }
    op->call(table, place, k);
    for (int i = 0; i < x->count; i++) {
        if (!x->value[i]) continue;
        const Tensor *t = &x->tensor[i];
        ASAN_UNPOISON_MEMORY_REGION(place[i] - GUARD, sizeof(real) * (t->size + 2 * GUARD));
        real *before = ops_naive.alloc(t->size);
        memcpy(before, x->value[i], sizeof(real) * t->size);
        table->download(x->value[i], place[i], t->size);
        if (t->role & IN && memcmp(before, x->value[i], sizeof(real) * t->size))
            snprintf(message, sizeof message, "changes its input %s", t->name);
        for (int end = 0; end < 2; end++) {
            table->download(back, end ? place[i] + t->size : place[i] - GUARD, GUARD);
            if (memcmp(back, guard, bytes))
                snprintf(message, sizeof message, "writes %s the end of %s", end ? "behind"
                         : "before", t->name);
        }
        ops_naive.release(before);
        table->release(place[i] - GUARD);
    }
    return message[0] ? message : NULL;
}

/* For messages: the sizes of a case. */
static inline const char *sizes_of(const Case *k) {
    static char text[200];
    const Conv *d = &k->d;
    snprintf(text, sizeof text,
             "n %d, %dx%dx%d -> %dx%dx%d, kernel %d, stride %d, pad %d, a %g, NULL: %s", d->n, d->h,
             d->w, d->c, d->oh, d->ow, d->o, d->kernel, d->stride, d->pad, (double)k->a,
             k->null ? k->null : "");
    return text;
}
#endif
