/* gram.h: style transfer of one picture by optimisation (Gatys, Ecker, Bethge: "A neural algorithm of artistic style", 2015).
 *
 * A network of features looks at pictures. Style is which features occur together, wherever they are: the Gram matrices of some
 * layers. Content is what a deeper layer sees where. The pixels themselves are the parameters; Adam or L-BFGS changes them until
 *
 *   L = content |F - F_content|^2 / |F_content|^2 + style mean_l |G_l - G_l*|^2 / |G_l*|^2 + tv TV(z)          (F9, F8, F10)
 *
 * is small. With VGG16 or VGG19 (a file of weights that the user has) this is the paper. Six convolutions of our own
 * (features_random: style/features.safetensors, which learned to tell textures apart, or random filters that have learned nothing) do
 * as well only after three things are done for them, each to be seen by undoing it:
 *   - coarse to fine: the picture is optimised at 43, 61, 88 .. 256 pixels, each result enlarged to start the next;
 *   - colours are whitened: z = A^-1 (x - m), m and A^2 being mean and covariance of the style's colours, so that three channels
 *     that mostly go together become three that do not; in RGB the same features give coloured noise;
 *   - Gram matrices are centred (covariances), and the means are compared beside them: + |mu_l - mu_l*|^2 / |mu_l*|^2.
 *
 *   GramOptions o = gram_defaults(0);
 *   if (!gram_transfer(&result, &content, &style, NULL, 1, &o, ops)) puts(error_text());
 *
 * One .c file says #define GRAM_IMPLEMENTATION; it needs the code of featurenet.h, net.h, safetensors.h, images.h. */
#ifndef GRAM_H
#define GRAM_H
#include "core/featurenet.h"
#include "images/images.h"

enum { GRAM_LAYERS = 8, GRAM_LEVELS = 24 };
enum { GRAM_CONTENT, GRAM_NOISE, GRAM_PICTURE };        /* what the optimisation starts from */

enum { GRAM_ADAM, GRAM_LBFGS };                         /* a step: one evaluation of the loss and its gradient, for both */

/* What the progress callback is shown. Losses are without their weights; Adam: before the step's update; L-BFGS: the least so far. */
typedef struct GramStep {
    int level, levels, h, w, step, steps;               /* level 0 is the coarsest; step counts from 0 */
    int number;                                         /* of the step in all levels, from 1 */
    double fraction;                                    /* of the whole work that is done, by pixels and steps */
    int layers;
    char layer[GRAM_LAYERS][12];                        /* their names */
    double style[GRAM_LAYERS], content, tv, total;
} GramStep;

typedef struct GramOptions {
    int vgg;                             /* 0: the built-in features; 16 or 19 */
    const StFile *weights;               /* opened by the caller with features_open; NULL: random features, vgg 0 */
    int pooling;                         /* VGG: FEATURES_MAX or FEATURES_AVERAGE */
    const char *style_layers;            /* names separated by spaces, at most GRAM_LAYERS */
    const char *content_layer;
    double content, style, tv;           /* weights >= 0 */
    int optimizer;                       /* GRAM_ADAM or GRAM_LBFGS */
    double lr;                           /* Adam's rate, falling to a tenth at the end of each level; L-BFGS: its first step, root mean
                                          * square; in units of z */
    int steps;                           /* of each level, >= 1 */
    int smallest;                        /* shorter side of the coarsest level, sides shrink by 0.7 each; 0: one level */
    double scale;                        /* longer side of the style pictures, in longer sides of the content: 1 */
    int whiten, centred;                 /* as above; whiten 0: z is the picture, kept in [-1,1] */
    int init;                            /* GRAM_CONTENT (its colours matched to the style's if whiten), GRAM_NOISE, GRAM_PICTURE: */
    const Image *start;                  /* .. this one */
    uint64_t seed;                       /* of the built-in filters, and of the noise */
    int every;                           /* progress is called at each `every`th step and at the last of a level */
    int (*progress)(void *context, const GramStep *step);        /* or NULL; returns 0 to stop here, with the picture as it is */
    void *context;
} GramOptions;

/* vgg 0, 16 or 19. VGG's: relu1_1 relu2_1 relu3_1 relu4_1 relu5_1, content at relu4_2, one level, RGB, as in the paper. */
GramOptions gram_defaults(int vgg);

/* out: a new picture (h,w,3) of the content's size in [-1,1]. content, style[0..styles): RGB pictures (c = 3) in [-1,1], sides from 16
 * pixels up. weight: of each style, >= 0, NULL: all alike; the targets are the weighted means of the styles' Gram matrices and means.
 * The same bits for the same options on one table, whatever the number of threads. 0, and a line in error_text(): bad options, VGG's file
 * does not fit, no memory, numbers that are not finite. *out is then empty. */
int gram_transfer(Image *out, const Image *content, const Image *style, const double *weight, int styles, const GramOptions *o, const Ops *ops);

/* Memory gram_transfer needs where ops computes, in bytes, with scratch; pictures on the host are not counted, L-BFGS's 25 doubles
 * for each of their numbers are. 0: bad options. */
double gram_bytes(const Image *content, const Image *style, int styles, const GramOptions *o, const Ops *ops);
#endif

#if defined(GRAM_IMPLEMENTATION) && !defined(GRAM_IMPLEMENTED)
#define GRAM_IMPLEMENTED
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

GramOptions gram_defaults(int vgg) {
    if (vgg)
        return (GramOptions){ .vgg = vgg, .style_layers = "relu1_1 relu2_1 relu3_1 relu4_1 relu5_1", .content_layer = "relu4_2",
                              .content = 0.05, .style = 1, .tv = 0.01, .lr = 0.04, .steps = 300, .scale = 1, .seed = 1, .every = 10 };
    return (GramOptions){ .style_layers = "relu1_1 relu1_2 relu2_1 relu2_2 relu3_1 relu3_2", .content_layer = "luminance",
                          .content = 0.25, .style = 1, .tv = 0.1, .lr = 0.08, .steps = 60, .smallest = 32, .scale = 1,
                          .whiten = 1, .centred = 1, .seed = 1, .every = 10 };
}

/* ------------------------------------------------------------------------------------------------------------- L-BFGS */

/* f(x); its gradient into g. NaN: nothing can be computed at x. */
typedef double LbfgsLoss(void *context, double *g, const double *x);
enum { LBFGS_PAIRS = 10, LBFGS_TRIALS = 20, LBFGS_ROWS = 2 * LBFGS_PAIRS + 4 };

/* x - t d, kept in [-most, most]; is x at a bound that -g points out of? */
static inline double lbfgs_move(double x, double t, double d, double most) { return fmin(fmax(x - t * d, -most), most); }
static inline int lbfgs_held(double x, double g, double most) { return g < 0 ? x >= most : x <= -most; }

static double lbfgs_dot(const double *a, const double *b, long n) {
    double sum = 0;
    for (long i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Minimises f from x (n) on with at most `evaluations` of it (Liu, Nocedal: "On the limited memory BFGS method for large scale
 * optimization", 1989). Newton's step without Newton's matrix: x <- x - t d, d = H g, where the inverse Hessian H is known by the last ten
 * pairs s_i = x_i+1 - x_i, y_i = g_i+1 - g_i alone, and H g takes two loops over them (Nocedal, Wright: Numerical Optimization, 7.4):
 *
 *   d = g;   newest to oldest:  a_i = s_i.d / s_i.y_i,  d -= a_i y_i;   d *= s.y / y.y of the newest;
 *            oldest to newest:  d += (a_i - y_i.d / s_i.y_i) s_i
 *
 * t begins at 1, and without pairs at `first` / rms(g). It is halved towards `low`, or doubled, until with s = -t d
 *   f(x + s) <= f(x) + 1e-4 g.s    (Armijo: f falls)             g(x + s).s >= 0.9 g.s    (Wolfe: the slope flattens, so that s.y > 0)
 * both hold (bisection: Lewis, Overton 2013), twenty times at most; after that the pairs are forgotten, and without pairs it ends.
 * |x| <= most: numbers at a bound that g pushes outwards stay there in this step, the others move no further than the bound (Bertsekas,
 * "Projected Newton methods", 1982); INFINITY: no bounds.   work: LBFGS_ROWS n doubles. Returns f(x). */
static double lbfgs(double *x, long n, double most, int evaluations, double first, LbfgsLoss *loss, void *context, double *work) {
    double *s = work, *y = s + LBFGS_PAIRS * n, *g = y + LBFGS_PAIRS * n, *d = g + n, *to = d + n, *g_to = to + n;
    double sy[LBFGS_PAIRS], a[LBFGS_PAIRS], f = loss(context, g, x);
    int newest = 0, pairs = 0;                                /* pair i stands in row i % LBFGS_PAIRS, newest - pairs <= i < newest */
    for (evaluations--; evaluations > 0; ) {
        for (long j = 0; j < n; j++) d[j] = lbfgs_held(x[j], g[j], most) ? 0 : g[j];
        for (int i = newest - 1; i >= newest - pairs; i--) {
            int k = i % LBFGS_PAIRS;
            a[k] = lbfgs_dot(s + k * n, d, n) / sy[k];
            for (long j = 0; j < n; j++) d[j] -= a[k] * y[k * n + j];
        }
        if (pairs) {
            const double *last = y + (newest - 1) % LBFGS_PAIRS * n, scale = sy[(newest - 1) % LBFGS_PAIRS] / lbfgs_dot(last, last, n);
            for (long j = 0; j < n; j++) d[j] *= scale;
        }
        for (int i = newest - pairs; i < newest; i++) {
            int k = i % LBFGS_PAIRS;
            double b = a[k] - lbfgs_dot(y + k * n, d, n) / sy[k];
            for (long j = 0; j < n; j++) d[j] += b * s[k * n + j];
        }
        for (long j = 0; j < n; j++) if (lbfgs_held(x[j], g[j], most)) d[j] = 0;
        int found = 0;
        double slope = lbfgs_dot(g, d, n), low = 0, high = INFINITY, t = pairs ? 1 : first * sqrt((double)n / slope), f_to = f, f_low = f;
        for (int trial = 0; slope > 0 && trial < LBFGS_TRIALS && evaluations > 0 && !found; trial++, evaluations--) {
            double fall = 0, flat = 0;                        /* -g(x).s, -g(x + s).s */
            for (long j = 0; j < n; j++) to[j] = lbfgs_move(x[j], t, d[j], most);
            f_to = loss(context, g_to, to);
            for (long j = 0; j < n; j++) fall += g[j] * (x[j] - to[j]), flat += g_to[j] * (x[j] - to[j]);
            if (!(fall > 0 && f_to <= f - 1e-4 * fall)) high = t;
            else if (!(flat <= 0.9 * fall)) low = t, f_low = f_to;
            else found = 1;
            if (!found) t = isfinite(high) ? (low + high) / 2 : 2 * t;
        }
        if (!found && low > 0) {                              /* lower, but still as steep: no more evaluations, or no end to it */
            for (long j = 0; j < n; j++) x[j] = lbfgs_move(x[j], low, d[j], most);
            return f_low;
        }
        if (!found && !pairs) break;
        if (!found) { pairs = 0; continue; }
        int k = newest % LBFGS_PAIRS;
        for (long j = 0; j < n; j++) s[k * n + j] = to[j] - x[j], y[k * n + j] = g_to[j] - g[j];
        sy[k] = lbfgs_dot(s + k * n, y + k * n, n);
        if (sy[k] > 0) newest++, pairs += pairs < LBFGS_PAIRS;        /* 0 by rounding only */
        memcpy(x, to, sizeof *x * (size_t)n), memcpy(g, g_to, sizeof *g * (size_t)n);
        f = f_to;
    }
    return f;
}

/* --------------------------------------------------------------------------------------------------------- one level */

typedef struct Gram {
    const GramOptions *o;
    const Ops *ops;
    int layers;
    char name[GRAM_LAYERS][12], deepest[12];
    double mean[3], root[9], unroot[9], gray[3];         /* x = mean + root z; luminance = gray . z + a constant */
    Net net;                                             /* of the picture being looked at */
    Features f;
    long channels[GRAM_LAYERS], offset[GRAM_LAYERS];     /* of each layer: c, and where its Gram matrix and its means stand in target */
    long targets, most, rows;                            /* sizes: of target, of the largest Gram matrix, of the largest layer */
    real *target, *gram, *dgram, *average, *number;
    const Node *picture, *seen;                          /* of this level: the input z, and the content layer or NULL; */
    long features;                                       /* how many numbers that is, */
    real *wanted, *ones;                                 /* what they are for the content; ones (rows) */
    double size;                                         /* and their mean square */
    double work, done;                                   /* pixels times steps of all levels, and of those before this one */
    int h, w;                                            /* of the result */
} Gram;

static const double gram_zero[3] = { 0 };

/* the words of style_layers, and the layer nearest to the end. 0: one that does not exist, or bad numbers */
static int gram_check(Gram *g, const GramOptions *o, const Ops *ops) {
    char list[200], *save = NULL;
    memset(g, 0, sizeof *g);
    g->o = o, g->ops = ops;
    if (o->optimizer != GRAM_ADAM && o->optimizer != GRAM_LBFGS) return fail("optimizer %d: expected GRAM_ADAM or GRAM_LBFGS", o->optimizer);
    if (!(o->content >= 0 && o->style >= 0 && o->tv >= 0 && o->lr > 0 && o->scale > 0) || o->steps < 1)
        return fail("content %g, style %g, tv %g, lr %g, scale %g, steps %d: expected weights >= 0, the others above 0", o->content,
                         o->style, o->tv, o->lr, o->scale, o->steps);
    if (o->vgg && !o->weights) return fail("VGG%d needs a file of weights", o->vgg);
    if (strlen(o->style_layers) >= sizeof list) return fail("style layers '%s': too many", o->style_layers);
    snprintf(g->deepest, sizeof g->deepest, "%.11s", o->content > 0 ? o->content_layer : "");
    strcpy(list, o->style_layers);
    for (char *word = strtok_r(list, " ,", &save); word; word = strtok_r(NULL, " ,", &save)) {
        if (g->layers == GRAM_LAYERS) return fail("style layers '%s': expected at most %d", o->style_layers, GRAM_LAYERS);
        snprintf(g->name[g->layers], sizeof g->name[0], "%.11s", word);
        if (strcmp(word, g->deepest) > 0) strcpy(g->deepest, g->name[g->layers]);        /* relu4_2 comes after relu4_1 in the alphabet too */
        g->layers++;
    }
    return g->layers ? 1 : fail("style layers '%s': expected names such as relu1_1", o->style_layers);
}

static int gram_multiple(const Gram *g) { return !g->o->vgg ? 4 : g->o->pooling == FEATURES_AVERAGE ? features_multiple(g->deepest) : 1; }

/* a side of about `size` pixels that the network accepts */
static int gram_side(const Gram *g, double size) {
    int multiple = gram_multiple(g), n = (int)(size / multiple + 0.5) * multiple, least = (16 + multiple - 1) / multiple * multiple;
    return n < least ? least : n;
}

/* The network for pictures of (h,w), described; g->channels, rows and sizes follow from it. */
static int gram_describe(Gram *g, int h, int w) {
    const GramOptions *o = g->o;
    net_begin(&g->net, "features", g->ops, 1);
    if (!(o->vgg ? features_vgg(&g->f, &g->net, o->vgg, g->deepest, h, w, o->pooling, o->weights) : features_random(&g->f, &g->net, h, w)))
        return 0;
    if (o->content > 0 && features_node(&g->f, o->content_layer) < 0)
        return fail("content layer '%.40s': the features have no such layer", o->content_layer);
    g->targets = g->most = g->rows = 0;
    for (int l = 0; l < g->layers; l++) {
        int node = features_node(&g->f, g->name[l]);
        if (node < 0) return fail("style layer '%s': the features have no such layer", g->name[l]);
        long c = g->channels[l] = g->net.node[node].c, rows = (long)g->net.node[node].h * g->net.node[node].w;
        g->offset[l] = g->targets;
        g->targets += c * c + c;
        if (c * c > g->most) g->most = c * c;
        if (rows > g->rows) g->rows = rows;
    }
    return 1;
}

/* a picture into the network's input */
static int gram_upload(Gram *g, const Image *picture) {
    long n = 3L * picture->h * picture->w;
    real *host = malloc(sizeof(real) * (size_t)n);
    for (long i = 0; host && i < n; i++) host[i] = picture->pixels[i];
    if (host) g->ops->upload(g->net.node[g->f.picture].y, host, n);
    free(host);
    return host ? 1 : fail("not enough memory for a picture of %d x %d", picture->w, picture->h);
}

/* described, with memory and weights, and the picture in its input. 0: g->net is empty */
static int gram_open(Gram *g, const Image *picture) {
    int good = gram_describe(g, picture->h, picture->w);
    if (good && !net_finish(&g->net, NET_INPUT))
        good = fail("not enough memory for pictures of %d x %d pixels: take smaller ones", picture->w, picture->h);
    if (good && !g->o->vgg) features_draw(&g->f, &g->net, g->o->seed, g->gray);
    if (good && g->o->weights) good = features_load(&g->f, &g->net, g->o->weights);
    good = good && gram_upload(g, picture);
    if (!good) net_free(&g->net);
    return good;
}

static const Node *gram_node(const Gram *g, int l) { return &g->net.node[features_node(&g->f, g->name[l])]; }

/* layer l: gram = its Gram matrix, average = its means */
static void gram_measure(Gram *g, int l) {
    const Node *node = gram_node(g, l);
    g->ops->gram_forward(g->gram, g->o->centred ? g->average : NULL, node->y, (long)node->h * node->w, node->c);
}

static double gram_number(const Gram *g) {
    real x;
    g->ops->download(&x, g->number, 1);
    return x;
}

/* target: the weighted mean of what the layers say of the styles at this level, r content pixels to one of the full size */
static int gram_targets(Gram *g, const Image *style, const double *weight, int styles, double longer) {
    double all = 0;
    for (int k = 0; k < styles; k++) all += weight ? weight[k] : 1;
    for (int k = 0; k < styles; k++) {
        Image small;
        double r = longer * g->o->scale / (style[k].h > style[k].w ? style[k].h : style[k].w);
        if (!image_resize(&small, &style[k], gram_side(g, r * style[k].h), gram_side(g, r * style[k].w))) return 0;
        if (g->o->whiten) colour_map(&small, g->unroot, g->mean, gram_zero);
        int good = gram_open(g, &small);
        image_free(&small);
        if (!good) return 0;
        if (!g->target) {                                /* sizes are known now, and are those of every level */
            g->target = g->ops->alloc(g->targets), g->gram = g->ops->alloc(g->most), g->dgram = g->ops->alloc(g->most);
            g->average = g->ops->alloc(g->most), g->number = g->ops->alloc(1);
            if (!g->target || !g->gram || !g->dgram || !g->average || !g->number) return fail("not enough memory for the Gram matrices");
        }
        if (k == 0) g->ops->fill(g->target, 0, g->targets);
        net_forward(&g->net, 0);
        for (int l = 0; l < g->layers; l++) {
            long c = g->channels[l];
            real share = (real)((weight ? weight[k] : 1) / all);
            gram_measure(g, l);
            g->ops->axpy(g->target + g->offset[l], g->gram, share, c * c);
            if (g->o->centred) g->ops->axpy(g->target + g->offset[l] + c * c, g->average, share, c);
        }
        net_free(&g->net);
    }
    return 1;
}

/* F8 of layer l: its gradient onto the layer's dy; its value if `look` */
static double gram_style(Gram *g, int l, double scale, int look) {
    const Ops *ops = g->ops;
    const Node *node = gram_node(g, l);
    long c = node->c, rows = (long)node->h * node->w;
    const real *target = g->target + g->offset[l];
    double loss = 0;
    gram_measure(g, l);
    ops->fill(g->dgram, 0, c * c);
    ops->style_loss_backward(g->dgram, g->gram, target, (real)scale, c * c);
    ops->gram_backward(node->dy, g->dgram, node->y, g->o->centred ? g->average : NULL, rows, (int)c);
    if (look) ops->style_loss_forward(g->number, g->gram, target, c * c), loss = gram_number(g);
    if (!g->o->centred) return loss;
    ops->fill(g->dgram, 0, c);                           /* the means: dmu_i / rows to every row, the product of ones (rows,1) and dmu */
    ops->style_loss_backward(g->dgram, g->average, target + c * c, (real)(scale / (double)rows), c);
    ops->dense_backward_input(node->dy, g->ones, g->dgram, (int)rows, (int)c, 1);
    if (look) ops->style_loss_forward(g->number, g->average, target + c * c, c), loss += gram_number(g);
    return loss;
}

/* A level begins: the network for the content picture, and what it sees there. 0, and a line: no memory. */
static int gram_begin(Gram *g, const Image *content) {
    if (!gram_open(g, content)) return 0;
    const int seen = features_node(&g->f, g->o->content_layer);
    g->picture = &g->net.node[g->f.picture], g->seen = g->o->content > 0 ? &g->net.node[seen] : NULL;
    g->features = g->seen ? (long)g->seen->h * g->seen->w * g->seen->c : 0;
    g->wanted = g->ops->alloc(g->features), g->ones = g->ops->alloc(g->rows);
    if (!g->wanted || !g->ones) return fail("not enough memory for pictures of %d x %d pixels", content->w, content->h);
    g->ops->fill(g->ones, 1, g->rows);
    g->size = 1;
    if (!g->seen) return 1;
    net_forward(&g->net, 0);
    g->ops->copy(g->wanted, g->seen->y, g->features);
    g->ops->sum_squares(g->number, g->wanted, g->features);
    g->size = fmax(gram_number(g) / (double)g->features, 1e-12);     /* F9 divided by this is relative, as F8 is */
    return 1;
}
static void gram_end(Gram *g) {
    if (g->wanted) g->ops->release(g->wanted);
    if (g->ones) g->ops->release(g->ones);
    g->wanted = g->ones = NULL;
    net_free(&g->net);
}

/* L and dL/dz of the picture z in the network's input: into picture->dy; the numbers into `at`, if `look`. */
static void gram_loss(Gram *g, GramStep *at, int look) {
    const GramOptions *o = g->o;
    const Ops *ops = g->ops;
    const Node *z = g->picture, *seen = g->seen;
    net_forward(&g->net, 0);
    net_zero_activations(&g->net);
    at->content = at->tv = at->total = 0;
    for (int l = 0; l < g->layers; l++) {
        at->style[l] = gram_style(g, l, o->style / g->layers, look);
        at->total += o->style / g->layers * at->style[l];
    }
    if (seen) ops->squared_error_backward(seen->dy, seen->y, g->wanted, NULL, (real)(o->content / g->size), g->features);
    if (o->tv > 0) ops->total_variation_backward(z->dy, z->y, (real)o->tv, 1, z->h, z->w, 3);
    net_backward(&g->net, NET_INPUT);
    if (!look) return;
    if (seen) ops->squared_error_forward(g->number, seen->y, g->wanted, NULL, g->features), at->content = gram_number(g) / g->size;
    ops->total_variation_forward(g->number, z->y, 1, z->h, z->w, 3), at->tv = gram_number(g);
    at->total += o->content * at->content + o->tv * at->tv;
}

/* The result from the picture z of a level: its colours, its size, kept in [-1,1] */
static int gram_result(Image *out, const Gram *g, const Image *z) {
    Image colored;
    int good = image_copy(&colored, z);
    if (good && g->o->whiten) colour_map(&colored, g->root, gram_zero, g->mean);
    good = good && image_resize(out, &colored, g->h, g->w);
    image_free(&colored);
    for (long i = 0; good && i < 3L * out->h * out->w; i++) out->pixels[i] = fminf(fmaxf(out->pixels[i], -1), 1);
    return good;
}

/* The numbers of the network's input, or of its gradient, into a picture of that size */
static int gram_download(const Gram *g, float *to, const real *from, long n) {
    real *host = malloc(sizeof(real) * (size_t)n);
    if (!host) return fail("not enough memory for a picture of %d x %d", g->picture->w, g->picture->h);
    g->ops->download(host, from, n);
    for (long i = 0; i < n; i++) to[i] = (float)host[i];
    free(host);
    return 1;
}

/* After a step: 1 go on, 2 progress said stop */
static int gram_report(const Gram *g, GramStep *at, int look) {
    at->number = at->level * g->o->steps + at->step + 1;
    at->fraction = fmin((g->done + (double)at->h * at->w * (at->step + 1)) / g->work, 1);
    return look && g->o->progress && !g->o->progress(g->o->context, at) ? 2 : 1;
}

/* Adam on the picture in the network's input. 1 done, 2 stopped by a callback, 0 failed */
static int gram_adam(Gram *g, GramStep *at, long n) {
    const GramOptions *o = g->o;
    const Ops *ops = g->ops;
    real *m = ops->alloc(n), *v = ops->alloc(n), *x = g->picture->y;
    int result = m && v ? 1 : fail("not enough memory for pictures of %d x %d pixels", at->w, at->h);
    for (at->step = 0; result == 1 && at->step < o->steps; at->step++) {
        int look = o->progress && ((o->every > 0 && at->step % o->every == 0) || at->step + 1 == o->steps);
        gram_loss(g, at, look);
        double rate = o->lr * (1 - 0.9 * at->step / o->steps);
        ops->adam_step(x, m, v, g->picture->dy, n, (real)rate, (real)0.9, (real)0.999, (real)1e-8, at->step + 1);
        if (!o->whiten) ops->clip(x, 1, n);
        result = gram_report(g, at, look);
    }
    if (m) ops->release(m);
    if (v) ops->release(v);
    return result;
}

/* What lbfgs asks: the loss of the picture x, which is computed where g->ops computes; z is the best picture so far */
typedef struct GramSearch { Gram *g; GramStep *at, best; Image *z, trial; int result; } GramSearch;
static double gram_evaluate(void *context, double *dx, const double *x) {
    GramSearch *search = context;
    Gram *g = search->g;
    GramStep *at = search->at, *best = &search->best;
    Image *trial = &search->trial;
    long n = 3L * trial->h * trial->w;
    if (search->result != 1) return NAN;
    for (long i = 0; i < n; i++) trial->pixels[i] = (float)x[i];
    if (!(search->result = gram_upload(g, trial))) return NAN;
    gram_loss(g, at, 1);
    double loss = at->total;
    if (at->step == 0 || loss < best->total) *best = *at, memcpy(search->z->pixels, trial->pixels, sizeof(float) * (size_t)n);
    if (!(search->result = gram_download(g, trial->pixels, g->picture->dy, n))) return NAN;
    for (long i = 0; i < n; i++) dx[i] = trial->pixels[i];
    best->step = at->step++;
    search->result = gram_report(g, best, g->o->every > 0 && best->step % g->o->every == 0);
    return loss;
}
static int gram_lbfgs(Gram *g, Image *z, GramStep *at, long n) {
    GramSearch search = { .g = g, .at = at, .z = z, .result = 1 };
    double *x = malloc(sizeof *x * (LBFGS_ROWS + 1) * (size_t)n);
    if (x && image_copy(&search.trial, z)) {
        for (long i = 0; i < n; i++) x[i] = z->pixels[i];
        at->step = 0;
        lbfgs(x, n, g->o->whiten ? INFINITY : 1, g->o->steps, g->o->lr, gram_evaluate, &search, x + n);
        *at = search.best;
        if (g->o->progress && search.result == 1) search.result = g->o->progress(g->o->context, at) ? 1 : 2;
    } else search.result = fail("not enough memory for L-BFGS on pictures of %d x %d pixels", z->w, z->h);
    image_free(&search.trial);
    free(x);
    return search.result;
}

/* Optimises the picture z (h,w,3) at one level towards g->target and the content. 1 done, 2 stopped by a callback, 0 failed. */
static int gram_level(Gram *g, Image *z, const Image *content, GramStep *at) {
    long n = 3L * z->h * z->w;
    int result = gram_begin(g, content) && gram_upload(g, z);
    if (result && g->o->optimizer == GRAM_LBFGS) result = gram_lbfgs(g, z, at, n);
    else if (result) {
        result = gram_adam(g, at, n);
        if (result && !gram_download(g, z->pixels, g->picture->y, n)) result = 0;
    }
    double sum = 0;
    for (long i = 0; i < n; i++) sum += z->pixels[i];
    if (result && !isfinite(sum)) result = fail("the picture of %d x %d is not finite any more: lower lr", z->w, z->h);
    gram_end(g);
    return result;
}

/* ------------------------------------------------------------------------------------------------------ the whole way */

/* The sides of each level, coarsest first, and how many levels. */
static int gram_levels(const Gram *g, const Image *content, int side[GRAM_LEVELS][2]) {
    int shorter = content->h < content->w ? content->h : content->w, levels = 1;
    double ratio[GRAM_LEVELS] = { 1 };
    while (g->o->smallest > 0 && levels < GRAM_LEVELS && shorter * ratio[levels - 1] * 0.7 >= g->o->smallest)
        ratio[levels] = ratio[levels - 1] * 0.7, levels++;
    for (int i = 0; i < levels; i++) {
        side[i][0] = gram_side(g, content->h * ratio[levels - 1 - i]);
        side[i][1] = gram_side(g, content->w * ratio[levels - 1 - i]);
    }
    return levels;
}

static int gram_pictures(const Image *content, const Image *style, const double *weight, int styles, const GramOptions *o) {
    double all = 0;
    if (styles < 1) return fail("no style picture");
    for (int k = 0; k < styles; k++) {
        if (weight && !(weight[k] >= 0)) return fail("style weight %g: expected 0 or more", weight[k]);
        all += weight ? weight[k] : 1;
    }
    if (!(all > 0 && isfinite(all))) return fail("the weights of the styles add up to %g: expected more than 0", all);
    for (int k = -2; k < styles; k++) {
        const Image *p = k == -2 ? content : k == -1 ? (o->init == GRAM_PICTURE ? o->start : content) : &style[k];
        if (!p || p->c != 3 || p->h < 16 || p->w < 16)
            return fail("a %s picture of %d x %d, %d channels: expected RGB and sides from 16 pixels up", k < -1 ? "content" : k < 0 ? "start" : "style",
                             p ? p->w : 0, p ? p->h : 0, p ? p->c : 0);
    }
    return 1;
}

double gram_bytes(const Image *content, const Image *style, int styles, const GramOptions *o, const Ops *ops) {
    Gram g;
    double most = 0;
    if (!gram_check(&g, o, ops)) return 0;
    for (int k = -1; k < styles; k++) {                  /* the networks live one after the other */
        const Image *p = k < 0 ? content : &style[k];
        double r = k < 0 ? 1 : o->scale * fmax(content->h, content->w) / fmax(p->h, p->w);
        if (!gram_describe(&g, gram_side(&g, r * p->h), gram_side(&g, r * p->w))) return 0;
        double bytes = net_bytes(&g.net, NET_INPUT) + net_scratch_bytes(&g.net);
        if (k < 0) {                                     /* Adam's moments or L-BFGS's pairs, the content's features, ones */
            const Node *seen = o->content > 0 ? &g.net.node[features_node(&g.f, o->content_layer)] : NULL, *x = &g.net.node[g.f.picture];
            bytes += 3.0 * x->h * x->w * (double)(o->optimizer == GRAM_LBFGS ? (LBFGS_ROWS + 1) * sizeof(double) : 2 * sizeof(real)) + sizeof(real) * ((double)g.rows + (seen ? (double)seen->h * seen->w * seen->c : 0));
        }
        most = fmax(most, bytes + sizeof(real) * ((double)g.targets + 3.0 * (double)g.most + 1));
    }
    return most;
}

int gram_transfer(Image *out, const Image *content, const Image *style, const double *weight, int styles, const GramOptions *o, const Ops *ops) {
    Gram g;
    GramStep at = {0};
    Image guide = {0}, start = {0}, z = {0};
    int side[GRAM_LEVELS][2], result = 1;
    static const double light[3] = { 0.299, 0.587, 0.114 };
    *out = (Image){0};
    if (!gram_check(&g, o, ops) || !gram_pictures(content, style, weight, styles, o)) return 0;
    if (!image_copy(&guide, content) || (o->init == GRAM_PICTURE && !image_copy(&start, o->start))) { result = 0; goto end; }
    if (o->whiten) {
        /* the content begins with the style's colours, and both are whitened: z = root^-1 T (x - mean) */
        double mean[3], c[9], s[9], a[9], b[9];
        colour_statistics(g.mean, s, style, weight, styles);
        colour_statistics(mean, c, content, NULL, 1);
        colour_monge(a, c, s);
        for (int i = 0; i < 9; i += 4) s[i] += COLOUR_RIDGE;                   /* one flat colour has a root */
        colour_power(g.root, s, 0.5), colour_power(g.unroot, s, -0.5);
        colour_product(b, g.unroot, a);
        colour_map(&guide, b, mean, gram_zero);
        if (start.pixels) colour_map(&start, g.unroot, g.mean, gram_zero);
    }
    for (int i = 0; i < 3; i++) g.gray[i] = o->whiten ? light[0] * g.root[i] + light[1] * g.root[3 + i] + light[2] * g.root[6 + i] : light[i];
    g.h = content->h, g.w = content->w;
    at.levels = gram_levels(&g, content, side), at.steps = o->steps, at.layers = g.layers;
    for (int i = 0; i < at.levels; i++) g.work += (double)side[i][0] * side[i][1] * o->steps;
    for (int l = 0; l < g.layers; l++) strcpy(at.layer[l], g.name[l]);
    for (at.level = 0; at.level < at.levels && result == 1; at.level++) {
        Image wanted = {0}, next = {0};
        at.h = side[at.level][0], at.w = side[at.level][1];
        const Image *from = at.level ? &z : start.pixels ? &start : &guide;
        int good = image_resize(&wanted, &guide, at.h, at.w) && image_resize(&next, from, at.h, at.w);
        for (long i = 0; good && at.level == 0 && o->init == GRAM_NOISE && i < 3L * at.h * at.w; i++) {
            uint32_t k[4];
            float normal[2];
            philox4x32(k, o->seed, 1 << 20, (uint64_t)i);
            box_muller(normal, k[0], k[1]);
            next.pixels[i] = 0.3f * normal[0];
        }
        image_free(&z);
        z = next;
        result = good && gram_targets(&g, style, weight, styles, at.h > at.w ? at.h : at.w) ? gram_level(&g, &z, &wanted, &at) : 0;
        image_free(&wanted);
        g.done += (double)at.h * at.w * o->steps;
    }
    if (result) result = gram_result(out, &g, &z);
end:
    for (int i = 0; i < 5; i++) {
        real *block[] = { g.target, g.gram, g.dgram, g.average, g.number };
        if (block[i]) ops->release(block[i]);
    }
    image_free(&guide), image_free(&start), image_free(&z);
    if (!result) image_free(out);
    return result != 0;
}
#endif
