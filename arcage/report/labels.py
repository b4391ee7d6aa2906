"""The description of a labelled set as a page: plots, and thumbnails of what should be looked at."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from arcage.audit.duplicates import NEAR_COPY
from arcage.audit.label_errors import CONTRADICTED, FAR_OUTSIDE
from arcage.audit.records import picture_key
from arcage.audit.text import heaping_lines
from arcage.files import atomic_write, csv_mark, refuse_foreign
from arcage.report.page import answer_lines, card, counts, document, figures, tiles
from arcage.report.plots import legend, new_axes, png, style
from arcage.report.worst import thumbnails
from arcage.text import counted, percent

HTML, JSON, CSV = "labels.html", "labels.json", "suspicious.csv"
SHOWN = 24
"""Faces, or pairs, that the page shows of each kind."""
GROUPS = 8
"""Groups that are drawn, the largest first."""
CSV_COLUMNS = (
    "kind", "score", "path", "source", "label_age", "age", "age_low", "age_high", "label_gender",
    "p_female", "sha256",
)  # fmt: skip

PLOTS = {
    "years": ("Ages", "Faces of each year of age, by gender. Peaks at 20, 25, 30, ... are guessed ages."),
    "groups": (
        "Ages by group",
        "How the ages of each group are spread: the share of its faces in each band.",
    ),
}


def check_label_report_files(folder: Path) -> None:
    """Check whether :func:`write_label_report` may write into ``folder``.

    Raises:
        ForeignFileError: it would replace a file that arcage did not write.
    """
    refuse_foreign(rb"<title>arcage labels: ", folder / HTML)
    refuse_foreign(rb'\A\{\s*"labels": "[^\n]*",\s*"images": \{', folder / JSON)
    refuse_foreign(csv_mark(CSV_COLUMNS), folder / CSV)


def write_label_report(
    folder: Path, report: dict[str, Any], *, labels: str, images: Sequence[Path] = ()
) -> dict[str, Any]:
    """Write ``labels.html``, which needs nothing beside it, ``labels.json`` and ``suspicious.csv``.

    Args:
        folder: as :func:`arcage.report.prepare` leaves it.
        report: of :func:`arcage.audit.describe.describe`; the faces that have a thumbnail are marked in it.
        labels: what the labels came from, in words.
        images: the folders that were extracted; none for no thumbnails.

    Returns:
        What ``labels.json`` holds.

    Raises:
        OutputError: a file cannot be written.
    """
    shown = _shown(report)
    pictures = thumbnails(shown, images) if images else {}
    full = {"labels": labels, **report}
    text = json.dumps(full, indent=2, allow_nan=False)
    with atomic_write(folder / JSON, "w") as file:
        file.write(text + "\n")
    with atomic_write(folder / CSV, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows(_suspicious_rows(report["suspicious"]))
    plots, dark = _draw(report, False), _draw(report, True)
    with atomic_write(folder / HTML, "w") as file:
        file.write(_page(full, plots, dark, pictures))
    return full


def faces_shown(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The faces that the page shows."""
    return [face for rows in _shown(report).values() for face in rows]


def _shown(report: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    suspicious, near, alike = report["suspicious"], report["copies"]["near"], report["look_alikes"]["most"]
    return {
        "age": suspicious["age"][:SHOWN],
        "gender": suspicious["gender"][:SHOWN],
        "near": [face for pair in near[:SHOWN] if pair["differs"] for face in pair["faces"]],
        "alike": [face for pair in alike[:SHOWN] for face in pair["faces"]],
    }


def _suspicious_rows(suspicious: dict[str, Any]) -> list[list[Any]]:
    rows = []
    for kind, score in (("age", "years_outside"), ("gender", "doubt")):
        for face in suspicious[kind]:
            values = {**face, "kind": kind, "score": face[score], "path": (face["names"] or [""])[0]}
            cells = [values[name] for name in CSV_COLUMNS]
            rows.append([f"{c:.4g}" if isinstance(c, float) else "" if c is None else c for c in cells])
    return rows


def _page(
    report: dict[str, Any],
    plots: Mapping[str, bytes],
    dark: Mapping[str, bytes],
    pictures: Mapping[str, bytes],
) -> str:
    labels = escape(report["labels"])
    sections = [
        _overview(report),
        "<h2>Ages</h2>" + _table(report["ages"]["bands"]) + _sentences(heaping_lines(report["heaping"], 20)),
        figures(PLOTS, plots, dark),
        _suspicious(report["suspicious"], pictures),
        _copies(report["copies"], pictures),
        _alike(report, pictures),
        _left_out(report["left_out"]),
    ]
    if not pictures:
        note = "Thumbnails: run again with --images and the folder that was extracted."
        sections.append(f'<p class="note">{note}</p>')
    return document(f"arcage labels: {labels}", f"The labels of {labels}", sections, JSON)


def _overview(report: dict[str, Any]) -> str:
    faces, suspicious = report["faces"], report["suspicious"]
    cells = [
        ("Faces with labels", f"{faces['all']:,}", ""),
        ("With an age", f"{faces['age']:,}", _span(report["ages"])),
        ("Male and female", f"{faces['male']:,} and {faces['female']:,}", ""),
        (
            "Persons named",
            f"{report['persons']['named']:,}",
            f"{report['persons']['several']:,} several times",
        ),
        ("Ages far outside", f"{suspicious['far']:,}", f"{FAR_OUTSIDE:g} years or more outside the interval"),
        ("Genders contradicted", f"{suspicious['contradicted']:,}", f"with {percent(CONTRADICTED)} or more"),
        ("Contradictory copies", f"{len(report['copies']['contradictory']):,}", "left out"),
        ("Near copies", f"{len(report['copies']['near']):,}", f"pairs, cosine {NEAR_COPY:g} or more"),
    ]
    sources = ""
    if len(report["sources"]) > 1:
        listed = "".join(
            f"<tr><th>{escape(name)}</th><td>{count:,}</td></tr>" for name, count in report["sources"].items()
        )
        sources = f'<h3>Sources</h3><div class="wide fit"><table class="counts">{listed}</table></div>'
    return f"{tiles(cells)}\n<h2>What became of the images</h2>\n{counts(report['images'])}\n{sources}"


def _span(ages: dict[str, Any]) -> str:
    if not ages["bands"]:
        return ""
    return f"{ages['youngest']:g} to {ages['oldest']:g}, median {ages['median']:g}"


def _table(bands: list[dict[str, Any]]) -> str:
    if not bands:
        return "<p>No face has an age.</p>"
    groups = list(bands[0]["groups"])[:GROUPS]
    heads = "".join(f"<th>{escape(h)}</th>" for h in ("age", "faces", "male", "female", "unknown", *groups))
    rows = []
    for band in bands:
        cells = [band["faces"], band["male"], band["female"], band["unknown"]]
        cells += [band["groups"][group] for group in groups]
        cells_ = "".join(f"<td>{cell:,}</td>" for cell in cells)
        rows.append(f"<tr><th>{band['from']}-{band['to']}</th>{cells_}</tr>")
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def _sentences(sentences: list[str]) -> str:
    return "".join(f"<p>{escape(sentence)}.</p>" for sentence in sentences)


def _suspicious(suspicious: dict[str, Any], pictures: Mapping[str, bytes]) -> str:
    out = [
        "<h2>Suspicious labels</h2>\n"
        f'<p class="note">By {escape(suspicious["by"])}: each face was answered by heads that have not seen '
        f"it. Some of these labels are right, and the answer is wrong. All of them are in {CSV}. This page "
        "holds file names and, where found, pictures of faces: pass it on with care.</p>",
        _sentences(suspicious["not_compared"]),
    ]
    for which, title in (("age", "Ages farthest outside the interval"), ("gender", "Genders contradicted")):
        faces = suspicious[which]
        if faces:
            cards = [card(f, answer_lines(f, which), pictures.get(picture_key(f))) for f in faces[:SHOWN]]
            out.append(f"<h3>{title}: {min(SHOWN, len(faces))} of {len(faces):,}</h3>{_cards(cards)}")
    return "\n".join(out)


def _copies(copies: dict[str, Any], pictures: Mapping[str, bytes]) -> str:
    out = [
        "<h2>Copies</h2>",
        f"<p>Images under several paths: {len(copies['exact']):,}. With contradictory labels, left out: "
        f"{len(copies['contradictory']):,}.</p>",
        _notes(copies["contradictory"]),
    ]
    differ = [pair for pair in copies["near"] if pair["differs"]]
    if differ:
        out.append(
            f"<h3>Near copies with different labels: {counted(len(differ), 'pair')}</h3>"
            + _pairs(differ, pictures)
        )
    return "\n".join(out)


def _alike(report: dict[str, Any], pictures: Mapping[str, bytes]) -> str:
    alike, persons = report["look_alikes"], report["persons"]
    other = " of different persons by name" if persons["named"] else ""
    count = f"{alike['pairs']:,}" if alike["complete"] else f"more than {alike['pairs']:,}"
    return (
        f"<h2>Look-alikes{other}</h2>\n<p>Pairs with a cosine of {alike['cosine']:g} or more among "
        f"{counted(alike['compared'], 'compared face')}: {count}.</p>\n"
        '<p class="note">They may be one person, or not: these descriptors were not made to tell who '
        "somebody is, and small children look alike to them.</p>\n"
        f"{_pairs(alike['most'], pictures)}"
    )


def _pairs(pairs: list[dict[str, Any]], pictures: Mapping[str, bytes]) -> str:
    cards = []
    for pair in pairs[:SHOWN]:
        for face in pair["faces"]:
            age = "" if face["label_age"] is None else f"{face['label_age']:g}"
            lines = [f"label {' '.join(filter(None, (age, face['label_gender'])))}"]
            cards.append(
                card(face, [*lines, f"cosine {pair['cosine']:.3f}"], pictures.get(picture_key(face)))
            )
    return _cards(cards)


def _cards(cards: list[str]) -> str:
    return f'<div class="faces">{"".join(cards)}</div>' if cards else ""


def _left_out(notes: list[dict[str, Any]]) -> str:
    return f"<h2>Labels without a face: {len(notes):,}</h2>{_notes(notes)}" if notes else ""


def _notes(notes: list[dict[str, Any]]) -> str:
    listed = "".join(f"<li>{escape(note['text'])}</li>" for note in notes[:SHOWN])
    more = f"<li>and {len(notes) - SHOWN:,} more, in {JSON}</li>" if len(notes) > SHOWN else ""
    return f"<ul>{listed}{more}</ul>" if notes else ""


def _draw(report: dict[str, Any], dark: bool) -> dict[str, bytes]:
    ages = report["ages"]
    plots = {}
    with style(dark) as colours:
        if ages["years"]:
            plots["years"] = _years(ages["years"], colours)
        if ages["bands"] and ages["bands"][0]["groups"]:
            plots["groups"] = _groups(ages["bands"], colours)
    return plots


def _years(years: list[dict[str, int]], colours: dict[str, str]) -> bytes:
    figure, axes = new_axes()
    base = np.zeros(len(years))
    for name, colour in (("male", "first"), ("female", "second"), ("unknown", "grid")):
        heights = np.array([year[name] for year in years])
        if heights.any():
            axes.bar(
                np.arange(len(years)),
                heights,
                width=1,
                bottom=base,
                color=colours[colour],
                label=name,
                linewidth=0,
            )
            base += heights
    axes.set(xlabel="age by label (years)", ylabel="faces", xlim=(-0.5, len(years) - 0.5))
    legend(axes)
    return png(figure)


def _groups(bands: list[dict[str, Any]], colours: dict[str, str]) -> bytes:
    from matplotlib.colors import LinearSegmentedColormap

    figure, axes = new_axes()
    names = list(bands[0]["groups"])[:GROUPS]
    counts_ = np.array([[band["groups"][name] for name in names] for band in bands], float)
    shares = 100 * counts_ / np.maximum(counts_.sum(axis=0), 1)
    cells = axes.imshow(
        shares.T,
        aspect="auto",
        cmap=LinearSegmentedColormap.from_list("share", [colours["ground"], colours["first"]]),
    )
    figure.colorbar(cells, label="share of the group (%)", shrink=0.85)
    axes.grid(visible=False)
    axes.set_xticks(range(len(bands)), [str(band["from"]) for band in bands])
    # Names may hold what would be read as a formula.
    axes.set_yticks(range(len(names)), [name.replace("$", r"\$")[:16] for name in names])
    axes.set(xlabel="age by label, from (years)")
    with warnings.catch_warnings():
        # A script that the font lacks is drawn as boxes; the table has the names.
        warnings.filterwarnings("ignore", "Glyph")
        return png(figure)
