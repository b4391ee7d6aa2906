"""The page of an evaluation shows the content of the JSON file."""

from __future__ import annotations

import base64
import re

from caches import FINGERPRINT
from reports import HOSTILE, Made, make_worst_of, report_on

from arcage.cache import Cache
from arcage.evaluation.metrics import COLUMNS, as_text
from arcage.report.elements import COUNTS
from arcage.report.evaluation_plots import CAPTIONS
from arcage.report.evaluation_report import HTML


def test_the_page_shows_the_metrics_of_the_json_file(made: Made) -> None:
    _, full, page, _ = made
    rows = {row[0][0]: row[1:] for row in page.rows if len(row) == 11 and row[0]}
    sets = {"all": (full["overall"], full["intervals"]["overall"])}
    for part in ("age_bands", "genders", "groups"):
        for name in full[part]:
            sets[name] = (full[part][name], full["intervals"][part][name])
    assert set(sets) <= set(rows)
    assert len(sets) > 10
    seen = 0
    for name, (metrics, ends) in sets.items():
        for cell, (_, key, style) in zip(rows[name], COLUMNS, strict=True):
            both = ends.get(key)
            expected = [as_text(metrics, key, style)]
            if both is not None:
                words = f"{style.format(both[0])} to {style.format(both[1])}"
                expected.append(words.replace("%", " %"))
                seen += 1
            assert cell == expected
    assert seen > 20
    assert f"{full['overall']['mae']:.2f} years" in page.texts
    counts = {row[0][0]: row[1][0] for row in page.rows if len(row) == 2}
    assert counts == {words: f"{full['images'][name]:,}" for name, words in COUNTS.items()}


def test_data_and_heads(made: Made) -> None:
    _, full, page, _ = made
    for words in (
        "labels.csv, 25 % held out",
        "60; with age 60, with gender 60",
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
    # 30 males and 30 females are enough to name the worst one, 20 faces in a group are not.
    assert full["worst_sets"]["mae"].keys() == {"genders"}
    name = full["worst_sets"]["mae"]["genders"]
    other = {"male": "female", "female": "male"}[name]
    assert full["genders"][name]["mae"] > full["genders"][other]["mae"]
    assert "Largest age error by gender: " in page.texts
    assert page.texts[page.texts.index("Largest age error by gender: ") + 1] == name


def test_the_page_loads_nothing(made: Made) -> None:
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
    for name in CAPTIONS:
        assert (folder / "out" / f"{name}.png").read_bytes() in inside
    assert sum(tag == "source" for tag, _ in page.tags) == len(CAPTIONS), "each plot has a dark version"
    assert "prefers-color-scheme: dark" in bare
    assert "width=device-width" in bare


def test_text_is_escaped(made: Made) -> None:
    faces, _, page, folder = made
    text = (folder / "out" / HTML).read_text("utf-8")
    assert "<script" not in text
    assert "<b>" not in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    # The hostile name is shown if its face is among the worst.
    first = make_worst_of(faces, HOSTILE.replace("/", ":"), folder)
    full, page = report_on(
        folder / "hostile", faces, first, names=Cache(folder / "cache", FINGERPRINT).names()
    )
    assert full["worst_faces"]["age"][0]["names"] == [HOSTILE.replace("/", ":")]
    assert HOSTILE.replace("/", ":") in page.texts
    text = (folder / "hostile" / HTML).read_text("utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_columns_have_unique_names() -> None:
    headings = [heading for heading, _, _ in COLUMNS]
    assert len(set(headings)) == len(headings)
    assert {"with age", "with gender"} <= set(headings)
