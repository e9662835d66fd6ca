"""Kinds of nodes for random graphs that go over images with a window: convolutions and pools."""

import numpy as np


def _drawn(d, dims, most=3):
    return d.rng.integers(1, most + 1, dims).tolist()


def _padding(d, size, extent, strides, mode):
    """(before, after): explicit, or what auto_pad makes of it."""
    if mode == "NOTSET":
        return [[int(d.rng.integers(0, e)) for e in extent] for _ in range(2)]
    if mode == "VALID":
        return [[0] * len(size)] * 2
    total = [max((-(-n // s) - 1) * s + e - n, 0) for n, e, s in zip(size, extent, strides, strict=True)]
    small, large = [t // 2 for t in total], [t - t // 2 for t in total]
    return [small, large] if mode == "SAME_UPPER" else [large, small]


def _windows(d, v, dilated, most=3):
    """kernel, attributes of the graph, the same with explicit padding, and whether all windows fit; None: not drawn."""
    size = v.shape[2:]
    dims = len(size)
    kernel = [min(k, n) for k, n in zip(_drawn(d, dims, most), size, strict=True)]
    strides = _drawn(d, dims, 2)
    dilations = _drawn(d, dims, 2) if dilated and d.chance(0.4) else [1] * dims
    extent = [(k - 1) * e + 1 for k, e in zip(kernel, dilations, strict=True)]
    mode = d.among(["NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if mode != "NOTSET" and max(dilations) > 1:
        mode = "NOTSET"
    before, after = _padding(d, size, extent, strides, mode)
    if any(n + p + q < e for n, p, q, e in zip(size, before, after, extent, strict=True)):
        return None
    said = {"kernel_shape": kernel}
    said |= {"strides": strides} if max(strides) > 1 or d.chance(0.3) else {}
    said |= {"dilations": dilations} if max(dilations) > 1 else {}
    meant = said | {"pads": [*before, *after]}
    if mode == "NOTSET":
        return kernel, said | ({"pads": [*before, *after]} if max(before + after) or d.chance(0.5) else {}), meant
    return kernel, said | {"auto_pad": mode}, meant


def conv(d, a, v):
    if not 2 < v.ndim < 6 or v.shape[0] != 1 or (found := _windows(d, v, True)) is None:
        return
    kernel, said, meant = found
    groups = d.among([g for g in (1, 2, 3) if v.shape[1] % g == 0])
    out = groups * int(d.rng.integers(1, 3))
    line = f"Conv {a} {d.numbers(out, v.shape[1] // groups, *kernel)} {d.numbers(out) if d.chance(0.7) else ''}".strip()
    group = {"group": groups} if groups > 1 or d.chance(0.3) else {}
    d.emit(line, said | group, meant=(line, meant | group))


def transposed(d, a, v):
    if not 2 < v.ndim < 6 or v.shape[0] != 1:
        return
    dims = v.ndim - 2
    kernel, strides = _drawn(d, dims), _drawn(d, dims, 2)
    groups = d.among([g for g in (1, 2, 3) if v.shape[1] % g == 0])
    given = {"strides": strides, "dilations": _drawn(d, dims, 2) if d.chance(0.4) else [1] * dims}
    given["output_padding"] = [int(d.rng.integers(s)) for s in strides]
    given["pads"] = [int(d.rng.integers(0, 2)) for _ in range(2 * dims)]
    each, out = v.shape[1] // groups, int(d.rng.integers(1, 3))
    weight, bias = d.numbers(v.shape[1], out, *kernel), d.numbers(groups * out)
    if groups == 1:
        return d.emit(f"ConvTranspose {a} {weight} {bias}", given)
    # the evaluator of onnx 1.23 mixes groups up
    sizes, axis, joined, meant = d.ints(*[each] * groups), {"axis": 1}, [], []
    parts = [f"@p{g}" for g in range(groups)]
    meant.append((f"Split {a} {sizes} > {' '.join(parts)}", axis))
    for g, part in enumerate(parts):
        own = d.constant(d.constants[weight][g * each : (g + 1) * each])
        meant.append((f"ConvTranspose {part} {own} > @q{g}", given))
        joined.append(f"@q{g}")
    meant.append((f"Concat {' '.join(joined)} > @c", axis))
    wide = d.constant(d.constants[bias].reshape(-1, *[1] * dims))
    meant.append((f"Add @c {wide} > @", {}))
    d.emit(f"ConvTranspose {a} {weight} {bias}", given | {"group": groups}, meant=meant)


def max_pool(d, a, v):
    if not 2 < v.ndim < 6 or (found := _windows(d, v, d.opset >= 10)) is None:
        return
    kernel, said, meant = found
    pads = meant.pop("pads")
    dims = v.ndim - 2
    pads = _ceiled(d, v, kernel, said, pads) if d.opset >= 10 else pads
    if pads is None:
        return
    least = d.constant(np.array(-1e6))
    around = d.ints(0, 0, *pads[:dims], 0, 0, *pads[dims:])  # the evaluator knows a MaxPool of even padding only
    d.emit(f"MaxPool {a}", said, meant=[(f"Pad {a} {around} {least} > @p", {}), ("MaxPool @p > @", meant)])


def average_pool(d, a, v):
    if not 2 < v.ndim < 6 or (found := _windows(d, v, d.opset >= 19)) is None:
        return
    kernel, said, meant = found
    counts = int(d.opset >= 7 and d.chance(0.5))
    if d.opset < 7 and max(meant["pads"]):
        return
    said, meant = ({**g, "count_include_pad": counts} for g in (said, meant)) if counts else (said, meant)
    pads = _ceiled(d, v, kernel, said, meant["pads"]) if d.opset >= 10 and not counts else meant["pads"]
    if pads is not None:
        d.emit(f"AveragePool {a}", said, meant=(f"AveragePool {a}", meant | {"pads": pads}))


def _ceiled(d, v, kernel, said, pads):
    """The padding that a window more, by ceil_mode, needs; None where it would begin in the padding."""
    if "auto_pad" in said or d.chance(0.6):
        return pads
    dims = len(kernel)
    strides, dilations = (said.get(k, [1] * dims) for k in ("strides", "dilations"))
    after = list(pads[dims:])
    for i, n in enumerate(v.shape[2:]):
        extent = (kernel[i] - 1) * dilations[i] + 1
        free = n + pads[i] + after[i] - extent
        if free % strides[i]:
            if (free // strides[i] + 1) * strides[i] >= n + pads[i]:
                return None
            after[i] += strides[i] - free % strides[i]
    said["ceil_mode"] = 1
    return [*pads[:dims], *after]


def global_pool(d, a, v):
    if v.ndim > 2:
        word = d.among(["Average", "Max"])  # the evaluator's GlobalMaxPool is of images of two dimensions
        meant = f"Reduce{word.replace('Average', 'Mean')} {a} {d.ints(*range(2, v.ndim))}"
        d.emit(f"Global{word}Pool {a}", meant=(meant, {}))


WINDOWED = [conv, transposed, max_pool, average_pool, global_pool]
