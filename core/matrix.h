/* matrix.h: square matrices of doubles, (n,n), row by row. */
#ifndef MATRIX_H
#define MATRIX_H
#include <math.h>

/* out = a b; out is neither */
static inline void matrix_product(double *out, const double *a, const double *b, int n) {
    for (long i = 0; i < (long)n * n; i++) out[i] = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++)
            for (int j = 0; j < n; j++) out[i * n + j] += a[i * n + k] * b[k * n + j];
}

/* Of the n pairs (a,b), `step` apart: a = c a - r b, b = r a + c b */
static inline void matrix_rotate(double *a, double *b, int n, int step, double c, double r) {
    for (; n--; a += step, b += step) {
        double x = *a, y = *b;
        *a = c * x - r * y, *b = r * x + c * y;
    }
}

/* s = V diag(e) V^T of a symmetric matrix: cyclic Jacobi (Golub, Van Loan: "Matrix computations",
 * 8.5). s becomes diag(e); v: (n,n), an eigenvector a column, or NULL. */
static inline void symmetric_eigen(double *s, double *v, int n) {
    for (long i = 0; v && i < (long)n * n; i++) v[i] = i % (n + 1) == 0;
    for (int sweep = 0; sweep < 60; sweep++) {
        double off = 0, all = 0;
        for (long i = 0; i < (long)n * n; i++)
            all += s[i] * s[i], off += i % (n + 1) ? s[i] * s[i] : 0;
        if (!(off > 1e-30 * all)) break;
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) {           /* a rotation that makes s[p][q] zero */
                double spq = s[p * n + q];
                if (spq == 0) continue;
                double tau = (s[q * n + q] - s[p * n + p]) / (2 * spq);
                double t = (tau >= 0 ? 1 : -1) / (fabs(tau) + sqrt(1 + tau * tau));
                double c = 1 / sqrt(1 + t * t), r = t * c;
                matrix_rotate(s + p, s + q, n, n, c, r);            /* columns p and q of s, */
                if (v) matrix_rotate(v + p, v + q, n, n, c, r);     /* of V, */
                matrix_rotate(s + p * n, s + q * n, n, 1, c, r);    /* and rows of s */
            }
    }
}
#endif
