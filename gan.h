/* gan.h: recipes: a generator, a discriminator, their objectives, and one training step each.
 *
 *   Gan gan;
 *   gan_begin(&gan, recipe_find("dcgan"), &options, &ops_tiled);     describes the networks
 *   gan_finish(&gan);                                allocates and draws the first weights
 *   for (...) { ops->upload to gan.x_real (.content, .given, ..);  gan_step(&gan, &report); }
 *   gan_save(&gan, "checkpoint.safetensors", ...);
 *
 * Everything random is drawn from (options.seed, purpose, step): a resumed run draws what the
 * uninterrupted run would have drawn. */
#ifndef GAN_H
#define GAN_H
#include "core/featurenet.h"
#include "core/net.h"
#include "core/parallel.h"
#include "core/safetensors.h"

/* What you can ask of a recipe. Ranges: batch >= 1, lr > 0, 0 <= beta < 1, weights >= 0. */
typedef struct GanOptions {
    int batch, size, channels;          /* pictures of this rank; their sides; 1 gray, 3 RGB */
    int classes;                        /* of recipes with labels */
    int steps;                          /* how long a run is by default */
    double lr, lr_d, beta1, beta2;      /* F19; lr_d: D's own rate, 0: lr (Heusel et al. 2017) */
    double content_weight, style_weight, tv_weight;      /* F9, F8, F10; others: see --help */
    double clip;                        /* gradient norm limit, 0: none */
    int n_critic;                       /* updates of D for one of G; 0 or 1: one */
    double penalty_weight, weight_clip; /* F12; limit of D's weights (F11), 0: none */
    double smoothing, weight_decay;     /* one-sided label smoothing, in [0,1); L2: g += decay p */
    double cycle_weight, identity_weight, kl_weight;     /* F15, F14 */
    double diversity_weight;            /* of mean |G(z) - G(z')|, which is to grow */
    int schedule;                       /* of the rates: CONSTANT, LINEAR, COSINE */
    int tail;                           /* channels before dcgan's last layer; 0: no such layer */
    int body;                           /* of G's blocks: RESIDUAL, INCEPTION, SEPARABLE */
    double ema;                         /* F26: a of mean <- a mean + (1 - a) w, of G; 0: none */
    int sync_batchnorm;                 /* 1: batch norm's statistics are those of all ranks */
    uint64_t seed;
    int vgg; const StFile *weights;     /* adain: see features_open; 0, NULL: random features */
    const double *palette;              /* cloth: means and root (3,3) of its colours, then its */
                                        /* waves (2,cloth_waves()), radians a pixel; or NULL */
} GanOptions;

enum { GAN_PARTS = 6, GAN_FEATURES = 18, GAN_NETS = 6, GAN_BUFFERS = 24 };

/* What a step did. Each loss is that before the update of its own network. d_real, d_fake: the mean
 * sigmoid of D's logits (RELATIVISTIC: of their differences), of two Ds their mean; norms: before
 * clipping. loss_g = sum of weight * part. A recipe without a D leaves D's numbers 0. */
typedef struct Report {
    double loss_d, loss_g, d_real, d_fake, norm_d, norm_g;
    double penalty;                      /* F12 or F33, without its weight; of two Ds their sum */
    double batch_std;                    /* how much the fakes differ, per pixel; 0: alike, no D */
    double part[GAN_PARTS];              /* named by the recipe */
} Report;

typedef struct Gan Gan;

enum { CONSTANT, LINEAR, COSINE };
enum { RESIDUAL, INCEPTION, SEPARABLE, BODIES };
enum { BCE, LEAST_SQUARES, WASSERSTEIN, HINGE, RELATIVISTIC };         /* adversarial losses */

/* What a recipe is fed with: gan->x_real, and where it repaints gan->content */
enum Feed {
    FEED_NOISE,                              /* pictures, to be drawn out of noise */
    FEED_CLASSES,                            /* the same with their classes, gan->given */
    FEED_PICTURES,                           /* pictures, to be encoded and drawn again */
    FEED_CLOTH,                              /* crops of styles, and of which: gan->given */
    FEED_UNPAIRED,                           /* content of one set, to become like x_real */
    FEED_DRAWINGS,                           /* pictures; content: their edges */
    FEED_GARMENTS,                           /* crops of styles; content: garments, gan->mask */
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
    int multiple;                        /* height and width are multiples of this */
    int objective;                       /* the adversarial loss */
    int spectral, rmsprop;               /* 1: spectral norm in D; RMSprop instead of Adam */
    int body, tail;                      /* 1: options.body, options.tail choose G's layers */
    double gain;                         /* of the first weights, see net_initialize */
    void (*describe)(Gan *gan);
    int (*start)(Gan *gan);              /* more of gan_finish, or NULL; 0: failed */
    void (*step)(Gan *gan);
    void (*sample)(Gan *gan);            /* G's picture of its noise and gan->content; NULL: G's
                                            forward pass */
} Recipe;

/* The style generator's sides, and the cloth's, are multiples of this */
enum { STYLE_MULTIPLE = 8 };

struct Gan {
    const Recipe *recipe;
    const Ops *ops;
    GanOptions options;
    double weight[GAN_PARTS];            /* of the parts of loss_g */
    long step;                           /* training steps done */
    long draw;                           /* this draw of noise: a step may take several */
    long first;                          /* this rank's first picture among those of all ranks */

    Net g, d;                            /* generator, discriminator; no nodes: there is none */
    Net e, f, d2, blur;                  /* encoder; the way back and its D; see content_loss,
                                            patch_loss */
    int g_latent[4], latents;            /* nodes of G: z or planes of noise; */
    int g_content, g_given, g_style;     /* what it repaints (stylegan: 1), class, style moments; */
    int g_scale_shift[12], scale_shifts; /* scale and shift of its norms (F16), */
    int g_z;                             /* made of this node, 0: there are none; */
    int g_fused, g_features, g_picture;  /* adain's, classifier's last hidden layer, the output */
    int d_picture, d_given, d_logits, d_feature[GAN_FEATURES], features;        /* nodes of D */
    int e_code, e_moments[GAN_FEATURES]; /* nodes of E: vaegan's code; adain: moments of .. */
    Features seen;                       /* .. these layers of E */

    real *x_real;                        /* gan_n_critic() times (batch,size,size,channels): real */
    real *content;                       /* pictures to repaint (batch,size,size,gan_content()) */
    real *mask, *outside;                /* [0,1]: where the garment is; pattern: where it is not */
    real *given;                         /* classes as one 1 among 0s: (x_real's n, classes) */
    real *labels;                        /* the class of each picture, (batch) */
    real *soft_mask, *soft_content;      /* mask and content after average pooling */
    real *target[GAN_FEATURES];          /* of the features: Gram matrices, moments, activations */
    real *gram, *dgram, *mean;           /* F8 of one layer: Gram matrix, its gradient, means */
    real *matched, *sorted;              /* cloth: see match_ranks */
    real *x_fake[2], *pool[2];           /* cyclegan: pictures of G and F; earlier ones of theirs */
    real *ema;                           /* of G's parameters; the two are swapped for sampling */
    real *d_target, *t;                  /* LEAST_SQUARES: wanted logits, RELATIVISTIC: kept ones,
                                            (2,batch); F12: t */
    real *numbers;                       /* what the step measures, for Report */
    real *lot;                           /* several ranks: random numbers, or pictures, of all */
    struct { real **at; long count; const char *name; } buffer[GAN_BUFFERS];     /* all of these */
    int buffers;
};

/* The list of recipes, ended by an entry whose name is NULL; and a recipe by name, or NULL. */
extern const Recipe recipes[];
const Recipe *recipe_find(const char *name);

/* 0: options.weights do not fit. */
int gan_begin(Gan *gan, const Recipe *recipe, const GanOptions *options, const Ops *ops);
double gan_bytes(const Gan *gan);        /* what gan_finish allocates, and scratch memory */
int gan_finish(Gan *gan);                /* 0, and error_text(): memory, or weights do not fit */
void gan_free(Gan *gan);
int gan_content(const Gan *gan);         /* channels of gan->content */
int gan_n_critic(const Gan *gan);        /* how many batches gan->x_real takes for one step */
Net *gan_net(const Gan *gan, int i);     /* network i of those that there are; NULL past the last */

/* One training step on gan->x_real (content, mask): D's update, then G's; cyclegan: G's first. */
void gan_step(Gan *gan, Report *report);
/* Its halves: the first asks a GPU for everything, the second waits for it. In between the host is
 * free. */
void gan_step_begin(Gan *gan);
void gan_step_end(Gan *gan, Report *report);

/* Pictures of G as it is, batch norm by its running statistics: out (batch,size,size,channels) on
 * the host. The same draw gives the same noise at any time. */
void gan_sample(Gan *gan, uint64_t draw, real *out);

/* The same of z (batch,100), where z is all that G reads; and D's logits of pictures x. */
void gan_decode(Gan *gan, const real *z, real *out);
void gan_judge(Gan *gan, const real *x, real *logits);

/* More from single recipes, pictures (batch,size,size,channels). cyclegan: F(x_real).
 * vaegan: the codes (batch,2*100) of gan->x_real: 100 means, which gan_decode takes as z, before
 * 100 log variances. stylegan: the coarsest scale in the style of one z (batch,64), the rest of
 * another. */
void gan_sample_back(Gan *gan, real *out);
void gan_encode(Gan *gan, real *code);
void gan_mix(Gan *gan, const real *coarse, const real *fine, real *out);

/* A generator alone, in gan->g, by gan->ops and gan->options (channels, body, classes), for n
 * pictures of any height and width that are multiples of STYLE_MULTIPLE. translator: one direction
 * of cyclegan, or with z > 0 pattern's generator, which reads z numbers; any even size. */
void style_generator(Gan *gan, int n, int h, int w);
void translator(Gan *gan, int n, int h, int w, int z);
enum { PATTERN_Z = 8 };

/* No convolution is padded, so that a picture has no border: each of its pixels is made in one and
 * the same way of what its inputs hold around it. Inputs: g_latent[0] (1,1,z): phases of the waves,
 * then numbers of the whole picture; g_given (1,1,classes): the style, if classes > 1; g_latent[1]
 * .. [3]: noise in grains of 8, 2, 1 pixels, (h / grain + cloth_margin(i), ..) each. */
void cloth_generator(Gan *gan, int n, int h, int w);
int cloth_margin(int latent);
int cloth_waves(int classes);            /* how many waves there are, at most 16; */
int cloth_inputs(int classes);           /* and channels that its first convolution reads */

/* The pieces of adain, for pictures of any height and width: E for n pictures (h,w), then G for
 * what E gives, in gan->e and gan->g; gan->ops and gan->options (seed, vgg, weights) say which
 * features. 0: options.weights do not fit, error_text(). */
int adain_encoder(Gan *gan, int n, int h, int w);
int adain_encoder_weights(Gan *gan);     /* after net_finish(&gan->e, ..) */
void adain_generator(Gan *gan);
int adain_layer(const Gan *gan);         /* which of gan->seen's layers G is given */

/* Checkpoint: every tensor of the networks, Adam's moments ("g.adam_m", "g.adam_v"), steps, and
 * `meta` in one safetensors file, written whole or not at all. 0, and error_text(). */
int gan_save(Gan *gan, const char *path, const StMeta *meta, int metas);
uint64_t gan_hash(const Gan *gan);       /* of all that a run carries from step to step */
int gan_load(Gan *gan, const char *path);                /* shapes must be the recipe's */
void gan_begin_anew(Gan *gan);           /* keeps the weights, forgets moments and steps */

/* A stream of random numbers: its purpose, and the step or node */
enum { STREAM_G = 1, STREAM_D, STREAM_NOISE, STREAM_SAMPLE, STREAM_DATA, STREAM_AUGMENT,
       STREAM_CROP, STREAM_CONTENT, STREAM_PENALTY, STREAM_POOL, STREAM_PATCH };
#define STREAM(purpose, index) ((uint64_t)(purpose) << 40 | (uint64_t)(index))
#endif
