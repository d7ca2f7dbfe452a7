#!/bin/sh
# test_page.sh: build/page.html in headless Chromium, at the width of a telephone. A script (test_page.js) is put
# behind the page that clicks and drops files as a user would, and reads the numbers off the page: the losses of 50
# steps on the ring are those of the native code, a print of 128 pixels is that of ./transfer, bad files get a line
# and the page lives on.
. tests/checks.sh
if [ ! -e build/page.html ] || ! command -v chromium >/dev/null; then
    echo "there is no chromium, or no clang for WebAssembly (clang, lld, wasi-libc, libclang-rt-14-dev-wasm32): the page is not tried"
    counted page; exit
fi
drop() { printf '"%s": "' "$1"; base64 <"$2" | tr -d '\n'; echo '",'; }
{   # a run that prints, and one that does not
    ./train --recipe style $(small style) --steps 1 --out "$tmp/style" && ./train --compress "$tmp/style" --out "$tmp/style.safetensors"
    ./train --recipe classifier $(small classifier) --steps 1 --out "$tmp/classifier"
    ./transfer --style style/pictures/hopper.jpg --content synthetic:3 --size 128 --output "$tmp/native.png"
} >"$tmp/log" 2>"$tmp/err" || check "the native programs" false
echo "no picture" >"$tmp/text.png"
printf '\211PNG\r\n\032\n\0\0\0\15IHDR\0\0\47\20\0\0\47\20\10\2\0\0\0%040d' 0 >"$tmp/huge.png"
{
    cat build/page.html
    echo '<script>const LOSSES = ['; OMP_NUM_THREADS=1 build/test_mixture losses; echo '], FILES = {'
    for file in native.png text.png huge.png style.safetensors; do drop $file "$tmp/$file"; done
    drop classifier.safetensors "$tmp/classifier/checkpoint.safetensors"; drop cloth.jpg style/pictures/hopper.jpg
    echo '};'; cat tests/test_page.js; echo '</script>'
} >"$tmp/page.html"
chromium --headless --no-sandbox --disable-gpu --no-first-run --user-data-dir="$tmp/chromium" --window-size=390,844 --lang=en \
    --enable-logging=stderr "file://$tmp/page.html" >"$tmp/chromium.log" 2>&1 &
browser=$!
trap 'kill $browser 2>/dev/null; wait $browser 2>/dev/null; rm -rf "$tmp"' EXIT
for i in $(seq 2400); do grep -q "CHECKED" "$tmp/chromium.log" && break; sleep .5; done
sed -n 's/.*CONSOLE[^]]*\] *"\(.*\)", source:.*/\1/p' "$tmp/chromium.log" >"$tmp/log"
check "the script came to its end" grep -q CHECKED "$tmp/log"
grep '^OK\|^FAIL' "$tmp/log" >"$tmp/checks"
while read -r result what; do check "$what" [ "$result" = OK ]; done <"$tmp/checks"
counted page
