"""A small classifier."""

import numpy as np

import hr2jax


def network(seed=0, p=2, m=4, outputs=3):
    rng = np.random.default_rng(seed)
    return hr2jax.Network(
        [rng.standard_normal((m, p)), rng.standard_normal((outputs, m))],
        [0.3 * rng.standard_normal(m), 0.1 * rng.standard_normal(outputs)],
    )
