"""The keys of our own files of networks that are no ReLU chains: layers with several inputs, slopes and radii.

`hr2jax_network` is 2, and layer l has `<l>:activation`, `<l>:bias`, `<l>:parameter:<name>`, `<l>:inputs` (numbers of
layers) and, for each k of them, `<l>:<k>`, a matrix or the data, indices, indptr and shape of a sparse one; `:radius`
behind what has radii.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from ..arithmetic.float64 import Array
from ..layer import ACTIVATIONS, Layer, is_sparse
from .layers import Graph
from .own import DATA
from .told import Told, few

VERSION, FORMAT = "hr2jax_network", 2
_SPARSE = ("data", "indices", "indptr", "shape")
_KEY = re.compile("([1-9][0-9]{0,8}):(.+)")


def keys_of(layers: Sequence[Layer]) -> dict[str, Any]:
    """The arrays that a network is written as."""
    keys: dict[str, Any] = {VERSION: np.array(FORMAT)}

    def put(key: str, A: Any) -> None:
        if is_sparse(A):
            parts = A.data, A.indices, A.indptr, np.array(A.shape, dtype=np.int64)
            keys.update({f"{key}:{part}": value for part, value in zip(_SPARSE, parts, strict=True)})
        else:
            keys[key] = A

    for l, layer in enumerate(layers, start=1):
        keys[f"{l}:activation"], keys[f"{l}:inputs"] = np.array(layer.activation), np.array([*layer.inputs])
        put(f"{l}:bias", layer.bias)
        if layer.bias_radius is not None:
            put(f"{l}:bias:radius", layer.bias_radius)
        for name, value in layer.parameters.items():
            keys[f"{l}:parameter:{name}"] = np.array(value)
        for k, A in layer.inputs.items():
            put(f"{l}:{k}", A)
            if k in layer.radii:
                put(f"{l}:{k}:radius", layer.radii[k])
    return keys


def layered(names: Collection[str], get: Callable[[str], Array], told: Told) -> Graph:
    """The layers of arrays with these keys.

    Raises:
        ValueError: naming a key that is missing or not one of these, or what is no layer.
    """
    version = get(VERSION)
    if version.shape != () or version.dtype.kind not in "iu" or int(version) != FORMAT:
        raise ValueError(f"{VERSION} is {few([str(version)])}, but only {FORMAT} can be read today")
    of_layer: dict[int, set[str]] = {}
    used = {VERSION, *DATA}
    for name in names:
        if found := _KEY.fullmatch(name):
            of_layer.setdefault(int(found[1]), set()).add(found[2])
    layers = []
    for l in range(1, max(of_layer, default=0) + 1):
        keys = of_layer.get(l, set())

        def need(key: str, l: int = l) -> Array:
            if f"{l}:{key}" not in names:
                raise ValueError(f"the key {l}:{key} is missing")
            used.add(f"{l}:{key}")
            return get(f"{l}:{key}")

        def matrix(key: str, l: int = l, need: Callable[[str], Array] = need) -> Any:
            return _sparse(*(need(f"{key}:{part}") for part in _SPARSE)) if f"{l}:{key}:data" in names else need(key)

        def pair(key: str, l: int = l, matrix: Callable[[str], Any] = matrix) -> Any:
            has_radius = {f"{l}:{key}:radius", f"{l}:{key}:radius:data"} & {*names}
            return (matrix(key), matrix(f"{key}:radius")) if has_radius else matrix(key)

        activation = need("activation")
        word = str(activation) if activation.shape == () and activation.dtype.kind == "U" else ""
        if word not in ACTIVATIONS:
            raise ValueError(f"{l}:activation is none of {', '.join(ACTIVATIONS)}")
        parameters: dict[str, Any] = {}
        for name in ACTIVATIONS[word]:
            if f"parameter:{name}" in keys:
                value = need(f"parameter:{name}")
                parameters[name] = str(value) if value.dtype.kind == "U" else value
        inputs = need("inputs")
        if inputs.ndim != 1 or inputs.dtype.kind not in "iu":
            raise ValueError(f"{l}:inputs must be the numbers of layers")
        try:
            layers.append(Layer({int(k): pair(str(k)) for k in inputs}, pair("bias"), word, parameters))
        except ValueError as error:
            raise ValueError(f"layer {l}: {error}") from None
    if unused := sorted({*names} - used):
        are = "are" if len(unused) > 1 else "is"
        raise ValueError(f"{few(unused)} {are} not expected in a file with the key {VERSION}")
    said = [layer.activation for layer in layers[:-1]]
    told.check_said([f"{l}" for l in range(1, len(layers) + 1)], f"a file with the key {VERSION}", said)
    return Graph(layers, tuple(sorted({*names} & {*DATA})))


def _sparse(data: Array, indices: Array, indptr: Array, shape: Array) -> Any:
    """The csr_array of its parts, which may be anything.

    Raises:
        ValueError: they are none.
    """
    import scipy.sparse as sp  # here: `import hr2jax` loads no SciPy

    whole = all(part.ndim == 1 and part.dtype.kind in "iu" for part in (indices, indptr, shape)) and data.ndim == 1
    if not whole or len(shape) != 2 or not (shape > 0).all() or int(shape[0]) + 1 != len(indptr):
        raise ValueError("the data, indices, indptr and shape of a sparse matrix do not agree")
    indices, indptr = indices.astype(np.int64), indptr.astype(np.int64)
    rises = indptr[0] == 0 and indptr[-1] == len(indices) == len(data) and bool((np.diff(indptr) >= 0).all())
    if not rises or not ((indices >= 0) & (indices < int(shape[1]))).all():
        raise ValueError("the data, indices, indptr and shape of a sparse matrix do not agree")
    return sp.csr_array((data, indices, indptr), shape=tuple(map(int, shape)))
