/* gan.c: the recipes. Each is a paragraph: its networks, its objective, its training step; gan.h
 * says how to drive them. The code of the headers below is compiled here, once for every program.
 * With -Dreal=double (gradient checks) all of it is double; the devices exist in float only. */
#define ERROR_IMPLEMENTATION
#define FILES_IMPLEMENTATION
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
#include "core/files.h"
#include "core/options.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------- the pieces of a step */

/* What D is taught of a real picture, of a fake one, and what G wants D to say of a fake one */
enum { REAL, FAKE, FOOL };

/* What a step measures, in gan->numbers on the device, downloaded once. LOSS, D_SAYS: + REAL, +
 * FAKE. SQUARE: of the gradient's norm. + SECOND: of D2, E, F. TERM: of a sum. PART: of L_G. */
enum { LOSS, D_SAYS = 2, SECOND = 2, PENALTY = D_SAYS + 2 * SECOND, SQUARE_D, SQUARE_G,
       BATCH_STD = SQUARE_D + 2 * SECOND, TERM, PART, NUMBERS = PART + GAN_PARTS };
enum { ADVERSARIAL };

static int second(const Gan *gan, const Net *net) {
    return net == &gan->d2 || net == &gan->e || net == &gan->f ? SECOND : 0;
}

/* The picture that G has made; D's logits */
static Node *fake(Gan *gan) { return &gan->g.node[gan->g_picture]; }
static Node *logits_of(const Gan *gan, Net *d) { return &d->node[gan->d_logits]; }

/* node = x; x = node; a forward pass over x */
static void set(Gan *gan, Node *to, const real *x) { gan->ops->copy(to->y, x, node_count(to)); }
static void get(Gan *gan, Node *from, real *x) { gan->ops->copy(x, from->y, node_count(from)); }
static void forward(Gan *gan, Net *net, int input, const real *x, int training) {
    set(gan, &net->node[input], x);
    net_forward(net, training);
}

/* net's backward pass; its gradient by its input is added to the dy of the node that made it */
static void backward_into(Gan *gan, Net *net, int what, int input, Node *made) {
    net_backward(net, what | NET_INPUT);
    gan->ops->axpy(made->dy, net->node[input].dy, 1, node_count(made));
}

/* The term is added to a number */
static void add_term(Gan *gan, int number) {
    gan->ops->axpy(gan->numbers + number, gan->numbers + TERM, 1, 1);
}

/* weight_part * mean of m |y - target|^power is added to L_G, power 1 (F15) or 2 (F9); its gradient
 * to the node's dy.   mask m: as many numbers, or NULL: ones */
static void distance_loss(Gan *gan, int power, Node *y, const real *target, const real *mask,
                          int part) {
    const Ops *ops = gan->ops;
    real *loss = gan->numbers + TERM, weight = (real)gan->weight[part];
    long n = node_count(y);
    if (power == 1) ops->absolute_error_forward(loss, y->y, target, mask, n);
    else ops->squared_error_forward(loss, y->y, target, mask, n);
    if (power == 1) ops->absolute_error_backward(y->dy, y->y, target, mask, weight, n);
    else ops->squared_error_backward(y->dy, y->y, target, mask, weight, n);
    add_term(gan, PART + part);
}

/* The share of the learning rate in force. LINEAR: down to 0 over the second half */
static double learning_rate(const Gan *gan) {
    int steps = gan->options.steps, schedule = gan->options.schedule;
    double done = steps > 0 ? fmin((double)gan->step / steps, 1) : 0;
    if (schedule == LINEAR) return fmin(1, 2 - 2 * done);
    return schedule == COSINE ? 0.5 + 0.5 * cos(3.14159265358979 * done) : 1;
}

/* What D (and G) is given beside its picture: the content, or the classes of this draw */
static const real *given_now(const Gan *gan) {
    long round = gan->draw % gan_n_critic(gan) * gan->options.batch;
    if (gan->recipe->feeds == FEED_DRAWINGS) return gan->content;
    return gan->given + round * gan->options.classes;
}

/* D's forward pass over pictures x. Where a recipe has two discriminators, they are built alike. */
static void discriminate(Gan *gan, Net *d, const real *x) {
    if (gan->d_given) set(gan, &d->node[gan->d_given], given_now(gan));
    forward(gan, d, gan->d_picture, x, 1);
}
static int relativistic(const Gan *gan) { return gan->recipe->objective == RELATIVISTIC; }
/* The same over REAL or FAKE pictures x; RELATIVISTIC: with what D says of them kept */
static void judge(Gan *gan, Net *d, int kind, const real *x) {
    Node *logits = logits_of(gan, d);
    discriminate(gan, d, x);
    if (relativistic(gan)) get(gan, logits, gan->d_target + kind * node_count(logits));
}

/* The adversarial loss on D's logits l, added to a number; its gradient becomes the logits' dy.
 *                   D, REAL         D, FAKE          G, FOOL
 *   BCE             -log s(l)       -log(1 - s(l))   -log s(l)   F3, F2 by F4; s: the sigmoid
 *   LEAST_SQUARES   (l - 1)^2       l^2              (l - 1)^2   F21, Mao et al. 2017
 *   WASSERSTEIN     -l              l                -l          F11, Arjovsky et al. 2017
 *   HINGE           max(0, 1 - l)   max(0, 1 + l)    -l          F22, Lim, Ye 2017
 *   RELATIVISTIC    the row of BCE, l less what D says of the picture of the other kind   F32
 * F24, one-sided label smoothing (Salimans et al. 2016): BCE's target for REAL is 1 - smoothing. */
static void adversarial_loss(Gan *gan, Net *d, int says, int number) {
    const Ops *ops = gan->ops;
    Node *logits = logits_of(gan, d);
    long n = node_count(logits);
    real *loss = gan->numbers + TERM, sign = says == FAKE ? 1 : -1;
    real target = (real)(says == FAKE ? 0 : says == REAL ? 1 - gan->options.smoothing : 1);
    int objective = gan->recipe->objective;
    net_zero_activations(d);
    if (relativistic(gan)) ops->axpy(logits->y, gan->d_target + (says == REAL) * n, -1, n);
    switch (objective == HINGE && says == FOOL ? WASSERSTEIN : objective) {
        case BCE: case RELATIVISTIC:
            ops->bce_logits_forward(loss, logits->y, target, n);
            ops->bce_logits_backward(logits->dy, logits->y, target, 1, n);
            break;
        case LEAST_SQUARES:
            ops->fill(gan->d_target, says != FAKE, n);
            ops->squared_error_forward(loss, logits->y, gan->d_target, NULL, n);
            ops->squared_error_backward(logits->dy, logits->y, gan->d_target, NULL, 1, n);
            break;
        case HINGE:
            ops->hinge_forward(loss, logits->y, -sign, n);
            ops->hinge_backward(logits->dy, logits->y, -sign, 1, n);
            break;
        case WASSERSTEIN:
            ops->mean_forward(loss, logits->y, n);
            ops->scale(loss, sign, 1);
            ops->mean_backward(logits->dy, sign, n);
    }
    /* D's one loss is seen twice, with REAL's and with FAKE's gradient */
    if (relativistic(gan) && says != FOOL) ops->scale(loss, (real)0.5, 1);
    add_term(gan, number);
}

/* One step of the optimiser (F19, or RMSprop) with weight decay and a bound of the gradient's norm.
 * Ranks have equally many pictures: the mean of their gradients is that of all pictures. */
static void update(Gan *gan, Net *net) {
    const GanOptions *o = &gan->options;
    const Ops *ops = gan->ops;
    int judges = net == &gan->d || net == &gan->d2;
    real *square = gan->numbers + (judges ? SQUARE_D : SQUARE_G) + second(gan, net);
    double lr = (judges && o->lr_d > 0 ? o->lr_d : o->lr) * learning_rate(gan);
    long n = net->parameters;
    parallel_mean(ops, net->g, n);
    if (o->weight_decay > 0) ops->axpy(net->g, net->p, (real)o->weight_decay, n);
    ops->sum_squares(square, net->g, n);
    if (o->clip > 0) ops->clip_norm(net->g, square, (real)o->clip, n);
    if (gan->recipe->rmsprop)
        ops->rmsprop_step(net->p, net->v, net->g, n, (real)lr, (real)0.99, (real)1e-8);
    else net_adam(net, lr, o->beta1, o->beta2);
    if (judges && o->weight_clip > 0) ops->clip(net->p, (real)o->weight_clip, n);
}

/* n random numbers x for this rank's pictures, as one rank with all pictures would draw them */
typedef void Draw(real *x, long n, uint64_t seed, uint64_t stream);
static void draw_numbers(Gan *gan, Draw *draw, real *x, long n, uint64_t stream) {
    long before = n / gan->options.batch * gan->first;
    draw(before ? gan->lot : x, before + n, gan->options.seed, stream);
    if (before) gan->ops->copy(x, gan->lot + before, n);
}

/* G's z and planes of noise ~ N(0,1), from the streams of this purpose and draw; and the class */
static void draw_noise(Gan *gan, int purpose, long draw) {
    for (int i = 0; i < gan->latents; i++) {
        Node *z = &gan->g.node[gan->g_latent[i]];
        uint64_t stream = STREAM(purpose, draw * 4 + i);
        draw_numbers(gan, gan->ops->random_normal, z->y, node_count(z), stream);
    }
    if (gan->g_given) set(gan, &gan->g.node[gan->g_given], given_now(gan));
}

/* G's pictures of this noise and of gan->content */
static void generate(Gan *gan, long draw, int training) {
    draw_noise(gan, training ? STREAM_NOISE : STREAM_SAMPLE, draw);
    if (gan->content) set(gan, &gan->g.node[gan->g_content], gan->content);
    net_forward(&gan->g, training);
}

/* F26, options.ema: a moving average w <- a w + (1 - a) w_now of G's weights makes the pictures
 * (Yazici et al. 2019). a grows from 0.1, so that the first weights are soon forgotten. */
static void update_ema(Gan *gan) {
    double step = (double)gan->step;
    real a = (real)fmin(gan->options.ema, (1 + step) / (10 + step));
    gan->ops->scale(gan->ema, a, gan->g.parameters);
    gan->ops->axpy(gan->ema, gan->g.p, 1 - a, gan->g.parameters);
}
static void swap_ema(Gan *gan) {
    real *now = gan->g.p;
    if (gan->ema) gan->g.p = gan->ema, gan->ema = now;
}

/* A penalty of g = grad D(x), x: what D has just seen. F12: mean (|g| - 1)^2 (Gulrajani et al.
 * 2017); F33: PENALTY_EVERY mean |g|^2 / 2 (Mescheder et al. 2018). With v = d penalty / dg, held,
 * its gradient by D's parameters is grad_theta (v . grad D(x)), which net_tangent adds. */
enum { PENALTY_EVERY = 4 };
static void penalize_gradient(Gan *gan, Net *d) {
    const Ops *ops = gan->ops;
    Node *x = &d->node[gan->d_picture], *logits = logits_of(gan, d);
    real *penalty = gan->numbers + PENALTY, share = (real)PENALTY_EVERY / (real)x->n;
    long n = node_count(x);
    net_zero_activations(d);
    ops->fill(logits->dy, 1, node_count(logits));
    net_backward(d, NET_INPUT);
    if (relativistic(gan)) {
        ops->sum_squares(gan->numbers + TERM, x->dy, n);
        ops->axpy(penalty, gan->numbers + TERM, share / 2, 1);
        ops->copy(x->t, x->dy, n);
        ops->scale(x->t, share, n);
    } else {
        ops->gradient_penalty(gan->numbers + TERM, x->t, x->dy, x->n, n / x->n);
        add_term(gan, PENALTY);
    }
    ops->scale(x->t, (real)gan->options.penalty_weight, n);
    net_tangent(d);
}
/* F12 at x' = t x + (1 - t) G(z), t ~ U[0,1) for each picture */
static void penalize_between(Gan *gan, Net *d, const real *x_real, const real *x_fake) {
    Node *x = &d->node[gan->d_picture];
    draw_numbers(gan, gan->ops->random_uniform, gan->t, x->n, STREAM(STREAM_PENALTY, gan->draw));
    gan->ops->lerp(x->t, x_real, x_fake, gan->t, x->n, node_count(x) / x->n);
    discriminate(gan, d, x->t);
    penalize_gradient(gan, d);
}

/* For the report: D(x) or D(G(z)), RELATIVISTIC: of their difference; how much fake ones differ */
static void observe(Gan *gan, Net *d, int kind) {
    const Node *x = &d->node[gan->d_picture], *logits = logits_of(gan, d);
    real *says = gan->numbers + D_SAYS + second(gan, d) + kind;
    gan->ops->mean_sigmoid(says, logits->y, node_count(logits));
    if (kind == FAKE && d == &gan->d)
        gan->ops->batch_std(gan->numbers + BATCH_STD, x->y, x->n, node_count(x) / x->n);
}

/* One step of the optimiser on D by its two losses and F12, or every PENALTY_EVERY-th time F33 */
static void train_discriminator(Gan *gan, Net *d, const real *x_real, const real *x_fake) {
    int penalized = gan->options.penalty_weight > 0, relative = relativistic(gan);
    net_zero_gradients(d);
    if (relative) judge(gan, d, FAKE, x_fake);
    for (int kind = REAL; kind <= FAKE; kind++) {
        judge(gan, d, kind, kind == REAL ? x_real : x_fake);
        adversarial_loss(gan, d, kind, LOSS + kind);
        observe(gan, d, kind);
        net_backward(d, NET_WEIGHTS);
        if (penalized && relative && gan->step % PENALTY_EVERY == 0) penalize_gradient(gan, d);
    }
    if (penalized && !relative) penalize_between(gan, d, x_real, x_fake);
    update(gan, d);
}

/* The gradients in G are zero except for its picture's: what D's loss says about it */
static void backward_through_discriminator(Gan *gan, Net *d, Net *g) {
    net_zero_activations(g);
    backward_into(gan, d, 0, gan->d_picture, &g->node[gan->g_picture]);
}

/* F2: L_G begins with what D says of G's picture */
static void fool_discriminator(Gan *gan, Net *d, Net *g) {
    discriminate(gan, d, g->node[gan->g_picture].y);
    adversarial_loss(gan, d, FOOL, PART + ADVERSARIAL);
    backward_through_discriminator(gan, d, g);
}

/* One step of the optimiser on G with what has been gathered in its picture's dy */
static void train_generator(Gan *gan) {
    net_zero_gradients(&gan->g);
    net_backward(&gan->g, NET_WEIGHTS);
    update(gan, &gan->g);
}

/* gan_finish gives *at `count` zeros of the table. keep: these go into the checkpoint as `name` */
static void keep(Gan *gan, real **at, long count, const char *name) {
    gan->buffer[gan->buffers].at = at, gan->buffer[gan->buffers].count = count;
    gan->buffer[gan->buffers++].name = name;
}
static void want(Gan *gan, real **at, long count) { keep(gan, at, count, NULL); }

/* Inputs of a network: pictures (size,size,channels); z (1,1,c), or a plane of noise (h,w,1) */
static int picture_input(const Gan *gan, Net *net) {
    return net_input(net, gan->options.size, gan->options.size, gan->options.channels);
}
static int noise_input(Gan *gan, int h, int w, int c) {
    return gan->g_latent[gan->latents++] = net_input(&gan->g, h, w, c);
}

/* G for n pictures, before its first node */
static Net *begin_generator(Gan *gan, int n) {
    net_begin(&gan->g, "g", gan->ops, n);
    gan->latents = gan->scale_shifts = gan->g_z = 0;
    return &gan->g;
}

/* ---------------------------------------------------------------------------- recipe: dcgan
 * Document 001 (9d598e07), made consistent as Radford, Metz and Chintala (2015) would: z of 100 ->
 * 7x7x128 -> 14x14x64 -> 28x28, batch norm and relu between, tanh at the end; D halves twice (5x5
 * kernels, see strided_kernel), leaky relu 0.2, one logit. F5: G(z; theta), D(x; phi) are the lists
 * of nodes below. F1: min_G max_D E[log D(x)] + E[log(1 - D(G(z)))], by F3 and by F2 */

/* kernels of strided layers: the stride divides 4, so that each pixel gets equally many terms */
static int strided_kernel(const Gan *gan) { return gan->options.tail ? 4 : 5; }

/* G's last layers, to twice the side. With options.tail not straight to the picture, but to that
 * many channels, which a 3x3 layer puts together: without a checkerboard, with less grain */
static int picture_layers(Gan *gan, int x, int kernel) {
    const GanOptions *o = &gan->options;
    Net *g = &gan->g;
    if (!o->tail) return tanh_(g, conv2d_transpose(g, x, o->channels, kernel, 2, (kernel - 1) / 2));
    x = relu(g, batchnorm(g, conv2d_transpose(g, x, o->tail, 4, 2, 1)));
    return tanh_(g, conv2d(g, x, o->channels, 3, 1, 1));
}

/* z, and what is given beside it (cgan), to pictures; s: a quarter of their side */
static void dcgan_generator(Gan *gan) {
    const GanOptions *o = &gan->options;
    Net *g = &gan->g;
    int kernel = strided_kernel(gan);
    int s = o->size / 4, x = noise_input(gan, 1, 1, 100);
    if (gan->recipe->feeds == FEED_CLASSES)
        x = concat(g, x, gan->g_given = net_input(g, 1, 1, o->classes));
    x = reshape(g, dense(g, x, s * s * 128), s, s, 128);
    x = relu(g, batchnorm(g, x));
    x = relu(g, batchnorm(g, conv2d_transpose(g, x, 64, kernel, 2, (kernel - 1) / 2)));
    gan->g_picture = picture_layers(gan, x, kernel);
}

/* pictures, and what is given beside them, to one logit. d_feature: what vaegan compares */
static void dcgan_discriminator(Gan *gan) {
    const GanOptions *o = &gan->options;
    Net *d = &gan->d;
    int kernel = strided_kernel(gan), pad = (kernel - 1) / 2;
    int x = gan->d_picture = picture_input(gan, d);
    if (gan->recipe->feeds == FEED_CLASSES)
        x = concat(d, x, upsample(d, gan->d_given = net_input(d, 1, 1, o->classes), o->size));
    x = leaky_relu(d, conv2d(d, x, 64, kernel, 2, pad), 0.2);
    gan->d_feature[0] = x = leaky_relu(d, conv2d(d, x, 128, kernel, 2, pad), 0.2);
    gan->d_logits = dense(d, x, 1);
    for (int i = 0; gan->recipe->spectral && i < d->nodes; i++)
        if (d->node[i].weights) spectral(d, i);
}

static void dcgan_describe(Gan *gan) {
    dcgan_generator(gan);
    dcgan_discriminator(gan);
}

/* F25: -weight mean |G(z) - G(z')|, z and z' from the two halves of the batch: another z is to give
 * another picture (after Mao et al. 2019, who divide by the distance of z and z') */
static void diversity_loss(Gan *gan, int part) {
    const Ops *ops = gan->ops;
    Node *x = fake(gan);
    long n = x->n / 2 * (node_count(x) / x->n);
    if (!(gan->options.diversity_weight > 0) || !n) return;
    real weight = (real)(gan->weight[part] = -gan->options.diversity_weight);
    ops->absolute_error_forward(gan->numbers + PART + part, x->y, x->y + n, NULL, n);
    ops->absolute_error_backward(x->dy, x->y, x->y + n, NULL, weight, n);
    ops->absolute_error_backward(x->dy + n, x->y + n, x->y, NULL, weight, n);
}

#define DCGAN_PARTS { "adversarial", "diversity" }
enum { DIVERSITY = ADVERSARIAL + 1 };

/* The relatives of dcgan are rows of the table below: the same networks and step with other losses
 * (lsgan, hinge, wgan, wgan-gp), with classes (cgan), and r3gan (Huang, Gokaslan, Kuleshov, Tompkin
 * 2024): D compares each real picture with a fake one (F32), which leaves no minimum where G has
 * collapsed, and is flat on both kinds (F33, by net_tangent), so that the game comes to rest. No
 * batch norm in D: a penalty is of each picture alone. */

/* The step of dcgan and its relatives: n_critic times D, on other pictures each time, then G */
static void dcgan_step(Gan *gan) {
    Node *x_fake = fake(gan);
    int n_critic = gan_n_critic(gan);
    for (int k = 0; k < n_critic; k++) {
        gan->draw = gan->step * n_critic + k;
        generate(gan, gan->draw, 1);
        gan->ops->fill(gan->numbers + LOSS, 0, PENALTY + 1);
        train_discriminator(gan, &gan->d, gan->x_real + k * node_count(x_fake), x_fake->y);
    }
    if (relativistic(gan))
        judge(gan, &gan->d, REAL, gan->x_real + (n_critic - 1) * node_count(x_fake));
    fool_discriminator(gan, &gan->d, &gan->g);
    diversity_loss(gan, DIVERSITY);
    train_generator(gan);
}

/* ----------------------------------------------------------------- recipes: mlp and dcgan64
 * mlp: document 004's networks: G of dense layers, D of two 3x3 convolutions and two dense layers.
 * dcgan64: document 003's, whose Reshape((64,64,3)) of 32x32 values cannot work, as Radford et al.
 * draw them: 4x4 kernels, stride 2, batch norm in both, from a sixteenth of the side, any
 * multiple of 16, to the side. */

static void mlp_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    Net *g = &gan->g, *d = &gan->d;
    int x = noise_input(gan, 1, 1, 100);
    for (int width = 256; width <= 1024; width *= 2)
        x = leaky_relu(g, batchnorm(g, dense(g, x, width)), 0.2);
    x = dense(g, x, o->size * o->size * o->channels);
    gan->g_picture = tanh_(g, reshape(g, x, o->size, o->size, o->channels));

    gan->d_picture = x = picture_input(gan, d);
    x = leaky_relu(d, conv2d(d, x, 32, 3, 2, 1), 0.2);
    x = leaky_relu(d, conv2d(d, x, 64, 3, 2, 1), 0.2);
    x = leaky_relu(d, dense(d, x, 1024), 0.2);
    gan->d_logits = dense(d, x, 1);
}

static void dcgan64_describe(Gan *gan) {
    enum { WIDTH = 32 };
    const GanOptions *o = &gan->options;
    Net *g = &gan->g, *d = &gan->d;
    int s = o->size / 16, x = noise_input(gan, 1, 1, 100);
    x = reshape(g, dense(g, x, s * s * 8 * WIDTH), s, s, 8 * WIDTH);
    x = relu(g, batchnorm(g, x));
    for (int width = 4 * WIDTH; width >= WIDTH; width /= 2)
        x = relu(g, batchnorm(g, conv2d_transpose(g, x, width, 4, 2, 1)));
    gan->g_picture = picture_layers(gan, x, 4);

    gan->d_picture = x = picture_input(gan, d);
    x = leaky_relu(d, conv2d(d, x, WIDTH, 4, 2, 1), 0.2);
    for (int width = 2 * WIDTH; width <= 8 * WIDTH; width *= 2)
        x = leaky_relu(d, batchnorm(d, conv2d(d, x, width, 4, 2, 1)), 0.2);
    gan->d_logits = dense(d, x, 1);
}

/* ---------------------------------------------------------------------------- recipe: style
 * The main job: G repaints a garment so that its texture cannot be told from crops of the style
 * pictures, while its light and shade stay. Patch discriminator (Li, Wand 2016; Isola et al. 2017);
 * Gram matrices (F8) on D's own features in the place of VGG's; content (F9) inside the garment's
 * mask on pictures averaged over 4x4 pixels: the print is free in its detail and bound in its
 * light. G also reads noise at three scales (Ulyanov et al. 2016), of which it weaves a pattern.
 *   L_G = F2 + content_weight F9 + style_weight F8 + tv_weight F10 */

#define STYLE_PARTS { "adversarial", "content", "style", "tv" }
enum { CONTENT = ADVERSARIAL + 1, STYLE, TV };

/* F16: scale and shift of each channel are what a dense layer makes of z */
static int scale_and_shift(Gan *gan, int x, int z) {
    int made = dense(&gan->g, z, 2 * gan->g.node[x].c);
    gan->g_scale_shift[gan->scale_shifts++] = made;
    return adain(&gan->g, x, made);
}
/* The biases of these layers: 1 for the scales, 0 for the shifts. z moves both around these. */
static int unit_scale_shift(Gan *gan) {
    for (int i = 0; i < gan->scale_shifts; i++) {
        Node *node = &gan->g.node[gan->g_scale_shift[i]];
        gan->ops->fill(gan->g.p + node->bias, 1, node->c / 2);
    }
    return 1;
}

/* F17; F16 where G reads a z */
static int norm(Gan *gan, int x) {
    return gan->g_z ? scale_and_shift(gan, x, gan->g_z) : instancenorm(&gan->g, x);
}
static int padded_conv2d(Net *g, int x, int out, int kernel, int stride) {
    return conv2d(g, kernel > 1 ? reflect_pad(g, x, kernel / 2) : x, out, kernel, stride, 0);
}
static int conv_relu(Net *g, int x, int out, int kernel) {
    return relu(g, padded_conv2d(g, x, out, kernel, 1));
}
static int conv_norm_relu(Gan *gan, int x, int out, int kernel, int stride) {
    return relu(&gan->g, norm(gan, padded_conv2d(&gan->g, x, out, kernel, stride)));
}

/* A block, (h,w,c) -> (h,w,c), is added to what it reads (He et al. 2016). Weights:
 *   RESIDUAL    18 c^2          3x3, 3x3
 *   INCEPTION   4.4 c^2         side by side 1x1; 1x1, 3x3; 1x1, 3x3, 3x3 to c/4, c/2, c/4 channels
 *                               (Szegedy et al. 2015, 2016)
 *   SEPARABLE   2 c^2 + 18 c    twice a 3x3 for each channel by itself, then 1x1
 *                               (Howard et al. 2017; in EfficientNet 2019) */
static int block(Gan *gan, int x) {
    Net *g = &gan->g;
    int c = g->node[x].c, y = x, part;
    switch (gan->options.body) {
        case INCEPTION:
            y = conv_relu(g, x, c / 4, 1);
            y = concat(g, y, conv_relu(g, conv_relu(g, x, c / 2, 1), c / 2, 3));
            part = conv_relu(g, conv_relu(g, x, c / 4, 1), c / 4, 3);
            y = concat(g, y, conv_relu(g, part, c / 4, 3));
            break;
        case SEPARABLE:
            y = depthwise_conv2d(g, reflect_pad(g, x, 1), 3, 1, 0);
            y = conv_norm_relu(gan, y, c, 1, 1);
            y = depthwise_conv2d(g, reflect_pad(g, y, 1), 3, 1, 0);
            y = padded_conv2d(g, y, c, 1, 1);
            break;
        default:
            y = conv_norm_relu(gan, x, c, 3, 1);
            y = padded_conv2d(g, y, c, 3, 1);
    }
    return add(g, x, norm(gan, y));
}

/* pictures to pictures of the same size: convolution, half the size, three blocks, back */
static int translate(Gan *gan, int x) {
    enum { WIDTH = 24, BLOCKS = 3 };
    Net *g = &gan->g;
    x = conv_norm_relu(gan, x, WIDTH, 5, 1);
    x = conv_norm_relu(gan, x, 2 * WIDTH, 3, 2);
    for (int i = 0; i < BLOCKS; i++) x = block(gan, x);
    x = conv_norm_relu(gan, upsample(g, x, 2), WIDTH, 3, 1);
    return padded_conv2d(g, x, gan->options.channels, 5, 1);
}

void style_generator(Gan *gan, int n, int h, int w) {
    Net *g = begin_generator(gan, n);
    int x = gan->g_content = net_input(g, h, w, 1);
    for (int i = 0; i < 3; i++) {                                /* grains of 1, 4 and 8 pixels */
        int grain = i == 0 ? 1 : 4 * i, noise = noise_input(gan, h / grain, w / grain, 1);
        x = concat(g, x, grain == 1 ? noise : upsample(g, noise, grain));
    }
    gan->g_picture = tanh_(g, translate(gan, x));
}

/* What the content loss looks through: means of 4x4 pixels, of gray or of each colour */
enum { CONTENT_POOL = 4 };
static void blur_describe(Gan *gan, int luminance) {
    Net *b = &gan->blur;
    net_begin(b, "blur", gan->ops, gan->options.batch);
    b->training = NET_INPUT;
    int x = picture_input(gan, b);
    x = avgpool(b, luminance ? gray(b, x) : x, CONTENT_POOL);
    want(gan, &gan->soft_content, node_count(&b->node[x]));
}

/* What D sees in pictures x, three features, and how it judges them: the logits */
static int texture_judge(Gan *gan, int x) {
    Net *d = &gan->d;
    int *f = gan->d_feature + gan->features;
    gan->features += 3;
    f[0] = leaky_relu(d, conv2d(d, x, 32, 4, 2, 1), 0.2);
    f[1] = leaky_relu(d, conv2d(d, f[0], 64, 4, 2, 1), 0.2);
    f[2] = leaky_relu(d, conv2d(d, f[1], 64, 3, 1, 1), 0.2);
    return conv2d(d, f[2], 1, 3, 1, 1);
}

/* The memory and the weight of style_loss. No feature has more channels than the last. */
static void want_style(Gan *gan) {
    int c = gan->d.node[gan->d_feature[gan->features - 1]].c;
    for (int k = 0; k < gan->features; k++) want(gan, &gan->target[k], c * c);
    want(gan, &gan->gram, c * c), want(gan, &gan->dgram, c * c), want(gan, &gan->mean, c);
    gan->weight[STYLE] = gan->options.style_weight;
}

static void style_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    long pixels = (long)o->batch * o->size * o->size;
    style_generator(gan, o->batch, o->size, o->size);
    gan->d_picture = picture_input(gan, &gan->d);
    gan->d_logits = texture_judge(gan, gan->d_picture);
    blur_describe(gan, 1);
    want(gan, &gan->mask, pixels);
    want(gan, &gan->soft_mask, pixels / (CONTENT_POOL * CONTENT_POOL));
    want_style(gan);
    gan->weight[CONTENT] = o->content_weight, gan->weight[TV] = o->tv_weight;
}

/* G's picture against the content, both averaged over 4x4 pixels: F9 inside the mask, or F15 */
static void content_loss(Gan *gan) {
    Net *b = &gan->blur;
    Node *y = &b->node[b->nodes - 1];
    int n = y->n, h = y->h * CONTENT_POOL, w = y->w * CONTENT_POOL;
    gan->ops->avgpool_forward(gan->soft_content, gan->content, n, h, w, y->c, CONTENT_POOL);
    forward(gan, b, 0, fake(gan)->y, 1);
    net_zero_activations(b);
    if (gan->mask) gan->ops->avgpool_forward(gan->soft_mask, gan->mask, n, h, w, 1, CONTENT_POOL);
    distance_loss(gan, gan->mask ? 2 : 1, y, gan->soft_content, gan->soft_mask, CONTENT);
    backward_into(gan, b, 0, 0, fake(gan));
}

/* The Gram matrix of D's feature k; gan->mean: the means of its channels */
static void gram_of_feature(Gan *gan, int k, real *gram) {
    const Node *f = &gan->d.node[gan->d_feature[k]];
    gan->ops->gram_forward(gram, gan->mean, f->y, node_rows(f), f->c);
}

/* F8 over D's features; its gradients go to the features' dy */
static void style_loss(Gan *gan) {
    const Ops *ops = gan->ops;
    for (int k = 0; k < gan->features; k++) {
        Node *f = &gan->d.node[gan->d_feature[k]];
        const real *target = gan->target[k];
        long n = (long)f->c * f->c;
        gram_of_feature(gan, k, gan->gram);
        ops->style_loss_forward(gan->numbers + TERM, gan->gram, target, n);
        add_term(gan, PART + STYLE);
        ops->fill(gan->dgram, 0, n);
        ops->style_loss_backward(gan->dgram, gan->gram, target, (real)gan->weight[STYLE], n);
        ops->gram_backward(f->dy, gan->dgram, f->y, gan->mean, node_rows(f), f->c);
    }
}

/* F10 on G's picture; its gradient goes to the picture's dy */
static void smoothness_loss(Gan *gan, int part) {
    Node *x = fake(gan);
    real *loss = gan->numbers + PART + part, weight = (real)gan->weight[part];
    gan->ops->total_variation_forward(loss, x->y, x->n, x->h, x->w, x->c);
    gan->ops->total_variation_backward(x->dy, x->y, weight, x->n, x->h, x->w, x->c);
}

/* D learns; then what it says of G's picture, and F8, become the gradient of the picture */
static void learn_texture(Gan *gan) {
    Net *d = &gan->d;
    Node *x_fake = fake(gan);
    generate(gan, gan->step, 1);
    train_discriminator(gan, d, gan->x_real, x_fake->y);         /* F3 */

    discriminate(gan, d, gan->x_real);                           /* the style's features now */
    for (int k = 0; k < gan->features; k++) gram_of_feature(gan, k, gan->target[k]);

    discriminate(gan, d, x_fake->y);
    adversarial_loss(gan, d, FOOL, PART + ADVERSARIAL);          /* F2 */
    style_loss(gan);                                             /* F8 */
    backward_through_discriminator(gan, d, &gan->g);
}

static void style_step(Gan *gan) {
    learn_texture(gan);
    content_loss(gan);                                           /* F9 */
    smoothness_loss(gan, TV);                                    /* F10 */
    train_generator(gan);
}

/* ---------------------------------------------------------------------------- recipe: cloth
 * G weaves cloth, as much as you want, and no garment goes in: the garment's own light shades the
 * print afterwards. G reads a map of 1/8 of the size: noise of its own at every place, numbers of
 * the whole picture, which are the same everywhere, and waves (F34), by which rows and checks keep
 * their distance (Jetchev, Bergmann, Vollgraf 2016; Bergmann et al. 2017); finer noise joins later.
 * It ends with a palette: a 1x1 convolution that begins with the colour axes of the style, as the
 * waves begin with its strongest ones: the first pictures have the right colours, and soon the
 * right rows. D judges patches of the picture at its size, at half and at a quarter of it. Several
 * styles: both are told which (as cgan), and what lies between two styles blends them.
 *   L_G = F2 + style_weight F8 on D's features + content_weight F35
 * F35: patches of 7x7 in random directions, real and fake each sorted: mean |difference| of equal
 * ranks, at three sizes (Rabin et al. 2011; Elnekave, Weiss 2022). */

#define CLOTH_PARTS { "adversarial", "patches", "style" }
enum { PATCHES_LOSS = ADVERSARIAL + 1, SCALES = 3 };

int cloth_margin(int latent) { return latent == 1 ? 7 : latent ? 4 : 0; }
enum { CLOTH_WHOLE = 4, CLOTH_LOCAL = 8 };               /* numbers of the picture, of a place */
int cloth_waves(int classes) { return classes < 4 ? 4 * classes : 16; }
int cloth_inputs(int classes) {
    int told = classes > 1 ? classes : 0;
    return CLOTH_LOCAL + CLOTH_WHOLE + told + 2 * cloth_waves(classes);
}

static int cloth_layer(Net *g, int x, int out) {
    return relu(g, batchnorm(g, conv2d(g, x, out, 3, 1, 0)));
}
void cloth_generator(Gan *gan, int n, int h, int w) {
    int classes = gan->options.classes, count = cloth_waves(classes);
    Net *g = begin_generator(gan, n);
    int x = noise_input(gan, 1, 1, count + CLOTH_WHOLE);
    if (classes > 1) x = concat(g, x, gan->g_given = net_input(g, 1, 1, classes));
    int rows = h / 8 + cloth_margin(1), columns = w / 8 + cloth_margin(1);
    x = waves(g, x, rows, columns, count);
    x = concat(g, noise_input(gan, rows, columns, CLOTH_LOCAL), x);
    x = cloth_layer(g, cloth_layer(g, x, 96), 96);
    x = cloth_layer(g, cloth_layer(g, upsample(g, x, 2), 64), 64);
    x = upsample(g, x, 2);
    x = concat(g, x, noise_input(gan, h / 2 + cloth_margin(2), w / 2 + cloth_margin(2), 1));
    x = upsample(g, cloth_layer(g, x, 48), 2);
    x = concat(g, x, noise_input(gan, h + cloth_margin(3), w + cloth_margin(3), 1));
    x = conv2d(g, cloth_layer(g, x, 24), 3, 3, 1, 0);
    gan->g_picture = tanh_(g, conv2d(g, x, 3, 1, 1, 0));
}

/* The palette, tanh(mean + root x) of G's last three numbers x ~ N(0,1); and the style's waves */
static int cloth_start(Gan *gan) {
    enum { COLOURS = 12, CELL = 8 };
    const double *palette = gan->options.palette;
    const Node *node = &gan->g.node[gan->g_picture - 1];
    int count = 2 * cloth_waves(gan->options.classes), i = 0;
    real w[COLOURS], k[2 * 16];
    for (int j = 0; j < COLOURS; j++)
        w[j] = (real)(palette ? palette[(j + 3) % COLOURS] : j % 4 == 0);
    gan->ops->upload(gan->g.p + node->weight, w, COLOURS);     /* (3,3), and the bias behind it */
    if (!palette) return 1;
    while (gan->g.node[i].rank != 2) i++;
    for (int j = 0; j < count; j++) k[j] = (real)(CELL * palette[COLOURS + j]);
    gan->ops->upload(gan->g.p + gan->g.node[i].weight, k, count);
    return 1;
}

static void cloth_describe(Gan *gan) {
    enum { KERNEL = 7, DIRECTIONS = 16 };
    const GanOptions *o = &gan->options;
    Net *d = &gan->d, *p = &gan->blur;
    int size = o->size;
    cloth_generator(gan, o->batch, size, size);

    int x = gan->d_picture = picture_input(gan, d);
    if (gan->g_given)
        x = concat(d, x, upsample(d, gan->d_given = net_input(d, 1, 1, o->classes), size));
    int all = texture_judge(gan, x);
    for (int half = 2; half <= 4; half *= 2)             /* each scale counts alike */
        all = concat(d, all, upsample(d, texture_judge(gan, x = avgpool(d, x, 2)), half));
    gan->d_logits = all;
    want_style(gan);

    net_begin(p, "patches", gan->ops, o->batch);
    p->training = NET_INPUT;
    x = picture_input(gan, p);
    for (int s = 0; s < SCALES && size >> s >= KERNEL; s++) {
        if (s) x = avgpool(p, x, 2);
        gan->e_moments[s] = conv2d(p, x, DIRECTIONS, KERNEL, 4 >> s, 0);
        want(gan, &gan->target[gan->features + s], node_count(&p->node[gan->e_moments[s]]));
    }
    long most = node_count(&p->node[gan->e_moments[0]]);
    want(gan, &gan->matched, most), want(gan, &gan->sorted, most);
    gan->weight[PATCHES_LOSS] = o->content_weight;
}

/* F35, in directions that this step draws: filters of about length 1, N(0,1/147) */
static void patch_loss(Gan *gan) {
    Net *p = &gan->blur;
    net_initialize(p, gan->options.seed, STREAM(STREAM_PATCH, gan->step * NET_MAX_NODES), 1);
    forward(gan, p, 0, gan->x_real, 1);
    for (int s = 0; s < SCALES && gan->e_moments[s]; s++)
        get(gan, &p->node[gan->e_moments[s]], gan->target[gan->features + s]);
    forward(gan, p, 0, fake(gan)->y, 1);
    net_zero_activations(p);
    for (int s = 0; s < SCALES && gan->e_moments[s]; s++) {
        Node *y = &p->node[gan->e_moments[s]];
        gan->ops->match_ranks(gan->matched, gan->sorted, y->y, gan->target[gan->features + s],
                              node_rows(y), y->c);
        distance_loss(gan, 1, y, gan->matched, NULL, PATCHES_LOSS);
    }
    backward_into(gan, p, 0, 0, fake(gan));
}

static void cloth_step(Gan *gan) {
    learn_texture(gan);
    patch_loss(gan);
    train_generator(gan);
}

/* ---------------------------------------------------------------------------- recipe: adain
 * Document 004's feature fusion: features of a content and of a style meet, and a generator makes a
 * picture of them (Huang and Belongie 2017). E: features that stay as they are (featurenet.h). F16:
 * t = sigma_s (f_c - mu_c) / sigma_c + mu_s, on one layer of E (adain_layer). G, the mirror image
 * of E up to that layer, is trained to draw a picture x = G(t) in which E sees t, and on every
 * layer the style's means and deviations:
 *   L_G = content_weight |E(x) - t|^2 + tv_weight F10
 *       + style_weight sum_l (|mu_l(x) - mu_l(s)|^2 + |sigma_l(x) - sigma_l(s)|^2)
 * What is trained once fuses any two pictures. */

#define ADAIN_PARTS { "content", "style", "tv" }
enum { FUSED_CONTENT, FUSED_STYLE, FUSED_TV };

int adain_encoder(Gan *gan, int n, int h, int w) {
    const GanOptions *o = &gan->options;
    Features *f = &gan->seen;
    Net *e = &gan->e;
    net_begin(e, "e", gan->ops, n);
    e->training = NET_INPUT;
    if (!(o->vgg ? features_vgg(f, e, o->vgg, "relu4_1", h, w, FEATURES_MAX, o->weights)
                 : features_random(f, e, h, w))) return e->nodes = 0;
    for (int l = 0; l < f->layers; l++) gan->e_moments[l] = moments(e, f->layer[l].node);
    return 1;
}

int adain_encoder_weights(Gan *gan) {
    static const double gray[3] = { 0.299, 0.587, 0.114 };
    const GanOptions *o = &gan->options;
    if (!o->vgg) features_draw(&gan->seen, &gan->e, o->seed, gray);
    return !o->weights || features_load(&gan->seen, &gan->e, o->weights);
}

/* where content and style meet: VGG's last layer, or the second of our own three blocks */
int adain_layer(const Gan *gan) { return gan->options.vgg ? gan->seen.layers - 1 : 3; }
static Node *fused_layer(Gan *gan) { return &gan->e.node[gan->seen.layer[adain_layer(gan)].node]; }

void adain_generator(Gan *gan) {
    const Node *f = fused_layer(gan);
    Net *g = begin_generator(gan, f->n);
    int x = gan->g_content = net_input(g, f->h, f->w, f->c);
    gan->g_style = net_input(g, 1, 1, 2 * f->c);
    gan->g_fused = x = adain(g, x, gan->g_style);
    for (int l = adain_layer(gan); l >= 0; l--) {        /* E's convolutions, from last to first */
        const Node *conv = &gan->e.node[gan->seen.layer[l].conv];
        int larger = l > 0 && gan->e.node[gan->seen.layer[l - 1].conv].h > conv->h;
        x = conv2d(g, reflect_pad(g, x, 1), l ? conv->conv.c : 3, 3, 1, 0);
        if (l) x = relu(g, x);
        if (larger) x = upsample(g, x, 2);
    }
    gan->g_picture = tanh_(g, x);
}

static void adain_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    if (!adain_encoder(gan, o->batch, o->size, o->size)) return;
    adain_generator(gan);
    for (int l = 0; l < gan->seen.layers; l++)
        want(gan, &gan->target[l], node_count(&gan->e.node[gan->e_moments[l]]));
    gan->weight[FUSED_CONTENT] = o->content_weight, gan->weight[FUSED_STYLE] = o->style_weight;
    gan->weight[FUSED_TV] = o->tv_weight;
}

/* x = G(t), t: gan->content fused with gan->x_real; the style's moments stay in gan->target */
static void adain_sample(Gan *gan) {
    Net *e = &gan->e, *g = &gan->g;
    forward(gan, e, gan->seen.picture, gan->x_real, 0);
    for (int l = 0; l < gan->seen.layers; l++)
        get(gan, &e->node[gan->e_moments[l]], gan->target[l]);
    set(gan, &g->node[gan->g_style], gan->target[adain_layer(gan)]);
    forward(gan, e, gan->seen.picture, gan->content, 0);
    forward(gan, g, gan->g_content, fused_layer(gan)->y, 0);
}

static void adain_step(Gan *gan) {
    Net *e = &gan->e, *g = &gan->g;
    adain_sample(gan);                                           /* x = G(t) */
    forward(gan, e, gan->seen.picture, fake(gan)->y, 0);
    net_zero_activations(e);
    distance_loss(gan, 2, fused_layer(gan), g->node[gan->g_fused].y, NULL, FUSED_CONTENT);
    for (int l = 0; l < gan->seen.layers; l++)
        distance_loss(gan, 2, &e->node[gan->e_moments[l]], gan->target[l], NULL, FUSED_STYLE);
    net_zero_activations(g);
    backward_into(gan, e, 0, gan->seen.picture, fake(gan));
    smoothness_loss(gan, FUSED_TV);                              /* F10 */
    train_generator(gan);
}

/* --------------------------------------------------------------------------- recipe: vaegan
 * Document 001's HDRGAN: a variational autoencoder (Kingma, Welling 2013) whose pictures are
 * compared by what a discriminator sees in them (Larsen et al. 2016). E turns a picture into a
 * code: mean and log variance of 100 numbers; z is drawn there; G draws a picture from z. F14:
 *   L_E = kl_weight KL(q(z|x) || N(0,1)) + content_weight |D_l(x) - D_l(G(z))|^2
 *   L_G = F2 on G(z'), z' ~ N(0,1),      + content_weight |D_l(x) - D_l(G(z))|^2 */

#define VAEGAN_PARTS { "adversarial", "reconstruction", "kl" }
enum { RECONSTRUCTION = ADVERSARIAL + 1, KL };

static void vaegan_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    Net *e = &gan->e;
    int kernel = strided_kernel(gan), pad = (kernel - 1) / 2;
    dcgan_describe(gan);
    net_begin(e, "e", gan->ops, o->batch);
    int x = picture_input(gan, e);
    x = leaky_relu(e, conv2d(e, x, 64, kernel, 2, pad), 0.2);
    x = leaky_relu(e, batchnorm(e, conv2d(e, x, 128, kernel, 2, pad)), 0.2);
    gan->e_code = dense(e, x, 2 * 100);
    want(gan, &gan->target[0], node_count(&gan->d.node[gan->d_feature[0]]));
    gan->weight[RECONSTRUCTION] = o->content_weight, gan->weight[KL] = o->kl_weight;
}

static void vaegan_step(Gan *gan) {
    const Ops *ops = gan->ops;
    uint64_t seed = gan->options.seed, stream = STREAM(STREAM_NOISE, (uint64_t)gan->step * 4 + 1);
    Net *g = &gan->g, *d = &gan->d, *e = &gan->e;
    Node *z = &g->node[gan->g_latent[0]], *code = &e->node[gan->e_code], *x_fake = fake(gan);
    Node *feature = &d->node[gan->d_feature[0]];
    long first = gan->first * z->c;
    generate(gan, gan->step, 1);                                 /* new pictures */
    train_discriminator(gan, d, gan->x_real, x_fake->y);         /* F3 */
    fool_discriminator(gan, d, g);                               /* F2 */
    net_zero_gradients(g);
    net_backward(g, NET_WEIGHTS);

    discriminate(gan, d, gan->x_real);                           /* pictures from their codes */
    get(gan, feature, gan->target[0]);
    forward(gan, e, 0, gan->x_real, 1);
    ops->gaussian_sample_forward(z->y, code->y, z->n, z->c, seed, stream, first);
    net_forward(g, 1);
    discriminate(gan, d, x_fake->y);
    net_zero_activations(d);
    distance_loss(gan, 2, feature, gan->target[0], NULL, RECONSTRUCTION);
    backward_through_discriminator(gan, d, g);
    net_backward(g, NET_WEIGHTS | NET_INPUT);
    net_zero_gradients(e);
    net_zero_activations(e);
    ops->gaussian_sample_backward(code->dy, z->dy, code->y, z->n, z->c, seed, stream, first);
    ops->kl_forward(gan->numbers + PART + KL, code->y, z->n, z->c);
    ops->kl_backward(code->dy, code->y, (real)gan->weight[KL], z->n, z->c);
    net_backward(e, NET_WEIGHTS);
    update(gan, g);
    update(gan, e);
}

static void download(const Gan *gan, const Node *node, real *out) {
    gan->ops->download(out, node->y, node_count(node));
}
void gan_encode(Gan *gan, real *code) {
    forward(gan, &gan->e, 0, gan->x_real, 0);
    download(gan, &gan->e.node[gan->e_code], code);
}

/* ------------------------------------------------------------------------- recipe: cyclegan
 * Document 002's unpaired transfer (Zhu, Park, Isola, Efros 2017): gan->content is of one kind
 * (plain garments), gan->x_real of another (patterned ones), and nothing says which belong
 * together. G: A -> B, F: B -> A, a discriminator for each kind. F15:
 *   L = F2(LSGAN) of G and of F + cycle_weight (|F(G(a)) - a| + |G(F(b)) - b|)
 *     + identity_weight (|G(b) - b| + |F(a) - a|) */

#define CYCLEGAN_PARTS { "adversarial", "cycle", "identity" }
enum { CYCLE = ADVERSARIAL + 1, IDENTITY, POOL = 50 };

/* a logit for each patch of 18x18 pixels (Isola et al. 2017) */
static void patch_discriminator(Gan *gan) {
    const GanOptions *o = &gan->options;
    Net *d = &gan->d;
    int x = gan->d_picture = picture_input(gan, d);
    if (gan->recipe->feeds == FEED_DRAWINGS)
        x = concat(d, x, gan->d_given = net_input(d, o->size, o->size, gan_content(gan)));
    x = leaky_relu(d, conv2d(d, x, 32, 4, 2, 1), 0.2);
    x = leaky_relu(d, conv2d(d, x, 64, 4, 2, 1), 0.2);
    gan->d_logits = conv2d(d, x, 1, 3, 1, 1);
}

void translator(Gan *gan, int n, int h, int w, int z) {
    Net *g = begin_generator(gan, n);
    int x = gan->g_content = net_input(g, h, w, gan->options.channels);
    if (z) gan->g_z = noise_input(gan, 1, 1, z);
    int y = translate(gan, x);
    gan->g_picture = tanh_(g, z ? add(g, y, x) : y);
}

static void cyclegan_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    long each = (long)o->size * o->size * o->channels;
    translator(gan, o->batch, o->size, o->size, 0);
    patch_discriminator(gan);
    gan->f = gan->g, gan->f.name = "f";                  /* built alike */
    gan->d2 = gan->d, gan->d2.name = "d2";
    for (int k = 0; k < 2; k++) {
        want(gan, &gan->x_fake[k], o->batch * each);
        keep(gan, &gan->pool[k], POOL * each, k ? "pool.a" : "pool.b");
    }
    gan->weight[CYCLE] = o->cycle_weight, gan->weight[IDENTITY] = o->identity_weight;
}

/* One direction: there turns x into the kind that D judges, x_fake; back turns that into x again; y
 * is of that kind already and is to stay. Gradients are added in both networks. */
static void cycle(Gan *gan, Net *there, Net *back, Net *d, const real *x, const real *y,
                  real *x_fake) {
    Node *made = &there->node[gan->g_picture];
    forward(gan, there, gan->g_content, x, 1);
    get(gan, made, x_fake);
    fool_discriminator(gan, d, there);
    forward(gan, back, gan->g_content, x_fake, 1);
    net_zero_activations(back);
    distance_loss(gan, 1, &back->node[gan->g_picture], x, NULL, CYCLE);
    backward_into(gan, back, NET_WEIGHTS, gan->g_content, made);
    net_backward(there, NET_WEIGHTS);
    if (!(gan->weight[IDENTITY] > 0)) return;
    forward(gan, there, gan->g_content, y, 1);
    net_zero_activations(there);
    distance_loss(gan, 1, made, y, NULL, IDENTITY);
    net_backward(there, NET_WEIGHTS);
}

/* Each fake picture goes into the pool; once that is full, half of them change places with an
 * earlier one, which D is shown instead (Shrivastava et al. 2017). Several ranks keep one and the
 * same pool: each gets the pictures of all, by a sum with zeros in the others' places. */
static void through_pool(Gan *gan, real *x_fake, real *pool, int side) {
    const Ops *ops = gan->ops;
    long own = node_count(fake(gan)), each = own / gan->options.batch;
    long batch = (long)gan->options.batch * parallel_ranks(), before = gan->step * batch;
    real *all = parallel_ranks() > 1 ? gan->lot : x_fake, *mine = all + gan->first * each;
    real *spare = gan->g.node[gan->g_content].y;         /* is filled before it is read */
    uint64_t stream = STREAM(STREAM_POOL, 2 * gan->step + side);
    if (all != x_fake) {
        ops->fill(all, 0, batch * each);
        ops->copy(mine, x_fake, own);
        parallel_sum(ops, all, batch * each);
    }
    for (long i = 0; i < batch; i++) {
        int slot = philox_below(gan->options.seed, stream, (uint64_t)i, 2 * POOL);
        if (before + i < POOL) ops->copy(pool + (before + i) * each, all + i * each, each);
        else if (slot < POOL) {
            ops->copy(spare, all + i * each, each);
            ops->copy(all + i * each, pool + slot * each, each);
            ops->copy(pool + slot * each, spare, each);
        }
    }
    if (all != x_fake) ops->copy(x_fake, mine, own);
}

static void cyclegan_step(Gan *gan) {
    Net *g = &gan->g, *f = &gan->f;
    net_zero_gradients(g);
    net_zero_gradients(f);
    cycle(gan, g, f, &gan->d, gan->content, gan->x_real, gan->x_fake[0]);
    cycle(gan, f, g, &gan->d2, gan->x_real, gan->content, gan->x_fake[1]);
    update(gan, g);
    update(gan, f);
    for (int k = 0; k < 2; k++) through_pool(gan, gan->x_fake[k], gan->pool[k], k);
    train_discriminator(gan, &gan->d, gan->x_real, gan->x_fake[0]);
    train_discriminator(gan, &gan->d2, gan->content, gan->x_fake[1]);
}

void gan_sample_back(Gan *gan, real *out) {
    forward(gan, &gan->f, gan->g_content, gan->x_real, 0);
    download(gan, &gan->f.node[gan->g_picture], out);
}

/* -------------------------------------------------------------------------- recipe: pattern
 * Cyclegan's way there without the way back: half of the networks, a sixth of the time. What the
 * cycle was for, that the garment stays the same, is asked of the pictures: as light and dark as
 * before over 4x4 pixels, and untouched where there is no garment. A plain garment may become many
 * patterned ones: z of 8 numbers sets scale and shift of G's norms (F16), and two z must give two
 * pictures.
 *   L_G = F2(LSGAN) + content_weight (|mean4(G(x,z)) - mean4(x)| + |G(x,z) - x| outside)
 *       - diversity_weight |G(x,z) - G(x,z')| */

#define PATTERN_PARTS { "adversarial", "content", "diversity" }
enum { PATTERN_DIVERSITY = CONTENT + 1 };

static void pattern_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    translator(gan, o->batch, o->size, o->size, PATTERN_Z);
    patch_discriminator(gan);
    blur_describe(gan, 0);
    want(gan, &gan->outside, node_count(fake(gan)));
    gan->weight[CONTENT] = o->content_weight;
}

static void pattern_step(Gan *gan) {
    Node *x_fake = fake(gan);
    long half = x_fake->n / 2 * (node_count(x_fake) / x_fake->n);
    gan->ops->copy(gan->content + half, gan->content, half);     /* two z for each garment */
    gan->ops->copy(gan->outside + half, gan->outside, half);
    generate(gan, gan->step, 1);
    train_discriminator(gan, &gan->d, gan->x_real, x_fake->y);
    fool_discriminator(gan, &gan->d, &gan->g);
    content_loss(gan);
    distance_loss(gan, 1, x_fake, gan->content, gan->outside, CONTENT);
    diversity_loss(gan, PATTERN_DIVERSITY);
    train_generator(gan);
}

/* -------------------------------------------------------------------------- recipe: pix2pix
 * Document 004's paired transfer (Isola, Zhu, Zhou, Efros 2017): gan->content is the drawing of a
 * garment (its edges), gan->x_real the garment. G is a U-Net, whose skips carry the lines past its
 * middle, with dropout in the place of noise; D looks at the picture and the drawing together:
 *   L_G = F2 + content_weight |G(x) - y|   (F28) */

#define PIX2PIX_PARTS { "adversarial", "l1" }
enum { L1 = ADVERSARIAL + 1 };

static void pix2pix_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    Net *g = &gan->g;
    int x = gan->g_content = picture_input(gan, g);
    int whole = leaky_relu(g, conv2d(g, x, 32, 3, 1, 1), 0.2);
    int half = leaky_relu(g, instancenorm(g, conv2d(g, whole, 48, 4, 2, 1)), 0.2);
    int quarter = leaky_relu(g, instancenorm(g, conv2d(g, half, 64, 4, 2, 1)), 0.2);
    x = dropout(g, relu(g, instancenorm(g, conv2d(g, quarter, 64, 3, 1, 1))), 0.5);
    x = dropout(g, relu(g, instancenorm(g, conv2d(g, concat(g, x, quarter), 64, 3, 1, 1))), 0.5);
    x = relu(g, instancenorm(g, conv2d(g, concat(g, upsample(g, x, 2), half), 48, 3, 1, 1)));
    x = relu(g, instancenorm(g, conv2d(g, concat(g, upsample(g, x, 2), whole), 32, 3, 1, 1)));
    gan->g_picture = tanh_(g, conv2d(g, x, o->channels, 3, 1, 1));
    patch_discriminator(gan);
    gan->weight[L1] = o->content_weight;
}

static void pix2pix_step(Gan *gan) {
    Net *g = &gan->g;
    g->seed = gan->options.seed, g->draw = (uint64_t)gan->step, g->first = gan->first;
    generate(gan, gan->step, 1);
    train_discriminator(gan, &gan->d, gan->x_real, fake(gan)->y);
    fool_discriminator(gan, &gan->d, g);
    distance_loss(gan, 1, fake(gan), gan->x_real, NULL, L1);
    train_generator(gan);
}

/* ------------------------------------------------------------------------- recipe: stylegan
 * The small idea of it (Karras, Laine, Aila 2019): two dense layers make a style w of z; the
 * picture grows from one learned constant, and at each scale w gives scale and shift of each
 * channel (AdaIN, F16), while a plane of noise, scaled for each channel, gives details. Losses and
 * penalties are r3gan's (F32, F33): Huang et al. came to them by simplifying StyleGAN. */

static int styled(Gan *gan, int x, int w, int out) {
    Net *g = &gan->g;
    int size = g->node[x].h, noise = noise_input(gan, size, size, 1);
    x = conv2d(g, x, out, 3, 1, 1);
    x = leaky_relu(g, add(g, x, conv2d(g, noise, out, 1, 1, 0)), 0.2);
    return scale_and_shift(gan, x, w);
}

static void stylegan_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    Net *g = &gan->g;
    int s = o->size / 4, w = noise_input(gan, 1, 1, 64);
    for (int i = 0; i < 2; i++) w = leaky_relu(g, dense(g, w, 64), 0.2);
    int x = gan->g_content = net_input(g, 1, 1, 1);      /* 1: the next weights are the constant */
    x = reshape(g, dense(g, x, s * s * 64), s, s, 64);
    x = styled(gan, x, w, 64);
    x = styled(gan, upsample(g, x, 2), w, 48);
    x = styled(gan, upsample(g, x, 2), w, 32);
    gan->g_picture = tanh_(g, conv2d(g, x, o->channels, 3, 1, 1));
    dcgan_discriminator(gan);
}

static int stylegan_start(Gan *gan) {
    gan->ops->fill(gan->g.node[gan->g_content].y, 1, gan->options.batch);
    return unit_scale_shift(gan);
}

void gan_mix(Gan *gan, const real *coarse, const real *fine, real *out) {
    Net *g = &gan->g;
    Node *z = &g->node[gan->g_latent[0]];
    int style = gan->g_scale_shift[0];                   /* the node with the coarsest style */
    swap_ema(gan);
    gan->first = 0;
    draw_noise(gan, STREAM_SAMPLE, 0);
    gan->ops->upload(z->y, coarse, node_count(z));
    net_forward_part(g, 0, style + 1);
    gan->ops->upload(z->y, fine, node_count(z));         /* for all nodes but that one */
    net_forward_part(g, 0, style);
    net_forward_part(g, style + 1, g->nodes);
    download(gan, fake(gan), out);
    swap_ema(gan);
}

/* ------------------------------------------------------------------------- recipe: features
 * Features of our own, in the place of VGG's: the network learns to tell from which of the style
 * pictures a crop was taken, by means and deviations of its features alone, wherever they are. */

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
}

/* L = -log softmax(logits)[label], mean over the batch; gan->x_real goes to node 0 */
static void classify_step(Gan *gan) {
    const Ops *ops = gan->ops;
    Node *logits = &gan->g.node[gan->g_picture];
    int n = logits->n, c = logits->c;
    forward(gan, &gan->g, 0, gan->x_real, 1);
    net_zero_activations(&gan->g);
    ops->softmax_cross_entropy_forward(gan->numbers + PART, logits->y, gan->labels, n, c);
    ops->softmax_cross_entropy_backward(logits->dy, logits->y, gan->labels, 1, n, c);
    train_generator(gan);
}

/* ----------------------------------------------------------------------- recipe: classifier
 * The judge of the others: it learns the classes of a data set, and --evaluate measures distances
 * in its last hidden layer (128 numbers a picture). Two convolutions with pooling and two dense
 * layers, as LeCun et al. 1998. */

static void classifier_describe(Gan *gan) {
    const GanOptions *o = &gan->options;
    Net *g = &gan->g;
    int x = gan->g_content = picture_input(gan, g);
    x = maxpool(g, relu(g, conv2d(g, x, 32, 3, 1, 1)), 2);
    x = maxpool(g, relu(g, conv2d(g, x, 64, 3, 1, 1)), 2);
    gan->g_features = x = relu(g, dense(g, x, 128));
    gan->g_picture = dense(g, x, o->classes);
}

/* ------------------------------------------------------------------------------ the recipes */

#define RUN(pictures, side, long_) .batch = pictures, .size = side, .steps = long_
#define ADAM(rate, momentum, decay) .lr = rate, .beta1 = momentum, .beta2 = decay
#define WITHOUT_GRAIN .tail = 24, .schedule = LINEAR
#define DCGAN_DEFAULTS RUN(64, 28, 2000), ADAM(5e-4, 0.5, 0.999), WITHOUT_GRAIN
#define DCGAN_STEP .part = DCGAN_PARTS, .step = dcgan_step
#define DCGAN .describe = dcgan_describe, .multiple = 4, .tail = 1, DCGAN_STEP
#define UNPAIRED_DATA .feeds = FEED_UNPAIRED, .data = "fashion-mnist:plain"

const Recipe recipes[] = {
    { "dcgan", "new garments out of noise", "document 001; Radford, Metz, Chintala 2015; F1-F4",
      .defaults = { DCGAN_DEFAULTS }, DCGAN },
    { "mlp", "the same with dense layers only", "document 004; Goodfellow et al. 2014; F1-F6",
      .defaults = { RUN(64, 28, 3000), ADAM(2e-4, 0.5, 0.999) },
      .describe = mlp_describe, .multiple = 4, DCGAN_STEP },
    { "dcgan64", "the same for pictures of 64x64 and more, in colour",
      "document 003; Radford et al. 2015", .data = "fashion-mnist:tinted",
      .defaults = { RUN(32, 64, 4000), ADAM(5e-4, 0.5, 0.999), .lr_d = 2e-4, WITHOUT_GRAIN },
      .describe = dcgan64_describe, .multiple = 16, .tail = 1, DCGAN_STEP },
    { "lsgan", "dcgan with squared errors for its losses", "Mao et al. 2017",
      .defaults = { DCGAN_DEFAULTS }, .objective = LEAST_SQUARES, DCGAN },
    { "hinge", "dcgan with hinge losses and spectral normalisation",
      "Miyato et al. 2018; Lim, Ye 2017",
      .defaults = { DCGAN_DEFAULTS }, .objective = HINGE, .spectral = 1, DCGAN },
    { "wgan", "dcgan whose critic estimates a distance: weights clipped", "document 001; F11",
      .defaults = { RUN(64, 28, 1500), .lr = 5e-4, WITHOUT_GRAIN, .n_critic = 5,
                    .weight_clip = 0.03 },
      .objective = WASSERSTEIN, .rmsprop = 1, DCGAN },
    { "wgan-gp", "the same with a gradient penalty instead of clipping",
      "Gulrajani et al. 2017; F11, F12",
      .defaults = { RUN(64, 28, 1000), ADAM(5e-4, 0, 0.9), WITHOUT_GRAIN, .n_critic = 5,
                    .penalty_weight = 10 },
      .objective = WASSERSTEIN, DCGAN },
    { "r3gan", "dcgan whose D compares: relativistic pairs, gradients of D kept small",
      "Huang, Gokaslan, Kuleshov, Tompkin 2024; F32, F33",
      .defaults = { RUN(64, 28, 1500), ADAM(5e-4, 0, 0.99), WITHOUT_GRAIN,
                    .penalty_weight = 1 }, .objective = RELATIVISTIC, DCGAN },
    { "cgan", "dcgan that is told what to draw: ten classes of garments",
      "document 003; Mirza, Osindero 2014; F13",
      .feeds = FEED_CLASSES, .defaults = { DCGAN_DEFAULTS }, DCGAN },
    { "stylegan", "pictures that grow from a constant, with a style at each scale",
      "Karras, Laine, Aila 2019; F16, F32, F33",
      .defaults = { RUN(32, 28, 2000), ADAM(1e-3, 0, 0.99), .schedule = LINEAR,
                    .penalty_weight = 1 }, .objective = RELATIVISTIC, .gain = 1, .multiple = 4,
      .describe = stylegan_describe, .start = stylegan_start, DCGAN_STEP },
    { "vaegan", "new garments, and garments between two garments: an autoencoder beside the GAN",
      "document 001 (HDRGAN); Larsen et al. 2016; F14",
      .defaults = { RUN(64, 28, 1500), ADAM(3e-4, 0.5, 0.999), .content_weight = 5,
                    .kl_weight = 0.01 }, .feeds = FEED_PICTURES, .multiple = 4, .tail = 1,
      .part = VAEGAN_PARTS, .describe = vaegan_describe, .step = vaegan_step },
    { "cyclegan", "turns pictures of one kind into another, and back, without pairs",
      "document 002; Zhu et al. 2017; F15", UNPAIRED_DATA,
      .defaults = { RUN(8, 28, 1000), ADAM(2e-4, 0.5, 0.999), .schedule = LINEAR,
                    .cycle_weight = 10, .identity_weight = 5 },
      .objective = LEAST_SQUARES, .multiple = 4, .body = 1,
      .part = CYCLEGAN_PARTS, .describe = cyclegan_describe, .step = cyclegan_step },
    { "pattern",
      "gives plain pictures patterns, another one for each z, without pairs and without a way back",
      "cyclegan cut down; Mao et al. 2019; F16", UNPAIRED_DATA,
      .defaults = { RUN(16, 28, 1000), ADAM(2e-4, 0.5, 0.999), .content_weight = 2,
                    .diversity_weight = 0.5 },
      .objective = LEAST_SQUARES, .multiple = 4, .body = 1, .gain = 1, .start = unit_scale_shift,
      .part = PATTERN_PARTS, .describe = pattern_describe, .step = pattern_step },
    { "pix2pix", "garments from their drawings", "document 004; Isola et al. 2017",
      .defaults = { RUN(16, 28, 1500), ADAM(2e-4, 0.5, 0.999), .content_weight = 100,
                    .schedule = LINEAR }, .feeds = FEED_DRAWINGS, .multiple = 4,
      .part = PIX2PIX_PARTS, .describe = pix2pix_describe, .step = pix2pix_step },
    { "style", "prints the style of pictures onto garments",
      "documents 001-004; Li, Wand 2016; Gatys, Ecker, Bethge 2015; F2, F3, F8-F10",
      .defaults = { RUN(8, 64, 1000), ADAM(4e-4, 0.5, 0.99), .lr_d = 8e-4, .channels = 3,
                    .content_weight = 0.3, .style_weight = 3, .clip = 10 },
      .feeds = FEED_GARMENTS, .multiple = STYLE_MULTIPLE, .body = 1, .gain = 1,
      .part = STYLE_PARTS, .describe = style_describe, .step = style_step },
    { "cloth", "weaves cloth like that of pictures: a print of any size, and one that repeats",
      "Bergmann, Jetchev, Vollgraf 2017; Elnekave, Weiss 2022; F2, F3, F8, F34, F35",
      .defaults = { RUN(8, 64, 3000), ADAM(1e-3, 0.5, 0.99), .channels = 3, .schedule = LINEAR,
                    .content_weight = 3, .style_weight = 0.33, .ema = 0.99 },
      .feeds = FEED_CLOTH, .multiple = 16, .gain = 1, .start = cloth_start,
      .part = CLOTH_PARTS, .describe = cloth_describe, .step = cloth_step },
    { "adain", "fuses any picture with any style in one pass",
      "document 004; Huang, Belongie 2017; F16, F9, F10",
      .defaults = { RUN(8, 64, 3000), ADAM(1e-3, 0.9, 0.999), .channels = 3, .content_weight = 1,
                    .style_weight = 3, .clip = 10 },
      .feeds = FEED_STYLES, .multiple = 8, .gain = 2, .start = adain_encoder_weights,
      .part = ADAIN_PARTS, .describe = adain_describe, .step = adain_step, .sample = adain_sample },
    { "features", "features of our own, which tell styles apart",
      "softmax cross-entropy on means and deviations",
      .defaults = { RUN(32, 64, 1500), ADAM(1e-3, 0.9, 0.999), .channels = 3, .clip = 10 },
      .feeds = FEED_CROPS, .multiple = 8, .gain = 2,
      .part = { "cross_entropy" }, .describe = features_describe, .step = classify_step },
    { "classifier", "tells the classes of a data set apart: what --evaluate looks with",
      "softmax cross-entropy; LeCun, Bottou, Bengio, Haffner 1998",
      .defaults = { RUN(64, 28, 1875), ADAM(1e-3, 0.9, 0.999) },
      .feeds = FEED_LABELS, .multiple = 1, .gain = 2,
      .part = { "cross_entropy" }, .describe = classifier_describe, .step = classify_step },
    { .name = NULL }
};

int gan_content(const Gan *gan) {
    switch (gan->recipe->feeds) {
        case FEED_UNPAIRED: case FEED_DRAWINGS: case FEED_STYLES: return gan->options.channels;
        case FEED_GARMENTS: return 1;
        default: return 0;
    }
}
int gan_n_critic(const Gan *gan) {
    return gan->recipe->step == dcgan_step && gan->options.n_critic > 1 ? gan->options.n_critic : 1;
}

const Recipe *recipe_find(const char *name) {
    for (const Recipe *r = recipes; r->name; r++)
        if (!strcmp(r->name, name)) return r;
    return NULL;
}

/* -------------------------------------------------------------------- what all recipes share */

Net *gan_net(const Gan *gan, int i) {
    const Net *nets[GAN_NETS] = { &gan->g, &gan->d, &gan->e, &gan->f, &gan->d2, &gan->blur };
    for (int k = 0; k < GAN_NETS; k++)
        if (nets[k]->nodes && i-- == 0) return (Net *)(uintptr_t)nets[k];
    return NULL;
}

/* What every recipe wants of memory: batches, what a step measures, what options ask for */
static void want_shared(Gan *gan) {
    const GanOptions *o = &gan->options;
    int feeds = gan->recipe->feeds;
    long batches = (long)gan_n_critic(gan) * o->batch, pixels = (long)o->size * o->size;
    double lot = (double)node_count(fake(gan));
    want(gan, &gan->numbers, NUMBERS);
    want(gan, &gan->x_real, batches * pixels * o->channels);
    if (gan_content(gan)) want(gan, &gan->content, o->batch * pixels * gan_content(gan));
    if (feeds == FEED_CLASSES || gan->g_given) want(gan, &gan->given, batches * o->classes);
    if (feeds == FEED_CROPS || feeds == FEED_LABELS) want(gan, &gan->labels, o->batch);
    if (gan->d.nodes) want(gan, &gan->d_target, 2 * node_count(logits_of(gan, &gan->d)));
    if (o->penalty_weight > 0) want(gan, &gan->t, o->batch);
    if (o->ema > 0) keep(gan, &gan->ema, gan->g.parameters, "g.now");
    for (int i = 0; i < gan->latents; i++)
        lot = fmax(lot, (double)node_count(&gan->g.node[gan->g_latent[i]]));
    if (parallel_ranks() > 1) want(gan, &gan->lot, (long)lot * parallel_ranks());
}

int gan_begin(Gan *gan, const Recipe *recipe, const GanOptions *options, const Ops *ops) {
    Net *net;
    memset(gan, 0, sizeof *gan);
    gan->recipe = recipe, gan->options = *options, gan->ops = ops;
    gan->weight[0] = 1;
    net_begin(&gan->g, "g", ops, options->batch);
    net_begin(&gan->d, "d", ops, options->batch);
    recipe->describe(gan);
    if (!gan->g.nodes) return 0;
    if (options->penalty_weight > 0)
        gan->d.training |= NET_TANGENT, gan->d2.training |= NET_TANGENT;
    for (int i = 0; options->sync_batchnorm && parallel_ranks() > 1 && (net = gan_net(gan, i)); i++)
        net->mean = parallel_mean_double, net->ranks = parallel_ranks();
    want_shared(gan);
    return 1;
}

/* gram: what Gram matrices borrow; scratch: the largest, all networks share it */
double gan_bytes(const Gan *gan) {
    double bytes = 0, scratch = 0, gram = 0;
    const Net *net;
    for (int i = 0; (net = gan_net(gan, i)); i++)
        bytes += net_bytes(net, net->training), scratch = fmax(scratch, net_scratch_bytes(net));
    for (int k = 0; k < gan->features; k++) {
        const Node *f = &gan->d.node[gan->d_feature[k]];
        gram = fmax(gram, (double)gan->ops->gram_scratch(node_rows(f), f->c) * sizeof(real));
    }
    for (int i = 0; i < gan->buffers; i++) bytes += (double)gan->buffer[i].count * sizeof(real);
    return bytes + scratch + gram;
}

int gan_finish(Gan *gan) {
    Net *net, *const learner[] = { &gan->g, &gan->f, &gan->e, &gan->d, &gan->d2 };
    fail("not enough memory: use a smaller --batch or --size");
    for (int i = 0; (net = gan_net(gan, i)); i++)
        if (!net_finish(net, net->training)) return 0;
    for (int i = 0; i < gan->buffers; i++)
        if (!(*gan->buffer[i].at = gan->ops->alloc(gan->buffer[i].count))) return 0;
    for (int i = 0; i < 5; i++)                          /* adain's E has weights of its own */
        if (learner[i]->training & NET_WEIGHTS)
            net_initialize(learner[i], gan->options.seed,
                           STREAM(i < 3 ? STREAM_G : STREAM_D, i % 3 * 1000), gan->recipe->gain);
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
    const real *of_d = x + D_SAYS, *of_d2 = of_d + (gan->d2.nodes ? SECOND : 0);
    Report r = { .penalty = x[PENALTY], .batch_std = x[BATCH_STD],
                 .d_real = (of_d[REAL] + of_d2[REAL]) / 2, .d_fake = (of_d[FAKE] + of_d2[FAKE]) / 2,
                 .norm_d = sqrt((double)x[SQUARE_D] + x[SQUARE_D + SECOND]),
                 .norm_g = sqrt((double)x[SQUARE_G] + x[SQUARE_G + SECOND]) };
    r.loss_d = (double)x[LOSS + REAL] + x[LOSS + FAKE] + gan->options.penalty_weight * r.penalty;
    for (int i = 0; gan->recipe->part[i]; i++)
        r.part[i] = x[PART + i], r.loss_g += gan->weight[i] * x[PART + i];
    return r;
}

/* Running statistics, where each rank has taken its own: all go on with their mean */
static void share_statistics(Gan *gan) {
    Net *net;
    for (int i = 0; (net = gan_net(gan, i)); i++)
        if (net->buffers && !net->mean) parallel_mean(gan->ops, net->buffer, net->buffers);
}

void gan_step_begin(Gan *gan) {
    gan->ops->fill(gan->numbers, 0, NUMBERS);
    gan->draw = gan->step, gan->first = (long)parallel_rank() * gan->options.batch;
    gan->recipe->step(gan);
    share_statistics(gan);
    if (gan->ema) update_ema(gan);
}
void gan_step_end(Gan *gan, Report *report) {
    parallel_mean(gan->ops, gan->numbers, NUMBERS);
    *report = report_of(gan);
    gan->step++;
}
void gan_step(Gan *gan, Report *report) {
    gan_step_begin(gan);
    gan_step_end(gan, report);
}

void gan_sample(Gan *gan, uint64_t draw, real *out) {
    long batch = gan->options.batch, all = parallel_ranks() * batch, number = (long)draw * batch;
    gan->draw = 0, gan->first = number % all;        /* as one rank with all pictures would draw */
    swap_ema(gan);
    if (gan->recipe->sample) gan->recipe->sample(gan);
    else generate(gan, number / all, 0);
    download(gan, fake(gan), out);
    swap_ema(gan);
}

void gan_decode(Gan *gan, const real *z, real *out) {
    Node *input = &gan->g.node[gan->g_latent[0]];
    swap_ema(gan);
    gan->ops->upload(input->y, z, node_count(input));
    net_forward(&gan->g, 0);
    download(gan, fake(gan), out);
    swap_ema(gan);
}

void gan_judge(Gan *gan, const real *x, real *logits) {
    Node *input = &gan->d.node[gan->d_picture];
    gan->ops->upload(input->y, x, node_count(input));
    net_forward(&gan->d, 0);
    download(gan, logits_of(gan, &gan->d), logits);
}

/* ---------------------------------------------------------------------------------- checkpoints */

/* what gan_save writes, of G as it is now */
static Checkpoint gan_checkpoint(const Gan *gan) {
    Checkpoint c = { .ops = gan->ops, .recipe = gan->recipe->name, .step = gan->step };
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

int gan_load(Gan *gan, const char *path) {
    StFile file;
    long step;
    Net *net;
    if (!checkpoint_open(&file, path)) return 0;
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
