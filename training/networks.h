/* networks.h: the networks of a run: made, described, and refused where they do not fit. */
#ifndef NETWORKS_H
#define NETWORKS_H
#include "core/device.h"
#include "core/featurenet.h"
#include "training/batch.h"
#include "training/folder.h"
#include "training/run.h"

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
        die(2, "--penalty-weight %g: the discriminator of the recipe %s has layers that the "
            "penalty cannot pass, such as batch norm, which mixes the pictures",
            o->penalty_weight, name);
    if (o->n_critic > 1 && gan_n_critic(gan) == 1)
        die(2, "--critic %d: the recipe %s updates D once in a step", o->n_critic, name);
    check_memory(gan);
}

static void print_networks(const Run *run) {
    const Gan *gan = &run->gan;
    const ImageSet *set = &run->set;
    int stored = set->stored_c + (set->mask != NULL);
    double bytes = 1. * set->count * set->stored_h * set->stored_w * stored;
    tell("recipe %s: %s", run->recipe->name, run->recipe->summary);
    tell("data %s: %ld pictures of %dx%dx%d", run->data, set->count, set->h, set->w, set->c);
    tell("device %s", device_name(gan->ops));
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

/* The networks of the run on this device, with room on the host for what they are fed with */
static inline void networks_open(Run *run, const Ops *ops) {
    Gan *gan = &run->gan;
    int styled = feeds_on_styles(run->recipe);
    double palette[12 + 2 * 16] = {0};
    GanOptions o = run->options;
    o.batch /= parallel_ranks();
    if (run->job != TRAINS) o.ema = 0;      /* the checkpoint's G is the averaged one already */
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
    run->pixels = new_floats(pixels * 3), run->made = new_floats(pixels * 3);
    run->masks = new_floats(pixels);
    if (!gan_finish(gan)) die(1, "%s (this run needs %.0f MB)", error_text(), gan_bytes(gan) / 1e6);
    batch_open(run);
}

/* The weights of the run that goes on, or of that which --init-from names */
static inline void load_weights(Run *run) {
    Gan *gan = &run->gan;
    int steps = run->options.steps;
    if (*run->from) {
        must(gan_load(gan, run->from));
        tell("resumed %s at step %ld", run->from, gan->step);
    } else if (*run->init_from) {
        char path[RUN_PATH];
        checkpoint_path(path, "--init-from", run->init_from);
        if (!gan_load(gan, path)) die(1, "--init-from %s", error_text());
        gan_begin_anew(gan);
        tell("first weights from %s", path);
    }
    int killed_late = gan->step == steps && run->same && !folder_is_complete(run);
    if (gan->step >= steps && !run->dry_run && !killed_late)
        die(1, "--resume %s: step %ld of %d is done already: give a larger --steps (or --epochs)",
            run->resume, gan->step, steps);
    fflush(stdout);
}
#endif
