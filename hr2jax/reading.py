"""From files to networks: the one place where a reader's layers become a Network."""

from __future__ import annotations

import os
from pathlib import Path

from . import io
from .network import Network


def load(path: str | os.PathLike[str]) -> Network:
    """The network in the file `path`; the suffix, in any case, says the format.

    .npz: keys A_1, b_1, ..., A_L, b_L, C, d. A 1-D `c` is read as a single-row C, a missing d means
    zeros, other keys are ignored.
    .mat (MATLAB's save -v6 or -v7): the same names, or LipSDP's cell arrays `weights` and, optionally,
    `biases`.
    .onnx: a chain of Gemm, MatMul, Add, Relu and the like; affine operations that follow one another
    are folded only where that is exact. Needs the extra `onnx`.
    .nnet: the layers as they stand, between normalised inputs and normalised outputs.
    .safetensors: the keys of .npz, or PyTorch's 0.weight, 0.bias, 2.weight, ..., with a ReLU between
    any two layers.
    .pt: a state dict saved by PyTorch, with the same names; a file with anything else is refused.

    Raises:
        ValueError: an unknown suffix, something that is not a whole network file, or arrays that are
            not a network; one sentence that names the path and the key or layer.
        ImportError: .onnx without the package onnx.
        OSError: the file is missing or may not be read.
    """
    path = Path(path)
    weights, biases = io.read(path)
    try:
        return Network(weights, biases)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
