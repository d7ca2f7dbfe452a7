#!/bin/sh
# fuzz.sh MINUTES FORMAT...: libFuzzer on each format for so long (tests/fuzz.c), as many side by side as there are cores, in build/fuzz. A
# finding stays there as a file crash-..., timeout-... or oom-..., is named, and makes the exit status 1. The corpora grow from one call
# to the next. KEEP=1: those files that reach a branch which no smaller one reaches replace tests/corpus/FORMAT.
minutes=$1; shift
[ $# = 1 ] || { printf '%s\n' "$@" | xargs -r -n 1 -P "$(nproc)" sh "$0" "$minutes" || exit 1; exit 0; }
here=build/fuzz/$1 kept=tests/corpus/$1
mkdir -p "$here/corpus" "$kept" && began=$(date +%s)
export FUZZ=$1 FOLDER=$here/corpus
build/fuzz/fuzz -max_total_time=$((minutes * 60)) -max_len=8192 -timeout=60 -rss_limit_mb=4000 \
    -close_fd_mask=3 -print_final_stats=1 -artifact_prefix="$here/" "$here/corpus" "$kept" 2>"$here/log"; status=$?
runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$here/log") covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$here/log" | tail -n 1)
printf '%-20s %4d s, %9d files, %5d branches reached: %s\n' "$1" $(($(date +%s) - began)) "${runs:-0}" "${covered:-0}" \
    "$([ $status = 0 ] && echo "no finding" || sed -n 's/^SUMMARY: //p; s/^Test unit written to /in /p' "$here/log" | tr '\n' ' ')"
if [ -n "$KEEP" ] && [ $status = 0 ]; then
    rm -rf "$here/kept" && mkdir "$here/kept"
    build/fuzz/fuzz -merge=1 -use_counters=0 -max_len=8192 -close_fd_mask=3 "$here/kept" "$here/corpus" "$kept" 2>>"$here/log" && rm -rf "$kept" && mv "$here/kept" "$kept" || status=1
fi
exit $status
