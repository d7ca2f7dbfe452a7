/* gan.c: the recipes. Each is a paragraph: its networks, its objective, its training step; gan.h says how to drive them.
 * The code of the headers below is compiled here, once for every program. With -Dreal=double all of it becomes double
 * precision (the gradient checks do that); the tile of tiled.h, and the devices to choose from, exist in float only. */
#define ERROR_IMPLEMENTATION
#define LAYERS_IMPLEMENTATION
#define NET_IMPLEMENTATION
#define SAFETENSORS_IMPLEMENTATION
#define FEATURENET_IMPLEMENTATION
#define CHECKPOINT_IMPLEMENTATION
#define PARALLEL_IMPLEMENTATION
#define OPTIONS_IMPLEMENTATION
#ifndef real
#define TILED_IMPLEMENTATION
#define DEVICE_IMPLEMENTATION
#include "core/device.h"
#endif
#include "gan.h"
#include "core/checkpoint.h"
#include "core/options.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------ the pieces of a step */

/* What a step measures, each at its place in gan->numbers, on the device: one download at the end of the step brings all.
 * SQUARE: of the gradient's norm. PART: the parts of G's loss, numbered as the recipe names them. TERM: of a part that is a sum. */
enum { LOSS_REAL, LOSS_FAKE, PENALTY, D_REAL, D_FAKE, SQUARE_D, SQUARE_G, SPREAD, TERM, PART, NUMBERS = PART + GAN_PARTS };

static Node *node_of(Net *net, int i) { return &net->node[i]; }
static long count_of(const Net *net, int i) {
    const Node *node = &net->node[i];
    return (long)node->n * node->h * node->w * node->c;
}

/* The share of the learning rate in force: constant; linear, down to 0 over the second half; cosine, 1/2 (1 + cos(pi step / steps)) */
static double learning_rate(const Gan *gan) {
    double done = gan->options.steps > 0 ? fmin((double)gan->step / gan->options.steps, 1) : 0;
    switch (gan->options.schedule) {
        case LINEAR: return fmin(1, 2 - 2 * done);
        case COSINE: return 0.5 + 0.5 * cos(3.14159265358979 * done);
        default: return 1;
    }
}

/* what D (and G) is given beside its picture: the classes of the round of this step that is under way, or the content */
static const real *given_now(const Gan *gan) {
    if (gan->recipe->conditional == ON_CONTENT) return gan->content;
    return gan->given + (gan->recipe->conditional ? gan->draw % gan_n_critic(gan) * gan->options.batch * gan->options.classes : 0);
}

/* D's forward pass over pictures (batch,size,size,channels). Where a recipe has two discriminators, they are built alike. */
static void discriminate(Gan *gan, Net *d, const real *pictures) {
    gan->ops->copy(d->node[gan->d_picture].y, pictures, count_of(d, gan->d_picture));
    if (gan->d_given) gan->ops->copy(d->node[gan->d_given].y, given_now(gan), count_of(d, gan->d_given));
    net_forward(d, 1);
}

/* D(x) of what D has just looked at, a probability */
static void measure_probability(Gan *gan, Net *d, int number) {
    gan->ops->mean_sigmoid(gan->numbers + number, node_of(d, gan->d_logits)->y, count_of(d, gan->d_logits));
}

/* What D is taught of a real picture, of a made one, and what G wants it to say of a made one */
enum { REAL, FAKE, FOOL };

/* The adversarial loss on D's logits l, added to a number; its gradient becomes the logits' dy.
 *                   D of a real picture   D of a made one        G
 *   BCE             -log s(l)             -log(1 - s(l))         -log s(l)     F3, F2 by F4; s: the sigmoid
 *   LEAST_SQUARES   (l - 1)^2             l^2                    (l - 1)^2     Mao et al. 2017
 *   WASSERSTEIN     -l                    l                      -l            F11, Arjovsky, Chintala, Bottou 2017
 *   HINGE           max(0, 1 - l)         max(0, 1 + l)          -l            Lim, Ye 2017
 * One-sided label smoothing (Salimans et al. 2016): BCE's target for a real picture is 1 - smoothing. */
static void adversarial_loss(Gan *gan, Net *d, int says, int number) {
    const Ops *ops = gan->ops;
    Node *logits = node_of(d, gan->d_logits);
    long n = count_of(d, gan->d_logits);
    double target = says == FAKE ? 0 : says == REAL ? 1 - gan->options.smoothing : 1, sign = says == FAKE ? 1 : -1;
    real *loss = gan->numbers + TERM;
    int objective = gan->recipe->objective;
    net_zero_activations(d);
    switch (objective == HINGE && says == FOOL ? WASSERSTEIN : objective) {
        case BCE:
            ops->bce_logits_forward(loss, logits->y, (real)target, n);
            ops->bce_logits_backward(logits->dy, logits->y, (real)target, 1, n);
            break;
        case LEAST_SQUARES:
            ops->fill(gan->d_target, says != FAKE, n);
            ops->squared_error_forward(loss, logits->y, gan->d_target, NULL, n);
            ops->squared_error_backward(logits->dy, logits->y, gan->d_target, NULL, 1, n);
            break;
        case HINGE:
            ops->hinge_forward(loss, logits->y, (real)-sign, n);
            ops->hinge_backward(logits->dy, logits->y, (real)-sign, 1, n);
            break;
        case WASSERSTEIN:
            ops->mean_forward(loss, logits->y, n);
            ops->scale(loss, (real)sign, 1);
            ops->mean_backward(logits->dy, (real)sign, n);
    }
    ops->axpy(gan->numbers + number, loss, 1, 1);
}

/* One step of the optimiser (F19, or RMSprop) with weight decay, the gradient's norm bounded before. net: also says whose rate. Every rank
 * has the gradient of the mean over its pictures; as all have equally many, the mean of these is that of the mean over all pictures. */
static void update(Gan *gan, Net *net) {
    const GanOptions *o = &gan->options;
    int judge = net == &gan->d || net == &gan->d2, square = judge ? SQUARE_D : SQUARE_G;
    double lr = (judge && o->lr_d > 0 ? o->lr_d : o->lr) * learning_rate(gan);
    parallel_mean(gan->ops, net->g, net->parameters);
    if (o->weight_decay > 0) gan->ops->axpy(net->g, net->p, (real)o->weight_decay, net->parameters);
    net_gradient_square(net, gan->numbers + square);
    net_clip_gradients(net, gan->numbers + square, o->clip);
    if (gan->recipe->rmsprop) gan->ops->rmsprop_step(net->p, net->v, net->g, net->parameters, (real)lr, (real)0.99, (real)1e-8);
    else net_adam(net, lr, o->beta1, o->beta2);
    if (judge && o->weight_clip > 0) gan->ops->clip(net->p, (real)o->weight_clip, net->parameters);
}

/* Random numbers x: (n), n of them for the pictures of this rank: those that one rank with all the pictures would draw for these */
static void draw_numbers(Gan *gan, void (*draw)(real *x, long n, uint64_t seed, uint64_t stream), real *x, long n, uint64_t stream) {
    long before = n / gan->options.batch * gan->first;
    draw(before ? gan->lot : x, before + n, gan->options.seed, stream);
    if (before) gan->ops->copy(x, gan->lot + before, n);
}

/* options.ema: pictures for people are made with w <- a w + (1 - a) w_now of G's weights (Yazici et al. 2019), which forgets the
 * rocking of the game; a grows from 0.1 to the value asked for, so that the first weights are soon forgotten. */
static void update_ema(Gan *gan) {
    real a = (real)fmin(gan->options.ema, (1. + (double)gan->step) / (10. + (double)gan->step));
    gan->ops->scale(gan->ema, a, gan->g.parameters);
    gan->ops->axpy(gan->ema, gan->g.p, 1 - a, gan->g.parameters);
}
static void swap_ema(Gan *gan) {
    real *now = gan->g.p;
    if (gan->ema) gan->g.p = gan->ema, gan->ema = now;
}

/* F12: penalty mean (|grad D(x')| - 1)^2 at x' = t x + (1 - t) G(z), t ~ U[0,1) for each picture (Gulrajani et al. 2017).
 * Its gradient by D's parameters is a gradient of a gradient: with v = d penalty / d (grad D) it is grad_theta (v . grad D(x')), v held,
 * which is what net_tangent adds. */
static void penalize_gradient(Gan *gan, Net *d, const real *images, const real *made) {
    const Ops *ops = gan->ops;
    Node *x = node_of(d, gan->d_picture), *logits = node_of(d, gan->d_logits);
    long n = count_of(d, gan->d_picture), each = n / x->n;
    draw_numbers(gan, ops->random_uniform, gan->t, x->n, STREAM(STREAM_PENALTY, gan->draw));
    ops->lerp(x->t, images, made, gan->t, x->n, each);
    discriminate(gan, d, x->t);
    net_zero_activations(d);
    ops->fill(logits->dy, 1, count_of(d, gan->d_logits));
    net_backward(d, NET_INPUT);
    ops->gradient_penalty(gan->numbers + PENALTY, x->t, x->dy, x->n, each);
    ops->scale(x->t, (real)gan->options.penalty_weight, n);
    net_tangent(d);
}

/* One step of the optimiser on D by its two losses (and F12).   images: real pictures, made: the generator's */
static void train_discriminator(Gan *gan, Net *d, const real *images, const real *made) {
    net_zero_gradients(d);
    discriminate(gan, d, images);
    measure_probability(gan, d, D_REAL);
    adversarial_loss(gan, d, REAL, LOSS_REAL);
    net_backward(d, NET_WEIGHTS);
    discriminate(gan, d, made);
    measure_probability(gan, d, D_FAKE);
    adversarial_loss(gan, d, FAKE, LOSS_FAKE);
    net_backward(d, NET_WEIGHTS);
    if (gan->options.penalty_weight > 0) penalize_gradient(gan, d, images, made);
    update(gan, d);
}

/* What D's losses say about its picture is added to the dy of that picture, where it was made */
static void backward_through_discriminator(Gan *gan, Net *d, real *dy) {
    net_backward(d, NET_INPUT);
    gan->ops->axpy(dy, d->node[gan->d_picture].dy, 1, count_of(d, gan->d_picture));
}

/* One step of the optimiser on G with what has been gathered in its picture's dy */
static void train_generator(Gan *gan) {
    net_zero_gradients(&gan->g);
    net_backward(&gan->g, NET_WEIGHTS);
    update(gan, &gan->g);
}

/* G's noise inputs ~ N(0,1), from the streams of this purpose and draw */
static void draw_noise(Gan *gan, int purpose, uint64_t draw) {
    for (int i = 0; i < gan->latents; i++)
        draw_numbers(gan, gan->ops->random_normal, gan->g.node[gan->g_latent[i]].y, count_of(&gan->g, gan->g_latent[i]),
                     STREAM(purpose, draw * 4 + (uint64_t)i));
    if (gan->g_given) gan->ops->copy(gan->g.node[gan->g_given].y, given_now(gan), count_of(&gan->g, gan->g_given));
}

/* The table shall give `count` zeros to *at when gan_finish comes, and take them back in gan_free */
static void want(Gan *gan, real **at, long count) {
    gan->buffer[gan->buffers].at = at, gan->buffer[gan->buffers++].count = count;
}
/* the same for what a run has to remember: it goes into the checkpoint by this name */
static void keep(Gan *gan, real **at, long count, const char *name) {
    gan->buffer[gan->buffers].name = name;
    want(gan, at, count);
}

/* ------------------------------------------------------------------------------------------------------ recipe: dcgan
 * Document 001 (9d598e07), made consistent as Radford, Metz and Chintala (2015) would: z of 100 -> 7x7x128 -> 14x14x64 ->
 * 28x28, batch norm and relu between, tanh at the end; D halves twice with 5x5 kernels, leaky relu 0.2, one logit.
 * F5: G(z; theta) and D(x; phi) are the two lists of nodes below.
 * F1: min_G max_D E[log D(x)] + E[log(1 - D(G(z)))], by F3 for D and the non-saturating F2 for G. */

/* z, and what is given beside it (cgan), to pictures; s: a quarter of their side */
static void dcgan_generator(Gan *gan) {
    int s = gan->options.size / 4, x;
    Net *g = &gan->g;
    gan->g_latent[0] = x = net_input(g, 1, 1, 100);
    gan->latents = 1;
    if (gan->recipe->conditional) x = concat(g, x, gan->g_given = net_input(g, 1, 1, gan->options.classes));
    x = dense(g, x, s * s * 128);
    x = reshape(g, x, s, s, 128);
    x = batchnorm(g, x);
    x = relu(g, x);
    x = conv2d_transpose(g, x, 64, 5, 2, 2);
    x = batchnorm(g, x);
    x = relu(g, x);
    x = conv2d_transpose(g, x, gan->options.channels, 5, 2, 2);
    gan->g_picture = tanh_(g, x);
}

/* pictures, and what is given beside them, to one logit. d_feature: what vaegan compares pictures in */
static void dcgan_discriminator(Gan *gan) {
    const GanOptions *o = &gan->options;
    Net *d = &gan->d;
    int x;
    gan->d_picture = x = net_input(d, o->size, o->size, o->channels);
    if (gan->recipe->conditional) x = concat(d, x, upsample(d, gan->d_given = net_input(d, 1, 1, o->classes), o->size));
    x = conv2d(d, x, 64, 5, 2, 2);
    if (gan->recipe->spectral) spectral(d, x);
    x = leaky_relu(d, x, 0.2);
    x = conv2d(d, x, 128, 5, 2, 2);
    if (gan->recipe->spectral) spectral(d, x);
    gan->d_feature[0] = x = leaky_relu(d, x, 0.2);
    gan->d_logits = x = dense(d, x, 1);
    if (gan->recipe->spectral) spectral(d, x);
}

static void dcgan_describe(Gan *gan) {
    dcgan_generator(gan);
    dcgan_discriminator(gan);
}

/* -weight mean |G(z) - G(z')|, z and z' from the two halves of the batch: other noise shall give other pictures
 * (after Mao et al. 2019, "Mode seeking", whose distance between z and z' is here left to its mean) */
static void diversity_loss(Gan *gan, int part) {
    Node *y = node_of(&gan->g, gan->g_picture);
    long n = y->n / 2 * (count_of(&gan->g, gan->g_picture) / y->n);
    if (!(gan->options.diversity_weight > 0) || !n) return;
    real weight = (real)(gan->weight[part] = -gan->options.diversity_weight);
    gan->ops->absolute_error_forward(gan->numbers + PART + part, y->y, y->y + n, NULL, n);
    gan->ops->absolute_error_backward(y->dy, y->y, y->y + n, NULL, weight, n);
    gan->ops->absolute_error_backward(y->dy + n, y->y + n, y->y, NULL, weight, n);
}

enum { FOOLED, DIVERSITY };

/* The step of mlp, dcgan, dcgan64, lsgan, hinge, wgan, wgan-gp, cgan, stylegan: D as often as --critic says, then G once */
static void dcgan_step(Gan *gan) {
    Node *picture = node_of(&gan->g, gan->g_picture);
    long all = count_of(&gan->g, gan->g_picture);
    for (int k = 0; k < gan_n_critic(gan); k++) {
        gan->draw = gan->step * gan_n_critic(gan) + k;
        draw_noise(gan, STREAM_NOISE, (uint64_t)gan->draw);
        net_forward(&gan->g, 1);
        gan->ops->fill(gan->numbers + LOSS_REAL, 0, 2);
        train_discriminator(gan, &gan->d, gan->x_real + k * all, picture->y);
    }
    discriminate(gan, &gan->d, picture->y);
    adversarial_loss(gan, &gan->d, FOOL, PART + FOOLED);
    net_zero_activations(&gan->g);
    backward_through_discriminator(gan, &gan->d, picture->dy);
    diversity_loss(gan, DIVERSITY);
    train_generator(gan);
}

/* -------------------------------------------------------------------------------------------- recipes: mlp and dcgan64
 * mlp: document 004's networks: G of dense layers 256, 512, 1024, D of two 3x3 convolutions with stride 2 and a dense 1024.
 * dcgan64: document 003's, whose Reshape((64,64,3)) of 32x32 values cannot work, as Radford et al. draw them: 4x4 kernels,
 * stride 2, batch norm in both, from 4x4 to 64x64 pixels (any size of 16 k). */

static void mlp_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    Net *g = &gan->g, *d = &gan->d;
    int x = gan->g_latent[0] = net_input(g, 1, 1, 100);
    gan->latents = 1;
    for (int width = 256; width <= 1024; width *= 2) x = leaky_relu(g, batchnorm(g, dense(g, x, width)), 0.2);
    x = dense(g, x, o->size * o->size * o->channels);
    gan->g_picture = tanh_(g, reshape(g, x, o->size, o->size, o->channels));

    gan->d_picture = x = net_input(d, o->size, o->size, o->channels);
    x = leaky_relu(d, conv2d(d, x, 32, 3, 2, 1), 0.2);
    x = leaky_relu(d, conv2d(d, x, 64, 3, 2, 1), 0.2);
    x = leaky_relu(d, dense(d, x, 1024), 0.2);
    gan->d_logits = dense(d, x, 1);
}

static void dcgan64_describe(Gan *gan) {
    enum { WIDTH = 32 };
    const GanOptions *o = &gan->options;
    Net *g = &gan->g, *d = &gan->d;
    int s = o->size / 16, x = gan->g_latent[0] = net_input(g, 1, 1, 100);
    gan->latents = 1;
    x = dense(g, x, s * s * 8 * WIDTH);
    x = relu(g, batchnorm(g, reshape(g, x, s, s, 8 * WIDTH)));
    for (int width = 4 * WIDTH; width >= WIDTH; width /= 2) x = relu(g, batchnorm(g, conv2d_transpose(g, x, width, 4, 2, 1)));
    gan->g_picture = tanh_(g, conv2d_transpose(g, x, o->channels, 4, 2, 1));

    gan->d_picture = x = net_input(d, o->size, o->size, o->channels);
    x = leaky_relu(d, conv2d(d, x, WIDTH, 4, 2, 1), 0.2);
    for (int width = 2 * WIDTH; width <= 8 * WIDTH; width *= 2) x = leaky_relu(d, batchnorm(d, conv2d(d, x, width, 4, 2, 1)), 0.2);
    gan->d_logits = dense(d, x, 1);
}

/* ------------------------------------------------------------------------------------------------------ recipe: style
 * The main job: G repaints a garment so that its texture cannot be told from crops of the style pictures, while its light
 * and shade stay. Patch discriminator (Li, Wand 2016; Isola et al. 2017); Gram matrices (F8) on D's own features in the
 * place of VGG's; content (F9) inside the garment's mask on pictures averaged over 4x4 pixels, so that the print is free
 * in its detail and bound in its light.
 * G also reads noise at three scales (Ulyanov et al. 2016): without it a plain garment would give the layers nothing to
 * weave a pattern from.   L_G = F2 + style_weight F8 + content_weight F9 + tv_weight F10 */

enum { ADVERSARIAL, CONTENT, STYLE, TV, CONTENT_POOL = 4 };

/* dense layers that make styles begin with those that change nothing: strengths 1 (biases), brightness 0 */
static int unit_scale_shift(Gan *gan) {
    for (int i = 0; i < gan->scale_shifts; i++) {
        Node *node = node_of(&gan->g, gan->g_scale_shift[i]);
        gan->ops->fill(gan->g.p + node->bias, 1, node->c / 2);
    }
    return 1;
}

/* F17; where the generator reads a z: F16, the strength and brightness of each channel being what a dense layer makes of z */
static int norm(Net *g, int x, Gan *nodes) {
    if (!nodes->g_z) return instancenorm(g, x);
    nodes->g_scale_shift[nodes->scale_shifts] = dense(g, nodes->g_z, 2 * g->node[x].c);
    return adain(g, x, nodes->g_scale_shift[nodes->scale_shifts++]);
}
static int padded_conv2d(Net *g, int x, int out, int kernel, int stride) {
    return conv2d(g, kernel > 1 ? reflect_pad(g, x, kernel / 2) : x, out, kernel, stride, 0);
}
static int conv_norm_relu(Net *g, int x, int out, int kernel, int stride, Gan *nodes) {
    return relu(g, norm(g, padded_conv2d(g, x, out, kernel, stride), nodes));
}

/* A block, (h,w,c) -> (h,w,c), is added to what it reads (He et al. 2016). Its weights, biases left out:
 *   RESIDUAL    3x3, 3x3                                                                                          18 c^2
 *   INCEPTION   side by side 1x1; 1x1, 3x3; 1x1, 3x3, 3x3 to c/4, c/2, c/4 channels (Szegedy et al. 2015, 2016)   4.4 c^2
 *   SEPARABLE   twice a 3x3 for each channel by itself, then 1x1 (Howard et al. 2017; in EfficientNet 2019)       2 c^2 + 18 c */
static int block(Net *g, int x, Gan *nodes) {
    int c = g->node[x].c, y = x, part;
    switch (nodes->options.body) {
        case INCEPTION:
            y = relu(g, padded_conv2d(g, x, c / 4, 1, 1));
            part = relu(g, padded_conv2d(g, x, c / 2, 1, 1));
            y = concat(g, y, relu(g, padded_conv2d(g, part, c / 2, 3, 1)));
            part = relu(g, padded_conv2d(g, x, c / 4, 1, 1));
            part = relu(g, padded_conv2d(g, part, c / 4, 3, 1));
            y = concat(g, y, relu(g, padded_conv2d(g, part, c / 4, 3, 1)));
            break;
        case SEPARABLE:
            y = depthwise_conv2d(g, reflect_pad(g, x, 1), 3, 1, 0);
            y = conv_norm_relu(g, y, c, 1, 1, nodes);
            y = depthwise_conv2d(g, reflect_pad(g, y, 1), 3, 1, 0);
            y = padded_conv2d(g, y, c, 1, 1);
            break;
        default:
            y = conv_norm_relu(g, x, c, 3, 1, nodes);
            y = padded_conv2d(g, y, c, 3, 1);
    }
    return add(g, x, norm(g, y, nodes));
}

/* pictures of (size,size) to such of the same size: convolution, half the size, three blocks, back */
static int translate(Net *g, int x, int channels, Gan *nodes) {
    enum { WIDTH = 24, BLOCKS = 3 };
    x = conv_norm_relu(g, x, WIDTH, 5, 1, nodes);
    x = conv_norm_relu(g, x, 2 * WIDTH, 3, 2, nodes);
    for (int i = 0; i < BLOCKS; i++) x = block(g, x, nodes);
    x = conv_norm_relu(g, upsample(g, x, 2), WIDTH, 3, 1, nodes);
    return padded_conv2d(g, x, channels, 5, 1);
}

void style_generator(Net *g, const Ops *ops, int n, int h, int w, int channels, Gan *nodes) {
    int x;
    net_begin(g, "g", ops, n);
    nodes->g_content = x = net_input(g, h, w, 1);
    for (int i = 0; i < 3; i++) {                                        /* noise: grains of 1, 4 and 8 pixels */
        int grain = i == 0 ? 1 : 4 * i, z;
        nodes->g_latent[i] = z = net_input(g, h / grain, w / grain, 1);
        x = concat(g, x, grain == 1 ? z : upsample(g, z, grain));
    }
    nodes->latents = 3;
    nodes->g_picture = tanh_(g, translate(g, x, channels, nodes));
}

/* where feature k's Gram matrix stands in gan->gram, target, dgram */
static long gram_at(const Gan *gan, int k) {
    long at = 0;
    for (int i = 0; i < k; i++) at += (long)gan->d.node[gan->d_feature[i]].c * gan->d.node[gan->d_feature[i]].c;
    return at;
}

/* what the content loss looks at: means of 4x4 pixels, of gray or of each colour */
static void blur_describe(Gan *gan, int luminance) {
    Net *b = &gan->blur;
    net_begin(b, "blur", gan->ops, gan->options.batch);
    b->training = NET_INPUT;
    gan->blur_in = net_input(b, gan->options.size, gan->options.size, gan->options.channels);
    gan->blur_out = avgpool(b, luminance ? gray(b, gan->blur_in) : gan->blur_in, CONTENT_POOL);
}

static void style_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    long pixels = (long)o->batch * o->size * o->size, pooled = pixels / (CONTENT_POOL * CONTENT_POOL);
    int x;
    Net *d = &gan->d;
    style_generator(&gan->g, gan->ops, o->batch, o->size, o->size, o->channels, gan);

    gan->d_picture = x = net_input(d, o->size, o->size, o->channels);
    gan->d_feature[0] = x = leaky_relu(d, conv2d(d, x, 32, 4, 2, 1), 0.2);
    gan->d_feature[1] = x = leaky_relu(d, conv2d(d, x, 64, 4, 2, 1), 0.2);
    gan->d_feature[2] = x = leaky_relu(d, conv2d(d, x, 64, 3, 1, 1), 0.2);
    gan->features = 3;
    gan->d_logits = conv2d(d, x, 1, 3, 1, 1);

    blur_describe(gan, 1);
    want(gan, &gan->mask, pixels);
    want(gan, &gan->soft_content, pooled);
    want(gan, &gan->soft_mask, pooled);
    want(gan, &gan->gram, gram_at(gan, gan->features));
    want(gan, &gan->target, gram_at(gan, gan->features));
    want(gan, &gan->dgram, gram_at(gan, gan->features));
    want(gan, &gan->mean, 512);
    gan->weight[CONTENT] = o->content_weight, gan->weight[STYLE] = o->style_weight, gan->weight[TV] = o->tv_weight;
}
static void gram_of_feature(Gan *gan, int k, real *gram) {
    const Node *f = node_of(&gan->d, gan->d_feature[k]);
    gan->ops->gram_forward(gram, gan->mean, f->y, (long)f->n * f->h * f->w, f->c);
}

static void repaint_sample(Gan *gan) {
    gan->ops->copy(gan->g.node[gan->g_content].y, gan->content, count_of(&gan->g, gan->g_content));
    net_forward(&gan->g, 0);
}

/* a network's forward pass over pictures at its input `node` */
static void look(Gan *gan, Net *net, int node, const real *pictures) {
    gan->ops->copy(net->node[node].y, pictures, count_of(net, node));
    net_forward(net, 1);
}

/* F9 inside the mask, on the averaged pictures; its gradient goes to the dy of G's picture */
static void content_loss(Gan *gan) {
    const Ops *ops = gan->ops;
    Net *b = &gan->blur;
    Node *picture = node_of(&gan->g, gan->g_picture), *out = node_of(b, gan->blur_out);
    long pixels = (long)gan->options.batch * gan->options.size * gan->options.size, n = count_of(b, gan->blur_out);
    ops->avgpool_forward(gan->soft_mask, gan->mask, out->n, out->h * CONTENT_POOL, out->w * CONTENT_POOL, 1, CONTENT_POOL);
    ops->avgpool_forward(gan->soft_content, gan->content, out->n, out->h * CONTENT_POOL, out->w * CONTENT_POOL, 1,
                         CONTENT_POOL);
    look(gan, b, gan->blur_in, picture->y);
    net_zero_activations(b);
    ops->squared_error_forward(gan->numbers + PART + CONTENT, out->y, gan->soft_content, gan->soft_mask, n);
    ops->squared_error_backward(out->dy, out->y, gan->soft_content, gan->soft_mask, (real)gan->weight[CONTENT], n);
    net_backward(b, NET_INPUT);
    ops->axpy(picture->dy, b->node[gan->blur_in].dy, 1, pixels * gan->options.channels);
}

/* F8 over D's features; its gradients go to the features' dy */
static void style_loss(Gan *gan) {
    for (int k = 0; k < gan->features; k++) {
        Node *f = node_of(&gan->d, gan->d_feature[k]);
        long at = gram_at(gan, k), n = (long)f->c * f->c;
        gram_of_feature(gan, k, gan->gram + at);
        gan->ops->style_loss_forward(gan->numbers + TERM, gan->gram + at, gan->target + at, n);
        gan->ops->axpy(gan->numbers + PART + STYLE, gan->numbers + TERM, 1, 1);
        gan->ops->fill(gan->dgram + at, 0, n);
        gan->ops->style_loss_backward(gan->dgram + at, gan->gram + at, gan->target + at, (real)gan->weight[STYLE], n);
        gan->ops->gram_backward(f->dy, gan->dgram + at, f->y, gan->mean, (long)f->n * f->h * f->w, f->c);
    }
}

/* F10 on G's picture; its gradient goes to the picture's dy */
static void smoothness_loss(Gan *gan, int part) {
    Node *y = node_of(&gan->g, gan->g_picture);
    gan->ops->total_variation_forward(gan->numbers + PART + part, y->y, y->n, y->h, y->w, y->c);
    gan->ops->total_variation_backward(y->dy, y->y, (real)gan->weight[part], y->n, y->h, y->w, y->c);
}

static void style_step(Gan *gan) {
    draw_noise(gan, STREAM_NOISE, (uint64_t)gan->step);
    gan->ops->copy(gan->g.node[gan->g_content].y, gan->content, count_of(&gan->g, gan->g_content));
    net_forward(&gan->g, 1);
    train_discriminator(gan, &gan->d, gan->x_real, gan->g.node[gan->g_picture].y);       /* F3 */

    discriminate(gan, &gan->d, gan->x_real);                             /* what the style's Gram matrices are now */
    for (int k = 0; k < gan->features; k++) gram_of_feature(gan, k, gan->target + gram_at(gan, k));

    discriminate(gan, &gan->d, gan->g.node[gan->g_picture].y);
    adversarial_loss(gan, &gan->d, FOOL, PART + ADVERSARIAL);            /* F2 */
    style_loss(gan);                                                     /* F8 */
    net_zero_activations(&gan->g);
    backward_through_discriminator(gan, &gan->d, gan->g.node[gan->g_picture].dy);
    content_loss(gan);                                                   /* F9 */
    smoothness_loss(gan, TV);                                            /* F10 */
    train_generator(gan);
}

/* ------------------------------------------------------------------------------------------------------ recipe: adain
 * Document 004's feature fusion: features of a content and of a style meet, and a generator makes a picture of them (Huang and
 * Belongie 2017). E: features that stay as they are (featurenet.h). F16: t = sigma_s (f_c - mu_c) / sigma_c + mu_s, on E's
 * last layer. G, the mirror image of E, is trained to draw a picture x = G(t) in which E sees t, and on every layer the
 * style's means and deviations:
 *   L_G = content_weight |E(x) - t|^2 + style_weight sum_l (|mu_l(x) - mu_l(s)|^2 + |sigma_l(x) - sigma_l(s)|^2) + tv_weight F10
 * Nothing in it belongs to one style: what is trained once fuses any two pictures. */

enum { FUSED_CONTENT, FUSED_STYLE, FUSED_TV };

int adain_encoder(Gan *gan, int n, int h, int w) {
    const GanOptions *o = &gan->options;
    Features *f = &gan->seen;
    net_begin(&gan->e, "e", gan->ops, n);
    gan->e.training = NET_INPUT;
    if (!(o->vgg ? features_vgg(f, &gan->e, o->vgg, "relu4_1", h, w, FEATURES_MAX, o->weights) : features_random(f, &gan->e, h, w)))
        return gan->e.nodes = 0;
    for (int l = 0; l < f->layers; l++) gan->e_moments[l] = moments(&gan->e, f->layer[l].node);
    return 1;
}

int adain_encoder_weights(Gan *gan) {
    static const double gray[3] = { 0.299, 0.587, 0.114 };
    if (!gan->options.vgg) features_draw(&gan->seen, &gan->e, gan->options.seed, gray);
    return !gan->options.weights || features_load(&gan->seen, &gan->e, gan->options.weights);
}

/* where content and style meet: VGG's last layer, or the second of our own three blocks (deeper, these forget where things are) */
int adain_layer(const Gan *gan) { return gan->options.vgg ? gan->seen.layers - 1 : 3; }
static const Node *fused_layer(const Gan *gan) { return &gan->e.node[gan->seen.layer[adain_layer(gan)].node]; }

void adain_generator(Gan *gan) {
    const Node *f = fused_layer(gan);
    Net *g = &gan->g;
    net_begin(g, "g", gan->ops, f->n);
    int x = gan->g_content = net_input(g, f->h, f->w, f->c);
    gan->g_style = net_input(g, 1, 1, 2 * f->c);
    gan->g_fused = x = adain(g, x, gan->g_style);
    for (int l = adain_layer(gan); l >= 0; l--) {                        /* each convolution of E, from the last, backwards */
        const Node *conv = &gan->e.node[gan->seen.layer[l].conv];
        int larger = l > 0 && gan->e.node[gan->seen.layer[l - 1].conv].h > conv->h;
        x = conv2d(g, reflect_pad(g, x, 1), l ? conv->conv.c : 3, 3, 1, 0);
        if (l) x = relu(g, x);
        if (larger) x = upsample(g, x, 2);
    }
    gan->g_picture = tanh_(g, x);
}

/* where layer l's moments stand in gan->target */
static long moments_at(const Gan *gan, int l) {
    long at = 0;
    for (int i = 0; i < l; i++) at += count_of(&gan->e, gan->e_moments[i]);
    return at;
}

static void adain_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    if (!adain_encoder(gan, o->batch, o->size, o->size)) return;
    adain_generator(gan);
    want(gan, &gan->target, moments_at(gan, gan->seen.layers));
    gan->weight[FUSED_CONTENT] = o->content_weight, gan->weight[FUSED_STYLE] = o->style_weight, gan->weight[FUSED_TV] = o->tv_weight;
}

/* E's features of pictures (batch,size,size,3) */
static void encode(Gan *gan, const real *pictures) {
    gan->ops->copy(gan->e.node[gan->seen.picture].y, pictures, count_of(&gan->e, gan->seen.picture));
    net_forward(&gan->e, 0);
}

/* x = G(t), t: gan->content fused with gan->x_real; the style's moments stay in gan->target */
static void adain_sample(Gan *gan) {
    encode(gan, gan->x_real);
    for (int l = 0; l < gan->seen.layers; l++)
        gan->ops->copy(gan->target + moments_at(gan, l), gan->e.node[gan->e_moments[l]].y, count_of(&gan->e, gan->e_moments[l]));
    gan->ops->copy(gan->g.node[gan->g_style].y, gan->target + moments_at(gan, adain_layer(gan)), count_of(&gan->g, gan->g_style));
    encode(gan, gan->content);
    gan->ops->copy(gan->g.node[gan->g_content].y, fused_layer(gan)->y, count_of(&gan->g, gan->g_content));
    net_forward(&gan->g, 0);
}

/* weight * the mean square of a node's difference to `target`, added to a part; its gradient to the node's dy */
static void squared_error(Gan *gan, Net *net, int node, const real *target, int part) {
    Node *x = &net->node[node];
    gan->ops->squared_error_forward(gan->numbers + TERM, x->y, target, NULL, count_of(net, node));
    gan->ops->axpy(gan->numbers + PART + part, gan->numbers + TERM, 1, 1);
    gan->ops->squared_error_backward(x->dy, x->y, target, NULL, (real)gan->weight[part], count_of(net, node));
}

static void adain_step(Gan *gan) {
    Net *e = &gan->e, *g = &gan->g;
    adain_sample(gan);                                                   /* x = G(t) */
    encode(gan, g->node[gan->g_picture].y);
    net_zero_activations(e);
    squared_error(gan, e, gan->seen.layer[adain_layer(gan)].node, g->node[gan->g_fused].y, FUSED_CONTENT);
    for (int l = 0; l < gan->seen.layers; l++)
        squared_error(gan, e, gan->e_moments[l], gan->target + moments_at(gan, l), FUSED_STYLE);
    net_backward(e, NET_INPUT);
    net_zero_activations(g);
    gan->ops->axpy(g->node[gan->g_picture].dy, e->node[gan->seen.picture].dy, 1, count_of(g, gan->g_picture));
    smoothness_loss(gan, FUSED_TV);                                      /* F10 */
    train_generator(gan);
}

/* ----------------------------------------------------------------------------------------------------- recipe: vaegan
 * Document 001's HDRGAN: a variational autoencoder (Kingma, Welling 2013) whose pictures are compared by what a discriminator
 * sees in them (Larsen et al. 2016). E turns a picture into a code: mean and log variance of 100 numbers; z is drawn there;
 * G draws a picture from z. F14:
 *   L_E = kl_weight KL(q(z|x) || N(0,1)) + content_weight |D_l(x) - D_l(G(z))|^2,  L_G = F2 on G(z'), z' ~ N(0,1), + the same
 * New pictures come from noise, as in dcgan; pictures between two pictures from the way between their codes. */

enum { VAE_FOOLED, RECONSTRUCTION, KL };

static void vaegan_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    Net *e = &gan->e;
    dcgan_generator(gan);
    dcgan_discriminator(gan);
    net_begin(e, "e", gan->ops, o->batch);
    int x = gan->e_picture = net_input(e, o->size, o->size, o->channels);
    x = leaky_relu(e, conv2d(e, x, 64, 5, 2, 2), 0.2);
    x = leaky_relu(e, batchnorm(e, conv2d(e, x, 128, 5, 2, 2)), 0.2);
    gan->e_code = dense(e, x, 2 * 100);
    want(gan, &gan->target, count_of(&gan->d, gan->d_feature[0]));
    gan->weight[RECONSTRUCTION] = o->content_weight, gan->weight[KL] = o->kl_weight;
}

static void vaegan_step(Gan *gan) {
    const Ops *ops = gan->ops;
    const GanOptions *o = &gan->options;
    Net *g = &gan->g, *d = &gan->d, *e = &gan->e;
    Node *z = node_of(g, gan->g_latent[0]), *picture = node_of(g, gan->g_picture), *code = node_of(e, gan->e_code);
    uint64_t stream = STREAM(STREAM_NOISE, (uint64_t)gan->step * 4 + 1);
    draw_noise(gan, STREAM_NOISE, (uint64_t)gan->step);                  /* new pictures: D's step, and what G has to learn of it */
    net_forward(g, 1);
    train_discriminator(gan, d, gan->x_real, picture->y);
    discriminate(gan, d, picture->y);
    adversarial_loss(gan, d, FOOL, PART + VAE_FOOLED);
    net_zero_gradients(g);
    net_zero_activations(g);
    backward_through_discriminator(gan, d, picture->dy);
    net_backward(g, NET_WEIGHTS);

    discriminate(gan, d, gan->x_real);                                   /* pictures by way of their codes */
    ops->copy(gan->target, d->node[gan->d_feature[0]].y, count_of(d, gan->d_feature[0]));
    ops->copy(e->node[gan->e_picture].y, gan->x_real, count_of(e, gan->e_picture));
    net_forward(e, 1);
    ops->gaussian_sample_forward(z->y, code->y, o->batch, z->c, o->seed, stream, gan->first * z->c);
    net_forward(g, 1);
    discriminate(gan, d, picture->y);
    net_zero_activations(d);
    squared_error(gan, d, gan->d_feature[0], gan->target, RECONSTRUCTION);
    net_zero_activations(g);
    backward_through_discriminator(gan, d, picture->dy);
    net_backward(g, NET_WEIGHTS | NET_INPUT);
    net_zero_gradients(e);
    net_zero_activations(e);
    ops->gaussian_sample_backward(code->dy, z->dy, code->y, o->batch, z->c, o->seed, stream, gan->first * z->c);
    ops->kl_forward(gan->numbers + PART + KL, code->y, o->batch, z->c);
    ops->kl_backward(code->dy, code->y, (real)gan->weight[KL], o->batch, z->c);
    net_backward(e, NET_WEIGHTS);
    update(gan, g);
    update(gan, e);
}

void gan_encode(Gan *gan, real *code) {
    gan->ops->copy(gan->e.node[gan->e_picture].y, gan->x_real, count_of(&gan->e, gan->e_picture));
    net_forward(&gan->e, 0);
    gan->ops->download(code, gan->e.node[gan->e_code].y, count_of(&gan->e, gan->e_code));
}
void gan_decode(Gan *gan, const real *z, real *out) {
    swap_ema(gan);
    gan->ops->upload(gan->g.node[gan->g_latent[0]].y, z, count_of(&gan->g, gan->g_latent[0]));
    net_forward(&gan->g, 0);
    gan->ops->download(out, gan->g.node[gan->g_picture].y, count_of(&gan->g, gan->g_picture));
    swap_ema(gan);
}

/* --------------------------------------------------------------------------------------------------- recipe: cyclegan
 * Document 002's unpaired transfer (Zhu, Park, Isola, Efros 2017): gan->content is of one kind (plain garments), gan->x_real of
 * another (patterned ones), and nobody says which belong together. G: A -> B, F: B -> A, a discriminator for each kind. F15:
 *   L = F2(LSGAN) of G and of F + cycle_weight (|F(G(a)) - a| + |G(F(b)) - b|) + identity_weight (|G(b) - b| + |F(a) - a|)
 * D is shown made pictures of the last steps too, half of the time (a pool of 50; Shrivastava et al. 2017). */

enum { CYCLE_FOOLED, CYCLE, IDENTITY, POOL = 50 };

/* a logit for each patch of 18x18 pixels (Isola et al. 2017) */
static void patch_discriminator(Gan *gan, Net *d, const char *name) {
    const GanOptions *o = &gan->options;
    net_begin(d, name, gan->ops, o->batch);
    int x = gan->d_picture = net_input(d, o->size, o->size, o->channels);
    if (gan->recipe->conditional) x = concat(d, x, gan->d_given = net_input(d, o->size, o->size, gan_content(gan)));
    x = leaky_relu(d, conv2d(d, x, 32, 4, 2, 1), 0.2);
    x = leaky_relu(d, conv2d(d, x, 64, 4, 2, 1), 0.2);
    gan->d_logits = conv2d(d, x, 1, 3, 1, 1);
}

void translator(Net *g, const char *name, const Ops *ops, int n, int h, int w, int channels, int z, Gan *nodes) {
    net_begin(g, name, ops, n);
    int x = nodes->g_content = net_input(g, h, w, channels);
    nodes->latents = z > 0, nodes->scale_shifts = nodes->g_z = 0;
    if (z) nodes->g_z = nodes->g_latent[0] = net_input(g, 1, 1, z);
    int y = translate(g, x, channels, nodes);
    nodes->g_picture = tanh_(g, z ? add(g, y, x) : y);
}

static void cyclegan_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    long all = (long)o->batch * o->size * o->size * o->channels;
    for (int k = 0; k < 2; k++) {
        translator(k ? &gan->f : &gan->g, k ? "f" : "g", gan->ops, o->batch, o->size, o->size, o->channels, 0, gan);
        patch_discriminator(gan, k ? &gan->d2 : &gan->d, k ? "d2" : "d");
        want(gan, &gan->x_fake[k], all);
        keep(gan, &gan->pool[k], POOL * all / o->batch, k ? "pool.a" : "pool.b");
    }
    gan->weight[CYCLE] = o->cycle_weight, gan->weight[IDENTITY] = o->identity_weight;
}

/* weight * mean |y - target| of a node, added to a part; its gradient to the node's dy.   weight: of each number, or NULL */
static void absolute_error(Gan *gan, Net *net, int node, const real *target, const real *weight, int part) {
    Node *y = node_of(net, node);
    gan->ops->absolute_error_forward(gan->numbers + TERM, y->y, target, weight, count_of(net, node));
    gan->ops->axpy(gan->numbers + PART + part, gan->numbers + TERM, 1, 1);
    gan->ops->absolute_error_backward(y->dy, y->y, target, weight, (real)gan->weight[part], count_of(net, node));
}

/* a network's picture of x */
static void repaint(Gan *gan, Net *g, const real *x) { look(gan, g, gan->g_content, x); }

/* One direction: there turns x (kind A) into kind B, whose discriminator is `judge`; back turns that into x again; y is of kind B
 * already and shall stay. Gradients are added in both networks; made: what `there` made of x */
static void cycle(Gan *gan, Net *there, Net *back, Net *judge, const real *x, const real *y, real *made) {
    Node *picture = node_of(there, gan->g_picture);
    long n = count_of(there, gan->g_picture);
    repaint(gan, there, x);
    gan->ops->copy(made, picture->y, n);
    repaint(gan, back, made);
    net_zero_activations(back);
    absolute_error(gan, back, gan->g_picture, x, NULL, CYCLE);
    net_backward(back, NET_WEIGHTS | NET_INPUT);
    net_zero_activations(there);
    gan->ops->axpy(picture->dy, back->node[gan->g_content].dy, 1, n);
    discriminate(gan, judge, made);
    adversarial_loss(gan, judge, FOOL, PART + CYCLE_FOOLED);
    backward_through_discriminator(gan, judge, picture->dy);
    net_backward(there, NET_WEIGHTS);
    if (!(gan->weight[IDENTITY] > 0)) return;
    repaint(gan, there, y);
    net_zero_activations(there);
    absolute_error(gan, there, gan->g_picture, y, NULL, IDENTITY);
    net_backward(there, NET_WEIGHTS);
}

/* Each made picture goes into the pool; once that is full, half of them change places with one that was there before. Several ranks: all
 * keep the same pool, through which the pictures of all go in turn; a sum with zeros in the place of the others' brings them together. */
static void through_pool(Gan *gan, real *made, real *pool, int side) {
    const Ops *ops = gan->ops;
    long each = count_of(&gan->g, gan->g_picture) / gan->options.batch, batch = (long)gan->options.batch * parallel_ranks;
    real *all = parallel_ranks > 1 ? gan->lot : made, *mine = all + gan->first * each;
    if (all != made) {
        ops->fill(all, 0, batch * each);
        ops->copy(mine, made, gan->options.batch * each);
        parallel_sum(ops, all, batch * each);
    }
    for (long i = 0, before = gan->step * batch; i < batch; i++) {
        int slot = philox_below(gan->options.seed, STREAM(STREAM_POOL, 2 * gan->step + side), (uint64_t)i, 2 * POOL);
        if (before + i < POOL) ops->copy(pool + (before + i) * each, all + i * each, each);
        else if (slot < POOL) {
            real *spare = node_of(&gan->g, gan->g_content)->y;           /* nobody reads it before it is filled anew */
            ops->copy(spare, all + i * each, each);
            ops->copy(all + i * each, pool + slot * each, each);
            ops->copy(pool + slot * each, spare, each);
        }
    }
    if (all != made) ops->copy(made, mine, gan->options.batch * each);
}

static void cyclegan_step(Gan *gan) {
    net_zero_gradients(&gan->g);
    net_zero_gradients(&gan->f);
    cycle(gan, &gan->g, &gan->f, &gan->d, gan->content, gan->x_real, gan->x_fake[0]);
    cycle(gan, &gan->f, &gan->g, &gan->d2, gan->x_real, gan->content, gan->x_fake[1]);
    update(gan, &gan->g);
    update(gan, &gan->f);
    for (int k = 0; k < 2; k++) {
        through_pool(gan, gan->x_fake[k], gan->pool[k], k);
        train_discriminator(gan, k ? &gan->d2 : &gan->d, k ? gan->content : gan->x_real, gan->x_fake[k]);
    }
}

void gan_sample_back(Gan *gan, real *out) {
    gan->ops->copy(gan->f.node[gan->g_content].y, gan->x_real, count_of(&gan->f, gan->g_content));
    net_forward(&gan->f, 0);
    gan->ops->download(out, gan->f.node[gan->g_picture].y, count_of(&gan->f, gan->g_picture));
}

/* ---------------------------------------------------------------------------------------------------- recipe: pattern
 * Cyclegan's way there without the way back: a third of the networks, a sixth of the time. What the cycle was for, that the garment stays
 * the same, is asked of the pictures: as light and dark as before over 4x4 pixels, and untouched where there is no garment. And a plain
 * garment may become many patterned ones: z of 8 numbers sets the strengths of G's norms (F16), and two z must give two pictures.
 *   L_G = F2(LSGAN) + content_weight (|mean4(G(x,z)) - mean4(x)| + |G(x,z) - x| outside) - diversity_weight |G(x,z) - G(x,z')| */

enum { PATTERN_FOOLED, PATTERN_CONTENT, PATTERN_DIVERSITY };

static void pattern_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    translator(&gan->g, "g", gan->ops, o->batch, o->size, o->size, o->channels, PATTERN_Z, gan);
    patch_discriminator(gan, &gan->d, "d");
    blur_describe(gan, 0);
    want(gan, &gan->soft_content, count_of(&gan->blur, gan->blur_out));
    want(gan, &gan->outside, (long)o->batch * o->size * o->size * o->channels);
    gan->weight[PATTERN_CONTENT] = o->content_weight;
}

static void pattern_step(Gan *gan) {
    Net *g = &gan->g, *b = &gan->blur;
    Node *picture = node_of(g, gan->g_picture);
    long n = count_of(g, gan->g_picture), half = picture->n / 2 * (n / picture->n);
    gan->ops->copy(gan->content + half, gan->content, half);             /* each garment twice, each time with a z of its own */
    gan->ops->copy(gan->outside + half, gan->outside, half);
    draw_noise(gan, STREAM_NOISE, (uint64_t)gan->step);
    repaint(gan, g, gan->content);
    train_discriminator(gan, &gan->d, gan->x_real, picture->y);
    discriminate(gan, &gan->d, picture->y);
    adversarial_loss(gan, &gan->d, FOOL, PART + PATTERN_FOOLED);
    net_zero_activations(g);
    backward_through_discriminator(gan, &gan->d, picture->dy);
    look(gan, b, gan->blur_in, gan->content);
    gan->ops->copy(gan->soft_content, b->node[gan->blur_out].y, count_of(b, gan->blur_out));
    look(gan, b, gan->blur_in, picture->y);
    net_zero_activations(b);
    absolute_error(gan, b, gan->blur_out, gan->soft_content, NULL, PATTERN_CONTENT);
    net_backward(b, NET_INPUT);
    gan->ops->axpy(picture->dy, b->node[gan->blur_in].dy, 1, n);
    absolute_error(gan, g, gan->g_picture, gan->content, gan->outside, PATTERN_CONTENT);
    diversity_loss(gan, PATTERN_DIVERSITY);
    train_generator(gan);
}

/* ---------------------------------------------------------------------------------------------------- recipe: pix2pix
 * Document 004's paired transfer (Isola, Zhu, Zhou, Efros 2017): gan->content is the drawing of a garment (its edges), gan->x_real
 * the garment itself. G is a U-Net, whose skips carry the lines past its middle, with dropout in the place of noise; D looks at the
 * picture and the drawing together:   L_G = F2 + content_weight |G(x) - y|  */

enum { PIX_FOOLED, L1 };

static void pix2pix_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    Net *g = &gan->g;
    int x = gan->g_content = net_input(g, o->size, o->size, o->channels);
    int whole = leaky_relu(g, conv2d(g, x, 32, 3, 1, 1), 0.2);
    int half = leaky_relu(g, instancenorm(g, conv2d(g, whole, 48, 4, 2, 1)), 0.2);
    int quarter = leaky_relu(g, instancenorm(g, conv2d(g, half, 64, 4, 2, 1)), 0.2);
    x = dropout(g, relu(g, instancenorm(g, conv2d(g, quarter, 64, 3, 1, 1))), 0.5);
    x = dropout(g, relu(g, instancenorm(g, conv2d(g, concat(g, x, quarter), 64, 3, 1, 1))), 0.5);
    x = relu(g, instancenorm(g, conv2d(g, concat(g, upsample(g, x, 2), half), 48, 3, 1, 1)));
    x = relu(g, instancenorm(g, conv2d(g, concat(g, upsample(g, x, 2), whole), 32, 3, 1, 1)));
    gan->g_picture = tanh_(g, conv2d(g, x, o->channels, 3, 1, 1));
    patch_discriminator(gan, &gan->d, "d");
    gan->weight[L1] = o->content_weight;
}

static void pix2pix_step(Gan *gan) {
    Net *g = &gan->g;
    g->seed = gan->options.seed, g->draw = (uint64_t)gan->step, g->first = gan->first;
    repaint(gan, g, gan->content);
    train_discriminator(gan, &gan->d, gan->x_real, g->node[gan->g_picture].y);
    discriminate(gan, &gan->d, g->node[gan->g_picture].y);
    adversarial_loss(gan, &gan->d, FOOL, PART + PIX_FOOLED);
    net_zero_activations(g);
    backward_through_discriminator(gan, &gan->d, g->node[gan->g_picture].dy);
    absolute_error(gan, g, gan->g_picture, gan->x_real, NULL, L1);
    train_generator(gan);
}

/* --------------------------------------------------------------------------------------------------- recipe: stylegan
 * The small idea of it (Karras, Laine, Aila 2019): z does not enter G as its first layer. Two dense layers make of it a style w; the
 * picture grows from one learned constant, and at each scale w says how strong and how bright each channel shall be (AdaIN, F16),
 * while one plane of noise, scaled for each channel, gives detail that no style decides. */

static int styled(Gan *gan, int x, int w, int out) {
    Net *g = &gan->g;
    int size = g->node[x].h, noise = gan->g_latent[gan->latents++] = net_input(g, size, size, 1);
    x = conv2d(g, x, out, 3, 1, 1);
    x = leaky_relu(g, add(g, x, conv2d(g, noise, out, 1, 1, 0)), 0.2);
    gan->g_scale_shift[gan->scale_shifts++] = dense(g, w, 2 * out);
    return adain(g, x, gan->g_scale_shift[gan->scale_shifts - 1]);
}

static void stylegan_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    Net *g = &gan->g;
    int s = o->size / 4, w = gan->g_latent[gan->latents++] = net_input(g, 1, 1, 64);
    for (int i = 0; i < 2; i++) w = leaky_relu(g, dense(g, w, 64), 0.2);
    int x = gan->g_given = net_input(g, 1, 1, 1);                        /* always 1: the dense layer's weights are the constant */
    x = reshape(g, dense(g, x, s * s * 64), s, s, 64);
    x = styled(gan, x, w, 64);
    x = styled(gan, upsample(g, x, 2), w, 48);
    x = styled(gan, upsample(g, x, 2), w, 32);
    gan->g_picture = tanh_(g, conv2d(g, x, o->channels, 3, 1, 1));
    dcgan_discriminator(gan);
    want(gan, &gan->given, o->batch);
}

static int stylegan_start(Gan *gan) {
    gan->ops->fill(gan->given, 1, gan->options.batch);
    return unit_scale_shift(gan);
}

void gan_mix(Gan *gan, const real *coarse, const real *fine, real *out) {
    Net *g = &gan->g;
    Node *z = node_of(g, gan->g_latent[0]), *style = node_of(g, gan->g_scale_shift[0]);
    int after = gan->g_scale_shift[0] + 1;
    long n = count_of(g, gan->g_scale_shift[0]);
    swap_ema(gan);
    gan->first = 0;
    draw_noise(gan, STREAM_SAMPLE, 0);
    for (int k = 0; k < 2; k++) {                                        /* out lends room for the coarse style in between */
        gan->ops->upload(z->y, k ? fine : coarse, count_of(g, gan->g_latent[0]));
        net_forward_part(g, 0, after);
        k ? gan->ops->upload(style->y, out, n) : gan->ops->download(out, style->y, n);
    }
    net_forward_part(g, after, g->nodes);
    gan->ops->download(out, g->node[gan->g_picture].y, count_of(g, gan->g_picture));
    swap_ema(gan);
}

/* --------------------------------------------------------------------------------------------------- recipe: features
 * A network of features of our own, in the place of VGG's: it learns to tell from which of the style pictures a crop was
 * taken, looking only at what style is: means and deviations of its features, wherever in the crop they are. */

static void features_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    Net *g = &gan->g;
    int all = -1;
    if (!features_random(&gan->seen, g, o->size, o->size)) { g->nodes = 0; return; }
    for (int l = 0; l < gan->seen.layers; l++) {
        int m = moments(g, gan->seen.layer[l].node);
        all = l ? concat(g, all, m) : m;
    }
    gan->g_picture = dense(g, all, o->classes);
    want(gan, &gan->labels, o->batch);
}

/* L = -log softmax(logits)[label], mean over the batch: one step of Adam on a network that reads gan->x_real at its node `input` */
static void classify(Gan *gan, int input) {
    Net *g = &gan->g;
    Node *logits = node_of(g, gan->g_picture);
    gan->ops->copy(g->node[input].y, gan->x_real, count_of(g, input));
    net_forward(g, 1);
    net_zero_activations(g);
    gan->ops->softmax_cross_entropy_forward(gan->numbers + PART, logits->y, gan->labels, logits->n, logits->c);
    gan->ops->softmax_cross_entropy_backward(logits->dy, logits->y, gan->labels, 1, logits->n, logits->c);
    train_generator(gan);
}

static void features_step(Gan *gan) { classify(gan, gan->seen.picture); }

/* ------------------------------------------------------------------------------------------------- recipe: classifier
 * The judge of the others: it learns the classes of a data set, and what its last hidden layer (128 numbers a picture) sees is
 * what --evaluate measures distances in. Two convolutions with pooling and two dense layers, as LeCun et al. 1998. */

static void classifier_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    Net *g = &gan->g;
    int x = gan->g_content = net_input(g, o->size, o->size, o->channels);
    x = maxpool(g, relu(g, conv2d(g, x, 32, 3, 1, 1)), 2);
    x = maxpool(g, relu(g, conv2d(g, x, 64, 3, 1, 1)), 2);
    gan->g_features = x = relu(g, dense(g, x, 128));
    gan->g_picture = dense(g, x, o->classes);
    want(gan, &gan->labels, o->batch);
}

static void classifier_step(Gan *gan) { classify(gan, gan->g_content); }

/* -------------------------------------------------------------------------------------------------------- the recipes */

#define NOISE_STEP .multiple = 4, .part = { "adversarial", "diversity" }, .step = dcgan_step
const Recipe recipes[] = {
    { .name = "dcgan", .summary = "new garments out of noise",
      .source = "document 001; Radford, Metz, Chintala 2015; F1-F4",
      .defaults = { .batch = 64, .size = 28, .channels = 0, .steps = 1500, .lr = 2e-4, .beta1 = 0.5, .beta2 = 0.999 },
      .describe = dcgan_describe, NOISE_STEP },
    { .name = "mlp", .summary = "the same with dense layers only", .source = "document 004; Goodfellow et al. 2014; F1-F6",
      .defaults = { .batch = 64, .size = 28, .channels = 0, .steps = 3000, .lr = 2e-4, .beta1 = 0.5, .beta2 = 0.999 },
      .describe = mlp_describe, NOISE_STEP },
    { .name = "dcgan64", .summary = "the same for pictures of 64x64 and more, in colour", .source = "document 003; Radford et al. 2015", .data = "fashion-mnist:tinted",
      .defaults = { .batch = 32, .size = 64, .channels = 0, .steps = 1500, .lr = 1e-3, .lr_d = 2e-4, .beta1 = 0.5, .beta2 = 0.999 },
      .describe = dcgan64_describe, .gain = 0, .multiple = 16, .part = { "adversarial", "diversity" }, .step = dcgan_step },
    { .name = "lsgan", .summary = "dcgan with squared errors for its losses", .source = "Mao et al. 2017", .objective = LEAST_SQUARES,
      .defaults = { .batch = 64, .size = 28, .channels = 0, .steps = 1500, .lr = 2e-4, .beta1 = 0.5, .beta2 = 0.999 },
      .describe = dcgan_describe, NOISE_STEP },
    { .name = "hinge", .summary = "dcgan with hinge losses and spectral normalisation", .source = "Miyato et al. 2018; Lim, Ye 2017",
      .defaults = { .batch = 64, .size = 28, .channels = 0, .steps = 1500, .lr = 2e-4, .beta1 = 0.5, .beta2 = 0.999 },
      .objective = HINGE, .spectral = 1, .describe = dcgan_describe, NOISE_STEP },
    { .name = "wgan", .summary = "dcgan whose critic estimates a distance: weights clipped", .source = "document 001; F11",
      .defaults = { .batch = 64, .size = 28, .channels = 0, .steps = 1500, .lr = 5e-5, .n_critic = 5, .weight_clip = 0.01 },
      .objective = WASSERSTEIN, .rmsprop = 1, .describe = dcgan_describe, NOISE_STEP },
    { .name = "wgan-gp", .summary = "the same with a gradient penalty in place of clipping", .source = "Gulrajani et al. 2017; F11, F12",
      .defaults = { .batch = 64, .size = 28, .channels = 0, .steps = 1500, .lr = 1e-4, .beta1 = 0, .beta2 = 0.9, .n_critic = 5,
                    .penalty_weight = 10 },
      .objective = WASSERSTEIN, .describe = dcgan_describe, NOISE_STEP },
    { .name = "cgan", .summary = "dcgan that is told what to draw: ten classes of garments", .source = "document 003; Mirza, Osindero 2014; F13",
      .defaults = { .batch = 64, .size = 28, .channels = 0, .steps = 1500, .lr = 2e-4, .beta1 = 0.5, .beta2 = 0.999 },
      .labels = 1, .conditional = ON_CLASS, .describe = dcgan_describe, NOISE_STEP },
    { .name = "stylegan", .summary = "pictures that grow from a constant, with a style at each scale", .source = "Karras, Laine, Aila 2019; F16",
      .defaults = { .batch = 32, .size = 28, .channels = 0, .steps = 2000, .lr = 5e-4, .beta1 = 0, .beta2 = 0.99 }, .gain = 1,
      .describe = stylegan_describe, .start = stylegan_start, NOISE_STEP },
    { .name = "vaegan", .summary = "new garments, and garments between two garments: an autoencoder beside the GAN",
      .source = "document 001 (HDRGAN); Larsen et al. 2016; F14",
      .defaults = { .batch = 64, .size = 28, .channels = 0, .steps = 1500, .lr = 3e-4, .beta1 = 0.5, .beta2 = 0.999, .content_weight = 5,
                    .kl_weight = 0.01 },
      .part = { "adversarial", "reconstruction", "kl" }, .multiple = 4, .describe = vaegan_describe, .step = vaegan_step },
    { .name = "cyclegan", .summary = "turns pictures of one kind into another, and back, without pairs", .source = "document 002; Zhu et al. 2017; F15",
      .defaults = { .batch = 8, .size = 28, .channels = 0, .steps = 1000, .lr = 2e-4, .beta1 = 0.5, .beta2 = 0.999, .cycle_weight = 10,
                    .identity_weight = 5, .schedule = LINEAR },
      .part = { "adversarial", "cycle", "identity" }, .content = AS_DATA, .pairs = UNPAIRED, .data = "fashion-mnist:plain", .objective = LEAST_SQUARES, .multiple = 4, .body = 1,
      .describe = cyclegan_describe, .step = cyclegan_step, .sample = repaint_sample },
    { .name = "pattern", .summary = "gives plain pictures patterns, another one for each z, without pairs and without a way back",
      .source = "cyclegan cut down; Mao et al. 2019; F16",
      .defaults = { .batch = 16, .size = 28, .channels = 0, .steps = 1000, .lr = 2e-4, .beta1 = 0.5, .beta2 = 0.999, .content_weight = 2,
                    .diversity_weight = 0.5 },
      .part = { "adversarial", "content", "diversity" }, .content = AS_DATA, .pairs = UNPAIRED, .data = "fashion-mnist:plain", .objective = LEAST_SQUARES, .multiple = 4, .body = 1,
      .gain = 1, .describe = pattern_describe, .start = unit_scale_shift, .step = pattern_step, .sample = repaint_sample },
    { .name = "pix2pix", .summary = "garments from their drawings", .source = "document 004; Isola et al. 2017",
      .defaults = { .batch = 16, .size = 28, .channels = 0, .steps = 1500, .lr = 2e-4, .beta1 = 0.5, .beta2 = 0.999, .content_weight = 100 },
      .part = { "adversarial", "l1" }, .content = AS_DATA, .pairs = DRAWINGS, .conditional = ON_CONTENT, .multiple = 4,
      .describe = pix2pix_describe, .step = pix2pix_step, .sample = repaint_sample },
    { .name = "style", .summary = "prints the style of pictures onto garments",
      .source = "documents 001-004; Li, Wand 2016; Gatys, Ecker, Bethge 2015; F2, F3, F8-F10",
      .defaults = { .batch = 8, .size = 64, .channels = 3, .steps = 1000, .lr = 4e-4, .lr_d = 8e-4, .beta1 = 0.5, .beta2 = 0.99,
                    .content_weight = 0.3, .style_weight = 3, .clip = 10 },
      .part = { "adversarial", "content", "style", "tv" }, .content = 1, .style = 1, .multiple = STYLE_MULTIPLE, .body = 1, .gain = 1,
      .describe = style_describe, .step = style_step, .sample = repaint_sample },
    { .name = "adain", .summary = "fuses any picture with any style in one pass",
      .source = "document 004; Huang, Belongie 2017; F16, F9, F10",
      .defaults = { .batch = 8, .size = 64, .channels = 3, .steps = 3000, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999,
                    .content_weight = 1, .style_weight = 3, .clip = 10 },
      .part = { "content", "style", "tv" }, .content = 3, .style = 1, .multiple = 8, .gain = 2,
      .describe = adain_describe, .start = adain_encoder_weights, .step = adain_step, .sample = adain_sample },
    { .name = "features", .summary = "features of our own, which tell styles apart",
      .source = "softmax cross-entropy on means and deviations",
      .defaults = { .batch = 32, .size = 64, .channels = 3, .steps = 1500, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .clip = 10 },
      .part = { "cross_entropy" }, .style = 1, .labels = 1, .multiple = 8, .gain = 2, .describe = features_describe, .step = features_step },
    { .name = "classifier", .summary = "tells the classes of a data set apart: the judge of --evaluate",
      .source = "softmax cross-entropy; LeCun, Bottou, Bengio, Haffner 1998",
      .defaults = { .batch = 64, .size = 28, .steps = 1875, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999 },
      .part = { "cross_entropy" }, .labels = 1, .multiple = 1, .gain = 2, .describe = classifier_describe, .step = classifier_step },
    { .name = NULL }
};

const char *const gan_bodies[BODIES] = { "residual", "inception", "separable" };

int gan_content(const Gan *gan) { return gan->recipe->content == AS_DATA ? gan->options.channels : gan->recipe->content; }
int gan_n_critic(const Gan *gan) { return gan->recipe->step == dcgan_step && gan->options.n_critic > 1 ? gan->options.n_critic : 1; }

const Recipe *recipe_find(const char *name) {
    for (const Recipe *r = recipes; r->name; r++)
        if (!strcmp(r->name, name)) return r;
    return NULL;
}

/* --------------------------------------------------------------------------------------------- what all recipes share */

Net *gan_net(const Gan *gan, int i) {
    const Net *nets[GAN_NETS] = { &gan->g, &gan->d, &gan->e, &gan->f, &gan->d2, &gan->blur };
    for (int k = 0; k < GAN_NETS; k++)
        if (nets[k]->nodes && i-- == 0) return (Net *)(uintptr_t)nets[k];
    return NULL;
}

int gan_begin(Gan *gan, const Recipe *recipe, const GanOptions *options, const Ops *ops) {
    const GanOptions *o = options;
    memset(gan, 0, sizeof *gan);
    gan->recipe = recipe, gan->options = *options, gan->ops = ops;
    gan->weight[0] = 1;
    net_begin(&gan->g, "g", ops, o->batch);
    net_begin(&gan->d, "d", ops, o->batch);
    recipe->describe(gan);
    if (!gan->g.nodes) {
        return 0;
    }
    want(gan, &gan->numbers, NUMBERS);
    want(gan, &gan->x_real, (long)gan_n_critic(gan) * o->batch * o->size * o->size * o->channels);
    if (gan->d.nodes) want(gan, &gan->d_target, count_of(&gan->d, gan->d_logits));
    if (o->penalty_weight > 0) {
        want(gan, &gan->t, o->batch);
        gan->d.training |= NET_TANGENT, gan->d2.training |= NET_TANGENT;
    }
    if (recipe->conditional == ON_CLASS) want(gan, &gan->given, (long)gan_n_critic(gan) * o->batch * o->classes);
    if (o->ema > 0) keep(gan, &gan->ema, gan->g.parameters, "g.now");
    long lot = count_of(&gan->g, gan->g_picture);
    for (int i = 0; i < gan->latents; i++) lot = count_of(&gan->g, gan->g_latent[i]) > lot ? count_of(&gan->g, gan->g_latent[i]) : lot;
    if (parallel_ranks > 1) want(gan, &gan->lot, lot * parallel_ranks);
    Net *net;
    for (int i = 0; o->sync_batchnorm && parallel_ranks > 1 && (net = gan_net(gan, i)); i++) net->mean = parallel_mean_double, net->ranks = parallel_ranks;
    if (recipe->content) want(gan, &gan->content, (long)o->batch * o->size * o->size * gan_content(gan));
    return 1;
}

double gan_bytes(const Gan *gan) {
    double bytes = 0, scratch = 0, gram = 0;             /* scratch: the largest, all networks share it; gram: what Gram matrices borrow */
    const Net *net;
    for (int i = 0; (net = gan_net(gan, i)); i++)
        bytes += net_bytes(net, net->training), scratch = fmax(scratch, net_scratch_bytes(net));
    for (int k = 0; k < gan->features; k++) {
        const Node *f = &gan->d.node[gan->d_feature[k]];
        gram = fmax(gram, (double)gan->ops->gram_scratch((long)f->n * f->h * f->w, f->c) * sizeof(real));
    }
    for (int i = 0; i < gan->buffers; i++) bytes += (double)gan->buffer[i].count * sizeof(real);
    return bytes + scratch + gram;
}

int gan_finish(Gan *gan) {
    Net *net;
    fail("not enough memory: use a smaller --batch or --size");
    for (int i = 0; (net = gan_net(gan, i)); i++)
        if (!net_finish(net, net->training)) return 0;
    for (int i = 0; i < gan->buffers; i++)
        if (!(*gan->buffer[i].at = gan->ops->alloc(gan->buffer[i].count))) return 0;
    Net *const learner[] = { &gan->g, &gan->f, &gan->e, &gan->d, &gan->d2 };
    for (int i = 0; i < 5; i++)                       /* adain's E has weights of its own */
        if (learner[i]->training & NET_WEIGHTS)
            net_initialize(learner[i], gan->options.seed, STREAM(i < 3 ? STREAM_G : STREAM_D, i % 3 * 1000), gan->recipe->gain);
    int good = !gan->recipe->start || gan->recipe->start(gan);
    if (good && gan->ema) gan->ops->copy(gan->ema, gan->g.p, gan->g.parameters);
    return good;
}

void gan_free(Gan *gan) {
    Net *net;
    while ((net = gan_net(gan, 0))) net_free(net);
    for (int i = 0; i < gan->buffers; i++)
        if (*gan->buffer[i].at) gan->ops->release(*gan->buffer[i].at);
    memset(gan, 0, sizeof *gan);
}

/* The step's one look at the device. L_G = sum of weight * part */
static Report report_of(const Gan *gan) {
    real x[NUMBERS];
    gan->ops->download(x, gan->numbers, NUMBERS);
    Report r = { .loss_d = (double)x[LOSS_REAL] + x[LOSS_FAKE] + gan->options.penalty_weight * x[PENALTY], .penalty = x[PENALTY], .d_real = x[D_REAL], .d_fake = x[D_FAKE],
                 .norm_d = sqrt((double)x[SQUARE_D]), .norm_g = sqrt((double)x[SQUARE_G]), .batch_std = x[SPREAD] };
    for (int i = 0; gan->recipe->part[i]; i++) r.part[i] = x[PART + i], r.loss_g += gan->weight[i] * x[PART + i];
    return r;
}

/* Running statistics, where each rank has taken its own: all go on with their mean */
static void share_statistics(Gan *gan) {
    Net *net;
    for (int i = 0; (net = gan_net(gan, i)); i++)
        if (net->buffers && !net->mean) parallel_mean(gan->ops, net->buffer, net->buffers);
}

void gan_step(Gan *gan, Report *report) {
    const Node *picture = node_of(&gan->g, gan->g_picture);
    gan->ops->fill(gan->numbers, 0, NUMBERS);
    gan->draw = gan->step, gan->first = (long)parallel_rank * gan->options.batch;
    gan->recipe->step(gan);
    share_statistics(gan);
    if (gan->ema) update_ema(gan);
    gan->ops->batch_std(gan->numbers + SPREAD, picture->y, picture->n, count_of(&gan->g, gan->g_picture) / picture->n);
    parallel_mean(gan->ops, gan->numbers, NUMBERS);
    *report = report_of(gan);
    gan->step++;
}

void gan_sample(Gan *gan, uint64_t draw, real *out) {
    long all = (long)parallel_ranks * gan->options.batch, number = (long)draw * gan->options.batch;
    gan->draw = 0, gan->first = number % all;             /* the pictures that one rank with all of a step's would draw */
    swap_ema(gan);
    draw_noise(gan, STREAM_SAMPLE, (uint64_t)(number / all));
    if (gan->recipe->sample) gan->recipe->sample(gan);
    else net_forward(&gan->g, 0);
    gan->ops->download(out, gan->g.node[gan->g_picture].y, count_of(&gan->g, gan->g_picture));
    swap_ema(gan);
}

/* ---------------------------------------------------------------------------------- checkpoints */

/* what gan_save writes, of G as it is now */
static Checkpoint gan_checkpoint(const Gan *gan) {
    Checkpoint c = { .ops = gan->ops, .recipe = gan->recipe->name, .step = gan->step,
                     .format = GAN_FORMAT };
    for (int i = 0; i < CHECKPOINT_NETS; i++) c.net[i] = gan_net(gan, i);
    for (int i = 0; i < gan->buffers; i++)
        if (gan->buffer[i].name)
            c.buffer[c.buffers++] = (CheckpointBuffer){ gan->buffer[i].name, *gan->buffer[i].at,
                                                        gan->buffer[i].count };
    return c;
}

int gan_save(Gan *gan, const char *path, const StMeta *meta, int metas) {
    swap_ema(gan);                      /* the file's G is the averaged one; "g.now" is G itself */
    Checkpoint c = gan_checkpoint(gan);
    int good = checkpoint_save(&c, path, meta, metas);
    swap_ema(gan);
    return good;
}

uint64_t gan_hash(const Gan *gan) {
    Checkpoint c = gan_checkpoint(gan);
    return checkpoint_hash(&c);
}

int gan_open(StFile *file, const char *path) { return checkpoint_open(file, path, GAN_FORMAT); }

int gan_load(Gan *gan, const char *path) {
    StFile file;
    long step;
    Net *net;
    if (!gan_open(&file, path)) return 0;
    int good = checkpoint_step(&file, path, gan->recipe->name, &step);
    if (good && !gan->ema != !st_find(&file, "g.now"))
        good = fail(gan->ema ? "%s: made without --average: omit it here too" : "%s: made with "
                    "--average: its weights are means, give --average as there", path);
    swap_ema(gan);
    Checkpoint c = gan_checkpoint(gan);
    good = good && checkpoint_load(&c, &file, path);
    swap_ema(gan);
    st_close(&file);
    for (int i = 0; good && (net = gan_net(gan, i)); i++)
        if (net->m && !gan->recipe->rmsprop)
            net->adam_steps = step * (net == &gan->d ? gan_n_critic(gan) : 1);
    if (good) gan->step = step;
    return good;
}

void gan_begin_anew(Gan *gan) {
    Net *net;
    for (int i = 0; (net = gan_net(gan, i)); i++) {
        net->adam_steps = 0;
        if (!net->m) continue;
        gan->ops->fill(net->m, 0, net->parameters);
        gan->ops->fill(net->v, 0, net->parameters);
    }
    gan->step = 0;
}
