"""Texts of VNN-LIB, and small networks and conditions for them."""

import numpy as np
from hypothesis import strategies as st

import hr2jax


def head(inputs, outputs):
    return "".join(f"(declare-const X_{i} Real)" for i in range(inputs)) + "".join(
        f"(declare-const Y_{i} Real)" for i in range(outputs)
    )


def box(low, high):
    return "".join(
        f"(assert (>= X_{i} {a!r}))(assert (<= X_{i} {b!r}))" for i, (a, b) in enumerate(zip(low, high, strict=True))
    )


WEIGHTS = st.integers(-3, 3).map(lambda k: k / 2)


@st.composite
def small_networks(draw, inputs=1):
    """Chains of up to two hidden layers, of half-integers: what is met is often met just so."""
    widths = [inputs, *draw(st.lists(st.integers(1, 3), min_size=1, max_size=2)), draw(st.integers(1, 2))]

    def array(*shape):
        count = int(np.prod(shape))
        return np.reshape(draw(st.lists(WEIGHTS, min_size=count, max_size=count)), shape)

    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    kind = draw(st.sampled_from(["relu", "relu", "abs", "leaky_relu"]))
    return hr2jax.Network([array(*shape) for shape in shapes], [array(shape[0]) for shape in shapes], activation=kind)


@st.composite
def conditions(draw, inputs, outputs, depth=2):
    word = draw(st.sampled_from(["<=", "<", ">=", ">", "<=", ">=", "==", "!="] + ["and", "or"] * 3 * (depth > 0)))
    if word in ("and", "or"):
        parts = draw(st.lists(conditions(inputs, outputs, depth - 1), min_size=1, max_size=3))
        return f"({word} {' '.join(parts)})"
    term = st.sampled_from([f"Y_{i}" for i in range(outputs)] * 3 + [f"X_{i}" for i in range(inputs)])
    number = st.sampled_from(["0", "1", "-1", "2", "-0.5", "0.1", "-3", "4"])
    sums = st.builds("(+ {} (* {} {}))".format, term, number, term)
    return f"({word} {draw(st.one_of(term, sums))} {draw(st.one_of(number, number, term, sums))})"
