"""What the package gives, and what importing it does."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import hr2jax
from hr2jax.text import PACKAGES, install

ROOT = Path(__file__).resolve().parents[1]


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_every_public_name_is_there():
    for name in hr2jax.__all__:
        assert getattr(hr2jax, name) is not None
        assert name in dir(hr2jax)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = hr2jax.nothing
    assert python("from hr2jax import *; print(solve.__module__, Network.__name__)") == ["hr2jax.api", "Network"]


def test_modules_are_there_without_being_imported():
    text = python("import hr2jax; print(hr2jax.load.__name__, hr2jax.certificate.__name__)")
    assert text == ["load", "hr2jax.certificate"]


@pytest.mark.parametrize("way", ["import hr2jax", "from hr2jax.cli.main import main; main(['--help'])"])
def test_neither_importing_it_nor_asking_for_help_imports_jax_scipy_or_numpy(way):
    heavy = ("jax", "jaxlib", "optax", "scipy", "numpy")  # NumPy alone would be half of what --help costs
    words = python(f"import sys; {way}; print('seen:', *(name for name in {heavy} if name in sys.modules))")
    assert words[-1] == "seen:"


SMALL = """
import sys
import numpy as np
import hr2jax
rng = np.random.default_rng(0)
net = hr2jax.Network([rng.normal(size=(6, 5)), rng.normal(size=(1, 6))], [rng.normal(size=6), np.zeros(1)])
result = hr2jax.solve(net, center=np.zeros(5), radius=0.5, relaxation="hr2z", witness=0)
assert result.iterations and result.witness is None
print("seen:", *(name for name in ("jax", "optax", "tqdm", "scipy.optimize", "multiprocessing") if name in sys.modules))
"""


def test_a_small_solve_imports_no_jax_no_linear_programs_and_no_processes():
    """It spent more on these than on the bound."""
    assert python(SMALL)[-1] == "seen:"


def test_importing_it_changes_none_of_jaxs_settings():
    code = "import jax; old = dict(jax.config.values); import hr2jax; hr2jax.solve; print(old == jax.config.values)"
    assert python(code) == ["True"]


INTERRUPTED = """
import os, signal, sys
from hr2jax.__main__ import run

class Hook:
    def find_spec(self, name, *_):
        if name == late:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process has it ignored
late, sys.argv = sys.argv[1], ["hr2jax", "solve", "missing.npz"]
sys.meta_path.insert(0, Hook())
run()
"""


@pytest.mark.parametrize("module", ["hr2jax.cli.main", "numpy", "hr2jax.api", "scipy.linalg"])
def test_ctrl_c_while_it_starts_is_said_in_one_line_and_130(module):
    """Among half-imported extension modules it once came out as an ImportError, exit code 1, or a broken process."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, module], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr == "hr2jax: interrupted: stopped before there was an answer\n"
    assert not done.stdout


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    """As under nohup, or for a script's background process."""
    code = (
        "import os, signal, sys, threading; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "from hr2jax.__main__ import run; sys.argv = ['hr2jax', '--version']; run()"
    )
    assert python(code)[-2:] == ["hr2jax", hr2jax.__version__]


EXTRAS = (
    "clarabel", "cvxopt", "sdpap", "mosek", "matplotlib", "onnx", "torch", "sklearn", "keras", "flax", "equinox",
    "pandas", "shtab", "jsonschema", "mpmath", "hypothesis",
)  # fmt: skip
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({extras!r}))
import numpy as np
import hr2jax
from hr2jax.cli.main import main
for name in hr2jax.__all__:
    getattr(hr2jax, name)
net, inputs, labels = hr2jax.data.digits()
result = hr2jax.solve(net, output=(0, 1), center=inputs[0], radius=0.01, relaxation="hr2z")
assert result.certificate.verify(net) <= result.bound
hr2jax.solve(net.restrict([0, 1], inputs[0]), output=3, relaxation="interval")
assert hr2jax.maximum(net, output=0, center=inputs[0], radius=0.01, relaxation="interval").bound > 0
result.to_json("result.json"), net.save("net.npz"), result.certificate.save("cert.npz")
print([main(words.split()) for words in ("verify cert.npz net.npz", "report result.json -o page.html", "info net.npz")])
"""


def test_extras_are_optional(tmp_path):
    """With none of them it is imported, solves, verifies, writes pages."""
    code = WITHOUT.format(extras=EXTRAS)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[0, 0, 0]"
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")


def declared():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_commands_that_install_are_those_of_the_extras():
    extras = declared()["optional-dependencies"]
    known = {requirement for extra in extras.values() for requirement in extra}
    assert set(PACKAGES.values()) <= known
    assert install("matplotlib") == 'pip install "matplotlib>=3.8"'
    # every extra of one's own models and solvers is blocked above
    assert {"matplotlib", "onnx", "keras", "pandas", "clarabel", "cvxopt", "sdpap", "mosek", "shtab"} <= set(EXTRAS)


def test_the_version_is_said_once():
    for name in ("CITATION.cff", "README.md", "CHANGELOG.md"):
        assert hr2jax.__version__ in (ROOT / name).read_text(), name
