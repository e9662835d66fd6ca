"""The projections: products against eigh, on every kind of spectrum that might break them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax.engines.block.projection import (
    ACCURACY,
    ALIGNED,
    GPU_PRODUCTS,
    MARGIN,
    _of_halves,
    best_quintic,
    choose_projection,
    in_float32,
    psd_part,
    sign_polynomials,
)
from tests.reference.effort import examples

pytestmark = pytest.mark.usefixtures("compiled_quickly")

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
ROUNDING = {np.float32: 2e-5, np.float64: 1e-12}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def matrix(values, dtype, seed=0):
    """A symmetric matrix with these eigenvalues, or a batch of them; its exact PSD part, and the largest |value|."""
    values = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((*values.shape, values.shape[-1])))[0]
    A = (Q * values[..., None, :]) @ np.swapaxes(Q, -1, -2)
    part = (Q * np.maximum(values, 0)[..., None, :]) @ np.swapaxes(Q, -1, -2)
    return ((A + np.swapaxes(A, -1, -2)) / 2).astype(dtype), part, np.abs(values).max()


N = 12
RNG = np.random.default_rng(1)
SPECTRA = {
    "random": RNG.standard_normal(N),
    "low rank": np.r_[3.0, -2.0, 1.0, np.zeros(N - 3)],
    "identity": np.ones(N),
    "plus minus one": np.r_[np.ones(N // 2), -np.ones(N // 2)],
    "one of many": np.r_[1.0, np.zeros(N - 1)],
    "negative definite": -1.0 - RNG.random(N),
    "one negative": np.r_[-1.0, np.ones(N - 1)],
    "zero": np.zeros(N),
}


@DTYPES
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("method", ["eigh", "products"])
def test_the_psd_part_of_every_spectrum(method, scale, dtype):
    """One call for all of them: a batch."""
    A, part, _ = matrix(np.array(list(SPECTRA.values())), dtype)
    found = np.asarray(psd_part((scale * A).astype(dtype), method))
    assert found.dtype == dtype
    np.testing.assert_allclose(found / scale, part, atol=5 * ROUNDING[dtype])


@DTYPES
def test_eigenvalues_near_zero_are_off_by_little(dtype):
    """Below l of the norm; above it, everything is exact to rounding."""
    smallest = ACCURACY[np.dtype(dtype)][0]
    values = np.geomspace(1e-9, 1.0, N) * np.where(np.arange(N) % 2, 1.0, -1.0)
    A, part, _ = matrix(values, dtype)
    found = np.asarray(psd_part(A, "products"), dtype=np.float64)
    loose = N ** (1 / 8) * MARGIN * smallest  # the norm's estimate
    assert np.linalg.norm(found - part, 2) <= 0.5 * loose + ROUNDING[dtype]
    assert np.linalg.eigvalsh(found)[0] >= -0.5 * loose - ROUNDING[dtype]


@DTYPES
@settings(deadline=None, max_examples=examples(60))
@given(
    values=st.lists(st.integers(-999, 999), min_size=5, max_size=5),
    exponents=st.lists(st.integers(-20, 0), min_size=5, max_size=5),
    unit=st.integers(-90, 90),
)
def test_no_spectrum_overflows(dtype, values, exponents, unit):
    spectrum = np.ldexp(np.array(values) / 999.0, np.array(exponents) + unit)
    A, part, norm = matrix(spectrum, dtype)
    with jax.enable_x64(True):
        found = np.asarray(psd_part(A, "products"), dtype=np.float64)
    assert np.isfinite(found).all()
    assert np.abs(found - part).max() <= (ACCURACY[np.dtype(dtype)][0] + ROUNDING[dtype]) * norm


@DTYPES
def test_one_by_one_is_a_maximum(dtype):
    A = np.array([[[2.0]], [[-3.0]], [[0.0]]], dtype=dtype)
    for method in ("eigh", "products"):
        np.testing.assert_array_equal(psd_part(A, method), np.maximum(A, 0))


def test_a_random_matrix_of_some_size():
    A = np.random.default_rng(2).standard_normal((150, 150))
    A = A + A.T
    np.testing.assert_allclose(psd_part(A, "products"), psd_part(A, "eigh"), atol=1e-10)


def test_what_is_not_finite_stays_so():
    """The engine sees it and stops; nothing is hidden."""
    for bad in (np.nan, np.inf):
        A = np.eye(3)
        A[0, 0] = bad
        assert not np.isfinite(np.asarray(psd_part(jnp.asarray(A), "products"))).all()


# The polynomials ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("l", [1e-5, 1e-3, 0.1, 0.4, 0.8])
@pytest.mark.parametrize("u", [1.0, 1.9])
def test_the_quintic_is_the_best_one(l, u):
    """Four alternating extremes (Chebyshev), found on a grid; no other odd quintic can do better."""
    a, b, c = best_quintic(l, u)
    x = np.linspace(l, u, 20001)
    error = 1 - x * (a + x**2 * (b + c * x**2))
    level = np.abs(error).max()
    changes = error[np.abs(error) >= level * (1 - 1e-6)]
    assert np.count_nonzero(np.diff(np.sign(changes))) == 3
    for direction in np.random.default_rng(0).standard_normal((50, 3)):
        other = error - 1e-3 * level * (direction[0] * x + direction[1] * x**3 + direction[2] * x**5)
        assert np.abs(other).max() >= level * (1 - 1e-9)


@pytest.mark.parametrize("smallest", [1e-7, 1e-5, 1e-3, 1e-2])
@pytest.mark.parametrize("error", [1e-13, 1e-6])
def test_the_composition_is_one_and_never_leaves_its_interval(smallest, error):
    polynomials = sign_polynomials(smallest, error)
    x = y = np.concatenate([np.linspace(0, 1, 10001), np.geomspace(smallest * 1e-6, 1, 10001)])
    for a, b, c in polynomials:
        y = y * (a + y**2 * (b + c * y**2))
        assert (y >= 0).all()
        assert (y <= 2.0).all()
    assert np.abs(y[x >= smallest] - 1).max() <= error + 1e-15
    assert (y <= 1 + error + 1e-15).all()


def test_an_error_of_one_percent_on_the_way_is_forgiven():
    """What MARGIN is for: rounding may push any intermediate value out of its interval."""
    rng = np.random.default_rng(0)
    y = np.geomspace(1e-3, 1, 1000)
    polynomials = sign_polynomials(1e-3, 1e-6)
    for a, b, c in polynomials[:-1]:
        y = y * (a + y**2 * (b + c * y**2)) * rng.uniform(1 / MARGIN, MARGIN, y.shape) ** 0.99
    a, b, c = polynomials[-1]
    y = y * (a + y**2 * (b + c * y**2))
    assert np.abs(y - 1).max() < 1e-4


def test_the_number_of_products():
    assert {dtype.name: 3 * len(sign_polynomials(*args)) + 1 for dtype, args in ACCURACY.items()} == {
        "float32": 22,
        "float64": 34,
    }


def test_the_choice():
    assert choose_projection(10_000, "cpu") == "eigh"
    assert choose_projection(GPU_PRODUCTS, "gpu") == "products"
    assert choose_projection(GPU_PRODUCTS - 1, "gpu") == "eigh"


def test_halves_are_for_float32_on_a_gpu_that_has_them():
    class Device:
        def __init__(self, platform, compute_capability):
            self.platform, self.compute_capability = platform, compute_capability

    for device, expected in (
        (Device("gpu", "9.0"), "halves"), (Device("gpu", "7.0"), "halves"), (Device("gpu", "6.1"), "products"),
        (Device("gpu", "gfx90a"), "products"), (Device("gpu", None), "products"), (Device("cpu", None), "products"),
        (jax.devices("cpu")[0], "products"),
    ):  # fmt: skip
        assert in_float32("products", device) == expected
        assert in_float32("eigh", device) == "eigh"


def test_the_products_of_halves_are_of_float16_and_the_others_are_not():
    """Lowered for a device that need not be there."""

    def program(dtype, method):
        A = jnp.zeros((8, 8), dtype)
        return jax.jit(lambda A: psd_part(A, method)).trace(A).lower(lowering_platforms=("cuda",)).as_text()

    products = [line for line in program(np.float32, "halves").splitlines() if "dot_general" in line]
    assert len(products) == 22
    assert all("(tensor<8x24xf16>, tensor<24x8xf16>) -> tensor<8x8xf32>" in line for line in products)
    assert "f16" not in program(np.float32, "products")
    assert "f16" not in program(np.float64, "products")


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_halves_project_as_well_as_float32(scale):
    A, part, _ = matrix(np.array(list(SPECTRA.values())), np.float32)
    found = np.asarray(psd_part((scale * A).astype(np.float32), "halves"))
    np.testing.assert_allclose(found / scale, part, rtol=0, atol=5 * ROUNDING[np.float32])


def test_a_product_of_halves_is_one_of_22_bits():
    rng = np.random.default_rng(3)
    normal, uniform = rng.standard_normal((2, 70, 70)), rng.uniform(-10, 10, (2, 70, 70))
    for A, B in (normal, uniform, rng.standard_normal((2, 3, 5, 5))):
        exact = A.astype(np.float32).astype(float) @ B.astype(np.float32).astype(float)
        found = np.asarray(jax.jit(_of_halves)(A.astype(np.float32), B.astype(np.float32)))
        assert found.dtype == np.float32
        off = np.abs(found - exact).max() / (np.linalg.norm(A, axis=-1).max() * np.linalg.norm(B, axis=-2).max())
        assert off < 2**-20
        small = np.float32(1e-4)  # a large unit matrix has entries as small: their lesser halves must not vanish
        found = np.asarray(jax.jit(_of_halves)((small * A).astype(np.float32), B.astype(np.float32))) / small
        off = np.abs(found - exact).max() / (np.linalg.norm(A, axis=-1).max() * np.linalg.norm(B, axis=-2).max())
        assert off < 2**-16


def test_the_polynomials_keep_below_what_halves_hold():
    y = np.linspace(0, 1, 10001)
    for a, b, c in sign_polynomials(*ACCURACY[np.dtype(np.float32)]):
        factor = a + y**2 * (b + c * y**2)
        assert np.abs(factor).max() < 10
        y = y * factor
        assert np.abs(y).max() < 10


@pytest.mark.parametrize(
    ("method", "dtype"), [("products", np.float32), ("products", np.float64), ("halves", np.float32)]
)
def test_sides_are_filled_up_and_cut_again(method, dtype):
    rng = np.random.default_rng(4)
    for size in (127, 129, 301):
        A, part, norm = matrix(np.r_[-rng.random(size - 9) - 0.1, 3 * rng.random(9) + 0.1], dtype, seed=size)
        found = np.asarray(psd_part(A, method))
        assert found.shape == A.shape
        np.testing.assert_allclose(found, part, rtol=0, atol=20 * ROUNDING[dtype] * norm)
        lowered = jax.jit(lambda A: psd_part(A, method)).lower(A).as_text()
        side = size if size < 2 * ALIGNED else -(-size // ALIGNED) * ALIGNED
        results = [line.rsplit("-> ", 1)[1] for line in lowered.splitlines() if "dot_general" in line]
        assert results
        assert all(result.startswith(f"tensor<{side}x{side}xf") for result in results)
