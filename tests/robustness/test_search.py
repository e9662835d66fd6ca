"""The search for a certified radius, with tests of a rival that know the answer."""

import numpy as np
import pytest

from hr2jax import Network
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
