# checks.sh: how the test scripts count. Sourced in the top folder: a folder $tmp that vanishes at the end, check, lines, counted. A script keeps
# what the program under test says in $tmp/err and $tmp/log.
set -u                                      # an option that comes to nothing would test something else
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
passed=0 failed=0

check() {                                   # check WHAT CONDITION...: counts one check; when it fails, names it and shows the last of what was said
    what=$1 said=$tmp/err; shift
    if "$@"; then passed=$((passed + 1)); return; fi
    failed=$((failed + 1))
    [ -s "$said" ] || said=$tmp/log
    echo "  FAIL $what"; [ ! -e "$said" ] || tail -n 5 "$said" | sed 's/^/    /'
}
recipes() { ./train --help | sed -n 's/^  \([a-z][a-z0-9-]*\) .*(.*)$/\1/p'; }          # the names of all
small() {                                   # small RECIPE: options for a short run of it on drawn pictures
    case $1 in
        features|cloth) echo "--style synthetic:1 --size 16 --batch 2" ;;
        style|adain) echo "--data synthetic:20 --style synthetic:1 --size 16 --batch 2" ;;
        cyclegan|pattern) echo "--data synthetic:20 --data-b synthetic:9 --size 8 --batch 2" ;;
        dcgan64) echo "--data synthetic:20 --size 16 --batch 2" ;;
        *) echo "--data synthetic:20 --size 8 --batch 2" ;;
    esac
}
openmp() { if echo '#include <omp.h>' | $1 -fopenmp -x c -fsyntax-only - 2>/dev/null; then echo -fopenmp; fi; }      # openmp CC: its flag, or nothing
lines() { [ "$(wc -l <"$1")" -eq "$2" ]; }                        # lines FILE N: has it so many?
counted() { echo "$1: $passed passed, $failed failed"; [ "$failed" = 0 ]; }         # counted NAME: the last line, for run.sh
