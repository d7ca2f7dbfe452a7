#!/bin/sh
# gallery.sh FOLDER: what `make gallery` makes: the pictures of README's gallery, each by one command, which is printed. FOLDER is gallery.
# Paintings, photos and clip art come out of Debian's and Ubuntu's packages, fetched without root into build/gallery (235 MB once, of
# which 7 MB stay; style/pictures/README.md says whose they are). A picture whose source cannot be had is left out, with a line.
out=${1:-gallery} g=build/gallery
mkdir -p "$out" $g || exit 1

missing=''
get() {     # PACKAGE PATH NAME: $g/NAME becomes the package's /PATH
    test -s $g/$3 && return
    if test -s "/$2"; then cp "/$2" $g/$3; return; fi
    case " $missing " in *" $1 "*) return ;; esac
    ls $g/$1_*.deb >/dev/null 2>&1 || { echo "gallery: fetching $1"; (cd $g && apt-get download "$1" >apt.log 2>&1); } || {
        echo "gallery: $1 cannot be fetched ($(grep -m1 '^E:' $g/apt.log || tail -n 1 $g/apt.log)): going on without its pictures"
        missing="$missing $1"
        return
    }
    dpkg-deb --fsys-tarfile $g/$1_*.deb | tar -xO "./$2" >$g/$3 2>/dev/null || { rm -f $g/$3; echo "gallery: $1 has no /$2: going on without $3"; }
}
data=usr/share/doc/opencv-doc/examples/data patterns=usr/share/gimp/2.0/patterns clothing=usr/share/openclipart/png/people/clothing
get darknet usr/share/darknet/data/scream.jpg munch.jpg
get darknet usr/share/darknet/data/person.jpg meadow.jpg
get opencv-doc $data/starry_night.jpg van_gogh.jpg
get python-matplotlib-data usr/share/matplotlib/mpl-data/sample_data/grace_hopper.jpg hopper.jpg
get openclipart-png $clothing/camicia_in_seta_architet_01.png shirt.png
get openclipart-png $clothing/tennis_shoe_jarno_vasama_.png shoe.png
for p in leaves3 pastel2 pj psycho1; do get gimp-data-extras $patterns/$p.pat $p.pat; done
for f in images-idx3 labels-idx1; do get dataset-fashion-mnist usr/share/datasets/fashion-mnist/t10k-$f-ubyte.gz t10k-$f-ubyte.gz; done
rm -f $g/*.deb

# What transfer does not do: cut the frames off two paintings and a man out of a photo, and make masks of what is bluer than it is red.
cat >$g/cut.c <<'EOF'
#define ERROR_IMPLEMENTATION
#define FILES_IMPLEMENTATION
#define IMAGES_IMPLEMENTATION
#include "images/images.h"
#include <stdio.h>
#include <stdlib.h>
int main(int n, char **v) {         /* IN OUT X Y WIDTH HEIGHT: cut out.   IN OUT THRESHOLD: a mask */
    Image in, out;
    int ok = n > 3 && image_load(&in, v[1]);
    if (ok && n == 7) ok = image_crop(&out, &in, atoi(v[4]), atoi(v[3]), atoi(v[6]), atoi(v[5])) && image_save(&out, v[2]);
    else if (ok) {
        for (float *p = in.pixels; p < in.pixels + (size_t)in.h * in.w * in.c; p += in.c)
            p[0] = p[1] = p[2] = p[2] - p[0] > atof(v[3]) ? 1 : -1;
        ok = image_save(&in, v[2]);
    }
    if (!ok) fprintf(stderr, "gallery: %s\n", error_text());
    return !ok;
}
EOF
${CC:-cc} -std=gnu11 -O2 -w -I. -isystem "${STB_DIR:-/usr/include/stb}" -o $g/cut $g/cut.c -lm || exit 1
cut() { test ! -s $g/$1 || $g/cut $g/$1 $g/$2 $3 $4 $5 $6; }
cut van_gogh.jpg night.png 16 16 718 566
cut munch.jpg scream.png 0 4 336 440
cut meadow.jpg man.png 138 84 180 180
cut man.png jacket.png 0.65
cut shoe.png leather.png 0.08

picture() {     # NAME OPTIONS of transfer
    name=$1; shift
    for word in "$@"; do
        case $word in $g | fashion-mnist:*) file=$g/t10k-images-idx3-ubyte.gz ;; $g/*) file=$word ;; *) continue ;; esac
        test -s $file || { echo "gallery: $out/$name.jpg left out: no $file"; return; }
    done
    echo "./transfer $* --sheet $out/$name.jpg"
    ./transfer "$@" --sheet "$out/$name.jpg" >$g/$name.log 2>&1 || echo "gallery: $out/$name.jpg left out: $(tail -n 1 $g/$name.log)"
}
picture night_shirt --style $g/night.png --content $g/shirt.png --size 320
picture tulip_shoe --style $g/pj.pat --content $g/shoe.png --mask $g/leather.png --size 320
picture leaf_jacket --style $g/leaves3.pat --content fashion-mnist:10 --data-dir $g --size 320
picture scream_dress --pattern-from $g/psycho1.pat --color-from $g/scream.png --content fashion-mnist:182 --data-dir $g --size 320 --shade 0.4
picture swirl_jacket --style $g/pastel2.pat --content $g/man.png --mask $g/jacket.png --size 320 --shade 0.6
picture hopper --style $g/night.png --content $g/hopper.jpg --mode paint --preserve-color luminance --size 320
picture scream_meadow --style $g/scream.png --content $g/meadow.jpg --mode paint --size 320
picture scream_meadow_gram --method gram --style $g/scream.png --content $g/meadow.jpg --mode paint --size 320
picture night_meadow --style $g/night.png --content $g/meadow.jpg --mode paint --size 320
picture two_paintings_meadow --style $g/night.png --style $g/scream.png --style-weights 2,1 --content $g/meadow.jpg --mode paint --size 320
echo "Look at the pictures in $out/"
