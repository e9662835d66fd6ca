"""What engines know before they begin."""

import pytest

from hr2jax import engines


@pytest.fixture(autouse=True)
def forget():
    engines._slowness.cache_clear()
    yield
    engines._slowness.cache_clear()


def test_a_slower_machine_takes_longer_for_a_large_proof(monkeypatch):
    seconds = []
    for tick in (2e-3, 8e-3):
        clock = iter(range(100))
        monkeypatch.setattr(engines.time, "perf_counter", lambda clock=clock, tick=tick: tick * next(clock))
        engines._slowness.cache_clear()
        seconds.append(engines.certificate_seconds(8000))
    assert seconds[1] == pytest.approx(4 * seconds[0])


def test_a_busy_moment_does_not_count_for_more_than_a_slow_machine(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(engines.time, "perf_counter", lambda: 60.0 * next(clock))
    assert engines.certificate_seconds(8000) == pytest.approx(engines.SLOWEST * engines.PROOF * 8000**3)


@pytest.mark.parametrize("tick", [1e-9, 1e-3, 1e3])
def test_more_rows_never_take_less(tick, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(engines.time, "perf_counter", lambda: tick * next(clock))
    guesses = [engines.certificate_seconds(rows) for rows in (10, 1000, 1500, 1501, 2000, 3000, 10000)]
    assert guesses == sorted(guesses)


def test_the_machine_is_looked_at_once_and_for_large_problems_only(monkeypatch):
    looks = []
    clock = iter(range(100))
    monkeypatch.setattr(engines.time, "perf_counter", lambda: looks.append(0) or 1e-3 * next(clock))
    small = engines.certificate_seconds(1000)
    assert not looks
    assert small == pytest.approx(8 * engines.certificate_seconds(500))
    engines.certificate_seconds(8000)
    count = len(looks)
    assert count
    engines.certificate_seconds(4000)
    assert len(looks) == count
