"""Bad input is refused in one sentence, before anything is solved."""

import dataclasses
import errno
import inspect
from pathlib import Path

import jax
import numpy as np
import pytest

import hr2jax
from hr2jax import Network
from hr2jax.options import BLOCK_METHODS, METHODS, Options, methods_of
from hr2jax.problem import checked_problem
from hr2jax.relaxation.table import RELAXATIONS
from hr2jax.solving import prepared, run, stages
from hr2jax.text import LONGEST, shown


@pytest.fixture
def no_work(monkeypatch):
    """Fails the test where something is presolved, proved or solved."""

    def worked(*_, **__):
        raise AssertionError("work was done before the arguments were checked")

    for name in ("prepare", "lift", "Session", "_search"):
        monkeypatch.setattr(run, name, worked)
    for name in ("presolve", "find_slopes"):
        monkeypatch.setattr(prepared, name, worked)
    for name in ("preset", "choose_engine"):
        monkeypatch.setattr(stages, name, worked)


@pytest.fixture(scope="module")
def net():
    rng = np.random.default_rng(0)
    return Network([rng.standard_normal((3, 2)), rng.standard_normal((2, 3))], [np.zeros(3), np.zeros(2)])


@pytest.fixture(scope="module")
def earlier():
    """A result of widths (1, 1, 1)."""
    return hr2jax.solve(Network([[[1.0]], [[2.0]]], [[0.0], [0.0]]), max_iterations=1)


def sentence(error, path=""):
    """The message, checked to be a single sentence on one line, and short but for a path that it names."""
    text = str(error.value)
    assert text
    assert "\n" not in text
    assert not text.endswith(".")
    assert ". " not in text
    assert len(text.replace(str(path), "")) < 280
    return text


BOX = {"center": [0.0, 0.0], "radius": 1.0}

REFUSED = [
    # argument, value, what else is given, and what the message must contain
    ("output", 2, {}, ["0 to 1", "output 2 was asked for"]),
    ("output", -1, {}, ["0 to 1", "output -1 was asked for"]),
    ("output", (0, 2), {}, ["0 to 1", "(0, 2)"]),
    ("output", (0, 1, 1), {}, ["pair", "(3,)"]),
    ("output", "0", {}, ["output", "'0'"]),
    ("output", True, {}, ["output", "True"]),
    ("output", 1.0, {}, ["output", "()"]),
    ("output", [1.0], {}, ["length 2", "(1,)"]),
    ("output", [[1.0, 0.0, 0.0]], {}, ["output", "(1, 3)"]),
    ("output_norm", "3", {"output": None}, ["output_norm must be", "'3'"]),
    ("lifting", "adjoint", {"output": None, "output_norm": 2}, ["lifting", "'adjoint'"]),
    ("output", [1.0, np.nan], {}, ["output", "NaN"]),
    ("output", [1.0, 1j], {}, ["output", "complex"]),
    ("output", {"k": 0}, {}, ["output"]),
    ("norm", "l3", {}, ["inf", "2", "'l3'"]),
    ("norm", 3, {}, ["inf", "3 was given"]),
    ("norm", None, {}, ["norm", "None"]),
    ("norm", True, {}, ["norm", "True"]),
    ("norm", np.nan, {}, ["norm", "nan"]),
    ("center", [0.0, 0.0], {}, ["center", "without a radius"]),
    ("radius", 1.0, {}, ["radius", "without a center"]),
    ("center", [0.0], {"radius": 1.0}, ["(2,)", "(1,)"]),
    ("center", [[0.0], [0.0], [0.0]], {"radius": 1.0}, ["center", "(3, 1)"]),
    ("center", 0.0, {"radius": 1.0}, ["center", "()"]),
    ("center", [0.0, np.inf], {"radius": 1.0}, ["center", "infinity"]),
    ("center", ["a", "b"], {"radius": 1.0}, ["center", "real numbers"]),
    ("center", [2**60 + 1, 0], {"radius": 1.0}, ["center", "int64"]),
    ("radius", -1.0, BOX, ["radius", "negative", "-1.0"]),
    ("radius", 0.0, BOX, ["radius", "positive"]),
    ("radius", [0.0, 0.0], BOX, ["radius", "positive"]),
    ("radius", np.nan, BOX, ["radius", "NaN"]),
    ("radius", np.inf, BOX, ["radius", "infinity"]),
    ("radius", [1.0, -1.0], BOX, ["radius", "negative"]),
    ("radius", [1.0, 1.0, 1.0], BOX, ["radius", "(2,)", "(3,)"]),
    ("radius", [[1.0, 1.0], [1.0, 1.0]], BOX, ["radius", "(2, 2)"]),
    ("radius", "1", BOX, ["radius", "real numbers"]),
    ("radius", True, BOX, ["radius", "bool"]),
    ("radius", [1.0, 2.0], BOX | {"norm": 2}, ["radius", "norm 2"]),
    ("relaxation", "hr3", {}, ["relaxation", "'hr2'", "'hr3'"]),
    ("relaxation", None, {}, ["relaxation", "None"]),
    ("relaxation", "HR2", {}, ["relaxation", "'HR2'"]),
    ("relaxation", ["hr2"], {}, ["relaxation", "['hr2']"]),
    ("relaxation", 2, {}, ["relaxation", "2"]),
    ("bounds", "exact", {}, ["bounds", "'interval'", "'exact'"]),
    ("bounds", None, {}, ["bounds", "None"]),
    ("method", "simplex", {}, ["method", "'lowrank'", "'simplex'"]),
    ("method", None, {}, ["method", "None"]),
    ("method", np.array(["admm"]), {}, ["method"]),
    ("tol", 0.0, {}, ["tol", "positive", "0.0"]),
    ("tol", -1e-3, {}, ["tol", "-0.001"]),
    ("tol", np.nan, {}, ["tol", "nan"]),
    ("tol", np.inf, {}, ["tol", "inf"]),
    ("tol", "1e-3", {}, ["tol", "'1e-3'"]),
    ("tol", None, {}, ["tol", "None"]),
    ("tol", True, {}, ["tol", "True"]),
    ("tol", np.True_, {}, ["tol", "True"]),
    ("tol", 1 + 0j, {}, ["tol"]),
    ("tol", np.complex64(1), {}, ["tol"]),
    ("tol", [1e-3], {}, ["tol", "[0.001]"]),
    ("tol", 10**400, {}, ["tol", "float64"]),
    ("time_limit", -1, {}, ["time_limit", "nonnegative", "-1"]),
    ("time_limit", np.nan, {}, ["time_limit", "nan"]),
    ("time_limit", np.inf, {}, ["time_limit", "inf"]),
    ("time_limit", "10", {}, ["time_limit", "'10'"]),
    ("time_limit", False, {}, ["time_limit", "False"]),
    ("time_limit", 10**400, {}, ["time_limit", "float64"]),
    ("max_iterations", 0, {}, ["max_iterations", "at least 1", "0"]),
    ("max_iterations", -5, {}, ["max_iterations", "-5"]),
    ("max_iterations", 1.5, {}, ["max_iterations", "1.5"]),
    ("max_iterations", 100.0, {}, ["max_iterations", "100.0"]),
    ("max_iterations", True, {}, ["max_iterations", "True"]),
    ("max_iterations", "10", {}, ["max_iterations", "'10'"]),
    ("max_iterations", np.nan, {}, ["max_iterations", "nan"]),
    ("device", "tpu", {}, ["device", "'cpu', 'gpu'", "'tpu'"]),
    ("device", "CPU", {}, ["device", "'CPU'"]),
    ("device", 0, {}, ["device", "0"]),
    ("seed", -1, {}, ["seed", "nonnegative", "-1"]),
    ("seed", 1.0, {}, ["seed", "1.0"]),
    ("seed", None, {}, ["seed", "None"]),
    ("seed", True, {}, ["seed", "True"]),
    ("seed", "0", {}, ["seed", "'0'"]),
    ("warm_start", 1.0, {}, ["warm_start", "Result", "float"]),
    ("warm_start", "result.json", {}, ["warm_start", "Result", "str"]),
    ("progress", 1, {}, ["progress", "True or False", "1"]),
    ("progress", None, {}, ["progress", "None"]),
    ("progress", "yes", {}, ["progress", "'yes'"]),
    ("callback", 1, {}, ["callback", "function", "1"]),
    ("callback", "print", {}, ["callback", "'print'"]),
    ("checkpoint", 3, {}, ["checkpoint", "path", "3"]),
    ("checkpoint", b"file", {}, ["checkpoint", "path"]),
    ("checkpoint", "", {}, ["checkpoint", "file"]),
    ("cuts", ["T.U"], {}, ["cuts", "'hr2+'", "'hr2'"]),
    ("cuts", "T.U", {"relaxation": "hr2+"}, ["cuts", "list", "'T.U'"]),
    ("cuts", ["T.W"], {"relaxation": "best"}, ["cuts", "T.U,", "T.V,", "'T.W'"]),
    ("cuts", ["T.U", 3], {"relaxation": "best"}, ["cuts", "T.U,", "3"]),
    ("cuts", ["T.V", "U.X"], {"relaxation": "hr2+"}, ["cuts", "'T.V', 'U.X'", "one hidden layer"]),
    ("lifting", "values", {}, ["lifting", "'forward'", "'both'", "'values'"]),
    ("lifting", "lipsdp", {}, ["lifting", "'forward'", "'both'", "'lipsdp'"]),
    ("lifting", "backward", {}, ["lifting", "'forward'", "'backward'"]),
    ("lifting", None, {}, ["lifting", "None"]),
    ("lifting", ["forward"], {}, ["lifting", "['forward']"]),
    ("lifting", "adjoint", {}, ["lifting", "'adjoint'", "one hidden layer"]),
    ("lifting", "both", {}, ["lifting", "'both'", "one hidden layer"]),
    ("cuts", 3, {"relaxation": "hr2+"}, ["cuts", "list", "3"]),
    # values whose repr has many lines
    ("tol", np.eye(3), {}, ["tol", "an array of shape (3, 3)"]),
    ("seed", list(range(500)), {}, ["seed", "[0, 1, 2,", "… was given"]),
    ("method", np.eye(3), {}, ["method", "an array of shape"]),
    ("norm", np.eye(3), {}, ["norm", "an array of shape"]),
    ("output", "0\n1", {}, ["output", "'0"]),
    ("checkpoint", np.eye(9), {}, ["checkpoint", "an array of shape"]),
    # ragged
    ("output", [1.0, [2.0]], {}, ["output", "unequal lengths"]),
    ("center", [0.0, [0.0]], {"radius": 1.0}, ["center", "1 dimension", "unequal lengths"]),
    ("radius", [1.0, [1.0, 2.0]], BOX, ["radius", "unequal lengths"]),
]


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(("name", "value", "others", "words"), REFUSED)
def test_what_means_nothing_is_refused_before_any_work(net, name, value, others, words):
    with pytest.raises(ValueError) as error:
        hr2jax.solve(net, **({"output": 0} | others | {name: value}))
    text = sentence(error)
    for word in words:
        assert word in text


def test_what_a_message_shows_is_short_and_on_one_line():
    class Nameless:
        def __repr__(self):
            raise RuntimeError

    assert shown("a b") == "'a b'"
    assert shown(10**5000) == "an integer of 16610 bits"
    for value in (10**5000, Nameless(), np.eye(9), "x" * 500, "x\ny"):
        assert 0 < len(shown(value)) <= LONGEST
        assert "\n" not in shown(value)


NOT_BUILT = [
    ({"norm": 2, "method": "admm"}, "norm=2"),
    ({"norm": "l2", "method": "clarabel"}, "norm=2"),
    ({"norm": 2, "relaxation": "lasserre2", **BOX}, "norm='inf'"),
    ({"relaxation": "hr2+", "method": "admm"}, "'hr2+'"),
    ({"relaxation": "best", "method": "clarabel"}, "'best'"),
    ({"relaxation": "lasserre2", "method": "lowrank"}, "'lasserre2'"),
    ({"relaxation": "lasserre2", "method": "lowrank"}, "method='lowrank' was given"),
]


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(("given", "word"), NOT_BUILT)
def test_what_is_not_built_yet_is_refused_before_any_work(net, given, word):
    with pytest.raises(NotImplementedError) as error:
        hr2jax.solve(net, output=0, **given)
    assert word in sentence(error)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("given", [{"relaxation": "hr2z"}, {"relaxation": "lasserre2"}, {"method": "admm"}])
def test_what_is_for_one_hidden_layer_is_refused_for_two(given):
    deep = Network([np.ones((2, 2)), np.ones((3, 2)), np.ones((1, 3))], [np.zeros(2), np.zeros(3), np.zeros(1)])
    with pytest.raises(NotImplementedError) as error:
        hr2jax.solve(deep, **given)
    text = sentence(error)
    assert "one hidden layer" in text
    assert "2" in text
    with pytest.raises(ValueError, match="tol"):  # what means nothing comes first
        hr2jax.solve(deep, tol=-1.0, **given)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("wrong", [None, [np.ones((1, 1))], np.ones((2, 2)), Network])
def test_the_network_must_be_a_network(wrong):
    with pytest.raises(ValueError) as error:
        hr2jax.solve(wrong)
    text = sentence(error)
    assert "Network" in text
    assert type(wrong).__name__ in text


@pytest.mark.usefixtures("no_work")
def test_a_file_of_a_network_must_be_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.npz"):
        hr2jax.solve(tmp_path / "missing.npz")


@pytest.mark.usefixtures("no_work")
def test_everything_but_the_network_is_given_by_name(net):
    with pytest.raises(TypeError):
        hr2jax.solve(net, 0)
    with pytest.raises(TypeError, match="tolerance"):
        hr2jax.solve(net, output=0, tolerance=1e-3)


def test_a_warm_start_of_other_widths_is_refused(net, earlier, no_work):
    with pytest.raises(ValueError, match="warm_start") as error:
        hr2jax.solve(net, output=0, warm_start=earlier)
    text = sentence(error)
    assert "(1, 1, 1)" in text
    assert "(2, 3, 2)" in text


@pytest.mark.usefixtures("no_work")
def test_a_checkpoint_needs_a_folder(net, tmp_path):
    for path in (tmp_path / "missing" / "file.npz", tmp_path, str(tmp_path / "a" / "b" / "c")):
        with pytest.raises(ValueError, match="checkpoint") as error:
            hr2jax.solve(net, output=0, checkpoint=path)
        assert str(path) in sentence(error, path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("name", ["c.npz", "n" * 300, "nul\0l"])
def test_a_checkpoint_that_cannot_be_written_is_refused_before_any_work(net, tmp_path, monkeypatch, name):
    def read_only(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    if name == "c.npz":
        # permissions do not bind the tests where root runs
        monkeypatch.setattr("hr2jax.machine.files.Path.touch", read_only)
    with pytest.raises(ValueError, match="checkpoint") as error:
        hr2jax.solve(net, output=0, checkpoint=tmp_path / name)
    assert "\n" not in str(error.value)
    if name == "c.npz":
        assert "read-only file system" in sentence(error)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_work")
@pytest.mark.skipif(any(d.platform == "gpu" for d in jax.devices()), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(net):
    with pytest.raises(ValueError, match="device='gpu'") as error:
        hr2jax.solve(net, output=0, device="gpu")
    assert "only cpu" in sentence(error)


@pytest.mark.parametrize(
    "given",
    [
        {"norm": "Linf"},
        {"norm": np.inf},
        {"norm": float("inf")},
        {"tol": 1},
        {"tol": np.float32(1e-3)},
        {"time_limit": np.int64(100)},
        {"max_iterations": np.int32(3)},
        {"seed": np.uint8(3)},
        {"seed": 10**30},
        {"seed": 10**30, "relaxation": "interval"},
        {"bounds": "interval"},
        {"bounds": "linear"},
        {"bounds": "lp", "center": [0.0], "radius": 1.0},
        {"norm": 2},
        {"norm": "l2", "center": [0.0], "radius": 1.0},
        {"relaxation": "interval"},
        {"relaxation": "product"},
        {"lifting": "forward"},
        {"device": "cpu"},
        {"center": np.zeros(1, dtype=np.float32), "radius": np.int8(1)},
        {"center": [0], "radius": [1]},
    ],
)
def test_what_means_something_is_taken(given):
    one = Network([[[1.0]], [[2.0]]], [[0.5], [0.0]])
    result = hr2jax.solve(one, **given)
    assert 2.0 <= result.bound <= 2.0 * (1 + 1e-9)


def test_a_checkpoint_may_be_a_name_or_a_path(tmp_path, monkeypatch):
    one = Network([[[1.0]], [[2.0]]], [[0.5], [0.0]])
    monkeypatch.chdir(tmp_path)
    for path in ("plain", Path("path.npz"), str(tmp_path / "absolute")):
        hr2jax.solve(one, checkpoint=path)
        assert hr2jax.Certificate.load(path).verify(one) == pytest.approx(2.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["absolute", "path.npz", "plain"]


def test_defaults_are_stated_once():
    """Everywhere else they are those of Options."""
    defaults = {field.name: field.default for field in dataclasses.fields(Options)}
    for function in (hr2jax.solve, hr2jax.maximum, hr2jax.certify):
        given = inspect.signature(function).parameters
        shared = [name for name in given if name in defaults]
        assert "relaxation" in shared
        assert all(given[name].default == defaults[name] for name in shared)
    assert {name for name in defaults} <= inspect.signature(hr2jax.solve).parameters.keys()
    assert Options() == Options(**defaults)


ONE = Network([np.eye(2), [[1.0, -1.0]]], [[0.1, 0.2], [0.0]])
TWO = Network([np.eye(2), np.eye(2), [[1.0, -1.0]]], [[0.1, 0.2], [0.0, 0.1], [0.0]])


@pytest.mark.parametrize("name", RELAXATIONS)
@pytest.mark.parametrize("net", [ONE, TWO], ids=["one layer", "two layers"])
@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("quantity", ["lipschitz", "maximum"])
def test_every_record_is_taken_or_refused_as_it_says(name, net, norm, quantity):
    record = RELAXATIONS[name]
    problem = checked_problem(net, None, norm, [0.0, 0.0], 1.0, quantity=quantity)
    fits = quantity in record.quantities and norm in record.norms and (net.depth == 1 or record.any_depth)
    if fits:
        assert Options(relaxation=name).check(net, problem).record is record
        assert record.baseline or record.degree or record.climbs or record.lifting or record.families(net.depth, True)
    else:
        with pytest.raises((ValueError, NotImplementedError), match="relaxation") as error:
            Options(relaxation=name).check(net, problem)
        assert repr(name) in sentence(error)
    for method in METHODS[1:]:
        blocks = method in BLOCK_METHODS
        if fits and method in methods_of(record) and not (blocks and (net.depth > 1 or norm == 2)):
            Options(relaxation=name, method=method).check(net, problem)
        else:
            with pytest.raises((ValueError, NotImplementedError)):
                Options(relaxation=name, method=method).check(net, problem)
