/* featurenet.h: networks that look at pictures. What they compute on the way is what style and
 * content are measured in.
 *
 *   Net net;  Features f;
 *   net_begin(&net, "vgg", ops, 1);
 *   if (!features_vgg(&f, &net, 16, "relu5_1", h, w, FEATURES_MAX, &file)) puts(error_text());      describes the network
 *   net_finish(&net, NET_INPUT);  features_load(&f, &net, &file);                                       memory, weights
 *   ops->upload(net.node[f.picture].y, picture, 3L * h * w);  net_forward(&net, 0);
 *   net.node[features_node(&f, "relu4_2")].y  ...
 *
 * VGG (Simonyan, Zisserman 2014) is described with PyTorch's geometry, 3x3 convolutions padded by
 * zeros after the picture has been normalised, and read from a safetensors file with torchvision's
 * names: features.0.weight, features.0.bias, ... (timm's are the same). Its weights are not part of
 * this project. features_random needs no file: random filters see textures too, though coarser
 * (Ustyuzhaninov, Brendel, Gatys, Bethge 2016). One .c file says #define FEATURENET_IMPLEMENTATION;
 * it needs net.h and safetensors.h. (The C library has a features.h of its own: hence the name.) */
#ifndef FEATURENET_H
#define FEATURENET_H
#include "core/error.h"
#include "core/net.h"
#include "core/safetensors.h"

enum { FEATURES_MAX, FEATURES_AVERAGE };                /* pooling: as VGG was trained, or as Gatys et al. found smoother */
enum { FEATURES_LAYERS = 18 };

typedef struct Features {
    int picture;                                        /* the input node: (n,h,w,3) */
    int normalize;                                      /* VGG: the node that subtracts ImageNet's mean; else -1 */
    int luminance;                                      /* features_random: the node of that name; else -1 */
    int layers;
    struct { char name[12]; int node, conv, torch; } layer[FEATURES_LAYERS];      /* relu1_1 ..; its convolution, and that one's N */
} Features;

/* VGG16 or VGG19 (depth) up to and including the layer `deepest` ("relu1_1" .. "relu5_3", VGG19:
 * "relu5_4") for pictures in [-1,1] of h x w, batch net->n, in a network that net_begin has begun.
 * Channel counts are those of the file's tensors, which are all checked; file NULL: 64, 128, 256,
 * 512, 512. Average pooling takes sides that are multiples of features_multiple(deepest). 0, and a
 * line in error_text(): unknown layer, missing tensor, wrong shape, picture too small. */
int features_vgg(Features *f, Net *net, int depth, const char *deepest, int h, int w, int pooling, const StFile *file);
int features_multiple(const char *deepest);             /* relu1_x: 1, relu2_x: 2, relu3_x: 4, .. */

/* Opens a file of weights and says what they are for: 16 or 19, a VGG; 0, features_random, as
 * ./train --recipe features has taught them. -1, and error_text(): not readable, or neither. */
int features_open(StFile *file, const char *path);

/* Uploads weights into the finished network: VGG's, OIHW -> HWIO, or those of features_random, over
 * what features_draw has drawn; F32, F16, BF16 or F64. 0, and error_text(). */
int features_load(const Features *f, Net *net, const StFile *file);

/* Three blocks of two 3x3 convolutions, 32, 64, 64 channels, mirrored edges, average pooling
 * between: "relu1_1" .. "relu3_2"; and "luminance": light and shade, averaged over 3x3 pixels. h
 * and w: multiples of 4 from 16 up. */
int features_random(Features *f, Net *net, int h, int w);

/* Draws the filters of the finished network from the seed: N(0, 2 / fan_in) (He et al. 2015). gray:
 * the luminance of each channel. */
void features_draw(const Features *f, Net *net, uint64_t seed, const double gray[3]);

/* The node of a layer by its name, or -1. */
int features_node(const Features *f, const char *name);
#endif

#if defined(FEATURENET_IMPLEMENTATION) && !defined(FEATURENET_IMPLEMENTED)
#define FEATURENET_IMPLEMENTED
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int features_node(const Features *f, const char *name) {
    for (int i = 0; i < f->layers; i++)
        if (!strcmp(f->layer[i].name, name)) return f->layer[i].node;
    return strcmp(name, "luminance") ? -1 : f->luminance;
}

/* the next layer, called reluBLOCK_NUMBER */
static void features_add(Features *f, int block, int number, int node, int conv, int torch) {
    char *name = f->layer[f->layers].name;
    strcpy(name, "relu0_0");
    name[4] += (char)block, name[6] += (char)number;
    f->layer[f->layers].node = node, f->layer[f->layers].conv = conv, f->layer[f->layers++].torch = torch;
}

/* "relu4_2" -> block 4, 2; 0 when the network has no such layer */
static int features_parse(const char *name, int depth, int *block, int *number) {
    int end = 0;
    if (sscanf(name, "relu%1d_%1d%n", block, number, &end) != 2 || name[end]) return 0;
    return *block >= 1 && *block <= 5 && *number >= 1 && *number <= (*block <= 2 ? 2 : depth == 19 ? 4 : 3);
}

int features_multiple(const char *deepest) {
    int block, number;
    return features_parse(deepest, 19, &block, &number) ? 1 << (block - 1) : 1;
}

/* the tensor features.N.weight, (out,in,3,3), or features.N.bias, (out); out < 0: whatever it is.
 * NULL, and a line */
static const StTensor *features_tensor(const StFile *file, int number, const char *part, long out, long in) {
    char name[40];
    snprintf(name, sizeof name, "features.%d.%s", number, part);
    const StTensor *t = st_find(file, name);
    int rank = in ? 4 : 1;
    if (!t) fail("the file has no tensor '%s': expected torchvision's or timm's VGG16 or VGG19", name);
    else if (t->rank != rank || (out >= 0 ? t->shape[0] != out : t->shape[0] < 1 || t->shape[0] > 4096) ||
             (in && (t->shape[1] != in || t->shape[2] != 3 || t->shape[3] != 3)))
        fail("tensor '%s' is %ldx%ldx%ldx%ld of rank %d, expected %s%ld%s: is this the right depth of VGG?", name, t->shape[0],
                      t->rank > 1 ? t->shape[1] : 1, t->rank > 2 ? t->shape[2] : 1, t->rank > 3 ? t->shape[3] : 1, t->rank,
                      in ? "(out, " : "(", in ? in : out, in ? ", 3, 3)" : ")");
    else return t;
    return NULL;
}

int features_vgg(Features *f, Net *net, int depth, const char *deepest, int h, int w, int pooling, const StFile *file) {
    static const int width[5] = { 64, 128, 256, 512, 512 };
    int last_block, last, torch = 0, channels = 3;
    if (depth != 16 && depth != 19) return fail("VGG%d: expected 16 or 19", depth);
    if (!features_parse(deepest, depth, &last_block, &last))
        return fail("layer '%.40s': expected relu1_1, relu1_2, relu2_1 ... relu5_%d", deepest, depth == 19 ? 4 : 3);
    int multiple = features_multiple(deepest);
    if (h < multiple || w < multiple) return fail("a picture of %d x %d is too small for %s: expected %d x %d", w, h, deepest, multiple, multiple);
    if (pooling == FEATURES_AVERAGE && (h % multiple || w % multiple))
        return fail("a picture of %d x %d: average pooling before %s needs multiples of %d", w, h, deepest, multiple);
    memset(f, 0, sizeof *f);
    f->luminance = -1;
    int x = f->picture = net_input(net, h, w, 3);
    x = f->normalize = conv2d(net, x, 3, 1, 1, 0);      /* (x + 1)/2 to [0,1], then minus mean, over standard deviation */
    for (int block = 1; block <= last_block; block++) {
        int convs = block == last_block ? last : block <= 2 ? 2 : depth == 19 ? 4 : 3;
        for (int i = 1; i <= convs; i++, torch += 2) {
            const StTensor *t = file ? features_tensor(file, torch, "weight", -1, channels) : NULL;
            if (file && (!t || !features_tensor(file, torch, "bias", t->shape[0], 0))) return 0;
            channels = t ? (int)t->shape[0] : width[block - 1];
            int conv = conv2d(net, x, channels, 3, 1, 1);
            x = relu(net, conv);
            features_add(f, block, i, x, conv, torch);
        }
        if (block < last_block) x = pooling == FEATURES_AVERAGE ? avgpool(net, x, 2) : maxpool(net, x, 2), torch++;
    }
    return 1;
}

/* a convolution of our own: its name in a checkpoint of ./train --recipe features */
static const StTensor *features_own(const StFile *file, int node, const char *part) {
    char name[40];
    snprintf(name, sizeof name, "g.%d.conv2d.%s", node, part);
    return st_find(file, name);
}

/* VGG16's third block ends with features.14, VGG19's with features.16 */
int features_open(StFile *file, const char *path) {
    if (!st_open(file, path)) return -1;
    const char *recipe = st_meta(file, "recipe");
    if (recipe && !strcmp(recipe, "features")) return 0;
    if (st_find(file, "features.0.weight")) return st_find(file, "features.16.weight") ? 19 : 16;
    st_close(file);
    return fail("%s: no tensor 'features.0.weight': expected VGG16 or VGG19 with torchvision's names, or a run of "
                         "./train --recipe features", path), -1;
}

/* upload `n` numbers given as double */
static int features_upload(Net *net, real *to, const double *from, long n) {
    real *host = malloc(sizeof(real) * (size_t)n);
    for (long i = 0; host && i < n; i++) host[i] = (real)from[i];
    if (host) net->ops->upload(to, host, n);
    free(host);
    return host ? 1 : fail("not enough memory for %ld weights", n);
}

/* the six convolutions of features_random, weight and bias as they lie in the parameter block */
static int features_load_own(const Features *f, Net *net, const StFile *file) {
    for (int l = 0; l < f->layers; l++) {
        const Node *conv = &net->node[f->layer[l].conv];
        const StTensor *w = features_own(file, f->layer[l].conv, "weight"), *b = features_own(file, f->layer[l].conv, "bias");
        int same = w && b && w->rank == 4 && b->rank == 1 && b->shape[0] == conv->c;
        for (int k = 0; same && k < 4; k++) same = w->shape[k] == conv->shape[k];
        if (!same) return fail("%s is not of shape 3x3x%dx%d: expected a run of ./train --recipe features of this version",
                                        f->layer[l].name, conv->shape[2], conv->shape[3]);
        double *host = malloc(sizeof(double) * (size_t)(conv->weights + conv->c));
        int good = host && st_read_f64(w, host, conv->weights) && st_read_f64(b, host + conv->weights, conv->c);
        if (!good) fail("%s", host ? error_text() : "not enough memory for the weights");
        good = good && features_upload(net, net->p + conv->weight, host, conv->weights + conv->c);
        free(host);
        if (!good) return 0;
    }
    return 1;
}

int features_load(const Features *f, Net *net, const StFile *file) {
    if (f->normalize < 0) return features_load_own(f, net, file);
    static const double mean[3] = { 0.485, 0.456, 0.406 }, deviation[3] = { 0.229, 0.224, 0.225 };     /* ImageNet's, in [0,1] */
    double affine[12] = {0};
    for (int c = 0; c < 3; c++) affine[4 * c] = 1 / (2 * deviation[c]), affine[9 + c] = (0.5 - mean[c]) / deviation[c];
    if (!features_upload(net, net->p + net->node[f->normalize].weight, affine, 12)) return 0;      /* weights (3,3), then 3 biases */
    for (int l = 0; l < f->layers; l++) {
        const Node *conv = &net->node[f->layer[l].conv];
        long in = conv->conv.c, out = conv->c, n = 9 * in * out;
        const StTensor *weight = features_tensor(file, f->layer[l].torch, "weight", out, in);
        const StTensor *bias = weight ? features_tensor(file, f->layer[l].torch, "bias", out, 0) : NULL;
        if (!bias) return 0;
        double *oihw = malloc(sizeof(double) * (size_t)(2 * n + out)), *hwio = oihw + n;
        int good = oihw && st_read_f64(weight, oihw, n) && st_read_f64(bias, hwio + n, out);
        if (!good) fail("%s", oihw ? error_text() : "not enough memory for the weights");
        for (long i = 0; good && i < n; i++)             /* w[u,v,c,o] = W[o,c,u,v] */
            hwio[i] = oihw[((i % out) * in + i / out % in) * 9 + i / out / in];
        good = good && features_upload(net, net->p + conv->weight, hwio, n + out);
        free(oihw);
        if (!good) return 0;
    }
    return 1;
}

int features_random(Features *f, Net *net, int h, int w) {
    static const int width[3] = { 32, 64, 64 };
    if (h < 16 || w < 16 || h % 4 || w % 4) return fail("a picture of %d x %d: expected multiples of 4 from 16 up", w, h);
    memset(f, 0, sizeof *f);
    f->normalize = -1;
    int x = f->picture = net_input(net, h, w, 3);
    f->luminance = conv2d(net, x, 1, 3, 1, 1);
    for (int block = 1; block <= 3; block++)
        for (int i = 1; i <= 2; i++) {
            if (block > 1 && i == 1) x = avgpool(net, x, 2);
            int conv = conv2d(net, reflect_pad(net, x, 1), width[block - 1], 3, 1, 0);
            x = relu(net, conv);
            features_add(f, block, i, x, conv, -1);
        }
    return 1;
}

void features_draw(const Features *f, Net *net, uint64_t seed, const double gray[3]) {
    double light[28] = {0};
    net_initialize(net, seed, 0, 2);
    for (int i = 0; i < 27; i++) light[i] = gray[i % 3] / 9;
    features_upload(net, net->p + net->node[f->luminance].weight, light, 28);
}
#endif
