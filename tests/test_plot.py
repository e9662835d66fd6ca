"""Pictures of results, and what a notebook shows."""

import dataclasses
import io
import sys

import numpy as np
import pytest

import hr2jax

from .reference.classifier import network

image = pytest.importorskip("matplotlib.image")


@pytest.fixture(scope="module")
def result():
    return hr2jax.solve(network(), output=0, relaxation="hr2+")


@pytest.fixture(scope="module")
def report():
    inputs = np.random.default_rng(0).uniform(0, 1, (4, 2))
    return hr2jax.certify(network(), inputs, radii=[0.1, 0.01], relaxation="shor")


def test_a_figure_comes_back_and_a_notebook_shows_it(result, report):
    for answer in (result, report):
        figure = answer.plot()
        shot = image.imread(io.BytesIO(figure._repr_png_()))
        assert shot.shape[:2] == (675, 1050) and shot[..., :3].std() > 0.05
        assert len(figure.axes) == 1 and figure.axes[0].get_legend() is not None


def test_it_is_saved_as_its_suffix_says(result, tmp_path):
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        result.plot(tmp_path / f"p{suffix}")
        assert (tmp_path / f"p{suffix}").read_bytes().startswith(start)
    with pytest.raises(ValueError, match="must end in one of"):
        result.plot(tmp_path / "p.docx")


def labels(answer):
    return {line.get_label() for line in answer.plot().axes[0].lines}


def test_what_was_not_searched_is_not_drawn(result):
    assert any("attained" in label for label in labels(result))
    assert not any("attained" in label for label in labels(dataclasses.replace(result, witness=None)))


def test_of_a_largest_value_the_axis_says_so():
    result = hr2jax.maximum(network(), output=0, center=np.zeros(2), radius=0.1, relaxation="interval")
    assert result.plot().axes[0].get_ylabel() == "largest value of F_0"


def test_the_attack_holds_between_radii(report):
    """The line between two radii lay below the certified share: what is broken at a radius is known there only."""
    (attack,) = [line for line in report.plot().axes[0].lines if "attack" in str(line.get_label())]
    assert attack.get_drawstyle() == "steps-post"


def test_the_report_is_two_tables_in_a_notebook(report):
    html = report._repr_html_()
    assert html.count("<table>") == 2 and html.count("<tr>") == 6 + 3
    assert "&lt;b&gt;" in dataclasses.replace(report, problem=dict(report.problem) | {"via": "<b>"})._repr_html_()


def test_without_matplotlib(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match='pip install "matplotlib>='):
        result.plot()
