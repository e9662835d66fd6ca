"""The trust line, seen from outside: what the import-linter's contracts in pyproject.toml promise, in a process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hr2jax

# An import of any of these ends the process.
UNTRUSTED = ("jax", "jaxlib", "optax", "onnx", "torch", "tensorflow", "tqdm")

VERIFY = """
import sys
from pathlib import Path

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {untrusted!r} or name.startswith(("hr2jax.engines", "hr2jax.solving", "hr2jax.lower")):
            raise AssertionError(f"{{name}} was imported")

sys.meta_path.insert(0, Refuse())
import hr2jax
net = hr2jax.load({network!r})
print(hr2jax.Certificate.load({certificate!r}).verify(net, arithmetic={arithmetic!r}))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network of two hidden layers and a local certificate with multipliers."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(5)
    shapes = ((4, 3), (4, 4), (2, 4))
    net = hr2jax.Network([rng.standard_normal(s) for s in shapes], [rng.standard_normal(s[0]) for s in shapes])
    asked = {"center": np.zeros(3), "radius": 0.5, "relaxation": "hr2+", "bounds": "linear", "witness": 0}
    result = hr2jax.solve(net, output=0, **asked)
    net.save(folder / "net.npz")
    result.certificate.save(folder / "bound.cert.npz")
    return folder, result.bound


@pytest.mark.parametrize("arithmetic", ["float", "ball"])
def test_a_file_is_verified_where_neither_jax_nor_an_engine_can_be_imported(files, arithmetic):
    folder, bound = files
    code = VERIFY.format(
        untrusted=UNTRUSTED, network=str(folder / "net.npz"), certificate=str(folder / "bound.cert.npz"),
        arithmetic=arithmetic,
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(bound, rel=1e-9)


def test_a_proof_of_a_property_is_verified_there_too(files):
    folder, bound = files
    box = "".join(f"(declare-const X_{i} Real)(assert (and (>= X_{i} 0) (<= X_{i} 0.2)))" for i in range(3))
    words = f"(declare-const Y_0 Real)(declare-const Y_1 Real){box}"
    (folder / "p.vnnlib").write_text(f"{words}(assert (>= Y_0 {100 + bound}))")
    assert hr2jax.prove(folder / "net.npz", folder / "p.vnnlib").verdict == "verified"
    hr2jax.prove(folder / "net.npz", folder / "p.vnnlib").save(folder / "proof.npz")
    code = VERIFY.format(
        untrusted=UNTRUSTED, network=str(folder / "net.npz"), certificate=str(folder / "proof.npz"), arithmetic="float"
    )
    code = code.replace("hr2jax.Certificate.load", "hr2jax.Proof.load").replace(", arithmetic='float'", "")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "verified\n"), done.stderr


def test_the_hook_refuses_what_is_above_the_line():
    code = VERIFY.split("import hr2jax\n", maxsplit=1)[0].format(untrusted=UNTRUSTED)
    for module in ("jax", "hr2jax.engines.choose", "hr2jax.api"):
        command = [sys.executable, "-c", f"{code}\nimport {module}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "was imported" in done.stderr


# A violation of each contract in pyproject.toml: where it is planted, the import, and which contract sees it.
PLANTED = [
    ("machine/files.py", "from ..network import Network", "floors"),
    ("unheard_of.py", "", "floors"),  # a module without a floor
    ("certificate/bound.py", "import jax", "the trust line"),
    ("bounds/interval.py", "from .slopes import ascent", "the trust line"),
    ("engines/product/lbfgs.py", "from ..block import form", "engines stand apart"),
    ("io/npz.py", "from .. import network", "readers know no network"),
    ("lower/attained.py", "from ..engines import choose", "lower's proofs"),
]


def lint(root):
    """What the import-linter says of a copy of the package."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as f; f()", "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(root), "COLUMNS": "200"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_planted_violation_of_each_contract_is_caught(tmp_path):
    package = Path(hr2jax.__file__).parent
    settings = package.parent / "pyproject.toml"
    if not settings.exists():
        pytest.skip("the contracts stand in the repository's pyproject.toml, which an installed package does not have")
    shutil.copytree(package, tmp_path / "hr2jax", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(settings, tmp_path)
    assert lint(tmp_path).returncode == 0
    for where, planted, contract in PLANTED:
        path = tmp_path / "hr2jax" / where
        before = path.read_text() if path.exists() else None
        path.write_text(f"{before or ''}\n{planted}\n")
        done = lint(tmp_path)
        assert done.returncode == 1, (where, done.stdout)
        assert f"{contract} BROKEN" in done.stdout, (where, done.stdout)
        if before is None:
            path.unlink()
        else:
            path.write_text(before)
