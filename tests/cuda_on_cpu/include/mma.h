/* mma.h: nvcuda::wmma on the CPU, for bf16 (16x16x16, 32x8x16, 8x32x16) and tf32 (16x16x8), float accumulators.
 * Which lane holds which element is a secret of the hardware: `element` scatters them in a way that no program hits by chance, so
 * that a missing __syncwarp beside a load or store is found. tf32 factors lose their lower 13 bits in mma_sync, as in the hardware:
 * truncated if the program has not rounded them with __float_to_tf32. */
#ifndef CUDA_ON_CPU_MMA_H
#define CUDA_ON_CPU_MMA_H
#include "cuda_bf16.h"

namespace nvcuda { namespace wmma {
struct matrix_a; struct matrix_b; struct accumulator; struct row_major {}; struct col_major {};
enum layout_t { mem_row_major, mem_col_major };
namespace precision { struct tf32; }
template <class T> struct storage { typedef T type; };
template <> struct storage<precision::tf32> { typedef float type; };
static inline float __float_to_tf32(float x) {                                   /* to nearest, ties away from zero */
    unsigned u = __float_as_uint(x);
    return x - x == 0 ? __uint_as_float((u + 0x1000) & 0xffffe000) : x;
}
template <class Use, int M, int N, int K, class T, class Layout = void> struct fragment {
    static constexpr bool is_tf32 = std::is_same<T, precision::tf32>::value;
    static_assert(std::is_same<Use, accumulator>::value ? std::is_same<T, float>::value && std::is_void<Layout>::value
                  : (is_tf32 || std::is_same<T, __nv_bfloat16>::value) && !std::is_void<Layout>::value,
                  "factors are bf16 or tf32 with a layout, sums are float without");
    static_assert((M == 16 && N == 16 && (K == 16 || K == 8)) || (K == 16 && !is_tf32 && M * N == 256 && (M == 32 || M == 8)),
                  "16x16x16, 32x8x16 and 8x32x16 for bf16, 16x16x8 for tf32");
    static_assert(std::is_same<Use, accumulator>::value || is_tf32 == (K == 8), "K is 8 for tf32 and 16 for bf16");
    typedef typename storage<T>::type element_type, storage_element_type;
    static constexpr int rows = std::is_same<Use, matrix_b>::value ? K : M, cols = std::is_same<Use, matrix_a>::value ? K : N;
    static constexpr int num_elements = rows * cols / 32;
    element_type x[num_elements];
    fragment() { for (auto &e : x) e = (element_type)__builtin_nanf(""); }       /* a forgotten fill_fragment shows */
};
template <class F, class T> static inline void fill_fragment(F &f, const T &v) { for (auto &e : f.x) e = v; }

static inline CUDA_ON_CPU_UNCHECKED int element(int lane, int i) { return 4 * (i / 4 * 32 + lane * 5 % 32) + i % 4; }
/* the rules of both directions: 256-bit aligned, the leading dimension a multiple of 16 bytes, the same for all lanes */
static inline CUDA_ON_CPU_UNCHECKED void check_matrix(const char *what, const void *p, unsigned ld, unsigned need, int size, const void *pc) {
    if ((uintptr_t)p % 32) cuda_on_cpu_report(pc, "%s: address %p is not a multiple of 32 bytes, which wmma needs", what, p);
    if (ld % (16 / size)) cuda_on_cpu_report(pc, "%s: leading dimension %u is not a multiple of %d", what, ld, 16 / size);
    if (ld < need) cuda_on_cpu_report(pc, "%s: leading dimension %u is less than the %u elements of a line", what, ld, need);
    int lane = cuda_on_cpu_lane();
    uint64_t mine = (uint64_t)(uintptr_t)p ^ (uint64_t)ld << 48;
    const uint64_t *all = cuda_on_cpu_warp(CPU_WMMA, 0xffffffff, mine, pc);
    for (int i = 0; i < 32; i++)
        if (all[i] != mine) cuda_on_cpu_report(pc, "%s: lanes %d and %d pass different addresses or leading dimensions", what, lane, i);
}
template <class F, class P> CUDA_ON_CPU_UNCHECKED static inline void load(F &f, const P *p, unsigned ld, bool row, const void *pc) {
    check_matrix("load_matrix_sync", p, ld, row ? f.cols : f.rows, sizeof *p, pc);
    for (int i = 0; i < f.num_elements; i++) {
        int e = element(cuda_on_cpu_lane(), i);
        const P *from = p + (row ? e / f.cols * ld + e % f.cols : e % f.cols * ld + e / f.cols);
        cuda_on_cpu_access(from, sizeof *from, 0, pc);
        f.x[i] = *from;
    }
}
template <class U, int M, int N, int K, class T, class L, class P> __attribute__((noinline)) CUDA_ON_CPU_UNCHECKED
static void load_matrix_sync(fragment<U, M, N, K, T, L> &f, const P *p, unsigned ld) {
    static_assert(std::is_same<P, typename storage<T>::type>::value, "memory and fragment hold the same type");
    load(f, p, ld, std::is_same<L, row_major>::value, __builtin_return_address(0));
}
template <int M, int N, int K> __attribute__((noinline)) CUDA_ON_CPU_UNCHECKED
static void load_matrix_sync(fragment<accumulator, M, N, K, float> &f, const float *p, unsigned ld, layout_t l) {
    load(f, p, ld, l == mem_row_major, __builtin_return_address(0));
}
template <int M, int N, int K> __attribute__((noinline)) CUDA_ON_CPU_UNCHECKED
static void store_matrix_sync(float *p, const fragment<accumulator, M, N, K, float> &f, unsigned ld, layout_t l) {
    const void *pc = __builtin_return_address(0);
    check_matrix("store_matrix_sync", p, ld, l == mem_row_major ? N : M, sizeof *p, pc);
    for (int i = 0; i < f.num_elements; i++) {
        int e = element(cuda_on_cpu_lane(), i);
        float *to = p + (l == mem_row_major ? e / N * ld + e % N : e % N * ld + e / N);
        cuda_on_cpu_access(to, sizeof *to, 1, pc);
        *to = f.x[i];
    }
}
static inline CUDA_ON_CPU_UNCHECKED float factor(__nv_bfloat16 v) { return (float)v; }
static inline CUDA_ON_CPU_UNCHECKED float factor(float v) { return __uint_as_float(__float_as_uint(v) & 0xffffe000); }
template <int M, int N, int K, class T, class LA, class LB> __attribute__((noinline)) CUDA_ON_CPU_UNCHECKED
static void mma_sync(fragment<accumulator, M, N, K, float> &d, const fragment<matrix_a, M, N, K, T, LA> &a,
                     const fragment<matrix_b, M, N, K, T, LB> &b, const fragment<accumulator, M, N, K, float> &c) {
    /* one warp runs at a time; two buffers, for its first lane may be one product ahead of its last */
    static float buffer[2][M * K + K * N];
    static unsigned char turn[32];
    int lane = cuda_on_cpu_lane();
    float *A = buffer[turn[lane] ^= 1], *B = A + M * K;
    for (int i = 0; i < a.num_elements; i++) A[element(lane, i)] = factor(a.x[i]);
    for (int i = 0; i < b.num_elements; i++) B[element(lane, i)] = factor(b.x[i]);
    cuda_on_cpu_warp(CPU_WMMA, 0xffffffff, 0, __builtin_return_address(0));
    typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));
    for (int i = 0; i < d.num_elements; i += 4) {         /* four sums side by side in one row */
        int e = element(lane, i);
        const float *left = A + e / N * K, *right = B + e % N;
        Four s = *(const Four *)(c.x + i);
        for (int k = 0; k < K; k++) s += left[k] * *(const Four *)(right + k * N);
        *(Four *)(d.x + i) = s;
    }
}
} }
#endif
