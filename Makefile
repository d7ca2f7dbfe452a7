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
HEADERS = build/command parallel.h layers.h tiled.h device.h net.h gan.h featurenet.h gram.h patches.h large.h images.h safetensors.h options.h measures.h compress.h evaluate.h \
          report.h
# gan.o with and without the device cuda: the programs take what there is, the tests the one without
GAN     = $(if $(NVCC),build/gan_cuda.o,build/gan.o)

all: train transfer validate
transfer $(if $(filter 1,$(MPI)),,train): %: %.c $(GAN) $(CUDA_OBJECTS) $(HEADERS) | stb
	$(CC) $(CFLAGS) -o $@ $< $(GAN) $(CUDA_OBJECTS) $(LDLIBS) $(CUDA_LIBS)
validate: validate.c build/gan_double.o build/images.o $(PARTS) | stb
	$(CC) $(CFLAGS) -Dreal=double -o $@ $(filter %.c %.o,$^) $(LDLIBS)
build/cuda_kernels.o: cuda_kernels.cu layers.h device.h build/command
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
	@sh setup.sh

demo: setup
	@$(MAKE) --no-print-directory all
	@sh demo.sh '$(DATA)' '$(PATTERN)' '$(MINUTES)' '$(MNIST)'

# pictures/ of README's gallery: make gallery GALLERY=pictures
gallery: transfer
	@CC='$(CC)' STB_DIR='$(STB_DIR)' sh gallery.sh '$(GALLERY)'

# ---- tests: a program per promise, each also under the sanitizers; run.sh adds up their closing lines ----

ALONE    = images safetensors damaged corpus ops golden patches featurenet measures       # the headers by themselves
WITH_GAN = gan mixture golden_dcgan                    # linked with gan.c
DOUBLE   = gradients recipes                           # in double precision
TESTS    = $(ALONE) $(WITH_GAN) $(DOUBLE)
# shift-base is left out: stb's JPEG writer shifts negative numbers left, which every compiler defines; clang would tell of each `simd` that -O1 leaves alone
SANE     = -O1 -g -Wno-pass-failed -fsanitize=address,undefined -fno-sanitize=shift-base -fno-sanitize-recover=undefined -fno-omit-frame-pointer
PARTS    = $(HEADERS) tests/test.h tests/recipe_inputs.h tests/op_cases.h tests/tolerances.h tests/golden_measures.h tests/golden_penalty.h

test:
	@sh setup.sh g++
	@$(MAKE) --no-print-directory -j2 test-programs
	@CC='$(CC)' STB_DIR='$(STB_DIR)' sh tests/run.sh '$(TESTS)'

# a second make, because setup may just have installed the compiler that it asks about
test-programs: all $(TESTS:%=build/test_%) $(TESTS:%=build/asan/test_%) kernel-tests build/libgan.a $(if $(shell command -v mpicc),build/mpi/train) build/golden build/golden_float

build/gan.o:                           EXTRA =
build/gan_cuda.o:                      EXTRA = -DWITH_CUDA
build/gan_double.o:                    EXTRA = -Dreal=double
build/asan/gan.o:                      EXTRA = $(SANE)
build/asan/gan_double.o:               EXTRA = $(SANE) -Dreal=double
$(DOUBLE:%=build/test_%):              EXTRA = -Dreal=double
$(TESTS:%=build/asan/test_%):          EXTRA = $(SANE)
$(DOUBLE:%=build/asan/test_%):         EXTRA = $(SANE) -Dreal=double
$(WITH_GAN:%=build/test_%):            build/gan.o
$(WITH_GAN:%=build/asan/test_%):       build/asan/gan.o
build/test_recipes:                    build/gan_double.o
build/asan/test_recipes:               build/asan/gan_double.o

build/gan.o build/gan_cuda.o build/gan_double.o build/asan/gan.o build/asan/gan_double.o: gan.c $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(EXTRA) -c -o $@ gan.c
BUILD_TEST = @mkdir -p $(@D); echo "$(CC) $@"; $(CC) $(CFLAGS) $(EXTRA) -o $@ $(filter %.c %.o,$^) $(LDLIBS)
build/test_%: tests/test_%.c $(PARTS) | stb
	$(BUILD_TEST)
build/asan/test_%: tests/test_%.c $(PARTS) | stb
	$(BUILD_TEST)

# ---- the kernels of cuda_kernels.cu: on the CPU, every access checked (tests/cuda_on_cpu; it takes g++), and on a GPU where there is one ----

CUDA_ON_CPU       = tests/cuda_on_cpu
CUDA_ON_CPU_FLAGS = -I. -std=c++20
include $(CUDA_ON_CPU)/rules.mk
EMULATED := $(if $(shell command -v g++),$(addprefix build/emulated/,test_ops test_featurenet test_cuda train transfer))
ON_GPU    = $(if $(GPU),build/gpu/test_ops build/gpu/test_featurenet build/gpu/test_cuda)

build/emulated/cuda_kernels.o: cuda_kernels.cu layers.h device.h build/command $(CUDA_ON_CPU_TOOLS)
	@mkdir -p $(@D); echo "$(CXX) $@"
	@$(cuda_on_cpu_compile)
$(EMULATED): build/emulated/cuda_kernels.o $(CUDA_ON_CPU_O)
$(ON_GPU): $(CUDA_OBJECTS)
$(filter-out %/test_ops %/test_featurenet,$(EMULATED) $(ON_GPU)): build/gan_cuda.o
BUILD_CUDA_TEST = @mkdir -p $(@D); echo "$(CC) $@"; $(CC) $(CFLAGS) -DWITH_CUDA -o $@ $(filter %.c %.o,$^)
build/emulated/test_%: tests/test_%.c $(PARTS) | stb
	$(BUILD_CUDA_TEST) -lstdc++ $(LDLIBS)
build/emulated/%: %.c $(HEADERS) | stb
	$(BUILD_CUDA_TEST) -lstdc++ $(LDLIBS)
build/gpu/test_%: tests/test_%.c $(PARTS) | stb
	$(BUILD_CUDA_TEST) $(LDLIBS) $(CUDA_LIBS)
kernel-tests: $(EMULATED) $(ON_GPU)
check-kernels:
	@$(MAKE) --no-print-directory -C $(CUDA_ON_CPU) check-kernels KERNELS=$(KERNELS)

endurance: all
	@sh tests/endurance.sh $(or $(N),200)

# too slow for make test: ThreadSanitizer (clang, libomp) and valgrind over both programs
tsan: all build/golden
	@STB_DIR='$(STB_DIR)' sh tests/watched.sh thread
valgrind: all build/golden
	@CC='$(CC)' STB_DIR='$(STB_DIR)' sh tests/watched.sh valgrind

# tests/messages.txt: every message, and which tests provoke it: runs the tests that make messages, and fails where a message has none
MESSAGES   = images safetensors damaged featurenet patches gan
messages: all build/golden build/golden_float $(MESSAGES:%=build/test_%)
	@rm -rf build/messages && mkdir -p build/messages && $(CC) -O1 -shared -fPIC -o build/messages.so tests/messages.c
	@export TESTS=tests OMP_WAIT_POLICY=passive LD_PRELOAD=$(CURDIR)/build/messages.so; \
	  for t in $(MESSAGES); do MESSAGES=build/messages/$$t build/test_$$t | tail -n 1; done; \
	  for t in train transfer validate; do MESSAGES=$(CURDIR)/build/messages/$$t sh tests/test_$$t.sh | tail -n 1; done; \
	  MESSAGES=$(CURDIR)/build/messages/endurance sh tests/endurance.sh 100 | tail -n 1
	@test ! -x build/mpi/train || MESSAGES=$(CURDIR)/build/messages/mpi LD_PRELOAD=$(CURDIR)/build/messages.so sh tests/test_mpi.sh | tail -n 1
	@sh tests/messages.sh build/messages

# libFuzzer's harness, with clang whatever CC is. stb before 2.28 shifts by more than 31 where a damaged JPEG's codes end early; nothing
# but the picture's colours depends on it, so in that file shifts are not looked at
FUZZ       = safetensors idx3-ubyte idx3-ubyte.gz labels-idx1-ubyte pat png jpg bmp tga options
FUZZ_CC    = $(or $(shell command -v clang || command -v clang-14),clang)
fuzz: build/fuzz/fuzz
	@sh tests/fuzz.sh $(MINUTES) $(FUZZ)
build/fuzz/fuzz: tests/fuzz.c tests/test_damaged.c images.h safetensors.h options.h | stb
	@mkdir -p $(@D); printf '[shift-exponent]\nsrc:*stb_image.h\n' >$(@D)/ignored
	$(FUZZ_CC) -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize=shift-base -fno-sanitize-recover=undefined \
	    -fsanitize-ignorelist=$(@D)/ignored $(WARN) -Wno-unused-function -isystem $(STB_DIR) -I. -Itests -o $@.new tests/fuzz.c $(LDLIBS)
	@mv $@.new $@

bench: all build/bench
	@sh tests/bench.sh $(or $(DEVICE),cpu)
build/bench: tests/bench.c gan.c $(HEADERS) $(CUDA_OBJECTS)
	@mkdir -p build
	$(CC) $(CFLAGS) $(CUDA_FLAGS) -o $@ tests/bench.c $(CUDA_OBJECTS) $(LDLIBS) $(CUDA_LIBS)

# ---- golden/: the reference in double, for any processor alike (no -march, no fused multiply-add); and what ops_tiled makes of the same ----

GOLDEN = golden
golden: build/golden
	@build/golden '$(GOLDEN)' $(NAMES)
	@cd '$(GOLDEN)' && { test ! -f SHA256SUMS || sha256sum --quiet --ignore-missing -c SHA256SUMS && echo "as in SHA256SUMS" || \
	  echo "other bytes than in SHA256SUMS: another C library rounds exp and tanh otherwise; ./validate compares within tolerances"; }
build/golden: tests/golden.c gan.c $(PARTS) | stb
	@mkdir -p build; echo "$(CC) $@"; $(CC) -std=gnu11 -O3 -ffp-contract=off $(WARN) $(OPENMP) -isystem $(STB_DIR) -I. -Dreal=double -DREFERENCE -DIMAGES_IMPLEMENTATION -o $@ tests/golden.c gan.c $(LDLIBS)
build/golden_float: tests/golden.c build/gan.o build/images.o $(PARTS) | stb
	@echo "$(CC) $@"; $(CC) $(CFLAGS) -o $@ $(filter %.c %.o,$^) $(LDLIBS)

# ---- the chapters; their cells are linked with the code of the headers, of which the linker takes what a cell does not bring itself ----

notebooks: all build/libgan.a build/golden build/golden_float
	@LONG=1 UPDATE='$(UPDATE)' sh notebooks-as-md/run.sh $(CHAPTERS)
ipynb:
	@sh notebooks-as-md/ipynb.sh
build/images.o: images.h build/command | stb
	$(CC) $(CFLAGS) -DIMAGES_IMPLEMENTATION -c -o $@ -x c $<
build/libgan.a: build/gan.o build/images.o
	rm -f $@ && ar rcs $@ $^

clean:
	rm -rf build train transfer validate
.PHONY: all stb setup demo gallery golden test test-programs kernel-tests check-kernels endurance tsan valgrind messages fuzz bench notebooks ipynb clean
