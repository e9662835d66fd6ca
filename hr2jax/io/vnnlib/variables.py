"""The declarations of a VNN-LIB file: which variables there are, and their places in (x, y)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from .syntax import shown

# Types of real numbers; a property is about the network over the reals whatever its file's floats are.
REAL = ("real", "Real", "float16", "float32", "float64", "bfloat16")
_NUMBERED = re.compile("([XY])_([0-9]{1,8})")
_INDEXED = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(?:\[([0-9,]*)\])?")
_NAME = re.compile("[A-Za-z][A-Za-z0-9_]*")
_VERSION = re.compile(r"<([0-9]{1,4})\.[0-9]{1,4}>")
MOST = 10**9  # entries of a tensor


@dataclass
class Variables:
    """What is declared: X_0, X_1, ..., Y_0, ... (version 1.0), or one network's tensors (2.0).

    Attributes:
        numbered: of version 1.0, the numbers declared by letter.
        tensors: of version 2.0, name -> ("X" of the input or "Y" of the output, its shape).
    """

    numbered: dict[str, set[int]] = field(default_factory=lambda: {"X": set(), "Y": set()})
    tensors: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    network: str = ""

    def declare(self, command: Any) -> bool:
        """Whether the command is a declaration, which is then kept.

        Raises:
            ValueError: a declaration of something else than real inputs and outputs of one network.
        """
        match command:
            case ["declare-const", str(name), "Real"] | ["declare-fun", str(name), [], "Real"]:
                found = _NUMBERED.fullmatch(name)
                if found is None:
                    raise ValueError(f"{shown(name)} is no variable X_i or Y_i")
                self.numbered[found[1]].add(int(found[2]))
            case ["vnnlib-version", str(version)]:
                found = _VERSION.fullmatch(version)
                if found is None or int(found[1]) not in (1, 2):
                    raise ValueError(f"the version of VNN-LIB is {shown(version)}; 1.0 and 2.0 are read")
            case ["declare-network", str(name), *parts]:
                if self.network:
                    raise ValueError(
                        f"{shown(self.network)} and {shown(name)} are two networks; properties of one are read"
                    )
                self.network = name
                for part in parts:
                    self._declare_tensor(part)
            case _:
                return False
        return True

    def _declare_tensor(self, part: Any) -> None:
        match part:
            case ["declare-input" | "declare-output" as what, str(name), str(kind), str(shape), *onnx] if len(
                onnx
            ) < 2 and all(isinstance(text, str) and text[0] == '"' for text in onnx):
                letter = "X" if what == "declare-input" else "Y"
                if kind not in REAL:
                    raise ValueError(
                        f"{shown(name)} is of type {shown(kind)}; {', '.join(REAL)} are read, as real numbers"
                    )
                if not _NAME.fullmatch(name) or name in self.tensors:
                    raise ValueError(f"{shown(name)} is no name, or declared twice")
                other = next((known for known, (of, _) in self.tensors.items() if of == letter), None)
                if other is not None:
                    what = "inputs" if letter == "X" else "outputs"
                    raise ValueError(
                        f"{other} and {shown(name)} are two {what}; properties of a network with one of each are read"
                    )
                self.tensors[name] = letter, _shape(name, shape)
            case ["declare-hidden", *_]:
                raise ValueError(f"{shown(part)} is a hidden layer; properties of inputs and outputs are read")
            case ["isomorphic-to" | "equal-to", *_]:
                raise ValueError(f"{shown(part)} is about two networks; properties of one are read")
            case _:
                raise ValueError(f"{shown(part)} is not expected")

    def check(self) -> tuple[int, int]:
        """How many inputs and outputs there are.

        Raises:
            ValueError: none, some that are left out, or both versions' declarations.
        """
        if self.network:
            if any(self.numbered.values()):
                raise ValueError("variables are declared beside a network; version 2.0 has them in it")
            counts = dict.fromkeys("XY", 0) | {letter: math.prod(shape) for letter, shape in self.tensors.values()}
            for letter, what in (("X", "input"), ("Y", "output")):
                if not counts[letter]:
                    raise ValueError(f"the network {shown(self.network)} has no {what} declared")
            return counts["X"], counts["Y"]
        for kind, numbers in self.numbered.items():
            if not numbers or max(numbers) + 1 != len(numbers):
                raise ValueError(f"the variables {kind}_0, {kind}_1, ... are not declared one after another")
        return len(self.numbered["X"]), len(self.numbered["Y"])

    def place(self, word: str) -> tuple[str, int] | None:
        """("X" or "Y", place in C order) of a variable; None: the word is none.

        Raises:
            ValueError: one that is not declared, or an index that its tensor does not have.
        """
        if not self.network:
            found = _NUMBERED.fullmatch(word)
            if found is None:
                if word[:1] in ("X", "Y"):
                    raise ValueError(f"{shown(word)} is no variable X_i or Y_i")
                return None
            if int(found[2]) not in self.numbered[found[1]]:
                raise ValueError(f"{word} is not declared")
            return found[1], int(found[2])
        found = _INDEXED.fullmatch(word)
        if found is None or (found[1] not in self.tensors and found[2] is None and found[1].lower() in NO_NUMBERS):
            return None
        if found[1] not in self.tensors:
            raise ValueError(f"{shown(word)} is not declared")
        letter, shape = self.tensors[found[1]]
        index = [int(part) for part in found[2].split(",")] if found[2] else []
        if len(index) != len(shape) or any(i >= n for i, n in zip(index, shape, strict=True)):
            raise ValueError(f"{shown(word)} is no entry of {found[1]}, whose shape is {list(shape)}")
        flat = 0
        for i, n in zip(index, shape, strict=True):
            flat = flat * n + i
        return letter, flat

    def name(self, letter: str, place: int) -> str:
        """What the file calls a variable."""
        for name, (of, shape) in self.tensors.items():
            if of == letter:
                index: list[int] = []
                for n in reversed(shape):
                    index.append(place % n)
                    place //= n
                return f"{name}[{','.join(map(str, reversed(index)))}]" if shape else name
        return f"{letter}_{place}"


NO_NUMBERS = ("nan", "inf", "infinity", "snan")  # words that Decimal would take, refused as numbers


def _shape(name: str, text: str) -> tuple[int, ...]:
    parts = text.strip("[]").split(",") if text != "[]" else []
    if text[0] != "[" or not all(part.isdigit() and len(part) < 12 for part in parts):
        raise ValueError(f"the shape of {shown(name)} is {shown(text)}; one such as [1,784] is expected")
    shape = tuple(map(int, parts))
    if not 0 < math.prod(shape) <= MOST:
        raise ValueError(f"the shape of {shown(name)} is {shown(text)}; 1 to {MOST} entries are expected")
    return shape
