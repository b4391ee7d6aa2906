"""Labels meet the images of a cache: what is used, and what became of the rest."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from caches import BOX, image, write

from arcage.cache import Cache, ShardWriter
from arcage.data.labelled import LabelledFaces, labelled_faces
from arcage.errors import UsageError

TIME = "20170116174525125.jpg"


def counted(faces: LabelledFaces) -> dict[str, int]:
    """The counts that are not nought."""
    counts = asdict(faces.counts)
    lost = sum(counts[name] for name in ("no_face", "unreadable", "contradictory"))
    assert counts["labelled"] == counts["used"] + lost
    assert counts["used"] == len(faces) == len(faces.rows) == len(faces.age) == len(faces.gender)
    return {name: count for name, count in counts.items() if count}


def by_content(faces: LabelledFaces, *contents: str) -> list[int]:
    """Where the images with these bytes stand."""
    hashes = faces.sha256()
    assert hashes == sorted(hashes)
    return [hashes.index(hashlib.sha256(content.encode()).hexdigest()) for content in contents]


def table(folder: Path, text: str) -> str:
    path = folder / "labels.csv"
    path.write_text(text, "utf-8")
    return str(path)


def test_every_image_is_counted(tmp_path: Path) -> None:
    empty = image("empty", [], status="unreadable")
    cache = write(
        tmp_path / "cache",
        [
            (f"20_0_1_{TIME}", image("a", [(1, 2)])),
            (f"copy/20_0_1_{TIME}", image("a", [(1, 2)])),
            (f"copy/of/20_0_1_9{TIME}", image("a", [(1, 2)])),
            (f"x/30_1_{TIME}", image("b", [(3, 4)])),
            (f"40_1_0_{TIME}", image("twice")),
            (f"41_1_0_{TIME}", image("twice")),
            (f"50_1_0_{TIME}", image("none", [])),
            (f"60_1_0_{TIME}", empty),
            ("holiday.jpg", image("unlabelled", [(0, 0), (1, 1)])),
            (f"130_1_0_{TIME}", image("too old")),
            (None, image("nameless")),
        ],
    )
    # A name that another pipeline has seen, in the same folder.
    write(tmp_path / "cache", [(f"70_0_0_{TIME}", image("elsewhere"))], fingerprint="other")
    faces = labelled_faces(cache, "utkface")
    assert counted(faces) == {
        "labelled": 5,
        "used": 2,
        "no_face": 1,
        "unreadable": 1,
        "contradictory": 1,
        "copies": 3,
        "unlabelled": 3,
        "missing": 1,
    }
    assert str(faces.counts).startswith("labelled 5, used 2, no face 1, unreadable 1")
    a, b = by_content(faces, "a", "b")
    assert (faces.age[a], faces.gender[a], faces.group[a], faces.person[a]) == (20, 0, "Black", "")
    assert (faces.age[b], faces.gender[b], faces.group[b]) == (30, 1, "")
    descriptors = faces.descriptors()
    assert descriptors.dtype == faces.age.dtype == faces.gender.dtype == np.float32
    assert descriptors[[a, b]].tolist() == [[1, 2], [3, 4]]
    chosen = faces.select(faces.age > 25)
    assert (len(chosen), chosen.counts) == (1, faces.counts)
    assert chosen.descriptors().tolist() == [[3, 4]]


@pytest.mark.parametrize(
    ("boxes", "main"),
    [
        ([BOX, (0, 0, 20, 20)], 0),
        ([(0, 0, 20, 20), BOX], 1),
        # The larger of two at the same distance from the centre; the nearer of two of the same size.
        ([(90, 90, 110, 110), (60, 60, 140, 140), (0, 0, 30, 30)], 1),
        ([(0, 0, 60, 60), (70, 70, 130, 130), (140, 140, 200, 200)], 1),
        # A neighbour cut off at the border, larger but hardly in the picture.
        ([(-40, 50, 60, 150), (60, 55, 140, 145)], 1),
    ],
)
def test_of_several_faces_the_large_central_one_is_labelled(
    tmp_path: Path, boxes: list[tuple[float, ...]], main: int
) -> None:
    several = image("group", [(i, i) for i in range(len(boxes))], boxes)
    # Neighbours in the table, so that no other image's faces are looked at.
    others = [(f"{n}.jpg", image(str(n), [(100 + n, 0)])) for n in range(10)]
    cache = write(tmp_path / "cache", [("group.jpg", several), *others])
    faces = labelled_faces(cache, table(tmp_path, "path,age\ngroup.jpg,33\n"))
    assert faces.descriptors().tolist() == [[main, main]]
    assert counted(faces) == {"labelled": 1, "used": 1, "unlabelled": 10}


def test_a_table_of_labels(tmp_path: Path) -> None:
    cache = write(
        tmp_path / "cache",
        [
            ("a.jpg", image("a")),
            ("deep/in/a.jpg", image("b")),
            ("Zoë, 3.jpg", image("c")),
            ("again.jpg", image("a")),
            ("d.jpg", image("d")),
            ("e.jpg", image("e")),
        ],
    )
    labels = table(
        tmp_path,
        "path,age,gender,person,group\n"
        "./a.jpg,20,,Ada,\n"
        "again.jpg,20,f,,\n"  # a copy: what is known of either is known of the image
        "deep\\in\\a.jpg,30,m,Bo,one\n"
        '"Zoë, 3.jpg",,m,Bo,\n'
        "d.jpg,,,Bo,one\n"  # says nothing
        "nowhere.jpg,50,m,,\n",
    )
    faces = labelled_faces(cache, labels)
    assert counted(faces) == {"labelled": 3, "used": 3, "copies": 1, "unlabelled": 2, "missing": 1}
    a, b, c = by_content(faces, "a", "b", "c")
    assert (faces.age[a], faces.gender[a], faces.person[a], faces.group[a]) == (20, 1, "Ada", "")
    assert (faces.age[b], faces.gender[b], faces.person[b], faces.group[b]) == (30, 0, "Bo", "one")
    assert np.isnan(faces.age[c])
    assert faces.gender[c] == 0
    assert faces.persons().tolist()[b] == faces.persons().tolist()[c] != faces.persons().tolist()[a]


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
    with pytest.raises(UsageError, match=r"keeps no file names.*without --no-names"):
        labelled_faces(cache, "utkface")


def test_a_path_of_several_images_is_not_guessed(tmp_path: Path) -> None:
    """As after `arcage extract one two --cache ...`, where both folders have an a.jpg."""
    images = [("a.jpg", image("one")), ("a.jpg", image("two")), ("b.jpg", image("b"))]
    cache = write(tmp_path / "cache", images)
    faces = labelled_faces(cache, table(tmp_path, "path,age\na.jpg,20\nb.jpg,30\n"))
    assert counted(faces) == {"labelled": 1, "used": 1, "unlabelled": 2, "ambiguous": 1}
    assert faces.age.tolist() == [30]
    only = table(tmp_path, "path,age\na.jpg,20\n")
    with pytest.raises(UsageError, match=r"fits one image alone \(1 fit several"):
        labelled_faces(cache, only)
    # The file that lies beside the table tells which is meant,
    (tmp_path / "a.jpg").write_text("two")
    faces = labelled_faces(cache, only)
    assert by_content(faces, "two") == [0]
    # and an image of that name that only another pipeline has seen is not meant.
    (tmp_path / "a.jpg").unlink()
    write(tmp_path / "cache", [("b.jpg", image("other b"))], fingerprint="other")
    faces = labelled_faces(cache, table(tmp_path, "path,age\nb.jpg,30\n"))
    assert by_content(faces, "b") == [0]


def test_labels_that_fit_nothing_teach_the_fix(tmp_path: Path) -> None:
    cache = write(tmp_path / "cache", [("a.jpg", image("a")), ("none.jpg", image("none", []))])

    def refusal(labels: str) -> str:
        with pytest.raises(UsageError) as raised:
            labelled_faces(cache, labels)
        return str(raised.value)

    assert "relative to the folder that was extracted" in refusal(table(tmp_path, "path,age\nx/a.jpg,20\n"))
    assert "relative to the folder" in refusal(table(tmp_path, "path,age\na.jpg,\n"))
    assert "relative to the folder" in refusal(table(tmp_path, "path,age\n"))
    message = refusal(table(tmp_path, "path,age\nnone.jpg,20\n"))
    assert "gave a face" in message
    assert "no face 1" in message
    for kind in ("utkface", "agedb"):
        assert f"of the form of {kind}, as is 'a.jpg'" in refusal(kind)
    assert "unknown labels 'UTK': utkface, agedb, or a CSV file" in refusal("UTK")
    assert "CSV file: path,age,gender" in refusal("imdb-wiki")
    assert "no such file" in refusal(str(tmp_path / "no.csv"))
    (tmp_path / "labels").write_text("path,age\na.jpg,20\n")
    assert len(labelled_faces(cache, str(tmp_path / "labels"))) == 1
    empty = Cache(tmp_path / "empty", "f", dimension=2)
    with pytest.raises(UsageError, match="keeps no file names"):
        labelled_faces(empty, "utkface")
    with pytest.raises(UsageError, match="extract the images first"):
        labelled_faces(empty, table(tmp_path, "path,age\na.jpg,20\n"))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """2,000 images, every tenth under three names; 400 of them of 40 persons, for AgeDB."""
    images = []
    for n in range(2000):
        name = f"{n}_P{n % 40}_30_f.jpg" if n < 400 else f"{n % 90}_0_0_{n:014d}.jpg"
        copies = ("", "x/", "y/") if n % 10 == 0 else ("",)
        images += [(copy + name, image(f"image {n}", [(n, 0)])) for copy in copies]
    return write(tmp_path_factory.mktemp("many") / "cache", images)


def test_held_out_by_content(many: Cache, tmp_path: Path) -> None:
    faces = labelled_faces(many, "utkface")
    assert counted(faces) == {"labelled": 1600, "used": 1600, "copies": 320, "unlabelled": 400}
    assert faces.persons() is None
    before = np.zeros(1600, bool)
    for share in (0.0, 0.01, 0.2, 0.5, 0.9):
        aside = faces.held_out(share)
        assert aside.shape == (1600,)
        assert aside.dtype == bool
        assert abs(aside.mean() - share) < 4 * np.sqrt(share * (1 - share) / 1600) + 1e-9
        assert not (before & ~aside).any(), "a larger share holds the smaller one"
        before = aside
    # The choice is of the content alone: another cache with fewer images, in another order, agrees.
    rows = np.random.default_rng(0).permutation(1600)[:300]
    aside = dict(zip(faces.sha256(), faces.held_out(0.2).tolist(), strict=True))
    other = Cache(tmp_path / "cache", many.fingerprint, dimension=2)
    with ShardWriter(other) as writer:
        for row in rows:
            found = many.get(faces.sha256()[row])
            assert found is not None
            writer.add(found, f"{int(faces.age[row])}_1_{TIME}")
    fewer = labelled_faces(other, "utkface")
    assert fewer.held_out(0.2).tolist() == [aside[sha256] for sha256 in fewer.sha256()]


def test_held_out_by_person_where_known(many: Cache) -> None:
    faces = labelled_faces(many, "agedb")
    assert counted(faces) == {"labelled": 400, "used": 400, "copies": 80, "unlabelled": 1600}
    aside = faces.held_out(0.3)
    assert 0.1 < aside.mean() < 0.5
    assert not set(faces.person[aside]) & set(faces.person[~aside])
    persons = faces.persons()
    assert persons is not None
    assert len(np.unique(persons)) == 40
    for name in np.unique(faces.person):
        assert len(np.unique(persons[faces.person == name])) == 1


def test_a_face_of_nobody_known_is_a_person_of_its_own(many: Cache, tmp_path: Path) -> None:
    lines = [f"{n % 90}_0_0_{n:014d}.jpg,30,{'Ada' if n % 3 else ''}" for n in range(400, 500)]
    faces = labelled_faces(many, table(tmp_path, "path,age,person\n" + "\n".join(lines)))
    persons = faces.persons()
    assert persons is not None
    known = faces.person == "Ada"
    assert len(np.unique(persons[known])) == 1
    assert len(np.unique(persons)) == 1 + (~known).sum()
    aside = faces.held_out(0.5)
    assert aside[known].all() or not aside[known].any()
    assert 0 < aside[~known].mean() < 1
