/* validate.c: is another implementation right? Compares a file of its results with the reference,
 * tensor by tensor, and names the mistake.
 *
 *   make golden      writes golden/: what to compute, from what, and what must come out
 *   ./validate THEIRS.safetensors --against golden/conv2d.safetensors [--partial] [--verbose]
 *
 * THEIRS holds results in float32 or float64 under their names in the golden file (conv2d.0/y).
 * A number is right when |theirs - ours| <= atol + rtol |ours|; the golden file's metadata has both
 * for each tensor, and the reason. Of a wrong tensor you see the largest error, where it is and how
 * many numbers are wrong. Then the usual mistakes are tried: on theirs (another layout, sign or
 * factor), and on the reference, which is computed again with the mistake in it.
 * Exit status: 0 all is right, 1 something is wrong or missing, 2 wrong usage.
 * Compiled in double, with the textbook code. */
#include "validation/op_cases.h"
#include "core/error.h"
#include "core/options.h"
#include "core/safetensors.h"
#include <stdarg.h>

/* After training steps a share STRAY of a tensor may be up to STRAY_FAR times further away: where a
 * gradient is nearly zero, Adam's step has its sign, which rounding decides. */
#define STRAY 0.005
#define STRAY_FAR 3000
enum { MOST_RANK = 4, MOST_SHOWN = 12 };
typedef struct Result {
    const char *name;
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

static double *numbers(long n) {
    size_t bytes = sizeof(double) * (size_t)n;
    double *at = calloc(bytes + 1, 1);
    if (!at) die(1, "not enough memory for %zu bytes of a result", bytes);
    return at;
}

/* The tensor of the golden file with this name, formatted as by printf, or NULL */
__attribute__((format(printf, 1, 2))) static const StTensor *beside(const char *format, ...) {
    char name[300];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof name, format, list);
    va_end(list);
    return st_find(&golden, name);
}

static double *values(const StTensor *t, long n) {
    double *v = numbers(n);
    must(st_read_f64(t, v, n));
    return v;
}

static long count_of(const StTensor *t) {
    long n = 1;
    for (int d = 0; d < t->rank; d++) n *= t->shape[d];
    return n;
}

enum { SHAPE_TEXT = 200 };                       /* eight lengths of 20 characters and more */
static const char *shape_text(const StTensor *t, char text[SHAPE_TEXT]) {
    int n = sprintf(text, "(");
    for (int d = 0; d < t->rank; d++) n += sprintf(text + n, "%s%ld", d ? "," : "", t->shape[d]);
    return strcpy(text + n, ")"), text;
}

/* Do two tensors have the same shape, but for axes of length 1? */
static int alike(const StTensor *a, const StTensor *b) {
    for (int i = 0, j = 0;; i++, j++) {
        while (i < a->rank && a->shape[i] == 1) i++;
        while (j < b->rank && b->shape[j] == 1) j++;
        if (i == a->rank || j == b->rank) return i == a->rank && j == b->rank;
        if (a->shape[i] != b->shape[j]) return 0;
    }
}

/* The share of numbers that are not within factor * (atol + rtol |want|). NaN is within nothing. */
static double outside(const Result *r, const double *got, const double *want, double factor) {
    long n = 0;
    for (long i = 0; i < r->count; i++)
        n += !(fabs(got[i] - want[i]) <= factor * (r->atol + r->rtol * fabs(want[i])));
    return (double)n / (double)(r->count ? r->count : 1);
}
static int same(const Result *r, const double *got) { return outside(r, got, r->want, 1) == 0; }

/* -------------------------------------------------------- mistakes that their file can show */

/* The numbers of `from`, whose axes are those of `shape` in the order `axis`, in the order of
 * `shape`. The first `turned` axes run backwards. */
static void reorder(double *to, const double *from, const long *shape, int rank, const int *axis,
                    int turned) {
    long n = 1, stride[MOST_RANK] = {0};
    for (int d = rank; d-- > 0; n *= shape[axis[d]]) stride[axis[d]] = n;
    for (long i = 0; i < n; i++) {
        long rest = i, at = 0;
        for (int d = rank; d-- > 0; rest /= shape[d]) {
            long place = rest % shape[d];
            at += (d < turned ? shape[d] - 1 - place : place) * stride[d];
        }
        to[i] = from[at];
    }
}

static int another_layout(const Result *r) {
    static const int usual[4] = { 0x2130, 0x1023, 0x1032, 0x3201 };      /* NCHW OIHW IOHW; IO */
    int rank = r->shape->rank, weights = strstr(r->name, "/w") || strstr(r->name, "/dw"), found = 0;
    const char *letters = rank == 2 ? (weights ? "IO" : "NC") : rank == 3 ? "HWI"
                        : weights ? "HWIO" : "NHWC";
    if (rank < 2 || rank > MOST_RANK) return 0;
    double *try = numbers(r->count);
    for (int p = 0; p < 4 + 0x4444 && !found; p++) {         /* the usual orders first, then all */
        int code = p < 4 ? usual[p] : p - 4, axis[MOST_RANK], used = 0;
        for (int d = 0; d < rank; d++) used |= 1 << (axis[d] = code >> 4 * d & 15);
        for (int d = rank; d < MOST_RANK; d++) if ((code >> 4 * d & 15) != d) used = 0;
        for (int turned = 0; turned <= 2 * weights && used == (1 << rank) - 1; turned += 2) {
            char order[MOST_RANK + 1] = "";
            reorder(try, r->got, r->shape->shape, rank, axis, turned);
            if (found || !same(r, try) || (same(r, r->got) && !turned)) continue;
            for (int d = 0; d < rank; d++) order[d] = letters[axis[d]];
            printf("    matches after %s->%s%s\n", order, letters,
                   turned ? ", the kernel turned by 180 degrees" : "");
            found = 1;
        }
    }
    free(try);
    return found;
}

/* Is theirs = f * ours? Then f often says what is missing: a size of the case, or one over it. */
static void another_factor(const Result *r, const Case *k) {
    double product = 0, square = 0;
    for (long i = 0; i < r->count; i++)
        product += r->got[i] * r->want[i], square += r->want[i] * r->want[i];
    double f = product / square, *try = numbers(r->count);
    for (long i = 0; i < r->count; i++) try[i] = r->got[i] / f;
    int found = r->count > 1 && square > 0 && isfinite(f) && fabs(f) > 1e-9
             && outside(r, try, r->want, 2) == 0;
    free(try);
    if (!found) return;
    printf("    matches after division by %.9g%s", f, fabs(f + 1) < 1e-4 ? ": the sign" : "");
    double n = k ? k->d.n : 1, h = k ? k->d.h : 1, w = k ? k->d.w : 1, c = k ? k->d.c : 1;
    double area = k ? (double)k->d.kernel * k->d.kernel : 1;
    int groups = strstr(r->name, "normalize") || strstr(r->name, "moments")
                 || strstr(r->name, "adain");
    const struct { const char *what; double n; } sizes[] = {
        { "the batch, n", n }, { "h w", h * w }, { "n h w", n * h * w }, { "c", c },
        { "n h w c", n * h * w * c }, { "h w c", h * w * c }, { "kernel^2", area } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        double size = sizes[i].n, m = groups ? h * w : size;
        if (size > 1 && fabs(f - size) < 1e-4 * size)
            printf(": a sum over %s where the formula has a mean", sizes[i].what);
        else if (size > 1 && fabs(f * size - 1) < 1e-4)
            printf(": a mean over %s where the formula has a sum", sizes[i].what);
        else if (m > 2 && fabs(f - m / (m - 1)) < 2e-6 * m / (m - 1))
            printf(": a variance with 1/(m-1) where the formula has 1/m, m = %g", m);
        else continue;
        break;
    }
    printf("\n");
}

/* ---------------------------------------------- mistakes that the reference can make on purpose */

/* The sizes of the case a tensor belongs to. 0: the file has none, or a damaged one. */
static int case_of(const Result *r, Case *k) {
    double v[13];
    int size[10], group = (int)strcspn(r->name, "/");
    const StTensor *t = r->name[group] ? beside("%.*s/case", group, r->name) : NULL;
    if (!t || count_of(t) != 13) return 0;
    must(st_read_f64(t, v, 13));
    for (int i = 0; i < 10; size[i] = (int)v[i], i++)
        if (!(v[i] >= 0 && v[i] < (i < 7 ? 2000 : 100))) return 0;
    if (!(v[12] >= 0 && v[12] < 1e9)) return 0;
    *k = (Case){ .a = v[10], .scale = v[11], .t = (long)v[12] };
    memcpy(&k->d, size, sizeof k->d);                        /* struct Conv is these ten numbers */
    return 1;
}
_Static_assert(sizeof(Conv) == 10 * sizeof(int), "struct Conv is ten numbers");

enum { PAD_LESS, PAD_MORE, TURNED, OIHW, IOHW, NO_BIAS, NO_SLOPE, NO_SCALE, UNCORRECTED, BIASED,
       UNBIASED, MISTAKES };
static const char *const mistake_text[MISTAKES] = {
    [PAD_LESS] = "a padding smaller by one", [PAD_MORE] = "a padding larger by one",
    [TURNED] = ("the kernel turned by 180 degrees (a convolution where the formula has a "
                "correlation, or the reverse)"),
    [OIHW] = "weights read as OIHW where they lie as HWIO",
    [IOHW] = "weights read as IOHW where they lie as HWIO",
    [NO_BIAS] = "no bias", [NO_SLOPE] = "a slope, target or rate a of 0",
    [NO_SCALE] = "no factor scale", [UNCORRECTED] = "Adam without its bias correction",
    [UNBIASED] = "a variance with 1/(m-1) where the formula has 1/m",
    [BIASED] = "a variance with 1/m where the formula has 1/(m-1)",
};

/* Fills the inputs of a case from the golden file: x.before of a tensor that is changed in place; a
 * gradient begins at 0. 0: a tensor of the file cannot be read. */
static int read_inputs(const Result *r, Data *x) {
    int good = 1;
    for (int j = 0; j < x->count; j++) {
        const Tensor *size = &x->tensor[j];
        int changed = size->role & INOUT, group = (int)strcspn(r->name, "/");
        const StTensor *t = beside("%.*s/%s%s", group, r->name, size->name,
                                   changed ? ".before" : "");
        if (!t && changed && size->name[0] == 'd') ops_naive.fill(x->value[j], 0, size->size);
        if (t && count_of(t) == size->size) good &= st_read_f64(t, x->value[j], size->size);
    }
    return good;
}

/* Plants a mistake in the case, or in the inputs p. 0: it means nothing for this operation. */
static int plant(int mistake, const Op *op, Case *k, const Data *x, real **p) {
    static const int layout[][MOST_RANK] = {
        [TURNED] = { 0, 1, 2, 3 }, [OIHW] = { 3, 2, 0, 1 }, [IOHW] = { 2, 3, 0, 1 } };
    int conv = strstr(op->name, "conv2d") != NULL, w = data_find(x, "w"), b = data_find(x, "b");
    int means = 0;
    switch (mistake) {
        case PAD_LESS: k->d.pad--; return conv;
        case PAD_MORE: k->d.pad++; return conv;
        case NO_BIAS: if (b >= 0) p[b] = NULL; return b >= 0;
        case NO_SLOPE: means = k->a != 0; k->a = 0; return means;
        case NO_SCALE: means = k->scale != 1; k->scale = 1; return means;
        case UNCORRECTED: k->t = 100000000; return !strcmp(op->name, "adam_step");
        case BIASED: k->d.n = k->d.h = k->d.w = 1; return !strcmp(op->name, "batchnorm_track");
        case UNBIASED: return !strcmp(op->name, "normalize_forward") && k->d.h * k->d.w > 1;
    }
    if (w < 0 || !conv || strstr(op->name, "depthwise")) return 0;       /* another layout of w */
    double *copy = numbers(x->tensor[w].size);
    memcpy(copy, p[w], sizeof *copy * (size_t)x->tensor[w].size);
    reorder(p[w], copy, x->tensor[w].shape, 4, layout[mistake], mistake == TURNED ? 2 : 0);
    free(copy);
    return 1;
}

/* Computes the operation that writes r again, from the golden file's inputs, with a mistake in it.
 * 0: the mistake means nothing here. */
static int compute_wrongly(const Result *r, const Case *right, int mistake, double *out) {
    const char *tensor = strchr(r->name, '/') + 1;
    for (int i = 0; i < OPS; i++) {
        const Op *op = &op_list[i];
        size_t length = strlen(group_of(op));
        if (strncmp(r->name, group_of(op), length) || r->name[length] != '.') continue;
        Tensor size[MOST_TENSORS];
        for (int j = op->tensors(size, right); j-- > 0;) if (size[j].size > 10000000) return 0;
        Case k = *right;
        Ops wrong = ops_naive;
        Data x = data_random(op, right, 1);
        real *p[MOST_TENSORS];
        int at = data_find(&x, tensor), known = 0;
        int ours = at >= 0 && !(x.tensor[at].role & IN) && x.tensor[at].size == r->count;
        for (int j = 0; j < x.count; j++) p[j] = x.value[j], ours &= p[j] != NULL;
        if (ours && read_inputs(r, &x)) known = plant(mistake, op, &k, &x, p);
        if (mistake == UNBIASED) {
            wrong.normalize_forward = normalize_unbiased;
            known &= !strcmp(tensor, "y");       /* of var another_factor says more */
        }
        if (known) op->call(&wrong, p, &k);
        for (long e = 0; known && e < r->count; e++) out[e] = p[at][e];
        data_free(&x);
        if (ours) return known;
    }
    return 0;
}

static int a_known_mistake(const Result *r, const Case *k) {
    double *out = numbers(r->count);
    int found = 0;
    for (int m = 0; m < MISTAKES && !found; m++) {
        found = compute_wrongly(r, k, m, out) && !same(r, out) && outside(r, r->got, out, 4) == 0;
        if (found) printf("    is what the reference gives with: %s\n", mistake_text[m]);
    }
    free(out);
    return found;
}

/* In a file of training steps, when the gradient is right and the parameter is not: which step was
 * taken? Adam's first one is p - lr g / (|g| + eps): its corrections cancel the 1 - beta. */
static int another_step(const Result *r) {
    static const char *const steps[] = {
        "no step at all", "Adam without its bias correction", "gradient descent without Adam",
        "Adam, up the slope" };
    const char *recipe = st_meta(&golden, "recipe"), *rates = recipe ? strstr(recipe, "lr ") : NULL;
    double lr, beta1, beta2;
    if (!rates || strncmp(r->name, "step1/", 6) || strstr(r->name, ".grad")
        || sscanf(rates, "lr %lf, beta1 %lf, beta2 %lf", &lr, &beta1, &beta2) != 3) return 0;
    const StTensor *gradient = beside("%s.grad", r->name), *start = beside("start/%s", r->name + 6);
    if (!start || !gradient) return 0;
    long all = count_of(start), n = r->count;
    double *p = values(start, all), *g = values(gradient, n), *out = numbers(n);
    int found = 0;
    for (int s = 0; s < 4 && !found; s++) {
        for (long i = 0; i < n; i++) {
            double d = g[i], small = lr * (1 - beta1) * d / (sqrt(1 - beta2) * fabs(d) + 1e-8);
            double change[] = { 0, -small, -lr * d, lr * d / (fabs(d) + 1e-8) };
            out[i] = p[i * all / n] + change[s];
        }
        found = !same(r, out) && outside(r, r->got, out, 4) == 0;
        if (found) printf("    is what comes of: %s\n", steps[s]);
    }
    free(p), free(out), free(g);
    return found;
}

/* ------------------------------------------------------------------------------- one by one */

/* The line about a tensor: its largest error, and where. 1: all its numbers are finite. */
static int describe(const Result *r, int good, double share) {
    double most = 0, relative = 0;
    long at = 0, in = 0, nan = 0;
    char place[100] = "", shape[SHAPE_TEXT];
    for (long i = r->count; i-- > 0;) {
        double e = fabs(r->got[i] - r->want[i]), size = fabs(r->want[i]);
        if (!isfinite(e)) nan++, at = i;                    /* the first of them is what is shown */
        else if (!nan && e >= most) most = e, at = i;
        if (isfinite(e) && e > relative * size && size > 0) relative = e / size, in = i;
    }
    long rest = at, each = r->count;                        /* numbers of one place on axis d */
    for (int d = 0, n = 0; d < r->shape->rank && r->count; d++, rest %= each) {
        each /= r->shape->shape[d];
        n += snprintf(place + n, sizeof place - (size_t)n, "%s%ld", d ? "," : "", rest / each);
    }
    printf("%s %-32s %s ", good ? "right" : "WRONG", r->name, shape_text(r->shape, shape));
    if (nan) printf("%ld of %ld are no numbers, the first at [%s]\n", nan, r->count, place);
    else printf("largest error %.3g at [%s] (%.9g, expected %.9g), relative %.3g at number %ld; "
                "%.3g%% outside; allowed %.3g + %.3g |x|\n", most, place, r->count ? r->got[at] : 0,
                r->count ? r->want[at] : 0, relative, in, 100 * share, r->atol, r->rtol);
    return !nan;
}

/* 1 right, 0 wrong. After training steps the golden file may have only a sample of a tensor. */
static int check(Result *r, const StTensor *t) {
    char is[SHAPE_TEXT], of[SHAPE_TEXT];
    Case k, *sizes = case_of(r, &k) ? &k : NULL;
    const char *slash = strncmp(r->name, "step", 4) ? NULL : strchr(r->name, '/');
    const char *end = slash ? strstr(slash, ".grad") : NULL;
    int length = end ? (int)(end - slash) : 200;
    const StTensor *start = slash ? beside("start%.*s", length, slash) : NULL;
    long all = count_of(t), n = r->count;
    int sampled = start && all == count_of(start), fits = sampled || all == n;
    double *read = values(t, all);
    r->got = numbers(n);
    for (long i = 0; fits && i < n; i++) r->got[i] = read[sampled ? i * all / n : i];
    free(read);
    double share = outside(r, r->got, r->want, 1);
    int good = fits && share == 0 && (sampled || t->rank == 1 || alike(t, r->shape));
    if (fits && start && share <= STRAY && outside(r, r->got, r->want, STRAY_FAR) == 0) good = 1;
    if (!verbose && (good || ++shown > MOST_SHOWN)) return good;
    if (!fits)
        printf("WRONG %s\n    its shape is %s, expected %s\n", r->name, shape_text(t, is),
               shape_text(r->shape, of));
    else if (describe(r, good, share) && !good) {
        if (share == 0)
            printf("    its numbers are right, its shape is %s\n", shape_text(t, is));
        else if (!another_layout(r) && !(sizes && a_known_mistake(r, sizes)) && !another_step(r))
            another_factor(r, sizes);
    }
    return good;
}

/* The name of THEIRS. The other arguments are options. */
static const char *arguments(int count, char **argument) {
    const char *file = NULL, *another = NULL, *before = "";
    int options = 1;
    for (int i = 1; i < count; before = argument[i++])
        if (*argument[i] == '-' || !strcmp(before, "--against")) argument[options++] = argument[i];
        else if (file) another = argument[i];
        else file = argument[i];
    options_parse(table, options, argument);
    if (help) {
        printf("usage: ./validate THEIRS.safetensors --against GOLDEN.safetensors [options]\n\n"
               "options:\n");
        options_help(table, NULL);
        exit(0);
    }
    if (another) die(2, "'%s' is one file too many, beside '%s'; see --help", another, file);
    if (!file) die(2, "THEIRS is missing: a .safetensors file of results, by the golden file's "
                      "names; see --help");
    if (!*against) die(2, "--against is missing: a file of golden/, which make golden writes; "
                          "see --help");
    return file;
}

int main(int count, char **argument) {
    error_program("validate", 0, NULL);
    const char *file = arguments(count, argument), *absent = "";
    must(st_open(&theirs, file) && st_open(&golden, against));
    long right = 0, wrong = 0, missing = 0;
    for (int i = 0; i < golden.count; i++) {            /* in the order of the file: step by step */
        const char *name = golden.tensors[i].name, *tolerance = st_meta(&golden, name);
        Result r = { .name = name, .shape = &golden.tensors[i] };
        if (!tolerance || !strncmp(tolerance, "seed ", 5)) continue;     /* an input, or its draw */
        int read = sscanf(tolerance, "atol %lf rtol %lf", &r.atol, &r.rtol);
        if (read != 2 || strlen(name) > 150 || !(r.atol >= 0 && r.atol < 1e30)
            || !(r.rtol >= 0 && r.rtol < 1))
            die(1, "%s: the result '%.150s' has the tolerance '%.60s': no golden file of ours, "
                   "make it again", against, name, tolerance);
        const StTensor *t = st_find(&theirs, name), *exact = beside("%s.f64", name);
        if (!t && !missing++) absent = name;
        if (!t) continue;
        r.count = count_of(r.shape);
        r.want = values(exact ? exact : r.shape, r.count);
        for (long k = 0; k < r.count; k++)
            if (!isfinite(r.want[k]))
                die(1, "%s: the result '%.150s' holds numbers that are not finite: no golden file "
                       "of ours, make it again", against, name);
        if (check(&r, t)) right++; else wrong++;
        free(r.want), free(r.got);
    }
    if (!right && !wrong && !missing)
        die(1, "%s: no golden file: its metadata has no tolerances; expected one that make golden "
               "has written", against);
    if (!right && !wrong)
        die(1, "%s: has none of the results of %s: expected names like %s", file, against, absent);
    if (shown > MOST_SHOWN)
        printf("and %d more that are wrong: --verbose shows all\n", shown - MOST_SHOWN);
    printf("%s: %ld right, %ld wrong, %ld not there%s%s\n", file, right, wrong, missing,
           missing ? ", the first: " : "", absent);
    return wrong > 0 || (missing > 0 && !partial);
}
