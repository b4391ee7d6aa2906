"""What Python code gives as an image becomes a source, or a clear error."""

from __future__ import annotations

import array
import base64
import dataclasses
import io
import mmap
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoded import BIG, jpeg, picture, save

from arcage.errors import ImageError, InputError
from arcage.images.limits import DecodeLimits
from arcage.sources import given
from arcage.sources.given import pixels_of, source_of, sources_of
from arcage.sources.source import Source

DATA = jpeg(picture())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "Zoë.jpg"
    path.write_bytes(DATA)
    return path


def test_paths(path: Path) -> None:
    (entry,) = os.scandir(path.parent)
    (raw,) = os.scandir(os.fsencode(path.parent))
    for value in (str(path), path, entry, raw, np.str_(path)):
        source = source_of(value)
        assert (source.path, source.name) == (str(path), "Zoë.jpg")
        assert source.data is None
        assert source.content() == DATA
    assert type(source_of(np.str_(path)).path) is str


def test_urls_are_read_later() -> None:
    source = source_of("https://example.org/photos/a%20b.jpg?size=1")
    assert (source.path, source.name) == ("https://example.org/photos/a%20b.jpg?size=1", "a b.jpg")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, np.bytes_])
def test_bytes(kind: Any) -> None:
    source = source_of(kind(DATA))
    assert (source.path, source.name) == ("-", "-")
    assert type(source.content()) is bytes
    assert source.content() == DATA


def test_later_changes_of_the_given_bytes_do_not_matter() -> None:
    data = bytearray(DATA)
    source = source_of(data)
    data[:] = b"nothing"
    assert source.content() == DATA


def test_files(path: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("below/a.jpg", DATA)
    with open(path, "rb") as file, open(path, "rb", buffering=0) as raw, open(path, "rb") as whole:
        with mmap.mmap(whole.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            sources = [source_of(one) for one in (io.BytesIO(DATA), file, raw, mapped)]
        with zipfile.ZipFile(tmp_path / "a.zip") as packed, packed.open("below/a.jpg") as member:
            sources.append(source_of(member))
        with tempfile.TemporaryFile() as temporary:
            temporary.write(DATA)
            temporary.seek(0)
            sources.append(source_of(temporary))  # its name is a number
    assert [source.path for source in sources] == ["-", str(path), str(path), "-", "below/a.jpg", "-"]
    assert {source.content() for source in sources} == {DATA}


def test_a_file_is_read_from_its_position_and_stays_open() -> None:
    file = io.BytesIO(b"header" + DATA)
    file.seek(6)
    assert source_of(file).content() == DATA
    assert not file.closed
    assert source_of(file).content() == b""


def test_files_that_return_few_bytes_at_a_time() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(100)

    assert source_of(Slow(DATA)).content() == DATA


def test_an_endless_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "MAX_FILE_BYTES", 1000)

    class Endless:
        def read(self, size: int) -> bytes:
            return bytes(300)

    assert source_of(Endless()).error == "too large: the limit is 1,000 bytes"


def test_a_file_that_fails_is_an_unreadable_image() -> None:
    class Failing:
        name = "a.jpg"

        def read(self, size: int) -> bytes:
            raise OSError(5, "Input/output error")

    source = source_of(Failing())
    assert (source.path, source.error) == ("a.jpg", "Input/output error")


def test_files_that_are_no_binary_files(path: Path) -> None:
    class Other:
        def read(self, size: int) -> Any:
            return 3

    with open(path, encoding="latin-1") as text, pytest.raises(InputError, match="open for text"):
        source_of(text)  # type: ignore[arg-type]
    with tempfile.NamedTemporaryFile("w+") as text, pytest.raises(InputError, match=r"open\(path, 'rb'\)"):
        source_of(text)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="open for text"):
        source_of(io.StringIO("text"))  # type: ignore[arg-type]
    with open(path, "ab") as writing, pytest.raises(InputError, match="cannot be read"):
        source_of(writing)
    with open(path, "rb") as closed:
        pass
    with pytest.raises(InputError, match="closed file"):
        source_of(closed)
    with pytest.raises(InputError, match="read\\(\\) of Other returns no bytes"):
        source_of(Other())


def test_decoded_pictures() -> None:
    source = source_of(picture()[:, ::-1])
    assert (source.path, source.data, source.error) == ("-", None, "")
    np.testing.assert_array_equal(source.content(), picture()[:, ::-1])
    with pytest.raises(InputError, match="the limit is 10"):
        source_of(picture(), DecodeLimits(pixels=10))


def test_pillow_pictures(path: Path) -> None:
    Image = pytest.importorskip("PIL.Image")
    assert source_of(Image.fromarray(picture())).path == "-"
    with Image.open(path) as opened:
        source = source_of(opened)
    assert source.path == str(path)
    assert np.shape(source.content()) == picture().shape
    data = save(BIG, "JPEG")
    assert "truncated" in source_of(Image.open(io.BytesIO(data[: len(data) // 2]))).error


def test_sources_stay() -> None:
    source = Source("a", "a")
    assert source_of(source) is source


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None is no image: cv2.imread returns it"),
        (["a.jpg"], "an object of type list is not one image: give several images to `predict_many`"),
        (iter(["a.jpg"]), "`predict_many`"),
        (range(3), "an object of type range is no image: give a path"),
        (3, "an object of type int is no image"),
        (array.array("B", DATA), "an object of type array is no image"),
        (Path, "an object of type type is no image"),
        ("data:image/jpeg;base64," + base64.b64encode(DATA).decode(), "a data URI is no path: give base64"),
        (base64.b64encode(bytes(30_000)).decode(), "a text of 40,000 characters is no path: if it is base64"),
    ],
)
def test_what_is_no_image(value: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        source_of(value)


def test_the_advice_for_data_uris_works() -> None:
    uri = "data:image/jpeg;base64," + base64.b64encode(DATA).decode()
    assert source_of(base64.b64decode(uri.partition(",")[2])).content() == DATA


@pytest.mark.parametrize("package", list(given._FOREIGN))
def test_arrays_of_other_packages_say_how_to_convert_them(package: str) -> None:
    kind = dataclasses.make_dataclass("Tensor", [])
    kind.__module__ = f"{package}.inside"
    with pytest.raises(InputError, match=f"an array of {package}: give a NumPy array, uint8, RGB, such as"):
        source_of(kind())


def test_several_images_are_taken_when_they_are_needed(path: Path) -> None:
    taken = []

    def images() -> Any:
        for image in (path, DATA, io.BytesIO(DATA), picture(), 3):
            taken.append(image)
            yield image

    sources = sources_of(images())
    assert next(sources).path == str(path)
    assert len(taken) == 1
    assert next(sources).data == DATA
    assert next(sources).data == DATA
    assert next(sources).pixels is not None
    with pytest.raises(InputError, match="image 4, counted from 0: an object of type int is no image"):
        next(sources)


def test_a_buffer_that_is_used_again() -> None:
    frame = np.zeros((4, 5, 3), np.uint8)

    def frames() -> Any:
        for value in range(3):
            frame[:] = value
            yield frame

    assert [one.pixels.max() for one in sources_of(frames()) if one.pixels is not None] == [0, 1, 2]


def test_kinds_of_several_images() -> None:
    batch = np.stack([picture()] * 3)
    grey = np.zeros((5, 6, 7), np.uint8)
    for images in (
        batch,
        list(batch),
        tuple(batch),
        grey[:3],
        np.array(["a.jpg"] * 3),
        {"a": 1, "b": 2, "c": 3},
    ):
        assert len(list(sources_of(images))) == 3
    assert list(sources_of([])) == []


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ("a.jpg", "an object of type str is one image: give a list, or use `predict`"),
        (Path("a.jpg"), "is one image"),
        (DATA, "an object of type bytes is one image"),
        (picture(), r"shape \(24, 40, 3\) is one image"),
        (picture()[..., 0], "is one image"),
        (io.BytesIO(DATA), "a BytesIO is not a list"),
        (None, "a NoneType is not a list or another iterable of images"),
        (3, "a int is not a list"),
    ],
)
def test_one_image_is_not_several(images: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        sources_of(images)


def test_the_columns_of_a_table_are_no_images() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"path": ["a.jpg", "b.jpg"], "age": [1, 2]})
    with pytest.raises(InputError, match="a table is not a list of images: give one column of it"):
        sources_of(table)
    assert [source.path for source in sources_of(table["path"])] == ["a.jpg", "b.jpg"]


def test_pixels(path: Path) -> None:
    from_file, decoded = pixels_of(source_of(path)), source_of(picture())
    assert from_file.shape == picture().shape
    assert pixels_of(decoded) is decoded.pixels
    with pytest.raises(ImageError, match="no such file"):
        pixels_of(source_of("/nowhere/a.jpg"))
    with pytest.raises(ImageError, match="pixels"):
        pixels_of(source_of(path), DecodeLimits(pixels=10))
