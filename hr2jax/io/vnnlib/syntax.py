"""The text of a VNN-LIB file as nested lists of words."""

from __future__ import annotations

import re
from typing import Any

DEEPEST = 50  # lists within lists
# A parenthesis, an index such as [0,1], a quoted name, any other word; and what is none of these.
_WORD = re.compile(r'[()]|\[[\s0-9,]*\]|"[^"\n]*"|[^\s()\[\]"]+|\S')


def nested(text: str) -> list[Any]:
    """Nested lists of the parentheses; an index is part of the word before it, but for a declaration's shape.

    Raises:
        ValueError: parentheses that do not match or are nested too deeply, a bracket or a quotation mark alone.
    """
    stack: list[list[Any]] = [[]]
    for word in _WORD.findall(re.sub(";[^\n]*", "", text)):
        inner = stack[-1]
        if word == "(":
            stack.append([])
            if len(stack) > DEEPEST:
                raise ValueError("the parentheses are nested too deeply")
        elif word == ")":
            if len(stack) == 1:
                raise ValueError("a parenthesis is closed that was not opened")
            stack.pop()
            stack[-1].append(inner)
        elif word[0] == "[" and len(word) > 1:
            index = "".join(word.split())
            if inner and str(inner[0]).startswith("declare-"):
                inner.append(index)
            elif len(inner) > 1 and isinstance(inner[-1], str) and inner[-1][-1] != "]":
                inner[-1] += index
            else:
                raise ValueError(f"the index {shown(index)} follows no variable")
        elif word in ("[", "]", '"'):
            raise ValueError(f"a {word} is alone: an index is such as [0] or [0,1], and a name is quoted on one line")
        else:
            inner.append(word)
    if len(stack) > 1:
        raise ValueError("the file is incomplete: a parenthesis is not closed")
    return stack[0]


def shown(value: Any) -> str:
    """A word or a list as the file has it, cut to 60 characters."""
    text = ""
    for piece in _pieces(value):
        text += piece
        if len(text) > 60:
            return text[:57] + "..."
    return text


def _pieces(value: Any) -> Any:
    if isinstance(value, str):
        yield value
        return
    yield "("
    for i, part in enumerate(value):
        yield " " if i else ""
        yield from _pieces(part)
    yield ")"
