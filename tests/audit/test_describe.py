"""`arcage data describe`: its report, its findings on planted errors, and its files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest
from caches import image, write
from labelled_sets import DIMENSION, labelled, made_up
from pages import Page, picture

from arcage.audit.describe import describe
from arcage.audit.text import as_text
from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.data.labelled import LabelledFaces
from arcage.report.labels_report import CSV, HTML, JSON

HOSTILE = "<script>alert('&\")<:script>.jpg"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], LabelledFaces, Cache]:
    """Describe 400 faces with planted errors: 0 and 1 are near copies with different ages, 2 and 3 are near
    copies of one person, 4 and 5 are look-alikes with different names, 6 has a wrong age and 7 a wrong
    gender."""
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


def test_planted_errors_are_reported(made: tuple[dict[str, Any], LabelledFaces, Cache]) -> None:
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
    assert "Look-alikes with different names" in text
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


def test_copies_and_labels_that_are_left_out(tmp_path: Path) -> None:
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
    assert "none.jpg (labels.csv, line 10) has no face" in text
    assert report["ages"]["bands"][2]["unknown"] == 5


def test_labels_without_ages(tmp_path: Path) -> None:
    x, _, gender = made_up(120)
    faces, cache = labelled(tmp_path, x, {"gender": gender.tolist()})
    report = describe(faces, cache.names())
    assert report["ages"] == {"years": [], "bands": []}
    assert report["heaping"] == {"whipple": None, "peaks": []}
    assert report["suspicious"]["age"] == []
    assert "none is named" in as_text(report)


@pytest.fixture
def run(arcage: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run `arcage data describe` on 120 labelled pictures, the last with a hostile name and a wrong age."""
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
    assert done.stdout.startswith("120 faces; labels: age 120, male 60, female 60, group 120, person 0\n")
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
def test_wrong_arguments(run: Callable[..., Any], options: tuple[str, ...], code: int, words: str) -> None:
    done = run(*options)
    assert done.exit_code == code
    assert words in done.stderr.replace("\n", " ")
    assert done.stdout == ""
    assert not Path("r").exists()
