/* garments.h: lists of pictures, what their results are called, and where the garment is in one. */
#ifndef GARMENTS_H
#define GARMENTS_H
#include "core/error.h"
#include "core/files.h"
#include "style/cutout.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

typedef struct Garment {
    char *path;                         /* its file, or NULL: picture `index` of the list's set */
    char *name;                         /* of its result, without ".png"; no two alike */
    long index;
} Garment;
typedef struct GarmentList {
    Garment *item;
    long count;
    ImageSet set;
    long left_out, damaged;             /* files of the folder: no pictures; reported by say() */
    char *first;                        /* the first that was left out, and why */
} GarmentList;

typedef enum PhotoMask { PHOTO_FOUND = 1, PHOTO_OWN, PHOTO_NONE, PHOTO_GIVEN } PhotoMask;
typedef struct Photo {
    const Garment *from;
    Image picture;                      /* at the size of the result, with its mask */
    Image alpha;                        /* the file's own: (h,w,1) in [0,1], or empty */
    double by;                          /* how much it was enlarged */
    PhotoMask mask;                     /* the first three as image_garment_mask says */
} Photo;

/* ---- lists ---------------------------------------------------------------------------------- */

/* Can a picture be written there? By its ending: 1: PNG, 2: JPEG, 0: no */
static inline int picture_kind(const char *path) {
    const char *dot = strrchr(path, '.');
    if (!dot || dot == path) return 0;
    if (!strcasecmp(dot, ".png")) return 1;
    return strcasecmp(dot, ".jpg") && strcasecmp(dot, ".jpeg") ? 0 : 2;
}

/* Named after `below`: sub/a.png is "sub-a", and if sub-a.jpg comes too, that is "sub-a-2". */
static int garments_add(GarmentList *list, const char *path, const char *below, long index) {
    char name[4200], unique[4300];
    snprintf(name, sizeof name, "%.4000s", below);
    char *dot = strrchr(name, '.');
    if (path && dot && dot > name) *dot = 0;
    for (char *c = name; *c; c++)
        if (*c == '/') *c = '-';
    strcpy(unique, name);
    for (long i = 0, copy = 2; i < list->count; i++)
        if (!strcasecmp(list->item[i].name, unique))
            snprintf(unique, sizeof unique, "%s-%ld", name, copy++), i = -1;
    Garment *more = realloc(list->item, (list->count + 1) * sizeof *more);
    if (more) list->item = more, more += list->count;
    if (more) *more = (Garment){ path ? strdup(path) : NULL, strdup(unique), index };
    if (!more || !more->name || (path && !more->path))
        return fail("%s: not enough memory for a list of pictures", below);
    list->count++;
    return 1;
}

/* The pictures of a folder, not those in the folder `output`. Of styles those that can be read, and
 * each damaged one is reported */
static int garments_folder(GarmentList *list, const char *folder, const char *output, int styles) {
    const char *what = styles ? "styles" : "garments";
    ImageList files;
    if (same_file(folder, output))
        return fail("%s: results would lie among the %s: choose another --output", output, what);
    int good = image_list(&files, folder, (const char *const[]){ output, NULL });
    for (long i = 0; good && i < files.count; i++) {
        const char *path = files.path[i], *below = path + strlen(folder);
        Image picture = { 0 };
        while (*below == '/') below++;
        if (!image_known(path)) {
            if (!list->left_out++) list->first = strdup(error_text());
        } else if (styles && !image_load(&picture, path))
            list->damaged++, say("%s", error_text());
        else good = garments_add(list, path, below, 0);
        image_free(&picture);
    }
    image_list_free(&files);
    if (!good || list->count) return good;
    if (list->damaged)
        return fail("%s: none of its %ld pictures can be read", folder, list->damaged);
    if (list->first)
        return fail("%s: expected pictures of %s; %ld files left out, the first: %s", folder, what,
                    list->left_out, list->first);
    return fail("%s: no file in it, expected pictures of %s", folder, what);
}

/* Of a set, as in a shop: on white */
static int garments_of_set(GarmentList *list, const char *content, const char *data_dir) {
    ImageSetOptions o = { .channels = 3, .photo = 1,
                          .fashion_mnist_dir = *data_dir ? data_dir : NULL };
    char source[64], name[64];
    long from, to;
    int end = 0, fashion = content[0] == 'f', colon = strcspn(content, ":");
    int n = sscanf(content + colon, ":%6ld%n-%6ld%n", &from, &end, &to, &end);
    if (n == 1) to = from;
    if (n < 1 || content[colon + end] || from < 0 || to < from)
        return fail("--content %s: expected one number or a range, as in :17 or :3-9", content);
    if (!fashion) o.h = o.w = 256;
    if (!fashion && to > 999)
        return fail("--content %s: there are synthetic garments 0 to 999", content);
    snprintf(source, sizeof source, fashion ? "fashion-mnist:test" : "synthetic:%ld", to + 1);
    if (!imageset_load(&list->set, source, &o)) return 0;
    if (to >= list->set.count)
        return fail("--content %s: there are pictures 0 to %ld", content, list->set.count - 1);
    for (; from <= to; from++) {
        snprintf(name, sizeof name, "%.*s-%ld", colon, content, from);
        if (!garments_add(list, NULL, name, from)) return 0;
    }
    return 1;
}

/* content: a picture; a folder, of which all files are taken that begin like a picture, in
 * subfolders too, but not those in the folder `output`; fashion-mnist:17 or :3-9 of the test set;
 * synthetic:5. data_dir: where Fashion-MNIST lies, or "". Errors: no such picture, none that can be
 * read, memory. */
static inline int garments_list(GarmentList *list, const char *content, const char *output,
                                const char *data_dir) {
    const char *slash = strrchr(content, '/');
    if (!strncmp(content, "fashion-mnist:", 14) || !strncmp(content, "synthetic:", 10))
        return garments_of_set(list, content, data_dir);
    if (access(content, F_OK))
        return fail("%s: %s: expected a picture, a folder of them, fashion-mnist:17 or synthetic:5",
                    content, strerror(errno));
    return is_folder(content) ? garments_folder(list, content, output, 0)
                              : garments_add(list, content, slash ? slash + 1 : content, 0);
}

/* ---- one of them ---------------------------------------------------------------------------- */

static int garments_load(Image *picture, const ImageSet *set, const Garment *from) {
    if (from->path) return image_load(picture, from->path);
    return image_new(picture, set->h, set->w, 3) && image_add_mask(picture, 1)
        && imageset_get(set, from->index, picture->pixels, picture->mask)
        && image_round_mask(picture);
}

/* The luminance of the file, on black, takes the place of the mask that the picture came with. Of
 * another size it is scaled, if its sides are in the same ratio up to a pixel of the smaller. */
static int photo_read_mask(Photo *p, const char *file) {
    Image *x = &p->picture, white;
    if (!image_load(&white, file)) return 0;
    int off = abs(white.h * x->w - x->h * white.w);
    int alike = off <= fmax(fmax(x->h, x->w), fmax(white.h, white.w));
    if (!alike)
        fail("%s: this mask has %d x %d pixels, %s has %d x %d: expected the same shape, draw the "
             "mask on a copy of the picture", file, white.w, white.h, p->from->name, x->w, x->h);
    else if (white.h != x->h || white.w != x->w)
        tell("%s: from %d x %d to the %d x %d pixels of %s", file, white.w, white.h, x->w, x->h,
             p->from->name);
    for (long i = 0; white.mask && i < 3L * white.h * white.w; i++)     /* on white -> on black */
        white.pixels[i] -= 2 * (1 - white.mask[i / 3]);
    free(white.mask), white.mask = NULL;
    int good = alike && resize_in_steps(&white, x->h, x->w, 2) && (x->mask || image_add_mask(x, 0));
    for (long i = 0; good && i < x->h * x->w; i++) {
        image_channels(&x->mask[i], 1, white.pixels + 3 * i, 3, 1);
        x->mask[i] = (x->mask[i] + 1) / 2;
    }
    image_free(&white);
    return good;
}

/* The picture at the size of the result. Its mask gets back an edge about one pixel wide. */
static int photo_resize(Photo *p, int size) {
    Image *x = &p->picture;
    int longer = x->h > x->w ? x->h : x->w;
    p->by = size ? (double)size / longer : longer < 128 ? 256. / longer : 1;
    if (!resize_in_steps(x, x->h * p->by, x->w * p->by, 2)) return 0;
    for (long i = 0; x->mask && i < x->h * x->w; i++)   /* rounding may have passed 1, too */
        x->mask[i] = image_clamp((x->mask[i] - .5f) * (float)fmax(p->by, 1) + .5f, 0, 1);
    return 1;
}

/* Of what lies more than `margin` pixels inside a mask of its own: the share that x->mask covers */
static double photo_covered(const Image *x, float *own, int margin) {
    Image inner, with = { x->h, x->w, x->c, x->pixels, own, 0 };
    double both = 0, all = 1e-9;
    int good = image_copy(&inner, &with) && image_draw_in(&inner, margin);
    for (long i = 0; good && i < x->h * x->w; i++)
        all += inner.mask[i], both += fminf(inner.mask[i], x->mask[i]);
    image_free(&inner);
    return good ? both / all : 0;
}

/* A picture of a set brings a mask of its own, wide by a pixel, and keeps it where the finer one
 * has taken cloth for background. */
static int photo_find_mask(Photo *p, int given) {
    Image *x = &p->picture;
    int of_set = !p->from->path;
    float *own = of_set && !given ? x->mask : NULL;
    if (own) x->mask = NULL;
    int found = image_garment_mask(x);
    if (found && own && (found == PHOTO_NONE || photo_covered(x, own, ceil(1.5 * p->by)) < .99)) {
        float *other = x->mask;
        x->mask = own, own = other, found = PHOTO_OWN;
    }
    free(own);
    if (!found) return 0;
    p->mask = given ? PHOTO_GIVEN : (PhotoMask)found;
    int widened = p->by > 1 && (p->mask == PHOTO_FOUND || of_set);   /* its edge: the middle */
    return !widened || image_draw_in(x, p->by / 2);
}

/* Of the mask's edge, the share where the picture has none: its luminance keeps within .06 (of
 * 0..1) for 3 pixels around. A mask that leaks into a lit table ends there. */
static double photo_doubt(const Photo *p) {
    const Image *x = &p->picture;
    int h = x->h, w = x->w, reach = ceil(3 * fmax(p->by, 1));
    double edge = 0, doubtful = 0;
    for (long i = w; i < h * w; i++) {
        const float *m = x->mask + i;
        int inside = *m > .5f;
        if (i % w == 0 || (inside == (m[-1] > .5f) && inside == (m[-w] > .5f))) continue;
        int top = fmax(i / w - reach, 0), bottom = fmin(i / w + reach + 1, h);
        int left = fmax(i % w - reach, 0), right = fmin(i % w + reach + 1, w);
        float l, low = 1, high = -1;
        for (int y = top; y < bottom; y++) for (int z = left; z < right; z++) {
            image_channels(&l, 1, x->pixels + 3 * (y * w + z), 3, 1);
            low = fminf(low, l), high = fmaxf(high, l);
        }
        edge++, doubtful += high - low < .12f;
    }
    return edge ? doubtful / edge : 0;
}

/* Picture i of the list. size: its longer side, or 0: its own, below 128 enlarged to 256. mask: a
 * picture that is white where the garment is, or ""; what is transparent in it counts as black.
 * Prints the size, and what the mask is. Errors: a file that cannot be read, a mask of another
 * shape, memory. */
static inline int photo_open(Photo *p, const GarmentList *list, long i, int size,
                             const char *mask) {
    static const char *const where[] = { "", "what stands out from the background", "its own mask",
        "all of it: no mask, and no background of one colour: --mask can say where", "--mask" };
    Image *x = &p->picture, *alpha = &p->alpha;
    *p = (Photo){ .from = &list->item[i] };
    if (!garments_load(x, &list->set, p->from)) return 0;
    int clear = p->from->path && x->mask;
    if (clear && !image_copy(alpha, &(Image){ x->h, x->w, 1, x->mask, NULL, 0 })) return 0;
    if ((*mask && !photo_read_mask(p, mask)) || !photo_resize(p, size) ||
        !photo_find_mask(p, *mask) || (clear && !resize_in_steps(alpha, x->h, x->w, 2))) return 0;
    for (long j = 0; clear && j < x->h * x->w; j++)
        if (*mask) x->mask[j] *= alpha->pixels[j];
        else alpha->pixels[j] = x->mask[j];             /* with its sharper edge */
    const char *doubt = ", but its edge is partly no edge in the picture: --mask can say where";
    if (p->mask != PHOTO_FOUND || !p->from->path || photo_doubt(p) <= .1) doubt = "";
    tell("%s: %d x %d pixels; garment: %s%s", p->from->name, x->w, x->h, where[p->mask], doubt);
    return 1;
}
static inline void photo_close(Photo *p) { image_free(&p->picture), image_free(&p->alpha); }
#endif
