/* folder.h: the folder that a run leaves behind.
 *
 *   options.txt   every option in force, defaults marked; the networks
 *   log.csv       a line per step
 *   samples/step-000500.png   samples.png (the newest)   losses.png   checkpoint.safetensors
 *   report.html   with --keep-checkpoints checkpoint-000500.safetensors
 *
 * Each file but log.csv is replaced whole or not at all (core/files.h). Of several ranks the first
 * one writes. */
#ifndef FOLDER_H
#define FOLDER_H
#include "training/report.h"
#include "training/sheets.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>

/* The folder is ours alone until the program ends, however it does: another run is refused. */
static void folder_lock(Run *run) {
    if (run->lock) return;
    if ((run->lock = open(run->out, O_RDONLY)) < 0 || flock(run->lock, LOCK_EX | LOCK_NB))
        die(1, "--out %s: %s, choose another folder", run->out,
            run->lock < 0 ? strerror(errno) : "another ./train is writing there");
}

/* The step of a file that is named like checkpoint-000500.safetensors or step-000500.png, or < 0.
 * is: the name that such a file has */
enum { NUMBERED = 60 };
#define CHECKPOINT_NAME "checkpoint-%06ld.safetensors"
static long numbered_step(const char *name, const char *format, char is[NUMBERED]) {
    const char *dash = strchr(name, '-');
    snprintf(is, NUMBERED, format, dash ? atol(dash + 1) : -1);
    return strcmp(name, is) ? -1 : atol(dash + 1);
}

/* How many numbered checkpoints are in the folder, and the first of them. Those after step `last`
 * are removed. */
static int numbered_count(const Run *run, long last, char first[NUMBERED]) {
    long least = LONG_MAX;
    int count = 0;
    char path[RUN_PATH], name[NUMBERED];
    DIR *folder = opendir(run->out);
    for (struct dirent *e; folder && (e = readdir(folder));) {
        long step = numbered_step(e->d_name, CHECKPOINT_NAME, name);
        if (step > last) unlink(in_folder(run, path, name));
        if (step < 0 || step > last) continue;
        if (step < least) least = step, strcpy(first, name);
        count++;
    }
    if (folder) closedir(folder);
    return count;
}

/* A run is not written over, unless the user says so */
static void keep_other(const Run *run) {
    char path[RUN_PATH], first[NUMBERED] = "checkpoint.safetensors";
    numbered_count(run, LONG_MAX, first);
    if (!run->overwrite && !access(in_folder(run, path, first), F_OK))
        die(1, "%s: this folder holds a run already: --resume %s to go on, another --out to keep "
            "it, or --overwrite", path, run->out);
}

/* What a run writes, beside its numbered files */
static const char *const own_files[] = {
    "options.txt", "checkpoint.safetensors", "samples.png", "losses.png", "log.csv", "report.html",
    "metrics.json", "mixing.png" };
enum { OWN_FILES = 8, CHECKPOINT = 1 };

/* In a folder without the options.txt of a run, such files are somebody else's. */
static void keep_strangers(const Run *run) {
    char path[RUN_PATH];
    unsigned char begin[9];
    int written = file_head(begin, 9, in_folder(run, path, "options.txt")) == 9
                  && !memcmp(begin, "--recipe ", 9);
    for (int i = 0; i < OWN_FILES && !written && !run->overwrite; i++)
        if (i != CHECKPOINT && !access(in_folder(run, path, own_files[i]), F_OK))
            die(1, "%s: this file is no run's and would be replaced: choose another --out, or "
                "--overwrite", path);
}

/* Chooses --out, and refuses it where it holds another run. A run that goes on in its own folder
 * locks it. */
static inline void folder_open(Run *run) {
    const char *from = run->from, *slash = strrchr(from, '/'), *file = slash ? slash + 1 : from;
    int out_given = option_given(run->table, "--out"), folders = 0;
    char path[RUN_PATH], name[NUMBERED];
    int numbered = numbered_step(file, CHECKPOINT_NAME, name) >= 0;
    strcpy(run->origin, slash ? from : ".");
    if (slash) run->origin[slash - from] = 0;
    if (out_given == 2) run->folders[folders++] = run->out;
    if (numbered || !strcmp(file, "checkpoint.safetensors")) run->folders[folders++] = run->origin;
    snprintf(run->own, sizeof run->own, "runs/%s", run->recipe->name);
    if (*from && out_given != 1) run->out = run->origin;
    if (!*run->out) run->out = run->own;
    if (strlen(run->out) > 4000) die(2, "--out: the path is longer than 4000 characters");
    if (run->job != TRAINS) return;
    run->folders[folders] = run->out;
    run->same = *from && same_file(from, in_folder(run, path, "checkpoint.safetensors"));
    run->home = *from && same_file(run->origin, run->out);           /* be it from a copy */
    if (run->dry_run) return;
    if (!run->same && !(numbered && run->home)) keep_other(run);
    keep_strangers(run);
    if (run->home && !parallel_rank()) folder_lock(run);   /* before the weights are read */
}

/* Has the run that is resumed come to its end? It may have been killed just before that. */
static inline int folder_is_complete(const Run *run) {
    char path[RUN_PATH];
    struct stat c, r;                       /* the report is the last that a run leaves */
    if (stat(in_folder(run, path, "report.html"), &r) || stat(run->from, &c)) return 0;
    return r.st_mtim.tv_sec != c.st_mtim.tv_sec ? r.st_mtim.tv_sec > c.st_mtim.tv_sec
                                                : r.st_mtim.tv_nsec >= c.st_mtim.tv_nsec;
}

/* Removes what a killed run left half written, and the sheets after step `last`; -1: and the files
 * of another run, so that nothing of it can pass for the new one's */
static void folder_clean(const Run *run, long last) {
    static const char *const subs[] = { ".", "samples" };
    char path[RUN_PATH], name[300];
    for (int i = CHECKPOINT; i < OWN_FILES && last < 0; i++)
        unlink(in_folder(run, path, own_files[i]));
    if (last < 0) numbered_count(run, -1, name);
    for (int sub = 0; sub < 2; sub++) {
        DIR *folder = opendir(in_folder(run, path, subs[sub]));
        for (struct dirent *e; folder && (e = readdir(folder));) {
            char *n = e->d_name, *half = strstr(n, ".tmp-"), is[NUMBERED];
            snprintf(name, sizeof name, "%s/%s", subs[sub], n);
            if (half) *half = 0;
            long sheet = numbered_step(n, "step-%06ld.png", is);
            int own = sheet >= 0 || numbered_step(n, CHECKPOINT_NAME, is) >= 0;
            for (int i = 0; i < OWN_FILES; i++) own |= !strcmp(n, own_files[i]);
            if ((half && own) || (sub && sheet > last)) unlink(in_folder(run, path, name));
        }
        if (folder) closedir(folder);
    }
}

static void save_options(const Run *run) {
    static const char *const origin[] = { "    (default)", "", "    (as in the run resumed)" };
    char path[RUN_PATH], text[64];
    FileWrite w;
    FILE *file = file_begin(&w, in_folder(run, path, "options.txt"));
    must(file != NULL);
    for (const Option *o = run->table; o->name; o++)
        fprintf(file, "%-20s %s%s\n", o->name, option_text(o, text), origin[o->given]);
    for (int i = 0; gan_net(&run->gan, i); i++) {
        fprintf(file, "\n");
        net_print(gan_net(&run->gan, i), file);
    }
    must(file_end(&w, 1));
}

/* The columns of log.csv; behind them come the parts of G's loss, and the seconds */
static const char *const log_columns[] = {
    "step", "loss_d", "loss_g", "d_real", "d_fake", "norm_d", "norm_g", "batch_std" };
enum { LOG_COLUMNS = 8 };

/* log.csv begins with the lines up to this step of the run that is resumed: none is repeated, none
 * lost */
static void log_open(Run *run) {
    char path[RUN_PATH], line[512];
    size_t bytes;
    FileWrite w;
    snprintf(path, sizeof path, "%.4000s/log.csv", run->origin);
    FILE *from = run->gan.step ? file_open(path, &bytes) : NULL;
    FILE *to = file_begin(&w, in_folder(run, path, "log.csv"));
    must(to != NULL);
    for (int i = 0; i < LOG_COLUMNS; i++) fprintf(to, "%s,", log_columns[i]);
    for (int i = 0; run->recipe->part[i]; i++) fprintf(to, "%s,", run->recipe->part[i]);
    fprintf(to, "seconds\n");
    while (from && fgets(line, sizeof line, from))
        if (atol(line) >= 1 && atol(line) <= run->gan.step && strchr(line, '\n')) {
            fputs(line, to);
            run->before = atof(strrchr(line, ',') + 1);
        }
    if (from) fclose(from);
    must(file_end(&w, 1));
    run->log = fopen(path, "a");
    if (!run->log) die(1, "%s: %s: cannot write there", path, strerror(errno));
}

/* checkpoint.safetensors, and as many numbered ones as --keep-checkpoints says. 0: the disk
 * refused, as the user has been told. */
static int save_checkpoint(Run *run) {
    StMeta meta[RUN_OPTIONS];
    Gan *gan = &run->gan;
    char path[RUN_PATH], other[RUN_PATH], name[NUMBERED], text[RUN_OPTIONS][64];
    int n = 0, keep = run->keep_checkpoints;
    if (run->log) fflush(run->log), fsync(fileno(run->log));  /* it is never behind */
    for (const Option *o = run->table; o->name; o++)
        if (!(o->jobs & ONCE)) meta[n] = (StMeta){ o->name, option_text(o, text[n]) }, n++;
    int good = gan_save(gan, in_folder(run, path, "checkpoint.safetensors"), meta, n);
    if (good) run->same = 1;
    if (good && keep) {
        snprintf(name, sizeof name, CHECKPOINT_NAME, gan->step);
        unlink(in_folder(run, other, name));
        if (link(path, other)) good = gan_save(gan, other, meta, n);  /* a disk without links */
        /* where it went back, the later ones stay until it has a step of its own */
        while (gan->step > run->first && numbered_count(run, gan->step, name) > keep)
            if (unlink(in_folder(run, other, name))) break;
    }
    return disk_took(run, good);
}

/* When all is loaded, something may be written: by one rank */
static inline void folder_begin(Run *run) {
    char path[RUN_PATH];
    run->writes = parallel_rank() == 0;
    if (!run->writes) return;
    if (!folder_make(run->out)) die(1, "--out %s, choose another folder", error_text());
    folder_lock(run);
    if (!run->home) keep_other(run);        /* one that has come to its end since we began */
    int back = run->home && !run->same;     /* to an older checkpoint in its folder, or a copy */
    must(folder_make(in_folder(run, path, "samples")));
    save_options(run);                      /* what can fail comes first: then the old run goes */
    folder_clean(run, !run->home ? -1 : back ? run->gan.step : LONG_MAX);
    if (back) save_checkpoint(run);         /* before the log is cut to its step */
    log_open(run);
}

static inline void log_step(Run *run, const Report *r, double seconds) {
    if (!run->writes) return;
    fprintf(run->log, "%ld,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g", run->gan.step, r->loss_d, r->loss_g,
            r->d_real, r->d_fake, r->norm_d, r->norm_g, r->batch_std);
    for (int i = 0; run->recipe->part[i]; i++) fprintf(run->log, ",%.9g", r->part[i]);
    fprintf(run->log, ",%.3f\n", run->before + seconds);
}

/* The run's log: a list of numbers for each column; returns how many lines. The one with the names,
 * and any that is not whole, is left out. */
static long log_read(const Run *run, double **value, int columns) {
    char path[RUN_PATH], line[1000];
    long most = 0, rows = 0;
    FILE *from = fopen(in_folder(run, path, "log.csv"), "r");
    while (from && fgets(line, sizeof line, from)) most++;
    if (from) rewind(from);
    for (int k = 0; k < columns; k++) value[k] = new_doubles(most);
    while (rows < most && fgets(line, sizeof line, from)) {
        int whole = atol(line) >= 1 && strchr(line, '\n'), k = 0;
        for (char *c = line; k < columns && (c = strtok(c, ",\n")); c = NULL)
            value[k++][rows] = atof(c);
        rows += whole && k == columns;
    }
    if (from) fclose(from);
    return rows;
}

/* losses.png from log.csv, the whole run, resumed or not: plots, one above the other, of columns
 * that log_open names, without those that are 0 all the way */
static void save_plot(Run *run) {
    static const struct { const char *title; int first, last; } plots[] = {
        { "losses", 1, 2 }, { "D(x) and D(G(z))", 3, 4 }, { "gradient norms", 5, 6 },
        { "parts of G's loss", LOG_COLUMNS, LOG_COLUMNS + GAN_PARTS } };
    const char *const *part = run->recipe->part;
    char path[RUN_PATH], title[160];
    double *value[LOG_COLUMNS + GAN_PARTS + 1];
    Image all = {0};
    int good = 1, seconds = LOG_COLUMNS;    /* the last column */
    while (part[seconds - LOG_COLUMNS]) seconds++;
    fflush(run->log);
    long rows = log_read(run, value, seconds + 1);
    for (int k = 0; good && k < 4; k++) {
        PlotSeries series[GAN_PARTS];
        Image plot, page = {0};
        int count = 0;
        for (int c = plots[k].first; c <= plots[k].last && c < seconds; c++) {
            const char *name = c < LOG_COLUMNS ? log_columns[c] : part[c - LOG_COLUMNS];
            double most = 0;
            for (long i = 0; i < rows; i++) most = fmax(most, fabs(value[c][i]));
            if (most > 0) series[count++] = (PlotSeries){ name, value[0], value[c], rows };
        }
        if (k && count < (k == 3 ? 2 : 1)) continue;      /* one part is the loss itself */
        snprintf(title, sizeof title, "%s: %s", run->recipe->name, plots[k].title);
        good = image_plot(&plot, series, count, title, "step")
               && image_new(&page, all.h + plot.h, plot.w, 3);
        if (good) image_paste(&page, &all, 0, 0, 1), image_paste(&page, &plot, all.h, 0, 1);
        image_free(&all), image_free(&plot);
        all = page;
    }
    disk_took(run, good && image_save(&all, in_folder(run, path, "losses.png")));
    image_free(&all);
    for (int c = 0; c <= seconds; c++) free(value[c]);
    run->plotted = run->gan.step;
}

/* The checkpoint, sheets, plot and report of the last step; 0: not all that matters was written */
static inline int folder_end(Run *run) {
    char path[RUN_PATH];
    int logged = !fflush(run->log) && !ferror(run->log), good = save_checkpoint(run);
    if (!run->sample_every || run->gan.step % run->sample_every) save_sheets(run);
    save_plot(run);
    fclose(run->log);
    disk_took(run, report_write(run));
    if (!logged) fail("%s: lines are missing, the disk refused them: make room there",
                      in_folder(run, path, "log.csv"));
    return disk_took(run, logged) && good;
}
#endif
