"""`solve` as users meet it: the Result, the callback, limits, checkpoints, warm starts, extreme numbers."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from fractions import Fraction
from itertools import product

import jax
import numpy as np
import pytest

import hr2jax
from hr2jax import Certificate, Network, Progress, Status
from hr2jax.machine.compile_clock import compile_seconds
from hr2jax.result import RELAXATION_SOLVED
from hr2jax.solving import run, stages

pytestmark = pytest.mark.usefixtures("compiled_quickly")

HISTORY = {"seconds", "iteration", "bound", "relaxation_value", "residual"}


def random_net(seed=0, p=6, m=6, outputs=1):
    rng = np.random.default_rng([seed, p, m])
    weights = [rng.standard_normal((m, p)), rng.standard_normal((outputs, m))]
    return Network(weights, [rng.standard_normal(m), np.zeros(outputs)])


def exact_global(net, coefficients):
    """The largest 1-norm of any pattern's gradient, as a rational number."""
    A = [[Fraction(float(v)) for v in row] for row in net.weights[0]]
    C = [[Fraction(float(v)) for v in row] for row in net.weights[1]]
    c = [sum(Fraction(float(k)) * row[i] for k, row in zip(coefficients, C, strict=True)) for i in range(len(A))]
    return max(
        sum(abs(sum(c[i] * A[i][j] for i in range(len(A)) if on[i])) for j in range(len(A[0])))
        for on in product((0, 1), repeat=len(A))
    )


def interrupt(_):
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def net():
    return random_net()


@pytest.fixture(scope="module")
def local():
    return {"center": np.linspace(-0.5, 0.5, 6), "radius": 0.8}


@pytest.fixture(scope="module")
def result(net, local):
    return hr2jax.solve(net, **local)


@pytest.fixture
def no_lower_search(monkeypatch):
    monkeypatch.setattr(run, "_search", lambda *_: None)


# The Result ---------------------------------------------------------------------------------------------


def test_the_result_has_every_field_of_the_interface(net, local, result):
    assert type(result.bound) is float
    assert type(result.lower) is float
    assert type(result.gap) is float
    assert type(result.relaxation_value) is float
    assert type(result.iterations) is int
    assert result.status is Status.SOLVED
    assert result.message == (Status.SOLVED.value if result.gap <= 1e-3 else RELAXATION_SOLVED)
    assert isinstance(result.certificate, Certificate)
    assert 0 < result.lower <= result.bound
    assert result.gap == (result.bound - result.lower) / result.bound
    assert result.bound * (1 - 1e-3) <= result.relaxation_value <= result.bound * (1 + 1e-12)
    assert result.witness.shape == (6,)
    assert result.witness.dtype == np.float64
    assert (np.abs(result.witness - local["center"]) <= 0.8).all()
    gradient = net.gradient(result.witness)
    assert np.abs(gradient).sum() == pytest.approx(result.lower, rel=1e-12)
    assert result.certificate.verify(net, radius=0.8, center=local["center"], norm="inf") == result.bound


def test_the_history_is_arrays_of_one_length_and_its_bound_never_rises(result):
    assert set(result.history) == HISTORY
    assert len({len(values) for values in result.history.values()}) == 1
    assert all(isinstance(v, np.ndarray) and v.dtype == np.float64 for v in result.history.values())
    history = result.history
    assert len(history["bound"]) > 2
    assert (np.diff(history["bound"]) <= 0).all()
    assert (np.diff(history["iteration"]) >= 0).all()
    assert (np.diff(history["seconds"]) >= 0).all()
    assert history["bound"][-1] == result.bound
    assert history["iteration"][-1] == result.iterations
    assert np.isfinite(history["bound"]).all()


def test_timings_and_memory(result):
    assert {"setup", "compile", "solve", "certify"} <= set(result.timings)
    seconds = [value for name, value in result.timings.items() if name != "peak_bytes"]
    assert all(np.isfinite(value) and value >= 0 for value in seconds)
    assert result.timings["peak_bytes"] > 10 * 2**20


def test_the_problem_says_what_was_asked(net, result, local):
    problem = result.problem
    assert problem["norm"] == "inf"
    assert problem["domain"] == "local"
    assert problem["center"] == local["center"].tolist()
    assert problem["radius"] == [0.8] * 6
    assert problem["output"] == [1.0]
    assert problem["relaxation"] == "hr2"
    assert problem["widths"] == [6, 6, 1]
    assert problem["network_hash"] == net.hash
    assert problem["versions"]["hr2jax"] == hr2jax.__version__
    assert problem["tol"] == 1e-3


def strict(text):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_is_strict_and_complete(result, tmp_path):
    data = strict(result.to_json())
    assert data["bound"] == result.bound
    assert data["lower"] == result.lower
    assert data["status"] == "SOLVED"
    assert data["witness"] == result.witness.tolist()
    assert set(data["history"]) == HISTORY
    assert data["problem"]["radius"] == [0.8] * 6
    assert data["timings"]["peak_bytes"] == result.timings["peak_bytes"]
    text = result.to_json(tmp_path / "result.json")
    assert strict((tmp_path / "result.json").read_text()) == strict(text) == data


def test_json_is_strict_when_numbers_are_not_finite(net):
    result = hr2jax.solve(net, time_limit=0)
    assert np.isnan(result.relaxation_value)
    data = strict(result.to_json())
    assert data["relaxation_value"] is None
    assert data["history"]["residual"] == [None]


def test_the_table_names_the_bound_the_status_and_the_domain(net, result):
    text = str(result)
    assert "6-6-1" in text
    assert "local, radius 0.8" in text
    assert "SOLVED" in text
    assert "hr2" in text
    assert "global" in str(hr2jax.solve(net, time_limit=0))


# Callback, limits, interruption -------------------------------------------------------------------------


def test_the_callback_sees_a_valid_bound_from_the_first_record_on(net, result, local):
    records = []
    hr2jax.solve(net, callback=records.append, **local)
    assert all(isinstance(record, Progress) for record in records)
    assert records[0].iteration == 0
    for record in records:
        assert result.lower <= record.bound < np.inf
        assert 0 <= record.lower <= record.bound
        assert record.gap == (record.bound - record.lower) / record.bound
        assert record.seconds >= 0
    assert [r.bound for r in records] == sorted((r.bound for r in records), reverse=True)
    assert records[-1].bound == result.bound
    assert len(records) == len(result.history["bound"])


@pytest.mark.parametrize("answer", [True, np.True_])
@pytest.mark.parametrize("method", ["lowrank", "admm"])
def test_a_callback_that_returns_true_stops(net, answer, method):
    records = []

    def callback(record):
        records.append(record)
        return answer if record.iteration > 0 else None

    result = hr2jax.solve(net, relaxation="shor", method=method, callback=callback)
    assert result.status is Status.STOPPED
    assert len(records) == 2
    assert result.certificate.verify(net) == result.bound <= records[-1].bound


@pytest.mark.parametrize("answer", [None, False, 1, "yes", np.False_, np.ones(3)])
def test_a_callback_that_returns_anything_else_does_not_stop(net, answer):
    assert hr2jax.solve(net, relaxation="shor", callback=lambda _: answer).status is Status.SOLVED


def test_what_a_callback_raises_comes_out(net):
    def callback(_):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        hr2jax.solve(net, relaxation="shor", callback=callback)


@pytest.mark.parametrize("method", ["lowrank", "admm"])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_interrupt_leaves_a_certified_bound_and_a_checkpoint(net, method, after, tmp_path):
    seen = []

    def callback(record):
        seen.append(record)
        if len(seen) > after:
            raise KeyboardInterrupt

    path = tmp_path / "bound.cert.npz"
    options = {"relaxation": "shor", "method": method, "tol": 1e-9, "checkpoint": path}
    with pytest.raises(hr2jax.Interrupted) as stop:
        hr2jax.solve(net, callback=callback, **options)
    result = stop.value.result
    assert result.status is Status.STOPPED
    assert "Ctrl-C" in result.message
    assert result.bound <= seen[-1].bound
    assert result.certificate.verify(net) == result.bound
    assert Certificate.load(path).verify(net) == result.bound
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("method", ["lowrank", "admm"])
def test_no_time_still_gives_a_certified_bound(net, local, method, tmp_path):
    result = hr2jax.solve(net, method=method, time_limit=0, checkpoint=tmp_path / "c", **local)
    assert result.status is Status.TIME_LIMIT
    assert result.iterations == 0
    assert result.certificate.verify(net) == result.bound
    assert Certificate.load(tmp_path / "c").verify(net) == result.bound


@pytest.mark.parametrize("method", ["lowrank", "admm"])
@pytest.mark.parametrize("limit", [1, 7, 15])
def test_the_iteration_limit(net, method, limit):
    result = hr2jax.solve(net, relaxation="shor", method=method, tol=1e-12, max_iterations=limit)
    assert 0 < result.iterations <= limit
    assert result.status is Status.ITERATION_LIMIT
    assert "iteration limit" in result.message
    assert result.certificate.verify(net) == result.bound


def test_progress_goes_to_the_log_where_there_is_no_terminal(net, capsys, caplog):
    """It was printed to stderr, a file or not."""
    with caplog.at_level("INFO", "hr2jax"):
        hr2jax.solve(net, relaxation="shor", progress=True)
    assert "certified" in caplog.text
    hr2jax.solve(net, relaxation="shor")
    assert capsys.readouterr() == ("", "")


def test_a_solver_that_breaks_down_leaves_the_bound(net, monkeypatch):
    def broken(session, *_):
        raise np.linalg.LinAlgError("no convergence")

    monkeypatch.setattr(stages, "choose_engine", lambda *_: broken)
    result = hr2jax.solve(net)
    assert result.status is Status.NUMERICAL_ERROR
    assert result.certificate.verify(net) == result.bound


# Checkpoints --------------------------------------------------------------------------------------------


def test_a_checkpoint_is_resumed_from(net, local, tmp_path):
    path = tmp_path / "bound.cert.npz"
    scratch = hr2jax.solve(net, tol=1e-6, **local)
    first = hr2jax.solve(net, tol=1e-6, checkpoint=path, max_iterations=scratch.iterations // 2, **local)
    assert first.status is Status.ITERATION_LIMIT
    assert Certificate.load(path).bound == first.bound
    second = hr2jax.solve(net, tol=1e-6, checkpoint=path, **local)
    assert second.status is Status.SOLVED
    assert second.history["bound"][0] == first.bound
    assert second.bound <= first.bound
    third = hr2jax.solve(net, tol=1e-6, checkpoint=path, **local)
    assert third.bound <= second.bound
    assert third.iterations < scratch.iterations
    assert Certificate.load(path).verify(net) == third.bound
    assert third.bound == pytest.approx(scratch.bound, rel=2e-6)


def test_a_checkpoint_folder_that_vanishes_does_not_lose_the_result(net, tmp_path, caplog):
    """A checkpoint write that failed in mid-solve raised OSError out of `solve`."""
    folder = tmp_path / "folder"
    folder.mkdir()

    def vanish(_):
        shutil.rmtree(folder, ignore_errors=True)

    result = hr2jax.solve(net, relaxation="hr2", checkpoint=folder / "c.npz", callback=vanish)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("hr2jax", "WARNING")
    assert "could not be written" in record.getMessage()
    assert result.status is Status.SOLVED
    assert result.certificate.verify(net) == result.bound
    assert re.search(r"; checkpoint '.*c\.npz' could not be written \(.*no folder.*\)$", result.message)


def test_a_json_file_that_cannot_be_written_leaves_the_old_one(result, tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    path.write_text("old")
    monkeypatch.setattr("hr2jax.machine.files.os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space"):
        result.to_json(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_resumed_solve_without_time_returns_the_checkpoints_bound(net, local, result, tmp_path):
    result.certificate.save(tmp_path / "c")
    again = hr2jax.solve(net, checkpoint=tmp_path / "c", time_limit=0, **local)
    assert again.status is Status.TIME_LIMIT
    assert again.bound == result.bound


def test_a_checkpoint_never_gets_worse(net, local, result, tmp_path):
    path, bounds = tmp_path / "c", []
    result.certificate.save(path)
    hr2jax.solve(net, checkpoint=path, callback=lambda _: bounds.append(Certificate.load(path).bound), **local)
    assert max(bounds) <= result.bound


def damage(data):
    middle = len(data) // 2
    yield b""
    yield data[:middle]
    yield data[:-1]
    # more than one byte: some of an archive's own do not matter
    yield data[:middle] + bytes(byte ^ 1 for byte in data[middle : middle + 64]) + data[middle + 64 :]
    yield b"not a certificate"


def test_a_damaged_checkpoint_is_refused_and_kept(net, local, result, tmp_path, monkeypatch):
    path = tmp_path / "bound.cert.npz"
    result.certificate.save(path)
    whole = path.read_bytes()
    monkeypatch.setattr(run, "Session", None)  # no work
    for data in damage(whole):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"checkpoint .* cannot be resumed from") as error:
            hr2jax.solve(net, checkpoint=path, **local)
        assert str(path) in str(error.value)
        assert path.read_bytes() == data


def test_a_checkpoint_of_another_problem_is_refused(net, local, result, tmp_path):
    path = tmp_path / "bound.cert.npz"
    result.certificate.save(path)
    whole = path.read_bytes()
    others = [
        {},
        local | {"radius": 0.7},
        local | {"center": np.zeros(6)},
        local | {"output": [2.0]},
        local | {"relaxation": "shor"},
    ]
    for other in others:
        with pytest.raises(ValueError, match="another problem"):
            hr2jax.solve(net, checkpoint=path, **other)
    with pytest.raises(ValueError, match="cannot be resumed from"):
        hr2jax.solve(random_net(1), checkpoint=path, **local)
    assert path.read_bytes() == whole


def test_a_checkpoint_whose_claim_is_too_good_is_not_believed(net, local, result, tmp_path):
    path = tmp_path / "bound.cert.npz"
    dataclasses.replace(result.certificate, bound=result.lower / 2).save(path)
    again = hr2jax.solve(net, checkpoint=path, time_limit=0, **local)
    assert again.bound == result.bound


def test_a_checkpoint_with_its_neurons_in_another_order_is_resumed_from(net, tmp_path):
    """Any order of the variables is a valid certificate; the engine has its own."""
    local = {"center": np.zeros(6), "radius": 2.0}
    scratch = hr2jax.solve(net, relaxation="shor", **local)
    certificate = scratch.certificate
    order = np.arange(len(certificate.layout.unstable[0]))[::-1]
    names = ("unstable", "exponent", "low", "high")
    layout = dataclasses.replace(
        certificate.layout, **{name: (getattr(certificate.layout, name)[0][order],) for name in names}
    )
    diagonal = certificate.diagonal | {"v1": certificate.diagonal["v1"][order]}
    turned = dataclasses.replace(
        certificate, layout=layout,
        multipliers={name: values[order] for name, values in certificate.multipliers.items()}, diagonal=diagonal,
    )  # fmt: skip
    assert turned.verify(net) == pytest.approx(scratch.bound, rel=1e-12)
    turned.save(tmp_path / "c")
    again = hr2jax.solve(net, relaxation="shor", checkpoint=tmp_path / "c", **local)
    assert again.bound <= scratch.bound * (1 + 1e-12)
    assert again.certificate.verify(net) == again.bound


KILLED = """
    import os, signal, sys
    import numpy as np
    import hr2jax

    def kill(record):
        bounds.add(record.bound)
        if len(bounds) > 3:  # the first, and three better ones
            os.kill(os.getpid(), signal.SIGKILL)

    bounds = set()
    net = hr2jax.load(sys.argv[1])
    hr2jax.solve(net, tol=1e-12, checkpoint=sys.argv[2], callback=kill)
    print("not killed")
"""


def test_a_killed_process_leaves_a_checkpoint_that_verifies(net, tmp_path):
    net.save(tmp_path / "net.npz")
    first = hr2jax.solve(net, time_limit=0).bound
    path = tmp_path / "bound.cert.npz"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "net.npz"), str(path)],
        capture_output=True, text=True, check=False, timeout=300, env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    certificate = Certificate.load(path)
    bound = certificate.verify(net)
    assert float(exact_global(net, [1.0])) <= bound < first
    assert hr2jax.solve(net, checkpoint=path).bound <= bound


# Warm starts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lowrank", "admm"])
def test_a_warm_start_takes_fewer_iterations(net, local, method):
    cold = hr2jax.solve(net, method=method, tol=1e-5, **local)
    warm = hr2jax.solve(net, method=method, tol=1e-5, warm_start=cold, **local)
    assert warm.status is Status.SOLVED
    assert warm.iterations < cold.iterations
    assert warm.bound == pytest.approx(cold.bound, rel=1e-5)
    near = local | {"radius": 0.81}
    cold = hr2jax.solve(net, method=method, tol=1e-5, **near)
    warm = hr2jax.solve(net, method=method, tol=1e-5, warm_start=warm, **near)
    assert warm.iterations < cold.iterations
    assert warm.bound == pytest.approx(cold.bound, rel=1e-5)


@pytest.mark.parametrize("method", ["lowrank", "admm"])
def test_a_warm_start_from_another_domain_or_relaxation(net, local, method):
    """From local to global, where the products with z do not exist, and back; between relaxations."""
    results = {
        (relaxation, domain): hr2jax.solve(net, relaxation=relaxation, **(local if domain else {}))
        for relaxation in ("shor", "hr2", "hr2z")
        for domain in (False, True)
    }
    for source, target in [
        (("hr2", True), ("hr2", False)),
        (("hr2", False), ("hr2", True)),
        (("hr2z", True), ("hr2", True)),
        (("shor", True), ("hr2z", True)),
    ]:
        warm = hr2jax.solve(
            net, relaxation=target[0], method=method, warm_start=results[source], **(local if target[1] else {})
        )
        assert warm.status is Status.SOLVED
        assert warm.bound == pytest.approx(results[target].bound, rel=2e-3)


@pytest.mark.parametrize("method", ["lowrank", "admm"])
@pytest.mark.parametrize("kind", ["noise", "huge", "negative", "nan", "shape", "unknown"])
def test_a_warm_start_that_is_nonsense_costs_no_soundness(net, method, kind):
    truth = exact_global(net, [1.0])
    cold = hr2jax.solve(net, method=method)
    rng = np.random.default_rng(0)
    change = {
        "noise": lambda v: 100 * rng.random(v.shape),
        "huge": lambda v: np.full(v.shape, 1e307),
        "negative": lambda v: -rng.random(v.shape),
        "nan": lambda v: np.full(v.shape, np.nan),
        "shape": lambda v: np.ones((len(v) + 1, 2)),
        "unknown": lambda v: v,
    }[kind]
    multipliers = {name: change(values) for name, values in cold.certificate.multipliers.items()}
    if kind == "unknown":
        multipliers = {f"{name}?": values for name, values in multipliers.items()}
    nonsense = dataclasses.replace(cold.certificate, multipliers=multipliers)
    warm = hr2jax.solve(net, method=method, warm_start=dataclasses.replace(cold, certificate=nonsense))
    assert Fraction(warm.bound) >= truth
    assert warm.certificate.verify(net) == warm.bound
    assert warm.bound == pytest.approx(cold.bound, rel=2e-3)


# Reproducibility and compilation ------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lowrank", "admm"])
def test_a_seed_fixes_everything(net, local, method):
    first, second = (hr2jax.solve(net, method=method, seed=3, **local) for _ in range(2))
    assert first.bound == second.bound
    assert first.relaxation_value == second.relaxation_value
    assert first.iterations == second.iterations
    for group, values in first.certificate.diagonal.items():
        np.testing.assert_array_equal(values, second.certificate.diagonal[group])
    for name, values in first.certificate.multipliers.items():
        np.testing.assert_array_equal(values, second.certificate.multipliers[name])


@pytest.mark.usefixtures("no_lower_search")
@pytest.mark.parametrize("method", ["lowrank", "admm"])
def test_a_second_solve_of_the_same_shape_compiles_nothing(method, local):
    for relaxation in ("shor", "hr2"):
        hr2jax.solve(random_net(20), relaxation=relaxation, method=method, tol=1e-2, **local)
        hr2jax.solve(random_net(21), relaxation=relaxation, method=method, tol=1e-2, center=np.zeros(6), radius=9.0)
        before = compile_seconds()
        again = hr2jax.solve(
            random_net(22), relaxation=relaxation, method=method, tol=1e-2, center=np.zeros(6), radius=9.0
        )
        assert compile_seconds() == before
        assert again.timings["compile"] == 0.0


@pytest.mark.usefixtures("no_lower_search")
def test_networks_of_nearby_sizes_share_a_program():
    hr2jax.solve(random_net(0, 8, 8), relaxation="shor")
    before = compile_seconds()
    for p, m in product((1, 4, 7), repeat=2):
        hr2jax.solve(random_net(0, p, m), relaxation="shor")
    assert compile_seconds() == before


def test_nothing_global_is_changed():
    """Importing and solving leave JAX's switches alone (a fresh process, so that nothing has solved before)."""
    program = """
        import jax
        import hr2jax
        assert not jax.config.jax_enable_x64
        net = hr2jax.Network([[[1.0, -1.0]], [[2.0]]], [[0.5], [0.0]])
        for method in ("lowrank", "admm"):
            assert 4.0 <= hr2jax.solve(net, method=method).bound <= 4.0 + 1e-9
        assert not jax.config.jax_enable_x64
        assert jax.numpy.ones(3).dtype == "float32"
        assert jax.config.jax_default_device is None
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("method", ["lowrank", "admm"])
def test_solving_works_where_the_user_has_enabled_float64(net, local, result, method):
    with jax.enable_x64(True):
        again = hr2jax.solve(net, method=method, **local)
        assert jax.config.jax_enable_x64
    assert again.status is Status.SOLVED
    assert again.bound == pytest.approx(result.bound, rel=2e-3)


def test_the_device_is_chosen_for_this_solve_only(net, local, result):
    again = hr2jax.solve(net, device="cpu", **local)
    assert again.bound == pytest.approx(result.bound, rel=1e-3)
    assert jax.config.jax_default_device is None


# Outputs and small or extreme networks ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "coefficients"),
    [
        (0, [1, 0, 0]),
        (np.int64(2), [0, 0, 1]),
        ((0, 2), [1, 0, -1]),
        ((np.int8(1), 0), [-1, 1, 0]),
        ([0.5, -0.25, 2.0], [0.5, -0.25, 2.0]),
        (np.array([0.1, 0.2, -0.3]), [0.1, 0.2, -0.3]),
        (np.array([1, 0, -2]), [1, 0, -2]),
        (np.array([1, 0, 0.5], dtype=np.float32), [1, 0, 0.5]),
    ],
)
def test_every_documented_kind_of_output(output, coefficients):
    net = random_net(5, 4, 5, outputs=3)
    result = hr2jax.solve(net, output=output)
    exact = exact_global(net, coefficients)
    assert exact <= Fraction(result.bound)
    assert result.bound <= float(exact) * 1.3
    assert result.problem["output"] == [float(c) for c in coefficients]
    assert result.certificate.verify(net, output=output) == result.bound


@pytest.mark.parametrize("method", ["lowrank", "admm"])
@pytest.mark.parametrize("domain", [{}, {"center": np.ones(6), "radius": 0.5}])
def test_the_zero_function_has_bound_zero(method, domain):
    net = random_net(6, outputs=2)
    zero = Network([np.zeros((6, 6)), net.weights[1]], net.biases)
    for which, output in ((net, (1, 1)), (zero, 0), (net, [0.0, 0.0])):
        result = hr2jax.solve(which, output=output, method=method, **domain)
        assert result.bound == result.lower == result.gap == result.relaxation_value == 0.0
        assert result.status is Status.SOLVED
        assert result.certificate.verify(which) == 0.0
        assert strict(result.to_json())["bound"] == 0.0
        assert "SOLVED" in str(result)


@pytest.mark.parametrize("method", ["lowrank", "admm"])
def test_an_objective_that_cancels_but_for_rounding(method):
    """0.1 F - 0.1 F with equal rows: the midpoints are 0, the proved bound is rounding error, and nothing hangs."""
    net = random_net(7, 4, 4, outputs=1)
    twins = Network([net.weights[0], np.repeat(net.weights[1], 2, axis=0)], [net.biases[0], np.zeros(2)])
    for domain in ({}, {"center": np.zeros(4), "radius": 1.0}):
        result = hr2jax.solve(twins, output=[0.1, -0.1], method=method, **domain)
        assert 0.0 <= result.bound < 1e-12
        assert result.certificate.verify(twins) == result.bound


@pytest.mark.parametrize("relaxation", ["shor", "hr2", "hr2z"])
def test_stable_neurons_give_the_exact_linear_value(relaxation):
    rng = np.random.default_rng(8)
    A, c = rng.standard_normal((5, 4)), rng.standard_normal((1, 5))
    b = np.where(np.arange(5) % 2 == 0, 1.0, -1.0) * 100
    net = Network([A, c], [b, [0.0]])
    radius = np.array([1.0, 0.0, 2.0, 1.0])
    exact = np.abs((c[0, ::2] @ A[::2])[radius > 0]).sum()
    result = hr2jax.solve(net, relaxation=relaxation, center=np.zeros(4), radius=radius)
    assert result.bound == pytest.approx(exact, rel=1e-9)
    assert result.lower == pytest.approx(exact, rel=1e-9)
    assert result.status is Status.SOLVED
    assert result.problem["unstable_neurons"] == 0


@pytest.mark.parametrize("relaxation", ["shor", "hr2", "hr2z"])
@pytest.mark.parametrize("method", ["lowrank", "admm"])
def test_one_input_one_neuron_one_output(relaxation, method):
    net = Network([[[-3.0]], [[0.5]]], [[1.0], [7.0]])
    for domain in ({}, {"center": [0.3], "radius": 0.5}, {"center": [0.0], "radius": 0.25}):
        result = hr2jax.solve(net, relaxation=relaxation, method=method, **domain)
        assert 1.5 <= result.bound <= 1.5 * (1 + 1e-6)
        assert result.lower == pytest.approx(1.5)
        assert result.status is Status.SOLVED
    off = hr2jax.solve(net, relaxation=relaxation, method=method, center=[1.0], radius=0.5)
    assert off.bound == 0.0
    assert off.status is Status.SOLVED


@pytest.mark.parametrize("relaxation", ["shor", "hr2", "hr2z"])
def test_one_input(relaxation):
    rng = np.random.default_rng(9)
    net = Network([rng.standard_normal((6, 1)), rng.standard_normal((1, 6))], [rng.standard_normal(6), [0.0]])
    slopes = net.weights[1][0] * net.weights[0][:, 0]
    result = hr2jax.solve(net, relaxation=relaxation)
    exact = max(slopes[slopes > 0].sum(), -slopes[slopes < 0].sum())
    assert exact * (1 - 1e-12) <= result.bound
    inside = hr2jax.solve(net, relaxation=relaxation, center=[0.0], radius=1.0)
    assert inside.lower <= inside.bound <= result.bound * (1 + 1e-3)
    kinks = np.sort(-net.biases[0] / net.weights[0][:, 0])
    xs = np.clip(np.concatenate([[-1.0], (kinks[1:] + kinks[:-1]) / 2, [1.0]]), -1, 1)
    assert inside.bound >= np.abs(net.gradient(xs[:, None])).max() * (1 - 1e-12)
    assert inside.lower == pytest.approx(np.abs(net.gradient(xs[:, None])).max(), rel=1e-6)


@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1e-150, 1e-30, 1e30, 1e150, 1e153])
def test_extreme_scales_stay_sound(scale):
    base = random_net(10, 4, 4)
    net = Network([scale * base.weights[0], scale * base.weights[1]], [scale * base.biases[0], [0.0]])
    exact = exact_global(net, [1.0])
    plain = hr2jax.solve(base)
    for relaxation, method in (("hr2", "lowrank"), ("shor", "admm")):
        result = hr2jax.solve(net, relaxation=relaxation, method=method)
        assert exact <= Fraction(result.bound) < np.inf
        assert result.lower <= result.bound
        assert result.certificate.verify(net) == result.bound
        strict(result.to_json())
        if scale >= 1e-150:
            assert result.status is Status.SOLVED
            assert result.bound == pytest.approx(plain.bound * scale * scale, rel=0.05)
    for center, radius in ((np.zeros(4), 1.0), (np.full(4, scale), scale)):
        result = hr2jax.solve(net, center=center, radius=radius)
        assert result.lower <= result.bound
        gradients = net.gradient(center + radius * np.random.default_rng(0).uniform(-1, 1, (100, 4)))
        attained = np.abs(gradients).sum(axis=1).max()
        assert attained * (1 - 1e-12) <= result.bound < np.inf


@pytest.mark.parametrize("method", ["lowrank", "admm"])
def test_neurons_of_very_unlike_sizes(method):
    """Their products are of size 1, though no common scale fits rows and outputs."""
    rng = np.random.default_rng(11)
    A, c = rng.standard_normal((4, 4)), rng.standard_normal((1, 4))
    sizes = np.array([1e200, 1e-200, 1e-200, 1e100])
    net = Network([A * sizes[:, None], c / sizes], [rng.standard_normal(4), [0.0]])
    plain = hr2jax.solve(Network([A, c], net.biases), method=method)
    for domain in ({}, {"center": np.zeros(4), "radius": 2.0}):
        result = hr2jax.solve(net, method=method, **domain)
        assert exact_global(net, [1.0]) <= Fraction(result.bound) or domain
        assert domain or result.bound == pytest.approx(plain.bound, rel=2e-3)
        assert result.certificate.verify(net) == result.bound


def test_a_constant_beyond_float64_is_refused():
    net = Network([np.full((2, 2), 1e200), np.full((1, 2), 1e200)], [np.zeros(2), [0.0]])
    with pytest.raises(ValueError, match="exceeds what float64 can hold"):
        hr2jax.solve(net)


def test_pre_activations_beyond_float64_are_refused():
    net = Network([np.full((2, 2), 1e200), np.full((1, 2), 1e-200)], [np.zeros(2), [0.0]])
    with pytest.raises(ValueError, match="overflow float64"):
        hr2jax.solve(net, center=np.zeros(2), radius=1e200)
