#!/usr/bin/env python3
"""Makes tests/golden_measures.h: what numpy says about measures.h. Needs numpy; the tests do not.

    python3 tests/golden_measures.py > tests/golden_measures.h

The inputs are drawn with a small generator of whole numbers that test_measures.c has too, so both compute from the same bits."""
import numpy as np

state = 1


def draw(*shape):
    """float32 in [-1, 1), exact"""
    global state
    out = np.empty(int(np.prod(shape)), np.float32)
    for i in range(out.size):
        state = (state * 1664525 + 1013904223) % 2**32
        out[i] = (state >> 8) / 2**23 - 1
    return out.reshape(shape)


def frechet(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    s, t = np.atleast_2d(np.cov(a.T)), np.atleast_2d(np.cov(b.T))
    e, v = np.linalg.eigh(s)
    root = (v * np.sqrt(np.maximum(e, 0))) @ v.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ t @ root), 0)).sum()
    return ((a.mean(0) - b.mean(0))**2).sum() + np.trace(s) + np.trace(t) - 2 * cross


def inside(real, made, k):
    """the share of made inside real's manifold"""
    far = lambda x, y: ((x[:, None].astype(np.float64) - y[None])**2).sum(2)
    radius = np.sort(far(real, real), axis=1)[:, k]
    return (far(made, real) <= radius).any(1).mean()


def ms_ssim(a, b):
    weight = [.0448, .2856, .3001, .2363, .1333]
    scales = 1
    while scales < 5 and min(a.shape[:2]) >> scales >= 11:
        scales += 1
    weight = np.array(weight[:scales]) / sum(weight[:scales])
    result = []
    for c in range(a.shape[2]):
        x, y, product = (a[:, :, c].astype(np.float64) + 1) / 2, (b[:, :, c].astype(np.float64) + 1) / 2, 1
        for s in range(scales):
            k = min(11, *x.shape)
            g = np.exp(-(np.arange(k) - (k - 1) / 2)**2 / (2 * (1.5 * k / 11)**2))
            g = np.outer(g, g) / g.sum()**2
            blur = lambda z: np.einsum('ijuv,uv->ij', np.lib.stride_tricks.sliding_window_view(z, (k, k)), g)
            mx, my = blur(x), blur(y)
            sx, sy, sxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
            cs = (2 * sxy + .03**2) / (sx + sy + .03**2)
            light = (2 * mx * my + .01**2) / (mx**2 + my**2 + .01**2)
            product *= max((light * cs).mean() if s == scales - 1 else cs.mean(), 0)**weight[s]
            half = lambda z: z[:z.shape[0] // 2 * 2, :z.shape[1] // 2 * 2].reshape(z.shape[0] // 2, 2, z.shape[1] // 2, 2).mean((1, 3))
            x, y = half(x), half(y)
        result.append(product)
    return np.mean(result)


print('/* made by golden_measures.py */')
print('static const struct { int n, m, d, dead; double want; } golden_frechet[] = {')
for n, m, d, dead in (50, 61, 7, 0), (40, 40, 1, 0), (6, 9, 13, 0), (200, 150, 33, 5):
    a, b = draw(n, d), draw(m, d) * np.float32(.5) + np.float32(.25)
    a[:, :dead] = 0
    b[:, :dead] = 0
    print('    { %d, %d, %d, %d, %.17g },' % (n, m, d, dead, frechet(a, b)))
print('};\nstatic const struct { int n, m, d, k; double shift, precision, recall; } golden_precision[] = {')
for n, m, d, k, shift in (37, 41, 5, 3, .5), (100, 67, 2, 1, .25), (130, 150, 9, 5, .75), (20, 20, 3, 3, 8):
    a, b = draw(n, d), draw(m, d) + np.float32(shift)
    print('    { %d, %d, %d, %d, %g, %.17g, %.17g },' % (n, m, d, k, shift, inside(a, b, k), inside(b, a, k)))
print('};\nstatic const struct { int h, w, c; double noise, want; } golden_ssim[] = {')
for h, w, c, noise in (28, 28, 1, .25), (45, 37, 3, .5), (7, 9, 1, .25), (11, 30, 1, .125), (177, 180, 1, .5), (28, 28, 1, 2):
    a = draw(h, w, c) * np.float32(.5)
    print('    { %d, %d, %d, %g, %.17g },' % (h, w, c, noise, ms_ssim(a, a + np.float32(noise) * draw(h, w, c))))
print('};')
