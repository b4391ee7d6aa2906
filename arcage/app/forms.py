"""Find the files in a form (``multipart/form-data``, RFC 7578) in memory; libraries would write them to
temporary files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.message import Message
from email.parser import HeaderParser
from itertools import islice, pairwise

from arcage.errors import ArcageError

FRAME = 1 << 16
"""Maximum size of a form without its files, bytes: delimiters, headers and other fields."""
_FIELDS = 100
_HEAD = 1 << 12
"""Maximum size of the headers of a field, bytes."""
_SEMICOLONS = 300
"""Maximum number of semicolons in them, as the standard library takes long to parse many."""
_LOOKALIKES = 10_000
"""Maximum number of lines that begin like a delimiter."""
_BOUNDARY = 200
"""Maximum length of a boundary, characters; RFC 2046 allows 70."""


class FormError(ArcageError):
    """The form cannot be read, or contains no file."""


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file in a form."""

    name: str
    """Empty if the form does not name it."""
    form: bytes = field(repr=False)
    start: int
    """Where it begins in the form."""
    end: int

    def read(self) -> bytes:
        """Return the content."""
        return self.form[self.start : self.end]


def files_in(body: bytes, content_type: str) -> list[FormFile]:
    """Return the files in a form, at least one; other fields are ignored.

    Raises:
        FormError: the form is damaged, or contains no file.
    """
    lines = _delimiters(body, _boundary(content_type))
    files = []
    for before, after in pairwise(lines):
        head, blank, _ = body[before.end() : min(after.start(), before.end() + _HEAD)].partition(b"\r\n\r\n")
        if not blank:
            continue
        start, end = before.end() + len(head) + len(blank), after.start()
        name = _file_name(head)
        if name or (name is not None and end > start):  # a browser sends an empty part if no file is chosen
            files.append(FormFile(name, body, start, end))
    if not files:
        raise FormError(
            "this form contains no file: curl needs an @ before the file name (curl -F file=@photo.jpg)"
        )
    return files


def _boundary(content_type: str) -> str:
    form = Message()
    form["Content-Type"] = content_type
    try:
        boundary = form.get_boundary()
    except UnicodeError:
        boundary = None
    if not boundary or len(boundary) > _BOUNDARY:
        raise FormError(
            "the Content-Type of this form has no boundary: let the HTTP client set this header itself"
        )
    return boundary


def _delimiters(body: bytes, boundary: str) -> list[re.Match[bytes]]:
    """Return the lines that delimit the fields, up to the last one."""
    start = b"--" + boundary.encode("utf-8", "replace")
    many = FormError(
        f"this form has more than {_FIELDS} fields: send fewer photos, or a zip of them to /api/batch"
    )
    if body.count(b"\r\n" + start) > _LOOKALIKES:
        raise many
    text = re.escape(start) + rb"(--)?[ \t]{0,99}(?=\r\n|\Z)"
    first = re.match(text, body)
    others = re.compile(b"\r\n" + text).finditer(body)
    lines = [*([first] if first else []), *islice(others, _FIELDS + 2)]
    if len(lines) > _FIELDS + 1:
        raise many
    ends = [at for at, match in enumerate(lines) if match[1]]
    if not ends:
        raise FormError("this form is truncated: send it again")
    return lines[: ends[0] + 1]


def _file_name(head: bytes) -> str | None:
    """Return the name of the file in a field with these headers, or None if it is not a file."""
    if head.count(b";") > _SEMICOLONS:
        raise FormError("the headers in this form cannot be read: send only the file")
    headers = HeaderParser().parsestr(head.decode("utf-8", "replace").removeprefix("\r\n"))
    try:
        name = headers.get_filename()
    except UnicodeError:
        raise FormError("the name of the file in this form cannot be read: send it as UTF-8") from None
    if name is None and headers.get_content_maintype() == "text":
        return None  # a field
    encoding = headers.get("Content-Transfer-Encoding", "binary").strip().lower()
    if encoding not in ("binary", "8bit", "7bit"):
        raise FormError("the file in this form is encoded as text: send its raw bytes")
    return (name or "").encode("utf-8", "replace").decode("utf-8")
