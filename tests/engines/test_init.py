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
    for tick in (1e-3, 4e-3):
        clock = iter(range(100))
        monkeypatch.setattr(engines.time, "perf_counter", lambda clock=clock, tick=tick: tick * next(clock))
        engines._slowness.cache_clear()
        seconds.append(engines.certificate_seconds(8000))
    assert seconds[1] == pytest.approx(4 * seconds[0])


def test_the_machine_is_looked_at_once_and_for_large_problems_only(monkeypatch):
    looks = []
    clock = iter(range(100))
    monkeypatch.setattr(engines.time, "perf_counter", lambda: looks.append(0) or 1e-3 * next(clock))
    small = engines.certificate_seconds(1000)
    assert not looks
    assert small == pytest.approx(8 * engines.certificate_seconds(500))
    large = engines.certificate_seconds(8000)
    count = len(looks)
    assert count
    assert engines.certificate_seconds(4000) == pytest.approx(large / 8)
    assert len(looks) == count
