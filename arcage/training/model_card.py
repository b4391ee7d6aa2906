"""The model card of heads (Mitchell et al., Model Cards for Model Reporting, FAT* 2019)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from arcage.evaluation.assurance import BY_PROBABILITY
from arcage.evaluation.assurance_text import APPARENT, LIMITS, as_text
from arcage.evaluation.comparison import AFTER, verdicts
from arcage.evaluation.distribution import distribution_table
from arcage.evaluation.metrics import FEW, SUBGROUPS, as_table, worst_subgroups
from arcage.report.sampling import sampling_text
from arcage.text import code_block, code_span, counted, format_number, markdown, percent
from arcage.training.calibration_text import as_text as calibration_text

Manifest = dict[str, Any]

_METRICS = (
    ("mae", "MAE", "{:.2f}"),
    ("cs5", "CS@5", "{:.1%}"),
    ("coverage", "coverage", "{:.1%}"),
    ("gender_accuracy", "gender", "{:.1%}"),
)

HEADING = "# Model card: age and gender heads\n"
TITLE = (
    HEADING
    + """
Kind: {kind}; seed {seed}; model pack {pack} ({models}); made with arcage {version}.{search}
"""
)
SEARCH = (
    " The settings were chosen among {trials} by {folds}-fold cross-validation on the training faces, so the "
    "metrics of the training faces below are slightly optimistic."
)
TRAINING = """## Training data

Labels: {labels}. Fitted on {faces}{ages}{variants}.{sources}{held_out} Of {images}, {left_out:,} were \
left out: {no_face:,} without a detected face, {unreadable:,} unreadable, {contradictory:,} with \
contradictory labels. {copies} not counted again. Labels without an image: {missing:,}; labels that fit \
several images: {ambiguous:,}.
"""
ADAPTED = """These heads were adapted from the heads {base}, which were fitted on {faces} ({labels}). \
Predictions for faces that resemble those above are corrected.
"""
UTKFACE = f"""UTKFace (Zhang et al., CVPR 2017) is for non-commercial research only. Some of its labels are \
wrong, and its groups differ widely in size. {APPARENT}
"""
RESEARCH_ONLY = "The model pack's weights are for non-commercial research only.\n"
BUNDLED = """The bundled face networks (YuNet: MIT; MobileFaceNet: MIT or Apache-2.0; SFace: Apache-2.0, \
as stated by their publishers, see NOTICE.md) were trained by third parties. The embedders were trained \
on MS-Celeb-1M, a data set that has since been withdrawn.
"""
CALIBRATED_FOR = """## Calibration for a source

These heads are the heads {base}, calibrated on {faces} ({labels}) of another source: the distribution of \
the age with its intervals, and `p_female`. Use them for faces of this source. After: each face by a \
calibration without it. The other sections are about the heads before this calibration.

{table}
"""
METRICS = """## {title}

MAE, median and bias: years. CS@5: share of faces with an error of at most 5 years. Coverage: share of \
ages inside the 90 % interval; width: mean width of the interval, years. ECE: expected calibration error \
of `p_female`.{remark}

{table}
"""
CALIBRATED = (
    " Intervals and `p_female` were calibrated on these predictions, so coverage and ECE are right by "
    "construction here."
)
DISTRIBUTION = """## Distribution of the age

Width: of the 90 % interval, years. CRPS: continuous ranked probability score, years. Percentages: share of \
ages inside the interval of that level. The distribution is calibrated among faces that get about the same \
prediction, so coverage holds by predicted age. By true age it cannot hold as well: predictions of the \
oldest and the youngest are drawn towards the middle.

{table}
"""
SAMPLING = """## Selection of the training faces

{words}
"""
WORST = """## Worst-performing groups

In parentheses: {level} confidence intervals from {resamples:,} bootstrap samples of {drawn}. Groups of \
fewer than {few} faces are not considered.

{lines}
"""
AGE_CHECKS = """## Age checks

Minors who would be accepted and adults who would be challenged, by the predicted age{probability}.

{table}

{limits}
"""
UNKNOWN_PERSONS = (
    "faces (no person is known by name: if persons appear more than once, the intervals are too narrow)"
)
USES = """## Intended use and limitations

The age estimated from a face is not the person's age, and the gender estimated from a face is not the
person's gender. "Gender" is the label, male or female, that annotators gave to a photo. It is not gender
identity, and it cannot be right for people whom neither label describes.

Intended uses are statistics, sorting collections, and research. Do not use the predictions to make
decisions about individuals (access, employment, credit, policing, or age checks without another method),
to infer anything else about them, or to track them. Check the errors of the groups above first.

- The interval is valid for faces like those in the training data. On poor images, other cameras and
  retouched faces, errors are larger than reported.
- Errors differ between groups; compare the rows of the tables.
"""


def model_card(manifest: Manifest) -> str:
    """Write the model card, Markdown, of heads with the manifest that a fit or an adaptation makes."""
    sections = [text for section in SECTIONS for text in section(manifest)]
    return "\n".join(sections)


def calibrated_card(report: dict[str, Any], before: str) -> str:
    """Write the model card, Markdown, of heads that are calibrated for a source.

    Args:
        report: see :class:`arcage.training.calibrate.CalibrateResult`.
        before: the card of the heads before; empty if it is not known.
    """
    text = CALIBRATED_FOR.format(
        base=markdown(report["from"]),
        faces=counted(report["faces"], "labelled face"),
        labels=markdown(report["labels"]),
        table=code_block(calibration_text(report)),
    )
    title, _, rest = before.partition("\n")
    return "\n".join([HEADING, text, rest.lstrip() if title == HEADING.strip() else USES])


def _title(manifest: Manifest) -> list[str]:
    settings, search = manifest["settings"], manifest["search"]
    text = TITLE.format(
        kind=settings["kind"],
        seed=settings["seed"],
        pack=code_span(manifest["pack"]),
        models=", ".join(map(markdown, manifest["models"])),
        version=manifest["versions"]["arcage"],
        search=SEARCH.format(trials=counted(search["trials"], "trial"), folds=search["folds"])
        if search
        else "",
    )
    return [text]


def _training(manifest: Manifest) -> list[str]:
    training = manifest["training"]
    images, ages = training["images"], training["ages"]
    text = TRAINING.format(
        labels=markdown(training["labels"]),
        faces=counted(training["faces"], "face"),
        ages=f", ages {ages[0]:.0f} to {ages[1]:.0f}" if ages else "",
        variants=f" and {counted(training['variants'], 'degraded variant')} of each"
        if training["variants"]
        else "",
        sources="".join(
            f" From {markdown(name)}: {counted(faces, 'face')}."
            for name, faces in training["sources"].items()
        ),
        held_out=_held_out(training),
        images=counted(images["labelled"], "distinct labelled image"),
        left_out=images["no_face"] + images["unreadable"] + images["contradictory"],
        copies=counted(images["copies"], "further exact copy was", "further exact copies were"),
        **{name: images[name] for name in ("no_face", "unreadable", "contradictory", "missing", "ambiguous")},
    )
    return [text]


def _held_out(training: dict[str, Any]) -> str:
    if not training["held_out"]:
        return ""
    share = f"{percent(training['held_out_share'])}, chosen by person where known, otherwise by content"
    if training["split"]:
        rest = f"; of the faces that it does not assign, {share}" if training["held_out_share"] else ""
        share = f"by the labels' split{rest}"
    verb = "was" if training["held_out"] == 1 else "were"
    return f" {counted(training['held_out'], 'face')} ({share}) {verb} held out for the evaluation."


def _base(manifest: Manifest) -> dict[str, Any]:
    """Return the training section of the heads that adapted heads were adapted from; empty for others."""
    adapted = manifest.get("adapted")
    return (adapted and adapted["training"]) or {}


def _sources(manifest: Manifest) -> list[str]:
    """Return paragraphs on what the heads and networks were trained on."""
    out, base = [], _base(manifest)
    if adapted := manifest.get("adapted"):
        out.append(
            ADAPTED.format(
                base=code_span(adapted["from"]),
                faces=counted(base.get("faces", 0), "face"),
                labels=markdown(base.get("labels", "unknown labels")),
            )
        )
    if "utkface" in " + ".join([manifest["training"]["labels"], base.get("labels", "")]).split(" + "):
        out.append(UTKFACE)
    out.append(RESEARCH_ONLY if manifest["research_only"] else BUNDLED)
    return out


def _before_and_after(manifest: Manifest) -> list[str]:
    if not (adapted := manifest.get("adapted")):
        return []
    return [
        f"## {title}, before and after the adaptation\n\n"
        + "".join(f"- {line}\n" for line in verdicts(report, AFTER))
        for title, report in (("New faces", adapted["own"]), ("Reference faces", adapted["rest"]))
        if report
    ]


def _metrics(manifest: Manifest) -> list[str]:
    out = []
    if manifest["held_out"]:
        title = "Held-out faces (not used for fitting or for choosing settings)"
        out.append(METRICS.format(title=title, table=code_block(as_table(manifest["held_out"])), remark=""))
    title = f"Training faces, out-of-fold predictions ({manifest['settings']['folds']} folds)"
    table = code_block(as_table(manifest["out_of_fold"]))
    return [*out, METRICS.format(title=title, table=table, remark=CALIBRATED)]


def _sampling(manifest: Manifest) -> list[str]:
    sampling = manifest.get("sampling")
    return [SAMPLING.format(words=code_block(sampling_text(sampling)))] if sampling else []


def _distribution(manifest: Manifest) -> list[str]:
    report = manifest.get("distribution")
    return [DISTRIBUTION.format(table=code_block(distribution_table(report)))] if report else []


def _worst(manifest: Manifest) -> list[str]:
    """Return the overall metrics and those of the worst groups, with confidence intervals."""
    report, ends = manifest["held_out"] or manifest["out_of_fold"], manifest["intervals"]
    lines = [_line("All faces", report["overall"], ends["overall"], [metric for metric, *_ in _METRICS])]
    for metric, words in (("mae", "Largest age error"), ("gender_accuracy", "Lowest gender accuracy")):
        for kind, name in worst_subgroups(report)[metric].items():
            title = f"{words} by {SUBGROUPS[kind]}: {markdown(name)}"
            lines.append(_line(title, report[kind][name], ends[kind][name], [metric]))
    text = WORST.format(
        level=percent(ends["level"]),
        resamples=ends["resamples"],
        drawn="persons" if ends["drawn"] == "persons" else UNKNOWN_PERSONS,
        few=FEW,
        lines="\n".join(lines),
    )
    return [text]


def _age_checks(manifest: Manifest) -> list[str]:
    """Return the errors of age checks, if the faces have minors and adults enough."""
    checks = manifest.get("age_assurance")
    if not checks:
        return []
    by_probability = any(BY_PROBABILITY in row["text"] for row in checks["rules"])
    probability = " or by the probability of being under 18" if by_probability else ""
    return [AGE_CHECKS.format(probability=probability, table=code_block(as_text(checks)), limits=LIMITS)]


def _line(title: str, row: dict[str, Any], ends: dict[str, Any], chosen: list[str]) -> str:
    metrics = [
        f"{label} {format_number(style, row[metric])}{_between(ends[metric], style)}"
        for metric, label, style in _METRICS
        if metric in chosen and row[metric] is not None
    ]
    return f"- {title}: {', '.join(metrics)}."


def _between(ends: list[float] | None, style: str) -> str:
    return f" ({format_number(style, ends[0])} to {format_number(style, ends[1])})" if ends else ""


def _uses(_: Manifest) -> list[str]:
    return [USES]


SECTIONS: tuple[Callable[[Manifest], list[str]], ...] = (
    _title,
    _training,
    _sources,
    _before_and_after,
    _metrics,
    _distribution,
    _sampling,
    _worst,
    _age_checks,
    _uses,
)
"""The sections of the card, in order; each returns zero or more paragraphs that end in a newline."""
