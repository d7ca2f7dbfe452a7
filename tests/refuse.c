/* refuse.c: a library to preload: the allocation number REFUSE of 200 bytes or more finds no memory, and REFUSED (a file) is made to say so. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);

static int refused(size_t size) {
    static long left = -1;
    if (size < 200 || left == 0) return 0;
    if (left < 0) left = getenv("REFUSE") ? atol(getenv("REFUSE")) : 0;
    if (left == 0 || --left > 0) return 0;
    if (getenv("REFUSED")) close(open(getenv("REFUSED"), O_WRONLY | O_CREAT, 0666));
    errno = ENOMEM;
    return 1;
}
void *malloc(size_t size) { return refused(size) ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return refused(n * size) ? NULL : __libc_calloc(n, size); }
void *realloc(void *old, size_t size) { return refused(size) ? NULL : __libc_realloc(old, size); }
