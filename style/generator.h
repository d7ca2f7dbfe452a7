/* generator.h: what networks of ./train paint of a cut-out (style/cutout.h).
 *
 *   Generator g = { .ops = ops, .seed = 1 };
 *   generator_open(&g, "runs/style", "", 0);
 *   generator_print(&g, &print, &cut, NULL);
 *
 *   style      its luminance, continued smoothly around it -> G -> a print, gray or RGB
 *   cyclegan   itself, made small as in training -> G; what G changes, a difference of luminance or
 *   pattern    of colours, is enlarged and added: buttons and seams stay as sharp as they were
 *   adain      itself and any style -> the encoder's features -> G (generator_fuse)
 *   cloth      nothing: G weaves as much cloth as the print takes, or cloth alone (generator_weave)
 *
 * A picture too large for memory is painted in pieces (style/large.h). What is painted, and in how
 * much memory, goes to standard output. */
#ifndef GENERATOR_H
#define GENERATOR_H
#include "core/checkpoint.h"
#include "core/device.h"
#include "core/files.h"
#include "gan.h"
#include "style/cutout.h"
#include "style/large.h"
#include <stdio.h>

enum { GENERATOR_STYLE, GENERATOR_CYCLEGAN, GENERATOR_PATTERN, GENERATOR_ADAIN, GENERATOR_CLOTH,
       GENERATOR_KINDS };
enum { GENERATOR_CHANNELS = 4096, GENERATOR_STYLES = 256 };     /* at most: of E's layers; cloth */
enum { GENERATOR_MARGIN = 16 };         /* of mirror image around a picture */

typedef struct Generator {
    const Ops *ops;
    int tile;                           /* 0: at once if there is room; else pieces of this side */
    uint64_t seed;                      /* style, pattern: another seed draws another print */
    double scale;                       /* size of the motifs, 1: as in training; 0: a good one */
    double alpha;                       /* adain: how much of the style */
    int repeats;                        /* cloth: its right edge meets its left one, its lower one
                                           the upper one */
    const double *share;                /* cloth: of each of `classes` styles; NULL: all of one */
    void (*progress)(double fraction);  /* or NULL */

    char path[4200];                    /* of the checkpoint. This and the rest: generator_open */
    int kind, channels, trained;        /* channels and longer side of the pictures it learned */
    StFile checkpoint, weights;         /* weights: of adain's encoder, or random ones */
    Gan gan;                            /* only its networks g and, for adain, e are used */
    int encoding;                       /* adain: e alone is described, for a style */
    Large pieces;                       /* of the picture that is being painted */
    int classes;                        /* cloth: how many styles it learned */
    Image wide;                         /* all of the picture that g reads */
    real fused[2 * GENERATOR_CHANNELS]; /* adain: what g is given, deviations, then means; */
    double moments[2 * GENERATOR_CHANNELS];     /* means and variances of e's features */
} Generator;

/* ---- the checkpoint, for draw.h too ------------------------------------------------------ */

/* Opens that of a run, its folder or the file itself, and keeps its path */
static int generator_checkpoint(StFile *file, char path[4200], const char *run) {
    snprintf(path, 4200, "%.4000s%s", run, is_folder(run) ? "/checkpoint.safetensors" : "");
    return checkpoint_open(file, path);
}

/* A whole number of its metadata; `otherwise` where there is none in least .. most */
static int generator_number(const StFile *file, const char *key, int least, int most,
                            int otherwise) {
    const char *text = st_meta(file, key);
    int number = text ? atoi(text) : otherwise;
    return number >= least && number <= most ? number : otherwise;
}

/* G's first or last tensor whose name ends so, or NULL */
static const StTensor *generator_tensor(const StFile *file, const char *end, int last) {
    const StTensor *found = NULL;
    for (int i = 0, node, best = 0; i < file->count; i++) {
        const StTensor *t = &file->tensors[i];
        size_t length = strlen(t->name), tail = strlen(end);
        if (sscanf(t->name, "g.%d.", &node) != 1 || length < tail || !t->rank) continue;
        if (strcmp(t->name + length - tail, end)) continue;
        if (!found || (last ? node > best : node < best)) found = t, best = node;
    }
    return found;
}

/* How many styles cloth has learned: of the numbers that its first convolution, weight (3,3,C,O),
 * reads, those that are no noise and no waves */
static int generator_styles(const StFile *file) {
    const StTensor *first = generator_tensor(file, ".conv2d.weight", 0);
    int styles = GENERATOR_STYLES;
    while (styles > 1 && !(first && first->rank == 4 && first->shape[2] == cloth_inputs(styles)))
        styles--;
    return styles;
}

static int generator_check_channels(int channels, const char *path) {
    return channels == 1 || channels == 3
        || fail("%s: its generator makes no pictures of 1 or 3 channels: train it again", path);
}

/* all that G has computed */
static int generator_check_finite(Net *g, const char *path) {
    const char *bad = net_find_not_finite(g);
    return !bad || fail("%s: %s is not finite: the training went wrong, train again", path, bad);
}

static int generator_check_recipe(Generator *g, int styles) {
    static const char *const names[] = { "style", "cyclegan", "pattern", "adain", "cloth" };
    const char *recipe = st_meta(&g->checkpoint, "recipe");
    while (recipe && g->kind < GENERATOR_KINDS && strcmp(recipe, names[g->kind])) g->kind++;
    int fuses = recipe && g->kind == GENERATOR_ADAIN;
    if (recipe && g->kind < GENERATOR_KINDS && fuses == (styles > 0)) return 1;
    return fail("%s: %s%s, expected a checkpoint of ./train --recipe %s%s", g->path,
                recipe ? "made with --recipe " : "its metadata names no recipe",
                recipe ? recipe : "", styles ? "adain" : "cloth, style, cyclegan or pattern",
                styles ? ", or no --style" : fuses ? ", or a --style beside it" : "");
}

/* The encoder of adain is that of its training: random features of its seed, or a file's */
static int generator_open_features(Generator *g, const char *features, const char *run) {
    const char *name = st_meta(&g->checkpoint, "--features");
    const char *seed = st_meta(&g->checkpoint, "--seed");
    int random = !name || !*name;
    if (*features && random != !strcmp(features, "random"))
        return fail("--features %s: %s was trained with %s features", features, run,
                    random ? "random" : name);
    g->gan.options.seed = seed ? strtoull(seed, NULL, 10) : 1;
    if (random) return 1;
    g->gan.options.weights = &g->weights;
    g->gan.options.vgg = features_open(&g->weights, *features ? features : name);
    return g->gan.options.vgg >= 0 ||
           fail("%s (the run %s was trained with it; if it lies elsewhere: --features)",
                error_text(), run);
}

/* Does it change the picture, rather than make a print of its own? */
static inline int generator_repaints(const Generator *g) {
    return g->kind == GENERATOR_CYCLEGAN || g->kind == GENERATOR_PATTERN;
}

/* run: a run's folder, or its checkpoint. features: adain: where the encoder's weights are,
 * "random", or "": where they were in training. styles: will it be given any? Errors: no
 * checkpoint, another recipe, other features. */
static inline int generator_open(Generator *g, const char *run, const char *features, int styles) {
    const StFile *file = &g->checkpoint;
    if (!generator_checkpoint(&g->checkpoint, g->path, run) || !generator_check_recipe(g, styles))
        return 0;
    const StTensor *last = generator_tensor(file, ".conv2d.weight", 1);         /* (K,K,C,O) */
    g->channels = last && last->rank == 4 ? last->shape[3] : 0;
    if (!generator_check_channels(g->channels, g->path)) return 0;
    const char *body = st_meta(file, "--body");
    static const char *const bodies[BODIES] = { "residual", "inception", "separable" };
    int number = 0;                                     /* older checkpoints do not name it */
    while (body && number < BODIES && strcmp(body, bodies[number])) number++;
    if (number == BODIES)
        return fail("%s: its generator's --body is '%s', which this program does not know", g->path,
                    body);
    g->gan.options.body = number;
    g->trained = generator_number(file, "--size", 1, 16384, 64);
    g->gan.ops = g->ops;
    g->classes = generator_styles(file);
    return g->kind != GENERATOR_ADAIN || generator_open_features(g, features, run);
}

/* ---- the networks, for a picture of any size --------------------------------------------- */

/* adain: the features where content and style meet */
static int generator_met(const Gan *gan) { return gan->seen.layer[adain_layer(gan)].node; }

/* Begins the networks for pieces of (h,w); returns how far around a pixel they see, -1: failed */
static int generator_describe(Generator *g, int h, int w) {
    Gan *gan = &g->gan;
    int reach = 0, z = g->kind == GENERATOR_PATTERN ? PATTERN_Z : 0;
    gan->options.channels = g->channels, gan->options.classes = g->classes;
    if (g->kind == GENERATOR_CLOTH) {                    /* pieces need not overlap */
        cloth_generator(gan, 1, h, w);
        return 0;
    }
    if (g->kind == GENERATOR_STYLE) style_generator(gan, 1, h, w);
    else if (g->kind != GENERATOR_ADAIN) translator(gan, 1, h, w, z);
    else {
        if (!adain_encoder(gan, 1, h, w)) return -1;
        reach = net_receptive_field(&gan->e, generator_met(gan), h);
        if (g->encoding) return reach;
        adain_generator(gan);
    }
    return reach + net_receptive_field(&gan->g, gan->g_picture, h);
}

/* Memory for the networks as described. The operations borrow scratch later: it is tried first */
static int generator_finish(Generator *g, double need, double scratch) {
    Gan *gan = &g->gan;
    Large *l = &g->pieces;
    double have = device_free_bytes(g->ops);
    real *probe = have > 0 && need > have ? NULL : g->ops->alloc(scratch / sizeof(real));
    int room = probe && (!gan->e.nodes || net_finish(&gan->e, 0))
            && (!gan->g.nodes || net_finish(&gan->g, 0));
    if (probe) g->ops->release(probe);
    if (!room || !gan->g.nodes) return room;
    printf("%s %d x %d pixels in ", gan->e.nodes ? "fusing" : "painting", l->w, l->h);
    if (large_pieces(l) > 1)
        printf("%d pieces of %d x %d in ", large_pieces(l), l->piece_w, l->piece_h);
    printf("%.0f MB on %s\n", need / 1e6, device_name(g->ops));
    fflush(stdout);
    return 1;
}

/* n rounded up to what the networks' sides are multiples of */
static int generator_multiple(int n) {
    return (n + STYLE_MULTIPLE - 1) / STYLE_MULTIPLE * STYLE_MULTIPLE;
}

/* The networks for g->wide: at once where there is room for it, else for pieces */
static int generator_fit(Generator *g) {
    enum { STEP = STYLE_MULTIPLE, LEAST = 2 * STEP, PIECE = 1024 };
    int h = g->wide.h, w = g->wide.w, longer = h > w ? h : w;
    int side = g->tile && g->tile < longer ? g->tile / STEP * STEP : longer;
    int low = g->kind == GENERATOR_CLOTH ? STEP : LEAST;         /* the network's least side */
    for (;; side = side > PIECE ? PIECE : side / 2 / STEP * STEP) {
        Net *e = &g->gan.e, *n = &g->gan.g;
        int ph = h < side ? h : side, pw = w < side ? w : side;
        net_free(e), net_free(n);
        int reach = generator_describe(g, ph > low ? ph : low, pw > low ? pw : low);
        int overlap = generator_multiple(reach), least = 2 * overlap + STEP;
        int whole = side >= longer, small = !whole && side < least;
        double scratch = fmax(net_scratch_bytes(e), net_scratch_bytes(n));
        double need = net_bytes(e, 0) + net_bytes(n, 0) + scratch;
        if (reach < 0) return 0;
        g->pieces = (Large){ .net = n, .h = h, .w = w, .piece_h = ph, .piece_w = pw,
                             .overlap = overlap, .context = g, .progress = g->progress };
        if (!small && generator_finish(g, need, scratch)) return 1;
        if (small && g->tile)
            return fail("--tile %d: pieces overlap by %d pixels on each side, expected 0 or at "
                        "least %d", g->tile, overlap, least);
        if (g->tile || side / 2 < least)
            return fail("%d x %d pixels take %.0f MB of memory%s, %.0f MB are free: give a smaller "
                        "--size%s", w, h, need / 1e6, whole ? "" : " even in pieces",
                        device_free_bytes(g->ops) / 1e6,
                        g->kind == GENERATOR_ADAIN ? "" : " or a larger --style-scale");
    }
}

/* ---- what they read ---------------------------------------------------------------------- */

/* index i of a row of n pixels that is continued by its mirror image on both sides */
static long generator_mirrored(long i, long n) {
    i = (i % (2 * n) + 2 * n) % (2 * n);
    return i < n ? i : 2 * n - 1 - i;
}

/* g->wide: the picture, continued by its mirror image: at least MARGIN pixels on each side, so that
 * no border shows, and up to the multiple that the networks need */
static int generator_widen(Generator *g, const Image *from) {
    int h = generator_multiple(from->h + 2 * GENERATOR_MARGIN);
    int w = generator_multiple(from->w + 2 * GENERATOR_MARGIN);
    size_t c = from->c;
    image_free(&g->wide);
    if (!image_new(&g->wide, h, w, from->c)) return 0;
    for (long i = 0; i < h * w; i++) {
        long y = generator_mirrored(i / w - GENERATOR_MARGIN, from->h);
        long x = generator_mirrored(i % w - GENERATOR_MARGIN, from->w);
        memcpy(g->wide.pixels + c * i, from->pixels + c * (y * from->w + x), c * sizeof(float));
    }
    return 1;
}

/* The part of g->wide that begins at (y,x) becomes the node's output */
static int generator_upload(Generator *g, const Node *to, int y, int x) {
    Image piece;
    int good = image_crop(&piece, &g->wide, y, x, to->h, to->w);
    if (good) g->ops->upload(to->y, piece.pixels, to->h * to->w * to->c);
    image_free(&piece);
    return good;
}

/* Latent i of the piece at (y,x). One draw serves all of the picture: numbers for the whole of it,
 * or planes with numbers for each grain of some pixels. Those of cloth go on beyond the lower and
 * the right edge; where it repeats they begin anew there. Each number is drawn by its place. */
static int generator_noise(Generator *g, int i, int y, int x) {
    const Node *to = &g->gan.g.node[g->gan.g_latent[i]];
    const Large *l = &g->pieces;
    int margin = g->kind == GENERATOR_CLOTH ? cloth_margin(i) : 0, beyond = g->repeats ? 0 : margin;
    int grain = l->piece_h / (to->h - margin);
    long rows = to->h == 1 ? 1 : l->h / grain + beyond, c = to->c, n = (long)to->h * to->w * c;
    long columns = to->h == 1 ? 1 : l->w / grain + beyond;
    real *z = malloc(n * sizeof *z);
    if (!z) return 0;
    #pragma omp parallel for
    for (long k = 0; k < n; k++) {
        long row = (y / grain + k / c / to->w) % rows, at = (x / grain + k / c % to->w) % columns;
        z[k] = philox_normal(g->seed, STREAM(STREAM_SAMPLE, i), (row * columns + at) * c + k % c);
    }
    g->ops->upload(to->y, z, n);
    free(z);
    return 1;
}

/* Cloth's waves, their weights (2,count): where it repeats they become those of the nearest whole
 * numbers of periods */
static void generator_round_waves(Generator *g) {
    Net *net = &g->gan.g;
    int i = 0;
    while (net->node[i].rank != 2) i++;
    int count = net->node[i].shape[1];
    real *k = g->fused, *weight = net->p + net->node[i].weight;
    net->ops->download(k, weight, 2 * count);
    for (int q = 0; q < 2 * count && g->repeats; q++) {
        double least = TURN * STYLE_MULTIPLE / (q < count ? g->wide.h : g->wide.w);
        k[q] = least * round(k[q] / least);
    }
    net->ops->upload(weight, k, 2 * count);
}

/* Cloth's phases at (y,x), and its style */
static void generator_tell(Generator *g, int y, int x) {
    const Gan *gan = &g->gan;
    const Node *latent = &gan->g.node[gan->g_latent[0]];
    int count = cloth_waves(g->classes);
    real z[64], given[GENERATOR_STYLES] = { 1 };
    g->ops->download(z, latent->y, latent->c);
    for (int q = 0; q < count; q++)                      /* k of the place in cells, in turns */
        z[q] += (real)((g->fused[q] * (y / 8) + g->fused[count + q] * (x / 8)) / TURN);
    g->ops->upload(latent->y, z, latent->c);
    for (int q = 0; q < g->classes && g->share; q++) given[q] = g->share[q];
    if (g->classes > 1) g->ops->upload(gan->g.node[gan->g_given].y, given, g->classes);
}

/* Large.fill of style, cyclegan, pattern and cloth; of e; of adain's g, which is given E's features
 * of the piece, and the style. Of a single piece the features are there already */
static int generator_fill(void *generator, int y, int x) {
    Generator *g = generator;
    const Gan *gan = &g->gan;
    int weaves = g->kind == GENERATOR_CLOTH;
    int good = weaves || generator_upload(g, &gan->g.node[gan->g_content], y, x);
    for (int i = 0; good && i < gan->latents; i++) good = generator_noise(g, i, y, x);
    if (good && weaves) generator_tell(g, y, x);
    return good;
}
static int generator_fill_encoder(void *generator, int y, int x) {
    Generator *g = generator;
    return generator_upload(g, &g->gan.e.node[g->gan.seen.picture], y, x);
}
static int generator_fill_fused(void *generator, int y, int x) {
    Generator *g = generator;
    Gan *gan = &g->gan;
    int met = generator_met(gan);
    const Node *f = &gan->e.node[met];
    if (large_pieces(&g->pieces) > 1) {
        if (!generator_fill_encoder(g, y, x)) return 0;
        net_forward_part(&gan->e, 0, met + 1);
    }
    g->ops->copy(gan->g.node[gan->g_content].y, f->y, (long)f->h * f->w * f->c);
    g->ops->upload(gan->g.node[gan->g_style].y, g->fused, 2 * f->c);
    return 1;
}

/* ---- painting ---------------------------------------------------------------------------- */

static int generator_no_memory(void) {
    return fail("not enough memory for a piece of the picture: give a smaller --size");
}

/* G's picture of all of g->wide, without its margin: (h,w) */
static int generator_paint(Generator *g, Image *out, int h, int w) {
    int margin = g->kind == GENERATOR_CLOTH ? 0 : GENERATOR_MARGIN;
    Image all;
    int good = image_new(&all, g->wide.h, g->wide.w, g->channels)
            && (large_paint(&g->pieces, g->gan.g_picture, all.pixels) || generator_no_memory())
            && generator_check_finite(&g->gan.g, g->path)
            && image_crop(out, &all, margin, margin, h, w);
    image_free(&all);
    return good;
}

/* What G, all of which is in the checkpoint, makes of g->wide and noise */
static int generator_make(Generator *g, Image *out, int h, int w) {
    Large *l = &g->pieces;
    if (!generator_fit(g) ||
        !net_load(&g->gan.g, &g->checkpoint, g->path, st_meta(&g->checkpoint, "recipe"))) return 0;
    if (g->kind == GENERATOR_CLOTH) generator_round_waves(g);
    l->fill = generator_fill;
    if (large_pieces(l) > 1 && !large_settle(l)) return generator_no_memory();
    return generator_paint(g, out, h, w);
}

/* cloth of (h,w), with g->repeats multiples of STYLE_MULTIPLE: the waves are then rounded to whole
 * periods, and the noise beyond an edge is that of the other side. */
static inline int generator_weave(Generator *g, Image *cloth, int h, int w) {
    *cloth = (Image){ 0 };
    image_free(&g->wide);
    g->wide.h = generator_multiple(h), g->wide.w = generator_multiple(w);
    return generator_make(g, cloth, h, w);
}

/* ---- feature fusion ---------------------------------------------------------------------- */

/* g->moments: E's means and variances of all of g->wide; share of its deviations and means is added
 * to what G is given */
static int generator_meet(Generator *g, double share) {
    Large seen = g->pieces;
    int met = generator_met(&g->gan), c = g->gan.e.node[met].c;
    seen.net = &g->gan.e, seen.fill = generator_fill_encoder;
    if (!adain_encoder_weights(&g->gan)) return 0;
    if (!large_moments(&seen, met, g->moments))
        return fail("not enough memory for features of %d x %d pixels: give a smaller --size",
                    seen.w, seen.h);
    for (int k = 0; k < c; k++) {
        g->fused[k] += (real)(share * sqrt(g->moments[c + k] + NORM_EPS));
        g->fused[c + k] += (real)(share * g->moments[k]);
    }
    return 1;
}

/* The style at the size that it is painted with, no longer than the content, seen by E alone */
static int generator_see(Generator *g, const Image *style, double longer, double share) {
    enum { STEP = STYLE_MULTIPLE };
    double by = fmin(1, longer / fmax(style->h, style->w)) * (g->scale > 0 ? g->scale : 1);
    double h = fmax(2, lround(style->h * by / STEP)), w = fmax(2, lround(style->w * by / STEP));
    image_free(&g->wide);
    return image_copy(&g->wide, style) && resize_in_steps(&g->wide, h * STEP, w * STEP, 2)
        && generator_fit(g) && generator_meet(g, share);
}

/* F16 and G: x = G(t), t: the content's features with (1 - alpha) of their own moments and alpha of
 * the styles', their shares being > 0. (The moments of (1 - alpha) f_c + alpha AdaIN(f_c, f_s) are
 * that.) alpha 0: the picture, as G draws it. In pieces: the moments are of the whole pictures. */
static int generator_fuse(Generator *g, Image *print, const Image *part, const Styles *styles) {
    double all = styles_sum(styles);
    int good = generator_widen(g, part), h = g->wide.h, w = g->wide.w;
    *print = (Image){ 0 };
    memset(g->fused, 0, sizeof g->fused);
    g->encoding = 1;
    for (int i = 0; good && i < styles->count; i++)
        good = generator_see(g, &styles->picture[i], h > w ? h : w,
                             g->alpha * styles->share[i] / all);
    g->encoding = 0;
    good = good && generator_widen(g, part) && generator_fit(g) && generator_meet(g, 1 - g->alpha)
        && net_load(&g->gan.g, &g->checkpoint, g->path, "adain")
        && (large_give(&g->pieces, g->gan.g_fused, g->moments) || generator_no_memory());
    g->pieces.fill = generator_fill_fused;
    return good && generator_paint(g, print, part->h, part->w);
}

/* ---- prints ------------------------------------------------------------------------------ */

/* An RGB picture becomes gray on black, as in training */
static void generator_on_black(Image *x) {
    for (long i = 0; i < x->h * x->w; i++) {
        float l, m = x->mask[i];
        image_channels(&l, 1, x->pixels + 3 * i, 3, 1);
        x->pixels[i] = m * l + m - 1;
    }
    x->c = 1;
}

/* print: a new picture of the cut-out's size. adain alone reads the styles, and their shares.
 * Errors: memory, weights that do not fit or are not finite. */
static inline int generator_print(Generator *g, Image *print, const Cutout *cut,
                                  const Styles *styles) {
    const Image *part = &cut->part;
    if (g->kind == GENERATOR_ADAIN) return generator_fuse(g, print, part, styles);
    int weaves = g->kind == GENERATOR_CLOTH, adds = generator_repaints(g);
    int h = part->h, w = part->w, gray = g->channels == 1;
    double longer = h > w ? h : w, fit = longer / ((adds ? 2 : 4) * g->trained);
    double by = g->scale > 0 ? g->scale : fmax(1, fit);
    Image small = { 0 }, made = { 0 };
    *print = (Image){ 0 };
    int good = weaves ? generator_weave(g, &made, ceil(h / by), ceil(w / by))
                      : image_copy(&small, adds ? part : &cut->tones);
    if (good && adds && gray) generator_on_black(&small);
    if (!weaves)
        good = good && resize_in_steps(&small, h / by, w / by, 2)
            && generator_widen(g, &small) && generator_make(g, &made, small.h, small.w);
    for (long i = 0; good && adds && i < made.h * made.w * made.c; i++)
        made.pixels[i] -= small.pixels[i];
    image_free(&small);
    good = good && resize_in_steps(&made, h, w, 2) && (!adds || image_copy(print, part));
    for (long i = 0; good && adds && i < 3L * h * w; i++) {
        float to = print->pixels[i] + made.pixels[gray ? i / 3 : i];
        print->pixels[i] = image_clamp(to, -1, 1);
    }
    if (good && !adds) *print = made;
    else image_free(&made);
    return good;
}
#endif
