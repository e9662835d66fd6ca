"""The tensored lifting by Newton's method: its rows are the certificate's, and what it separates is violated."""

import numpy as np
import pytest

from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.engines.product.copied_cuts import LEAST, CopiedCuts
from hr2jax.options import CUT_NAMES
from hr2jax.relaxation.copied_cuts import CUTS, EVENTS
from hr2jax.relaxation.copies import copied_families
from hr2jax.relaxation.families import preset
from hr2jax.relaxation.mixtures import MIXTURES, mixture_entries

from ...reference.copied_points import copied_point, extended, values_of
from ...relaxation.test_copies import posed


def prepared(p, q, where, relaxation="hr2+"):
    net, problem, fixed, lifting, rng = posed(p, q, where)
    families = [f for f in copied_families(lifting, preset(relaxation, lifting.one)).values() if len(f.used)]
    return net, problem, fixed, lifting, rng, CopiedCuts(lifting, families, CUT_NAMES)


def indefinite(lifting, rng):
    """Moments that no point has: of random signs, without what the families say."""
    V = rng.standard_normal((lifting.size, 4 * lifting.size))
    Y = V @ V.T / (4 * lifting.size)
    scale = np.sqrt(np.bincount(lifting.budget, np.diag(Y))[lifting.budget])
    return Y / np.outer(scale, scale)


CASES = [(2, 2, "ball"), ("inf", 1, "box"), (2, 1, "everywhere"), ("inf", 2, "ball xL")]


@pytest.mark.parametrize(("p", "q", "where"), CASES)
def test_its_rows_are_the_certificates(p, q, where):
    """Cuts as it finds them: violated by the moments, by what their values say, and at no point of the domain."""
    net, problem, fixed, lifting, rng, cuts = prepared(p, q, where)
    Y = indefinite(lifting, rng)
    assert cuts.renew(np.zeros(0, dtype=bool), Y) > 0
    rows = cuts.encoded()
    assert where == "everywhere" or EVENTS in rows
    E = lifting.extend(np.linalg.cholesky(Y))
    at = extended(lifting, [copied_point(net, problem, fixed, lifting, rng)[0] for _ in range(4)])
    for record, own in rows.items():
        for found in own[:8]:
            row = np.append(found[:-1], 1.0)
            terms = {**CUTS, MIXTURES: mixture_entries}[record](lifting, row[None])
            moment = 0.0
            for g, h, i, j, entries in terms:
                left, right = E[lifting.extended.slice(g)][i], E[lifting.extended.slice(h)][j]
                moment += float(entries.mid @ np.einsum("ij,ij->i", left, right))
            # factors are scaled while they are looked for, and mixtures' values are relative
            assert moment < (0.0 if record == MIXTURES else -0.2 * LEAST), record
            assert values_of(terms, lifting, at)[0].min() > -1e-12
    program = cuts.problem()
    weights = np.where(program.rows.equality, rng.standard_normal(len(program.rows.equality)),
                       rng.random(len(program.rows.equality)))  # fmt: skip
    x = np.concatenate([np.zeros(program.numbers), weights])
    wanted = lagrangian_matrix(lifting, program.multipliers(x)).middle() @ np.eye(lifting.size)
    np.testing.assert_allclose(program.matrix(weights), wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())


def test_its_steps_are_newtons():
    """What a step's matrix says of moments is how they change: the derivative of <A_r, S^-1>."""
    _, rng, cuts = prepared(2, 2, "ball")[3:]
    program = cuts.problem()
    state = program.begin()
    K = np.linalg.inv(state.S)
    Y, w, ones = K.copy(), np.zeros(program.count), np.ones(program.count)
    solve = program._schur(ones, w, Y, K)
    assert solve is not None
    dx = 1e-6 * rng.standard_normal(program.count)
    there = program.extend(np.linalg.inv(program.slack(state.x + dx)))
    change = program.moments(there) - program.moments(program.extend(K))
    moved = program.extend(-K @ program.slack(dx, of_constants=False) @ K)
    np.testing.assert_allclose(change, program.moments(moved), atol=1e-3 * np.abs(change).max())
    right = program.moments(moved)
    back = solve(right)
    again = program.moments(program.extend(K @ program.slack(back, of_constants=False) @ K))
    np.testing.assert_allclose(again, right, atol=1e-3 * np.abs(right).max())
