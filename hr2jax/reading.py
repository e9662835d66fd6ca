"""From files to networks: the one place where a reader's layers become a Network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import ArrayLike

from . import io
from .io import live
from .machine.files import path_of
from .network import Network

Model: TypeAlias = Any  # a Network or what holds one: see `as_network`


def load(
    path: str | os.PathLike[str],
    activation: str | Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    logits: bool = False,
    example: ArrayLike | None = None,
) -> Network:
    """The network in the file `path`; the suffix, in any case, says the format. Nothing in a file is executed.

    A file is read as the function that it is, or refused; whatever of it is not used is named in the refusal.

    .npz, .mat (MATLAB's save -v6 or -v7), .safetensors: keys A_1, b_1, ..., A_L, b_L, C, d, ReLU by definition.
        A 1-D `c` is read as a single-row C, a missing d means zeros; x00, center, inputs and labels are data.
        A .npz that `Network.save` wrote of another network says its layers' inputs and activations.
    .pt, .pth, .ckpt, .safetensors, .npz: a state dict with PyTorch's names (0.weight, 0.bias, 2.weight, ...),
        which does not say the activation. In .pt, .pth and .ckpt also a whole pickled `torch.nn.Sequential` of its own
        layers in evaluation mode, or TorchScript (torch.jit.save), whose code is followed; neither needs PyTorch. Where
        the input's shape is not evident (a Conv comes first), `example` says it.
    .mat: LipSDP's cells `weights` and, optionally, `biases` (zeros without), which do not say it either; NNV's
        W, b, act_fcns, which do.
    .zip: a model of stable-baselines3 (model.save), whose policy's state dict is read as in .pt, by `layers`.
    .nnet: ReLU by definition; inputs clipped to [minima, maxima], (x - mean) / range, outputs times range plus mean.
    .onnx: any graph of affine operations (Gemm, Conv, BatchNormalization, pools, Concat, ...) and piecewise linear
        ones (Relu, LeakyRelu, PRelu, Abs, Clip, Max, Min, MaxPool, ...), weights beside it too; affine operations
        that follow one another are folded only where that is exact, and numbers that float64 does not hold are
        enclosed. A batch is taken as 1. Needs the extra `onnx`.
    .keras, .h5, .hdf5: a whole Sequential or Functional model as Keras saves it, with layers as in `as_network`; files
        that hold code are refused before Keras is given them. Needs the extra `keras`.
    Any of them compressed by gzip, with .gz behind its suffix.

    Args:
        path: the file.
        activation: what is done between the layers, where the file does not say it: "relu", "leaky_relu" (slope
            0.01), "abs", "tanh", "gelu", ... (with torch's defaults; another value of the first parameter stands behind
            a colon: "leaky_relu:0.1", "elu:0.5", "gelu:tanh"), or a list with one name for each hidden layer
            ("identity" makes one layer of two, where that is exact).
        layers: the layers' names in the order of application, where the file's names do not say it; of a state
            dict's other layers and networks nothing is used then, with a warning; a normalisation is refused.
        logits: read what comes before a final Softmax, LogSoftmax or Sigmoid.
        example: an input (1, ...) of a module in a .pt file or of a graph of ONNX whose input has unknown sizes, of
            which only the shape is used. Where the file says the shape itself, the two must agree.

    Raises:
        ValueError: an unknown suffix, something that is not a whole network file, a network that cannot be read as
            what it is, options that contradict the file, or arrays that are not a network or do not fit into the
            memory that is free; one sentence that names the path and the key or layer.
        ImportError: .onnx without the package onnx, .keras or .h5 without Keras.
        OSError: the file is missing or may not be read.
    """
    return loaded(path, activation, layers, logits, example).network


def as_network(
    model: Any,
    example: ArrayLike | None = None,
    activation: str | Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    logits: bool = False,
) -> Network:
    """The network that `model` holds, read as the function that it is.

    Args:
        model: a `Network` (which is given back), the path of a network file (see `load`), a pair (weights, biases) of a
            ReLU chain, or a live model of a framework, whose parameters and the numbers in whose code are taken as
            exact reals: a `torch.nn.Module` in evaluation mode, traced by torch.export (extra `torch`); a
            policy or a model of stable-baselines3, its action without noise (docs/formats.md); a Sequential or
            Functional model of Keras 3, read in inference, its values flattened as Keras does (extra `keras`); an
            estimator of scikit-learn, an MLPRegressor or MLPClassifier, a Pipeline of scalers and one, a
            TransformedTargetRegressor of these (extra `sklearn`); a pair (module, variables) of flax.linen or a module
            of flax.nnx in evaluation (extra `flax`); or any jittable function of one array of JAX, such as a module of
            Equinox, by its jaxpr.
        example: an input of a module, live or in a .pt file, or of a graph of ONNX of unknown sizes, an array or tensor
            (1, ...), of which only the shape is used; not needed where the module begins with a Linear, or where Keras
            knows the shape. Of what JAX traces,
            with a batch of 1 or without a batch, as the function takes it; its dtype, too, is used.
        activation, layers, logits: see `load`; of a live model, logits alone.

    Raises:
        ValueError: another type, options that the model has no use for, or a network that cannot be read; one sentence
            that names the operator.
    """
    reader = live.reader_of(model)
    if reader is None and callable(model) and not isinstance(model, Network | type):
        reader = live.function
    if reader is not None:
        try:
            return Network.from_layers(reader(model, example, io.Told.of(activation, layers, logits)).layers)
        except MemoryError as error:
            raise ValueError(f"the model's layers take more memory than there is ({error})") from None
    if isinstance(model, str | os.PathLike):
        return loaded(model, activation, layers, logits, example).network
    if example is not None:
        raise ValueError(f"example is an input of a module of a framework, but {_named(model)} was given")
    if (activation, layers) != (None, None) or logits:
        raise ValueError(f"activation, layers and logits are of files, but {_named(model)} was given")
    if isinstance(model, Network):
        return model
    if isinstance(model, tuple | list) and len(model) == 2:
        return Network(*model)
    raise ValueError(
        f"a model is a Network, the path of a network file, a pair (weights, biases), a torch.nn.Module, a model of "
        f"Keras, Flax or scikit-learn or a function of JAX, but {_named(model)} was given"
    )


def _named(model: Any) -> str:
    return f"a {type(model).__module__}.{type(model).__qualname__}".replace("builtins.", "")


class Loaded(NamedTuple):
    """What a file holds: the network, the names of data beside it, and what each layer was made of ("" or no entry)."""

    network: Network
    data: tuple[str, ...]
    made: tuple[str, ...]


def loaded(
    path: str | os.PathLike[str],
    activation: str | Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    logits: bool = False,
    example: ArrayLike | None = None,
) -> Loaded:
    """`load`, with the names of the arrays beside the network that are data (x00, center, inputs, labels).

    An example is an input of a network whose file does not say the input's shape; else it is checked.
    """
    path, told = path_of(path), io.Told.of(activation, layers, logits, example)
    found = io.read(path, told)
    try:
        if isinstance(found, io.Graph):
            out = Loaded(Network.from_layers(found.layers), found.data, found.made)
        else:
            out = Loaded(Network(found.weights, found.biases), found.data, ())
        told.check_example(out.network.widths[0])
        return out
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    except MemoryError as error:
        raise ValueError(f"{path}: its layers take more memory than there is ({error})") from None
