"""Separation against enumeration of every triple and pattern; the pool; the penalty's written-out derivative."""

from itertools import combinations

import jax
import numpy as np
import pytest

from hr2jax.engines.product.lagrangian import _cut_penalty, cut_penalty, cut_values
from hr2jax.engines.product.program import Cuts
from hr2jax.engines.product.triangle_cuts import SMALLEST, Pool, Separator, kinds, padded_cuts
from hr2jax.options import CUT_NAMES as EVERY
from hr2jax.relaxation.triangles import EDGES, PATTERNS, encode

from ...reference.monitor import lifting_of

BOTH = pytest.mark.parametrize("local", [False, True], ids=["global", "local"])
LEAST = 0.01
MANY = 10**6
GROUPS = {"U": "v", "T": "t", "X0": "xi"}
CUTS = EVERY[: EVERY.index("triangles") + 1]  # the others are for several hidden layers


def padded_rows(lifting):
    """Places among padded rows, with gaps between the groups, as the engine has them."""
    return np.arange(lifting.size) + 3 * np.repeat(np.arange(len(lifting.sizes)), list(lifting.sizes.values()))


def gram(separator, size, rank, seed):
    """Unit rows, in float64 and as the separator has them: few columns, so that many triangles are violated."""
    V = np.random.default_rng([seed, rank]).standard_normal((size, rank))
    V /= np.linalg.norm(V, axis=1, keepdims=True)
    return V, separator.gram(V)


def enumerated(lifting, V, through_constant, group_pairs=None):
    """(positions, pattern) -> value of every triangle, by the definition: signs of three unit vectors."""
    kind = [group.kind for group, size in lifting.sizes.items() for _ in range(size)]
    out = {}
    for triple in combinations(range(lifting.size), 3):
        if (triple[0] == 0) != through_constant:
            continue
        if group_pairs is not None and frozenset((kind[triple[1]], kind[triple[2]])) not in group_pairs:
            continue
        for pattern in range(4):
            signed = encode(np.array([triple]), np.array([pattern]), np.ones(1))[0, :3]
            a, b, c = np.sign(signed)[:, None] * V[list(triple)]
            out[(*triple, pattern)] = 1 + a @ b + b @ c + c @ a
    return out


def found_in(found, rows):
    """The separator's answer as a dict, with positions in the basis; every cut at most once."""
    triples, pattern, values = found
    assert len(triples) == len(pattern) == len(values)
    assert (np.diff(triples, axis=1) > 0).all()
    position = {row: k for k, row in enumerate(rows.tolist())}
    out = {
        (*(position[i] for i in t), p): v
        for t, p, v in zip(triples.tolist(), pattern.tolist(), values.tolist(), strict=True)
    }
    assert len(out) == len(values)
    return out


def most_violated_pattern(values):
    """The least value of each triple."""
    best = {}
    for key, value in values.items():
        if value < values.get((*key[:3], best.get(key[:3], -1)), np.inf):
            best[key[:3]] = key[3]
    return {(*triple, pattern): values[(*triple, pattern)] for triple, pattern in best.items()}


def pairs_of(names):
    return {frozenset(GROUPS[part] for part in name.split(".")) for name in names if name in CUTS[:-1]}


# Separation ---------------------------------------------------------------------------------------------


def check_pairs(lifting, names, rank, seed):
    """Every violated pair of factors of those kinds is found, with its value, and nothing else is."""
    rows = padded_rows(lifting)
    separator = Separator(lifting, rows, names)
    V, Y = gram(separator, lifting.size, rank, seed)
    every = most_violated_pattern(enumerated(lifting, V, True, pairs_of(names)))
    expected = {key: value for key, value in every.items() if value < -LEAST}
    found = found_in(separator.pairs(Y, MANY, LEAST), rows)
    assert found.keys() == expected.keys()
    assert all(found[key] == pytest.approx(value, abs=1e-5) for key, value in expected.items())
    return len(expected)


@BOTH
@pytest.mark.parametrize("rank", [2, 3, 9])
def test_all_violated_pairs_of_factors_are_found_and_no_others(local, rank):
    assert sum(check_pairs(lifting_of(3, 4, local), CUTS, rank, seed) for seed in range(3)) > 10 * (4 - rank)


@BOTH
@pytest.mark.parametrize("name", EVERY)
def test_a_kind_alone_finds_its_own_kind(name, local):
    lifting = lifting_of(3, 4, local)
    count = check_pairs(lifting, (name,), 2, 0)
    exists = name in kinds(lifting)
    assert (count > 0) == exists == (name in CUTS[:-1] and (local or "X0" not in name))
    separator = Separator(lifting, padded_rows(lifting), (name,))
    others = separator.others(gram(separator, lifting.size, 2, 0)[1], MANY, LEAST)
    assert (len(others[0]) > 0) == (name == "triangles")


@BOTH
@pytest.mark.parametrize("name", CUTS[:-1])
def test_all_kinds_but_one_find_all_but_its_own(name, local):
    check_pairs(lifting_of(3, 4, local), tuple(other for other in CUTS if other != name), 2, 1)


@BOTH
@pytest.mark.parametrize("rank", [2, 3, 9])
def test_the_most_violated_triangles_are_found_and_none_that_is_not_violated(local, rank):
    """One at least for every entry Y_ij that has any: the most violated of those it belongs to."""
    lifting = lifting_of(3, 4, local)
    rows, most = padded_rows(lifting), 0.0
    separator = Separator(lifting, rows, CUTS)
    for seed in range(3):
        V, Y = gram(separator, lifting.size, rank, seed)
        values = enumerated(lifting, V, False)
        found = found_in(separator.others(Y, MANY, LEAST), rows)
        best = most_violated_pattern(values)
        for key, value in found.items():
            assert value == pytest.approx(values[key], abs=1e-5)
            assert value < -LEAST + 1e-5
            assert key in best
        for pair in combinations(range(1, lifting.size), 2):
            least = min(value for key, value in values.items() if set(pair) <= set(key[:3]))
            if least < -LEAST - 1e-5 and abs(V[pair[0]] @ V[pair[1]]) > (1 + LEAST) / 3 + 1e-5:
                own = [value for key, value in found.items() if set(pair) <= set(key[:3])]
                assert min(own) == pytest.approx(least, abs=1e-5)
        least = min(values.values())
        if least < -LEAST:
            assert min(found.values()) == pytest.approx(least, abs=1e-5)
        most = min(most, least)
    assert most < -LEAST


@BOTH
def test_a_limit_keeps_the_most_violated(local):
    lifting = lifting_of(3, 4, local)
    rows = padded_rows(lifting)
    separator = Separator(lifting, rows, CUTS)
    _, Y = gram(separator, lifting.size, 2, 4)
    for find in (separator.pairs, separator.others):
        every = sorted(find(Y, MANY, LEAST)[2])
        for limit in (1, 2, 5, len(every), len(every) + 1):
            some = sorted(find(Y, limit, LEAST)[2])
            assert len(some) <= limit
            assert some[0] == pytest.approx(every[0], abs=1e-6)
            if find == separator.pairs:
                np.testing.assert_allclose(some, every[:limit], atol=1e-6)


@BOTH
def test_what_is_violated_by_less_is_left_out(local):
    lifting = lifting_of(3, 4, local)
    separator = Separator(lifting, padded_rows(lifting), CUTS)
    _, Y = gram(separator, lifting.size, 2, 5)
    for find in (separator.pairs, separator.others):
        values = find(Y, MANY, 0.0)[2]
        for least in (0.05, 0.2, 0.4, 0.45):
            kept = find(Y, MANY, least)[2]
            assert (kept < -least).all()
            assert 0 < len(kept) <= np.count_nonzero(values < -least)
        assert len(kept) < len(values)
        assert len(find(Y, MANY, 0.51)[2]) == 0  # three unit vectors cannot: |a + b + c|^2 >= 0


@pytest.mark.parametrize("names", [CUTS, ("triangles",), ("T.U",), ("X0.X0",)])
@pytest.mark.parametrize(("p", "m"), [(1, 1), (1, 2), (2, 1)])
@BOTH
def test_the_smallest_networks(p, m, local, names):
    """One neuron and one input: one pair of factors, and no triangle that misses the constant, globally."""
    lifting = lifting_of(p, m, local)
    rows = padded_rows(lifting)
    check_pairs(lifting, names, 2, 0)
    separator = Separator(lifting, rows, names)
    V, Y = gram(separator, lifting.size, 2, 0)
    found = found_in(separator.others(Y, MANY, LEAST), rows)
    violated = {k for k, v in enumerated(lifting, V, False).items() if v < -LEAST} if "triangles" in names else set()
    assert found.keys() <= violated
    assert bool(found) == bool(violated)


def test_what_no_point_violates_is_never_found():
    """Y of one point of the cube's vertices: all triangles hold."""
    lifting = lifting_of(3, 4, local=True)
    separator = Separator(lifting, padded_rows(lifting), CUTS)
    rng = np.random.default_rng(0)
    for _ in range(5):
        Y = separator.gram(np.sign(rng.standard_normal((lifting.size, 1))))
        assert len(separator.pairs(Y, MANY, 0.0)[0]) == len(separator.others(Y, MANY, 0.0)[0]) == 0


@pytest.mark.parametrize("where", ["search", "device"])
def test_more_entries_than_one_chunk(where, monkeypatch):
    monkeypatch.setattr("hr2jax.engines.product.schedule.SMALL", 400 if where == "search" else 0)
    lifting = lifting_of(3, 4, local=True)
    separator = Separator(lifting, padded_rows(lifting), CUTS)
    _, Y = gram(separator, lifting.size, 2, 0)
    at_once = separator.others(Y, MANY, LEAST)
    monkeypatch.setattr(f"hr2jax.engines.product.triangle_{where}.EDGES_AT_ONCE", 7)
    assert len(at_once[0]) > 7
    for one, other in zip(at_once, separator.others(Y, MANY, LEAST), strict=True):
        np.testing.assert_array_equal(one, other)


# The pool -----------------------------------------------------------------------------------------------


def pool_of(count, size, seed=0):
    """Distinct cuts over `size` rows with multipliers, some 0."""
    rng = np.random.default_rng(seed)
    every = np.array([(*t, p) for t in combinations(range(size), 3) for p in range(4)])
    chosen = every[np.sort(rng.choice(len(every), count, replace=False))]
    weight = rng.exponential(size=count) * rng.choice([0.0, 1.0], count)
    return Pool(chosen[:, :3], chosen[:, 3], weight, rng.standard_normal(count))


def as_dict(pool):
    keys = map(tuple, np.column_stack([pool.triples, pool.pattern]).tolist())
    return dict(zip(keys, zip(pool.multipliers.tolist(), pool.values.tolist(), strict=True), strict=True))


def test_only_new_cuts_are_added_and_the_old_keep_what_they_have():
    pool, more = pool_of(20, 7), pool_of(30, 7, seed=1)
    before, offered = as_dict(pool), as_dict(more)
    new = offered.keys() - before.keys()
    assert 0 < len(new) < 30
    assert pool.add(more.triples, more.pattern, more.values, 7) == len(new)
    assert len(pool) == 20 + len(new)
    assert as_dict(pool) == before | {key: (0.0, offered[key][1]) for key in new}
    assert pool.add(more.triples, more.pattern, more.values, 7) == 0
    assert pool.add(*(getattr(Pool.empty(), name) for name in ("triples", "pattern", "values")), 7) == 0
    empty = Pool.empty()
    assert empty.add(more.triples, more.pattern, more.values, 7) == 30
    assert as_dict(empty).keys() == offered.keys()


def test_what_is_kept_stays_together():
    pool = pool_of(20, 7)
    before, which = as_dict(pool), pool.multipliers > 0
    pool.keep(which)
    assert as_dict(pool) == {key: value for key, value in before.items() if value[0] > 0}
    pool.keep(np.zeros(len(pool), dtype=bool))
    assert len(pool) == len(as_dict(pool)) == 0


@pytest.mark.parametrize(
    ("count", "padded"),
    [(0, 1), (1, 1), (SMALLEST, 1), (SMALLEST + 1, 2), (2 * SMALLEST, 2), (2 * SMALLEST + 1, 4)],
)
def test_pools_are_padded_to_doublings(count, padded):
    pool = Pool(np.zeros((count, 3), np.int64), np.zeros(count, np.int64), np.zeros(count), np.zeros(count))
    cuts, multipliers = padded_cuts(*pool.arrays(5))
    assert cuts.place.shape == cuts.coefficient.shape == (3, padded * SMALLEST)
    assert cuts.constant.shape == multipliers.shape == (padded * SMALLEST,)


def test_arrays_are_the_cuts_and_padding_has_value_one_and_no_effect():
    size, pool = 9, pool_of(50, 9)
    V = np.random.default_rng(2).standard_normal((size, 4))
    with jax.enable_x64(True):
        cuts, multipliers = padded_cuts(*pool.arrays(size))
        [values] = jax.jit(cut_values)(V, (cuts,))
        values = np.asarray(values)
        exact = Cuts(cuts.place[:, :50], cuts.coefficient[:, :50], cuts.constant[:50])
        both = [
            jax.jit(jax.value_and_grad(cut_penalty))(V, (c,), [m], 0.3)
            for c, m in ((cuts, multipliers), (exact, multipliers[:50]))
        ]
    Y = V @ V.T
    for value, triple, pattern in zip(values, pool.triples, pool.pattern, strict=False):
        entries = [Y[triple[a], triple[b]] for a, b in EDGES]
        assert value == pytest.approx(1 + PATTERNS[pattern] @ entries, rel=1e-12)
    np.testing.assert_array_equal(values[50:], 1.0)
    assert float(both[0][0]) == pytest.approx(float(both[1][0]), rel=1e-14)
    np.testing.assert_allclose(both[0][1], both[1][1], rtol=1e-13, atol=1e-13)


@BOTH
def test_a_certificates_rows_come_back(local):
    """Through the engine's padded places and units, in both directions; without multiplier nothing is said."""
    lifting = lifting_of(3, 4, local)
    place, scale = padded_rows(lifting), 0.37
    position = np.full(place.max() + 1, -1)
    position[place] = np.arange(lifting.size)
    pool = pool_of(40, lifting.size)
    pool.triples = place[pool.triples]
    rows = pool.encoded(position, scale)
    assert rows.shape == (np.count_nonzero(pool.multipliers), 4)
    back = Pool.decoded(rows, place, scale)
    used = pool.multipliers > 0
    np.testing.assert_array_equal(back.triples, pool.triples[used])
    np.testing.assert_array_equal(back.pattern, pool.pattern[used])
    np.testing.assert_allclose(back.multipliers, pool.multipliers[used], rtol=1e-15)
    np.testing.assert_allclose(back.encoded(position, scale), rows, rtol=1e-15)
    negated = rows * [-1, -1, -1, 1]  # the same triangles
    np.testing.assert_array_equal(Pool.decoded(negated, place, scale).pattern, pool.pattern[used])


# The penalty --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.01, 0.3, 20.0])
def test_the_penaltys_derivative_is_that_of_its_formula(sigma):
    """Against JAX's own derivative and central differences, in float64; with several cuts on one entry."""
    rng = np.random.default_rng(3)
    size, pool = 7, pool_of(60, 7)
    pool.triples[:3] = [[1, 1, 2], [0, 3, 3], [5, 5, 5]]  # an adversary's warm start: still a smooth function
    V, direction = rng.standard_normal((2, size, 3))
    with jax.enable_x64(True):
        cuts, multipliers = pool.arrays(size)

        def plain(W):
            return _cut_penalty(W, (cuts,), [multipliers], sigma)[0]

        @jax.jit
        def written(W):
            return cut_penalty(W, (cuts,), [multipliers], sigma)

        value, gradient = jax.jit(jax.value_and_grad(written))(V)
        expected_value, expected = jax.jit(jax.value_and_grad(plain))(V)
        step = 1e-6
        slope = float(written(V + step * direction)) - float(written(V - step * direction))
        doubled = jax.jit(jax.grad(lambda W: 2.0 * written(W)))(V)
    assert float(value) == float(expected_value) > 0
    np.testing.assert_allclose(gradient, expected, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(doubled, 2.0 * np.asarray(gradient), rtol=1e-14)
    assert float((np.asarray(gradient) * direction).sum()) == pytest.approx(slope / (2 * step), rel=1e-6)
    weights = np.maximum(pool.multipliers - sigma * (1 + sum(
        PATTERNS[pool.pattern][:, e] * (V @ V.T)[pool.triples[:, a], pool.triples[:, b]]
        for e, (a, b) in enumerate(EDGES)
    )), 0)  # fmt: skip
    assert float(value) == pytest.approx((weights**2).sum() / (2 * sigma), rel=1e-12)
