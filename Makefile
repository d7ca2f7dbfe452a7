# make            builds ./train, ./transfer and ./validate
# make demo       installs what is missing, trains stylegan and, on two textiles, cloth, prints garments with both and
#                 lists the pictures to open. DATA=fashion-mnist|synthetic|folder  PATTERN=picture  MINUTES=2
# make gallery    fetches paintings and garments and makes README's gallery in the folder GALLERY (gallery)
# make page       writes build/page.html: the same code in a browser. It needs clang for WebAssembly
# make test       runs the tests; the last line is 'N passed, N failed'. LONG=1: at full length
# make endurance  kills a run N=200 times, fills disks, runs for long: tests/endurance.sh
# make fuzz       lets libFuzzer (clang) try every reader of files, MINUTES=10 each
# make tsan       finds threads that use the same number in no order (clang, libomp-dev)
# make valgrind   finds numbers that are read before they are written
# make bench      measures layers and training steps, beside PyTorch where it is. DEVICE=cuda: a GPU's
# make gpu-check  all that needs a GPU, in nine minutes: tests, sanitizers, benchmark. OUT=folder (build/gpu-check)
# make notebooks  runs all cells of notebooks-as-md and compares. CHAPTERS=02: one; UPDATE=1: rewrites outputs
# make ipynb      writes the same chapters as Jupyter notebooks to build/ipynb
# make golden     writes what every operation, and ten steps of every recipe, must give, for ./validate.
#                 GOLDEN=folder (golden)  NAMES='conv2d train_dcgan'
# make check-kernels KERNELS=my.cu
#                 runs CUDA kernels on the CPU and reports races, wrong addresses and missing barriers
# make MPI=1      lets ./train share a batch among processes (mpirun -np 4 ./train ..), on one machine or
#                 several; it needs mpicc. NCCL=1: from GPU to GPU
# Knobs: CC=clang  OMP=0  CUDA=0  GENERATIONS=all  STB_DIR=folder  ARCH=-march=x86-64-v3

CC      = cc
OMP     = 1
MINUTES = 2
MNIST   = /usr/share/datasets/fashion-mnist

# stb_image.h and stb_image_write.h: pkg-config knows where they are on Debian (libstb-dev)
STB_FOUND = $(patsubst -I%,%,$(shell pkg-config --cflags-only-I stb 2>/dev/null))
STB_DIR := $(or $(STB_DIR),$(STB_FOUND),/usr/include/stb)

# try(flags): the flags, if this compiler can build a program with them
try = $(shell echo 'int main(void){return 0;}' | $(CC) $(1) -x c - -o /dev/null >/dev/null 2>&1 && \
              echo '$(1)')

# The processor at hand. The matrix product in core/tiled.h takes the width of its vectors from it.
ARCH   := $(or $(ARCH),$(call try,-march=native),$(call try,-mcpu=native))

# OpenMP runs loops over independent outputs on all cores. Without it one core does the same work.
ifeq ($(OMP),1)
OPENMP := $(or $(call try,-fopenmp),$(call try,-Xpreprocessor -fopenmp -lomp))
ifneq ($(if $(OPENMP),,$(shell command -v $(firstword $(CC)))),)
$(info $(CC) has no OpenMP here: building for one core (macOS: brew install libomp; clang: libomp-dev))
endif
endif

# -std=gnu11           C11 with vector types
# -O3                  unrolls the fixed loops of the matrix product, so that its sums stay in registers
# -fno-math-errno      sqrt may be one instruction, because nothing reads errno after it
# -fno-trapping-math   both sides of `x > 0 ? x : a*x` may be computed, so gcc makes vectors of it: relu takes
#                      a sixth of the time. NaN stays NaN.
# -ffp-contract=fast   a*b + c is rounded once. gcc does so anyway, clang must be told.
# Never -ffast-math: it would let NaN pass every test.
OPT    := -O3 $(ARCH) -fno-math-errno -fno-trapping-math -ffp-contract=fast
WARN   := -Wall -Wextra $(if $(OPENMP),,-Wno-unknown-pragmas)
CFLAGS  = -std=gnu11 $(OPT) $(WARN) $(OPENMP) -isystem $(STB_DIR) -I.
LDLIBS  = -lm

# CUDA, where there is nvcc (in PATH or /usr/local/cuda). With a GPU here: machine code for this GPU alone.
# Without one: only PTX for Ampere; the driver of such or a newer GPU translates it at the start.
# GENERATIONS=all: machine code for every generation from Turing to Hopper, and PTX for newer ones (minutes).
NVCC   := $(if $(filter 0,$(CUDA)),,$(or $(NVCC),$(shell command -v nvcc || \
              ls /usr/local/cuda/bin/nvcc 2>/dev/null)))
ifneq ($(NVCC),)
GPU    := $(shell nvidia-smi -L 2>/dev/null | grep -m 1 GPU)
code    = -gencode=arch=compute_$(1),code=$(2)_$(1)
KNOWN   = $(filter 75 80 86 89 90,$(patsubst sm_%,%,$(shell $(NVCC) --list-gpu-code)))
EVERY   = $(foreach a,$(KNOWN),$(call code,$(a),sm)) $(call code,$(lastword $(KNOWN)),compute)
ONE     = $(if $(GPU),-arch=native,$(call code,80,compute))
CUDA_ARCH := $(or $(CUDA_ARCH),$(if $(GENERATIONS),$(EVERY),$(ONE)))
# --extended-lambda    a kernel may take the loop body of an element-wise operation as its argument
# -t 0                 compiles the generations side by side
NVFLAGS = -std=c++20 -O3 --extended-lambda -t 0 $(CUDA_ARCH) -Xcompiler -Wall,-Wextra -I.
CUDA_FLAGS   = -DWITH_CUDA
CUDA_OBJECTS = build/cuda_kernels.o
CUDA_LIBS   := -L$(dir $(shell readlink -f $(NVCC)))../lib64 -lcudart_static -lstdc++ -lpthread -ldl -lrt
endif

# Another CC, OMP, ARCH or CUDA builds everything anew: the file build/command changes when the commands do.
# build/compile is for notebooks-as-md/cell.
COMMAND = $(CC) $(CFLAGS) $(NVCC) $(NVFLAGS) $(MPI) $(NCCL)
STAMP  := $(shell mkdir -p build; echo '$(CC) $(CFLAGS)' > build/compile; \
            echo '$(COMMAND)' | cmp -s - build/command || echo '$(COMMAND)' > build/command)
HEADERS = build/command layers.h gan.h $(foreach f,core images training style validation,$(wildcard $(f)/*.h))

all: train transfer validate

# The code of each header is compiled once: of core/ in gan.o, of images/ in images.o. What is linked with them
# leaves the code out, though it asks for it: coded(headers) says that it is there already.
coded     = $(patsubst %,-D%,$(shell grep -ho '[A-Z]*_IMPLEMENTED' $(1) | sort -u))
IN_GAN    := $(call coded,layers.h core/*.h)
IN_IMAGES := $(call coded,images/*.h)
# gan.c is compiled once in float; what the device cuda and MPI change of it is compiled apart and joined with it.
# gan_cuda.o knows the device cuda: the programs take it where there is nvcc.
GAN = $(if $(NVCC),build/gan_cuda.o,build/gan.o)
build/gan_double.o: EXTRA = -Dreal=double
build/gan_most.o:   EXTRA = -DDEVICE_IMPLEMENTED -DPARALLEL_IMPLEMENTED
build/gan_double.o build/gan_most.o: gan.c $(HEADERS)
	$(CC) $(CFLAGS) $(EXTRA) -c -o $@ gan.c
build/device.o build/device_cuda.o: EXTRA = -DDEVICE_IMPLEMENTATION
build/device_cuda.o: EXTRA += -DWITH_CUDA
build/parallel.o:    EXTRA = -DPARALLEL_IMPLEMENTATION
build/device.o build/device_cuda.o: core/device.h $(HEADERS)
build/parallel.o: core/parallel.h $(HEADERS)
build/device.o build/device_cuda.o build/parallel.o:
	$(CC) $(CFLAGS) $(EXTRA) -c -o $@ -x c $<
build/gan.o: build/device.o build/parallel.o
build/gan_cuda.o: build/device_cuda.o build/parallel.o
build/gan_mpi.o: $(if $(NVCC),build/device_cuda.o,build/device.o) build/parallel_mpi.o
build/gan.o build/gan_cuda.o build/gan_mpi.o: build/gan_most.o
	$(CC) -r -nostdlib -o $@ $^
# stb_image does not set the entries that a damaged palette lacks: they are zeros, where the compiler can see to it
ZEROS := $(call try,-ftrivial-auto-var-init=zero)
build/images.o: images/images.h $(HEADERS) | stb
	$(CC) $(CFLAGS) $(ZEROS) -DIMAGES_IMPLEMENTATION -c -o $@ -x c $<
build/train.o build/transfer.o: build/%.o: %.c $(HEADERS) | stb
	$(CC) $(CFLAGS) $(IN_IMAGES) -c -o $@ $<
transfer $(if $(filter 1,$(MPI)),,train): %: build/%.o $(GAN) build/images.o $(CUDA_OBJECTS)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS) $(CUDA_LIBS)
validate: validation/validate.c build/gan_double.o $(HEADERS)
	$(CC) $(CFLAGS) -Dreal=double -o $@ $(filter %.c %.o,$^) $(LDLIBS)
build/cuda_kernels.o: cuda_kernels.cu layers.h core/device.h core/tiled.h core/error.h build/command
	$(NVCC) $(NVFLAGS) -c -o $@ $<

# MPI (core/parallel.h), and with NCCL=1 from GPU to GPU. mpicc knows where MPI is and runs our compiler.
ifeq ($(NCCL),1)
NCCL_FLAGS = -DWITH_NCCL -isystem $(dir $(shell readlink -f $(NVCC)))../include
NCCL_LIBS  = -lnccl
endif
ifeq ($(MPI),1)
train: build/mpi/train
	cp $< $@
endif
MPICC = OMPI_CC='$(CC)' MPICH_CC='$(CC)' mpicc $(CFLAGS) -DWITH_MPI
build/parallel_mpi.o: core/parallel.h $(HEADERS)
	@command -v mpicc >/dev/null || { \
	    echo "MPI=1 needs mpicc: on Debian and Ubuntu it is in openmpi-bin and libopenmpi-dev"; exit 1; }
	$(MPICC) $(NCCL_FLAGS) -DPARALLEL_IMPLEMENTATION -c -o $@ -x c $<
build/mpi/train: build/train.o build/gan_mpi.o build/images.o $(CUDA_OBJECTS)
	@mkdir -p $(@D)
	$(MPICC) -o $@ $^ $(LDLIBS) $(NCCL_LIBS) $(CUDA_LIBS)
stb:
	@test -f $(STB_DIR)/stb_image.h && test -f $(STB_DIR)/stb_image_write.h || { echo \
	  "stb_image.h and stb_image_write.h are not in $(STB_DIR): on Debian and Ubuntu 'make setup' installs" \
	  "libstb-dev; elsewhere fetch the two files and run make STB_DIR=their-folder"; exit 1; }

# Installs what a bare Debian lacks, by sudo where needed. Without apt or a network it says so, and the
# drawn pictures of the synthetic set are used.
setup:
	@sh scripts/setup.sh

demo: setup
	@$(MAKE) --no-print-directory all
	@CC='$(CC)' STB_DIR='$(STB_DIR)' sh scripts/demo.sh '$(DATA)' '$(PATTERN)' '$(MINUTES)' '$(MNIST)'

gallery: transfer
	@CC='$(CC)' STB_DIR='$(STB_DIR)' sh scripts/gallery.sh '$(GALLERY)'

include notebooks-as-md/page/page.mk
include tests/tests.mk

clean:
	rm -rf build train transfer validate
.PHONY: all stb setup demo gallery clean
