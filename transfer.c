/* transfer.c: the program `transfer`: a trained style generator repaints garments of any size.
 *
 * The walk of one picture:
 *   load it -> mask: where is the garment? -> its luminance, at the size at which the generator paints -> a print
 *   -> enlarge the print -> folds and shadows of the garment on it -> laid over the picture where the mask is.
 * Around it: a list of garments from a file, a folder or a data set, and a contact sheet of what became of them.
 * Exit status: 0 done (of a folder: something done), 1 bad input, 2 usage. Results are written whole or not at all. */
#define _GNU_SOURCE
#define IMAGES_IMPLEMENTATION
#define OPTIONS_IMPLEMENTATION
#include "gan.h"
#include "images.h"
#include "options.h"
#include "tiled.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

/* ---------------------------------------------------------------------------------------------------------- options */

static const char *generator, *content, *output, *sheet, *mask_file, *background, *device, *data_dir;
static long size, seed, threads;
static double motif, shade;
static int help;

static Option table[] = {
    { "--generator", 's', &generator, "", 0, 0, "a run's folder, or its checkpoint, made by ./train --recipe style", 0 },
    { "--content", 's', &content, "", 0, 0, "a picture, a folder of pictures, fashion-mnist:LIST or synthetic:LIST", 0 },
    { "--output", 's', &output, "", 0, 0, "a .png or .jpg file; a folder where there are several garments", 0 },
    { "--sheet", 's', &sheet, "", 0, 0, "also a contact sheet: each garment next to itself with the print", 0 },
    { "--size", 'i', &size, "0", 0, 16384, "longer side of the result; 0: the picture's own, but small ones are enlarged", 0 },
    { "--scale", 'd', &motif, "0", 0, 64, "size of the motifs, 1: as many pixels as in training; 0: by the garment's size", 0 },
    { "--shade", 'd', &shade, "0.85", 0, 1, "how strongly folds and shadows of the garment show on the print", 0 },
    { "--mask", 's', &mask_file, "", 0, 0, "a picture of the content's size, white where the print belongs", 0 },
    { "--background", 's', &background, "keep", 0, 0, "around the garment: keep the picture, or white", 0 },
    { "--seed", 'i', &seed, "1", 0, 9007199254740992.0, "another seed draws another print", 0 },
    { "--device", 's', &device, "cpu", 0, 0, "cpu, or naive: the textbook loops", 0 },
    { "--threads", 'i', &threads, "0", 0, 1024, "OpenMP threads, 0: all; results do not depend on it", 0 },
    { "--data-dir", 's', &data_dir, "", 0, 0, "where Fashion-MNIST lies (default /usr/share/datasets/fashion-mnist)", 0 },
    { "--help", 'f', &help, "0", 0, 1, "this text", 0 },
    { 0 }
};

static void print_help(void) {
    printf("usage: ./transfer --generator RUN --content GARMENTS --output FILE [options]\n\n"
           "Prints what a generator of ./train --recipe style has learned onto garments of any size.\n\n"
           "  ./transfer --generator runs/style --content shirt.jpg --output print.png\n"
           "  ./transfer --generator runs/style --content fashion-mnist:3-9,17 --output prints --sheet sheet.png\n\n"
           "The print goes where the garment is: where --mask is white, else where the picture is opaque, else where it\n"
           "stands out from a background of nearly one colour, else everywhere.\n"
           "LIST names test pictures: 17, or 3-9, or 3-9,17. From a folder all .png, .jpg, .bmp and .tga files are taken,\n"
           "those in subfolders too; their results lie flat in --output: sub/shirt.jpg becomes sub-shirt.png.\n"
           "The generator learned its motifs on small pictures. --scale 2 paints at half the size and enlarges the print:\n"
           "larger, softer motifs; --scale 0.5 gives smaller ones. Folds, shadows and edges stay as sharp as the picture.\n\n"
           "options:\n");
    options_help(table, stdout);
}

/* One line on standard error, whatever a file name holds. Returns 0. */
__attribute__((format(printf, 1, 2)))
static int fail(const char *format, ...) {
    char line[8192];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    for (char *c = line; *c; c++)
        if (iscntrl((unsigned char)*c)) *c = '?';
    fflush(stdout);
    fprintf(stderr, "transfer: %s\n", line);
    return 0;
}
static void usage(const char *what) {
    fail("%s", what);
    exit(2);
}
static int fail_image(void) {                             /* images.h begins its lines with its own name */
    const char *why = images_error();
    return fail("%s", strncmp(why, "images: ", 8) ? why : why + 8);
}

static int is_folder(const char *path) {
    struct stat s;
    return !stat(path, &s) && S_ISDIR(s.st_mode);
}
static int same_file(const char *a, const char *b) {      /* links and "./" included */
    struct stat s, t;
    return *a && *b && !stat(a, &s) && !stat(b, &t) && s.st_dev == t.st_dev && s.st_ino == t.st_ino;
}
static int ends_in(const char *path, const char *const *endings) {
    size_t n = strlen(path);
    for (; *endings; endings++)
        if (n > strlen(*endings) && !strcasecmp(path + n - strlen(*endings), *endings)) return 1;
    return 0;
}

/* -------------------------------------------------------------------------------------------------------- the generator */

static StFile checkpoint;
static char checkpoint_path[4200];
static const Ops *ops;
static Gan gan;                                           /* only gan.g is used: the generator for pictures of (g_h, g_w) */
static int g_h, g_w, channels, trained = 64;

/* The checkpoint, and how many channels its pictures have: the outputs of G's last convolution, weights (K,K,C,O). */
static int open_generator(void) {
    int last = -1, node;
    snprintf(checkpoint_path, sizeof checkpoint_path, is_folder(generator) ? "%.4000s/checkpoint.safetensors" : "%.4000s", generator);
    if (!st_open(&checkpoint, checkpoint_path)) return fail("%s", st_error());
    const char *recipe = st_meta(&checkpoint, "recipe"), *side = st_meta(&checkpoint, "--size"), *step = st_meta(&checkpoint, "step");
    if (!recipe || strcmp(recipe, "style"))
        return fail("%s: %s%s, expected a checkpoint of ./train --recipe style", checkpoint_path,
                    recipe ? "made with --recipe " : "its metadata names no recipe", recipe ? recipe : "");
    for (int i = 0; i < checkpoint.count; i++) {
        const StTensor *t = &checkpoint.tensors[i];
        if (t->rank == 4 && sscanf(t->name, "g.%d.conv2d.weight", &node) == 1 && node > last)
            last = node, channels = t->shape[3] == 1 || t->shape[3] == 3 ? (int)t->shape[3] : 0;
    }
    if (!channels)
        return fail("%s: its generator does not end in a convolution to 1 or 3 channels: train it again with --recipe style", checkpoint_path);
    if (side && atoi(side) > 0) trained = atoi(side);
    printf("%s: recipe style, step %s, learned at %d x %d pixels\n", checkpoint_path, step ? step : "unknown", trained, trained);
    return 1;
}

/* Bytes that a program may still ask for; 0: this system does not say. */
static double available_bytes(void) {
    char line[256];
    double kilobytes = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %lf", &kilobytes) == 1) break;
    if (file) fclose(file);
    return 1024 * kilobytes;
}

/* The generator for pictures of (h,w): weights from the checkpoint, noise from the seed. */
static int fit_generator(int h, int w) {
    if (gan.g.nodes && g_h == h && g_w == w) return 1;
    if (gan.g.nodes) net_free(&gan.g);
    style_generator(&gan.g, ops, 1, h, w, channels, &gan);
    double need = net_bytes(&gan.g, 0) + net_scratch_bytes(&gan.g), have = available_bytes();
    printf("painting at %d x %d pixels takes %.0f MB\n", w, h, need / 1e6);
    fflush(stdout);
    g_h = h, g_w = w;
    int room = !(have > 0 && need > have) && net_finish(&gan.g, 0);
    if (room && net_load(&gan.g, &checkpoint, checkpoint_path, "style")) {
        for (int i = 0; i < gan.noises; i++) {
            const Node *z = &gan.g.node[gan.g_noise[i]];
            ops->random_normal(z->y, (long)z->h * z->w, (uint64_t)seed, STREAM(STREAM_SAMPLE, i));
        }
        return 1;
    }
    net_free(&gan.g);
    if (room) return fail("%s", gan_error());
    return fail("painting at %d x %d pixels takes %.0f MB of memory, %.0f MB are free: give a smaller --size or a larger --scale",
                w, h, need / 1e6, have / 1e6);
}

/* index i of a row of n pixels that is continued by its mirror image on both sides */
static int mirrored(int i, int n) {
    i = (i % (2 * n) + 2 * n) % (2 * n);
    return i < n ? i : 2 * n - 1 - i;
}

/* What the generator makes of a grey picture of any height and width. Its convolutions see a mirror image beyond the edges,
 * at least MARGIN pixels wide, so that no border shows; this also fills up to the multiple it needs. */
static int generate(Image *print, const Image *grey) {
    enum { MARGIN = 16 };
    int h = (grey->h + 2 * MARGIN + STYLE_MULTIPLE - 1) / STYLE_MULTIPLE * STYLE_MULTIPLE;
    int w = (grey->w + 2 * MARGIN + STYLE_MULTIPLE - 1) / STYLE_MULTIPLE * STYLE_MULTIPLE;
    Image wide, painted;
    if (!fit_generator(h, w)) return 0;
    if (!image_new(&wide, h, w, 1)) return fail_image();
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            wide.pixels[(long)y * w + x] = grey->pixels[(long)mirrored(y - MARGIN, grey->h) * grey->w + mirrored(x - MARGIN, grey->w)];
    ops->upload(gan.g.node[gan.g_content].y, wide.pixels, (long)h * w);
    image_free(&wide);
    net_forward(&gan.g, 0);
    if (!image_new(&painted, h, w, channels)) return fail_image();
    ops->download(painted.pixels, gan.g.node[gan.g_picture].y, (long)h * w * channels);
    int good = image_crop(print, &painted, MARGIN, MARGIN, grey->h, grey->w);
    image_free(&painted);
    return good ? 1 : fail_image();
}

/* --------------------------------------------------------------------------------------------------------- one garment */

/* (h,w,1) from a picture: .299 R + .587 G + .114 B */
static int luminance(Image *grey, const Image *picture) {
    if (!image_new(grey, picture->h, picture->w, 1)) return fail_image();
    for (long i = 0; i < (long)grey->h * grey->w; i++) {
        const float *p = picture->pixels + i * picture->c;
        grey->pixels[i] = picture->c == 1 ? p[0] : .299f * p[0] + .587f * p[1] + .114f * p[2];
    }
    return 1;
}

/* Where the print belongs goes into picture->mask. Says how it was found, NULL after a failure. */
static const char *find_mask(Image *picture, const char *name) {
    Image white, grey;
    if (!*mask_file) {
        int found = image_garment_mask(picture);
        if (!found) fail_image();
        return !found ? NULL : found == 1 ? "what stands out from the background" : found == 2 ? "the opaque part"
             : "all of it (the background is not uniform: --mask would say where)";
    }
    if (!image_load(&white, mask_file)) return fail_image(), NULL;
    int same = white.h == picture->h && white.w == picture->w, good = same && luminance(&grey, &white);
    if (!same)
        fail("%s: this mask has %d x %d pixels, %s has %d x %d: expected the same size", mask_file, white.w, white.h, name,
             picture->w, picture->h);
    image_free(&white);
    if (!good) return NULL;
    for (long i = 0; i < (long)grey.h * grey.w; i++) grey.pixels[i] = (grey.pixels[i] + 1) / 2;
    free(picture->mask);
    picture->mask = grey.pixels;
    return "--mask";
}

/* The picture at the size of the result. An enlarged mask gets back an edge about one pixel wide. */
static int set_size(Image *picture) {
    enum { SMALL = 128, ENLARGED = 256 };
    Image other;
    long longer = picture->h > picture->w ? picture->h : picture->w, want = size ? size : longer < SMALL ? ENLARGED : longer;
    double by = (double)want / (double)longer;
    if (want == longer) return 1;
    int h = (int)lround(picture->h * by), w = (int)lround(picture->w * by);
    if (!image_resize(&other, picture, h > 1 ? h : 1, w > 1 ? w : 1)) return fail_image();
    for (long i = 0; by > 1 && i < (long)other.h * other.w; i++)
        other.mask[i] = fminf(fmaxf((other.mask[i] - .5f) * (float)by + .5f, 0), 1);
    image_free(picture);
    *picture = other;
    return 1;
}

/* The smallest box with all of the garment */
typedef struct Box { int y, x, h, w; } Box;
static Box garment_box(const Image *picture) {
    int top = picture->h, left = picture->w, bottom = -1, right = -1;
    for (int y = 0; y < picture->h; y++)
        for (int x = 0; x < picture->w; x++) {
            if (picture->mask[(long)y * picture->w + x] < .02f) continue;
            top = y < top ? y : top, bottom = y;
            left = x < left ? x : left, right = x > right ? x : right;
        }
    return (Box){ top, left, bottom - top + 1, right - left + 1 };
}

/* The luminance in [0,1] below which `share` of the garment lies */
static float quantile(const Image *grey, const float *mask, double share) {
    double histogram[256] = {0}, total = 0, sum = 0;
    for (long i = 0; i < (long)grey->h * grey->w; i++) {
        int bin = (int)((grey->pixels[i] + 1) * 127.5f + .5f);
        histogram[bin < 0 ? 0 : bin > 255 ? 255 : bin] += mask[i], total += mask[i];
    }
    for (int bin = 0; bin < 256; bin++)
        if ((sum += histogram[bin]) >= share * total) return (float)bin / 255;
    return 1;
}

static int extend(Image *grey) {      /* XXX experiment */
    if (grey->h * grey->w <= 4) {
        float s = 0, m = 1e-6f;
        for (int i = 0; i < grey->h * grey->w; i++) s += grey->mask[i] * grey->pixels[i], m += grey->mask[i];
        for (int i = 0; i < grey->h * grey->w; i++) grey->pixels[i] = s / m;
        return 1;
    }
    Image half, back, p; 
    image_copy(&p, grey);
    for (int i = 0; i < grey->h * grey->w; i++) p.pixels[i] *= p.mask[i];
    image_resize(&half, &p, (grey->h + 1) / 2, (grey->w + 1) / 2);
    for (int i = 0; i < half.h * half.w; i++) if (half.mask[i] > 0) half.pixels[i] /= half.mask[i], half.mask[i] = fminf(1, half.mask[i] * 4);
    extend(&half);
    image_resize(&back, &half, grey->h, grey->w);
    for (int i = 0; i < grey->h * grey->w; i++) grey->pixels[i] = grey->mask[i] * grey->pixels[i] + (1 - grey->mask[i]) * back.pixels[i];
    return 1;
}

/* The print for the garment inside `box` of a grey picture */
static int paint_box(Image *print, const Image *grey, Box box) {
    Image cut, small, painted;
    double by = motif > 0 ? motif : 1;
    int h = (int)lround(box.h / by), w = (int)lround(box.w / by);
    if (!image_crop(&cut, grey, box.y, box.x, box.h, box.w)) return fail_image();
    int good = image_resize(&small, &cut, h > 1 ? h : 1, w > 1 ? w : 1);
    image_free(&cut);
    if (!good) return fail_image();
    int mode = getenv("FILL") ? atoi(getenv("FILL")) : 0;
    if (mode == 0)
        for (long i = 0; i < (long)small.h * small.w; i++)      /* on white, as the garments it learned from */
            small.pixels[i] = small.mask[i] * small.pixels[i] + (1 - small.mask[i]);
    else extend(&small);
    good = generate(&painted, &small);
    image_free(&small);
    if (!good) return 0;
    good = image_resize(print, &painted, box.h, box.w);
    image_free(&painted);
    return good ? 1 : fail_image();
}

/* picture becomes the result: inside its mask the print, darkened where the garment is darker than its light parts. */
static int lay_print(Image *picture, int on_white) {
    Image grey, print;
    Box box = garment_box(picture);
    if (box.h < 1) return fail("the mask is empty: nothing to print on");
    if (!luminance(&grey, picture)) return 0;
    grey.mask = picture->mask;
    int good = paint_box(&print, &grey, box);
    float light = fmaxf(quantile(&grey, picture->mask, .8), .05f), s = (float)shade;
    for (long y = 0; good && y < picture->h; y++)
        for (long x = 0; x < picture->w; x++) {
            long i = y * picture->w + x, in = (y - box.y) * box.w + x - box.x;
            int inside = y >= box.y && y < box.y + box.h && x >= box.x && x < box.x + box.w;
            float m = inside ? picture->mask[i] : 0, l = (grey.pixels[i] + 1) / 2;
            float dark = 1 - s + s * fminf(fmaxf(l / light, .15f), 1.25f);
            for (int k = 0; k < 3; k++) {
                float under = on_white ? 1 : picture->pixels[i * 3 + k];
                float over = inside ? fminf((print.pixels[in * print.c + (print.c == 3 ? k : 0)] + 1) / 2 * dark, 1) : 0;
                picture->pixels[i * 3 + k] = m * (2 * over - 1) + (1 - m) * under;
            }
        }
    grey.mask = NULL;
    image_free(&grey);
    if (good) image_free(&print);
    return good;
}

int main(int argc, char **argv) {
    options_parse("transfer", table, argc, argv);
    if (help) return print_help(), 0;
    (void)usage, (void)same_file; (void)ends_in;
    ops = &ops_tiled;
    if (!open_generator()) return 1;
    Image p;
    if (!image_load(&p, content)) return fail_image(), 1;
    const char *how = find_mask(&p, content);
    if (!how || !set_size(&p)) return 1;
    puts(how);
    if (!lay_print(&p, !strcmp(how, "the opaque part"))) return 1;
    if (!image_save(&p, output)) return fail_image(), 1;
    return 0;
}
