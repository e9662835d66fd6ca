"""What the block form's engines need is foreseen from sizes: the form's own, counted, and what its solvers allocate."""

import numpy as np
import pytest
import scipy.sparse as sp

from hr2jax import Network
from hr2jax.engines.block.conic import svec_length
from hr2jax.engines.block.conic_dual import DualBatch
from hr2jax.engines.block.form import block_form
from hr2jax.engines.block.memory import (
    BlockSizes,
    block_sizes,
    bytes_needed,
    front_sides,
    interior_point_bytes,
    moment_pattern,
)
from hr2jax.engines.sizes import Sizes
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.presolve import presolve
from hr2jax.relaxation.table import RELAXATIONS


def case(relaxation, local, p, m):
    """A form and the sizes that foretell it."""
    rng = np.random.default_rng([p, m])
    net = Network([rng.standard_normal((m, p)), rng.standard_normal((1, m))], [0.1 * rng.standard_normal(m), [0.0]])
    problem = checked_problem(net, **({"center": np.zeros(p), "radius": 1.0} if local else {}))
    fixed = presolve(net, problem)
    return block_form(relaxation, lift(net, problem, fixed)), Sizes.of(problem, fixed)


def touched(form):
    """The pattern of M_1 that the objective and the cliques touch, from the form itself."""
    E = sp.csr_matrix(np.abs(form.extended()))
    a, b = np.concatenate([batch.shared.reshape(-1, 2) for batch in form.batches]).T
    pattern = sp.csr_matrix(np.abs(form.C)) + E[a].T @ E[b] + sp.eye(len(form.C))
    return sp.csr_matrix(pattern + pattern.T)


def counted(form):
    """`block_sizes` of a form that is there."""
    duals = [DualBatch.of(batch) for batch in form.batches]
    length = np.diff(sp.csr_matrix(form.extended()).indptr).astype(np.int64)
    a, b = np.concatenate([batch.shared.reshape(-1, 2) for batch in form.batches]).T
    sides = np.concatenate([np.repeat(dual.sides, len(dual.variables)) for dual in duals])
    return BlockSizes(
        shared=len(a),
        maps=np.nan,
        variables=form.pinned.sum() + sum(dual.count for dual in duals),
        squares=len(form.C) ** 2 + (sides**2).sum(),
        entries=(length[a] * length[b]).sum() + sum(np.count_nonzero(dual.variables) for dual in duals),
        svec_squares=(svec_length(sides).astype(float) ** 2).sum(),
    )


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("relaxation", ["shor", "hr2", "hr2z"])
@pytest.mark.parametrize(("p", "m"), [(12, 9), (9, 20)])
def test_sizes_are_those_of_the_block_form(relaxation, local, p, m):
    form, sizes = case(relaxation, local, p, m)
    assert form.lifting.size == sizes.N
    block, reference = block_sizes(RELAXATIONS[relaxation], sizes), counted(form)
    for name in ("shared", "variables", "squares", "svec_squares"):
        assert getattr(block, name) == getattr(reference, name)
    assert block.entries == pytest.approx(reference.entries, rel=0.1)
    for solver in ("clarabel", "cvxopt", "sdpa"):
        predicted = sum(bytes_needed(RELAXATIONS[relaxation], solver, sizes))
        needed = interior_point_bytes(solver, reference, front_sides(touched(form)))
        assert predicted == pytest.approx(needed, rel=0.1)


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("relaxation", ["shor", "hr2", "hr2z"])
def test_the_pattern_is_what_objective_and_cliques_touch(relaxation, local):
    form, sizes = case(relaxation, local, 5, 4)
    pattern = moment_pattern(RELAXATIONS[relaxation], sizes).toarray()
    assert not (touched(form).toarray().astype(bool) & ~pattern).any()
    assert pattern.sum() == pytest.approx((touched(form) != 0).sum(), rel=0.1)


def test_bytes_follow_what_the_solvers_allocate():
    form, sizes = case("hr2z", True, 8, 8)
    block = counted(form)
    need = {solver: sum(bytes_needed(RELAXATIONS["hr2z"], solver, sizes)) for solver in ("clarabel", "cvxopt", "sdpa")}
    # M_1 is dense here: Clarabel holds the square of its svec, CVXOPT its square times the variables
    assert need["clarabel"] > 16 * svec_length(sizes.N) ** 2
    assert need["cvxopt"] > 8 * sizes.N**2 * block.variables
    assert need["sdpa"] < need["cvxopt"]


def test_chordal_fronts():
    """A full matrix is one front; a band of 2 beside two full rows gives small ones that cover it."""
    assert front_sides(sp.csr_matrix(np.ones((7, 7)))) == [7]
    band = sp.diags([np.ones(100)] * 5, [-2, -1, 0, 1, 2], shape=(100, 100)).toarray()
    band[:2], band[:, :2] = 1.0, 1.0
    fronts = front_sides(sp.csr_matrix(band))
    assert max(fronts) <= 12
    assert sum(fronts) >= 100
    assert front_sides(sp.csr_matrix(np.eye(5))) == [1] * 5
