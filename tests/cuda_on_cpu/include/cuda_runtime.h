/* cuda_runtime.h: CUDA's language and runtime for g++, no toolkit needed. cuda_on_cpu.cpp runs what is declared here.
 *
 * This header is included before a .cu file is preprocessed; then `rewrite` turns what no macro can express into C++:
 *   k<<<grid, block>>>(args)       cuda_on_cpu::Launch(grid, block).kernel("k", [&](auto... a) { k(a...); })(args)
 *   __shared__ float a[8], b;      one slot of shared memory for each variable, and a reference to it
 *   extern __shared__ float s[];   float *s, the launch's dynamic shared memory
 *   __global__ ... {               all calls inlined, { and a call that tells the kernel's name
 *   __device__, __constant__       nothing before functions, a section of their own for variables
 * One compilation serves host and device: __CUDACC__ is defined, and __CUDA_ARCH__ is 800 in host functions too. */
#ifndef CUDA_ON_CPU_RUNTIME_H
#define CUDA_ON_CPU_RUNTIME_H
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#define CUDART_VERSION 12000
#define __align__(n) __attribute__((aligned(n)))
#define __forceinline__ __inline__ __attribute__((always_inline))
#define CUDA_ON_CPU_UNCHECKED __attribute__((no_sanitize("thread"), no_sanitize("undefined")))

/* ---- vector types: aligned as CUDA aligns them, for a misaligned float4 is a fault on a GPU ---- */

#define CUDA_ON_CPU_VECTORS(T, name, size) \
    struct name##1 { T x; }; \
    struct alignas(2 * size) name##2 { T x, y; }; \
    struct name##3 { T x, y, z; }; \
    struct alignas(4 * size > 16 ? 16 : 4 * size) name##4 { T x, y, z, w; }; \
    static inline name##1 make_##name##1(T x) { return { x }; } \
    static inline name##2 make_##name##2(T x, T y) { return { x, y }; } \
    static inline name##3 make_##name##3(T x, T y, T z) { return { x, y, z }; } \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { return { x, y, z, w }; }
CUDA_ON_CPU_VECTORS(signed char, char, 1)
CUDA_ON_CPU_VECTORS(unsigned char, uchar, 1)
CUDA_ON_CPU_VECTORS(short, short, 2)
CUDA_ON_CPU_VECTORS(unsigned short, ushort, 2)
CUDA_ON_CPU_VECTORS(int, int, 4)
CUDA_ON_CPU_VECTORS(unsigned, uint, 4)
CUDA_ON_CPU_VECTORS(float, float, 4)
CUDA_ON_CPU_VECTORS(long long, longlong, 8)
CUDA_ON_CPU_VECTORS(unsigned long long, ulonglong, 8)
CUDA_ON_CPU_VECTORS(double, double, 8)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
    constexpr operator uint3() const { return { x, y, z }; }
};
/* const, so that the compiler may keep them in registers and no hook is called: they are constant for a thread */
extern const uint3 threadIdx, blockIdx, blockDim, gridDim;
constexpr int warpSize = 32;

/* ---- threads of a block: every operation at which a thread waits for others ---- */

enum CudaOnCpuOp { CPU_SYNCTHREADS, CPU_SYNCWARP, CPU_SHFL, CPU_VOTE, CPU_WMMA };
void cuda_on_cpu_kernel(const char *name, unsigned bound = 1024, unsigned = 0);  /* the first thing a kernel does */
unsigned cuda_on_cpu_barrier(int line, int value);                               /* how many threads came with value != 0 */
/* waits for the lanes in mask; lane i's value is then at [i] until this lane's next operation. pc: where, if not the caller */
const uint64_t *cuda_on_cpu_warp(int op, unsigned mask, uint64_t value, const void *pc = NULL);
uint64_t cuda_on_cpu_shfl(unsigned mask, uint64_t value, int source);
unsigned cuda_on_cpu_ballot(unsigned mask, int value);
void cuda_on_cpu_fence(void);
int cuda_on_cpu_lane(void);
#define __syncthreads()          ((void)cuda_on_cpu_barrier(__LINE__, 0))
#define __syncthreads_count(p)   ((int)cuda_on_cpu_barrier(__LINE__, (p) != 0))
#define __syncthreads_or(p)      ((int)(cuda_on_cpu_barrier(__LINE__, (p) != 0) > 0))
#define __syncthreads_and(p)     ((int)(cuda_on_cpu_barrier(__LINE__, (p) == 0) == 0))
#define __syncwarp(...)          ((void)cuda_on_cpu_warp(CPU_SYNCWARP, cuda_on_cpu::mask(__VA_ARGS__), 0))
#define __ballot_sync(m, p)      cuda_on_cpu_ballot(m, (p) != 0)
#define __any_sync(m, p)         ((int)(cuda_on_cpu_ballot(m, (p) != 0) != 0))
#define __all_sync(m, p)         ((int)(cuda_on_cpu_ballot(m, (p) == 0) == 0))
#define __activemask()           cuda_on_cpu_active()
#define __shfl_sync(m, ...)      cuda_on_cpu::shfl(0, m, __VA_ARGS__)
#define __shfl_up_sync(m, ...)   cuda_on_cpu::shfl(1, m, __VA_ARGS__)
#define __shfl_down_sync(m, ...) cuda_on_cpu::shfl(2, m, __VA_ARGS__)
#define __shfl_xor_sync(m, ...)  cuda_on_cpu::shfl(3, m, __VA_ARGS__)
#define __threadfence()          cuda_on_cpu_fence()
#define __threadfence_system()   cuda_on_cpu_fence()
#define __threadfence_block()    ((void)0)
#define __nanosleep(ns)          ((void)0)

namespace cuda_on_cpu {
static inline unsigned mask(unsigned m = 0xffffffff) { return m; }
template <class T> static inline T shfl(int kind, unsigned mask, T v, int d, int width = 32) {
    static_assert(sizeof(T) <= 8, "shuffles move at most 8 bytes");
    int lane = cuda_on_cpu_lane(), first = lane & ~(width - 1), from = lane;
    if (kind == 0) from = first + (d & (width - 1));
    if (kind == 1 && lane - d >= first) from = lane - d;
    if (kind == 2 && lane + d < first + width) from = lane + d;
    if (kind == 3 && (lane ^ d) < first + width) from = lane ^ d;
    uint64_t bits = 0;
    __builtin_memcpy(&bits, &v, sizeof v);
    bits = cuda_on_cpu_shfl(mask, bits, from);
    __builtin_memcpy(&v, &bits, sizeof v);
    return v;
}
}

/* ---- atomics: `check` is told, then the operation is done; coroutines never interrupt each other ---- */

void cuda_on_cpu_atomic(const void *p, size_t size, const void *pc);
#define CUDA_ON_CPU_ATOMIC(T, name, result) \
    __attribute__((noinline)) CUDA_ON_CPU_UNCHECKED static inline T name(T *p, T v) { \
        cuda_on_cpu_atomic(p, sizeof *p, __builtin_return_address(0)); T old = *p; *p = (T)(result); return old; }
#define CUDA_ON_CPU_ATOMICS(T) \
    CUDA_ON_CPU_ATOMIC(T, atomicAdd, old + v) CUDA_ON_CPU_ATOMIC(T, atomicExch, v)
#define CUDA_ON_CPU_INT_ATOMICS(T) CUDA_ON_CPU_ATOMICS(T) \
    CUDA_ON_CPU_ATOMIC(T, atomicSub, old - v) CUDA_ON_CPU_ATOMIC(T, atomicMax, old > v ? old : v) \
    CUDA_ON_CPU_ATOMIC(T, atomicMin, old < v ? old : v) CUDA_ON_CPU_ATOMIC(T, atomicAnd, old & v) \
    CUDA_ON_CPU_ATOMIC(T, atomicOr, old | v) CUDA_ON_CPU_ATOMIC(T, atomicXor, old ^ v) \
    __attribute__((noinline)) CUDA_ON_CPU_UNCHECKED static inline T atomicCAS(T *p, T want, T v) { \
        cuda_on_cpu_atomic(p, sizeof *p, __builtin_return_address(0)); T old = *p; if (old == want) *p = v; return old; }
CUDA_ON_CPU_INT_ATOMICS(int)
CUDA_ON_CPU_INT_ATOMICS(unsigned)
CUDA_ON_CPU_INT_ATOMICS(unsigned long long)
CUDA_ON_CPU_ATOMICS(float)
CUDA_ON_CPU_ATOMICS(double)
CUDA_ON_CPU_ATOMIC(unsigned, atomicInc, old >= v ? 0 : old + 1)
CUDA_ON_CPU_ATOMIC(unsigned, atomicDec, old == 0 || old > v ? v : old - 1)

/* ---- arithmetic ---- */

#define CUDA_ON_CPU_NUMBERS(A, B) typename std::enable_if<std::is_arithmetic<A>::value && std::is_arithmetic<B>::value, \
                                  typename std::common_type<A, B>::type>::type
template <class A, class B> constexpr CUDA_ON_CPU_NUMBERS(A, B) min(A a, B b) {
    typedef typename std::common_type<A, B>::type T;
    return (T)b < (T)a || a != a ? (T)b : (T)a;
}
template <class A, class B> constexpr CUDA_ON_CPU_NUMBERS(A, B) max(A a, B b) {
    typedef typename std::common_type<A, B>::type T;
    return (T)a < (T)b || a != a ? (T)b : (T)a;
}
#define CUDA_ON_CPU_BITS(name, To, From) \
    static inline To name(From v) { To r; __builtin_memcpy(&r, &v, sizeof r); return r; }
CUDA_ON_CPU_BITS(__float_as_int, int, float)
CUDA_ON_CPU_BITS(__float_as_uint, unsigned, float)
CUDA_ON_CPU_BITS(__int_as_float, float, int)
CUDA_ON_CPU_BITS(__uint_as_float, float, unsigned)
CUDA_ON_CPU_BITS(__double_as_longlong, long long, double)
CUDA_ON_CPU_BITS(__longlong_as_double, double, long long)
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
static inline int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline int __mul24(int a, int b) { return a * b; }
static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
static inline int __clz(int v) { return v ? __builtin_clz((unsigned)v) : 32; }
static inline int __clzll(long long v) { return v ? __builtin_clzll((unsigned long long)v) : 64; }
static inline int __ffs(int v) { return __builtin_ffs(v); }
static inline unsigned __brev(unsigned v) {
    unsigned r = 0;
    for (int i = 0; i < 32; i++) r |= (v >> i & 1) << (31 - i);
    return r;
}
static inline int __float2int_rn(float v) { return (int)rintf(v); }
static inline int __float2int_rd(float v) { return (int)floorf(v); }
static inline int __float2int_rz(float v) { return (int)v; }
static inline unsigned __float2uint_rn(float v) { return (unsigned)rintf(v); }
static inline float __int2float_rn(int v) { return (float)v; }
static inline float __uint2float_rn(unsigned v) { return (float)v; }
static inline float __fadd_rn(float a, float b) { volatile float r = a + b; return r; }     /* never part of an fma */
static inline float __fmul_rn(float a, float b) { volatile float r = a * b; return r; }
static inline double __dadd_rn(double a, double b) { volatile double r = a + b; return r; }
static inline double __dmul_rn(double a, double b) { volatile double r = a * b; return r; }
template <class T> static inline T __ldg(const T *p) { return *p; }
template <class T> static inline T __ldcg(const T *p) { return *p; }
template <class T> static inline T __ldcs(const T *p) { return *p; }
/* macros, for the C library declares functions of some of these names */
#define __fmaf_rn(a, b, c) fmaf(a, b, c)
#define __fma_rn(a, b, c)  fma(a, b, c)
#define __fdiv_rn(a, b)    ((float)(a) / (float)(b))
#define __fdividef(a, b)   ((float)(a) / (float)(b))
#define __frcp_rn(x)       (1.0f / (float)(x))
#define __fsqrt_rn(x)      sqrtf(x)
#define __frsqrt_rn(x)     (1.0f / sqrtf(x))
#define rsqrtf(x)          (1.0f / sqrtf(x))
#define rsqrt(x)           (1.0 / sqrt(x))
#define __saturatef(x)     fminf(fmaxf(x, 0.0f), 1.0f)
#define __expf(x)          expf(x)
#define __exp10f(x)        exp10f(x)
#define __logf(x)          logf(x)
#define __log2f(x)         log2f(x)
#define __log10f(x)        log10f(x)
#define __powf(x, y)       powf(x, y)
#define __sinf(x)          sinf(x)
#define __cosf(x)          cosf(x)
#define __tanf(x)          tanf(x)
#define __sincosf(x, s, c) sincosf(x, s, c)
#define sinpif(x)          sinf((float)M_PI * (x))
#define cospif(x)          cosf((float)M_PI * (x))
#define __builtin_assume(x) ((void)0)
#define __trap()           __builtin_trap()

/* ---- the runtime ---- */

#define CUDA_ON_CPU_ERRORS(X) \
    X(cudaSuccess, 0, "no error") X(cudaErrorInvalidValue, 1, "invalid argument") X(cudaErrorMemoryAllocation, 2, "out of memory") \
    X(cudaErrorInvalidConfiguration, 9, "invalid configuration argument") X(cudaErrorInvalidSymbol, 13, "invalid device symbol") \
    X(cudaErrorInvalidMemcpyDirection, 21, "invalid copy direction for memcpy") \
    X(cudaErrorInsufficientDriver, 35, "CUDA driver version is insufficient for CUDA runtime version") \
    X(cudaErrorInvalidDeviceFunction, 98, "invalid device function") X(cudaErrorNoDevice, 100, "no CUDA-capable device is detected") \
    X(cudaErrorInvalidDevice, 101, "invalid device ordinal") \
    X(cudaErrorNoKernelImageForDevice, 209, "no kernel image is available for execution on the device") \
    X(cudaErrorInvalidResourceHandle, 400, "invalid resource handle") X(cudaErrorNotReady, 600, "device not ready") \
    X(cudaErrorIllegalAddress, 700, "an illegal memory access was encountered") \
    X(cudaErrorLaunchOutOfResources, 701, "too many resources requested for launch") \
    X(cudaErrorLaunchFailure, 719, "unspecified launch failure") X(cudaErrorNotSupported, 801, "operation not supported") \
    X(cudaErrorUnknown, 999, "unknown error")
enum cudaError {
#define CUDA_ON_CPU_ERROR(name, number, text) name = number,
    CUDA_ON_CPU_ERRORS(CUDA_ON_CPU_ERROR)
};
typedef enum cudaError cudaError_t;
enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice, cudaMemcpyDefault };
enum cudaDeviceAttr {
    cudaDevAttrMaxThreadsPerBlock = 1, cudaDevAttrMaxSharedMemoryPerBlock = 8, cudaDevAttrWarpSize = 10, cudaDevAttrClockRate = 13,
    cudaDevAttrMultiProcessorCount = 16, cudaDevAttrIntegrated = 18, cudaDevAttrMemoryClockRate = 36,
    cudaDevAttrGlobalMemoryBusWidth = 37, cudaDevAttrL2CacheSize = 38, cudaDevAttrMaxThreadsPerMultiProcessor = 39,
    cudaDevAttrComputeCapabilityMajor = 75, cudaDevAttrComputeCapabilityMinor = 76,
    cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81, cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8, cudaFuncAttributePreferredSharedMemoryCarveout = 9 };
enum cudaFuncCache { cudaFuncCachePreferNone, cudaFuncCachePreferShared, cudaFuncCachePreferL1, cudaFuncCachePreferEqual };
enum { cudaEventDefault = 0, cudaEventBlockingSync = 1, cudaEventDisableTiming = 2, cudaStreamDefault = 0, cudaStreamNonBlocking = 1,
       cudaHostAllocDefault = 0, cudaHostAllocPortable = 1, cudaHostAllocMapped = 2, cudaHostAllocWriteCombined = 4,
       cudaDeviceScheduleAuto = 0, cudaDeviceScheduleSpin = 1, cudaDeviceScheduleYield = 2, cudaDeviceScheduleBlockingSync = 4 };
typedef struct CudaOnCpuStream *cudaStream_t;
typedef struct CudaOnCpuEvent *cudaEvent_t;
#define cudaStreamLegacy ((cudaStream_t)0)
struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin, sharedMemPerMultiprocessor, totalConstMem;
    int major, minor, multiProcessorCount, maxThreadsPerBlock, maxThreadsPerMultiProcessor, warpSize, regsPerBlock, l2CacheSize;
    int maxThreadsDim[3], maxGridSize[3], clockRate, memoryClockRate, memoryBusWidth, integrated, asyncEngineCount, concurrentKernels;
};
struct cudaFuncAttributes {
    size_t sharedSizeBytes, constSizeBytes, localSizeBytes;
    int maxThreadsPerBlock, numRegs, ptxVersion, binaryVersion, maxDynamicSharedSizeBytes;
};
extern "C" {
cudaError_t cudaGetDeviceCount(int *), cudaSetDevice(int), cudaGetDevice(int *), cudaGetDeviceProperties(struct cudaDeviceProp *, int);
cudaError_t cudaDeviceGetAttribute(int *, enum cudaDeviceAttr, int), cudaMemGetInfo(size_t *, size_t *), cudaSetDeviceFlags(unsigned);
cudaError_t cudaDriverGetVersion(int *), cudaRuntimeGetVersion(int *), cudaDeviceSynchronize(void), cudaDeviceReset(void);
cudaError_t cudaGetLastError(void), cudaPeekAtLastError(void);
const char *cudaGetErrorString(cudaError_t), *cudaGetErrorName(cudaError_t);
cudaError_t cuda_on_cpu_malloc(void **, size_t), cudaFree(void *);
cudaError_t cuda_on_cpu_malloc_host(void **, size_t), cudaFreeHost(void *);
cudaError_t cudaMemcpy(void *, const void *, size_t, enum cudaMemcpyKind), cudaMemset(void *, int, size_t);
cudaError_t cudaMemcpyAsync(void *, const void *, size_t, enum cudaMemcpyKind, cudaStream_t = 0);
cudaError_t cudaMemsetAsync(void *, int, size_t, cudaStream_t = 0);
cudaError_t cudaStreamCreate(cudaStream_t *), cudaStreamCreateWithFlags(cudaStream_t *, unsigned), cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t), cudaStreamQuery(cudaStream_t), cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned = 0);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *, unsigned), cudaEventRecord(cudaEvent_t, cudaStream_t = 0), cudaEventDestroy(cudaEvent_t);
cudaError_t cudaEventSynchronize(cudaEvent_t), cudaEventQuery(cudaEvent_t), cudaEventElapsedTime(float *, cudaEvent_t, cudaEvent_t);
cudaError_t cuda_on_cpu_set_attribute(const void *, int, int), cuda_on_cpu_get_attributes(struct cudaFuncAttributes *, const void *);
cudaError_t cuda_on_cpu_symbol(void *, void *, size_t, size_t, size_t, int);
}
template <class T> static inline cudaError_t cudaMalloc(T **p, size_t n) { return cuda_on_cpu_malloc((void **)p, n); }
template <class T> static inline cudaError_t cudaMallocHost(T **p, size_t n, unsigned = 0) { return cuda_on_cpu_malloc_host((void **)p, n); }
template <class T> static inline cudaError_t cudaHostAlloc(T **p, size_t n, unsigned) { return cuda_on_cpu_malloc_host((void **)p, n); }
static inline cudaError_t cudaEventCreate(cudaEvent_t *e, unsigned flags = 0) { return cudaEventCreateWithFlags(e, flags); }
template <class T> static inline cudaError_t cudaFuncSetAttribute(T *f, enum cudaFuncAttribute a, int v) {
    return cuda_on_cpu_set_attribute((const void *)f, a, v);
}
template <class T> static inline cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *a, T *f) {
    return cuda_on_cpu_get_attributes(a, (const void *)f);
}
template <class T> static inline cudaError_t cudaFuncSetCacheConfig(T *, enum cudaFuncCache) { return cudaSuccess; }
template <class T> static inline cudaError_t cudaMemcpyToSymbol(T &symbol, const void *from, size_t n, size_t offset = 0,
                                                                enum cudaMemcpyKind = cudaMemcpyHostToDevice) {
    return cuda_on_cpu_symbol((void *)&symbol, (void *)from, sizeof symbol, n, offset, 1);
}
template <class T> static inline cudaError_t cudaMemcpyFromSymbol(void *to, T &symbol, size_t n, size_t offset = 0,
                                                                  enum cudaMemcpyKind = cudaMemcpyDeviceToHost) {
    return cuda_on_cpu_symbol((void *)&symbol, to, sizeof symbol, n, offset, 0);
}

/* ---- what `rewrite` writes ---- */

namespace cuda_on_cpu {
struct Slot { const char *name; char *address; unsigned launch; };               /* a __shared__ variable */
void *shared(Slot *slot, size_t size, size_t align);
template <class T> static inline T *shared(Slot *slot) { return (T *)shared(slot, sizeof(T), alignof(T)); }
static char *const dynamic_shared = (char *)0x300000000000;                      /* see the layout in cuda_on_cpu.cpp */
template <class T> constexpr T *dynamic() { return (T *)dynamic_shared; }

struct Launch {
    dim3 grid, block; size_t shared; cudaStream_t stream; const char *file; int line;
    Launch(dim3 grid, dim3 block, size_t shared = 0, cudaStream_t stream = 0,
           const char *file = __builtin_FILE(), int line = __builtin_LINE())
        : grid(grid), block(block), shared(shared), stream(stream), file(file), line(line) {}
    void run(const char *name, void (*thread)(void *), void *arg);
    template <class F> struct Call;
    template <class F> Call<F> kernel(const char *name, F f);
};
template <class F> struct Launch::Call {
    Launch launch; const char *name; F f;
    template <class... A> CUDA_ON_CPU_UNCHECKED void operator()(A... args) {
        auto body = [&]() CUDA_ON_CPU_UNCHECKED { f(args...); };
        launch.run(name, [](void *b) CUDA_ON_CPU_UNCHECKED { (*(decltype(body) *)b)(); }, (void *)&body);
    }
};
template <class F> Launch::Call<F> Launch::kernel(const char *name, F f) { return { *this, name, f }; }
}
unsigned cuda_on_cpu_active(void);
void cuda_on_cpu_access(const void *p, size_t n, int write, const void *pc);     /* what the wmma functions read and write */
[[noreturn]] void cuda_on_cpu_report(const void *pc, const char *format, ...) __attribute__((format(printf, 2, 3)));
#endif
