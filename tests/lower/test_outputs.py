"""The search for a witness of several outputs."""

import numpy as np
import pytest

import hr2jax
from hr2jax.lower.outputs import aligned

NORMS = ("inf", 2, 1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e150, 1e300])
def test_directions_at_extreme_scales_are_unit_vectors(scale):
    given = scale * np.array([3.0, -4.0, 0.0])
    assert np.allclose(aligned(given, 2), [0.6, -0.8, 0.0], atol=1e-3)
    assert np.allclose(aligned(given, 1), [0.0, -1.0, 0.0])
    assert np.allclose(aligned(given, "inf")[:2], [1.0, -1.0])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("output_norm", NORMS)
@pytest.mark.parametrize("norm", NORMS)
def test_an_extreme_scale_takes_nothing_from_the_witness(norm, output_norm):
    rng = np.random.default_rng(0)
    first, last = rng.standard_normal((6, 4)), rng.standard_normal((3, 6))
    biases = [rng.standard_normal(6), np.zeros(3)]
    asked = {"norm": norm, "output_norm": output_norm, "relaxation": "interval"}
    one = hr2jax.solve(hr2jax.Network([first, last], biases), **asked).lower
    for scale in (2.0**-700, 2.0**990):
        found = hr2jax.solve(hr2jax.Network([first, scale * last], biases), **asked).lower / scale
        assert found >= 0.9 * one
