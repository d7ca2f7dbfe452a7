/* parallel.h: several processes, the ranks, train one network together: each has all of its weights
 * and a share of every batch.
 *
 *   mpirun -np 4 ./train --batch 256 ...      each rank takes 64 pictures; gradients are averaged
 *
 * Without -DWITH_MPI (make MPI=1), or without mpirun, there is one rank and nothing here does
 * anything. MPI comes from your system (Open MPI, MPICH); no other file names it. */
#ifndef PARALLEL_H
#define PARALLEL_H
#include "core/error.h"
#include "layers.h"

int parallel_possible(void);                      /* was it built with MPI? */
int parallel_ranks(void), parallel_rank(void);    /* how many; which of them this process is */
void parallel_begin(const char *program);         /* first in main; only rank 0 is heard then */
int parallel_end(int status);                     /* last in main; without it all ranks end */
int parallel_any(int bits);                       /* the bits that some rank has set */
int parallel_same(uint64_t hash);                 /* have all ranks the same? */
/* x becomes the sum or mean over the ranks, the same bits in all of them. double: on the host. */
void parallel_sum(const Ops *ops, real *x, long n);
void parallel_mean(const Ops *ops, real *x, long n);
void parallel_mean_double(double *x, long n);
#endif

#if defined(PARALLEL_IMPLEMENTATION) && !defined(PARALLEL_IMPLEMENTED)
#define PARALLEL_IMPLEMENTED
#include <stdio.h>
#include <stdlib.h>

static struct { int ranks, rank, over; } world = { .ranks = 1 };
int parallel_ranks(void) { return world.ranks; }
int parallel_rank(void) { return world.rank; }

#ifdef WITH_MPI
#include <mpi.h>

int parallel_possible(void) { return 1; }
static void parallel_abort(int status) {
    fflush(NULL);                       /* MPI_Abort also ends mpirun, which carries our output */
    MPI_Abort(MPI_COMM_WORLD, status);
}
static void parallel_exit(void) { if (!world.over) parallel_abort(1); }

void parallel_begin(const char *program) {
    static char name[80];
    MPI_Init(NULL, NULL);
    atexit(parallel_exit);
    MPI_Comm_size(MPI_COMM_WORLD, &world.ranks);
    MPI_Comm_rank(MPI_COMM_WORLD, &world.rank);
    snprintf(name, sizeof name, "%s (rank %d of %d)", program, world.rank, world.ranks);
    error_program(world.rank ? name : program, world.rank > 0,       /* rank 0 speaks for all */
                  world.ranks > 1 ? parallel_abort : NULL);
    if (world.rank && !freopen("/dev/null", "w", stdout)) parallel_abort(1);
}
int parallel_end(int status) {
    fflush(NULL);
    world.over = 1;
    MPI_Finalize();                                       /* waits for all */
    return status;
}

/* x: (n) becomes op, such as the sum, of that of all ranks */
static void parallel_all(void *x, long n, MPI_Datatype type, MPI_Op op) {
    if (world.ranks > 1) MPI_Allreduce(MPI_IN_PLACE, x, (int)n, type, op, MPI_COMM_WORLD);
}
#else
int parallel_possible(void) { return 0; }
void parallel_begin(const char *program) { error_program(program, 0, NULL); }
int parallel_end(int status) { return status; }
#define parallel_all(x, n, type, op) ((void)0)
#endif

int parallel_any(int bits) {
    parallel_all(&bits, 1, MPI_INT, MPI_BOR);
    return bits;
}

int parallel_same(uint64_t hash) {
    uint64_t ends[2] = { hash, ~hash };           /* the largest, the complement of the smallest */
    parallel_all(ends, 2, MPI_UINT64_T, MPI_MAX);
    return ends[0] == ~ends[1];
}

void parallel_mean_double(double *x, long n) {
    parallel_all(x, n, MPI_DOUBLE, MPI_SUM);
    for (long i = 0; i < n; i++) x[i] /= world.ranks;
}

#ifdef WITH_NCCL
#include "core/device.h"
#include <cuda_runtime.h>
#include <nccl.h>
/* NVIDIA's library moves numbers from GPU to GPU, past the host, on a stream of its own: each
 * stream waits for the other. */
static int parallel_on_gpu(const Ops *ops, real *x, long n) {
    static ncclComm_t all;
    ncclUniqueId id;
    ncclResult_t error = ncclSuccess;
    if (ops != &ops_cuda && ops != &ops_cuda_tf32 && ops != &ops_cuda_bf16) return 0;
    if (!all) {
        if (world.rank == 0) error = ncclGetUniqueId(&id);
        MPI_Bcast(&id, sizeof id, MPI_BYTE, 0, MPI_COMM_WORLD);
        if (error == ncclSuccess) error = ncclCommInitRank(&all, world.ranks, id, world.rank);
    }
    cuda_synchronize();
    if (error == ncclSuccess) error = ncclAllReduce(x, x, (size_t)n, ncclFloat, ncclSum, all, 0);
    if (error != ncclSuccess || cudaStreamSynchronize(0) != cudaSuccess)
        die(1, "NCCL: %s: make MPI=1 without NCCL=1 goes without", ncclGetErrorString(error));
    return 1;
}
#else
static int parallel_on_gpu(const Ops *ops, real *x, long n) {
    return (void)ops, (void)x, (void)n, 0;
}
#endif

void parallel_sum(const Ops *ops, real *x, long n) {
    if (world.ranks == 1 || parallel_on_gpu(ops, x, n)) return;
    real *host = room_for(n, sizeof *host);     /* x may be of a GPU */
    ops->download(host, x, n);
    parallel_all(host, n, sizeof(real) == 4 ? MPI_FLOAT : MPI_DOUBLE, MPI_SUM);
    ops->upload(x, host, n);
    free(host);
}

void parallel_mean(const Ops *ops, real *x, long n) {
    parallel_sum(ops, x, n);
    if (world.ranks > 1) ops->scale(x, (real)1 / world.ranks, n);
}
#endif
