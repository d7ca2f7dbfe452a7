#!/bin/sh
# watched.sh address|thread|valgrind: the programs under a checker: AddressSanitizer and UBSan (make test), or one that is too slow for it:
# ThreadSanitizer (make tsan; three threads: no two of them touch the same number unordered), valgrind (make valgrind: nothing read that was
# never written, nothing lost). Two steps of every recipe with all the files of a run, --resume, --evaluate, --compress, validate, and
# every method of transfer. Runs from the top folder.
# gcc's OpenMP is not instrumented: ThreadSanitizer would see races where there are barriers. LLVM's tells it of them, through Archer.
: "${STB_DIR:=/usr/include/stb}"
. tests/checks.sh
export OMP_WAIT_POLICY=passive              # else a program starts itself again by /proc/self/exe, which is valgrind there
with="-std=gnu11 -O1 -g -w -isystem $STB_DIR -I." built=
case ${1:-} in
    address)                                # make has built these
        cc="${CC:-cc} -fsanitize=address,undefined -fno-sanitize-recover=undefined" under= built=build/asan
        export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:exitcode=9 OMP_NUM_THREADS=2 ;;
    thread)
        cc="${CLANG:-$(command -v clang || command -v clang-14)} -fsanitize=thread" under=
        archer=$(ls /usr/lib/llvm-*/lib/libarcher.so /usr/lib/*/libarcher.so 2>/dev/null | tail -n 1)
        [ -n "$archer" ] || { echo "no libarcher.so: install libomp-dev"; exit 1; }
        export OMP_TOOL_LIBRARIES="$archer" TSAN_OPTIONS="ignore_noninstrumented_modules=1 exitcode=9" OMP_NUM_THREADS=3 ;;
    valgrind)
        cc="${CC:-cc} -march=x86-64-v2" under="valgrind -q --leak-check=full --error-exitcode=9"      # valgrind 3.19 knows no AVX-512
        export OMP_NUM_THREADS=1 ;;
    *) echo "usage: watched.sh address|thread|valgrind"; exit 2 ;;
esac
with="$with $(openmp "$cc")"
if [ -n "$built" ]; then cp $built/train $built/transfer $built/validate "$tmp" || exit 1
else
    $cc $with -o "$tmp/train" train.c gan.c -lm && $cc $with -o "$tmp/transfer" transfer.c gan.c -lm &&
        $cc $with -Dreal=double -o "$tmp/validate" validation/validate.c gan.c -lm || exit 1
fi
mkdir "$tmp/style" && cp style/features.safetensors "$tmp/style"     # transfer looks for them beside itself

watch() {                                   # watch WHAT STATUS PROGRAM OPTIONS...
    name=$1 want=$2 program=$tmp/$3 since=$(date +%s) before=$failed; shift 3
    $under "$program" "$@" >"$tmp/log" 2>"$tmp/err"; status=$?
    check "$name: status $status, expected $want" [ "$status" -eq "$want" ]
    check "$name: nothing to complain of" sh -c '! grep -qE "Sanitizer|runtime error|^==[0-9]+==" "$1"' sh "$tmp/err"
    printf '%-44s %s %4d s\n' "$name" "$([ "$failed" = "$before" ] && echo clean || echo "see above")" $(($(date +%s) - since))
}
# the checker checked: a name read after its function's end, a number never written, a race
case $1 in
    address) wrong="AddressSanitizer: stack-use-after" plant='const char *f(void) { char a[9] = "name"; volatile char *p = a; return (const char *)p; } int main(void) { return f()[0]; }' ;;
    valgrind) wrong="depends on uninitialised" plant='#include <stdlib.h>\nint main(void) { volatile int *p = malloc(4); if (*p == 7) abort(); free((void *)p); return 0; }' ;;
    thread) wrong="data race" plant='int n;\nint main(void) {\n#pragma omp parallel for\nfor (int i = 0; i < 90000; i++) n++;\nreturn n < 0; }' ;;
esac
printf "$plant\n" >"$tmp/planted.c"
$cc $with -o "$tmp/planted" "$tmp/planted.c" && $under "$tmp/planted" >"$tmp/log" 2>"$tmp/err"
check "a planted mistake is reported: status $?" grep -q "$wrong" "$tmp/err"

for recipe in $(recipes); do
    more=; [ $recipe = dcgan ] && more="--augment all --average 0.9"
    watch "train --recipe $recipe" 0 train --recipe $recipe $(small $recipe) $more --steps 2 --device cpu --out "$tmp/$recipe"
done
watch "train --device naive" 0 train --data synthetic:40 --size 8 --batch 2 --steps 2 --device naive --out "$tmp/naive"
watch "train --resume" 0 train --resume "$tmp/dcgan" --steps 4
watch "train --evaluate" 0 train --evaluate "$tmp/dcgan" --classifier "$tmp/classifier" --samples 30
watch "train --compress" 0 train --compress "$tmp/dcgan" --quantize int8 --prune 0.5 --out "$tmp/small.safetensors"
watch "train, bad input" 1 train --data "$tmp/none" --out "$tmp/new"
watch "train, bad usage" 2 train --stps 3
build/golden "$tmp/golden" dense >"$tmp/log" 2>&1
watch "validate" 0 validate "$tmp/golden/dense.safetensors" --against "$tmp/golden/dense.safetensors"
./transfer --generator "$tmp/style" --content synthetic:3 --size 96 --output "$tmp/shirt.png" >"$tmp/log" 2>&1
cp "$tmp/shirt.png" "$tmp/style.png"
to="--content $tmp/shirt.png --output $tmp/out.png --device cpu --size 48"
watch "transfer, patches, print" 0 transfer --style "$tmp/style.png" $to --sheet "$tmp/sheet.png"
watch "transfer, patches, paint" 0 transfer --style "$tmp/style.png" $to --mode paint --preserve-color luminance
watch "transfer, gram, Adam" 0 transfer --style "$tmp/style.png" $to --method gram --steps 2
watch "transfer, gram, L-BFGS" 0 transfer --style "$tmp/style.png" $to --method gram --steps 2 --optimizer lbfgs --init noise
watch "transfer, gram, VGG" 0 transfer --style "$tmp/style.png" $to --method gram --steps 1 --features tests/data/vgg16.safetensors
watch "transfer, adain" 0 transfer --generator "$tmp/adain" --style "$tmp/style.png" $to
for recipe in style cyclegan pattern; do watch "transfer, $recipe" 0 transfer --generator "$tmp/$recipe" $to; done
{ printf '\0\0\2\0\0\0\0\0\0\0\0\0\250\0\040\0\030\0'; head -c 16128 style/features.safetensors; } >"$tmp/strip.tga"     # 168x32
watch "transfer, in pieces" 0 transfer --generator "$tmp/style" --content "$tmp/strip.tga" --output "$tmp/out.png" --size 168 --style-scale 1 --tile 160
watch "transfer, bad input" 1 transfer --style "$tmp/none.png" $to
counted watched
