/* gram.h: style transfer of one picture by optimisation (Gatys, Ecker, Bethge: "A neural algorithm
 * of artistic style", 2015).
 *
 * A network of features looks at pictures. Style is which features occur together, wherever they
 * are: the Gram matrices of some layers. Content is what a deeper layer sees where. The pixels
 * themselves are the parameters; Adam or L-BFGS changes them until
 *
 *   L = content |F - F_content|^2 / |F_content|^2       (F9)
 *     + style mean_l |G_l - G_l*|^2 / |G_l*|^2          (F8)
 *     + tv TV(z)                                        (F10)
 *
 * is small. With VGG16 or VGG19 (a file of weights that the user has) this is the paper. Six
 * convolutions of our own (features_random: style/features.safetensors, which learned to tell
 * textures apart, or random filters) do as well only after three things, each to be seen by undoing
 * it:
 *   - coarse to fine: the picture is optimised at 44, 60, 88 .. 256 pixels, each result enlarged to
 *     start the next;
 *   - colours are whitened: z = A^-1 (x - m), m and A^2 being mean and covariance of the style's
 *     colours; in RGB, whose channels mostly go together, the same features give coloured noise;
 *   - Gram matrices are centred (covariances), and the means are compared beside them:
 *     + |mu_l - mu_l*|^2 / |mu_l*|^2.
 *
 *   GramOptions o = gram_defaults(0);
 *   Styles one = { &style, NULL, 1 };
 *   if (!gram_transfer(&result, &content, &one, &o, ops)) puts(error_text()); */
#ifndef GRAM_H
#define GRAM_H
#include "core/featurenet.h"
#include "core/matrix.h"
#include "style/cutout.h"
#include <stdio.h>

enum { GRAM_LAYERS = 8, GRAM_LEVELS = 24, GRAM_EVERY = 10 };
enum { GRAM_ADAM, GRAM_LBFGS };                         /* a step: one evaluation, for both */

/* What the progress callback is shown. Losses are without their weights; Adam: before the step's
 * update; L-BFGS: the least so far. */
typedef struct GramStep {
    int level, levels, h, w, step, steps;               /* level 0: the coarsest; steps from 0 on */
    int number;                                         /* of the step in all levels, from 1 */
    double fraction;                                    /* of the work that is done */
    int layers;
    char layer[GRAM_LAYERS][12];                        /* their names */
    double style[GRAM_LAYERS], content, tv, total;
} GramStep;

typedef struct GramOptions {
    int vgg;                             /* 0: the built-in features; 16 or 19 */
    const StFile *weights;               /* see features_open; NULL: random features, vgg 0 */
    int pooling;                         /* VGG: FEATURES_MAX or FEATURES_AVERAGE */
    const char *style_layers;            /* names separated by spaces, at most GRAM_LAYERS */
    const char *content_layer;
    double content, style, tv;           /* weights >= 0 */
    int optimizer;                       /* GRAM_ADAM or GRAM_LBFGS */
    double lr;                           /* Adam's rate of the first level; L-BFGS: rms of its
                                            first step; of z */
    int steps;                           /* of each level, >= 1 */
    int smallest;                        /* shorter side of the coarsest level; 0: one level */
    double scale;                        /* longer side of the styles, in that of the content */
    int whiten, centred;                 /* as above; whiten 0: z is the picture, kept in [-1,1] */
    int noise;                           /* 1: it starts from noise; */
    const Image *start;                  /* 0: from this picture, or NULL: from the content */
    uint64_t seed;                       /* of the built-in filters, and of the noise */
    void (*progress)(const GramStep *step);      /* every ten steps, and the last; or NULL */
} GramOptions;

/* vgg 0, 16 or 19. VGG's: as in the paper, one level, RGB. */
static inline GramOptions gram_defaults(int vgg) {
    GramOptions o = { .vgg = vgg, .style = 1, .scale = 1, .seed = 1 };
    o.style_layers = vgg ? "relu1_1 relu2_1 relu3_1 relu4_1 relu5_1"
                         : "relu1_1 relu1_2 relu2_1 relu2_2 relu3_1 relu3_2";
    o.content_layer = vgg ? "relu4_2" : "luminance";
    if (vgg) o.content = 0.05, o.tv = 0.01, o.lr = 0.04, o.steps = 300;
    else o.content = 0.25, o.tv = 0.02, o.lr = 0.08, o.steps = 60;
    if (!vgg) o.smallest = 32, o.whiten = o.centred = 1;
    return o;
}

/* ------------------------------------------------------------------------------------ L-BFGS */

/* f(x); its gradient into g. NaN: nothing can be computed at x. */
typedef double LbfgsLoss(void *context, double *g, const double *x);
enum { LBFGS_PAIRS = 10, LBFGS_TRIALS = 20, LBFGS_ROWS = 2 * LBFGS_PAIRS + 4 };

static double lbfgs_dot(const double *a, const double *b, long n) {
    double sum = 0;
    for (long i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}
static void lbfgs_add(double *d, double k, const double *a, long n) {
    for (long i = 0; i < n; i++) d[i] += k * a[i];
}

/* to = x - t d, kept in [-most, most] */
static void lbfgs_move(double *to, const double *x, double t, double *d, double most, long n) {
    for (long i = 0; i < n; i++) to[i] = fmin(fmax(x[i] - t * d[i], -most), most);
}
/* d = 0 where x is at a bound that -g points out of */
static void lbfgs_hold(double *d, const double *x, const double *g, double most, long n) {
    for (long i = 0; i < n; i++)
        if (g[i] < 0 ? x[i] >= most : x[i] <= -most) d[i] = 0;
}

/* d = H d, where the inverse Hessian H is known by the last ten pairs s_i = x_i+1 - x_i, y_i =
 * g_i+1 - g_i alone, in two loops over them (Nocedal, Wright: Numerical Optimization, 7.4):
 *   newest to oldest:  a_i = s_i.d / s_i.y_i,  d -= a_i y_i;    d *= s.y / y.y of the newest;
 *   oldest to newest:  d += (a_i - y_i.d / s_i.y_i) s_i
 * pair: s_i (n) and y_i (n), oldest first; sy: s_i.y_i */
static void lbfgs_direction(double *d, const double *pair, const double *sy, int pairs, long n) {
    double a[LBFGS_PAIRS];
    for (int i = pairs - 1; i >= 0; i--) {
        const double *s = pair + 2 * i * n, *y = s + n;
        a[i] = lbfgs_dot(s, d, n) / sy[i];
        lbfgs_add(d, -a[i], y, n);
    }
    if (pairs) {
        const double *y = pair + (2 * pairs - 1) * n;
        double scale = sy[pairs - 1] / lbfgs_dot(y, y, n);
        for (long j = 0; j < n; j++) d[j] *= scale;
    }
    for (int i = 0; i < pairs; i++) {
        const double *s = pair + 2 * i * n, *y = s + n;
        lbfgs_add(d, a[i] - lbfgs_dot(y, d, n) / sy[i], s, n);
    }
}

/* Minimises f from x (n) on with at most `evaluations` of it (Liu, Nocedal: "On the limited memory
 * BFGS method for large scale optimization", 1989). Newton's step without Newton's matrix: x <- x -
 * t d, d = H g. t begins at 1, and without pairs at `first` / rms(g). It is halved towards `low`,
 * or doubled, until with s = -t d both of these hold (bisection: Lewis, Overton 2013), twenty times
 * at most:
 *   f(x + s) <= f(x) + 1e-4 g.s     Armijo: f falls
 *   g(x + s).s >= 0.9 g.s           Wolfe: the slope flattens, so that s.y > 0
 * If none is found, it ends at the lowest x on the way; was none lower, the pairs are forgotten,
 * and without pairs it ends. |x| <= most: numbers at a bound that g pushes outwards stay there in
 * this step, the others move no further than the bound (Bertsekas, "Projected Newton methods",
 * 1982); INFINITY: no bounds. work: LBFGS_ROWS n doubles. Returns f(x). */
static double lbfgs(double *x, long n, double most, int evaluations, double first, LbfgsLoss *loss,
                    void *context, double *work) {
    double *pair = work, *g = pair + 2 * LBFGS_PAIRS * n, *d = g + n, *to = d + n, *g_to = to + n;
    double f = loss(context, g, x), sy[LBFGS_PAIRS];
    size_t row = sizeof *x * n;
    int pairs = 0;
    for (evaluations--; evaluations > 0; ) {
        memcpy(d, g, row);
        lbfgs_hold(d, x, g, most, n);
        lbfgs_direction(d, pair, sy, pairs, n);
        lbfgs_hold(d, x, g, most, n);
        double slope = lbfgs_dot(g, d, n), low = 0, high = INFINITY, f_to = f, f_low = f;
        double t = pairs ? 1 : first * sqrt(n / slope);
        int found = 0, trials = slope > 0 ? LBFGS_TRIALS : 0;
        for (; trials > 0 && evaluations > 0 && !found; trials--, evaluations--) {
            double fall = 0, flat = 0;                   /* -g(x).s, -g(x + s).s */
            lbfgs_move(to, x, t, d, most, n);
            f_to = loss(context, g_to, to);
            for (long j = 0; j < n; j++)
                fall += g[j] * (x[j] - to[j]), flat += g_to[j] * (x[j] - to[j]);
            if (!(fall > 0 && f_to <= f - 1e-4 * fall)) high = t;
            else if (!(flat <= 0.9 * fall)) low = t, f_low = f_to;
            else found = 1;
            if (!found) t = isfinite(high) ? (low + high) / 2 : 2 * t;
        }
        if (!found && low > 0) {                         /* lower, but still as steep */
            lbfgs_move(x, x, low, d, most, n);
            return f_low;
        }
        if (!found && !pairs) break;
        if (!found) { pairs = 0; continue; }
        if (pairs == LBFGS_PAIRS)
            memmove(pair, pair + 2 * n, 2 * row * --pairs),
            memmove(sy, sy + 1, sizeof sy - sizeof *sy);
        double *s = pair + 2 * pairs * n, *y = s + n;
        for (long j = 0; j < n; j++) s[j] = to[j] - x[j], y[j] = g_to[j] - g[j];
        pairs += (sy[pairs] = lbfgs_dot(s, y, n)) > 0;   /* 0 by rounding only */
        memcpy(x, to, row), memcpy(g, g_to, row);
        f = f_to;
    }
    return f;
}

/* --------------------------------------------------------------------------------- one level */

typedef struct Gram {
    const GramOptions *o;
    const Ops *ops;
    int layers;
    char name[GRAM_LAYERS][12], deepest[12];
    double mean[3], root[9], unroot[9], gray[3];         /* x = mean + root z; light: gray . z */
    Net net;                                             /* of the picture being looked at */
    Features f;
    const Node *layer[GRAM_LAYERS];
    long offset[GRAM_LAYERS];                            /* where a layer begins in target */
    real *target, *gram, *dgram, *average, *number;      /* see gram_measure */
    long targets, most, rows;                            /* sizes: target, gram, largest layer */
    const Node *picture, *seen;                          /* input z; the content layer or NULL: */
    long features;                                       /* how many numbers that is, */
    real *wanted, *ones;                                 /* what they are to be; ones (rows) */
    double size;                                         /* mean square of wanted */
    double work, done;                                   /* pixels times steps: all; so far */
} Gram;

static const double gram_zero[3] = { 0 };

static int gram_memory(int h, int w) {
    return fail("not enough memory for pictures of %d x %d pixels: take smaller ones", w, h);
}

/* the words of style_layers, and the layer nearest to the end. 0: an unknown one, or bad numbers */
static int gram_check(Gram *g, const GramOptions *o, const Ops *ops) {
    char list[200], *save = NULL;
    *g = (Gram){ .o = o, .ops = ops };
    if (o->optimizer != GRAM_ADAM && o->optimizer != GRAM_LBFGS)
        return fail("optimizer %d: expected GRAM_ADAM or GRAM_LBFGS", o->optimizer);
    int weights = o->content >= 0 && o->style >= 0 && o->tv >= 0;
    if (!weights || !(o->lr > 0 && o->scale > 0 && o->steps > 0))
        return fail("content %g, style %g, tv %g, lr %g, scale %g, steps %d: expected weights "
                    ">= 0, the others above 0",
                    o->content, o->style, o->tv, o->lr, o->scale, o->steps);
    if (o->vgg && !o->weights) return fail("VGG%d needs a file of weights", o->vgg);
    if (strlen(o->style_layers) >= sizeof list)
        return fail("style layers '%s': too many", o->style_layers);
    snprintf(g->deepest, sizeof g->deepest, "%.11s", o->content > 0 ? o->content_layer : "");
    strcpy(list, o->style_layers);
    for (char *word = strtok_r(list, " ,", &save); word; word = strtok_r(NULL, " ,", &save)) {
        if (g->layers == GRAM_LAYERS)
            return fail("style layers '%s': expected at most %d", o->style_layers, GRAM_LAYERS);
        char *name = g->name[g->layers++];
        snprintf(name, sizeof g->name[0], "%.11s", word);
        if (strcmp(word, g->deepest) > 0) strcpy(g->deepest, name);      /* relu4_2 > relu4_1 */
    }
    if (g->layers) return 1;
    return fail("style layers '%s': expected names such as relu1_1", o->style_layers);
}

/* a side of about `size` pixels that the network accepts */
static int gram_side(const Gram *g, double size) {
    int average = g->o->pooling == FEATURES_AVERAGE;
    int multiple = !g->o->vgg ? 4 : average ? features_multiple(g->deepest) : 1;
    int n = size / multiple + 0.5, least = (16 + multiple - 1) / multiple;
    return (n < least ? least : n) * multiple;
}

static const Node *gram_layer(const Gram *g, const char *what, const char *name) {
    int i = features_node(&g->f, name);
    if (i < 0) fail("%s layer '%.40s': the features have no such layer", what, name);
    return i < 0 ? NULL : &g->net.node[i];
}

/* The network for pictures of (h,w), described; sizes follow from it. */
static int gram_describe(Gram *g, int h, int w) {
    const GramOptions *o = g->o;
    net_begin(&g->net, "features", g->ops, 1);
    if (!(o->vgg ? features_vgg(&g->f, &g->net, o->vgg, g->deepest, h, w, o->pooling, o->weights)
                 : features_random(&g->f, &g->net, h, w))) return 0;
    g->picture = &g->net.node[g->f.picture], g->seen = NULL;
    if (o->content > 0 && !(g->seen = gram_layer(g, "content", o->content_layer))) return 0;
    g->features = g->seen ? (long)g->seen->h * g->seen->w * g->seen->c : 0;
    g->targets = g->most = g->rows = 0;
    for (int l = 0; l < g->layers; l++) {
        const Node *node = g->layer[l] = gram_layer(g, "style", g->name[l]);
        if (!node) return 0;
        long c = node->c, rows = (long)node->h * node->w;
        g->offset[l] = g->targets;
        g->targets += c * c + c;
        if (c * c > g->most) g->most = c * c;
        if (rows > g->rows) g->rows = rows;
    }
    return 1;
}

/* described, with memory and weights, and the picture in its input. 0: g->net is empty */
static int gram_open(Gram *g, const Image *picture) {
    int h = picture->h, w = picture->w, good = gram_describe(g, h, w);
    if (good && !net_finish(&g->net, NET_INPUT)) good = gram_memory(h, w);
    if (good && !g->o->vgg) features_draw(&g->f, &g->net, g->o->seed, g->gray);
    if (good && g->o->weights) good = features_load(&g->f, &g->net, g->o->weights);
    if (good) g->ops->upload(g->picture->y, picture->pixels, 3L * h * w);
    else net_free(&g->net);
    return good;
}

/* layer l: gram = its Gram matrix, average = its means */
static void gram_measure(Gram *g, int l) {
    const Node *node = g->layer[l];
    real *average = g->o->centred ? g->average : NULL;
    g->ops->gram_forward(g->gram, average, node->y, (long)node->h * node->w, node->c);
}

static double gram_number(const Gram *g) {
    real x;
    g->ops->download(&x, g->number, 1);
    return x;
}

/* target: the weighted mean of what the layers say of the styles at this level. longer: a side of
 * the content */
static int gram_targets(Gram *g, const Styles *styles, double longer) {
    for (int k = 0; k < styles->count; k++) {
        const Image *style = &styles->picture[k];
        Image small;
        double r = longer * g->o->scale / fmax(style->h, style->w);
        int h = gram_side(g, r * style->h), w = gram_side(g, r * style->w);
        if (!image_resize(&small, style, h, w)) return 0;
        if (g->o->whiten) colour_map(&small, g->unroot, g->mean, gram_zero);
        int good = gram_open(g, &small);
        image_free(&small);
        if (!good) return 0;
        if (!g->gram) {                          /* sizes are known, for all levels */
            g->gram = g->ops->alloc(3 * g->most + g->targets + 1);
            if (!g->gram) return net_free(&g->net), fail("not enough memory for Gram matrices");
            g->dgram = g->gram + g->most, g->average = g->dgram + g->most;
            g->target = g->average + g->most, g->number = g->target + g->targets;
        }
        if (k == 0) g->ops->fill(g->target, 0, g->targets);
        net_forward(&g->net, 0);
        for (int l = 0; l < g->layers; l++) {
            long c = g->layer[l]->c;
            real share = styles_share(styles, k), *target = g->target + g->offset[l];
            gram_measure(g, l);
            g->ops->axpy(target, g->gram, share, c * c);
            if (g->o->centred) g->ops->axpy(target + c * c, g->average, share, c);
        }
        net_free(&g->net);
    }
    return 1;
}

/* F8 of n numbers: its gradient becomes dgram; its value if `look` */
static double gram_difference(Gram *g, const real *x, const real *target, double scale, long n,
                              int look) {
    g->ops->fill(g->dgram, 0, n);
    g->ops->style_loss_backward(g->dgram, x, target, scale, n);
    if (look) g->ops->style_loss_forward(g->number, x, target, n);
    return look ? gram_number(g) : 0;
}

/* F8 of layer l: its gradient onto the layer's dy; its value if `look`. The means add dmu_i / rows
 * to every row: the product of ones (rows,1) and dmu */
static double gram_style(Gram *g, int l, double scale, int look) {
    const Node *node = g->layer[l];
    long c = node->c, rows = (long)node->h * node->w;
    const real *target = g->target + g->offset[l], *mean = g->o->centred ? g->average : NULL;
    gram_measure(g, l);
    double loss = gram_difference(g, g->gram, target, scale, c * c, look);
    g->ops->gram_backward(node->dy, g->dgram, node->y, mean, rows, c);
    if (!mean) return loss;
    loss += gram_difference(g, mean, target + c * c, scale / rows, c, look);
    g->ops->dense_backward_input(node->dy, g->ones, g->dgram, rows, c, 1);
    return loss;
}

/* A level begins: the network for the content picture, and what it sees there. 0: no memory. F9
 * divided by `size` is relative, as F8 is */
static int gram_begin(Gram *g, const Image *content) {
    if (!gram_open(g, content)) return 0;
    g->ones = g->ops->alloc(g->rows + g->features);
    if (!g->ones) return gram_memory(content->h, content->w);
    g->wanted = g->ones + g->rows;
    g->ops->fill(g->ones, 1, g->rows);
    g->size = 1;
    if (!g->seen) return 1;
    net_forward(&g->net, 0);
    g->ops->copy(g->wanted, g->seen->y, g->features);
    g->ops->sum_squares(g->number, g->wanted, g->features);
    g->size = fmax(gram_number(g) / g->features, 1e-12);
    return 1;
}
static void gram_end(Gram *g) {
    if (g->ones) g->ops->release(g->ones);
    g->ones = NULL;
    net_free(&g->net);
}

/* L and dL/dz of the picture z in the network's input: into picture->dy; the numbers into `at`, if
 * `look`. */
static void gram_loss(Gram *g, GramStep *at, int look) {
    const GramOptions *o = g->o;
    const Ops *ops = g->ops;
    const Node *z = g->picture, *seen = g->seen;
    real content = o->content / g->size;
    long n = g->features;
    net_forward(&g->net, 0);
    net_zero_activations(&g->net);
    at->content = at->tv = at->total = 0;
    for (int l = 0; l < g->layers; l++) {
        at->style[l] = gram_style(g, l, o->style / g->layers, look);
        at->total += o->style / g->layers * at->style[l];
    }
    if (seen) ops->squared_error_backward(seen->dy, seen->y, g->wanted, NULL, content, n);
    if (o->tv > 0) ops->total_variation_backward(z->dy, z->y, o->tv, 1, z->h, z->w, 3);
    net_backward(&g->net, NET_INPUT);
    if (!look) return;
    if (seen) {
        ops->squared_error_forward(g->number, seen->y, g->wanted, NULL, n);
        at->content = gram_number(g) / g->size;
    }
    ops->total_variation_forward(g->number, z->y, 1, z->h, z->w, 3);
    at->tv = gram_number(g);
    at->total += o->content * at->content + o->tv * at->tv;
}

/* After a step */
static void gram_report(const Gram *g, GramStep *at, int look) {
    at->number = at->level * g->o->steps + at->step + 1;
    at->fraction = fmin((g->done + (double)at->h * at->w * (at->step + 1)) / g->work, 1);
    if (look && g->o->progress) g->o->progress(at);
}

/* Adam (F19) on the picture, whose rate falls to a tenth, and begins 0.8 times as high as that of
 * the level before: coarse levels move far, and fine ones leave neither blocks nor noise. 0: no
 * memory */
static int gram_adam(Gram *g, Image *picture, GramStep *at, long n) {
    const GramOptions *o = g->o;
    const Ops *ops = g->ops;
    real *m = ops->alloc(2 * n), *z = g->picture->y, *dz = g->picture->dy;     /* m, then v */
    double first = o->lr * pow(0.8, at->level);
    if (!m) return gram_memory(at->h, at->w);
    ops->upload(z, picture->pixels, n);
    for (at->step = 0; at->step < o->steps; at->step++) {
        int look = o->progress && (at->step % GRAM_EVERY == 0 || at->step + 1 == o->steps);
        real rate = first * (1 - 0.9 * at->step / o->steps);
        gram_loss(g, at, look);
        ops->adam_step(z, m, m + n, dz, n, rate, 0.9f, 0.999f, 1e-8f, at->step + 1);
        if (!o->whiten) ops->clip(z, 1, n);
        gram_report(g, at, look);
    }
    ops->download(picture->pixels, z, n);
    ops->release(m);
    return 1;
}

/* What lbfgs asks: the loss of the picture x, and its gradient; z is the best picture so far */
typedef struct GramSearch { Gram *g; GramStep *at, best; Image *z, trial; } GramSearch;
static double gram_evaluate(void *context, double *dx, const double *x) {
    GramSearch *search = context;
    Gram *g = search->g;
    GramStep *at = search->at, *best = &search->best;
    float *trial = search->trial.pixels;
    long n = 3L * search->trial.h * search->trial.w;
    for (long i = 0; i < n; i++) trial[i] = x[i];
    g->ops->upload(g->picture->y, trial, n);
    gram_loss(g, at, 1);
    double loss = at->total;
    if (at->step == 0 || loss < best->total)
        *best = *at, memcpy(search->z->pixels, trial, sizeof *trial * n);
    g->ops->download(trial, g->picture->dy, n);
    for (long i = 0; i < n; i++) dx[i] = trial[i];
    best->step = at->step++;
    gram_report(g, best, best->step % GRAM_EVERY == 0);
    return loss;
}
static int gram_lbfgs(Gram *g, Image *z, GramStep *at, long n) {
    const GramOptions *o = g->o;
    GramSearch search = { .g = g, .at = at, .z = z };
    double *x = malloc(sizeof *x * (LBFGS_ROWS + 1) * n);
    int good = (x && image_copy(&search.trial, z)) || gram_memory(z->h, z->w);
    if (good) {
        for (long i = 0; i < n; i++) x[i] = z->pixels[i];
        at->step = 0;
        lbfgs(x, n, o->whiten ? INFINITY : 1, o->steps, o->lr, gram_evaluate, &search, x + n);
        *at = search.best;
        if (o->progress) o->progress(at);
    }
    image_free(&search.trial);
    free(x);
    return good;
}

/* Optimises the picture z (h,w,3) at one level towards g->target and the content */
static int gram_level(Gram *g, Image *z, const Image *content, GramStep *at) {
    long n = 3L * z->h * z->w;
    double sum = 0;
    int lbfgs = g->o->optimizer == GRAM_LBFGS;
    int good = gram_begin(g, content) && (lbfgs ? gram_lbfgs : gram_adam)(g, z, at, n);
    for (long i = 0; i < n; i++) sum += z->pixels[i];
    if (good && !isfinite(sum))
        good = fail("the picture of %d x %d is not finite any more: give smaller weights of the "
                    "losses", z->w, z->h);
    gram_end(g);
    return good;
}

/* ----------------------------------------------------------------------------- the whole way */

/* The sides of each level, finest first, and how many levels. */
static int gram_levels(const Gram *g, const Image *content, int side[GRAM_LEVELS][2]) {
    int levels = 0, least = g->o->smallest;
    double ratio = 1, shorter = fmin(content->h, content->w);
    do {
        side[levels][0] = gram_side(g, content->h * ratio);
        side[levels++][1] = gram_side(g, content->w * ratio);
        ratio *= 0.7;
    } while (least > 0 && levels < GRAM_LEVELS && shorter * ratio >= least);
    return levels;
}

static int gram_pictures(const Image *content, const Styles *styles, const GramOptions *o) {
    static const char *const what[] = { "content", "start", "style" };
    double all = styles_sum(styles);
    if (styles->count < 1) return fail("no style picture");
    if (!(all > 0 && isfinite(all)))
        return fail("the weights of the styles add up to %g: expected more than 0", all);
    for (int k = 0; k < styles->count + 2; k++) {
        const Image *p = k > 1 ? &styles->picture[k - 2] : k && o->start ? o->start : content;
        if (p->c != 3 || p->h < 16 || p->w < 16)
            return fail("a %s picture of %d x %d, %d channels: expected RGB and sides from 16 "
                        "pixels up", what[k > 1 ? 2 : k], p->w, p->h, p->c);
    }
    return 1;
}

/* Memory gram_transfer needs where ops computes, in bytes, with scratch; pictures on the host are
 * not counted, L-BFGS's 25 doubles for each of their numbers are. 0: bad options. The networks live
 * one after the other. That of the content has Adam's moments or L-BFGS's pairs beside it, the
 * content's features, ones. */
static inline double gram_bytes(const Image *content, const Styles *styles, const GramOptions *o,
                                const Ops *ops) {
    Gram g;
    double most = 0, each = o->optimizer == GRAM_LBFGS ? (LBFGS_ROWS + 1) * sizeof(double)
                                                       : 2 * sizeof(real);
    if (!gram_check(&g, o, ops)) return 0;
    for (int k = -1; k < styles->count; k++) {
        const Image *p = k < 0 ? content : &styles->picture[k];
        double r = k < 0 ? 1 : o->scale * fmax(content->h, content->w) / fmax(p->h, p->w);
        int h = gram_side(&g, r * p->h), w = gram_side(&g, r * p->w);
        if (!gram_describe(&g, h, w)) return 0;
        double bytes = net_bytes(&g.net, NET_INPUT) + net_scratch_bytes(&g.net);
        long numbers = g.targets + 3 * g.most + 1 + (k < 0 ? g.rows + g.features : 0);
        if (k < 0) bytes += 3.0 * h * w * each;
        most = fmax(most, bytes + numbers * sizeof(real));
    }
    return most;
}

/* Whitening: the content begins with the style's colours: z = root^-1 T (x - mean), T by
 * colour_monge; start: z = root^-1 (x - mean). gray: the luminance of z */
static void gram_colours(Gram *g, Image *content, Image *start, const Styles *styles) {
    static const double light[3] = { 0.299, 0.587, 0.114 };
    double mean[3], c[9], s[9], a[9], b[9];
    for (int i = 0; i < 9; i += 4) g->root[i] = 1;
    if (g->o->whiten) {
        colour_statistics(g->mean, s, styles->picture, styles->share, styles->count);
        colour_statistics(mean, c, content, NULL, 1);
        colour_monge(a, c, s);
        for (int i = 0; i < 9; i += 4) s[i] += COLOUR_RIDGE;     /* one flat colour has a root */
        colour_power(g->root, s, 0.5), colour_power(g->unroot, s, -0.5);
        matrix_product(b, g->unroot, a, 3);
        colour_map(content, b, mean, gram_zero);
        if (start->pixels) colour_map(start, g->unroot, g->mean, gram_zero);
    }
    for (int i = 0; i < 3; i++)
        g->gray[i] = light[0] * g->root[i] + light[1] * g->root[3 + i] + light[2] * g->root[6 + i];
}

/* out: a new picture (h,w,3) of the content's size in [-1,1]. content, styles: RGB pictures in
 * [-1,1], sides from 16 pixels up; shares >= 0. The targets are the weighted means of the styles'
 * Gram matrices and means. The same bits for the same options on one table, whatever the number of
 * threads. 0, and a line in error_text(): bad options, VGG's file does not fit, no memory, numbers
 * that are not finite. *out is then empty. */
static inline int gram_transfer(Image *out, const Image *content, const Styles *styles,
                                const GramOptions *o, const Ops *ops) {
    Gram g;
    GramStep at = {0};
    Image guide = {0}, z = {0};
    int side[GRAM_LEVELS][2];
    *out = (Image){0};
    if (!gram_check(&g, o, ops) || !gram_pictures(content, styles, o)) return 0;
    int good = image_copy(&guide, content) && (!o->start || image_copy(&z, o->start));
    if (good) gram_colours(&g, &guide, &z, styles);
    good = good && (z.pixels || image_copy(&z, &guide));
    at.levels = gram_levels(&g, content, side), at.steps = o->steps, at.layers = g.layers;
    for (int i = 0; i < at.levels; i++) g.work += (double)side[i][0] * side[i][1] * o->steps;
    for (int l = 0; l < g.layers; l++) strcpy(at.layer[l], g.name[l]);
    for (at.level = 0; at.level < at.levels && good; at.level++) {
        Image wanted = {0};
        at.h = side[at.levels - 1 - at.level][0], at.w = side[at.levels - 1 - at.level][1];
        good = image_resize(&wanted, &guide, at.h, at.w)
            && resize_in_steps(&z, at.h, at.w, INFINITY);
        for (long i = 0; good && at.level == 0 && o->noise && i < 3L * z.h * z.w; i++)
            z.pixels[i] = 0.3f * philox_normal(o->seed, 1 << 20, 4 * i);         /* N(0, 0.3^2) */
        good = good && gram_targets(&g, styles, fmax(at.h, at.w))
            && gram_level(&g, &z, &wanted, &at);
        image_free(&wanted);
        g.done += (double)at.h * at.w * o->steps;
    }
    if (good && o->whiten) colour_map(&z, g.root, gram_zero, g.mean);
    good = good && image_resize(out, &z, content->h, content->w);
    for (long i = 0; good && i < 3L * out->h * out->w; i++)
        out->pixels[i] = image_clamp(out->pixels[i], -1, 1);
    if (g.gram) ops->release(g.gram);
    image_free(&guide), image_free(&z);
    return good;
}
#endif
