/* run.h: one run of the program train: its options, and what all of its parts work with.
 *
 * The parts: networks.h (what is trained), batch.h (what a recipe is fed with), sheets.h (what it
 * shows), folder.h (what it leaves), progress.h and diagnosis.h (what it says), evaluate.h (how
 * good it is). Only train.c includes them, and the page in a browser the diagnosis; the functions
 * that it calls are static inline. */
#ifndef RUN_H
#define RUN_H
#include "core/checkpoint.h"
#include "core/device.h"
#include "core/files.h"
#include "core/options.h"
#include "core/parallel.h"
#include "gan.h"
#include "images/images.h"
#include "training/diagnosis.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the program can be asked to do.
 * Option.jobs has the bits of the jobs that an option is for, ONCE where a checkpoint does not keep
 * it, and one of the bits below where only some recipes use it. */
enum { TRAINS = 1, EVALUATES = 2, COMPRESSES = 4, ONCE = 16,
       RUNS = TRAINS | EVALUATES };
enum { FOR_STYLES = 1 << 5, FOR_DATA = 1 << 6, FOR_TWO_SETS = 1 << 7, FOR_BODY = 1 << 8,
       FOR_MAKERS = 1 << 9, FOR_FEATURES = 1 << 10, FOR_ADVERSARIAL = 1 << 11,
       FOR_TARGETS = 1 << 12, FOR_CONTENT = 1 << 13, FOR_STYLE_LOSS = 1 << 14, FOR_CYCLE = 1 << 15,
       FOR_KL = 1 << 16, FOR_DIVERSITY = 1 << 17, FOR_TAIL = 1 << 18,
       FOR_TV = 1 << 19, FOR_ADAM = 1 << 20, FOR_SOME = -32 };

enum { RUN_OPTIONS = 64, RUN_CLASSES = 4096, RUN_PATH = 4200 };

/* What a step may be fed with, named as the device's arrays in Gan: where it goes, from where on
 * the host, how many numbers. to is NULL where the recipe has no such array. */
enum { FED_X_REAL, FED_CONTENT, FED_MASK, FED_OUTSIDE, FED_GIVEN, FED_LABELS, FEEDS };
typedef struct Fed { real *to; float *from; long count; } Fed;

typedef struct Run {
    /* the options; options.batch: of all ranks together (gan.options.batch: of this one) */
    GanOptions options;
    const char *recipe_name, *data, *data_b, *data_dir, *style, *out, *features, *init_from;
    const char *resume, *augment, *classes, *evaluate, *classifier, *compress;
    double epochs, minutes, style_scale, prune;
    int limit, threads, sample_every, checkpoint_every, keep_checkpoints, log_every, samples;
    int quantize, device, precision;
    int dry_run, overwrite, help;
    Option table[RUN_OPTIONS];
    unsigned job;

    /* where it comes from and goes to */
    char from[RUN_PATH], origin[RUN_PATH];  /* its first checkpoint, or "", and that one's folder */
    char own[RUN_PATH];                     /* the default of --out */
    const char *folders[4];                 /* old and new: it does not learn from pictures there */
    int same, home;                         /* 1: its own checkpoint is there; it goes on there */
    int lock, writes;                       /* of the folder; 1: this rank writes the files */
    int disk_told;                          /* the user knows that the disk refuses */
    FILE *log;

    /* what it learns from */
    const Recipe *recipe;
    ImageSet set, others;                   /* --data; --data-b */
    int class_of_row[RUN_CLASSES], class_rows;           /* the classes that pictures of set have */
    Image *styles;                          /* each at least as large as a crop */
    int style_count, augmenting;
    Augment augmentation;
    int *order;                             /* of the pictures in this epoch of an endless walk */
    long epoch;

    /* the networks, and room on the host */
    Gan gan;
    StFile weights;                         /* of --features */
    Fed fed[FEEDS];                         /* the batch of the next step */
    float *pixels, *masks, *made;           /* of a batch, for sheets and evaluation */

    /* how it goes */
    double begin, before;                   /* seconds: when, and of the run that is resumed */
    long first, plotted;                    /* its first step; that of the last plot */
    Diagnosis diagnosis;
} Run;

/* Are crops of styles all that it sees? */
static int feeds_on_crops(const Recipe *recipe) {
    return recipe->feeds == FEED_CROPS || recipe->feeds == FEED_CLOTH;
}
static int feeds_on_styles(const Recipe *r) {
    return feeds_on_crops(r) || r->feeds == FEED_GARMENTS || r->feeds == FEED_STYLES;
}

static const char *in_folder(const Run *run, char path[RUN_PATH], const char *name) {
    snprintf(path, RUN_PATH, "%s/%s", run->out, name);
    return path;
}

/* size * size * channels */
static inline long picture_floats(const Run *run, int channels) {
    return (long)run->options.size * run->options.size * channels;
}

static void run_table(Run *run) {
    GanOptions *o = &run->options;
    const Option table[] = {
    TEXT_OPTION("--recipe", &run->recipe_name, "dcgan", RUNS, "what to train, see above"),
    TEXT_OPTION("--data", &run->data, "fashion-mnist", RUNS | FOR_DATA,
                "fashion-mnist[:train|:test][:plain|:patterned|:tinted], synthetic[:N], an IDX "
                "file (.gz too), or a folder"),
    TEXT_OPTION("--style", &run->style, "", RUNS | FOR_STYLES,
                "a picture, a .pat pattern, a folder of them, or synthetic[:K]"),
    TEXT_OPTION("--out", &run->out, "", TRAINS | COMPRESSES,
                "the run's folder (default runs/RECIPE)"),
    INT_OPTION("--steps", &o->steps, NULL, 1, 1e9, TRAINS, "training steps"),
    REAL_OPTION("--epochs", &run->epochs, "0", 0, 1e6, TRAINS | FOR_DATA,
                "instead of --steps: how often the data set's size in pictures is drawn"),
    REAL_OPTION("--minutes", &run->minutes, "0", 0, 1e6, TRAINS | ONCE,
                "stop after so many minutes if --steps are not done by then; 0: no limit"),
    INT_OPTION("--batch", &o->batch, NULL, 1, 4096, RUNS,
               "pictures per step, of all ranks together"),
    FLAG_OPTION("--sync-batchnorm", &o->sync_batchnorm, RUNS,
                "several ranks: batch norm over the pictures of all of them"),
    INT_OPTION("--size", &o->size, NULL, 8, 1024, RUNS,
               "height and width of the training pictures"),
    REAL_OPTION("--lr", &o->lr, NULL, 1e-12, 1e6, TRAINS, "Adam's learning rate"),
    REAL_OPTION("--lr-d", &o->lr_d, NULL, 0, 1e6, TRAINS | FOR_ADVERSARIAL,
                "the discriminator's own learning rate, 0: as --lr"),
    REAL_OPTION("--beta1", &o->beta1, NULL, 0, 0.999999, TRAINS | FOR_ADAM,
                "Adam's first moment decay"),
    REAL_OPTION("--beta2", &o->beta2, NULL, 0, 0.999999, TRAINS | FOR_ADAM,
                "Adam's second moment decay"),
    REAL_OPTION("--content-weight", &o->content_weight, NULL, 0, 1e6, RUNS | FOR_CONTENT,
                "F9: keep the light (style, pattern), features (adain, vaegan), pixels (pix2pix)"),
    REAL_OPTION("--style-weight", &o->style_weight, NULL, 0, 1e6, RUNS | FOR_STYLE_LOSS,
                "F8: match the style's Gram matrices; adain: its means and deviations"),
    REAL_OPTION("--tv-weight", &o->tv_weight, NULL, 0, 1e6, RUNS | FOR_TV, "F10, total variation"),
    REAL_OPTION("--style-scale", &run->style_scale, "0", 0, 32, RUNS | FOR_STYLES,
                "above 1 shows more of the style, smaller; 0: 1; cloth: motifs of 16 to 32 pixels"),
    TEXT_OPTION("--features", &run->features, "", RUNS | FOR_FEATURES,
                "style/features.safetensors, VGG16's or VGG19's; without it, random features"),
    REAL_OPTION("--clip", &o->clip, NULL, 0, 1e12, TRAINS, "largest gradient norm, 0: no limit"),
    TEXT_OPTION("--data-b", &run->data_b, "fashion-mnist:patterned", RUNS | FOR_TWO_SETS,
                "what the pictures of --data are to become like"),
    REAL_OPTION("--cycle-weight", &o->cycle_weight, NULL, 0, 1e6, RUNS | FOR_CYCLE, "F15"),
    REAL_OPTION("--identity-weight", &o->identity_weight, NULL, 0, 1e6, RUNS | FOR_CYCLE, "F15"),
    REAL_OPTION("--kl-weight", &o->kl_weight, NULL, 0, 1e6, RUNS | FOR_KL, "F14"),
    INT_OPTION("--critic", &o->n_critic, NULL, 0, 100, RUNS, "updates of D for one of G"),
    REAL_OPTION("--penalty-weight", &o->penalty_weight, NULL, 0, 1e6, RUNS | FOR_ADVERSARIAL,
                "F12, gradient penalty, 0: none"),
    REAL_OPTION("--weight-clip", &o->weight_clip, NULL, 0, 1e6, RUNS | FOR_ADVERSARIAL,
                "F11, limit of D's weights, 0: none"),
    REAL_OPTION("--smoothing", &o->smoothing, "0", 0, 0.999, TRAINS | FOR_TARGETS,
                "one-sided label smoothing: D's target for a real picture is 1 - this"),
    REAL_OPTION("--weight-decay", &o->weight_decay, "0", 0, 1, TRAINS,
                "L2: this times the weight is added to its gradient"),
    REAL_OPTION("--diversity", &o->diversity_weight, NULL, 0, 1e6, RUNS | FOR_DIVERSITY,
                "reward for pictures that differ when their noise does"),
    REAL_OPTION("--average", &o->ema, NULL, 0, 0.99999, TRAINS | FOR_MAKERS,
                "pictures by a moving average of G's weights (EMA), such as 0.999; 0: by the last"),
    WORD_OPTION("--body", &o->body, "residual inception separable", "residual", RUNS | FOR_BODY,
                "blocks of the generators that repaint: residual, inception, separable"),
    INT_OPTION("--tail", &o->tail, NULL, 0, 256, RUNS | FOR_TAIL,
               "so many channels before G's last layer, 4x4 kernels, no grain; 0: none, 5x5"),
    WORD_OPTION("--schedule", &o->schedule, "constant linear cosine", NULL, TRAINS,
                "of the rates: constant, linear (to 0 in the second half), cosine"),
    TEXT_OPTION("--init-from", &run->init_from, "", TRAINS,
                "first weights from another run of the same recipe (its folder or checkpoint)"),
    TEXT_OPTION("--augment", &run->augment, "none", TRAINS | FOR_DATA,
                "all, none, or a list of rotation, shift, shear, zoom, flip (=range)"),
    TEXT_OPTION("--classes", &run->classes, "", RUNS | FOR_DATA,
                "only pictures of these classes, such as 0,3,6; of --data-b too where both are "
                "Fashion-MNIST or synthetic"),
    INT_OPTION("--limit", &run->limit, "0", 0, 1e9, RUNS | FOR_DATA,
               "use only the first N pictures of --data and of --data-b, of those classes; 0: all"),
    SEED_OPTION("--seed", &o->seed, "1", RUNS, "all that is random follows from it"),
    WORD_OPTION("--device", &run->device, DEVICE_WORDS, "auto", RUNS,
                "cuda: an NVIDIA GPU; cpu; naive: the textbook loops; auto: cuda if there is one"),
    WORD_OPTION("--precision", &run->precision, PRECISION_WORDS, "float32", RUNS,
                "cuda's matrix products: float32; faster and coarser: tf32, bf16"),
    INT_OPTION("--threads", &run->threads, "0", 0, 1024, RUNS | COMPRESSES | ONCE,
               "OpenMP threads, 0: all; results do not depend on it"),
    INT_OPTION("--sample-every", &run->sample_every, "100", 0, 1e9, TRAINS,
               "steps between sample sheets, 0: only at the end"),
    INT_OPTION("--checkpoint-every", &run->checkpoint_every, "250", 0, 1e9, TRAINS,
               "steps between checkpoints, 0: only at the end"),
    INT_OPTION("--keep-checkpoints", &run->keep_checkpoints, "0", 0, 1e6, TRAINS,
               "the newest N stay, as checkpoint-STEP.safetensors, to go back to with --resume"),
    INT_OPTION("--log-every", &run->log_every, "25", 1, 1e9, TRAINS, "steps between printed lines"),
    TEXT_OPTION("--resume", &run->resume, "", TRAINS | ONCE,
                "continue this run (its folder or checkpoint) with the options it had"),
    FLAG_OPTION("--overwrite", &run->overwrite, TRAINS | COMPRESSES | ONCE,
                "start anew in a folder that holds a run already"),
    FLAG_OPTION("--dry-run", &run->dry_run, TRAINS | ONCE,
                "two steps to see memory and speed; nothing is written"),
    TEXT_OPTION("--data-dir", &run->data_dir, "", RUNS | FOR_DATA,
                "where Fashion-MNIST lies (default /usr/share/datasets/fashion-mnist)"),
    TEXT_OPTION("--evaluate", &run->evaluate, "", EVALUATES | ONCE,
                "measure this run (folder, checkpoint or compressed file) instead of training"),
    TEXT_OPTION("--classifier", &run->classifier, "", EVALUATES | ONCE,
                "a run of --recipe classifier on the same data and size, to judge by"),
    INT_OPTION("--samples", &run->samples, "10000", 10, 1e6, EVALUATES | ONCE,
               "how many pictures --evaluate draws"),
    TEXT_OPTION("--compress", &run->compress, "", COMPRESSES | ONCE,
                "write this run's generator to the file --out, smaller, instead of training"),
    REAL_OPTION("--prune", &run->prune, "0", 0, 0.99, COMPRESSES | ONCE,
                "of --compress: this share of each weight tensor, the smallest, becomes zero"),
    WORD_OPTION("--quantize", &run->quantize, "float16 int8", "float16", COMPRESSES | ONCE,
                "of --compress: float16, or int8 with a scale for each output channel"),
    FLAG_OPTION("--help", &run->help, RUNS | COMPRESSES | ONCE, "this text"),
    END_OF_OPTIONS };
    _Static_assert(sizeof table <= sizeof run->table, "RUN_OPTIONS");
    memcpy(run->table, table, sizeof table);
}

/* Of the options that are not for all recipes, the bits of those that this one uses */
static unsigned recipe_bits(const Recipe *r) {
    static const struct { const char *part; unsigned bit; } parts[] = {
        { "adversarial", FOR_ADVERSARIAL }, { "content", FOR_CONTENT }, { "l1", FOR_CONTENT },
        { "patches", FOR_CONTENT }, { "reconstruction", FOR_CONTENT }, { "tv", FOR_TV },
        { "style", FOR_STYLE_LOSS }, { "cycle", FOR_CYCLE }, { "kl", FOR_KL },
        { "diversity", FOR_DIVERSITY } };
    unsigned bits = (r->body ? FOR_BODY : 0) | (r->tail ? FOR_TAIL : 0)
                  | (r->rmsprop ? 0 : FOR_ADAM);
    for (int k = 0; r->part[k]; k++)
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            if (!strcmp(r->part[k], parts[i].part)) bits |= parts[i].bit;
    if (bits & FOR_ADVERSARIAL && r->objective == BCE) bits |= FOR_TARGETS;
    if (feeds_on_styles(r)) bits |= FOR_STYLES;
    if (r->feeds == FEED_STYLES) bits |= FOR_FEATURES;
    if (r->feeds == FEED_UNPAIRED) bits |= FOR_TWO_SETS;
    if (!feeds_on_crops(r)) bits |= FOR_DATA;
    if (r->feeds != FEED_CROPS && r->feeds != FEED_LABELS) bits |= FOR_MAKERS;
    return bits;
}

static void add_name(char list[500], const char *name) {
    size_t n = strlen(list);
    snprintf(list + n, 500 - n, "%s%s", n ? ", " : "", name);
}

/* Options of other jobs are refused, and names that files whose text is UTF-8 cannot keep */
static void refuse_of_other_jobs(Run *run) {
    static const char *const jobs[] = { "training", "--evaluate", "--compress" };
    const Option *other = option_not_for(run->table, run->job);
    char list[500] = "";
    for (int k = 0; other && k < 3; k++)
        if (other->jobs >> k & 1) add_name(list, jobs[k]);
    if (other) die(2, "%s: for %s only: omit it", other->name, list);
    for (const Option *o = run->table; o->name; o++)
        if (o->kind == OPTION_TEXT && !st_is_text(*(const char **)o->value))
            die(2, "%s: a name that is not UTF-8, which a checkpoint cannot keep: rename it",
                o->name);
}

static void refuse_of_other_recipes(Run *run) {
    for (const Option *o = run->table; o->name; o++) {
        unsigned bits = o->jobs & FOR_SOME;
        char list[500] = "";
        if (o->given != 1 || !bits || bits & recipe_bits(run->recipe)) continue;
        for (const Recipe *r = recipes; r->name; r++)
            if (bits & recipe_bits(r)) add_name(list, r->name);
        die(2, "%s: the recipe %s has no use for it: omit it, or choose one of %s", o->name,
            run->recipe->name, list);
    }
}

/* the checkpoint that an option names: a run's folder's, or the file itself */
static void checkpoint_path(char path[RUN_PATH], const char *option, const char *name) {
    if (access(name, F_OK))
        die(1, "%s %s: %s: expected a run's folder or its checkpoint", option, name,
            strerror(errno));
    snprintf(path, RUN_PATH, is_folder(name) ? "%.4000s/checkpoint.safetensors" : "%.4000s", name);
}

/* Fills the options from the command line and chooses the job. */
static inline void run_parse(Run *run, int argc, char **argv) {
    run_table(run);
    options_parse(run->table, argc, argv);
    if (run->help) return;
    static const char *const option[] = { "--resume", "--evaluate", "--compress" };
    const char *from[] = { run->resume, run->evaluate, run->compress };
    if (!!*from[0] + !!*from[1] + !!*from[2] > 1)
        die(2, "--resume, --evaluate and --compress: expected one of them");
    run->job = *run->evaluate ? EVALUATES : *run->compress ? COMPRESSES : TRAINS;
    if (parallel_ranks() > 1 && run->job != TRAINS)
        die(2, "--evaluate and --compress are for one process: start them without mpirun");
    refuse_of_other_jobs(run);
    if (*run->resume && *run->init_from) die(2, "--resume and --init-from: expected one of them");
    for (int k = 0; k < 3; k++)
        if (*from[k]) checkpoint_path(run->from, option[k], from[k]);
}

/* The options of the run that is resumed take the place of defaults; the command line goes before
 * them. */
static void resume_options(Run *run) {
    StFile file;
    must(checkpoint_open(&file, run->from));
    const char *recipe = st_meta(&file, "recipe"), *name = run->recipe_name;
    int steps_given = option_given(run->table, "--steps") == 1;
    if (!recipe)
        die(1, "%s: not a checkpoint of this program (no recipe in its metadata)", run->from);
    if (option_given(run->table, "--recipe") && strcmp(recipe, name))
        die(1, "%s: made with --recipe %.40s, not %s: omit --recipe, or train %s in another --out",
            run->from, recipe, name, name);
    for (Option *o = run->table; o->name; o++) {
        const char *kept = st_meta(&file, o->name);
        if (!kept || o->given || o->jobs & ONCE) continue;
        if (steps_given && !strcmp(o->name, "--epochs")) continue;   /* --steps takes its place */
        options_set(o, o->kind == OPTION_TEXT ? strdup(kept) : kept, "checkpoint: ");
        o->given = 2;
    }
    st_close(&file);
}

/* What the command line does not say, the resumed run and the recipe say. What does not fit is
 * refused. */
static inline void run_settle(Run *run) {
    GanOptions *o = &run->options;
    int count = 0, ranks = parallel_ranks();
    if (*run->from) resume_options(run);
    const Recipe *r = run->recipe = recipe_find(run->recipe_name);
    while (recipes[count].name) count++;
    if (!r) die(2, "unknown recipe '%s'%s: --help lists them all", run->recipe_name,
                did_you_mean(run->recipe_name, recipes, count, sizeof *recipes));
    options_defaults(run->table, o, &r->defaults, sizeof *o);
    if (r->data && !option_given(run->table, "--data")) run->data = r->data;
    if (o->size % r->multiple)
        die(2, "--size %d: the recipe %s needs a multiple of %d", o->size, r->name, r->multiple);
    refuse_of_other_recipes(run);
    if (run->style_scale > 0 && run->style_scale < 0.125)
        die(2, "--style-scale %g: expected 0, or 0.125 to 32", run->style_scale);
    if (o->batch % ranks)
        die(2, "--batch %d: expected a multiple of %d, since each of the %d ranks takes an equal "
            "share", o->batch, ranks, ranks);
    if (o->diversity_weight > 0 && o->batch < 2 * ranks && !*run->from)
        die(2, "--diversity %g: two pictures of a process's batch are compared: expected --batch "
            "%d or more, or --diversity 0", o->diversity_weight, 2 * ranks);
    if (!parallel_possible() && option_given(run->table, "--sync-batchnorm") == 1)
        die(2, "--sync-batchnorm: this program was built for one process: make MPI=1, then mpirun "
            "-np 2 ./train ..., or omit it");
    if (run->epochs > 0 && option_given(run->table, "--steps") == 1
        && option_given(run->table, "--epochs") == 1)
        die(2, "--steps %d and --epochs %g: expected one of the two", o->steps, run->epochs);
}

static inline void run_help(Run *run) {
    printf("usage: ./train [options]     trains a GAN and leaves samples, loss curves and a "
        "checkpoint in a folder\n\n"
        "  ./train                                        new garments from Fashion-MNIST\n"
        "  ./train --recipe style --style flowers.pat     prints that pattern onto garments\n"
        "  ./train --resume runs/dcgan                    goes on where a run stopped\n"
        "  mpirun -np 4 ./train --sync-batchnorm          with make MPI=1: four processes, a "
        "quarter of the batch each\n"
        "  ./train --recipe classifier                    learns the ten classes, to judge by:\n"
        "  ./train --evaluate runs/dcgan --classifier runs/classifier\n"
        "  ./train --compress runs/dcgan --prune 0.5 --quantize int8 --out small.safetensors\n\n"
        "recipes, with their defaults (0, or constant, where an option is not named):\n");
    for (const Recipe *r = recipes; r->name; r++) {
        int column = 0;
        run->options = r->defaults;
        printf("  %-8s %s   (%s)\n          ", r->name, r->summary, r->source);
        for (const Option *o = run->table; o->name; o++) {
            char buffer[64];
            const char *text = option_text(o, buffer);
            if (o->fallback || !strcmp(text, "0") || !strcmp(text, "constant")) continue;
            if (column > 90) printf("\n          "), column = 0;
            column += o->kind == OPTION_REAL ? printf(" %s %g", o->name, *(double *)o->value)
                                             : printf(" %s %s", o->name, text);
        }
        printf(r->data ? " --data %s\n" : "\n", r->data);
    }
    printf("\noptions:\n");
    options_help(run->table, "by recipe");
}
#endif
