#!/bin/sh
# check.sh: every error planted in planted.cu must be found, with its line, in one message; correct.cu must pass.
: "${BUILD:=build}"
passed=0 failed=0 log=$BUILD/check.log
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAIL $*"; sed 's/^/    /' "$log" | head -n 8; }

# "file:line" of each comment "BUG name: text"
grep -n '// BUG ' planted.cu | sed 's/^\([0-9]*\):.*\/\/ BUG \([a-z_0-9]*\): \(.*\)$/\1 \2 \3/' > "$BUILD/planted.list"
found() {                                   # on stdin: the errors that must be found
    while read -r line name text; do
        CUDA_ON_CPU_LEAKS=$([ "$name" = leak ] && echo 1 || echo 0) "$BUILD/planted" "$name" > "$log" 2>&1
        status=$?
        if [ $status != 1 ]; then bad "$name: status $status, expected 1"
        elif [ "$(wc -l < "$log")" != 1 ]; then bad "$name: not one message"
        elif ! grep "^cuda_on_cpu: planted.cu:$line[:,] " "$log" | grep -qF "$text"; then bad "$name: expected planted.cu:$line: $text"
        else ok; fi
    done
}
found < "$BUILD/planted.list"
# what the host does, once more as on a processor without memory protection keys
grep ' host_' "$BUILD/planted.list" > "$BUILD/planted.host"
export CUDA_ON_CPU_NO_KEY=1
found < "$BUILD/planted.host"
unset CUDA_ON_CPU_NO_KEY
CUDA_ON_CPU_LEAKS=0 "$BUILD/planted" none > "$log" 2>&1 && [ ! -s "$log" ] && ok || bad "planted without an error says something"

# correct programs: nothing is reported, and their own results are right; forwards and backwards
correct() {                                 # correct WHAT ASSIGNMENTS...
    what=$1; shift
    if env CUDA_ON_CPU_LEAKS=1 CUDA_ON_CPU_SUMMARY=1 "$@" "$BUILD/correct" $what > "$log" 2>&1 && grep -q 'no errors found' "$log" \
        && ! grep -q WRONG "$log"; then passed=$((passed + $(grep -c '^ok ' "$log")))
    else bad "correct $what $*"; fi
}
correct '' A=
correct '' CUDA_ON_CPU_REVERSE=1
# faults to order
correct no_device CUDA_ON_CPU_DEVICES=0
correct old_driver CUDA_ON_CPU_DRIVER=11040
correct old_device CUDA_ON_CPU_CC=75
correct little_memory CUDA_ON_CPU_MEMORY=1000000
echo "checker: $passed passed, $failed failed"
[ $failed = 0 ]
