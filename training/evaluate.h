/* evaluate.h: how good a run's pictures are: ./train --evaluate RUN; and ./train --compress RUN.
 * measures.h has the measures themselves, core/checkpoint.h the file.
 *
 * A generator of pictures is measured against the data set's test part, with the features of a
 * classifier (./train --recipe classifier). One that repaints pictures (cyclegan, pattern, pix2pix)
 * repaints the test part and is measured against the pictures that these are to become like; a
 * printer of styles by its motifs against crops of its style. Beside it stand yardsticks, measured
 * in the same way: other real pictures, which is the floor, and pictures that were spoiled on
 * purpose. Which pictures are drawn follows from the run's --seed, --samples and --batch. */
#ifndef EVALUATE_H
#define EVALUATE_H
#include "core/checkpoint.h"
#include "training/batch.h"
#include "training/measures.h"
#include <sys/stat.h>

enum { PATCH_SIDE = 7, PATCHES = 4, PAIRS = 1000, NEIGHBOUR = 3,
       DIRECTIONS = 64, BLOCK = 4, LEAST_CLOTH = 50 };
enum { YARDSTICK = 1 << 30 };            /* the first stream number of the noise and crops here */

/* One row of the table: a set of pictures, measured. Not every recipe has every number: NaN */
enum { FCD, RELATIVE, PRECISION, RECALL, KL, COVERED, PATCHWISE, SSIM, GRAIN, CHECKER,
       CONTENT, L1, CLOTH, MOTIFS, MEASURES = MOTIFS + 6 };
static const struct { const char *head, *key; int digits; } measure[MEASURES] = {
    { "FCD", "fcd", 2 }, { "relative", "fcd_relative", 4 }, { "precision", "precision", 3 },
    { "recall", "recall", 3 }, { "KL", "kl_to_uniform", 3 }, { "classes", "classes_covered", 0 },
    { "patches", "patch_wasserstein", 4 }, { "MS-SSIM", "ms_ssim", 3 },
    { "grain", "grain", 2 }, { "checker", "checkerboard", 2 },
    { "content", "content_distance", 4 }, { "L1", "l1", 4 },
    { "cloth", "cloth_wasserstein", 4 },
    { "coher.16", "coherence_16", 3 }, { "cover.16", "coverage_16", 3 }, { "m16", "m16", 3 },
    { "coher.32", "coherence_32", 3 }, { "cover.32", "coverage_32", 3 }, { "m32", "m32", 3 } };
typedef struct Row { const char *name, *key; double value[MEASURES]; } Row;

static Row row_new(const char *name, const char *key) {
    Row row = { .name = name, .key = key };
    for (int k = 0; k < MEASURES; k++) row.value[k] = NAN;
    return row;
}

/* The sets: where pictures come from, and how they are spoiled: x = keep x + noise N(0,1), or means
 * of 3x3. CONTENTS are of recipes that repaint. Noise on cloth must not pass for a pattern: the
 * black around a content stays, and where keep < 1 it first gets the mean of a real picture's
 * cloth, x = to + keep (x - from). That passes FCD and the patches of whole pictures; those of
 * cloth alone reject it. KEPT: what of a content is to be kept: of a drawing the picture that was
 * drawn, else all of it. */
enum { OF_G, CONTENTS, KEPT, OTHERS, REFERENCE };
enum { MADE, SETS = 9 };
static const struct { const char *name, *key; int from; float keep, noise; int blur; } kinds[] = {
    { "this run", "run", OF_G, 1, 0, 0 },
    { "the contents, untouched", "untouched", CONTENTS, 1, 0, 0 },
    { "  + noise of 0.2", "untouched_noise_0.2", CONTENTS, 1, 0.2f, 0 },
    { "  + 0.3, as bright as real ones", "untouched_bright_noise_0.3", CONTENTS, 0.5f, 0.3f, 0 },
    { "other real pictures: the floor", "real", OTHERS, 1, 0, 0 },
    { "  + noise of 0.1", "noise_0.1", OTHERS, 1, 0.1f, 0 },
    { "  + noise of 0.3", "noise_0.3", OTHERS, 1, 0.3f, 0 },
    { "  blurred, means of 3x3", "blurred", OTHERS, 1, 0, 1 },
    { "noise alone", "noise", OTHERS, 0, 1, 0 },
    { "the reference", "reference", REFERENCE, 1, 0, 0 } };

/* What is kept of a set of pictures */
typedef struct Seen {
    long n, pairs;
    float *feature, *patch;                 /* (n,width), (n * patches, side*side*c) */
    int *label;                             /* (n): the class that the classifier tells */
    double ssim, content, l1;               /* of pairs of one class, and of what was to be kept */
    double surface[3];                      /* sums, see measure_surface */
} Seen;

typedef struct Evaluation {
    Run *run;
    ImageSet test, contents;                /* the test part, or the set; what is repainted */
    int split, patches, side, square;       /* 1: there is a test part; patches of each picture, */
    Gan classifier;                         /* their sides, and numbers of one */
    int width;                              /* numbers of a picture's features */
    Seen reference;
    int unpaired, drawings, repaints;       /* FEED_UNPAIRED; FEED_DRAWINGS; one of them */
    long each;                              /* numbers of a picture */
} Evaluation;

static void forget(Seen *s) { free(s->feature), free(s->patch), free(s->label); }

/* Pictures first..first+count-1 of a kind. The reference is the test part, or one half of a set
 * that has none, in an order drawn at random; the other half is the floor. */
static void fetch_real(Evaluation *e, int from, long first, long count, float *x) {
    const ImageSet *set = &e->run->set, *s = from == OTHERS ? set : &e->test;
    if (e->unpaired && (from == CONTENTS || from == KEPT)) s = &e->contents;
    for (long i = first; i < first + count; i++, x += e->each) {
        long index = i, half = e->split || from != OTHERS ? 0 : set->count / 2;
        if (s != &e->contents && (!e->split || s == set)) index = walk(e->run, half + i);
        must(imageset_get(s, index % s->count, x, NULL));
        if (from == CONTENTS && e->drawings) draw_edges(e->run, x);
    }
}

/* Batch `index` of what G makes: of noise, and where it is told the class, one class after the
 * other; or of contents */
static void draw_pictures(Evaluation *e, long index, float *x) {
    Gan *gan = &e->run->gan;
    long batch = gan->options.batch;
    if (e->run->recipe->feeds == FEED_CLASSES) feed_every_class(e->run, index * batch, 1);
    if (e->repaints) {
        fetch_real(e, CONTENTS, index * batch, batch, x);
        gan->ops->upload(gan->content, x, batch * e->each);
    }
    gan_sample(gan, index, x);
}

static int is_cloth(float x) { return x > -0.96f; }

static float mean_of_cloth(const float *x, long n) {
    double sum = 0, inside = 0;
    for (long i = 0; i < n; i++) sum += is_cloth(x[i]) ? x[i] : 0, inside += is_cloth(x[i]);
    return sum / fmax(inside, 1);
}

/* means of 3x3, edges repeated, of a picture (side,side,c) */
static void blur(float *x, int side, int c) {
    float *before = new_floats(side * side * c);
    memcpy(before, x, side * side * c * sizeof *x);
    for (int p = 0; p < side * side * c; p++) {
        float sum = 0;
        for (int k = 0; k < 9; k++) {
            int row = fmax(0, fmin(side - 1, p / (side * c) + k / 3 - 1));
            int column = fmax(0, fmin(side - 1, p / c % side + k % 3 - 1));
            sum += before[(row * side + column) * c + p % c];
        }
        x[p] = sum / 9;
    }
    free(before);
}

/* Picture number i of a kind, x, is spoiled; like: another picture, for its brightness */
static void spoil(const Evaluation *e, int kind, float *x, const float *like, long i) {
    float keep = kinds[kind].keep, noise = kinds[kind].noise, from = 0, to = 0;
    int contents = kinds[kind].from == CONTENTS;
    if (contents && keep < 1) from = mean_of_cloth(x, e->each), to = mean_of_cloth(like, e->each);
    for (long p = 0; p < e->each && noise > 0; p++) {
        float z = sample_normal(e->run, YARDSTICK + kind, i * e->each + p);
        if (!contents || is_cloth(x[p]))
            x[p] = image_clamp(to + keep * (x[p] - from) + noise * z, -1, 1);
    }
    if (kinds[kind].blur) blur(x, e->run->options.size, e->run->set.c);
}

/* What a classifier tells of a batch of pictures x: their classes (batch), and unless NULL the
 * features (batch,width) */
static void classify(Gan *gan, const float *x, int *class, float *feature) {
    const Node *in = &gan->g.node[gan->g_content], *logits = &gan->g.node[gan->g_picture];
    const Node *hidden = &gan->g.node[gan->g_features];
    long batch = gan->options.batch;
    float *score = new_floats(batch * logits->c), *at = score;
    gan->ops->upload(in->y, x, batch * in->h * in->w * in->c);
    net_forward(&gan->g, 0);
    gan->ops->download(score, logits->y, batch * logits->c);
    if (feature) gan->ops->download(feature, hidden->y, batch * hidden->c);
    for (long i = 0; i < batch; i++, at += logits->c) {
        class[i] = 0;
        for (int k = 1; k < logits->c; k++)
            if (at[k] > at[class[i]]) class[i] = k;
    }
    free(score);
}

/* What the classifier sees of `n` pictures of a set */
static Seen see(Evaluation *e, int kind, long n) {
    int c = e->run->set.c, size = e->run->options.size, classes = e->run->set.classes;
    long batch = e->run->gan.options.batch, each = e->each;
    float *x = e->run->made, *kept = e->run->pixels;
    float *last = new_floats(classes * each), *there = new_floats(classes);  /* of each class */
    Seen s = { .n = n, .feature = new_floats((n + batch) * e->width),
               .patch = new_floats(n * e->patches * e->square),
               .label = room_for(n + batch, sizeof(int)) };
    for (long first = 0; first < n; first += batch) {
        long count = fmin(batch, n - first);
        if (kind == MADE) draw_pictures(e, first / batch, x);
        else fetch_real(e, kinds[kind].from, first, count, x);
        if (kinds[kind].from == CONTENTS) fetch_real(e, OTHERS, first, count, kept);
        for (long i = 0; i < count; i++) spoil(e, kind, x + i * each, kept + i * each, first + i);
        if (e->repaints) fetch_real(e, KEPT, first, count, kept);
        classify(&e->classifier, x, s.label + first, s.feature + first * e->width);
        for (long i = 0; i < count; i++) {
            const float *picture = x + i * each, *keep = kept + i * each;
            int class = s.label[first + i];
            if (e->repaints) {
                s.content += measure_content_distance(picture, c, keep, c, NULL, size, size, BLOCK)
                             / n;
                for (long p = 0; p < each; p++) s.l1 += fabs(picture[p] - keep[p]) / (n * each);
            }
            measure_surface(s.surface, picture, size, size, c);
            measure_patches(s.patch + (first + i) * e->patches * e->square, picture, size, size, c,
                            e->side, e->patches, first + i);
            if (there[class] && s.pairs < PAIRS)
                s.ssim += measure_ms_ssim(last + class * each, picture, size, size, c), s.pairs++;
            memcpy(last + class * each, picture, each * sizeof *last);
            there[class] = 1;
        }
    }
    free(last), free(there);
    return s;
}

/* Of n patches those that are cloth all over, without their mean: to; how many. What is left is
 * folds and patterns. */
static long cloth_patches(float *to, const float *patch, long n, int width) {
    long found = 0;
    for (long i = 0; i < n; i++, patch += width) {
        double sum = 0;
        int inside = 1;
        for (int p = 0; p < width; p++) sum += patch[p], inside &= is_cloth(patch[p]);
        for (int p = 0; p < width && inside; p++)
            to[found * width + p] = patch[p] - (float)(sum / width);
        found += inside;
    }
    return found;
}

static double cloth_distance(const Seen *s, const Seen *r, int patches, int width) {
    float *mine = new_floats(s->n * patches * width), *theirs = new_floats(r->n * patches * width);
    long a = cloth_patches(mine, s->patch, s->n * patches, width);
    long b = cloth_patches(theirs, r->patch, r->n * patches, width);
    double distance = NAN;
    if (a >= LEAST_CLOTH && b >= LEAST_CLOTH)
        distance = measure_sliced_wasserstein(mine, theirs, fmin(a, b), width, DIRECTIONS, 1, 1);
    free(mine), free(theirs);
    return distance;
}

/* A set against the reference. Contents of another kind have classes of their own: no KL, no count
 * of classes */
static Row compare(const Evaluation *e, int kind, const Seen *s) {
    const Seen *r = &e->reference;
    int classes = e->run->set.classes, width = e->width;
    long n = fmin(s->n, r->n);
    double trace, share[RUN_CLASSES];
    Row row = row_new(kinds[kind].name, kinds[kind].key);
    double *v = row.value;
    v[FCD] = measure_frechet(s->feature, s->n, r->feature, r->n, width, &trace);
    v[RELATIVE] = v[FCD] / trace;
    measure_precision_recall(&v[PRECISION], &v[RECALL], r->feature, n, s->feature, n, width,
                             NEIGHBOUR);
    v[PATCHWISE] = measure_sliced_wasserstein(s->patch, r->patch, n * e->patches, e->square,
                                              DIRECTIONS, 1, 0);
    if (s->pairs) v[SSIM] = s->ssim / s->pairs;
    v[GRAIN] = s->surface[0] / s->surface[1] / (r->surface[0] / r->surface[1]);
    v[CHECKER] = s->surface[2] / s->n / (r->surface[2] / r->n);
    if (e->repaints) v[CONTENT] = s->content, v[L1] = s->l1;
    if (e->unpaired) v[CLOTH] = cloth_distance(s, r, e->patches, e->square);
    else {
        measure_histogram(share, s->label, s->n, classes);
        v[KL] = measure_kl_to_uniform(share, classes), v[COVERED] = measure_covered(share, classes);
    }
    return row;
}

/* ---------------------------------------------------------------- table, metrics.json */

static void print_rows(const Row *row, int rows) {
    for (int i = -1; i < rows; i++) {
        printf("%-34s", i < 0 ? "" : row[i].name);
        for (int k = 0; k < MEASURES; k++) {
            if (isnan(row[0].value[k])) continue;
            if (i < 0 || isnan(row[i].value[k])) printf("%11s", i < 0 ? measure[k].head : "-");
            else printf("%11.*f", measure[k].digits, row[i].value[k]);
        }
        printf("\n");
    }
}

/* a JSON string: what would need an escape becomes '?' */
static void json_text(FILE *file, const char *key, const char *text) {
    fprintf(file, "  \"%s\": \"", key);
    for (; *text; text++)
        fputc(strchr("\"\\", *text) || (unsigned char)*text < 32 ? '?' : *text, file);
    fprintf(file, "\",\n");
}

/* Prints the table and writes it: a run's folder gets metrics.json, a file of another name one of
 * its own. contents: their source, or NULL */
static void save_rows(const Run *run, const char *contents, const Row *row, int rows) {
    char path[RUN_PATH];
    const char *from = run->from, *end = strrchr(from, '.'), *slash = strrchr(from, '/');
    int folder = slash ? slash + 1 - from : 0, length = strlen(from);
    FileWrite w;
    if (!strcmp(from + folder, "checkpoint.safetensors"))
        snprintf(path, sizeof path, "%.*smetrics.json", folder, from);
    else snprintf(path, sizeof path, "%.*s.metrics.json",
                  end && !strcmp(end, ".safetensors") ? (int)(end - from) : length, from);
    print_rows(row, rows);
    FILE *file = file_begin(&w, path);
    must(file != NULL);
    fprintf(file, "{\n");
    json_text(file, "run", run->evaluate), json_text(file, "recipe", run->recipe->name);
    json_text(file, "data", run->data), json_text(file, "classifier", run->classifier);
    if (contents) json_text(file, "contents", contents);
    fprintf(file, "  \"step\": %ld,\n  \"samples\": %d,\n", run->gan.step, run->samples);
    fprintf(file, "  \"sets\": {\n");
    for (int i = 0; i < rows; i++) {
        const char *comma = "";
        fprintf(file, "    \"%s\": {", row[i].key);
        for (int k = 0; k < MEASURES; k++) {
            if (isnan(row[i].value[k])) continue;
            fprintf(file, "%s \"%s\": %.9g", comma, measure[k].key, row[i].value[k]);
            comma = ",";
        }
        fprintf(file, " }%s\n", i + 1 < rows ? "," : "");
    }
    fprintf(file, "  }\n}\n");
    must(file_end(&w, 1));
    tell("written to %s", path);
}

/* ---------------------------------------------------------------- generators of pictures */

/* What two runs must share: any part of Fashion-MNIST, but its colours; any number of drawings */
static const char *set_of(const char *source) {
    if (imageset_named(source, "synthetic")) return "synthetic";
    if (!imageset_named(source, "fashion-mnist")) return source;
    return strstr(source, ":tinted") ? "fashion-mnist:tinted" : "fashion-mnist";
}

/* The classifier must have learned the same pictures */
static void open_classifier(Evaluation *e) {
    const Run *run = e->run;
    const Recipe *r = recipe_find("classifier");
    const char *given = run->classifier, *ours = set_of(run->data);
    int size = run->options.size;
    char path[RUN_PATH], command[5000];
    StFile file;
    snprintf(command, sizeof command, "./train --recipe classifier --data %s --size %d", ours,
             size);
    if (!*given)
        die(2, "measuring takes a classifier of the same pictures: %s makes one in "
            "runs/classifier, then say --classifier runs/classifier", command);
    if (access(given, F_OK))
        die(1, "--classifier %s: %s: %s --out %s makes it", given, strerror(errno), command, given);
    checkpoint_path(path, "--classifier", given);
    if (!checkpoint_open(&file, path)) die(1, "--classifier: %s", error_text());
    const char *recipe = st_meta(&file, "recipe"), *source = st_meta(&file, "--data");
    const char *side = st_meta(&file, "--size"), *theirs = source ? set_of(source) : "?";
    if (!recipe || strcmp(recipe, r->name) || strcmp(ours, theirs) || !side || atol(side) != size)
        die(1, "--classifier %s: made with --recipe %s, trained on %s at --size %s, the run on %s "
            "at --size %d: %s makes the right one", path, recipe ? recipe : "(none)", theirs,
            side ? side : "?", ours, size, command);
    if (!run->set.label || run->set.classes > RUN_CLASSES)
        die(1, "%s: the classes of its pictures are not known", run->data);
    st_close(&file);
    GanOptions o = r->defaults;
    o.batch = run->gan.options.batch, o.size = size;
    o.channels = run->gan.options.channels, o.classes = run->set.classes;
    must(gan_begin(&e->classifier, r, &o, run->gan.ops));
    e->classifier.g.training = NET_INPUT;   /* all activations stay, nothing is trained */
    if (!gan_finish(&e->classifier) || !gan_load(&e->classifier, path))
        die(1, "--classifier: %s", error_text());
    e->width = e->classifier.g.node[e->classifier.g_features].c;
}

/* The test part (of what pictures are to become, where those are of another kind: it then takes the
 * data's place), the classifier, and what it sees of the reference */
static void evaluation_open(Evaluation *e, Run *run) {
    int size = run->options.size, feeds = run->recipe->feeds;
    e->run = run, e->patches = PATCHES, e->side = fmin(size, PATCH_SIDE);
    e->square = e->side * e->side * run->set.c;
    e->unpaired = feeds == FEED_UNPAIRED, e->drawings = feeds == FEED_DRAWINGS;
    e->repaints = e->unpaired || e->drawings, e->each = picture_floats(run, run->set.c);
    if (e->unpaired) {
        if (load_test_part(run, &e->contents)) imageset_free(&run->set);
        run->set = run->others, run->data = run->data_b;
        e->patches *= 4;                    /* these sets are small, few patches are all cloth */
    }
    e->split = load_test_part(run, &e->test);
    long n = e->split ? e->test.count : run->set.count / 2;
    open_classifier(e);
    if (e->drawings) strcpy(e->contents.source, e->test.source), e->contents.count = n;
    if (e->repaints && run->samples > e->contents.count) run->samples = e->contents.count;
    if (run->samples < n) n = run->samples;
    if (n < 2 * NEIGHBOUR)
        die(1, "%s: %ld pictures to compare with, expected %d or more", run->data, n,
            2 * NEIGHBOUR);
    e->reference = see(e, SETS, n);
}

static void evaluate_pictures(Run *run) {
    static Evaluation e;
    Row row[SETS];
    int rows = 0;
    evaluation_open(&e, run);
    long others = e.split ? run->set.count : run->set.count / 2;
    tell("%d pictures of %s against %ld of %s, judged by %s", run->samples, run->evaluate,
         e.reference.n, e.split ? e.test.source : "half of the data", run->classifier);
    for (int kind = MADE; kind < SETS; kind++) {
        int from = kinds[kind].from, spoiled = kinds[kind].noise > 0;
        if (from == CONTENTS && !e.unpaired && (!e.drawings || spoiled)) continue;
        Seen s = see(&e, kind, from == OTHERS ? fmin(others, run->samples) : run->samples);
        row[rows] = compare(&e, kind, &s);
        if (isnan(row[rows++].value[FCD]))
            die(1, "%s: the features of %s are not finite", run->evaluate, kinds[kind].name);
        forget(&s);
    }
    save_rows(run, e.repaints ? e.contents.source : NULL, row, rows);
    forget(&e.reference), gan_free(&e.classifier);
}

/* Of the pictures that the recipe classifier has not been trained with, the share whose class it
 * tells */
static inline void print_accuracy(Run *run) {
    ImageSet part;
    int test = load_test_part(run, &part);
    long batch = run->gan.options.batch, right = 0, each = picture_floats(run, part.c);
    int *class = room_for(batch, sizeof *class);
    for (long done = 0; done < part.count; done += batch) {
        long n = fmin(batch, part.count - done);
        for (long i = 0; i < n; i++)
            must(imageset_get(&part, done + i, run->pixels + i * each, NULL));
        classify(&run->gan, run->pixels, class, NULL);
        for (long i = 0; i < n; i++) right += class[i] == part.label[done + i];
    }
    printf("accuracy %.2f%% on the %ld pictures %s\n", 100. * right / part.count, part.count, test ?
           "of the test part" : "it was trained with: this data set has no test part");
    free(class);
    if (test) imageset_free(&part);
}

/* ---------------------------------------------------------------- prints */

/* What G prints of each style, or of MOST_STYLES of them, beside the untouched contents, crops of
 * the style, and noise of their colours; bank: other crops, which all are compared with. */
enum { PRINTED, UNTOUCHED, CROPS, COLOURED_NOISE, BANK, MOST_STYLES = 8 };

/* x: each numbers with the means and deviations of the crop's channels */
static void coloured_noise(const Run *run, long i, const float *crop, long each, float *x) {
    for (int c = 0; c < 3; c++) {
        double sum = 0, squares = 0, n = each / 3;
        for (long p = c; p < each; p += 3) sum += crop[p], squares += (double)crop[p] * crop[p];
        double deviation = sqrt(fmax(squares / n - sum / n * sum / n, 0));
        for (long p = c; p < each; p += 3) {
            float z = sample_normal(run, YARDSTICK + COLOURED_NOISE, i * each + p);
            x[p] = image_clamp(sum / n + deviation * z, -1, 1);
        }
    }
}

/* Motifs of 16 and 32 pixels, each shrunk to 8x8: MOTIF_SQUARE numbers. All squares are drawn at
 * random from `count` pictures (h,w,3), one after the other. */
enum { MOTIF = 8, MOTIF_SQUARE = MOTIF * MOTIF * 3, MOTIF_BANK = 12000, MOTIF_PRINT = 6000,
       MOTIF_ASKED = 1500, PRINTS = 48 };
static void draw_motifs(float *to, long n, int shrink, const Image *from, long count, int stream) {
    memset(to, 0, n * MOTIF_SQUARE * sizeof *to);
    for (long i = 0; i < n; i++, to += MOTIF_SQUARE) {
        int side = MOTIF * shrink, h = from->h, w = from->w;
        uint64_t purpose = STREAM(STREAM_SAMPLE, (1L << 31) + stream);
        const float *x = from->pixels + philox_below(1, purpose, 3 * i, count) * (long)h * w * 3;
        long y0 = philox_below(1, purpose, 3 * i + 1, h - side + 1);
        long x0 = philox_below(1, purpose, 3 * i + 2, w - side + 1);
        for (int p = 0; p < side * side; p++)
            for (int c = 0; c < 3; c++)
                to[(p / side / shrink * MOTIF + p % side / shrink) * 3 + c] +=
                    x[((y0 + p / side) * w + x0 + p % side) * 3 + c] / (shrink * shrink);
    }
}

/* The mean of min |x - y|^2 over the first MOTIF_ASKED of x */
static double motif_distance(const Ops *ops, const float *x, const float *y, long ny) {
    enum { N = MOTIF_ASKED };
    double sum = 0;
    float least[N];
    real *at = ops->alloc(N * MOTIF_SQUARE), *of = ops->alloc(ny * MOTIF_SQUARE);
    real *index = ops->alloc(N), *near = ops->alloc(N);
    if (!at || !of || !index || !near) die(1, "not enough memory for motifs");
    ops->upload(at, x, N * MOTIF_SQUARE), ops->upload(of, y, ny * MOTIF_SQUARE);
    ops->nearest(index, near, at, of, NULL, N, ny, MOTIF_SQUARE);
    ops->download(least, near, N);
    for (int i = 0; i < N; i++) sum += least[i] / N;
    ops->release(at), ops->release(of), ops->release(index), ops->release(near);
    return sum;
}

/* Of prints x (samples,size,size,3) of one style, added to the row's measures with this weight; of:
 * the style, `count` pictures, one behind the other
 *   coherence   how far the print's motifs are from the nearest of the style; coverage the reverse
 *   m           their sum; all in units of 2 var, the mean squared distance of two of the style's
 * (Simakov, Caspi, Shechtman, Irani 2008: bidirectional similarity) */
static void add_motifs(const Run *run, Row *row, const Image *x, const Image *of, long count,
                       double weight) {
    const Ops *ops = run->gan.ops;
    float *bank = new_floats(MOTIF_BANK * MOTIF_SQUARE);
    float *print = new_floats(MOTIF_PRINT * MOTIF_SQUARE);
    for (int k = 0; k < 2; k++) {
        int side = 2 * MOTIF << k;
        if (side > (count > 1 ? x->h * 2 / 3 : x->h)) break;      /* few crops hold few of them */
        double *v = row->value + MOTIFS + 3 * k, mean[MOTIF_SQUARE] = {0}, spread = 0;
        draw_motifs(bank, MOTIF_BANK, 2 << k, of, count, 2 * k);
        draw_motifs(print, MOTIF_PRINT, 2 << k, x, run->samples, 2 * k + 1);
        for (long i = 0; i < (long)MOTIF_BANK * MOTIF_SQUARE; i++)
            mean[i % MOTIF_SQUARE] += bank[i] / MOTIF_BANK;
        for (long i = 0; i < (long)MOTIF_BANK * MOTIF_SQUARE; i++) {
            double d = bank[i] - mean[i % MOTIF_SQUARE];
            spread += 2 * d * d / MOTIF_BANK;
        }
        double unit = weight / fmax(spread, 1e-4 * MOTIF_SQUARE);      /* of one colour: 1% */
        double coherence = unit * motif_distance(ops, print, bank, MOTIF_BANK);
        double coverage = unit * motif_distance(ops, bank, print, MOTIF_PRINT);
        if (isnan(v[0])) v[0] = v[1] = v[2] = 0;
        v[0] += coherence, v[1] += coverage, v[2] += coherence + coverage;
    }
    free(bank), free(print);
}

/* Prints of one style, each in that of a crop, to x (samples,size,size,3). Returns how far they are
 * from their contents, the mean of measure_content_distance; NaN where there are none. */
static double print_style(Run *run, int kind, int style, float *x) {
    Gan *gan = &run->gan;
    int size = run->options.size, c = gan_content(gan);
    long each = picture_floats(run, 3), pixels = each / 3, batch = gan->options.batch;
    double distance = c ? 0 : NAN;
    float *crops = new_floats(batch * each);
    for (long done = 0; done < run->samples; done += batch) {
        for (long i = 0; i < batch; i++) {
            float u[5];
            draw_uniforms(run, u, 5, STREAM_CROP, YARDSTICK + (kind == BANK), done + i);
            u[0] = (style + .5f) / run->style_count;
            style_crop(run, crops + i * each, u);
            if (c) must(imageset_get(&run->set, (done + i) % run->set.count,
                                     run->pixels + i * pixels * c, run->masks + i * pixels));
        }
        if (c) gan->ops->upload(gan->content, run->pixels, batch * pixels * c);
        gan->ops->upload(gan->x_real, crops, batch * each);
        if (gan->given) feed_every_class(run, style * batch, batch);
        if (kind == PRINTED) gan_sample(gan, done / batch, run->made);
        for (long i = 0; i < batch && done + i < run->samples; i++, x += each) {
            const float *content = run->pixels + i * pixels * c;
            if (kind == COLOURED_NOISE) coloured_noise(run, done + i, crops + i * each, each, x);
            else if (kind == UNTOUCHED) image_channels(x, 3, content, c, pixels);
            else memcpy(x, (kind == PRINTED ? run->made : crops) + i * each, each * sizeof *x);
            if (c) distance += measure_content_distance(x, 3, content, c, gan->mask ? run->masks
                                   + i * pixels : NULL, size, size, BLOCK) / run->samples;
        }
    }
    free(crops);
    return distance;
}

static void evaluate_prints(Run *run) {
    static const char *const name[BANK] = { "this run", "the contents, untouched",
        "crops of the style: the floor", "noise of the style's colours" };
    static const char *const key[BANK] = { "run", "untouched", "style", "noise" };
    Row row[BANK];
    int rows = 0, contents = gan_content(&run->gan), size = run->options.size;
    int styles = fmin(run->style_count, MOST_STYLES);
    if (!option_given(run->table, "--samples")) run->samples = PRINTS;
    long prints = run->samples * picture_floats(run, 3);
    Image x = { size, size, 3, new_floats(prints), NULL, 0 }, bank = x;
    bank.pixels = new_floats(prints);
    for (int k = 0; k < BANK; k++) {
        if (k == UNTOUCHED && !contents) continue;
        Row *r = &row[rows++];
        *r = row_new(name[k], key[k]);
        r->value[CONTENT] = 0;
        for (int j = 0; j < styles; j++) {
            int which = j * run->style_count / styles;
            double weight = 1. / styles;
            r->value[CONTENT] += print_style(run, k, which, x.pixels) * weight;
            if (contents) print_style(run, BANK, which, bank.pixels);  /* cut out at any scale */
            add_motifs(run, r, &x, contents ? &bank : &run->styles[which],
                       contents ? run->samples : 1, weight);
        }
    }
    tell("motifs of 16 and 32 pixels in %d pictures of %s in each of %d styles against %s",
         run->samples, run->evaluate, styles, run->style);
    save_rows(run, NULL, row, rows);
    image_free(&x), image_free(&bank);
}

/* ---------------------------------------------------------------- the jobs */

/* A classifier, or --evaluate, that the recipe has no use for is refused */
static inline void check_measurable(const Run *run) {
    const Recipe *r = run->recipe;
    if (feeds_on_styles(r) && *run->classifier)
        die(2, "--classifier: FCD is of recipes that draw pictures of the data set; --evaluate "
            "measures the recipe %s by its style: omit it", r->name);
    if (r->feeds == FEED_CROPS || r->feeds == FEED_LABELS)
        die(1, "the recipe %s cannot be measured so: it makes no pictures. --evaluate takes runs "
            "of the other recipes", r->name);
}

static inline void evaluate(Run *run) {
    StFile file;                            /* compressed or not */
    must(checkpoint_open(&file, run->from)
         && net_load(&run->gan.g, &file, run->from, run->recipe->name));
    const char *step = st_meta(&file, "step");
    run->gan.step = step ? atol(step) : 0;
    st_close(&file);
    if (feeds_on_styles(run->recipe)) evaluate_prints(run);
    else evaluate_pictures(run);
}

static inline void compress(Run *run) {
    const char *from = run->from, *out = run->out;
    StFile file;
    CompressReport report;
    struct stat before, after;
    if (!*out) die(2, "--compress needs --out: the file to write, such as small.safetensors");
    if (is_folder(out)) die(1, "--out %s: is a folder, expected the name of a file", out);
    if (same_file(out, from))
        die(1, "--out %s: would overwrite the run that is read, choose another name", out);
    if (!access(out, F_OK) && !run->overwrite)
        die(1, "--out %s: is there already: another --out keeps it, or --overwrite", out);
    must(checkpoint_open(&file, from));
    const char *recipe = st_meta(&file, "recipe");
    if (recipe && !strcmp(recipe, "classifier"))
        die(1, "%s: the recipe %s has no generator to compress", from, recipe);
    int good = compress_write(out, &file, run->prune, run->quantize, &report);
    st_close(&file);
    if (!good) die(1, "%s: %s", from, error_text());
    if (stat(from, &before) || stat(out, &after)) die(1, "%s: %s", out, strerror(errno));
    tell("%s: %.1f kB; its generator: %ld numbers, %.1f kB as float32", from, before.st_size / 1e3,
         report.numbers, 4 * report.numbers / 1e3);
    tell("%s: %.1f kB; of %ld weights %ld are zero (%.1f%%)", out, after.st_size / 1e3,
         report.weights, report.zeros,
         report.weights ? 100. * report.zeros / report.weights : 0);
}
#endif
