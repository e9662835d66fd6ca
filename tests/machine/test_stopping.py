"""Ctrl-C ends a call soon, whatever runs, and leaves what is proved; the work has a thread of its own."""

import contextvars
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import hr2jax
from hr2jax.machine import stopping
from hr2jax.machine.child import ChildError, in_child
from hr2jax.machine.stopping import check, in_callers_thread, stoppable, tell
from tests.reference.effort import FULL


@pytest.fixture(autouse=True)
def handlers():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
    for thread in stopping._left:
        thread.join()


@pytest.fixture
def press():
    """Sends SIGINT to this process so many seconds from now."""
    timers = []

    def later(*seconds):
        for moment in seconds:
            timers.append(threading.Timer(moment, os.kill, (os.getpid(), signal.SIGINT)))
            timers[-1].start()

    yield later
    for timer in timers:
        timer.join()


def count_until_stopped(counted):
    while True:
        time.sleep(0.001)
        counted.append(1)
        check()


def test_what_the_work_returns_and_raises_comes_out():
    assert stoppable(lambda a, b=1: a + b)(1, b=2) == 3
    with pytest.raises(ZeroDivisionError):
        stoppable(lambda: 1 / 0)()


def test_the_work_hears_it_at_its_next_step_and_says_what_it_has(press):
    @stoppable
    def work():
        try:
            count_until_stopped([])
        except KeyboardInterrupt:
            check()  # once is enough: now it may prove what it has
            return "found"

    press(0.1)
    with pytest.raises(hr2jax.Interrupted) as stop:
        work()
    assert stop.value.result == "found"
    assert isinstance(stop.value, KeyboardInterrupt)


def test_work_that_does_not_hear_is_left_with_what_it_has_told_and_ends_at_its_next_step(press):
    hindrance, ended = threading.Event(), []

    @stoppable
    def work():
        tell(lambda: "so far")
        hindrance.wait(60)
        try:
            check()
        except KeyboardInterrupt:
            ended.append(1)
            check()  # again, for nobody waits for what it could still find

    began = time.monotonic()
    press(0.1)
    with pytest.raises(hr2jax.Interrupted) as stop:
        work()
    assert time.monotonic() - began < 30
    assert stop.value.result == "so far"
    assert not ended
    hindrance.set()
    for thread in stopping._left:
        thread.join()
    assert ended == [1]


def test_nothing_is_proved_yet(press):
    press(0.1)
    with pytest.raises(hr2jax.Interrupted, match="nothing is proved yet") as stop:
        stoppable(count_until_stopped)([])
    assert stop.value.result is None


def test_a_second_one_does_not_wait(press, monkeypatch):
    monkeypatch.setattr(stopping, "GRACE", 60.0)
    hindrance = threading.Event()
    press(0.1, 0.3)
    began = time.monotonic()
    with pytest.raises(hr2jax.Interrupted):
        stoppable(hindrance.wait)(120)
    assert time.monotonic() - began < 30
    hindrance.set()


def test_a_handler_of_ones_own_decides_what_is_raised(press):
    def handler(*_):
        raise TimeoutError("mine")

    signal.signal(signal.SIGINT, handler)
    press(0.1)
    with pytest.raises(TimeoutError, match="mine"):
        stoppable(count_until_stopped)([])


def test_it_installs_no_handler(press):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    press(0.1)
    found = []
    assert stoppable(lambda: found.append(signal.getsignal(signal.SIGINT)) or time.sleep(0.3) or 1)() == 1
    assert found == [signal.SIG_IGN]


def test_in_another_thread_the_work_is_done_in_place():
    found = []
    thread = threading.Thread(target=lambda: found.append(stoppable(threading.current_thread)()))
    thread.start()
    thread.join()
    assert found == [thread]


def test_a_call_within_another_is_part_of_it(press):
    @stoppable
    def inner():
        tell(lambda: "inner")
        count_until_stopped([])

    @stoppable
    def outer():
        tell(lambda: "outer")
        inner()

    press(0.1)
    with pytest.raises(hr2jax.Interrupted) as stop:
        outer()
    assert stop.value.result == "outer"


def test_what_is_the_users_runs_in_the_users_thread():
    name = contextvars.ContextVar("name", default="nobody")
    name.set("somebody")

    def ask():
        return threading.current_thread() is threading.main_thread(), name.get()

    assert stoppable(lambda: (*in_callers_thread(ask), *ask()))() == (True, "somebody", False, "somebody")
    with pytest.raises(LookupError):
        stoppable(lambda: in_callers_thread(lambda: {}["absent"]))()


def test_ctrl_c_within_a_callback_is_one(press):
    def callback():
        press(0.05)
        time.sleep(30)

    @stoppable
    def work():
        tell(lambda: "so far")
        in_callers_thread(callback)

    with pytest.raises(hr2jax.Interrupted) as stop:
        work()
    assert stop.value.result == "so far"


def test_interrupted_can_be_pickled():
    again = pickle.loads(pickle.dumps(hr2jax.Interrupted([1.0])))
    assert again.result == [1.0]
    assert "so far" in str(again)


# --- a process of its own -------------------------------------------------------------------------------


def test_a_function_in_a_process_of_its_own():
    assert in_child("math", "hypot", 3.0, 4.0) == 5.0
    assert in_child("os", "getpid") != os.getpid()
    with pytest.raises(ValueError, match="math domain error"):
        in_child("math", "sqrt", -1.0)
    with pytest.raises(ChildError, match="exit code 3"):
        in_child("os", "_exit", 3)
    with pytest.raises(TimeoutError):
        in_child("time", "sleep", 60, seconds=0.2)


def test_it_is_killed_when_the_call_ends(press):
    press(0.5)
    began = time.monotonic()
    with pytest.raises(hr2jax.Interrupted):
        stoppable(in_child)("time", "sleep", 60)
    assert time.monotonic() - began < 30


# --- solves ---------------------------------------------------------------------------------------------


def network(inputs=6, hidden=8, outputs=3, seed=0):
    rng = np.random.default_rng(seed)
    return hr2jax.Network(
        [rng.standard_normal((hidden, inputs)), rng.standard_normal((outputs, hidden))],
        [rng.standard_normal(hidden), np.zeros(outputs)],
    )


def test_two_solves_in_two_threads_give_the_serial_results():
    net, asked = network(), [{"output": 0, "relaxation": "hr2"}, {"output": (1, 2), "relaxation": "hr2z"}]
    asked = [{"center": np.zeros(6), "radius": 0.5, "method": "lowrank"} | ask for ask in asked]
    found = {}
    threads = [
        threading.Thread(target=lambda k=k: found.update({k: hr2jax.solve(net, **asked[k])})) for k in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, ask in enumerate(asked):
        serial = hr2jax.solve(net, **ask)
        assert found[k].bound == serial.bound
        assert found[k].lower == serial.lower
        for name, values in serial.certificate.multipliers.items():
            np.testing.assert_array_equal(found[k].certificate.multipliers[name], values)


LOOP = """
import sys, time
import numpy as np
import hr2jax
rng = np.random.default_rng(int(sys.argv[1]))
A, C = rng.standard_normal((12, 8)), rng.standard_normal((3, 12))
net = hr2jax.Network([A, C], [rng.standard_normal(12), np.zeros(3)])
box = {"center": np.zeros(8), "radius": 0.5}
CALLS = {
    "solve": lambda: hr2jax.solve(net, output=0, relaxation="hr2+", tol=1e-9, **box),
    "maximum": lambda: hr2jax.maximum(net, output=0, relaxation="hr2+", tol=1e-9, **box),
    "solve_all": lambda: hr2jax.solve_all(net, relaxation="hr2", tol=1e-7, **box),
    "certify": lambda: hr2jax.certify(net, rng.uniform(-1, 1, (20, 8)), radii=[0.05, 0.2], via="lipschitz-local"),
}
call = CALLS[sys.argv[2]]
hr2jax.solve, hr2jax.certify, hr2jax.solve_all
print("ready", flush=True)
try:
    while True:
        call()
except hr2jax.Interrupted as stop:
    found = stop.result
    if found is None:
        print("nothing")
    elif sys.argv[2] == "certify":
        print("whole", len(found.certified))
    else:
        for result in found if isinstance(found, list) else [found]:
            assert result.certificate.verify(net) == result.bound >= result.lower
        print("whole", len(found) if isinstance(found, list) else 1)
"""


def looped(call, seed):
    """A loop of calls, in a process that gets a SIGINT after a random while; what it prints."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOOP, str(seed), call], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(np.random.default_rng(seed).uniform(0.0, 3.0 if FULL else 1.0))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


@pytest.mark.parametrize(("call", "said"), [
    ("solve", ("whole 1\n", "nothing\n")),
    pytest.param("solve_all", ("whole 3\n", "nothing\n"), marks=pytest.mark.slow),
])  # fmt: skip
def test_a_loop_under_ctrl_c_ends(call, said):
    """It was swallowed: each solve came back as STOPPED, and the loop went on."""
    assert looped(call, 1) in said


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("call", ["solve", "maximum", "solve_all", "certify"])
def test_ctrl_c_at_any_moment(call, seed):
    said = {"solve_all": "whole 3\n", "certify": "whole 20\n"}.get(call, "whole 1\n")
    assert looped(call, seed) in (said, "nothing\n")


KILLED = """
import sys
import hr2jax
net = hr2jax.load(sys.argv[1])
hr2jax.solve(net, output=0, relaxation="hr2+", tol=1e-9, checkpoint=sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_kill_9_leaves_a_checkpoint_that_verifies_resumes_and_is_hardly_worse(seed, tmp_path):
    """No worse than 1.3 times what a time limit of five seconds gives, once the solver has improved on the first bound.

    How long that takes depends on what else the machine does, and on what is compiled already.
    """
    net, path = network(10, 16, 1, seed), tmp_path / "c.npz"
    net.save(tmp_path / "net.npz")
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "net.npz"), str(path)])
    until = time.monotonic() + 240
    written = set()  # an improvement has a file of its own
    while len(written) < 3:
        assert process.poll() is None
        assert time.monotonic() < until
        if path.exists():
            written.add(path.stat().st_mtime_ns)
        time.sleep(0.001)
    time.sleep(np.random.default_rng(seed).uniform(0.0, 5.0))
    process.kill()
    process.wait()
    bound = hr2jax.Certificate.load(path).verify(net)
    assert bound <= 1.3 * hr2jax.solve(net, output=0, relaxation="hr2+", tol=1e-9, time_limit=5).bound
    assert hr2jax.solve(net, output=0, relaxation="hr2+", time_limit=1, checkpoint=path).bound <= bound
    assert sorted(f.name for f in tmp_path.iterdir() if not f.name.startswith(".hr2jax-")) == ["c.npz", "net.npz"]


ORPHANS = """
import sys
import numpy as np
import hr2jax
if __name__ == "__main__":
    rng = np.random.default_rng(0)
    A, C = rng.standard_normal((30, 20)), rng.standard_normal((10, 30))
    net = hr2jax.Network([A, C], [rng.standard_normal(30), np.zeros(10)])
    x = rng.uniform(-1, 1, (200, 20))
    print("ready", flush=True)
    hr2jax.certify(net, x, radii=[0.05, 0.2], via="lipschitz-local", relaxation="hr2", workers=2)
"""


def children(pid):
    """Processes of multiprocessing whose parent this is."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat, open(f"/proc/{entry}/cmdline") as words:
                    is_child = int(stat.read().rsplit(")", 1)[1].split()[1]) == pid
                    if is_child and "spawn_main" in words.read():
                        found.append(int(entry))
            except (OSError, IndexError):
                pass
    return found


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.framework("distributed", "cryptography")
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are looked for in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_processes_of_certify_end_with_it(number, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + ORPHANS)
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    until = time.monotonic() + 120
    while len(workers := children(process.pid)) < 2:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(number)
    process.communicate(timeout=60)
    until = time.monotonic() + 60
    while any(map(is_running, workers)):
        assert time.monotonic() < until
        time.sleep(0.1)
