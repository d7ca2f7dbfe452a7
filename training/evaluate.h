/* evaluate.h: the part of train.c that measures runs: ./train --evaluate RUN, and --compress RUN. train.c includes it below its options,
 * its data set and its crops of styles, all of which it uses; the measures themselves stand in measures.h, the file in core/checkpoint.h.
 *
 * A generator of pictures is measured against the data set's test part with the features of a classifier (./train --recipe classifier);
 * one that repaints pictures (cyclegan, pix2pix) repaints the test part, which it has not been trained with, and is measured against the
 * pictures that these are to become like; a painter of styles against crops of its style with features_random. Beside it stand
 * yardsticks, measured in the same way: other real pictures, which is the floor, and pictures that were spoiled on purpose. Which
 * pictures are drawn follows from the run's --seed and --samples alone. */
#ifndef EVALUATE_H
#define EVALUATE_H
#define MEASURES_IMPLEMENTATION
#include "core/checkpoint.h"
#include "training/measures.h"

enum { JUDGE_BATCH = 50, PATCH_SIDE = 7, PATCHES = 4, PAIRS = 1000, NEIGHBOUR = 3, DIRECTIONS = 64, BLOCK = 4, LEAST_CLOTH = 50 };

/* One row of the table: a set of pictures, measured. Not every recipe has every number: NaN */
enum { FCD, RELATIVE, PRECISION, RECALL, KL, COVERED, PATCHWISE, SSIM, GRAM_DISTANCE, CONTENT_DISTANCE, L1, CLOTH, MEASURES };
static const struct { const char *head, *key; int digits; } measure[MEASURES] = {
    { "FCD", "fcd", 2 }, { "relative", "fcd_relative", 4 }, { "precision", "precision", 3 }, { "recall", "recall", 3 }, { "KL", "kl_to_uniform", 3 },
    { "classes", "classes_covered", 0 }, { "patches", "patch_wasserstein", 4 }, { "MS-SSIM", "ms_ssim", 3 }, { "Gram", "gram_distance", 3 },
    { "content", "content_distance", 4 }, { "L1", "l1", 4 }, { "cloth", "cloth_wasserstein", 4 } };
typedef struct Row { const char *name, *key; double value[MEASURES]; } Row;

/* The sets: where pictures come from, and how they are spoiled: x = keep x + noise N(0,1), or means of 3x3. Contents are of recipes that
 * repaint, and noise on cloth must not pass for a pattern: the black round a content stays, and where keep < 1 it first gets the mean of
 * a real picture's cloth, x = to + keep (x - from). That passes FCD and the patches of whole pictures; those of cloth alone reject it. */
enum { OF_G, CONTENTS, KEPT, OTHERS, REFERENCE };
enum { MADE, SETS = 9 };
static const struct Pictures { const char *name, *key; int from; float keep, noise; int blur; } kinds[] = {
    { "this run", "run", OF_G, 1, 0, 0 },
    { "the contents, untouched", "untouched", CONTENTS, 1, 0, 0 }, { "  + noise of 0.2", "untouched_noise_0.2", CONTENTS, 1, 0.2f, 0 },
    { "  + 0.3, as bright as real ones", "untouched_bright_noise_0.3", CONTENTS, 0.5f, 0.3f, 0 },
    { "other real pictures: the floor", "real", OTHERS, 1, 0, 0 }, { "  + noise of 0.1", "noise_0.1", OTHERS, 1, 0.1f, 0 },
    { "  + noise of 0.3", "noise_0.3", OTHERS, 1, 0.3f, 0 }, { "  blurred, means of 3x3", "blurred", OTHERS, 1, 0, 1 },
    { "noise alone", "noise", OTHERS, 0, 1, 0 }, { "the reference", "reference", REFERENCE, 1, 0, 0 } };
static ImageSet test, contents;                          /* the test part, or `set` itself; what is repainted, unless it is drawings of test */
static int split, patches = PATCHES;                     /* there is a test part; of each picture */

/* What is kept of a set of pictures */
typedef struct Seen {
    long n, pairs;
    float *feature, *patch;              /* (n,width), (n * PATCHES, side*side*c) */
    int *label;                          /* (n): the class that the judge tells */
    double ssim, content, l1;            /* the sum over pairs of one class; the means of the distances to what was to be kept */
} Seen;

static void *room_for(double count) {
    void *x = calloc((size_t)count + 1, sizeof(float));
    if (!x) die(1, "not enough memory to measure: use a smaller --samples");
    return x;
}

static void forget(Seen *s) { free(s->feature), free(s->patch), free(s->label); }

/* normal number i of a yardstick's noise */
static float evaluation_normal(int kind, long i) {
    float z[4];
    philox_normals(z, (uint64_t)seed, STREAM(STREAM_SAMPLE, (1L << 30) + kind), (uint64_t)i / 4);
    return z[i % 4];
}

/* Pictures first..first+count-1 of a kind. The reference is the test part, or of a set that has none one half, in an order drawn at
 * random; the other half is the floor. Contents: a set's own, or drawings of the reference; KEPT: what of a content is to be kept: all of
 * it, of a drawing the picture that was drawn. */
static void fetch_real(const Gan *gan, int from, long first, long count, float *x) {
    long each = size * size * set.c;
    int unpaired = gan->recipe->pairs == UNPAIRED && (from == CONTENTS || from == KEPT);
    for (long i = first; i < first + count; i++, x += each) {
        const ImageSet *s = unpaired ? &contents : from == OTHERS ? &set : &test;
        long index = unpaired ? i : split && from != OTHERS ? i % test.count : walk(split || from != OTHERS ? i : set.count / 2 + i);
        must(imageset_get(s, index % s->count, x, NULL));
        if (from == CONTENTS && gan->recipe->pairs == DRAWINGS) draw_edges(x);
    }
}

/* Batch `index` of what G makes: of noise, and where it is told the class, one class after the other; or of contents */
static void draw_pictures(Gan *gan, long index, float *x) {
    for (long i = 0; gan->recipe->conditional == ON_CLASS && i < batch; i++) host_labels[i] = (float)class_of_row[(index * batch + i) % class_rows];
    if (gan->recipe->conditional == ON_CLASS) upload_given(gan, host_labels, batch);
    if (gan->recipe->pairs) fetch_real(gan, CONTENTS, index * batch, batch, x), gan->ops->upload(gan->content, x, batch * size * size * set.c);
    gan_sample(gan, (uint64_t)index, x);
}

static int is_cloth(float x) { return x > -0.96f; }

static float mean_of_cloth(const float *x, long n) {
    double sum = 0, inside = 0;
    for (long i = 0; i < n; i++) sum += is_cloth(x[i]) ? x[i] : 0, inside += is_cloth(x[i]);
    return (float)(sum / fmax(inside, 1));
}

/* like: as many other pictures, for their brightness */
static void spoil(int kind, float *x, const float *like, long first, long count, int c) {
    const struct Pictures *k = &kinds[kind];
    long each = size * size * c, side = size;
    for (long i = 0; i < count && k->noise > 0; i++) {
        int bright = k->from == CONTENTS && k->keep < 1;
        float *y = x + i * each, from = bright ? mean_of_cloth(y, each) : 0, to = bright ? mean_of_cloth(like + i * each, each) : 0;
        for (long p = 0; p < each; p++)
            if (k->from != CONTENTS || is_cloth(y[p]))
                y[p] = fmaxf(-1, fminf(1, to + k->keep * (y[p] - from) + k->noise * evaluation_normal(kind, (first + i) * each + p)));
    }
    float *before = k->blur ? room_for((double)each) : NULL;
    for (long i = 0; before && i < count; i++) {
        memcpy(before, x + i * each, sizeof *before * (size_t)each);
        for (long p = 0; p < each; p++) {
            float sum = 0;
            for (long k = 0; k < 9; k++) {               /* edges repeated */
                long row = p / (side * c) + k / 3 - 1, column = p / c % side + k % 3 - 1;
                row = row < 0 ? 0 : row >= side ? side - 1 : row, column = column < 0 ? 0 : column >= side ? side - 1 : column;
                sum += before[(row * side + column) * c + p % c];
            }
            x[i * each + p] = sum / 9;
        }
    }
    free(before);
}

/* What the judge sees of `n` pictures of a set */
static Seen see(int kind, long n, Gan *gan, Gan *judge) {
    Net *net = &judge->g;
    Node *in = &net->node[judge->g_content], *features = &net->node[judge->g_features], *logits = &net->node[judge->g_picture];
    int c = in->c, width = features->c, side = size < PATCH_SIDE ? (int)size : PATCH_SIDE, classes = logits->c;
    long each = size * size * c, square = side * side * c;
    Seen s = { .n = n, .feature = room_for((double)(n + JUDGE_BATCH) * width), .patch = room_for((double)n * patches * (double)square), .label = room_for((double)n) };
    float *x = room_for((double)(JUDGE_BATCH + batch) * (double)each), *score = room_for(JUDGE_BATCH * classes), *last = room_for((double)(classes * each));
    float *kept = room_for(JUDGE_BATCH * (double)each);
    char *there = room_for(classes);
    for (long first = 0, draw = 0, ready = 0; first < n; first += JUDGE_BATCH) {
        long count = n - first < JUDGE_BATCH ? n - first : JUDGE_BATCH;
        if (kind != MADE) {
            fetch_real(gan, kinds[kind].from, first, count, x);
            if (kinds[kind].from == CONTENTS) fetch_real(gan, OTHERS, first, count, kept);
            spoil(kind, x, kept, first, count, c);
        } else {                                          /* G draws in batches of its own size: what is left over waits in x */
            for (; ready < count; ready += batch, draw++) draw_pictures(gan, draw, x + ready * each);
        }
        if (gan->recipe->pairs) fetch_real(gan, KEPT, first, count, kept);
        judge->ops->upload(in->y, x, JUDGE_BATCH * each);
        net_forward(net, 0);
        judge->ops->download(s.feature + first * width, features->y, JUDGE_BATCH * width);
        judge->ops->download(score, logits->y, JUDGE_BATCH * classes);
        for (long i = 0; i < count; i++) {
            const float *picture = x + i * each;
            int best = 0;
            if (gan->recipe->pairs) {
                s.content += measure_content_distance(picture, c, kept + i * each, c, NULL, (int)size, (int)size, BLOCK) / (double)n;
                for (long p = 0; p < each; p++) s.l1 += fabs(picture[p] - kept[i * each + p]) / (double)(n * each);
            }
            for (int k = 1; k < classes; k++)
                if (score[i * classes + k] > score[i * classes + best]) best = k;
            s.label[first + i] = best;
            measure_patches(s.patch + (first + i) * patches * square, picture, (int)size, (int)size, c, side, patches, (uint64_t)(first + i));
            if (there[best] && s.pairs < PAIRS) s.ssim += measure_ms_ssim(last + best * each, picture, (int)size, (int)size, c), s.pairs++;
            memcpy(last + best * each, picture, sizeof *last * (size_t)each);
            there[best] = 1;
        }
        if (kind == MADE) memmove(x, x + count * each, sizeof *x * (size_t)((ready - count) * each)), ready -= count;
    }
    free(x), free(score), free(last), free(there), free(kept);
    return s;
}

/* Of n patches those that are cloth all over, without their mean: to; how many. What is left is folds and patterns. */
static long cloth_patches(float *to, const float *patch, long n, long width) {
    long found = 0;
    for (long i = 0; i < n; i++, patch += width) {
        double sum = 0;
        int inside = 1;
        for (long p = 0; p < width; p++) sum += patch[p], inside = inside && is_cloth(patch[p]);
        for (long p = 0; p < width && inside; p++) to[found * width + p] = patch[p] - (float)(sum / (double)width);
        found += inside;
    }
    return found;
}

/* A set against the reference. Contents of another kind have classes of their own: no KL, no count of classes */
static Row compare(int kind, const Seen *s, const Seen *reference, const Gan *judge, int pairs, int only_fcd) {
    const Node *features = &judge->g.node[judge->g_features], *logits = &judge->g.node[judge->g_picture];
    int side = size < PATCH_SIDE ? (int)size : PATCH_SIDE, c = judge->g.node[judge->g_content].c;
    long n = s->n < reference->n ? s->n : reference->n;
    double trace, share[4096];
    Row row = { kinds[kind].name, kinds[kind].key, {0} };
    for (int k = 0; k < MEASURES; k++) row.value[k] = NAN;
    row.value[FCD] = measure_frechet(s->feature, s->n, reference->feature, reference->n, features->c, &trace);
    row.value[RELATIVE] = row.value[FCD] / trace;
    if (only_fcd) return row;
    measure_precision_recall(&row.value[PRECISION], &row.value[RECALL], reference->feature, n, s->feature, n, features->c, NEIGHBOUR);
    measure_histogram(share, s->label, s->n, logits->c);
    if (pairs != UNPAIRED) row.value[KL] = measure_kl_to_uniform(share, logits->c), row.value[COVERED] = measure_covered(share, logits->c);
    if (pairs) row.value[CONTENT_DISTANCE] = s->content, row.value[L1] = s->l1;
    row.value[PATCHWISE] = measure_sliced_wasserstein(s->patch, reference->patch, n * patches, side * side * c, DIRECTIONS, 1);
    if (pairs == UNPAIRED) {
        long width = side * side * c;
        float *mine = room_for((double)(s->n * patches * width)), *theirs = room_for((double)(reference->n * patches * width));
        long a = cloth_patches(mine, s->patch, s->n * patches, width), b = cloth_patches(theirs, reference->patch, reference->n * patches, width);
        if (a >= LEAST_CLOTH && b >= LEAST_CLOTH) row.value[CLOTH] = measure_sliced_wasserstein_own(mine, theirs, a < b ? a : b, (int)width, DIRECTIONS, 1);
        free(mine), free(theirs);
    }
    row.value[SSIM] = s->pairs ? s->ssim / (double)s->pairs : NAN;
    return row;
}

/* ------------------------------------------------------------------------------------------------ table, metrics.json */

static void print_rows(const Row *row, int rows) {
    printf("%-34s", "");
    for (int k = 0; k < MEASURES; k++)
        if (!isnan(row[0].value[k])) printf("%11s", measure[k].head);
    printf("\n");
    for (int i = 0; i < rows; i++) {
        printf("%-34s", row[i].name);
        for (int k = 0; k < MEASURES; k++)
            if (!isnan(row[0].value[k])) isnan(row[i].value[k]) ? printf("%11s", "-") : printf("%11.*f", measure[k].digits, row[i].value[k]);
        printf("\n");
    }
}

/* a JSON string: what would need an escape becomes '?' */
static void json_text(FILE *file, const char *key, const char *text) {
    fprintf(file, "  \"%s\": \"", key);
    for (; *text; text++) fputc(*text == '"' || *text == '\\' || (unsigned char)*text < 32 ? '?' : *text, file);
    fprintf(file, "\",\n");
}

static void write_json(const char *path, const char *run, const Gan *gan, long n, const Row *row, int rows) {
    char fresh[4400];
    snprintf(fresh, sizeof fresh, "%s.tmp", path);
    FILE *file = fopen(fresh, "w");
    if (!file) die(1, "%s: %s: cannot write there", fresh, strerror(errno));
    fprintf(file, "{\n");
    json_text(file, "run", run), json_text(file, "recipe", gan->recipe->name), json_text(file, "data", data), json_text(file, "classifier", classifier);
    if (gan->recipe->pairs) json_text(file, "contents", contents.source);
    fprintf(file, "  \"samples\": %ld,\n  \"sets\": {\n", n);
    for (int i = 0; i < rows; i++) {
        fprintf(file, "    \"%s\": {", row[i].key);
        const char *comma = "";
        for (int k = 0; k < MEASURES; k++)
            if (!isnan(row[i].value[k])) fprintf(file, "%s \"%s\": %.9g", comma, measure[k].key, row[i].value[k]), comma = ",";
        fprintf(file, " }%s\n", i + 1 < rows ? "," : "");
    }
    fprintf(file, "  }\n}\n");
    take_name(file, fresh, path);
    fclose(file);
    printf("written to %s\n", path);
}

/* --------------------------------------------------------------------------------------------- generators of pictures */

/* What two runs must share: "fashion-mnist:test:plain" -> "fashion-mnist", "synthetic:40" -> "synthetic"; colours are another matter */
static void set_of(char name[400], const char *source) {
    const char *tinted = strstr(source, ":tinted");
    snprintf(name, 400, "%s", source);
    if (!strncmp(name, "fashion-mnist:", 14) || !strncmp(name, "synthetic:", 10)) strcpy(strchr(name, ':'), *name == 'f' && tinted ? ":tinted" : "");
}

static void open_judge(Gan *judge, const Gan *gan) {
    char path[4200], ours[400], theirs[400], command[1000];
    StFile file;
    set_of(ours, data);
    snprintf(command, sizeof command, "./train --recipe classifier --data %s --size %ld", ours, size);
    if (!*classifier) die(2, "measuring takes a classifier of the same pictures: %s makes one in runs/classifier, then say --classifier runs/classifier", command);
    if (access(classifier, F_OK)) die(1, "--classifier %s: %s: %s --out %s makes it", classifier, strerror(errno), command, classifier);
    snprintf(path, sizeof path, is_folder(classifier) ? "%.4000s/checkpoint.safetensors" : "%.4000s", classifier);
    if (!gan_open(&file, path)) die(1, "--classifier: %s", error_text());
    const char *recipe = st_meta(&file, "recipe"), *side = st_meta(&file, "--size"), *source = st_meta(&file, "--data");
    if (!recipe || strcmp(recipe, "classifier"))
        die(1, "--classifier %s: made with --recipe %s: %s makes a classifier", path, recipe ? recipe : "(none)", command);
    set_of(theirs, source ? source : "");
    if (strcmp(ours, theirs) || !side || atol(side) != size)
        die(1, "--classifier %s: trained on %s at --size %s, the run on %s at --size %ld: %s makes the right one", path, theirs, side ? side : "?",
            ours, size, command);
    GanOptions o = recipe_find("classifier")->defaults;
    o.batch = JUDGE_BATCH, o.size = (int)size, o.channels = gan->options.channels, o.classes = set.classes;
    if (!set.label || set.classes > 4096) die(1, "%s: the classes of its pictures are not known", data);
    st_close(&file);
    if (!gan_begin(judge, recipe_find("classifier"), &o, gan->ops)) die(1, "%s", error_text());
    judge->g.training = NET_INPUT;                       /* all activations stay, nothing is trained */
    if (!gan_finish(judge) || !gan_load(judge, path)) die(1, "--classifier: %s", error_text());
}

/* The test part (of what pictures are to become, where those are of another kind: it then takes the data's place), the judge, and
 * what it sees of the reference */
static Seen open_reference(Gan *gan, Gan *judge) {
    if (gan->recipe->pairs == UNPAIRED) {
        if (load_test_part(&contents)) imageset_free(&set);
        set = others, data = data_b, patches = 4 * PATCHES;          /* these sets are small, and only some patches are all cloth */
    }
    split = load_test_part(&test);
    long n = split ? test.count : set.count / 2;
    open_judge(judge, gan);
    if (gan->recipe->pairs == DRAWINGS) strcpy(contents.source, test.source), contents.count = n;
    if (gan->recipe->pairs && samples > contents.count) samples = contents.count;
    if (n < 2 * NEIGHBOUR || samples < 2 * NEIGHBOUR)
        die(1, "%s: %ld pictures to compare with, expected %d or more", data, n < samples ? n : samples, 2 * NEIGHBOUR);
    return see(SETS, n < samples ? n : samples, gan, judge);
}

static void evaluate_pictures(Gan *gan, const char *run, const char *json) {
    Gan judge;
    Row row[SETS];
    int rows = 0;
    Seen reference = open_reference(gan, &judge);
    long n = split ? set.count : set.count / 2;
    printf("%ld pictures of %s against %ld of %s, judged by %s\n", samples, run, reference.n, split ? test.source : "half of the data", classifier);
    for (int kind = MADE; kind < SETS; kind++) {
        if (kinds[kind].from == CONTENTS && gan->recipe->pairs != UNPAIRED && (!gan->recipe->pairs || kinds[kind].noise > 0)) continue;
        Seen s = see(kind, kinds[kind].from != OTHERS || samples < n ? samples : n, gan, &judge);
        row[rows] = compare(kind, &s, &reference, &judge, gan->recipe->pairs, 0);
        if (isnan(row[rows++].value[FCD])) die(1, "%s: the features of %s are not finite, or there is not enough memory", run, kinds[kind].name);
        forget(&s);
    }
    print_rows(row, rows);
    write_json(json, run, gan, samples, row, rows);
    forget(&reference);
    gan_free(&judge);
}

/* ------------------------------------------------------------------------------------------------- painters of styles */

static float *host_layer;                                /* the layers of one picture */

/* Gram matrices of a picture's layers, one after the other, added to a sum */
static void grams_of(Net *net, const Features *f, const float *picture, double *sum, double *gram) {
    net->ops->upload(net->node[f->picture].y, picture, 3 * size * size);
    net_forward(net, 0);
    for (int l = 0; l < f->layers; l++) {
        const Node *node = &net->node[f->layer[l].node];
        net->ops->download(host_layer, node->y, (long)node->h * node->w * node->c);
        measure_gram(gram, host_layer, (long)node->h * node->w, node->c);
        for (int i = 0; i < node->c * node->c; i++) *sum++ += gram[i];
    }
}

/* Gram, patches and content of what G paints, each beside the untouched contents, other crops of the same style pictures, and noise
 * with the mean and deviation of their colours. Gram: of each style picture the mean Gram matrix of the crops, against that of the
 * pictures painted in its style; the mean over layers and style pictures. Patches: all against all crops. Content: each with its own. */
static void evaluate_style(Gan *gan, const char *run, const char *json) {
    enum { PAINTED, UNTOUCHED, OTHER_CROPS, COLOURED_NOISE, ROWS };
    static const char *const name[] = { "this run", "the contents, untouched", "other crops of the style: the floor", "noise of the style's colours" };
    static const char *const key[] = { "run", "untouched", "style", "noise" };
    static const double gray[3] = { 0.299, 0.587, 0.114 };
    long each = 3 * size * size, square = PATCH_SIDE * PATCH_SIDE * 3, n = samples, grams = 0, largest = 0, c = gan->recipe->content;
    Row row[ROWS];
    Net net;
    Features f;
    net_begin(&net, "judge", gan->ops, 1);
    if (!features_random(&f, &net, (int)size, (int)size) || !net_finish(&net, NET_INPUT)) die(1, "%s", *error_text() ? error_text() : "not enough memory");
    features_draw(&f, &net, 1, gray);                    /* the same eyes for every run */
    for (int l = 0; l < f.layers; l++) {
        const Node *node = &net.node[f.layer[l].node];
        grams += node->c * node->c;
        if ((long)node->h * node->w * node->c > largest) largest = (long)node->h * node->w * node->c;
    }
    host_layer = room_for((double)largest);
    float *content = room_for((double)(batch * each)), *masks = room_for((double)(batch * size * size)), *crops = room_for((double)(batch * each));
    float *painted = room_for((double)(batch * each)), *other = room_for((double)each), *patch[ROWS + 1];
    double *sums = room_for(2. * (ROWS + 1) * (double)(style_count * grams)), *gram = room_for(2. * 64 * 64);      /* (style, row, grams) */
    long *times = room_for(2. * style_count), used = 0;
    for (int k = 0; k <= ROWS; k++) patch[k] = room_for((double)n * PATCHES * (double)square);
    for (int k = 0; k < ROWS; k++) {
        row[k] = (Row){ name[k], key[k], {0} };
        for (int m = 0; m < MEASURES; m++) row[k].value[m] = m == GRAM_DISTANCE || m == CONTENT_DISTANCE ? 0 : NAN;
    }
    for (long done = 0; done < n; done += batch) {
        for (long i = 0; i < batch; i++) {
            float u[5];
            must(imageset_get(&set, (done + i) % set.count, content + i * size * size * c, masks + i * size * size));
            for (int k = 0; k < 5; k++) u[k] = philox_uniform((uint64_t)seed, STREAM(STREAM_CROP, (1L << 30)), (uint64_t)(5 * (done + i) + k));
            style_crop(crops + i * each, u);
        }
        gan->ops->upload(gan->content, content, batch * size * size * c);
        if (gan->x_real) gan->ops->upload(gan->x_real, crops, batch * each);
        gan_sample(gan, (uint64_t)(done / batch), painted);
        for (long i = 0; i < batch && done + i < n; i++) {
            const float *mine = content + i * size * size * c, *mask = gan->mask ? masks + i * size * size : NULL, *crop = crops + i * each;
            int from = (int)(philox_uniform((uint64_t)seed, STREAM(STREAM_CROP, (1L << 30)), (uint64_t)(5 * (done + i))) * (float)style_count);
            double *sum = sums + from * (ROWS + 1) * grams;
            grams_of(&net, &f, crop, sum + ROWS * grams, gram);
            times[from]++;
            measure_patches(patch[ROWS] + (done + i) * PATCHES * square, crop, (int)size, (int)size, 3, PATCH_SIDE, PATCHES, (uint64_t)(2 * (done + i)));
            for (int k = 0; k < ROWS; k++) {
                float u[5];
                for (int j = 0; j < 5; j++)              /* the same style picture, another place */
                    u[j] = philox_uniform((uint64_t)seed, STREAM(STREAM_CROP, (1L << 30) + (j > 0)), (uint64_t)(5 * (done + i) + j));
                if (k == OTHER_CROPS) style_crop(other, u);
                for (int ch = 0; ch < 3 && k == COLOURED_NOISE; ch++) {
                    double sum = 0, squares = 0, pixels = (double)(size * size);
                    for (long p = ch; p < each; p += 3) sum += crop[p], squares += (double)crop[p] * crop[p];
                    double deviation = sqrt(fmax(squares / pixels - sum / pixels * sum / pixels, 0));
                    for (long p = ch; p < each; p += 3)
                        other[p] = fmaxf(-1, fminf(1, (float)(sum / pixels + deviation * evaluation_normal(k, (done + i) * each + p))));
                }
                for (long p = 0; p < each && k == UNTOUCHED; p++) other[p] = mine[c == 3 ? p : p / 3];
                const float *x = k == PAINTED ? painted + i * each : other;
                grams_of(&net, &f, x, sum + k * grams, gram);
                row[k].value[CONTENT_DISTANCE] += measure_content_distance(x, 3, mine, (int)c, mask, (int)size, (int)size, BLOCK) / (double)n;
                measure_patches(patch[k] + (done + i) * PATCHES * square, x, (int)size, (int)size, 3, PATCH_SIDE, PATCHES, (uint64_t)(2 * (done + i) + 1));
            }
        }
    }
    for (int j = 0; j < style_count; j++) used += times[j] > 0;
    for (int k = 0; k < ROWS; k++)
        for (int j = 0; j < style_count; j++)
            for (long l = 0, at = j * (ROWS + 1) * grams; times[j] && l < f.layers; l++) {
                int channels = net.node[f.layer[l].node].c;
                row[k].value[GRAM_DISTANCE] += measure_gram_distance(sums + at + k * grams, sums + at + ROWS * grams, channels) / (double)(f.layers * used);
                at += channels * channels;
            }
    for (int k = 0; k < ROWS; k++)
        row[k].value[PATCHWISE] = measure_sliced_wasserstein(patch[k], patch[ROWS], n * PATCHES, (int)square, DIRECTIONS, 1);
    printf("%ld pictures of %s against as many crops of %s\n", n, run, style);
    print_rows(row, ROWS);
    write_json(json, run, gan, n, row, ROWS);
    for (int k = 0; k <= ROWS; k++) free(patch[k]);
    free(content), free(masks), free(crops), free(painted), free(other), free(sums), free(gram), free(times), free(host_layer);
    net_free(&net);
}

/* ----------------------------------------------------------------------------------------------- what the options ask */

/* G's weights from a checkpoint, compressed or not */
static void load_generator(Gan *gan, const char *path) {
    StFile file;
    must(gan_open(&file, path));
    if (!net_load(&gan->g, &file, path, gan->recipe->name)) die(1, "%s", error_text());
    st_close(&file);
}

static void evaluate_run(Gan *gan, const char *checkpoint) {
    char json[4300];
    const char *end = strrchr(checkpoint, '.'), *name = strrchr(checkpoint, '/');
    name = name ? name + 1 : checkpoint;                 /* a run's folder gets metrics.json, a file of another name one of its own */
    if (!strcmp(name, "checkpoint.safetensors")) snprintf(json, sizeof json, "%.*smetrics.json", (int)(name - checkpoint), checkpoint);
    else snprintf(json, sizeof json, "%.*s.metrics.json", end && !strcmp(end, ".safetensors") ? (int)(end - checkpoint) : 4000, checkpoint);
    load_generator(gan, checkpoint);
    if (gan->recipe->style) {
        if (option_find(table, "--samples")->given != 1) samples = 500;              /* Gram matrices take longer */
        evaluate_style(gan, evaluate, json);
    } else evaluate_pictures(gan, evaluate, json);
}

static void check_judged(const Recipe *recipe) {
    if (recipe->style && *classifier)
        die(2, "--classifier: FCD is of recipes that draw pictures of the data set; --evaluate measures the recipe %s by its style: omit it", recipe->name);
}

static void check_measurable(const Recipe *recipe) {
    check_judged(recipe);
    if (recipe->labels && !recipe->conditional)          /* they look at pictures, and make none */
        die(1, "the recipe %s cannot be measured so: it makes no pictures. --evaluate takes runs of the other recipes", recipe->name);
}

static void compress_run(const char *checkpoint) {
    StFile file;
    CompressReport report;
    struct stat before, after;
    if (!*out) die(2, "--compress needs --out: the file to write, such as small.safetensors");
    if (*quantize && strcmp(quantize, "int8") && strcmp(quantize, "float16")) {
        static const char *const known[] = { "int8", "float16" };
        die(2, "--quantize %s: expected float16 or int8%s", quantize, did_you_mean(quantize, known, 2, sizeof *known));
    }
    if (is_folder(out)) die(1, "--out %s: is a folder, expected the name of a file", out);
    if (same_file(out, checkpoint) || (*classifier && same_file(out, checkpoint_path("--classifier", classifier))))
        die(1, "--out %s: would overwrite the run that is read, choose another name", out);
    if (!access(out, F_OK) && !overwrite) die(1, "--out %s: is there already: another --out keeps it, or --overwrite", out);
    must(gan_open(&file, checkpoint));
    const char *recipe = st_meta(&file, "recipe");
    if (recipe && !strcmp(recipe, "classifier"))
        die(1, "%s: the recipe %s has no generator to compress", checkpoint, recipe);
    if (recipe && recipe_find(recipe)) check_judged(recipe_find(recipe));
    int good = compress_write(out, &file, prune, !strcmp(quantize, "int8"), &report);
    st_close(&file);
    if (!good) die(1, "%s: %s", checkpoint, error_text());
    if (stat(checkpoint, &before) || stat(out, &after)) die(1, "%s: %s", out, strerror(errno));
    printf("%s: %.1f kB; its generator: %ld numbers, %.1f kB as float32\n%s: %.1f kB; of %ld weights %ld are zero (%.1f%%)\n", checkpoint,
           (double)before.st_size / 1e3, report.numbers, 4 * (double)report.numbers / 1e3, out, (double)after.st_size / 1e3, report.weights,
           report.zeros, report.weights ? 100 * (double)report.zeros / (double)report.weights : 0);
    fflush(stdout);
}

/* FCD of the run and of its compressed generator, by the same classifier, noise and test pictures */
static void compare_compressed(Gan *gan, const char *checkpoint, const char *compressed) {
    Gan judge;
    Seen reference = open_reference(gan, &judge);
    for (int k = 0; k < 2; k++) {
        load_generator(gan, k ? compressed : checkpoint);
        Seen s = see(MADE, samples, gan, &judge);
        printf("FCD %s: %.2f\n", k ? "after" : "before", compare(MADE, &s, &reference, &judge, gan->recipe->pairs, 1).value[FCD]);
        forget(&s);
    }
    forget(&reference);
    gan_free(&judge);
}
#endif
