"""Labels meet the images of a cache: what is used, and what became of the rest."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from caches import BOX, image, write

from arcage.cache import Cache, ShardWriter
from arcage.data.labelled import LabelledFaces, Source, join_labelled, labelled_faces, pair
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
    with pytest.raises(UsageError, match=r"keeps no file names.*run `arcage extract` on the same images"):
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


def test_genders_by_folder(tmp_path: Path) -> None:
    images = [(f"{folder}/{n}.jpg", image(f"{folder} {n}")) for folder in ("male", "Female") for n in "abc"]
    cache = write(tmp_path / "cache", [*images, ("other.jpg", image("other"))])
    faces = labelled_faces(cache, "folders")
    assert counted(faces) == {"labelled": 6, "used": 6, "unlabelled": 1}
    assert faces.gender[by_content(faces, "male a", "Female b")].tolist() == [0, 1]
    assert np.isnan(faces.age).all()
    bare = write(tmp_path / "bare", [("a.jpg", image("a"))])
    with pytest.raises(UsageError, match=r"called male, female, man or woman, as 'a\.jpg' shows"):
        labelled_faces(bare, "folders")
    with pytest.raises(UsageError, match="`labels` folders"):
        labelled_faces(bare, str(tmp_path))


def test_what_is_wrong_in_a_table_is_told_with_its_lines(tmp_path: Path) -> None:
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
    said = faces.remarks()
    assert said[0] == "nowhere.jpg (labels.csv, line 3) is not in the cache"
    assert said[3] == "... and 1 more like the last: `arcage data describe` lists them in its JSON output"
    assert said[4] == (
        "a.jpg (labels.csv, line 2), copy.jpg (labels.csv, line 4) are the same image with different labels"
    )
    assert len(said) == 5
    kinds = [note.kind for note in faces.notes]
    assert sorted(kinds) == ["contradictory", *["missing"] * 4, "no_face"]
    # File names have no lines; what they get wrong is counted.
    named = write(
        tmp_path / "named", [(f"2{n}_0_1_{TIME}", image("a")) for n in "01"] + [(f"9_1_1_{TIME}", image("b"))]
    )
    assert labelled_faces(named, "utkface").remarks() == []


def test_sources_are_joined(tmp_path: Path) -> None:
    """Two caches that share an image, and two sets of labels that know of the same person."""
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
    faces = join_labelled([Source(one, "agedb"), Source(two, str(labels))])
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
    # In either order the faces and their labels are the same.
    again = join_labelled([Source(two, str(labels)), Source(one, "agedb")])
    assert again.sha256() == faces.sha256()
    assert again.age.tolist() == faces.age.tolist()
    assert again.descriptors().tolist() == faces.descriptors().tolist()


def test_a_number_is_a_person_of_its_own_source_only(tmp_path: Path) -> None:
    sources = []
    for name in ("one", "two"):
        images = [(f"{n}.jpg", image(f"{name} {n}")) for n in range(4)]
        (tmp_path / name).mkdir()
        labels = table(
            tmp_path / name, "path,age,person\n" + "\n".join(f"{n}.jpg,30,{n % 2}" for n in range(4))
        )
        sources.append(Source(write(tmp_path / name / "cache", images), labels))
    faces = join_labelled(sources)
    assert set(faces.source) == {"labels.csv (cache)", "labels.csv (cache, 2)"}
    persons = faces.persons()
    assert persons is not None
    assert len(np.unique(persons)) == 4


def test_each_source_must_fit(tmp_path: Path) -> None:
    one = write(tmp_path / "one", [(f"30_1_1_{TIME}", image("a"))])
    two = write(tmp_path / "two", [("b.jpg", image("b"))])
    with pytest.raises(UsageError, match=r"no image of the cache .*two has a label: .* utkface"):
        join_labelled([Source(one, "utkface"), Source(two, "utkface")])


def test_which_labels_belong_to_which_cache(tmp_path: Path) -> None:
    a, b = (write(tmp_path / name, [("x.jpg", image("x"))]) for name in "ab")
    assert [(s.cache, s.labels, s.columns) for s in pair([a], ["1", "2"], [{"age": "A"}])] == [
        (a, "1", {"age": "A"}),
        (a, "2", {"age": "A"}),
    ]
    assert [(s.cache, s.columns) for s in pair([a, b], ["1", "2"], [{}, {"age": "A"}])] == [
        (a, {}),
        (b, {"age": "A"}),
    ]
    with pytest.raises(UsageError, match=r"1 `labels` and 2 `cache`: .* the same order"):
        pair([a, b], ["1"])
    with pytest.raises(UsageError, match="3 `labels` and 2 `columns`"):
        pair([a], ["1", "2", "3"], [{}, {}])


def test_a_person_in_several_folders_is_on_one_side(tmp_path: Path) -> None:
    """Planted under several spellings, in several folders of two sets; also where a split says otherwise."""
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
            Source(write(tmp_path / name / "cache", images), table(tmp_path / name, "\n".join(lines)))
        )
    faces = join_labelled(sources)
    ada = np.isin(faces.person, spellings)
    assert ada.sum() == 60
    for share in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        aside = faces.held_out(share)
        assert aside[ada].all() or not aside[ada].any()
        assert not set(faces.person[aside & ~ada]) & set(faces.person[~aside & ~ada])
    # One face of hers is held out by name, all others are to be fitted on: none of them is.
    split = np.where(np.arange(len(faces)) == np.flatnonzero(ada)[7], "test", "train")
    aside = replace(faces, split=split).held_out(0)
    assert aside.tolist() == ada.tolist()


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
    assert rest.held_out(0.5)[rest.split == "train"].any(), "nothing is held out by name"


COMPOSED, APART = "Jos\u00e9 M\u00fcller.jpg", "Jose\u0301 Mu\u0308ller.jpg"


@pytest.mark.parametrize(("cached", "labelled"), [(APART, COMPOSED), (COMPOSED, APART)])
def test_accents_spelled_otherwise(tmp_path: Path, cached: str, labelled: str) -> None:
    cache = write(tmp_path / "cache", [(f"é/{cached}", image("a"))])
    faces = labelled_faces(cache, table(tmp_path, f"path,age\ne\u0301/{labelled},20\n"))
    assert counted(faces) == {"labelled": 1, "used": 1}
    # Also on disk, if the cache has no names.
    bare = write(tmp_path / "bare", [(None, image("a"))])
    (tmp_path / "\u00e9").mkdir()
    (tmp_path / "\u00e9" / cached).write_text("a")
    assert counted(labelled_faces(bare, str(tmp_path / "labels.csv"))) == {"labelled": 1, "used": 1}


def test_of_two_spellings_the_exact_one_comes_first(tmp_path: Path) -> None:
    both = [(COMPOSED, image("composed")), (APART, image("apart"))]
    cache = write(tmp_path / "cache", both)
    for name, content in ((COMPOSED, "composed"), (APART, "apart")):
        faces = labelled_faces(cache, table(tmp_path, f"path,age\n{name},20\n"))
        assert by_content(faces, content) == [0]
        assert counted(faces) == {"labelled": 1, "used": 1, "unlabelled": 1}
    # A third spelling, with one accent decomposed and the other composed, matches both.
    third = "Jose\u0301 M\u00fcller.jpg"
    with pytest.raises(UsageError, match=r"fits one image alone \(1 fit several"):
        labelled_faces(cache, table(tmp_path, f"path,age\n{third},20\n"))


def predictions(folder: Path, prefix: str, *, boxes: bool = True) -> str:
    """Write corrected output of ``arcage predict`` for photos of one, two and no faces."""
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
    """Each face has its own label, with file names in the cache (`arcage extract photos`) and without them
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
        "labels.csv: a table of predictions: its ages and genders are used as labels, face by face"
    ]
    # With boxes and names the files need not be there.
    monkeypatch.chdir(tmp_path / "cache")
    if names and boxes:
        assert counted(labelled_faces(cache, labels))["used"] == 3
    else:
        with pytest.raises(UsageError, match="labels"):
            labelled_faces(cache, labels)


def test_faces_of_predictions_that_the_cache_does_not_have(tmp_path: Path) -> None:
    """Another detector found other faces: no face gets the label of another one."""
    found = image("two.jpg", [(7, 0), (8, 0)], [(40, 40, 140, 140), (150, 150, 200, 200)])
    cache = write(tmp_path / "cache", [("one.jpg", PHOTOS["one.jpg"]), ("two.jpg", found)])
    faces = labelled_faces(cache, predictions(tmp_path, ""))
    assert counted(faces) == {"labelled": 2, "used": 2, "missing": 1}
    assert faces.descriptors()[by_content(faces, "two.jpg")].tolist() == [[7, 0]]
    (note,) = faces.notes
    assert str(note) == (
        "two.jpg, face 1 (labels.csv, line 4) is not among the faces of this image in the cache"
    )
    # A photo of that name in another folder is not mistaken for it.
    other = write(tmp_path / "other", [("one.jpg", image("else", [(9, 0)], [SMALL])), ("a.jpg", found)])
    with pytest.raises(UsageError, match="no image of the cache"):
        labelled_faces(other, predictions(tmp_path, "photos/"))


def test_identifiers_in_several_sources(tmp_path: Path) -> None:
    sources = []
    for name in ("one", "two"):
        people = ("1_23", "-123", "Ada", "p1")
        cache = write(tmp_path / name, [(f"{n}.jpg", image(f"{name} {n}")) for n in range(4)])
        (tmp_path / f"{name}.d").mkdir()
        lines = [f"{n}.jpg,30,{person}" for n, person in enumerate(people)]
        sources.append(Source(cache, table(tmp_path / f"{name}.d", "path,age,person\n" + "\n".join(lines))))
    persons = join_labelled(sources).persons()
    assert persons is not None
    assert len(np.unique(persons)) == 6
