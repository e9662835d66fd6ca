"""`hr2jax prove`: verdicts, exit codes, files; `hr2jax verify` of what it writes."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

import hr2jax
from hr2jax import Proof
from hr2jax.cli.main import main

Capture = pytest.CaptureFixture[str]
DECLARED = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
BOX = "".join(f"(assert (>= X_{i} 0))(assert (<= X_{i} 1))" for i in range(2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ReLU(x_0) + ReLU(x_1), and properties of all kinds."""
    path = tmp_path_factory.mktemp("prove")
    hr2jax.Network([np.eye(2), np.ones((1, 2))], [np.zeros(2), np.zeros(1)]).save(path / "net.npz")
    texts = {"never": "(assert (>= Y_0 2.5))", "sometimes": "(assert (>= Y_0 1.5))", "cut": "(assert (>= Y_0 2.5)"}
    for name, text in texts.items():
        (path / f"{name}.vnnlib").write_text(DECLARED + BOX + text)
    (path / "never.vnnlib.gz").write_bytes(gzip.compress((path / "never.vnnlib").read_bytes()))
    return path


def words(folder: Path, name: str, *more: object) -> list[str]:
    return ["prove", str(folder / "net.npz"), str(folder / name), *map(str, more)]


def test_verified_is_0_and_its_proof_verifies(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    proof, answer, plain = tmp_path / "p.npz", tmp_path / "a.txt", tmp_path / "p.json"
    files = ("--proof", proof, "--counterexample", answer, "--json", plain)
    assert main(words(folder, "never.vnnlib", *files)) == 0
    out = capsys.readouterr().out
    assert out.startswith("verdict") and "verified: no input meets" in out and "1 by linear bounds" in out
    assert answer.read_text() == "unsat\n" and json.loads(plain.read_text())["verdict"] == "verified"
    net = str(folder / "net.npz")
    assert main(["verify", str(proof), net]) == 0
    assert "verified: no input meets" in capsys.readouterr().out
    assert main(["verify", str(proof), net, "--property", str(folder / "never.vnnlib.gz")]) == 0
    assert main(["verify", str(proof), net, "--property", str(folder / "sometimes.vnnlib")]) == 1
    assert "another property" in capsys.readouterr().err
    assert main(["verify", str(proof), net, "--output", "0"]) == 2
    assert "only --property" in capsys.readouterr().err
    hr2jax.Network([np.eye(2), np.ones((1, 2))], [np.ones(2), np.zeros(1)]).save(tmp_path / "other.npz")
    assert main(["verify", str(proof), str(tmp_path / "other.npz")]) == 1
    assert "another network" in capsys.readouterr().err


def test_violated_is_1_with_the_witness(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    proof, answer = tmp_path / "p.npz", tmp_path / "a.txt"
    assert main(words(folder, "sometimes.vnnlib", "--proof", proof, "--counterexample", answer)) == 1
    out = capsys.readouterr().out
    assert "violated: the witness" in out and "witness x" in out
    assert answer.read_text().startswith("sat\n((X_0 ")
    assert main(["verify", str(proof), str(folder / "net.npz")]) == 0
    assert "violated: the witness meets" in capsys.readouterr().out


def test_unknown_is_3_and_nothing_to_verify(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(words(folder, "never.vnnlib", "--time-limit", "0", "--proof", tmp_path / "p.npz")) == 3
    assert "unknown" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "p.npz"), str(folder / "net.npz")]) == 1
    assert "nothing to verify" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("cut.vnnlib", (), "a parenthesis is not closed"),
        ("none.vnnlib", (), "none.vnnlib: No such file"),
        ("never.vnnlib", ("--exact",), "not built yet"),
        ("never.vnnlib", ("--tol", "-1"), "tol must be a positive"),
        ("never.vnnlib", ("--proof", "/nowhere/p.npz"), "cannot be written"),
        ("never.vnnlib", ("--radius", "1"), "unrecognized arguments"),
        ("net.npz", (), "net.npz: "),
    ],
)  # fmt: skip
def test_bad_input_is_2_in_one_line(folder: Path, name: str, more: tuple[str, ...], said: str, capsys: Capture) -> None:
    assert main(words(folder, name, *more)) == 2
    out, err = capsys.readouterr()
    assert said in err and not out and err.count("\n") == 1 and err.startswith("hr2jax: error: ")


def test_the_output_does_not_replace_what_is_read(folder: Path, capsys: Capture) -> None:
    assert main(words(folder, "never.vnnlib", "--proof", folder / "never.vnnlib")) == 2
    assert "would overwrite" in capsys.readouterr().err


def test_what_is_no_proof_has_no_property(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    net = hr2jax.load(folder / "net.npz")
    hr2jax.maximum(net, center=[0, 0], radius=1, relaxation="interval").certificate.save(tmp_path / "c.npz")
    command = ["verify", str(tmp_path / "c.npz"), str(folder / "net.npz")]
    assert main([*command, "--property", str(folder / "never.vnnlib")]) == 2
    assert main(command) == 0


def test_altered_proofs_are_a_no(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "p.npz"
    assert main(words(folder, "never.vnnlib", "--proof", path)) == 0
    assert Proof.load(path).verdict == "verified"
    path.write_bytes(path.read_bytes()[:-40])
    assert main(["verify", str(path), str(folder / "net.npz")]) in (1, 2)
    assert capsys.readouterr().err.count("\n") == 1
