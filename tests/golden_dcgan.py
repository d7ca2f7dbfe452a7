#!/usr/bin/env python3
"""golden_dcgan.py: ten training steps of the recipe dcgan, in PyTorch and float64, for test_golden_dcgan.c.

    python3 tests/golden_dcgan.py [tests/data/dcgan.safetensors]        needs torch and numpy; the test needs neither

The numbers both sides start from are not stored: weights, noise and pictures come from the same counter-based random
numbers, computed here once more. Stored is what must come out: per step the losses and gradient norms, G's pictures of
step 1, and a sample of all parameters and of batch norm's running statistics after steps 1 and 10.
"""
from golden_common import *

SIZE, BATCH, STEPS, SEED, SAMPLES = 12, 4, 10, 2024, 48
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

g, d, layers = networks(SIZE, draw_as_gan_c(SEED))
adam_g, adam_d = adam(g), adam(d)
tensors, reports = {}, []
for step in range(STEPS):
    real = torch.tanh(normals(SEED, (BATCH, SIZE, SIZE, 1), STREAM_DATA, step)).permute(0, 3, 1, 2)
    fake = g(normals(SEED, (BATCH, 100), STREAM_NOISE, 4 * step))
    if step == 0:
        tensors['step1.pictures'] = fake.permute(0, 2, 3, 1)
    reports.append(dcgan_step(g, d, adam_g, adam_d, real, fake))
    if step + 1 in (1, STEPS):
        tensors.update({f'step{step + 1}.{name}': sample(value, SAMPLES).clone() for name, value in tensors_of(layers)})
tensors['reports'] = reports
write_golden('dcgan', tensors)
