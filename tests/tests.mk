# tests.mk: the part of the Makefile that checks: it is included there, and runs in the top folder

# ---- tests: a program per promise, each also under the sanitizers; run.sh adds up their closing lines ----

ALONE    = images safetensors damaged corpus ops golden patches featurenet measures       # the headers by themselves
WITH_GAN = gan mixture golden_dcgan                    # linked with gan.c
DOUBLE   = gradients recipes                           # in double precision
TESTS    = $(ALONE) $(WITH_GAN) $(DOUBLE)
# shift-base is left out: stb's JPEG writer shifts negative numbers left, which every compiler defines; clang would tell of each `simd` that -O1 leaves alone
SANE     = -O1 -g -Wno-pass-failed -fsanitize=address,undefined -fno-sanitize=shift-base -fno-sanitize-recover=undefined -fno-omit-frame-pointer
PARTS    = $(HEADERS) $(wildcard tests/*.h validation/*.h)

test:
	@sh scripts/setup.sh g++
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

build/emulated/cuda_kernels.o: cuda_kernels.cu layers.h core/device.h build/command $(CUDA_ON_CPU_TOOLS)
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
build/fuzz/fuzz: tests/fuzz.c tests/test_damaged.c $(HEADERS) | stb
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
	@cd '$(GOLDEN)' && { sha256sum --quiet --ignore-missing -c '$(CURDIR)/validation/SHA256SUMS' && echo "as in validation/SHA256SUMS" || \
	  echo "other bytes than in validation/SHA256SUMS: another C library rounds exp and tanh otherwise; ./validate compares within tolerances"; }
build/golden: validation/golden.c gan.c $(PARTS) | stb
	@mkdir -p build; echo "$(CC) $@"; $(CC) -std=gnu11 -O3 -ffp-contract=off $(WARN) $(OPENMP) -isystem $(STB_DIR) -I. -Dreal=double -DREFERENCE -DIMAGES_IMPLEMENTATION -o $@ validation/golden.c gan.c $(LDLIBS)
build/golden_float: validation/golden.c build/gan.o build/images.o $(PARTS) | stb
	@echo "$(CC) $@"; $(CC) $(CFLAGS) -o $@ $(filter %.c %.o,$^) $(LDLIBS)

# ---- the chapters; their cells are linked with the code of the headers, of which the linker takes what a cell does not bring itself ----

notebooks: all build/libgan.a build/golden build/golden_float
	@LONG=1 UPDATE='$(UPDATE)' sh notebooks-as-md/run.sh $(CHAPTERS)
ipynb:
	@sh notebooks-as-md/ipynb.sh
build/images.o: images/images.h $(HEADERS) | stb
	$(CC) $(CFLAGS) -DIMAGES_IMPLEMENTATION -c -o $@ -x c $<
build/libgan.a: build/gan.o build/images.o
	rm -f $@ && ar rcs $@ $^

