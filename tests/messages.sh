#!/bin/sh
# messages.sh FOLDER: the table of all messages: where it is made, its text, the tests that provoke it. FOLDER holds
# a file for each test, written by tests/messages.c. A message without a test is a failure, unless tests/messages_never.txt says why no test can provoke it.
failed=0 passed=0
awk -v RS='\001' '
    {                                       # each text between quotes that begins the message of a call; pieces after each other are one
        s = $0; line = 1
        while (match(s, /(^|[^a-z_])(die|say|tell|fail|st_bad)\(/)) {
            head = substr(s, 1, RSTART + RLENGTH - 1); line += gsub(/\n/, "", head)
            s = substr(s, RSTART + RLENGTH)
            open = index(s, "\""); end = index(s, ";"); text = ""; at = 1
            if (!open || (end && end < open)) continue
            for (at = open; substr(s, at, 1) == "\""; ) {
                for (at++; (c = substr(s, at, 1)) != "\""; at++)
                    if (c == "\\") { at++; text = text substr(s, at, 1) } else text = text c
                rest = substr(s, at + 1, 200); match(rest, /^[ \n]*/); at += 1 + RLENGTH
            }
            if (text ~ /[a-z][a-z]/ && text !~ /^%s$/) print FILENAME ":" line "\t" text
        }
    }' train.c transfer.c validation/validate.c gan.c $(ls core/*.h | grep -v error.h) images/*.h training/*.h style/*.h >build/messages.list
printf '# where\tmessage\ttests\n' >tests/messages.txt
while IFS='	' read -r where text; do
    tests=
    for file in "$1"/*; do grep -qF -e "$text" "$file" && tests="$tests ${file##*/}"; done
    why=$(grep -F -e "$text" tests/messages_never.txt | cut -f1)
    printf '%s\t%s\t%s\n' "${where%%:*}" "$text" "${tests:-never: ${why:-?}}" >>tests/messages.txt
    if [ -n "$tests$why" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "  FAIL $where: no test provokes '$text'"; fi
done <build/messages.list
echo "messages: $passed passed, $failed failed"
[ "$failed" = 0 ]
