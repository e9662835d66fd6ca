"""Mixtures: they hold at feasible points for all scales, exactly, and nothing else is taken for one."""

import dataclasses
import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import Certificate, CertificateError, Network
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.certificate.names import named, numbered
from hr2jax.engines.product.mixture_cuts import MaskRows, mixture_forms, worst_mixtures
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.mixtures import MIXTURES, MixtureTable, mixture_entries
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from tests.reference.copied_points import copied_point, extended, values_of
from tests.reference.effort import FULL, examples
from tests.reference.lifted_cases import lifted_cases
from tests.reference.lifted_points import form_values, lifted_point, sum_of_terms
from tests.test_outputs import formal_constant, random_network

from .test_copies import CASES, posed
from .test_squares import check_points_of_several_outputs


def random_rows(lifting, rng, count):
    """(count, 3 + 4 r) of random neurons, one twice among them, and scales, some of them 0, huge or tiny."""
    table = MixtureTable(lifting)
    numbers = rng.integers(0, table.count, (count, 2))
    shape = (count, 2, 2, len(table.columns))
    scales = rng.standard_normal(shape) * rng.choice([0.0, 1.0, 1.0, 1e-9, 1e6], shape)
    scales = scales * table.has()[numbers][:, :, None]
    weights = rng.choice([0.0, 0.1, 1.0, -2.0, 3e-7], count) * rng.random(count)
    return np.column_stack([numbers, scales.reshape(count, -1), weights])


def mixture(table, before, behind, row):
    """(A - B)^2 + 4 (alpha.m_1) (beta.m_2) of a row, by values of forms {(layer, column): entries}, exactly."""
    scales, sides, on = row[2:-1].reshape(2, 2, -1), [], []
    for which in (0, 1):
        number = int(row[which])
        block = int(np.searchsorted(table.starts, number, side="right")) - 1
        layer, place = table.layers[block], number - table.starts[block]
        own = [
            (Fraction(a), Fraction(b), behind[layer, column][place], before[layer, column][place])
            for a, b, column in zip(*scales[which], table.columns, strict=True) if (layer, column) in table.forms
        ]  # fmt: skip
        on.append(sum((a * m for a, _, m, _ in own), Fraction(0)))
        sides.append(on[-1] + sum((b * (whole - m) for _, b, m, whole in own), Fraction(0)))
    return (sides[0] - sides[1]) ** 2 + 4 * on[0] * on[1]


@settings(max_examples=examples(100), deadline=None)
@given(lifted_cases(), st.sampled_from([Enclosure, Arb]), st.integers(1, 12))
def test_the_quadratic_form_encloses_the_mixtures(case, kind, count):
    """Every one is nonnegative at a feasible point, and their sum is what the form's entries say, exactly."""
    net, problem, fixed, lifting, rng = case
    table = MixtureTable(lifting)
    if not table.count:
        return
    rows = random_rows(lifting, rng, count)
    terms = mixture_entries(lifting, rows, kind)
    for _ in range(3):
        point = lifted_point(net, problem, fixed, rng)
        before, behind = ({key: form_values(forms[k], point.y) for key, forms in table.forms.items() if forms[k].rows}
                          for k in (0, 1))  # fmt: skip
        wanted = size = Fraction(0)
        for row in rows:
            value, weight = mixture(table, before, behind, row), Fraction(max(row[-1], 0.0))
            assert value >= 0
            wanted += weight * value
            size += weight * sum(Fraction(scale) ** 2 for scale in row[2:-1])
        middle, spread = sum_of_terms(terms, point)
        assert abs(middle - wanted) <= spread
        assert spread <= Fraction(1e-11) * size * 64 + Fraction(1e-280)  # underflow


@settings(max_examples=examples(60), deadline=None)
@given(lifted_cases(), st.integers(1, 12))
def test_names_say_the_same(case, count):
    net, _, _, lifting, rng = case
    if MixtureTable(lifting).count:
        rows = random_rows(lifting, rng, count)
        entries = named(lifting, {MIXTURES: rows}, net.widths[0])
        np.testing.assert_array_equal(numbered(lifting, entries, net.widths)[MIXTURES], rows)


@pytest.mark.parametrize(("p", "q", "where"), CASES)
def test_they_hold_at_points_of_the_tensored_lifting(p, q, where):
    net, problem, fixed, lifting, rng = posed(p, q, where)
    chains = {column.chain for column in MixtureTable(lifting).columns}
    assert chains == ({"u", "p"} if where == "everywhere" else {"u", "p", "x"})
    Y = extended(lifting, [copied_point(net, problem, fixed, lifting, rng)[0] for _ in range(100 if FULL else 10)])
    rows = random_rows(lifting, rng, 100 if FULL else 20)
    rows[:, -1] = 1.0
    for row in rows:
        value, size, _ = values_of(mixture_entries(lifting, row[None]), lifting, Y)
        assert (value >= -1e-12 * size).all()


@pytest.mark.parametrize("chains", ["separate", "lipsdp"])
def test_they_hold_at_points_of_several_outputs(chains):
    check_points_of_several_outputs(chains, MIXTURES, random_rows)


@pytest.mark.parametrize("chains", ["adjoint", "both", "separate", "tensored"])
def test_the_engine_s_products_are_the_certificate_s(chains):
    rng = np.random.default_rng(len(chains))
    net = random_network(rng, (3, 4, 3, 2 if chains in ("separate", "tensored") else 1))
    problem = checked_problem(net, norm=2)
    lifting = lift(net, problem, presolve(net, problem, chains=LIFTINGS[chains]))
    rows = random_rows(lifting, rng, 6)
    rows[:, -1] = 1.0
    y = rng.standard_normal(lifting.extended.size)
    products = sum((F @ y) * (G @ y) for F, G in mixture_forms(lifting, rows))
    for row, value in zip(rows, products, strict=True):
        entries = mixture_entries(lifting, row[None])
        length = 2.0 ** np.frexp(np.linalg.norm(row[2:-1]))[1]
        at = lifting.extended.slice
        own = sum(float(e.mid @ (y[at(g)][i] * y[at(h)][j])) for g, h, i, j, e in entries)
        assert own == pytest.approx(value, rel=1e-9, abs=1e-9 * length**2)


def test_what_is_found_is_violated_by_as_much_as_said():
    """Moments of no masks: of vectors with no angle between what is behind a mask and behind the other."""
    rng, n, r = np.random.default_rng(0), 6, 2
    moments = rng.standard_normal((2, n, r, 30))
    for i in range(n):
        of_on = np.linalg.qr(moments[0, i].T)[0]
        moments[1, i] -= moments[1, i] @ of_on @ of_on.T
    moments[:, 1:] = 0.2 * moments[:, 1:] + np.roll(moments, 1, axis=0)[:, :1]  # alike, but turned around
    for i in range(1, n):
        of_on = np.linalg.qr(moments[0, i].T)[0]
        moments[1, i] -= moments[1, i] @ of_on @ of_on.T
    pairs, scales, values = worst_mixtures(moments, np.ones((n, r), dtype=bool))
    assert len(pairs) and (values < 0).all() and (pairs[:, 0] < pairs[:, 1]).all()
    for (i, j), row, value in zip(pairs, scales.reshape(-1, 2, 2, r), values, strict=True):
        (m, a), (k, b) = ((row[which, 0] @ moments[0, p], row[which, 1] @ moments[1, p])
                          for which, p in ((0, i), (1, j)))  # fmt: skip
        unit = (m @ m + a @ a + k @ k + b @ b) / 2.0
        found = ((m + a - k - b) @ (m + a - k - b) + 4.0 * (m @ k)) / unit
        assert found == pytest.approx(value, rel=0.02, abs=0.01)


@pytest.mark.parametrize("relaxation", ["hr2+", "lipsdp+"])
def test_they_make_the_constant_of_all_patterns_smaller(relaxation):
    """3-3-3-3-2, which pairs and cones leave at 1.0256."""
    net = random_network(np.random.default_rng(0), (3, 3, 3, 3, 2))
    formal = formal_constant(net, 2, 2)
    options = {"norm": 2, "relaxation": relaxation, "witness": 0}
    without = hr2jax.solve(net, cuts=["cones"], **options)
    found = hr2jax.solve(net, cuts=["squares"], **options)
    assert formal * (1 - 1e-12) <= found.bound <= 0.99 * without.bound
    assert MIXTURES in {name.partition("/")[0] for name in found.certificate.multipliers}
    assert found.certificate.verify(net, arithmetic="ball") <= found.bound * (1 + 1e-9)


def test_they_close_what_pairs_and_triangles_leave():
    """4-5-5-1, norm inf: 1.0199 of the largest of all patterns without them."""
    rng = np.random.default_rng(1)
    weights, biases = [], []
    for m, n in ((4, 5), (5, 5), (5, 3)):  # torch's initialisation, as bench/outputs.py has it
        k = 1 / np.sqrt(m)
        weights.append(rng.uniform(-k, k, (n, m)))
        biases.append(rng.uniform(-k, k, n))
    net = Network([*weights[:2], weights[2].sum(axis=0, keepdims=True)], [*biases[:2], np.zeros(1)])
    formal = formal_constant(net, "inf", "inf")
    found = hr2jax.solve(net, relaxation="hr2+", lifting="adjoint", witness=0)
    assert formal * (1 - 1e-12) <= found.bound <= 1.002 * formal
    assert MIXTURES in {name.partition("/")[0] for name in found.certificate.multipliers}
    assert found.certificate.verify(net, arithmetic="ball") <= found.bound * (1 + 1e-9)


@pytest.mark.parametrize("outputs", [1, 2])
def test_no_scales_prove_less_than_the_constant(tmp_path, outputs):
    net = random_network(np.random.default_rng(3), (3, 4, 4, outputs))
    lifting = "adjoint" if outputs == 1 else "tensored"
    found = hr2jax.solve(net, norm=2, relaxation="hr2+", lifting=lifting, cuts=["squares"], witness=0)
    certificate, formal = found.certificate, formal_constant(net, 2, 2)
    certificate.save(tmp_path / "c.npz")
    assert Certificate.load(tmp_path / "c.npz").verify(net) == pytest.approx(certificate.bound)
    entries, rng = certificate.multipliers, np.random.default_rng(0)
    assert f"{MIXTURES}/scales" in entries

    def forged(**changed):
        own = {f"{MIXTURES}/{name}": values for name, values in changed.items()}
        return dataclasses.replace(certificate, multipliers={**entries, **own})

    scales, weights, pairs = (entries[f"{MIXTURES}/{name}"] for name in ("scales", "multipliers", "pairs"))
    is_used = scales != 0
    for size in (1e-3, 1.0, 1e3, 1e150):
        other = scales + size * is_used * rng.normal(size=scales.shape)
        assert forged(scales=other).verify(net) >= formal * (1 - 1e-12)
        assert forged(multipliers=size * weights).verify(net) >= formal * (1 - 1e-12)
    layers = entries[f"{MIXTURES}/layer"][pairs]  # neurons of one layer have the same columns
    turned = np.where(layers[:, :1] == layers[:, 1:], pairs[:, ::-1], pairs)
    assert (turned != pairs).any()
    assert forged(pairs=turned).verify(net) >= formal * (1 - 1e-12)
    for exponent in (-1000, -500, 500):
        powers = np.ldexp(1.0, exponent // 2), np.ldexp(1.0, -exponent)
        assert forged(scales=scales * powers[0], multipliers=weights * powers[1]).verify(net) >= formal * (1 - 1e-12)
    chains, copies = (entries[f"{MIXTURES}/{name}"] for name in ("chains", "copies"))
    for wrong in (
        {"chains": np.full(len(chains), "q")}, {"chains": chains[::-1][:1]}, {"copies": copies + 7},
        {"copies": 1.0 * copies}, {"pairs": pairs + 10**6}, {"pairs": pairs[:, :1]}, {"scales": scales[:, :1]},
        {"scales": np.full_like(scales, np.nan)}, {"scales": np.full_like(scales, np.inf)}, {"more": np.zeros(1)},
        {"scales": np.ones_like(scales)}, {"multipliers": weights[1:]}, {"layer": entries[f"{MIXTURES}/layer"] + 7},
    ):  # fmt: skip
        with pytest.raises(CertificateError):
            forged(**wrong).verify(net)


def test_what_is_no_mixture_is_refused():
    net = random_network(np.random.default_rng(0), (2, 3, 3, 1))
    problem = checked_problem(net, norm=2)
    lifting = lift(net, problem, presolve(net, problem, chains=LIFTINGS["adjoint"]))
    table = MixtureTable(lifting)
    assert [column.chain for column in table.columns] == ["u", "a"]
    assert MaskRows(lifting, lifting.extended).on.shape == (2 * table.count, lifting.extended.size)
    row = np.ones((1, table.width))
    row[0, :2] = 0, 1
    mixture_entries(lifting, row)
    none = row[:0]
    assert named(lifting, {MIXTURES: none}, 2)[f"{MIXTURES}/scales"].shape == (0, 8)
    assert numbered(lifting, named(lifting, {MIXTURES: none}, 2), net.widths)[MIXTURES].shape == none.shape
    for column, value in ((0, 0.5), (0, -1.0), (1, table.count), (0, table.count - 1)):  # the last has no a
        wrong = row.copy()
        wrong[0, column] = value
        with pytest.raises(ValueError, match="mixtures must"):
            mixture_entries(lifting, wrong)
    for wrong in (row[0], row[:, :-1]):
        with pytest.raises(ValueError, match="mixtures must be rows"):
            mixture_entries(lifting, wrong)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_no_bound_with_them_is_below_all_patterns(block):
    """50 networks a block, of two and three hidden layers, one output and several."""
    for seed in range(50 * block, 50 * block + 50):
        rng = np.random.default_rng([seed, 7])
        widths = (*rng.integers(2, 4, 1), *rng.integers(2, 5, rng.integers(2, 4)), *rng.integers(1, 4, 1))
        net = random_network(rng, tuple(int(w) for w in widths))
        for p, q in itertools.product(("inf", 2), (2, 1)):
            formal = formal_constant(net, p, q)
            for relaxation, lifting in (("lipsdp+", "auto"), ("hr2+", "adjoint"), ("hr2+", "both")):
                if (relaxation == "lipsdp+" and p == "inf") or (lifting != "auto" and len(net.weights[-1]) > 1):
                    continue
                options = {"norm": p, "output_norm": q, "relaxation": relaxation, "witness": 0, "lifting": lifting}
                assert hr2jax.solve(net, cuts=["squares"], **options).bound >= formal * (1 - 1e-12)


def test_where_no_neuron_switches_there_are_none():
    """The search for them, in a network that is affine on its box, was an error about a shape."""
    rng = np.random.default_rng(0)
    net = Network([rng.normal(size=(4, 2)), rng.normal(size=(2, 4))], [np.ones(4), np.zeros(2)])
    asked = {"norm": "inf", "output_norm": 2, "center": [0.0, 0.0], "radius": 1e-3, "lifting": "tensored"}
    result = hr2jax.solve(net, relaxation="hr2+", witness=0, **asked)
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=2)))
    J = net.jacobian(np.zeros(2))
    assert result.bound >= np.linalg.norm(signs @ J.T, axis=1).max()
    assert result.certificate.verify(net) <= result.bound * (1 + 1e-12)
