# rules.mk: from X.cu to an object that runs on the CPU. Set CUDA_ON_CPU to this folder before the include, if it is another one.
#
#   CUDA_ON_CPU = tests/cuda_on_cpu
#   include $(CUDA_ON_CPU)/rules.mk
#   build/my.cpu.o: my.cu $(CUDA_ON_CPU_TOOLS)         ; $(cuda_on_cpu_compile)
#   build/program: main.c build/my.cpu.o $(CUDA_ON_CPU_O) ; $(CC) -o $@ $^ -lstdc++ -lm
#
# Extra flags for the .cu: CUDA_ON_CPU_FLAGS = -I. -DSOMETHING -std=c++20
CUDA_ON_CPU ?= tests/cuda_on_cpu
CUDA_ON_CPU_BUILD ?= build/cuda_on_cpu
CUDA_ON_CPU_O = $(CUDA_ON_CPU_BUILD)/cuda_on_cpu.o
CUDA_ON_CPU_TOOLS = $(CUDA_ON_CPU_BUILD)/rewrite $(wildcard $(CUDA_ON_CPU)/include/*.h)

# -fsanitize=thread      gcc calls our hooks; libtsan is NOT linked
# -fno-...               nothing that makes one wide access of several narrow ones, or a call of memset or memcpy of a loop;
#                        and functions that can be told apart by their return addresses
CUDA_ON_CPU_CXX = -x c++ -std=c++17 -O2 -g1 -Wall -Wextra -U_FORTIFY_SOURCE -fsanitize=thread,alignment,bounds \
    --param=tsan-instrument-func-entry-exit=0 -fno-sanitize-recover=all -fno-tree-vectorize -fno-tree-slp-vectorize \
    -fno-store-merging -fno-tree-loop-distribute-patterns -fno-threadsafe-statics -fno-partial-inlining -fno-optimize-sibling-calls -I$(CUDA_ON_CPU)/include
CUDA_ON_CPU_ARCH ?= 800

cuda_on_cpu_compile = $(CXX) $(CUDA_ON_CPU_CXX) $(CUDA_ON_CPU_FLAGS) -D__CUDACC__=1 -D__CUDA_ARCH__=$(CUDA_ON_CPU_ARCH) -DCUDA_ON_CPU \
    -include cuda_runtime.h -E $< -o $@.ii && $(CUDA_ON_CPU_BUILD)/rewrite < $@.ii > $@.cpp.ii && \
    $(CXX) $(CUDA_ON_CPU_CXX) $(CUDA_ON_CPU_FLAGS) -fpreprocessed -c $@.cpp.ii -o $@ && rm -f $@.ii $@.cpp.ii

$(CUDA_ON_CPU_BUILD)/rewrite: $(CUDA_ON_CPU)/rewrite.cpp
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O1 -Wall -Wextra -o $@ $<
$(CUDA_ON_CPU_O): $(CUDA_ON_CPU)/cuda_on_cpu.cpp $(CUDA_ON_CPU)/include/cuda_runtime.h
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O2 -g1 -Wall -Wextra -U_FORTIFY_SOURCE -I$(CUDA_ON_CPU)/include -c -o $@ $<
