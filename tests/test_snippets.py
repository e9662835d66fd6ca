"""The snippets of README and docs run, in order, page by page, with packaged files in place of the user's.

A block after `<!-- needs: torch -->` is run where that is installed (`.ci/run` runs them where all are).
"""

import os
import re
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest

import hr2jax
from hr2jax.cli.main import main

from .reference.frameworks import framework

os.environ.setdefault("KERAS_BACKEND", "jax")
ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- needs: (\w+) -->\n)?^```(python|sh)\n(.*?)^```$", re.M | re.S)
FRAMEWORKS = ("torch", "keras", "sklearn")  # onnx is in the test extra


def blocks(page):
    """(needs, language, code) of each snippet but those that only a cluster runs."""
    return [found.groups() for found in BLOCK.finditer(page.read_text()) if found[1] != "slurm"]


def cases():
    for page in PAGES:
        found, name = blocks(page), str(page.relative_to(ROOT))
        if any(need not in FRAMEWORKS for need, _, _ in found):
            yield pytest.param(page, None, id=name)
        for need in sorted({need for need, _, _ in found} & set(FRAMEWORKS)):
            yield pytest.param(page, need, id=f"{name}-{need}", marks=pytest.mark.framework(need))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What stands in for the user's files."""
    net, inputs, labels = hr2jax.data.digits()
    net.save(tmp_path / "model.npz")
    np.save(tmp_path / "x.npy", inputs[12])
    np.savez(tmp_path / "data.npz", inputs=inputs[:3], labels=labels[:3])
    (tmp_path / "property.vnnlib").write_text(unchanged(net, inputs[12], 0.01))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def unchanged(net, x, radius):
    """A property: no input of the box has another label than x."""
    K, k = net.widths[-1], int(np.argmax(net(x)))
    lines = [f"(declare-const X_{i} Real)" for i in range(len(x))] + [f"(declare-const Y_{j} Real)" for j in range(K)]
    lines += [f"(assert (>= X_{i} {v - radius:.8f}))(assert (<= X_{i} {v + radius:.8f}))" for i, v in enumerate(x)]
    others = " ".join(f"(and (>= Y_{j} Y_{k}))" for j in range(K) if j != k)
    return "\n".join([*lines, f"(assert (or {others}))", ""])


def onnx_model(path):
    """The digits' classifier as ONNX."""
    onnx = pytest.importorskip("onnx")
    net = hr2jax.data.digits()[0]
    named = {"A": net.weights[0], "b": net.biases[0], "C": net.weights[1], "d": net.biases[1]}
    stored = [onnx.numpy_helper.from_array(v.astype(np.float32), name) for name, v in named.items()]
    node = onnx.helper.make_node
    nodes = [node("Gemm", ["x", "A", "b"], ["z"], transB=1), node("Relu", ["z"], ["h"]),
             node("Gemm", ["h", "C", "d"], ["y"], transB=1)]  # fmt: skip
    ends = (onnx.helper.make_tensor_value_info(*end) for end in (("x", 1, [1, 64]), ("y", 1, [1, 10])))
    graph = onnx.helper.make_graph(nodes, "digits", *([end] for end in ends), stored)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)


@pytest.mark.parametrize(("page", "need"), list(cases()))
def test_the_snippets_of_a_page_run(page, need, folder, compiled_quickly):
    if need:
        framework(need)
    names = {"hr2jax": hr2jax, "net": hr2jax.load("model.npz")}  # docs/prove.md goes on from README
    for wants, language, code in blocks(page):
        if wants != need if need else wants in FRAMEWORKS:
            continue
        if "model.onnx" in code:
            onnx_model(folder / "model.onnx")
        if language == "python":
            with warnings.catch_warnings():
                if need:  # frameworks warn of each other's versions
                    warnings.simplefilter("ignore")
                exec(compile(code, str(page), "exec"), names)
        else:
            for line in code.splitlines():
                words = shlex.split(line, comments=True)
                assert words[0] == "hr2jax", line
                assert main(words[1:]) == 0, line


def test_the_table_that_a_page_shows_is_what_is_printed():
    """But for seconds and memory, and for last digits."""
    number = re.compile(r"\d+\.?\d*")
    text = (ROOT / "docs" / "results.md").read_text()
    shown = text[text.index("    network ") :].splitlines()[:6]
    said = str(hr2jax.solve(hr2jax.data.digits()[0], output=3, relaxation="shor")).splitlines()[:6]
    for one, other in zip(shown, said, strict=True):
        assert number.sub("", one).split() == number.sub("", other).split()
        np.testing.assert_allclose(*([float(n) for n in number.findall(line)] for line in (one, other)), 2e-3, 0.1)


def test_every_page_with_a_snippet_is_found():
    found = {param.id for param in cases()}
    assert {"README.md", "README.md-torch", "README.md-keras", "README.md-sklearn"} <= found
    assert sum(len(blocks(page)) for page in PAGES) >= 15
