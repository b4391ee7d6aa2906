"""Images at URLs: listing, order, missing objects, and servers that fail."""

from __future__ import annotations

import copy
import csv
import io
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import FINGERPRINT, face, image
from stores import FILES, LISTED, Broken, fill

from arcage.cache import Cache
from arcage.errors import ImageError, RemoteError
from arcage.output.progress import item_progress
from arcage.sources.source import Source
from arcage.sources.walk import walk

fsspec = pytest.importorskip("fsspec")
Run = Callable[..., Any]


@pytest.fixture
def memory() -> Iterator[str]:
    """Return the URL of a folder in the memory file system of fsspec."""
    url = f"memory://{uuid.uuid4().hex}"
    yield url
    fsspec.filesystem("memory").rm(url, recursive=True)


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return fill(f"file://{tmp_path}/in")
    return fill(request.getfixturevalue("memory"))


def rows(done: Any) -> list[dict[str, str]]:
    assert "Traceback" not in done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_a_folder_is_listed_in_order(url: str) -> None:
    found = list(walk([url]))
    assert [source.name for source in found] == LISTED
    assert [source.path for source in found] == [f"{url}/{name}" for name in LISTED]
    assert [source.read() for source in found] == [FILES[name] for name in LISTED]
    assert list(walk([url + "/"])) == found
    assert [source.name for source in walk([f"{url}/a"])] == ["b/c.jpeg", "z.PNG"]


def test_files_folders_and_a_list(arcage: Run, url: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{url}/b.jpg\n{url}/nowhere.jpg\n{url}/none\n", "utf-8")
    (tmp_path / "local.jpg").write_bytes(image(face(50)))
    done = arcage("predict", f"{url}/a", tmp_path / "local.jpg", "--from-file", tmp_path / "list.txt")
    found = [(row["path"].removeprefix(f"{url}/"), row["status"], row["error"]) for row in rows(done)]
    assert sorted(found) == [
        (str(tmp_path / "local.jpg"), "ok", ""),
        ("a/b/c.jpeg", "ok", ""),
        ("a/b/c.jpeg", "ok", ""),
        ("a/z.PNG", "no_face", ""),
        ("b.jpg", "ok", ""),
        ("none", "unreadable", "no such file"),
        ("nowhere.jpg", "unreadable", "no such file"),
    ]
    assert arcage("predict", f"{url}/b.jpg").exit_code == 0
    assert arcage("predict", f"{url}/nowhere.jpg").exit_code == 1
    assert [row["path"] for row in rows(arcage("predict", f"{url}/.git"))] == [f"{url}/.git/1.jpg"]


def test_extract_in_parts(arcage: Run, url: str, tmp_path: Path) -> None:
    for i in (1, 2):
        assert arcage("extract", url, "--cache", tmp_path / "cache", "--shard", f"{i}/2").exit_code == 0
    assert Cache(tmp_path / "cache", FINGERPRINT).names().names.tolist() == sorted(LISTED)
    again = arcage("extract", url, "--cache", tmp_path / "cache")
    assert "5 images were in the cache" in again.stderr


def test_a_parquet_file(arcage: Run, url: str) -> None:
    system, root = fsspec.core.url_to_fs(url)
    with system.open(f"{root}/x.parquet", "wb") as file:
        images = [image(face(age)) for age in range(50)]
        names = [f"{age}.jpg" for age in range(50)]
        pq.write_table(pa.table({"image": images, "path": names}), file, row_group_size=7)
    found = rows(arcage("predict", f"{url}/x.parquet"))
    assert [(row["path"], row["age"]) for row in found] == [
        (f"{url}/x.parquet#{age}.jpg", f"{age}.0") for age in range(50)
    ]
    assert [row["error"] for row in rows(arcage("predict", f"{url}/y.parquet"))] == ["no such file"]


def test_a_name_with_parent_folders(arcage: Run, memory: str, tmp_path: Path, photo: bytes) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    fsspec.filesystem("memory").store[f"/{memory.removeprefix('memory://')}/../../../../x.jpg"] = memory_file(
        photo
    )
    up = f"{memory}/../../../../x.jpg"
    done = arcage("predict", up, f"{memory}/none.jpg", "--annotate", tmp_path / "a/b/out")
    assert "1 of 2 images drawn" in done.stderr
    assert [path.name for path in (tmp_path / "a/b/out").rglob("*.jpg")] == ["x.jpg"]


def memory_file(data: bytes) -> Any:
    from fsspec.implementations.memory import MemoryFile

    return MemoryFile(None, "", data)


# Errors


@pytest.mark.parametrize("good", [0, 50])
def test_a_failing_network_ends_the_run(
    arcage: Run, broken: type[Broken], tmp_path: Path, good: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broken, "good", good)
    done = arcage("extract", "broken://b/photos", "--cache", tmp_path / "cache")
    assert done.exit_code == 3
    assert "cannot read broken://b/photos" in done.stderr
    assert "no route to host" in done.stderr
    assert "Traceback" not in done.stderr
    if good:
        # Finished results are kept.
        assert len(Cache(tmp_path / "cache", FINGERPRINT)) == 50
        monkeypatch.setattr(broken, "good", 1000)
        assert (
            "50 images were in"
            in arcage("extract", "broken://b/photos", "--cache", tmp_path / "cache").stderr
        )


def test_an_object_without_permission_is_a_row(
    arcage: Run, broken: type[Broken], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broken, "good", 99)
    monkeypatch.setattr(broken, "error", PermissionError("Forbidden"))
    found = [(row["status"], row["error"]) for row in rows(arcage("predict", "broken://b/photos"))]
    assert sorted(found) == [("ok", "")] * 99 + [("unreadable", "Permission denied")]
    # Invalid credentials affect all objects.
    error = PermissionError("The AWS Access Key Id you provided does not exist in our records.")
    error.__cause__ = ValueError()
    error.__cause__.response = {"Error": {"Code": "InvalidAccessKeyId"}}  # type: ignore[attr-defined]
    monkeypatch.setattr(broken, "error", error)
    monkeypatch.setattr(broken, "good", 99)
    assert arcage("predict", "broken://b/photos").exit_code == 3
    # A folder without permission is not an empty folder.
    monkeypatch.setattr(broken, "good", 0)
    assert arcage("predict", "broken://b/photos").exit_code == 3


def test_errors_of_the_count_for_the_progress_bar_are_not_printed(
    broken: type[Broken], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with item_progress("Extracting", lambda: walk(["broken://b/photos"])):
        for thread in threading.enumerate():
            if thread.name == "arcage-count":
                thread.join(10)
    assert "Traceback" not in capfd.readouterr().err


def test_too_large(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(memory)
    monkeypatch.setattr("arcage.sources.remote.MAX_FILE_BYTES", 20)
    with pytest.raises(ImageError, match="too large"):
        Source(f"{memory}/b.jpg", "b.jpg").read()


def test_error_messages_and_exit_codes() -> None:
    (source,) = walk(["nonsense://x"])
    assert source.error == "cannot open nonsense://x: fsspec does not support nonsense://"
    error = copy.copy(RemoteError("cannot read x: no network", "no network"))  # as pickle does
    assert (str(error), error.reason, error.exit_code) == ("cannot read x: no network", "no network", 3)
