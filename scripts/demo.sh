#!/bin/sh
# demo.sh DATA PATTERN MINUTES MNIST-FOLDER: what `make demo` shows. Empty arguments are chosen here.
data=$1 pattern=$2 time=${3:-2} mnist=$4 gimp=
if [ -z "$data" ]; then
    data=fashion-mnist
    test -f "$mnist/train-images-idx3-ubyte.gz" || { data=synthetic; echo "demo: no Fashion-MNIST in $mnist: using the drawn synthetic garments"; }
fi
for folder in /usr/share/gimp/[23].0/patterns; do test -f "$folder/pj.pat" && gimp=$folder; done
if [ "$pattern" ]; then set -- "$pattern"
elif [ "$gimp" ]; then set -- "$gimp/abstract_flowers.pat" "$gimp/3dweave.pat"
else
    set -- synthetic:5 synthetic:2
    echo "demo: no GIMP patterns here: using drawn textiles"
fi
awk "BEGIN { exit !($time > 0) }" 2>/dev/null || { echo "demo: MINUTES=$time: expected a number above 0, such as 2"; exit 1; }
each=$(awk "BEGIN { print $time / $# }") content=synthetic:0-4        # drawn garments: sharp at any size
set -e
# learn MINUTES OUT OPTION...: trains as many steps as this machine takes in these minutes, by what 50 of them take: the
# rate falls to 0 with the last step, so there has to be a last step
learn() {
    minutes=$1 out=$2; shift 2
    ./train "$@" --steps 50 --log-every 50 --out build/demo-speed --overwrite >build/demo-speed.log
    count=$(awk -v minutes="$minutes" 'match($0, /[0-9.]+ steps\/s/) { rate = substr($0, RSTART) }
        END { printf "%d", minutes * 60 * rate + 1 }' build/demo-speed.log)
    ./train "$@" --steps "$count" --out "$out" --overwrite
}
echo "== 1 of 3: new garments out of noise: stylegan on $data, about $time minutes"
learn "$time" runs/demo-stylegan --recipe stylegan --data "$data"
pictures="runs/demo-stylegan/samples.png runs/demo-stylegan/mixing.png"
number=0 columns=
for textile do
    number=$((number + 1)) run=runs/demo-cloth-$number
    echo "== 2 of 3: weaving cloth like $textile, about $each minutes (README: 2,000 or 3,000 steps)"
    learn "$each" $run --recipe cloth --style "$textile"
    ./transfer --generator $run --repeat 256 --output $run/repeat.png
    ./transfer --generator $run --content "$content" --size 256 --sheet $run/garments.png
    pictures="$pictures $run/samples.png $run/repeat.png" columns="$columns $run/repeat.png $run/garments.png"
    test -f "$textile" || continue
    echo "== 3 of 3: the same textile and garments without any training: the textile's own patches"
    ./transfer --style "$textile" --content "$content" --size 256 --sheet $run/patches.png
    columns="$columns $textile $run/patches.png"
done

# One sheet of these: in the first line what was woven, and the textile; the garments, and a column for each sheet's prints
cat >build/demo.c <<'EOF'
#define ERROR_IMPLEMENTATION
#define FILES_IMPLEMENTATION
#define IMAGES_IMPLEMENTATION
#include "images/images.h"
#include <stdio.h>
enum { GARMENTS = 5, CELL = 256, GAP = 12, STEP = CELL + GAP };
int main(int n, char **v) {                     /* OUT, and for each column HEAD SHEET */
    static const float white[3] = { 1, 1, 1 };
    Image page, head, cell, sheet;
    int good = image_new(&page, GAP + (GARMENTS + 1) * STEP, GAP + n / 2 * STEP, 3);
    for (int i = 0; good && i < page.h; i++) image_fill(&page, i, 0, 1, page.w, white);
    for (int k = 1; good && k < n / 2; k++) {
        good = image_load(&head, v[2 * k]) && image_fit(&cell, &head, CELL, CELL) && image_load(&sheet, v[2 * k + 1]);
        if (good) image_paste(&page, &cell, GAP, GAP + k * STEP, 1);
        int across = sheet.w / STEP, each = across == 8 ? 2 : 3;        /* of patches: with the textile */
        for (int i = 0; good && i < 2 * GARMENTS; i++) {
            int at = i / 2 * each + i % 2 * (each - 1);
            good = image_crop(&cell, &sheet, GAP + at / across * STEP, GAP + at % across * STEP, CELL, CELL);
            if (good) image_paste(&page, &cell, GAP + (i / 2 + 1) * STEP, GAP + i % 2 * k * STEP, 1);
        }
    }
    good = good && image_save(&page, v[1]);
    if (!good) fprintf(stderr, "demo: %s\n", error_text());
    return !good;
}
EOF
${CC:-cc} -std=gnu11 -O2 -w -I. -isystem "${STB_DIR:-/usr/include/stb}" -o build/demo build/demo.c -lm
build/demo runs/demo-garments.png $columns
pictures="$pictures runs/demo-garments.png"
echo
echo "Look at these pictures:"
for picture in $pictures; do echo "  $picture"; done
echo "In a browser: runs/demo-stylegan/report.html and runs/demo-cloth-1/report.html, curves and all sheets through training."
