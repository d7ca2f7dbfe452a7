#!/bin/sh
# setup.sh [PROGRAM...]: what `make demo` and `make test` need and a bare Debian or Ubuntu lacks. Installs nothing that is there already.
#   gcc, pkg-config        the compiler
#   libstb-dev             stb_image.h and stb_image_write.h: reading and writing PNG and JPEG
#   dataset-fashion-mnist  60,000 garments (31 MB): what the GANs learn from
#   gimp-data-extras       110 textile-like patterns (4 MB): styles to print
#   PROGRAM...             whatever else the caller wants: make test asks for g++, to run the CUDA kernels on the CPU
missing=''
command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
stb=${STB_DIR:-/usr/include/stb}
test -f "$stb/stb_image.h" || missing="$missing libstb-dev"
test -f /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz || missing="$missing dataset-fashion-mnist"
test -d /usr/share/gimp/2.0/patterns || test -d /usr/share/gimp/3.0/patterns || missing="$missing gimp-data-extras"
for program in "$@"; do command -v "$program" >/dev/null 2>&1 || missing="$missing $program"; done
test -z "$missing" && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: no apt-get here, so$missing cannot be installed: the drawn synthetic set takes their place (STB_DIR=folder says where stb is)"
    exit 0
fi
sudo=''
if [ "$(id -u)" != 0 ]; then
    sudo='sudo'
    command -v sudo >/dev/null 2>&1 || { echo "setup: please install, as root:$missing"; exit 0; }
    echo "setup: sudo is needed to install with apt-get:$missing"
else
    echo "setup: installing with apt-get:$missing"
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! $sudo apt-get install -y --no-install-recommends $missing >"$log" 2>&1; then
    $sudo apt-get update >"$log" 2>&1
    for package in $missing; do     # one by one: what this system does not have must not keep the rest away
        $sudo apt-get install -y --no-install-recommends "$package" >"$log" 2>&1 ||
            echo "setup: $package could not be installed ($(grep -m1 '^E:' "$log" || tail -n 1 "$log")): going on without"
    done
fi
rm -f "$log"
exit 0
