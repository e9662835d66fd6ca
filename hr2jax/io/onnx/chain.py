"""What a graph has computed so far: ReLU layers that are done, and an affine layer that grows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...arithmetic import exact
from ...arithmetic.float64 import Array

Layer = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class Chain:
    """linear z + shift, where z is the output of the ReLU layers `layers` (of the input itself if there are none).

    Every method gives a new chain and raises ValueError (`exact.InexactError` where float64 would round) if
    the folded layer is not exactly the composition.
    """

    source: str  # name of the graph's input
    shape: tuple[int, ...]  # of the tensor; its flat order is that of the vector
    layers: tuple[Layer, ...] = ()
    linear: Array | None = None  # (m, n), a diagonal (n,), or None for the identity
    shift: Array | None = None  # (m,) or None for zeros
    nodes: tuple[str, ...] = ()  # what the affine layer was made of

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return int(np.prod(self.shape, dtype=np.int64))

    def times(self, matrix: Array, shape: tuple[int, ...]) -> Chain:
        """matrix @ (this), for a matrix (m, size); `shape` is the tensor's afterwards."""
        if matrix.shape[1] != self.size:
            raise ValueError(f"a matrix of {matrix.shape[1]} columns meets a tensor of shape {self.shape}")
        if self.linear is None:
            linear = matrix
        elif self.linear.ndim == 1:
            linear = exact.product(matrix, self.linear)
        else:
            linear = exact.matmul(matrix, self.linear)
        shift = None if self.shift is None else exact.matmul(matrix, self.shift[:, None])[:, 0]
        return replace(self, shape=shape, linear=linear, shift=shift)

    def scaled(self, factors: Array) -> Chain:
        """Entry by entry times `factors` (size,)."""
        if self.linear is None:
            linear = factors
        else:
            linear = exact.product(factors if self.linear.ndim == 1 else factors[:, None], self.linear)
        return replace(self, linear=linear, shift=None if self.shift is None else exact.product(factors, self.shift))

    def divided(self, divisors: Array) -> Chain:
        """Entry by entry divided by `divisors` (size,)."""
        linear = np.ones(self.size) if self.linear is None else self.linear
        linear = exact.quotient(linear, divisors if linear.ndim == 1 else divisors[:, None])
        return replace(self, linear=linear, shift=None if self.shift is None else exact.quotient(self.shift, divisors))

    def plus(self, constants: Array) -> Chain:
        """Entry by entry plus `constants` (size,)."""
        return replace(self, shift=constants if self.shift is None else exact.total(self.shift, constants))

    def relu(self) -> Chain:
        """The affine layer ends here. ReLU after ReLU changes nothing."""
        if self.layers and self.linear is None and self.shift is None:
            return self
        return Chain(self.source, self.shape, (*self.layers, self.layer()))

    def layer(self) -> Layer:
        """(matrix, shift) of the affine layer, in full."""
        if self.linear is None or self.linear.ndim == 1:
            exact.limited(self.size, self.size)
            linear = np.diag(np.ones(self.size) if self.linear is None else self.linear)
        else:
            linear = self.linear
        return linear, np.zeros(self.size) if self.shift is None else self.shift


@dataclass(frozen=True, eq=False)
class Ended:
    """What a final Softmax, LogSoftmax or Sigmoid makes of a chain: no layer, but what comes before it is one."""

    before: Chain
    what: str  # the node
