"""`hr2jax solve --pairs`: all differences of outputs as a table, with their proofs in a folder."""

import json

import numpy as np
import pytest

import hr2jax
from hr2jax import Network
from hr2jax.cli.main import main


@pytest.fixture
def net(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    net = Network([rng.standard_normal((4, 3)), rng.standard_normal((3, 4))], [np.zeros(4), np.zeros(3)])
    net.save("net.npz")
    return net


def test_all_pairs_and_their_proofs(net, capsys):
    assert main(["solve", "net.npz", "--pairs", "--relaxation", "shor", "--certificate", "proofs", "--json", "all.json",
                 "--quiet"]) == 0  # fmt: skip
    table = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in table] == ["output", "F_0 - F_1", "F_0 - F_2", "F_1 - F_2"]
    with open("all.json") as file:
        kept = json.load(file)
    for pair, result in zip([(0, 1), (0, 2), (1, 2)], kept, strict=True):
        assert result["problem"]["file"]["name"] == "net.npz"
        found = hr2jax.Certificate.load(f"proofs/pair-{pair[0]}-{pair[1]}.cert.npz")
        assert found.verify(net, output=pair, center=None) <= result["bound"] * (1 + 1e-12)
    assert main(["verify", "proofs", "net.npz"]) == 0


@pytest.mark.parametrize(("words", "why"), [
    (["--pairs", "--output", "1"], "--output is of one problem"),
    (["--pairs", "--checkpoint", "c.npz"], "--checkpoint is of one problem"),
    (["--workers", "2"], "--workers is for --pairs"),
    (["--scheduler", "tcp://x:1"], "--scheduler is for --pairs"),
    (["--pairs", "--workers", "0"], "workers must be"),
    (["--pairs", "--workers", "2", "--scheduler", "tcp://x:1"], "both"),
    (["--pairs", "--certificate", "net.npz"], "cannot be kept in net.npz"),
])  # fmt: skip
def test_bad_usage_is_one_line(net, capsys, words, why):
    assert main(["solve", "net.npz", *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert why in err
