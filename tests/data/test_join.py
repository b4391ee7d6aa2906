"""Labels are joined with the images of caches, and all images are counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from caches import BOX, image, write
from joined import TIME, by_content, counted, table

from arcage.data.join import join_labelled, labelled_faces
from arcage.data.label_source import LabelSource
from arcage.errors import UsageError


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
    # A name from another pipeline in the same folder.
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
        "again.jpg,20,f,,\n"  # a copy, whose label is merged
        "deep\\in\\a.jpg,30,m,Bo,one\n"
        '"Zoë, 3.jpg",,m,Bo,\n'
        "d.jpg,,,Bo,one\n"  # neither age nor gender
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


def test_genders_by_folder(tmp_path: Path) -> None:
    images = [(f"{folder}/{n}.jpg", image(f"{folder} {n}")) for folder in ("male", "Female") for n in "abc"]
    cache = write(tmp_path / "cache", [*images, ("other.jpg", image("other"))])
    faces = labelled_faces(cache, "folders")
    assert counted(faces) == {"labelled": 6, "used": 6, "unlabelled": 1}
    assert faces.gender[by_content(faces, "male a", "Female b")].tolist() == [0, 1]
    assert np.isnan(faces.age).all()
    bare = write(tmp_path / "bare", [("a.jpg", image("a"))])
    with pytest.raises(UsageError, match=r"called male, female, man or woman, see 'a\.jpg'"):
        labelled_faces(bare, "folders")
    with pytest.raises(UsageError, match="is a folder: give a file of labels, or `folders`"):
        labelled_faces(bare, str(tmp_path))


def test_sources_are_joined(tmp_path: Path) -> None:
    """Two caches that share an image, and two sets of labels with the same person."""
    one = write(
        tmp_path / "one",
        [(f"0_MariaCallas_{age}_f.jpg", image(f"callas {age}", [(age, 1)])) for age in range(20, 30)]
        + [("1_JohnDoe_40_m.jpg", image("doe", [(40, 0)]))],
    )
    two = write(
        tmp_path / "two",
        [(f"{n}.jpg", image(f"two {n}", [(n, 0), (n, 9)], [BOX, (0, 0, 20, 20)])) for n in range(10)]
        + [("callas.jpg", image("callas 20", [(20, 1)])), ("doe.jpg", image("doe", [(40, 0)]))],
    )
    labels = tmp_path / "more.csv"
    rows = [f"{n}.jpg,{50 + n},{'Maria Callas' if n < 5 else 'Bo'},{n}" for n in range(10)]
    rows += ["callas.jpg,20,,7", "doe.jpg,41,,1"]
    labels.write_text("path,age,person,weight\n" + "\n".join(rows))
    faces = join_labelled([LabelSource(one, "agedb"), LabelSource(two, str(labels))])
    assert counted(faces) == {"labelled": 21, "used": 20, "contradictory": 1, "copies": 2}
    assert [str(n) for n in faces.notes if n.kind == "contradictory"] == [
        "1_JohnDoe_40_m.jpg (agedb), doe.jpg (more.csv, line 13) are the same image with different labels"
    ]
    callas, other = by_content(faces, "callas 20", "two 3")
    assert faces.descriptors()[[callas, other]].tolist() == [[20, 1], [3, 0]]
    assert (faces.source[callas], faces.source[other]) == ("agedb", "more.csv")
    assert (faces.weight[callas], faces.weight[other]) == (7, 3)
    assert np.isnan(faces.weight[by_content(faces, "callas 21")]).all()
    persons = faces.persons()
    assert persons is not None
    assert len(np.unique(persons)) == 2
    assert len(np.unique(persons[np.isin(faces.person, ["MariaCallas", "Maria Callas"])])) == 1
    chosen = faces.select(faces.source == "more.csv")
    assert set(chosen.person) == {"Maria Callas", "Bo"}
    assert chosen.weight.tolist() == faces.weight[faces.source == "more.csv"].tolist()
    # The order of the sources does not matter.
    again = join_labelled([LabelSource(two, str(labels)), LabelSource(one, "agedb")])
    assert again.sha256() == faces.sha256()
    assert again.age.tolist() == faces.age.tolist()
    assert again.descriptors().tolist() == faces.descriptors().tolist()


def test_each_source_must_match_an_image(tmp_path: Path) -> None:
    one = write(tmp_path / "one", [(f"30_1_1_{TIME}", image("a"))])
    two = write(tmp_path / "two", [("b.jpg", image("b"))])
    with pytest.raises(UsageError, match=r"no image of the cache .*two has a label: .* utkface"):
        join_labelled([LabelSource(one, "utkface"), LabelSource(two, "utkface")])


def predictions(folder: Path, prefix: str, *, boxes: bool = True) -> str:
    """Write corrected output of ``arcage predict`` for photos with one, two and no faces."""
    rows = [("one.jpg", 0, BOX, 20, "male"), ("two.jpg", 0, BOX, 30, "female"), ("two.jpg", 1, SMALL, 40, "")]
    lines = ["path,face,faces,x1,y1,x2,y2,age,gender,status"]
    for name, face, box, age, gender in rows:
        where = ",".join(f"{side:.1f}" for side in box) if boxes else ",,,"
        lines.append(f"{prefix}{name},{face},2,{where},{age},{gender},ok")
    lines.append(f"{prefix}none.jpg,,0,,,,,,,no_face")
    return table(folder, "\n".join(lines))


SMALL = (0, 0, 20, 20)


PHOTOS = {
    "one.jpg": image("one.jpg", [(1, 0)]),
    "two.jpg": image("two.jpg", [(2, 0), (3, 0)], [BOX, SMALL]),
    "none.jpg": image("none.jpg", []),
}


@pytest.mark.parametrize("boxes", [True, False])
@pytest.mark.parametrize("names", [True, False])
def test_corrected_predictions_are_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: bool, boxes: bool
) -> None:
    """Each face has its own label, with file names in the cache (`arcage extract photos`) and without
    (`arcage predict`)."""
    (tmp_path / "photos").mkdir()
    for name in PHOTOS:
        (tmp_path / "photos" / name).write_text(name)
    cache = write(tmp_path / "cache", [(name if names else None, one) for name, one in PHOTOS.items()])
    (tmp_path / "work").mkdir()
    labels = predictions(tmp_path / "work", "photos/", boxes=boxes)
    monkeypatch.chdir(tmp_path)
    faces = labelled_faces(cache, labels)
    assert counted(faces) == {"labelled": 3, "used": 3, "unlabelled": 1}
    assert sorted(zip(faces.descriptors()[:, 0].tolist(), faces.age.tolist(), strict=True)) == [
        (1, 20),
        (2, 30),
        (3, 40),
    ]
    assert not faces.notes
    assert faces.remarks() == [
        "labels.csv: a table of faces: its ages and genders are used as labels, face by face"
    ]
    # With boxes and names the files need not exist.
    monkeypatch.chdir(tmp_path / "cache")
    if names and boxes:
        assert counted(labelled_faces(cache, labels))["used"] == 3
    else:
        with pytest.raises(UsageError, match="labels"):
            labelled_faces(cache, labels)


def test_faces_of_predictions_that_the_cache_does_not_have(tmp_path: Path) -> None:
    """If another detector found other faces, no face gets the label of another one."""
    found = image("two.jpg", [(7, 0), (8, 0)], [(40, 40, 140, 140), (150, 150, 200, 200)])
    cache = write(tmp_path / "cache", [("one.jpg", PHOTOS["one.jpg"]), ("two.jpg", found)])
    faces = labelled_faces(cache, predictions(tmp_path, ""))
    assert counted(faces) == {"labelled": 2, "used": 2, "missing": 1}
    assert faces.descriptors()[by_content(faces, "two.jpg")].tolist() == [[7, 0]]
    (note,) = faces.notes
    assert str(note) == (
        "two.jpg, face 1 (labels.csv, line 4) is not among the faces of this image in the cache"
    )
    # A photo of the same name in another folder does not match.
    other = write(tmp_path / "other", [("one.jpg", image("else", [(9, 0)], [SMALL])), ("a.jpg", found)])
    with pytest.raises(UsageError, match="no image of the cache"):
        labelled_faces(other, predictions(tmp_path, "photos/"))
