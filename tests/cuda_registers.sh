#!/bin/sh
# cuda_registers.sh [sm_75 sm_80 sm_90]: what the product kernels of cuda_kernels.cu take of a multiprocessor, and how many of their
# blocks and warps fit on one, by arithmetic: needs nvcc (NVCC=path), no GPU. Prints a Markdown table for each architecture, default
# sm_90. Exit status 1 when a hot kernel (register_tile_kernel, tensor_kernel) spills registers to memory, 2 when nothing could be read.
cd "$(dirname "$0")/.." || exit 2
for nvcc in "$NVCC" nvcc /usr/local/cuda/bin/nvcc ''; do [ -n "$nvcc" ] && command -v "$nvcc" >/dev/null && break; done
[ -n "$nvcc" ] || { echo "cuda_registers.sh: no nvcc in PATH or /usr/local/cuda/bin; NVCC=path says where it is" >&2; exit 2; }
threads=$(sed -n 's/^constexpr int THREADS = \([0-9]*\);.*/\1/p' cuda_kernels.cu)
out=$(mktemp) || exit 2
trap 'rm -f "$out" "$out.cubin"' EXIT
status=0
[ $# -gt 0 ] || set -- sm_90
for arch; do
    "$nvcc" -std=c++20 -O3 --extended-lambda -I. -arch="$arch" -Xptxas -v -cubin -o "$out.cubin" cuda_kernels.cu >"$out" 2>&1 ||
        { grep -v '^ptxas info' "$out" >&2; exit 2; }
    echo "$arch, $threads threads a block, $("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/nvcc \1/p'):"
    echo
    c++filt <"$out" | awk -v arch="$arch" -v threads="${threads:-256}" '
    BEGIN {   # of a multiprocessor: warps, blocks, shared memory, and what the system keeps of that for every block
        sm = substr(arch, 4) + 0
        warps = sm == 75 ? 32 : sm == 86 || sm == 89 || sm >= 120 ? 48 : 64
        blocks = sm == 75 || sm == 86 ? 16 : sm == 89 || sm >= 120 ? 24 : 32
        shared = 1024 * (sm == 75 ? 64 : sm == 80 || sm == 87 ? 164 : sm == 86 || sm == 89 || sm >= 120 ? 100 : 228)
        kept = sm == 75 ? 0 : 1024
        print "| kernel | registers | shared memory, bytes | spills, bytes | blocks | warps | of the warps |"
        print "|---|---|---|---|---|---|---|"
    }
    function field(word,   i) {                           # the number before a word of this line
        for (i = 2; i <= NF; i++) if (index($i, word) == 1) return $(i - 1) + 0
        return 0
    }
    /Compiling entry function/ { name = $0; sub(/^[^\047]*\047/, "", name); sub(/\047 for .*/, "", name); sub(/^void /, "", name); sub(/\(.*/, "", name) }
    /spill stores/ { spills = $0; gsub(/.*frame, | bytes spill (stores|loads)/, "", spills); split(spills, s, ", "); spills = s[1] + s[2] }
    /Used [0-9]+ registers/ && name ~ /^(naive|shared_tile|register_tile|tensor)_kernel/ {
        if (sm < 80 && name ~ /^tensor/) next             # empty there: tensor cores are used from 8.0 on
        used = field("registers"); smem = 0
        if (match($0, /[0-9]+ bytes smem/)) smem = substr($0, RSTART, RLENGTH) + 0
        each = int((used * 32 + 255) / 256) * 256         # registers are given to a warp in units of 256, by one of four schedulers
        per = threads / 32
        fit = int(int(65536 / 4 / each) * 4 / per)
        if (fit > int(warps / per)) fit = int(warps / per)
        if (fit > blocks) fit = blocks
        near = int((smem + kept + 127) / 128) * 128
        if (near && fit > int(shared / near)) fit = int(shared / near)
        hot = name ~ /^(register_tile|tensor)/
        if (hot && spills) bad++
        seen++
        printf "| %s%s | %d | %d | %d | %d | %d | %d%% |\n", name, hot && spills ? " SPILLS" : "", used, smem, spills, fit, fit * per, 100 * fit * per / warps | "sort"
    }
    END { close("sort"); exit !seen ? 2 : bad ? 1 : 0 }'
    s=$?
    [ $s -gt $status ] && status=$s
    echo
done
exit $status
