/* batch.h: what a recipe is fed with: the data set, the style pictures, and the batch of a step
 * (Recipe.feeds). Which pictures a step sees, and how they are turned, follows from seed and
 * step. */
#ifndef BATCH_H
#define BATCH_H
#include "training/run.h"
#include <math.h>

/* ---------------------------------------------------------------- the pictures */

/* Classes are the same ten, T-shirt to boot, in these sets alone; a folder has its own. */
static int has_the_ten(const char *source) {
    return imageset_named(source, "fashion-mnist") || imageset_named(source, "synthetic");
}

/* The run's pictures must not lie among those that it learns from */
static void keep_apart(const Run *run, const char *source) {
    char samples[RUN_PATH];
    if (run->job != TRAINS || !is_folder(source)) return;
    if (same_file(source, run->out) || same_file(source, in_folder(run, samples, "samples")))
        die(1, "--out %s: the run's pictures would lie among those it learns from: choose another "
            "folder", run->out);
}

/* The scale of a style: 1, --style-scale, or of cloth what makes its motifs 16 to 32 pixels wide */
static double style_scale(const Run *run, const Image *picture, const char *name) {
    enum { LEAST = 16, MOST = 32 };
    double period, by, shorter = fmin(picture->h, picture->w);
    if (run->style_scale > 0) return run->style_scale;
    if (run->recipe->feeds != FEED_CLOTH || !((period = image_period(picture)) > 0)) return 1;
    by = period > MOST ? period / MOST : fmin(1, fmax(0.5, period / LEAST));
    if (!picture->tileable) by = fmin(by, fmax(1, shorter / (1.5 * run->options.size)));
    printf("%s: its motif comes again after %.0f pixels: --style-scale %.2f\n", name, period, by);
    return by;
}

/* One style picture, made ready for crops: patterns are repeated, others must be large enough. Of
 * cloth it gets the size that its crops are learned in. Where styles are told apart, colours are
 * whitened (mean 0, covariance 1): they would tell. 0: it is too small */
static int style_add(Run *run, Image *picture, const char *name) {
    double scale = style_scale(run, picture, name);
    int size = run->options.size, side = ceil(size * fmax(scale, 1) * 2);
    Image ready = *picture, scaled;
    if (picture->tileable) {
        must(image_tile(&ready, picture, fmax(picture->h, side), fmax(picture->w, side)));
        image_free(picture);
    }
    if (run->recipe->feeds == FEED_CLOTH && scale != 1) {
        must(image_resize(&scaled, &ready, lround(ready.h / scale), lround(ready.w / scale)));
        image_free(&ready);
        ready = scaled;
    }
    if (ready.h < size || ready.w < size) {
        fail("%s: the style picture is %dx%d, smaller than the %dx%d crops it is learned from: "
             "give a larger one, or a smaller --size", name, ready.w, ready.h, size, size);
        return image_free(&ready), 0;
    }
    if (run->recipe->feeds == FEED_CROPS) {
        static const double zero[3];
        double mean[3], covariance[9], unroot[9];
        colour_statistics(mean, covariance, &ready, NULL, 1);
        colour_power(unroot, covariance, -0.5);
        colour_map(&ready, unroot, mean, zero);
    }
    run->styles[run->style_count++] = ready;
    return 1;
}

/* GanOptions.palette of cloth. Of the styles' pixels x: mean and root of the covariance of
 * atanh 0.96 x, what G's last tanh is to be given; and waves of each style */
static inline void style_palette(const Run *run, double palette[12 + 2 * 16]) {
    int count = cloth_waves(run->style_count), each = fmax(1, count / run->style_count);
    for (int i = 0; i < count / each; i++) {
        double k[2 * 16];
        image_waves(k, each, &run->styles[i]);
        for (int q = 0; q < 2 * each; q++)
            palette[12 + q / each * count + i * each + q % each] = k[q];
    }
    Image *open = room_for(run->style_count, sizeof *open);
    double covariance[9];
    for (int i = 0; i < run->style_count; i++) {
        must(image_copy(&open[i], &run->styles[i]));
        for (long p = 0; p < 3L * open[i].h * open[i].w; p++)
            open[i].pixels[p] = atanhf(0.96f * open[i].pixels[p]);
    }
    colour_statistics(palette, covariance, open, NULL, run->style_count);
    colour_power(palette + 3, covariance, 0.5);
    for (int i = 0; i < run->style_count; i++) image_free(&open[i]);
    free(open);
}

static void styles_open(Run *run) {
    const char *style = run->style;
    char why[600] = "";
    long skipped = 0;                       /* not counting what Windows leaves in folders */
    Image picture;
    ImageList files;
    if (!*style)
        die(2, "the recipe %s needs --style: a picture, a .pat pattern, a folder of them, or "
            "synthetic", run->recipe->name);
    if (imageset_named(style, "synthetic")) {
        long kind = 0;
        char rest;
        int good = !style[9] || sscanf(style + 10, "%ld%c", &kind, &rest) == 1;
        if (!good || kind < 0 || kind >= IMAGE_PATTERNS)
            die(1, "--style %s: the drawn patterns are synthetic:0 to synthetic:%d", style,
                IMAGE_PATTERNS - 1);
        run->styles = room_for(1, sizeof *run->styles);
        must(image_pattern_synthetic(&picture, kind, 128));
        must(style_add(run, &picture, style));
        return;
    }
    keep_apart(run, style);
    must(image_list(&files, style, run->folders));
    run->styles = room_for(files.count, sizeof *run->styles);
    for (long i = 0; i < files.count; i++) {
        const char *path = files.path[i], *name = strrchr(path, '/');
        int loaded = image_load(&picture, path), added = loaded && style_add(run, &picture, path);
        must(added || !loaded || files.count > 1);
        if (!added && (!name || (strcmp(name, "/Thumbs.db") && strcmp(name, "/desktop.ini"))))
            snprintf(why, sizeof why, "%.599s", error_text()), skipped++;
    }
    if (!run->style_count)
        die(1, "--style %s: none of the %ld files there is a readable picture: expected PNG, JPEG, "
            "BMP, TGA or .pat%s%s", style, files.count, skipped ? "; the last: " : "", why);
    if (skipped) say("--style %s: %ld files skipped, the last: %s", style, skipped, why);
    image_list_free(&files);
}

/* The pictures of `source`: those of `classes` ("": all), and of these the first `most` (0: all) */
static void set_load(Run *run, ImageSet *to, const char *source, ImageSetOptions o,
                     const char *classes, long most) {
    const char *where = source == run->data_b ? "--data-b: " : "";
    int resumed = source == run->data && option_given(run->table, "--data") == 2;
    o.h = o.w = run->options.size, o.except = run->folders;
    o.fashion_mnist_dir = *run->data_dir ? run->data_dir : NULL, o.limit = *classes ? 0 : most;
    keep_apart(run, source);
    if (!imageset_load(to, source, &o))
        die(1, "%s%s%s", where, error_text(),
            resumed ? " (the resumed run's --data: give it anew)" : "");
    if (*classes && !imageset_keep(to, classes))
        die(1, "--classes: %s%s%s", where, error_text(), to->stray);
    if (most && to->count > most) to->count = most;
    if (to->skipped) say("%s: %ld files skipped: %s", source, to->skipped, to->note);
}

/* The set's part for tests, where it has one (Fashion-MNIST): 1. Else the set itself: 0. */
static inline int load_test_part(Run *run, ImageSet *part) {
    const char *kind = run->data + 13;
    ImageSetOptions o = { .channels = run->set.c };
    char name[64];
    *part = run->set;
    if (!imageset_named(run->data, "fashion-mnist") || !strncmp(kind, ":test", 5)) return 0;
    if (!strncmp(kind, ":train", 6)) kind += 6;
    snprintf(name, sizeof name, "fashion-mnist:test%.40s", kind);
    set_load(run, part, name, o, run->classes, 0);
    return 1;
}

/* --data, and --data-b where the recipe has a use for it */
static void sets_open(Run *run) {
    const Recipe *r = run->recipe;
    ImageSet *set = &run->set;
    int channels = r->feeds == FEED_GARMENTS ? 1 : r->feeds == FEED_STYLES ? 3 : 0;
    ImageSetOptions o = { .channels = channels, .photo = channels > 0 };
    const char *data = run->data, *b = run->data_b;
    set_load(run, set, data, o, run->classes, run->limit);
    o.channels = set->c;
    if (r->feeds == FEED_UNPAIRED)
        set_load(run, &run->others, b, o, has_the_ten(data) && has_the_ten(b) ? run->classes : "",
                 run->limit);
    if (!set->label && (r->feeds == FEED_CLASSES || r->feeds == FEED_LABELS))
        die(1, "--data %s: these pictures have no labels, which the recipe %s needs: expected "
            "fashion-mnist, synthetic, an IDX file with its labels-idx1 beside it, or a folder "
            "with a subfolder for each class%s%s%s", data, r->name, set->stray,
            *set->note ? "; " : "", set->note);
}

/* --data, --data-b, --style, --augment and --classes, ready to be drawn from */
static inline void data_open(Run *run) {
    const Recipe *r = run->recipe;
    ImageSet *set = &run->set;
    if (!augment_parse(&run->augmentation, run->augment)) die(2, "--augment: %s", error_text());
    run->augmenting = strcmp(run->augment, "none") != 0;
    if (option_given(run->table, "--data-dir") == 1 && !imageset_named(run->data, "fashion-mnist")
        && !(r->feeds == FEED_UNPAIRED && imageset_named(run->data_b, "fashion-mnist")))
        die(2, "--data-dir is where --data fashion-mnist lies, not %s", run->data);
    if (feeds_on_styles(r)) styles_open(run);
    if (!feeds_on_crops(r)) sets_open(run);
    else {                                  /* crops of style pictures are all there is to see */
        set->classes = set->count = run->style_count, run->data = run->style;
        set->h = set->w = run->options.size, set->c = 3;
    }
    for (int k = 0; k < set->classes && k < RUN_CLASSES; k++)
        for (long i = 0; i < set->count; i++)
            if (!set->label || set->label[i] == k) {
                run->class_of_row[run->class_rows++] = k;
                break;
            }
}

/* ---------------------------------------------------------------- one picture of a batch */

/* A random square of a style picture: to, (size,size,3). u: five uniforms in [0,1): which picture
 * (its number is returned), how large, from where, mirrored. Its side is style_scale * size, or up
 * to a quarter more, where the picture is that large. For cloth, neither enlarged nor mirrored. */
static int style_crop(const Run *run, float *to, const float u[5]) {
    int style = u[0] * run->style_count, size = run->options.size;
    int as_is = run->recipe->feeds == FEED_CLOTH;
    const Image *from = &run->styles[style];
    Image crop, fitted;
    int shorter = fmin(from->h, from->w);
    double scale = as_is || !(run->style_scale > 0) ? 1 : run->style_scale;
    int least = fmin(fmax(1, lround(size * scale)), shorter);
    int most = as_is ? least : fmin(least * 5 / 4, shorter);
    int side = least + (int)(u[1] * (most - least + 1));
    int y = u[2] * (from->h - side + 1), x = u[3] * (from->w - side + 1);
    must(image_crop(&crop, from, y, x, side, side) && image_resize(&fitted, &crop, size, size));
    for (int i = 0; i < size * size; i++) {
        int from_pixel = as_is || u[4] < 0.5f ? i : i / size * size + size - 1 - i % size;
        memcpy(to + i * 3, fitted.pixels + from_pixel * 3, 3 * sizeof *to);
    }
    image_free(&crop);
    image_free(&fitted);
    return style;
}

/* The number of this rank's picture i in the batch of all ranks: each has a run of equal length in
 * it; each round of a step has a batch of its own. */
static long place(const Run *run, long i) {
    long batch = run->gan.options.batch;
    return i / batch * run->options.batch + parallel_rank() * batch + i % batch;
}

/* the n uniforms of picture i: STREAM(purpose, step), counted on from picture to picture */
static void draw_uniforms(const Run *run, float *u, int n, int purpose, long step, long i) {
    for (int k = 0; k < n; k++)
        u[k] = philox_uniform(run->options.seed, STREAM(purpose, step), n * i + k);
}

/* picture `index` of a set into slot i of a batch; its mask, where the recipe asks for masks */
static void fetch(Run *run, float *to, const ImageSet *from, long index, long i, long step) {
    int size = run->options.size;
    long pixels = picture_floats(run, 1), each = pixels * from->c;
    float u[8], *mask = run->fed[FED_MASK].from ? run->fed[FED_MASK].from + i * pixels : NULL;
    to += i * each;
    if (!run->augmenting) {
        must(imageset_get(from, index, to, mask));
        return;
    }
    float *raw = new_floats(each + pixels), *raw_mask = mask ? raw + each : NULL;
    must(imageset_get(from, index, raw, raw_mask));
    draw_uniforms(run, u, 8, STREAM_AUGMENT, step, place(run, i));
    image_augment(to, mask, raw, raw_mask, size, size, from->c, &run->augmentation, u);
    free(raw);
}

/* a crop into slot i; returns the number of its style */
static int fetch_crop(Run *run, float *to, int purpose, long i, long step) {
    float u[5];
    draw_uniforms(run, u, 5, purpose, step, place(run, i));
    return style_crop(run, to + i * picture_floats(run, 3), u);
}

/* Picture number `at` of an endless walk through the set: each epoch shows every picture once, in
 * an order of its own (Fisher and Yates). Where classes are learned that is worth half a percent of
 * accuracy, against pictures drawn with replacement. */
static long walk(Run *run, long at) {
    long n = run->set.count;
    int *order = run->order;
    if (!order) order = run->order = room_for(n, sizeof *order), run->epoch = -1;
    if (at / n != run->epoch) {
        run->epoch = at / n;
        for (long i = 0; i < n; i++) order[i] = i;
        for (long i = n - 1; i > 0; i--) {
            uint64_t stream = STREAM(STREAM_DATA, run->epoch);
            int other = philox_below(run->options.seed, stream, i, i + 1), keep = order[i];
            order[i] = order[other], order[other] = keep;
        }
    }
    return order[at % n];
}

/* A picture (size,size,c) becomes its drawing: the length of its gradient (central differences),
 * light lines on black */
static void draw_edges(const Run *run, float *picture) {
    int size = run->options.size, c = run->set.c, row = size * c;
    float *from = new_floats(size * row);
    memcpy(from, picture, size * row * sizeof *from);
    for (int i = 0; i < size * size; i++) {
        int y = i / size, x = i % size;
        int up = y > 0, down = y < size - 1, left = x > 0, right = x < size - 1;
        const float *at = from + i * c;
        float square = 0;
        for (int k = 0; k < c; k++) {
            float dx = at[k + right * c] - at[k - left * c];
            float dy = at[k + down * row] - at[k - up * row];
            square += (dx * dx + dy * dy) / c;
        }
        for (int k = 0; k < c; k++) picture[i * c + k] = fminf(sqrtf(square) * 1.5f, 2) - 1;
    }
    free(from);
}

/* normal number i of a stream that only sheets (part below 2) and --evaluate draw from */
static float sample_normal(const Run *run, long part, long i) {
    return philox_normal(run->options.seed, STREAM(STREAM_SAMPLE, part), i);
}

/* ---------------------------------------------------------------- a batch */

/* the class of picture i as `classes` numbers of which one is 1 */
static void tell_class(const Run *run, float *given, long i, int class) {
    int classes = run->gan.options.classes;
    for (int k = 0; k < classes; k++) given[i * classes + k] = k == class;
}

/* the class of picture i of the batch, where the recipe learns it or is told it */
static void feed_class(const Run *run, long i, int class) {
    float *labels = run->fed[FED_LABELS].from, *given = run->fed[FED_GIVEN].from;
    if (labels) labels[i] = class;
    if (given) tell_class(run, given, i, class);
}

/* Room on the host for all that a step is fed with */
static inline void batch_open(Run *run) {
    Gan *gan = &run->gan;
    real **const to[FEEDS] = { &gan->x_real, &gan->content, &gan->mask, &gan->outside, &gan->given,
                               &gan->labels };
    for (int i = 0; i < gan->buffers; i++)
        for (int k = 0; k < FEEDS; k++) {
            long count = gan->buffer[i].count;
            if (gan->buffer[i].at == to[k]) run->fed[k] = (Fed){ *to[k], new_floats(count), count };
        }
}

/* A step's pictures of a set, and their classes where it has any. Among the contents of FEED_STYLES
 * every second one is a crop of a style too: what is learned is to be good for more than garments
 * on white. */
static void feed(Run *run, int to, const ImageSet *from, int purpose, long step) {
    int feeds = run->recipe->feeds;
    long n = (long)run->gan.options.batch * gan_n_critic(&run->gan);
    float *pictures = run->fed[to].from;
    for (long i = 0; i < n; i++) {
        long at = place(run, i), index;
        if (feeds == FEED_STYLES && at % 2) {
            fetch_crop(run, pictures, STREAM_CONTENT, i, step);
            continue;
        }
        if (feeds == FEED_LABELS) index = walk(run, step * run->options.batch + at);
        else index = philox_below(run->options.seed, STREAM(purpose, step), at, from->count);
        fetch(run, pictures, from, index, i, step);
        if (from->label) feed_class(run, i, from->label[index]);
    }
}

static void feed_crops(Run *run, long step) {
    float *crops = run->fed[FED_X_REAL].from;
    for (long i = 0; i < run->gan.options.batch; i++)
        feed_class(run, i, fetch_crop(run, crops, STREAM_CROP, i, step));
}

/* 1 where the contents are black, as around the garments of Fashion-MNIST */
static void feed_outside(Run *run) {
    const float *content = run->fed[FED_CONTENT].from;
    float *outside = run->fed[FED_OUTSIDE].from;
    int c = run->set.c;
    for (long p = 0; p < run->fed[FED_OUTSIDE].count; p += c) {
        int black = 1;
        for (int k = 0; k < c; k++) black &= content[p + k] < -0.9f;
        for (int k = 0; k < c; k++) outside[p + k] = black;
    }
}

/* The pictures of a step, on the host */
static inline void prepare_batch(Run *run, long step) {
    const Recipe *r = run->recipe;
    const Fed *x_real = &run->fed[FED_X_REAL], *content = &run->fed[FED_CONTENT];
    int unpaired = r->feeds == FEED_UNPAIRED, repaints = unpaired || feeds_on_styles(r);
    if (!feeds_on_crops(r))
        feed(run, repaints ? FED_CONTENT : FED_X_REAL, &run->set, STREAM_DATA, step);
    if (feeds_on_styles(r)) feed_crops(run, step);
    if (unpaired) feed(run, FED_X_REAL, &run->others, STREAM_CONTENT, step);
    if (run->fed[FED_OUTSIDE].to) feed_outside(run);
    if (r->feeds != FEED_DRAWINGS) return;
    memcpy(content->from, x_real->from, content->count * sizeof *content->from);
    for (long at = 0; at < content->count; at += picture_floats(run, run->set.c))
        draw_edges(run, content->from + at);
}

/* and on the device, which is done with those of the step before */
static inline void upload_batch(Run *run) {
    for (const Fed *f = run->fed; f < run->fed + FEEDS; f++)
        if (f->to) run->gan.ops->upload(f->to, f->from, f->count);
}

/* Tells G the classes of a batch, from picture `first` on: those of the set in turn, `row` pictures
 * each */
static inline void feed_every_class(Run *run, long first, long row) {
    Gan *gan = &run->gan;
    long batch = gan->options.batch, n = batch * gan->options.classes;
    float *given = new_floats(n);
    for (long i = 0; i < batch; i++)
        tell_class(run, given, i, run->class_of_row[(first + i) / row % run->class_rows]);
    gan->ops->upload(gan->given, given, n);
    free(given);
}
#endif
