#!/bin/sh
# test_transfer.sh: the program `transfer` as its users meet it: what works, and every way to get it wrong. A wrong call must
# end with its exit status and exactly one line on standard error that says the right thing, and must leave no file behind.
# Runs from the top folder, after the build. Makes its own data: a run of two steps, and pictures written byte by byte.
. tests/checks.sh

good() {                                    # good WHAT OPTIONS...: status 0 and nothing on standard error
    name=$1; shift
    ./transfer "$@" >"$tmp/log" 2>"$tmp/err"; status=$?
    check "$name: status $status" [ "$status" -eq 0 ]
    check "$name: standard error" lines "$tmp/err" 0
}
bad() {                                     # bad WHAT STATUS WORDS OPTIONS...: that status, one line with those words, no file
    name=$1 want=$2 words=$3; shift 3
    rm -rf "$tmp/new"* && ./transfer "$@" >"$tmp/log" 2>"$tmp/err"; status=$?
    check "$name: status $status, expected $want" [ "$status" -eq "$want" ]
    check "$name: one line" lines "$tmp/err" 1
    check "$name: says '$words'" grep -q "^transfer: .*$words" "$tmp/err"
    check "$name: leaves no file" [ -z "$(ls -d "$tmp/new"* 2>/dev/null)" ]
}
byte() { printf "\\$(printf %o "$1")"; }
tga() {                                     # tga FILE W H BITS: a gray garment on white; with 32 bits on transparent
    { printf '\0\0\2\0\0\0\0\0\0\0\0\0'; byte $(($2 % 256)); byte $(($2 / 256)); byte $(($3 % 256)); byte $(($3 / 256)); byte "$4"
      byte $(($4 == 32 ? 40 : 32))
      printf "$(awk -v w="$2" -v h="$3" -v bits="$4" 'BEGIN {
          for (y = 0; y < h; y++) for (x = 0; x < w; x++) {
              inside = w < 4 || h < 4 || (x > w / 5 && x < w * 4 / 5 && y > h / 8 && y < h * 7 / 8)
              tone = inside ? 90 + (x * 7 + y * 3) % 60 : 255
              printf bits == 32 ? "\\%o\\%o\\%o\\%o" : "\\%o\\%o\\%o", tone, tone, tone, inside ? 255 : 0 } }')"
    } >"$1"
}
size_of() { od -An -tu1 -j16 -N8 "$1" | awk '{ print $3 * 256 + $4 "x" $7 * 256 + $8 }'; }      # of a PNG: width x height

./train --recipe style --data synthetic:50 --style synthetic --size 32 --batch 2 --steps 2 --out "$tmp/run" >"$tmp/log" 2>&1 &&
./train --recipe dcgan --data synthetic:50 --batch 4 --steps 1 --out "$tmp/dcgan" >>"$tmp/log" 2>&1 ||
    { cat "$tmp/log"; echo "transfer: 0 passed, 1 failed"; exit 1; }
run=$tmp/run/checkpoint.safetensors
tga "$tmp/shirt.tga" 50 61 24
tga "$tmp/alpha.tga" 40 30 32

# feature fusion: any style
./train --recipe adain --data synthetic:20 --style synthetic --size 32 --batch 2 --steps 2 --out "$tmp/adain" >"$tmp/log" 2>&1 || cat "$tmp/log"
tga "$tmp/one.tga" 40 33 24
tga "$tmp/two.tga" 24 50 24
fuse="--generator $tmp/adain --style $tmp/one.tga"
good "adain" $fuse --content "$tmp/shirt.tga" --size 64 --output "$tmp/a.png" --threads 1
check "adain names the memory" grep -q "fusing .* MB" "$tmp/log"
good "adain, two threads" $fuse --content "$tmp/shirt.tga" --size 64 --output "$tmp/b.png" --threads 2
check "adain: the same bits" cmp -s "$tmp/a.png" "$tmp/b.png"
good "adain, two styles" $fuse --style "$tmp/two.tga" --style-weights 3,1 --content "$tmp/shirt.tga" --size 64 --output "$tmp/c.png"
check "adain: a mixture is another picture" [ "$(cmp -s "$tmp/a.png" "$tmp/c.png"; echo $?)" = 1 ]
good "adain, two styles, one of no weight to speak of" $fuse --style "$tmp/two.tga" --style-weights 1000000,0.000001 --content "$tmp/shirt.tga" --size 64 --output "$tmp/c.png"
check "adain: that is the one style" cmp -s "$tmp/a.png" "$tmp/c.png"
good "adain, alpha 0" $fuse --alpha 0 --content "$tmp/shirt.tga" --size 64 --output "$tmp/b.png"
good "adain, alpha 0, another style" --generator "$tmp/adain" --style "$tmp/two.tga" --alpha 0 --content "$tmp/shirt.tga" --size 64 --output "$tmp/c.png"
check "adain: alpha 0 is the plain decoder, whatever the style" cmp -s "$tmp/b.png" "$tmp/c.png"
bad "adain with other features" 1 "was trained with random features" $fuse --features style/features.safetensors --content "$tmp/shirt.tga" --output "$tmp/new.png"
good "adain with its features" $fuse --features random --content "$tmp/shirt.tga" --size 64 --output "$tmp/b.png"
bad "alpha 2" 2 "--alpha" $fuse --alpha 2 --content "$tmp/shirt.tga" --output "$tmp/new.png"
bad "a mask without its value" 2 "belongs. Several (--help says more)" $fuse --content "$tmp/shirt.tga" --output "$tmp/new.png" --mask
bad "adain without a style" 1 "or a --style beside it" --generator "$tmp/adain" --content "$tmp/shirt.tga" --output "$tmp/new.png"
bad "adain with a seed" 2 "not used by --method adain" $fuse --seed 3 --content "$tmp/shirt.tga" --output "$tmp/new.png"
bad "adain with steps" 2 "not used by --method adain" $fuse --steps 3 --content "$tmp/shirt.tga" --output "$tmp/new.png"

# an unpaired generator, gray and coloured
for channels in gray coloured; do
    sets="--data synthetic:9 --data-b synthetic:30"
    [ $channels = coloured ] && mkdir -p "$tmp/unpaired" && tga "$tmp/unpaired/a.tga" 30 30 24 && tga "$tmp/unpaired/b.tga" 40 30 24 && sets="--data $tmp/unpaired --data-b $tmp/unpaired"
    ./train --recipe cyclegan $sets --size 16 --batch 2 --steps 2 --out "$tmp/cycle" --overwrite >"$tmp/log" 2>&1 || cat "$tmp/log"
    good "cyclegan, $channels" --generator "$tmp/cycle" --content "$tmp/shirt.tga" --size 64 --output "$tmp/a.png" --threads 1
    good "cyclegan, $channels, two threads" --generator "$tmp/cycle" --content "$tmp/shirt.tga" --size 64 --output "$tmp/b.png" --threads 2
    check "cyclegan, $channels: the same bits" cmp -s "$tmp/a.png" "$tmp/b.png"
    check "cyclegan, $channels: the size" [ "$(size_of "$tmp/a.png")" = 52x64 ]
done
bad "cyclegan and a style" 1 "recipe adain" --generator "$tmp/cycle" --style "$tmp/one.tga" --content "$tmp/shirt.tga" --output "$tmp/new.png"
for option in "--seed 2" "--shade 0.5"; do
    bad "cyclegan and $option" 2 "is not used by a generator of --recipe cyclegan" --generator "$tmp/cycle" --content "$tmp/shirt.tga" --output "$tmp/new.png" $option
done

# a generator that reads z: other seeds, other patterns; in pieces the same picture as at once; other bodies
for body in residual inception separable; do
    ./train --recipe pattern --data synthetic:9 --data-b synthetic:30 --size 16 --batch 2 --steps 2 --body $body --average 0.5 --out "$tmp/pattern" --overwrite >"$tmp/log" 2>&1 || cat "$tmp/log"
    with="--generator $tmp/pattern --content $tmp/shirt.tga --size 300 --style-scale 1"
    good "pattern, $body" $with --output "$tmp/a.png"
    good "pattern, $body, once more" $with --output "$tmp/b.png"
    check "pattern, $body: the same seed, the same picture" cmp -s "$tmp/a.png" "$tmp/b.png"
    good "pattern, $body, in pieces" $with --tile 200 --output "$tmp/b.png"
    check "pattern, $body: was painted in pieces" grep -q " pieces of " "$tmp/log"
    check "pattern, $body: the same in pieces" cmp -s "$tmp/a.png" "$tmp/b.png"
    good "pattern, $body, another seed" $with --seed 2 --output "$tmp/b.png"
    check "pattern, $body: another seed, another picture" [ "$(cksum <"$tmp/a.png")" != "$(cksum <"$tmp/b.png")" ]
done

# cloth: on garments, and as a repeat; one style and two, whose shares are chosen
mkdir -p "$tmp/cloths" && tga "$tmp/cloths/a.tga" 40 40 24 && tga "$tmp/cloths/b.tga" 50 45 24
./train --recipe cloth --style "$tmp/cloths/a.tga" --size 16 --batch 2 --steps 2 --out "$tmp/cloth" --overwrite >"$tmp/log" 2>&1 || cat "$tmp/log"
check "cloth: the scale is found, and told" grep -q "a.tga: its motif comes again after .* pixels: --style-scale" "$tmp/log"
./train --recipe cloth --style "$tmp/cloths" --style-scale 1.5 --size 16 --batch 2 --steps 2 --out "$tmp/cloth2" --overwrite >"$tmp/log" 2>&1 || cat "$tmp/log"
check "cloth: the scale that is given is taken" [ "$(grep -c "comes again" "$tmp/log")" = 0 ]
good "cloth on a garment" --generator "$tmp/cloth" --content "$tmp/shirt.tga" --size 64 --output "$tmp/a.png" --threads 1
good "cloth, two threads" --generator "$tmp/cloth" --content "$tmp/shirt.tga" --size 64 --output "$tmp/b.png" --threads 2
check "cloth: the same bits" cmp -s "$tmp/a.png" "$tmp/b.png"
check "cloth: the size" [ "$(size_of "$tmp/a.png")" = 52x64 ]
repeat="--generator $tmp/cloth2 --repeat 64 --output"
good "a repeat" $repeat "$tmp/a.png"
good "the smallest repeat" --generator "$tmp/cloth2" --repeat 8 --output "$tmp/b.png"
good "in the smallest pieces" $repeat "$tmp/b.png" --tile 8
check "a repeat has its size" [ "$(size_of "$tmp/a.png")" = 64x64 ]
good "the first style's share" $repeat "$tmp/b.png" --style-weights 2,0
check "is what is woven without one" cmp -s "$tmp/a.png" "$tmp/b.png"
good "a blend" $repeat "$tmp/b.png" --style-weights 1,1
check "is another cloth" [ "$(cmp -s "$tmp/a.png" "$tmp/b.png"; echo $?)" = 1 ]
bad "shares of no style" 1 "expected one above 0" $repeat "$tmp/new.png" --style-weights 0,0
bad "three shares of two styles" 1 "expected 2 numbers from 0" $repeat "$tmp/new.png" --style-weights 1,1,1
bad "shares of one style" 2 "is not used by a generator of --recipe cloth" --generator "$tmp/cloth" --repeat 64 --output "$tmp/new.png" --style-weights 1
bad "a repeat and garments" 2 "repeat and --content" $repeat "$tmp/new.png" --content "$tmp/shirt.tga"
bad "a repeat and a sheet" 2 "repeat and --sheet" $repeat "$tmp/new.png" --sheet "$tmp/new2.png"
bad "a repeat and a mask" 2 "mask is not used by --repeat" $repeat "$tmp/new.png" --mask "$tmp/shirt.tga"
bad "a repeat of 60" 2 "multiple of 8" --generator "$tmp/cloth" --repeat 60 --output "$tmp/new.png"
bad "a repeat in a folder" 2 "an --output that ends in" $repeat "$tmp/folder"
bad "a repeat of another recipe" 1 "for runs of --recipe cloth" --generator "$tmp/pattern" --repeat 64 --output "$tmp/new.png"
good "swatches of two styles" --generator "$tmp/cloth2" --count 2 --output "$tmp/swatches"
check "a file for each, of twice the training's size" [ "$(ls "$tmp/swatches" | tr '\n' ' ')$(size_of "$tmp/swatches/00001-class1.png")" = "00000-class0.png 00001-class1.png sheet.png 32x32" ]
good "the second style" --generator "$tmp/cloth2" --classes 1 --count 1 --output "$tmp/b.png"
good "a walk from style to style" --generator "$tmp/cloth2" --interpolate 0,1 --count 3 --output "$tmp/blends"
check "begins with the one style" cmp -s "$tmp/blends/00000.png" "$tmp/swatches/00000-class0.png"
check "ends with the other" cmp -s "$tmp/blends/00002.png" "$tmp/b.png"
check "is neither in between" [ "$(cksum "$tmp"/blends/0*.png | cut -d' ' -f1 | sort -u | wc -l)" -eq 3 ]
good "the way back" --generator "$tmp/cloth2" --interpolate 1,0 --count 3 --output "$tmp/back"
check "is the same way" cmp -s "$tmp/back/00001.png" "$tmp/blends/00001.png"
bad "a walk of one style" 1 "has learned one style, and a walk leads from one to another" --generator "$tmp/cloth" --interpolate 0,1 --output "$tmp/new"
for walk in 0,2 0 0,x; do
    bad "a walk $walk of two styles" 1 "interpolate $walk: expected two of the styles of .*, 0 to 1" --generator "$tmp/cloth2" --interpolate $walk --output "$tmp/new"
done
bad "a walk and classes" 1 "and no --classes" --generator "$tmp/cloth2" --interpolate 0,1 --classes 0 --output "$tmp/new"
bad "classes of one style" 1 "the recipe cloth is not told what to draw" --generator "$tmp/cloth" --classes 0 --output "$tmp/new"
./train --evaluate "$tmp/cloth2" --samples 20 >"$tmp/log" 2>&1
check "cloth is measured by its motifs" grep -q "m16" "$tmp/log"

# new pictures out of noise
draws="--generator $tmp/dcgan --output"
good "new pictures" $draws "$tmp/drawn"
check "sixty-four, and a sheet" [ "$(ls "$tmp/drawn" | wc -l)" -eq 65 ]
check "of the training's size" [ "$(size_of "$tmp/drawn/00063.png")" = 28x28 ]
check "with the training's seed the sheet is samples.png" cmp -s "$tmp/drawn/sheet.png" "$tmp/dcgan/samples.png"
check "the folder and the sheet are named" [ "$(grep -c "drawn" "$tmp/log")" = 2 ]
good "another seed, one thread" $draws "$tmp/drawn2" --seed 7 --count 20 --threads 1
./transfer $draws "$tmp/drawn3" --count 2 --sheet "$tmp/drawn3/00001.png" >"$tmp/log" 2>"$tmp/err"; status=$?
check "a sheet over a drawn picture: status $status" [ "$status" -eq 1 ]
good "the sheet alone, two threads" $draws "$tmp/sheet.png" --seed 7 --count 20 --threads 2
check "the same bits" cmp -s "$tmp/drawn2/sheet.png" "$tmp/sheet.png"
check "other pictures" [ "$(cmp -s "$tmp/drawn/00000.png" "$tmp/drawn2/00000.png"; echo $?)" = 1 ]
good "one picture" $draws "$tmp/a.png" --seed 7 --count 1 --device naive
check "is that picture, without a rim" [ "$(size_of "$tmp/a.png")" = 28x28 ]
good "a walk" $draws "$tmp/walk" --interpolate 7,1 --count 9 --sheet "$tmp/sheet.png"
check "begins with the one seed's picture" cmp -s "$tmp/walk/00000.png" "$tmp/drawn2/00000.png"
check "ends with the other's" cmp -s "$tmp/walk/00008.png" "$tmp/drawn/00000.png"
check "has its sheet elsewhere" [ "$(ls "$tmp/walk" | wc -l) $(size_of "$tmp/sheet.png")" = "9 699x177" ]
for recipe in mlp dcgan64 hinge wgan-gp cgan stylegan vaegan; do
    [ $recipe = cgan ] && words="--classes 2,5" || words=
    ./train --recipe $recipe $(small $recipe) $words --steps 1 --average 0.5 --out "$tmp/noisy" --overwrite >"$tmp/log" 2>&1 || cat "$tmp/log"
    good "$recipe draws" --generator "$tmp/noisy" --output "$tmp/sheet.png" --count 64
    case $recipe in cgan|vaegan) ;; *) check "$recipe: samples.png" cmp -s "$tmp/sheet.png" "$tmp/noisy/samples.png" ;; esac
    [ $recipe = cgan ] || continue
    check "a column for each class of the training" [ "$(size_of "$tmp/sheet.png")" = 57x867 ]
    good "classes" --generator "$tmp/noisy" --classes 5 --count 2 --output "$tmp/classes"
    check "are in the names" [ "$(ls "$tmp/classes" | tr '\n' ' ')" = "00000-class5.png 00001-class5.png sheet.png " ]
    for classes in 3 2,12 x 2, -1 2,99999999999999999999; do
        bad "--classes $classes" 1 "classes $classes: expected classes that .* was trained with, 2,5, with" --generator "$tmp/noisy" --classes $classes --output "$tmp/new"
    done
    bad "a walk of one place" 1 "from one picture to another of each class: expected --count 3 or more" --generator "$tmp/noisy" --interpolate 1,2 --count 2 --output "$tmp/new"
done
./train --compress "$tmp/dcgan" --out "$tmp/small.safetensors" >"$tmp/log" 2>&1
good "a compressed generator" --generator "$tmp/small.safetensors" --output "$tmp/sheet.png"
good "more than a sheet holds" --generator "$tmp/noisy" --output "$tmp/sheet.png" --count 1040
check "that is said" grep -q "sheet.png: the first 1024 of 1040 pictures" "$tmp/log"
bad "--count 0" 2 "--count 0: expected a whole number from 1" $draws "$tmp/new" --count 0
bad "--classes of dcgan" 1 "the recipe dcgan is not told what to draw: omit it" $draws "$tmp/new" --classes 1
bad "a walk from one seed" 1 "expected two seeds, as in 3,9" $draws "$tmp/new" --interpolate 3
bad "a walk of one picture" 1 "from one picture to another: expected --count 2 or more" $draws "$tmp/new" --interpolate 3,4 --count 1
bad "a walk and a seed" 2 "--interpolate and --seed: expected one of them" $draws "$tmp/new" --interpolate 3,4 --seed 2
bad "--shade of new pictures" 2 "--shade is not used by --method draw, only by" $draws "$tmp/new" --shade 1
bad "--count of prints" 2 "--count is not used by --method generator, only by draw" --generator "$run" --content "$tmp/shirt.tga" --output "$tmp/new.png" --count 2
bad "a recipe that does not draw" 1 "made with --recipe style, which draws nothing out of noise (dcgan, mlp, .*vaegan, cloth do): expected --content" --generator "$run" --output "$tmp/new"
ln "$tmp/dcgan/checkpoint.safetensors" "$tmp/linked.png"
bad "new pictures over the checkpoint" 1 "would overwrite the file of --generator" $draws "$tmp/linked.png"

# what works
good "a file" --generator "$tmp/run" --content "$tmp/shirt.tga" --output "$tmp/a.png" --threads 1
check "small pictures are enlarged" [ "$(size_of "$tmp/a.png")" = 210x256 ]
check "the mask is named" grep -q "stands out" "$tmp/log"
good "again, two threads" --generator "$run" --content "$tmp/shirt.tga" --output "$tmp/b.png" --threads 2
check "the same bits" cmp -s "$tmp/a.png" "$tmp/b.png"
good "another seed" --generator "$run" --content "$tmp/shirt.tga" --output "$tmp/b.png" --seed 2
check "another print" [ "$(cmp -s "$tmp/a.png" "$tmp/b.png"; echo $?)" = 1 ]
good "the textbook loops" --generator "$run" --content "$tmp/shirt.tga" --output "$tmp/c.png" --device naive --size 33
check "--size" [ "$(size_of "$tmp/c.png")" = 27x33 ]
good "alpha, jpg" --generator "$run" --content "$tmp/alpha.tga" --output "$tmp/d.JPG" --background white
check "alpha is the mask" grep -q "its own mask" "$tmp/log"
check "a JPEG file" [ "$(od -An -tx1 -N2 "$tmp/d.JPG" | tr -d ' ')" = ffd8 ]
good "a mask" --generator "$run" --content "$tmp/shirt.tga" --mask "$tmp/shirt.tga" --output "$tmp/d.png" --style-scale 2 --shade 0
good "synthetic, sheet only" --generator "$run" --content synthetic:3-4 --sheet "$tmp/sheet.png"
check "two pairs" [ "$(size_of "$tmp/sheet.png")" = 1084x302 ]
for shape in 1x1 1x40 40x1 3x90 131x7; do
    tga "$tmp/odd.tga" "${shape%x*}" "${shape#*x}" 24
    good "a picture of $shape" --generator "$run" --content "$tmp/odd.tga" --output "$tmp/odd.png" --size 131
done
ramp() { { printf '\0\0\2\0\0\0\0\0\0\0\0\0\170\0\74\0\30\40'             # ramp FILE AWK: 120 x 60 grays, by a formula of x and y
    printf "$(awk "BEGIN { for (y = 0; y < 60; y++) for (x = 0; x < 120; x++) { v = $2; printf \"\\\\%o\\\\%o\\\\%o\", v, v, v } }")"; } >"$1"; }
ramp "$tmp/fades.tga" 'x > 15 && x < 105 && y > 9 && y < 50 ? 80 + 1.9 * (x - 15) : 250'
ramp "$tmp/busy.tga" '(x * 37 + y * 91 + x * y) % 256'
good "a garment that fades into the ground" --generator "$run" --content "$tmp/fades.tga" --output "$tmp/d.png" --size 120
check "its edge is in doubt" grep -q "stands out from the background, but its edge is partly no edge in the picture: --mask can say where" "$tmp/log"
good "a garment with edges" --generator "$run" --content "$tmp/shirt.tga" --output "$tmp/d.png"
check "is none in doubt" grep -q "stands out from the background$" "$tmp/log"
good "no garment" --generator "$run" --content "$tmp/busy.tga" --output "$tmp/d.png" --size 120
check "all is painted, and that is said" grep -q "all of it: no mask, and no background of one colour: --mask can say where" "$tmp/log"
mkdir -p "$tmp/in/sub" && cp "$tmp/a.png" "$tmp/in/"
cp "$tmp/shirt.tga" "$tmp/in/sub/a.tga" && cp "$tmp/alpha.tga" "$tmp/in/sub-a.tga"
echo text >"$tmp/in/notes.txt"
mixed() {                                   # mixed WHAT OPTIONS...: status 0, and one line about notes.txt
    name=$1; shift
    ./transfer "$@" >"$tmp/log" 2>"$tmp/err"; status=$?
    check "$name: status $status" [ "$status" -eq 0 ]
    check "$name: one line" lines "$tmp/err" 1
    check "$name: names what it left out" grep -q "1 file left out, the first: .*notes.txt" "$tmp/err"
}
mixed "a folder" --generator "$run" --content "$tmp/in" --output "$tmp/prints" --sheet "$tmp/sheet.png"
check "flat names without collision" [ "$(ls "$tmp/prints" | tr '\n' ' ')" = "a.png sub-a-2.png sub-a.png " ]
mixed "results within the folder" --generator "$run" --content "$tmp/in/" --output "$tmp/in/out"
mixed "are no garments next time" --generator "$run" --content "$tmp/in" --output "$tmp/in/out"
check "three results" [ "$(ls "$tmp/in/out" | wc -l)" -eq 3 ]
rm -r "$tmp/in/out"
mkdir "$tmp/names" && cp "$tmp/a.png" "$tmp/names/a.jfif" && cp "$tmp/a.png" "$tmp/names/b.jpe" && cp "$tmp/a.png" "$tmp/names/c"
printf 'RIFF\1\2\0\0WEBPVP8 ' >"$tmp/names/d.png" && printf '\0\0\0\30ftypheic\0\0\0\0mif1heic' >"$tmp/names/shirt.heic"
./transfer --generator "$run" --content "$tmp/names" --output "$tmp/prints5" >"$tmp/log" 2>"$tmp/err"; status=$?
check "contents count, not names: status $status" [ "$status" -eq 0 ]
check "three pictures" [ "$(ls "$tmp/prints5" | tr '\n' ' ')" = "a.png b.png c.png " ]
check "the others are counted, in one line" lines "$tmp/err" 1
check "and the first is named" grep -q "^transfer: --content: 2 files left out, the first: .*/d.png" "$tmp/err"
rm "$tmp/names/a.jfif" "$tmp/names/b.jpe" "$tmp/names/c"
bad "a folder of other files" 1 "expected pictures of garments; 2 files left out, the first: .*/d.png" --generator "$run" --content "$tmp/names" --output "$tmp/new"
head -c 300 "$tmp/a.png" >"$tmp/in/cut.png"
./transfer --generator "$run" --content "$tmp/in" --output "$tmp/prints2" >"$tmp/log" 2>"$tmp/err"; status=$?
check "a damaged file among good ones: status $status" [ "$status" -eq 1 ]
check "is reported" grep -q "cut.png" "$tmp/err"
check "and counted" grep -q "1 of 4 results failed" "$tmp/err"
check "in one line each, and one for what was left out" lines "$tmp/err" 3
check "and skipped" [ "$(ls "$tmp/prints2" | wc -l)" -eq 3 ]
if [ -e /usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz ]; then
    good "Fashion-MNIST" --generator "$run" --content fashion-mnist:17 --output "$tmp/prints"
    check "named by its number" [ -s "$tmp/prints/fashion-mnist-17.png" ]
    good "a bag that fills its picture" --generator "$run" --content fashion-mnist:34 --output "$tmp/new.png"
    check "is found, or keeps the mask of its set" grep -qE "its own mask|what stands out" "$tmp/log"
    rm -f "$tmp/new.png"
    bad "a picture that does not exist" 1 "0 to 9999" --generator "$run" --content fashion-mnist:10000 --output "$tmp/new.png"
fi
tga "$tmp/half.tga" 25 31 24
good "a mask of another size" --generator "$run" --content "$tmp/shirt.tga" --mask "$tmp/half.tga" --output "$tmp/d.png"
check "is resized, and that is said" grep -q "half.tga: from 25 x 31 to the 50 x 61 pixels" "$tmp/log"
bad "a mask of another shape" 1 "odd.tga: this mask has 131 x 7 pixels, shirt has 50 x 61: expected the same shape" \
    --generator "$run" --content "$tmp/shirt.tga" --mask "$tmp/odd.tga" --output "$tmp/new.png"
upper() {                                   # upper FILE BITS ROWS: a mask of 50 x 61, white above, below black; with 32 bits white that is transparent
    { printf '\0\0\2\0\0\0\0\0\0\0\0\0\62\0\75\0'; byte "$2"; byte $(($2 == 32 ? 40 : 32))
      printf "$(awk -v bits="$2" -v rows="$3" 'BEGIN {
          for (i = 0; i < 50 * 61; i++) printf bits == 32 ? "\\377\\377\\377\\%o" : "\\%o\\%o\\%o", i < 50 * rows ? 255 : 0, i < 50 * rows ? 255 : 0, i < 50 * rows ? 255 : 0 }')"
    } >"$1"
}
upper "$tmp/clear.tga" 32 20 && upper "$tmp/opaque.tga" 24 20
good "a mask white on transparent" --generator "$run" --content "$tmp/shirt.tga" --mask "$tmp/clear.tga" --output "$tmp/b.png"
good "a mask white on black" --generator "$run" --content "$tmp/shirt.tga" --mask "$tmp/opaque.tga" --output "$tmp/c.png"
check "print alike" cmp -s "$tmp/b.png" "$tmp/c.png"

# a picture larger than memory: in pieces, without a seam: the very picture that is painted at once
good "at once" --generator "$run" --content "$tmp/shirt.tga" --output "$tmp/a.png" --style-scale 1.3
good "in pieces" --generator "$run" --content "$tmp/shirt.tga" --output "$tmp/b.png" --style-scale 1.3 --tile 120
check "the memory of a piece is named" grep -q "in [0-9]* pieces of 120 x 120 in [0-9]* MB" "$tmp/log"
check "in pieces: the same picture" cmp -s "$tmp/a.png" "$tmp/b.png"
good "a tile larger than the picture" --generator "$run" --content "$tmp/shirt.tga" --output "$tmp/b.png" --style-scale 1.3 --tile 5000
check "is no tile: the same picture" cmp -s "$tmp/a.png" "$tmp/b.png"
good "adain at once" $fuse --content "$tmp/shirt.tga" --size 150 --output "$tmp/a.png"
good "adain in pieces" $fuse --content "$tmp/shirt.tga" --size 150 --output "$tmp/b.png" --tile 48
check "its memory" grep -q "fusing .* pieces of 48 x 48" "$tmp/log"
check "adain in pieces: the same picture" cmp -s "$tmp/a.png" "$tmp/b.png"
mkdir "$tmp/twice" && cp "$tmp/shirt.tga" "$tmp/twice/a.tga" && cp "$tmp/shirt.tga" "$tmp/twice/b.tga"
good "a garment twice" --generator "$run" --content "$tmp/twice" --output "$tmp/prints4" --size 64
check "gets one print" cmp -s "$tmp/prints4/a.png" "$tmp/prints4/b.png"
bad "--tile 40" 1 "overlap by 32 pixels on each side, expected 0 or at least 72" --generator "$run" --content "$tmp/shirt.tga" --output "$tmp/new.png" --tile 40
bad "--tile x" 2 "whole number" --generator "$run" --content "$tmp/shirt.tga" --output "$tmp/new.png" --tile x

# patches of a style, nothing trained
tga "$tmp/style.tga" 40 40 24
good "a print of patches" --style "$tmp/style.tga" --content "$tmp/shirt.tga" --output "$tmp/a.png" --size 64 --threads 1
check "goes on the garment" grep -q "^printing" "$tmp/log"
check "its size" [ "$(size_of "$tmp/a.png")" = 52x64 ]
good "two threads" --method patches --style "$tmp/style.tga" --content "$tmp/shirt.tga" --output "$tmp/b.png" --size 64 --threads 2
check "the same bits" cmp -s "$tmp/a.png" "$tmp/b.png"
good "a seed" --style "$tmp/style.tga" --content "$tmp/shirt.tga" --output "$tmp/b.png" --mode paint --size 64
good "another seed" --style "$tmp/style.tga" --content "$tmp/shirt.tga" --output "$tmp/c.png" --mode paint --size 64 --seed 2
good "paint" --mode paint --style "$tmp/style.tga" --content "$tmp/shirt.tga" --output "$tmp/b.png" --size 64 --detail 0.1 --content-weight 0.9
check "all of the picture" grep -q "^painting" "$tmp/log"
good "two styles" --style "$tmp/style.tga" --style "$tmp/alpha.tga" --style-weights 2,1 --preserve-color covariance --style-scale 2 --size 64 \
    --content "$tmp/shirt.tga" --sheet "$tmp/sheet.png"
check "a sheet of three" [ "$(size_of "$tmp/sheet.png")" = 816x312 ]

# all pairs of two folders
mkdir -p "$tmp/styles/sub" "$tmp/shirts" && cp "$tmp/style.tga" "$tmp/styles/plain.tga" && cp "$tmp/one.tga" "$tmp/styles/sub/one.tga"
cp tests/data/palette.png "$tmp/styles/" && cp "$tmp/in/notes.txt" "$tmp/styles/" && cp "$tmp/shirt.tga" "$tmp/alpha.tga" "$tmp/shirts/"
pairs="--style $tmp/styles --content $tmp/shirts --size 32 --seed 3"
names="alpha-palette.png alpha-plain.png alpha-sub-one.png shirt-palette.png shirt-plain.png shirt-sub-one.png "
mixed "all pairs" $pairs --output "$tmp/pairs" --sheet "$tmp/sheet.png"
check "all pairs: a file for each" [ "$(ls "$tmp/pairs" | tr '\n' ' ')" = "$names" ]
check "all pairs: a table of 2 and 3" grep -q "sheet.png: 2 garments, 3 styles" "$tmp/log"
check "all pairs: its size" [ "$(size_of "$tmp/sheet.png")" = 1084x838 ]
good "one of them" --style "$tmp/styles/plain.tga" --content "$tmp/shirts/shirt.tga" --size 32 --seed 3 --output "$tmp/b.png"
check "one of them: the same bits" cmp -s "$tmp/pairs/shirt-plain.png" "$tmp/b.png"
mixed "all pairs, gram" --method gram --steps 1 --features random $pairs --output "$tmp/pairs2"
mixed "all pairs, adain, one garment" --generator "$tmp/adain" --style "$tmp/styles" --content "$tmp/shirts/shirt.tga" --size 32 --output "$tmp/pairs3"
check "three results" [ "$(ls "$tmp/pairs3" | wc -l)" -eq 3 ]
mixed "results within the folder of styles" $pairs --output "$tmp/styles/out"
mixed "are no styles next time" $pairs --output "$tmp/styles/out"
check "still the same" [ "$(ls "$tmp/styles/out" | tr '\n' ' ')" = "$names" ]
rm -r "$tmp/styles/out" && mkdir "$tmp/many"
for i in 01 02 03 04 05 06 07 08 09 10 11 12 13 14; do cp "$tmp/style.tga" "$tmp/many/$i.tga"; done
good "fourteen styles" --method adain --generator "$tmp/adain" --style "$tmp/many" --content "$tmp/shirts/shirt.tga" --size 32 --sheet "$tmp/sheet.png"
check "two are left out, and that is said" grep -q "2 styles are left out, there is room for 12" "$tmp/log"
check "a table of twelve" [ "$(size_of "$tmp/sheet.png" | cut -dx -f1)" = 3496 ]
cp "$tmp/in/cut.png" "$tmp/styles/"
./transfer $pairs --output "$tmp/pairs4" >"$tmp/log" 2>"$tmp/err"; status=$?
check "a damaged style among good ones: status $status" [ "$status" -eq 1 ]
check "is reported once, and counted" lines "$tmp/err" 3
check "is counted" grep -q "1 picture could not be read" "$tmp/err"
check "and skipped" [ "$(ls "$tmp/pairs4" | tr '\n' ' ')" = "$names" ]
rm "$tmp/styles/cut.png"
mkdir "$tmp/nothing" "$tmp/two_shirts" "$tmp/bc"
cp "$tmp/shirt.tga" "$tmp/two_shirts/a.tga" && cp "$tmp/shirt.tga" "$tmp/two_shirts/A-B.tga" && cp "$tmp/style.tga" "$tmp/bc/c.tga" && cp "$tmp/style.tga" "$tmp/bc/b-c.tga"
bad "an empty folder of styles" 1 "no file in it, expected pictures of styles" --style "$tmp/nothing" --content "$tmp/shirts" --output "$tmp/new"
bad "a folder of styles and weights" 2 "no --style-weights" --style "$tmp/styles" --style-weights 1 --content "$tmp/shirts" --output "$tmp/new"
bad "a folder of styles and a style" 2 "no other --style" --style "$tmp/styles" --style "$tmp/style.tga" --content "$tmp/shirts" --output "$tmp/new"
good "two results of one name" --style "$tmp/bc" --content "$tmp/two_shirts" --size 32 --output "$tmp/twins"
check "get two" [ "$(ls "$tmp/twins" | LC_ALL=C sort | tr '\n' ' ')" = "A-B-b-c.png A-B-c.png a-b-c-2.png a-c.png " ]
bad "a file for all pairs" 2 "need a folder" --style "$tmp/styles" --content "$tmp/shirt.tga" --output "$tmp/new.png"
bad "results among the styles" 1 "among the styles" --style "$tmp/styles" --content "$tmp/shirts" --output "$tmp/styles/."
bad "a sheet over a style" 1 "overwrite the file of --style" --style "$tmp/styles" --content "$tmp/shirts" --sheet "$tmp/styles/palette.png"

# colours
colors="--style $tmp/style.tga --content $tmp/in/a.png --size 48"
for kind in off covariance luminance; do good "--preserve-color $kind" $colors --preserve-color $kind --output "$tmp/$kind.png"; done
check "three pictures" [ "$(cksum "$tmp/off.png" "$tmp/covariance.png" "$tmp/luminance.png" | cut -d' ' -f1 | sort -u | wc -l)" -eq 3 ]
good "colours of one picture, pattern of another" --pattern-from "$tmp/style.tga" --color-from tests/data/cmyk.jpg --content "$tmp/shirt.tga" --size 48 --output "$tmp/c.png"
good "the generator's print in the garment's colours" --generator "$run" --content tests/data/cmyk.jpg --size 48 --preserve-color luminance --output "$tmp/c.png"
for kind in 16bit.png palette.png gray.png cmyk.jpg; do
    good "$kind" --style "tests/data/$kind" --content "tests/data/$kind" --mode paint --size 32 --output "$tmp/c.png"
done

# optimisation
gram="--method gram --style $tmp/style.tga --content $tmp/shirt.tga --size 40"
good "gram with the weights beside the program" $gram --steps 1 --output "$tmp/a.png"
ln -s "$PWD/transfer" "$tmp/link" && (cd "$tmp" && ./link $gram --steps 1 --output "$tmp/b.png") >"$tmp/log" 2>"$tmp/err"
check "the same weights through a link to the program" cmp -s "$tmp/a.png" "$tmp/b.png"
mkdir "$tmp/alone" && cp transfer "$tmp/alone/"
(cd "$tmp" && alone/transfer $gram --steps 1 --output new.png) >"$tmp/log" 2>"$tmp/err"; status=$?
check "gram without weights beside the program: status $status" [ "$status" -eq 1 ]
check "says where it looked" grep -q "alone/style/features.safetensors: No such file or directory: expected gram's features beside the program" "$tmp/err"
check "in one line, and paints nothing" [ "$(wc -l <"$tmp/err")" = 1 -a ! -e "$tmp/new.png" ]
(cd "$tmp" && alone/transfer $gram --steps 1 --features random --output b.png) >"$tmp/log" 2>"$tmp/err"; status=$?
check "but random features need none: status $status" [ "$status" -eq 0 ]
rm -r "$tmp/alone"
good "gram" $gram --steps 3 --output "$tmp/a.png" --threads 1
check "the loss of each layer" grep -q "^loss .*content .*relu1_1 .*relu3_2" "$tmp/log"
good "gram, two threads" $gram --steps 3 --output "$tmp/b.png" --threads 2
check "the same bits" cmp -s "$tmp/a.png" "$tmp/b.png"
good "gram from noise" $gram --steps 2 --init noise --mode paint --content-weight 2 --tv-weight 1 --style-weight 3 --output "$tmp/b.png"
good "gram from a picture" $gram --steps 1 --init "$tmp/alpha.tga" --style-layers 'relu1_1 relu2_2' --output "$tmp/b.png"
good "L-BFGS" $gram --steps 12 --optimizer lbfgs --output "$tmp/b.png" --benchmark
check "--benchmark: seconds a step" grep -q "^benchmark: .* s a step" "$tmp/log"
check "no progress line in a file" [ -z "$(grep left "$tmp/log")" ]
good "--benchmark of patches" --style "$tmp/style.tga" --content "$tmp/shirt.tga" --size 40 --benchmark --output "$tmp/b.png"
check "seconds a picture" grep -q "^benchmark: .* s a picture" "$tmp/log"
for depth in 16 19; do
    good "VGG$depth's features" $gram --steps 2 --features tests/data/vgg$depth.safetensors --pooling average --output "$tmp/b.png"
    check "its layers" grep -q "relu5_1" "$tmp/log"
done

./transfer --help >"$tmp/log" 2>"$tmp/err"; status=$?
check "--help" [ "$status" -eq 0 ]
for option in method style pattern-from color-from style-weights mode optimizer benchmark generator content output sheet size style-scale shade content-weight detail preserve-color features style-layers content-layer pooling style-weight tv-weight steps init mask background seed device precision tile threads data-dir count classes interpolate; do
    check "--help explains --$option" grep -q -e "^  --$option " "$tmp/log"
done

# an option whose help begins with methods is refused by the others, and only by those
refused=
for method in patches gram generator; do
    with="--style $tmp/style.tga"; [ $method = generator ] && with="--generator $run"
    sed -n 's/^  \(--[a-z-]*\) *[A-Z]* \{2,\}\([^:]*\):.*/\1 \2/p' "$tmp/log" >"$tmp/of"
    while read -r option users; do
        case $option in --style|--pattern-from|--generator|--method) continue ;; esac
        case $users in *patches*|*gram*|*generator*) ;; *) continue ;; esac
        case $users in *$method*) continue ;; esac
        value=$(sed -n "s/^  $option .*(default \\([a-z]*\\))$/\\1/p" "$tmp/log")
        ./transfer --method $method $with --content "$tmp/shirt.tga" --output "$tmp/new.png" $option ${value:-1} >"$tmp/out" 2>"$tmp/err"; status=$?
        check "$option with $method: status $status" [ "$status" -eq 2 ]
        check "$option with $method: says so" grep -q -e "^transfer: $option is not used by --method $method, only by" "$tmp/err"
        refused="$refused $option"
    done <"$tmp/of"
done
check "so many are refused: $refused" [ "$(echo $refused | wc -w)" -eq 28 ]

# what does not
head -c 20000 "$run" >"$tmp/cut.safetensors"
cp "$tmp/shirt.tga" "$tmp/noise.safetensors"
mkdir "$tmp/empty" "$tmp/damaged" && cp "$tmp/in/cut.png" "$tmp/damaged/"
tga "$tmp/tiny.tga" 8 8 24
cp "$tmp/shirt.tga" "$tmp/keep.tga"
new=$tmp/new.png shirt=$tmp/shirt.tga
bad "no options" 2 "style is missing"
bad "no content" 2 "content is missing" --generator "$tmp/adain" --style "$shirt" --output "$new"
bad "no output" 2 "output is missing" --generator "$run" --content "$shirt"
bad "unknown option" 2 "did you mean '--shade'" --generator "$run" --content "$shirt" --output "$new" --shadw 1
bad "--shade nan" 2 "expected a number" --generator "$run" --content "$shirt" --output "$new" --shade nan
bad "--shade 2" 2 "from 0 to 1" --generator "$run" --content "$shirt" --output "$new" --shade 2
bad "--size -1" 2 "whole number" --generator "$run" --content "$shirt" --output "$new" --size -1
bad "--size 1.5" 2 "whole number" --generator "$run" --content "$shirt" --output "$new" --size 1.5
bad "--device" 2 "expected auto, cpu, naive or cuda" --generator "$run" --content "$shirt" --output "$new" --device abacus
bad "--precision" 2 "did you mean 'bf16'" --generator "$run" --content "$shirt" --output "$new" --precision bf61
bad "--precision bf16" 2 "only the device cuda" --generator "$run" --content "$shirt" --output "$new" --device cpu --precision bf16
./transfer --generator "$run" --content "$shirt" --output "$tmp/c.png" --device cuda >"$tmp/log" 2>"$tmp/err"
if grep -q "without CUDA" "$tmp/err"; then
    bad "--device cuda" 2 "nvcc.* --device cpu" --generator "$run" --content "$shirt" --output "$new" --device cuda
fi
bad "--background" 2 "keep or white" --generator "$run" --content "$shirt" --output "$new" --background blue
bad "output's ending" 2 "ends in .png" --generator "$run" --content "$shirt" --output "$tmp/new.bmp"
bad "sheet's ending" 2 "ends in .png" --generator "$run" --content "$shirt" --sheet "$tmp/new.gif"
bad "a file for a folder" 2 "need a folder" --generator "$run" --content "$tmp/in" --output "$new"
bad "no generator" 1 "none" --generator "$tmp/none" --content "$shirt" --output "$new"
bad "a folder without a run" 1 "checkpoint" --generator "$tmp/empty" --content "$shirt" --output "$new"
bad "another recipe" 1 "recipe dcgan, expected" --generator "$tmp/dcgan" --content "$shirt" --output "$new"
bad "a cut checkpoint" 1 "cut.safetensors" --generator "$tmp/cut.safetensors" --content "$shirt" --output "$new"
bad "no checkpoint" 1 "noise.safetensors" --generator "$tmp/noise.safetensors" --content "$shirt" --output "$new"
bad "no such picture" 1 "none.png" --generator "$run" --content "$tmp/none.png" --output "$new"
bad "a name with a line break" 1 "a?b" --generator "$run" --content "$tmp/a
b" --output "$new"
bad "an empty folder" 1 "no file in it, expected pictures of garments" --generator "$run" --content "$tmp/empty" --output "$tmp/new"
bad "a cut picture" 1 "cut.png" --generator "$run" --content "$tmp/in/cut.png" --output "$new" --sheet "$tmp/new2.png"
bad "no picture" 1 "notes.txt" --generator "$run" --content "$tmp/in/notes.txt" --output "$new"
bad "a bad list" 1 "expected one number" --generator "$run" --content synthetic:5-3 --output "$new"
bad "a bad number" 1 "expected one number" --generator "$run" --content fashion-mnist:x --output "$new"
bad "no Fashion-MNIST" 1 "not found" --generator "$run" --content fashion-mnist:1 --data-dir "$tmp/empty" --output "$new"
bad "no such mask" 1 "none.tga" --generator "$run" --content "$shirt" --mask "$tmp/none.tga" --output "$new"
patches="--size 64 --content $shirt"
bad "no such style" 1 "none.png" $patches --style "$tmp/none.png" --output "$new"
bad "a cut style" 1 "cut.png" $patches --style "$tmp/in/cut.png" --output "$new"
bad "a style too small" 1 "16" $patches --style "$tmp/tiny.tga" --output "$new"
bad "a picture too small" 1 "16" --style "$tmp/style.tga" --content "$tmp/tiny.tga" --size 8 --output "$new"
bad "one weight for two styles" 1 "expected 2 numbers" $patches --style "$tmp/style.tga" --style "$tmp/alpha.tga" --style-weights 2 --output "$new"
bad "two weights for one style" 1 "expected 1 numbers" $patches --style "$tmp/style.tga" --style-weights 2,1 --output "$new"
bad "a weight of nothing" 1 "above 0" $patches --style "$tmp/style.tga" --style-weights 0 --output "$new"
bad "a weight that is none" 1 "above 0" $patches --style "$tmp/style.tga" --style-weights nan --output "$new"
bad "nine styles" 2 "more than 8 times" $patches $(for i in 1 2 3 4 5 6 7 8 9; do echo --style "$tmp/style.tga"; done) --output "$new"
bad "a style and a generator of one style" 1 "expected a checkpoint of ./train --recipe adain, or no --style" $patches --style "$tmp/style.tga" --generator "$run" --output "$new"
bad "--method" 2 "patches, gram, generator, adain or draw" $patches --method magic --style "$tmp/style.tga" --output "$new"
bad "--method generator without one" 2 "generator and draw need --generator" $patches --method generator --style "$tmp/style.tga" --output "$new"
bad "--mode" 2 "auto, paint or print" $patches --mode draw --style "$tmp/style.tga" --output "$new"
bad "--style-scale" 2 "patches takes 0.125 to 8" $patches --style "$tmp/style.tga" --style-scale 50 --output "$new"
bad "--style-scale too small" 2 "expected 0, or 0.125 to 64" $patches --style "$tmp/style.tga" --style-scale 0.01 --output "$new"
bad "--content-weight of patches" 2 "patches takes 0 to 1" $patches --style "$tmp/style.tga" --content-weight 5 --output "$new"
bad "a result over the style" 1 "overwrite the file of --style" $patches --style "$tmp/in/a.png" --output "$tmp/in/../in/a.png"
bad "a sheet over the style" 1 "overwrite the file of --style" $patches --style "$tmp/in/a.png" --sheet "$tmp/in/../in/a.png"
bad "--preserve-color blue" 2 "expected off, luminance or covariance" $patches --style "$tmp/style.tga" --preserve-color blue --output "$new"
bad "--preserve-color or" 2 "expected off, luminance or covariance" $patches --style "$tmp/style.tga" --preserve-color or --output "$new"
bad "covariance without a style" 2 "is for the colours of a --style" $patches --generator "$run" --preserve-color covariance --output "$new"
bad "colours from two" 2 "one of them" $patches --style "$tmp/style.tga" --preserve-color luminance --color-from "$shirt" --output "$new"
bad "no such colours" 1 "none.png" $patches --style "$tmp/style.tga" --color-from "$tmp/none.png" --output "$new"
bad "a result over the colours" 1 "overwrite the file of --color-from" $patches --style "$tmp/style.tga" --color-from "$tmp/in/a.png" --output "$tmp/in/a.png"
bad "a result over the start" 1 "overwrite the file of --init" $gram --init "$tmp/in/a.png" --output "$tmp/in/a.png"
bad "--optimizer" 2 "adam or lbfgs" $gram --optimizer sgd --output "$new"
bad "gram: a picture too small" 1 "from 16 pixels" --method gram --style "$tmp/style.tga" --content "$tmp/tiny.tga" --size 8 --output "$new"
bad "gram: a style too small" 1 "from 16 pixels" --method gram --style "$tmp/tiny.tga" --content "$shirt" --size 40 --output "$new"
sed 's/features\.10\.bias/features.1x.bias/' tests/data/vgg16.safetensors >"$tmp/name.safetensors"
sed 's/"shape":\[4,3,3,3\]/"shape":[4,9,3,1]/' tests/data/vgg16.safetensors >"$tmp/shape.safetensors"
bad "VGG: a tensor is missing" 1 "features.10.bias" $gram --features "$tmp/name.safetensors" --output "$new"
bad "VGG: a tensor of another shape" 1 "features.0.weight" $gram --features "$tmp/shape.safetensors" --output "$new"
if cp "$shirt" "$tmp/closed.tga" && chmod 0 "$tmp/closed.tga" && [ ! -r "$tmp/closed.tga" ]; then       # root reads everything
    bad "an unreadable picture" 1 "closed.tga: Permission denied" $patches --style "$tmp/closed.tga" --output "$new"
fi
bad "a folder for a mask" 1 "a file was expected" $patches --style "$tmp/style.tga" --mask "$tmp/in" --output "$new"
./transfer $patches --style "$tmp/damaged" --output "$tmp/new" >"$tmp/log" 2>"$tmp/err"; status=$?
check "a folder of damaged styles: status $status" [ "$status" -eq 1 ]
check "one line for each, one at the end" lines "$tmp/err" 2
check "no result" [ ! -e "$tmp/new" ]
bad "a sheet's folder that is none" 1 "new.png: No such file or directory: expected a folder" $patches --style "$tmp/style.tga" --sheet "$tmp/none/new.png"
# what a test must bend for: masks without a garment, checkpoints that were changed, features that moved away
upper "$tmp/black.tga" 24 0
empty="its mask is empty, there is nothing to print on: --mask can say where"
bad "an empty mask" 1 "$empty" --generator "$run" --content "$shirt" --mask "$tmp/black.tga" --output "$new"
bad "an empty mask, cyclegan" 1 "$empty" --generator "$tmp/cycle" --content "$shirt" --mask "$tmp/black.tga" --output "$new"
bad "an empty mask, patches" 1 "$empty" $patches --style "$tmp/style.tga" --mask "$tmp/black.tga" --output "$new"
LC_ALL=C sed 's/"--body":"residual"/"--body":"resiDual"/' "$run" >"$tmp/body.safetensors"
bad "an unknown body" 1 "its generator's --body is 'resiDual'" --generator "$tmp/body.safetensors" --content "$shirt" --output "$new"
LC_ALL=C sed 's/"shape":\[5,5,24,3\]/"shape":[5,5,3,24]/' "$run" >"$tmp/colours.safetensors"
bad "24 colours" 1 "makes no pictures of 1 or 3 channels" --generator "$tmp/colours.safetensors" --content "$shirt" --output "$new"
cp "$run" "$tmp/nan.safetensors"
printf '\377\377\377\377' | dd of="$tmp/nan.safetensors" bs=1 seek=$((8 + $(od -An -tu8 -N8 "$run"))) conv=notrunc 2>/dev/null
bad "a weight that is no number" 1 "is not finite: the training went wrong" --generator "$tmp/nan.safetensors" --content "$shirt" --output "$new"
cp style/features.safetensors "$tmp/moved.safetensors"
./train --recipe adain --data synthetic:20 --style synthetic --size 32 --batch 2 --steps 1 --features "$tmp/moved.safetensors" --out "$tmp/adain2" >"$tmp/log" 2>&1 || cat "$tmp/log"
rm "$tmp/moved.safetensors"
bad "features that moved away" 1 "was trained with it; if it lies elsewhere: --features" --generator "$tmp/adain2" --style "$tmp/one.tga" --content "$shirt" --output "$new"
bad "synthetic:1000" 1 "there are synthetic garments 0 to 999" --generator "$run" --content synthetic:1000 --output "$new"
bad "one name for two" 2 "expected two names" --generator "$run" --content "$shirt" --output "$new" --sheet "$new"
bad "a long path" 2 "a path is too long" --generator "$run" --content "$shirt" --output "$(head -c 3901 /dev/zero | tr '\0' a).png"
./transfer --generator "$run" --content "$shirt" --output "$tmp/twin.png" --sheet "$tmp/../${tmp##*/}/twin.png" >"$tmp/log" 2>"$tmp/err"; status=$?
check "two names for one file: status $status" [ "$status" -eq 1 ]
check "two names for one file" grep -q "sheet would overwrite --output" "$tmp/err"
LC_ALL=C sed 's/"shape":\[3,3,32,64\]/"shape":[3,3,64,32]/' style/features.safetensors >"$tmp/turned.safetensors"
bad "features of another shape" 1 "tensor 'g.[0-9]*.conv2d.weight' is not there, or of another shape" $gram --features "$tmp/turned.safetensors" --output "$new"
bad "too many layers" 1 "style layers '.*': too many" $gram --style-layers "$(head -c 300 /dev/zero | tr '\0' a)" --output "$new"
bad "--pooling" 2 "max or average" $gram --pooling min --output "$new"
bad "--pooling without VGG" 2 "--pooling is that of VGG's features" $gram --pooling average --output "$new"
bad "--seed where nothing is drawn" 2 "--seed changes nothing" $gram --seed 2 --output "$new"
bad "--data-dir of a picture" 2 "--data-dir is where" --generator "$run" --content "$shirt" --data-dir "$tmp" --output "$new"
for features in tests/data/vgg16 style/features; do
    from=$((8 + $(od -An -tu8 -N8 $features.safetensors))) all=$(wc -c <$features.safetensors)
    { head -c $from $features.safetensors; head -c $((all - from)) /dev/zero | tr '\0' '\377'; } >"$tmp/nan_features.safetensors"
    bad "${features##*/}: a weight that is no number" 1 "has a weight that is not finite: the file of features is damaged" $gram --features "$tmp/nan_features.safetensors" --output "$new"
done
printf 'PK\3\4archive/data.pkl' >"$tmp/vgg.pth" && printf '\200\2\212\nl\374' >"$tmp/old.pth"
for file in vgg old; do bad "$file.pth" 1 "weights as PyTorch saves them (.pth): expected safetensors" $gram --features "$tmp/$file.pth" --output "$new"; done
tensors() { header="{\"$1\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"$2\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}"
    { byte ${#header}; printf '\0\0\0\0\0\0\0%s\0\0\0\0\0\0\0\0' "$header"; } >"$tmp/names.safetensors"; }       # two of these names
tensors module.features.0.weight module.features.0.bias
bad "DataParallel's names" 1 "expected them without 'module.'" $gram --features "$tmp/names.safetensors" --output "$new"
tensors features.0.weight features.1.running_mean
bad "VGG with batch normalization" 1 "this is a VGG with batch normalization (vgg_bn)" $gram --features "$tmp/names.safetensors" --output "$new"
tga "$tmp/eight.tga" 40 8 24
bad "a style too small for patches" 1 "eight.tga: 40 x 8 pixels, expected at least 16 x 16" --style "$tmp/eight.tga" --content "$shirt" --output "$new"
esc=$(printf 'a\033[31mb\nc')
cp "$shirt" "$tmp/$esc.tga"
good "control characters in names" --generator "$run" --content "$tmp/$esc.tga" --mask "$tmp/$esc.tga" --output "$tmp/$esc.png" --sheet "$tmp/$esc.sheet.png"
check "do not reach the terminal" [ "$(LC_ALL=C grep -c '[[:cntrl:]]' "$tmp/log")" = 0 ]
check "nor make lines" grep -q 'a?\[31mb?c: .* pixels; garment' "$tmp/log"
bad "no such features" 1 "none" $gram --features "$tmp/none" --output "$new"
bad "features that are none" 1 "features.0.weight" $gram --features "$run" --output "$new"
bad "no such layer" 1 "relu9_1" $gram --style-layers relu9_1 --output "$new"
bad "no picture to begin with" 1 "none.png" $gram --init "$tmp/none.png" --output "$new"
bad "a name too long for a file" 1 "more than 230 letters" --generator "$run" --content "$shirt" --output "$tmp/$(head -c 240 /dev/zero | tr '\0' a).png"
bad "an output folder that is none" 1 "new.png" --generator "$run" --content "$shirt" --output "$tmp/none/new.png"
bad "a folder below a file" 1 "--output .*new: Not a directory, choose another folder" --generator "$run" --content "$tmp/in" --output "$shirt/new"
bad "results among garments" 1 "choose another" --generator "$run" --content "$tmp/in" --output "$tmp/in/."
channels() { od -An -tu1 -j25 -N1 "$1" | tr -d ' '; }          # of a PNG: 2 RGB, 6 RGBA
good "a transparent picture" --style "$tmp/style.tga" --content "$tmp/alpha.tga" --size 64 --output "$tmp/cut.png"
check "stays cut out" [ "$(channels "$tmp/cut.png")" = 6 ]
good "a transparent picture, white" --style "$tmp/style.tga" --content "$tmp/alpha.tga" --size 64 --background white --output "$tmp/b.png"
check "is opaque" [ "$(channels "$tmp/b.png")" = 2 ]
./transfer --style "$tmp/style.tga" --content "$tmp/cut.png" --size 64 --output "$tmp/c.png" >"$tmp/log" 2>"$tmp/err"
check "what was cut out has a mask again" grep -q "its own mask" "$tmp/log"
good "a transparent picture and a mask" --generator "$run" --content "$tmp/alpha.tga" --mask "$tmp/alpha.tga" --size 64 --output "$tmp/c.png"
check "stays cut out, too" [ "$(channels "$tmp/c.png")" = 6 ]
c1=$(printf 'a\302\233\061mb \303\244\302\240c')               # CSI as one character; an umlaut and a wide space, which are none
cp "$shirt" "$tmp/$c1.tga"
good "C1 control characters in names" --generator "$run" --content "$tmp/$c1.tga" --output "$tmp/c.png"
check "do not reach the terminal either, other letters do" grep -q "^$(printf 'a?1mb \303\244\302\240c'): .* pixels" "$tmp/log"
bad "nor by an error" 1 "$(printf 'a?1mb \303\244\302\240c')" --generator "$run" --content "$tmp/none$c1.tga" --output "$new"
good "an opaque picture" --generator "$run" --content "$shirt" --output "$tmp/c.png"
check "stays opaque" [ "$(channels "$tmp/c.png")" = 2 ]
upper "$tmp/nothing.tga" 32 0 && upper "$tmp/band.tga" 32 30
with="--style $tmp/style.tga --content $shirt --size 64 --mask $tmp/opaque.tga"
good "a print" $with --output "$tmp/a.png"
check "goes where --mask is" grep -q "garment: --mask" "$tmp/log"
first="--content $shirt --size 64 --mask $tmp/opaque.tga --style $tmp/style.tga"
good "a swatch of nothing over it" $first --mask "$tmp/shirt.tga" --style "$tmp/nothing.tga" --output "$tmp/b.png" --threads 1
check "is told" grep -q "nothing.tga: all of it is transparent" "$tmp/log"
check "changes nothing" cmp -s "$tmp/a.png" "$tmp/b.png"
good "a swatch of something" $first --mask "$tmp/opaque.tga" --style "$tmp/band.tga" --output "$tmp/c.png" --threads 1
check "does" [ "$(cmp -s "$tmp/a.png" "$tmp/c.png"; echo $?)" = 1 ]
good "the same, two threads" $first --mask "$tmp/opaque.tga" --style "$tmp/band.tga" --output "$tmp/b.png" --threads 2
check "the same bits" cmp -s "$tmp/b.png" "$tmp/c.png"
check "no word about white ground" [ -z "$(grep white "$tmp/log")" ]
good "two prints, three styles" $first --style "$tmp/one.tga" --mask "$tmp/shirt.tga" --style "$tmp/two.tga" --style-weights 2,1,5 --output "$tmp/c.png" --sheet "$tmp/sheet.png" --background white
check "print twice" [ "$(grep -c "^printing" "$tmp/log")" = 2 ]
good "one mask before its styles" $first --style "$tmp/one.tga" --output "$tmp/b.png"
good "or behind" --style "$tmp/style.tga" --style "$tmp/one.tga" --mask "$tmp/opaque.tga" --content "$shirt" --size 64 --output "$tmp/c.png"
check "gets the mixture of all" cmp -s "$tmp/b.png" "$tmp/c.png"
pairing="--mask: of several masks each needs its --style behind it"
bad "a style before two masks" 2 "$pairing" $with --mask "$tmp/shirt.tga" --style "$tmp/one.tga" --output "$new"
bad "two masks, then a style" 2 "$pairing" --content "$shirt" --mask "$tmp/opaque.tga" --mask "$tmp/shirt.tga" --style "$tmp/one.tga" --output "$new"
bad "a mask at the end" 2 "$pairing" $first --mask "$tmp/shirt.tga" --output "$new"
bad "two masks for a generator" 2 "$pairing" --generator "$run" --content "$shirt" --mask "$tmp/shirt.tga" --mask "$tmp/opaque.tga" --output "$new"
bad "no such second mask" 1 "none.tga" $first --mask "$tmp/none.tga" --style "$tmp/one.tga" --output "$new"
bad "a second mask of another shape" 1 "odd.tga: this mask has 131 x 7 pixels" $first --mask "$tmp/odd.tga" --style "$tmp/one.tga" --output "$new"
cp "$tmp/a.png" "$tmp/second.png"
bad "a result over the second mask" 1 "overwrite the file of --mask" $first --mask "$tmp/second.png" --style "$tmp/one.tga" --output "$tmp/second.png"
good "a transparent style, painted" --mode paint --style "$tmp/alpha.tga" --content "$shirt" --size 64 --output "$tmp/c.png"
check "says what becomes of its ground" grep -q "alpha.tga: its transparent ground is painted white" "$tmp/log"
good "a transparent style, by gram" --method gram --steps 1 --style "$tmp/alpha.tga" --content "$shirt" --size 40 --output "$tmp/c.png"
check "says so too" grep -q "alpha.tga: its transparent ground is painted white" "$tmp/log"
mkdir "$tmp/links" "$tmp/linked" && cp "$tmp/in/a.png" "$tmp/links/a.png" && cp "$tmp/in/a.png" "$tmp/linked/a.png" && ln -s ../linked/a.png "$tmp/links/c.png"
./transfer --generator "$run" --content "$tmp/links" --output "$tmp/linked" >"$tmp/log" 2>"$tmp/err"; status=$?
check "a result over another garment: status $status" [ "$status" -eq 1 ]
check "a result over another garment: says so" grep -q "linked/a.png: --output would overwrite the file of --content" "$tmp/err"
check "a result over another garment: it is unharmed" cmp -s "$tmp/in/a.png" "$tmp/linked/a.png"
./transfer --generator "$run" --content "$tmp/links" --output "$tmp/clash" --sheet "$tmp/clash/a.png" >"$tmp/log" 2>"$tmp/err"; status=$?
check "a sheet over a result: status $status" [ "$status" -eq 1 ]
check "a sheet over a result: says so" grep -q "clash/a.png: --sheet would overwrite --output" "$tmp/err"
bad "a picture over itself" 1 "choose another" --generator "$run" --content "$tmp/in/a.png" --output "$tmp/in/../in/a.png"
bad "too many pixels" 1 "smaller --size" --generator "$run" --content "$shirt" --output "$new" --size 16384
bad "too many pixels to paint" 1 "larger --style-scale" --generator "$run" --content "$shirt" --output "$new" --size 8192 --style-scale 0.125
good "enough memory" --generator "$run" --content "$shirt" --output "$tmp/a.png" --threads 1 --style-scale 0.4 --device cpu
(ulimit -v 90000; ./transfer --generator "$run" --content "$shirt" --output "$tmp/b.png" --threads 1 --style-scale 0.4 --device cpu) \
    >"$tmp/log" 2>"$tmp/err"; status=$?
check "memory for a piece: status $status" [ "$status" -eq 0 ]
check "memory for a piece: it goes in pieces" grep -q "pieces of" "$tmp/log"
check "memory for a piece: the same picture" cmp -s "$tmp/a.png" "$tmp/b.png"
(ulimit -v 45000; ./transfer --generator "$run" --content "$shirt" --output "$new" --threads 1 --style-scale 0.125 --device cpu) \
    >"$tmp/log" 2>"$tmp/err"; status=$?
check "too little memory: status $status" [ "$status" -eq 1 ]
check "too little memory: one line" lines "$tmp/err" 1
check "too little memory: it says so" grep -q "memory" "$tmp/err"
check "the garment is unharmed" cmp -s "$shirt" "$tmp/keep.tga"
./transfer --generator "$run" --content "$tmp/damaged" --output "$tmp/prints" >"$tmp/log" 2>"$tmp/err"; status=$?
check "a folder of damaged files: status $status" [ "$status" -eq 1 ]
check "one line for each, one at the end" lines "$tmp/err" 2
check "no temporary file is left" [ -z "$(find "$tmp" -name '*.tmp*')" ]
counted transfer
