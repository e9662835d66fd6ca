"""The command line's arguments, read and refused."""

from __future__ import annotations

import argparse
from typing import NoReturn

from . import certify as robustness

# --- usage ------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Raises where argparse would exit, so that every refusal is one line."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise ValueError(f"{message} (try {self.prog} --help)")


def _output(text: str) -> int | tuple[int, int]:
    numbers = [int(part) for part in text.split(",")]
    if len(numbers) > 2:
        raise ValueError
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


_output.__name__ = "K or K,J"  # argparse names it in its message


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the network's file."""
    parser.add_argument("network", metavar="NET", help=robustness.NETWORK_HELP)


def add_claim(parser: argparse.ArgumentParser) -> None:
    """Add what is asked (or claimed): output, norm, center, radius."""
    only = "; the certificate must be about just this" if parser.prog.endswith("verify") else ""
    parser.add_argument("--output", type=_output, metavar="K|K,J",
                        help=f"F_K, or the difference F_K - F_J; counted from 0{only}")  # fmt: skip
    parser.add_argument("--norm", default=None if only else "inf", metavar="inf|2", help=f"norm on the input{only}")
    parser.add_argument("--center", metavar="FILE", help=f".npy, .npz, .csv or .txt: p_0 numbers, with --radius{only}")
    parser.add_argument("--radius", metavar="R", help="half-width of the box around the center (norm 2: radius of the "
                        f"ball), in the units of the input; a number, or a file of p_0 numbers{only}")  # fmt: skip
