/* dataset.h: sets of pictures, from folders, IDX files or drawn; and their augmentation. */
#ifndef DATASET_H
#define DATASET_H
#include "images/image.h"

/* The files in a folder and below, sorted by name, folder by folder; without hidden ones, without
 * the folders `except` (a list that ends with NULL, or NULL), and without links that lead back. Or
 * the one file that path names. Only image_load tells whether they are pictures. */
typedef struct ImageList { char **path; long count; } ImageList;
int image_list(ImageList *out, const char *path, const char *const *except);
void image_list_free(ImageList *list);

typedef struct ImageSetOptions {        /* all zero is a good default */
    int h, w;                           /* size of the pictures; 0: native (of the first picture) */
    int channels;                       /* 1 or 3; 0: native (IDX and synthetic 1, folder 3) */
    int photo;                          /* 1: a garment on white with a mask: image_garment_mask of
                                         * folders; others are inverted, mask = value > .02*255 */
    long limit;                         /* use only the first `limit` pictures; 0: all */
    const char *fashion_mnist_dir;      /* NULL: /usr/share/datasets/fashion-mnist */
    const char *const *except;          /* folders to leave out, as in image_list */
} ImageSetOptions;

typedef struct ImageSet {
    long count;
    int h, w, c;                        /* of a picture from imageset_get */
    int stored_h, stored_w, stored_c;   /* as kept: small pictures are enlarged when fetched */
    unsigned char *pixels;              /* (count, stored_h, stored_w, stored_c), 0..255 */
    unsigned char *mask;                /* (count, stored_h, stored_w), 0..255, or NULL */
    int *label;                         /* (count) in 0..classes-1, or NULL: no labels */
    int classes;
    int inverted;                       /* 1: stored light on black; imageset_get makes a photo */
    int tinted;                         /* 1: stored gray; imageset_get dyes it */
    long skipped;                       /* files of the folder that were no readable pictures, */
    char note[512];                     /* and why one of them was not */
    char stray[600];                    /* why a folder of class folders gave no labels; else "" */
    char source[512];                   /* as given */
} ImageSet;

/* source is one of
 *   "fashion-mnist", "fashion-mnist:train", "fashion-mnist:test"
 *                                {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]
 *   "fashion-mnist:plain", "fashion-mnist:patterned"    of its T-shirts, dresses and shirts the 40%
 *                                with the least texture, the 15% with the most: two unpaired sets
 *   "fashion-mnist:tinted"       RGB: each garment in a colour of its own, on white
 *   "fashion-mnist:test:plain"   and so on: the same of the test part
 *   an IDX file, plain or .gz    labels: the file named labels-idx1 instead of images-idx3, if any,
 *                                or labels.idx1 instead of images.idx3
 *   a folder or one picture      as image_list; the subfolders are the classes, unless the folder
 *                                itself holds a picture
 *   "synthetic", "synthetic:N"   N (2000) drawn garments, light on black, in ten classes (drawn.h)
 * options may be NULL. Errors: no such source, a damaged file, sizes that disagree, no picture. */
int imageset_load(ImageSet *out, const char *source, const ImageSetOptions *options);
int imageset_named(const char *source, const char *name);           /* name, or name:part? */

/* Picture index -> pixels (h,w,c) in [-1,1] and, unless NULL, mask (h,w) in [0,1] (1: no mask) */
int imageset_get(const ImageSet *set, long index, float *pixels, float *mask);
void imageset_free(ImageSet *set);

/* Keeps only the pictures of some classes, "0,3,6", with their labels; set->classes stays the same.
 * Errors: no labels, not a class, no picture left. */
int imageset_keep(ImageSet *set, const char *classes);

/* Keras' ImageDataGenerator: each quantity is drawn uniformly from +-range. The defaults are
 * document 001's: rotation 40 degrees, shifts .2 of the width and height, shear .2 (radians, as in
 * the first versions of Keras), zoom 1 +- .2, flip. */
typedef struct Augment { float rotation, shift_x, shift_y, shear, zoom; int flip; } Augment;

/* "all", "none", or a list of rotation, shift, shift_x, shift_y, shear, zoom, flip, each with an
 * optional =range: "flip,rotation=10,zoom". The others are off. */
int augment_parse(Augment *out, const char *list);

/* out[p] = in[q], q = c + R (shift + Shear Zoom F (p - c)): an affine map about the centre c, rows
 * first, bilinear, edges repeated ("nearest"). R = [cos -sin; sin cos] of the rotation, Shear =
 * [1 -sin; 0 cos], Zoom = diag(zoom_y, zoom_x), F: x -> -x if flipped. u: uniforms in [0,1) for
 * rotation, shift_x, shift_y, shear, zoom_x, zoom_y, flip (if < .5); u[7] is spare. With all ranges
 * 0 out is in, bit for bit. The masks (h,w) may both be NULL; out must not be in. */
void image_augment(float *out, float *out_mask, const float *in, const float *in_mask, int h, int w,
                   int c, const Augment *a, const float u[8]);
#endif

#if defined(DATASET_IMPLEMENTATION) && !defined(DATASET_IMPLEMENTED)
#define DATASET_IMPLEMENTED
#include "core/files.h"
#include "images/drawn.h"
#include "images/formats.h"
#include "images/garment.h"
#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int im_by_name(const FTSENT **a, const FTSENT **b) {
    return strcoll((*a)->fts_name, (*b)->fts_name);
}

int image_list(ImageList *out, const char *path, const char *const *except) {
    FTS *walk = fts_open((char *[]){ (char *)path, NULL }, FTS_LOGICAL | FTS_NOCHDIR, im_by_name);
    int good = walk || fail("%s: %s", path, strerror(errno));
    memset(out, 0, sizeof *out);
    for (FTSENT *e; good && (e = fts_read(walk)); ) {
        int folder = e->fts_info == FTS_D, skip = e->fts_level > 0 && e->fts_name[0] == '.';
        for (int i = 0; folder && except && except[i]; i++)
            skip |= same_file(e->fts_path, except[i]);
        if (skip) fts_set(walk, e, FTS_SKIP);
        if (e->fts_level > 17) good = fail("%s: folders nested deeper than 16", path);
        if (e->fts_errno == ENAMETOOLONG || (e->fts_info == FTS_DNR && e->fts_level == 0))
            good = fail("%.300s: %s", e->fts_path, strerror(e->fts_errno));
        if (skip || folder || e->fts_info == FTS_DP || e->fts_info == FTS_DC) continue;
        char **more = realloc(out->path, (out->count + 1) * sizeof *more);
        if (more) out->path = more, more[out->count] = strdup(e->fts_path);
        if (more && more[out->count]) out->count++;
        else good = fail("out of memory for %ld file names", out->count);
    }
    if (walk) fts_close(walk);
    if (!good) image_list_free(out);
    return good;
}

void image_list_free(ImageList *list) {
    while (list->count) free(list->path[--list->count]);
    free(list->path);
    memset(list, 0, sizeof *list);
}

/* Room for `count` pictures (pages that are never written cost no memory) */
static int im_room(ImageSet *set, long count, int h, int w, int c, int mask) {
    size_t all = (size_t)count * h * w;
    set->stored_h = h, set->stored_w = w, set->stored_c = c;
    set->pixels = malloc(all * c), set->label = malloc(count * sizeof *set->label);
    set->mask = mask ? malloc(all) : NULL;
    if (set->pixels && set->label && (set->mask || !mask)) return 1;
    return fail("out of memory for %ld pictures", count);
}

/* Picture `from` takes the place `to`. */
static void im_move(ImageSet *set, long to, long from) {
    size_t n = set->stored_h * set->stored_w, each = n * set->stored_c;
    memmove(set->pixels + to * each, set->pixels + from * each, each);
    if (set->mask) memmove(set->mask + to * n, set->mask + from * n, n);
    set->label[to] = set->label[from];
}

static int im_load_labels(ImageSet *set, const char *images_path, uint32_t count) {
    char path[4096];
    unsigned char *data;
    uint32_t size[3];
    const char *at = NULL, *next = images_path;
    for (; (next = strstr(next, "images")); next++)                     /* the last of them */
        if ((next[6] == '-' || next[6] == '.') && !strncmp(next + 7, "idx3", 4)) at = next;
    if (!at) return 1;
    int found = 0;
    for (int i = 0; i < 2 && !found; i++) {                             /* -idx1 or .idx1 */
        snprintf(path, sizeof path, "%.*slabels%cidx1%s", (int)(at - images_path), images_path,
                 (at[6] == '-') == (i == 0) ? '-' : '.', at + 11);
        found = idx_find(path);
    }
    if (!found) {
        snprintf(set->note, sizeof set->note, "no labels: %.450s is not there", path);
        return 1;
    }
    if (!idx_read(&data, path, 1, size)) return 0;
    int good = size[0] == count ||
               fail("%s: %u labels, but there are %u pictures", path, size[0], count);
    set->label = malloc(count * sizeof *set->label);
    if (good && !set->label) good = fail("out of memory for %u labels", count);
    for (uint32_t i = 0; good && i < count; i++) {
        set->label[i] = data[8 + i];
        if (set->label[i] >= set->classes) set->classes = set->label[i] + 1;
    }
    free(data);
    return good;
}

static int im_load_idx(ImageSet *set, const char *path, long limit) {
    uint32_t size[3];
    if (!idx_read(&set->pixels, path, 3, size)) return 0;
    long all = size[0];
    set->count = limit < all ? limit : all;
    set->stored_h = size[1], set->stored_w = size[2], set->stored_c = 1;
    size_t bytes = set->count * size[1] * size[2];
    memmove(set->pixels, set->pixels + 16, bytes);
    unsigned char *smaller = realloc(set->pixels, bytes);
    if (smaller) set->pixels = smaller;
    return im_load_labels(set, path, size[0]);
}

/* How much a garment's surface varies: the mean of |4 x - its four neighbours| over the pixels
 * whose neighbours up to two pixels away are all above 20. -1: fewer than 150 of them. */
static double im_texture(const unsigned char *p, int h, int w) {
    long sum = 0, inside = 0;
    for (int y = 2; y < h - 2; y++) for (int x = 2; x < w - 2; x++) {
        const unsigned char *c = p + y * w + x;
        int in = *c > 20;
        for (int k = 1; k <= 2; k++)
            in = in && c[k] > 20 && c[-k] > 20 && c[k * w] > 20 && c[-k * w] > 20;
        if (in) sum += labs(4L * *c - c[1] - c[-1] - c[w] - c[-w]), inside++;
    }
    return inside < 150 ? -1 : (double)sum / inside;
}

static int im_load_fashion(ImageSet *set, const char *which, const ImageSetOptions *o) {
    char path[4096];
    const char *dir = o->fashion_mnist_dir;
    if (!dir) dir = "/usr/share/datasets/fashion-mnist";
    int test = !strncmp(which, ":test", 5), train = !strncmp(which, ":train", 6);
    const char *kind = which + (test ? 5 : train ? 6 : 0);
    int plain = !strcmp(kind, ":plain"), choose = plain || !strcmp(kind, ":patterned");
    set->tinted = !strcmp(kind, ":tinted");
    if (*kind && !set->tinted && !choose)
        return fail("fashion-mnist%s: unknown part; there are fashion-mnist:train, :test, :plain, "
                    ":patterned and :tinted; :test:plain and so on are of the test part", which);
    snprintf(path, sizeof path, "%.4000s/%s-images-idx3-ubyte", dir, test ? "t10k" : "train");
    if (!idx_find(path))
        return fail("%s: not found: install Debian's dataset-fashion-mnist, say where it is, or "
                    "use \"synthetic\"", path);
    if (!im_load_idx(set, path, choose ? LONG_MAX : o->limit)) return 0;
    if (!choose) return 1;
    if (set->stored_h < 5 || set->stored_w < 5 || !set->label)
        return fail("%s: expected Fashion-MNIST's pictures and labels", path);
    long kept = 0, each = set->stored_h * set->stored_w;
    for (long i = 0; i < set->count && kept < o->limit; i++) {
        int label = set->label[i];
        if (label != 0 && label != 3 && label != 6) continue;           /* T-shirt, dress, shirt */
        double t = im_texture(set->pixels + i * each, set->stored_h, set->stored_w);
        if (plain ? t >= 0 && t <= 34.3 : t >= 74) im_move(set, kept++, i);
    }
    set->count = kept;
    return kept ? 1 : fail("%s: none of its garments is %s", path, kind + 1);
}

/* Appends a picture, brought to the set's shape, as bytes. */
static int im_append(ImageSet *set, Image *image, const ImageSetOptions *o) {
    Image fitted;
    if (o->photo && !image_garment_mask(image)) return 0;
    if (!image_fit(&fitted, image, set->stored_h, set->stored_w)) return 0;
    int c = set->stored_c;
    long n = fitted.h * fitted.w, at = set->count++ * n;
    image_channels(fitted.pixels, c, fitted.pixels, 3, n);
    for (long i = 0; i < n * c; i++) set->pixels[at * c + i] = image_to_byte(fitted.pixels[i]);
    for (long i = 0; set->mask && i < n; i++)
        set->mask[at + i] = image_to_byte(fitted.mask[i] * 2 - 1);
    image_free(&fitted);
    return 1;
}

static int im_load_folder(ImageSet *set, const char *source, const ImageSetOptions *o) {
    ImageList list;
    int nested = 0, told = 0;                                   /* nested: pictures in subfolders */
    int good = image_list(&list, source, o->except);
    const char *last = NULL, *stray = NULL;     /* the picture before, in source; one beside them */
    long room = o->limit < list.count ? o->limit : list.count;
    for (long i = 0; good && i < list.count && set->count < room; i++) {
        Image image;
        if (!image_load(&image, list.path[i])) {        /* a damaged picture is told of first */
            set->skipped++;
            if (!told) snprintf(set->note, sizeof set->note, "%.511s", error_text());
            told = told || image_known(list.path[i]);
            continue;
        }
        const char *below = list.path[i] + strlen(source);
        while (*below == '/') below++;
        size_t length = strcspn(below, "/");
        if (below[length]) nested = 1;
        else if (!stray) stray = list.path[i];
        if (!last || strncmp(last, below, length + 1)) set->classes++;
        last = below;
        good = (set->pixels || im_room(set, room, o->h ? o->h : image.h, o->w ? o->w : image.w,
                                       o->channels ? o->channels : 3, o->photo)) &&
               im_append(set, &image, o);
        if (good) set->label[set->count - 1] = set->classes - 1;
        image_free(&image);
    }
    if (good && !set->count)
        good = fail("%s: none of the %ld files seen is a readable picture; known are " IMAGE_FORMATS
                    "%s%.300s", source, list.count, set->skipped ? "; such as " : "", set->note);
    if (stray) free(set->label), set->label = NULL, set->classes = 0;
    if (stray && nested)
        snprintf(set->stray, sizeof set->stray, " (%.500s lies beside the class folders: move it "
                 "into one of them)", stray);
    image_list_free(&list);
    return good;
}

static int im_load_synthetic(ImageSet *set, const char *which, const ImageSetOptions *o) {
    char *end = "";
    long n = *which ? strtol(which + 1, &end, 10) : 2000;
    if (*end || n < 1 || n > 1000000)
        return fail("synthetic%s: expected \"synthetic\" or \"synthetic:N\" with N = 1..1000000",
                    which);
    set->count = o->limit < n ? o->limit : n, set->classes = 10;
    if (!im_room(set, set->count, o->h ? o->h : 28, o->w ? o->w : 28, 1, 0)) return 0;
    long each = set->stored_h * set->stored_w;
    for (long i = 0; i < set->count; i++) {
        drawn_garment(set->pixels + i * each, set->stored_h, set->stored_w, i);
        set->label[i] = i % 10;
    }
    return 1;
}

int imageset_named(const char *source, const char *name) {
    size_t n = strlen(name);
    return !strncmp(source, name, n) && (!source[n] || source[n] == ':');
}

static int im_load_source(ImageSet *set, const char *source, const ImageSetOptions *o) {
    struct stat info;
    unsigned char head[4];                  /* gzip's or IDX' */
    if (imageset_named(source, "fashion-mnist")) return im_load_fashion(set, source + 13, o);
    if (imageset_named(source, "synthetic")) return im_load_synthetic(set, source + 9, o);
    if (stat(source, &info))
        return fail("%s: %s; expected a folder of pictures, an IDX file, \"fashion-mnist\" or "
                    "\"synthetic\"", source, strerror(errno));
    int idx = file_head(head, 4, source) == 4 &&
              (!memcmp(head, "\x1f\x8b", 2) || !memcmp(head, "\0\0\x08", 3));
    return idx ? im_load_idx(set, source, o->limit) : im_load_folder(set, source, o);
}

int imageset_load(ImageSet *out, const char *source, const ImageSetOptions *options) {
    ImageSetOptions o = options ? *options : (ImageSetOptions){0};
    if (o.limit <= 0) o.limit = LONG_MAX;
    memset(out, 0, sizeof *out);
    if (strlen(source) >= sizeof out->source)
        return fail("%.100s...: the name is too long", source);
    int c = o.channels;
    if ((c != 0 && c != 1 && c != 3) || !image_size_ok(o.h ? o.h : 1, o.w ? o.w : 1))
        return fail("a set of %d x %d pixels and %d channels: sides are 1..16384 (0: native), "
                    "channels 1 or 3", o.w, o.h, c);
    if (!im_load_source(out, source, &o)) return imageset_free(out), 0;
    out->inverted = o.photo && !out->mask;
    out->h = o.h ? o.h : out->stored_h, out->w = o.w ? o.w : out->stored_w;
    out->c = c ? c : out->tinted ? 3 : out->stored_c;
    strcpy(out->source, source);
    return 1;
}

int imageset_get(const ImageSet *set, long index, float *pixels, float *mask) {
    if (index < 0 || index >= set->count)
        return fail("%s: picture %ld does not exist, there are %ld", set->source, index,
                    set->count);
    Image raw, fitted;
    int good = image_new(&raw, set->stored_h, set->stored_w, set->stored_c);
    if (mask && (set->mask || set->inverted)) good = good && image_add_mask(&raw, 0);
    size_t n = raw.h * raw.w, all = n * raw.c, size = set->h * set->w;
    const unsigned char *b = set->pixels + index * all;
    for (size_t i = 0; good && i < all; i++)
        raw.pixels[i] = image_from_byte(set->inverted ? 255 - b[i] : b[i]);
    for (size_t i = 0; good && raw.mask && i < n; i++)
        raw.mask[i] = set->mask ? set->mask[index * n + i] / 255.f : b[i] > .02 * 255;
    int enlarged = raw.mask && set->h > raw.h && set->w > raw.w;
    good = good && (!enlarged || image_round_mask(&raw));
    good = good && image_fit(&fitted, &raw, set->h, set->w);
    image_free(&raw);
    if (!good) return 0;
    if (!set->tinted) image_channels(pixels, set->c, fitted.pixels, fitted.c, size);
    float share[3], rgb[3];
    if (set->tinted) drawn_dye(share, index);
    for (size_t i = 0; set->tinted && i < size; i++) {
        float cloth = 1 - (set->inverted ? fitted.pixels[i] : -fitted.pixels[i]);   /* 0: white */
        for (int k = 0; k < 3; k++) rgb[k] = 1 - cloth * share[k];
        image_channels(pixels + i * set->c, set->c, rgb, 3, 1);
    }
    for (size_t i = 0; mask && i < size; i++) {
        mask[i] = fitted.mask ? fitted.mask[i] : 1;
        if (enlarged) mask[i] = image_clamp(2 * mask[i] - .5f, 0, 1);
    }
    image_free(&fitted);
    return 1;
}

int imageset_keep(ImageSet *set, const char *classes) {
    if (!set->label)
        return fail("%s: these pictures have no labels to choose classes by", set->source);
    char *wanted = calloc(set->classes, 1), *end;
    long kept = 0;
    int good = wanted || fail("%s: out of memory", set->source);
    for (const char *c = classes; good; c = end + 1) {
        long k = strtol(c, &end, 10);
        good = *c >= '0' && *c <= '9' && (*end == ',' || !*end) && k < set->classes;
        if (good) wanted[k] = 1;
        else fail("'%s' is no list of classes: those of %s are 0 to %d, as in 0,3,6", classes,
                  set->source, set->classes - 1);
        if (!*end) break;
    }
    for (long i = 0; good && i < set->count; i++)
        if (wanted[set->label[i]]) im_move(set, kept++, i);
    free(wanted);
    if (good) set->count = kept;
    return good && (kept || fail("%s: no picture is of the classes %s", set->source, classes));
}

void imageset_free(ImageSet *set) {
    free(set->pixels), free(set->mask), free(set->label);
    memset(set, 0, sizeof *set);
}

int augment_parse(Augment *out, const char *list) {
    Augment a = {0};
    const struct { const char *name; float usual, most, *to; } part[6] = {
        { "rotation", 40, 180, &a.rotation }, { "shift_x", .2f, 1, &a.shift_x },
        { "shift_y", .2f, 1, &a.shift_y }, { "shear", .2f, 1, &a.shear },
        { "zoom", .2f, .9f, &a.zoom }, { "shift", .2f, 1, &a.shift_x } };
    if (!strcmp(list, "all")) list = "rotation,shift,shear,zoom,flip";
    for (const char *word = strcmp(list, "none") ? list : NULL; word; ) {
        int length = strcspn(word, ","), name = strcspn(word, "=,"), i = 0, good = 1;
        while (i < 6 && (strncmp(word, part[i].name, name) || part[i].name[name])) i++;
        if (length == 4 && !strncmp(word, "flip", 4)) a.flip = 1;
        else if (i == 6) good = 0;
        else {
            char *end = (char *)word + name;
            *part[i].to = name < length ? strtof(word + name + 1, &end) : part[i].usual;
            good = end == word + length && end != word + name + 1 &&
                   *part[i].to >= 0 && *part[i].to <= part[i].most;
            if (i == 5) a.shift_y = a.shift_x;
        }
        if (!good)
            return fail("augmentation \"%.*s\" is unknown; known are all, none, or a list of "
                        "rotation (degrees, 0..180), shift, shift_x, shift_y (of the size, 0..1), "
                        "shear (radians, 0..1), zoom (0..0.9), flip", length, word);
        word = word[length] ? word + length + 1 : NULL;
    }
    return *out = a, 1;
}

/* out[k] = in (h,w,c) at row y, column x: bilinear, the nearest edge outside */
static void im_sample(float *out, const float *in, int h, int w, int c, float y, float x) {
    y = image_clamp(y, 0, h - 1.f), x = image_clamp(x, 0, w - 1.f);
    int y0 = y, x0 = x, y1 = y0 + 1 < h ? y0 + 1 : y0, x1 = x0 + 1 < w ? x0 + 1 : x0;
    float fy = y - y0, fx = x - x0;
    const float *a = in + (y0 * w + x0) * c, *b = in + (y0 * w + x1) * c;
    const float *d = in + (y1 * w + x0) * c, *e = in + (y1 * w + x1) * c;
    for (int k = 0; k < c; k++)
        out[k] = (1 - fy) * ((1 - fx) * a[k] + fx * b[k]) + fy * ((1 - fx) * d[k] + fx * e[k]);
}

void image_augment(float *out, float *out_mask, const float *in, const float *in_mask, int h, int w,
                   int c, const Augment *a, const float u[8]) {
    float s[6];
    for (int i = 0; i < 6; i++) s[i] = 2 * u[i] - 1;                            /* in [-1,1) */
    float angle = s[0] * a->rotation * 3.14159265f / 180, shear = s[3] * a->shear;
    float shift_x = s[1] * a->shift_x * w, shift_y = s[2] * a->shift_y * h;
    float zoom_x = 1 + s[4] * a->zoom, zoom_y = 1 + s[5] * a->zoom;
    float sine = sinf(angle), cosine = cosf(angle), cy = (h - 1) / 2.f, cx = (w - 1) / 2.f;
    int flip = a->flip && u[6] < .5f;
    for (int i = 0; i < h; i++) for (int j = 0; j < w; j++) {
        float dy = (i - cy) * zoom_y, dx = (flip ? cx - j : j - cx) * zoom_x;
        float sy = shift_y + dy - sinf(shear) * dx, sx = shift_x + cosf(shear) * dx;
        float y = cy + (cosine * sy - sine * sx), x = cx + (sine * sy + cosine * sx);
        im_sample(out + (i * w + j) * c, in, h, w, c, y, x);
        if (out_mask) im_sample(out_mask + i * w + j, in_mask, h, w, 1, y, x);
    }
}
#endif
