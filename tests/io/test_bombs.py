"""Small files that ask for much memory or time are refused before either is taken; honest ones beside them load."""

import gzip
import io
import json
import struct
import zipfile
import zlib

import numpy as np
import pytest

from tests.io.bombs import outcomes
from tests.io.test_policies import policy_file
from tests.reference.effort import FULL
from tests.reference.pt_files import CODE, SEQUENTIAL, dictionary, file_of, linear, script, sequential, tensor, text

EYE = {"A_1": np.eye(2), "b_1": np.ones(2), "C": np.eye(2)}


def files(folder, contents):
    paths = []
    for name, data in contents.items():
        (folder / name).write_bytes(data)
        paths.append(folder / name)
    return paths


def npz(compress=False, **arrays):
    file = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(file, **arrays)
    return file.getvalue()


def test_a_file_with_a_hole_is_not_read_into_memory(tmp_path):
    paths = []
    for suffix in ("safetensors", "mat", "onnx", "nnet", "npz", "pt", "vnnlib"):
        paths.append(tmp_path / f"hole.{suffix}")
        with open(paths[-1], "wb") as file:
            file.write(b"PK\3\4")
            file.truncate(2**38)
    for path, said in zip(paths, outcomes(paths), strict=True):
        assert "of memory, but of" in said or (path.suffix in (".npz", ".pt") and said.startswith("refused")), said


def header(shape, version=b"\1\0", size=None):
    words = str({"descr": "<f8", "fortran_order": False, "shape": shape}).encode()
    words = words.ljust(118) + b"\n"
    width = 2 if version == b"\1\0" else 4
    return b"\x93NUMPY" + version + (len(words) if size is None else size).to_bytes(width, "little") + words


def member(data, method=zipfile.ZIP_DEFLATED, **claims):
    """An archive of EYE whose A_1.npy is `data`; `claims` are what its entries say instead of the truth."""
    file = io.BytesIO(npz(**{k: v for k, v in EYE.items() if k != "A_1"}))
    with zipfile.ZipFile(file, "a", method, compresslevel=1) as archive:
        archive.writestr("A_1.npy", data)
        for name, value in claims.items():
            setattr(archive.getinfo("A_1.npy"), name, value)
    return file.getvalue()


def overlapping():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("A_1.npy", header((100, 100)) + bytes(80_000))
        entry = archive.getinfo("A_1.npy")
        for i in range(2000):
            other = zipfile.ZipInfo(f"A_{i + 2}.npy")
            for name in ("header_offset", "compress_size", "file_size", "CRC", "compress_type"):
                setattr(other, name, getattr(entry, name))
            archive.filelist.append(other)
    return file.getvalue()


def test_npz_that_inflates_or_declares_too_much(tmp_path):
    bombs = {
        "zeros.npz": member(header((10_000_000, 1)) + bytes(80_000_000)),
        "heading.npz": member(header((1, 1), b"\2\0", 2**32 - 1) + bytes(50_000_000)),
        "stored.npz": member(header((2, 2)) + bytes(32), zipfile.ZIP_STORED, file_size=2**40, compress_size=2**40),
        "deflated.npz": member(header((2, 2)) + bytes(32), file_size=2**31),
        "overlapping.npz": overlapping(),
        "shape.npz": member(header((2**20, 2**20))),
    }
    good = {"honest.npz": npz(compress=True, A_1=np.zeros((2000, 1000)), b_1=np.zeros(2000), C=np.ones((1, 2000)))}
    said = outcomes(files(tmp_path, bombs | good))
    assert all(text.startswith("refused") for text in said[:-1]) and said[-1] == "read", said
    assert "of memory, but of" in said[0] and "overlap" in said[4]


def test_npz_of_one_text_of_a_gigabyte(tmp_path):
    """It was read, for a text is one entry: 1.2 GB in 30 s from 1 MB, to say that it is no number."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": f"<U{2**24}", "fortran_order": False, "shape": (1,)})
    paths = files(tmp_path, {"text.npz": member(file.getvalue() + bytes(2**26))})
    (said,) = outcomes(paths, limit=7.5e7)
    assert said.startswith("refused: ") and "at most 262144 are read" in said


def test_pt_that_repeats_or_shares_its_numbers_or_is_all_pickle(tmp_path):
    million = np.arange(1_000_000, dtype="<f4")
    shared = {f"{2 * i}.weight": tensor(0, 1000, 1000) for i in range(200)}
    strided = {"0.weight": tensor(0, 30_000, 30_000, stride=(0, 0)), "2.weight": tensor(0, 1000, 1000)}
    bombs = {
        "shared.pt": file_of(dictionary(shared), [million]),
        "strided.pt": file_of(dictionary(strided), [million]),
        "pickle.pt": file_of(b"(" + b"}" * 2_000_000 + b"t"),
        "names.pt": file_of(text("a") + b"q\1" + b"h\1\x86q\1" * 60 + text("b") + b"\x93"),
    }
    tied = {f"{2 * i}.weight": tensor(0, 1000, 1000) for i in range(6)}
    bombs |= {
        "code.script.pt": script("#" * 10**8 + "\n"),
        "brackets.script.pt": script("x = " + "[" * 10**6),
        "terms.script.pt": script("x = " + "+".join("1" * 10**6)),
        "wide.script.pt": script(CODE.replace("[torch.size(x, 0), -1]", f"[{'1, ' * 10**5}-1]")),
        "module.pt": file_of(sequential(*[linear(0, 3, 2)] * 20_000)),
    }
    said = outcomes(files(tmp_path, bombs | {"tied.pt": file_of(dictionary(tied), [million])}))
    assert all(text.startswith("refused") for text in said[:-1]) and said[-1] == "read", said
    assert "of memory, but of" in said[0] and "of memory, but of" in said[2]


def test_gz_that_inflates(tmp_path):
    zeros = gzip.compress(bytes(10**8), 1)
    contents = {"zeros.npz.gz": zeros, "zeros.onnx.gz": zeros, "good.npz.gz": gzip.compress(npz(**EYE))}
    said = outcomes(files(tmp_path, contents), limit=7.5e7)
    assert all("of memory, but of" in text for text in said[:-1]) and said[-1] == "read", said


def matrix(name, dims, *parts, kind=6):
    def element(code, data):
        return struct.pack("<II", code, len(data)) + data + bytes(-len(data) % 8)

    heading = [element(6, struct.pack("<II", kind, 0)), element(5, struct.pack("<ii", *dims)), element(1, name)]
    return element(14, b"".join(heading) + b"".join(element(code, data) for code, data in parts))


def mat(*elements):
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<HH", 0x100, 0x4D49) + b"".join(elements)


def compressed(data):
    body = zlib.compress(data, 1)
    return struct.pack("<II", 15, len(body)) + body


def test_mat_that_inflates_or_is_sparse_beyond_memory(tmp_path):
    ints = [(5, np.array(v, "<i4").tobytes()) for v in ([5], [0, 1])]
    tall = matrix(b"A_1", (2**31 - 1, 1), *ints, (9, np.ones(1).tobytes()), kind=5)
    zeros = matrix(b"A_1", (5_000_000, 1), (9, bytes(40_000_000)))
    rest = [matrix(b"b_1", (2, 1), (9, np.ones(2).tobytes())), matrix(b"C", (1, 2), (9, np.ones(2).tobytes()))]
    dense = matrix(b"A_1", (2, 1000), (9, bytes(16_000)))
    bombs = {"tall.mat": mat(tall, *rest), "zeros.mat": mat(compressed(zeros), *rest)}
    bombs["parts.mat"] = mat(struct.pack("<II", 14, 16_000_000) + struct.pack("<II", 1, 0) * 2_000_000)
    said = outcomes(files(tmp_path, bombs | {"honest.mat": mat(compressed(dense), *rest)}), limit=7.5e7)
    assert all(text.startswith("refused") for text in said[:-1]) and said[-1] == "read", said
    assert "of memory, but of" in said[0] and "of memory, but of" in said[1] and "more than 100000 parts" in said[2]


def safetensors(heading, body=b""):
    data = heading if isinstance(heading, bytes) else json.dumps(heading).encode()
    return len(data).to_bytes(8, "little") + data + body


def test_safetensors_whose_heading_or_tensors_take_too_much(tmp_path):
    megabytes = bytes(4_000_000)
    entry = {"dtype": "F32", "shape": [1000, 1000], "data_offsets": [0, len(megabytes)]}
    bombs = {
        "heading.safetensors": safetensors(b'{"a": [' + b"[]," * 3_000_000 + b"[]]}"),
        "shared.safetensors": safetensors({f"{2 * i}.weight": entry for i in range(100)}, megabytes),
    }
    honest = safetensors({f"{2 * i}.weight": entry for i in range(5)}, megabytes)
    said = outcomes(files(tmp_path, bombs | {"tied.safetensors": honest}))
    assert all("of memory, but of" in text for text in said[:-1]) and said[-1] == "read", said


def test_nnet_of_more_numbers_than_memory(tmp_path):
    data = b"1,1,1,1\n1,1\n0\n-inf\ninf\n0,0\n1,1\n" + b"1," * 7_000_000
    (said,) = outcomes(files(tmp_path, {"long.nnet": data}))
    assert "the text of the .nnet file would take" in said


def test_onnx_of_countless_nodes_or_wide_identities(tmp_path):
    pytest.importorskip("onnx")
    from tests.io.test_onnx import GOOD, model

    def nested(number, data):
        size, length = len(data), b""
        while size > 127:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + data

    opset, kernel = nested(8, b"\x10\x0d"), {"K": np.ones((1, 1, 50, 50), "f4")}
    bombs = {
        "nodes.onnx": opset + nested(7, b"\x0a\0" * 300_000),
        "attributes.onnx": opset + nested(7, nested(1, b"\x2a\0" * 300_000)),
        "wide.onnx": model("Conv x K > y", shape=("N", 1, 400, 400), constants=kernel).SerializeToString(),
    }
    said = outcomes(files(tmp_path, bombs | {"honest.onnx": model(*GOOD).SerializeToString()}))
    assert all(text.startswith("refused") for text in said[:-1]) and said[-1] == "read", said
    assert "more than 200000 nodes" in said[0] and "more than 200000" in said[1] and "GB" in said[2]


def test_onnx_whose_operators_ask_for_more_than_there_is(tmp_path):
    """Each a few hundred bytes that would make 10^8 entries or more, of constants or of what the network computes."""
    pytest.importorskip("onnx")
    from tests.io.test_onnx import model

    large = {"shape": np.array([1, 3 * 10**8], "i8"), "index": np.zeros(10**4, "i8"), "one": np.ones(1, "f4"),
             "pads": np.array([0, 0, 0, 10**9], "i8"), "ten": np.array([1, 10**8], "i8"),
             "column": np.ones((1, 3 * 10**4, 1), "f4"), "wide": np.ones((2 * 10**4, 1, 1), "f4")}  # fmt: skip
    double = [f"Concat {'x' if i == 0 else f'd{i - 1}'} {'x' if i == 0 else f'd{i - 1}'} > d{i}" for i in range(40)]
    graphs = {
        "expand": (model("Unsqueeze x last > u", "Expand u shape > y", opset=13, constants=large)),
        "tile": model("Tile x ten > y", constants=large),
        "constant": model("ConstantOfShape shape > y", constants=large),
        "pad": model("Pad x pads > y", constants=large),
        "doubled": model(*[(line, {"axis": 1}) for line in double], outputs=("d39",)),
        "gathered": model(("Gather x index > a", {"axis": 0}), ("Gather a index > y", {"axis": 1}), constants=large),
        "outer": model("Add x column > a", ("Transpose a > t", {"perm": [0, 2, 1]}), "Add t wide > y",
                       constants=large),
        "transposed": model(("ConvTranspose x K > y", {"strides": [10**6]}), shape=("N", 1, 3000),
                            constants={"K": np.ones((1, 1, 3), "f4")}),
        "pool": model(("MaxPool x > y", {"kernel_shape": [10**4], "pads": [9999, 9999]}), shape=("N", 1, 10**5)),
        "rows": model("MatMul x M > y", shape=("N", 3000, 100), constants={"M": np.ones((100, 1000), "f4")}),
    }  # fmt: skip
    said = outcomes(files(tmp_path, {f"{k}.onnx": graph.SerializeToString() for k, graph in graphs.items()}))
    for name, outcome in zip(graphs, said, strict=True):
        assert outcome.startswith("refused"), (name, outcome)
        assert "memory" in outcome or "would be needed" in outcome, (name, outcome)


BOX = "(declare-const X_0 Real)(assert (<= X_0 1))(assert (>= X_0 0))"
DECLARED = BOX + "".join(f"(declare-const Y_{i} Real)" for i in range(3))


def test_vnnlib_in_linear_time_and_of_numbers_of_any_length(tmp_path):
    texts = {
        "asserts.vnnlib": DECLARED + "(assert (<= Y_0 Y_1))" * 20_000,
        "together.vnnlib": DECLARED + "(assert (or (and " + "(<= Y_0 Y_1)" * 10_000 + ")))",
        "digits.vnnlib": DECLARED + f"(assert (<= Y_0 0.{'1' * 3_000_000}))",
        "exponent.vnnlib": DECLARED + "(assert (<= Y_0 1e-999999999))(assert (<= Y_0 1e999999999))",
        "cases.vnnlib": DECLARED + "(assert (or " + f"(and {'(or (<= Y_0 0) (<= Y_1 0))' * 13})" * 2_000 + "))",
        "wide.vnnlib": "".join(f"(declare-const Y_{i} Real)" for i in range(40_000))
        + BOX + "(assert (<= Y_0 Y_1))" * 2_000,
        "ors.vnnlib": DECLARED + "(assert (or (<= Y_0 0) (<= Y_1 0)))" * (100_000 if FULL else 20_000),
    }  # fmt: skip
    said = outcomes(files(tmp_path, {name: text.encode() for name, text in texts.items()}))
    assert [said[i] for i in (0, 1, 5)] == ["read"] * 3, said
    assert all(said[i].startswith("refused") for i in (2, 3, 4, 6)), said
    assert "a number of 3000002 characters" in said[2]


def test_vnnlib_that_declares_or_inflates_to_gigabytes(tmp_path):
    network = "(vnnlib-version <2.0>)(declare-network N (declare-input X real {})(declare-output Y real [1]))"
    two = network.format("[2]") + "(assert (>= X[0] 0))"
    number = "7" * 1900
    contents = {
        "declared.vnnlib": (network.format("[30000,30000]") + "(assert (>= X[0,0] 0))").encode(),
        "more.vnnlib": network.format("[30000,30000,30000]").encode(),
        "shape.vnnlib": network.format(f"[{'1,' * 10**6}1]").encode(),
        "bomb.vnnlib": gzip.compress(bytes(10**8)),
        "deep.vnnlib": (two + "(assert (<= " + "(+ 1 " * 10**6).encode(),
        "power.vnnlib": (two + f"(assert (<= (* {f'{number} ' * 1000}) X[0]))").encode(),
        "sum.vnnlib": (two + f"(assert (<= (+ {' '.join(f'(/ 1 {n})' for n in range(1, 10**5))}) X[0]))").encode(),
        "boxes.vnnlib": (network.format("[100000]") + "(assert (or "
                         + "".join(f"(<= X[0] {k})" for k in range(9000)) + "))").encode(),
    }  # fmt: skip
    said = outcomes(files(tmp_path, contents))
    assert all(text.startswith("refused") for text in said), said


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_damaged_files_of_every_format_in_little_memory(tmp_path, seed):
    """Bytes changed, cut and repeated in files of every format: read or refused, within the limit and in time."""
    pytest.importorskip("onnx")
    from tests.io import test_mat, test_nnet, test_onnx, test_pt, test_safetensors

    whole = {
        "npz": npz(**EYE),
        "deflated.npz": npz(compress=True, **EYE),
        "mat": test_mat.packed(test_mat.KEYS),
        "deflated.mat": test_mat.packed(test_mat.KEYS, do_compression=True),
        "pt": test_pt.packed(),
        "module.pt": file_of(SEQUENTIAL),
        "script.pt": script(),
        "net.zip": policy_file(),
        "npz.gz": gzip.compress(npz(**EYE)),
        "ckpt": file_of(dictionary({"state_dict": dictionary(test_pt.STATE)})),
        "safetensors": test_safetensors.packed(test_safetensors.KEYS),
        "nnet": test_nnet.TEXT.encode(),
        "onnx": test_onnx.DAMAGED,
        "vnnlib": DECLARED.encode() + b"(assert (or (and (<= Y_0 1) (>= Y_1 2)) (<= Y_2 -1e3)))",
    }
    rng = np.random.default_rng(seed)
    contents = {}
    for name, data in whole.items():
        for i in range(40):
            damaged = bytearray(data)
            for _ in range(rng.integers(1, 5)):
                at, size = rng.integers(len(damaged)), int(rng.integers(0, 9))
                new = [rng.bytes(size), b"\xff" * size, bytes(damaged[at : at + size]) * 50, b"\x7f\xff\xff\xff" * 2]
                damaged[at : at + size] = new[rng.integers(4)]
            contents[f"{i}.{name}"] = bytes(damaged)
    for said in outcomes(files(tmp_path, contents)):
        assert said == "read" or (said.startswith("refused") and "\n" not in said), said
