"""Kinds of nodes for random graphs that move, repeat, leave out or reduce entries."""

import numpy as np


def flatten(d, a, v):
    axis = int(d.rng.integers(v.ndim + 1))
    said = axis - v.ndim if d.opset >= 11 and axis < v.ndim and d.chance(0.3) else axis
    d.emit(f"Flatten {a}", {"axis": said}, meant=(f"Flatten {a}", {"axis": axis}))


def reshape(d, a, v):
    target = list(d.among([(-1,), (1, -1), (-1, 1), v.shape[::-1]]))
    target = [v.shape[0], -1] if v.ndim > 1 and d.chance(0.5) else target
    meant = (f"Reshape {a} {d.ints(*target)}", {})
    if d.chance(0.3):
        target = [0 if i < v.ndim and n == v.shape[i] and d.chance(0.5) else n for i, n in enumerate(target)]
        d.emit(f"Reshape {a} {d.ints(*target)}", meant=meant)
    elif d.chance(0.4) and target == [v.shape[0], -1]:  # as torch writes x.view(x.shape[0], -1)
        first = d.emit(f"Gather {d.emit(f'Shape {a}')} {d.constant(np.array(0))}", {"axis": 0})
        d.emit(f"Reshape {a} {d.emit(f'Concat {listed(d, first)} {d.ints(-1)}', {'axis': 0})}", meant=meant)
    else:
        d.emit(*meant)


def listed(d, name):
    """A number as a list of one."""
    zero = d.ints(0)
    new = (f"Unsqueeze {name} {zero}", {})
    return d.emit(*new) if d.opset >= 13 else d.emit(f"Unsqueeze {name}", {"axes": [0]}, meant=new)


def squeeze(d, a, v):
    ones = [i for i, n in enumerate(v.shape) if n == 1]
    if not ones:
        return
    axes = [i for i in ones if d.chance(0.6)]
    if v.ndim == len(axes or ones):
        return
    line = f"Squeeze {a}"
    said = [i - v.ndim if d.opset >= 11 and d.chance(0.3) else i for i in axes]
    if not axes:
        d.emit(line)
    elif d.opset >= 13:
        d.emit(f"{line} {d.ints(*said)}")
    else:
        d.emit(line, {"axes": said}, meant=(f"{line} {d.ints(*axes)}", {}))


def unsqueeze(d, a, v):
    if v.ndim > 3:
        return
    axes = sorted({int(i) for i in d.rng.integers(0, v.ndim + 1, 2)})
    n = v.ndim + len(axes)
    said = [i - n if d.opset >= 11 and d.chance(0.3) else i for i in axes]
    if d.opset >= 13:
        d.emit(f"Unsqueeze {a} {d.ints(*said)}")
    else:
        d.emit(f"Unsqueeze {a}", {"axes": said}, meant=(f"Unsqueeze {a} {d.ints(*axes)}", {}))


def transpose(d, a, v):
    d.emit(f"Transpose {a}", {"perm": d.rng.permutation(v.ndim).tolist()} if d.chance(0.7) else {})


def sliced(d, a, v):
    axes = sorted({int(i) for i in d.rng.integers(0, v.ndim, 2)})
    starts, ends = ([int(d.rng.integers(-v.shape[i] - 1, v.shape[i] + 1)) for i in axes] for _ in range(2))
    steps = [1 if d.opset < 10 else int(d.among([1, 1, 2, -1, -2])) for _ in axes]
    if d.chance(0.3):
        ends = [2**31 - 1 if s > 0 else -(2**31) for s in steps]
    new = (f"Slice {a} {' '.join(d.ints(*p) for p in (starts, ends, axes, steps))}", {})
    if d.opset >= 10:
        d.emit(*new)
    else:
        d.emit(f"Slice {a}", {"starts": starts, "ends": ends, "axes": axes}, meant=new)


def gather(d, a, v):
    axis = int(d.rng.integers(v.ndim))
    shape = d.among([(int(d.rng.integers(1, 4)),), (), (2, 2)])
    index = d.rng.integers(-v.shape[axis] if d.opset >= 11 else 0, v.shape[axis], shape)
    d.emit(f"Gather {a} {d.constant(index)}", {"axis": axis - v.ndim * int(d.opset >= 11 and d.chance(0.3))})


def split(d, a, v):
    axis = int(d.rng.integers(v.ndim))
    n = v.shape[axis]
    if n < 2:
        return
    first = int(d.rng.integers(1, n))
    sizes = [first, n - first] if n % 2 or d.chance(0.6) else [n // 2, n // 2]
    new = (f"Split {a} {d.ints(*sizes)}", {"axis": axis})
    if d.opset >= 18 and sizes[0] == -(-n // 2) and d.chance(0.5):
        d.emit(f"Split {a}", {"axis": axis, "num_outputs": 2}, meant=new, outputs=2)
    elif d.opset >= 13:
        d.emit(*new, outputs=2)
    else:
        given = {} if sizes[0] == sizes[1] and d.chance(0.5) else {"split": sizes}
        d.emit(f"Split {a}", {"axis": axis, **given}, meant=new, outputs=2)


def concat(d, a, v):
    axis = int(d.rng.integers(v.ndim))
    rest = d.others(lambda s: len(s) == v.ndim and s[:axis] + s[axis + 1 :] == v.shape[:axis] + v.shape[axis + 1 :])
    names = [a, *(d.among(rest) for _ in range(int(d.rng.integers(3))))]
    if d.chance(0.4):
        names.append(d.numbers(*v.shape))
    d.rng.shuffle(names)
    d.emit(f"Concat {' '.join(names)}", {"axis": axis - v.ndim * int(d.opset >= 11 and d.chance(0.3))})


def expand(d, a, v):
    if d.opset >= 8 and v.ndim < 5:
        shape = [3 if n == 1 else d.among([1, n]) for n in v.shape]
        d.emit(f"Expand {a} {d.ints(*([2] if d.chance(0.3) else []), *shape)}")


def tile(d, a, v):
    d.emit(f"Tile {a} {d.ints(*d.rng.integers(1, 3, v.ndim))}")


def where(d, a, v):
    if d.opset < 9:
        return
    mask = d.constant(d.rng.random(v.shape[int(d.rng.integers(v.ndim)) :]) < 0.5)
    other = d.numbers(*v.shape[-1:]) if d.chance(0.5) else d.among(d.others(lambda s: s == v.shape))
    d.emit(f"Where {mask} {' '.join([a, other][:: d.among([1, -1])])}")


def pad(d, a, v):
    mode = d.among(["constant", "edge", "reflect"] + ["wrap"] * (d.opset >= 19))
    limits = [{"reflect": n - 1, "wrap": n}.get(mode, 2) for n in v.shape]
    pads = [int(d.rng.integers(0, min(m, 2) + 1)) for m in limits * 2]
    if mode == "constant" and d.chance(0.3):
        pads = [-p for p in pads]
    fill = d.constant(np.array(0.5)) if mode == "constant" and d.chance(0.6) else ""
    new = (f"Pad {a} {d.ints(*pads)} {fill}".strip(), {"mode": mode})
    if d.opset < 11:
        d.emit(f"Pad {a}", {"mode": mode, "pads": pads} | ({"value": 0.5} if fill else {}), meant=new)
    elif d.opset >= 18 and d.chance(0.4):
        axes = d.rng.permutation(v.ndim)
        some = d.ints(*(pads[i + v.ndim * side] for side in range(2) for i in axes))
        said = [i - v.ndim if d.chance(0.3) else i for i in axes]
        d.emit(f"Pad {a} {some} {fill or '_'} {d.ints(*said)}", {"mode": mode}, meant=new)
    else:
        d.emit(*new)


def reduced(d, a, v):
    operator = d.among(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
    axes = sorted(set(d.rng.integers(0, v.ndim, 2).tolist()))
    if len(axes) == v.ndim or d.chance(0.1):
        axes = list(range(v.ndim))
    given = {"keepdims": int(d.chance(0.5))} if len(axes) < v.ndim else {}
    new = (f"{operator} {a} {d.ints(*axes)}", given)
    said = [i - v.ndim if d.opset >= 11 and d.chance(0.3) else i for i in axes]
    if d.chance(0.3) and len(axes) == v.ndim:
        d.emit(f"{operator} {a}", given)
    elif d.opset >= (13 if operator == "ReduceSum" else 18):
        d.emit(f"{operator} {a} {d.ints(*said)}", given, meant=new)
    else:
        d.emit(f"{operator} {a}", given | {"axes": said}, meant=new)


def top_k(d, a, v):
    axis = int(d.rng.integers(v.ndim))
    k = int(d.rng.integers(1, v.shape[axis] + 1))
    if v.shape[axis] > 5:
        return
    if d.opset < 10:
        d.emit(f"TopK {a}", {"axis": axis, "k": k}, meant=(f"TopK {a} {d.ints(k)}", {"axis": axis}), outputs=2)
    else:
        given = {"axis": axis} | ({"largest": int(d.chance(0.5))} if d.opset >= 11 else {})
        d.emit(f"TopK {a} {d.ints(k)}", given, outputs=2)


MOVING = [
    flatten, *[reshape] * 2, squeeze, unsqueeze, transpose, *[sliced] * 3, gather, split, *[concat] * 2, expand, tile,
    where, pad, *[reduced] * 3, top_k,
]
