#!/usr/bin/env python3
"""Makes data/vgg16.safetensors and data/vgg19.safetensors: small networks with VGG's layout and torchvision's names, and what PyTorch
says of a picture. Needs torch and numpy; the tests do not.

    python3 tests/golden_vgg.py [FOLDER]

The networks have 1/16 (VGG16) and 1/32 (VGG19) of the channels, and random weights: what is tested is arithmetic. PyTorch computes
in float64 from float32 and float16 numbers; results are rounded to float32 once, at the end. Pictures (H,W,3) are in [-1,1].

    features.N.weight, features.N.bias   as torchvision saves them: OIHW
    content, style                       the two pictures; max/start: the picture that is judged
    max/relu1_1 ...                      its features, (H,W,C), with max pooling; avg/...: with average pooling
    max/gram_relu1_1 ...                 F^T F / rows
    max/losses                           style of relu1_1 .. relu5_1, content of relu4_2, total variation, total; see LOSS below
    max/gradient                         of the total, by the picture
    max/result                           the picture after STEPS steps of Adam, as gram_transfer does them
    max_centred/...                      losses and gradient with centred Gram matrices, and means compared beside them"""
from golden_common import *

torch.set_num_threads(1)
CONVS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
STYLE, CONTENT = ['relu%d_1' % b for b in range(1, 6)], 'relu4_2'
WEIGHT_CONTENT, WEIGHT_STYLE, WEIGHT_TV, RATE, STEPS = 0.3, 2.0, 0.05, 0.02, 4      # LOSS: test_featurenet.c has the same


def picture(random, h, w, waves):
    """smooth waves and a little noise"""
    y, x = np.mgrid[0:h, 0:w] / 32.0
    p = sum(np.sin(random.randn(3) * 6 * y[..., None] + random.randn(3) * 9 * x[..., None] + random.rand(3) * 6) for _ in range(waves))
    p = np.clip(0.4 * p + 0.1 * random.randn(h, w, 3), -1, 1).astype(np.float32)
    return torch.tensor(p.astype(np.float64))


def network(random, depth, divisor, tensors):
    """[(name, weight, bias)] in order, None for a pooling"""
    layers, number, channels = [], 0, 3
    for block, count in enumerate(CONVS[depth], 1):
        for i in range(1, count + 1):
            out = (64, 128, 256, 512, 512)[block - 1] // divisor
            if (block, i) <= (5, 1):                                 # up to relu5_1
                kind = np.float16 if block >= 3 else np.float32
                w = (random.randn(out, channels, 3, 3) * (2 / (9 * channels)) ** 0.5).astype(kind)
                b = (0.1 * random.randn(out)).astype(kind)
                tensors['features.%d.weight' % number], tensors['features.%d.bias' % number] = w, b
                layers.append(('relu%d_%d' % (block, i), torch.tensor(w.astype(np.float64)), torch.tensor(b.astype(np.float64))))
            number, channels = number + 2, out
        layers.append(None)
        number += 1
    return layers


def look(layers, x, pool):
    """features by name, NCHW, of a picture (H,W,3) in [-1,1]"""
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    x, seen = ((x.permute(2, 0, 1)[None] + 1) / 2 - mean) / std, {}
    for layer in layers:
        if layer is None:
            if min(x.shape[2:]) >= 2:                               # after the last block nothing follows
                x = F.max_pool2d(x, 2) if pool == 'max' else F.avg_pool2d(x, 2)
        else:
            x = F.relu(F.conv2d(x, layer[1], layer[2], padding=1))
            seen[layer[0]] = x
    return seen


def gram(f, centred):
    f = f[0].flatten(1).t()
    mean = f.mean(0) if centred else torch.zeros(f.shape[1], dtype=f.dtype)
    return (f - mean).t() @ (f - mean) / len(f), mean


def relative(a, b):
    return (a - b).square().sum() / b.square().sum()


def losses(layers, x, content, style, pool, centred):
    """L of gram.h: the parts, then the total"""
    seen, wanted, painted = (look(layers, p, pool) for p in (x, content, style))
    parts = []
    for name in STYLE:
        (g, m), (tg, tm) = gram(seen[name], centred), gram(painted[name], centred)
        parts.append(relative(g, tg) + (relative(m, tm) if centred else 0))
    parts.append(relative(seen[CONTENT], wanted[CONTENT]))
    parts.append((x.diff(dim=0).abs().sum() + x.diff(dim=1).abs().sum()) / x.numel())
    total = WEIGHT_STYLE * sum(parts[:5]) / 5 + WEIGHT_CONTENT * parts[5] + WEIGHT_TV * parts[6]
    return torch.stack(parts + [total])


def optimise(layers, x, content, style, pool):
    """Adam, its rate falling to a tenth, the picture kept in [-1,1]"""
    x = x.clone().requires_grad_()
    adam = torch.optim.Adam([x], lr=RATE)
    for step in range(STEPS):
        adam.param_groups[0]['lr'] = RATE * (1 - 0.9 * step / STEPS)
        adam.zero_grad()
        losses(layers, x, content, style, pool, False)[-1].backward()
        adam.step()
        with torch.no_grad():
            x.clamp_(-1, 1)
    return x


def make(depth, divisor, h, w):
    random, tensors = np.random.RandomState(depth), {}
    layers = network(random, depth, divisor, tensors)
    content, style, start = (picture(random, h, w, waves) for waves in (2, 6, 3))
    tensors.update(content=content, style=style, start=start)
    for pool in ('max', 'avg') if depth == 16 else ('max',):
        seen = look(layers, start, pool)
        for name in seen if (depth, pool) == (16, 'max') else ('relu4_2', 'relu5_1'):
            tensors['%s/%s' % (pool, name)] = seen[name][0].permute(1, 2, 0)
        for name in STYLE if (depth, pool) == (16, 'max') else ():
            tensors['%s/gram_%s' % (pool, name)] = gram(seen[name], False)[0]
        for centred in (False, True):
            x = start.clone().requires_grad_()
            values = losses(layers, x, content, style, pool, centred)
            key = pool + ('_centred' if centred else '')
            tensors[key + '/losses'], tensors[key + '/gradient'] = values, torch.autograd.grad(values[-1], x)[0]
        tensors[pool + '/result'] = optimise(layers, start, content, style, pool)
    return tensors


folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), 'data')
for name, net in ('vgg16', (16, 16, 32, 32)), ('vgg19', (19, 32, 27, 33)):
    write(os.path.join(folder, name + '.safetensors'), make(*net), {'made_by': 'tests/golden_vgg.py'})
