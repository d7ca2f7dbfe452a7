#!/bin/sh
# fuzz.sh MINUTES FORMAT...: libFuzzer on each format for so long (tests/fuzz.c), in build/fuzz. A finding stays there as a file
# crash-..., timeout-... or oom-..., is named, and makes the exit status 1. The corpora grow from one call to the next.
minutes=$1; shift
bad=0
for format; do
    here=build/fuzz/$format
    mkdir -p "$here/corpus" && began=$(date +%s)
    FUZZ=$format FOLDER=$here/corpus build/fuzz/fuzz -max_total_time=$((minutes * 60)) -max_len=8192 -timeout=60 -rss_limit_mb=4000 \
        -close_fd_mask=3 -print_final_stats=1 -artifact_prefix="$here/" "$here/corpus" 2>"$here/log"; status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$here/log") covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$here/log" | tail -n 1)
    printf '%-20s %4d s, %9d files, %5d branches reached: %s\n' "$format" $(($(date +%s) - began)) "${runs:-0}" "${covered:-0}" \
        "$([ $status = 0 ] && echo "no finding" || sed -n 's/^SUMMARY: //p; s/^Test unit written to /in /p' "$here/log" | tr '\n' ' ')"
    [ $status = 0 ] || bad=1
done
exit $bad
