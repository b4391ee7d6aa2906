"""Fit, adapt, calibrate, evaluate and compare heads as a user asked, from caches and labels to results."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from arcage.audit.describe import describe
from arcage.cache import Cache, CacheTable, join_tables
from arcage.data.sampling import Sampling, parse_ages
from arcage.embedder import extractor as embedder
from arcage.errors import UsageError
from arcage.evaluation import assurance_text
from arcage.evaluation.assurance import age_assurance
from arcage.evaluation.comparison import AFTER, as_text, verdicts
from arcage.evaluation.distribution import distribution_table, evaluate_distribution
from arcage.evaluation.metrics import as_table
from arcage.evaluation.metrics import evaluate as evaluate_predictions
from arcage.files import atomic_write, check_exist, check_replaceable, refuse_foreign
from arcage.heads.callbacks import Callback
from arcage.heads.model import Heads
from arcage.heads.place import heads_path, short_name
from arcage.heads.settings import Settings
from arcage.heads.store import load_heads, named_heads
from arcage.report.evaluation_report import HTML, Evaluation, check_report_files, write_report
from arcage.report.labels_report import HTML as LABELS_HTML
from arcage.report.labels_report import check_label_report_files, faces_shown, write_label_report
from arcage.report.prepare import check_report, missing_thumbnails
from arcage.report.sampling import sampling_text
from arcage.text import counted, visible_json
from arcage.training.adapt import adapt_labelled
from arcage.training.calibrate import calibrate_labelled
from arcage.training.calibration_text import as_text as calibration_text
from arcage.training.calibration_text import calibrated_on
from arcage.training.evaluate import compare_labelled, predict_labelled
from arcage.training.fit import fit_labelled
from arcage.training.folder import check_heads_folder
from arcage.training.load import (
    Labelled,
    LabelledRequest,
    Say,
    faces_from,
    load_labelled,
    select_held_out,
)
from arcage.training.options import AdaptOptions, CalibrateOptions, FitOptions
from arcage.training.overlap import fitted_words
from arcage.training.request import (
    CalibrateRequest,
    CompareRequest,
    DescribeRequest,
    EvaluateRequest,
    FitRequest,
)

EVALUATION_MARK = rb'\A\{\s*"images": \{\s*"labelled": '


@dataclass(frozen=True, slots=True)
class FitResult:
    """The result of a fit in words."""

    text: str
    """Metrics of the new heads."""
    notes: tuple[str, ...]
    """How the metrics were measured, and where the heads are."""


def fit(
    request: FitRequest,
    *,
    report: Say = lambda _: None,
    warn: Say = lambda _: None,
    callback: Callback = lambda _: None,
) -> FitResult:
    """Fit or adapt heads, and write them with their model card.

    Args:
        request: the labelled faces and the heads to fit.
        report: called with messages about the labels and the progress.
        warn: called with warnings: damaged parts of a cache, or an attribute that cannot be fitted.
        callback: called after each step of a fit.

    Raises:
        UsageError: the request is invalid, or too few labelled faces are left.
        ForeignFileError: the folder holds files that arcage did not write.
        CacheError, HeadsError, OutputError: a cache, the heads or the output cannot be read or written.
    """
    request.check()
    check_replaceable(request.out, check_heads_folder, overwrite=request.overwrite)
    if request.base is not None:
        return _adapt(request, report, warn)
    ages = parse_ages(request.ages) if request.ages else None
    sampling = Sampling(ages, request.per_age, request.balance)
    labelled = _load(request, embedder.Extractor(request.pack), report, warn)
    options = FitOptions(
        pack=labelled.extractor.pack,
        fingerprint=labelled.extractor.fingerprint,
        labels=labelled.labels,
        out=request.out,
        settings=Settings(kind=request.kind, seed=request.seed),
        holdout=request.holdout,
        variants=_variants(request, warn),
        sampling=sampling,
        search_seconds=60 * (request.search or 0),
    )
    fitted = fit_labelled(labelled.faces, options, report=report, callback=callback)
    for what, why in fitted.left_out.items():
        other = "gender" if what == "age" else "age"
        warn(f"{what} is not fitted, only {other} (as with `only` {other}): {why}")
    text = as_table(fitted.held_out or fitted.out_of_fold)
    if chosen := fitted.heads.manifest.get("sampling"):
        text += f"\n\n{sampling_text(chosen, tables=False)}"
    where = "held-out faces" if fitted.held_out else "training faces, out of fold"
    return FitResult(
        text, (f"above: errors on {where}; the heads and their model card are in {request.out}",)
    )


def calibrate(
    request: CalibrateRequest, *, report: Say = lambda _: None, warn: Say = lambda _: None
) -> FitResult:
    """Calibrate heads on labelled faces of a source, and write them with their model card.

    Args:
        request: the labelled faces and the heads.
        report: called with messages about the labels and the progress.
        warn: called with damaged parts of a cache.

    Raises:
        UsageError: the request is invalid, the heads cannot be calibrated, or too few faces are labelled.
        ForeignFileError: the folder holds files that arcage did not write.
        CacheError, HeadsError, OutputError: a cache, the heads or the output cannot be read or written.
    """
    check_exist({**request.paths(), "heads": [heads_path(request.heads)]})
    check_replaceable(request.out, check_heads_folder, overwrite=request.overwrite)
    extractor = embedder.Extractor(request.pack)
    heads = load_heads(request.heads)
    heads.check(extractor.fingerprint, extractor.pack.name)
    labelled = load_labelled(request, extractor, report=report, warn=warn)
    options = CalibrateOptions(
        base=heads,
        base_name=short_name(request.heads),
        labels=labelled.labels,
        out=request.out,
        seed=request.seed,
    )
    result = calibrate_labelled(labelled.faces, options, report=report)
    where = f"the calibrated heads and their model card are in {request.out}"
    return FitResult(
        calibration_text(result.report), (*result.notes, f"{calibrated_on(result.report)}; {where}")
    )


def _adapt(request: FitRequest, report: Say, warn: Say) -> FitResult:
    base = request.base or ""
    extractor = embedder.Extractor(request.pack)
    heads = _named_heads(base, extractor)
    labelled = _load(request, extractor, report, warn)
    reference = None
    if request.reference is not None:
        cache, labels = request.reference
        others = LabelledRequest(caches=[cache], labels=[labels], pack=request.pack)
        reference = load_labelled(others, extractor, report=report, warn=warn)
    options = AdaptOptions(
        base=heads,
        base_name=short_name(base),
        pack=extractor.pack,
        labels=labelled.labels,
        out=request.out,
        holdout=request.holdout,
        reference=None if reference is None else reference.faces,
        reference_labels="" if reference is None else reference.labels,
        forget=request.forget,
        seed=request.seed,
    )
    adapted = adapt_labelled(labelled.faces, options, report=report)
    text = as_text(adapted.new, AFTER)
    if adapted.reference:
        text = "\n".join([text, "", "reference set:", *verdicts(adapted.reference, AFTER)])
    return FitResult(text, (*adapted.notes, f"the adapted heads and their model card are in {request.out}"))


def _load(request: FitRequest, extractor: embedder.Extractor, report: Say, warn: Say) -> Labelled:
    labelled = load_labelled(request, extractor, report=report, warn=warn)
    if request.only is None:
        return labelled
    return replace(labelled, faces=labelled.faces.only(request.only))


def _variants(request: FitRequest, warn: Say) -> list[CacheTable]:
    """Return the degraded descriptors of the same faces. Damage is passed to ``warn``."""
    plain = embedder.Extractor(request.pack)
    variants = [embedder.Extractor(request.pack, variant=n + 1) for n in range(request.augment)]
    origins = {folder: faces_from(folder, plain) for folder in request.caches}
    for folder, origin in origins.items():
        if not {variant.cache_name(origin) for variant in variants} <= set(Cache.fingerprints(folder)):
            raise UsageError(
                f"the cache {folder} lacks {counted(request.augment, 'degraded variant')} of its faces: "
                f"run `arcage extract` on the same images with `augment` {request.augment} first"
            )
    caches = [
        [Cache(folder, variant.cache_name(origins[folder])) for folder in request.caches]
        for variant in variants
    ]
    try:
        return [join_tables([cache.table() for cache in each]) for each in caches]
    finally:
        for cache in (cache for each in caches for cache in each):
            for remark in cache.remarks():
                warn(remark)


def evaluate(
    request: EvaluateRequest, *, report: Say = lambda _: None, warn: Say = lambda _: None
) -> dict[str, Any]:
    """Measure the errors of heads on labelled faces, and write what was asked for.

    Args:
        request: the faces, the heads and the outputs.
        report: called with messages about the labels and the results.
        warn: called with damaged parts of the caches.

    Returns:
        The metrics, as :func:`arcage.evaluation.metrics.evaluate`; the counts of the images;
        ``distribution``, see :func:`arcage.evaluation.distribution.evaluate_distribution`; and
        ``age_assurance``, see :func:`arcage.evaluation.assurance.age_assurance`.

    Raises:
        UsageError: the request is invalid, or no labelled face is left.
        ForeignFileError: an output would replace a file that arcage did not write.
        CacheError, HeadsError, OutputError: a cache, the heads or an output cannot be read or written.
    """
    if request.out is not None and request.out.suffix.lower() != ".json":
        raise UsageError(f"the metrics are written as JSON: end the name of `out` {request.out} in .json")
    check_exist({**request.paths(), "heads": [heads_path(request.heads)]})
    if request.out is not None:
        check_replaceable(
            request.out, lambda path: refuse_foreign(EVALUATION_MARK, path), overwrite=request.overwrite
        )
    check_report(request.report, request.images, check_report_files, overwrite=request.overwrite)
    extractor = embedder.Extractor(request.pack)
    heads = load_heads(request.heads)
    heads.check(extractor.fingerprint, extractor.pack.name)
    labelled = load_labelled(request, extractor, report=report, warn=warn)
    labelled = select_held_out(labelled, request.holdout, report)
    faces = labelled.faces
    if warning := _too_optimistic(heads, labelled, request.holdout):
        report(warning)
    predictions = predict_labelled(heads, faces)
    images = asdict(faces.counts)
    metrics = {
        "images": images,
        **evaluate_predictions(predictions, faces.labels()),
        "distribution": evaluate_distribution(predictions, faces.labels()),
        "age_assurance": age_assurance(predictions, faces.labels(), images),
    }
    if request.out is not None:
        with atomic_write(request.out, "w") as file:
            file.write(as_json(metrics) + "\n")
    if request.report is not None:
        evaluation = Evaluation(
            metrics,
            predictions,
            faces,
            heads,
            labels=labelled.labels,
            holdout=request.holdout,
            warning=warning,
            names=labelled.names(),
        )
        written = write_report(request.report, evaluation, images=request.images)
        report(f"report: {request.report / HTML}")
        shown = [face for rows in written["worst_faces"].values() for face in rows]
        if missing := missing_thumbnails(shown, request.images):
            report(missing)
    return metrics


def compare(
    request: CompareRequest, *, report: Say = lambda _: None, warn: Say = lambda _: None
) -> dict[str, Any]:
    """Compare two heads on the same labelled faces.

    Args:
        request: the faces and the heads.
        report: called with messages about the labels and the heads.
        warn: called with damaged parts of the caches.

    Returns:
        The comparison, as :func:`arcage.evaluation.comparison.compare`, with the names of the heads, warnings
        about faces that they were fitted on, and the counts of the images.

    Raises:
        UsageError, CacheError, HeadsError: as :func:`evaluate`.
    """
    check_exist({"": [heads_path(request.heads_a), heads_path(request.heads_b)], **request.paths()})
    extractor = embedder.Extractor(request.pack)
    a, b = (_named_heads(name, extractor) for name in (request.heads_a, request.heads_b))
    labelled = load_labelled(request, extractor, report=report, warn=warn)
    labelled = select_held_out(labelled, request.holdout, report)
    warnings = {
        letter: warning
        for letter, heads in (("A", a), ("B", b))
        if (warning := _too_optimistic(heads, labelled, request.holdout))
    }
    for letter, warning in warnings.items():
        report(f"{letter}: {warning}")
    return {
        "heads": {"A": request.heads_a, "B": request.heads_b},
        "warnings": warnings,
        "images": asdict(labelled.faces.counts),
        **compare_labelled(a, b, labelled.faces),
    }


def describe_labels(
    request: DescribeRequest, *, report: Say = lambda _: None, warn: Say = lambda _: None
) -> dict[str, Any]:
    """Describe labelled faces before a fit, and write a report if one was asked for.

    Args:
        request: the faces and the report.
        report: called with messages about the labels and the progress.
        warn: called with damaged parts of the caches.

    Returns:
        The description, see :func:`arcage.audit.describe.describe`.

    Raises:
        UsageError: the request is invalid.
        ForeignFileError: the report would replace a file that arcage did not write.
        CacheError, OutputError: a cache or the report cannot be read or written.
    """
    check_exist(request.paths())
    check_report(request.report, request.images, check_label_report_files, overwrite=request.overwrite)
    labelled = load_labelled(request, embedder.Extractor(request.pack), report=report, warn=warn)
    description = describe(labelled.faces, labelled.names(), report)
    if request.report is not None:
        write_label_report(request.report, description, labels=labelled.labels, images=request.images)
        report(f"report: {request.report / LABELS_HTML}")
        if missing := missing_thumbnails(faces_shown(description), request.images):
            report(missing)
    return description


def as_json(report: dict[str, Any]) -> str:
    """Return a report as indented JSON."""
    return visible_json(json.dumps(report, indent=2, allow_nan=False))


def evaluation_text(metrics: dict[str, Any]) -> str:
    """Format the result of :func:`evaluate` as tables, and a few lines on age checks."""
    checks = metrics["age_assurance"]
    lines = [distribution_table(metrics["distribution"])] if metrics["distribution"] else []
    lines += [] if checks is None else [assurance_text.as_text(assurance_text.summary(checks))]
    return "\n\n".join([as_table(metrics), *lines])


def _named_heads(name: str, extractor: embedder.Extractor) -> Heads:
    heads = named_heads(name)
    heads.check(extractor.fingerprint, extractor.pack.name)
    return heads


def _too_optimistic(heads: Heads, labelled: Labelled, holdout: float) -> str:
    """Return a warning if heads were fitted on the faces; empty otherwise."""
    fitted = fitted_words(heads, labelled.faces, labelled.labels, holdout, labelled.split)
    return fitted and (
        f"the heads {fitted}: the metrics are too optimistic; use other faces, or fit and evaluate "
        "with the same `holdout`"
    )
