/* planted.cu: one planted error for each name. `planted NAME` must end with status 1 and one message that names the line with the
 * comment "BUG NAME: text" and contains the text; check.sh reads those comments. `planted` alone lists the names. */
#include <cuda_runtime.h>
#include <cuda_bf16.h>
#include <mma.h>
#include "ptx.h"
#include <cstdio>
#include <cstring>
using namespace nvcuda;

static float *x, *y;                                      /* 1000 floats each; x is set, y is not */
static int zero = 0;                                      /* known at run time only */

/* ---- addresses ---- */
__global__ void past_end(float *p, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i <= n) p[i] = 1;                                 // BUG past_end: out of bounds: writes 4 bytes at 0 bytes past the 4000 bytes from cudaMalloc at planted.cu
}
__global__ void before(const float *p, float *q) {
    q[threadIdx.x] = p[(int)threadIdx.x - 1];             // BUG before: out of bounds: reads 4 bytes at 4 bytes before the 4000 bytes
}
__global__ void halo(const float *p, float *q) {
    __shared__ float row[32], other[32];
    row[threadIdx.x] = p[threadIdx.x], other[threadIdx.x] = 0;
    __syncthreads();
    const float *r = row;
    q[threadIdx.x] = r[threadIdx.x + 1] + other[threadIdx.x];  // BUG halo: out of bounds: reads 4 bytes at 0 bytes past shared `row` (128 bytes)
}
__global__ void bound(float *q, int extra) {
    __shared__ float t[4][17];
    t[threadIdx.x % 4][threadIdx.x % 16 + extra] = 1;     // BUG bound: out of bounds: index 17 of an array of type 'float [17]'
    __syncthreads();
    q[threadIdx.x] = t[0][0];
}
__global__ void registers(const float *p, float *q, int n) {
    float a[4] = { 0, 0, 0, 0 };
    for (int i = 0; i < n; i++) a[i] += p[i];             // BUG registers: out of bounds: index 4 of an array of type 'float [4]'
    for (int i = 0; i < 4; i++) q[i] = a[i];
}
__global__ void dynamic(float *q) {
    extern __shared__ float s[];
    s[threadIdx.x] = 1;                                   // BUG dynamic: out of bounds: writes 4 bytes at byte 128 of dynamic shared memory (this launch has 128 bytes)
    __syncthreads();
    q[threadIdx.x] = s[threadIdx.x ^ 1];
}
__global__ void freed(const float *p, float *q) {
    q[0] = p[0];                                          // BUG freed: out of bounds: reads 4 bytes at byte 0 of 400 bytes that were given to cudaFree
}
__attribute__((noinline, no_sanitize("thread"))) static float peek(const float *p) {          /* as C code beside the .cu file does */
    return *p;                                            // BUG host_code: host: touches device memory, byte 0 of the 4000 bytes
}
__global__ void host_memory(float *p) {
    p[threadIdx.x] = 1;                                   // BUG host_memory: writes 4 bytes of host memory
}
__global__ void pinned_memory(const float *p, float *q) {
    q[0] = p[1];                                          // BUG pinned_memory: reads 4 bytes of pinned host memory
}
__global__ void null(float *p) {
    p[threadIdx.x + 1] = 1;                               // BUG null: writes 4 bytes through a null pointer
}
__global__ void misaligned(const float *p, float *q, int shift) {
    float4 v = *(const float4 *)(p + 4 * threadIdx.x + shift);  // BUG misaligned: misaligned: address
    *(float4 *)(q + 4 * threadIdx.x) = v;
}
__global__ void misaligned_shared(float *q) {
    __shared__ float t[64];                               /* not __align__(16): nobody has promised it */
    *(float2 *)(t + 2 * threadIdx.x) = make_float2(1, 2); // BUG misaligned_shared: misaligned: address
    __syncthreads();
    q[threadIdx.x] = t[threadIdx.x];
}
__global__ void odd_end(__nv_bfloat16 *h, int n) {
    if ((int)threadIdx.x <= n) h[threadIdx.x] = __float2bfloat16(1);  // BUG odd_end: out of bounds: writes 2 bytes at 0 bytes past the 14 bytes
}
__constant__ float table[4];
__global__ void constant(float *q) {
    float *p = (float *)table;
    p[threadIdx.x] = q[0];                                // BUG constant: writes constant memory
}
__global__ void local_escapes(float **q) {
    __shared__ float *where;
    float mine[2] = { 1, 2 };
    if (threadIdx.x == 0) where = mine;
    __syncthreads();
    q[threadIdx.x] = where, where[threadIdx.x % 2] = 3;   // BUG local_escapes: writes a local variable of another thread
}
__global__ void division(int *q, int n) {
    q[0] = 7 / n;                                         // BUG division: integer division by zero
}

/* ---- memory that nobody has written ---- */
__global__ void unset_global(const float *p, float *q) {
    q[threadIdx.x] = p[threadIdx.x + 1];                  // BUG unset_global: uninitialised: reads byte 4 of the 4000 bytes
}
__global__ void unset_shared(float *q) {
    __shared__ float t[33];
    t[threadIdx.x] = 1;
    __syncthreads();
    q[threadIdx.x] = t[threadIdx.x + 1];                  // BUG unset_shared: uninitialised: reads byte 128 of shared `t` (132 bytes), which nobody has written in this block
}
__global__ void last_block_s(float *q) {                  /* what another block left in shared memory is no value */
    __shared__ float t[32];
    if (blockIdx.x == 0) t[threadIdx.x] = 1;
    __syncthreads();
    q[threadIdx.x + 32 * blockIdx.x] = t[threadIdx.x];    // BUG last_block_s: uninitialised: reads byte 0 of shared `t`
}
__global__ void unset_sum(float *q) {
    atomicAdd(q, 1.f);                                    // BUG unset_sum: uninitialised: atomically updates byte 0
}
__global__ void unset_half(__nv_bfloat16 *q) {
    __shared__ __align__(4) __nv_bfloat16 t[64];
    t[2 * threadIdx.x] = __float2bfloat16(1);
    __syncthreads();
    q[threadIdx.x] = t[2 * threadIdx.x + 1];              // BUG unset_half: uninitialised: reads byte 2 of shared `t`
}

/* ---- races ---- */
__global__ void after_load(const float *p, float *q, int barrier) {
    __shared__ float t[64];
    t[threadIdx.x] = p[threadIdx.x];
    if (barrier) __syncthreads();
    q[threadIdx.x] = t[63 - threadIdx.x];                 // BUG after_load: nobody has written in this block so far (or a barrier is missing)
}
__global__ void before_load(const float *p, float *q) {
    __shared__ float t[64];
    float sum = 0;
    for (int k = 0; k < 128; k += 64) {
        t[threadIdx.x] = p[k + threadIdx.x];
        __syncthreads();
        for (int i = 0; i < 64; i++) sum += t[i];         // BUG before_load: race: reads byte 0 of shared `t` (256 bytes), which thread (0,0,0) wrote
    }
    q[threadIdx.x] = sum;
}
__global__ void tree(const float *p, float *q) {
    __shared__ float t[128];
    t[threadIdx.x] = p[threadIdx.x];
    __syncthreads();
    for (unsigned h = 64; h > 0; h /= 2)
        if (threadIdx.x < h) t[threadIdx.x] += t[threadIdx.x + h];  // BUG tree: race: writes byte 4 of shared `t` (512 bytes), which thread (0,0,0) read at planted.cu
    q[threadIdx.x] = t[0];
}
__global__ void same_place(float *q) {
    __shared__ float t[1];
    t[0] = (float)threadIdx.x;                            // BUG same_place: race: writes byte 0 of shared `t` (4 bytes), which thread (0,0,0) wrote
    __syncthreads();
    q[threadIdx.x] = t[0];
}
__global__ void global_race(float *q) {
    q[threadIdx.x] = 1;
    if (threadIdx.x >= 32) q[threadIdx.x] = q[threadIdx.x - 32] + 1;  // BUG global_race: race: reads byte 0 of the 4000 bytes
}
__global__ void warp_shared(const float *p, float *q) {
    __shared__ float t[32];
    t[threadIdx.x] = p[threadIdx.x];
    q[threadIdx.x] = t[threadIdx.x ^ 1];                  // BUG warp_shared: reads byte 4 of shared `t`
}
__global__ void shuffle_is_none(const float *p, float *q) {
    __shared__ float t[32];
    t[threadIdx.x] = p[threadIdx.x];
    float v = __shfl_xor_sync(0xffffffff, p[threadIdx.x], 1);     /* waits, but orders no memory */
    q[threadIdx.x] = v + t[threadIdx.x ^ 1];              // BUG shuffle_is_none: no __syncthreads or __syncwarp in between
}
__global__ void half_warp(const float *p, float *q) {
    __shared__ float t[32];
    t[threadIdx.x] = p[threadIdx.x];
    __syncwarp(threadIdx.x < 16 ? 0x0000ffff : 0xffff0000);
    q[threadIdx.x] = t[threadIdx.x ^ 16];                 // BUG half_warp: race: reads byte 64 of shared `t` (128 bytes), which thread (16,0,0) wrote
}
__global__ void warp_is_not_block(const float *p, float *q) {
    __shared__ float t[64];
    t[threadIdx.x] = p[threadIdx.x];
    __syncwarp();
    q[threadIdx.x] = t[threadIdx.x ^ 32];                 // BUG warp_is_not_block: reads byte 128 of shared `t`
}
__global__ void two_blocks(float *q) {
    q[threadIdx.x] = (float)blockIdx.x;                   // BUG two_blocks: race: writes byte 0 of the 4000 bytes
}
__global__ void block_reads(float *q) {
    q[blockIdx.x * 32 + threadIdx.x] = 1;
    if (blockIdx.x == 1) q[blockIdx.x * 32 + threadIdx.x] = q[threadIdx.x];  // BUG block_reads: which block (0,0,0) wrote
}
__global__ void block_overwrites(const float *p, float *q) {
    float *r = (float *)p;
    q[blockIdx.x * 32 + threadIdx.x] = p[threadIdx.x];
    if (blockIdx.x == 1) r[threadIdx.x] = 2;              // BUG block_overwrites: blocks of a launch run in any order
}
__global__ void plain_sum(float *q) {
    if (threadIdx.x == 0) *q += 1;                        // BUG plain_sum: which block (0,0,0) wrote
}
__global__ void atomic_and_plain(float *q) {
    if (threadIdx.x < 64) atomicAdd(q, 1.f);
    if (threadIdx.x == 64) q[1] = q[0];                   // BUG atomic_and_plain: atomically updated at planted.cu
}
__global__ void no_fence(float *part, unsigned *count, float *q) {
    __shared__ bool last;
    if (threadIdx.x == 0) {
        part[blockIdx.x] = 1;
        last = atomicAdd(count, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (last && threadIdx.x == 0) q[0] = part[0] + part[1];  // BUG no_fence: which block (0,0,0) wrote
}
__device__ int device_counter;
__global__ void device_variable(void) {
    device_counter++;                                     // BUG device_variable: race: reads a __device__ variable, which thread (0,0,0) wrote
}
__global__ void bf16_race(__nv_bfloat16 *q) {
    __shared__ __nv_bfloat16 t[64];
    t[threadIdx.x] = __float2bfloat16((float)threadIdx.x);
    q[threadIdx.x] = t[63 - threadIdx.x];                 // BUG bf16_race: reads byte
}
template <class F> __global__ void functor(F f, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) f(i);
}
struct Shift {
    float *p;
    __device__ void operator()(int i) const {
        p[i] = p[i + 1];                                  // BUG functor: race: writes
    }
};
__device__ float neighbour(const float *t) { return t[threadIdx.x + 1]; }  // BUG inlined: out of bounds: reads 4 bytes at 0 bytes past shared `t`
__global__ void inlined(float *q) {
    __shared__ float t[32];
    t[threadIdx.x] = 1;
    __syncthreads();
    q[threadIdx.x] = neighbour(t);
}

struct Sums { double sum, square, most; };
__device__ Sums add_up(Sums a, Sums b) {                  /* too long for gcc to inline it of its own accord: a structure is passed */
    Sums r = a;
    for (int i = 0; i < 3; i++) {
        if (b.most > r.most) r.most = sqrt(b.most) + log(b.square) * exp(b.sum);
        if (b.sum > r.most) r.sum = sqrt(a.most) - log(a.square) / exp(a.sum);
        if (r.square < r.most) r.square = cbrt(r.most) - log(r.square) / exp(a.sum) + pow(b.sum, a.most);
    }
    return r;
}
__global__ void by_value(const Sums *p, Sums *q) {
    __shared__ Sums s[32];
    s[threadIdx.x] = add_up(p[threadIdx.x], p[0]);
    Sums first = add_up(p[1], p[0]);
    q[threadIdx.x] = add_up(first, s[threadIdx.x ^ 1]);   // BUG by_value: uninitialised: reads
}

/* ---- barriers and warps ---- */
__global__ void divergent(float *q) {
    if (threadIdx.x < 20) __syncthreads();                // BUG divergent: divergence: waits at __syncthreads, but thread (20,0,0) has returned
    q[threadIdx.x] = 1;
}
__global__ void two_barriers(float *q) {
    if (threadIdx.x < 20)
        __syncthreads();
    else
        __syncthreads();                                  // BUG two_barriers: divergence: waits at __syncthreads, but thread (0,0,0) waits at another one, at planted.cu:
    q[threadIdx.x] = 1;
}
__global__ void early_return(float *q, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    q[i] = 1;
    __syncthreads();                                      // BUG early_return: divergence: waits at __syncthreads, but thread (8,0,0) has returned
    q[i] += 1;
}
__global__ void not_in_mask(float *q) {
    q[threadIdx.x] = __shfl_xor_sync(0x0000ffff, q[threadIdx.x], 1);  // BUG not_in_mask: the mask 0xffff does not name the calling lane 16
}
__global__ void from_outside(float *q) {
    if (threadIdx.x < 16) q[threadIdx.x] = __shfl_down_sync(0x0000ffff, q[threadIdx.x], 4);  // BUG from_outside: a shuffle reads from lane 16, which its mask does not name
}
__global__ void lane_elsewhere(float *q) {
    if (threadIdx.x == 3) __syncthreads();
    else q[threadIdx.x] = __shfl_sync(0xffffffff, q[threadIdx.x], 0);  // BUG lane_elsewhere: which the mask names, waits at __syncthreads
}
__global__ void lane_returned(float *q) {
    if (threadIdx.x == 31) return;
    q[threadIdx.x] = __shfl_down_sync(0xffffffff, q[threadIdx.x], 1);  // BUG lane_returned: a shuffle reads from lane 31, which has returned
}
__global__ void small_block(float *q) {
    q[threadIdx.x] += __shfl_xor_sync(0xffffffff, q[threadIdx.x], 8);  // BUG small_block: a shuffle reads from lane 8, which does not exist in this block
}

/* ---- wmma ---- */
template <int PLANTED> __global__ void matrices(const __nv_bfloat16 *p, float *q, int shift, unsigned ld) {
    __shared__ __align__(32) __nv_bfloat16 a[16 * 24 + 16];
    wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, wmma::row_major> f;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, wmma::col_major> g;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
    for (int i = threadIdx.x; i < 16 * 24 + 16; i += 32) a[i] = p[i];
    if (PLANTED != 0) __syncwarp();
    wmma::load_matrix_sync(f, a + shift, ld);             // BUG wmma_sync: no __syncthreads or __syncwarp in between
    wmma::load_matrix_sync(g, a, 16);
    wmma::fill_fragment(sum, 0.f);
    wmma::mma_sync(sum, f, g, sum);
    wmma::store_matrix_sync(q, sum, 16, wmma::mem_row_major);
}
template <int PLANTED> __global__ void wmma_store_then_read(float *q) {   /* no lane knows which elements are its own */
    __shared__ __align__(32) float t[16 * 20];
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
    wmma::fill_fragment(sum, 1.f);
    for (int round = 0; round < 2; round++) {
        wmma::store_matrix_sync(t, sum, 20, wmma::mem_row_major);  // BUG wmma_read_after: race: writes byte
        if (PLANTED != 0) __syncwarp();
        q[threadIdx.x] = t[threadIdx.x / 2 * 20 + threadIdx.x % 2 * 8 + 3];  // BUG wmma_store_after: uninitialised: reads byte 44 of shared `t`
        if (PLANTED != 1) __syncwarp();
    }
}
__global__ void wmma_address(const __nv_bfloat16 *p, int shift) {
    wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, wmma::row_major> f;
    wmma::load_matrix_sync(f, p + shift, 16);             // BUG wmma_address: load_matrix_sync: address
}
__global__ void wmma_line(const float *p, unsigned ld) {
    wmma::fragment<wmma::matrix_a, 16, 16, 8, wmma::precision::tf32, wmma::row_major> f;
    wmma::load_matrix_sync(f, p, ld);                     // BUG wmma_line: leading dimension 9 is not a multiple of 4
}
__global__ void wmma_store(float *q) {
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
    wmma::fill_fragment(sum, 1.f);
    wmma::store_matrix_sync(q + 800, sum, 16, wmma::mem_col_major);  // BUG wmma_store: out of bounds: writes 4 bytes at 44 bytes past the 4000 bytes
}
__global__ void wmma_half(float *q) {
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
    wmma::fill_fragment(sum, 1.f);
    if (threadIdx.x < 16) wmma::store_matrix_sync(q, sum, 16, wmma::mem_row_major);  // BUG wmma_half: wmma
}

__global__ void wmma_short(float *q) {
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
    wmma::fill_fragment(sum, 1.f);
    wmma::store_matrix_sync(q, sum, 16, wmma::mem_row_major);  // BUG wmma_short: a wmma function with 16 lanes
}

/* ---- cp.async, mma.sync ---- */
template <int PLANTED> __global__ void copies(const float *p, float *q, int shift) {
    __shared__ __align__(16) float t[2][128];
    for (int i = 0; i < 2; i++) {
        __pipeline_memcpy_async(t[i] + 4 * threadIdx.x, p + 128 * i + 4 * threadIdx.x + shift, 16);  // BUG copy_misaligned: misaligned: cp.async of 16 bytes
        if (PLANTED != 1) __pipeline_commit();
    }
    __pipeline_wait_prior(PLANTED == 0 ? 1 : 0);
    if (PLANTED != 2) __syncthreads();
    q[threadIdx.x] = t[1][4 * threadIdx.x];               // BUG copy_group: uninitialised: reads byte 512 of shared `t`
    q[threadIdx.x] = t[0][4 * (threadIdx.x ^ 1)];         // BUG copy_barrier: uninitialised: reads byte 16 of shared `t` (1024 bytes), which nobody has written in this block so far (or a barrier
}
__global__ void copy_forgotten(const float *p, float *q) {
    __shared__ __align__(16) float t[128];
    __pipeline_memcpy_async(t + 4 * threadIdx.x, p, 16);  // BUG copy_forgotten: a thread returns before it has waited for this copy
    __pipeline_commit();
    q[threadIdx.x] = 1;
}
__global__ void copy_overwritten(float *p, float *q) {    /* the copy is late: what it reads has been overwritten */
    __shared__ __align__(16) float t[256];
    __pipeline_memcpy_async(t + 4 * threadIdx.x, p + 4 * threadIdx.x, 16);
    __pipeline_commit();
    p[(threadIdx.x + 1) % 64] = 1;                        // BUG copy_overwritten: race: writes byte 8 of the 4000 bytes
    __pipeline_wait_prior(0);
    __syncthreads();
    q[threadIdx.x] = t[threadIdx.x];
}
__global__ void copy_outside(const float *p, float *q) {
    __shared__ __align__(16) float t[256];
    __pipeline_memcpy_async(t + 4 * threadIdx.x, p + 4 * threadIdx.x + 800, 16);  // BUG copy_outside: out of bounds: reads 16 bytes
    __pipeline_commit();
    __pipeline_wait_prior(0);
    q[threadIdx.x] = t[4 * threadIdx.x];
}
__global__ void banks(const float *p, float *q, int row) {
    __shared__ __align__(16) float t[32 * 36];
    for (int i = threadIdx.x; i < 32 * 36; i += 32) t[i] = p[i % 900];
    __syncthreads();
    q[threadIdx.x] = near_four((const float4 *)(t + row * threadIdx.x)).x;  // BUG banks: bank conflict: lanes 0 and 1 read different rows
}
__global__ void mma_half(float *q) {
    float d[4] = { 0 };
    unsigned a[4] = { 0 };
    if (threadIdx.x < 16) mma_bf16(d, a, 0, 0);           // BUG mma_half: wmma
    q[threadIdx.x] = d[0];
}

/* ---- shared memory, launches ---- */
__global__ void too_much_static(float *q) {
    __shared__ float a[8000];
    __shared__ float b[8000];                             // BUG too_much_static: 64000 bytes of __shared__ variables, a kernel may have 49152
    a[threadIdx.x] = b[threadIdx.x] = 0;
    q[threadIdx.x] = a[threadIdx.x] + b[threadIdx.x];
}
__global__ void __launch_bounds__(64, 2) nothing(float *q) { if (q) q[threadIdx.x] = 1; }
__global__ void nothing_else(float *q) { q[threadIdx.x + blockIdx.x * blockDim.x] = 1; }

#define IS(n) (strcmp(name, #n) == 0)
int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    float host[1000] = { 0 }, *pinned, *small, **pointers;
    __nv_bfloat16 *h;
    cudaMalloc(&x, sizeof host), cudaMalloc(&y, sizeof host), cudaMemcpy(x, host, sizeof host, cudaMemcpyHostToDevice);
    cudaMalloc(&small, 400), cudaMalloc(&h, 14), cudaMallocHost(&pinned, 400), cudaMalloc(&pointers, 1024);
    unsigned *count;
    cudaMalloc(&count, 4), cudaMemset(count, 0, 4);
    if IS(past_end) past_end<<<4, 256>>>(x, 1000);
    if IS(before) before<<<1, 32>>>(x, y);
    if IS(halo) halo<<<1, 32>>>(x, y);
    if IS(bound) bound<<<1, 32>>>(y, 2 + zero);
    if IS(registers) registers<<<1, 1>>>(x, y, 5 + zero);
    if IS(dynamic) dynamic<<<1, 64, 32 * sizeof(float)>>>(y);
    if IS(freed) cudaFree(small), freed<<<1, 1>>>(small, y), small = NULL;
    if IS(host_memory) host_memory<<<1, 1>>>(host);
    if IS(pinned_memory) pinned_memory<<<1, 1>>>(pinned, y);
    if IS(null) null<<<1, 1>>>(NULL);
    if IS(misaligned) misaligned<<<1, 32>>>(x, y, 1 + zero);
    if IS(misaligned_shared) misaligned_shared<<<1, 32>>>(y);
    if IS(odd_end) odd_end<<<1, 32>>>(h, 7);
    if IS(constant) constant<<<1, 1>>>(x);
    if IS(local_escapes) local_escapes<<<1, 32>>>(pointers);
    if IS(division) division<<<1, 1>>>((int *)y, zero);
    if IS(unset_global) cudaMemset(y, 0, 4), unset_global<<<1, 1>>>(y, x);
    if IS(unset_shared) unset_shared<<<1, 32>>>(y);
    if IS(last_block_s) last_block_s<<<2, 32>>>(y);
    if IS(unset_sum) unset_sum<<<1, 1>>>(y);
    if IS(unset_half) unset_half<<<1, 7>>>(h);
    if IS(after_load) after_load<<<1, 64>>>(x, y, 1 + zero), after_load<<<1, 64>>>(x, y, zero);
    if IS(before_load) before_load<<<1, 64>>>(x, y);
    if IS(tree) tree<<<1, 128>>>(x, y);
    if IS(same_place) same_place<<<1, 64>>>(y);
    if IS(global_race) global_race<<<1, 64>>>(y);
    if IS(warp_shared) warp_shared<<<1, 32>>>(x, y);
    if IS(shuffle_is_none) shuffle_is_none<<<1, 32>>>(x, y);
    if IS(half_warp) half_warp<<<1, 32>>>(x, y);
    if IS(warp_is_not_block) warp_is_not_block<<<1, 64>>>(x, y);
    if IS(two_blocks) two_blocks<<<2, 32>>>(y);
    if IS(block_reads) block_reads<<<2, 32>>>(y);
    if IS(block_overwrites) block_overwrites<<<2, 32>>>(x, y);
    if IS(plain_sum) plain_sum<<<2, 32>>>(x);
    if IS(atomic_and_plain) atomic_and_plain<<<1, 96>>>(x);
    if IS(no_fence) no_fence<<<2, 32>>>(x, count, y);
    if IS(device_variable) device_variable<<<1, 64>>>();
    if IS(bf16_race) cudaFree(h), cudaMalloc(&h, 128), bf16_race<<<1, 64>>>(h);
    if IS(functor) functor<<<1, 32>>>(Shift{ x }, 999);
    if IS(inlined) inlined<<<1, 32>>>(y);
    if IS(by_value) by_value<<<1, 32>>>((Sums *)x, (Sums *)y);
    if IS(divergent) divergent<<<1, 32>>>(y);
    if IS(two_barriers) two_barriers<<<1, 32>>>(y);
    if IS(early_return) early_return<<<2, 32>>>(y, 40);
    if IS(not_in_mask) not_in_mask<<<1, 32>>>(x);
    if IS(from_outside) from_outside<<<1, 32>>>(x);
    if IS(lane_elsewhere) lane_elsewhere<<<1, 32>>>(x);
    if IS(lane_returned) lane_returned<<<1, 32>>>(x);
    if IS(small_block) small_block<<<1, 8>>>(x);
    if IS(wmma_sync) matrices<0><<<1, 32>>>((__nv_bfloat16 *)x, y, zero, 16);
    if IS(wmma_store_after) wmma_store_then_read<0><<<1, 32>>>(y);
    if IS(wmma_read_after) wmma_store_then_read<1><<<1, 32>>>(y);
    if IS(wmma_address) wmma_address<<<1, 32>>>((__nv_bfloat16 *)x, 8);
    if IS(wmma_line) wmma_line<<<1, 32>>>(x, 9);
    if IS(wmma_store) wmma_store<<<1, 32>>>(y);
    if IS(wmma_half) wmma_half<<<1, 32>>>(y);
    if IS(wmma_short) wmma_short<<<1, 16>>>(y);
    if IS(copy_misaligned) copies<3><<<1, 32>>>(x, y, 1 + zero);
    if IS(copy_group) copies<0><<<1, 32>>>(x, y, zero);
    if IS(copy_barrier) copies<2><<<1, 32>>>(x, y, zero);
    if IS(copy_forgotten) copy_forgotten<<<1, 32>>>(x, y);
    if IS(copy_overwritten) copy_overwritten<<<1, 64>>>(x, y);
    if IS(copy_outside) copy_outside<<<1, 64>>>(x, y);
    if IS(banks) banks<<<1, 32>>>(x, y, 36), banks<<<1, 32>>>(x, y, 32);
    if IS(mma_half) mma_half<<<1, 32>>>(y);
    if IS(too_much_static) too_much_static<<<1, 32>>>(y);
    if IS(no_threads) nothing_else<<<1, zero>>>(y);       // BUG no_threads: the launch of nothing_else fails: a block of 0x1x1 threads; nobody asked cudaGetLastError
    if IS(many_threads) nothing_else<<<1, dim3(64, 32)>>>(y);  // BUG many_threads: fails: a block of 64x32x1 threads
    if IS(no_blocks) nothing_else<<<dim3(3, zero), 32>>>(y);   // BUG no_blocks: fails: a grid of 3x0x1 blocks
    if IS(tall_grid) nothing_else<<<dim3(1, 65536), 32>>>(y);  // BUG tall_grid: fails: a grid of 1x65536x1 blocks
    if IS(launch_bound) nothing<<<1, 128>>>(y);           // BUG launch_bound: fails: 128 threads a block, __launch_bounds__ says 64
    if IS(opt_in) dynamic<<<1, 32, 60000>>>(y);           // BUG opt_in: fails: 60000 bytes of dynamic shared memory; more than 49152 need
    if IS(more_than_all) {
        if (cudaFuncSetAttribute(dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize, 200000) == cudaSuccess) return 0;
        cudaGetLastError();
        dynamic<<<1, 32, 200000>>>(y);                    // BUG more_than_all: fails: 200000 bytes of dynamic shared memory, the device has 101376
    }
    if IS(host_reads) host[0] = x[zero];                  // BUG host_reads: host: reads device memory
    if IS(host_code) host[0] = peek(x);
    if IS(host_library) host[0] = (float)memcmp(host, x, sizeof host);          // BUG host_library: host: touches device memory, byte 0 of the 4000 bytes
    if IS(copy_too_long) cudaMemcpy(host, small, 404, cudaMemcpyDeviceToHost);  // BUG copy_too_long: out of bounds: cudaMemcpy of 404 bytes at byte 0 of the 400 bytes
    if IS(direction) cudaMemcpy(host, small, 400, cudaMemcpyHostToDevice);      // BUG direction: the destination is host memory, the direction says otherwise
    if IS(free_twice) cudaFree(small), cudaFree(small);   // BUG free_twice: a second time
    if IS(free_inside) cudaFree(small + 1);               // BUG free_inside: which is not from cudaMalloc
    if (IS(leak)) {
        cudaFree(y), cudaFree(h), cudaFree(pointers), cudaFree(count), cudaFree(small), cudaFree(x);
        cudaMalloc(&x, 4000);                             // BUG leak: leak: 4000 bytes from 1 calls of cudaMalloc
        return 0;
    }
    cudaDeviceSynchronize();
    return 0;
}
