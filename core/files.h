/* files.h: folders, whole files read, and files that are written whole or not at all.
 *
 *     FileWrite w;
 *     FILE *file = file_begin(&w, "run/options.txt");
 *     if (!file) return 0;
 *     fprintf(file, "...");
 *     return file_end(&w, 1);
 *
 * Functions that can fail return 0 (or NULL) and leave one line in error_text(). */
#ifndef FILES_H
#define FILES_H
#include "core/error.h"
#include <stddef.h>
#include <stdio.h>

int is_folder(const char *path);
int same_file(const char *a, const char *b);    /* by any names; both must exist */
/* Can a file be written there? Asked before the work begins; `option` has named it. */
int file_writable(const char *path, const char *option);

/* Makes the folder and those above it. Errors: a file is in the way; you may not write in it. */
int folder_make(const char *path);

/* Opens a regular file (a pipe would block) to be read, and says how long it is. NULL: an error */
FILE *file_open(const char *path, size_t *bytes);

/* All bytes of a file of 1 byte to 1 GB; free(*data) afterwards. After an error *data is NULL. */
enum { FILE_MOST = 1 << 30 };
int file_read(unsigned char **data, size_t *bytes, const char *path);

/* The first bytes of a file, at most n: how many; -1 after an error */
long file_head(unsigned char *bytes, size_t n, const char *path);

/* file_begin opens `path`.tmp-PROCESS, beside path. file_end closes it and renames it to path, so
 * that path always holds the whole old file or the whole new one. If the disk refuses, or good is 0
 * because the caller has failed, file_end removes the new file and returns 0. path must stay. */
typedef struct FileWrite { FILE *file; const char *path; char fresh[4128]; } FileWrite;
FILE *file_begin(FileWrite *w, const char *path);
int file_end(FileWrite *w, int good);

#endif

#if defined(FILES_IMPLEMENTATION) && !defined(FILES_IMPLEMENTED)
#define FILES_IMPLEMENTED
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int is_folder(const char *path) {
    struct stat s;
    return !stat(path, &s) && S_ISDIR(s.st_mode);
}

int same_file(const char *a, const char *b) {
    struct stat s, t;
    return !stat(a, &s) && !stat(b, &t) && s.st_dev == t.st_dev && s.st_ino == t.st_ino;
}

int folder_make(const char *path) {
    char part[4096];
    for (size_t i = 1; i <= strlen(path); i++) {
        if (path[i] && path[i] != '/') continue;
        snprintf(part, sizeof part, "%.*s", (int)i, path);
        if (mkdir(part, 0777) && errno != EEXIST) return fail("%s: %s", part, strerror(errno));
    }
    if (!is_folder(path)) return fail("%s: is a file, expected a folder", path);
    return !access(path, W_OK | X_OK) || fail("%s: %s", path, strerror(errno));
}

FILE *file_open(const char *path, size_t *bytes) {
    struct stat info = {0};
    int special = !stat(path, &info) && !S_ISREG(info.st_mode);
    FILE *file = special ? NULL : fopen(path, "rb");
    *bytes = (size_t)info.st_size;
    if (!file) fail("%s: %s", path, !special ? strerror(errno) : S_ISDIR(info.st_mode)
                    ? "is a folder, a file was expected" : "is not a regular file");
    return file;
}

int file_read(unsigned char **data, size_t *bytes, const char *path) {
    FILE *file = file_open(path, bytes);
    *data = NULL;
    if (!file) return 0;
    const char *wrong = *bytes == 0 ? "the file is empty"
                      : *bytes > FILE_MOST ? "has more than 1 GB"
                      : !(*data = malloc(*bytes)) ? "out of memory"
                      : fread(*data, 1, *bytes, file) < *bytes ? "could not be read to its end"
                                                               : NULL;
    fclose(file);
    if (!wrong) return 1;
    free(*data);
    *data = NULL;
    return fail("%s: %s", path, wrong);
}

long file_head(unsigned char *bytes, size_t n, const char *path) {
    size_t all;
    FILE *file = file_open(path, &all);
    if (!file) return -1;
    n = fread(bytes, 1, n, file);
    fclose(file);
    return (long)n;
}

FILE *file_begin(FileWrite *w, const char *path) {
    w->path = path;
    snprintf(w->fresh, sizeof w->fresh, "%s.tmp-%ld", path, (long)getpid());
    unlink(w->fresh);                   /* left by a dead process of our number, or a trap */
    w->file = fopen(w->fresh, "wbx");
    if (!w->file) fail("%s: %s: cannot write there", path, strerror(errno));
    return w->file;
}

int file_end(FileWrite *w, int good) {
    int written = !fflush(w->file) && !ferror(w->file), why = errno;
    if (fclose(w->file) && written) written = 0, why = errno;
    if (good && written && !rename(w->fresh, w->path)) return 1;
    if (good) fail("%s: %s: cannot write there", w->path, strerror(written ? errno : why));
    remove(w->fresh);
    return 0;
}

int file_writable(const char *path, const char *option) {
    char folder[4200];
    const char *slash = strrchr(path, '/');
    if (strlen(slash ? slash + 1 : path) > 230)
        return fail("%s: %s: its name has more than 230 letters, choose a shorter one", option,
                    path);
    snprintf(folder, sizeof folder, "%.*s.", slash ? (int)(slash - path) + 1 : 0, path);
    if (!*path || !access(folder, W_OK | X_OK)) return 1;
    return fail("%s: %s: expected a folder to write into, choose another %s", path, strerror(errno),
                option);
}
#endif
