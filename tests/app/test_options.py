"""The options of a request."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from arcage.app.options import BATCH_OPTIONS, PREDICT_OPTIONS, OptionError, Options, parse_options
from arcage.output.selection import Selection


def parsed(query: str) -> Options:
    return parse_options(parse_qsl(query, keep_blank_values=True), PREDICT_OPTIONS)


def test_no_options() -> None:
    assert parsed("") == Options(Selection(), pictures=False, name="")
    assert parsed("name=&pictures=0") == Options()


def test_all_options() -> None:
    query = (
        "faces=largest&min_score=0.5&max_width=20&min_confidence=9e-1&min_familiarity=0.001&interval=80.5"
        "&under=18&under=21&under=18&pictures=1&name=%C3%A4.jpg"
    )
    options = parsed(query)
    assert options == Options(
        Selection(
            faces="largest",
            min_score=0.5,
            max_width=20,
            min_confidence=0.9,
            min_familiarity=0.001,
            interval=80.5,
            under=(18, 21),
        ),
        pictures=True,
        name="ä.jpg",
    )
    assert options.more == ["p_under_18", "p_under_21"]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (
            "min_confidance=1",
            "there is no option 'min_confidance': the options are faces, min_score, max_width, "
            "min_confidence, min_familiarity, interval, under, pictures, name",
        ),
        ("faces=all&faces=all", "faces is given twice: give it once"),
        ("faces=first", "faces is one of all, largest, center, not 'first'"),
        ("min_score=x", "min_score is a number, not 'x'"),
        ("min_score=", "min_score is a number, not ''"),
        ("min_score=1.5", "min_score is between 0 and 1, not 1.5"),
        # Numbers for Python only.
        ("max_width=inf", "max_width is a number, not 'inf'"),
        ("max_width=1_0", "max_width is a number, not '1_0'"),
        ("max_width=%D9%A3", "max_width is a number, not '٣'"),
        ("interval=nan", "interval is a number, not 'nan'"),
        ("interval=99.9", "interval is between 1 and 99.6, not 99.9"),
        ("under=18.5", "under is a whole number of years, not '18.5'"),
        ("under=-1", "under is a whole number of years, not '-1'"),
        ("under=0", "under is a whole number of years from 1 to 120, not 0"),
        ("under=18,21", "under is a whole number of years, not '18,21'"),
        ("pictures=true", "pictures is 0 or 1, not 'true'"),
        (f"name={'x' * 1001}", "name is longer than 1,000 characters: shorten it"),
        (f"min_score={'9' * 5000}", f"min_score is a number, not '{'9' * 50}'"),
    ],
)
def test_options_that_are_refused(query: str, error: str) -> None:
    with pytest.raises(OptionError) as raised:
        parsed(query)
    assert str(raised.value) == error


def test_a_zip_has_no_name() -> None:
    with pytest.raises(OptionError, match="there is no option 'name'"):
        parse_options([("name", "a.jpg")], BATCH_OPTIONS)
