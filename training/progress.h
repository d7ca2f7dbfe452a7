/* progress.h: what a run says while it trains. */
#ifndef PROGRESS_H
#define PROGRESS_H
#include "training/run.h"
#include <math.h>
#include <sys/ioctl.h>

/* After a step: its line, one that is rewritten on a terminal. rate: steps a second */
static inline void progress(const Run *run, const Report *r, double rate, double seconds) {
    const Gan *gan = &run->gan;
    const char *const *part = gan->recipe->part;
    int terminal = progress_on_terminal(), steps = run->options.steps, bar = 0;
    double rest = rate > 0 ? (steps - gan->step) / rate : 0;
    if (run->minutes > 0) rest = fmin(rest, 60 * run->minutes - seconds);
    long left = fmax(rest, 0);
    char line[500], losses[100];
    snprintf(losses, sizeof losses, "loss %.4f", r->loss_g);
    if (gan->d.nodes)
        snprintf(losses, sizeof losses, "D %.3f  G %.3f  D(x) %.2f  D(G(z)) %.2f", r->loss_d,
                 r->loss_g, r->d_real, r->d_fake);
    int n = snprintf(line, sizeof line, "%s%ld/%d  %s  %.1f steps/s  ETA %ld:%02ld",
                     terminal ? "" : "step ", gan->step, steps, losses, rate, left / 60, left % 60);
    for (int i = 0; !terminal && part[1] && part[i]; i++)
        if (gan->weight[i] > 0 && strcmp(part[i], "adversarial"))
            n += snprintf(line + n, sizeof line - n, "  %s %.3f", part[i], r->part[i]);
    if (terminal) {                         /* one row; the bar takes what the window leaves */
        struct winsize w;
        int columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) || !w.ws_col ? 80 : w.ws_col;
        if (n > columns - 1) line[columns - 1] = 0;
        bar = columns - n - 4 < 24 ? columns - n - 4 : 24;
    }
    int filled = bar > 0 ? bar * gan->step / steps : 0;
    if (bar > 4) progress_line("[%.*s%.*s] %s", filled, "########################", bar - filled,
                               "........................", line);
    else progress_line("%s", line);
}

/* how much the pictures (n,each) of one batch differ, measured like Report.batch_std */
static double batch_spread(const float *x, long n, long each) {
    double total = 0;
    for (long k = 0; k < each; k++) {
        double sum = 0, square = 0;
        for (long i = k; i < n * each; i += each) sum += x[i], square += (double)x[i] * x[i];
        double variance = square / n - sum / n * (sum / n);
        total += variance > 0 ? sqrt(variance) : 0;
    }
    return total / each;
}

/* What can be wrong; each is said at most once in 500 steps. */
enum { WINS, ALIKE, STUCK, DIVERGES };
static int may_tell(Run *run, int what) {
    long step = run->gan.step, last = run->told[what];
    if (last && step - last < 500) return 0;
    run->told[what] = step;
    return 1;
}

/* Losses and gradient norms that are finite, and far above their means over the first 50 steps */
static void find_divergence(Run *run, const Report *r) {
    const double size[] = { fabs(r->loss_d), fabs(r->loss_g), r->norm_d, r->norm_g };
    long n = run->gan.step - run->first;
    for (int i = 0; i < 4; i++) {
        double limit = n <= 50 ? 1e6 : fmin(1e6, 1e4 * fmax(run->usual[i], 0.1));
        if (n <= 50) run->usual[i] += size[i] / 50;
        if (size[i] <= limit || !may_tell(run, DIVERGES)) continue;
        say("step %ld: the training diverges: %s %s is %.2g. Start anew, or go back to an earlier "
            "checkpoint (--keep-checkpoints), with a lower --lr or --clip 1.", run->gan.step,
            !run->gan.d.nodes ? "the" : i % 2 ? "G's" : "D's", i < 2 ? "loss" : "gradient norm",
            size[i]);
    }
}

/* Is D's loss 0.000 over 50 steps? A critic's may be: it has no lower limit. */
static void find_stuck(Run *run, const Report *r) {
    long n = run->gan.step - run->first;
    run->sum_d += r->loss_d;
    if (n % 50) return;
    if (run->sum_d / 50 < 1e-3 && run->recipe->objective != WASSERSTEIN && may_tell(run, STUCK))
        say("step %ld: the discriminator's loss is stuck at 0.000: the generator has nothing left "
            "to learn from. Start anew, or go back to an earlier checkpoint (--keep-checkpoints), "
            "with a lower --lr-d or --smoothing 0.1, or choose the recipe wgan-gp.",
            run->gan.step);
    run->sum_d = 0;
}

/* Is the training still healthy? Running means over about 50 steps, and what they say in plain
 * words */
static inline void diagnose(Run *run, const Report *r) {
    const GanOptions *o = &run->gan.options;
    long step = run->gan.step;
    find_divergence(run, r);
    if (!run->gan.d.nodes) return;
    if (step == run->first + 1) {
        run->real_spread = batch_spread(run->fed[FED_X_REAL].from, o->batch,
                                        picture_floats(run, o->channels));
        run->d_real = run->d_fake = 0.5, run->alike = 1;
    }
    find_stuck(run, r);
    run->d_real += 0.02 * (r->d_real - run->d_real);
    run->d_fake += 0.02 * (r->d_fake - run->d_fake);
    run->alike += 0.02 * (r->batch_std / (run->real_spread + 1e-9) - run->alike);
    if (step < 100) return;
    if (run->d_real > 0.97 && run->d_fake < 0.03 && may_tell(run, WINS))
        say("step %ld: the discriminator wins: it is right %.0f%% of the time, so the generator "
            "learns little from it. A lower --lr-d, --smoothing 0.1 or a larger --batch helps.",
            step, 50 * (run->d_real + 1 - run->d_fake));
    if (run->alike < 0.15 && o->batch > 1 && may_tell(run, ALIKE))
        say("step %ld: the samples collapse onto each other: they differ %.0f times less than the "
            "pictures of the set. A lower --lr, --critic 5 or the recipe wgan-gp with "
            "--penalty-weight 0.1 helps.", step, 1 / (run->alike + 1e-9));
}
#endif
