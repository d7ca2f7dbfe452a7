/* train.c: the program `train`: it trains a recipe (gan.h) on pictures.
 *
 *     options -> data -> networks -> folder, then for each step:
 *         upload_batch   the pictures of the step                    (training/batch.h)
 *         gan_step_begin, gan_step_end   D's update, then G's (cyclegan: G's first);
 *                        between them the next batch is prepared     (gan.c)
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
#include "training/networks.h"
#include "training/progress.h"
#include "training/run.h"
#include "training/sheets.h"
#include <math.h>
#include <signal.h>
#include <sys/resource.h>

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
    sigfillset(&ours.sa_mask);
    for (int i = 0; i < ends; i++)
        if (!sigaction(end[i], NULL, &old) && old.sa_handler != SIG_IGN)
            sigaction(end[i], &ours, NULL);
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
        "helps.", run->gan.step, where ? where : "the losses", run->same ?
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
    diagnose(&run->diagnosis, gan, report, run->fed[FED_X_REAL].from);
    if (gan->step % run->log_every == 0 || last) progress(run, report, seconds);
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
    prepare_batch(run, gan->step);          /* bad data end the program before an old run goes */
    folder_begin(run);
    catch_signals();
    run->begin = now();
    while (gan->step < run->options.steps && !(over = is_over(run))) {
        upload_batch(run);
        gan_step_begin(gan);
        if (gan->step + 1 < run->options.steps) prepare_batch(run, gan->step + 1);
        gan_step_end(gan, &report);
        if (gan->recipe->objective == RELATIVISTIC)   /* without F33, which every fourth step has */
            report.loss_d -= gan->options.penalty_weight * report.penalty;
        record(run, &report);
    }
    progress_line("%s", "");
    check_ranks(gan);
    if (!run->writes) return 0;
    int good = folder_end(run);
    if (run->recipe->feeds == FEED_LABELS) print_accuracy(run);
    if (over & STOPPED)
        tell("stopped at step %ld; go on with: ./train --resume %s", gan->step, run->out);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    int sheets = run->recipe->feeds < FEED_CROPS;
    tell("%ld steps in %.0f s; peak memory %ld MB", gan->step - run->first, now() - run->begin,
         usage.ru_maxrss / 1024);
    tell("look at %s%s%s/report.html", sheets ? run->out : "",
         sheets ? "/samples.png, or open " : "", run->out);
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
    GanOptions *o = &run->options;
    int status = 0;
    if (run->job == COMPRESSES) return compress(run), 0;
    run_settle(run);
    if (run->job == EVALUATES) check_measurable(run);
    const Ops *ops = device_open(run->device, run->precision);
    if (!ops) die(2, "%s", error_text());
    if (run->threads && !device_threads(run->threads))
        say("built without OpenMP: --threads %d has no effect", run->threads);
    folder_open(run);
    data_open(run);
    double drawn = o->batch * fmax(1, o->n_critic);                  /* pictures a step */
    if (run->epochs > 0) o->steps = fmin(1e9, ceil(run->epochs * run->set.count / drawn));
    networks_open(run, ops);
    if (run->job == EVALUATES) evaluate(run);
    else {
        load_weights(run);
        status = run->dry_run ? dry_run(run) : train(run);
    }
    gan_free(&run->gan), imageset_free(&run->set);
    return status;
}

int main(int argc, char **argv) {
    static Run run;
    int status = 0;
    program_begin(argv);
    parallel_begin("train");
    run_parse(&run, argc, argv);
    if (run.help) run_help(&run);
    else status = run_job(&run);
    return parallel_end(status);
}
