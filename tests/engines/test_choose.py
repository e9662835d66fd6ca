"""What engines know before they begin."""

import pytest

from hr2jax.engines import pace


@pytest.fixture(autouse=True)
def forget():
    pace._slowness.cache_clear()
    yield
    pace._slowness.cache_clear()


def test_a_slower_machine_takes_longer_for_a_large_proof(monkeypatch):
    seconds = []
    for tick in (2e-3, 8e-3):
        clock = iter(range(100))
        monkeypatch.setattr(pace.time, "perf_counter", lambda clock=clock, tick=tick: tick * next(clock))
        pace._slowness.cache_clear()
        seconds.append(pace.certificate_seconds(8000))
    assert seconds[1] == pytest.approx(4 * seconds[0])


def test_a_busy_moment_does_not_count_for_more_than_a_slow_machine(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(pace.time, "perf_counter", lambda: 60.0 * next(clock))
    assert pace.certificate_seconds(8000) == pytest.approx(pace.SLOWEST * pace.PROOF * 8000**3)


@pytest.mark.parametrize("tick", [1e-9, 1e-3, 1e3])
def test_more_rows_never_take_less(tick, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(pace.time, "perf_counter", lambda: tick * next(clock))
    guesses = [pace.certificate_seconds(rows) for rows in (10, 1000, 1500, 1501, 2000, 3000, 10000)]
    assert guesses == sorted(guesses)


def test_the_machine_is_looked_at_once_and_for_large_problems_only(monkeypatch):
    looks = []
    clock = iter(range(100))
    monkeypatch.setattr(pace.time, "perf_counter", lambda: looks.append(0) or 1e-3 * next(clock))
    small = pace.certificate_seconds(1000)
    assert not looks
    assert small == pytest.approx(8 * pace.certificate_seconds(500))
    pace.certificate_seconds(8000)
    count = len(looks)
    assert count
    pace.certificate_seconds(4000)
    assert len(looks) == count
