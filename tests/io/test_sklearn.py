"""Estimators of scikit-learn are read as what they predict."""

import warnings
from fractions import Fraction

import numpy as np
import pytest

import hr2jax
from tests.reference.frameworks import framework

framework("sklearn")
from sklearn.compose import TransformedTargetRegressor  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402
from sklearn.linear_model import Ridge  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.neural_network import MLPClassifier, MLPRegressor  # noqa: E402
from sklearn.pipeline import Pipeline, make_pipeline  # noqa: E402
from sklearn.preprocessing import (  # noqa: E402
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    RobustScaler,
    StandardScaler,
)

from tests.reference.exact_layers import exact, members_at  # noqa: E402

pytestmark = pytest.mark.framework("sklearn")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4)) * [1.0, 30.0, 0.01, 5.0] + [0.0, 100.0, 3.0, -7.0]
Y = np.stack([X[:, 0] + abs(X[:, 1]), X[:, 2] * 50 - X[:, 3]], axis=1)
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 3] > -7)
POINTS = X.mean(axis=0) + 3 * X.std(axis=0) * np.random.default_rng(1).standard_normal((1000, 4))


def fitted(model, y=Y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged
        return model.fit(X, y)


def mlp(kind=MLPRegressor, **options):
    return kind(hidden_layer_sizes=(6, 5), max_iter=30, random_state=0, **options)


def check(model, expected, **options):
    """The network at 1000 points, against the model's own numbers."""
    net = hr2jax.as_network(model, **options)
    value = net(POINTS)
    expected = np.asarray(expected).reshape(value.shape)
    assert abs(value - expected).max() <= 1e-9 * max(1.0, abs(expected).max())
    return net


SCALERS = {
    "standard": StandardScaler, "no mean": lambda: StandardScaler(with_mean=False),
    "no std": lambda: StandardScaler(with_std=False), "min max": lambda: MinMaxScaler((-1, 3)),
    "min max clip": lambda: MinMaxScaler(clip=True), "max abs": MaxAbsScaler,
    "robust": RobustScaler, "no centre": lambda: RobustScaler(with_centering=False),
    "no scaling": lambda: RobustScaler(with_scaling=False), "function": FunctionTransformer,
    "passthrough": lambda: "passthrough", "none": lambda: None,
}  # fmt: skip


@pytest.mark.parametrize("activation", ["relu", "identity"])
def test_regressors(activation):
    model = fitted(mlp(activation=activation))
    net = check(model, model.predict(POINTS))
    if activation == "relu":
        assert net.hash == hr2jax.Network([w.T for w in model.coefs_], model.intercepts_).hash


@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_smooth_regressors(activation):
    model = fitted(mlp(activation=activation))
    try:
        check(model, model.predict(POINTS))
    except ValueError as error:
        assert "smooth" in str(error)  # named, where nothing bounds it


@pytest.mark.parametrize("name", SCALERS)
def test_pipelines(name):
    model = fitted(Pipeline([("a", SCALERS[name]()), ("b", MaxAbsScaler()), ("c", mlp())]))
    check(model, model.predict(POINTS))


@pytest.mark.parametrize("name", ["standard", "no std", "min max", "min max clip", "max abs", "robust", "function"])
@pytest.mark.parametrize("several", [False, True])
def test_targets_are_scaled_back(name, several):
    model = fitted(TransformedTargetRegressor(make_pipeline(StandardScaler(), mlp()), transformer=SCALERS[name]()),
                   Y if several else Y[:, 0])  # fmt: skip
    check(model, model.predict(POINTS))


def test_max_abs_scaler_that_clips():
    try:
        scaler = MaxAbsScaler(clip=True)
    except TypeError:
        pytest.skip("this scikit-learn's MaxAbsScaler does not clip")
    model = fitted(make_pipeline(scaler, mlp()))
    check(model, model.predict(POINTS))


def test_what_is_no_float64_is_enclosed():
    """(x - mean) / scale of exact rationals lies within the radii."""
    model = fitted(make_pipeline(StandardScaler(), mlp()))
    scaler = model[0]
    net = hr2jax.as_network(model)
    assert net.layers[0].has_radii and net.layers[0].activation == "identity"
    for x in POINTS[:20]:
        low, high = members_at(net.layers[:1], x)
        true = (exact(x) - exact(scaler.mean_)) / exact(scaler.scale_)
        assert (low <= true).all() and (true <= high).all()
        assert (high - low <= Fraction(1, 10**12)).all()


@pytest.mark.parametrize("labels", [LABELS, LABELS > 0, np.stack([LABELS > 0, LABELS > 1], 1).astype(int)])
def test_classifiers_give_logits(labels):
    model = fitted(mlp(MLPClassifier), labels)
    pipe = fitted(make_pipeline(StandardScaler(), mlp(MLPClassifier)), labels)
    for m, part in ((model, model), (pipe, pipe[-1])):
        with pytest.raises(ValueError, match=r"(softmax|logistic).*logits=True"):
            hr2jax.as_network(m)
        kept, part.out_activation_ = part.out_activation_, "identity"
        inputs = POINTS if m is model else m[:-1].transform(POINTS)
        expected = part._forward_pass_fast(inputs)
        part.out_activation_ = kept
        check(m, expected, logits=True)


class Own(MLPRegressor):
    def predict(self, X):
        return super().predict(X) ** 2


def test_what_is_refused():
    cases = [
        (mlp(), "MLPRegressor is not fitted.*fit"),
        (make_pipeline(StandardScaler(), mlp()), "not fitted"),
        (fitted(Ridge()), "Ridge of scikit-learn is not read; MLPRegressor"),
        (fitted(make_pipeline(PCA(2), mlp())), "a PCA before or after the network is not read"),
        (fitted(make_pipeline(Normalizer(), mlp())), "a Normalizer before"),
        (fitted(make_pipeline(FunctionTransformer(np.sin), mlp())), "the function 'sin' is not read"),
        (fitted(make_pipeline(StandardScaler(), Ridge())), "Ridge"),
        (fitted(make_pipeline(make_pipeline(StandardScaler()), mlp())), "Pipeline within a Pipeline"),
        (fitted(GridSearchCV(mlp(), {"alpha": [0.1]}, cv=2)), "best_estimator_"),
        (fitted(Own(hidden_layer_sizes=(3,), max_iter=5)), "Own is no class of scikit-learn's own"),
        (StandardScaler().fit(X), "StandardScaler of scikit-learn is not read"),
        (fitted(TransformedTargetRegressor(mlp(), func=np.cbrt, inverse_func=lambda y: y**3)), "cbrt"),
    ]
    for model, message in cases:
        with pytest.raises(ValueError, match=message) as caught:
            hr2jax.as_network(model)
        assert "\n" not in str(caught.value)
    model = fitted(mlp())
    with pytest.raises(ValueError, match="a fitted model says itself"):
        hr2jax.as_network(model, activation="relu")
    with pytest.raises(ValueError, match="leave it out"):
        hr2jax.as_network(model, example=X)
    model.out_activation_ = "exp"
    with pytest.raises(ValueError, match="ends in 'exp'"):
        hr2jax.as_network(model)
