"""The page of ``predict --report``: the content of the file."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import face, image
from pages import EVIL, FACE, NO_FACE, written

from arcage.errors import OutputError, UsageError
from arcage.images.decoder import decode
from arcage.output.rows import json_row
from arcage.report.predictions_page import check_page_file, write_page
from arcage.sources.source import Source


def picture(colour: tuple[int, int, int] = (0, 0, 200)) -> bytes:
    """Return a PNG of 400 x 300 pixels; the colour is BGR."""
    return cv2.imencode(".png", np.full((300, 400, 3), colour, np.uint8))[1].tobytes()


def rows_of(page: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="rows">(.*?)</script>', page, re.DOTALL)
    assert found
    rows: list[dict[str, Any]] = json.loads(found[1])
    return rows


def test_rows_are_those_of_the_output_with_a_thumbnail(tmp_path: Path) -> None:
    second = replace(FACE, face=1, faces=2, age=None)
    page = written(
        tmp_path / "out.html",
        (Source("a.jpg", "a.jpg", data=picture()), [replace(FACE, faces=2), second]),
        (Source("b.jpg", "b.jpg", data=picture()), [NO_FACE]),
        (Source("c.jpg", "c.jpg", error="gone"), [replace(FACE, path="c.jpg")]),
    )
    rows = rows_of(page)
    assert [row["first"] for row in rows] == [True, False, True, True]
    assert [row["thumbnail"] is None for row in rows] == [False, False, True, True]
    assert {name: rows[1][name] for name in json_row(second)} == json_row(second)
    thumbnail = decode(base64.b64decode(rows[0]["thumbnail"]))
    assert thumbnail.shape == (96, 96, 3)
    assert np.abs(thumbnail.mean(axis=(0, 1)) - [200, 0, 0]).max() < 5


def test_faces_unlike_the_training_faces_are_marked(tmp_path: Path) -> None:
    faces = [replace(FACE, familiarity=value) for value in (0.0, 4e-5, 6e-5, 0.5, None)]
    page = written(
        tmp_path / "out.html",
        (Source("a.jpg", "a.jpg", data=picture()), faces),
        (Source("b.jpg", "b.jpg", data=picture()), [NO_FACE]),
    )
    assert [row["unfamiliar"] for row in rows_of(page)] == [True, True, False, False, False, False]


def test_a_page_without_rows(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path / "out.html")) == []


def test_the_page_loads_nothing_and_runs_only_its_script(tmp_path: Path) -> None:
    page = written(tmp_path / "out.html", (Source("a", "a", data=picture()), [FACE]))
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page) == []
    assert re.findall(r"<(?:link|iframe|object|base)\b|@import|url\(", page) == []
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src 'none'; img-src data:;")
    script = page.rsplit("<script>", 1)[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.endswith(f"script-src 'sha256-{digest}'")


def test_names_are_data_not_markup(tmp_path: Path) -> None:
    undecodable = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    page = written(
        tmp_path / "out.html",
        (Source("x", "x"), [replace(NO_FACE, path=EVIL, status="unreadable", error=EVIL)]),
        (Source("x", "x"), [replace(NO_FACE, path=undecodable)]),
        title=EVIL,
    )
    assert "<img" not in page
    assert page.count("<script") == page.count("</script>") == 2
    assert "\u202e" not in page
    assert [row["path"] for row in rows_of(page)] == [EVIL, undecodable]


def test_an_error_leaves_the_old_page(tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    path.write_text("old")
    with pytest.raises(AttributeError):
        written(path, (Source("a", "a", data=picture()), [FACE]), (Source("a", "a"), [None]))  # type: ignore[list-item]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    source, rows = Source("a", "a", data=picture()), [FACE]
    with write_page(tmp_path / "out.html", "photos") as add:
        add(source, rows)
        tracemalloc.start()
        try:
            for _ in range(500):
                add(source, rows)
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert grown < 100_000 < (tmp_path / "out.html").stat().st_size


def test_names_of_pages() -> None:
    check_page_file(Path("a.html"))
    check_page_file(Path("a.HTM"))
    with pytest.raises(UsageError, match=r"\.html"):
        check_page_file(Path("a.pdf"))
    with pytest.raises(OutputError, match="create the folder"), write_page(Path("nowhere/a.html"), "a"):
        pass


# The command


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a.png", "c.png"):
        (tmp_path / "in" / name).write_bytes(picture())
    (tmp_path / "in" / "b.jpg").write_bytes(image())
    (tmp_path / "in" / "d.jpg").write_bytes(b"text")
    return tmp_path


def test_the_command(arcage: Callable[..., Any], photos: Path) -> None:
    options = ("--report", "out.html", "--out", "out.jsonl", "--annotate", "drawn", "--cache", "cache")
    for _ in range(2):  # the second time from the cache
        done = arcage("predict", "in", *options)
        assert done.exit_code == 0
        assert "report: out.html\n" in done.stderr
        page = Path("out.html").read_text("utf-8")
        assert "<h1>Faces in in</h1>" in page
        rows = rows_of(page)
        assert [row["thumbnail"] is None for row in rows] == [False, True, False, True]
        printed = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
        assert [{name: row[name] for name in printed[0]} for row in rows] == printed
        assert len(list(Path("drawn").iterdir())) == 2


def test_the_command_with_options(arcage: Callable[..., Any], photos: Path) -> None:
    Path("two.jpg").write_bytes(image(face(20), face(40, 0.2, box=(0, 0, 300, 300))))
    arcage("predict", "two.jpg", "--report", "out.html", "--faces", "largest", "--max-width", 5)
    (row,) = rows_of(Path("out.html").read_text("utf-8"))
    assert (row["face"], row["faces"], row["age"], row["first"]) == (1, 2, None, True)


def test_errors_are_reported_before_images_are_read(arcage: Callable[..., Any], photos: Path) -> None:
    assert arcage("predict", "in", "--report", "out.pdf").exit_code == 2
    done = arcage("predict", "in", "--report", "nowhere/out.html", "--out", "out.csv")
    assert done.exit_code == 3
    assert "create the folder first" in done.stderr
    assert not Path("out.csv").exists()


def test_ctrl_c_keeps_the_rows_so_far(start: Callable[..., subprocess.Popen[str]], photos: Path) -> None:
    import signal
    import time

    for i in range(40):
        Path(f"in/e{i}.png").write_bytes(picture((i, 0, 0)))
    process = start("predict", "in", "--report", "out.html", "--out", "o.csv", FAKE_DELAY=0.2, FAKE_LOG="log")
    while not (Path("log").exists() and len(Path("log").read_text().splitlines()) > 15):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    rows = rows_of(Path("out.html").read_text("utf-8"))
    assert 0 < len(rows) < 44
    assert len(rows) == len(Path("o.csv").read_text().splitlines()) - 1
