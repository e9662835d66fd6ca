"""What a Result is besides its fields: equal to another, hashable, a number, one line."""

import builtins
import csv
import dataclasses
import json
import math
import re

import numpy as np
import pytest

import hr2jax
from hr2jax import Network, Result, Results, Status
from hr2jax.result import NO_WITNESS, NOT_SEARCHED, RELAXATION_SOLVED
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


def test_solved_beside_a_gap_without_a_witness_says_so(monkeypatch):
    """A gap of 100 % was what "the search for a witness has missed" where nobody had searched."""
    rng = np.random.default_rng(0)
    net = hr2jax.Network([rng.standard_normal((5, 3)), rng.standard_normal((2, 5))], [np.zeros(5), np.zeros(2)])
    for asked in ({"output": 0}, {"relaxation": "product"}, {"output_norm": 2}, {}):
        result = hr2jax.solve(net, witness=0, **asked)
        assert (result.gap, result.message.split(";")[1].strip()) == (1.0, NOT_SEARCHED.split("; ")[1])
    monkeypatch.setattr("hr2jax.solving.run.searched", lambda net, *_: (0.0, np.zeros(net.widths[0])))
    result = hr2jax.solve(net, output=0)
    assert (result.gap, result.message) == (1.0, NO_WITNESS)


def test_stalled_is_not_said_where_bound_and_lower_agree(monkeypatch):
    """An engine that found nothing better than the optimum had STALLED."""
    called, choose = [], stages.choose_engine

    def stalling(*given):
        def stalled(*begun):
            called.append(choose(*given)(*begun))
            return Status.STALLED

        return stalled

    monkeypatch.setattr(stages, "choose_engine", stalling)
    monkeypatch.setattr("hr2jax.solving.cases.MOST_WITH_FACES", 0)  # cases would need no engine
    net = Network([[[1.0, 0.5], [0.3, -1.0]], [[1.0, 1.0]]], [[0.1, 0.2], [0.0]])
    assert hr2jax.solve(net, relaxation="interval").bound > 2.0
    result = hr2jax.solve(net, relaxation="hr2+")
    assert called
    assert 1.8 <= result.bound <= 1.8 * (1 + 1e-3)
    assert (result.status, result.message) == (Status.SOLVED, Status.SOLVED.value)


def test_hr2_plus_is_not_looser_than_hr2_where_time_runs_out(monkeypatch):
    """It had what its own unfinished multipliers proved, and could be looser than `hr2`, which takes less time."""
    choose = stages.choose_engine

    def chosen(lifting, families, record, options, steered):
        if record.cuts:
            return lambda *_: Status.TIME_LIMIT
        return choose(lifting, families, record, options, steered)

    monkeypatch.setattr(stages, "choose_engine", chosen)
    monkeypatch.setattr("hr2jax.solving.cases.MOST_WITH_FACES", 0)  # cases would need no engine
    rng = np.random.default_rng(0)
    net = Network([rng.standard_normal((4, 3)), rng.standard_normal((1, 4))], [rng.standard_normal(4), np.zeros(1)])
    result = hr2jax.solve(net, relaxation="hr2+", time_limit=60.0)
    assert result.status is Status.TIME_LIMIT
    assert result.bound <= hr2jax.solve(net, relaxation="hr2").bound * (1 + 1e-3)
    assert result.bound < hr2jax.solve(net, relaxation="product").bound * (1 - 1e-2)
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


def several():
    rng = np.random.default_rng(1)
    net = Network([rng.standard_normal((4, 3)), 1e-7 * rng.standard_normal((3, 4))], [np.zeros(4), np.zeros(3)])
    return hr2jax.solve_all(net, relaxation="product", center=np.zeros(3), radius=0.1)


def test_a_result_comes_back_from_its_json(tmp_path):
    result = solved(center=np.zeros(3), radius=[0.1, 0.2, 0.0])
    result.to_json(tmp_path / "r.json")
    text = dataclasses.replace(result, relaxation_value=math.nan).to_json()
    read, again = Result.from_json(tmp_path / "r.json"), Result.from_json(text)
    assert read.certificate is None and math.isnan(again.relaxation_value)
    assert str(read) == str(result) and repr(read) == repr(result)
    assert read == again and hash(read) == hash(result)
    assert read != result  # whose certificate is there
    for field in ("bound", "lower", "gap", "relaxation_value", "status", "message", "iterations"):
        assert getattr(read, field) == getattr(result, field)
    np.testing.assert_array_equal(read.witness, result.witness)
    assert read.problem == result.problem and read.timings == result.timings
    assert read.history.keys() == result.history.keys()
    assert all(np.array_equal(read.history[name], values, equal_nan=True) for name, values in result.history.items())
    with pytest.raises(ValueError, match="warm_start must be a Result with a certificate"):
        solved(relaxation="hr2", warm_start=read)


def test_what_is_no_result_is_refused(tmp_path):
    plain = json.loads(solved().to_json())
    for change in ({"bound": None}, {"status": "WON"}, {"problem": {}}, {"history": 3}, {"witness": ["a"]}):
        with pytest.raises(ValueError, match="the text is not the JSON of a Result"):
            Result.from_json(json.dumps(plain | change))
    with pytest.raises(ValueError, match=r"its format is 'hr2jax result 2', but 'hr2jax result 1' was expected"):
        Result.from_json(json.dumps(plain | {"format": "hr2jax result 2"}))
    for name in plain.keys() - {"format", "certificate"}:  # which earlier files do not have
        with pytest.raises(ValueError, match=f"has no .*{name}"):
            Result.from_json(json.dumps({key: value for key, value in plain.items() if key != name}))
    for text in ("{", "{}", '{"bound": NaN}', "{" * 100_000):
        with pytest.raises(ValueError, match="not the JSON of a Result"):
            Result.from_json(text)
    for change in (
        {"iterations": math.inf}, {"witness": [10**400]}, {"gap": 10**400}, {"timings": {"setup": 1.0}},
        {"problem": plain["problem"] | {"domain_kind": 7}}, {"problem": plain["problem"] | {"network_hash": {}}},
        {"problem": plain["problem"] | {"norm": "euclidean"}}, {"timings": plain["timings"] | {"solve": "long"}},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="the text is not the JSON of a Result"):
            Result.from_json(json.dumps(plain | change).replace("Infinity", "1e999"))
    (tmp_path / "r.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"r\.json is not the JSON of a Result"):
        Result.from_json(tmp_path / "r.json")
    with pytest.raises(FileNotFoundError):
        Result.from_json(tmp_path / "missing.json")
    with pytest.raises(ValueError, match="source must be"):
        Result.from_json(3)


def test_many_results_as_csv_and_json(tmp_path):
    results = several()
    text = results.to_csv(tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text() == text
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["output"] for row in rows] == ["F_0 - F_1", "F_0 - F_2", "F_1 - F_2"]
    assert [float(row["bound"]) for row in rows] == [r.bound for r in results]
    assert rows[0]["where"] == "local, radius 0.1"
    results.to_json(tmp_path / "r.json")
    read = json.loads((tmp_path / "r.json").read_text())
    assert [Result.from_json(json.dumps(one)).bound for one in read] == [r.bound for r in results]
    assert Results().to_csv().count("\n") == 1 and Results().to_json() == "[]"


def test_many_results_as_a_dataframe(monkeypatch):
    results = several()
    frame = pytest.importorskip("pandas") and results.to_dataframe()
    assert frame["bound"].tolist() == [r.bound for r in results]
    assert list(Results().to_dataframe().columns) == list(frame.columns)
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pandas":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match='pip install "pandas>='):
        results.to_dataframe()


def test_many_results_as_latex(tmp_path):
    results = several()
    text = results.to_latex(tmp_path / "r.tex")
    assert (tmp_path / "r.tex").read_text() == text + "\n"
    lines = text.splitlines()
    assert lines[0] == r"\begin{tabular}{lrrrl}" and lines[-1] == r"\end{tabular}"
    rows = [line for line in lines if line.endswith(r"\\")]
    assert len(rows) == 1 + 3 and all(row.count(" & ") == 4 for row in rows)
    assert r"F\_0 - F\_1" in rows[1] and r"\%" in rows[1] and r"\cdot 10^{-7}$" in rows[1]
    assert not re.search(r"(?<!\\)[%_]", rows[1])


def test_a_notebook_shows_tables():
    result, results = solved(), several()
    assert result._repr_html_().count("<tr>") == len(str(result).splitlines())
    assert results._repr_html_().count("<tr>") == 1 + 3
    harmful = dataclasses.replace(result, message="<script>")
    assert "&lt;script&gt;" in harmful._repr_html_() and "<script>" not in harmful._repr_html_()
