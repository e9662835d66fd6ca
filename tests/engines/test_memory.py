"""Memory: the estimate is near what was measured, and what does not fit is refused with what would."""

import subprocess
import sys

import numpy as np
import pytest

import hr2jax
from hr2jax import Network
from hr2jax.engines import memory
from hr2jax.engines.memory import estimate
from hr2jax.engines.sizes import Need, Sizes
from hr2jax.machine import memory as memory_module
from hr2jax.relaxation import derivatives
from hr2jax.solving import prepared, run, stages

RELAXATIONS = ("shor", "hr2", "hr2z")


def random_net(p, m):
    rng = np.random.default_rng([p, m])
    return Network([rng.standard_normal((m, p)), rng.standard_normal((1, m))], [0.1 * rng.standard_normal(m), [0.0]])


def box(p):
    return {"center": np.zeros(p), "radius": 1.0}


# (relaxation, method, n, q, local) -> peak bytes of a process of its own that solved it (JAX 0.10, 2 CPU cores)
MEASURED = {
    ("hr2z", "lowrank", 10, 10, True): 471e6,
    ("hr2z", "lowrank", 80, 80, True): 493e6,
    ("hr2z", "admm", 80, 80, True): 617e6,
    ("hr2z", "lowrank", 200, 200, True): 592e6,
    ("hr2z", "admm", 200, 200, True): 772e6,
    ("shor", "clarabel", 30, 30, True): 670e6,
    ("hr2z", "clarabel", 30, 30, True): 1280e6,
    ("hr2z", "lowrank", 300, 500, True): 771e6,
    ("shor", "lowrank", 500, 784, False): 578e6,
    ("hr2", "admm", 200, 200, False): 550e6,
    ("hr2z", "admm", 250, 400, True): 1269e6,
    ("hr2z", "sdpa", 40, 40, True): 401e6,
    ("hr2z", "cvxopt", 20, 20, True): 443e6,
    ("hr2", "lowrank", 1000, 1000, False): 720e6,
    ("hr2", "lowrank", 2000, 2000, False): 1428e6,
    ("shor", "lowrank", 10000, 3072, False): 4120e6,
    ("hr2z", "lowrank", 1000, 1000, True): 1250e6,
    ("hr2z", "lowrank", 500, 784, True): 829e6,
    ("hr2+", "lowrank", 500, 784, True): 1402e6,
    ("hr2+", "lowrank", 500, 784, False): 884e6,
    ("lasserre2", "admm", 2, 3, True): 497e6,
    ("lasserre2", "admm", 4, 4, True): 598e6,
    ("lasserre2", "clarabel", 4, 4, True): 426e6,
    ("hr2", "clarabel", 40, 40, False): 942e6,
    ("hr2", "clarabel", 30, 30, True): 711e6,
}


@pytest.mark.parametrize("case", MEASURED, ids=str)
def test_the_estimate_is_near_the_measured_peak(case):
    relaxation, method, n, q, local = case
    ratio = sum(estimate(relaxation, method, Sizes(n, q, min(n, q), local))) / MEASURED[case]
    assert 1 / 1.3 <= ratio <= 2.0


# The same of several layers: random 100-500-500-10, 200-200-200-1, 300-400-400-1 and 50-600-600-1 networks; GLipSDP's
# cnn2 and cnn3, FC-R18, 2C2F and LeNet5, whose LipSDP is solved without JAX (bench/general.py)
DEEP = {
    ("hr2", Sizes(1000, 100, 100, True, 1000, 1500, 2, False)): 731e6,
    ("hr2+", Sizes(400, 200, 200, True, 400, 600, 2, False)): 717e6,
    ("hr2", Sizes(800, 300, 300, False, 400, 400, 2, False)): 420e6,
    ("shor", Sizes(1199, 50, 50, True, 1198, 1798, 2, False)): 837e6,
    ("lipsdp", Sizes(0, 64, 0, False, 512, 512, 1, False)): 89e6,
    ("lipsdp", Sizes(0, 64, 0, False, 1536, 1536, 2, False)): 180e6,
    ("lipsdp", Sizes(0, 784, 0, False, 1088, 1088, 17, False)): 164e6,
    ("lipsdp", Sizes(0, 784, 0, False, 4804, 4804, 3, False)): 1293e6,
    ("lipsdp", Sizes(0, 784, 0, False, 6508, 6508, 4, False)): 1696e6,
}


@pytest.mark.parametrize("case", DEEP, ids=str)
def test_the_estimate_of_several_layers_is_near_the_measured_peak(case):
    """LeNet5's LipSDP was said to need 18 GB."""
    relaxation, sizes = case
    assert 1 / 1.3 <= sum(estimate(relaxation, "lowrank", sizes)) / DEEP[case] <= 2.0


def test_the_estimate_grows_with_the_problem():
    for relaxation in RELAXATIONS:
        for method in ("lowrank", "newton", "admm", "clarabel", "cvxopt", "sdpa"):
            for local in (False, True):
                needs = [sum(estimate(relaxation, method, Sizes(n, n, n, local))) for n in (20, 200, 2000)]
                assert sorted(needs) == needs
            assert estimate(relaxation, "auto", Sizes(9, 9, 9, True)) == estimate(
                relaxation, "lowrank", Sizes(9, 9, 9, True)
            )


@pytest.fixture
def no_work(monkeypatch):
    for module, names in ((run, ("lift", "Session")), (stages, ("preset", "choose_engine"))):
        for name in names:
            monkeypatch.setattr(module, name, None)


def refusal(net, **given):
    with pytest.raises(ValueError) as error:
        hr2jax.solve(net, **given)
    text = str(error.value)
    assert "\n" not in text
    assert ". " not in text
    return text


@pytest.mark.usefixtures("no_work")
def test_what_does_not_fit_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 21e9)
    text = refusal(random_net(300, 300), relaxation="hr2z", method="clarabel", **box(300))
    assert text.startswith("relaxation='hr2z' with method='clarabel' needs about ")
    assert "and 21 GB are available; method='lowrank' needs about 0." in text


@pytest.mark.usefixtures("no_work")
def test_where_nothing_fits_the_least_is_named(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1e8)
    text = refusal(random_net(4, 4))
    assert "with method='lowrank' needs about 0.5 GB here and 0.1 GB are available; nothing fits: " in text


@pytest.mark.usefixtures("no_work")
def test_another_relaxation_is_proposed_where_no_method_fits(monkeypatch):
    """All pairs of a family would be millions of multipliers."""

    def needs(relaxation, method, sizes):
        return Need(1e9, 1e12 if relaxation == "hr2z" else 1e6)

    monkeypatch.setattr(memory, "available_bytes", lambda: 2e9)
    monkeypatch.setattr(memory, "estimate", needs)
    monkeypatch.setattr(memory, "device_bytes", lambda: None)
    assert "relaxation='hr2' with method='lowrank' needs about 1.0 GB" in refusal(random_net(4, 4), relaxation="hr2z")


@pytest.mark.usefixtures("no_work")
def test_a_device_that_is_too_small(monkeypatch):
    monkeypatch.setattr(memory, "estimate", lambda *_: Need(1e9, 9e9))
    monkeypatch.setattr(memory, "device_bytes", lambda: 8e9)
    monkeypatch.setattr(memory, "available_bytes", lambda: 2e10)
    text = refusal(random_net(4, 4))
    assert "needs about 9.0 GB on this device and 8.0 GB are available; device='cpu' needs about 10 GB" in text


def test_the_estimate_is_in_the_result_and_near_the_peak():
    result = hr2jax.solve(random_net(4, 4), relaxation="shor", time_limit=0)
    assert result.problem["estimated_bytes"] == int(sum(estimate("shor", "lowrank", Sizes(4, 4, 4, False))))
    # an interpreter with NumPy; a process that has done other things before, such as importing JAX, holds more
    assert result.timings["peak_bytes"] > 4e7


def test_this_machine_has_memory():
    assert 1e8 < memory.available_bytes() < 1e15
    assert memory.device_bytes() is None or memory.device_bytes() > 1e8


def group(folder, limit, used, cache=0, names=("memory.max", "memory.current", "inactive_file")):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {cache}\n")


def test_the_tightest_cgroup_above_counts(tmp_path):
    own = tmp_path / "self"
    root = tmp_path / "fs"
    own.write_text("0::/a/b\n")
    assert memory_module._cgroup(root, own) is None
    group(root / "a" / "b", "max", 10)
    assert memory_module._cgroup(root, own) is None
    group(root / "a", 1000, 600, cache=100)
    assert memory_module._cgroup(root, own) == 500
    group(root, 300, 400)
    assert memory_module._cgroup(root, own) == 0
    own.write_text("9:cpu:/\n4:memory:/job\n0::/\n")
    old = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    group(root / "memory" / "job", 2**63 - 4096, 10, names=old)
    group(root / "memory", 900, 300, 200, names=old)
    (root / "memory.max").unlink()
    assert memory_module._cgroup(root, own) == 800
    assert memory_module._cgroup(root, tmp_path / "none") is None


def test_a_limit_of_the_address_space_counts():
    program = (
        "import resource\nfrom hr2jax.machine.memory import free_bytes\nbefore = free_bytes()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 * 10**8, resource.RLIM_INFINITY))\nprint(before, free_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert 0 <= after < 4e8 < before


def test_without_proc_the_machine_has_what_it_has(monkeypatch):
    monkeypatch.setattr(memory_module, "_meminfo", lambda: None)
    monkeypatch.setattr(memory_module, "_cgroup", lambda: None)
    monkeypatch.setattr(memory_module, "_resident", lambda: 0.0)
    assert memory.available_bytes() > 1e8
    monkeypatch.setattr(memory_module.os, "sysconf", lambda _: (_ for _ in ()).throw(ValueError))
    assert memory.available_bytes() == float("inf")


@pytest.mark.usefixtures("no_work")
def test_a_relaxation_that_is_no_better_is_not_offered(monkeypatch):
    """Without a box hr2z is shor: hr2 is offered."""
    monkeypatch.setattr(memory, "available_bytes", lambda: 4e9)
    text = refusal(random_net(300, 9000), relaxation="hr2+")
    assert "relaxation='hr2' with method='lowrank'" in text
    assert "hr2z" not in text


@pytest.mark.usefixtures("no_work")
def test_what_a_problem_does_not_have_is_not_offered(monkeypatch):
    """Where there is no block form, no method="admm"; for lipsdp, asking what it needs once raised."""
    monkeypatch.setattr(memory, "available_bytes", lambda: 1e8)
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((4, 3)), rng.standard_normal((4, 4)), np.ones((1, 4))]
    deep = Network(weights, [np.full(4, 0.1), np.full(4, 0.1), [0.0]])
    for ask in ({"relaxation": "hr2"}, {"relaxation": "lipsdp", "norm": 2}):
        text = refusal(deep, **ask)
        assert "admm" not in text
        assert "hr2z" not in text
        assert "nothing fits: " in text
    ball = {"center": np.zeros(4), "radius": 1.0}
    for ask in ({"relaxation": "lipsdp"}, {"relaxation": "hr2"}, {"relaxation": "hr2", **ball}):
        text = refusal(random_net(4, 4), norm=2, **ask)
        assert "admm" not in text
        assert "nothing fits: " in text


def test_lipopt_that_does_not_fit_is_refused_before_building(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1e9)
    monkeypatch.setattr(run, "krivine_engine", None)
    text = refusal(random_net(80, 80), relaxation="lipopt4")
    assert text.startswith("relaxation='lipopt4' needs about ")
    assert text.endswith(" products) and 1.0 GB are available; 'hr2' takes less")


@pytest.mark.usefixtures("no_work")
def test_lipsdp_is_offered_where_nothing_else_fits(monkeypatch):
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((600, 30)), rng.standard_normal((600, 600)), np.ones((1, 600))]
    deep = Network(weights, [np.full(600, 0.1), np.full(600, 0.1), [0.0]])
    monkeypatch.setattr(memory, "available_bytes", lambda: 6e8)
    assert "relaxation='lipsdp' needs about" in refusal(deep, relaxation="hr2", norm=2)


def test_a_large_network_is_refused_before_its_variables_are_bounded(monkeypatch):
    """A CNN of three times 6272 neurons took five minutes, whatever its time limit, to be refused."""
    monkeypatch.setattr(memory, "available_bytes", lambda: 1e8)
    monkeypatch.setattr(prepared, "BIG", 5)
    rng = np.random.default_rng(0)
    shapes = [(4, 3), (4, 4), (3, 4)]
    net = Network([rng.standard_normal(s) for s in shapes], [np.full(s[0], 0.1) for s in shapes])
    for name in ("adjoint_bounds", "tangent_bounds"):
        monkeypatch.setattr(derivatives, name, None)
    assert "'product' and 'interval' need no engine" in refusal(net, output=0, norm=2)
    refusal(net, norm=2, relaxation="lipsdp")
    for relaxation in ("product", "interval"):
        result = hr2jax.solve(net, output=0, norm=2, relaxation=relaxation, witness=0)
        assert result.certificate.lifting == "none"
        assert result.certificate.verify(net) == result.bound
