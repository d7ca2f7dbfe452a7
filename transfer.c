/* transfer.c: the program `transfer`: pictures repainted in a style, garments of any size printed with a pattern.
 *
 * The walk of one picture:
 *   load it -> mask: where is the garment? -> the style in the colours that were asked for -> --method
 *     patches: patches.h paints it from the style's own patches;
 *     gram: gram.h optimises it until a network's features look like the style's;
 *     generator: its luminance, continued smoothly around it -> the trained generator -> a print -> folds and shadows on it
 *   -> laid over the picture where the mask is -> the picture's colours again, if they were asked for.
 * Around it: a list of garments from a file, a folder or a data set, a list of styles from a folder, and a contact sheet of what
 * became of them.
 * Exit status: 0 done (of several garments: at least one), 1 bad input, 2 usage. Files are written whole or not at all. */
#define _GNU_SOURCE
#define IMAGES_IMPLEMENTATION
#include "core/device.h"
#include "gan.h"
#include "images/images.h"
#include "core/options.h"
#define GRAM_IMPLEMENTATION
#define LARGE_IMPLEMENTATION
#define PATCHES_IMPLEMENTATION
#include "style/gram.h"
#include "style/large.h"
#include "style/patches.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

/* ---------------------------------------------------------------------------------------------------------- options */

static const char *method, *generator, *content, *output, *sheet, *mode, *style_weights, *mask_file, *background, *device, *precision,
    *data_dir, *features, *style_layers, *content_layer, *pooling, *init, *preserve_color, *color_from, *optimizer;
static OptionList styles;
static long size, seed, threads, steps, save_every, tile;
static double alpha, motif, shade, content_weight, style_weight, tv_weight, detail;
static int help, benchmark;

/* A help text that begins with methods and a colon, "gram, adain: of each level", is that of an option which the others refuse. */
static Option table[] = {
    TEXT_OPTION("--method", &method, "", 0, "patches (the default), gram (optimised), generator (trained on a style), adain (trained on any)"),
    TEXTS_OPTION("--style", &styles, 0, "patches, gram, adain: a painting, a textile, a .pat pattern; may be given several times. A folder: every\n"
      "                           picture in each of its styles, as OUTPUT/content-style.png"),
    TEXTS_OPTION("--pattern-from", &styles, 0, "patches, gram, adain: another name for --style"),
    TEXT_OPTION("--style-weights", &style_weights, "", 0, "patches, gram, adain: shares of several styles, as in 2,1 (default equal)"),
    TEXT_OPTION("--mode", &mode, "auto", 0, "patches, gram, adain: paint all of the picture, print on the garment, auto: if there is one"),
    TEXT_OPTION("--generator", &generator, "", 0, "generator, adain: a run's folder, or its checkpoint: ./train --recipe style, cyclegan, pattern, adain"),
    TEXT_OPTION("--content", &content, "", 0, "a picture, a folder of them, fashion-mnist:17 or :3-9, or synthetic:5"),
    TEXT_OPTION("--output", &output, "", 0, "a .png or .jpg file; a folder where there are several garments"),
    TEXT_OPTION("--sheet", &sheet, "", 0, "also a contact sheet: each garment, and beside it the same with the print; of a folder\n"
      "                           of styles a table: a line for a garment, a column for a style"),
    LONG_OPTION("--size", &size, "0", 0, 16384, 0, "longer side of the result; 0: the picture's own, below 128 enlarged to 256"),
    REAL_OPTION("--style-scale", &motif, "0", 0, 64, 0, "size of the motifs, 1: as in the style or in training; 0: a good one"),
    REAL_OPTION("--shade", &shade, "0.85", 0, 1, 0, "patches, generator: how strongly folds and shadows show (patches, paint: 0)"),
    REAL_OPTION("--content-weight", &content_weight, "0", 0, 1e6, 0, "patches, gram: patches, 0 to 1: how strongly light and dark follow the content (paint\n"
      "                           0.5, print 0.1); gram: weight of the content loss (0.25; VGG 0.05)"),
    REAL_OPTION("--detail", &detail, "0", 0, 1, 0, "patches: fine detail of the content, added at the end (paint 0.35, print 0)"),
    TEXT_OPTION("--preserve-color", &preserve_color, "off", 0, "covariance: the style gets the content's colours first; luminance: the result keeps\n"
      "                           its light and dark and takes the content's colours"),
    TEXT_OPTION("--color-from", &color_from, "", 0, "patches, gram, adain: the style gets the colours of this picture first"),
    TEXT_OPTION("--mask", &mask_file, "", 0, "a picture of the content's size, white where the print belongs"),
    TEXT_OPTION("--background", &background, "keep", 0, "around the garment: keep the picture, or white"),
    REAL_OPTION("--alpha", &alpha, "1", 0, 1, 0, "adain: how much of the style; 0: the content, as the generator draws it"),
    TEXT_OPTION("--features", &features, "", 0, "gram, adain: random, or weights (.safetensors) of VGG16 or VGG19, or of ./train --recipe features\n"
      "                           (gram: style/features.safetensors; adain: those it was trained with)"),
    TEXT_OPTION("--style-layers", &style_layers, "", 0, "gram: as in 'relu1_1 relu2_1' (VGG: relu1_1 .. relu5_1)"),
    TEXT_OPTION("--content-layer", &content_layer, "", 0, "gram: VGG's relu4_2; without --features luminance"),
    TEXT_OPTION("--pooling", &pooling, "max", 0, "gram: VGG's, max or average"),
    REAL_OPTION("--style-weight", &style_weight, "1", 0, 1e6, 0, "gram: weight of the style loss"),
    REAL_OPTION("--tv-weight", &tv_weight, "0", 0, 1e6, 0, "gram: weight of the total variation (0.1; VGG 0.01)"),
    LONG_OPTION("--steps", &steps, "0", 0, 1000000, 0, "gram: of each level (60; VGG 300 in one level)"),
    TEXT_OPTION("--optimizer", &optimizer, "adam", 0, "gram: adam or lbfgs"),
    LONG_OPTION("--save-every", &save_every, "0", 0, 1000000, 0, "gram: also the picture after each N steps, of all levels, as OUTPUT-000100.png"),
    TEXT_OPTION("--init", &init, "content", 0, "gram: start from the content, from noise, or from a picture"),
    LONG_OPTION("--seed", &seed, "1", 0, 9007199254740992.0, 0, "patches, gram, generator: another seed draws another print"),
    TEXT_OPTION("--device", &device, "auto", 0, "cuda: an NVIDIA GPU; cpu; naive: the textbook loops; auto: cuda if there is one"),
    TEXT_OPTION("--precision", &precision, "float32", 0, "cuda's matrix products: float32; faster and coarser: tf32, bf16"),
    LONG_OPTION("--tile", &tile, "0", 0, 16384, 0, "generator, adain: in pieces of N x N pixels, for pictures larger than memory; they overlap, and no\n"
      "                           seam shows. 0: at once, and in pieces where it does not fit"),
    LONG_OPTION("--threads", &threads, "0", 0, 1024, 0, "OpenMP threads, 0: all; results do not depend on it"),
    TEXT_OPTION("--data-dir", &data_dir, "", 0, "where Fashion-MNIST lies (default /usr/share/datasets/fashion-mnist)"),
    FLAG_OPTION("--benchmark", &benchmark, 0, "the best time of a step (gram), or of a picture out of three"),
    FLAG_OPTION("--help", &help, 0, "this text"),
    END_OF_OPTIONS
};

static void print_help(void) {
    printf("usage: ./transfer --style PICTURE --content PICTURES --output FILE [options]\n"
           "       ./transfer --generator RUN --content GARMENTS --output FILE [options]\n\n"
           "Repaints pictures in the style of others, and prints patterns onto garments of any size. With --style every\n"
           "patch of the picture becomes the patch of the style that is most like it: nothing to train. With --generator\n"
           "the print is what a generator of ./train --recipe style has learned.\n\n"
           "  ./transfer --style painting.jpg --content photo.jpg --output painted.png\n"
           "  ./transfer --style leopard.pat --content shirt.jpg --output print.png\n"
           "  ./transfer --generator runs/style --content fashion-mnist:3-9 --output prints --sheet sheet.png\n\n"
           "The print goes where --mask is white; without --mask, where the picture is opaque; in an opaque picture, on\n"
           "what stands out from a background of nearly one colour; where there is none, on all of it.\n"
           "Of a folder all .png, .jpg, .bmp and .tga files are taken, in subfolders too: sub/shirt.jpg becomes\n"
           "sub-shirt.png in the folder --output. fashion-mnist:17 is picture 17 of the test set.\n"
           "The generator learned its motifs in pixels of its small training pictures. --style-scale 2 paints at half the size\n"
           "and enlarges the print: larger, softer motifs; 0.5 makes them smaller. Garments longer than four training\n"
           "pictures get larger motifs by default. Folds, shadows and edges stay as sharp as the picture.\n\noptions:\n");
    options_help(table, stdout);
}

static const Ops *ops;
static Image before;                                      /* the picture that is being painted, as it was */
static char checkpoint_path[4200];                        /* of --generator */

#define fail say                                          /* say returns 0 */
static int fail_image(void) { return say("%s", error_text()); }
static void usage(const char *what) { die(2, "%s; see --help", what); }

/* is `word` one of those in text[0..length)? */
static int among(const char *word, const char *text, size_t length) {
    for (size_t i = 0, n = strlen(word); n && i + n <= length; i++)
        if (!strncmp(text + i, word, n) && (!i || text[i - 1] == ' ') && (i + n == length || strchr(", ", text[i + n]))) return 1;
    return 0;
}
static void expect(const char *option, const char *value, const char *words) {
    if (!among(value, words, strlen(words)) || !strcmp(value, "or"))
        die(2, "%s %s: expected %s; see --help", option, *value ? value : "''", words);
}

/* Options that were given but that the method has no use for */
static void refuse_unused(void) {
    static const char *const methods[] = { "patches", "gram", "generator", "adain" };
    for (const Option *o = table; o->name; o++) {
        size_t length = strcspn(o->help, ":");
        int some = 0;
        for (int i = 0; i < 4; i++) some |= o->help[length] && among(methods[i], o->help, length);
        if (o->given && some && !among(method, o->help, length))
            die(2, "%s is not used by --method %s, only by %.*s; see --help", o->name, method, (int)length, o->help);
    }
}

/* A file, or (path NULL) a picture of the set; name: its result in an output folder, without ".png" */
typedef struct Garment { char *path, *name; long index; } Garment;
typedef struct List { Garment *item; long count; } List;
static List garments, folder_styles;                      /* --content; the pictures of a folder --style, each a style of its own */

static const char *reading;                               /* the file of the picture that is being painted, or NULL */

/* May `path` be written? Not where it is one of the files that are read. */
static int safe(const char *path, const char *option, const char *garment) {
    const struct { const char *path, *name; } input[] = { { garment ? garment : "", "--content" }, { mask_file, "--mask" },
        { color_from, "--color-from" }, { init, "--init" }, { strcmp(features, "random") ? features : "", "--features" }, { checkpoint_path, "--generator" } };
    const char *taken = NULL;
    for (int i = 0; i < 6; i++) if (same_file(input[i].path, path)) taken = input[i].name;
    for (int i = 0; i < styles.count; i++) if (same_file(styles.item[i], path)) taken = "--style";
    for (long i = 0; i < folder_styles.count; i++) if (same_file(folder_styles.item[i].path, path)) taken = "--style";
    return taken ? fail("%s: %s would overwrite the file of %s, choose another", path, option, taken) : 1;
}

/* Can a file be written there? Asked before the work begins. */
static int writable(const char *path, const char *option) {
    char folder[4200];
    const char *slash = strrchr(path, '/');
    if (strlen(slash ? slash + 1 : path) > 230) return fail("%s: %s: its name has more than 230 letters, choose a shorter one", option, path);
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    if (!*path || !access(folder, W_OK | X_OK)) return 1;
    return fail("%s: %s: expected a folder to write into, choose another %s", path, strerror(errno), option);
}

enum { WRITABLE = 3 };                                    /* kinds of pictures by name: 1..3 can be written, 4, 5 only read */
static int picture_kind(const char *path) {
    static const char *const ending[] = { ".png", ".jpg", ".jpeg", ".bmp", ".tga" };
    size_t n = strlen(path);
    for (int i = 0; i < 5; i++)
        if (n > strlen(ending[i]) && !strcasecmp(path + n - strlen(ending[i]), ending[i])) return i + 1;
    return 0;
}

/* ------------------------------------------------------------------------------------------------- patches of a style */

static Image pattern[OPTION_LIST], style[OPTION_LIST], colors;          /* as loaded; in the colours asked for; of --color-from */
static double style_share[OPTION_LIST];

static int open_style(int i, const char *path) {
    image_free(&pattern[i]);
    return image_load(&pattern[i], path) ? 1 : fail_image();
}
static int open_styles(void) {
    const char *at = style_weights;
    for (int i = 0; i < styles.count; i++) {
        char *end = (char *)(uintptr_t)at;
        if (!folder_styles.count && !open_style(i, styles.item[i])) return 0;
        style_share[i] = *style_weights ? strtod(at, &end) : 1;
        if (*style_weights && (end == at || !(style_share[i] > 0 && style_share[i] <= 1e6) || *end != (i + 1 < styles.count ? ',' : 0)))
            return fail("--style-weights %s: expected %d numbers above 0, with commas between", style_weights, styles.count);
        at = end + 1;
    }
    return !*color_from || image_load(&colors, color_from) ? 1 : fail_image();
}

/* style: the patterns, in the colours of --color-from, or of the picture that is to be painted (--preserve-color covariance) */
static int colour_styles(const Image *picture) {
    const Image *like = *color_from ? &colors : *preserve_color == 'c' ? picture : NULL;
    for (int i = 0; i < styles.count; i++) {
        image_free(&style[i]);
        if (!image_copy(&style[i], &pattern[i])) return fail_image();
        if (like) colour_match(&style[i], like);
    }
    return 1;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* one line that is written again and again, where somebody looks: what is done, and how long the rest will take at this rate */
static double began;
static void show_progress(double fraction, const char *what) {
    double left = (seconds() - began) * (1 - fraction) / fmax(fraction, 1e-9);
    if (!progress_on_terminal()) return;
    if (fraction < 1) progress_line("  %3.0f%%, %.0f:%02.0f left%s", 100 * fraction, floor(left / 60), floor(fmod(left, 60)), what);
    else progress_line("%s", "");
}

static int patches_progress(void *nobody, int level, int levels, int iteration, double fraction) {
    char what[60];
    (void)nobody, (void)iteration;
    snprintf(what, sizeof what, ", level %d of %d   ", level, levels);
    show_progress(fraction, what);
    return 1;
}

/* the value of an option, where it was given */
static void set_if_given(const char *name, double *to, double value) {
    if (option_find(table, name)->given) *to = value;
}

static int paint_patches(Image *picture, int print) {
    PatchesOptions o = patches_default(print ? PATCHES_PRINT : PATCHES_PAINT);
    Image result;
    double have = device_free_bytes(ops);
    set_if_given("--content-weight", &o.content_weight, content_weight);
    set_if_given("--detail", &o.detail, detail);
    set_if_given("--shade", &o.shade, shade);
    if (motif > 0) o.style_scale = motif;
    o.seed = (uint64_t)seed, o.progress = patches_progress;
    if (have > 0) o.memory = have;
    printf("%s %d x %d pixels in %.0f MB at most on %s\n", print ? "printing" : "painting", picture->w, picture->h,
           patches_bytes(picture->h, picture->w, style, styles.count, &o, ops) / 1e6, device_name(ops));
    fflush(stdout);
    if (!patches_transfer(&result, picture, style, style_share, styles.count, &o, ops)) return fail("%s", error_text());
    image_free(picture);
    *picture = result;
    return 1;
}

/* ------------------------------------------------------------------------------------------------------ optimisation */

static StFile weights;                                    /* of the features */
static int weights_kind;

/* What the callbacks need: the picture that is painted, the path of the result; and what they leave: the last step, when it was, the
 * least seconds of a step in the last level, whether a picture could not be saved */
typedef struct GramWatch { const Image *picture; const char *to; GramStep last; double when, least; int failed; } GramWatch;

static int gram_progress(void *context, const GramStep *step) {
    GramWatch *watch = context;
    char what[60];
    double now = seconds();
    if (step->level != watch->last.level) watch->least = 0;
    else if (step->number > watch->last.number) {
        double each = (now - watch->when) / (step->number - watch->last.number);
        if (!(watch->least > 0 && watch->least < each)) watch->least = each;
    }
    watch->last = *step, watch->when = now;
    snprintf(what, sizeof what, ", %d x %d, loss %.4f   ", step->w, step->h, step->total);
    show_progress(step->fraction, what);
    return 1;
}

/* the picture becomes the result, where it has a mask */
static void lay_result(Image *picture, const Image *result) {
    for (long i = 0; i < (long)picture->h * picture->w * 3; i++) {
        float m = picture->mask ? picture->mask[i / 3] : 1;
        picture->pixels[i] = m * result->pixels[i] + (1 - m) * picture->pixels[i];
    }
}

/* --save-every: prints/shirt.png so far is prints/shirt-000100.png */
static int gram_save(void *context, const Image *now, int number) {
    GramWatch *watch = context;
    char path[8500];
    Image picture = { 0 };
    snprintf(path, sizeof path, "%.*s-%06d.png", (int)(strrchr(watch->to, '.') - watch->to), watch->to, number);
    int good = safe(path, "--save-every", reading) && (image_copy(&picture, watch->picture) || fail_image());
    if (good) {
        lay_result(&picture, now);
        if (before.pixels) colour_keep_luminance(&picture, &before);
        good = image_save(&picture, path) ? 1 : fail_image();
    }
    image_free(&picture);
    watch->failed = !good;
    return good;
}

/* What the features are: 16 or 19, VGG; 0: our own; -1: an error. --features says where the weights are; without it those that come
 * with the program, in the folder weights beside it; "random": none. */
static char program_folder[4000];
static int open_features(void) {
    static char own[4200];
    snprintf(own, sizeof own, "%sstyle/features.safetensors", program_folder);
    if (!*features) features = access(own, R_OK) ? "random" : own;
    if (!strcmp(features, "random")) return 0;
    int kind = weights.count ? weights_kind : (weights_kind = features_open(&weights, features));
    return kind < 0 ? fail("%s", error_text()), -1 : kind;
}

/* the picture optimised; where there is a mask, laid on it there. to: the path it will be saved at */
static int paint_gram(Image *picture, const char *to) {
    int vgg = open_features();
    if (vgg < 0) return 0;
    GramOptions o = gram_defaults(vgg);
    GramWatch watch = { .picture = picture, .to = to };
    Image start = { 0 }, result;
    set_if_given("--content-weight", &o.content, content_weight);
    set_if_given("--style-weight", &o.style, style_weight);
    set_if_given("--tv-weight", &o.tv, tv_weight);
    if (*style_layers) o.style_layers = style_layers;
    if (*content_layer) o.content_layer = content_layer;
    if (steps) o.steps = (int)steps;
    if (motif > 0) o.scale = motif;
    o.weights = weights.count ? &weights : NULL, o.pooling = strcmp(pooling, "max") ? FEATURES_AVERAGE : FEATURES_MAX;
    o.init = !strcmp(init, "content") ? GRAM_CONTENT : !strcmp(init, "noise") ? GRAM_NOISE : GRAM_PICTURE;
    if (o.init == GRAM_PICTURE && !image_load(&start, init)) return fail_image();
    o.optimizer = strcmp(optimizer, "adam") ? GRAM_LBFGS : GRAM_ADAM;
    o.start = &start, o.seed = (uint64_t)seed, o.progress = gram_progress, o.context = &watch;
    o.save = gram_save, o.save_every = (int)save_every;
    if (o.steps < 50) o.every = 1 + o.steps / 5;
    if (picture->h < 16 || picture->w < 16)
        return image_free(&start), fail("a picture of %d x %d pixels: gram takes sides from 16 pixels up, give a larger --size", picture->w, picture->h);
    double need = gram_bytes(picture, style, styles.count, &o, ops), have = device_free_bytes(ops);
    if (have > 0 && need > have)
        return image_free(&start), fail("optimising %d x %d pixels takes %.0f MB of memory, %.0f MB are free: give a smaller --size",
                                        picture->w, picture->h, need / 1e6, have / 1e6);
    if (need > 0) printf("optimising %d x %d pixels in %.0f MB on %s\n", picture->w, picture->h, need / 1e6, device_name(ops));
    fflush(stdout);
    int good = gram_transfer(&result, picture, style, style_share, styles.count, &o, ops);
    image_free(&start);
    show_progress(1, "");
    if (!good || watch.failed) return image_free(&result), good ? 0 : fail("%s", error_text());
    printf("loss %.4f: content %.4f, total variation %.4f, style", watch.last.total, watch.last.content, watch.last.tv);
    for (int i = 0; i < watch.last.layers; i++) printf(" %s %.4f", watch.last.layer[i], watch.last.style[i]);
    printf("\n");
    if (benchmark && watch.least > 0) printf("benchmark: %.4g s a step of %d x %d pixels\n", watch.least, watch.last.w, watch.last.h);
    lay_result(picture, &result);
    image_free(&result);
    return 1;
}

/* ---------------------------------------------------------------------------------------------------- the generator */

static StFile checkpoint;
static Gan gan;                                           /* only the networks gan.g and, for adain, gan.e are used */
static int channels, trained = 64, unpaired, patterns;    /* unpaired: --generator is a cyclegan or a pattern, which is also `patterns` */

/* The checkpoint, and how many channels its pictures have: the outputs of G's last convolution, weight (K,K,C,O). */
static int open_generator(void) {
    int last = -1, node;
    snprintf(checkpoint_path, sizeof checkpoint_path, "%.4000s%s", generator,
             is_folder(generator) ? "/checkpoint.safetensors" : "");
    if (!gan_open(&checkpoint, checkpoint_path)) return fail("%s", error_text());
    const char *recipe = st_meta(&checkpoint, "recipe"), *side = st_meta(&checkpoint, "--size"), *need = styles.count ? "adain" : "style";
    patterns = recipe && !styles.count && !strcmp(recipe, "pattern");
    unpaired = patterns || (recipe && !styles.count && !strcmp(recipe, "cyclegan"));
    if (!unpaired && (!recipe || strcmp(recipe, need)))
        return fail("%s: %s%s, expected a checkpoint of ./train --recipe %s%s", checkpoint_path,
                    recipe ? "made with --recipe " : "its metadata names no recipe", recipe ? recipe : "", styles.count ? need : "style, cyclegan or pattern",
                    styles.count ? ", or no --style" : recipe && !strcmp(recipe, "adain") ? ", or a --style beside it" : "");
    const char *idle = unpaired && option_find(table, "--shade")->given ? "--shade" : unpaired && !patterns && option_find(table, "--seed")->given ? "--seed" : NULL;
    if (idle) die(2, "%s is not used by a generator of --recipe %s: omit it", idle, recipe);
    for (int i = 0; i < checkpoint.count; i++) {
        const StTensor *t = &checkpoint.tensors[i];
        if (t->rank == 4 && sscanf(t->name, "g.%d.conv2d.weight", &node) == 1 && node > last)
            last = node, channels = t->shape[3] == 1 || t->shape[3] == 3 ? (int)t->shape[3] : 0;
    }
    if (!channels) return fail("%s: its generator makes no pictures of 1 or 3 channels: train it again", checkpoint_path);
    const char *body = st_meta(&checkpoint, "--body");   /* older checkpoints do not name it: residual */
    while (body && gan.options.body < BODIES && strcmp(body, gan_bodies[gan.options.body])) gan.options.body++;
    if (gan.options.body == BODIES) return fail("%s: its generator's --body is '%s', which this program does not know", checkpoint_path, body);
    if (side && atoi(side) > 0 && atoi(side) <= 16384) trained = atoi(side);
    return 1;
}

/* index i of a row of n pixels that is continued by its mirror image on both sides */
static long mirrored(long i, long n) {
    i = (i % (2 * n) + 2 * n) % (2 * n);
    return i < n ? i : 2 * n - 1 - i;
}

/* What the networks read, all of it: the picture, continued by its mirror image up to (h,w), `margin` pixels at its top and left; noise */
static Image wide, noise[3];
static int widen(const Image *from, int h, int w, int margin) {
    int c = from->c;
    image_free(&wide);
    if (!image_new(&wide, h, w, c)) return fail_image();
    for (long i = 0; i < (long)h * w; i++)
        memcpy(wide.pixels + c * i, from->pixels + c * (mirrored(i / w - margin, from->h) * from->w + mirrored(i % w - margin, from->w)), (size_t)c * sizeof(float));
    return 1;
}
static int upload_piece(const Node *to, const Image *from, int y, int x) {
    Image piece;
    int good = image_crop(&piece, from, y, x, to->h, to->w);
    if (good) ops->upload(to->y, piece.pixels, (long)to->h * to->w * to->c);
    image_free(&piece);
    return good;
}

static void forget_networks(void) { net_free(&gan.e), net_free(&gan.g); }
static void painting_progress(double fraction) { show_progress(fraction, "   "); }

/* gan.g, and gan.e if the method has one, for pictures of (h,w), multiples of 8: at once where there is room for it, else for pieces.
 * describe: begins both for pieces of (h,w) and returns how far around a pixel they see, -1 after a failure. */
static int fit_networks(Large *l, int h, int w, int (*describe)(int h, int w)) {
    enum { STEP = 8, PIECE = 1024 };
    int side = h > w ? h : w;
    if (tile && tile < side) side = (int)tile / STEP * STEP;
    for (;; side = side > PIECE ? PIECE : side / 2 / STEP * STEP) {
        int ph = h < side ? h : side, pw = w < side ? w : side, reach = describe(ph > 2 * STEP ? ph : 2 * STEP, pw > 2 * STEP ? pw : 2 * STEP);
        if (reach < 0) return forget_networks(), 0;
        int overlap = (reach + STEP - 1) / STEP * STEP, least = 2 * overlap + STEP;
        double scratch = fmax(net_scratch_bytes(&gan.e), net_scratch_bytes(&gan.g)), have = device_free_bytes(ops);
        double need = net_bytes(&gan.e, 0) + net_bytes(&gan.g, 0) + scratch;
        *l = (Large){ .net = &gan.g, .h = h, .w = w, .piece_h = ph, .piece_w = pw, .overlap = overlap, .progress = painting_progress };
        if ((side >= h && side >= w) || side >= least) {
            real *probe = have > 0 && need > have ? NULL : ops->alloc((long)(scratch / sizeof(real)));      /* the operations borrow it later */
            int room = probe && (!gan.e.nodes || net_finish(&gan.e, 0)) && (!gan.g.nodes || net_finish(&gan.g, 0));
            if (probe) ops->release(probe);
            if (room && gan.g.nodes) {
                printf("%s %d x %d pixels in ", gan.e.nodes ? "fusing" : "painting", w, h);
                if (large_pieces(l) > 1) printf("%d pieces of %d x %d in ", large_pieces(l), pw, ph);
                printf("%.0f MB on %s\n", need / 1e6, device_name(ops));
                fflush(stdout);
            }
            if (room) return 1;
        } else if (tile)
            return forget_networks(), fail("--tile %ld: pieces overlap by %d pixels on each side, expected 0 or at least %d", tile, overlap, least);
        forget_networks();
        if (tile || side / 2 < least)
            return fail("%d x %d pixels take %.0f MB of memory%s, %.0f MB are free: give a smaller --size%s", w, h, need / 1e6,
                        side < h || side < w ? " even in pieces" : "", have / 1e6, styles.count ? "" : " or a larger --style-scale");
    }
}

static Large painted;                                     /* the pieces of gan.g */
static int describe_generator(int h, int w) {
    if (unpaired) translator(&gan.g, "g", ops, 1, h, w, channels, patterns ? PATTERN_Z : 0, &gan);
    else style_generator(&gan.g, ops, 1, h, w, channels, &gan);
    return net_receptive_field(&gan.g, gan.g_picture, h);
}

/* The generator for pictures of (h,w): weights from the checkpoint, noise from the seed. */
static int fit_generator(int h, int w) {
    if (gan.g.nodes && painted.h == h && painted.w == w) return 1;
    forget_networks();
    if (!fit_networks(&painted, h, w, describe_generator)) return 0;
    if (!net_load(&gan.g, &checkpoint, checkpoint_path, st_meta(&checkpoint, "recipe"))) return forget_networks(), fail("%s", error_text());
    for (int i = 0; i < gan.latents; i++) {
        const Node *node = &gan.g.node[gan.g_latent[i]];
        int grain = painted.piece_h / node->h, zh = node->c == 1 ? h / grain : 1, zw = node->c == 1 ? w / grain : node->c;
        long n = (long)zh * zw;                          /* a plane of noise, or the numbers that a pattern follows from */
        real *z = ops->alloc(n);
        image_free(&noise[i]);
        int good = z && image_new(&noise[i], zh, zw, 1);
        if (good) ops->random_normal(z, n, (uint64_t)seed, STREAM(STREAM_SAMPLE, i)), ops->download(noise[i].pixels, z, n);
        if (z) ops->release(z);
        if (!good) return forget_networks(), fail("not enough memory for noise of %d x %d pixels: give a smaller --size", w, h);
    }
    return 1;
}
static int fill_generator(void *nobody, int y, int x) {
    int good = upload_piece(&gan.g.node[gan.g_content], &wide, y, x);
    (void)nobody;
    for (int i = 0; good && i < gan.latents; i++) {
        const Node *node = &gan.g.node[gan.g_latent[i]];
        int grain = wide.h / noise[i].h;
        if (node->c == 1) good = upload_piece(node, &noise[i], y / grain, x / grain);
        else ops->upload(node->y, noise[i].pixels, node->c);
    }
    return good;
}

/* G's picture of all of `wide`, (c channels), without its margin */
static int paint_wide(Image *out, Large *l, int c, int margin, int h, int w) {
    Image all;
    int good = image_new(&all, wide.h, wide.w, c) ? 1 : fail_image();
    good = good && (large_paint(l, gan.g_picture, all.pixels) || fail("not enough memory for a piece of the picture: give a smaller --size"));
    const char *bad = good ? net_find_not_finite(&gan.g) : NULL;
    if (bad) good = fail("%s: %s is not finite: the training went wrong, train again", checkpoint_path, bad);
    good = good && (image_crop(out, &all, margin, margin, h, w) || fail_image());
    image_free(&all);
    return good;
}

/* What the generator makes of a gray picture of any height and width. Beyond the edges it sees a mirror image, at least
 * MARGIN pixels wide, so that no border shows; this also fills up to the multiple it needs. */
static int generate(Image *print, const Image *gray) {
    enum { MARGIN = 16 };
    int h = (gray->h + 2 * MARGIN + STYLE_MULTIPLE - 1) / STYLE_MULTIPLE * STYLE_MULTIPLE;
    int w = (gray->w + 2 * MARGIN + STYLE_MULTIPLE - 1) / STYLE_MULTIPLE * STYLE_MULTIPLE;
    if (!widen(gray, h, w, MARGIN) || !fit_generator(h, w)) return 0;
    painted.fill = fill_generator;
    if (large_pieces(&painted) > 1 && !large_settle(&painted)) return fail("not enough memory for a piece of the picture: give a smaller --size");
    return paint_wide(print, &painted, channels, MARGIN, gray->h, gray->w);
}

/* --------------------------------------------------------------------------------------------------------- one garment */

/* To (h,w). Enlarging goes by bilinear steps of at most 2: smoother than one large step, whose grid would show. */
static int resize(Image *picture, int h, int w) {
    if ((double)h * w > 5e7)
        return fail("%d x %d pixels are more than a picture's 50 million: give a smaller --size or a larger --style-scale", w, h);
    while (picture->h != h || picture->w != w) {
        Image next;
        if (!image_resize(&next, picture, h < 2 * picture->h ? h : 2 * picture->h, w < 2 * picture->w ? w : 2 * picture->w))
            return fail_image();
        image_free(picture);
        *picture = next;
    }
    return 1;
}

/* --mask takes the place of the mask that the picture came with */
static int read_mask(Image *picture, const char *name) {
    Image white, gray;
    if (!image_load(&white, mask_file)) return fail_image();
    if (white.h != picture->h || white.w != picture->w)
        printf("%s: from %d x %d to the %d x %d pixels of %s\n", mask_file, white.w, white.h, picture->w, picture->h, name);
    free(white.mask), white.mask = NULL;
    int good = resize(&white, picture->h, picture->w) && (image_tones(&gray, &white, 0) || fail_image());
    image_free(&white);
    if (!good) return 0;
    for (long i = 0; i < (long)gray.h * gray.w; i++) gray.pixels[i] = (gray.pixels[i] + 1) / 2;
    free(picture->mask), free(gray.mask);
    picture->mask = gray.pixels;
    return 1;
}

/* The picture at the size of the result; returns how much it was enlarged, 0 after a failure. Its mask gets back an edge
 * about one pixel wide. */
static double set_size(Image *picture) {
    long longer = picture->h > picture->w ? picture->h : picture->w, want = size ? size : longer < 128 ? 256 : longer;
    double by = (double)want / (double)longer;
    int h = (int)lround(picture->h * by), w = (int)lround(picture->w * by);
    if (!resize(picture, h > 1 ? h : 1, w > 1 ? w : 1)) return 0;
    for (long i = 0; picture->mask && i < (long)picture->h * picture->w; i++)          /* rounding may have passed 1, too */
        picture->mask[i] = fminf(fmaxf((picture->mask[i] - .5f) * (float)fmax(by, 1) + .5f, 0), 1);
    return by;
}

/* The print for a garment: painted at 1/scale of its size, then enlarged */
static int paint(Image *print, const Image *gray) {
    Image small;
    double longer = gray->h > gray->w ? gray->h : gray->w, by = motif > 0 ? motif : fmax(1, longer / (4 * trained));
    int h = (int)lround(gray->h / by), w = (int)lround(gray->w / by);
    if (!image_copy(&small, gray)) return fail_image();
    int good = resize(&small, h > 1 ? h : 1, w > 1 ? w : 1) && generate(print, &small);
    image_free(&small);
    if (good && !resize(print, gray->h, gray->w)) image_free(print), good = 0;
    return good;
}

/* A cyclegan was trained on small pictures (gray ones: garments on black). What it changes of the picture at twice that size, a difference
 * of luminance or of colours, is enlarged and added inside the mask: buttons and seams stay as sharp as they were. */
static int lay_unpaired(Image *picture, const char *name) {
    int top, left, bottom, right;
    Image cut, print;
    image_mask_box(&top, &left, &bottom, &right, picture);
    if (!bottom) return fail("%s: its mask is empty, there is nothing to print on: --mask can say where", name);
    if (!image_crop(&cut, picture, top, left, bottom - top, right - left)) return fail_image();
    if (channels == 1) {
        for (long i = 0; i < (long)cut.h * cut.w; i++) {
            const float *p = cut.pixels + 3 * i;
            cut.pixels[i] = cut.mask[i] * (.299f * p[0] + .587f * p[1] + .114f * p[2]) + cut.mask[i] - 1;
        }
        cut.c = 1;
    }
    double longer = cut.h > cut.w ? cut.h : cut.w, by = motif > 0 ? motif : fmax(1, longer / (2 * trained));
    float *mask = cut.mask;                              /* stays as fine as it is */
    int h = cut.h, w = cut.w, sh = (int)lround(h / by), sw = (int)lround(w / by);
    cut.mask = NULL;
    int good = resize(&cut, sh > 1 ? sh : 1, sw > 1 ? sw : 1) && generate(&print, &cut);
    for (long i = 0; good && i < (long)cut.h * cut.w * channels; i++) print.pixels[i] -= cut.pixels[i];
    if (good && !resize(&print, h, w)) image_free(&print), good = 0;
    for (long i = 0; good && i < (long)h * w * 3; i++) {
        float *p = &picture->pixels[3 * ((top + i / 3 / w) * picture->w + left + i / 3 % w) + i % 3];
        float to = *p + print.pixels[channels == 1 ? i / 3 : i];
        *p += mask[i / 3] * (fminf(fmaxf(to, -1), 1) - *p);
    }
    free(mask);
    if (good) image_free(&print);
    image_free(&cut);
    return good;
}

/* Inside its mask the picture becomes the print, with the garment's folds */
static int lay_print(Image *picture, int on_white, int blur, const char *name) {
    int top, left, bottom, right;
    Image cut, gray = { 0 }, print = { 0 };
    image_mask_box(&top, &left, &bottom, &right, picture);
    if (!bottom) return fail("%s: its mask is empty, there is nothing to print on: --mask can say where", name);
    if (!image_crop(&cut, picture, top, left, bottom - top, right - left)) return fail_image();
    int good = image_tones(&gray, &cut, blur) ? 1 : fail_image();
    image_free(&cut);
    if (!good) return 0;
    good = paint(&print, &gray);
    for (long i = 0; good && on_white && i < (long)picture->h * picture->w * 3; i++) picture->pixels[i] = 1;
    if (good) image_lay_print(picture, &print, &gray, top, left, shade), image_free(&print);
    image_free(&gray);
    return good;
}

/* ---------------------------------------------------------------------------------------------------- feature fusion */

/* The checkpoint of ./train --recipe adain was trained with these features: random ones of its seed, or a file's */
static int open_adain(void) {
    if (!open_generator()) return 0;
    const char *name = st_meta(&checkpoint, "--features"), *drawn = st_meta(&checkpoint, "--seed");
    int random = !name || !*name;
    if (*features && random != !strcmp(features, "random"))
        return fail("--features %s: %s was trained with %s features", features, generator, random ? "random" : name);
    if (name && *name && !*features) features = name;
    gan.ops = ops, gan.options.seed = drawn ? strtoull(drawn, NULL, 10) : 1;
    if (!name || !*name) return 1;
    if ((gan.options.vgg = features_open(&weights, features)) < 0)
        return fail("%s (the run %s was trained with it; if it lies elsewhere: --features)", error_text(), generator);
    gan.options.weights = &weights;
    return 1;
}

enum { CHANNELS = 4096 };                                 /* at most, of E's layers */
static real style_moments[2 * CHANNELS];                  /* what G is given: deviations, then means */

static const Node *met(void) { return &gan.e.node[gan.seen.layer[adain_layer(&gan)].node]; }      /* where content and style meet */
static int describe_encoder(int h, int w) {
    if (!adain_encoder(&gan, 1, h, w)) return fail("%s", error_text()), -1;
    return net_receptive_field(&gan.e, (int)(met() - gan.e.node), h);
}
static int describe_fusion(int h, int w) {
    int reach = describe_encoder(h, w);
    if (reach < 0) return -1;
    adain_generator(&gan);
    return reach + net_receptive_field(&gan.g, gan.g_picture, h);
}
static int fill_encoder(void *nobody, int y, int x) {
    (void)nobody;
    return upload_piece(&gan.e.node[gan.seen.picture], &wide, y, x);
}
/* E's features of the piece, and the style, become G's input; of a single piece they are there already */
static int fill_fusion(void *pieces, int y, int x) {
    const Node *f = met();
    if (large_pieces(pieces) > 1) {
        if (!fill_encoder(NULL, y, x)) return 0;
        net_forward_part(&gan.e, 0, (int)(f - gan.e.node) + 1);
    }
    ops->copy(gan.g.node[gan.g_content].y, f->y, (long)f->h * f->w * f->c);
    ops->upload(gan.g.node[gan.g_style].y, style_moments, 2 * f->c);
    return 1;
}

/* E's mean and var of all of `wide`; share of its deviations and means is added to the style's. l: the pieces, as fit_networks left them */
static int meet(Large *l, double share, double *mean, double *var) {
    Large seen = *l;
    seen.net = &gan.e, seen.fill = fill_encoder;
    if (!adain_encoder_weights(&gan)) return fail("%s", error_text());
    if (!large_moments(&seen, (int)(met() - gan.e.node), mean, var)) return fail("not enough memory for features of %d x %d pixels: give a smaller --size", l->w, l->h);
    for (int k = 0, c = met()->c; k < c; k++)
        style_moments[k] += (real)(share * sqrt(var[k] + NORM_EPS)), style_moments[c + k] += (real)(share * mean[k]);
    return 1;
}

/* F16 and G: x = G(t), t: the content's features with (1 - alpha) of their own moments and alpha of the styles', each with its share.
 * (The moments of (1 - alpha) f_c + alpha AdaIN(f_c, f_s) are just that.) alpha 0: the picture, as G draws it.
 * In pieces: the moments are those of the whole pictures. */
static int paint_adain(Image *picture) {
    enum { MARGIN = 16, STEP = 8 };
    static double mean[CHANNELS], var[CHANNELS];
    int h = (picture->h + 2 * MARGIN + STEP - 1) / STEP * STEP, w = (picture->w + 2 * MARGIN + STEP - 1) / STEP * STEP, longer = h > w ? h : w, good = 1;
    double all = 0;
    Image result;
    Large l;
    memset(style_moments, 0, sizeof style_moments);
    for (int i = 0; i < styles.count; i++) all += style_share[i];
    for (int i = 0; good && i < styles.count; i++) {
        double by = fmin(1, (double)longer / (style[i].h > style[i].w ? style[i].h : style[i].w)) * (motif > 0 ? motif : 1);
        int sh = (int)lround(style[i].h * by / STEP) * STEP, sw = (int)lround(style[i].w * by / STEP) * STEP;
        Image small;
        sh = sh < 2 * STEP ? 2 * STEP : sh, sw = sw < 2 * STEP ? 2 * STEP : sw;
        good = image_copy(&small, &style[i]) ? 1 : fail_image();
        good = good && resize(&small, sh, sw) && widen(&small, sh, sw, 0) && fit_networks(&l, sh, sw, describe_encoder) && meet(&l, alpha * style_share[i] / all, mean, var);
        image_free(&small);
        forget_networks();
    }
    good = good && widen(picture, h, w, MARGIN) && fit_networks(&l, h, w, describe_fusion) && meet(&l, 1 - alpha, mean, var);
    good = good && (net_load(&gan.g, &checkpoint, checkpoint_path, "adain") || fail("%s", error_text()));
    good = good && (large_give(&l, gan.g_fused, mean, var) || fail("not enough memory for %d channels", met()->c));
    l.fill = fill_fusion, l.context = &l;
    if (good && paint_wide(&result, &l, 3, MARGIN, picture->h, picture->w)) lay_result(picture, &result), image_free(&result);
    else good = 0;
    forget_networks();
    return good;
}

/* ------------------------------------------------------------------------------------------------- lists of garments and styles */

static ImageSet set;

/* Names are unique: sub/a.png is "sub-a", and if sub-a.jpg comes too, that is "sub-a-2". */
static int add_garment(List *list, const char *path, const char *below, long index) {
    char name[4200], unique[4300];
    snprintf(name, sizeof name, "%.4000s", below);
    char *dot = strrchr(name, '.');
    if (path && dot && dot > name) *dot = 0;
    for (char *c = name; *c; c++)
        if (*c == '/') *c = '-';
    strcpy(unique, name);
    for (long i = 0, copy = 2; i < list->count; i++)
        if (!strcasecmp(list->item[i].name, unique)) snprintf(unique, sizeof unique, "%s-%ld", name, copy++), i = -1;
    Garment *more = realloc(list->item, (size_t)(list->count + 1) * sizeof *more);
    if (!more) return fail("%s: not enough memory for a list of pictures", below);
    list->item = more;
    more += list->count++;
    *more = (Garment){ path ? strdup(path) : NULL, strdup(unique), index };
    return (more->path || !path) && more->name ? 1 : fail("%s: not enough memory for a list of pictures", below);
}

/* All pictures in a folder and its subfolders, by name; not those in the folder of results, nor hidden ones. Of styles those that can
 * be read: a damaged one is reported once, and not again with every garment. */
static int add_folder(List *list, const char *folder, int of_styles) {
    ImageList files;
    long found = 0;
    if (same_file(folder, output))
        return fail("%s: results would lie among the %s: choose another --output", output, of_styles ? "styles" : "garments");
    int good = image_list(&files, folder, (const char *const[]){ output, NULL }) ? 1 : fail_image();
    for (long i = 0; good && i < files.count; i++) {
        const char *below = files.path[i] + strlen(folder), *dot = strrchr(files.path[i], '.');
        while (*below == '/') below++;
        if (!picture_kind(files.path[i]) && !(of_styles && dot && !strcasecmp(dot, ".pat"))) continue;
        found++;
        if (!of_styles || open_style(0, files.path[i])) good = add_garment(list, files.path[i], below, 0);
    }
    image_list_free(&files);
    if (good && !found) return fail("%s: no .png, .jpg, .bmp%s .tga file in it: expected pictures of %s", folder, of_styles ? ", .pat or" : " or",
                                       of_styles ? "styles" : "garments");
    return good && !list->count ? fail("%s: none of its %ld pictures can be read", folder, found) : good;
}

/* Every result has a name of its own: not so "a-b" in the style "c" and "a" in the style "b-c". */
static int names_differ(void) {
    char name[8400];
    for (long i = 0; i < garments.count; i++)
        for (long k = 0; k < folder_styles.count; k++) {
            snprintf(name, sizeof name, "%s-%s", garments.item[i].name, folder_styles.item[k].name);
            for (long j = 0; j < i; j++) {
                size_t n = strlen(garments.item[j].name);
                if (strncasecmp(name, garments.item[j].name, n) || name[n] != '-') continue;
                for (long l = 0; l < folder_styles.count; l++)
                    if (!strcasecmp(name + n + 1, folder_styles.item[l].name))
                        return fail("%s.png would be '%s' in the style '%s' and '%s' in the style '%s': rename one of them", name, garments.item[i].name,
                                    folder_styles.item[k].name, garments.item[j].name, folder_styles.item[l].name);
            }
        }
    return 1;
}

/* fashion-mnist:17 or :3-9 of the test set, and the drawn synthetic:5, as in a shop: on white */
static int add_set(const char *colon) {
    ImageSetOptions o = { .channels = 3, .photo = 1, .fashion_mnist_dir = *data_dir ? data_dir : NULL };
    char source[64], name[64];
    long from, to;
    int end = 0, fashion = content[0] == 'f', n = sscanf(colon, ":%6ld%n-%6ld%n", &from, &end, &to, &end);
    if (n == 1) to = from;
    if (n < 1 || colon[end] || from < 0 || to < from)
        return fail("--content %s: expected one number or a range, as in :17 or :3-9", content);
    if (!fashion) o.h = o.w = 256;
    if (!fashion && to > 999) return fail("--content %s: there are synthetic garments 0 to 999", content);
    snprintf(source, sizeof source, fashion ? "fashion-mnist:test" : "synthetic:%ld", to + 1);
    if (!imageset_load(&set, source, &o)) return fail_image();
    if (to >= set.count) return fail("--content %s: there are pictures 0 to %ld", content, set.count - 1);
    for (; from <= to; from++) {
        snprintf(name, sizeof name, "%.*s-%ld", (int)(colon - content), content, from);
        if (!add_garment(&garments, NULL, name, from)) return 0;
    }
    return 1;
}

static int list_garments(void) {
    const char *slash = strrchr(content, '/');
    if (!strncmp(content, "fashion-mnist:", 14) || !strncmp(content, "synthetic:", 10)) return add_set(strchr(content, ':'));
    if (access(content, F_OK))
        return fail("%s: %s: expected a picture, a folder of them, fashion-mnist:17 or synthetic:5", content, strerror(errno));
    return is_folder(content) ? add_folder(&garments, content, 0) : add_garment(&garments, content, slash ? slash + 1 : content, 0);
}

static int load_garment(Image *picture, const Garment *from) {
    if (from->path) return image_load(picture, from->path) ? 1 : fail_image();
    if (!image_new(picture, set.h, set.w, 3)) return fail_image();
    picture->mask = malloc((size_t)set.h * (size_t)set.w * sizeof *picture->mask);
    if (!picture->mask) return fail("not enough memory for a mask of %d x %d pixels", set.w, set.h);
    if (!imageset_get(&set, from->index, picture->pixels, picture->mask)) return fail_image();
    image_round_mask(picture);
    return 1;
}

/* --------------------------------------------------------------------------------------------------------- the program */

/* The contact sheet, white: for each garment a cell as it was, one for the style if there is one, one with the print; below all of them
 * the options that made them, in small letters. A table of all pairs has the styles in its first line, and each garment begins a line. */
enum { CELL = 256, GAP = 12, LINES = 48, COLUMNS = 12, LETTER = 6, SPACING = 10 };
static Image page;
static int rows, cells, across;                           /* pictures shown; cells of each: 2, or 3 with the style; pictures a line */
static int table_head;                                    /* lines of styles: 1 or 0 */
static char caption[20000];
static int caption_lines;

/* Does the picture follow from the seed, whatever else was given? Then the caption names it, the default too. */
static int draws(void) { return !strcmp(method, "patches") || (!strcmp(method, "generator") && (!unpaired || patterns)); }

static void write_caption(int width) {
    static const char unseen[] = "--content --output --sheet --save-every --benchmark --threads --data-dir";
    int column = width + 1, styled = 0;
    for (const Option *o = table; o->name; o++) {
        int count = o->kind != OPTION_TEXTS ? o->given || o->value == &method || (o->value == &seed && draws()) : o->given && !styled ? styles.count : 0;
        if (among(o->name, unseen, strlen(unseen))) continue;
        for (int i = 0; i < count; i++) {
            char number[64], word[600];
            const char *value = o->kind == OPTION_TEXTS ? styles.item[i] : option_text(o, number), *slash = strrchr(value, '/');
            int length = snprintf(word, sizeof word, "%s %.500s", o->name, slash && slash[1] ? slash + 1 : value);
            size_t end = strlen(caption);
            int wrap = column + length > width;
            snprintf(caption + end, sizeof caption - end, "%s%s", !end ? "" : wrap ? "\n" : "  ", word);
            column = (wrap ? 0 : column) + length + 2, caption_lines += wrap;
        }
        styled |= o->kind == OPTION_TEXTS && o->given;
    }
}

static int show(const Image *picture, int row, int column) {
    Image cell;
    int top = GAP + (table_head + row / across) * (CELL + GAP), left = GAP + (cells * (row % across) + column) * (CELL + GAP);
    if (!image_fit(&cell, picture, CELL, CELL)) return fail_image();
    for (int y = 0; y < CELL; y++)
        memcpy(page.pixels + ((long)(top + y) * page.w + left) * 3, cell.pixels + (long)y * CELL * 3, CELL * 3 * sizeof *cell.pixels);
    image_free(&cell);
    return 1;
}

/* image_garment_mask; a picture of a set brings a mask of its own, wide by a pixel, and keeps it where the finer one has taken
 * white cloth for background. */
static int find_garment(Image *picture, int of_set) {
    float *own = of_set ? picture->mask : NULL;
    double fine = 0, wide = 0;
    if (of_set) picture->mask = NULL;
    int found = image_garment_mask(picture);
    for (long i = 0; found && own && i < (long)picture->h * picture->w; i++) fine += picture->mask[i], wide += own[i];
    if (fine < .95 * wide) {
        free(picture->mask);
        picture->mask = own, own = NULL, found = 2;
    }
    free(own);
    return found;
}

/* The picture in the style: on the garment that its mask shows, or all of it. found: as image_garment_mask */
static int lay_style(Image *picture, int on_white, int found, const char *name, const char *to) {
    int masked = *mask_file || found == 2, print = !strcmp(mode, "print") || (!strcmp(mode, "auto") && (masked || found == 1));
    long some = 0;
    for (long i = 0; i < (long)picture->h * picture->w; i++) {
        some += picture->mask[i] > .5f;
        for (int k = 0; on_white && k < 3; k++) {
            float *p = &picture->pixels[3 * i + k];
            *p = picture->mask[i] * *p + 1 - picture->mask[i];
        }
    }
    if (!some) return fail("%s: its mask is empty, there is nothing to print on: --mask can say where", name);
    if (!print && !masked) free(picture->mask), picture->mask = NULL;
    if (!colour_styles(picture)) return 0;
    return !strcmp(method, "gram") ? paint_gram(picture, to) : !strcmp(method, "adain") ? paint_adain(picture) : paint_patches(picture, print);
}

/* number: of the style, in a table of all pairs. 1: done, 0: failed, -1: the garment cannot be read, whatever the style */
static int transfer(const Garment *from, const char *to, int number) {
    static const char *const where[] = { "", "what stands out from the background", "its own mask",
                                         "all of it: no mask, and no background of one colour", "--mask" };
    Image picture = { 0 };
    double by = 0, least = INFINITY;
    int found = 0, shown = page.pixels && rows < LINES * across && number <= COLUMNS, runs = benchmark && strcmp(method, "gram") ? 3 : 1;
    if (!safe(to, "--output", reading = from->path)) return 0;
    if (!load_garment(&picture, from) || (*mask_file && !read_mask(&picture, from->name))) return image_free(&picture), -1;
    int good = (by = set_size(&picture)) > 0;
    if (good && !(found = find_garment(&picture, !from->path && !*mask_file))) good = fail_image();
    if (good && (found == 1 || !from->path) && by > 1) good = image_draw_in(&picture, (int)(by / 2)) || fail_image();       /* the middle of a widened edge */
    if (good) printf("%s: %d x %d pixels; garment: %s\n", from->name, picture.w, picture.h, where[*mask_file ? 4 : found]);
    int on_white = !strcmp(background, "white") || !from->path || (found == 2 && !*mask_file);   /* transparent: shown on white */
    if (good && shown) good = show(&picture, rows, 0) && (cells == 2 || (table_head ? show(&pattern[0], -1, number) : show(&pattern[0], rows, 1)));
    if (good && (*preserve_color == 'l' || runs > 1)) good = image_copy(&before, &picture) ? 1 : fail_image();
    for (int run = 0; good && run < runs; run++) {
        if (run) image_free(&picture), good = image_copy(&picture, &before) ? 1 : fail_image();
        began = seconds();
        good = good && (styles.count ? lay_style(&picture, on_white, found, from->name, to)
                                     : unpaired ? lay_unpaired(&picture, from->name) : lay_print(&picture, on_white, (int)ceil(fmax(by, 1)), from->name));
        least = fmin(least, seconds() - began);
    }
    if (good && runs > 1) printf("benchmark: %.4g s a picture of %d x %d pixels, the best of %d\n", least, picture.w, picture.h, runs);
    if (good && *preserve_color == 'l') colour_keep_luminance(&picture, &before);
    image_free(&before);
    good = good && (!shown || show(&picture, rows, table_head ? number : cells - 1));
    if (good && *to) good = image_save(&picture, to) ? 1 : fail_image();
    image_free(&picture);
    if (good && *to) printf("%s\n", to);
    return good;
}

static int save_sheet(void) {
    static const float ink[3] = { -.7f, -.7f, -.7f };
    Image used;
    int below = GAP + (table_head + (rows + across - 1) / across) * (CELL + GAP), columns = cells - 1;
    int good = image_crop(&used, &page, 0, 0, below + caption_lines * SPACING + GAP, page.w);
    if (good) image_text(&used, below, GAP, caption, 1, ink);
    good = good && image_save(&used, sheet);
    if (good) printf(table_head ? "%s: %d garments, %d styles\n" : "%s: %d garments\n", sheet, rows, columns);
    if (good && table_head && columns < folder_styles.count) printf("%s: %ld styles are left out, there is room for %d\n", sheet, folder_styles.count - columns, COLUMNS);
    if (good && rows == LINES * across && rows < garments.count) printf("%s: the other garments are left out, there is room for %d\n", sheet, rows);
    image_free(&used);
    image_free(&page);
    return good ? 1 : fail_image();
}

int main(int argc, char **argv) {
    patient_threads(argv);
    char *real_path = realpath("/proc/self/exe", NULL);                   /* called through a link or PATH too */
    const char *self = real_path ? real_path : argv[0], *slash;
    snprintf(program_folder, sizeof program_folder, "%.*s", (slash = strrchr(self, '/')) ? (int)(slash - self) + 1 : 0, self);
    free(real_path);
    error_program("transfer", 0, NULL);
    options_parse(table, argc, argv);
    if (help) return print_help(), 0;
    if (!*generator && !styles.count)
        usage("--style is missing: a picture (or --generator: a run's folder, made by ./train --recipe style)");
    if (!*method) method = !*generator ? "patches" : styles.count ? "adain" : "generator";
    expect("--method", method, "patches, gram, generator or adain");
    int trained_one = !strcmp(method, "generator") || !strcmp(method, "adain");
    if (trained_one != !!*generator || (strcmp(method, "generator") != 0) != (styles.count > 0))
        usage("--method: patches and gram need --style, generator needs --generator, adain needs both");
    refuse_unused();
    expect("--mode", mode, "auto, paint or print");
    expect("--background", background, "keep or white");
    expect("--preserve-color", preserve_color, "off, luminance or covariance");
    expect("--pooling", pooling, "max or average");
    expect("--optimizer", optimizer, "adam or lbfgs");
    if (!styles.count && *preserve_color == 'c') usage("--preserve-color covariance is for the colours of a --style, a generator learned its own");
    if (*color_from && strcmp(preserve_color, "off")) usage("--color-from and --preserve-color: expected one of them");
    if (*data_dir && strncmp(content, "fashion-mnist:", 14)) usage("--data-dir is where --content fashion-mnist:N lies, not other pictures");
    if (save_every && !*output) usage("--save-every needs --output, beside which the pictures are saved");
    cells = styles.count ? 3 : 2, across = styles.count ? 2 : 4;
    for (int i = 0; i < styles.count; i++) table_head |= is_folder(styles.item[i]);
    if (table_head && (styles.count > 1 || *style_weights))
        usage("--style: the pictures of a folder are not mixed: expected no other --style beside it, and no --style-weights");
    if (!*content) usage("--content is missing: a picture, a folder, fashion-mnist:17 or synthetic:5");
    if (!*output && !*sheet) usage("--output is missing: the .png or .jpg file to write, or a folder");
    if (*sheet && (!picture_kind(sheet) || picture_kind(sheet) > WRITABLE))
        usage("--sheet: expected a name that ends in .png or .jpg");
    if (!strcmp(sheet, output)) usage("--sheet and --output: expected two names");
    if (strlen(generator) > 3900 || strlen(content) > 3900 || strlen(output) > 3900 || strlen(sheet) > 3900) usage("a path is too long");
    if (!(ops = device_open(device, precision))) usage(error_text());
#ifdef _OPENMP
    if (threads) omp_set_num_threads((int)threads);
#endif
    if (!strcmp(method, "gram")) {
        int vgg = open_features();
        if (vgg < 0) return 1;
        if (weights.count && strcmp(init, "noise") && option_find(table, "--seed")->given)
            usage("--seed changes nothing where nothing is drawn: omit it, or draw the start (--init noise) or the features (--features random)");
        if (!vgg && option_find(table, "--pooling")->given) usage("--pooling is that of VGG's features: omit it, or give VGG's weights as --features");
    }
    if ((table_head && !add_folder(&folder_styles, styles.item[0], 1)) || (styles.count && !open_styles()) ||
        (*generator && !(styles.count ? open_adain() : open_generator())) || !list_garments() || !names_differ()) return 1;

    int several = garments.count > 1 || is_folder(content) || table_head, folder = *output && (several || is_folder(output)), done = 0;
    int kind = *output && !(folder && is_folder(output)) ? picture_kind(output) : 0;
    if (several && kind) usage("--output: several results need a folder; --sheet is one picture of them all");
    if (*output && !folder && (!kind || kind > WRITABLE)) usage("--output: expected a name that ends in .png or .jpg");
    if (folder && ((mkdir(output, 0777) && errno != EEXIST) || access(output, W_OK | X_OK)))
        return fail("%s: %s: expected a folder to write into, choose another --output", output, strerror(errno)), 1;
    if ((!folder && !writable(output, "--output")) || !writable(sheet, "--sheet")) return 1;
    for (long i = 0; i < garments.count; i++)
        if (!safe(sheet, "--sheet", garments.item[i].path)) return 1;
    if (table_head) across = 1, cells = 1 + (folder_styles.count < COLUMNS ? (int)folder_styles.count : COLUMNS);
    long lines = (garments.count + across - 1) / across, width = GAP + cells * (garments.count < across ? garments.count : across) * (CELL + GAP);
    if (*sheet) write_caption((int)(width - 2 * GAP) / LETTER);
    if (*sheet && !image_new(&page, GAP + (table_head + (int)(lines < LINES ? lines : LINES)) * (CELL + GAP) + caption_lines * SPACING + GAP, (int)width, 3))
        return fail_image(), 1;
    for (long i = 0; i < (long)page.h * page.w * 3; i++) page.pixels[i] = 1;

    for (long i = 0; i < garments.count; i++) {
        int before_it = done;
        for (long k = 0; k < (table_head ? folder_styles.count : 1); k++) {
            char to[12600];
            const Garment *of = table_head ? &folder_styles.item[k] : NULL;
            snprintf(to, sizeof to, folder ? "%s/%s%s%s.png" : "%s", output, garments.item[i].name, of ? "-" : "", of ? of->name : "");
            int made = !of || open_style(0, of->path) ? transfer(&garments.item[i], to, (int)k + 1) : 0;
            if (made < 0) break;
            done += made;
        }
        rows += done > before_it && rows < LINES * across;
    }
    if (several && !done) fail("%s: none of the %ld garments could be painted", content, garments.count);
    if (done && same_file(sheet, output)) return fail("%s: --sheet would overwrite --output, choose another", sheet), 1;
    if (done && *sheet && !save_sheet()) return 1;
    return done ? 0 : 1;
}
