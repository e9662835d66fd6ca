"""relaxation="hr2+" and "best" as users meet them: certificates, warm starts, and the climb from stage to stage."""

import dataclasses
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import Certificate, Network, Status
from hr2jax.certificate.errors import CertificateError
from hr2jax.certificate.names import named
from hr2jax.problem import checked_problem
from hr2jax.solving import run as run_module
from hr2jax.solving import stages
from tests.reference.effort import examples

from .reference.certificates import entries_of, in_order, lifting_of, same, write
from .reference.truth import check, truth

BOTH = pytest.mark.parametrize("local", [False, True], ids=["global", "local"])
STEPS = ("shor", "hr2", "hr2z", "hr2+")


@pytest.fixture(autouse=True)
def no_lower_search(monkeypatch):
    monkeypatch.setattr(run_module, "_search", lambda *_: None)


@cache
def network(seed=1, p=4, m=5):
    rng = np.random.default_rng([seed, p, m])
    weights = [rng.standard_normal((m, p)), rng.standard_normal((2, m))]
    return Network(weights, [0.1 * rng.standard_normal(m), np.zeros(2)])


def box(local, shift=0.0, radius=1.0):
    return {"output": 0} | ({"center": shift + np.linspace(-0.1, 0.1, 4), "radius": radius} if local else {})


@cache
def known(local):
    return truth(network(), checked_problem(network(), norm="inf", **box(local)))


@cache
def plus(local):
    """hr2+ with triangles in its certificate."""
    result = hr2jax.solve(network(), relaxation="hr2+", **box(local))
    assert len(result.certificate.multipliers["triangles/multipliers"]) > 0
    return result


# Certificates -------------------------------------------------------------------------------------------


@BOTH
def test_a_certificate_with_triangles_is_saved_loaded_and_proved_again(local, tmp_path):
    result = plus(local)
    check(network(), result, known(local))
    result.certificate.save(tmp_path / "c.npz")
    loaded = Certificate.load(tmp_path / "c.npz")
    assert same(loaded, result.certificate)
    assert loaded.verify(network()) == result.bound
    in_balls = loaded.verify(network(), arithmetic="ball")
    assert in_balls <= result.bound
    assert in_balls == pytest.approx(result.bound, rel=1e-9)
    assert Fraction(in_balls) >= known(local).attained
    # they are what makes the bound
    without = {name: v for name, v in result.certificate.multipliers.items() if not name.startswith("triangles/")}
    assert dataclasses.replace(result.certificate, multipliers=without).verify(network()) > result.bound


@cache
def triangles_of(local):
    """The triangles of `plus`, as rows of signed positions and multipliers (hr2jax/relaxation/triangles.py)."""
    return in_order(plus(local).certificate, network())[0]["triangles"]


def named_rows(rows, local):
    """The entries of such rows; of a dict of entries, itself: what no rows can say."""
    if isinstance(rows, dict):
        return rows
    return named(lifting_of(plus(local).certificate, network()), {"triangles": rows}, network().widths[0])


def outcome(rows, local, tmp_path, arithmetic="float"):
    """The bound with those rows instead, from memory and from a file with a fresh digest; None: refused."""
    bounds, original = [], plus(local).certificate
    for source in ("memory", "file"):
        try:
            if source == "memory":
                changed = dataclasses.replace(original, multipliers=original.multipliers | named_rows(rows, local))
            else:
                entries = entries_of(original) | {f"multipliers/{k}": v for k, v in named_rows(rows, local).items()}
                changed = Certificate.load(write(tmp_path / "tampered.npz", entries))
            bound = changed.verify(network(), arithmetic=arithmetic)
        except CertificateError:
            bound = None
        bounds.append(bound)
        if bound is not None:
            assert np.isfinite(bound)
            assert Fraction(bound) >= known(local).attained
    assert bounds[0] == bounds[1]
    return bounds[0]


@pytest.mark.parametrize("arithmetic", ["float", "ball"])
@BOTH
def test_rows_that_are_no_triangles_are_refused(local, arithmetic, tmp_path):
    rows = triangles_of(local)
    known_entries = named_rows(rows, local)
    group, layer, index, corners, signs, multipliers = (
        known_entries[f"triangles/{name}"] for name in ("group", "layer", "index", "corners", "signs", "multipliers")
    )

    def last(values, value):
        changed = values.copy()
        changed.flat[-1] = value
        return changed

    wrong = {
        "corners": [corners[:, :2], corners[0], corners.T, corners[None], corners.astype(float), corners[:-1]]
        + [corners.astype(np.int32), corners.astype(bool)]
        + [last(corners, k) for k in (-1, len(group), 2**62, -(2**63))],
        "signs": [signs[:, :2], signs.T, signs[:-1], signs.astype(float), signs.astype(np.int8)]
        + [last(signs, k) for k in (0, 2, -2, 2**62, -(2**63))],
        "multipliers": [multipliers[:-1], multipliers[None], multipliers.astype(str), multipliers.astype(np.int64)]
        + [last(multipliers, value) for value in (np.nan, np.inf, -np.inf)],
        "group": [group[:-1], group[None], np.arange(len(group)), last(group, "?"), last(group, "T"), last(group, "")],
        "layer": [layer[:-1], layer.astype(float), last(layer, 7), last(layer, -1), last(layer, 2**62)],
        "index": [index[:-1], index.astype(float), index.astype(bool), last(index, -1), last(index, 99)],
    }
    for name, others in wrong.items():
        for changed in others:
            assert outcome(known_entries | {f"triangles/{name}": changed}, local, tmp_path, arithmetic) is None, name
        missing = {k: v for k, v in plus(local).certificate.multipliers.items() if k != f"triangles/{name}"}
        with pytest.raises(CertificateError):
            dataclasses.replace(plus(local).certificate, multipliers=missing).verify(network())
    assert outcome(known_entries | {"triangles/more": multipliers}, local, tmp_path, arithmetic) is None
    assert outcome(rows, local, tmp_path, arithmetic) is not None


@BOTH
def test_any_multipliers_of_triangles_are_refused_or_valid(local, tmp_path):
    rows = triangles_of(local)
    assert outcome(rows[:0], local, tmp_path) is not None
    assert outcome(np.repeat(rows, 7, axis=0), local, tmp_path) is not None
    for value in (0.0, -0.0, -1.0, -1e300, 5e-324, 1e-300, 1.0, 1e10, 1e200, 1.7e308):
        for where in (slice(None), slice(0, 1)):
            changed = rows.copy()
            changed[where, 3] = value
            bound = outcome(changed, local, tmp_path)
            assert bound is not None or value == 1.7e308
    assert outcome(rows * [1, 1, 1, -1], local, tmp_path) == outcome(rows * [1, 1, 1, 0], local, tmp_path)


@settings(max_examples=examples(60), deadline=None)
@given(data=st.data(), local=st.booleans(), arithmetic=st.sampled_from(3 * ["float"] + ["ball"]))
def test_any_triangles_are_refused_or_valid(data, local, arithmetic, tmp_path_factory):
    """Signs flipped, corners moved and repeated, multipliers of any size: each row still says what is true."""
    rows = triangles_of(local).copy()
    size = plus(local).problem["moment_matrix"]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    some = rng.random(len(rows)) < data.draw(st.sampled_from([0.02, 0.3, 1.0]))
    change = data.draw(st.sampled_from(["signs", "corners", "constant", "sizes", "new"]))
    if change == "signs":
        rows[some, :3] *= rng.choice([-1, 1], (some.sum(), 3))
    elif change == "corners":
        rows[some, :3] = rng.integers(1, size + 1, (some.sum(), 3)) * rng.choice([-1, 1], (some.sum(), 3))
    elif change == "constant":
        rows[some, rng.integers(3)] = 1
    elif change == "sizes":
        rows[some, 3] *= 10.0 ** rng.integers(-200, 200, some.sum())
    else:
        rows[:, :3] = rng.integers(1, size + 1, (len(rows), 3)) * rng.choice([-1, 1], (len(rows), 3))
        rows[:, 3] *= data.draw(st.sampled_from([1e-9, 0.1, 1.0, 30.0]))
    assert outcome(rows, local, tmp_path_factory.getbasetemp(), arithmetic) is not None


# Warm starts --------------------------------------------------------------------------------------------


QUESTIONS = {
    "global": {"output": 0},
    "another output": {"output": 1, "center": np.linspace(-0.1, 0.1, 4), "radius": 1.0},
    "difference": {"output": (0, 1), "center": np.linspace(-0.1, 0.1, 4), "radius": 1.0},
    "elsewhere": {"output": 0, "center": np.array([0.5, -0.6, 0.4, 0.3]), "radius": 0.4},
    "fixed inputs": {"output": 0, "center": np.linspace(-0.1, 0.1, 4), "radius": np.array([0.0, 1.0, 0.0, 0.7])},
    "far off": {"output": 0, "center": np.full(4, 9.0), "radius": 0.1},
}


@cache
def cold_of(question):
    return hr2jax.solve(network(), relaxation="hr2+", **QUESTIONS[question])


@BOTH
@pytest.mark.parametrize("question", QUESTIONS)
def test_triangles_of_another_problem_are_a_start(question, local):
    """Other unstable neurons, other inputs, with and without xi: what has no counterpart is left out."""
    net, ask = network(), QUESTIONS[question]
    exact = truth(net, checked_problem(net, norm="inf", **ask))
    cold = cold_of(question)
    warm = hr2jax.solve(net, relaxation="hr2+", warm_start=plus(local), **ask)
    for result in (cold, warm):
        check(net, result, exact)
        assert result.status is Status.SOLVED
    assert warm.bound == pytest.approx(cold.bound, rel=2e-3)


def test_the_questions_have_other_unstable_neurons():
    sizes = [hr2jax.solve(network(), relaxation="shor", **ask).problem for ask in QUESTIONS.values()]
    assert {(p["unstable_neurons"], p["free_inputs"]) for p in sizes} >= {(5, 4), (0, 4)}
    assert len({p["moment_matrix"] for p in sizes}) >= 4


def test_the_same_problem_again_takes_fewer_iterations():
    warm = hr2jax.solve(network(), relaxation="hr2+", warm_start=plus(True), **box(True))
    assert warm.iterations < plus(True).iterations
    assert warm.bound == pytest.approx(plus(True).bound, rel=1e-3)
    for relaxation in ("shor", "hr2", "hr2z", "best"):
        result = hr2jax.solve(network(), relaxation=relaxation, warm_start=plus(True), **box(True))
        check(network(), result, known(True))


# The climb ----------------------------------------------------------------------------------------------


@cache
def best(local):
    return hr2jax.solve(network(), relaxation="best", **box(local))


@BOTH
def test_the_best_is_as_good_as_every_step(local):
    result = best(local)
    check(network(), result, known(local))
    assert result.status is Status.SOLVED
    for relaxation in STEPS:
        assert result.bound <= hr2jax.solve(network(), relaxation=relaxation, **box(local)).bound * (1 + 1e-3)
    assert result.problem["relaxation"] == "best"
    iteration = result.history["iteration"]
    assert (np.diff(iteration) >= 0).all()
    assert (np.diff(result.history["bound"]) <= 0).all()
    assert iteration[-1] == result.iterations
    assert (np.diff(iteration) > 0).any()


def stages_run(monkeypatch, before=lambda relaxation, monitor: None, ended=lambda cuts, status: status):
    """Names of the relaxations whose engines ran, as they begin; `before` is called then, `ended` says how they did."""
    names, original = [], stages.choose_engine

    def choose(lifting, families, record, options, steered=None):
        engine = original(lifting, families, record, options, steered)

        def run(monitor, start, V):
            names.append(record.name)
            before(record.name, monitor)
            return ended(record.cuts, engine(monitor, start, V))

        return run

    monkeypatch.setattr(stages, "choose_engine", choose)
    return names


@BOTH
def test_it_climbs_in_order(local, monkeypatch):
    names = stages_run(monkeypatch)
    hr2jax.solve(network(), relaxation="best", **box(local))
    climbed = [step for step in STEPS if local or step != "hr2z"]  # without xi hr2z is shor
    assert names == climbed + [STEPS[-1]] * (not local)  # once more by the reach lifting


@BOTH
def test_within_a_time_limit_hr2_plus_has_what_weaker_ones_have(local, monkeypatch):
    """Issue 17.4: with little time a local bound was hr2's, where hr2z's was ready in a third of it."""
    bounds = []
    names = stages_run(monkeypatch, lambda name, monitor: bounds.append(monitor.bound))
    hr2jax.solve(network(), relaxation="hr2+", time_limit=10**6, witness=0, **box(local))
    assert names == ["hr2+"] * 3  # without cuts, with them, and by another lifting
    for weaker in ("hr2", "hr2z")[: 1 + local]:
        assert bounds[1] <= hr2jax.solve(network(), relaxation=weaker, witness=0, **box(local)).bound * (1 + 1e-3)


@pytest.mark.parametrize("how", ["callback", "interrupt"])
@pytest.mark.parametrize("at", [1, 2, 10, 40])
def test_once_stopped_it_climbs_no_further(how, at, monkeypatch):
    names, calls = stages_run(monkeypatch), []

    def callback(record):
        calls.append(len(names))
        if len(calls) == at:
            if how == "interrupt":
                raise KeyboardInterrupt
            return True
        return False

    try:
        result = hr2jax.solve(network(), relaxation="best", callback=callback, **box(True))
        assert how == "callback"
    except hr2jax.Interrupted as stop:
        result = stop.result
        assert how == "interrupt"
    assert result.status is Status.STOPPED
    assert len(calls) == at
    assert len(names) == calls[-1]
    assert (at > 2) or len(names) <= 1
    check(network(), result, known(True))


@BOTH
def test_the_iteration_limit_is_that_of_all_stages_together(local, monkeypatch):
    total = best(local).iterations
    names, most = stages_run(monkeypatch), 0
    for limit in (1, 2, 5, total // 3, 2 * total // 3, total - 1):
        names.clear()
        result = hr2jax.solve(network(), relaxation="best", max_iterations=limit, **box(local))
        assert result.status is Status.ITERATION_LIMIT
        assert result.iterations == limit
        assert result.history["iteration"][-1] == limit
        assert (np.diff(result.history["iteration"]) >= 0).all()
        check(network(), result, known(local))
        assert len(names) >= most
        most = len(names)
    assert most > 1


def test_without_time_the_first_certificate_comes_back():
    result = hr2jax.solve(network(), relaxation="best", time_limit=0.0, **box(True))
    assert result.status is Status.TIME_LIMIT
    check(network(), result, known(True))


def test_a_stage_that_breaks_down_leaves_the_rest_to_the_next(monkeypatch):
    """Its status is not the solve's: the last stage says how it ended."""
    names = stages_run(monkeypatch, ended=lambda cuts, status: status if cuts else Status.NUMERICAL_ERROR)
    result = hr2jax.solve(network(), relaxation="best", time_limit=10**6, **box(True))
    assert names == ["hr2+"] * 3  # without cuts, with them, and by the lifting xL
    assert result.status is Status.SOLVED
    assert result.bound == pytest.approx(plus(True).bound, rel=1e-3)


@BOTH
def test_the_best_is_resumed_from_its_checkpoint(local, tmp_path):
    """Whatever stage the certificate in it came from."""
    path = tmp_path / "best.cert.npz"
    seen = []
    for limit in (1, 20, None, 5):
        result = hr2jax.solve(network(), relaxation="best", checkpoint=path, max_iterations=limit, **box(local))
        check(network(), result, known(local))
        assert Certificate.load(path).verify(network()) == result.bound
        seen.append(result.bound)
    assert seen == sorted(seen, reverse=True)
    assert seen[2] == pytest.approx(plus(local).bound, rel=1e-3)


@BOTH
def test_a_relaxation_with_cuts_goes_on_from_the_checkpoint_of_a_weaker_one(local, tmp_path):
    """Also of `hr2z`, by which it began within a time limit until lately."""
    for weaker in ("shor", "hr2", "hr2z"):
        path = tmp_path / f"{weaker}.cert.npz"
        first = hr2jax.solve(network(), relaxation=weaker, checkpoint=path, **box(local))
        result = hr2jax.solve(network(), relaxation="hr2+", checkpoint=path, max_iterations=1, **box(local))
        check(network(), result, known(local))
        assert result.bound <= first.bound
    with pytest.raises(ValueError, match="of another problem"):
        hr2jax.solve(network(), relaxation="shor", checkpoint=path, **box(local))
