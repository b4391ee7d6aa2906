"""Read the file in a form (``multipart/form-data``, RFC 7578) in memory; libraries would write it to a
temporary file."""

from __future__ import annotations

import re
from email.message import Message
from email.parser import HeaderParser
from itertools import islice, pairwise

from arcage.errors import ArcageError

FRAME = 1 << 16
"""Maximum size of a form without its file, bytes: delimiters, headers and other fields."""
_FIELDS = 100


class FormError(ArcageError):
    """The form cannot be read, or does not contain exactly one file."""


def only_file(body: bytes, content_type: str) -> tuple[str, bytes]:
    """Return the name and the content of the file in a form; other fields are ignored.

    Raises:
        FormError: the form is damaged, or contains no file or several.
    """
    form = Message()
    form["Content-Type"] = content_type
    boundary = form.get_boundary()
    if not boundary:
        raise FormError(
            "the Content-Type of this form has no boundary: let the HTTP client set this header itself"
        )
    text = b"\r\n" + body
    line = re.compile(
        rb"\r\n--" + re.escape(boundary.encode("utf-8", "replace")) + rb"(--)?[ \t]*(?=\r\n|\Z)"
    )
    lines = list(islice(line.finditer(text), _FIELDS + 2))
    if len(lines) > _FIELDS + 1:
        raise FormError(f"this form has more than {_FIELDS} fields: send only the file")
    ends = [at for at, match in enumerate(lines) if match[1]]
    if not ends:
        raise FormError("this form is truncated: send it again")
    files = []
    for before, after in pairwise(lines[: ends[0] + 1]):
        head, blank, _ = text[before.end() : min(after.start(), before.end() + FRAME)].partition(b"\r\n\r\n")
        if not blank:
            continue
        headers = HeaderParser().parsestr(head.decode("utf-8", "replace").removeprefix("\r\n"))
        name = headers.get_filename()
        if name is None and headers.get_content_maintype() == "text":
            continue  # a field
        encoding = headers.get("Content-Transfer-Encoding", "binary").strip().lower()
        if encoding not in ("binary", "8bit", "7bit"):
            raise FormError("the file in this form is encoded as text: send its raw bytes")
        start, end = before.end() + len(head) + len(blank), after.start()
        if name or end > start:  # a browser sends an empty part if no file is chosen
            files.append((name or "", start, end))
    if not files:
        raise FormError(
            "this form contains no file: curl needs an @ before the file name (curl -F file=@photo.jpg)"
        )
    if len(files) > 1:
        raise FormError(
            f"this form contains {len(files)} files: send one per request, or all as a zip to /api/batch"
        )
    name, start, end = files[0]
    return name, text[start:end]
