"""Format numbers and lists for messages, tables and plots."""

from __future__ import annotations

from collections.abc import Sequence


def percent(share: float, decimals: int = 0) -> str:
    """Return a share as a percentage, such as ``91 %``."""
    return format_number(f"{{:.{decimals}%}}", share)


def format_number(template: str, value: float) -> str:
    """Format a number with a ``str.format`` template; a percent sign follows a space, as in ``91.2 %``."""
    return template.format(value).replace("%", " %")


def counted(number: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun, such as ``1 face`` or ``1,200 faces``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def alternatives(words: Sequence[str]) -> str:
    """Join words as alternatives, such as ``age, gender or both``."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def shortened(words: Sequence[str], limit: int) -> str:
    """Join at most ``limit`` words, and count the others: ``a, b and 1,200 more``."""
    others = f" and {len(words) - limit:,} more" if len(words) > limit else ""
    return ", ".join(words[:limit]) + others


def gender_text(p_female: float) -> str:
    """Return the more probable gender with its probability, such as ``female 97 %``."""
    return f"female {percent(p_female)}" if p_female >= 0.5 else f"male {percent(1 - p_female)}"
