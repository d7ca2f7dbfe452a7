"""Our layers and whole dcgan training steps against PyTorch's, alternated in one run; prints Markdown tables.

  python3 tests/bench_torch.py [--device cpu|cuda] [--threads N] [--rounds N] [--only steps|graphs|layers|ladder|gram] [--precision P] [--quick]

after `make build/bench`, whose `serve` does our side: it is asked through a pipe, so the two never compute at the same time.
Every figure is a median of alternated rounds; each measurement lasts 20 ms on a GPU, 50 ms on a CPU, or one call if that is longer.
Both sides work on the same numbers again and again, so small layers find theirs in the cache; their calls queue on the GPU, so a layer
smaller than its call measures that. graphs: the steps once more, PyTorch's captured in a CUDA graph, and one compiled by torch.compile;
in a process of its own, because a capture that fails spoils what comes after it. Our gradients are added to what is there (that reading counts), PyTorch's are written.
--fake goes the way of --device cuda on a CPU, to try this program where there is no GPU: then no figure means anything.
"""
import argparse, datetime, functools, gc, json, math, os, shlex, statistics, subprocess, sys, time, warnings
option = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
option.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
option.add_argument('--threads', type=int, default=os.cpu_count())
option.add_argument('--rounds', type=int, default=0, help='5 for layers; for steps 15, or 5 where one takes half a second')
option.add_argument('--only', choices=('steps', 'graphs', 'layers', 'ladder', 'gram'))
option.add_argument('--precision', choices=('float32', 'tf32', 'bf16'), help='cuda: this one alone')
option.add_argument('--quick', action='store_true', help='three layers and the smallest step')
option.add_argument('--minutes', type=float, default=5, help='cuda: after so many, the layers that are left are left out')
option.add_argument('--lean', action='store_true', help="PyTorch's step without D's weight gradients in G's turn, which ours never computes")
option.add_argument('--fake', action='store_true', help=argparse.SUPPRESS)
o = option.parse_args()
CUDA, REAL = o.device == 'cuda', o.device == 'cuda' and not o.fake
LEAST = 20 if CUDA else 50                     # milliseconds of a measurement
PRECISIONS = [o.precision] if o.precision else ['float32', 'tf32', 'bf16'] if CUDA else ['float32']
TYPICAL = ('D28 conv 64->128 k5 s2', 'G64 transposed 256->128 k4 s2', 'conv 128->128 k3 256x256')      # by name, in the smallest batch
BENCH = os.environ.get('BENCH', 'build/bench')
PASSES = 'forward', 'grad input', 'grad weight'
os.environ['OMP_NUM_THREADS'] = str(o.threads)
os.environ.update(OMP_WAIT_POLICY='passive', GOMP_SPINCOUNT='3000')       # as ./train has it: two programs take turns on the same cores
warnings.filterwarnings('ignore')              # PyTorch 2.9 renames the tf32 switches and keeps the old names, which 1.13 knows
import resource
try:
    import torch, torch.nn as nn, torch.nn.functional as F
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    if REAL and not torch.cuda.is_available():
        sys.exit('bench_torch.py: this PyTorch (%s) finds no GPU' % torch.__version__)
    torch.backends.cudnn.benchmark = True
    DEVICE = torch.device('cuda' if REAL else 'cpu')
except ImportError:
    torch = None                               # then only the ladder, which has no PyTorch in it, is measured


def say(*line):
    print(*line, flush=True)


def digits(x):
    return '%.0f' % x if x >= 100 else '%.3g' % x


class Ours:
    """build/bench serve: one question, one line of answer"""
    def __init__(s, precision='float32'):
        device = ['--device', 'cuda', '--precision', precision] if REAL else ['--device', 'cpu']
        s.program = subprocess.Popen([BENCH, 'serve'] + device, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(s, *words):
        try:
            print(*words, file=s.program.stdin, flush=True)
            line = s.program.stdout.readline().strip()
        except BrokenPipeError:
            line = ''
        if not line or line.startswith('error'):
            sys.exit('bench_torch.py: %s serve, asked for "%s": %s' % (BENCH, ' '.join(map(str, words)), line or 'ended'))
        return line

    def layer(s, layer, which, rung=0):
        """a function of a count that measures so many calls: milliseconds of one"""
        return lambda reps: float(s.ask('layer', layer['i'], which, rung if REAL else 0, reps))

    def close(s):
        s.program.stdin.close()
        s.program.wait()


def wait():
    if REAL:
        torch.cuda.synchronize()


def timed(f):
    """the same of a PyTorch function; a GPU that another program has used since first gets one untimed call, as in bench.c"""
    def measure(reps):
        if CUDA:
            f()
        wait()
        begin = time.perf_counter()
        for _ in range(reps):
            f()
        wait()
        return 1e3 * (time.perf_counter() - begin) / reps
    return measure


def calls(measure):
    """how many calls last long enough to be measured; also warms up"""
    reps, ms = 1, measure(1)
    while True:
        ms = measure(reps)
        if ms * reps >= LEAST or reps >= 1000000:
            return reps
        reps = min(20 * reps, math.ceil(1.1 * reps * LEAST / max(ms, 1e-6)))


def alternate(sides, rounds):
    """rounds of milliseconds, [round][side]"""
    reps = [calls(side) for side in sides]
    return [[side(n) for side, n in zip(sides, reps)] for _ in range(rounds)]


def medians(rows):
    return [statistics.median(column) for column in zip(*rows)]


def tf32(on):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on


# ---------------------------------------------------------------------------------------------------------------- layers

def torch_pass(layer, which, precision, memory_format):
    """PyTorch's function for one pass of a layer: the wanted gradient and no other"""
    d, kind = layer, dict(device=DEVICE, dtype=torch.bfloat16 if precision == 'bf16' and REAL else torch.float32)
    small, large = (d['n'], d['o'], d['oh'], d['ow']), (d['n'], d['c'], d['h'], d['w'])
    x, y = (torch.randn(shape, **kind).to(memory_format=memory_format) for shape in ((small, large) if d['transpose'] else (large, small)))
    w = torch.randn(d['o'], d['c'], d['kernel'], d['kernel'], **kind).to(memory_format=memory_format)      # (out,in) or transposed (in,out)
    s, p = d['stride'], d['pad']
    left = d['h'] - ((d['oh'] - 1) * s - 2 * p + d['kernel']) if d['transpose'] else 0                     # PyTorch's output_padding
    if which == 0:
        f = (lambda: F.conv_transpose2d(x, w, None, s, p, left)) if d['transpose'] else (lambda: F.conv2d(x, w, None, s, p))
        assert f().shape == y.shape
        return f
    mask = [which == 1, which == 2, False]
    return lambda: torch.ops.aten.convolution_backward(y, x, w, None, [s, s], [p, p], [1, 1], bool(d['transpose']), [left, left], 1, mask)


def title(layer):
    return '%s, batch %d' % (layer['name'], layer['n'])


def typical(layers):
    return [next(x for x in layers if x['name'] == name) for name in TYPICAL]


def layers(precision):
    ours, unit = Ours(precision), ('TFLOP/s', 1e-9) if CUDA else ('GFLOP/s', 1e-6)
    chosen = json.loads(ours.ask('list'))['layers']
    formats = {'NCHW': torch.contiguous_format, 'NHWC': torch.channels_last}
    tf32(precision == 'tf32')
    shares, late = [], False
    say('**Layers, %s**: milliseconds of one pass, median of %d alternated; PyTorch / ours is our share of its speed, from 1 on we are as fast. PyTorch in the faster of its two layouts.%s\n' % (
        precision, o.rounds or 5,
        " Its tensors are bf16 in memory; ours are float32 and rounded on their way to the tensor cores." if precision == 'bf16' else ''))
    say('| layer | pass | ours ms | PyTorch ms | its layout | PyTorch / ours | ours %s |\n|---|---|---|---|---|---|---|' % unit[0])
    for layer in typical(chosen) if o.quick else chosen:
        late = CUDA and time.time() - begin > 60 * o.minutes
        if late:
            say('\nleft out, %g minutes are over: all from %s on\n' % (o.minutes, title(layer)))
            break
        for which in range(3):
            sides = [ours.layer(layer, which)] + [timed(torch_pass(layer, which, precision, f)) for f in formats.values()]
            mine, *theirs = medians(alternate(sides, o.rounds or 5))
            ms = min(theirs)
            shares.append((ms / mine, '%s, %s' % (title(layer), PASSES[which])))
            say('| %s | %s | %s | %s | %s | %.2f | %s |' % ('' if which else title(layer), PASSES[which], digits(mine), digits(ms),
                list(formats)[theirs.index(ms)], ms / mine, digits(layer['flops'] / mine * unit[1])))
        if REAL:
            torch.cuda.empty_cache()
    ours.close()
    if shares:
        say('%sPyTorch / ours: median %.2f; least %.2f (%s); most %.2f (%s); ours at least as fast in %d of %d.\n' % (
            '' if late else '\n', statistics.median(s for s, _ in shares), *min(shares), *max(shares), sum(s >= 1 for s, _ in shares), len(shares)))


def ladder():
    rungs = [('naive', 'float32', 1), ('shared tile', 'float32', 2), ('register tile', 'float32', 3), ('tensor cores, tf32', 'tf32', 0),
             ('tensor cores, bf16', 'bf16', 0)]
    ours = {precision: Ours(precision) for precision in ('float32', 'tf32', 'bf16')}
    say('**The ladder**: the same product by growing kernels, TFLOP/s, median of %d alternated.\n' % (o.rounds or 5))
    say('| layer | pass | %s |\n|---|---|%s' % (' | '.join(name for name, _, _ in rungs), '---|' * len(rungs)))
    for layer in typical(json.loads(ours['float32'].ask('list'))['layers']):
        for which in range(3):
            ms = medians(alternate([ours[precision].layer(layer, which, rung) for _, precision, rung in rungs], o.rounds or 5))
            say('| %s | %s | %s |' % ('' if which else title(layer), PASSES[which], ' | '.join(digits(layer['flops'] / t * 1e-9) for t in ms)))
    for program in ours.values():
        program.close()
    say()


# ----------------------------------------------------------------------------------------------------------------- steps

class Generator(nn.Module if torch else object):
    def __init__(s, size, channels):
        super().__init__()
        s.side = size // 4
        s.dense, s.n0 = nn.Linear(100, s.side * s.side * 128), nn.BatchNorm2d(128)
        s.t1, s.n1, s.t2 = nn.ConvTranspose2d(128, 64, 5, 2, 2, 1), nn.BatchNorm2d(64), nn.ConvTranspose2d(64, channels, 5, 2, 2, 1)

    def forward(s, z):
        x = F.relu(s.n0(s.dense(z).view(-1, 128, s.side, s.side)))
        return torch.tanh(s.t2(F.relu(s.n1(s.t1(x)))))


def torch_step(batch, size, channels, memory_format, precision='float32', peer='eager'):
    """the dcgan of gan.c: D on real and fake pictures, then G, Adam for each; the losses are read once, at the end. bf16: autocast.
    peer: eager; graph: all of it captured in a CUDA graph; compile: both networks by torch.compile"""
    g = Generator(size, channels)
    d = nn.Sequential(nn.Conv2d(channels, 64, 5, 2, 2), nn.LeakyReLU(.2), nn.Conv2d(64, 128, 5, 2, 2), nn.LeakyReLU(.2), nn.Flatten(),
                      nn.Linear(128 * (size // 4) ** 2, 1))
    g, d = (m.to(device=DEVICE, memory_format=memory_format) for m in (g, d))
    more = dict(capturable=True) if peer == 'graph' and REAL else {}
    og, od = (torch.optim.Adam(m.parameters(), 2e-4, betas=(.5, .999), **more) for m in (g, d))
    if peer == 'compile':
        g, d = torch.compile(g), torch.compile(d)
    x = torch.tanh(torch.randn(batch, channels, size, size, device=DEVICE)).to(memory_format=memory_format)

    def mixed():
        return torch.autocast(DEVICE.type, torch.bfloat16, enabled=precision == 'bf16', cache_enabled=peer != 'graph')

    def losses():
        with mixed():
            y = g(torch.randn(batch, 100, device=DEVICE))
            loss_d = F.softplus(-d(x)).mean() + F.softplus(d(y.detach())).mean()
        od.zero_grad()
        loss_d.backward()
        od.step()
        og.zero_grad()
        if o.lean:
            d.requires_grad_(False)
        with mixed():
            loss_g = F.softplus(-d(y)).mean()
        loss_g.backward()
        if o.lean:
            d.requires_grad_(True)
        og.step()
        return torch.stack((loss_d.detach(), loss_g.detach()))

    if peer != 'graph' or not REAL:
        return lambda: losses().tolist()
    side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):              # the first calls choose algorithms and make Adam's moments: not to be captured
        for _ in range(5):
            losses()
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        kept = losses()

    def replay():
        graph.replay()
        return kept.tolist()
    return replay


class Repaint(nn.Module if torch else object):
    """the generator of `style`: a garment and noise of three grains to a picture, with three residual blocks in the middle"""
    def __init__(s, channels):
        super().__init__()

        def layer(c, out, kernel, stride=1, *more):
            return [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(c, out, kernel, stride)] + list(more)

        def normed(c, out, kernel, stride=1):
            return layer(c, out, kernel, stride, nn.InstanceNorm2d(out, affine=True), nn.ReLU(inplace=True))
        s.first = nn.Sequential(*normed(4, 24, 5), *normed(24, 48, 3, 2))
        s.blocks = nn.ModuleList(nn.Sequential(*normed(48, 48, 3), *layer(48, 48, 3, 1, nn.InstanceNorm2d(48, affine=True))) for _ in range(3))
        s.last = nn.Sequential(nn.Upsample(scale_factor=2), *normed(48, 24, 3), *layer(24, channels, 5), nn.Tanh())

    def forward(s, content):
        n, _, h, w = content.shape
        noise = [F.interpolate(torch.randn(n, 1, h // grain, w // grain, device=DEVICE), scale_factor=grain) for grain in (1, 4, 8)]
        x = s.first(torch.cat([content] + noise, 1))
        for block in s.blocks:
            x = x + block(x)
        return s.last(x)


def torch_style(batch, size, channels, memory_format, **_):
    """the step of `style`: D on crops and prints; then G by D, the Gram matrices of D's features, the light of 4x4 pixels and total variation"""
    g = Repaint(channels)
    d = nn.ModuleList([nn.Conv2d(channels, 32, 4, 2, 1), nn.Conv2d(32, 64, 4, 2, 1), nn.Conv2d(64, 64, 3, 1, 1), nn.Conv2d(64, 1, 3, 1, 1)])
    g, d = (m.to(device=DEVICE, memory_format=memory_format) for m in (g, d))
    og, od = (torch.optim.Adam(m.parameters(), lr, betas=(.5, .99)) for m, lr in ((g, 4e-4), (d, 8e-4)))
    x = torch.tanh(torch.randn(batch, channels, size, size, device=DEVICE)).to(memory_format=memory_format)
    content, mask = (torch.rand(batch, 1, size, size, device=DEVICE) for _ in range(2))
    gray = torch.tensor([.299, .587, .114], device=DEVICE).view(1, 3, 1, 1)

    def look(picture):
        features = []
        for layer in d[:3]:
            picture = F.leaky_relu(layer(picture), .2)
            features.append(picture)
        return d[3](picture), features

    def gram(f):
        f = f.permute(0, 2, 3, 1).reshape(-1, f.shape[1])
        f = f - f.mean(0)
        return f.t() @ f / len(f)

    def step():
        y = g(content)
        loss_d = F.softplus(-look(x)[0]).mean() + F.softplus(look(y.detach())[0]).mean()
        od.zero_grad()
        loss_d.backward()
        nn.utils.clip_grad_norm_(d.parameters(), 10)
        od.step()
        with torch.no_grad():
            targets = [gram(f) for f in look(x)[1]]
        og.zero_grad()
        if o.lean:
            d.requires_grad_(False)
        logits, features = look(y)
        loss = F.softplus(-logits).mean() + 3 * sum((gram(f) - t).square().sum() / t.square().sum() for f, t in zip(features, targets))
        apart = F.avg_pool2d((y * gray).sum(1, keepdim=True), 4) - F.avg_pool2d(content, 4)
        loss = loss + .3 * (F.avg_pool2d(mask, 4) * apart.square()).mean()
        loss = loss + .01 * ((y[:, :, 1:] - y[:, :, :-1]).abs().mean() + (y[:, :, :, 1:] - y[:, :, :, :-1]).abs().mean())
        loss.backward()
        nn.utils.clip_grad_norm_(g.parameters(), 10)
        og.step()
        if o.lean:
            d.requires_grad_(True)
        return torch.stack((loss_d.detach(), loss.detach())).tolist()
    return step


PEERS = dict(eager='eager', graph='its step captured in a CUDA graph', compile='networks by torch.compile')


def steps(peer='eager'):
    say('**A whole training step** (D on real and fake, then G; Adam), alternated; ms are medians, in brackets the ratios of single rounds.'
        + ('' if not CUDA else ' PyTorch: %s, in the faster of its two layouts; bf16: under autocast; memory' % PEERS[peer] + ' is what each holds on the GPU at most, without its context.')
        + (" PyTorch's D computes no weight gradients in G's turn, as ours." if o.lean else '') + '\n')
    say('| %s | recipe | batch | pictures | rounds | ours | PyTorch |%s ours / PyTorch | peak memory ours / PyTorch |\n|---|---|---|---|---|---|---|%s---|---|' % (
        ('precision', ' its layout |', '---|') if CUDA else ('threads', '', '')))
    small, style = ('dcgan', 28, 1, torch_step, (64, 128)), ('style', 64, 3, torch_style, (8,))
    chosen = [small] if o.quick or peer == 'compile' else [small, ('dcgan', 64, 3, torch_step, (64, 128))]        # to compile takes long
    if peer == 'eager' and not o.quick:
        chosen.insert(1, style)
    formats = {'NCHW': torch.contiguous_format, 'NHWC': torch.channels_last} if CUDA else {'NCHW': torch.contiguous_format}
    for precision in PRECISIONS:
        tf32(precision == 'tf32')
        for recipe, size, channels, theirs_step, batches in chosen:
            for batch in batches[:1] if o.quick or not CUDA or peer == 'compile' else batches:
                if recipe == 'style' and precision != 'float32':
                    continue
                ours, peak, memory = Ours(precision), [], []                  # a new process each time: peak memory is a process's

                def mine(reps):
                    ms, mb = ours.ask('step', recipe, batch, size, channels, reps).split()
                    peak.append(int(mb))
                    return float(ms)

                make = functools.partial(theirs_step, batch, size, channels, precision=precision, peer=peer)
                for f in formats.values() if REAL and peer == 'eager' else ():  # each alone first, for the memory that its step takes
                    step = make(memory_format=f)
                    for _ in range(3):
                        step()
                    gc.collect()
                    torch.cuda.empty_cache()                                  # without what cuDNN tried once and gave back
                    torch.cuda.reset_peak_memory_stats()
                    step()
                    memory.append(torch.cuda.max_memory_allocated() >> 20)
                    del step
                sides = [mine] + [timed(make(memory_format=f)) for f in formats.values()]
                slow = not CUDA and mine(1) > 500
                rows = alternate(sides, o.rounds or (5 if slow else 15))
                ms, *theirs = medians(rows)
                best = theirs.index(min(theirs))
                if not memory:                 # the whole process's: the configurations come in growing order
                    memory = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10] * len(formats)
                ratios = [row[0] / row[1 + best] for row in rows]
                held = '%d MB / %d MB = %.2f' % (peak[-1], memory[best], peak[-1] / max(memory[best], 1))
                say('| %s | %s | %d | %dx%dx%d | %d | %s ms | %s ms |%s **%.2f** (%.2f to %.2f) | %s |' % (
                    precision if CUDA else o.threads, recipe, batch, size, size, channels, len(rows), digits(ms), digits(theirs[best]),
                    ' %s |' % list(formats)[best] if CUDA else '', ms / theirs[best], min(ratios), max(ratios),
                    held if peer == 'eager' else '%d MB, ours' % peak[-1]))
                ours.close()
                del sides
    say()


# ------------------------------------------------------------------------------------------------------------------ gram

def torch_gram(depth, size, memory_format):
    """one step of gram.h: VGG with random weights up to relu5_1, Gram matrices at relu*_1, content at relu4_2, total variation, Adam"""
    counts, blocks, channels = {16: (2, 2, 3, 3, 1), 19: (2, 2, 4, 4, 1)}[depth], [], 3
    for block, count in enumerate(counts):
        convs = []
        for _ in range(count):
            out = min(64 << block, 512)
            w = torch.randn(out, channels, 3, 3, device=DEVICE) * (2 / (9 * channels)) ** .5
            convs.append((w.to(memory_format=memory_format), torch.zeros(out, device=DEVICE)))
            channels = out
        blocks.append(convs)
    mean, std = (torch.tensor(v, device=DEVICE).view(1, 3, 1, 1) for v in ([.485, .456, .406], [.229, .224, .225]))

    def look(x):
        x, style, content = ((x + 1) / 2 - mean) / std, [], None
        for block, convs in enumerate(blocks):
            x = F.max_pool2d(x, 2) if block else x
            for i, (w, b) in enumerate(convs):
                x = F.relu(F.conv2d(x, w, b, padding=1), inplace=True)
                if i == 0:
                    f = x.flatten(1).view(x.shape[1], -1) if memory_format == torch.contiguous_format else x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).t()
                    style.append(f @ f.t() / f.shape[1])
                if block == 3 and i == 1:
                    content = x
        return style, content

    x = torch.tanh(torch.randn(1, 3, size, size, device=DEVICE)).to(memory_format=memory_format)
    with torch.no_grad():
        targets, wanted = look(x)
        norms, square = [t.square().sum() for t in targets], wanted.square().sum()
    x = torch.randn_like(x).requires_grad_()
    adam = torch.optim.Adam([x], lr=1e-3)

    def step():
        adam.zero_grad()
        style, content = look(x)
        loss = sum((s - t).square().sum() / n for s, t, n in zip(style, targets, norms)) / len(style)
        loss = loss + .05 * (content - wanted).square().sum() / square
        loss = loss + .01 * ((x[:, :, 1:] - x[:, :, :-1]).abs().sum() + (x[:, :, :, 1:] - x[:, :, :, :-1]).abs().sum()) / x.numel()
        loss.backward()
        adam.step()
        with torch.no_grad():
            x.clamp_(-1, 1)
    return step


def grams():
    if CUDA:
        tf32(False)                           # PyTorch's own default for convolutions is tf32; ours is float32 here
    say('**A step of `gram`**: VGG with its real sizes and random weights up to relu5_1, one picture; loss, gradient by the pixels, Adam. Median ms of '
        'alternated rounds, in brackets the ratios of single rounds; PyTorch in the faster of its two layouts.\n')
    say('| network | picture | rounds | ours | PyTorch | its layout | ours / PyTorch | peak memory, ours |\n|---|---|---|---|---|---|---|---|')
    for depth, size in [(16, 256)] if o.quick else [(16, 256), (19, 256), (16, 512)]:
        ours, peak, formats = Ours(), [], {'NCHW': torch.contiguous_format, 'NHWC': torch.channels_last}

        def mine(reps):
            ms, mb = ours.ask('gram', depth, size, reps).split()
            peak.append(int(mb))
            return float(ms)

        rows = alternate([mine] + [timed(torch_gram(depth, size, f)) for f in formats.values()], o.rounds or 7)
        ms, *theirs = medians(rows)
        best = theirs.index(min(theirs))
        ratios = [row[0] / row[1 + best] for row in rows]
        say('| VGG%d | %dx%d | %d | %s ms | %s ms | %s | **%.2f** (%.2f to %.2f) | %d MB |' % (depth, size, size, len(rows), digits(ms),
            digits(theirs[best]), list(formats)[best], ms / theirs[best], min(ratios), max(ratios), peak[-1]))
        ours.close()
    say()


# --------------------------------------------------------------------------------------------------------------- heading

def first_line(pattern, *command):
    try:
        lines = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.splitlines()
        return next((line.split(':', 1)[-1].strip() for line in lines if pattern in line), 'unknown')
    except OSError:
        return 'unknown'


def heading():
    ours = Ours()
    about = json.loads(ours.ask('list'))
    name, compiler = about['device'], about['compiler']
    ours.close()
    pytorch = 'PyTorch %s' % torch.__version__ if torch else 'no PyTorch'
    if CUDA:
        nvcc = '/usr/local/cuda/bin/nvcc' if os.path.exists('/usr/local/cuda/bin/nvcc') else 'nvcc'
        machine = '%s, driver %s, nvcc %s, C compiler %s' % (name, first_line('', 'nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader'),
                                              first_line('release', nvcc, '--version').split('release ')[-1], compiler)
        if torch:
            pytorch += ' (CUDA %s, cuDNN %s)' % (torch.version.cuda, torch.backends.cudnn.version())
    else:
        machine = '%s of %d: %s, compiler %s' % (name, os.cpu_count(), first_line('model name', 'cat', '/proc/cpuinfo'), compiler)
    say('%s%s, %s, %s, `python3 %s`\n' % ('FAKE, no figure means anything: ' if o.fake else '', machine, pytorch, datetime.date.today(),
                                          shlex.join(sys.argv)))


begin = time.time()
heading()
if torch is None and not CUDA:
    sys.exit('bench_torch.py: no PyTorch here to compare with')
if torch and o.only in (None, 'steps'):
    steps()
if torch and CUDA and o.only == 'graphs':
    for peer in ('graph', 'compile'):
        try:
            steps(peer)
        except Exception as error:             # another version of PyTorch, no compiler, too old a GPU
            say('\nPyTorch, %s: left out: %s: %s\n' % (PEERS[peer], type(error).__name__, str(error).strip().split('\n')[0]))
if torch and CUDA and o.only is None:
    subprocess.run(['timeout', '300', sys.executable] + sys.argv + ['--only', 'graphs'], check=False)
if torch and o.only in (None, 'gram'):
    grams()
if CUDA and o.only in (None, 'ladder'):
    ladder()
if torch and o.only in (None, 'layers'):
    for each in PRECISIONS:
        layers(each)
say('%.0f seconds' % (time.time() - begin))
