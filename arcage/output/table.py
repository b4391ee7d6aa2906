"""Render predictions as a terminal table."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from typing import IO

from arcage.text import gender_text, percent, visible
from arcage.types import Prediction

_NARROW = 70
"""Terminals with fewer columns show no face number and no score, to leave room for the names."""
_LEAST = 11
"""Minimum number of columns for a name."""
_BOLD, _YELLOW = "1", "33"


def write_table(
    file: IO[str], more: Sequence[str] = (), interval: float = 90
) -> Callable[[Sequence[Prediction]], None]:
    """Write the header of a table into an open text file; return a function that writes rows.

    The table is as wide as the terminal. Long names lose their start. Unprintable characters, which may move
    the cursor or change the direction of text, are escaped, and so are characters that the file's encoding
    lacks.

    Args:
        file: receives the table.
        more: names of additional columns, which hold probabilities.
        interval: level of the interval, percent.
    """
    width = shutil.get_terminal_size().columns if file.isatty() else None
    narrow = width is not None and width < _NARROW
    paint = _paint if wants_colour(file) else _plain
    encoding = getattr(file, "encoding", None) or "utf-8"

    # The path comes last, because its width is not known in advance.
    level = f"{interval:g} %"
    bounded = max(7, len(level))
    header = f"{'age':>5}  {level:<{bounded}}  {'gender':<12}  "
    header += "".join(f"{_heading(name):<{_width(name)}}  " for name in more)
    header += "" if narrow else f"{'face':<7}  {'score':<5}  "
    room = None if width is None else max(_LEAST, width - len(header))
    file.write(f"{header}image\n")

    def line(row: Prediction) -> str:
        path = _shown(row.path, encoding)
        short = path if room is None else _shortened(path, room)
        if row.status != "ok":
            what = "no face" if row.status == "no_face" else "unreadable"
            start = f"{'-':>5}  {paint(f'{what:<{len(header) - 9}}', _YELLOW)}  "
            if not row.error:
                return start + short
            error = _shown(row.error, encoding)
            if room is None or _cells(f"{path}: {error}") <= room:
                return f"{start}{path}: {error}"
            return f"{start}{short}\n{'':7}{error}"
        age = paint("    -" if row.age is None else f"{row.age:5.1f}", _BOLD)
        bounds = "-" if row.age_low is None else f"{row.age_low:.0f}-{row.age_high:.0f}"
        gender = "-" if row.gender is None or row.p_female is None else gender_text(row.p_female)
        gender = f"{gender:<12}"
        for name in more:
            p = row.more.get(name)
            gender += f"  {'-' if p is None else percent(p):<{_width(name)}}"
        face = f"#{row.face} of {row.faces}"
        rest = "" if narrow else f"{face:<7}  {row.det_score:<5.2f}  "
        return f"{age}  {bounds:<{bounded}}  {gender}  {rest}{short}"

    def write(rows: Sequence[Prediction]) -> None:
        for row in rows:
            file.write(line(row) + "\n")

    return write


def _heading(name: str) -> str:
    return name.removeprefix("p_").replace("_", " ")


def _width(name: str) -> int:
    return max(len(_heading(name)), len(percent(0.999)))


def wants_colour(file: IO[str]) -> bool:
    """Return whether to write colours to the file: https://no-color.org, then https://force-color.org."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    # The old console of Windows prints the codes.
    supported = "WT_SESSION" in os.environ if os.name == "nt" else os.environ.get("TERM") != "dumb"
    return supported and file.isatty()


def _paint(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m"


def _plain(text: str, code: str) -> str:
    return text


def _shown(text: str, encoding: str) -> str:
    return visible(text).encode(encoding, "backslashreplace").decode(encoding)


def _shortened(text: str, room: int) -> str:
    """Cut the start of a long path: the end is more informative."""
    if _cells(text) <= room:
        return text
    text = text[3 - room :]
    while _cells(text) > room - 3:
        text = text[1:]
    return f"...{text}"


def _cells(text: str) -> int:
    """Return the number of terminal columns of a text."""
    if text.isascii():
        return len(text)
    # Imported here: few names need it, and it is slow.
    from rich.cells import cell_len

    return cell_len(text)
