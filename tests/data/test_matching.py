"""Labels are matched with images by name or content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from caches import image, write
from joined import by_content, counted, table

from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.errors import UsageError


def test_images_without_names_are_found_by_content(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        (photos / name).write_text(name)
    cache = write(tmp_path / "cache", [(None, image("a", [(5, 6)])), (None, image("deep/b", [(7, 8)]))])
    for folder, prefix in ((photos, ""), (tmp_path, "photos/"), (tmp_path / "cache", f"{photos}/")):
        labels = table(folder, f"path,age\n{prefix}a,10\n{prefix}deep/b,20\n{prefix}c,30\n{prefix}deep,1\n")
        faces = labelled_faces(cache, labels)
        assert counted(faces) == {"labelled": 2, "used": 2, "missing": 2}
        assert sorted(map(tuple, faces.descriptors().tolist())) == [(5, 6), (7, 8)]
    with pytest.raises(UsageError, match=r"keeps no file names.*run `arcage extract` on the same images"):
        labelled_faces(cache, "utkface")


def test_a_path_that_matches_several_images_is_left_out(tmp_path: Path) -> None:
    """After `arcage extract one two`, where both folders have an a.jpg."""
    images = [("a.jpg", image("one")), ("a.jpg", image("two")), ("b.jpg", image("b"))]
    cache = write(tmp_path / "cache", images)
    faces = labelled_faces(cache, table(tmp_path, "path,age\na.jpg,20\nb.jpg,30\n"))
    assert counted(faces) == {"labelled": 1, "used": 1, "unlabelled": 2, "ambiguous": 1}
    assert faces.age.tolist() == [30]
    only = table(tmp_path, "path,age\na.jpg,20\n")
    with pytest.raises(UsageError, match=r"matches a single image \(1 match several"):
        labelled_faces(cache, only)
    # The file next to the table decides,
    (tmp_path / "a.jpg").write_text("two")
    faces = labelled_faces(cache, only)
    assert by_content(faces, "two") == [0]
    # and an image of that name that only another pipeline has is ignored.
    (tmp_path / "a.jpg").unlink()
    write(tmp_path / "cache", [("b.jpg", image("other b"))], fingerprint="other")
    faces = labelled_faces(cache, table(tmp_path, "path,age\nb.jpg,30\n"))
    assert by_content(faces, "b") == [0]


def test_labels_without_an_image_are_explained(tmp_path: Path) -> None:
    cache = write(tmp_path / "cache", [("a.jpg", image("a")), ("none.jpg", image("none", []))])

    def refusal(labels: str) -> str:
        with pytest.raises(UsageError) as raised:
            labelled_faces(cache, labels)
        return str(raised.value)

    assert "relative to the folder that was extracted" in refusal(table(tmp_path, "path,age\nx/a.jpg,20\n"))
    assert "relative to the folder" in refusal(table(tmp_path, "path,age\na.jpg,\n"))
    assert "relative to the folder" in refusal(table(tmp_path, "path,age\n"))
    message = refusal(table(tmp_path, "path,age\nnone.jpg,20\n"))
    assert "has a face" in message
    assert "no face 1" in message
    for kind in ("utkface", "agedb"):
        assert f"has the form of {kind}, see 'a.jpg'" in refusal(kind)
    assert "unknown labels 'UTK': utkface, agedb, folders, imdb-wiki, or a .csv" in refusal("UTK")
    assert "neither imdb.mat nor wiki.mat" in refusal("imdb-wiki")
    assert "no such file" in refusal(str(tmp_path / "no.csv"))
    (tmp_path / "labels").write_text("path,age\na.jpg,20\n")
    assert len(labelled_faces(cache, str(tmp_path / "labels"))) == 1
    empty = Cache(tmp_path / "empty", "f", dimension=2)
    with pytest.raises(UsageError, match="keeps no file names"):
        labelled_faces(empty, "utkface")
    with pytest.raises(UsageError, match="no file at the labels' paths is one of its images"):
        labelled_faces(empty, table(tmp_path, "path,age\na.jpg,20\n"))


COMPOSED, APART = "Jos\u00e9 M\u00fcller.jpg", "Jose\u0301 Mu\u0308ller.jpg"


@pytest.mark.parametrize(("cached", "labelled"), [(APART, COMPOSED), (COMPOSED, APART)])
def test_accents_in_another_normalisation(tmp_path: Path, cached: str, labelled: str) -> None:
    cache = write(tmp_path / "cache", [(f"é/{cached}", image("a"))])
    faces = labelled_faces(cache, table(tmp_path, f"path,age\ne\u0301/{labelled},20\n"))
    assert counted(faces) == {"labelled": 1, "used": 1}
    # On disk as well, if the cache has no names.
    bare = write(tmp_path / "bare", [(None, image("a"))])
    (tmp_path / "\u00e9").mkdir()
    (tmp_path / "\u00e9" / cached).write_text("a")
    assert counted(labelled_faces(bare, str(tmp_path / "labels.csv"))) == {"labelled": 1, "used": 1}


def test_the_exact_spelling_comes_first(tmp_path: Path) -> None:
    both = [(COMPOSED, image("composed")), (APART, image("apart"))]
    cache = write(tmp_path / "cache", both)
    for name, content in ((COMPOSED, "composed"), (APART, "apart")):
        faces = labelled_faces(cache, table(tmp_path, f"path,age\n{name},20\n"))
        assert by_content(faces, content) == [0]
        assert counted(faces) == {"labelled": 1, "used": 1, "unlabelled": 1}
    # A third spelling, with one accent decomposed and the other composed, matches both.
    third = "Jose\u0301 M\u00fcller.jpg"
    with pytest.raises(UsageError, match=r"matches a single image \(1 match several"):
        labelled_faces(cache, table(tmp_path, f"path,age\n{third},20\n"))


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
def test_a_table_that_names_a_pipe_or_a_huge_file_does_not_wait(tmp_path: Path) -> None:
    cache = write(tmp_path / "cache", [("a.jpg", image("a"))])
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    places = "".join(f"{place},30\n" for place in ("a.jpg", "pipe", "huge", "/dev/zero", "x" * 5000))
    faces = labelled_faces(cache, table(tmp_path, f"path,age\n{places}"))
    assert counted(faces) == {"labelled": 1, "used": 1, "missing": 4}
