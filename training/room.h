/* room.h: memory for what training/ counts and collects: all zeros; where there is none left, the
 * program ends. */
#ifndef ROOM_H
#define ROOM_H
#include "core/error.h"
#include <stdlib.h>

static inline void *room_for(double count, size_t bytes) {
    void *x = calloc((size_t)count + 1, bytes);
    if (!x) die(1, "not enough memory: use a smaller --batch, --size or --samples");
    return x;
}
static inline float *floats(double count) { return room_for(count, sizeof(float)); }
static inline double *doubles(double count) { return room_for(count, sizeof(double)); }
#endif
