/* featurenet.h: networks that look at pictures: style and content are measured in their outputs.
 *
 *   Net net;  Features f;
 *   net_begin(&net, "vgg", ops, 1);
 *   must(features_vgg(&f, &net, 16, "relu5_1", h, w, FEATURES_MAX, &file));   describes the network
 *   net_finish(&net, NET_INPUT);  features_load(&f, &net, &file);             memory, weights
 *   ops->upload(net.node[f.picture].y, picture, 3L * h * w);  net_forward(&net, 0);
 *   net.node[features_node(&f, "relu4_2")].y  ...
 *
 * VGG (Simonyan, Zisserman 2014) has PyTorch's geometry, 3x3 convolutions padded by zeros after the
 * picture has been normalised; its weights come from a safetensors file with torchvision's names
 * (timm's are the same): features.0.weight, features.0.bias, ... The file is not part of this
 * project. features_random needs none: random filters see textures too, though coarser
 * (Ustyuzhaninov, Brendel, Gatys, Bethge 2016). (The C library has a features.h.) */
#ifndef FEATURENET_H
#define FEATURENET_H
#include "core/error.h"
#include "core/files.h"
#include "core/net.h"
#include "core/safetensors.h"

enum { FEATURES_MAX, FEATURES_AVERAGE };     /* pooling: VGG's own; smoother (Gatys et al. 2015) */
enum { FEATURES_LAYERS = 18 };

typedef struct Features {
    int picture;                        /* the input node: (n,h,w,3) */
    int normalize;                      /* VGG: the node that subtracts ImageNet's mean; else -1 */
    int luminance;                      /* features_random: the node of that name; else -1 */
    int layers;                         /* relu1_1, ...: node, its convolution, N of features.N */
    struct { char name[32]; int node, conv, torch; } layer[FEATURES_LAYERS];
} Features;

/* VGG16 or VGG19 (depth) up to the layer `deepest` ("relu1_1" .. "relu5_3", VGG19: "relu5_4") for
 * pictures in [-1,1] of h x w, batch net->n, in a network that net_begin has begun. The file's
 * tensors, which are all checked, say how many channels; file NULL: 64, 128, 256, 512, 512. Average
 * pooling takes sides that are multiples of features_multiple(deepest). 0, and error_text():
 * unknown layer, missing tensor, wrong shape, picture too small. */
int features_vgg(Features *f, Net *net, int depth, const char *deepest, int h, int w, int pooling,
                 const StFile *file);
int features_multiple(const char *deepest);             /* relu1_x: 1, relu2_x: 2, relu3_x: 4, .. */

/* Opens a file of weights. 16 or 19: of that VGG; 0: of features_random, by ./train --recipe
 * features; -1, and error_text(): not readable, or neither. */
int features_open(StFile *file, const char *path);

/* Uploads weights into the finished network: VGG's, OIHW -> HWIO, or those of features_random in
 * place of what features_draw drew. 0, and error_text(). */
int features_load(const Features *f, Net *net, const StFile *file);

/* Three blocks of two 3x3 convolutions, 32, 64, 64 channels, mirrored edges, average pooling
 * between: "relu1_1" .. "relu3_2"; and "luminance": light and shade, averaged over 3x3 pixels. h
 * and w: multiples of 4 from 16 up. */
int features_random(Features *f, Net *net, int h, int w);

/* Draws the filters, N(0, 2 / fan_in) (He et al. 2015). gray: the luminance of each channel. */
void features_draw(const Features *f, Net *net, uint64_t seed, const double gray[3]);

int features_node(const Features *f, const char *name);     /* the node of a layer, or -1 */
#endif

#if defined(FEATURENET_IMPLEMENTATION) && !defined(FEATURENET_IMPLEMENTED)
#define FEATURENET_IMPLEMENTED
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int features_node(const Features *f, const char *name) {
    for (int i = 0; i < f->layers; i++)
        if (!strcmp(f->layer[i].name, name)) return f->layer[i].node;
    return strcmp(name, "luminance") ? -1 : f->luminance;
}

/* the next layer, called reluBLOCK_NUMBER: a relu of this convolution. Returns its node. */
static int features_add(Features *f, Net *net, int block, int number, int conv, int torch) {
    int l = f->layers++;
    snprintf(f->layer[l].name, sizeof f->layer[l].name, "relu%d_%d", block, number);
    f->layer[l].conv = conv, f->layer[l].torch = torch;
    return f->layer[l].node = relu(net, conv);
}

/* the convolutions of a block of VGG */
static int features_convs(int block, int depth) { return block <= 2 ? 2 : depth == 19 ? 4 : 3; }

/* "relu4_2" -> block 4, 2; 0 when the network has no such layer */
static int features_parse(const char *name, int depth, int *block, int *number) {
    int end = 0;
    if (sscanf(name, "relu%1d_%1d%n", block, number, &end) != 2 || name[end]) return 0;
    return *block >= 1 && *block <= 5 && *number >= 1 && *number <= features_convs(*block, depth);
}

int features_multiple(const char *deepest) {
    int block, number;
    return features_parse(deepest, 19, &block, &number) ? 1 << (block - 1) : 1;
}

/* The weight or bias of a 3x3 convolution: of VGG, OIHW, out < 0: any; own: of the recipe features,
 * which saves it as that of its node `number`, HWIO */
static const StTensor *features_tensor(const StFile *file, int own, int number, const char *part,
                                       long out, long in) {
    char name[40];
    snprintf(name, sizeof name, own ? "g.%d.conv2d.%s" : "features.%d.%s", number, part);
    const StTensor *t = st_find(file, name);
    int rank = !strcmp(part, "bias") ? 1 : 4, last = own ? rank - 1 : 0;
    int good = t && t->rank == rank;
    for (int k = 0; good && k < rank; k++) {
        long need = k == last ? out : k == (own ? 2 : 1) ? in : 3;
        good = need < 0 ? t->shape[k] >= 1 && t->shape[k] <= 4096 : t->shape[k] == need;
    }
    if (good) return t;
    return fail("tensor '%s' is not there, or of another shape than a 3x3 convolution of %ld "
                "channels has: expected VGG16 or VGG19 with torchvision's names, or a run of "
                "./train --recipe features of this version", name, in), NULL;
}

int features_vgg(Features *f, Net *net, int depth, const char *deepest, int h, int w, int pooling,
                 const StFile *file) {
    static const int width[5] = { 64, 128, 256, 512, 512 };
    int last_block, last, torch = 0, channels = 3;
    if (depth != 16 && depth != 19) return fail("VGG%d: expected 16 or 19", depth);
    if (!features_parse(deepest, depth, &last_block, &last))
        return fail("layer '%.40s': expected relu1_1, relu1_2, relu2_1 ... relu5_%d", deepest,
                    features_convs(5, depth));
    int multiple = features_multiple(deepest);
    if (h < multiple || w < multiple)
        return fail("a picture of %d x %d is too small for %s: expected %d x %d", w, h, deepest,
                    multiple, multiple);
    if (pooling == FEATURES_AVERAGE && (h % multiple || w % multiple))
        return fail("a picture of %d x %d: average pooling before %s needs multiples of %d", w, h,
                    deepest, multiple);
    memset(f, 0, sizeof *f);
    f->luminance = -1;
    int x = f->picture = net_input(net, h, w, 3);
    x = f->normalize = conv2d(net, x, 3, 1, 1, 0);     /* ((x + 1)/2 - mean) / deviation */
    for (int block = 1; block <= last_block; block++) {
        int convs = block == last_block ? last : features_convs(block, depth);
        for (int i = 1; i <= convs; i++, torch += 2) {
            int in = channels;
            const StTensor *t = file ? features_tensor(file, 0, torch, "weight", -1, in) : NULL;
            channels = t ? t->shape[0] : width[block - 1];
            if (file && (!t || !features_tensor(file, 0, torch, "bias", channels, in))) return 0;
            x = features_add(f, net, block, i, conv2d(net, x, channels, 3, 1, 1), torch);
        }
        if (block == last_block) break;
        x = (pooling == FEATURES_AVERAGE ? avgpool : maxpool)(net, x, 2), torch++;
    }
    return 1;
}

/* VGG16's third block ends with features.14, VGG19's with features.16 */
int features_open(StFile *file, const char *path) {
    unsigned char b[2];
    const char *wrong = "no tensor 'features.0.weight': expected VGG16 or VGG19 with torchvision's "
                        "names, or a run of ./train --recipe features";
    if (file_head(b, 2, path) == 2 && (!memcmp(b, "PK", 2) || (b[0] == 0x80 && b[1] <= 5)))
        return fail("%s: these are weights as PyTorch saves them (.pth): expected safetensors, "
                    "which python3 validation/vgg_from_torch.py FILE vgg.safetensors makes of them",
                    path) - 1;
    if (!st_open(file, path)) return -1;
    const char *recipe = st_meta(file, "recipe");
    if (recipe && !strcmp(recipe, "features")) return 0;
    if (st_find(file, "module.features.0.weight"))
        wrong = "its tensors are called module.features.0.weight .., as DataParallel saves them: "
                "expected them without 'module.'";
    else if (st_find(file, "features.1.running_mean"))
        wrong = "this is a VGG with batch normalization (vgg_bn): expected VGG16 or VGG19 without";
    else if (st_find(file, "features.0.weight"))
        return st_find(file, "features.16.weight") ? 19 : 16;
    st_close(file);
    return fail("%s: %s", path, wrong) - 1;
}

/* The weight and bias of a convolution, of the right shapes. oihw: w[u,v,c,o] = W[o,c,u,v] */
static int features_fill(Net *net, const Node *conv, const StTensor *weight, const StTensor *bias,
                         int oihw) {
    long in = conv->shape[2], out = conv->c, n = conv->weights;
    double *read = new_doubles(n + out);
    real *w = room_for(n + out, sizeof *w);
    int good = st_read_f64(weight, read, n) && st_read_f64(bias, read + n, out);
    for (long i = 0; good && i < n + out; i++) {
        long place = oihw && i < n ? (i % out * in + i / out % in) * 9 + i / out / in : i;
        w[i] = (real)read[place];
        if (!isfinite(w[i]))
            good = fail("tensor '%s' has a weight that is not finite: the file of features is "
                        "damaged, or its training went wrong", i < n ? weight->name : bias->name);
    }
    if (good) net->ops->upload(net->p + conv->weight, w, n + out);
    free(read), free(w);
    return good;
}

int features_load(const Features *f, Net *net, const StFile *file) {
    static const double mean[3] = { 0.485, 0.456, 0.406 };     /* ImageNet's, of [0,1] */
    static const double deviation[3] = { 0.229, 0.224, 0.225 };
    real affine[12] = {0};                                      /* weights (3,3), then biases (3) */
    int vgg = f->normalize >= 0;
    for (int c = 0; c < 3; c++) {
        affine[4 * c] = (real)(1 / (2 * deviation[c]));
        affine[9 + c] = (real)((0.5 - mean[c]) / deviation[c]);
    }
    if (vgg) net->ops->upload(net->p + net->node[f->normalize].weight, affine, 12);
    for (int l = 0; l < f->layers; l++) {
        int i = f->layer[l].conv, number = vgg ? f->layer[l].torch : i;
        const Node *conv = &net->node[i];
        long out = conv->c, in = conv->shape[2];
        const StTensor *w = features_tensor(file, !vgg, number, "weight", out, in);
        const StTensor *b = w ? features_tensor(file, !vgg, number, "bias", out, in) : NULL;
        if (!b || !features_fill(net, conv, w, b, vgg)) return 0;
    }
    return 1;
}

int features_random(Features *f, Net *net, int h, int w) {
    static const int width[3] = { 32, 64, 64 };
    if (h < 16 || w < 16 || h % 4 || w % 4)
        return fail("a picture of %d x %d: expected multiples of 4 from 16 up", w, h);
    memset(f, 0, sizeof *f);
    f->normalize = -1;
    int x = f->picture = net_input(net, h, w, 3);
    f->luminance = conv2d(net, x, 1, 3, 1, 1);
    for (int block = 1; block <= 3; block++)
        for (int i = 1; i <= 2; i++) {
            if (block > 1 && i == 1) x = avgpool(net, x, 2);
            int conv = conv2d(net, reflect_pad(net, x, 1), width[block - 1], 3, 1, 0);
            x = features_add(f, net, block, i, conv, -1);
        }
    return 1;
}

void features_draw(const Features *f, Net *net, uint64_t seed, const double gray[3]) {
    real light[28] = {0};
    net_initialize(net, seed, 0, 2);
    for (int i = 0; i < 27; i++) light[i] = (real)(gray[i % 3] / 9);
    net->ops->upload(net->p + net->node[f->luminance].weight, light, 28);
}
#endif
