"""Which patterns occur: the cone of a global problem's values, cut by a plane (docs/theory/reach.md).

The signs at x are those at (xi, tau) = s (x, 1), s > 0, of the homogeneous network, whose biases are times tau. With
any weights w > 0

    S = w_0 tau + sum_i w_i |zeta_i| = 1,    zeta the pre-activations of the layers that take x alone,

is met by one s for almost every x: what holds wherever S = 1 holds of the masks of f almost everywhere. There all is
bounded: this is a local problem of a network with an input more. `Section` says which, and proves what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arithmetic.enclosure import Enclosure, enclosed_in
from ..arithmetic.float64 import Array
from ..bounds.interval import Pair, layer_interval
from ..domain import Box
from ..graph import is_masked
from ..layer import Layer, dense
from ..network import Network
from ..problem import Problem

# What the stated box exceeds the proved one by, relative to its size: other machines' roundings differ.
MARGIN = 1e-9
# ||I - X A|| of an inverse that is worth something.
LARGEST_ERROR = 0.5
# The least that a neuron matters, relative to the one that matters most: the box of what S leaves out has no end.
LEAST_IMPORTANCE = 1e-2
# Weights are what neurons matter to this power. Of exact, norm 2, without circuits, with 0, 1, this and 1.5: of ten
# 3-8-1 without biases the hardest 1.0616, 1.0471, 1.0439 and 1.0414; a 3-5-5-1 1.0879, 1.0736, 1.0745 and 1.0767.
POWER = 1.25


@dataclass(frozen=True)
class Section:
    """The plane, and a box that holds its part of the cone. Certificates state it, `check` proves it.

    Attributes:
        weights: (n,) float64 > 0, of the neurons (`Rows`) whose magnitudes S adds up.
        constant: (1,) w_0 > 0; (0,) without tau, where no hidden layer has a bias: x = 0 is one point then.
        columns: (m,) int64 ascending: the entries of xi that are not fixed at 0.
        inverse: (m, n) about a left inverse of the neurons' `columns`, or a right one.
        radius: (m + len(constant),) bounds of |xi|, and of tau.
    """

    weights: Array
    constant: Array
    columns: Array
    inverse: Array
    radius: Array

    @property
    def has_constant(self) -> bool:
        """Whether there is a tau."""
        return len(self.constant) > 0

    def most(self) -> Array:
        """(n,) upper bounds of |zeta|: 1 / w rounded up."""
        return np.nextafter(1.0 / self.weights, np.inf)

    def most_constant(self) -> float:
        """An upper bound of tau; 0 without one."""
        return float(np.nextafter(1.0 / self.constant[0], np.inf)) if self.has_constant else 0.0

    def posed(self, net: Network, problem: Problem) -> tuple[Network, Problem]:
        """The homogeneous network, whose last input is tau and whose output has no bias; the problem on the box."""
        last = len(net.layers)
        layers = [
            Layer(self._inputs_of(net, layer, l == last), np.zeros(layer.width), layer.activation, layer.parameters)
            for l, layer in enumerate(net.layers, 1)
        ]
        return Network.from_layers(layers), replace(problem, domain=SectionBox.of(self, net.widths[0]))

    def _inputs_of(self, net: Network, layer: Layer, is_last: bool) -> dict[int, Any]:
        inputs = {k: dense(A) for k, A in layer.inputs.items()}
        bias = np.zeros(layer.width) if is_last else layer.bias
        if not self.has_constant or not (0 in inputs or bias.any()):
            return inputs
        of_x = inputs.get(0, np.zeros((layer.width, net.widths[0])))
        return inputs | {0: np.column_stack([of_x, bias])}

    def check(self, net: Network, arithmetic: type[Enclosure] = Enclosure) -> None:
        """That it is one of this network: every |xi| and tau is within its radius where S = 1.

        Raises:
            ValueError: what does not fit, or cannot be proved.
        """
        reason = refusal(net)
        if reason:
            raise ValueError(reason)
        rows = Rows.of(net)
        n, m, extra = len(rows.A), len(self.columns), len(self.constant)
        shapes = [(n,), (self.has_constant * 1,), (m,), (m, n), (m + extra,)]
        arrays = (self.weights, self.constant, self.columns, self.inverse, self.radius)
        if [np.shape(array) for array in arrays] != shapes:
            raise ValueError(f"the section is not one of {n} neurons")
        if not all(array.dtype == (np.int64 if array is self.columns else np.float64) for array in arrays):
            raise ValueError("the section's columns must be int64, all else float64")
        positive = np.concatenate([self.weights, self.constant, self.radius])
        if not (np.isfinite(positive).all() and (positive > 0).all() and np.isfinite(self.inverse).all()):
            raise ValueError("the section's weights and radii must be positive and finite")
        if has_bias(net) and not self.has_constant:
            raise ValueError("the section has no weight of the constant, but the network has biases")
        if not np.isin(self.columns, np.arange(net.widths[0])).all() or (np.diff(self.columns) <= 0).any():
            raise ValueError("the section's columns must be inputs of the network, ascending")
        with np.errstate(all="ignore"):
            least = self._proved_radius(net, rows, arithmetic)
        if not (self.radius >= least).all():
            raise ValueError("the section's box is smaller than the one that can be proved")

    def _proved_radius(self, net: Network, rows: Rows, arithmetic: type[Enclosure]) -> Array:
        """Upper bounds of |xi| and tau; infinite where nothing is proved."""
        is_left = np.array_equal(self.columns, used_columns(net))
        if not is_left and not takes_x_once(net):
            raise ValueError("the section fixes inputs that other layers take")
        A, X = arithmetic(rows.A[:, self.columns]), arithmetic(self.inverse)
        product = X @ A if is_left else A @ X
        error = product - arithmetic(np.eye(product.shape[0]))
        epsilon = float(arithmetic(error.magnitude()).sum(axis=1).upper().max(initial=0.0))
        if not epsilon <= LARGEST_ERROR:
            return np.full(len(self.radius), np.inf)
        ratio = arithmetic(np.array(epsilon)) * np.nextafter(1.0 / np.nextafter(1.0 - epsilon, 0.0), np.inf)
        # convex in (zeta, tau), so largest at a corner of w_0 tau + sum w_i |zeta_i| <= 1
        corners = (arithmetic(np.abs(self.inverse)) * self.most()).upper().max(axis=1, initial=0.0)
        of_bias = (X @ arithmetic(rows.b)).magnitude()
        corners = np.maximum(corners, (arithmetic(of_bias) * self.most_constant()).upper())
        if is_left:  # xi = X (zeta - tau b) + (I - X A) xi
            most = corners.max(initial=0.0)
            own = arithmetic(corners) + ratio * most
        else:  # xi = X (A X)^-1 (zeta - tau b) is one that gives these zeta
            sizes = np.maximum(self.most(), (arithmetic(np.abs(rows.b)) * self.most_constant()).upper())
            own = arithmetic(corners) + arithmetic(np.abs(self.inverse)).sum(axis=1) * (ratio * sizes.max(initial=0.0))
        return np.append(own.upper(), np.full(len(self.constant), self.most_constant()))


class SectionBox(Box):
    """The box of (xi, tau) where S = 1; derivatives are those along x's entries alone, along all of them."""

    section: Section
    inputs: int

    @staticmethod
    def of(section: Section, inputs: int) -> SectionBox:
        """The box of x's `inputs` entries and tau."""
        m = len(section.columns)
        high = np.zeros(inputs + len(section.constant))
        high[section.columns] = section.radius[:m]
        low = -high
        high[inputs:], low[inputs:] = section.radius[m:], 0.0
        box = SectionBox(low, high)
        for name, value in (("section", section), ("inputs", inputs)):
            object.__setattr__(box, name, value)
        return box

    def directions(self, width: int) -> Array:
        """x's entries."""
        return np.arange(self.inputs)


@dataclass(frozen=True)
class Rows:
    """The neurons of the layers that take x alone, those whose rows are not 0 and whose slopes are two.

    Attributes:
        A, b: (n, p_0) and (n,), their rows.
        members: (layer, their indices) of each layer.
    """

    A: Array
    b: Array
    members: tuple[tuple[int, Array], ...]

    @staticmethod
    def of(net: Network, inputs: int | None = None) -> Rows:
        """Those of a network; `inputs`: how many of its entries x has, the others being tau."""
        width = net.widths[0] if inputs is None else inputs
        A, b, members = [np.zeros((0, width))], [np.zeros(0)], []
        for l in net.structure.first:
            layer = net.layers[l - 1]
            rows, (alpha, beta) = dense(layer.inputs[0])[:, :width], layer.slopes
            index = np.flatnonzero(rows.any(axis=1) & (alpha != beta))
            A.append(rows[index])
            b.append(layer.bias[index])
            members.append((l, index))
        return Rows(np.concatenate(A), np.concatenate(b), tuple(members))


def refusal(net: Network) -> str:
    """Why no section of this network is known, in a sentence; empty where there may be one."""
    if net.smooth:
        return f"the reach lifting is for piecewise linear layers, but {net.smooth}"
    if net.has_radii:
        return "the reach lifting is for networks without radii"
    if not net.structure.first or not len(Rows.of(net).A):
        return "the reach lifting needs neurons that take the input alone, but the network has none"
    return ""


def has_bias(net: Network) -> bool:
    """Whether a hidden layer has one."""
    return any(layer.bias.any() for layer in net.layers[:-1])


def used_columns(net: Network) -> Array:
    """The entries of x on which hidden layers depend."""
    used = np.zeros(net.widths[0], dtype=bool)
    for layer in net.layers[:-1]:
        if 0 in layer.inputs:
            used |= dense(layer.inputs[0]).any(axis=0)
    return np.flatnonzero(used)


def takes_x_once(net: Network) -> bool:
    """Whether no hidden layers take x but those that take it alone, by no other rows than those of `Rows`.

    A neuron of one slope carries x on without being one of these: where other entries of x are set to 0, it changes.
    """
    taken = [(l, layer) for l, layer in enumerate(net.layers[:-1], 1) if 0 in layer.inputs]
    rows = dict(Rows.of(net).members)
    return all(
        l in rows and np.array_equal(np.flatnonzero(dense(layer.inputs[0]).any(axis=1)), rows[l]) for l, layer in taken
    )


def find_section(net: Network, constant: float = 1.0, adjoints: Sequence[Array] | None = None) -> Section | None:
    """A section of a network; None where none is found, or where every pattern occurs.

    Args:
        net: the network.
        constant: w_0 in units of the mean of |b_i| / ||row i||, the rows' distances from 0.
        adjoints: (p_l,) of each hidden layer bounds of |df/dz|; None: of nothing is known how much it matters. The
            more a neuron does, the more it weighs: S is then nearest to what f changes by.
    """
    if refusal(net):
        return None
    import scipy.linalg  # here: `import hr2jax` loads no SciPy

    rows, columns = Rows.of(net), used_columns(net)
    n, size = len(rows.A), len(columns)
    if size >= n and net.depth == 1:
        return None  # every pattern occurs
    lengths = np.hypot.reduce(rows.A, axis=1)  # whose squares need not be float64 numbers
    with np.errstate(all="ignore"):
        distances = float((np.abs(rows.b) / lengths).mean())
        weights = _importance(rows, lengths, adjoints) / lengths
    w_0 = np.array([constant * (distances if distances > 0 else 1.0)] if has_bias(net) else [], dtype=np.float64)
    if size > n:
        if not takes_x_once(net):
            return None
        pivots = scipy.linalg.qr(rows.A[:, columns], mode="r", pivoting=True)[1][:n]
        columns = np.sort(columns[pivots])
    with np.errstate(all="ignore"):
        try:
            inverse = np.linalg.pinv(rows.A[:, columns])
        except np.linalg.LinAlgError:
            return None
        section = Section(weights, w_0, columns, inverse, np.ones(len(columns) + len(w_0)))
        if not (np.isfinite(inverse).all() and np.isfinite(weights).all() and np.isfinite(w_0).all()):
            return None
        radius = section._proved_radius(net, rows, Enclosure) * (1.0 + MARGIN)
    return replace(section, radius=radius) if np.isfinite(radius).all() and (radius > 0).all() else None


def _importance(rows: Rows, lengths: Array, adjoints: Sequence[Array] | None) -> Array:
    """(n,) what each neuron contributes to f where its z is a row's length, of geometric mean 1."""
    if adjoints is None:
        return np.ones(len(lengths))
    with np.errstate(all="ignore"):
        size = lengths * np.concatenate([adjoints[l - 1][index] for l, index in rows.members])
        size = np.maximum(size / size.max(), LEAST_IMPORTANCE)
        size = (size / np.exp(np.log(size).mean())) ** POWER
    return size if np.isfinite(size).all() else np.ones(len(lengths))


def section_bounds(net: Network, problem: Problem, arithmetic: type[Enclosure] = Enclosure) -> list[Pair]:
    """Pre-activation bounds of the homogeneous network where S = 1, layer by layer, float64 (p_l,) each.

    Raises:
        ValueError: they overflow.
    """
    assert isinstance(problem.domain, SectionBox)
    section, inputs = problem.domain.section, problem.domain.inputs
    rows = Rows.of(net, inputs)
    ends = np.cumsum([0, *(len(index) for _, index in rows.members)])
    most = {l: (index, section.most()[a:b]) for (l, index), a, b in zip(rows.members, ends, ends[1:], strict=False)}
    bounds: list[Pair] = []
    for l, layer in enumerate(net.layers[:-1], 1):
        low, high = layer_interval(net, problem, l, bounds, arithmetic)
        if l in most:
            index, size = most[l]
            low[index], high[index] = np.maximum(low[index], -size), np.minimum(high[index], size)
        elif all(_is_cornered(net, k, A, most, inputs) for k, A in layer.inputs.items()):
            corners = [_corners(net, k, A, most, section, arithmetic) for k, A in layer.inputs.items()]
            low = np.maximum(low, np.min([pair[0] for pair in corners], axis=0))
            high = np.minimum(high, np.max([pair[1] for pair in corners], axis=0))
        bounds.append((low, high))
    return bounds


def _is_cornered(net: Network, k: int, A: Any, most: dict[int, tuple[Array, Array]], inputs: int) -> bool:
    """Whether A y_k is a sum over what S is the sum of."""
    if k == 0:
        return not dense(A)[:, :inputs].any()
    return k in most and len(most[k][0]) == net.layers[k - 1].width and is_masked(net.layers[k - 1])


def _corners(
    net: Network, k: int, A: Any, most: dict[int, tuple[Array, Array]], section: Section, arithmetic: type[Enclosure]
) -> Pair:
    """Bounds of A y_k: at the corners of S <= 1, where only one of its terms is not 0, and at 0."""
    if k == 0:
        ends = [enclosed_in(arithmetic, dense(A)[:, -1:]) * np.array([section.most_constant()])]
    else:
        alpha, beta = net.layers[k - 1].slopes
        size = arithmetic(most[k][1])
        ends = [arithmetic(A) * (size * beta), -(arithmetic(A) * (size * alpha))]
    low = np.min([end.lower().min(axis=1) for end in ends], axis=0)
    high = np.max([end.upper().max(axis=1) for end in ends], axis=0)
    return np.minimum(low, 0.0), np.maximum(high, 0.0)
