/* transfer.c: the program `transfer`: pictures repainted in a style, garments printed with a pattern.
 *
 * The walk of one picture:
 *   load it -> mask: where is the garment? -> cut it out, with its tones (style/cutout.h)
 *   -> the style in the colours that were asked for -> --method paints a print for the cut-out:
 *        patches: from the style's own patches (style/patches.h)
 *        gram: optimised until a network's features look like the style's (style/gram.h)
 *        generator, adain: by a network that ./train has trained (style/generator.h)
 *   -> laid on the picture where the mask is, with folds and shadows
 *   -> the picture's own colours again, if they were asked for.
 * Around it: a list of garments (style/garments.h), each with every style of a folder, and a contact
 * sheet of what became of them.
 * Exit status: 0 done (of several garments: at least one), 1 bad input, 2 usage. Files are written
 * whole or not at all. */
#define _GNU_SOURCE
#define IMAGES_IMPLEMENTATION
#define CUTOUT_IMPLEMENTATION
#define GARMENTS_IMPLEMENTATION
#define GENERATOR_IMPLEMENTATION
#define GRAM_IMPLEMENTATION
#define LARGE_IMPLEMENTATION
#define PATCHES_IMPLEMENTATION
#include "core/device.h"
#include "core/error.h"
#include "core/options.h"
#include "style/garments.h"
#include "style/generator.h"
#include "style/gram.h"
#include "style/patches.h"
#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

/* ---- options -------------------------------------------------------------------------------- */

enum { PATCHES = 1, GRAM = 2, GENERATOR = 4, ADAIN = 8, STYLED = PATCHES | GRAM | ADAIN };
enum { AUTO, PAINT, PRINT };                                    /* --mode */
enum { OFF, LUMINANCE, COVARIANCE };                            /* --preserve-color */

static struct {
    int method, mode, white, preserve_color, pooling, optimizer;
    int size, steps, tile, threads, benchmark, help;
    uint64_t seed;
    double scale, shade, content_weight, style_weight, tv_weight, detail, alpha;
    OptionList styles;
    const char *style_weights, *generator, *content, *output, *sheet, *color_from, *mask, *features;
    const char *style_layers, *content_layer, *init, *device, *precision, *data_dir;
} opt;

#define NEXT_LINE "\n                           "
static Option table[] = {
    WORD_OPTION("--method", &opt.method, "patches gram generator adain", NULL, 0,
        "patches (the default), gram (optimised), generator (trained on a style), adain (on any)"),
    TEXTS_OPTION("--style", &opt.styles, STYLED,
        "a painting, a textile, a .pat pattern; may be given several times." NEXT_LINE
        "A folder: every picture in each of its styles, as OUTPUT/content-style.png"),
    TEXTS_OPTION("--pattern-from", &opt.styles, STYLED, "another name for --style"),
    TEXT_OPTION("--style-weights", &opt.style_weights, "", STYLED,
        "shares of several styles, as in 2,1 (default equal)"),
    WORD_OPTION("--mode", &opt.mode, "auto paint print", "auto", STYLED,
        "paint all of the picture, print on the garment, auto: if there is one"),
    TEXT_OPTION("--generator", &opt.generator, "", GENERATOR | ADAIN,
        "a run's folder, or its checkpoint: ./train --recipe style, cyclegan, pattern, adain"),
    TEXT_OPTION("--content", &opt.content, "", 0,
        "a picture, a folder of them, fashion-mnist:17 or :3-9, or synthetic:5"),
    TEXT_OPTION("--output", &opt.output, "", 0,
        "a .png or .jpg file; a folder where there are several garments"),
    TEXT_OPTION("--sheet", &opt.sheet, "", 0,
        "also a contact sheet: each garment, and beside it the same with the print; of" NEXT_LINE
        "a folder of styles a table: a line for a garment, a column for a style"),
    INT_OPTION("--size", &opt.size, "0", 0, 16384, 0,
        "longer side of the result; 0: the picture's own, below 128 enlarged to 256"),
    REAL_OPTION("--style-scale", &opt.scale, "0", 0, 64, 0,
        "size of the motifs, 1: as in the style or in training; 0: a good one"),
    REAL_OPTION("--shade", &opt.shade, "0.85", 0, 1, PATCHES | GENERATOR,
        "how strongly folds and shadows show (patches, paint: 0)"),
    REAL_OPTION("--content-weight", &opt.content_weight, "0", 0, 1e6, PATCHES | GRAM,
        "patches, 0 to 1: how strongly light and dark follow the content (paint" NEXT_LINE
        "0.5, print 0.1); gram: weight of the content loss (0.25; VGG 0.05)"),
    REAL_OPTION("--detail", &opt.detail, "0", 0, 1, PATCHES,
        "fine detail of the content, added at the end (paint 0.35, print 0)"),
    WORD_OPTION("--preserve-color", &opt.preserve_color, "off luminance covariance", "off", 0,
        "covariance: the style gets the content's colours first; luminance: the result" NEXT_LINE
        "keeps its light and dark and takes the content's colours"),
    TEXT_OPTION("--color-from", &opt.color_from, "", STYLED,
        "the style gets the colours of this picture first"),
    TEXT_OPTION("--mask", &opt.mask, "", 0,
        "a picture of the content's size, white where the print belongs"),
    WORD_OPTION("--background", &opt.white, "keep white", "keep", 0,
        "around the garment: keep the picture, or white"),
    REAL_OPTION("--alpha", &opt.alpha, "1", 0, 1, ADAIN,
        "how much of the style; 0: the content, as the generator draws it"),
    TEXT_OPTION("--features", &opt.features, "", GRAM | ADAIN,
        "random, or weights (.safetensors) of VGG16 or VGG19, or of ./train --recipe" NEXT_LINE
        "features (gram: style/features.safetensors; adain: those it was trained with)"),
    TEXT_OPTION("--style-layers", &opt.style_layers, "", GRAM,
        "as in 'relu1_1 relu2_1' (VGG: relu1_1 .. relu5_1)"),
    TEXT_OPTION("--content-layer", &opt.content_layer, "", GRAM,
        "VGG's relu4_2; without --features luminance"),
    WORD_OPTION("--pooling", &opt.pooling, "max average", "max", GRAM, "VGG's"),
    REAL_OPTION("--style-weight", &opt.style_weight, "1", 0, 1e6, GRAM, "weight of the style loss"),
    REAL_OPTION("--tv-weight", &opt.tv_weight, "0", 0, 1e6, GRAM,
        "weight of the total variation (0.1; VGG 0.01)"),
    INT_OPTION("--steps", &opt.steps, "0", 0, 1000000, GRAM,
        "of each level (60; VGG 300 in one level)"),
    WORD_OPTION("--optimizer", &opt.optimizer, "adam lbfgs", "adam", GRAM, "of the picture"),
    TEXT_OPTION("--init", &opt.init, "content", GRAM,
        "start from the content, from noise, or from a picture"),
    SEED_OPTION("--seed", &opt.seed, "1", PATCHES | GRAM | GENERATOR,
        "another seed draws another print"),
    TEXT_OPTION("--device", &opt.device, "auto", 0,
        "cuda: an NVIDIA GPU; cpu; naive: the textbook loops; auto: cuda if there is one"),
    TEXT_OPTION("--precision", &opt.precision, "float32", 0,
        "cuda's matrix products: float32; faster and coarser: tf32, bf16"),
    INT_OPTION("--tile", &opt.tile, "0", 0, 16384, GENERATOR | ADAIN,
        "in pieces of N x N pixels, for pictures larger than memory; they overlap, and" NEXT_LINE
        "no seam shows. 0: at once, and in pieces where it does not fit"),
    INT_OPTION("--threads", &opt.threads, "0", 0, 1024, 0,
        "OpenMP threads, 0: all; results do not depend on it"),
    TEXT_OPTION("--data-dir", &opt.data_dir, "", 0,
        "where Fashion-MNIST lies (default /usr/share/datasets/fashion-mnist)"),
    FLAG_OPTION("--benchmark", &opt.benchmark, 0,
        "the best time of a step (gram), or of a picture out of three"),
    FLAG_OPTION("--help", &opt.help, 0, "this text"),
    END_OF_OPTIONS
};

static int given(const char *name) { return option_given(table, name); }

/* The number of an option that was given, else what its method takes */
static double chosen(const char *name, double otherwise) {
    const Option *o = option_find(table, name);
    return o->given ? *(const double *)o->value : otherwise;
}

static const char *method_names(unsigned jobs) {
    static const char *const names[] = { "patches", "gram", "generator", "adain" };
    static char text[64];
    *text = 0;
    for (int i = 0; i < 4; i++)
        if (jobs >> i & 1) strcat(strcat(text, *text ? ", " : ""), names[i]);
    return text;
}

static void print_help(void) {
    printf("usage: ./transfer --style PICTURE --content PICTURES --output FILE [options]\n"
           "       ./transfer --generator RUN --content GARMENTS --output FILE [options]\n\n"
           "Repaints pictures in the style of others, and prints patterns onto garments of any size.\n"
           "With --style every patch of the picture becomes the patch of the style that is most like\n"
           "it: nothing to train. With --generator the print is what a generator of ./train has\n"
           "learned.\n\n"
           "  ./transfer --style painting.jpg --content photo.jpg --output painted.png\n"
           "  ./transfer --style leopard.pat --content shirt.jpg --output print.png\n"
           "  ./transfer --generator runs/style --content fashion-mnist:3-9 --output prints "
           "--sheet sheet.png\n\n"
           "The print goes where --mask is white; without --mask, where the picture is opaque; in an\n"
           "opaque picture, on what stands out from a background of nearly one colour; where there is\n"
           "none, on all of it. Of a folder all .png, .jpg, .bmp and .tga files are taken, in\n"
           "subfolders too: sub/shirt.jpg becomes sub-shirt.png in the folder --output.\n"
           "fashion-mnist:17 is picture 17 of the test set.\n"
           "A generator learned its motifs in pixels of its small training pictures. --style-scale 2\n"
           "paints at half the size and enlarges the print: larger, softer motifs; 0.5 makes them\n"
           "smaller. Garments longer than four training pictures get larger motifs by default. Folds,\n"
           "shadows and edges stay as sharp as the picture.\n\n"
           "options (before a colon: the methods that have it):\n");
    for (Option *o = table; o->name; o++) {
        char *help;
        if (o->jobs && asprintf(&help, "%s: %s", method_names(o->jobs), o->help) > 0) o->help = help;
    }
    options_help(table, stdout);
}

/* ---- what the program holds ----------------------------------------------------------------- */

static struct {
    const Ops *ops;
    unsigned method;                    /* PATCHES, .. */
    int pairs;                          /* --style is a folder: every garment in each of its styles */
    GarmentList garments, styles;       /* styles: of that folder */
    Image pattern[OPTION_LIST], matched[OPTION_LIST], colors;   /* styles as loaded; in the colours */
    double share[OPTION_LIST];                                  /* asked for; --color-from */
    StFile weights;                     /* of gram's features, if they are not random; */
    int vgg;                            /* 16 or 19 if they are VGG's */
    Generator generator;
    double began;                       /* when painting did */
} run;

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* on a terminal: what is done, and how long the rest will take at this rate */
static void show_progress(double fraction, const char *what) {
    double left = (seconds() - run.began) * (1 - fraction) / fmax(fraction, 1e-9);
    if (!progress_on_terminal()) return;
    if (fraction >= 1) progress_line("%s", "");
    else progress_line("  %3.0f%%, %.0f:%02.0f left%s", 100 * fraction, floor(left / 60),
                       floor(fmod(left, 60)), what);
}

/* ---- painters: each makes a print for the cut-out ------------------------------------------- */

static int patches_progress(void *unused, int level, int levels, int iteration, double fraction) {
    char what[60];
    (void)unused, (void)iteration;
    snprintf(what, sizeof what, ", level %d of %d   ", level, levels);
    show_progress(fraction, what);
    return 1;
}

static int paint_patches(Image *print, const Cutout *cut, const Image *style, int prints) {
    PatchesOptions o = patches_default(prints ? PATCHES_PRINT : PATCHES_PAINT);
    int h = cut->part.h, w = cut->part.w, styles = opt.styles.count;
    double have = device_free_bytes(run.ops);
    o.content_weight = chosen("--content-weight", o.content_weight);
    o.detail = chosen("--detail", o.detail);
    if (opt.scale > 0) o.style_scale = opt.scale;
    if (have > 0) o.memory = have;
    o.seed = opt.seed, o.progress = patches_progress;
    printf("%s %d x %d pixels in %.0f MB on %s\n", prints ? "printing" : "painting", w, h,
           patches_bytes(h, w, style, styles, &o, run.ops) / 1e6, device_name(run.ops));
    fflush(stdout);
    return patches_transfer(print, cut, style, run.share, styles, &o, run.ops);
}

/* The last step, when it was, the least seconds of a step in the last level */
typedef struct GramWatch { GramStep last; double when, least; } GramWatch;

static int gram_progress(void *context, const GramStep *step) {
    GramWatch *watch = context;
    char what[60];
    double now = seconds(), each = (now - watch->when) / (step->number - watch->last.number);
    if (step->level != watch->last.level) watch->least = 0;
    else if (step->number > watch->last.number && !(watch->least > 0 && watch->least < each))
        watch->least = each;
    watch->last = *step, watch->when = now;
    snprintf(what, sizeof what, ", %d x %d, loss %.4f   ", step->w, step->h, step->total);
    show_progress(step->fraction, what);
    return 1;
}

static GramOptions gram_options(const Image *start) {
    GramOptions o = gram_defaults(run.vgg);
    o.content = chosen("--content-weight", o.content);
    o.style = chosen("--style-weight", o.style);
    o.tv = chosen("--tv-weight", o.tv);
    if (*opt.style_layers) o.style_layers = opt.style_layers;
    if (*opt.content_layer) o.content_layer = opt.content_layer;
    if (opt.steps) o.steps = opt.steps;
    if (opt.scale > 0) o.scale = opt.scale;
    if (o.steps < 50) o.every = 1 + o.steps / 5;
    o.weights = run.weights.count ? &run.weights : NULL, o.pooling = opt.pooling;
    o.init = start->pixels ? GRAM_PICTURE : strcmp(opt.init, "noise") ? GRAM_CONTENT : GRAM_NOISE;
    o.start = start, o.optimizer = opt.optimizer, o.seed = opt.seed, o.progress = gram_progress;
    return o;
}

static int paint_gram(Image *print, const Image *part, const Image *style) {
    GramWatch watch = { .least = 0 };
    Image start = { 0 };
    int h = part->h, w = part->w, file = strcmp(opt.init, "content") && strcmp(opt.init, "noise");
    if (h < 16 || w < 16)
        return fail("a picture of %d x %d pixels: gram takes sides from 16 pixels up, give a larger "
                    "--size", w, h);
    if (file && !image_load(&start, opt.init)) return 0;
    GramOptions o = gram_options(&start);
    o.context = &watch;
    double need = gram_bytes(part, style, opt.styles.count, &o, run.ops);
    double have = device_free_bytes(run.ops);
    int good = !(have > 0 && need > have)
        || fail("optimising %d x %d pixels takes %.0f MB of memory, %.0f MB are free: give a smaller "
                "--size", w, h, need / 1e6, have / 1e6);
    if (good && need > 0)
        printf("optimising %d x %d pixels in %.0f MB on %s\n", w, h, need / 1e6, device_name(run.ops));
    fflush(stdout);
    good = good && gram_transfer(print, part, style, run.share, opt.styles.count, &o, run.ops);
    image_free(&start);
    show_progress(1, "");
    if (!good) return 0;
    const GramStep *last = &watch.last;
    printf("loss %.4f: content %.4f, total variation %.4f, style", last->total, last->content, last->tv);
    for (int i = 0; i < last->layers; i++) printf(" %s %.4f", last->layer[i], last->style[i]);
    printf("\n");
    if (opt.benchmark && watch.least > 0)
        printf("benchmark: %.4g s a step of %d x %d pixels\n", watch.least, last->w, last->h);
    return 1;
}

static void generator_progress(double fraction) { show_progress(fraction, "   "); }

static int paint(Image *print, const Cutout *cut, const Image *style, int prints) {
    run.began = seconds();
    switch (run.method) {
        case PATCHES: return paint_patches(print, cut, style, prints);
        case GRAM: return paint_gram(print, &cut->part, style);
        case ADAIN: return generator_fuse(&run.generator, print, &cut->part, style, run.share,
                                          opt.styles.count);
        default: return generator_print(&run.generator, print, cut);
    }
}

/* --benchmark: three prints, all alike, and the best time */
static int paint_often(Image *print, const Cutout *cut, const Image *style, int prints) {
    int good = 1, times = opt.benchmark && run.method != GRAM ? 3 : 1;
    double least = INFINITY;
    *print = (Image){ 0 };
    for (int i = 0; good && i < times; i++) {
        image_free(print);
        good = paint(print, cut, style, prints);
        least = fmin(least, seconds() - run.began);
    }
    if (good && times > 1)
        printf("benchmark: %.4g s a picture of %d x %d pixels, the best of %d\n", least, cut->part.w,
               cut->part.h, times);
    return good;
}

/* ---- the contact sheet ---------------------------------------------------------------------- */

/* White: for each garment a cell as it was, one for the style if there is one, one with the print;
 * below all of them the options that made them, in small letters. A table of all pairs has the styles
 * in its first line, and each garment begins a line. */
enum { CELL = 256, GAP = 12, LINES = 48, COLUMNS = 12, LETTER = 6, SPACING = 10 };
static struct {
    Image page;
    int rows, cells, across, head;      /* garments shown; cells of each; garments a line; 1: styles */
    char caption[20000];
    int lines;
} sheet;

/* Does the picture follow from the seed, whatever else was given? Then the caption names it. */
static int draws(void) {
    return run.method == PATCHES
        || (run.method == GENERATOR && run.generator.kind != GENERATOR_CYCLEGAN);
}

static void write_caption(int width) {
    static const char unseen[] = "--pattern-from --content --output --sheet --benchmark --threads "
                                 "--data-dir";
    int column = width + 1;
    for (const Option *o = table; o->name; o++) {
        int list = o->kind == OPTION_TEXTS, always = o->value == &opt.method
                || (o->value == &opt.seed && draws()), count = list ? opt.styles.count : o->given || always;
        for (int i = 0; i < count && !strstr(unseen, o->name); i++) {
            char number[64], word[600];
            const char *value = list ? opt.styles.item[i] : option_text(o, number);
            const char *slash = strrchr(value, '/');
            int length = snprintf(word, sizeof word, "%s %.500s", o->name,
                                  slash && slash[1] ? slash + 1 : value);
            size_t end = strlen(sheet.caption);
            int wrap = column + length > width;
            snprintf(sheet.caption + end, sizeof sheet.caption - end, "%s%s",
                     !end ? "" : wrap ? "\n" : "  ", word);
            column = (wrap ? 0 : column) + length + 2, sheet.lines += wrap;
        }
    }
}

static int sheet_lines(long garments) { return sheet.head + (int)((garments + sheet.across - 1) / sheet.across); }

static int open_sheet(void) {
    long count = run.garments.count, styles = run.styles.count;
    sheet.head = run.pairs, sheet.across = run.pairs ? 1 : opt.styles.count ? 2 : 4;
    sheet.cells = run.pairs ? 1 + (int)fmin(styles, COLUMNS) : opt.styles.count ? 3 : 2;
    if (!*opt.sheet) return 1;
    int width = GAP + sheet.cells * (int)fmin(count, sheet.across) * (CELL + GAP);
    int lines = sheet_lines((long)fmin(count, LINES * sheet.across));
    write_caption((width - 2 * GAP) / LETTER);
    if (!image_new(&sheet.page, GAP + lines * (CELL + GAP) + sheet.lines * SPACING + GAP, width, 3))
        return 0;
    for (long i = 0; i < (long)sheet.page.h * width * 3; i++) sheet.page.pixels[i] = 1;
    return 1;
}

/* In the next garment's cells; row -1: in the head. Where there is no room, nothing */
static int show(const Image *picture, int head, long column) {
    Image cell;
    int row = head ? 0 : sheet.head + sheet.rows / sheet.across;
    long left = GAP + (sheet.cells * (head ? 0 : sheet.rows % sheet.across) + column) * (CELL + GAP);
    if (!sheet.page.pixels || sheet.rows == LINES * sheet.across || column >= sheet.cells) return 1;
    if (!image_fit(&cell, picture, CELL, CELL)) return 0;
    for (int y = 0; y < CELL; y++)
        memcpy(sheet.page.pixels + ((GAP + row * (CELL + GAP) + y) * (long)sheet.page.w + left) * 3,
               cell.pixels + (long)y * CELL * 3, CELL * 3 * sizeof *cell.pixels);
    image_free(&cell);
    return 1;
}

static int save_sheet(void) {
    static const float ink[3] = { -.7f, -.7f, -.7f };
    Image used;
    int below = GAP + sheet_lines(sheet.rows) * (CELL + GAP), columns = sheet.cells - 1;
    int good = image_crop(&used, &sheet.page, 0, 0, below + sheet.lines * SPACING + GAP, sheet.page.w);
    if (good) image_text(&used, below, GAP, sheet.caption, 1, ink);
    good = good && image_save(&used, opt.sheet);
    image_free(&used);
    if (!good) return 0;
    printf(run.pairs ? "%s: %d garments, %d styles\n" : "%s: %d garments\n", opt.sheet, sheet.rows, columns);
    if (run.pairs && columns < run.styles.count)
        printf("%s: %ld styles are left out, there is room for %d\n", opt.sheet,
               run.styles.count - columns, COLUMNS);
    if (sheet.rows == LINES * sheet.across && sheet.rows < run.garments.count)
        printf("%s: the other garments are left out, there is room for %d\n", opt.sheet, sheet.rows);
    return 1;
}

/* ---- one garment ---------------------------------------------------------------------------- */

enum { FOUND = 1, OWN, NONE, GIVEN };                   /* a mask: 1..3 as image_garment_mask says */
typedef struct Photo {
    const Garment *from;
    Image picture;                      /* at the size of the result, with its mask */
    double by;                          /* how much it was enlarged */
    int mask;                           /* FOUND, .. */
} Photo;

/* --mask takes the place of the mask that the picture came with */
static int read_mask(Image *picture, const char *name) {
    Image white, gray;
    if (!image_load(&white, opt.mask)) return 0;
    if (white.h != picture->h || white.w != picture->w)
        printf("%s: from %d x %d to the %d x %d pixels of %s\n", opt.mask, white.w, white.h, picture->w,
               picture->h, name);
    free(white.mask), white.mask = NULL;
    int good = resize_in_steps(&white, picture->h, picture->w, 2) && image_tones(&gray, &white, 0);
    image_free(&white);
    if (!good) return 0;
    for (long i = 0; i < (long)gray.h * gray.w; i++) gray.pixels[i] = (gray.pixels[i] + 1) / 2;
    free(picture->mask), free(gray.mask);
    picture->mask = gray.pixels;
    return 1;
}

/* The picture at the size of the result. Its mask gets back an edge about one pixel wide. */
static int set_size(Photo *p) {
    Image *x = &p->picture;
    int longer = x->h > x->w ? x->h : x->w, want = opt.size ? opt.size : longer < 128 ? 256 : longer;
    p->by = (double)want / longer;
    int h = (int)fmax(1, lround(x->h * p->by)), w = (int)fmax(1, lround(x->w * p->by));
    if (!resize_in_steps(x, h, w, 2)) return 0;
    for (long i = 0; x->mask && i < (long)h * w; i++)           /* rounding may have passed 1, too */
        x->mask[i] = fminf(fmaxf((x->mask[i] - .5f) * (float)fmax(p->by, 1) + .5f, 0), 1);
    return 1;
}

/* A picture of a set brings a mask of its own, wide by a pixel, and keeps it where a finer one has
 * taken white cloth for background. */
static int find_garment(Photo *p) {
    Image *x = &p->picture;
    float *own = p->from->path || *opt.mask ? NULL : x->mask;
    double fine = 0, wide = 0;
    if (own) x->mask = NULL;
    p->mask = image_garment_mask(x);
    for (long i = 0; p->mask && own && i < (long)x->h * x->w; i++) fine += x->mask[i], wide += own[i];
    if (fine < .95 * wide) {
        free(x->mask);
        x->mask = own, own = NULL, p->mask = OWN;
    }
    free(own);
    if (p->mask && *opt.mask) p->mask = GIVEN;
    if (p->mask && (p->mask == FOUND || !p->from->path) && p->by > 1)      /* the middle of a widened edge */
        return image_draw_in(x, (int)(p->by / 2));
    return p->mask;
}

static int open_photo(Photo *p, long i) {
    static const char *const where[] = { "", "what stands out from the background", "its own mask",
        "all of it: no mask, and no background of one colour", "--mask" };
    *p = (Photo){ .from = &run.garments.item[i] };
    if (!garments_load(&p->picture, &run.garments, i)) return 0;
    if ((*opt.mask && !read_mask(&p->picture, p->from->name)) || !set_size(p) || !find_garment(p)) return 0;
    printf("%s: %d x %d pixels; garment: %s\n", p->from->name, p->picture.w, p->picture.h, where[p->mask]);
    return show(&p->picture, 0, 0);
}

/* White around the garment; all: on it too, where a print is to cover it */
static void whiten(Image *x, int all) {
    for (long i = 0; i < 3L * x->h * x->w; i++) {
        float m = all ? 0 : x->mask[i / 3];
        x->pixels[i] = m * x->pixels[i] + 1 - m;
    }
}

/* The styles in the colours of --color-from, or of the picture (--preserve-color covariance); NULL:
 * no memory */
static const Image *coloured_styles(const Image *picture) {
    const Image *like = *opt.color_from ? &run.colors : picture;
    if (!*opt.color_from && opt.preserve_color != COVARIANCE) return run.pattern;
    for (int i = 0; i < opt.styles.count; i++) {
        image_free(&run.matched[i]);
        if (!image_copy(&run.matched[i], &run.pattern[i])) return NULL;
        colour_match(&run.matched[i], like);
    }
    return run.matched;
}

/* x: a copy of the photo's picture, which becomes the result */
static int repaint(Image *x, const Photo *p) {
    int styled = run.method & STYLED, patches = run.method == PATCHES, all = run.method & (GRAM | ADAIN);
    int masked = p->mask == OWN || p->mask == GIVEN, unpaired = run.generator.kind != GENERATOR_STYLE;
    int prints = opt.mode == PRINT || (opt.mode == AUTO && p->mask != NONE);
    int white = opt.white || (!p->from->path && (styled || !unpaired)) || (p->mask == OWN && (styled || !unpaired));
    Image print = { 0 };
    Cutout cut;
    if (styled && white) whiten(x, 0);
    for (long i = 0; styled && !prints && !masked && i < (long)x->h * x->w; i++) x->mask[i] = 1;
    const Image *style = coloured_styles(x);
    if (!style) return 0;
    if (!cutout_take(&cut, x, patches ? PATCHES_MARGIN : all ? CUTOUT_ALL : 0,
                     patches ? PATCHES_SMALLEST : 1, patches ? 0 : (int)ceil(fmax(p->by, 1))))
        return fail("%s: %s", p->from->name, error_text());
    int good = paint_often(&print, &cut, style, prints);
    if (!styled && white) whiten(x, 1);
    double shade = patches ? (prints || given("--shade") ? opt.shade : 0) : styled || unpaired ? 0 : opt.shade;
    if (good) image_lay_print(x, &print, &cut.tones, cut.top, cut.left, shade);
    image_free(&print), cutout_free(&cut);
    if (good && opt.preserve_color == LUMINANCE) colour_keep_luminance(x, &p->picture);
    return good;
}

/* ---- the program ---------------------------------------------------------------------------- */

static void usage(const char *what) { die(2, "%s; see --help", what); }

static void check_method(void) {
    int styles = opt.styles.count;
    if (!*opt.generator && !styles)
        usage("--style is missing: a picture (or --generator: a run's folder, made by ./train --recipe "
              "style)");
    if (!given("--method")) opt.method = !*opt.generator ? 0 : styles ? 3 : 2;
    run.method = 1u << opt.method;
    if (!(run.method & (GENERATOR | ADAIN)) != !*opt.generator || (run.method != GENERATOR) != (styles > 0))
        usage("--method: patches and gram need --style, generator needs --generator, adain needs both");
    const Option *unused = option_not_for(table, run.method);
    char all[64];
    if (unused) {
        strcpy(all, method_names(unused->jobs));
        die(2, "%s is not used by --method %s, only by %s; see --help", unused->name,
            method_names(run.method), all);
    }
    for (int i = 0; i < styles; i++) run.pairs |= is_folder(opt.styles.item[i]);
    if (run.pairs && (styles > 1 || *opt.style_weights))
        usage("--style: the pictures of a folder are not mixed: expected no other --style beside it, and "
              "no --style-weights");
    if (!styles && opt.preserve_color == COVARIANCE)
        usage("--preserve-color covariance is for the colours of a --style, a generator learned its own");
    if (*opt.color_from && opt.preserve_color)
        usage("--color-from and --preserve-color: expected one of them");
}

static void check_files(void) {
    const char *const paths[] = { opt.generator, opt.content, opt.output, opt.sheet };
    int kind = picture_kind(opt.sheet);
    if (*opt.data_dir && strncmp(opt.content, "fashion-mnist:", 14))
        usage("--data-dir is where --content fashion-mnist:N lies, not other pictures");
    if (!*opt.content) usage("--content is missing: a picture, a folder, fashion-mnist:17 or synthetic:5");
    if (!*opt.output && !*opt.sheet)
        usage("--output is missing: the .png or .jpg file to write, or a folder");
    if (*opt.sheet && (!kind || kind > 3)) usage("--sheet: expected a name that ends in .png or .jpg");
    if (!strcmp(opt.sheet, opt.output)) usage("--sheet and --output: expected two names");
    for (int i = 0; i < 4; i++)
        if (strlen(paths[i]) > 3900) usage("a path is too long");
}

/* Of gram. Those that come with the program lie beside it, also if it is called by a link or PATH */
static int open_features(const char *argv0) {
    static char own[4200];
    char *path = realpath("/proc/self/exe", NULL);
    const char *self = path ? path : argv0, *slash = strrchr(self, '/');
    snprintf(own, sizeof own, "%.*sstyle/features.safetensors", slash ? (int)(slash - self) + 1 : 0, self);
    free(path);
    if (!*opt.features) opt.features = access(own, R_OK) ? "random" : own;
    if (strcmp(opt.features, "random") && (run.vgg = features_open(&run.weights, opt.features)) < 0) return 0;
    if (run.weights.count && strcmp(opt.init, "noise") && given("--seed"))
        usage("--seed changes nothing where nothing is drawn: omit it, or draw the start (--init noise) "
              "or the features (--features random)");
    if (!run.vgg && given("--pooling"))
        usage("--pooling is that of VGG's features: omit it, or give VGG's weights as --features");
    return 1;
}

static int open_style(int i, const char *path) {
    image_free(&run.pattern[i]);
    return image_load(&run.pattern[i], path);
}
static int open_styles(void) {
    const char *at = opt.style_weights;
    for (int i = 0, last = opt.styles.count - 1; i <= last; i++) {
        char *end = (char *)(uintptr_t)at;
        if (!run.pairs && !open_style(i, opt.styles.item[i])) return 0;
        run.share[i] = *opt.style_weights ? strtod(at, &end) : 1;
        if (*opt.style_weights &&
            (end == at || !(run.share[i] > 0 && run.share[i] <= 1e6) || *end != (i < last ? ',' : 0)))
            return fail("--style-weights %s: expected %d numbers above 0, with commas between",
                        opt.style_weights, last + 1);
        at = end + 1;
    }
    return !*opt.color_from || image_load(&run.colors, opt.color_from);
}

static int open_generator(void) {
    Generator *g = &run.generator;
    g->ops = run.ops, g->tile = opt.tile, g->seed = opt.seed, g->scale = opt.scale, g->alpha = opt.alpha;
    g->progress = generator_progress;
    if (!generator_open(g, opt.generator, opt.features, opt.styles.count)) return 0;
    int unpaired = g->kind == GENERATOR_CYCLEGAN || g->kind == GENERATOR_PATTERN;
    const char *idle = unpaired && given("--shade") ? "--shade"
                     : g->kind == GENERATOR_CYCLEGAN && given("--seed") ? "--seed" : NULL;
    if (idle)
        die(2, "%s is not used by a generator of --recipe %s: omit it", idle,
            st_meta(&g->checkpoint, "recipe"));
    return 1;
}

static int open_all(const char *argv0) {
    return (run.method != GRAM || open_features(argv0))
        && (!run.pairs || garments_list_styles(&run.styles, opt.styles.item[0], opt.output))
        && open_styles() && (!*opt.generator || open_generator())
        && garments_list(&run.garments, opt.content, opt.output, opt.data_dir)
        && garments_names_differ(&run.garments, &run.styles);
}

/* May `path` be written? Not where it is one of the files that are read. garment: one of them, or NULL */
static int safe(const char *path, const char *option, const char *garment) {
    const struct { const char *path, *name; } input[] = { { garment ? garment : "", "--content" },
        { opt.mask, "--mask" }, { opt.color_from, "--color-from" }, { opt.init, "--init" },
        { opt.features, "--features" }, { run.generator.path, "--generator" } };
    const char *taken = NULL;
    for (int i = 0; i < 6; i++) if (same_file(input[i].path, path)) taken = input[i].name;
    for (int i = 0; i < opt.styles.count; i++) if (same_file(opt.styles.item[i], path)) taken = "--style";
    for (long i = 0; i < run.styles.count; i++)
        if (same_file(run.styles.item[i].path, path)) taken = "--style";
    if (taken)
        return fail("%s: %s would overwrite the file of %s, choose another", path, option, taken);
    return 1;
}

/* Can a file be written there? Asked before the work begins. */
static int writable(const char *path, const char *option) {
    char folder[4200];
    const char *slash = strrchr(path, '/');
    if (strlen(slash ? slash + 1 : path) > 230)
        return fail("%s: %s: its name has more than 230 letters, choose a shorter one", option, path);
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    if (!*path || !access(folder, W_OK | X_OK)) return 1;
    return fail("%s: %s: expected a folder to write into, choose another %s", path, strerror(errno), option);
}

/* Whether results go into a folder: 0, 1; -1 after an error */
static int plan_output(void) {
    int several = run.garments.count > 1 || is_folder(opt.content) || run.pairs, there = is_folder(opt.output);
    int folder = *opt.output && (several || there), kind = there ? 0 : picture_kind(opt.output);
    if (several && kind)
        usage("--output: several results need a folder; --sheet is one picture of them all");
    if (*opt.output && !folder && (!kind || kind > 3))
        usage("--output: expected a name that ends in .png or .jpg");
    if (folder && ((mkdir(opt.output, 0777) && errno != EEXIST) || access(opt.output, W_OK | X_OK)))
        return fail("%s: %s: expected a folder to write into, choose another --output", opt.output,
                    strerror(errno)), -1;
    if ((!folder && !writable(opt.output, "--output")) || !writable(opt.sheet, "--sheet")) return -1;
    for (long i = 0; i < run.garments.count; i++)
        if (!safe(opt.sheet, "--sheet", run.garments.item[i].path)) return -1;
    return open_sheet() ? folder : -1;
}

/* The photo, in style k of the folder if there is one */
static int transfer(const Photo *p, long k, int folder) {
    const Garment *style = run.pairs ? &run.styles.item[k] : NULL;
    char to[12600];
    Image x;
    snprintf(to, sizeof to, folder ? "%s/%s%s%s.png" : "%s", opt.output, p->from->name, style ? "-" : "",
             style ? style->name : "");
    if (!safe(to, "--output", p->from->path) || (style && !open_style(0, style->path))) return 0;
    int good = (!opt.styles.count || show(&run.pattern[0], run.pairs, k + 1))
            && image_copy(&x, &p->picture);
    if (!good) return 0;
    good = repaint(&x, p) && show(&x, 0, run.pairs ? k + 1 : sheet.cells - 1)
        && (!*to || image_save(&x, to));
    image_free(&x);
    if (good && *to) printf("%s\n", to);
    return good;
}

/* Returns how many results there are */
static long transfer_all(int folder) {
    long done = 0;
    for (long i = 0; i < run.garments.count; i++) {
        long before = done;
        Photo p;
        if (open_photo(&p, i))
            for (long k = 0; k < (run.pairs ? run.styles.count : 1); k++)
                done += transfer(&p, k, folder) || say("%s", error_text());
        else say("%s", error_text());
        image_free(&p.picture);
        sheet.rows += done > before && sheet.rows < LINES * sheet.across;
    }
    return done;
}

int main(int argc, char **argv) {
    patient_threads(argv);
    error_program("transfer", 0, NULL);
    options_parse(table, argc, argv);
    if (opt.help) return print_help(), 0;
    check_method();
    check_files();
    if (!(run.ops = device_open(opt.device, opt.precision))) usage(error_text());
#ifdef _OPENMP
    if (opt.threads) omp_set_num_threads(opt.threads);
#endif
    must(open_all(argv[0]));
    int folder = plan_output();
    must(folder >= 0);
    long done = transfer_all(folder);
    if (!done && (folder || run.garments.count > 1))
        say("%s: none of the %ld garments could be painted", opt.content, run.garments.count);
    if (done && *opt.sheet) {
        must(!same_file(opt.sheet, opt.output) || fail("%s: --sheet would overwrite --output, choose "
                                                       "another", opt.sheet));
        must(save_sheet());
    }
    return done ? 0 : 1;
}
