/* cuda_kernels.cu: the table of layers.h once more, by hand on the GPU: ops_cuda, and ops_cuda_tf32
 * and ops_cuda_bf16 with their matrix products on tensor cores. No cuDNN, no cuBLAS: every kernel
 * is here. The formula and the shapes of each host function are those of the C function of the same
 * name in layers.h; only what is new stands above it here.
 *
 * A GPU in five sentences
 *   A kernel is a function that a grid of blocks of threads runs; a block stays on one
 *   multiprocessor, and its threads run in warps of 32 that take every step together. Global memory
 *   is far (hundreds of cycles) and wide: neighbouring threads should read neighbouring floats,
 *   then a warp's 32 loads are one transfer. Shared memory is near, a few tens of KB per block, and
 *   what one thread writes there another may read after __syncthreads(). Registers are nearest and
 *   private. A kernel is fast when every number that comes from far is used many times near.
 *
 * What is here, from plain to intricate
 *   memory         one stream: kernels and copies run in order, while the CPU goes on
 *   each, each_row one thread, one number: all element-wise operations
 *   sum, sum_rows  sums over everything, and over the rows of each channel: losses, norms,
 *                  normalisation, biases
 *   product        dense layers, convolutions, transposed convolutions and their gradients: one
 *                  matrix product, four kernels of growing speed (cuda_ladder selects one): naive,
 *                  shared-memory tile, register tile, tensor cores; and one for thin outputs
 *   nearest        the search for nearest rows: each thread looks at its distances in registers
 *
 * Deterministic: no float atomics; every sum is cut into slices whose number depends on the sizes
 * alone, and its parts are added in a fixed order: the same bits from run to run, on any GPU that
 * rounds alike. tests/cuda_on_cpu compiles this file with g++ and runs it, checked, without one. */
#include "core/device.h"
extern "C" {
#include "core/error.h"
}
#include <algorithm>
#include <cuda_bf16.h>
#include <cuda_pipeline_primitives.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <type_traits>

constexpr int THREADS = 256;                       /* of a block, nearly everywhere: eight warps */
static long up(long a, long b) { return (a + b - 1) / b; }        /* a / b rounded up */

/* --------------------------------------------------------------------------------------- memory */

constexpr int OLDEST = 75;                            /* compute capability times ten: Turing */
constexpr int STAGES = 2;
constexpr long STAGED = 1 << 18;                      /* floats: a megabyte */
static cudaStream_t stream;
static float *stage[STAGES];              /* pinned host memory: copies run while the CPU goes on */
static cudaEvent_t stage_free[STAGES];                /* when the copy from a stage is done */
static int stage_next;
static cudaDeviceProp device;
static int checks;                        /* CUDA_CHECK=1 */

/* Kernels report errors at the next call that waits: the program ends, the checkpoint is whole.
 * With CUDA_CHECK=1 in the environment every launch is waited for, and named: slow, exact. */
static void check(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return;
    fprintf(stderr, "cuda: %s: %s (%s): nothing is written after that; --device cpu needs no GPU\n",
            what, cudaGetErrorString(error), cudaGetErrorName(error));
    exit(1);
}
static void launched(const char *name) {
    if (!checks) return;
    check(cudaGetLastError(), name);
    check(cudaStreamSynchronize(stream), name);
}

int cuda_devices(void) {
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess) error = cudaGetDeviceProperties(&device, 0);
    if (error != cudaSuccess || device.major * 10 + device.minor < OLDEST) count = 0;
    cudaGetLastError();                   /* "none" is an answer here, not an error to find later */
    return count;
}

__global__ void empty_kernel() {}            /* tells for which generation this was compiled */

/* 1, or 0 and the message of fail */
static int opened(int precision) {
    int count = 0, driver = 0, runtime = 0;
    cudaFuncAttributes compiled = {};         /* for this GPU; its ptxVersion 80 is Ampere */
    const char *local = getenv("OMPI_COMM_WORLD_LOCAL_RANK");     /* parallel.h: a GPU a rank */
    const char *word = precision == 1 ? "tf32" : "bf16", *wish = getenv("CUDA_CHECK");
    cudaError_t error = cudaGetDeviceCount(&count);
    cudaDriverGetVersion(&driver), cudaRuntimeGetVersion(&runtime);
    checks = wish && !strcmp(wish, "1");
    if (error == cudaErrorInsufficientDriver && driver > 0)
        return fail("the NVIDIA driver knows CUDA up to %d.%d, this program was built with "
                    "%d.%d: update the driver, or build with an older toolkit",
                    driver / 1000, driver % 100 / 10, runtime / 1000, runtime % 100 / 10);
    if (error != cudaSuccess || count == 0)
        return fail("no NVIDIA GPU found (%s)", driver == 0 ? "there is no driver"
                    : cudaGetErrorString(error == cudaSuccess ? cudaErrorNoDevice : error));
    int which = local ? atoi(local) % count : 0;
    error = cudaSetDevice(which);
    if (error == cudaSuccess) error = cudaGetDeviceProperties(&device, which);
    if (error == cudaSuccess && device.major * 10 + device.minor < OLDEST)
        return fail("%s has compute capability %d.%d, the kernels need 7.5 (Turing) or newer",
                    device.name, device.major, device.minor);
    if (error == cudaSuccess && precision && device.major < 8)
        return fail("--precision %s needs tensor cores of compute capability 8.0 (Ampere) or "
                    "newer, %s has %d.%d: use --precision float32",
                    word, device.name, device.major, device.minor);
    if (error == cudaSuccess) error = cudaFuncGetAttributes(&compiled, empty_kernel);
    if (error == cudaSuccess && precision && compiled.ptxVersion < 80)
        return fail("--precision %s: the kernels were compiled for compute capability %d.%d, "
                    "before its tensor cores: make again on this machine, or use --precision "
                    "float32", word, compiled.ptxVersion / 10, compiled.ptxVersion % 10);
    if (error == cudaSuccess && !stream) {
        error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
        for (int i = 0; i < STAGES && error == cudaSuccess; i++) {
            error = cudaMallocHost(&stage[i], sizeof(float) * STAGED);
            if (error == cudaSuccess)
                error = cudaEventCreateWithFlags(&stage_free[i], cudaEventDisableTiming);
        }
        if (error != cudaSuccess) stream = NULL;      /* a later call tries everything again */
    }
    if (error == cudaSuccess) return 1;
    cudaGetLastError();
    return fail("the GPU cannot be used: %s (%s)", cudaGetErrorString(error),
                cudaGetErrorName(error));
}
const char *cuda_open(int precision) { return opened(precision) ? NULL : error_text(); }

const char *cuda_name(void) { return device.name; }
double cuda_free_bytes(void) {
    size_t free_ = 0, total = 0;
    check(cudaMemGetInfo(&free_, &total), "asking for free memory");
    return free_ ? (double)free_ : 1;                 /* 0 would mean unknown */
}
void cuda_synchronize(void) { check(cudaStreamSynchronize(stream), "computing"); }

static float *alloc(long count) {
    float *x = NULL;
    size_t bytes = sizeof(float) * (count ? count : 1);
    check(cudaGetLastError(), "starting a kernel");
    cudaError_t error = count < 0 ? cudaErrorMemoryAllocation : cudaMalloc(&x, bytes);
    if (error == cudaErrorMemoryAllocation) return cudaGetLastError(), nullptr;
    check(error, "computing");            /* a kernel's error that cudaMalloc is the first to see */
    check(cudaMemsetAsync(x, 0, bytes, stream), "clearing memory");
    return x;
}
static void release(float *x) {
    if (x) cuda_synchronize();
    check(cudaFree(x), "releasing memory");
}

/* Through the stages in turn: the GPU copies one while the CPU fills the other. Returns at once. */
static void upload(float *here, const float *host, long n) {
    for (long i = 0; i < n; i += STAGED) {
        int s = stage_next++ % STAGES;
        size_t bytes = sizeof(float) * std::min(n - i, STAGED);
        check(cudaEventSynchronize(stage_free[s]), "uploading");
        memcpy(stage[s], host + i, bytes);
        check(cudaMemcpyAsync(here + i, stage[s], bytes, cudaMemcpyHostToDevice, stream),
              "uploading");
        check(cudaEventRecord(stage_free[s], stream), "uploading");
    }
}
/* Waits for everything that was asked for before. */
static void download(float *host, const float *here, long n) {
    check(cudaGetLastError(), "starting a kernel");
    check(cudaMemcpyAsync(host, here, sizeof(float) * n, cudaMemcpyDeviceToHost, stream),
          "downloading");
    cuda_synchronize();
}

/* Memory that operations borrow for their partial sums: grown when one needs more than any before,
 * so no step allocates twice. All work is in one stream: the next borrower runs after the last. */
enum { FOR_SUMS, FOR_COUNTS, FOR_SLICES, FOR_GRAM, SCRATCHES };
static void *scratch_memory[SCRATCHES];
static size_t scratch_size[SCRATCHES];
static void drop_scratch(int which) {
    release((float *)scratch_memory[which]);
    scratch_memory[which] = NULL, scratch_size[which] = 0;
}
template <class T> static T *scratch(int which, long count) {
    size_t bytes = sizeof(T) * count;
    if (bytes > scratch_size[which]) {
        drop_scratch(which);
        check(cudaMalloc(&scratch_memory[which], bytes),
              "borrowing memory (a smaller --batch or --size needs less)");
        check(cudaMemsetAsync(scratch_memory[which], 0, bytes, stream), "clearing memory");
        scratch_size[which] = bytes;
    }
    return (T *)scratch_memory[which];
}

void cuda_close(void) {
    if (!stream) return;
    for (int i = 0; i < SCRATCHES; i++) drop_scratch(i);
    for (int i = 0; i < STAGES; i++) {
        check(cudaFreeHost(stage[i]), "releasing memory");
        check(cudaEventDestroy(stage_free[i]), "closing");
    }
    check(cudaStreamDestroy(stream), "closing");
    stream = NULL;
}

/* ----------------------------------------------------------------------- one thread, one number */

/* Thread i computes f(i). Neighbouring threads touch neighbouring numbers: full transfers. */
template <class F> __global__ void each_kernel(F f, long n) {
    long i = (long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) f(i);
}
template <class F> static void each(long n, F f) {
    if (n > 0) each_kernel<<<up(n, THREADS), THREADS, 0, stream>>>(f, n);
    launched(__PRETTY_FUNCTION__);
}

/* f(row, channel) for all rows of a (rows,c) matrix. A block is `lanes` channels wide, a power of
 * two up to a warp, and THREADS/lanes rows high: consecutive threads are consecutive channels,
 * whatever c is, and no thread has to divide by c. */
static int lanes_for(int c) {
    int lanes = 1;
    while (lanes < c && lanes < 32) lanes *= 2;
    return lanes;
}
template <class F> __global__ void each_row_kernel(F f, long rows, int c) {
    int j = (int)(blockIdx.y * blockDim.x + threadIdx.x);
    long r = (long)blockIdx.x * blockDim.y + threadIdx.y;
    for (; r < rows && j < c; r += (long)gridDim.x * blockDim.y) f(r, j);
}
template <class F> static void each_row(long rows, int c, F f) {
    int lanes = lanes_for(c), high = THREADS / lanes;
    dim3 grid((unsigned)std::min(up(rows, high), 1L << 20), up(c, lanes));
    if (rows > 0 && c > 0) each_row_kernel<<<grid, dim3(lanes, high), 0, stream>>>(f, rows, c);
    launched(__PRETTY_FUNCTION__);
}

/* n / d for 0 <= n < 2^31 as a multiplication and a shift   (Granlund, Montgomery 1994) */
struct Div { unsigned d, multiplier, shift; };
static Div div_by(int d) {
    Div v = { (unsigned)d, 0, 0 };
    while (v.shift < 31 && 1u << v.shift < v.d) v.shift++;
    v.multiplier = (unsigned)((((uint64_t)1 << 32) * (((uint64_t)1 << v.shift) - v.d)) / v.d + 1);
    return v;
}
__device__ static inline int operator/(int n, const Div &v) {
    return (int)(((unsigned)((uint64_t)(unsigned)n * v.multiplier >> 32) + (unsigned)n) >> v.shift);
}

static void fill(float *x, float value, long n) {
    if (value == 0)
        check(cudaMemsetAsync(x, 0, sizeof(float) * n, stream), "clearing memory");
    else each(n, [=] __device__ (long i) { x[i] = value; });
}
static void copy(float *y, const float *x, long n) {
    check(cudaMemcpyAsync(y, x, sizeof(float) * n, cudaMemcpyDeviceToDevice, stream), "copying");
}
static void axpy(float *y, const float *x, float a, long n) {
    each(n, [=] __device__ (long i) { y[i] += a * x[i]; });
}
static void scale(float *x, float a, long n) {
    each(n, [=] __device__ (long i) { x[i] *= a; });
}
static void clip(float *x, float limit, long n) {
    each(n, [=] __device__ (long i) {
        x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
    });
}
static void clip_norm(float *x, const float *square, float limit, long n) {
    each(n, [=] __device__ (long i) {
        float norm = sqrtf(*square);
        if (norm > limit) x[i] *= limit / norm;
    });
}

static void leaky_relu_forward(float *y, const float *x, float slope, long n) {
    each(n, [=] __device__ (long i) { y[i] = (x[i] > 0 ? 1 : slope) * x[i]; });
}
static void leaky_relu_backward(float *dx, const float *dy, const float *y, float slope, long n) {
    each(n, [=] __device__ (long i) {
        dx[i] = (dx == dy ? 0 : dx[i]) + (y[i] > 0 ? 1 : slope) * dy[i];
    });
}
static void tanh_forward(float *y, const float *x, long n) {
    each(n, [=] __device__ (long i) { y[i] = tanhf(x[i]); });
}
static void tanh_backward(float *dx, const float *dy, const float *y, long n) {
    each(n, [=] __device__ (long i) { dx[i] += dy[i] * (1 - y[i] * y[i]); });
}
template <class T> __device__ static inline T sigmoid(T x) {
    T e = exp(-fabs(x));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}
static void sigmoid_forward(float *y, const float *x, long n) {
    each(n, [=] __device__ (long i) { y[i] = sigmoid(x[i]); });
}
static void sigmoid_backward(float *dx, const float *dy, const float *y, long n) {
    each(n, [=] __device__ (long i) { dx[i] += dy[i] * y[i] * (1 - y[i]); });
}
static void dropout_forward(float *y, const float *x, float rate, long n,
                            uint64_t seed, uint64_t stream, long first) {
    each(n, [=] __device__ (long i) {
        y[i] = x[i] * (philox_uniform(seed, stream, first + i) < rate ? 0 : 1 / (1 - rate));
    });
}
static void dropout_backward(float *dx, const float *dy, float rate, long n,
                             uint64_t seed, uint64_t stream, long first) {
    each(n, [=] __device__ (long i) {
        dx[i] += dy[i] * (philox_uniform(seed, stream, first + i) < rate ? 0 : 1 / (1 - rate));
    });
}
static void add_forward(float *y, const float *a, const float *b, long n) {
    each(n, [=] __device__ (long i) { y[i] = a[i] + b[i]; });
}
static void lerp(float *y, const float *a, const float *b, const float *t, int n, long each_) {
    each(n * each_, [=] __device__ (long i) {
        y[i] = t[i / each_] * a[i] + (1 - t[i / each_]) * b[i];
    });
}

/* Backward functions GATHER: layers.h adds a padded pixel's gradient to the pixel it was copied
 * from; here every pixel looks for its copies, so that no two threads add to the same number. */
static void concat_forward(float *y, const float *a, const float *b, long rows, int ca, int cb) {
    each_row(rows, ca + cb, [=] __device__ (long r, int j) {
        y[r * (ca + cb) + j] = j < ca ? a[r * ca + j] : b[r * cb + j - ca];
    });
}
static void concat_backward(float *da, float *db, const float *dy, long rows, int ca, int cb) {
    each_row(rows, ca + cb, [=] __device__ (long r, int j) {
        if (j < ca && da) da[r * ca + j] += dy[r * (ca + cb) + j];
        if (j >= ca && db) db[r * cb + j - ca] += dy[r * (ca + cb) + j];
    });
}
__device__ static inline int reflect(int i, int size) {
    return i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i;
}
static void reflect_pad_forward(float *y, const float *x, int n, int h, int w, int c, int pad) {
    int hp = h + 2 * pad, wp = w + 2 * pad;
    each_row((long)n * hp * wp, c, [=] __device__ (long r, int k) {
        int i = reflect((int)(r / wp % hp) - pad, h), j = reflect((int)(r % wp) - pad, w);
        y[r * c + k] = x[((r / wp / hp * h + i) * w + j) * c + k];
    });
}
/* Where pixel i's copy 0 (itself), 1 (before the start) or 2 (behind the end) is; -1: nowhere */
__device__ static inline int copy_of(int which, int i, int size, int pad) {
    int at = which == 0 ? i + pad : which == 1 ? pad - i : 2 * (size - 1) - i + pad;
    int lost = (which == 1 && i == 0) || (which == 2 && (i == size - 1 || at >= size + 2 * pad));
    return lost ? -1 : at;
}
static void reflect_pad_backward(float *dx, const float *dy, int n, int h, int w, int c, int pad) {
    int hp = h + 2 * pad, wp = w + 2 * pad;
    each_row((long)n * h * w, c, [=] __device__ (long r, int k) {
        long picture = r / w / h, p = r / w % h, q = r % w;
        float sum = 0;
        for (int which = 0; which < 9; which++) {
            int i = copy_of(which / 3, (int)p, h, pad), j = copy_of(which % 3, (int)q, w, pad);
            if (i >= 0 && j >= 0) sum += dy[((picture * hp + i) * wp + j) * c + k];
        }
        dx[r * c + k] += sum;
    });
}
static void upsample_forward(float *y, const float *x, int n, int h, int w, int c, int f) {
    each_row((long)n * h * f * w * f, c, [=, by = div_by(f)] __device__ (long r, int k) {
        y[r * c + k] = x[(r / (w * f) / f * w + (int)(r % (w * f)) / by) * c + k];
    });
}
/* the sum of the f x f block at pixel r of an (n,h,w) picture, in the picture (n, h f, w f) */
__device__ static inline float block_sum_of(const float *x, long r, int w, int c, int f, int k) {
    float sum = 0;
    for (int i = 0; i < f; i++)
        for (int j = 0; j < f; j++) sum += x[((r / w * f + i) * w * f + r % w * f + j) * c + k];
    return sum;
}
static void upsample_backward(float *dx, const float *dy, int n, int h, int w, int c, int f) {
    each_row((long)n * h * w, c, [=] __device__ (long r, int k) {
        dx[r * c + k] += block_sum_of(dy, r, w, c, f, k);
    });
}
static void avgpool_forward(float *y, const float *x, int n, int h, int w, int c, int f) {
    int wide = w / f;
    each_row((long)n * (h / f) * wide, c, [=] __device__ (long r, int k) {
        y[r * c + k] = block_sum_of(x, r, wide, c, f, k) / (f * f);
    });
}
static void avgpool_backward(float *dx, const float *dy, int n, int h, int w, int c, int f) {
    each_row((long)n * h * w, c, [=, by = div_by(f)] __device__ (long r, int k) {
        dx[r * c + k] += dy[(r / w / f * (w / f) + (int)(r % w) / by) * c + k] / (f * f);
    });
}
/* where the first maximum of channel k of the f x f block r of an (n,h,w) picture stands, or NaN */
__device__ static inline long block_maximum(const float *x, long r, int k,
                                            int h, int w, int c, int f) {
    int oh = h / f, ow = w / f;
    long first = ((r / ow / oh * h + r / ow % oh * f) * w + r % ow * f) * c + k, best = first;
    for (int u = 1; u < f * f; u++) {
        long at = first + ((long)(u / f) * w + u % f) * c;
        if (x[at] > x[best] || x[at] != x[at]) best = at;
    }
    return best;
}
static void maxpool_forward(float *y, const float *x, int n, int h, int w, int c, int f) {
    each_row((long)n * (h / f) * (w / f), c, [=] __device__ (long r, int k) {
        y[r * c + k] = x[block_maximum(x, r, k, h, w, c, f)];
    });
}
static void maxpool_backward(float *dx, const float *dy, const float *x,
                             int n, int h, int w, int c, int f) {
    each_row((long)n * (h / f) * (w / f), c, [=] __device__ (long r, int k) {
        dx[block_maximum(x, r, k, h, w, c, f)] += dy[r * c + k];
    });
}
static void gray_forward(float *y, const float *x, long rows, int c) {
    each(rows, [=] __device__ (long r) {
        float sum = 0;
        for (int j = 0; j < c; j++) sum += x[r * c + j];
        y[r] = sum / c;
    });
}
static void gray_backward(float *dx, const float *dy, long rows, int c) {
    each_row(rows, c, [=] __device__ (long r, int j) { dx[r * c + j] += dy[r] / c; });
}

/* F34 at pixel p of a row of pictures (h,w): layers.h, wave_angle */
struct Waves {
    const float *x, *k;
    int h, w, waves, others;
    __device__ float angle(long p, int q) const {
        const float *of = x + p / w / h * (waves + others);
        return k[q] * (float)(p / w % h) + k[waves + q] * (float)(p % w) + (float)TURN * of[q];
    }
    /* what dy says of the angle of wave q, or of number q */
    __device__ float slope(const float *dy, long p, int q) const {
        const float *from = dy + p * (2 * waves + others);
        if (q >= waves) return from[waves + q];
        float a = angle(p, q);
        return from[q] * cosf(a) - from[waves + q] * sinf(a);
    }
};
static void waves_forward(float *y, const float *x, const float *k, const float *b, int n, int h,
                          int w, int waves, int others) {
    Waves at = { x, k, h, w, waves, others };
    int c = 2 * waves + others;
    each_row((long)n * h * w, c, [=] __device__ (long p, int j) {
        float a = j < 2 * waves ? at.angle(p, j % waves) : 0;
        float z = j >= 2 * waves ? x[p / w / h * (waves + others) + j - waves]
                : j < waves ? sinf(a) : cosf(a);
        y[p * c + j] = z + (b ? b[j] : 0);
    });
}
static void waves_backward(float *dx, float *dk, const float *dy, const float *x, const float *k,
                           int n, int h, int w, int waves, int others) {
    Waves at = { x, k, h, w, waves, others };
    int numbers = waves + others;
    long all = (long)h * w;
    if (dx) each_row(n, numbers, [=] __device__ (long m, int q) {
        double sum = 0;
        for (long p = m * all; p < (m + 1) * all; p++) sum += at.slope(dy, p, q);
        dx[m * numbers + q] += (float)(q < waves ? TURN * sum : sum);
    });
    if (dk) each_row(2, waves, [=] __device__ (long side, int q) {
        double sum = 0;
        for (long p = 0; p < n * all; p++)
            sum += (double)(side ? p % w : p / w % h) * at.slope(dy, p, q);
        dk[side * waves + q] += (float)sum;
    });
}

static void adam_step(float *p, float *m, float *v, const float *g, long n,
                      float lr, float beta1, float beta2, float eps, long t) {
    float step = (float)(lr / (1 - pow((double)beta1, (double)t)));
    float unbias = (float)(1 / (1 - pow((double)beta2, (double)t)));
    each(n, [=] __device__ (long i) {
        m[i] = beta1 * m[i] + (1 - beta1) * g[i];
        v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
        p[i] -= step * m[i] / (sqrtf(v[i] * unbias) + eps);
    });
}
static void rmsprop_step(float *p, float *v, const float *g, long n, float lr, float decay,
                         float eps) {
    each(n, [=] __device__ (long i) {
        v[i] = decay * v[i] + (1 - decay) * g[i] * g[i];
        p[i] -= lr * g[i] / (sqrtf(v[i]) + eps);
    });
}

/* Random numbers are the CPU's functions, so the same bits (layers.h says how). */
static void random_uniform(float *x, long n, uint64_t seed, uint64_t stream) {
    each(n, [=] __device__ (long i) { x[i] = philox_uniform(seed, stream, i); });
}
static void random_normal(float *x, long n, uint64_t seed, uint64_t stream) {
    each(n, [=] __device__ (long i) { x[i] = philox_normal(seed, stream, i); });
}
static void gaussian_sample_forward(float *z, const float *code, long rows, int k,
                                    uint64_t seed, uint64_t stream, long first) {
    each(rows * k, [=] __device__ (long i) {
        const float *m = code + i / k * 2 * k + i % k;
        z[i] = m[0] + expf(m[k] / 2) * philox_normal(seed, stream, first + i);
    });
}
static void gaussian_sample_backward(float *dcode, const float *dz, const float *code, long rows,
                                     int k, uint64_t seed, uint64_t stream, long first) {
    each(rows * k, [=] __device__ (long i) {
        long m = i / k * 2 * k + i % k;
        float eps = philox_normal(seed, stream, first + i);
        dcode[m] += dz[i];
        dcode[m + k] += dz[i] * expf(code[m + k] / 2) / 2 * eps;
    });
}

/* ----------------------------------------------------------------------------------------- sums */

/* two sums at once, or one */
template <class T> struct Sums {
    T a, b;
    Sums() = default;
    __device__ Sums(T a_, T b_ = 0) : a(a_), b(b_) {}
    template <class U> __device__ void operator+=(Sums<U> v) { a += v.a, b += v.b; }
};
typedef Sums<double> Two;                     /* in double, so that their order hardly shows */
typedef Sums<float> Pair;

/* The sum over a warp, in thread 0: registers go from lane to lane, without memory or barrier. */
__device__ static inline Two warp_sum(Two v) {
    for (int distance = 16; distance > 0; distance /= 2) {
        v.a += __shfl_down_sync(0xffffffffu, v.a, distance);
        v.b += __shfl_down_sync(0xffffffffu, v.b, distance);
    }
    return v;
}
/* The sum over the block, in thread 0: each warp's by shuffles, then the warps' by the first one */
__device__ static inline Two block_sum(Two v) {
    __shared__ Two part[THREADS / 32];
    v = warp_sum(v);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
    __syncthreads();
    v = threadIdx.x < THREADS / 32 ? part[threadIdx.x] : Two{};
    return threadIdx.x < 32 ? warp_sum(v) : Two{};
}

/* True in the block that is the last of `blocks` to come here, for all its threads: it sees what
 * the others have written before. *count is 0 before and after. */
__device__ static inline bool last_block(unsigned *count, unsigned blocks) {
    __shared__ bool last;
    __threadfence();                                  /* what this thread has written, before .. */
    __syncthreads();
    if (threadIdx.x + threadIdx.y == 0) last = atomicInc(count, blocks - 1) == blocks - 1;
    __syncthreads();                                  /* .. this block is counted */
    if (last) __threadfence();                        /* the others' parts are read after that */
    return last;
}
/* sum_i f(i), f giving one number or Two: at most SUM_BLOCKS blocks leave a partial sum each, and
 * the last of them adds those and hands them to finish(a, b). */
constexpr long SUM_BLOCKS = 256;
template <class F, class Finish>
__global__ void sum_kernel(Two *partial, unsigned *count, F f, long n, Finish finish) {
    Two total = { 0, 0 };
    long i = (long)blockIdx.x * THREADS + threadIdx.x;
    for (; i < n; i += (long)gridDim.x * THREADS) total += Two(f(i));
    total = block_sum(total);
    if (threadIdx.x == 0) partial[blockIdx.x] = total;
    if (!last_block(count, gridDim.x)) return;
    total = block_sum(threadIdx.x < gridDim.x ? partial[threadIdx.x] : Two{});
    if (threadIdx.x == 0) finish(total.a, total.b);
}
template <class F, class Finish> static void sum(long n, F f, Finish finish) {
    Two *partial = scratch<Two>(FOR_SUMS, SUM_BLOCKS);
    unsigned *count = scratch<unsigned>(FOR_COUNTS, 1);
    long blocks = std::clamp(up(n, THREADS), 1L, SUM_BLOCKS);
    sum_kernel<<<blocks, THREADS, 0, stream>>>(partial, count, f, n, finish);
    launched(__PRETTY_FUNCTION__);
}
/* out = sum_i f(i) / count */
template <class F> static void mean_of(float *out, long n, double count, F f) {
    sum(n, f, [=] __device__ (double a, double) { *out = (float)(a / count); });
}
/* out = sum_i a_i / sum_i b_i, or 0 where the divisor is 0; f(i) = Two a_i, b_i */
template <class F> static void ratio_of(float *out, long n, F f) {
    sum(n, f, [=] __device__ (double a, double b) { *out = (float)(b == 0 ? 0 : a / b); });
}
/* sum_i f(i) where the next kernels can read it */
template <class F> static const double *total_of(long n, F f) {
    double *total = &scratch<Two>(FOR_SUMS, SUM_BLOCKS + 1)[SUM_BLOCKS].a;
    sum(n, f, [=] __device__ (double a, double) { *total = a; });
    return total;
}

static void sum_squares(float *out, const float *x, long n) {
    mean_of(out, n, 1, [=] __device__ (long i) { return (double)x[i] * x[i]; });
}
static void mean_sigmoid(float *out, const float *logits, long n) {
    mean_of(out, n, n, [=] __device__ (long i) { return sigmoid((double)logits[i]); });
}
static void bce_logits_forward(float *loss, const float *logits, float target, long n) {
    mean_of(loss, n, n, [=] __device__ (long i) {
        double l = logits[i];
        return (l > 0 ? l : 0) - l * target + log1p(exp(-fabs(l)));
    });
}
static void bce_logits_backward(float *dlogits, const float *logits, float target, float scale,
                                long n) {
    each(n, [=] __device__ (long i) { dlogits[i] += scale / n * (sigmoid(logits[i]) - target); });
}
__device__ static inline double log_sum_exp(const float *l, int classes) {
    double most = l[0], sum = 0;
    for (int j = 1; j < classes; j++) most = l[j] > most ? l[j] : most;
    for (int j = 0; j < classes; j++) sum += exp(l[j] - most);
    return most + log(sum);
}
static void softmax_cross_entropy_forward(float *loss, const float *logits, const float *label,
                                          long n, int classes) {
    mean_of(loss, n, n, [=] __device__ (long i) {
        const float *l = logits + i * classes;
        double chosen = NAN;
        for (int j = 0; j < classes; j++) chosen = label[i] == j ? l[j] : chosen;
        return log_sum_exp(l, classes) - chosen;
    });
}
static void softmax_cross_entropy_backward(float *dlogits, const float *logits, const float *label,
                                           float scale, long n, int classes) {
    each(n, [=] __device__ (long i) {
        const float *l = logits + i * classes;
        double all = log_sum_exp(l, classes);
        for (int j = 0; j < classes; j++)
            dlogits[i * classes + j] += (float)(scale / n * (exp(l[j] - all) - (label[i] == j)));
    });
}
static void squared_error_forward(float *loss, const float *a, const float *b, const float *weight,
                                  long n) {
    ratio_of(loss, n, [=] __device__ (long i) -> Two {
        double m = weight ? weight[i] : 1, e = (double)a[i] - b[i];
        return { m * e * e, m };
    });
}
static const double *total_weight(const float *weight, long n) {
    return total_of(n, [=] __device__ (long i) { return weight ? weight[i] : 1.; });
}
static void squared_error_backward(float *da, const float *a, const float *b, const float *weight,
                                   float scale, long n) {
    const double *total = total_weight(weight, n);
    each(n, [=] __device__ (long i) {
        float k = (float)(2 * scale / *total) * (weight ? weight[i] : 1);
        if (*total != 0) da[i] += k * (a[i] - b[i]);
    });
}
static void absolute_error_forward(float *loss, const float *a, const float *b, const float *weight,
                                   long n) {
    ratio_of(loss, n, [=] __device__ (long i) -> Two {
        double m = weight ? weight[i] : 1;
        return { m * fabs((double)a[i] - b[i]), m };
    });
}
static void absolute_error_backward(float *da, const float *a, const float *b, const float *weight,
                                    float scale, long n) {
    const double *total = total_weight(weight, n);
    each(n, [=] __device__ (long i) {
        float k = (float)(scale / *total) * (weight ? weight[i] : 1), e = a[i] - b[i];
        if (*total != 0) da[i] += k * (e > 0 ? 1 : e < 0 ? -1 : e);
    });
}
static void hinge_forward(float *loss, const float *x, float sign, long n) {
    mean_of(loss, n, n, [=] __device__ (long i) {
        double below = 1 - (double)sign * x[i];
        return below <= 0 ? 0 : below;
    });
}
static void hinge_backward(float *dx, const float *x, float sign, float scale, long n) {
    float k = -scale / n * sign;
    each(n, [=] __device__ (long i) {
        float below = 1 - sign * x[i];
        dx[i] += below <= 0 ? 0 : below > 0 ? k : below;
    });
}
static void mean_forward(float *loss, const float *x, long n) {
    mean_of(loss, n, n, [=] __device__ (long i) { return x[i]; });
}
static void mean_backward(float *dx, float scale, long n) {
    each(n, [=] __device__ (long i) { dx[i] += scale / n; });
}
static void kl_forward(float *loss, const float *code, long rows, int k) {
    mean_of(loss, rows * k, rows, [=] __device__ (long i) {
        double m = code[i / k * 2 * k + i % k], l = code[i / k * 2 * k + i % k + k];
        return (m * m + expm1(l) - l) / 2;
    });
}
static void kl_backward(float *dcode, const float *code, float scale, long rows, int k) {
    each_row(rows, k, [=] __device__ (long r, int j) {
        long m = 2 * r * k + j;
        dcode[m] += scale / rows * code[m];
        dcode[m + k] += scale / rows * expm1f(code[m + k]) / 2;
    });
}
static void normalize_vector(float *x, float *norm, long n) {
    sum(n, [=] __device__ (long i) { return (double)x[i] * x[i]; },
        [=] __device__ (double a, double) { *norm = (float)sqrt(a); });
    each(n, [=] __device__ (long i) { x[i] /= *norm < 1e-12f ? 1e-12f : *norm; });
}
static const double *dot_of(const float *a, const float *b, long n) {
    return total_of(n, [=] __device__ (long i) { return (double)a[i] * b[i]; });
}
static void spectral_forward(float *y, const float *w, const float *sigma, long n) {
    each(n, [=] __device__ (long i) { y[i] = w[i] / *sigma; });
}
static void spectral_backward(float *dw, const float *dy, const float *y, const float *u,
                              const float *v, const float *sigma, int in, int out) {
    const double *dot = dot_of(dy, y, (long)in * out);
    each_row(in, out, [=] __device__ (long i, int o) {
        dw[i * out + o] += (dy[i * out + o] - (float)(*dot * u[i]) * v[o]) / *sigma;
    });
}
static void style_loss_forward(float *loss, const float *g, const float *target, long n) {
    ratio_of(loss, n, [=] __device__ (long i) -> Two {
        double e = (double)g[i] - target[i];
        return { e * e, (double)target[i] * target[i] };
    });
}
static void style_loss_backward(float *dg, const float *g, const float *target, float scale,
                                long n) {
    const double *norm = dot_of(target, target, n);
    each(n, [=] __device__ (long i) {
        if (*norm != 0) dg[i] += (float)(2 * scale / *norm) * (g[i] - target[i]);
    });
}
static void total_variation_forward(float *loss, const float *x, int n, int h, int w, int c) {
    long row = (long)w * c, count = n * h * row;
    mean_of(loss, count, count, [=] __device__ (long i) {
        double down = i / row % h + 1 < h ? fabs((double)x[i + row] - x[i]) : 0;
        double right = i % row / c + 1 < w ? fabs((double)x[i + c] - x[i]) : 0;
        return down + right;
    });
}
__device__ static inline int sign(float e) { return (e > 0) - (e < 0); }
static void total_variation_backward(float *dx, const float *x, float scale,
                                     int n, int h, int w, int c) {
    long row = (long)w * c, count = n * h * row;
    float k = (float)(scale / (double)count);
    each(count, [=] __device__ (long i) { /* the pixel's four neighbours: up, down, left, right */
        long p = i / row % h, q = i % row / c;
        int slope = 0;
        if (p > 0) slope += sign(x[i] - x[i - row]);
        if (p + 1 < h) slope -= sign(x[i + row] - x[i]);
        if (q > 0) slope += sign(x[i] - x[i - c]);
        if (q + 1 < w) slope -= sign(x[i + c] - x[i]);
        dx[i] += k * slope;
    });
}
/* the sum over pixels k of the standard deviation of its n values: a thread takes a pixel */
static void batch_std(float *out, const float *x, int n, long each_) {
    mean_of(out, each_, each_, [=] __device__ (long k) {
        double mean = 0, square = 0;
        for (int i = 0; i < n; i++) mean += x[i * each_ + k];
        mean /= n;
        for (int i = 0; i < n; i++) square += (x[i * each_ + k] - mean) * (x[i * each_ + k] - mean);
        return sqrt(square / n);
    });
}

/* ------------------------------------------------------------------ sums over rows, per channel */

/* The sum of a block's column of threads, in its uppermost thread: rows are folded in halves */
__device__ static inline Two fold(Two v) {
    __shared__ Two part[THREADS];
    int lanes = (int)blockDim.x, t = (int)threadIdx.y * lanes + (int)threadIdx.x;
    part[t] = v;
    for (int half = (int)blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.y >= half) continue;
        part[t] += part[t + half * lanes];
    }
    return part[t];
}
/* f(row, channel, group), one number or a Pair, over the rows of each group and channel of a
 * (groups,rows,c) tensor. Block (tile, slice, group): `lanes` channels wide as in each_row, its
 * threads go down the rows of their slice. A thread adds 16 numbers in float, and such sums in
 * double, which most GPUs have few units for: the error stays below 16 * 2^-24 of the largest of
 * those sums, whatever the number of rows.
 * The last block of a tile's slices adds them, hands the sums to finish(group, channel, a, b). */
template <class F, class Finish>
__global__ void sum_rows_kernel(Two *partial, unsigned *count, F f, long rows, int c,
                                Finish finish) {
    int high = (int)blockDim.y, g = (int)blockIdx.z, slices = (int)gridDim.y;
    int j = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    long end = rows * (blockIdx.y + 1) / slices;
    Two total = { 0, 0 };
    for (long r = rows * blockIdx.y / slices + threadIdx.y; r < end && j < c; ) {
        Pair few = { 0, 0 };
        for (int k = 0; k < 16 && r < end; k++, r += high) few += Pair(f(r, j, g));
        total += few;
    }
    total = fold(total);
    bool first = threadIdx.y == 0 && j < c;
    partial += (long)g * slices * c + j;
    if (first) partial[(long)blockIdx.y * c] = total;
    if (!last_block(count + g * gridDim.x + blockIdx.x, slices)) return;
    total = { 0, 0 };
    #pragma unroll 4
    for (int s = (int)threadIdx.y; s < slices && j < c; s += high) total += partial[(long)s * c];
    total = fold(total);
    if (first) finish(g, j, total.a, total.b);
}
template <class F, class Finish>
static void sum_rows(int groups, long rows, int c, F f, Finish finish) {
    int lanes = lanes_for(c), high = THREADS / lanes, tiles = (int)up(c, lanes);
    /* work enough for a thread; blocks enough, and parts few enough to add */
    long slices = std::max(1L, std::min(rows / (high * 8L), 512L / tiles / groups));
    Two *partial = scratch<Two>(FOR_SUMS, slices * groups * c);
    unsigned *count = scratch<unsigned>(FOR_COUNTS, (long)groups * tiles);
    dim3 grid(tiles, (unsigned)slices, groups), block(lanes, high);
    sum_rows_kernel<<<grid, block, 0, stream>>>(partial, count, f, rows, c, finish);
    launched(__PRETTY_FUNCTION__);
}

static void bias_backward(float *db, const float *dy, long rows, int c) {
    sum_rows(1, rows, c, [=] __device__ (long r, int j, int) { return dy[r * c + j]; },
             [=] __device__ (int, int j, double a, double) { db[j] += (float)a; });
}

/* mean[g*step + j] = the mean of channel j of group g */
static void mean_rows(float *mean, long step, const float *x, int groups, long rows, int c) {
    sum_rows(groups, rows, c, [=] __device__ (long r, int j, int g) {
        return x[(g * rows + r) * c + j];
    }, [=] __device__ (int g, int j, double a, double) { mean[g * step + j] = (float)(a / rows); });
}
/* the same, and then finish(g, j, sum_r (x - mean)^2, 0) */
template <class Finish>
static void variance_rows(float *mean, long step, const float *x, int groups, long rows, int c,
                          Finish finish) {
    mean_rows(mean, step, x, groups, rows, c);
    sum_rows(groups, rows, c, [=] __device__ (long r, int j, int g) {
        float e = x[(g * rows + r) * c + j] - mean[g * step + j];
        return e * e;
    }, finish);
}
/* y = gamma (x - mean) / sqrt(var + eps) + beta, of group g at g * step: 0, or AdaIN's 2 c */
static void standardize(float *y, const float *x, const float *mean, const float *var,
                        const float *gamma, const float *beta, int groups, long rows, int c,
                        long step) {
    each_row(groups * rows, c, [=] __device__ (long r, int j) {
        long g = groups == 1 ? 0 : r / rows, k = g * c + j, at = g * step + j;
        float scale = gamma[at] * rsqrtf(var[k] + (float)NORM_EPS);
        y[r * c + j] = scale * (x[r * c + j] - mean[k]) + beta[at];
    });
}
static void normalize(float *y, float *mean, float *var, const float *x, const float *gamma,
                      const float *beta, int groups, long rows, int c, long step) {
    variance_rows(mean, c, x, groups, rows, c, [=] __device__ (int g, int j, double a, double) {
        var[(long)g * c + j] = (float)(a / rows);
    });
    standardize(y, x, mean, var, gamma, beta, groups, rows, c, step);
}
static void normalize_gradient(float *dx, float *dgamma, float *dbeta, const float *dy,
                               const float *x, const float *gamma, const float *mean,
                               const float *var, int groups, long rows, int c, long step) {
    bool own = groups == 1 || step;                  /* nobody else adds to this group's dgamma */
    /* sums and means of dy and dy h, per group and channel */
    Two *sums = scratch<Two>(FOR_GRAM, 2L * groups * c);
    Pair *means = (Pair *)(sums + (long)groups * c);
    sum_rows(groups, rows, c, [=] __device__ (long r, int j, int g) -> Pair {
                 long i = (g * rows + r) * c + j, k = (long)g * c + j;
                 return { dy[i], dy[i] * (x[i] - mean[k]) * rsqrtf(var[k] + (float)NORM_EPS) };
             }, [=] __device__ (int g, int j, double a, double b) {
                 sums[(long)g * c + j] = { a, b };
                 means[(long)g * c + j] = { (float)(a / rows), (float)(b / rows) };
                 if (own && dgamma) dgamma[g * step + j] += (float)b;
                 if (own && dbeta) dbeta[g * step + j] += (float)a;
             });
    if (!own) each(c, [=] __device__ (long j) {
        for (int g = 0; g < groups; g++) {
            if (dgamma) dgamma[j] += (float)sums[(long)g * c + j].b;
            if (dbeta) dbeta[j] += (float)sums[(long)g * c + j].a;
        }
    });
    each_row(groups * rows, c, [=] __device__ (long r, int j) {
        long i = r * c + j, g = groups == 1 ? 0 : r / rows, k = g * c + j;
        float rstd = rsqrtf(var[k] + (float)NORM_EPS), h = (x[i] - mean[k]) * rstd;
        float d = gamma[g * step + j] * rstd * (dy[i] - means[k].a - h * means[k].b);
        dx[i] = (dx == dy ? 0 : dx[i]) + d;
    });
}
static void normalize_forward(float *y, float *mean, float *var, const float *x, const float *gamma,
                              const float *beta, int groups, long rows, int c) {
    normalize(y, mean, var, x, gamma, beta, groups, rows, c, 0);
}
static void normalize_backward(float *dx, float *dgamma, float *dbeta, const float *dy,
                               const float *x, const float *gamma, const float *mean,
                               const float *var, int groups, long rows, int c) {
    normalize_gradient(dx, dgamma, dbeta, dy, x, gamma, mean, var, groups, rows, c, 0);
}
static void adain_forward(float *y, float *mean, float *var, const float *x, const float *style,
                          int n, long rows, int c) {
    normalize(y, mean, var, x, style, style + c, n, rows, c, 2L * c);
}
static void adain_backward(float *dx, float *dstyle, const float *dy, const float *x,
                           const float *style, const float *mean, const float *var,
                           int n, long rows, int c) {
    normalize_gradient(dx, dstyle, dstyle + c, dy, x, style, mean, var, n, rows, c, 2L * c);
}
static void batchnorm_track(float *running_mean, float *running_var, const float *mean,
                            const float *var, float momentum, long rows, int c) {
    double unbiased = rows > 1 ? (double)rows / (double)(rows - 1) : 1;
    each(c, [=] __device__ (long j) {
        running_mean[j] += momentum * (mean[j] - running_mean[j]);
        running_var[j] += momentum * ((float)(var[j] * unbiased) - running_var[j]);
    });
}
static void batchnorm_inference(float *y, const float *x, const float *gamma, const float *beta,
                                const float *running_mean, const float *running_var,
                                long rows, int c) {
    standardize(y, x, running_mean, running_var, gamma, beta, 1, rows, c, 0);
}

/* the rows of a picture are its numbers, its only channel: sum_rows sums each picture */
static void gradient_penalty(float *loss, float *v, const float *g, int n, long each_) {
    /* (|g_i| - 1)^2, and what g_i is multiplied with */
    Two *of = scratch<Two>(FOR_GRAM, n);
    sum_rows(n, each_, 1, [=] __device__ (long k, int, int i) {
        return g[i * each_ + k] * g[i * each_ + k];
    }, [=] __device__ (int i, int, double square, double) {
        double r = sqrt(square);
        of[i] = { (r - 1) * (r - 1), 2 * (r - 1) / (n * (r < 1e-12 ? 1e-12 : r)) };
    });
    mean_of(loss, n, n, [=] __device__ (long i) { return of[i].a; });
    each(n * each_, [=] __device__ (long i) { v[i] = (float)of[i / each_].b * g[i]; });
}

static long pixels_in(const Conv &d) { return (long)d.n * d.h * d.w; }
static long pixels_out(const Conv &d) { return (long)d.n * d.oh * d.ow; }
static void depthwise_conv2d_forward(float *y, const float *x, const float *w, const float *b,
                                     const Conv *conv) {
    Conv d = *conv;
    each_row(pixels_out(d), d.c, [=] __device__ (long r, int c) {
        const float *image = x + r / d.ow / d.oh * d.h * d.w * d.c + c;
        int p = (int)(r / d.ow % d.oh) * d.stride - d.pad, q = (int)(r % d.ow) * d.stride - d.pad;
        float sum = b ? b[c] : 0;
        for (int u = 0; u < d.kernel; u++)
            for (int v = 0; v < d.kernel; v++)
                if ((unsigned)(p + u) < (unsigned)d.h && (unsigned)(q + v) < (unsigned)d.w)
                    sum += image[((long)(p + u) * d.w + q + v) * d.c]
                        * w[(u * d.kernel + v) * d.c + c];
        y[r * d.c + c] = sum;
    });
}
static void depthwise_conv2d_backward_input(float *dx, const float *dy, const float *w,
                                            const Conv *conv) {
    Conv d = *conv;
    each_row(pixels_in(d), d.c, [=, by = div_by(d.stride)] __device__ (long r, int c) {
        const float *image = dy + r / d.w / d.h * d.oh * d.ow * d.c + c;
        int i = (int)(r / d.w % d.h) + d.pad, j = (int)(r % d.w) + d.pad;
        float sum = 0;
        for (int u = 0; u < d.kernel; u++)
            for (int v = 0; v < d.kernel; v++) {
                int p = (i - u) / by, q = (j - v) / by;
                if (i < u || j < v || p * d.stride != i - u || q * d.stride != j - v
                    || p >= d.oh || q >= d.ow) continue;
                sum += image[((long)p * d.ow + q) * d.c] * w[(u * d.kernel + v) * d.c + c];
            }
        dx[r * d.c + c] += sum;
    });
}
/* a group for each of the K x K taps: its sum over all output pixels */
static void depthwise_conv2d_backward_weight(float *dw, const float *x, const float *dy,
                                             const Conv *conv) {
    Conv d = *conv;
    sum_rows(d.kernel * d.kernel, pixels_out(d), d.c, [=] __device__ (long r, int c, int tap) {
        int i = (int)(r / d.ow % d.oh) * d.stride + tap / d.kernel - d.pad;
        int j = (int)(r % d.ow) * d.stride + tap % d.kernel - d.pad;
        if ((unsigned)i >= (unsigned)d.h || (unsigned)j >= (unsigned)d.w) return 0.f;
        return x[((r / d.ow / d.oh * d.h + i) * d.w + j) * d.c + c] * dy[r * d.c + c];
    }, [=] __device__ (int tap, int c, double a, double) { dw[tap * d.c + c] += (float)a; });
}

static void moments_forward(float *y, const float *x, int groups, long rows, int c) {
    long step = 2L * c;
    variance_rows(y + c, step, x, groups, rows, c, [=] __device__ (int g, int j, double a, double) {
        y[g * step + j] = (float)sqrt(a / rows + NORM_EPS);
    });
}
static void moments_backward(float *dx, const float *dy, const float *x, const float *y,
                             int groups, long rows, int c) {
    each_row(groups * rows, c, [=] __device__ (long r, int j) {
        long k = r / rows * 2 * c + j;
        dx[r * c + j] += (dy[k] * (x[r * c + j] - y[k + c]) / y[k] + dy[k + c]) / rows;
    });
}

/* ---------------------------------------------------------------------------------------- products
 * Everything expensive is one sum: out[m,n] = sum_k left[m,k] right[k,n], for
 *                     m (lines)       n (columns)  k (depth)       left[m,k]        right[k,n]
 *   forward           pixel (n,p,q)   o            tap (u,v,c)     x under the tap  w[u,v,c,o]
 *   weight gradient   tap (u,v,c)     o            pixel (n,p,q)   x under the tap  dy[n,p,q,o]
 *   input gradient    pixel (n,i,j)   c            tap (u,v,o)     dy that saw it   w[u,v,c,o]
 * A transposed convolution swaps the first and the last; a dense layer is a 1x1 convolution of 1x1
 * pictures. No left matrix is ever stored (it would be K*K times the picture): an operand is a
 * small struct that FINDS an element, in two parts, so that what belongs to a line is computed once
 * and kept in registers, and what belongs to a depth once per step:
 *   Line line(m), Depth depth(k)   decode the two indices; `at` answers NULL for one out of range
 *   at(Line, Depth)                where the element lies in memory, or NULL for a zero
 *   ALONG_DEPTH                    whether k, k+1 are neighbours in memory (else lines m, m+1 are)
 *   quads                          whether four such neighbours, counted from a multiple of four,
 *                                  are one 16-byte load
 *
 * With stride s the input gradient falls into s*s phases: pixels with (i+pad) % s = a and
 * (j+pad) % s = b are reached by the taps u = a, a+s, .. and v = b, b+s, .. alone. Each phase is a
 * product of its own (blockIdx.z counts them); taken together they would multiply s*s - 1 zeros for
 * every number. Kernel 5, stride 2, pad 2: phase 0 is pixels 0, 2, 4 .., reached by taps 0, 2, 4;
 * phase 1 is pixels 1, 3, 5 .., by taps 1 and 3; pixel i = 2t sees through tap u = 2r what stands
 * at p = t + 1 - r. */

constexpr int NOWHERE = -(1 << 30);           /* a coordinate that is outside of every picture */

/* The input x of a convolution: pixels (n,p,q) by taps (u,v,c). Lines are pixels. */
struct Patches : Conv {
    /* the patch's corner; 32 bits reach 4 thousand million numbers */
    struct Line { int i, j; unsigned at; };
    struct Depth { int u, v; unsigned at; };
    static constexpr bool ALONG_DEPTH = true;
    const float *x;
    int lines, depths, quads;
    Div by_picture, by_row, by_c, by_kernel;
    __device__ void select(int) {}
    __device__ Line line(int m) const {
        int picture = m / by_picture, r = m - picture * (int)by_picture.d;
        int p = r / by_row, q = r - p * (int)by_row.d;
        int i = m < lines ? p * stride - pad : NOWHERE, j = q * stride - pad;
        return { i, j, (unsigned)(((unsigned)picture * h + i) * w + j) * c };
    }
    __device__ Depth depth(int k) const {
        int uv = k / by_c, u = uv / by_kernel, v = uv - u * kernel;
        return { k < depths ? u : NOWHERE, v, (unsigned)((u * w + v) * c + k - uv * c) };
    }
    __device__ const float *at(Line l, Depth d) const {
        return (unsigned)(l.i + d.u) < (unsigned)h && (unsigned)(l.j + d.v) < (unsigned)w
             ? x + (l.at + d.at) : NULL;
    }
};
/* The same numbers with lines and depth exchanged: lines are taps. */
struct PatchesTransposed {
    typedef Patches::Depth Line;
    typedef Patches::Line Depth;
    static constexpr bool ALONG_DEPTH = false;
    Patches p;
    int lines, depths, quads;
    __device__ void select(int) {}
    __device__ Line line(int m) const { return p.depth(m); }
    __device__ Depth depth(int k) const { return p.line(k); }
    __device__ const float *at(Line l, Depth d) const { return p.at(d, l); }
};
/* One phase of a convolution, down its rows or along them: pixel number t of phase a is
 * i = first + s t, and tap number r is u = a + s r, so p = (i + pad - u)/s = base + t - r. */
struct Axis { int a, first, base, count, taps; };
struct Phase : Conv {
    Axis down, along;
    __device__ Axis axis(int a, int size) const {
        int first = (a - pad % stride + stride) % stride;
        return { a, first, (first + pad - a) / stride,
                 first < size ? (size - first - 1) / stride + 1 : 0,
                 a < kernel ? (kernel - a - 1) / stride + 1 : 0 };
    }
    __device__ void select(int phase) {
        down = axis(phase / stride, h), along = axis(phase % stride, w);
    }
};
/* The gradient dy as the input pixels (n,i,j) of one phase see it, by taps (u,v,o). */
struct Sources : Phase {
    struct Line { int p, q; unsigned at; };
    struct Depth { int u, v; unsigned at; };
    static constexpr bool ALONG_DEPTH = true;
    const float *dy;
    int lines, depths, quads;                 /* of phase 0, the largest, until one is selected */
    Div by_o, by_taps[2];             /* by along.taps: kernel/stride rounded up, or down */
    __device__ void select(int phase) {
        Phase::select(phase);
        lines = n * down.count * along.count, depths = down.taps * along.taps * o;
        if (along.taps != (int)by_taps[0].d) by_taps[0] = by_taps[1];
    }
    __device__ Line line(int m) const {
        if (m >= lines) return { NOWHERE, 0, 0 };
        int r = m / along.count, p = down.base + r % down.count, q = along.base + m % along.count;
        return { p, q, ((unsigned)(r / down.count * oh + p) * ow + q) * o };
    }
    __device__ Depth depth(int k) const {
        if (k >= depths) return { -NOWHERE, 0, 0 };
        int uv = k / by_o, u = uv / by_taps[0], v = uv - u * (int)by_taps[0].d;
        return { u, v, (unsigned)(k - uv * o - (u * ow + v) * o) };
    }
    __device__ const float *at(Line l, Depth d) const {
        return (unsigned)(l.p - d.u) < (unsigned)oh && (unsigned)(l.q - d.v) < (unsigned)ow
             ? dy + (l.at + d.at) : NULL;
    }
};

/* A matrix with `lines` neighbours in memory, depth by depth: w (taps by o), dy (pixels by o). */
struct Matrix {
    typedef int Line;
    typedef int Depth;
    static constexpr bool ALONG_DEPTH = false;
    const float *x;
    int lines, depths, quads;
    template <class Left> __device__ void follow(const Left &) {}
    __device__ Line line(int m) const { return m < lines ? m : -1; }
    __device__ Depth depth(int k) const { return k < depths ? k : -1; }
    __device__ const float *at(Line l, Depth d) const {
        return l >= 0 && d >= 0 ? x + (long)d * lines + l : NULL;
    }
};
/* w for the input gradient: lines are c, depth the taps (u,v,o) of one phase. */
struct PhaseOfWeights : Phase {
    struct Depth { long at; };
    typedef int Line;
    static constexpr bool ALONG_DEPTH = true;
    const float *weights;
    int lines, depths, quads;
    Div by_o, by_taps;
    __device__ void follow(const Sources &left) {     /* the same phase, the same depths */
        down = left.down, along = left.along, depths = left.depths, by_taps = left.by_taps[0];
    }
    __device__ Line line(int m) const { return m < lines ? m : -1; }
    __device__ Depth depth(int k) const {
        if (k >= depths) return { -1 };
        int uv = k / by_o, r = uv / by_taps;
        int u = down.a + stride * r, v = along.a + stride * (uv - r * (int)by_taps.d);
        return { (long)(u * kernel + v) * lines * o + k - uv * o };
    }
    __device__ const float *at(Line l, Depth d) const {
        return l >= 0 && d.at >= 0 ? weights + d.at + (long)l * o : NULL;
    }
};

/* Where the products go: y = bias + scale sum, or y += scale sum. Cut into slices along the depth
 * (when a product has too few tiles for the GPU), each slice leaves its part in its own copy of y,
 * and add_slices adds those in order. */
struct Out {
    float *y;
    const float *bias;
    float scale;
    int accumulate, columns, quads;
    long count;                                       /* numbers in y */
    float *parts;                                     /* NULL: not cut */
    __device__ void put(long row, int n, int slice, float sum) const {
        if (parts) parts[slice * count + row + n] = sum;
        else y[row + n] = (accumulate ? y[row + n] : bias ? bias[n] : 0) + scale * sum;
    }
    /* columns n .. n+3, n a multiple of four, where such fours are aligned */
    __device__ void put_quad(long row, int n, int slice, float4 sum) const {
        float4 *to = (float4 *)((parts ? parts + slice * count : y) + row + n);
        if (!parts) {
            float4 old = make_float4(0, 0, 0, 0);
            if (accumulate) old = *to;
            else if (bias) old = make_float4(bias[n], bias[n + 1], bias[n + 2], bias[n + 3]);
            sum = make_float4(old.x + scale * sum.x, old.y + scale * sum.y,
                              old.z + scale * sum.z, old.w + scale * sum.w);
        }
        *to = sum;
    }
    __device__ void put_four(long row, int n, int slice, float4 sum) const {
        if (quads) return put_quad(row, n, slice, sum);
        put(row, n, slice, sum.x);
        if (n + 1 < columns) put(row, n + 1, slice, sum.y);
        if (n + 2 < columns) put(row, n + 2, slice, sum.z);
        if (n + 3 < columns) put(row, n + 3, slice, sum.w);
    }
};
struct OutRows : Out {                                /* y[m,n] */
    __device__ void select(int) {}
    __device__ long row(int m) const { return (long)m * columns; }
};
struct OutPhase : Out, Phase {                        /* y[n,i,j,c]: the pixels of one phase */
    __device__ long row(int m) const {
        int r = m / along.count;
        int i = down.first + stride * (r % down.count);
        int j = along.first + stride * (m % along.count);
        return (((long)(r / down.count) * h + i) * w + j) * columns;
    }
};
static void add_slices(Out out, int slices) {
    const float *parts = out.parts;
    out.parts = NULL;
    each_row(out.count / out.columns, out.columns, [=] __device__ (long r, int n) {
        float sum = 0;
        for (int s = 0; s < slices; s++) sum += parts[s * out.count + r * out.columns + n];
        out.put(r * out.columns, n, 0, sum);
    });
}

/* Rung 1, naive: a thread computes one output and reads 2 K numbers from far for it, 8 bytes for
 * every multiply-add: as fast as global memory and its caches deliver. Block: 16 x 16. */
template <class Left, class Right, class Out>
__global__ void naive_kernel(Left left, Right right, Out out) {
    left.select(blockIdx.z), right.follow(left), out.select(blockIdx.z);
    int m = (int)(blockIdx.x * 16 + threadIdx.y), n = (int)(blockIdx.y * 16 + threadIdx.x);
    if (m >= left.lines || n >= right.lines) return;
    float sum = 0;
    for (int k = 0; k < left.depths; k++) {
        const float *a = left.at(left.line(m), left.depth(k));
        const float *b = right.at(right.line(n), right.depth(k));
        if (a && b) sum += *a * *b;
    }
    out.put(out.row(m), n, 0, sum);
}

/* Rung 2, shared-memory tile: the block fetches a 16 x 16 tile of each operand together, then every
 * thread reads 16 numbers of each from near: every number from far is used 16 times. Still two
 * shared loads for one multiply-add: now those are the limit.
 * shared: the two tiles. A warp reads two numbers of a, which all its lanes share, and a row of b:
 * no two lanes want one bank. */
template <class Left, class Right, class Out>
__global__ void shared_tile_kernel(Left left, Right right, Out out) {
    __shared__ float a[16][16], b[16][16];            /* a[line][depth], b[depth][column] */
    left.select(blockIdx.z), right.follow(left), out.select(blockIdx.z);
    int tx = (int)threadIdx.x, ty = (int)threadIdx.y;
    int m = (int)blockIdx.x * 16 + ty, n = (int)blockIdx.y * 16 + tx;
    typename Left::Line line = left.line(m);
    typename Right::Line column = right.line(n);
    float sum = 0;
    for (int k = 0; k < left.depths; k += 16) {
        const float *p = left.at(line, left.depth(k + tx));
        const float *q = right.at(column, right.depth(k + ty));
        a[ty][tx] = p ? *p : 0;
        b[ty][tx] = q ? *q : 0;
        __syncthreads();                              /* both tiles are whole */
        for (int i = 0; i < 16; i++) sum += a[ty][i] * b[i][tx];
        __syncthreads();                              /* all have read them: the next may come */
    }
    if (m < left.lines && n < right.lines) out.put(out.row(m), n, 0, sum);
}

/* LINES x DEPTH numbers of an operand on their way from far to near, four to a thread and load,
 * held in registers in between: `fetch` asks for them, and the thread computes on while they
 * travel; `store` puts them into shared memory. Along the depth: a row of the tile is a line, a
 * thread keeps its lines. Along the lines: a row is a depth. For example 128 lines, 8 deep, along
 * the depth: two quads a row, so the 256 threads fetch all 128 rows at once, a quad each: STEP 128,
 * COUNT 1. QUADS_ONLY leaves out the way for operands that cannot be read in fours: it costs
 * registers even where it is not taken. */
template <class Operand, int LINES, int DEPTH, bool QUADS_ONLY> struct Tile {
    static constexpr bool ALONG = Operand::ALONG_DEPTH;
    static constexpr int ROWS = ALONG ? LINES : DEPTH, QUADS = (ALONG ? DEPTH : LINES) / 4;
    static constexpr int STEP = THREADS / QUADS, COUNT = (ROWS + STEP - 1) / STEP;
    typename Operand::Line line[ALONG ? COUNT : 1];
    float4 quad[COUNT];                               /* of one thread */
    int row, at, first;

    __device__ void begin(const Operand &op, int first_line) {
        row = (int)threadIdx.x / QUADS, at = (int)threadIdx.x % QUADS * 4, first = first_line;
        if (ALONG)
            #pragma unroll
            for (int i = 0; i < COUNT; i++) line[i] = op.line(first + row + i * STEP);
        else line[0] = op.line(first + at);
    }
    __device__ void fetch(const Operand &op, int k) {
        #pragma unroll
        for (int i = 0; i < COUNT; i++) {
            int r = row + i * STEP;
            quad[i] = make_float4(0, 0, 0, 0);
            if (ROWS % STEP && r >= ROWS) continue;
            if (QUADS_ONLY || op.quads) {
                const float *p = ALONG ? op.at(line[i], op.depth(k + at))
                                       : op.at(line[0], op.depth(k + r));
                if (p) quad[i] = *(const float4 *)p;
            } else {
                float one[4];
                #pragma unroll
                for (int e = 0; e < 4; e++) {
                    const float *p = ALONG ? op.at(line[i], op.depth(k + at + e))
                                     : op.at(op.line(first + at + e), op.depth(k + r));
                    one[e] = p ? *p : 0;
                }
                quad[i] = make_float4(one[0], one[1], one[2], one[3]);
            }
        }
    }
    /* to[depth][line], `stride` apart */
    __device__ void store(float *to, int stride) const {
        #pragma unroll
        for (int i = 0; i < COUNT; i++) {
            int r = row + i * STEP;
            if (ROWS % STEP && r >= ROWS) continue;
            if (ALONG) {
                float *p = to + at * stride + r;
                p[0] = quad[i].x, p[stride] = quad[i].y;
                p[2 * stride] = quad[i].z, p[3 * stride] = quad[i].w;
            } else *(float4 *)(to + r * stride + at) = quad[i];
        }
    }
};

/* Rung 3, register tile: a block computes BM x BN outputs, a thread TM x TN of them in registers.
 * For every depth it reads TM + TN numbers from near and multiplies each with each: TM*TN/(TM+TN)
 * multiply-adds a load, four for 8 x 8, where rung 2 has a half. A thread's lines and columns lie
 * in fours, BM/(TM/4) and BN/(TN/4) apart: 16-byte loads, neighbours for neighbouring threads.
 * shared: two buffers of both tiles, DEPTH deep. While one is computed on, the next is fetched from
 * far into registers and then stored to the other, where no thread reads before the barrier: so one
 * barrier a step is enough.
 *     step s: fetch s+1 from far | multiply s | store s+1 into the other buffer | barrier */
constexpr int PAD = 4;
template <int BM, int BN, int DEPTH, int TM, int TN, class Left, class Right, class Out>
__global__ void __launch_bounds__(THREADS, 2)
register_tile_kernel(Left left, Right right, Out out, int slices) {
    static_assert(BM / TM * (BN / TN) == THREADS, "every thread has one register tile");
    __shared__ __align__(16) float a[2][DEPTH][BM + PAD], b[2][DEPTH][BN + PAD];
    int phase = (int)blockIdx.z / slices, slice = (int)blockIdx.z % slices;
    left.select(phase), right.follow(left);
    int m0 = (int)blockIdx.x * BM, n0 = (int)blockIdx.y * BN;
    if (m0 >= left.lines) return;    /* the whole block: this phase has fewer pixels than others */
    int tx = (int)threadIdx.x % (BN / TN) * 4, ty = (int)threadIdx.x / (BN / TN) * 4;
    long steps = (left.depths + DEPTH - 1) / DEPTH;
    int step = (int)(steps * slice / slices), end = (int)(steps * (slice + 1) / slices);
    Tile<Left, BM, DEPTH, TM * TN == 64> from_left;
    Tile<Right, BN, DEPTH, TM * TN == 64> from_right;
    float sum[TM][TN];
    #pragma unroll                                    /* `= {}` would cost two registers too many */
    for (int i = 0; i < TM * TN; i++) sum[i / TN][i % TN] = 0;

    from_left.begin(left, m0), from_right.begin(right, n0);
    if (step < end) {
        from_left.fetch(left, step * DEPTH), from_right.fetch(right, step * DEPTH);
        from_left.store(a[step % 2][0], BM + PAD), from_right.store(b[step % 2][0], BN + PAD);
    }
    __syncthreads();
    for (; step < end; step++) {
        const int now = step % 2;
        if (step + 1 < end)
            from_left.fetch(left, (step + 1) * DEPTH), from_right.fetch(right, (step + 1) * DEPTH);
        #pragma unroll
        for (int k = 0; k < DEPTH; k++) {
            float p[TM], q[TN];
            #pragma unroll
            for (int i = 0; i < TM; i += 4)
                *(float4 *)&p[i] = *(const float4 *)&a[now][k][ty + i * (BM / TM)];
            #pragma unroll
            for (int j = 0; j < TN; j += 4)
                *(float4 *)&q[j] = *(const float4 *)&b[now][k][tx + j * (BN / TN)];
            #pragma unroll
            for (int i = 0; i < TM; i++)
                #pragma unroll
                for (int j = 0; j < TN; j++) sum[i][j] += p[i] * q[j];
        }
        if (step + 1 < end)
            from_left.store(a[now ^ 1][0], BM + PAD), from_right.store(b[now ^ 1][0], BN + PAD);
        __syncthreads();
    }
    out.select(phase);
    #pragma unroll
    for (int i = 0; i < TM; i++) {
        int m = m0 + ty + i / 4 * 4 * (BM / TM) + i % 4;
        if (m >= left.lines) continue;
        long row = out.row(m);
        #pragma unroll
        for (int j = 0; j < TN; j += 4) {
            int n = n0 + tx + j * (BN / TN);
            float4 four = make_float4(sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]);
            if (n < right.lines) out.put_four(row, n, slice, four);
        }
    }
}

/* Rung 4, tensor cores: a warp multiplies 16 x 8 fragments in one instruction (mma.sync). The cores
 * take rounded numbers and add in float32: tf32 keeps 10 bits behind the point and float32's range,
 * bf16 keeps 7, is half as large and twice as fast. This is mixed precision: all numbers in memory
 * stay float32, and a thread rounds on the way from shared memory into its registers. bf16 has
 * float32's range, so no loss needs scaling. Tensor cores have these types since Ampere: for an
 * older GPU the kernel is compiled empty, and cuda_open refuses the precision.
 * CUDA C++ has no functions for these instructions; tests/cuda_on_cpu has them on the CPU. */
#ifdef CUDA_ON_CPU
#include "ptx.h"
#else
__device__ static inline unsigned round_tf32(float x) {              /* to nearest */
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}
/* d (16 x 8) += a (16 x K) b (K x 8), by the 32 lanes together; K is 8 for tf32, 16 for bf16. With
 * g = lane/4, t = lane%4, and a depth t being one number of tf32 or two of bf16:
 *     a[0] a(g,t)   a[1] a(g+8,t)   a[2] a(g,t+4)   a[3] a(g+8,t+4)   b0 b(t,g)   b1 b(t+4,g)
 *     d[0] d(g,2t)   d[1] d(g,2t+1)   d[2] d(g+8,2t)   d[3] d(g+8,2t+1) */
#define MMA(name, shape)                                                                       \
    __device__ static inline void name(float (&d)[4], const unsigned (&a)[4], unsigned b0,     \
                                       unsigned b1) {                                          \
        asm("mma.sync.aligned." shape " {%0, %1, %2, %3}, {%4, %5, %6, %7}, "                  \
            "{%8, %9}, {%0, %1, %2, %3};"                                                      \
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                   \
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                   \
    }
MMA(mma_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")
MMA(mma_bf16, "m16n8k16.row.col.f32.bf16.bf16.f32")
/* cp.async: 16 bytes from far to near, past the registers, while the thread goes on; NULL: zeros.
 * They are there when the thread has waited, and for the others after a barrier. */
__device__ inline void copy_four(float4 *to, const float *from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"((unsigned)__cvta_generic_to_shared(to)), "l"(from), "r"(from ? 16 : 0)
                 : "memory");
}
/* a load from shared memory by the whole warp, whose banks cuda_on_cpu checks */
__device__ inline float4 near_four(const float4 *p) { return *p; }
#endif

/* What a lane multiplies: four numbers of a line, neighbours along the depth, in N registers. The
 * order of the depths is the same for both factors, so it need not be the instruction's. */
struct Tf32 {
    static constexpr int N = 4;
    __device__ static void round(unsigned (&r)[N], const float (&f)[4]) {
        #pragma unroll
        for (int i = 0; i < 4; i++) r[i] = round_tf32(f[i]);
    }
    __device__ static void multiply(float (&d)[4], const unsigned (&a)[4], unsigned b0,
                                    unsigned b1) { mma_tf32(d, a, b0, b1); }
};
struct Bf16 {
    static constexpr int N = 2;
    __device__ static void round(unsigned (&r)[N], const float (&f)[4]) {
        #pragma unroll
        for (int i = 0; i < 2; i++) {
            __nv_bfloat162 two = __floats2bfloat162_rn(f[2 * i], f[2 * i + 1]);
            r[i] = __bfloat16_as_ushort(two.x) | (unsigned)__bfloat16_as_ushort(two.y) << 16;
        }
    }
    __device__ static void multiply(float (&d)[4], const unsigned (&a)[4], unsigned b0,
                                    unsigned b1) { mma_bf16(d, a, b0, b1); }
};

/* A tile in shared memory, 16 deep, in rows of pieces of four neighbours, as they come from far:
 * along the depth a row is a line, else a depth. The rows stand in such an order, and across the
 * depth so far apart, that eight lanes find in eight different groups of banks what they read at
 * once: four depths (t) of two lines (g), or two pieces (g) of four depths (t). */
template <class Operand, int LINES> struct Near : Tile<Operand, LINES, 16, true> {
    typedef Tile<Operand, LINES, 16, true> Base;
    static constexpr int ROW = Base::ALONG ? 4 : Base::QUADS + 2, SIZE = Base::ROWS * ROW;
    __device__ static int in_row(int r) {             /* which line, or depth */
        return Base::ALONG ? r / 32 * 32 + r % 8 * 4 + r / 8 % 4 : r % 4 * 4 + r / 4;
    }
    __device__ void begin(const Operand &op, int first) {
        this->row = (int)threadIdx.x / Base::QUADS, this->at = (int)threadIdx.x % Base::QUADS * 4;
        #pragma unroll
        for (int i = 0; i < (Base::ALONG ? Base::COUNT : 1); i++)
            this->line[i] = op.line(first + (Base::ALONG ? in_row(this->row + i * Base::STEP)
                                                         : this->at));
    }
    /* asks for depths k .. k+15 */
    __device__ void ask(const Operand &op, int k, float4 *tile) const {
        #pragma unroll
        for (int i = 0; i < Base::COUNT; i++) {
            int r = this->row + i * Base::STEP;
            copy_four(tile + r * ROW + this->at / 4,
                      Base::ALONG ? op.at(this->line[i], op.depth(k + this->at))
                                  : op.at(this->line[0], op.depth(k + in_row(r))));
        }
    }
    /* r[e]: line first + 4 g + e, depths 4 t .. 4 t + 3 */
    template <class T>
    __device__ static void read(unsigned (&r)[4][T::N], const float4 *tile, int first) {
        int g = (int)threadIdx.x % 32 / 4, t = (int)threadIdx.x % 4;
        float f[4][4];
        tile += Base::ALONG ? (first + g) * ROW + t : t * ROW + first / 4 + g;
        #pragma unroll
        for (int e = 0; e < 4; e++) {
            float4 v = near_four(tile + (Base::ALONG ? 8 : 4) * e * ROW);
            f[Base::ALONG ? e : 0][Base::ALONG ? 0 : e] = v.x;
            f[Base::ALONG ? e : 1][Base::ALONG ? 1 : e] = v.y;
            f[Base::ALONG ? e : 2][Base::ALONG ? 2 : e] = v.z;
            f[Base::ALONG ? e : 3][Base::ALONG ? 3 : e] = v.w;
        }
        #pragma unroll
        for (int e = 0; e < 4; e++) T::round(r[e], f[e]);
    }
};
/* A block computes BM x BN outputs, its eight warps WM x 32 each, in fragments of 16 x 8. Line
 * 32 i + 4 g + e of a warp is line g (e even) or g + 8 (e odd) of fragment 2 i + e/2, and column
 * 4 c + j is column c of fragment j: so a lane reads fours and has fours to write.
 * shared: a ring of RING buffers of both tiles. Copies (cp.async) run RING-1 steps ahead of the
 * products; a thread commits what it asks for in one step as a group, and waits for the oldest:
 *     step s:  wait for group s | barrier: all of its parts are there, and all warps have left
 *              step s-1 | ask for group s+RING-1, into the buffer of step s-1 | multiply group s */
constexpr int RING = 4;
template <int BM, int BN, class T, class Left, class Right, class Out>
__global__ void __launch_bounds__(THREADS, 2)
tensor_kernel(Left left, Right right, Out out, int slices) {
#if __CUDA_ARCH__ >= 800
    typedef Near<Left, BM> A;
    typedef Near<Right, BN> B;
    constexpr int WM = BM * BN / 32 / (THREADS / 32), STAGE = A::SIZE + B::SIZE;
    extern __shared__ float4 near[];                  /* [RING][STAGE] */
    int phase = (int)blockIdx.z / slices, slice = (int)blockIdx.z % slices;
    left.select(phase), right.follow(left);
    int m0 = (int)blockIdx.x * BM, n0 = (int)blockIdx.y * BN;
    if (m0 >= left.lines) return;
    int warp = (int)threadIdx.x / 32, wm = warp % (BM / WM) * WM, wn = warp / (BM / WM) * 32;
    long steps = (left.depths + 15) / 16;
    int step = (int)(steps * slice / slices), end = (int)(steps * (slice + 1) / slices);
    A from_left;
    B from_right;
    float sum[WM / 16][4][4];
    #pragma unroll
    for (int i = 0; i < WM; i++) sum[i / 16][i / 4 % 4][i % 4] = 0;

    from_left.begin(left, m0), from_right.begin(right, n0);
    #pragma unroll 1
    for (int ahead = step, now = 0; now < RING - 1; ahead++, now++) {
        float4 *tile = near + now * STAGE;
        if (ahead < end) {
            from_left.ask(left, ahead * 16, tile);
            from_right.ask(right, ahead * 16, tile + A::SIZE);
        }
        __pipeline_commit();                          /* an empty one counts too */
    }
    #pragma unroll 1
    for (int now = 0; step < end; step++, now = (now + 1) % RING) {
        __pipeline_wait_prior(RING - 2);
        __syncthreads();
        if (step + RING - 1 < end) {
            float4 *tile = near + (now + RING - 1) % RING * STAGE;
            from_left.ask(left, (step + RING - 1) * 16, tile);
            from_right.ask(right, (step + RING - 1) * 16, tile + A::SIZE);
        }
        __pipeline_commit();
        const float4 *tile = near + now * STAGE;
        unsigned q[4][T::N];
        B::template read<T>(q, tile + A::SIZE, wn);
        #pragma unroll
        for (int i = 0; i < WM / 16; i += 2) {
            unsigned p[4][T::N];
            A::template read<T>(p, tile, wm + 16 * i);
            #pragma unroll
            for (int e = 0; e < 4; e += 2)
                #pragma unroll
                for (int u = 0; u < T::N; u += 2) {
                    const unsigned a[4] = { p[e][u], p[e + 1][u], p[e][u + 1], p[e + 1][u + 1] };
                    #pragma unroll
                    for (int j = 0; j < 4; j++)
                        T::multiply(sum[i + e / 2][j], a, q[j][u], q[j][u + 1]);
                }
        }
    }
    out.select(phase);
    int g = (int)threadIdx.x % 32 / 4, n = n0 + wn + (int)threadIdx.x % 4 * 8;
    #pragma unroll
    for (int i = 0; i < WM / 8; i++) {
        int m = m0 + wm + i / 4 * 32 + 4 * g + i % 4;
        if (m >= left.lines) continue;
        long row = out.row(m);
        #pragma unroll
        for (int c = 0; c < 2; c++) {
            float (&d)[4][4] = sum[i / 2];
            int h = i % 2 * 2 + c;
            float4 four = make_float4(d[0][h], d[1][h], d[2][h], d[3][h]);
            if (n + 4 * c < right.lines) out.put_quad(row, n + 4 * c, slice, four);
        }
    }
#else
    __trap();                                         /* cuda_open refuses such a GPU */
#endif
}

/* Thin outputs: one to four channels c, as the last layer of a generator and the input gradient of
 * a first layer have them. As a product they have c columns, and a tile of 16 is mostly empty. Here
 * a thread computes THIN pixels of one phase that follow each other in a row, all their channels,
 * in registers: a weight is read once for THIN pixels, a number of dy once for c channels.
 * A forward convolution of stride 1 is the same sum with its taps from last to first: `turned`, and
 * d is then the convolution seen from its output.
 * shared: eight channels of dy's pixels under the block's pixels, in a row of `pitch` float4, and
 * of the phase's weights. Neighbouring threads stand in neighbouring rows, and pitch is odd: eight
 * threads read from eight different groups of banks. */
constexpr int THIN = 4, THIN_DEPTH = 8, THIN_THREADS = 128;
struct Thin {
    const float *dy, *w;
    OutPhase out;
    int turned, high, groups;                 /* a block: high rows of groups * THIN pixels */
    int down, across, reach, rows, wide, pitch;
    Div by_wide;
};
template <int C> __global__ void __launch_bounds__(THIN_THREADS, 4) thin_kernel(Thin a) {
    extern __shared__ float4 near[];                  /* dy[rows][pitch], w[taps][C][2] */
    const Conv &d = a.out;
    a.out.select((int)blockIdx.z);
    const Axis p = a.out.down, q = a.out.along;
    int tile = (int)blockIdx.x % (a.down * a.across), n = (int)blockIdx.x / (a.down * a.across);
    int t0 = tile / a.across * a.high, u0 = tile % a.across * a.groups * THIN;
    if (t0 >= p.count || u0 >= q.count) return;       /* the whole block */
    int t = (int)threadIdx.x % a.high, g = (int)threadIdx.x / a.high, far = a.reach - 1;
    float4 *w = near + a.rows * a.pitch;
    float sum[THIN][C] = {};

    for (int o = 0; o < d.o; o += THIN_DEPTH) {
        for (int i = (int)threadIdx.x; i < a.rows * a.wide * 2; i += (int)blockDim.x) {
            int r = i / 2 / a.by_wide, v = i / 2 - r * a.wide, k = o + i % 2 * 4;
            int y = t0 + p.base - far + r, x = u0 + q.base - far + v;
            bool there = (unsigned)y < (unsigned)d.oh && (unsigned)x < (unsigned)d.ow && k < d.o;
            const float *from = a.dy + (((long)n * d.oh + y) * d.ow + x) * d.o + k;
            near[r * a.pitch + v * 2 + i % 2] = there ? *(const float4 *)from
                                                      : make_float4(0, 0, 0, 0);
        }
        for (int i = (int)threadIdx.x; i < p.taps * q.taps * C * 8; i += (int)blockDim.x) {
            int uv = i / (8 * C), c = i / 8 % C, k = o + i % 8;
            int u = p.a + d.stride * (uv / q.taps), v = q.a + d.stride * (uv % q.taps);
            if (a.turned) u = d.kernel - 1 - u, v = d.kernel - 1 - v;
            uv = u * d.kernel + v;
            ((float *)w)[i] = k >= d.o ? 0 : a.w[a.turned ? ((long)uv * d.o + k) * C + c
                                                          : ((long)uv * C + c) * d.o + k];
        }
        __syncthreads();                              /* this part is whole */
        for (int r = 0; r < p.taps && g < a.groups; r++)
            #pragma unroll 2                          /* a tap's two halves of the channels */
            for (int vh = 0; vh < 2 * q.taps; vh++) {
                int v = vh / 2, half = vh % 2;
                const float4 *line = near + (t + far - r) * a.pitch
                                   + (g * THIN + far - v) * 2 + half;
                float4 f[C];
                #pragma unroll
                for (int c = 0; c < C; c++) f[c] = w[((r * q.taps + v) * C + c) * 2 + half];
                #pragma unroll
                for (int i = 0; i < THIN; i++) {
                    float4 e = line[2 * i];
                    #pragma unroll
                    for (int c = 0; c < C; c++)
                        sum[i][c] += e.x * f[c].x + e.y * f[c].y + e.z * f[c].z + e.w * f[c].w;
                }
            }
        __syncthreads();                              /* all have read it: the next may come */
    }
    if (g >= a.groups || t0 + t >= p.count) return;
    #pragma unroll
    for (int i = 0; i < THIN; i++) {
        int u = u0 + g * THIN + i;
        long row = a.out.row((n * p.count + t0 + t) * q.count + u);
        #pragma unroll
        for (int c = 0; c < C; c++)
            if (u < q.count) a.out.put(row, c, 0, sum[i][c]);
    }
}

/* How a product is cut: the tile, and the slices of its depth. Follows from the sizes alone. */
struct Plan { int bm, bn, slices; };
static Plan plan(long lines, long columns, long depths, long phases, long count, int tensor) {
    const long ENOUGH = tensor ? 128 : 256;           /* blocks that keep a large GPU busy */
    Plan p = { 128, 64, 1 };
    if (lines <= 0 || columns <= 0) return p;
    if (columns <= 16 && !tensor) p.bm = 256, p.bn = 16;
    else if (columns > 64 && (tensor || (double)lines * columns * phases >= 128. * 128 * ENOUGH))
        p.bn = 128;
    long tiles = up(lines, p.bm) * up(columns, p.bn) * phases;
    long slices = std::min({ ENOUGH / tiles, depths / 128, 64000000 / count });
    if (tiles <= ENOUGH / 2) p.slices = (int)std::max(1L, slices);
    return p;
}

static int ladder;             /* 4, for tests: the fastest kernels, however small the product */
void cuda_ladder(int rung) { ladder = rung; }

template <int BM, int BN, class T, class Left, class Right, class Out>
static void launch_tensor(dim3 grid, Left left, Right right, Out out, int slices) {
    constexpr int near = RING * (Near<Left, BM>::SIZE + Near<Right, BN>::SIZE) * 16;
    auto kernel = tensor_kernel<BM, BN, T, Left, Right, Out>;
    static cudaError_t error =                        /* more than 48 KB must be asked for, once */
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, near);
    check(error, "asking for shared memory");
    kernel<<<grid, THREADS, near, stream>>>(left, right, out, slices);
}

enum { FLOAT32, TF32, BF16 };                         /* --precision */
template <int PRECISION, class Left, class Right, class Out>
static void product(Left left, Right right, Out out, int phases) {
    if (left.lines <= 0 || right.lines <= 0) return;  /* nothing to compute: an empty batch */
    if (ladder == 1 || ladder == 2) {
        dim3 grid(up(left.lines, 16), up(right.lines, 16), phases), block(16, 16);
        void (*plain)(Left, Right, Out) = ladder == 1 ? naive_kernel<Left, Right, Out>
                                                      : shared_tile_kernel<Left, Right, Out>;
        plain<<<grid, block, 0, stream>>>(left, right, out);
        return launched(__PRETTY_FUNCTION__);
    }
    const int quads = left.quads && right.quads;
    const int tensor = PRECISION != FLOAT32 && ladder != 3 && quads && out.quads
                       && (right.lines > 16 || ladder == 4);
    Plan p = plan(left.lines, right.lines, left.depths, phases, out.count, tensor);
    out.parts = p.slices > 1 ? scratch<float>(FOR_SLICES, out.count * p.slices) : NULL;
    if (ladder == 4 && p.bn == 64) p.bn = 128;
    if (p.bn == 128 && !quads) p.bn = 64;
    dim3 grid(up(left.lines, p.bm), up(right.lines, p.bn), phases * p.slices);
    if constexpr (PRECISION != FLOAT32) {
        typedef std::conditional_t<PRECISION == BF16, Bf16, Tf32> T;
        if (tensor && p.bn == 128) launch_tensor<128, 128, T>(grid, left, right, out, p.slices);
        else if (tensor) launch_tensor<128, 64, T>(grid, left, right, out, p.slices);
    }
    if (!tensor) {
        void (*kernel)(Left, Right, Out, int) =
            p.bn == 128 ? register_tile_kernel<128, 128, 8, 8, 8, Left, Right, Out>
            : p.bn == 64 ? register_tile_kernel<128, 64, 16, 8, 4, Left, Right, Out>
                         : register_tile_kernel<256, 16, 16, 4, 4, Left, Right, Out>;
        kernel<<<grid, THREADS, 0, stream>>>(left, right, out, p.slices);
    }
    launched(__PRETTY_FUNCTION__);
    if (p.slices > 1) add_slices(out, p.slices);
}

static int aligned(const void *x, int neighbours) {
    return (uintptr_t)x % 16 == 0 && neighbours % 4 == 0;
}
/* Operands count numbers in 32 bits and pixels in 31: half the registers, 16 GB for a tensor. */
static void check_size(const Conv &d) {
    double most = std::max((double)pixels_in(d) * d.c, (double)pixels_out(d) * d.o);
    if (most <= UINT32_MAX && pixels_in(d) <= INT32_MAX && pixels_out(d) <= INT32_MAX
        && d.stride < 256) return;
    fprintf(stderr, "cuda: a convolution of %.0f numbers, stride %d: expected at most %.0f "
            "numbers, %d pixels, stride 255: use a smaller --batch or --size\n",
            most, d.stride, (double)UINT32_MAX, INT32_MAX);
    exit(1);
}

static Patches patches(const float *x, const Conv &d) {
    check_size(d);
    return { d, x, (int)pixels_out(d), d.kernel * d.kernel * d.c, aligned(x, d.c),
             div_by(d.oh * d.ow), div_by(d.ow), div_by(d.c), div_by(d.kernel) };
}
static Matrix matrix(const float *x, int lines, int depths) {
    return { x, lines, depths, aligned(x, lines) };
}
static Out output(float *y, const float *bias, float scale, int accumulate, long rows,
                  int columns) {
    return { y, bias, scale, accumulate, columns, aligned(y, columns), rows * columns, NULL };
}

/* 0 when the thin kernel is not for this convolution, or has too few blocks to keep a GPU busy */
static int thin(float *dx, const float *dy, const float *w, const float *b, int accumulate,
                const Conv &d, int turned) {
    void (*kernel)(Thin) = d.c == 1 ? thin_kernel<1> : d.c == 2 ? thin_kernel<2>
                         : d.c == 3 ? thin_kernel<3> : thin_kernel<4>;
    if (d.c > 4 || !aligned(dy, d.o) || (ladder && ladder != 4)) return 0;
    Thin a;
    int s = d.stride, high = (int)up(d.h, s), wide = (int)up(up(d.w, s), THIN);
    a.dy = dy, a.w = w, a.turned = turned;
    a.out = { output(dx, b, 1, accumulate, pixels_in(d), d.c), { d, {}, {} } };
    a.groups = std::min(wide, 8), a.high = std::min(THIN_THREADS / a.groups, high);
    a.down = (int)up(high, a.high), a.across = (int)up(wide, a.groups);
    a.reach = (int)up(d.kernel, s), a.rows = a.high + a.reach - 1;
    a.wide = a.groups * THIN + a.reach - 1, a.pitch = a.wide * 2 | 1, a.by_wide = div_by(a.wide);
    long blocks = (long)d.n * a.down * a.across;
    size_t near = sizeof(float4) * ((long)a.rows * a.pitch + (long)a.reach * a.reach * d.c * 2);
    if (near > 48 << 10 || blocks > INT32_MAX || (!ladder && blocks * s * s < 64)) return 0;
    dim3 grid((unsigned)blocks, 1, s * s);
    kernel<<<grid, up(a.high * a.groups, 32) * 32, near, stream>>>(a);
    launched("thin_kernel");
    return 1;
}

static long conv_scratch(const Conv *of) {
    const Conv d = *of;
    long taps = (long)d.kernel * d.kernel * d.c, s = d.stride, few = up(d.kernel, s), need = 0;
    struct { long lines, columns, depths, phases, count; } const products[] = {
        { pixels_out(d), d.o, taps, 1, pixels_out(d) * d.o },
        { d.n * up(d.h, s) * up(d.w, s), d.c, few * few * d.o, s * s, pixels_in(d) * d.c },
        { taps, d.o, pixels_out(d), 1, taps * d.o } };
    for (auto &p : products)
        for (int tensor = 0; tensor < 2; tensor++) {
            long slices = plan(p.lines, p.columns, p.depths, p.phases, p.count, tensor).slices;
            if (slices > 1 && slices * p.count > need) need = slices * p.count;
        }
    return need;
}

/* a dense layer: 1x1 pictures, 1x1 kernel */
static Conv as_conv(long n, int in, int out) { return { (int)n, 1, 1, in, 1, 1, out, 1, 1, 0 }; }
template <int PRECISION> struct Products {
    /* y = b + sum x w, or y +=: forward, and a transposed convolution's input gradient */
    static void convolve(float *y, const float *x, const float *w, const float *b, int accumulate,
                         const Conv &d) {
        Patches left = patches(x, d);
        int pad = d.kernel - 1 - d.pad;
        const Conv turned = { d.n, d.oh, d.ow, d.o, d.h, d.w, d.c, d.kernel, 1, pad };
        if (d.stride == 1 && thin(y, x, w, b, accumulate, turned, 1)) return;
        OutRows out = { output(y, b, 1, accumulate, pixels_out(d), d.o) };
        product<PRECISION>(left, matrix(w, d.o, left.depths), out, 1);
    }
    /* dx = b + sum dy w, or dx +=: input gradient, and a transposed convolution's forward */
    static void convolve_back(float *dx, const float *dy, const float *w, const float *b,
                              int accumulate, const Conv &d) {
        check_size(d);
        if (thin(dx, dy, w, b, accumulate, d, 0)) return;
        int s = d.stride, taps = (int)up(d.kernel, s);
        Phase phase = { d, {}, {} };
        Sources left = { phase, dy, (int)(d.n * up(d.h, s) * up(d.w, s)), taps * taps * d.o,
                         aligned(dy, d.o), div_by(d.o),
                         { div_by(taps), div_by(d.kernel > s ? d.kernel / s : 1) } };
        PhaseOfWeights right = { phase, w, d.c, left.depths, aligned(w, d.o), left.by_o, {} };
        OutPhase out = { output(dx, b, 1, accumulate, pixels_in(d), d.c), phase };
        product<PRECISION>(left, right, out, s * s);
    }
    /* dw = scale sum x dy, or dw += */
    static void correlate(float *dw, const float *x, const float *dy, float scale, int accumulate,
                          const Conv &d) {
        Patches p = patches(x, d);
        PatchesTransposed left = { p, p.depths, p.lines, p.quads };
        OutRows out = { output(dw, NULL, scale, accumulate, left.lines, d.o) };
        product<PRECISION>(left, matrix(dy, d.o, left.depths), out, 1);
    }

    static void conv2d_forward(float *y, const float *x, const float *w, const float *b,
                               const Conv *d) {
        convolve(y, x, w, b, 0, *d);
    }
    static void conv2d_backward_input(float *dx, const float *dy, const float *w, const Conv *d) {
        convolve_back(dx, dy, w, NULL, 1, *d);
    }
    static void conv2d_backward_weight(float *dw, const float *x, const float *dy, const Conv *d) {
        correlate(dw, x, dy, 1, 1, *d);
    }
    static void conv2d_transpose_forward(float *y, const float *x, const float *w, const float *b,
                                         const Conv *d) {
        convolve_back(y, x, w, b, 0, *d);
    }
    static void conv2d_transpose_backward_input(float *dx, const float *dy, const float *w,
                                                const Conv *d) {
        convolve(dx, dy, w, NULL, 1, *d);
    }
    static void conv2d_transpose_backward_weight(float *dw, const float *x, const float *dy,
                                                 const Conv *d) {
        correlate(dw, dy, x, 1, 1, *d);
    }

    static void dense_forward(float *y, const float *x, const float *w, const float *b,
                              int n, int in, int out) {
        convolve(y, x, w, b, 0, as_conv(n, in, out));
    }
    static void dense_backward_input(float *dx, const float *dy, const float *w, int n, int in,
                                     int out) {
        convolve_back(dx, dy, w, NULL, 1, as_conv(n, in, out));
    }
    static void dense_backward_weight(float *dw, const float *x, const float *dy, int n, int in,
                                      int out) {
        correlate(dw, x, dy, 1, 1, as_conv(n, in, out));
    }
};

/* F - mu in borrowed memory, or F itself where mean is NULL: then a Gram matrix is a weight
 * gradient of F with itself, and its gradient a 1x1 convolution of F with (dG + dG^T)/R. In float32
 * whatever the precision: the style loss lives on differences. */
static const float *centred(const float *f, const float *mean, long rows, int c, float *memory) {
    if (!mean) return f;
    each_row(rows, c, [=] __device__ (long r, int j) {
        memory[r * c + j] = f[r * c + j] - mean[j];
    });
    return memory;
}
static long gram_scratch(long rows, int c) {
    Conv d = as_conv(rows, c, c);
    return rows * c + up((long)c * c, 4) * 4 + conv_scratch(&d);
}
static void gram_forward(float *g, float *mean, const float *f, long rows, int c) {
    float *memory = scratch<float>(FOR_GRAM, mean ? rows * c : 0);
    if (mean) mean_rows(mean, 0, f, 1, rows, c);
    const float *e = centred(f, mean, rows, c, memory);
    Products<FLOAT32>::correlate(g, e, e, 1 / (float)rows, 0, as_conv(rows, c, c));
}
static void gram_backward(float *df, const float *dg, const float *f, const float *mean, long rows,
                          int c) {
    long square = up((long)c * c, 4) * 4;             /* e, if any, is aligned as w is */
    float *w = scratch<float>(FOR_GRAM, square + (mean ? rows * c : 0));
    const float *e = centred(f, mean, rows, c, w + square);
    each_row(c, c, [=] __device__ (long i, int j) {
        w[i * c + j] = (dg[i * c + j] + dg[(long)j * c + i]) / rows;
    });
    Products<FLOAT32>::convolve(df, e, w, NULL, 1, as_conv(rows, c, c));
}

/* ------------------------------------------------------------------------------------------ search
 * index[i] = argmin_j w_j |x_i - y_j|^2: the loops of a matrix product, but what a tile gives is
 * not stored: every thread keeps the least of what it has seen. A block takes 64 rows of x and a
 * slice of y's, 64 at a time; a thread 4 x 4 distances of a tile, in the same four rows of x all
 * the way. At the end the 16 threads that share those rows (half a warp) settle it by shuffles, and
 * nearest's last kernel settles it between the slices. `before` orders any two of them, so no order
 * of settling matters: the first row of equals wins. Always in float32: a rounded product of tensor
 * cores would find another row.
 * shared: both tiles, 16 numbers of every row at a time, laid out by number */
constexpr int NEAR = 64, NEAR_DEPTH = 16;
struct Least { float value; int index; };
__device__ static inline bool before(Least a, Least b) {       /* NaN is before every number */
    bool a_lost = a.value != a.value, b_lost = b.value != b.value;
    if (a_lost != b_lost) return a_lost;
    return a.value < b.value || ((a_lost || a.value == b.value) && a.index < b.index);
}
__global__ void __launch_bounds__(THREADS) nearest_kernel(Least *part, const float *x,
        const float *y, const float *weight, long nx, long ny, int c) {
    __shared__ __align__(16) float a[NEAR_DEPTH][NEAR + PAD], b[NEAR_DEPTH][NEAR + PAD];
    int t = (int)threadIdx.x, tx = t % 16 * 4, ty = t / 16 * 4;
    long m0 = (long)blockIdx.x * NEAR;
    long n = ny * blockIdx.y / gridDim.y, end = ny * (blockIdx.y + 1) / gridDim.y;
    Least best[4];
    #pragma unroll
    for (int i = 0; i < 4; i++) best[i] = { INFINITY, (int)n };
    for (; n < end; n += NEAR) {
        float sum[4][4] = {};
        for (int k0 = 0; k0 < c; k0 += NEAR_DEPTH) {
            #pragma unroll
            for (int i = 0; i < NEAR * NEAR_DEPTH / THREADS; i++) {   /* neighbours: along a row */
                int k = t % NEAR_DEPTH, row = t / NEAR_DEPTH + i * (THREADS / NEAR_DEPTH);
                a[k][row] = m0 + row < nx && k0 + k < c ? x[(m0 + row) * c + k0 + k] : 0;
                b[k][row] = n + row < end && k0 + k < c ? y[(n + row) * c + k0 + k] : 0;
            }
            __syncthreads();                          /* both tiles are whole */
            #pragma unroll
            for (int k = 0; k < NEAR_DEPTH; k++) {
                float p[4], q[4];
                *(float4 *)p = *(const float4 *)&a[k][ty];
                *(float4 *)q = *(const float4 *)&b[k][tx];
                #pragma unroll
                for (int i = 0; i < 16; i++) {
                    float e = p[i / 4] - q[i % 4];
                    sum[i / 4][i % 4] += e * e;
                }
            }
            __syncthreads();                          /* all have read them: the next may come */
        }
        #pragma unroll
        for (int j = 0; j < 4; j++) {
            float w = weight && n + tx + j < end ? weight[n + tx + j] : 1;
            #pragma unroll
            for (int i = 0; i < 4; i++) {
                Least here = { w * sum[i][j], (int)(n + tx + j) };
                if (n + tx + j < end && before(here, best[i])) best[i] = here;
            }
        }
    }
    #pragma unroll
    for (int i = 0; i < 4; i++) {
        for (int distance = 8; distance > 0; distance /= 2) {
            Least other = { __shfl_down_sync(0xffffffffu, best[i].value, distance, 16),
                            __shfl_down_sync(0xffffffffu, best[i].index, distance, 16) };
            if (before(other, best[i])) best[i] = other;
        }
        if (tx == 0 && m0 + ty + i < nx) part[blockIdx.y * nx + m0 + ty + i] = best[i];
    }
}
/* as many slices of y as make a thousand blocks, of 256 rows at least: by the sizes alone */
static long nearest_slices(long nx, long ny) {
    return std::max(1L, std::min(1024 / up(nx, NEAR), up(ny, 256)));
}
static long nearest_scratch(long nx, long ny, int) {
    return nx > 0 ? nearest_slices(nx, ny) * nx * 2 : 0;
}
static void nearest(float *index, float *least, const float *x, const float *y, const float *weight,
                    long nx, long ny, int c) {
    if (ny > 1 << 24) {
        fprintf(stderr, "cuda: nearest: %ld rows to search: expected at most %d, what a float "
                "counts exactly\n", ny, 1 << 24);
        exit(1);
    }
    if (nx <= 0) return;
    int slices = (int)nearest_slices(nx, ny);
    Least *part = scratch<Least>(FOR_SLICES, slices * nx);
    dim3 grid(up(nx, NEAR), slices);
    nearest_kernel<<<grid, THREADS, 0, stream>>>(part, x, y, weight, nx, ny, c);
    launched(__PRETTY_FUNCTION__);
    each(nx, [=] __device__ (long i) {
        Least best = part[i];
        for (int s = 1; s < slices; s++)
            if (before(part[s * nx + i], best)) best = part[s * nx + i];
        index[i] = (float)best.index, least[i] = best.value;
    });
}

/* the rank of x[i,j] in column j: how many there are smaller, or equal and in an earlier row */
__device__ static inline long rank_of(const float *x, long i, int j, long rows, int c) {
    long rank = 0;
    for (long k = 0; k < i; k++) rank += x[k * c + j] <= x[i * c + j];
    for (long k = i + 1; k < rows; k++) rank += x[k * c + j] < x[i * c + j];
    return rank;
}
static void match_ranks(float *y, float *sorted, const float *x, const float *t, long rows, int c) {
    fill(sorted, NAN, rows * c);
    each_row(rows, c, [=] __device__ (long i, int j) {
        float own = t[i * c + j];
        if (own == own) sorted[rank_of(t, i, j, rows, c) * c + j] = own;
    });
    each_row(rows, c, [=] __device__ (long i, int j) {
        float own = x[i * c + j];
        y[i * c + j] = own == own ? sorted[rank_of(x, i, j, rows, c) * c + j] : own;
    });
}

/* ----------------------------------------------------------------------------------- the tables */

template <int PRECISION> static constexpr Ops table(const char *name_) {
    Ops ops = {};
    ops.name = name_, ops.alloc = alloc, ops.release = release;
    ops.upload = upload, ops.download = download;
#define ENTRY(name) ops.name = name;
#define PRODUCT(name) ops.name = Products<PRECISION>::name;
    OPS_SIMPLE(ENTRY) OPS_TILED(ENTRY) OPS_PRODUCTS(PRODUCT)
    return ops;
}
constexpr Ops ops_cuda = table<FLOAT32>("cuda"), ops_cuda_tf32 = table<TF32>("cuda_tf32"),
              ops_cuda_bf16 = table<BF16>("cuda_bf16");
