"""Which floats are shorter than float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hr2jax
from hr2jax.io.halves import is_half


@pytest.mark.parametrize(
    "dtype, short",
    [("float64", False), ("torch.float64", False), (np.dtype("float64"), False), ("float32", False),
     ("torch.float16", True), ("bfloat16", True), ("float8_e4m3fn", True), ("torch.float4_e2m1fn_x2", True)],
)  # fmt: skip
def test_float64_is_no_float6(dtype, short):
    assert is_half(dtype) == short


def test_a_cast_of_float64_to_float16_is_refused(caplog):
    """float64 counted as short: its cast to float16 was read as none, and models in float64 were said to be rounded."""
    x = np.zeros(2)
    with jax.enable_x64(True):
        with pytest.raises(ValueError, match="rounds what the network computes to float16"):
            hr2jax.as_network(lambda x: jax.nn.relu(x).astype(jnp.float16).astype(x.dtype), example=x)
        net = hr2jax.as_network(lambda x: jax.nn.relu(x.astype(jnp.float32)).astype(jnp.float64), example=x)
    assert net.widths == (2, 2, 2) and not caplog.text
