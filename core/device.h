/* device.h: --device and --precision: which table of operations computes.
 *
 *   const Ops *ops = device_open(DEVICE_AUTO, 0);         NULL: error_text() says why
 *   printf("computing on %s\n", device_name(ops));        "cpu, 2 threads", "NVIDIA H200, float32"
 *
 * gan.c says DEVICE_IMPLEMENTATION; it needs that of tiled.h. With -DWITH_CUDA cuda_kernels.cu is
 * linked too; without, the device cuda is known by name only. */
#ifndef DEVICE_H
#define DEVICE_H
#include "core/tiled.h"
#ifdef __cplusplus
extern "C" {
#endif

/* The words of --device and --precision, by their numbers. auto: cuda where there is one, else cpu.
 * precision: what the matrix products of the device cuda multiply. */
#define DEVICE_WORDS "auto cpu naive cuda"
#define PRECISION_WORDS "float32 tf32 bf16"
enum { DEVICE_AUTO, DEVICE_CPU, DEVICE_NAIVE, DEVICE_CUDA };
const Ops *device_open(int device, int precision);      /* only one is open at a time */
const char *device_name(const Ops *ops);
double device_free_bytes(const Ops *ops);      /* free where the table computes; 0: unknown */
int device_threads(int n);                     /* of the CPU. 0: there is one, without OpenMP */

/* What cuda_kernels.cu defines. */
extern const Ops ops_cuda, ops_cuda_tf32, ops_cuda_bf16;
const char *cuda_open(int precision);          /* 0 float32, 1 tf32, 2 bf16. NULL, or why not */
int cuda_devices(void);                        /* how many can be used; silent */
const char *cuda_name(void);
double cuda_free_bytes(void);
void cuda_close(void);                         /* gives back all memory and handles */
void cuda_synchronize(void);                   /* waits until all work that was asked for is done */
/* For benchmarks and tests. 0: the fast kernels; 1 naive, 2 shared-memory tile, 3 register tile */
void cuda_ladder(int rung);
#ifdef __cplusplus
}
#endif
#endif

#if defined(DEVICE_IMPLEMENTATION) && !defined(DEVICE_IMPLEMENTED)
#define DEVICE_IMPLEMENTED
#include "core/error.h"
#include "core/tile.h"

static const char *const precision_names[] = { "float32", "tf32", "bf16" };

#ifdef WITH_CUDA
static const Ops *const cuda_tables[] = { &ops_cuda, &ops_cuda_tf32, &ops_cuda_bf16 };
#else
static const Ops *const cuda_tables[3];
const char *cuda_open(int precision) {
    return (void)precision, "this program was built without CUDA: run make again where it finds "
                            "nvcc (in PATH or /usr/local/cuda)";
}
int cuda_devices(void) { return 0; }
const char *cuda_name(void) { return ""; }
double cuda_free_bytes(void) { return 0; }
#endif
/* the precision of a table of the device cuda, or -1 */
static int cuda_precision(const Ops *ops) {
    int i = 2;
    while (i >= 0 && ops != cuda_tables[i]) i--;
    return i;
}

const Ops *device_open(int device, int precision) {
    static const char *const names[] = { "auto", "cpu", "naive", "cuda" };
    if (omp_get_max_threads() > 1024) device_threads(1024);    /* OMP_NUM_THREADS=1000000 */
    if (device == DEVICE_CUDA || (device == DEVICE_AUTO && cuda_devices() > 0)) {
        const char *missing = cuda_open(precision);
        if (!missing) return cuda_tables[precision];
        return fail("--device %s: %s; --device cpu%s goes without", names[device], missing,
                    precision ? " --precision float32" : ""), NULL;
    }
    if (!precision) return device == DEVICE_NAIVE ? &ops_naive : &ops_tiled;
    return fail("--precision %s: only the device cuda has it, and --device %s is a CPU here: use "
                "--precision float32", precision_names[precision], names[device]), NULL;
}

const char *device_name(const Ops *ops) {
    static char text[300];
    int threads = omp_get_max_threads(), digits = cuda_precision(ops);
    if (digits >= 0) snprintf(text, sizeof text, "%s, %s", cuda_name(), precision_names[digits]);
    else
        snprintf(text, sizeof text, "%s, %d thread%s", ops->name, threads, threads == 1 ? "" : "s");
    return text;
}

int device_threads(int n) {
#ifdef _OPENMP
    omp_set_num_threads(n);
    return 1;
#else
    return n == 1;
#endif
}

double device_free_bytes(const Ops *ops) {
    char line[256];
    double kilobytes = 0;
    if (cuda_precision(ops) >= 0) return cuda_free_bytes();
    FILE *file = fopen("/proc/meminfo", "r");             /* Linux; elsewhere unknown */
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %lf", &kilobytes) == 1) break;
    if (file) fclose(file);
    return 1024 * kilobytes;
}
#endif
