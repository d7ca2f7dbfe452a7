#!/bin/sh
# test_mpi.sh: several ranks (parallel.h) train as one rank with the whole batch does, and fail as one program. Needs build/mpi/train and
# mpirun; runs from the top folder, one thread a rank, more ranks than there are cores.
. tests/checks.sh
train=$PWD/build/mpi/train
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1
options=
mpirun --version 2>&1 | grep -q 'Open MPI' && options='--oversubscribe --bind-to none'
ranks() {                                   # ranks N OPTIONS...: status, and what was said in $tmp/log and $tmp/err
    n=$1; shift
    mpirun $options -np "$n" "$train" --threads 1 "$@" >"$tmp/log" 2>"$tmp/err"; status=$?
}
good() { name=$1; shift; ranks "$@"; check "$name: status $status" [ "$status" -eq 0 ]; }
bad() {                                     # bad WHAT STATUS WORDS N OPTIONS...: one line of train's, with these words, and no folder
    name=$1 want=$2 words=$3; shift 3
    ranks "$@" --out "$tmp/new"
    check "$name: status $status, expected $want" [ "$status" -eq "$want" ]
    check "$name: one line of ours" [ "$(grep -c '^train' "$tmp/err")" = 1 ]
    check "$name: says '$words'" grep -q "^train.*$words" "$tmp/err"
    check "$name: leaves no folder" [ ! -e "$tmp/new" ]
}
losses() { sed 's/,[^,]*$//' "$1/log.csv"; }             # log.csv without its last column, the seconds
tensors() { tail -c +"$(($(od -An -tu4 -N4 "$1/checkpoint.safetensors") + 9))" "$1/checkpoint.safetensors" | cksum; }      # without the header
same() { [ "$(losses "$1"; tensors "$1")" = "$(losses "$2"; tensors "$2")" ]; }
far() { ! near "$@"; }
started() {                                 # started N: waits until the run in the background has done N steps
    tries=0
    until grep -q "^step $1/" "$tmp/log"; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] && { sleep 0.1 2>/dev/null || sleep 1; } || return 1
    done
}

# near ONE OTHER FIRST LATER [COLUMNS]: losses, D(x), D(G(z)), gradient norms and the parts of G's loss agree: |a - b| <= tolerance (0.01 + |a|), another
# tolerance in step 1 than in later ones. Column 8, the spread, is that of each rank's share, and is left out. Written so that nan fails.
near() { awk -F, -v other="$2/log.csv" -v first="$3" -v later="$4" -v most="${5:-99}" '
    NR > 1 { for (i = 2; i < NF; i++) { a[NR, i] = $i } columns = NF }
    END { rows = 0
        while ((getline line < other) > 0) {
            if (++rows == 1) continue
            split(line, b, ",")
            for (i = 2; i < columns; i++) {
                x = a[rows, i]; d = x - b[i]; limit = (rows == 2 ? first : later) * (0.01 + (x < 0 ? -x : x))
                if (i != 8 && i <= most && !((d < 0 ? -d : d) <= limit)) wrong++
            }
        }
        exit wrong || rows != NR || rows < 4 }' "$1/log.csv"; }

quick="--size 16 --batch 8 --steps 3 --sample-every 0"
data="--data synthetic:40 $quick"

# ---- many ranks are one: N ranks with a share each, against one rank with all ----
# Only the order of sums differs: within shares, then over them. Float's rounding is 6e-8 of each number, a sum of K terms has about sqrt(K)
# of them: 1e-6 in the first step. Later Adam divides each gradient by its own size, and gradients that are nearly nothing but rounding
# (biases before a norm) become whole steps: the recipes with many norms in a row lose four digits in three steps, as they do between
# --device naive and cpu in one process.
trial() {                                   # trial RECIPE LATER OPTIONS...
    recipe=$1 later=$2; shift 2
    with=$data; [ "$recipe" = features ] && with=$quick                 # it looks at styles alone
    good "$recipe, 1 rank" 1 $with --recipe "$recipe" "$@" --out "$tmp/$recipe"
    for n in 2 $many; do
        good "$recipe, $n ranks" "$n" $with --recipe "$recipe" "$@" --out "$tmp/$recipe$n"
        check "$recipe: $n ranks train as one" near "$tmp/$recipe" "$tmp/$recipe$n" 2e-6 "$later"
        check "$recipe: $n ranks are named" grep -q "^$n ranks, $((8 / n)) of the 8 pictures of a step each" "$tmp/log"
    done
}
many=4
trial dcgan 1e-5 --sync-batchnorm
trial mlp 1e-5 --sync-batchnorm --seed 2      # with seed 1 rounding moves one number across a leaky relu's kink: a gradient's norm differs by 8e-5
trial wgan-gp 1e-5 --sync-batchnorm --tail 0 --lr 1e-4         # fifteen updates by Adam: with more norms they lose four digits, too
trial vaegan 1e-5 --sync-batchnorm
trial cyclegan 2e-2 --data-b synthetic:30
many=
trial dcgan64 1e-2 --sync-batchnorm --size 32
for recipe in lsgan hinge cgan; do trial $recipe 1e-5 --sync-batchnorm; done
trial wgan 1e-5 --sync-batchnorm --lr 5e-5  # RMSprop's first step has the sign of each gradient, be it nothing but rounding: a short one
trial r3gan 1e-3 --sync-batchnorm           # beta1 is 0: a gradient that is nothing but rounding is a whole step at once
for recipe in pix2pix stylegan classifier; do trial $recipe 1e-5; done
for recipe in adain features; do trial $recipe 1e-4 --size 32 --style synthetic:1; done
for recipe in style pattern; do             # what these ask of a batch as a whole is asked of each share: other numbers, the same weights in all ranks
    good "$recipe, 2 ranks" 2 $data --recipe $recipe $([ $recipe = style ] && echo --style synthetic:1 || echo --data-b synthetic:30) --out "$tmp/$recipe"
    check "$recipe: three steps" [ "$(wc -l <"$tmp/$recipe/log.csv")" = 4 ]
done
good "each rank its own batch norm" 2 $data --out "$tmp/own"
check "says so" grep -q 'batch norm over those of each rank' "$tmp/log"
check "which is another training, and the tolerance tells" far "$tmp/dcgan" "$tmp/own" 2e-6 1e-5

# ---- bit for bit: a world of one; the same ranks again, with other threads, and resumed ----
./train --threads 1 $data --out "$tmp/alone" >"$tmp/log" 2>"$tmp/err"
good "one rank" 1 $data --out "$tmp/one"
check "one rank is a program without MPI" same "$tmp/alone" "$tmp/one"
data6="$data --sync-batchnorm --average 0.9 --steps 6 --schedule constant"
good "2 ranks, 6 steps" 2 $data6 --out "$tmp/six"
good "and again with 2 threads each" 2 $data6 --threads 2 --out "$tmp/again"
check "the same bits" same "$tmp/six" "$tmp/again"
good "2 ranks, 3 of the 6" 2 $data6 --steps 3 --out "$tmp/half"
cp -r "$tmp/half" "$tmp/half1" && cp -r "$tmp/half" "$tmp/half4"
good "resumed by 2 ranks" 2 --resume "$tmp/half" --steps 6
check "resumed by 2 ranks: the same bits" same "$tmp/six" "$tmp/half"
for n in 1 4; do
    good "resumed by $n" $n --resume "$tmp/half$n" --steps 6
    check "resumed by $n: near" near "$tmp/six" "$tmp/half$n" 2e-6 1e-5
done
./train --resume "$tmp/half1" --steps 7 >"$tmp/log" 2>"$tmp/err"; status=$?
check "resumed by a program that may be built without MPI: status $status" [ "$status" -eq 0 ]
cycle="$data --size 8 --recipe cyclegan --data-b synthetic:30 --lr 1e-6 --schedule constant"        # so slow that rounding does not grow
for n in 1 2; do good "$n ranks, cyclegan" $n $cycle --steps 12 --out "$tmp/pool$n"; done         # the pool is full after 7 steps
check "cyclegan's pool is one rank's" near "$tmp/pool1" "$tmp/pool2" 2e-6 1e-5 6                   # of D: what has been through the pool
good "cyclegan, 9 of 12 steps" 2 $cycle --steps 9 --out "$tmp/pool"
good "cyclegan, resumed" 2 --resume "$tmp/pool" --steps 12
check "cyclegan, resumed: the same bits" same "$tmp/pool2" "$tmp/pool"

# ---- every way to get it wrong ----
bad "a batch that ranks cannot share" 2 '--batch 8: expected a multiple of 3' 3 $data
bad "--sync-batchnorm without batch norm" 2 'stylegan has no batch norm' 2 $data --recipe stylegan --sync-batchnorm
bad "--evaluate by two" 2 'start them without mpirun' 2 --evaluate "$tmp/six"
bad "ranks with other options" 1 'do not hold the same weights' 1 $data --out "$tmp/new" : -np 1 "$train" $data --seed 7
bad "a rank without data" 1 'rank 1 of 2.*/nowhere' 1 $data --out "$tmp/new" : -np 1 "$train" $data --data /nowhere
if ! ldd ./train | grep -q libmpi; then
    ./train $data --sync-batchnorm --out "$tmp/new" >"$tmp/log" 2>"$tmp/err"; status=$?
    check "--sync-batchnorm without MPI: status $status" [ "$status" -eq 2 ]
    check "--sync-batchnorm without MPI: says so" grep -q '^train: --sync-batchnorm: .*make MPI=1' "$tmp/err"
fi

# ---- signals: a rank that is killed, a rank or mpirun that is told to stop ----
long="$data --sync-batchnorm --average 0.9 --schedule constant --steps 1000000 --log-every 1"
stop() {                                    # stop RUN SIGNAL WHO: after five steps; WHO: the number of a rank, or mpirun
    : >"$tmp/log"                           # else `started` may see the lines of the run before
    mpirun $options -np 2 "$train" --threads 1 $long --checkpoint-every 2 --out "$tmp/$1" >"$tmp/log" 2>"$tmp/err" & job=$!
    check "$1: runs" started 5
    case $3 in mpirun) kill "-$2" $job;; *) kill "-$2" "$(pgrep -P $job | sed -n "$(($3 + 1))p")";; esac
    wait $job; status=$?
}
for rank in 0 1; do
    stop killed$rank KILL $rank
    check "rank $rank is killed: status $status" [ "$status" -ne 0 ]
    check "rank $rank is killed: a line says so" grep -qi "signal 9" "$tmp/err"
    good "rank $rank is killed: resumed" 2 --resume "$tmp/killed$rank" --steps "$(($(sed -n '$s/,.*//p' "$tmp/killed$rank/log.csv") + 6))"
done
stop told TERM 1
check "rank 1 is told to stop: status $status" [ "$status" -eq 130 ]
check "rank 1 is told to stop: all do" grep -q '^stopped at step ' "$tmp/log"
steps=$(sed -n '$s/,.*//p' "$tmp/told/log.csv")
check "and the checkpoint is of that step" grep -aq "\"step\":\"$steps\"" "$tmp/told/checkpoint.safetensors"
good "as many steps without a stop" 2 $long --steps "$steps" --out "$tmp/whole"
check "the same bits" same "$tmp/whole" "$tmp/told"
if [ -n "$options" ]; then                  # Open MPI passes USR1 on to all ranks
    stop usr1 USR1 mpirun
    check "mpirun is told to stop: status $status" [ "$status" -eq 130 ]
    check "mpirun is told to stop: all do" grep -q '^stopped at step ' "$tmp/log"
fi

counted mpi
