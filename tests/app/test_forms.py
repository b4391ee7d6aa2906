"""Files in forms."""

from __future__ import annotations

import json
import random
import time

import pytest

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from appserver import FIELD, FILE, MULTIPART, Server, form  # noqa: E402

from arcage.app.forms import FormError, files_in  # noqa: E402


def read(body: bytes, kind: str) -> list[tuple[str, bytes]]:
    return [(file.name, file.read()) for file in files_in(body, kind)]


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
        assert read(form((FILE, data)), MULTIPART) == [("a.jpg", data)]
    with pytest.raises(FormError, match="truncated"):
        files_in(form((FILE, b"data"), end=""), MULTIPART)


def test_all_files_of_a_form_are_found_in_their_order() -> None:
    named = [(FILE.replace("a.jpg", f"{i}.jpg"), bytes([i]) * i) for i in range(1, 90)]
    assert read(form(FIELD, *named, FIELD), MULTIPART) == [(f"{i}.jpg", bytes([i]) * i) for i in range(1, 90)]


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (form(FIELD), MULTIPART, "this form contains no file: curl needs an @ before the file name"),
        (form((FILE.replace("filename", "nickname"), b"photo.jpg")), MULTIPART, "this form contains no file"),
        (form(), MULTIPART, "this form contains no file"),
        (form((FILE.replace("a.jpg", ""), b"")), MULTIPART, "this form contains no file"),
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
        assert read(body, MULTIPART) == [(expected, b"data")]
    else:
        with pytest.raises(FormError, match="the name of the file in this form cannot be read"):
            files_in(body, MULTIPART)


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
        files_in(body, kind)
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
            files = read(bytes(broken), MULTIPART)
        except FormError:
            refused += 1
        else:
            assert sum(len(name) + len(data) for name, data in files) < len(whole)
            json.dumps([name for name, _ in files], ensure_ascii=False).encode()
    assert 0 < refused < 1000
