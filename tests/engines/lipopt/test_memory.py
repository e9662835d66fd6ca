"""Sizes of LipOpt's linear programs, counted without building them."""

import math

import numpy as np

from hr2jax import Network
from hr2jax.engines.lipopt.memory import krivine_size
from hr2jax.problem import checked_problem


def test_size_counts_the_published_program():
    """Dense: q C(n, 2) + C(n, 3) triples of 8 products each."""
    rng = np.random.default_rng(0)
    net = Network([rng.standard_normal((40, 20)), rng.standard_normal((1, 40))], [np.zeros(40), np.zeros(1)])
    size = krivine_size(net, checked_problem(net), 3)
    triples = 20 * math.comb(40, 2) + math.comb(40, 3)
    assert (size.products, size.nonzeros) == (8 * triples, 64 * triples)
    assert size.monomials == 1 + 60 + 20 * 40 + math.comb(40, 2) + triples
    assert size.bytes > 1e8
