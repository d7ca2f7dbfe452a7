#!/bin/sh
# demo.sh DATA PATTERN MINUTES MNIST-FOLDER: what `make demo` shows. Empty arguments are chosen here.
data=$1 pattern=$2 minutes=${3:-2} mnist=$4 gimp=
if [ -z "$data" ]; then
    data=fashion-mnist
    test -f "$mnist/train-images-idx3-ubyte.gz" || { data=synthetic; echo "demo: no Fashion-MNIST in $mnist: using the drawn synthetic garments"; }
fi
for folder in /usr/share/gimp/[23].0/patterns; do test -f "$folder/pj.pat" && gimp=$folder; done
if [ "$pattern" ]; then set -- "$pattern"
elif [ "$gimp" ]; then set -- "$gimp/abstract_flowers.pat" "$gimp/pj.pat"
else
    set -- synthetic:5 synthetic:2
    echo "demo: no GIMP patterns here: using drawn textiles"
fi
content=synthetic:0-5
case $data in fashion-mnist*) content=fashion-mnist:0-5 ;; esac
set -e
echo "== 1 of 3: new garments out of noise: dcgan on $data, about $minutes minutes"
# small batches, and as many steps as two idle cores take in two minutes: the rate falls to 0 with the last
./train --recipe dcgan --data "$data" --batch 32 --steps 1600 --minutes "$minutes" --out runs/demo-dcgan --overwrite
pictures="runs/demo-dcgan/samples.png runs/demo-dcgan/losses.png"
number=0
for textile do
    number=$((number + 1)) run=runs/demo-cloth-$number
    echo "== 2 of 3: weaving cloth like $textile, about a minute on two cores"
    ./train --recipe cloth --style "$textile" --steps 400 --minutes "$minutes" --out $run --overwrite
    ./transfer --generator $run --repeat 512 --output $run/repeat.png
    ./transfer --generator $run --content "$content" --size 256 --sheet $run/garments.png
    pictures="$pictures $run/samples.png $run/repeat.png $run/garments.png"
    test -f "$textile" || continue
    echo "== 3 of 3: the same textile and garments without any training: the textile's own patches"
    ./transfer --style "$textile" --content "$content" --size 256 --sheet $run/patches.png
    pictures="$pictures $run/patches.png"
done
echo
echo "Look at these pictures:"
for picture in $pictures; do echo "  $picture"; done
echo "In a browser: runs/demo-dcgan/report.html and runs/demo-cloth-1/report.html, curves and all sheets through training."
