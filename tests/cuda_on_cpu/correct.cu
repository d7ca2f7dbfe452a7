/* correct.cu: programs without errors, in which the checker must find none, and whose results are compared. */
#include <cuda_runtime.h>
#include <cuda_bf16.h>
#include <mma.h>
#include "ptx.h"
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>
using namespace nvcuda;

static int wrong;
static void ok(bool good, const char *what) {
    printf("%s %s\n", good ? "ok" : "WRONG", what);
    wrong += !good;
}
template <class T> static T *up(const std::vector<T> &v) {
    T *d;
    cudaMalloc(&d, v.size() * sizeof(T));
    cudaMemcpy(d, v.data(), v.size() * sizeof(T), cudaMemcpyHostToDevice);
    return d;
}
template <class T> static std::vector<T> down(T *d, size_t n) {
    std::vector<T> v(n);
    cudaMemcpy(v.data(), d, n * sizeof(T), cudaMemcpyDeviceToHost);
    cudaFree(d);
    return v;
}
static std::vector<float> numbers(size_t n) {
    std::vector<float> v(n);
    static unsigned s = 1;
    for (auto &e : v) e = (float)((s = s * 1664525 + 1013904223) >> 28) - 8;
    return v;
}

/* ---- the rewriting: what only looks like a launch or a declaration, and what is one ---- */
namespace some { template <class T, int N> __global__ void fill(T *p, T v) { p[blockIdx.x * N + threadIdx.x] = v; } }
template <int M, int N> struct Tile { static const int m = M, n = N; };
template <bool B> struct Patches { static const bool b = B; float scale; };
template <class T, class P = Patches<true>> __global__ void __launch_bounds__(256, 2) product(float *p, P patches, int n) {
    __shared__ __align__(16) float a[2][T::m / 64][T::n > 32 ? (T::n) : 1], b[T::n];
    static __shared__ struct { int x, y; } pair[2];
    if (threadIdx.x < 2 && threadIdx.y == 0) pair[threadIdx.x].x = 1;
    a[0][threadIdx.y][threadIdx.x] = patches.scale;
    if (threadIdx.y == 0) b[threadIdx.x] = 1;
    __syncthreads();
    int i = threadIdx.x + blockDim.x * threadIdx.y;
    if (i < n << 1 >> 1) p[i] = a[0][threadIdx.y][threadIdx.x ^ 1] * b[0] * (1 << 3 >> 1) * (float)pair[1].x;
}
#define LAUNCH(kernel, grid, ...) kernel<<<grid, __VA_ARGS__>>>
__global__ void two_views(float *q) {
    extern __shared__ __align__(16) unsigned char raw[];
    float *s = (float *)raw;
    s[threadIdx.x] = (float)threadIdx.x;
    __syncthreads();
    q[threadIdx.x] = s[blockDim.x - 1 - threadIdx.x];
}
__global__ void other_view(float2 *q) {
    extern __shared__ float2 pairs[];
    pairs[threadIdx.x] = make_float2(1, 2);
    __syncthreads();
    q[threadIdx.x] = pairs[threadIdx.x ^ 1];
}
template <class F> __global__ void each(long n, F f) {
    for (long i = blockIdx.x * (long)blockDim.x + threadIdx.x; i < n; i += (long)gridDim.x * blockDim.x) f(i);
}
struct Scale { float *p, a; __host__ __device__ void operator()(long i) const { p[i] *= a; } };
static void rewriting(void) {
    float *p = up(std::vector<float>(1024));
    const char *text = "k<<<1, 2>>>(x); // __shared__ float s[];";         /* k<<<3, 4>>>(y); */
    some::fill<float, 32><<<2, 32>>>(p, 3.f);
    product<Tile<128, 64>, Patches<true>><<<dim3(1), dim3(64, 2),
            0,                                            /* a launch over several lines */
            0>>>(p, Patches<true>{ 2 }, 128);
    auto kernel = product<Tile<64, (64 >> 1) * 2>, Patches<false>>;
    kernel<<<1, 64>>>(p + 128, Patches<false>{ 3 }, 64);
    LAUNCH((some::fill<float, 8>), 1, 8)(p + 512, 5.f);
    cudaFuncSetAttribute(two_views, cudaFuncAttributeMaxDynamicSharedMemorySize, 65536);
    two_views<<<1, 128, 65536>>>(p + 256);
    other_view<<<1, 32, 32 * sizeof(float2)>>>((float2 *)(p + 640));
    each<<<3, 32>>>(100, Scale{ p, 10 });
    float *q = p;
    each<<<2, 64>>>(100, [=] __device__ (long i) { q[i] += 1; });
    if (1 << 2 >> 1 != 2 || strlen(text) != 40) wrong++;
    std::vector<float> v = down(p, 1024);
    ok(v[0] == 81 && v[100] == 8 && v[128] == 12 && v[191] == 12 && v[256] == 127 && v[512] == 5 && v[641] == 2, "rewriting");
}

/* ---- reductions and scans ---- */
__device__ __forceinline__ float warp_sum(float v) {
    for (int d = 16; d > 0; d /= 2) v += __shfl_down_sync(0xffffffff, v, d);
    return v;
}
__global__ void block_sums(const float *x, float *out, int n) {
    __shared__ float part[32];
    float sum = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum += x[i];
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = warp_sum(threadIdx.x < blockDim.x / 32 ? part[threadIdx.x] : 0);
        if (threadIdx.x == 0) atomicAdd(out, sum);
    }
}
__global__ void tree_sum(const float *x, float *out, int n) {
    extern __shared__ float s[];
    unsigned t = threadIdx.x;
    s[t] = (int)t < n ? x[t] : 0;
    for (unsigned h = blockDim.x / 2; h > 0; h /= 2) {
        __syncthreads();
        if (t < h) s[t] += s[t + h];
    }
    if (t == 0) *out = s[0];
}
__global__ void warp_tree(const float *x, float *out) {   /* one warp, shared memory, __syncwarp between all steps */
    __shared__ float s[32];
    float v = x[threadIdx.x];
    for (int h = 16; h > 0; h /= 2) {
        s[threadIdx.x] = v;
        __syncwarp();
        v += s[threadIdx.x ^ h];
        __syncwarp();
    }
    out[threadIdx.x] = v;
}
__global__ void half_warps(const float *x, float *out) {  /* two groups of 16 lanes go their own ways */
    __shared__ float s[32];
    unsigned mask = threadIdx.x < 16 ? 0x0000ffff : 0xffff0000;
    for (unsigned round = 0; round < 1 + threadIdx.x / 16; round++) {
        s[threadIdx.x] = x[threadIdx.x];
        __syncwarp(mask);
        float v = s[threadIdx.x ^ 1];
        v += __shfl_xor_sync(mask, v, 8);
        __syncwarp(mask);
        out[threadIdx.x] = v;
    }
}
__device__ unsigned tickets;
__global__ void last_block(const float *x, volatile float *part, float *out, int n) {
    __shared__ float s[64];
    __shared__ bool last;
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    s[threadIdx.x] = i < n ? x[i] : 0;
    __syncthreads();
    if (threadIdx.x == 0) {
        float sum = 0;
        for (unsigned j = 0; j < blockDim.x; j++) sum += s[j];
        part[blockIdx.x] = sum;
        __threadfence();
        last = atomicAdd(&tickets, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (last && threadIdx.x == 0) {
        float sum = 0;
        for (unsigned b = 0; b < gridDim.x; b++) sum += part[b];
        *out = sum;
        tickets = 0;
    }
}
__global__ void last_block_all(const float *x, float *part, unsigned *count, float *out, int n) {    /* every thread writes and fences */
    __shared__ bool last;
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    part[i] = i < n ? x[i] : 0;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicInc(count, gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (last && threadIdx.x == 0) {
        float sum = 0;
        for (unsigned j = 0; j < gridDim.x * blockDim.x; j++) sum += part[j];
        *out = sum;
    }
}
__global__ void histogram(const float *x, int *bins, int n) {
    __shared__ int mine[16];
    if (threadIdx.x < 16) mine[threadIdx.x] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&mine[(int)x[i] + 8], 1);
    __syncthreads();
    if (threadIdx.x < 16) atomicAdd(&bins[threadIdx.x], mine[threadIdx.x]);
}
__global__ void votes(int *out) {
    int lane = threadIdx.x % 32, odd = lane & 1, all = __syncthreads_count(odd), any = __syncthreads_or(threadIdx.x == 40);
    int every = __syncthreads_and(threadIdx.x < 64);
    unsigned b = __ballot_sync(0xffffffff, odd);
    if (threadIdx.x == 0) out[0] = all, out[1] = (int)b, out[2] = any && every, out[3] = __popc(b);
    bool yes = __any_sync(0xffffffff, lane == 3) && __all_sync(0xffffffff, lane < 32) && !__all_sync(0xffffffff, odd);
    int up = __shfl_up_sync(0xffffffff, lane, 1), down = __shfl_down_sync(0xffffffff, lane, 3, 8), from = __shfl_sync(0xffffffff, lane, 5);
    if (threadIdx.x == 33) out[4] = yes * 1000 + up * 100 + down * 10 + from;
}
static void reductions(void) {
    const int n = 1000;
    std::vector<float> x = numbers(n);
    float want = 0, first = 0;
    std::vector<int> bins(16), zero(16);
    for (float e : x) want += e, bins[(size_t)(e + 8)]++;
    for (int i = 0; i < 100; i++) first += x[i];
    float *X = up(x), *out = up(std::vector<float>(32)), *part, *all;
    unsigned *count = up(std::vector<unsigned>(1));
    cudaMalloc(&part, 64), cudaMalloc(&all, 16 * 64 * sizeof(float));
    block_sums<<<3, 128>>>(X, out, n);
    tree_sum<<<1, 128, 128 * sizeof(float)>>>(X, out + 1, 100);
    for (int again = 0; again < 2; again++) {
        last_block<<<16, 64>>>(X, part, out + 2, n);
        last_block_all<<<16, 64>>>(X, all, count, out + 3, n);
    }
    std::vector<float> v = down(out, 4);
    ok(v[0] == want && v[1] == first && v[2] == want && v[3] == want, "reductions, the last block sums up");
    cudaFree(part), cudaFree(all), cudaFree(count);
    out = up(std::vector<float>(64));
    warp_tree<<<1, 32>>>(X, out), half_warps<<<1, 32>>>(X, out + 32);
    v = down(out, 64);
    want = 0;
    for (int i = 0; i < 32; i++) want += x[i];
    ok(v[7] == want && v[32 + 20] == x[21] + x[29], "warps and half warps");
    int *B = up(zero);
    histogram<<<4, 64>>>(X, B, n);
    ok(down(B, 16) == bins, "histogram");
    int *w = up(zero);
    votes<<<1, 64>>>(w);
    std::vector<int> r = down(w, 5);
    ok(r[0] == 32 && (unsigned)r[1] == 0xaaaaaaaa && r[2] == 1 && r[3] == 16 && r[4] == 1000 + 0 * 100 + 4 * 10 + 5, "votes and shuffles");
    cudaFree(X);
}

/* ---- tiles: register tile, float4, two buffers and one barrier a step ---- */
template <int BM, int BN, int BK> __global__ void __launch_bounds__(64) matrix_product(const float *a, const float *b, float *c, int n) {
    __shared__ __align__(16) float s[2][BK][BM + 4], t[2][BK][BN + 4];
    int x = threadIdx.x % 8, y = threadIdx.x / 8, row = blockIdx.y * BM, column = blockIdx.x * BN, now = 0;
    float sum[4][4] = {};
    auto load = [&](int k, int to) {
        for (int i = threadIdx.x; i < BK * BM; i += 64) {
            int m = row + i % BM, d = k + i / BM;
            s[to][i / BM][i % BM] = m < n && d < n ? a[m * n + d] : 0;
        }
        for (int i = threadIdx.x; i < BK * BN; i += 64) {
            int o = column + i % BN, d = k + i / BN;
            t[to][i / BN][i % BN] = o < n && d < n ? b[d * n + o] : 0;
        }
    };
    load(0, 0);
    __syncthreads();
    for (int k = 0; k < n; k += BK, now ^= 1) {
        if (k + BK < n) load(k + BK, now ^ 1);
        #pragma unroll
        for (int d = 0; d < BK; d++) {
            float4 p = *(const float4 *)&s[now][d][4 * y], q = *(const float4 *)&t[now][d][4 * x];
            const float l[4] = { p.x, p.y, p.z, p.w }, r[4] = { q.x, q.y, q.z, q.w };
            #pragma unroll
            for (int i = 0; i < 4; i++)
                #pragma unroll
                for (int j = 0; j < 4; j++) sum[i][j] = fmaf(l[i], r[j], sum[i][j]);
        }
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            if (row + 4 * y + i < n && column + 4 * x + j < n) c[(row + 4 * y + i) * n + column + 4 * x + j] = sum[i][j];
}
static std::vector<float> product_of(const std::vector<float> &a, const std::vector<float> &b, int m, int n, int k) {
    std::vector<float> c((size_t)(m * n));
    for (int i = 0; i < m; i++) for (int j = 0; j < n; j++) for (int l = 0; l < k; l++) c[i * n + j] += a[i * k + l] * b[l * n + j];
    return c;
}
static void tiles(void) {
    const int n = 45;
    std::vector<float> a = numbers(n * n), b = numbers(n * n);
    float *A = up(a), *B = up(b), *C;
    cudaMalloc(&C, n * n * sizeof(float));
    matrix_product<32, 32, 8><<<dim3(2, 2), 64>>>(A, B, C, n);
    cudaFree(A), cudaFree(B);
    ok(down(C, n * n) == product_of(a, b, n, n, n), "register tiles, two buffers, float4");
}

/* ---- wmma ---- */
template <int M, int N> __global__ void bf16_product(const float *a, const float *b, float *c, int n, int k) {
    __shared__ __align__(32) __nv_bfloat16 s[M * 16], t[16 * N];
    wmma::fragment<wmma::matrix_a, M, N, 16, __nv_bfloat16, wmma::row_major> f;
    wmma::fragment<wmma::matrix_b, M, N, 16, __nv_bfloat16, wmma::col_major> g;
    wmma::fragment<wmma::accumulator, M, N, 16, float> sum;
    wmma::fill_fragment(sum, 0.f);
    a += blockIdx.y * M * k, b += blockIdx.x * N, c += blockIdx.y * M * n + blockIdx.x * N;
    for (int d = 0; d < k; d += 16) {
        for (int i = threadIdx.x; i < M * 16; i += 32) s[i] = __float2bfloat16(a[i / 16 * k + d + i % 16]);
        for (int i = threadIdx.x; i < N * 16; i += 32) t[i] = __float2bfloat16(b[(d + i % 16) * n + i / 16]);
        __syncwarp();
        wmma::load_matrix_sync(f, s, 16);
        wmma::load_matrix_sync(g, t, 16);
        wmma::mma_sync(sum, f, g, sum);
        __syncwarp();
    }
    for (int i = 0; i < sum.num_elements; i++) sum.x[i] = fmaxf(sum.x[i], 0);
    wmma::store_matrix_sync(c, sum, n, wmma::mem_row_major);
}
__global__ void tf32_product(const float *a, const float *b, float *c, int n, int k, int round) {
    wmma::fragment<wmma::matrix_a, 16, 16, 8, wmma::precision::tf32, wmma::row_major> f;
    wmma::fragment<wmma::matrix_b, 16, 16, 8, wmma::precision::tf32, wmma::row_major> g;
    wmma::fragment<wmma::accumulator, 16, 16, 8, float> sum;
    wmma::fill_fragment(sum, 0.f);
    for (int d = 0; d < k; d += 8) {
        wmma::load_matrix_sync(f, a + blockIdx.y * 16 * k + d, k);
        wmma::load_matrix_sync(g, b + d * n + blockIdx.x * 16, n);
        for (int i = 0; round && i < f.num_elements; i++) f.x[i] = wmma::__float_to_tf32(f.x[i]);
        wmma::mma_sync(sum, f, g, sum);
    }
    wmma::store_matrix_sync(c + blockIdx.y * 16 * n + blockIdx.x * 16, sum, n, wmma::mem_row_major);
}
/* mma.sync, its operands by cp.async, two stages; a warp: 16 x 8 */
template <int K> __global__ void mma_product(const float *a, const float *b, float *c, int n, int k) {
    __shared__ __align__(16) float s[2][16 * K], t[2][K * 8];
    int g = threadIdx.x / 4, l = threadIdx.x % 4;
    float d[4] = { 0 };
    auto ask = [&](int at) {
        for (int i = threadIdx.x; i < 16 * K; i += 32) __pipeline_memcpy_async(s[at / K % 2] + i, a + (blockIdx.y * 16 + i / K) * k + at + i % K, 4);
        for (int i = threadIdx.x; i < 2 * K; i += 32) copy_four((float4 *)t[at / K % 2] + i, b + (at + i / 2) * n + blockIdx.x * 8 + i % 2 * 4);
        __pipeline_commit();
    };
    auto two = [](float x, float y) { return K == 8 ? round_tf32(x) : __bfloat16_as_ushort(__float2bfloat16(x)) | (unsigned)__bfloat16_as_ushort(__float2bfloat16(y)) << 16; };
    ask(0);
    for (int at = 0; at < k; at += K) {
        const float *A = s[at / K % 2], *B = t[at / K % 2];
        if (at + K < k) ask(at + K);
        __pipeline_wait_prior(at + K < k);
        __syncwarp();
        unsigned f[4], e[2];
        for (int i = 0; i < 4; i++) {
            int depth = K / 8 * (l + i / 2 * 4), last = depth + K / 8 - 1;
            f[i] = two(A[(g + i % 2 * 8) * K + depth], A[(g + i % 2 * 8) * K + last]);
            if (i % 2) e[i / 2] = two(B[depth * 8 + g], B[last * 8 + g]);
        }
        if (K == 8) mma_tf32(d, f, e[0], e[1]);
        else mma_bf16(d, f, e[0], e[1]);
        __syncwarp();
    }
    for (int i = 0; i < 4; i++) c[(blockIdx.y * 16 + g + i / 2 * 8) * n + blockIdx.x * 8 + l * 2 + i % 2] = d[i];
}
static void tensor_cores(void) {
    const int m = 32, n = 64, k = 48;
    std::vector<float> a = numbers(m * k), b = numbers(k * n), want = product_of(a, b, m, n, k), positive = want;
    for (float &e : positive) e = fmaxf(e, 0);
    float *A = up(a), *B = up(b), *C;
    cudaMalloc(&C, m * n * sizeof(float)), bf16_product<16, 16><<<dim3(n / 16, m / 16), 32>>>(A, B, C, n, k);
    ok(down(C, m * n) == positive, "wmma bf16 16x16x16");
    cudaMalloc(&C, m * n * sizeof(float)), bf16_product<32, 8><<<dim3(n / 8, m / 32), 32>>>(A, B, C, n, k);
    ok(down(C, m * n) == positive, "wmma bf16 32x8x16");
    cudaMalloc(&C, m * n * sizeof(float)), bf16_product<8, 32><<<dim3(n / 32, m / 8), 32>>>(A, B, C, n, k);
    ok(down(C, m * n) == positive, "wmma bf16 8x32x16");
    cudaMalloc(&C, m * n * sizeof(float)), tf32_product<<<dim3(n / 16, m / 16), 32>>>(A, B, C, n, k, 1);
    ok(down(C, m * n) == want, "wmma tf32");
    cudaMalloc(&C, m * n * sizeof(float)), mma_product<16><<<dim3(n / 8, m / 16), 32>>>(A, B, C, n, k);
    ok(down(C, m * n) == want, "mma.sync bf16, cp.async");
    cudaMalloc(&C, m * n * sizeof(float)), mma_product<8><<<dim3(n / 8, m / 16), 32>>>(A, B, C, n, k);
    ok(down(C, m * n) == want, "mma.sync tf32, cp.async");
    cudaFree(A), cudaFree(B);
    std::vector<float> close(16 * 8, 1 + 3 * ldexpf(1, -12)), one(8 * 16, .125f);     /* 1 + 3/4 of tf32's last bit */
    A = up(close), B = up(one);
    cudaMalloc(&C, 2 * 256 * sizeof(float));
    tf32_product<<<1, 32>>>(A, B, C, 16, 8, 1), tf32_product<<<1, 32>>>(A, B, C + 256, 16, 8, 0);
    std::vector<float> v = down(C, 512);
    ok(v[0] == 1 + ldexpf(1, -10) && v[256] == 1, "tf32 rounds when asked, truncates when not");
    cudaFree(A), cudaFree(B);
}

/* ---- 2-byte and 1-byte neighbours, a grid that is larger than the data, blocks that return as a whole ---- */
__global__ void neighbours(const float *x, __nv_bfloat16 *h, unsigned char *b, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if ((int)(blockIdx.x * blockDim.x) >= n) return;
    __shared__ __nv_bfloat16 s[65];
    s[threadIdx.x] = __float2bfloat16(i < n ? x[i] : 0);
    __syncthreads();
    if (i < n) h[i] = s[threadIdx.x], b[i] = (unsigned char)(i & 255);
}
__constant__ float weights[3];
static __device__ const int offsets[3] = { -1, 0, 1 };
__global__ void blur(const float *x, float *y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float sum = 0;
    for (int j = 0; j < 3; j++) sum += weights[j] * __ldg(x + min(max(i + offsets[j], 0), n - 1));
    y[i] = sum;
}
static void memory(void) {
    const int n = 131;
    std::vector<float> x = numbers(n);
    float *X = up(x), *Y, w[3] = { 1, 2, 1 };
    __nv_bfloat16 *h;
    unsigned char *b;
    cudaMalloc(&h, n * 2), cudaMalloc(&b, n), cudaMalloc(&Y, n * sizeof(float));
    neighbours<<<5, 65>>>(X, h, b, n);
    cudaMemcpyToSymbol(weights, w, sizeof w);
    blur<<<3, 64>>>(X, Y, n);
    std::vector<__nv_bfloat16> H = down(h, n);
    std::vector<unsigned char> bytes = down(b, n);
    std::vector<float> y = down(Y, n);
    bool same = y[5] == x[4] + 2 * x[5] + x[6] && y[0] == 3 * x[0] + x[1];
    for (int i = 0; i < n; i++) same &= __bfloat162float(H[i]) == x[i] && bytes[i] == i % 256;
    ok(same, "bf16 and bytes side by side, constants");
    cudaFree(X);
    size_t before, after, total;
    cudaMemGetInfo(&before, &total);
    for (int i = 0; i < 3000; i++) {                      /* 30 GB in all: memory comes back */
        float *p;
        if (cudaMalloc(&p, 10 << 20) != cudaSuccess) { ok(false, "cudaMalloc"); break; }
        cudaMemset(p, 0, 100), cudaFree(p);
    }
    for (int i = 0; i < 30000; i++) {
        float *p;
        if (cudaMalloc(&p, 4000) != cudaSuccess) { ok(false, "cudaMalloc"); break; }
        cudaMemset(p, 0, 4000), cudaFree(p);
    }
    cudaMemGetInfo(&after, &total);
    ok(before == after && total > 0, "memory is recycled");
}

/* ---- streams: copies from and to pinned memory are late, all others are not ---- */
__global__ void add(float *p, float v) { p[threadIdx.x] += v; }
static void streams(void) {
    const size_t n = 32, bytes = n * sizeof(float);
    float *pinned, *back, *d, pageable[n];
    cudaStream_t s, other;
    cudaEvent_t done, start;
    cudaMallocHost((void **)&pinned, bytes), cudaHostAlloc(&back, bytes, cudaHostAllocDefault), cudaMalloc(&d, bytes);
    cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), cudaStreamCreate(&other);
    cudaEventCreateWithFlags(&done, cudaEventDisableTiming), cudaEventCreate(&start);
    auto value = [&] { float v; cudaMemcpy(&v, d, sizeof v, cudaMemcpyDeviceToHost); return v; };
    for (size_t i = 0; i < n; i++) pinned[i] = pageable[i] = 1;
    cudaMemcpyAsync(d, pageable, bytes, cudaMemcpyHostToDevice, s);
    pageable[0] = 7;
    ok(value() == 1, "pageable memory is copied at once");
    cudaMemcpyAsync(d, pinned, bytes, cudaMemcpyHostToDevice, s);
    pinned[0] = 2;                                        /* the error that this shows */
    cudaStreamSynchronize(s);
    ok(value() == 2, "pinned memory overwritten too early is seen");
    pinned[0] = 3;
    cudaMemcpyAsync(d, pinned, bytes, cudaMemcpyHostToDevice, s), cudaEventRecord(done, s);
    pinned[0] = 4;
    ok(cudaEventQuery(done) == cudaErrorNotReady && value() == 4 && cudaEventSynchronize(done) == cudaSuccess, "an event carries it out");
    pinned[0] = 5;
    cudaMemcpyAsync(d, pinned, bytes, cudaMemcpyHostToDevice, s);
    add<<<1, 32, 0, s>>>(d, 1);
    pinned[0] = 0;
    cudaMemcpyAsync(back, d, bytes, cudaMemcpyDeviceToHost, s);
    bool late = back[0] != back[0];
    cudaStreamSynchronize(s);
    ok(late && back[0] == 6, "a kernel waits for the copy before it; the way back is late as well");
    pinned[0] = 8;
    cudaMemcpyAsync(d, pinned, bytes, cudaMemcpyHostToDevice, s), cudaEventRecord(start, s);
    cudaStreamWaitEvent(other, start, 0);
    add<<<1, 32, 0, other>>>(d, 1);
    ok(value() == 9, "cudaStreamWaitEvent");
    float ms = -1;
    cudaEvent_t stop;
    cudaEventCreate(&stop), cudaEventRecord(stop, s), cudaEventSynchronize(stop);
    ok(cudaEventElapsedTime(&ms, start, stop) == cudaSuccess && ms >= 0, "time");
    cudaEventDestroy(done), cudaEventDestroy(start), cudaEventDestroy(stop), cudaStreamDestroy(s), cudaStreamDestroy(other);
    cudaFree(d), cudaFreeHost(pinned), cudaFreeHost(back);
}

/* ---- arithmetic, and errors that are asked for ---- */
__global__ void arithmetic(float *q) {
    int e;
    q[0] = frexpf(8, &e) + e, q[1] = (float)__umulhi(1u << 31, 6), q[2] = rsqrtf(4), q[3] = __uint_as_float(__float_as_uint(2.5f));
    q[4] = __fmaf_rn(2, 3, 4), q[5] = (float)log1p(0.0), q[6] = tanhf(0) + __expf(0), q[7] = (float)min(3, max(2u, 1u)) + fminf(1, 2);
    int4 v = make_int4(1, 2, 3, 4);
    q[8] = (float)(v.x + v.w + __popc(7) + __clz(1) + __ffs(4));
    float old = 0;
    q[9] = 1, old = atomicAdd(q + 9, 2), q[9] += old;
    int *i = (int *)(q + 10);
    *i = 3, atomicMax(i, 9), atomicCAS(i, 9, 11), atomicSub(i, 1), q[11] = (float)*i;
}
static void errors(void) {
    float *q = up(std::vector<float>(12));
    arithmetic<<<1, 1>>>(q);
    std::vector<float> v = down(q, 12);
    ok(v[0] == 4.5f && v[1] == 3 && v[2] == .5f && v[3] == 2.5f && v[4] == 10 && v[5] == 0 && v[6] == 1 && v[7] == 3 && v[8] == 42 && v[9] == 4
       && v[11] == 10, "arithmetic");
    add<<<1, 2000>>>(NULL, 1);
    ok(cudaPeekAtLastError() == cudaErrorInvalidConfiguration && cudaGetLastError() == cudaErrorInvalidConfiguration
       && cudaGetLastError() == cudaSuccess && !strcmp(cudaGetErrorName(cudaErrorInvalidConfiguration), "cudaErrorInvalidConfiguration"), "a launch that fails");
    two_views<<<1, 32, 200 << 10>>>(NULL);
    ok(cudaGetLastError() == cudaErrorInvalidValue, "too much shared memory");
    void *p;
    ok(cudaMalloc(&p, (size_t)1 << 40) == cudaErrorMemoryAllocation && cudaGetLastError() == cudaErrorMemoryAllocation, "too much memory");
    cudaFuncAttributes a;
    ok(cudaFuncGetAttributes(&a, two_views) == cudaSuccess && a.maxDynamicSharedSizeBytes == 65536, "attributes of a kernel");
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    int n = -1, driver = 0, runtime = 0;
    cudaError_t e = cudaGetDeviceCount(&n);
    cudaDriverGetVersion(&driver), cudaRuntimeGetVersion(&runtime);
    cudaDeviceProp prop;
    if (!strcmp(what, "no_device")) ok(e == cudaErrorNoDevice && n == 0 && cudaSetDevice(0) == cudaErrorNoDevice, "no device");
    else if (!strcmp(what, "old_driver")) ok(e == cudaErrorInsufficientDriver && driver == 11040 && runtime > driver, "a driver too old");
    else if (!strcmp(what, "old_device")) ok(cudaGetDeviceProperties(&prop, 0) == cudaSuccess && prop.major == 7 && prop.minor == 5, "compute capability");
    else if (!strcmp(what, "little_memory")) {
        size_t free_, total;
        char *p, *q;
        cudaMalloc(&p, 600000), cudaMemGetInfo(&free_, &total);
        ok(total == 1000000 && free_ == 400000 && cudaMalloc(&q, 500000) == cudaErrorMemoryAllocation, "little memory");
        cudaFree(p);
    } else rewriting(), reductions(), tiles(), tensor_cores(), memory(), streams(), errors();
    return wrong != 0;
}
