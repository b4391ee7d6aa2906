"""Files in forms."""

from __future__ import annotations

import json
import random

import pytest

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from appserver import FIELD, FILE, MULTIPART, Server, form  # noqa: E402

from arcage.app.forms import FormError, only_file  # noqa: E402


def test_bytes_in_a_form_are_unchanged() -> None:
    for data in (
        b"",
        b"\r\n",
        b"\r\n\r\n",
        b"\r\n--XXY",
        b"\r\n--XX-",
        b"\n--XX\n",
        bytes(range(256)) * 99,
    ):
        assert only_file(form((FILE, data)), MULTIPART) == ("a.jpg", data)
    with pytest.raises(FormError, match="truncated"):
        only_file(form((FILE, b"data"), end=""), MULTIPART)


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (form(FIELD), MULTIPART, "this form contains no file: curl needs an @ before the file name"),
        (form((FILE.replace("filename", "nickname"), b"photo.jpg")), MULTIPART, "this form contains no file"),
        (form(), MULTIPART, "this form contains no file"),
        (form((FILE.replace("a.jpg", ""), b"")), MULTIPART, "this form contains no file"),
        (
            form((FILE, b"1"), (FILE, b"2")),
            MULTIPART,
            "this form contains 2 files: send one per request, or all as a zip",
        ),
        (form(*[FIELD] * 101), MULTIPART, "this form has more than 100 fields"),
        (b"\r\n--XX" * 3000, MULTIPART, "this form has more than 100 fields"),
        (form((FILE, b"1"), end=""), MULTIPART, "this form is truncated"),
        (form((FILE, b"1"), boundary="YY"), MULTIPART, "this form contains no file"),
        (b"", MULTIPART, "this form is truncated"),
        (form((f"{FILE}\r\nContent-Transfer-Encoding: base64", b"AAAA")), MULTIPART, "encoded as text"),
        (form((FILE, b"1")), "multipart/form-data", "the Content-Type of this form has no boundary"),
    ],
)
def test_a_form_that_is_refused(tiny: Server, body: bytes, kind: str, error: str) -> None:
    for path in ("/api/predict", "/api/batch"):
        answer = tiny(path, body, Content_Type=kind)
        assert answer.status == 400
        assert answer.error.startswith(error) or error in answer.error


def test_damaged_forms_are_read_or_refused() -> None:
    whole = form(FIELD, (FILE, bytes(range(256))))
    rng = random.Random(0)
    refused = 0
    for _ in range(1000):
        broken = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            broken[rng.randrange(len(broken))] = rng.choice(b"\r\n\"';=*\\%- \0\xff")
        try:
            name, data = only_file(bytes(broken), MULTIPART)
        except FormError:
            refused += 1
        else:
            assert len(name) + len(data) < len(whole)
            json.dumps(name, ensure_ascii=False).encode()
    assert 0 < refused < 1000
