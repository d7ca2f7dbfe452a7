/* options.h: command-line options as one table: parsing, --help, options.txt, and the values a checkpoint carries.
 *
 *   static Option table[] = {
 *       { "--batch", 'i', &batch, "64", 1, 65536, "pictures per step" }, ...  { 0 } };
 *   options_parse("train", table, argc, argv);
 *
 * Kinds: 'i' long, 'd' double, 's' string (const char *), 'f' flag (int; no value follows), 'l' list (OptionList: the option may be
 * given several times). Where a fallback is NULL the program fills the value in later. A wrong option ends the program with status 2 and one line that says what was expected. */
#ifndef OPTIONS_H
#define OPTIONS_H

enum { OPTION_LIST = 8 };
typedef struct OptionList { int count; const char *item[OPTION_LIST]; } OptionList;

typedef struct Option {
    const char *name;
    char kind;
    void *value;
    const char *fallback;               /* the default as text, or NULL */
    double least, most;                 /* 'i' and 'd': the range, both ends allowed */
    const char *help;
    int given;                          /* set by the command line: 1; by a resumed run: 2 */
} Option;

/* One line on standard error, "program: ...", whatever the names in it hold. say returns 0; die ends the program. */
__attribute__((format(printf, 1, 2))) int say(const char *format, ...);
__attribute__((format(printf, 2, 3), noreturn)) void die(int status, const char *format, ...);
extern int line_open;                   /* 1: the terminal shows an unfinished line, which say ends first */
extern int quiet;                       /* 1: say says nothing, and die waits two seconds first: see parallel.h */
extern void (*on_death)(int status);    /* what die does after its line, before it ends the program, or NULL */

/* Defaults first, then argv. "--name value" and "--name=value" both work. Unknown options name the nearest known one. */
void options_parse(const char *program, Option *table, int argc, char **argv);

/* One value from text, checked like the command line's (`where` names its origin in the message). */
void options_set(Option *option, const char *text, const char *where);

Option *option_find(Option *table, const char *name);
const char *option_text(const Option *option, char text[64]);      /* the value in force, as the command line would give it */
void options_help(const Option *table, void *file);

/* The candidate (list of `count` strings, `stride` bytes apart) nearest to `word` by edit distance, or NULL when none is near. */
const char *nearest(const char *word, const void *candidates, int count, long stride);

/* First thing in main. OpenMP's threads spin while they wait for each other; where other programs want the same cores, that
 * can make training several times slower. Waiting passively costs a tenth to a quarter on an idle machine (BENCHMARKS.md);
 * OMP_WAIT_POLICY=active ./train takes that back. The library reads OMP_WAIT_POLICY before main
 * begins, so the program starts itself again with the setting in place; whoever has set the variable keeps his choice. */
void patient_threads(char **argv);
#endif

#if defined(OPTIONS_IMPLEMENTATION) && !defined(OPTIONS_IMPLEMENTED)
#define OPTIONS_IMPLEMENTED
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int line_open, quiet;
void (*on_death)(int status);
static const char *options_program = "";

static void say_list(const char *format, va_list list) {
    char line[9000];
    vsnprintf(line, sizeof line, format, list);
    for (char *c = line; *c; c++) if ((unsigned char)*c < 32 || *c == 127) *c = '?';
    if (line_open) printf("\n");
    line_open = 0;
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", options_program, line);
}

int say(const char *format, ...) {
    va_list list;
    if (quiet) return 0;
    va_start(list, format);
    say_list(format, list);
    va_end(list);
    return 0;
}

void die(int status, const char *format, ...) {
    va_list list;
    if (quiet) sleep(2);
    va_start(list, format);
    say_list(format, list);
    va_end(list);
    if (on_death) on_death(status);
    exit(status);
}

void patient_threads(char **argv) {
    if (getenv("OMP_WAIT_POLICY") || setenv("OMP_WAIT_POLICY", "passive", 1)) return;      /* without memory it would start again for ever */
    execv("/proc/self/exe", argv);                                 /* returns only where there is no /proc: then go on as we are */
}

static int edit_distance(const char *a, const char *b) {           /* Levenshtein (1966), one row of the table at a time */
    int row[64], n = (int)strlen(b);
    if (n > 63) return 99;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *nearest(const char *word, const void *candidates, int count, long stride) {
    const char *best = NULL;
    int distance = (int)strlen(word) / 2 + 1;
    for (int i = 0; i < count; i++) {
        const char *name = *(const char *const *)((const char *)candidates + i * stride);
        int e = edit_distance(word, name);
        if (e < distance) distance = e, best = name;
    }
    return best;
}

Option *option_find(Option *table, const char *name) {
    for (Option *o = table; o->name; o++)
        if (!strcmp(o->name, name)) return o;
    return NULL;
}

void options_set(Option *option, const char *text, const char *where) {
    char *end;
    double x = 0;
    if (option->kind == 's') { *(const char **)option->value = text; return; }
    if (option->kind == 'l') {
        OptionList *list = option->value;
        if (list->count == OPTION_LIST) die(2, "%s%s is given more than %d times", where, option->name, OPTION_LIST);
        if (*text) list->item[list->count++] = text;
        return;
    }
    if (option->kind == 'f') { *(int *)option->value = strcmp(text, "0") != 0; return; }
    errno = 0;
    x = strtod(text, &end);
    if (end == text || *end || errno == ERANGE || !(x >= option->least && x <= option->most)
        || (option->kind == 'i' && x != floor(x)))
        die(*where ? 1 : 2, "%s%s %s: expected %s from %.12g to %.12g", where, option->name, *text ? text : "''",
            option->kind == 'i' ? "a whole number" : "a number", option->least, option->most);
    if (option->kind == 'i') *(long *)option->value = (long)x;
    else *(double *)option->value = x;
}

void options_parse(const char *program, Option *table, int argc, char **argv) {
    int count = 0;
    options_program = program;
    for (Option *o = table; o->name; o++, count++) {
        o->given = 0;
        if (o->fallback) options_set(o, o->fallback, "default of ");
    }
    for (int i = 1; i < argc; i++) {
        char name[64];
        const char *equals = strchr(argv[i], '=');
        size_t length = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        snprintf(name, sizeof name, "%.*s", (int)length, argv[i]);
        Option *o = option_find(table, strcmp(name, "-h") ? name : "--help");
        if (!o || argv[i][0] != '-') {
            const char *near = nearest(name, table, count, sizeof *table);
            die(2, "unknown option '%s'%s%s%s: --help lists them all", argv[i], near ? ", did you mean '" : "",
                near ? near : "", near ? "'?" : "");
        }
        const char *text = equals ? equals + 1 : o->kind == 'f' ? "1" : i + 1 < argc ? argv[++i] : "";
        if (!*text) die(2, "%s needs a value: %.*s", o->name, (int)strcspn(o->help, "\n"), o->help);
        options_set(o, text, "");
        o->given = 1;
    }
}

const char *option_text(const Option *option, char text[64]) {
    if (option->kind == 'l') return "";                                /* only programs without an options.txt have lists */
    if (option->kind == 's') return *(const char **)option->value ? *(const char **)option->value : "";
    if (option->kind == 'f') snprintf(text, 64, "%d", *(int *)option->value);
    else if (option->kind == 'i') snprintf(text, 64, "%ld", *(long *)option->value);
    else snprintf(text, 64, "%.17g", *(double *)option->value);
    double shorter = option->kind == 'd' ? *(double *)option->value : 0;      /* the shortest text that reads back the same */
    for (int digits = 1; option->kind == 'd' && digits < 17; digits++) {
        snprintf(text, 64, "%.*g", digits, shorter);
        if (strtod(text, NULL) == shorter) break;
    }
    return text;
}

void options_help(const Option *table, void *file) {
    for (const Option *o = table; o->name; o++) {
        char left[40];
        snprintf(left, sizeof left, "%s%s", o->name, o->kind == 'i' ? " N" : o->kind == 'd' ? " X" : o->kind == 'f' ? "" : " TEXT");
        fprintf(file, "  %-24s %s%s%s%s\n", left, o->help, o->fallback && *o->fallback && o->kind != 'f' ? " (default " : "",
                o->fallback && o->kind != 'f' ? o->fallback : "", o->fallback && *o->fallback && o->kind != 'f' ? ")" : "");
    }
}
#endif
