"""Images in Parquet files: columns, damage and memory."""

from __future__ import annotations

import csv
import io
import pickle
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import FINGERPRINT, face, image

import arcage.sources.parquet
from arcage.cache import Cache
from arcage.errors import ImageError, UsageError
from arcage.sources.read_ahead import ReadAhead
from arcage.sources.shards import Shard
from arcage.sources.source import Source
from arcage.sources.walk import walk

Run = Callable[..., Any]
BINARY = pa.binary()


def write(path: Path, columns: dict[str, Any], rows_per_group: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=rows_per_group)
    return path


def read(path: Path) -> list[tuple[str, bytes]]:
    return [(source.name, source.read()) for source in walk([path])]


def photos(count: int) -> dict[str, bytes]:
    return {f"p/{n:03d}.jpg": image(face(n % 90), width=n + 1) for n in range(count)}


# Columns

TWO = [b"one", b"two"]


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"image": TWO, "path": ["b.jpg", "a/1.jpg"]}, ["b.jpg", "a/1.jpg"]),
        ({"anything": TWO, "name": ["b", "a"], "label": [1, 2]}, ["b", "a"]),
        ({"bytes": pa.array(TWO, pa.large_binary()), "key": [7, 8]}, ["7", "8"]),
        pytest.param(
            {"bytes": pa.array(TWO, pa.binary_view()), "key": ["b", "a"]},
            ["b", "a"],
            marks=pytest.mark.skipif(int(pa.__version__.split(".")[0]) < 21, reason="cannot be written"),
        ),
        ({"mask": [b"", b""], "image": TWO, "file_name": ["b", "a"]}, ["b", "a"]),
        ({"image": [{"bytes": b, "path": f"{b.decode()}.jpg"} for b in TWO]}, ["one.jpg", "two.jpg"]),
        ({"image": [{"bytes": b, "path": "x"} for b in TWO], "name": ["b", "a"]}, ["b", "a"]),
        ({"image": [{"bytes": b} for b in TWO], "path": [1.5, 2.5]}, ["x.parquet#0", "x.parquet#1"]),
        ({"image": [{"bytes": b, "path": None} for b in TWO]}, ["x.parquet#0", "x.parquet#1"]),
        ({"image": TWO, "path": pa.array(["b", "a"]).dictionary_encode()}, ["b", "a"]),
        ({"image": TWO, "path": ["b", None]}, ["b", "x.parquet#1"]),
        ({"image": TWO}, ["x.parquet#0", "x.parquet#1"]),
    ],
)
def test_columns_are_found(tmp_path: Path, columns: dict[str, Any], names: list[str]) -> None:
    path = write(tmp_path / "x.parquet", columns, rows_per_group=1)
    assert read(path) == list(zip(names, TWO, strict=True))
    shown = [source.path for source in walk([path])]
    assert shown == [f"{path}#{name.removeprefix('x.parquet#')}" for name in names]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"image": ["a.jpg"], "age": [3]},
            [r"image \(string\), age \(int64\)", r"go into a list \(`from_file`\)"],
        ),
        ({"left": [b""], "right": [b""]}, [r"left \(binary\), right \(binary\)", "'image'"]),
        ({"image": [{"path": "a.jpg"}]}, [r"image \(struct<path: string>\)"]),
    ],
)
def test_ambiguous_columns(arcage: Run, tmp_path: Path, columns: dict[str, Any], words: list[str]) -> None:
    path = write(tmp_path / "x.parquet", columns)
    for text in words:
        with pytest.raises(UsageError, match=text):
            list(walk([path]))
    done = arcage("predict", path)
    assert ("go into a list (--from-file)" in done.stderr) == ("several have bytes" not in done.stderr)
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr


def test_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    hostile = ["../../etc/x", "/etc/x", "a/../../x", "//x", "..", "", "a\0b", "./a//b"]
    path = write(tmp_path / "x.parquet", {"image": [b"x"] * len(hostile), "path": hostile})
    assert [source.name for source in walk([path])] == [
        *("etc/x", "etc/x", "a/x", "x", "x.parquet#4", "x.parquet#5", "ab", "a/b")
    ]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    text = pa.array([b"caf\xe9"]).view(pa.string())
    assert read(write(tmp_path / "x.parquet", {"image": [b"x"], "name": text})) == [("caf\udce9", b"x")]


# Errors


def test_a_row_without_bytes(tmp_path: Path) -> None:
    rows = [{"bytes": b"x", "path": "a"}, {"bytes": None, "path": "b"}, None]
    first, *others = walk([write(tmp_path / "x.parquet", {"image": rows})])
    assert first.read() == b"x"
    for source in others:
        with pytest.raises(ImageError, match="no image bytes"):
            source.read()


def test_files_that_are_not_parquet(arcage: Run, tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_bytes(b"text")
    (tmp_path / "empty.parquet").write_bytes(b"")
    whole = write(tmp_path / "whole.parquet", {"image": [image(face(20))], "path": ["a.jpg"]})
    (tmp_path / "half.parquet").write_bytes(whole.read_bytes()[:-20])
    (tmp_path / "folder.parquet").mkdir()
    names = ("text", "empty", "half", "folder", "missing", "whole")
    (tmp_path / "list.txt").write_text("".join(f"{tmp_path}/{name}.parquet\n" for name in names))
    done = arcage("predict", "--from-file", tmp_path / "list.txt")
    assert done.exit_code == 0
    rows = {Path(row["path"]).name: row for row in csv.DictReader(io.StringIO(done.stdout))}
    assert {name: row["status"] for name, row in rows.items()} == {
        **dict.fromkeys(("text.parquet", "empty.parquet", "half.parquet", "missing.parquet"), "unreadable"),
        "whole.parquet#a.jpg": "ok",
    }
    assert rows["missing.parquet"]["error"] == "no such file"
    assert "Parquet" in rows["text.parquet"]["error"]


def test_a_damaged_row_group(tmp_path: Path) -> None:
    chance = random.Random(0)
    data = [chance.randbytes(5000) for _ in range(60)]
    columns = {"image": data, "path": [f"{n:02d}" for n in range(60)]}
    path = write(tmp_path / "x.parquet", columns, rows_per_group=20)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    damaged = bytearray(path.read_bytes())
    damaged[start : start + 30] = b"\xff" * 30
    path.write_bytes(damaged)
    for row, source in enumerate(walk([path])):
        if 20 <= row < 40:
            with pytest.raises(ImageError, match="row group 1 cannot be read"):
                source.read()
        else:
            assert source.read() == data[row]
    assert row == 59


# Reading


def test_any_order_and_any_thread(tmp_path: Path) -> None:
    made = {f"{n:03d}": bytes([n % 256]) * 10 + str(n).encode() for n in range(500)}
    path = write(tmp_path / "x.parquet", {"image": list(made.values()), "name": list(made)}, 200)
    sources = list(walk([path]))
    random.Random(1).shuffle(sources)
    with ThreadPoolExecutor(8) as pool:
        assert dict(zip([s.name for s in sources], pool.map(Source.read, sources), strict=True)) == made
    assert sources[0].read() == made[sources[0].name]
    assert [s.read() for s in ReadAhead(walk([path]))] == list(made.values())


def test_sources_can_be_pickled(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", {"image": [b"%d" % n for n in range(100)]}, 40)
    sent = [pickle.dumps(source) for source in walk([path])]
    assert max(map(len, sent)) < 1000
    assert [pickle.loads(data).read() for data in sent] == [b"%d" % n for n in range(100)]  # noqa: S301


def test_memory_does_not_grow_with_the_row_group(tmp_path: Path) -> None:
    """Of a row group of 64 MB with pages of 1 MB, only the images being read are in memory."""
    chance = random.Random(0)
    path = tmp_path / "x.parquet"
    table = pa.table({"image": [chance.randbytes(1 << 16) for _ in range(1024)]})
    pq.write_table(table, path, row_group_size=1024, write_batch_size=16)
    assert pq.ParquetFile(path).num_row_groups == 1
    del table
    peak = 0
    before = pa.total_allocated_bytes()
    for number, source in enumerate(walk([path])):
        assert len(source.read()) == 1 << 16
        if number % 16 == 0:
            peak = max(peak, pa.total_allocated_bytes() - before)
    assert number == 1023
    assert 1 << 20 <= peak < 12 << 20


def test_each_row_group_is_read_once_over_all_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = photos(200)
    path = write(tmp_path / "x.parquet", {"image": list(made.values()), "path": list(made)}, 10)
    decoded: list[int] = []
    decode = arcage.sources.parquet._decode
    monkeypatch.setattr(
        arcage.sources.parquet,
        "_decode",
        lambda place: decoded.append(place.number) or decode(place),
    )
    names = []
    for i in (1, 2, 3):
        part = [source for source in walk([path]) if source in Shard(i, 3)]
        assert part
        for source in part:
            assert source.read() == made[source.name]
        names += [source.name for source in part]
    assert sorted(names) == sorted(made)
    assert sorted(decoded) == list(range(20))


# Commands


def test_predict_and_extract(arcage: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = {**photos(30), "p/broken.jpg": b"text"}
    write(Path("in/x.parquet"), {"image": list(made.values()), "path": list(made)}, 10)
    Path("b.jpg").write_bytes(image(face(44)))
    Path("list.txt").write_text("in/x.parquet\nb.jpg\n")
    done = arcage("predict", "--from-file", "list.txt")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["path"] for row in rows] == ["b.jpg", *(f"in/x.parquet#{name}" for name in made)]
    assert [row["age"] for row in rows[1:4]] == ["0.0", "1.0", "2.0"]
    assert rows[-1]["status"] == "unreadable"

    assert arcage("extract", "in/x.parquet", "--cache", "whole").exit_code == 0
    for i in (1, 2):
        assert arcage("extract", "in/x.parquet", "--cache", "parts", "--shard", f"{i}/2").exit_code == 0
    for folder in ("whole", "parts"):
        assert Cache(folder, FINGERPRINT).names().names.tolist() == sorted(made)
        assert len(Cache(folder, FINGERPRINT)) == 31
    # Folders are not searched for Parquet files, which may contain other tables.
    assert "no images found" in arcage("predict", "in").stderr


def test_annotated_images_stay_in_the_folder(
    arcage: Run, tmp_path: Path, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    write(Path("in/x.parquet"), {"image": [photo, photo], "path": ["a/1.jpg", "../../../../2.jpg"]})
    assert arcage("predict", "in/x.parquet", "--annotate", "out").exit_code == 0
    found = sorted(str(path.relative_to(here)) for path in tmp_path.rglob("*.jpg"))
    assert found == ["out/x.parquet#2.jpg", "out/x.parquet#a/1.jpg"]


# Hostile files


def test_a_page_that_expands_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"image": [bytes(1_000_000)] * 3}), path, compression="zstd", use_dictionary=False
    )
    assert path.stat().st_size < 10_000
    assert [len(data) for _, data in read(path)] == [1_000_000] * 3
    monkeypatch.setattr(arcage.sources.parquet, "_MAX_PAGE", 2_000_000)
    for source in walk([path]):
        with pytest.raises(
            ImageError, match=r"a page of the Parquet file has 3,000,0\d\d bytes, the limit is 2,000,000"
        ):
            source.read()


def test_images_that_repeat_a_large_value_of_a_dictionary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": [bytes(100_000)] * 30}), path, compression="zstd")
    monkeypatch.setattr(arcage.sources.parquet, "_BATCH_BYTES", 1_000_000)
    assert [len(data) for _, data in read(path)] == [100_000] * 30  # decoded one at a time
    monkeypatch.setattr(arcage.sources.parquet, "_MAX_IMAGE", 99_000)
    with pytest.raises(ImageError, match=r"an image of 100,0\d\d bytes is larger than its row group"):
        read(path)


def test_images_that_share_a_long_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    encoding = {"image": "DELTA_BYTE_ARRAY"}
    table = pa.table({"image": [bytes(100_000)] * 30})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, column_encoding=encoding)
    assert path.stat().st_size < 2000
    monkeypatch.setattr(arcage.sources.parquet, "_BATCH_BYTES", 1_000_000)
    assert [len(data) for _, data in read(path)] == [100_000] * 30  # decoded one at a time
    monkeypatch.setattr(arcage.sources.parquet, "_MAX_IMAGE", 99_000)
    with pytest.raises(ImageError, match=r"an image of 100,0\d\d bytes is larger than its row group"):
        read(path)


@pytest.mark.parametrize("rows_per_group", [1, 100])
def test_pages_that_expand_are_decoded_one_image_at_a_time(tmp_path: Path, rows_per_group: int) -> None:
    """100 images of 4 MB in a small file: what was read is not kept, nor is the page of the last one."""
    path = tmp_path / "a.parquet"
    table = pa.table({"image": [bytes(4_000_000)] * 100})
    options = {"use_dictionary": False, "write_batch_size": 1, "compression": "zstd"}
    pq.write_table(table, path, row_group_size=rows_per_group, **options)
    del table
    before = pa.total_allocated_bytes()
    sources = list(walk([path]))
    for source in sources:
        assert len(source.read()) == 4_000_000
        assert pa.total_allocated_bytes() - before < 20_000_000


def test_damaged_footers(tmp_path: Path) -> None:
    """pyarrow ends the process if it is asked where a column is that is not as its statistics say."""
    path = write(tmp_path / "a.parquet", {"image": [b"%d" % n for n in range(40)]}, 10)
    data = path.read_bytes()
    optional = b"\x25\x02\x18\x05image"
    assert data.count(optional) == 1
    path.write_bytes(data.replace(optional, b"\x25\x00\x18\x05image"))
    assert len(list(walk([path]))) == 40
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    chance = random.Random(0)
    refused = 0
    for _ in range(300):
        changed = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(start, len(data) - 8)] = chance.randrange(256)
        path.write_bytes(changed)
        try:
            read(path)
        except (ImageError, UsageError):
            refused += 1
    assert refused > 150


def test_names_are_not_endless(tmp_path: Path) -> None:
    (first, error) = walk([write(tmp_path / "a.parquet", {"image": TWO, "path": ["a", "b" * 70_000]})])
    assert first.name == "a"
    assert "a name has 70,000 bytes, the limit is 65,536" in error.error


def test_a_row_group_that_claims_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.parquet", {"image": pa.array([None] * 5000, BINARY)}, 5000)
    assert len(list(walk([path]))) == 5000
    monkeypatch.setattr(arcage.sources.parquet, "_MAX_EMPTY_ROWS", 1000)
    (source,) = walk([path])
    assert "claims 5,000 rows" in source.error


def test_names_that_expand_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.parquet", {"image": TWO, "path": ["a" * 20_000, "b"]})
    monkeypatch.setattr(arcage.sources.parquet, "_MAX_NAMES_PAGE", 1000)
    (source,) = walk([path])
    assert "bytes, the limit is 1,000" in source.error
