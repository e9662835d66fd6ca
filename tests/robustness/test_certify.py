"""certify against the exact answer of tiny networks, and what it refuses."""

import json
import math
import time

import numpy as np
import pytest

import hr2jax
from hr2jax import Status
from hr2jax.robustness import certifying as module
from hr2jax.robustness import search as searching
from hr2jax.robustness.rivals import Stopped
from hr2jax.text import percent_down, percent_up
from tests.reference.margins import least_margin

from ..reference.classifier import network

RADII = [0.2, 0.05, 0.6, 0.1]  # in no order


@pytest.fixture(scope="module")
def cases():
    """(net, inputs, labels, clip, {via: report}): networks that every route has certified."""
    out = []
    for seed in range(3):
        rng = np.random.default_rng(100 + seed)
        net, inputs = network(seed), rng.uniform(-1, 1, (6, 2))
        labels = np.argmax(net(inputs), axis=1)
        labels[0] = (labels[0] + 1) % 3  # wrong
        clip = (-1.0, 1.0) if seed % 2 else None
        reports = {
            via: hr2jax.certify(net, inputs, labels, RADII, clip=clip, via=via, relaxation="shor")
            for via in ("lipschitz-global", "lipschitz-local")
        }
        out.append((net, inputs, labels, clip, reports))
    return out


@pytest.mark.parametrize("via", ["lipschitz-global", "lipschitz-local"])
def test_what_is_certified_is_robust_and_what_is_broken_is_not(cases, via):
    certified = broken = 0
    for net, inputs, labels, clip, reports in cases:
        report = reports[via]
        for i, x in enumerate(inputs):
            for m, radius in enumerate(RADII):
                least = least_margin(net, x, labels[i], radius, clip)
                if report.certified[i, m]:
                    assert least > 0
                    certified += 1
                if report.right[i] and report.broken_at[i] <= radius:
                    assert least <= 1e-9
                    assert not report.certified[i, m]
                    broken += 1
            if report.radius[i] > 0:
                reach = min(report.radius[i], 10.0)
                assert least_margin(net, x, labels[i], reach, clip) > -1e-9
    assert certified >= 20
    assert broken >= 10


def test_local_constants_certify_more_and_nothing_less(cases):
    better = 0
    for *_, reports in cases:
        around, everywhere = reports["lipschitz-local"], reports["lipschitz-global"]
        assert (around.certified >= everywhere.certified).all()
        assert (around.radius >= everywhere.radius * (1 - 1e-3)).all()
        better += (around.radius > 1.05 * everywhere.radius).sum()
    assert better >= 3


def test_reports_are_consistent(cases):
    for net, inputs, labels, _, reports in cases:
        for report in reports.values():
            assert report.certified.shape == (6, 4)
            assert report.status is Status.SOLVED
            assert report.decided.all()
            order = np.argsort(RADII)
            assert (np.diff(report.certified[:, order].astype(int), axis=1) <= 0).all()  # monotone
            np.testing.assert_array_equal(report.certified, report.right[:, None] & (report.radius[:, None] >= RADII))
            np.testing.assert_array_equal(report.ratio, report.certified.mean(axis=0))
            assert not report.certified[0].any()
            assert not report.right[0]
            assert report.radius[0] == 0
            assert report.clean_accuracy == 5 / 6
            assert (report.ratio <= report.attack_accuracy).all()
            assert (report.attack_accuracy <= report.clean_accuracy).all()
            for i in np.flatnonzero(np.isfinite(report.broken_at)):
                point = report.adversarial[i]
                assert np.abs(point - inputs[i]).max() <= report.broken_at[i]
                assert net(point)[labels[i]] <= net(point).max() + 1e-12
            for pair, certificate in report.certificates.items():
                assert certificate.verify(net, output=pair) <= report.bounds[pair] * (1 + 1e-12)


def test_ties_and_wrong_labels_are_never_certified():
    same = hr2jax.Network([np.eye(2), [[1.0, 1.0], [1.0, 1.0]]], [np.zeros(2), np.zeros(2)])
    for via in ("lipschitz-global", "lipschitz-local"):
        report = hr2jax.certify(same, [[0.5, 0.5]], radii=[1e-9], via=via, relaxation="shor")
        assert not report.certified.any()
        assert not report.right.any()
        assert report.clean_accuracy == 0
    constant = hr2jax.Network([np.eye(2), np.zeros((2, 2))], [np.zeros(2), np.array([1.0, 0.0])])
    report = hr2jax.certify(constant, [[0.5, 0.5], [0.0, 1.0]], [0, 1], [1e300], relaxation="shor")
    assert report.certified.ravel().tolist() == [True, False]
    assert report.radius.tolist() == [math.inf, 0.0]


def test_the_clip_box_makes_more_certain():
    # F_0 - F_1 = 1 - 4 ReLU(y_0 - 1): only points outside the box are dangerous
    net = hr2jax.Network([[[1.0, 0.0]], [[0.0], [4.0]]], [[-1.0], [1.0, 0.0]])
    x = [[0.9, 0.5]]
    free = hr2jax.certify(net, x, radii=[0.5, 1.0], via="lipschitz-local", relaxation="shor", attack_starts=20)
    boxed = hr2jax.certify(net, x, radii=[0.5, 1.0], via="lipschitz-local", relaxation="shor", clip=(0, [1, 1]))
    assert free.certified.tolist() == [[False, False]]
    assert boxed.certified.tolist() == [[True, True]]
    assert free.broken_at[0] == 0.5
    assert boxed.broken_at[0] == math.inf
    fixed = hr2jax.certify(
        net, x, radii=[1.0], via="lipschitz-local", relaxation="shor", clip=([0.9, 0.5], [0.9, 0.5]), attack_starts=0
    )
    assert fixed.certified.all()


def test_no_witness_is_searched_beside_global_constants(monkeypatch):
    """Nothing of the report looks at it; the search took most of the time."""
    net = hr2jax.Network([np.eye(2), np.array([[1.0, -1.0], [-1.0, 1.0]])], [np.zeros(2), np.zeros(2)])

    def searched(*_, **__):
        raise AssertionError

    monkeypatch.setattr("hr2jax.lower.search", searched)
    monkeypatch.setattr("hr2jax.robustness.bilinear.serves", lambda *_: False)
    report = hr2jax.certify(net, [[1.0, 0.0], [0.0, 1.0]], radii=[0.1], attack_starts=0)
    assert report.ratio[0] == 1.0
    with pytest.raises(AssertionError):
        hr2jax.solve(net, output=(0, 1), relaxation="shor", witness=1)


@pytest.mark.framework("distributed", "cryptography")  # two processes that import and compile for themselves
def test_workers_give_the_same_answer(cases):
    net, inputs, labels, clip, reports = cases[1]
    again = hr2jax.certify(
        net, inputs, labels, RADII, clip=clip, via="lipschitz-local", relaxation="shor", workers=2
    )
    np.testing.assert_array_equal(again.certified, reports["lipschitz-local"].certified)
    np.testing.assert_allclose(again.radius, reports["lipschitz-local"].radius, rtol=0.06)


def test_no_time_certifies_little_but_soundly():
    net = network(1)
    inputs = np.random.default_rng(3).uniform(-1, 1, (5, 2))
    for via in ("lipschitz-global", "lipschitz-local"):
        report = hr2jax.certify(net, inputs, radii=[1e-4, 0.3], via=via, time_limit=0)
        assert report.status is Status.TIME_LIMIT
        assert "not certified" in str(report)
        assert report.certified[:, 0].any()  # by the bound that needs no engine
        assert not report.decided.all()
        assert json.loads(report.to_json())["undecided"] == (~report.decided).sum()


def test_without_bisection_what_is_broken_is_decided(monkeypatch):
    tasks = []
    monkeypatch.setattr(f"{module.__name__}.search_all", lambda setting, some, *_: tasks.extend(some) or iter(()))
    x = np.random.default_rng(3).uniform(-1, 1, (5, 2))
    options = {"radii": [1e-9, 9.0], "via": "lipschitz-local", "relaxation": "shor", "radius_accuracy": None}
    report = hr2jax.certify(network(2), x, **options)
    assert report.certified[:, 0].all()
    np.testing.assert_array_equal(report.decided, report.broken_at == 9.0)
    assert report.decided.any()
    assert len(tasks) == (~report.decided).sum()


@pytest.mark.parametrize("where", ["broken", "bilinear.certificates", "search_all"])
def test_an_interrupt_leaves_what_was_decided(monkeypatch, where):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"{module.__name__}.{where}", interrupt)
    net = network(2)
    x = np.random.default_rng(3).uniform(-1, 1, (5, 2))
    with pytest.raises(hr2jax.Interrupted) as stop:
        hr2jax.certify(net, x, radii=[1e-4, 5.0], via="lipschitz-local", relaxation="shor")
    report = stop.value.result
    assert report.status is Status.STOPPED
    assert report.certified.any() == (where == "search_all")
    assert report.certified[:, 0].sum() == (report.radius >= 1e-4).sum()


def test_the_search_is_by_bisection_and_ends_at_the_first_rival_that_fails(monkeypatch):
    asked = []

    def test(question):  # rival 1 is excluded up to 0.31, rival 2 up to 2
        asked.append((question.rival, question.radius))
        return question.radius if question.radius <= {1: 0.31, 2: 2.0}[question.rival] else 0.0

    monkeypatch.setitem(searching.TESTS, "lipschitz-local", test)
    setting = searching.Setting(
        network(), "lipschitz-local", "inf", None, (0.1, 0.2, 0.4, 0.8), 0.05, {}, None
    )
    x, margins = np.zeros(2), np.array([np.inf, 1.0, 1.0])
    task = searching.Task(7, x, 0, margins, np.array([np.inf, 0.05, 0.07]), math.inf)
    found = searching.search(setting, task)
    assert (found.index, found.finished) == (7, True)
    assert 0.31 / 1.05 <= found.radius <= 0.31
    assert (2, 0.4) not in asked  # rival 1, the closer one, has failed there
    assert {radius for _, radius in asked} >= {0.2, 0.4}
    assert not {0.8} & {radius for _, radius in asked}
    asked.clear()
    found = searching.search(setting, searching.Task(7, x, 0, margins, task.known, 0.2))
    assert 0.19 <= found.radius < 0.2
    assert max(radius for _, radius in asked) < 0.2  # broken there: nothing to be tried

    def stopped(question):
        raise Stopped

    monkeypatch.setitem(searching.TESTS, "lipschitz-local", stopped)
    assert searching.search(setting, task) == searching.Found(7, 0.05, False)


def test_json_is_strict_and_whole(cases, tmp_path):
    net, _, labels, _, reports = cases[0]
    report = reports["lipschitz-local"]

    def refuse(name):
        raise AssertionError(name)

    text = report.to_json(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    assert read == json.loads(text)
    assert read["certified"] == report.certified.tolist()
    assert read["labels"] == labels.tolist()
    assert read["problem"]["network_hash"] == net.hash
    assert None in read["broken_at"]  # infinity
    assert {tuple(entry["pair"]) for entry in read["bounds"]} == set(report.bounds)


def test_the_table_and_the_picture(cases, tmp_path):
    report = cases[0][-1]["lipschitz-global"]
    text = str(report)
    for part in ("lipschitz-global", "83.33 %", "SOLVED", "under attack", "0.05"):
        assert part in text
    report.plot(tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 5000
    with pytest.raises(ValueError, match="must end in"):
        report.plot(tmp_path / "report.nothing")


X = [[0.1, 0.2], [0.3, -0.4]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"inputs": [0.1, 0.2]}, r"inputs must have shape \(n, 2\).* given as x\[None\]"),
        ({"inputs": [[0.1, 0.2, 0.3]]}, r"inputs must have shape \(n, 2\)"),
        ({"inputs": np.zeros((0, 2))}, "n at least 1"),
        ({"inputs": [[0.1, np.nan]]}, "finite"),
        ({"labels": [0, 3]}, r"0..2, but 3"),
        ({"labels": [0, -1]}, "but -1"),
        ({"labels": [0.0, 1.0]}, "integers"),
        ({"labels": [True, False]}, "integers"),
        ({"labels": [0]}, r"shape \(2,\)"),
        ({"labels": [[0], [1, 2]]}, "integers"),
        ({"radii": []}, "at least one"),
        ({"radii": [0.1, 0.0]}, "positive, but 0.0"),
        ({"radii": [0.1, np.inf]}, "finite"),
        ({"radii": [[0.1]]}, "1 dimension"),
        ({"clip": 1.0}, "pair"),
        ({"clip": (0.0, [1.0, 1.0, 1.0])}, "clip's hi"),
        ({"clip": (0.5, 0.0)}, "must not exceed"),
        ({"clip": (0.0, 1.0)}, "entry 1 of input 1 is -0.4"),
        ({"via": "magic"}, "lipschitz-global"),
        ({"norm": "3"}, "norm"),
        ({"relaxation": "hr3"}, "relaxation"),
        ({"workers": 0}, "workers"),
        ({"attack_steps": 0}, "attack_steps"),
        ({"attack_starts": -1}, "attack_starts"),
        ({"radius_accuracy": 0.0}, "radius_accuracy"),
        ({"tol": -1.0}, "tol"),
        ({"time_limit": -1.0}, "time_limit"),
        ({"seed": -1}, "seed"),
        ({"via": "sdp", "method": "newton"}, "method"),
        ({"progress": 1}, "progress"),
        ({"net": network(outputs=1)}, "two outputs"),
        ({"net": "net"}, "no suffix"),
            ({"net": 3}, "int"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(given, message):
    full = {"net": network(), "inputs": X, "radii": [0.1]} | given
    with pytest.raises(ValueError, match=message) as error:
        hr2jax.certify(full.pop("net"), full.pop("inputs"), full.pop("labels", None), **full)
    assert "\n" not in str(error.value)


def test_what_solve_does_not_know():
    with pytest.raises(ValueError, match="relaxation must be one of"):
        hr2jax.certify(network(), X, radii=[0.1], via="sdp", relaxation="hr2z")
    for name in ("center", "warm_start", "callback", "output", "tolerance"):
        with pytest.raises(TypeError, match=name):
            hr2jax.certify(network(), X, radii=[0.1], **{name: None})


def test_progress_shows_which_constant_is_sought(caplog):
    net = network()
    with caplog.at_level("INFO", "hr2jax"):
        hr2jax.certify(net, np.zeros((1, 2)), radii=[0.1], relaxation="hr2", attack_starts=0, progress=True)
    assert "1 of 2, F_" in caplog.text and "certified" in caplog.text


@pytest.mark.parametrize("time_limit", [None, 1000.0])
@pytest.mark.parametrize("via", ["lipschitz-global", "lipschitz-local"])
def test_with_a_time_limit_constants_come_before_the_attack(time_limit, via, monkeypatch):
    """It compiles for seconds: of five none were left for ten constants of 20-40-5, of which each takes a tenth."""
    called = []
    for name in ("attack", "bound_pairs", "search"):
        original = getattr(module.Certifying, name)
        monkeypatch.setattr(
            module.Certifying, name,
            lambda self, *given, original=original, name=name: called.append(name) or original(self, *given),
        )  # fmt: skip
    x = np.random.default_rng(3).uniform(-1, 1, (3, 2))
    report = hr2jax.certify(network(2), x, radii=[1e-3, 9.0], relaxation="shor", via=via, time_limit=time_limit)
    first = ["attack", "bound_pairs"] if time_limit is None else ["bound_pairs", "attack"]
    assert called == first + ["search"] * (via == "lipschitz-local")
    assert report.decided.all() and report.attack_accuracy is not None


@pytest.mark.parametrize(("via", "time_limit", "calls"), [
    ("lipschitz-local", None, 1), ("sdp", None, 0), ("sdp", 1000.0, 1),
])  # fmt: skip
def test_with_a_time_limit_largest_values_begin_with_local_constants_of_all(via, time_limit, calls, monkeypatch):
    """Of 20 inputs of 20-40-5 they certified fewer at the least radius in 10 s: 16 where those had 18."""
    called = []
    monkeypatch.setattr(module.Certifying, "exclude_together", lambda *_: called.append(1))
    x = np.random.default_rng(3).uniform(-1, 1, (2, 2))
    hr2jax.certify(network(2), x, radii=[1e-3], relaxation="shor", via=via, time_limit=time_limit, attack_starts=0)
    assert len(called) == calls


@pytest.mark.parametrize("countless", [{"attack_steps": 10**9}, {"attack_starts": 10**9}])
def test_a_countless_attack_ends_with_the_time_limit(countless):
    """The limit was looked at between radii only, and a climb was one program: it ran for hours, deaf to Ctrl-C."""
    x = np.random.default_rng(3).uniform(-1, 1, (5, 2))
    began = time.monotonic()
    options = {"via": "lipschitz-local", "relaxation": "product", "time_limit": 0.4}
    report = hr2jax.certify(network(2), x, radii=[1e-9, 1.0], **options, **countless)
    assert time.monotonic() - began < 30  # compilations of a busy machine
    assert report.status is Status.TIME_LIMIT
    assert np.isnan(report.attack_accuracy).any()
    assert not (report.certified & (report.radii >= report.broken_at[:, None])).any()


def test_nothing_is_said_of_radii_that_were_not_attacked():
    x = np.random.default_rng(3).uniform(-1, 1, (5, 2))
    report = hr2jax.certify(network(2), x, radii=[9.0, 1e-3], relaxation="shor", time_limit=0)
    assert np.isnan(report.attack_accuracy).all()
    assert json.loads(report.to_json())["attack_accuracy"] == [None, None]
    assert hr2jax.certify(network(2), x, radii=[9.0, 1e-3], relaxation="shor").attack_accuracy[0] < 1


def test_what_is_certified_everywhere_is_decided_whatever_the_clock_says():
    x = np.random.default_rng(3).uniform(-1, 1, (5, 2))
    report = hr2jax.certify(network(2), x, radii=[1e-9], relaxation="shor", time_limit=0)
    assert report.status is Status.TIME_LIMIT
    assert report.certified.all() and report.decided.all()


def test_a_limit_of_the_constants_is_told():
    x = np.random.default_rng(3).uniform(-1, 1, (5, 2))
    report = hr2jax.certify(network(2, m=8), x, radii=[0.1], relaxation="hr2", max_iterations=1)
    assert report.status is Status.ITERATION_LIMIT
    assert report.decided.all()
    assert "looser" in str(report)


@pytest.mark.parametrize("via", ["lipschitz-local", "sdp"])
def test_a_radius_beyond_float64_certifies_nothing_and_loses_nothing(via):
    """It ended the whole report with a ValueError, after the attack and the constants."""
    x = np.random.default_rng(3).uniform(-1, 1, (2, 2))
    report = hr2jax.certify(network(2), x, radii=[1e-9, 1e308], via=via, relaxation="shor", radius_accuracy=None)
    assert report.certified.tolist() == [[True, False], [True, False]]


def test_percentages_that_the_truth_lies_between():
    assert (percent_down(1 / 3), percent_up(1 / 3)) == ("33.33", "33.34")
    assert (percent_down(0.5), percent_up(0.5)) == ("50.00", "50.00")


def test_a_seed_beyond_int64_is_a_seed():
    """It ended in an OverflowError in the middle of the work."""
    x = np.random.default_rng(3).uniform(-1, 1, (2, 2))
    report = hr2jax.certify(network(2), x, radii=[9.0], relaxation="shor", seed=10**30)
    assert report.problem["seed"] == 10**30
    assert np.isfinite(report.broken_at).any()


def test_inputs_are_images_and_radii_one_number():
    """Both were refused: "inputs must have 2 dimensions", "radii must have 1 dimension"."""
    net, images = network(p=4), np.random.default_rng(0).uniform(0, 1, (3, 2, 2))
    low, options = np.zeros((2, 2)), {"relaxation": "interval", "attack_starts": 0}
    report = hr2jax.certify(net, images, radii=0.01, clip=(low, 1.0), **options)
    flat = hr2jax.certify(net, images.reshape(3, 4), radii=[0.01], clip=(0.0, 1.0), **options)
    assert report.certified.tolist() == flat.certified.tolist()
    assert report.radius.tolist() == flat.radius.tolist()
    assert report.radii.tolist() == [0.01]


def test_the_reports_repr_is_one_line(cases):
    """It was every array in full."""
    report = cases[0][4]["lipschitz-global"]
    assert len(repr(report)) < 120
    assert "\n" not in repr(report)


def test_bisection_between_radii_whose_sum_is_beyond_float64(monkeypatch):
    """Between 1e308 and 1.7e308 it asked for the radius infinity."""
    asked = []

    def up_to(question):
        asked.append(question.radius)
        return question.radius if question.radius <= 1.5e308 else 0.0

    monkeypatch.setitem(searching.TESTS, "up to", up_to)
    setting = searching.Setting(network(), "up to", "inf", None, (1e308, 1.7e308), 0.01, {}, None)
    margins = np.array([np.inf, 1.0, 1.0])
    task = searching.Task(0, np.zeros(2), 0, margins, np.array([np.inf, 0.0, 0.0]), np.inf)
    found = searching.search(setting, task)
    assert np.isfinite(asked).all()
    assert 1.48e308 <= found.radius <= 1.5e308


@pytest.mark.parametrize("via", ["lipschitz-local", "sdp"])
def test_a_stronger_way_never_certifies_less(via, monkeypatch):
    """Searches began from constants of shor, whatever the relaxation: 11 of 48 radii were smaller than the global's."""
    monkeypatch.setattr(module.Certifying, "exclude_together", lambda *_: None)
    monkeypatch.setitem(searching.TESTS, via, lambda _: 0.0)  # the search adds nothing
    net, inputs = network(3), np.random.default_rng(3).uniform(-1, 1, (4, 2))
    options = {"radii": RADII, "relaxation": "hr2", "attack_starts": 0}
    weaker = hr2jax.certify(net, inputs, via="lipschitz-global", **options)
    stronger = hr2jax.certify(net, inputs, via=via, **options)
    assert stronger.radius.tolist() == weaker.radius.tolist()
    assert weaker.radius.max() > 0


def test_norm_1_is_certified_and_attacked_as_such():
    """Points that break an input lie in its ball, and no certified radius reaches them."""
    rng = np.random.default_rng(3)
    net = hr2jax.Network([rng.normal(size=(6, 3)), rng.normal(size=(3, 6))], [rng.normal(size=6), rng.normal(size=3)])
    inputs = rng.normal(size=(3, 3))
    for via in ("lipschitz-global", "lipschitz-local", "sdp"):
        report = hr2jax.certify(net, inputs, radii=[0.02, 2.0], norm=1, via=via)
        assert report.certified.any()
        broken = np.isfinite(report.broken_at)
        assert broken.any()
        distance = np.abs(report.adversarial - inputs).sum(axis=1)[broken]
        assert (distance <= report.broken_at[broken]).all()
        assert (net(report.adversarial[broken]).argmax(axis=1) != report.labels[broken]).all()
        assert (report.radius[broken] < distance).all()
        assert not (report.certified & (report.broken_at[:, None] <= report.radii)).any()
