/* progress.h: the line that a run prints after a step. */
#ifndef PROGRESS_H
#define PROGRESS_H
#include "training/run.h"
#include <math.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* On a terminal one line is written over and over. seconds: since the first step */
static inline void progress(const Run *run, const Report *r, double seconds) {
    const Gan *gan = &run->gan;
    const char *const *part = gan->recipe->part;
    int terminal = progress_on_terminal(), steps = run->options.steps, bar = 0;
    double rate = (gan->step - run->first) / seconds, rest = (steps - gan->step) / rate;
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
        bar = fmin(columns - n - 4, 24);
    }
    int filled = bar > 0 ? bar * gan->step / steps : 0;
    if (bar > 4) progress_line("[%.*s%.*s] %s", filled, "########################", bar - filled,
                               "........................", line);
    else progress_line("%s", line);
}
#endif
