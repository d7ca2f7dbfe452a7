/* glue.c: what the page asks of the C code. Built by clang for WebAssembly, each function marked ASKED
 * is called by page.js; built by cc, by the test that compares the two.
 *
 * The game: a GAN whose training one can watch: points in the plane, or small pictures of garments.
 * The tailor: a print on one garment. All else is public functions of gan.h, images/ and style/.
 *
 * Every ASKED function returns 0 after an error, of which error_text() tells; numbers go to
 * page.number, pictures and points to page_room(). */
#define CUTOUT_IMPLEMENTATION
#define GARMENTS_IMPLEMENTATION
#define GENERATOR_IMPLEMENTATION
#define LARGE_IMPLEMENTATION
#define PATCHES_IMPLEMENTATION
#include "core/tiled.h"
#include "style/garments.h"
#include "style/generator.h"
#include "style/patches.h"
#include "training/diagnosis.h"

#ifdef __wasm__
#define ASKED(type, name) __attribute__((export_name(#name))) type name
#else
#define ASKED(type, name) type name
#endif
enum { PAGE_NUMBERS = 16, PLACES = 512 };
enum { RING, MOONS, LATTICE, POINTS, GARMENTS, DRAWN, WORLDS };

/* ---- between the page and the code ---------------------------------------------------------- */

static struct {
    double number[PAGE_NUMBERS];
    void *room;                         /* for what is too large for a number, in and out */
    size_t bytes;
} page;

ASKED(double *, page_numbers)(void) { return page.number; }
ASKED(const char *, page_error)(void) { return error_text(); }

/* Room for so many bytes, whose contents stay if it was large enough; NULL: no memory */
ASKED(void *, page_room)(long bytes) {
    if ((size_t)bytes <= page.bytes) return page.room;
    free(page.room);
    page.room = malloc((size_t)bytes), page.bytes = page.room ? (size_t)bytes : 0;
    if (!page.room) fail("not enough memory for %ld bytes: take something smaller", bytes);
    return page.room;
}

/* ---- the game: what is learned -------------------------------------------------------------- */

static struct {
    Gan gan;
    Recipe recipe;                      /* one of gan.c's, with smaller networks */
    Diagnosis diagnosis;
    int world, noise, places;
    double place[PLACES][2], sigma;     /* the data: one of the places, and a Gaussian step */
    double recent[PLACES];              /* how much of each place was found lately */
    ImageSet set;                       /* or pictures */
} game;

/* Of the ring, two moons, a lattice; or the user's own points, which lie in page.room */
static void find_places(int world, int own) {
    static const int count[] = { [RING] = 8, [MOONS] = 48, [LATTICE] = 9 };
    static const double sigma[] = { [RING] = .15, [MOONS] = .1, [LATTICE] = .12, [POINTS] = .12 };
    const double pi = 3.14159265358979;
    game.world = world, game.sigma = sigma[world];
    game.places = world == POINTS ? own : count[world];
    for (int k = 0; k < game.places; k++) {
        double *at = game.place[k], t = pi * (k / 2 + .5) / 24;
        if (world == RING) at[0] = 2 * cos(2 * pi * k / 8), at[1] = 2 * sin(2 * pi * k / 8);
        if (world == LATTICE) at[0] = 1.8 * (k % 3 - 1), at[1] = 1.8 * (k / 3 - 1);
        if (world == MOONS) {
            at[0] = 1.6 * (k % 2 ? .5 - cos(t) : cos(t) - .5);
            at[1] = 1.6 * (k % 2 ? .25 - sin(t) : sin(t) - .25);
        }
        for (int i = 0; world == POINTS && i < 2; i++) at[i] = ((float *)page.room)[2 * k + i];
    }
}

/* n points of the data   xy: (n,2) */
void game_draw(float *xy, int n, uint64_t seed, uint64_t step) {
    ops_naive.random_normal(xy, 2L * n, seed, STREAM(STREAM_DATA, 2 * step));
    for (int i = 0; i < 2 * n; i++) {
        uint64_t stream = STREAM(STREAM_DATA, 2 * step + 1), all = (uint64_t)game.places;
        const double *at = game.place[philox_below(seed, stream, (uint64_t)i / 2, all)];
        xy[i] = (float)(at[i % 2] + game.sigma * xy[i]);
    }
}

/* Which share of n points lies within four sigma of each place (of the data itself nearly all: a
 * Gaussian in the plane leaves exp(-4^2/2) = 0.03% outside)   xy: (n,2)  share: (places) */
int game_cover(double *share, const float *xy, int n) {
    for (int k = 0; k < game.places; k++) {
        share[k] = 0;
        for (int i = 0; i < n; i++)
            share[k] += hypot(xy[2 * i] - game.place[k][0], xy[2 * i + 1] - game.place[k][1])
                     <= 4 * game.sigma;
        share[k] /= n;
    }
    return game.places;
}

/* ---- the game: who learns it ---------------------------------------------------------------- */

static int maybe_spectral(const Gan *gan, Net *d, int x) {
    if (gan->recipe->spectral) spectral(d, x);
    return x;
}

/* z -> 64 -> 64 -> a point; a point -> 64 -> 64 -> a logit */
static void plane_describe(Gan *gan) {
    enum { WIDTH = 64 };
    Net *g = &gan->g, *d = &gan->d;
    int x = gan->g_latent[gan->latents++] = net_input(g, 1, 1, game.noise);
    for (int i = 0; i < 2; i++) x = relu(g, dense(g, x, WIDTH));
    gan->g_picture = dense(g, x, 2);

    gan->d_picture = x = net_input(d, 1, 1, 2);
    for (int i = 0; i < 2; i++) x = leaky_relu(d, maybe_spectral(gan, d, dense(d, x, WIDTH)), 0.2);
    gan->d_logits = maybe_spectral(gan, d, dense(d, x, 1));
}

/* dcgan's layers (gan.c) with a quarter of its channels: z -> 7x7 -> 14x14 -> 28x28, and back */
static void small_describe(Gan *gan) {
    enum { WIDTH = 16 };
    Net *g = &gan->g, *d = &gan->d;
    int x = gan->g_latent[gan->latents++] = net_input(g, 1, 1, game.noise);
    x = reshape(g, dense(g, x, 7 * 7 * 2 * WIDTH), 7, 7, 2 * WIDTH);
    x = relu(g, batchnorm(g, x));
    x = relu(g, batchnorm(g, conv2d_transpose(g, x, WIDTH, 5, 2, 2)));
    gan->g_picture = tanh_(g, conv2d_transpose(g, x, 1, 5, 2, 2));

    gan->d_picture = x = net_input(d, 28, 28, 1);
    x = leaky_relu(d, maybe_spectral(gan, d, conv2d(d, x, WIDTH, 5, 2, 2)), 0.2);
    x = leaky_relu(d, maybe_spectral(gan, d, conv2d(d, x, 2 * WIDTH, 5, 2, 2)), 0.2);
    gan->d_logits = maybe_spectral(gan, d, dense(d, x, 1));
}

static int load_pictures(int world) {
    ImageSetOptions o = { .h = 28, .w = 28, .channels = 1, .fashion_mnist_dir = "/data" };
    const char *source = world == GARMENTS ? "fashion-mnist:test" : "synthetic:1000";
    imageset_free(&game.set);
    return imageset_load(&game.set, source, &o);
}

/* A game from the start. own: how many points the user drew; rates of G and D; limit: of D's weights
 * (wgan), weight of the penalty (wgan-gp) */
ASKED(int, game_begin)(const char *recipe, int world, int own, double lr, double lr_d, double limit,
                       int n_critic, int batch, int noise, double seed) {
    int plane = world < GARMENTS;
    const Recipe *known = recipe_find(recipe);
    if (!known || world < 0 || world >= WORLDS || own < (world == POINTS) || own > PLACES)
        return fail(known ? "your own points: draw 1 to %d" : "there is no such recipe", PLACES);
    GanOptions o = known->defaults;
    o.batch = batch, o.size = plane ? 1 : 28, o.channels = plane ? 2 : 1;
    o.lr = lr, o.lr_d = lr_d, o.n_critic = n_critic, o.seed = (uint64_t)seed;
    if (o.weight_clip > 0) o.weight_clip = limit;
    if (o.penalty_weight > 0) o.penalty_weight = limit;
    gan_free(&game.gan);
    memset(game.recent, 0, sizeof game.recent), game.diagnosis = (Diagnosis){ 0 };
    game.world = world, game.noise = noise, game.recipe = *known;
    game.recipe.describe = plane ? plane_describe : small_describe;
    if (plane) find_places(world, own);
    else if (!load_pictures(world)) return 0;
    if (!gan_begin(&game.gan, &game.recipe, &o, &ops_tiled) || !gan_finish(&game.gan)) return 0;
    if (plane) {                        /* He's first weights: there is no batch norm */
        net_initialize(&game.gan.g, o.seed, STREAM(STREAM_G, 0), 2);
        net_initialize(&game.gan.d, o.seed, STREAM(STREAM_D, 0), 2);
    }
    return 1;
}

/* One step. Numbers: the step, losses of D and G, D(x), D(G(z)), norms of their gradients */
ASKED(int, game_step)(void) {
    Gan *gan = &game.gan;
    const GanOptions *o = &gan->options;
    long n = (long)gan_n_critic(gan) * o->batch, each = (long)o->size * o->size * o->channels;
    float *x = gan->x_real;
    Report r;
    if (!gan->recipe) return fail("there is no game to go on with: begin one");
    if (game.world < GARMENTS) game_draw(x, (int)n, o->seed, (uint64_t)gan->step);
    for (long i = 0; game.world >= GARMENTS && i < n; i++) {
        uint64_t stream = STREAM(STREAM_DATA, gan->step), all = (uint64_t)game.set.count;
        imageset_get(&game.set, (long)philox_below(o->seed, stream, (uint64_t)i, all), x + i * each,
                     NULL);
    }
    gan_step(gan, &r);
    const double told[] = { gan->step, r.loss_d, r.loss_g, r.d_real, r.d_fake, r.norm_d, r.norm_g };
    memcpy(page.number, told, sizeof told);
    if (!isfinite(r.loss_d + r.loss_g + r.norm_d + r.norm_g))
        return fail("step %ld: the numbers are no longer finite: begin anew with lower rates",
                    gan->step);
    diagnose(&game.diagnosis, gan, &r, x);
    return 1;
}

/* n rows in page.room through G (z -> pictures) or D (pictures -> logits), in batches */
ASKED(int, game_map)(int through_d, int n) {
    Gan *gan = &game.gan;
    int batch = gan->options.batch, picture = gan->options.size * gan->options.size
                                            * gan->options.channels;
    int in = through_d ? picture : game.noise, out = through_d ? 1 : picture;
    int rows = (n + batch - 1) / batch * batch;
    if (!gan->recipe) return fail("there is no game to go on with: begin one");
    float *x = calloc((size_t)rows * (size_t)in, sizeof *x);
    if (x) memcpy(x, page.room, sizeof *x * (size_t)n * (size_t)in);
    float *y = x ? page_room((long)sizeof *y * rows * out) : NULL;
    for (int i = 0; y && i < rows; i += batch)
        if (through_d) gan_judge(gan, x + (long)i * in, y + (long)i * out);
        else gan_decode(gan, x + (long)i * in, y + (long)i * out);
    free(x);
    return y ? 1 : fail("not enough memory for %d rows: take a smaller batch", n);
}

/* n numbers z ~ N(0,1) for G's samples, always the same, to page.room */
ASKED(int, game_noise)(int n) {
    float *z = page_room((long)sizeof *z * n * game.noise);
    if (z) ops_naive.random_normal(z, (long)n * game.noise, 1, STREAM(STREAM_SAMPLE, 0));
    return z != NULL;
}

/* n points or pictures of the data, to page.room */
ASKED(int, game_data)(int n) {
    long each = game.world < GARMENTS ? 2 : 28 * 28;
    float *x = page_room((long)sizeof *x * n * each);
    if (x && each == 2) game_draw(x, n, 1, 1ull << 20);
    for (long i = 0; x && each > 2 && i < n; i++)
        imageset_get(&game.set, i % game.set.count, x + i * each, NULL);
    return x != NULL;
}

/* Of n points in page.room. Numbers: the places found, with a sixth of their fair share or more; all
 * places; the share of points on places; do the points jump from place to place? */
ASKED(int, game_found)(int n) {
    double share[PLACES], on = 0, found = 0, lately = 0;
    game_cover(share, page.room, n);
    for (int k = 0; k < game.places; k++) {
        int here = share[k] >= 1. / 6 / game.places;
        game.recent[k] = here ? 1 : .97 * game.recent[k];
        found += here, on += share[k], lately += game.recent[k] > .2;
    }
    const double told[] = { found, game.places, fmin(on, 1),
                            found <= .6 * game.places && lately >= found + .3 * game.places };
    memcpy(page.number, told, sizeof told);
    return 1;
}

/* ---- the tailor ----------------------------------------------------------------------------- */

/* of the page: how far the print is, 0 to 1 */
#ifdef __wasm__
__attribute__((import_module("page"), import_name("progress")))
#endif
void page_progress(double fraction);

static struct {
    GarmentList list;                   /* one garment */
    Photo photo;
    Image pattern, result;
    Generator run;                      /* what prints without a pattern; path: "" */
} tailor;

/* The garment: a file, synthetic:5 or fashion-mnist:17, with its longer side `size`. Numbers: where
 * the mask is from (PhotoMask), and the share of the picture that it covers */
ASKED(int, tailor_garment)(const char *from, int size) {
    GarmentList list = { 0 };
    Photo photo;
    const char *pictures = "/data";
    if (!garments_list(&list, from, "", strncmp(from, "fashion", 7) ? "" : pictures) ||
        !photo_open(&photo, &list, 0, size, "")) return imageset_free(&list.set), 0;
    photo_close(&tailor.photo), imageset_free(&tailor.list.set), image_free(&tailor.result);
    tailor.list = list, tailor.photo = photo;
    double share = 0, n = (double)photo.picture.h * photo.picture.w;
    for (long i = 0; i < (long)n; i++) share += photo.picture.mask[i] / n;
    page.number[0] = photo.mask, page.number[1] = share;
    return 1;
}

/* The pattern: a file, or number `drawn` of the drawn textiles */
ASKED(int, tailor_pattern)(const char *from, int drawn) {
    Image x;
    int good = drawn < 0 ? image_load(&x, from) : image_pattern_synthetic(&x, drawn, 256);
    if (good) image_free(&tailor.pattern), tailor.pattern = x;
    return good;
}

/* A run of ./train whose generator prints from now on; "": the pattern does */
ASKED(int, tailor_run)(const char *path) {
    static Generator g;
    st_close(&g.checkpoint), st_close(&g.weights);
    g = (Generator){ .ops = &ops_tiled };
    int good = !*path || generator_open(&g, path, "", 0);
    if (!good && g.kind == GENERATOR_ADAIN)             /* fuses the garment with the pattern */
        st_close(&g.checkpoint), g.kind = 0, good = generator_open(&g, path, "", 1);
    if (good) tailor.run = g, memset(&g, 0, sizeof g);
    return good;
}

/* The garment, the pattern or the result as bytes (h,w,4) in page.room. Numbers: w, h */
enum { GARMENT_SHOWN, PATTERN_SHOWN, RESULT_SHOWN };
ASKED(int, tailor_show)(int which) {
    const Image *const images[] = { &tailor.photo.picture, &tailor.pattern, &tailor.result };
    const Image *x = images[which];
    unsigned char *to = page_room(4L * x->h * x->w + 1);
    for (long i = 0; to && i < 4L * x->h * x->w; i++)
        to[i] = i % 4 == 3 ? 255 : image_to_byte(x->pixels[i / 4 * 3 + i % 4]);
    page.number[0] = x->w, page.number[1] = x->h;
    return to != NULL;
}

/* The mask as bytes (h,w): give 0: to page.room, 1: from there, as the user has corrected it */
ASKED(int, tailor_mask)(int give) {
    Photo *p = &tailor.photo;
    long n = (long)p->picture.h * p->picture.w;
    unsigned char *bytes = page_room(n + 1);
    for (long i = 0; bytes && i < n; i++)
        if (give) p->picture.mask[i] = bytes[i] / 255.f;
        else bytes[i] = image_to_byte(2 * p->picture.mask[i] - 1);
    if (give) p->mask = PHOTO_GIVEN;
    return bytes != NULL;
}

static int patches_progress(void *user, int level, int levels, int iteration, double fraction) {
    (void)user, (void)level, (void)levels, (void)iteration;
    return page_progress(fraction), 1;
}

/* the print for the cut-out, by patches or by the run's generator */
static int paint(Image *print, const Cutout *cut, const Image *cloth, double scale, double seed) {
    Generator *g = &tailor.run;
    PatchesOptions o = patches_default(PATCHES_PRINT);
    double one = 1;
    o.progress = patches_progress, o.memory = 1.5e9;
    o.style_scale = scale, o.seed = g->seed = (uint64_t)seed;
    g->scale = 0, g->alpha = 1, g->progress = page_progress;
    if (!*g->path) return patches_transfer(print, cut, cloth, NULL, 1, &o, &ops_tiled);
    if (g->kind == GENERATOR_ADAIN) return generator_fuse(g, print, &cut->part, cloth, &one, 1);
    return generator_print(g, print, cut);
}

/* The result: the garment with the print. colours: 0 the pattern's, 1 the pattern in the garment's
 * colours, 2 only light and dark change; shade: how strongly folds show */
ASKED(int, tailor_print)(double shade, double scale, int colours, double seed) {
    int run = *tailor.run.path != 0;
    int rim = run ? (int)ceil(fmax(tailor.photo.by, 1)) : 0;
    const Image *garment = &tailor.photo.picture;
    Image x = { 0 }, print = { 0 }, cloth = { 0 };
    Cutout cut = { 0 };
    int fuses = run && tailor.run.kind == GENERATOR_ADAIN;
    if (!garment->pixels) return fail("there is no garment: choose one");
    if (!tailor.pattern.pixels && (!run || fuses))
        return fail("there is no pattern: choose one");
    int good = image_copy(&x, garment) && (!tailor.pattern.pixels ||
                                           image_copy(&cloth, &tailor.pattern));
    if (good && colours == 1 && cloth.pixels) colour_match(&cloth, garment);
    good = good && cutout_take(&cut, &x, run ? 0 : PATCHES_MARGIN, run ? 1 : PATCHES_SMALLEST, rim)
        && paint(&print, &cut, &cloth, scale, seed);
    if (run && tailor.run.kind != GENERATOR_STYLE) shade = 0;       /* it keeps the folds itself */
    if (good) image_lay_print(&x, &print, &cut.tones, cut.top, cut.left, shade);
    if (good && colours == 2) colour_keep_luminance(&x, garment);
    image_free(&print), image_free(&cloth), cutout_free(&cut);
    if (!good) return image_free(&x), 0;
    image_free(&tailor.result);
    tailor.result = x;
    return 1;
}
