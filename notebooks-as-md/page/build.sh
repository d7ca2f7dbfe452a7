#!/bin/sh
# build.sh WASM FOLDER: the page on standard output: page.html with its style, its script, the C code, and a
# thousand garments of Fashion-MNIST, if it lies in FOLDER (MIT licence).
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT || exit 1
gzip -9nc "$1" | base64 | tr -d '\n' >"$folder/wasm"
sample='<span data-zh="服装由程序画出：构建时没有 Fashion-MNIST。">There is no Fashion-MNIST in this build: the program draws the garments.</span>'
: >"$folder/pictures"
if [ -r "$2/t10k-images-idx3-ubyte.gz" ]; then           # the header of 1000 pictures, and these
    { printf '\0\0\10\3\0\0\3\350\0\0\0\34\0\0\0\34'; gunzip -c "$2/t10k-images-idx3-ubyte.gz" | tail -c +17 | head -c 784000; } |
        gzip -9n | base64 | tr -d '\n' >"$folder/pictures"
    sample='<span data-zh="服装照片是 Fashion-MNIST 的前一千张测试图片，© 2017 Zalando SE，MIT 许可。">The photographed garments are the first thousand test pictures of Fashion-MNIST, © 2017 Zalando SE, MIT licence.</span>'
fi
awk -v sample="$sample" -v folder="$folder" '
    function whole(file,   line, text) { while ((getline line <file) > 0) text = text line; return text }
    function put(from, mark, text,   at) {
        at = index(from, mark); return at ? substr(from, 1, at - 1) text substr(from, at + length(mark)) : from }
    /^@include / { while ((getline line <$2) > 0) print line; next }
    { $0 = put($0, "@sample@", sample)
      if (index($0, "@wasm@")) $0 = put($0, "@wasm@", whole(folder "/wasm"))
      if (index($0, "@pictures@")) $0 = put($0, "@pictures@", whole(folder "/pictures"))
      print }' notebooks-as-md/page/page.html
