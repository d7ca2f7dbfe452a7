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
    BEGIN {   # of a multiprocessor: warps, blocks, KB of shared memory, and what the system keeps of that for every block
        limits["75"] = "32 16 64 0"; limits["80"] = "64 32 164 1"; limits["86"] = "48 16 100 1"; limits["89"] = "48 24 100 1"
        limits["90"] = "64 32 228 1"
        sm = substr(arch, 4) + 0
        if (!(sm in limits)) { print "cuda_registers.sh: the limits of " arch " are not in its table" > "/dev/stderr"; exit }
        split(limits[sm], limit, " ")
        warps = limit[1]; blocks = limit[2]; shared = 1024 * limit[3]; kept = 1024 * limit[4]
        print "| kernel | registers | shared memory, bytes | spills, bytes | blocks | warps | of the warps |"
        print "|---|---|---|---|---|---|---|"
        fflush()
    }
    /Compiling entry function/ { name = $0; sub(/^[^\047]*\047/, "", name); sub(/\047 for .*/, "", name); sub(/^void /, "", name); sub(/\(.*/, "", name) }
    /spill stores/ { spills = $0; gsub(/.*frame, | bytes spill (stores|loads)/, "", spills); split(spills, s, ", "); spills = s[1] + s[2] }
    /Used [0-9]+ registers/ && name ~ /^(naive|shared_tile|register_tile|tensor)_kernel/ {
        if (sm < 80 && name ~ /^tensor/) next             # empty there: tensor cores are used from 8.0 on
        match($0, /Used [0-9]+/); used = substr($0, RSTART + 5, RLENGTH - 5) + 0
        smem = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART, RLENGTH) + 0 : 0
        if (name ~ /^tensor/) {                           # its ring is asked for at the launch: four times two tiles, 16 deep
            split(name, size, /[<,]/)
            smem = 4 * 64 * (size[2] + (name ~ /PatchesTransposed/ ? 8 : 0) + size[3] + (name ~ /Matrix/ ? 8 : 0))
        }
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
