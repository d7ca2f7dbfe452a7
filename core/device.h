/* device.h: which table of operations computes: --device and --precision, and what the programs say about it.
 *
 *   const Ops *ops = device_open("auto", "float32");      NULL: error_text() says why, in one line
 *   printf("computing on %s\n", device_name(ops));        "cpu, 2 threads", "NVIDIA H200, float32"
 *
 * gan.c compiles the code (DEVICE_IMPLEMENTATION; it needs that of tiled.h and options.h). With -DWITH_CUDA the program is
 * linked with cuda_kernels.cu and "cuda" is one of the devices; without, it is known by name only. */
#ifndef DEVICE_H
#define DEVICE_H
#include "layers.h"
#ifdef __cplusplus
extern "C" {
#endif

/* device: auto (cuda where there is one, else cpu), cpu, naive, cuda. precision: float32, tf32, bf16: what the matrix
 * products of the cuda device multiply. Opens the device; one at a time. */
const Ops *device_open(const char *device, const char *precision);
const char *device_name(const Ops *ops);
double device_free_bytes(const Ops *ops);                 /* memory that is free where the table computes; 0: unknown */

/* What cuda_kernels.cu defines. */
extern const Ops ops_cuda, ops_cuda_tf32, ops_cuda_bf16;
const char *cuda_open(int precision);                     /* 0 float32, 1 tf32, 2 bf16. NULL, or one line on what is missing */
int cuda_devices(void);                                   /* how many can be used; silent */
const char *cuda_name(void);
double cuda_free_bytes(void);
void cuda_close(void);                                    /* gives back all that cuda_open and the operations hold */
void cuda_synchronize(void);                              /* waits until all that was asked for is done */
void cuda_ladder(int rung);      /* for benchmarks and tests: 0 the fast kernels; 1 naive, 2 shared-memory tile, 3 register tile */
#ifdef __cplusplus
}
#endif
#endif

#if defined(DEVICE_IMPLEMENTATION) && !defined(DEVICE_IMPLEMENTED)
#define DEVICE_IMPLEMENTED
#include "core/error.h"
#include "core/options.h"
#include "core/tiled.h"
#include <stdio.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

static const char *const device_names[] = { "auto", "cpu", "naive", "cuda" };
static const char *const precision_names[] = { "float32", "tf32", "bf16" };

/* the number of a word in a list; -1, and a message, when it is not there */
static int device_word(const char *option, const char *word, const char *const *list, int count, const char *expected) {
    for (int i = 0; i < count; i++)
        if (!strcmp(word, list[i])) return i;
    fail("%s %.80s: expected %s%s", option, *word ? word : "''", expected,
         did_you_mean(word, list, count, sizeof *list));
    return -1;
}

#ifdef WITH_CUDA
static const Ops *const cuda_tables[] = { &ops_cuda, &ops_cuda_tf32, &ops_cuda_bf16 };        /* by precision */
#endif

const Ops *device_open(const char *device, const char *precision) {
    enum { AUTO, CPU, NAIVE, CUDA };
    int where = device_word("--device", device, device_names, 4, "auto, cpu, naive or cuda");
    int digits = where < 0 ? -1 : device_word("--precision", precision, precision_names, 3, "float32, tf32 or bf16");
    if (digits < 0) return NULL;
#ifdef WITH_CUDA
    if (where == CUDA || (where == AUTO && cuda_devices() > 0)) {
        const char *missing = cuda_open(digits);
        fail("--device %s: %s; --device cpu%s goes without", device, missing ? missing : "",
                 digits ? " --precision float32" : "");
        return missing ? NULL : cuda_tables[digits];
    }
#else
    if (where == CUDA) {
        fail("--device cuda: this program was built without CUDA: run make again where "
                 "it finds nvcc (in PATH or /usr/local/cuda), or take --device cpu");
        return NULL;
    }
#endif
    if (digits) {
        fail("--precision %s: only the device cuda has it, and --device %s is a "
                 "CPU here: use --precision float32", precision, device);
        return NULL;
    }
    return where == NAIVE ? &ops_naive : &ops_tiled;
}

const char *device_name(const Ops *ops) {
    static char text[300];
    int threads = 1;
#ifdef WITH_CUDA
    for (int i = 0; i < 3; i++)
        if (ops == cuda_tables[i]) {
            snprintf(text, sizeof text, "%s, %s", cuda_name(), precision_names[i]);
            return text;
        }
#endif
#ifdef _OPENMP
    threads = omp_get_max_threads();
#endif
    snprintf(text, sizeof text, "%s, %d thread%s", ops->name, threads, threads == 1 ? "" : "s");
    return text;
}

double device_free_bytes(const Ops *ops) {
    char line[256];
    double kilobytes = 0;
#ifdef WITH_CUDA
    for (int i = 0; i < 3; i++)
        if (ops == cuda_tables[i]) return cuda_free_bytes();
#endif
    (void)ops;
    FILE *file = fopen("/proc/meminfo", "r");             /* Linux; elsewhere unknown */
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %lf", &kilobytes) == 1) break;
    if (file) fclose(file);
    return 1024 * kilobytes;
}
#endif
