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

/* Is the training still healthy? Running means over about 50 steps, and what they say in plain
 * words, each at most once in 500 steps. */
static inline void diagnose(Run *run, const Report *r) {
    const GanOptions *o = &run->gan.options;
    long step = run->gan.step;
    if (step == run->first + 1) {
        run->real_spread = batch_spread(run->pixels, o->batch, picture_floats(run, o->channels));
        run->d_real = run->d_fake = 0.5, run->alike = 1, run->told_wins = run->told_alike = -1000;
    }
    run->d_real += 0.02 * (r->d_real - run->d_real);
    run->d_fake += 0.02 * (r->d_fake - run->d_fake);
    run->alike += 0.02 * (r->batch_std / (run->real_spread + 1e-9) - run->alike);
    if (step < 100) return;
    if (run->d_real > 0.97 && run->d_fake < 0.03 && step - run->told_wins >= 500) {
        run->told_wins = step;
        say("step %ld: the discriminator wins: it is right %.0f%% of the time, so the generator "
            "learns little from it. A lower --lr-d, --smoothing 0.1 or a larger --batch helps.",
            step, 50 * (run->d_real + 1 - run->d_fake));
    }
    if (run->alike < 0.15 && o->batch > 1 && step - run->told_alike >= 500) {
        run->told_alike = step;
        say("step %ld: the samples collapse onto each other: they differ %.0f times less than the "
            "pictures of the set. --diversity 1, a lower --lr, a larger --batch or the recipe "
            "wgan-gp helps.", step, 1 / (run->alike + 1e-9));
    }
}
#endif
