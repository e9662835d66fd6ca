"""Which reader a live model of a framework has, found by the names of its classes: no framework is loaded for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from .budget import Budget
from .layers import Graph
from .told import Told

Reader: TypeAlias = Callable[[Any, Any, Told], Graph]  # of the model, an example of its input or None, the options


def reader_of(model: Any) -> Reader | None:
    """What reads `model`; None where it is no framework's."""
    if _is(model, "Model", "keras.src.models.model"):
        return _keras  # before PyTorch: with that as its backend a model is a torch.nn.Module too
    if _is(model, "BaseAlgorithm", "stable_baselines3.common.base_class"):
        return _algorithm
    if _is(model, "BasePolicy", "stable_baselines3.common.policies"):
        return _policy
    if _is(model, "Module", "torch.nn.modules.module"):
        return _torch
    if _is(model, "BaseEstimator", "sklearn.base"):
        return _sklearn
    if _is(model, "Module", "flax.nnx.module"):
        return _nnx
    if isinstance(model, tuple | list) and len(model) == 2 and _is(model[0], "Module", "flax.linen.module"):
        return _linen
    return None


def function(model: Any, example: Any, told: Told) -> Graph:
    """The layers of a function of JAX, or of a module that is one, such as Equinox's."""
    from .jaxpr.read import read

    name = getattr(model, "__name__", type(model).__name__)
    if _is(model, "Module", "flax.linen.module") and model.scope is None:
        raise ValueError(
            f"the module {name} of flax.linen does not hold its variables; give (module, variables), "
            "module.bind(variables) or lambda x: module.apply(variables, x)"
        )
    return read(model, f"the function {name!r}", example, told, Budget())


def _is(model: Any, name: str, module: str) -> bool:
    """Whether its class derives from that one."""
    return any(t.__name__ == name and t.__module__ == module for t in type(model).__mro__)


def _torch(model: Any, example: Any, told: Told) -> Graph:
    from .torch.read import read

    return read(model, example, told, Budget())


def _policy(model: Any, example: Any, told: Told) -> Graph:
    from .torch.policies import of_policy

    return _torch(*of_policy(model, example), told)


def _algorithm(model: Any, example: Any, told: Told) -> Graph:
    from .torch.policies import of_algorithm

    return _torch(*of_algorithm(model, example), told)


def _keras(model: Any, example: Any, told: Told) -> Graph:
    from .keras.read import read

    return read(model, example, told, Budget())


def _nnx(model: Any, example: Any, told: Told) -> Graph:
    from .jaxpr.modules import of_nnx
    from .jaxpr.read import read

    return read(of_nnx(model), f"the module {type(model).__name__}", example, told, Budget())


def _linen(model: Any, example: Any, told: Told) -> Graph:
    from .jaxpr.modules import of_linen
    from .jaxpr.read import read

    module, variables = model
    return read(of_linen(module, variables), f"the module {type(module).__name__}", example, told, Budget())


def _sklearn(model: Any, example: Any, told: Told) -> Graph:
    from .sklearn import read

    if example is not None:
        raise ValueError("example was given, but a fitted estimator of scikit-learn knows its input; leave it out")
    return read(model, told, Budget())
