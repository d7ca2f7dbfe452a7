#!/bin/sh
# ipynb.sh [FOLDER]: each chapter as a Jupyter notebook in FOLDER (build/ipynb). Its cells are %%bash cells of a Python notebook, so that
# nothing beyond Jupyter itself is needed; a C program goes through ./cell. Outputs are those of the chapter.
cd "$(dirname "$0")" || exit 1
folder=${1:-../build/ipynb}; mkdir -p "$folder" && folder=$(cd "$folder" && pwd) || exit 1
home=$(cd .. && pwd)
for md in [0-9][0-9]-*.md; do
    awk -v home="$home" '
        function quoted(s) { gsub(/\\/, "&&", s); gsub(/"/, "\\\\&", s); gsub(/\t/, "\\\\t", s); return "\"" s "\\n\"" }
        function add(s) { text = text (text == "" ? "" : ",\n    ") quoted(s) }
        function flush(kind) {                # the cell that has been gathered, of this kind
            if (kind == "markdown" && !inked) { text = ""; return }
            if (text != "") printf "%s  {\"cell_type\": \"%s\", \"metadata\": {},%s \"source\": [\n    %s]", cells++ ? end ",\n" : "", kind,
                                   kind == "code" ? " \"execution_count\": null," : "", text
            text = ""; inked = 0; end = kind == "code" ? ", \"outputs\": []}" : "}"
        }
        BEGIN {
            print "{\"nbformat\": 4, \"nbformat_minor\": 4, \"metadata\": {\"kernelspec\": {\"name\": \"python3\", \"language\": \"python\","
            print "  \"display_name\": \"Python 3\"}}, \"cells\": ["
            add("%%bash"); add("ln -sf " home "/train " home "/transfer " home "/notebooks-as-md/cell ."); flush("code")
        }
        !inside && /^```(sh|c)( long)?$/ { flush("markdown"); inside = "code"; c = $1 == "```c"; add("%%bash"); if (c) add("./cell <<\"END\""); next }
        !inside && /^```text/ && end ~ /outputs/ && !inked { text = ""; inside = "text"; next }
        inside == "code" && /^```$/ { if (c) add("END"); flush("code"); inside = ""; next }
        inside == "text" && /^```$/ {
            if (text != "") end = ", \"outputs\": [{\"output_type\": \"stream\", \"name\": \"stdout\", \"text\": [\n    " text "]}]}"
            text = inside = ""; inked = 0; next
        }
        { if (!inside) gsub(/\]\(pictures\//, "](" home "/notebooks-as-md/pictures/"); if (NF) inked = 1; add($0) }
        END { flush("markdown"); print end "]}" }' "$md" > "$folder/${md%.md}.ipynb" || exit 1
    echo "$folder/${md%.md}.ipynb"
done
