#!/bin/sh
# test_notebooks.sh: the checkers of notebooks-as-md find what is wrong with a chapter, and rewrite it when asked; formulas.sh finds a wrong index.
# A small chapter in a folder of its own, with an error planted in each round.
. tests/checks.sh
run() { env FOLDER="$tmp/book" SCRATCH="$tmp/scratch" LONG= UPDATE= "$@" sh notebooks-as-md/run.sh > "$tmp/log" 2>&1; }
says() { grep -q -- "$1" "$tmp/log"; }
mkdir "$tmp/book"; md=$tmp/book/07-planted.md
chapter() { cat > "$md" <<'END'
# Planted
```sh
echo one 1.004
```

```text tolerance=0.01
one 1.000
```
```c
/* two.c: a program */
#include <stdio.h>
int main(void) { puts("exact"); }
```
```text
exact
```
```sh long
echo never
```
```text
not run
```
<!-- code: layers.h bias_backward -->
```c quote
```
```
left alone
```
END
env FOLDER="$tmp/book" SCRATCH="$tmp/scratch" LONG= UPDATE=1 sh notebooks-as-md/run.sh > "$tmp/log" 2>&1; }

planted() { # planted WHAT COMPLAINT SED: with this change the chapter fails, says so, and names the place
    what=$1 complaint=$2; shift 2
    chapter; sed "$@" "$md" > "$tmp/new"; cp "$tmp/new" "$md"
    run; status=$?
    check "$what: status $status" [ "$status" = 1 ]
    check "$what is named" says "FAIL.*$complaint"
}
chapter; cp "$md" "$tmp/good"
check "the quote is filled in" grep -q 'db\[c0 + j\] += (real)sum\[j\]' "$md"
check "an update with a tolerance writes what was printed" grep -q 'one 1.004' "$md"
check "an update leaves a cell that did not run" grep -q 'not run' "$md"
run; status=$?
check "a good chapter: status $status" [ "$status" = 0 ]
check "its checks are counted" says '^notebooks: 5 passed, 0 failed$'
chapter; cp "$md" "$tmp/again"; check "an update of what is right changes nothing" cmp -s "$tmp/good" "$tmp/again"

planted "a wrong number" '07-planted.md:7' 's/^one 1.004/one 1.02/'
planted "a wrong word" '07-planted.md:7' 's/^one 1.004/two 1.004/'
planted "a missing number" '07-planted.md:7' 's/^one 1.004/one/'
planted "not a number" '07-planted.md:7' 's/^echo one 1.004/echo one nan/'
planted "a missing line" '07-planted.md:8' 's/^one 1.004/&\nmore/'
planted "a line too many" '07-planted.md:8' 's/^echo one 1.004/&; echo more/'
planted "an exact output" '07-planted.md:15' 's/^exact/exactly/'
planted "a failing cell" '07-planted.md:2: the cell ended with status 1' 's/^echo one 1.004/false; echo one/'
planted "a cell that does not compile" '07-planted.md:9: the cell ended with status 1' 's/puts/put_s/'
planted "a drifted quote" '07-planted.md:' 's/(real)sum\[j\]/(real)sum[0]/'
planted "a quote of nothing" 'layers.h bias_sideward is not in the sources' 's/layers.h bias_backward/layers.h bias_sideward/'
planted "an output without a cell" 'not directly below a cell' 's/^```text tol/words\n&/'
planted "a bad tolerance" 'expected .*tolerance=0.01' 's/tolerance=/about=/'
planted "a missing picture" 'pictures/no.png is not there' 's/^# Planted/![no](pictures\/no.png)/'
mkdir "$tmp/book/pictures"; touch "$tmp/book/pictures/drawn.svg" "$tmp/book/pictures/left.png"
chapter; printf '![a](pictures/drawn.svg)\n![b](pictures/left.png)\n' >> "$md"; run LONG=1
check "a picture that no cell makes" says 'no cell made pictures/left.png'
check "a drawing needs no cell" [ "$(grep -c 'drawn.svg' "$tmp/log")" = 0 ]
chapter; run LONG=1; check "a long cell, when asked for" says 'FAIL.*07-planted.md:21'

index() { sed "$1" notebooks-as-md/README.md > "$tmp/index.md"; sh notebooks-as-md/formulas.sh "$tmp/index.md" > "$tmp/log"; }
index p; check "an index of rows that stand there twice" says 'F1 follows F1'
index 's/`adam_step`/`adam_stop`/'; check "a function that is not there" says 'adam_stop is no function of layers.h'
index 's/^| F19 /| F31 /'; check "a number that is in no source" says 'layers.h does not mention F31'
index 's/`test_mixture`/`test_mixer`/'; check "a test that is not there" says 'no tests/test_mixer.c'
index '/^| F5 /d'; check "a formula left out" says 'F6 follows F4'
counted notebook_checks
