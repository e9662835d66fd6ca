"""The shape of a module's input: the caller's example says it, or a Linear that the module begins with."""

from __future__ import annotations

from collections.abc import Iterable

Shape = tuple[int, ...]
# What is wrong with a quantised network, and what can be done; its classes' modules begin with these.
QUANTISED = ("is quantised: it rounds what the network computes, which is not read; give the float model that it was "
             "made of")  # fmt: skip
QUANTISED_MODULES = ("torch.ao.nn.quantized.", "torch.ao.nn.intrinsic.quantized.", "torch.nn.quantized.")


def checked(shape: Shape) -> Shape:
    """The shape of one input.

    Raises:
        ValueError: there are several, or no entries.
    """
    if not shape or (len(shape) > 1 and shape[0] != 1) or 0 in shape:
        raise ValueError(f"example must be one input, a batch of 1, but its shape is {shape}; "
                         "give example[:1], or example[None] of an input without a batch")  # fmt: skip
    return shape


def evident(parts: Iterable[tuple[str, Shape | None]], how: str = "give example=, an input (1, ...)") -> Shape:
    """The shape of the input of a module without an example.

    Args:
        parts: of the layers that hold parameters, in their order: the class's name and the weight's shape.
        how: what the caller can do where it is not evident.

    Raises:
        ValueError: the first of them is no Linear.
    """
    name, weight = next(iter(parts), ("", None))
    if name != "Linear" or weight is None or len(weight) != 2:
        why = f"it begins with {name}" if name else "it has no layer"
        raise ValueError(f"the shape of the module's input is not evident ({why}); {how}")
    return (1, weight[1])
