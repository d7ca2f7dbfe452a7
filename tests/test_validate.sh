#!/bin/sh
# test_validate.sh: the validation kit as its users meet it. Our own float32 code passes it; mistakes are found and named; and where PyTorch is
# installed, it passes too, and its mistakes are named. Runs from the top folder, after the build.
. tests/checks.sh
judge() {                                   # judge THEIRS NAME OPTIONS...: sets $status, the output is in log
    theirs=$1 name=$2; shift 2
    ./validate "$theirs/$name.safetensors" --against "$tmp/golden/$name.safetensors" "$@" >"$tmp/log" 2>&1; status=$?
}
says() { grep -q -e "$1" "$tmp/log"; }
names="$(sed -n 's/.* \([a-z].*\)\.safetensors$/\1/p' validation/SHA256SUMS | grep -v '^train_') train_dcgan"      # every operation
check "every group of operations" [ "$(echo $names | wc -w)" -ge 50 ]
build/golden "$tmp/golden" $names >"$tmp/log"; check "golden vectors are written" [ $? = 0 ]
build/golden "$tmp/again" dense train_mlp >"$tmp/log" && build/golden "$tmp/golden" train_mlp >"$tmp/log"
for name in dense train_mlp; do check "$name: the same bytes again" cmp -s "$tmp/golden/$name.safetensors" "$tmp/again/$name.safetensors"; done
cp validation/SHA256SUMS "$tmp/golden/" && (cd "$tmp/golden" && sha256sum --ignore-missing -c SHA256SUMS) >"$tmp/log" 2>&1 ||
    echo "  these bytes are not those of validation/SHA256SUMS: another C library?"

build/golden_float "$tmp/float" "$tmp/golden" $names >"$tmp/log"; check "our float32 results" [ $? = 0 ]
for name in $names; do
    judge "$tmp/float" $name
    check "$name in float32: status $status" [ $status = 0 ]
    check "$name in float32: all right" says ' right, 0 wrong, 0 not there$'
done
judge "$tmp/golden" conv2d --verbose
check "the reference itself: status $status" [ $status = 0 ]
check "--verbose has a line for each" says '^right conv2d.3/dw '

mistake() {                                 # mistake WHICH NAME WORDS: planted in our own code
    build/golden_mistaken "$1" "$tmp/$1" "$tmp/golden" "$2" >"$tmp/log"
    judge "$tmp/$1" "$2"
    check "mistake $1: status $status" [ $status = 1 ]
    check "mistake $1 in $2: says '$3'" says "$3"
}
mistake padding conv2d 'with: a padding larger by one'
mistake variance normalize 'with: a variance with 1/(m-1)'
check "and of the variance itself" says 'a variance with 1/(m-1) where the formula has 1/m, m = 12'
mistake adam adam_step 'with: Adam without its bias correction'
mistake adam train_dcgan 'what comes of: Adam without its bias correction'
check "most are not shown" says '^and [0-9]* more that are wrong'

bad() {                                     # bad WHAT STATUS WORDS OPTIONS...: one line
    what=$1 want=$2 words=$3; shift 3
    ./validate "$@" >"$tmp/out" 2>"$tmp/log"; status=$?
    check "$what: status $status, expected $want" [ $status = "$want" ]
    check "$what: one line" [ "$(cat "$tmp/out" "$tmp/log" | wc -l)" -eq 1 ]
    check "$what: says '$words'" says "^validate: .*$words"
}
conv=$tmp/golden/conv2d.safetensors
bad "nothing" 2 "THEIRS is missing"
bad "no --against" 2 "--against is missing" "$conv"
bad "an unknown option" 2 "'--loud'" "$conv" --against "$conv" --loud
bad "an option like it" 2 "did you mean .--against" "$conv" --aganst "$conv"
bad "two files" 2 "one file too many" "$conv" "$conv" --against "$conv"
bad "no such file" 1 "none.safetensors" "$tmp/none.safetensors" --against "$conv"
LC_ALL=C sed 's/"atol /"alot /' "$conv" >"$tmp/a lot.safetensors"
n=$(($(od -An -tu8 -N8 "$conv") + 8)) && { head -c $n "$conv"; tr '\0' '\377' </dev/zero | head -c $(($(wc -c <"$conv") - n)); } >"$tmp/nan.safetensors"
bad "results that are not finite" 1 "holds numbers that are not finite" "$conv" --against "$tmp/nan.safetensors"
bad "a tolerance that is none" 1 "has the tolerance 'alot .*make it again" "$conv" --against "$tmp/a lot.safetensors"
header=$(printf '{"conv2d.2/y":{"dtype":"F32","shape":[0%s],"data_offsets":[0,0]}}' "$(yes ,9223372036854775807 | head -n 7 | tr -d '\n')")
{ printf "\\$(printf %o ${#header})"'\0\0\0\0\0\0\0'; printf %s "$header"; } >"$tmp/wide.safetensors"
./validate "$tmp/wide.safetensors" --against "$conv" --partial >"$tmp/log" 2>&1; check "a long shape: status" [ $? = 1 ]
check "a long shape is shown" says 'its shape is (0,9223372036854775807,.*,9223372036854775807)'
head -c 1000 "$conv" >"$tmp/cut.safetensors"
bad "half a file" 1 "cut.safetensors" "$tmp/cut.safetensors" --against "$conv"
bad "against half a file" 1 "cut.safetensors" "$conv" --against "$tmp/cut.safetensors"
bad "against no golden file" 1 "no golden file" "$conv" --against tests/data/ops.safetensors
bad "results of something else" 1 "has none of the results" "$tmp/golden/dense.safetensors" --against "$conv"
bad "an unknown operation" 1 "" "$tmp/golden/nothing.safetensors" --against "$conv"
build/golden "$tmp/new" conv3d >"$tmp/out" 2>"$tmp/log"; check "golden: an unknown name" [ $? = 1 ]
check "golden: says so" says "unknown name 'conv3d', did you mean 'conv2d'"
build/golden "$tmp/new" dense adam >"$tmp/out" 2>"$tmp/log"; check "golden: a part of a name" [ $? = 1 ]
check "golden: the whole of it" says "unknown name 'adam', did you mean 'adam_step'"
check "golden: nothing was computed" [ ! -e "$tmp/new" ]
build/golden >"$tmp/out" 2>"$tmp/log"; check "golden: no folder" [ $? = 2 ]

# What validation/README.md says must be enough: this takes nothing else, and its constants from the files.
python=
for p in /usr/bin/python3 python3; do [ -n "$python" ] || { $p -c 'import numpy' 2>/dev/null && python=$p; }; done
if [ -n "$python" ]; then
    mkdir -p "$tmp/numpy"
    $python - "$tmp/golden" "$tmp/numpy" <<'P'
import json, struct, sys
import numpy as np

def load(name):
    with open(f'{sys.argv[1]}/{name}.safetensors', 'rb') as f:
        header = json.loads(f.read(struct.unpack('<Q', f.read(8))[0])); data = f.read()
    meta = header.pop('__metadata__')
    tensors = {n: np.frombuffer(data[slice(*t['data_offsets'])], '<f4' if t['dtype'] == 'F32' else '<f8').reshape(t['shape']).astype('f8') for n, t in header.items()}
    for case in sorted({n.split('/')[0] for n in tensors}):
        yield case, lambda n: tensors[f'{case}/{n}'], {k: float(v) for k, v in (c.split('=') for c in meta[case + '/constants'].split())}

def save(name, results):
    header, data = {}, b''
    for n, v in results.items():
        v = np.asarray(v, '<f8')
        header[n] = dict(dtype='F64', shape=v.shape, data_offsets=[len(data), len(data) + v.nbytes]); data += v.tobytes()
    text = json.dumps(header).encode(); text += b' ' * (-len(text) % 8)
    with open(f'{sys.argv[2]}/{name}.safetensors', 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)

def adam_step(x, lr, beta1, beta2, eps, t):
    g = x('g'); m = beta1 * x('m.before') + (1 - beta1) * g; v = beta2 * x('v.before') + (1 - beta2) * g * g
    return dict(m=m, v=v, p=x('p.before') - lr * (m / (1 - beta1 ** t)) / (np.sqrt(v / (1 - beta2 ** t)) + eps))
def rmsprop_step(x, lr, decay, eps):
    v = decay * x('v.before') + (1 - decay) * x('g') ** 2
    return dict(v=v, p=x('p.before') - lr * x('g') / (np.sqrt(v) + eps))
def clip_norm(x, limit):
    norm = np.sqrt(x('square')).item()
    return dict(x=x('x.before') * (limit / norm if norm > limit else 1))
def hinge(x, sign, scale):
    x = x('x')
    return dict(loss=[np.maximum(0, 1 - sign * x).mean()], dx=scale * np.where(1 - sign * x > 0, -sign, 0) / x.size)
def normalize(x, eps):
    mean, var = x('x').mean((1, 2)), x('x').var((1, 2))
    h = (x('x') - mean[:, None, None]) / np.sqrt(var + eps)[:, None, None]
    return dict(mean=mean, var=var, y=x('gamma') * h + x('beta'))
def moments(x, eps):
    return dict(y=np.stack([np.sqrt(x('x').var((1, 2)) + eps), x('x').mean((1, 2))], 1))
def adain(x, eps):
    x = dict(x=x('x'), gamma=x('style')[:, 0, None, None], beta=x('style')[:, 1, None, None])
    return normalize(x.get, eps)
def batchnorm_inference(x, eps):
    return dict(y=x('gamma') * (x('x') - x('running_mean')) / np.sqrt(x('running_var') + eps) + x('beta'))
def batchnorm_track(x, momentum, rows):
    mean, var, unbiased = x('running_mean.before'), x('running_var.before'), rows / (rows - 1) if rows > 1 else 1
    return dict(running_mean=mean + momentum * (x('mean') - mean), running_var=var + momentum * (x('var') * unbiased - var))

for f in adam_step, rmsprop_step, clip_norm, hinge, normalize, moments, adain, batchnorm_inference, batchnorm_track:
    save(f.__name__, {f'{case}/{n}': v for case, x, constants in load(f.__name__) for n, v in f(x, **constants).items()})
P
    check "numpy computes" [ $? = 0 ]
    for file in "$tmp"/numpy/*; do
        name=$(basename "$file" .safetensors)
        judge "$tmp/numpy" "$name" --partial
        check "numpy's $name: status $status" [ $status = 0 ]
    done
else
    echo "no numpy here: the README was not tried"
fi

python=
for p in /usr/bin/python3 python3; do [ -n "$python" ] || { $p -c 'import torch, numpy' 2>/dev/null && python=$p; }; done
if [ -n "$python" ]; then
    # To import torch takes a second: one process has done it, and each script runs in a child of it.
    # torch SCRIPT ARGUMENTS...: $status, and what it says in log
    mkfifo "$tmp/ask" "$tmp/answer"
    OMP_NUM_THREADS=1 $python -c '
import os, runpy, sys, torch, numpy
folder = sys.argv[1]
ask, answer = open(folder + "/ask"), open(folder + "/answer", "w")
for line in ask:
    child = os.fork()
    if child == 0:
        log = os.open(folder + "/log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2)
        sys.argv = line.rstrip("\n").split("\t")
        sys.path[0] = os.path.dirname(sys.argv[0])
        sys.exit(runpy.run_path(sys.argv[0], run_name="__main__") and 0)
    print(os.waitpid(child, 0)[1] >> 8, file=answer, flush=True)' "$tmp" &
    exec 3>"$tmp/ask" 4<"$tmp/answer"
    torch() { (IFS='	'; echo "$*") >&3; read -r status <&4; }
    torch tests/validate_torch.py "$tmp/golden" "$tmp/torch"; check "PyTorch computes" [ $status = 0 ]
    for file in "$tmp"/torch/*; do
        name=$(basename "$file" .safetensors)
        judge "$tmp/torch" "$name" --partial
        check "PyTorch's $name: status $status" [ $status = 0 ]
    done
    judge "$tmp/torch_padding" conv2d; check "PyTorch with a wrong padding" says 'with: a padding larger by one'
    judge "$tmp/torch_variance" normalize; check "PyTorch with the other variance" says 'with: a variance with 1/(m-1)'
    judge "$tmp/torch_adam" train_dcgan --partial; check "PyTorch without Adam's correction" says 'what comes of: Adam without its bias correction'
    cat >"$tmp/layouts.py" <<'P'
import sys
sys.path.insert(0, 'tests'); sys.argv = ['x', sys.argv[1] + '/golden', sys.argv[1]]
import json, struct, numpy as np, torch
from golden_common import write
with open(sys.argv[1] + '/conv2d.safetensors', 'rb') as f:
    header = json.loads(f.read(struct.unpack('<Q', f.read(8))[0])); data = f.read()
get = lambda n: np.frombuffer(data[slice(*header[n]['data_offsets'])], '<f4').reshape(header[n]['shape'])
write(sys.argv[2] + '/layout.safetensors', {'conv2d.2/y': np.ascontiguousarray(get('conv2d.2/y').transpose(0, 3, 1, 2)),
      'conv2d.2/dw': np.ascontiguousarray(get('conv2d.2/dw').transpose(3, 2, 0, 1)), 'conv2d.8/y': np.repeat(np.repeat(get('conv2d.8/y'), 2, 1), 2, 2),
      'conv2d.2/dx': -get('conv2d.2/dx')}, {})
import math
with open(sys.argv[2] + '/float/train_dcgan.safetensors', 'rb') as f:
    header = json.loads(f.read(struct.unpack('<Q', f.read(8))[0])); data = f.read()
right = get('step1/d.3.conv2d.weight.grad')
def changed(**at):
    x = right.copy()
    for i, v in at.items(): x[int(i[1:])] = v
    return {'step1/d.3.conv2d.weight.grad': x}
write(sys.argv[2] + '/nan.safetensors', changed(_5=math.nan, _77=math.inf), {})
write(sys.argv[2] + '/far.safetensors', changed(_5=1e30), {})
write(sys.argv[2] + '/long.safetensors', {'step1/loss_d': np.full(1000, get('step1/loss_d').reshape(-1)[0])}, {})
P
    torch "$tmp/layouts.py" "$tmp"
    for file in nan far long; do
        ./validate "$tmp/$file.safetensors" --against "$tmp/golden/train_dcgan.safetensors" --partial >"$tmp/log" 2>&1; check "$file: status" [ $? = 1 ]
        [ $file = nan ] && check "nan: counted" says '2 of 4096 are no numbers, the first at \[5\]'
    done
    ./validate "$tmp/layout.safetensors" --against "$conv" --partial >"$tmp/log" 2>&1; check "other layouts: status" [ $? = 1 ]
    for words in 'matches after NCHW->NHWC' 'matches after OIHW->HWIO' ': the sign' 'expected (3,5,5,33)'; do check "says '$words'" says "$words"; done

    # weights of PyTorch as ours, our generators as PyTorch's
    cat >"$tmp/weights.py" <<'P'
import sys, json, struct, numpy as np, torch
tmp = sys.argv[1]
for depth in 16, 19:
    with open(f'tests/data/vgg{depth}.safetensors', 'rb') as f:
        header = json.loads(f.read(struct.unpack('<Q', f.read(8))[0])); data = f.read()
    kind = {'F16': '<f2', 'F32': '<f4'}
    w = {n: torch.tensor(np.frombuffer(data[slice(*t['data_offsets'])], kind[t['dtype']]).reshape(t['shape']).copy())
         for n, t in header.items() if n.startswith('features.')}
    torch.save({**w, 'classifier.0.weight': torch.zeros(2, 2)}, f'{tmp}/vgg{depth}.pth')
    torch.save({'state_dict': {'module.' + n: x for n, x in w.items()}, 'epoch': 3}, f'{tmp}/wrapped{depth}.pth')
torch.save({**w, 'features.1.running_mean': torch.zeros(3)}, f'{tmp}/bn.pth')
del w['features.5.bias']
torch.save(w, f'{tmp}/gap.pth'); torch.save([1], f'{tmp}/list.pth'); torch.save({'a': torch.zeros(1)}, f'{tmp}/other.pth')
P
    torch "$tmp/weights.py" "$tmp"
    convert() { torch validation/vgg_from_torch.py "$tmp/$1.pth" "$tmp/$1.safetensors"; }
    for depth in 16 19; do
        for name in vgg wrapped; do convert $name$depth; check "$name$depth.pth" [ $status = 0 ]; check "says which" says "VGG$depth, 2[26] tensors"; done
        check "the same, whatever it was wrapped in" cmp -s "$tmp/vgg$depth.safetensors" "$tmp/wrapped$depth.safetensors"
        for from in tests/data "$tmp"; do
            ./transfer --method gram --steps 1 --size 40 --style tests/data/cmyk.jpg --content tests/data/gray.png --features "$from/vgg$depth.safetensors" --output "$tmp/vgg.png" >"$tmp/log" 2>&1
            cksum <"$tmp/vgg.png" >>"$tmp/sums$depth"
        done
        check "transfer paints the same with it" [ "$(sort -u "$tmp/sums$depth" | wc -l)" = 1 ]
    done
    while read -r name words; do
        convert $name; check "$name.pth: status $status" [ $status = 1 ]; check "$name.pth: one line" [ "$(wc -l <"$tmp/log")" = 1 ]
        check "$name.pth: says $words" says "$words"; check "$name.pth: no file" [ ! -e "$tmp/$name.safetensors" ]
    done <<W
bn this is a VGG with batch normalization (vgg_bn)
gap has no features.5.bias
list holds a list, expected the state dict of a VGG
other neither those of vgg16 nor of vgg19
none PyTorch cannot read it
W
    for recipe in dcgan mlp dcgan64 cgan; do
        ./train --recipe $recipe $(small $recipe) --steps 2 --average 0.5 --out "$tmp/run" --overwrite >"$tmp/log" 2>&1
        rm -rf "$tmp/drawn" && ./transfer --generator "$tmp/run" --count 5 --seed 3 --output "$tmp/drawn" >"$tmp/log" 2>&1
        torch tests/generator_torch.py "$tmp/run" "$tmp/drawn" 3; check "PyTorch draws what $recipe draws" [ $status = 0 ]
        check "and says so" says "$recipe: 5 pictures, off by at most [01] of 255"
    done
    module() { torch validation/generator_to_torch.py "$1" "$tmp/module.pt"; check "$2: status" [ $status = ${3:-1} ]; check "$2" says "$2"; }
    module "$tmp/run" "reads z of 110 numbers" 0
    ./train --compress "$tmp/run" --quantize int8 --out "$tmp/int8.safetensors" >"$tmp/log" 2>&1
    module "$tmp/int8.safetensors" "compressed to integers"
    module tests/data/vgg16.safetensors "made with --recipe None, expected one of dcgan"
    module "$tmp/none" "no checkpoint of ours"
else
    echo "no PyTorch here: it was not validated"
fi
counted validate
