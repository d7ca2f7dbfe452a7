/* ptx.h: instructions for tensor cores that CUDA C++ has no functions for, on the CPU. A program defines the same functions by one
 * line of assembler each, and includes this file where CUDA_ON_CPU is defined. Unlike wmma's, these fragments are no secret: the PTX
 * manual says which lane holds which element, and a lane that gets it wrong computes wrong numbers here too. */
#ifndef CUDA_ON_CPU_PTX_H
#define CUDA_ON_CPU_PTX_H
#include "cuda_pipeline_primitives.h"

/* cvt.rna.tf32.f32: to nearest, ties away from zero */
static inline CUDA_ON_CPU_UNCHECKED unsigned round_tf32(float x) {
    unsigned u = __float_as_uint(x);
    return x - x == 0 ? (u + 0x1000) & 0xffffe000 : x == x ? u : 0x7fffffff;
}
/* cp.async of 16 bytes, past the registers; from nowhere (NULL): zeros */
__attribute__((noinline)) CUDA_ON_CPU_UNCHECKED static inline void copy_four(float4 *to, const float *from) {
    cuda_on_cpu_copy(to, from, 16, from ? 0 : 16, __builtin_return_address(0));
}
/* A load of 16 bytes from shared memory by all lanes of a warp. The hardware serves eight lanes at a time, and each of the eight
 * groups of four banks once: two addresses in one group are a conflict. */
__attribute__((noinline)) CUDA_ON_CPU_UNCHECKED static inline float4 near_four(const float4 *p) {
    const void *pc = __builtin_return_address(0);
    const uint64_t *all = cuda_on_cpu_warp(CPU_WMMA, 0xffffffff, (uint64_t)(uintptr_t)p, pc);
    int lane = cuda_on_cpu_lane();
    if ((uintptr_t)p % 16) cuda_on_cpu_report(pc, "misaligned: 16 bytes from %p", p);
    for (int i = lane / 8 * 8; i < lane / 8 * 8 + 8; i++)
        if (all[i] != all[lane] && all[i] / 16 % 8 == all[lane] / 16 % 8)
            cuda_on_cpu_report(pc, "bank conflict: lanes %d and %d read different rows of the same banks at once", i < lane ? i : lane, i < lane ? lane : i);
    cuda_on_cpu_access(p, 16, 0, pc);
    return *p;
}
/* mma.sync m16n8k8 of tf32 and m16n8k16 of bf16: d (16,8) += a (16,K) b (K,8). With g = lane/4, t = lane%4:
 *   a[0] a(g,t)  a[1] a(g+8,t)  a[2] a(g,t+4)  a[3] a(g+8,t+4)    b0 b(t,g)  b1 b(t+4,g)    d d(g,2t) d(g,2t+1) d(g+8,2t) d(g+8,2t+1)
 * where a depth t is 4 bytes: one tf32, whose lower 13 bits are not looked at, or two bf16. */
template <int E> static inline CUDA_ON_CPU_UNCHECKED void ptx_mma(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, const void *pc) {
    constexpr int K = 8 * E;
    static float buffer[2][16 * K + 8 * K];               /* two: a warp's first lane may be one product ahead of its last */
    static unsigned char turn[32];
    int lane = cuda_on_cpu_lane(), g = lane / 4, t = lane % 4;
    float *A = buffer[turn[lane] ^= 1], *B = A + 16 * K;
    auto factor = [](unsigned v, int e) { return __uint_as_float(E == 1 ? v & 0xffffe000 : e ? v & 0xffff0000 : v << 16); };
    for (int e = 0; e < E; e++) {
        for (int i = 0; i < 4; i++) A[(g + i % 2 * 8) * K + (t + i / 2 * 4) * E + e] = factor(a[i], e);
        B[(t * E + e) * 8 + g] = factor(b0, e), B[((t + 4) * E + e) * 8 + g] = factor(b1, e);
    }
    cuda_on_cpu_warp(CPU_WMMA, 0xffffffff, 0, pc);
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < K; k++)
            for (int j = 0; j < 2; j++) d[2 * i + j] += A[(g + 8 * i) * K + k] * B[k * 8 + 2 * t + j];
}
__attribute__((noinline)) CUDA_ON_CPU_UNCHECKED static inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    ptx_mma<1>(d, a, b0, b1, __builtin_return_address(0));
}
__attribute__((noinline)) CUDA_ON_CPU_UNCHECKED static inline void mma_bf16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    ptx_mma<2>(d, a, b0, b1, __builtin_return_address(0));
}
#endif
