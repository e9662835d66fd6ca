"""What a search may spend: counted points, programs as points, a deadline only where there is one."""

import math

import numpy as np

from hr2jax import Network
from hr2jax.lower.effort import LEAST_DISTANCE, Effort, point_seconds

NET = Network([np.ones((5, 4)), np.ones((1, 5))], [np.zeros(5), np.zeros(1)])


def test_points_are_counted_until_they_are_spent():
    effort = Effort(NET, 10)
    effort.spend(9)
    assert not effort.is_over()
    effort.spend(1)
    assert effort.is_over()
    assert effort.spent == 10


def test_programs_count_as_points_by_their_size():
    prices = []
    for rows, columns, *kind in ((10, 10), (100, 10), (10, 10, LEAST_DISTANCE)):
        effort = Effort(NET)
        effort.spend_program(rows, columns, *kind)
        prices.append(effort.spent)
    assert prices[1] > prices[0] > prices[2] > 1
    assert prices[0] * point_seconds(NET) > 1e-3


def test_without_a_deadline_no_clock_is_looked_at(monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 1e300)
    assert not Effort(NET, 10).is_over()
    assert Effort(NET, 10).left() == math.inf
    assert Effort(NET, 10, seconds=0.0).is_over()


def test_a_share_ends_with_its_part_of_what_is_left():
    whole = Effort(NET, 100)
    whole.spend(20)
    part = whole.share(0.5)
    part.spend(39)
    assert not part.is_over()
    part.spend(1)
    assert part.is_over() and not whole.is_over()


def test_larger_networks_have_dearer_points():
    wide = Network([np.ones((500, 400)), np.ones((1, 500))], [np.zeros(500), np.zeros(1)])
    assert point_seconds(wide) > 2 * point_seconds(NET)
