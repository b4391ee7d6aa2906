"""The page of a labelled set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arcage.audit.duplicates import NEAR_COPY
from arcage.audit.label_errors import CONTRADICTED, FAR_OUTSIDE
from arcage.audit.records import picture_key
from arcage.audit.text import heaping_lines
from arcage.report.elements import (
    NO_THUMBNAILS,
    comparison_lines,
    counts_table,
    document,
    face_card,
    face_cards,
    gallery,
    tiles,
    two_columns,
)
from arcage.report.labels_plots import CAPTIONS, GROUPS
from arcage.report.plots import Plots
from arcage.text import counted, html_text, percent

SHOWN = 24
"""Maximum number of faces, or pairs, of each kind."""


def labels_page(
    report: dict[str, Any], plots: Plots, thumbnails: Mapping[str, bytes], files: tuple[str, str]
) -> str:
    """Return the page.

    Args:
        report: the content of ``labels.json``.
        plots: PNG files by name.
        thumbnails: JPEG files by :func:`arcage.audit.records.picture_key`.
        files: names of the JSON file with all numbers and of the CSV file with all suspicious labels.
    """
    json_file, csv_file = files
    labels = html_text(report["labels"])
    sections = [
        _overview(report),
        "<h2>Ages</h2>" + _table(report["ages"]["bands"]) + _sentences(heaping_lines(report["heaping"], 20)),
        gallery(CAPTIONS, plots),
        _suspicious(report["suspicious"], thumbnails, csv_file),
        _copies(report["copies"], thumbnails, json_file),
        _alike(report, thumbnails),
        _left_out(report["left_out"], json_file),
    ]
    if not thumbnails:
        sections.append(f'<p class="note">{NO_THUMBNAILS}</p>')
    return document(f"arcage labels: {labels}", f"Labels of {labels}", sections, json_file)


def _overview(report: dict[str, Any]) -> str:
    faces, suspicious = report["faces"], report["suspicious"]
    cells = [
        ("Faces with labels", f"{faces['all']:,}", ""),
        ("With an age", f"{faces['age']:,}", _span(report["ages"])),
        ("Male and female", f"{faces['male']:,} and {faces['female']:,}", ""),
        (
            "Named persons",
            f"{report['persons']['named']:,}",
            f"{report['persons']['several']:,} with several faces",
        ),
        ("Ages far off", f"{suspicious['far']:,}", f"{FAR_OUTSIDE:g} years or more outside the interval"),
        (
            "Contradicted genders",
            f"{suspicious['contradicted']:,}",
            f"probability {percent(CONTRADICTED)} or more",
        ),
        ("Contradictory copies", f"{len(report['copies']['contradictory']):,}", "excluded"),
        ("Near copies", f"{len(report['copies']['near']):,}", f"pairs, cosine {NEAR_COPY:g} or more"),
    ]
    sources = ""
    if len(report["sources"]) > 1:
        sources = f"<h3>Sources</h3>{two_columns(report['sources'].items())}"
    return f"{tiles(cells)}\n<h2>Images</h2>\n{counts_table(report['images'])}\n{sources}"


def _span(ages: dict[str, Any]) -> str:
    if not ages["bands"]:
        return ""
    return f"{ages['youngest']:g} to {ages['oldest']:g}, median {ages['median']:g}"


def _table(bands: list[dict[str, Any]]) -> str:
    if not bands:
        return "<p>No face has an age.</p>"
    groups = list(bands[0]["groups"])[:GROUPS]
    heads = "".join(
        f"<th>{html_text(h)}</th>" for h in ("age", "faces", "male", "female", "unknown", *groups)
    )
    rows = []
    for band in bands:
        cells = [band["faces"], band["male"], band["female"], band["unknown"]]
        cells += [band["groups"][group] for group in groups]
        row = "".join(f"<td>{cell:,}</td>" for cell in cells)
        rows.append(f"<tr><th>{band['from']}-{band['to']}</th>{row}</tr>")
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def _sentences(sentences: list[str]) -> str:
    return "".join(f"<p>{html_text(sentence)}.</p>" for sentence in sentences)


def _suspicious(suspicious: dict[str, Any], thumbnails: Mapping[str, bytes], csv_file: str) -> str:
    out = [
        "<h2>Suspicious labels</h2>\n"
        f'<p class="note">By {html_text(suspicious["by"])}: the heads that predict a face were fitted '
        "without it. Some of these labels are right, and the prediction is wrong. All suspicious labels are "
        f"in {csv_file}. This page contains file names and may contain pictures of faces: consider privacy "
        "before you share it.</p>",
        _sentences(suspicious["not_compared"]),
    ]
    for attribute, title in (
        ("age", "Ages farthest outside the interval"),
        ("gender", "Contradicted genders"),
    ):
        faces = suspicious[attribute]
        if faces:
            cards = face_cards(
                face_card(face, comparison_lines(face, attribute), thumbnails.get(picture_key(face)))
                for face in faces[:SHOWN]
            )
            out.append(f"<h3>{title}: {min(SHOWN, len(faces))} of {len(faces):,}</h3>{cards}")
    return "\n".join(out)


def _copies(copies: dict[str, Any], thumbnails: Mapping[str, bytes], json_file: str) -> str:
    out = [
        "<h2>Copies</h2>",
        f"<p>Images under several paths: {len(copies['exact']):,}. Excluded because of contradictory labels: "
        f"{len(copies['contradictory']):,}.</p>",
        _notes(copies["contradictory"], json_file),
    ]
    differ = [pair for pair in copies["near"] if pair["differs"]]
    if differ:
        out.append(
            f"<h3>Near copies with different labels: {counted(len(differ), 'pair')}</h3>"
            + _pairs(differ, thumbnails)
        )
    return "\n".join(out)


def _alike(report: dict[str, Any], thumbnails: Mapping[str, bytes]) -> str:
    alike, persons = report["look_alikes"], report["persons"]
    other = " of persons with different names" if persons["named"] else ""
    count = f"{alike['pairs']:,}" if alike["complete"] else f"more than {alike['pairs']:,}"
    return (
        f"<h2>Look-alikes{other}</h2>\n<p>Pairs with a cosine of {alike['cosine']:g} or more among "
        f"{counted(alike['compared'], 'compared face')}: {count}.</p>\n"
        '<p class="note">A pair may show one person or two: these descriptors are not made for '
        "identification, and those of small children are similar.</p>\n"
        f"{_pairs(alike['most'], thumbnails)}"
    )


def _pairs(pairs: list[dict[str, Any]], thumbnails: Mapping[str, bytes]) -> str:
    cards = []
    for pair in pairs[:SHOWN]:
        for face in pair["faces"]:
            age = "" if face["label_age"] is None else f"{face['label_age']:g}"
            label = f"label {' '.join(filter(None, (age, face['label_gender'])))}"
            lines = [label, f"cosine {pair['cosine']:.3f}"]
            cards.append(face_card(face, lines, thumbnails.get(picture_key(face))))
    return face_cards(cards)


def _left_out(notes: list[dict[str, Any]], json_file: str) -> str:
    return f"<h2>Labels without a face: {len(notes):,}</h2>{_notes(notes, json_file)}" if notes else ""


def _notes(notes: list[dict[str, Any]], json_file: str) -> str:
    listed = "".join(f"<li>{html_text(note['text'])}</li>" for note in notes[:SHOWN])
    more = f"<li>and {len(notes) - SHOWN:,} more, in {json_file}</li>" if len(notes) > SHOWN else ""
    return f"<ul>{listed}{more}</ul>" if notes else ""
