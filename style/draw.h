/* draw.h: new pictures out of noise, by a generator that ./train has trained.
 *
 *   Draw d = { .ops = ops, .seed = { 7 }, .count = 64 };
 *   draw_open(&d, "runs/dcgan", "", "");
 *   draw_all(&d, "folder", "folder/sheet.png");
 *
 * Picture i of a seed has the noise of picture i of training's samples. So it is the same picture,
 * however many are drawn; and with the seed of the training the sheet is the run's samples.png.
 * A walk leads from z_a, the noise of picture 0 of one seed, to z_b, that of another seed:
 *   z = cos(t pi/2) z_a + sin(t pi/2) z_b     t = 0 .. 1 in equal steps
 * Each such z is N(0,1), as in training. On the straight way from z_a to z_b they would be too
 * short (White 2016).
 * Of cloth: swatches, whose classes are the styles of its folder. A walk then leads from one style
 * to another, with the same noise: G is told (1 - t) of the one and t of the other. */
#ifndef DRAW_H
#define DRAW_H
#include "images/images.h"
#include "style/generator.h"
#include <limits.h>

enum { DRAW_CLASSES = 256, DRAW_BATCH = 16, DRAW_COLUMNS = 8, DRAW_SHEET = 1024 };

typedef struct Draw {
    const Ops *ops;
    long count;                         /* how many pictures */
    int64_t seed[2];                    /* the second: where a walk ends (cloth: see class_of) */

    char path[4200];                    /* of the checkpoint. This and the rest: draw_open */
    Gan gan;                            /* only its network g is used */
    int walks, blends, lot;             /* blends: from style to style; lot: the training's batch */
    int64_t class_of[DRAW_CLASSES];     /* the pictures take these classes in turn; blends: a, b */
    int classes;                        /* how many; 0: G is not told what to draw, or blends */
} Draw;

/* ---- the checkpoint ---------------------------------------------------------------------- */

static int draws(const Recipe *r) {
    return r->feeds == FEED_NOISE || r->feeds == FEED_CLASSES || r->feeds == FEED_PICTURES
        || r->feeds == FEED_CLOTH;
}
static int draw_recipe(Draw *d, const StFile *file) {
    const char *name = st_meta(file, "recipe");
    char all[300] = "";
    d->gan.recipe = name ? recipe_find(name) : NULL;
    if (d->gan.recipe && draws(d->gan.recipe)) return 1;
    for (const Recipe *r = recipes; r->name; r++)
        if (draws(r)) strcat(strcat(all, *all ? ", " : ""), r->name);
    return fail("%s: %s%s, which draws nothing out of noise (%s do): expected --content, the "
                "pictures that it works on", d->path,
                name ? "made with --recipe " : "its metadata names no recipe", name ? name : "",
                all);
}

/* What the metadata does not say, the tensors do: G's last bias has a number for each channel (of
 * mlp for each value of a picture), and its first weight a row for each number of z and class */
static void draw_sizes(const StFile *file, GanOptions *o) {
    enum { Z = 100 };
    const StTensor *bias = generator_tensor(file, ".bias", 1);
    const StTensor *weight = generator_tensor(file, ".weight", 0);
    if (bias) o->channels = bias->shape[0];
    if (weight) o->classes = weight->shape[0] - Z;
    if (o->channels % (o->size * o->size) == 0) o->channels /= o->size * o->size;
    if (o->classes < 1 || o->classes > 4096) o->classes = 1;
}

static int draw_describe(Draw *d, const StFile *file) {
    const Recipe *r = d->gan.recipe;
    int side = generator_number(file, "--size", 8, 1024, r->defaults.size);
    GanOptions o = { .batch = DRAW_BATCH, .size = side % r->multiple ? r->defaults.size : side };
    if (r->tail) o.tail = generator_number(file, "--tail", 1, 256, 0);
    d->lot = generator_number(file, "--batch", 1, INT_MAX, r->defaults.batch);
    draw_sizes(file, &o);
    if (r->feeds == FEED_CLOTH) o.size *= 2, o.classes = generator_styles(file);
    if (!generator_check_channels(o.channels, d->path)) return 0;
    return gan_begin(&d->gan, r, &o, d->ops);
}

/* "3,9": whole numbers with commas between, at most `room`. Returns how many; 0: something else */
static int draw_numbers(int64_t *to, int room, const char *text) {
    for (int n = 0; n < room && *text >= '0' && *text <= '9'; text++) {
        char *end;
        to[n++] = strtoll(text, &end, 10);
        if (to[n - 1] > 1ll << 53) return 0;
        if (!*end) return n;
        if (*(text = end) != ',') return 0;
    }
    return 0;
}

/* Which classes are drawn: some of those that G was trained with */
static int draw_classes(Draw *d, const StFile *file, const char *classes) {
    const char *those = st_meta(file, "--classes");
    int all = d->gan.options.classes, known = 0, good = 1;
    int64_t of[DRAW_CLASSES];
    char range[60];
    if (!d->gan.g_given)
        return !*classes || fail("--classes: the recipe %s is not told what to draw: omit it",
                                 d->gan.recipe->name);
    if (those) known = draw_numbers(of, DRAW_CLASSES, those);
    snprintf(range, sizeof range, "0 to %d", all - 1);
    if (!known) for (those = range; known < all && known < DRAW_CLASSES; known++) of[known] = known;
    if (*classes) d->classes = draw_numbers(d->class_of, DRAW_CLASSES, classes);
    else memcpy(d->class_of, of, sizeof of), d->classes = known;
    for (int i = 0; i < d->classes; i++) {
        int k = 0;
        while (k < known && of[k] != d->class_of[i]) k++;
        good = good && k < known && of[k] < all;
    }
    return (good && d->classes) || fail("--classes %s: expected classes that %s was trained with, "
                                        "%s, with commas between", classes, d->path, those);
}

/* The classes take turns; a walk has a place for each turn */
static int draw_turn(const Draw *d) { return d->classes ? d->classes : 1; }
static long draw_places(const Draw *d) { return (d->count + draw_turn(d) - 1) / draw_turn(d); }

/* Of cloth a walk leads from style to style */
static int draw_blends(Draw *d, const char *classes, const char *walk) {
    int most = d->gan.options.classes - 1;
    if (!most)
        return fail("--interpolate %s: %s has learned one style, and a walk leads from one to "
                    "another: expected a run that was given a folder of them", walk, d->path);
    d->blends = !*classes && draw_numbers(d->class_of, 2, walk) == 2 && d->class_of[0] <= most
             && d->class_of[1] <= most;
    d->classes = 0;
    return d->blends || fail("--interpolate %s: expected two of the styles of %s, 0 to %d, as in "
                             "0,1, and no --classes", walk, d->path, most);
}
static int draw_walk(Draw *d, const char *classes, const char *walk) {
    if (!(d->walks = *walk != 0)) return 1;
    if (d->gan.recipe->feeds == FEED_CLOTH) {
        if (!draw_blends(d, classes, walk)) return 0;
    } else if (draw_numbers(d->seed, 2, walk) != 2)
        return fail("--interpolate %s: expected two seeds, as in 3,9", walk);
    return draw_places(d) > 1 ||
           fail("--interpolate %s: it leads from one picture to another%s: expected --count %d or "
                "more", walk, d->classes ? " of each class" : "", draw_turn(d) + 1);
}

/* run: a run's folder, or its checkpoint. classes: as in "0,3,6", or "": those of the training.
 * walk: two seeds, "3,9", or of cloth two styles; or "". Errors: no checkpoint, a recipe that does
 * not draw out of noise, classes or styles that it was not trained with, weights that do not fit,
 * memory. */
static inline int draw_open(Draw *d, const char *run, const char *classes, const char *walk) {
    StFile file;
    Net *g = &d->gan.g;
    if (!generator_checkpoint(&file, d->path, run)) return 0;
    int good = draw_recipe(d, &file) && draw_describe(d, &file)
            && draw_classes(d, &file, classes) && draw_walk(d, classes, walk);
    double need = good ? net_bytes(g, 0) + net_scratch_bytes(g) : 0;
    double have = device_free_bytes(d->ops);
    if (good && ((have > 0 && need > have) || !net_finish(g, 0)))
        good = fail("not enough memory to draw: %d pictures at a time take %.0f MB, %.0f MB are "
                    "free", DRAW_BATCH, need / 1e6, have / 1e6);
    good = good && net_load(g, &file, d->path, d->gan.recipe->name);
    st_close(&file);
    return good;
}

/* ---- the pictures ------------------------------------------------------------------------ */

/* Number j of n that G reads in latent node k for picture i */
static float draw_noise(const Draw *d, int k, long n, long i, long j) {
    long place = i / draw_turn(d), last = draw_places(d) - 1, at = d->walks ? 0 : i;
    uint64_t stream = STREAM(STREAM_SAMPLE, at / d->lot * 4 + k), index = at % d->lot * n + j;
    float a = philox_normal(d->seed[0], stream, index);
    if (!d->walks || !place || d->blends) return a;
    float b = philox_normal(d->seed[1], stream, index);
    double angle = asin(1) * place / last;
    return place < last ? cos(angle) * a + sin(angle) * b : b;
}

/* How much of the class G is to draw for picture i */
static float draw_told(const Draw *d, long i, long class) {
    float t = (float)i / (float)(d->count - 1);
    if (!d->blends) return d->class_of[i % d->classes] == class;
    return (1 - t) * (d->class_of[0] == class) + t * (d->class_of[1] == class);
}

/* What G reads for the pictures from `first` on. spare: room for the largest input */
static void draw_fill(Draw *d, long first, float *spare) {
    Gan *gan = &d->gan;
    for (int k = 0; k < gan->latents; k++) {
        const Node *z = &gan->g.node[gan->g_latent[k]];
        long n = (long)z->h * z->w * z->c;
        #pragma omp parallel for
        for (long j = 0; j < DRAW_BATCH * n; j++)
            spare[j] = draw_noise(d, k, n, first + j / n, j % n);
        d->ops->upload(z->y, spare, DRAW_BATCH * n);
    }
    if (gan->g_given) {
        const Node *given = &gan->g.node[gan->g_given];
        for (long j = 0; j < DRAW_BATCH * given->c; j++)
            spare[j] = draw_told(d, first + j / given->c, j % given->c);
        d->ops->upload(given->y, spare, DRAW_BATCH * given->c);
    }
    if (gan->g_content) d->ops->fill(gan->g.node[gan->g_content].y, 1, DRAW_BATCH);   /* stylegan */
}

static int draw_save(const Draw *d, const char *folder, long i, const float *pixels,
                     const char *sheet) {
    const Node *x = &d->gan.g.node[d->gan.g_picture];
    const Image picture = { x->h, x->w, x->c, (float *)pixels, NULL, 0 };
    char name[4300], class[40] = "";
    if (d->classes) snprintf(class, sizeof class, "-class%d", (int)d->class_of[i % d->classes]);
    snprintf(name, sizeof name, "%.4000s/%05ld%s.png", folder, i, class);
    return image_save(&picture, name)
        && (!same_file(sheet, name) || fail("%s: --sheet would overwrite --output, choose another",
                                            sheet));
}

static int draw_sheet(const Draw *d, const char *name, float *pixels, long cells) {
    const Node *x = &d->gan.g.node[d->gan.g_picture];
    int columns = d->classes > 1 && d->classes <= 2 * DRAW_COLUMNS ? d->classes : DRAW_COLUMNS;
    int enlarge = x->h < 48 ? 3 : 1, gap = x->h < 48 ? 3 : 4;
    Image sheet;
    if (d->count == 1) return image_save(&(Image){ x->h, x->w, x->c, pixels, NULL, 0 }, name);
    if (cells < columns) columns = cells;
    int good = image_grid(&sheet, pixels, cells, x->h, x->w, x->c, columns, enlarge, gap)
            && image_save(&sheet, name);
    image_free(&sheet);
    return good;
}

/* Each picture as folder/00000.png and so on, with classes as 00000-class3.png; and a sheet of
 * them, with a column for each class. A sheet of one picture is that picture. "": not wanted.
 * Errors: pictures that are not finite, files that cannot be written, memory. */
static inline int draw_all(Draw *d, const char *folder, const char *sheet) {
    Gan *gan = &d->gan;
    Net *g = &gan->g;
    const Node *x = &g->node[gan->g_picture];
    long each = x->h * x->w * x->c, most = 30000000 / (x->h * x->w);
    long cells = fmin(*sheet ? d->count : 0, fmin(DRAW_SHEET, most));
    float *shown = malloc((cells * each + 1) * sizeof *shown);
    float *made = malloc(DRAW_BATCH * (each + 4096) * sizeof *made);
    int good = (shown && made) || fail("not enough memory for a sheet of %ld pictures", cells);
    for (long first = 0; good && first < d->count; first += DRAW_BATCH) {
        draw_fill(d, first, made);
        net_forward(g, 0);
        good = generator_check_finite(g, d->path);
        d->ops->download(made, x->y, DRAW_BATCH * each);
        for (long i = 0; good && i < DRAW_BATCH && first + i < d->count; i++) {
            const float *pixels = made + i * each;
            if (first + i < cells)
                memcpy(shown + (first + i) * each, pixels, each * sizeof *pixels);
            good = !*folder || draw_save(d, folder, first + i, pixels, sheet);
        }
    }
    good = good && (!*sheet || draw_sheet(d, sheet, shown, cells));
    free(shown), free(made);
    if (good && *folder) tell("%s: %ld picture%s", folder, d->count, d->count > 1 ? "s" : "");
    if (good && *sheet && cells < d->count)
        tell("%s: the first %ld of %ld pictures", sheet, cells, d->count);
    else if (good && *sheet) tell("%s", sheet);
    return good;
}
#endif
