#!/bin/sh
# run.sh TESTS: runs every test program (plain, then under AddressSanitizer and UBSan) and the two programs' command lines, and adds up
# their closing lines "name: N passed, N failed". A program that dies or prints no such line counts as one failure.
export TESTS=tests OMP_WAIT_POLICY=passive OMP_NUM_THREADS=2
: "${TMPDIR:=$(test -w /dev/shm && echo /dev/shm || echo /tmp)}"; export TMPDIR
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
# Two lanes side by side, because much of it is one thread at a time; each prints a line when a program has ended, with its seconds.
one() {                                     # one NAME COMMAND...
    name=$1; shift
    start=$(date +%s)
    "$@" >"$log" 2>&1; status=$?
    line=$(grep -E '^[a-z_]+: [0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
    p=$(echo "$line" | sed -n 's/.*: \([0-9]*\) passed.*/\1/p') f=$(echo "$line" | sed -n 's/.*, \([0-9]*\) failed/\1/p')
    why=
    if [ -z "$line" ] || { [ "$status" != 0 ] && [ "$f" = 0 ]; }; then
        f=$((${f:-0} + 1)); why=$(echo; echo "$name: ended with status $status"; tail -n 30 "$log")
    elif [ "$f" != 0 ]; then
        why=$(echo; grep -E 'FAIL|ERROR|runtime error' "$log" | head -n 20)
    fi
    passed=$((passed + ${p:-0})) failed=$((failed + f))
    printf '%-24s %7d passed, %d failed %6d s%s\n' "$name" "${p:-0}" "$f" $(($(date +%s) - start)) "$why"
    echo "$passed $failed" >"$log.sum"
}
programs() {
    for name in $1; do one "$name" "build/test_$name"; done
    for name in $1; do one "$name, sanitized" env TEST_QUICK=1 "build/asan/test_$name"; done
}
commands() {
    one train sh tests/test_train.sh
    if [ -x build/mpi/train ] && command -v mpirun >/dev/null 2>&1; then one "several ranks" sh tests/test_mpi.sh
    else echo "no MPI here (mpicc, mpirun): training by several processes was not tested"; fi
    one transfer sh tests/test_transfer.sh
    one validate sh tests/test_validate.sh
    one compilers sh tests/test_compilers.sh
    one endurance sh tests/endurance.sh 10
    one "programs, sanitized" sh tests/watched.sh address
    if [ -x build/emulated/test_ops ]; then
        one "kernels on the CPU" env OMP_NUM_THREADS=1 build/emulated/test_ops
        one "features on kernels" env OMP_NUM_THREADS=1 build/emulated/test_featurenet
        one "recipes on kernels" env OMP_NUM_THREADS=1 build/emulated/test_cuda
        one "programs on kernels" sh tests/test_cuda.sh build/emulated
        one "checker of kernels" make -s --no-print-directory -C tests/cuda_on_cpu check
    else
        echo "no g++ here: the CUDA kernels were not run on the CPU"
    fi
    if [ -x build/gpu/test_ops ] && nvidia-smi -L >/dev/null 2>&1; then
        one "kernels on the GPU" build/gpu/test_ops large
        one "features on the GPU" build/gpu/test_featurenet
        one "recipes on the GPU" build/gpu/test_cuda large
    fi
    one notebooks sh notebooks-as-md/run.sh
    one formulas sh notebooks-as-md/formulas.sh
    one house sh tests/test_house.sh
    one "checks of notebooks" sh tests/test_notebooks.sh
}
lane() { log=build/test.$1.log passed=0 failed=0; shift; "$@"; }
rm -f build/test.*.log.sum
lane 1 programs "$1" &
trap 'kill $!; exit 1' HUP INT TERM
lane 2 commands
wait
set -- $(cat build/test.1.log.sum build/test.2.log.sum)
[ $# = 4 ] || { echo "a lane was stopped"; set -- "${1:-0}" "$((${2:-0} + 1))" 0 0; }
echo "$(($1 + $3)) passed, $(($2 + $4)) failed"
[ $(($2 + $4)) = 0 ]
