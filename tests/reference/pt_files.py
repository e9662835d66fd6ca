"""Bytes of .pt files, made by hand."""

import base64
import io
import pickle
import zipfile
import zlib

import numpy as np

# data.pkl as PyTorch 2.13 wrote it: the state dict of Sequential(Linear(2, 3), ReLU(), Linear(3, 1)).
PICKLE = zlib.decompress(base64.b85decode(
    "c-mEwNpFKN5QQP6S?Ip+`<8T}3H=LIFFsVI7jB4v6(iBmhfR7y>Lro-uWRfs>c!TK=Y8{L{85XdEKO-7l5E87r#z-"
    "PjUSRo*f6>t%#PnO45R0~(`3j5YLUqDh&e$al9by)P6tJj#(|(Cp5?*VwPAHSep70=tPF<~buF<U(<~G(I%#9ZH!Ch0z9sMItw57"
    "B1X|C;AQq`j(Iz!wPGNtt%Ezq0oQHY8q09`DkYj<#POQ!}sgFh0B$mLEB22JM%n4SsdR1V}!@3&9{TXHBpWel$)^AmMlUP%1OC!?"
    "3j%Mr%?0MK%4qWZv;2+^0hmv3l94W#C$JKG7)u#ey9?pvr7k*n72d`9waVSDus&~0FnKjTYaiz95ra6~if@@;(?^WHDxMja_A5Mw"
    "8zt}~uL|?@PA2?qzDtn&"
))  # fmt: skip
ARRAYS = [np.arange(n, dtype="<f4") / 4 - i for i, n in enumerate((6, 3, 3, 1))]


def packed(data=PICKLE, arrays=ARRAYS, compression=zipfile.ZIP_STORED, root="small", **members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(f"{root}/data.pkl", data)
        archive.writestr(f"{root}/byteorder", members.get("byteorder", "little"))
        for i, array in enumerate(arrays):
            archive.writestr(f"{root}/data/{i}", array.tobytes())
    return file.getvalue()


# Checkpoints and files that say more than weights. Protocol 2, as torch.save writes it.


def tensor(key, *size, stride=None, offset=0, kind=b"FloatStorage"):
    """The operations of a tensor on the storage `key`."""
    strides = stride or tuple(int(np.prod(size[i + 1 :])) for i in range(len(size)))
    tuples = [pickle.dumps(t, 2)[2:-1] for t in (size, strides)]
    head = b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + b"ctorch\n" + kind + b"\n"
    return b"".join([head, text(str(key)), text("cpu"), b"K\x01tQ", pickle.dumps(offset, 2)[2:-1], *tuples,
                     b"\x89ccollections\nOrderedDict\n)RtR"])  # fmt: skip


def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def dictionary(entries):
    return b"}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u"


def module(name, parameters=None, modules=None, buffers=None, training=False, hooks=b"}", **attributes):
    """The operations of a pickled module of the class "file Class" of torch.nn.modules, or of a whole name."""
    whole = name if "." in name else f"torch.nn.modules.{name}"
    flag = {True: b"\x88", False: b"\x89", None: b"N"}
    state = {"training": flag[training], "_parameters": dictionary(parameters or {}),
             "_buffers": dictionary(buffers or {}), "_forward_hooks": hooks,
             "_modules": dictionary(modules or {})}  # fmt: skip
    place, own = whole.split(" ")
    return f"c{place}\n{own}\n)\x81".encode("latin1") + dictionary(state | attributes) + b"b"


def linear(key, out, given):
    """A Linear of the storages `key` and the one behind it."""
    return module("linear Linear", {"weight": tensor(key, out, given), "bias": tensor(key + 1, out)},
                  in_features=b"K" + bytes([given]), out_features=b"K" + bytes([out]))  # fmt: skip


def sequential(*modules, **attributes):
    return module("container Sequential", modules={str(i): m for i, m in enumerate(modules)}, **attributes)


SEQUENTIAL = sequential(linear(0, 3, 2), module("activation ReLU", inplace=b"\x89"), linear(2, 1, 3))
# TorchScript: a traced module with a function of its own and a constant.
CODE = """class Net(Module):
  __parameters__ = ["weight", ]
  __buffers__ = []
  weight : Tensor
  bias : Optional[Tensor]
  training : bool
  scale : Final[float] = 2.
  __annotations__["0"] = __torch__.Linear
  def forward(self: __torch__.Net,
    x: Tensor) -> Tensor:
    _0 = getattr(self, "0")
    y = torch.relu_((self).inner(torch.view(x, [torch.size(x, 0), -1]), ))
    return torch.add((_0).forward(y, ), CONSTANTS.c0, alpha=2)
  def inner(self: __torch__.Net,
    x: Tensor) -> Tensor:
    if torch.__is__(self.bias, None):
      bias = None
    else:
      bias = self.bias
    return torch.linear(x, self.weight, bias)
class Linear(Module):
  __parameters__ = ["weight", "bias", ]
  __buffers__ = []
  weight : Tensor
  bias : Tensor
  def forward(self: __torch__.Linear,
    input: Tensor) -> Tensor:
    return __torch__.functional.linear(input, self.weight, self.bias, )
"""
FUNCTIONAL = """def linear(input: Tensor,
    weight: Tensor,
    bias: Optional[Tensor]=None) -> Tensor:
  return torch.linear(input, weight, bias)
"""


def script(code=CODE, functional=FUNCTIONAL, constants=None, arrays=ARRAYS, value=None):
    """The bytes of a TorchScript archive whose module has the weights of `ARRAYS`."""
    inner = b"c__torch__\nLinear\n)\x81" + dictionary({"weight": tensor(2, 1, 3), "bias": tensor(3, 1)}) + b"b"
    state = {"weight": tensor(0, 3, 2), "bias": tensor(1, 3), "training": b"\x89", "0": inner}
    value = value or b"c__torch__\nNet\n)\x81" + dictionary(state) + b"b"
    file = io.BytesIO(packed(b"\x80\x02" + value + b".", arrays))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("small/constants.pkl", b"\x80\x02" + (constants or tensor(0, 1) + b"\x85") + b".")
        archive.writestr("small/constants/0", np.ones(1, "<f4").tobytes())
        archive.writestr("small/code/__torch__.py", code, zipfile.ZIP_DEFLATED)
        archive.writestr("small/code/__torch__/functional.py", functional, zipfile.ZIP_DEFLATED)
        archive.writestr("small/version", "3\n")
    return file.getvalue()


def file_of(value, arrays=ARRAYS):
    return packed(b"\x80\x02" + value + b".", arrays)
