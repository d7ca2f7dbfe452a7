#!/usr/bin/env python3
"""generator_to_torch.py: the generator of one of our checkpoints as a PyTorch module, which draws the same picture of the same z.

    python3 validation/generator_to_torch.py runs/dcgan dcgan.pt            needs torch and numpy

    g = torch.jit.load('dcgan.pt')                  # anywhere, without this script
    pictures = g(torch.randn(64, 100))              # (64,channels,h,w) in [-1,1]

It is an nn.Sequential of PyTorch's own layers, in evaluation mode. Recipes: mlp, dcgan, dcgan64, lsgan, hinge, wgan, wgan-gp, r3gan,
vaegan (its decoder), and cgan, which reads z and behind it a one among zeros for the class: torch.cat([z, one_hot], 1). What differs from our
files: a dense layer's weight is (in,out) here and (out,in) there; a convolution's (K,K,in,out) here and (out,in,K,K) there, a transposed
one's (K,K,out,in) here and (in,out,K,K) there;
and a dense layer that makes a picture makes it (h,w,c) here and (c,h,w) there.
"""
import json
import os
import re
import struct
import sys

import numpy as np
import torch
import torch.nn as nn

# what follows each norm
RECIPES = {name: nn.ReLU() for name in ('dcgan', 'dcgan64', 'lsgan', 'hinge', 'wgan', 'wgan-gp', 'r3gan', 'cgan', 'vaegan')}
RECIPES['mlp'] = nn.LeakyReLU(0.2)
TYPES = {'F32': '<f4', 'F16': '<f2', 'F64': '<f8'}


def read(path):
    """The tensors of G by name, in the order of its nodes, and the metadata."""
    try:
        with open(os.path.join(path, 'checkpoint.safetensors') if os.path.isdir(path) else path, 'rb') as file:
            header = json.loads(file.read(struct.unpack('<Q', file.read(8))[0]))
            data = file.read()
    except (OSError, struct.error, ValueError) as error:
        sys.exit(f'{path}: no checkpoint of ours: {error}')
    meta = header.pop('__metadata__', {})
    if meta.get('recipe') not in RECIPES:
        sys.exit(f"{path}: made with --recipe {meta.get('recipe')}, expected one of {', '.join(RECIPES)}")
    names = sorted((n for n in header if re.match(r'g\.\d+\.', n)), key=lambda n: int(n.split('.')[1]))
    if any(header[n]['dtype'] not in TYPES for n in names):
        sys.exit(f'{path}: compressed to integers: give the checkpoint that it was made from')
    return {n: torch.tensor(np.frombuffer(data[slice(*header[n]['data_offsets'])], TYPES[header[n]['dtype']])
                            .reshape(header[n]['shape']).astype(np.float32)) for n in names}, meta


def dense(w, b, picture):
    """nn.Linear; picture: None, or the (h,w,c) that its outputs are."""
    layer = nn.Linear(*w.shape)
    if picture:
        w = w.reshape(-1, *picture).permute(0, 3, 1, 2).flatten(1)
        b = b.reshape(picture).permute(2, 0, 1).flatten()
    layer.weight.data, layer.bias.data = w.t().contiguous(), b
    return [layer] + ([nn.Unflatten(1, (picture[2], picture[0], picture[1]))] if picture else [])


def convolution(w, b, doubles):
    """nn.ConvTranspose2d that doubles the sides, or nn.Conv2d that keeps them."""
    kernel, pad = w.shape[0], (w.shape[0] - 1) // 2
    layer = (nn.ConvTranspose2d(w.shape[3], w.shape[2], kernel, 2, pad, output_padding=2 + 2 * pad - kernel) if doubles
             else nn.Conv2d(w.shape[2], w.shape[3], kernel, 1, pad))
    layer.weight.data, layer.bias.data = w.permute(3, 2, 0, 1).contiguous(), b
    return [layer]


def norm(t, node, flat):
    layer = (nn.BatchNorm1d if flat else nn.BatchNorm2d)(len(t[node + '.gamma']))
    layer.weight.data, layer.bias.data = t[node + '.gamma'], t[node + '.beta']
    layer.running_mean, layer.running_var = t[node + '.running_mean'], t[node + '.running_var']
    return [layer]


def load(path):
    """The module. path: a run's folder, or its checkpoint."""
    t, meta = read(path)
    activation = RECIPES[meta['recipe']]
    size, layers = int(meta['--size']), []
    nodes = list(dict.fromkeys(n.rsplit('.', 1)[0] for n in t))
    flat = meta['recipe'] == 'mlp'
    for i, node in enumerate(nodes):
        kind = node.split('.')[2]
        if kind == 'dense':
            out = t[node + '.bias'].numel()
            side = size if flat else size >> sum('transpose' in n for n in nodes)
            picture = None if flat and i + 1 < len(nodes) else (side, side, out // side ** 2)
            layers += dense(t[node + '.weight'], t[node + '.bias'], picture)
        elif kind == 'batchnorm':
            layers += norm(t, node, flat) + [activation]
        else:
            layers += convolution(t[node + '.weight'], t[node + '.bias'], 'transpose' in kind)
    return nn.Sequential(*layers, nn.Tanh()).eval()


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    module = load(sys.argv[1])
    torch.jit.script(module).save(sys.argv[2])
    print(f'{sys.argv[2]}: reads z of {module[0].in_features} numbers')
