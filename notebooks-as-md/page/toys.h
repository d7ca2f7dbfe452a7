/* toys.h: small worlds in which one can see whether a GAN works, and small networks that learn
 * them: points in the plane, pictures of 28x28. Objectives and training steps are gan.c's. */
#ifndef TOYS_H
#define TOYS_H
#include "core/tiled.h"
#include "gan.h"
#include <math.h>

enum { PLACES = 512 };
enum { RING, MOONS, LATTICE, POINTS };

/* The data: one of the places, by the dice, and a Gaussian step away from it */
typedef struct Plane {
    int places;
    double place[PLACES][2], sigma;
} Plane;

/* Eight spots on a ring of radius 2 (neighbours are ten sigma apart); two moons; 3x3 spots; or
 * `count` points of the user's   own: (count,2) */
static inline void plane_begin(Plane *p, int world, const float *own, int count) {
    const double pi = 3.14159265358979, sigma[] = { .15, .1, .12, .12 };
    const int places[] = { 8, 48, 9, count };
    p->places = places[world], p->sigma = sigma[world];
    for (int k = 0; k < p->places; k++) {
        double *at = p->place[k], t = pi * (k / 2 + .5) / 24, side = k % 2 ? -1 : 1;
        switch (world) {
            case RING: at[0] = 2 * cos(2 * pi * k / 8), at[1] = 2 * sin(2 * pi * k / 8); break;
            case MOONS: at[0] = 1.6 * side * (cos(t) - .5), at[1] = 1.6 * side * (sin(t) - .25);
                break;
            case LATTICE: at[0] = 1.8 * (k % 3 - 1), at[1] = 1.8 * (k / 3 - 1); break;
            default: at[0] = own[2 * k], at[1] = own[2 * k + 1];
        }
    }
}

/* n points of the data   xy: (n,2) */
static inline void plane_draw(const Plane *p, real *xy, int n, uint64_t seed, uint64_t step) {
    uint64_t stream = STREAM(STREAM_DATA, 2 * step + 1), places = (uint64_t)p->places;
    ops_naive.random_normal(xy, 2L * n, seed, STREAM(STREAM_DATA, 2 * step));
    for (int i = 0; i < n; i++) {
        const double *at = p->place[philox_below(seed, stream, (uint64_t)i, places)];
        for (int k = 0; k < 2; k++) xy[2 * i + k] = (real)(at[k] + p->sigma * xy[2 * i + k]);
    }
}

/* Which share of n points lies within four sigma of each place. (Of the data itself nearly all: a
 * Gaussian in the plane leaves exp(-4^2/2) = 0.03% outside.)   xy: (n,2)  share: (places) */
static inline void plane_cover(const Plane *p, double *share, const real *xy, int n) {
    for (int k = 0; k < p->places; k++) {
        int near = 0;
        for (int i = 0; i < n; i++)
            near += hypot(xy[2 * i] - p->place[k][0], xy[2 * i + 1] - p->place[k][1])
                 <= 4 * p->sigma;
        share[k] = (double)near / n;
    }
}

/* A recipe of gan.c's with networks of this file's: gan->recipe is the first member of a Toy. */
typedef struct Toy {
    Recipe recipe;
    int noise;                          /* numbers of z */
} Toy;

static inline int toy_noise(Gan *gan) {
    int z = net_input(&gan->g, 1, 1, ((const Toy *)gan->recipe)->noise);
    return gan->g_latent[gan->latents++] = z;
}
static inline int toy_spectral(const Gan *gan, Net *d, int x) {
    if (gan->recipe->spectral) spectral(d, x);
    return x;
}

/* z -> 64 -> 64 -> a point; a point -> 64 -> 64 -> a logit */
static inline void plane_describe(Gan *gan) {
    enum { WIDTH = 64 };
    Net *g = &gan->g, *d = &gan->d;
    int x = toy_noise(gan);
    for (int i = 0; i < 2; i++) x = relu(g, dense(g, x, WIDTH));
    gan->g_picture = dense(g, x, 2);

    gan->d_picture = x = net_input(d, 1, 1, 2);
    for (int i = 0; i < 2; i++) x = leaky_relu(d, toy_spectral(gan, d, dense(d, x, WIDTH)), 0.2);
    gan->d_logits = toy_spectral(gan, d, dense(d, x, 1));
}

/* dcgan's layers (gan.c) with a quarter of its channels: z -> 7x7 -> 14x14 -> 28x28, and back */
static inline void small_describe(Gan *gan) {
    enum { WIDTH = 16 };
    Net *g = &gan->g, *d = &gan->d;
    int x = dense(g, toy_noise(gan), 7 * 7 * 2 * WIDTH);
    x = relu(g, batchnorm(g, reshape(g, x, 7, 7, 2 * WIDTH)));
    x = relu(g, batchnorm(g, conv2d_transpose(g, x, WIDTH, 4, 2, 1)));
    gan->g_picture = tanh_(g, conv2d_transpose(g, x, 1, 4, 2, 1));

    gan->d_picture = x = net_input(d, 28, 28, 1);
    x = leaky_relu(d, toy_spectral(gan, d, conv2d(d, x, WIDTH, 4, 2, 1)), 0.2);
    x = leaky_relu(d, toy_spectral(gan, d, conv2d(d, x, 2 * WIDTH, 4, 2, 1)), 0.2);
    gan->d_logits = toy_spectral(gan, d, dense(d, x, 1));
}

/* gan.c's recipe `name` in the plane (options.size 1) or on pictures (28). 0: out of memory */
static inline int toy_begin(Gan *gan, Toy *toy, const char *name, const GanOptions *options) {
    toy->recipe = *recipe_find(name);
    toy->recipe.describe = options->size == 1 ? plane_describe : small_describe;
    toy->recipe.gain = 2;               /* He's first weights: layers are narrow here */
    return gan_begin(gan, &toy->recipe, options, &ops_tiled) && gan_finish(gan);
}
#endif
