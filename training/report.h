/* report.h: what a run leaves, as one page: report_write("runs/dcgan", "cpu, 2 threads") writes runs/dcgan/report.html from log.csv,
 * samples/step-*.png, options.txt and, where --evaluate has been, metrics.json. Everything is in that one file, so that it can be sent
 * around and opens without a server: curves as SVG, pictures as base64, a slider to walk through training. Errors: 0, errno tells. */
#ifndef REPORT_H
#define REPORT_H
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPORT_COLUMNS = 24, REPORT_POINTS = 400, REPORT_SHEETS = 40 };

static void report_escaped(FILE *to, const char *text) {
    for (; *text; text++)
        if (strchr("<>&\"", *text)) fprintf(to, "&#%d;", *text);
        else fputc(*text, to);
}

/* a file as it stands, escaped; nothing if it is not there */
static void report_text(FILE *to, const char *folder, const char *name, const char *title) {
    char path[4300], line[1000];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *from = fopen(path, "r");
    if (!from) return;
    fprintf(to, "<details><summary>%s</summary><pre>", title);
    while (fgets(line, sizeof line, from)) report_escaped(to, line);
    fprintf(to, "</pre></details>\n");
    fclose(from);
}

/* RFC 4648: three bytes as four letters */
static void report_base64(FILE *to, const char *path) {
    static const char letter[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    FILE *from = fopen(path, "rb");
    unsigned char b[3];
    size_t n;
    while (from && (n = fread(b, 1, 3, from)) > 0) {
        unsigned long bits = (unsigned long)b[0] << 16 | (n > 1 ? (unsigned long)b[1] << 8 : 0) | (n > 2 ? b[2] : 0);
        for (size_t k = 0; k < 4; k++) fputc(k <= n ? letter[bits >> (18 - 6 * k) & 63] : '=', to);
    }
    if (from) fclose(from);
}

/* log.csv: the names of its columns, and its lines averaged to at most REPORT_POINTS rows. Returns how many rows. */
typedef struct ReportLog { int columns, rows; char name[REPORT_COLUMNS][40]; double value[2 * REPORT_POINTS][REPORT_COLUMNS]; } ReportLog;
static int report_log(ReportLog *log, const char *folder) {
    char path[4300], line[1000];
    long weight = 1, have = 0;                            /* lines in a row; lines already in the last one */
    memset(log, 0, sizeof *log);
    snprintf(path, sizeof path, "%s/log.csv", folder);
    FILE *from = fopen(path, "r");
    for (int first = 1; from && fgets(line, sizeof line, from); first = 0) {
        double row[REPORT_COLUMNS] = {0};
        int column = 0;
        for (char *c = strtok(line, ",\n"); c && column < REPORT_COLUMNS; c = strtok(NULL, ",\n"), column++)
            if (first) snprintf(log->name[column], sizeof log->name[column], "%s", c);
            else row[column] = atof(c);
        if (first) { log->columns = column; continue; }
        if (have == 0 && log->rows == 2 * REPORT_POINTS) {                      /* full: each two become one */
            for (int r = 0; r < REPORT_POINTS; r++)
                for (int k = 0; k < log->columns; k++) log->value[r][k] = (log->value[2 * r][k] + log->value[2 * r + 1][k]) / 2;
            memset(log->value[REPORT_POINTS], 0, sizeof log->value / 2);
            log->rows = REPORT_POINTS, weight *= 2;
        }
        if (have == 0) log->rows++;
        for (int k = 0; k < log->columns; k++) log->value[log->rows - 1][k] += row[k] / (double)weight;
        have = (have + 1) % weight;
    }
    if (from) fclose(from);
    if (have) log->rows--;                                /* a row that is not full would be too small */
    return log->rows;
}

/* One chart: the columns from..to (both included) that are not zero everywhere, over the steps */
static void report_chart(FILE *page, const ReportLog *log, const char *title, int from, int to) {
    enum { W = 640, H = 220, LEFT = 56, BELOW = 24 };
    static const char *const colour[] = { "#2f7ed8", "#e8743b", "#2a9d6f", "#9b59b6", "#b7950b", "#c0395b" };
    double low = INFINITY, high = -INFINITY, end = log->value[log->rows - 1][0];
    int shown[REPORT_COLUMNS], count = 0;
    for (int k = from; k <= to && k < log->columns; k++) {
        int used = 0;
        for (int r = 0; r < log->rows; r++) used |= log->value[r][k] != 0;
        if (used) shown[count++] = k;
        for (int r = 0; used && r < log->rows; r++) low = fmin(low, log->value[r][k]), high = fmax(high, log->value[r][k]);
    }
    if (!count || !isfinite(low) || !isfinite(high)) return;
    double step = pow(10, floor(log10(fmax(high - low, 1e-9 + 1e-6 * fabs(high))))), ticks = (high - low) / step;
    step *= ticks < 2 ? .5 : ticks > 5 ? 2 : 1;
    low = floor(low / step) * step, high = fmax(ceil(high / step) * step, low + step);
    fprintf(page, "<figure><figcaption><b>%s</b>", title);
    for (int i = 0; i < count; i++) {
        fprintf(page, " <span style=\"color:%s\">&#9632; ", colour[i % 6]);
        report_escaped(page, log->name[shown[i]]);
        fprintf(page, "</span>");
    }
    fprintf(page, "</figcaption><svg viewBox=\"0 0 %d %d\" role=\"img\">", W, H);
    for (double y = low; y <= high + step / 2; y += step) {
        double at = (H - BELOW) - (y - low) / (high - low) * (H - BELOW - 10);
        fprintf(page, "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>", LEFT, at, W, LEFT - 6, at + 4,
                fabs(y) < step / 1e6 ? 0 : y);
    }
    for (int i = 0; i <= 4; i++)
        fprintf(page, "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\">%.0f</text>", LEFT + (W - LEFT) * i / 4, H - 6, i == 0 ? "start" : i == 4 ? "end" : "middle", end * i / 4);
    for (int i = 0; i < count; i++) {
        fprintf(page, "<polyline stroke=\"%s\" points=\"", colour[i % 6]);
        for (int r = 0; r < log->rows; r++)
            fprintf(page, "%.1f,%.1f ", LEFT + (W - LEFT) * log->value[r][0] / end,
                    (H - BELOW) - (log->value[r][shown[i]] - low) / (high - low) * (H - BELOW - 10));
        fprintf(page, "\"/>");
    }
    fprintf(page, "</svg></figure>\n");
}

static int report_order(const void *a, const void *b) { return strcmp(a, b); }

/* The sheets in the order of their steps, thinned out evenly to REPORT_SHEETS, one of them visible at a time */
static void report_sheets(FILE *page, const char *folder) {
    char path[4300], (*name)[40] = NULL;
    long count = 0;
    snprintf(path, sizeof path, "%s/samples", folder);
    DIR *samples = opendir(path);
    for (struct dirent *e; samples && (e = readdir(samples));) {
        if (strncmp(e->d_name, "step-", 5) || !strstr(e->d_name, ".png") || strlen(e->d_name) >= sizeof *name) continue;
        void *more = realloc(name, (size_t)(count + 1) * sizeof *name);
        if (!more) break;
        name = more, snprintf(name[count++], sizeof *name, "%s", e->d_name);
    }
    if (samples) closedir(samples);
    if (!count) return;
    qsort(name, (size_t)count, sizeof *name, report_order);
    long shown = count < REPORT_SHEETS ? count : REPORT_SHEETS;
    fprintf(page, "<figure><figcaption><b>samples</b> after step <output id=\"at\"></output></figcaption>\n"
                  "<input id=\"way\" type=\"range\" min=\"0\" max=\"%ld\" value=\"%ld\" aria-label=\"step\"><div id=\"sheets\">\n", shown - 1, shown - 1);
    for (long i = 0; i < shown; i++) {
        long k = shown > 1 ? i * (count - 1) / (shown - 1) : 0;
        fprintf(page, "<img hidden alt=\"samples after step %ld\" data-step=\"%ld\" src=\"data:image/png;base64,", atol(name[k] + 5), atol(name[k] + 5));
        snprintf(path, sizeof path, "%s/samples/%s", folder, name[k]);
        report_base64(page, path);
        fprintf(page, "\">\n");
    }
    fprintf(page, "</div></figure>\n<script>\nconst way = document.getElementById('way'), sheets = document.querySelectorAll('#sheets img');\n"
                  "way.oninput = () => sheets.forEach((s, i) => { s.hidden = i != way.value; if (!s.hidden) document.getElementById('at').value = s.dataset.step; });\n"
                  "way.oninput();\n</script>\n");
    free(name);
}

static int report_write(const char *folder, const char *title, const char *device) {
    static ReportLog log;
    char path[4300], last[4300], line[300], processor[200] = "";
    FILE *cpu = fopen("/proc/cpuinfo", "r");
    while (cpu && fgets(line, sizeof line, cpu))
        if (!*processor && !strncmp(line, "model name", 10) && strchr(line, ':')) snprintf(processor, sizeof processor, ", %.*s", (int)strcspn(strchr(line, ':') + 2, "\n"), strchr(line, ':') + 2);
    if (cpu) fclose(cpu);
    snprintf(path, sizeof path, "%s/report.html.tmp", folder);
    FILE *page = fopen(path, "w");
    if (!page) return 0;
    fprintf(page, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    report_escaped(page, title);
    fprintf(page, "</title>\n<style>\n:root { color-scheme: light dark; --ink: #222; --soft: #ddd; --paper: #fff }\n"
        "@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --soft: #444; --paper: #181818 } }\n"
        "body { font: 16px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1100px; margin: 1.5em auto; padding: 0 1em }\n"
        "main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%%, 30em), 1fr)); gap: 1em 2em; align-items: start }\n"
        "figure { margin: 0 } figcaption span { white-space: nowrap } svg, #sheets img { width: 100%%; height: auto; display: block } #sheets img[hidden] { display: none }\n"
        "#sheets img { image-rendering: pixelated; max-width: 760px } input { width: 100%% }\n"
        "svg text { font-size: 12px; fill: var(--ink) } .grid { stroke: var(--soft) } polyline { fill: none; stroke-width: 1.6 }\n"
        "details { margin: 1em 0 } pre { overflow-x: auto; font-size: 13px }\n</style>\n<h1>");
    report_escaped(page, title);
    fprintf(page, "</h1>\n<p>");
    if (report_log(&log, folder) > 0)
        fprintf(page, "%.0f steps in %.0f s, on ", log.value[log.rows - 1][0], log.value[log.rows - 1][log.columns - 1]);
    report_escaped(page, device), report_escaped(page, processor);
    fprintf(page, "</p>\n<main>\n");
    report_sheets(page, folder);
    fprintf(page, "<section>\n");
    if (log.rows > 1) {                                   /* step, loss_d, loss_g, d_real, d_fake, norm_d, norm_g, batch_std, the parts of loss_g, seconds */
        report_chart(page, &log, "losses", 1, 2);
        report_chart(page, &log, "D(x) and D(G(z))", 3, 4);
        report_chart(page, &log, "gradient norms", 5, 6);
        if (log.columns > 10) report_chart(page, &log, "parts of G's loss", 8, log.columns - 2);
    }
    fprintf(page, "</section>\n</main>\n");
    report_text(page, folder, "metrics.json", "metrics.json");
    report_text(page, folder, "options.txt", "options and networks");
    fprintf(page, "</html>\n");
    int good = !ferror(page);                             /* half a report never takes the place of the last one */
    good = !fclose(page) && good;
    snprintf(last, sizeof last, "%s/report.html", folder);
    return (good && !rename(path, last)) || (unlink(path), 0);
}
#endif
