"""Format numbers, lists and foreign text for messages, tables, plots and files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _csv import Writer

_BLANK = frozenset(
    chr(code)
    for first, last in (
        (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2800, 0x2800),
        (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
)  # fmt: skip
"""Fillers, joiners and variation selectors: nobody sees them, but Python counts them as printable."""
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠].", re.DOTALL)
_MARKDOWN = re.compile(r"[\\`*_\[\]~|$]")


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


def visible(text: str, keep: str = "") -> str:
    r"""Escape the characters of a text that cannot be seen, such as ``\x1b`` and ``\u202e``.

    Text from files may contain control characters, with which a terminal moves the cursor or renames its
    window, and characters that reverse the direction of text or have no width.

    Args:
        text: any text.
        keep: characters to leave, such as the line ends of a table.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c
        if c in keep or (c.isprintable() and c not in _BLANK)
        else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def visible_json(text: str) -> str:
    r"""Escape the characters of JSON text that cannot be seen, as ``\u202e``. The values stay the same.

    The JSON text must not be broken into lines inside a string, as :mod:`json` writes it. Line ends stay.
    """
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(
        c
        if c == "\n" or (c.isprintable() and c not in _BLANK)
        else json.dumps(c)[1:-1].replace("\x7f", "\\u007f")
        for c in text
    )


def to_spreadsheet(text: str) -> str:
    """Prefix an apostrophe to a CSV cell that a spreadsheet would run as a formula.

    These are texts that begin with ``=``, ``+``, ``-``, ``@`` (also in full width), a tab or a line end, or
    with apostrophes before one of them. A single such character is no formula, such as ``-`` for standard
    input. :func:`from_spreadsheet` removes the apostrophe.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def from_spreadsheet(text: str) -> str:
    """Restore a text that :func:`to_spreadsheet` returned."""
    return text[1:] if text[:1] == "'" and _FORMULA.match(text) else text


def csv_writer(write: Callable[[str], object]) -> Writer:
    """Return a CSV writer with commas and line feeds. Texts need :func:`to_spreadsheet` first.

    Cells with a semicolon or a tab are quoted too: in some languages, spreadsheets separate cells by these,
    and would run the rest of the text.

    Args:
        write: is called with each line.
    """
    import csv

    # The writer quotes cells with any of the characters that end a line. Python before 3.13 quotes a carriage
    # return only if it is one of them.
    end = ";\t\r\n"
    lines = SimpleNamespace(write=lambda line: write(line.removesuffix(end) + "\n"))
    return csv.writer(lines, lineterminator=end)


def markdown(text: str) -> str:
    """Escape a text, so that Markdown and HTML show it as it is. Invisible characters become visible."""
    from html import escape

    return escape(_MARKDOWN.sub(r"\\\g<0>", visible(text)), quote=False)


def html_text(text: str) -> str:
    """Escape a text for HTML. Invisible characters become visible."""
    from html import escape

    return escape(visible(text))


def code_span(text: str) -> str:
    """Return a text as Markdown code on one line. Invisible characters become visible."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{fence}{space}{visible(text)}{space}{fence}"


def code_block(text: str) -> str:
    """Return a Markdown block that shows lines as they are. Invisible characters become visible."""
    longest = max(map(len, re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{visible(text, keep=chr(10))}\n{fence}"
