/* error.h: one way to fail with a message, and one way to tell the user.
 *
 * A function that can fail says why and returns 0; its callers pass the 0 on; the program, at the
 * top, tells the user:
 *
 *     if (!file) return fail("%s: %s: choose another folder", path, strerror(errno));
 *     must(image_load(&photo, path));          ends the program with that message and status 1
 *
 * A message is one line: what, where, what was expected, what to do. For each header of core/ with
 * an X_IMPLEMENTATION, one .c file of the program defines that name before it includes it. */
#ifndef ERROR_H
#define ERROR_H
#include <stddef.h>

/* Keeps the message and returns 0. The arguments may include error_text() itself. */
__attribute__((format(printf, 1, 2))) int fail(const char *format, ...);
const char *error_text(void);           /* the last message of fail, "" before the first */

/* One line on standard output; on standard error, "program: ...". say returns 0; die ends the
 * program; must(0) dies with error_text() and status 1. */
__attribute__((format(printf, 1, 2))) void tell(const char *format, ...);
__attribute__((format(printf, 1, 2))) int say(const char *format, ...);
__attribute__((format(printf, 2, 3), noreturn)) void die(int status, const char *format, ...);
void must(int good);

/* Progress: on a terminal each call writes over the line of the last one (say and die begin a new
 * line first); elsewhere each gets a line of its own. "" ends it. */
__attribute__((format(printf, 1, 2))) void progress_line(const char *format, ...);
int progress_on_terminal(void);

double now(void);                       /* seconds of a clock that never jumps */

/* Memory for `count` things, all zeros. Where there is none left, the program ends. */
void *room_for(double count, size_t bytes);
float *new_floats(double count);
double *new_doubles(double count);

/* The name that say and die begin with. quiet: say says nothing and die waits two seconds
 * (parallel.h: rank 0 speaks first). on_death: what die calls after its line, or NULL. */
void error_program(const char *name, int quiet, void (*on_death)(int status));
#endif

#if defined(ERROR_IMPLEMENTATION) && !defined(ERROR_IMPLEMENTED)
#define ERROR_IMPLEMENTED
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    char text[9000];                    /* of the last fail */
    const char *program;
    int quiet, line_open;               /* line_open: the terminal shows a progress line */
    void (*on_death)(int status);
} error = { .program = "" };

/* A file's name may hold control characters, which a terminal would obey: U+0000 .. U+001F, U+007F
 * and U+0080 .. U+009F (in UTF-8 C2 80 .. C2 9F) become '?' in all that is kept or told here. */
static void plain_text(char *line) {
    const unsigned char *from = (const unsigned char *)line;
    for (; *from; from++) {
        int two = from[0] == 0xc2 && from[1] >= 0x80 && from[1] < 0xa0;
        *line++ = two || *from < 32 || *from == 127 ? '?' : (char)*from;
        from += two;
    }
    *line = 0;
}

/* declares line, and formats into it the arguments behind format */
#define ERROR_LINE(format) \
    char line[9000]; \
    va_list list; \
    va_start(list, format); \
    vsnprintf(line, sizeof line, format, list); \
    va_end(list); \
    plain_text(line)

int fail(const char *format, ...) {
    ERROR_LINE(format);
    memcpy(error.text, line, sizeof line);
    return 0;
}
const char *error_text(void) { return error.text; }

void tell(const char *format, ...) {
    ERROR_LINE(format);
    puts(line);
}

static void error_say(const char *line) {
    progress_line("%s", "");
    fprintf(stderr, "%s: %s\n", error.program, line);
}

int say(const char *format, ...) {
    ERROR_LINE(format);
    if (!error.quiet) error_say(line);
    return 0;
}

void die(int status, const char *format, ...) {
    ERROR_LINE(format);
    if (error.quiet) sleep(2);
    error_say(line);
    if (error.on_death) error.on_death(status);
    exit(status);
}

void must(int good) {
    if (!good) die(1, "%s", error_text());
}

/* mpirun shows its ranks a terminal, always; only there is something to do on death */
int progress_on_terminal(void) { return !error.on_death && isatty(STDOUT_FILENO); }

void *room_for(double count, size_t bytes) {
    void *x = calloc((size_t)count + 1, bytes);
    if (!x) die(1, "not enough memory: take smaller pictures, or fewer at a time");
    return x;
}
float *new_floats(double count) { return room_for(count, sizeof(float)); }
double *new_doubles(double count) { return room_for(count, sizeof(double)); }

double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_line(const char *format, ...) {
    ERROR_LINE(format);
    int terminal = progress_on_terminal();
    if (!*line && error.line_open) printf("\n");
    if (*line) printf(terminal ? "\r%s\033[K" : "%s\n", line);
    error.line_open = *line && terminal;
    fflush(stdout);
}

void error_program(const char *name, int quiet, void (*on_death)(int status)) {
    error.program = name, error.quiet = quiet, error.on_death = on_death;
}
#endif
