"""Find the encoding of a text file."""

from __future__ import annotations

import codecs
from pathlib import Path

UTF_8, WINDOWS = "utf-8-sig", "cp1252"
_MARKS = (
    # UTF-32 precedes UTF-16, because its mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK = 1 << 20


def marked_encoding(path: Path) -> str:
    """Return the encoding that the byte order mark of a text file tells, for :func:`open`; UTF-8 without one.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(4)
    return next((name for mark, name in _MARKS if start.startswith(mark)), UTF_8)


def may_be_windows_1252(path: Path) -> bool:
    """Return whether a file that is not UTF-8 may be text in Windows-1252.

    Excel in Western Europe and America writes "CSV" in this encoding. It may be that if no letter of it is
    in UTF-8: a damaged byte does not make a file of UTF-8 another encoding.

    Raises:
        OSError: the file cannot be read.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("ignore")
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if b"\0" in chunk or not decoder.decode(chunk).isascii():
                return False
    return True
