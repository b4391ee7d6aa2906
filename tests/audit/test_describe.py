"""`arcage data describe`: what it counts, what it finds planted, and what it writes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest
from caches import image, write
from pages import Page, picture

from arcage.audit import duplicates as similar
from arcage.audit.describe import SHARE, describe, most_suspicious
from arcage.audit.duplicates import similar_pairs
from arcage.audit.label_errors import suspicion
from arcage.audit.text import _suspicious, as_text
from arcage.cache import Cache
from arcage.data.imdb_wiki import counts
from arcage.data.labelled import LabelledFaces, labelled_faces
from arcage.errors import UsageError
from arcage.report.labels_report import CSV, HTML, JSON, write_label_report
from arcage.report.prepare import prepare

DIMENSION = 24
HOSTILE = "<script>alert('&\")<:script>.jpg"


def made_up(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Descriptors from which age and gender can be read, with some noise; far from one another."""
    rng = np.random.default_rng(seed)
    age = np.where(rng.random(n) < 0.3, rng.integers(4, 16, n) * 5, rng.integers(1, 90, n)).astype(np.float32)
    gender = rng.integers(0, 2, n).astype(np.float32)
    x = rng.normal(size=(n, DIMENSION)) * 2
    x[:, 0] = age / 10 + rng.normal(size=n) * 0.4
    x[:, 1] = 4 * gender + rng.normal(size=n) * 0.6
    return x.astype(np.float32), age, gender


def labelled(
    folder: Path, x: np.ndarray, columns: dict[str, list[Any]], prefix: str = ""
) -> tuple[LabelledFaces, Cache]:
    n = len(x)
    images = [(f"{row}.jpg", image(f"{prefix}{row}", [x[row]])) for row in range(n)]
    cache = write(folder / "cache", images, dimension=x.shape[1])
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *columns])
        writer.writerows(zip((f"{row}.jpg" for row in range(n)), *columns.values(), strict=True))
    return labelled_faces(cache, str(folder / "labels.csv")), cache


def row_of(faces: LabelledFaces, name: str) -> int:
    return faces.sha256().index(image(name).sha256)


def test_planted_labels_are_found(tmp_path: Path) -> None:
    x, age, gender = made_up(3000)
    faces, _ = labelled(tmp_path, x, {"age": age.tolist(), "gender": gender.tolist()})
    rng = np.random.default_rng(1)
    count = 60
    wrong_age, wrong_gender = rng.permutation(3000)[:count], rng.permutation(3000)[:count]
    ages, genders = faces.age.copy(), faces.gender.copy()
    ages[wrong_age] = rng.choice(faces.age, count)
    genders[wrong_gender] = 1 - genders[wrong_gender]
    doubts = suspicion(replace(faces, age=ages, gender=genders))
    top_age, top_gender = most_suspicious(doubts.years, -np.inf), most_suspicious(doubts.doubt, -np.inf)
    assert len(top_age) == len(top_gender) == SHARE * 3000
    assert np.isin(wrong_age, top_age).mean() > 0.6
    assert np.isin(wrong_gender, top_gender).mean() > 0.9
    # Of labels without errors, those that are called so lie less far out.
    honest = suspicion(faces)
    assert (honest.years > 10).sum() < count / 10 < (doubts.years > 10).sum()
    assert (honest.doubt > 0.95).sum() < count / 10 < (doubts.doubt > 0.95).sum()


def test_suspicion_is_of_unseen_faces_and_persons_stay_together(tmp_path: Path) -> None:
    """Noise that tells nothing but who it is: an answer that knew the person would be right."""
    rng = np.random.default_rng(0)
    who = np.arange(600) // 6
    x = rng.normal(size=(100, 60))[who] + rng.normal(size=(600, 60)) * 0.01
    gender = rng.integers(0, 2, 100)[who]
    faces, _ = labelled(tmp_path, x.astype(np.float32), {"gender": gender.tolist(), "person": who.tolist()})
    doubts = suspicion(faces)
    assert (doubts.doubt > 0.5).mean() > 0.3
    assert np.isnan(doubts.years).all()
    unnamed = replace(faces, person=np.full(600, ""))
    assert (suspicion(unnamed).doubt > 0.5).mean() < 0.2


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    x, age, _ = made_up(100)
    ages = [str(a) if n < 40 else "" for n, a in enumerate(age)]
    faces, cache = labelled(tmp_path, x, {"age": ages, "gender": ["f"] * 100})
    doubts = suspicion(faces)
    assert len(doubts.reasons) == 2
    report = describe(faces, cache.names())
    assert report["suspicious"]["age"] == report["suspicious"]["gender"] == []
    text = as_text(report)
    assert "ages cannot be compared: only 40 faces have a label for age" in text
    assert "genders cannot be compared: all labelled faces have the same gender" in text


@pytest.mark.parametrize(
    ("n", "block", "most", "axes"),
    [(60, 7, 10_000, 128), (300, 64, 10_000, 128), (300, 64, 20, 128), (300, 7, 10_000, 5), (60, 7, 20, 2)],
)
def test_similar_pairs_by_hand(
    monkeypatch: pytest.MonkeyPatch, n: int, block: int, most: int, axes: int
) -> None:
    monkeypatch.setattr(similar, "BLOCK", block)
    monkeypatch.setattr(similar, "MOST", most)
    monkeypatch.setattr(similar, "AXES", axes)
    monkeypatch.setattr(similar, "SAMPLE", 50)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    x[5] = 0  # a face without any direction is like none
    x[n - 1] = 3 * x[2]
    unit = x - x.mean(axis=0) if n >= similar.CENTRED else x
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    i, j = np.triu_indices(n, 1)
    cosine = (unit @ unit.T)[i, j]
    expected = {(a, b) for a, b, c in zip(i.tolist(), j.tolist(), cosine, strict=True) if c >= 0.8}
    first, second, found, count = similar_pairs(x, 0.8)
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    assert count == len(expected) > 20
    assert len(set(pairs)) == len(pairs) == min(len(expected), most)
    assert set(pairs) <= expected
    assert found.tolist() == sorted(found.tolist(), reverse=True)
    np.testing.assert_allclose(found, np.sort(cosine)[::-1][: len(found)], atol=1e-5)


def test_faces_that_are_all_the_same_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar, "MOST", 50)
    first, _, _, count = similar_pairs(np.ones((90, 4), np.float32), 0.9)
    assert len(first) == 50
    assert count == 90 * 89 // 2
    assert similar_pairs(np.ones((1, 4), np.float32), 0.9)[3] == 0
    assert similar_pairs(np.ones((120, 4), np.float32), 0.9)[3] == 0  # nothing tells them from the mean


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], LabelledFaces, Cache]:
    """400 faces with planted copies: 0 and 1 are nearly one picture with two ages, 2 and 3 of one person, 4
    and 5 alike and of two persons; 6 has a wrong age and 7 a wrong gender."""
    folder = tmp_path_factory.mktemp("described")
    x, age, gender = made_up(400)
    age[:6], gender[:6] = 40, 0
    x[:6, 0], x[:6, 1] = 4, 0
    noise = np.random.default_rng(5).normal(size=(3, DIMENSION)).astype(np.float32)
    for one, (other, much) in enumerate([(1, 0.02), (3, 0.02), (5, 1.0)]):
        x[other] = x[other - 1] + much * noise[one]
    age[0], age[1] = 30, 37
    age[6] = 85 if age[6] < 45 else 2
    genders = gender.copy()
    genders[7] = 1 - genders[7]
    person = [f"p{n}" for n in range(400)]
    person[3] = "P2"
    columns = {
        "age": age.tolist(),
        "gender": genders.tolist(),
        "person": person,
        "group": ["one" if n % 3 else "two" for n in range(400)],
        "split": ["test" if n % 10 == 9 else "train" for n in range(400)],
    }
    faces, cache = labelled(folder, x, columns)
    return describe(faces, cache.names()), faces, cache


def test_what_is_planted_is_reported(made: tuple[dict[str, Any], LabelledFaces, Cache]) -> None:
    report, faces, _ = made
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["suspicious"]["age"][0]["names"] == ["6.jpg"]
    assert report["suspicious"]["gender"][0]["names"] == ["7.jpg"]
    assert report["suspicious"]["gender"][0]["doubt"] > 0.95
    near = report["copies"]["near"]
    assert [sorted(face["names"][0] for face in pair["faces"]) for pair in near] == [
        ["0.jpg", "1.jpg"],
        ["2.jpg", "3.jpg"],
    ]
    assert [pair["differs"] for pair in near] == [True, False]
    alike = report["look_alikes"]
    assert (alike["pairs"], alike["faces"], alike["compared"]) == (1, 2, 400)
    assert {face["names"][0] for face in alike["most"][0]["faces"]} == {"4.jpg", "5.jpg"}
    assert report["persons"]["named"] == 399
    assert (report["persons"]["several"], report["persons"]["faces_of_several"]) == (1, 2)
    assert report["faces"]["held_out"] == 40
    assert report["faces"]["train"] == 360
    text = as_text(report)
    line = next(line for line in text.splitlines() if "(30, male)" in line)
    assert "1.jpg (37, male)" in line
    assert line.endswith(f"cosine {near[0]['cosine']:.3f}")
    assert "held out 40" in text
    assert "Look-alikes of different persons by name" in text
    assert len(faces) == 400


def test_ages_by_hand(made: tuple[dict[str, Any], LabelledFaces, Cache]) -> None:
    report, faces, _ = made
    ages = report["ages"]
    years = np.floor(faces.age).astype(int)
    for band in ages["bands"]:
        here = (years >= band["from"]) & (years <= band["to"])
        assert band["faces"] == here.sum() == band["male"] + band["female"] == sum(band["groups"].values())
        assert band["male"] == (here & (faces.gender == 0)).sum()
        assert band["groups"].get("two", 0) == (here & (faces.group == "two")).sum()
    assert len(ages["years"]) == years.max() + 1
    assert [sum(year.values()) for year in ages["years"]] == np.bincount(years).tolist()
    assert (ages["youngest"], ages["oldest"]) == (faces.age.min(), faces.age.max())


def test_heaping_by_hand(tmp_path: Path) -> None:
    # Ten of each year from 20 to 69, and thirty more of 40.
    ages = [year for year in range(20, 70) for _ in range(10)] + [40] * 30
    faces, cache = labelled(tmp_path, np.ones((530, 2), np.float32), {"age": ages})
    report = describe(faces, cache.names())
    # Of the 40 years from 23 to 62, eight end in 0 or 5: 80 and 30 of 430 faces.
    assert report["heaping"]["whipple"] == pytest.approx(500 * 110 / 430)
    assert report["heaping"]["peaks"] == [{"age": 40, "faces": 40, "times": 4.0}]
    assert "40 (40 faces, 4.0 times)" in as_text(report)
    even = labelled_faces(cache, str(tmp_path / "labels.csv")).select(faces.age != 40)
    assert describe(even)["heaping"]["peaks"] == []
    few = faces.select(np.arange(530) < 5)
    assert describe(few)["heaping"] == {"whipple": None, "peaks": []}


def test_copies_and_what_is_left_out(tmp_path: Path) -> None:
    images = [(f"{n}.jpg", image(str(n), [(n, 1)])) for n in range(6)]
    images += [("copy/1.jpg", image("1", [(1, 1)])), ("copy/2.jpg", image("2", [(2, 1)]))]
    images += [("none.jpg", image("none", [])), ("bad.jpg", image("bad", [], status="unreadable"))]
    cache = write(tmp_path / "cache", images)
    lines = [f"{n}.jpg,{20 + n}" for n in range(6)]
    lines += ["copy/1.jpg,21", "copy/2.jpg,99", "none.jpg,5", "bad.jpg,6", "nowhere.jpg,7"]
    (tmp_path / "labels.csv").write_text("path,age\n" + "\n".join(lines))
    report = describe(labelled_faces(cache, str(tmp_path / "labels.csv")), cache.names())
    (exact,), (contradictory,) = report["copies"]["exact"], report["copies"]["contradictory"]
    assert {label["path"] for label in exact["labels"]} == {"1.jpg", "copy/1.jpg"}
    assert [(label["path"], label["line"], label["age"]) for label in contradictory["labels"]] == [
        ("2.jpg", 4, 22),
        ("copy/2.jpg", 9, 99),
    ]
    assert contradictory["sha256"] == image("2").sha256
    assert sorted(note["kind"] for note in report["left_out"]) == ["missing", "no_face", "unreadable"]
    text = as_text(report)
    assert (
        "2.jpg (labels.csv, line 4), copy/2.jpg (labels.csv, line 9) are the same image with different"
        in text
    )
    assert "nowhere.jpg (labels.csv, line 12) is not in the cache" in text
    assert "none.jpg (labels.csv, line 10) gave no face" in text
    assert report["ages"]["bands"][2]["unknown"] == 5


def test_names_of_groups_in_any_script(
    made: tuple[dict[str, Any], LabelledFaces, Cache], tmp_path: Path
) -> None:
    report, faces, _ = made
    names = np.array(["中文", "$x^$", "a" * 99, "ไทย"])[np.arange(400) % 4]
    bands = describe(replace(faces, group=names))["ages"]["bands"]
    prepare(tmp_path)
    write_label_report(tmp_path, {**report, "ages": {**report["ages"], "bands": bands}}, labels="x.csv")
    assert "中文" in Page((tmp_path / HTML).read_text("utf-8")).texts


def test_no_ages_at_all(tmp_path: Path) -> None:
    x, _, gender = made_up(120)
    faces, cache = labelled(tmp_path, x, {"gender": gender.tolist()})
    report = describe(faces, cache.names())
    assert report["ages"] == {"years": [], "bands": []}
    assert report["heaping"] == {"whipple": None, "peaks": []}
    assert report["suspicious"]["age"] == []
    prepare(tmp_path / "out")
    write_label_report(tmp_path / "out", report, labels="labels.csv")
    assert "No face has an age." in Page((tmp_path / "out" / HTML).read_text("utf-8")).texts
    assert "none is named" in as_text(report)


def test_as_many_suspicious_labels_are_listed_as_are_counted() -> None:
    face = {"names": ["a.jpg"], "label_age": 60, "age": 30, "age_low": 20, "age_high": 40}
    face |= {"label_gender": "male", "doubt": 0.99}
    suspicious = {"by": "heads", "not_compared": [], "far": 5, "contradicted": 1}
    lines = _suspicious({**suspicious, "age": [face] * 31, "gender": [face] * 31}).splitlines()
    assert lines[1] == "Ages 10 years or more outside the 90 % interval: 5"
    assert lines[5] == "  ... and 2 more"
    assert lines[6:] == [
        "Genders contradicted with 95 % or more: 1",
        "  a.jpg: label male, contradicted with 99.0 %",
    ]


# The command


@pytest.fixture
def run(arcage: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`arcage data describe` on 120 labelled pictures, the last with a hostile name and a wrong age."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    rng = np.random.default_rng(0)
    lines, images = [], []
    for n in range(120):
        age, gender = int(rng.integers(5, 60)), n % 2
        name = f"{n}.jpg" if n < 119 else HOSTILE
        Path("photos", name).write_bytes(picture(n % 60) + bytes(str(n), "ascii"))
        data = Path("photos", name).read_bytes()
        images.append((name, image(data, [(age + rng.normal(), 10 * gender + rng.normal())])))
        quoted = name.replace('"', '""')
        lines.append(f'"{quoted}",{age if n < 119 else 110},{"mf"[gender]},<b>x$</b>')
    write(Path("cache"), images, fingerprint=fakes.FINGERPRINT)
    Path("labels.csv").write_text("path,Years,sex,group\n" + "\n".join(lines))
    columns = ("--columns", "age=years,gender=Sex")
    return lambda *options: arcage(
        "data", "describe", "--cache", "cache", "--labels", "labels.csv", *columns, *options
    )


def test_the_command(run: Callable[..., Any]) -> None:
    done = run()
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("120 faces; with an age 120, male 60, female 60, group 120, person 0\n")
    assert "images: labelled 120, used 120" in done.stderr
    done = run("--format", "json", "--report", "r", "--images", "photos")
    assert done.exit_code == 0, done.stderr
    assert "report: r/labels.html" in done.stderr.replace("\\", "/")
    assert "missing" not in done.stderr.split("report:")[1]
    report = json.loads(done.stdout)
    assert {"labels": "labels.csv", **report} == json.loads(Path("r", JSON).read_text("utf-8"))
    assert report["suspicious"]["age"][0]["names"] == [HOSTILE]
    text = Path("r", HTML).read_text("utf-8")
    page = Page(text)
    assert "script" not in {tag for tag, _ in page.tags}
    assert not any("//" in (a.get("src") or "")[:9] or "href" in a for _, a in page.tags)
    assert "<b>x$</b>" in page.texts
    assert page.cards() >= len(report["suspicious"]["age"])
    assert sum("jpeg" in (a.get("src") or "") for _, a in page.tags) == page.cards()
    with Path("r", CSV).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["path"] == HOSTILE
    assert float(rows[0]["label_age"]) == 110
    assert float(rows[0]["score"]) == pytest.approx(report["suspicious"]["age"][0]["years_outside"], rel=1e-3)
    Path("photos", HOSTILE).unlink()
    assert "thumbnails missing: 1;" in run("--report", "r", "--images", "photos").stderr
    quiet = run("--report", "r", "--quiet")
    assert (quiet.stdout, quiet.stderr) == ("", "")
    quiet = run("--quiet")
    assert quiet.stderr == ""
    assert quiet.stdout.splitlines()[2].split() == ["age", "faces", "male", "female", "<b>x$</b>"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--images", "photos"), 2, "--report DIR"),
        (("--report", "r", "--images", "nowhere"), 2, "name the one that was extracted"),
        (("--report", "labels.csv"), 3, "choose another place"),
        (("--format", "xml"), 2, "table"),
        (("--labels", "none.csv"), 2, "no such file"),
        (("--columns", "age=nothing"), 2, "2 --columns"),
        (
            ("--labels", "labels.csv", "--columns", "age=Jahre"),
            2,
            "has no column 'Jahre' for age; it has path, ye",
        ),
    ],
)
def test_what_is_wrong_is_said(
    run: Callable[..., Any], options: tuple[str, ...], code: int, words: str
) -> None:
    done = run(*options)
    assert done.exit_code == code
    assert words in done.stderr.replace("\n", " ")
    assert done.stdout == ""
    assert not Path("r").exists()


def test_cleaning_by_command(
    arcage: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_imdb_wiki import EXPECTED, mat

    monkeypatch.chdir(tmp_path)
    mat(Path("wiki.mat"))
    done = arcage("data", "clean", "wiki.mat", "--out", "wiki.csv")
    assert done.exit_code == 0, done.stderr
    assert (
        done.stderr
        == "entries 12, no face 2, two faces 1, impossible age 3, path twice 1, kept 5, gender unknown 1\n"
    )
    assert counts(Path("wiki.csv")) == EXPECTED
    for arguments, words in (
        (("none.mat", "--out", "a.csv"), "no such file"),
        (("wiki.mat", "--out", "a.txt"), ".csv"),
        (("wiki.csv", "--out", "a.csv"), "damaged"),
    ):
        done = arcage("data", "clean", *arguments)
        assert done.exit_code == UsageError.exit_code
        assert words in done.stderr
    assert not Path("a.csv").exists()
