/* sheets.h: the sample sheets: what the generator makes at a step, as one picture. */
#ifndef SHEETS_H
#define SHEETS_H
#include "training/batch.h"

/* Tells the user what fail has said if something could not be written: once, until something can
 * be again. Returns good. */
static int disk_took(Run *run, int good) {
    if (!good && !run->disk_told) say("%s", error_text());
    run->disk_told = !good;
    return good;
}

/* Rows of pictures (size,size,channels) */
enum { COLUMNS = 8 };
typedef struct Sheet { long cells, each; int channels; float *pixels; } Sheet;

static Sheet sheet_new(const Run *run, long cells, int channels) {
    long each = picture_floats(run, channels);
    return (Sheet){ cells, each, channels, new_floats(cells * each) };
}

static float *cell(const Sheet *s, long at) { return s->pixels + at * s->each; }

/* n pictures into the cells from `at` on, as far as there are cells */
static void sheet_put(const Sheet *s, long at, const float *pictures, long n) {
    memcpy(cell(s, at), pictures, (long)fmin(n, s->cells - at) * s->each * sizeof *pictures);
}

/* n pictures of c channels to row `row` of the block of `rows` rows that picture `first` is in */
static void put_in_row(const Sheet *s, long first, int rows, int row, const float *pictures, int c,
                       long n) {
    long pixels = s->each / s->channels;
    for (long i = first; i < first + n; i++, pictures += pixels * c)
        image_channels(cell(s, (i / COLUMNS * rows + row) * COLUMNS + i % COLUMNS), s->channels,
                       pictures, c, pixels);
}

/* the bytes of one file into another: a sheet is compressed once */
static int copied(const char *to, const char *from) {
    unsigned char *bytes;
    size_t n;
    FileWrite w;
    int good = file_read(&bytes, &n, from) && file_begin(&w, to);
    if (good) fwrite(bytes, 1, n, w.file), good = file_end(&w, 1);
    free(bytes);
    return good;
}

/* to the file `name`; NULL: to that of this step, and to samples.png. Ends the sheet. */
static void sheet_save(Run *run, Sheet *s, const char *name) {
    int size = run->options.size;
    char path[RUN_PATH], newest[RUN_PATH];
    Image picture;
    must(image_grid(&picture, s->pixels, s->cells, size, size, s->channels, COLUMNS,
                    size < 48 ? 3 : 1, size < 48 ? 3 : 4));
    in_folder(run, newest, name ? name : "samples.png");
    snprintf(path, sizeof path, "%s/samples/step-%06ld.png", run->out, run->gan.step);
    disk_took(run, name ? image_save(&picture, newest)
                        : image_save(&picture, path) && copied(newest, path));
    image_free(&picture);
    free(s->pixels);
}

/* A batch to run->pixels and run->masks: of `count` pictures that are spread over the set, those
 * from `first` on */
static void fetch_spread(Run *run, const ImageSet *from, long first, long count) {
    for (long i = 0; i < run->gan.options.batch; i++)
        must(imageset_get(from, (first + i) % count * from->count / count,
                          run->pixels + i * picture_floats(run, from->c),
                          run->masks + i * picture_floats(run, 1)));
}

/* G from noise: 64 new pictures; where it is told the class, a row for each of ten */
static void sheet_of_noise(Run *run) {
    Gan *gan = &run->gan;
    int classes = gan->given != NULL, rows = classes ? run->class_rows : 8;
    long batch = gan->options.batch;
    Sheet s = sheet_new(run, fmin(rows, 10) * COLUMNS, gan->options.channels);
    for (long done = 0; done < s.cells; done += batch) {
        if (classes) feed_every_class(run, done, COLUMNS);
        gan_sample(gan, done / batch, run->made);
        sheet_put(&s, done, run->made, batch);
    }
    sheet_save(run, &s, NULL);
}

/* Rows of pictures of the set (their drawings), and below what G makes of them; pattern: with
 * three z; pix2pix: and the true picture; garments: the print alone and the whole painting. The
 * lower half of cyclegan's sheet shows the way back: pictures of the other set, and what F makes of
 * them. */
static void sheet_of_translations(Run *run) {
    Gan *gan = &run->gan;
    int feeds = run->recipe->feeds, drawings = feeds == FEED_DRAWINGS, c = run->set.c;
    int prints = feeds == FEED_GARMENTS, draws = gan->latents && !prints ? 3 : 1;
    int rows = 1 + draws + drawings + prints, blocks = rows == 2 ? 4 : drawings ? 3 : 2;
    int channels = gan->options.channels;
    long batch = gan->options.batch, all = blocks * COLUMNS, n;
    Sheet s = sheet_new(run, rows * all, channels);
    for (long done = 0; done < all; done += n) {
        int back = gan->f.nodes && done >= all / 2;
        n = fmin(batch, (gan->f.nodes && !back ? all / 2 : all) - done);
        fetch_spread(run, back ? &run->others : &run->set, done, all);
        if (drawings) put_in_row(&s, done, rows, rows - 1, run->pixels, c, n);
        for (long i = 0; i < batch && drawings; i++) draw_edges(run, run->pixels + i * s.each);
        put_in_row(&s, done, rows, 0, run->pixels, c, n);
        gan->ops->upload(back ? gan->x_real : gan->content, run->pixels,
                         batch * picture_floats(run, c));
        for (int draw = 1; draw <= draws; draw++) {
            if (back) gan_sample_back(gan, run->made);
            else gan_sample(gan, prints ? done / batch : draw, run->made);
            put_in_row(&s, done, rows, draw + prints, run->made, channels, n);
        }
        if (!prints) continue;
        for (long p = 0; p < n * s.each; p++)
            run->made[p] = run->masks[p / 3] * run->made[p] + (1 - run->masks[p / 3]);
        put_in_row(&s, done, rows, 1, run->made, channels, n);
    }
    sheet_save(run, &s, NULL);
}

/* vaegan: 8 pictures, the same by way of their codes, the ways between the codes of four pairs
 * of them, and 16 pictures out of noise */
static void sheet_of_codes(Run *run) {
    enum { NOISE = 6 * COLUMNS, CELLS = 8 * COLUMNS };
    Gan *gan = &run->gan;
    long batch = gan->options.batch, c = gan->g.node[gan->g_latent[0]].c;
    Sheet s = sheet_new(run, CELLS, gan->options.channels);
    float *code = new_floats(2 * c * batch), *z = new_floats((CELLS + batch) * c);
    for (long done = 0; done < COLUMNS; done += batch) {
        fetch_spread(run, &run->set, done, COLUMNS);
        gan->ops->upload(gan->x_real, run->pixels, batch * s.each);
        gan_encode(gan, code);
        sheet_put(&s, done, run->pixels, batch);         /* what is too much is overwritten below */
        for (long i = 0; i < batch && done + i < COLUMNS; i++)
            memcpy(z + (COLUMNS + done + i) * c, code + 2 * c * i, c * sizeof *z);
    }
    for (long i = 2 * COLUMNS; i < CELLS; i++)
        for (long k = 0; k < c; k++) {
            long pair = COLUMNS + (i / COLUMNS - 2) * 2 % COLUMNS;
            const float *one = z + pair * c, *other = one + c;
            float way = i % COLUMNS / (COLUMNS - 1.f);
            z[i * c + k] = i < NOISE ? one[k] + way * (other[k] - one[k])
                                     : sample_normal(run, 0, i * c + k);
        }
    for (long done = COLUMNS; done < CELLS; done += batch) {
        gan_decode(gan, z + done * c, run->made);
        sheet_put(&s, done, run->made, batch);
    }
    free(code), free(z);
    sheet_save(run, &s, NULL);
}

/* stylegan: the coarse style of the pictures on the left, the fine ones of those on top */
static void save_mixing(Run *run) {
    enum { SIDE = COLUMNS - 1, CELLS = COLUMNS * COLUMNS };
    Gan *gan = &run->gan;
    long batch = gan->options.batch, c = gan->g.node[gan->g_latent[0]].c;
    Sheet s = sheet_new(run, CELLS, gan->options.channels);
    float *coarse = new_floats(2 * batch * c), *fine = coarse + batch * c;
    for (long done = 0; done < CELLS; done += batch) {
        /* the left column and the top row are pictures of one style each */
        for (long i = 0; i < batch; i++) {
            long left = (done + i) % CELLS / COLUMNS, top = (done + i) % COLUMNS;
            long from = left ? left : SIDE + top, to = top ? SIDE + top : left;
            for (long k = 0; k < c; k++) {
                coarse[i * c + k] = sample_normal(run, 1, from * c + k);
                fine[i * c + k] = sample_normal(run, 1, to * c + k);
            }
        }
        gan_mix(gan, coarse, fine, run->made);
        sheet_put(&s, done, run->made, batch);
    }
    free(coarse);
    for (long i = 0; i < s.each; i++) s.pixels[i] = 1;   /* the corner stays empty */
    sheet_save(run, &s, "mixing.png");
}

/* G fuses any content with any style: 7 styles in the top row, 7 contents in the left column,
 * all pairs between them */
static void sheet_of_pairs(Run *run) {
    enum { SIDE = COLUMNS - 1 };
    Gan *gan = &run->gan;
    long batch = gan->options.batch;
    Sheet s = sheet_new(run, COLUMNS * COLUMNS, 3);
    for (long i = 0; i < s.each; i++) s.pixels[i] = 1;
    for (long i = 0; i < SIDE; i++) {
        float u[5] = { (i + .5f) / SIDE, .5f, .5f, .5f, .25f };
        style_crop(run, cell(&s, i + 1), u);
        must(imageset_get(&run->set, i * run->set.count / SIDE, cell(&s, (i + 1) * COLUMNS),
                          run->masks));
    }
    for (long done = 0; done < SIDE * SIDE; done += batch) {
        for (long i = 0; i < batch; i++) {
            long pair = (done + i) % (SIDE * SIDE);
            const float *content = cell(&s, (pair / SIDE + 1) * COLUMNS);
            memcpy(run->pixels + i * s.each, content, s.each * sizeof *content);
            memcpy(run->made + i * s.each, cell(&s, pair % SIDE + 1), s.each * sizeof *content);
        }
        gan->ops->upload(gan->content, run->pixels, batch * s.each);
        gan->ops->upload(gan->x_real, run->made, batch * s.each);
        gan_sample(gan, 0, run->made);
        for (long i = 0; i < batch && done + i < SIDE * SIDE; i++)
            sheet_put(&s, ((done + i) / SIDE + 1) * COLUMNS + 1 + (done + i) % SIDE,
                      run->made + i * s.each, 1);
    }
    sheet_save(run, &s, NULL);
}

/* samples/step-N.png and samples.png; for stylegan also mixing.png */
static inline void save_sheets(Run *run) {
    switch (run->recipe->feeds) {
        case FEED_NOISE: case FEED_CLASSES: case FEED_CLOTH:
            sheet_of_noise(run);
            if (run->gan.scale_shifts) save_mixing(run);
            break;
        case FEED_PICTURES: sheet_of_codes(run); break;
        case FEED_UNPAIRED: case FEED_DRAWINGS: case FEED_GARMENTS:
            sheet_of_translations(run);
            break;
        case FEED_STYLES: sheet_of_pairs(run); break;
        case FEED_CROPS: case FEED_LABELS: break;        /* they look at pictures, and make none */
    }
}
#endif
