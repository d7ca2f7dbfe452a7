/* transfer.c: the program `transfer`: pictures repainted in a style, garments printed.
 *
 * The walk of one picture:
 *   load it -> mask: where is the garment? -> cut it out, with its tones (style/cutout.h)
 *   -> the style in the colours that were asked for -> --method paints a print for the cut-out:
 *        patches: from the style's own patches (style/patches.h)
 *        gram: optimised until a network's features look like the style's (style/gram.h)
 *        generator, adain: by a network that ./train has trained (style/generator.h)
 *   -> laid on the picture where the mask is, with folds and shadows
 *   -> the picture's own colours again, if they were asked for.
 * Around it: the options (style/job.h), a list of garments (style/garments.h), each with every
 * style of a folder, and a contact sheet of what became of them. Or --method draw: new pictures out
 * of noise (style/draw.h).
 * Exit status: 0 done, 1 bad input (of several garments: at least one failed; the others are
 * done), 2 usage. Files are written whole or not at all. */
#define _GNU_SOURCE
#include "style/draw.h"
#include "style/garments.h"
#include "style/generator.h"
#include "style/gram.h"
#include "style/job.h"
#include "style/patches.h"
#include "style/page.h"

/* ---- what the program holds ----------------------------------------------------------------- */

static struct {
    const Ops *ops;
    int several, folder;                /* are there several results? are they in a folder? */
    int sheet_is_a_result;              /* --sheet names one of them */
    GarmentList garments, styles, results;      /* styles: of that folder; results: their names */
    Image pattern[OPTION_LIST], matched[OPTION_LIST];   /* styles, and in the colours asked for */
    Image colors;                       /* of --color-from */
    const char *style_path[OPTION_LIST];
    double share[GENERATOR_STYLES];
    int first, mixed;                   /* this print's styles: first .. first + mixed - 1 */
    StFile weights;                     /* of gram's features, if they are not random; */
    int vgg;                            /* 16 or 19 if they are VGG's */
    Generator generator;
    Draw drawn;
    Sheet sheet;
    double began;                       /* when painting did */
} run;

/* on a terminal: what is done, and how long the rest will take at this rate */
static void show_progress(double fraction, const char *what) {
    double left = (now() - run.began) * (1 - fraction) / fmax(fraction, 1e-9);
    if (!progress_on_terminal()) return;
    if (fraction >= 1) progress_line("%s", "");
    else progress_line("  %3.0f%%, %.0f:%02.0f left%s", 100 * fraction, floor(left / 60),
                       floor(fmod(left, 60)), what);
}
static void paint_progress(double fraction) { show_progress(fraction, ""); }

/* ---- painters: each makes a print for the cut-out ------------------------------------------- */

static void tell_work(const char *what, const Image *part, double bytes) {
    printf("%s %d x %d pixels in %.0f MB on %s\n", what, part->w, part->h, bytes / 1e6,
           device_name(run.ops));
    fflush(stdout);
}

static int paint_patches(Image *print, const Cutout *cut, const Styles *styles, int prints) {
    PatchesOptions o = patches_default(prints ? PATCHES_PRINT : PATCHES_PAINT);
    double have = device_free_bytes(run.ops);
    o.content_weight = chosen("--content-weight", o.content_weight);
    o.detail = chosen("--detail", o.detail);
    if (opt.scale > 0) o.style_scale = opt.scale;
    if (have > 0) o.memory = have;
    o.seed = opt.seed, o.progress = paint_progress;
    tell_work(prints ? "printing" : "painting", &cut->part,
              patches_bytes(cut->part.h, cut->part.w, styles, &o, run.ops));
    return patches_transfer(print, cut, styles, &o, run.ops);
}

/* The last step, when it was, the least seconds of a step in the last level; 0: none yet */
static struct { GramStep last; double when, least; } gram_watch;

static void gram_progress(const GramStep *step) {
    const GramStep *last = &gram_watch.last;
    char what[60];
    double time = now(), each = (time - gram_watch.when) / (step->number - last->number);
    if (step->level != last->level) gram_watch.least = 0;
    else if (step->number > last->number && !(gram_watch.least > 0 && gram_watch.least < each))
        gram_watch.least = each;
    gram_watch.last = *step, gram_watch.when = time;
    snprintf(what, sizeof what, ", %d x %d, loss %.4f", step->w, step->h, step->total);
    show_progress(step->fraction, what);
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
    o.weights = run.weights.count ? &run.weights : NULL, o.pooling = opt.pooling;
    o.noise = !strcmp(opt.init, "noise"), o.start = start->pixels ? start : NULL;
    o.optimizer = opt.optimizer, o.seed = opt.seed, o.progress = gram_progress;
    return o;
}

static int paint_gram(Image *print, const Image *part, const Styles *styles) {
    Image start = { 0 };
    if (strcmp(opt.init, "content") && strcmp(opt.init, "noise") && !image_load(&start, opt.init))
        return 0;
    GramOptions o = gram_options(&start);
    memset(&gram_watch, 0, sizeof gram_watch);
    double have = device_free_bytes(run.ops);
    double need = gram_bytes(part, styles, &o, run.ops);
    int good = need > 0;
    if (have > 0 && need > have)
        good = fail("optimising %d x %d pixels takes %.0f MB of memory, %.0f MB are free: give a "
                    "smaller --size", part->w, part->h, need / 1e6, have / 1e6);
    if (good) tell_work("optimising", part, need);
    good = good && gram_transfer(print, part, styles, &o, run.ops);
    image_free(&start);
    show_progress(1, "");
    if (!good) return 0;
    const GramStep *last = &gram_watch.last;
    printf("loss %.4f: content %.4f, total variation %.4f, style", last->total, last->content,
           last->tv);
    for (int i = 0; i < last->layers; i++) printf(" %s %.4f", last->layer[i], last->style[i]);
    printf("\n");
    if (opt.benchmark && gram_watch.least > 0)
        printf("benchmark: %.4g s a step of %d x %d pixels\n", gram_watch.least, last->w, last->h);
    return 1;
}

/* print: empty. --benchmark: three prints, all alike, and the best time */
static int paint(Image *print, const Cutout *cut, const Styles *styles, int prints) {
    int good = 1, times = opt.benchmark && opt.job != GRAM ? 3 : 1;
    double least = INFINITY;
    for (int i = 0; good && i < times; i++) {
        image_free(print);
        run.began = now();
        good = opt.job == PATCHES ? paint_patches(print, cut, styles, prints)
             : opt.job == GRAM ? paint_gram(print, &cut->part, styles)
                               : generator_print(&run.generator, print, cut, styles);
        least = fmin(least, now() - run.began);
    }
    if (good && times > 1)
        printf("benchmark: %.4g s a picture of %d x %d pixels, the best of %d\n", least,
               cut->part.w, cut->part.h, times);
    return good;
}

/* ---- the sheet ------------------------------------------------------------------------------ */

/* The options that made the sheet, in lines of `width` letters; returns how many lines */
static int write_caption(char caption[SHEET_CAPTION], int width) {
    static const char unseen[] =
        "--pattern-from --content --output --sheet --benchmark --threads --data-dir";
    int column = width + 1, lines = 0, kind = run.generator.kind;
    /* does the picture follow from the seed, whatever else was given? */
    int draws = opt.job == PATCHES || (opt.job == GENERATOR && kind != GENERATOR_CYCLEGAN);
    *caption = 0;
    for (const Option *o = table; o->name; o++) {
        const OptionList *list = o->kind == OPTION_TEXTS ? o->value : NULL;
        int count = list ? list->count : o->given;
        if (o->value == &opt.method || (o->value == &opt.seed && draws)) count = 1;
        for (int i = 0; i < count && !strstr(unseen, o->name); i++) {
            char number[64], word[600];
            const char *value = list ? list->item[i] : option_text(o, number);
            const char *slash = strrchr(value, '/');
            int length = snprintf(word, sizeof word, "%s %.500s", o->name,
                                  slash && slash[1] ? slash + 1 : value);
            int wrap = column + length > width;
            size_t end = strlen(caption);
            snprintf(caption + end, SHEET_CAPTION - end, "%s%s",
                     !end ? "" : wrap ? "\n" : "  ", word);
            column = (wrap ? 0 : column) + length + 2, lines += wrap;
        }
    }
    return lines;
}

static int save_sheet(void) {
    char caption[SHEET_CAPTION];
    Sheet *s = &run.sheet;
    int lines = write_caption(caption, sheet_letters(s)), styles = s->cells - 1;
    int shown = s->rows - s->head;
    if (!sheet_save(s, opt.sheet, caption, lines)) return 0;
    if (opt.pairs) tell("%s: %d garments, %d styles", opt.sheet, shown, styles);
    else tell("%s: %d garments", opt.sheet, shown);
    if (opt.pairs && styles < run.styles.count)
        tell("%s: %ld styles are left out, there is room for %d", opt.sheet,
             run.styles.count - styles, SHEET_COLUMNS);
    if (sheet_full(s) && shown < run.garments.count)
        tell("%s: the other garments are left out, there is room for %d", opt.sheet, shown);
    return 1;
}

/* ---- one garment ---------------------------------------------------------------------------- */

/* This print's styles in the colours of --color-from, or of the picture (--preserve-color
 * covariance). 0: no memory */
static int ready_styles(const Image *picture, const double ground[3], int clear) {
    const Image *like = *opt.color_from ? &run.colors
                      : opt.preserve_color == COVARIANCE ? picture : NULL;
    for (int i = run.first; i < run.first + run.mixed; i++) {
        image_free(&run.matched[i]);
        if (!image_copy(&run.matched[i], &run.pattern[i])) return 0;
        if (like) colour_match(&run.matched[i], like);
        if (run.matched[i].mask && !clear)
            tell("%s: its transparent ground is painted white", run.style_path[i]);
        lay_on_ground(&run.matched[i], ground, clear);
    }
    return 1;
}

/* x: a copy of the photo's picture, which becomes the result; white: around the garment */
static int repaint(Image *x, const Photo *p, int white) {
    int styled = opt.job & STYLED, patches = opt.job == PATCHES;
    int adds = generator_repaints(&run.generator);
    int masked = p->mask == PHOTO_OWN || p->mask == PHOTO_GIVEN;
    int prints = opt.mode == PRINT || (opt.mode == AUTO && p->mask != PHOTO_NONE);
    int flat = patches ? !prints && !given("--shade") : styled || adds;
    double ground[3] = { 1, 1, 1 }, spread[9];
    if (styled && white) image_whiten(x, 0);
    for (long i = 0; styled && !prints && !masked && i < x->h * x->w; i++) x->mask[i] = 1;
    int margin = patches ? PATCHES_MARGIN : styled ? CUTOUT_ALL : 0;
    int least = patches ? PATCHES_SMALLEST : 1, rim = patches ? 0 : ceil(fmax(p->by, 1));
    if (patches && prints) colour_statistics(ground, spread, x, NULL, 1);
    Styles styles = { run.matched + run.first, run.share + run.first, run.mixed };
    Image print = { 0 };
    Cutout cut;
    if (!ready_styles(x, ground, patches && prints)) return 0;
    int good = (cutout_take(&cut, x, margin, least, rim) && paint(&print, &cut, &styles, prints))
            || fail("%s: %s", p->from->name, error_text());
    if (!styled && white) image_whiten(x, 1);
    if (!patches) free(print.mask), print.mask = NULL;  /* the picture's */
    take_off_ground(&print, ground);
    if (good) image_lay_print(x, &print, &cut.tones, cut.top, cut.left, flat ? 0 : opt.shade);
    image_free(&print), cutout_free(&cut);
    if (good && opt.preserve_color == LUMINANCE) colour_keep_luminance(x, &p->picture);
    return good;
}

/* The prints of a picture one after the other, each with the styles that follow its mask. What is
 * white around several is so around them all. */
static int repaint_all(Image *x, const Photo *p) {
    int alone = !p->from->path || p->mask == PHOTO_OWN;
    int white = opt.white || (alone && !generator_repaints(&run.generator));
    size_t n = x->h * x->w;
    Image all;
    run.first = 0, run.mixed = opt.styles.count;
    if (opt.masks.count < 2) return repaint(x, p, white);
    int good = image_new(&all, x->h, x->w, 1);
    for (int k = 0; good && k < opt.masks.count; k++, run.first += run.mixed) {
        Photo q;
        run.mixed = styles_behind(k, run.first);
        good = photo_open(&q, &run.garments, p->from - run.garments.item, opt.size,
                          opt.masks.item[k]);
        if (good) memcpy(x->mask, q.picture.mask, n * sizeof *x->mask);
        good = good && repaint(x, &q, 0);
        for (size_t i = 0; good && i < n; i++)
            all.pixels[i] = fmaxf(all.pixels[i], q.picture.mask[i]);
        photo_close(&q);
    }
    if (good) memcpy(x->mask, all.pixels, n * sizeof *x->mask);
    if (good && white) image_whiten(x, 0);
    image_free(&all);
    return good;
}

/* ---- the program ---------------------------------------------------------------------------- */

/* Of gram. Its own lie beside the program, even if that is called by a link or through PATH */
static int open_features(const char *program) {
    static char own[4200];
    if (readlink("/proc/self/exe", own, 4000) < 0) snprintf(own, 4000, "%s", program);
    char *slash = strrchr(own, '/');
    strcpy(slash ? slash + 1 : own, "style/features.safetensors");
    if (!*opt.features && access(own, R_OK))
        return fail("%s: %s: expected gram's features beside the program: copy them there, or give "
                    "--features: their file, VGG's weights, or random", own, strerror(errno));
    if (!*opt.features) opt.features = own;
    int random = !strcmp(opt.features, "random");
    if (!random && (run.vgg = features_open(&run.weights, opt.features)) < 0) return 0;
    if (!random && strcmp(opt.init, "noise") && given("--seed"))
        die(2, "--seed changes nothing where nothing is drawn: omit it, or draw the start (--init "
            "noise) or the features (--features random); see --help");
    if (!run.vgg && given("--pooling"))
        die(2, "--pooling is that of VGG's features: omit it, or give VGG's weights as --features; "
            "see --help");
    return 1;
}

/* What is transparent in it has the motif's colours, not yet mixed with those of a ground */
static int open_style(int i, const char *path) {
    static const double white[3] = { 1, 1, 1 };
    Image *x = &run.pattern[i];
    int top, left, bottom = 1, right;
    image_free(x);
    if (!image_load(x, run.style_path[i] = path)) return 0;
    if (x->mask) image_mask_box(&top, &left, &bottom, &right, x);
    if (!bottom) tell("%s: all of it is transparent: it prints nothing", path);
    if (opt.job == PATCHES && fmin(x->h, x->w) < PATCHES_SMALLEST)
        return fail("%s: %d x %d pixels, expected at least 16 x 16 of a style", path, x->w, x->h);
    take_off_ground(x, white);
    return 1;
}
/* --style-weights, of `count` styles; those of cloth may be 0, and without it the first has all */
static int take_shares(int count, int cloth) {
    const char *at = opt.style_weights;
    double all = 0;
    for (int i = 0; i < count; i++) {
        char *end = NULL;
        run.share[i] = *opt.style_weights ? strtod(at, &end) : !cloth || !i;
        if (end && (end == at || !(run.share[i] > 0 || (cloth && run.share[i] == 0)) ||
                    run.share[i] > 1e6 || *end != (i < count - 1 ? ',' : 0)))
            return fail("--style-weights %s: expected %d numbers %s 0, with commas between",
                        opt.style_weights, count, cloth ? "from" : "above");
        if (end) at = end + 1;
        all += run.share[i];
    }
    for (int i = 0; i < count && cloth; i++) run.share[i] /= all;
    return !count || all > 0 || fail("--style-weights %s: expected one above 0", opt.style_weights);
}
static int open_styles(void) {
    for (int i = 0; i < opt.styles.count; i++)
        if (!opt.pairs && !open_style(i, opt.styles.item[i])) return 0;
    return take_shares(opt.styles.count, 0)
        && (!*opt.color_from || image_load(&run.colors, opt.color_from));
}

static int open_generator(void) {
    Generator *g = &run.generator;
    g->ops = run.ops, g->tile = opt.tile, g->seed = opt.seed, g->scale = opt.scale;
    g->alpha = opt.alpha, g->progress = paint_progress;
    if (!generator_open(g, opt.generator, opt.features, opt.styles.count)) return 0;
    const char *idle = generator_repaints(g) && given("--shade") ? "--shade"
                     : g->kind == GENERATOR_CYCLEGAN && given("--seed") ? "--seed"
                     : g->kind != GENERATOR_ADAIN && g->classes == 1 && given("--style-weights")
                     ? "--style-weights" : NULL;
    if (idle)
        die(2, "%s is not used by a generator of --recipe %s: omit it", idle,
            st_meta(&g->checkpoint, "recipe"));
    if (g->kind != GENERATOR_CLOTH) return 1;
    g->share = run.share;
    return take_shares(g->classes, 1);
}

static int open_inputs(const char *program) {
    return (opt.job != GRAM || open_features(program))
        && (!opt.pairs || garments_folder(&run.styles, opt.styles.item[0], opt.output, 1))
        && open_styles() && (!*opt.generator || open_generator())
        && garments_list(&run.garments, opt.content, opt.output, opt.data_dir);
}

/* May `path` be written? Not where it is a file that is read. */
static int safe(const char *path, const char *option) {
    const char *taken = NULL;
    if (same_file(run.generator.path, path) || same_file(run.drawn.path, path))
        taken = "--generator";
    for (long i = 0; i < run.styles.count; i++)
        if (same_file(run.styles.item[i].path, path)) taken = "--style";
    for (long i = 0; i < run.garments.count && !access(path, F_OK); i++)
        if (run.garments.item[i].path && same_file(run.garments.item[i].path, path))
            taken = "--content";
    for (const Option *o = table; o->name && !taken; o++) {
        const OptionList *list = o->kind == OPTION_TEXTS ? o->value : NULL;
        const char *const *file = list ? list->item : o->value;
        int reads = o->kind == OPTION_TEXT && o->value != &opt.output && o->value != &opt.sheet;
        for (int i = 0; i < (list ? list->count : reads); i++)
            if (same_file(file[i], path)) taken = o->name;
    }
    if (!taken) return 1;
    return fail("%s: %s would overwrite the file of %s, choose another", path, option, taken);
}

static void die_without_folder(void) {
    die(2, "--output: several results need a folder, --sheet is one picture of all; see --help");
}
static int make_folder(void) {
    return folder_make(opt.output) || fail("--output %s, choose another folder", error_text());
}

static int plan_outputs(void) {
    int there = is_folder(opt.output), kind = there ? 0 : picture_kind(opt.output);
    run.several = run.garments.count > 1 || is_folder(opt.content) || opt.pairs;
    run.folder = *opt.output && (run.several || there);
    if (run.several && kind) die_without_folder();
    if (*opt.output && !run.folder && !kind)
        die(2, "--output: expected a name that ends in .png or .jpg; see --help");
    sheet_begin(&run.sheet, run.garments.count, opt.styles.count, run.styles.count);
    return (run.folder ? make_folder() : file_writable(opt.output, "--output"))
        && file_writable(opt.sheet, "--sheet") && safe(opt.sheet, "--sheet");
}

static int show(const Image *picture, int head, long column) {
    return !*opt.sheet || sheet_show(&run.sheet, picture, head, column);
}

/* A PNG keeps the transparency that its picture came with */
static int save(Image *x, const char *path, const Photo *p) {
    if (!p->alpha.pixels || opt.white || picture_kind(path) != 1) return image_save(x, path);
    memcpy(x->mask, p->alpha.pixels, x->h * x->w * sizeof *x->mask);
    return image_save_cutout(x, path);
}

/* The photo, in style k of the folder if there is one */
static int transfer(const Photo *p, long k) {
    const Garment *style = opt.pairs ? &run.styles.item[k] : NULL;
    char to[9000];
    Image x;
    snprintf(to, sizeof to, "%s%s%s", p->from->name, style ? "-" : "", style ? style->name : "");
    if (!garments_add(&run.results, NULL, to, 0)) return 0;
    snprintf(to, sizeof to, run.folder ? "%s/%s.png" : "%s", opt.output,
             run.results.item[run.results.count - 1].name);
    if (!safe(to, "--output") || (style && !open_style(0, style->path))) return 0;
    if ((opt.styles.count && !show(&run.pattern[0], opt.pairs, k + 1)) ||
        !image_copy(&x, &p->picture)) return 0;
    int good = repaint_all(&x, p) && show(&x, 0, opt.pairs ? k + 1 : run.sheet.cells - 1)
            && (!*to || save(&x, to, p));
    image_free(&x);
    if (good && *to) tell("%s", to);
    run.sheet_is_a_result |= same_file(opt.sheet, to);
    return good;
}

/* Returns how many results there are */
static long transfer_all(void) {
    const char *mask = opt.masks.count ? opt.masks.item[0] : "";
    long done = 0;
    for (long i = 0; i < run.garments.count; i++) {
        long before = done, styles = opt.pairs ? run.styles.count : 1;
        Photo p;
        int good = (photo_open(&p, &run.garments, i, opt.size, mask) && show(&p.picture, 0, 0))
                || say("%s", error_text());
        for (long k = 0; good && k < styles; k++)
            done += transfer(&p, k) || say("%s", error_text());
        photo_close(&p);
        if (done > before) sheet_next(&run.sheet);
    }
    return done;
}

/* New pictures: in a folder and on a sheet, or the sheet alone */
static int draw(void) {
    Draw *d = &run.drawn;
    int folder = is_folder(opt.output) || (*opt.output && !picture_kind(opt.output));
    const char *option = *opt.sheet ? "--sheet" : "--output";
    char sheet[4300];
    if (!folder && *opt.output && *opt.sheet) die_without_folder();
    snprintf(sheet, sizeof sheet, "%s%s", *opt.sheet ? opt.sheet : opt.output,
             folder && !*opt.sheet ? "/sheet.png" : "");
    d->ops = run.ops, d->count = opt.count, d->seed[0] = opt.seed;
    return draw_open(d, opt.generator, opt.classes, opt.interpolate)
        && (!folder || make_folder()) && file_writable(sheet, option) && safe(sheet, option)
        && draw_all(d, folder ? opt.output : "", sheet);
}

/* Cloth that repeats, alone */
static int weave(void) {
    Image cloth = { 0 };
    run.generator.repeats = 1;
    int done = open_generator() && file_writable(opt.output, "--output")
        && safe(opt.output, "--output")
        && (run.generator.kind == GENERATOR_CLOTH
            || fail("%s: --repeat is for runs of --recipe cloth", opt.generator))
        && generator_weave(&run.generator, &cloth, opt.repeat, opt.repeat)
        && image_save(&cloth, opt.output) && (tell("%s", opt.output), 1);
    image_free(&cloth);
    return done;
}

static void report_files(const GarmentList *list, const char *option) {
    if (list->left_out)
        say("%s: %ld file%s left out, the first: %s", option, list->left_out,
            list->left_out > 1 ? "s" : "", list->first);
    if (list->damaged)
        say("%s: %ld picture%s could not be read", option, list->damaged,
            list->damaged > 1 ? "s" : "");
}

int main(int argc, char **argv) {
    program_begin(argv);
    error_program("transfer", 0, NULL);
    options_parse(table, argc, argv);
    if (opt.help) return print_help(), 0;
    check_options();
    if (!(run.ops = device_open(opt.device, opt.precision))) die(2, "%s; see --help", error_text());
    if (opt.threads) device_threads(opt.threads);
    if (opt.job == DRAW) return must(draw()), 0;
    if (opt.repeat) return must(weave()), 0;
    must(open_inputs(argv[0]));
    must(plan_outputs());
    long done = transfer_all(), all = run.garments.count * (opt.pairs ? run.styles.count : 1);
    if (run.sheet_is_a_result)
        die(1, "%s: --sheet would overwrite --output, choose another", opt.sheet);
    must(!done || !*opt.sheet || save_sheet());
    report_files(&run.styles, "--style"), report_files(&run.garments, "--content");
    if (run.several && done < all)
        say("%s: %ld of %ld results failed", opt.content, all - done, all);
    return done < all || run.styles.damaged;
}
