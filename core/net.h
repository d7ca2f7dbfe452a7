/* net.h: a network is a list of nodes over one block of parameters.
 *
 *   Net g;
 *   net_begin(&g, "g", &ops_tiled, 64);                        a batch of 64
 *   int x = net_input(&g, 1, 1, 100);                          the builders read like the Keras code of the documents
 *   x = dense(&g, x, 7*7*128);  x = reshape(&g, x, 7, 7, 128);  x = batchnorm(&g, x);  x = relu(&g, x);
 *   x = conv2d_transpose(&g, x, 64, 5, 2, 2);  ...  x = tanh_(&g, x);
 *   net_finish(&g, 1);  net_initialize(&g, seed);
 *   ops->upload(g.node[0].y, z, ...);  net_forward(&g, 1);     every activation y is there to look at
 *   net_zero_activations(&g);  ... add dL/dy to g.node[x].dy ...  net_backward(&g, NET_WEIGHTS);  net_adam(&g, ...);
 *
 * Every builder returns the number of its node. A node names its inputs, so skips, residuals and concatenation need nothing
 * special; nodes stand in an order in which inputs come first: forward walks the list up, backward walks it down.
 * Parameters, gradients and Adam's two moments are one block each: optimiser, checkpoint, gradient norm are one loop each.
 * A builder that is given shapes that do not fit writes one line to standard error and ends the program: that is a bug in
 * the model's description, not in its data. */
#ifndef NET_H
#define NET_H
#include "layers.h"

enum { NET_MAX_NODES = 96 };
enum { NET_WEIGHTS = 1, NET_INPUT = 2, NET_TANGENT = 4 };      /* what net_backward computes besides the gradients in between; net_tangent */

typedef struct Net Net;
typedef struct Node Node;

/* What a node does: one line in the table at the end of this file */
typedef struct Kind {
    const char *name;
    void (*forward)(const Net *net, Node *node);
    void (*backward)(const Net *net, Node *node);
} Kind;

struct Node {
    const Kind *kind;
    int a, b;                                         /* the nodes it reads, or -1 */
    int n, h, w, c;                                   /* the shape of its output: (n,h,w,c) */
    Conv conv;                                        /* convolutions: the geometry; pad, upsample, pools: conv.pad */
    real slope;                                       /* leaky_relu */
    long weight, weights, bias, biases;               /* offset and count in the parameter block; norms: gamma and beta */
    int shape[4], rank;                               /* of the weight */
    long spectral, singular;                          /* see spectral(): in the blocks save and buffer, or -1 */
    long running, saved;                              /* batch norm: running mean, var; norms: mean, var of this batch, and room for 2 c more */
    real *y, *dy, *t;                                 /* the output, the gradient of the loss by it, its tangent: see net_tangent */
};

struct Net {
    const char *name;
    const Ops *ops;
    int n, nodes;
    int training;                                     /* how it means to be finished: NET_WEIGHTS, unless changed after net_begin */
    int freeze_u;                                      /* 1: spectral normalisation leaves its singular vectors v as they are (for tests) */
    int given;                                        /* instance norm and adain among the first `given` nodes: see net_forward */
    uint64_t seed, draw;                              /* of dropout's masks: another draw, other masks */
    long first;                                       /* how many pictures of the batch other machines hold before these: dropout counts them */
    void (*mean)(double *x, long n);                  /* NULL, or the mean over `ranks` machines, whose batches shall be one to batch norm */
    int ranks;
    int batch_statistics, what;                       /* how the walk under way was asked for */
    Node node[NET_MAX_NODES];
    long parameters, buffers, saves, activations, scratch;      /* sizes of the blocks, in reals */
    real *p, *g, *m, *v;                              /* parameters, gradients, Adam's moments   (parameters) each */
    real *buffer, *save;                              /* running statistics   (buffers); this batch's   (saves) */
    real *y, *dy, *t;                                 /* activations, their gradients and tangents   (activations) each */
    real *number;                                     /* one number, for reductions */
    long adam_steps;                                  /* t of F19 */
};

/* Start a network for batches of n pictures on the table ops. */
void net_begin(Net *net, const char *name, const Ops *ops, int n);

/* The builders. x, a, b: node numbers. Shapes: (n,h,w,c). */
int net_input(Net *net, int h, int w, int c);
int reshape(Net *net, int x, int h, int w, int c);                                   /* h*w*c stays; no data moves */
int dense(Net *net, int x, int out);                                                 /* F6: (n,h,w,c) -> (n,1,1,out) */
int conv2d(Net *net, int x, int out, int kernel, int stride, int pad);               /* F18: -> (h + 2 pad - kernel)/stride + 1 */
int conv2d_transpose(Net *net, int x, int out, int kernel, int stride, int pad);     /* F18: -> h * stride exactly */
int depthwise_conv2d(Net *net, int x, int kernel, int stride, int pad);              /* each channel by itself; shapes as conv2d's */
int batchnorm(Net *net, int x);                                                      /* F17 */
int instancenorm(Net *net, int x);                                                   /* F17 */
int dropout(Net *net, int x, double rate);                                           /* in training: 0, or x / (1 - rate) */
void spectral(Net *net, int x);                                                      /* dense or conv2d node x uses W / sigma(W) */
int leaky_relu(Net *net, int x, double slope);
int relu(Net *net, int x);
int tanh_(Net *net, int x);
int sigmoid_(Net *net, int x);
int add(Net *net, int a, int b);                                                     /* the same shape twice */
int concat(Net *net, int a, int b);                                                  /* along channels */
int reflect_pad(Net *net, int x, int pad);                                           /* -> (h + 2 pad, w + 2 pad) */
int upsample(Net *net, int x, int factor);                                           /* nearest: -> (h factor, w factor) */
int avgpool(Net *net, int x, int factor);                                            /* mean of blocks: -> (h / factor, w / factor) */
int maxpool(Net *net, int x, int factor);                                            /* the largest of each block, rounded down */
int moments(Net *net, int x);                                                        /* F16: -> (1,1,2c): deviations, then means over h, w */
int adain(Net *net, int x, int style);                                               /* F16: style (1,1,2c), as moments gives them */
int gray(Net *net, int x);                                                           /* mean over channels: -> c = 1 */

/* Bytes that net_finish will allocate, and the scratch its convolutions will borrow from the table (shared by all networks). */
double net_bytes(const Net *net, int training);
double net_scratch_bytes(const Net *net);

/* Allocate. training = NET_WEIGHTS (1): gradients, Adam's moments, every activation kept. NET_INPUT: the same without weights'
 * gradients and moments: a network that only judges, net_backward(net, NET_INPUT). | NET_TANGENT: for net_tangent too. 0: activations
 * share memory once they have been read for the last time; only net_forward(net, 0) may be called. Returns 0 when there is not enough memory. */
int net_finish(Net *net, int training);
void net_free(Net *net);

/* Weights ~ N(0, 0.02) (Radford, Metz, Chintala 2015), or with gain > 0 N(0, gain / fan_in) (He et al. 2015);
 * biases 0, gamma 1, beta 0, running mean 0 and variance 1. Drawn from (seed, stream): the same on every machine. */
void net_initialize(Net *net, uint64_t seed, uint64_t stream, double gain);

/* All y from node 0 up. training = 1: batch norm uses and tracks the batch's statistics; 0: the running ones.
 * Instance norm and adain take mean and variance from each picture, except in the first net->given nodes (0 unless changed after
 * net_begin): these use the mean and var that stand in save, as batch norm does outside of training:
 *   y = gamma (x - mean) / sqrt(var + eps) + beta
 * A picture's own statistics span all of it; given ones leave an output that depends on the pixels around it alone, so that a
 * large picture can be painted in pieces (large.h). */
void net_forward(Net *net, int training);
void net_forward_part(Net *net, int from, int to);     /* net_forward(net, 0), only the nodes from <= i < to */

/* How far around its place node i sees, in pixels of a picture of h rows: h of the input nodes may be fractions of it. With stride
 * and factor s_i of node i's pixels, s = 1 in the picture:
 *   convolution of K x K: + s K/2 (its padding keeps the place: K/2)     average, largest of f x f: + s (f - 1), then s f
 *   enlarging by f: s / f, then + s (f - 1): a pixel is as far as that from the one it repeats     transposed: s / stride, + s K
 * and the most of both inputs where there are two. Statistics of the whole picture (norms, moments, dense) do not count. */
int net_receptive_field(const Net *net, int i, int h);

/* dL/d everything: first net_zero_activations, then the caller adds to the dy of the nodes that the loss reads, then this.
 * what: NET_WEIGHTS adds to g, NET_INPUT computes the dy of inputs. A network judged only for another's sake (the
 * discriminator in the generator's step) is called with NET_INPUT alone: its weight gradients cost nothing. */
void net_zero_activations(Net *net);
void net_backward(Net *net, int what);

/* The gradient of a gradient (F12 needs it). After net_forward and net_backward(net, NET_INPUT), with a direction v in the inputs' t (zeros at first):
 *   g += d/dp (v . dL/dx)                            L: linear in the outputs
 * With J = d output / dx it is v . dL/dx = dL/doutput . J v. J v goes up the list as x does, t in the place of y: through the same weights,
 * without biases, through each relu by the slope that it has at x. A layer's gradient is then the t that it reads times the dy behind it.
 * Exact, since a network of layers and relus is linear between its kinks. net_has_tangent: is it one? */
int net_has_tangent(const Net *net);
void net_tangent(Net *net);

void net_zero_gradients(Net *net);
void net_gradient_square(Net *net, real *square);     /* sum g^2, to the device; not finite as soon as one gradient is not */
void net_clip_gradients(Net *net, const real *square, double limit);     /* g *= min(1, limit / sqrt(square)); limit 0: none */
void net_adam(Net *net, double lr, double beta1, double beta2);   /* F19, eps 1e-8 */

/* The tensors a checkpoint holds: tensor i has a name ("g.3.conv2d.weight"), a shape, and stands at `offset` of the
 * parameter block (in_buffer = 0) or of the running statistics (in_buffer = 1). Returns 0 past the last one. */
typedef struct NetTensor { char name[64]; int rank; int shape[4]; long offset, count; int in_buffer; } NetTensor;
int net_tensor(const Net *net, int i, NetTensor *tensor);

/* The first node whose parameters (then output, gradient, gradient of the parameters) hold a number that is not finite, as a name; NULL if none. */
const char *net_find_not_finite(Net *net);

/* What a picture costs: multiplications of one forward pass in convolutions and dense layers. */
double net_multiplications(const Net *net);

/* A table of the nodes: name, output shape, parameters. */
void net_print(const Net *net, void *file);
#endif

#if defined(NET_IMPLEMENTATION) && !defined(NET_IMPLEMENTED)
#define NET_IMPLEMENTED
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long node_count(const Node *node) { return (long)node->n * node->h * node->w * node->c; }
static long node_rows(const Node *node) { return (long)node->n * node->h * node->w; }

static void net_die(const Net *net, const char *builder, const char *why) {
    fprintf(stderr, "net.h: network '%s', node %d (%s): %s\n", net->name, net->nodes, builder, why);
    exit(1);
}

/* ---------------------------------------------------------------------------------------- what each kind of node does */

#define A (net->node[node->a])                        /* the node that `node` reads, */
#define B (net->node[node->b])                        /* and the second one */
#define WEIGHT (net->p + node->weight)
#define USED_WEIGHT (node->spectral < 0 ? WEIGHT : net->save + node->spectral)
#define BIAS (net->p + node->bias)
#define D_WEIGHT (net->g + node->weight)
#define D_BIAS (net->g + node->bias)

/* does anybody want the gradient of what node i holds? Inputs only when the caller asks for it */
static int needs_grad(const Net *net, int i) { return net->node[i].a >= 0 || (net->what & NET_INPUT); }

static void nothing(const Net *net, Node *node) { (void)net, (void)node; }

/* Spectral normalisation (Miyato et al. 2018): in the place of W, seen as a matrix (in,out), a layer uses W / sigma, where sigma
 * is the largest singular value: the layer then stretches nothing. A round of power iteration in each forward pass,
 *   v = W^T u / |W^T u|,  u = W v / |W v|,  sigma = |W v|,
 * goes on where the last one stopped: u is kept as batch norm's statistics are. */
typedef struct Spectral { int in, out; real *w, *dw, *v, *sigma, *length, *u; } Spectral;
static Spectral spectral_parts(const Net *net, const Node *node) {
    int out = node->shape[node->rank - 1];
    real *w = net->save + node->spectral, *v = w + 2 * node->weights;
    return (Spectral){ (int)(node->weights / out), out, w, w + node->weights, v, v + out, v + out + 1, net->buffer + node->singular };
}
static void spectral_node_forward(const Net *net, Node *node) {
    if (node->spectral < 0) return;
    Spectral s = spectral_parts(net, node);
    if (!net->freeze_u) {
        net->ops->dense_forward(s.v, s.u, WEIGHT, NULL, 1, s.in, s.out);
        net->ops->normalize_vector(s.v, s.length, s.out);
    }
    net->ops->fill(s.u, 0, s.in);
    net->ops->dense_backward_input(s.u, s.v, WEIGHT, 1, s.in, s.out);
    net->ops->normalize_vector(s.u, s.sigma, s.in);
    net->ops->spectral_forward(s.w, WEIGHT, s.sigma, node->weights);
}
/* where the gradient of the weight in use is gathered, and how it gets from there to W's */
static real *used_weight_gradient(const Net *net, Node *node) {
    if (node->spectral < 0) return D_WEIGHT;
    net->ops->fill(spectral_parts(net, node).dw, 0, node->weights);
    return spectral_parts(net, node).dw;
}
static void spectral_node_backward(const Net *net, Node *node) {
    if (node->spectral < 0) return;
    Spectral s = spectral_parts(net, node);
    net->ops->spectral_backward(D_WEIGHT, s.dw, s.w, s.u, s.v, s.sigma, s.in, s.out);
}

static void dense_node_forward(const Net *net, Node *node) {
    spectral_node_forward(net, node);
    net->ops->dense_forward(node->y, A.y, USED_WEIGHT, BIAS, node->n, A.h * A.w * A.c, node->c);
}
static void dense_weight_gradient(const Net *net, Node *node, const real *x) {
    net->ops->dense_backward_weight(used_weight_gradient(net, node), x, node->dy, node->n, A.h * A.w * A.c, node->c);
    spectral_node_backward(net, node);
}
static void dense_node_backward(const Net *net, Node *node) {
    if (needs_grad(net, node->a)) net->ops->dense_backward_input(A.dy, node->dy, USED_WEIGHT, node->n, A.h * A.w * A.c, node->c);
    if (!(net->what & NET_WEIGHTS)) return;
    dense_weight_gradient(net, node, A.y);
    net->ops->bias_backward(D_BIAS, node->dy, node->n, node->c);
}

static void conv2d_node_forward(const Net *net, Node *node) {
    spectral_node_forward(net, node);
    net->ops->conv2d_forward(node->y, A.y, USED_WEIGHT, BIAS, &node->conv);
}
static void conv2d_weight_gradient(const Net *net, Node *node, const real *x) {
    net->ops->conv2d_backward_weight(used_weight_gradient(net, node), x, node->dy, &node->conv);
    spectral_node_backward(net, node);
}
static void conv2d_node_backward(const Net *net, Node *node) {
    if (needs_grad(net, node->a)) net->ops->conv2d_backward_input(A.dy, node->dy, USED_WEIGHT, &node->conv);
    if (!(net->what & NET_WEIGHTS)) return;
    conv2d_weight_gradient(net, node, A.y);
    net->ops->bias_backward(D_BIAS, node->dy, node_rows(node), node->c);
}

static void conv2d_transpose_node_forward(const Net *net, Node *node) {
    net->ops->conv2d_transpose_forward(node->y, A.y, WEIGHT, BIAS, &node->conv);
}
static void conv2d_transpose_node_backward(const Net *net, Node *node) {
    if (needs_grad(net, node->a)) net->ops->conv2d_transpose_backward_input(A.dy, node->dy, WEIGHT, &node->conv);
    if (!(net->what & NET_WEIGHTS)) return;
    net->ops->conv2d_transpose_backward_weight(D_WEIGHT, A.y, node->dy, &node->conv);
    net->ops->bias_backward(D_BIAS, node->dy, node_rows(node), node->c);
}

static void depthwise_conv2d_node_forward(const Net *net, Node *node) {
    net->ops->depthwise_conv2d_forward(node->y, A.y, WEIGHT, BIAS, &node->conv);
}
static void depthwise_conv2d_node_backward(const Net *net, Node *node) {
    if (needs_grad(net, node->a)) net->ops->depthwise_conv2d_backward_input(A.dy, node->dy, WEIGHT, &node->conv);
    if (!(net->what & NET_WEIGHTS)) return;
    net->ops->depthwise_conv2d_backward_weight(D_WEIGHT, A.y, node->dy, &node->conv);
    net->ops->bias_backward(D_BIAS, node->dy, node_rows(node), node->c);
}

/* groups = 1 and all rows for batch norm, groups = n and the rows of one picture for instance norm */
static int is_given(const Net *net, const Node *node) { return node - net->node < net->given && node->running < 0; }
static int norm_groups(const Node *node) { return node->running >= 0 ? 1 : node->n; }
/* Batch norm over the batches of all ranks:  mu = mean_i mu_i   var = mean_i (var_i + mu_i^2) - mu^2   mean, var beside it: (c) */
static void shared_statistics(const Net *net, real *mean, int c) {
    real host[2 * c];
    double x[2 * c];
    net->ops->download(host, mean, 2 * c);
    for (int j = 0; j < c; j++) x[j] = host[j], x[c + j] = host[c + j] + x[j] * x[j];
    net->mean(x, 2 * c);
    for (int j = 0; j < c; j++) host[j] = (real)x[j], host[c + j] = (real)fmax(x[c + j] - x[j] * x[j], 0);
    net->ops->upload(mean, host, 2 * c);
}
static void norm_forward(const Net *net, Node *node) {
    int groups = norm_groups(node);
    long rows = node_rows(node) / groups;
    real *running = net->buffer + node->running, *mean = net->save + node->saved, *var = mean + (long)groups * node->c;
    if (node->running >= 0 && !net->batch_statistics) {
        net->ops->batchnorm_inference(node->y, A.y, WEIGHT, BIAS, running, running + node->c, rows, node->c);
        return;
    }
    for (int i = 0; is_given(net, node) && i < groups; i++)
        net->ops->batchnorm_inference(node->y + i * rows * node->c, A.y + i * rows * node->c, WEIGHT, BIAS, mean + (long)i * node->c,
                                      var + (long)i * node->c, rows, node->c);
    if (is_given(net, node)) return;
    net->ops->normalize_forward(node->y, mean, var, A.y, WEIGHT, BIAS, groups, rows, node->c);
    if (node->running < 0) return;
    if (net->mean) {
        shared_statistics(net, mean, node->c);
        net->ops->batchnorm_inference(node->y, A.y, WEIGHT, BIAS, mean, var, rows, node->c);
    }
    net->ops->batchnorm_track(running, running + node->c, mean, var, (real)0.1, net->mean ? rows * net->ranks : rows, node->c);
}
/* Its gradient is k (dy - m - h q), k = gamma / sqrt(var + eps), h = (x - mu) / sqrt(var + eps), with m = mean(dy) and q = mean(dy h) over
 * all ranks. normalize_backward takes its own m_i and q_i; k (m_i - m) + k (q_i - q) h is what then lacks, batch norm of x with
 * another gamma and beta. It passes through node->dy, which nobody needs any more. */
static void shared_norm_backward(const Net *net, Node *node) {
    int c = node->c;
    long rows = node_rows(node);
    real *mean = net->save + node->saved, *sums = mean + 2 * c, host[4 * c], gamma[c];
    double x[2 * c];
    net->ops->fill(sums, 0, 2 * c);
    net->ops->normalize_backward(A.dy, sums, sums + c, node->dy, A.y, WEIGHT, mean, mean + c, 1, rows, c);
    if (net->what & NET_WEIGHTS) net->ops->axpy(D_WEIGHT, sums, 1, 2 * c);            /* gamma and beta stand side by side */
    net->ops->download(host, mean, 4 * c), net->ops->download(gamma, WEIGHT, c);
    for (int j = 0; j < 2 * c; j++) x[j] = (double)host[2 * c + j] / rows;
    net->mean(x, 2 * c);
    for (int j = 0; j < 2 * c; j++)
        host[2 * c + j] = (real)(gamma[j % c] / sqrt(host[c + j % c] + NORM_EPS) * ((double)host[2 * c + j] / rows - x[j]));
    net->ops->upload(sums, host + 2 * c, 2 * c);
    net->ops->batchnorm_inference(node->dy, A.y, sums, sums + c, mean, mean + c, rows, c);
    net->ops->axpy(A.dy, node->dy, 1, node_count(node));
}
static void norm_backward(const Net *net, Node *node) {
    if (node->running >= 0 && net->mean) { shared_norm_backward(net, node); return; }
    int groups = norm_groups(node), weights = net->what & NET_WEIGHTS;
    const real *mean = net->save + node->saved;
    net->ops->normalize_backward(A.dy, weights ? D_WEIGHT : NULL, weights ? D_BIAS : NULL, node->dy, A.y, WEIGHT, mean,
                                 mean + (long)groups * node->c, groups, node_rows(node) / groups, node->c);
}

static void leaky_relu_node_forward(const Net *net, Node *node) {
    net->ops->leaky_relu_forward(node->y, A.y, node->slope, node_count(node));
}
static void leaky_relu_node_backward(const Net *net, Node *node) {
    net->ops->leaky_relu_backward(A.dy, node->dy, node->y, node->slope, node_count(node));
}
static void tanh_node_forward(const Net *net, Node *node) {
    net->ops->tanh_forward(node->y, A.y, node_count(node));
}
static void tanh_node_backward(const Net *net, Node *node) {
    net->ops->tanh_backward(A.dy, node->dy, node->y, node_count(node));
}
static void sigmoid_node_forward(const Net *net, Node *node) {
    net->ops->sigmoid_forward(node->y, A.y, node_count(node));
}
static void sigmoid_node_backward(const Net *net, Node *node) {
    net->ops->sigmoid_backward(A.dy, node->dy, node->y, node_count(node));
}

/* the mask is drawn again in the backward pass from (seed, draw, node): nothing is stored */
static uint64_t dropout_stream(const Net *net, const Node *node) { return net->draw * NET_MAX_NODES + (uint64_t)(node - net->node); }
static long dropout_first(const Net *net, const Node *node) { return net->first * (node_count(node) / node->n); }
static void dropout_node_forward(const Net *net, Node *node) {
    real rate = net->batch_statistics ? node->slope : 0;
    net->ops->dropout_forward(node->y, A.y, rate, node_count(node), net->seed, dropout_stream(net, node), dropout_first(net, node));
}
static void dropout_node_backward(const Net *net, Node *node) {
    net->ops->dropout_backward(A.dy, node->dy, node->slope, node_count(node), net->seed, dropout_stream(net, node),
                               dropout_first(net, node));
}
static void add_node_forward(const Net *net, Node *node) {
    net->ops->add_forward(node->y, A.y, B.y, node_count(node));
}
static void add_node_backward(const Net *net, Node *node) {
    if (needs_grad(net, node->a)) net->ops->axpy(A.dy, node->dy, 1, node_count(node));
    if (needs_grad(net, node->b)) net->ops->axpy(B.dy, node->dy, 1, node_count(node));
}
static void concat_node_forward(const Net *net, Node *node) {
    net->ops->concat_forward(node->y, A.y, B.y, node_rows(node), A.c, B.c);
}
static void concat_node_backward(const Net *net, Node *node) {
    net->ops->concat_backward(needs_grad(net, node->a) ? A.dy : NULL, needs_grad(net, node->b) ? B.dy : NULL, node->dy,
                              node_rows(node), A.c, B.c);
}
static void reflect_pad_node_forward(const Net *net, Node *node) {
    net->ops->reflect_pad_forward(node->y, A.y, A.n, A.h, A.w, A.c, node->conv.pad);
}
static void reflect_pad_node_backward(const Net *net, Node *node) {
    if (needs_grad(net, node->a)) net->ops->reflect_pad_backward(A.dy, node->dy, A.n, A.h, A.w, A.c, node->conv.pad);
}
static void upsample_node_forward(const Net *net, Node *node) {
    net->ops->upsample_forward(node->y, A.y, A.n, A.h, A.w, A.c, node->conv.pad);
}
static void upsample_node_backward(const Net *net, Node *node) {
    if (needs_grad(net, node->a)) net->ops->upsample_backward(A.dy, node->dy, A.n, A.h, A.w, A.c, node->conv.pad);
}
static void avgpool_node_forward(const Net *net, Node *node) {
    net->ops->avgpool_forward(node->y, A.y, A.n, A.h, A.w, A.c, node->conv.pad);
}
static void avgpool_node_backward(const Net *net, Node *node) {
    if (needs_grad(net, node->a)) net->ops->avgpool_backward(A.dy, node->dy, A.n, A.h, A.w, A.c, node->conv.pad);
}
static void maxpool_node_forward(const Net *net, Node *node) {
    net->ops->maxpool_forward(node->y, A.y, A.n, A.h, A.w, A.c, node->conv.pad);
}
static void maxpool_node_backward(const Net *net, Node *node) {
    if (needs_grad(net, node->a)) net->ops->maxpool_backward(A.dy, node->dy, A.y, A.n, A.h, A.w, A.c, node->conv.pad);
}
static void moments_node_forward(const Net *net, Node *node) {
    net->ops->moments_forward(node->y, A.y, A.n, (long)A.h * A.w, A.c);
}
static void moments_node_backward(const Net *net, Node *node) {
    if (needs_grad(net, node->a)) net->ops->moments_backward(A.dy, node->dy, A.y, node->y, A.n, (long)A.h * A.w, A.c);
}
/* instance normalisation, picture by picture: its gamma and beta are the picture's own, and come from the node b */
static void adain_node_forward(const Net *net, Node *node) {
    long rows = (long)node->h * node->w, c = node->c;
    real *mean = net->save + node->saved, *var = mean + node->n * c;
    for (int i = 0; i < node->n; i++) {
        real *y = node->y + i * rows * c, *x = A.y + i * rows * c, *gamma = B.y + 2 * i * c, *beta = gamma + c;
        if (is_given(net, node)) net->ops->batchnorm_inference(y, x, gamma, beta, mean + i * c, var + i * c, rows, (int)c);
        else net->ops->normalize_forward(y, mean + i * c, var + i * c, x, gamma, beta, 1, rows, (int)c);
    }
}
static void adain_node_backward(const Net *net, Node *node) {
    long rows = (long)node->h * node->w, c = node->c;
    const real *mean = net->save + node->saved, *var = mean + node->n * c;
    for (int i = 0; i < node->n; i++)
        net->ops->normalize_backward(A.dy + i * rows * c, B.dy + 2 * i * c, B.dy + 2 * i * c + c, node->dy + i * rows * c,
                                     A.y + i * rows * c, B.y + 2 * i * c, mean + i * c, var + i * c, 1, rows, (int)c);
}
static void gray_node_forward(const Net *net, Node *node) {
    net->ops->gray_forward(node->y, A.y, node_rows(node), A.c);
}
static void gray_node_backward(const Net *net, Node *node) {
    if (needs_grad(net, node->a)) net->ops->gray_backward(A.dy, node->dy, node_rows(node), A.c);
}

static const Kind kind_input = { "input", nothing, nothing };
static const Kind kind_reshape = { "reshape", nothing, nothing };      /* shares its input's memory: nothing to do */
static const Kind kind_dense = { "dense", dense_node_forward, dense_node_backward };
static const Kind kind_conv2d = { "conv2d", conv2d_node_forward, conv2d_node_backward };
static const Kind kind_conv2d_transpose = { "conv2d_transpose", conv2d_transpose_node_forward, conv2d_transpose_node_backward };
static const Kind kind_depthwise_conv2d = { "depthwise_conv2d", depthwise_conv2d_node_forward, depthwise_conv2d_node_backward };
static const Kind kind_batchnorm = { "batchnorm", norm_forward, norm_backward };
static const Kind kind_instancenorm = { "instancenorm", norm_forward, norm_backward };
static const Kind kind_leaky_relu = { "leaky_relu", leaky_relu_node_forward, leaky_relu_node_backward };
static const Kind kind_relu = { "relu", leaky_relu_node_forward, leaky_relu_node_backward };
static const Kind kind_tanh = { "tanh", tanh_node_forward, tanh_node_backward };
static const Kind kind_sigmoid = { "sigmoid", sigmoid_node_forward, sigmoid_node_backward };
static const Kind kind_add = { "add", add_node_forward, add_node_backward };
static const Kind kind_concat = { "concat", concat_node_forward, concat_node_backward };
static const Kind kind_reflect_pad = { "reflect_pad", reflect_pad_node_forward, reflect_pad_node_backward };
static const Kind kind_upsample = { "upsample", upsample_node_forward, upsample_node_backward };
static const Kind kind_avgpool = { "avgpool", avgpool_node_forward, avgpool_node_backward };
static const Kind kind_maxpool = { "maxpool", maxpool_node_forward, maxpool_node_backward };
static const Kind kind_dropout = { "dropout", dropout_node_forward, dropout_node_backward };
static const Kind kind_moments = { "moments", moments_node_forward, moments_node_backward };
static const Kind kind_adain = { "adain", adain_node_forward, adain_node_backward };
static const Kind kind_gray = { "gray", gray_node_forward, gray_node_backward };

/* ---------------------------------------------------------------------------------------------------------- builders */

void net_begin(Net *net, const char *name, const Ops *ops, int n) {
    memset(net, 0, sizeof *net);
    net->name = name, net->ops = ops, net->n = n, net->training = NET_WEIGHTS;
}

/* a new node that reads a and b, with an output of (n,h,w,c) */
static int net_node(Net *net, const Kind *kind, int a, int b, int h, int w, int c) {
    if (net->nodes == NET_MAX_NODES) net_die(net, kind->name, "too many nodes: raise NET_MAX_NODES");
    if (a >= net->nodes || b >= net->nodes) net_die(net, kind->name, "reads a node that does not exist yet");
    if (h < 1 || w < 1 || c < 1) net_die(net, kind->name, "its output would be empty: the picture is too small for this network");
    net->node[net->nodes] = (Node){ .kind = kind, .a = a, .b = b, .n = net->n, .h = h, .w = w, .c = c,
                                    .weight = -1, .bias = -1, .running = -1, .saved = -1, .spectral = -1, .singular = -1 };
    return net->nodes++;
}

/* give node i `weights` weights of the shape (rank numbers) and `biases` biases, side by side in the parameter block */
static void net_parameters(Net *net, int i, int rank, const int shape[4], int biases) {
    Node *node = &net->node[i];
    node->rank = rank, node->weights = 1;
    for (int k = 0; k < rank; k++) node->shape[k] = shape[k], node->weights *= shape[k];
    node->weight = net->parameters, node->bias = node->weight + node->weights, node->biases = biases;
    net->parameters += node->weights + biases;
}

int net_input(Net *net, int h, int w, int c) { return net_node(net, &kind_input, -1, -1, h, w, c); }

int reshape(Net *net, int x, int h, int w, int c) {
    Node *in = &net->node[x];
    if ((long)in->h * in->w * in->c != (long)h * w * c) net_die(net, "reshape", "the number of elements changes");
    return net_node(net, &kind_reshape, x, -1, h, w, c);
}

int dense(Net *net, int x, int out) {
    Node *in = &net->node[x];
    int i = net_node(net, &kind_dense, x, -1, 1, 1, out);
    net_parameters(net, i, 2, (int[4]){ in->h * in->w * in->c, out }, out);
    return i;
}

static void net_note_scratch(Net *net, const Conv *d) {
    long need = net->ops->conv_scratch(d);
    if (need > net->scratch) net->scratch = need;
}

/* both kinds of convolution; in: how many channels one filter reads */
static int conv_node(Net *net, const Kind *kind, int x, int in, int out, int kernel, int stride, int pad) {
    Node *from = &net->node[x];
    Conv d = { from->n, from->h, from->w, from->c, 0, 0, out, kernel, stride, pad };
    if (from->h + 2 * pad < kernel || from->w + 2 * pad < kernel) net_die(net, kind->name, "the picture is smaller than the kernel");
    d.oh = (from->h + 2 * pad - kernel) / stride + 1, d.ow = (from->w + 2 * pad - kernel) / stride + 1;
    int i = net_node(net, kind, x, -1, d.oh, d.ow, out);
    net_parameters(net, i, 4, (int[4]){ kernel, kernel, in, out }, out);
    net->node[i].conv = d;
    return i;
}
int conv2d(Net *net, int x, int out, int kernel, int stride, int pad) {
    int i = conv_node(net, &kind_conv2d, x, net->node[x].c, out, kernel, stride, pad);
    net_note_scratch(net, &net->node[i].conv);
    return i;
}
int depthwise_conv2d(Net *net, int x, int kernel, int stride, int pad) {
    return conv_node(net, &kind_depthwise_conv2d, x, 1, net->node[x].c, kernel, stride, pad);
}

int conv2d_transpose(Net *net, int x, int out, int kernel, int stride, int pad) {
    Node *in = &net->node[x];
    Conv d = { in->n, in->h * stride, in->w * stride, out, in->h, in->w, in->c, kernel, stride, pad };
    if ((d.h + 2 * pad - kernel) / stride + 1 != in->h) net_die(net, "conv2d_transpose", "this padding does not give h * stride");
    int i = net_node(net, &kind_conv2d_transpose, x, -1, d.h, d.w, out);
    net_parameters(net, i, 4, (int[4]){ kernel, kernel, out, in->c }, out);
    net->node[i].conv = d;
    net_note_scratch(net, &d);
    return i;
}

static int norm_node(Net *net, const Kind *kind, int x, int groups) {
    Node *in = &net->node[x];
    int i = net_node(net, kind, x, -1, in->h, in->w, in->c);
    net_parameters(net, i, 1, (int[4]){ in->c }, in->c);
    net->node[i].saved = net->saves;
    net->saves += 2L * groups * in->c;
    return i;
}
int batchnorm(Net *net, int x) {
    int i = norm_node(net, &kind_batchnorm, x, 1);
    net->node[i].running = net->buffers;
    net->buffers += 2L * net->node[i].c;
    net->saves += 2L * net->node[i].c;
    return i;
}
int instancenorm(Net *net, int x) { return norm_node(net, &kind_instancenorm, x, net->n); }

/* a node with the shape of what it reads */
static int same_shape(Net *net, const Kind *kind, int a, int b) {
    Node *in = &net->node[a];
    return net_node(net, kind, a, b, in->h, in->w, in->c);
}
int leaky_relu(Net *net, int x, double slope) {
    int i = same_shape(net, slope == 0 ? &kind_relu : &kind_leaky_relu, x, -1);
    net->node[i].slope = (real)slope;
    return i;
}
int relu(Net *net, int x) { return leaky_relu(net, x, 0); }
int dropout(Net *net, int x, double rate) {
    int i = same_shape(net, &kind_dropout, x, -1);
    net->node[i].slope = (real)rate;
    return i;
}
void spectral(Net *net, int x) {
    Node *node = &net->node[x];
    int out = node->shape[node->rank - 1];
    if (node->kind != &kind_dense && node->kind != &kind_conv2d) net_die(net, "spectral", "expected a dense or conv2d node");
    node->spectral = net->saves, node->singular = net->buffers;
    net->saves += 2 * node->weights + out + 2, net->buffers += node->weights / out;
}
int tanh_(Net *net, int x) { return same_shape(net, &kind_tanh, x, -1); }
int sigmoid_(Net *net, int x) { return same_shape(net, &kind_sigmoid, x, -1); }

int add(Net *net, int a, int b) {
    Node *x = &net->node[a], *y = &net->node[b];
    if (x->h != y->h || x->w != y->w || x->c != y->c) net_die(net, "add", "the two shapes differ");
    return same_shape(net, &kind_add, a, b);
}
int concat(Net *net, int a, int b) {
    Node *x = &net->node[a], *y = &net->node[b];
    if (x->h != y->h || x->w != y->w) net_die(net, "concat", "the two pictures differ in height or width");
    return net_node(net, &kind_concat, a, b, x->h, x->w, x->c + y->c);
}
int reflect_pad(Net *net, int x, int pad) {
    Node *in = &net->node[x];
    if (pad >= in->h || pad >= in->w) net_die(net, "reflect_pad", "the picture is not larger than the padding");
    int i = net_node(net, &kind_reflect_pad, x, -1, in->h + 2 * pad, in->w + 2 * pad, in->c);
    net->node[i].conv.pad = pad;
    return i;
}
int upsample(Net *net, int x, int factor) {
    Node *in = &net->node[x];
    int i = net_node(net, &kind_upsample, x, -1, in->h * factor, in->w * factor, in->c);
    net->node[i].conv.pad = factor;
    return i;
}
int avgpool(Net *net, int x, int factor) {
    Node *in = &net->node[x];
    if (in->h % factor || in->w % factor) net_die(net, "avgpool", "height or width is not a multiple of the factor");
    int i = net_node(net, &kind_avgpool, x, -1, in->h / factor, in->w / factor, in->c);
    net->node[i].conv.pad = factor;
    return i;
}
int maxpool(Net *net, int x, int factor) {
    Node *in = &net->node[x];
    int i = net_node(net, &kind_maxpool, x, -1, in->h / factor, in->w / factor, in->c);
    net->node[i].conv.pad = factor;
    return i;
}
int moments(Net *net, int x) { return net_node(net, &kind_moments, x, -1, 1, 1, 2 * net->node[x].c); }
int adain(Net *net, int x, int style) {
    Node *in = &net->node[x], *s = &net->node[style];
    if (s->h != 1 || s->w != 1 || s->c != 2 * in->c) net_die(net, "adain", "the style is not a deviation and a mean for each channel");
    int i = net_node(net, &kind_adain, x, style, in->h, in->w, in->c);
    net->node[i].saved = net->saves;
    net->saves += 2L * net->n * in->c;
    return i;
}
int gray(Net *net, int x) { return net_node(net, &kind_gray, x, -1, net->node[x].h, net->node[x].w, 1); }

/* ------------------------------------------------------------------------------------------------------------ memory */

/* Where each activation lies in its block. Training keeps all of them, one after the other. Inference gives a node the first
 * gap left by activations that nobody will read again: two or three pictures' worth in place of the whole list.
 * offset: (nodes)   Returns the size of the block. */
static long net_layout(const Net *net, int training, long *offset) {
    int last[NET_MAX_NODES];                          /* the last node that reads i; outputs are kept to the end */
    long end = 0;
    for (int i = 0; i < net->nodes; i++) last[i] = net->nodes;
    for (int i = 0; i < net->nodes; i++) {
        if (net->node[i].a >= 0) last[net->node[i].a] = i;
        if (net->node[i].b >= 0) last[net->node[i].b] = i;
    }
    for (int i = net->nodes - 1; i >= 0; i--)         /* a reshaped node lives as long as its other name */
        if (net->node[i].kind == &kind_reshape && last[i] > last[net->node[i].a]) last[net->node[i].a] = last[i];
    for (int i = 0; i < net->nodes; i++) {
        const Node *node = &net->node[i];
        long need = (node_count(node) + 15) / 16 * 16, at = 0;
        if (node->kind == &kind_reshape) { offset[i] = offset[node->a]; continue; }
        if (training || node->kind == &kind_input) at = end;         /* the caller fills all inputs before the walk */
        for (int j = 0; j < i && !training; j++) {    /* move past every living neighbour until nothing overlaps */
            long size = node_count(&net->node[j]);
            if (last[j] >= i && at < offset[j] + size && offset[j] < at + need) {
                at = (offset[j] + size + 15) / 16 * 16;
                j = -1;
            }
        }
        offset[i] = at;
        if (at + need > end) end = at + need;
    }
    return end;
}

double net_bytes(const Net *net, int training) {
    long offset[NET_MAX_NODES], activations = net_layout(net, training, offset);
    double reals = (double)net->parameters * (training & NET_WEIGHTS ? 4 : 1) + net->buffers + net->saves + 1
                 + (double)activations * (1 + !!training + !!(training & NET_TANGENT));
    return reals * sizeof(real);
}
double net_scratch_bytes(const Net *net) { return (double)net->scratch * sizeof(real); }

int net_finish(Net *net, int training) {
    const Ops *ops = net->ops;
    long offset[NET_MAX_NODES];
    net->activations = net_layout(net, training, offset);
    net->p = ops->alloc(net->parameters), net->buffer = ops->alloc(net->buffers), net->save = ops->alloc(net->saves);
    net->y = ops->alloc(net->activations), net->number = ops->alloc(1);
    if (training & NET_WEIGHTS)
        net->g = ops->alloc(net->parameters), net->m = ops->alloc(net->parameters), net->v = ops->alloc(net->parameters);
    if (training) net->dy = ops->alloc(net->activations);
    if (training & NET_TANGENT) net->t = ops->alloc(net->activations);
    if (!net->p || !net->buffer || !net->save || !net->y || !net->number) return 0;
    if ((training && !net->dy) || (training & NET_TANGENT && !net->t) || (training & NET_WEIGHTS && (!net->g || !net->m || !net->v))) return 0;
    for (int i = 0; i < net->nodes; i++) {
        net->node[i].y = net->y + offset[i];
        net->node[i].dy = training ? net->dy + offset[i] : NULL;
        net->node[i].t = training & NET_TANGENT ? net->t + offset[i] : NULL;
    }
    return 1;
}

void net_free(Net *net) {
    real *block[] = { net->p, net->g, net->m, net->v, net->buffer, net->save, net->y, net->dy, net->t, net->number };
    for (int i = 0; i < 10; i++)
        if (block[i]) net->ops->release(block[i]);
    memset(net, 0, sizeof *net);
}

void net_initialize(Net *net, uint64_t seed, uint64_t stream, double gain) {
    for (int i = 0; i < net->nodes; i++) {
        Node *node = &net->node[i];
        if (!node->weights) continue;
        if (node->saved >= 0) {                                                    /* gamma and beta */
            net->ops->fill(WEIGHT, 1, node->weights);
        } else {
            double fan_in = node->weights / (node->kind == &kind_conv2d_transpose ? node->shape[2] : node->shape[node->rank - 1]);
            net->ops->random_normal(WEIGHT, node->weights, seed, stream + (uint64_t)i);
            net->ops->scale(WEIGHT, (real)(gain > 0 ? sqrt(gain / fan_in) : 0.02), node->weights);
        }
        net->ops->fill(BIAS, 0, node->biases);
        if (node->singular >= 0)
            net->ops->random_normal(net->buffer + node->singular, node->weights / node->shape[node->rank - 1], seed, stream + NET_MAX_NODES + (uint64_t)i);
        if (node->running >= 0) {
            net->ops->fill(net->buffer + node->running, 0, node->c);
            net->ops->fill(net->buffer + node->running + node->c, 1, node->c);
        }
    }
}

/* ------------------------------------------------------------------------------------------------------- the two walks */

void net_forward(Net *net, int training) {
    net->batch_statistics = training;
    for (int i = 0; i < net->nodes; i++) net->node[i].kind->forward(net, &net->node[i]);
}
void net_forward_part(Net *net, int from, int to) {
    net->batch_statistics = 0;
    for (int i = from; i < to; i++) net->node[i].kind->forward(net, &net->node[i]);
}
int net_receptive_field(const Net *net, int last, int h) {
    double reach[NET_MAX_NODES] = {0}, step[NET_MAX_NODES];          /* in pixels of the picture: how far, and of one of the node's */
    for (int i = 0; i <= last; i++) {
        const Node *node = &net->node[i];
        if (node->a < 0) { step[i] = (double)h / node->h; continue; }
        reach[i] = reach[node->a], step[i] = step[node->a];
        if (node->b >= 0 && node->kind != &kind_adain) reach[i] = fmax(reach[i], reach[node->b]);
        if (node->kind == &kind_conv2d || node->kind == &kind_depthwise_conv2d) reach[i] += step[i] * (node->conv.kernel / 2), step[i] *= node->conv.stride;
        if (node->kind == &kind_conv2d_transpose) step[i] /= node->conv.stride, reach[i] += step[i] * node->conv.kernel;
        if (node->kind == &kind_avgpool || node->kind == &kind_maxpool) reach[i] += step[i] * (node->conv.pad - 1), step[i] *= node->conv.pad;
        if (node->kind == &kind_upsample) step[i] /= node->conv.pad, reach[i] += step[i] * (node->conv.pad - 1);
    }
    return (int)ceil(reach[last]);
}
void net_zero_activations(Net *net) { net->ops->fill(net->dy, 0, net->activations); }
void net_backward(Net *net, int what) {
    net->what = what;
    for (int i = net->nodes - 1; i >= 0; i--) net->node[i].kind->backward(net, &net->node[i]);
}

int net_has_tangent(const Net *net) {
    const Kind *known[] = { &kind_input, &kind_reshape, &kind_dense, &kind_conv2d, &kind_leaky_relu, &kind_relu, &kind_concat, &kind_upsample };
    int good = 0;
    for (int i = 0; i < net->nodes; i++)
        for (int k = 0; k < 8; k++) good += net->node[i].kind == known[k];
    return good == net->nodes;
}
void net_tangent(Net *net) {
    const Ops *ops = net->ops;
    if (!net_has_tangent(net)) net_die(net, "net_tangent", "expected layers and relus only");
    for (int i = 0; i < net->nodes; i++) {
        Node *node = &net->node[i];
        if (node->kind == &kind_dense) {
            ops->dense_forward(node->t, A.t, USED_WEIGHT, NULL, node->n, A.h * A.w * A.c, node->c);
            dense_weight_gradient(net, node, A.t);
        } else if (node->kind == &kind_conv2d) {
            ops->conv2d_forward(node->t, A.t, USED_WEIGHT, NULL, &node->conv);
            conv2d_weight_gradient(net, node, A.t);
        } else if (node->kind == &kind_leaky_relu || node->kind == &kind_relu) {
            ops->fill(node->t, 0, node_count(node));
            ops->leaky_relu_backward(node->t, A.t, node->y, node->slope, node_count(node));
        } else if (node->kind == &kind_concat) ops->concat_forward(node->t, A.t, B.t, node_rows(node), A.c, B.c);
        else if (node->kind == &kind_upsample) ops->upsample_forward(node->t, A.t, A.n, A.h, A.w, A.c, node->conv.pad);
    }
}

/* ---------------------------------------------------------------------------------------------- the block of parameters */

void net_zero_gradients(Net *net) { net->ops->fill(net->g, 0, net->parameters); }

void net_gradient_square(Net *net, real *square) { net->ops->sum_squares(square, net->g, net->parameters); }
void net_clip_gradients(Net *net, const real *square, double limit) {
    if (limit > 0) net->ops->clip_norm(net->g, square, (real)limit, net->parameters);
}
void net_adam(Net *net, double lr, double beta1, double beta2) {
    net->ops->adam_step(net->p, net->m, net->v, net->g, net->parameters, (real)lr, (real)beta1, (real)beta2, (real)1e-8,
                        ++net->adam_steps);
}

int net_tensor(const Net *net, int i, NetTensor *tensor) {
    for (int k = 0; k < net->nodes; k++) {
        const Node *node = &net->node[k];
        int tensors = !node->weights ? 0 : node->running >= 0 ? 4 : node->singular >= 0 ? 3 : 2, norm = node->saved >= 0;
        if (i >= tensors) { i -= tensors; continue; }
        const char *name[4] = { norm ? "gamma" : "weight", norm ? "beta" : "bias", norm ? "running_mean" : "singular", "running_var" };
        long kept = node->singular >= 0 ? node->weights / node->shape[node->rank - 1] : node->c;      /* numbers of a tensor in the buffer */
        memset(tensor, 0, sizeof *tensor);
        snprintf(tensor->name, sizeof tensor->name, "%s.%d.%s.%s", net->name, k, node->kind->name, name[i]);
        tensor->rank = i ? 1 : node->rank;
        tensor->shape[0] = (int)(i == 1 ? node->biases : kept);
        if (i == 0) memcpy(tensor->shape, node->shape, sizeof tensor->shape);
        tensor->in_buffer = i >= 2;
        tensor->offset = i == 0 ? node->weight : i == 1 ? node->bias : i == 3 ? node->running + node->c : norm ? node->running : node->singular;
        tensor->count = i == 0 ? node->weights : i == 1 ? node->biases : kept;
        return 1;
    }
    return 0;
}

const char *net_find_not_finite(Net *net) {
    static char name[96];
    for (int i = 0; i < 4; i++) for (int k = 0; k < net->nodes; k++) {        /* parameters first: what they make cannot be better */
        Node *node = &net->node[k];
        real *block[4] = { node->weights ? net->p + node->weight : NULL, node->y, node->dy,
                           node->weights && net->g ? net->g + node->weight : NULL };
        long count[4] = { node->weights + node->biases, node_count(node), node_count(node), node->weights + node->biases };
        const char *what[4] = { "parameters", "output", "gradient", "parameter gradient" };
        real square = 0;
        if (!block[i]) continue;
        net->ops->sum_squares(net->number, block[i], count[i]);
        net->ops->download(&square, net->number, 1);
        if (isfinite(square)) continue;
        snprintf(name, sizeof name, "%s.%d.%s (%s)", net->name, k, node->kind->name, what[i]);
        return name;
    }
    return NULL;
}

double net_multiplications(const Net *net) {
    double sum = 0;
    for (int i = 0; i < net->nodes; i++) {
        const Node *node = &net->node[i];
        if (node->saved < 0) sum += (double)node->weights * (node->conv.kernel ? (double)node->conv.oh * node->conv.ow : 1);
    }
    return sum;
}

void net_print(const Net *net, void *file) {
    for (int i = 0; i < net->nodes; i++) {
        const Node *node = &net->node[i];
        char name[40];
        snprintf(name, sizeof name, "%s.%d.%s", net->name, i, node->kind->name);
        fprintf(file, "  %-24s %4d x %4d x %4d %10ld\n", name, node->h, node->w, node->c, node->weights + node->biases);
    }
    fprintf(file, "  %-24s %29ld parameters\n", net->name, net->parameters);
}
#undef A
#undef B
#undef WEIGHT
#undef USED_WEIGHT
#undef BIAS
#undef D_WEIGHT
#undef D_BIAS
#endif
