"""golden_common.py: what the golden_*.py and twin_torch.py share: our random numbers, the networks of the recipe dcgan in torch.nn
(NCHW), one training step, and our files. Nothing here but the description of the recipe is shared with gan.c."""
import json
import os
import struct
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

STREAM_G, STREAM_D, STREAM_NOISE, STREAM_DATA, STREAM_PENALTY = 1, 2, 3, 5, 9


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


def normals(seed, shape, purpose, index):
    """Element i of stream (purpose, index): in float64, so equal to layers.h up to float32's rounding."""
    count = int(np.prod(shape))
    words = philox(seed, purpose << 40 | index, (count + 3) // 4).reshape(-1, 2).astype(np.float64)
    radius = np.sqrt(-2 * np.log((words[:, 0] + 0.5) / 2 ** 32))
    angle = 2 * np.pi * words[:, 1] / 2 ** 32
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return torch.tensor(pairs.reshape(-1)[:count].reshape(shape))


def uniforms(seed, shape, purpose, index):
    count = int(np.prod(shape))
    words = philox(seed, purpose << 40 | index, (count + 3) // 4).reshape(-1)[:count]
    return torch.tensor((words >> np.uint64(8)).astype(np.float64).reshape(shape) / 2 ** 24)


# ---- the networks. Node numbers are those of gan.c: they are in the tensors' names and choose the random streams.
class Generator(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.s = size // 4
        self.dense, self.norm1 = nn.Linear(100, self.s * self.s * 128), nn.BatchNorm2d(128)
        self.up1, self.norm2 = nn.ConvTranspose2d(128, 64, 5, 2, 2, output_padding=1), nn.BatchNorm2d(64)
        self.up2 = nn.ConvTranspose2d(64, 1, 5, 2, 2, output_padding=1)

    def forward(self, z):
        x = self.dense(z).reshape(-1, self.s, self.s, 128).permute(0, 3, 1, 2)
        x = self.up1(F.relu(self.norm1(x)))
        return torch.tanh(self.up2(F.relu(self.norm2(x))))


class Discriminator(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 64, 5, 2, 2), nn.Conv2d(64, 128, 5, 2, 2)
        self.dense = nn.Linear((size // 4) ** 2 * 128, 1)

    def forward(self, x):
        x = F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(x), 0.2)), 0.2)
        return self.dense(x.permute(0, 2, 3, 1).flatten(1))


def ours(w):
    """A weight or its gradient in the order of our memory: dense (in,out), convolutions HWIO, transposed ones (K,K,out,in)."""
    return w.permute(2, 3, 1, 0) if w.dim() == 4 else w.t() if w.dim() == 2 else w


def networks(size, draw):
    """G, D and their layers by name: N(0, 0.02), drawn by draw(shape in our order, name of the layer); biases 0."""
    g, d = Generator(size), Discriminator(size)
    layers = {'g.1.dense': g.dense, 'g.3.batchnorm': g.norm1, 'g.5.conv2d_transpose': g.up1, 'g.6.batchnorm': g.norm2,
              'g.8.conv2d_transpose': g.up2, 'd.1.conv2d': d.conv1, 'd.3.conv2d': d.conv2, 'd.5.dense': d.dense}
    for name, layer in layers.items():
        if not isinstance(layer, nn.BatchNorm2d):
            w = 0.02 * draw(ours(layer.weight).shape, name)
            layer.weight.data = (w.permute(3, 2, 0, 1) if w.dim() == 4 else w.t()).contiguous()
            layer.bias.data.zero_()
    return g, d, layers


def draw_as_gan_c(seed):
    return lambda shape, name: normals(seed, shape, STREAM_G if name[0] == 'g' else STREAM_D, int(name.split('.')[1]))


def tensors_of(layers):
    """(name in our checkpoint, values in our order) of all parameters and statistics."""
    for name, layer in layers.items():
        norm = isinstance(layer, nn.BatchNorm2d)
        yield f'{name}.{"gamma" if norm else "weight"}', ours(layer.weight.detach())
        yield f'{name}.{"beta" if norm else "bias"}', layer.bias.detach()
        if norm:
            yield f'{name}.running_mean', layer.running_mean
            yield f'{name}.running_var', layer.running_var


def sample(value, most):
    """At most so many values of a tensor, evenly spread: element j * count // samples."""
    value = value.reshape(-1)
    samples = min(most, len(value))
    return value[[j * len(value) // samples for j in range(samples)]]


# ---- one training step of dcgan
def adam(net):
    return torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999), eps=1e-8)


def norm(net):
    return torch.cat([p.grad.flatten() for p in net.parameters()]).norm()


def bce(logits, target):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def dcgan_step(g, d, adam_g, adam_d, real, fake):
    """real: pictures, fake: g's. Returns the losses, D(x), D(G(z)), the norms of the gradients."""
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
    return [float(x) for x in (loss_d, loss_g, torch.sigmoid(on_real).mean(), torch.sigmoid(on_fake).mean(), norm_d, norm_g)]


# ---- the file: an 8-byte length, a JSON header, the data
def write(path, tensors, meta, dtype='<f4'):
    """Tensors of torch or numpy; those in float16 stay so, others become dtype."""
    header, at, data = {'__metadata__': {'torch': torch.__version__, **meta}}, 0, []
    for name, value in tensors.items():
        value = torch.as_tensor(value).detach().numpy()
        value = value.astype('<f2' if value.dtype == np.float16 else dtype)
        header[name] = {'dtype': 'F%d' % (8 * value.itemsize), 'shape': list(value.shape), 'data_offsets': [at, at + value.nbytes]}
        at += value.nbytes
        data.append(value.tobytes())
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text + b''.join(data))
    print(f'{path}: {len(tensors)} tensors, {8 + len(text) + at} bytes')


def write_golden(name, tensors, dtype='<f4'):
    """What golden_NAME.py has computed: data/NAME.safetensors beside it, or the file that the command line names."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'data', name + '.safetensors')
    write(sys.argv[1] if len(sys.argv) > 1 else path, tensors, {'made_by': f'tests/golden_{name}.py'}, dtype)
