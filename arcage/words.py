"""Numbers and lists as they stand in sentences, tables and plots."""

from __future__ import annotations

from collections.abc import Sequence


def percent(share: float, decimals: int = 0) -> str:
    """A share of one, such as ``91 %``."""
    return in_words(f"{{:.{decimals}%}}", share)


def in_words(style: str, value: float) -> str:
    """A number in a format string's style; a percent sign stands apart, as in ``91.2 %``."""
    return style.format(value).replace("%", " %")


def counted(number: int, one: str, many: str = "") -> str:
    """How many there are of something: ``1 face``, ``1,200 faces``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def either(words: Sequence[str]) -> str:
    """A choice: ``age, gender or both``."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
