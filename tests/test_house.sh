#!/bin/sh
# test_house.sh [--list]: the house stays small and tidy. For every source file of the product (all .c, .h and .cu
# outside tests/) it prints tokens and lines, and checks what README promises about the layout:
#   lines of at most 100 columns, functions of at most 60 lines, a root of at most 18 entries, a limit on all lines;
#   each header compiles alone; no include goes up or in a circle; no variable is shared between files.
# Then each rule is broken once in a small made-up house, and must be reported. Runs from the top folder, before or
# after the build. CC and STB_DIR are those of make.
: "${CC:=cc}" "${STB_DIR:=/usr/include/stb}"
. tests/checks.sh

# The limits. A kernel or a function that runs on the GPU may be longer than LONGEST, and so may a table.
COLUMNS_MOST=100 ENTRIES_MOST=18 LONGEST=60
ROOT_MOST=5900 PRODUCT_MOST=19500
ROOT_SOURCES="layers.h cuda_kernels.cu gan.h gan.c train.c transfer.c"

sources() { find . -path ./build -prune -o -path ./tests -prune -o -path ./golden -prune -o -path './.*/*' -prune \
    -o -type f \( -name '*.c' -o -name '*.h' -o -name '*.cu' \) -print | sed 's,^\./,,' | LC_ALL=C sort; }

# what stands in the root for all to see; what the build writes there is listed in .gitignore
entries() { ls | grep -v -x -e build -e train -e transfer -e validate -e runs -e gallery -e golden -e '.*\.o'; }

# tokens FILE...: a line for each file. A token is a word, a number, a string or an operator outside of comments.
tokens() { awk '
    FNR == 1 && NR > 1 { show() }
    FNR == 1 { file = FILENAME; count = comment = 0 }
    { line = $0
      while (line != "") {
          if (comment) {
              if (!(at = index(line, "*/"))) break
              line = substr(line, at + 2); comment = 0
          }
          if (!match(line, /"(\\.|[^"\\])*"|\047(\\.|[^\047\\])*\047|\/\*|\/\//)) { plain(line); break }
          plain(substr(line, 1, RSTART - 1)); found = substr(line, RSTART, 2); line = substr(line, RSTART + RLENGTH)
          if (found == "//") break
          if (found == "/*") comment = 1; else count++
      } lines = FNR }
    function plain(text) {
        count += gsub(/[A-Za-z_][A-Za-z0-9_]*|[0-9.][A-Za-z0-9_.]*/, " ", text)
        count += gsub(/[-+*\/%&|^<>=!]=|->|\+\+|--|&&|\|\||<<|>>/, " ", text)
        count += gsub(/[^ \t]/, "", text)
    }
    function show() { printf "%-28s %6d tokens %6d lines\n", file, count, lines; all += count; sum += lines }
    END { show(); printf "%-28s %6d tokens %6d lines\n", "all", all, sum }' "$@"; }

# ---- the rules: each prints a line for what is wrong, and nothing else ----

too_wide() { awk -v most=$COLUMNS_MOST 'length($0) > most { n[FILENAME]++; if (!first[FILENAME]) first[FILENAME] = FNR }
    END { for (f in n) print f ":" first[f] ": " n[f] " lines of more than " most " columns" }' "$@"; }

too_full() { n=$(entries | wc -l); [ "$n" -le $ENTRIES_MOST ] || echo "the root has $n entries, at most $ENTRIES_MOST"; }

too_long() {                                # too_long WHAT MOST FILE...
    what=$1 most=$2; shift 2
    n=$(cat "$@" | wc -l); [ "$n" -le "$most" ] || echo "$what: $n lines, at most $most"
}

# from the line with the name, in column 0, to the closing brace in column 0
long_functions() { awk -v most=$LONGEST '
    FNR == 1 { start = open = 0 }
    /^[A-Za-z_]/ && /\(/ && !/=/ { start = FNR; name = $0; open = 0 }
    start && /{/ { open = 1 }
    start && (!open && /;[ \t]*$/ || FNR == start && /}[ \t]*$/) { start = 0 }
    /^}/ && start {
        if (FNR - start + 1 > most && name !~ /__global__|__device__|_kernel\(|_table\(/) {
            sub(/\(.*/, "", name); sub(/.*[ *]/, "", name)
            print FILENAME ":" start ": " name " has " FNR - start + 1 " lines, at most " most
        }
        start = 0
    }' "$@"; }

# each header alone, plain and with its implementation
lonely() {
    for header in "$@"; do
        case $header in *.h) ;; *) continue ;; esac
        macro=$(sed -n 's/^#if defined(\([A-Z0-9_]*_IMPLEMENTATION\)).*/\1/p' "$header" | head -n 1)
        for define in "" ${macro:+"-D$macro"}; do
            echo "#include \"$header\"" | $CC -std=gnu11 -Wall -Wextra -Werror -Wno-unknown-pragmas -fsyntax-only $define \
                -I. -isystem "$STB_DIR" -x c - 2>"$tmp/lonely" || echo "$header $define does not compile alone: $(grep -m 1 error "$tmp/lonely")"
        done
    done
}

# The floors, from the ground up: layers.h; core/ and, beside it, images/; gan.h, gan.c and the kernels;
# training/ and style/, side by side; validation/; the programs. An include stays on its floor or goes down.
arrows() { awk '
    function floor(f) {
        if (f == "layers.h") return 0
        if (f ~ /^core\// || f ~ /^images\//) return 1
        if (f ~ /^gan\.[ch]$/ || f == "cuda_kernels.cu") return 2
        if (f ~ /^training\// || f ~ /^style\//) return 3
        return f ~ /^validation\// ? 4 : 5
    }
    function folder(f) { return f ~ /\// ? substr(f, 1, index(f, "/") - 1) : "" }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($0, part, "\""); to = part[2]; from = FILENAME
        if (to ~ /^tests\//) { print from " includes " to ": the product needs no test"; next }
        if (system("test -e " to)) next                                # not ours: a header of the system
        arrow[from] = arrow[from] " " to; left[from] = 1
        if (floor(to) > floor(from)) print from " includes " to ": that is a floor above"
        else if (floor(to) == floor(from) && folder(to) != folder(from) && !(from ~ /^images\// && to ~ /^core\/(error|files|matrix)\.h$/))
            print from " includes " to ": they stand side by side"
        else if (from ~ /^images\// && folder(to) != "images" && to !~ /^core\/(error|files|matrix)\.h$/)
            print from " includes " to ": images/ stands on error.h, files.h and matrix.h of core/ alone"
    }
    END {                                                              # take away what stands on nothing that is left
        for (again = 1; again;) {
            again = 0
            for (f in left) {
                n = split(arrow[f], below, " "); stands = 0
                for (i = 1; i <= n; i++) stands += below[i] in left
                if (!stands) { delete left[f]; again = 1 }
            }
        }
        for (f in left) print f " is in a circle of includes, or includes one:" arrow[f]
    }' "$@"; }

# only tables that never change are shared: the operations of a device, the recipes
shared() { awk '/^[ \t]*extern/ && !/extern "C"|extern __shared__/ && !/\(/ && !/^extern const (Ops|Recipe) / {
    print FILENAME ":" FNR ": a variable that files share: " $0 }' "$@"; }

house() {                                   # house: every rule, in the folder where we are
    all=$(sources)
    too_wide $all; too_full; too_long "the six sources of the root" $ROOT_MOST $ROOT_SOURCES; too_long "the product" $PRODUCT_MOST $all
    long_functions $all; arrows $all; shared $all; lonely $all
}

tokens $(sources)
[ "${1:-}" != --list ] || exit 0
house >"$tmp/log"
check "$(grep -c '' "$tmp/log") complaints" [ ! -s "$tmp/log" ]
sed 's/^/  /' "$tmp/log"

# ---- each rule broken in a made-up house ----
mkdir "$tmp/house" && cd "$tmp/house" || exit 1
build() {                                   # a house that is in order
    rm -rf ./* && mkdir core images style training
    printf '#ifndef L_H\n#define L_H\ntypedef struct Ops { int n; } Ops;\nextern const Ops ops_naive;\n#endif\n' >layers.h
    printf '#ifndef E_H\n#define E_H\nint fail(int);\n#endif\n#if defined(E_IMPLEMENTATION)\nint fail(int x) { return x; }\n#endif\n' >core/error.h
    printf '#include "core/error.h"\n' >images/images.h
    printf '#include "layers.h"\n' >gan.h
    printf '#include "gan.h"\nint main(void) {\n    return 0;\n}\n' | tee gan.c train.c >transfer.c
    printf '__global__ void kernel(int n) {\n%0200d\n}\n' 0 | sed 's/0/\/\/\n/g' >cuda_kernels.cu
    printf '#include "gan.h"\n' | tee style/gram.h >training/report.h
}
build; house >"$tmp/log"; check "a house in order" [ ! -s "$tmp/log" ]
broken() {                                  # broken WORDS FILE FORMAT: with this text behind that file there is a complaint with those words
    build; printf "$3" >>"$2"; house >"$tmp/log"
    check "'$1' is reported" grep -q "$1" "$tmp/log"
    check "'$1' and nothing else" lines "$tmp/log" "${4:-1}"         # ${4}: what follows from it
}
broken "gan.c:5: 1 lines of more than 100 columns" gan.c "$(printf '// %0100d' 0)\n"
broken "main2 has 61 lines" train.c "$(printf 'int main2(void)\n{\n'; yes '    ;' | head -n 58; printf '}')\n"
broken "six sources of the root: [0-9]* lines" layers.h "$(yes '//' | head -n 5900)\n"
broken "the product: [0-9]* lines" style/gram.h "$(yes '//' | head -n $PRODUCT_MOST)\n"
broken "core/error.h  does not compile alone" core/error.h 'size_t n;\n' 3
broken "core/error.h -DE_IMPLEMENTATION does not compile alone" core/error.h '#ifdef E_IMPLEMENTATION\nint f(void) { return missing; }\n#endif\n'
broken "layers.h includes core/error.h: that is a floor above" layers.h '#include "core/error.h"\n'
broken "style/gram.h includes training/report.h: they stand side by side" style/gram.h '#include "training/report.h"\n'
broken "core/error.h includes images/images.h: they stand side by side" core/error.h '#ifdef NEVER\n#include "images/images.h"\n#endif\n' 3
broken "images/images.h includes layers.h: images/ stands on error.h, files.h and matrix.h of core/ alone" images/images.h '#include "layers.h"\n'
broken "gan.c includes tests/test.h: the product needs no test" gan.c '#include "tests/test.h"\n'
broken "gan.h is in a circle" gan.h '#ifdef NEVER\n#include "gan.c"\n#endif\n' 6
broken "a variable that files share: extern int rank;" gan.h 'extern int rank;\n'
build; for i in 1 2 3 4 5 6 7 8 9; do : >"$i"; done; house >"$tmp/log"; check "a root that is too full" grep -q "the root has 19 entries" "$tmp/log"
printf 'int a = 3; /* not\n counted */ // nor this\nchar *s = "/* a string */", c = %s;\n' "'\\''" >tokens.h
check "tokens are counted" grep -q '^tokens.h  *15 tokens  *3 lines' <<END2
$(tokens tokens.h)
END2
cd "$OLDPWD" || exit 1
counted house
