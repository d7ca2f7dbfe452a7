#!/bin/sh
# bench.sh [cpu|cuda]: what `make bench` prints. cpu: the layers, then whole steps against PyTorch with one thread and with all of
# them, then layers against PyTorch; steps against TensorFlow and JAX where PEERS=venv/bin/python has them. cuda: steps, the ladder of
# kernels, layers in float32, tf32, bf16
python=''
for p in python3 /usr/bin/python3; do command -v $p >/dev/null && $p -c 'import torch' 2>/dev/null && python=$p && break; done
if [ "$1" = cuda ]; then exec ${python:-python3} tests/bench_torch.py --device cuda; fi
OMP_PROC_BIND=true build/bench
echo
threads=$(nproc)
if [ -n "$PEERS" ]; then
    [ "$threads" -gt 1 ] && "$PEERS" tests/bench_peers.py --threads 1
    "$PEERS" tests/bench_peers.py --threads "$threads"
fi
if [ -z "$python" ]; then echo "no PyTorch here to compare with (Debian: python3-torch libopenblas0-openmp)"; exit 0; fi
[ "$threads" -gt 1 ] && $python tests/bench_torch.py --threads 1 --only steps
$python tests/bench_torch.py --threads "$threads"
