#!/bin/sh
# run.sh NAME COMMAND...        runs one test and prints a line: how many of its checks passed, its seconds by
#                               the clock and of the processor. The counts go to build/results/NAME.
# run.sh --count NAME...        adds up the counts of these tests. The last line is 'N passed, N failed'.
# A test ends with the line "name: N passed, N failed". One that dies, or prints no such line, or does not run
# because it does not compile, counts as one failure.
if [ "$1" = --count ]; then
    shift; passed=0 failed=0
    for name in "$@"; do
        if read -r p f 2>/dev/null <"build/results/$name"; then passed=$((passed + p)) failed=$((failed + f))
        else echo "$name: did not run"; failed=$((failed + 1)); fi
    done
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]; exit
fi
export TESTS=tests OMP_WAIT_POLICY=passive OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
: "${TMPDIR:=$(test -w /dev/shm && echo /dev/shm || echo /tmp)}"; export TMPDIR
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
name=$1; shift
mkdir -p build/results
log=build/results/$name.log began=$(date +%s)
"$@" >"$log" 2>&1; status=$?
times >"$log.times"                         # second line: the test's seconds, its own and the system's: 1m2.34s 0m5.67s
used=$(awk 'NR == 2 { gsub(/m|s/, " "); printf "%.0f", $1 * 60 + $2 + $3 * 60 + $4 }' "$log.times")
line=$(grep -E '^[a-z_]+: [0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
p=$(echo "$line" | sed -n 's/.*: \([0-9]*\) passed.*/\1/p')
f=$(echo "$line" | sed -n 's/.*, \([0-9]*\) failed/\1/p')
why=
if [ -z "$line" ] || { [ "$status" != 0 ] && [ "$f" = 0 ]; }; then
    f=$((${f:-0} + 1)); why=$(echo; echo "$name: ended with status $status"; tail -n 30 "$log")
elif [ "$f" != 0 ]; then
    why=$(echo; grep -E 'FAIL|ERROR|runtime error' "$log" | head -n 20)
fi
printf '%-24s %7d passed, %d failed %6d s, %d s of the processor%s\n' "$name" "${p:-0}" "$f" \
    $(($(date +%s) - began)) "$used" "$why"
echo "${p:-0} $f" >"build/results/$name"
