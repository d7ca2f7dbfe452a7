/* images.h: pictures and sets of pictures for a GAN, in one header.
 *
 *     #define IMAGES_IMPLEMENTATION          // in exactly one .c file
 *     #include "images.h"                    // needs stb_image.h and stb_image_write.h: -I/usr/include/stb
 *
 *     Image photo, small;
 *     if (!image_load(&photo, "shirt.jpg") || !image_fit(&small, &photo, 64, 64, IMAGE_PAD))
 *         fprintf(stderr, "%s\n", images_error());
 *
 * Conventions, everywhere:
 *   - pixels are float in [-1, 1], rows from the top, channels last: pixels[(y*w + x)*c + k]  (F20: byte/127.5 - 1);
 *   - a mask is float in [0, 1], (h,w): 1 where the garment is, 0 where the background is; NULL means "all of it";
 *   - every function that can fail returns 0 on failure and leaves one line in images_error(): what, where, what was
 *     expected, what to do. Nothing here prints, exits, or draws random numbers;
 *   - `Image *out` (or dst) is written without being freed first and must be another struct than the source; after a
 *     failure it is empty, so that image_free(out) is always right.
 * Sizes are read from a file's header and checked before anything is allocated or decoded: a side is 1..16384 pixels, a
 * picture at most 50 megapixels, a file at most 1 GB. EXIF rotation is not applied. */
#ifndef IMAGES_H
#define IMAGES_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Image {
    int h, w, c;        /* rows, columns, channels: 1 = grey, 3 = RGB */
    float *pixels;      /* (h,w,c) in [-1,1] */
    float *mask;        /* (h,w) in [0,1], or NULL: all of it */
    int tileable;       /* 1: a textile pattern whose edges meet when it is repeated */
} Image;

/* The last failure of any function below, one line without a newline; "" before the first. */
const char *images_error(void);

/* ---- one picture ---------------------------------------------------------------------------------------------- */

/* PNG, JPEG, BMP (known by their first bytes), TGA (by the name's .tga) or GIMP pattern (.pat, by its first bytes; sets
 * tileable). Always RGB, c = 3. Transparency is composited on white, alpha*rgb + (1 - alpha)*white, and alpha is kept
 * as the mask when any pixel is less than 250/255 opaque. A file that ends early is an error, never half a picture. */
int image_load(Image *out, const char *path);

/* c = 1 or 3; byte = round((x + 1)*127.5), clamped to 0..255, NaN -> 0. JPEG (quality 92) when path ends in .jpg or
 * .jpeg, else PNG. Written beside path and then renamed: path holds the old picture or the new one, never half of one.
 * The mask is not saved. */
int image_save(const Image *image, const char *path);

int image_new(Image *out, int h, int w, int c);             /* (h,w,c) of zeros (mid-grey), no mask; c = 1..4 */
int image_copy(Image *dst, const Image *src);
void image_free(Image *image);                              /* and makes it empty; an empty image is fine */

/* Separable, mask included. An axis that shrinks by s = in/out averages its box exactly,
 *     y[i] = 1/s * sum_j |[i s, (i+1) s) n [j, j+1)| x[j]          (|.|: length of the overlap)
 * and one that grows is bilinear with half-pixel centres and clamped edges (PyTorch's align_corners=False),
 *     p = max(0, (i + 1/2) in/out - 1/2),  y[i] = (1 - frac p) x[floor p] + frac p x[min(floor p + 1, in - 1)]. */
int image_resize(Image *dst, const Image *src, int h, int w);

/* Any shape into (h,w). PAD keeps the whole picture and centres it on its border's colour (white when the border has no
 * single colour; mask 0 there); CROP cuts the centre to the new aspect first; STRETCH ignores the aspect. */
typedef enum { IMAGE_PAD, IMAGE_CROP, IMAGE_STRETCH } ImageFit;
int image_fit(Image *dst, const Image *src, int h, int w, ImageFit policy);

int image_crop(Image *dst, const Image *src, int y, int x, int h, int w);   /* rows y..y+h-1, columns x..x+w-1 */
int image_tile(Image *dst, const Image *src, int h, int w);         /* dst[i,j] = src[i mod src.h, j mod src.w] */

/* Finds the garment: when at least 60% of the border lies within .09 (of 0..1, each channel) of the border's median
 * colour, everything of that colour that touches the border is background and the rest is garment; specks (up to 1/500
 * of the picture) are dropped and the edge is feathered by a pixel. 1: made. 2: there was a mask already (alpha), kept.
 * 3: the background is not uniform, or nothing stands out from it: the mask is all ones. 0: out of memory. */
int image_garment_mask(Image *image);

/* A mask of whole pixels shows as stairs when it is enlarged: this averages it over 3x3 first, with weights 1 2 1 each way
 * (edges repeated). After enlarging, 2m - 1/2 makes its edge crisp again, and what was a stair is a slope. */
void image_round_mask(Image *image);

/* ---- sets of pictures ----------------------------------------------------------------------------------------- */

typedef struct ImageSetOptions {        /* all zero is a good default */
    int h, w;                           /* what imageset_get returns; 0: native (folder: size of its first picture) */
    int channels;                       /* 1 or 3; 0: native (IDX and synthetic 1, folder 3) */
    ImageFit policy;                    /* how a picture of another shape is brought to (h,w) */
    int photo;                          /* 1: garment on white with a mask, as in a shop. IDX and synthetic sets are
                                         * inverted, mask = raw > .02*255; folders get image_garment_mask */
    long limit;                         /* use only the first `limit` pictures; 0: all */
    const char *fashion_mnist_dir;      /* NULL: /usr/share/datasets/fashion-mnist */
} ImageSetOptions;

typedef struct ImageSet {
    long count;
    int h, w, c;                        /* what imageset_get returns */
    int stored_h, stored_w, stored_c;   /* what is kept: small pictures are enlarged only when they are fetched */
    unsigned char *pixels;              /* (count, stored_h, stored_w, stored_c), 0..255 */
    unsigned char *mask;                /* (count, stored_h, stored_w), 0..255, or NULL: all of it */
    int *label;                         /* (count) in 0..classes-1, or NULL: no labels */
    int classes;
    char (*class_name)[32];             /* (classes) or NULL */
    ImageFit policy;
    long skipped;                       /* how many files of a folder were no readable pictures */
    char note[512];                     /* and why the first of them was not */
    char source[512];                   /* as given */
} ImageSet;

/* source is one of
 *   "fashion-mnist", "fashion-mnist:train", "fashion-mnist:test"   {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]
 *   an IDX file, plain or .gz    labels come from the file named labels-idx1 instead of images-idx3, if there is one
 *   a folder (or one picture)    searched recursively, sorted by name, hidden files skipped. When no picture lies in
 *                                the folder itself, its subfolders are the classes, in sorted order
 *   "synthetic", "synthetic:N"       N (2000) drawn garments, light on black, in Fashion-MNIST's ten classes
 * options may be NULL. Errors: no such source, a damaged file, sizes that disagree, not one readable picture. */
int imageset_load(ImageSet *out, const char *source, const ImageSetOptions *options);

/* Picture index -> pixels (h,w,c) in [-1,1] and, unless NULL, mask (h,w) in [0,1] (ones when the set has none).
 * Grey is repeated into RGB; RGB becomes grey by .299 R + .587 G + .114 B. */
int imageset_get(const ImageSet *set, long index, float *pixels, float *mask);
void imageset_free(ImageSet *set);

/* ---- drawn textiles ------------------------------------------------------------------------------------------- */

/* (size,size,3), tileable, drawn from formulas; size a power of two, 8..4096; kind 0..IMAGE_PATTERNS-1. */
enum { IMAGE_PATTERNS = 6 };
int image_pattern_synthetic(Image *out, int kind, int size);
const char *image_pattern_name(int kind);

/* ---- augmentation: Keras' ImageDataGenerator ------------------------------------------------------------------ */

/* Ranges: each quantity is drawn uniformly from +-range. The defaults are document 001's: rotation 40 degrees, shifts
 * .2 of the width and height, shear .2, zoom 1 +- .2, flip. Today's Keras takes its shear_range in degrees, and .2
 * degrees cannot be seen; here it is in radians (11.5 degrees), as in the first versions of Keras. */
typedef struct Augment { float rotation, shift_x, shift_y, shear, zoom; int flip; } Augment;
Augment augment_default(void);

/* "all", "none", or a list of rotation, shift, shift_x, shift_y, shear, zoom, flip, each with an optional =range:
 * "flip,rotation=10,zoom". What is not named is off. */
int augment_parse(Augment *out, const char *list);

/* out[p] = in[q], one affine map about the centre c, rows first: q = c + R(rotation) (shift + Shear Zoom F (p - c)),
 * R = [cos -sin; sin cos], Shear = [1 -sin; 0 cos], Zoom = diag(zoom_y, zoom_x), F: x -> -x when flipped; bilinear,
 * edges repeated ("nearest"). u: eight uniforms in [0,1), drawn by the caller: rotation, shift_x, shift_y, shear,
 * zoom_x, zoom_y, flip (< .5), spare. All ranges 0: out is in, bit for bit. Masks (h,w) may both be NULL. out must not
 * be in. */
void image_augment(float *out, float *out_mask, const float *in, const float *in_mask, int h, int w, int c,
                   const Augment *a, const float u[8]);

/* ---- showing things ------------------------------------------------------------------------------------------- */

/* A contact sheet, (rows*(h*scale + gap) + gap, columns*(w*scale + gap) + gap, 3) on light grey: pixels (n,h,w,c),
 * c = 1 or 3, each pixel drawn scale x scale. columns 0: about square. */
int image_grid(Image *out, const float *pixels, int n, int h, int w, int c, int columns, int scale, int gap);

/* ASCII 32..126 in a 5x7 font (a row more for descenders), 6*scale pixels a letter, top left corner at (y,x), rgb in
 * [-1,1]; '\n' starts a line, anything else unknown is a box; clipped at the picture's edges. */
void image_text(Image *image, int y, int x, const char *text, int scale, const float rgb[3]);

/* A line plot, (420,900,3): x may be NULL (0, 1, 2...), NaN leaves a gap, a noisy series is drawn faint with its moving
 * average over it. At most 8 series. */
typedef struct PlotSeries { const char *name; const double *x, *y; long n; } PlotSeries;
int image_plot(Image *out, const PlotSeries *series, int count, const char *title, const char *xlabel);

#ifdef __cplusplus
}
#endif
#endif /* IMAGES_H */

/* ---- implementation ------------------------------------------------------------------------------------------- */
#if defined(IMAGES_IMPLEMENTATION) && !defined(IMAGES_IMPLEMENTED)
#define IMAGES_IMPLEMENTED
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

enum { IM_SIDE = 16384, IM_FILE = 1 << 30, IM_DEPTH = 16, IM_FILES = 1000000 };
#define IM_AREA 50000000LL      /* 50 megapixels */

#pragma GCC diagnostic push     /* stb is somebody else's code: its warnings are not ours to fix */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#ifndef IMAGES_STB_ELSEWHERE    /* define it when another file of the program holds stb's implementation */
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#endif
#define STBI_NO_GIF             /* leaves JPEG, PNG, BMP and TGA */
#define STBI_NO_PSD
#define STBI_NO_PIC
#define STBI_NO_PNM
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_NO_STDIO
#define STBI_WRITE_NO_STDIO
#define STBI_MAX_DIMENSIONS 16384
#define STBI_MALLOC(n) calloc(1, n)     /* zeros: stb decodes a JPEG with tables that the file never defined */
#define STBI_REALLOC(p, n) realloc(p, n)
#define STBI_FREE(p) free(p)
#include "stb_image.h"
#include "stb_image_write.h"
#pragma GCC diagnostic pop

static char im_error[1024];

const char *images_error(void) { return im_error; }

static int im_fail(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(im_error, sizeof im_error, format, list);
    va_end(list);
    for (char *p = im_error; *p; p++) if ((unsigned char)*p < 32) *p = '?';     /* one line, whatever the path holds */
    return 0;
}

/* ---- one picture: memory -------------------------------------------------------------------------------------- */

static int im_size_ok(long long h, long long w) {
    return h >= 1 && w >= 1 && h <= IM_SIDE && w <= IM_SIDE && h * w <= IM_AREA;
}

int image_new(Image *out, int h, int w, int c) {
    memset(out, 0, sizeof *out);
    if (!im_size_ok(h, w) || c < 1 || c > 4)
        return im_fail("images: a picture of %d x %d pixels and %d channels cannot be made: sides are 1..%d, at most "
                       "50 megapixels, 1..4 channels", w, h, c, IM_SIDE);
    out->pixels = calloc((size_t)h * w * c, sizeof *out->pixels);
    if (!out->pixels) return im_fail("images: out of memory for a picture of %d x %d pixels", w, h);
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
    if (!image->mask) return im_fail("images: out of memory for a mask of %d x %d", image->w, image->h);
    for (size_t i = 0; i < n; i++) image->mask[i] = value;
    return 1;
}

/* A new picture with the channels of src, and a mask (of zeros) when src has one. */
static int im_new_like(Image *out, const Image *src, int h, int w) {
    if (!src->pixels) { memset(out, 0, sizeof *out); return im_fail("images: the source picture is empty"); }
    if (!image_new(out, h, w, src->c)) return 0;
    if (src->mask && !im_add_mask(out, 0)) { image_free(out); return 0; }
    return 1;
}

/* Copies the (h,w) rectangle at (y,x) of src to (to_y,to_x) of dst; both rectangles lie inside. */
static void im_blit(Image *dst, int to_y, int to_x, const Image *src, int y, int x, int h, int w) {
    for (int i = 0; i < h; i++) {
        size_t to = (size_t)(to_y + i) * dst->w + to_x, from = (size_t)(y + i) * src->w + x;
        memcpy(dst->pixels + to * dst->c, src->pixels + from * src->c, sizeof(float) * w * src->c);
        if (src->mask && dst->mask) memcpy(dst->mask + to, src->mask + from, sizeof(float) * w);
    }
}

int image_crop(Image *dst, const Image *src, int y, int x, int h, int w) {
    memset(dst, 0, sizeof *dst);
    if (y < 0 || x < 0 || h < 1 || w < 1 || h > src->h - y || w > src->w - x)
        return im_fail("images: the crop of %d x %d pixels at column %d, row %d leaves the picture of %d x %d",
                       w, h, x, y, src->w, src->h);
    if (!im_new_like(dst, src, h, w)) return 0;
    im_blit(dst, 0, 0, src, y, x, h, w);
    return 1;
}

int image_copy(Image *dst, const Image *src) {
    if (!im_new_like(dst, src, src->h, src->w)) return 0;
    im_blit(dst, 0, 0, src, 0, 0, src->h, src->w);
    dst->tileable = src->tileable;
    return 1;
}

int image_tile(Image *dst, const Image *src, int h, int w) {
    if (!im_new_like(dst, src, h, w)) return 0;
    for (int y = 0; y < h; y += src->h)
        for (int x = 0; x < w; x += src->w)
            im_blit(dst, y, x, src, 0, 0, h - y < src->h ? h - y : src->h, w - x < src->w ? w - x : src->w);
    dst->tileable = src->tileable && h % src->h == 0 && w % src->w == 0;
    return 1;
}

/* ---- one picture: files --------------------------------------------------------------------------------------- */

typedef struct { unsigned char *data; size_t n; } ImBytes;

static int im_read_file(const char *path, ImBytes *out) {
    struct stat info;
    memset(out, 0, sizeof *out);
    if (stat(path, &info)) return im_fail("images: %s: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode)) return im_fail("images: %s: is a folder, a file was expected", path);
    if (!S_ISREG(info.st_mode)) return im_fail("images: %s: is not a regular file", path);
    if (info.st_size == 0) return im_fail("images: %s: the file is empty", path);
    if (info.st_size > IM_FILE) return im_fail("images: %s: %lld bytes, at most 1 GB is read", path,
                                               (long long)info.st_size);
    FILE *file = fopen(path, "rb");
    if (!file) return im_fail("images: %s: %s", path, strerror(errno));
    out->n = (size_t)info.st_size;
    out->data = malloc(out->n);
    size_t got = out->data ? fread(out->data, 1, out->n, file) : 0;
    fclose(file);
    if (got == out->n) return 1;
    im_fail(out->data ? "images: %s: could only read %zu of its bytes" : "images: %s: out of memory", path, got);
    free(out->data);
    return 0;
}

static uint32_t im_be16(const unsigned char *b) { return (uint32_t)b[0] << 8 | b[1]; }
static uint32_t im_be32(const unsigned char *b) { return im_be16(b) << 16 | im_be16(b + 2); }
static uint32_t im_le16(const unsigned char *b) { return (uint32_t)b[1] << 8 | b[0]; }
static uint32_t im_le32(const unsigned char *b) { return im_le16(b + 2) << 16 | im_le16(b); }

/* CRC-32 as PNG and gzip use it, four bits at a time. */
static uint32_t im_crc32(const unsigned char *b, size_t n) {
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c };
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < n; i++) {
        crc ^= b[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* The five checks below read the size from the header into h, w and return NULL when the file is whole, else what is
 * wrong with it. stb would decode most files that end early to half a picture without a word. */
static const char *const im_cut = "the file ends early (was it copied or downloaded completely?)";

static const char *im_check_png(const unsigned char *b, size_t n, long long *h, long long *w) {
    if (n < 33) return im_cut;
    *w = im_be32(b + 16), *h = im_be32(b + 20);
    for (size_t p = 8; n - p >= 12; ) {                         /* chunks: length, type, data, CRC of type and data */
        size_t length = im_be32(b + p);
        if (length > n - p - 12) return im_cut;
        if (im_crc32(b + p + 4, length + 4) != im_be32(b + p + 8 + length)) return "the file is damaged (checksum)";
        if (!memcmp(b + p + 4, "IEND", 4)) return NULL;
        p += length + 12;
    }
    return im_cut;
}

/* A DHT segment holds Huffman tables: a byte, 16 counts, that many symbols. More than 256 symbols in a table would make
 * stb before 2.28 write behind its own. */
static const char *im_check_huffman(const unsigned char *b, size_t n, size_t length) {
    for (size_t p = 2, symbols = 0; p < length; p += 17 + symbols) {
        if (n - p < 17) return im_cut;
        symbols = 0;
        for (int i = 1; i <= 16; i++) symbols += b[p + i];
        if (symbols > 256) return "the file is damaged (Huffman table)";
        if (p + 17 + symbols > n) return im_cut;
    }
    return NULL;
}

static const char *im_check_jpeg(const unsigned char *b, size_t n, long long *h, long long *w) {
    int frame = 0;
    for (size_t p = 2; n - p >= 2; ) {
        unsigned marker = b[p + 1];
        if (b[p] != 0xff || marker == 0xff || marker == 0) { p++; continue; }    /* padding and coded data */
        p += 2;
        if (marker == 0xd9)                     /* end of image; each 8x8 block of it takes a bit at least */
            return !frame ? "there is no picture in it" : *h * *w / 512 > (long long)n ? im_cut : NULL;
        if (marker == 1 || (marker >= 0xd0 && marker <= 0xd8)) continue;        /* markers without a segment */
        if (n - p < 2) return im_cut;
        size_t length = im_be16(b + p);
        if (length < 2 || length > n - p) return im_cut;
        int is_frame = marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
        const char *wrong = marker == 0xc4 ? im_check_huffman(b + p, n - p, length) : NULL;
        if (wrong) return wrong;
        if (is_frame && !frame && length >= 7) frame = 1, *h = im_be16(b + p + 3), *w = im_be16(b + p + 5);
        p += length;
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
    for (size_t done = 0, run; done < pixels; done += run) {                    /* run-length packets */
        if (p >= n) return im_cut;
        run = (b[p] & 127) + 1;
        p += 1 + (b[p] & 128 ? each : run * each);
        if (p > n) return im_cut;
    }
    return NULL;
}

/* GIMP pattern: six big-endian u32: header size, version 1, width, height, channels, 'GPAT'; raw pixels after it. */
static const char *im_check_pat(const unsigned char *b, size_t n, long long *h, long long *w) {
    *w = im_be32(b + 8), *h = im_be32(b + 12);
    uint32_t header = im_be32(b), channels = im_be32(b + 16);
    if (!im_size_ok(*h, *w)) return NULL;
    if (im_be32(b + 4) != 1 || channels < 1 || channels > 4 || header < 24) return "not a version 1 GIMP pattern";
    return header + (unsigned long long)*w * *h * channels > n ? im_cut : NULL;
}

enum { IM_UNKNOWN, IM_PNG, IM_JPEG, IM_BMP, IM_TGA, IM_PAT };

static int im_ends_with(const char *path, const char *end) {
    size_t n = strlen(path), m = strlen(end);
    return n >= m && !strcasecmp(path + n - m, end);
}

static int im_kind(const char *path, const unsigned char *b, size_t n) {
    if (n >= 8 && !memcmp(b, "\x89PNG\r\n\x1a\n", 8)) return IM_PNG;
    if (n >= 3 && !memcmp(b, "\xff\xd8\xff", 3)) return IM_JPEG;
    if (n >= 24 && !memcmp(b + 20, "GPAT", 4)) return IM_PAT;
    if (n >= 2 && !memcmp(b, "BM", 2)) return IM_BMP;
    return im_ends_with(path, ".tga") ? IM_TGA : IM_UNKNOWN;
}

#define IM_KNOWN "PNG, JPEG, BMP, TGA (named .tga) and GIMP patterns (.pat)"

static float im_from_byte(unsigned char b) { return b / 127.5f - 1; }

static unsigned char im_to_byte(float x) {
    x = (x + 1) * 127.5f;
    return !(x > 0) ? 0 : x >= 255 ? 255 : (unsigned char)(x + .5f);            /* NaN is not > 0 */
}

/* bytes (h,w,c), c = 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA -> RGB on white, with a mask if any of it is transparent */
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
    static const char *(*const check[])(const unsigned char *, size_t, long long *, long long *) = {
        NULL, im_check_png, im_check_jpeg, im_check_bmp, im_check_tga, im_check_pat };
    const unsigned char *b = file->data;
    int kind = im_kind(path, b, file->n);
    if (!kind) return im_fail("images: %s: not a known picture; known are " IM_KNOWN, path);
    long long h = 1, w = 1;
    const char *wrong = check[kind](b, file->n, &h, &w);
    if (!im_size_ok(h, w))
        return im_fail("images: %s: the header says %lld x %lld pixels; sides of 1..%d and at most 50 megapixels can "
                       "be read", path, w, h, IM_SIDE);
    if (wrong) return im_fail("images: %s: %s", path, wrong);
    if (kind == IM_PAT) {
        if (!im_from_bytes(out, b + im_be32(b), (int)h, (int)w, (int)im_be32(b + 16))) return 0;
        return out->tileable = 1;
    }
    int x, y, channels;
    unsigned char *rgba = stbi_load_from_memory(b, (int)file->n, &x, &y, &channels, 4);
    if (!rgba) return im_fail("images: %s: the picture cannot be decoded (%s)", path, stbi_failure_reason());
    int ok = x == w && y == h ? im_from_bytes(out, rgba, y, x, 4) : im_fail("images: %s: contradictory header", path);
    stbi_image_free(rgba);
    return ok;
}

int image_load(Image *out, const char *path) {
    ImBytes file;
    memset(out, 0, sizeof *out);
    if (!im_read_file(path, &file)) return 0;
    int ok = im_decode(out, path, &file);
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
        return im_fail("images: %s: only pictures with 1 or 3 channels can be saved, this has %d", path, image->c);
    int length = snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid());
    if (length < 0 || (size_t)length >= sizeof temporary)
        return im_fail("images: %.200s...: the path is too long", path);
    FILE *file = fopen(temporary, "wb");
    if (!file) return im_fail("images: %s: cannot be written: %s", path, strerror(errno));
    int ok = im_encode(file, path, image), why = errno;
    if (fclose(file) && ok) ok = 0, why = errno;
    if (ok && rename(temporary, path)) ok = 0, why = errno;
    if (ok) return 1;
    remove(temporary);
    return im_fail("images: %s: could not be written: %s", path, strerror(why));
}

/* ---- one picture: size and mask ------------------------------------------------------------------------------- */

/* One axis: in (outer, n, inner) -> out (outer, m, inner), by the formulas above image_resize. Lengths of overlaps are
 * whole numbers when the axis is n*m long: in's cell j is [j m, (j+1) m), out's box i is [i n, (i+1) n). */
static float *im_resize_axis(const float *in, int outer, int n, int inner, int m) {
    float *out = calloc((size_t)outer * m * inner, sizeof *out);
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

/* (h,w,c) -> (H,W,c): rows, then columns */
static float *im_resize(const float *in, int h, int w, int c, int H, int W) {
    float *rows = im_resize_axis(in, 1, h, w * c, H);
    float *out = rows ? im_resize_axis(rows, H, w, c, W) : NULL;
    free(rows);
    return out;
}

int image_resize(Image *dst, const Image *src, int h, int w) {
    memset(dst, 0, sizeof *dst);
    if (!src->pixels || !im_size_ok(h, w))
        return im_fail("images: cannot resize a picture of %d x %d pixels to %d x %d", src->w, src->h, w, h);
    dst->h = h, dst->w = w, dst->c = src->c, dst->tileable = src->tileable;
    dst->pixels = im_resize(src->pixels, src->h, src->w, src->c, h, w);
    if (src->mask) dst->mask = im_resize(src->mask, src->h, src->w, 1, h, w);
    if (dst->pixels && (dst->mask || !src->mask)) return 1;
    image_free(dst);
    return im_fail("images: out of memory for a picture of %d x %d pixels", w, h);
}

static int im_near(const float *pixel, const float *colour, int c) {
    for (int k = 0; k < c; k++)
        if (!(fabsf(pixel[k] - colour[k]) <= .18f)) return 0;                   /* .09 of 0..1 is .18 of -1..1 */
    return 1;
}

/* The i-th of the 2(h + w) border pixels (corners come twice): top, bottom, left, right. */
static size_t im_border_pixel(const Image *m, int i) {
    if (i < m->w) return i;
    if (i < 2 * m->w) return (size_t)(m->h - 1) * m->w + i - m->w;
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

static int im_fit_pad(Image *dst, const Image *src, int h, int w) {
    int wide = (long long)src->w * h > (long long)src->h * w;       /* the width decides the scale */
    int inner_h = wide ? (int)lround((double)src->h * w / src->w) : h;
    int inner_w = wide ? w : (int)lround((double)src->w * h / src->h);
    float colour[4];
    Image inner;
    if (!image_resize(&inner, src, inner_h < 1 ? 1 : inner_h, inner_w < 1 ? 1 : inner_w)) return 0;
    int ok = im_new_like(dst, &inner, h, w);
    if (ok) {
        im_border_colour(src, colour);
        for (size_t i = 0; i < (size_t)h * w * src->c; i++) dst->pixels[i] = colour[i % src->c];
        im_blit(dst, (h - inner.h) / 2, (w - inner.w) / 2, &inner, 0, 0, inner.h, inner.w);
    }
    image_free(&inner);
    return ok;
}

int image_fit(Image *dst, const Image *src, int h, int w, ImageFit policy) {
    long long ahead = (long long)src->w * h - (long long)src->h * w;            /* > 0: src is wider than (h,w) */
    if (policy == IMAGE_STRETCH || ahead == 0 || !src->pixels || !im_size_ok(h, w)) return image_resize(dst, src, h, w);
    if (policy == IMAGE_PAD) return im_fit_pad(dst, src, h, w);
    int cut_h = ahead < 0 ? (int)lround((double)src->w * h / w) : src->h;
    int cut_w = ahead > 0 ? (int)lround((double)src->h * w / h) : src->w;
    cut_h = cut_h < 1 ? 1 : cut_h, cut_w = cut_w < 1 ? 1 : cut_w;
    Image cut;
    memset(dst, 0, sizeof *dst);
    if (!image_crop(&cut, src, (src->h - cut_h) / 2, (src->w - cut_w) / 2, cut_h, cut_w)) return 0;
    int ok = image_resize(dst, &cut, h, w);
    image_free(&cut);
    return ok;
}

/* Recolours the 4-connected region of `from` around start to `to`; returns its size. stack: room for h*w. */
static int im_flood(unsigned char *state, int h, int w, int *stack, int start, int from, int to) {
    int top = 0, size = 0;
    if (state[start] != from) return 0;
    for (state[start] = (unsigned char)to, stack[top++] = start; top; size++) {
        int i = stack[--top], x = i % w, y = i / w;
        int next[4] = { x > 0 ? i - 1 : i, x + 1 < w ? i + 1 : i, y > 0 ? i - w : i, y + 1 < h ? i + w : i };
        for (int k = 0; k < 4; k++)
            if (state[next[k]] == from) state[next[k]] = (unsigned char)to, stack[top++] = next[k];
    }
    return size;
}

enum { IM_BACKGROUND_COLOUR, IM_OTHER, IM_BACKGROUND, IM_GARMENT };

/* state[i] becomes IM_BACKGROUND or IM_GARMENT; returns the number of garment pixels. */
static int im_segment_garment(const Image *m, const float *colour, unsigned char *state, int *stack) {
    int n = m->h * m->w, garment = 0, speck = n / 500 > 2 ? n / 500 : 2;
    for (int i = 0; i < n; i++)
        state[i] = im_near(m->pixels + (size_t)i * m->c, colour, m->c) ? IM_BACKGROUND_COLOUR : IM_OTHER;
    for (int i = 0; i < 2 * (m->h + m->w); i++)
        im_flood(state, m->h, m->w, stack, (int)im_border_pixel(m, i), IM_BACKGROUND_COLOUR, IM_BACKGROUND);
    for (int i = 0; i < n; i++) if (state[i] != IM_BACKGROUND) state[i] = IM_OTHER;     /* enclosed: part of it */
    for (int i = 0; i < n; i++) {
        int size = im_flood(state, m->h, m->w, stack, i, IM_OTHER, IM_GARMENT);
        if (size > 0 && size <= speck) im_flood(state, m->h, m->w, stack, i, IM_GARMENT, IM_BACKGROUND);
    }
    for (int i = 0; i < n; i++) garment += state[i] == IM_GARMENT;
    return garment;
}

/* mask = (1 2 1)/4 x (1 2 1)/4 over garment pixels: an edge one pixel wide */
static void im_feather(Image *m, const unsigned char *state) {
    for (int y = 0; y < m->h; y++) for (int x = 0; x < m->w; x++) {
        int sum = 0;
        for (int dy = -1; dy <= 1; dy++) for (int dx = -1; dx <= 1; dx++) {
            int i = y + dy < 0 || y + dy >= m->h ? y : y + dy, j = x + dx < 0 || x + dx >= m->w ? x : x + dx;
            sum += (state[i * m->w + j] == IM_GARMENT) * (2 - abs(dy)) * (2 - abs(dx));
        }
        m->mask[y * m->w + x] = sum / 16.f;
    }
}

int image_garment_mask(Image *image) {
    float colour[4];
    if (image->mask) return 2;
    if (!image->pixels) return im_fail("images: an empty picture has no garment");
    if (!im_add_mask(image, 1)) return 0;
    if (!im_border_colour(image, colour)) return 3;
    size_t n = (size_t)image->h * image->w;
    unsigned char *state = malloc(n);
    int *stack = malloc(n * sizeof *stack), found = 0;
    if (!state || !stack) im_fail("images: out of memory for the mask of %d x %d", image->w, image->h);
    else found = im_segment_garment(image, colour, state, stack) ? 1 : 3;
    if (found == 1) im_feather(image, state);
    if (!found) { free(image->mask); image->mask = NULL; }
    free(state);
    free(stack);
    return found;
}

/* ---- sets: gzip and IDX --------------------------------------------------------------------------------------- */

/* RFC 1952: magic 1f 8b, method 8, flags, time, hints (10 bytes); then, as flagged, an extra field, a name, a comment
 * and a checksum. Returns where the deflate stream starts, 0 when this is no gzip header. */
static size_t im_gzip_header(const unsigned char *b, size_t n) {
    if (n < 18 || b[0] != 0x1f || b[1] != 0x8b || b[2] != 8 || b[3] & 0xe0) return 0;
    size_t p = 10;
    if (b[3] & 4) p += 2 + (size_t)(b[11] << 8 | b[10]);                        /* FEXTRA: length, bytes */
    for (int text = (b[3] >> 3 & 1) + (b[3] >> 4 & 1); text > 0; text--) {      /* FNAME, FCOMMENT: end with a zero */
        while (p < n && b[p]) p++;
        p++;
    }
    if (b[3] & 2) p += 2;                                                       /* FHCRC */
    return p + 8 <= n ? p : 0;                                                  /* the trailer: CRC-32, size */
}

/* file becomes its decompressed content. stb writes into a block of the trailer's size and no further; deflate cannot
 * pack more than 1032:1, so a trailer that promises more is a lie and nothing is allocated. stb looks two bytes ahead,
 * so it gets the trailer too; the checksum says whether it stopped at the right place. */
static int im_gunzip(ImBytes *file, const char *path) {
    size_t n = file->n, start = im_gzip_header(file->data, n);
    if (!start) return im_fail("images: %s: damaged gzip header", path);
    uint32_t crc = im_le32(file->data + n - 8), size = im_le32(file->data + n - 4);
    if (size == 0 || size > IM_FILE || size > (n - start - 8) * 1032)
        return im_fail("images: %s: damaged gzip file, or not one member below 1 GB: %u bytes cannot come out of %zu",
                       path, size, n - start - 8);
    unsigned char *plain = malloc(size);
    if (!plain) return im_fail("images: %s: out of memory for %u bytes", path, size);
    int got = stbi_zlib_decode_noheader_buffer((char *)plain, (int)size, (const char *)file->data + start,
                                               (int)(n - start));
    if (got != (int)size || im_crc32(plain, size) != crc) {
        free(plain);
        return im_fail("images: %s: damaged gzip file (checksum or size): copy or download it again", path);
    }
    free(file->data);
    file->data = plain, file->n = size;
    return 1;
}

static int im_is_idx(const unsigned char *b, size_t n) {
    return n >= 4 && ((b[0] == 0x1f && b[1] == 0x8b) || (b[0] == 0 && b[1] == 0 && b[2] == 8));
}

/* IDX: magic 00 00 08 dims, the dims as big-endian u32, then bytes. Checks that the length is exactly right. */
static int im_read_idx(ImBytes *file, const char *path, int dims, uint32_t size[3]) {
    static const char *const shape[] = { "", "labels (count)", "", "pictures (count, h, w)" };
    if (!im_read_file(path, file)) return 0;
    int ok = file->n < 2 || file->data[0] != 0x1f || im_gunzip(file, path);
    size_t header = 4 + 4 * (size_t)dims, want = 1;
    if (ok && (file->n < header || im_be32(file->data) != 0x800u + dims))
        ok = im_fail("images: %s: not an IDX file of %s: magic %08x in %zu bytes, expected %08x", path, shape[dims],
                     file->n < 4 ? 0 : im_be32(file->data), file->n, 0x800u + dims);
    for (int i = 0; ok && i < dims; i++) {
        size[i] = im_be32(file->data + 4 + 4 * i);
        if (size[i] == 0 || size[i] > (i ? IM_SIDE : IM_FILE))
            ok = im_fail("images: %s: the header says that size %d of %s is %u", path, i, shape[dims], size[i]);
        want *= size[i];                                                        /* at most 2^30 * 2^14 * 2^14 */
    }
    if (ok && file->n != header + want)
        ok = im_fail("images: %s: %zu bytes, but its header promises %zu: copy or download it again", path, file->n,
                     header + want);
    if (ok && dims == 3 && (long long)size[1] * size[2] > IM_AREA)
        ok = im_fail("images: %s: pictures of %u x %u pixels, expected at most 50 megapixels", path, size[2], size[1]);
    if (!ok) { free(file->data); file->data = NULL; }
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

static const char *const im_fashion[10] = { "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt",
                                            "Sneaker", "Bag", "Ankle boot" };

static int im_name_classes(ImageSet *set, int fashion) {
    set->class_name = calloc((size_t)set->classes, sizeof *set->class_name);
    for (int i = 0; set->class_name && i < set->classes; i++)
        snprintf(set->class_name[i], 32, "%d", i);
    for (int i = 0; set->class_name && fashion && i < set->classes && i < 10; i++)
        snprintf(set->class_name[i], 32, "%s", im_fashion[i]);
    return set->class_name ? 1 : im_fail("images: out of memory for %d class names", set->classes);
}

static int im_load_labels(ImageSet *set, const char *images_path, uint32_t count, int fashion) {
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
    if (size[0] != count) return im_fail("images: %s: %u labels, but there are %u pictures", path, size[0], count);
    return set->label ? im_name_classes(set, fashion) : im_fail("images: out of memory for %ld labels", set->count);
}

static int im_load_idx(ImageSet *set, const char *path, long limit, int fashion) {
    uint32_t size[3];
    ImBytes file;
    if (!im_read_idx(&file, path, 3, size)) return 0;
    set->count = limit > 0 && limit < size[0] ? limit : size[0];
    set->stored_h = (int)size[1], set->stored_w = (int)size[2], set->stored_c = 1;
    size_t bytes = (size_t)set->count * size[1] * size[2];
    memmove(file.data, file.data + 16, bytes);                  /* the file's block becomes the set's */
    unsigned char *smaller = realloc(file.data, bytes);
    set->pixels = smaller ? smaller : file.data;
    return im_load_labels(set, path, size[0], fashion);
}

static int im_load_fashion(ImageSet *set, const char *which, const ImageSetOptions *o) {
    char path[4096];
    const char *dir = o->fashion_mnist_dir ? o->fashion_mnist_dir : "/usr/share/datasets/fashion-mnist";
    int test = !strcmp(which, ":test");
    if (!test && *which && strcmp(which, ":train"))
        return im_fail("images: fashion-mnist%s: unknown part; there are fashion-mnist:train and fashion-mnist:test",
                       which);
    snprintf(path, sizeof path, "%.4000s/%s-images-idx3-ubyte", dir, test ? "t10k" : "train");
    if (!im_find_idx(path, sizeof path))
        return im_fail("images: %s: not found: install Debian's dataset-fashion-mnist, name the folder that holds the "
                       "IDX files, or use \"synthetic\"", path);
    return im_load_idx(set, path, o->limit, 1);
}

/* Light on black becomes a garment on white, as the product photos were before Fashion-MNIST inverted them. */
static int im_photo(ImageSet *set) {
    size_t n = (size_t)set->count * set->stored_h * set->stored_w;
    set->mask = malloc(n);
    if (!set->mask) return im_fail("images: out of memory for the masks of %ld pictures", set->count);
    for (size_t i = 0; i < n; i++) {
        set->mask[i] = set->pixels[i] > .02 * 255 ? 255 : 0;
        set->pixels[i] = 255 - set->pixels[i];
    }
    return 1;
}

/* ---- sets: folders -------------------------------------------------------------------------------------------- */

typedef struct { char **path; long count, room, seen; ImageSet *set; } ImList;
typedef struct ImFolder { dev_t device; ino_t inode; const struct ImFolder *parent; int depth; } ImFolder;

/* Counts a file that is no readable picture (the reason is in images_error) and remembers the first reason. */
static void im_skip(ImageSet *set) {
    if (set->skipped++ == 0) snprintf(set->note, sizeof set->note, "%.511s", im_error);
}

static int im_looks_like_picture(const char *path) {
    unsigned char head[24] = {0};
    FILE *file = fopen(path, "rb");
    if (!file) return im_fail("images: %s: %s", path, strerror(errno));
    size_t n = fread(head, 1, sizeof head, file);
    fclose(file);
    return im_kind(path, head, n) ? 1 : im_fail("images: %s: not a known picture", path);
}

static int im_list_file(ImList *list, const char *path) {
    if (++list->seen > IM_FILES) return im_fail("images: %s: more than %d files in the folder", path, IM_FILES);
    if (!im_looks_like_picture(path)) { im_skip(list->set); return 1; }
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : 64;
        char **more = realloc(list->path, (size_t)list->room * sizeof *more);
        if (!more) return im_fail("images: out of memory for %ld file names", list->room);
        list->path = more;
    }
    list->path[list->count] = malloc(strlen(path) + 1);
    if (!list->path[list->count]) return im_fail("images: out of memory for %ld file names", list->count);
    strcpy(list->path[list->count++], path);
    return 1;
}

/* Walks a folder. A link back to a folder we are inside of is a loop and is not followed. */
static int im_walk(ImList *list, const char *folder, const struct stat *info, const ImFolder *parent) {
    ImFolder here = { info->st_dev, info->st_ino, parent, parent ? parent->depth + 1 : 0 };
    if (here.depth > IM_DEPTH) return im_fail("images: %s: folders nested deeper than %d", folder, IM_DEPTH);
    for (const ImFolder *f = parent; f; f = f->parent) if (f->device == here.device && f->inode == here.inode) return 1;
    DIR *dir = opendir(folder);
    if (!dir) {
        im_fail("images: %s: %s", folder, strerror(errno));
        if (parent) im_skip(list->set);
        return parent != NULL;
    }
    int ok = 1;
    for (struct dirent *entry; ok && (entry = readdir(dir)); ) {
        char path[4096];
        struct stat child;
        if (entry->d_name[0] == '.') continue;
        int length = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (length >= (int)sizeof path) ok = im_fail("images: %.200s...: the path is too long", folder);
        else if (stat(path, &child)) im_fail("images: %s: %s", path, strerror(errno)), list->seen++, im_skip(list->set);
        else if (S_ISDIR(child.st_mode)) ok = im_walk(list, path, &child, &here);
        else if (S_ISREG(child.st_mode)) ok = im_list_file(list, path);
    }
    closedir(dir);
    return ok;
}

/* By name, folder by folder: '/' sorts before every other letter, so that "a/z" comes before "a-b/c". */
static int im_by_name(const void *a, const void *b) {
    const unsigned char *s = *(unsigned char *const *)a, *t = *(unsigned char *const *)b;
    while (*s && *s == *t) s++, t++;
    return (*s == '/' ? 1 : *s) - (*t == '/' ? 1 : *t);
}

/* Appends a picture as bytes; blocks double, so that n pictures cost O(n). */
static int im_append(ImageSet *set, const Image *image, long *room) {
    size_t n = (size_t)set->stored_h * set->stored_w, c = set->stored_c;
    if (set->count == *room) {
        *room = *room ? 2 * *room : 16;
        unsigned char *pixels = realloc(set->pixels, (size_t)*room * n * c);
        if (pixels) set->pixels = pixels;
        unsigned char *mask = image->mask ? realloc(set->mask, (size_t)*room * n) : NULL;
        if (mask) set->mask = mask;
        int *label = realloc(set->label, (size_t)*room * sizeof *label);
        if (label) set->label = label;
        if (!pixels || !label || (image->mask && !mask))
            return im_fail("images: out of memory for %ld pictures", *room);
    }
    for (size_t i = 0; i < n * c; i++) set->pixels[set->count * n * c + i] = im_to_byte(image->pixels[i]);
    for (size_t i = 0; set->mask && i < n; i++) set->mask[set->count * n + i] = im_to_byte(image->mask[i] * 2 - 1);
    set->label[set->count++] = 0;
    return 1;
}

/* out (n,c_out) from in (n,c_in), grey or RGB each */
static void im_channels(float *out, int c_out, const float *in, int c_in, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const float *p = in + i * c_in;
        if (c_out == 1) out[i] = c_in == 1 ? p[0] : .299f * p[0] + .587f * p[1] + .114f * p[2];
        else for (int k = 0; k < 3; k++) out[i * 3 + k] = p[c_in == 1 ? 0 : k];
    }
}

/* Loads one file in the set's shape. -1: not readable, 0: out of memory, 1: done. */
static int im_load_fitted(Image *out, const char *path, ImageSet *set, const ImageSetOptions *o) {
    Image full, grey;
    if (!image_load(&full, path)) return -1;
    if (!set->stored_h) set->stored_h = o->h ? o->h : full.h, set->stored_w = o->w ? o->w : full.w;
    int ok = 1;
    if (o->photo) ok = image_garment_mask(&full) > 0;
    else free(full.mask), full.mask = NULL;
    ok = ok && image_fit(out, &full, set->stored_h, set->stored_w, o->policy);
    image_free(&full);
    if (!ok || set->stored_c == 3) return ok;
    ok = image_new(&grey, out->h, out->w, 1);
    if (ok) im_channels(grey.pixels, 1, out->pixels, 3, (size_t)out->h * out->w);
    if (ok) grey.mask = out->mask, out->mask = NULL;
    image_free(out);
    *out = grey;
    return ok;
}

/* The part of path between the set's folder and the next '/': its class. 0 letters: it lies in the folder itself. */
static int im_class_length(const char *path, size_t root) {
    const char *slash = strchr(path + root, '/');
    return slash ? (int)(slash - path - root) : 0;
}

static int im_add_class(ImageSet *set, const char *path, size_t root) {
    int length = im_class_length(path, root);
    char name[32];
    snprintf(name, sizeof name, "%.*s", length, path + root);
    void *more = realloc(set->class_name, (size_t)(set->classes + 1) * sizeof *set->class_name);
    if (!more) return im_fail("images: out of memory for %d class names", set->classes + 1);
    set->class_name = more;
    memcpy(set->class_name[set->classes++], name, sizeof name);
    return 1;
}

static int im_load_list(ImageSet *set, const ImList *list, const ImageSetOptions *o, size_t root) {
    long room = 0;
    int flat = 0;
    const char *last = NULL;                                                    /* the picture before, for its class */
    for (long i = 0; i < list->count; i++) flat |= im_class_length(list->path[i], root) == 0;
    for (long i = 0; i < list->count && (o->limit <= 0 || set->count < o->limit); i++) {
        const char *path = list->path[i];
        Image image;
        int ok = im_load_fitted(&image, path, set, o);
        if (ok < 0) { im_skip(set); continue; }
        if (ok) ok = im_append(set, &image, &room);
        image_free(&image);
        if (!ok) return 0;
        int length = im_class_length(path, root);
        int same = last && im_class_length(last, root) == length && !strncmp(last + root, path + root, (size_t)length);
        if (!flat && !same && !im_add_class(set, path, root)) return 0;
        if (!flat) set->label[set->count - 1] = set->classes - 1;
        last = path;
    }
    if (flat) free(set->label), set->label = NULL;
    return 1;
}

static int im_load_folder(ImageSet *set, const char *source, const struct stat *info, const ImageSetOptions *o) {
    ImList list = { .set = set };
    char root[4096];
    size_t length = strlen(source);
    while (length > 1 && source[length - 1] == '/') length--;
    snprintf(root, sizeof root, "%.*s", (int)length, source);
    int folder = S_ISDIR(info->st_mode);
    int ok = folder ? im_walk(&list, root, info, NULL) : im_list_file(&list, root);
    set->stored_c = o->channels ? o->channels : 3;
    if (ok && list.count) {
        qsort(list.path, (size_t)list.count, sizeof *list.path, im_by_name);
        ok = im_load_list(set, &list, o, folder ? strlen(root) + 1 : strlen(root));
    }
    if (ok && !set->count)
        ok = im_fail("images: %s: none of the %ld files seen is a readable picture; known are " IM_KNOWN "%s%.300s",
                     source, list.seen, set->skipped ? "; the first: " : "", set->note);
    for (long i = 0; i < list.count; i++) free(list.path[i]);
    free(list.path);
    return ok;
}

/* ---- drawing: lines and polygons as coverage ------------------------------------------------------------------ */

/* Raises coverage (h,w) in [0,1] under the round-ended line from (x0,y0) to (x1,y1), radius r, all in pixels:
 * coverage = max(coverage, clamp(r + 1/2 - distance to the segment)). Maximum, so that joints are not drawn twice. */
static void im_line(float *coverage, int h, int w, float x0, float y0, float x1, float y1, float r) {
    float dx = x1 - x0, dy = y1 - y0, length2 = dx * dx + dy * dy;
    int left = (int)fmaxf(0, fminf(x0, x1) - r - 1), right = (int)fminf(w - 1.f, fmaxf(x0, x1) + r + 1);
    int top = (int)fmaxf(0, fminf(y0, y1) - r - 1), bottom = (int)fminf(h - 1.f, fmaxf(y0, y1) + r + 1);
    for (int y = top; y <= bottom; y++) for (int x = left; x <= right; x++) {
        float px = x + .5f - x0, py = y + .5f - y0;
        float t = length2 > 0 ? fminf(1, fmaxf(0, (px * dx + py * dy) / length2)) : 0;
        float d = r + .5f - sqrtf((px - t * dx) * (px - t * dx) + (py - t * dy) * (py - t * dy));
        float *to = coverage + (size_t)y * w + x;
        *to = fmaxf(*to, fminf(d, fminf(1, 2 * r)));            /* a line thinner than a pixel is a faint one */
    }
}

/* Adds the area inside a closed polygon: 4 scan lines a row, exact along x. point: (n,2) of x, y in pixels. */
static void im_polygon(float *coverage, int h, int w, const float *point, int n) {
    for (int line = 0; line < 4 * h; line++) {
        float y = (line + .5f) / 4, cross[64];
        int count = 0;
        for (int i = 0; i < n && count < 64; i++) {
            const float *a = point + 2 * i, *b = point + 2 * ((i + 1) % n);
            if ((a[1] <= y) == (b[1] <= y)) continue;
            float x = a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]);
            int k = count++;
            for (; k > 0 && cross[k - 1] > x; k--) cross[k] = cross[k - 1];
            cross[k] = x;
        }
        for (int k = 0; k + 1 < count; k += 2) {
            float from = fmaxf(0, cross[k]), to = fminf((float)w, cross[k + 1]);
            for (int x = (int)from; x < to; x++)
                coverage[(size_t)(line / 4) * w + x] += .25f * (fminf(to, x + 1.f) - fmaxf(from, (float)x));
        }
    }
}

/* ---- sets: drawn garments ------------------------------------------------------------------------------------- */

/* Integers mixed by shifts and multiplications, as a number in [0,1): the same garment for the same index, always. */
static float im_hash(uint32_t x) {
    x ^= x >> 16, x *= 0x7feb352du, x ^= x >> 15, x *= 0x846ca68bu, x ^= x >> 16;
    return (float)(x >> 8) / 16777216.f;
}

/* Outlines in a 28 x 28 frame, as (x, y), x from the middle, y from the top; y = 0 ends one. Shoes go all the way
 * round; everything else is the right half from top to bottom, and is mirrored. */
static const float im_outline[10][32] = {
    { 0,4.6f, 2.6f,3, 4,3.2f, 7,4.6f, 11.2f,10, 8.4f,12, 6.4f,9.8f, 6.5f,18, 6.7f,25, 0,25.3f },     /* T-shirt */
    { 0,1.6f, 4.4f,1.5f, 4.8f,4, 5.5f,8.5f, 5.7f,18, 5.4f,26.6f, 2,26.8f, 1.4f,20, .45f,10.5f, 0,10.2f },/* trouser */
    { 0,3.6f, 2.8f,2.6f, 4.2f,2.8f, 7.6f,4.4f, 9.6f,9, 11.6f,23.2f, 9,24, 7.1f,11.5f, 6.9f,18, 7.1f,25.4f,
      0,25.6f },                                                                                     /* pullover */
    { 0,4.8f, 2.3f,1.6f, 3.7f,1.5f, 3.9f,4.6f, 4.4f,7, 3.3f,11.5f, 4.4f,16, 6.4f,26.4f, 0,26.9f },   /* dress */
    { 0,3.8f, 2.6f,2, 4,2.4f, 7.4f,4, 9.2f,8.5f, 11,21.6f, 8.6f,22.4f, 7,11.5f, 6.8f,15, 7.9f,26.6f,
      0,26.8f },                                                                                     /* coat */
    { -12,21, -11.5f,18.6f, -8.5f,18.2f, -5,19, 0,19.6f, 5,20, 10.5f,19.8f, 12.4f,21, 11,22, 3,22, -3,21.6f,
      -7,21.4f, -11,22 },                                                                            /* sandal */
    { 0,4.2f, 2.4f,2, 3.8f,2.4f, 7.3f,4.1f, 9.1f,8.5f, 11.2f,22.4f, 8.9f,23, 6.7f,11, 6.2f,17, 6.8f,25.8f,
      3,26.4f, 0,26 },                                                                               /* shirt */
    { -12,20.6f, -12.2f,16, -11.2f,12.6f, -9,13.6f, -5.5f,11.4f, -3.6f,11.6f, 1.5f,15.2f, 8,16.6f, 11.6f,18.2f,
      12.4f,20.8f, 11,21.8f, -11,21.8f },                                                            /* sneaker */
    { 0,11.7f, 9,12, 11,24.2f, 0,24.8f },                                                            /* bag */
    { -10.4f,22.4f, -9.8f,17, -10.4f,11, -10.2f,5, -2.4f,5.4f, -2.2f,12, 2,15.4f, 8,17, 11.4f,19, 11.8f,22,
      1.5f,22.4f, .5f,22, -4.5f,22, -5,24, -10,24 },                                                 /* boot */
};

/* Lines, mirrored like the outlines: class, radius, x0, y0, x1, y1. A radius above 0 is a dark seam on the garment, one
 * below 0 a strap that is part of its silhouette. */
static const float im_seam[][6] = {
    { 0, .3f, 0,5.4f, 2.7f,3.9f }, { 0, .3f, 6.2f,5, 6.4f,9.6f }, { 0, .25f, 8.1f,11.2f, 10.6f,9.3f },
    { 0, .25f, 0,24.3f, 6.4f,24 },
    { 1, .3f, 0,2.8f, 4.6f,2.8f }, { 1, .35f, 0,3, 0,10 }, { 1, .3f, 2.4f,3.2f, 4.9f,5.8f },
    { 1, .2f, 3.6f,9, 3.7f,26 },
    { 2, .35f, 0,4.4f, 2.9f,3.5f }, { 2, .3f, 6.6f,5, 7,11 }, { 2, .3f, 9,22.7f, 11.3f,22 }, { 2, .35f, 0,24, 7,23.8f },
    { 3, .3f, 0,11.7f, 3.2f,11.5f }, { 3, .25f, 1.2f,13, 2.8f,25.6f }, { 3, .2f, .8f,5, 1.8f,10.5f },
    { 4, .4f, 0,9.6f, 0,26 }, { 4, .45f, 0,9.8f, 2.8f,3 }, { 4, .35f, 2.8f,17.4f, 5.6f,16.8f },
    { 4, .3f, 6.7f,5, 6.9f,11 },
    { 5, -.7f, -9.8f,19, -8.6f,13.2f }, { 5, -.5f, -8.6f,13.4f, -3,13 }, { 5, -.5f, -8.8f,15.4f, -3,13 },
    { 5, -.5f, -3,13, 4.4f,16.4f }, { 5, -.9f, 1.4f,19.6f, 4.6f,16.4f }, { 5, -.9f, 4.6f,16.4f, 7.4f,17 },
    { 5, -.9f, 7.4f,17, 9.6f,19.8f }, { 5, .3f, -11,20.4f, 11.4f,20.9f },
    { 6, .3f, 0,4.8f, 0,25.6f }, { 6, .4f, 0,5, 2.1f,3.4f }, { 6, .35f, 2.1f,3.4f, 3.2f,5 },
    { 6, .3f, 8.8f,21.4f, 11,20.8f }, { 6, .25f, 2.6f,9.6f, 4.8f,9.6f },
    { 7, .5f, -12,19.6f, 12,19.8f }, { 7, .3f, -8.5f,14, -7.6f,19 }, { 7, .3f, -3.4f,12.2f, 2.4f,16.2f },
    { 7, .3f, 6.4f,16.6f, 7.4f,19.4f }, { 7, .35f, -3.6f,14.6f, -1.6f,12.6f }, { 7, .35f, -1.6f,15.8f, .4f,13.8f },
    { 7, .35f, .4f,17, 2.4f,15 },
    { 8, -.55f, 5.4f,12, 5,8.4f }, { 8, -.55f, 5,8.4f, 3.8f,6 }, { 8, -.55f, 3.8f,6, 2,4.7f },
    { 8, -.55f, 2,4.7f, 0,4.3f }, { 8, .35f, 0,17.8f, 9.6f,16.2f }, { 8, .9f, 0,17.4f, 0,18.6f },
    { 9, .4f, -10.2f,21.2f, 11.6f,21.2f }, { 9, .3f, -10,7, -2.4f,7.2f }, { 9, .3f, -6.2f,7.4f, -6.6f,13 },
    { 9, .25f, -2.4f,12.6f, -9.8f,15.6f },
};

typedef struct { float scale, cx, cy, wide, tall; int mirror; } ImPose;     /* frame -> pixels */

static float im_pose_x(const ImPose *p, float x) { return p->cx + x * p->wide * p->scale; }
static float im_pose_y(const ImPose *p, float y) { return p->cy + (y - 14) * p->tall * p->scale; }

/* Corner cutting (Chaikin, 1/5): each corner becomes two points; n points -> 2n. */
static int im_round_corners(float *point, int n) {
    float old[256];
    memcpy(old, point, sizeof(float) * 2 * n);
    for (int i = 0; i < n; i++) for (int k = 0; k < 2; k++) {
        float before = old[2 * ((i + n - 1) % n) + k], at = old[2 * i + k], after = old[2 * ((i + 1) % n) + k];
        point[4 * i + k] = at + .2f * (before - at);
        point[4 * i + 2 + k] = at + .2f * (after - at);
    }
    return 2 * n;
}

static void im_silhouette(float *coverage, int h, int w, int kind, const ImPose *pose) {
    float point[256];
    int n = 0, half = 0;
    while (half < 16 && im_outline[kind][2 * half + 1] > 0) half++;
    for (int i = 0; i < half; i++, n++) {
        point[2 * n] = im_pose_x(pose, im_outline[kind][2 * i]);
        point[2 * n + 1] = im_pose_y(pose, im_outline[kind][2 * i + 1]);
    }
    for (int i = half - 2; pose->mirror && i > 0; i--, n++)
        point[2 * n] = im_pose_x(pose, -im_outline[kind][2 * i]), point[2 * n + 1] = point[2 * i + 1];
    n = im_round_corners(point, n);
    if (n <= 64) n = im_round_corners(point, n);
    im_polygon(coverage, h, w, point, n);
}

/* Seams are thread: they grow with the square root of the picture only. */
static void im_seams(float *coverage, float *seam, int h, int w, int kind, const ImPose *p) {
    for (size_t i = 0; i < sizeof im_seam / sizeof *im_seam; i++) {
        const float *s = im_seam[i];
        float *to = s[1] < 0 ? coverage : seam, r = s[1] < 0 ? -s[1] * p->scale : s[1] * sqrtf(p->scale);
        if ((int)s[0] != kind) continue;
        for (int side = 1; side >= (p->mirror ? -1 : 1); side -= 2)
            im_line(to, h, w, im_pose_x(p, side * s[2]), im_pose_y(p, s[3]),
                    im_pose_x(p, side * s[4]), im_pose_y(p, s[5]), r);
    }
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
        shade -= .22f * fminf(1, fmaxf(0, .5f + 2 * sinf(tau * across / period)));
    }
    return shade;
}

/* One garment, (h,w) bytes, light on black. work: room for 2*h*w floats. */
static void im_garment(unsigned char *out, int h, int w, long index, float *work) {
    int kind = (int)(index % 10);
    uint32_t seed = (uint32_t)index * 16u + 1;
    ImPose p = { .scale = (float)(h < w ? h : w) / 28, .mirror = kind != 5 && kind != 7 && kind != 9 };
    p.wide = .86f + .2f * im_hash(seed + 7), p.tall = .92f + .1f * im_hash(seed + 8);
    p.cx = w / 2.f + (im_hash(seed + 9) - .5f) * p.scale, p.cy = h / 2.f + (im_hash(seed + 10) - .5f) * p.scale;
    float light = .52f + .44f * im_hash(seed + 11), *coverage = work, *seam = work + (size_t)h * w;
    memset(work, 0, sizeof(float) * 2 * h * w);
    im_silhouette(coverage, h, w, kind, &p);
    im_seams(coverage, seam, h, w, kind, &p);
    for (int i = 0; i < h * w; i++) {
        float x = (i % w + .5f - p.cx) / (p.wide * p.scale), y = 14 + (i / w + .5f - p.cy) / (p.tall * p.scale);
        float value = light * im_cloth(x, y, kind, seed) * (1 - .42f * seam[i]);
        value += .03f * (im_hash(seed * 65599u + (uint32_t)i) - .5f);
        out[i] = (unsigned char)(255 * fminf(1, fmaxf(.06f, value)) * fminf(1, coverage[i]) + .5f);
    }
}

static int im_load_synthetic(ImageSet *set, const char *which, const ImageSetOptions *o) {
    char *end;
    long n = *which == ':' ? strtol(which + 1, &end, 10) : (end = (char *)which, 2000);
    if (*end || n < 1 || n > 1000000)
        return im_fail("images: synthetic%s: expected \"synthetic\" or \"synthetic:N\" with N = 1..1000000", which);
    set->count = o->limit > 0 && o->limit < n ? o->limit : n;
    set->stored_h = o->h ? o->h : 28, set->stored_w = o->w ? o->w : 28, set->stored_c = 1, set->classes = 10;
    size_t each = (size_t)set->stored_h * set->stored_w;
    set->pixels = malloc((size_t)set->count * each);
    set->label = malloc((size_t)set->count * sizeof *set->label);
    float *work = malloc(2 * each * sizeof *work);
    for (long i = 0; set->pixels && set->label && work && i < set->count; i++) {
        im_garment(set->pixels + i * each, set->stored_h, set->stored_w, i, work);
        set->label[i] = (int)(i % 10);
    }
    free(work);
    if (!set->pixels || !set->label || !work) return im_fail("images: out of memory for %ld pictures", set->count);
    return im_name_classes(set, 1);
}

/* ---- sets: the public functions ------------------------------------------------------------------------------- */

static int im_load_source(ImageSet *set, const char *source, const ImageSetOptions *o) {
    struct stat info;
    unsigned char head[4] = {0};
    if (!strncmp(source, "fashion-mnist", 13) && (source[13] == 0 || source[13] == ':'))
        return im_load_fashion(set, source + 13, o) && (!o->photo || im_photo(set));
    if (!strncmp(source, "synthetic", 9) && (source[9] == 0 || source[9] == ':'))
        return im_load_synthetic(set, source + 9, o) && (!o->photo || im_photo(set));
    if (stat(source, &info))
        return im_fail("images: %s: %s; expected a folder of pictures, an IDX file, \"fashion-mnist\" or \"synthetic\"",
                       source, strerror(errno));
    if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))
        return im_fail("images: %s: is not a regular file or a folder", source);
    FILE *file = S_ISREG(info.st_mode) ? fopen(source, "rb") : NULL;
    size_t n = file ? fread(head, 1, 4, file) : 0;
    if (file) fclose(file);
    if (!im_is_idx(head, n)) return im_load_folder(set, source, &info, o);
    return im_load_idx(set, source, o->limit, 0) && (!o->photo || im_photo(set));
}

int imageset_load(ImageSet *out, const char *source, const ImageSetOptions *options) {
    ImageSetOptions o = {0};
    if (options) o = *options;
    memset(out, 0, sizeof *out);
    if (strlen(source) >= sizeof out->source) return im_fail("images: %.100s...: the name is too long", source);
    if ((o.channels != 0 && o.channels != 1 && o.channels != 3) || !im_size_ok(o.h ? o.h : 1, o.w ? o.w : 1))
        return im_fail("images: a set of %d x %d pixels and %d channels: sides are 1..%d (0: native), channels 1 or 3",
                       o.w, o.h, o.channels, IM_SIDE);
    if (!im_load_source(out, source, &o)) { imageset_free(out); return 0; }
    out->h = o.h ? o.h : out->stored_h, out->w = o.w ? o.w : out->stored_w;
    out->c = o.channels ? o.channels : out->stored_c, out->policy = o.policy;
    strcpy(out->source, source);
    return 1;
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

int imageset_get(const ImageSet *set, long index, float *pixels, float *mask) {
    if (index < 0 || index >= set->count)
        return im_fail("images: %s: picture %ld does not exist, there are %ld", set->source, index, set->count);
    Image raw, fitted;
    if (!image_new(&raw, set->stored_h, set->stored_w, set->stored_c)) return 0;
    if (set->mask && mask && !im_add_mask(&raw, 0)) { image_free(&raw); return 0; }
    size_t n = (size_t)raw.h * raw.w, all = n * raw.c, size = (size_t)set->h * set->w;
    for (size_t i = 0; i < all; i++) raw.pixels[i] = im_from_byte(set->pixels[index * all + i]);
    for (size_t i = 0; raw.mask && i < n; i++) raw.mask[i] = set->mask[index * n + i] / 255.f;
    int enlarged = raw.mask && set->h > raw.h && set->w > raw.w;
    if (enlarged) image_round_mask(&raw);
    int ok = image_fit(&fitted, &raw, set->h, set->w, set->policy);
    for (size_t i = 0; ok && enlarged && i < size; i++) fitted.mask[i] = fminf(fmaxf(2 * fitted.mask[i] - .5f, 0), 1);
    if (ok) im_channels(pixels, set->c, fitted.pixels, fitted.c, size);
    for (size_t i = 0; ok && mask && i < size; i++) mask[i] = fitted.mask ? fitted.mask[i] : 1;
    image_free(&raw);
    image_free(&fitted);
    return ok;
}

void imageset_free(ImageSet *set) {
    free(set->pixels);
    free(set->mask);
    free(set->label);
    free(set->class_name);
    memset(set, 0, sizeof *set);
}

/* ---- drawn textiles ------------------------------------------------------------------------------------------- */

const char *image_pattern_name(int kind) {
    static const char *const name[IMAGE_PATTERNS] = { "stripes", "tartan", "dots", "chevron", "leaves", "ikat" };
    return kind >= 0 && kind < IMAGE_PATTERNS ? name[kind] : "?";
}

typedef struct { float width; unsigned colour; } ImBand;

/* The colour at t of bands that repeat with the sum of their widths; t >= 0. */
static unsigned im_band(const ImBand *band, int n, float t) {
    float period = 0;
    for (int i = 0; i < n; i++) period += band[i].width;
    t -= period * floorf(t / period);
    for (int i = 0; i < n; i++) if ((t -= band[i].width) < 0) return band[i].colour;
    return band[n - 1].colour;
}

static float im_wave(float t) { return fabsf(2 * (t - floorf(t)) - 1); }        /* a triangle: 1 at 0, 0 at 1/2 */

/* Is (x,y) inside the leaf from (0,0) along angle, `length` long? */
static int im_leaf(float x, float y, float angle, float length) {
    float a = (x * cosf(angle) + y * sinf(angle)) / length, b = (y * cosf(angle) - x * sinf(angle)) / length;
    if (a < 0 || a > 1) return 0;
    return fabsf(b) < .85f * a * (1 - a) * (1.35f - .7f * a) ? (fabsf(b) < .022f && a < .85f ? 2 : 1) : 0;
}

static unsigned im_stripes(float v) {
    static const ImBand band[] = { { 30, 0x1f3a5f }, { 7, 0xf4ead5 }, { 4, 0xc8553d }, { 7, 0xf4ead5 },
                                   { 12, 0x6f9a8d }, { 7, 0xf4ead5 }, { 4, 0xc8553d }, { 7, 0xf4ead5 } };
    return im_band(band, 8, v * 78 * 3);
}

static unsigned im_tartan(float t) {
    static const ImBand band[] = { { 16, 0x8e1f2f }, { 3, 0x16324f }, { 3, 0x8e1f2f }, { 12, 0x16324f },
                                   { 3, 0xe8c468 }, { 12, 0x1d4d3f }, { 3, 0xf1ede2 }, { 12, 0x1d4d3f },
                                   { 3, 0xe8c468 }, { 12, 0x16324f }, { 3, 0x8e1f2f }, { 3, 0x16324f } };
    return im_band(band, 12, t * 85 * 2 + 8);
}

static unsigned im_dots(float u, float v) {
    float y = v * 8, row = floorf(y), x = u * 8 + (fmodf(row, 2) > 0 ? .5f : 0), column = floorf(x);
    float d = hypotf(x - column - .5f, y - row - .5f);
    static const unsigned colour[4] = { 0xe9b44c, 0xf3e9dc, 0xd1495b, 0xf3e9dc };
    return d < .27f ? colour[(int)(column + 2 * floorf(row / 2)) & 3] : 0x22375a;
}

static unsigned im_chevron(float u, float v) {
    static const ImBand band[] = { { 8, 0xe4572e }, { 2, 0xfaf3e3 }, { 8, 0xf2b134 }, { 2, 0xfaf3e3 }, { 8, 0x2e8b8b },
                                   { 2, 0xfaf3e3 }, { 8, 0x17324d }, { 2, 0xfaf3e3 } };
    return im_band(band, 8, v * 80 + 10 * im_wave(u * 4));
}

static unsigned im_leaves(float u, float v) {
    float column = floorf(u * 4), x = u * 4 - column - .5f, y = v * 2 + (fmodf(column, 2) > 0 ? .5f : 0);
    y = 2 * (y - floorf(y)) - 1;                    /* one sprig a cell: x in +-1/2, y in +-1, its tip towards -1 */
    float sway = .05f * sinf(3.1415927f * y);
    int leaf = im_leaf(x - .04f, y + .5f, -1.45f, .46f);
    for (int i = 0; i < 4 && !leaf; i++) {
        float base = .72f - .34f * i, stem = .05f * sinf(3.1415927f * base);
        leaf = im_leaf(x - stem, y - base, -.75f, .52f - .04f * i);
        if (!leaf) leaf = im_leaf(stem - x, y - base + .12f, -.75f, .52f - .04f * i);
        if (leaf == 1 && i % 2) leaf = 3;
    }
    if (!leaf && fabsf(x - sway) < .018f && y > -.55f && y < .92f) return 0x2f6f5e;
    float berry = hypotf(x - .36f, y + .82f) < .055f || hypotf(x + .3f, y - .9f) < .055f;
    return leaf == 1 ? 0x2f6f5e : leaf == 2 ? 0xf5eddc : leaf == 3 ? 0x8fb996 : berry ? 0xd9634c : 0xf5eddc;
}

/* Ikat: diamonds whose warp threads slipped a little before weaving, which frays every edge along them. */
static unsigned im_ikat(float u, float v) {
    static const ImBand ring[] = { { .14f, 0xf6e7cb }, { .22f, 0xd8572a }, { .08f, 0xf6e7cb }, { .26f, 0x1d3461 },
                                   { .08f, 0xe8b04a }, { .26f, 0x7a1f3d }, { .08f, 0xf6e7cb }, { .3f, 0x2a7f86 },
                                   { .1f, 0xf6e7cb }, { .24f, 0x1d3461 }, { .12f, 0xe8b04a }, { 9, 0xd8572a } };
    int thread = (int)(u * 128);
    float slip = .035f * (im_hash(77u + (uint32_t)thread) - .5f);
    slip += .03f * (im_hash(991u + (uint32_t)(thread / 3)) - .5f);                     /* tied in bundles of three */
    return im_band(ring, 12, im_wave((thread + .5f) / 128 * 2) + im_wave((v + slip) * 2));
}

static unsigned im_textile(int kind, float u, float v, int sample) {
    switch (kind) {
        case 0: return im_stripes(v);
        case 1: return im_tartan(sample & 1 ? u : v);           /* warp and weft, seen half and half */
        case 2: return im_dots(u, v);
        case 3: return im_chevron(u, v);
        case 4: return im_leaves(u, v);
        default: return im_ikat(u, v);
    }
}

int image_pattern_synthetic(Image *out, int kind, int size) {
    memset(out, 0, sizeof *out);
    if (kind < 0 || kind >= IMAGE_PATTERNS)
        return im_fail("images: pattern %d: there are 0..%d", kind, IMAGE_PATTERNS - 1);
    if (size < 8 || size > 4096 || size & (size - 1))
        return im_fail("images: a pattern of size %d: expected a power of two, 8..4096", size);
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

#define IM_PARTS "rotation (degrees, 0..180), shift, shift_x, shift_y (of the size, 0..1), shear (radians, 0..1), " \
                 "zoom (0..0.9), flip"

/* Sets one part, "name" or "name=range"; negative range: the default. */
static int im_augment_part(Augment *a, const char *part) {
    static const char *const name[] = { "rotation", "shift_x", "shift_y", "shear", "zoom", "shift" };
    static const float most[] = { 180, 1, 1, 1, .9f, 1 };
    Augment all = augment_default();
    float *to[] = { &a->rotation, &a->shift_x, &a->shift_y, &a->shear, &a->zoom, &a->shift_x };
    float from[] = { all.rotation, all.shift_x, all.shift_y, all.shear, all.zoom, all.shift_x };
    size_t length = strcspn(part, "=");
    if (!strcmp(part, "flip")) return a->flip = 1;
    for (int i = 0; i < 6; i++) {
        if (strncmp(part, name[i], length) || name[i][length]) continue;
        char *end = "";
        float range = part[length] ? strtof(part + length + 1, &end) : from[i];
        if ((part[length] && end == part + length + 1) || *end || !(range >= 0 && range <= most[i]))
            return im_fail("images: augmentation \"%s\": known are " IM_PARTS, part);
        *to[i] = range;
        if (i == 5) a->shift_y = range;
        return 1;
    }
    return im_fail("images: augmentation \"%s\" is unknown; known are all, none, or a list of " IM_PARTS, part);
}

int augment_parse(Augment *out, const char *list) {
    Augment a = {0};
    int ok = 1, word = !strcmp(list, "all") || !strcmp(list, "none");
    if (!strcmp(list, "all")) a = augment_default();
    for (const char *p = list; ok && !word; p++) {
        char part[64];
        size_t length = strcspn(p, ",");
        snprintf(part, sizeof part, "%.*s", length < 63 ? (int)length : 63, p);
        ok = im_augment_part(&a, part);
        p += length;
        if (!*p) break;
    }
    if (ok) *out = a;
    return ok;
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
    static const float grey[3] = { .76f, .76f, .76f };
    memset(out, 0, sizeof *out);
    if (n < 1 || (c != 1 && c != 3) || !im_size_ok(h, w) || scale < 1 || scale > 64 || gap < 0 || gap > 64)
        return im_fail("images: a grid of %d pictures of %d x %d x %d, scale %d, gap %d: expected at least one "
                       "picture, 1 or 3 channels, scale 1..64, gap 0..64", n, w, h, c, scale, gap);
    if (columns < 1) columns = (int)ceil(sqrt((double)n));
    long long rows = (n + (long long)columns - 1) / columns, H = rows * (h * scale + gap) + gap;
    long long W = (long long)columns * (w * scale + gap) + gap;
    if (!im_size_ok(H, W))
        return im_fail("images: a grid of %d pictures would be %lld x %lld pixels: show fewer, or smaller", n, W, H);
    if (!image_new(out, (int)H, (int)W, 3)) return 0;
    im_fill(out, 0, 0, out->h, out->w, grey);
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

/* m = (1 - opacity coverage) m + opacity coverage rgb; coverage (h,w), cleared for the next drawing */
static void im_blend(Image *m, float *coverage, const float rgb[3], float opacity) {
    for (size_t i = 0; i < (size_t)m->h * m->w; i++) {
        float a = opacity * fminf(1, coverage[i]);
        for (int k = 0; k < 3 && a > 0; k++) m->pixels[i * 3 + k] += a * (rgb[k] - m->pixels[i * 3 + k]);
        coverage[i] = 0;
    }
}

enum { IM_PLOT_H = 420, IM_PLOT_W = 900, IM_LEFT = 88, IM_RIGHT = 862, IM_TOP = 66, IM_BOTTOM = 358 };
typedef struct { double low, high, step; } ImAxis;

static int im_finite(double x) { return fabs(x) < 1e300; }                      /* NaN is not < 1e300 */
static double im_plot_x(const PlotSeries *s, long i) { return s->x ? s->x[i] : (double)i; }
static int im_plotted(const PlotSeries *s, long i) { return im_finite(im_plot_x(s, i)) && im_finite(s->y[i]); }

/* step = 1, 2 or 5 times a power of ten, about `ticks` of them between low and high; empty and constant are widened. */
static ImAxis im_axis(double low, double high, int ticks) {
    if (!(low <= high)) low = 0, high = 1;
    if (!(high - low > 1e-9 * fabs(low) + 1e-200)) {
        double wider = fabs(low) < 1e-100 ? 1 : fabs(low) / 2;
        low -= wider, high += wider;
    }
    double rough = (high - low) / ticks, power = pow(10, floor(log10(rough))), ratio = rough / power;
    return (ImAxis){ low, high, power * (ratio < 1.5 ? 1 : ratio < 3.5 ? 2 : ratio < 7.5 ? 5 : 10) };
}

static float im_place(const ImAxis *a, double value, float from, float to) {
    return from + (float)((value - a->low) / (a->high - a->low)) * (to - from);
}

static void im_tick_text(char text[32], const ImAxis *a, double value) {
    int digits = (int)-floor(log10(a->step) + 1e-9), plain = digits < 6 && fmax(fabs(a->low), fabs(a->high)) < 1e6;
    if (fabs(value) < a->step / 1e3) value = 0;
    snprintf(text, 32, plain ? "%.*f" : "%.*g", plain ? (digits > 0 ? digits : 0) : 4, value);
}

static const float im_ink[3] = { -.7f, -.7f, -.7f }, im_rule[3] = { .8f, .8f, .8f };

static void im_ticks(Image *m, const ImAxis *x, const ImAxis *y) {
    char text[32];
    for (double v = ceil(y->low / y->step - 1e-9) * y->step; v <= y->high + 1e-9 * y->step; v += y->step) {
        int row = (int)lroundf(im_place(y, v, IM_BOTTOM, IM_TOP));
        im_fill(m, row, IM_LEFT, 1, IM_RIGHT - IM_LEFT, im_rule);
        im_tick_text(text, y, v);
        image_text(m, row - 7, IM_LEFT - 10 - 12 * (int)strlen(text), text, 2, im_ink);
    }
    for (double v = ceil(x->low / x->step - 1e-9) * x->step; v <= x->high + 1e-9 * x->step; v += x->step) {
        int column = (int)lroundf(im_place(x, v, IM_LEFT, IM_RIGHT));
        im_fill(m, IM_TOP, column, IM_BOTTOM - IM_TOP, 1, im_rule);
        im_fill(m, IM_BOTTOM, column, 6, 1, im_ink);
        im_tick_text(text, x, v);
        image_text(m, IM_BOTTOM + 12, column - 6 * (int)strlen(text), text, 2, im_ink);
    }
    im_fill(m, IM_BOTTOM, IM_LEFT, 1, IM_RIGHT - IM_LEFT, im_ink);
    im_fill(m, IM_TOP, IM_LEFT, IM_BOTTOM - IM_TOP + 1, 1, im_ink);
}

/* The line through (x[i], y[i]), broken where there is no number. Of more points than pixels only the lowest and the
 * highest of each bucket are drawn, so that no spike is lost. */
static void im_plot_line(float *coverage, const PlotSeries *s, const double *y, const ImAxis *ax, const ImAxis *ay,
                         float r) {
    long bucket = s->n / 3000 + 1;
    float old_x = 0, old_y = 0;
    int connected = 0;
    for (long start = 0; start < s->n; start += bucket) {
        long pick[2] = { -1, -1 }, end = start + bucket < s->n ? start + bucket : s->n;
        for (long i = start; i < end; i++) {
            if (!im_plotted(s, i) || !im_finite(y[i])) continue;
            if (pick[0] < 0 || y[i] < y[pick[0]]) pick[0] = i;
            if (pick[1] < 0 || y[i] > y[pick[1]]) pick[1] = i;
        }
        if (pick[0] < 0) { connected = 0; continue; }
        for (int k = 0; k < 2; k++) {
            long i = (pick[0] < pick[1]) == (k == 0) ? pick[0] : pick[1];
            float px = im_place(ax, im_plot_x(s, i), IM_LEFT, IM_RIGHT), py = im_place(ay, y[i], IM_BOTTOM, IM_TOP);
            im_line(coverage, IM_PLOT_H, IM_PLOT_W, connected ? old_x : px, connected ? old_y : py, px, py, r);
            old_x = px, old_y = py, connected = 1;
        }
    }
}

/* Noisy: it goes up and down at least eight times its own range. */
static int im_noisy(const PlotSeries *s) {
    double travelled = 0, low = INFINITY, high = -INFINITY, last = NAN;
    for (long i = 0; i < s->n; i++) {
        if (!im_plotted(s, i)) continue;
        if (im_finite(last)) travelled += fabs(s->y[i] - last);
        last = s->y[i], low = fmin(low, last), high = fmax(high, last);
    }
    return s->n >= 50 && travelled > 8 * (high - low);
}

/* smooth[i] = the mean of the numbers within n/60 of i, by running sums; NaN where y has none */
static int im_smooth(double *smooth, const PlotSeries *s) {
    double *sum = calloc((size_t)s->n + 1, sizeof *sum), *count = calloc((size_t)s->n + 1, sizeof *count);
    for (long i = 0; sum && count && i < s->n; i++) {
        int ok = im_plotted(s, i);
        sum[i + 1] = sum[i] + (ok ? s->y[i] : 0), count[i + 1] = count[i] + ok;
    }
    long reach = s->n / 60 + 1;
    for (long i = 0; sum && count && i < s->n; i++) {
        long from = i > reach ? i - reach : 0, to = i + reach < s->n ? i + reach + 1 : s->n;
        smooth[i] = im_plotted(s, i) ? (sum[to] - sum[from]) / (count[to] - count[from]) : NAN;
    }
    int ok = sum && count;
    free(sum);
    free(count);
    return ok;
}

static int im_plot_series(Image *m, float *coverage, const PlotSeries *s, const ImAxis *ax, const ImAxis *ay,
                          const float *rgb) {
    int noisy = im_noisy(s);
    im_plot_line(coverage, s, s->y, ax, ay, noisy ? .6f : 1.1f);
    im_blend(m, coverage, rgb, noisy ? .3f : 1);
    if (!noisy) return 1;
    double *smooth = malloc((size_t)s->n * sizeof *smooth);
    int ok = smooth && im_smooth(smooth, s);
    if (ok) im_plot_line(coverage, s, smooth, ax, ay, 1.2f), im_blend(m, coverage, rgb, 1);
    free(smooth);
    return ok;
}

/* Names with a swatch of their colour, right-aligned above the plot. */
static void im_legend(Image *m, const PlotSeries *series, int count, const float (*rgb)[3]) {
    int x = IM_RIGHT;
    for (int i = 0; i < count; i++) x -= 12 * (int)strlen(series[i].name) + 50;
    for (int i = 0; i < count; i++) {
        im_fill(m, IM_TOP - 19, x + 16, 4, 24, rgb[i]);
        image_text(m, IM_TOP - 24, x + 48, series[i].name, 2, im_ink);
        x += 12 * (int)strlen(series[i].name) + 50;
    }
}

int image_plot(Image *out, const PlotSeries *series, int count, const char *title, const char *xlabel) {
    static const float white[3] = { 1, 1, 1 }, rgb[8][3] = {    /* Okabe and Ito: told apart by the colour-blind */
        { -1, -.106f, .396f }, { .671f, -.263f, -1 }, { -1, .239f, -.098f }, { .6f, -.051f, .31f },
        { .804f, .247f, -1 }, { -.325f, .412f, .827f }, { -1, -1, -1 }, { 0, 0, 0 } };
    double low_x = INFINITY, high_x = -INFINITY, low_y = INFINITY, high_y = -INFINITY;
    memset(out, 0, sizeof *out);
    if (count < 0 || count > 8) return im_fail("images: a plot of %d series: at most 8", count);
    for (int k = 0; k < count; k++) for (long i = 0; i < series[k].n; i++) if (im_plotted(&series[k], i)) {
        double x = im_plot_x(&series[k], i), y = series[k].y[i];
        low_x = fmin(low_x, x), high_x = fmax(high_x, x), low_y = fmin(low_y, y), high_y = fmax(high_y, y);
    }
    ImAxis ax = im_axis(low_x, high_x, 8), ay = im_axis(low_y, high_y, 5);
    double next = ceil(ax.high / ax.step) * ax.step;
    if (next - ax.high < .02 * (ax.high - ax.low)) ax.high = next;              /* 9999 steps end at the tick 10000 */
    ay.low = floor(ay.low / ay.step + 1e-9) * ay.step, ay.high = ceil(ay.high / ay.step - 1e-9) * ay.step;
    float *coverage = calloc((size_t)IM_PLOT_H * IM_PLOT_W, sizeof *coverage);
    int ok = coverage ? image_new(out, IM_PLOT_H, IM_PLOT_W, 3) : im_fail("images: out of memory for a plot");
    if (ok) {
        im_fill(out, 0, 0, out->h, out->w, white);
        im_ticks(out, &ax, &ay);
        image_text(out, 14, IM_LEFT, title ? title : "", 2, im_ink);
        if (xlabel)
            image_text(out, IM_BOTTOM + 38, (IM_LEFT + IM_RIGHT) / 2 - 6 * (int)strlen(xlabel), xlabel, 2, im_ink);
        im_legend(out, series, count, rgb);
        if (!(low_x <= high_x))
            image_text(out, (IM_TOP + IM_BOTTOM) / 2, (IM_LEFT + IM_RIGHT) / 2 - 42, "no data", 2, im_ink);
    }
    for (int k = 0; ok && k < count; k++)
        if (!im_plot_series(out, coverage, &series[k], &ax, &ay, rgb[k]))
            ok = im_fail("images: out of memory for a plot");
    if (!ok) image_free(out);
    free(coverage);
    return ok;
}

#endif /* IMAGES_IMPLEMENTATION */
