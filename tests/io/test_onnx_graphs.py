"""Random ONNX graphs are read as what ONNX's own evaluator computes."""

import re

import numpy as np
import pytest

import hr2jax
from tests.reference.frameworks import framework

onnx = framework("onnx")
from onnx import TensorProto  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from tests.io.bombs import outcomes  # noqa: E402
from tests.reference.damaged_onnx import damaged  # noqa: E402
from tests.reference.onnx_evaluator import OPERATORS  # noqa: E402
from tests.reference.onnx_graphs import check, double_model, loaded  # noqa: E402
from tests.reference.random_onnx import Draw  # noqa: E402


def compare(folder, seed):
    """Whether the graph is read."""
    drawn = Draw(seed)
    evaluator = drawn.evaluator
    try:
        check(folder, drawn.graph, drawn.shape, points=3, seed=seed, evaluator=evaluator)
    except ValueError as error:
        found = re.search("the output '(.*)' is not computed from", str(error))
        assert found or drawn.is_strange, (seed, drawn.opset, drawn.nodes, error)
        if found:  # of an output that is a constant there is no network
            at = drawn.outputs.index(found[1])
            a, b = (evaluator.run(None, {"x": np.full(drawn.shape, x)})[at] for x in (0.3, -7.0))
            assert (a == b).all()
        return False
    except AssertionError as error:
        raise AssertionError(f"seed {seed}, set {drawn.opset}, {drawn.shape}: {drawn.nodes}: {error}") from None
    return True


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs(tmp_path, seed):
    compare(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(20))
def test_many_random_graphs(tmp_path, chunk):
    for seed in range(1000 + 500 * chunk, 1500 + 500 * chunk):
        compare(tmp_path, seed)


def test_what_random_graphs_have_found(tmp_path):
    """Products and maxima of constants that are no matrices or no float64; a GELU of a negative multiple."""
    c = {"M": np.array([[1.5, -0.3], [0.7, 2.0]]), "v": np.array([0.3, 0.9]), "m": np.array(-2.0), "one": np.array(1.0),
         "half": np.array(0.5), "root": np.sqrt(np.array(2.0)), "stack": np.arange(8.0).reshape(2, 2, 2)}  # fmt: skip
    for nodes in (
        ["MatMul v M > a", "Add x a > y"], ["MatMul stack v > a", "Add x a > y"],
        ["Div v M > a", "Max a v > b", "Min x b M > y"],
        ["Div x m > z", "Div z root > a", "Erf a > b", "Add b one > c", "Mul z half > d", "Mul d c > y"],
    ):  # fmt: skip
        graph = double_model(nodes, (1, 2), 13, **c)
        check(tmp_path, graph, (1, 2), evaluator=ReferenceEvaluator(graph, new_ops=OPERATORS))


def test_a_graph_in_halves_is_said_to_be(tmp_path, caplog):
    loaded(tmp_path, double_model(["Relu x > y"], (1, 2), kind=TensorProto.FLOAT))
    assert not caplog.records
    loaded(tmp_path, double_model(["Relu x > y"], (1, 2), kind=TensorProto.BFLOAT16))
    assert "the graph computes in bfloat16, whose rounding is no part of the network" in caplog.text


@pytest.mark.framework("onnxruntime")
def test_onnxruntime_computes_the_same(tmp_path):
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    compared = 0
    for seed in range(200, 300):
        drawn = Draw(seed)
        graph = drawn.graph_of(TensorProto.FLOAT)
        if drawn.is_strange:
            continue
        try:
            session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        except Exception:  # its own: what it has not built, operator sets and paddings that it does not take
            continue
        try:
            net = loaded(tmp_path, graph)
        except ValueError as error:
            assert "not computed from" in str(error)
            continue
        x = np.random.default_rng(seed).standard_normal(drawn.shape).astype("f4")
        expected = np.concatenate([v.ravel() for v in session.run(None, {"x": x})])
        size = max(abs(v).max() for v in drawn.values.values())  # of what float32 rounds on the way
        assert abs(net(x.ravel().astype(float)) - expected).max() <= 1e-5 * size, (seed, drawn.opset, drawn.nodes)
        compared += 1
    assert compared > 50


def test_a_graph_that_is_written_again_is_the_same_network(tmp_path):
    for seed in (0, 1, 3, 4):
        net = loaded(tmp_path, Draw(seed).graph)
        net.save(tmp_path / "again.npz")
        assert hr2jax.load(tmp_path / "again.npz").hash == net.hash
        x = np.ones(net.widths[0])
        assert (hr2jax.load(tmp_path / "again.npz")(x) == net(x)).all()


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_damaged_graphs_only_raise_value_error(tmp_path, start):
    for seed in range(start, start + 20):
        path = tmp_path / "net.onnx"
        path.write_bytes(damaged(seed))
        try:
            hr2jax.load(path)
        except ValueError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error), (seed, error)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 3000, 100))
def test_damaged_graphs_in_little_memory(tmp_path, start):
    paths = []
    for seed in range(start, start + 100):
        paths.append(tmp_path / f"{seed}.onnx")
        paths[-1].write_bytes(damaged(seed))
    for path, said in zip(paths, outcomes(paths), strict=True):
        assert said == "read" or (said.startswith("refused") and "\n" not in said), (path.name, said)
