/* train.c: the program `train`: options, data, the training loop, and the folder that a run leaves behind.
 *
 *   runs/NAME/options.txt   every option in force, defaults marked      log.csv        a line per step
 *   samples/step-000500.png samples.png (the newest)   losses.png       checkpoint.safetensors      report.html
 *
 * The walk: options -> data set -> networks -> per step: a batch of pictures -> gan_step -> log; now and then a sample sheet
 * and a checkpoint. Exit status: 0 done, 1 bad input or failed training, 2 usage, 130 stopped by Ctrl-C (with a checkpoint). */
#define _GNU_SOURCE
#define IMAGES_IMPLEMENTATION
#include "core/device.h"
#include "gan.h"
#include "images/images.h"
#include "core/options.h"
#include "training/report.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

/* ---------------------------------------------------------------------------------------------------------- options */

static const char *body, *classes, *data_b, *schedule, *init_from, *recipe_name, *data, *style, *out, *device, *precision, *augment, *resume, *data_dir, *features;
static long critic, steps, whole_batch, batch, size, sample_every, checkpoint_every, log_every, threads, seed, limit;
static double cycle_weight, identity_weight, kl_weight, penalty_weight, weight_clip, smoothing, weight_decay, diversity, average, epochs, minutes, lr, lr_d, beta1, beta2, content_weight, style_weight, tv_weight, clip, style_scale;
static const char *evaluate, *classifier, *compress, *quantize;
static long samples;
static double prune;
static int sync_batchnorm, dry_run, overwrite, help;

static Option table[] = {
    TEXT_OPTION("--recipe", &recipe_name, "dcgan", 0, "what to train, see above"),
    TEXT_OPTION("--data", &data, "fashion-mnist", 0, "fashion-mnist[:train|:test][:plain|:patterned|:tinted], synthetic[:N], an IDX file (.gz too), or a folder"),
    TEXT_OPTION("--style", &style, "", 0, "a picture, a .pat pattern, a folder of them, or synthetic[:K]"),
    TEXT_OPTION("--out", &out, "", 0, "the run's folder (default runs/RECIPE)"),
    LONG_OPTION("--steps", &steps, NULL, 1, 1e9, 0, "training steps (default by recipe)"),
    REAL_OPTION("--epochs", &epochs, "0", 0, 1e6, 0, "instead of --steps: how often the data set's size in pictures is drawn"),
    REAL_OPTION("--minutes", &minutes, "0", 0, 1e6, 0, "stop after so many minutes if --steps are not done by then; 0: no limit"),
    LONG_OPTION("--batch", &whole_batch, NULL, 1, 4096, 0, "pictures per step, of all ranks together (default by recipe)"),
    FLAG_OPTION("--sync-batchnorm", &sync_batchnorm, 0, "several ranks: batch norm over the pictures of all of them"),
    LONG_OPTION("--size", &size, NULL, 8, 1024, 0, "height and width of the training pictures (default by recipe)"),
    REAL_OPTION("--lr", &lr, NULL, 1e-12, 1e6, 0, "Adam's learning rate (default by recipe)"),
    REAL_OPTION("--lr-d", &lr_d, NULL, 0, 1e6, 0, "the discriminator's own learning rate, 0: as --lr (default by recipe)"),
    REAL_OPTION("--beta1", &beta1, NULL, 0, 0.999999, 0, "Adam's first moment decay (default by recipe)"),
    REAL_OPTION("--beta2", &beta2, NULL, 0, 0.999999, 0, "Adam's second moment decay (default by recipe)"),
    REAL_OPTION("--content-weight", &content_weight, NULL, 0, 1e6, 0, "F9: keep the light and shade (style, pattern), the features (adain, vaegan), the picture (pix2pix)"),
    REAL_OPTION("--style-weight", &style_weight, NULL, 0, 1e6, 0, "F8: match the style's Gram matrices; adain: its means and deviations"),
    REAL_OPTION("--tv-weight", &tv_weight, NULL, 0, 1e6, 0, "F10, total variation"),
    REAL_OPTION("--style-scale", &style_scale, "1", 0.1, 32, 0, "above 1 shows more of the style picture, smaller"),
    TEXT_OPTION("--features", &features, "", 0, "style/features.safetensors, or VGG16's or VGG19's; without, random features"),
    REAL_OPTION("--clip", &clip, NULL, 0, 1e12, 0, "largest gradient norm, 0: no limit"),
    TEXT_OPTION("--data-b", &data_b, "fashion-mnist:patterned", 0, "what the pictures of --data are to become like"),
    REAL_OPTION("--cycle-weight", &cycle_weight, NULL, 0, 1e6, 0, "F15 (default by recipe)"),
    REAL_OPTION("--identity-weight", &identity_weight, NULL, 0, 1e6, 0, "F15 (default by recipe)"),
    REAL_OPTION("--kl-weight", &kl_weight, NULL, 0, 1e6, 0, "F14 (default by recipe)"),
    LONG_OPTION("--critic", &critic, NULL, 0, 100, 0, "updates of D for one of G (default by recipe)"),
    REAL_OPTION("--penalty-weight", &penalty_weight, NULL, 0, 1e6, 0, "F12, gradient penalty, 0: none (default by recipe)"),
    REAL_OPTION("--weight-clip", &weight_clip, NULL, 0, 1e6, 0, "F11, limit of D's weights, 0: none (default by recipe)"),
    REAL_OPTION("--smoothing", &smoothing, "0", 0, 0.999, 0, "one-sided label smoothing: D's target for a real picture is 1 - this"),
    REAL_OPTION("--weight-decay", &weight_decay, "0", 0, 1, 0, "L2: this times the weight is added to its gradient"),
    REAL_OPTION("--diversity", &diversity, NULL, 0, 1e6, 0, "reward for pictures that differ where the noise does (default by recipe)"),
    REAL_OPTION("--average", &average, "0", 0, 0.99999, 0, "pictures by a moving average of G's weights (EMA), such as 0.999; 0: by those of the last step"),
    TEXT_OPTION("--body", &body, "residual", 0, "blocks of the generators that repaint: residual, inception, separable"),
    TEXT_OPTION("--schedule", &schedule, "", 0, "of the rates: constant, linear (to 0 in the second half), cosine (default by recipe)"),
    TEXT_OPTION("--init-from", &init_from, "", 0, "first weights from another run of the same recipe (its folder or checkpoint)"),
    TEXT_OPTION("--augment", &augment, "none", 0, "all, none, or a list of rotation, shift, shear, zoom, flip (=range)"),
    TEXT_OPTION("--classes", &classes, "", 0, "only pictures of these classes, such as 0,3,6 (Fashion-MNIST: T-shirt, dress, shirt), of --data-b too\n"
      "                           where both are of Fashion-MNIST or synthetic; without: all"),
    LONG_OPTION("--limit", &limit, "0", 0, 1e9, 0, "use only the first N pictures of --data and of --data-b, of those classes; 0: all"),
    LONG_OPTION("--seed", &seed, "1", 0, 9007199254740992.0, 0, "all that is random follows from it"),
    TEXT_OPTION("--device", &device, "auto", 0, "cuda: an NVIDIA GPU; cpu; naive: the textbook loops; auto: cuda if there is one"),
    TEXT_OPTION("--precision", &precision, "float32", 0, "cuda's matrix products: float32; faster and coarser: tf32, bf16"),
    LONG_OPTION("--threads", &threads, "0", 0, 1024, 0, "OpenMP threads, 0: all; results do not depend on it"),
    LONG_OPTION("--sample-every", &sample_every, "100", 0, 1e9, 0, "steps between sample sheets, 0: only at the end"),
    LONG_OPTION("--checkpoint-every", &checkpoint_every, "250", 0, 1e9, 0, "steps between checkpoints, 0: only at the end"),
    LONG_OPTION("--log-every", &log_every, "25", 1, 1e9, 0, "steps between printed lines"),
    TEXT_OPTION("--resume", &resume, "", 0, "continue this run (its folder or checkpoint) with the options it had"),
    FLAG_OPTION("--overwrite", &overwrite, 0, "start anew in a folder that holds a run already"),
    FLAG_OPTION("--dry-run", &dry_run, 0, "two steps to see memory and speed; nothing is written"),
    TEXT_OPTION("--data-dir", &data_dir, "", 0, "where Fashion-MNIST lies (default /usr/share/datasets/fashion-mnist)"),
    TEXT_OPTION("--evaluate", &evaluate, "", 0, "measure this run (its folder, its checkpoint or a compressed file) in place of training"),
    TEXT_OPTION("--classifier", &classifier, "", 0, "a run of ./train --recipe classifier on the same data and size, which --evaluate judges by"),
    LONG_OPTION("--samples", &samples, "10000", 10, 1e6, 0, "how many pictures --evaluate draws"),
    TEXT_OPTION("--compress", &compress, "", 0, "write this run's generator to the file --out, smaller, in place of training"),
    REAL_OPTION("--prune", &prune, "0", 0, 0.99, 0, "of --compress: this share of each weight tensor, the smallest, becomes zero"),
    TEXT_OPTION("--quantize", &quantize, "float16", 0, "of --compress: float16, or int8 with a scale for each output channel"),
    FLAG_OPTION("--help", &help, 0, "this text"),
    END_OF_OPTIONS
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A recipe's default of each option that recipes differ in; 0: off, or no use for it */
enum { DEFAULTS = 18 };
typedef struct Default { const char *name; double value; } Default;
static void defaults_of(const Recipe *r, Default *list) {
    const GanOptions *d = &r->defaults;
    const Default all[DEFAULTS] = {
        { "--steps", d->steps }, { "--batch", d->batch }, { "--size", d->size }, { "--lr", d->lr }, { "--beta1", d->beta1 }, { "--beta2", d->beta2 },
        { "--lr-d", d->lr_d }, { "--clip", d->clip }, { "--content-weight", d->content_weight }, { "--style-weight", d->style_weight },
        { "--tv-weight", d->tv_weight }, { "--critic", d->n_critic }, { "--cycle-weight", d->cycle_weight }, { "--identity-weight", d->identity_weight },
        { "--kl-weight", d->kl_weight }, { "--diversity", d->diversity_weight }, { "--penalty-weight", d->penalty_weight }, { "--weight-clip", d->weight_clip } };
    memcpy(list, all, sizeof all);
}

static void print_help(void) {
    printf(
        "usage: ./train [options]     trains a GAN and leaves samples, loss curves and a checkpoint in a folder\n\n"
        "  ./train                                        new garments from Fashion-MNIST\n"
        "  ./train --recipe style --style flowers.pat     prints that pattern onto garments\n"
        "  ./train --resume runs/dcgan --steps 3000       goes on where a run stopped\n"
        "  mpirun -np 4 ./train --sync-batchnorm          with make MPI=1: four processes, a quarter of the batch each\n"
        "  ./train --recipe classifier                    learns the ten classes, to judge by:\n"
        "  ./train --evaluate runs/dcgan --classifier runs/classifier\n"
        "  ./train --compress runs/dcgan --prune 0.5 --quantize int8 --out small.safetensors\n\nrecipes, with their defaults:\n");
    for (const Recipe *r = recipes; r->name; r++) {
        Default d[DEFAULTS];
        defaults_of(r, d);
        int column = 0;
        printf("  %-8s %s   (%s)\n          ", r->name, r->summary, r->source);
        for (int i = 0; i < DEFAULTS; i++) {
            if (i > 5 && d[i].value == 0) continue;
            if (column > 90) printf("\n          "), column = 0;
            column += printf(" %s %g", d[i].name, d[i].value);
        }
        printf(r->data ? " --data %s\n" : "\n", r->data);
    }
    printf("\noptions:\n");
    options_help(table, stdout);
}

/* what the recipe says where neither the command line nor a resumed run has spoken */
static void recipe_default(const char *name, double value) {
    Option *o = option_find(table, name);
    char text[40];
    snprintf(text, sizeof text, "%.17g", value);
    if (!o->given) options_set(o, text, "");
}

static const Recipe *find_recipe(void) {
    const Recipe *r = recipe_find(recipe_name);
    int count = 0;
    while (recipes[count].name) count++;
    if (!r) {
        die(2, "unknown recipe '%s'%s: --help lists them all", recipe_name, did_you_mean(recipe_name, recipes, count, sizeof *recipes));
    }
    Default d[DEFAULTS];
    defaults_of(r, d);
    for (int i = 0; i < DEFAULTS; i++) recipe_default(d[i].name, d[i].value);
    if (!option_find(table, "--data")->given) data = r->data ? r->data : data;
    if (size % r->multiple) die(2, "--size %ld: the recipe %s needs a multiple of %d", size, r->name, r->multiple);
    return r;
}

/* The recipes that an option is for, if it is not for all: those whose loss has a part of this name, or of which another thing is true. */
static int uses(const Recipe *r, const char *option) {
    static const char *const part[][2] = {
        { "--content-weight", "content reconstruction l1" }, { "--style-weight", "style" }, { "--tv-weight", "tv" }, { "--cycle-weight", "cycle" },
        { "--identity-weight", "identity" }, { "--kl-weight", "kl" }, { "--diversity", "diversity" }, { "--lr-d", "adversarial" },
        { "--penalty-weight", "adversarial" }, { "--weight-clip", "adversarial" }, { "--smoothing", "adversarial" } };
    if (!strcmp(option, "--smoothing") && r->objective != BCE) return 0;
    if (!strcmp(option, "--style") || !strcmp(option, "--style-scale")) return r->style;
    if (!strcmp(option, "--features")) return !strcmp(r->name, "adain");
    if (!strcmp(option, "--data") || !strcmp(option, "--limit") || !strcmp(option, "--classes") || !strcmp(option, "--augment") || !strcmp(option, "--data-dir"))
        return !r->style || r->content;
    if (!strcmp(option, "--data-b")) return r->pairs == UNPAIRED;
    if (!strcmp(option, "--body")) return r->body;
    if (!strcmp(option, "--average")) return !r->labels || r->conditional;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        for (int k = 0; !strcmp(option, part[i][0]); k++) {
            if (!r->part[k]) return 0;
            if (strstr(part[i][1], r->part[k])) return 1;
        }
    return 1;
}
static void refuse_unused(const Recipe *recipe) {
    for (const Option *o = table; o->name; o++) {
        char who[400] = "";
        if (o->given != 1 || uses(recipe, o->name)) continue;
        for (const Recipe *r = recipes; r->name; r++)
            if (uses(r, o->name)) snprintf(who + strlen(who), sizeof who - strlen(who), "%s%s", *who ? ", " : "", r->name);
        die(2, "%s: the recipe %s has no use for it: omit it, or choose one of %s", o->name, recipe->name, who);
    }
}

/* the checkpoint that an option names: a run's folder's, or the file itself */
static const char *checkpoint_path(const char *option, const char *name) {
    static char paths[3][4096];                          /* of as many calls */
    static int calls;
    char *path = paths[calls++ % 3];
    if (access(name, F_OK)) die(1, "%s %s: %s: expected a run's folder or its checkpoint", option, name, strerror(errno));
    snprintf(path, sizeof paths[0], is_folder(name) ? "%.4000s/checkpoint.safetensors" : "%.4000s", name);
    return path;
}

/* Does a checkpoint keep this option? Not those of a single start. */
static int is_kept(const Option *o) {
    static const char *const skip[] = { "--resume", "--dry-run", "--help", "--overwrite", "--threads", "--minutes",
                                        "--evaluate", "--classifier", "--samples", "--compress", "--prune", "--quantize" };
    for (size_t k = 0; k < sizeof skip / sizeof *skip; k++) if (!strcmp(o->name, skip[k])) return 0;
    return 1;
}

/* options of the run to be resumed: they take the place of defaults, the command line goes before them */
static void resume_options(const char *path) {
    StFile file;
    must(gan_open(&file, path));
    const char *recipe = st_meta(&file, "recipe");
    Option *given = option_find(table, "--recipe");
    if (!recipe) die(1, "%s: not a checkpoint of this program (no recipe in its metadata)", path);
    if (given->given && strcmp(recipe, recipe_name))
        die(1, "%s: made with --recipe %.40s, not %s: omit --recipe, or train %s in another --out", path, recipe,
            recipe_name, recipe_name);
    for (Option *o = table; o->name; o++) {
        const char *kept = st_meta(&file, o->name);
        if (!kept || o->given || !is_kept(o)) continue;
        if (!strcmp(o->name, "--epochs") && option_find(table, "--steps")->given == 1) continue;   /* --steps takes its place */
        options_set(o, o->kind == OPTION_TEXT ? strdup(kept) : kept, "checkpoint: ");       /* a string stays the option's value */
        o->given = 2;
    }
    st_close(&file);
}

/* ------------------------------------------------------------------------------------------------- pictures of a step */

static ImageSet set;
static int class_of_row[4096], class_rows;              /* the classes that the set's pictures have */
static ImageSet others;                                  /* the pictures that the set's are to become like (--data-b) */
static Image *styles;                                    /* the style pictures, each at least as large as a crop */
static int style_count;
static Augment augmentation;
static int augmenting;

/* name, or name:part? */
static int is_set(const char *source, const char *name) { return !strncmp(source, name, strlen(name)) && (!source[strlen(name)] || source[strlen(name)] == ':'); }
/* Classes are the same ten, T-shirt to boot, in these sets alone; a folder has its own. */
static int has_the_ten(const char *source) { return is_set(source, "fashion-mnist") || is_set(source, "synthetic"); }

/* The run's folders, as it was trained, where it is resumed and where it goes: their pictures are not those that it learns from */
static const char *run_folders[4];
static void keep_apart(const char *source) {
    char samples[4200];
    snprintf(samples, sizeof samples, "%s/samples", out);
    if (!*evaluate && !*compress && is_folder(source) && (same_file(source, out) || same_file(source, samples)))
        die(1, "--out %s: the run's pictures would lie among those it learns from: choose another folder", out);
}

/* One style picture, made ready for crops: patterns are repeated, others must be large enough. */
static void style_add(Image *picture, const char *name, int whiten) {
    Image ready;
    long need = size;
    if (picture->tileable) {
        int side = (int)ceil(size * fmax(style_scale, 1) * 2);
        if (!image_tile(&ready, picture, picture->h > side ? picture->h : side, picture->w > side ? picture->w : side))
            die(1, "%s", error_text());
        image_free(picture);
    } else {
        ready = *picture;
    }
    if (ready.h < need || ready.w < need)
        die(1, "%s: the style picture is %dx%d, smaller than the %ldx%ld crops it is learned from: give a larger one, "
            "or a smaller --size",
            name, ready.w, ready.h, need, need);
    styles = realloc(styles, (size_t)(style_count + 1) * sizeof *styles);
    if (!styles) die(1, "not enough memory for the style pictures");
    if (whiten) {                                        /* mean 0, covariance 1: colours tell nothing of whose crop it is */
        static const double zero[3];
        double mean[3], covariance[9], unroot[9];
        colour_statistics(mean, covariance, &ready, NULL, 1);
        colour_power(unroot, covariance, -0.5);
        colour_map(&ready, unroot, mean, zero);
    }
    styles[style_count++] = ready;
}

static void open_styles(const Recipe *recipe) {
    Image picture;
    ImageList files;
    if (!*style) die(2, "the recipe %s needs --style: a picture, a .pat pattern, a folder of them, or synthetic", recipe->name);
    if (!strcmp(style, "synthetic") || !strncmp(style, "synthetic:", 10)) {
        char *end = NULL;
        long kind = style[9] ? strtol(style + 10, &end, 10) : 0;
        if (kind < 0 || kind >= IMAGE_PATTERNS || (end && (end == style + 10 || *end)))
            die(1, "--style %s: the drawn patterns are synthetic:0 to synthetic:%d", style, IMAGE_PATTERNS - 1);
        must(image_pattern_synthetic(&picture, (int)kind, 128));
        style_add(&picture, style, recipe->labels);
        return;
    }
    keep_apart(style);
    must(image_list(&files, style, run_folders));
    for (long i = 0; i < files.count; i++)
        if (image_load(&picture, files.path[i])) style_add(&picture, files.path[i], recipe->labels);
    if (!style_count)
        die(1, "--style %s: none of the %ld files there is a readable picture: expected PNG, JPEG, BMP, TGA or .pat%s%s",
            style, files.count, files.count ? "; the last: " : "", files.count ? error_text() : "");
    if (files.count > style_count)
        say("--style %s: %ld files skipped, the last: %s", style, files.count - style_count, error_text());
    image_list_free(&files);
}

/* the pictures of `source`: those of --classes, if `choose`, and of these the first `most` (0: all); where: begins a complaint */
static void load_set(ImageSet *to, const char *where, const char *source, ImageSetOptions o, int choose, long most) {
    o.fashion_mnist_dir = *data_dir ? data_dir : NULL, o.limit = *classes && choose ? 0 : most, o.except = run_folders;
    keep_apart(source);
    if (!imageset_load(to, source, &o))
        die(1, "%s%s%s", where, error_text(), to == &set && option_find(table, "--data")->given == 2 ? " (the resumed run's --data: give it anew)" : "");
    if (*classes && choose && !imageset_keep(to, classes)) die(1, "--classes: %s%s", where, error_text());
    if (most && to->count > most) to->count = most;
    if (to->skipped) say("%s: %ld files skipped: %s", source, to->skipped, to->note);
}

static void open_data(const Recipe *recipe) {
    ImageSetOptions o = { .h = (int)size, .w = (int)size, .channels = recipe->content > 0 ? recipe->content : 0, .photo = recipe->content > 0 };
    if (!augment_parse(&augmentation, augment)) die(2, "--augment: %s", error_text());
    augmenting = strcmp(augment, "none") != 0;
    if (option_find(table, "--data-dir")->given == 1 && !is_set(data, "fashion-mnist") && (recipe->pairs != UNPAIRED || !is_set(data_b, "fashion-mnist")))
        die(2, "--data-dir is where --data fashion-mnist lies, not %s", data);
    if (recipe->style) open_styles(recipe);
    if (recipe->style && !recipe->content) {             /* crops of the style pictures are all there is to see */
        set.count = style_count, set.h = set.w = (int)size, set.c = 3, data = style;
        return;
    }
    load_set(&set, "", data, o, 1, limit);
    o.channels = set.c;
    if (recipe->pairs == UNPAIRED) load_set(&others, "--data-b: ", data_b, o, has_the_ten(data) && has_the_ten(data_b), limit);
    for (int k = 0; set.label && k < set.classes && k < 4096; k++)
        for (long i = 0; i < set.count; i++)
            if (set.label[i] == k) { class_of_row[class_rows++] = k; break; }
    if (recipe->labels && !set.label)
        die(1, "--data %s: these pictures have no labels, which the recipe %s needs: expected fashion-mnist, synthetic, an IDX file with its "
            "labels-idx1 beside it, or a folder with a subfolder for each class", data, recipe->name);
}

/* A random square of a style picture, size x size: its side is style_scale * size, or up to a quarter more; half of them flipped.
 * u: five uniforms   out: (size,size,3) */
static void style_crop(float *picture, const float u[5]) {
    const Image *from = &styles[(int)(u[0] * (float)style_count)];
    Image crop, fitted;
    int least = (int)lround(size * style_scale), shorter = from->h < from->w ? from->h : from->w;
    if (least > shorter) least = shorter;
    int most = least * 5 / 4 < shorter ? least * 5 / 4 : shorter;
    int side = least + (int)(u[1] * (float)(most - least + 1));
    int y = (int)(u[2] * (float)(from->h - side + 1)), x = (int)(u[3] * (float)(from->w - side + 1));
    if (!image_crop(&crop, from, y, x, side, side) || !image_resize(&fitted, &crop, (int)size, (int)size))
        die(1, "%s", error_text());
    for (long i = 0; i < size * size; i++)
        for (int k = 0; k < 3; k++) {
            long from_pixel = u[4] < 0.5f ? i : i / size * size + size - 1 - i % size;
            picture[i * 3 + k] = fitted.pixels[from_pixel * 3 + k];
        }
    image_free(&crop);
    image_free(&fitted);
}

/* the number of this rank's picture i in the batch of all ranks, of which each has an equal run; each round of a step has a batch */
static long place(long i) { return i / batch * whole_batch + parallel_rank * batch + i % batch; }

/* picture `index` of the set into slot i of a batch, augmented with the uniforms of `step` */
static void fetch(const ImageSet *from, long index, long i, long step, float *pixels, float *mask) {
    long each = size * size * from->c;
    float *raw = malloc((size_t)each * sizeof *raw), *raw_mask = malloc((size_t)(size * size) * sizeof *raw), u[8];
    if (!raw || !raw_mask) die(1, "not enough memory for a picture");
    must(imageset_get(from, index, raw, raw_mask));
    for (int k = 0; k < 8; k++) u[k] = philox_uniform((uint64_t)seed, STREAM(STREAM_AUGMENT, step), (uint64_t)(8 * place(i) + k));
    if (augmenting)
        image_augment(pixels + i * each, mask ? mask + i * size * size : NULL, raw, mask ? raw_mask : NULL, (int)size,
                      (int)size, set.c, &augmentation, u);
    else {
        memcpy(pixels + i * each, raw, (size_t)each * sizeof *raw);
        if (mask) memcpy(mask + i * size * size, raw_mask, (size_t)(size * size) * sizeof *raw);
    }
    free(raw);
    free(raw_mask);
}

/* a crop for slot i of a batch, from the uniforms of (purpose, step) */
static int draw_crop(float *pictures, long i, int purpose, long step) {
    float u[5];
    for (int k = 0; k < 5; k++) u[k] = philox_uniform((uint64_t)seed, STREAM(purpose, step), (uint64_t)(5 * place(i) + k));
    style_crop(pictures + i * size * size * 3, u);
    return (int)(u[0] * (float)style_count);
}

/* Picture number `at` of an endless walk through the set, in which each epoch shows every picture once, in an order of its own (Fisher
 * and Yates). Where classes are learned that is worth half a percent of accuracy, against pictures drawn with replacement. */
static long walk(long at) {
    static int *order;
    static long epoch = -1;
    long n = set.count;
    if (!order && !(order = malloc((size_t)n * sizeof *order))) die(1, "not enough memory for the order of the pictures");
    if (at / n != epoch) {
        epoch = at / n;
        for (long i = 0; i < n; i++) order[i] = (int)i;
        for (long i = n - 1; i > 0; i--) {
            int other = philox_below((uint64_t)seed, STREAM(STREAM_DATA, epoch), (uint64_t)i, (int)i + 1), keep = order[i];
            order[i] = order[other], order[other] = keep;
        }
    }
    return order[at % n];
}

/* This step's pictures onto the device. Which ones follows from (seed, step) alone. Where the contents are coloured, every second
 * one is a crop of a style too: what is learned shall not be good for garments on white alone. */
static float *host_images, *host_mask, *host_labels;

/* the classes of n pictures, each as `classes` numbers of which one is 1 */
static void upload_given(Gan *gan, const float *label, long n) {
    long classes = gan->options.classes;
    float *given = calloc((size_t)(n * classes), sizeof *given);
    if (!given) die(1, "not enough memory for the classes");
    for (long i = 0; i < n; i++) given[i * classes + (long)label[i]] = 1;
    gan->ops->upload(gan->given, given, n * classes);
    free(given);
}

/* A picture (size,size,c) becomes its drawing: the length of its gradient (central differences), lines light on black */
static void draw_edges(float *picture) {
    long c = set.c, row = size * c;
    float *from = malloc((size_t)(size * row) * sizeof *from);
    if (!from) die(1, "not enough memory for a picture");
    memcpy(from, picture, (size_t)(size * row) * sizeof *from);
    for (long y = 0; y < size; y++)
        for (long x = 0; x < size; x++) {
            float square = 0;
            for (long k = 0; k < c; k++) {
                float dx = from[y * row + (x + (x < size - 1)) * c + k] - from[y * row + (x - (x > 0)) * c + k];
                float dy = from[(y + (y < size - 1)) * row + x * c + k] - from[(y - (y > 0)) * row + x * c + k];
                square += (dx * dx + dy * dy) / (float)c;
            }
            for (long k = 0; k < c; k++) picture[y * row + x * c + k] = fminf(sqrtf(square) * 1.5f, 2) - 1;
        }
    free(from);
}

/* black, as around the garments of Fashion-MNIST */
static int is_background(const float *pixel) {
    int black = 1;
    for (int k = 0; k < set.c; k++) black &= pixel[k] < -0.9f;
    return black;
}

static void load_batch(Gan *gan, long step) {
    long pixels = batch * size * size;
    for (long i = 0; i < batch * gan_n_critic(gan) && (gan->content || !gan->recipe->style); i++)
        if (gan->recipe->content == 3 && place(i) % 2) draw_crop(host_images, i, STREAM_CONTENT, step);
        else {
            long index = gan->g_features ? walk(step * whole_batch + place(i))
                                         : philox_below((uint64_t)seed, STREAM(STREAM_DATA, step), (uint64_t)place(i), (int)set.count);
            fetch(&set, index, i, step, host_images, gan->mask ? host_mask : NULL);
            if (gan->recipe->labels) host_labels[i] = (float)set.label[index];
        }
    if (gan->recipe->pairs == DRAWINGS) {
        gan->ops->upload(gan->x_real, host_images, pixels * set.c);
        for (long i = 0; i < batch; i++) draw_edges(host_images + i * size * size * set.c);
    }
    if (gan->content || !gan->recipe->style)
        gan->ops->upload(gan->content ? gan->content : gan->x_real, host_images, (gan->content ? 1 : gan_n_critic(gan)) * pixels * set.c);
    if (gan->outside) {
        float *outside = malloc((size_t)(pixels * set.c) * sizeof *outside);
        if (!outside) die(1, "not enough memory for the masks");
        for (long p = 0; p < pixels * set.c; p++) outside[p] = is_background(host_images + p / set.c * set.c);
        gan->ops->upload(gan->outside, outside, pixels * set.c);
        free(outside);
    }
    for (long i = 0; i < batch && gan->recipe->pairs == UNPAIRED; i++)
        fetch(&others, philox_below((uint64_t)seed, STREAM(STREAM_CONTENT, step), (uint64_t)place(i), (int)others.count), i, step, host_images, NULL);
    if (gan->recipe->pairs == UNPAIRED) gan->ops->upload(gan->x_real, host_images, pixels * others.c);
    if (gan->mask) gan->ops->upload(gan->mask, host_mask, pixels);
    if (gan->labels) gan->ops->upload(gan->labels, host_labels, batch);
    if (gan->recipe->conditional == ON_CLASS) upload_given(gan, host_labels, batch * gan_n_critic(gan));
    if (!gan->recipe->style) return;
    for (long i = 0; i < batch; i++) host_labels[i] = (float)draw_crop(host_images, i, STREAM_CROP, step);
    gan->ops->upload(gan->x_real, host_images, pixels * 3);
    if (gan->labels) gan->ops->upload(gan->labels, host_labels, batch);
}

/* ------------------------------------------------------------------------------------------------------ what a run shows */

/* A set's part for tests in the place of the other: Fashion-MNIST has one. 0: this set has none, and `part` is `set` itself. */
static int load_test_part(ImageSet *part) {
    const char *kind = data + 13;
    char name[64];
    *part = set;
    if (!is_set(data, "fashion-mnist") || !strncmp(kind, ":test", 5)) return 0;
    snprintf(name, sizeof name, "fashion-mnist:test%.40s", kind + (strncmp(kind, ":train", 6) ? 0 : 6));
    load_set(part, "", name, (ImageSetOptions){ .h = (int)size, .w = (int)size, .channels = set.c }, 1, 0);
    return 1;
}

/* Of the pictures that the recipe classifier has not been trained with, the share whose class it tells */
static void print_accuracy(Gan *gan) {
    ImageSet part;
    Node *logits = &gan->g.node[gan->g_picture], *in = &gan->g.node[gan->g_content];
    int test = load_test_part(&part), c = logits->c;
    long right = 0, each = size * size * part.c;
    float *score = malloc((size_t)(batch * c) * sizeof *score);
    if (!score) die(1, "not enough memory for the classifier's answers");
    for (long done = 0; done < part.count; done += batch) {
        long n = part.count - done < batch ? part.count - done : batch;
        for (long i = 0; i < n; i++)
            must(imageset_get(&part, done + i, host_images + i * each, NULL));
        gan->ops->upload(in->y, host_images, batch * each);
        net_forward(&gan->g, 0);
        gan->ops->download(score, logits->y, batch * c);
        for (long i = 0; i < n; i++) {
            int best = 0;
            for (int k = 1; k < c; k++)
                if (score[i * c + k] > score[i * c + best]) best = k;
            right += best == part.label[done + i];
        }
    }
    printf("accuracy %.2f%% on the %ld pictures %s\n", 100 * (double)right / (double)part.count, part.count,
           test ? "of the test part" : "it was trained with: this data set has no test part");
    free(score);
    if (test) imageset_free(&part);
}

/* A disk that is full is told once, not with every file, until one can be written again */
static int written(int good, const char *why) {
    static int told;
    if (!good && !told) say("%s", why);
    told = !good;
    return good;
}

/* What was written to `fresh` takes the name `path`; if that cannot be, the old file stays */
static void take_name(FILE *file, const char *fresh, const char *path) {
    if (!fflush(file) && !ferror(file) && !rename(fresh, path)) return;
    int why = errno;
    unlink(fresh);
    die(1, "%s: %s: cannot write there, choose another --out or make room", path, strerror(why));
}

/* count pictures (size,size,c), `columns` a row */
static void save_pictures(const float *pictures, int count, int c, int columns, const char *path) {
    Image sheet;
    must(image_grid(&sheet, pictures, count, (int)size, (int)size, c, columns, size < 48 ? 3 : 1, size < 48 ? 3 : 4));
    written(image_save(&sheet, path), error_text());
    image_free(&sheet);
}
/* the same as samples/step-N.png and samples.png */
static void save_sheet(const float *pictures, int count, int c, int columns, long step) {
    char path[4200];
    snprintf(path, sizeof path, "%s/samples/step-%06ld.png", out, step);
    save_pictures(pictures, count, c, columns, path);
    snprintf(path, sizeof path, "%s/samples.png", out);
    save_pictures(pictures, count, c, columns, path);
}

/* picture `index` of `count` spread over a set, as it is, to x; its mask to m */
static void fetch_spread(const ImageSet *from, long index, long count, float *x, float *m) {
    must(imageset_get(from, index % count * from->count / count, x, m));
}

/* G from noise: 64 new pictures; where it is told the class, a row of 8 for each */
static void sheet_of_noise(Gan *gan, float *sheet, float *y, long step) {
    long each = size * size * gan->options.channels, count = gan->recipe->conditional != ON_CLASS ? 64 : class_rows < 10 ? 8 * class_rows : 80;
    for (long done = 0, draw = 0; done < count; done += batch, draw++) {
        for (long i = 0; gan->recipe->conditional == ON_CLASS && i < batch; i++) host_labels[i] = (float)class_of_row[(done + i) / 8 % class_rows];
        if (gan->recipe->conditional == ON_CLASS) upload_given(gan, host_labels, batch);
        gan_sample(gan, (uint64_t)draw, y);
        memcpy(sheet + done * each, y, (size_t)((count - done < batch ? count - done : batch) * each) * sizeof *y);
    }
    save_sheet(sheet, (int)count, gan->options.channels, 8, step);
}

/* G repaints 16 garments: each above its print and the whole painting */
static void sheet_of_garments(Gan *gan, float *sheet, float *y, long step) {
    enum { GARMENTS = 16, COLUMNS = 8 };
    long each = size * size * 3;
    for (long done = 0, draw = 0; done < GARMENTS; draw++) {
        for (long i = 0; i < batch; i++) fetch_spread(&set, done + i, GARMENTS, host_images + i * size * size, host_mask + i * size * size);
        gan->ops->upload(gan->content, host_images, batch * size * size);
        gan_sample(gan, (uint64_t)draw, y);
        for (long i = 0; i < batch && done < GARMENTS; i++, done++) {
            long block = done / COLUMNS * 3 * COLUMNS + done % COLUMNS;
            for (long p = 0; p < size * size; p++)
                for (int k = 0; k < 3; k++) {
                    float m = host_mask[i * size * size + p], paint = y[i * each + p * 3 + k];
                    sheet[block * each + p * 3 + k] = host_images[i * size * size + p];
                    sheet[(block + COLUMNS) * each + p * 3 + k] = paint * m + (1 - m);
                    sheet[(block + 2 * COLUMNS) * each + p * 3 + k] = paint;
                }
        }
    }
    save_sheet(sheet, 3 * GARMENTS, 3, COLUMNS, step);
}

/* Rows of 8 pictures: some of the set (their drawings), and below what G makes of them; pattern: with three z; pix2pix: and the true picture.
 * The lower half of cyclegan's sheet shows the way back: pictures of the other set, and what F makes of them. */
static void sheet_of_translations(Gan *gan, float *sheet, float *y, long step) {
    enum { COLUMNS = 8 };
    int drawings = gan->recipe->pairs == DRAWINGS, draws = gan->latents ? 3 : 1, rows = 1 + draws + drawings, blocks = rows == 2 ? 4 : rows == 3 ? 3 : 2;
    long each = size * size * set.c, bytes = each * (long)sizeof *y, all = blocks * COLUMNS, half = gan->f.nodes ? all / 2 : all;
    for (long done = 0, count; done < all; done += count) {
        int back = done >= half;
        count = (back ? all : half) - done;
        if (count > batch) count = batch;
        for (int row = rows - 1; row >= 0; row--) {      /* from below: the true picture, what is made of its drawing, the drawing */
            for (long i = 0; i < batch && row == rows - 1; i++) fetch_spread(back ? &others : &set, done + i, all, host_images + i * each, NULL);
            for (long i = 0; i < batch && row == draws && drawings; i++) draw_edges(host_images + i * each);
            if (row == draws) gan->ops->upload(back ? gan->x_real : gan->content, host_images, batch * each);
            if (row >= 1 && row <= draws) back ? gan_sample_back(gan, y) : gan_sample(gan, (uint64_t)row, y);
            for (long i = 0; i < count; i++)
                memcpy(sheet + (((done + i) / COLUMNS * rows + row) * COLUMNS + (done + i) % COLUMNS) * each,
                       (row >= 1 && row <= draws ? y : host_images) + i * each, (size_t)bytes);
        }
    }
    save_sheet(sheet, (int)(all * rows), set.c, COLUMNS, step);
}

/* vaegan: 8 pictures, the same by way of their codes, the ways between the codes of four pairs of them, and 16 pictures out of noise */
static void sheet_of_codes(Gan *gan, float *sheet, float *y, long step) {
    enum { COLUMNS = 8, NOISE = 6 * COLUMNS, CELLS = 8 * COLUMNS };
    long each = size * size * gan->options.channels, c = gan->g.node[gan->g_latent[0]].c;
    float *code = malloc((size_t)(2 * c * batch) * sizeof *code), *z = calloc((size_t)((CELLS + batch) * c), sizeof *z);
    if (!code || !z) die(1, "not enough memory for the sample sheet");
    for (long done = 0; done < COLUMNS; done += batch) {
        for (long i = 0; i < batch; i++) fetch_spread(&set, done + i, COLUMNS, host_images + i * each, NULL);
        gan->ops->upload(gan->x_real, host_images, batch * each);
        gan_encode(gan, code);
        for (long i = 0; i < batch && done + i < COLUMNS; i++) {
            memcpy(sheet + (done + i) * each, host_images + i * each, (size_t)each * sizeof *sheet);
            memcpy(z + (COLUMNS + done + i) * c, code + 2 * c * i, (size_t)c * sizeof *z);
        }
    }
    for (long i = 2 * COLUMNS; i < CELLS; i++)
        for (long k = 0; k < c; k++) {
            const float *one = z + (COLUMNS + (i / COLUMNS - 2) * 2 % COLUMNS) * c, *other = one + c, way = (float)(i % COLUMNS) / (COLUMNS - 1);
            float normal[4];
            philox_normals(normal, (uint64_t)seed, STREAM(STREAM_SAMPLE, 0), (uint64_t)(i * c + k) / 4);
            z[i * c + k] = i < NOISE ? one[k] + way * (other[k] - one[k]) : normal[(i * c + k) % 4];
        }
    for (long done = COLUMNS; done < CELLS; done += batch) {
        gan_decode(gan, z + done * c, y);
        memcpy(sheet + done * each, y, (size_t)((CELLS - done < batch ? CELLS - done : batch) * each) * sizeof *sheet);
    }
    free(code), free(z);
    save_sheet(sheet, CELLS, gan->options.channels, COLUMNS, step);
}

/* stylegan: mixing.png. The coarse style of the pictures on the left, the fine ones of those on top */
static void save_mixing(Gan *gan, float *sheet, float *y) {
    enum { SIDE = 7, COLUMNS = SIDE + 1 };
    char path[4200];
    long each = size * size * gan->options.channels, c = gan->g.node[gan->g_latent[0]].c, cells = COLUMNS * COLUMNS;
    float *z = calloc((size_t)(2 * batch * c), sizeof *z), normal[4];
    if (!z) die(1, "not enough memory for the sheet of mixtures");
    for (long done = 0; done < cells; done += batch) {
        for (long i = 0; i < batch; i++) {
            long left = (done + i) % cells / COLUMNS, top = (done + i) % COLUMNS, on_top = left == 0, at_left = top == 0;
            for (long k = 0; k < 2 * c; k++) {           /* the left column and the top row are pictures of one style each */
                long source = k < c ? (on_top ? SIDE + top : left) : at_left ? left : SIDE + top, at = source * c + k % c;
                philox_normals(normal, (uint64_t)seed, STREAM(STREAM_SAMPLE, 1), (uint64_t)at / 4);
                z[(k < c ? i : batch + i) * c + k % c] = normal[at % 4];
            }
        }
        gan_mix(gan, z, z + batch * c, y);
        memcpy(sheet + done * each, y, (size_t)((cells - done < batch ? cells - done : batch) * each) * sizeof *sheet);
    }
    free(z);
    for (long i = 0; i < each; i++) sheet[i] = 1;        /* the corner stays empty */
    snprintf(path, sizeof path, "%s/mixing.png", out);
    save_pictures(sheet, (int)cells, gan->options.channels, COLUMNS, path);
}

/* G fuses any content with any style: 7 styles in the top row, 7 contents in the left column, all pairs between them */
static void sheet_of_pairs(Gan *gan, float *sheet, float *y, long step) {
    enum { SIDE = 7, COLUMNS = SIDE + 1 };
    long each = size * size * 3;
    float *content = host_images, *crops = malloc((size_t)(SIDE * each) * sizeof *crops);
    if (!crops) die(1, "not enough memory for the sample sheet");
    for (long i = 0; i < each; i++) sheet[i] = 1;
    for (long i = 0; i < SIDE; i++) {
        float u[5] = { ((float)i + .5f) / SIDE, .5f, .5f, .5f, .25f };
        style_crop(crops + i * each, u);
        memcpy(sheet + (i + 1) * each, crops + i * each, (size_t)each * sizeof *crops);
        fetch_spread(&set, i, SIDE, sheet + (i + 1) * COLUMNS * each, host_mask);
    }
    for (long done = 0; done < SIDE * SIDE; done += batch) {
        for (int pass = 0; pass < 2; pass++) {
            for (long i = 0; i < batch; i++) {
                long pair = (done + i) % (SIDE * SIDE);
                memcpy(content + i * each, pass ? crops + pair % SIDE * each : sheet + (pair / SIDE + 1) * COLUMNS * each,
                       (size_t)each * sizeof *content);
            }
            gan->ops->upload(pass ? gan->x_real : gan->content, content, batch * each);
        }
        gan_sample(gan, 0, y);
        for (long i = 0; i < batch && done + i < SIDE * SIDE; i++)
            memcpy(sheet + ((done + i) / SIDE * COLUMNS + COLUMNS + 1 + (done + i) % SIDE) * each, y + i * each, (size_t)each * sizeof *y);
    }
    free(crops);
    save_sheet(sheet, COLUMNS * COLUMNS, 3, COLUMNS, step);
}

static void save_samples(Gan *gan, long step) {
    if (gan->labels) return;
    long each = size * size * 3;
    float *sheet = malloc((size_t)((80 + batch) * each) * sizeof *sheet), *y = malloc((size_t)(batch * each) * sizeof *y);
    if (!sheet || !y) die(1, "not enough memory for the sample sheet");
    (gan->e_code ? sheet_of_codes : gan->recipe->content == 0 ? sheet_of_noise : gan->recipe->pairs ? sheet_of_translations : gan->recipe->content == 1 ? sheet_of_garments : sheet_of_pairs)(gan, sheet, y, step);
    if (gan->scale_shifts && !gan->recipe->content) save_mixing(gan, sheet, y);
    free(sheet);
    free(y);
}

/* losses.png from log.csv, so that it shows the whole run, resumed or not */
static void save_plot(void) {
    char path[4200], line[512];
    double *column[3] = {0};                             /* step, loss_d, loss_g */
    long n = 0, room = 0;
    snprintf(path, sizeof path, "%s/log.csv", out);
    FILE *file = fopen(path, "r");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        double s, d, g;
        if (sscanf(line, "%lf,%lf,%lf", &s, &d, &g) != 3) continue;
        if (n == room) {
            room = 2 * room + 1024;
            for (int k = 0; k < 3; k++)
                if (!(column[k] = realloc(column[k], (size_t)room * sizeof(double))))
                    die(1, "not enough memory for the plot");
        }
        column[0][n] = s, column[1][n] = d, column[2][n++] = g;
    }
    fclose(file);
    Image plot;
    char title[160];
    PlotSeries series[2] = { { "discriminator", column[0], column[1], n }, { "generator", column[0], column[2], n } };
    snprintf(title, sizeof title, "%s: losses", recipe_name);
    snprintf(path, sizeof path, "%s/losses.png", out);
    written(image_plot(&plot, series, 2, title, "step") && image_save(&plot, path), error_text());
    image_free(&plot);
    for (int k = 0; k < 3; k++) free(column[k]);
}

static void save_report(const Gan *gan) {
    char title[200], why[4400];
    snprintf(title, sizeof title, "%s on %s", recipe_name, data);
    int good = report_write(out, title, device_name(gan->ops));
    snprintf(why, sizeof why, "%s/report.html: %s: not written", out, strerror(errno));
    written(good, why);
}

static int save_checkpoint(Gan *gan) {
    enum { COUNT = sizeof table / sizeof *table };
    StMeta meta[COUNT];
    char path[4200], text[COUNT][64];
    int metas = 0;
    for (int i = 0; table[i].name; i++) {
        if (is_kept(&table[i])) meta[metas++] = (StMeta){ table[i].name, option_text(&table[i], text[i]) };
    }
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", out);
    return written(gan_save(gan, path, meta, metas), error_text());
}

static void save_options(const Gan *gan) {
    char path[4200], fresh[4210], text[64];
    snprintf(path, sizeof path, "%s/options.txt", out);
    snprintf(fresh, sizeof fresh, "%s.tmp", path);
    FILE *file = fopen(fresh, "w");
    if (!file) die(1, "%s: %s: cannot write there, choose another --out", fresh, strerror(errno));
    for (Option *o = table; o->name; o++)
        fprintf(file, "%-20s %s%s\n", o->name, option_text(o, text), o->given == 1 ? "" : o->given == 2 ? "    (as in the run resumed)" : "    (default)");
    for (int i = 0; gan_net(gan, i); i++) {
        fprintf(file, "\n");
        net_print(gan_net(gan, i), file);
    }
    take_name(file, fresh, path);
    fclose(file);
}

/* log.csv: the lines up to `step` of the run in the folder `origin` (none is repeated, none lost), then this run appends */
static FILE *open_log(const Recipe *recipe, long step, const char *origin) {
    char path[4200], fresh[4210], line[512];
    snprintf(path, sizeof path, "%s/log.csv", origin);
    FILE *from = step ? fopen(path, "r") : NULL;
    snprintf(path, sizeof path, "%s/log.csv", out);
    snprintf(fresh, sizeof fresh, "%s.tmp", path);
    FILE *to = fopen(fresh, "w");
    if (!to) die(1, "%s: %s: cannot write there, choose another --out", fresh, strerror(errno));
    fprintf(to, "step,loss_d,loss_g,d_real,d_fake,norm_d,norm_g,batch_std");
    for (int i = 0; recipe->part[i]; i++) fprintf(to, ",%s", recipe->part[i]);
    fprintf(to, ",seconds\n");
    while (from && fgets(line, sizeof line, from))
        if (atol(line) >= 1 && atol(line) <= step && strchr(line, '\n')) fputs(line, to);
    if (from) fclose(from);
    take_name(to, fresh, path);
    return to;
}

/* mkdir -p, and is it ours to write in? */
static void make_folder(const char *path) {
    char part[4200];
    snprintf(part, sizeof part, "%s", path);
    for (char *c = part + 1;; c++)
        if (*c == '/' || !*c) {
            char keep = *c;
            *c = 0;
            if (mkdir(part, 0777) && errno != EEXIST)
                die(1, "--out %s: %s: %s, choose another folder", path, part, strerror(errno));
            *c = keep;
            if (!keep) break;
        }
    if (!is_folder(path)) die(1, "--out %s: is a file, expected a folder", path);
    if (access(path, W_OK | X_OK)) die(1, "--out %s: %s, choose another folder", path, strerror(errno));
}

/* The folder is ours alone until the program ends: another run is refused. */
static void lock_folder(void) {
    static int lock = -1;                                 /* stays open: the lock goes with the process, however it ends */
    if (lock >= 0) return;
    if ((lock = open(out, O_RDONLY)) < 0 || flock(lock, LOCK_EX | LOCK_NB))
        die(1, "--out %s: %s, choose another folder", out, lock < 0 ? strerror(errno) : "another ./train is writing there");
}

/* A run of others is not written over, unless they say so */
static void keep_other(const char *checkpoint) {
    if (!overwrite && !access(checkpoint, F_OK))
        die(1, "%s: this folder holds a run already: --resume %s to go on, another --out to keep it, or --overwrite", checkpoint, out);
}

/* The folder becomes ours, and rid of what a killed run left half written. A run that does not go on in its own folder (anew) also takes the
 * files of another one away, so that nothing of it can pass for the new one's. */
static void own_folder(int anew) {
    static const char *const old[] = { "checkpoint.safetensors", "samples.png", "losses.png", "log.csv", "report.html" };
    char path[4600];
    lock_folder();
    snprintf(path, sizeof path, "%s/%s", out, old[0]);
    if (anew) keep_other(path);                           /* one that came to its end since we began */
    for (int i = 0; i < 5 && anew; i++) {
        snprintf(path, sizeof path, "%s/%s", out, old[i]);
        unlink(path);
    }
    for (int sub = 0; sub < 2; sub++) {
        snprintf(path, sizeof path, "%s%s", out, sub ? "/samples" : "");
        DIR *folder = opendir(path);
        for (struct dirent *e; folder && (e = readdir(folder));) {
            int half = !fnmatch("checkpoint.safetensors.tmp-*", e->d_name, 0) || !fnmatch("*.png.tmp-*", e->d_name, 0);
            int sample = sub && anew && !strncmp(e->d_name, "step-", 5);
            snprintf(path, sizeof path, "%s%s/%.255s", out, sub ? "/samples" : "", e->d_name);
            if (half || sample) unlink(path);
        }
        if (folder) closedir(folder);
    }
}

/* ----------------------------------------------------------------------------------------- is the training still healthy? */

/* Running means over about 50 steps, and what they say in plain words. Each word is given at most once in 500 steps. */
static void diagnose(const Report *r, long step, double real_spread) {
    static double d_real = 0.5, d_fake = 0.5, alike = 1;
    static long last_wins = -1000, last_alike = -1000;
    d_real += 0.02 * (r->d_real - d_real), d_fake += 0.02 * (r->d_fake - d_fake);
    alike += 0.02 * (r->batch_std / (real_spread + 1e-9) - alike);
    if (step < 100) return;
    if (d_real > 0.97 && d_fake < 0.03 && step - last_wins >= 500) {
        last_wins = step;
        say("step %ld: the discriminator wins: it is right %.0f%% of the time, so the generator learns little from it. "
            "A lower --lr-d, --smoothing 0.1 or a larger --batch helps.", step, 50 * (d_real + 1 - d_fake));
    }
    if (alike < 0.15 && batch > 1 && step - last_alike >= 500) {
        last_alike = step;
        say("step %ld: the samples collapse onto each other: they differ %.0f times less than the pictures of the set. "
            "--diversity 1, a lower --lr, a larger --batch or the recipe wgan-gp helps.", step, 1 / (alike + 1e-9));
    }
}

/* how much the pictures of one batch differ, measured like Report.batch_std */
static double batch_spread(const float *x, long n, long each) {
    double total = 0;
    for (long k = 0; k < each; k++) {
        double sum = 0, square = 0;
        for (long i = 0; i < n; i++) sum += x[i * each + k], square += (double)x[i * each + k] * x[i * each + k];
        double variance = square / n - sum / n * (sum / n);
        total += variance > 0 ? sqrt(variance) : 0;
    }
    return total / each;
}

/* The progress: one line that is rewritten on a terminal, plain lines elsewhere */
static void progress(const Gan *gan, const Report *r, double rate, double seconds) {
    long step = gan->step;
    int terminal = progress_on_terminal(), bar = 0, filled;      /* mpirun shows its ranks a terminal, always */
    double rest = rate > 0 ? (double)(steps - step) / rate : 0;
    if (minutes > 0 && rest > 60 * minutes - seconds) rest = 60 * minutes - seconds;
    long left = rest > 0 ? (long)rest : 0;
    char line[500], judge[100] = "";
    if (gan->d.nodes)
        snprintf(judge, sizeof judge, terminal ? "D %.3f G %.3f D(x) %.2f D(G(z)) %.2f" : "D %.3f  G %.3f  D(x) %.2f  D(G(z)) %.2f", r->loss_d,
                 r->loss_g, r->d_real, r->d_fake);
    else snprintf(judge, sizeof judge, "loss %.4f", r->loss_g);
    int n = snprintf(line, sizeof line, terminal ? "%ld/%ld %s %.1f steps/s ETA %ld:%02ld" : "step %ld/%ld  %s  %.1f steps/s  ETA %ld:%02ld",
                     step, steps, judge, rate, left / 60, left % 60);
    for (int i = 0; !terminal && gan->recipe->part[1] && gan->recipe->part[i]; i++)
        if (gan->weight[i] > 0 && strcmp(gan->recipe->part[i], "adversarial"))
            n += snprintf(line + n, sizeof line - (size_t)n, "  %s %.3f", gan->recipe->part[i], r->part[i]);
    if (terminal) {                                       /* one row, however wide the window: the bar takes what is left */
        struct winsize window;
        int columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) || !window.ws_col ? 80 : window.ws_col;
        if (n > columns - 1) line[columns - 1] = 0;
        bar = columns - n - 4 < 24 ? columns - n - 4 : 24;
        filled = bar > 0 ? (int)(bar * step / steps) : 0;
    }
    if (bar > 4) progress_line("[%.*s%.*s] %s", filled, "########################", bar - filled, "........................", line);
    else progress_line("%s", line);
}

/* A run that is too large for the memory that is free ends here, with the batch that would fit. */
static void check_memory(const Gan *gan) {
    double need = gan_bytes(gan), have = device_free_bytes(gan->ops);
    GanOptions o = gan->options;
    Gan smaller;
    if (!(have > 0 && need > have)) return;
    while (--o.batch > 0) {
        gan_begin(&smaller, gan->recipe, &o, gan->ops);
        if (gan_bytes(&smaller) <= have) break;
    }
    char advice[64] = "not even --batch 1 fits: use a smaller --size";
    if (o.batch) snprintf(advice, sizeof advice, "--batch %d fits", o.batch * parallel_ranks);
    die(1, "not enough memory: this run needs %.0f MB, %.0f MB are free (%s): %s", need / 1e6, have / 1e6,
        device_name(gan->ops), advice);
}

/* ------------------------------------------------------------------------------------------------------- measuring runs */

#include "training/evaluate.h"

/* The report is the last that a run leaves: without it, or with one older than the checkpoint, the run was killed just before its end */
static int ended(const char *checkpoint) {
    char path[4200];
    struct stat c, r;
    snprintf(path, sizeof path, "%s/report.html", out);
    if (stat(path, &r) || stat(checkpoint, &c)) return 0;
    return r.st_mtim.tv_sec > c.st_mtim.tv_sec || (r.st_mtim.tv_sec == c.st_mtim.tv_sec && r.st_mtim.tv_nsec >= c.st_mtim.tv_nsec);
}

static int has_batchnorm(const Gan *gan) {
    int found = 0;
    const Net *net;
    for (int k = 0; (net = gan_net(gan, k)); k++)
        for (int i = 0; i < net->nodes; i++) found |= net->node[i].running >= 0;
    return found;
}

/* All ranks began with the same weights and added the same to them; if not, none of them is worth keeping. */
static void check_ranks(const Gan *gan) {
    if (parallel_ranks > 1 && !parallel_same(gan_hash(gan)))
        die(1, "step %ld: the ranks do not hold the same weights, nothing is written: expected the same options, the same build and the same "
            "kind of processor for all of them, and sound memory", gan->step);
}

static volatile sig_atomic_t stop;
static void on_signal(int s) {
    stop = s;
    signal(s, SIG_DFL);                                   /* a second one ends the program at once */
}

/* Options that belong to training, to --evaluate or to --compress are refused by the others; names end up in files whose text is UTF-8 */
static void refuse_of_other_jobs(void) {
    static const char *const judging[] = { "--classifier", "--samples" }, *const packing[] = { "--prune", "--quantize" },
        *const training[] = { "--steps", "--epochs", "--minutes", "--lr", "--lr-d", "--beta1", "--beta2", "--clip", "--smoothing", "--weight-decay",
                              "--average", "--schedule", "--init-from", "--augment", "--sample-every", "--checkpoint-every", "--log-every", "--dry-run" };
    int judges = *evaluate || *compress;
    for (size_t i = 0; i < sizeof judging / sizeof *judging && !judges; i++)
        if (option_find(table, judging[i])->given) die(2, "%s: for --evaluate and --compress only, this run trains: omit it", judging[i]);
    for (size_t i = 0; i < sizeof packing / sizeof *packing && !*compress; i++)
        if (option_find(table, packing[i])->given) die(2, "%s: for --compress only: omit it", packing[i]);
    for (size_t i = 0; i < sizeof training / sizeof *training && judges; i++)
        if (option_find(table, training[i])->given) die(2, "%s: %s does not train: omit it", training[i], *evaluate ? "--evaluate" : "--compress");
    for (const Option *o = table; o->name && *compress && !*classifier; o++) {
        static const char *const writing[] = { "--compress", "--prune", "--quantize", "--out", "--overwrite", "--threads", "--resume", "--evaluate" };
        int known = 0;
        for (size_t i = 0; i < sizeof writing / sizeof *writing; i++) known |= !strcmp(o->name, writing[i]);
        if (o->given && !known) die(2, "%s: --compress has no use for it without --classifier: omit it", o->name);
    }
    if (*evaluate && option_find(table, "--out")->given) die(2, "--out: --evaluate writes metrics.json beside the run: omit it");
    for (const Option *o = table; o->name; o++)
        if (o->kind == OPTION_TEXT && *(const char **)o->value && !st_is_text(*(const char **)o->value))
            die(2, "%s: a name that is not UTF-8, which a checkpoint cannot keep: rename it", o->name);
}

static int run(int argc, char **argv) {
    parallel_begin("train");
    options_parse(table, argc, argv);
    if (help) return print_help(), 0;
    if (parallel_ranks > 1 && (*evaluate || *compress)) die(2, "--evaluate and --compress are for one process: start them without mpirun");
    refuse_of_other_jobs();
    const char *from = *resume ? checkpoint_path("--resume", resume) : NULL;
    if (*resume && option_find(table, "--init-from")->given) die(2, "--resume and --init-from: expected one of them");
    if (!!*resume + !!*evaluate + !!*compress > 1) die(2, "--resume, --evaluate and --compress: expected one of them");
    if (*evaluate) from = checkpoint_path("--evaluate", evaluate);
    if (*compress) {
        compress_run(from = checkpoint_path("--compress", compress));
        if (!*classifier) return 0;
    }
    if (from) resume_options(from);
    const Recipe *recipe = find_recipe();
    refuse_unused(recipe);
    if (whole_batch % parallel_ranks)
        die(2, "--batch %ld: expected a multiple of %d, since each of the %d ranks takes an equal share", whole_batch, parallel_ranks, parallel_ranks);
    batch = whole_batch / parallel_ranks;
    if (diversity > 0 && batch < 2 && !from)
        die(2, "--diversity %g: two pictures of a process's batch are compared: expected --batch %d or more, or --diversity 0", diversity, 2 * parallel_ranks);
    if (sync_batchnorm && !PARALLEL && option_find(table, "--sync-batchnorm")->given == 1)
        die(2, "--sync-batchnorm: this program was built for one process: make MPI=1, then mpirun -np 2 ./train ..., or omit it");
    if (*evaluate) check_measurable(recipe);
    const Ops *ops = device_open(device, precision);
    if (!ops) die(2, "%s", error_text());
    static char folder[4096], origin[4096] = ".";         /* origin: the folder of the run to be resumed */
    if (from && strchr(from, '/')) snprintf(origin, sizeof origin, "%.*s", (int)(strrchr(from, '/') - from), from);
    const char *compressed = out, *file = from ? strrchr(from, '/') : NULL;
    int folders = 0;
    if (option_find(table, "--out")->given == 2) run_folders[folders++] = out;
    if (from && !strcmp(file ? file + 1 : from, "checkpoint.safetensors")) run_folders[folders++] = origin;
    if (from && (option_find(table, "--out")->given != 1 || *compress)) out = origin;              /* it stays there unless told otherwise */
    if (!*out) {
        snprintf(folder, sizeof folder, "runs/%s", recipe->name);
        out = folder;
    }
    if (!*evaluate && !*compress) run_folders[folders] = out;
    if (strlen(out) > 4000) die(2, "--out: the path is longer than 4000 characters");
#ifdef _OPENMP
    if (threads) omp_set_num_threads((int)threads);
#else
    if (threads > 1) say("built without OpenMP: --threads %ld has no effect", threads);
#endif
    char path[4200];
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", out);
    int same = from && same_file(from, path);            /* a run may go on in its own folder, but not over another's */
    int home = from && same_file(origin, out);           /* its own folder, be it from a copy of its checkpoint */
    if (!dry_run && !*evaluate && !*compress) {
        if (!same) keep_other(path);
        if (home && !parallel_rank) lock_folder();        /* before the weights are read */
    }
    open_data(recipe);
    if (epochs > 0 && option_find(table, "--steps")->given == 1 && option_find(table, "--epochs")->given == 1)
        die(2, "--steps %ld and --epochs %g: expected one of the two", steps, epochs);
    if (epochs > 0) steps = (long)ceil(epochs * (double)set.count / (double)whole_batch);

    Gan gan;
    Report report;
    GanOptions o = { .batch = (int)batch, .size = (int)size, .channels = recipe->style ? 3 : set.c, .classes = recipe->style ? style_count : set.classes, .steps = (int)steps,
                     .lr = lr, .lr_d = lr_d, .beta1 = beta1, .beta2 = beta2, .content_weight = content_weight, .style_weight = style_weight,
                     .tv_weight = tv_weight, .clip = clip, .seed = (uint64_t)seed };
    o.n_critic = (int)critic, o.penalty_weight = penalty_weight, o.weight_clip = weight_clip, o.smoothing = smoothing;
    o.sync_batchnorm = sync_batchnorm, o.weight_decay = weight_decay, o.diversity_weight = diversity, o.ema = average;
    while (o.body < BODIES && strcmp(body, gan_bodies[o.body])) o.body++;
    if (o.body == BODIES) die(2, "--body %s: expected residual, inception or separable", body);
    o.cycle_weight = cycle_weight, o.identity_weight = identity_weight, o.kl_weight = kl_weight;
    if (!*schedule) schedule = recipe->defaults.schedule == LINEAR ? "linear" : "constant";
    o.schedule = !strcmp(schedule, "linear") ? LINEAR : !strcmp(schedule, "cosine") ? COSINE : CONSTANT;
    if (o.schedule == CONSTANT && strcmp(schedule, "constant")) die(2, "--schedule %s: expected constant, linear or cosine", schedule);
    static StFile weights;
    if (*features && (o.vgg = features_open(&weights, features)) < 0) die(1, "%s", error_text());
    if (*features) o.weights = &weights;
    if (!gan_begin(&gan, recipe, &o, ops)) die(1, "%s: %s", *features ? features : "--size", error_text());
    printf("recipe %s: %s\ndata %s: %ld pictures of %dx%dx%d\ndevice %s\nG %ld parameters, %.1f million multiplications a picture; "
           "D %ld parameters; memory: networks %.0f MB, pictures %.0f MB\n",
           recipe->name, recipe->summary, data, set.count, set.h, set.w, set.c, device_name(ops), gan.g.parameters,
           net_multiplications(&gan.g) / 1e6, gan.d.parameters, gan_bytes(&gan) / 1e6,
           (double)set.count * set.stored_h * set.stored_w * (set.stored_c + (set.mask != NULL)) / 1e6);
    if (parallel_ranks > 1)
        printf("%d ranks, %ld of the %ld pictures of a step each%s\n", parallel_ranks, batch, whole_batch,
               !has_batchnorm(&gan) ? "" : sync_batchnorm ? "; batch norm over all of them" : "; batch norm over those of each rank");
    if (option_find(table, "--sync-batchnorm")->given == 1 && !has_batchnorm(&gan))
        die(2, "--sync-batchnorm: the recipe %s has no batch norm: omit it", recipe->name);
    if (penalty_weight > 0 && !net_has_tangent(&gan.d))
        die(2, "--penalty-weight %g: the discriminator of the recipe %s has batch norm, which mixes the pictures; the penalty is of each alone",
            penalty_weight, recipe->name);
    if (critic > 1 && gan_n_critic(&gan) == 1) die(2, "--critic %ld: the recipe %s updates D once in a step", critic, recipe->name);
    check_memory(&gan);
    host_images = malloc((size_t)(gan_n_critic(&gan) * batch * size * size * 3) * sizeof(float));
    host_mask = malloc((size_t)(batch * size * size) * sizeof(float));
    host_labels = calloc((size_t)(gan_n_critic(&gan) * batch), sizeof(float));
    if (!host_images || !host_mask || !host_labels) die(1, "not enough memory for a batch of pictures: use a smaller --batch or --size");
    if (!gan_finish(&gan)) die(1, "%s (this run needs %.0f MB)", error_text(), gan_bytes(&gan) / 1e6);
    if (*evaluate || *compress) {
        *evaluate ? evaluate_run(&gan, from) : compare_compressed(&gan, from, compressed);
        gan_free(&gan);
        imageset_free(&set);
        return 0;
    }
    if (from && !gan_load(&gan, from)) die(1, "%s", error_text());
    if (*init_from && !from) {
        const char *path = checkpoint_path("--init-from", init_from);
        if (!gan_load(&gan, path)) die(1, "--init-from %s", error_text());
        gan_begin_anew(&gan);
        printf("first weights from %s\n", path);
    }
    if (from) printf("resumed %s at step %ld\n", from, gan.step);
    if (gan.step >= steps && !dry_run && (gan.step > steps || !same || ended(from)))
        die(1, "--resume %s: step %ld of %ld is done already: give a larger --steps (or --epochs)", resume, gan.step, steps);
    fflush(stdout);

    if (dry_run) {
        for (int k = 0; k < 2; k++) {
            double begin = now();
            load_batch(&gan, k);
            gan_step(&gan, &report);
            double seconds = now() - begin;
            printf("dry run: step %d: D %.4f G %.4f, %.3f s, %ld steps would take about %.1f minutes\n", k + 1,
                   report.loss_d, report.loss_g, seconds, steps, seconds * (double)steps / 60);
        }
        gan_free(&gan);
        imageset_free(&set);
        return 0;
    }
    check_ranks(&gan);                                    /* all have their data and weights: now something may be written, */
    int writes = parallel_rank == 0;                      /* by one of them */
    if (writes) {
        make_folder(out);
        own_folder(!home);
        snprintf(path, sizeof path, "%s/samples", out);
        make_folder(path);
        save_options(&gan);
    }
    FILE *log = writes ? open_log(recipe, gan.step, origin) : fopen("/dev/null", "w");
    if (!log) die(1, "/dev/null: %s", strerror(errno));
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGHUP, on_signal);
    if (parallel_ranks > 1) signal(SIGUSR1, on_signal);   /* mpirun passes it on and waits; after Ctrl-C it kills all within seconds */
    signal(SIGPIPE, SIG_IGN);                             /* whoever read our lines has gone: the run goes on */

    double begin = now(), real_spread = 0;
    long first = gan.step, saved = same ? gan.step : -1;
    enum { STOP = 1, LATE };                              /* all ranks end after the same step, whichever of them was told to */
    int ended = 0;
    while (gan.step < steps && !(ended = parallel_any((stop ? STOP : 0) | (minutes > 0 && now() - begin > 60 * minutes ? LATE : 0)))) {
        load_batch(&gan, gan.step);
        if (gan.step == first)
            real_spread = batch_spread(host_images, batch, size * size * gan.options.channels);
        gan_step(&gan, &report);
        double seconds = now() - begin, rate = (double)(gan.step - first) / seconds;
        if (!isfinite(report.loss_d) || !isfinite(report.loss_g) || !isfinite(report.norm_d) || !isfinite(report.norm_g)) {
            const char *where = NULL;
            for (int i = 0; !where && gan_net(&gan, i); i++) where = net_find_not_finite(gan_net(&gan, i));
            fclose(log);
            die(1, "step %ld: the numbers are no longer finite, first in %s: %s. A lower --lr or --clip 1 helps.", gan.step,
                where ? where : "the losses",
                saved >= 0 ? "the last good checkpoint is kept" : "no checkpoint had been written yet");
        }
        fprintf(log, "%ld,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g", gan.step, report.loss_d, report.loss_g, report.d_real, report.d_fake,
                report.norm_d, report.norm_g, report.batch_std);
        for (int i = 0; recipe->part[i]; i++) fprintf(log, ",%.9g", report.part[i]);
        fprintf(log, ",%.3f\n", seconds);
        if (gan.d.nodes) diagnose(&report, gan.step, real_spread);
        if (gan.step % log_every == 0 || gan.step == steps) progress(&gan, &report, rate, seconds);
        if (writes && sample_every && gan.step % sample_every == 0) {
            save_samples(&gan, gan.step);
            fflush(log);
            save_plot();
        }
        if (checkpoint_every && gan.step % checkpoint_every == 0 && gan.step < steps) {
            fflush(log), fsync(fileno(log));              /* the log is never behind the checkpoint */
            check_ranks(&gan);
            if (writes && save_checkpoint(&gan)) saved = gan.step;
        }
    }
    progress_line("%s", "");
    check_ranks(&gan);
    if (!writes) return 0;
    int logged = !fflush(log) && !ferror(log), good = save_checkpoint(&gan);
    fclose(log);
    if (!sample_every || gan.step % sample_every) save_samples(&gan, gan.step);
    save_plot();
    save_report(&gan);
    snprintf(path, sizeof path, "%.4000s/log.csv: lines are missing, the disk refused them: make room there", out);
    if (!written(logged, path)) good = 0;
    if (gan.g_features) print_accuracy(&gan);
    if (ended & STOP) printf("stopped at step %ld; go on with: ./train --resume %s\n", gan.step, out);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%ld steps in %.0f s; peak memory %ld MB\nlook at %s/samples.png, or open %s/report.html\n", gan.step - first,
           now() - begin, usage.ru_maxrss / 1024, out, out);
    gan_free(&gan);
    imageset_free(&set);
    return good ? (ended & STOP ? 130 : 0) : 1;
}

int main(int argc, char **argv) {
    patient_threads(argv);
    return parallel_end(run(argc, argv));
}
