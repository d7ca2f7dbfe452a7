#!/bin/sh
# formulas.sh [INDEX]: every formula of the index (README.md) stands where its row says: each function in its file and the F-number in that file, the
# tests in tests/, and the F-number in the chapter. A row without code says "none".
cd "$(dirname "$0")/.." || exit 1
awk -v index_file="${1:-notebooks-as-md/README.md}" '
    function check(ok, why) { if (ok) passed++; else { failed++; print "  FAIL " index_file ":" row ": " why } }
    function contents(file,    line, all) { while ((getline line < file) > 0) all = all line "\n"; close(file); return all }
    function mentions(file) { return contents(file) ~ ("[^A-Za-z0-9]" id "[^0-9A-Za-z]") }
    function defines(file, name) { return contents(file) ~ ("\n[A-Za-z][^\n;(]*[ *]" name "[(]") }
    BEGIN {
        while ((getline line < index_file) > 0) {
            row++
            if (line !~ /^\| F[0-9]+ \|/) continue
            gsub(/\\\|/, "", line)
            columns = split(line, cell, "|"); id = cell[2]; gsub(/ /, "", id)
            check(columns == 8, id " has " columns - 2 " columns instead of 6: formula, code, test, chapter, source")
            check(id == "F" (rows + 1), id " follows F" (rows + 0)); rows = substr(id, 2) + 0
            file = ""; functions = 0
            n = split(cell[4], word, "`")
            for (i = 2; i <= n; i += 2) {
                if (word[i] ~ /\.[ch]$/) { file = word[i]; check(mentions(file), file " does not mention " id) }
                else { functions++; check(defines(file, word[i]), word[i] " is no function of " file) }
            }
            check(functions || cell[4] ~ /none/, id " names no function"); tests = 0
            n = split(cell[5], word, "`")
            for (i = 2; i <= n; i += 2)
                { tests++; check(contents("tests/" word[i] ".c") != "", "there is no tests/" word[i] ".c") }
            check(tests || cell[4] ~ /none/, id " names no test"); chapters = 0
            for (rest = cell[6]; match(rest, /[0-9a-z-]+\.md/); rest = substr(rest, RSTART + RLENGTH))
                { chapters++; file = "notebooks-as-md/" substr(rest, RSTART, RLENGTH); check(mentions(file), file " does not mention " id) }
            check(chapters, id " names no chapter: NN-name.md")
        }
        check(rows >= 20, "expected F1 to F20, found " rows + 0)
        printf "formulas: %d passed, %d failed\n", passed, failed
        exit failed > 0
    }'
