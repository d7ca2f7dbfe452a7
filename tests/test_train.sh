#!/bin/sh
# test_train.sh: the program `train` as its users meet it: what works, and every way to get it wrong. A wrong call must end
# with its exit status and exactly one line on standard error that says the right thing, must leave no folder behind, and must
# not touch a byte of a run that is there. Runs from the top folder, after the build. Makes its own data, byte by byte.
. tests/checks.sh

good() {                                    # good WHAT OPTIONS...: status 0 and nothing on standard error
    name=$1; shift
    ./train "$@" >"$tmp/log" 2>"$tmp/err"; status=$?
    check "$name: status $status" [ "$status" -eq 0 ]
    check "$name: standard error" lines "$tmp/err" 0
}
seal() { (cd "$tmp/kept" && find . -type f -exec cksum {} + | sort); }
judge() {                                   # judge WANTED WORDS: after a wrong call: $status, one line, no file, kept as it was
    check "$name: status $status, expected $1" [ "$status" -eq "$1" ]
    check "$name: one line" lines "$tmp/err" 1
    check "$name: says '$2'" grep -q -e "^train: .*$2" "$tmp/err"
    check "$name: leaves no file" [ ! -e "$tmp/new" ]
    check "$name: the run that is there is unharmed" [ "$(seal)" = "$sealed" ]
}
bad() {                                     # bad WHAT STATUS WORDS OPTIONS...: that status, one line with those words, no file
    name=$1 want=$2 words=$3; shift 3
    rm -rf "$tmp/new" && ./train "$@" >"$tmp/log" 2>"$tmp/err"; status=$?
    judge "$want" "$words"
}
logged() {                                  # logged RUN N: log.csv has the steps 1..N, each once, in order
    awk -F, -v n="$2" 'NR == 1 { columns = NF } NR > 1 && ($1 != NR - 1 || NF != columns) { wrong = 1 } END { exit wrong || NR - 1 != n }' "$1/log.csv"
}
losses() { sed 's/,[^,]*$//' "$1/log.csv"; }                      # log.csv without its last column, the seconds
names() { sed -n 's/^ *[A-Z]*_OPTION("\(--[a-z0-9-]*\)",.*/\1/p' training/run.h; }   # every option of the table
byte() { printf "\\$(printf %o "$1")"; }
tga() {                                     # tga FILE SIDE: a picture of that height and width, with the name's ending .tga
    { printf '\0\0\2\0\0\0\0\0\0\0\0\0'; byte "$2"; byte 0; byte "$2"; byte 0; byte 24; byte 32
      printf "$(awk -v n="$2" 'BEGIN { for (i = 0; i < 3 * n * n; i++) printf "\\%o", i * 37 % 256 }')"; } >"$1"
}
png_header() {                              # png_header FILE SIDE CRC: a PNG that says so in its header, and ends
    printf '\211PNG\r\n\032\n\0\0\0\015IHDR'"$2$2"'\010\002\0\0\0'"$3"'\0\0\0\0IEND\256B`\202' >"$1"
}
idx() {                                     # idx FILE DIMENSIONS COUNT SIDE BYTES: a file of Fashion-MNIST's format
    { printf '\0\0\010'; byte "$2"; printf '\0\0\0'; byte "$3"; printf '\0\0\0'; byte "$4"; printf '\0\0\0'; byte "$4"
      printf "$(awk -v n="$5" 'BEGIN { for (i = 0; i < n; i++) printf "\\%o", i * 11 % 256 }')"; } >"$1"
}
pat() {                                     # pat FILE CHANNELS SIDE: a GIMP pattern
    { printf '\0\0\0\034\0\0\0\001\0\0\0'; byte "$3"; printf '\0\0\0'; byte "$3"; printf '\0\0\0'; byte "$2"
      printf 'GPATdot\0'
      printf "$(awk -v n="$(($2 * $3 * $3))" 'BEGIN { for (i = 0; i < n; i++) printf "\\%o", i * 29 % 256 }')"; } >"$1"
}
started() {                                 # started: waits until the run in the background has done its third step
    tries=0
    until grep -q '^step 3/' "$tmp/log"; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] && { sleep 0.1 2>/dev/null || sleep 1; } || return 1
    done
}
appears() {                                 # appears FILE: waits until it is there
    tries=0
    until [ -e "$1" ]; do tries=$((tries + 1)); [ $tries -lt 200 ] && sleep 0.1 || return 1; done
}
background() {                              # background OPTIONS...: an endless run beside us; sh would have it ignore SIGINT
    : >"$tmp/log"
    env --default-signal=INT ./train --steps 1000000 --minutes 1 --log-every 1 --sample-every 0 --checkpoint-every 0 "$@" >"$tmp/log" 2>"$tmp/err" &
}

data="--data synthetic:40 --size 8 --batch 4"
paint="--recipe style --data synthetic:40 --size 16 --batch 2"
quick="$data --steps 2"

# ---- a run, and what it leaves ----
good "dcgan" $data --steps 8 --sample-every 3 --out "$tmp/kept"
sealed=$(seal)
for file in options.txt log.csv losses.png samples.png report.html checkpoint.safetensors samples/step-000003.png samples/step-000006.png \
            samples/step-000008.png; do
    check "a run leaves $file" [ -s "$tmp/kept/$file" ]
done
check "and nothing else" [ "$(find "$tmp/kept" -type f | wc -l)" -eq 9 ]
check "samples.png is the newest sheet" cmp -s "$tmp/kept/samples.png" "$tmp/kept/samples/step-000008.png"
check "report.html holds the three sheets and the plots" [ "$(grep -c '<img ' "$tmp/kept/report.html")" = 4 ]
check "report.html asks nobody for anything" [ "$(grep -c '<link\|src="[^d]\|http' "$tmp/kept/report.html")" = 0 ]
check "log.csv has a line for each step" logged "$tmp/kept" 8
check "log.csv names its columns" grep -q '^step,loss_d,loss_g,d_real,d_fake,norm_d,norm_g,.*,seconds$' "$tmp/kept/log.csv"
check "options.txt: the given" grep -q '^--size  *8$' "$tmp/kept/options.txt"
check "options.txt: a default" grep -q '^--seed  *1  *(default)$' "$tmp/kept/options.txt"
check "options.txt: the device that was asked for" grep -q '^--device  *auto  *(default)$' "$tmp/kept/options.txt"
check "options.txt: a recipe's default" grep -q '^--lr  *0.0005  *(default)$' "$tmp/kept/options.txt"
./train --help >"$tmp/help" 2>"$tmp/err"; status=$?
check "--help: status $status" [ "$status" -eq 0 ]
check "the table of options is found" [ "$(names | wc -l)" -gt 25 ]
for option in $(names); do
    check "--help explains $option" grep -q -e "^  $option .*[a-z]" "$tmp/help"
    check "options.txt tells $option" grep -q -e "^$option " "$tmp/kept/options.txt"
done
for recipe in dcgan style; do check "--help explains $recipe" grep -q "^  $recipe .*(.*)" "$tmp/help"; done
for program in train transfer validate; do
    ./$program --help >/dev/full 2>"$tmp/err"; status=$?
    check "$program --help to a full disk: status $status" [ $status = 1 ]
    check "$program --help to a full disk: one line" lines "$tmp/err" 1
    check "$program --help to a full disk: says so" grep -q "^$program: standard output: No space left" "$tmp/err"
done
good "--dry-run" $data --dry-run --out "$tmp/new"
check "--dry-run leaves no file" [ ! -e "$tmp/new" ]
check "--dry-run takes two steps" [ "$(grep -c '^dry run: step' "$tmp/log")" = 2 ]
good "--dry-run in the folder of a run" $data --dry-run --out "$tmp/kept"
check "--dry-run keeps a run" [ "$(seal)" = "$sealed" ]
good "--overwrite" --out="$tmp/over" $quick
good "--overwrite again" $data --steps 1 --out "$tmp/over" --overwrite
check "--overwrite starts anew" logged "$tmp/over" 1
for name in metrics.json mixing.png; do echo old >"$tmp/over/$name"; done
good "--overwrite of measures" $data --steps 1 --out "$tmp/over" --overwrite
for name in metrics.json mixing.png; do check "of the old run no $name stays" [ ! -e "$tmp/over/$name" ]; done
mkdir -p "$tmp/mine/samples" && for name in report.html notes.tmp-7 samples/step-7-guide.png; do echo precious >"$tmp/mine/$name"; done
bad "--out holds a stranger's report" 1 "mine/report.html: this file is no run's" $quick --out "$tmp/mine"
check "which stays" grep -q precious "$tmp/mine/report.html"
good "--overwrite of it" $quick --out "$tmp/mine" --overwrite
check "takes no file of another name" grep -q precious "$tmp/mine/notes.tmp-7" "$tmp/mine/samples/step-7-guide.png"
rm -r "$tmp/mine"
cp -r "$tmp/over" "$tmp/blocked" && rm -r "$tmp/blocked/samples" && echo file >"$tmp/blocked/samples"
bad "--overwrite where samples is a file" 1 "samples" $quick --out "$tmp/blocked" --overwrite
check "the old checkpoint stays" [ -e "$tmp/blocked/checkpoint.safetensors" ]
bad "--out without its value" 2 "--out needs a value" $quick --out --overwrite
./train $quick --out "$tmp/piped" 2>"$tmp/err" | true
check "nobody reads its lines: it goes on" [ -e "$tmp/piped/checkpoint.safetensors" ]
./train $data --steps 1 --log-every 1 --out "$tmp/over" --overwrite <&- >&- 2>&-
check "with everything closed, the log is a log" [ "$(sed -n '2s/,.*//p' "$tmp/over/log.csv")" = 1 ]
./train --resume "$tmp/over" --steps 3 <&- >"$tmp/log" 2>&1
check "and the run is not in its own way" logged "$tmp/over" 3
check "its seconds go on" awk -F, 'NR > 2 && $NF < last { exit 1 } { last = $NF }' "$tmp/over/log.csv"
for device in cpu naive; do
    good "--device $device" $quick --device $device --out "$tmp/$device"
    check "--device $device is named" grep -q "^device $device, [0-9]* thread" "$tmp/log"
done
good "a folder in folders that are not there" $quick --out "$tmp/a/b/c/"
check "is made" [ -s "$tmp/a/b/c/checkpoint.safetensors" ]

# ---- every recipe: it says what it is, and takes two steps ----
recipes=
for recipe in $(recipes); do
    good "--dry-run of $recipe" --recipe $recipe $(small $recipe) --dry-run
    check "$recipe: finite losses" [ "$(grep -c 'dry run: step .: D [0-9.-]* G [0-9.-]*,' "$tmp/log")" = 2 ]
    recipes="$recipes $recipe"
done
check "all recipes are there: $recipes" [ "$(echo $recipes | wc -w)" -ge 16 ]
cost=
for body in residual inception separable; do
    good "--body $body" --recipe pattern --data synthetic:40 --data-b synthetic:9 --size 16 --batch 2 --body $body --dry-run
    cost="$cost $(sed -n 's/^G \([0-9]*\) parameters, .* multiplications a picture.*/\1/p' "$tmp/log")"
done
check "each body is smaller than the one before:$cost" [ "$(echo $cost | tr ' ' '\n' | sort -rnu | tr '\n' ' ')" = "$(echo $cost) " ]
good "--classes" $quick --recipe cgan --classes 3,5 --out "$tmp/chosen"
check "--classes: fewer pictures" [ "$(sed -n 's/^data .*: \([0-9]*\) pictures.*/\1/p' "$tmp/log")" -lt 20 ]
good "--classes, and of these --limit" $quick --recipe cgan --classes 3 --limit 2 --batch 2 --out "$tmp/limited"
check "--limit counts pictures of the classes" [ "$(sed -n 's/^data .*: \([0-9]*\) pictures.*/\1/p' "$tmp/log")" = 2 ]
bad "--classes of --data-b" 1 "synthetic:5: no picture is of the classes 9" --recipe cyclegan --data synthetic:40 --data-b synthetic:5 --size 16 --batch 2 --steps 1 --classes 9 --out "$tmp/new"
mkdir -p "$tmp/two/dots" "$tmp/two/stripes" && cp "$tmp/kept/samples.png" "$tmp/two/dots/" && cp "$tmp/kept/losses.png" "$tmp/two/stripes/"
good "--classes of --data alone: a folder has others" --recipe cyclegan --data synthetic:40 --data-b "$tmp/two" --size 16 --batch 1 --steps 1 --classes 5 --out "$tmp/chosen2"
good "--out inside --data" --recipe cgan --data "$tmp/two" --size 8 --batch 2 --steps 1 --out "$tmp/two/run"
check "two pictures" grep -q "^data .*: 2 pictures" "$tmp/log"
good "--out inside --data, resumed" --resume "$tmp/two/run" --steps 2
check "--out inside --data: its own pictures are not among them" grep -q "^data .*: 2 pictures" "$tmp/log"
good "--out inside --data, resumed elsewhere" --resume "$tmp/two/run" --steps 3 --out "$tmp/elsewhere"
check "--out inside --data, elsewhere: two pictures still" grep -q "^data .*: 2 pictures" "$tmp/log"
bad "--out above --data" 1 "would lie among those it learns from" --data "$tmp/two/run/samples" --size 8 --batch 2 --steps 1 --out "$tmp/two/run" --overwrite
bad "--out is --data" 1 "would lie among those it learns from" --data "$tmp/two" --size 8 --batch 2 --steps 1 --out "$tmp/two"
bad "--out is --style" 1 "would lie among those it learns from" --recipe features --style "$tmp/two" --size 8 --batch 2 --steps 1 --out "$tmp/two"
bad "--out is a file" 1 "is a file, expected a folder" $quick --out "$tmp/kept/samples.png"
bad "an empty --resume" 2 "--resume needs a value" --resume ''
bad "--data-dir of a drawn set" 2 "--data-dir is where --data fashion-mnist lies" $quick --data-dir "$tmp" --out "$tmp/new"
good "a longer run" $quick --steps 4 --sample-every 1 --out "$tmp/longer"
good "--resume into another's folder" --resume "$tmp/chosen" --steps 3 --out "$tmp/longer" --overwrite
check "nothing of the other is left: $(echo $(ls "$tmp/longer/samples"))" [ "$(echo $(ls "$tmp/longer/samples"))" = step-000003.png ]
mv "$tmp/longer/checkpoint.safetensors" "$tmp/longer/kept.safetensors"
good "--resume a copy in its own folder" --resume "$tmp/longer/kept.safetensors" --steps 5
check "--resume a copy: the log stays" logged "$tmp/longer" 5
check "--resume a copy: the sheets stay" [ -s "$tmp/longer/samples/step-000003.png" ]
bad "--diversity of one picture" 2 "expected --batch 2 or more, or --diversity 0" --recipe pattern --data synthetic:9 --data-b synthetic:9 --size 16 --batch 1 --steps 1 --out "$tmp/new"
bad "--data of features" 2 "--data: the recipe features has no use for it" --recipe features --style synthetic:1 --data synthetic:9 --size 32 --steps 1 --out "$tmp/new"
good "--average" $quick --average 0.9 --out "$tmp/average"
good "--average, resumed" --resume "$tmp/average" --steps 4
check "--average: the checkpoint holds both" grep -aq '"g.now"' "$tmp/average/checkpoint.safetensors"
good "stylegan" $quick --recipe stylegan --out "$tmp/mixing"
check "stylegan leaves mixing.png" [ -s "$tmp/mixing/mixing.png" ]
good "vaegan" $quick --recipe vaegan --out "$tmp/codes"
check "vaegan leaves samples.png" [ -s "$tmp/codes/samples.png" ]
good "pattern" --recipe pattern --data synthetic:40 --data-b synthetic:9 --size 16 --batch 3 --steps 2 --out "$tmp/pattern"
check "pattern leaves samples.png" [ -s "$tmp/pattern/samples.png" ]
for schedule in linear cosine; do good "--schedule $schedule" $quick --schedule $schedule --out "$tmp/schedule"; rm -r "$tmp/schedule"; done
good "what keeps training healthy" $quick --smoothing 0.1 --weight-decay 1e-4 --diversity 0.5 --clip 1 --out "$tmp/health"
good "--init-from" $quick --init-from "$tmp/health" --out "$tmp/from"
check "--init-from says so" grep -q "first weights from $tmp/health/checkpoint" "$tmp/log"
bad "--critic of style" 2 "the recipe style updates D once" $paint --style synthetic:1 --critic 2 --steps 1 --out "$tmp/new"
bad "--penalty-weight of dcgan64" 2 "such as batch norm" --recipe dcgan64 --data synthetic:9 --size 32 --batch 2 --penalty-weight 10 --steps 1 --out "$tmp/new"
bad "--kl-weight of dcgan" 2 "--kl-weight: the recipe dcgan has no use for it: .*one of vaegan" $quick --kl-weight 1 --out "$tmp/new"
bad "--cycle-weight of pattern" 2 "one of cyclegan" --recipe pattern $quick --cycle-weight 1 --out "$tmp/new"
bad "--classes 12" 1 "'12' is no list of classes: those of synthetic:40 are 0 to 9" $quick --classes 12 --out "$tmp/new"
bad "--classes shirt" 1 "no list of classes" $quick --recipe cgan --classes shirt --out "$tmp/new"
bad "--classes of a folder without" 1 "no labels to choose" --data "$tmp/kept/samples.png" --size 8 --batch 2 --steps 1 --classes 1 --out "$tmp/new"
bad "--tail of mlp" 2 "--tail: the recipe mlp has no use for it: .*one of dcgan, dcgan64, lsgan, " --recipe mlp $quick --tail 8 --out "$tmp/new"
good "--tail 0" $quick --tail 0 --out "$tmp/tail"
check "document 001's network: 5x5 kernels, no layer before the last" [ "$(sed -n 's/^ *g.*[.]conv2d[a-z_]* .* //p' "$tmp/tail/options.txt" | xargs)" = "204864 1601" ]
bad "--resume with another --tail" 1 "is 5x5x64x128, the recipe needs 4x4x64x128: .*--tail?$" --resume "$tmp/tail" --steps 3 --tail 8 --out "$tmp/new"
bad "--body of dcgan" 2 "one of cyclegan, pattern, style" $quick --body separable --out "$tmp/new"
bad "--body round" 2 "expected residual, inception or separable" --recipe style $quick --style synthetic:1 --body round --out "$tmp/new"
bad "--smoothing of wgan" 2 "one of dcgan, mlp" --recipe wgan $quick --smoothing 0.1 --out "$tmp/new"
bad "--average of classifier" 2 "the recipe classifier has no use for it" --recipe classifier $quick --average 0.9 --out "$tmp/new"
bad "--resume without its --average" 1 "made with --average" --resume "$tmp/average" --steps 6 --average 0 --out "$tmp/new"
bad "--resume with an --average it had not" 1 "made without --average" --resume "$tmp/kept" --steps 20 --average 0.9 --out "$tmp/new"
bad "--sync-batchnorm in one process" 2 "--sync-batchnorm: " $quick --sync-batchnorm --out "$tmp/new"
bad "--prune in training" 2 "--prune: for --compress only" $quick --prune 0.3 --out "$tmp/new"
bad "--samples in training" 2 "--samples: for --evaluate only" $quick --samples 100 --out "$tmp/new"
bad "--evaluate with --steps" 2 "--steps: for training only: omit it" --evaluate "$tmp/kept" --steps 3
bad "--evaluate with --out" 2 "--out: for training, --compress only" --evaluate "$tmp/kept" --out "$tmp/new"
bad "a name that is not UTF-8" 2 "--out: a name that is not UTF-8" $quick --out "$(printf '%s/\377' "$tmp")"
bad "--average 1" 2 "--average 1: expected" $quick --average 1 --out "$tmp/new"
bad "--resume and --init-from" 2 "expected one of them" --resume "$tmp/health" --init-from "$tmp/health" --steps 9
bad "--schedule spiral" 2 "expected constant, linear or cosine" $quick --schedule spiral --out "$tmp/new"
bad "--init-from nothing" 1 "expected a run's folder" $quick --init-from "$tmp/nothing" --out "$tmp/new"
bad "--init-from another recipe" 1 "made with --recipe dcgan" --recipe lsgan $quick --init-from "$tmp/health" --out "$tmp/new"
bad "cyclegan with an empty side" 1 "data-b: .*nothing" --recipe cyclegan --data synthetic:9 --data-b "$tmp/nothing" --size 16 --batch 2 --steps 1 --out "$tmp/new"

# ---- the same seed, the same bits; in two parts as in one. All are made in one folder: its name is in the checkpoint ----
for recipe in dcgan style; do
    case $recipe in dcgan) run="$data --augment all --schedule constant" ;; *) run="$paint --style synthetic:1" ;; esac
    one=$tmp/${recipe}1
    for n in 1 2 3; do
        good "$recipe, $n threads" $run --steps 8 --threads $n --out "$tmp/run"
        mv "$tmp/run" "$tmp/$recipe$n"
    done
    for n in 2 3; do
        check "$recipe: the weights of 1 and $n threads" \
            cmp -s "$one/checkpoint.safetensors" "$tmp/$recipe$n/checkpoint.safetensors"
        check "$recipe: the losses of 1 and $n threads" [ "$(losses "$one")" = "$(losses "$tmp/$recipe$n")" ]
    done
    good "$recipe, four steps" $run --steps 4 --out "$tmp/run"
    if [ $recipe = dcgan ]; then good "dcgan, four more" --resume "$tmp/run" --steps 8
    else good "style, four more" --resume "$tmp/run/checkpoint.safetensors" --steps 8; fi
    check "$recipe: 4 + 4 steps are 8, to the bit" cmp -s "$tmp/run/checkpoint.safetensors" "$one/checkpoint.safetensors"
    check "$recipe: 4 + 4 losses are 8" [ "$(losses "$tmp/run")" = "$(losses "$one")" ]
    check "$recipe: each step once" logged "$tmp/run" 8
    check "$recipe: 4 + 4 steps paint as 8" cmp -s "$tmp/run/samples.png" "$one/samples.png"
    rm -r "$tmp/run"
done
good "another seed" $data --augment all --steps 8 --seed 2 --out "$tmp/run"
check "other losses" [ "$(losses "$tmp/run")" != "$(losses "$tmp/dcgan1")" ]
check "--augment all and none differ" [ "$(losses "$tmp/kept")" != "$(losses "$tmp/dcgan1")" ]
good "a run goes on in another folder" --resume "$tmp/kept" --steps 9 --out "$tmp/moved"
check "with its whole log" logged "$tmp/moved" 9
check "and stays as it was" [ "$(seal)" = "$sealed" ]
good "--resume with another --lr" --resume "$tmp/moved" --steps 10 --lr 0.001
check "the new --lr" grep -q '^--lr  *0.001$' "$tmp/moved/options.txt"
check "the old --batch" grep -q '^--batch  *4' "$tmp/moved/options.txt"
good "--resume on another device" --resume "$tmp/moved" --steps 11 --device naive
check "the new --device" grep -q '^--device  *naive$' "$tmp/moved/options.txt"
good "--epochs" $data --epochs 0.5 --out "$tmp/epochs"
check "half of 40 pictures by 4 are 5 steps" logged "$tmp/epochs" 5
good "--epochs of wgan" $data --recipe wgan --epochs 1 --out "$tmp/over" --overwrite
check "each step draws five batches" logged "$tmp/over" 2
bad "Adam's option" 2 "has no use for it" $data --recipe wgan --beta1 0.5 --out "$tmp/over"
good "--epochs, then --steps" --resume "$tmp/epochs" --steps 7
check "are 7 steps" logged "$tmp/epochs" 7
good "then --epochs again" --resume "$tmp/epochs" --epochs 0.8
check "are 8 steps" logged "$tmp/epochs" 8

# ---- other data, other styles ----
mkdir -p "$tmp/flat" "$tmp/classes/shirt" "$tmp/classes/shoe" "$tmp/styles" "$tmp/empty"
cp "$tmp/kept/samples/"*.png "$tmp/flat" && tga "$tmp/flat/a.tga" 20 && echo hidden >"$tmp/flat/.hidden"
cp "$tmp/kept/samples/step-000003.png" "$tmp/classes/shirt" && cp "$tmp/flat/a.tga" "$tmp/classes/shoe"
cp "$tmp/kept/losses.png" "$tmp/styles" && pat "$tmp/styles/dots.pat" 3 7
idx "$tmp/pictures" 3 10 9 810
gzip -c "$tmp/pictures" >"$tmp/pictures.gz"
good "a folder of pictures" --data "$tmp/flat/" --size 8 --batch 4 --steps 2 --out "$tmp/flat1"
check "4 pictures of it" grep -q ': 4 pictures of 8x8x3$' "$tmp/log"
good "class folders" --data "$tmp/classes" --size 8 --batch 4 --steps 2 --out "$tmp/classes1"
check "2 pictures" grep -q ': 2 pictures of 8x8x3$' "$tmp/log"
good "one picture" --data "$tmp/flat/a.tga" --size 8 --batch 4 --steps 2 --out "$tmp/one1"
good "an IDX file" --data "$tmp/pictures" --size 8 --batch 4 --steps 2 --out "$tmp/run" --overwrite
check "10 pictures" grep -q ': 10 pictures of 8x8x1$' "$tmp/log"
losses "$tmp/run" >"$tmp/plain"
good "an IDX file, packed" --data "$tmp/pictures.gz" --size 8 --batch 4 --steps 2 --out "$tmp/run" --overwrite
check "holds the same pictures" [ "$(losses "$tmp/run")" = "$(cat "$tmp/plain")" ]
mkdir "$tmp/many" && tga "$tmp/side16" 16
yes "$tmp/side16" | head -n 4200 | xargs cat | split -b 786 -a 4 --additional-suffix=.tga - "$tmp/many/"
good "4,200 styles" --recipe features --style "$tmp/many" --size 16 --batch 2 --steps 1 --out "$tmp/many1"
check "4200 pictures" grep -q ': 4200 pictures of 16x16x3$' "$tmp/log"
good "--limit" $quick --limit 5 --out "$tmp/limit"
check "5 pictures" grep -q ': 5 pictures' "$tmp/log"
for style in "$tmp/styles" "$tmp/styles/dots.pat" "$tmp/kept/losses.png" synthetic synthetic:5; do
    good "--style $style" $paint --steps 2 --style "$style" --out "$tmp/run" --overwrite
done
bad "--style-scale too small" 2 "expected 0, or 0.125 to 32" $paint --steps 2 --style "$tmp/styles" --style-scale 0.001 --out "$tmp/new"
good "style from pictures onto pictures" --recipe style --data "$tmp/flat" --style "$tmp/flat/a.tga" --size 16 --batch 2 \
    --steps 2 --style-scale 0.5 --augment flip,rotation=10 --out "$tmp/run" --overwrite
cp "$tmp/flat/a.tga" "$tmp/styles/b.tga" && cp -r "$tmp/flat" "$tmp/mixed" && echo text >"$tmp/mixed/notes.png"
./train --data "$tmp/mixed" --size 8 --batch 4 --steps 2 --out "$tmp/mixed1" >"$tmp/log" 2>"$tmp/err"; status=$?
check "an unreadable file among pictures: status $status" [ "$status" -eq 0 ]
check "is reported in one line" lines "$tmp/err" 1
check "by its name" grep -q '1 files skipped.*notes.png' "$tmp/err"
if [ -e /usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz ]; then
    good "Fashion-MNIST" --data fashion-mnist:test --limit 20 --size 8 --batch 4 --steps 2 --out "$tmp/fashion"
    check "20 pictures of it" grep -q ': 20 pictures' "$tmp/log"
    good "dcgan64's own pictures" --recipe dcgan64 --size 16 --batch 2 --limit 9 --steps 1 --out "$tmp/tinted"
    check "are in colour" grep -q '^data fashion-mnist:tinted: 9 pictures of 16x16x3' "$tmp/log"
fi

# threads get 128 KB of stack from musl, and 512 KB from macOS
env OMP_STACKSIZE=128k ./train --data synthetic:40 --size 32 --batch 2 --steps 1 --threads 3 --overwrite --out "$tmp/run" >"$tmp/log" 2>"$tmp/err"
check "threads with a small stack" [ $? -eq 0 ]

# ---- a classifier: labels; the same bits for any number of threads; in two parts as in one ----
rm -rf "$tmp/run"
judge_of="--recipe classifier --data synthetic:200 --size 13 --batch 16"
for n in 1 2 3; do
    good "classifier, $n threads" $judge_of --steps 40 --threads $n --out "$tmp/run"
    check "classifier: says its accuracy" grep -q '^accuracy [0-9.]*% on the 200 pictures it was trained with' "$tmp/log"
    mv "$tmp/run" "$tmp/classifier$n"
done
right=$(sed -n 's/^accuracy \([0-9]*\).*/\1/p' "$tmp/log")
check "classifier: it has learned something: $right% of ten classes" [ "${right:-0}" -ge 40 ]
for n in 2 3; do
    check "classifier: the weights of 1 and $n threads" \
        cmp -s "$tmp/classifier1/checkpoint.safetensors" "$tmp/classifier$n/checkpoint.safetensors"
done
good "classifier, 17 steps" $judge_of --steps 17 --out "$tmp/run"
good "classifier, 23 more" --resume "$tmp/run" --steps 40
check "classifier: 17 + 23 steps are 40, to the bit" cmp -s "$tmp/run/checkpoint.safetensors" "$tmp/classifier1/checkpoint.safetensors"
rm -r "$tmp/run"
good "classifier of folders" --recipe classifier --data "$tmp/classes" --size 8 --batch 4 --steps 2 --out "$tmp/folders"

# ---- measured runs: the table's rows stand in the right order; the same numbers for any number of threads ----
number() { sed -n 's/.*"'"$2"'":.*"'"$3"'": \([-+0-9.e]*\).*/\1/p' "$1"; }             # number FILE ROW MEASURE
rising() {                                  # rising FACTOR NUMBER...: each is more than FACTOR times the one before
    factor=$1; shift
    echo "$@" | awk -v f="$factor" '{ for (i = 2; i <= NF; i++) if (!($i > f * $(i - 1))) exit 1; exit NF < 2 }'
}
good "a classifier" --recipe classifier --data synthetic --size 12 --batch 32 --steps 150 --out "$tmp/judge"
good "a run to be measured" --data synthetic --size 12 --batch 8 --steps 20 --out "$tmp/measured"
sealed_run=$(cksum <"$tmp/measured/checkpoint.safetensors")
for n in 1 2 3; do
    good "--evaluate, $n threads" --evaluate "$tmp/measured" --classifier "$tmp/judge" --samples 401 --threads $n
    mv "$tmp/measured/metrics.json" "$tmp/metrics$n"
done
check "--evaluate: metrics.json of 1, 2 and 3 threads" [ "$(cat "$tmp/metrics1" | cksum)" = "$(cat "$tmp/metrics2" | cksum)" ]
check "--evaluate: metrics.json of 1, 2 and 3 threads" [ "$(cat "$tmp/metrics1" | cksum)" = "$(cat "$tmp/metrics3" | cksum)" ]
check "--evaluate: metrics.json says of which step" grep -q '"step": 20,' "$tmp/metrics1"
check "--evaluate leaves the checkpoint as it was" [ "$(cksum <"$tmp/measured/checkpoint.safetensors")" = "$sealed_run" ]
for what in fcd patch_wasserstein; do
    order=; for row in real noise_0.1 noise_0.3 blurred noise; do order="$order $(number "$tmp/metrics1" $row $what)"; done
    check "$what: floor < noise .1 < noise .3 < blur < noise alone: $order" rising 1.2 $order
done
for what in grain checkerboard; do
    order=; for row in blurred real noise_0.1 noise_0.3; do order="$order $(number "$tmp/metrics1" $row $what)"; done
    check "$what: blur < real ones < noise .1 < noise .3: $order" rising 1.1 $order
done
order="$(number "$tmp/metrics1" noise precision) $(number "$tmp/metrics1" noise_0.3 precision) $(number "$tmp/metrics1" real precision)"
check "precision: noise alone < noise .3 < real: $order" rising 1 $order
check "10 classes among real pictures" [ "$(number "$tmp/metrics1" real classes_covered)" = 10 ]
good "a style, to be measured" $paint --size 24 --style synthetic:1 --steps 2 --out "$tmp/painted"
good "--evaluate a style" --evaluate "$tmp/painted" --samples 60
for what in coherence_16 coverage_16; do
    order="$(number "$tmp/painted/metrics.json" style $what) $(number "$tmp/painted/metrics.json" noise $what)"
    check "$what: a pattern is told from noise of its colours: $order" rising 5 $order
done
check "the untouched content has moved by nothing but rounding" rising 1 "$(number "$tmp/painted/metrics.json" untouched content_distance)" 1e-9

# ---- recipes that repaint: against the pictures that theirs are to become like ----
good "cyclegan, to be measured" --recipe cyclegan --data synthetic:60 --data-b synthetic --size 12 --batch 4 --steps 2 --out "$tmp/cycle"
for n in 1 3; do
    good "--evaluate cyclegan, $n threads" --evaluate "$tmp/cycle" --classifier "$tmp/judge" --threads $n
    mv "$tmp/cycle/metrics.json" "$tmp/cycle$n"
done
check "--evaluate cyclegan: metrics.json of 1 and 3 threads" cmp -s "$tmp/cycle1" "$tmp/cycle3"
check "as many as there are contents" grep -q '"contents": "synthetic:60",' "$tmp/cycle1"
check "as many as there are contents" grep -q '"samples": 60,' "$tmp/cycle1"
for distance in content_distance l1; do
    check "the untouched contents are kept: $distance" [ "$(number "$tmp/cycle1" untouched $distance)" = 0 ]
    order="$(number "$tmp/cycle1" untouched_noise_0.2 $distance) $(number "$tmp/cycle1" untouched_bright_noise_0.3 $distance)"
    check "$distance: noise .2 < other brightness and noise .3: $order" rising 1.5 $order
done
check "the kinds of two sets differ: no KL" [ -z "$(number "$tmp/cycle1" run kl_to_uniform)" ]
good "pix2pix, to be measured" --recipe pix2pix --data synthetic --size 12 --batch 8 --steps 60 --out "$tmp/drawn"
good "--evaluate pix2pix" --evaluate "$tmp/drawn" --classifier "$tmp/judge" --samples 203
for what in fcd l1; do
    order="$(number "$tmp/drawn/metrics.json" run $what) $(number "$tmp/drawn/metrics.json" untouched $what)"
    check "pix2pix is nearer to the pictures drawn than their drawings: $what $order" rising 1.2 $order
done
order="$(number "$tmp/drawn/metrics.json" run l1) $(number "$tmp/drawn/metrics.json" real l1)"
check "and nearer than other pictures are: $order" rising 1.2 $order
if [ -e /usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz ]; then
    good "a classifier of Fashion-MNIST" --recipe classifier --size 20 --steps 30 --limit 5000 --out "$tmp/fashion_judge"
    good "plain garments, repainted" --recipe cyclegan --size 20 --batch 2 --steps 1 --out "$tmp/patterns"
    good "--evaluate them" --evaluate "$tmp/patterns" --classifier "$tmp/fashion_judge" --samples 120
    check "by the test part" grep -q '^120 pictures of .* against 120 of fashion-mnist:test:patterned' "$tmp/log"
    for row in untouched untouched_noise_0.2 untouched_bright_noise_0.3; do
        for distance in patch_wasserstein cloth_wasserstein; do
            order="$(number "$tmp/patterns/metrics.json" real $distance) $(number "$tmp/patterns/metrics.json" $row $distance)"
            check "$distance: noise is no pattern: $row $order" rising 1.5 $order
        done
    done
    bad "--evaluate: a judge of gray pictures" 1 "trained on fashion-mnist at .*, the run on fashion-mnist:tinted at --size 16: .*--data fashion-mnist:tinted" \
        --evaluate "$tmp/tinted" --classifier "$tmp/fashion_judge"
fi

# ---- compressed runs ----
size_of() { wc -c <"$1"; }
good "--compress" --compress "$tmp/measured" --out "$tmp/half.safetensors"
good "--compress to int8" --compress "$tmp/measured" --prune 0.5 --quantize int8 --out "$tmp/small.safetensors"
check "says how much is zero" grep -q 'weights .* are zero (50.[0-9]%)' "$tmp/log"
check "int8 < float16 < a sixth of the checkpoint" rising 1 $(size_of "$tmp/small.safetensors") $(size_of "$tmp/half.safetensors") \
    $(($(size_of "$tmp/measured/checkpoint.safetensors") / 6))
good "--evaluate a compressed run" --evaluate "$tmp/half.safetensors" --classifier "$tmp/judge" --samples 401
check "float16 measures nearly the same" rising 0.98 "$(number "$tmp/metrics1" run fcd)" "$(number "$tmp/half.metrics.json" run fcd)" \
    "$(number "$tmp/metrics1" run fcd)"
cp "$tmp/measured/checkpoint.safetensors" "$tmp/as-it-was"
bad "--compress over its source" 1 "would overwrite the run that is read" --compress "$tmp/measured" --out "$tmp/measured/checkpoint.safetensors" --overwrite
bad "--compress with a judge" 2 "--classifier: for --evaluate only" --compress "$tmp/measured" --classifier "$tmp/judge" --out "$tmp/none.safetensors"
check "the source is unharmed" cmp -s "$tmp/measured/checkpoint.safetensors" "$tmp/as-it-was"
bad "--compress with what it does not use" 2 "--limit: for training, --evaluate only" --compress "$tmp/measured" --limit 3 --out "$tmp/none.safetensors"
bad "--classifier of a style" 2 "measures the recipe style by its style" --evaluate "$tmp/painted" --classifier "$tmp/judge"
good "--compress a style" --compress "$tmp/painted" --quantize int8 --out "$tmp/paint.safetensors"
./transfer --generator "$tmp/paint.safetensors" --content "$tmp/kept/losses.png" --size 64 --output "$tmp/small.png" >"$tmp/log" 2>"$tmp/err"; status=$?
check "transfer reads a compressed generator: status $status" [ "$status" -eq 0 ]

# ---- to stop, and to go on ----
for signal in INT TERM; do
    rm -rf "$tmp/stopped" && : >"$tmp/log"
    background $data --out "$tmp/stopped"
    check "$signal: the run starts" started
    kill -s $signal $!
    wait $!; status=$?
    check "$signal: status $status, expected 130" [ "$status" -eq 130 ]
    check "$signal: standard error" lines "$tmp/err" 0
    at=$(sed -n 's/^stopped at step \([0-9]*\); .*/\1/p' "$tmp/log")
    check "$signal: says where" [ "${at:-0}" -ge 3 ]
    check "$signal: the log" logged "$tmp/stopped" "$at"
    check "$signal: the samples" [ -s "$tmp/stopped/samples.png" ]
    good "$signal: and on" --resume "$tmp/stopped" --steps $((at + 2))
    check "$signal: two more" logged "$tmp/stopped" $((at + 2))
done
rm -rf "$tmp/stopped" && background $data --out "$tmp/stopped"
check "INT twice: the run starts" started
kill -s INT $! && sleep 0.15 && kill -s INT $! 2>/dev/null
wait $!; status=$?
check "INT twice within 0.2 s: status $status, expected 130" [ "$status" -eq 130 ]
check "INT twice: a checkpoint" [ -s "$tmp/stopped/checkpoint.safetensors" ]
rm -rf "$tmp/stopped" && background --data synthetic:40 --size 32 --batch 1024 --threads 1 --out "$tmp/stopped"    # steps of seconds
check "INT at once: the run begins" appears "$tmp/stopped/log.csv"
sleep 0.2; kill -s INT $! && sleep 1.2 && kill -s INT $!
wait $!; status=$?
check "INT again after a second, within a step: status $status, expected 130" [ "$status" -eq 130 ]
check "INT again ends at once: no checkpoint" [ ! -e "$tmp/stopped/checkpoint.safetensors" ]
for signal in HUP INT TERM; do
    rm -rf "$tmp/stopped" && : >"$tmp/log"
    (trap '' $signal; exec ./train $data --steps 200 --log-every 1 --sample-every 0 --out "$tmp/stopped") >"$tmp/log" 2>"$tmp/err" &
    check "ignored $signal: the run starts" started
    kill -s $signal $!
    wait $!; status=$?
    check "$signal that was ignored when it began (nohup): status $status, expected 0" [ "$status" -eq 0 ]
    check "ignored $signal: goes on to its end" logged "$tmp/stopped" 200
done
good "--minutes" $data --steps 1000000 --minutes 0.003 --log-every 1000 --sample-every 0 --out "$tmp/minutes"
check "--minutes: a checkpoint" [ -s "$tmp/minutes/checkpoint.safetensors" ]
steps=$(($(wc -l <"$tmp/minutes/log.csv") - 1))
check "--minutes: $steps steps" [ "$steps" -ge 1 ]
good "--minutes: and on" --resume "$tmp/minutes" --steps $((steps + 1))
(unset OMP_WAIT_POLICY && exec ./train $quick --out "$tmp/waits") >"$tmp/log" 2>"$tmp/err"; status=$?
check "without OMP_WAIT_POLICY: status $status" [ "$status" -eq 0 ]

# ---- numbered checkpoints, to go back to ----
numbered() { (cd "$tmp/numbered" && echo $(ls checkpoint-* 2>/dev/null | sed 's/checkpoint-0*//; s/.safetensors//')); }
here() { [ "$(numbered)" = "$1" ]; }
back="$tmp/numbered/checkpoint-000004.safetensors"
good "--keep-checkpoints" $data --schedule constant --steps 8 --checkpoint-every 2 --sample-every 2 --keep-checkpoints 3 --out "$tmp/numbered"
check "--keep-checkpoints 3: the newest three, not $(numbered)" here "4 6 8"
check "the newest is checkpoint.safetensors too" cmp -s "$tmp/numbered/checkpoint-000008.safetensors" "$tmp/numbered/checkpoint.safetensors"
cp -r "$tmp/numbered" "$tmp/numbered8"
bad "a numbered checkpoint with all steps done" 1 "step 4 of 4 is done already" --resume "$back" --steps 4
good "back to a numbered checkpoint" --resume "$back" --steps 5
check "back: the log is cut to that step" logged "$tmp/numbered" 5
check "back: the later ones are gone, not $(numbered)" here "4 5"
check "back: the later sheets are gone" [ "$(echo $(ls "$tmp/numbered/samples"))" = "step-000002.png step-000004.png step-000005.png" ]
good "back, and on to the end" --resume "$tmp/numbered" --steps 8
check "back, and on: the same bits" [ "$(losses "$tmp/numbered")" = "$(losses "$tmp/numbered8")" ]
check "back, and on: the same pictures" cmp -s "$tmp/numbered/samples.png" "$tmp/numbered8/samples.png"
check "back, and on: three stay, not $(numbered)" here "5 6 8"
good "from a numbered checkpoint into another folder" --resume "$tmp/numbered/checkpoint-000006.safetensors" --steps 7 --out "$tmp/branch"
check "which leaves the first as it was" here "5 6 8"
rm "$tmp/numbered/checkpoint.safetensors"
bad "--out holds numbered checkpoints only" 1 "checkpoint-000005.safetensors: this folder holds a run already" $quick --out "$tmp/numbered"
cp "$tmp/numbered/checkpoint-000008.safetensors" "$tmp/numbered/checkpoint-best.safetensors"
good "--overwrite of numbered checkpoints" $data --steps 2 --overwrite --out "$tmp/numbered"
check "--overwrite takes them away, not a file of another name: $(numbered)" here "best"
if cc=$(command -v gcc || command -v cc) && echo '#include <errno.h>
int link(const char *a, const char *b) { (void)a, (void)b; errno = EPERM; return -1; }' | $cc -shared -fPIC -o "$tmp/nolink.so" -x c - 2>/dev/null; then
    LD_PRELOAD="$tmp/nolink.so" ./train $data --steps 4 --checkpoint-every 1 --keep-checkpoints 2 --overwrite --out "$tmp/numbered" >"$tmp/log" 2>"$tmp/err"; status=$?
    rm "$tmp/numbered/checkpoint-best.safetensors"
    check "a disk without links: status $status" [ "$status" -eq 0 ]
    check "a disk without links: copies, not $(numbered)" here "3 4"
    check "a disk without links: the same bytes" cmp -s "$tmp/numbered/checkpoint-000004.safetensors" "$tmp/numbered/checkpoint.safetensors"
fi

# ---- wrong options ----
# ---- two runs, one folder; and a new run over an old one ----
./train $data --steps 4 --sample-every 1 --out "$tmp/shared" >/dev/null 2>&1
./train $data --steps 200000 --minutes 1 --sample-every 0 --checkpoint-every 0 --overwrite --out "$tmp/shared" >/dev/null 2>&1 &
other=$!
until [ ! -e "$tmp/shared/checkpoint.safetensors" ] || ! kill -0 $other 2>/dev/null; do sleep 0.1; done
sleep 1
check "--overwrite takes the old checkpoint away" [ ! -e "$tmp/shared/checkpoint.safetensors" ]
check "--overwrite takes the old samples away" [ ! -e "$tmp/shared/samples/step-000004.png" ]
./train $data --steps 4 --overwrite --out "$tmp/shared" >"$tmp/log" 2>"$tmp/err"; status=$?
check "a second run in the folder: status $status" [ "$status" -eq 1 ]
check "a second run in the folder: one line" lines "$tmp/err" 1
check "a second run in the folder: says so" grep -q "another ./train is writing there" "$tmp/err"
kill -HUP $other; wait $other
check "a lost terminal leaves a checkpoint" [ -s "$tmp/shared/checkpoint.safetensors" ]

new="--out $tmp/new"
bad "--batch 0" 2 "--batch 0: expected a whole number from 1" $new $data --batch 0
bad "--batch x" 2 "--batch x: expected a whole number" $new $data --batch x
bad "--batch 1.5" 2 "whole number" $new $data --batch 1.5
bad "--batch nothing" 2 "--batch needs a value" $new $data --batch=
bad "--batch 4x" 2 "whole number" $new $data --batch 4x
bad "--steps 0" 2 "--steps 0" $new $data --steps 0
bad "--seed -1" 2 "--seed -1" $new $data --seed -1
bad "--lr nan" 2 "--lr nan: expected a number" $new $data --lr nan
bad "--lr inf" 2 "--lr inf: expected a number" $new $data --lr=inf
bad "--lr -1" 2 "--lr -1: expected a number" $new $data --lr -1
bad "--beta1 1" 2 "--beta1 1: " $new $data --beta1 1
bad "unknown recipe" 2 "unknown recipe 'dcgn', did you mean 'dcgan'" $new $data --recipe dcgn
bad "unknown recipe, nothing near" 2 "unknown recipe 'portrait'" $new $data --recipe portrait
bad "unknown option" 2 "unknown option '--bach', did you mean '--batch'" $new $data --bach 4
bad "unknown word" 2 "unknown option 'dcgan'" dcgan
bad "an option without its value" 2 "--batch needs a value" $new $data --batch
bad "--size 30, dcgan" 2 "multiple of 4" $new $data --size 30
bad "--size 20, style" 2 "multiple of 8" $new $paint --style synthetic --size 20
bad "--device" 2 "--device abacus: expected auto, cpu, naive or cuda" $new $data --device abacus
bad "--device, nearly" 2 "did you mean 'naive'" $new $data --device naiv
bad "--device nothing" 2 "--device needs a value" $new $data --device=
bad "--precision" 2 "--precision float: expected float32, tf32 or bf16, did you mean 'float32'" $new $data --precision float
for precision in tf32 bf16; do
    bad "--precision $precision" 2 "only the device cuda has it" $new $data --precision $precision --device cpu
done
./train $data --dry-run --device cuda >"$tmp/log" 2>"$tmp/err"; status=$?
if grep -q "without CUDA" "$tmp/err"; then
    bad "--device cuda" 2 "built without CUDA: run make again .*nvcc.* --device cpu" $new $data --device cuda
    bad "--precision tf32, no --device" 2 "only the device cuda has it" $new $data --precision tf32
fi
bad "--augment" 2 "sheer.* unknown" $new $data --augment flip,sheer
bad "--augment range" 2 "augment" $new $data --augment rotation=x
bad "no --style" 2 "needs --style" $new $paint
bad "--steps and --epochs" 2 "--steps 2 and --epochs 1: expected one of the two" $quick --epochs 1 $new
long=$(head -c 4001 /dev/zero | tr '\0' a)
bad "a long --out" 2 "longer than 4000 characters" $quick --out "$long"
bad "a long --data" 1 "aaa...: the name is too long" --size 8 --batch 4 --steps 2 $new --data "$long"

# ---- wrong data ----
head -c 300 "$tmp/kept/samples.png" >"$tmp/cut.png"
png_header "$tmp/zero.png" '\0\0\0\0' '\264\351\353\105'
png_header "$tmp/huge.png" '\0\001\206\240' '\047\060\234\237'
png_header "$tmp/crc.png" '\0\001\206\240' '\0\0\0\0'
mkdir "$tmp/junk" && echo text >"$tmp/junk/a.txt" && echo text >"$tmp/junk/b.png" && cp "$tmp/cut.png" "$tmp/junk/c.png"
tga "$tmp/small.tga" 10
pat "$tmp/seven.pat" 7 4
idx "$tmp/magic" 1 10 9 810
idx "$tmp/short" 3 10 9 809
idx "$tmp/long" 3 10 9 811
idx "$tmp/none" 3 0 9 0
head -c 100 "$tmp/pictures.gz" >"$tmp/cut.gz"
with="--size 8 --batch 4 --steps 2 $new"
bad "no such data" 1 "$tmp/nowhere: No such file.*expected a folder" $with --data "$tmp/nowhere"
bad "a name with a line break" 1 "no?where" $with --data "$tmp/no
where"
bad "an empty folder" 1 "$tmp/empty: none of the 0 files.*known are PNG" $with --data "$tmp/empty"
bad "a folder without a picture" 1 "$tmp/junk: none of the 3 files.*known are PNG.*such as .*$tmp/junk/" $with --data "$tmp/junk"
bad "a text for a picture" 1 "none of the 1 files" $with --data "$tmp/junk/a.txt"
bad "a cut picture" 1 "cut.png" $with --data "$tmp/cut.png"
bad "0x0 pixels" 1 "zero.png.*0 x 0 pixels" $with --data "$tmp/zero.png"
bad "100000x100000 pixels" 1 "huge.png.*100000 x 100000 pixels" $with --data "$tmp/huge.png"
bad "IDX, wrong magic" 1 "magic.*00000801.*expected 00000803" $with --data "$tmp/magic"
bad "IDX, too short" 1 "short: 825 bytes, .* promises 826" $with --data "$tmp/short"
bad "IDX, too long" 1 "long: 827 bytes, .* promises 826" $with --data "$tmp/long"
bad "IDX, no picture" 1 "none: size 0 of its pictures .* is 0" $with --data "$tmp/none"
bad "IDX, cut gzip" 1 "cut.gz: damaged gzip" $with --data "$tmp/cut.gz"
{ printf '\0\0\010\003\0\0\0\001\0\0\100\0\0\0\100\0'; } >"$tmp/wide" && truncate -s 268435472 "$tmp/wide"
bad "IDX, 16384 x 16384 pixels" 1 "wide: more than 50 megapixels: 16384 x 16384" $with --data "$tmp/wide"
mkdir "$tmp/mnist" && cp "$tmp/pictures" "$tmp/mnist/train-images-idx3-ubyte"
bad "Fashion-MNIST without labels" 1 "expected Fashion-MNIST's pictures and labels" $with --data fashion-mnist:plain --data-dir "$tmp/mnist"
{ printf '\0\0\010\001\0\0\0\012'; printf '\001\001\001\001\001\001\001\001\001\001'; } >"$tmp/mnist/train-labels-idx1-ubyte"
bad "Fashion-MNIST of trousers" 1 "none of its garments is plain" $with --data fashion-mnist:plain --data-dir "$tmp/mnist"
bad "--classes without a picture" 1 "no picture is of the classes 9" $with --data synthetic:5 --classes 9
if [ -s /sys/kernel/uevent_seqnum ]; then bad "a file shorter than it says" 1 "could not be read to its end" $with --data /sys/kernel/uevent_seqnum; fi
mkfifo "$tmp/fifo"
bad "data: a pipe" 1 "fifo: is not a regular file" $with --data "$tmp/fifo"
bad "synthetic:0" 1 "synthetic:N" $with --data synthetic:0
bad "synthetic:x" 1 "synthetic:N" $with --data synthetic:x
bad "no Fashion-MNIST" 1 "$tmp/empty.*not found" $with --data fashion-mnist --data-dir "$tmp/empty"
bad "no such part of it" 1 "fashion-mnist:train, :test" $with --data fashion-mnist:half
bad "classifier: a folder without classes" 1 "flat: these pictures have no labels.*labels-idx1" --recipe classifier $with --data "$tmp/flat"
mkdir "$tmp/stray" && cp -r "$tmp/classes/"* "$tmp/stray" && cp "$tmp/flat/a.tga" "$tmp/stray/stray.tga"
for option in "--recipe classifier" "--classes 1"; do
    bad "$option: a picture beside the class folders" 1 "no labels.*$tmp/stray/*stray.tga lies beside the class folders: move it into" $option $with --data "$tmp/stray/"
done
rm "$tmp/stray/stray.tga" && echo text >"$tmp/stray/notes.txt" && ./train --recipe classifier --size 8 --batch 2 --steps 2 --out "$tmp/stray1" --data "$tmp/stray" >"$tmp/log" 2>"$tmp/err"; status=$?
check "a text beside the class folders does no harm: status $status" [ "$status" -eq 0 ]
bad "classifier: IDX without labels" 1 "no labels" --recipe classifier $with --data "$tmp/pictures"
bad "no such style" 1 "nowhere.png: No such file" $paint $new --style "$tmp/nowhere.png"
bad "style: an empty folder" 1 "$tmp/empty: none of the 0 files" $paint $new --style "$tmp/empty"
bad "style: a cut PNG" 1 "cut.png: .*" $paint $new --style "$tmp/cut.png"
bad "style: 0x0 pixels" 1 "zero.png: .*0 x 0 pixels" $paint $new --style "$tmp/zero.png"
bad "style: 100000x100000 pixels" 1 "huge.png: .*100000 x 100000 pixels" $paint $new --style "$tmp/huge.png"
bad "style: the same, wrong CRC" 1 "crc.png: " $paint $new --style "$tmp/crc.png"
bad "style: a pattern of 7 channels" 1 "seven.pat: " $paint $new --style "$tmp/seven.pat"
bad "style: a text" 1 "a.txt: not a known picture" $paint $new --style "$tmp/junk/a.txt"
bad "style: smaller than a crop" 1 "small.tga: .*10x10, smaller than the 16x16 crops" $paint $new --style "$tmp/small.tga"
for style in synthetic:6 synthetic:-1 synthetic:x synthetic: ; do
    bad "--style $style" 1 "synthetic:0 to" $paint $new --style $style
done
./train $paint --style "$tmp/mixed" --steps 1 --out "$tmp/mixed2" >"$tmp/log" 2>"$tmp/err"; status=$?
check "an unreadable style among styles: status $status" [ "$status" -eq 0 ]
check "is reported" grep -q -e "^train: --style $tmp/mixed: 1 files skipped, the last: .*notes.png" "$tmp/err"
mkdir "$tmp/windows" && cp "$tmp/cut.png" "$tmp/windows/A.png" && cp "$tmp/kept/losses.png" "$tmp/windows/b.png"
for file in Thumbs.db desktop.ini .DS_Store; do echo none >"$tmp/windows/$file"; done
./train $paint --style "$tmp/windows" --steps 1 --out "$tmp/windows1" >"$tmp/log" 2>"$tmp/err"
check "styles: the damaged picture is told, not what a system leaves" grep -q -e "^train: --style $tmp/windows: 1 files skipped, the last: .*A.png" "$tmp/err"
rm "$tmp/windows/"*.png
bad "styles: only what a system leaves" 1 "none of the [0-9]* files there is a readable picture: .*or .pat$" $paint $new --style "$tmp/windows"
bad "--style syntetic" 1 "syntetic: No such file" $paint $new --style syntetic

# ---- wrong folders, wrong checkpoints ----
kept=$tmp/kept
head -c 100000 "$kept/checkpoint.safetensors" >"$tmp/cut.safetensors"
bad "--out below a file" 1 "small.tga.*Not a directory" $quick --out "$tmp/small.tga/run"
bad "--out is a file" 1 "small.tga" $quick --out "$tmp/small.tga"
bad "--out holds a run" 1 "$kept.*--resume $kept.*--overwrite" $quick --out "$kept"
bad "--out holds another run than --resume's" 1 "$kept.*holds a run" --resume "$tmp/moved" --steps 20 --out "$kept"
bad "--overwrite, and wrong data" 1 "nowhere" --data "$tmp/nowhere" --out "$kept" --overwrite
bad "--resume: no such folder" 1 "$tmp/nowhere: No such file" --resume "$tmp/nowhere"
bad "--resume: no run" 1 "$tmp/empty/checkpoint.safetensors" --resume "$tmp/empty"
bad "--resume: another recipe" 1 "made with --recipe dcgan, not style" --resume "$kept" --recipe style --style synthetic
bad "--resume: other --size" 1 "'g.1.dense.weight' is 100x512, the recipe needs 100x2048" --resume "$kept" --size 16 --steps 20
bad "--resume: all done" 1 "step 8 of 8 is done already: give a larger --steps" --resume "$kept"
bad "--resume: less than all" 1 "step 8 of 5 is done already" --resume "$kept" --steps 5
bad "--resume: a cut checkpoint" 1 "cut.safetensors: " --resume "$tmp/cut.safetensors" --steps 20
bad "--resume: a text" 1 "a.txt: " --resume "$tmp/junk/a.txt" --steps 20
bad "--resume: its data is gone" 1 "nowhere" --resume "$kept" --steps 20 --data "$tmp/nowhere"
changed() {                                 # changed FILE WORDS OTHERS: FILE with other words in its header, in $tmp/changed
    LC_ALL=C sed "s/$2/$3/g" "$1" >"$tmp/changed"
}
bad "--resume: weights without a recipe" 1 "not a checkpoint of this program" --resume tests/data/vgg16.safetensors
changed "$kept/checkpoint.safetensors" '"g.1.dense.weight"' '"g.1.dense.wEight"'
bad "--resume: a tensor is missing" 1 "no tensor 'g.1.dense.weight' (100x512): was it made with" --resume "$tmp/changed" --steps 20 $new
changed "$kept/checkpoint.safetensors" '"g.1.dense.weight":{"dtype":"F32"' '"g.1.dense.weight":{"dtype":"I32"'
bad "--resume: a tensor of whole numbers" 1 "tensor 'g.1.dense.weight': .*dtype I32" --resume "$tmp/changed" --steps 20 $new
changed "$kept/checkpoint.safetensors" '"step":"8"' '"step":"x"'
bad "--resume: a step that is none" 1 "its step is 'x', expected a number" --resume "$tmp/changed" --steps 20 $new
changed "$kept/checkpoint.safetensors" '"g\.' '"h.'
bad "--compress: no generator" 1 "no tensor 'g.\*': expected a run's checkpoint" --compress "$tmp/changed" $new
changed "$tmp/small.safetensors" '\.scale"' '.sCale"'
bad "--evaluate: int8 without its scales" 1 "integers take a tensor '.*\.scale'" --evaluate "$tmp/changed" --classifier "$tmp/judge"
changed "$tmp/judge/checkpoint.safetensors" '"step":"150"' '"step":"1x0"'
bad "--evaluate: a damaged classifier" 1 "--classifier: .*its step is '1x0'" --evaluate "$tmp/measured" --classifier "$tmp/changed"
bad "--evaluate: a text for a classifier" 1 "--classifier: .*a.txt" --evaluate "$tmp/measured" --classifier "$tmp/junk/a.txt"
./train --data synthetic:5 --size 12 --batch 2 --steps 1 --out "$tmp/few" >"$tmp/log" 2>"$tmp/err"
bad "--evaluate: few pictures" 1 "synthetic:5: [0-9]* pictures to compare with, expected" --evaluate "$tmp/few" --classifier "$tmp/judge"
cp -r "$tmp/classes" "$tmp/moving"
for recipe in classifier dcgan; do ./train --recipe $recipe --data "$tmp/moving" --size 8 --batch 2 --steps 1 --out "$tmp/moving_$recipe" >"$tmp/log" 2>"$tmp/err"; done
rm -r "$tmp/moving" && cp -r "$tmp/flat" "$tmp/moving"
bad "--evaluate: the classes are gone" 1 "moving: the classes of its pictures are not known" --evaluate "$tmp/moving_dcgan" --classifier "$tmp/moving_classifier"
./train $data --steps 1 --lr 1e6 --lr-d 1e-9 --out "$tmp/large" >"$tmp/log" 2>"$tmp/err"
bad "--compress: weights beyond float16" 1 "holds .*, which float16 cannot" --compress "$tmp/large" $new
judged="--classifier $tmp/judge"
bad "--evaluate: no such run" 1 "nowhere: No such file" --evaluate "$tmp/nowhere" $judged
bad "--evaluate: no classifier" 2 "takes a classifier.*./train --recipe classifier --data synthetic --size 12 makes one" --evaluate "$tmp/measured"
bad "--evaluate: no such classifier" 1 "nowhere: No such file.*--recipe classifier.*makes it" --evaluate "$tmp/measured" --classifier "$tmp/nowhere"
bad "--evaluate: not a classifier" 1 "made with --recipe dcgan" --evaluate "$tmp/measured" --classifier "$kept"
bad "--evaluate: another size" 1 "at --size 12, the run on synthetic at --size 8" --evaluate "$kept" $judged
bad "--evaluate: other data" 1 "trained on synthetic at --size 12, the run on $tmp/flat" --evaluate "$tmp/flat1" $judged
bad "--evaluate: a classifier" 1 "recipe classifier cannot be measured so" --evaluate "$tmp/judge" $judged
bad "--evaluate: few samples" 2 "--samples 9: expected a whole number from 10" --evaluate "$tmp/measured" $judged --samples 9
bad "--evaluate and --resume" 2 "expected one of them" --evaluate "$tmp/measured" --resume "$kept"
bad "--compress: no --out" 2 "needs --out" --compress "$tmp/measured"
bad "--compress a compressed file" 1 "compressed already (prune 0.5, int8)" --compress "$tmp/small.safetensors" $new
bad "--compress a classifier" 1 "no generator to compress" --compress "$tmp/judge" $new
bad "--compress: --out is there" 1 "half.safetensors: is there already" --compress "$tmp/measured" --out "$tmp/half.safetensors"
bad "--compress: --out is a folder" 1 "is a folder" --compress "$tmp/measured" --out "$tmp/flat"
bad "--prune 1.5" 2 "--prune 1.5: expected a number from 0 to 0.99" --compress "$tmp/measured" $new --prune 1.5
bad "--quantize int4" 2 "--quantize int4: expected float16 or int8, did you mean 'int8'" --compress "$tmp/measured" $new --quantize int4
bad "--resume a compressed file" 1 "compressed (prune 0.5, int8), it holds a generator and nothing to train it with" --resume "$tmp/small.safetensors" --steps 30
bad "more memory than there is" 1 "needs [0-9]* MB, [0-9]* MB are free (cpu, .*): .*--batch [0-9]* fits" --batch 4096 --size 1024 \
    --data synthetic:1 --device cpu --out "$kept" --overwrite
name="too little memory"
(ulimit -v 400000; ./train --batch 4 --size 256 --data synthetic:4 $new --threads 1 --device cpu) >"$tmp/log" 2>"$tmp/err"; status=$?
judge 1 "not enough memory: .*this run needs .* MB"

# ---- a disk that is full, numbers that run away: the last good checkpoint stays ----
cp -r "$kept" "$tmp/full"
(trap '' XFSZ; ulimit -f 2000; ./train --resume "$tmp/full" --steps 10) >"$tmp/log" 2>"$tmp/err"; status=$?
name="a full disk"
judge 1 "$tmp/full/checkpoint.safetensors: .*File too large"
check "$name: the old checkpoint" cmp -s "$kept/checkpoint.safetensors" "$tmp/full/checkpoint.safetensors"
good "with room again" --resume "$tmp/full" --steps 11
check "each step once" logged "$tmp/full" 11
rm -r "$tmp/full" && cp -r "$tmp/style1" "$tmp/full"
./train --resume "$tmp/full" --steps 100 --lr 1e6 --lr-d 1e6 --clip 0 --checkpoint-every 0 >"$tmp/log" 2>"$tmp/err"; status=$?
name="numbers run away"
judge 1 "no longer finite, first in [gd]\.[0-9]*\.[a-z].*last good checkpoint is kept.*lower --lr"
check "$name: the old checkpoint" cmp -s "$tmp/style1/checkpoint.safetensors" "$tmp/full/checkpoint.safetensors"
good "with the old --lr" --resume "$tmp/full" --steps 11
check "each step once again" logged "$tmp/full" 11
name="numbers run away at once"
./train $paint --style synthetic --lr 1e6 --lr-d 1e6 --clip 0 --steps 9 --out "$tmp/nan" >"$tmp/log" 2>"$tmp/err"; status=$?
judge 1 "no longer finite, first in .*no checkpoint had been written"
check "$name: no checkpoint" [ ! -e "$tmp/nan/checkpoint.safetensors" ]
check "no temporary file is left" [ -z "$(find "$tmp" -name '*.tmp*')" ]

# ---- a plain word when the training is ill ----
ill="$data --steps 220 --sample-every 0 --checkpoint-every 0 --log-every 500 --overwrite --out $tmp/run"
./train $ill --lr 1e-5 --lr-d 0.01 >"$tmp/log" 2>"$tmp/err"; status=$?
check "a discriminator that wins: status $status" [ "$status" -eq 0 ]
check "is told, once" [ "$(grep -c '^train: step [0-9]*: the discriminator wins' "$tmp/err")" = 1 ]
./train $ill --lr 0.2 --lr-d 0.0002 >"$tmp/log" 2>"$tmp/err"; status=$?
check "samples that collapse: status $status" [ "$status" -eq 0 ]
check "are told, once" [ "$(grep -c '^train: step [0-9]*: the samples collapse' "$tmp/err")" = 1 ]
good "a healthy run of as many steps" $ill --lr 2e-4
told() { [ "$(grep -c "^train: step [0-9]*: $1" "$tmp/err")" = 1 ]; }
./train $ill --steps 150 --tail 0 --schedule constant --lr 100 >"$tmp/log" 2>"$tmp/err"; status=$?
check "--lr 100: status $status" [ "$status" -eq 0 ]
check "--lr 100: losses that explode are told, once" told "the training diverges: [DG]'s [lg].* is [0-9.]*e+[0-9]*\. .*a lower --lr or --clip 1"
check "--lr 100: a discriminator stuck at 0 is told, once" told "the discriminator's loss is stuck at 0.000: .*a lower --lr-d"
./train $ill --steps 150 --recipe classifier --lr 100 >"$tmp/log" 2>"$tmp/err"
check "a classifier that diverges is told, once" told "the training diverges: the [lg].* is "
for recipe in lsgan hinge wgan wgan-gp; do good "a healthy run of $recipe" $ill --steps 120 --recipe $recipe; done

counted train
