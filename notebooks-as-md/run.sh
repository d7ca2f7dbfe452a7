#!/bin/sh
# run.sh [CHAPTER..]: runs the cells of the chapters (01, or all) and compares what they print with what stands below them; compares quoted
# code with the sources. The last line is "notebooks: N passed, N failed". In the environment
#   LONG=1      cells marked long run too        UPDATE=1    outputs, quotes and pictures are rewritten in place
#   FOLDER=..   where the chapters are           SCRATCH=..  where the cells run (build/notebooks), a folder per chapter
# How a chapter is written stands at the end of README.md.
cd "$(dirname "$0")/.." || exit 1
home=$PWD FOLDER=${FOLDER:-$home/notebooks-as-md} SCRATCH=${SCRATCH:-$home/build/notebooks}
export OMP_WAIT_POLICY=passive LC_ALL=C
passed=0 failed=0
check() { if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi; }
complain() { echo "  FAIL $*"; check 1; }

# quote "FILE NAME" or 'FILE from "A" to "B"': the function (struct, enum) NAME with the comment above it; the first line with A to the next with B
quote() { awk -v want="$1" '
    BEGIN { file = name = want; sub(/ .*/, "", file); sub(/^[^ ]* +/, "", name)
        if (split(name, part, "\"") >= 4) { a = part[2]; b = part[4] }
        while ((getline line < file) > 0) {
            if (a != "") { if (on || index(line, a)) { print line; on = 1; if (index(line, b)) { done = 1; exit } } continue }
            if (!on && line ~ /^\/\*/) on = 1                                   # 1: inside a comment, 2: inside what is looked for
            if (on == 1) { above = above line "\n"; if (line ~ /\*\//) on = 0; continue }
            if (!on && line ~ /^[A-Za-z_]/ && (line ~ ("[ *]" name "[(]") || line ~ ("(struct|enum|union) " name " *[{]"))) on = 2
            if (on == 2) {
                above = above line "\n"; body = body || line ~ /[{]/
                if (line ~ /^[}]|^[A-Za-z_].*[{].*[}]/) { printf "%s", above; done = 1; exit }
                if (body || line !~ /;$/) continue
                on = 0                                                          # a prototype: no { before its ;
            }
            above = ""
        }
    }
    END { exit !done }'; }

# the cells of chapter $1 go to the folder $2: N.sh or N.c; N.want and N.quote, what stands below; and a line each, "N kind line rest", to list
split_cells() { awk -v to="$2/" '
    function bad(why) { print 0, "bad", NR, why > (to "list") }
    BEGIN { printf "" > (to "list") }
    !inside && /^```/ {
        inside = NR; file = ""; $0 = substr($0, 4)
        if ($1 == "c" && $2 == "quote") {
            if (code == "") bad("a quote without <!-- code: FILE NAME --> above it")
            print ++n, "quote", NR, code > (to "list"); file = to n ".quote"
        } else if ($1 == "sh" || $1 == "c") { print ++n, $1, NR, ($2 == "long") > (to "list"); file = to n "." $1; cell = n; next_cell = 1 }
        else if ($1 == "text") {
            if (!cell) bad("an output that is not directly below a cell (plain fences are left alone)")
            tolerance = $2; if (tolerance != "" && !sub(/^tolerance=/, "", tolerance)) bad("expected ```text tolerance=0.01 or tolerance=1%, not " $2)
            print cell, "text", NR, tolerance > (to "list"); file = to cell ".want"
        }
        if (!next_cell) cell = 0; next_cell = 0; code = ""
        if (file) printf "" > file
        next
    }
    inside && /^```$/ { inside = 0; if (file) close(file); next }
    inside { if (file) print > file; next }
    /^<!-- code: .* -->$/ { code = $0; gsub(/^<!-- code: | -->$/, "", code); next }
    NF { cell = 0; code = "" }
    END { if (inside) bad("the fence of line " inside " never ends") }' "$1"; }

# differ WANT GOT LABEL LINE TOLERANCE: prints the first lines that differ; 0 if none does. Exact without a tolerance; else numbers to it (1% is
# relative) and the text between them exactly, but for spaces. The numbers must be as many; nan is a word.
differ() { awk -v got="$2" -v label="$3" -v first="$4" -v tolerance="$5" '
    function cut(line, number, text,    k) {
        gsub(/[ \t]+/, " ", line); sub(/^ /, "", line)
        for (k = 0; match(line, /[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?/); line = substr(line, RSTART + RLENGTH)) {
            text[k] = substr(line, 1, RSTART - 1); number[k++] = substr(line, RSTART, RLENGTH) + 0
        }
        text[k] = line; return k
    }
    function same(a, b,    k, m, i, d, limit) {
        if (a == b) return 1
        if (tolerance == "") return 0
        k = cut(a, x, s); m = cut(b, y, t)
        if (k != m || s[k] != t[m]) return 0
        for (i = 0; i < k; i++) {
            d = y[i] - x[i]; limit = tolerance + 0
            if (tolerance ~ /%$/) limit *= (x[i] < 0 ? -x[i] : x[i]) / 100
            if (s[i] != t[i] || !((d < 0 ? -d : d) <= limit * 1.000001)) return 0
        }
        return 1
    }
    function show(line, a, b) { if (wrong++ < 5) printf "%s:%d\n    - %s\n    + %s\n", label, line, a, b }
    { more = (getline line < got) > 0; if (!more) line = "(nothing)"; if (!more || !same($0, line)) show(first + NR, $0, line) }
    END { while ((getline line < got) > 0) show(first + ++NR, "(nothing)", line); exit wrong > 0 }' "$1"; }

one() {                                     # one CHAPTER.md
    md=$1; base=$(basename "$md" .md); work=$SCRATCH/$base; cells=$work.cells; label=${md#"$home/"}
    rm -rf "$work" "$cells"; mkdir -p "$work" "$cells"
    ln -s "$home/train" "$home/transfer" "$home/notebooks-as-md/cell" "$work"
    split_cells "$md" "$cells"
    while read -r n kind line rest <&3; do
        case $kind in
        bad) complain "$label:$line: $rest";;
        sh|c)
            [ "$rest" = 0 ] || [ -n "$LONG" ] || continue
            (cd "$work" && if [ "$kind" = c ]; then ./cell < "$cells/$n.c"; else sh -e "$cells/$n.sh"; fi) > "$cells/$n.got" 2>&1 < /dev/null
            status=$?; check $status; [ $status = 0 ] && continue
            echo "  FAIL $label:$line: the cell ended with status $status"; tail -n 12 "$cells/$n.got"; rm "$cells/$n.got";;
        text)
            [ -f "$cells/$n.got" ] || continue
            [ -n "$UPDATE" ] || { differ "$cells/$n.want" "$cells/$n.got" "  FAIL $label" "$line" "$rest"; check $?; };;
        quote)
            if ! quote "$rest" > "$cells/$n.now"; then rm "$cells/$n.now"; complain "$label:$line: $rest is not in the sources"
            elif [ -z "$UPDATE" ]; then differ "$cells/$n.quote" "$cells/$n.now" "  FAIL $label" "$line" ""; check $?; fi;;
        esac
    done 3< "$cells/list"
    for picture in $(sed -n 's/.*](pictures\/\([^)]*\)).*/\1/p' "$md"); do
        [ -n "$UPDATE" ] && [ -f "$work/$picture" ] && { mkdir -p "$FOLDER/pictures"; cp "$work/$picture" "$FOLDER/pictures/$picture"; }
        if [ ! -f "$FOLDER/pictures/$picture" ]; then complain "$label: pictures/$picture is not there: a cell makes it, UPDATE=1 keeps it"
        elif [ "$(wc -c < "$FOLDER/pictures/$picture")" -gt 300000 ]; then complain "$label: pictures/$picture is larger than 300 kB"
        elif [ -n "$LONG" ] && [ "${picture%.svg}" = "$picture" ] && [ ! -f "$work/$picture" ]; then complain "$label: no cell made pictures/$picture"
        else check 0; fi
    done
    [ -z "$UPDATE" ] || awk -v from="$cells/" '           # the chapter with the new outputs and quotes in the place of the old ones
        BEGIN { while ((getline line < (from "list")) > 0) { split(line, f, " ")
            new[f[3]] = f[2] == "text" ? from f[1] ".got" : f[2] == "quote" ? from f[1] ".now" : "" } }
        /^```$/ { skip = 0 }
        !skip { print }
        new[NR] != "" { while ((more = (getline line < new[NR])) > 0) { print line; skip = 1 } if (more == 0) skip = 1 }' "$md" > "$cells/new" &&
        { [ -z "$UPDATE" ] || cmp -s "$cells/new" "$md" || { cp "$cells/new" "$md"; echo "$label: updated"; }; }
}

found=0
for md in "$FOLDER"/[0-9][0-9]-*.md; do
    number=$(basename "$md"); number=${number%%-*}
    case " ${*:-$number} " in *" $number "*) [ -f "$md" ] && found=1 && one "$md";; esac
done
[ $found = 1 ] || complain "no chapter ${*:-at all} in $FOLDER: expected two digits, as in CHAPTERS=02"
echo "notebooks: $passed passed, $failed failed"
[ "$failed" = 0 ]
