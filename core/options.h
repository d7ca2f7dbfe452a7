/* options.h: the command line as one table: parsing, --help, options.txt, what a checkpoint keeps.
 *
 *   static Option table[] = {
 *       INT_OPTION("--batch", &options.batch, "64", 1, 4096, TRAINS, "pictures per step"), ...
 *       END_OF_OPTIONS };
 *   options_parse(table, argc, argv);
 *
 * Each row points at the value that the program uses. `jobs` are bits of the program's own: the
 * jobs for which the option means something (option_not_for). fallback NULL: the program sets the
 * value later. A wrong option ends the program with status 2 and a line that says what is right. */
#ifndef OPTIONS_H
#define OPTIONS_H
#include <stddef.h>
#include <stdint.h>

enum { OPTION_LIST = 8 };
typedef struct OptionList {
    int count, at[OPTION_LIST];         /* at: where on the command line */
    const char *item[OPTION_LIST];
} OptionList;

typedef enum OptionKind {
    OPTION_INT, OPTION_REAL, OPTION_TEXT, OPTION_FLAG, OPTION_WORD, OPTION_TEXTS, OPTION_SEED
} OptionKind;

typedef struct Option {
    const char *name;
    OptionKind kind;
    void *value;
    const char *fallback;               /* the default as text, or NULL */
    double least, most;                 /* of numbers: the range, both ends allowed */
    const char *words;                  /* OPTION_WORD: the words, a space between each two */
    unsigned jobs;
    const char *help;
    int given;                          /* set by the command line: 1; by a resumed run: 2 */
} Option;

/* The rows. Their values: int, double, const char *, int (no value follows), int (the number of one
 * of the words), OptionList (an option given several times), uint64_t (below 2^53) */
#define INT_OPTION(name, value, fallback, least, most, jobs, help) \
    { name, OPTION_INT, value, fallback, least, most, NULL, jobs, help, 0 }
#define REAL_OPTION(name, value, fallback, least, most, jobs, help) \
    { name, OPTION_REAL, value, fallback, least, most, NULL, jobs, help, 0 }
#define TEXT_OPTION(name, value, fallback, jobs, help) \
    { name, OPTION_TEXT, value, fallback, 0, 0, NULL, jobs, help, 0 }
#define FLAG_OPTION(name, value, jobs, help) \
    { name, OPTION_FLAG, value, "0", 0, 1, NULL, jobs, help, 0 }
#define WORD_OPTION(name, value, words, fallback, jobs, help) \
    { name, OPTION_WORD, value, fallback, 0, 0, words, jobs, help, 0 }
#define TEXTS_OPTION(name, value, jobs, help) \
    { name, OPTION_TEXTS, value, "", 0, 0, NULL, jobs, help, 0 }
#define SEED_OPTION(name, value, fallback, jobs, help) \
    { name, OPTION_SEED, value, fallback, 0, 9007199254740992.0, NULL, jobs, help, 0 }
#define END_OF_OPTIONS { NULL, OPTION_INT, NULL, NULL, 0, 0, NULL, 0, NULL, 0 }

/* Defaults first, then argv, "--name value" or "--name=value". */
void options_parse(Option *table, int argc, char **argv);

/* One value from text, checked like the command line's; `where` begins the message. */
void options_set(Option *option, const char *text, const char *where);

/* The defaults of a recipe: rows without a fallback that point into the struct at `in` (size bytes)
 * and that are not given take the value at the same place of the struct at `from`. */
void options_defaults(Option *table, void *in, const void *from, size_t size);

Option *option_find(Option *table, const char *name);
int option_given(Option *table, const char *name);      /* Option.given */

/* The first option on the command line that is for other jobs only, or NULL (jobs 0: for all). */
const Option *option_not_for(const Option *table, unsigned jobs);

/* The value in force, as the command line would give it. */
const char *option_text(const Option *option, char text[64]);
/* On stdout. otherwise: what to call the default of an option without fallback, or NULL */
void options_help(const Option *table, const char *otherwise);

/* ", did you mean 'X'?" for the nearest of `count` strings, `stride` bytes apart, by edit distance;
 * "" where none is near. */
const char *did_you_mean(const char *word, const void *candidates, int count, long stride);

/* First thing in main. OpenMP's threads wait for each other many times in a step. If they spin all
 * that time, a step takes several times as long when another program wants the same cores; if they
 * sleep at once, it takes up to a third longer on an idle machine. So, unless OMP_WAIT_POLICY is
 * set, the program lets them spin a moment and then sleep. For that it starts itself anew: the
 * library reads the variables before main. Besides, no file gets the number of a closed stdout, and
 * neither a limit on files nor a reader who has gone ends the program in mid-write. */
void program_begin(char **argv);
#endif

#if defined(OPTIONS_IMPLEMENTATION) && !defined(OPTIONS_IMPLEMENTED)
#define OPTIONS_IMPLEMENTED
#include "core/error.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void program_begin(char **argv) {
    int open_one = 0;
    while (open_one >= 0 && open_one < 3) open_one = open("/dev/null", O_RDWR);
    if (open_one > 2) close(open_one);
    signal(SIGXFSZ, SIG_IGN), signal(SIGPIPE, SIG_IGN);
    if (getenv("OMP_WAIT_POLICY") || setenv("OMP_WAIT_POLICY", "passive", 1)) return;
    setenv("GOMP_SPINCOUNT", "3000", 0);                /* read by GCC's library */
    execv("/proc/self/exe", argv);      /* returns only where there is no /proc: go on as we are */
}

static int edit_distance(const char *a, const char *b) {    /* Levenshtein (1966), row by row */
    int row[64], n = strlen(b);
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

const char *did_you_mean(const char *word, const void *candidates, int count, long stride) {
    static char text[100];
    const char *best = NULL;
    int distance = strlen(word) / 2 + 1;
    for (int i = 0; i < count; i++) {
        const char *name = *(const char *const *)((const char *)candidates + i * stride);
        int e = edit_distance(word, name);
        if (e < distance) distance = e, best = name;
    }
    if (!best) return "";
    snprintf(text, sizeof text, ", did you mean '%.70s'?", best);
    return text;
}

Option *option_find(Option *table, const char *name) {
    for (Option *o = table; o->name; o++)
        if (!strcmp(o->name, name)) return o;
    return NULL;
}
int option_given(Option *table, const char *name) { return option_find(table, name)->given; }

const Option *option_not_for(const Option *table, unsigned jobs) {
    for (const Option *o = table; o->name; o++)
        if (o->given == 1 && o->jobs && !(o->jobs & jobs)) return o;
    return NULL;
}

/* the number of the word `text`; else "--body x: expected residual, inception or separable" */
static int option_word(const Option *option, const char *text, const char *where) {
    char words[200], all[300] = "";
    const char *names[12];
    int count = 0;
    snprintf(words, sizeof words, "%s", option->words);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
        if (!strcmp(text, word)) return count;
        names[count++] = word;
    }
    for (int i = 0; i < count; i++)
        strcat(strcat(all, i == 0 ? "" : i + 1 < count ? ", " : " or "), names[i]);
    die(*where ? 1 : 2, "%s%s %s: expected %s%s", where, option->name, *text ? text : "''", all,
        did_you_mean(text, names, count, sizeof *names));
}

static double option_number(const Option *option, const char *text, const char *where) {
    int whole = option->kind != OPTION_REAL;
    char *end;
    errno = 0;
    double x = strtod(text, &end);
    int good = end > text && !*end && errno != ERANGE && x >= option->least && x <= option->most;
    if (!good || (whole && x != floor(x)))
        die(*where ? 1 : 2, "%s%s %s: expected %s from %.12g to %.12g", where, option->name,
            *text ? text : "''", whole ? "a whole number" : "a number", option->least,
            option->most);
    return x;
}

void options_set(Option *option, const char *text, const char *where) {
    void *value = option->value;
    OptionList *list = value;
    switch (option->kind) {
        case OPTION_TEXT: *(const char **)value = text; break;
        case OPTION_WORD: *(int *)value = option_word(option, text, where); break;
        case OPTION_INT: case OPTION_FLAG:
            *(int *)value = option_number(option, text, where);
            break;
        case OPTION_SEED: *(uint64_t *)value = option_number(option, text, where); break;
        case OPTION_REAL: *(double *)value = option_number(option, text, where); break;
        case OPTION_TEXTS:
            if (list->count == OPTION_LIST)
                die(2, "%s%s is given more than %d times", where, option->name, OPTION_LIST);
            if (*text) list->item[list->count++] = text;
    }
}

static const struct { const char *shown; size_t bytes; } option_kinds[] = {
    [OPTION_INT] = { " N", sizeof(int) }, [OPTION_REAL] = { " X", sizeof(double) },
    [OPTION_TEXT] = { " TEXT", sizeof(char *) }, [OPTION_FLAG] = { "", sizeof(int) },
    [OPTION_WORD] = { " WORD", sizeof(int) }, [OPTION_TEXTS] = { " TEXT", 0 },
    [OPTION_SEED] = { " N", sizeof(uint64_t) } };

void options_defaults(Option *table, void *in, const void *from, size_t size) {
    for (Option *o = table; o->name; o++) {
        uintptr_t at = (uintptr_t)o->value - (uintptr_t)in;
        if (!o->given && !o->fallback && at < size)
            memcpy(o->value, (const char *)from + at, option_kinds[o->kind].bytes);
    }
}

void options_parse(Option *table, int argc, char **argv) {
    int count = 0;
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
        if (!o || argv[i][0] != '-')
            die(2, "unknown option '%s'%s: --help lists them all", argv[i],
                did_you_mean(name, table, count, sizeof *table));
        const char *text = equals ? equals + 1 : o->kind == OPTION_FLAG ? "1"
                         : i + 1 < argc && !option_find(table, argv[i + 1]) ? argv[++i] : "";
        int line = (int)strcspn(o->help, "\n");
        if (!*text)
            die(2, "%s needs a value: %.*s%s", o->name, line, o->help,
                o->help[line] ? " (--help says more)" : "");
        options_set(o, text, "");
        OptionList *list = o->kind == OPTION_TEXTS ? o->value : NULL;
        if (list) list->at[list->count - 1] = i;
        o->given = 1;
    }
}

const char *option_text(const Option *option, char text[64]) {
    const void *value = option->value;
    const char *word = option->words;
    switch (option->kind) {
        case OPTION_TEXTS: return "";       /* only programs without an options.txt have lists */
        case OPTION_TEXT: return *(const char *const *)value ? *(const char *const *)value : "";
        case OPTION_INT: case OPTION_FLAG: snprintf(text, 64, "%d", *(const int *)value); break;
        case OPTION_SEED: snprintf(text, 64, "%ju", (uintmax_t)*(const uint64_t *)value); break;
        case OPTION_WORD:
            for (int i = 0; i < *(const int *)value; i++) word += strcspn(word, " ") + 1;
            snprintf(text, 64, "%.*s", (int)strcspn(word, " "), word);
            break;
        case OPTION_REAL:                   /* the shortest text that reads back the same */
            for (int digits = 1; digits <= 17; digits++) {
                snprintf(text, 64, "%.*g", digits, *(const double *)value);
                if (strtod(text, NULL) == *(const double *)value) break;
            }
    }
    return text;
}

void options_help(const Option *table, const char *otherwise) {
    for (const Option *o = table; o->name; o++) {
        const char *usual = o->fallback ? o->fallback : otherwise;
        int shown = usual && *usual && o->kind != OPTION_FLAG;
        char left[40];
        snprintf(left, sizeof left, "%s%s", o->name, option_kinds[o->kind].shown);
        printf("  %-24s %s%s%s%s\n", left, o->help, shown ? " (default " : "",
               shown ? usual : "", shown ? ")" : "");
    }
    if (fflush(stdout)) die(1, "standard output: %s", strerror(errno));
}
#endif
