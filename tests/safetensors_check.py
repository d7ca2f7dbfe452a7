"""The same tensors, seen from Python's side (pip install safetensors numpy).

    python3 tests/safetensors_check.py make PATH     writes the file that tests/test_safetensors.c reads
    python3 tests/safetensors_check.py read PATH     checks a file that tests/test_safetensors.c wrote
"""
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

METADATA = {
    "step": "500",
    "title": "\u65f6\u88c5 \"GAN\" \\ caf\u00e9 \U0001f457",      # Chinese, quotes, a backslash, an accent, a dress
    "lines": "one\ntwo\tthree\x01",
}
TENSORS = {
    "f32": np.array([[-0.5, -0.25, 0.0], [0.25, 0.5, 3.0e38]], np.float32),
    "f64": np.array([np.pi, -1e300, 5e-324], np.float64),
    "f16": np.array([1.5, -2.0, 65504.0, 2.0**-24, np.inf, -0.0], np.float16),
    "i64": np.array([-2**63, 2**63 - 1], np.int64),
    "i32": np.array([[[-7], [8]]], np.int32),
    "u8": np.array([0, 127, 255], np.uint8),
    "bool": np.array([True, False], np.bool_),
    "scalar": np.array(42.0, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "a \"name\" \\ \u8863/\n": np.array([1.0], np.float32),
}


def read(path):
    tensors = load_file(path)
    assert set(tensors) == set(TENSORS), sorted(tensors)
    for name, want in TENSORS.items():
        got = tensors[name]
        assert got.dtype == want.dtype, (name, got.dtype)
        assert got.shape == want.shape, (name, got.shape)
        assert got.tobytes() == want.tobytes(), (name, got)
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == METADATA, file.metadata()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("make", "read"):
        sys.exit(__doc__)
    if sys.argv[1] == "make":
        save_file(TENSORS, sys.argv[2], METADATA)
    read(sys.argv[2])
    print(f"{sys.argv[2]}: {len(TENSORS)} tensors as expected")
