"""What a person reads: never more than was proved."""

import dataclasses
import math
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax import progress
from hr2jax.progress import Line, Rate, Still, progress_line
from hr2jax.result import Progress, Status, result_table
from hr2jax.text import cases_text, counted, domain_text, lower_text, output_text, radius_text, upper_text

numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(numbers, st.integers(1, 20))
def test_printed_bounds_are_bounds_exactly(value: float, digits: int) -> None:
    up, down = Fraction(upper_text(value, digits)), Fraction(lower_text(value, digits))
    assert down <= Fraction(value) <= up
    if value:
        unit = Fraction(10) ** (1 - digits)  # a last digit is at most this part of the number
        assert up - down <= unit * abs(Fraction(value))


def test_printed_bounds_read_well() -> None:
    assert (upper_text(32.5), lower_text(32.5)) == ("32.5", "32.5")
    assert (upper_text(1 / 3), lower_text(1 / 3)) == ("0.333334", "0.333333")
    assert upper_text(0.1) == "0.100001"  # the float 0.1 is above 1/10
    assert (upper_text(1e10 / 3), lower_text(1e-10 / 3)) == ("3.33334e+9", "3.33333e-11")
    assert (upper_text(1000.0), upper_text(999999.5)) == ("1000", "1e+6")
    assert (upper_text(-0.0), upper_text(math.inf)) == ("0", "inf")


@settings(deadline=None)
@given(st.floats(min_value=0, allow_infinity=False, exclude_min=True))
def test_a_radius_is_the_float_given_or_one_inside(radius: float) -> None:
    text = radius_text(radius)
    assert float(text) == radius or Fraction(text) <= Fraction(radius)


def test_domains_read_well() -> None:
    up = math.nextafter(0.3, 1.0)
    assert domain_text(None) == "global"
    assert domain_text([0.3, 0.3]) == domain_text([0.3, up]) == "local, radius 0.3"
    assert domain_text([0.0, 0.5]) == "local, radii 0 to 0.5 (1 of 2 inputs fixed)"
    assert radius_text(0.0123456789) == "0.0123456"


def test_outputs_read_well() -> None:
    assert output_text([0, 1, 0]) == "F_1"
    assert output_text([-1, 1, 0]) == "F_1 - F_0"
    assert output_text([0.5, 1, 0]) == "c.F with 2 nonzero coefficients"


def test_table() -> None:
    result = SimpleNamespace(
        bound=1 / 3, lower=0.25, gap=0.25, status=Status.TIME_LIMIT, message="as the clock says",
        timings=dict.fromkeys(("setup", "compile", "solve", "certify", "lower"), 1.0) | {"peak_bytes": 2**20},
        problem={"quantity": "lipschitz", "widths": [2, 3, 1], "output": [1.0], "norm": "inf", "radius": [0.5, 0.5],
                 "domain": "local", "relaxation": "best", "bound_by": "hr2", "method": "auto", "engine": "newton",
                 "lifting": "adjoint"},
    )  # fmt: skip
    text = result_table(result)  # type: ignore[arg-type]
    way = "0.333334   (best: hr2, newton, adjoint lifting)"
    for part in ("2-3-1, output F_0", "local, radius 0.5, norm inf", way, "25.00 %"):
        assert part in text
    assert "|f(x) - f(y)| <= 0.333334 max_i |x_i - y_i| for all x, y in the domain |x_i - center_i|" in text
    assert "TIME_LIMIT: as the clock says" in text


def _record(iteration: int) -> Progress:
    return Progress(iteration, 0.5 * iteration, 1 / 3, 0.25, 0.25, np.nan, np.nan)


def test_a_log_gets_the_first_and_the_last_line(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hr2jax")
    with progress_line(True) as show:
        assert show is not None
        for i in range(5):
            show(_record(i))
    assert capsys.readouterr() == ("", "")
    assert [line.split()[1] for line in caplog.messages] == ["0", "4"]
    assert "certified 0.333334" in caplog.text


def test_a_line_says_what_it_is_about(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "hr2jax")
    with progress_line(True) as show:
        assert show is not None
        show(_record(3), about="2 of 7, F_1: ")
    assert caplog.messages[0].startswith("2 of 7, F_1: iteration 3")


def test_a_terminal_gets_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_line(True) as show:
        assert show is not None
        show(_record(0))
        show(_record(1))
    out, err = capsys.readouterr()
    assert out == ""
    assert "iteration 1  certified 0.333334" in err
    assert err.count("\n") == 1


def test_a_line_tells_the_rate_and_the_time_that_is_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "hr2jax")
    with progress_line(True) as show:
        assert show is not None
        show(_record(0))
        show(dataclasses.replace(_record(4), left=7.6))
    first, last = caplog.messages
    assert "it/s" not in first and "left" not in first
    assert "2 it/s  2.0 s, 8 s left" in last


def test_a_line_of_many_things_tells_their_rate_and_what_is_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", "hr2jax")
    now = 1000.0
    monkeypatch.setattr(progress.time, "time", lambda: now)
    line = Line(True, now, deadline=now + 100)
    for done in range(1, 31):  # one in two seconds
        line.show("around inputs", done, 60)
        now += 2.0
    assert caplog.messages[0] == "around inputs: 2 of 60, 0.5 a second, 2 s, 98 s left"  # the limit comes first
    assert caplog.messages[-1] == "around inputs: 29 of 60, 0.5 a second, 56 s, 44 s left"
    now += 1.0
    line.show("around inputs", 50, 60)
    assert caplog.messages[-1] == "around inputs: 50 of 60, 0.803 a second, 61 s, 12 s left"  # all are done before it
    line.show("something else")
    assert str(progress.STATE).startswith("something else (")


def test_the_rate_is_that_of_the_last_seconds_and_of_this_problem() -> None:
    rate = Rate()
    assert math.isnan(rate.of(_record(0)))
    for i in range(1, 100):
        assert rate.of(_record(i)) == pytest.approx(2.0)
    assert len(rate.seen) < 10
    slow = dataclasses.replace(_record(100), seconds=_record(99).seconds + 30.0)
    assert rate.of(slow) == pytest.approx(1 / 30)
    assert math.isnan(rate.of(_record(0)))  # another problem
    assert math.isnan(rate.of(_record(0)))  # no time has passed


def test_a_bound_that_does_not_move_for_long_is_said_not_to() -> None:
    still, record = Still(), dataclasses.replace(_record(0), bound=2.0)
    at = {seconds: dataclasses.replace(record, seconds=float(seconds)) for seconds in (0, 29, 30, 95)}
    assert [still.of(one) for one in at.values()] == [0.0, 29.0, 30.0, 95.0]
    texts = [progress._progress_text(one, math.nan, still.of(one)) for one in at.values()]
    assert ["unchanged" in text for text in texts] == [False, False, True, True]
    assert "bound unchanged for 95 s" in texts[-1]
    assert still.of(dataclasses.replace(at[95], seconds=96.0, bound=2.0 - 1e-9)) == 96.0  # that is no move
    assert still.of(dataclasses.replace(at[95], seconds=97.0, bound=1.99)) == 0.0
    assert still.of(dataclasses.replace(at[95], seconds=99.0, bound=1.99)) == 2.0
    assert still.of(dataclasses.replace(at[0], bound=1.99)) == 0.0  # another problem
    assert still.of(dataclasses.replace(at[29], bound=-5.0)) == 0.0  # of a largest value
    assert still.of(dataclasses.replace(at[30], bound=-5.0)) == 1.0


def test_no_progress_unless_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_line(False) as show:
        assert show is None
    assert capsys.readouterr().err == ""


def test_one_case_in_one_box_is_no_plural():
    assert counted(1, "case") == "1 case"
    assert counted(0, "box") == "0 boxes"
    assert cases_text({"cases": 1, "regions": 1}) == "1 case in 1 box"
    assert cases_text({"cases": 3, "regions": 2}) == "3 cases in 2 boxes"
    assert cases_text({}) == "? cases in ? boxes"
