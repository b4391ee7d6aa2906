"""Walking: the order, which files are included, and errors, which are sources instead of exceptions."""

from __future__ import annotations

import inspect
import itertools
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from trees import names, touch

from arcage.errors import ImageError
from arcage.files import read_bytes
from arcage.sources.source import Source
from arcage.sources.walk import walk

# Order


def test_a_folder_is_sorted_by_the_parts_of_paths(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "b.jpg",
        "a/z.jpg",
        "a-b/1.jpg",
        "a/b/c.png",
        "a.jpg",
        "a/b.jpg",
        "Z.jpg",
        "é.jpg",
        "ab/2.jpg",
    )
    found = names(tmp_path)
    assert found == [
        "Z.jpg",
        "a/b/c.png",
        "a/b.jpg",
        "a/z.jpg",
        "a-b/1.jpg",
        "a.jpg",
        "ab/2.jpg",
        "b.jpg",
        "é.jpg",
    ]
    assert found == sorted(found, key=lambda name: Path(name).parts)


def test_random_trees_are_sorted_and_complete(tmp_path: Path) -> None:
    chance = random.Random(1)
    expected = set()
    for _ in range(150):
        depth = chance.randrange(1, 5)
        parts = [
            "".join(chance.choices("ab-. !~", k=chance.randrange(1, 4))).strip(".") or "x"
            for _ in range(depth)
        ]
        expected.add("/".join([f"d{part}" for part in parts[:-1]] + [f"f{parts[-1]}.jpg"]))
    touch(tmp_path, *expected)
    assert names(tmp_path) == sorted(expected, key=lambda name: Path(name).parts)


def test_several_arguments_are_sorted_together(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "a/3.jpg", "b.jpg", "a-b/1.jpg")
    arguments = [f"{tmp_path}/b.jpg", f"{tmp_path}/a-b", f"{tmp_path}/a/"]
    expected = [f"{tmp_path}/{name}" for name in ("a/1.jpg", "a/3.jpg", "a-b/1.jpg", "b.jpg")]
    for order in itertools.permutations(arguments):
        assert [source.path for source in walk(order)] == expected


def test_nested_arguments_are_merged_and_duplicates_kept(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "a/2/x.jpg", "a/3.jpg")
    arguments = [tmp_path / "a", tmp_path / "a/2", tmp_path / "a/1.jpg", tmp_path / "a/2"]
    relative = [os.path.relpath(source.path, tmp_path) for source in walk(arguments)]
    assert relative == ["a/1.jpg"] * 2 + ["a/2/x.jpg"] * 3 + ["a/3.jpg"]


# Paths and names


def test_path_is_as_the_user_wrote_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "photos/old/1.jpg", "2.jpg")
    monkeypatch.chdir(tmp_path)
    assert list(walk(["photos"])) == [Source("photos/old/1.jpg", "old/1.jpg")]
    assert list(walk(["photos/"])) == [Source("photos/old/1.jpg", "old/1.jpg")]
    assert list(walk(["./photos"])) == [Source("./photos/old/1.jpg", "old/1.jpg")]
    assert list(walk([Path("photos")])) == [Source("photos/old/1.jpg", "old/1.jpg")]
    assert list(walk(["photos/old/1.jpg", "2.jpg"])) == [
        Source("2.jpg", "2.jpg"),
        Source("photos/old/1.jpg", "1.jpg"),
    ]
    assert list(walk(["."])) == [Source("./2.jpg", "2.jpg"), Source("./photos/old/1.jpg", "photos/old/1.jpg")]


def test_spaces_and_non_ascii_letters(tmp_path: Path) -> None:
    touch(tmp_path, "Fotos für Zoë/日本 語.JPG", "Fotos für Zoë/ leading.png")
    folder = tmp_path / "Fotos für Zoë"
    assert list(walk([folder])) == [
        Source(f"{folder}/ leading.png", " leading.png"),
        Source(f"{folder}/日本 語.JPG", "日本 語.JPG"),
    ]
    assert read_bytes(next(walk([folder])).path) == b""


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xe9.jpg", "wb") as file:
        file.write(b"x")
    (source,) = walk([tmp_path])
    assert os.fsencode(source.name) == b"\xe9.jpg"
    assert read_bytes(source.path) == b"x"


# Included files


def test_a_named_file_may_have_any_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "photo", "notes.txt", ".hidden")
    assert names(*sorted(tmp_path.iterdir())) == [".hidden", "notes.txt", "photo"]


def test_a_folder_without_images(tmp_path: Path) -> None:
    assert list(walk([tmp_path])) == []
    touch(tmp_path, "empty/deeper/readme.md")
    assert list(walk([tmp_path])) == []
    assert list(walk([])) == []


def test_a_folder_named_like_an_image_is_searched(tmp_path: Path) -> None:
    touch(tmp_path, "album.jpg/1.jpg")
    assert names(tmp_path) == ["album.jpg/1.jpg"]


def test_a_broken_link_is_a_source_that_fails_on_reading(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    expected = [Source(str(tmp_path / "gone.jpg"), "gone.jpg")]
    assert list(walk([tmp_path])) == expected
    assert list(walk([tmp_path / "gone.jpg"])) == expected
    with pytest.raises(ImageError, match="no such file"):
        read_bytes(tmp_path / "gone.jpg")


# Errors


def test_a_missing_path_is_a_source_with_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg")
    assert list(walk([tmp_path / "missing.jpg", tmp_path / "1.jpg"])) == [
        Source(str(tmp_path / "1.jpg"), "1.jpg"),
        Source(str(tmp_path / "missing.jpg"), "missing.jpg", "no such file"),
    ]


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000, "\ud800.jpg"])
def test_an_impossible_path_is_a_source_with_an_error(path: str) -> None:
    (source,) = walk([path])
    assert source.path == path
    assert source.error
    with pytest.raises(ImageError):
        read_bytes(path)


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/1.jpg", "b/2.jpg", "b/c/3.jpg", "d/4.jpg")
    scandir = os.scandir

    def refuse(path: str) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    error = "cannot list folder: Permission denied"
    assert list(walk([tmp_path])) == [
        Source(f"{tmp_path}/a/1.jpg", "a/1.jpg"),
        Source(f"{tmp_path}/b", "b", error),
        Source(f"{tmp_path}/d/4.jpg", "d/4.jpg"),
    ]
    assert list(walk([tmp_path / "b"])) == [Source(f"{tmp_path}/b", "b", error)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root lists every folder")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b.jpg")
    (tmp_path / "a").chmod(0)
    try:
        found = list(walk([tmp_path]))
    finally:
        (tmp_path / "a").chmod(0o700)
    assert found[0] == Source(f"{tmp_path}/a", "a", "cannot list folder: Permission denied")
    assert found[1].name == "b.jpg"


# Size


def test_folders_are_listed_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/1.jpg", "b/2.jpg", "c/3.jpg")
    listed: list[str] = []
    scandir = os.scandir

    def note(path: str) -> Iterator[os.DirEntry[str]]:
        listed.append(Path(path).name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", note)
    sources = walk([tmp_path])
    assert listed == []
    assert next(sources).name == "a/1.jpg"
    assert listed == [tmp_path.name, "a"]
    assert [source.name for source in sources] == ["b/2.jpg", "c/3.jpg"]


def test_depth_is_not_limited_by_recursion(tmp_path: Path) -> None:
    touch(tmp_path, "d/" * 200 + "1.jpg")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        (source,) = walk([tmp_path])
    finally:
        sys.setrecursionlimit(limit)
    assert source == Source(f"{tmp_path}/{'d/' * 200}1.jpg", "d/" * 200 + "1.jpg")


def test_neither_numpy_nor_opencv_is_imported() -> None:
    script = "import sys, arcage.sources.walk; print([m for m in ('numpy', 'cv2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60)
    assert done.stdout.decode().strip() == "[]"
