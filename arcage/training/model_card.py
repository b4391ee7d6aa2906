"""The model card that lies beside heads (Mitchell et al., FAT* 2019)."""

from __future__ import annotations

from typing import Any

from arcage.evaluation.comparison import AFTER, verdicts
from arcage.evaluation.metrics import FEW, PARTS, as_table, worst_sets
from arcage.report.sampling import sampling_text
from arcage.text import counted, format_number, percent

_FIGURES = (
    ("mae", "MAE", "{:.2f}"),
    ("cs5", "CS@5", "{:.1%}"),
    ("coverage", "coverage", "{:.1%}"),
    ("gender_accuracy", "gender", "{:.1%}"),
)
USES = """## What the answers may not be used for

An estimate from a face is not somebody's age, and not somebody's gender. "Gender" here is the label, male or
female, that annotators gave to a photo: it is not identity, and it cannot be right for people whom
neither word describes. Do not use the answers to decide about a person (access, employment, credit, age
checks without another way, policing), to guess at anything else about them, or to follow people. Use
them for counts and statistics, for sorting collections, and for research, and look at the errors
of the groups below first.

- The interval holds for faces like those in the training data. Poor pictures, other cameras and
  retouched faces are worse than the figures say.
- Errors are not equal between groups; compare the rows.
"""


def model_card(manifest: dict[str, Any]) -> str:
    """Markdown from what :func:`arcage.training.fit.fit_labelled` puts into the manifest."""
    training = manifest["training"]
    images = training["images"]
    settings = manifest["settings"]
    ages = training["ages"]
    span = f", ages {ages[0]:.0f} to {ages[1]:.0f}" if ages else ""
    copies = counted(images["copies"], "further exact copy was", "further exact copies were")
    dropped = (
        f"Of {counted(images['labelled'], 'different labelled image')} were left out: "
        f"{images['no_face']:,} without a face found, {images['unreadable']:,} unreadable, "
        f"{images['contradictory']:,} with contradictory labels. {copies} not counted again. "
        f"Labels without an image: {images['missing']:,}; whose path several images "
        f"have: {images['ambiguous']:,}."
    )
    variants = (
        f" and {counted(training['variants'], 'degraded variant')} of each" if training["variants"] else ""
    )
    search = manifest["search"]
    chosen = (
        f" Settings chosen among {counted(search['trials'], 'trial')} by {search['folds']}-fold "
        "cross-validation on the training faces, whose own figures below are therefore slightly optimistic."
        if search
        else ""
    )
    share = f"{percent(training['held_out_share'])}, chosen by person where known, otherwise by content"
    if training["split"]:
        share = "as the labels' split says" + (
            f"; of those without one {share}" if training["held_out_share"] else ""
        )
    aside = (
        f" {counted(training['held_out'], 'face')} ({share}) "
        f"{'was' if training['held_out'] == 1 else 'were'} held out for the report."
        if training["held_out"]
        else ""
    )
    sources = "".join(
        f" From {name}: {counted(faces, 'face')}." for name, faces in training["sources"].items()
    )
    parts = [
        "# Model card: age and gender heads\n",
        f"Kind: {settings['kind']}; seed {settings['seed']}; model pack `{manifest['pack']}` "
        f"({', '.join(manifest['models'])}); made with arcage {manifest['versions']['arcage']}.{chosen}\n",
        "## Training data\n",
        f"Labels: {training['labels']}. Fitted on {counted(training['faces'], 'face')}{span}{variants}."
        f"{sources}{aside} {dropped}\n",
    ]
    adapted = manifest.get("adapted")
    before = (adapted and adapted["training"]) or {}
    if adapted:
        parts.append(
            f"Adapted: these heads know what the heads `{adapted['from']}` learnt from "
            f"{counted(before.get('faces', 0), 'face')} ({before.get('labels', 'unknown labels')}), "
            "and change their answers for faces that look like those above.\n"
        )
    if "utkface" in " + ".join([training["labels"], before.get("labels", "")]).split(" + "):
        parts.append(
            "UTKFace (Zhang et al., CVPR 2017) is for non-commercial research only; ages are partly "
            "estimated, some labels are wrong, and its groups are of very different size.\n"
        )
    if manifest["research_only"]:
        parts.append("The model pack's weights are for non-commercial research only.\n")
    else:
        parts.append(
            "The bundled face networks (YuNet MIT, MobileFaceNet MIT or Apache-2.0, SFace Apache-2.0, as "
            "their publishers state; see NOTICE.md beside them) were trained by others, the embedders on "
            "MS-Celeb-1M, a data set since withdrawn.\n"
        )
    if adapted:
        parts += [
            f"## {title}, before and after\n\n" + "".join(f"- {line}\n" for line in verdicts(report, AFTER))
            for title, report in (("These faces", adapted["own"]), ("The rest", adapted["rest"]))
            if report
        ]
    if manifest["held_out"]:
        parts.append(_section("Held-out faces (never seen in fitting or choosing)", manifest["held_out"]))
    parts.append(
        _section(
            f"Training faces, each answered by models that did not see it ({settings['folds']} folds)",
            manifest["out_of_fold"],
            "Intervals and `p_female` were calibrated on these answers, so coverage and ECE are by "
            "construction about right here.",
        )
    )
    if sampling := manifest.get("sampling"):
        parts.append(f"## Choice of the faces\n\n```\n{sampling_text(sampling)}\n```\n")
    parts.append(_worst(manifest["held_out"] or manifest["out_of_fold"], manifest["intervals"]))
    parts.append(USES)
    return "\n".join(parts)


def _section(title: str, report: dict[str, Any], remark: str = "") -> str:
    return (
        f"## {title}\n\nMAE, median and bias in years; CS@5: share within 5 years; covered: share inside "
        "the 90 % interval, width in years; ECE: calibration error of `p_female`."
        f"{' ' if remark else ''}{remark}\n\n"
        f"```\n{as_table(report)}\n```\n"
    )


def _worst(report: dict[str, Any], ends: dict[str, Any]) -> str:
    """Overall figures and those of the worst sets, each with its confidence interval."""
    lines = [_line("Everyone", report["overall"], ends["overall"], [figure for figure, *_ in _FIGURES])]
    for figure, what in (("mae", "Largest age error"), ("gender_accuracy", "Least gender accuracy")):
        for part, name in worst_sets(report)[figure].items():
            title = f"{what} by {PARTS[part]}: {name}"
            lines.append(_line(title, report[part][name], ends[part][name], [figure]))
    drawn = (
        "persons"
        if ends["drawn"] == "persons"
        else "faces, since no person is known by name: if some appear twice, the intervals are too narrow"
    )
    return (
        f"## Who pays\n\nIn brackets {percent(ends['level'])} confidence intervals, from "
        f"{ends['resamples']:,} bootstrap samples of {drawn}. Sets of {FEW} faces or more.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _line(title: str, row: dict[str, Any], ends: dict[str, Any], chosen: list[str]) -> str:
    figures = [
        f"{label} {format_number(style, row[figure])}{_between(ends[figure], style)}"
        for figure, label, style in _FIGURES
        if figure in chosen and row[figure] is not None
    ]
    return f"- {title}: {', '.join(figures)}."


def _between(ends: list[float] | None, style: str) -> str:
    """The ends of an interval, in brackets; nothing where there is none."""
    return f" ({format_number(style, ends[0])} to {format_number(style, ends[1])})" if ends else ""
