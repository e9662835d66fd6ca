"""An interrupt waits for the compiled program that runs, and is not lost."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import hr2jax
from hr2jax.machine.interrupts import undisturbed


def interrupt(number=signal.SIGINT):
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # Python's handler runs between two of its steps


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_first_interrupt_waits_until_the_block_has_ended():
    done = []
    with pytest.raises(KeyboardInterrupt), undisturbed():
        interrupt()
        done.append(1)
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_however_many_come_they_wait_and_count_as_one():
    """A second one once landed within JAX, which goes on by itself."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    done = []
    with pytest.raises(KeyboardInterrupt), undisturbed():
        interrupt()
        interrupt(signal.SIGTERM)
        interrupt()
        done.append(1)
    assert done
    time.sleep(0.01)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_blocks_within_blocks():
    done = []
    with pytest.raises(KeyboardInterrupt), undisturbed():
        with undisturbed():
            interrupt()
        done.append(1)
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nothing_happens_without_one_or_with_another_exception():
    with undisturbed():
        pass
    with pytest.raises(ZeroDivisionError), undisturbed():
        1 / 0  # noqa: B018
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_somebodys_own_handler_is_called_and_may_announce():
    calls = []

    def handler(number, frame):
        calls.append(number)

    handler.announce = lambda: calls.append("announced")
    for number in (signal.SIGINT, signal.SIGTERM):
        calls.clear()
        signal.signal(number, handler)
        with undisturbed():
            interrupt(number)
            assert calls == ["announced"]
        assert calls == ["announced", number]


def test_ignored_signals_stay_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with undisturbed():
        interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.parametrize("moment", ["before", "between", "after"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_handlers_are_replaced_or_put_back_is_not_lost(moment, number, monkeypatch):
    """It once left the other signal's handler replaced by one that swallows it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    calls, original = [], signal.signal

    def disturbed(which, handler):
        calls.append(which)
        if len(calls) == {"before": 1, "between": 2, "after": 4}[moment]:
            os.kill(os.getpid(), number)
        return original(which, handler)

    monkeypatch.setattr("hr2jax.machine.interrupts.signal.signal", disturbed)
    with pytest.raises(KeyboardInterrupt), undisturbed():
        time.sleep(0.01)
    monkeypatch.undo()
    for each in (signal.SIGINT, signal.SIGTERM):
        with pytest.raises(KeyboardInterrupt):
            interrupt(each)
    done = []
    with pytest.raises(KeyboardInterrupt), undisturbed():
        interrupt()
        done.append(1)
    assert done


def test_other_threads_set_no_handlers():
    failed = []

    def work():
        try:
            with undisturbed():
                pass
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed


SCRIPT = """
import os, signal, sys, threading, hr2jax
net = hr2jax.load(sys.argv[1])
def first(record):
    if not sent:
        sent.append(threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)))
        sent[0].start()
sent = []
try:
    hr2jax.solve(net, callback=first, tol=1e-9, relaxation="hr2+", lifting="forward")
except hr2jax.Interrupted as stop:
    print(stop.result.status.name, stop.result.bound)
"""


def test_an_interrupt_while_it_compiles_ends_without_a_segmentation_fault(tmp_path):
    """The interpreter once ended while threads of JAX's still compiled: -11."""
    rng = np.random.default_rng(0)
    net = hr2jax.Network([rng.standard_normal((12, 8)), rng.standard_normal((1, 12))], [np.zeros(12), [0.0]])
    path = tmp_path / "net.npz"
    np.savez(path, A_1=net.weights[0], b_1=net.biases[0], C=net.weights[1], d=net.biases[1])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    status, bound = done.stdout.split()
    assert status == "STOPPED"
    assert float(bound) >= max(np.abs(net.gradient(x)).sum() for x in rng.standard_normal((200, 8)))
