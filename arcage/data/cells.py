"""Parse the values of a label table."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

from arcage.data.labels import GENDER_WORDS, HELD_OUT, OLDEST, TRAIN
from arcage.errors import UsageError

# Spreadsheets and pandas write 0.0 and 1.0 for whole numbers in a column with gaps.
GENDER_NUMBERS = {"0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0}
GENDERS = {**GENDER_WORDS, **GENDER_NUMBERS, "m": 0.0, "f": 1.0, "w": 1.0}
SPLITS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("test", "testing", "val", "valid", "validation", "dev"), HELD_OUT),
}
BOX = ("x1", "y1", "x2", "y2")
FARTHEST = 1e7
"""Limit of a coordinate, pixels."""
UNKNOWN = frozenset(
    {"", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nan", "-nan", "nat", "null", "\\n", "none", "unknown"}
    | {"#n/a n/a", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"}
    # Excel in German; in Spanish, Italian and Portuguese.
    | {"#nv", "#n/d"}
    | {"missing", "?", ".", "-", "--", "\u2013", "\u2014"}
)
"""Spellings of an unknown value in R, pandas, SQL, Excel and common usage, in lower case."""
PERSONS = frozenset({"Na", "Nan", "Null"})
"""Personal names, in a spelling that none of these programs uses for an unknown value."""
WIDEST = 20
"""Maximum span of an age range, years. The midpoint of a wider range is not a useful age."""
LIGHTEST, HEAVIEST = 1e-30, 1e30
"""Limits of weights, within single precision."""

_DECIMAL = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_YEARS = r"([0-9]{1,3}(?:\.[0-9]+)?)"
_RANGE = re.compile(rf"([(\[]?) *{_YEARS} *(-|~|\.\.|to|[,;]) *{_YEARS} *([)\]]?)")
_MORE = "more than|older than|over|above|at least|less than|younger than|under|below|up to"
_OPEN = re.compile(
    rf"{_YEARS} ?(?:\+|plus)|[(\[] ?(?:-inf[,;] ?{_YEARS}|{_YEARS}[,;] ?\+?inf)[)\]]"
    rf"|[<>\u2264\u2265]=? ?{_YEARS}|(?:{_MORE}) {_YEARS}"
    rf"|{_YEARS} (?:and|or|&) (?:over|older|above|more|up|under|younger|below|less)"
)


def is_unknown(text: str) -> bool:
    """Whether a cell means that the value is unknown."""
    return text.strip().lower() in UNKNOWN


def parse_age(text: str, readings: Counter[str]) -> float:
    """Parse an age in years, such as ``30``, ``30 years`` or a range, which is read as its midpoint.

    Args:
        text: the cell.
        readings: counts ranges (``range``) and open or too wide ranges (``open``).

    Returns:
        Years; NaN if unknown, or for an open or too wide range.

    Raises:
        UsageError: the text is not an age.
    """
    if is_unknown(text):
        return math.nan
    age = _parse_number(text)
    if age is not None and age <= OLDEST:
        return age
    words = re.sub("[\u2010-\u2015\u2212]", "-", text.strip().lower())
    words = re.sub(r"\b ?(?:years?|yrs?)(?: old| of age)?\b", "", words)
    age = _parse_number(words)
    if age is not None and age <= OLDEST:
        return age
    if _OPEN.fullmatch(words):
        readings["open"] += 1
        return math.nan
    found = _RANGE.fullmatch(words)
    if found:
        before, low, between, high, after = found[1], float(found[2]), found[3], float(found[4]), found[5]
        # Interval notation, as in pandas.cut, can exclude one end: only whole years inside count.
        if before + after == "(]":
            low, high = math.floor(low) + 1, math.floor(high)
        elif before + after == "[)":
            low, high = math.ceil(low), math.ceil(high) - 1
        # Without brackets a comma could be a decimal point.
        closed = bool(before) == bool(after) and (bool(before) or between not in (",", ";"))
        if closed and low <= high <= OLDEST:
            readings["range" if high - low <= WIDEST else "open"] += 1
            return (low + high) / 2 if high - low <= WIDEST else math.nan
    raise UsageError(
        f"{_quoted(text)} is not an age in years from 0 to {OLDEST}, nor a range such as 25-32; leave it "
        "empty if unknown"
    )


def parse_gender(text: str, readings: Counter[str]) -> float:
    """Parse a gender: 0 male, 1 female; NaN if unknown.

    Args:
        text: the cell.
        readings: counts genders that are given as a number (``number``).

    Raises:
        UsageError: the text is not a gender.
    """
    word = text.strip().lower()
    if word in UNKNOWN:
        return math.nan
    if word not in GENDERS:
        raise UsageError(
            f"unknown gender {_quoted(text)}; arcage reads male, man, boy, m, 0, female, woman, girl, f, w, "
            "1, or nothing if unknown"
        )
    readings["number"] += word in GENDER_NUMBERS
    return GENDERS[word]


def parse_person(text: str) -> str:
    """Normalise the name of a person; empty if unknown."""
    name = unicodedata.normalize("NFC", text.strip())
    if name.lower() in UNKNOWN and name not in PERSONS:
        return ""
    # pandas writes whole numbers in a column with gaps as 1.0, or as 1,0 with a decimal comma.
    whole = re.fullmatch(r"(-?[0-9]+)[.,]0+", name)
    return whole[1] if whole else name


def parse_weight(text: str) -> float:
    """Parse a weight of 0 or more; NaN if unknown.

    Raises:
        UsageError: the text is not a weight.
    """
    if is_unknown(text):
        return math.nan
    weight = _parse_number(text, exponent=True)
    # Python parses 1e-400 as 0.
    is_zero = weight == 0 and not re.search("[1-9]", text.lower().split("e")[0])
    if weight is None or not (is_zero or LIGHTEST <= weight <= HEAVIEST):
        raise UsageError(
            f"{_quoted(text)} is not a weight, 0 or a number from {LIGHTEST:g} to {HEAVIEST:g}; leave it "
            "empty if unknown"
        )
    return weight


def parse_split(text: str) -> str:
    """Parse a split: :data:`~arcage.data.labels.TRAIN`, :data:`~arcage.data.labels.HELD_OUT`, or empty.

    Raises:
        UsageError: the text is not a split.
    """
    split = text.strip().lower()
    if split not in UNKNOWN and split not in SPLITS:
        raise UsageError(f"unknown split {_quoted(text)}; arcage reads train, test, val, or nothing")
    return SPLITS.get(split, "")


def parse_face(text: str) -> int | None:
    """Parse the number of a face, counted from 0; None if unknown.

    Raises:
        UsageError: the text is not a face number.
    """
    if is_unknown(text):
        return None
    whole = re.fullmatch(r"([0-9]{1,6})(?:\.0*)?", text.strip())
    if not whole:
        raise UsageError(f"{_quoted(text)} is not a face number, counted from 0")
    return int(whole[1])


def parse_box(cells: Mapping[str, str]) -> tuple[float, ...] | None:
    """Parse the box of a face, pixels: x1, y1, x2, y2. Return None if it is not numeric or huge.

    A box may extend beyond the image.
    """
    try:
        box = tuple(float(cells[name]) for name in BOX)
    except (KeyError, ValueError):
        return None
    return box if all(abs(value) <= FARTHEST for value in box) else None


def _quoted(text: str) -> str:
    """Return a cell for a message."""
    return repr(text) if len(text) <= 1000 else f"{text[:100]!r}..."


def _parse_number(text: str, *, exponent: bool = False) -> float | None:
    """Parse a number of 0 or more in usual notation; None for other notations that Python accepts, such as
    ``4_6``."""
    form = _DECIMAL + (r"(?:[eE][+-]?[0-9]{1,3})?" if exponent else "")
    return float(text) if re.fullmatch(form, text := text.strip()) else None
