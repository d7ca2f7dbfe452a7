/* fts.h: what POSIX has and a browser lacks, where the C code is built for the page: there are no
 * folders to walk through, and no program to start anew. */
#ifndef PAGE_FTS_H
#define PAGE_FTS_H
#include <errno.h>
#include <stddef.h>

enum { FTS_D, FTS_DP, FTS_DC, FTS_DNR, FTS_SKIP, FTS_LOGICAL = 0, FTS_NOCHDIR = 0 };
typedef struct FTS FTS;
typedef struct FTSENT {
    int fts_info, fts_level, fts_errno;
    char *fts_name, *fts_path;
} FTSENT;

typedef int FtsOrder(const FTSENT **a, const FTSENT **b);
static inline FTS *fts_open(char *const *paths, int options, FtsOrder *order) {
    (void)paths, (void)options, (void)order;
    errno = ENOSYS;
    return NULL;
}
static inline FTSENT *fts_read(FTS *walk) { return (void)walk, NULL; }
static inline int fts_set(FTS *walk, FTSENT *e, int what) { return (void)walk, (void)e, what; }
static inline int fts_close(FTS *walk) { return (void)walk, 0; }
static inline int execv(const char *path, char *const *argv) { return (void)path, (void)argv, -1; }
#endif
