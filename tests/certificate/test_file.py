"""Format 3: every entry by name, stated bounds proved, and files of every kind that are changed in every way."""

import dataclasses
import json
import os
import subprocess
import sys
import warnings
import zipfile
from functools import cache

import numpy as np
import pytest

import hr2jax
from hr2jax import Certificate, CertificateError, Network
from hr2jax.certificate import file
from hr2jax.relaxation.scales import GRID

from ..reference.brute import exact_constant
from ..reference.effort import FULL

BOX = {"center": [0.1, -0.2], "radius": 0.75}
# kind -> (which network, by its depth; function; arguments)
KINDS = {
    "hr2": (1, "solve", {**BOX, "relaxation": "hr2"}),
    "hr2 global": (1, "solve", {"relaxation": "hr2"}),
    "hr2z ball": (1, "solve", {**BOX, "norm": 2, "relaxation": "hr2z"}),
    "hr2+": (1, "solve", {**BOX, "relaxation": "hr2+"}),
    "lasserre2": (1, "solve", {**BOX, "relaxation": "lasserre2", "method": "clarabel"}),
    "lipopt3": (0, "solve", {"relaxation": "lipopt3"}),
    "lipopt4": (0, "solve", {"relaxation": "lipopt4", "center": [0.1, -0.2, 0.3], "radius": 0.5}),
    "lipsdp": (2, "solve", {"norm": 2, "relaxation": "lipsdp"}),
    "interval": (2, "solve", {**BOX, "relaxation": "interval"}),
    "deep both": (2, "solve", {**BOX, "relaxation": "hr2+", "lifting": "both", "bounds": "linear"}),
    "deep forward": (2, "solve", {"relaxation": "hr2+", "lifting": "forward"}),
    "deep adjoint": (3, "solve", {**BOX, "norm": 2, "relaxation": "hr2", "lifting": "adjoint", "bounds": "linear"}),
    "maximum": (2, "maximum", {**BOX, "relaxation": "hr2+", "bounds": "linear"}),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@cache
def network(depth):
    if depth == 0:  # one layer where LipOpt's bound is better than a product of norms
        rng = np.random.default_rng(0)
        A, C, b = rng.standard_normal((4, 3)), rng.standard_normal((2, 4)), 0.3 * rng.standard_normal(4)
        return Network([A, C[:1]], [b, [0.0]])
    rng = np.random.default_rng([depth, 1])
    widths = [*[2, 3, 3, 2][: depth + 1], 1]
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    return Network([rng.standard_normal(s) for s in shapes], [0.4 * rng.standard_normal(s[0]) for s in shapes])


@cache
def solved(kind):
    depth, call, options = KINDS[kind]
    return getattr(hr2jax, call)(network(depth), tol=1e-2, seed=0, **options)


def net_of(kind):
    return network(KINDS[kind][0])


def entries_of(kind):
    return {name: np.array(values) for name, values in solved(kind).certificate.entries().items()}


@cache
def truth(kind):
    """What no proof may be below: the exact constant; of a maximum, a value that is attained."""
    if KINDS[kind][1] == "maximum":
        return solved(kind).lower
    return exact_constant(net_of(kind), solved(kind).certificate.lipschitz_problem) * (1 - 1e-9)


def saved(path, entries):
    """A file with those entries and their digest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.write(path, entries)
    return path


def outcome(kind, entries, arithmetic="float"):
    """What a file of these entries proves of the kind's claim, at least the truth; None: refused."""
    try:
        whole = file.content({name: np.asarray(values) for name, values in entries.items()})
    except Exception:  # `load` makes a CertificateError of anything (test_certificate.py)
        return None
    try:
        certificate = Certificate(**{f.name: getattr(whole, f.name) for f in dataclasses.fields(whole)})
        bound = certificate.verify(net_of(kind), arithmetic=arithmetic)
    except CertificateError:
        return None
    assert np.isfinite(bound)
    assert bound >= truth(kind)
    return bound


# What is said by name -------------------------------------------------------------------------------------


@every_kind
def test_a_file_proves_what_was_proved_to_the_last_bit(kind, tmp_path):
    certificate = solved(kind).certificate
    certificate.save(tmp_path / "c.npz")
    loaded = Certificate.load(tmp_path / "c.npz")
    assert loaded.verify(net_of(kind)) == certificate.verify(net_of(kind)) == certificate.bound
    assert {k: v.tobytes() for k, v in loaded.entries().items()} == {
        k: v.tobytes() for k, v in entries_of(kind).items()
    }
    assert loaded.problem == certificate.problem
    assert truth(kind) <= certificate.bound


@every_kind
def test_entries_are_found_by_name_in_any_order(kind):
    entries = entries_of(kind)
    for order in (sorted(entries), sorted(entries)[::-1]):
        assert outcome(kind, {name: entries[name] for name in order}) == solved(kind).certificate.bound


def test_a_table_may_have_any_order_and_more_than_is_used():
    """What its rows say is all that counts."""
    for kind, record, places, columns in (
        ("hr2+", "triangles", "corners", ("group", "layer", "index")),
        ("deep both", "products", "pairs", ("kind", "sign", "layer", "index")),
        ("lipopt3", "krivine", "factors", ("group", "layer", "index")),
    ):
        entries = entries_of(kind)
        order = np.random.default_rng(0).permutation(len(entries[f"multipliers/{record}/index"]))
        for name in columns:
            entry = f"multipliers/{record}/{name}"
            entries[entry] = np.concatenate([entries[entry][order], entries[entry][:1]])
        entry = f"multipliers/{record}/{places}"
        entries[entry] = np.argsort(order)[entries[entry]]
        assert outcome(kind, entries) == pytest.approx(solved(kind).bound, rel=1e-12)


@pytest.mark.parametrize("kind", ["hr2", "deep both", "maximum", "deep adjoint", "lipsdp"])
def test_neurons_may_have_any_order(kind):
    entries, rng = entries_of(kind), np.random.default_rng(2)
    for l in range(KINDS[kind][0]):
        order = rng.permutation(len(entries[f"unstable/{l + 1}"]))
        for name, values in entries.items():
            group, _, rest = name.partition("/")
            if (
                (group in ("unstable", "low", "high", "exponent") and rest == f"{l + 1}" and len(values) == len(order))
                or (group in ("reach", "reach_exponent", "diagonal") and rest[1:] == f"{l + 1}")
                or (
                    group == "multipliers"
                    and rest.endswith(f"/{l + 1}")
                    and not rest.startswith(("(1+", "(1-v", "(1-x"))
                )
            ):
                entries[name] = values[order]
    assert outcome(kind, entries) == pytest.approx(solved(kind).bound, rel=1e-12)


@every_kind
def test_each_missing_entry_is_refused_or_only_a_multiplier(kind):
    for name in entries_of(kind):
        entries = {k: v for k, v in entries_of(kind).items() if k != name}
        proved = outcome(kind, entries)
        family = name.startswith("multipliers/") and name.split("/")[1] not in (
            "triangles",
            "products",
            "krivine",
            "sos",
        )
        assert proved is None or family or name.startswith("slopes/")


@every_kind
def test_each_entry_under_another_name_is_refused_or_valid(kind):
    names = list(entries_of(kind))
    rng = np.random.default_rng(1)
    for name in names:
        others = [name + "1", name + "/1", name.upper(), "x" + name, name.replace("/1", "/2"), name.replace("/2", "/1")]
        for other in [*rng.choice(others, 2, replace=False), rng.choice(names)]:
            if other == name:
                continue
            entries = entries_of(kind)
            if other in names:  # the two change places
                entries[name], entries[other] = entries[other], entries[name]
            else:
                entries[other] = entries.pop(name)
            outcome(kind, entries)


# Stated bounds --------------------------------------------------------------------------------------------


def stated(entries):
    """Entries that are bounds on the grid, and the sign of the direction in which they are looser."""
    signs = {"low": -1.0, "high": 1.0, "reach": 1.0}
    return {name: signs[name.partition("/")[0]] for name in entries if name.partition("/")[0] in signs}


@pytest.mark.parametrize(
    ("kind", "arithmetic"),
    [*((kind, "float") for kind in KINDS), *((k, "ball") for k in ("hr2", "deep both", "lipsdp"))],
)
def test_bounds_tighter_than_what_is_true_are_refused(kind, arithmetic):
    """By less than a billionth of the scale; in either arithmetic."""
    if arithmetic == "ball":
        pytest.importorskip("flint")
    for name, sign in stated(entries_of(kind)).items():
        for k in range(len(entries_of(kind)[name])):
            entries = entries_of(kind)
            if entries[name][k] == 0.0:
                continue
            entries[name][k] -= sign * 2000 * 2.0**-GRID
            assert outcome(kind, entries, arithmetic) is None


@every_kind
def test_looser_bounds_are_valid_and_off_the_grid_refused(kind):
    for name, sign in stated(entries_of(kind)).items():
        for by in (2.0**-GRID, 2.0**-20, 0.125):
            entries = entries_of(kind)
            entries[name] = np.clip(entries[name] + sign * by, -1.0, 1.0)
            assert outcome(kind, entries) is not None
        for wrong in (2.0 ** -(GRID + 3), np.nan, np.inf, 1.5):
            entries = entries_of(kind)
            if len(entries[name]):
                entries[name] = entries[name] + sign * wrong
                assert outcome(kind, entries) is None


@every_kind
def test_scales_below_what_is_true_are_refused_above_it_valid(kind):
    names = [name for name in entries_of(kind) if name.partition("/")[0] in ("exponent", "reach_exponent")]
    for name in names:
        if not len(entries_of(kind)[name]):
            continue
        for by in (-40, -1, 1, 30, 2**15 + 100, 2**62, -(2**62)):
            entries = entries_of(kind)
            at_all = entries[name + ""].copy()
            bound = name.replace("exponent/", "low/") if name.startswith("exponent") else name.replace("_exponent", "")
            entries[name] = at_all + by
            proved = outcome(kind, entries)
            assert (proved is not None) == (0 < by < 1000) or not entries[bound].any()


@every_kind
def test_a_unit_changes_what_multipliers_say_and_no_truth(kind):
    if "unit" not in entries_of(kind):
        return
    for by in (-2000, -30, -1, 1, 30, 2000, 2**17, -(2**17), 2**40, -(2**63)):
        entries = entries_of(kind)
        with np.errstate(over="ignore"):
            entries["unit"] = np.array(entries["unit"] + np.int64(by))
        proved = outcome(kind, entries)
        assert proved is None or proved >= solved(kind).bound * (1 - 1e-3)


# Any change at all ----------------------------------------------------------------------------------------


def changed(values, rng):
    """An entry changed in one of many ways."""
    match int(rng.integers(9)):
        case 0:
            return rng.permutation(values) if values.ndim else values
        case 1:
            return values[: len(values) // 2] if values.ndim else values[None]
        case 2:
            return np.concatenate([values, values[-1:]]) if values.ndim else values
        case 3:
            kinds = ["U9", "S9", "O"] if values.dtype.kind == "U" else [np.float32, np.int32, np.uint64, bool, "U9"]
            with np.errstate(invalid="ignore"):
                return values.astype(kinds[rng.integers(len(kinds))])
        case 4:
            return values[..., None] if rng.random() < 0.5 else values.T
    if values.dtype.kind == "U":
        return np.where(rng.random(values.shape) < 0.3, rng.choice(["one", "v", "t", "xi", "T", "U", "V", "x"]), values)
    out = np.array(values)
    some = rng.random(values.shape) < rng.choice([0.2, 1.0])
    if values.dtype == np.int64:
        new = [lambda: out + rng.integers(-2, 3, out.shape), lambda: -out, lambda: rng.integers(-1, 4, out.shape)]
        new += [lambda: np.full(out.shape, rng.choice([2**62, -(2**63), 2**15, 99]))]
    else:
        new = [lambda: out * 10.0 ** rng.integers(-3, 4), lambda: -out, lambda: 0.0 * out, lambda: out[::-1]]
        new += [
            lambda: out + rng.standard_normal(out.shape),
            lambda: np.full(out.shape, rng.choice([1e300, np.nan, 1.0])),
        ]
        new += [lambda: np.round(2.0**GRID * (out + 0.1 * rng.standard_normal(out.shape))) / 2.0**GRID]
    return np.where(some, new[rng.integers(len(new))](), out).astype(values.dtype)


@pytest.mark.filterwarnings("error")
@every_kind
def test_any_change_of_any_entry_is_refused_or_valid(kind):
    names = [
        name for name in entries_of(kind) if name not in ("claim", "coefficients", "domain/center", "domain/radius")
    ]
    rng, proved = np.random.default_rng(0), 0
    turns = (4 if FULL else 1) * len(names)
    for turn in range(turns):
        entries = entries_of(kind)
        for name in dict.fromkeys([names[turn % len(names)], *rng.choice(names, rng.integers(2))]):
            entries[str(name)] = changed(entries[str(name)], rng)
        proved += outcome(kind, entries) is not None
    assert 0 < proved < turns


# Damage of the archive ------------------------------------------------------------------------------------


def test_an_entry_twice_is_refused(tmp_path):
    saved(tmp_path / "c.npz", entries_of("hr2"))
    with zipfile.ZipFile(tmp_path / "c.npz", "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("unit.npy", archive.read("unit.npy"))
    with pytest.raises(CertificateError, match="twice"):
        Certificate.load(tmp_path / "c.npz")


def test_a_header_that_promises_more_than_there_is_is_refused_before_memory_is_taken(tmp_path, monkeypatch):
    saved(tmp_path / "c.npz", entries_of("hr2"))
    content = zipfile.ZipFile(tmp_path / "c.npz")
    names = {name: content.read(name) for name in content.namelist()}
    names["diagonal/v1.npy"] = names["diagonal/v1.npy"].replace(b"(3,)", b"(9999999999,)")
    assert b"9999999999" in names["diagonal/v1.npy"]
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    real = np.lib.format.read_array
    shapes = []
    monkeypatch.setattr(np.lib.format, "read_array", lambda *a, **b: shapes.append(1) or real(*a, **b))
    with pytest.raises(CertificateError, match=r"diagonal/v1 is damaged .* does not hold as many numbers"):
        Certificate.load(tmp_path / "c.npz")
    assert len(shapes) < len(names)


def test_a_file_of_an_earlier_format_is_refused_in_a_sentence(tmp_path):
    entries = entries_of("hr2")
    head = json.loads(str(entries["claim"])) | {"format": "hr2jax certificate 2"}
    path = saved(tmp_path / "c.npz", entries | {"claim": np.array(json.dumps(head))})
    with pytest.raises(CertificateError, match=r"made by an earlier hr2jax \('hr2jax certificate 2'.*\); solve again"):
        Certificate.load(path)
    with pytest.raises(ValueError, match=r"c\.npz' exists but cannot be resumed from: .* made by an earlier hr2jax"):
        hr2jax.solve(network(1), checkpoint=path)


# The claim that is asked for ------------------------------------------------------------------------------


def test_what_is_none_is_asked_for_too():
    everywhere, local = solved("hr2 global").certificate, solved("hr2").certificate
    net = network(1)
    assert everywhere.verify(net, center=None, radius=None, output=None, quantity="lipschitz") == everywhere.bound
    assert everywhere.verify(net, output_norm=None) == everywhere.verify(net, output_norm=2) == everywhere.bound
    box = hr2jax.Ball(BOX["center"], BOX["radius"], norm="inf")
    assert everywhere.verify(net, domain=None) == everywhere.bound
    assert local.verify(net, domain=box) == local.verify(net, **BOX) == local.bound
    smaller = hr2jax.Ball(BOX["center"], 0.5, norm="inf")
    for given in (
        {"center": None},
        {"radius": None},
        {"center": None, "radius": 0.75},
        {"domain": None},
        {"domain": smaller},
    ):
        with pytest.raises(CertificateError, match="the certificate is for"):
            local.verify(net, **given)
    with pytest.raises(CertificateError, match="for a Lipschitz constant, but the largest value was"):
        local.verify(net, quantity="maximum")
    with pytest.raises(CertificateError, match="for the largest value, but a Lipschitz constant was"):
        solved("maximum").certificate.verify(network(2), quantity="lipschitz")
    with pytest.raises(CertificateError, match="the certificate is for another domain"):
        everywhere.verify(net, domain=box)
    for given in (
        {"quantity": "minimum"},
        {"quantity": None},
        {"norm": None},
        {"output_norm": "max"},
        {"domain": "box"},
    ):
        with pytest.raises(ValueError, match="must be"):
            local.verify(net, **given)


def test_f_itself_is_not_one_of_several_outputs():
    net = Network([np.eye(2), np.ones((2, 2))], [np.zeros(2), np.zeros(2)])
    certificate = hr2jax.solve(net, output=0, relaxation="product").certificate
    assert certificate.verify(net, output=0) == certificate.bound
    with pytest.raises(CertificateError, match="but F itself was asked for"):
        certificate.verify(net, output=None)


def test_the_defaults_are_shown_as_dots():
    import inspect

    given = inspect.signature(Certificate.verify).parameters
    for name in ("quantity", "output", "norm", "output_norm", "center", "radius", "domain"):
        assert str(given[name]).endswith("= ...")


# Other kernels --------------------------------------------------------------------------------------------

CORES = ("Haswell", "SkylakeX", "Zen", "Nehalem")
PROBE = """
import numpy as np
rng = np.random.default_rng(0)
A, x = rng.standard_normal((99, 301)), rng.standard_normal(301)
print((A @ A.T).tobytes().hex(), (A @ x).tobytes().hex())
"""
CHILD = """
import json, sys
import numpy as np
from hr2jax import Certificate, Network
with np.load(sys.argv[1]) as f:
    n = len(f.files) // 2
    net = Network([f[f"A{l}"] for l in range(n)], [f[f"b{l}"] for l in range(n)])
print(json.dumps([Certificate.load(path).verify(net) for path in sys.argv[2:]]))
"""
MAKER = """
import sys
import numpy as np
from hr2jax.certificate.certificate import certify_multipliers
from hr2jax.network import Network
from hr2jax.problem import checked_problem
from hr2jax.relaxation.families import preset
from hr2jax.relaxation.lifting import lift
from hr2jax.relaxation.presolve import LIFTINGS, presolve
folder, core = sys.argv[1:]
rng = np.random.default_rng(0)
widths = [40, 60, 50, 30, 1]
A = [rng.standard_normal((m, n)) / n**0.5 for n, m in zip(widths, widths[1:])]
A[1][:, :20] = A[1][:, 20:40]  # pre-activations whose terms nearly cancel
A[0][:20] = -A[0][20:40] * (1 + 1e-14)
b = [0.3 * rng.standard_normal(m) for m in widths[1:]]
np.savez(f"{folder}/net.npz", **{f"A{l}": a for l, a in enumerate(A)}, **{f"b{l}": v for l, v in enumerate(b)})
net = Network(A, b)
for k, (lifting, box) in enumerate([("both", {"center": 100.0 * rng.standard_normal(40), "radius": 0.1}),
                                    ("adjoint", {"center": rng.standard_normal(40), "radius": 0.1, "norm": 2}),
                                    ("forward", {})]):
    problem = checked_problem(net, **box)
    fixed = presolve(net, problem, chains=LIFTINGS[lifting])
    lifted = lift(net, problem, fixed)
    multipliers = {f.name: 0.01 * rng.random(f.shape) for f in preset("hr2", lifted)}
    for name, own in (("bare", {}), ("full", multipliers)):
        d = None if not own else np.ones(lifted.size)
        certify_multipliers(net, problem, "hr2", fixed, own, d, {"core": core}).save(f"{folder}/{core}-{k}-{name}.npz")
"""


def child(core, code, *arguments, check=True):
    """What a process prints whose OpenBLAS has the kernels of that core."""
    root = os.path.dirname(os.path.dirname(hr2jax.__file__))
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"OPENBLAS_CORETYPE": core, "PYTHONPATH": root},
        check=check,
        capture_output=True,
        text=True,
    )


def test_files_verify_under_other_blas_kernels_with_the_same_value(tmp_path):
    """Kernels add in other orders: bounds differ by some ulps, which a stated bound must have room for."""
    # a processor without its instructions kills the process
    probes = {core: child(core, PROBE, check=False) for core in CORES}
    there = [core for core, probe in probes.items() if probe.returncode == 0]
    if len({probes[core].stdout for core in there}) < 2:
        pytest.skip("this NumPy has one kind of kernels here")
    makers = there[0], there[-1]
    there = there if FULL else makers
    for core in makers:
        child(core, MAKER, tmp_path, core)
    paths = sorted(tmp_path.glob("*-*.npz"))
    assert len(paths) == 6 * len(makers)
    proved = {core: json.loads(child(core, CHILD, tmp_path / "net.npz", *paths).stdout) for core in there}
    for core in there:
        np.testing.assert_allclose(proved[core], proved[there[0]], rtol=1e-12)
