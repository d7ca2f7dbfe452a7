#!/usr/bin/env python3
"""Makes data/ops.safetensors: what PyTorch says each operation and each gradient is.
Needs torch and numpy; the tests do not.

    python3 tests/golden_ops.py [FILE]

PyTorch computes in float64 from inputs that are float32 numbers; results are rounded to float32 once, at the end. Its
layouts (NCHW pictures, OIHW weights, IOHW transposed weights) become ours (NHWC, HWIO) on the way into the file.

A case is a group of tensors named GROUP.NUMBER/TENSOR, where TENSOR is the name of an argument in layers.h:
    conv2d.0/case     n h w c oh ow o kernel stride pad, a (slope, target, limit, momentum, beta1), scale, t
    conv2d.0/x        an input; conv2d.0/dx its gradient; conv2d.0/dy the gradient from above
    clip.0/x.before   what a tensor that is changed in place holds before the call (zero where there is none)
An optional tensor that is absent is NULL. Every run gives the same bytes."""
from golden_common import *

torch.set_num_threads(1)
random = np.random.RandomState(20240229)
tensors = {}


def normal(*shape):
    """float64 numbers that are exact in float32"""
    return torch.tensor(random.randn(*shape).astype(np.float32).astype(np.float64))


def positive(*shape):
    return torch.tensor((random.rand(*shape) + 0.1).astype(np.float32).astype(np.float64))


def variable(*shape):
    return normal(*shape).requires_grad_()


def single(number):
    """a Python number as the C code sees it"""
    return float(np.float32(number))


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def hwio(w):
    """OIHW, and for a transposed convolution IOHW: its input is our o, its output our c. Both become w[u,v,c,o]."""
    return w.permute(2, 3, 1, 0)


def gradients(y, above, *inputs):
    """dL/d(input) for L = sum(above * y)"""
    return torch.autograd.grad((y * above).sum(), inputs)


SIZES = 'n h w c oh ow o kernel stride pad a scale t'.split()


def case(group, size, **values):
    number = 0
    while f'{group}.{number}/case' in tensors:
        number += 1
    values['case'] = torch.tensor([float(size.get(name, 0)) for name in SIZES])
    for name, value in values.items():
        value = value.detach().numpy()
        tensors[f'{group}.{number}/{name.replace("_before", ".before")}'] = np.ascontiguousarray(value, dtype='<f4')


def pictures(x, **more):
    """the sizes of NCHW pictures"""
    return dict(n=x.shape[0], h=x.shape[2], w=x.shape[3], c=x.shape[1], **more)


# ---- vectors
for n, limit in (7, single(0.5)), (130, single(0.01)):
    x, size = normal(n), dict(n=1, h=1, w=1, c=n, a=limit)
    case('clip', size, x_before=x, x=x.clamp(-limit, limit))
    case('sum_squares', size, x=x, out=torch.linalg.norm(x) ** 2)

# ---- F6: dense layers, and the gradient of a bias
for n, i, o in (3, 7, 5), (9, 13, 18):
    x, w, b, dy = variable(n, i), variable(o, i), variable(o), normal(n, o)
    y = F.linear(x, w, b)
    dx, dw, db = gradients(y, dy, x, w, b)
    case('dense', dict(n=n, c=i, o=o), x=x, w=w.t(), b=b, y=y, dy=dy, dx=dx, dw=dw.t())
    case('bias', dict(n=n, oh=1, ow=1, o=o), dy=dy, db=db)

# ---- F18: convolutions
for n, h, w, c, o, kernel, stride, pad in (2, 5, 7, 3, 4, 3, 2, 1), (1, 9, 6, 2, 7, 5, 1, 2), (1, 8, 10, 3, 5, 4, 3, 0):
    x, weight, b = variable(n, c, h, w), variable(o, c, kernel, kernel), variable(o)
    y = F.conv2d(x, weight, b, stride=stride, padding=pad)
    dy = normal(*y.shape)
    dx, dw, db = gradients(y, dy, x, weight, b)
    size = pictures(x, oh=y.shape[2], ow=y.shape[3], o=o, kernel=kernel, stride=stride, pad=pad)
    case('conv2d', size, x=nhwc(x), w=hwio(weight), b=b, y=nhwc(y), dy=nhwc(dy), dx=nhwc(dx), dw=hwio(dw))
    case('bias', size, dy=nhwc(dy), db=db)

# ---- transposed convolutions: (oh, ow) pictures become `stride` times as large, with output_padding where needed
for n, oh, ow, o, c, kernel, stride, pad in ((2, 3, 4, 3, 5, 5, 2, 2), (1, 5, 3, 4, 2, 4, 2, 1),
                                             (2, 2, 3, 6, 3, 4, 3, 1)):
    x, weight, b = variable(n, o, oh, ow), variable(o, c, kernel, kernel), variable(c)
    y = F.conv_transpose2d(x, weight, b, stride=stride, padding=pad, output_padding=stride - kernel + 2 * pad)
    assert y.shape == (n, c, oh * stride, ow * stride)
    dy = normal(*y.shape)
    dx, dw = gradients(y, dy, x, weight)
    size = pictures(y, oh=oh, ow=ow, o=o, kernel=kernel, stride=stride, pad=pad)
    case('conv2d_transpose', size, x=nhwc(x), w=hwio(weight), b=b, y=nhwc(y), dy=nhwc(dy), dx=nhwc(dx), dw=hwio(dw))

# ---- F17: normalisation. Ours sees batch normalisation as one group of all rows: n = 1, h = N H.
for shape, momentum in ((3, 5, 4, 3), single(0.1)), ((2, 19, 3, 2), single(0.3)):
    x, gamma, beta, dy = variable(*shape), variable(shape[1]), variable(shape[1]), normal(*shape)
    running_mean, running_var = normal(shape[1]), positive(shape[1])
    before = dict(running_mean_before=running_mean.clone(), running_var_before=running_var.clone())
    batch = pictures(x, a=momentum)
    group = dict(batch, n=1, h=shape[0] * shape[2])
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)

    y = F.batch_norm(x, running_mean, running_var, gamma, beta, training=False, eps=1e-5)
    case('batchnorm_inference', batch, x=nhwc(x), gamma=gamma, beta=beta, running_mean=running_mean.clone(),
         running_var=running_var.clone(), y=nhwc(y))
    y = F.batch_norm(x, running_mean, running_var, gamma, beta, training=True, momentum=momentum, eps=1e-5)
    dx, dgamma, dbeta = gradients(y, dy, x, gamma, beta)
    case('normalize', group, x=nhwc(x), gamma=gamma, beta=beta, y=nhwc(y), mean=mean, var=var, dy=nhwc(dy), dx=nhwc(dx),
         dgamma=dgamma, dbeta=dbeta)
    case('batchnorm_track', batch, mean=mean, var=var, running_mean=running_mean, running_var=running_var, **before)

    y = F.instance_norm(x, weight=gamma, bias=beta, eps=1e-5)
    dx, dgamma, dbeta = gradients(y, dy, x, gamma, beta)
    case('normalize', batch, x=nhwc(x), gamma=gamma, beta=beta, y=nhwc(y), mean=x.mean((2, 3)),
         var=x.var((2, 3), unbiased=False), dy=nhwc(dy), dx=nhwc(dx), dgamma=dgamma, dbeta=dbeta)

# ---- activations; relu is leaky relu of slope 0
for n in 5, 77:
    size = dict(n=1, h=1, w=1, c=n, a=single(0.2))
    for group, function in (('leaky_relu', lambda x: F.leaky_relu(x, size['a'])), ('leaky_relu', F.relu),
                            ('tanh', torch.tanh), ('sigmoid', torch.sigmoid)):
        x, dy = variable(n), normal(n)
        y = function(x)
        case(group, dict(size, a=0) if function is F.relu else size, x=x, y=y, dy=dy, dx=gradients(y, dy, x)[0])

# ---- shape
for shape, o, pad, factor in ((2, 3, 4, 5), 2, 2, 2), ((1, 7, 5, 3), 9, 1, 3):
    x, b = variable(*shape), variable(shape[0], o, *shape[2:])
    size = pictures(x, o=o, pad=pad, stride=factor)
    other = normal(*shape)
    case('add', size, a=nhwc(x), b=nhwc(other), y=nhwc(x + other))
    y = torch.cat((x, b), 1)
    dy = normal(*y.shape)
    da, db = gradients(y, dy, x, b)
    case('concat', size, a=nhwc(x), b=nhwc(b), y=nhwc(y), dy=nhwc(dy), da=nhwc(da), db=nhwc(db))
    large = variable(*shape[:2], shape[2] * factor, shape[3] * factor)
    for group, x, y in (('reflect_pad', x, F.pad(x, [pad] * 4, mode='reflect')),
                        ('upsample', x, F.interpolate(x, scale_factor=factor, mode='nearest')),
                        ('avgpool', large, F.avg_pool2d(large, factor)),
                        ('gray', x, x.mean(1, keepdim=True))):
        dy = normal(*y.shape)
        case(group, size, x=nhwc(x), y=nhwc(y), dy=nhwc(dy), dx=nhwc(gradients(y, dy, x)[0]))

# ---- losses
for n, target in (11, 1.0), (60, 0.0), (7, single(0.9)):
    size = dict(n=1, h=1, w=1, c=n, a=target, scale=single(-0.7))
    x, above = variable(n), torch.tensor(size['scale'])
    with torch.no_grad():
        x *= 5
    loss = F.binary_cross_entropy_with_logits(x, torch.full_like(x, target))
    case('bce_logits', size, logits=x, loss=loss, dlogits=gradients(loss, above, x)[0])
    a, b, mask = variable(n), normal(n), (normal(n) > 0).double()
    loss = F.mse_loss(a, b)
    case('squared_error', size, a=a, b=b, loss=loss, da=gradients(loss, above, a)[0])
    for weight in mask, positive(n):
        loss = (weight * F.mse_loss(a, b, reduction='none')).sum() / weight.sum()
        case('squared_error', size, a=a, b=b, weight=weight, loss=loss, da=gradients(loss, above, a)[0])

for shape in (2, 3, 4, 5), (1, 9, 7, 3):                             # N C H W
    x = variable(*shape)
    size = pictures(x, scale=single(1.3))
    features, dg, above = nhwc(x).reshape(-1, shape[1]), normal(shape[1], shape[1]), torch.tensor(size['scale'])
    gram = features.t() @ features / len(features)
    case('gram', size, f=features, g=gram, dg=dg, df=gradients(gram, dg, x)[0].permute(0, 2, 3, 1))
    covariance = torch.cov(features.t(), correction=0)
    case('gram', size, f=features, g=covariance, mean=features.mean(0), dg=dg,
         df=gradients(covariance, dg, x)[0].permute(0, 2, 3, 1))
    g, target = variable(shape[1], shape[1]), normal(shape[1], shape[1])
    loss = F.mse_loss(g, target, reduction='sum') / target.square().sum()
    case('style_loss', size, g=g, target=target, loss=loss, dg=gradients(loss, above, g)[0])
    loss = (x.diff(dim=2).abs().sum() + x.diff(dim=3).abs().sum()) / x.numel()
    case('total_variation', size, x=nhwc(x), loss=loss, dx=nhwc(gradients(loss, above, x)[0]))

# ---- F19: Adam, five steps from the start, each a case of its own. The state a case starts from is rounded to float32.
for n, rate, beta1 in (6, single(2e-4), single(0.5)), (33, single(0.01), single(0.9)):
    p = variable(n)
    optimiser = torch.optim.Adam([p], lr=rate, betas=(beta1, single(0.999)), eps=single(1e-8))
    m = v = torch.zeros(n, dtype=torch.float64)
    for t in range(1, 6):
        p.grad = normal(n) * 10.0 ** (-t)
        before = dict(p_before=p.detach().clone(), m_before=m.clone(), v_before=v.clone())
        optimiser.step()
        m, v = (optimiser.state[p][name] for name in ('exp_avg', 'exp_avg_sq'))
        case('adam_step', dict(n=1, h=1, w=1, c=n, a=beta1, scale=rate, t=t), g=p.grad, p=p, m=m, v=v, **before)

# ---- what a training step reports, and the limit on its gradients. The list of operations passes clip_norm a + 0.1.
for n, a in (7, single(0.5)), (130, single(20)):                     # above the limit, below it
    x = normal(n)
    square, limit = x.square().sum().float().double(), single(np.float32(a) + np.float32(0.1))
    case('clip_norm', dict(n=1, h=1, w=1, c=n, a=a), square=square, x_before=x, x=x * (limit / square.sqrt()).clamp(max=1))
    logits = normal(n) * 5
    case('mean_sigmoid', dict(n=1, h=1, w=1, c=n), logits=logits, out=torch.sigmoid(logits).mean())
for shape in (2, 3, 4, 5), (9, 2, 7, 3):
    x = normal(*shape)
    case('batch_std', pictures(x), x=nhwc(x), out=x.std(0, unbiased=False).mean())

# ---- max pooling: a row and a column that fill no block; numbers so coarse that many blocks have two maxima
for (n, c, h, w), factor in ((2, 3, 7, 9), 2), ((1, 5, 8, 10), 3):
    x = ((2 * normal(n, c, h, w)).round() / 2).requires_grad_()
    y = F.max_pool2d(x, factor)
    dy = normal(*y.shape)
    # the list of operations passes a picture of (h S + S - 1, w S + S/2) for an output of (h, w)
    assert (h, w) == (y.shape[2] * factor + factor - 1, y.shape[3] * factor + factor // 2)
    case('maxpool', pictures(y, stride=factor), x=nhwc(x), y=nhwc(y), dy=nhwc(dy), dx=nhwc(gradients(y, dy, x)[0]))

# ---- F16: the moments of a style, per picture and channel
for shape in (3, 5, 4, 3), (2, 19, 7, 5):
    x, dy = variable(*shape), normal(shape[0], 2, shape[1])
    y = torch.stack(((x.var((2, 3), unbiased=False) + 1e-5).sqrt(), x.mean((2, 3))), 1)
    case('moments', pictures(x), x=nhwc(x), y=y, dy=dy, dx=nhwc(gradients(y, dy, x)[0]))

# ---- classes
for n, classes in (7, 5), (13, 10):
    x, above, label = variable(n, classes), torch.tensor(single(-0.7)), torch.tensor(random.randint(classes, size=n))
    with torch.no_grad():
        x *= 3
    loss = F.cross_entropy(x, label)
    case('softmax_cross_entropy', dict(n=1, h=1, w=n, c=classes, scale=above), logits=x, label=label, loss=loss,
         dlogits=gradients(loss, above, x)[0])

# ---- losses of critics and of pairs of pictures
for n, a in (11, single(0.2)), (60, single(0.7)):
    size, above = dict(n=1, h=1, w=1, c=n, a=a, scale=single(-0.7)), torch.tensor(single(-0.7))
    x, b, sign = variable(n), normal(n), 1 if a < 0.5 else -1        # the list of operations has a say in the sign
    loss = F.relu(1 - sign * x).mean()
    case('hinge', size, x=x, loss=loss, dx=gradients(loss, above, x)[0])
    loss = x.mean()
    case('mean', size, x=x, loss=loss, dx=gradients(loss, above, x)[0])
    b[::3] = x.detach()[::3]                                         # where they are equal, the gradient is 0
    loss = F.l1_loss(x, b)
    case('absolute_error', size, a=x, b=b, loss=loss, da=gradients(loss, above, x)[0])
    for weight in (normal(n) > 0).double(), positive(n):
        loss = (weight * F.l1_loss(x, b, reduction='none')).sum() / weight.sum()
        case('absolute_error', size, a=x, b=b, weight=weight, loss=loss, da=gradients(loss, above, x)[0])

# ---- RMSprop, as Adam above
for n, rate, decay in (6, single(5e-5), single(0.99)), (33, single(0.01), single(0.9)):
    p = variable(n)
    optimiser = torch.optim.RMSprop([p], lr=rate, alpha=decay, eps=single(1e-8))
    v = torch.zeros(n, dtype=torch.float64)
    for t in range(1, 4):
        p.grad = normal(n) * 10.0 ** (-t)
        before = dict(p_before=p.detach().clone(), v_before=v.clone())
        optimiser.step()
        v = optimiser.state[p]['square_avg']
        case('rmsprop_step', dict(n=1, h=1, w=1, c=n, a=decay, scale=rate), g=p.grad, p=p, v=v, **before)


# ---- what is random must be the same numbers here. Seed and stream are op_cases.h's.
def words_of(n):
    """the first n words"""
    return philox(0x123456789ABCDEF, 0xFEDCBA987654321, (n + 3) // 4).reshape(-1)[:n].astype(np.float64)


for n, rate in (7, 0.5), (130, 0.25), (61, 0.0):                     # rates whose 1 / (1 - rate) is as good as exact
    x, dy, kept = variable(n), normal(n), torch.tensor(words_of(n) // 256 / 2 ** 24 >= rate).double()
    y = x * kept * single(1 / (1 - rate))
    case('dropout', dict(n=1, h=1, w=1, c=n, a=rate), x=x, y=y, dy=dy, dx=gradients(y, dy, x)[0])

# ---- F14: a sample of a code, from the words above by Box and Muller's formula, and the code's divergence from N(0,1)
for rows, k in (5, 3), (7, 6):
    code, dz, above = variable(rows, 2 * k), normal(rows, k), torch.tensor(single(1.3))
    words = words_of((rows * k + 3) // 4 * 4).reshape(-1, 2)
    radius, angle = np.sqrt(-2 * np.log((words[:, 0] + 0.5) / 2 ** 32)), 2 * np.pi * words[:, 1] / 2 ** 32
    noise = np.stack((radius * np.cos(angle), radius * np.sin(angle)), 1).reshape(-1)[:rows * k].reshape(rows, k)
    mean, log_variance = code.chunk(2, 1)
    z = mean + torch.exp(log_variance / 2) * torch.tensor(noise)
    size = dict(n=1, h=1, w=rows, c=k, scale=above)
    case('gaussian_sample', size, code=code, z=z, dz=dz, dcode=gradients(z, dz, code)[0])
    one = torch.distributions.Normal(mean, torch.exp(log_variance / 2))
    loss = torch.distributions.kl_divergence(one, torch.distributions.Normal(0., 1.)).sum() / rows
    case('kl', size, code=code, loss=loss, dcode=gradients(loss, above, code)[0])

# ---- F12: pictures in between, and the penalty on gradients of them
for shape in (3, 2, 5, 3), (5, 1, 1, 2):
    a, b, t, g = normal(*shape), normal(*shape), normal(shape[0]), variable(*shape)
    case('lerp', pictures(a), a=nhwc(a), b=nhwc(b), t=t, y=nhwc(torch.lerp(b, a, t.reshape(-1, 1, 1, 1))))
    loss = ((g.flatten(1).norm(dim=1) - 1) ** 2).mean()
    case('gradient_penalty', pictures(a), g=nhwc(g), loss=loss, v=nhwc(gradients(loss, 1., g)[0]))

# ---- spectral normalisation: PyTorch's own; its u and v are our v and u
for i, o in (7, 5), (13, 18):
    layer = torch.nn.Linear(i, o, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(normal(o, i))
    layer = torch.nn.utils.spectral_norm(layer)
    layer.weight_u.copy_(F.normalize(normal(o), dim=0))
    layer.weight_v.copy_(F.normalize(normal(i), dim=0))
    layer(normal(1, i))                                              # a step of the power iteration
    w, y, dy, u, v = layer.weight_orig, layer.weight, normal(i, o), layer.weight_v, layer.weight_u
    x = (w.detach() @ u).float().double()                            # for normalize_vector, rounded as the file is
    case('normalize_vector', dict(n=1, h=1, w=1, c=o), x_before=x, x=F.normalize(x, dim=0, eps=1e-12), norm=x.norm())
    case('spectral', dict(c=i, o=o), w=w.t(), y=y.t(), dy=dy, u=u, v=v, sigma=v @ w @ u, dw=gradients(y.t(), dy, w)[0].t())

# ---- depthwise convolutions
for n, h, w, c, kernel, stride, pad in (2, 5, 7, 3, 3, 2, 1), (1, 9, 6, 5, 5, 1, 2), (1, 8, 10, 18, 4, 3, 0):
    x, weight, b = variable(n, c, h, w), variable(c, 1, kernel, kernel), variable(c)
    y = F.conv2d(x, weight, b, stride=stride, padding=pad, groups=c)
    dy = normal(*y.shape)
    dx, dw = gradients(y, dy, x, weight)
    size = pictures(x, oh=y.shape[2], ow=y.shape[3], o=c, kernel=kernel, stride=stride, pad=pad)
    case('depthwise_conv2d', size, x=nhwc(x), w=hwio(weight), b=b, y=nhwc(y), dy=nhwc(dy), dx=nhwc(dx), dw=hwio(dw))

# ---- classes once more, where exp alone would overflow
for n, classes in (3, 4),:
    x, above, label = variable(n, classes), torch.tensor(single(1.5)), torch.tensor(random.randint(classes, size=n))
    with torch.no_grad():
        x *= 2048                                                    # exact: a power of two
    loss = F.cross_entropy(x, label)
    case('softmax_cross_entropy', dict(n=1, h=1, w=n, c=classes, scale=above), logits=x, label=label, loss=loss,
         dlogits=gradients(loss, above, x)[0])

# ---- search: numbers so coarse that every table computes the distances exactly; rows of y that stand there twice, and one of x's
for n, h, w, c in (2, 3, 4, 3), (1, 5, 14, 1):
    # the list of operations passes rows of c + 24 numbers, n h of x and n h w of y
    x, y = ((2 * normal(rows, c + 24)).round() / 2 for rows in (n * h, n * h * w))
    y[-4:], weight = y[:4], positive(n * h * w)
    x[1], x[-1], weight[-4:] = y[2], y[-3], weight[:4]
    for by in torch.ones_like(weight), weight:
        d = ((x[:, None] - y[None]).square().sum(2) * by).numpy()
        first = d.argmin(1)                                             # numpy's is the first of equals
        more = {} if by is not weight else dict(weight=weight)
        case('nearest', dict(n=n, h=h, w=w, c=c), x=x, y=y, index=torch.tensor(first), least=torch.tensor(d.min(1)), **more)

# ---- F34: waves, and numbers of the whole picture
for n, h, w, waves, others in (2, 5, 7, 3, 2), (1, 4, 6, 2, 3):
    x, k, b = variable(n, waves + others), variable(2, waves), normal(2 * waves + others)
    row, column = torch.arange(h).reshape(1, h, 1, 1), torch.arange(w).reshape(1, 1, w, 1)
    of = x.reshape(n, 1, 1, -1)
    angle = k[0] * row + k[1] * column + 2 * np.pi * of[..., :waves]
    y = torch.cat([angle.sin(), angle.cos(), of[..., waves:].expand(n, h, w, others)], 3) + b
    dy = normal(*y.shape)
    dx, dk = gradients(y, dy, x, k)
    case('waves', dict(n=n, h=h, w=w, c=waves, o=others), x=x, k=k, b=b, y=y, dy=dy, dx=dx, dk=dk)

# ---- F35: numbers so coarse that many are equal: PyTorch's stable sort leaves those in their order
for n, h, w, c in (3, 8, 1, 3), (5, 7, 1, 2):
    x, t = ((2 * normal(n * h, c)).round() / 2 for _ in range(2))
    rank = x.sort(dim=0, stable=True).indices.argsort(0)
    sorted_t = t.sort(dim=0).values
    case('match_ranks', dict(n=n, h=h, w=w, c=c), x=x, t=t, sorted=sorted_t, y=sorted_t.gather(0, rank))

# ---- F16: instance normalisation with the deviations and means of another picture
for n, c, h, w in (3, 4, 5, 3), (2, 19, 3, 7):
    x, style, dy = variable(n, c, h, w), variable(n, 2, c), normal(n, c, h, w)
    mean, var = x.mean((2, 3)), x.var((2, 3), unbiased=False)
    of = style[..., None, None]
    y = of[:, 0] * (x - mean[..., None, None]) / (var[..., None, None] + 1e-5).sqrt() + of[:, 1]
    dx, dstyle = gradients(y, dy, x, style)
    case('adain', pictures(x), x=nhwc(x), style=style, mean=mean, var=var, y=nhwc(y), dy=nhwc(dy), dx=nhwc(dx), dstyle=dstyle)

write_golden('ops', tensors)
