/* job.h: what the program transfer is asked to do: its options, and which of them go together. Only
 * transfer.c includes it. */
#ifndef JOB_H
#define JOB_H
#include "core/device.h"
#include "core/options.h"
#include "images/images.h"
#include "style/garments.h"
#include "style/generator.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATCHES = 1, GRAM = 2, GENERATOR = 4, ADAIN = 8, DRAW = 16, WEAVES = 32,   /* --repeat */
       STYLED = PATCHES | GRAM | ADAIN, PAINTS = STYLED | GENERATOR };
enum { AUTO, PAINT, PRINT };                                    /* --mode */
enum { OFF, LUMINANCE, COVARIANCE };                            /* --preserve-color */

static struct {
    int method, mode, white, preserve_color, pooling, optimizer, device, precision;
    int size, steps, tile, repeat, count, threads, benchmark, help;
    uint64_t seed;
    double scale, shade, content_weight, style_weight, tv_weight, detail, alpha;
    OptionList styles, masks;
    const char *style_weights, *generator, *content, *output, *sheet, *color_from, *features;
    const char *style_layers, *content_layer, *init, *data_dir;
    const char *classes, *interpolate;
    /* what follows from them */
    unsigned job;                       /* PATCHES, .. */
    int pairs;                          /* --style is a folder: each garment in each style */
} opt;

#define NEXT_LINE "\n                           "
static Option table[] = {
    WORD_OPTION("--method", &opt.method, "patches gram generator adain draw", NULL, 0,
        "patches (the default), gram (optimised), generator (trained on a style)," NEXT_LINE
        "adain (on any), draw (new pictures, by what was trained on pictures)"),
    TEXTS_OPTION("--style", &opt.styles, STYLED,
        "a painting, a textile, a .pat pattern; may be given several times." NEXT_LINE
        "A folder: every picture in each of its styles, as OUTPUT/content-style.png"),
    TEXTS_OPTION("--pattern-from", &opt.styles, STYLED, "another name for --style"),
    TEXT_OPTION("--style-weights", &opt.style_weights, "", PAINTS | WEAVES,
        "shares of several styles, as in 2,1 (default equal; cloth: the first style)"),
    WORD_OPTION("--mode", &opt.mode, "auto paint print", "auto", STYLED,
        "paint all of the picture, print on the garment, auto: if there is one"),
    TEXT_OPTION("--generator", &opt.generator, "", GENERATOR | ADAIN | DRAW | WEAVES,
        "a run's folder, or its checkpoint: ./train --recipe cloth, style, cyclegan," NEXT_LINE
        "pattern, adain; without --content dcgan, cloth and all others that draw out of noise"),
    INT_OPTION("--repeat", &opt.repeat, "0", 0, 7064, GENERATOR | WEAVES,
        "without --content: N x N pixels of cloth whose edges meet, to be printed side by side"),
    INT_OPTION("--count", &opt.count, "64", 1, 100000, DRAW, "how many pictures are drawn"),
    TEXT_OPTION("--classes", &opt.classes, "", DRAW,
        "what a run of cgan draws, in turns, such as 0,3 (default: all that it learned);" NEXT_LINE
        "or a run of cloth with a folder of styles: these, 0 being the first"),
    TEXT_OPTION("--interpolate", &opt.interpolate, "", DRAW,
        "two seeds, as in 3,9: pictures on the way from one to the other; of cloth two" NEXT_LINE
        "styles, 0 being the first of its folder: what lies between them blends them"),
    TEXT_OPTION("--content", &opt.content, "", PAINTS,
        "a picture, a folder of them, fashion-mnist:17 or :3-9, or synthetic:5"),
    TEXT_OPTION("--output", &opt.output, "", 0,
        "a .png or .jpg file; a folder where there are several garments, or pictures"),
    TEXT_OPTION("--sheet", &opt.sheet, "", 0,
        "also a contact sheet: each garment, and beside it the same with the print; of" NEXT_LINE
        "a folder of styles a table: a line for a garment, a column for a style"),
    INT_OPTION("--size", &opt.size, "0", 0, 16384, PAINTS,
        "longer side of the result; 0: the picture's own, below 128 enlarged to 256"),
    REAL_OPTION("--style-scale", &opt.scale, "0", 0, 64, PAINTS,
        "size of the motifs, 1: as in the style or in training; 0: a good one"),
    REAL_OPTION("--shade", &opt.shade, "0.85", 0, 1, PATCHES | GENERATOR,
        "how strongly folds and shadows show (patches, paint: 0)"),
    REAL_OPTION("--content-weight", &opt.content_weight, NULL, 0, 1e6, PATCHES | GRAM,
        "patches, 0 to 1: how strongly light and dark follow the content (paint" NEXT_LINE
        "0.5, print 0.1); gram: weight of the content loss (0.25; VGG 0.05)"),
    REAL_OPTION("--detail", &opt.detail, NULL, 0, 1, PATCHES,
        "fine detail of the content, added at the end (paint 0.35, print 0)"),
    WORD_OPTION("--preserve-color", &opt.preserve_color, "off luminance covariance", "off", PAINTS,
        "covariance: the style gets the content's colours first; luminance: the result" NEXT_LINE
        "keeps its light and dark and takes the content's colours"),
    TEXT_OPTION("--color-from", &opt.color_from, "", STYLED,
        "the style gets the colours of this picture first"),
    TEXTS_OPTION("--mask", &opt.masks, PAINTS,
        "a picture of the content's size, white where the print belongs. Several" NEXT_LINE
        "masks, each with its --style behind it: several prints, one after the other"),
    WORD_OPTION("--background", &opt.white, "keep white", "keep", PAINTS,
        "around the garment: keep the picture, of a transparent one a .png keeps that; or white"),
    REAL_OPTION("--alpha", &opt.alpha, "1", 0, 1, ADAIN,
        "how much of the style; 0: the content, as the generator draws it"),
    TEXT_OPTION("--features", &opt.features, "", GRAM | ADAIN,
        "random, or weights (.safetensors) of VGG16 or VGG19, or of ./train --recipe" NEXT_LINE
        "features (gram: style/features.safetensors; adain: those it was trained with)"),
    TEXT_OPTION("--style-layers", &opt.style_layers, "", GRAM,
        "such as 'relu1_1 relu2_1' (VGG: relu1_1 .. relu5_1)"),
    TEXT_OPTION("--content-layer", &opt.content_layer, "", GRAM,
        "VGG's relu4_2; without --features luminance"),
    WORD_OPTION("--pooling", &opt.pooling, "max average", "max", GRAM,
        "of VGG's features: max or average"),
    REAL_OPTION("--style-weight", &opt.style_weight, "1", 0, 1e6, GRAM, "weight of the style loss"),
    REAL_OPTION("--tv-weight", &opt.tv_weight, NULL, 0, 1e6, GRAM,
        "weight of the total variation (0.02; VGG 0.01)"),
    INT_OPTION("--steps", &opt.steps, NULL, 0, 1000000, GRAM,
        "of each level (60; VGG 300 in one level)"),
    WORD_OPTION("--optimizer", &opt.optimizer, "adam lbfgs", "adam", GRAM, "adam or lbfgs"),
    TEXT_OPTION("--init", &opt.init, "content", GRAM,
        "start from the content, from noise, or from a picture"),
    SEED_OPTION("--seed", &opt.seed, "1", PATCHES | GRAM | GENERATOR | DRAW | WEAVES,
        "another seed draws another print, or other pictures"),
    WORD_OPTION("--device", &opt.device, DEVICE_WORDS, "auto", 0,
        "cuda: an NVIDIA GPU; cpu; naive: the textbook loops; auto: cuda if there is one"),
    WORD_OPTION("--precision", &opt.precision, PRECISION_WORDS, "float32", 0,
        "cuda's matrix products: float32; faster and coarser: tf32, bf16"),
    INT_OPTION("--tile", &opt.tile, "0", 0, 16384, GENERATOR | ADAIN | WEAVES,
        "in pieces of N x N pixels, for pictures larger than memory; they overlap, and" NEXT_LINE
        "no seam shows. 0: at once, and in pieces where it does not fit"),
    INT_OPTION("--threads", &opt.threads, "0", 0, 1024, 0,
        "OpenMP threads, 0: all; results do not depend on it"),
    TEXT_OPTION("--data-dir", &opt.data_dir, "", PAINTS,
        "where Fashion-MNIST lies (default /usr/share/datasets/fashion-mnist)"),
    FLAG_OPTION("--benchmark", &opt.benchmark, PAINTS,
        "the best time of a step (gram), or of a picture out of three"),
    FLAG_OPTION("--help", &opt.help, 0, "this text"),
    END_OF_OPTIONS
};

static inline int given(const char *name) { return option_given(table, name); }

/* The number of an option that was given, else what its method takes */
static inline double chosen(const char *name, double otherwise) {
    const Option *o = option_find(table, name);
    return o->given ? *(const double *)o->value : otherwise;
}

/* "patches, gram" */
static inline const char *method_names(unsigned jobs) {
    static char text[64];
    char *end = text;
    jobs &= ~(unsigned)WEAVES;
    for (const char *name = table->words; jobs; jobs >>= 1, name += strcspn(name, " ") + 1)
        if (jobs & 1)
            end += sprintf(end, "%s%.*s", end > text ? ", " : "", (int)strcspn(name, " "), name);
    return text;
}

static inline void print_help(void) {
    puts(
        "usage: ./transfer --style PICTURE --content PICTURES --output FILE [options]\n"
        "       ./transfer --generator RUN --content GARMENTS --output FILE [options]\n"
        "       ./transfer --generator RUN --output FOLDER [options]\n\n"
        "Repaints pictures in the style of others, and prints patterns onto garments of any size.\n"
        "With --style every patch of the picture becomes the patch of the style that is most like\n"
        "it: nothing to train. With --generator it is painted by what ./train has learned;\n"
        "without --content, that draws new pictures.\n\n"
        "  ./transfer --style painting.jpg --content photo.jpg --output painted.png\n"
        "  ./transfer --style leopard.pat --content shirt.jpg --output print.png\n"
        "  ./transfer --generator runs/cloth --content fashion-mnist:3-9 --output prints\n"
        "  ./transfer --generator runs/cloth --repeat 512 --output cloth.png\n"
        "  ./transfer --generator runs/dcgan --count 64 --seed 7 --output folder\n\n"
        "The print goes where --mask is white; without --mask, where the picture is opaque; in an\n"
        "opaque picture, on what stands out from a background of nearly one colour; where that\n"
        "is not so, on all of it. Of a folder all pictures are taken, except hidden ones, in\n"
        "subfolders too: sub/shirt.jpg becomes sub-shirt.png in the folder --output. If some\n"
        "fail, the others are done, and the exit status is 1.\n"
        "A generator learned its motifs in pixels of small training pictures. --style-scale 2\n"
        "paints at half the size and enlarges the print: larger, softer motifs; 0.5 makes them\n"
        "smaller. Garments longer than four training pictures get larger motifs by default.\n\n"
        "options (methods before a colon: only these use it):");
    for (Option *o = table; o->name; o++) {
        size_t room = strlen(o->help) + 80;
        char *help = o->jobs && (o->jobs & PAINTS) != PAINTS ? malloc(room) : NULL;
        if (help) snprintf(help, room, "%s: %s", method_names(o->jobs), o->help), o->help = help;
    }
    options_help(table, NULL);
}

/* Several masks: each has styles of its own, behind it. How many from style `first` on belong to
 * mask k? */
static int styles_behind(int k, int first) {
    const OptionList *masks = &opt.masks, *styles = &opt.styles;
    int next = k + 1 < masks->count ? masks->at[k + 1] : INT_MAX, i = first;
    while (i < styles->count && styles->at[i] < next) i++;
    return i - first;
}
static void check_masks(void) {
    int good = opt.styles.at[0] > opt.masks.at[0];
    for (int k = 0, first = 0; k < opt.masks.count; k++) {
        int own = styles_behind(k, first);
        good = good && own, first += own;
    }
    if (opt.masks.count > 1 && !good)
        die(2, "--mask: of several masks each needs its --style behind it: --mask sleeves.png "
            "--style a.pat --mask body.png --style b.pat; see --help");
}

static inline void check_options(void) {
    int styles = opt.styles.count, kind = picture_kind(opt.sheet);
    if (!given("--method"))
        opt.method = !*opt.generator ? 0 : styles ? 3 : *opt.content || opt.repeat ? 2 : 4;
    opt.job = 1u << opt.method;
    int repeats = opt.repeat && opt.job == GENERATOR;
    for (int i = 0; i < styles; i++) opt.pairs |= is_folder(opt.styles.item[i]);
    const struct { int wrong; const char *what; } rules[] = {
        { !*opt.generator && !styles, "--style is missing: a picture (or --generator: a run's "
          "folder, made by ./train --recipe style)" },
        { !styles == !!(opt.job & STYLED) ||
          !*opt.generator == !!(opt.job & (GENERATOR | ADAIN | DRAW)), "--method: patches and "
          "gram need --style, generator and draw need --generator, adain both" },
        { !styles && opt.preserve_color == COVARIANCE, "--preserve-color covariance is for the "
          "colours of a --style, a generator learned its own" },
        { *opt.color_from && opt.preserve_color,
          "--color-from and --preserve-color: expected one of them" },
        { *opt.data_dir && strncmp(opt.content, "fashion-mnist:", 14),
          "--data-dir is where --content fashion-mnist:N lies, not other pictures" },
        { opt.pairs && (styles > 1 || *opt.style_weights), "--style: the pictures of a folder are "
          "not mixed: expected no other --style beside it, and no --style-weights" },
        { repeats && *opt.content, "--repeat and --content: expected one of them" },
        { repeats && *opt.sheet, "--repeat and --sheet: expected one of them" },
        { opt.scale > 0 && opt.scale < 0.125, "--style-scale: expected 0, or 0.125 to 64" },
        { opt.scale > 8 && opt.job == PATCHES, "--style-scale: patches takes 0.125 to 8" },
        { opt.job == PATCHES && given("--content-weight") && opt.content_weight > 1,
          "--content-weight: patches takes 0 to 1" },
        { repeats && opt.repeat % STYLE_MULTIPLE, "--repeat: expected a multiple of 8" },
        { repeats && !picture_kind(opt.output),
          "--repeat: expected an --output that ends in .png or .jpg" },
        { !*opt.content && !opt.repeat && opt.job != DRAW,
          "--content is missing: a picture, a folder, fashion-mnist:17 or synthetic:5" },
        { !*opt.output && !*opt.sheet,
          "--output is missing: the .png or .jpg file to write, or a folder" },
        { *opt.sheet && !kind, "--sheet: expected a name that ends in .png or .jpg" },
        { given("--seed") && *opt.interpolate, "--interpolate and --seed: expected one of them" },
        { !strcmp(opt.sheet, opt.output), "--sheet and --output: expected two names" },
        { strlen(opt.generator) > 3900 || strlen(opt.content) > 3900 || strlen(opt.output) > 3900 ||
          strlen(opt.sheet) > 3900, "a path is too long" } };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].wrong) die(2, "%s; see --help", rules[i].what);
    const Option *unused = option_not_for(table, repeats ? WEAVES : opt.job);
    char method[64];
    check_masks();
    if (unused && repeats) die(2, "%s is not used by --repeat; see --help", unused->name);
    if (unused)
        die(2, "%s is not used by --method %s, only by %s; see --help", unused->name,
            option_text(&table[0], method), method_names(unused->jobs));
}
#endif
