/* glue.c: the C code of the page, built for WebAssembly; page.js calls what is marked ASKED.
 *
 * The game: a GAN whose training one can watch, on points in the plane or small pictures. The
 * tailor: a print on one garment. All else is public functions of gan.h, images/ and style/.
 * What is ASKED returns 0 after an error, of which error_text() tells; numbers go to page.number,
 * pictures and points to page_room(). */
#include "core/tiled.h"
#include "notebooks-as-md/page/toys.h"
#include "style/garments.h"
#include "style/generator.h"
#include "style/patches.h"
#include "training/diagnosis.h"

#define ASKED(type, name) __attribute__((export_name(#name))) type name
enum { PICTURE = 28 * 28, GARMENTS = POINTS + 1, DRAWN };         /* worlds behind toys.h's */

static struct {
    double number[8];
    void *room;                         /* for what is too large for a number, in and out */
    long bytes;
} page;
ASKED(double *, page_numbers)(void) { return page.number; }
/* Room for so many bytes or more; what lies in it stays. NULL: no memory */
ASKED(void *, page_room)(long bytes) {
    void *more = bytes > page.bytes ? realloc(page.room, (size_t)bytes) : page.room;
    if (!more) return fail("not enough memory for %ld bytes: take less", bytes), NULL;
    if (bytes > page.bytes) page.room = more, page.bytes = bytes;
    return page.room;
}

/* ---- the game ------------------------------------------------------------------------------- */

static struct {
    Gan gan;
    Toy toy;
    Diagnosis diagnosis;
    int world;
    Plane plane;                        /* what is learned: points, or pictures */
    ImageSet set;
    double recent[PLACES];              /* how much of each place was found lately */
} game;

static int no_game(void) { return !game.gan.recipe && !fail("there is no game: begin one"); }
static long numbers_each(void) { return game.world < GARMENTS ? 2 : PICTURE; }

/* n points or pictures of the data   x: (n,2) or (n,28,28) */
static void draw_data(float *x, int n, uint64_t seed, uint64_t step) {
    uint64_t stream = STREAM(STREAM_DATA, step), all = (uint64_t)game.set.count;
    if (game.world < GARMENTS) plane_draw(&game.plane, x, n, seed, step);
    else for (int i = 0; i < n; i++)
        imageset_get(&game.set, (long)philox_below(seed, stream, (uint64_t)i, all),
                     x + (long)i * PICTURE, NULL);
}

/* A game from the start. own: how many points the user drew, in page.room; lr, lr_d: rates of G and
 * D; limit: of D's weights (wgan), or weight of the penalty (wgan-gp, r3gan) */
ASKED(int, game_begin)(const char *recipe, int world, int own, double lr, double lr_d, double limit,
                       int n_critic, int batch, int noise, double seed) {
    ImageSetOptions pictures = { .h = 28, .w = 28, .channels = 1, .fashion_mnist_dir = "/data" };
    int plane = world < GARMENTS;
    GanOptions o = recipe_find(recipe)->defaults;
    gan_free(&game.gan), imageset_free(&game.set);
    game.world = world, game.toy.noise = noise, game.diagnosis = (Diagnosis){ 0 };
    memset(game.recent, 0, sizeof game.recent);
    if (plane) plane_begin(&game.plane, world, page.room, own);
    else if (!imageset_load(&game.set, world == DRAWN ? "synthetic:1000" : "fashion-mnist:test",
                            &pictures)) return 0;
    o.size = plane ? 1 : 28, o.channels = plane ? 2 : 1;
    o.batch = batch, o.lr = lr, o.lr_d = lr_d, o.n_critic = n_critic, o.seed = (uint64_t)seed;
    o.schedule = CONSTANT;              /* a game has no end */
    if (o.weight_clip > 0) o.weight_clip = limit;
    if (o.penalty_weight > 0) o.penalty_weight = limit;
    return toy_begin(&game.gan, &game.toy, recipe, &o);
}

/* One step. Numbers: the step, losses of D and G, D(x), D(G(z)) */
ASKED(int, game_step)(void) {
    Gan *gan = &game.gan;
    Report r;
    if (no_game()) return 0;
    draw_data(gan->x_real, gan_n_critic(gan) * gan->options.batch, gan->options.seed,
              (uint64_t)gan->step);
    gan_step(gan, &r);
    page.number[0] = (double)gan->step, page.number[1] = r.loss_d, page.number[2] = r.loss_g;
    page.number[3] = r.d_real, page.number[4] = r.d_fake;
    if (!isfinite(r.loss_d + r.loss_g + r.norm_d + r.norm_g))
        return fail("step %ld: the numbers are no longer finite: begin anew with lower rates",
                    gan->step);
    diagnose(&game.diagnosis, gan, &r, gan->x_real);
    return 1;
}

/* n rows in page.room through G (z -> pictures) or D (pictures -> logits), in batches */
ASKED(int, game_map)(int through_d, int n) {
    if (no_game()) return 0;
    long batch = game.gan.options.batch, rows = (n + batch - 1) / batch * batch;
    long in = through_d ? numbers_each() : game.toy.noise, out = through_d ? 1 : numbers_each();
    float *x = calloc((size_t)(rows * in), sizeof *x);
    if (x) memcpy(x, page.room, sizeof *x * (size_t)(n * in));
    float *y = x ? page_room((long)sizeof *y * rows * out) : NULL;
    for (long i = 0; y && i < rows; i += batch)
        (through_d ? gan_judge : gan_decode)(&game.gan, x + i * in, y + i * out);
    free(x);
    return y ? 1 : fail("not enough memory for %d pictures: take a smaller batch", n);
}

/* n of the data to page.room; or n times z ~ N(0,1), always the same */
ASKED(int, game_draw)(int data, int n) {
    long each = data ? numbers_each() : game.toy.noise;
    float *x = page_room((long)sizeof *x * n * each);
    if (x && data) draw_data(x, n, 1, 1 << 20);
    else if (x) ops_naive.random_normal(x, n * each, 1, STREAM(STREAM_SAMPLE, 0));
    return x != NULL;
}

/* Of n points in page.room. Numbers: the places found, each with a sixth of its fair share or more;
 * all places; the share of points on places; do the points jump from place to place? */
ASKED(int, game_found)(int n) {
    double share[PLACES], on = 0, found = 0, lately = 0, places = game.plane.places;
    plane_cover(&game.plane, share, page.room, n);
    for (int k = 0; k < places; k++) {
        int here = share[k] >= 1 / 6. / places;
        game.recent[k] = here ? 1 : .97 * game.recent[k];
        found += here, on += share[k], lately += game.recent[k] > .2;
    }
    int jumps = found <= .6 * places && lately >= found + .3 * places;
    page.number[0] = found, page.number[1] = places, page.number[2] = fmin(on, 1);
    return page.number[3] = jumps, 1;
}

/* ---- the tailor ----------------------------------------------------------------------------- */

/* of the page: how far the print is, 0 to 1 */
__attribute__((import_module("page"), import_name("progress"))) void page_progress(double fraction);

static struct {
    GarmentList list;                   /* one garment */
    Photo photo;
    Image pattern, result;
    Generator runs[2], *run;            /* what prints in place of the pattern, or NULL */
} tailor;

/* The garment: a file, synthetic:5 or fashion-mnist:17; size: its longer side. Number: its mask */
ASKED(int, tailor_garment)(const char *from, int size) {
    GarmentList list = { 0 };
    Photo photo;
    if (!garments_list(&list, from, "", "/data") || !photo_open(&photo, &list, 0, size, ""))
        return imageset_free(&list.set), 0;
    photo_close(&tailor.photo), imageset_free(&tailor.list.set), image_free(&tailor.result);
    tailor.list = list, tailor.photo = photo;
    return page.number[0] = photo.mask, 1;
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
    Generator *g = &tailor.runs[tailor.run == tailor.runs];
    int good = !*path, adain = 0;
    for (int styles = 0; !good && styles <= adain; styles++) {  /* adain prints the pattern too */
        st_close(&g->checkpoint), st_close(&g->weights), net_free(&g->gan.g), net_free(&g->gan.e);
        image_free(&g->wide);
        *g = (Generator){ .ops = &ops_tiled };
        good = generator_open(g, path, "", styles);
        adain = g->kind == GENERATOR_ADAIN;
    }
    if (good) tailor.run = *path ? g : NULL;
    return good;
}

/* The garment, the pattern or the result as bytes (h,w,4) in page.room. Numbers: w, h */
ASKED(int, tailor_show)(int which) {
    const Image *x = (Image *[]){ &tailor.photo.picture, &tailor.pattern, &tailor.result }[which];
    unsigned char *to = page_room(4L * x->h * x->w);
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

/* the print for the cut-out, by patches or by the run's generator */
static int paint(Image *print, const Cutout *cut, const Image *cloth, double scale, double seed) {
    Generator *g = tailor.run;
    PatchesOptions o = patches_default(PATCHES_PRINT);
    Styles styles = { cloth, (double[]){ 1 }, 1 };
    o.progress = page_progress, o.memory = 1.5e9;
    o.style_scale = scale, o.seed = (uint64_t)seed;
    if (!g) return patches_transfer(print, cut, &styles, &o, &ops_tiled);
    g->seed = o.seed, g->alpha = 1, g->progress = page_progress;
    return generator_print(g, print, cut, &styles);
}

/* The result: the garment with the print, as transfer.c makes it. colours: 0 the pattern's, 1 the
 * pattern in the garment's colours, 2 only light and dark change; shade: how strongly folds show */
ASKED(int, tailor_print)(double shade, double scale, int colours, double seed) {
    const Photo *p = &tailor.photo;
    const Generator *run = tailor.run;
    int styled = !run || run->kind == GENERATOR_ADAIN, adds = run && generator_repaints(run);
    int margin = !run ? PATCHES_MARGIN : styled ? CUTOUT_ALL : 0;
    Image x = { 0 }, print = { 0 }, cloth = { 0 };
    Cutout cut = { 0 };
    if (!p->from || (styled && !tailor.pattern.pixels)) return fail("choose a garment and a cloth");
    int white = !adds && (!p->from->path || p->mask == PHOTO_OWN);
    int good = image_copy(&x, &p->picture) && (!styled || image_copy(&cloth, &tailor.pattern));
    free(cloth.mask), cloth.mask = NULL;                /* its transparent ground is white */
    if (good && styled && colours == 1) colour_match(&cloth, &p->picture);
    if (good && styled && white) image_whiten(&x, 0);
    good = good && cutout_take(&cut, &x, margin, run ? 1 : PATCHES_SMALLEST,
                               run ? (int)ceil(fmax(p->by, 1)) : 0)
        && paint(&print, &cut, &cloth, scale, seed);
    if (good && !styled && white) image_whiten(&x, 1);
    if (adds || (run && styled)) shade = 0;
    if (run) free(print.mask), print.mask = NULL;       /* it is the garment's */
    if (good) image_lay_print(&x, &print, &cut.tones, cut.top, cut.left, shade);
    if (good && colours == 2) colour_keep_luminance(&x, &p->picture);
    image_free(&print), image_free(&cloth), cutout_free(&cut);
    image_free(good ? &tailor.result : &x);
    return good ? tailor.result = x, 1 : 0;
}
