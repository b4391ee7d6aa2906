"""Format numbers and lists for sentences, tables and plots."""

from __future__ import annotations

from collections.abc import Sequence


def percent(share: float, decimals: int = 0) -> str:
    """Format a share as a percentage, such as ``91 %``."""
    return in_words(f"{{:.{decimals}%}}", share)


def in_words(style: str, value: float) -> str:
    """Format a number with a format string; a space precedes a percent sign, as in ``91.2 %``."""
    return style.format(value).replace("%", " %")


def counted(number: int, one: str, many: str = "") -> str:
    """Format a number with its noun: ``1 face``, ``1,200 faces``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def either(words: Sequence[str]) -> str:
    """Join alternatives: ``age, gender or both``."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def gender_words(p_female: float) -> str:
    """The more probable gender with its probability, such as ``female 97 %``."""
    return f"female {percent(p_female)}" if p_female >= 0.5 else f"male {percent(1 - p_female)}"
