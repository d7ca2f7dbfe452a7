#!/usr/bin/env python3
"""generator_torch.py: does validation/generator_to_torch.py's module draw the pictures that ./transfer draws?

    python3 tests/generator_torch.py RUN FOLDER SEED        needs torch and numpy; FOLDER: of ./transfer --generator RUN --seed SEED

The module is read from a TorchScript file, as elsewhere; z is our Philox's; a picture may differ by one step of 255."""
import glob
import re
import sys
import zlib

from golden_common import *

sys.path.insert(0, 'validation')
import generator_to_torch

STREAM_SAMPLE = 4
run, folder, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])


def png(path):
    """(h,w,c) bytes of a PNG of 8 bits a channel."""
    data, at, packed = open(path, 'rb').read(), 8, b''
    while at < len(data):
        size, kind = struct.unpack('>I4s', data[at:at + 8])
        if kind == b'IHDR':
            w, h, _, color = struct.unpack('>IIBB', data[at + 8:at + 18])
        packed += data[at + 8:at + 8 + size] if kind == b'IDAT' else b''
        at += 12 + size
    c = {0: 1, 2: 3, 6: 4}[color]
    rows, above = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(h, 1 + w * c), np.zeros(w * c, int)
    out = np.zeros((h, w * c), int)
    for y in range(h):
        for x in range(w * c):
            left, corner = (out[y, x - c], above[x - c]) if x >= c else (0, 0)
            p = left + above[x] - corner
            paeth = min((abs(p - left), 0, left), (abs(p - above[x]), 1, above[x]), (abs(p - corner), 2, corner))[2]
            out[y, x] = (rows[y, 1 + x] + (0, left, above[x], (left + above[x]) // 2, paeth)[rows[y, 0]]) % 256
        above = out[y]
    return out.reshape(h, w, c)


module = generator_to_torch.load(run)
meta = generator_to_torch.read(run)[1]
torch.jit.script(module).save(folder + '/module.pt')
module = torch.jit.load(folder + '/module.pt')
names = sorted(glob.glob(folder + '/0*.png'))
batch = int(meta['--batch'])
z = torch.cat([normals(seed, (batch, 100), STREAM_SAMPLE, 4 * k) for k in range(-(-len(names) // batch))])[:len(names)].float()
if 'class' in names[0]:
    classes = torch.tensor([int(re.search(r'class(\d+)', n)[1]) for n in names])
    z = torch.cat([z, F.one_hot(classes, module.state_dict()['0.weight'].shape[1] - 100).float()], 1)
with torch.no_grad():
    theirs = ((module(z).permute(0, 2, 3, 1).numpy() + 1) * 127.5).round()
off = max(np.abs(theirs[i] - png(name)).max() for i, name in enumerate(names))
print(f"{meta['recipe']}: {len(names)} pictures, off by at most {off:.0f} of 255")
sys.exit(not off <= 1)
