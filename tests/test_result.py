"""What a Result is besides its fields: equal to another, hashable, a number, one line."""

import dataclasses

import numpy as np
import pytest

import hr2jax
from hr2jax import Network, Status
from hr2jax.result import RELAXATION_SOLVED, Results
from hr2jax.solving import stages


def solved(**options):
    rng = np.random.default_rng(0)
    net = Network([rng.standard_normal((4, 3)), rng.standard_normal((1, 4))], [rng.standard_normal(4), np.zeros(1)])
    return hr2jax.solve(net, **{"relaxation": "product"} | options)


def test_results_are_compared_by_what_they_say():
    """`==` raised "The truth value of an array ... is ambiguous", `hash` "unhashable type"."""
    result, again = solved(), solved()
    assert result.timings != again.timings
    assert result == again
    assert hash(result) == hash(again)
    assert len({result, again}) == 1
    assert result != solved(norm=2)
    assert result != "a result"
    for change in ({"bound": 2 * result.bound}, {"lower": 0.0}, {"witness": result.witness + 1}):
        assert result != dataclasses.replace(result, **change)
    other = dataclasses.replace(result.certificate, multipliers={"u.z": np.ones(4)})
    assert result != dataclasses.replace(result, certificate=other)


def test_a_result_is_its_bound_where_a_number_is_expected():
    """`float` raised TypeError."""
    result = solved()
    assert float(result) == result.bound
    assert f"{float(result):.3f}" == f"{result.bound:.3f}"


def test_the_repr_is_one_line():
    """It was every array in full: a screen and more."""
    result = solved()
    assert "\n" not in repr(result)
    assert len(repr(result)) < 120
    assert repr(result.bound) in repr(result)


@pytest.mark.parametrize("sign", [0.0, -0.0])
def test_equal_results_have_one_hash_whatever_the_sign_of_0(sign):
    result = solved()
    a, b = (dataclasses.replace(result, witness=np.full(3, zero)) for zero in (0.0, sign))
    assert a == b
    assert hash(a) == hash(b)


def test_solved_beside_a_gap_says_whose_the_gap_is():
    """SOLVED stood beside gaps of 90 %, with the sentence that the bound is within tol of the optimum."""
    result = solved()
    assert result.gap > 0.1
    assert (result.status, result.message) == (Status.SOLVED, RELAXATION_SOLVED)
    assert RELAXATION_SOLVED in str(result)


def test_stalled_is_not_said_where_bound_and_lower_agree(monkeypatch):
    """An engine that found nothing better than the optimum had STALLED."""
    called = []

    def stalled(session, _):
        called.append((session.bound, session.lower))
        return Status.STALLED

    monkeypatch.setattr(stages, "choose_engine", lambda *_: stalled)
    result = hr2jax.solve(Network([[[0.1, 0.7]], [[0.3]]], [[1.0], [0.0]]), relaxation="hr2")
    assert called
    assert result.bound > result.lower
    assert (result.status, result.message) == (Status.SOLVED, Status.SOLVED.value)


def test_hr2_plus_is_not_looser_than_hr2_where_time_runs_out(monkeypatch):
    """It had what its own unfinished multipliers proved, and could be looser than `hr2`, which takes less time."""
    choose = stages.choose_engine

    def chosen(lifting, families, record, options, steered):
        if record.cuts:
            return lambda *_: Status.TIME_LIMIT
        return choose(lifting, families, record, options, steered)

    monkeypatch.setattr(stages, "choose_engine", chosen)
    rng = np.random.default_rng(0)
    net = Network([rng.standard_normal((4, 3)), rng.standard_normal((1, 4))], [rng.standard_normal(4), np.zeros(1)])
    result = hr2jax.solve(net, relaxation="hr2+", time_limit=60.0)
    assert result.status is Status.TIME_LIMIT
    assert result.problem["bound_by"] == "hr2"
    assert result.bound <= hr2jax.solve(net, relaxation="hr2").bound * (1 + 1e-3)
    assert result.certificate.verify(net) == result.bound


def test_many_results_are_one_table():
    """Printed, a list of results was every array of every result."""
    net = Network([np.eye(3), np.eye(3)[:, ::-1]], [np.zeros(3), np.zeros(3)])
    results = hr2jax.solve_all(net, relaxation="product")
    assert isinstance(results, Results) and isinstance(results, list) and isinstance(results[1:], Results)
    lines = str(results).splitlines()
    assert len(lines) == 1 + len(results) == 4
    assert [line.split("  ")[0] for line in lines[1:]] == ["F_0 - F_1", "F_0 - F_2", "F_1 - F_2"]
    assert "\n" not in repr(results)
    many = str(Results(list(results) * 100)).splitlines()
    assert len(many) == 1 + 40
    assert "261 more" in "".join(many)


def test_messages_go_to_the_log_and_nowhere_else(capfd, tmp_path):
    """The checkpoint's warning was a RuntimeWarning on stderr."""
    solved(checkpoint=tmp_path / "c.npz", progress=True)
    (tmp_path / "folder").mkdir()
    checkpoint = tmp_path / "folder" / "c.npz"

    def replace_by_a_folder(_):
        if checkpoint.is_file():
            checkpoint.unlink()
            checkpoint.mkdir()

    solved(relaxation="hr2", checkpoint=checkpoint, callback=replace_by_a_folder)
    assert capfd.readouterr() == ("", "")
