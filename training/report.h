/* report.h: log.csv read back, and report.html, a run as one page that needs no server: curves as
 * SVG, the sheets as base64 with a slider, options.txt and, after --evaluate, metrics.json. */
#ifndef REPORT_H
#define REPORT_H
#include "core/device.h"
#include "training/run.h"
#include <dirent.h>
#include <math.h>

enum { LOG_COLUMNS = 24, REPORT_POINTS = 400, REPORT_SHEETS = 40 };

/* ---------------------------------------------------------------- log.csv */

typedef struct Log {
    int columns;
    long rows;
    char name[LOG_COLUMNS][40];
    double *value[LOG_COLUMNS];             /* a list of `rows` numbers for each column */
} Log;

static void log_free(Log *log) {
    for (int k = 0; k < LOG_COLUMNS; k++) free(log->value[k]);
}

/* The run's log; without one it is empty. A line that is not whole is left out. */
static void log_read(Log *log, const Run *run) {
    char path[RUN_PATH], line[1000];
    long most = 0;
    FILE *from = fopen(in_folder(run, path, "log.csv"), "r");
    memset(log, 0, sizeof *log);
    while (from && fgets(line, sizeof line, from)) most++;
    if (from) rewind(from);
    for (int first = 1; log->rows < most && fgets(line, sizeof line, from); first = 0) {
        int whole = strchr(line, '\n') != NULL, column = 0;
        int columns = first ? LOG_COLUMNS : log->columns;
        for (char *c = line; column < columns && (c = strtok(c, ",\n")); c = NULL, column++)
            if (first) {
                snprintf(log->name[column], sizeof log->name[column], "%s", c);
                log->value[column] = new_doubles(most);
            } else log->value[column][log->rows] = atof(c);
        if (first) log->columns = column;
        else log->rows += whole && column == log->columns;
    }
    if (from) fclose(from);
}

/* Each `group` rows become one, their mean; a last group that is not full is left out. */
static void log_thin(Log *log, long group) {
    log->rows /= group;
    for (int k = 0; k < log->columns; k++)
        for (long r = 0; r < log->rows; r++) {
            double sum = 0;
            for (long i = 0; i < group; i++) sum += log->value[k][r * group + i];
            log->value[k][r] = sum / group;
        }
}

/* ---------------------------------------------------------------- pieces of the page */

static void report_escaped(FILE *page, const char *text) {
    for (; *text; text++)
        if (strchr("<>&\"", *text)) fprintf(page, "&#%d;", *text);
        else fputc(*text, page);
}

/* a file of the run as it stands, escaped; nothing if it is not there */
static void report_text(FILE *page, const Run *run, const char *name, const char *title) {
    char path[RUN_PATH], line[1000];
    FILE *from = fopen(in_folder(run, path, name), "r");
    if (!from) return;
    fprintf(page, "<details><summary>%s</summary><pre>", title);
    while (fgets(line, sizeof line, from)) report_escaped(page, line);
    fprintf(page, "</pre></details>\n");
    fclose(from);
}

/* RFC 4648: three bytes as four letters */
static void report_base64(FILE *page, const char *path) {
    static const char letter[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    FILE *from = fopen(path, "rb");
    unsigned char b[3] = {0};
    for (size_t n; from && (n = fread(b, 1, 3, from)) > 0; memset(b, 0, 3)) {
        unsigned bits = (unsigned)b[0] << 16 | (unsigned)b[1] << 8 | b[2];
        for (size_t k = 0; k < 4; k++)
            fputc(k <= n ? letter[bits >> (18 - 6 * k) & 63] : '=', page);
    }
    if (from) fclose(from);
}

/* One chart: the columns from..to (both included) that are not zero everywhere, over the steps */
static void report_chart(FILE *page, const Log *log, const char *title, int from, int to) {
    enum { W = 640, H = 220, LEFT = 56, BOTTOM = H - 24, TOP = 10 };
    static const char *const colour[] = { "#2f7ed8", "#e8743b", "#2a9d6f", "#9b59b6", "#b7950b",
                                          "#c0395b" };
    double low = INFINITY, high = -INFINITY, last = log->value[0][log->rows - 1];
    int shown[LOG_COLUMNS], count = 0;
    for (int k = from; k <= to && k < log->columns; k++) {
        double least = INFINITY, most = -INFINITY;
        for (long r = 0; r < log->rows; r++)
            least = fmin(least, log->value[k][r]), most = fmax(most, log->value[k][r]);
        if (least == 0 && most == 0) continue;
        shown[count++] = k, low = fmin(low, least), high = fmax(high, most);
    }
    if (!count || !isfinite(low) || !isfinite(high)) return;
    double step = pow(10, floor(log10(fmax(high - low, 1e-9 + 1e-6 * fabs(high)))));
    double ticks = (high - low) / step;
    step *= ticks < 2 ? .5 : ticks > 5 ? 2 : 1;
    low = floor(low / step) * step, high = fmax(ceil(high / step) * step, low + step);
    double pixels = (BOTTOM - TOP) / (high - low);
    fprintf(page, "<figure><figcaption><b>%s</b>", title);
    for (int i = 0; i < count; i++)
        fprintf(page, " <span style=\"color:%s\">&#9632; %s</span>", colour[i % 6],
                log->name[shown[i]]);
    fprintf(page, "</figcaption><svg viewBox=\"0 0 %d %d\" role=\"img\">", W, H);
    for (double y = low; y <= high + step / 2; y += step) {
        double at = BOTTOM - (y - low) * pixels;
        fprintf(page, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>"
                      "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>",
                LEFT, at, W, LEFT - 6, at + 4, fabs(y) < step / 1e6 ? 0 : y);
    }
    for (int i = 0; i <= 4; i++)
        fprintf(page, "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\">%.0f</text>",
                LEFT + (W - LEFT) * i / 4, H - 6, i == 0 ? "start" : i == 4 ? "end" : "middle",
                last * i / 4);
    for (int i = 0; i < count; i++) {
        fprintf(page, "<polyline stroke=\"%s\" points=\"", colour[i % 6]);
        for (long r = 0; r < log->rows; r++)
            fprintf(page, "%.1f,%.1f ", LEFT + (W - LEFT) * log->value[0][r] / last,
                    BOTTOM - (log->value[shown[i]][r] - low) * pixels);
        fprintf(page, "\"/>");
    }
    fprintf(page, "</svg></figure>\n");
}

static int report_is_sheet(const struct dirent *e) {
    return !strncmp(e->d_name, "step-", 5) && !strcmp(e->d_name + strcspn(e->d_name, "."), ".png");
}

/* The sheets in the order of their steps, thinned out evenly to REPORT_SHEETS, one of them
 * visible at a time */
static void report_sheets(FILE *page, const Run *run) {
    char path[RUN_PATH], name[300];
    struct dirent **sheet;
    int count = scandir(in_folder(run, path, "samples"), &sheet, report_is_sheet, alphasort);
    int shown = fmin(count, REPORT_SHEETS);
    if (count < 1) return;
    fprintf(page, "<figure><figcaption><b>samples</b> after step <output id=\"at\"></output>"
            "</figcaption>\n<input id=\"way\" type=\"range\" min=\"0\" max=\"%d\" value=\"%d\" "
            "aria-label=\"step\"><div id=\"sheets\">\n", shown - 1, shown - 1);
    for (int i = 0; i < shown; i++) {
        long which = shown > 1 ? (long)i * (count - 1) / (shown - 1) : 0;
        snprintf(name, sizeof name, "samples/%s", sheet[which]->d_name);
        long step = atol(name + strlen("samples/step-"));
        fprintf(page, "<img hidden alt=\"samples after step %ld\" data-step=\"%ld\" "
                "src=\"data:image/png;base64,", step, step);
        report_base64(page, in_folder(run, path, name));
        fprintf(page, "\">\n");
    }
    fprintf(page, "</div></figure>\n<script>\n"
            "const way = document.getElementById('way');\n"
            "const sheets = document.querySelectorAll('#sheets img');\n"
            "way.oninput = () => sheets.forEach((s, i) => { s.hidden = i != way.value; "
            "if (!s.hidden) document.getElementById('at').value = s.dataset.step; });\n"
            "way.oninput();\n</script>\n");
    for (int i = 0; i < count; i++) free(sheet[i]);
    free(sheet);
}

/* ---------------------------------------------------------------- the page */

static void report_head(FILE *page, const Run *run) {
    char title[200];
    snprintf(title, sizeof title, "%s on %s", run->recipe->name, run->data);
    fprintf(page, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
                  "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    report_escaped(page, title);
    fputs("</title>\n<style>\n"
        ":root { color-scheme: light dark; --ink: #222; --soft: #ddd; --paper: #fff }\n"
        "@media (prefers-color-scheme: dark) {\n"
        "  :root { --ink: #ddd; --soft: #444; --paper: #181818 } }\n"
        "body { font: 16px/1.45 system-ui, sans-serif; color: var(--ink);\n"
        "  background: var(--paper); max-width: 1100px; margin: 1.5em auto; padding: 0 1em }\n"
        "main { display: grid; gap: 1em 2em; align-items: start;\n"
        "  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30em), 1fr)) }\n"
        "figure { margin: 0 } figcaption span { white-space: nowrap } input { width: 100% }\n"
        "svg, #sheets img { width: 100%; height: auto; display: block }\n"
        "#sheets img { image-rendering: pixelated; max-width: 760px }\n"
        "#sheets img[hidden] { display: none } .grid { stroke: var(--soft) }\n"
        "svg text { font-size: 12px; fill: var(--ink) }\n"
        "polyline { fill: none; stroke-width: 1.6 } details { margin: 1em 0 }\n"
        "pre { overflow-x: auto; font-size: 13px }\n</style>\n<h1>", page);
    report_escaped(page, title);
    fputs("</h1>\n<p>", page);
}

/* Writes the run's report.html. 0: error_text() */
static inline int report_write(const Run *run) {
    Log log;
    char path[RUN_PATH];
    FileWrite w;
    FILE *page = file_begin(&w, in_folder(run, path, "report.html"));
    if (!page) return 0;
    report_head(page, run);
    log_read(&log, run);
    if (log.rows)
        fprintf(page, "%.0f steps in %.0f s, on ", log.value[0][log.rows - 1],
                log.value[log.columns - 1][log.rows - 1]);
    report_escaped(page, device_name(run->gan.ops));
    fprintf(page, "</p>\n<main>\n");
    report_sheets(page, run);
    fprintf(page, "<section>\n");
    log_thin(&log, 1 + log.rows / (2 * REPORT_POINTS));
    if (log.rows > 1) {                     /* the columns' numbers: see log_open in folder.h */
        report_chart(page, &log, "losses", 1, 2);
        report_chart(page, &log, "D(x) and D(G(z))", 3, 4);
        report_chart(page, &log, "gradient norms", 5, 6);
        if (log.columns > 10) report_chart(page, &log, "parts of G's loss", 8, log.columns - 2);
    }
    log_free(&log);
    fprintf(page, "</section>\n</main>\n");
    report_text(page, run, "metrics.json", "metrics.json");
    report_text(page, run, "options.txt", "options and networks");
    fprintf(page, "</html>\n");
    return file_end(&w, 1);
}
#endif
