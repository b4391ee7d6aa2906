"""The options of a request, in the query of its URL."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from arcage.errors import UsageError
from arcage.output.rows import under_column
from arcage.output.selection import Selection

NAME = 1000
"""Maximum length of a photo's name, characters."""
SELECTION = tuple(one.name for one in fields(Selection))
BATCH_OPTIONS = (*SELECTION, "pictures")
PREDICT_OPTIONS = (*BATCH_OPTIONS, "name")

_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{0,30})?([eE][+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"[0-9]{1,9}")
_SHOWN = 50
"""Characters of a wrong value that its error repeats."""


class OptionError(UsageError):
    """An option does not exist, or its value is invalid."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one request."""

    selection: Selection = field(default_factory=Selection)
    pictures: bool = False
    """Return a smaller copy of each photo with its rows."""
    name: str = ""
    """Name of the photo in its rows; empty if it is not given."""

    @property
    def more(self) -> list[str]:
        """The columns that are asked for in addition."""
        return [under_column(age) for age in self.selection.under]


def parse_options(query: Iterable[tuple[str, str]], known: Iterable[str]) -> Options:
    """Return the options in a query.

    Args:
        query: pairs of name and value.
        known: the options of this endpoint.

    Raises:
        OptionError: an option does not exist, is given twice, or has an invalid value.
    """
    known = tuple(known)
    given: dict[str, Any] = {}
    for name, text in query:
        if name not in known:
            raise OptionError(f"there is no option {name[:_SHOWN]!r}: the options are {', '.join(known)}")
        if name == "under":
            given.setdefault(name, []).append(_whole(name, text))
        elif name in given:
            raise OptionError(f"{name} is given twice: give it once")
        else:
            given[name] = _value(name, text)
    own = {name: given.pop(name) for name in ("pictures", "name") if name in given}
    try:
        return Options(Selection(**given), **own)
    except UsageError as error:
        raise OptionError(str(error)) from None


def _value(name: str, text: str) -> Any:
    if name == "faces":
        return text[:_SHOWN]
    if name == "name":
        if len(text) > NAME:
            raise OptionError(f"name is longer than {NAME:,} characters: shorten it")
        return text
    if name == "pictures":
        if text not in ("0", "1"):
            raise OptionError(f"pictures is 0 or 1, not {text[:_SHOWN]!r}")
        return text == "1"
    if not _NUMBER.fullmatch(text):
        raise OptionError(f"{name} is a number, not {text[:_SHOWN]!r}")
    return float(text)


def _whole(name: str, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise OptionError(f"{name} is a whole number of years, not {text[:_SHOWN]!r}")
    return int(text)
