/* gan.h: recipes: a generator, a discriminator, their objectives, and one training step each.
 *
 *   Gan gan;
 *   gan_begin(&gan, recipe_find("dcgan"), &options, &ops_tiled);      describes both networks: sizes are known, nothing allocated
 *   gan_finish(&gan);                                                 allocates and draws the first weights
 *   for (...) { fill gan.x_real (and .content, .mask);  gan_step(&gan, &report); }
 *   gan_save(&gan, "checkpoint.safetensors", ...);
 *
 * Everything random is drawn from (options.seed, purpose, step): a resumed run draws what the uninterrupted run would have. */
#ifndef GAN_H
#define GAN_H
#include "core/featurenet.h"
#include "core/net.h"
#include "core/parallel.h"
#include "core/safetensors.h"

/* What a recipe can be told. batch: with several ranks (parallel.h), of this one. Ranges: batch >= 1, lr > 0, 0 <= beta < 1, weights >= 0. */
typedef struct GanOptions {
    int batch, size, channels;          /* pictures of a step; their height and width; 1 gray, 3 RGB */
    int classes;                        /* of recipes with labels */
    int steps;                          /* how long a run is by default */
    double lr, lr_d, beta1, beta2;      /* F19; lr_d: the discriminator's own rate, 0: lr (Heusel et al. 2017) */
    double content_weight, style_weight, tv_weight;      /* F9, F8, F10: of the recipe `style` */
    double clip;                        /* gradient norm limit, 0: none */
    int n_critic;                         /* updates of D for one of G; 0 or 1: one */
    double penalty_weight, weight_clip; /* F12; limit of D's weights (F11), 0: none */
    double smoothing, weight_decay;     /* one-sided label smoothing, 0 <= s < 1; L2: g += weight_decay p */
    double cycle_weight, identity_weight, kl_weight;     /* F15, F14 */
    double diversity_weight;            /* of mean |G(z) - G(z')|, which is to grow */
    int schedule;                       /* of the rates: CONSTANT, LINEAR, COSINE */
    int body;                           /* of the generators that repaint: RESIDUAL, INCEPTION, SEPARABLE */
    double ema;                     /* 0 < a < 1: pictures are made with a moving average of G's weights, a = a w + (1 - a) w now */
    int sync_batchnorm;                 /* 1: batch norm takes its statistics over the pictures of all ranks */
    uint64_t seed;
    int vgg; const StFile *weights;     /* recipe adain: what features_open said, and its file; 0 and NULL: random features */
} GanOptions;

enum { GAN_PARTS = 6, GAN_FEATURES = 18, GAN_NETS = 6, GAN_BUFFERS = 24 };

/* What a step did. Losses are those before its updates; d_real and d_fake are mean sigmoid(logits): D(x) and D(G(z)).
 * loss_g = sum of weight * part; the recipe names its parts. A recipe without a discriminator leaves D's numbers 0. */
typedef struct Report {
    double loss_d, loss_g, d_real, d_fake, norm_d, norm_g;
    double penalty;                      /* F12, without its weight */
    double batch_std;                      /* mean standard deviation over the batch of G's pixels, per pixel: 0 = all alike */
    double part[GAN_PARTS];
} Report;

typedef struct Gan Gan;

enum { CONSTANT, LINEAR, COSINE };
enum { RESIDUAL, INCEPTION, SEPARABLE, BODIES };
enum { AS_DATA = -1 };                                   /* Recipe.content: as many channels as the data set has */
enum { UNPAIRED = 1, DRAWINGS };                         /* Recipe.pairs: contents of another set; the edges of the pictures */
enum { ON_CLASS = 1, ON_CONTENT };                       /* Recipe.conditional: what D is given beside its picture */
enum { BCE, LEAST_SQUARES, WASSERSTEIN, HINGE };         /* adversarial losses */

/* What a recipe is fed with: gan->x_real, and where it repaints gan->content */
enum Feed {
    FEED_NOISE,                              /* pictures, to be drawn out of noise */
    FEED_CLASSES,                            /* the same with their classes, gan->given */
    FEED_PICTURES,                           /* pictures, to be encoded and drawn again */
    FEED_UNPAIRED,                           /* pictures of two sets: content is to become like x_real */
    FEED_DRAWINGS,                           /* pictures; content: their edges */
    FEED_GARMENTS,                           /* crops of styles; content: garments, with gan->mask */
    FEED_STYLES,                             /* crops of styles; content: pictures, and crops too */
    FEED_CROPS,                              /* crops of styles, gan->labels: of which */
    FEED_LABELS                              /* pictures and their classes, gan->labels */
};

typedef struct Recipe {
    const char *name, *summary, *source;
    GanOptions defaults;
    int feeds;                           /* enum Feed */
    const char *data;                    /* which pictures by default; NULL: Fashion-MNIST */
    const char *part[GAN_PARTS + 1];     /* names of the parts of loss_g, ended by NULL */
    int content;                         /* channels of the pictures that G repaints (gan->content), 0: G starts from noise alone */
    int style;                           /* 1: gan->x_real are crops of style pictures; 0: pictures of the data set */
    int labels;                          /* 1: each picture comes with the number of its class */
    int multiple;                        /* height and width are multiples of this */
    int objective;                       /* the adversarial loss */
    int spectral, rmsprop;               /* 1: spectral normalisation in D; RMSprop in the place of Adam */
    int conditional;                     /* ON_CLASS: G and D are given the class; ON_CONTENT: D is given what G was given */
    int pairs;                           /* UNPAIRED, DRAWINGS: where gan->content comes from; 0: from the data set, and images too */
    int body;                            /* 1: options.body chooses its generator's blocks */
    double gain;                         /* of the first weights, see net_initialize; 0: N(0, 0.02) */
    void (*describe)(Gan *gan);
    int (*start)(Gan *gan);              /* what gan_finish does besides drawing the first weights of G and D, or NULL; 0: failed */
    void (*step)(Gan *gan);
    void (*sample)(Gan *gan);            /* from G's noise and gan->content to its picture; NULL: a forward pass of G */
} Recipe;

enum { STYLE_MULTIPLE = 8 };             /* the style generator's height and width are multiples of this */

struct Gan {
    const Recipe *recipe;
    const Ops *ops;
    GanOptions options;
    Net g, d, e, f, d2, blur;            /* generator; discriminator; encoder; the way back and its discriminator; see the recipe.
                                            Without nodes: there is none */
    int g_latent[4], g_scale_shift[12], latents, scale_shifts, g_content, g_style, g_fused, g_picture;      /* nodes of G: inputs, the fused features, the output */
    int g_z;                             /* the node that G's norms take their strengths from, or 0 */
    int e_picture, e_code;               /* recipe vaegan: the encoder's input and output */
    int g_given, d_given;                /* where G and D are told the class, or 0 */
    int g_features;                      /* recipe classifier: the last hidden layer */
    int d_picture, d_logits, d_feature[GAN_FEATURES], features;   /* nodes of D */
    int blur_out, blur_in;               /* recipe style: what the content loss looks at: gray, then average pooling */
    Features seen;                       /* recipe adain: the layers of e, */
    int e_moments[GAN_FEATURES];         /* and the nodes with their means and deviations */
    double weight[GAN_PARTS];            /* of the parts of loss_g */
    long step;                           /* training steps done */
    real *x_real;                        /* this step's real pictures (batch,size,size,channels), or crops of the style */
    real *content, *mask;                /* pictures to repaint (batch,size,size,gan_content()) in [-1,1]; where the garment is, [0,1] */
    real *d_target;                        /* D's logits as they should be (LEAST_SQUARES) */
    real *t;                         /* F12: t */
    real *given;                         /* the class as `classes` numbers, one of them 1, (batch,classes); stylegan: ones, (batch) */
    long first;                          /* the number of this rank's first picture among those of all ranks */
    long draw;                           /* which of the run's draws of noise is under way: a step may take several */
    real *labels;                        /* the class of each of images, (batch) */
    real *soft_mask, *soft_content;      /* mask and content after average pooling */
    real *outside;                       /* recipe pattern: 1 where a content shows no garment, 0 on it, like content */
    real *ema;                       /* options.ema: of G's parameters. While pictures are made the two change places */
    real *gram, *target, *dgram, *mean;  /* F8: Gram matrices of the features: the picture's, the style's, a gradient, means */
    real *x_fake[2], *pool[2];             /* recipe cyclegan: what G and F made, and earlier pictures of theirs */
    real *numbers;                       /* what the step measures, for Report */
    real *lot;                           /* several ranks: random numbers, or pictures, of all of them */
    struct { real **at; long count; const char *name; } buffer[GAN_BUFFERS];        /* all of the above: who wants how much */
    int buffers;
};

/* The list of recipes, ended by an entry whose name is NULL; and a recipe by name, or NULL. */
extern const Recipe recipes[];
extern const char *const gan_bodies[BODIES];              /* names of RESIDUAL, INCEPTION, SEPARABLE */
const Recipe *recipe_find(const char *name);

int gan_begin(Gan *gan, const Recipe *recipe, const GanOptions *options, const Ops *ops);      /* 0: options.weights do not fit */
double gan_bytes(const Gan *gan);                        /* what gan_finish allocates, and the scratch of the convolutions */
int gan_finish(Gan *gan);                                /* 0, and error_text(): not enough memory, or weights that do not fit */
void gan_free(Gan *gan);
int gan_content(const Gan *gan);                         /* channels of gan->content */
int gan_n_critic(const Gan *gan);                          /* batches of real pictures that a step takes, one after the other in gan->x_real */
Net *gan_net(const Gan *gan, int i);                     /* network i of those that the recipe has; NULL past the last */

/* One training step on gan->x_real (content, mask): the discriminator's update, then the generator's. */
void gan_step(Gan *gan, Report *report);

/* Pictures of the generator as it is, batch norm by its running statistics: out (batch,size,size,channels) on the host.
 * `draw` selects the noise: the same draw gives the same pictures at any time. For style, gan->content is repainted. */
void gan_sample(Gan *gan, uint64_t draw, real *out);

/* More pictures (batch,size,size,channels) from single recipes. cyclegan: what F makes of gan->images. vaegan: the codes (batch,2*100) of
 * gan->x_real, means before logarithms of variances, and pictures of z (batch,100). stylegan: the coarsest scale in the style of one z
 * (batch,64), the finer ones in that of another. */
void gan_sample_back(Gan *gan, real *out);
void gan_encode(Gan *gan, real *code);
void gan_decode(Gan *gan, const real *z, real *out);
void gan_mix(Gan *gan, const real *coarse, const real *fine, real *out);

/* The style generator alone, for one picture of any height and width (multiples of STYLE_MULTIPLE), without training memory. */
void style_generator(Net *g, const Ops *ops, int n, int h, int w, int channels, Gan *nodes);

/* One direction of cyclegan, for pictures of any even height and width; z > 0: pattern's generator, which reads as many numbers. Both, and
 * the style generator, are built with nodes->options.body. */
void translator(Net *g, const char *name, const Ops *ops, int n, int h, int w, int channels, int z, Gan *nodes);
enum { PATTERN_Z = 8 };

/* The pieces of adain, for pictures of any height and width: first E for n pictures (h,w), then G for what that E gives, in gan->e and
 * gan->g; gan->ops and gan->options (seed, vgg, weights) say which features. 0: options.weights do not fit, error_text(). */
int adain_encoder(Gan *gan, int n, int h, int w);
int adain_encoder_weights(Gan *gan);                     /* after net_finish(&gan->e, ..) */
void adain_generator(Gan *gan);
int adain_layer(const Gan *gan);                         /* which of gan->seen's layers G is given */

/* Checkpoint: every tensor of G and D, Adam's moments ("g.adam_m", "g.adam_v"), steps, and `meta` as given, in one
 * safetensors file, written whole or not at all. Errors: 0, and one line in error_text(). */
int gan_save(Gan *gan, const char *path, const StMeta *meta, int metas);
uint64_t gan_hash(const Gan *gan);                       /* of all that a run carries from step to step: the same bits, the same hash */
int gan_load(Gan *gan, const char *path);                /* shapes must be the recipe's */

/* st_open, and is it of a format that this program knows? GAN_FORMAT stands in the metadata as "format" and counts up whenever checkpoints
 * change so that older programs would read them wrongly. Those from before it was written are of format 1. */
enum { GAN_FORMAT = 1 };
int gan_open(StFile *file, const char *path);
void gan_begin_anew(Gan *gan);                           /* keeps the weights, forgets moments and steps */
int net_load(Net *net, const StFile *file, const char *path, const char *recipe);     /* one network's parameters */

/* purposes: the upper half of a stream number of the counter-based generator; the lower half is the step or node */
enum { STREAM_G = 1, STREAM_D, STREAM_NOISE, STREAM_SAMPLE, STREAM_DATA, STREAM_AUGMENT, STREAM_CROP, STREAM_CONTENT, STREAM_PENALTY, STREAM_POOL };
#define STREAM(purpose, index) ((uint64_t)(purpose) << 40 | (uint64_t)(index))
#endif
