/* train.c: the program `train`: it trains a recipe (gan.h) on pictures.
 *
 *     options -> data -> networks -> folder, then for each step:
 *         upload_batch   the pictures of the step                    (training/batch.h)
 *         gan_step       D's update, then G's; while a GPU computes,
 *                        the next batch is prepared                  (gan.c)
 *         record         log, samples, checkpoint                    (training/folder.h)
 *
 * --evaluate and --compress measure a run, or make it smaller, instead of that (evaluate.h).
 * Exit status: 0 done, 1 bad input or failed training, 2 usage, 130 stopped by Ctrl-C (with a
 * checkpoint). */
#define _GNU_SOURCE
#include "core/device.h"
#include "training/batch.h"
#include "training/evaluate.h"
#include "training/folder.h"
#include "training/progress.h"
#include "training/run.h"
#include "training/sheets.h"
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#ifdef _OPENMP
#include <omp.h>
#endif

/* ---------------------------------------------------------------- the networks */

static int has_batchnorm(const Gan *gan) {
    const Net *net;
    for (int k = 0; (net = gan_net(gan, k)); k++)
        for (int i = 0; i < net->nodes; i++)
            if (net->node[i].running >= 0) return 1;
    return 0;
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
    if (o.batch) snprintf(advice, sizeof advice, "--batch %d fits", o.batch * parallel_ranks());
    die(1, "not enough memory: this run needs %.0f MB, %.0f MB are free (%s): %s", need / 1e6,
        have / 1e6, device_name(gan->ops), advice);
}

/* What the recipe's networks cannot do is refused */
static void check_networks(Run *run) {
    const Gan *gan = &run->gan;
    const GanOptions *o = &gan->options;
    const char *name = run->recipe->name;
    if (option_given(run->table, "--sync-batchnorm") == 1 && !has_batchnorm(gan))
        die(2, "--sync-batchnorm: the recipe %s has no batch norm: omit it", name);
    if (o->penalty_weight > 0 && !net_has_tangent(&gan->d))
        die(2, "--penalty-weight %g: the discriminator of the recipe %s has batch norm, which "
            "mixes the pictures; the penalty is of each alone", o->penalty_weight, name);
    if (o->n_critic > 1 && gan_n_critic(gan) == 1)
        die(2, "--critic %d: the recipe %s updates D once in a step", o->n_critic, name);
    check_memory(gan);
}

static void print_networks(const Run *run) {
    const Gan *gan = &run->gan;
    const ImageSet *set = &run->set;
    int stored = set->stored_c + (set->mask != NULL);
    double bytes = 1. * set->count * set->stored_h * set->stored_w * stored;
    printf("recipe %s: %s\ndata %s: %ld pictures of %dx%dx%d\ndevice %s\n", run->recipe->name,
           run->recipe->summary, run->data, set->count, set->h, set->w, set->c,
           device_name(gan->ops));
    printf("G %ld parameters, %.1f million multiplications a picture; D %ld parameters; "
           "memory: networks %.0f MB, pictures %.0f MB\n", gan->g.parameters,
           net_multiplications(&gan->g) / 1e6, gan->d.parameters, gan_bytes(gan) / 1e6,
           bytes / 1e6);
    const char *batchnorm = !has_batchnorm(gan) ? ""
        : gan->options.sync_batchnorm ? "; batch norm over all of them"
                                      : "; batch norm over those of each rank";
    if (parallel_ranks() > 1)
        printf("%d ranks, %d of the %d pictures of a step each%s\n", parallel_ranks(),
               gan->options.batch, run->options.batch, batchnorm);
}

static void networks_open(Run *run, const Ops *ops) {
    Gan *gan = &run->gan;
    int styled = feeds_on_styles(run->recipe);
    double palette[12 + 2 * 16] = {0};
    GanOptions o = run->options;
    o.batch /= parallel_ranks();
    o.channels = styled ? 3 : run->set.c, o.classes = styled ? run->style_count : run->set.classes;
    if (*run->features) {
        o.vgg = features_open(&run->weights, run->features), o.weights = &run->weights;
        must(o.vgg >= 0);
    }
    if (run->recipe->feeds == FEED_CLOTH) style_palette(run, palette), o.palette = palette;
    if (!gan_begin(gan, run->recipe, &o, ops))
        die(1, "%s: %s", *run->features ? run->features : "--size", error_text());
    print_networks(run);
    check_networks(run);
    long pixels = picture_floats(run, o.batch);
    run->pixels = floats(pixels * 3), run->masks = floats(pixels);
    run->labels = floats(o.batch), run->made = floats(pixels * 3);
    if (!gan_finish(gan)) die(1, "%s (this run needs %.0f MB)", error_text(), gan_bytes(gan) / 1e6);
    batch_open(run);
}

/* ---------------------------------------------------------------- what all jobs begin with */

/* Everything that a job works with, up to networks with their first weights */
static void run_open(Run *run) {
    run_settle(run);
    if (run->job != TRAINS) check_measurable(run, run->recipe);
    const Ops *ops = device_open(run->device, run->precision);
    if (!ops) die(2, "%s", error_text());
#ifdef _OPENMP
    if (run->threads) omp_set_num_threads(run->threads);
#else
    if (run->threads > 1) say("built without OpenMP: --threads %d has no effect", run->threads);
#endif
    folder_open(run);
    data_open(run);
    GanOptions *o = &run->options;
    if (run->epochs > 0) o->steps = fmin(1e9, ceil(run->epochs * run->set.count / o->batch));
    networks_open(run, ops);
}

static void run_close(Run *run) {
    gan_free(&run->gan);
    imageset_free(&run->set);
}

/* The weights of the run that goes on, or of that which --init-from names */
static void load_weights(Run *run) {
    Gan *gan = &run->gan;
    int steps = run->options.steps;
    if (*run->from) {
        must(gan_load(gan, run->from));
        printf("resumed %s at step %ld\n", run->from, gan->step);
    } else if (*run->init_from) {
        char path[RUN_PATH];
        checkpoint_path(path, "--init-from", run->init_from);
        if (!gan_load(gan, path)) die(1, "--init-from %s", error_text());
        gan_begin_anew(gan);
        printf("first weights from %s\n", path);
    }
    int killed_late = gan->step == steps && run->same && !folder_is_complete(run);
    if (gan->step >= steps && !run->dry_run && !killed_late)
        die(1, "--resume %s: step %ld of %d is done already: give a larger --steps (or --epochs)",
            run->resume, gan->step, steps);
    fflush(stdout);
}

/* ---------------------------------------------------------------- training */

static volatile sig_atomic_t stop;
/* Some terminals and `timeout --foreground` deliver a signal twice: the same one again within a
 * second changes nothing; later, it ends the program at once. */
static void on_signal(int s) {
    static double told;                     /* when: of use to this function only, never half set */
    if (s != stop) stop = s, told = now();
    else if (now() - told > 1) {
        signal(s, SIG_DFL);
        raise(s);
    }
}

/* A signal that was ignored when the program began stays so: nohup, sh's background jobs */
static void catch_signals(void) {
    static const int end[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1 };
    int ends = parallel_ranks() > 1 ? 4 : 3;           /* mpirun passes SIGUSR1 on and waits */
    struct sigaction old, ours = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    for (int i = 0; i < ends; i++) sigaddset(&ours.sa_mask, end[i]);
    for (int i = 0; i < ends; i++)
        if (!sigaction(end[i], NULL, &old) && old.sa_handler != SIG_IGN)
            sigaction(end[i], &ours, NULL);
    signal(SIGPIPE, SIG_IGN);               /* nobody reads our lines any more: the run goes on */
}

/* All ranks end after the same step, whichever of them was told to */
enum { STOPPED = 1, LATE };
static int is_over(const Run *run) {
    int late = run->minutes > 0 && now() - run->begin > 60 * run->minutes;
    return parallel_any((stop ? STOPPED : 0) | (late ? LATE : 0));
}

/* All ranks began with the same weights and added the same to them; if not, none of them is
 * worth keeping. */
static void check_ranks(const Gan *gan) {
    if (parallel_ranks() > 1 && !parallel_same(gan_hash(gan)))
        die(1, "step %ld: the ranks do not hold the same weights, nothing is written: expected the "
            "same options, the same build and the same kind of processor for all of them, and "
            "sound memory", gan->step);
}

static void check_finite(const Run *run, const Report *r) {
    const char *where = NULL;
    if (isfinite(r->loss_d + r->loss_g + r->norm_d + r->norm_g)) return;
    for (int i = 0; !where && gan_net(&run->gan, i); i++)
        where = net_find_not_finite(gan_net(&run->gan, i));
    die(1, "step %ld: the numbers are no longer finite, first in %s: %s. A lower --lr or --clip 1 "
        "helps.", run->gan.step, where ? where : "the losses", run->saved >= 0 ?
        "the last good checkpoint is kept" : "no checkpoint had been written yet");
}

/* What a step leaves: a line in log.csv; now and then a printed line, sheets, a checkpoint; a plot
 * of the whole run when it has become a quarter longer */
static void record(Run *run, const Report *report) {
    const Gan *gan = &run->gan;
    int last = gan->step == run->options.steps;
    double seconds = now() - run->begin;
    check_finite(run, report);
    log_step(run, report, seconds);
    diagnose(&run->diagnosis, &run->gan, report, run->fed[FED_X_REAL].from);
    if (gan->step % run->log_every == 0 || last)
        progress(run, report, (gan->step - run->first) / seconds, seconds);
    if (run->writes && run->sample_every && gan->step % run->sample_every == 0) {
        save_sheets(run);
        if (4 * (gan->step - run->plotted) >= run->plotted) save_plot(run);
    }
    if (run->checkpoint_every && gan->step % run->checkpoint_every == 0 && !last) {
        check_ranks(gan);
        if (run->writes) save_checkpoint(run);
    }
}

static int train(Run *run) {
    Gan *gan = &run->gan;
    Report report;
    int over = 0;
    check_ranks(gan);                       /* all are ready: now something may be written */
    run->first = gan->step;
    folder_begin(run);
    catch_signals();
    run->begin = now(), run->saved = run->same ? gan->step : -1;
    prepare_batch(run, gan->step);
    while (gan->step < run->options.steps && !(over = is_over(run))) {
        upload_batch(run);
        gan_step_begin(gan);
        if (gan->step + 1 < run->options.steps) prepare_batch(run, gan->step + 1);
        gan_step_end(gan, &report);
        record(run, &report);
    }
    progress_line("%s", "");
    check_ranks(gan);
    if (!run->writes) return 0;
    int good = folder_end(run);
    if (run->recipe->feeds == FEED_LABELS) print_accuracy(run);
    if (over & STOPPED)
        printf("stopped at step %ld; go on with: ./train --resume %s\n", gan->step, run->out);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%ld steps in %.0f s; peak memory %ld MB\n"
           "look at %s/samples.png, or open %s/report.html\n", gan->step - run->first,
           now() - run->begin, usage.ru_maxrss / 1024, run->out, run->out);
    return !good ? 1 : over & STOPPED ? 130 : 0;
}

/* Two steps, to see memory and speed; nothing is written */
static int dry_run(Run *run) {
    int steps = run->options.steps;
    for (int k = 0; k < 2; k++) {
        Report report;
        double begin = now();
        prepare_batch(run, k);
        upload_batch(run);
        gan_step(&run->gan, &report);
        double seconds = now() - begin;
        printf("dry run: step %d: D %.4f G %.4f, %.3f s, %d steps would take about %.1f minutes\n",
               k + 1, report.loss_d, report.loss_g, seconds, steps, seconds * steps / 60);
    }
    return 0;
}

static int run_job(Run *run) {
    int status = 0;
    if (run->job == COMPRESSES || run->job == COMPARES) compress(run);
    if (run->job == COMPRESSES) return 0;
    run_open(run);
    if (run->job == EVALUATES) evaluate(run);
    else if (run->job == COMPARES) compare_compressed(run);
    else {
        load_weights(run);
        status = run->dry_run ? dry_run(run) : train(run);
    }
    run_close(run);
    return status;
}

int main(int argc, char **argv) {
    static Run run;
    int status = 0;
    patient_threads(argv);
    parallel_begin("train");
    run_parse(&run, argc, argv);
    if (run.help) run_help(&run);
    else status = run_job(&run);
    return parallel_end(status);
}
