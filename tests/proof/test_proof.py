"""A proof proves its verdict again, and whatever is changed in it, never another one."""

import contextlib
import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest

import hr2jax
from hr2jax import CertificateError, Proof
from hr2jax.certificate import archive
from hr2jax.certificate.file import write
from hr2jax.proof import file
from tests.reference.effort import examples

HEAD = "".join(f"(declare-const X_{i} Real)" for i in range(3)) + "(declare-const Y_0 Real)(declare-const Y_1 Real)"
BOX = "".join(f"(assert (>= X_{i} -0.3))(assert (<= X_{i} 0.3))" for i in range(3))


def network(seed=3):
    rng = np.random.default_rng(seed)
    shapes = ((7, 3), (6, 7), (2, 6))
    return hr2jax.Network([rng.standard_normal(s) for s in shapes], [rng.standard_normal(s[0]) for s in shapes])


NET = network()
X = np.random.default_rng(0).uniform(-0.3, 0.3, (20_000, 3))
TOP = NET(X).max(axis=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Proofs of all kinds: by lines, by certificates, by two multipliers, by a witness."""
    path = tmp_path_factory.mktemp("proofs")
    # what linear bounds leave, and the relaxations prove
    texts = {
        "lines": f"(assert (>= Y_0 {TOP[0] + 5}))",
        "certificate": f"(assert (or (>= Y_0 {TOP[0] + 5}) (>= Y_1 {TOP[1] + 0.02})))",
        "two": f"(assert (>= Y_0 (+ Y_1 {(NET(X) @ [1, -1]).max() + 1}))) (assert (<= X_0 (* 0.1 Y_1)))",
        "witness": f"(assert (>= Y_0 {TOP[0] - 0.1}))",
    }
    for name, text in texts.items():
        (path / f"{name}.vnnlib").write_text(HEAD + BOX + text)
        proof = hr2jax.prove(NET, path / f"{name}.vnnlib")
        assert proof.verdict == ("violated" if name == "witness" else "verified"), (name, proof)
        proof.save(path / f"{name}.npz")
    return path


KINDS = ("lines", "certificate", "two", "witness")


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_proved_again(folder, kind):
    proof = Proof.load(folder / f"{kind}.npz")
    assert proof.verify(NET) == proof.verify(NET, folder / f"{kind}.vnnlib") == proof.verdict
    assert (len(proof.certificates) > 0) == (kind == "certificate")
    plain = json.loads(proof.to_json())
    assert plain["verdict"] == str(proof.verdict) and len(plain["cases"]) == len(proof.multipliers)
    assert str(proof).startswith("verdict") and "\n" not in repr(proof)


@pytest.mark.parametrize("kind", KINDS)
def test_another_network_and_another_property_are_refused(folder, kind):
    proof = Proof.load(folder / f"{kind}.npz")
    with pytest.raises(CertificateError, match="another network"):
        proof.verify(network(4))
    with pytest.raises(CertificateError, match="another property"):
        proof.verify(NET, folder / f"{'lines' if kind == 'witness' else 'witness'}.vnnlib")


@pytest.mark.parametrize("kind", ["certificate", "two", "witness"])
def test_bytes_that_were_changed_are_refused(folder, kind, tmp_path):
    data = bytearray((folder / f"{kind}.npz").read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(examples(50)):
        damaged = bytearray(data)
        damaged[rng.integers(len(damaged))] ^= int(rng.integers(1, 256))
        (tmp_path / "p.npz").write_bytes(damaged)
        with contextlib.suppress(CertificateError):  # but for a byte of the archive that nobody reads
            assert Proof.load(tmp_path / "p.npz").verify(NET) == Proof.load(folder / f"{kind}.npz").verdict


def changed(arrays, rng):
    """The entries of a proof with one of them changed, as a forger would: whose digest is then right."""
    arrays = dict(arrays)
    name = sorted(arrays)[rng.integers(len(arrays))]
    values = arrays[name].copy()
    if name.endswith("claim"):
        head = json.loads(str(values))
        key = sorted(head)[rng.integers(len(head))]
        others = ["verified", "violated", None, 3, [], "1/3", ["1/3"] * 3, {}, "hr2jax proof 1", -1.0]
        head[key] = others[rng.integers(len(others))]
        arrays[name] = np.array(json.dumps(head))
    elif name == "property":
        at = rng.integers(len(values))
        values[at] = rng.integers(32, 127)
        arrays[name] = values
    elif values.size and values.dtype.kind in "fi":
        flat = values.reshape(-1)
        kind = rng.integers(4)
        at = rng.integers(flat.size)
        if kind == 0:
            flat[at] = -flat[at]
        elif kind == 1:
            flat[:] = (flat * 1.1).astype(flat.dtype)
        elif kind == 2:
            flat[at] = 0
        else:
            flat = flat[:-1]
        arrays[name] = flat.reshape(values.shape) if flat.size == values.size else flat
    else:
        del arrays[name]
    return arrays


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_forger_changes_proves_nothing_untrue(folder, kind, tmp_path):
    """Verdicts of changed proofs are refused, or true of the property that they then hold."""
    honest = archive.read(folder / f"{kind}.npz")
    rng = np.random.default_rng(1)
    for _ in range(examples(100)):
        write(tmp_path / "p.npz", changed(honest, rng))
        try:
            proof = Proof.load(tmp_path / "p.npz")
            verdict = proof.verify(NET)
        except CertificateError:
            continue
        if verdict == "unknown":
            continue
        if proof.text.encode() == honest["property"].tobytes():
            assert verdict == Proof.load(folder / f"{kind}.npz").verdict
        else:  # what the changed text asks for, at many points
            (tmp_path / "p.vnnlib").write_text(proof.text)
            prop = hr2jax.io.read_vnnlib(tmp_path / "p.vnnlib")
            if verdict == "verified":
                v = np.concatenate([X[:300], NET(X[:300])], axis=1)
                points = [[Fraction(float(u)) for u in row] for row in v]
                assert not any(hr2jax.io.vnnlib.formula.truth(prop.formula, p, p) for p in points)


def test_a_proof_that_claims_the_opposite_is_refused(folder):
    for kind in KINDS:
        proof = Proof.load(folder / f"{kind}.npz")
        other = "verified" if kind == "witness" else "violated"
        with pytest.raises(CertificateError):
            dataclasses.replace(proof, verdict=hr2jax.Verdict(other)).verify(NET)
    proof = Proof.load(folder / "lines.npz")
    with pytest.raises(CertificateError, match="of at least 0"):
        dataclasses.replace(proof, multipliers=(-proof.multipliers[0],)).verify(NET)
    with pytest.raises(CertificateError, match="not proved to be empty"):
        dataclasses.replace(proof, multipliers=(0 * proof.multipliers[0],)).verify(NET)
    with pytest.raises(CertificateError, match="0 cases"):
        dataclasses.replace(proof, multipliers=(), proved_by=()).verify(NET)
    with pytest.raises(CertificateError, match="no certificate"):
        dataclasses.replace(proof, proved_by=(0,)).verify(NET)


class Lying(np.ndarray):
    """An array that says other numbers than it holds."""

    def tolist(self):
        return [-1.0] * self.size

    def __neg__(self):
        return np.asarray(self) * 0 + 1


class LyingText(str):
    __hash__ = str.__hash__

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False


class LyingFraction(Fraction):
    numerator = denominator = property(lambda self: LyingInt(1))


class LyingInt(int):
    def __mul__(self, other):
        return 10**9

    __rmul__ = __add__ = __radd__ = __mul__


def test_what_python_objects_say_of_themselves_is_not_believed(folder):
    """Multipliers whose tolist() is negative "proved" what is untrue, a text equal to all that of another property."""
    proof = Proof.load(folder / "lines.npz")
    text = HEAD + BOX + "(assert (>= Y_0 (- 1000)))"  # which all of the box meets
    forged = dataclasses.replace(proof, text=text, multipliers=(np.ones(1).view(Lying),))
    assert forged.multipliers[0].tolist() == [-1.0]
    with pytest.raises(CertificateError, match="not proved to be empty"):
        forged.verify(NET)
    with pytest.raises(CertificateError, match="another property"):
        dataclasses.replace(proof, text=LyingText(proof.text)).verify(NET, folder / "witness.vnnlib")
    with pytest.raises(CertificateError, match="another network"):
        dataclasses.replace(proof, problem={"network_hash": LyingText("")}).verify(NET)
    for nothing in (None, proof.text.encode()):
        with pytest.raises(CertificateError, match="property's text"):
            dataclasses.replace(proof, text=nothing).verify(NET)
    exact = tuple(LyingFraction(1, 3) for _ in range(3))
    with pytest.raises(CertificateError, match="no counterexample"):
        dataclasses.replace(proof, verdict="violated", exact=exact, multipliers=(), proved_by=()).verify(NET)
    assert dataclasses.replace(proof, multipliers=[[1.0]], proved_by=[True - 2]).verify(NET) == "verified"


def test_a_certificates_box_and_coefficients_are_not_believed(folder):
    proof = Proof.load(folder / "certificate.npz")
    (certificate,) = proof.certificates
    claim = certificate.lipschitz_problem
    box = hr2jax.Box(claim.domain.low, claim.domain.high)
    small = hr2jax.Box([-0.01] * 3, [0.01] * 3)
    true = hr2jax.maximum(NET, output=claim.coefficients, domain=small).certificate

    class Wide(hr2jax.Box):
        low, high = box.low, box.high

        def arrays(self):
            return small.arrays()

    wide = Wide.__new__(Wide)
    forged = dataclasses.replace(true, lipschitz_problem=dataclasses.replace(claim, domain=wide))
    with pytest.raises(CertificateError):
        dataclasses.replace(proof, certificates=(forged,)).verify(NET)
    lying = dataclasses.replace(claim, coefficients=claim.coefficients.view(Lying))
    forged = dataclasses.replace(certificate, lipschitz_problem=lying)
    assert dataclasses.replace(proof, certificates=(forged,)).verify(NET) == "verified"  # of what is held


def test_floats_are_no_exact_witness_of_a_smooth_network():
    """1/3 + 1/3 + 1/3 of floats is 1: numbers are made rational before they count."""
    net = hr2jax.Network([np.eye(3), np.zeros((2, 3))], [np.zeros(3), np.zeros(2)], activation="tanh")
    text = HEAD + BOX.replace("0.3", "1") + "(assert (>= (+ X_0 X_1 X_2) 1))"
    proof = Proof(
        hr2jax.Verdict.VIOLATED, "", np.full(3, 1 / 3), (1 / 3,) * 3, np.zeros(2), (), (), (), 0.0, text,
        {"network_hash": net.hash},
    )  # fmt: skip
    with pytest.raises(CertificateError, match="no counterexample"):
        proof.verify(net)
    with pytest.raises(CertificateError):
        dataclasses.replace(proof, exact=("1/3", None, 2)).verify(net)


def test_a_certificate_of_a_smaller_box_is_refused(folder):
    proof = Proof.load(folder / "certificate.npz")
    coefficients = proof.certificates[0].lipschitz_problem.coefficients
    box = hr2jax.Box([-0.3, -0.3, -0.3], [0.3, 0.3, 0.2999])
    small = hr2jax.maximum(NET, output=coefficients, domain=box).certificate
    with pytest.raises(CertificateError, match="another box"):
        dataclasses.replace(proof, certificates=(small,)).verify(NET)
    with pytest.raises(CertificateError, match="is a Proof"):
        dataclasses.replace(proof, certificates=(proof,)).verify(NET)
    ball = hr2jax.maximum(NET, output=coefficients, center=np.zeros(3), radius=0.4).certificate
    with pytest.raises(CertificateError, match="another box"):
        dataclasses.replace(proof, certificates=(ball,)).verify(NET)


def test_what_is_no_proof_is_refused(folder, tmp_path):
    honest = archive.read(folder / "certificate.npz")
    for name, values, message in [
        ("more", np.zeros(1), "unknown entry 'more'"),
        ("certificate/7/claim", np.array("{}"), "numbered one after another"),
        ("multipliers", np.zeros(9), "as many as"),
        ("proved_by", np.zeros(2), "vector of int64"),
        ("proved_by", np.full(9, -1), "says of 9 cases"),  # a ValueError came out of to_json
        ("proved_by", np.array([-1, 1]), "no certificate of one"),
        ("property", np.array([255, 254], dtype=np.uint8), "not a whole proof"),
        ("claim", np.array("[]"), "no JSON object"),
        ("claim", np.array('{"format": "hr2jax proof 9"}'), "'hr2jax proof 1' is expected"),
    ]:
        write(tmp_path / "p.npz", honest | {name: values})
        with pytest.raises(CertificateError, match=message):
            Proof.load(tmp_path / "p.npz")
    certificate = Proof.load(folder / "certificate.npz").certificates[0]
    certificate.save(tmp_path / "c.npz")
    assert not file.is_proof(tmp_path / "c.npz") and file.is_proof(folder / "lines.npz")
    with pytest.raises(CertificateError):
        Proof.load(tmp_path / "c.npz")
    with pytest.raises(FileNotFoundError):
        Proof.load(tmp_path / "none.npz")


def test_the_answer_of_vnn_comp(folder):
    assert Proof.load(folder / "lines.npz").counterexample == "unsat\n"
    proof = Proof.load(folder / "witness.npz")
    lines = proof.counterexample.splitlines()
    assert lines[0] == "sat"
    assert [line.strip("()").split()[0] for line in lines[1:]] == ["X_0", "X_1", "X_2", "Y_0", "Y_1"]
    numbers = [float(line.strip("()").split()[1]) for line in lines[1:]]
    np.testing.assert_allclose(NET(np.array(numbers[:3])), numbers[3:], rtol=1e-12)
