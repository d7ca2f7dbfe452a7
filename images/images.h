/* images.h: pictures and sets of pictures for a GAN, in one header.
 *
 *     #define IMAGES_IMPLEMENTATION          // in exactly one .c file
 *     #include "images/images.h"                    // needs stb_image.h and stb_image_write.h (-isystem)
 *
 *     Image photo, small;
 *     if (!image_load(&photo, "shirt.jpg") || !image_fit(&small, &photo, 64, 64))
 *         fprintf(stderr, "%s\n", error_text());
 *
 * Conventions, everywhere:
 *   - pixels are float in [-1, 1], rows from the top, channels last: pixels[(y*w + x)*c + k]  (F20: byte/127.5 - 1);
 *   - a mask is float in [0, 1], (h,w): 1 where the garment is, 0 where the background is; NULL means "all of it";
 *   - every function that can fail returns 0 on failure and leaves one line in error_text(): what, where, what was
 *     expected, what to do. Nothing here prints, exits, or draws random numbers;
 *   - `Image *out` (or dst) is written without being freed first and must be another struct than the source; after a
 *     failure it is empty, so that image_free(out) is always right.
 * Sizes are read from a file's header and checked before anything is allocated or decoded: a side is 1..16384 pixels, a
 * picture at most 50 megapixels, a file at most 1 GB. EXIF rotation is not applied. */
#ifndef IMAGES_H
#define IMAGES_H
#include "core/error.h"
#include "core/files.h"

typedef struct Image {
    int h, w, c;        /* rows, columns, channels: 1 = gray, 3 = RGB */
    float *pixels;      /* (h,w,c) in [-1,1] */
    float *mask;        /* (h,w) in [0,1], or NULL: all of it */
    int tileable;       /* 1: a textile pattern whose edges meet when it is repeated */
} Image;

/* ---- files ---------------------------------------------------------------------------------------------------- */

/* The files below a folder, sorted by name, folder by folder, without hidden ones, the folders `except` (a list that ends with NULL, or
 * NULL) and links that lead back; or the one file that path names. Whether they are pictures, image_load will say. */
typedef struct ImageList { char **path; long count; } ImageList;
int image_list(ImageList *out, const char *path, const char *const *except);
void image_list_free(ImageList *list);

/* ---- one picture ---------------------------------------------------------------------------------------------- */

/* PNG, JPEG, BMP (known by their first bytes), TGA (by the name's .tga) or GIMP pattern (.pat, by its first bytes; sets
 * tileable). Always RGB, c = 3. Transparency is composited on white, alpha*rgb + (1 - alpha)*white, and alpha is kept
 * as the mask when any pixel is less than 250/255 opaque. A file that ends early is an error, never half a picture. */
int image_load(Image *out, const char *path);

/* c = 1 or 3; byte = round((x + 1)*127.5), clamped to 0..255, NaN -> 0. JPEG (quality 92) when path ends in .jpg or .jpeg,
 * else PNG. Written beside path and then renamed: path holds the old picture or the new one, never half of one. No mask. */
int image_save(const Image *image, const char *path);

int image_new(Image *out, int h, int w, int c);         /* (h,w,c) of zeros (mid-gray), no mask; c = 1..4 */
int image_copy(Image *dst, const Image *src);
void image_free(Image *image);                          /* and makes it empty; an empty image is fine */

/* Separable, mask included. An axis that shrinks by s = in/out averages its box exactly,
 *     y[i] = 1/s * sum_j |[i s, (i+1) s) n [j, j+1)| x[j]          (|.|: length of the overlap)
 * and one that grows is bilinear with half-pixel centres and clamped edges (PyTorch's align_corners=False),
 *     p = max(0, (i + 1/2) in/out - 1/2),  y[i] = (1 - frac p) x[floor p] + frac p x[min(floor p + 1, in - 1)]. */
int image_resize(Image *dst, const Image *src, int h, int w);

/* Any shape into (h,w): all of it, centred on its border's colour (white when the border has none; mask 0 there). */
int image_fit(Image *dst, const Image *src, int h, int w);

int image_crop(Image *dst, const Image *src, int y, int x, int h, int w);   /* rows y..y+h-1, columns x..x+w-1 */
int image_tile(Image *dst, const Image *src, int h, int w);         /* dst[i,j] = src[i mod src.h, j mod src.w] */

/* Finds the garment: when at least 60% of the border lies within .09 (of 0..1, each channel) of the border's median
 * colour, everything of that colour that touches the border is background and the rest is garment; specks (up to 1/500
 * of the picture) are dropped and the edge is rounded. 1: made. 2: there was a mask already (alpha), kept. 3: the
 * background is not uniform, or nothing stands out from it: the mask is all ones. 0: out of memory. */
int image_garment_mask(Image *image);

/* A mask of whole pixels shows as stairs when it is enlarged: this averages it over 3x3 first, with weights 1 2 1 each way
 * (edges repeated). After enlarging, 2m - 1/2 makes its edge crisp again, and what was a stair is a slope. */
void image_round_mask(Image *image);

/* The mask drawn in by r pixels: to[y,x] = min of from[y+v,x+u], |u|,|v| <= r. */
int image_draw_in(Image *image, int r);

/* All of the mask that is above 0: rows *top..*bottom-1, columns *left..*right-1; *bottom is 0 where there is none. */
void image_mask_box(int *top, int *left, int *bottom, int *right, const Image *image);

/* tones: the garment's luminance, (h,w,1), without the background. At its edge, as far as `rim` pixels, the two are mixed:
 * there, and outside of the mask, tones are continued smoothly from further inside, if there is any inside. Their mask is
 * that inside. A picture without a mask is all inside. */
int image_tones(Image *tones, const Image *image, int rim);

/* Lays a print on the garment, which keeps its folds and shadows. Where the mask is m, with all colours in [0,1],
 *     image = m y f + (1 - m) image,   f = 1 - shade + shade clamp((l + soft) / (light + soft), .15, 1.25)
 * y: the print, gray or RGB; l: the picture's luminance, or the tones' where they are darker: no pale seam where a light
 * background bleeds into the edge, but drawn outlines stay; light: the tone that four fifths of the garment are below;
 * soft = .15 max(1 - 2 light, 0): a dark garment's folds have, in these numbers, the contrast of lacquer.
 * print and tones have one size and begin at (top, left) of the picture; image: RGB with a mask. */
void image_lay_print(Image *image, const Image *print, const Image *tones, int top, int left, double shade);

/* ---- colours of RGB pictures (c = 3) --------------------------------------------------------------------------- */

/* mean (3) = E[x], covariance (3,3) = E[(x - mean)(x - mean)^T] over the pixels of `count` pictures, each where its mask is
 * above 1/2; weight: of each picture (NULL: all alike). */
void colour_statistics(double mean[3], double covariance[9], const Image *picture, const double *weight, int count);
void colour_power(double out[9], const double s[9], double p);      /* s^p of a symmetric positive s; eigenvalues from 1e-8 up */
void colour_product(double out[9], const double a[9], const double b[9]);

/* T = C^-1/2 (C^1/2 S C^1/2)^1/2 C^-1/2: of all linear maps that turn colours of covariance C (`from`) into such of
 * covariance S (`to`), T C T = S, the one that moves them least (Monge's problem for two Gaussians; Olkin, Pukelsheim
 * 1982). Both get COLOUR_RIDGE on the diagonal: the noise of a flat colour is not blown up to a colourful one. */
#define COLOUR_RIDGE 1e-3
void colour_monge(double t[9], const double from[9], const double to[9]);
void colour_map(Image *x, const double m[9], const double from[3], const double to[3]);    /* x = to + M (x - from) */

/* x gets the colours' mean and covariance of `like`, clamped to [-1,1] (Gatys, Bethge, Hertzmann, Shechtman: "Preserving
 * color in neural artistic style transfer", 2016: their colour histogram matching). */
void colour_match(Image *x, const Image *like);

/* x keeps its luminance Y = .299 R + .587 G + .114 B and takes the rest from a picture of the same size: x = Y_x + s (p - Y_p),
 * s the most of 0..1 that keeps R, G and B in [-1,1] (after their luminance-only transfer). Where x and p agree no bit changes. */
void colour_keep_luminance(Image *x, const Image *p);

/* ---- sets of pictures ----------------------------------------------------------------------------------------- */

typedef struct ImageSetOptions {        /* all zero is a good default */
    int h, w;                           /* what imageset_get returns; 0: native (folder: size of its first picture) */
    int channels;                       /* 1 or 3; 0: native (IDX and synthetic 1, folder 3) */
    int photo;                          /* 1: garment on white with a mask, as in a shop. IDX and synthetic sets are
                                         * inverted, mask = raw > .02*255; folders get image_garment_mask */
    long limit;                         /* use only the first `limit` pictures; 0: all */
    const char *fashion_mnist_dir;      /* NULL: /usr/share/datasets/fashion-mnist */
    const char *const *except;          /* folders that are left out of the source, such as those for results; as image_list's */
} ImageSetOptions;

typedef struct ImageSet {
    long count;
    int h, w, c;                        /* what imageset_get returns */
    int stored_h, stored_w, stored_c;   /* what is kept: small pictures are enlarged only when they are fetched */
    unsigned char *pixels;              /* (count, stored_h, stored_w, stored_c), 0..255 */
    unsigned char *mask;                /* (count, stored_h, stored_w), 0..255, or NULL: all of it */
    int *label;                         /* (count) in 0..classes-1, or NULL: no labels */
    int classes;
    int tinted;                         /* 1: gray is kept, imageset_get dyes it */
    long skipped;                       /* how many files of a folder were no readable pictures */
    char note[512];                     /* and why the first of them was not */
    char source[512];                   /* as given */
} ImageSet;

/* source is one of
 *   "fashion-mnist", "fashion-mnist:train", "fashion-mnist:test"   {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]
 *   "fashion-mnist:plain", "fashion-mnist:patterned"   of the training part's T-shirts, dresses and shirts the 40% with the least
 *                                texture and the 15% with the most: two kinds of garments that nobody has paired
 *   "fashion-mnist:tinted"       RGB: each garment of the training part in a colour of its own, on white
 *   "fashion-mnist:test:plain"   and so on: the same of the test part
 *   an IDX file, plain or .gz    labels come from the file named labels-idx1 instead of images-idx3, if there is one
 *   a folder (or one picture)    see image_list. When no picture lies in the folder itself, its subfolders are the classes
 *   "synthetic", "synthetic:N"   N (2000) drawn garments, light on black, in Fashion-MNIST's ten classes
 * options may be NULL. Errors: no such source, a damaged file, sizes that disagree, not one readable picture. */
int imageset_load(ImageSet *out, const char *source, const ImageSetOptions *options);

/* Picture index -> pixels (h,w,c) in [-1,1] and, unless NULL, mask (h,w) in [0,1] (ones when the set has none).
 * Gray is repeated into RGB; RGB becomes gray by .299 R + .587 G + .114 B. */
int imageset_get(const ImageSet *set, long index, float *pixels, float *mask);
void imageset_free(ImageSet *set);

/* Only the pictures of these classes stay, "0,3,6"; labels and the number of classes stay as they are. Errors: no labels, a class that is
 * not a number below set->classes, no picture left. */
int imageset_keep(ImageSet *set, const char *classes);

/* Drawn textiles, (size,size,3), tileable; size a power of two, 8..4096.
 * kind 0..IMAGE_PATTERNS-1: stripes, tartan, dots, chevron, daisies, ikat */
enum { IMAGE_PATTERNS = 6 };
int image_pattern_synthetic(Image *out, int kind, int size);

/* ---- augmentation: Keras' ImageDataGenerator ------------------------------------------------------------------ */

/* Ranges: each quantity is drawn uniformly from +-range. The defaults are document 001's: rotation 40 degrees, shifts .2 of
 * the width and height, shear .2 (radians, as in the first versions of Keras), zoom 1 +- .2, flip. */
typedef struct Augment { float rotation, shift_x, shift_y, shear, zoom; int flip; } Augment;
Augment augment_default(void);
/* "all", "none", or a list of rotation, shift, shift_x, shift_y, shear, zoom, flip, each with an optional =range:
 * "flip,rotation=10,zoom". What is not named is off. */
int augment_parse(Augment *out, const char *list);

/* out[p] = in[q], one affine map about the centre c, rows first: q = c + R(rotation) (shift + Shear Zoom F (p - c)),
 * R = [cos -sin; sin cos], Shear = [1 -sin; 0 cos], Zoom = diag(zoom_y, zoom_x), F: x -> -x when flipped; bilinear, edges
 * repeated ("nearest"). u: uniforms in [0,1) for rotation, shift_x, shift_y, shear, zoom_x, zoom_y, flip (< .5), and a spare
 * one. All ranges 0: out is in, bit for bit. Masks (h,w) may both be NULL. out must not be in. */
void image_augment(float *out, float *out_mask, const float *in, const float *in_mask, int h, int w, int c,
                   const Augment *a, const float u[8]);

/* A contact sheet, (rows*(h*scale + gap) + gap, columns*(w*scale + gap) + gap, 3) on light gray: pixels (n,h,w,c),
 * c = 1 or 3, each pixel drawn scale x scale. */
int image_grid(Image *out, const float *pixels, int n, int h, int w, int c, int columns, int scale, int gap);

/* Text from (y, x) on, '\n' begins a line: letters of 5 x 7 dots, each scale x scale pixels, 6 from one to the next and 10 from
 * line to line; what is not ASCII is a box, what lies outside the picture is cut off. */
void image_text(Image *image, int y, int x, const char *text, int scale, const float rgb[3]);

/* A line plot, (420,900,3), of at most 8 series: faint, and strong its average over about a sixtieth of it. x may be NULL
 * (0, 1, 2...), NaN leaves a gap. */
typedef struct PlotSeries { const char *name; const double *x, *y; long n; } PlotSeries;
int image_plot(Image *out, const PlotSeries *series, int count, const char *title, const char *xlabel);

#endif /* IMAGES_H */

/* ---- implementation ------------------------------------------------------------------------------------------- */
#if defined(IMAGES_IMPLEMENTATION) && !defined(IMAGES_IMPLEMENTED)
#define IMAGES_IMPLEMENTED
#define FILES_IMPLEMENTATION
#include "core/files.h"
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IM_SIDE = 16384, IM_AREA = 50000000, IM_FILE = 1 << 30, IM_DEPTH = 16 };

#ifndef IMAGES_STB_ELSEWHERE    /* define it when another file of the program holds stb's implementation */
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#endif
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_ONLY_TGA
#define STBI_NO_STDIO
#define STBI_WRITE_NO_STDIO
#define STBI_MAX_DIMENSIONS 16384
#define STBI_MALLOC(n) calloc(1, n)     /* zeros: stb decodes a JPEG with tables that the file never defined */
#define STBI_REALLOC(p, n) realloc(p, n)
#define STBI_FREE(p) free(p)
#include "stb_image.h"
#include "stb_image_write.h"

static int im_same(const struct stat *a, const struct stat *b) { return a->st_dev == b->st_dev && a->st_ino == b->st_ino; }

typedef struct ImFolder { struct stat info; const struct ImFolder *parent; } ImFolder;

static int im_not_hidden(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static int im_list_path(ImageList *list, const char *path, const char *const *except, const ImFolder *parent) {
    ImFolder here = { .parent = parent };
    struct dirent **entry;
    int depth = 0, known = !stat(path, &here.info), n;
    if (!known || !S_ISDIR(here.info.st_mode) || (parent && access(path, R_OK | X_OK))) {
        char **more = realloc(list->path, (size_t)(list->count + 1) * sizeof *more);
        if (more) list->path = more, more[list->count] = strdup(path);
        return more && more[list->count++] ? 1 : fail("out of memory for %ld file names", list->count);
    }
    for (const ImFolder *f = parent; f; f = f->parent, depth++) if (im_same(&f->info, &here.info)) return 1;
    if (depth > IM_DEPTH) return fail("%s: folders nested deeper than %d", path, IM_DEPTH);
    for (int i = 0; except && except[i]; i++) if (same_file(path, except[i])) return 1;
    if ((n = scandir(path, &entry, im_not_hidden, alphasort)) < 0) return fail("%s: %s", path, strerror(errno));
    int ok = 1;
    for (int i = 0; i < n; free(entry[i++])) {
        char below[4096];
        const char *slash = path[strlen(path) - 1] == '/' ? "" : "/";
        if (ok && snprintf(below, sizeof below, "%s%s%s", path, slash, entry[i]->d_name) >= (int)sizeof below)
            ok = fail("%.200s...: the path is too long", path);
        ok = ok && im_list_path(list, below, except, &here);
    }
    free(entry);
    return ok;
}

int image_list(ImageList *out, const char *path, const char *const *except) {
    memset(out, 0, sizeof *out);
    if (im_list_path(out, path, except, NULL)) return 1;
    image_list_free(out);
    return 0;
}

void image_list_free(ImageList *list) {
    while (list->count) free(list->path[--list->count]);
    free(list->path);
    memset(list, 0, sizeof *list);
}

typedef struct { unsigned char *data; size_t n; } ImBytes;

static int im_read_file(const char *path, ImBytes *out) {
    struct stat info = {0};
    memset(out, 0, sizeof *out);
    const char *wrong = stat(path, &info) ? strerror(errno) : S_ISDIR(info.st_mode) ? "is a folder, a file was expected"
                      : !S_ISREG(info.st_mode) ? "is not a regular file or a folder"
                      : info.st_size == 0 ? "the file is empty" : info.st_size > IM_FILE ? "has more than 1 GB" : NULL;
    FILE *file = wrong ? NULL : fopen(path, "rb");
    if (!file) return fail("%s: %s", path, wrong ? wrong : strerror(errno));
    out->n = (size_t)info.st_size;
    out->data = malloc(out->n);
    size_t got = out->data ? fread(out->data, 1, out->n, file) : 0;
    fclose(file);
    if (got == out->n) return 1;
    fail(out->data ? "%s: could only read %zu of its bytes" : "%s: out of memory", path, got);
    free(out->data);
    out->data = NULL;
    return 0;
}

static int im_ends_with(const char *path, const char *end) {
    size_t n = strlen(path), m = strlen(end);
    return n >= m && !strcasecmp(path + n - m, end);
}

static int im_size_ok(long long h, long long w) {
    return h >= 1 && w >= 1 && h <= IM_SIDE && w <= IM_SIDE && h * w <= IM_AREA;
}

int image_new(Image *out, int h, int w, int c) {
    memset(out, 0, sizeof *out);
    if (!im_size_ok(h, w) || c < 1 || c > 4)
        return fail("a picture of %d x %d pixels and %d channels cannot be made: sides are 1..16384, at most 50 megapixels, "
                       "1..4 channels", w, h, c);
    out->pixels = calloc((size_t)h * w * c, sizeof *out->pixels);
    if (!out->pixels) return fail("out of memory for a picture of %d x %d pixels", w, h);
    out->h = h, out->w = w, out->c = c;
    return 1;
}

void image_free(Image *image) {
    free(image->pixels);
    free(image->mask);
    memset(image, 0, sizeof *image);
}

static int im_add_mask(Image *image, float value) {
    size_t n = (size_t)image->h * image->w;
    image->mask = malloc(n * sizeof *image->mask);
    if (!image->mask) return fail("out of memory for a mask of %d x %d", image->w, image->h);
    for (size_t i = 0; i < n; i++) image->mask[i] = value;
    return 1;
}

/* A new picture with the channels of src, and a mask (of zeros) when src has one. */
static int im_new_like(Image *out, const Image *src, int h, int w) {
    memset(out, 0, sizeof *out);
    if (!src->pixels) return fail("the source picture is empty");
    if (!image_new(out, h, w, src->c)) return 0;
    if (src->mask && !im_add_mask(out, 0)) { image_free(out); return 0; }
    return 1;
}

/* dst[i,j] = src[y+i, x+j], src repeated on all sides */
static int im_window(Image *dst, const Image *src, int y, int x, int h, int w) {
    if (!im_new_like(dst, src, h, w)) return 0;
    for (long i = 0; i < (long)h * w; i++) {
        long from = (y + i / w) % src->h * src->w + (x + i % w) % src->w;
        memcpy(dst->pixels + i * dst->c, src->pixels + from * src->c, sizeof(float) * src->c);
        if (src->mask) dst->mask[i] = src->mask[from];
    }
    return 1;
}

int image_crop(Image *dst, const Image *src, int y, int x, int h, int w) {
    memset(dst, 0, sizeof *dst);
    if (y < 0 || x < 0 || h < 1 || w < 1 || h > src->h - y || w > src->w - x)
        return fail("a crop of %d x %d pixels at column %d, row %d leaves the %d x %d there are", w, h, x, y, src->w, src->h);
    return im_window(dst, src, y, x, h, w);
}

int image_tile(Image *dst, const Image *src, int h, int w) {
    if (!im_window(dst, src, 0, 0, h, w)) return 0;
    dst->tileable = src->tileable && h % src->h == 0 && w % src->w == 0;
    return 1;
}

int image_copy(Image *dst, const Image *src) { return image_tile(dst, src, src->h, src->w); }

/* ---- one picture: files --------------------------------------------------------------------------------------- */

static uint32_t im_be16(const unsigned char *b) { return (uint32_t)b[0] << 8 | b[1]; }
static uint32_t im_be32(const unsigned char *b) { return im_be16(b) << 16 | im_be16(b + 2); }
static uint32_t im_le16(const unsigned char *b) { return (uint32_t)b[1] << 8 | b[0]; }
static uint32_t im_le32(const unsigned char *b) { return im_le16(b + 2) << 16 | im_le16(b); }

/* CRC-32 as PNG and gzip use it: the remainder of the bytes as a polynomial over 0 and 1, low bits first. */
static uint32_t im_crc32(const unsigned char *b, size_t n) {
    uint32_t table[256], crc = 0xffffffff;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320 : 0);
    }
    for (size_t i = 0; i < n; i++) crc = crc >> 8 ^ table[(crc ^ b[i]) & 255];
    return ~crc;
}

/* The five checks below read the size from the header into h, w and return NULL when the file is whole, else what is
 * wrong with it. stb would decode most files that end early to half a picture without a word. */
static const char *const im_cut = "the file ends early (was it copied or downloaded completely?)";

static const char *im_check_png(const unsigned char *b, size_t n, long long *h, long long *w) {
    if (n < 33) return im_cut;
    *w = im_be32(b + 16), *h = im_be32(b + 20);
    if (im_size_ok(*h, *w) && *h * *w * b[24] / 8 / 1032 > (long long)n) return im_cut;       /* the most that deflate can pack */
    for (size_t p = 8; n - p >= 12; ) {                         /* chunks: length, type, data, CRC of type and data */
        size_t length = im_be32(b + p);
        if (length > n - p - 12) return im_cut;
        if (im_crc32(b + p + 4, length + 4) != im_be32(b + p + 8 + length)) return "the file is damaged (checksum)";
        if (!memcmp(b + p + 4, "IEND", 4)) return NULL;
        p += length + 12;
    }
    return im_cut;
}

static const char *im_check_jpeg(const unsigned char *b, size_t n, long long *h, long long *w) {
    int frame = 0;
    for (size_t p = 2, length; n - p >= 2; p += length) {
        unsigned marker = b[p + 1];
        length = b[p] != 0xff || marker == 0xff || marker == 0 ? 1                  /* padding and coded data */
               : marker == 1 || (marker >= 0xd0 && marker <= 0xd8) ? 2 : 0;         /* markers without a segment */
        if (length) continue;
        if (marker == 0xd9)                     /* end of image; each 8x8 block of it takes a bit at least */
            return !frame ? "there is no picture in it" : *h * *w / 512 > (long long)n ? im_cut : NULL;
        if (n - p < 4 || (length = 2 + im_be16(b + p + 2)) < 4 || length > n - p) return im_cut;
        if (marker >= 0xc0 && marker <= 0xcf && (marker == 0xc0 || marker % 4) && !frame && length >= 9)
            frame = 1, *h = im_be16(b + p + 5), *w = im_be16(b + p + 7);
        /* Huffman tables: a byte, 16 counts, that many symbols. Of more than 256 stb before 2.28 writes behind its own */
        for (size_t q = p + 4, symbols; marker == 0xc4 && q < p + length; q += 17 + symbols) {
            symbols = 0;
            for (int i = 1; i <= 16 && n - q >= 17; i++) symbols += b[q + i];
            if (symbols > 256) return "the file is damaged (Huffman table)";
            if (n - q < 17 + symbols) return im_cut;
        }
    }
    return im_cut;
}

static const char *im_check_bmp(const unsigned char *b, size_t n, long long *h, long long *w) {
    if (n < 30) return im_cut;
    int old = im_le32(b + 14) == 12;
    *w = old ? (int)im_le16(b + 18) : (int32_t)im_le32(b + 18);
    *h = old ? (int)im_le16(b + 20) : llabs((int32_t)im_le32(b + 22));           /* negative: rows from the top */
    if (!im_size_ok(*h, *w)) return NULL;
    long long row = (*w * im_le16(b + (old ? 24 : 28)) + 31) / 32 * 4;
    return im_le32(b + 10) + row * *h > (long long)n ? im_cut : NULL;
}

static const char *im_check_tga(const unsigned char *b, size_t n, long long *h, long long *w) {
    if (n < 18) return im_cut;
    *w = im_le16(b + 12), *h = im_le16(b + 14);
    size_t pixels = (size_t)(*w * *h), each = (b[16] + 7) / 8;
    size_t p = 18 + b[0] + (b[1] ? im_le16(b + 5) * ((b[7] + 7) / 8) : 0);
    if (b[2] < 8) return p + pixels * each > n ? im_cut : NULL;
    for (size_t left = pixels, run; left > 0; left -= run < left ? run : left) {     /* run-length packets */
        if (p >= n) return im_cut;
        run = (b[p] & 127) + 1;
        p += 1 + (b[p] & 128 ? each : run * each);
    }
    return p > n ? im_cut : NULL;
}

/* GIMP pattern: six big-endian u32: header size, version 1, width, height, channels, 'GPAT'; raw pixels after it. */
static const char *im_check_pat(const unsigned char *b, size_t n, long long *h, long long *w) {
    *w = im_be32(b + 8), *h = im_be32(b + 12);
    uint32_t header = im_be32(b), channels = im_be32(b + 16);
    if (!im_size_ok(*h, *w)) return NULL;
    if (im_be32(b + 4) != 1 || channels < 1 || channels > 4 || header < 24) return "not a version 1 GIMP pattern";
    return header + (unsigned long long)*w * *h * channels > n ? im_cut : NULL;
}

/* The formats: the bytes they begin with (TGA has none, its name must do), and their check */
static const struct ImFormat {
    size_t at, length;
    const char *magic, *ending;
    const char *(*check)(const unsigned char *, size_t, long long *h, long long *w);
} im_format[] = {
    { 0, 8, "\x89PNG\r\n\x1a\n", "", im_check_png }, { 0, 3, "\xff\xd8\xff", "", im_check_jpeg },
    { 20, 4, "GPAT", "", im_check_pat }, { 0, 2, "BM", "", im_check_bmp }, { 0, 0, "", ".tga", im_check_tga },
};
#define IM_KNOWN "PNG, JPEG, BMP, TGA (named .tga) and GIMP patterns (.pat)"

static float im_from_byte(unsigned char b) { return b / 127.5f - 1; }

static unsigned char im_to_byte(float x) {
    x = (x + 1) * 127.5f;
    return !(x > 0) ? 0 : x >= 255 ? 255 : (unsigned char)(x + .5f);            /* NaN is not > 0 */
}

/* bytes (h,w,c), c = 1 gray, 2 gray + alpha, 3 RGB, 4 RGBA -> RGB on white, with a mask if any of it is transparent */
static int im_from_bytes(Image *out, const unsigned char *bytes, int h, int w, int c) {
    if (!image_new(out, h, w, 3)) return 0;
    size_t n = (size_t)h * w;
    int transparent = 0;
    for (size_t i = 0; i < n && c % 2 == 0; i++) transparent |= bytes[i * c + c - 1] < 250;
    if (transparent && !im_add_mask(out, 1)) { image_free(out); return 0; }
    for (size_t i = 0; i < n; i++) {
        float alpha = c % 2 ? 1 : bytes[i * c + c - 1] / 255.f;
        for (int k = 0; k < 3; k++)
            out->pixels[i * 3 + k] = alpha * im_from_byte(bytes[i * c + (c < 3 ? 0 : k)]) + (1 - alpha);
        if (transparent) out->mask[i] = alpha;
    }
    return 1;
}

static int im_decode(Image *out, const char *path, const ImBytes *file) {
    const unsigned char *b = file->data;
    const struct ImFormat *f = im_format, *end = f + sizeof im_format / sizeof *f;
    for (; f < end; f++)
        if (file->n >= f->at + f->length && !memcmp(b + f->at, f->magic, f->length) && im_ends_with(path, f->ending)) break;
    if (f == end) return fail("%s: not a known picture; known are " IM_KNOWN, path);
    long long h = 1, w = 1;
    const char *wrong = f->check(b, file->n, &h, &w);
    if (!im_size_ok(h, w))
        return fail("%s: the header says %lld x %lld pixels; sides are 1..16384, at most 50 megapixels", path, w, h);
    if (wrong) return fail("%s: %s", path, wrong);
    if (f->check == im_check_pat)
        return out->tileable = im_from_bytes(out, b + im_be32(b), (int)h, (int)w, (int)im_be32(b + 16));
    int x, y, channels;
    unsigned char *rgba = stbi_load_from_memory(b, (int)file->n, &x, &y, &channels, 4);
    const char *why = stbi_failure_reason();
    if (!rgba) return fail("%s: the picture cannot be decoded (%s)", path, why && strcmp(why, "outofmem") ? why : "out of memory");
    int ok = x == w && y == h ? im_from_bytes(out, rgba, y, x, 4) : fail("%s: contradictory header", path);
    stbi_image_free(rgba);
    return ok;
}

int image_load(Image *out, const char *path) {
    ImBytes file;
    memset(out, 0, sizeof *out);
    int ok = im_read_file(path, &file) && im_decode(out, path, &file);
    free(file.data);
    return ok;
}

static void im_write(void *file, void *data, int n) { fwrite(data, 1, (size_t)n, file); }

static int im_encode(FILE *file, const char *path, const Image *image) {
    size_t n = (size_t)image->h * image->w * image->c;
    unsigned char *bytes = malloc(n);
    for (size_t i = 0; bytes && i < n; i++) bytes[i] = im_to_byte(image->pixels[i]);
    int jpeg = im_ends_with(path, ".jpg") || im_ends_with(path, ".jpeg");
    int ok = bytes && (jpeg ? stbi_write_jpg_to_func(im_write, file, image->w, image->h, image->c, bytes, 92)
                            : stbi_write_png_to_func(im_write, file, image->w, image->h, image->c, bytes, 0));
    free(bytes);
    if (!ok) errno = ENOMEM;
    return ok && fflush(file) == 0 && !ferror(file);
}

int image_save(const Image *image, const char *path) {
    char temporary[4096];
    if (!image->pixels || (image->c != 1 && image->c != 3))
        return fail("%s: only pictures with 1 or 3 channels can be saved, this has %d", path, image->c);
    if (snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid()) >= (int)sizeof temporary)
        return fail("%.200s...: the path is too long", path);
    FILE *file = fopen(temporary, "wb");
    if (!file) return fail("%s: cannot be written: %s", path, strerror(errno));
    int ok = im_encode(file, path, image), why = errno;
    if (fclose(file) && ok) ok = 0, why = errno;
    if (ok && !rename(temporary, path)) return 1;
    fail("%s: could not be written: %s", path, strerror(ok ? errno : why));
    remove(temporary);
    return 0;
}

/* ---- one picture: size and mask ------------------------------------------------------------------------------- */

/* One axis: in (outer, n, inner) -> out (outer, m, inner), by the formulas above image_resize. Lengths of overlaps are
 * whole numbers when the axis is n*m long: in's cell j is [j m, (j+1) m), out's box i is [i n, (i+1) n). */
static float *im_resize_axis(const float *in, int outer, int n, int inner, int m) {
    float *out = in ? calloc((size_t)outer * m * inner, sizeof *out) : NULL;
    for (long i = 0; out && i < m; i++) {
        double p = (i + .5) * n / m - .5;
        p = p < 0 ? 0 : p;
        int grow = m > n, first = grow ? (int)p : (int)(i * n / m);
        int last = grow ? (first + 1 < n ? first + 1 : first) : (int)(((i + 1) * n - 1) / m);
        for (long j = first; j <= last; j++) {
            long low = j * m > i * n ? j * m : i * n, high = (j + 1) * m < (i + 1) * n ? (j + 1) * m : (i + 1) * n;
            float weight = !grow ? (float)((double)(high - low) / n) : first == last ? 1 : (float)(1 - fabs(p - j));
            for (long o = 0; o < outer; o++) {
                float *to = out + (o * m + i) * inner;
                const float *from = in + (o * n + j) * inner;
                for (int k = 0; k < inner; k++) to[k] += weight * from[k];
            }
        }
    }
    return out;
}

int image_resize(Image *dst, const Image *src, int h, int w) {
    memset(dst, 0, sizeof *dst);
    if (!src->pixels || !im_size_ok(h, w))
        return fail("cannot resize a picture of %d x %d pixels to %d x %d", src->w, src->h, w, h);
    float *rows = im_resize_axis(src->pixels, 1, src->h, src->w * src->c, h);
    float *mask = im_resize_axis(src->mask, 1, src->h, src->w, h);
    *dst = (Image){ h, w, src->c, im_resize_axis(rows, h, src->w, src->c, w), im_resize_axis(mask, h, src->w, 1, w),
                    src->tileable };
    free(rows);
    free(mask);
    if (dst->pixels && (dst->mask || !src->mask)) return 1;
    image_free(dst);
    return fail("out of memory for a picture of %d x %d pixels", w, h);
}

/* out (n,c_out) from in (n,c_in), gray or RGB each */
static void im_channels(float *out, int c_out, const float *in, int c_in, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const float *p = in + i * c_in;
        if (c_out == 1) out[i] = c_in == 1 ? p[0] : .299f * p[0] + .587f * p[1] + .114f * p[2];
        else for (int k = 0; k < 3; k++) out[i * 3 + k] = p[c_in == 1 ? 0 : k];
    }
}

static int im_near(const float *pixel, const float *colour, int c) {
    for (int k = 0; k < c; k++)
        if (!(fabsf(pixel[k] - colour[k]) <= .18f)) return 0;                   /* .09 of 0..1 is .18 of -1..1 */
    return 1;
}

/* The i-th of the 2(h + w) border pixels (corners come twice): top, bottom, left, right. */
static size_t im_border_pixel(const Image *m, int i) {
    if (i < 2 * m->w) return i < m->w ? (size_t)i : (size_t)(m->h - 1) * m->w + i - m->w;
    i -= 2 * m->w;
    return i < m->h ? (size_t)i * m->w : (size_t)(i - m->h) * m->w + m->w - 1;
}

/* colour = the border's median, channel by channel. 1 when 60% of the border is near it; else colour is white and 0. */
static int im_border_colour(const Image *m, float *colour) {
    int n = 2 * (m->h + m->w), near = 0;
    for (int k = 0; k < m->c; k++) {
        int histogram[256] = {0}, level = 0;
        for (int i = 0; i < n; i++) histogram[im_to_byte(m->pixels[im_border_pixel(m, i) * m->c + k])]++;
        for (int seen = histogram[0]; seen < (n + 1) / 2; seen += histogram[++level]) {}
        colour[k] = im_from_byte((unsigned char)level);
    }
    for (int i = 0; i < n; i++) near += im_near(m->pixels + im_border_pixel(m, i) * m->c, colour, m->c);
    if (near * 10LL >= n * 6LL) return 1;
    for (int k = 0; k < m->c; k++) colour[k] = 1;
    return 0;
}

int image_fit(Image *dst, const Image *src, int h, int w) {
    if (!src->pixels || !im_size_ok(h, w)) return image_resize(dst, src, h, w);         /* says what is wrong */
    double by = fmin((double)h / src->h, (double)w / src->w);
    int inner_h = (int)fmax(1, lround(src->h * by)), inner_w = (int)fmax(1, lround(src->w * by));
    Image inner;
    float colour[4];
    memset(dst, 0, sizeof *dst);
    if (!image_resize(&inner, src, inner_h, inner_w)) return 0;
    int ok = im_new_like(dst, &inner, h, w), top = (h - inner_h) / 2, left = (w - inner_w) / 2;
    im_border_colour(src, colour);
    for (long i = 0; ok && i < (long)h * w; i++) {
        long y = i / w - top, x = i % w - left, from = y * inner_w + x;
        int inside = y >= 0 && y < inner_h && x >= 0 && x < inner_w;
        memcpy(dst->pixels + i * src->c, inside ? inner.pixels + from * src->c : colour, sizeof(float) * src->c);
        if (src->mask && inside) dst->mask[i] = inner.mask[from];
    }
    image_free(&inner);
    return ok;
}

void image_round_mask(Image *image) {
    int h = image->h, w = image->w;
    for (int axis = 0; axis < 2; axis++)
        for (int a = 0; a < (axis ? w : h); a++) {
            int count = axis ? h : w, step = axis ? w : 1;
            float *m = image->mask + (axis ? a : a * w), before = m[0];
            for (int k = 0; k < count; k++) {
                float here = m[k * step], after = m[(k + 1 < count ? k + 1 : k) * step];
                m[k * step] = (before + 2 * here + after) / 4;
                before = here;
            }
        }
}

/* Along rows first, then along columns. The minimum over a reach of k each way, taken at three places 2k + 1 apart, is that
 * over a reach of 3k + 1: few passes. */
int image_draw_in(Image *image, int r) {
    long h = image->h, w = image->w;
    float *row = malloc((size_t)(h * w) * sizeof *row), *mask = image->mask;
    if (!row) return fail("out of memory for a mask of %ld x %ld", w, h);
    for (int axis = 0; axis < 2; axis++)
        for (long reach = 0, step; reach < r; reach += step) {
            step = 2 * reach + 1 < r - reach ? 2 * reach + 1 : r - reach;
            memcpy(row, mask, (size_t)(h * w) * sizeof *row);
            for (long i = 0; i < h * w; i++) {
                long at = axis ? i / w : i % w, end = axis ? h : w, d = axis ? step * w : step;
                if (at - step >= 0) mask[i] = fminf(mask[i], row[i - d]);
                if (at + step < end) mask[i] = fminf(mask[i], row[i + d]);
            }
        }
    free(row);
    return 1;
}

void image_mask_box(int *top, int *left, int *bottom, int *right, const Image *image) {
    *top = image->h, *left = image->w, *bottom = *right = 0;
    for (int y = 0; y < image->h; y++)
        for (int x = 0; x < image->w; x++)
            if (image->mask[(long)y * image->w + x] > 0) {
                if (!*bottom) *top = y;
                *bottom = y + 1, *left = x < *left ? x : *left, *right = x >= *right ? x + 1 : *right;
            }
}

/* Outside its mask a gray picture gets the garment's tones, smoothly continued: what is unknown comes from the picture at
 * half the size, where it has been filled in the same way. Left white, the outline would be the strongest edge in sight:
 * a generator paints it dark, and instance normalization, scaled to it, leaves plain cloth without a pattern. */
static int im_fill_outside(Image *gray) {
    long n = (long)gray->h * gray->w;
    Image half, full;
    for (long i = 0; i < n; i++) gray->pixels[i] *= gray->mask[i];
    if (!image_resize(&half, gray, (gray->h + 1) / 2, (gray->w + 1) / 2)) return 0;
    for (long i = 0; i < (long)half.h * half.w; i++)                 /* the mean of what is known, be it one corner */
        half.pixels[i] /= fmaxf(half.mask[i], 1e-6f), half.mask[i] = fminf(4 * half.mask[i], 1);
    int good = (n == 1 || im_fill_outside(&half)) && image_resize(&full, &half, gray->h, gray->w);
    image_free(&half);
    for (long i = 0; good && i < n; i++) gray->pixels[i] += (1 - gray->mask[i]) * full.pixels[i];
    if (good) image_free(&full);
    return good;
}

int image_tones(Image *tones, const Image *image, int rim) {
    long n = (long)image->h * image->w, inside = 0;
    Image inner;
    if (!image_new(tones, image->h, image->w, 1)) return 0;
    im_channels(tones->pixels, 1, image->pixels, image->c, (size_t)n);
    int good = im_add_mask(tones, 1);
    if (!good || !image->mask) return good ? 1 : (image_free(tones), 0);
    memcpy(tones->mask, image->mask, (size_t)n * sizeof(float));
    good = image_copy(&inner, tones) && image_draw_in(&inner, rim);
    for (long i = 0; good && i < n; i++) inside += inner.mask[i] > .5f;
    if (inside) { Image t = *tones; *tones = inner; inner = t; }
    image_free(&inner);
    good = good && im_fill_outside(tones);
    if (!good) image_free(tones);
    return good;
}

void image_lay_print(Image *image, const Image *print, const Image *tones, int top, int left, double shade) {
    double histogram[256] = {0}, total = 0, sum = 0;
    int bin = 0;
    for (long i = 0; i < (long)tones->h * tones->w; i++)
        histogram[im_to_byte(tones->pixels[i])] += tones->mask[i], total += tones->mask[i];
    while (bin < 255 && (sum += histogram[bin]) < .8 * total) bin++;
    float light = fmaxf((float)bin / 255, .02f), soft = .15f * fmaxf(1 - 2 * light, 0), s = (float)shade;
    for (long i = 0; i < (long)print->h * print->w; i++) {
        long at = (top + i / print->w) * image->w + left + i % print->w;
        float l, m = image->mask[at], *p = image->pixels + 3 * at;
        if (!(m > 0)) continue;
        im_channels(&l, 1, p, 3, 1);
        l = (fminf(l, tones->pixels[i]) + 1) / 2;
        float fold = 1 - s + s * fminf(fmaxf((l + soft) / (light + soft), .15f), 1.25f);
        for (int k = 0; k < 3; k++) {
            float y = (print->pixels[i * print->c + k % print->c] + 1) / 2 * fold;
            p[k] = m * (2 * fminf(fmaxf(y, 0), 1) - 1) + (1 - m) * p[k];
        }
    }
}

/* Recolours the 4-connected region of `from` around start to `to`; returns its size. stack: room for h*w. */
static int im_flood(Image *m, int *stack, int start, float from, float to) {
    int top = 0, size = 0, h = m->h, w = m->w;
    if (m->mask[start] != from) return 0;
    for (m->mask[start] = to, stack[top++] = start; top; size++) {
        int i = stack[--top], x = i % w, y = i / w;
        int next[4] = { x > 0 ? i - 1 : i, x + 1 < w ? i + 1 : i, y > 0 ? i - w : i, y + 1 < h ? i + w : i };
        for (int k = 0; k < 4; k++) if (m->mask[next[k]] == from) m->mask[next[k]] = to, stack[top++] = next[k];
    }
    return size;
}

int image_garment_mask(Image *image) {
    enum { BACKGROUND, GARMENT, OF_ITS_COLOUR, OTHER };         /* what the mask holds in between */
    float colour[4];
    if (image->mask) return 2;
    if (!image->pixels) return fail("an empty picture has no garment");
    if (!im_add_mask(image, 1)) return 0;
    if (!im_border_colour(image, colour)) return 3;
    int n = image->h * image->w, garment = 0, speck = n / 500 > 2 ? n / 500 : 2, *stack = malloc((size_t)n * sizeof *stack);
    if (!stack) free(image->mask), image->mask = NULL;
    if (!stack) return fail("out of memory for the mask of %d x %d", image->w, image->h);
    for (int i = 0; i < n; i++)
        image->mask[i] = im_near(image->pixels + (size_t)i * image->c, colour, image->c) ? OF_ITS_COLOUR : OTHER;
    for (int i = 0; i < 2 * (image->h + image->w); i++)
        im_flood(image, stack, (int)im_border_pixel(image, i), OF_ITS_COLOUR, BACKGROUND);
    for (int i = 0; i < n; i++) if (image->mask[i] != BACKGROUND) image->mask[i] = OTHER;       /* enclosed: part of it */
    for (int i = 0; i < n; i++) {
        int size = im_flood(image, stack, i, OTHER, GARMENT);
        if (size > speck) garment += size;
        else if (size > 0) im_flood(image, stack, i, GARMENT, BACKGROUND);
    }
    for (int i = 0; !garment && i < n; i++) image->mask[i] = 1;
    image_round_mask(image);
    free(stack);
    return garment ? 1 : 3;
}

/* ---- colours --------------------------------------------------------------------------------------------------- */

void colour_statistics(double mean[3], double covariance[9], const Image *picture, const double *weight, int count) {
    double all = 0;
    memset(mean, 0, 3 * sizeof *mean), memset(covariance, 0, 9 * sizeof *covariance);
    for (int k = 0; k < count; k++) {
        double n = 0, sum[3] = {0}, square[9] = {0}, share = weight ? weight[k] : 1;
        for (long p = 0; p < (long)picture[k].h * picture[k].w; p++) {
            const float *x = picture[k].pixels + 3 * p;
            if (picture[k].mask && !(picture[k].mask[p] > .5f)) continue;
            for (int i = 0; i < 3; i++) sum[i] += x[i];
            for (int i = 0; i < 9; i++) square[i] += (double)x[i / 3] * x[i % 3];
            n++;
        }
        if (n > 0) all += share;
        for (int i = 0; n > 0 && i < 3; i++) mean[i] += share * sum[i] / n;
        for (int i = 0; n > 0 && i < 9; i++) covariance[i] += share * square[i] / n;
    }
    for (int i = 0; all > 0 && i < 3; i++) mean[i] /= all;
    for (int i = 0; all > 0 && i < 9; i++) covariance[i] = covariance[i] / all - mean[i / 3] * mean[i % 3];
}

/* by Jacobi's rotations: s = V diag(e) V^T, s^p = V diag(e^p) V^T */
void colour_power(double out[9], const double s[9], double p) {
    double a[9], v[9] = { 1, 0, 0, 0, 1, 0, 0, 0, 1 };
    memcpy(a, s, sizeof a);
    for (int sweep = 0; sweep < 30; sweep++)
        for (int i = 0; i < 2; i++)
            for (int j = i + 1; j < 3; j++) {
                double angle = 0.5 * atan2(2 * a[3 * i + j], a[4 * j] - a[4 * i]), c = cos(angle), t = sin(angle);
                for (int k = 0; k < 3; k++) {            /* columns i and j of a and v, then rows of a */
                    double x = a[3 * k + i], y = a[3 * k + j], vx = v[3 * k + i], vy = v[3 * k + j];
                    a[3 * k + i] = c * x - t * y, a[3 * k + j] = t * x + c * y;
                    v[3 * k + i] = c * vx - t * vy, v[3 * k + j] = t * vx + c * vy;
                }
                for (int k = 0; k < 3; k++) {
                    double x = a[3 * i + k], y = a[3 * j + k];
                    a[3 * i + k] = c * x - t * y, a[3 * j + k] = t * x + c * y;
                }
            }
    for (int i = 0; i < 9; i++) {
        out[i] = 0;
        for (int k = 0; k < 3; k++) out[i] += v[i / 3 * 3 + k] * pow(fmax(a[4 * k], 1e-8), p) * v[i % 3 * 3 + k];
    }
}
void colour_product(double out[9], const double a[9], const double b[9]) {
    for (int i = 0; i < 9; i++) {
        out[i] = 0;
        for (int k = 0; k < 3; k++) out[i] += a[i / 3 * 3 + k] * b[3 * k + i % 3];
    }
}

void colour_monge(double t[9], const double from[9], const double to[9]) {
    double c[9], s[9], half[9], unhalf[9], a[9], b[9];
    for (int i = 0; i < 9; i++) c[i] = from[i] + (i % 4 ? 0 : COLOUR_RIDGE), s[i] = to[i] + (i % 4 ? 0 : COLOUR_RIDGE);
    colour_power(half, c, .5), colour_power(unhalf, c, -.5);
    colour_product(a, half, s), colour_product(b, a, half);
    colour_power(a, b, .5);
    colour_product(b, unhalf, a), colour_product(t, b, unhalf);
}

void colour_map(Image *x, const double m[9], const double from[3], const double to[3]) {
    for (long p = 0; p < (long)x->h * x->w; p++) {
        float *at = x->pixels + 3 * p;
        double d[3] = { at[0] - from[0], at[1] - from[1], at[2] - from[2] };
        for (int i = 0; i < 3; i++) at[i] = (float)(to[i] + m[3 * i] * d[0] + m[3 * i + 1] * d[1] + m[3 * i + 2] * d[2]);
    }
}

void colour_match(Image *x, const Image *like) {
    double mean[2][3], covariance[2][9], t[9];
    colour_statistics(mean[0], covariance[0], x, NULL, 1);
    colour_statistics(mean[1], covariance[1], like, NULL, 1);
    colour_monge(t, covariance[0], covariance[1]);
    colour_map(x, t, mean[0], mean[1]);
    for (long i = 0; i < (long)x->h * x->w * 3; i++) x->pixels[i] = fminf(fmaxf(x->pixels[i], -1), 1);
}

void colour_keep_luminance(Image *x, const Image *p) {
    for (long i = 0; i < (long)x->h * x->w * 3; i += 3) {
        float *a = x->pixels + i, s = 1, d[3];
        const float *b = p->pixels + i;
        if (!memcmp(a, b, 3 * sizeof *a)) continue;
        float y = .299f * a[0] + .587f * a[1] + .114f * a[2], y_p = .299f * b[0] + .587f * b[1] + .114f * b[2];
        for (int k = 0; k < 3; k++) {
            d[k] = b[k] - y_p;
            if (y + d[k] > 1) s = fminf(s, (1 - y) / d[k]);
            if (y + d[k] < -1) s = fminf(s, (-1 - y) / d[k]);
        }
        for (int k = 0; k < 3; k++) a[k] = fminf(fmaxf(y + s * d[k], -1), 1);
    }
}

/* ---- sets: gzip and IDX --------------------------------------------------------------------------------------- */

/* RFC 1952: magic 1f 8b, method 8, flags, time, hints (10 bytes); then, as flagged, an extra field, a name, a comment
 * and a checksum. Returns where the deflate stream starts, 0 when this is no gzip header. */
static size_t im_gzip_header(const unsigned char *b, size_t n) {
    if (n < 18 || b[0] != 0x1f || b[1] != 0x8b || b[2] != 8 || b[3] & 0xe0) return 0;
    size_t p = 10;
    if (b[3] & 4) p += 2 + im_le16(b + 10);                                     /* FEXTRA: length, bytes */
    for (int text = (b[3] >> 3 & 1) + (b[3] >> 4 & 1); text > 0; text--, p++)   /* FNAME, FCOMMENT: end with a zero */
        while (p < n && b[p]) p++;
    if (b[3] & 2) p += 2;                                                       /* FHCRC */
    return p + 8 <= n ? p : 0;                                                  /* the trailer: CRC-32, size */
}

/* file becomes its decompressed content. stb writes into a block of the trailer's size and no further; deflate cannot
 * pack more than 1032:1, so a trailer that promises more is a lie and nothing is allocated. stb looks two bytes ahead,
 * so it gets the trailer too; the checksum says whether it stopped at the right place. */
static int im_gunzip(ImBytes *file, const char *path) {
    size_t n = file->n, start = im_gzip_header(file->data, n);
    if (!start) return fail("%s: damaged gzip header", path);
    uint32_t crc = im_le32(file->data + n - 8), size = im_le32(file->data + n - 4);
    if (size == 0 || size > IM_FILE || size > (n - start - 8) * 1032)
        return fail("%s: damaged gzip file, or not one member below 1 GB: %u bytes cannot come out of %zu", path, size,
                       n - start - 8);
    unsigned char *plain = malloc(size);
    if (!plain) return fail("%s: out of memory for %u bytes", path, size);
    int got = stbi_zlib_decode_noheader_buffer((char *)plain, (int)size, (const char *)file->data + start, (int)(n - start));
    int ok = got == (int)size && im_crc32(plain, size) == crc;
    free(ok ? file->data : plain);
    if (!ok) return fail("%s: damaged gzip file (checksum or size): copy or download it again", path);
    file->data = plain, file->n = size;
    return 1;
}

/* IDX: magic 00 00 08 dims, the dims as big-endian u32, then bytes. Checks that the length is exactly right. */
static int im_read_idx(ImBytes *file, const char *path, int dims, uint32_t size[3]) {
    static const char *const shape[] = { "", "labels (count)", "", "pictures (count, h, w)" };
    if (!im_read_file(path, file)) return 0;
    int ok = file->n < 2 || file->data[0] != 0x1f || im_gunzip(file, path);
    size_t header = 4 + 4 * (size_t)dims, want = 1;
    if (ok && (file->n < header || im_be32(file->data) != 0x800u + dims))
        ok = fail("%s: not an IDX file of %s: magic %08x in %zu bytes, expected %08x", path, shape[dims],
                     file->n < 4 ? 0 : im_be32(file->data), file->n, 0x800u + dims);
    for (int i = 0; ok && i < dims; i++) {
        size[i] = im_be32(file->data + 4 + 4 * i);
        if (size[i] == 0 || size[i] > (i ? IM_SIDE : IM_FILE))
            ok = fail("%s: the header says that size %d of %s is %u", path, i, shape[dims], size[i]);
        want *= size[i];                                                        /* at most 2^30 * 2^14 * 2^14 */
    }
    if (ok && file->n != header + want)
        ok = fail("%s: %zu bytes, but its header promises %zu: copy or download it again", path, file->n, header + want);
    if (ok && dims == 3 && !im_size_ok(size[1], size[2]))
        ok = fail("%s: pictures of %u x %u pixels, expected at most 50 megapixels", path, size[2], size[1]);
    if (!ok) free(file->data), file->data = NULL;
    return ok;
}

/* path, or path with .gz added or removed: whichever exists is left in path */
static int im_find_idx(char *path, size_t room) {
    size_t n = strlen(path);
    if (access(path, F_OK) == 0) return 1;
    if (im_ends_with(path, ".gz")) path[n - 3] = 0;
    else if (n + 4 <= room) strcpy(path + n, ".gz");
    return access(path, F_OK) == 0;
}

static int im_load_labels(ImageSet *set, const char *images_path, uint32_t count) {
    char path[4096];
    uint32_t size[3];
    ImBytes file;
    const char *at = strstr(images_path, "images-idx3");
    for (const char *next = at; next; next = strstr(at + 1, "images-idx3")) at = next;      /* the last one */
    if (!at) return 1;
    snprintf(path, sizeof path, "%.*slabels-idx1%s", (int)(at - images_path), images_path, at + strlen("images-idx3"));
    if (!im_find_idx(path, sizeof path)) return 1;
    if (!im_read_idx(&file, path, 1, size)) return 0;
    set->label = size[0] == count ? malloc((size_t)set->count * sizeof *set->label) : NULL;
    for (long i = 0; set->label && i < set->count; i++) set->label[i] = file.data[8 + i];
    for (uint32_t i = 0; i < size[0]; i++) if (file.data[8 + i] >= set->classes) set->classes = file.data[8 + i] + 1;
    free(file.data);
    if (size[0] != count) return fail("%s: %u labels, but there are %u pictures", path, size[0], count);
    return set->label ? 1 : fail("out of memory for %ld labels", set->count);
}

static int im_load_idx(ImageSet *set, const char *path, long limit) {
    uint32_t size[3];
    ImBytes file;
    if (!im_read_idx(&file, path, 3, size)) return 0;
    set->count = limit > 0 && limit < size[0] ? limit : size[0];
    set->stored_h = (int)size[1], set->stored_w = (int)size[2], set->stored_c = 1;
    size_t bytes = (size_t)set->count * size[1] * size[2];
    memmove(file.data, file.data + 16, bytes);                  /* the file's block becomes the set's */
    unsigned char *smaller = realloc(file.data, bytes);
    set->pixels = smaller ? smaller : file.data;
    return im_load_labels(set, path, size[0]);
}

/* How much a garment's surface varies: the mean of |4 x - its four neighbours| over the pixels inside it, those whose neighbours up
 * to two pixels away are all brighter than 20. -1 when there are fewer than 150 of them. */
static double im_texture(const unsigned char *p, int h, int w) {
    long sum = 0, inside = 0;
    for (int y = 2; y < h - 2; y++)
        for (int x = 2; x < w - 2; x++) {
            const unsigned char *c = p + y * w + x;
            int in = *c > 20;
            for (int k = 1; k <= 2; k++) in = in && c[k] > 20 && c[-k] > 20 && c[k * w] > 20 && c[-k * w] > 20;
            if (in) sum += labs(4L * *c - c[1] - c[-1] - c[w] - c[-w]), inside++;
        }
    return inside < 150 ? -1 : (double)sum / (double)inside;
}

static int im_load_fashion(ImageSet *set, const char *which, const ImageSetOptions *o) {
    char path[4096];
    const char *dir = o->fashion_mnist_dir ? o->fashion_mnist_dir : "/usr/share/datasets/fashion-mnist";
    int test = !strncmp(which, ":test", 5), train = !strncmp(which, ":train", 6);
    const char *kind = which + (test ? 5 : train ? 6 : 0);
    int plain = !strcmp(kind, ":plain"), patterned = !strcmp(kind, ":patterned");
    set->tinted = !strcmp(kind, ":tinted");
    if (!set->tinted && !plain && !patterned && *kind)
        return fail("fashion-mnist%s: unknown part; there are fashion-mnist:train, :test, :plain, :patterned and :tinted; "
                       ":test:plain and so on are of the test part", which);
    snprintf(path, sizeof path, "%.4000s/%s-images-idx3-ubyte", dir, test ? "t10k" : "train");
    if (!im_find_idx(path, sizeof path))
        return fail("%s: not found: install Debian's dataset-fashion-mnist, say where it is, or use \"synthetic\"", path);
    if (!plain && !patterned) return im_load_idx(set, path, o->limit);
    if (!im_load_idx(set, path, 0)) return 0;
    if (set->stored_h < 5 || set->stored_w < 5 || !set->label) return fail("%s: expected Fashion-MNIST's pictures and labels", path);
    long kept = 0, each = (long)set->stored_h * set->stored_w;
    for (long i = 0; i < set->count && (o->limit <= 0 || kept < o->limit); i++) {
        double t = im_texture(set->pixels + i * each, set->stored_h, set->stored_w);
        if (set->label[i] != 0 && set->label[i] != 3 && set->label[i] != 6) continue;         /* T-shirt, dress, shirt */
        if (plain ? !(t >= 0 && t <= 34.3) : !(t >= 74)) continue;
        memmove(set->pixels + kept * each, set->pixels + i * each, (size_t)each);
        set->label[kept++] = set->label[i];
    }
    set->count = kept;
    return kept ? 1 : fail("%s: none of its garments is %s", path, kind + 1);
}

/* ---- sets: folders -------------------------------------------------------------------------------------------- */

/* Room for all files (pages that are never written cost no memory). The first picture gives the size, if o does not. */
static int im_open_blocks(ImageSet *set, const Image *first, long room, const ImageSetOptions *o) {
    if (set->pixels) return 1;
    set->stored_h = o->h ? o->h : first->h, set->stored_w = o->w ? o->w : first->w;
    set->stored_c = o->channels ? o->channels : 3;
    size_t all = (size_t)room * set->stored_h * set->stored_w;
    set->pixels = malloc(all * set->stored_c), set->label = malloc((size_t)room * sizeof *set->label);
    set->mask = o->photo ? malloc(all) : NULL;
    return set->pixels && set->label && (set->mask || !o->photo) ? 1 : fail("out of memory for %ld pictures", room);
}

/* Appends a picture, brought to the set's shape, as bytes. */
static int im_append(ImageSet *set, Image *image, const ImageSetOptions *o) {
    Image fitted;
    if (o->photo && !image_garment_mask(image)) return 0;
    if (!image_fit(&fitted, image, set->stored_h, set->stored_w)) return 0;
    int c = set->stored_c;
    long n = (long)fitted.h * fitted.w, at = set->count++ * n;
    im_channels(fitted.pixels, c, fitted.pixels, 3, (size_t)n);                 /* in place: it never grows */
    for (long i = 0; i < n * c; i++) set->pixels[at * c + i] = im_to_byte(fitted.pixels[i]);
    for (long i = 0; set->mask && i < n; i++) set->mask[at + i] = im_to_byte(fitted.mask[i] * 2 - 1);
    image_free(&fitted);
    return 1;
}

static int im_load_folder(ImageSet *set, const char *source, const ImageSetOptions *o) {
    ImageList list;
    int flat = 0, ok = image_list(&list, source, o->except);         /* flat: pictures in the folder itself, so no classes */
    const char *last = NULL;                                    /* the picture before, below source */
    long room = o->limit > 0 && o->limit < list.count ? o->limit : list.count;
    for (long i = 0; ok && i < list.count && set->count < room; i++) {
        Image image;
        if (!image_load(&image, list.path[i])) {
            if (set->skipped++ == 0) snprintf(set->note, sizeof set->note, "%.511s", error_text());
            continue;
        }
        const char *below = list.path[i] + strlen(source);
        while (*below == '/') below++;
        size_t length = strcspn(below, "/");
        flat |= !below[length];
        if (!last || strncmp(last, below, length + 1)) set->classes++;
        last = below;
        ok = im_open_blocks(set, &image, room, o) && im_append(set, &image, o);
        if (ok) set->label[set->count - 1] = set->classes - 1;
        image_free(&image);
    }
    if (ok && !set->count)
        ok = fail("%s: none of the %ld files seen is a readable picture; known are " IM_KNOWN "%s%.300s", source,
                     list.count, set->skipped ? "; the first: " : "", set->note);
    if (flat) free(set->label), set->label = NULL, set->classes = 0;
    image_list_free(&list);
    return ok;
}

/* ---- sets: drawn garments ------------------------------------------------------------------------------------- */

/* Integers mixed by shifts and multiplications, as a number in [0,1): the same garment for the same index, always. */
static float im_hash(uint32_t x) {
    x ^= x >> 16, x *= 0x7feb352du, x ^= x >> 15, x *= 0x846ca68bu, x ^= x >> 16;
    return (float)(x >> 8) / 16777216.f;
}

static float im_clamp(float x) { return fminf(fmaxf(x, 0), 1); }

/* from the point (x,y) to the line from a to b */
static float im_distance(float x, float y, const float a[2], const float b[2]) {
    float dx = b[0] - a[0], dy = b[1] - a[1], length2 = dx * dx + dy * dy;
    float t = length2 > 0 ? im_clamp(((x - a[0]) * dx + (y - a[1]) * dy) / length2) : 0;
    return sqrtf((x - a[0] - t * dx) * (x - a[0] - t * dx) + (y - a[1] - t * dy) * (y - a[1] - t * dy));
}

/* Drawings in a 28 x 28 frame, x from the middle, y from the top, in Fashion-MNIST's order of classes: T-shirt, trouser,
 * pullover, dress, coat, sandal, shirt, sneaker, bag, boot. half: the right one alone is given, from top to bottom, and
 * mirrored. outline: x, y of its corners. line: radius, x, y of both ends; a radius above 0 is a dark seam, one below 0 a
 * strap that is part of the silhouette. */
static const struct ImDrawing { int half; float outline[32], line[45]; } im_drawing[10] = {
    { 1, { 0,4.6, 2.6,3, 4,3.2, 7,4.6, 11.2,10, 8.4,12, 6.4,9.8, 6.5,18, 6.7,25, 0,25.3 },
      { .3,0,5.4,2.7,3.9, .3,6.2,5,6.4,9.6, .25,8.1,11.2,10.6,9.3, .25,0,24.3,6.4,24 } },
    { 1, { 0,1.6, 4.4,1.5, 4.8,4, 5.5,8.5, 5.7,18, 5.4,26.6, 2,26.8, 1.4,20, .45,10.5, 0,10.2 },
      { .3,0,2.8,4.6,2.8, .35,0,3,0,10, .3,2.4,3.2,4.9,5.8, .2,3.6,9,3.7,26 } },
    { 1, { 0,3.6, 2.8,2.6, 4.2,2.8, 7.6,4.4, 9.6,9, 11.6,23.2, 9,24, 7.1,11.5, 6.9,18, 7.1,25.4, 0,25.6 },
      { .35,0,4.4,2.9,3.5, .3,6.6,5,7,11, .3,9,22.7,11.3,22, .35,0,24,7,23.8 } },
    { 1, { 0,4.8, 2.3,1.6, 3.7,1.5, 3.9,4.6, 4.4,7, 3.3,11.5, 4.4,16, 6.4,26.4, 0,26.9 },
      { .3,0,11.7,3.2,11.5, .25,1.2,13,2.8,25.6, .2,.8,5,1.8,10.5 } },
    { 1, { 0,3.8, 2.6,2, 4,2.4, 7.4,4, 9.2,8.5, 11,21.6, 8.6,22.4, 7,11.5, 6.8,15, 7.9,26.6, 0,26.8 },
      { .4,0,9.6,0,26, .45,0,9.8,2.8,3, .35,2.8,17.4,5.6,16.8, .3,6.7,5,6.9,11 } },
    { 0, { -12,21, -11.5,18.6, -8.5,18.2, -5,19, 0,19.6, 5,20, 10.5,19.8, 12.4,21, 11,22, 3,22, -3,21.6, -7,21.4, -11,22 },
      { -.7,-9.8,19,-8.6,13.2, -.5,-8.6,13.4,-3,13, -.5,-8.8,15.4,-3,13, -.5,-3,13,4.4,16.4, -.9,1.4,19.6,4.6,16.4,
        -.9,4.6,16.4,7.4,17, -.9,7.4,17,9.6,19.8, .3,-11,20.4,11.4,20.9 } },
    { 1, { 0,4.2, 2.4,2, 3.8,2.4, 7.3,4.1, 9.1,8.5, 11.2,22.4, 8.9,23, 6.7,11, 6.2,17, 6.8,25.8, 3,26.4, 0,26 },
      { .3,0,4.8,0,25.6, .4,0,5,2.1,3.4, .35,2.1,3.4,3.2,5, .3,8.8,21.4,11,20.8, .25,2.6,9.6,4.8,9.6 } },
    { 0, { -12,20.6, -12.2,16, -11.2,12.6, -9,13.6, -5.5,11.4, -3.6,11.6, 1.5,15.2, 8,16.6, 11.6,18.2, 12.4,20.8, 11,21.8,
           -11,21.8 },
      { .5,-12,19.6,12,19.8, .3,-8.5,14,-7.6,19, .3,-3.4,12.2,2.4,16.2, .3,6.4,16.6,7.4,19.4, .35,-3.6,14.6,-1.6,12.6,
        .35,-1.6,15.8,.4,13.8, .35,.4,17,2.4,15 } },
    { 1, { 0,11.7, 9,12, 11,24.2, 0,24.8 },
      { -.55,5.4,12,5,8.4, -.55,5,8.4,3.8,6, -.55,3.8,6,2,4.7, -.55,2,4.7,0,4.3, .35,0,17.8,9.6,16.2, .9,0,17.4,0,18.6 } },
    { 0, { -10.4,22.4, -9.8,17, -10.4,11, -10.2,5, -2.4,5.4, -2.2,12, 2,15.4, 8,17, 11.4,19, 11.8,22, 1.5,22.4, .5,22,
           -4.5,22, -5,24, -10,24 },
      { .4,-10.2,21.2,11.6,21.2, .3,-10,7,-2.4,7.2, .3,-6.2,7.4,-6.6,13, .25,-2.4,12.6,-9.8,15.6 } },
};

/* The outline with round corners: for each a curve of four points, (1-t)^2 a + 2 t (1-t) corner + t^2 b, where a and b lie a
 * third of the way to the corners before and after it. Returns how many points there are. */
static int im_outline(float (*point)[2], const struct ImDrawing *d) {
    int n = 0;
    while (n < 16 && d->outline[2 * n + 1] > 0) n++;
    for (int i = 0; i < 4 * n; i++) for (int k = 0; k < 2; k++) {
        int at = i / 4, before = at ? at - 1 : d->half ? 0 : n - 1, after = at + 1 < n ? at + 1 : d->half ? at : 0;
        float t = i % 4 / 3.f, corner = d->outline[2 * at + k];
        float a = corner + (d->outline[2 * before + k] - corner) / 3, b = corner + (d->outline[2 * after + k] - corner) / 3;
        point[i][k] = (1 - t) * (1 - t) * a + 2 * t * (1 - t) * corner + t * t * b;
    }
    return 4 * n;
}

/* Brightness of the cloth at (x,y) of the frame: darker towards the sides, soft folds; some garments are striped. */
static float im_cloth(float x, float y, int kind, uint32_t seed) {
    const float tau = 6.2831853f;
    float round = kind == 1 ? fabsf(fabsf(x) - 3.2f) / 3 : fabsf(x) / 12;
    float fold = sinf(tau * (x * (.09f + .06f * im_hash(seed + 1)) + y * .025f + im_hash(seed + 2)))
               * sinf(tau * (y * .036f - x * .04f + im_hash(seed + 3)));
    float shade = 1 - .16f * round * round + .1f * fold - .004f * (y - 14);
    int soft = kind == 0 || kind == 2 || kind == 3 || kind == 6;
    if (soft && im_hash(seed + 4) < .3f) {
        float period = 2.4f + 2 * im_hash(seed + 5), across = im_hash(seed + 6) < .7f ? y : x;
        shade -= .22f * im_clamp(.5f + 2 * sinf(tau * across / period));
    }
    return shade;
}

/* One garment, (h,w) bytes, light on black: what lies inside the outline or on a strap, by the distance to them. */
static void im_garment(unsigned char *out, int h, int w, long index) {
    const struct ImDrawing *d = &im_drawing[index % 10];
    uint32_t seed = (uint32_t)index * 16u + 1;
    float point[64][2], scale = (float)(h < w ? h : w) / 28, light = .52f + .44f * im_hash(seed + 11);
    float wide = scale * (.86f + .2f * im_hash(seed + 7)), tall = scale * (.92f + .1f * im_hash(seed + 8));
    float cx = w / 2.f + (im_hash(seed + 9) - .5f) * scale, cy = h / 2.f + (im_hash(seed + 10) - .5f) * scale;
    int n = im_outline(point, d);
    for (int i = 0; i < h * w; i++) {
        float x = (i % w + .5f - cx) / wide, y = 14 + (i / w + .5f - cy) / tall, side = d->half ? fabsf(x) : x;
        float edge = 100, seam = 0;
        int inside = 0;
        for (int k = 0; k < n - d->half; k++) {
            const float *a = point[k], *b = point[(k + 1) % n];
            edge = fminf(edge, im_distance(side, y, a, b));
            if ((a[1] <= y) != (b[1] <= y)) inside ^= side < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]);
        }
        if (inside) edge = -edge;
        for (const float *s = d->line; s < d->line + 45 && *s; s += 5) {
            float distance = im_distance(side, y, s + 1, s + 3);
            if (*s < 0) edge = fminf(edge, distance + *s);
            else seam = fmaxf(seam, im_clamp(*s * sqrtf(scale) + .5f - distance * scale));      /* thread: hardly grows */
        }
        float value = light * im_cloth(x, y, (int)(index % 10), seed) * (1 - .42f * seam);
        value += .03f * (im_hash(seed * 65599u + (uint32_t)i) - .5f);
        out[i] = (unsigned char)(255 * fminf(1, fmaxf(.06f, value)) * im_clamp(.5f - edge * scale) + .5f);
    }
}

static int im_load_synthetic(ImageSet *set, const char *which, const ImageSetOptions *o) {
    char *end = "";
    long n = *which ? strtol(which + 1, &end, 10) : 2000;
    if (*end || n < 1 || n > 1000000)
        return fail("synthetic%s: expected \"synthetic\" or \"synthetic:N\" with N = 1..1000000", which);
    set->count = o->limit > 0 && o->limit < n ? o->limit : n;
    set->stored_h = o->h ? o->h : 28, set->stored_w = o->w ? o->w : 28, set->stored_c = 1, set->classes = 10;
    size_t each = (size_t)set->stored_h * set->stored_w;
    set->pixels = malloc((size_t)set->count * each);
    set->label = malloc((size_t)set->count * sizeof *set->label);
    if (!set->pixels || !set->label) return fail("out of memory for %ld pictures", set->count);
    for (long i = 0; i < set->count; i++) {
        im_garment(set->pixels + i * each, set->stored_h, set->stored_w, i);
        set->label[i] = (int)(i % 10);
    }
    return 1;
}

/* ---- sets: the public functions ------------------------------------------------------------------------------- */

static int im_load_source(ImageSet *set, const char *source, const ImageSetOptions *o) {
    struct stat info;
    unsigned char head[4] = {0};
    if (!strncmp(source, "fashion-mnist", 13) && (source[13] == 0 || source[13] == ':'))
        return im_load_fashion(set, source + 13, o);
    if (!strncmp(source, "synthetic", 9) && (source[9] == 0 || source[9] == ':'))
        return im_load_synthetic(set, source + 9, o);
    if (stat(source, &info))
        return fail("%s: %s; expected a folder of pictures, an IDX file, \"fashion-mnist\" or \"synthetic\"", source,
                       strerror(errno));
    FILE *file = S_ISREG(info.st_mode) ? fopen(source, "rb") : NULL;
    size_t n = file ? fread(head, 1, 4, file) : 0;
    if (file) fclose(file);
    int idx = n == 4 && (!memcmp(head, "\x1f\x8b", 2) || !memcmp(head, "\0\0\x08", 3));
    return idx ? im_load_idx(set, source, o->limit) : im_load_folder(set, source, o);
}

/* Light on black becomes a garment on white, as the product photos were before Fashion-MNIST inverted them. */
static int im_photo(ImageSet *set) {
    size_t n = (size_t)set->count * set->stored_h * set->stored_w;
    set->mask = malloc(n);
    if (!set->mask) return fail("out of memory for the masks of %ld pictures", set->count);
    for (size_t i = 0; i < n; i++) {
        set->mask[i] = set->pixels[i] > .02 * 255 ? 255 : 0;
        set->pixels[i] = 255 - set->pixels[i];
    }
    return 1;
}

/* A gray picture on white becomes a dyed one: where cloth covers a share v = (1 - gray)/2 of the white,
 *     x = (1 - v) white + v colour,   colour_k = value (1 - saturation (1 - wheel_k(hue)))
 * Hue, saturation and value follow from the index alone; cloth is seldom as bright as a pure colour can be. */
static int im_dye(Image *image, long index) {
    float u[3];
    Image gray = *image;
    if (!image_new(image, gray.h, gray.w, 3)) { image_free(&gray); return 0; }
    for (int k = 0; k < 3; k++) u[k] = im_hash(3 * (uint32_t)index + (uint32_t)k + 7);
    float saturation = .1f + .65f * u[1], value = (.15f + .8f * u[2]) * (1 - .25f * saturation);
    for (long i = 0; i < (long)gray.h * gray.w * 3; i++) {
        float wheel = im_clamp(fabsf(fmodf(6 * u[0] + 2 * (float)(i % 3), 6) - 3) - 1);        /* 0, up to 1, 0 again, a third apart */
        image->pixels[i] = 1 - (1 - gray.pixels[i / 3]) * (1 - value * (1 - saturation * (1 - wheel)));
    }
    image->mask = gray.mask, gray.mask = NULL;
    image_free(&gray);
    return 1;
}

int imageset_load(ImageSet *out, const char *source, const ImageSetOptions *options) {
    ImageSetOptions o = {0};
    if (options) o = *options;
    memset(out, 0, sizeof *out);
    if (strlen(source) >= sizeof out->source) return fail("%.100s...: the name is too long", source);
    if ((o.channels != 0 && o.channels != 1 && o.channels != 3) || !im_size_ok(o.h ? o.h : 1, o.w ? o.w : 1))
        return fail("a set of %d x %d pixels and %d channels: sides are 1..16384 (0: native), channels 1 or 3", o.w, o.h,
                       o.channels);
    if (!im_load_source(out, source, &o) || (o.photo && !out->mask && !im_photo(out))) { imageset_free(out); return 0; }
    out->h = o.h ? o.h : out->stored_h, out->w = o.w ? o.w : out->stored_w;
    out->c = o.channels ? o.channels : out->tinted ? 3 : out->stored_c;
    strcpy(out->source, source);
    return 1;
}

int imageset_get(const ImageSet *set, long index, float *pixels, float *mask) {
    if (index < 0 || index >= set->count)
        return fail("%s: picture %ld does not exist, there are %ld", set->source, index, set->count);
    Image raw, fitted;
    if (!image_new(&raw, set->stored_h, set->stored_w, set->stored_c)) return 0;
    if (set->mask && mask && !im_add_mask(&raw, 0)) { image_free(&raw); return 0; }
    size_t n = (size_t)raw.h * raw.w, all = n * raw.c, size = (size_t)set->h * set->w;
    for (size_t i = 0; i < all; i++) raw.pixels[i] = im_from_byte(set->pixels[index * all + i]);
    for (size_t i = 0; raw.mask && i < n; i++) raw.mask[i] = set->mask[index * n + i] / 255.f;
    int enlarged = raw.mask && set->h > raw.h && set->w > raw.w;
    if (enlarged) image_round_mask(&raw);
    int ok = image_fit(&fitted, &raw, set->h, set->w);
    for (size_t i = 0; ok && enlarged && i < size; i++) fitted.mask[i] = im_clamp(2 * fitted.mask[i] - .5f);
    for (size_t i = 0; ok && set->tinted && !set->mask && i < size; i++) fitted.pixels[i] = -fitted.pixels[i];
    ok = ok && (!set->tinted || im_dye(&fitted, index));
    if (ok) im_channels(pixels, set->c, fitted.pixels, fitted.c, size);
    for (size_t i = 0; ok && mask && i < size; i++) mask[i] = fitted.mask ? fitted.mask[i] : 1;
    image_free(&raw);
    image_free(&fitted);
    return ok;
}

int imageset_keep(ImageSet *set, const char *classes) {
    long pixels = (long)set->stored_h * set->stored_w, each = pixels * set->stored_c, kept = 0;
    char *wanted = calloc((size_t)set->classes + 1, 1), *end;
    int good = wanted && set->label;
    if (!good) fail(wanted ? "%s: these pictures have no labels to choose classes by" : "%s: out of memory", set->source);
    for (const char *c = classes; good; c = end + 1) {
        long k = strtol(c, &end, 10);
        good = end > c && (*end == ',' || !*end) && k >= 0 && k < set->classes;
        if (!good) fail("'%s' is no list of classes: those of %s are 0 to %d, as in 0,3,6", classes, set->source, set->classes - 1);
        if (good) wanted[k] = 1;
        if (!*end) break;
    }
    for (long i = 0; good && i < set->count; i++) {
        if (!wanted[set->label[i]]) continue;
        memmove(set->pixels + kept * each, set->pixels + i * each, (size_t)each);
        if (set->mask) memmove(set->mask + kept * pixels, set->mask + i * pixels, (size_t)pixels);
        set->label[kept++] = set->label[i];
    }
    free(wanted);
    if (good) set->count = kept;
    return good && (kept || fail("%s: no picture is of the classes %s", set->source, classes));
}

void imageset_free(ImageSet *set) {
    free(set->pixels);
    free(set->mask);
    free(set->label);
    memset(set, 0, sizeof *set);
}

/* ---- drawn textiles ------------------------------------------------------------------------------------------- */

static const struct ImBand { float width; unsigned colour; } im_bands[4][13] = {        /* stripes, tartan, chevron, ikat */
    { {30,0x1f3a5f}, {7,0xf4ead5}, {4,0xc8553d}, {7,0xf4ead5}, {12,0x6f9a8d}, {7,0xf4ead5}, {4,0xc8553d}, {7,0xf4ead5} },
    { {16,0x8e1f2f}, {3,0x16324f}, {3,0x8e1f2f}, {12,0x16324f}, {3,0xe8c468}, {12,0x1d4d3f}, {3,0xf1ede2}, {12,0x1d4d3f},
      {3,0xe8c468}, {12,0x16324f}, {3,0x8e1f2f}, {3,0x16324f} },
    { {8,0xe4572e}, {2,0xfaf3e3}, {8,0xf2b134}, {2,0xfaf3e3}, {8,0x2e8b8b}, {2,0xfaf3e3}, {8,0x17324d}, {2,0xfaf3e3} },
    { {.14f,0xf6e7cb}, {.22f,0xd8572a}, {.08f,0xf6e7cb}, {.26f,0x1d3461}, {.08f,0xe8b04a}, {.26f,0x7a1f3d}, {.08f,0xf6e7cb},
      {.3f,0x2a7f86}, {.1f,0xf6e7cb}, {.24f,0x1d3461}, {.12f,0xe8b04a}, {9,0xd8572a} },
};

/* The colour at t >= 0 of bands that repeat with the sum of their widths. */
static unsigned im_band(const struct ImBand *band, float t) {
    float period = 0;
    for (int i = 0; band[i].width > 0; i++) period += band[i].width;
    t -= period * floorf(t / period);
    while (t >= band->width && band[1].width > 0) t -= band++->width;
    return band->colour;
}

static float im_wave(float t) { return fabsf(2 * (t - floorf(t)) - 1); }        /* a triangle: 1 at 0, 0 at 1/2 */

/* Rows of dots (kind 2) or daisies, every other row shifted by half a place */
static unsigned im_motif(int kind, float u, float v) {
    static const unsigned dot[4] = { 0xe9b44c, 0xf3e9dc, 0xd1495b, 0xf3e9dc }, petal[2] = { 0xf7f0e0, 0xe89a9a };
    int n = kind == 2 ? 8 : 4, row = (int)(v * n);
    float x = u * n + row % 2 * .5f, y = v * n - row - .5f;
    int column = (int)x;
    x -= column + .5f;
    float r = hypotf(x, y), angle = atan2f(y, x) + (column & 3);                       /* no daisy is turned like the next */
    if (kind == 2) return r < .27f ? dot[(column + row / 2 * 2) & 3] : 0x22375a;
    return r < .09f ? 0xe9b44c : r < .3f + .11f * cosf(8 * angle) ? petal[row & 1] : 0x2f6f5e;
}

/* sample: warp and weft of the tartan are seen half and half */
static unsigned im_textile(int kind, float u, float v, int sample) {
    if (kind == 0) return im_band(im_bands[0], v * 78 * 3);
    if (kind == 1) return im_band(im_bands[1], (sample & 1 ? u : v) * 85 * 2 + 8);
    if (kind == 3) return im_band(im_bands[2], v * 80 + 10 * im_wave(u * 4));
    if (kind != 5) return im_motif(kind, u, v);
    int thread = (int)(u * 128);        /* ikat: diamonds whose threads slipped, alone and in bundles of three */
    float slip = .035f * (im_hash(77u + (uint32_t)thread) - .5f) + .03f * (im_hash(991u + (uint32_t)(thread / 3)) - .5f);
    return im_band(im_bands[3], im_wave((thread + .5f) / 128 * 2) + im_wave((v + slip) * 2));
}

int image_pattern_synthetic(Image *out, int kind, int size) {
    memset(out, 0, sizeof *out);
    if (kind < 0 || kind >= IMAGE_PATTERNS) return fail("pattern %d: there are 0..%d", kind, IMAGE_PATTERNS - 1);
    if (size < 8 || size > 4096 || size & (size - 1))
        return fail("a pattern of size %d: expected a power of two, 8..4096", size);
    if (!image_new(out, size, size, 3)) return 0;
    for (int y = 0; y < size; y++) for (int x = 0; x < size; x++) {
        float *pixel = out->pixels + ((size_t)y * size + x) * 3, twill = ((x + y) & 3) < 2 ? 1.f : .955f;
        for (int s = 0; s < 16; s++) {                          /* 4 x 4 samples a pixel */
            unsigned rgb = im_textile(kind, (x + (s % 4 + .5f) / 4) / size, (y + (s / 4 + .5f) / 4) / size, s ^ s / 4);
            for (int k = 0; k < 3; k++) pixel[k] += (float)(rgb >> (16 - 8 * k) & 255) / 16;
        }
        for (int k = 0; k < 3; k++) pixel[k] = pixel[k] * twill / 127.5f - 1;
    }
    return out->tileable = 1;
}

/* ---- augmentation --------------------------------------------------------------------------------------------- */

Augment augment_default(void) { return (Augment){ 40, .2f, .2f, .2f, .2f, 1 }; }

int augment_parse(Augment *out, const char *list) {
    Augment a = {0}, all = augment_default();
    const struct { const char *name; float usual, most, *to; } part[6] = {
        { "rotation", all.rotation, 180, &a.rotation }, { "shift_x", all.shift_x, 1, &a.shift_x },
        { "shift_y", all.shift_y, 1, &a.shift_y }, { "shear", all.shear, 1, &a.shear }, { "zoom", all.zoom, .9f, &a.zoom },
        { "shift", all.shift_x, 1, &a.shift_x } };
    if (!strcmp(list, "all")) return *out = all, 1;
    for (const char *word = strcmp(list, "none") ? list : NULL; word; ) {
        int length = (int)strcspn(word, ","), name = (int)strcspn(word, "=,"), i = 0, good = 1;
        while (i < 6 && (strncmp(word, part[i].name, (size_t)name) || part[i].name[name])) i++;
        if (length == 4 && !strncmp(word, "flip", 4)) a.flip = 1;
        else if (i == 6) good = 0;
        else {
            char *end = (char *)word + name;
            *part[i].to = name < length ? strtof(word + name + 1, &end) : part[i].usual;
            good = end == word + length && end != word + name + 1 && *part[i].to >= 0 && *part[i].to <= part[i].most;
            if (i == 5) a.shift_y = a.shift_x;
        }
        if (!good)
            return fail("augmentation \"%.*s\" is unknown; known are all, none, or a list of rotation (degrees, 0..180), "
                           "shift, shift_x, shift_y (of the size, 0..1), shear (radians, 0..1), zoom (0..0.9), flip", length, word);
        word = word[length] ? word + length + 1 : NULL;
    }
    return *out = a, 1;
}

/* out[k] = in (h,w,c) at row y, column x: bilinear, nearest edge outside */
static void im_sample(float *out, const float *in, int h, int w, int c, float y, float x) {
    y = fminf(fmaxf(y, 0), h - 1.f), x = fminf(fmaxf(x, 0), w - 1.f);
    int y0 = (int)y, x0 = (int)x, y1 = y0 + 1 < h ? y0 + 1 : y0, x1 = x0 + 1 < w ? x0 + 1 : x0;
    float fy = y - y0, fx = x - x0;
    const float *a = in + ((size_t)y0 * w + x0) * c, *b = in + ((size_t)y0 * w + x1) * c;
    const float *d = in + ((size_t)y1 * w + x0) * c, *e = in + ((size_t)y1 * w + x1) * c;
    for (int k = 0; k < c; k++) out[k] = (1 - fy) * ((1 - fx) * a[k] + fx * b[k]) + fy * ((1 - fx) * d[k] + fx * e[k]);
}

void image_augment(float *out, float *out_mask, const float *in, const float *in_mask, int h, int w, int c,
                   const Augment *a, const float u[8]) {
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
        im_sample(out + ((size_t)i * w + j) * c, in, h, w, c, y, x);
        if (out_mask && in_mask) im_sample(out_mask + (size_t)i * w + j, in_mask, h, w, 1, y, x);
    }
}

/* ---- showing things ------------------------------------------------------------------------------------------- */

static void im_fill(Image *m, int y, int x, int h, int w, const float rgb[3]) {
    for (int i = y < 0 ? 0 : y; i < y + h && i < m->h; i++)
        for (int j = x < 0 ? 0 : x; j < x + w && j < m->w; j++)
            im_channels(m->pixels + ((size_t)i * m->w + j) * m->c, m->c, rgb, 3, 1);
}

int image_grid(Image *out, const float *pixels, int n, int h, int w, int c, int columns, int scale, int gap) {
    static const float gray[3] = { .76f, .76f, .76f };
    memset(out, 0, sizeof *out);
    if (n < 1 || columns < 1 || (c != 1 && c != 3) || !im_size_ok(h, w) || scale < 1 || scale > 64 || gap < 0 || gap > 64)
        return fail("a grid of %d pictures of %d x %d x %d in %d columns, scale %d, gap %d: expected at least one of each, "
                       "1 or 3 channels, scale 1..64, gap 0..64", n, w, h, c, columns, scale, gap);
    long long rows = (n + (long long)columns - 1) / columns, H = rows * (h * scale + gap) + gap;
    long long W = (long long)columns * (w * scale + gap) + gap;
    if (!im_size_ok(H, W))
        return fail("a grid of %d pictures would be %lld x %lld pixels: show fewer, or smaller", n, W, H);
    if (!image_new(out, (int)H, (int)W, 3)) return 0;
    im_fill(out, 0, 0, out->h, out->w, gray);
    for (int i = 0; i < n; i++) {
        int top = gap + i / columns * (h * scale + gap), left = gap + i % columns * (w * scale + gap);
        for (int y = 0; y < h * scale; y++) for (int x = 0; x < w * scale; x++)
            im_channels(out->pixels + ((size_t)(top + y) * W + left + x) * 3, 3,
                        pixels + (((size_t)i * h + y / scale) * w + x / scale) * c, c, 1);
    }
    return 1;
}

/* ASCII 32..127, the last a box: six times 16 letters of 6 columns (5 and a gap), 8 rows (7 and one for descenders). */
static const char *const im_font[48] = {
    "        #    # #   # #    #   ##  #  ##     #      #   #                                      # ",
    "        #    # #   # #   #### ##  # #  #    #     #     #     #     #                         # ",
    "        #    # #  ##### # #      #  # #     #    #       #  # # #   #                        #  ",
    "        #          # #   ###    #    #           #       #   ###  #####       #####         #   ",
    "        #         #####   # #  #    # # #        #       #  # # #   #                      #    ",
    "                   # #  ####  #  ## #  #          #     #     #     #    ##          ##   #     ",
    "        #          # #    #   #  ##  ## #          #   #                  #          ##   #     ",
    "                                                                         #                      ",
    " ###    #    ###   ###     #  #####   ##  #####  ###   ###                 #         #     ###  ",
    "#   #  ##   #   # #   #   ##  #      #        # #   # #   #  ##    ##     #           #   #   # ",
    "#  ##   #       #     #  # #  ####  #        #  #   # #   #  ##    ##    #    #####    #      # ",
    "# # #   #      #    ##  #  #      # ####    #    ###   ####             #               #    #  ",
    "##  #   #     #       # #####     # #   #   #   #   #     #  ##          #    #####    #    #   ",
    "#   #   #    #    #   #    #  #   # #   #   #   #   #    #   ##    ##     #           #         ",
    " ###   ###  #####  ###     #   ###   ###    #    ###   ##           #      #         #      #   ",
    "                                                                   #                            ",
    " ###   ###  ####   ###  ####  ##### #####  ###  #   #  ###    ### #   # #     #   # #   #  ###  ",
    "#   # #   # #   # #   # #   # #     #     #   # #   #   #      #  #  #  #     ## ## ##  # #   # ",
    "# ### #   # #   # #     #   # #     #     #     #   #   #      #  # #   #     # # # # # # #   # ",
    "# # # ##### ####  #     #   # ####  ####  #  ## #####   #      #  ##    #     # # # # # # #   # ",
    "# ### #   # #   # #     #   # #     #     #   # #   #   #      #  # #   #     #   # #  ## #   # ",
    "#     #   # #   # #   # #   # #     #     #   # #   #   #   #  #  #  #  #     #   # #   # #   # ",
    " ###  #   # ####   ###  ####  ##### #      #### #   #  ###   ##   #   # ##### #   # #   #  ###  ",
    "                                                                                                ",
    "####   ###  ####   #### ##### #   # #   # #   # #   # #   # #####  ###  #      ###    #         ",
    "#   # #   # #   # #       #   #   # #   # #   # #   # #   #     #  #    #        #   # #        ",
    "#   # #   # #   # #       #   #   # #   # #   #  # #   # #     #   #     #       #  #   #       ",
    "####  #   # ####   ###    #   #   # #   # # # #   #     #     #    #      #      #              ",
    "#     # # # # #       #   #   #   #  # #  # # #  # #    #    #     #       #     #              ",
    "#     #  #  #  #      #   #   #   #  # #  ## ## #   #   #   #      #        #    #              ",
    "#      ## # #   # ####    #    ###    #   #   # #   #   #   #####  ###      #  ###              ",
    "                                                                                          ##### ",
    " #          #               #         ##        #       #      #  #      ##                     ",
    "  #         #               #        #          #                 #       #                     ",
    "       ###  ####   ####  ####  ###  ####   #### ####   ##     ##  #  #    #   ## #  ####   ###  ",
    "          # #   # #     #   # #   #  #    #   # #   #   #      #  # #     #   # # # #   # #   # ",
    "       #### #   # #     #   # #####  #    #   # #   #   #      #  ##      #   # # # #   # #   # ",
    "      #   # #   # #     #   # #      #     #### #   #   #      #  # #     #   # # # #   # #   # ",
    "       #### ####   ####  ####  ####  #        # #   #  ###  #  #  #  #   ###  # # # #   #  ###  ",
    "                                           ###               ##                                 ",
    "                         #                                           #    #    #          ##### ",
    "                         #                                          #     #     #         #   # ",
    "####   #### # ##   #### ####  #   # #   # #   # #   # #   # #####   #     #     #    #    #   # ",
    "#   # #   # ##    #      #    #   # #   # #   #  # #  #   #    #   #      #      #  # # # #   # ",
    "#   # #   # #      ###   #    #   #  # #  # # #   #   #   #   #     #     #     #      #  #   # ",
    "####   #### #         #  #    #   #  # #  # # #  # #   ####  #      #     #     #         #   # ",
    "#         # #     ####    ##   ####   #    # #  #   #     # #####    #    #    #          ##### ",
    "#         #                                            ###                                      ",
};

void image_text(Image *image, int y, int x, const char *text, int scale, const float rgb[3]) {
    int left = x;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++, x += 6 * scale) {
        int letter = *p < 32 || *p > 126 ? 127 - 32 : *p - 32;
        if (*p == '\n') { y += 10 * scale, x = left - 6 * scale; continue; }
        for (int row = 0; row < 8; row++) for (int column = 0; column < 5; column++)
            if (im_font[letter / 16 * 8 + row][letter % 16 * 6 + column] == '#')
                im_fill(image, y + row * scale, x + column * scale, scale, scale, rgb);
    }
}

enum { IM_PLOT_H = 420, IM_PLOT_W = 900, IM_LEFT = 88, IM_RIGHT = 862, IM_TOP = 66, IM_BOTTOM = 358 };
static const float im_ink[3] = { -.7f, -.7f, -.7f }, im_rule[3] = { .8f, .8f, .8f };

/* align: the part of the text that lies left of x */
static void im_label(Image *m, int y, int x, float align, const char *text) {
    image_text(m, y, x - (int)(align * 12 * (int)strlen(text)), text, 2, im_ink);
}

static int im_plotted(const PlotSeries *s, long i) {
    return fabs(s->y[i]) < 1e300 && (!s->x || fabs(s->x[i]) < 1e300);           /* NaN is not < 1e300 */
}

/* low and high are drawn at the pixels from and to; ticks are step apart: 1, 2 or 5 times a power of ten, about `ticks` of
 * them between low and high; empty and constant ranges are widened */
typedef struct { double low, high, step; float from, to; } ImAxis;

static ImAxis im_axis(double low, double high, int ticks, float from, float to) {
    if (!(low <= high)) low = 0, high = 1;
    if (!(high - low > 1e-9 * fabs(low) + 1e-200)) {
        double wider = fabs(low) < 1e-100 ? 1 : fabs(low) / 2;
        low -= wider, high += wider;
    }
    double rough = (high - low) / ticks, power = pow(10, floor(log10(rough))), ratio = rough / power;
    return (ImAxis){ low, high, power * (ratio < 1.5 ? 1 : ratio < 3.5 ? 2 : ratio < 7.5 ? 5 : 10), from, to };
}

static float im_place(const ImAxis *a, double value) {
    return a->from + im_clamp((float)((value - a->low) / (a->high - a->low))) * (a->to - a->from);
}

static void im_ticks(Image *m, const ImAxis *a, int upright) {
    for (double k = ceil(a->low / a->step - 1e-9); k <= a->high / a->step + 1e-9; k++) {
        char text[32];
        int at = (int)lroundf(im_place(a, k * a->step));
        snprintf(text, sizeof text, "%.6g", k * a->step + 0);                   /* + 0: no "-0" */
        if (upright) im_fill(m, at, IM_LEFT, 1, IM_RIGHT - IM_LEFT, im_rule), im_label(m, at - 7, IM_LEFT - 10, 1, text);
        else im_fill(m, IM_TOP, at, IM_BOTTOM - IM_TOP, 1, im_rule), im_label(m, IM_BOTTOM + 12, at, .5f, text);
    }
}

/* The line through (x[i], mean[i]), mean += rate (y[i] - mean), broken where there is no number. Of its pixels the coverage
 * c = clamp(r + 1/2 - distance to the line) becomes rgb: m = (1 - opacity c) m + opacity c rgb. coverage: room for (h,w) */
static void im_curve(Image *m, float *coverage, const PlotSeries *s, double rate, const ImAxis *ax, const ImAxis *ay,
                     float r, const float rgb[3], float opacity) {
    memset(coverage, 0, sizeof(float) * IM_PLOT_H * IM_PLOT_W);
    float a[2] = { NAN, NAN }, b[2];
    double mean = 0;
    long seen = 0;
    for (long i = 0; i < s->n; i++, memcpy(a, b, sizeof a)) {
        b[0] = b[1] = NAN;
        if (!im_plotted(s, i)) continue;
        mean += fmax(rate, 2. / (double)(seen++ + 2)) * (s->y[i] - mean);        /* early on the newest counts: the start is steep */
        b[0] = im_place(ax, s->x ? s->x[i] : (double)i), b[1] = im_place(ay, mean);
        if (isnan(a[0])) memcpy(a, b, sizeof a);
        int top = (int)(fminf(a[1], b[1]) - r), bottom = (int)(fmaxf(a[1], b[1]) + r + 1);
        int left = (int)(fminf(a[0], b[0]) - r), right = (int)(fmaxf(a[0], b[0]) + r + 1);
        for (int v = top; v <= bottom; v++) for (int u = left; u <= right; u++) {
            float *to = coverage + v * IM_PLOT_W + u;
            *to = fmaxf(*to, im_clamp(r + .5f - im_distance(u + .5f, v + .5f, a, b)));
        }
    }
    for (long i = 0; i < (long)m->h * m->w * 3; i++) m->pixels[i] += opacity * coverage[i / 3] * (rgb[i % 3] - m->pixels[i]);
}

int image_plot(Image *out, const PlotSeries *series, int count, const char *title, const char *xlabel) {
    static const float white[3] = { 1, 1, 1 }, rgb[8][3] = {    /* Okabe and Ito: told apart by the colour-blind */
        { -1, -.106f, .396f }, { .671f, -.263f, -1 }, { -1, .239f, -.098f }, { .6f, -.051f, .31f },
        { .804f, .247f, -1 }, { -.325f, .412f, .827f }, { -1, -1, -1 }, { 0, 0, 0 } };
    double low_x = INFINITY, high_x = -INFINITY, low_y = INFINITY, high_y = -INFINITY;
    memset(out, 0, sizeof *out);
    if (count < 0 || count > 8) return fail("a plot of %d series: at most 8", count);
    for (int k = 0; k < count; k++) for (long i = 0; i < series[k].n; i++) if (im_plotted(&series[k], i)) {
        double x = series[k].x ? series[k].x[i] : (double)i, y = series[k].y[i];
        low_x = fmin(low_x, x), high_x = fmax(high_x, x), low_y = fmin(low_y, y), high_y = fmax(high_y, y);
    }
    ImAxis ax = im_axis(low_x, high_x, 8, IM_LEFT, IM_RIGHT), ay = im_axis(low_y, high_y, 5, IM_BOTTOM, IM_TOP);
    ay.low = floor(ay.low / ay.step + 1e-9) * ay.step, ay.high = ceil(ay.high / ay.step - 1e-9) * ay.step;
    float *coverage = malloc(sizeof *coverage * IM_PLOT_H * IM_PLOT_W);
    int x = IM_RIGHT, ok = coverage ? image_new(out, IM_PLOT_H, IM_PLOT_W, 3) : fail("out of memory for a plot");
    if (ok) {
        im_fill(out, 0, 0, out->h, out->w, white);
        im_ticks(out, &ax, 0), im_ticks(out, &ay, 1);
        im_fill(out, IM_BOTTOM, IM_LEFT, 1, IM_RIGHT - IM_LEFT, im_ink);
        im_fill(out, IM_TOP, IM_LEFT, IM_BOTTOM - IM_TOP + 1, 1, im_ink);
        im_label(out, 14, IM_LEFT, 0, title ? title : "");
        im_label(out, IM_BOTTOM + 38, (IM_LEFT + IM_RIGHT) / 2, .5f, xlabel ? xlabel : "");
        if (!(low_x <= high_x)) im_label(out, (IM_TOP + IM_BOTTOM) / 2, (IM_LEFT + IM_RIGHT) / 2, .5f, "no data");
    }
    for (int k = count - 1; ok && k >= 0; k--) {                /* each with its name above, from the right */
        im_curve(out, coverage, &series[k], 1, &ax, &ay, .6f, rgb[k], .3f);
        im_curve(out, coverage, &series[k], 1. / (series[k].n / 60 + 1), &ax, &ay, 1.2f, rgb[k], 1);
        im_label(out, IM_TOP - 24, x, 1, series[k].name);
        x -= 12 * (int)strlen(series[k].name) + 32;
        im_fill(out, IM_TOP - 19, x, 4, 24, rgb[k]);
        x -= 16;
    }
    free(coverage);
    return ok;
}

#endif /* IMAGES_IMPLEMENTATION */
