"""Norm 1 on the input: columns one by one, against enumeration; what their certificates do not prove; interruptions."""

import dataclasses
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import Certificate, CertificateError, Network, Status
from hr2jax.cli.main import main
from hr2jax.problem import checked_problem
from hr2jax.solving import parts
from tests.reference.brute import exact_constant
from tests.reference.effort import examples
from tests.reference.general import random_general, region_points
from tests.test_outputs import formal_constant, operator_norms, random_network


@pytest.mark.parametrize(
    ("relaxation", "widths"),
    [("hr2z", (3, 4, 1)), ("best", (3, 4, 1)), ("interval", (3, 3, 2, 1)), ("product", (3, 3, 2, 1)),
     ("lipsdp", (3, 3, 2, 1)), ("shor", (3, 3, 2, 1)), ("hr2+", (3, 3, 2, 1))],
)  # fmt: skip
def test_one_output_is_the_largest_entry_of_a_gradient(relaxation, widths):
    net = random_network(np.random.default_rng(1), widths)
    for where in ({}, {"center": np.full(3, 0.1), "radius": 0.4}, {"domain": hr2jax.Box([-0.5] * 3, [0.1, 0.2, 0.3])}):
        result = hr2jax.solve(net, norm=1, relaxation=relaxation, **where)
        problem = checked_problem(net, norm=1, **where)
        if where.get("center") is None:  # brute force knows boxes, Euclidean balls and all of the space
            exact = exact_constant(net, problem)
            assert result.lower <= exact * (1 + 1e-9)
            assert result.bound >= exact * (1 - 1e-9)
            if relaxation in ("hr2+", "best"):
                assert result.lower >= exact * (1 - 1e-9)
                assert result.bound <= 1.02 * (exact if where else formal_constant(net, 1, 1))
        assert result.lower <= result.bound
        assert result.certificate.verify(net, norm=1, output=0) <= result.bound * (1 + 1e-9)


@cache
def jacobians_of_a_box():
    """A network, a box, and the Jacobians of all regions that meet it."""
    net = random_network(np.random.default_rng(5), (2, 3, 3, 2))
    low, high = np.array([-0.5, -0.25]), np.array([1.0, 0.5])
    return net, hr2jax.Box(low, high), net.jacobian(np.array(region_points(net, low, high)))


@pytest.mark.parametrize("q", ["inf", 2, 1])
def test_several_outputs_against_all_regions_of_a_box(q):
    net, box, jacobians = jacobians_of_a_box()
    exact, where = operator_norms(jacobians, 1, q).max(), {"domain": box}
    bounds = {}
    for relaxation, effort in (("interval", 0.2), ("hr2", 0.2), ("hr2+", "auto")):
        result = hr2jax.solve(net, norm=1, output_norm=q, relaxation=relaxation, witness=effort, **where)
        bounds[relaxation] = result.bound
        assert result.bound >= exact * (1 - 1e-9)
        assert result.lower <= exact * (1 + 1e-9)
    assert bounds["hr2+"] <= 0.8 * bounds["interval"]
    assert result.lower >= exact * (1 - 1e-9)


def test_a_column_keeps_all_inputs_of_its_domain():
    """relu(x_0 + x_1 - 3/2) on the unit box has a derivative, which no x_0 alone, x_1 at 0, would find."""
    net = Network([[[1.0, 1.0]], [[2.0]]], [[-1.5], [0.0]])
    box = hr2jax.Box([0.0, 0.0], [1.0, 1.0])
    result = hr2jax.solve(net, norm=1, domain=box)
    assert result.lower == pytest.approx(2.0)
    assert result.bound == pytest.approx(2.0)
    column = checked_problem(net, norm=1, domain=box).towards([0])
    assert exact_constant(net, column) == 2.0


def test_a_fixed_input_has_no_column():
    net = Network([np.diag([1.0, 7.0]), np.ones((2, 2))], [np.zeros(2), np.zeros(2)])
    for q in ("inf", 2, 1):
        result = hr2jax.solve(net, norm=1, output_norm=q, domain=hr2jax.Box([-1.0, 0.5], [1.0, 0.5]))
        assert result.bound == pytest.approx({"inf": 1.0, 2: np.sqrt(2), 1: 2.0}[q])
        result.certificate.verify(net)


def test_columns_that_cannot_be_the_largest_are_not_solved():
    weights = np.array([[9.0, 0.1, 0.2, 0.0], [8.0, 0.0, 0.1, 0.1], [7.0, 0.2, 0.0, 0.1]])
    net = Network([weights, np.ones((1, 3))], [np.zeros(3), np.zeros(1)])
    result = hr2jax.solve(net, norm=1)
    columns = [part.lipschitz_problem.directions.tolist() for part in result.certificate.parts]
    assert columns == [[0], [1, 2, 3]]
    assert "F_0 along input 0 has the largest of 2 bounds" in result.message
    assert result.status is Status.SOLVED


def test_general_and_smooth_networks_have_columns():
    rng = np.random.default_rng(5)
    nets = [random_general(rng, layers=3, width=3, inputs=3, outputs=2) for _ in range(2)]
    nets.append(Network([rng.normal(size=(4, 3)), rng.normal(size=(2, 4))], [np.zeros(4), np.zeros(2)], "tanh"))
    for net in nets:
        for q in ("inf", 2):
            result = hr2jax.solve(net, norm=1, output_norm=q, center=np.zeros(3), radius=1.0)
            points = rng.uniform(-1, 1, (300, 3)) / 3
            assert result.bound >= operator_norms(net.jacobian(points), 1, q).max() * (1 - 1e-12)
            assert 0.0 <= result.lower <= result.bound
            assert result.certificate.verify(net) <= result.bound * (1 + 1e-9)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["inf", 2, 1]), st.sampled_from(["shor", "hr2", "lipsdp"]))
@settings(max_examples=examples(6), deadline=None)
def test_no_bound_is_below_the_largest_of_all_patterns(seed, q, relaxation):
    rng = np.random.default_rng(seed)
    widths = (*rng.integers(1, 4, 1), *rng.integers(1, 4, rng.integers(1, 4)), *rng.integers(1, 4, 1))
    net = random_network(rng, tuple(int(w) for w in widths))
    formal = formal_constant(net, 1, q)
    result = hr2jax.solve(net, norm=1, output_norm=q, relaxation=relaxation)
    assert result.bound >= formal * (1 - 1e-12)
    assert result.lower <= formal * (1 + 1e-12)


# --- certificates -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def solved():
    net = random_network(np.random.default_rng(7), (3, 5, 2))
    local = {"center": np.full(3, 0.1), "radius": 0.5}
    return net, {q: hr2jax.solve(net, norm=1, output_norm=q, **local) for q in ("inf", 2)}, local


@pytest.mark.parametrize("q", ["inf", 2])
def test_a_saved_certificate_proves_the_same(solved, q, tmp_path):
    net, results, local = solved
    results[q].certificate.save(tmp_path / "one.cert.npz")
    read = Certificate.load(tmp_path / "one.cert.npz")
    assert read.verify(net, norm=1, output=None, output_norm=q, **local) == results[q].certificate.verify(net)
    assert read.verify(net, arithmetic="ball") == pytest.approx(read.bound, rel=1e-6)
    for norm in ("inf", 2):
        with pytest.raises(CertificateError, match="the certificate is for norm 1, but"):
            read.verify(net, norm=norm)
    with pytest.raises(CertificateError, match="radius"):
        read.verify(net, radius=0.75)


def test_a_part_does_not_prove_the_whole(solved):
    net, results, local = solved
    part = results[2].certificate.parts[0]
    assert part.verify(net) == pytest.approx(part.bound)
    assert part.problem["directions"] == part.lipschitz_problem.directions.tolist()
    with pytest.raises(CertificateError, match="alone, a part of what norm 1 is"):
        part.verify(net, norm=1, **local)


@pytest.mark.parametrize("q", ["inf", 2])
def test_parts_left_out_exchanged_or_of_other_columns_are_refused(solved, q):
    net, results, _ = solved
    certificate = results[q].certificate
    own = certificate.parts
    assert len(own) > 1
    last = own[-1].lipschitz_problem
    other = dataclasses.replace(own[-1], lipschitz_problem=last.towards(own[0].lipschitz_problem.directions_of(3)))
    for wrong in (own[:-1], own[1:], (*own, own[0]), (own[1], *own[1:]), (*own[:-1], other), ()):
        with pytest.raises(CertificateError):
            dataclasses.replace(certificate, parts=wrong).verify(net)


EQUAL = ([[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [-0.0, 0.0]], [[1.0, -1.0]] * 3 + [[0.0, 1.0], [1.0, -1.0]])


@pytest.mark.parametrize("output", EQUAL)
def test_equal_rows_share_their_proofs(output, tmp_path):
    """All parts of equal rows were given to the first of them, and the next one had "no proof"."""
    net, path = random_network(np.random.default_rng(7), (3, 5, 2)), tmp_path / "equal.cert.npz"
    for where in ({}, {"center": np.full(3, 0.1), "radius": 0.5}):
        (result,) = hr2jax.solve_all(net, [output], norm=1, output_norm="inf", **where)
        result.certificate.save(path)
        assert Certificate.load(path).verify(net, output=output) == pytest.approx(result.bound)
        one = max(hr2jax.solve(net, output=row, norm=1, **where).bound for row in {tuple(row): row for row in output})
        assert result.bound == pytest.approx(one)
    asked = {"output": output, "norm": 1, "output_norm": "inf", "checkpoint": tmp_path / "checkpoint.npz"}
    assert hr2jax.solve(net, **asked).bound >= hr2jax.solve(net, **asked).bound


def test_equal_rows_are_proved_once_at_least():
    """Of equal rows each column needs one proof, may have one for each row, and no more."""
    net = random_network(np.random.default_rng(7), (3, 5, 2))
    whole = hr2jax.solve(net, output=[[1.0, 0.0]] * 2, norm=1, output_norm="inf").certificate
    alone = hr2jax.solve(net, output=0, norm=1).certificate.parts
    other = hr2jax.solve(net, output=1, norm=1).certificate.parts
    for right in (alone, (*alone, *alone), (*alone, alone[0]), (*alone[::-1], *alone)):
        proof = dataclasses.replace(whole, parts=right)
        assert proof.verify(net) == pytest.approx(max(part.bound for part in alone))
    for wrong in (alone[1:], alone[1:] * 2, alone * 3, alone[:1] * 2, (*alone, *other), other):
        with pytest.raises(CertificateError):
            dataclasses.replace(whole, parts=wrong).verify(net)


def test_a_directions_entry_must_be_one():
    net = random_network(np.random.default_rng(8), (3, 4, 1))
    problem = checked_problem(net, norm=1)
    for wrong in ([], [0, 0], [1, 0], [-1], [[0]]):
        with pytest.raises(ValueError, match="directions must be increasing"):
            problem.towards(np.array(wrong, dtype=np.int64))
    with pytest.raises(ValueError, match="norm 1"):
        checked_problem(net).towards([0])
    with pytest.raises(ValueError, match="fixes one"):
        checked_problem(net, norm=1, domain=hr2jax.Box([0.0, 0.0, 1.0], [0.0, 1.0, 2.0])).towards([0])


def test_a_part_of_an_input_that_the_network_does_not_have_is_refused():
    net = random_network(np.random.default_rng(8), (2, 3, 1))
    certificate = hr2jax.solve(net, norm=1).certificate
    first = certificate.parts[0]
    beyond = dataclasses.replace(first, lipschitz_problem=first.lipschitz_problem.towards([2]))
    with pytest.raises(CertificateError):
        beyond.verify(net)
    with pytest.raises(CertificateError):
        dataclasses.replace(certificate, parts=(*certificate.parts, beyond)).verify(net)


# --- interruptions ----------------------------------------------------------------------------------------


def test_a_callback_stops_all_columns_and_sees_all_of_them():
    net = random_network(np.random.default_rng(2), (4, 8, 8, 2))
    seen = []
    result = hr2jax.solve(net, norm=1, output_norm=2, callback=lambda p: seen.append(p) or len(seen) > 1)
    assert result.status is Status.STOPPED
    assert all(progress.bound >= result.bound for progress in seen)
    assert result.certificate.verify(net) == pytest.approx(result.bound)


def test_time_that_runs_out_leaves_a_bound():
    net = random_network(np.random.default_rng(2), (40, 30, 30, 3))
    result = hr2jax.solve(net, norm=1, time_limit=1.0)
    assert result.status is Status.TIME_LIMIT
    assert result.bound <= hr2jax.solve(net, norm=1, relaxation="interval").bound * (1 + 1e-9)


def test_parts_that_ran_out_of_their_share_are_solved_where_the_gap_is_closed(monkeypatch):
    """The status was that of the gravest part: TIME_LIMIT of a bound within the tolerance of what is attained."""
    net = Network([np.eye(2), np.array([[1.0, 2.0], [0.5, 0.25]])], [np.zeros(2), np.zeros(2)])
    real = parts.solve_checked
    ended = lambda *given, **named: dataclasses.replace(real(*given, **named), status=Status.TIME_LIMIT)  # noqa: E731
    monkeypatch.setattr(parts, "solve_checked", ended)
    for options in ({"norm": 1}, {"norm": "inf"}):
        assert hr2jax.solve(net, time_limit=30.0, **options).status is Status.SOLVED


def test_columns_share_a_short_limit(monkeypatch):
    """Half a second went to each of the first ones, so that the bound stayed that of intervals."""
    shares, real = [], parts.solve_checked

    def spy(net, problem, fixed, options, *given, **named):
        shares.append(options.time_limit)
        return real(net, problem, fixed, options, *given, **named)

    monkeypatch.setattr(parts, "solve_checked", spy)
    hr2jax.solve(random_network(np.random.default_rng(5), (12, 9, 9, 1)), norm=1, time_limit=2.4)
    assert parts.CHEAP_SHARE <= shares[0] <= 0.2


def test_a_checkpoint_of_columns_is_resumed_from(tmp_path):
    net, path = random_network(np.random.default_rng(4), (2, 4, 4, 2)), tmp_path / "columns.cert.npz"
    first = hr2jax.solve(net, norm=1, output_norm=2, relaxation="hr2", checkpoint=path)
    assert Certificate.load(path).verify(net, norm=1) == pytest.approx(first.bound)
    again = hr2jax.solve(net, norm=1, output_norm=2, relaxation="hr2", checkpoint=path, max_iterations=1)
    assert again.bound <= first.bound * (1 + 1e-12)


def test_the_command_line_takes_norm_1(capsys, tmp_path):
    net = random_network(np.random.default_rng(6), (2, 3, 2))
    net.save(tmp_path / "net.npz")
    assert main(["solve", str(tmp_path / "net.npz"), "--norm", "1", "--certificate", str(tmp_path / "c.npz")]) == 0
    assert main(["verify", str(tmp_path / "c.npz"), str(tmp_path / "net.npz"), "--norm", "1"]) == 0
    assert "||f(x) - f(y)||_1" in capsys.readouterr().out


def test_a_witness_of_a_row_that_was_not_solved_is_looked_for():
    """The largest bound was of one row, and what was attained of another that is steeper was never looked for."""
    rng = np.random.default_rng(3)
    A, B = rng.standard_normal((40, 2)), rng.standard_normal((6, 40)) / 6
    net = Network([A, B], [rng.standard_normal(40), np.zeros(6)])
    rows = [hr2jax.solve(net, output=k, relaxation="shor").lower for k in range(6)]
    whole = hr2jax.solve(net, relaxation="shor")
    assert whole.lower >= 0.99 * max(rows)
    assert np.abs(net.gradient(whole.witness, int(np.argmax(rows)))).sum() == pytest.approx(whole.lower, rel=1e-9)
