"""Walking: the order, what is taken and passed over, and trouble as a source instead of an exception."""

from __future__ import annotations

import inspect
import io
import itertools
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from arcage.errors import ImageError, UsageError
from arcage.files import read_bytes
from arcage.sources.lists import read_list
from arcage.sources.source import Source
from arcage.sources.walk import walk


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def names(*paths: str | Path) -> list[str]:
    return [source.name for source in walk(paths)]


# The order


def test_a_folder_is_walked_in_the_order_of_path_parts(tmp_path: Path) -> None:
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


def test_random_trees_come_sorted_and_complete(tmp_path: Path) -> None:
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


def test_several_arguments_come_in_one_order(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "a/3.jpg", "b.jpg", "a-b/1.jpg")
    arguments = [f"{tmp_path}/b.jpg", f"{tmp_path}/a-b", f"{tmp_path}/a/"]
    expected = [f"{tmp_path}/{name}" for name in ("a/1.jpg", "a/3.jpg", "a-b/1.jpg", "b.jpg")]
    for order in itertools.permutations(arguments):
        assert [source.path for source in walk(order)] == expected


def test_arguments_inside_an_argument_are_merged_and_come_again(tmp_path: Path) -> None:
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


def test_spaces_and_letters_beyond_ascii(tmp_path: Path) -> None:
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


# What is taken


def test_only_image_suffixes_in_any_case_inside_folders(tmp_path: Path) -> None:
    images = ["1.jpg", "2.JPEG", "3.Png", "4.webp", "5.bmp", "6.tif", "7.TIFF", "8.gif", "9.HEIC"]
    touch(tmp_path, *images, "notes.txt", "jpg", "photo.jpg.part", "archive.zip", "no_suffix")
    assert names(tmp_path) == images


def test_a_file_given_itself_is_taken_whatever_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "photo", "notes.txt", ".hidden")
    assert names(*sorted(tmp_path.iterdir())) == [".hidden", "notes.txt", "photo"]


def test_hidden_files_and_folders_are_passed_over_inside_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden.jpg", ".thumbnails/1.jpg", "seen/.2.jpg", "seen/3.jpg")
    assert names(tmp_path) == ["seen/3.jpg"]
    assert names(tmp_path / ".thumbnails") == ["1.jpg"]


def test_a_folder_without_images_gives_nothing(tmp_path: Path) -> None:
    assert list(walk([tmp_path])) == []
    touch(tmp_path, "empty/deeper/readme.md")
    assert list(walk([tmp_path])) == []
    assert list(walk([])) == []


def test_a_folder_named_like_an_image_is_walked(tmp_path: Path) -> None:
    touch(tmp_path, "album.jpg/1.jpg")
    assert names(tmp_path) == ["album.jpg/1.jpg"]


# Links


def test_links_are_followed(tmp_path: Path) -> None:
    touch(tmp_path, "real/1.jpg", "real/deep/3.jpg", "tree/2.jpg")
    (tmp_path / "tree/link.jpg").symlink_to(tmp_path / "real/1.jpg")
    (tmp_path / "tree/linked").symlink_to("../real")
    assert names(tmp_path / "tree") == ["2.jpg", "link.jpg", "linked/1.jpg", "linked/deep/3.jpg"]
    assert names(tmp_path / "tree/linked") == ["1.jpg", "deep/3.jpg"]


def test_a_linked_folder_comes_once(tmp_path: Path) -> None:
    touch(tmp_path, "data/a/1.jpg", "data/b/2.jpg", "set/x/own.jpg", "set/.store/3.jpg", "set/@eaDir/4.jpg")
    links = {
        "set/l1": "../data/a",
        "set/l2": "../data",  # holds l1's target
        "set/l3": "../data/b",  # is in l2
        "set/l4": "x",  # is searched anyway
        "set/l5": ".store",  # is not
        "set/l6": "l5/../.store",
        "set/x/up": "..",
        "set/x/over": "../..",
        "set/x/root": "/",
        "set/x/none": "../nowhere",
        "set/x/log.txt": "../nowhere",
        "data/b/back": "../../set",
        "data/b/up": "..",
    }
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    found = list(walk([tmp_path / "set"]))
    assert [(source.name, source.error) for source in found] == [
        ("l1/1.jpg", ""),
        ("l2/b/2.jpg", ""),
        ("l5/3.jpg", ""),
        ("x/none", "cannot list folder: no such file"),
        ("x/own.jpg", ""),
    ]
    assert [source.path for source in found][:2] == [f"{tmp_path}/set/l1/1.jpg", f"{tmp_path}/set/l2/b/2.jpg"]


def test_thumbnails_and_deleted_files_are_passed_over(tmp_path: Path) -> None:
    others = [
        "@eaDir",
        "#recycle",
        "@EADIR",
        "@Recycle",
        ".@__thumb",
        "$RECYCLE.BIN",
        "__MACOSX",
        "lost+found",
    ]
    others += ["System Volume Information", ".Trash-1000", "#snapshot", "@tmp", "@SynoResource"]
    touch(tmp_path, "1.jpg", "._1.jpg", "Thumbs.db", "@me/2.jpg", "a/@eaDir/3.jpg/X.jpg")
    touch(tmp_path, *(f"{other}/x.jpg" for other in others))
    assert names(tmp_path) == ["1.jpg", "@me/2.jpg"]
    assert names(tmp_path / "@eaDir") == ["x.jpg"]
    assert names(tmp_path / "#recycle/x.jpg") == ["x.jpg"]


def test_a_broken_link_is_a_source_that_fails_on_reading(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    expected = [Source(str(tmp_path / "gone.jpg"), "gone.jpg")]
    assert list(walk([tmp_path])) == expected
    assert list(walk([tmp_path / "gone.jpg"])) == expected
    with pytest.raises(ImageError, match="no such file"):
        read_bytes(tmp_path / "gone.jpg")


def test_loops_of_links_end(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "a/self.jpg").symlink_to(tmp_path / "a/self.jpg")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    assert names(tmp_path) == ["a/1.jpg", "a/self.jpg"]
    for path in (tmp_path / "a/self.jpg", tmp_path / "round"):
        (source,) = walk([path])
        assert "symbolic links" in source.error
        with pytest.raises(ImageError, match="symbolic links"):
            read_bytes(path)


# Trouble


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


def test_it_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_depth_is_not_bound_by_the_recursion_limit(tmp_path: Path) -> None:
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


# Lists


def test_read_list(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("b.jpg\r\n\n  \na b/ü.jpg\nb.jpg\n lead.jpg\ntrail \r\n".encode())
    assert read_list(path) == ["b.jpg", "a b/ü.jpg", "b.jpg", " lead.jpg", "trail"]
    touch(tmp_path, "trail ")
    path.write_bytes(os.fsencode(tmp_path) + b"/trail \ns3://b/a.jpg  \n")
    assert read_list(path) == [f"{tmp_path}/trail ", "s3://b/a.jpg"]
    path.write_bytes(b"\xef\xbb\xbfa.jpg\n")
    assert read_list(str(path)) == ["a.jpg"]
    path.write_bytes(b"")
    assert read_list(path) == []


def test_read_list_separated_by_nul(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"two\nlines.jpg\0a.jpg\0\0 \xe9.jpg\0")
    assert read_list(path) == ["two\nlines.jpg", "a.jpg", " \udce9.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_list_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffFotos/Zoë 日本.jpg\r\n\r\nb.jpg\r\n".encode(encoding))
    assert read_list(path) == ["Fotos/Zoë 日本.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("a.jpg\r\n".encode("utf-16-le"), "UTF-16 text without a byte-order mark; save the list as UTF-8"),
        ("照片/日本語/一.jpg\r\n".encode("utf-16-be"), "UTF-16 text without a byte-order mark"),
        ("a.jpg\n".encode("utf-32-le"), "UTF-16 text without a byte-order mark"),
        (b"\xff\xfea", "begins like UTF-16 text"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0\1", "but an image or a video"),
        (b"PAR1\x15\0\x15", "but a Parquet file"),
        (b"PK\3\4\n\0", "but an archive"),
        (b"%PDF-1.7\n\1", "but a PDF file"),
        (bytes(range(256)) * 4, "but a binary file"),
        (b'{"path": "a.jpg"}\n', "but JSON"),
        (b'["a.jpg", "b.jpg"]', "but JSON"),
        (b'[\n  "a.jpg",\n  "b.jpg"\n]\n', "but JSON"),
        (b"path,face,faces\na.jpg,1,1\n", "but a table, with the columns path, face, faces"),
        (b'"name";"path"\r\n', "but a table"),
        (b"a.jpg\n/\n", "has the entry '/'"),
        (b".\0./a.jpg\0./b.jpg\0", "has the entry '.'"),
        (b"a/..\n", "has the entry 'a/..'"),
        (b"C:\\\r\n", "has the entry 'C:"),
        (b"d:\r\n", "has the entry 'd:'"),
        (b"a.jpg\nfile:///\n", "has the entry 'file:///'"),
        (b"FILE://.\n", "has the entry 'FILE://.'"),
        (b"file:///C:/\n", "has the entry 'file:///C:/'"),
    ],
)
def test_what_is_no_list(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=re.escape(words)):
        read_list(path)


def test_names_that_look_like_something_else(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    names = [
        "PAR1.jpg",
        "BZh/a,b.jpg",
        "path, and more.jpg",
        "{1}.jpg",
        "[1].jpg",
        "C:\\a.jpg",
        "..a",
        "a\x01b c d e f g h i j k.jpg",
    ]
    path.write_text("\n".join([*names, "x" * 99]))
    assert read_list(path)[:-1] == names


def test_read_list_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a.jpg\nb.jpg\n")))
    assert read_list("-") == ["a.jpg", "b.jpg"]


def test_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the list of images .*missing\.txt: no such file"):
        read_list(tmp_path / "missing.txt")
    with pytest.raises(UsageError, match="Is a directory"):
        read_list(tmp_path)
