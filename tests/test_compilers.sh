#!/bin/sh
# test_compilers.sh: the programs are C11 for gcc and for clang, whichever are here: with OpenMP and without, with the calls of the CUDA kernels,
# in float and in double, and warn of nothing that the standard does not know. Runs from the top folder.
: "${STB_DIR:=/usr/include/stb}"
. tests/checks.sh
compile() { $cc -std=c11 -D_GNU_SOURCE=1 -Wpedantic -Werror=pedantic -fsyntax-only -isystem "$STB_DIR" -I. "$@" >"$tmp/log" 2>"$tmp/err"; status=$?; }
for cc in gcc clang; do
    command -v $cc >"$tmp/log" || { echo "no $cc here"; continue; }
    openmp=$(openmp $cc)
    for with in "train.c $openmp" "train.c" "transfer.c $openmp" "transfer.c" "train.c -DWITH_CUDA" "validation/validate.c -Dreal=double" "gan.c $openmp" "gan.c" \
                "gan.c -Dreal=double" "gan.c -DWITH_CUDA" "validation/golden.c -Dreal=double -DREFERENCE" "validation/golden.c" "tests/bench.c $openmp" "tests/bench.c -DWITH_CUDA" "tests/masks.c" \
                "tests/fuzz.c -Itests"; do
        compile $with
        check "$cc $with: status $status" [ $status -eq 0 ]
    done
    echo 'int main(void) { goto end; end: int x = 0; return x; }' >"$tmp/planted.c"
    compile "$tmp/planted.c"                # C11 has no declaration after a label
    check "$cc: a planted mistake is refused" [ $status -ne 0 ]
done
counted compilers
