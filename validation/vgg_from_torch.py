#!/usr/bin/env python3
"""vgg_from_torch.py: weights of VGG16 or VGG19 as PyTorch saves them (.pth), as the safetensors that we read.

    python3 validation/vgg_from_torch.py vgg19.pth vgg19.safetensors        needs torch and numpy
    ./transfer --method gram --features vgg19.safetensors --style painting.jpg --content photo.jpg --output out.png

The .pth is a state dict, a checkpoint that holds one as 'state_dict' or 'model', or a whole model; names may begin with 'module.', as
DataParallel saves them. Only the convolutions are kept. The file is opened with Python's pickle, which can run code that a stranger
has put there: take it from a source that you trust.
"""
import json
import re
import struct
import sys

import numpy as np
import torch

CONVOLUTIONS = {16: (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), 19: (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)}


def state_dict(path):
    """Names and tensors, whatever the file wraps them in."""
    try:
        what = torch.load(path, map_location='cpu')
    except Exception as error:
        sys.exit(f'{path}: PyTorch cannot read it: {str(error).splitlines()[0]}')
    if hasattr(what, 'state_dict'):
        what = what.state_dict()
    for key in 'state_dict', 'model':
        if isinstance(what, dict) and isinstance(what.get(key), dict):
            what = what[key]
    if not isinstance(what, dict):
        sys.exit(f'{path}: holds a {type(what).__name__}, expected the state dict of a VGG')
    return {re.sub(r'^(module\.)+', '', name): value for name, value in what.items()}


def convolutions(weights, path):
    """The tensors of features.N, in order; N says whether it is a VGG16 or a VGG19."""
    if any(re.fullmatch(r'features\.\d+\.running_mean', name) for name in weights):
        sys.exit(f'{path}: this is a VGG with batch normalization (vgg_bn): expected vgg16 or vgg19')
    found = {int(m[1]) for m in (re.fullmatch(r'features\.(\d+)\.weight', name) for name in weights) if m}
    depth = next((d for d, numbers in CONVOLUTIONS.items() if found == set(numbers[:len(found)])), None)
    if not depth or len(found) < 8:                         # the deepest may be missing; the first seven are those of both
        sys.exit(f'{path}: its convolutions are features.{sorted(found)}, neither those of vgg16 nor of vgg19')
    return depth, [f'features.{n}.{part}' for n in sorted(found) for part in ('weight', 'bias')]


def write(path, tensors, meta):
    """A safetensors file: an 8-byte length, a JSON header, the data."""
    header, at = {'__metadata__': meta}, 0
    for name, value in tensors.items():
        header[name] = {'dtype': 'F32', 'shape': list(value.shape), 'data_offsets': [at, at + value.nbytes]}
        at += value.nbytes
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text + b''.join(value.tobytes() for value in tensors.values()))


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    weights = state_dict(sys.argv[1])
    depth, names = convolutions(weights, sys.argv[1])
    missing = [name for name in names if name not in weights]
    if missing:
        sys.exit(f'{sys.argv[1]}: has no {missing[0]}')
    write(sys.argv[2], {name: np.ascontiguousarray(weights[name].detach().float().numpy().astype('<f4')) for name in names},
          {'made_by': 'validation/vgg_from_torch.py', 'network': f'vgg{depth}'})
    print(f'{sys.argv[2]}: VGG{depth}, {len(names)} tensors')
