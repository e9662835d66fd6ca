"""How many messages an ONNX file is made of, counted in its bytes before protobuf makes objects of them."""

from __future__ import annotations

_MOST = 200_000  # messages; each takes some hundred bytes of memory, and two in the file
# Messages and those of their fields that are messages again (onnx.proto); what is not here holds numbers and text.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "leaf", 14: "leaf", 20: "leaf", 25: "function"},
    "function": {7: "node", 9: "leaf", 11: "attribute", 12: "value", 14: "leaf"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value", 14: "leaf", 15: "leaf", 16: "leaf"},
    "node": {5: "attribute", 9: "leaf"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 14: "type", 15: "type", 22: "leaf", 23: "leaf"},
    "tensor": {13: "leaf", 16: "leaf"},
    "value": {2: "type", 4: "leaf"},
    "type": {1: "typed", 4: "typed", 5: "typed", 8: "typed", 9: "typed"},
    "typed": {1: "type", 2: "shape"},
    "shape": {1: "leaf"},
}


def check_size(data: bytes) -> None:
    """Refuse a file of more messages than any network has.

    Raises:
        ValueError: it is.
    """
    count, todo = 0, [("model", 0, len(data))]
    while todo:
        kind, at, end = todo.pop()
        while at < end:
            key, at = _number(data, at, end)
            wire = key & 7
            if wire == 0:
                _, at = _number(data, at, end)
            elif wire == 2:
                size, at = _number(data, at, end)
                inner = _FIELDS.get(kind, {}).get(key >> 3)
                if inner is not None:
                    count += 1
                    if inner in _FIELDS and at + size <= end:
                        todo.append((inner, at, at + size))
                at += size
            else:
                at += {1: 8, 5: 4}.get(wire, end)  # groups are none of ONNX's: protobuf refuses them
            if count > _MOST:
                raise ValueError(f"the graph has more than {_MOST} nodes, tensors and the like")


def _number(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return value, at
