#!/usr/bin/env python3
"""golden_dcgan.py: ten training steps of the recipe dcgan, in PyTorch and float64, for test_golden_dcgan.c.

    python3 tests/golden_dcgan.py [tests/data/dcgan.safetensors]        needs torch and numpy; the test needs neither

Nothing here but the description of the recipe is shared with gan.c: torch.nn layers (NCHW), autograd, torch.optim.Adam.
The numbers both sides start from are not stored: weights, noise and pictures come from the same counter-based random
numbers, computed here once more. Stored is what must come out: per step the losses and gradient norms, G's pictures of
step 1, and a sample of all parameters and of batch norm's running statistics after steps 1 and 10.
"""
import json
import os
import struct
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

SIZE, BATCH, STEPS, SEED, SAMPLES = 12, 4, 10, 2024, 48
STREAM_G, STREAM_D, STREAM_NOISE, STREAM_DATA = 1, 2, 3, 5
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


# ---- the random numbers of layers.h: Philox4x32-10, then Box-Muller
def philox(seed, stream, blocks):
    """Blocks 0, 1, 2, ... of four 32-bit words each, in 64-bit integers."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    index = np.arange(blocks, dtype=np.uint64)
    c0, c1 = index & low, index >> half
    c2, c3 = np.full_like(index, stream & 0xFFFFFFFF), np.full_like(index, stream >> 32)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (b >> half) ^ c1 ^ np.uint64(k0), b & low, (a >> half) ^ c3 ^ np.uint64(k1), a & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], 1)


def normals(shape, purpose, index):
    """Element i of stream (purpose, index): in float64, so equal to layers.h up to float32's rounding."""
    count = int(np.prod(shape))
    words = philox(SEED, purpose << 40 | index, (count + 3) // 4).reshape(-1, 2).astype(np.float64)
    radius = np.sqrt(-2 * np.log((words[:, 0] + 0.5) / 2 ** 32))
    angle = 2 * np.pi * words[:, 1] / 2 ** 32
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return torch.tensor(pairs.reshape(-1)[:count].reshape(shape))


# ---- the networks. Node numbers are those of gan.c: they are in the tensors' names and choose the random streams.
S = SIZE // 4


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense, self.norm1 = nn.Linear(100, S * S * 128), nn.BatchNorm2d(128)
        self.up1, self.norm2 = nn.ConvTranspose2d(128, 64, 5, 2, 2, output_padding=1), nn.BatchNorm2d(64)
        self.up2 = nn.ConvTranspose2d(64, 1, 5, 2, 2, output_padding=1)

    def forward(self, z):
        x = self.dense(z).reshape(-1, S, S, 128).permute(0, 3, 1, 2)
        x = self.up1(F.relu(self.norm1(x)))
        return torch.tanh(self.up2(F.relu(self.norm2(x))))


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 64, 5, 2, 2), nn.Conv2d(64, 128, 5, 2, 2)
        self.dense = nn.Linear(S * S * 128, 1)

    def forward(self, x):
        x = F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(x), 0.2)), 0.2)
        return self.dense(x.permute(0, 2, 3, 1).flatten(1))


g, d = Generator(), Discriminator()
layers = {'g.1.dense': g.dense, 'g.3.batchnorm': g.norm1, 'g.5.conv2d_transpose': g.up1, 'g.6.batchnorm': g.norm2,
          'g.8.conv2d_transpose': g.up2, 'd.1.conv2d': d.conv1, 'd.3.conv2d': d.conv2, 'd.5.dense': d.dense}


def ours(layer):
    """A layer's weight in the order of our memory: dense (in,out), convolutions HWIO, transposed ones (K,K,out,in)."""
    w = layer.weight.detach()
    return w.permute(2, 3, 1, 0) if w.dim() == 4 else w.t() if w.dim() == 2 else w


for name, layer in layers.items():
    if not isinstance(layer, nn.BatchNorm2d):
        w = 0.02 * normals(ours(layer).shape, STREAM_G if name[0] == 'g' else STREAM_D, int(name.split('.')[1]))
        layer.weight.data = (w.permute(3, 2, 0, 1) if w.dim() == 4 else w.t()).contiguous()
        layer.bias.data.zero_()

tensors = {}


def keep(name, value):
    tensors[name] = np.ascontiguousarray(torch.as_tensor(value).detach().numpy(), dtype='<f4')


def keep_parameters(step):
    """At most SAMPLES values of each tensor, evenly spread: element j * count // samples."""
    for name, layer in layers.items():
        norm = isinstance(layer, nn.BatchNorm2d)
        values = {'gamma' if norm else 'weight': ours(layer), 'beta' if norm else 'bias': layer.bias.detach()}
        if norm:
            values.update(running_mean=layer.running_mean, running_var=layer.running_var)
        for kind, value in values.items():
            value = value.reshape(-1)
            samples = min(SAMPLES, len(value))
            keep(f'step{step}.{name}.{kind}', value[[j * len(value) // samples for j in range(samples)]])


# ---- ten steps
def adam(net):
    return torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999), eps=1e-8)


def norm(net):
    return torch.cat([p.grad.flatten() for p in net.parameters()]).norm()


def bce(logits, target):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


adam_g, adam_d = adam(g), adam(d)
reports = []
for step in range(STEPS):
    real = torch.tanh(normals((BATCH, SIZE, SIZE, 1), STREAM_DATA, step)).permute(0, 3, 1, 2)
    fake = g(normals((BATCH, 100), STREAM_NOISE, 4 * step))
    if step == 0:
        keep('step1.pictures', fake.permute(0, 2, 3, 1))

    adam_d.zero_grad()
    on_real, on_fake = d(real), d(fake.detach())
    loss_d = bce(on_real, 1.0) + bce(on_fake, 0.0)
    loss_d.backward()
    norm_d = norm(d)
    adam_d.step()

    adam_g.zero_grad()
    loss_g = bce(d(fake), 1.0)
    loss_g.backward()
    norm_g = norm(g)
    adam_g.step()

    d_real, d_fake = torch.sigmoid(on_real).mean(), torch.sigmoid(on_fake).mean()
    reports.append([float(x) for x in (loss_d, loss_g, d_real, d_fake, norm_d, norm_g)])
    if step + 1 in (1, STEPS):
        keep_parameters(step + 1)
keep('reports', reports)


# ---- the file: an 8-byte length, a JSON header, the data
def write(path):
    header, at = {'__metadata__': {'torch': torch.__version__, 'made_by': 'tests/golden_dcgan.py'}}, 0
    for name, value in tensors.items():
        header[name] = {'dtype': 'F32', 'shape': list(value.shape), 'data_offsets': [at, at + value.nbytes]}
        at += value.nbytes
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text)
        for value in tensors.values():
            file.write(value.tobytes())
    print(f'{path}: {len(tensors)} tensors, {8 + len(text) + at} bytes')


here = os.path.dirname(os.path.abspath(__file__))
write(sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, 'data/dcgan.safetensors'))
