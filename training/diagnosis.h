/* diagnosis.h: what goes wrong in a training, said in plain words while it happens. */
#ifndef DIAGNOSIS_H
#define DIAGNOSIS_H
#include "gan.h"
#include <math.h>

/* What can be wrong; each is said at most once in 500 steps. */
enum { WINS, ALIKE, STUCK, DIVERGES, TROUBLES };

typedef struct Diagnosis {              /* all zero at first */
    long steps;                         /* that it has seen */
    real real_spread;                   /* how much the first real pictures differ */
    double d_real, d_fake, alike;       /* running means; alike: Report.batch_std / real_spread */
    double sum_d, usual[4];             /* sums; the means over the first 50 steps */
    long told[TROUBLES];                /* when it said so last, or 0 */
} Diagnosis;

static inline int may_tell(Diagnosis *d, long step, int what) {
    if (d->told[what] && step - d->told[what] < 500) return 0;
    d->told[what] = step;
    return 1;
}

/* Losses and gradient norms that are finite, and far above their means over the first 50 steps */
static inline void find_divergence(Diagnosis *d, const Gan *gan, const Report *r) {
    const double size[] = { fabs(r->loss_d), fabs(r->loss_g), r->norm_d, r->norm_g };
    long n = d->steps;
    for (int i = 0; i < 4; i++) {
        double limit = n <= 50 ? 1e6 : fmin(1e6, 1e4 * fmax(d->usual[i], 0.1));
        if (n <= 50) d->usual[i] += size[i] / 50;
        if (size[i] <= limit || !may_tell(d, gan->step, DIVERGES)) continue;
        say("step %ld: the training diverges: %s %s is %.2g. Start anew, or go back to an earlier "
            "checkpoint (--keep-checkpoints), with a lower --lr or --clip 1.", gan->step,
            !gan->d.nodes ? "the" : i % 2 ? "G's" : "D's", i < 2 ? "loss" : "gradient norm",
            size[i]);
    }
}

/* Is D's loss 0.000 over 50 steps? A critic's may be: it has no lower limit. */
static inline void find_stuck(Diagnosis *d, const Gan *gan, const Report *r) {
    d->sum_d += r->loss_d;
    if (d->steps % 50) return;
    if (d->sum_d / 50 < 1e-3 && gan->recipe->objective != WASSERSTEIN &&
        may_tell(d, gan->step, STUCK))
        say("step %ld: the discriminator's loss is stuck at 0.000: the generator has nothing left "
            "to learn from. Start anew, or go back to an earlier checkpoint (--keep-checkpoints), "
            "with a lower --lr-d or --smoothing 0.1, or choose the recipe wgan-gp.",
            gan->step);
    d->sum_d = 0;
}

/* Is the training still healthy? Running means over about 50 steps, and what they say in plain
 * words. After each step; x_real: its first batch of real pictures, on the host */
static inline void diagnose(Diagnosis *d, const Gan *gan, const Report *r, const real *x_real) {
    const GanOptions *o = &gan->options;
    long step = gan->step;
    d->steps++;
    find_divergence(d, gan, r);
    if (!gan->d.nodes) return;
    if (d->steps == 1) {
        ops_naive.batch_std(&d->real_spread, x_real, o->batch, o->size * o->size * o->channels);
        d->d_real = d->d_fake = 0.5, d->alike = 1;
    }
    find_stuck(d, gan, r);
    d->d_real += 0.02 * (r->d_real - d->d_real);
    d->d_fake += 0.02 * (r->d_fake - d->d_fake);
    d->alike += 0.02 * (r->batch_std / (d->real_spread + 1e-9) - d->alike);
    if (step < 100) return;
    if (d->d_real > 0.97 && d->d_fake < 0.03 && may_tell(d, step, WINS))
        say("step %ld: the discriminator wins: it is right %.0f%% of the time, so the generator "
            "learns little from it. A lower --lr-d, --smoothing 0.1 or a larger --batch helps.",
            step, 50 * (d->d_real + 1 - d->d_fake));
    if (d->alike < 0.15 && o->batch > 1 && may_tell(d, step, ALIKE))
        say("step %ld: the samples collapse onto each other: they differ %.0f times less than the "
            "pictures of the set. A lower --lr, --critic 5 or the recipe wgan-gp with "
            "--penalty-weight 0.1 helps.", step, 1 / (d->alike + 1e-9));
}
#endif
