/* messages.c: a library to preload: which messages does a test provoke? All messages of the programs and headers are made by snprintf or
 * vsnprintf. The format of each goes to the file MESSAGES, once in a process, and what became of it. tests/messages.sh reads that. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int Print(char *, size_t, const char *, va_list);

int vsnprintf(char *text, size_t size, const char *format, va_list list) {
    static const char *seen[1024];
    static int many;
    static Print *real;
    char line[8000];
    size_t n = 0;
    if (!real) real = (Print *)dlsym(RTLD_NEXT, "vsnprintf");
    int length = real(text, size, format, list), known = 0;
    const char *file = getenv("MESSAGES"), *part[] = { format, size ? text : "" };
    for (int i = 0; i < many && !known; i++) known = seen[i] == format;
    if (!file || strlen(format) < 6 || (known && !strstr(part[1], "expected"))) return length;      /* st_bad's format says many things */
    if (!known && many < 1024) seen[many++] = format;
    for (int k = 0; k < 2; k++, line[n++] = '\n')
        for (const char *c = part[k]; *c && n < 4000 * (size_t)(k + 1) - 10; c++) line[n++] = *c == '\n' ? '?' : *c;
    int to = open(file, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (to >= 0 && write(to, line, n) == (ssize_t)n) close(to);
    return length;
}

int snprintf(char *text, size_t size, const char *format, ...) {
    va_list list;
    va_start(list, format);
    int length = vsnprintf(text, size, format, list);
    va_end(list);
    return length;
}
