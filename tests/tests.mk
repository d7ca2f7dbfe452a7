# tests.mk: the part of the Makefile that checks. It is included there and runs in the top folder.

# ---- the test programs: each is built twice, the second time under AddressSanitizer and UBSan ----

# ALONE: a test that looks inside a header brings its code itself. LINKED: with gan.o and images.o, which have
# the code. DOUBLE: the same in double precision. COUNTED: what images.o allocates is counted.
ALONE   = safetensors
LINKED  = images cloth measures gan mixture golden golden_dcgan ops featurenet
DOUBLE  = gradients recipes
COUNTED = corpus patches
TESTS   = $(ALONE) $(LINKED) $(DOUBLE) $(COUNTED)

# -O1, -g1              compile fast; a report names the line. Where there are many loops over numbers: -O2, they run in half of the time
# -fno-sanitize=shift-base   stb's JPEG writer shifts negative numbers left, which every compiler defines
# -Wno-pass-failed      else clang tells of each `simd` that -O1 leaves alone
SANE   = -O1 -g1 -Wno-pass-failed -fsanitize=address,undefined -fno-sanitize=shift-base \
         -fno-sanitize-recover=undefined -fno-omit-frame-pointer
PARTS  = $(HEADERS) $(wildcard $(PAGE)/*.h tests/*.h)
OBJECTS = gan gan_double images train transfer

build/asan/%:                           EXTRA = $(SANE)
build/asan/gan_double.o build/asan/validate: EXTRA = $(SANE) -Dreal=double
build/asan/images.o:                    EXTRA = $(SANE) $(ZEROS) -DIMAGES_IMPLEMENTATION -x c
build/asan/train.o build/asan/transfer.o: EXTRA = $(SANE) $(IN_IMAGES)
# In loops over numbers the check for pointers that wrap around takes more than half of the time, and sees nothing
# that AddressSanitizer does not: the readers of files keep it.
NUMERIC = $(filter-out images safetensors corpus,$(TESTS))
$(addprefix build/asan/,gan.o gan_double.o train.o transfer.o \
    $(NUMERIC:%=test_%)): SANE += -fno-sanitize=pointer-overflow
$(addprefix build/asan/,gan.o gan_double.o train.o transfer.o test_measures test_ops test_recipes): SANE += -O2
# A stack that remembers what has returned (detect_stack_use_after_return) is not aligned for the AVX-512 of the tile:
# gan.o does without, and gan_double.o, which has no tile, is watched so.
build/asan/gan.o: SANE += --param=asan-use-after-return=0 -Wno-unused-command-line-argument
build/asan/gan.o build/asan/gan_double.o: gan.c $(HEADERS)
build/asan/images.o: images/images.h $(HEADERS)
build/asan/train.o: train.c $(HEADERS)
build/asan/transfer.o: transfer.c $(HEADERS)
$(OBJECTS:%=build/asan/%.o): | stb
	@mkdir -p $(@D); echo "$(CC) $@"; $(CC) $(CFLAGS) $(EXTRA) -c -o $@ $<
build/asan/train build/asan/transfer: %: %.o build/asan/gan.o build/asan/images.o
	@echo "$(CC) $@"; $(CC) $(CFLAGS) $(EXTRA) -o $@ $^ $(LDLIBS)
build/asan/validate: validation/validate.c build/asan/gan_double.o $(HEADERS)
	@echo "$(CC) $@"; $(CC) $(CFLAGS) $(EXTRA) -o $@ $(filter %.c %.o,$^) $(LDLIBS)

# what each kind of test is compiled with and linked with
define KIND
$(2:%=$(1)/test_%): WITH = $(3)
$(2:%=$(1)/test_%): $(4:%=$(1)/%)
endef
$(foreach folder,build build/asan,\
    $(eval $(call KIND,$(folder),$(LINKED),$(IN_GAN) $(IN_IMAGES),gan.o images.o))\
    $(eval $(call KIND,$(folder),$(DOUBLE),$(IN_GAN) -Dreal=double,gan_double.o))\
    $(eval $(call KIND,$(folder),corpus,$(IN_IMAGES),images_counted.o))\
    $(eval $(call KIND,$(folder),patches,$(IN_GAN) $(IN_IMAGES),gan.o images_counted.o)))
%/images_counted.o: %/images.o
	@objcopy $(foreach call,malloc calloc realloc free,--redefine-sym $(call)=counted_$(call)) $< $@
# The code under test is in gan.o and images.o, as the programs have it. What a test adds itself is compiled faster than
# it would run faster; but test_ops and test_recipes have loops of their own.
BUILD_TEST = @mkdir -p $(@D); echo "$(CC) $@"; \
    $(CC) $(CFLAGS) $(if $(filter %_ops %_recipes,$@),,-O1) $(EXTRA) $(WITH) -o $@ $(filter %.c %.o,$^) $(LDLIBS)
$(TESTS:%=build/test_%): build/test_%: tests/test_%.c $(PARTS) | stb
	$(BUILD_TEST)
$(TESTS:%=build/asan/test_%): build/asan/test_%: tests/test_%.c $(PARTS) | stb
	$(BUILD_TEST)

# ---- the kernels: on the CPU, every access checked (tests/cuda_on_cpu, needs g++); on a GPU, if here ----

CUDA_ON_CPU       = tests/cuda_on_cpu
CUDA_ON_CPU_FLAGS = -I. -std=c++20
include $(CUDA_ON_CPU)/rules.mk
ON_CUDA   = test_ops test_featurenet test_patches test_cuda
EMULATED := $(if $(shell command -v g++),$(addprefix build/emulated/,$(ON_CUDA) train transfer))
ON_GPU   := $(if $(GPU),$(addprefix build/gpu/,$(ON_CUDA)))

build/emulated/cuda_kernels.o: cuda_kernels.cu layers.h core/device.h core/error.h build/command $(CUDA_ON_CPU_TOOLS)
	@mkdir -p $(@D); echo "$(CXX) $@"
	@$(cuda_on_cpu_compile)
$(EMULATED): build/emulated/cuda_kernels.o $(CUDA_ON_CPU_O)
$(ON_GPU): $(CUDA_OBJECTS)
$(EMULATED) $(ON_GPU): build/gan_cuda.o build/images.o
BUILD_CUDA_TEST = @mkdir -p $(@D); echo "$(CC) $@"; \
    $(CC) $(CFLAGS) -DWITH_CUDA $(IN_GAN) $(IN_IMAGES) -o $@ $(filter %.c %.o,$^) -lstdc++ $(LDLIBS)
build/emulated/test_%: tests/test_%.c $(PARTS) | stb
	$(BUILD_CUDA_TEST)
build/emulated/train build/emulated/transfer: build/emulated/%: build/%.o
	$(BUILD_CUDA_TEST)
build/gpu/test_%: tests/test_%.c $(PARTS) | stb
	$(BUILD_CUDA_TEST) $(CUDA_LIBS)
check-kernels:
	@$(MAKE) --no-print-directory -C $(CUDA_ON_CPU) check-kernels KERNELS=$(KERNELS)

# ---- make test: a target for each check. JOBS of them run at a time, once their programs are built ----

# The longest first, so that the last ones to end are short.
KERNEL_CHECKS = recipes-on-kernels programs-on-kernels kernels-on-cpu features-on-kernels patches-on-kernels \
    checker-of-kernels
CHECKS = notebooks train recipes validate programs-sanitized $(if $(EMULATED),$(KERNEL_CHECKS)) transfer gan \
    $(if $(shell command -v mpicc),ranks) $(TESTS:%=%-sanitized) $(filter-out recipes gan,$(TESTS)) \
    damaged damaged-sanitized endurance \
    $(if $(ON_GPU),kernels-on-gpu features-on-gpu patches-on-gpu recipes-on-gpu) \
    page compilers house checks-of-notebooks formulas
JOBS   = 2
RUN    = @sh tests/run.sh $(@:check-%=%)

# a second make, because setup may just have installed the compilers that it asks about
test:
	@sh scripts/setup.sh g++
	@rm -rf build/results
	@$(MAKE) --no-print-directory -k -j$(JOBS) $(if $(LONG),GENERATIONS=all) all checks || true
	@$(MAKE) --no-print-directory count
checks: $(CHECKS:%=check-%)
count:
	@sh tests/run.sh --count $(CHECKS)
export CC STB_DIR LONG

$(TESTS:%=check-%): check-%: build/test_%
	$(RUN) $<
$(TESTS:%=check-%-sanitized): check-%-sanitized: build/asan/test_%
	$(RUN) env TEST_QUICK=1 $(if $(filter $*,$(DOUBLE)),ASAN_OPTIONS=detect_stack_use_after_return=1) $<
check-damaged: build/test_corpus
	$(RUN) $< damaged
check-damaged-sanitized: build/asan/test_corpus
	$(RUN) env TEST_QUICK=1 $< damaged
check-train check-transfer: check-%: all
	$(RUN) sh tests/test_$*.sh
check-ranks: build/mpi/train
	$(RUN) sh tests/test_mpi.sh
check-validate: all build/golden build/golden_float build/golden_mistaken
	$(RUN) sh tests/test_validate.sh
check-page: all build/test_mixture $(if $(WASM_FOUND),build/page.html)
	$(RUN) sh tests/test_page.sh
check-compilers:
	$(RUN) sh tests/test_compilers.sh
check-endurance: all
	$(RUN) sh tests/endurance.sh $(if $(LONG),50,10)
check-programs-sanitized: transfer build/golden build/asan/train build/asan/transfer build/asan/validate
	$(RUN) sh tests/watched.sh address
check-kernels-on-cpu: build/emulated/test_ops
	$(RUN) env OMP_NUM_THREADS=1 $<
check-features-on-kernels: build/emulated/test_featurenet
	$(RUN) env OMP_NUM_THREADS=1 $<
check-patches-on-kernels: build/emulated/test_patches
	$(RUN) env OMP_NUM_THREADS=1 TEST_QUICK=1 $<
check-recipes-on-kernels: build/emulated/test_cuda
	$(RUN) env OMP_NUM_THREADS=1 $<
check-programs-on-kernels: build/emulated/train build/emulated/transfer
	$(RUN) sh tests/test_cuda.sh build/emulated
check-checker-of-kernels: $(CUDA_ON_CPU_O) $(CUDA_ON_CPU_TOOLS)
	$(RUN) $(MAKE) -s --no-print-directory -C $(CUDA_ON_CPU) \
	    CUDA_ON_CPU_BUILD=$(CURDIR)/$(CUDA_ON_CPU_BUILD) check
check-kernels-on-gpu: build/gpu/test_ops
	$(RUN) $< large
check-features-on-gpu: build/gpu/test_featurenet
	$(RUN) $<
check-patches-on-gpu: build/gpu/test_patches
	$(RUN) $<
check-recipes-on-gpu: build/gpu/test_cuda
	$(RUN) $< large
check-notebooks: all build/libgan.a build/golden build/golden_float build/golden_mistaken
	$(RUN) env LONG= sh notebooks-as-md/run.sh
check-formulas:
	$(RUN) sh notebooks-as-md/formulas.sh
check-checks-of-notebooks: all build/libgan.a
	$(RUN) sh tests/test_notebooks.sh
check-house:
	$(RUN) sh tests/test_house.sh

# ---- checks that are too slow for make test ----

# how well the garment's mask is found where the true one is known: N pictures of Fashion-MNIST for each ground
masks: build/masks
	@build/masks $(or $(N),40)
build/masks: tests/masks.c build/gan.o build/images.o $(PARTS)
	@echo "$(CC) $@"; $(CC) $(CFLAGS) $(IN_GAN) $(IN_IMAGES) -o $@ $(filter %.c %.o,$^) $(LDLIBS)

endurance: all
	@sh tests/endurance.sh $(or $(N),200)

# ThreadSanitizer (clang, libomp) and valgrind over the programs
tsan: all build/golden
	@sh tests/watched.sh thread
valgrind: all build/golden
	@sh tests/watched.sh valgrind

# tests/messages.txt: every message, and which tests provoke it. Runs the tests that make messages, and fails
# where a message has none.
MESSAGES = images safetensors corpus featurenet patches gan
messages: all build/golden build/golden_float $(MESSAGES:%=build/test_%)
	@rm -rf build/messages && mkdir -p build/messages
	@$(CC) -O1 -shared -fPIC -o build/messages.so tests/messages.c
	@export TESTS=tests OMP_WAIT_POLICY=passive LD_PRELOAD=$(CURDIR)/build/messages.so; \
	  for t in $(MESSAGES); do MESSAGES=build/messages/$$t build/test_$$t | tail -n 1; done; \
	  MESSAGES=build/messages/damaged build/test_corpus damaged | tail -n 1; \
	  for t in train transfer validate; do \
	    MESSAGES=$(CURDIR)/build/messages/$$t sh tests/test_$$t.sh | tail -n 1; done; \
	  MESSAGES=$(CURDIR)/build/messages/endurance sh tests/endurance.sh 100 | tail -n 1
	@test ! -x build/mpi/train || MESSAGES=$(CURDIR)/build/messages/mpi \
	  LD_PRELOAD=$(CURDIR)/build/messages.so sh tests/test_mpi.sh | tail -n 1
	@sh tests/messages.sh build/messages

# libFuzzer needs clang, whatever CC is. stb before 2.28 shifts by more than 31 where the codes of a damaged
# JPEG end early. Only the colors of the picture depend on it, so shifts in that file are not checked.
FUZZ     = safetensors idx3-ubyte idx3-ubyte.gz labels-idx1-ubyte pat png jpg bmp tga options
FUZZ_CC  = $(or $(shell command -v clang || command -v clang-14),clang)
fuzz: build/fuzz/fuzz
	@sh tests/fuzz.sh $(MINUTES) $(FUZZ)
build/fuzz/fuzz: tests/fuzz.c tests/test_damaged.c $(HEADERS) | stb
	@mkdir -p $(@D); printf '[shift-exponent]\nsrc:*stb_image.h\n' >$(@D)/ignored
	$(FUZZ_CC) -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize=shift-base \
	    -fno-sanitize-recover=undefined -fsanitize-ignorelist=$(@D)/ignored $(WARN) -Wno-unused-function \
	    -isystem $(STB_DIR) -I. -Itests -o $@.new tests/fuzz.c $(LDLIBS)
	@mv $@.new $@

# what a GPU is needed for, at once: OUT=folder (build/gpu-check)
gpu-check:
	@MAKE='$(MAKE)' OUT='$(OUT)' DATA='$(DATA)' sh tests/gpu_check.sh

bench: all build/bench
	@sh tests/bench.sh $(or $(DEVICE),cpu)
build/bench: tests/bench.c gan.c $(HEADERS) $(CUDA_OBJECTS)
	$(CC) $(CFLAGS) $(CUDA_FLAGS) -o $@ tests/bench.c $(CUDA_OBJECTS) $(LDLIBS) $(CUDA_LIBS)

# ---- golden/: the reference in double, the same on any processor (no -march, no fused multiply-add).
# golden_float: what the fast float32 code of core/tiled.h makes of the same inputs ----

GOLDEN = golden
golden: build/golden
	@build/golden '$(GOLDEN)' $(NAMES)
	@cd '$(GOLDEN)' && { sha256sum --quiet --ignore-missing -c '$(CURDIR)/validation/SHA256SUMS' && \
	  echo "as in validation/SHA256SUMS" || echo "other bytes than in validation/SHA256SUMS: another C library" \
	  "rounds exp and tanh in another way; ./validate compares within tolerances"; }
build/golden: validation/golden.c gan.c $(PARTS)
	@echo "$(CC) $@"; $(CC) -std=gnu11 -O2 -ffp-contract=off $(WARN) $(OPENMP) -I. -Dreal=double -DREFERENCE \
	    -o $@ validation/golden.c gan.c $(LDLIBS)
build/golden_mistaken: tests/golden_mistaken.c validation/golden.c build/gan.o $(PARTS)
	@echo "$(CC) $@"; $(CC) $(CFLAGS) -o $@ $< build/gan.o $(LDLIBS)
build/golden_float: validation/golden.c build/gan.o $(PARTS)
	@echo "$(CC) $@"; $(CC) $(CFLAGS) -o $@ $(filter %.c %.o,$^) $(LDLIBS)

# ---- the chapters: their cells are linked with the code of the headers that they do not bring along ----

notebooks: all build/libgan.a build/golden build/golden_float build/golden_mistaken
	@LONG=1 UPDATE='$(UPDATE)' sh notebooks-as-md/run.sh $(CHAPTERS)
ipynb:
	@sh notebooks-as-md/ipynb.sh
build/libgan.a: build/gan.o build/images.o
	rm -f $@ && ar rcs $@ $^

.PHONY: test checks count $(CHECKS:%=check-%) check-kernels endurance tsan valgrind messages fuzz bench gpu-check golden masks
.PHONY: notebooks ipynb
