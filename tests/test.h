/* test.h: what every test program shares. A test program makes its checks, then ends with `return test_report("name")`.
 *
 *   CHECK(cond, "what was expected: %d", x)     one check: counted, and named on failure with file and line
 *   CLOSE(got, want, atol, rtol, "what")        |got - want| <= atol + rtol |want|, written so that NaN fails
 *
 * The report is one line, "name: N passed, N failed"; tests/run.sh adds them up. A program that dies before its report
 * counts as a failure there. */
#ifndef TEST_H
#define TEST_H
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long test_passed, test_failed;

#define CHECK(cond, ...) do { \
    if (cond) test_passed++; \
    else if (test_failed++ < 20) { printf("  FAIL %s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); printf("\n"); } \
} while (0)

#define CLOSE(got, want, atol, rtol, ...) do { \
    double got_ = (got), want_ = (want); \
    if (fabs(got_ - want_) <= (atol) + (rtol) * fabs(want_)) test_passed++; \
    else if (test_failed++ < 20) { printf("  FAIL %s:%d: got %.9g, expected %.9g: ", __FILE__, __LINE__, got_, want_); \
        printf(__VA_ARGS__); printf("\n"); } \
} while (0)

/* make test LONG=1: at full length (make passes LONG on, empty, where it is not given) */
static inline int at_length(void) {
    const char *wish = getenv("LONG");
    return wish && *wish;
}

static inline int test_report(const char *name) {
    printf("%s: %ld passed, %ld failed\n", name, test_passed, test_failed);
    fflush(stdout);
    return test_failed != 0;
}

/* CRC-32 of n bytes, as PNG and gzip have it */
static inline uint32_t crc32_of(const unsigned char *b, size_t n) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n; i++)
        for (int k = (crc ^= b[i], 0); k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
    return ~crc;
}
#endif
