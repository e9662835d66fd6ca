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


def file_of(value, arrays=ARRAYS):
    return packed(b"\x80\x02" + value + b".", arrays)
