#!/bin/sh
# demo.sh DATA PATTERN MINUTES MNIST-FOLDER: what `make demo` shows. Empty arguments are chosen here.
data=$1 pattern=$2 minutes=${3:-2} mnist=$4
if [ -z "$data" ]; then
    data=fashion-mnist
    test -f "$mnist/train-images-idx3-ubyte.gz" || { data=synthetic; echo "demo: no Fashion-MNIST in $mnist: using the drawn synthetic garments"; }
fi
if [ -z "$pattern" ]; then
    for p in /usr/share/gimp/[23].0/patterns/redrings.pat; do test -f "$p" && pattern=$p; done
    test -n "$pattern" || { pattern=synthetic:5; echo "demo: no GIMP patterns here: using a drawn textile"; }
fi
set -e
echo "== 1 of 4: new garments out of noise: dcgan on $data, about $minutes minutes"
# small batches, and as many steps as two idle cores take in two minutes: the rate falls to 0 with the last
./train --recipe dcgan --data "$data" --batch 32 --steps 2400 --minutes "$minutes" --out runs/demo-dcgan --overwrite
echo "== 2 of 4: learning the style of $pattern, about $minutes minutes"
./train --recipe style --data "$data" --style "$pattern" --steps 4000 --minutes "$minutes" --out runs/demo-style --overwrite
echo "== 3 of 4: printing it onto garments that neither network has seen"
content=synthetic:0-7
case $data in fashion-mnist*) content=fashion-mnist:0-7 ;; esac
./transfer --generator runs/demo-style --content "$content" --output runs/demo-style/garments --sheet runs/demo-style/garments.png
patches=''
if test -f "$pattern"; then
    echo "== 4 of 4: the same pattern and garments without any training: the pattern's own patches"
    mkdir -p runs/demo-patches
    patches=runs/demo-patches/garments.png
    ./transfer --style "$pattern" --content "$content" --sheet "$patches"
fi
echo
echo "Look at these pictures:"
for picture in runs/demo-dcgan/samples.png runs/demo-dcgan/losses.png runs/demo-style/samples.png runs/demo-style/losses.png runs/demo-style/garments.png $patches; do
    echo "  $picture"
done
echo "In a browser: runs/demo-dcgan/report.html and runs/demo-style/report.html, curves and all sheets through training."
