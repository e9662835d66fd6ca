"""The numbers of a file of Keras, before Keras is given it: what HDF5 declares against what is there.

HDF5's library trusts what it reads: damaged bytes can make it run for ever. So the file is read once in a process that
can be killed, and Keras is given a copy that this process writes.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from ...machine.child import ChildError, in_child
from ..budget import NUMBER, Budget
from ..layers import reason

_INFLATED = 1032  # deflate never makes more bytes of one
_MOST = 20_000  # groups and arrays
_BESIDE = 10_000  # numbers of a model that its file may leave out, such as those of Dropout's noise
_SECONDS, _RATE = 10.0, 1e7  # for any file, and bytes a second beside
_ROOM = 2**29  # bytes that reading takes beside what a file holds


def copied(held: bytes, folder: Path, budget: Budget) -> tuple[int, Any, Path]:
    """How many numbers an HDF5 file holds, the text of its model's configuration (None without one), and its copy.

    Raises:
        ValueError: it is damaged, links to elsewhere, or declares more than is there or free.
    """
    source, copy = folder / "given.h5", folder / "copy.h5"
    source.write_bytes(held)
    try:
        seconds = _SECONDS + len(held) / _RATE
        there, text = in_child(__name__, "copy_checked", str(source), str(copy), budget.left, seconds=seconds)
    except ValueError:
        raise
    except (TimeoutError, ChildError):
        raise ValueError("is no whole file of Keras (HDF5 cannot read it)") from None
    except Exception as error:  # damaged bytes make h5py raise nearly anything
        raise ValueError(f"is no whole file of Keras ({reason(error)})") from None
    source.unlink()
    budget.take(float(NUMBER) * there, "the numbers in the file")
    return there, text, copy


def copy_checked(source: str, copy: str, free: float) -> tuple[int, Any]:
    """Write the HDF5 file `source` anew, once it is checked, in `free` bytes of memory; what `copied` says of it.

    Raises:
        ValueError: it is damaged, links to elsewhere, or declares more than is there or free.
    """
    import h5py

    try:
        with h5py.File(source, "r") as file, h5py.File(copy, "w", libver="latest") as out:
            total = _count(file, Budget(free))
            _limit_memory(_ROOM + 4 * (os.path.getsize(source) + 8 * total))
            _copy(file, out)
            return total, out.attrs.get("model_config")
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"is no whole file of Keras ({reason(error)})") from None


def _limit_memory(more: int) -> None:
    """What texts that stand for one another may take, of this process."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (size + more, hard))


def _copy(group: Any, out: Any) -> None:
    import h5py

    groups = [(group, out)]
    while groups:
        given, made = groups.pop()
        made.attrs.update({name: value for name, value in given.attrs.items() if not isinstance(value, h5py.Empty)})
        for name in given:
            part = given[name]
            if isinstance(part, h5py.Group):
                groups.append((part, made.create_group(name)))
            elif isinstance(part, h5py.Dataset):
                copy = made.create_dataset(name, data=part[()])
                copy.attrs.update(dict(part.attrs.items()))


def _count(file: Any, budget: Budget) -> int:
    import h5py

    total, seen, groups, size = 0, 0, [(file, 0)], file.id.get_filesize()
    while groups:
        group, depth = groups.pop()
        for name in group:
            seen += 1
            if seen > _MOST or depth > 100:
                raise ValueError("it holds more groups within one another than any model's")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"it holds {name[:60]!r}, a link to elsewhere, which is not followed")
            part = group[name]
            if isinstance(part, h5py.Group):
                groups.append((part, depth + 1))
            elif isinstance(part, h5py.Dataset):
                _check(part, name, size)
                budget.take(float(NUMBER) * max(part.size or 0, 1), f"{name[:60]!r} in the file")
                total += part.size or 0
    return total


def _check(part: Any, name: str, size: int) -> None:
    if part.is_virtual or part.external:
        raise ValueError(f"its {name[:60]!r} holds numbers of another file, which is not read")
    there = part.id.get_storage_size()
    filtered = part.compression is not None or part.scaleoffset is not None
    declared = (part.size or 0) * part.dtype.itemsize
    if there > size or declared > there * (_INFLATED if filtered else 1):
        raise ValueError(f"its {name[:60]!r} declares {declared} bytes, but {there} are there")


def check_model(config: Any, is_legacy: bool, there: int, keras: Any) -> None:
    """That the model of a configuration holds no more numbers than the file: it is built, but for its numbers.

    Args:
        config: of the model, whose objects are all known.
        is_legacy: whether it is that of an HDF5 file.
        there: the numbers in the file.
        keras: the module.

    Raises:
        ValueError: it would hold more, or Keras cannot build it.
    """
    try:
        with keras.StatelessScope(initialize_variables=False):
            model = _built(config, is_legacy, keras)
        needed = sum(_size(weight.shape) for weight in model.weights)
    except Exception as error:
        raise ValueError(f"Keras {keras.__version__} cannot build it ({reason(error)[:300]})") from None
    finally:
        _forget(keras)
    if needed > there + _BESIDE:
        raise ValueError(f"its layers hold {needed} numbers, but {there} are in the file")


def _built(config: Any, is_legacy: bool, keras: Any) -> Any:
    if not is_legacy:
        return keras.models.model_from_json(json.dumps(config))
    from keras.src.legacy.saving import saving_utils

    return saving_utils.model_from_config(config)


def _size(shape: Any) -> int:
    size = 1
    for n in shape:
        size *= int(n)
    return size


def _forget(keras: Any) -> None:
    """Keras keeps a list of variables without numbers, and would make room for them later."""
    from keras.src.backend.common import global_state

    waiting = global_state.get_global_attribute("uninitialized_variables")
    if waiting:
        waiting.clear()
