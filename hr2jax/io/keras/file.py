"""Whole models as Keras saves them: .keras and .h5. What they say is looked through before Keras is given them.

Keras builds a model from the names of classes in the file; only those that are read here, and the initializers and the
like that come with them, get so far: no Lambda, no function, no class of somebody else's.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from ...text import install
from .. import archive as zips
from ..budget import Budget
from ..layers import Graph, reason
from ..told import Told
from . import stored
from .layer import RULES
from .operations import OPERATIONS
from .read import read as read_model

_MODELS = ("Sequential", "Functional", "Model", "InputLayer")
_VALUES = ("__keras_tensor__", "__tuple__", "__numpy__", "__tensor__", "DTypePolicy")
_BESIDE = ("keras.initializers", "keras.regularizers", "keras.constraints")
_LAYERS = ("keras.layers", "keras.models", "keras.src.models.functional", "keras.src.models.sequential", "keras")
_MEMBERS = _CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_INNER = ("keras.src.layers.", "keras.src.models.")
_MOST, _OBJECTS = 2**24, 20_000  # bytes of a configuration, and the objects in it
_NODE = 60  # bytes of memory that a byte of a configuration can take


def read(file: IO[bytes], told: Told, budget: Budget) -> Graph:
    """The layers of the model in a file that model.save wrote.

    Raises:
        ValueError: a file of weights alone, a model that holds code, or one that cannot be read.
        ImportError: Keras is not there.
    """
    suffix = Path(str(file.name)).suffix.lower()
    held = budget.contents(file)
    keras = _keras()
    with tempfile.TemporaryDirectory() as folder:
        if suffix == ".keras":
            members = _archived(held, budget)
            text: Any = members[_CONFIG]
            there, _, copy = stored.copied(members[_WEIGHTS], Path(folder), budget)
        else:
            there, text, copy = stored.copied(held, Path(folder), budget)
        if text is None:
            raise ValueError("it holds weights without the model that they are of; save the whole model (model.save)")
        config = _parsed(text, budget)
        for count, part in enumerate(_objects(config, 0)):
            _check(part, keras)
            if count > _OBJECTS:
                raise ValueError("its configuration names more objects than any model's")
        stored.check_model(_model(config), suffix != ".keras", there, keras)
        path = copy
        if suffix == ".keras":
            path = Path(folder) / "model.keras"
            with zipfile.ZipFile(path, "w") as archive:
                for name in (_CONFIG, _METADATA):
                    archive.writestr(name, members[name])
                archive.write(copy, _WEIGHTS)
        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:
            raise ValueError(f"Keras {keras.__version__} cannot load it ({reason(error)[:300]})") from None
    return read_model(model, None, told, budget)


def _keras() -> Any:
    """Keras, on JAX where nothing says another backend."""
    if sys.modules.get("keras") is not None:
        return sys.modules["keras"]
    settings = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "keras.json"
    chosen = "KERAS_BACKEND" in os.environ or settings.exists()
    if not chosen:
        os.environ["KERAS_BACKEND"] = "jax"
    try:
        import keras
    except ImportError as error:
        if find_spec("keras") is not None:
            raise ImportError(
                f"Keras is there, but not the backend that it is set to ({reason(error)}); KERAS_BACKEND=jax in the "
                "environment takes JAX, which comes with hr2jax"
            ) from None
        raise ImportError(f".keras and .h5 files need Keras: {install('keras')} ({reason(error)})") from None
    finally:
        if not chosen:
            del os.environ["KERAS_BACKEND"]
    return keras


def _archived(held: bytes, budget: Budget) -> dict[str, bytes]:
    """The members of a .keras that say what the model is."""
    try:
        archive = zips.opened(io.BytesIO(held), budget)
    except ValueError as error:
        raise ValueError(f"is no whole file of Keras ({reason(error)})") from None
    with archive:
        names = archive.namelist()
        if len(set(names)) < len(names):
            raise ValueError("the archive holds a name more than once")
        for name in _MEMBERS:
            if name not in names:
                raise ValueError(f"it holds no {name}; save the whole model (model.save)")
        if archive.getinfo(_CONFIG).file_size > _MOST:
            raise ValueError("its config.json is larger than any model's")
        for member in archive.infolist():
            budget.take(3 * member.file_size, f"{member.filename[:60]!r} in the file")
        try:
            return {name: archive.read(name) for name in _MEMBERS}
        except Exception as error:  # damaged bytes make zipfile raise nearly anything
            raise ValueError(f"is no whole file of Keras ({reason(error)})") from None


def _parsed(text: Any, budget: Budget) -> Any:
    if not isinstance(text, str | bytes) or len(text) > _MOST:
        raise ValueError("its configuration is no text, or is larger than any model's")
    budget.take(_NODE * len(text), "its configuration")
    try:
        return json.loads(text)
    except Exception as error:  # also of brackets within one another
        raise ValueError(f"is no whole file of Keras ({reason(error)})") from None


def _model(config: Any) -> Any:
    """The configuration but for how the model was trained."""
    if not isinstance(config, dict):
        raise ValueError("its configuration is none of a model")
    return {key: value for key, value in config.items() if key != "compile_config"}


def _objects(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    """The objects that a configuration names, but for how the model was trained."""
    if depth > 200:
        raise ValueError("its configuration is deeper than any model's")
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        for key, inner in value.items():
            if key != "compile_config":
                yield from _objects(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner, depth + 1)


def _check(part: dict[str, Any], keras: Any) -> None:
    """That an object of a configuration is one of Keras's that is read, or comes with one.

    Raises:
        ValueError: it is anything else.
    """
    name, module = str(part["class_name"]), part.get("module")
    registered = part.get("registered_name")
    places = [getattr(keras, place.split(".")[1]) for place in _BESIDE]
    beside = any(isinstance(getattr(place, name, None), type) for place in places)
    built = name in RULES or name in _MODELS
    own = (
        (built and (module is None or module in _LAYERS or module.startswith(_INNER)))
        or (name in _VALUES and (module is None or module in ("keras", "builtins", "keras.dtype_policies")))
        or (beside and (module is None or module in _BESIDE))
        or (name in OPERATIONS and isinstance(module, str) and module.startswith("keras.src.ops."))
    )
    if not own or registered not in (None, name):
        inner = part.get("config")
        called = inner.get("name") if isinstance(inner, dict) else None
        where = f" (layer {str(called)[:60]!r})" if called else ""
        what = name if module in (None, "builtins") else f"{module}.{name}"
        raise ValueError(f"it holds a {what[:80]}{where}, which is none of the layers that are read and may hold code; "
                         "load the model yourself and give a function of JAX, or build it of keras.layers")  # fmt: skip
