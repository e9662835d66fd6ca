"""The session keeps the best certificate, keeps the record, and says when to stop."""

import dataclasses
import errno
import math
import re

import numpy as np
import pytest

from hr2jax import Certificate, Network, Progress, Status
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.engines.monitor import Stop, Timings
from hr2jax.linalg.diagonal import tighten
from hr2jax.options import Options
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.presolve import presolve
from hr2jax.solving.session import Session


class Clock:
    """Time that passes when told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("hr2jax.solving.session.time.perf_counter", clock)
    return clock


def random_net():
    rng = np.random.default_rng(3)
    return Network([rng.standard_normal((4, 3)), rng.standard_normal((1, 4))], [rng.standard_normal(4), [0.0]])


def session_of(net=None, domain=None, show=None, **given):
    net = random_net() if net is None else net
    problem = checked_problem(net, None, "inf", **(domain or {}))
    checked = Options(**({"relaxation": "shor"} | given)).check(net, problem)
    return Session(net, problem, presolve(net, problem), checked, {"hr2jax": "test"}, show, 0.0)


def good_diagonal(session):
    """Shor's dual for the global problem, which has no families."""
    lifting = lift(session.net, session.problem, session.fixed)
    M = lagrangian_matrix(lifting, {}).mid
    return tighten(M, lifting.square_is_one, np.abs(M).sum(axis=1))


def test_it_begins_with_the_norm_product_as_a_certificate():
    session = session_of()
    W = session.net.weights[1][0][:, None] * session.net.weights[0]
    product = (np.abs(W).sum() + np.abs(W.sum(axis=0)).sum()) / 2  # every u is 1/2 + v/2
    assert session.bound == pytest.approx(product, rel=1e-12)
    assert session.certificate.verify(session.net) == session.bound
    assert session.lower == 0.0
    assert session.witness.shape == (3,)
    assert session.certificate.versions == {"hr2jax": "test"}


def test_the_witness_is_the_center_but_not_the_same_array():
    session = session_of(domain={"center": [1.0, 2.0, 3.0], "radius": 1.0})
    np.testing.assert_array_equal(session.witness, [1.0, 2.0, 3.0])
    session.witness[:] = 9.0
    np.testing.assert_array_equal(session.problem.domain.center, [1.0, 2.0, 3.0])


def test_only_a_better_certificate_is_kept():
    session = session_of()
    first = session.certificate
    d = good_diagonal(session)
    worse = session.certify({}, np.full(len(d), 1e6))  # the sum of |M|: never worse than no diagonal at all
    assert worse == pytest.approx(first.bound, rel=1e-12)
    assert session.certificate is first
    bound = session.certify({}, d)
    assert bound == session.bound < first.bound
    better = session.certificate
    assert session.certify({}, 1.01 * d) > bound
    assert session.certificate is better
    session.offer(first)
    assert session.certificate is better
    assert better.verify(session.net) == bound


def test_multipliers_that_are_not_finite_prove_nothing_and_change_nothing():
    session = session_of(domain={"center": np.zeros(3), "radius": 1.0})
    n = session.fixed.switching
    before = session.certificate
    for value in (np.nan, np.inf, -np.inf):
        assert session.certify({"v.z/1": np.full(n, value)}, None) == math.inf
    assert session.certify({"v.z/1": np.full(n, 1e308)}, None) == math.inf
    assert session.certificate is before
    with pytest.raises(ValueError, match="no family"):
        session.certify({"nonsense": np.ones(n)}, None)


def test_the_checkpoint_is_written_at_once_and_at_every_improvement(tmp_path):
    path = tmp_path / "c.npz"
    session = session_of(checkpoint=path)
    assert Certificate.load(path).bound == session.bound
    d = good_diagonal(session)
    session.certify({}, d)
    assert Certificate.load(path).bound == session.bound
    written = path.read_bytes()
    session.certify({}, 2 * d)
    assert path.read_bytes() == written
    assert list(tmp_path.iterdir()) == [path]


def fail_to_save(monkeypatch, error):
    def save(*_):
        raise error

    monkeypatch.setattr(Certificate, "save", save)


FAILURES = [OSError(errno.ENOSPC, "No space left on device"), FileNotFoundError("gone"), ValueError("is a directory")]


@pytest.mark.parametrize("error", FAILURES)
def test_a_checkpoint_that_cannot_be_written_is_warned_of_once_and_loses_nothing(tmp_path, monkeypatch, error, caplog):
    path = tmp_path / "c.npz"
    session = session_of(checkpoint=path)
    first = session.bound
    with monkeypatch.context() as patch:
        fail_to_save(patch, error)
        for certificate in falling_bounds(session):
            session.offer(certificate)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("hr2jax", "WARNING")
    assert re.search(r"c\.npz.*could not be written", record.getMessage())
    assert session.bound < first == Certificate.load(path).bound
    assert session.unsaved == str(getattr(error, "strerror", None) or error)
    better = dataclasses.replace(session.certificate, bound=session.bound / 2)
    session.offer(better)  # there is room again
    assert Certificate.load(path).bound == better.bound
    assert session.unsaved is None  # nothing is said at the end


def falling_bounds(session):
    return [dataclasses.replace(session.certificate, bound=session.bound * f) for f in (0.9, 0.8, 0.7)]


def test_the_first_checkpoint_may_fail_too(tmp_path, monkeypatch, caplog):
    fail_to_save(monkeypatch, OSError(errno.EROFS, "Read-only file system"))
    assert math.isfinite(session_of(checkpoint=tmp_path / "c.npz").bound)
    assert "Read-only" in caplog.text


def test_of_two_sessions_with_one_checkpoint_the_worse_does_not_replace_what_the_better_has_left(tmp_path):
    path = tmp_path / "c.npz"
    worse, better = session_of(checkpoint=path), session_of(checkpoint=path)
    d = good_diagonal(worse)
    good = better.certify({}, d)
    fair = worse.certify({}, 1.01 * d)
    assert good < fair < worse.baseline
    assert Certificate.load(path).bound == good
    # a better one is written, and so is one beside a file that is of no use
    assert worse.certify({}, d) == Certificate.load(path).bound == good
    path.write_bytes(b"nothing")
    best = session_of(checkpoint=path)
    path.write_bytes(b"nothing at all")
    assert best.certify({}, d) == Certificate.load(path).bound


def test_a_checkpoint_that_exists_is_not_replaced_by_a_worse_one(tmp_path):
    path = tmp_path / "c.npz"
    session = session_of()
    session.certify({}, good_diagonal(session))
    session.certificate.save(path)
    again = session_of(checkpoint=path)
    assert Certificate.load(path).bound == session.bound < again.bound
    again.offer(Certificate.load(path))
    assert again.bound == session.bound


def test_a_report_is_recorded_and_shown():
    shown, called = [], []
    session = session_of(show=shown.append, callback=called.append)
    session.report(0, math.nan, math.nan)
    session.lower = session.bound / 2
    session.report(10, 1.5, 0.25)
    session.report(20, math.nan, 0.125)
    history = session.arrays()
    assert set(history) == {"seconds", "iteration", "bound", "relaxation_value", "residual"}
    np.testing.assert_array_equal(history["iteration"], [0, 10, 20])
    np.testing.assert_array_equal(history["residual"], [math.nan, 0.25, 0.125])
    # what is not known is what was known last
    np.testing.assert_array_equal(history["relaxation_value"], [math.nan, 1.5, 1.5])
    np.testing.assert_array_equal(history["bound"], [session.bound] * 3)
    assert shown == called
    assert isinstance(shown[1], Progress)
    assert shown[1].gap == 0.5
    assert shown[1].lower == session.bound / 2
    assert session.iteration == 20
    assert session.relaxation_value == 1.5


def test_the_gap_of_a_zero_bound_is_zero():
    records = []
    zero = Network([np.zeros((2, 2)), np.ones((1, 2))], [np.zeros(2), np.zeros(1)])
    session = session_of(zero, callback=records.append)
    session.report(0, 0.0, 0.0)
    assert session.bound == records[0].gap == 0.0


@pytest.mark.parametrize(
    ("answer", "stops"), [(True, True), (np.True_, True), (False, False), (None, False), (1, False)]
)
def test_the_callback_stops(answer, stops):
    session = session_of(callback=lambda _: answer)
    if stops:
        with pytest.raises(Stop) as stop:
            session.report(1, 1.0, 1.0)
        assert stop.value.status is Status.STOPPED
    else:
        session.report(1, 1.0, 1.0)
    assert len(session.arrays()["bound"]) == 1


def test_the_iteration_limit():
    session = session_of(max_iterations=10)
    assert session.iterations_left() == 10
    session.report(9, 1.0, 1.0)
    assert session.iterations_left() == 1
    with pytest.raises(Stop) as stop:
        session.report(10, 1.0, 1.0)
    assert stop.value.status is Status.ITERATION_LIMIT
    assert session_of().iterations_left() == math.inf


def test_the_time_limit(clock):
    session = session_of(time_limit=10.0)
    session.report(0, 1.0, 1.0)
    assert session.remaining() == 10.0
    clock.now = 9.0
    session.report(1, 1.0, 1.0)
    clock.now = 10.0
    with pytest.raises(Stop) as stop:
        session.report(2, 1.0, 1.0)
    assert stop.value.status is Status.TIME_LIMIT
    np.testing.assert_array_equal(session.arrays()["seconds"], [0.0, 9.0, 10.0])
    assert session_of().remaining() == math.inf


def test_what_an_engine_knows_of_a_last_certificate_is_kept_in_reserve_once(clock, monkeypatch):
    session = session_of(time_limit=100.0)
    assert session.remaining(20.0) == 80.0
    monkeypatch.setattr("hr2jax.solving.session.certify_multipliers", session_certify(clock, seconds=3.0))
    session.certify({}, None)
    left = session.remaining()
    assert session.remaining(1.0) == left
    assert session.remaining(97.0 - left + 5.0) == left - 5.0
    assert session_of().remaining(5.0) == math.inf


def test_the_time_of_a_last_certificate_is_kept_in_reserve(clock, monkeypatch):
    session = session_of(time_limit=100.0)
    prove = session_certify(clock, seconds=3.0)
    monkeypatch.setattr("hr2jax.solving.session.certify_multipliers", prove)
    before = session.remaining()
    session.certify({}, None)
    assert session.remaining() <= before - 3.0 - 3.0
    clock.now = 95.0
    with pytest.raises(Stop) as stop:
        session.report(1, 1.0, 1.0)
    assert stop.value.status is Status.TIME_LIMIT


def session_certify(clock, seconds):
    """`certify_multipliers` that takes a while and proves nothing new."""
    nothing = session_of().certificate

    def prove(*_):
        clock.now += seconds
        return dataclasses.replace(nothing, bound=math.inf)

    return prove


def test_a_wish_to_stop_comes_before_the_limits(clock):
    session = session_of(callback=lambda _: True, max_iterations=1, time_limit=1.0)
    clock.now = 5.0
    with pytest.raises(Stop) as stop:
        session.report(1, 1.0, 1.0)
    assert stop.value.status is Status.STOPPED


def test_timings_count_nested_spans_for_the_inner_one_only():
    clock = Clock()
    timings = Timings(clock)
    clock.now = 5.0
    with timings.span("solve"):
        clock.now = 7.0
        with timings.span("certify"):
            clock.now = 8.0
        with pytest.raises(RuntimeError), timings.span("certify"):
            clock.now = 10.0
            raise RuntimeError
        clock.now = 14.0
    clock.now = 20.0
    with timings.span("solve"):
        clock.now = 21.0
    assert timings.seconds == {"solve": 7.0, "certify": 3.0}


def test_timings_so_far_have_the_span_that_is_open():
    """An interrupted engine's seconds were none: `seconds` has them when it has ended."""
    clock = Clock()
    timings = Timings(clock)
    with timings.span("lower"):
        clock.now = 2.0
    with timings.span("solve"):
        clock.now = 3.0
        with timings.span("certify"):
            clock.now = 7.0
            assert timings.so_far() == {"lower": 2.0, "solve": 1.0, "certify": 4.0}
        clock.now = 9.0
        assert timings.so_far() == {"lower": 2.0, "solve": 3.0, "certify": 4.0}
    assert timings.so_far() == timings.seconds
