"""The command line's arguments, read and refused."""

from __future__ import annotations

import argparse
import difflib
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from ..network import Network
    from ..reading import Loaded

# --- usage ------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Raises where argparse would exit, so that every refusal is one line."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise ValueError(f"{message} (try {self.prog} --help)")


def nearest(parser: argparse.ArgumentParser, word: str) -> str:
    """"; did you mean --output?" for a word that is nearly an option of a command; else nothing."""
    commands = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    options = [option for group in commands for one in group.values() for option in one._option_string_actions]
    found = difflib.get_close_matches(word.partition("=")[0], options, n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _output(text: str) -> int | tuple[int, int]:
    """K or K,J."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or numbers[1:] == numbers[:1]:  # F_k - F_k is nobody's question
        raise argparse.ArgumentTypeError(
            f"must be K, or K,J of two different outputs, numbered from 0, but {text[:60]!r} was given"
        )
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _activation(text: str) -> str | list[str]:
    names = _names(text)
    return names if len(names) > 1 else names[0]


def effort(text: str) -> str | float:
    """Of the search for a witness: "auto" or a number."""
    return text if text == "auto" else float(text)


effort.__name__ = "auto or a number"


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the network's file, and what it may not say itself."""
    add = parser.add_argument
    add("network", metavar="NET",
        help="network file: .npz (keys A_1, b_1, ..., C, d), .mat, .nnet, .onnx, .keras, .h5, a module or "
             "TorchScript in .pt, or a state dict in .safetensors, .pt, .pth, .ckpt, .npz, .zip; also .gz")  # fmt: skip
    add("--activation", type=_activation, metavar="NAME",
        help="relu: what is done between the layers of a file that does not say it (a state dict, LipSDP's .mat), or "
             "one name for each hidden layer, with commas; leaky_relu:0.1 has a slope of its own")  # fmt: skip
    add("--layers", type=_names, metavar="A,B,...",
        help="the names of a state dict's layers in the order of application, where they do not say it; others are not "
             "used, and a normalisation among them is refused")  # fmt: skip
    add("--logits", action="store_true", help="read what comes before a final Softmax, LogSoftmax or Sigmoid")
    add("--example", metavar="1,3,32,32|FILE.npy",
        help="the shape of one input, a batch of 1, or an array of it: of a module or TorchScript in .pt that does not "
             "say it, as where a convolution comes first, and of .onnx with unknown sizes")  # fmt: skip


def network(arguments: argparse.Namespace) -> Network:
    """The network that `add_network`'s arguments ask for; see `hr2jax.load`."""
    return described_network(arguments).network


def described_network(arguments: argparse.Namespace) -> Loaded:
    """`network`, with what else its file says."""
    from ..reading import loaded
    from .numbers import example

    shaped = None if arguments.example is None else example(arguments.example)
    return loaded(arguments.network, arguments.activation, arguments.layers, arguments.logits, shaped)


def add_claim(parser: argparse.ArgumentParser) -> None:
    """Add what is asked (or claimed): output, norm, center, radius."""
    only = "; the certificate must be about just this" if parser.prog.endswith("verify") else ""
    parser.add_argument("--output", type=_output, metavar="K|K,J",
                        help=f"F_K, or the difference F_K - F_J; from 0 (default: all outputs){only}")  # fmt: skip
    parser.add_argument("--norm", default=None if only else "inf", metavar="inf|2|1", help=f"norm on the input{only}")
    parser.add_argument("--output-norm", metavar="inf|2|1",
                        help=f"norm on several outputs (default: that of --norm){only}")  # fmt: skip
    parser.add_argument("--center", metavar="X,Y,...|FILE", help="p_0 numbers with commas between them, or "
                        f"in a file (.npy, .npz, .csv, .txt), with --radius{only}")  # fmt: skip
    parser.add_argument("--radius", metavar="R", help="half-width of the box around the center (norms 2 and 1: "
                        "radius of the ball), in the units of the input; a number, or a file of p_0 "
                        f"numbers{only}")  # fmt: skip


def add_workers(parser: argparse.ArgumentParser, tasks: str) -> None:
    """Add who works."""
    add = parser.add_argument
    add("--workers", type=int, metavar="N", help=f"processes that share {tasks} (needs Dask)")
    add("--scheduler", metavar="tcp://HOST:PORT", help="a Dask scheduler whose workers do (docs/scale.md)")


def client_of(arguments: argparse.Namespace) -> Any:
    """A client of the scheduler that `add_workers`' arguments name; None: none is named."""
    if arguments.scheduler is None:
        return None
    from ..machine.cluster import connected

    if arguments.workers is not None:
        raise ValueError("--workers and --scheduler cannot both be given: a scheduler has its own workers")
    return connected(arguments.scheduler)
