"""Certificates: what a file says, what `verify` proves, and what an adversary can do to either (nothing)."""

import ast
import dataclasses
import json
import os
import struct
import zipfile
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax.arithmetic.enclosure import UnsoundArithmeticError
from hr2jax.certificate import archive, certificate, file, lagrangian
from hr2jax.certificate.certificate import Certificate, certify_multipliers
from hr2jax.certificate.errors import CertificateError
from hr2jax.certificate.names import diagonal_of, numbered
from hr2jax.certificate.prover import prove, prover_of
from hr2jax.network import Network
from hr2jax.problem import checked_problem
from hr2jax.relaxation.layout import Layout
from hr2jax.relaxation.lifting import lift
from hr2jax.relaxation.presolve import presolve
from tests.reference.effort import examples

from ..reference.certificates import entries_of, same, write
from ..reference.ids import ids
from ..reference.proofs import best_multipliers, exact_constant, random_multipliers

CLAIMS = {
    "global": {"output": (0, 1)},
    "local": {"output": 1, "center": [0.1, -0.2, 0.3], "radius": 0.5},
    "rectangle": {"output": [0.5, -2.0], "center": [0.1, -0.2, 0.3], "radius": [0.5, 0.0, 1.5]},
}
every_claim = pytest.mark.parametrize("claim", CLAIMS)


@cache
def network(seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    shapes = [(4, 3), (2, 4)]
    return Network(
        [rng.standard_normal(s) for s in shapes], [0.3 * rng.standard_normal(s[0]) for s in shapes]
    )


@cache
def certificate_of(claim: str, sharp: bool = True) -> Certificate:
    """Nearly optimal multipliers, or random ones."""
    net = network()
    problem = checked_problem(net, norm="inf", **CLAIMS[claim])
    fixed = presolve(net, problem)
    lifting = lift(net, problem, fixed)
    if sharp:
        d, multipliers = best_multipliers(lifting)
    else:
        rng = np.random.default_rng(1)
        d, multipliers = rng.random(lifting.size), random_multipliers(lifting, rng, ["small", "normal"])
    return certify_multipliers(net, problem, "hr2z", fixed, multipliers, d, {"hr2jax": "test"})


@cache
def truth(claim: str) -> Fraction:
    net = network()
    problem = certificate_of(claim).lipschitz_problem
    return exact_constant(net, problem, np.random.default_rng(0), 12)


def outcome(path: Path, net: Network | None = None, arithmetic: str = "float") -> float | None:
    """The bound that loading and verifying gives, valid for the claim it states; None: CertificateError."""
    net = net or network()
    try:
        cert = Certificate.load(path)
        bound = cert.verify(net, arithmetic=arithmetic)
    except CertificateError:
        return None
    problem = cert.lipschitz_problem
    if problem == certificate_of("local").lipschitz_problem:
        least = truth("local")
    else:
        least = exact_constant(net, problem, np.random.default_rng(0), 4)
    assert np.isfinite(bound)
    assert Fraction(bound) >= least
    return bound


# What it is for -------------------------------------------------------------------------------------------


@every_claim
@pytest.mark.parametrize("sharp", [True, False])
def test_what_is_loaded_is_what_was_saved_and_proves_the_same_bound(claim, sharp, tmp_path):
    cert = certificate_of(claim, sharp)
    cert.save(tmp_path / "bound.cert.npz")
    loaded = Certificate.load(tmp_path / "bound.cert.npz")
    assert same(cert, loaded)
    assert loaded.problem == cert.problem
    assert loaded.lipschitz_problem == cert.lipschitz_problem
    assert loaded.bound == cert.bound == cert.verify(network()) == loaded.verify(network())
    assert loaded.versions == {"hr2jax": "test"}
    assert Fraction(cert.bound) >= truth(claim)


@every_claim
def test_balls_and_float64_agree(claim):
    cert = certificate_of(claim)
    ball = cert.verify(network(), arithmetic="ball")
    assert ball == pytest.approx(cert.bound, rel=1e-9)
    assert Fraction(ball) >= truth(claim)


@every_claim
def test_one_prover_proves_what_each_proof_of_its_own_does(claim):
    """In any order, whatever the multipliers before: nothing of one proof is left for the next."""
    net, known = network(), certificate_of(claim)
    problem, fixed = known.lipschitz_problem, presolve(net, known.lipschitz_problem)
    rng, lifting = np.random.default_rng(5), lift(net, problem, fixed)
    prover = prover_of(net, problem, fixed)
    for k in range(6):
        of_known = numbered(lifting, known.multipliers, net.widths)
        multipliers = random_multipliers(lifting, rng, ["small", "normal"]) if k % 3 else of_known
        d = rng.random(lifting.size) if k % 2 else diagonal_of(lifting, known.diagonal)
        bound = prover.bound(multipliers, d)
        assert bound == prove(net, problem, fixed.layout(), multipliers, d)
        assert prover.bound({}, None) == prove(net, problem, fixed.layout(), {}, None)
        assert bound == certify_multipliers(net, problem, "hr2z", fixed, multipliers, d, prover=prover).bound


def test_sharp_multipliers_prove_a_sharp_bound():
    assert Fraction(certificate_of("local").bound) <= truth("local") * Fraction(102, 100)


def test_a_certificate_without_a_diagonal(tmp_path):
    cert = dataclasses.replace(certificate_of("local"), diagonal=None, multipliers={})
    bound = cert.verify(network())
    cert.with_bound(bound).save(tmp_path / "c.npz")
    loaded = Certificate.load(tmp_path / "c.npz")
    assert loaded.diagonal is None
    assert loaded.bound == bound == loaded.verify(network())
    assert Fraction(bound) >= truth("local")


def test_the_problem_is_the_claim_in_full():
    cert = certificate_of("rectangle")
    assert cert.problem == {
        "quantity": "lipschitz",
        "output": [0.5, -2.0],
        "norm": "inf",
        "domain": "local",
        "domain_kind": "ball inf",
        "output_norm": None,
        "center": [0.1, -0.2, 0.3],
        "radius": [0.5, 0.0, 1.5],
        "relaxation": "hr2z",
        "network_hash": network().hash,
    }
    assert json.loads(json.dumps(cert.problem)) == cert.problem


def test_single_precision_multipliers_survive_the_file(tmp_path):
    cert = certificate_of("local")
    single = {name: values.astype(np.float32) for name, values in cert.multipliers.items()}
    dataclasses.replace(cert, multipliers=single).save(tmp_path / "c.npz")
    assert outcome(tmp_path / "c.npz") is not None


def test_saving_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "c.npz"
    certificate_of("local").save(path)
    before = path.read_bytes()

    def full_disk(file, **_):
        file.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(file.np, "savez_compressed", full_disk)
    with pytest.raises(OSError, match="no space left"):
        certificate_of("global").save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["c.npz"]


def test_verify_tests_the_arithmetic_first(monkeypatch):
    def unfit():
        raise UnsoundArithmeticError("flushes subnormals")

    monkeypatch.setattr(certificate, "check_arithmetic", unfit)
    with pytest.raises(UnsoundArithmeticError):
        certificate_of("local").verify(network())


def test_the_verifier_reaches_no_engine_and_no_jax():
    """What hr2jax/certificate imports, and what that imports, stays clear of the solver and of JAX."""
    root = Path(hr2jax.__file__).parent
    names, seen = ["certificate", "arithmetic.arb"], set()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        package = root.joinpath(*name.split("."), "__init__.py")
        file = package if package.exists() else root.joinpath(*name.split(".")).with_suffix(".py")
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert all(alias.name.split(".")[0] not in ("jax", "optax") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in ("jax", "optax")
                if node.level:
                    module = [*name.split("."), "__init__"] if package.exists() else name.split(".")
                    base = module[: -node.level]
                    target = ".".join([*base, *(node.module or "").split(".")]).strip(".")
                    path = root.joinpath(*target.split("."))
                    if path.with_suffix(".py").exists() or (target and path.joinpath("__init__.py").exists()):
                        names.append(target)
    assert not any(name.startswith(("engines", "bounds.slopes", "linalg.on_device")) for name in seen)
    assert {"certificate.bound", "relaxation.presolve", "bounds.interval", "bounds.linear", "linalg.arrow"} <= seen
    assert {"arithmetic.enclosure", "relaxation.lifting"} <= seen


# Another claim, another network ---------------------------------------------------------------------------


def test_what_is_given_and_equals_the_claim_is_accepted():
    net = network()
    local, rectangle = certificate_of("local"), certificate_of("rectangle")
    assert (
        local.verify(net, output=1, norm="linf", center=np.array([0.1, -0.2, 0.3]), radius=0.5) == local.bound
    )
    assert local.verify(net, radius=[0.5, 0.5, 0.5], output=[0, 1]) == local.bound
    assert rectangle.verify(net, radius=np.array([0.5, -0.0, 1.5]), norm=np.inf) == rectangle.bound
    assert certificate_of("global").verify(net, output=np.array([1.0, -1.0]), norm="inf") > 0


@pytest.mark.parametrize(
    ("claim", "given"),
    [
        ("local", {"output": 0}),
        ("local", {"output": (1, 0)}),
        ("local", {"output": [0.0, 1.0 + 2.0**-52]}),
        ("local", {"norm": 2}),
        ("local", {"center": [0.1, -0.2, np.nextafter(0.3, 1)]}),
        ("local", {"radius": np.nextafter(0.5, 0)}),
        ("local", {"radius": [0.5, 0.5, 0.0]}),
        ("rectangle", {"radius": 0.5}),
        ("global", {"center": [0.0, 0.0, 0.0]}),
        ("global", {"radius": 1.0}),
        ("global", {"output": 0}),
    ],
)
def test_another_claim_than_the_one_given_is_refused(claim, given):
    with pytest.raises(CertificateError, match="the certificate is for"):
        certificate_of(claim).verify(network(), **given)


@pytest.mark.parametrize(
    "given",
    [
        {"output": 2},
        {"output": "0"},
        {"output": object()},
        {"output": [[[0.0, 1.0]]]},
        {"norm": 1},
        {"norm": "euclid"},
        {"norm": object()},
        {"center": [0.1, -0.2]},
        {"center": [[0.1, -0.2, 0.3]]},
        {"center": "origin"},
        {"center": object()},
        {"center": [0.1, -0.2, np.nan]},
        {"center": [0.1, -0.2, 0.3 + 0j]},
        {"center": np.array([0.1, -0.2, 0.3], dtype=np.longdouble) + np.longdouble(2) ** -60},
        {"radius": -0.5},
        {"radius": 0.0},
        {"radius": [0.5, 0.5]},
        {"radius": [[0.5]]},
        {"radius": [0.5, [0.5]]},
        {"radius": np.nan},
        {"radius": "half"},
        {"radius": object()},
        {"arithmetic": "quad"},
        {"arithmetic": None},
    ],
    ids=ids,
)
def test_malformed_arguments_are_value_errors(given):
    with pytest.raises(ValueError):
        certificate_of("local").verify(network(), **given)


def test_a_center_is_not_rounded_before_it_is_compared():
    net = network()
    problem = checked_problem(net, 0, "inf", [2.0**53, 0.0, 0.0], 1.0)
    fixed = presolve(net, problem)
    cert = certify_multipliers(net, problem, "shor", fixed, {})
    assert cert.verify(net, center=np.array([2**53, 0, 0])) == cert.bound
    with pytest.raises(ValueError, match="cannot hold exactly"):
        cert.verify(net, center=np.array([2**53 + 1, 0, 0]))


def test_another_network_is_refused():
    net = network()
    for other in (
        network(1),
        Network([net.weights[0] * (1 + 2.0**-52), net.weights[1]], net.biases),
        Network(net.weights, [net.biases[0], net.biases[1] + 2.0**-52]),
    ):
        for claim in CLAIMS:
            with pytest.raises(CertificateError, match="belongs to another network"):
                certificate_of(claim).verify(other)
    for nonsense in (None, "net.npz", net.weights, 3):
        with pytest.raises(CertificateError, match="against a Network"):
            certificate_of("local").verify(nonsense)


def test_a_certificate_rehashed_for_another_network_proves_that_networks_bound(tmp_path):
    for seed in range(1, 6):
        other = network(seed)
        for claim in CLAIMS:
            entries = entries_of(certificate_of(claim))
            head = json.loads(str(entries["claim"])) | {"network_hash": other.hash}
            entries["claim"] = np.array(json.dumps(head))
            outcome(write(tmp_path / "c.npz", entries), other)


def test_a_network_of_another_depth_is_refused():
    net = Network([np.eye(2), np.eye(2), np.ones((1, 2))], [np.zeros(2), np.zeros(2), [0.0]])
    for claim in CLAIMS:
        cert = dataclasses.replace(certificate_of(claim), network_hash=net.hash)
        with pytest.raises(CertificateError, match="do not fit"):
            cert.verify(net)
    cert = dataclasses.replace(certificate_of("local"), network_hash=Network([np.eye(3)] * 3, [np.zeros(3)] * 3).hash)
    problem = dataclasses.replace(cert.lipschitz_problem, coefficients=np.array([0.0, 1.0, 0.0]))
    with pytest.raises(CertificateError, match="not one of 2 hidden layers"):
        dataclasses.replace(cert, lipschitz_problem=problem).verify(Network([np.eye(3)] * 3, [np.zeros(3)] * 3))


def test_a_norm_is_spelled_in_one_way_and_its_domain_says_the_same(tmp_path):
    for claim in CLAIMS:
        entries = entries_of(certificate_of(claim))
        for changed in (
            {"norm": "l2"}, {"norm": "2"}, {"norm": 2.0}, {"norm": 2}, {"domain": "ball 2"}, {"domain": "box"},
            {"norm": 1}, {"norm": True}, {"domain": "ball l2"}, {"domain": "Ball inf"},
        ):  # fmt: skip
            head = json.loads(str(entries["claim"])) | changed
            proved = outcome(write(tmp_path / "c.npz", entries | {"claim": np.array(json.dumps(head))}))
            is_claim = repr(changed) in ("{'norm': 2}", "{'norm': 1}")
            is_claim = is_claim or (claim == "local" and changed == {"domain": "ball 2"})
            assert (proved is not None) == is_claim


def test_another_norm_is_refused_or_proved_and_never_passes_for_the_old_one(tmp_path):
    """The multipliers of one norm prove some bound for another, about which it then is."""
    for claim in CLAIMS:
        entries = entries_of(certificate_of(claim))
        head = json.loads(str(entries["claim"])) | {"norm": 2}
        path = write(tmp_path / "c.npz", entries | {"claim": np.array(json.dumps(head))})
        for arithmetic in ("float", "ball"):  # the domain stays the box that it was
            assert outcome(path, arithmetic=arithmetic) is not None
        if claim != "global":
            ball = write(tmp_path / "b.npz", entries | {"claim": np.array(json.dumps(head | {"domain": "ball 2"}))})
            assert (outcome(ball) is None) == (claim == "rectangle")  # half-widths that differ are no ball's
        loaded = Certificate.load(path)
        assert loaded.problem["norm"] == 2
        assert loaded.verify(network(), norm=2) > 0
        with pytest.raises(CertificateError, match="for norm 2, but inf was asked for"):
            loaded.verify(network(), norm="inf")


# Damage ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("certificate") / "c.npz"
    certificate_of("local").save(path)
    return path.read_bytes()


def test_a_truncated_file_is_refused(content, tmp_path):
    path = tmp_path / "c.npz"
    for length in [*range(0, 64), *range(64, len(content), len(content) // 150 or 1), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(CertificateError):
            Certificate.load(path)


def test_flipped_bytes_are_refused_or_harmless(content, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "c.npz"
    whole = certificate_of("local")
    header = [*range(40), *range(len(content) - 60, len(content))]
    for place in [*header, *rng.integers(0, len(content), 400)]:
        damaged = bytearray(content)
        damaged[place] ^= int(rng.choice([1, 2, 4, 8, 16, 32, 64, 128, 255]))
        path.write_bytes(bytes(damaged))
        try:
            loaded = Certificate.load(path)
        except CertificateError:
            continue
        assert same(loaded, whole)


def test_inserted_and_missing_bytes_are_refused_or_harmless(content, tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "c.npz"
    for place in rng.integers(0, len(content), 150):
        path.write_bytes(content[:place] + (rng.bytes(3) if place % 2 else b"") + content[place + 2 :])
        try:
            loaded = Certificate.load(path)
        except CertificateError:
            continue
        assert same(loaded, certificate_of("local"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"PK\x03\x04" + b"\0" * 100,
        b"not a zip archive",
        b"\x93NUMPY\x01\x00",
        b"\x80\x04K\x01.",
        b"[]",
    ],
)
def test_what_is_no_archive_is_refused(content, tmp_path):
    path = tmp_path / "c.npz"
    path.write_bytes(content)
    with pytest.raises(CertificateError, match="not a whole certificate"):
        Certificate.load(path)


def test_other_files_are_refused(tmp_path):
    np.save(tmp_path / "array.npy", np.ones(3))
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    np.savez(tmp_path / "empty.npz")
    network().save(tmp_path / "net.npz")
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("digest", "no array")
    for name in ("array.npy", "other.npz", "empty.npz", "net.npz", "text.npz", "."):
        with pytest.raises(CertificateError):
            Certificate.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        Certificate.load(tmp_path / "none.npz")


def test_an_array_header_that_promises_the_moon_is_refused(tmp_path):
    """A shape far beyond the file's size must not be believed, nor exhaust the memory."""
    path = tmp_path / "c.npz"
    header = repr({"descr": "<f8", "fortran_order": False, "shape": (2**50,)}).encode()
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("digest.npy", array)
    with pytest.raises(CertificateError):
        Certificate.load(path)


# Tampering ------------------------------------------------------------------------------------------------


def test_any_change_of_an_entry_shows_in_the_digest(tmp_path):
    original = entries_of(certificate_of("rectangle"))
    digest = file.digest(original)
    for name, values in original.items():
        changes = [{name: None}]
        if values.dtype.kind == "f":
            changes += [{name: values + 2.0**-40}, {name: values[..., None]}, {name: values.astype(">f8")}]
        elif values.dtype.kind == "i":
            changes += [{name: values + 1}, {name: values.astype(np.int32)}]
        changes.append({name: None, name + "2": values})
        for change in changes:
            entries = {k: v for k, v in (original | change).items() if v is not None}
            with pytest.raises(CertificateError, match="digest does not match"):
                Certificate.load(write(tmp_path / "c.npz", entries, digest))
    assert outcome(write(tmp_path / "c.npz", original, digest)) is not None


@pytest.mark.parametrize("name", [
    "claim", "coefficients", "inputs", "unit", "unstable/1", "active/1", "low/1", "high/1", "exponent/1",
    "domain/center", "domain/radius", "diagonal/one", "diagonal/xi", "digest",
])  # fmt: skip
def test_a_missing_entry_is_refused(name, tmp_path):
    entries = entries_of(certificate_of("local")) | {"digest": np.array("")}
    del entries[name]
    path = tmp_path / "c.npz"
    if name == "digest":
        np.savez(path, **entries)
    else:
        del entries["digest"]
        write(path, entries)
    with pytest.raises(CertificateError):
        Certificate.load(path).verify(network())


@pytest.mark.parametrize("names", [["domain/center"], ["domain/radius"]])
def test_a_center_needs_a_radius(names, tmp_path):
    entries = entries_of(certificate_of("local"))
    for name in names:
        del entries[name]
    with pytest.raises(CertificateError, match="has the arrays"):
        Certificate.load(write(tmp_path / "c.npz", entries))


def test_without_its_domain_a_local_certificate_is_not_a_global_one(tmp_path):
    entries = entries_of(certificate_of("local"))
    del entries["domain/center"], entries["domain/radius"]
    assert outcome(write(tmp_path / "c.npz", entries)) is None
    head = json.loads(str(entries["claim"])) | {"domain": "everywhere"}
    entries["claim"] = np.array(json.dumps(head))
    assert outcome(write(tmp_path / "c.npz", entries)) is None
    for name in [name for name in entries if "z" in name or ("x" in name and name != "exponent/1")]:
        del entries[name]
    assert outcome(write(tmp_path / "c.npz", entries)) is None
    entries |= {name: entries[name][:0] for name in ("low/1", "high/1", "exponent/1", "active/1")}
    assert outcome(write(tmp_path / "c.npz", entries)) is None  # neuron 1 has no variable
    entries |= {"unstable/1": np.arange(4), "diagonal/v1": np.ones(4)}
    entries["multipliers/(1+v).(1+t)/1"] = np.ones(3)
    for name in [name for name in entries if name.startswith("multipliers/(1") and len(entries[name]) < 3]:
        del entries[name]
    assert outcome(write(tmp_path / "c.npz", entries)) is not None


def test_entries_may_be_left_out_at_the_cost_of_the_bound(tmp_path):
    """Multipliers and the diagonal only ever help; without them what is proved is looser, and still right."""
    original = entries_of(certificate_of("local"))
    for name in ["diagonal/", *(name for name in original if name.startswith("multipliers/"))]:
        entries = {k: v for k, v in original.items() if not k.startswith(name)}
        assert outcome(write(tmp_path / "c.npz", entries)) >= certificate_of("local").bound * (1 - 1e-6)


@pytest.mark.parametrize(
    "extra",
    [
        {"more": np.ones(1)},
        {"multipliers": np.ones(1)},
        {"multipliers/": np.ones(1)},
        {"multipliers/nonsense": np.ones(2)},
        {"multipliers/v.z/": np.ones(4)},
        {"multipliers/v.z": np.ones(4)},
        {"multipliers/v.z/0": np.ones(4)},
        {"multipliers/v.z/2": np.ones(4)},
        {"multipliers/v.z/01": np.ones(4)},
        {"multipliers/v.z/1/": np.ones(4)},
        {"multipliers/(1+x).(1+t)/1": np.ones(3)},
        {"multipliers/triangles": np.ones((1, 4))},
        {"multipliers/triangles/corners": np.zeros((1, 3), dtype=np.int64)},
        {"multipliers/krivine": np.ones((1, 4))},
        {"multipliers/sos/M_2(x,u)": np.ones((1, 4))},
        {"diagonal": np.ones(4)},
        {"diagonal/p1": np.ones(4)},
        {"diagonal/v": np.ones(4)},
        {"domain/low": np.ones(3)},
        {"unstable/2": np.arange(2)},
        {"active/0": np.arange(2)},
        {"reach/p1": np.ones(4)},
        {"slopes/2.1": np.ones((2, 4, 4))},
        {"slopes": np.ones(0)},
        {"multipliers/(1+x).(1+y)": np.ones(3)},
        {"digest2": np.array("")},
        {"head": np.array("{}")},
    ],
    ids=lambda extra: next(iter(extra)),
)
def test_an_extra_entry_is_refused(extra, tmp_path):
    assert outcome(write(tmp_path / "c.npz", entries_of(certificate_of("local")) | extra)) is None


def test_families_of_the_input_do_not_exist_globally(tmp_path):
    original = entries_of(certificate_of("global"))
    for name, size in (("v.z/1", 4), ("u.z/1", 4), ("(1+x).(1+t)", 3)):
        entries = original | {f"multipliers/{name}": np.ones(size)}
        assert outcome(write(tmp_path / "c.npz", entries)) is None


@pytest.mark.parametrize(
    "name",
    ["coefficients", "domain/center", "domain/radius", "diagonal/v1", "multipliers/u.z/1", "low/1", "high/1"],
)
def test_arrays_of_another_kind_are_refused(name, tmp_path):
    original = entries_of(certificate_of("local"))
    values = original[name]
    huge_integers = np.array([2**70] * len(values), dtype=object)
    for other in (
        values.astype(np.float32),
        values.astype(">f8"),
        values.astype(np.longdouble),
        values.astype(np.complex128),
        values.astype(np.int64),
        values.astype(bool),
        values.astype(str),
        values.astype(object),
        huge_integers,
        values.view("M8[s]"),
        np.zeros(len(values), dtype=[("a", "<f8")]),
        values[:-1],
        np.append(values, 0.0),
        values.reshape(1, -1),
        np.float64(1.0),
        np.zeros((0,)),
        np.full_like(values, np.nan),
        np.full_like(values, np.inf),
        np.full_like(values, -np.inf),
        np.concatenate([values[:-1], [np.nan]]),
    ):
        entries = original | {name: np.asarray(other)}
        try:
            write(tmp_path / "c.npz", entries)
        except (ValueError, TypeError):  # what the format itself cannot hold
            continue
        assert outcome(tmp_path / "c.npz") is None


@pytest.mark.parametrize("name", ["unstable/1", "exponent/1", "inputs"])
def test_integers_of_another_kind_are_refused(name, tmp_path):
    original = entries_of(certificate_of("local"))
    values = original[name]
    for other in (
        values.astype(np.int32),
        values.astype(np.uint64),
        values.astype(np.float64),
        values.astype(">i8"),
        values.astype(object),
        np.array([2**70] * len(values), dtype=object),
        values[:-1],
        np.append(values, values[-1]),
        values.reshape(-1, 1),
        values[:0],
        np.int64(1),
    ):
        assert outcome(write(tmp_path / "c.npz", original | {name: np.asarray(other)})) is None


def test_a_pickle_in_the_archive_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "executed"),))

    entries = entries_of(certificate_of("local"))
    for name in ("claim", "diagonal/t", "multipliers/u.z/1", "multipliers/products/kind", "extra"):
        path = tmp_path / f"{name.replace('/', '_')}.npz"
        np.savez(path, **(entries | {name: np.array([Trap()], dtype=object), "digest": np.array("")}))
        with pytest.raises(CertificateError):
            Certificate.load(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "unstable",
    [
        [0, 0, 1, 2],
        [0, 1, 2, 4],
        [0, 1, 2, -1],
        [0, 1, 2, 2**62],
        [0, 1, 2, -(2**63)],
        [],
        [3],
        [0, 1, 2],
        [3, 2, 1, 0],
        [1, 0, 2, 3],
        [0, 1, 2, 3],
    ],
    ids=ids,
)
def test_any_choice_of_unstable_neurons_is_refused_or_valid(unstable, tmp_path):
    for claim in ("local", "global"):
        original = entries_of(certificate_of(claim))
        n = len(unstable)
        for exponent in (original["exponent/1"], np.full(n, 5), np.zeros(n, dtype=np.int64)):
            for active in ([], [k for k in range(4) if k not in unstable]):
                entries = original | {
                    "unstable/1": np.array(unstable, dtype=np.int64),
                    "exponent/1": np.asarray(exponent, dtype=np.int64),
                    "active/1": np.array(active, dtype=np.int64),
                }
                if len(exponent) == n and claim == "local":
                    entries |= {"low/1": np.full(n, -1.0), "high/1": np.ones(n)}
                outcome(write(tmp_path / "c.npz", entries))
                entries = {k: v for k, v in entries.items() if "multipliers" not in k and "diagonal" not in k}
                head = json.loads(str(entries["claim"])) | {"proof": "baseline"}
                outcome(write(tmp_path / "c.npz", entries | {"claim": np.array(json.dumps(head))}))


@pytest.mark.parametrize("arithmetic", ["float", "ball"])
@pytest.mark.parametrize("value", [10**6, -(10**6), 2**62, -(2**62), 2**63 - 1, -(2**63), 1074, -1074, 40, 0])
def test_any_scales_are_refused_or_valid(value, arithmetic, tmp_path):
    original = entries_of(certificate_of("local"))
    smallest = original["exponent/1"]
    for exponent in (np.full_like(smallest, value), np.append(smallest[:-1], value)):
        bound = outcome(write(tmp_path / "c.npz", original | {"exponent/1": exponent}), arithmetic=arithmetic)
        if value < -1000:
            assert bound is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name in ("diagonal/v1", "multipliers/u.z/1", "multipliers/(1+v).(1+t)/1", "multipliers/(1-x).(1+t)")
        for value in (0.0, -0.0, 1e-308, -1e-5, 1e10, -1e10, 1e200, 1.7e308, -1.7e308, 5e-324)
    ],
)
def test_any_finite_numbers_are_refused_or_valid(name, value, tmp_path):
    original = entries_of(certificate_of("local"))
    changed = original[name].copy()
    changed[0] = value
    for values in (changed, np.full_like(changed, value)):
        outcome(write(tmp_path / "c.npz", original | {name: values}))


PERTURBATIONS = {
    "scale": lambda v, rng: v * rng.choice([0.5, 0.99, 1 - 1e-9, 1.01, 2.0, 1e6]),
    "shift": lambda v, rng: v + rng.choice([-1.0, 1e-9, -1e-9, 1e-3, 1.0]),
    "noise": lambda v, rng: v * (1 + 0.1 * rng.standard_normal(v.shape)),
    # Entries may be empty (the box of the whole space), where there is no one entry to change.
    "one entry": lambda v, rng: np.where(np.arange(v.size) == rng.integers(v.size or 1), rng.standard_normal(), v),
    "permuted": lambda v, rng: rng.permutation(v),
    "negated": lambda v, rng: -v,
    "last bit": lambda v, rng: np.nextafter(v, rng.choice([-np.inf, np.inf])),
    "zero": lambda v, rng: 0.0 * v,
    "extreme": lambda v, rng: v * 10.0 ** rng.integers(-300, 300),
}
FLOATS = sorted(
    name for name, values in entries_of(certificate_of("rectangle")).items() if values.dtype == np.float64
)


@pytest.mark.parametrize("perturbation", sorted(PERTURBATIONS))
def test_empty_entries_can_be_perturbed(perturbation):
    assert PERTURBATIONS[perturbation](np.zeros(0), np.random.default_rng(0)).size == 0


@settings(max_examples=examples(100), deadline=None)
@given(
    claim=st.sampled_from(sorted(CLAIMS)),
    changes=st.lists(
        st.tuples(st.sampled_from(FLOATS), st.sampled_from(sorted(PERTURBATIONS)), st.integers(0, 2**32)),
        min_size=1,
        max_size=3,
    ),
)
def test_any_change_of_numbers_with_a_fresh_digest_is_refused_or_valid(claim, changes, tmp_path_factory):
    entries = entries_of(certificate_of(claim))
    for name, perturbation, seed in changes:
        if name in entries:
            with np.errstate(all="ignore"):
                entries[name] = PERTURBATIONS[perturbation](entries[name], np.random.default_rng(seed))
    outcome(write(tmp_path_factory.getbasetemp() / "tampered.npz", entries))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("domain/center", [0.1, -0.2, 0.3, 0.0]),
        ("domain/center", [0.1, -0.2]),
        ("domain/center", []),
        ("domain/radius", [0.5, 0.5]),
        ("domain/radius", [0.5]),
        ("domain/radius", [-0.5, 0.5, 0.5]),
        ("domain/radius", [0.0, 0.0, 0.0]),
        ("domain/radius", [1e308, 1e308, 1e308]),
        ("domain/radius", [5.0, 5.0, 5.0]),
        ("coefficients", [1.0]),
        ("coefficients", [1.0, 0.0, 0.0]),
        ("coefficients", []),
    ],
    ids=ids,
)
def test_claims_that_do_not_fit_the_network_are_refused(name, value, tmp_path):
    entries = entries_of(certificate_of("local")) | {name: np.array(value, dtype=np.float64)}
    assert outcome(write(tmp_path / "c.npz", entries)) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("domain/radius", [0.25, 0.5, 0.5]),
        ("domain/radius", [0.5, 0.0, 0.5]),
        ("domain/radius", [0.5 + 2.0**-53, 0.5, 0.5]),
        ("domain/radius", [1e-300, 1e-300, 1e-300]),
        ("domain/center", [0.1, -0.2, 0.300001]),
        ("domain/center", [100.0, 100.0, 100.0]),
        ("coefficients", [0.0, 2.0]),
        ("coefficients", [1.0, 0.0]),
        ("coefficients", [0.0, 0.0]),
        ("coefficients", [1e300, -1e300]),
        ("coefficients", [5e-324, 0.0]),
    ],
    ids=ids,
)
def test_a_changed_claim_is_refused_or_proved_and_never_passes_for_the_old_one(name, value, tmp_path):
    original = certificate_of("local")
    path = write(tmp_path / "c.npz", entries_of(original) | {name: np.array(value)})
    outcome(path)
    outcome(path, arithmetic="ball")
    name = name.removeprefix("domain/")
    key = "output" if name == "coefficients" else name
    given = getattr(original.lipschitz_problem.domain if key == name else original.lipschitz_problem, name)
    with pytest.raises(CertificateError):
        Certificate.load(path).verify(network(), **{key: given})


def claims_with(**changes):
    return lambda head: json.dumps(head | changes)


NONSENSE = {
    "empty": lambda head: "",
    "no JSON": lambda head: json.dumps(head)[:-1],
    "a list": lambda head: json.dumps([head]),
    "a number": lambda head: "3",
    "null": lambda head: "null",
    "text": lambda head: '"hr2jax certificate 3"',
    "deep": lambda head: "[" * 100_000 + "]" * 100_000,
    "deep versions": lambda head: json.dumps(head)[:-1] + ', "more": ' + "[" * 50_000 + "]" * 50_000 + "}",
    "another format": claims_with(format="hr2jax certificate 4"),
    "an unknown key": claims_with(more=1),
    "a key twice": lambda head: json.dumps(head)[:-1] + ', "bound": "0x0p+0"}',
    "an output norm": claims_with(output_norm=2),
    "domain box": claims_with(domain="box"),
    "domain everywhere": claims_with(domain="everywhere"),
    "domain ball": claims_with(domain="ball"),
    "domain null": claims_with(domain=None),
    "domain list": claims_with(domain=["ball inf"]),
    "proof other": claims_with(proof="tree"),
    "proof of LipOpt": claims_with(proof="krivine"),
    "proof null": claims_with(proof=None),
    "bounds other": claims_with(bounds="lp"),
    "bounds list": claims_with(bounds=["linear"]),
    "bounds null": claims_with(bounds=None),
    "versions of lists": claims_with(versions={"hr2jax": ["1"]}),
    "format list": claims_with(format=["hr2jax certificate 3"]),
    "bound number": claims_with(bound=1.0),
    "bound negative": claims_with(bound=(-1.0).hex()),
    "bound NaN": claims_with(bound="nan"),
    "bound infinite": claims_with(bound="inf"),
    "bound overflow": claims_with(bound="0x1p+5000"),
    "bound words": claims_with(bound="small"),
    "bound null": claims_with(bound=None),
    "norm 3": claims_with(norm=3),
    "norm huge": lambda head: (
        json.dumps(head | {"norm": 0})[:-1].replace('"norm": 0', '"norm": ' + "9" * 400) + "}"
    ),
    "norm absurd": lambda head: json.dumps(head).replace('"inf"', "9" * 10_000),
    "norm true": claims_with(norm=True),
    "norm list": claims_with(norm=["inf"]),
    "norm null": claims_with(norm=None),
    "depth 0": claims_with(depth=0),
    "depth 2": claims_with(depth=2),
    "depth negative": claims_with(depth=-1),
    "depth huge": claims_with(depth=10**9),
    "depth number": claims_with(depth=1.0),
    "depth true": claims_with(depth=True),
    "depth words": claims_with(depth="1"),
    "depth null": claims_with(depth=None),
    "relaxation with lines": claims_with(relaxation="hr2\nproven bound  0.001"),
    "relaxation that moves the cursor": claims_with(relaxation="hr2\x1b[2J"),
    "relaxation long": claims_with(relaxation="hr2" * 1000),
    "relaxation list": claims_with(relaxation=["hr2"]),
    "relaxation null": claims_with(relaxation=None),
    "lifting other": claims_with(lifting="backward"),
    "lifting of values": claims_with(lifting="values"),
    "lifting list": claims_with(lifting=["forward"]),
    "lifting null": claims_with(lifting=None),
    "lifting dict": claims_with(lifting={}),
    "quantity other": claims_with(quantity="minimum"),
    "quantity of values": claims_with(quantity="maximum"),
    "quantity list": claims_with(quantity=["lipschitz"]),
    "quantity null": claims_with(quantity=None),
    "values": claims_with(quantity="maximum", lifting="values"),
    "hash null": claims_with(network_hash=None),
    "hash other": claims_with(network_hash="0" * 64),
    "hash list": claims_with(network_hash=[]),
    "versions number": claims_with(versions=3),
    "versions null": claims_with(versions=None),
    "NaN": lambda head: json.dumps(head | {"norm": float("nan")}),
}
KEYS = file.KEYS


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_in_the_claim_is_refused(nonsense, tmp_path):
    entries = entries_of(certificate_of("local"))
    text = NONSENSE[nonsense](json.loads(str(entries["claim"])))
    assert outcome(write(tmp_path / "c.npz", entries | {"claim": np.array(text)})) is None


def test_what_is_missing_is_named(tmp_path):
    path = write(tmp_path / "c.npz", entries_of(certificate_of("local")) | {"claim": np.array("{}")})
    with pytest.raises(CertificateError, match="is not a whole certificate: it has no entry 'format'"):
        Certificate.load(path)


@pytest.mark.parametrize(
    "claim", [np.array(3), np.array(["{}", "{}"]), np.array(b"{}"), np.array([]), np.array("\0")]
)
def test_a_claim_that_is_no_text_is_refused(claim, tmp_path):
    assert outcome(write(tmp_path / "c.npz", entries_of(certificate_of("local")) | {"claim": claim})) is None


def test_a_lowered_bound_is_only_a_claim(tmp_path):
    """With the old digest the file is refused; with a fresh one `verify` still returns what it proves."""
    original = certificate_of("local")
    entries = entries_of(original)
    digest = file.digest(entries)
    for bound in (0.0, original.bound / 2, float(np.nextafter(original.bound, 0.0)), original.bound * 2):
        head = json.loads(str(entries["claim"])) | {"bound": bound.hex()}
        tampered = entries | {"claim": np.array(json.dumps(head))}
        with pytest.raises(CertificateError, match="digest"):
            Certificate.load(write(tmp_path / "c.npz", tampered, digest))
        assert outcome(write(tmp_path / "c.npz", tampered)) == original.bound


def test_the_relaxations_name_is_descriptive_only(tmp_path):
    entries = entries_of(certificate_of("local"))
    for name in ("shor", "lasserre2", "", "best ever"):
        head = json.loads(str(entries["claim"])) | {"relaxation": name}
        path = write(tmp_path / "c.npz", entries | {"claim": np.array(json.dumps(head))})
        assert outcome(path) == certificate_of("local").bound


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("layout", None),
        ("layout", "all"),
        ("layout", Layout((None,))),
        ("layout", Layout((np.zeros((2, 2), dtype=np.int64),))),
        ("layout", Layout((np.array([0.5]),))),
        ("layout", Layout(("all",))),
        ("layout", Layout(())),
        ("layout", Layout((np.arange(4), np.arange(4)))),
        ("layout", Layout((np.arange(4),), (np.full(4, np.nan),))),
        ("layout", Layout((np.arange(4),), (np.full(4, 0.5),))),
        ("layout", Layout((np.arange(4),), (np.full((4, 1), 9),))),
        ("layout", Layout((np.arange(4),), ())),
        ("layout", Layout((np.arange(4),), reach_exponent={"a": ()})),
        ("layout", Layout((np.arange(4),), reach_exponent={"p": (np.zeros(0, dtype=np.int64),)})),
        ("lifting", "values"),
        ("lifting", "lipsdp"),
        ("lifting", "sideways"),
        ("lifting", None),
        ("lifting", ["forward"]),
        ("slopes", {(1, 0): np.ones(3)}),
        ("slopes", {(2, 1): np.ones(4)}),
        ("slopes", {"all": np.ones(4)}),
        ("slopes", [1.0]),
        ("slopes", 3),
        ("multipliers", {"u.z": None}),
        ("multipliers", {"u.z": "1"}),
        ("multipliers", {None: np.ones(2)}),
        ("multipliers", {3: np.ones(2)}),
        ("multipliers", {"u.z": np.array([object(), object()])}),
        ("multipliers", [1.0]),
        ("diagonal", "1"),
        ("diagonal", np.array(["1"])),
        ("diagonal", np.ones((2, 2))),
    ],
    ids=ids,
)
def test_fields_made_up_in_memory_are_refused(field, value):
    cert = dataclasses.replace(certificate_of("local"), **{field: value})
    with pytest.raises(CertificateError):
        cert.verify(network())


def test_a_layout_of_booleans_proves_nothing():
    """They once counted as indices in one place and as a mask in another: 1.0 was proved of the constant 2."""
    net = Network([np.eye(2), [[1.0, 1.0]]], [[0, 0], [0]])
    cert = hr2jax.solve(net, relaxation="interval").certificate
    assert cert.verify(net) >= 2.0
    for changed in (
        {"unstable": (np.array([False, True]),)},
        {"unstable": (np.array([0.0, 1.0]),)},
        {"unstable": (np.arange(2, dtype=np.uint8),)},
        {"active": (np.zeros(2, dtype=bool),)},
        {"exponent": (np.array([1.5, 1.5]),)},
        {"free": np.array([True, True])},
    ):
        layout = dataclasses.replace(cert.layout, **changed)
        with pytest.raises(CertificateError, match="vector of int64"):
            dataclasses.replace(cert, layout=layout).verify(net)


def test_coefficients_made_up_in_memory_are_never_read_as_two_outputs():
    """(1, 0) once was an equal of [1, 0] where the claim was compared, and F_1 - F_0 where it was proved."""
    net = Network([[[1.0]], [[5.0], [6.0]]], [[0], [0, 0]])
    cert = hr2jax.solve(net, output=0, relaxation="product").certificate
    claim = dataclasses.replace(cert.lipschitz_problem, coefficients=(1, 0))
    with pytest.raises(CertificateError):
        dataclasses.replace(cert, lipschitz_problem=claim).verify(net, output=0)
    for quantity in ("foo", ["lipschitz"], None):
        with pytest.raises(ValueError, match="quantity must be one of"):
            dataclasses.replace(cert.lipschitz_problem, quantity=quantity)
        claim = dataclasses.replace(cert.lipschitz_problem)
        object.__setattr__(claim, "quantity", quantity)
        with pytest.raises(CertificateError):
            dataclasses.replace(cert, lipschitz_problem=claim).verify(net)
    with pytest.raises(CertificateError):
        dataclasses.replace(cert, lipschitz_problem=None).verify(net)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, object])
def test_a_diagonal_of_another_type_is_refused(dtype):
    cert = certificate_of("local")
    with pytest.raises(CertificateError, match="float64"):
        other = {group: values.astype(dtype) for group, values in cert.diagonal.items()}
        dataclasses.replace(cert, diagonal=other).verify(network())


def test_a_file_that_decompresses_to_more_than_a_certificate_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "c.npz"
    write(path, entries_of(certificate_of("local")) | {"multipliers/u.z/1": np.zeros(10**5)})
    monkeypatch.setattr(archive, "MOST_BYTES", 10**5)
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("was read"))
    with pytest.raises(CertificateError, match="once decompressed"):
        Certificate.load(path)


def test_more_cuts_than_can_be_checked_are_refused(monkeypatch):
    cert = certificate_of("local")
    monkeypatch.setattr(lagrangian, "MOST_ROWS", 3)

    def with_rows(n):
        table = {"group": np.array(["one", "v"]), "layer": np.array([0, 1]), "index": np.array([0, 2])}
        rows = {"corners": np.tile([0, 1, 1], (n, 1)), "signs": np.ones((n, 3), np.int64), "multipliers": np.zeros(n)}
        return dataclasses.replace(cert, multipliers={f"triangles/{k}": v for k, v in (table | rows).items()})

    assert with_rows(3).verify(network()) > 0
    with pytest.raises(CertificateError, match="4 rows of 'triangles'"):
        with_rows(4).verify(network())


def test_matrices_of_lasserre2_are_not_enumerated_where_they_would_be_too_many(monkeypatch):
    """A file of 2 KB once made verify enumerate for minutes."""
    rng = np.random.default_rng(0)
    net = Network([rng.standard_normal((60, 60)), rng.standard_normal((1, 60))], [np.zeros(60), [0.0]])
    cert = hr2jax.solve(net, relaxation="shor", tol=0.1, center=np.zeros(60), radius=1.0).certificate
    monkeypatch.setattr(lagrangian, "lasserre_matrices", lambda *_: pytest.fail("was enumerated"))
    for name in ("sos/M_2(x,u)", "sos/x"):
        more = {f"{name}/factor": np.zeros((7381, 1)), f"{name}/monomials": np.zeros((7381, 1), np.int64)}
        more |= {"sos/group": np.array(["one"]), "sos/layer": np.zeros(1, np.int64), "sos/index": np.zeros(1, np.int64)}
        with pytest.raises(CertificateError, match="entries here"):
            dataclasses.replace(cert, multipliers=cert.multipliers | more).verify(net)


def test_a_certificate_of_equal_outputs_is_verified_in_balls():
    """Float64 leaves 1e-17 of a derivative that is exactly 0: its scale was too small for the 0 of balls."""
    net = Network([[[1.0], [0.3]], [[1.0, 0.7]], [[0.1], [0.1]]], [[0, 0], [0], [0, 0]])
    cert = hr2jax.solve(net, output=(0, 1)).certificate
    pytest.importorskip("flint")
    assert 0 <= cert.verify(net, arithmetic="ball") <= cert.verify(net) <= 1e-15


def test_a_center_of_the_wrong_shape_is_bad_input_not_another_claim():
    for center in ([0.1, -0.2], [[0.1, -0.2, 0.3]]):
        with pytest.raises(ValueError, match="center must have shape") as caught:
            certificate_of("local").verify(network(), center=center)
        assert not isinstance(caught.value, CertificateError)


@pytest.mark.parametrize(("content", "message"), [(b"root:x:0:0", "no NumPy"), (None, "no entry")])
def test_what_is_no_certificate_is_said_to_be_none(content, message, tmp_path):
    """And nobody is told to load it unsafely, as NumPy does."""
    path = tmp_path / "x.npz"
    if content is None:
        np.savez(path, A_1=np.eye(2))
    else:
        path.write_bytes(content)
    with pytest.raises(CertificateError, match=message) as caught:
        Certificate.load(path)
    assert "allow_pickle" not in str(caught.value)
    np.save(tmp_path / "x.npy", np.eye(2))
    with pytest.raises(CertificateError, match="no NumPy"):
        Certificate.load(tmp_path / "x.npy")


def test_multipliers_of_a_lifting_without_variables_prove_nothing():
    """What needs no engine has the lifting "none"; a file that says so and has multipliers is refused."""
    rng = np.random.default_rng(3)
    shapes = [(3, 2), (3, 3), (1, 3)]
    net = Network([rng.standard_normal(s) for s in shapes], [rng.standard_normal(s[0]) for s in shapes])
    plain = hr2jax.solve(net, relaxation="product", witness=0).certificate
    proper = hr2jax.solve(net, relaxation="shor", witness=0).certificate
    assert (plain.lifting, plain.verify(net)) == ("none", plain.bound)
    for changes in (
        {"multipliers": proper.multipliers, "diagonal": proper.diagonal},
        {"multipliers": proper.multipliers},
        {"diagonal": np.ones(1)}, {"diagonal": np.ones(len(proper.diagonal))},
        {"lifting": "values"}, {"lifting": "adjoint"}, {"lifting": "lipsdp"},
    ):  # fmt: skip
        with pytest.raises(ValueError):
            dataclasses.replace(plain, **changes).verify(net)
