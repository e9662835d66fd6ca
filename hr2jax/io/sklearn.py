"""scikit-learn's multi-layer perceptrons, alone or behind scalers in a Pipeline, by their fitted attributes.

scikit-learn itself is not imported: whoever holds a fitted model has done so, and its numbers are read as data.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arithmetic.float64 import Array, exact_float64
from .algebra.affine import Builder
from .budget import Budget
from .layers import Graph
from .onnx.walk import Walk, last_values
from .told import Told

_HIDDEN = {"identity": "", "relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}
_ENDS = {"identity": "", "logistic": "Sigmoid", "softmax": "Softmax"}
_NETWORKS = ("MLPRegressor", "MLPClassifier")
_KNOWN = ("StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, FunctionTransformer without functions, "
          "'passthrough'")  # fmt: skip
_HINTS = {
    "GridSearchCV": "give its best_estimator_",
    "RandomizedSearchCV": "give its best_estimator_",
    "HalvingGridSearchCV": "give its best_estimator_",
    "HalvingRandomSearchCV": "give its best_estimator_",
    "MultiOutputRegressor": "give one of its estimators_, or fit one MLPRegressor of several outputs",
    "MultiOutputClassifier": "give one of its estimators_, or fit one MLPClassifier of several outputs",
    "BernoulliRBM": "its values are probabilities; MLPRegressor and MLPClassifier are read",
}


def read(model: Any, told: Told, budget: Budget) -> Graph:
    """The layers of a fitted MLP, a Pipeline that ends in one or a TransformedTargetRegressor of these.

    Args:
        model: the estimator; its numbers are taken as exact reals.
        told: the options; `logits` is the one that has a meaning here.
        budget: the memory that is free.

    Raises:
        ValueError: another estimator, one that is not fitted, or numbers that are none; it names the class.
    """
    told.refuse_said("a fitted model")
    width = _width(model)
    walk = Walk(Builder((1, width)), 1)
    value = _Reader(walk, budget).read(model, walk.builder.source)
    layers, made = zip(*walk.builder.described(last_values([("prediction", value)], told)), strict=True)
    return Graph([*layers], (), made)


def _width(model: Any) -> int:
    """The number of features, of the first part that knows it."""
    for part in _parts(model):
        found = getattr(part, "n_features_in_", None)
        if isinstance(found, int | np.integer) and found >= 1:
            return int(found)
    raise ValueError(f"the {type(model).__name__} is not fitted, so that it has no weights; call .fit() first")


def _parts(model: Any) -> list[Any]:
    name = type(model).__name__
    if name == "Pipeline":
        return [part for _, step in model.steps for part in _parts(step)]
    if name == "TransformedTargetRegressor":
        return _parts(getattr(model, "regressor_", None))
    return [model]


class _Reader:
    """Puts estimators one after another."""

    def __init__(self, walk: Walk, budget: Budget):
        self.walk, self.budget = walk, budget

    def read(self, model: Any, value: Any) -> Any:
        """What a model predicts of `value`."""
        name = _class_of(model)
        if name in _NETWORKS:
            return self.network(model, name, value)
        if name == "Pipeline":
            *steps, (_, last) = model.steps
            for _, step in steps:
                value = self.transformed(step, value)
            return self.read(last, value)
        if name == "TransformedTargetRegressor":
            inner = getattr(model, "regressor_", None)
            if inner is None:
                raise ValueError(f"the {name} is not fitted, so that it has no weights; call .fit() first")
            return self.restored(model.transformer_, self.read(inner, value))
        hint = _HINTS.get(name, f"{', '.join(_NETWORKS)}, a Pipeline of scalers and one of them, and "
                                "TransformedTargetRegressor are read")  # fmt: skip
        raise ValueError(f"a {name} of scikit-learn is not read; {hint}")

    def network(self, model: Any, name: str, value: Any) -> Any:
        """The forward pass of an MLP."""
        coefs, shifts = (getattr(model, attribute, None) for attribute in ("coefs_", "intercepts_"))
        if not coefs or shifts is None or len(coefs) != len(shifts):
            raise ValueError(f"the {name} is not fitted, so that it has no weights; call .fit() first")
        if model.activation not in _HIDDEN:
            raise ValueError(f"the {name}'s activation {model.activation!r} is not read; {', '.join(_HIDDEN)} are")
        if model.out_activation_ not in _ENDS:
            raise ValueError(f"the {name} ends in {model.out_activation_!r}, which is not read; fit it with another "
                             "loss")  # fmt: skip
        for i, (weight, shift) in enumerate(zip(coefs, shifts, strict=True)):
            A, b = self.array(weight, f"coefs_[{i}]", 2), self.array(shift, f"intercepts_[{i}]", 1)
            last = i == len(coefs) - 1
            value = self.walk.do(f"coefs_[{i}]", "MatMul", value, A)
            value = self.walk.do(f"intercepts_[{i}]", "Add", value, b)
            operator = _ENDS[model.out_activation_] if last else _HIDDEN[model.activation]
            if operator:
                said = model.out_activation_ if last else model.activation
                value = self.walk.do(f"the {name}'s {'' if last else 'hidden '}activation {said!r}", operator, value)
        return value

    def transformed(self, step: Any, value: Any) -> Any:
        """A step before the network, forwards."""
        scaler = self.scaler(step)
        if scaler is None:
            return value
        name, first, second, (low, high) = scaler
        for operator, constant in (first, second):
            if constant is not None:
                value = self.walk.do(name, operator, value, self.fitted(constant, value, name))
        if low is not None:
            value = self.walk.do(name, "Clip", value, np.asarray(low), np.asarray(high))
        return value

    def restored(self, step: Any, value: Any) -> Any:
        """The inverse of a scaler: scikit-learn's clip there is none."""
        scaler = self.scaler(step)
        if scaler is None:
            return value
        name, first, second, _ = scaler
        inverse = {"Add": "Sub", "Sub": "Add", "Mul": "Div", "Div": "Mul"}
        for operator, constant in (second, first):
            if constant is not None:
                value = self.walk.do(name, inverse[operator], value, self.fitted(constant, value, name))
        return value

    def scaler(self, step: Any) -> tuple[str, tuple[str, Any], tuple[str, Any], tuple[Any, Any]] | None:
        """(name, two operators with their constants or None, ends to clip to or None); None: nothing is done."""
        if step is None or (isinstance(step, str) and step == "passthrough"):
            return None
        name = _class_of(step)
        clips: tuple[Any, Any] = (None, None)
        try:
            if name == "StandardScaler":
                return name, ("Sub", step.mean_ if step.with_mean else None), (
                    "Div", step.scale_ if step.with_std else None), clips  # fmt: skip
            if name == "RobustScaler":
                return name, ("Sub", step.center_ if step.with_centering else None), (
                    "Div", step.scale_ if step.with_scaling else None), clips  # fmt: skip
            if name == "MinMaxScaler":
                if step.clip:
                    clips = (float(step.feature_range[0]), float(step.feature_range[1]))
                return name, ("Mul", step.scale_), ("Add", step.min_), clips
            if name == "MaxAbsScaler":
                return name, ("Div", step.scale_), ("Add", None), (-1.0, 1.0) if getattr(step, "clip", False) else clips
        except AttributeError as error:
            raise ValueError(f"the {name} is not fitted ({error}); call .fit() first") from None
        if name == "FunctionTransformer":
            functions = [f for f in (step.func, step.inverse_func) if f is not None]
            if not functions:
                return None
            called = getattr(functions[0], "__name__", type(functions[0]).__name__)
            raise ValueError(f"a FunctionTransformer with the function {called!r} is not read; apply it to the data, "
                             "and give the rest of the Pipeline")  # fmt: skip
        if name == "Pipeline":
            raise ValueError("a Pipeline within a Pipeline is not read; put its steps into the outer one")
        raise ValueError(f"a {name} before or after the network is not read, only {_KNOWN}; apply it to the data, and "
                         "give the rest")  # fmt: skip

    def fitted(self, constant: Any, value: Any, name: str) -> Array:
        """A scaler's constant, one a feature."""
        array = self.array(constant, f"the {name}'s numbers", 1)
        shape = getattr(value, "before", value).shape
        if shape[-1] != len(array):
            raise ValueError(f"the {name} has {len(array)} features, but {shape[-1]} are there")
        return array

    def array(self, value: Any, what: str, ndim: int) -> Array:
        """Finite numbers as float64."""
        self.budget.numbers(np.shape(value), what)
        return exact_float64(value, what, ndim)


def _class_of(model: Any) -> str:
    """The name of a class of scikit-learn's own: one that derives from it may predict otherwise."""
    kind = type(model)
    if not str(kind.__module__).startswith("sklearn."):
        what = f"{kind.__module__}.{kind.__qualname__}"
        raise ValueError(f"{what} is no class of scikit-learn's own and may compute anything; give the estimator of "
                         "scikit-learn that it holds")  # fmt: skip
    return str(kind.__name__)
