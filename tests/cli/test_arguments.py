"""What a network file does not say itself: --activation, --layers, --logits, wherever a network is read."""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest

import hr2jax
from hr2jax.cli.arguments import Parser, add_network, network
from hr2jax.cli.certify import read_data
from hr2jax.cli.main import main
from hr2jax.cli.numbers import read_numbers
from hr2jax.io import read_vnnlib
from tests.reference.pt_files import file_of, linear, module, sequential

STATE = {"stem.weight": np.eye(2), "head.weight": np.array([[1.0, -2.0]]), "head.bias": np.ones(1)}


def parsed(*words: object) -> argparse.Namespace:
    parser = Parser()
    add_network(parser)
    return parser.parse_args([str(word) for word in words])


def test_what_a_state_dict_does_not_say_is_an_argument(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    np.savez(path, **STATE)
    net = network(parsed(path, "--activation", "relu", "--layers", "stem,head"))
    assert net.hash == hr2jax.load(path, activation="relu", layers=["stem", "head"]).hash
    assert network(parsed(path, "--activation", "relu", "--layers", "stem, stem ,head", "--logits")).depth == 2
    with pytest.raises(ValueError, match="activation has 2 names"):
        network(parsed(path, "--activation", "relu,relu", "--layers", "stem,head"))


@pytest.mark.parametrize("command", ["solve", "info", "verify", "certify", "prove"])
def test_every_command_that_reads_a_network_takes_them(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.npz"
    np.savez(path, **STATE)
    files = {"verify": ["missing.cert.npz", path], "certify": [path, "missing.npz", "--radii", "1"]}
    files["prove"] = [path, "missing.vnnlib"]
    words = [str(word) for word in (command, *files.get(command, [path]))]
    assert main(words) == 2
    assert "say layers=[...] (--layers)" in capsys.readouterr().err
    assert main([*words, "--layers", "stem,head"]) == 2
    assert "(--activation relu)" in capsys.readouterr().err
    if command == "info":
        assert main([*words, "--layers", "stem,head", "--activation", "relu"]) == 0
        assert "2-2-1" in capsys.readouterr().out


def pooled(folder: Path) -> Path:
    """A module that does not say what its input is: a pool, and a Linear of 16."""
    own = {"output_size": b"K\x04K\x04\x86"}
    flat = module("flatten Flatten", start_dim=b"K\x01", end_dim=b"J\xff\xff\xff\xff")
    parts = sequential(module("pooling AdaptiveAvgPool2d", **own), flat, linear(0, 1, 16))
    (folder / "pool.pt").write_bytes(file_of(parts, [np.ones(16, "<f4"), np.zeros(1, "<f4")]))
    return folder / "pool.pt"


def test_an_example_says_the_shape_of_a_modules_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = pooled(tmp_path)
    assert main(["info", str(path)]) == 2
    assert "give an example of a batch of 1" in capsys.readouterr().err
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 8, 4)))
    for given in ("1,1,8,4", "1, 1,8 ,4", tmp_path / "x.npy"):
        net = network(parsed(path, "--example", given))
        assert net.hash == hr2jax.as_network(path, example=np.zeros((1, 1, 8, 4))).hash and net.widths[0] == 32
    assert main(["info", str(path), "--example", "1,1,8,4"]) == 0
    assert "32-1" in capsys.readouterr().out
    found = ["--certificate", str(tmp_path / "c.npz"), "--quiet"]
    assert main(["solve", str(path), "--example", "1,1,8,4", *found]) == 0
    assert main(["verify", str(tmp_path / "c.npz"), str(path), "--example", "1,1,8,4"]) == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("1x1x8x4", "--example must be a shape such as 1,3,32,32, or a .npy file of an input, but '1x1x8x4' was given"),
        ("3,1,8,4", "example must be one input, a batch of 1, but its shape is (3, 1, 8, 4)"),
        ("1,0,8,4", "its shape is (1, 0, 8, 4)"),
        (f"1,{10**30}", "no array can have"),
        ("missing.npy", "missing.npy: No such file or directory"),
        ("torn.npy", "torn.npy is not a whole .npy file"),
        ("1,1,99999,99999", "memory"),
    ],
)
def test_what_is_no_example_is_refused(
    tmp_path: Path, given: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pooled(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torn.npy").write_bytes(b"\x93NUMPY\x01\x00\x76")
    assert main(["info", str(path), "--example", given]) == 2
    assert said in capsys.readouterr().err


def test_an_example_agrees_with_a_file_that_says_its_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hr2jax.Network([np.eye(2), np.ones((1, 2))], [np.zeros(2), np.zeros(1)]).save(tmp_path / "net.npz")
    assert main(["info", str(tmp_path / "net.npz"), "--example", "1,2"]) == 0
    assert main(["info", str(tmp_path / "net.npz"), "--example", "1,3"]) == 2
    assert "net.npz: the example has the shape (1, 3), which is 3 numbers, but the network has 2 inputs" in (
        capsys.readouterr().err
    )


def test_info_names_the_data_beside_the_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "net.npz", A_1=np.eye(2), b_1=np.ones(2), C=np.ones((1, 2)), x00=np.ones(2), labels=[1])
    assert main(["info", str(tmp_path / "net.npz")]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("data")]
    assert "labels, x00" in row and "no part" in row


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
@pytest.mark.parametrize(
    ("name", "read"),
    [("x.npy", read_numbers), ("x.csv", read_numbers), ("d.npz", read_data), ("p.vnnlib", read_vnnlib)],
)
def test_a_pipe_or_a_device_is_refused_at_once(tmp_path: Path, name: str, read: object) -> None:
    os.mkfifo(tmp_path / name)
    (tmp_path / f"zero{name}").symlink_to("/dev/zero")
    for path in (tmp_path / name, tmp_path / f"zero{name}"):
        with pytest.raises(ValueError, match="is a pipe or a device"):
            read(str(path))  # type: ignore[operator]


def test_numbers_are_a_center(tmp_path, capsys):
    net = hr2jax.Network([np.eye(2), np.array([[1.0, -2.0]])], [np.zeros(2), np.zeros(1)])
    net.save(tmp_path / "net.npz")
    cert, path = str(tmp_path / "c.npz"), str(tmp_path / "net.npz")
    for center, file in (("0.1,-0.3", "0.1\n-0.3\n"), ("-1,2e-1", "-1\n2e-1\n")):
        (tmp_path / "x.txt").write_text(file)
        claim = ("--radius", "0.25", "--quiet")
        assert main(["solve", path, "--center", center, *claim, "--certificate", cert]) == 0
        assert main(["verify", cert, path, "--center", str(tmp_path / "x.txt"), "--radius", "0.25"]) == 0
    capsys.readouterr()
    assert main(["solve", path, "--center", "0.1;0.2", "--radius", "1"]) == 2
    assert "numbers have commas between them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("solve", "net.npz", "--ouput", "0"), "did you mean --output?"),
        (("certify", "net.npz", "data.npz", "--radii", "0.1", "--timelimit", "3"), "did you mean --time-limit?"),
        (("solve", "net.npz", "--output", "2,2"), "K, or K,J of two different outputs"),
        (("report", "bound.json", "-o", "bound.pdf"), "must end in .html"),
    ],
)
def test_what_was_meant_is_said(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hr2jax.Network([np.eye(2), np.ones((3, 2))], [np.zeros(2), np.zeros(3)]).save("net.npz")
    (tmp_path / "bound.json").write_text("{}")
    assert main(list(words)) == 2
    assert said in capsys.readouterr().err
