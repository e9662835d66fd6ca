"""The cases of vnnlib-satisfactory, a suite for solvers of VNN-LIB 2.0: each is decided right, or refused."""

import collections

import pytest

import hr2jax
from tests.reference.frameworks import framework

# what no reader of networks reads, or no property is read of: products, several networks or inputs, hidden layers,
# casts, comparisons that jump, a final Sigmoid or Softmax, an input without bounds
REFUSED = {
    "arithmetic_poly", "cast", "div", "equal", "hidden", "maxpool03", "mul03", "multi_io", "network_equal",
    "network_isomorphic", "network_multiple", "pow", "shape", "sigmoid", "softmax", "where",
}  # fmt: skip


def cases():
    """(name, group, model, property, "SAT" or "UNSAT") of each."""
    framework("vnntest")
    from vnntest.core.paths import CASES_DIR
    from vnntest.core.testcase import ModuleCaseSource

    for path in sorted(CASES_DIR.rglob("*.py")):
        case = None if path.name.startswith("_") else ModuleCaseSource.try_from_path(path)
        if case is not None:
            model, text = case.build_onnx_model(), case.build_vnnlib_spec()
            models = (
                [*model.values()] if isinstance(model, dict) else model if isinstance(model, list | tuple) else [model]
            )
            yield (
                path.stem,
                path.parent.name,
                models[0],
                text if isinstance(text, str) else text[0],
                case.expected_output(),
            )


@pytest.mark.framework("onnx", "onnxscript", "vnntest")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_each_case_is_right_or_refused(tmp_path):
    onnx = framework("onnx")
    found = collections.Counter()
    net, prop = tmp_path / "net.onnx", tmp_path / "p.vnnlib"
    for name, group, model, text, expected in cases():
        onnx.save(model, net)
        prop.write_text(text)
        try:
            proof = hr2jax.prove(net, prop)
        except (ValueError, NotImplementedError) as error:
            assert {name, group} & REFUSED, (name, error)
            assert "\n" not in str(error)
            found["refused"] += 1
            continue
        assert proof.verdict == {"SAT": "violated", "UNSAT": "verified"}[expected.upper()], name
        assert proof.verify(hr2jax.load(net), prop) == proof.verdict
        found["right"] += 1
    assert found["right"] >= 117, found
