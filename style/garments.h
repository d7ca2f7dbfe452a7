/* garments.h: lists of pictures: what --content and a folder of styles name, and how their results
 * are called. One .c file says #define GARMENTS_IMPLEMENTATION; it needs the code of images.h. */
#ifndef GARMENTS_H
#define GARMENTS_H
#include "images/images.h"

typedef struct Garment {
    char *path;                         /* its file, or NULL: picture `index` of the list's set */
    char *name;                         /* of its result, without ".png"; no two alike */
    long index;
} Garment;
typedef struct GarmentList { Garment *item; long count; ImageSet set; } GarmentList;

/* content: a picture; a folder, of which all pictures are taken, in subfolders too, but not those
 * in the folder `output`; fashion-mnist:17 or :3-9 of the test set; synthetic:5. data_dir: where
 * Fashion-MNIST lies, or "". Errors: no such picture, none that can be read, memory. */
int garments_list(GarmentList *list, const char *content, const char *output,
                  const char *data_dir);

/* Of a folder of styles those that can be read; a damaged one is reported once, by say(). */
int garments_list_styles(GarmentList *list, const char *folder, const char *output);
int garments_load(Image *picture, const GarmentList *list, long i);

/* Named after `below`: sub/a.png is "sub-a", and if sub-a.jpg comes too, that is "sub-a-2". */
int garments_add(GarmentList *list, const char *path, const char *below, long index);

/* By its ending: 1 to 3: can be written and read, 4, 5: only read, 6: a pattern, 0: no picture */
int picture_kind(const char *path);
#endif

#if defined(GARMENTS_IMPLEMENTATION) && !defined(GARMENTS_IMPLEMENTED)
#define GARMENTS_IMPLEMENTED
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int picture_kind(const char *path) {
    static const char *const ending[] = { ".png", ".jpg", ".jpeg", ".bmp", ".tga", ".pat" };
    const char *dot = strrchr(path, '.');
    for (int i = 0; dot && dot > path && i < 6; i++)
        if (!strcasecmp(dot, ending[i])) return i + 1;
    return 0;
}

int garments_add(GarmentList *list, const char *path, const char *below, long index) {
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
    Garment *more = realloc(list->item, (size_t)(list->count + 1) * sizeof *more);
    if (more) list->item = more, more += list->count;
    if (more) *more = (Garment){ path ? strdup(path) : NULL, strdup(unique), index };
    if (!more || !more->name || (path && !more->path))
        return fail("%s: not enough memory for a list of pictures", below);
    list->count++;
    return 1;
}

static int garments_readable(const char *path) {
    Image picture;
    int good = image_load(&picture, path);
    image_free(&picture);
    return good || say("%s", error_text());
}

static int garments_folder(GarmentList *list, const char *folder, const char *output, int styles) {
    const char *what = styles ? "styles" : "garments";
    ImageList files;
    long found = 0;
    if (same_file(folder, output))
        return fail("%s: results would lie among the %s: choose another --output", output, what);
    int good = image_list(&files, folder, (const char *const[]){ output, NULL });
    for (long i = 0; good && i < files.count; i++) {
        const char *path = files.path[i], *below = path + strlen(folder);
        int kind = picture_kind(path);
        while (*below == '/') below++;
        if (!kind || kind > (styles ? 6 : 5)) continue;
        found++;
        if (!styles || garments_readable(path)) good = garments_add(list, path, below, 0);
    }
    image_list_free(&files);
    if (good && !found)
        return fail("%s: no .png, .jpg, .bmp%s .tga file in it: expected pictures of %s", folder,
                    styles ? ", .pat or" : " or", what);
    if (good && !list->count)
        return fail("%s: none of its %ld pictures can be read", folder, found);
    return good;
}
int garments_list_styles(GarmentList *list, const char *folder, const char *output) {
    return garments_folder(list, folder, output, 1);
}

/* Of a set, as in a shop: on white */
static int garments_of_set(GarmentList *list, const char *content, const char *data_dir) {
    ImageSetOptions o = { .channels = 3, .photo = 1,
                          .fashion_mnist_dir = *data_dir ? data_dir : NULL };
    char source[64], name[64];
    long from, to;
    int end = 0, fashion = content[0] == 'f', colon = (int)strcspn(content, ":");
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

int garments_list(GarmentList *list, const char *content, const char *output,
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

int garments_load(Image *picture, const GarmentList *list, long i) {
    const ImageSet *set = &list->set;
    if (list->item[i].path) return image_load(picture, list->item[i].path);
    if (!image_new(picture, set->h, set->w, 3)) return 0;
    picture->mask = malloc((size_t)set->h * (size_t)set->w * sizeof *picture->mask);
    if (!picture->mask)
        return fail("not enough memory for a mask of %d x %d pixels", set->w, set->h);
    if (!imageset_get(set, list->item[i].index, picture->pixels, picture->mask)) return 0;
    image_round_mask(picture);
    return 1;
}

#endif
