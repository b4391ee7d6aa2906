"""Labelled faces: which are held out, who they show, and remarks on their labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from caches import image, write
from joined import TIME, counted, table
from projects import labelled, made_up

from arcage.cache import Cache, ShardWriter
from arcage.data.join import join_labelled, labelled_faces
from arcage.data.label_source import LabelSource


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """2,000 images, every tenth with three names; 400 of them show 40 persons, for AgeDB."""
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
        held_out = faces.held_out(share)
        assert held_out.shape == (1600,)
        assert held_out.dtype == bool
        assert abs(held_out.mean() - share) < 4 * np.sqrt(share * (1 - share) / 1600) + 1e-9
        assert not (before & ~held_out).any(), "a larger share includes the smaller one"
        before = held_out
    # The choice depends on content only: it is the same in a cache with fewer images in another order.
    rows = np.random.default_rng(0).permutation(1600)[:300]
    held_out = dict(zip(faces.sha256(), faces.held_out(0.2).tolist(), strict=True))
    other = Cache(tmp_path / "cache", many.fingerprint, dimension=2)
    with ShardWriter(other) as writer:
        for row in rows:
            found = many.get(faces.sha256()[row])
            assert found is not None
            writer.add(found, f"{int(faces.age[row])}_1_{TIME}")
    fewer = labelled_faces(other, "utkface")
    assert fewer.held_out(0.2).tolist() == [held_out[sha256] for sha256 in fewer.sha256()]


def test_held_out_by_person_where_known(many: Cache) -> None:
    faces = labelled_faces(many, "agedb")
    assert counted(faces) == {"labelled": 400, "used": 400, "copies": 80, "unlabelled": 1600}
    held_out = faces.held_out(0.3)
    assert 0.1 < held_out.mean() < 0.5
    assert not set(faces.person[held_out]) & set(faces.person[~held_out])
    persons = faces.persons()
    assert persons is not None
    assert len(np.unique(persons)) == 40
    for name in np.unique(faces.person):
        assert len(np.unique(persons[faces.person == name])) == 1


def test_each_face_of_an_unknown_person_is_a_person_of_its_own(many: Cache, tmp_path: Path) -> None:
    lines = [f"{n % 90}_0_0_{n:014d}.jpg,30,{'Ada' if n % 3 else ''}" for n in range(400, 500)]
    faces = labelled_faces(many, table(tmp_path, "path,age,person\n" + "\n".join(lines)))
    persons = faces.persons()
    assert persons is not None
    known = faces.person == "Ada"
    assert len(np.unique(persons[known])) == 1
    assert len(np.unique(persons)) == 1 + (~known).sum()
    held_out = faces.held_out(0.5)
    assert held_out[known].all() or not held_out[known].any()
    assert 0 < held_out[~known].mean() < 1


def test_remarks_name_the_lines_of_a_table(tmp_path: Path) -> None:
    names = ("a.jpg", "copy.jpg", "b.jpg", "none.jpg")
    contents = ("a", "a", "b", "none")
    cache = write(
        tmp_path / "cache",
        [(n, image(c, [] if c == "none" else [(1, 2)])) for n, c in zip(names, contents, strict=True)],
    )
    lines = [
        "a.jpg,20",
        "nowhere.jpg,30",
        "copy.jpg,21",
        "b.jpg,40",
        "none.jpg,50",
        "x/1,1",
        "x/2,2",
        "x/3,3",
    ]
    faces = labelled_faces(cache, table(tmp_path, "path,age\n" + "\n".join(lines)))
    assert counted(faces)["missing"] == 4
    remarks = faces.remarks()
    assert remarks[0] == "nowhere.jpg (labels.csv, line 3) is not in the cache"
    assert remarks[3] == "... and 1 more like the last; the JSON output of `arcage data describe` lists all"
    assert remarks[4] == (
        "a.jpg (labels.csv, line 2), copy.jpg (labels.csv, line 4) are the same image with different labels"
    )
    assert len(remarks) == 5
    kinds = [note.kind for note in faces.notes]
    assert sorted(kinds) == ["contradictory", *["missing"] * 4, "no_face"]
    # File names have no lines: their errors are only counted.
    named = write(
        tmp_path / "named", [(f"2{n}_0_1_{TIME}", image("a")) for n in "01"] + [(f"9_1_1_{TIME}", image("b"))]
    )
    assert labelled_faces(named, "utkface").remarks() == []


def test_a_number_is_a_person_of_its_own_source_only(tmp_path: Path) -> None:
    sources = []
    for name in ("one", "two"):
        images = [(f"{n}.jpg", image(f"{name} {n}")) for n in range(4)]
        (tmp_path / name).mkdir()
        labels = table(
            tmp_path / name, "path,age,person\n" + "\n".join(f"{n}.jpg,30,{n % 2}" for n in range(4))
        )
        sources.append(LabelSource(write(tmp_path / name / "cache", images), labels))
    faces = join_labelled(sources)
    assert set(faces.source) == {"labels.csv (cache)", "labels.csv (cache, 2)"}
    persons = faces.persons()
    assert persons is not None
    assert len(np.unique(persons)) == 4


def test_a_person_in_several_folders_is_on_one_side(tmp_path: Path) -> None:
    """Planted with several spellings, in several folders of two sets, and against the split of the labels."""
    spellings = ("Ada Love", "AdaLove", "ada_love", "ADA-LOVE")
    rng = np.random.default_rng(0)
    sources = []
    for name in ("one", "two"):
        images, lines = [], ["path,age,person,split"]
        for n in range(300):
            file = f"{'abcd'[n % 4]}/{n}.jpg"
            images.append((file, image(f"{name} {n}")))
            person = spellings[n % 4] if n % 10 == 0 else f"p{rng.integers(40)}"
            lines.append(f"{file},30,{person},")
        (tmp_path / name).mkdir()
        sources.append(
            LabelSource(write(tmp_path / name / "cache", images), table(tmp_path / name, "\n".join(lines)))
        )
    faces = join_labelled(sources)
    ada = np.isin(faces.person, spellings)
    assert ada.sum() == 60
    for share in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        held_out = faces.held_out(share)
        assert held_out[ada].all() or not held_out[ada].any()
        assert not set(faces.person[held_out & ~ada]) & set(faces.person[~held_out & ~ada])
    # If the labels hold out one of her faces, all are held out, although the others are labelled train.
    split = np.where(np.arange(len(faces)) == np.flatnonzero(ada)[7], "test", "train")
    held_out = replace(faces, split=split).held_out(0)
    assert held_out.tolist() == ada.tolist()


def test_held_out_by_the_split(tmp_path: Path) -> None:
    cache = write(tmp_path / "cache", [(f"{n}.jpg", image(str(n))) for n in range(300)])
    words = ("train", "test", "val", "")
    lines = [f"{n}.jpg,30,{words[n % 4]}" for n in range(300)]
    faces = labelled_faces(cache, table(tmp_path, "path,age,split\n" + "\n".join(lines)))
    assert faces.has_split
    assert dict(zip(*np.unique(faces.split, return_counts=True), strict=True)) == {
        "": 75,
        "test": 150,
        "train": 75,
    }
    assert (faces.held_out(0) == (faces.split == "test")).all()
    more = faces.held_out(0.5)
    assert more[faces.split == "test"].all()
    assert not more[faces.split == "train"].any()
    assert 0.2 < more[faces.split == ""].mean() < 0.8
    rest = faces.select(faces.split != "test")
    assert not rest.has_split
    assert rest.held_out(0.5)[rest.split == "train"].any(), "the labels hold out none"


def test_identifiers_in_several_sources(tmp_path: Path) -> None:
    sources = []
    for name in ("one", "two"):
        people = ("1_23", "-123", "Ada", "p1")
        cache = write(tmp_path / name, [(f"{n}.jpg", image(f"{name} {n}")) for n in range(4)])
        (tmp_path / f"{name}.d").mkdir()
        lines = [f"{n}.jpg,30,{person}" for n, person in enumerate(people)]
        sources.append(
            LabelSource(cache, table(tmp_path / f"{name}.d", "path,age,person\n" + "\n".join(lines)))
        )
    persons = join_labelled(sources).persons()
    assert persons is not None
    assert len(np.unique(persons)) == 6


def test_only(tmp_path: Path) -> None:
    everyone = labelled(made_up(tmp_path / "cache"))
    half = replace(everyone, age=np.where(np.arange(400) < 200, np.nan, everyone.age).astype(np.float32))
    ages = half.only("age")
    assert len(ages) == 200
    assert np.isfinite(ages.age).all()
    assert np.isnan(ages.gender).all()
    assert ages.sha256() == everyone.sha256()[200:]
    genders = half.only("gender")
    assert len(genders) == 400
    assert np.isnan(genders.age).all()
