"""Every engine, killed at any time: what is on disk proves a bound from the first report on, and the call goes on."""

import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import hr2jax
from hr2jax import Certificate, Network, Status

TOL = 1e-3
NORM_2 = {"norm": 2}
CASES = {
    "lowrank": {"relaxation": "hr2", "method": "lowrank"}, "newton": {"relaxation": "hr2", "method": "newton"},
    "admm": {"relaxation": "hr2z", "method": "admm"}, "clarabel": {"relaxation": "hr2", "method": "clarabel"},
    "cuts": {"relaxation": "hr2+", "method": "lowrank"}, "newton with cuts": {"relaxation": "hr2+", "method": "newton"},
    "moments": {"relaxation": "lasserre2"}, "climbing": {"relaxation": "best"}, "LipOpt": {"relaxation": "lipopt3"},
    "LipSDP": {"relaxation": "lipsdp", **NORM_2}, "rows": {"output": [[1.0, 0.0], [0.0, 1.0]]},
    "columns": {"norm": 1, "output": 0}, "interval": {"relaxation": "interval"},
}  # fmt: skip
SCRIPT = """
import json, sys
import hr2jax
print("ready", flush=True)
hr2jax.solve(hr2jax.load(sys.argv[1]), checkpoint=sys.argv[2], **json.loads(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def net():
    rng = np.random.default_rng(3)
    return Network([rng.standard_normal((5, 3)), rng.standard_normal((2, 5))], [rng.standard_normal(5), np.zeros(2)])


def asked(name):
    return {"tol": TOL, "witness": 0, "output": 0, **CASES[name]}


def claim(name):
    return {"output": CASES[name].get("output", 0), "norm": CASES[name].get("norm", "inf")}


@pytest.mark.parametrize("name", [name for name in CASES if name != "interval"])
def test_a_bound_is_on_disk_at_the_first_report(name, net, tmp_path):
    seen = []

    def look(record):
        found = Certificate.load(tmp_path / "c")
        seen.append((found.verify(net, **claim(name)), record.bound))
        return True

    result = hr2jax.solve(net, checkpoint=tmp_path / "c", callback=look, **asked(name))
    assert result.status in (Status.STOPPED, Status.SOLVED)
    if name not in ("rows", "columns"):  # of which a part is saved at its end, and now and then
        assert all(proved <= said * (1 + 1e-9) for proved, said in seen)
    kept = Certificate.load(tmp_path / "c")
    assert kept.verify(net, **claim(name)) <= result.bound * (1 + 1e-9)
    assert float(kept.versions["seconds"]) >= 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_killed_at_any_time_it_goes_on_to_the_same_bound(name, net, tmp_path):
    net.save(tmp_path / "net.npz")
    whole = hr2jax.solve(net, **asked(name))
    rng, path, kills = np.random.default_rng(len(name)), tmp_path / "c", 0
    for _ in range(3):
        words = [sys.executable, "-c", SCRIPT, str(tmp_path / "net.npz"), str(path), json.dumps(asked(name))]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, env=os.environ | {"JAX_PLATFORMS": "cpu"})
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        timer = threading.Timer(rng.uniform(0.0, 3.0), process.kill)
        timer.start()
        code = process.wait(300)
        timer.cancel()
        process.stdout.close()
        kills += code == -signal.SIGKILL
        assert code in (0, -signal.SIGKILL)
        if path.exists():
            proved = Certificate.load(path).verify(net, **claim(name))
            assert proved >= whole.bound * (1 - 2 * TOL)
    resumed = hr2jax.solve(net, checkpoint=path, **asked(name))
    assert resumed.bound == pytest.approx(whole.bound, rel=2 * TOL)
    assert resumed.certificate.verify(net, **claim(name)) <= resumed.bound * (1 + 1e-9)


# A time limit is the total of all calls ------------------------------------------------------------------


def spent(path, seconds, net):
    """The checkpoint says that so many seconds have been used."""
    found = Certificate.load(path)
    Certificate(**{**vars(found), "versions": {**found.versions, "seconds": seconds}}).save(path)


@pytest.mark.parametrize("name", ["lowrank", "newton", "rows"])
def test_a_time_limit_is_the_total_of_all_calls(name, net, tmp_path):
    """Each had all of it, so that a job that was started again and again never came to its end."""
    path = tmp_path / "c"
    first = hr2jax.solve(net, checkpoint=path, **{**asked(name), "tol": 1e-12}, max_iterations=1)
    before = float(Certificate.load(path).versions["seconds"])
    spent(path, "1e6", net)
    over = hr2jax.solve(net, checkpoint=path, time_limit=1000.0, **asked(name))
    assert over.bound <= first.bound and over.iterations == 0 and over.status is not Status.SOLVED
    assert float(Certificate.load(path).versions["seconds"]) >= 1e6 > before
    spent(path, "0.1", net)
    assert hr2jax.solve(net, checkpoint=path, time_limit=1000.0, **asked(name)).status is Status.SOLVED


@pytest.mark.parametrize("name", ["rows", "columns"])
def test_a_long_part_is_saved_before_its_end(name, net, tmp_path, monkeypatch):
    """A long row that was killed was lost."""
    monkeypatch.setattr("hr2jax.solving.checkpoint.KEPT", 0.0)
    proved = []

    def look(record):
        proved.append((Certificate.load(tmp_path / "c").verify(net, **claim(name)), record.bound))
        return len(proved) > 3

    hr2jax.solve(net, checkpoint=tmp_path / "c", callback=look, **asked(name))
    assert len(proved) > 1 and all(kept <= said * (1 + 1e-9) for kept, said in proved)


@pytest.mark.parametrize("said", ["nan", "-5", "inf", "many", ""])
def test_what_is_no_time_counts_as_none(said, net, tmp_path):
    path = tmp_path / "c"
    hr2jax.solve(net, checkpoint=path, max_iterations=1, **asked("lowrank"))
    spent(path, said, net)
    assert hr2jax.solve(net, checkpoint=path, time_limit=1000.0, **asked("lowrank")).status is Status.SOLVED
