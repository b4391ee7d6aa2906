"""Which entries of local folders are listed, and links."""

from __future__ import annotations

from pathlib import Path

import pytest
from trees import names, touch

from arcage.errors import ImageError
from arcage.files import read_bytes
from arcage.sources.walk import walk


def test_links_are_followed(tmp_path: Path) -> None:
    touch(tmp_path, "real/1.jpg", "real/deep/3.jpg", "tree/2.jpg")
    (tmp_path / "tree/link.jpg").symlink_to(tmp_path / "real/1.jpg")
    (tmp_path / "tree/linked").symlink_to("../real")
    assert names(tmp_path / "tree") == ["2.jpg", "link.jpg", "linked/1.jpg", "linked/deep/3.jpg"]
    assert names(tmp_path / "tree/linked") == ["1.jpg", "deep/3.jpg"]


def test_a_linked_folder_is_searched_once(tmp_path: Path) -> None:
    touch(tmp_path, "data/a/1.jpg", "data/b/2.jpg", "set/x/own.jpg", "set/.store/3.jpg", "set/@eaDir/4.jpg")
    links = {
        "set/l1": "../data/a",
        "set/l2": "../data",  # contains the target of l1
        "set/l3": "../data/b",  # is inside the target of l2
        "set/l4": "x",  # is in the searched folder
        "set/l5": ".store",  # is not, because it is hidden
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


def test_thumbnails_and_deleted_files_are_skipped(tmp_path: Path) -> None:
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


def test_circular_links(tmp_path: Path) -> None:
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


def test_hidden_files_and_folders_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden.jpg", ".thumbnails/1.jpg", "seen/.2.jpg", "seen/3.jpg")
    assert names(tmp_path) == ["seen/3.jpg"]
    assert names(tmp_path / ".thumbnails") == ["1.jpg"]


def test_a_folder_is_searched_for_image_suffixes_in_any_case(tmp_path: Path) -> None:
    images = ["1.jpg", "2.JPEG", "3.Png", "4.webp", "5.bmp", "6.tif", "7.TIFF", "8.gif", "9.HEIC"]
    touch(tmp_path, *images, "notes.txt", "jpg", "photo.jpg.part", "archive.zip", "no_suffix")
    assert names(tmp_path) == images


def test_a_folder_is_searched_for_heic_avif_and_raw_files(tmp_path: Path) -> None:
    names = ["a.heic", "b.HEIF", "c.avif", "d.DNG", "e.cr2", "f.NEF", "g.arw", "h.cr3", "i.apng", "j.hif"]
    for name in (*names, "k.mp4", "l.txt"):
        (tmp_path / name).touch()
    assert [source.name for source in walk([tmp_path])] == names
