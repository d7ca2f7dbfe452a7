#!/bin/sh
# endurance.sh [N]: a machine that may die at any time. N times (10) kill -9 at a random moment of a training or of a transfer; after each
# kill the checkpoint can be read and is no older than before, log.csv and every picture are those of an uninterrupted run as far as they
# go; where --resume comes to the end, all the run leaves has an uninterrupted run's bits, and nothing temporary is left. Then what else a machine
# does to a run: a full disk, a read-only folder, data that vanish, a clock that jumps, a checkpoint of another version. And a long run (N
# steps for each kill, at least 500): resident memory and open files stay as they are. SEED=2: other moments. Runs from the top folder.
number=${1:-10} seed=${SEED:-1}
mounted=
. tests/checks.sh
trap 'for m in $mounted; do umount "$m"; done; rm -rf "$tmp"' EXIT
train() { ./train "$@" >"$tmp/log" 2>"$tmp/err"; status=$?; }
good() {                                    # good WHAT OPTIONS...: status 0 and nothing on standard error
    name=$1; shift
    train "$@"
    check "$name: status $status" [ "$status" -eq 0 ]
    check "$name: standard error" [ ! -s "$tmp/err" ]
}
one_line() {                                # one_line WHAT WORDS: the run before ended with status 1 and that one line
    check "$1: status $status, expected 1" [ "$status" -eq 1 ]
    check "$1: one line" [ "$(wc -l <"$tmp/err")" -eq 1 ]
    check "$1: says '$2'" grep -q "^train: .*$2" "$tmp/err"
}
losses() { sed 's/,[^,]*$//' "$1/log.csv"; }                      # log.csv without its last column, the seconds
step_of() { head -c 4000 "$1/checkpoint.safetensors" 2>/dev/null | grep -ao '"step":"[0-9]*"' | tr -dc 0-9; }
temporary() { find "$1" -name '*.tmp*' | grep "$2"; }
pictures() {                                # pictures RUN WHOLE: each sheet in RUN is the one of its name in WHOLE
    for p in "$1"/samples/*.png; do [ ! -e "$p" ] || cmp -s "$p" "$2/samples/${p##*/}" || return 1; done
}
no_less() { for p in $1; do [ -s "$p" ] || return 1; done; }      # no_less FILES: all are still there
logged() {                                  # logged RUN WHOLE STEP: the lines to STEP are those of WHOLE, and so are whole lines after it
    n=$(grep -c '' "$1/log.csv") && [ "$n" -gt "$3" ] && losses "$2" | head -n "$((n - 1))" >"$tmp/want" && losses "$1" | head -n "$((n - 1))" | cmp -s - "$tmp/want"
}
moments() { awk -v n="$1" -v seed="$2" -v most="$3" 'BEGIN { srand(seed); for (i = 0; i < n; i++) printf "%.3f ", rand() * most }'; }
seconds() { date +%s.%N; }
since() { echo "$(seconds) $1" | awk '{ print $1 - $2 }'; }
killed() {                                  # killed SECONDS PROGRAM OPTIONS...: status 137 if that was too soon for it; - seconds: not killed
    after=$1; shift
    "$@" >"$tmp/log" 2>"$tmp/err" &
    victim=$!
    [ "$after" = - ] || { sleep "$after"; kill -9 $victim 2>/dev/null; }
    wait $victim 2>/dev/null; status=$?
    if [ "$status" = 137 ]; then kills=$((kills + 1)); else check "not killed: status $status" [ "$status" = 0 ]; fi
}

# ---- kill -9 in a training ----
kills=0 in_checkpoint=0 in_picture=0 ends=0 share=$(((number + 4) / 5))
for recipe in dcgan cyclegan style average; do
    case $recipe in
        dcgan) with="--data synthetic:40 --batch 4 --augment all --keep-checkpoints 2" ;;
        cyclegan) with="--recipe cyclegan --data synthetic:9 --data-b synthetic:30 --batch 1" ;;
        style) with="--recipe style --data synthetic:40 --style synthetic:1 --batch 1" ;;
        average) with="--data synthetic:40 --batch 4 --average 0.9 --recipe lsgan" ;;
    esac
    rm -rf "$tmp/run"
    run=$tmp/run whole=$tmp/whole before=0 had= began=$(seconds)
    with="$with --size 8 --steps 12 --sample-every 3 --checkpoint-every 2 --out $run"
    good "$recipe, uninterrupted" $with
    most=$(since "$began")
    rm -rf "$whole" && mv "$run" "$whole"
    want=$((kills + share))
    for moment in $(moments $((10 * share)) "$seed$share" "$most") -; do
        seed=$((seed + 1))
        [ "$kills" -lt "$want" ] || moment=-           # enough: this one goes to its end
        if [ -e "$run/checkpoint.safetensors" ]; then killed "$moment" ./train --resume "$run"; else killed "$moment" ./train $with; fi
        if [ "$status" = 0 ]; then
            for file in checkpoint.safetensors samples.png losses.png; do check "$recipe: $file of a run killed and resumed" cmp -s "$run/$file" "$whole/$file"; done
            check "$recipe: its losses" [ "$(losses "$run")" = "$(losses "$whole")" ]
            check "$recipe: its sheets" [ "$(cd "$run/samples" && cksum *)" = "$(cd "$whole/samples" && cksum *)" ]
            [ $recipe != dcgan ] || check "$recipe: two numbered checkpoints, the newest among them" [ "$(ls "$run/"checkpoint-*)" = "$(ls "$run/"checkpoint-* | grep -v 000012 | tail -n 1)
$run/checkpoint-000012.safetensors" ]
            check "$recipe: nothing temporary" [ -z "$(temporary "$run" .)" ]
            rm -r "$run"
            before=0 had= ends=$((ends + 1))
            [ "$kills" -lt "$want" ] && continue || break
        fi
        temporary "$run" safetensors >/dev/null 2>&1 && in_checkpoint=$((in_checkpoint + 1))
        temporary "$run" png >/dev/null 2>&1 && in_picture=$((in_picture + 1))
        at=$(step_of "$run")
        check "$recipe: killed after $moment s: step ${at:-0}, before $before" [ "${at:-0}" -ge "$before" ]
        check "$recipe: killed after $moment s: its sheets are whole" pictures "$run" "$whole"
        check "$recipe: killed after $moment s: no sheet is lost" no_less "$had"
        [ "${at:-0}" = 0 ] && continue
        check "$recipe: killed after $moment s: the log to step $at" logged "$run" "$whole" "$at"
        good "$recipe: killed after $moment s: can be read" --resume "$run" --dry-run
        before=$at had=$(ls "$run"/samples/*.png 2>/dev/null)
    done
done

# ---- kill -9 in a transfer that writes picture after picture over old ones ----
./train --recipe style --data synthetic:9 --style synthetic:1 --size 8 --batch 1 --steps 2 --out "$tmp/painter" >"$tmp/log" 2>"$tmp/err"
mkdir "$tmp/old" "$tmp/new" "$tmp/prints"
paint() { echo ./transfer --generator "$tmp/painter" --content "synthetic:1-$1" --size 300 --seed "$2" --output "$3"; }
$(paint 6 1 "$tmp/old") >"$tmp/log" 2>"$tmp/err"; began=$(seconds)
$(paint 6 2 "$tmp/new") >"$tmp/log" 2>"$tmp/err"; most=$(since "$began")
cp "$tmp/old/"*.png "$tmp/prints"
old_or_new() { for p in "$tmp"/old/*.png; do cmp -s "$p" "$tmp/prints/${p##*/}" || cmp -s "$tmp/new/${p##*/}" "$tmp/prints/${p##*/}" || return 1; done; }
want=$((kills + share))
for moment in $(moments $((10 * share)) "$seed" "$most"); do
    [ "$kills" -lt "$want" ] || break
    killed "$moment" $(paint 6 2 "$tmp/prints")
    temporary "$tmp/prints" png >/dev/null && in_picture=$((in_picture + 1)) && rm "$tmp/prints/"*.tmp-*
    check "transfer: killed after $moment s: each picture is the old or the new one" old_or_new
    [ "$status" = 0 ] && cp "$tmp/old/"*.png "$tmp/prints"
done
killed - $(paint 6 2 "$tmp/prints")
check "transfer: the same pictures in the end" [ "$(cd "$tmp/prints" && cksum *)" = "$(cd "$tmp/new" && cksum *)" ]
echo "killed $kills times, $in_checkpoint of them in the writing of a checkpoint, $in_picture of a picture; $ends runs came to their end"
check "enough kills: $kills of $number" [ "$kills" -ge "$number" ]

# ---- what else a machine does ----
data="--data synthetic:40 --size 8 --batch 4" kept=$tmp/kept
good "a run" $data --steps 8 --out "$kept"
seal() { (cd "$1" && find . -type f -exec cksum {} + | sort); }

# what kill -9 leaves at two moments that random ones seldom meet: pictures half written; a last checkpoint without the report
cp -r "$kept" "$tmp/ended"
for file in samples.png.tmp-77 samples/step-000008.png.tmp-77 checkpoint.safetensors.tmp-77 options.txt.tmp-77 log.csv.tmp-77 report.html.tmp-77; do echo half >"$kept/$file"; done
rm "$kept/report.html" "$kept/samples.png"
good "killed after the last checkpoint" --resume "$kept"
check "killed after the last checkpoint: nothing temporary" [ -z "$(temporary "$kept" .)" ]
check "killed after the last checkpoint: the report" [ -s "$kept/report.html" ]
for file in checkpoint.safetensors losses.png samples.png log.csv; do check "killed after the last checkpoint: $file" cmp -s "$kept/$file" "$tmp/ended/$file"; done
train --resume "$kept"
one_line "now it is done" "step 8 of 8 is done already"
mkdir "$tmp/disk"
if mount -t tmpfs -o size=24m none "$tmp/disk" 2>/dev/null; then
    mounted=$tmp/disk
    cp -r "$kept" "$tmp/disk/run" && rm "$tmp/disk/run/checkpoint.safetensors" && cp "$kept/checkpoint.safetensors" "$tmp/disk/run"
    good "the run goes on" --resume "$tmp/disk/run" --steps 10
    sealed=$(cksum <"$tmp/disk/run/checkpoint.safetensors")
    cat /dev/zero >"$tmp/disk/filler" 2>/dev/null                       # full to the last byte
    train --resume "$tmp/disk/run" --steps 12
    one_line "a full disk before it begins" "options.txt.*: No space left on device: cannot write there"
    check "a full disk before it begins: nothing is lost" [ "$(cksum <"$tmp/disk/run/checkpoint.safetensors")" = "$sealed" ]
    check "a full disk before it begins: options.txt is not lost" [ -s "$tmp/disk/run/options.txt" ]
    check "a full disk before it begins: log.csv is not lost" [ "$(tail -n 1 "$tmp/disk/run/log.csv" | cut -d, -f1)" = 10 ]
    head -c 8000000 /dev/zero >"$tmp/disk/filler"                      # room to begin with
    ./train --resume "$tmp/disk/run" --steps 1000000 --checkpoint-every 5 --sample-every 3 --log-every 1 >"$tmp/log" 2>"$tmp/err" &
    victim=$!
    until grep -q '^step 16/' "$tmp/log"; do sleep 0.1; done
    cat /dev/zero >>"$tmp/disk/filler" 2>/dev/null
    until [ -s "$tmp/err" ] || ! kill -0 $victim 2>/dev/null; do sleep 0.1; done
    sleep 1; kill $victim; wait $victim; status=$?
    check "a disk that fills in mid-run: status $status" [ "$status" = 1 ]
    check "a disk that fills in mid-run: says so" [ "$(grep -c '' "$tmp/err")" -gt 0 ]
    check "a disk that fills in mid-run: and nothing else" [ "$(grep -vc '^train: .*: No space left on device\|^train: .*not written (No space left on device)' "$tmp/err")" = 0 ]
    at=$(step_of "$tmp/disk/run") && rm "$tmp/disk/filler"
    check "a disk that fills in mid-run: step ${at:-0}, before 10" [ "${at:-0}" -gt 10 ]
    good "with room again" --resume "$tmp/disk/run" --steps $((at + 1))
    check "with room again: nothing temporary" [ -z "$(temporary "$tmp/disk/run" .)" ]
    sealed=$(seal "$tmp/disk/run")
    mount -o remount,ro "$tmp/disk"
    train --resume "$tmp/disk/run" --steps $((at + 3))
    one_line "a read-only disk" "out $tmp/disk/run: Read-only file system, choose another folder"
    train $data --steps 1 --out "$tmp/disk/new"
    one_line "a read-only disk, a new run" "Read-only file system"
    check "a read-only disk: nothing is changed" [ "$(seal "$tmp/disk/run")" = "$sealed" ]
    umount "$tmp/disk" && mounted=
else
    echo "no right to mount a small disk: a full and a read-only one were not tried"
fi

# the pictures are all in memory: nobody misses the folder they came from
mkdir "$tmp/pictures" && cp "$kept/samples/"*.png "$kept/losses.png" "$tmp/pictures"
pictures="--data $tmp/pictures --size 8 --batch 4 --sample-every 10 --out $tmp/run"
good "a folder of pictures" $pictures --steps 90 && mv "$tmp/run" "$tmp/stayed"
./train $pictures --steps 90 --log-every 1 >"$tmp/log" 2>"$tmp/err" &
victim=$!
until grep -q '^step 3/' "$tmp/log"; do sleep 0.1; done
mv "$tmp/pictures" "$tmp/gone"
check "data that vanish in mid-run: it is not over yet" [ ! -e "$tmp/run/checkpoint.safetensors" ]
wait $victim; status=$?
check "data that vanish in mid-run: status $status" [ "$status" = 0 ]
check "data that vanish in mid-run: the same bits" cmp -s "$tmp/run/samples.png" "$tmp/stayed/samples.png"
check "data that vanish in mid-run: the same losses" [ "$(losses "$tmp/run")" = "$(losses "$tmp/stayed")" ]
train --resume "$tmp/run" --steps 92
one_line "data that are gone" "$tmp/pictures: No such file or directory.*the resumed run's --data: give it anew"
good "their new place" --resume "$tmp/run" --steps 92 --data "$tmp/gone"

# a clock that jumps to and fro by years with every look at it, all but the monotonic one
cat >"$tmp/clock.c" <<'END'
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long jump(void) { static long n; return (n++ % 5 - 2) * 100000000; }
int clock_gettime(clockid_t id, struct timespec *t) { int bad = (int)syscall(SYS_clock_gettime, id, t); if (id == CLOCK_REALTIME) t->tv_sec += jump(); return bad; }
time_t time(time_t *t) { struct timespec now; clock_gettime(CLOCK_REALTIME, &now); if (t) *t = now.tv_sec; return now.tv_sec; }
int gettimeofday(struct timeval *restrict t, void *restrict zone) { (void)zone; t->tv_usec = 0, t->tv_sec = time(NULL); return 0; }
END
if ${CC:-cc} -shared -fPIC -o "$tmp/clock.so" "$tmp/clock.c" 2>/dev/null; then
    LD_PRELOAD=$tmp/clock.so good "a clock that jumps" $data --steps 8 --minutes 5 --out "$tmp/jumped"
    check "a clock that jumps: the same losses" [ "$(losses "$tmp/jumped")" = "$(losses "$kept")" ]
    check "a clock that jumps: no year in a step" awk -F, 'NR > 1 && !($NF >= 0 && $NF < 300) { exit 1 }' "$tmp/jumped/log.csv"
else
    echo "no shared libraries here: no clock was made to jump"
fi

# another version's checkpoint: of a format that is older, newer or none; and one from before formats were numbered
sealed=$(seal "$kept")
for format in 0 2 x; do
    mkdir "$tmp/format$format" && LC_ALL=C sed "s/\"format\":\"1\"/\"format\":\"$format\"/" "$kept/checkpoint.safetensors" >"$tmp/format$format/checkpoint.safetensors"
    says="its format is $format, this program reads format 1: an older version made it, take that one or train anew"
    [ $format = 2 ] && says="its format is 2, this program reads format 1: a newer version made it, take that one"
    train --resume "$tmp/format$format" --steps 9
    one_line "--resume, format $format" "$says"
    train --init-from "$tmp/format$format" $data --steps 9 --out "$tmp/anew"
    one_line "--init-from, format $format" "$says"
    train --compress "$tmp/format$format" --out "$tmp/small.safetensors"
    one_line "--compress, format $format" "$says"
    ./transfer --generator "$tmp/format$format" --content synthetic:1 --output "$tmp/a.png" 2>&1 >"$tmp/log" | sed 's/^transfer/train/' >"$tmp/err"; status=1
    one_line "transfer, format $format" "$says"
done
mkdir "$tmp/nameless" && LC_ALL=C sed 's/"format":"1"/"farmat":"1"/' "$kept/checkpoint.safetensors" >"$tmp/nameless/checkpoint.safetensors"
good "a checkpoint from before formats were numbered" --resume "$tmp/nameless" --steps 9
check "the others are as they were" [ "$(seal "$kept")" = "$sealed" ]

# ---- no memory: each request of 200 bytes or more in turn is refused (in a short test, one of 9 of them); one line tells it, or nobody misses it ----
refuse() {                                  # refuse WHAT COMMAND...
    name=$1 k=1; shift
    [ "$number" -ge 100 ] || k=$((1 + ${#name} % 9))
    while rm -rf "$tmp/refused" "$tmp/no" && REFUSED=$tmp/refused REFUSE=$k LD_PRELOAD="$tmp/refuse.so ${LD_PRELOAD:-}" "$@" >"$tmp/log" 2>"$tmp/err"; status=$?; [ -e "$tmp/refused" ]; do
        n=$(wc -l <"$tmp/err") memory=$(grep -ci 'memory\|too large' "$tmp/err")
        if grep -q 'stbiw__sbgrowf: Assertion' "$tmp/err"; then stb=$((stb + 1))       # stb_image_write has no other answer; the old picture stays
        else check "$name: without memory number $k: status $status, $n lines, $memory of memory" [ "$status:$n:$memory" = 1:1:1 -o "$status:$memory" = "0:$n" ]; fi
        k=$((k + (number < 100 ? 9 : 1))) refusals=$((refusals + 1))
    done
    check "$name: with all its memory: status $status" [ "$status" = 0 ]
}
refusals=0 stb=0
export OMP_NUM_THREADS=1                   # libgomp ends the program with words of its own when it cannot start a thread
if ${CC:-cc} -shared -fPIC -o "$tmp/refuse.so" tests/refuse.c 2>/dev/null; then
    small="--size 8 --batch 2 --steps 1 --out $tmp/no --device cpu"
    refuse dcgan ./train --data synthetic:9 $small
    refuse patches ./transfer --style "$kept/samples.png" --content synthetic:1 --size 32 --output "$tmp/no.png"
    if [ "$number" -ge 100 ]; then
        for recipe in wgan-gp cgan stylegan vaegan pix2pix classifier; do refuse $recipe ./train --recipe $recipe --data synthetic:19 $small; done
        for recipe in cyclegan pattern; do refuse $recipe ./train --recipe $recipe --data synthetic:9 --data-b "$kept/samples.png" $small; done
        for recipe in style adain; do refuse $recipe ./train --recipe $recipe --data "$kept/samples.png" --style "$kept/samples.png" $small --size 16; done
        refuse features ./train --recipe features --style "$kept/samples.png" $small --size 16
        refuse --resume ./train --resume "$kept" --steps 9 --out "$tmp/no"
        refuse --compress ./train --compress "$kept" --quantize int8 --out "$tmp/no"
        refuse generator ./transfer --generator "$tmp/painter" --content "$kept/samples.png" --size 32 --sheet "$tmp/no.png"
        refuse gram ./transfer --method gram --style "$kept/samples.png" --content "$kept/losses.png" --preserve-color luminance --size 64 --steps 1 --output "$tmp/no.png"
        refuse lbfgs ./transfer --method gram --optimizer lbfgs --init noise --features random --style "$kept/samples.png" --content "$kept/losses.png" --size 64 --steps 2 --output "$tmp/no.png"
    fi
    echo "$refusals requests for memory were refused, $stb of them to stb_image_write, which gives up"
fi

# ---- a long run ----
steps=$((25 * number)) && [ "$steps" -ge 500 ] || steps=500
# a fixed threshold: freed blocks go back at once, else what glibc keeps for the next one hides what stays
MALLOC_MMAP_THRESHOLD_=65536 OMP_NUM_THREADS=1 ./train --data synthetic:40 --size 8 --batch 1 --steps "$steps" --log-every 50 --sample-every 50 --checkpoint-every 50 --out "$tmp/long" >"$tmp/log" 2>"$tmp/err" &
victim=$!
while kill -0 $victim 2>/dev/null; do
    at=$(sed -n 's/^step \([0-9]*\).*/\1/p' "$tmp/log" | tail -n 1)
    [ "${at:-0}" -ge $((steps / 10)) ] && echo "$at $(sed -n 's/^Vm\(HWM\|RSS\):[^0-9]*\([0-9]*\).*/\2/p' /proc/$victim/status | tr '\n' ' ') $(ls /proc/$victim/fd | wc -l)"
    sleep 0.05
done >"$tmp/memory" 2>/dev/null
wait $victim; status=$?
check "a long run: status $status" [ "$status" = 0 ]
# least: resident memory between two checkpoints and sheets, which take some for a moment; peak: with them
awk -v half="$((steps / 2))" 'NF == 4 && $4 > 0 { h = $1 > half; n++; if (!least[h] || $3 < least[h]) least[h] = $3; peak[h] = $2; if (n == 1) first = $1; if (n == 1 || $4 < few) few = $4; if ($4 > many) many = $4; last = $1 }
     END { print n + 0, first + 0, last + 0, least[0] + 0, least[1] + 0, peak[0] + 0, peak[1] + 0, few + 0, many + 0 }' "$tmp/memory" >"$tmp/line"
read -r looks first last least1 least2 peak1 peak2 few many <"$tmp/line"
echo "$steps steps, looked at $looks times from step $first to $last: resident memory at least $least1 kB in the first half and $least2 kB in the second," \
    "at most $peak1 and $peak2 kB; open files $few to $many"
check "a long run: its memory is seen" [ "$least1" -gt 1000 ]
check "a long run: resident memory from $least1 to $least2 kB" [ "$((least2 - least1))" -le 2000 ]
check "a long run: the peak from $peak1 to $peak2 kB" [ "$((peak2 - peak1))" -le 1000 ]
check "a long run: open files $few to $many" [ "$((many - few))" -le 2 ]        # one that is being written, and its folder

counted endurance
