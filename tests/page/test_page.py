"""Pages of results: whole, escaped, true of the result, and refused of what is none."""

import dataclasses
import hashlib
import html.parser
import json
import math
import re
import shlex

import numpy as np
import pytest

import hr2jax
from hr2jax.cli.main import main
from hr2jax.page.choose import page_of
from hr2jax.page.html import Markup, join, tag
from hr2jax.page.svg import Curve, _logarithmic_ticks, _ticks, chart, gap_picture
from hr2jax.text import lower_text, upper_text

from ..reference.classifier import network

VOID = {"meta", "br"}


class Tree(html.parser.HTMLParser):
    """Checks that tags close in order; collects the tags, the attributes and the text."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, name, attributes):
        self.tags.append(name)
        self.attributes += [(name, *pair) for pair in attributes]
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.text.append(data)


def read(page):
    """The text of a page that runs nothing and loads nothing."""
    tree = Tree(page)
    assert not {"script", "img", "link", "iframe", "object", "embed", "form", "base", "a"} & set(tree.tags)
    for _, name, value in tree.attributes:
        assert not name.startswith("on") and name not in ("src", "href", "action")
        assert "javascript:" not in (value or "") and "http:" not in (value or "")
    assert "url(" not in page.replace("url(#hatch)", "") and "@import" not in page
    assert "default-src 'none'" in page
    return " ".join(" ".join(tree.text).split())


@pytest.fixture(scope="module")
def results():
    net = network()
    return {
        "local": hr2jax.solve(net, output=(0, 1), center=np.zeros(2), radius=[0.5, 0.0], relaxation="hr2z"),
        "global": hr2jax.solve(net, output=2, relaxation="hr2+"),
        "of all": hr2jax.solve(net, norm=2, relaxation="shor"),
        "baseline": hr2jax.solve(net, output=0, relaxation="interval", witness=0),
        "box": hr2jax.solve(net, output=0, domain=hr2jax.Box([0, 0], [1, 2]), relaxation="product"),
        "maximum": hr2jax.maximum(net, output=[-1.0, 0.0, 0.0], center=np.zeros(2), radius=0.1),
    }


@pytest.fixture(scope="module")
def robust():
    inputs = np.random.default_rng(0).uniform(0, 1, (6, 2))
    return hr2jax.certify(network(), inputs, radii=[0.05, 0.01], clip=(0, 1), relaxation="shor")


@pytest.mark.parametrize("name", ["local", "global", "of all", "baseline", "box", "maximum"])
def test_a_page_says_what_was_proved(results, name, tmp_path):
    result = results[name]
    result.report(tmp_path / "page.html")
    text = read((tmp_path / "page.html").read_text())
    problem = result.problem
    for part in (upper_text(result.bound), repr(result.bound), problem["network_hash"], result.certificate.digest,
                 f"{result.status.name}: {result.message}", problem["relaxation"], "real arithmetic"):  # fmt: skip
        assert part in text
    if result.witness is None:
        assert "No point was searched" in text and "not searched" in text
    else:
        assert lower_text(result.lower) in text
    assert ("--local" in text) == (problem["domain"] == "local")
    assert f"--quantity {problem['quantity']}" in text
    assert ("times the largest change" in text) == (problem["quantity"] == "lipschitz" and problem["norm"] == "inf")


def test_what_the_page_says_about_proving_it_again_is_so(results, tmp_path, capsys):
    """The command and the call of the page are run."""
    net = network()
    net.save(tmp_path / "NET.npz")
    for result in results.values():
        certificate = tmp_path / "bound.cert.npz"
        result.certificate.save(certificate)
        result.report(tmp_path / "page.html")
        text = read((tmp_path / "page.html").read_text())
        words = re.search(r"hr2jax verify (.*?) (?:import json )?import hr2jax", text)[1].split()
        words[:2] = str(certificate), str(tmp_path / "NET.npz")
        assert main(["verify", *words]) == 0
        assert "verified" in capsys.readouterr().out
        call = re.search(r"certificate\.verify\((.*?)\)\)", text)[1]
        domain = result.certificate.lipschitz_problem.domain
        names = {"net": net, "domain": domain, "claimed": json.loads(result.to_json())["problem"]}
        verify = hr2jax.Certificate.load(certificate).verify
        assert eval(f"verify({call})", {"verify": verify, **names}) <= result.bound * (1 + 1e-9)


def test_the_figures_of_each_layer(results):
    result = results["local"]
    (layer,) = result.problem["layers"]
    assert layer["neurons"] == 4 and layer["activation"] == "relu"
    assert layer["unstable"] == result.problem["unstable_neurons"] > 0
    z = network().weights[0][:, :1] @ np.linspace(-0.5, 0.5, 5)[None] + network().biases[0][:, None]
    switching = (z.min(axis=1) < 0) & (z.max(axis=1) > 0)
    assert layer["unstable"] == switching.sum() and layer["active"] == (z.min(axis=1) >= 0).sum()
    assert layer["low"] <= z[switching].min() and layer["high"] >= z[switching].max()
    assert results["global"].problem["layers"][0]["low"] is None


def test_the_page_says_how_the_file_was_read(tmp_path, monkeypatch, capsys):
    """A state dict does not say its activation, so that verify must be told, too."""
    monkeypatch.chdir(tmp_path)
    net = network()
    named = {"0.weight": net.weights[0], "0.bias": net.biases[0], "2.weight": net.weights[1], "2.bias": net.biases[1]}
    np.savez("a net.npz", **named)
    words = ["solve", "a net.npz", "--activation", "relu", "--output", "0,1", "--relaxation", "hr2", "--quiet"]
    assert main([*words, "--json", "r.json", "--certificate", "bound.cert.npz"]) == 0
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(json.loads((tmp_path / "r.json").read_text()), hr2jax.data.schema())
    assert main(["report", "r.json", "-o", "page.html"]) == 0
    text = read((tmp_path / "page.html").read_text())
    words = shlex.split(re.search(r"hr2jax (verify .*?) import hr2jax", text)[1])
    assert words[2:5] == ["a net.npz", "--activation", "relu"]
    capsys.readouterr()
    assert main(words) == 0 and "verified" in capsys.readouterr().out
    assert "net = hr2jax.load('a net.npz', activation='relu')" in text


def test_the_page_of_a_robustness_report(robust, tmp_path):
    robust.report(tmp_path / "page.html")
    text = read((tmp_path / "page.html").read_text())
    assert robust.problem["network_hash"] in text and "clip box" in text and "stronger attack" in text
    for k, j in robust.bounds:
        assert f"F_{k} - F_{j}" in text
    assert "are certified at radius 0.01" in text


def test_the_command_writes_the_page(results, robust, tmp_path, capsys):
    net = network()
    many = hr2jax.solve_all(net, relaxation="product")
    for name, answer in (("one", results["global"]), ("many", many), ("robust", robust)):
        source, page = tmp_path / f"{name}.json", tmp_path / f"{name}.html"
        answer.to_json(source)
        assert main(["report", str(source), "-o", str(page)]) == 0
        assert str(page) in capsys.readouterr().out
        text = read(page.read_text())
        assert f"{name}.json SHA-256" in text
    assert text.count("SHA-256") == 1


def refusal(capsys, *arguments):
    assert main(["report", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def test_what_is_no_result_is_refused(results, robust, tmp_path, capsys):
    source, page = tmp_path / "r.json", tmp_path / "p.html"
    for answer in (results["local"], robust):
        plain = json.loads(answer.to_json())
        unread = {"format", "certificate", "iterations", "lower", "relaxation_value", "labels"}
        for key in sorted(plain.keys() - unread):
            source.write_text(json.dumps({name: value for name, value in plain.items() if name != key}))
            if key not in ("certified", "decided", "broken_at"):
                assert "is not the JSON of a Result" in refusal(capsys, source, "-o", page)
            source.write_text(json.dumps(plain | {key: {"a": ["b"]}}))
            main(["report", str(source), "-o", str(page)])  # refused or shown, but no traceback
            capsys.readouterr()
    page.unlink(missing_ok=True)
    garbled = (
        "", "{", "[]", "3", "null", '{"bound": NaN}', "[" * 100_000, '{"ratio": []}', '{"problem": 3}',
        '{"format": "hr2jax result 2"}',
    )  # fmt: skip
    for text in garbled:
        source.write_text(text)
        assert "is not the JSON of a Result" in refusal(capsys, source, "-o", page)
    source.write_bytes(b"\xff\xfe\x00")
    assert "is not the JSON" in refusal(capsys, source, "-o", page)
    assert not page.exists()
    assert "No such file" in refusal(capsys, tmp_path / "none.json", "-o", page)
    source.write_text(results["local"].to_json())
    assert "would overwrite" in refusal(capsys, source, "-o", source)
    assert "there is no folder" in refusal(capsys, source, "-o", tmp_path / "none" / "p.html")


PROPERTY = """(declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real) (declare-const Y_1 Real)
(declare-const Y_2 Real) (assert (>= X_0 0)) (assert (<= X_0 0.1)) (assert (>= X_1 0)) (assert (<= X_1 0.1))
(assert (>= Y_0 {least}))
"""


@pytest.fixture(scope="module")
def proofs(tmp_path_factory):
    """Verified, violated."""
    folder = tmp_path_factory.mktemp("properties")
    for name, least in (("verified", 100), ("violated", -100)):
        (folder / f"{name}.vnnlib").write_text(PROPERTY.format(least=least))
    return folder, {name: hr2jax.prove(network(), folder / f"{name}.vnnlib") for name in ("verified", "violated")}


@pytest.mark.parametrize("name", ["verified", "violated"])
def test_the_page_of_a_proof(proofs, name, tmp_path, capsys):
    folder, found = proofs
    proof = found[name]
    assert proof.verdict == name
    proof.to_json(tmp_path / "p.json")
    assert main(["report", str(tmp_path / "p.json"), "-o", str(tmp_path / "page.html")]) == 0
    text = read((tmp_path / "page.html").read_text())
    assert f"{name}.vnnlib: {name}" in text and proof.problem["network_hash"] in text
    assert hashlib.sha256((folder / f"{name}.vnnlib").read_bytes()).hexdigest() in text
    assert ("no counterexample" in text) == (name == "verified") == ("Case by case" in text)
    assert ("The counterexample" in text) == (name == "violated")
    proof.save(tmp_path / "proof.npz"), network().save(tmp_path / "NET.npz")
    words = re.search(r"hr2jax verify (.*?) import hr2jax", text)[1].split()
    assert words == ["proof.npz", "NET", "--property", f"{name}.vnnlib"]
    words = [str(tmp_path / "proof.npz"), str(tmp_path / "NET.npz"), "--property", str(folder / f"{name}.vnnlib")]
    assert main(["verify", *words]) == 0
    unknown = json.loads(proof.to_json()) | {"verdict": "unknown", "cases": [], "witness": None}
    assert "There is nothing to prove" in read(page_of(json.dumps(unknown), "x"))
    with pytest.raises(ValueError, match="is not the JSON"):
        page_of(json.dumps(unknown | {"verdict": "<b>"}), "x")


HARM = "</style></title></code><script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg onload=alert(1)>&amp;"


def harmful(value):
    """Every text replaced by HTML that does harm, and every key of what has free keys."""
    if isinstance(value, dict):
        return {key: harmful(v) for key, v in value.items()}
    if isinstance(value, list):
        return [harmful(v) for v in value]
    return HARM if isinstance(value, str) else value


def test_every_text_of_a_file_is_escaped(results, robust, proofs, tmp_path):
    kept = {"quantity", "norm", "output_norm", "domain", "domain_kind"}
    for answer in (*results.values(), robust, *proofs[1].values()):
        plain = json.loads(answer.to_json())
        bad = harmful(plain) | {key: plain[key] for key in ("format", "verdict") if key in plain}
        bad["problem"] |= {key: plain["problem"][key] for key in kept & plain["problem"].keys()}
        bad["problem"]["versions"] = {HARM: HARM}
        bad["problem"].get("layers", [{}])[0]["name"] = HARM
        bad["problem"]["file"] = {"name": HARM, "activation": HARM, "layers": [HARM], "logits": True}
        if "options" in bad["problem"]:
            bad["problem"]["options"] = {HARM: HARM}
        page = page_of(json.dumps(bad), "x", [(HARM, HARM)])
        text = read(page)
        assert "<script>" in text  # as text
        assert "<script" not in page and "<img" not in page and "onload=alert(1)>" not in page.replace("&gt;", "")


def test_numbers_where_texts_were_expected_and_the_other_way_round(results):
    plain = json.loads(results["local"].to_json())
    plain["message"] = {"<em>": ["<i>"]}
    assert "<em>" not in page_of(json.dumps(plain), "x")
    plain["problem"]["quantity"] = "<b>"
    plain["problem"]["norm"] = "<b>"
    with pytest.raises(ValueError, match="is not the JSON"):
        page_of(json.dumps(plain), "x")


def test_old_files_have_pages_too(results):
    """Before format 1 there were neither layers nor a certificate's digest."""
    plain = json.loads(results["global"].to_json())
    for name in ("format", "certificate"):
        del plain[name]
    del plain["problem"]["layers"]
    text = read(page_of(json.dumps(plain), "x"))
    assert "Layer by layer" not in text and "digest" not in text


def test_pages_of_what_is_not_finite(results):
    result = dataclasses.replace(results["global"], relaxation_value=math.nan, gap=1.0, lower=0.0, bound=1e300)
    for changed in (result, dataclasses.replace(result, bound=0.0, gap=0.0), dataclasses.replace(result, bound=-1.0)):
        read(page_of(changed.to_json(), "x"))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (1e-300, 3e-300), (-5.0, 7e9), (32.2, 32.5), (0.0, 1e300)])
def test_ticks_are_round_and_inside(low, high):
    ticks = _ticks(low, high)
    assert 3 <= len(ticks) <= 8
    assert all(low - 1e-9 * (high - low) <= tick <= high + 1e-9 * (high - low) for tick in ticks)
    assert all(len(f"{tick:g}") <= 8 for tick in ticks)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 3.0), (1.2, 1.4), (0.0, 300.0)])
def test_logarithmic_ticks(low, high):
    assert 1 <= len(_logarithmic_ticks(low, high)) <= 16


def test_curves_keep_their_ends_and_leave_out_what_is_not_finite():
    points = [(float(x), math.nan if x % 7 == 3 else x * x) for x in range(5000)]
    drawn = chart([Curve("a", points, "bound")], "x", "y")
    (path,) = re.findall(r'<path d="([^"]*)"', drawn)
    assert path.startswith("M58.00") and "nan" not in drawn and 900 <= path.count("L") <= 1000
    assert chart([Curve("a", [], "bound")], "x", "y") == ""
    assert chart([Curve("a", [(0.0, 1.0)], "bound", steps=True, dots=True)], "x", "y").count("<circle") == 1


@pytest.mark.parametrize(("lower", "bound"), [(1.0, 2.0), (0.0, 0.0), (-2.0, -1.0), (-1.0, 1.0), (0.0, math.inf)])
def test_the_gap_is_drawn_to_scale(lower, bound):
    picture = gap_picture(lower, bound)
    if not math.isfinite(bound):
        assert picture == ""
        return
    widths = [float(w) for w in re.findall(r'width="([\d.]+)" height="22"', picture)]
    assert all(width >= 0 for width in widths)
    if (lower, bound) == (1.0, 2.0):
        assert widths[0] == pytest.approx(widths[1], abs=0.02)


def test_only_markup_is_not_escaped():
    assert tag("b", "<", Markup("<br>"), class_="a\"b") == '<b class="a&quot;b">&lt;<br></b>'
    assert join(("<", 3)) == "&lt;3"
    assert tag("b", None, x_y=None) == "<b>None</b>"
