"""The walks over a network's layers, forward and backward; no other file knows how layers hang together.

    y_0 = x,   y_l = sigma_l(b_l + sum_{k<l} A_{l,k} y_k),   F(x) = y_n

The last layer n is the output, its sigma the identity. A chain, whose layers take y_{l-1} alone, is no case of its
own. What is carried along a walk is the caller's: float64 arrays, enclosures, integers, masks, an accelerator's arrays.
The first few layers of a network are one too, whose walk gives the last of them: `layers[:-1]`, y_{n-1}.

The evaluation with errors (`evaluate` of an `Enclosure`) stands here and not in arithmetic/, which knows no layers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from .arithmetic.enclosure import Enclosure, enclosed_in
from .arithmetic.float64 import Array
from .layer import Layer, is_sparse, nonzero

Layers = Sequence[Layer]
# (A, value) pairs: of a layer's inputs, ascending, in a forward walk; of the layers it feeds, descending, in a backward
# one. Values may be anything.
Pairs = list[tuple[Any, Any]]


def forward(layers: Layers, x: Any, step: Callable[[int, Layer, Pairs], Any]) -> Any:
    """y_n, the last layer's value, where y_0 = x and y_l = step(l, layer, [(A_{l,k}, y_k), ...]), l = 1..n.

    A value is let go when the last layer that takes it has it.
    """
    last = {k: l for l, layer in enumerate(layers, 1) for k in layer.inputs}
    values = {0: x}
    for l, layer in enumerate(layers, 1):
        below = [(A, values[k]) for k, A in layer.inputs.items()]
        for k in layer.inputs:
            if last[k] == l:
                del values[k]
        values[l] = step(l, layer, below)
    return values[len(layers)]


def backward(layers: Layers, top: Any, step: Callable[[int, Layer, Pairs], Any]) -> Pairs:
    """The pairs (A_{l,0}, a_l) of the layers that take x; a_n = top and a_l = step(l, layer, [(A_{m,l}, a_m), ...]).

    Adjoints are g_l = sum_m A_{m,l}^T a_m, a_l the mask of layer l times g_l: `step` makes a_l of the pairs that g_l is
    the sum over, and what this function returns are those of g_0. Layers that feed nothing are left out.
    """
    above: dict[int, Pairs] = {}
    for l in range(len(layers), 0, -1):
        layer = layers[l - 1]
        if l == len(layers):
            a = top
        elif l in above:
            a = step(l, layer, above.pop(l))
        else:
            continue
        for k, A in layer.inputs.items():
            above.setdefault(k, []).append((A, a))
    return above[0]


def total(terms: Iterable[Any]) -> Any:
    """The sum of one term or more, from the first on: of one, that one itself."""
    return reduce(operator.add, terms)


def rows_forward(layer: Layer, below: Pairs) -> Any:
    """z = sum_k y_k A_k^T + b of values whose last axis is a layer's neurons."""
    return total(_rows_times(y, A.T) for A, y in below) + layer.bias


def rows_back(above: Pairs) -> Any:
    """g = sum_m a_m A_m of adjoints whose last axis is a layer's neurons."""
    return total(_rows_times(a, A) for A, a in above)


def _rows_times(y: Any, M: Any) -> Any:
    if is_sparse(M) and y.ndim > 2:
        return (y.reshape(-1, y.shape[-1]) @ M).reshape(*y.shape[:-1], M.shape[1])
    return y @ M


def enclosed(layers: Layers) -> Layers:
    """The layers as proofs take them (`Layer.enclosed`)."""
    return tuple(layer.enclosed() for layer in layers)


def evaluate(layers: Layers, x: Any, seen: Callable[[int, Any], None] | None = None) -> Any:
    """y_n in the arithmetic of x; x of shape (p_0,) or (n, p_0), result alike.

    Args:
        layers: the network.
        x: float64 points, or an `Enclosure` (of float64 or balls): the result then encloses y_n for every x that is
            enclosed and every member of the layers, their arrays taken as exact reals; not finite where float64
            overflows.
        seen: called with each layer's number and its z.
    """
    if isinstance(x, Enclosure):
        layers = enclosed(layers)

    def step(l: int, layer: Layer, below: Pairs) -> Any:
        if isinstance(x, Enclosure) and len(x.shape) == 1:
            z = total(enclosed_in(type(x), A) @ y for A, y in below) + layer.bias
        else:
            z = rows_forward(layer, below)
        if seen is not None:
            seen(l, z)
        return activated(layer, z)

    return forward(layers, x, step)


def activated(layer: Layer, z: Any) -> Any:
    """sigma(z) of a layer, float64 or enclosed."""
    if layer.activation == "identity":
        return z
    if layer.activation == "relu":
        return z.relu() if isinstance(z, Enclosure) else np.maximum(z, 0.0)
    if not layer.is_kinked:
        if not isinstance(z, Enclosure):
            return layer.value(z)
        low, high = layer.values_between(z.lower().ravel(), z.upper().ravel())
        return between(type(z), low, high).reshape(*z.shape)
    alpha, beta = layer.slopes
    return z.kinked(alpha, beta) if isinstance(z, Enclosure) else np.where(z > 0.0, beta * z, alpha * z)


def between(arithmetic: type[Enclosure], low: Array, high: Array) -> Enclosure:
    """What holds all from low to high; not finite where one of them is not."""
    with np.errstate(all="ignore"):
        mid = np.where(low == high, low, 0.5 * low + 0.5 * high)
        rad = np.where(low == high, 0.0, np.nextafter(np.maximum(high - mid, mid - low), np.inf))
    return arithmetic(mid, rad)


def masks(layers: Layers, x: Array) -> list[Array]:
    """sigma'(z) of every layer at float64 points x (p_0,) or (n, p_0), shaped as z; the derivative at 0 is alpha.

    Bool of ReLUs and identities, whose slopes are 0 and 1; float64 of others.
    """
    found: list[Array] = []

    def see(l: int, z: Array) -> None:
        layer = layers[l - 1]
        if not layer.is_kinked:
            found.append(layer.derivative(z))
            return
        on = _switched(layer, z)
        found.append(on if layer.activation in ("identity", "relu") else np.where(on, *layer.slopes[::-1]))

    evaluate(layers, x, see)
    return found


def switches(layers: Layers, x: Array) -> list[Array]:
    """Whether z > 0, of every layer at float64 points x (p_0,) or (n, p_0): bool, shaped as z; of an identity True."""
    found: list[Array] = []
    evaluate(layers, x, lambda l, z: found.append(_switched(layers[l - 1], z)))
    return found


def _switched(layer: Layer, z: Array) -> Array:
    return z > 0.0 if is_masked(layer) else np.ones(z.shape, dtype=bool)


def pull_back(layers: Layers, on: Sequence[Array], top: Array) -> Array:
    """top times the formal Jacobian: (..., p_0) of top (..., p_n) and the `masks` of the layers before the last.

    All are float64 arrays whose leading axes broadcast.
    """

    def step(l: int, layer: Layer, above: Pairs) -> Array:
        g = rows_back(above)
        return g if layer.activation == "identity" else g * on[l - 1]

    gradient: Array = rows_back(backward(layers, top, step))
    return gradient


def gradients(layers: Layers, x: Array, top: Array) -> Array:
    """The formal gradients of top . y_n, top (p_n,), at float64 points x (p_0,) or (n, p_0), shaped as x."""
    return np.broadcast_to(pull_back(layers, masks(layers[:-1], x), top), x.shape)


def touched(below: Pairs) -> Array:
    """(p_l,) bool: the neurons that an entry which may change reaches, by (A, bool (p_k,)) pairs."""
    reached: Array = total(_touched(A, varies) for A, varies in below)
    return reached


def _touched(A: Any, varies: Array) -> Array:
    if is_sparse(A):
        sizes: Array = abs(A) @ varies.astype(np.float64)  # a positive float64 times 1 does not vanish
        return np.greater(sizes, 0.0)
    return np.asarray(nonzero(A[:, varies]).any(axis=1))


def moving(layers: Layers, varies: Array, alive: Sequence[Array]) -> list[Array]:
    """Per layer bool (p_l,): the neurons whose z may change with x.

    Args:
        layers: the network.
        varies: (p_0,) bool, the entries of x that change.
        alive: per layer bool (p_l,), the neurons whose y may change where z does.
    """
    found: list[Array] = []

    def step(l: int, layer: Layer, below: Pairs) -> Array:
        found.append(touched(below))
        return found[-1] & alive[l - 1]

    forward(layers, varies, step)
    return found


def longest_path(layers: Layers, length: Callable[[int, Layer], int]) -> int:
    """The largest sum of length(l, layer) >= 0 over the layers of a way from x to the last layer."""

    def step(l: int, layer: Layer, below: Pairs) -> int:
        return max(before for _, before in below) + length(l, layer)

    return int(forward(layers, 0, step))


def depth(layers: Layers) -> int:
    """L, the most layers with an activation that a way from x to the output passes."""
    return longest_path(layers, lambda _, layer: int(is_masked(layer)))


class Structure(NamedTuple):
    """Which hidden layers, counted from 1, a relaxation gives variables; in a chain of L that is said in brackets.

    Attributes:
        hidden: how many there are beside the output (L).
        masked: those with an activation, whose masks have variables (1..L).
        inner: those of them that feed a masked one, directly or through identities (1..L-1).
        first: those of them that take x alone (1).
        depth: the most of them on one way (L).
        valued: those whose masks say the sign of z, z being known: kinked ones that no smooth one is before (1..L).
    """

    hidden: int
    masked: tuple[int, ...]
    inner: tuple[int, ...]
    first: tuple[int, ...]
    depth: int
    valued: tuple[int, ...]

    @staticmethod
    def chain(depth: int) -> Structure:
        """A chain's."""
        every = tuple(range(1, depth + 1))
        return Structure(depth, every, every[:-1], every[:1], depth, every)

    @property
    def last(self) -> tuple[int, ...]:
        """The masked layers that feed none (L)."""
        return tuple(l for l in self.masked if l not in self.inner)


def structure(layers: Layers) -> Structure:
    """The structure of `check`ed layers."""
    hidden = layers[:-1]
    masked = tuple(l for l, layer in enumerate(hidden, 1) if is_masked(layer))
    feeds = [False] * len(layers)  # whether layer l's values come to a masked layer before any other
    for l in range(len(hidden), 0, -1):
        for k in layers[l - 1].inputs:
            feeds[k] = feeds[k] or is_masked(layers[l - 1]) or feeds[l]
    first = tuple(l for l in masked if [*layers[l - 1].inputs] == [0])
    known = [True] * len(layers)  # whether no smooth layer is before layer l's values
    for l, layer in enumerate(hidden, 1):
        known[l] = layer.is_kinked and all(known[k] for k in layer.inputs)
    inner, valued = (tuple(l for l in masked if of[l]) for of in (feeds, known))
    return Structure(len(hidden), masked, inner, first, depth(layers), valued)


def is_masked(layer: Layer) -> bool:
    """Whether it has an activation, which a mask stands for."""
    return layer.activation != "identity"


def sources(layers: Layers, target: int | None = None) -> tuple[int, ...]:
    """The masked layers from which a way leads to layer `target` (None: the last), without it."""
    target = len(layers) if target is None else target
    reached = {target}
    for l in range(target, 0, -1):
        if l in reached:
            reached.update(layers[l - 1].inputs)
    return tuple(l for l in range(1, target) if l in reached and is_masked(layers[l - 1]))


def check(layers: Layers) -> None:
    """That layers make a network: inputs are earlier layers of the right widths, the last activation is the identity.

    Raises:
        ValueError: naming the layer.
    """
    if not layers:
        raise ValueError("layers must hold at least one Layer, but none was given")
    widths: list[int | None] = [None]  # of y_0, ..., y_{l-1}; x's is the first matrix's that takes it
    for l, layer in enumerate(layers, 1):
        if not isinstance(layer, Layer):
            raise ValueError(f"layer {l} must be a Layer, but {type(layer).__name__} was given")
        for k, A in layer.inputs.items():
            if k >= l:
                raise ValueError(f"layer {l} takes layer {k}, but only layers 0 (the input) to {l - 1} come before it")
            if widths[k] is None:
                widths[k] = A.shape[1]
            if A.shape[1] != widths[k]:
                whose = f"layer {k} has {widths[k]} neurons" if k else f"the input has {widths[k]} entries"
                raise ValueError(f"inputs[{k}] of layer {l} has shape {A.shape}, but {whose}")
        widths.append(layer.width)
    if layers[-1].activation != "identity":
        n = len(layers)
        raise ValueError(f"layer {n} is the output, whose activation must be identity, not {layers[-1].activation}")


def refuse_unused(layers: Layers) -> None:
    """That every one of the layers, which are `check`ed, feeds a later one or is the last.

    Raises:
        ValueError: naming the first that feeds nothing.
    """
    taken = {k for layer in layers for k in layer.inputs}
    for l in range(1, len(layers)):
        if l not in taken:
            raise ValueError(f"layer {l} feeds no other layer and is not the last one, so leave it out")


def text(layers: Layers) -> str:
    """What kind of network it is, in a few words: its activations, skips, radii."""
    kinds = [*dict.fromkeys(layer.activation for layer in layers[:-1])]
    words = [", ".join(kinds) or "no hidden layer"]
    if any([*layer.inputs] != [l] for l, layer in enumerate(layers)):
        words.append("with skips")
    if any(layer.has_radii for layer in layers):
        words.append("with radii")
    return " ".join(words)


def is_chain(layers: Layers) -> bool:
    """Whether layers are a chain of one hidden layer or more, all of them ReLU, without radii: today's ReLU network."""
    return len(layers) > 1 and all(
        [*layer.inputs] == [l] and not layer.has_radii and (layer.activation == "relu") == (l + 1 < len(layers))
        for l, layer in enumerate(layers)
    )


def smooth_layer(layers: Layers) -> str:
    """What the first smooth layer is called in a refusal; empty where there is none."""
    return next((f"layer {l} is {layer.activation}" for l, layer in enumerate(layers, 1) if not layer.is_kinked), "")
