/* formats.h: pictures in files, and IDX files, which hold whole data sets.
 *
 * A file is checked before it is decoded: its size comes from its header, and nothing larger is
 * allocated. A file that ends early is an error, never half a picture.
 * FORMATS_IMPLEMENTATION needs stb_image.h, stb_image_write.h (-isystem), the code of files.h. */
#ifndef FORMATS_H
#define FORMATS_H
#include "images/image.h"
#include <stdint.h>

/* PNG, JPEG, BMP, GIMP pattern (.pat; sets tileable), known by their first bytes, or TGA, known by
 * its name. Always RGB, c = 3. Transparency is composited on white, alpha*rgb + (1 - alpha)*white,
 * and alpha becomes the mask if any of it is below 250/255. EXIF's orientation is applied. */
int image_load(Image *out, const char *path);
/* The same from n bytes in memory, which it changes; path: what messages call them, and .tga */
int image_decode(Image *out, const char *path, unsigned char *bytes, size_t n);

/* Does the file begin like one that image_load reads? If not, error_text() names what it is. */
int image_known(const char *path);
#define IMAGE_FORMATS "PNG, JPEG, BMP, TGA (named .tga) and GIMP patterns (.pat)"

/* c = 1 or 3, without the mask: JPEG (quality 92) if path ends in .jpg or .jpeg, else PNG. The file
 * is replaced whole or not at all. */
int image_save(const Image *image, const char *path);

/* An RGB picture that lies on white, cut out by its mask: a PNG whose alpha is the mask m and whose
 * colors, in [-1,1], are (x - (1 - m)) / m; on white it looks as the picture did. */
int image_save_cutout(const Image *image, const char *path);

/* IDX, plain or in gzip: the bytes 0 0 8 dims, each dimension as a big-endian 32-bit number, then
 * a byte a value: labels (size[0]) for dims = 1, pictures (size[0],size[1],size[2]) for dims = 3.
 * The values begin at (*data)[4 + 4 dims]; free(*data) afterwards. After an error it is NULL. */
int idx_read(unsigned char **data, const char *path, int dims, uint32_t size[3]);

/* Adds .gz to the path, which has room for it, or takes it off, if only that file exists. 0: none
 * does. */
int idx_find(char *path);
#endif

#if defined(FORMATS_IMPLEMENTATION) && !defined(FORMATS_IMPLEMENTED)
#define FORMATS_IMPLEMENTED
#include "core/files.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_ONLY_TGA
#define STBI_NO_STDIO
#define STBI_WRITE_NO_STDIO
#define STBI_MAX_DIMENSIONS 16384
#define STBI_MALLOC(n) calloc(1, n)     /* zeros: stb may read JPEG tables that no file has set */
#define STBI_REALLOC(p, n) realloc(p, n)
#define STBI_FREE(p) free(p)
#include "stb_image.h"
#include "stb_image_write.h"

static int im_ends_with(const char *path, const char *end) {
    size_t n = strlen(path), m = strlen(end);
    return n >= m && !strcasecmp(path + n - m, end);
}

static uint32_t im_be16(const unsigned char *b) { return (uint32_t)b[0] << 8 | b[1]; }
static uint32_t im_be32(const unsigned char *b) { return im_be16(b) << 16 | im_be16(b + 2); }
static uint32_t im_le16(const unsigned char *b) { return (uint32_t)b[1] << 8 | b[0]; }
static uint32_t im_le32(const unsigned char *b) { return im_le16(b + 2) << 16 | im_le16(b); }

/* CRC-32 of PNG and gzip: the remainder of the bytes, a polynomial over 0 and 1, low bits first */
static uint32_t im_crc32(const unsigned char *b, size_t n) {
    uint32_t table[256], crc = 0xffffffff;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320 : 0);
    }
    for (size_t i = 0; i < n; i++) crc = crc >> 8 ^ table[(crc ^ b[i]) & 255];
    return ~crc;
}

/* The five checks read the size from the header into h, w and return NULL if the file is whole,
 * else what is wrong with it. stb would decode most files that end early to half a picture. */
static const char *const im_cut = "the file ends early (was it copied or downloaded completely?)";

static const char *im_check_png(unsigned char *b, size_t n, long long *h, long long *w) {
    if (n < 33) return im_cut;
    *w = im_be32(b + 16), *h = im_be32(b + 20);                 /* deflate packs 1032:1 at most */
    if (image_size_ok(*h, *w) && *h * *w * b[24] / 8 / 1032 > (long long)n) return im_cut;
    for (size_t p = 8; n - p >= 12; ) {                         /* chunk: length, type, data, CRC */
        size_t length = im_be32(b + p);
        int needed = !(b[p + 4] & 32);                          /* not text, time, colour profile */
        if (length > n - p - 12) return im_cut;
        if (!memcmp(b + p + 4, "CgBI", 4)) return "is a PNG that only Apple's programs read (CgBI)";
        if (needed && im_crc32(b + p + 4, length + 4) != im_be32(b + p + 8 + length))
            return "the file is damaged (checksum)";
        if (!memcmp(b + p + 4, "IEND", 4)) return NULL;
        p += length + 12;
    }
    return im_cut;
}

static const char *im_check_jpeg(unsigned char *b, size_t n, long long *h, long long *w) {
    int frame = 0;
    for (size_t p = 2, length; n - p >= 2; p += length) {
        unsigned marker = b[p + 1];
        length = b[p] != 0xff || marker == 0xff || marker == 0 ? 1      /* padding, coded data */
               : marker == 1 || (marker >= 0xd0 && marker <= 0xd8) ? 2 : 0;     /* no segment */
        if (length) continue;
        if (marker == 0xd9 && !frame) return "there is no picture in it";
        /* a camera may put restart markers before the end, which stb does not expect there */
        for (size_t q = p; marker == 0xd9 && b[q - 2] == 0xff && (b[q - 1] & 0xf8) == 0xd0; q -= 2)
            b[q - 1] = 0xff;
        if (marker == 0xd9)                     /* the end: a block of 8x8 takes at least a bit */
            return *h * *w / 512 > (long long)n ? im_cut : NULL;
        if (n - p < 4 || (length = 2 + im_be16(b + p + 2)) < 4 || length > n - p) return im_cut;
        int start = marker >= 0xc0 && marker <= 0xcf && (marker == 0xc0 || marker % 4);
        if (start && !frame && length >= 9)
            frame = 1, *h = im_be16(b + p + 5), *w = im_be16(b + p + 7);
        /* Huffman tables: a byte, 16 counts, that many symbols. If there are more than 256, stb
         * before 2.28 writes beyond its own */
        for (size_t q = p + 4, symbols; marker == 0xc4 && q < p + length; q += 17 + symbols) {
            symbols = 0;
            for (int i = 1; i <= 16 && n - q >= 17; i++) symbols += b[q + i];
            if (symbols > 256) return "the file is damaged (Huffman table)";
            if (n - q < 17 + symbols) return im_cut;
        }
    }
    return im_cut;
}

static const char *im_check_bmp(unsigned char *b, size_t n, long long *h, long long *w) {
    if (n < 30) return im_cut;
    int old = im_le32(b + 14) == 12;
    *w = old ? (int)im_le16(b + 18) : (int32_t)im_le32(b + 18);
    *h = old ? (int)im_le16(b + 20) : llabs((int32_t)im_le32(b + 22));  /* < 0: rows from the top */
    if (!image_size_ok(*h, *w)) return NULL;
    if (!old && n >= 34 && (b[30] == 1 || b[30] == 2))
        return "is a run-length BMP, which is not read: save it uncompressed, or as PNG";
    long long row = (*w * im_le16(b + (old ? 24 : 28)) + 31) / 32 * 4;
    return im_le32(b + 10) + row * *h > (long long)n ? im_cut : NULL;
}

static const char *im_check_tga(unsigned char *b, size_t n, long long *h, long long *w) {
    if (n < 18) return im_cut;
    *w = im_le16(b + 12), *h = im_le16(b + 14);
    size_t pixels = *w * *h, each = (b[16] + 7) / 8;
    size_t p = 18 + b[0] + (b[1] ? im_le16(b + 5) * ((b[7] + 7) / 8) : 0);
    if (b[2] < 8) return p + pixels * each > n ? im_cut : NULL;
    for (size_t left = pixels, run; left > 0; left -= run < left ? run : left) {    /* packets */
        if (p >= n) return im_cut;
        run = (b[p] & 127) + 1;
        p += 1 + (b[p] & 128 ? each : run * each);
    }
    return p > n ? im_cut : NULL;
}

/* GIMP pattern: six big-endian numbers of 32 bits, header size, version 1, width, height, channels,
 * 'GPAT'; then raw pixels */
static const char *im_check_pat(unsigned char *b, size_t n, long long *h, long long *w) {
    *w = im_be32(b + 8), *h = im_be32(b + 12);
    uint32_t header = im_be32(b), channels = im_be32(b + 16);
    if (!image_size_ok(*h, *w)) return NULL;
    if (im_be32(b + 4) != 1 || channels < 1 || channels > 4 || header < 24)
        return "not a version 1 GIMP pattern";
    return header + (unsigned long long)*w * *h * channels > n ? im_cut : NULL;
}

/* The bytes that a format has from `at` on (TGA has none: the file's name must do), and its check;
 * NULL: it is not read, and the message names it */
static const struct ImFormat {
    size_t at;
    const char *magic, *name;
    const char *(*check)(unsigned char *, size_t, long long *h, long long *w);
} im_format[] = {
    { 0, "\x89PNG\r\n\x1a\n", "PNG", im_check_png }, { 0, "\xff\xd8\xff", "JPEG", im_check_jpeg },
    { 20, "GPAT", "a pattern", im_check_pat }, { 0, "BM", "BMP", im_check_bmp },
    { 0, "", "TGA", im_check_tga }, { 8, "WEBP", "WebP", NULL }, { 4, "ftyphei", "HEIC", NULL },
    { 4, "ftyphev", "HEIC", NULL }, { 4, "ftypmif", "HEIF", NULL }, { 4, "ftypavi", "AVIF", NULL },
    { 4, "ftyp", "a video", NULL }, { 0, "GIF8", "GIF", NULL }, { 0, "II*", "TIFF", NULL },
    { 0, "MM", "TIFF", NULL }, { 4, "JXL ", "JPEG XL", NULL }, { 0, "\xff\x0a", "JPEG XL", NULL },
    { 0, "8BPS", "Photoshop's PSD", NULL }, { 0, "%PDF", "PDF", NULL }, { 0, "<svg", "SVG", NULL },
    { 0, "<?xml", "XML, perhaps SVG", NULL }, { 0, "PK", "a ZIP archive", NULL },
};

static const struct ImFormat *im_find_format(const char *path, const unsigned char *b, size_t n) {
    for (size_t i = 0; i < sizeof im_format / sizeof *im_format; i++) {
        const struct ImFormat *f = &im_format[i];
        size_t length = strlen(f->magic);
        if (n < f->at + length || memcmp(b + f->at, f->magic, length)) continue;
        if (!f->check)
            return fail("%s: is %s, which is not read: convert it to PNG or JPEG", path, f->name),
                   NULL;
        if (length || im_ends_with(path, ".tga")) return f;
    }
    return fail("%s: not a known picture; known are " IMAGE_FORMATS, path), NULL;
}

/* EXIF's orientation of a JPEG (in its segment APP1) or a PNG (in its chunk eXIf) that has passed
 * its check; 1: none, or damaged. It is a TIFF file of which only the entry 0x112 counts. */
static int im_orientation(const unsigned char *b, size_t n) {
    const unsigned char *tiff = NULL;
    size_t length = 0;
    for (size_t p = 2; b[0] == 0xff && n - p >= 4 && b[p] == 0xff && b[p + 1] != 0xda; ) {
        size_t size = 2 + im_be16(b + p + 2);
        if (size > n - p) return 1;
        if (b[p + 1] == 0xe1 && size >= 18 && !memcmp(b + p + 4, "Exif\0", 6))
            tiff = b + p + 10, length = size - 10;
        p += size;
    }
    for (size_t p = 8; b[0] == 0x89 && memcmp(b + p + 4, "IEND", 4); p += im_be32(b + p) + 12)
        if (!memcmp(b + p + 4, "eXIf", 4)) tiff = b + p + 8, length = im_be32(b + p);
    if (length < 8 || (*tiff != 'I' && *tiff != 'M')) return 1;
    uint32_t (*get16)(const unsigned char *) = *tiff == 'I' ? im_le16 : im_be16;
    size_t at = *tiff == 'I' ? im_le32(tiff + 4) : im_be32(tiff + 4);
    if (at > length - 2) return 1;
    for (size_t i = 0, count = get16(tiff + at); i < count && at + 14 + 12 * i <= length; i++) {
        const unsigned char *entry = tiff + at + 2 + 12 * i;
        uint32_t value = get16(entry + 8);
        if (get16(entry) == 0x112) return value >= 1 && value <= 8 ? value : 1;
    }
    return 1;
}

/* From 5 on rows and columns change places; then 3, 4, 6, 7 turn rows around, 2, 3, 7, 8 columns */
static int im_turn(Image *picture, int orientation) {
    Image out, in = *picture;
    int swap = orientation >= 5, down = 0xd8 >> orientation & 1, back = 0x18c >> orientation & 1;
    if (orientation == 1) return 1;
    if (!image_new(&out, swap ? in.w : in.h, swap ? in.h : in.w, in.c) ||
        (in.mask && !image_add_mask(&out, 1))) return image_free(&out), 0;
    for (long i = 0; i < out.h * out.w; i++) {
        long y = swap ? i % out.w : i / out.w, x = swap ? i / out.w : i % out.w;
        long from = (down ? in.h - 1 - y : y) * in.w + (back ? in.w - 1 - x : x);
        memcpy(out.pixels + i * in.c, in.pixels + from * in.c, sizeof(float) * in.c);
        if (in.mask) out.mask[i] = in.mask[from];
    }
    image_free(picture);
    *picture = out;
    return 1;
}

/* bytes (h,w,c), c = 1 gray, 2 gray + alpha, 3 RGB, 4 RGBA */
static int im_from_bytes(Image *out, const unsigned char *bytes, int h, int w, int c) {
    size_t n = h * w;
    int transparent = 0;
    for (size_t i = 0; i < n && c % 2 == 0; i++) transparent |= bytes[i * c + c - 1] < 250;
    if (!image_new(out, h, w, 3) || (transparent && !image_add_mask(out, 1)))
        return image_free(out), 0;
    for (size_t i = 0; i < n; i++, bytes += c) {
        float alpha = c % 2 ? 1 : bytes[c - 1] / 255.f;
        for (int k = 0; k < 3; k++)
            out->pixels[i * 3 + k] = alpha * image_from_byte(bytes[c < 3 ? 0 : k]) + (1 - alpha);
        if (transparent) out->mask[i] = alpha;
    }
    return 1;
}

int image_decode(Image *out, const char *path, unsigned char *b, size_t n) {
    const struct ImFormat *f = im_find_format(path, b, n);
    if (!f) return 0;
    long long h = 1, w = 1;
    const char *wrong = f->check(b, n, &h, &w);
    if (!image_size_ok(h, w))
        return fail("%s: the header says %lld x %lld pixels; sides are 1..16384, at most 50 "
                    "megapixels", path, w, h);
    if (wrong) return fail("%s: %s", path, wrong);
    int x, y, channels;
    if (f->check == im_check_pat)
        return out->tileable = im_from_bytes(out, b + im_be32(b), h, w, im_be32(b + 16));
    unsigned char *rgba = stbi_load_from_memory(b, n, &x, &y, &channels, 4);
    const char *why = stbi_failure_reason();
    if (!rgba)
        return fail("%s: the picture cannot be decoded (%s)", path,
                    why && strcmp(why, "outofmem") ? why : "out of memory");
    int good = x == w && y == h ? im_from_bytes(out, rgba, y, x, 4)
                                : fail("%s: contradictory header", path);
    stbi_image_free(rgba);
    good = good && im_turn(out, f->check == im_check_tga ? 1 : im_orientation(b, n));
    return good || (image_free(out), 0);
}

int image_load(Image *out, const char *path) {
    unsigned char *data;
    size_t n;
    memset(out, 0, sizeof *out);
    int good = file_read(&data, &n, path) && image_decode(out, path, data, n);
    free(data);
    return good;
}

int image_known(const char *path) {
    unsigned char b[32];
    long n = file_head(b, sizeof b, path);
    return n >= 0 && im_find_format(path, b, n);
}

static void im_write(void *file, void *data, int n) { fwrite(data, 1, n, file); }

/* bytes (h,w,c), which are freed; NULL: no memory */
static int im_save(unsigned char *bytes, int h, int w, int c, const char *path) {
    FileWrite to;
    int jpeg = im_ends_with(path, ".jpg") || im_ends_with(path, ".jpeg"), good = 0;
    if (!file_begin(&to, path)) return free(bytes), 0;
    if (bytes && jpeg) good = stbi_write_jpg_to_func(im_write, to.file, w, h, c, bytes, 92);
    else if (bytes) good = stbi_write_png_to_func(im_write, to.file, w, h, c, bytes, 0);
    if (!good) fail("%s: out of memory", path);
    free(bytes);
    return file_end(&to, good);
}

int image_save(const Image *image, const char *path) {
    int h = image->h, w = image->w, c = image->c;
    size_t n = h * w * c;
    if (!image->pixels || (c != 1 && c != 3))
        return fail("%s: only pictures with 1 or 3 channels can be saved, this has %d", path, c);
    unsigned char *bytes = malloc(n);
    for (size_t i = 0; bytes && i < n; i++) bytes[i] = image_to_byte(image->pixels[i]);
    return im_save(bytes, h, w, c, path);
}

int image_save_cutout(const Image *image, const char *path) {
    size_t n = 4 * image->h * image->w;
    unsigned char *bytes = malloc(n);
    for (size_t i = 0; bytes && i < n; i++) {
        float m = image->mask[i / 4], x = i % 4 < 3 ? image->pixels[i / 4 * 3 + i % 4] : 0;
        bytes[i] = image_to_byte(i % 4 == 3 ? 2 * m - 1 : m > 0 ? (x - (1 - m)) / m : 1);
    }
    return im_save(bytes, image->h, image->w, 4, path);
}

/* RFC 1952: magic 1f 8b, method 8, flags, time, hints (10 bytes); then, as flagged, an extra field,
 * a name, a comment and a checksum. Returns where the deflate stream starts, 0: no gzip header. */
static size_t im_gzip_header(const unsigned char *b, size_t n) {
    if (n < 18 || b[0] != 0x1f || b[1] != 0x8b || b[2] != 8 || b[3] & 0xe0) return 0;
    size_t p = 10;
    if (b[3] & 4) p += 2 + im_le16(b + 10);                             /* FEXTRA: length, bytes */
    for (int text = (b[3] >> 3 & 1) + (b[3] >> 4 & 1); text > 0; text--, p++)
        while (p < n && b[p]) p++;                                      /* FNAME, FCOMMENT, 0 */
    if (b[3] & 2) p += 2;                                               /* FHCRC */
    return p + 8 <= n ? p : 0;                                          /* trailer: CRC-32, size */
}

/* Replaces a file's bytes by what they decompress to, in a block of the trailer's size. deflate
 * packs 1032:1 at most: of a trailer that promises more, nothing is allocated. stb looks two bytes
 * ahead, so it gets the trailer too; the checksum tells whether it stopped at the right place. */
static int im_gunzip(unsigned char **data, size_t *bytes, const char *path) {
    size_t n = *bytes, start = im_gzip_header(*data, n);
    if (!start) return fail("%s: damaged gzip header", path);
    uint32_t crc = im_le32(*data + n - 8), size = im_le32(*data + n - 4);
    if (size == 0 || size > FILE_MOST || size > (n - start - 8) * 1032)
        return fail("%s: damaged gzip file, or not one member below 1 GB: %u bytes cannot come out "
                    "of %zu", path, size, n - start - 8);
    unsigned char *plain = malloc(size);
    if (!plain) return fail("%s: out of memory for %u bytes", path, size);
    int got = stbi_zlib_decode_noheader_buffer((char *)plain, size,
                                               (const char *)*data + start, n - start);
    free(*data);
    *data = plain, *bytes = size;
    return (got == (int)size && im_crc32(plain, size) == crc) ||
           fail("%s: damaged gzip file (checksum or size): copy or download it again", path);
}

int idx_read(unsigned char **data, const char *path, int dims, uint32_t size[3]) {
    static const char *const shape[] = { "", "labels (count)", "", "pictures (count, h, w)" };
    size_t n, header = 4 + 4 * dims, want = 1;
    if (!file_read(data, &n, path)) return 0;
    int good = n < 2 || (*data)[0] != 0x1f || im_gunzip(data, &n, path);
    const unsigned char *b = *data;
    if (good && (n < header || im_be32(b) != 0x800u + dims))
        good = fail("%s: not an IDX file of %s: magic %08x in %zu bytes, expected %08x", path,
                    shape[dims], n < 4 ? 0 : im_be32(b), n, 0x800u + dims);
    for (int i = 0; good && i < dims; i++) {
        size[i] = im_be32(b + 4 + 4 * i);
        if (size[i] == 0 || size[i] > (i ? IMAGE_SIDE : FILE_MOST))
            good = fail("%s: size %d of its %s is %u", path, i, shape[dims], size[i]);
        want *= size[i];                                        /* at most 2^30 * 2^14 * 2^14 */
    }
    if (good && n != header + want)
        good = fail("%s: %zu bytes, but its header promises %zu: download it again", path, n,
                    header + want);
    if (good && dims == 3 && !image_size_ok(size[1], size[2]))
        good = fail("%s: more than 50 megapixels: %u x %u", path, size[2], size[1]);
    if (!good) free(*data), *data = NULL;
    return good;
}

int idx_find(char *path) {
    if (access(path, F_OK) == 0) return 1;
    if (im_ends_with(path, ".gz")) path[strlen(path) - 3] = 0;
    else strcat(path, ".gz");
    return access(path, F_OK) == 0;
}
#endif
