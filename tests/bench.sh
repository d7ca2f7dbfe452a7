#!/bin/sh
# bench.sh: what `make bench` prints: the layers, then whole steps against PyTorch with one thread and with all of them
export OMP_PROC_BIND=true
build/bench
echo
python=''
for p in python3 /usr/bin/python3; do command -v $p >/dev/null && $p -c 'import torch' 2>/dev/null && python=$p && break; done
if [ -z "$python" ]; then echo "no PyTorch here to compare with (Debian: python3-torch libopenblas0-openmp)"; exit 0; fi
unset OMP_PROC_BIND
$python tests/bench_torch.py 1
[ "$(nproc)" -gt 1 ] && $python tests/bench_torch.py "$(nproc)"
