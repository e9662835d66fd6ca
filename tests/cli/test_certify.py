"""hr2jax certify: what it prints, writes and refuses."""

import json

import numpy as np
import pytest

from hr2jax.cli.main import main
from tests.reference.classifier import network


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("certify")
    network().save(path / "net.npz")
    inputs = np.random.default_rng(0).uniform(0, 1, (4, 2))
    np.savez(path / "data.npz", inputs=inputs, labels=np.argmax(network()(inputs), axis=1))
    np.savez(path / "bare.npz", inputs=inputs.astype(np.float32))
    np.savez(path / "other.npz", pictures=inputs)
    np.save(path / "array.npy", inputs)
    (path / "text.npz").write_text("0.1 0.2")
    (path / "text.npy").write_text("0.1 0.2")
    return path


def test_the_answer_is_on_stdout_and_files_are_written(folder, capsys):
    code = main([
        "certify", str(folder / "net.npz"), str(folder / "data.npz"), "--radii", "0.1, 1e-3", "--clip", "0,1",
        "--relaxation", "shor", "--json", str(folder / "out.json"), "--plot", str(folder / "out.svg"),
    ])  # fmt: skip
    out, err = capsys.readouterr()
    assert code == 0
    assert "under attack" in out
    assert "100.00 %" in out
    assert "error" not in err
    read = json.loads((folder / "out.json").read_text())
    assert read["radii"][0] > 0.1 - 1e-17
    assert read["problem"]["clip"] == [[0.0, 0.0], [1.0, 1.0]]
    assert (folder / "out.svg").stat().st_size > 5000


def test_labels_may_be_missing(folder, capsys):
    arguments = ["certify", str(folder / "net.npz"), str(folder / "bare.npz"), "--radii", "0.01", "--time-limit", "0"]
    assert main([*arguments, "--quiet", "--no-attack"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "TIME_LIMIT" in out


def test_inputs_may_be_mapped(folder, capsys):
    np.save(folder / "labels.npy", np.load(folder / "data.npz")["labels"])
    rest = ["--radii", "0.01", "--quiet", "--no-attack", "--relaxation", "product"]
    assert main(["certify", str(folder / "net.npz"), str(folder / "data.npz"), *rest]) == 0
    first = capsys.readouterr().out
    files = [str(folder / "array.npy"), "--labels", str(folder / "labels.npy")]
    assert main(["certify", str(folder / "net.npz"), *files, *rest]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == first.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("net.npz", "data.npz"), "--radii"),
        (("net.npz", "data.npz", "--radii", "0.1,"), "separated by commas"),
        (("net.npz", "data.npz", "--radii", "x"), "not a number"),
        (("net.npz", "data.npz", "--radii", "-0.1"), "positive, but -0.1 was"),
        (("net.npz", "data.npz", "--radii", "0"), "positive"),
        (("net.npz", "data.npz", "--radii", "0.1", "--clip", "0"), "LO,HI"),
        (("net.npz", "data.npz", "--radii", "0.1", "--clip", "0.9,1"), "clip box"),
        (("net.npz", "data.npz", "--radii", "0.1", "--clip", "-1,-0.5"), "not in [-1.0, -0.5]"),
        (("net.npz", "data.npz", "--radii", "0.1", "--clip", "-inf,inf"), "inf"),
        (("net.npz", "text.npz", "--radii", "0.1"), "never read"),
        (("net.npz", "data.npz", "--radii", "0.1", "--via", "sdp", "--relaxation", "hr2z"), "relaxation must be"),
        (("net.npz", "data.npz", "--radii", "0.1", "--json", "net.npz"), "overwrite"),
        (("net.npz", "data.npz", "--radii", "0.1", "--json", "none/x.json"), "cannot be written"),
        (("net.npz", "data.npz", "--radii", "0.1", "--plot", "x.nothing"), "must end in"),
        (("net.npz", "none.npz", "--radii", "0.1"), "No such file"),
        (("net.npz", "other.npz", "--radii", "0.1"), "inputs"),
        (("net.npz", "text.npy", "--radii", "0.1"), "not a whole .npy"),
        (("net.npz", "array.npy", "--radii", "0.1", "--labels", "array.npy"), "labels must be integers"),
        (("net.npz", "data.npz", "--radii", "0.1", "--labels", "array.npy"), "--labels is for a DATA.npy"),
        (("net.npz", "data.npz", "--radii", "0.1", "--workers", "2", "--scheduler", "tcp://x:1"), "both"),
        (("net.npz", "data.npz", "--radii", "0.1", "--surely"), "unrecognized"),
    ],
)
def test_bad_usage_is_one_line(folder, capsys, monkeypatch, arguments, why):
    monkeypatch.chdir(folder)
    assert main(["certify", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("hr2jax: error: ")
    assert why in err
