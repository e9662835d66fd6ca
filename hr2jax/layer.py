"""One layer of a feed-forward network: what it adds up, and the function it applies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .arithmetic import activations
from .arithmetic.activations import GELU_FLOAT32
from .arithmetic.enclosure import Enclosure
from .arithmetic.float64 import Array, exact_float64
from .text import shown

# The activations' names and their parameters, by torch's names.
ACTIVATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "identity": (), "relu": (), "leaky_relu": ("negative_slope",), "prelu": ("weight",), "abs": (),
    **{name: tuple(own) for name, own in activations.DEFAULTS.items()},
})  # fmt: skip
# Those that are beta z where z > 0 and alpha z elsewhere.
KINKED = ("identity", "relu", "leaky_relu", "prelu", "abs")
APPROXIMATE = ("none", "tanh", GELU_FLOAT32)  # of gelu


@dataclass(frozen=True, eq=False)
class Layer:
    """y_l = sigma(bias + sum_k A_k y_k): layer l of a network, over layers k < l, y_0 the input x.

    A coefficient that no float64 is, such as 1/3, is a midpoint and a radius: what is said of a network then holds for
    every member, every choice of coefficients within the radii; values and derivatives in float64 are the midpoints'.

    Args:
        inputs: {k: A_k}, at least one; A_k of shape (p_l, p_k), an array or a SciPy sparse matrix, or a pair (mid, rad)
            of two. Any real dtype whose values float64 holds exactly.
        bias: (p_l,), or a pair (mid, rad); the same.
        activation: sigma's name, one of `ACTIVATIONS`; a network's last layer has "identity".
        parameters: sigma's, by torch's names: numbers, prelu's `weight` of shape (p_l,) or (1,), gelu's `approximate`
            "none", "tanh" or "tanh float32" (`arithmetic.activations`). What is missing has torch's default.

    Attributes:
        inputs, bias: the midpoints, float64 arrays that cannot be written, the inputs in ascending order of k; what was
            sparse is a SciPy csr_array without zeros.
        radii: {k: (p_l, p_k)}, those of the inputs that have any beside 0, sparse where the midpoints are.
        bias_radius: (p_l,); None where it is 0.
        parameters: the numbers as floats, `weight` as a float64 array.

    Raises:
        ValueError: no input, a key that is no layer's number, wrong ranks or shapes, NaN or infinity, a dtype that
            would be rounded, a radius below 0, an unknown activation or parameter.
    """

    inputs: Mapping[int, Any]
    bias: Any
    activation: str = "relu"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    radii: Mapping[int, Any] = field(init=False)
    bias_radius: Any = field(init=False)
    _between: tuple[Array, Array] | None = field(init=False, repr=False)  # `with_slopes`

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, Mapping) or not self.inputs:
            raise ValueError(
                f"inputs must be a dict {{number of a layer: matrix}}, not empty, but {shown(self.inputs)} was given"
            )
        for k in self.inputs:
            if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 0:
                raise ValueError(f"inputs' keys must be layers' numbers 0, 1, 2, ..., but {shown(k)} was given")
        bias, bias_radius = _checked_pair(self.bias, "bias", 1)
        inputs: dict[int, Any] = {}
        radii: dict[int, Any] = {}
        for k in sorted(self.inputs):
            inputs[int(k)], radius = _checked_pair(self.inputs[k], f"inputs[{k}]", 2)
            _check_shapes(inputs[int(k)], bias, f"inputs[{k}]", "bias")
            if radius is not None:
                radii[int(k)] = radius
        if not isinstance(self.activation, str) or self.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"activation must be one of {known}, but {shown(self.activation)} was given")
        parameters = _checked_parameters(self.activation, self.parameters, len(bias))
        self._set(inputs, bias, self.activation, parameters, radii, bias_radius)

    @classmethod
    def of_checked(cls, inputs: Mapping[int, Any], bias: Any, activation: str) -> Layer:
        """A layer of what `checked_map` returned, or of other arrays (`mapped`): nothing is copied or looked at."""
        layer = object.__new__(cls)
        layer._set(inputs, bias, activation, {})
        return layer

    @property
    def width(self) -> int:
        """p_l, the number of its neurons."""
        return int(self.bias.shape[0])

    @property
    def is_kinked(self) -> bool:
        """Whether sigma is beta z where z > 0 and alpha z elsewhere (`slopes`)."""
        return self.activation in KINKED

    @cached_property
    def slopes(self) -> tuple[Array, Array]:
        """(alpha, beta), float64 (p_l,) each: sigma is beta z where z > 0 and alpha z elsewhere.

        Of a smooth activation what `with_slopes` was given: sigma' lies between them.

        Raises:
            NotImplementedError: a smooth activation that was given none.
        """
        if self._between is not None:
            return self._between
        if not self.is_kinked:
            raise NotImplementedError(f"{self.activation} is not piecewise linear, so that it has no two slopes")
        alpha: Any = {"identity": 1.0, "relu": 0.0, "abs": -1.0}.get(self.activation)
        if self.activation == "leaky_relu":
            alpha = self.parameters.get("negative_slope", 0.01)
        elif self.activation == "prelu":
            alpha = self.parameters.get("weight", 0.25)
        pair = np.array(np.broadcast_to(alpha, (self.width,))), np.ones(self.width)
        for array in pair:
            array.setflags(write=False)
        return pair

    @property
    def numbers(self) -> dict[str, float]:
        """A smooth activation's parameters that are numbers, torch's where none was given."""
        whole = {**activations.DEFAULTS.get(self.activation, {}), **self.parameters}
        return {name: value for name, value in sorted(whole.items()) if isinstance(value, float)}

    def with_slopes(self, alpha: Array, beta: Array) -> Layer:
        """The same layer, of which is known that sigma' lies in [alpha, beta], float64 (p_l,) each."""
        layer = object.__new__(type(self))
        layer._set(self.inputs, self.bias, self.activation, self.parameters, self.radii, self.bias_radius)
        object.__setattr__(layer, "_between", (alpha, beta))
        return layer

    def value(self, z: Array) -> Array:
        """sigma(z) of a smooth activation, float64."""
        return activations.value(self.activation, self.parameters, z)

    def derivative(self, z: Array) -> Array:
        """sigma'(z) of a smooth activation, float64."""
        return activations.derivative(self.activation, self.parameters, z)

    def values_between(self, low: Array, high: Array) -> tuple[Array, Array]:
        """The hull of a smooth sigma on low <= z <= high, (p_l,) each, rounded outward; infinite where it overflows."""
        from .arithmetic.hulls import values  # here: it loads python-flint

        return values(self.activation, self.parameters, low, high)

    def slopes_between(self, low: Array, high: Array) -> tuple[Array, Array]:
        """The hull of the one-sided derivatives of a smooth sigma on low <= z <= high, which may be infinite."""
        from .arithmetic.hulls import slopes

        return slopes(self.activation, self.parameters, low, high)

    def bends_between(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Around the second derivatives of a smooth sigma on low <= z <= high, which may be infinite."""
        from .arithmetic.hulls import bends

        return bends(self.activation, self.parameters, low, high)

    @property
    def breaks(self) -> tuple[float, ...]:
        """Where the derivative of a smooth sigma jumps and sigma itself does not."""
        from .arithmetic.hulls import breaks

        return breaks(self.activation, self.parameters)

    @property
    def has_radii(self) -> bool:
        """Whether a coefficient or a bias is a midpoint and a radius."""
        return bool(self.radii) or self.bias_radius is not None

    def enclosed(self) -> Layer:
        """The layer for proofs: dense arrays, `Enclosure`s where there are radii; itself where it is that already."""
        if not self.has_radii and not any(map(is_sparse, self.inputs.values())):
            return self
        layer = object.__new__(type(self))
        inputs = {k: _enclosed(A, self.radii.get(k)) for k, A in self.inputs.items()}
        layer._set(inputs, _enclosed(self.bias, self.bias_radius), self.activation, self.parameters)
        object.__setattr__(layer, "_between", self._between)
        return layer

    def mapped(self, convert: Callable[[Array], Any]) -> Layer:
        """The same layer of other arrays, each converted: integers, balls, an accelerator's. No check is made.

        What it has of radii is left out.
        """
        return self.of_arrays({k: convert(A) for k, A in self.inputs.items()}, convert(self.bias))

    def of_arrays(self, inputs: Mapping[int, Any], bias: Any) -> Layer:
        """A layer of the same activation and of these arrays, which no check is made of."""
        layer = object.__new__(type(self))
        layer._set(inputs, bias, self.activation, self.parameters)
        return layer

    def _set(
        self, inputs: Mapping[int, Any], bias: Any, activation: str, parameters: Mapping[str, Any],
        radii: Mapping[int, Any] = MappingProxyType({}), bias_radius: Any = None,
    ) -> None:  # fmt: skip
        object.__setattr__(self, "inputs", MappingProxyType(dict(inputs)))
        object.__setattr__(self, "bias", bias)
        object.__setattr__(self, "activation", activation)
        object.__setattr__(self, "parameters", MappingProxyType(dict(parameters)))
        object.__setattr__(self, "radii", MappingProxyType(dict(radii)))
        object.__setattr__(self, "bias_radius", bias_radius)
        object.__setattr__(self, "_between", None)

    def __getstate__(self) -> tuple[Any, ...]:
        return (
            dict(self.inputs), self.bias, self.activation, dict(self.parameters), dict(self.radii), self.bias_radius
        )  # fmt: skip

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._set(*state)

    def __repr__(self) -> str:
        inputs = ", ".join(f"{k}: {'x'.join(map(str, np.shape(A)))}" for k, A in self.inputs.items())
        own = "".join(f", {name}={shown(value)}" for name, value in self.parameters.items())
        return f"Layer({{{inputs}}}, {self.activation}{own})"


def is_sparse(A: Any) -> bool:
    """Whether A is a matrix of SciPy's sparse kinds, without loading SciPy."""
    return hasattr(A, "tocsr")


def dense(A: Any) -> Array:
    """A as a float64 array."""
    out: Array = A.toarray() if is_sparse(A) else A
    return out


def entries(A: Any) -> tuple[Array, Array]:
    """(places, values) of the entries of a matrix, dense or sparse, that are not 0: int64, counted row by row."""
    if is_sparse(A):
        rows = np.repeat(np.arange(A.shape[0], dtype=np.int64), np.diff(A.indptr))
        return rows * A.shape[1] + A.indices, A.data
    places = np.flatnonzero(A)
    return places, A.ravel()[places]


def nonzero(A: Any) -> Array:
    """Where a dense matrix or an `Enclosure` has members with an entry that is not 0: bool of its shape."""
    found: Array = (A.mid != 0) | (A.rad != 0) if isinstance(A, Enclosure) else A != 0
    return found


def largest(A: Any) -> Array:
    """About the largest magnitudes of the members of a dense array or an `Enclosure`, of its shape."""
    return np.abs(A.mid) + A.rad if isinstance(A, Enclosure) else np.abs(A)


def _enclosed(A: Any, radius: Any) -> Any:
    return dense(A) if radius is None else Enclosure(dense(A), dense(radius))


def checked_map(A: ArrayLike, b: ArrayLike, name: str, shift: str) -> tuple[Array, Array]:
    """A (m, n) and b (m,), m and n at least 1, as float64 arrays that cannot be written; errors say `name`, `shift`.

    Raises:
        ValueError: wrong ranks, shapes that do not agree, NaN or infinity, a dtype that would be rounded, a midpoint
            and a radius.
    """
    for value, what, ndim in ((A, name, 2), (b, shift, 1)):
        if _is_pair(value, ndim):
            raise ValueError(f"{what} is a midpoint and a radius, which a Layer takes, for Network.from_layers")
    A, b = exact_float64(A, name, 2), exact_float64(b, shift, 1)
    _check_shapes(A, b, name, shift)
    A.setflags(write=False)
    b.setflags(write=False)
    return A, b


def _check_shapes(A: Any, b: Array, name: str, shift: str) -> None:
    if 0 in A.shape:
        raise ValueError(f"{name} has shape {A.shape}; every width must be at least 1")
    if b.shape[0] != A.shape[0]:
        raise ValueError(f"{shift} has shape {b.shape}, but {name} has {A.shape[0]} rows")


def _is_pair(value: Any, ndim: int) -> bool:
    """Whether it is a tuple of two arrays of so many dimensions."""
    return isinstance(value, tuple) and len(value) == 2 and all(_dimensions(part) == ndim for part in value)


def _dimensions(value: Any) -> int:
    try:
        return 2 if is_sparse(value) else np.ndim(value)
    except ValueError:
        return -1


def _checked_pair(value: Any, name: str, ndim: int) -> tuple[Any, Any]:
    """(mid, rad) of what a Layer is given; rad None where it is 0."""
    if not _is_pair(value, ndim):
        return _checked(value, name, ndim), None
    mid, radius = _checked(value[0], f"the midpoint of {name}", ndim), _checked(value[1], f"the radius of {name}", ndim)
    if mid.shape != radius.shape:
        raise ValueError(f"the radius of {name} has shape {radius.shape}, but its midpoint has {mid.shape}")
    if ((radius.data if is_sparse(radius) else radius) < 0).any():
        raise ValueError(f"the radius of {name} must be at least 0, but one entry is below it")
    if not (radius.nnz if is_sparse(radius) else radius.any()):
        return mid, None
    if is_sparse(mid) != is_sparse(radius):
        radius = _csr(radius) if is_sparse(mid) else _frozen(dense(radius))
    return mid, radius


def _checked(value: Any, name: str, ndim: int) -> Any:
    """A float64 array, or a csr_array, that cannot be written."""
    if ndim == 2 and is_sparse(value):
        return _csr(value, name)
    return _frozen(exact_float64(value, name, ndim))


def _csr(value: Any, name: str = "") -> Any:
    """A csr_array of its own, sorted, without zeros and repeats, of exact float64."""
    import scipy.sparse as sp  # here: `import hr2jax` loads no SciPy

    A = sp.csr_array(value)
    if A.ndim != 2:
        raise ValueError(f"{name} must have 2 dimensions, but its shape is {A.shape}")
    data = exact_float64(A.data, name, 1)
    indices, indptr = np.array(A.indices, dtype=np.int64), np.array(A.indptr, dtype=np.int64)
    A = sp.csr_array((data, indices, indptr), shape=A.shape)
    if not A.has_canonical_format:
        repeated = A.nnz
        A.sum_duplicates()
        if A.nnz != repeated:
            raise ValueError(f"{name} holds an entry more than once, whose sum may be rounded")
    A.eliminate_zeros()
    for part in (A.data, A.indices, A.indptr):
        part.setflags(write=False)
    return A


def _frozen(array: Array) -> Array:
    array.setflags(write=False)
    return array


def _checked_parameters(activation: str, given: Any, width: int) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ValueError(f"parameters must be a dict, but {shown(given)} was given")
    known = ACTIVATIONS[activation]
    parameters: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            takes = f"takes {', '.join(known)}" if known else "takes none"
            raise ValueError(f"{activation} {takes}, but the parameter {shown(name)} was given")
        if name == "approximate":
            if not isinstance(value, str) or value not in APPROXIMATE:
                raise ValueError(f"approximate must be one of {', '.join(APPROXIMATE)}, but {shown(value)} was given")
            parameters[name] = value
        elif name == "weight":
            slopes = exact_float64(value, name, 1)
            if len(slopes) not in (1, width):
                raise ValueError(f"weight must have shape ({width},) or (1,), but its shape is {slopes.shape}")
            slopes.setflags(write=False)
            parameters[name] = slopes
        else:
            parameters[name] = float(exact_float64(value, name, 0))
    activations.refuse_parameters(activation, parameters)
    return parameters
