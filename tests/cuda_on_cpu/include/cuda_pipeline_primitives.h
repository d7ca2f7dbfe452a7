/* cuda_pipeline_primitives.h: CUDA's functions for cp.async, copies from device memory to shared memory that run while their thread
 * goes on. Here each is as late as it may be: its bytes are read and written when the thread waits for it. */
#ifndef CUDA_ON_CPU_PIPELINE_H
#define CUDA_ON_CPU_PIPELINE_H
#include "cuda_runtime.h"

void cuda_on_cpu_copy(void *to, const void *from, size_t size, size_t zeros, const void *pc);
void cuda_on_cpu_copy_commit(void), cuda_on_cpu_copy_wait(size_t last);

__attribute__((noinline)) CUDA_ON_CPU_UNCHECKED
static inline void __pipeline_memcpy_async(void *to, const void *from, size_t size, size_t zeros = 0) {
    cuda_on_cpu_copy(to, from, size, zeros, __builtin_return_address(0));
}
static inline void __pipeline_commit(void) { cuda_on_cpu_copy_commit(); }
static inline void __pipeline_wait_prior(size_t last) { cuda_on_cpu_copy_wait(last); }
#endif
