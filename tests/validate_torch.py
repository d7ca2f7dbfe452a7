#!/usr/bin/env python3
"""validate_torch.py: PyTorch as the other implementation: computes what golden/ asks for, for ./validate to judge.

    python3 tests/validate_torch.py golden theirs        needs torch and numpy
    for f in theirs/*.safetensors; do ./validate $f --against golden/$(basename $f) --partial; done

Nothing is taken from gan.c but its files: inputs are read from golden/, results are written under the same names. What three planted
mistakes make of an operation each goes to theirs_padding, theirs_variance, theirs_adam."""
import json
import os
import re
import struct
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from golden_common import Discriminator, Generator, bce, ours, write

folder, out = sys.argv[1:3]
mistake = None
torch.set_default_dtype(torch.float64)


def load(name):
    """The tensors by name, and the metadata."""
    with open(f'{folder}/{name}.safetensors', 'rb') as f:
        header = json.loads(f.read(struct.unpack('<Q', f.read(8))[0]))
        data = f.read()
    meta = header.pop('__metadata__')
    return {n: torch.tensor(np.frombuffer(data[slice(*t['data_offsets'])], '<f4' if t['dtype'] == 'F32' else '<f8')
                            .reshape(t['shape']).astype(np.float64)) for n, t in header.items()}, meta


def constants(text):
    """The numbers in 'slope=0.2 t=2' or in 'lr 0.0002, beta1 0.5'."""
    return {k: float(v) for k, v in re.findall(r'(\w+)[= ]([-+.e\d]+)', text)}


def save(name, tensors):
    write(f'{out}/{name}.safetensors', tensors, {}, '<f8')


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


# ---- the operations: from a case's sizes, its constants and its tensors, the outputs by name; autograd does the gradients of x, w, b, ..
def conv2d(s, x, w, b):
    pad = s['pad'] + (1 if mistake == 'padding' else 0)
    n, h, w_, c = x.shape                                  # room for sizes that padding alone does not give, as TensorFlow's "same"
    more = [max((s['o' + d] - 1) * s['stride'] + s['kernel'] - s[d] - pad, 0) for d in 'hw']
    y = F.conv2d(F.pad(nchw(x), (pad, more[1], pad, more[0])), w.permute(3, 2, 0, 1).contiguous(), b, s['stride'])
    return dict(y=nhwc(y)[:, :s['oh'], :s['ow']])


def conv2d_transpose(s, x, w, b):
    y = F.conv_transpose2d(nchw(x), w.permute(3, 2, 0, 1).contiguous(), None, s['stride'])      # without padding, then cut or filled up
    y = y[:, :, s['pad']:s['pad'] + s['h'], s['pad']:s['pad'] + s['w']]
    return dict(y=nhwc(F.pad(y, (0, s['w'] - y.shape[3], 0, s['h'] - y.shape[2]))) + b)


def normalize(s, x, gamma, beta):
    m = x.shape[1] * x.shape[2]
    mean, var = x.mean((1, 2)), x.var((1, 2), unbiased=mistake == 'variance' and m > 1)
    y = gamma * (x - mean[:, None, None]) / torch.sqrt(var[:, None, None] + s['eps']) + beta
    return dict(y=y, mean=mean, var=var)


OPS = {
    'dense': lambda s, x, w, b: dict(y=F.linear(x, w.t(), b)), 'conv2d': conv2d, 'conv2d_transpose': conv2d_transpose, 'normalize': normalize,
    'leaky_relu': lambda s, x: dict(y=F.leaky_relu(x, s['slope'])), 'tanh': lambda s, x: dict(y=torch.tanh(x)), 'sigmoid': lambda s, x: dict(y=torch.sigmoid(x)),
    'add': lambda s, a, b: dict(y=a + b), 'gray': lambda s, x: dict(y=x.mean(3)), 'concat': lambda s, a, b: dict(y=torch.cat([a, b], 3)),
    'reflect_pad': lambda s, x: dict(y=nhwc(F.pad(nchw(x), [int(s['pad'])] * 4, 'reflect'))),
    'upsample': lambda s, x: dict(y=nhwc(F.interpolate(nchw(x), scale_factor=int(s['factor'])))),
    'avgpool': lambda s, x: dict(y=nhwc(F.avg_pool2d(nchw(x), int(s['factor'])))), 'maxpool': lambda s, x: dict(y=nhwc(F.max_pool2d(nchw(x), int(s['factor'])))),
    'bce_logits': lambda s, logits: dict(loss=F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, s['target']))[None]),
    'softmax_cross_entropy': lambda s, logits, label: dict(loss=F.cross_entropy(logits.reshape(-1, s['c']), label.reshape(-1).long())[None]),
    'squared_error': lambda s, a, b, weight: dict(loss=(weight * (a - b) ** 2).sum()[None] / weight.sum()),
    'absolute_error': lambda s, a, b, weight: dict(loss=(weight * (a - b).abs()).sum()[None] / weight.sum()),
    'mean': lambda s, x: dict(loss=x.mean()[None]), 'total_variation': lambda s, x: dict(loss=(x.diff(dim=1).abs().sum() + x.diff(dim=2).abs().sum())[None] / x.numel()),
}


def operation(name):
    (golden, meta), theirs = load(name), {}
    for case in sorted({n.split('/')[0] for n in golden}):
        sizes = golden[case + '/case'].tolist()
        s = constants(meta[case + '/constants'])
        s.update({k: int(v) for k, v in zip('n h w c oh ow o kernel stride pad'.split(), sizes)})
        names = OPS[name].__code__.co_varnames[1:OPS[name].__code__.co_argcount]
        inputs = {n: golden[f'{case}/{n}'].requires_grad_(n != 'label') for n in names}
        results = OPS[name](s, **inputs)
        top = results['y' if 'y' in results else 'loss']
        above = golden.get(case + '/dy', torch.full_like(top, s.get('scale', 1)))
        gradients = [n for n in names if f'{case}/d{n}' in golden]
        if gradients:
            results.update(zip(['d' + n for n in gradients], torch.autograd.grad(top, [inputs[n] for n in gradients], above)))
        theirs.update({f'{case}/{n}': v for n, v in results.items()})
    save(name, theirs)


def adam(name='adam_step'):
    (golden, meta), theirs = load(name), {}
    for case in sorted({n.split('/')[0] for n in golden}):
        lr, beta1, beta2, eps, t = (constants(meta[case + '/constants'])[k] for k in 'lr beta1 beta2 eps t'.split())
        p, m, v, g = (golden[f'{case}/{n}'] for n in ('p.before', 'm.before', 'v.before', 'g'))
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        c1, c2 = (1, 1) if mistake == 'adam' else (1 - beta1 ** t, 1 - beta2 ** t)
        theirs.update({case + '/p': p - lr * (m / c1) / (torch.sqrt(v / c2) + eps), case + '/m': m, case + '/v': v})
    save(name, theirs)


# ---- ten training steps of dcgan
class Uncorrected(torch.optim.Optimizer):
    def __init__(self, parameters, lr, betas, eps):
        super().__init__(parameters, dict(lr=lr, betas=betas, eps=eps))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group['params']:
                m, v = self.state[p].get('s', (torch.zeros_like(p), torch.zeros_like(p)))
                a, b = group['betas']
                self.state[p]['s'] = m, v = a * m + (1 - a) * p.grad, b * v + (1 - b) * p.grad ** 2
                p -= group['lr'] * m / (v.sqrt() + group['eps'])


def dcgan():
    (golden, meta), theirs = load('train_dcgan'), {}
    s = constants(meta['recipe'])
    size = golden['step1/images'].shape[1]
    g, d = Generator(size), Discriminator(size)
    layers = {'g.1.dense': g.dense, 'g.3.batchnorm': g.norm1, 'g.5.conv2d_transpose': g.up1, 'g.6.batchnorm': g.norm2,
              'g.8.conv2d_transpose': g.up2, 'd.1.conv2d': d.conv1, 'd.3.conv2d': d.conv2, 'd.5.dense': d.dense}
    for name, layer in layers.items():
        norm = isinstance(layer, nn.BatchNorm2d)
        w = golden[f'start/{name}.{"gamma" if norm else "weight"}']
        layer.weight.data = (w.permute(3, 2, 0, 1) if w.dim() == 4 else w.t() if w.dim() == 2 else w).contiguous()
        layer.bias.data = golden[f'start/{name}.{"beta" if norm else "bias"}'].clone()
    make = Uncorrected if mistake == 'adam' else torch.optim.Adam
    adam_g, adam_d = (make(list(net.parameters()), lr=s['lr'], betas=(s['beta1'], s['beta2']), eps=s['eps']) for net in (g, d))
    for step in ['step%d' % t for t in range(1, 11)]:
        real, fake = nchw(golden[step + '/images']), g(golden[step + '/normal.0'].reshape(-1, 100))
        adam_d.zero_grad()
        loss_d = bce(d(real), 1.0) + bce(d(fake.detach()), 0.0)
        loss_d.backward()
        adam_d.step()
        gradients_d = {n: l for n, l in layers.items() if n[0] == 'd'}
        kept = {f'{step}/{n}.{k}.grad': ours(getattr(l, k).grad).clone() for n, l in gradients_d.items() for k in ('weight', 'bias')}
        adam_g.zero_grad()
        loss_g = bce(d(fake), 1.0)
        loss_g.backward()
        adam_g.step()
        theirs.update(kept)
        theirs.update({step + '/loss_d': loss_d, step + '/loss_g': loss_g})
        for name, layer in layers.items():
            norm = isinstance(layer, nn.BatchNorm2d)
            for here, there in (('weight', 'gamma'), ('bias', 'beta')) if norm else (('weight', 'weight'), ('bias', 'bias')):
                theirs[f'{step}/{name}.{there}'] = ours(getattr(layer, here).detach()).clone()
                if name[0] == 'g':
                    theirs[f'{step}/{name}.{there}.grad'] = ours(getattr(layer, here).grad).clone()
            if norm:
                theirs[f'{step}/{name}.running_mean'], theirs[f'{step}/{name}.running_var'] = layer.running_mean.clone(), layer.running_var.clone()
    save('train_dcgan', theirs)


os.makedirs(out, exist_ok=True)
for op in OPS:
    operation(op)
adam()
dcgan()
for mistake, wrong in (('padding', lambda: operation('conv2d')), ('variance', lambda: operation('normalize')), ('adam', dcgan)):
    out = f'{sys.argv[2]}_{mistake}'
    os.makedirs(out, exist_ok=True)
    wrong()
