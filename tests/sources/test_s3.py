"""Images in an S3 store: a local server, which is also slow, lies about sizes, or goes down."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import FINGERPRINT, FakeExtractor, face, image
from folders import content, photos
from stores import FILES

from arcage.cache import Cache
from arcage.errors import ImageError, RemoteError
from arcage.extraction.run import extract_to_cache, open_cache
from arcage.sources import filesystems, http, remote, servers
from arcage.sources.walk import walk

fsspec = pytest.importorskip("fsspec")
s3fs = pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

ROOT = Path(__file__).parents[2]
Run = Callable[..., Any]
Start = Callable[..., int]

pytestmark = [pytest.mark.s3, pytest.mark.filterwarnings(r"ignore:::(aio)?boto(core|3)?\b")]


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Return a function that starts an S3 server on the loopback interface and returns its port.

    Arguments: a port, 0 for a free one; and the number of objects that are read before the server goes down.
    """
    with ExitStack() as stack:

        def run(port: int = 0, most: int = 0) -> int:
            command = [sys.executable, str(ROOT / "tests" / "s3_server.py"), str(port), str(most)]
            server = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(server.kill)
            assert server.stdout is not None
            return int(server.stdout.readline())

        yield run


@pytest.fixture(scope="module")
def port(start: Start) -> int:
    """Start one server for all tests."""
    return start()


@pytest.fixture
def s3(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Any]]:
    """Connect to the server, whose store is empty; return a function that connects to another one."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(servers, "PAUSES", (0.01, 0.01, 0.01))

    def connect(port: int) -> Any:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        s3fs.S3FileSystem.clear_instance_cache()
        monkeypatch.setattr(servers, "_SERVERS", {})
        return fsspec.filesystem("s3")

    system = connect(port)
    if system.exists("bucket"):
        system.rm("bucket", recursive=True)
    system.mkdir("bucket")
    yield connect
    s3fs.S3FileSystem.clear_instance_cache()


def put(system: Any, **objects: bytes) -> None:
    for name, data in objects.items():
        system.pipe_file(f"bucket/{name}", data)


def rows(done: Any) -> list[dict[str, str]]:
    assert "Traceback" not in done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


@pytest.fixture
def filled(s3: Callable[[int], Any]) -> None:
    """Write images and a Parquet file."""
    system = fsspec.filesystem("s3")
    put(system, **{f"photos/{name}": data for name, data in FILES.items()}, **{"photos/a/": b""})
    table = io.BytesIO()
    pq.write_table(pa.table({"image": list(FILES.values()), "path": list(FILES)}), table, row_group_size=3)
    put(system, **{"x.parquet": table.getvalue()})


@pytest.mark.usefixtures("filled")
def test_a_folder_and_a_parquet_file(arcage: Run, tmp_path: Path) -> None:
    done = arcage("predict", "s3://bucket/photos")
    assert done.exit_code == 0, done.stderr
    assert [(row["path"], row["status"], row["error"]) for row in rows(done)] == [
        ("s3://bucket/photos/a/b/c.jpeg", "ok", ""),
        ("s3://bucket/photos/a/b/c.jpeg", "ok", ""),
        ("s3://bucket/photos/a/z.PNG", "no_face", ""),
        ("s3://bucket/photos/a-b/1.jpg", "unreadable", "empty file"),
        ("s3://bucket/photos/b.jpg", "ok", ""),
        ("s3://bucket/photos/é ü.jpg", "unreadable", rows(done)[-1]["error"]),
    ]
    done = arcage("extract", "s3://bucket/photos", "s3://bucket/x.parquet", "--cache", tmp_path / "cache")
    assert done.exit_code == 0, done.stderr
    assert sorted(set(Cache(tmp_path / "cache", FINGERPRINT).names().names)) == sorted(FILES)
    for missing in (
        "s3://bucket/none.jpg",
        "s3://bucket/none",
        "s3://nobucket/a.jpg",
        "s3://bucket/n.parquet",
    ):
        done = arcage("predict", missing)
        assert [(row["path"], row["error"]) for row in rows(done)] == [(missing, "no such file")]
    assert done.exit_code == 1


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("place", ["s3://bucket/photos", "s3://bucket/photos/b.jpg", "s3://bucket/x.parquet"])
def test_without_credentials_or_network(
    arcage: Run, s3: Callable[[int], Any], port: int, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "")
        patch.delenv("AWS_SECRET_ACCESS_KEY")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("HOME", "/nonexistent")
        s3(port)
        done = arcage("predict", place)
        assert done.exit_code == 3, done.stderr
        assert "credentials" in done.stderr
    s3(1)
    done = arcage("predict", place)
    assert done.exit_code == 3
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_version_of_an_object(s3: Callable[[int], Any]) -> None:
    system = fsspec.filesystem("s3")
    system.call_s3("put_bucket_versioning", Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    put(system, **{"a.jpg": b"old"})
    put(system, **{"a.jpg": b"new"})
    versions = system.call_s3("list_object_versions", Bucket="bucket")["Versions"]
    found = [remote.read(f"s3://bucket/a.jpg?versionId={one['VersionId']}") for one in versions]
    assert sorted(found) == [b"new", b"old"]
    assert remote.read("s3://bucket/a.jpg") == b"new"


# Servers that misbehave


def test_objects_that_are_slow_or_interrupted_are_rows(
    arcage: Run, s3: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "SILENT_SECONDS", 0.5)
    photo = image(face(33))
    put(fsspec.filesystem("s3"), **{f"{name}/a.jpg": photo for name in ("long", "ok", "slow")})
    done = arcage("predict", "s3://bucket/long", "s3://bucket/ok", "s3://bucket/slow")
    assert done.exit_code == 3  # a server that is slow may be down
    assert "cannot read s3://bucket/slow/a.jpg: the server did not respond in time" in done.stderr
    assert [(row["path"], row["status"], row["error"]) for row in rows(done)] == [
        ("s3://bucket/long/a.jpg", "unreadable", "the transfer was interrupted"),
        ("s3://bucket/ok/a.jpg", "ok", ""),
        ("s3://bucket/slow/a.jpg", "unreadable", "the server did not respond in time"),
    ]


def test_a_request_without_an_answer_ends(s3: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "_REQUEST_SECONDS", 0.5)
    put(fsspec.filesystem("s3"), **{"silent/a.jpg": image(face(33))})
    with pytest.raises(RemoteError, match="the server did not respond in time"):
        remote.read("s3://bucket/silent/a.jpg")


def test_an_object_without_an_end(s3: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_FILE_BYTES", 1 << 20)
    put(fsspec.filesystem("s3"), **{"endless/a.jpg": b"x" * 100, "ok/a.jpg": image(face(33))})
    with pytest.raises(ImageError, match="too large: the limit is 1,048,576 bytes"):
        remote.read("s3://bucket/endless/a.jpg")
    assert remote.read("s3://bucket/ok/a.jpg") == image(face(33))


@pytest.mark.parametrize(
    ("size", "error"),
    [
        (200, "not a Parquet file, or a damaged one"),
        (1_000_000, "the object is smaller than the server said"),
    ],
)
def test_a_parquet_file_whose_size_is_wrong(
    arcage: Run, s3: Callable[[int], Any], size: int, error: str
) -> None:
    table = io.BytesIO()
    pq.write_table(pa.table({"image": [image(face(age)) for age in range(50)]}), table)
    put(fsspec.filesystem("s3"), **{f"size-{size}/x.parquet": table.getvalue(), "b.jpg": image(face(33))})
    done = arcage("predict", f"s3://bucket/size-{size}/x.parquet", "s3://bucket/b.jpg")
    assert done.exit_code == 0, done.stderr
    # The server is not taken for one that is down.
    assert sorted((row["status"], row["error"][: len(error)]) for row in rows(done)) == [
        ("ok", ""),
        ("unreadable", error),
    ]


def test_a_server_that_goes_down_and_returns(
    arcage: Run, s3: Callable[[int], Any], start: Start, tmp_path: Path
) -> None:
    photos(tmp_path / "in", 100)
    fake: Any = FakeExtractor()
    extract_to_cache(walk([tmp_path / "in"]), open_cache(tmp_path / "whole", fake), fake)
    command = ("extract", "s3://bucket/photos", "--cache", tmp_path / "cache")
    objects = {f"photos/{path.name}": path.read_bytes() for path in (tmp_path / "in").iterdir()}
    port = start(most=40)
    system = s3(port)
    system.mkdir("bucket")
    put(system, **objects)
    done = arcage(*command)
    assert done.exit_code == 3
    assert "cannot read s3://bucket/photos/" in done.stderr
    assert "Traceback" not in done.stderr
    kept = Cache(tmp_path / "cache", FINGERPRINT)
    assert kept.verify() == ()
    assert 40 - 16 <= len(kept) <= 40
    system = s3(start(port))
    system.mkdir("bucket")
    put(system, **objects)
    done = arcage(*command)
    assert done.exit_code == 0, done.stderr
    assert f"{len(kept)} images were in the cache" in done.stderr
    assert content(tmp_path / "cache") == content(tmp_path / "whole")
