/* golden_mistaken.c: build/golden_float with a mistake in it, for ./validate to name: its first argument is padding,
 * variance or adam, the others are golden_float's. */
#define main golden_main
#include "validation/golden.c"
#undef main

static void wrong_padding(real *y, const real *x, const real *w, const real *b, const Conv *d) {
    Conv wrong = *d;
    wrong.pad++;
    ops_naive.conv2d_forward(y, x, w, b, &wrong);
}
static void wrong_adam(real *p, real *m, real *v, const real *g, long n, real lr, real beta1, real beta2, real eps,
                       long t) {
    ops_naive.adam_step(p, m, v, g, n, lr, beta1, beta2, eps, t + 100000000);
}

int main(int count, char **argument) {
    static Ops wrong;
    wrong = *table, table = &wrong;
    if (!strcmp(argument[1], "padding")) wrong.conv2d_forward = wrong_padding;
    if (!strcmp(argument[1], "variance")) wrong.normalize_forward = normalize_unbiased;
    if (!strcmp(argument[1], "adam")) wrong.adam_step = wrong_adam;
    return golden_main(count - 1, argument + 1);
}
