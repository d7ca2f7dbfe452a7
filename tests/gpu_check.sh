#!/bin/sh
# gpu_check.sh: what `make gpu-check` does where there is a GPU, in nine minutes on a fresh machine with 16 cores. It builds for that
# GPU; runs every test on it beside the four tools of compute-sanitizer; then, with nothing beside them, the benchmark and the programs.
# What each step says is a file in the folder OUT (build/gpu-check). A step that fails, or takes too long, stops no other. The last lines
# name the steps, ok or failed, with their seconds by the clock and of the processor; the table is OUT/steps.md. STB_DIR: the folder of
# stb_image.h. DATA: what ./train --data takes, or a folder with the files of Fashion-MNIST.
# DRY=1, for tests of this file: the build is only planned, tests are named, and the emulated programs run on the CPU, small.
: "${OUT:=build/gpu-check}" "${DATA:=}" "${DRY:=}" "${MAKE:=make}"
began=$(date +%s) cores=$(nproc) names=
[ -n "$DRY" ] || nvidia-smi -L 2>/dev/null | grep -q GPU || { echo "gpu-check: no GPU here (nvidia-smi -L names none)"; exit 1; }
mkdir -p "$OUT" && rm -f "$OUT"/*.status || exit 1
export TESTS=tests OMP_WAIT_POLICY=passive
PATH=$PATH:/usr/local/cuda/bin
python=python3
for p in python3 /usr/bin/python3; do [ -z "$DRY" ] && $p -c 'import torch' 2>/dev/null && python=$p && break; done

step() {                                    # step NAME SECONDS COMMAND...: at most so long, and never beyond the nine minutes
    name=$1 limit=$2; shift 2
    left=$((began + 530 - $(date +%s)))
    [ "$left" -lt "$limit" ] && limit=$left
    if [ "$limit" -lt 5 ]; then echo "left out: no time 0 0" >"$OUT/$name.status"; return; fi
    log=$OUT/$name.log from=$(date +%s)
    case $name in bench-*) log=$OUT/$name.md ;; esac
    ( timeout -k 5 "$limit" "$@" >"$log" 2>&1 </dev/null
      status=$?
      times >"$OUT/$name.status"            # second line: the seconds of what ran here, its own and the system's
      used=$(awk 'NR == 2 { gsub(/m|s/, " "); printf "%.0f", $1 * 60 + $2 + $3 * 60 + $4 }' "$OUT/$name.status")
      case $status in 0) how=ok ;; 124|137) how="failed: more than $limit s" ;; *) how="failed: status $status" ;; esac
      echo "$how $(($(date +%s) - from)) $used" >"$OUT/$name.status" )
    echo "$name: $(sed 's/ [0-9]*$//' "$OUT/$name.status") s"
}
beside() { names="$names $1"; step "$@" & }
alone() { names="$names $1"; step "$@"; }

test=env programs=. device=cuda devices='cuda cpu' steps=10000 size=512 small='' help=''
if [ -n "$DRY" ]; then
    test=echo programs=build/emulated device=cpu devices=cpu steps=2 size=32 small='--size 8 --batch 4' help=--help
fi
build=$MAKE                                 # planned by the make that runs this: another one might not know its variables
[ -z "$DRY" ] || if [ -n "${MAKELEVEL:-}" ]; then build="$MAKE -n"; else build=echo; fi
data="--data ${DATA:-synthetic}"
[ -z "$DATA" ] && [ -e /usr/share/datasets/fashion-mnist ] && data='--data fashion-mnist'
ls "${DATA:-none}"/train-images* >/dev/null 2>&1 && data="--data fashion-mnist --data-dir $DATA"

on_gpu='build/gpu/test_ops build/gpu/test_featurenet build/gpu/test_patches build/gpu/test_cuda'
alone machine 30 sh -c 'date; nvidia-smi; nvcc --version; cc --version; lscpu | head -n 20; git log -1 --oneline; true'
alone build 240 $build -k -j"$cores" all build/bench $on_gpu

few=OMP_NUM_THREADS=$(((cores + 7) / 8))    # nine at a time
for program in $on_gpu; do beside "${program##*/}" 240 $test $few $program large; done
beside test_programs 120 $test $few sh tests/test_cuda.sh .
for tool in memcheck racecheck initcheck synccheck; do
    beside $tool 240 $test $few compute-sanitizer --tool $tool --error-exitcode 3 build/gpu/test_ops
done
wait

bench() { what=$1 limit=$2; shift 2; alone "bench-$what" "$limit" $python tests/bench_torch.py --device cuda "$@" $help; }
train() { what=$1 limit=$2; shift 2; alone "$what" "$limit" "$@" $data $small --overwrite --out "$OUT/$what"; }
paint() { what=$1; shift
    alone "$what" 60 $programs/transfer --style style/pictures/hopper.jpg --content synthetic:1 --mode paint --size $size \
        --benchmark --output "$OUT/$what.png" "$@"; }
train train 90 $programs/train --device $device --steps $steps --sample-every $((steps / 4 + 1))
bench steps 90 --only steps --rounds 5
bench graphs 60 --only graphs --rounds 5
for p in float32 tf32 bf16; do bench layers-$p 50 --only layers --precision $p --rounds 3 --minutes .4; done
bench ladder 30 --only ladder --rounds 3
bench gram 40 --only gram --rounds 3
train train-checked 30 env CUDA_CHECK=1 $programs/train --device $device --steps $((steps / 100 + 1)) --sample-every 0
for d in $devices; do
    paint patches-$d --device $d
    paint gram-$d --device $d --method gram --features style/features.safetensors --steps $((size / 16))
done

failed=0
printf '| step | | seconds | of the processor |\n|---|---|---|---|\n' >"$OUT/steps.md"
for name in $names; do
    line=$(cat "$OUT/$name.status" 2>/dev/null || echo 'failed: it did not end 0 0')
    used=${line##* } line=${line% *}
    seconds=${line##* } how=${line% *}
    [ "$how" = ok ] || failed=$((failed + 1))
    echo "| $name | $how | $seconds | $used |" >>"$OUT/steps.md"
    printf '%-20s %-28s %4d s %5d s of the processor\n' "$name" "$how" "$seconds" "$used"
done
rm -f "$OUT"/*.status
echo "gpu-check: $(($(date +%s) - began)) s, $failed failed; read $OUT/steps.md, $OUT/bench-*.md and $OUT/*.log"
[ $failed = 0 ]
