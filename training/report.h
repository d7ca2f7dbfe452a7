/* report.h: report.html, a run as one page that needs no server: the sheets with a slider, the
 * curves, options.txt and, after --evaluate, metrics.json. */
#ifndef REPORT_H
#define REPORT_H
#include "core/device.h"
#include "training/run.h"
#include <dirent.h>
#include <math.h>

enum { REPORT_SHEETS = 40 };

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

/* a PNG of the run as the source of an <img>, in base64 (RFC 4648): three bytes as four letters */
static void report_picture(FILE *page, const Run *run, const char *name) {
    static const char letter[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char path[RUN_PATH];
    FILE *from = fopen(in_folder(run, path, name), "rb");
    unsigned char b[3] = {0};
    fprintf(page, " src=\"data:image/png;base64,");
    for (size_t n; from && (n = fread(b, 1, 3, from)) > 0; memset(b, 0, 3)) {
        unsigned bits = (unsigned)b[0] << 16 | (unsigned)b[1] << 8 | b[2];
        for (size_t k = 0; k < 4; k++)
            fputc(k <= n ? letter[bits >> (18 - 6 * k) & 63] : '=', page);
    }
    fprintf(page, "\">\n");
    if (from) fclose(from);
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
        fprintf(page, "<img hidden alt=\"samples after step %ld\" data-step=\"%ld\"", step, step);
        report_picture(page, run, name);
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

static void report_head(FILE *page, const Run *run) {
    char title[200];
    snprintf(title, sizeof title, "%s on %s", run->recipe->name, run->data);
    fprintf(page, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
                  "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    report_escaped(page, title);
    fputs("</title>\n<style>\n"
        ":root { color-scheme: light dark }\n"
        "body { font: 16px/1.45 system-ui, sans-serif; max-width: 1100px; margin: 1.5em auto;\n"
        "  padding: 0 1em }\n"
        "main { display: grid; gap: 1em 2em; align-items: start;\n"
        "  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30em), 1fr)) }\n"
        "figure { margin: 0 } input, img { width: 100% } img[hidden] { display: none }\n"
        "#sheets img { image-rendering: pixelated } details { margin: 1em 0 }\n"
        "pre { overflow-x: auto; font-size: 13px }\n</style>\n<h1>", page);
    report_escaped(page, title);
    fputs("</h1>\n<p>", page);
}

/* Writes the run's report.html. 0: error_text() */
static inline int report_write(const Run *run) {
    char path[RUN_PATH];
    FileWrite w;
    FILE *page = file_begin(&w, in_folder(run, path, "report.html"));
    if (!page) return 0;
    report_head(page, run);
    fprintf(page, "%ld steps in %.0f s, on ", run->gan.step, run->before + now() - run->begin);
    report_escaped(page, device_name(run->gan.ops));
    fprintf(page, "</p>\n<main>\n");
    report_sheets(page, run);
    fprintf(page, "<figure><img alt=\"losses\"");
    report_picture(page, run, "losses.png");
    fprintf(page, "</figure>\n</main>\n");
    report_text(page, run, "metrics.json", "metrics.json");
    report_text(page, run, "options.txt", "options and networks");
    fprintf(page, "</html>\n");
    return file_end(&w, 1);
}
#endif
