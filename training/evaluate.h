/* evaluate.h: how good a run's pictures are: ./train --evaluate RUN; and ./train --compress RUN.
 * measures.h has the
 * measures themselves, core/compress.h the file.
 *
 * A generator of pictures is measured against the data set's test part, with the features of a
 * classifier (./train
 * --recipe classifier). One that repaints pictures (cyclegan, pattern, pix2pix) repaints the test
 * part, and is measured
 * against the pictures that these are to become like; a painter of styles against crops of its
 * style, with
 * features_random. Beside it stand yardsticks, measured in the same way: other real pictures, which
 * is the floor, and
 * pictures that were spoiled on purpose. Which pictures are drawn follows from the run's --seed and
 * --samples alone. */
#ifndef EVALUATE_H
#define EVALUATE_H
#include "core/compress.h"
#include "core/error.h"
#include "core/files.h"
#include "training/batch.h"
#include "training/measures.h"
#include "training/run.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { JUDGE_BATCH = 50, PATCH_SIDE = 7, PATCHES = 4, PAIRS = 1000, NEIGHBOUR = 3, DIRECTIONS = 64,
      BLOCK = 4,
       LEAST_CLOTH = 50 };

/* One row of the table: a set of pictures, measured. Not every recipe has every number: NaN */
enum { FCD, RELATIVE, PRECISION, RECALL, KL, COVERED, PATCHWISE, SSIM, GRAM_DISTANCE,
      CONTENT_DISTANCE, L1, CLOTH, MEASURES };
static const struct { const char *head, *key; int digits; } measure[MEASURES] = {
    { "FCD", "fcd", 2 }, { "relative", "fcd_relative", 4 }, { "precision", "precision", 3 },
        { "recall", "recall", 3 },
    { "KL", "kl_to_uniform", 3 }, { "classes", "classes_covered", 0 },
        { "patches", "patch_wasserstein", 4 },
    { "MS-SSIM", "ms_ssim", 3 }, { "Gram", "gram_distance", 3 }, { "content", "content_distance",
        4 }, { "L1", "l1", 4 },
    { "cloth", "cloth_wasserstein", 4 } };
typedef struct Row { const char *name, *key; double value[MEASURES]; } Row;

static Row row_new(const char *name, const char *key) {
    Row row = { name, key, {0} };
    for (int k = 0; k < MEASURES; k++) row.value[k] = NAN;
    return row;
}

/* The sets: where pictures come from, and how they are spoiled: x = keep x + noise N(0,1), or
 * means of 3x3. CONTENTS are of recipes that repaint. Noise on cloth must not pass for a
 * pattern: the black around a content stays, and where keep < 1 it first gets the mean of a real
 * picture's cloth, x = to + keep (x - from). That passes FCD and the patches of whole pictures;
 * those of cloth alone reject it. KEPT: what of a content is to be kept: of a drawing the
 * picture that was drawn, else all of it. */
enum { OF_G, CONTENTS, KEPT, OTHERS, REFERENCE };
enum { MADE, SETS = 9 };
static const struct Pictures { const char *name, *key; int from; float keep,
                              noise; int blur; } kinds[] = {
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
    /* the sum over pairs of one class; mean distances to what was to be kept */
    double ssim, content, l1;
} Seen;

typedef struct Evaluation {
    Run *run;
    /* the test part, or the set itself; what is repainted, but for drawings */
    ImageSet test, contents;
    /* 1: there is a test part; patches of each picture, and their side */
    int split, patches, side;
    Gan classifier;
    Seen reference;
} Evaluation;

static void forget(Seen *s) { free(s->feature), free(s->patch), free(s->label); }

/* normal number i of a yardstick's noise */
static float evaluation_normal(const Run *run, int kind, long i) {
    float z[4];
    philox_normals(z, run->options.seed, STREAM(STREAM_SAMPLE, (1L << 30) + kind), (uint64_t)i / 4);
    return z[i % 4];
}

/* Pictures first..first+count-1 of a kind. The reference is the test part, or of a set that has
 * none one half, in an order drawn at random; the other half is the floor. */
static void fetch_real(Evaluation *e, int from, long first, long count, float *x) {
    Run *run = e->run;
    int feeds = run->recipe->feeds, contents = from == CONTENTS || from == KEPT;
    for (long i = first; i < first + count; i++, x += picture_floats(run, run->set.c)) {
        const ImageSet *s = feeds == FEED_UNPAIRED && contents ? &e->contents : from == OTHERS
            ? &run->set : &e->test;
        long index = s == &e->contents ? i : e->split && from != OTHERS ? i % e->test.count :
            walk(run, e->split || from != OTHERS ? i : run->set.count / 2 + i);
        must(imageset_get(s, index % s->count, x, NULL));
        if (from == CONTENTS && feeds == FEED_DRAWINGS) draw_edges(run, x);
    }
}

static int repaints(const Run *run) {
    return run->recipe->feeds == FEED_UNPAIRED || run->recipe->feeds == FEED_DRAWINGS;
}

/* Batch `index` of what G makes: of noise, and where it is told the class, one class after the
 * other; or of contents */
static void draw_pictures(Evaluation *e, long index, float *x) {
    Gan *gan = &e->run->gan;
    long batch = gan->options.batch;
    if (e->run->recipe->feeds == FEED_CLASSES) upload_every_class(e->run, index * batch, 1);
    if (repaints(e->run)) {
        fetch_real(e, CONTENTS, index * batch, batch, x);
        gan->ops->upload(gan->content, x, batch * picture_floats(e->run, e->run->set.c));
    }
    gan_sample(gan, (uint64_t)index, x);
}

static int is_cloth(float x) { return x > -0.96f; }

static float mean_of_cloth(const float *x, long n) {
    double sum = 0, inside = 0;
    for (long i = 0; i < n; i++) sum += is_cloth(x[i]) ? x[i] : 0, inside += is_cloth(x[i]);
    return (float)(sum / fmax(inside, 1));
}

/* means of 3x3, edges repeated, of a picture (side,side,c) */
static void blur(float *x, long side, int c) {
    long each = side * side * c;
    float *before = room_for((double)each, sizeof *before);
    memcpy(before, x, sizeof *before * (size_t)each);
    for (long p = 0; p < each; p++) {
        float sum = 0;
        for (long k = 0; k < 9; k++) {
            long row = p / (side * c) + k / 3 - 1, column = p / c % side + k % 3 - 1;
            row = row < 0 ? 0 : row >= side ? side - 1 : row;
            column = column < 0 ? 0 : column >= side ? side - 1 : column;
            sum += before[(row * side + column) * c + p % c];
        }
        x[p] = sum / 9;
    }
    free(before);
}

/* Picture number i of a kind, x, is spoiled; like: another picture, for its brightness */
static void spoil(const Run *run, int kind, float *x, const float *like, long i) {
    const struct Pictures *k = &kinds[kind];
    long each = picture_floats(run, run->set.c);
    int bright = k->from == CONTENTS && k->keep < 1;
    float from = bright ? mean_of_cloth(x, each) : 0, to = bright ? mean_of_cloth(like, each) : 0;
    for (long p = 0; p < each && k->noise > 0; p++)
        if (k->from != CONTENTS || is_cloth(x[p]))
            x[p] = fmaxf(-1, fminf(1, to + k->keep * (x[p] - from)
                                      + k->noise * evaluation_normal(run, kind, i * each + p)));
    if (k->blur) blur(x, run->options.size, run->set.c);
}

static int best_class(const float *score, int classes) {
    int best = 0;
    for (int k = 1; k < classes; k++)
        if (score[k] > score[best]) best = k;
    return best;
}

/* What the classifier sees of `n` pictures of a set */
static Seen see(Evaluation *e, int kind, long n) {
    Run *run = e->run;
    Gan *classifier = &e->classifier;
    Node *in = &classifier->g.node[classifier->g_content],
        *logits = &classifier->g.node[classifier->g_picture];
    Node *features = &classifier->g.node[classifier->g_features];
    int c = in->c, width = features->c, size = run->options.size, classes = logits->c;
    long batch = run->gan.options.batch, each = picture_floats(run, c),
        square = e->side * e->side * c;
    Seen s = { .n = n, .feature = room_for((double)(n + JUDGE_BATCH) * width, sizeof(float)),
               .patch = room_for((double)n * e->patches * (double)square, sizeof(float)),
                   .label = room_for((double)n, sizeof(int)) };
    float *x = room_for((double)(JUDGE_BATCH + batch) * (double)each, sizeof *x),
        *score = room_for(JUDGE_BATCH * classes, sizeof *score);
    float *last = room_for((double)classes * (double)each, sizeof *last),
        *kept = room_for(JUDGE_BATCH * (double)each, sizeof *kept);
    /* last: the last picture of each class that there has been */
    char *there = room_for(classes, 1);
    for (long first = 0, draw = 0, ready = 0; first < n; first += JUDGE_BATCH) {
        long count = n - first < JUDGE_BATCH ? n - first : JUDGE_BATCH;
        /* G draws in batches of its own size: what is left over waits in x */
        for (; kind == MADE && ready < count; ready += batch, draw++) draw_pictures(e, draw,
            x + ready * each);
        if (kind != MADE) fetch_real(e, kinds[kind].from, first, count, x);
        if (kinds[kind].from == CONTENTS) fetch_real(e, OTHERS, first, count, kept);
        for (long i = 0; i < count; i++) spoil(run, kind, x + i * each, kept + i * each, first + i);
        if (repaints(run)) fetch_real(e, KEPT, first, count, kept);
        classifier->ops->upload(in->y, x, JUDGE_BATCH * each);
        net_forward(&classifier->g, 0);
        classifier->ops->download(s.feature + first * width, features->y, JUDGE_BATCH * width);
        classifier->ops->download(score, logits->y, JUDGE_BATCH * classes);
        for (long i = 0; i < count; i++) {
            const float *picture = x + i * each, *keep = kept + i * each;
            int best = s.label[first + i] = best_class(score + i * classes, classes);
            if (repaints(run)) {
                s.content += measure_content_distance(picture, c, keep, c, NULL, size, size,
                                                      BLOCK) / (double)n;
                for (long p = 0; p < each; p++) s.l1 += fabs(picture[p] - keep[p]) / (double)(n * each);
            }
            measure_patches(s.patch + (first + i) * e->patches * square, picture, size, size, c,
                            e->side, e->patches, (uint64_t)(first + i));
            if (there[best] && s.pairs < PAIRS) s.ssim += measure_ms_ssim(last + best * each,
                picture, size, size, c), s.pairs++;
            memcpy(last + best * each, picture, sizeof *last * (size_t)each);
            there[best] = 1;
        }
        if (kind == MADE) memmove(x, x + count * each,
                                  sizeof *x * (size_t)((ready - count) * each)), ready -= count;
    }
    free(x), free(score), free(last), free(there), free(kept);
    return s;
}

/* Of n patches those that are cloth all over, without their mean: to; how many. What is left is
 * folds and patterns. */
static long cloth_patches(float *to, const float *patch, long n, long width) {
    long found = 0;
    for (long i = 0; i < n; i++, patch += width) {
        double sum = 0;
        int inside = 1;
        for (long p = 0; p < width; p++) sum += patch[p], inside = inside && is_cloth(patch[p]);
        for (long p = 0; p < width
             && inside; p++) to[found * width + p] = patch[p] - (float)(sum / (double)width);
        found += inside;
    }
    return found;
}

static double cloth_distance(const Seen *s, const Seen *reference, int patches, long width) {
    float *mine = room_for((double)(s->n * patches * width), sizeof *mine);
    float *theirs = room_for((double)(reference->n * patches * width), sizeof *theirs);
    long a = cloth_patches(mine, s->patch, s->n * patches, width);
    long b = cloth_patches(theirs, reference->patch, reference->n * patches, width);
    double distance = a < LEAST_CLOTH || b < LEAST_CLOTH ? NAN :
        measure_sliced_wasserstein_own(mine, theirs, a < b ? a : b, (int)width, DIRECTIONS, 1);
    free(mine), free(theirs);
    return distance;
}

static double frechet(const Evaluation *e, const Seen *s, double *trace) {
    const Seen *r = &e->reference;
    return measure_frechet(s->feature, s->n, r->feature, r->n,
                           e->classifier.g.node[e->classifier.g_features].c, trace);
}

/* A set against the reference. Contents of another kind have classes of their own: no KL, no
 * count of classes */
static Row compare(const Evaluation *e, int kind, const Seen *s) {
    const Gan *classifier = &e->classifier;
    const Seen *r = &e->reference;
    int classes = classifier->g.node[classifier->g_picture].c,
        width = classifier->g.node[classifier->g_features].c;
    int square = e->side * e->side * classifier->g.node[classifier->g_content].c;
    long n = s->n < r->n ? s->n : r->n;
    double trace, share[RUN_CLASSES];
    Row row = row_new(kinds[kind].name, kinds[kind].key);
    double *v = row.value;
    v[FCD] = frechet(e, s, &trace), v[RELATIVE] = v[FCD] / trace;
    measure_precision_recall(&v[PRECISION], &v[RECALL], r->feature, n, s->feature, n, width,
                             NEIGHBOUR);
    v[PATCHWISE] = measure_sliced_wasserstein(s->patch, r->patch, n * e->patches, square,
                                              DIRECTIONS, 1);
    if (s->pairs) v[SSIM] = s->ssim / (double)s->pairs;
    if (repaints(e->run)) v[CONTENT_DISTANCE] = s->content, v[L1] = s->l1;
    if (e->run->recipe->feeds == FEED_UNPAIRED) v[CLOTH] = cloth_distance(s, r, e->patches, square);
    else {
        measure_histogram(share, s->label, s->n, classes);
        v[KL] = measure_kl_to_uniform(share, classes), v[COVERED] = measure_covered(share, classes);
    }
    return row;
}

/* ---------------------------------------------------------------------------------- table,
 * metrics.json */

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
    for (; *text; text++) fputc(*text == '"' || *text == '\\' || (unsigned char)*text < 32 ? '?'
                                : *text, file);
    fprintf(file, "\",\n");
}

/* A run's folder gets metrics.json, a file of another name one of its own; contents: their
 * source, or NULL */
static void write_json(const Run *run, const char *contents, long n, const Row *row, int rows) {
    char path[RUN_PATH];
    const char *from = run->from, *end = strrchr(from, '.'), *name = strrchr(from, '/');
    FileWrite w;
    name = name ? name + 1 : from;
    if (!strcmp(name, "checkpoint.safetensors")) snprintf(path, sizeof path, "%.*smetrics.json",
                                                          (int)(name - from), from);
    else snprintf(path, sizeof path, "%.*s.metrics.json", end && !strcmp(end, ".safetensors")
                  ? (int)(end - from) : 4000, from);
    FILE *file = file_begin(&w, path);
    must(file != NULL);
    fprintf(file, "{\n");
    json_text(file, "run", run->evaluate), json_text(file, "recipe", run->recipe->name);
    json_text(file, "data", run->data), json_text(file, "classifier", run->classifier);
    if (contents) json_text(file, "contents", contents);
    fprintf(file, "  \"samples\": %ld,\n  \"sets\": {\n", n);
    for (int i = 0; i < rows; i++) {
        const char *comma = "";
        fprintf(file, "    \"%s\": {", row[i].key);
        for (int k = 0; k < MEASURES; k++)
            if (!isnan(row[i].value[k])) fprintf(file, "%s \"%s\": %.9g", comma, measure[k].key,
                                                 row[i].value[k]), comma = ",";
        fprintf(file, " }%s\n", i + 1 < rows ? "," : "");
    }
    fprintf(file, "  }\n}\n");
    must(file_end(&w, 1));
    print_rows(row, rows);
    printf("written to %s\n", path);
}

/* ---------------------------------------------------------------------------------- generators of
 * pictures */

/* What two runs must share: "fashion-mnist:test:plain" -> "fashion-mnist", "synthetic:40" ->
 * "synthetic"; colours are another matter */
static void set_of(char name[400], const char *source) {
    const char *tinted = strstr(source, ":tinted");
    snprintf(name, 400, "%s", source);
    if (!strncmp(name, "fashion-mnist:", 14) || !strncmp(name, "synthetic:", 10))
        strcpy(strchr(name, ':'), *name == 'f' && tinted ? ":tinted" : "");
}

/* The classifier must have learned the same pictures */
static void open_classifier(Evaluation *e) {
    const Run *run = e->run;
    const Recipe *r = recipe_find("classifier");
    const char *given = run->classifier;
    int size = run->options.size;
    char path[RUN_PATH], ours[400], theirs[400], command[1000];
    StFile file;
    set_of(ours, run->data);
    snprintf(command, sizeof command, "./train --recipe classifier --data %s --size %d", ours,
             size);
    if (!*given)
        die(2, "measuring takes a classifier of the same pictures: %s makes one in "
            "runs/classifier, then say --classifier "
            "runs/classifier", command);
    if (access(given, F_OK)) die(1, "--classifier %s: %s: %s --out %s makes it", given,
                                 strerror(errno), command, given);
    checkpoint_path(path, "--classifier", given);
    if (!gan_open(&file, path)) die(1, "--classifier: %s", error_text());
    const char *recipe = st_meta(&file, "recipe"), *side = st_meta(&file, "--size"),
        *source = st_meta(&file, "--data");
    if (!recipe || strcmp(recipe, r->name))
        die(1, "--classifier %s: made with --recipe %s: %s makes a classifier", path, recipe
            ? recipe : "(none)", command);
    set_of(theirs, source ? source : "");
    if (strcmp(ours, theirs) || !side || atol(side) != size)
        die(1, "--classifier %s: trained on %s at --size %s, the run on %s at --size %d: %s makes "
            "the right one", path,
            theirs, side ? side : "?", ours, size, command);
    if (!run->set.label || run->set.classes > RUN_CLASSES) die(1,
        "%s: the classes of its pictures are not known", run->data);
    st_close(&file);
    GanOptions o = r->defaults;
    o.batch = JUDGE_BATCH, o.size = size, o.channels = run->gan.options.channels,
        o.classes = run->set.classes;
    must(gan_begin(&e->classifier, r, &o, run->gan.ops));
    /* all activations stay, nothing is trained */
    e->classifier.g.training = NET_INPUT;
    if (!gan_finish(&e->classifier) || !gan_load(&e->classifier, path)) die(1, "--classifier: %s",
        error_text());
}

/* The test part (of what pictures are to become, where those are of another kind: it then takes
 * the data's place), the classifier, and what it sees of the reference */
static void evaluation_open(Evaluation *e, Run *run) {
    int size = run->options.size;
    *e = (Evaluation){ .run = run, .patches = PATCHES, .side = size < PATCH_SIDE ? size
                      : PATCH_SIDE };
    if (run->recipe->feeds == FEED_UNPAIRED) {
        if (load_test_part(run, &e->contents)) imageset_free(&run->set);
        run->set = run->others, run->data = run->data_b;
        /* these sets are small, and only some patches are all cloth */
        e->patches = 4 * PATCHES;
    }
    e->split = load_test_part(run, &e->test);
    long n = e->split ? e->test.count : run->set.count / 2;
    open_classifier(e);
    if (run->recipe->feeds == FEED_DRAWINGS) strcpy(e->contents.source, e->test.source),
        e->contents.count = n;
    if (repaints(run) && run->samples > e->contents.count) run->samples = (int)e->contents.count;
    if (run->samples < n) n = run->samples;
    if (n < 2 * NEIGHBOUR) die(1, "%s: %ld pictures to compare with, expected %d or more",
                               run->data, n, 2 * NEIGHBOUR);
    e->reference = see(e, SETS, n);
}

static void evaluation_close(Evaluation *e) {
    forget(&e->reference);
    gan_free(&e->classifier);
}

static void evaluate_pictures(Run *run) {
    static Evaluation e;
    Row row[SETS];
    int rows = 0, unpaired = run->recipe->feeds == FEED_UNPAIRED;
    evaluation_open(&e, run);
    long others = e.split ? run->set.count : run->set.count / 2;
    printf("%d pictures of %s against %ld of %s, judged by %s\n", run->samples, run->evaluate,
           e.reference.n,
           e.split ? e.test.source : "half of the data", run->classifier);
    for (int kind = MADE; kind < SETS; kind++) {
        int from = kinds[kind].from;
        if (from == CONTENTS && !unpaired && (!repaints(run) || kinds[kind].noise > 0)) continue;
        Seen s = see(&e, kind, from == OTHERS && others < run->samples ? others : run->samples);
        row[rows] = compare(&e, kind, &s);
        if (isnan(row[rows++].value[FCD]))
            die(1, "%s: the features of %s are not finite, or there is not enough memory",
                run->evaluate, kinds[kind].name);
        forget(&s);
    }
    write_json(run, repaints(run) ? e.contents.source : NULL, run->samples, row, rows);
    evaluation_close(&e);
}

/* Of the pictures that the recipe classifier has not been trained with, the share whose class it
 * tells */
static inline void print_accuracy(Run *run) {
    Gan *gan = &run->gan;
    ImageSet part;
    Node *logits = &gan->g.node[gan->g_picture], *in = &gan->g.node[gan->g_content];
    int test = load_test_part(run, &part), c = logits->c;
    long batch = gan->options.batch, right = 0, each = picture_floats(run, part.c);
    float *score = room_for((double)(batch * c), sizeof *score);
    for (long done = 0; done < part.count; done += batch) {
        long n = part.count - done < batch ? part.count - done : batch;
        for (long i = 0; i < n; i++) must(imageset_get(&part, done + i, run->pixels + i * each,
                                                       NULL));
        gan->ops->upload(in->y, run->pixels, batch * each);
        net_forward(&gan->g, 0);
        gan->ops->download(score, logits->y, batch * c);
        for (long i = 0; i < n; i++) right += best_class(score + i * c, c) == part.label[done + i];
    }
    printf("accuracy %.2f%% on the %ld pictures %s\n", 100 * (double)right / (double)part.count,
           part.count,
           test ? "of the test part" : "it was trained with: this data set has no test part");
    free(score);
    if (test) imageset_free(&part);
}

/* ---------------------------------------------------------------------------------- painters of
 * styles */

/* The same eyes for every run: features_random; for each picture the Gram matrices of its
 * layers, one after the other */
typedef struct Eyes {
    Net net;
    Features f;
    long grams;                             /* numbers of all matrices */
    float *layer;
    double *gram;
} Eyes;

static void eyes_open(Eyes *eyes, const Run *run) {
    static const double gray[3] = { 0.299, 0.587, 0.114 };
    Net *net = &eyes->net;
    int size = run->options.size;
    long layer = 0, gram = 0;
    net_begin(net, "judge", run->gan.ops, 1);
    if (!features_random(&eyes->f, net, size, size) || !net_finish(net, NET_INPUT))
        die(1, "%s", *error_text() ? error_text() : "not enough memory");
    features_draw(&eyes->f, net, 1, gray);
    eyes->grams = 0;
    for (int l = 0; l < eyes->f.layers; l++) {
        const Node *node = &net->node[eyes->f.layer[l].node];
        long square = node->c * node->c, count = (long)node->h * node->w * node->c;
        eyes->grams += square;
        if (square > gram) gram = square;
        if (count > layer) layer = count;
    }
    eyes->layer = room_for((double)layer, sizeof *eyes->layer), eyes->gram = room_for((double)gram,
        sizeof *eyes->gram);
}

/* sum: the picture's matrices are added to it */
static void eyes_see(Eyes *eyes, const float *picture, long count, double *sum) {
    Net *net = &eyes->net;
    net->ops->upload(net->node[eyes->f.picture].y, picture, count);
    net_forward(net, 0);
    for (int l = 0; l < eyes->f.layers; l++) {
        const Node *node = &net->node[eyes->f.layer[l].node];
        long n = (long)node->h * node->w;
        net->ops->download(eyes->layer, node->y, n * node->c);
        measure_gram(eyes->gram, eyes->layer, n, node->c);
        for (int i = 0; i < node->c * node->c; i++) *sum++ += eyes->gram[i];
    }
}

/* The mean over layers of how far two pictures' matrices are apart */
static double eyes_distance(const Eyes *eyes, const double *a, const double *b, double weight) {
    double distance = 0;
    for (int l = 0; l < eyes->f.layers; l++) {
        int c = eyes->net.node[eyes->f.layer[l].node].c;
        distance += measure_gram_distance(a, b, c) / weight;
        a += c * c, b += c * c;
    }
    return distance;
}

enum { PAINTED, UNTOUCHED, OTHER_CROPS, COLOURED_NOISE, CROPS, STYLE_ROWS = CROPS, STYLE_SETS };

/* Picture i of a set to x: its content, a crop, or noise with the mean and deviation of the
 * crop's colours */
static void style_picture(const Run *run, int kind, long i, const float *content, const float *crop,
                          float *x) {
    long each = picture_floats(run, 3);
    float u[5], place[5];
    crop_uniforms(run, u, 1L << 30, i), crop_uniforms(run, place, (1L << 30) + 1, i);
    place[0] = u[0];                        /* the same style picture, another place */
    if (kind == OTHER_CROPS) style_crop(run, x, place);
    if (kind == CROPS) memcpy(x, crop, sizeof *x * (size_t)each);
    for (long p = 0; p < each && kind == UNTOUCHED; p++) x[p] = content[run->recipe->content == 3
        ? p : p / 3];
    for (int c = 0; c < 3 && kind == COLOURED_NOISE; c++) {
        double sum = 0, squares = 0, pixels = (double)picture_floats(run, 1);
        for (long p = c; p < each; p += 3) sum += crop[p], squares += (double)crop[p] * crop[p];
        double deviation = sqrt(fmax(squares / pixels - sum / pixels * sum / pixels, 0));
        for (long p = c; p < each; p += 3)
            x[p] = fmaxf(-1, fminf(1, (float)(sum / pixels + deviation * evaluation_normal(run,
                kind, i * each + p))));
    }
}

/* Gram, patches and content of what G paints, each beside the untouched contents, other crops of
 * the same style pictures, and noise of their colours. Gram: of each style picture the mean Gram
 * matrix of the crops, against that of the pictures painted in its style; the mean over layers
 * and style pictures. Patches: all against all crops. Content: each with its own. */
static void evaluate_style(Run *run) {
    static const char *const name[] = { "this run", "the contents, untouched",
                                       "other crops of the style: the floor",
                                        "noise of the style's colours" };
    static const char *const key[] = { "run", "untouched", "style", "noise" };
    Gan *gan = &run->gan;
    Eyes eyes;
    Row row[STYLE_ROWS];
    int size = run->options.size, c = run->recipe->content;
    long each = picture_floats(run, 3), pixels = picture_floats(run, 1), batch = gan->options.batch,
        n = run->samples;
    long square = PATCH_SIDE * PATCH_SIDE * 3, used = 0, *times = room_for(run->style_count,
        sizeof *times);
    eyes_open(&eyes, run);
    float *crops = room_for((double)(batch * each), sizeof *crops), *other = room_for((double)each,
        sizeof *other), *patch[STYLE_SETS];
    /* (style, set, grams) */
    double *sums = room_for((double)(run->style_count * STYLE_SETS * eyes.grams), sizeof *sums);
    for (int k = 0; k < STYLE_SETS; k++) patch[k] = room_for((double)n * PATCHES * (double)square,
        sizeof(float));
    for (int k = 0; k < STYLE_ROWS; k++) row[k] = row_new(name[k], key[k]),
        row[k].value[GRAM_DISTANCE] = row[k].value[CONTENT_DISTANCE] = 0;
    for (long done = 0; done < n; done += batch) {
        for (long i = 0; i < batch; i++) {
            float u[5];
            must(imageset_get(&run->set, (done + i) % run->set.count, run->pixels + i * pixels * c,
                              run->masks + i * pixels));
            crop_uniforms(run, u, 1L << 30, done + i);
            run->labels[i] = (float)(int)(u[0] * (float)run->style_count);
            style_crop(run, crops + i * each, u);
        }
        gan->ops->upload(gan->content, run->pixels, batch * pixels * c);
        gan->ops->upload(gan->x_real, crops, batch * each);
        gan_sample(gan, (uint64_t)(done / batch), run->made);
        for (long i = 0; i < batch && done + i < n; i++) {
            const float *mine = run->pixels + i * pixels * c, *mask = gan->mask
                ? run->masks + i * pixels : NULL;
            int style = (int)run->labels[i];
            times[style]++;
            for (int k = 0; k < STYLE_SETS; k++) {
                style_picture(run, k, done + i, mine, crops + i * each, other);
                const float *x = k == PAINTED ? run->made + i * each : other;
                eyes_see(&eyes, x, each, sums + (style * STYLE_SETS + k) * eyes.grams);
                measure_patches(patch[k] + (done + i) * PATCHES * square, x, size, size, 3,
                                PATCH_SIDE, PATCHES,
                                (uint64_t)(2 * (done + i) + (k != CROPS)));
                if (k < STYLE_ROWS)
                    row[k].value[CONTENT_DISTANCE] += measure_content_distance(x, 3, mine, c, mask,
                        size, size, BLOCK) / (double)n;
            }
        }
    }
    for (int j = 0; j < run->style_count; j++) used += times[j] > 0;
    for (int k = 0; k < STYLE_ROWS; k++) {
        row[k].value[PATCHWISE] = measure_sliced_wasserstein(patch[k], patch[CROPS], n * PATCHES,
            (int)square, DIRECTIONS, 1);
        for (int j = 0; j < run->style_count; j++) {
            const double *of = sums + j * STYLE_SETS * eyes.grams;
            if (times[j]) row[k].value[GRAM_DISTANCE] += eyes_distance(&eyes, of + k * eyes.grams,
                of + CROPS * eyes.grams, (double)(eyes.f.layers * used));
        }
    }
    printf("%ld pictures of %s against as many crops of %s\n", n, run->evaluate, run->style);
    write_json(run, NULL, n, row, STYLE_ROWS);
    for (int k = 0; k < STYLE_SETS; k++) free(patch[k]);
    free(times), free(crops), free(other), free(sums), free(eyes.layer), free(eyes.gram);
    net_free(&eyes.net);
}

/* ---------------------------------------------------------------------------------- the jobs */

/* G's weights from a checkpoint, compressed or not */
static void load_generator(Gan *gan, const char *path) {
    StFile file;
    must(gan_open(&file, path) && net_load(&gan->g, &file, path, gan->recipe->name));
    st_close(&file);
}

static void check_judged(const Run *run, const Recipe *recipe) {
    if (recipe && feeds_on_styles(recipe) && *run->classifier)
        die(2, "--classifier: FCD is of recipes that draw pictures of the data set; --evaluate "
            "measures the recipe %s by "
            "its style: omit it", recipe->name);
}

static inline void check_measurable(const Run *run) {
    const Recipe *r = run->recipe;
    check_judged(run, r);
    if (run->job == EVALUATES && (r->feeds == FEED_CROPS || r->feeds == FEED_LABELS))
        die(1, "the recipe %s cannot be measured so: it makes no pictures. --evaluate takes runs "
            "of the other recipes", r->name);
}

static inline void evaluate(Run *run) {
    load_generator(&run->gan, run->from);
    if (!feeds_on_styles(run->recipe)) evaluate_pictures(run);
    else {
        /* Gram matrices take longer */
        if (option_given(run->table, "--samples") != 1) run->samples = 500;
        evaluate_style(run);
    }
}

static inline void compress(Run *run) {
    const char *from = run->from, *out = run->out;
    char classifier[RUN_PATH] = "";
    StFile file;
    CompressReport report;
    struct stat before, after;
    if (!*out) die(2, "--compress needs --out: the file to write, such as small.safetensors");
    if (is_folder(out)) die(1, "--out %s: is a folder, expected the name of a file", out);
    if (*run->classifier) checkpoint_path(classifier, "--classifier", run->classifier);
    if (same_file(out, from) || same_file(out, classifier))
        die(1, "--out %s: would overwrite the run that is read, choose another name", out);
    if (!access(out, F_OK) && !run->overwrite) die(1,
                                                   "--out %s: is there already: another --out "
                                                       "keeps it, or --overwrite", out);
    must(gan_open(&file, from));
    const char *recipe = st_meta(&file, "recipe");
    if (recipe && !strcmp(recipe, "classifier")) die(1,
                                                     "%s: the recipe %s has no generator to "
                                                         "compress", from, recipe);
    if (recipe) check_judged(run, recipe_find(recipe));
    const char *error = compress_write(out, &file, run->prune, run->quantize, &report);
    st_close(&file);
    if (error) die(1, "%s: %s", from, error);
    if (stat(from, &before) || stat(out, &after)) die(1, "%s: %s", out, strerror(errno));
    printf("%s: %.1f kB; its generator: %ld numbers, %.1f kB as float32\n"
           "%s: %.1f kB; of %ld weights %ld are zero (%.1f%%)\n", from,
               (double)before.st_size / 1e3, report.numbers,
           4 * (double)report.numbers / 1e3, out, (double)after.st_size / 1e3, report.weights,
               report.zeros,
           report.weights ? 100 * (double)report.zeros / (double)report.weights : 0);
    fflush(stdout);
}

/* FCD of the run and of its compressed generator, by the same classifier, noise and test
 * pictures */
static inline void compare_compressed(Run *run) {
    static Evaluation e;
    evaluation_open(&e, run);
    for (int k = 0; k < 2; k++) {
        load_generator(&run->gan, k ? run->out : run->from);
        Seen s = see(&e, MADE, run->samples);
        printf("FCD %s: %.2f\n", k ? "after" : "before", frechet(&e, &s, NULL));
        forget(&s);
    }
    evaluation_close(&e);
}
#endif
