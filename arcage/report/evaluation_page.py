"""The page of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from arcage.audit.records import picture_key
from arcage.evaluation.bootstrap import FEWEST
from arcage.evaluation.distribution import BANDINGS, TABLE
from arcage.evaluation.metrics import COLUMNS, FEW, SUBGROUPS, as_text
from arcage.report.assurance_section import assurance_section
from arcage.report.elements import (
    NO_THUMBNAILS,
    comparison_lines,
    counts_table,
    document,
    face_card,
    face_cards,
    gallery,
    tiles,
)
from arcage.report.evaluation_plots import CAPTIONS
from arcage.report.plots import Plots
from arcage.report.sampling import sampling_text
from arcage.text import counted, format_number, html_text, percent


def evaluation_page(report: dict[str, Any], plots: Plots, thumbnails: Mapping[str, bytes]) -> str:
    """Return the page.

    Args:
        report: the content of ``report.json``.
        plots: PNG files by name.
        thumbnails: JPEG files by :func:`arcage.audit.records.picture_key`.
    """
    labels = html_text(report["measured"]["labels"])
    sections = [
        _overview(report),
        _measured(report),
        _worst_subgroups(report),
        _tables(report),
        _sampling(report["measured"]["heads"]["sampling"]),
        _plots(plots),
        assurance_section(report["age_assurance"], report["measured"]["labels"], plots),
        _worst_faces(report["worst_faces"], thumbnails),
    ]
    return document(f"arcage report: {labels}", f"Age and gender heads on {labels}", sections, "report.json")


def _overview(report: dict[str, Any]) -> str:
    row, intervals = report["overall"], report["intervals"]["overall"]
    cells = [
        (title, f"{as_text(row, key, style)}{unit}", _interval(intervals.get(key), style))
        for title, key, style, unit in (
            ("Mean absolute age error", "mae", "{:.2f}", " years"),
            ("Median absolute age error", "median", "{:.2f}", " years"),
            ("Bias (prediction minus label)", "bias", "{:+.2f}", " years"),
            ("Within five years", "cs5", "{:.1%}", ""),
            ("Age inside the 90 % interval", "coverage", "{:.1%}", ""),
            ("Mean width of the interval", "width", "{:.1f}", " years"),
            ("Gender accuracy", "gender_accuracy", "{:.1%}", ""),
            ("Calibration error of p_female", "ece", "{:.1%}", ""),
        )
        if row[key] is not None
    ]
    warning = report["measured"]["warning"]
    shown = f'<p class="warning">{html_text(warning[0].upper() + warning[1:])}.</p>' if warning else ""
    return f'{shown}{tiles(cells)}\n<p class="note">{_method(report["intervals"])}</p>'


def _method(intervals: dict[str, Any]) -> str:
    drawn = (
        "persons, each with all of their faces"
        if intervals["drawn"] == "persons"
        else "faces, because the labels name no persons: if a person appears more than once, the intervals "
        "are too narrow"
    )
    return (
        f"In small print: {percent(intervals['level'])} confidence intervals from "
        f"{intervals['resamples']:,} bootstrap samples of {drawn}. "
        f"There are none for fewer than {FEWEST} of them. An interval of zero width at 100 % means that "
        "every face was correct. The intervals describe the sampling error, not the error on other data."
    )


def _measured(report: dict[str, Any]) -> str:
    measured, row = report["measured"], report["overall"]
    held_out = f", {percent(measured['holdout'])} held out" if measured["holdout"] else ""
    facts = [
        ("Labels", f"{measured['labels']}{held_out}"),
        ("Faces", f"{measured['faces']:,}; with age {row['n_age']:,}, with gender {row['n_gender']:,}"),
        *_heads(measured["heads"]),
    ]
    listed = "".join(f"<dt>{html_text(name)}</dt><dd>{html_text(text)}</dd>" for name, text in facts)
    return f"<h2>Data and heads</h2>\n<dl>{listed}</dl>\n{counts_table(report.get('images', {}))}"


def _heads(heads: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [("Pipeline", heads["fingerprint"])]
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
        facts.append(("SHA-256 of the heads", heads["sha256"]))
    return facts


def _worst_subgroups(report: dict[str, Any]) -> str:
    lines = []
    for metric, title, style in (
        ("mae", "Largest age error", "{:.2f} years"),
        ("gender_accuracy", "Lowest gender accuracy", "{:.1%}"),
    ):
        for part, name in report["worst_sets"][metric].items():
            value = as_text(report[part][name], metric, style)
            interval = _interval(report["intervals"][part][name][metric], style.removesuffix(" years"))
            shown = f" ({interval})" if interval else ""
            lines.append(
                f"<li>{title} by {SUBGROUPS[part]}: <strong>{html_text(name)}</strong>, {value}"
                f'<span class="ci">{shown}</span></li>'
            )
    listed = "".join(lines) or "<li>There are too few faces.</li>"
    return (
        f"<h2>Worst-performing groups</h2>\n<ul>{listed}</ul>\n"
        f'<p class="note">Among groups of {FEW} faces or more. If intervals overlap, a different sample may '
        "have a different worst group.</p>"
    )


def _tables(report: dict[str, Any]) -> str:
    intervals = report["intervals"]
    out = ["<h2>Metrics</h2>", _table({"all": report["overall"]}, {"all": intervals["overall"]}, "")]
    for part, word in SUBGROUPS.items():
        if report[part]:
            out += [f"<h3>By {word}</h3>", _table(report[part], intervals[part], word)]
    out.append(
        '<p class="note">MAE, median and bias (prediction minus label) in years. CS@5: share of errors of at '
        "most five years. Covered: share of ages inside the 90 % interval; width in years. Gender: accuracy. "
        f"ECE: calibration error of p_female. Pale rows have fewer than {FEW} faces.</p>"
    )
    return "\n".join([*out, *_distribution(report.get("distribution"))])


def _distribution(report: dict[str, Any] | None) -> list[str]:
    """Return the tables of the predictive distribution, in bands of the true and of the predicted age."""
    if not report:
        return []
    out = ["<h2>Distribution of the age</h2>"]
    for banding, words in BANDINGS.items():
        out.append(f"<h3>By {words}</h3>")
        rows, intervals = report[banding], report["intervals"][banding]
        if banding == "true_age":
            rows = {"all": report["overall"], **rows}
            intervals = {"all": report["intervals"]["overall"], **intervals}
        out.append(_table(rows, intervals, words, TABLE))
    out.append(
        '<p class="note">CRPS: continuous ranked probability score, in years, lower is better; for a '
        "prediction without uncertainty it is the absolute error. Width of the 90 % interval, in years. The "
        "other columns: share of ages inside the interval of that level. The distribution is calibrated "
        "among faces that get about the same prediction, so coverage holds by predicted age. By true age it "
        "cannot hold as well: the oldest and the youngest are covered less often, because predictions are "
        "drawn towards the middle.</p>"
    )
    return out


def _table(
    rows: dict[str, Any],
    intervals: dict[str, Any],
    word: str,
    columns: Sequence[tuple[str, str, str]] = COLUMNS,
) -> str:
    heads = "".join(f"<th>{html_text(heading)}</th>" for heading, _, _ in columns)
    body = []
    for name, row in rows.items():
        cells = "".join(
            f"<td>{as_text(row, key, style)}"
            f'<div class="ci">{_interval(intervals[name].get(key), style)}</div></td>'
            for _, key, style in columns
        )
        faces = max(row[key] for _, key, style in columns if style == "{:,}")
        few = ' class="few"' if faces < FEW else ""
        body.append(f"<tr{few}><th>{html_text(name)}</th>{cells}</tr>")
    return (
        f'<div class="wide"><table><thead><tr><th>{html_text(word)}</th>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _interval(ends: list[float] | None, style: str) -> str:
    return "" if ends is None else f"{format_number(style, ends[0])} to {format_number(style, ends[1])}"


def _sampling(sampling: dict[str, Any] | None) -> str:
    """Return what the selection of the training faces changed."""
    if not sampling:
        return ""
    return f"<h2>Selection of the training faces</h2>\n<pre>{escape(sampling_text(sampling))}</pre>"


def _plots(plots: Plots) -> str:
    if not plots.light:
        return ""
    note = f"Vertical lines: 95 % confidence intervals. Hollow points: fewer than {FEW} faces."
    return f'<h2>Plots</h2>\n<p class="note">{note}</p>\n{gallery(CAPTIONS, plots)}'


def _worst_faces(worst: dict[str, Any], thumbnails: Mapping[str, bytes]) -> str:
    out = []
    for attribute, title, empty in (
        ("age", "Largest age errors", "No face has both a labelled and a predicted age."),
        ("gender", "Most confident gender errors", "No predicted gender differs from its label."),
    ):
        cards = face_cards(
            face_card(face, comparison_lines(face, attribute), thumbnails.get(picture_key(face)))
            for face in worst[attribute]
        )
        out.append(f"<h3>{title}</h3>\n" + (cards or f"<p>{empty}</p>"))
    note = "" if thumbnails else f" {NO_THUMBNAILS}"
    return (
        "<h2>Worst faces</h2>\n"
        '<p class="note">In many of these cases the label is wrong. This page contains file names and may '
        f"contain pictures of faces: consider privacy before you share it.{note}</p>\n" + "\n".join(out)
    )
