"""Operators of ONNX that make images larger or smaller: Resize, Upsample before it, channels to places and back."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..algebra import maps
from ..algebra.affine import Affine
from ..algebra.resize import Places, interpolation
from .rules import Node, Value, axes_of, exact_floats, moved, plain, rule, shape_of, size_of, whole

_ATTRIBUTES = "antialias axes coordinate_transformation_mode cubic_coeff_a exclude_outside extrapolation_value mode " \
              "nearest_mode keep_aspect_ratio_policy"  # fmt: skip


@rule("Upsample", (1, 7, 9, 10), "height_scale mode scales width_scale")
def _upsample(node: Node) -> Value:
    if node.version not in (7, 9):
        raise ValueError("only operator sets 7 to 9 have it; from 10 on it is Resize")
    if node.version < 9:
        given = node.attributes.get("scales")
        if not isinstance(given, list) or not all(isinstance(v, float | int) for v in given):
            raise ValueError("it does not say its scales")
        scales = [Fraction(float(v)) for v in given]
    else:
        scales = _scales(node, 1)
    return _resized(node, list(range(len(scales))), scales, None, "asymmetric", "floor")


@rule("Resize", (10, 11, 13, 18, 19), _ATTRIBUTES)
def _resize(node: Node) -> Value:
    if node.version == 10:
        first = _scales(node, 1)
        return _resized(node, list(range(len(first))), first, None, "asymmetric", "floor")
    if node.flag("antialias"):
        raise ValueError("it smooths what it makes smaller (antialias), which is not read")
    if node.word("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise ValueError("it keeps the ratio of its sides (keep_aspect_ratio_policy), which is not read")
    ndim = len(shape_of(node.inputs[0]))
    axes = axes_of(node.integers("axes") or list(range(ndim)), ndim)
    sizes = None if node.input(3) is None else whole(node.inputs[3])
    given = node.input(2)
    has_scales = given is not None and exact_floats(given).size > 0
    if has_scales == (sizes is not None):
        raise ValueError("it must say either its scales or its sizes")
    scales = _scales(node, 2) if has_scales else None
    return _resized(node, axes, scales, sizes, node.word("coordinate_transformation_mode", "half_pixel"),
                    node.word("nearest_mode", "round_prefer_floor"))  # fmt: skip


def _scales(node: Node, i: int) -> list[Fraction]:
    if node.input(i) is None:
        raise ValueError("it does not say its scales")
    return [Fraction(float(v)) for v in exact_floats(node.inputs[i]).ravel()]


def _length(n: int, scale: Fraction, mode: str) -> int:
    """How many entries the scale makes of n.

    Raises:
        ValueError: rounding decides it, or the places depend on whether it is counted whole.
    """
    exact = n * scale
    if exact.denominator != 1 and (mode in ("align_corners", "half_pixel_symmetric") or
                                   int(np.float32(n) * np.float32(float(scale))) != int(exact)):  # fmt: skip
        raise ValueError("its scales give no whole sizes, of which runtimes say different things; say sizes")
    return int(exact)


def _resized(
    node: Node, axes: list[int], scales: list[Fraction] | None, sizes: list[int] | None, mode: str, rounding: str
) -> Value:
    """Along each axis, by its scale or to its size.

    Raises:
        ValueError: a size that operator sets compute differently, or a mode that is not read.
    """
    a, how = node.inputs[0], node.word("mode", "nearest")
    shape = shape_of(a)
    if len(scales or sizes or ()) != len(axes):
        raise ValueError(f"it says other scales or sizes than one of each of {len(axes)} dimensions")
    if sizes is None:
        sizes = [_length(shape[d], s, mode) for d, s in zip(axes, scales or (), strict=True)]
    if min(sizes, default=1) < 1:
        raise ValueError(f"the sizes {sizes} are none")
    maps.room(size_of(a) * float(np.prod([n / shape[d] for d, n in zip(axes, sizes, strict=True)])))
    by = scales or [Fraction(n, shape[d]) for d, n in zip(axes, sizes, strict=True)]
    along = {d: Places.of(mode, shape[d], n, s) for d, n, s in zip(axes, sizes, by, strict=True) if s != 1}
    if how == "nearest":
        for d, places in along.items():
            index = places.nearest(rounding)
            if node.version < 11 and places.length < places.size and (index != places.nearest("ceil")).any():
                raise ValueError("it makes an image smaller by the nearest, of which runtimes say different things")
            a = moved(node, a, lambda v, d=d, index=index: np.take(v, index, axis=d))  # type: ignore[misc]
        return a
    if how not in ("linear", "bilinear"):
        raise ValueError(f"its mode {how[:20]!r} is not read, only nearest and linear")
    value = a if isinstance(a, Affine) else node.computed()
    matrix, after = interpolation(shape, {d: places.linear() for d, places in along.items()})
    return plain(node.builder.apply(matrix, value, after))


@rule("DepthToSpace", (1, 11, 13, 28), "blocksize mode")
@rule("SpaceToDepth", (1, 13, 28), "blocksize mode")
def _depth(node: Node) -> Value:
    """Each channels' block of entries as a square of b b places, or back."""
    a, b, mode = node.inputs[0], node.integer("blocksize", 0), node.word("mode", "DCR")
    shape = shape_of(a)
    if len(shape) != 4 or b < 1 or mode not in ("DCR", "CRD"):
        raise ValueError(f"it takes blocks of {b} of a tensor of shape {shape}")
    n, c, h, w = shape
    if node.operator == "SpaceToDepth":
        order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
        return moved(node, a, lambda v: v.reshape(n, c, h // b, b, w // b, b).transpose(order)
                     .reshape(n, c * b * b, h // b, w // b))  # fmt: skip
    first, order = ((b, b, c // b**2), (0, 3, 4, 1, 5, 2)) if mode == "DCR" else ((c // b**2, b, b), (0, 1, 4, 2, 5, 3))
    return moved(node, a, lambda v: v.reshape(n, *first, h, w).transpose(order).reshape(n, c // b**2, h * b, w * b))
