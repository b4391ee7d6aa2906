"""Damage that keeps the sizes of the files: it is noticed when a file is first used."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from invented import assert_same, files, image, sha, store

from arcage.cache import Cache, arrow
from arcage.cache.arrow import read_columns
from arcage.cache.marker import sealed
from arcage.cache.parts import DamageError, write_file
from arcage.errors import CacheError


def flip(path: Path, at: int, bit: int = 1) -> None:
    """Change one bit, and keep the size and the time of the file."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[at] ^= bit
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def without_fast_digests(cache: Cache) -> None:
    """Turn the markers into those of earlier versions, which only have SHA-256."""
    for marker in files(cache, "done"):
        facts = json.loads(marker.read_text())
        del facts["checksum"]
        for digests in facts["files"].values():
            del digests["xxh3"]
        marker.write_text(json.dumps(facts))


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize(("suffix", "at"), [("npy", -1), ("npy", 8), ("npy", 60), ("parquet", 40)])
def test_a_changed_bit_is_noticed(
    cache: Cache, reopened: Callable[[], Cache], suffix: str, at: int, earlier: bool
) -> None:
    store(cache, image(1, faces=2), image(2))
    if earlier:
        without_fast_digests(cache)
    assert_same(reopened().get(sha(1)), image(1, faces=2))
    flip(files(cache, suffix)[0], at)
    seen = reopened()
    assert seen.get(sha(1)) is None
    assert "has changed since it was written" in str(seen.damaged[0])
    assert seen.missing([sha(1), sha(2)]).all()


def test_descriptors_for_a_fit(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1), image(2))
    flip(files(cache, "npy")[0], -1)
    table = reopened().table()
    with pytest.raises(CacheError, match=r"has changed since it was written\. Delete these files and run"):
        table.descriptors()


def test_swapped_files(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1), image(2), per_shard=1)
    one, other = files(cache, "npy")
    first, second = one.read_bytes(), other.read_bytes()
    assert len(first) == len(second)
    one.write_bytes(second)
    other.write_bytes(first)
    seen = reopened()
    assert seen.get(sha(1)) is seen.get(sha(2)) is None
    assert len(seen.damaged) == 2


@pytest.mark.parametrize("key", ["rows", "faces", "images", "min_face"])
def test_a_changed_marker_is_noticed(cache: Cache, reopened: Callable[[], Cache], key: str) -> None:
    store(cache, image(1))
    marker = files(cache, "done")[0]
    facts = json.loads(marker.read_text())
    facts[key] = facts.get(key, 12) + 1
    marker.write_text(json.dumps(facts))
    seen = reopened()
    assert sha(1) not in seen
    assert "checksum differs" in str(seen.damaged[0])


def test_a_marker_without_its_checksum_is_refused(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1))
    marker = files(cache, "done")[0]
    facts = json.loads(marker.read_text())
    del facts["checksum"]
    marker.write_text(json.dumps(facts))
    assert len(reopened().damaged) == 1


def test_a_lost_marker_is_reported(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1))
    store(cache, image(2))
    files(cache, "done")[0].unlink()
    assert reopened().damaged == ()  # a writer may be about to add it
    for path in cache.path.iterdir():
        os.utime(path, (time.time() - 120,) * 2)
    (lost,) = reopened().damaged
    assert "the marker is missing" in str(lost)
    assert_same(reopened().get(sha(2)), image(2))


def test_a_description_that_has_changed(cache: Cache, reopened: Callable[[], Cache]) -> None:
    path = cache.path / "pipeline.json"
    path.write_text(path.read_text().replace("yunet", "scrfd"))
    with pytest.raises(CacheError, match=r"damaged \(its checksum differs\)\. Delete this one file"):
        reopened()


def test_a_pipe_instead_of_a_file(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1))
    path = files(cache, "npy")[0]
    path.unlink()
    os.mkfifo(path)
    assert "not a regular file" in str(reopened().damaged[0])


def test_parquet_of_another_form_with_right_checksums(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1), image(2))
    path = files(cache, "parquet")[0]
    table = pq.read_table(path)
    for name, values in {
        "faces": pa.array([7, 1], pa.int32()),
        "face": pa.array([0, 5], pa.int32()),
        "width": pa.array([1.5, 2.5]),
        "status": pa.array(["ok", "fine"]).dictionary_encode(),
    }.items():
        write_shard_again(cache, table.set_column(table.column_names.index(name), name, values))
        seen = reopened()
        assert seen.get(sha(1)) is None, name
        assert "not those of a shard" in str(seen.damaged[0])


def write_shard_again(cache: Cache, table: Any, **options: Any) -> None:
    """Replace the Parquet file of the first shard, with right checksums."""
    path, marker = files(cache, "parquet")[0], files(cache, "done")[0]
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_statistics=False, **options)
    facts = json.loads(marker.read_text())
    facts.pop("checksum")
    facts["files"]["parquet"] = write_file(path, [sink.getvalue()])
    marker.write_text(json.dumps(sealed({**facts, "rows": len(table)})))


@pytest.mark.parametrize(
    ("error", "options"),
    [
        ([b"x" * 40_000_000, b""], {"use_dictionary": False}),
        ([b"x" * 4_000_000] * 20, {"use_dictionary": ["error"]}),
        (
            [b"x" * 4_000_000] * 20,
            {"column_encoding": {"error": "DELTA_BYTE_ARRAY"}, "use_dictionary": False},
        ),
    ],
    ids=["one text", "dictionary", "shared prefixes"],
)
def test_texts_that_expand(
    cache: Cache,
    reopened: Callable[[], Cache],
    monkeypatch: pytest.MonkeyPatch,
    error: list[bytes],
    options: dict[str, Any],
) -> None:
    """A file of a few kilobytes with right checksums must not take gigabytes."""
    store(cache, image(1), image(2))
    table = pq.read_table(files(cache, "parquet")[0])
    rows = table.take([0] + [1] * (len(error) - 1))
    at = table.column_names.index("error")
    write_shard_again(
        cache, rows.set_column(at, "error", pa.array(error).cast("string")), compression="zstd", **options
    )
    assert files(cache, "parquet")[0].stat().st_size < 50_000
    monkeypatch.setattr(arrow, "_MAX_BYTES", 30_000_000)
    part = reopened()._parts[0]
    with pytest.raises(DamageError, match="bytes of memory"):
        read_columns(part, {"error": "text"})
    monkeypatch.undo()
    assert read_columns(part, {"error": "text"})["error"][0] == error[0].decode()


def test_a_damaged_footer_with_right_checksums(cache: Cache, reopened: Callable[[], Cache]) -> None:
    """pyarrow ends the process if it is asked where a column is that is not as its statistics say."""
    store(cache, image(1), image(2))
    path, marker = files(cache, "parquet")[0], files(cache, "done")[0]
    data = path.read_bytes()
    optional = b"\x25\x02\x18\x05error"
    assert data.count(optional) == 1
    facts = json.loads(marker.read_text())
    facts.pop("checksum")
    for changed in (data.replace(optional, b"\x25\x00\x18\x05error"), data[:-8] + bytes(4) + b"PAR1"):
        facts["files"]["parquet"] = write_file(path, [changed])
        marker.write_text(json.dumps(sealed(facts)))
        seen = reopened()
        assert seen.get(sha(1)) is None
        assert "is not what was written" in str(seen.damaged[0])


def test_doctor_reads_the_content(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1), image(2))
    table = pq.read_table(files(cache, "parquet")[0])
    write_shard_again(cache, table.drop_columns(["width"]))
    (damage,) = reopened().verify()
    assert "is not what was written" in str(damage)


def test_more_faces_than_the_file_has_descriptors(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1))
    table = pq.read_table(files(cache, "parquet")[0])
    many = pa.concat_tables([table] * 50)
    many = many.set_column(1, "face", pa.array(range(50), pa.int32()))
    many = many.set_column(2, "faces", pa.array([50] * 50, pa.int32()))
    write_shard_again(cache, many)
    marker = files(cache, "done")[0]
    facts = json.loads(marker.read_text())
    facts.pop("checksum")
    marker.write_text(json.dumps(sealed({**facts, "faces": 50})))
    seen = reopened()
    assert len(seen.table()) == 0
    assert "not those of a shard" in str(seen.damaged[0])


def test_many_damaged_parts_are_a_few_warnings(cache: Cache, reopened: Callable[[], Cache]) -> None:
    for number in range(30):
        (cache.path / f"20260101T{number:012d}-{number:012x}.done").write_text("{")
    seen = reopened()
    assert len(seen.damaged) == 30
    assert len(seen.remarks()) == 11
    assert "20 more" in seen.remarks()[-1]
