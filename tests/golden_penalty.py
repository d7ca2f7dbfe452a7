#!/usr/bin/env python3
"""golden_penalty.py: D's part of a step of the recipe wgan-gp, its gradient penalty (F12) differentiated twice by PyTorch in float64.

    python3 tests/golden_penalty.py [tests/data/penalty.safetensors]        needs torch and numpy; the tests need neither

What both sides start from is drawn by golden_common.py, as gan.c draws it. D's weights are larger than at first, so that the norms of its
gradients lie on both sides of 1, its biases are not 0, and the weight of the penalty lets it be most of the gradient. Stored is what must
come out: L_D, the penalty, the norm of L_D's gradient by D's parameters, and a sample of this gradient.
"""
from golden_common import *

SIZE, BATCH, SEED, WEIGHT, SAMPLES = 12, 4, 2024, 100, 2000
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

g, d, layers = networks(SIZE, draw_as_gan_c(SEED))
layers = {name: layer for name, layer in layers.items() if name[0] == 'd'}
for name, layer in layers.items():
    layer.weight.data *= 3.75
    layer.bias.data = 0.1 * normals(SEED, layer.bias.shape, STREAM_D, 100 + int(name.split('.')[1]))
real = torch.tanh(normals(SEED, (BATCH, SIZE, SIZE, 1), STREAM_DATA, 0)).permute(0, 3, 1, 2)
made = g(normals(SEED, (BATCH, 100), STREAM_NOISE, 0)).detach()
t = uniforms(SEED, (BATCH, 1, 1, 1), STREAM_PENALTY, 0)
between = (t * real + (1 - t) * made).requires_grad_()

slope, = torch.autograd.grad(d(between).sum(), between, create_graph=True)
length = slope.flatten(1).norm(dim=1)
penalty = ((length - 1) ** 2).mean()
loss = d(made).mean() - d(real).mean() + WEIGHT * penalty
loss.backward()

tensors = {'report': torch.stack([loss, penalty, norm(d)])}
for name, layer in layers.items():
    tensors[f'{name}.weight'], tensors[f'{name}.bias'] = sample(ours(layer.weight.grad), SAMPLES), layer.bias.grad
write_golden('penalty', tensors, '<f8')
