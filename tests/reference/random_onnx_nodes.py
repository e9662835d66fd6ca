"""Kinds of nodes for random graphs (random_onnx.py): each is given the graph, a tensor's name and its value.

A kind that does not fit the tensor or the operator set adds nothing.
"""

import numpy as np

from tests.reference.onnx_graphs import KIND
from tests.reference.random_onnx_moving import MOVING
from tests.reference.random_onnx_windows import WINDOWED

# Entry by entry

SMOOTH = {"Tanh": 6, "Softplus": 6, "Softsign": 6, "Elu": 6, "Selu": 6, "Celu": 12, "Erf": 9, "Atan": 7, "Mish": 18,
          "HardSwish": 14, "Gelu": 20}  # and the set from which on there is one


def unary(d, a, v):
    d.emit(f"{d.among(['Relu', 'Relu', 'Abs', 'Neg', 'Identity'])} {a}")


def leaky(d, a, v):
    d.emit(f"LeakyRelu {a}", {"alpha": float(d.among([0.25, 0.1, -0.5, 2.0, 0.0]))} if d.chance(0.8) else {})


def prelu(d, a, v):
    shape = d.among([v.shape[-1:], (1,), v.shape, (v.shape[1], *[1] * (v.ndim - 2)) if v.ndim > 1 else (1,)])
    if d.opset >= 7:
        d.emit(f"PRelu {a} {d.numbers(*shape)}")
    elif v.ndim > 1:  # a slope a channel
        slopes = d.rng.standard_normal(v.shape[1])
        d.emit(f"PRelu {a} {d.constant(slopes)}",
               meant=(f"PRelu {a} {d.constant(slopes.reshape(-1, *[1] * (v.ndim - 2)))}", {}))  # fmt: skip


def clip(d, a, v):
    low, high = np.float32(-0.4), np.float32(0.7)
    keep = d.rng.integers(3)
    ends = ["_" if keep == 0 else d.constant(low.astype("f8")), "" if keep == 1 else d.constant(high.astype("f8"))]
    new = (f"Clip {a} {ends[0]} {ends[1]}".strip(), {})
    if d.opset >= 11:
        d.emit(*new)
    else:
        given = {"min": float(low)} if keep else {}
        d.emit(f"Clip {a}", given | ({"max": float(high)} if keep != 1 else {}), meant=new)


def hard_sigmoid(d, a, v):
    d.emit(f"HardSigmoid {a}", {"alpha": 0.3, "beta": 0.6} if d.chance(0.5) else {})


def smooth(d, a, v):
    name = d.among([k for k, since in SMOOTH.items() if since <= d.opset])
    given = {"Elu": {"alpha": 1.5}, "Celu": {"alpha": 0.75}, "Selu": {"alpha": 1.25, "gamma": 0.5},
             "Gelu": {"approximate": "tanh"}}.get(name, {})  # fmt: skip
    d.emit(f"{name} {a}", given if d.chance(0.5) else {})


def sigmoid(d, a, v):
    d.inner.add(inner := d.emit(f"Sigmoid {a}"))  # at the end it would be no layer
    d.emit(f"Relu {inner}")


def written_out(d, a, v):
    """SiLU, GELU and softsign as exporters write them, or nearly so: then they may be refused."""
    if d.opset < 9:
        return
    other = a if d.chance(0.6) else d.among(d.others(lambda s: s == v.shape))
    d.is_strange |= other != a
    kind = d.rng.integers(3)
    if kind == 0:
        d.inner.add(inner := d.emit(f"Sigmoid {other}"))
        d.emit(f"Mul {a} {inner}")
    elif kind == 1:
        one = d.constant(np.array(1.0 if d.chance(0.7) else 1.5))
        d.is_strange |= d.constants[one] != 1.0
        d.emit(f"Div {a} {d.emit('Add ' + ' '.join([d.emit(f'Abs {other}'), one]))}")
    else:
        inner = d.emit(f"Erf {d.emit(f'Div {other} {d.constant(np.sqrt(2.0))}')}")
        half = d.emit(f"Mul {a} {d.constant(np.array(0.5))}")
        d.emit(f"Mul {half} {d.emit(f'Add {inner} {d.constant(np.array(1.0))}')}")


def with_constant(d, a, v):
    shape = tuple(n if d.chance(0.7) else 1 for n in v.shape)[d.rng.integers(v.ndim + 1) :]
    if d.chance(0.15):
        shape = (2, *[1] * (v.ndim - len(shape)), *shape)[-min(v.ndim + 1, 6) :]
    operator = d.among(["Add", "Sub", "Mul", "Max", "Min"])
    if d.opset >= 8 or (d.opset == 7 and operator in ("Add", "Sub", "Mul")):
        pair = [a, d.numbers(*shape)]
        d.emit(f"{operator} {' '.join(pair[:: d.among([1, -1])])}")
    elif operator in ("Max", "Min") or d.chance(0.3):
        d.emit(f"{operator} {' '.join([a, d.numbers(*v.shape)][:: d.among([1, -1])])}")
    else:
        fitted(d, a, v, operator, None)


def fitted(d, a, v, operator, values):
    """Before set 7: a constant whose dimensions are some of the tensor's, one after another."""
    first = int(d.rng.integers(v.ndim))
    last = int(d.rng.integers(first, v.ndim)) + 1
    constant = d.numbers(*v.shape[first:last]) if values is None else d.constant(
        d.rng.choice(values, size=v.shape[first:last])
    )
    wide = d.constants[constant].reshape(*v.shape[first:last], *[1] * (v.ndim - last))
    given = {"broadcast": 1} | ({} if last == v.ndim else {"axis": first})
    d.emit(f"{operator} {a} {constant}", given, meant=(f"{operator} {a} {d.constant(wide)}", {}))


def divided(d, a, v):
    values = [3.0, 0.7, -2.0]
    if d.opset < 7:
        return fitted(d, a, v, "Div", values)
    shape = tuple(n if d.chance(0.7) else 1 for n in v.shape)[d.rng.integers(v.ndim + 1) :]
    d.emit(f"Div {a} {d.constant(d.rng.choice(values, size=shape))}")


def joined(d, a, v):
    """Sums and maxima of two tensors, whose shapes broadcast from set 7 or 8 on."""

    def fits(shape):
        try:
            return d.opset >= 8 and np.broadcast_shapes(shape, v.shape) is not None
        except ValueError:
            return False

    other = d.among(d.others(lambda s: s == v.shape or fits(s)))
    d.emit(f"{d.among(['Add', 'Sub', 'Max', 'Min'])} {' '.join([a, other][:: d.among([1, -1])])}")


def several(d, a, v):
    same = d.others(lambda s: s == v.shape)
    names = [a, *(d.among(same) for _ in range(int(d.rng.integers(4))))]
    if d.opset >= 8 and d.chance(0.3):
        names.append(d.numbers(*v.shape[-1:]))
    d.emit(f"{d.among(['Sum', 'Mean', 'Max', 'Min'])} {' '.join(names)}")


def residual(d, a, v):
    """x + M relu(N x), and a norm between."""
    if d.opset < 7:
        return
    n, m = v.shape[-1], int(d.rng.integers(1, 5))
    inner = d.emit(f"Relu {d.emit(f'MatMul {a} {d.numbers(n, m)}')}")
    d.emit(f"Add {' '.join([a, d.emit(f'MatMul {inner} {d.numbers(m, n)}')][:: d.among([1, -1])])}")


# Matrices


def matmul(d, a, v):
    n = int(d.rng.integers(1, 6))
    if d.chance(0.3) and v.ndim > 1:
        rows = () if d.chance(0.2) else (n,)
        stack = v.shape[:-2] if rows and d.chance(0.4) else ()
        d.emit(f"MatMul {d.numbers(*stack, *rows, v.shape[-2])} {a}")
        return
    columns = () if d.chance(0.15) and v.ndim > 1 else (n,)
    stack = (2,) if columns and v.ndim < 3 and d.chance(0.1) else v.shape[:-2] if columns and d.chance(0.3) else ()
    d.emit(f"MatMul {a} {d.numbers(*stack, v.shape[-1], *columns)}")


def gemm(d, a, v):
    if v.ndim != 2:
        return
    first, second = (int(d.chance(0.5)) for _ in range(2))
    n, given = int(d.rng.integers(1, 6)), {}
    if d.chance(0.25):  # the constant on the left
        inner, columns = v.shape if not second else v.shape[::-1]
        matrix = d.numbers(*((inner, n) if first else (n, inner)))
        pair, rows = [matrix, a], n
    else:
        rows, inner = v.shape if not first else v.shape[::-1]
        if rows == d.shape[0] > 1 and len(d.shape) > 1:
            return  # it says that it takes a batch
        matrix, columns = d.numbers(*((n, inner) if second else (inner, n))), n
        pair = [a, matrix]
    given = {"transA": first, "transB": second} | ({"alpha": 0.5} if d.chance(0.5) else {})
    given |= {"beta": 1.5} if d.chance(0.5) else {}
    shapes = [(rows, columns), (columns,), (1, columns), (rows, 1), (1,), ()]
    computed = [name for name in d.values if d.values[name].shape == (rows, columns)]
    if computed and d.chance(0.3):
        third = d.among(computed)
    elif d.opset >= 11 and d.chance(0.2):
        third = ""
    else:
        shape = d.among(shapes if d.opset >= 7 else shapes[:2])
        third = d.numbers(*shape)
    old = {"broadcast": 1} if d.opset < 7 else {}
    line = f"Gemm {' '.join(pair)} {third}".strip()
    if third in d.values or not third:
        return d.emit(line, given | old, meant=(line, given))
    wide = d.constant(np.array(np.broadcast_to(d.constants[third], (rows, columns))))
    d.emit(line, given | old, meant=(f"Gemm {' '.join(pair)} {wide}", given))


def norm(d, a, v):
    if v.ndim < 2:
        return
    parts = [d.numbers(v.shape[1]) for _ in range(3)] + [d.constant(d.rng.random(v.shape[1]) + 0.1)]
    given = {"epsilon": 0.01} if d.chance(0.5) else {}
    line = f"BatchNormalization {a} {' '.join(parts)}"
    d.emit(line, given | ({"is_test": 1} if d.opset < 7 else {}), meant=(line, given))


# Left as they are


def dropout(d, a, v):
    if d.opset < 12:
        d.emit(f"Dropout {a}", {"ratio": 0.3} | ({"is_test": 1} if d.opset < 7 else {}), meant=(f"Identity {a}", {}))
    else:
        parts = ["", d.constant(np.array(0.5)), f"{d.constant(np.array(0.5))} {d.constant(np.array(False))}"]
        d.emit(f"Dropout {a} {d.among(parts)}".strip(), meant=(f"Identity {a}", {}))


def cast(d, a, v):
    d.emit(f"Cast {a}", {"to": KIND}, meant=(f"Identity {a}", {}))


def strange(d, a, v):
    """What is no network: it must be refused, or right."""
    d.is_strange = True
    same = d.among(d.others(lambda s: s == v.shape))
    words = ["Softmax", "Exp", "Sigmoid", "Sign", "Floor", "ReduceL2" if d.opset < 18 else "Ceil"]
    d.emit(d.among([f"Mul {a} {same}", f"Div {a} {same}", f"Tanh {d.numbers(2, 3)}", *(f"{w} {a}" for w in words)]))


KINDS = [
    *[unary] * 3, leaky, prelu, clip, hard_sigmoid, *[smooth] * 2, sigmoid, written_out, *[with_constant] * 4, divided,
    *[joined] * 2, several, residual, *[matmul] * 2, *[gemm] * 5, norm, dropout, cast, strange, *MOVING, *WINDOWED * 2,
]
