# make            builds ./train, ./transfer and ./validate
# make demo       installs what is missing, trains two recipes, prints a pattern onto garments two ways, lists the pictures to open
# make gallery    fetches paintings and garments, makes README's gallery of style transfer in the folder GALLERY (gallery)
# make test       everything is checked; the last line is 'N passed, N failed'
# make endurance  N=200 times kill -9, then full disks, long runs: tests/endurance.sh. make fuzz MINUTES=10: libFuzzer (clang) on every reader
# make tsan       no two threads touch the same number unordered (clang, libomp-dev). make valgrind: nothing is read before it is written
# make bench      GFLOP/s per layer; layers and whole training steps against PyTorch where it is installed. DEVICE=cuda: on the GPU
# make notebooks  runs the cells of notebooks-as-md, long ones too, and compares. CHAPTERS=02: one; UPDATE=1: rewrites what they print
# make golden     writes golden/: what every operation and ten steps of every recipe must give, for ./validate. GOLDEN=folder, NAMES='conv2d train_dcgan'
# make ipynb      the same chapters as Jupyter notebooks, in build/ipynb
# make check-kernels KERNELS=my.cu    runs CUDA kernels on the CPU and reports races, wrong addresses, missing barriers; needs no GPU
# make MPI=1     ./train can share a batch among processes, on one machine or several (mpirun -np 4 ./train ...); needs mpicc. NCCL=1: GPU to GPU
# Knobs: CC=clang  OMP=0  CUDA=0  STB_DIR=folder  DATA=fashion-mnist|synthetic|folder  PATTERN=picture  MINUTES=2  ARCH=-march=x86-64-v3

CC      = cc
OMP     = 1
MINUTES = 2
MNIST   = /usr/share/datasets/fashion-mnist

# stb_image.h and stb_image_write.h: pkg-config knows them on Debian (libstb-dev); elsewhere say STB_DIR=folder
STB_DIR := $(or $(STB_DIR),$(patsubst -I%,%,$(shell pkg-config --cflags-only-I stb 2>/dev/null)),/usr/include/stb)

# try(flags): the flags, if this compiler can build a program with them
try = $(shell echo 'int main(void){return 0;}' | $(CC) $(1) -x c - -o /dev/null >/dev/null 2>&1 && echo '$(1)')

# the processor at hand: the tile of tiled.h takes its vector width from it
ARCH   := $(or $(ARCH),$(call try,-march=native),$(call try,-mcpu=native))
# loops over independent outputs run on all cores; without OpenMP the pragmas are ignored and everything still works
ifeq ($(OMP),1)
OPENMP := $(or $(call try,-fopenmp),$(call try,-Xpreprocessor -fopenmp -lomp))
ifneq ($(if $(OPENMP),,$(shell command -v $(firstword $(CC)))),)
$(info $(CC) has no OpenMP here: building for one core (macOS: brew install libomp; clang on Debian: libomp-dev))
endif
endif

# -std=gnu11           C11 and vector types
# -O3                  unrolls the tile's fixed loops so that its sums stay in registers
# -fno-math-errno      sqrt may be one instruction: nobody reads errno after it
# -fno-trapping-math   both sides of `x > 0 ? x : a*x` may be computed, so gcc makes vectors of it: relu takes a sixth of the time. NaN stays NaN
# -ffp-contract=fast   a*b + c in one rounding (gcc's default; clang's needs saying). Never -ffast-math: it would let NaN pass every test
OPT    := -O3 $(ARCH) -fno-math-errno -fno-trapping-math -ffp-contract=fast
WARN   := -Wall -Wextra $(if $(OPENMP),,-Wno-unknown-pragmas)
CFLAGS  = -std=gnu11 $(OPT) $(WARN) $(OPENMP) -isystem $(STB_DIR) -I.
LDLIBS  = -lm

# CUDA, where there is nvcc (in PATH, or /usr/local/cuda; CUDA=0 goes without). A GPU here: kernels for it alone. Else for each
# generation from Turing to Hopper that this nvcc knows, and as PTX, which the drivers of newer GPUs translate
NVCC   := $(if $(filter 0,$(CUDA)),,$(or $(NVCC),$(shell command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null)))
ifneq ($(NVCC),)
GPU    := $(shell nvidia-smi -L 2>/dev/null | grep -m 1 GPU)
SM     := $(filter 75 80 86 89 90,$(patsubst sm_%,%,$(if $(GPU),,$(shell $(NVCC) --list-gpu-code))))
CUDA_ARCH := $(or $(CUDA_ARCH),$(if $(GPU),-arch=native,$(foreach a,$(SM),-gencode=arch=compute_$(a),code=sm_$(a)) \
             -gencode=arch=compute_$(lastword $(SM)),code=compute_$(lastword $(SM))))
# --extended-lambda    kernels take the loop body of an element-wise operation as an argument
# -t 0                 the generations are compiled side by side
NVFLAGS = -std=c++20 -O3 --extended-lambda -t 0 $(CUDA_ARCH) -Xcompiler -Wall,-Wextra -I.
CUDA_FLAGS   = -DWITH_CUDA
CUDA_OBJECTS = build/cuda_kernels.o
CUDA_LIBS   := -L$(dir $(shell readlink -f $(NVCC)))../lib64 -lcudart_static -lstdc++ -lpthread -ldl -lrt
endif
# whoever changes CC, OMP, ARCH or CUDA gets everything built anew: the file's date changes when the command does.
# build/compile is for notebooks-as-md/cell
COMMAND = $(CC) $(CFLAGS) $(NVCC) $(NVFLAGS) $(MPI) $(NCCL)
STAMP  := $(shell mkdir -p build; echo '$(CC) $(CFLAGS)' > build/compile; \
            echo '$(COMMAND)' | cmp -s - build/command || echo '$(COMMAND)' > build/command)
HEADERS = build/command layers.h gan.h $(wildcard core/*.h images/*.h training/*.h style/*.h)
# gan.o with and without the device cuda: the programs take what there is, the tests the one without
GAN     = $(if $(NVCC),build/gan_cuda.o,build/gan.o)

all: train transfer validate
transfer $(if $(filter 1,$(MPI)),,train): %: %.c $(GAN) $(CUDA_OBJECTS) $(HEADERS) | stb
	$(CC) $(CFLAGS) -o $@ $< $(GAN) $(CUDA_OBJECTS) $(LDLIBS) $(CUDA_LIBS)
validate: validation/validate.c build/gan_double.o build/images.o $(PARTS) | stb
	$(CC) $(CFLAGS) -Dreal=double -o $@ $(filter %.c %.o,$^) $(LDLIBS)
build/cuda_kernels.o: cuda_kernels.cu layers.h core/device.h build/command
	$(NVCC) $(NVFLAGS) -c -o $@ $<
# parallel.h with MPI (and NCCL=1: GPU to GPU); mpicc, the system's compiler that knows where MPI is, runs ours
ifeq ($(NCCL),1)
NCCL_FLAGS = -DWITH_NCCL -isystem $(dir $(shell readlink -f $(NVCC)))../include
NCCL_LIBS  = -lnccl
endif
ifeq ($(MPI),1)
train: build/mpi/train
	cp $< $@
endif
build/mpi/train: train.c gan.c $(CUDA_OBJECTS) $(HEADERS) | stb
	@mkdir -p $(@D)
	@command -v mpicc >/dev/null || { echo "MPI=1 needs mpicc: on Debian and Ubuntu it is in openmpi-bin and libopenmpi-dev"; exit 1; }
	OMPI_CC='$(CC)' MPICH_CC='$(CC)' mpicc $(CFLAGS) $(CUDA_FLAGS) $(NCCL_FLAGS) -DWITH_MPI -o $@ train.c gan.c $(CUDA_OBJECTS) $(LDLIBS) $(NCCL_LIBS) $(CUDA_LIBS)
stb:
	@test -f $(STB_DIR)/stb_image.h && test -f $(STB_DIR)/stb_image_write.h || { echo \
	  "stb_image.h and stb_image_write.h are not in $(STB_DIR): on Debian and Ubuntu 'make setup' installs" \
	  "libstb-dev; elsewhere fetch the two files and run make STB_DIR=their-folder"; exit 1; }

# what a bare Debian lacks; asks sudo when not root; without apt or network it says so and the synthetic set is used
setup:
	@sh scripts/setup.sh

demo: setup
	@$(MAKE) --no-print-directory all
	@sh scripts/demo.sh '$(DATA)' '$(PATTERN)' '$(MINUTES)' '$(MNIST)'

# pictures/ of README's gallery: make gallery GALLERY=pictures
gallery: transfer
	@CC='$(CC)' STB_DIR='$(STB_DIR)' sh scripts/gallery.sh '$(GALLERY)'

include tests/tests.mk

clean:
	rm -rf build train transfer validate
.PHONY: all stb setup demo gallery golden test test-programs kernel-tests check-kernels endurance tsan valgrind messages fuzz bench notebooks ipynb clean
