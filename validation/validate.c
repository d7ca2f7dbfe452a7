/* validate.c: is another implementation right? Compares a file of its results with the reference's, tensor by tensor, and names the mistake.
 *
 *   make golden                                                     writes golden/: what to compute, from what, and what must come out
 *   ./validate THEIRS.safetensors --against golden/conv2d.safetensors [--partial] [--verbose]
 *
 * THEIRS holds results under the names that the golden file has for them (conv2d.0/y, conv2d.0/dx, ..), in float32 or float64. A number is
 * right when |theirs - ours| <= atol + rtol |ours|; both stand in the golden file's metadata beside the tensor's name, with the reason.
 * Of a tensor that is wrong: the largest errors, where, how many; then the usual mistakes are tried, on theirs (another layout, sign, factor)
 * and on the reference, which is computed again with the mistake in it (padding, a kernel turned round, no bias correction).
 * Exit status: 0 all right, 1 something is not (or not there), 2 wrong usage.                      Compiled in double, with the textbook code. */
#include "validation/op_cases.h"
#include "core/error.h"
#include "core/options.h"
#include "core/safetensors.h"

#define STRAY 0.005                      /* of a tensor after training steps: where a gradient is nearly zero, Adam's step has its sign, which rounding decides */
#define STRAY_FAR 3000                   /* but no further away than so many times what is allowed, which is about the learning rate */
enum { MOST_RANK = 4, PERMUTATIONS = 24, MOST_SHOWN = 12 };
typedef struct Result {
    char name[200], why[200];
    double atol, rtol;
    const StTensor *shape;               /* as the golden file has it */
    double *want, *got;                  /* (count) */
    long count;
} Result;

static StFile golden, theirs;
static const char *against;
static int partial, verbose, shown, help;
static Option table[] = {
    TEXT_OPTION("--against", &against, "", 0, "a file of golden/, which make golden writes"),
    FLAG_OPTION("--partial", &partial, 0, "results that THEIRS does not have are no mistake"),
    FLAG_OPTION("--verbose", &verbose, 0, "a line for each result, right ones too"),
    FLAG_OPTION("--help", &help, 0, "this text"),
    END_OF_OPTIONS
};

static void *memory(size_t bytes) {
    void *at = calloc(bytes ? bytes : 1, 1);
    if (!at) die(1, "not enough memory for %zu bytes of a result", bytes);
    return at;
}

static long count_of(const StTensor *t) {
    long n = 1;
    for (int d = 0; d < t->rank; d++) n *= t->shape[d];
    return n;
}

static double *values(const StTensor *t, long n) {
    double *v = memory(sizeof *v * (size_t)n);
    if (!st_read_f64(t, v, n)) die(1, "%s", error_text());
    return v;
}

static const char *shape_text(const StTensor *t) {
    static char text[4][100];
    static int turn;
    char *at = text[turn = (turn + 1) % 4];
    int n = snprintf(at, sizeof text[0], "(");
    for (int d = 0; d < t->rank; d++) n += snprintf(at + n, sizeof text[0] - (size_t)n, "%s%ld", d ? "," : "", t->shape[d]);
    snprintf(at + n, sizeof text[0] - (size_t)n, ")");
    return at;
}

/* The share of numbers that are not within factor * (atol + rtol |want|). NaN is within nothing. */
static double share_outside(const Result *r, const double *got, const double *want, double factor) {
    long outside = 0;
    for (long i = 0; i < r->count; i++) outside += !(fabs(got[i] - want[i]) <= factor * (r->atol + r->rtol * fabs(want[i])));
    return (double)outside / (double)(r->count ? r->count : 1);
}
static int same(const Result *r, const double *got, const double *want) { return share_outside(r, got, want, 1) == 0; }

/* The shapes of two tensors without their axes of length 1: equal, or (order = 0) the same lengths in some order? */
static int alike(const StTensor *a, const StTensor *b, int order) {
    long left[2][ST_RANK_MAX], count[2] = {0};
    for (int k = 0; k < 2; k++) for (int d = 0; d < (k ? b : a)->rank; d++) if ((k ? b : a)->shape[d] != 1) left[k][count[k]++] = (k ? b : a)->shape[d];
    for (int k = 0; k < 2 && !order; k++) for (int i = 1; i < count[k]; i++) for (int j = i; j > 0 && left[k][j] < left[k][j - 1]; j--) {
        long swap = left[k][j];
        left[k][j] = left[k][j - 1], left[k][j - 1] = swap;
    }
    return count[0] == count[1] && !memcmp(left[0], left[1], (size_t)count[0] * sizeof(long));
}

/* ------------------------------------------------------------------------------------- mistakes that their file can show */

/* The numbers of `from`, whose axes are those of `shape` in the order `axis`, in the order of `shape`; with turned > 0 its first so many
 * axes run backwards */
static void reorder(double *to, const double *from, const long *shape, int rank, const int *axis, int turned) {
    long n = 1, stride[MOST_RANK] = {0}, step = 1;
    for (int d = 0; d < rank; d++) n *= shape[d];
    for (int d = rank; d-- > 0;) stride[axis[d]] = step, step *= shape[axis[d]];
    for (long i = 0; i < n; i++) {
        long rest = i, at = 0;
        for (int d = rank; d-- > 0;) {
            long place = rest % shape[d];
            at += (d < turned ? shape[d] - 1 - place : place) * stride[d];
            rest /= shape[d];
        }
        to[i] = from[at];
    }
}

static int another_layout(const Result *r) {
    int rank = r->shape->rank, weights = strstr(r->name, "/w") || strstr(r->name, "/dw");
    const char *letters = rank == 2 ? (weights ? "IO" : "NC") : rank == 3 ? "HWI" : weights ? "HWIO" : "NHWC";
    if (rank < 2 || rank > MOST_RANK) return 0;
    double *try = memory(sizeof *try * (size_t)r->count);
    int found = 0;
    static const int usual[][MOST_RANK] = { { 0, 3, 1, 2 }, { 3, 2, 0, 1 }, { 2, 3, 0, 1 }, { 1, 0, 2, 3 } };      /* NCHW, OIHW, IOHW, a matrix turned */
    for (int p = 0; p < 4 + PERMUTATIONS && !found; p++) {
        int axis[MOST_RANK], left[MOST_RANK] = { 0, 1, 2, 3 }, code = p - 4, valid = 1;
        for (int d = 0; d < MOST_RANK; d++) {                        /* the permutation of four of that number */
            int pick = p < 4 ? 0 : code % (MOST_RANK - d);
            code /= MOST_RANK - d;
            axis[d] = p < 4 ? usual[p][d] : left[pick];
            memmove(left + pick, left + pick + 1, sizeof *left * (size_t)(MOST_RANK - 1 - pick));
        }
        for (int d = 0; d < MOST_RANK; d++) valid &= d < rank ? axis[d] < rank : axis[d] == d;
        for (int turned = 0; turned <= 2 * weights && valid && !found; turned += 2) {
            reorder(try, r->got, r->shape->shape, rank, axis, turned);
            if (!same(r, try, r->want) || (same(r, r->got, r->want) && !turned)) continue;
            char order[MOST_RANK + 1] = "";
            for (int d = 0; d < rank; d++) order[d] = letters[axis[d]];
            printf("    matches after %s->%s%s\n", order, letters, turned ? ", the kernel turned by 180 degrees" : "");
            found = 1;
        }
    }
    free(try);
    return found;
}

/* theirs = f * ours? Then f often says what was forgotten. */
static int another_factor(const Result *r, const Case *k) {
    double product = 0, square = 0;
    for (long i = 0; i < r->count; i++) product += r->got[i] * r->want[i], square += r->want[i] * r->want[i];
    double f = product / square;
    if (!(r->count > 1 && square > 0 && isfinite(f) && fabs(f) > 1e-9)) return 0;
    double *try = memory(sizeof *try * (size_t)r->count);
    for (long i = 0; i < r->count; i++) try[i] = r->got[i] / f;
    int found = share_outside(r, try, r->want, 2) == 0;
    free(try);
    if (!found) return 0;
    printf("    matches after division by %.9g", f);
    if (fabs(f + 1) < 1e-4) printf(": the sign");
    else if (k) {
        const Conv *d = &k->d;
        const struct { const char *what; double n; } sizes[] = { { "the batch, n", d->n }, { "h w", (double)d->h * d->w }, { "n h w", (double)d->n * d->h * d->w },
            { "n h w c", (double)d->n * d->h * d->w * d->c }, { "c", d->c }, { "h w c", (double)d->h * d->w * d->c }, { "kernel^2", (double)d->kernel * d->kernel } };
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            double n = sizes[i].n, rows = strstr(r->name, "normalize") || strstr(r->name, "moments") ? (double)d->h * d->w : n;
            if (n > 1 && fabs(f - n) < 1e-4 * n) { printf(": a sum over %s where the formula has a mean", sizes[i].what); break; }
            if (n > 1 && fabs(f * n - 1) < 1e-4) { printf(": a mean over %s where the formula has a sum", sizes[i].what); break; }
            if (rows > 2 && (fabs(f - rows / (rows - 1)) < 2e-6 * rows / (rows - 1))) { printf(": a variance with 1/(m-1) where the formula has 1/m, m = %g", rows); break; }
        }
        if (k->scale != 0 && fabs(f * k->scale - 1) < 1e-4) printf(": without the factor scale = %g", (double)k->scale);
    }
    printf("\n");
    return 1;
}

/* --------------------------------------------------------------------------- mistakes that the reference can make on purpose */

/* The sizes of the case a tensor belongs to; 0: the file has none */
static int case_of(const Result *r, Case *k) {
    char name[220];
    snprintf(name, sizeof name, "%.*s/case", (int)strcspn(r->name, "/"), r->name);
    const StTensor *t = strchr(r->name, '/') ? st_find(&golden, name) : NULL;
    if (!t || count_of(t) != 13) return 0;
    double *v = values(t, 13);
    int sound = v[12] >= 0 && v[12] < 1e9;                           /* a damaged file's sizes would cost memory, or worse */
    for (int i = 0; i < 10; i++) sound &= v[i] >= 0 && v[i] < (i < 7 ? 2000 : 100);
    if (!sound) { free(v); return 0; }
    *k = (Case){ .d = { (int)v[0], (int)v[1], (int)v[2], (int)v[3], (int)v[4], (int)v[5], (int)v[6], (int)v[7], (int)v[8], (int)v[9] },
                 .a = v[10], .scale = v[11], .t = (long)v[12] };
    free(v);
    return 1;
}

enum { PAD_LESS, PAD_MORE, TURNED, OIHW, IOHW, NO_BIAS, NO_SLOPE, NO_SCALE, UNCORRECTED, UNBIASED, BIASED, MISTAKES };
static const char *const mistake_text[MISTAKES] = {
    "a padding smaller by one", "a padding larger by one", "the kernel turned by 180 degrees (a convolution where the formula has a correlation, or the reverse)",
    "weights read as OIHW where they lie as HWIO", "weights read as IOHW where they lie as HWIO", "no bias", "a slope, target or rate a of 0",
    "no factor scale", "Adam without its bias correction", "a variance with 1/(m-1) where the formula has 1/m", "a variance with 1/m where the formula has 1/(m-1)",
};

/* The operation that writes r, again, from the golden file's inputs, with a mistake. 0: the mistake means nothing here */
static int compute_wrongly(const Result *r, const Case *right, int mistake, double *out) {
    Case k = *right;
    const char *tensor = strchr(r->name, '/') + 1;
    for (int i = 0; i < OPS; i++) {
        const Op *op = &op_list[i];
        const char *group = group_of(op);
        if (strncmp(r->name, group, strlen(group)) || r->name[strlen(group)] != '.') continue;
        Tensor size[MOST_TENSORS];
        int huge = 0;
        for (int j = op->tensors(size, right); j-- > 0;) huge |= size[j].size > 10000000;
        if (huge) return 0;
        Data x = data_random(op, right, 1);
        int at = data_find(&x, tensor), w = data_find(&x, "w"), b = data_find(&x, "b"), given = 1;
        for (int j = 0; j < x.count; j++) given &= x.value[j] != NULL;
        if (at < 0 || x.tensor[at].role & IN || x.tensor[at].size != r->count || !given) { data_free(&x); continue; }
        real *p[MOST_TENSORS];
        for (int j = 0; j < x.count; j++) {
            char name[300];
            p[j] = x.value[j];
            for (int before = 1; before >= 0; before--) {
                snprintf(name, sizeof name, "%.*s/%s%s", (int)(tensor - 1 - r->name), r->name, x.tensor[j].name, before ? ".before" : "");
                const StTensor *t = st_find(&golden, name);
                if (before && !t && x.tensor[j].role & INOUT && x.tensor[j].name[0] == 'd') { ops_naive.fill(p[j], 0, x.tensor[j].size); break; }
                if (t && count_of(t) == x.tensor[j].size && (before || !(x.tensor[j].role & INOUT))) { given &= st_read_f64(t, p[j], x.tensor[j].size); break; }
            }
        }
        int conv = strstr(op->name, "conv2d") != NULL, rank4 = w >= 0 && conv && !strstr(op->name, "depthwise");
        const long *shape = w >= 0 ? x.tensor[w].shape : NULL;
        static const int as_is[] = { 0, 1, 2, 3 }, oihw[] = { 3, 2, 0, 1 }, iohw[] = { 2, 3, 0, 1 };
        int known = given;
        if (mistake == PAD_LESS || mistake == PAD_MORE) known &= conv, k.d.pad += mistake == PAD_MORE ? 1 : -1;
        else if (mistake == TURNED || mistake == OIHW || mistake == IOHW) {
            known &= rank4;
            if (known) {
                double *copy = memory(sizeof *copy * (size_t)x.tensor[w].size);
                memcpy(copy, p[w], sizeof *copy * (size_t)x.tensor[w].size);
                reorder(p[w], copy, shape, 4, mistake == TURNED ? as_is : mistake == OIHW ? oihw : iohw, mistake == TURNED ? 2 : 0);
                free(copy);
            }
        } else if (mistake == NO_BIAS) { known &= b >= 0; if (known) p[b] = NULL; }
        else if (mistake == NO_SLOPE) known &= k.a != 0, k.a = 0;
        else if (mistake == NO_SCALE) known &= k.scale != 1, k.scale = 1;
        else if (mistake == UNCORRECTED) known &= !strcmp(op->name, "adam_step"), k.t = 100000000;
        else if (mistake == BIASED) known &= !strcmp(op->name, "batchnorm_track"), k.d.n = k.d.h = k.d.w = 1;
        else known &= !strcmp(op->name, "normalize_forward") && !strcmp(tensor, "y") && k.d.h * k.d.w > 1;
        if (known && mistake == UNBIASED) {
            long m = (long)k.d.h * k.d.w, c = k.d.c;
            const real *data = p[data_find(&x, "x")], *gamma = p[data_find(&x, "gamma")], *beta = p[data_find(&x, "beta")];
            const real *mean = p[data_find(&x, "mean")], *var = p[data_find(&x, "var")];
            for (long e = 0; e < r->count; e++) {
                long g = e / (m * c) * c + e % c;
                out[e] = gamma[e % c] * (data[e] - mean[g]) / sqrt(var[g] * (double)m / (double)(m - 1) + NORM_EPS) + beta[e % c];
            }
        } else if (known) {
            op->call(&ops_naive, p, &k);
            for (long e = 0; e < r->count; e++) out[e] = p[at][e];
        }
        data_free(&x);
        return known;
    }
    return 0;
}

static int a_known_mistake(const Result *r, const Case *k) {
    double *out = memory(sizeof *out * (size_t)r->count);
    int found = 0;
    for (int m = 0; m < MISTAKES && !found; m++) {
        if (!compute_wrongly(r, k, m, out) || same(r, out, r->want) || share_outside(r, r->got, out, 4) > 0) continue;
        printf("    is what the reference gives with: %s\n", mistake_text[m]);
        found = 1;
    }
    free(out);
    return found;
}

/* In a file of training steps, when the gradient is right and the parameter is not: which step was taken? Adam's first one is
 * p - lr g / (|g| + eps), since both corrections cancel the factors 1 - beta */
static int another_step(const Result *r) {
    const char *recipe = st_meta(&golden, "recipe"), *dot = strncmp(r->name, "step1/", 6) ? NULL : r->name + 6;
    double lr, beta1, beta2;
    const char *rates = recipe ? strstr(recipe, "lr ") : NULL;
    if (!rates || !dot || strstr(r->name, ".grad") || sscanf(rates, "lr %lf, beta1 %lf, beta2 %lf", &lr, &beta1, &beta2) != 3) return 0;
    char name[300];
    snprintf(name, sizeof name, "start/%s", dot);
    const StTensor *start = st_find(&golden, name);
    snprintf(name, sizeof name, "%s.grad", r->name);
    const StTensor *gradient = st_find(&golden, name);
    if (!start) return 0;
    long all = count_of(start);
    double *p = values(start, all), *out = memory(sizeof *out * (size_t)r->count), *g = gradient ? values(gradient, r->count) : NULL;
    static const char *const steps[] = { "no step at all", "Adam without its bias correction", "gradient descent without Adam", "Adam, up the slope",
                                         "running statistics that take the variance with 1/m for 1/(m-1)" };
    int found = 0;
    for (int s = 0; s < 5 && !found; s++) {
        double f = 0, square = 0;
        for (long i = 0; i < r->count; i++) {
            double before = p[i * all / r->count], d = g ? g[i] : 0;
            double change[] = { 0, -lr * (1 - beta1) * d / (sqrt(1 - beta2) * fabs(d) + 1e-8), -lr * d, lr * d / (fabs(d) + 1e-8) };
            out[i] = before + (s < 4 ? change[s] : 0);
            f += (r->got[i] - 0.9 * before) * (r->want[i] - 0.9 * before), square += (r->want[i] - 0.9 * before) * (r->want[i] - 0.9 * before);
        }
        if (s < 4 && (!g || same(r, out, r->want))) continue;
        if (s == 4 && (!strstr(r->name, "running_var") || !(f < 0.999999 * square) || !(f > 0.5 * square))) continue;
        for (long i = 0; i < r->count && s == 4; i++) out[i] = 0.9 * p[i] + f / square * (r->want[i] - 0.9 * p[i]);
        if (share_outside(r, r->got, out, 4) > 0) continue;
        printf("    is what comes of: %s\n", steps[s]);
        found = 1;
    }
    free(p), free(out), free(g);
    return found;
}

/* ------------------------------------------------------------------------------------------------------ one by one */

/* Which size would another stride or padding have given? */
static void explain_shape(const Result *r, const StTensor *t, const Case *k) {
    printf("    its shape is %s, expected %s", shape_text(t), shape_text(r->shape));
    if (k && strstr(r->name, "conv2d") && t->rank == 4 && strstr(r->name, "/y"))
        for (int stride = 1; stride <= 4; stride++) for (int pad = 0; pad < k->d.kernel; pad++)
            for (int nchw = 0; nchw < 2; nchw++) {
                int transposed = strstr(r->name, "transpose") != NULL;
                const Conv *d = &k->d;
                long h = transposed ? (d->oh - 1L) * stride - 2 * pad + d->kernel : CONV_SIZE(d->h, d->kernel, stride, pad);
                long w = transposed ? (d->ow - 1L) * stride - 2 * pad + d->kernel : CONV_SIZE(d->w, d->kernel, stride, pad);
                if (t->shape[1 + nchw] != h || t->shape[2 + nchw] != w) continue;
                printf(": that of stride %d, padding %d%s; the case has stride %d, padding %d\n", stride, pad, nchw ? ", as NCHW" : "", d->stride, d->pad);
                return;
            }
    printf("\n");
}

/* 1 right, 0 wrong */
static int check(Result *r, const StTensor *t) {
    Case k, *sizes = case_of(r, &k) ? &k : NULL;
    long all = count_of(t);
    char name[300];                                                  /* training: all of a tensor, or those numbers of it that the golden file has */
    snprintf(name, sizeof name, "start/%s", strchr(r->name, '/') ? strchr(r->name, '/') + 1 : "");
    if (strlen(name) > 5 && !strcmp(name + strlen(name) - 5, ".grad")) name[strlen(name) - 5] = 0;
    const StTensor *start = strncmp(r->name, "step", 4) ? NULL : st_find(&golden, name);
    int sampled = start && all == count_of(start), fits = sampled || (all == r->count && (start || alike(t, r->shape, 0)));
    double *read = values(t, all);
    r->got = memory(sizeof *r->got * (size_t)(r->count + 1));
    for (long i = 0; fits && i < r->count; i++) r->got[i] = read[sampled ? i * all / r->count : i];
    free(read);
    if (!fits) {
        if (!verbose && ++shown > MOST_SHOWN) return 0;
        printf("WRONG %s\n", r->name);
        explain_shape(r, t, sizes);
        return 0;
    }
    double share = share_outside(r, r->got, r->want, 1), most = -1, relative = 0;
    long at = 0, in = 0, nan = 0;
    for (long i = r->count; i-- > 0;) {
        double e = fabs(r->got[i] - r->want[i]);
        if (!isfinite(e)) nan++, at = i;                             /* the first of them is what is shown */
        else if (!nan && e > most) most = e, at = i;
        if (isfinite(e) && e > relative * fabs(r->want[i]) && r->want[i] != 0) relative = e / fabs(r->want[i]), in = i;
    }
    int good = share == 0 && (sampled || t->rank == 1 || alike(t, r->shape, 1));
    if (start && share <= STRAY && share_outside(r, r->got, r->want, STRAY_FAR) == 0) good = 1;
    if (good && !verbose) return 1;
    if (!good && !verbose && ++shown > MOST_SHOWN) return 0;
    char place[100] = "";
    long rest = at;
    for (int d = r->shape->rank; d-- > 0 && r->count; rest /= r->shape->shape[d]) {
        char tail[120];
        snprintf(tail, sizeof tail, "%ld%s%.80s", rest % r->shape->shape[d], place[0] ? "," : "", place);
        strcpy(place, tail);
    }
    printf("%s %-32s %s ", good ? "right" : "WRONG", r->name, shape_text(r->shape));
    if (nan) printf("%ld of %ld are no numbers, the first at [%s]\n", nan, r->count, place);
    else printf("largest error %.3g at [%s] (%.9g, expected %.9g), relative %.3g at number %ld; %.3g%% outside; allowed %.3g + %.3g |x|\n",
                r->count ? most : 0, place, r->count ? r->got[at] : 0, r->count ? r->want[at] : 0, relative, in, 100 * share, r->atol, r->rtol);
    if (good || nan) return good;
    if (share == 0) printf("    its numbers are right, its shape is %s\n", shape_text(t));
    else if (!another_layout(r) && !(sizes && a_known_mistake(r, sizes)) && !another_step(r)) another_factor(r, sizes);
    return 0;
}

int main(int count, char **argument) {
    const char *file = NULL, *another = NULL, *before = "";
    int options = 1;                                                 /* argument without THEIRS */
    for (int i = 1; i < count; before = argument[i++]) {
        if (argument[i][0] == '-' || !strcmp(before, "--against")) argument[options++] = argument[i];
        else if (file) another = argument[i];
        else file = argument[i];
    }
    error_program("validate", 0, NULL);
    options_parse(table, options, argument);
    if (help) {
        printf("usage: ./validate THEIRS.safetensors --against GOLDEN.safetensors [options]\n\noptions:\n");
        return options_help(table, stdout), 0;
    }
    if (another) die(2, "'%s' is one file too many, beside '%s'; see --help", another, file);
    if (!file) die(2, "THEIRS is missing: a .safetensors file of results, by the golden file's names; see --help");
    if (!*against) die(2, "--against is missing: a file of golden/, which make golden writes; see --help");
    if (!st_open(&theirs, file) || !st_open(&golden, against)) die(1, "%s", error_text());
    long right = 0, wrong = 0, missing = 0;
    char first_missing[200] = "";
    for (int i = 0; i < golden.count; i++) {                         /* in the order of the file: step by step */
        Result r = { .shape = &golden.tensors[i] };
        const char *tolerance = st_meta(&golden, r.shape->name);
        char name64[210];
        snprintf(r.name, sizeof r.name, "%.199s", r.shape->name), snprintf(name64, sizeof name64, "%s.f64", r.name);
        if (!tolerance || !strncmp(tolerance, "seed ", 5)) continue;   /* an input, or how it was drawn */
        if (sscanf(tolerance, "atol %lf rtol %lf: %199[^\n]", &r.atol, &r.rtol, r.why) != 3 || strlen(r.shape->name) > 150 ||
            !(r.atol >= 0 && r.atol < 1e30 && r.rtol >= 0 && r.rtol < 1))
            die(1, "%s: the result '%.150s' has the tolerance '%.60s': no golden file of ours, make it again", against, r.name, tolerance);
        const StTensor *t = st_find(&theirs, r.name), *exact = st_find(&golden, name64);
        if (!t) {
            if (!missing++) snprintf(first_missing, sizeof first_missing, "%s", r.name);
            continue;
        }
        r.count = count_of(r.shape);
        r.want = values(exact ? exact : r.shape, r.count);
        if (check(&r, t)) right++; else wrong++;
        free(r.want), free(r.got);
    }
    if (!right && !wrong && !missing) die(1, "%s: no golden file: its metadata has no tolerances; expected one that make golden has written", against);
    if (!right && !wrong) die(1, "%s: has none of the results of %s: expected names like %s", file, against, first_missing);
    if (shown > MOST_SHOWN) printf("and %d more that are wrong: --verbose shows all\n", shown - MOST_SHOWN);
    printf("%s: %ld right, %ld wrong, %ld not there%s%s\n", file, right, wrong, missing, missing ? ", the first: " : "", first_missing);
    return wrong > 0 || (missing > 0 && !partial);
}
