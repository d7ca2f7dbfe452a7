/* net.h: a network is a list of nodes over one block of parameters.
 *
 *   Net g;
 *   net_begin(&g, "g", &ops_tiled, 64);                        a batch of 64
 *   int x = net_input(&g, 1, 1, 100);                          builders read like Keras code
 *   x = dense(&g, x, 7*7*128);  x = reshape(&g, x, 7, 7, 128);  x = batchnorm(&g, x);
 *   x = relu(&g, x);  x = conv2d_transpose(&g, x, 64, 5, 2, 2);  ...  x = tanh_(&g, x);
 *   net_finish(&g, NET_WEIGHTS);  net_initialize(&g, seed, stream, 0);
 *   ops->upload(g.node[0].y, z, ...);  net_forward(&g, 1);     the outputs are in node[x].y
 *   net_zero_activations(&g);  ... add dL/dy to g.node[x].dy ...
 *   net_backward(&g, NET_WEIGHTS);  net_adam(&g, ...);
 *
 * Every builder returns the number of its node. A node names its inputs, which stand before it:
 * forward walks the list up, backward walks it down. Parameters, gradients and Adam's two moments
 * are one block each: the optimiser, the checkpoint and the gradient's norm are one loop each. A
 * builder whose shapes do not fit writes one line to standard error and ends the program.
 * A relu that is the only reader of a node writes over it (see in_place): a loss may read the y and
 * add to the dy of a relu, a layer or an output, but not of the node before a relu or a norm. */
#ifndef NET_H
#define NET_H
#include "layers.h"

enum { NET_MAX_NODES = 96 };
enum { NET_WEIGHTS = 1, NET_INPUT = 2, NET_TANGENT = 4 };      /* see net_finish and net_backward */

typedef struct Net Net;
typedef struct Node Node;

/* What a node does */
typedef struct Kind {
    const char *name;
    void (*forward)(const Net *net, Node *node);
    void (*backward)(const Net *net, Node *node);
    void (*tangent)(const Net *net, Node *node);      /* NULL where net_tangent cannot pass */
} Kind;

struct Node {
    const Kind *kind;
    int a, b;                                         /* the nodes it reads, or -1 */
    int n, h, w, c;                                   /* the shape of its output: (n,h,w,c) */
    Conv conv;                                        /* the geometry of a convolution */
    int factor, reach;                                /* see net_receptive_field */
    real slope, rate;                                 /* of leaky_relu; of dropout */
    long weight, weights, bias, biases;               /* in the parameter block: where, how many */
    int shape[4], rank;                               /* of the weight. Norms: gamma and beta */
    long spectral, singular;                          /* spectral(): in save, in buffer, or -1 */
    long running, saved;                              /* mean and var: in buffer, in save, or -1 */
    real *y, *dy, *t;                                 /* output, dL/dy, tangent */
};

struct Net {
    const char *name;
    const Ops *ops;
    int n, nodes;
    int training;                                     /* what its owner will give to net_finish */
    int freeze_u;                                     /* 1: spectral() keeps v (for tests) */
    int given;                                        /* see net_forward */
    uint64_t seed, draw;                              /* of dropout's masks, */
    long first;                                       /* and its first picture's number for them */
    void (*mean)(double *x, long n);                  /* over `ranks` machines, whose batches are */
    int ranks;                                        /* then one to batch norm; or NULL */
    int batch_statistics, what;                       /* the arguments of the walk under way */
    Node node[NET_MAX_NODES];
    long parameters, buffers, saves;                  /* sizes of the blocks, in reals */
    long activations, activation_gradients;
    real *p, *g, *m, *v;                              /* parameters, gradients, Adam's moments */
    real *buffer, *save;                              /* statistics: running, of this batch */
    real *y, *dy, *t;                                 /* activations, gradients, tangents */
    real *number;                                     /* one number, for reductions */
    long adam_steps;                                  /* t of F19 */
};

/* Start a network for batches of n pictures on the table ops. */
void net_begin(Net *net, const char *name, const Ops *ops, int n);

/* The builders. x, a, b: node numbers. Shapes: (n,h,w,c). */
int net_input(Net *net, int h, int w, int c);
int reshape(Net *net, int x, int h, int w, int c);    /* h*w*c stays; no data moves */
int dense(Net *net, int x, int out);                  /* F6: (n,h,w,c) -> (n,1,1,out) */
/* F18: h -> (h + 2 pad - kernel)/stride + 1; transposed: h -> h * stride; depthwise: c by itself */
int conv2d(Net *net, int x, int out, int kernel, int stride, int pad);
int conv2d_transpose(Net *net, int x, int out, int kernel, int stride, int pad);
int depthwise_conv2d(Net *net, int x, int kernel, int stride, int pad);
int batchnorm(Net *net, int x);                       /* F17 */
int instancenorm(Net *net, int x);                    /* F17 */
int dropout(Net *net, int x, double rate);            /* in training: 0, or x / (1 - rate) */
void spectral(Net *net, int x);                       /* dense or conv2d x uses W / sigma(W) */
int leaky_relu(Net *net, int x, double slope);
int relu(Net *net, int x);
int tanh_(Net *net, int x);
int sigmoid_(Net *net, int x);
int add(Net *net, int a, int b);                      /* the same shape twice */
int concat(Net *net, int a, int b);                   /* along channels */
int reflect_pad(Net *net, int x, int pad);            /* -> (h + 2 pad, w + 2 pad) */
int upsample(Net *net, int x, int factor);            /* nearest: -> (h factor, w factor) */
int avgpool(Net *net, int x, int factor);             /* block means: -> (h / factor, w / factor) */
int maxpool(Net *net, int x, int factor);             /* the largest of each block, rounded down */
int moments(Net *net, int x);                         /* F16: -> (1,1,2c): deviations, then means */
int adain(Net *net, int x, int style);                /* F16: style (1,1,2c), as moments gives it */
int gray(Net *net, int x);                            /* mean over channels: -> c = 1 */
int waves(Net *net, int x, int h, int w, int count);  /* F34: (1,1,count+m) -> (h,w,2 count+m) */

/* Bytes that net_finish will allocate; that convolutions borrow from the table for all networks. */
double net_bytes(const Net *net, int training);
double net_scratch_bytes(const Net *net);

/* Allocate. Returns 0 when there is not enough memory. training:
 *   NET_WEIGHTS   gradients, Adam's moments, every activation kept
 *   NET_INPUT     the same without the weights' gradients and moments: a network that only judges
 *   NET_TANGENT   (added to one of these) for net_tangent
 *   0             activations share memory after their last reader; for net_forward(net, 0) only */
int net_finish(Net *net, int training);
void net_free(Net *net);

/* Weights ~ N(0, 0.02^2) (Radford, Metz, Chintala 2015), or with gain > 0 N(0, gain / fan_in) (He
 * et al. 2015), from (seed, stream); biases 0, gamma 1, beta 0, running mean 0 and variance 1. */
void net_initialize(Net *net, uint64_t seed, uint64_t stream, double gain);

/* All y from node 0 up. training = 1: batch norm uses and tracks the batch's statistics; 0: the
 * running ones. Instance norm and adain take mean and variance from each picture, except in the
 * first net->given nodes (0 unless changed after net_begin): these use those that stand in save, so
 * that the output depends on the pixels around it alone: style/large.h paints in pieces. */
void net_forward(Net *net, int training);
void net_forward_part(Net *net, int from, int to);    /* net_forward(net, 0), from <= i < to */

/* How far around its place node i sees, in pixels of a picture of h rows (h of the input nodes may
 * be fractions of it). With s the width of a pixel of the node in pixels of the picture:
 *   convolution K x K, stride f     + s K/2 (its padding keeps the place), then s = s f
 *   pool of f x f                   + s (f - 1), then s = s f
 *   upsample by f                   s = s / f, then + s (f - 1), to the pixel that it repeats
 *   transposed K x K, stride f      s = s / f, then + s K
 * and the larger of two inputs. Statistics of the whole picture (norms, dense) do not count. */
int net_receptive_field(const Net *net, int i, int h);

/* dL/d everything: first net_zero_activations; then you add to the dy of the nodes that the loss
 * reads; then this. what: NET_WEIGHTS adds to g, NET_INPUT computes the dy of inputs. */
void net_zero_activations(Net *net);
void net_backward(Net *net, int what);

/* The gradient of a gradient (F12). After net_forward and net_backward(net, NET_INPUT), with a
 * direction v in the inputs' t (zeros at first):
 *   g += d/dp (v . dL/dx)                            L: linear in the outputs
 * With J = d output / dx it is v . dL/dx = dL/doutput . J v. J v goes up the list as x does, t in
 * place of y: through the same weights, without biases, through each relu by its slope at x. A
 * layer's gradient is then the t that it reads times its dy. Exact where the network is linear
 * between kinks; net_has_tangent: is it made of such nodes? */
int net_has_tangent(const Net *net);
void net_tangent(Net *net);

void net_zero_gradients(Net *net);
void net_adam(Net *net, double lr, double beta1, double beta2);   /* F19, eps 1e-8 */

/* Tensor i of a checkpoint: its name ("g.3.conv2d.weight"), its shape, its offset in the parameters
 * (in_buffer = 0) or in the running statistics (in_buffer = 1). Returns 0 past the last one. */
typedef struct NetTensor {
    char name[64];
    int rank, in_buffer;
    long shape[4], offset, count;
} NetTensor;
int net_tensor(const Net *net, int i, NetTensor *tensor);

/* The first node whose parameters (then output, dy, gradients) are not all finite; NULL: none. */
const char *net_find_not_finite(Net *net);

double net_multiplications(const Net *net);           /* in layers, for one picture forward */
void net_print(const Net *net, void *file);           /* a table: name, output shape, parameters */
#endif

#if defined(NET_IMPLEMENTATION) && !defined(NET_IMPLEMENTED)
#define NET_IMPLEMENTED
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long node_count(const Node *node) { return (long)node->n * node->h * node->w * node->c; }
static long node_rows(const Node *node) { return (long)node->n * node->h * node->w; }

static void net_need(const Net *net, int good, const char *builder, const char *why) {
    if (good) return;
    fprintf(stderr, "net.h: network '%s', node %d (%s): %s\n", net->name, net->nodes, builder, why);
    exit(1);
}

/* ------------------------------------------------------------------ what each kind of node does */

#define A (net->node[node->a])                        /* the node that `node` reads, */
#define B (net->node[node->b])                        /* and the second one */
#define WEIGHT (net->p + node->weight)
#define USED_WEIGHT (node->spectral < 0 ? WEIGHT : net->save + node->spectral)
#define BIAS (net->p + node->bias)
#define D_WEIGHT (net->g + node->weight)
#define D_BIAS (net->g + node->bias)
#define MEAN (net->save + node->saved)

/* Is the gradient of node i's output needed? That of inputs only when the caller asks for it. */
static int needs_grad(const Net *net, int i) {
    return net->node[i].a >= 0 || net->what & NET_INPUT;
}

/* the Kind of a node NAME, whose functions are NAME_node_forward and NAME_node_backward */
#define KIND(name, tangent) \
    static const Kind kind_##name = { #name, name##_node_forward, name##_node_backward, tangent }

static void nothing(const Net *net, Node *node) { (void)net, (void)node; }
static const Kind kind_input = { "input", nothing, nothing, nothing };
static const Kind kind_reshape = { "reshape", nothing, nothing, nothing };     /* shares memory */

/* F23, spectral normalisation (Miyato et al. 2018): a layer uses W / sigma in place of the matrix W
 * (in,out); sigma is the largest singular value, so that the layer stretches nothing. Each forward
 * pass does a round of power iteration,
 *   v = W^T u / |W^T u|,  u = W v / |W v|,  sigma = |W v|,
 * from the u of the last one in training, which is kept as batch norm's statistics are. */
typedef struct Spectral { int in, out; real *w, *dw, *v, *sigma, *u; } Spectral;
static Spectral spectral_parts(const Net *net, const Node *node) {
    int out = node->c, in = (int)(node->weights / out);
    real *w = net->save + node->spectral, *dw = w + node->weights, *v = dw + node->weights;
    return (Spectral){ in, out, w, dw, v, v + out, net->buffer + node->singular };
}
static void spectral_node_forward(const Net *net, Node *node) {
    if (node->spectral < 0) return;
    Spectral s = spectral_parts(net, node);
    if (!net->freeze_u) {
        net->ops->dense_forward(s.v, s.u, WEIGHT, NULL, 1, s.in, s.out);
        net->ops->normalize_vector(s.v, s.sigma, s.out);
    }
    real *u = net->batch_statistics ? s.u : s.dw;            /* to look does not move the real u */
    net->ops->fill(u, 0, s.in);
    net->ops->dense_backward_input(u, s.v, WEIGHT, 1, s.in, s.out);
    net->ops->normalize_vector(u, s.sigma, s.in);
    net->ops->spectral_forward(s.w, WEIGHT, s.sigma, node->weights);
}
/* where the gradient of the weight in use is gathered, and how it gets from there to W's */
static real *used_weight_gradient(const Net *net, Node *node) {
    if (node->spectral < 0) return D_WEIGHT;
    real *dw = spectral_parts(net, node).dw;
    net->ops->fill(dw, 0, node->weights);
    return dw;
}
static void spectral_node_backward(const Net *net, Node *node) {
    if (node->spectral < 0) return;
    Spectral s = spectral_parts(net, node);
    net->ops->spectral_backward(D_WEIGHT, s.dw, s.w, s.u, s.v, s.sigma, s.in, s.out);
}

/* A layer y = W x + b with the operations NAME_forward, NAME_backward_input, NAME_backward_weight.
 * The last arguments are its sizes.   dx += W^T dy   dW += x^T dy   db += sum of dy
 *                                     tangent: W t   dW += t^T dy */
#define LAYER(name, ...) \
    static void name##_node_forward(const Net *net, Node *node) { \
        spectral_node_forward(net, node); \
        net->ops->name##_forward(node->y, A.y, USED_WEIGHT, BIAS, __VA_ARGS__); \
    } \
    static void name##_weight_gradient(const Net *net, Node *node, const real *x) { \
        real *dw = used_weight_gradient(net, node); \
        net->ops->name##_backward_weight(dw, x, node->dy, __VA_ARGS__); \
        spectral_node_backward(net, node); \
    } \
    static void name##_node_backward(const Net *net, Node *node) { \
        if (needs_grad(net, node->a)) \
            net->ops->name##_backward_input(A.dy, node->dy, USED_WEIGHT, __VA_ARGS__); \
        if (!(net->what & NET_WEIGHTS)) return; \
        name##_weight_gradient(net, node, A.y); \
        net->ops->bias_backward(D_BIAS, node->dy, node_rows(node), node->c); \
    } \
    static void name##_tangent(const Net *net, Node *node) { \
        net->ops->name##_forward(node->t, A.t, USED_WEIGHT, NULL, __VA_ARGS__); \
        name##_weight_gradient(net, node, A.t); \
    } \
    KIND(name, name##_tangent)

LAYER(dense, node->n, A.h * A.w * A.c, node->c);
LAYER(conv2d, &node->conv);
LAYER(conv2d_transpose, &node->conv);
LAYER(depthwise_conv2d, &node->conv);

/* (mean, var): (2 c)   mu = mean_i mu_i   var = mean_i (var_i + mu_i^2) - mu^2   over ranks i */
static void shared_statistics(const Net *net, real *mean, int c) {
    real host[2 * c];
    double x[2 * c];
    net->ops->download(host, mean, 2 * c);
    for (int j = 0; j < c; j++) x[j] = host[j], x[c + j] = host[c + j] + x[j] * x[j];
    net->mean(x, 2 * c);
    for (int j = 0; j < c; j++) {
        host[j] = (real)x[j];
        host[c + j] = (real)fmax(x[c + j] - x[j] * x[j], 0);
    }
    net->ops->upload(mean, host, 2 * c);
}

/* F34, the wave numbers are the weights */
#define WAVES node->n, node->h, node->w, node->shape[1], node->c - 2 * node->shape[1]
static void waves_node_forward(const Net *net, Node *node) {
    net->ops->waves_forward(node->y, A.y, WEIGHT, BIAS, WAVES);
}
static void waves_node_backward(const Net *net, Node *node) {
    int learns = net->what & NET_WEIGHTS;
    real *dx = needs_grad(net, node->a) ? A.dy : NULL;
    net->ops->waves_backward(dx, learns ? D_WEIGHT : NULL, node->dy, A.y, WEIGHT, WAVES);
    if (learns) net->ops->bias_backward(D_BIAS, node->dy, node_rows(node), node->c);
}
KIND(waves, NULL);

/* y = gamma (x - mean) / sqrt(var + eps) + beta: in training by mean and var of the batch, with
 * net->mean those of the batches of all ranks; else by the running statistics */
static void batchnorm_node_forward(const Net *net, Node *node) {
    int c = node->c, training = net->batch_statistics;
    long rows = node_rows(node);
    real *running = net->buffer + node->running, *mean = training ? MEAN : running, *var = mean + c;
    if (training) net->ops->normalize_forward(node->y, mean, var, A.y, WEIGHT, BIAS, 1, rows, c);
    if (training && net->mean) shared_statistics(net, mean, c);
    if (!training || net->mean)
        net->ops->batchnorm_inference(node->y, A.y, WEIGHT, BIAS, mean, var, rows, c);
    if (net->mean) rows *= net->ranks;
    if (training) net->ops->batchnorm_track(running, running + c, mean, var, (real)0.1, rows, c);
}

/* In each group, with k = gamma / sqrt(var + eps), h = (x - mu) / sqrt(var + eps), m = mean(dy),
 * q = mean(dy h): dx += k (dy - m - h q)   dgamma += sum of dy h   dbeta behind it += sum of dy */
static void norm_gradient(const Net *net, Node *node, real *dgamma, int groups) {
    real *dbeta = dgamma ? dgamma + node->c : NULL, *var = MEAN + (long)groups * node->c;
    net->ops->normalize_backward(A.dy, dgamma, dbeta, node->dy, A.y, WEIGHT, MEAN, var, groups,
                                 node_rows(node) / groups, node->c);
}

/* Over several ranks m and q are means over all of them, but norm_gradient takes this rank's own
 * m_i and q_i. It then lacks k (m_i - m) + k (q_i - q) h: batch norm of x with another gamma and
 * beta, which passes through node->dy, since nothing reads that any more. */
static void batchnorm_shared_backward(const Net *net, Node *node) {
    int c = node->c;
    double rows = node_rows(node), x[2 * c];
    real *sums = MEAN + 2 * c, host[4 * c], gamma[c];          /* sums: of dy h, then of dy */
    net->ops->fill(sums, 0, 2 * c);
    norm_gradient(net, node, sums, 1);
    if (net->what & NET_WEIGHTS) net->ops->axpy(D_WEIGHT, sums, 1, 2 * c);    /* and D_BIAS */
    net->ops->download(host, MEAN, 4 * c), net->ops->download(gamma, WEIGHT, c);
    for (int j = 0; j < 2 * c; j++) x[j] = host[2 * c + j] / rows;
    net->mean(x, 2 * c);
    for (int j = 0; j < 2 * c; j++) {
        double k = gamma[j % c] / sqrt(host[c + j % c] + NORM_EPS);
        host[2 * c + j] = (real)(k * (host[2 * c + j] / rows - x[j]));
    }
    net->ops->upload(sums, host + 2 * c, 2 * c);
    net->ops->batchnorm_inference(node->dy, A.y, sums, sums + c, MEAN, MEAN + c, (long)rows, c);
    net->ops->axpy(A.dy, node->dy, 1, node_count(node));
}
static void batchnorm_node_backward(const Net *net, Node *node) {
    if (net->mean) batchnorm_shared_backward(net, node);
    else norm_gradient(net, node, net->what & NET_WEIGHTS ? D_WEIGHT : NULL, 1);
}
KIND(batchnorm, NULL);

/* instance norm: mean and var of each picture; in the first net->given nodes those that are there.
 * gamma and beta of the next picture stand `step` further. */
static int is_given(const Net *net, const Node *node) { return node - net->node < net->given; }
static void given_norm(const Net *net, Node *node, const real *gamma, const real *beta, long step) {
    long rows = (long)node->h * node->w, c = node->c;
    for (long i = 0, at = 0; i < node->n; i++, at += c)
        net->ops->batchnorm_inference(node->y + at * rows, A.y + at * rows, gamma + i * step,
                                      beta + i * step, MEAN + at, MEAN + node->n * c + at, rows, c);
}
static void instancenorm_node_forward(const Net *net, Node *node) {
    long rows = (long)node->h * node->w;
    real *mean = MEAN, *var = mean + (long)node->n * node->c;
    if (is_given(net, node)) given_norm(net, node, WEIGHT, BIAS, 0);
    else net->ops->normalize_forward(node->y, mean, var, A.y, WEIGHT, BIAS, node->n, rows, node->c);
}
static void instancenorm_node_backward(const Net *net, Node *node) {
    norm_gradient(net, node, net->what & NET_WEIGHTS ? D_WEIGHT : NULL, node->n);
}
KIND(instancenorm, NULL);

/* instance norm, but gamma and beta are each picture's own and come from the node b: (1,1,2c) */
static void adain_node_forward(const Net *net, Node *node) {
    long rows = (long)node->h * node->w, c = node->c;
    if (is_given(net, node)) given_norm(net, node, B.y, B.y + c, 2 * c);
    else net->ops->adain_forward(node->y, MEAN, MEAN + node->n * c, A.y, B.y, node->n, rows, c);
}
static void adain_node_backward(const Net *net, Node *node) {
    const real *mean = MEAN, *var = mean + (long)node->n * node->c;
    net->ops->adain_backward(A.dy, B.dy, node->dy, A.y, B.y, mean, var, node->n,
                             (long)node->h * node->w, node->c);
}
KIND(adain, NULL);

/* A node of one operation: its arguments after NAME_forward(y, x, and NAME_backward(dx, dy, */
#define NODE(name, forward_dots, backward_dots, tangent) \
    static void name##_node_forward(const Net *net, Node *node) { \
        net->ops->name##_forward(node->y, A.y, DOTS forward_dots); \
    } \
    static void name##_node_backward(const Net *net, Node *node) { \
        if (needs_grad(net, node->a)) \
            net->ops->name##_backward(A.dy, node->dy, DOTS backward_dots); \
    } \
    KIND(name, tangent)
#define DOTS(...) __VA_ARGS__
#define COUNT node_count(node)
#define IMAGE A.n, A.h, A.w, A.c
#define BLOCKS IMAGE, node->factor
/* dropout draws its mask again in the backward pass, from (seed, draw, node): nothing is stored */
#define MASK net->seed, net->draw * NET_MAX_NODES + (uint64_t)(node - net->node), \
             net->first * (node_count(node) / node->n)

static void leaky_relu_tangent(const Net *net, Node *node) {
    if (node->t != A.t) net->ops->fill(node->t, 0, COUNT);
    net->ops->leaky_relu_backward(node->t, A.t, node->y, node->slope, COUNT);
}
static void concat_tangent(const Net *net, Node *node) {
    net->ops->concat_forward(node->t, A.t, B.t, node_rows(node), A.c, B.c);
}
static void upsample_tangent(const Net *net, Node *node) {
    net->ops->upsample_forward(node->t, A.t, BLOCKS);
}

NODE(leaky_relu, (node->slope, COUNT), (node->y, node->slope, COUNT), leaky_relu_tangent);
static const Kind kind_relu = { "relu", leaky_relu_node_forward, leaky_relu_node_backward,
                                leaky_relu_tangent };
NODE(tanh, (COUNT), (node->y, COUNT), NULL);
NODE(sigmoid, (COUNT), (node->y, COUNT), NULL);
NODE(dropout, (net->batch_statistics ? node->rate : 0, COUNT, MASK), (node->rate, COUNT, MASK),
     NULL);
NODE(reflect_pad, (IMAGE, (node->h - A.h) / 2), (IMAGE, (node->h - A.h) / 2), NULL);
NODE(upsample, (BLOCKS), (BLOCKS), upsample_tangent);
NODE(avgpool, (BLOCKS), (BLOCKS), NULL);
NODE(maxpool, (BLOCKS), (A.y, BLOCKS), NULL);
NODE(moments, (A.n, (long)A.h * A.w, A.c), (A.y, node->y, A.n, (long)A.h * A.w, A.c), NULL);
NODE(gray, (node_rows(node), A.c), (node_rows(node), A.c), NULL);

/* Nodes of two inputs */
static void add_node_forward(const Net *net, Node *node) {
    net->ops->add_forward(node->y, A.y, B.y, COUNT);
}
static void add_node_backward(const Net *net, Node *node) {
    if (needs_grad(net, node->a)) net->ops->axpy(A.dy, node->dy, 1, COUNT);
    if (needs_grad(net, node->b)) net->ops->axpy(B.dy, node->dy, 1, COUNT);
}
KIND(add, NULL);
static void concat_node_forward(const Net *net, Node *node) {
    net->ops->concat_forward(node->y, A.y, B.y, node_rows(node), A.c, B.c);
}
static void concat_node_backward(const Net *net, Node *node) {
    real *da = needs_grad(net, node->a) ? A.dy : NULL, *db = needs_grad(net, node->b) ? B.dy : NULL;
    net->ops->concat_backward(da, db, node->dy, node_rows(node), A.c, B.c);
}
KIND(concat, concat_tangent);

/* ------------------------------------------------------------------------------------- builders */

void net_begin(Net *net, const char *name, const Ops *ops, int n) {
    *net = (Net){ .name = name, .ops = ops, .n = n, .training = NET_WEIGHTS };
}

/* a new node that reads a and b, with an output of (n,h,w,c) */
static int net_node(Net *net, const Kind *kind, int a, int b, int h, int w, int c) {
    const char *name = kind->name;
    net_need(net, net->nodes < NET_MAX_NODES, name, "too many nodes: raise NET_MAX_NODES");
    net_need(net, a < net->nodes && b < net->nodes, name, "reads a node that does not exist yet");
    net_need(net, h > 0 && w > 0 && c > 0, name,
             "its output would be empty: the picture is too small for this network");
    net->node[net->nodes] = (Node){
        .kind = kind, .a = a, .b = b, .n = net->n, .h = h, .w = w, .c = c, .factor = 1,
        .weight = -1, .bias = -1, .running = -1, .saved = -1, .spectral = -1, .singular = -1 };
    return net->nodes++;
}
/* one with the shape of a */
static int same_shape(Net *net, const Kind *kind, int a, int b) {
    Node *in = &net->node[a];
    return net_node(net, kind, a, b, in->h, in->w, in->c);
}

/* Give node i weights of this shape, (rank) numbers, and behind them a bias for each channel */
static int net_parameters(Net *net, int i, int rank, const int *shape) {
    Node *node = &net->node[i];
    node->rank = rank, node->weights = 1, node->biases = node->c;
    for (int k = 0; k < rank; k++) node->shape[k] = shape[k], node->weights *= shape[k];
    node->weight = net->parameters, node->bias = node->weight + node->weights;
    net->parameters += node->weights + node->biases;
    return i;
}

int net_input(Net *net, int h, int w, int c) { return net_node(net, &kind_input, -1, -1, h, w, c); }

int reshape(Net *net, int x, int h, int w, int c) {
    Node *in = &net->node[x];
    int same = (long)in->h * in->w * in->c == (long)h * w * c;
    net_need(net, same, "reshape", "the number of elements changes");
    return net_node(net, &kind_reshape, x, -1, h, w, c);
}

int dense(Net *net, int x, int out) {
    Node *in = &net->node[x];
    int i = net_node(net, &kind_dense, x, -1, 1, 1, out), shape[] = { in->h * in->w * in->c, out };
    return net_parameters(net, i, 2, shape);
}

/* node i is a convolution of this geometry; the weights are (K,K,first,second) */
static int conv_parameters(Net *net, int i, Conv d, int first, int second, int reach) {
    net->node[i].conv = d, net->node[i].factor = d.stride, net->node[i].reach = reach;
    return net_parameters(net, i, 4, (int[]){ d.kernel, d.kernel, first, second });
}
/* in: how many channels one filter reads */
static int conv_node(Net *net, const Kind *kind, int x, int in, int out, int kernel, int stride,
                     int pad) {
    Node *from = &net->node[x];
    Conv d = { from->n, from->h, from->w, from->c, 0, 0, out, kernel, stride, pad };
    net_need(net, d.h + 2 * pad >= kernel && d.w + 2 * pad >= kernel, kind->name,
             "the picture is smaller than the kernel");
    d.oh = (d.h + 2 * pad - kernel) / stride + 1, d.ow = (d.w + 2 * pad - kernel) / stride + 1;
    int i = net_node(net, kind, x, -1, d.oh, d.ow, out);
    return conv_parameters(net, i, d, in, out, kernel / 2);
}
int conv2d(Net *net, int x, int out, int kernel, int stride, int pad) {
    return conv_node(net, &kind_conv2d, x, net->node[x].c, out, kernel, stride, pad);
}
int depthwise_conv2d(Net *net, int x, int kernel, int stride, int pad) {
    return conv_node(net, &kind_depthwise_conv2d, x, 1, net->node[x].c, kernel, stride, pad);
}
int conv2d_transpose(Net *net, int x, int out, int kernel, int stride, int pad) {
    Node *in = &net->node[x];
    int h = in->h * stride, w = in->w * stride;
    Conv d = { in->n, h, w, out, in->h, in->w, in->c, kernel, stride, pad };
    net_need(net, 2 * pad < kernel && kernel <= 2 * pad + stride, "conv2d_transpose",
             "this padding does not give h * stride");
    int i = net_node(net, &kind_conv2d_transpose, x, -1, h, w, out);
    return conv_parameters(net, i, d, out, in->c, kernel);
}
void spectral(Net *net, int x) {
    Node *node = &net->node[x];
    net_need(net, node->kind == &kind_dense || node->kind == &kind_conv2d, "spectral",
             "expected a dense or conv2d node");
    node->spectral = net->saves, node->singular = net->buffers;
    net->saves += 2 * node->weights + node->c + 1, net->buffers += node->weights / node->c;
}

/* a node that keeps `saves` numbers of each forward pass for its backward pass */
static int norm_node(Net *net, const Kind *kind, int a, int b, long saves) {
    int i = same_shape(net, kind, a, b);
    net->node[i].saved = net->saves, net->saves += saves;
    return i;
}
int batchnorm(Net *net, int x) {
    int c = net->node[x].c, i = norm_node(net, &kind_batchnorm, x, -1, 4L * c);     /* 2 c: sums */
    net->node[i].running = net->buffers, net->buffers += 2L * c;
    return net_parameters(net, i, 1, &c);
}
int instancenorm(Net *net, int x) {
    int c = net->node[x].c;
    return net_parameters(net, norm_node(net, &kind_instancenorm, x, -1, 2L * net->n * c), 1, &c);
}
int moments(Net *net, int x) {
    return net_node(net, &kind_moments, x, -1, 1, 1, 2 * net->node[x].c);
}
int adain(Net *net, int x, int style) {
    Node *in = &net->node[x], *s = &net->node[style];
    net_need(net, s->h == 1 && s->w == 1 && s->c == 2 * in->c, "adain",
             "the style is not a deviation and a mean for each channel");
    return norm_node(net, &kind_adain, x, style, 2L * net->n * in->c);
}

int leaky_relu(Net *net, int x, double slope) {
    int i = same_shape(net, slope == 0 ? &kind_relu : &kind_leaky_relu, x, -1);
    net->node[i].slope = (real)slope;
    return i;
}
int relu(Net *net, int x) { return leaky_relu(net, x, 0); }
int tanh_(Net *net, int x) { return same_shape(net, &kind_tanh, x, -1); }
int sigmoid_(Net *net, int x) { return same_shape(net, &kind_sigmoid, x, -1); }
int dropout(Net *net, int x, double rate) {
    int i = same_shape(net, &kind_dropout, x, -1);
    net->node[i].rate = (real)rate;
    return i;
}

int add(Net *net, int a, int b) {
    Node *x = &net->node[a], *y = &net->node[b];
    net_need(net, x->h == y->h && x->w == y->w && x->c == y->c, "add", "the two shapes differ");
    return same_shape(net, &kind_add, a, b);
}
int concat(Net *net, int a, int b) {
    Node *x = &net->node[a], *y = &net->node[b];
    net_need(net, x->h == y->h && x->w == y->w, "concat",
             "the two pictures differ in height or width");
    return net_node(net, &kind_concat, a, b, x->h, x->w, x->c + y->c);
}
int reflect_pad(Net *net, int x, int pad) {
    Node *in = &net->node[x];
    net_need(net, pad < in->h && pad < in->w, "reflect_pad",
             "the picture is not larger than the padding");
    return net_node(net, &kind_reflect_pad, x, -1, in->h + 2 * pad, in->w + 2 * pad, in->c);
}
int waves(Net *net, int x, int h, int w, int count) {
    Node *in = &net->node[x];
    net_need(net, in->h == 1 && in->w == 1 && in->c >= count, "waves",
             "expected numbers of the whole picture, the phases first");
    int i = net_node(net, &kind_waves, x, -1, h, w, in->c + count), shape[] = { 2, count };
    return net_parameters(net, i, 2, shape);
}
int gray(Net *net, int x) {
    return net_node(net, &kind_gray, x, -1, net->node[x].h, net->node[x].w, 1);
}

/* a node of up / down times the height and width; one of the two is 1 */
static int blocks_node(Net *net, const Kind *kind, int x, int up, int down) {
    Node *in = &net->node[x];
    int i = net_node(net, kind, x, -1, in->h * up / down, in->w * up / down, in->c);
    net->node[i].factor = up * down, net->node[i].reach = up * down - 1;
    return i;
}
int upsample(Net *net, int x, int factor) { return blocks_node(net, &kind_upsample, x, factor, 1); }
int avgpool(Net *net, int x, int factor) {
    Node *in = &net->node[x];
    net_need(net, in->h % factor == 0 && in->w % factor == 0, "avgpool",
             "height or width is not a multiple of the factor");
    return blocks_node(net, &kind_avgpool, x, 1, factor);
}
int maxpool(Net *net, int x, int factor) { return blocks_node(net, &kind_maxpool, x, 1, factor); }

/* --------------------------------------------------------------------------------------- memory */

static long multiple_of_16(long n) { return (n + 15) / 16 * 16; }

/* Has node i the memory of the node that it reads? A reshape has. If nothing else reads that node,
 * a relu writes over it, for its gradient asks for the sign of its own output alone; gradients of
 * relus and norms are in place. Not over what was given, nor an output that a gradient reads. */
static int in_place(const Net *net, int i, int gradient) {
    const Node *node = &net->node[i];
    int relu = node->kind == &kind_relu || node->kind == &kind_leaky_relu, readers = 0;
    if (node->kind == &kind_reshape) return 1;
    if (!relu && !(gradient && node->saved >= 0 && !net->mean)) return 0;
    for (int j = 0; j < net->nodes; j++)
        readers += (net->node[j].a == node->a) + (net->node[j].b == node->a);
    const Kind *from = A.kind;             /* others may read what a reshape is another name of */
    int keeps = from == &kind_tanh || from == &kind_sigmoid || from == &kind_moments;
    return readers == 1 && from != &kind_input && from != &kind_reshape && (gradient || !keeps);
}

/* offset: (nodes), where each activation, or its gradient, lies in its block, one after the other.
 * Without training a node takes the first gap that activations have left. Returns their sum. */
static long net_layout(const Net *net, int training, int gradient, long *offset) {
    int last[NET_MAX_NODES];                          /* the last node that reads i; outputs stay */
    long end = 0;
    for (int i = 0; i < net->nodes; i++) last[i] = net->nodes;
    for (int i = 0; i < net->nodes; i++) {
        if (net->node[i].a >= 0) last[net->node[i].a] = i;
        if (net->node[i].b >= 0) last[net->node[i].b] = i;
    }
    for (int i = net->nodes - 1; i >= 0; i--)         /* the same memory by another name */
        if (in_place(net, i, gradient) && last[i] > last[net->node[i].a])
            last[net->node[i].a] = last[i];
    for (int i = 0; i < net->nodes; i++) {
        const Node *node = &net->node[i];
        long need = multiple_of_16(node_count(node)), at = 0;
        if (in_place(net, i, gradient)) { offset[i] = offset[node->a]; continue; }
        if (training || node->kind == &kind_input) at = end;     /* inputs are filled first */
        for (int j = 0; j < i && !training; j++) {    /* move past what is still to be read */
            long size = node_count(&net->node[j]);
            if (last[j] >= i && at < offset[j] + size && offset[j] < at + need)
                at = multiple_of_16(offset[j] + size), j = -1;
        }
        offset[i] = at;
        if (at + need > end) end = at + need;
    }
    return end;
}

double net_bytes(const Net *net, int training) {
    long offset[NET_MAX_NODES];
    double p = training & NET_WEIGHTS ? 4 : 1, y = net_layout(net, training, 0, offset);
    if (training & NET_TANGENT) y *= 2;
    if (training) y += net_layout(net, training, 1, offset);
    return sizeof(real) * (p * net->parameters + net->buffers + net->saves + 1 + y);
}
double net_scratch_bytes(const Net *net) {
    long most = 0;
    for (int i = 0; i < net->nodes; i++) {
        const Node *node = &net->node[i];
        int borrows = node->kind == &kind_conv2d || node->kind == &kind_conv2d_transpose;
        long need = borrows ? net->ops->conv_scratch(&node->conv) : 0;
        if (need > most) most = need;
    }
    return (double)most * sizeof(real);
}

int net_finish(Net *net, int training) {
    long at[NET_MAX_NODES], dat[NET_MAX_NODES], p = net->parameters;
    long y = net_layout(net, training, 0, at), dy = net_layout(net, training, 1, dat);
    int learns = training & NET_WEIGHTS;
    struct { real **at; long count; int needed; } block[] = {
        { &net->p, p, 1 }, { &net->g, p, learns }, { &net->m, p, learns }, { &net->v, p, learns },
        { &net->buffer, net->buffers, 1 }, { &net->save, net->saves, 1 }, { &net->number, 1, 1 },
        { &net->y, y, 1 }, { &net->dy, dy, training }, { &net->t, y, training & NET_TANGENT } };
    net->activations = y, net->activation_gradients = dy;
    for (int i = 0; i < 10; i++)
        if (block[i].needed && !(*block[i].at = net->ops->alloc(block[i].count))) return 0;
    for (int i = 0; i < net->nodes; i++) {
        net->node[i].y = net->y + at[i];
        net->node[i].dy = net->dy ? net->dy + dat[i] : NULL;
        net->node[i].t = net->t ? net->t + at[i] : NULL;
    }
    return 1;
}

void net_free(Net *net) {
    real *block[] = { net->p, net->g, net->m, net->v, net->buffer, net->save, net->number,
                      net->y, net->dy, net->t };
    for (int i = 0; i < 10; i++)
        if (block[i]) net->ops->release(block[i]);
    memset(net, 0, sizeof *net);
}

void net_initialize(Net *net, uint64_t seed, uint64_t stream, double gain) {
    const Ops *ops = net->ops;
    for (int i = 0; i < net->nodes; i++, stream++) {
        Node *node = &net->node[i];
        if (!node->weights) continue;
        if (node->saved >= 0) {                       /* gamma and beta */
            ops->fill(WEIGHT, 1, node->weights);
        } else {
            double fan_in = fmax(1, node->weights / node->c);          /* waves: 1 */
            ops->random_normal(WEIGHT, node->weights, seed, stream);
            ops->scale(WEIGHT, (real)(gain > 0 ? sqrt(gain / fan_in) : 0.02), node->weights);
        }
        ops->fill(BIAS, 0, node->biases);
        if (node->singular >= 0)
            ops->random_normal(net->buffer + node->singular, node->weights / node->c, seed,
                               stream + NET_MAX_NODES);
        if (node->running >= 0) {
            ops->fill(net->buffer + node->running, 0, node->c);
            ops->fill(net->buffer + node->running + node->c, 1, node->c);
        }
    }
}

/* -------------------------------------------------------------------------------- the two walks */

void net_forward(Net *net, int training) {
    net->batch_statistics = training;
    for (int i = 0; i < net->nodes; i++) net->node[i].kind->forward(net, &net->node[i]);
}
void net_forward_part(Net *net, int from, int to) {
    net->batch_statistics = 0;
    for (int i = from; i < to; i++) net->node[i].kind->forward(net, &net->node[i]);
}
int net_receptive_field(const Net *net, int last, int h) {
    double reach[NET_MAX_NODES] = {0}, step[NET_MAX_NODES];     /* of each node; s_i */
    for (int i = 0; i <= last; i++) {
        const Node *node = &net->node[i];
        int enlarges = node->kind == &kind_conv2d_transpose || node->kind == &kind_upsample;
        if (node->a < 0) { step[i] = (double)h / node->h; continue; }
        reach[i] = reach[node->a], step[i] = step[node->a];
        if (node->b >= 0 && node->kind != &kind_adain) reach[i] = fmax(reach[i], reach[node->b]);
        if (enlarges) step[i] /= node->factor;
        reach[i] += step[i] * node->reach;
        if (!enlarges) step[i] *= node->factor;
    }
    return (int)ceil(reach[last]);
}
void net_zero_activations(Net *net) { net->ops->fill(net->dy, 0, net->activation_gradients); }
void net_backward(Net *net, int what) {
    net->what = what;
    for (int i = net->nodes - 1; i >= 0; i--) net->node[i].kind->backward(net, &net->node[i]);
}

int net_has_tangent(const Net *net) {
    int i = 0;
    while (i < net->nodes && net->node[i].kind->tangent) i++;
    return i == net->nodes;
}
void net_tangent(Net *net) {
    net_need(net, net_has_tangent(net), "net_tangent", "expected layers and relus only");
    for (int i = 0; i < net->nodes; i++) net->node[i].kind->tangent(net, &net->node[i]);
}

/* ---------------------------------------------------------------------- the block of parameters */

void net_zero_gradients(Net *net) { net->ops->fill(net->g, 0, net->parameters); }
void net_adam(Net *net, double lr, double beta1, double beta2) {
    net->ops->adam_step(net->p, net->m, net->v, net->g, net->parameters, (real)lr, (real)beta1,
                        (real)beta2, (real)1e-8, ++net->adam_steps);
}

int net_tensor(const Net *net, int i, NetTensor *tensor) {
    for (int k = 0; k < net->nodes; k++) {
        const Node *node = &net->node[k];
        int norm = node->saved >= 0, running = node->running >= 0, c = node->c;
        int tensors = running ? 4 : node->singular >= 0 ? 3 : 2;
        long u = node->weights / c;
        struct { const char *name; long offset, count; } t[] = {
            { norm ? "gamma" : "weight", node->weight, node->weights },
            { norm ? "beta" : "bias", node->bias, c },
            { "singular", node->singular, u }, { "running_var", node->running + c, c } };
        if (running) t[2].name = "running_mean", t[2].offset = node->running, t[2].count = c;
        if (!node->weights) continue;
        if (i >= tensors) { i -= tensors; continue; }
        *tensor = (NetTensor){ .rank = i ? 1 : node->rank, .shape = { t[i].count },
                               .count = t[i].count, .offset = t[i].offset, .in_buffer = i >= 2 };
        for (int d = 0; i == 0 && d < node->rank; d++) tensor->shape[d] = node->shape[d];
        snprintf(tensor->name, sizeof tensor->name, "%s.%d.%s.%s", net->name, k, node->kind->name,
                 t[i].name);
        return 1;
    }
    return 0;
}

const char *net_find_not_finite(Net *net) {
    static char name[96];
    for (int i = 0; i < 4; i++)                       /* parameters first, then what they made */
        for (int k = 0; k < net->nodes; k++) {
            Node *node = &net->node[k];
            long own = node->weights + node->biases, all = node_count(node);
            struct { const char *name; const real *x; long n; } block[] = {
                { "parameters", WEIGHT, own }, { "output", node->y, all },
                { "gradient", node->dy, all },
                { "parameter gradient", net->g ? D_WEIGHT : NULL, own } };
            real square = 0;
            if (!block[i].x || !block[i].n) continue;
            net->ops->sum_squares(net->number, block[i].x, block[i].n);
            net->ops->download(&square, net->number, 1);
            if (isfinite(square)) continue;
            snprintf(name, sizeof name, "%s.%d.%s (%s)", net->name, k, node->kind->name,
                     block[i].name);
            return name;
        }
    return NULL;
}

double net_multiplications(const Net *net) {
    double sum = 0;
    for (int i = 0; i < net->nodes; i++) {
        const Node *node = &net->node[i];
        double places = node->conv.kernel ? (double)node->conv.oh * node->conv.ow : 1;
        if (node->saved < 0) sum += (double)node->weights * places;
    }
    return sum;
}

void net_print(const Net *net, void *file) {
    for (int i = 0; i < net->nodes; i++) {
        const Node *node = &net->node[i];
        char name[40];
        snprintf(name, sizeof name, "%s.%d.%s", net->name, i, node->kind->name);
        fprintf(file, "  %-24s %4d x %4d x %4d %10ld\n", name, node->h, node->w, node->c,
                node->weights + node->biases);
    }
    fprintf(file, "  %-24s %29ld parameters\n", net->name, net->parameters);
}
#undef A
#undef B
#undef MEAN
#undef NODE
#undef DOTS
#undef COUNT
#undef IMAGE
#undef BLOCKS
#undef MASK
#undef WAVES
#endif
