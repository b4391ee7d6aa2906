"""The report as one HTML page: nothing is loaded from elsewhere, no script runs, every text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from arcage._version import __version__
from arcage.data.rows import picture_key
from arcage.data.sampling import sampling_words
from arcage.evaluation.bootstrap import FEWEST
from arcage.evaluation.metrics import COLUMNS, FEW, SUBGROUPS, as_text
from arcage.text import counted, format_number, gender_text, percent

STYLE = Path(__file__).with_name("page.css")

COUNTS = {
    "labelled": "different images with a label",
    "no_face": "left out: no face was found",
    "unreadable": "left out: the image could not be read",
    "contradictory": "left out: copies of one image have different labels",
    "used": "images with a label and a face",
    "copies": "further labelled paths of an image that is counted already",
    "unlabelled": "images in the cache without a label",
    "missing": "labels without an image in the cache",
    "ambiguous": "labels that fit several images",
}
"""What became of the images; see :class:`arcage.data.labelled.Counts`."""

PLOTS = {
    "scatter": (
        "Answers against labels",
        "Every face at its label and its answer; on the line the two agree. Answers drawn to the middle are "
        "seen as a slope flatter than the line.",
    ),
    "error_by_age": (
        "Error by age",
        "By true age in steps of five years: above zero, faces are read too old.",
    ),
    "coverage": (
        "Coverage and width of the interval",
        "How often the age lies inside the interval that promises 90 %, and what that costs in years.",
    ),
    "reliability": (
        "Calibration of p_female",
        "Of the faces that were given about the same probability, how many are labelled female. Below: how "
        "many faces there are (logarithmic).",
    ),
    "kept_by_width": (
        "Age error of the surest faces",
        "Keeping only the faces with the narrowest intervals. A rising line: the width tells where the error "
        "will be large.",
    ),
    "kept_by_confidence": (
        "Gender accuracy of the surest faces",
        "Keeping only the faces whose probability is farthest from one half.",
    ),
}
"""Title and caption of each plot, in the page's order."""


def page(
    report: dict[str, Any],
    plots: Mapping[str, bytes],
    dark: Mapping[str, bytes],
    pictures: Mapping[str, bytes],
) -> str:
    """The whole page.

    Args:
        report: as ``report.json`` holds it.
        plots, dark: PNGs by name, for light and for dark screens.
        pictures: thumbnails (JPEG) by :func:`arcage.data.rows.picture_key`.
    """
    labels = escape(report["measured"]["labels"])
    sections = [
        _figures(report),
        _measured(report),
        _worst_sets(report),
        _tables(report),
        _sampling(report["measured"]["heads"]["sampling"]),
        _plots(plots, dark),
        _faces(report["worst_faces"], pictures),
    ]
    return document(f"arcage report: {labels}", f"Age and gender heads on {labels}", sections, "report.json")


def document(title: str, heading: str, sections: Iterable[str], figures: str) -> str:
    """The page around its sections; title and heading are HTML already.

    Args:
        figures: the file that has them as numbers.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{STYLE.read_text('utf-8')}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{heading}</h1>\n"
        + "\n".join(section for section in sections if section)
        + f"\n<footer>arcage {escape(__version__)}. Figures as numbers: {figures}.</footer>\n"
        "</main>\n</body>\n</html>\n"
    )


def tiles(cells: Iterable[tuple[str, str, str]]) -> str:
    """Figures in a row: title, value and what stands below it in small print, all HTML already."""
    every = "".join(
        f'<div class="tile"><div class="name">{title}</div><div class="value">{value}</div>'
        f'<div class="ci">{small}</div></div>'
        for title, value, small in cells
    )
    return f'<div class="tiles">{every}</div>'


def _figures(report: dict[str, Any]) -> str:
    row, ends = report["overall"], report["intervals"]["overall"]
    cells = [
        (title, f"{as_text(row, key, style)}{unit}", _ends(ends.get(key), style))
        for title, key, style, unit in (
            ("Mean absolute age error", "mae", "{:.2f}", " years"),
            ("Median absolute age error", "median", "{:.2f}", " years"),
            ("Bias (answer minus label)", "bias", "{:+.2f}", " years"),
            ("Within five years", "cs5", "{:.1%}", ""),
            ("Age inside the 90 % interval", "coverage", "{:.1%}", ""),
            ("Mean width of the interval", "width", "{:.1f}", " years"),
            ("Gender as labelled", "gender_accuracy", "{:.1%}", ""),
            ("Calibration error of p_female", "ece", "{:.1%}", ""),
        )
        if row[key] is not None
    ]
    warning = report["measured"]["warning"]
    said = f'<p class="warning">{escape(warning[0].upper() + warning[1:])}.</p>' if warning else ""
    return f'{said}{tiles(cells)}\n<p class="note">{_method(report)}</p>'


def _method(report: dict[str, Any]) -> str:
    ends = report["intervals"]
    drawn = (
        "persons, each with all of their faces"
        if ends["drawn"] == "persons"
        else "faces, as no person is known by name: if some appear twice, the intervals are too narrow"
    )
    return (
        f"Small print under a figure: its {percent(ends['level'])} confidence interval, from "
        f"{ends['resamples']:,} bootstrap samples of {drawn}. "
        f"None for fewer than {FEWEST} of them; one without width (at 100 %) "
        "only says that no face spoke against it. It speaks of chance in these faces, not of other data."
    )


def _measured(report: dict[str, Any]) -> str:
    measured = report["measured"]
    heads = measured["heads"]
    held = f", {percent(measured['holdout'])} held out" if measured["holdout"] else ""
    row = report["overall"]
    facts: list[tuple[str, str]] = [
        ("Labels", f"{measured['labels']}{held}"),
        (
            "Faces",
            f"{measured['faces']:,}; compared by age {row['n_age']:,}, by gender {row['n_gender']:,}",
        ),
        ("Pipeline", heads["fingerprint"]),
    ]
    if heads["kind"] is not None:
        seed = "" if heads["seed"] is None else f", seed {heads['seed']}"
        facts.append(("Heads", f"{heads['kind']}{seed}"))
    if heads["pack"] is not None:
        models = ", ".join(map(str, heads["models"] or []))
        facts.append(("Models", f"{heads['pack']} ({models})" if models else str(heads["pack"])))
    if heads["labels"] is not None:
        fitted = f"{heads['labels']}"
        if heads["faces"] is not None:
            fitted += f", {counted(heads['faces'], 'face')}"
        if heads["ages"]:
            fitted += f", ages {heads['ages'][0]:.0f} to {heads['ages'][1]:.0f}"
        if heads["held_out_share"]:
            fitted += f", {percent(heads['held_out_share'])} held out"
        facts.append(("Fitted on", fitted))
    if heads["arcage"] is not None:
        facts.append(("Fitted with", f"arcage {heads['arcage']}"))
    if heads["sha256"] is not None:
        facts.append(("Heads' sha256", heads["sha256"]))
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    return f"<h2>What was measured</h2>\n<dl>{listed}</dl>\n{counts(report.get('images', {}))}"


def counts(images: Mapping[str, int]) -> str:
    """What became of the images."""
    rows = "".join(
        f"<tr><th>{COUNTS[name]}</th><td>{images[name]:,}</td></tr>" for name in COUNTS if name in images
    )
    return f'<div class="wide fit"><table class="counts">{rows}</table></div>' if rows else ""


def _worst_sets(report: dict[str, Any]) -> str:
    lines = []
    for figure, words, style in (
        ("mae", "Largest age error", "{:.2f} years"),
        ("gender_accuracy", "Least gender accuracy", "{:.1%}"),
    ):
        for part, name in report["worst_sets"][figure].items():
            value = as_text(report[part][name], figure, style)
            ends = _ends(report["intervals"][part][name][figure], style.removesuffix(" years"))
            beside = f" ({ends})" if ends else ""
            lines.append(
                f"<li>{words} by {SUBGROUPS[part]}: <strong>{escape(name)}</strong>, {value}"
                f'<span class="ci">{beside}</span></li>'
            )
    listed = "".join(lines) or "<li>Too few faces to say.</li>"
    return (
        f"<h2>Who is read worst</h2>\n<ul>{listed}</ul>\n"
        f'<p class="note">Among those with {FEW} faces or more. Where intervals overlap, another sample of '
        "faces could name another.</p>"
    )


def _tables(report: dict[str, Any]) -> str:
    ends = report["intervals"]
    out = ["<h2>Figures</h2>", _table({"all": report["overall"]}, {"all": ends["overall"]}, "")]
    for part, word in SUBGROUPS.items():
        if report[part]:
            out += [f"<h3>By {word}</h3>", _table(report[part], ends[part], word)]
    out.append(
        '<p class="note">MAE, median and bias (answer minus label) in years; CS@5: share within five years; '
        "covered: share inside the 90 % interval, width in years; gender: share answered as labelled; ECE: "
        f"calibration error of p_female. Pale rows have fewer than {FEW} faces.</p>"
    )
    return "\n".join(out)


def _table(rows: dict[str, Any], ends: dict[str, Any], word: str) -> str:
    heads = "".join(f"<th>{escape(heading)}</th>" for heading, _, _ in COLUMNS)
    body = []
    for name, row in rows.items():
        cells = "".join(
            f'<td>{as_text(row, key, style)}<div class="ci">{_ends(ends[name].get(key), style)}</div></td>'
            for _, key, style in COLUMNS
        )
        few = ' class="few"' if max(row["n_age"], row["n_gender"]) < FEW else ""
        body.append(f"<tr{few}><th>{escape(name)}</th>{cells}</tr>")
    return (
        f'<div class="wide"><table><thead><tr><th>{escape(word)}</th>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _ends(both: list[float] | None, style: str) -> str:
    return "" if both is None else f"{format_number(style, both[0])} to {format_number(style, both[1])}"


def _sampling(told: dict[str, Any] | None) -> str:
    """What the choice of the faces cost and gave when the heads were fitted."""
    return f"<h2>Choice of the faces</h2>\n<pre>{escape(sampling_words(told))}</pre>" if told else ""


def _plots(plots: Mapping[str, bytes], dark: Mapping[str, bytes]) -> str:
    if not plots:
        return ""
    note = f"Bars: 95 % confidence. Hollow points: fewer than {FEW} faces."
    return f'<h2>Plots</h2>\n<p class="note">{note}</p>\n{figures(PLOTS, plots, dark)}'


def figures(
    captions: Mapping[str, tuple[str, str]], plots: Mapping[str, bytes], dark: Mapping[str, bytes]
) -> str:
    """The plots that there are, each with its title and caption."""
    every = "".join(
        f"<figure><figcaption><strong>{escape(title)}.</strong> {escape(caption)}</figcaption><picture>"
        f'<source media="(prefers-color-scheme: dark)" srcset="{_inline(dark[name], "png")}">'
        f'<img src="{_inline(plots[name], "png")}" alt="{escape(title)}" width="810" height="585"></picture>'
        "</figure>\n"
        for name, (title, caption) in captions.items()
        if name in plots
    )
    return f'<div class="plots">\n{every}</div>'


def _faces(worst: dict[str, Any], pictures: Mapping[str, bytes]) -> str:
    out = []
    for which, title, empty in (
        ("age", "Largest age errors", "No face has both an age and an answer."),
        ("gender", "Genders contradicted most surely", "No face is answered against its label."),
    ):
        cards = "".join(
            card(face, answer_lines(face, which), pictures.get(picture_key(face))) for face in worst[which]
        )
        out.append(
            f"<h3>{title}</h3>\n" + (f'<div class="faces">{cards}</div>' if cards else f"<p>{empty}</p>")
        )
    note = "" if pictures else " Thumbnails: run again with --images and the folder that was extracted."
    return (
        "<h2>Worst faces</h2>\n"
        '<p class="note">Often it is the label that is wrong. This page holds file names and, where found, '
        f"pictures of faces: pass it on with care.{note}</p>\n" + "\n".join(out)
    )


def answer_lines(face: dict[str, Any], which: str) -> list[str]:
    """What the label says and what the heads answer, of age or of gender."""
    if which == "age":
        interval = f"90 %: {face['age_low']:.0f} to {face['age_high']:.0f}"
        return [f"label {face['label_age']:g}", f"answer {face['age']:.1f}", interval]
    lines = [f"label {face['label_gender']}", f"answer {gender_text(face['p_female'])}"]
    if face["label_age"] is not None:
        lines.append(f"age by label {face['label_age']:g}")
    return lines


def card(face: dict[str, Any], lines: Iterable[str], picture: bytes | None) -> str:
    """One face: its thumbnail, some lines of text, and its file name."""
    name = face["names"][0] if face["names"] else f"{face['sha256'][:12]}..."
    seen = (
        f'<img src="{_inline(picture, "jpeg")}" alt="">'
        if picture is not None
        else '<div class="none">no picture</div>'
    )
    said = "".join(f"<div>{escape(line)}</div>" for line in lines)
    full = escape(", ".join(face["names"]) or face["sha256"])
    return (
        f'<div class="face">{seen}<div class="words">{said}'
        f'<div class="file" title="{full}">{escape(name)}</div></div></div>'
    )


def _inline(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
