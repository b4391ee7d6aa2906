"""The inputs that a user names: paths, URLs, lists, standard input and shards."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from arcage.errors import UsageError
from arcage.sources.inputs import Inputs, named_inputs
from arcage.sources.shards import Shard


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("in/a.jpg", "in/b.jpg", "c.jpg"):
        Path(name).write_bytes(b"")
    return tmp_path


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes, *, terminal: bool = False) -> None:
    fake = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: terminal)
    monkeypatch.setattr(sys, "stdin", fake)


def paths(inputs: Inputs) -> list[str]:
    return [source.path for source in inputs]


def test_paths_and_a_list(folder: Path) -> None:
    Path("list.txt").write_text("in/b.jpg\nmissing.jpg\n-\n")
    inputs = named_inputs(["c.jpg"], "list.txt")
    assert inputs.arguments == ("c.jpg", "in/b.jpg", "missing.jpg", "./-")
    assert paths(inputs) == paths(inputs) == ["./-", "c.jpg", "in/b.jpg", "missing.jpg"]
    assert (inputs.only, inputs.is_one_image, str(inputs)) == (
        None,
        False,
        "c.jpg, in/b.jpg, missing.jpg, ...",
    )


def test_one_image(folder: Path) -> None:
    inputs = named_inputs(["c.jpg"])
    assert (inputs.only, inputs.is_one_image, str(inputs)) == ("c.jpg", True, "c.jpg")
    inputs = named_inputs(["in"])
    assert (inputs.only, inputs.is_one_image) == ("in", False)
    Path("list.txt").write_text("c.jpg")
    inputs = named_inputs(None, "list.txt")
    assert (inputs.only, inputs.is_one_image) == (None, True)
    Path("list.txt").write_text("")
    assert str(named_inputs([], "list.txt")) == "an empty list"


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b"image")
    inputs = named_inputs(["-"])
    for _ in range(2):
        (source,) = inputs
        assert (source.path, source.read()) == ("-", b"image")
    assert (inputs.only, inputs.is_one_image) == ("-", True)
    stdin(monkeypatch, b"", terminal=True)
    with pytest.raises(UsageError, match=r"^no image on standard input: arcage predict - < photo.jpg$"):
        named_inputs(["-"])


def test_parts_are_the_whole(folder: Path) -> None:
    parts = [named_inputs(["."], shard=f"{number}/2") for number in (1, 2)]
    assert parts[0].shard == Shard(1, 2)
    assert sorted(paths(parts[0]) + paths(parts[1])) == paths(named_inputs(["."]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([],), "no images given: name files or folders, - for standard input, or `from_file` LIST"),
        (
            (["in", "-"],),
            "- (one image on standard input) cannot be combined with paths: run arcage separately for them",
        ),
        ((["-"], "list.txt"), "- (one image on standard input) cannot be combined with paths"),
        ((["-"], None, "1/2"), "- is one image, which cannot be split: leave out `shard`"),
        ((["in"], None, "3/2"), "`shard` is i/n with i from 1 to n, such as 1/4"),
        ((["x", "y.jpg", ""],), "no such file or folder: x, y.jpg, ''; check the spelling"),
        ((["*.png"],), "no such file or folder: *.png; no file matches the pattern: name a folder"),
        ((["/"],), "/ is the whole disk: name the folders that have the photos"),
        ((["heads"],), "heads holds heads, not images: give it with `heads`"),
        ((["cache"],), "cache is a cache of descriptors, not of images: give it with `cache`"),
        ((["nonsense://a.jpg"],), ""),
    ],
)
def test_what_is_refused(folder: Path, arguments: tuple[object, ...], words: str) -> None:
    Path("list.txt").write_text("c.jpg")
    Path("heads").mkdir()
    Path("heads/heads.npz").write_bytes(b"")
    Path("cache/a").mkdir(parents=True)
    Path("cache/a/pipeline.json").write_text("{}")
    with pytest.raises(UsageError, match=f"^{re.escape(words)}"):
        named_inputs(*arguments)  # type: ignore[arg-type]


def test_photos_next_to_heads_and_a_cache(folder: Path) -> None:
    for name in ("in/heads.npz", "in/pipeline.json"):
        Path(name).write_bytes(b"")
    assert paths(named_inputs(["in"])) == [os.path.join("in", name) for name in ("a.jpg", "b.jpg")]


def test_a_url_with_an_unknown_scheme_in_a_list_is_a_source(folder: Path) -> None:
    Path("list.txt").write_text("nonsense://a.jpg\n")
    (source,) = named_inputs(None, "list.txt")
    assert source.path == "nonsense://a.jpg"
