/* example.cu: a plain CUDA program. With a GPU:  nvcc -o example example.cu && ./example
 * Without one:  make -C tests/cuda_on_cpu check-kernels KERNELS=example.cu
 *
 * Now break it, and run it again: delete one of the two __syncthreads() in `product`; write i <= n in `saxpy`; copy
 * A only after the product; let threadIdx.y == 0 return early. Every time the message names the line. */
#include <cuda_runtime.h>
#include <math.h>
#include <stdio.h>
#include <vector>

__global__ void saxpy(float a, const float *x, float *y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] += a * x[i];
}

/* c = a b for n x n matrices: each block makes one tile of c, and reads each tile of a and b once for all its threads */
template <int TILE> __global__ void product(const float *a, const float *b, float *c, int n) {
    __shared__ float left[TILE][TILE], right[TILE][TILE];
    int row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
    float sum = 0;
    for (int k = 0; k < n; k += TILE) {
        int i = k + threadIdx.x, j = k + threadIdx.y;
        left[threadIdx.y][threadIdx.x] = row < n && i < n ? a[row * n + i] : 0;
        right[threadIdx.y][threadIdx.x] = j < n && column < n ? b[j * n + column] : 0;
        __syncthreads();                                  /* delete me: a thread may read what its neighbour has not stored */
        for (int t = 0; t < TILE; t++) sum += left[threadIdx.y][t] * right[t][threadIdx.x];
        __syncthreads();                                  /* delete me: a thread may overwrite what its neighbour still needs */
    }
    if (row < n && column < n) c[row * n + column] = sum;
}

int main(void) {
    const int n = 45;                                     /* not a multiple of the tile: the edges are where the errors are */
    std::vector<float> a(n * n), b(n * n), c(n * n);
    for (int i = 0; i < n * n; i++) a[i] = (float)(i % 7 - 3), b[i] = (float)(i % 5 - 2);
    float *A, *B, *C;
    cudaMalloc(&A, n * n * sizeof(float)), cudaMalloc(&B, n * n * sizeof(float)), cudaMalloc(&C, n * n * sizeof(float));
    cudaMemcpy(A, a.data(), n * n * sizeof(float), cudaMemcpyHostToDevice);
    cudaMemcpy(B, b.data(), n * n * sizeof(float), cudaMemcpyHostToDevice);
    product<16><<<dim3((n + 15) / 16, (n + 15) / 16), dim3(16, 16)>>>(A, B, C, n);
    saxpy<<<(n * n + 255) / 256, 256>>>(2.f, A, C, n * n);                        /* C = A B + 2 A */
    if (cudaGetLastError() != cudaSuccess || cudaMemcpy(c.data(), C, n * n * sizeof(float), cudaMemcpyDeviceToHost) != cudaSuccess) {
        printf("no GPU, or a kernel did not start\n");
        return 1;
    }
    cudaFree(A), cudaFree(B), cudaFree(C);
    float worst = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            float want = 2 * a[i * n + j];
            for (int k = 0; k < n; k++) want += a[i * n + k] * b[k * n + j];
            worst = fmaxf(worst, fabsf(want - c[i * n + j]));
        }
    printf("largest error %g\n", worst);
    return worst != 0;
}
