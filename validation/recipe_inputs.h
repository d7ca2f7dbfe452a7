/* recipe_inputs.h: what a training step is given, by lot: any recipe can be run without a data set.
 * Pictures are noise in (-1,1), masks uniform in [0,1), classes uniform, all by (seed, draw). */
#ifndef RECIPE_INPUTS_H
#define RECIPE_INPUTS_H
#include "gan.h"
#include <stdlib.h>
#include <string.h>

enum { INPUT_CLASSES = 4 };                           /* classes of recipes with labels, in tests */

/* small networks: the defaults of the recipe for pictures of this size */
static inline GanOptions recipe_inputs_options(const char *recipe, int batch, int size) {
    GanOptions o = recipe_find(recipe)->defaults;
    o.batch = batch, o.size = size, o.seed = 5, o.classes = INPUT_CLASSES;
    if (!o.channels) o.channels = 1;
    if (strcmp(recipe, "dcgan")) o.ema = 0.9;   /* all others with pictures from averaged weights */
    else o.tail = 0, o.lr = 2e-4;               /* document 001, as PyTorch has it */
    return o;
}

static inline void recipe_inputs(Gan *gan, uint64_t draw) {
    const GanOptions *o = &gan->options;
    const Ops *ops = gan->ops;
    uint64_t stream = STREAM(STREAM_DATA, 4 * draw);
    int n = o->batch * gan_n_critic(gan);
    long each = (long)o->size * o->size, images = n * each * o->channels;
    long pixels = o->batch * each, content = pixels * gan_content(gan);
    ops->random_normal(gan->x_real, images, o->seed, stream);
    ops->tanh_forward(gan->x_real, gan->x_real, images);
    if (gan->content) {
        ops->random_normal(gan->content, content, o->seed, stream + 1);
        ops->tanh_forward(gan->content, gan->content, content);
    }
    if (gan->mask) ops->random_uniform(gan->mask, pixels, o->seed, stream + 2);
    if (gan->outside) ops->random_uniform(gan->outside, content, o->seed, stream + 2);
    if (!gan->labels && !gan->given) return;
    real *label = calloc((size_t)n * (size_t)(o->classes + 1), sizeof(real)), *given = label + n;
    for (int i = 0; i < n; i++) {
        label[i] = (real)philox_below(o->seed, stream + 3, (uint64_t)i, o->classes);
        given[i * o->classes + (int)label[i]] = 1;
    }
    if (gan->labels) ops->upload(gan->labels, label, o->batch);
    if (gan->given) ops->upload(gan->given, given, (long)n * o->classes);
    free(label);
}
#endif
