#!/bin/sh
# test_cuda.sh FOLDER: the programs in FOLDER with --device cuda: they train, stop, resume on another device and print garments. Where
# FOLDER is build/emulated, cuda_on_cpu plays the GPU and its environment variables order faults: every GPU that is not there, too old or
# too small, and a kernel that does not start, ends in one clear line; and what `make gpu-check` runs is tried.
programs=${1:-build/emulated}
. tests/checks.sh
export CUDA_ON_CPU_LEAKS=0
small="--data synthetic:40 --size 8 --batch 4 --steps 1"
good() {                                    # good WHAT OPTIONS...: train: status 0 and nothing on standard error
    name=$1; shift
    "$programs/train" "$@" >"$tmp/log" 2>"$tmp/err"; status=$?
    check "$name: status $status" [ "$status" -eq 0 ]
    check "$name: standard error" [ ! -s "$tmp/err" ]
}
bad() {                                     # bad WHAT STATUS WORDS FAULTS OPTIONS...: that status, one line with those words, no folder
    name=$1 want=$2 words=$3 faults=$4; shift 4
    env $faults "$programs/train" "$@" --out "$tmp/new" >"$tmp/log" 2>"$tmp/err"; status=$?
    check "$name: status $status, expected $want" [ "$status" -eq "$want" ]
    check "$name: one line" [ "$(wc -l <"$tmp/err")" -eq 1 ]
    check "$name: says '$words'" grep -q -e "^train: .*$words" "$tmp/err"
    check "$name: leaves no folder" [ ! -e "$tmp/new" ]
}
losses() { sed 's/,[^,]*$//' "$1/log.csv"; }                      # log.csv without its last column, the seconds

good 'auto finds the device' $small --out "$tmp/a"
check 'the head names the device' grep -q '^device .*float32' "$tmp/log"
good 'on the cpu' $small --device cpu --out "$tmp/cpu"
losses "$tmp/a" >"$tmp/1"; losses "$tmp/cpu" >"$tmp/2"
check 'the losses of a step are the CPU'"'"'s' awk -F, 'NR == FNR { for (i = 1; i <= NF; i++) a[NR, i] = $i; next }
    FNR > 1 { for (i = 1; i <= NF; i++) { d = a[FNR, i] - $i; if (!(d * d <= 1e-8 * (1 + $i * $i))) wrong = 1 } }
    END { exit wrong || FNR != 2 }' "$tmp/1" "$tmp/2"
good 'a run goes on, on the CPU' --resume "$tmp/a" --device cpu --steps 2
good 'and back' --resume "$tmp/a" --device cuda --steps 3
check 'its log has three steps' [ "$(wc -l <"$tmp/a/log.csv")" -eq 4 ]
tiny="--recipe classifier $small --device cuda --overwrite"           # it draws no pictures: a tenth of the time
good 'classifier' $tiny --out "$tmp/b"
losses "$tmp/b" >"$tmp/1"
CUDA_CHECK=1 good 'every launch is checked' $tiny --out "$tmp/b"
losses "$tmp/b" >"$tmp/2"
check 'the losses are the same' cmp -s "$tmp/1" "$tmp/2"
good 'bf16' $tiny --precision bf16 --out "$tmp/b"
losses "$tmp/b" >"$tmp/2"
check 'bf16 rounds' eval '! cmp -s "$tmp/1" "$tmp/2"'
good 'style' --recipe style --data synthetic:9 --style synthetic:1 --size 8 --batch 1 --steps 1 --out "$tmp/style"
for device in cuda cpu; do
    "$programs/transfer" --generator "$tmp/style" --content synthetic:0 --size 24 --device $device --output "$tmp/$device.png" >"$tmp/log" 2>"$tmp/err"
    check "transfer on $device" [ $? -eq 0 ]
    check "transfer on $device writes" [ -s "$tmp/$device.png" ]
done

for run in 1 2; do
    "$programs/transfer" --style "$tmp/cpu.png" --content synthetic:1 --size 24 --seed 1 --device cuda --output "$tmp/patches$run.png" >"$tmp/log" 2>"$tmp/err"
    check "patches, run $run" [ $? -eq 0 ]
done
check 'patches: the same bits twice' cmp -s "$tmp/patches1.png" "$tmp/patches2.png"

case $programs in *emulated) ;; *) counted test_cuda; exit ;; esac            # a GPU has no faults to order

refused() {                                 # refused WORDS FAULTS: the ninth launch fails, is named by WORDS, and that ends the program
    env CUDA_ON_CPU_REFUSE=9 $2 "$programs/train" $tiny --out "$tmp/b" >"$tmp/log" 2>"$tmp/err"
    check "$1: status 1" [ $? -eq 1 ]
    check "$1: one line" [ "$(wc -l <"$tmp/err")" -eq 1 ]
    check "$1: says it" grep -q "^cuda: $1.*: too many resources .*nothing is written after that" "$tmp/err"
}
refused 'starting a kernel' CUDA_CHECK=
refused '.*product' CUDA_CHECK=1

bad 'no GPU' 2 'cuda: no NVIDIA GPU found.*--device cpu' CUDA_ON_CPU_DEVICES=0 $small --device cuda
bad 'an old driver' 2 'driver knows CUDA up to 11.4.*update the driver' CUDA_ON_CPU_DRIVER=11040 $small --device cuda
bad 'an old GPU' 2 'compute capability 6.1, the kernels need 7.5' CUDA_ON_CPU_CC=61 $small --device cuda
bad 'no bf16 before Ampere' 2 'bf16 needs tensor cores of compute capability 8.0.*use --precision float32' CUDA_ON_CPU_CC=75 $small --precision bf16 --device cuda
bad 'too little memory' 1 'not enough memory: .*needs .* MB, .* free .*--batch [0-9]* fits' CUDA_ON_CPU_MEMORY=30000000 --data synthetic --size 8 --batch 4096
bad 'far too little memory' 1 'not even --batch 1 fits' CUDA_ON_CPU_MEMORY=3000000 --data synthetic --size 8
for fault in DEVICES=0 DRIVER=11040 CC=61; do
    rm -rf "$tmp/auto"
    env CUDA_ON_CPU_$fault "$programs/train" $small --out "$tmp/auto" >"$tmp/log" 2>"$tmp/err"
    check "$fault: auto takes the CPU" [ $? -eq 0 ]
    check "$fault: and says so" grep -q '^device cpu' "$tmp/log"
done

# make gpu-check, as far as it goes without a GPU: a step that fails stops no other
DRY=1 OUT=$tmp/gpu sh tests/gpu_check.sh >"$tmp/log" 2>"$tmp/err"
check 'gpu-check' [ $? -eq 0 ]
check 'gpu-check: no step fails' grep -q ' s, 0 failed; read' "$tmp/log"
check 'gpu-check: its table' [ "$(grep -c '| ok |' "$tmp/gpu/steps.md")" -eq "$(grep -c ' of the processor$' "$tmp/log")" ]
check 'gpu-check: what the benchmark said' grep -q usage: "$tmp/gpu/bench-steps.md"
DRY=1 OUT=$tmp/gpu DATA=nowhere sh tests/gpu_check.sh >"$tmp/log" 2>"$tmp/err"
check 'gpu-check fails where a step does' [ $? -eq 1 ]
check 'gpu-check: names the step' grep -q '^train  *failed: status' "$tmp/log"
check 'gpu-check: the others are done' grep -q '^gram-cpu  *ok' "$tmp/log"
counted test_cuda
