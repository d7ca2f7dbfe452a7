#!/bin/sh
# test_compilers.sh: the programs are C11 for gcc and for clang, whichever are here: with OpenMP and without, with the calls of the CUDA kernels,
# in float and in double, and warn of nothing that the standard does not know. Runs from the top folder.
: "${STB_DIR:=/usr/include/stb}"
. tests/checks.sh
for cc in gcc clang; do
    command -v $cc >"$tmp/log" || { echo "no $cc here"; continue; }
    for with in "train.c -fopenmp" "train.c" "transfer.c -fopenmp" "transfer.c" "train.c -DWITH_CUDA" "validate.c -Dreal=double" "gan.c -fopenmp" "gan.c" \
                "gan.c -Dreal=double" "gan.c -DWITH_CUDA" "tests/golden.c -Dreal=double -DREFERENCE" "tests/golden.c"; do
        $cc -std=c11 -D_GNU_SOURCE=1 -Wpedantic -Werror=pedantic -fsyntax-only -isystem "$STB_DIR" -I. $with >"$tmp/log" 2>"$tmp/err"
        check "$cc $with: status $?" [ $? -eq 0 ]
    done
done
counted compilers
