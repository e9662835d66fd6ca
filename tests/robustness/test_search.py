"""The search for a certified radius, with tests of a rival that know the answer."""

import dataclasses
import itertools

import numpy as np
import pytest

import hr2jax
from hr2jax import Network
from hr2jax.robustness import rivals
from hr2jax.robustness import search as module
from hr2jax.robustness.search import Found, Setting, Task, search, search_all

NET = Network([np.eye(2), np.eye(2)], [np.zeros(2), np.zeros(2)])


def asked(monkeypatch, truth, radii, accuracy, known=0.0):
    """What is found where the true radius is `truth`, and how many questions that took."""
    questions = []

    def excludes(question):
        questions.append(question.radius)
        return question.radius if question.radius <= truth else 0.0

    monkeypatch.setitem(module.TESTS, "sdp", excludes)
    setting = Setting(NET, "sdp", "inf", None, radii, accuracy, {}, None)
    task = Task(7, np.zeros(2), 0, np.array([np.inf, 1.0]), np.array([np.inf, known]), np.inf)
    return search(setting, task), questions


@pytest.mark.parametrize("truth", [9e-289, 1e-200, 3e-5, 1.0, 1e200, 9e307])
@pytest.mark.parametrize("radii", [(1e-289, 1.7e308), (1e-150, 1e-3, 1.7e308)])
def test_the_radius_is_bisected_at_every_scale(monkeypatch, truth, radii):
    """It was halved: a step for each power of 2, up to 2000 solves for one input."""
    found, questions = asked(monkeypatch, truth, radii, 0.05)
    assert found.index == 7 and found.finished
    if truth >= max(0.05 * radii[0], 1e-288):
        assert truth / 1.06 <= found.radius <= truth
    assert len(questions) <= 20


@pytest.mark.parametrize("accuracy", [1e-20, 5e-324, 1e-12, 1e300])
@pytest.mark.parametrize("truth", [0.0, 1 / 3, 1e-200])
def test_no_accuracy_lets_the_search_run_for_ever(monkeypatch, accuracy, truth):
    """A relative accuracy below float64's never came to its end: nothing is between two neighbours."""
    found, questions = asked(monkeypatch, truth, (0.5,), accuracy)
    assert found.finished and len(questions) < 150
    assert found.radius <= truth
    if truth == 1 / 3 and accuracy < 1e-10:
        assert found.radius >= truth * (1 - 1e-11)


def test_what_is_known_is_not_asked_again(monkeypatch):
    found, questions = asked(monkeypatch, 0.3, (0.1, 0.2, 0.4), 0.05, known=0.25)
    assert min(questions) > 0.25 and 0.3 / 1.05 <= found.radius <= 0.3


def test_the_answers_come_from_this_process_where_there_is_nothing_to_share(monkeypatch):
    monkeypatch.setitem(module.TESTS, "sdp", lambda question: question.radius)
    setting = Setting(NET, "sdp", "inf", None, (0.5,), None, {}, None)
    task = Task(3, np.zeros(2), 0, np.array([np.inf, 1.0]), np.array([np.inf, 0.0]), np.inf)
    assert list(search_all(setting, [task], 1, workers=2)) == [Found(3, 0.5, True)]
    assert list(search_all(setting, [task] * 3, 3, workers=None)) == 3 * [Found(3, 0.5, True)]


# What a ball's rivals share, and what an input's balls do ------------------------------------------------


def deep(rng):
    widths = (4, 12, 12, 3)
    return Network([rng.standard_normal((b, a)) for a, b in itertools.pairwise(widths)],
                   [0.1 * rng.standard_normal(b) for b in widths[1:]])  # fmt: skip


@pytest.mark.parametrize("via", ["lipschitz-local", "sdp"])
def test_rivals_of_a_ball_share_its_bounds_and_begin_from_earlier_ones(via, monkeypatch):
    """Slopes were looked for, and bounds proved, anew for every rival."""
    known, given = [], []
    once, own = rivals.known_of, rivals.run
    monkeypatch.setattr(rivals, "known_of", lambda *those: known.append(once(*those)) or known[-1])


    def solved(*those):
        given.append((*those, dataclasses.replace(own(*those), iterations=1)))  # as if an engine had to run
        return given[-1][-1]

    monkeypatch.setattr(rivals, "run", solved)
    net = deep(np.random.default_rng(0))
    x = np.array([[0.3, -0.2, 0.4, 0.1]])
    report = hr2jax.certify(net, x, radii=[0.5], via=via, tol=1e-2)
    balls = {tuple(np.atleast_1d(problem.domain.radius).tolist()) for _, problem, *_ in given}
    assert len(known) == len(balls) < len(given)
    assert all(any(those[4] is one for one in known) for those in given)
    before = {}
    for _, problem, options, _, _, result in given:
        rival = tuple(problem.coefficients)
        assert options.warm_start is before.get(rival)
        before[rival] = result
    assert len(before) < len(given)
    alone = hr2jax.maximum if via == "sdp" else hr2jax.solve
    label, radius = int(report.labels[0]), float(report.radius[0])
    for j in set(range(3)) - {label}:
        result = alone(net, output=(j, label), center=x[0], radius=radius, tol=1e-2)
        gap = float(net(x)[0, label] - net(x)[0, j])
        assert result.lower < 0 if via == "sdp" else result.lower * radius < gap
