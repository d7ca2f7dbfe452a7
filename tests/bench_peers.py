"""Our training step of dcgan and dcgan64 against TensorFlow's and JAX's, alternated in one run; prints a Markdown table.

  venv/bin/python tests/bench_peers.py [--threads N] [--rounds N] [--only 'dcgan 28 1 0']

after `make build/bench`, whose `serve` does our side. Each peer that this Python can import takes part, each in a process of its own: peak
memory is a process's. TensorFlow runs the step as one graph (tf.function), and once more compiled by XLA; JAX compiles it (jit). All wait
passively for their threads where they can be told to (OMP_WAIT_POLICY=passive, GOMP_SPINCOUNT=3000 as in ./train: several programs take
turns on the same cores).
"""
import argparse, datetime, importlib.metadata, importlib.util, os, shlex, statistics, subprocess, sys, time
option = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
option.add_argument('--threads', type=int, default=os.cpu_count())
option.add_argument('--rounds', type=int, default=9)
# recipe, size, channels, --tail: 0 for the documents' networks with kernels of 5, 24 is what ./train takes
NETWORKS = 'dcgan 28 1 24', 'dcgan64 64 3 24', 'dcgan 28 1 0', 'dcgan 64 3 0'
option.add_argument('--only', choices=NETWORKS)
option.add_argument('--peer', nargs=2, metavar=('NAME', 'NETWORK'), help=argparse.SUPPRESS)      # the process of a peer
o = option.parse_args()
BATCH, LATENT = 64, 100
os.environ.update(OMP_NUM_THREADS=str(o.threads), OMP_WAIT_POLICY='passive', GOMP_SPINCOUNT='3000', TF_CPP_MIN_LOG_LEVEL='3', CUDA_VISIBLE_DEVICES='', JAX_PLATFORMS='cpu')


def tensorflow_step(network, xla):
    """the step of gan.c: D on real and fake pictures, then G, Adam for each"""
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(o.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    recipe, size, channels, tail = [int(word) if word.isdigit() else word for word in network.split()]
    layers, deep = tf.keras.layers, recipe == 'dcgan64'
    widths, kernel, side = ([256, 128, 64, 32] if deep else [128, 64]), 4 if tail else 5, size // (16 if deep else 4)
    norm = lambda: [layers.BatchNormalization(), layers.ReLU()]
    g = [layers.Input((LATENT,)), layers.Dense(side * side * widths[0]), layers.Reshape((side, side, widths[0]))] + norm()
    for width in widths[1:] + ([tail] if tail else []):
        g += [layers.Conv2DTranspose(width, kernel, 2, 'same')] + norm()
    g += [layers.Conv2D(channels, 3, 1, 'same', activation='tanh') if tail else layers.Conv2DTranspose(channels, 5, 2, 'same', activation='tanh')]
    d = [layers.Input((size, size, channels))]
    for i, width in enumerate(widths[::-1]):
        d += [layers.Conv2D(width, kernel, 2, 'same')] + [layers.BatchNormalization()] * (deep and i > 0) + [layers.LeakyReLU(negative_slope=.2)]
    g, d = tf.keras.Sequential(g), tf.keras.Sequential(d + [layers.Flatten(), layers.Dense(1)])
    adam_g, adam_d = (tf.keras.optimizers.Adam(2e-4, .5, .999) for _ in range(2))
    adam_g.build(g.trainable_variables), adam_d.build(d.trainable_variables)
    x = tf.tanh(tf.random.normal((BATCH, size, size, channels)))

    @tf.function(jit_compile=xla)
    def step():
        with tf.GradientTape() as tape_g:
            y = g(tf.random.normal((BATCH, LATENT)), training=True)
            with tf.GradientTape() as tape_d:
                loss_d = tf.reduce_mean(tf.nn.softplus(-d(x, training=True))) + tf.reduce_mean(tf.nn.softplus(d(tf.stop_gradient(y), training=True)))
            adam_d.apply(tape_d.gradient(loss_d, d.trainable_variables), d.trainable_variables)
            loss_g = tf.reduce_mean(tf.nn.softplus(-d(y, training=True)))
        adam_g.apply(tape_g.gradient(loss_g, g.trainable_variables), g.trainable_variables)
        return tf.stack([loss_d, loss_g])
    return lambda: step().numpy()


def jax_step(size, channels):
    """the same in jax.numpy; what it is given it gives back changed (donate_argnums)"""
    os.environ['XLA_FLAGS'] = '--xla_cpu_multi_thread_eigen=%s' % ('true' if o.threads > 1 else 'false')
    import jax, jax.numpy as jnp
    side = size // 4
    shapes_g = [(LATENT, side * side * 128), (side * side * 128,), (128,), (128,), (5, 5, 128, 64), (64,), (64,), (64,), (5, 5, 64, channels), (channels,)]
    shapes_d = [(5, 5, channels, 64), (64,), (5, 5, 64, 128), (128,), (side * side * 128, 1), (1,)]
    layout = ('NHWC', 'HWIO', 'NHWC')

    def norm(x, gamma, beta):
        axes = (0, 1, 2)
        return (x - x.mean(axes)) / jnp.sqrt(x.var(axes) + 1e-5) * gamma + beta

    def generate(p, z):
        x = jax.nn.relu(norm((z @ p[0] + p[1]).reshape(-1, side, side, 128), p[2], p[3]))
        x = jax.nn.relu(norm(jax.lax.conv_transpose(x, p[4], (2, 2), 'SAME', dimension_numbers=layout) + p[5], p[6], p[7]))
        return jnp.tanh(jax.lax.conv_transpose(x, p[8], (2, 2), 'SAME', dimension_numbers=layout) + p[9])

    def judge(p, x):
        for w, b in ((p[0], p[1]), (p[2], p[3])):
            x = jax.nn.leaky_relu(jax.lax.conv_general_dilated(x, w, (2, 2), 'SAME', dimension_numbers=layout) + b, .2)
        return x.reshape(x.shape[0], -1) @ p[4] + p[5]

    def adam(p, m, v, g, t):
        m = [.5 * a + .5 * b for a, b in zip(m, g)]
        v = [.999 * a + .001 * b * b for a, b in zip(v, g)]
        p = [a - 2e-4 * b / (1 - .5 ** t) / (jnp.sqrt(c / (1 - .999 ** t)) + 1e-8) for a, b, c in zip(p, m, v)]
        return p, m, v

    def step(state, key, x):
        (g, mg, vg), (d, md, vd), t = state
        z = jax.random.normal(key, (BATCH, LATENT))
        y, back = jax.vjp(lambda p: generate(p, z), g)
        loss_d, grad = jax.value_and_grad(lambda p: jax.nn.softplus(-judge(p, x)).mean() + jax.nn.softplus(judge(p, y)).mean())(d)
        d, md, vd = adam(d, md, vd, grad, t)
        loss_g, dy = jax.value_and_grad(lambda y: jax.nn.softplus(-judge(d, y)).mean())(y)
        g, mg, vg = adam(g, mg, vg, back(dy)[0], t)
        return ((g, mg, vg), (d, md, vd), t + 1), jnp.stack([loss_d, loss_g])

    def start(shapes, seed):
        keys = jax.random.split(jax.random.key(seed), len(shapes))
        p = [.02 * jax.random.normal(k, s) if len(s) > 1 else jnp.zeros(s) for k, s in zip(keys, shapes)]
        return p, [jnp.zeros(s) for s in shapes], [jnp.zeros(s) for s in shapes]
    compiled, held = jax.jit(step, donate_argnums=0), [(start(shapes_g, 1), start(shapes_d, 2), 1.)]
    x, keys = jnp.tanh(jax.random.normal(jax.random.key(3), (BATCH, size, size, channels))), iter(range(1 << 30))

    def run():
        held[0], losses = compiled(held[0], jax.random.key(next(keys)), x)
        return jax.device_get(losses)
    return run


class Side:
    """a process that answers each line with milliseconds of a step and its peak memory in MB"""
    def __init__(s, *command):
        s.program, s.mb = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True), 0

    def ask(s, words):
        print(words, file=s.program.stdin, flush=True)
        line = s.program.stdout.readline().split()
        if len(line) != 2:
            sys.exit('bench_peers.py: %s: no answer' % s.program.args[0])
        s.mb = int(line[1])
        return float(line[0])


def peer(name, network):
    step = jax_step(*map(int, network.split()[1:3])) if name == 'JAX' else tensorflow_step(network, name == 'TensorFlow, XLA')
    for _ in range(3):
        step()
    for _ in sys.stdin:
        begin = time.perf_counter()
        step()
        ms = 1e3 * (time.perf_counter() - begin)
        peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))
        print(ms, int(peak.split()[1]) // 1024, flush=True)


def version(package):
    """TensorFlow without a GPU is a package of another name"""
    for name in package, package + '-cpu':
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return '?'


if o.peer:
    peer(*o.peer)
    sys.exit()
names = [name for name, module in (('TensorFlow', 'tensorflow'), ('TensorFlow, XLA', 'tensorflow'), ('JAX', 'jax')) if importlib.util.find_spec(module)]
versions = ', '.join('%s %s' % (name, version(name.lower())) for name in ('TensorFlow', 'JAX') if name in names)
print('%s, %d threads, %s, `python %s`\n' % (versions or 'neither TensorFlow nor JAX here', o.threads, datetime.date.today(), shlex.join(sys.argv)))
print('**A whole training step**, batch %d; ms are medians of %d alternated rounds, in brackets the ratios of single rounds.\n' % (BATCH, o.rounds))
print('| network | peer | ours | peer | ours / peer | peak memory ours / peer |\n|---|---|---|---|---|---|')
for network in NETWORKS:
    peers = [name for name in names if name != 'JAX' or network.endswith(' 0')]       # JAX's twin has the documents' networks alone
    if not peers or o.only not in (None, network):
        continue
    recipe, size, channels, tail = network.split()
    question = ' '.join(('step', recipe, str(BATCH), size, channels, '1', tail))
    sides = [Side(os.environ.get('BENCH', 'build/bench'), 'serve')]
    sides += [Side(sys.executable, sys.argv[0], '--threads', str(o.threads), '--peer', name, network) for name in peers]
    for side in sides:
        side.ask(question)                     # the first answer comes after warming up
    rows = [[side.ask(question) for side in sides] for _ in range(o.rounds)]
    ms = [statistics.median(column) for column in zip(*rows)]
    for i, name in enumerate(peers, 1):
        ratios = [row[0] / row[i] for row in rows]
        print('| %s %sx%sx%s%s | %s | %.0f ms | %.0f ms | **%.2f** (%.2f to %.2f) | %d MB / %d MB = %.2f |' % (
            recipe, size, size, channels, ', kernels of %d' % (4 if int(tail) else 5), name, ms[0], ms[i], ms[0] / ms[i], min(ratios), max(ratios), sides[0].mb, sides[i].mb, sides[0].mb / sides[i].mb), flush=True)
    for side in sides:
        side.program.stdin.close()
        side.program.wait()
