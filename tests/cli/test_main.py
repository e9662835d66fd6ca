"""The command line: what it prints, what it refuses, and with which exit code."""

import dataclasses
import io
import json
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax.arithmetic.decimals import decimal, round_up
from hr2jax.cli import main as cli
from hr2jax.cli.info import bound_without_solver
from hr2jax.cli.main import main
from hr2jax.cli.numbers import read_numbers
from hr2jax.problem import checked_problem

from ..reference.brute import exact_constant

SOLVE = ("solve", "net.npz", "--output", "0")
QUICK = ("--time-limit", "0")  # the bound that needs no engine, hence no compilation

Capture = pytest.CaptureFixture[str]


def _network(*widths: int) -> hr2jax.Network:
    rng = np.random.default_rng(len(widths))
    weights = [rng.standard_normal(shape) for shape in zip(widths[1:], widths[:-1], strict=True)]
    return hr2jax.Network(weights, [rng.standard_normal(width) for width in widths[1:]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of one hidden layer, one of two, a center in three formats."""
    path = tmp_path_factory.mktemp("cli")
    _network(2, 3, 2).save(path / "net.npz")
    _network(2, 3, 2, 1).save(path / "deep.npz")
    np.save(path / "x.npy", np.array([0.5, -0.25]))
    np.savez(path / "x.npz", x00=np.array([[0.5, -0.25]]), label=np.array(1))
    (path / "x.csv").write_text("# exact in binary\n0.5,\t-0.25\n")
    (path / "decimals.txt").write_text("0.1\n-0.3\n")
    return path


@pytest.fixture(scope="module")
def solved(folder: Path) -> tuple[int, Path]:
    """One solve to the end, with every kind of output: its exit code."""
    code = main([
        "solve", str(folder / "net.npz"), "--output", "1,0", "--relaxation", "shor",
        "--json", str(folder / "result.json"), "--certificate", str(folder / "cert.npz"),
        "--plot", str(folder / "result.png"),
    ])  # fmt: skip
    return code, folder


def refused(capsys: Capture, *arguments: object) -> str:
    """The one line on stderr of a call that is bad usage or bad input."""
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("hr2jax: error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


# --- solve ------------------------------------------------------------------------------------------


def test_solve_writes_what_was_asked(solved: tuple[int, Path], capsys: Capture) -> None:
    code, folder = solved
    assert code == 0
    result = json.loads((folder / "result.json").read_text(), parse_constant=pytest.fail)
    assert (result["status"], result["problem"]["output"]) == ("SOLVED", [-1.0, 1.0])
    assert result["lower"] <= result["bound"]
    assert (folder / "result.png").read_bytes().startswith(b"\x89PNG")
    certificate = hr2jax.Certificate.load(folder / "cert.npz")
    assert certificate.bound == result["bound"]
    assert main(["verify", str(folder / "cert.npz"), str(folder / "net.npz")]) == 0
    out = capsys.readouterr().out
    hash_ = hr2jax.load(folder / "net.npz").hash
    for part in ("verified", "F_1 - F_0", "2-3-2", "global", "inf", "shor", hash_):
        assert part in out
    printed = out.split("<= ")[1].split()[0]
    assert Fraction(printed) >= Fraction(certificate.bound)


def test_answer_on_stdout_progress_on_stderr(folder: Path, capsys: Capture) -> None:
    arguments = ["solve", str(folder / "net.npz"), "--output", "0", *QUICK]
    assert main(arguments) == 0  # a limit's bound is an answer too
    out, err = capsys.readouterr()
    assert "certified bound" in out
    assert "TIME_LIMIT" in out
    assert err.startswith("iteration 0  certified ")
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.csv"])
def test_centers_in_every_format(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _asked(monkeypatch)
    main(["solve", str(folder / "net.npz"), "--center", str(folder / name), "--radius", "0.1"])
    np.testing.assert_array_equal(asked["center"], [0.5, -0.25])
    assert asked["radius"] == 0.1  # the float 0.1 is above 1/10


def _asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `solve` would be asked; it refuses."""
    asked: dict[str, Any] = {}

    def solve(net: object, **arguments: object) -> None:
        asked.update(arguments)
        raise ValueError("enough")

    monkeypatch.setattr("hr2jax.api.solve", solve)
    return asked


def test_the_box_of_the_decimals_is_inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _asked(monkeypatch)
    main(["solve", str(folder / "net.npz"), "--center", str(folder / "decimals.txt"), "--radius", "0.7"])
    for text, center, radius in zip(("0.1", "-0.3"), asked["center"], asked["radius"], strict=True):
        middle, r = Fraction(float(center)), Fraction(float(radius))
        assert middle - r <= Fraction(text) - Fraction("0.7")
        assert middle + r >= Fraction(text) + Fraction("0.7")
        assert r <= Fraction("0.7") + Fraction(1, 2**51)
    main(["solve", str(folder / "net.npz"), "--center", str(folder / "decimals.txt"), "--radius", "0.7", "--norm", "2"])
    errors = [abs(Fraction(t) - Fraction(float(t))) for t in ("0.1", "-0.3")]
    assert Fraction(asked["radius"]) >= Fraction("0.7") + sum(errors)


def test_radius_from_a_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    asked = _asked(monkeypatch)
    (tmp_path / "r.txt").write_text("0 0.3\n")
    main(["solve", str(folder / "net.npz"), "--center", str(folder / "x.npy"), "--radius", str(tmp_path / "r.txt")])
    assert asked["radius"].tolist() == [0.0, math.nextafter(0.3, 1.0)]  # the float 0.3 is below 3/10
    capsys.readouterr()
    err = refused(
        capsys, "solve", folder / "net.npz", "--center", folder / "decimals.txt", "--radius", tmp_path / "r.txt"
    )
    assert "input 0 is fixed" in err


def test_every_option_reaches_solve(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _asked(monkeypatch)
    main([
        "solve", str(folder / "net.npz"), "--output", "0", "--relaxation", "hr2z", "--method", "admm", "--tol", "0.5",
        "--seed", "3", "--time-limit", "9", "--max-iterations", "7", "--device", "cpu", "--witness", "0.5",
        "--checkpoint", "c.npz", "--quiet", "--output-norm", "1", "--devices", "1",
    ])  # fmt: skip
    assert asked == {
        "output": 0, "norm": "inf", "center": None, "radius": None, "relaxation": "hr2z", "method": "admm", "tol": 0.5,
        "time_limit": 9.0, "max_iterations": 7, "device": "cpu", "seed": 3, "progress": False, "checkpoint": "c.npz",
        "cuts": None, "witness": 0.5, "output_norm": "1", "devices": 1,
    }  # fmt: skip


# --- verify -----------------------------------------------------------------------------------------


def test_verify_in_ball_arithmetic(solved: tuple[int, Path], capsys: Capture) -> None:
    pytest.importorskip("flint")
    cert, net = solved[1] / "cert.npz", solved[1] / "net.npz"
    assert main(["verify", str(cert), str(net), "--output", "1,0", "--arithmetic", "ball"]) == 0
    assert "ball arithmetic" in capsys.readouterr().out


def test_verify_a_local_claim(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    cert, net = str(tmp_path / "local.npz"), str(folder / "net.npz")
    claim = ("--output", "1", "--center", str(folder / "decimals.txt"), "--radius", "0.25")
    assert main(["solve", net, *claim, *QUICK, "--certificate", cert]) == 0
    capsys.readouterr()
    assert main(["verify", cert, net, *claim]) == 0
    out = capsys.readouterr().out
    assert "local, radius 0.25" in out
    assert "[ 0.1 -0.3]" in out
    assert main(["verify", cert, net, *claim[:-1], "0.5"]) == 1
    assert main(["verify", cert, net, "--output", "0"]) == 1
    assert main(["verify", cert, net, "--local", "--quantity", "lipschitz"]) == 0
    assert main(["verify", cert, net, "--quantity", "maximum"]) == 1
    capsys.readouterr()
    assert main(["verify", cert, net, "--global"]) == 1
    assert "for a local constant" in capsys.readouterr().err
    assert main(["verify", cert, net, "--global", "--local"]) == 2
    assert main(["verify", cert, net, *claim, "--global"]) == 2


def test_verify_a_global_claim(solved: tuple[int, Path], capsys: Capture) -> None:
    cert, net = str(solved[1] / "cert.npz"), str(solved[1] / "net.npz")
    assert main(["verify", cert, net, "--global"]) == 0
    assert main(["verify", cert, net, "--local"]) == 1
    assert "the certificate is for the global constant" in capsys.readouterr().err


def test_verify_says_what_a_maximum_certificate_proves(tmp_path: Path, capsys: Capture) -> None:
    """It was printed as a Lipschitz bound; and one below 0, the useful kind, did not verify."""
    net = hr2jax.Network([[[100.0]], [[1.0]]], [[0.0], [-2.0]])
    net.save(tmp_path / "net.npz")
    result = hr2jax.maximum(net, center=[0.0], radius=0.001)
    assert -2.0 < result.bound < -1.8
    assert result.problem["quantity"] == "maximum"
    assert "largest value" in str(result)
    result.certificate.save(tmp_path / "cert.npz")
    assert main(["verify", str(tmp_path / "cert.npz"), str(tmp_path / "net.npz")]) == 0
    out = capsys.readouterr().out
    assert "f(x) <= -1.89999" in out and "for all x in the domain |x_i - center_i| <= radius_i" in out
    assert "|f(x) - f(y)|" not in out
    result.certificate.with_bound(result.bound - 1e-3).save(tmp_path / "low.npz")
    assert main(["verify", str(tmp_path / "low.npz"), str(tmp_path / "net.npz")]) == 1


def test_verify_says_ball_where_it_is_a_ball(tmp_path: Path, capsys: Capture) -> None:
    """The box named in the claim was larger than the Euclidean ball that is proved."""
    net = hr2jax.Network([[[1.0, 1.0]], [[1.0]]], [[-1.5], [0.0]])
    net.save(tmp_path / "net.npz")
    hr2jax.solve(net, norm=2, center=[0.0, 0.0], radius=1.0).certificate.save(tmp_path / "cert.npz")
    assert main(["verify", str(tmp_path / "cert.npz"), str(tmp_path / "net.npz")]) == 0
    out = capsys.readouterr().out
    assert "<= 0 ||x - y||_2 for all x, y in the domain ||x - center||_2 <= radius" in out
    assert "|x_i - center_i|" not in out


def test_a_no_is_exit_code_1(solved: tuple[int, Path], tmp_path: Path, capsys: Capture) -> None:
    folder = solved[1]
    cert, net = folder / "cert.npz", folder / "net.npz"
    good = hr2jax.Certificate.load(cert)
    dataclasses.replace(good, bound=0.99 * good.bound).save(tmp_path / "boast.npz")
    dataclasses.replace(good, bound=good.bound * (1 - 1e-12)).save(tmp_path / "rounded.npz")
    whole = cert.read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    capsys.readouterr()
    for bad, other, why in (
        (tmp_path / "boast.npz", net, "proves only"),
        (tmp_path / "cut.npz", net, "not a whole certificate"),
        (net, net, "not a whole certificate"),
        (cert, folder / "deep.npz", "another network"),
    ):
        assert main(["verify", str(bad), str(other)]) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith("hr2jax: not verified: ")
        assert why in err
    assert main(["verify", str(tmp_path / "rounded.npz"), str(net)]) == 0


# --- info, demo, help -------------------------------------------------------------------------------


def test_info(folder: Path, capsys: Capture) -> None:
    assert main(["info", str(folder / "net.npz")]) == 0
    out = capsys.readouterr().out
    net = hr2jax.load(folder / "net.npz")
    for part in ("2-3-2", "17", net.hash, "F_0", "F_1"):
        assert part in out
    assert main(["info", str(folder / "deep.npz")]) == 0
    out = capsys.readouterr().out
    net = hr2jax.load(folder / "deep.npz")
    for part in ("2-3-2-1", "20", net.hash, "A_2, b_2", "memory"):
        assert part in out
    [shown] = [line for line in out.splitlines() if line.startswith("F_0")]
    assert float(shown.split()[3]) >= exact_constant(net, checked_problem(net)) * (1 - 1e-12)


def test_the_bound_without_solver_holds_and_is_no_worse_than_the_norms() -> None:
    net = _network(3, 4, 2)
    for k in range(2):
        bound = bound_without_solver(net, checked_problem(net, k))
        W = net.weights[1][k][:, None] * net.weights[0]
        best = max(np.abs(np.array(u) @ W).sum() for u in np.ndindex(2, 2, 2, 2))
        assert best * (1 - 1e-12) <= bound <= np.abs(W).sum() * (1 + 1e-12)
    huge = hr2jax.Network([[[1e200]], [[1e200]]], [[0.0], [0.0]])
    assert bound_without_solver(huge, checked_problem(huge)) == math.inf
    deep = _network(3, 4, 2, 1)
    norms = np.abs(deep.weights[2]) @ np.abs(deep.weights[1]) @ np.abs(deep.weights[0]).sum(axis=1)
    bound = bound_without_solver(deep, checked_problem(deep))
    assert exact_constant(deep, checked_problem(deep)) * (1 - 1e-12) <= bound <= norms[0] * (1 + 1e-12)


def test_a_deep_network_whose_derivatives_overflow_is_shown_all_the_same(tmp_path: Path, capsys: Capture) -> None:
    hr2jax.Network([np.full((1, 1), 1e200)] * 4, [np.zeros(1)] * 4).save(tmp_path / "n.npz")
    assert main(["info", str(tmp_path / "n.npz")]) == 0
    out = capsys.readouterr().out
    assert "inf" in out
    assert "memory" not in out


def test_many_outputs_and_huge_numbers_in_info(tmp_path: Path, capsys: Capture) -> None:
    hr2jax.Network([np.full((1, 1), 1e300), np.ones((12, 1))], [np.zeros(1), np.zeros(12)]).save(tmp_path / "n.npz")
    assert main(["info", str(tmp_path / "n.npz")]) == 0
    out = capsys.readouterr().out
    assert "2 more outputs" in out
    assert "float32" not in out


def test_demo_is_called(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("hr2jax.cli.demo.run_demo", lambda out: print("shown", file=out))
    assert main(["demo"]) == 0
    assert capsys.readouterr().out == "shown\n"


@pytest.mark.parametrize("command", [(), ("solve",), ("verify",), ("info",), ("demo",), ("certify",), ("prove",)])
def test_help_teaches(command: tuple[str, ...], capsys: Capture) -> None:
    assert main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "usage: hr2jax" in out
    if command in (("solve",), ("verify",), ("certify",), ("prove",)):
        assert "examples:" in out
        assert "exit codes:" in out
        assert "units" in out


def test_the_module_runs() -> None:
    done = subprocess.run([sys.executable, "-m", "hr2jax", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, f"hr2jax {hr2jax.__version__}")


# --- bad usage and bad input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "COMMAND"),
        (("dance",), "dance"),
        (("solve",), "NET"),
        (("solve", "net.npz", "--color", "red"), "unrecognized arguments: --color red"),
        (("solve", "net.npz", "--plot=--"), "argument --plot: expected one argument, but -- was given"),
        (("solve", "net.npz", "--tol", "small"), "--tol"),
        (("solve", "net.npz", "--output", "a"), "K, or K,J of two"),
        (("solve", "net.npz", "--output", "0,1,0"), "numbered from 0, but '0,1,0' was given"),
        (("solve", "net.npz", "--output", "1,1"), "K,J of two different outputs"),
        ((*SOLVE, "--center", "0,0", "--radius", "-0.1"), "must not be negative, but -0.1 was given"),
        (("solve", "net.npz", "--witness", "hard"), "auto or a number"),
        ((*SOLVE, "--witness", "-1"), "witness must be"),
        (("solve", "net.npz", "--device", "abacus"), "abacus"),
        (("solve", "absent.npz"), "absent.npz: No such file"),
        (("solve", "absent.onnx"), "absent.onnx: No such file"),
        (("solve", "x.npy"), "suffix"),
        (("solve", "net.joblib"), "load it in Python"),
        (("solve", "net.npz", "--output-norm", "3"), "output_norm must be"),
        (("solve", "net.npz", "--output", "2"), "2 was asked for, but the network has 2 outputs, numbered 0 to 1"),
        ((*SOLVE, "--tol", "nan"), "tol must be"),
        ((*SOLVE, "--relaxation", "hr3"), "relaxation must be"),
        ((*SOLVE, "--norm", "3"), "norm must be"),
        ((*SOLVE, "--norm", "2", "--method", "admm"), "norm=2"),
        ((*SOLVE, "--norm", "2", "--relaxation", "lasserre2"), "norm='inf'"),
        (("solve", "deep.npz", "--method", "admm"), "2 hidden layers"),
        (("solve", "deep.npz", "--relaxation", "hr2z"), "the network has 2"),
        ((*SOLVE, "--radius", "0.1"), "without a center"),
        ((*SOLVE, "--center", "x.npy"), "without a radius"),
        ((*SOLVE, "--center", "x.npy", "--radius", "-1"), "negative"),
        ((*SOLVE, "--center", "x.npy", "--radius", "0"), "radius must be positive"),
        ((*SOLVE, "--center", "decimals.txt", "--radius", "0"), "radius must be positive"),
        ((*SOLVE, "--center", "x.npy", "--radius", "nan"), "radius"),
        ((*SOLVE, "--center", "x.npy", "--radius", "1e999"), "radius"),
        ((*SOLVE, "--center", "x.npy", "--radius", "wide"), "radius must be a number or a file"),
        ((*SOLVE, "--center", "net.npz", "--radius", "1"), "one array, or name it center"),
        ((*SOLVE, "--center", "absent.csv", "--radius", "1"), "absent.csv: No such file"),
        ((*SOLVE, "--center", "x.png", "--radius", "1"), ".npy, .npz, .csv or .txt"),
        ((*SOLVE, "--json", "nowhere/r.json"), "no folder"),
        ((*SOLVE, "--certificate", "."), "is a folder"),
        ((*SOLVE, "--certificate", "net.npz"), "would overwrite"),
        ((*SOLVE, "--json", "same", "--certificate", "same"), "would overwrite"),
        ((*SOLVE, "--plot", "r.docx"), "must end in one of"),
        (("verify", "absent.npz", "net.npz"), "absent.npz: No such file"),
        (("verify", "x.npz", "x.npz"), "x.npz"),
        (("info", "absent.npz"), "absent.npz: No such file"),
    ],
)
def test_refused_in_one_line(
    arguments: tuple[str, ...], why: str, folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert why in refused(capsys, *arguments)


def test_a_missing_extra_is_named_at_once(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    asked = _asked(monkeypatch)
    assert 'pip install "matplotlib>=' in refused(capsys, "solve", folder / "net.npz", "--plot", folder / "p.png")
    assert not asked


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError("Unable to allocate"), 2, "not enough memory"),
        (BrokenPipeError(), 141, ""),
        (OSError(28, "No space left on device", "f.npz"), 2, "f.npz: No space left"),
        (ValueError("two\nlines"), 2, "two lines"),
    ],
)
def test_no_traceback(
    error: BaseException, code: int, line: str, folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("hr2jax.api.solve", fail)
    monkeypatch.setattr(cli, "_forget_stdout", lambda: None)  # or the tests lose theirs
    assert main(["solve", str(folder / "net.npz")]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", bool(line))
    assert line in err


def test_a_file_that_cannot_be_written_does_not_lose_the_answer(
    folder: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hr2jax.Certificate, "save", full)
    arguments = ["solve", str(folder / "net.npz"), "--output", "0", "--quiet", *QUICK]
    assert main([*arguments, "--certificate", str(tmp_path / "c.npz"), "--json", str(tmp_path / "r.json")]) == 2
    out, err = capsys.readouterr()
    assert "certified bound" in out
    assert "No space left on device" in err
    assert (tmp_path / "r.json").exists()


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("is a directory"), MemoryError()])
def test_whatever_writing_raises_the_answer_is_printed(
    error: Exception, folder: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(hr2jax.Result, "to_json", fail)
    arguments = ["solve", str(folder / "net.npz"), "--output", "0", "--quiet", *QUICK]
    assert main([*arguments, "--json", str(tmp_path / "r.json")]) == 2
    out, err = capsys.readouterr()
    assert "certified bound" in out
    assert "r.json could not be written" in err
    assert err.count("\n") == 1


def test_a_checkpoint_that_cannot_be_written_is_a_warning(
    folder: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hr2jax.Certificate, "save", full)
    arguments = ["solve", str(folder / "net.npz"), "--output", "0", "--quiet", *QUICK]
    assert main([*arguments, "--checkpoint", str(tmp_path / "c.npz")]) == 0
    out, err = capsys.readouterr()
    assert "certified bound" in out
    assert err.startswith("hr2jax: warning: checkpoint")
    assert err.count("\n") == 1


def test_a_device_is_written_and_not_replaced(folder: Path) -> None:
    arguments = ["solve", str(folder / "net.npz"), "--output", "0", "--quiet", *QUICK]
    done = subprocess.run(
        [sys.executable, "-m", "hr2jax", *arguments, "--json", "/dev/stdout", "--certificate", "/dev/null"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"bound"' in done.stdout
    assert Path("/dev/null").is_char_device()


def test_a_closed_pipe_ends_quietly(folder: Path) -> None:
    command = f"{sys.executable} -m hr2jax info {folder / 'net.npz'} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("", "")


# --- decimals ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**300))
def test_round_up_is_the_least_float_above(value: Any) -> None:
    exact = decimal(str(value), "x")
    up = round_up(exact)
    assert Fraction(up) >= exact
    assert up == 0 or Fraction(math.nextafter(up, 0.0)) < exact


def test_a_number_with_underscores_is_none() -> None:
    with pytest.raises(ValueError, match="'1_0' is not a number"):
        decimal("1_0", "radius")


def test_decimals_far_outside_the_floats_are_quick() -> None:
    assert round_up(decimal("1e-999999999", "x")) == 5e-324
    assert float(decimal("-1e-999999999", "x")) == 0.0
    assert decimal("0e999999999", "x") == 0
    for text in ("1e999999999", "1e400", "nan", "-inf", "", "1/2"):
        with pytest.raises(ValueError, match="number"):
            round_up(decimal(text, "x"))


def test_numbers_in_text(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\ufeff# a header\n1, 2.5\t3e-1 # and a remark\n\n-4\n", encoding="utf-8")
    assert read_numbers(str(path)) == [1, Fraction(5, 2), Fraction(3, 10), -4]
    for text, why in (("1,,2", "line 1"), ("1\nx", "line 2: 'x' is not a number"), ("pixel_0,pixel_1\n1,2", "pixel_0")):
        path.write_text(text)
        with pytest.raises(ValueError, match=why):
            read_numbers(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"x\.csv"):
        read_numbers(str(path))


def test_arrays_are_data_only(tmp_path: Path) -> None:
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "text.npy").write_text("0.1 0.2")
    np.savez(tmp_path / "two.npz", a=np.ones(2), b=np.ones(2))
    np.savez(tmp_path / "none.npz")
    buffer = io.BytesIO()
    np.savez(buffer, center=np.ones(100))
    (tmp_path / "cut.npz").write_bytes(buffer.getvalue()[:200])
    for name in ("object.npy", "empty.npy", "text.npy", "two.npz", "none.npz", "cut.npz"):
        with pytest.raises(ValueError, match=name):
            read_numbers(str(tmp_path / name))
    np.savez(tmp_path / "named.npz", a=np.ones(2), center=np.zeros((1, 2)))
    np.testing.assert_array_equal(read_numbers(str(tmp_path / "named.npz")), [0.0, 0.0])


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_closed_stream_is_no_fault(solved: tuple[int, Path], stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`hr2jax verify ... >&-` ended in a traceback: Python has None for a closed stdout, which cannot be flushed."""
    monkeypatch.setattr(sys, stream, None)
    _, folder = solved
    assert main(["verify", str(folder / "cert.npz"), str(folder / "net.npz")]) == 0
    getattr(sys, stream).close()
