"""Local problems of all scales, and exact ranges."""

from fractions import Fraction

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from hr2jax.network import Network
from hr2jax.problem import Problem, checked_problem

NUMBERS = st.builds(
    lambda size, sign: sign * size,
    st.one_of(
        st.sampled_from([0.0, 0.0, 1.0, 0.5, 0.1, 1 / 3, 3.0, 2.0**-1074, 1e-300, 1e-160, 1e-9, 1e9, 1e160]),
        st.floats(0.0, 4.0),
    ),
    st.sampled_from([1.0, -1.0]),
)
TAME = st.builds(lambda k, e: k * 2.0**e, st.integers(-7, 7), st.integers(-2, 2))


@st.composite
def local_problems(draw, depth, numbers):
    """A network of `depth` hidden layers and one output, and a box around a point of its input space."""
    widths = [draw(st.integers(1, 4)) for _ in range(depth + 1)] + [1]

    def array(*shape):
        n = int(np.prod(shape))
        return np.reshape(draw(st.lists(numbers, min_size=n, max_size=n)), shape)

    pairs = list(zip(widths[1:], widths[:-1], strict=True))
    net = Network([array(m, n) for m, n in pairs], [array(m) for m, _ in pairs])
    radius = np.abs(array(widths[0]))
    assume((radius > 0).any())
    return net, checked_problem(net, norm="inf", center=array(widths[0]), radius=radius)


def exact_range(net: Network, problem: Problem) -> list[tuple[Fraction, Fraction]]:
    """The least and greatest first-layer pre-activations on the box."""
    c, r = ([Fraction(float(v)) for v in values] for values in (problem.domain.center, problem.domain.radius))
    ranges = []
    for row, shift in zip(net.weights[0], net.biases[0], strict=True):
        a = [Fraction(float(v)) for v in row]
        middle = Fraction(float(shift)) + sum(x * y for x, y in zip(a, c, strict=True))
        spread = sum(abs(x) * y for x, y in zip(a, r, strict=True))
        ranges.append((middle - spread, middle + spread))
    return ranges
