"""The report of `arcage evaluate`: the page says what the JSON says, and loads nothing from elsewhere."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import fakes
import numpy as np
import pytest
from caches import BOX, FINGERPRINT, image, write
from pages import Page, picture

from arcage.cache import Cache
from arcage.data.labelled import Counts, LabelledFaces, labelled_faces
from arcage.data.rows import picture_key
from arcage.errors import ArcageError, OutputError, UsageError
from arcage.evaluation.metrics import COLUMNS, as_text, evaluate
from arcage.heads.model import Heads, Predictions
from arcage.images.decode import decode
from arcage.report import HTML, JSON, prepare, write_report
from arcage.report.curves import curves
from arcage.report.page import COUNTS, PLOTS
from arcage.report.thumbnail import SIDE, cut
from arcage.report.worst import MANY, thumbnails, worst_faces

HOSTILE = "<script>alert('&\")</script>.jpg"
GROUPS = ("<b>bold</b>", "plain", "")
MANIFEST = {
    "settings": {"kind": "boosted", "seed": 3},
    "pack": "compact",
    "models": ["one", "two"],
    "training": {"labels": "<i>mine</i>", "faces": 1234, "ages": [1.0, 80.0], "held_out_share": 0.2},
    "versions": {"arcage": "0.1.0"},
    "arrays": {"sha256": "ab" * 32},
}
HEADS = Heads(FINGERPRINT, 2, None, None, MANIFEST)


def make(folder: Path, n: int = 60) -> tuple[LabelledFaces, Cache]:
    """Labelled faces of ``n`` pictures, which are in ``folder``/photos; the first has a hostile name."""
    rng = np.random.default_rng(0)
    photos = folder / "photos"
    (photos / "sub").mkdir(parents=True)
    # Most systems let a file have such a name; a slash in it they do not.
    names = [HOSTILE.replace("/", ":"), *(f"sub/{number}.jpg" for number in range(1, n))]
    lines, images = ["path,age,gender,group"], []
    for number, name in enumerate(names):
        data = picture(number)
        (photos / name).write_bytes(data)
        quoted = name.replace('"', '""')
        lines.append(f'"{quoted}",{rng.integers(1, 90)},{"mf"[number % 2]},{GROUPS[number % 3]}')
        images.append((name, image(data)))
    cache = write(folder / "cache", images)
    (folder / "labels.csv").write_text("\n".join(lines))
    return labelled_faces(cache, str(folder / "labels.csv")), cache


def answer(faces: LabelledFaces) -> Predictions:
    """The first face by hash is 70 years off, the others less; every fifth gender is wrong."""
    n = len(faces)
    error = np.linspace(70, -5, n).astype(np.float32)
    guess = np.nan_to_num(faces.age, nan=30) + error
    wrong = np.arange(n) % 5 == 0
    sure = np.linspace(0.95, 0.6, n).astype(np.float32)
    female = (faces.gender == 1) ^ wrong
    return Predictions(guess, guess - 8, guess + 8, np.where(female, sure, 1 - sure).astype(np.float32))


def report_on(
    folder: Path, faces: LabelledFaces, answers: Predictions, **options: Any
) -> tuple[dict[str, Any], Page]:
    report = {
        "images": asdict(faces.counts),
        **evaluate(answers, replace(faces.labels(), source=None)),
    }
    prepare(folder)
    full = write_report(folder, report, answers, faces, HEADS, **{"labels": "labels.csv", **options})
    text = (folder / HTML).read_text("utf-8")
    assert "nan" not in re.sub(r"base64,[\w+/=]+", "", text).lower()
    return full, Page(text)


Made = tuple[LabelledFaces, dict[str, Any], Page, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("report")
    faces, cache = make(folder)
    full, page = report_on(
        folder / "out",
        faces,
        answer(faces),
        holdout=0.25,
        warning="too <good> to be true",
        names=cache.names(),
        images=[folder / "photos"],
    )
    return faces, full, page, folder


def test_the_files(made: Made) -> None:
    faces, full, _, folder = made
    out = folder / "out"
    assert {path.name for path in out.iterdir()} == {HTML, JSON, *(f"{name}.png" for name in PLOTS)}
    assert json.loads((out / JSON).read_text("utf-8")) == full
    for name in PLOTS:
        pixels = decode((out / f"{name}.png").read_bytes())
        assert pixels.shape == (585, 810, 3)
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50, "something is drawn"
    # What was there before stays as it is, beside what is new.
    plain = evaluate(answer(faces), replace(faces.labels(), source=None))
    assert {part: full[part] for part in plain} == plain
    assert full.keys() - plain.keys() == {
        *("images", "measured", "intervals", "worst_sets", "curves", "worst_faces"),
    }


def test_the_same_figures_give_the_same_files(made: Made, tmp_path: Path) -> None:
    faces, _, _, folder = made
    options = {"holdout": 0.25, "warning": "too <good> to be true", "images": [folder / "photos"]}
    names = Cache(folder / "cache", FINGERPRINT).names()
    report_on(tmp_path, faces, answer(faces), names=names, **options)
    for file in (folder / "out").iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_page_has_the_figures_of_the_json(made: Made) -> None:
    _, full, page, _ = made
    rows = {row[0][0]: row[1:] for row in page.rows if len(row) == 11 and row[0]}
    sets = {"all": (full["overall"], full["intervals"]["overall"])}
    for part in ("age_bands", "genders", "groups"):
        for name in full[part]:
            sets[name] = (full[part][name], full["intervals"][part][name])
    assert set(sets) <= set(rows)
    assert len(sets) > 10
    seen = 0
    for name, (figures, ends) in sets.items():
        for cell, (_, key, style) in zip(rows[name], COLUMNS, strict=True):
            both = ends.get(key)
            expected = [as_text(figures, key, style)]
            if both is not None:
                words = f"{style.format(both[0])} to {style.format(both[1])}"
                expected.append(words.replace("%", " %"))
                seen += 1
            assert cell == expected
    assert seen > 20
    assert f"{full['overall']['mae']:.2f} years" in page.texts
    counts = {row[0][0]: row[1][0] for row in page.rows if len(row) == 2}
    assert counts == {words: f"{full['images'][name]:,}" for name, words in COUNTS.items()}


def test_every_count_has_words() -> None:
    assert set(COUNTS) == {field.name for field in fields(Counts)}


def test_what_was_measured(made: Made) -> None:
    _, full, page, _ = made
    for words in (
        "labels.csv, 25 % held out",
        "60; compared by age 60, by gender 60",
        FINGERPRINT,
        "boosted, seed 3",
        "compact (one, two)",
        "<i>mine</i>, 1,234 faces, ages 1 to 80, 20 % held out",
        "ab" * 32,
        "Too <good> to be true.",
    ):
        assert words in page.texts
    assert full["measured"]["heads"]["seed"] == 3
    assert "bootstrap samples of faces" in page.words
    # 30 males and 30 females are enough to name one, 20 faces in a group are not.
    assert full["worst_sets"]["mae"].keys() == {"genders"}
    name = full["worst_sets"]["mae"]["genders"]
    other = {"male": "female", "female": "male"}[name]
    assert full["genders"][name]["mae"] > full["genders"][other]["mae"]
    assert "Largest age error by gender: " in page.texts
    assert page.texts[page.texts.index("Largest age error by gender: ") + 1] == name


def test_nothing_comes_from_elsewhere(made: Made) -> None:
    _, _, page, folder = made
    text = (folder / "out" / HTML).read_text("utf-8")
    bare = re.sub(r"base64,[\w+/=]+", "", text)
    assert "http" not in bare
    assert "url(" not in bare
    assert "@import" not in bare
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "a", "object", "form", "b", "i"}
    for tag, attributes in page.tags:
        assert not attributes.keys() & {"href", "style"}
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "srcset"):
            if name in attributes:
                assert re.fullmatch(r"data:image/(png|jpeg);base64,[\w+/=]+", attributes[name] or ""), tag
    inside = [
        base64.b64decode((a["src"] or "").split(",")[1]) for t, a in page.tags if t == "img" and "src" in a
    ]
    for name in PLOTS:
        assert (folder / "out" / f"{name}.png").read_bytes() in inside
    assert sum(tag == "source" for tag, _ in page.tags) == len(PLOTS), "each plot has a dark version"
    assert "prefers-color-scheme: dark" in bare
    assert "width=device-width" in bare


def test_texts_are_escaped(made: Made) -> None:
    faces, _, page, folder = made
    text = (folder / "out" / HTML).read_text("utf-8")
    assert "<script" not in text
    assert "<b>" not in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    # The hostile name is shown where its face is among the worst.
    first = make_worst_of(faces, HOSTILE.replace("/", ":"), folder)
    full, page = report_on(
        folder / "hostile", faces, first, names=Cache(folder / "cache", FINGERPRINT).names()
    )
    assert full["worst_faces"]["age"][0]["names"] == [HOSTILE.replace("/", ":")]
    assert HOSTILE.replace("/", ":") in page.texts
    text = (folder / "hostile" / HTML).read_text("utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def make_worst_of(faces: LabelledFaces, name: str, folder: Path) -> Predictions:
    sha256 = image((folder / "photos" / name).read_bytes()).sha256
    answers = answer(faces)
    answers.age[faces.sha256().index(sha256)] = 500
    return answers


def test_the_worst_faces(made: Made) -> None:
    faces, full, page, _ = made
    worst = full["worst_faces"]
    errors = [abs(face["age"] - face["label_age"]) for face in worst["age"]]
    every = np.sort(np.abs(answer(faces).age - faces.age))[::-1]
    assert len(errors) == MANY
    np.testing.assert_allclose(errors, every[:MANY], rtol=1e-6)
    assert errors == sorted(errors, reverse=True)
    assert worst["age"][0]["sha256"] == faces.sha256()[0]
    assert worst["age"][0]["box"] == list(BOX)
    # 60 faces, every fifth contradicted.
    assert len(worst["gender"]) == 12
    sure = [f["p_female"] if f["label_gender"] == "male" else 1 - f["p_female"] for f in worst["gender"]]
    assert sure == sorted(sure, reverse=True)
    assert min(sure) > 0.5
    assert page.cards() == MANY + 12
    first = worst["age"][0]
    assert f"label {first['label_age']:g}" in page.texts
    assert f"answer {first['age']:.1f}" in page.texts
    assert f"90 %: {first['age_low']:.0f} to {first['age_high']:.0f}" in page.texts
    assert f"answer {'fe' if first['p_female'] >= 0.5 else ''}male 95 %" in page.texts


def test_thumbnails(made: Made) -> None:
    _, full, page, _ = made
    every = [face for rows in full["worst_faces"].values() for face in rows]
    assert all(face["thumbnail"] for face in every)
    shown = [a["src"] or "" for t, a in page.tags if t == "img" and "jpeg" in (a.get("src") or "")]
    assert len(shown) == len(every)
    for source in shown:
        pixels = decode(base64.b64decode(source.split(",")[1]))
        assert pixels.shape == (SIDE, SIDE, 3)
        # The box, and a quarter of its side around it: two thirds of the thumbnail.
        middle = pixels[SIDE // 6 + 4 : -SIDE // 6 - 4, SIDE // 6 + 4 : -SIDE // 6 - 4]
        assert abs(middle[..., 1].mean() - 120) < 4
        assert pixels[:8].mean() < 8


def test_thumbnails_only_of_the_images_themselves(made: Made, tmp_path: Path) -> None:
    faces, _, _, folder = made
    names = Cache(folder / "cache", FINGERPRINT).names()
    worst = worst_faces(answer(faces), faces, names)
    (tmp_path / "sub").mkdir()
    a, b, c, d = [face for face in worst["age"] if face["names"][0].startswith("sub/")][:4]
    data = (folder / "photos" / a["names"][0]).read_bytes()
    (tmp_path / a["names"][0]).write_bytes(data)
    (tmp_path / b["names"][0]).write_bytes(data)  # readable, but another image
    (tmp_path / c["names"][0]).mkdir()
    found = thumbnails(worst, [tmp_path])
    assert set(found) == {picture_key(a)}
    assert (a["thumbnail"], b["thumbnail"], c["thumbnail"], d["thumbnail"]) == (True, False, False, False)
    # Another face of the image has a picture of its own; accents may be spelled otherwise than in the cache.
    (tmp_path / "Zoe\u0308.jpg").write_bytes(data)
    faces_of_one = [{**a, "face": n, "box": [n, 0, n + 40, 40], "names": ["Zo\u00eb.jpg"]} for n in (0, 100)]
    pictures = thumbnails({"age": faces_of_one}, [tmp_path])
    assert [picture_key(face) for face in faces_of_one] == list(pictures)
    assert len(set(pictures.values())) == 2
    # A file that is no image, though its hash is right.
    text = tmp_path / "text.jpg"
    text.write_bytes(b"no image")
    face = {**a, "names": ["text.jpg"], "sha256": image(b"no image").sha256}
    assert thumbnails({"age": [face]}, [tmp_path]) == {}
    # Without names none can be found, and the page says the hash.
    assert thumbnails(worst_faces(answer(faces), faces), [folder / "photos"]) == {}
    full, page = report_on(tmp_path / "out", faces, answer(faces))
    assert full["worst_faces"]["age"][0]["names"] == []
    assert f"{full['worst_faces']['age'][0]['sha256'][:12]}..." in page.texts
    assert "run again with --images" in page.words
    assert not any("jpeg" in (attributes.get("src") or "") for _, attributes in page.tags)


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        ((50, 50, 150, 150), (SIDE, SIDE)),
        ((0, 0, 20, 20), (25, 25)),  # small ones are not enlarged; a quarter above and left is outside
        ((-100, -100, 50, 50), (88, 88)),
        ((150, 60, 250, 160), (SIDE, round(SIDE * 75 / 150))),
        ((400, 400, 500, 500), (1, 1)),
        ((80, 80, 80, 80), (3, 3)),
    ],
)
def test_cutting_a_face(box: tuple[int, ...], shape: tuple[int, int]) -> None:
    part = cut(np.zeros((200, 200, 3), np.uint8), np.array(box, float))
    assert part.shape[:2] == pytest.approx(shape, abs=1)


def test_the_curves_by_hand() -> None:
    age = np.array([3, 4, 7, np.nan], np.float32)
    seen = Predictions(
        *np.array([[4, 2, 20, 0.05], [2, 1, 3, 0.06], [10, 9, 11.5, 0.95], [1, 1, 1, 0.6]], np.float32).T
    )
    got = curves(seen, age, np.array([0, 1, 1, 0], np.float32))
    assert [(r["from"], r["to"], r["faces"], r["bias"], r["mae"]) for r in got["error_by_age"]] == [
        (0, 5, 2, -0.5, 1.5),
        (5, 10, 1, 3, 3),
    ]
    assert got["error_by_age"][0]["bias_interval"] is None
    assert [(r["faces"], r["female"]) for r in got["reliability"]] == [(2, 0.5), (1, 0), (1, 1)]
    assert got["reliability"][0]["p_female"] == pytest.approx(0.055)
    # Narrowest first: widths 2, 2.5 and 18 with errors 2, 3 and 1.
    assert [(r["faces"], r["mae"]) for r in got["kept_by_width"]] == [(1, 2), (2, 2.5), (3, 2)]
    assert got["kept_by_width"][-1]["share"] == 1
    kept = [r["gender_accuracy"] for r in got["kept_by_confidence"]]
    assert kept == pytest.approx([1, 1, 2 / 3, 0.5])


def test_many_points_are_drawn_as_a_density(
    tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = made[0]
    report_on(tmp_path / "points", faces, answer(faces))
    monkeypatch.setattr("arcage.report.plots.MANY", 10)
    report_on(tmp_path / "density", faces, answer(faces))
    points, density = ((tmp_path / which / "scatter.png").read_bytes() for which in ("points", "density"))
    assert points != density


AGE_PLOTS = {"scatter", "error_by_age", "coverage", "kept_by_width"}


def test_without_an_attribute(made: Made, tmp_path: Path) -> None:
    faces, answers = made[0], answer(made[0])
    nothing = np.full(len(faces), np.nan, np.float32)
    no_age = replace(answers, age=nothing, age_low=nothing, age_high=nothing)
    full, page = report_on(tmp_path / "gender", faces, no_age)
    assert {path.stem for path in (tmp_path / "gender").glob("*.png")} == PLOTS.keys() - AGE_PLOTS
    assert full["worst_faces"]["age"] == []
    assert "No face has both an age and an answer." in page.texts
    assert "Mean absolute age error" not in page.texts
    full, page = report_on(tmp_path / "age", faces, replace(answers, p_female=nothing))
    assert {path.stem for path in (tmp_path / "age").glob("*.png")} == AGE_PLOTS
    assert full["worst_faces"]["gender"] == []
    assert "Gender as labelled" not in page.texts
    # Labels for gender alone: no age band, no group.
    gender_only = replace(faces, age=nothing, group=np.full(len(faces), ""))
    full, page = report_on(tmp_path / "labels", gender_only, answers)
    assert full["groups"] == full["age_bands"] == {}
    assert "By group" not in page.texts
    assert "By gender" in page.texts
    full, page = report_on(tmp_path / "none", gender_only, replace(answers, p_female=nothing))
    assert not list((tmp_path / "none").glob("*.png"))
    assert "Plots" not in page.texts


def test_one_face(made: Made, tmp_path: Path) -> None:
    one = made[0].select(np.arange(len(made[0])) == 0)
    answers = Predictions(*(getattr(answer(made[0]), f.name)[:1] for f in fields(Predictions)))
    full, page = report_on(tmp_path, one, answers)
    assert full["overall"]["n_age"] == full["overall"]["n_gender"] == 1
    assert set(full["intervals"]["overall"].values()) == {None}
    assert page.cards() == 2
    assert "Too few faces to say." in page.texts


def test_heads_that_say_little(made: Made, tmp_path: Path) -> None:
    faces, answers = made[0], answer(made[0])
    report = {"images": {}, **evaluate(answers, replace(faces.labels(), source=None))}
    prepare(tmp_path)
    write_report(tmp_path, report, answers, faces, replace(HEADS, manifest={}), labels="x.csv")
    assert FINGERPRINT in Page((tmp_path / HTML).read_text("utf-8")).texts


def test_persons_are_drawn_whole(made: Made, tmp_path: Path) -> None:
    faces = made[0]
    named = replace(faces, person=np.array([f"p{number % 20}" for number in range(len(faces))]))
    full, page = report_on(tmp_path, named, answer(faces))
    assert full["intervals"]["drawn"] == "persons"
    assert full["intervals"]["overall"] != made[1]["intervals"]["overall"]
    assert "each with all of their faces" in page.words


def test_what_is_asked_for_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    with pytest.raises(UsageError, match="not a folder"):
        prepare(tmp_path / "new", [tmp_path / "nothing"])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another place"):
        prepare(tmp_path / "file")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    with pytest.raises(ArcageError, match=r"pip install 'arcage\[report\]'") as raised:
        prepare(tmp_path / "new")
    assert raised.value.exit_code == 3
    assert not (tmp_path / "new").exists()


def test_matplotlib_is_loaded_only_for_a_report() -> None:
    code = (
        "import sys, arcage.cli, arcage.report\n"
        "assert not {'matplotlib', 'sklearn', 'pandas'} & set(sys.modules), 'loaded too early'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# The command


class FakeHeads(fakes.FakeHeads):
    manifest: ClassVar[dict[str, Any]] = {"training": {"labels": "labels.csv"}}
    folder = age = gender = None


@pytest.fixture
def run(arcage: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`arcage evaluate` on twenty labelled pictures."""
    monkeypatch.setattr("arcage.heads.store.load_heads", lambda folder: FakeHeads())
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    lines, images = ["path,age,gender"], []
    for number in range(20):
        Path("photos", f"{number}.jpg").write_bytes(picture(number))
        lines.append(f"{number}.jpg,{20 + number},{'mf'[number % 2]}")
        images.append((f"{number}.jpg", image(picture(number), [(20 + 2 * number, number % 2)])))
    write(Path("cache"), images, fingerprint=fakes.FINGERPRINT)
    Path("labels.csv").write_text("\n".join(lines))
    return lambda *options: arcage("evaluate", "--cache", "cache", "--labels", "labels.csv", *options)


def test_the_command(run: Callable[..., Any]) -> None:
    done = run("--json", "--out", "plain.json")
    assert done.exit_code == 0, done.stderr
    before = json.loads(done.stdout)
    again = run("--json", "--out", "again.json", "--report", "r", "--images", "photos")
    assert again.exit_code == 0, again.stderr
    assert again.stdout == done.stdout
    assert Path("plain.json").read_bytes() == Path("again.json").read_bytes()
    assert "report: r/report.html" in again.stderr.replace("\\", "/")
    assert "missing" not in again.stderr.split("report:")[1]
    full = json.loads(Path("r", JSON).read_text("utf-8"))
    assert {part: full[part] for part in before} == before
    assert full["worst_faces"]["age"][0]["names"] == ["19.jpg"]
    page = Page(Path("r", HTML).read_text("utf-8"))
    assert "The heads were fitted on labels of this name" in page.words
    Path("photos", "19.jpg").unlink()
    done = run("--report", "r", "--images", "photos")
    assert "thumbnails missing: 1;" in done.stderr
    assert done.stdout.splitlines()[1].split()[:2] == ["all", "20"]
    assert run("--report", "r", "--images", "photos", "--quiet").stderr == ""


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--images", "photos"), 2, "--report DIR"),
        (("--report", "r", "--images", "nowhere"), 2, "name the one that was extracted"),
        (("--report", "labels.csv"), 3, "choose another place"),
    ],
)
def test_what_is_wrong_is_said(
    run: Callable[..., Any], options: tuple[str, ...], code: int, words: str
) -> None:
    done = run(*options)
    assert done.exit_code == code
    assert words in done.stderr
    assert done.stdout == ""
    assert not Path("r").exists()


def test_matplotlib_is_missing(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    done = run("--report", "r")
    assert done.exit_code == 3
    assert "pip install 'arcage[report]'" in done.stderr
    assert run().exit_code == 0, "only the report needs it"


def test_legends_hide_nothing() -> None:
    pytest.importorskip("matplotlib")
    from arcage.report.plots import legend, new_axes, style

    with style(dark=False):
        figure, axes = new_axes()
        for name in ("male", "female", "unknown"):
            axes.bar([0, 1, 2], [1, 2, 3], label=name)
        legend(axes)
        figure.canvas.draw()
        inside, box = axes.get_window_extent(), axes.get_legend().get_window_extent()
    assert box.y0 >= inside.y1
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1


def test_no_two_columns_of_figures_have_one_name() -> None:
    headings = [heading for heading, _, _ in COLUMNS]
    assert len(set(headings)) == len(headings)
    assert {"with age", "with gender"} <= set(headings)
