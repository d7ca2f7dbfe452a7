/* page.h: a contact sheet, white: for each garment a cell as it was, one for the style if there is
 * one, one with the print; below all of them a caption in small letters. A table of all pairs has
 * the styles in its first line, and each garment begins a line. */
#ifndef PAGE_H
#define PAGE_H
#include "images/images.h"
#include <stdlib.h>

enum { SHEET_CAPTION = 20000, SHEET_LINES = 48, SHEET_COLUMNS = 12 };    /* more is left out */
enum { SHEET_CELL = 256, SHEET_GAP = 12, SHEET_LETTER = 6, SHEET_SPACING = 10 };

typedef struct Sheet {
    Image page;                         /* as high as it is so far */
    int cells, across;                  /* cells of a garment; garments a line */
    int head, rows;                     /* 1: styles in the first line; garments so far, with it */
} Sheet;

/* where row or column i begins */
static long sheet_at(long i) { return SHEET_GAP + i * (SHEET_CELL + SHEET_GAP); }

/* The page becomes h pixels high; what is new is white */
static int sheet_grow(Image *page, long h) {
    long from = 3L * page->h * page->w, to = 3 * h * page->w;
    float *pixels = realloc(page->pixels, to * sizeof *pixels);
    if (!pixels) return fail("not enough memory for a sheet of %d x %ld pixels", page->w, h);
    page->pixels = pixels, page->h = h;
    for (long i = from; i < to; i++) pixels[i] = 1;
    return 1;
}

/* styles: how many are mixed; pairs: how many there are in a table, or 0 */
static inline void sheet_begin(Sheet *s, long garments, int styles, long pairs) {
    s->rows = s->head = pairs > 0;
    s->across = pairs ? 1 : styles ? 2 : 4;
    s->cells = pairs ? 1 + fmin(pairs, SHEET_COLUMNS) : styles ? 3 : 2;
    s->page.w = sheet_at(s->cells * (garments < s->across ? garments : s->across));
    s->page.c = 3;
}

/* The picture in column `column` of this garment, or of the first line; nothing where there is no
 * such cell */
static inline int sheet_show(Sheet *s, const Image *picture, int head, int column) {
    int row = head ? 0 : s->rows, line = row / s->across;
    long top = sheet_at(line), left = sheet_at(s->cells * (row % s->across) + column);
    Image cell, *page = &s->page;
    if (column >= s->cells || line >= s->head + SHEET_LINES) return 1;
    if (page->h < top + SHEET_CELL && !sheet_grow(page, top + SHEET_CELL)) return 0;
    if (!image_fit(&cell, picture, SHEET_CELL, SHEET_CELL)) return 0;
    image_paste(page, &cell, top, left, 1);
    image_free(&cell);
    return 1;
}

static inline int sheet_full(const Sheet *s) {
    return s->rows - s->head == SHEET_LINES * s->across;
}
static inline void sheet_next(Sheet *s) { s->rows += !sheet_full(s); }  /* the next garment */
static inline int sheet_letters(const Sheet *s) {                       /* a line of the caption */
    return (s->page.w - 2 * SHEET_GAP) / SHEET_LETTER;
}

static inline int sheet_save(Sheet *s, const char *path, const char *caption, int lines) {
    static const float ink[3] = { -.7f, -.7f, -.7f };
    int below = sheet_at((s->rows + s->across - 1) / s->across);
    s->page.h = fmin(s->page.h, below - SHEET_GAP);        /* without a garment that failed */
    if (!sheet_grow(&s->page, below + lines * SHEET_SPACING + SHEET_GAP)) return 0;
    image_text(&s->page, below, SHEET_GAP, caption, 1, ink);
    return image_save(&s->page, path);
}
#endif
