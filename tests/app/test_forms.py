"""Files in forms."""

from __future__ import annotations

import json
import random
import time

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


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("unicode_escape''%5Cud800.jpg", "?.jpg"),  # half a character
        ("raw_unicode_escape''%5Cudfff.jpg", "?.jpg"),
        ("idna''%ff.jpg", None),
        ("punycode''%ff.jpg", None),
        ("undefined''a.jpg", None),
        ("zlib''a.jpg", "a.jpg"),
    ],
)
def test_a_name_in_an_odd_encoding(name: str, expected: str | None) -> None:
    body = form((f"Content-Disposition: form-data; filename*={name}", b"data"))
    if expected is not None:
        assert only_file(body, MULTIPART) == (expected, b"data")
    else:
        with pytest.raises(FormError, match="the name of the file in this form cannot be read"):
            only_file(body, MULTIPART)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"--XX\r\nContent-Disposition: form-data; " + b'";' * 32_000 + b"\r\n\r\n\r\n--XX--", MULTIPART),
        (b'--XX\r\nContent-Disposition: form-data; x="' + b";" * 64_000 + b"\r\n\r\n\r\n--XX--", MULTIPART),
        (form(*[('Content-Disposition: x; x="' + ";" * 4000, b"")] * 99), MULTIPART),
        (b"--XX" + b" " * (16 << 20), MULTIPART),
        (b"\r\n--X" * (2 << 20), MULTIPART),
        (b"-" * (8 << 20), f"multipart/form-data; boundary={'-' * 10_000}"),
        (b"", "multipart/form-data; boundary*=idna''%ff"),
    ],
)
def test_a_hostile_form_is_refused_quickly(body: bytes, kind: str) -> None:
    started = time.process_time()
    with pytest.raises(FormError):
        only_file(body, kind)
    assert time.process_time() - started < 2


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
