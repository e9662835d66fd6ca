"""Networks that GLipSDP (Pauli et al. 2024) and ExLipBaB (Splittgerber 2026) published, from their own files.

What their keys and the orders of their axes mean is said beside the published values (reference/peers.json). A
convolution is flattened channel, row, column throughout, as the Linear behind it wants it.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.io import loadmat

import hr2jax
from hr2jax.arithmetic.float64 import Array
from hr2jax.io.algebra.affine import Affine, Builder
from hr2jax.io.algebra.maps import Map
from hr2jax.io.algebra.windows import Windows, averages, convolution
from hr2jax.io.pickled import unpickled
from networks import DATA

PEERS = DATA / "data" / "peers"


def published() -> dict:
    """The published values, and what they are of."""
    return json.loads((DATA / "reference" / "peers.json").read_text())


def network(name: str) -> hr2jax.Network:
    """One of fnn2, fnn3, cnn2, cnn3 and _seed0 to _seed4, FC-R18, FC-R18 inner, LeNet5, 2C2F, wine_groupsort."""
    if name.startswith("fnn"):
        return dense(PEERS / "glipsdp" / f"{name}_weights.mat")
    if name.startswith("cnn"):
        return cnn(PEERS / "glipsdp" / f"{name}_weights.mat")
    return {
        "FC-R18": residual, "FC-R18 inner": lambda: residual(False), "LeNet5": lenet5, "2C2F": two_convolutions,
        "wine_groupsort": wine_groupsort,
    }[name]()  # fmt: skip


def dense(path: Path) -> hr2jax.Network:
    """fnn2 or fnn3: Linears with ReLU between them, whose weights are (in, out) in the file."""
    found = loadmat(path)
    names = sorted(name.removesuffix("_weight") for name in found if name.endswith("_weight"))
    return hr2jax.Network(
        [found[f"{name}_weight"].T.astype(np.float64) for name in names],
        [found[f"{name}_bias"].ravel().astype(np.float64) for name in names],
    )


def cnn(path: Path) -> hr2jax.Network:
    """cnn2 or cnn3: convolutions 3x3 with padding 1 on an image of 8x8, ReLU behind each, and a Linear."""
    found = loadmat(path)
    walk = Walk((1, 8, 8))
    for k in (1, 2):
        if f"conv{k}_weight" in found:  # (row, column, in, out)
            walk.convolve(found[f"conv{k}_weight"].transpose(3, 2, 0, 1), found[f"conv{k}_bias"].ravel(), padding=1)
            walk.relu()
    walk.linear(found["fc1_weight"].T, found["fc1_bias"].ravel())
    return walk.network()


def residual(outer: bool = True) -> hr2jax.Network:
    """FC-R18: Linear, ReLU, eight blocks relu(x + W_2 relu(W_1 x)), Linear.

    The trained network has the outer ReLUs. Without them it is what GLipSDP's program bounds: its condition for a block
    (`get_con_res_fc2` of utils/GLipSDP.m) is that of x + W_2 relu(W_1 x).
    """
    state = state_dict(PEERS / "glipsdp" / "FC-R18.pt")
    walk = Walk((784,))
    walk.linear(state["input_layer.weight"], state["input_layer.bias"])
    walk.relu()
    for k in range(8):
        before = walk.value
        walk.linear(state[f"blocks.{k}.fc1.weight"], state[f"blocks.{k}.fc1.bias"])
        walk.relu()
        walk.linear(state[f"blocks.{k}.fc2.weight"], state[f"blocks.{k}.fc2.bias"])
        walk.value = walk.builder.add(before, walk.value)
        if outer:
            walk.relu()
    walk.linear(state["output_layer.weight"], state["output_layer.bias"])
    return walk.network()


def lenet5() -> hr2jax.Network:
    """LeNet5: two convolutions 5x5 with average pools of 2, three Linears."""
    state = state_dict(PEERS / "glipsdp" / "LeNet5ReLU.pt")
    walk = Walk((1, 28, 28))
    for k, padding in ((0, 2), (3, 0)):
        walk.convolve(state[f"net.{k}.weight"], state[f"net.{k}.bias"], padding=padding)
        walk.relu()
        walk.average(2)
    for k in (7, 9, 11):
        walk.linear(state[f"net.{k}.weight"], state[f"net.{k}.bias"])
        if k < 11:
            walk.relu()
    return walk.network()


def two_convolutions() -> hr2jax.Network:
    """2C2F: two convolutions 4x4 of stride 2 and padding 1 (TensorFlow's "same" at these sizes), two Linears."""
    state = state_dict(PEERS / "glipsdp" / "2C2F.pt")
    walk = Walk((1, 28, 28))
    for k in (0, 2):
        walk.convolve(state[f"features.{k}.conv.weight"], state[f"features.{k}.conv.bias"], padding=1, stride=2)
        walk.relu()
    walk.linear(state["classifier.1.weight"], state["classifier.1.bias"])
    walk.relu()
    walk.linear(state["classifier.3.weight"], state["classifier.3.bias"])
    return walk.network()


def wine_groupsort() -> hr2jax.Network:
    """11-12-12-1 with GroupSort: six groups of two consecutive entries, each sorted in ascending order."""
    stem = PEERS / "exlipbab" / "wine_net_11x12x12x1_GroupSort_numGroups6"
    weights = [w.astype(np.float64) for w in loadmat(f"{stem}_weights.mat")["weights"].ravel()]
    biases = [b.astype(np.float64).ravel() for b in loadmat(f"{stem}_biases.mat")["biases"].ravel()]
    layers: list[hr2jax.Layer] = []
    for A, b in zip(weights, biases, strict=True):
        layers.append(hr2jax.Layer({len(layers): A}, b, "identity"))
        if A.shape[0] > 1:
            at = len(layers)
            layers += hr2jax.layers.group_sort(at, A.shape[0], at + 1, np.arange(A.shape[0]).reshape(6, -1))
    return hr2jax.Network.from_layers(layers)


class Walk:
    """A forward pass over expressions: what stands where torch's tensors would, without the batch.

    Attributes:
        value: the tensor at hand, (channels, rows, columns) or (entries,).
    """

    def __init__(self, shape: tuple[int, ...]):
        self.builder = Builder(shape)
        self.value: Affine = self.builder.source

    def convolve(self, weight: Array, bias: Array, padding: int = 0, stride: int = 1) -> None:
        """Conv2d; weight (out, in, rows, columns)."""
        kernel, size = weight.shape[2:], self.value.shape[1:]
        windows = self._windows(size, kernel, padding, stride)
        self.value = self.builder.apply(
            convolution(weight.astype(np.float64), 1, windows), self.value, (len(weight), *windows.count)
        )
        self._shift(np.broadcast_to(bias[:, None, None], self.value.shape))

    def average(self, kernel: int) -> None:
        """AvgPool2d(kernel)."""
        channels, *size = self.value.shape
        windows = self._windows(size, (kernel, kernel), 0, kernel)
        counts = np.full(int(np.prod(windows.count)), kernel**2)
        self.value = self.builder.apply(averages(channels, windows, counts), self.value, (channels, *windows.count))

    def linear(self, weight: Array, bias: Array) -> None:
        """Flatten and Linear; weight (out, in)."""
        flat = self.value.shaped((self.value.size,))
        self.value = self.builder.apply(Map(weight.astype(np.float64)), flat, (len(weight),))
        self._shift(bias)

    def relu(self) -> None:
        """ReLU."""
        self.value = self.builder.activate(self.value, "relu")

    def network(self) -> hr2jax.Network:
        """What was walked over."""
        return hr2jax.Network.from_layers(self.builder.finish([self.value]))

    def _shift(self, bias: Array) -> None:
        self.value = self.builder.plus(self.value, np.asarray(bias, dtype=np.float64))

    @staticmethod
    def _windows(size: Sequence[int], kernel: Sequence[int], padding: int, stride: int) -> Windows:
        count = tuple((n + 2 * padding - k) // stride + 1 for n, k in zip(size, kernel, strict=True))
        return Windows(tuple(size), tuple(kernel), (stride,) * 2, (1, 1), (padding,) * 2, count)


def state_dict(path: Path) -> dict[str, Array]:
    """The contiguous float32 tensors of a file of torch.save; nothing in it is executed."""
    with zipfile.ZipFile(path) as archive:
        (pickle,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        root = pickle.removesuffix("data.pkl")
        return {
            name: np.frombuffer(archive.read(f"{root}data/{tensor.storage.key}"), "<f4")[
                tensor.offset : tensor.offset + int(np.prod(tensor.size))
            ].reshape(tensor.size)
            for name, tensor in unpickled(archive.read(pickle)).items()
        }
