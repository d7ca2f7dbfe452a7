#!/usr/bin/env python3
"""twin_torch.py: the recipe dcgan trained by PyTorch in float32, written as a checkpoint of ours: what does the same recipe reach elsewhere?

    python3 tests/twin_torch.py SEED FILE.safetensors [STEPS [DATA-DIR]]        needs torch and numpy
    ./train --evaluate FILE.safetensors --classifier runs/classifier

Architecture, step and first weights' distribution are golden_common.py's, which golden_dcgan.py shows to be gan.c's; PyTorch's defaults of
batch norm (eps 1e-5, running += 0.1 (batch - running), the variance with R/(R-1)) are ours too. The random numbers are PyTorch's own.
"""
import gzip
import math
import time

from golden_common import *

BATCH, SIZE = 64, 28
if len(sys.argv) not in (3, 4, 5):
    sys.exit(__doc__)
seed, path, steps = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1500
folder = sys.argv[4] if len(sys.argv) == 5 else '/usr/share/datasets/fashion-mnist'
with gzip.open(os.path.join(folder, 'train-images-idx3-ubyte.gz')) as file:
    pictures = torch.from_numpy(np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, SIZE, SIZE).copy())

torch.set_num_threads(1)
torch.manual_seed(seed)
g, d, layers = networks(SIZE, lambda shape, name: torch.randn(shape))
adam_g, adam_d = adam(g), adam(d)
began = time.time()
for step in range(steps):
    real = pictures[torch.randint(len(pictures), (BATCH,))].float() / 127.5 - 1
    report = dcgan_step(g, d, adam_g, adam_d, real, g(torch.randn(BATCH, 100)))
    if not all(map(math.isfinite, report)):
        sys.exit(f'twin_torch.py: step {step + 1}: the losses are not finite')
    if (step + 1) % 100 == 0:
        print('step %d/%d  D %.3f  G %.3f  D(x) %.2f  D(G(z)) %.2f' % (step + 1, steps, *report[:4]), f' {time.time() - began:.0f} s', flush=True)

write(path, {name: value for name, value in tensors_of(layers) if name[0] == 'g'},
      {'recipe': 'dcgan', 'step': str(steps), '--data': 'fashion-mnist', '--tail': '0', '--size': str(SIZE), '--batch': str(BATCH), '--seed': str(seed),
       'made_by': 'tests/twin_torch.py'})
