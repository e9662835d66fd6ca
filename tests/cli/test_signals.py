"""SIGINT and SIGTERM: the answer so far, and exit codes 130 and 143."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import hr2jax
from hr2jax import Certificate
from hr2jax.cli.main import main
from hr2jax.progress import log_interval
from tests.reference.frameworks import framework

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
# Each starts a process: one of the two is enough for everyday.
BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
UNPROVED = "hr2jax: interrupted: stopped before there was an answer"


def network(inputs, hidden):
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((hidden, inputs)), rng.standard_normal((10, hidden))]
    return hr2jax.Network(weights, [rng.standard_normal(hidden), np.zeros(10)])


@pytest.fixture
def folder(tmp_path):
    network(20, 30).save(tmp_path / "net.npz")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", inputs=rng.uniform(-1, 1, (40, 20)))
    return tmp_path


# SIGINT is ignored in what a shell or a CI has put in the background, and in its children.
START = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import hr2jax.__main__ as main
open(".begun", "w").close()
main.run()
"""


def started(folder, *words):
    return subprocess.Popen(
        [sys.executable, "-c", START, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_beginning(folder, process):
    """Until the command has begun: before, it is Python that hears a signal."""
    while not (folder / ".begun").exists():
        assert process.poll() is None
        time.sleep(0.01)


def stopped_within(folder, process, number, seed, seconds):
    """Send the signal at a random moment of so many seconds, counted from when the command has begun."""
    wait_for_beginning(folder, process)
    time.sleep(np.random.default_rng([seed, number]).uniform(0.2, seconds))
    process.send_signal(number)


def ended(process):
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err
    return process.returncode, out, err


SOLVE = ("solve", "net.npz", "--output", "0", "--relaxation", "hr2+", "--tol", "1e-9", "--certificate", "c.npz",
         "--json", "r.json", "--checkpoint", "k.npz")  # fmt: skip


def check_solve(folder, number, process):
    """What a stopped solve leaves: an answer with all its files, or one line and no file of the answer's."""
    code, out, err = ended(process)
    assert code == CODES[number], err
    if not out:
        assert UNPROVED in err
        assert not (folder / "c.npz").exists()
    else:
        net, certificate = hr2jax.load(folder / "net.npz"), Certificate.load(folder / "c.npz")
        bound = certificate.verify(net)
        assert json.loads((folder / "r.json").read_text())["bound"] == bound
        assert "certified bound" in out
        x = np.random.default_rng(0).standard_normal((100, net.widths[0]))
        assert bound >= max(np.abs(net.gradient(point, 0)).sum() for point in x)
    assert not list(folder.glob(".hr2jax-*"))


@BOTH
def test_a_solve_that_is_stopped_prints_its_bound(number, folder):
    """Once the checkpoint is there something is proved."""
    process = started(folder, *SOLVE)
    while not (folder / "k.npz").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    check_solve(folder, number, process)
    assert (folder / "c.npz").exists()
    said = "SIGTERM" if number == signal.SIGTERM else "Ctrl-C"
    assert json.loads((folder / "r.json").read_text())["message"].startswith(f"{said} stopped it")
    assert Certificate.load(folder / "k.npz").verify(hr2jax.load(folder / "net.npz")) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("number", CODES)
def test_at_any_moment(number, folder, seed):
    """Of a solve that takes far longer than the latest of these moments: (20, 30) may have ended by itself."""
    network(100, 150).save(folder / "net.npz")
    process = started(folder, *SOLVE)
    stopped_within(folder, process, number, seed, 10.0)
    check_solve(folder, number, process)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("number", CODES)
def test_certify_at_any_moment(number, folder, seed, workers):
    """Of inputs that take far longer than the latest of these moments: 40 of (20, 30) had ended by themselves."""
    if workers != "1":
        framework("distributed")
    network(100, 150).save(folder / "net.npz")
    np.savez(folder / "data.npz", inputs=np.random.default_rng(0).uniform(-1, 1, (1000, 100)))
    process = started(
        folder, "certify", "net.npz", "data.npz", "--radii", "0.01,0.1", "--via", "lipschitz-local",
        "--workers", workers, "--json", "r.json",
    )  # fmt: skip
    stopped_within(folder, process, number, seed, 20.0)
    code, out, err = ended(process)
    assert code == CODES[number], err
    assert ("inputs" in out and (folder / "r.json").exists()) if out else UNPROVED in err


@BOTH
def test_before_anything_is_proved_it_is_one_line(number, folder):
    process = started(folder, "solve", "net.npz", "--output", "0")
    wait_for_beginning(folder, process)
    time.sleep(0.1)
    process.send_signal(number)
    code, out, err = ended(process)
    assert code == CODES[number], err
    assert (out, err.strip()) == ("", UNPROVED) or "certified bound" in out


@BOTH
def test_a_proof_that_is_stopped_says_unknown(number, folder):
    rng = np.random.default_rng(0)
    shapes = ((80, 40), (80, 80), (1, 80))
    net = hr2jax.Network([rng.standard_normal(s) / np.sqrt(s[1]) for s in shapes], [np.zeros(s[0]) for s in shapes])
    net.save(folder / "deep.npz")
    most = float(net(rng.uniform(-1, 1, (1000, 40))).max())
    bounds = "".join(f"(declare-const X_{i} Real)(assert (and (>= X_{i} -1) (<= X_{i} 1)))" for i in range(40))
    (folder / "p.vnnlib").write_text(f"(declare-const Y_0 Real){bounds}(assert (>= Y_0 {7 * most!r}))")
    process = started(folder, "prove", "deep.npz", "p.vnnlib", "--json", "p.json")
    wait_for_beginning(folder, process)
    time.sleep(1.5)
    process.send_signal(number)
    began = time.time()
    code, out, err = ended(process)
    assert code == CODES[number], (out, err)
    assert time.time() - began < 10
    if out:
        assert f"unknown: {'SIGTERM' if number == signal.SIGTERM else 'Ctrl-C'} stopped it" in out
        assert json.loads((folder / "p.json").read_text())["verdict"] == "unknown"
    else:
        assert UNPROVED in err


LATE = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import hr2jax.__main__ as main
import hr2jax.cli.solve as solve
number, when = int(sys.argv.pop(1)), sys.argv.pop(1)
deliver = solve.deliver

def late(*args):
    if when == "before":
        os.kill(os.getpid(), number)
    code = deliver(*args)
    if when == "after":
        os.kill(os.getpid(), number)
    return code

solve.deliver = late
if when == "end":
    import hr2jax.cli.main as cli
    whole = cli.main
    cli.main = lambda **options: (whole(**options), os.kill(os.getpid(), number))[0]
main.run()
"""


@pytest.mark.parametrize("when", ["before", pytest.param("after", marks=pytest.mark.slow), "end"])
@BOTH
def test_a_signal_that_comes_while_or_after_the_answer_is_given_loses_nothing_of_it(number, when, folder):
    """SIGTERM once killed the process there: -15."""
    done = subprocess.run(
        [sys.executable, "-c", LATE, str(int(number)), when, "solve", "net.npz", "--output", "0", "--relaxation",
         "product", "--certificate", "c.npz"],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == CODES[number], done.stderr
    assert "certified bound" in done.stdout
    assert Certificate.load(folder / "c.npz").verify(hr2jax.load(folder / "net.npz")) > 0


@pytest.mark.slow
def test_a_signal_that_is_ignored_stops_nothing(folder):
    """As under nohup."""
    ignoring = START.replace("default_int_handler", "SIG_IGN")
    process = subprocess.Popen(
        [sys.executable, "-c", ignoring, "solve", "net.npz", "--output", "0", "--relaxation", "product"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(1.0)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    code, out, _ = ended(process)
    assert code == 0
    assert "certified bound" in out


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no SIGUSR1")
def test_sigusr1_says_where_it_stands_and_stops_nothing(folder, capfd, monkeypatch):
    """It ended the command."""
    from hr2jax.robustness.certifying import Certifying

    bound_pairs = Certifying.bound_pairs

    def asked(self, options, line, *others):
        line.show("something of 7")
        os.kill(os.getpid(), signal.SIGUSR1)  # the main thread hears it
        time.sleep(0.2)
        return bound_pairs(self, options, line, *others)

    monkeypatch.setattr(Certifying, "bound_pairs", asked)
    before = signal.getsignal(signal.SIGUSR1)
    files = [str(folder / "net.npz"), str(folder / "data.npz")]
    command = ["certify", *files, "--radii", "0.1", "--relaxation", "product", "--no-attack", "--quiet"]
    assert main(command) == 0
    out, err = capfd.readouterr()
    assert "SOLVED" in out and err == "hr2jax: something of 7 (0 s ago)\n"
    assert signal.getsignal(signal.SIGUSR1) is before


def test_a_log_of_hours_has_a_line_a_minute():
    assert (log_interval(0.0), log_interval(59.0), log_interval(3600.0)) == (5.0, 5.0, 60.0)
