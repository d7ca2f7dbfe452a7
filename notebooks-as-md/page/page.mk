# page.mk: make page writes build/page.html: the same C code in a browser, in one file that opens from disk.
# It needs clang, lld, wasi-libc and libclang-rt-14-dev-wasm32 (Debian's names). clang rather than emscripten:
# it is a tenth of the size, and the eleven system calls that are left fit into page.js.

# -msimd128            vectors of 4 floats: core/tiled.h takes its tile of 4 x 8
# -mexec-model=reactor no main: functions that are called from outside
# --max-memory         2 GB, so that long, of 32 bits here, holds every address
# -I$(PAGE)           fts.h, which wasi-libc lacks
PAGE       = notebooks-as-md/page
WASM_CC    = $(firstword $(shell command -v clang clang-14) clang)
WASM_FLAGS = --target=wasm32-wasi -msimd128 -O2 -std=gnu11 -fno-math-errno -fno-trapping-math -Wall -Wextra \
             -Wno-unknown-pragmas -D_WASI_EMULATED_GETPID -D_WASI_EMULATED_SIGNAL -isystem $(STB_DIR) -I. -I$(PAGE) \
             -include $(PAGE)/fts.h
WASM_LINK  = --target=wasm32-wasi -mexec-model=reactor -Wl,-z,stack-size=8388608,--max-memory=2147483648 \
             -Wl,--strip-all,--export=malloc,--export=error_text
WASM_FOUND = $(shell echo 'int main(void) { return 0; }' | $(WASM_CC) --target=wasm32-wasi -include stdio.h -x c - \
               -o /dev/null 2>/dev/null && echo yes)
WASM       = $(addprefix build/page/,gan.o images.o glue.o)

page: build/page.html
build/page/gan.o:    WHAT = gan.c
build/page/images.o: WHAT = -DIMAGES_IMPLEMENTATION images/images.h
build/page/glue.o:   WHAT = $(IN_GAN) $(IN_IMAGES) $(PAGE)/glue.c
$(WASM): gan.c $(PAGE)/glue.c $(wildcard $(PAGE)/*.h) $(PAGE)/page.mk $(HEADERS) | stb
	@test -n "$(WASM_FOUND)" || { echo "make page needs clang for WebAssembly: on Debian and Ubuntu" \
	    "apt install clang lld wasi-libc libclang-rt-14-dev-wasm32"; exit 1; }
	@mkdir -p $(@D); echo "$(WASM_CC) $@"; $(WASM_CC) $(WASM_FLAGS) -c -o $@ -x c $(WHAT)
build/page/gan.wasm: $(WASM)
	@$(WASM_CC) $(WASM_LINK) -o $@ $^ -lm -lwasi-emulated-getpid -lwasi-emulated-signal
build/page.html: build/page/gan.wasm $(wildcard $(PAGE)/*)
	@sh $(PAGE)/build.sh $< '$(MNIST)' >$@.new && mv $@.new $@ && ls -l $@
.PHONY: page
