"""The command line: each command parses its options, calls the library and prints the result.

Exit codes: 0 done; 1 the only image has no face or cannot be read, no image was found, or
``--strict`` and some failed; 2 usage; 3 environment (model, device, heads, server); 130 interrupted
(Ctrl-C, SIGTERM or SIGHUP). Data go to standard output, messages and progress to standard error.

The library is imported inside the commands: NumPy and OpenCV take longer to load than ``arcage --help`` may.
A command has a parameter for each of its options, which are declared in :mod:`arcage.console.options`.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from arcage._version import __version__
from arcage.console import options
from arcage.console.group import ENVIRONMENT, FAILED, INTERRUPTED, commands
from arcage.console.messages import print_json, print_records, reporter, say, with_flags
from arcage.errors import UsageError
from arcage.process import interrupt

if TYPE_CHECKING:
    from arcage.output.progress import ShowProgress
    from arcage.output.summary import Summary
    from arcage.sources.inputs import Inputs

app = commands(
    "Estimate age and gender from the faces in photos.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
models_app = commands("List, fetch, add and verify face detectors and embedders.")
app.add_typer(models_app, name="models")
data_app = commands("Describe and clean labelled data sets, and choose what to label next.")
app.add_typer(data_app, name="data")
heads_app = commands("Export fitted heads, or pack them into one file.")
app.add_typer(heads_app, name="heads")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"arcage {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command()
def predict(
    paths: options.Paths = None,
    from_file: options.FromFile = None,
    out: options.RowsFile = None,
    format_: options.RowsFormat = None,
    faces: options.SelectedFaces = "all",
    min_score: options.MinScore = 0,
    min_face: options.MinFace = 40,
    max_width: options.MaxWidth = math.inf,
    min_confidence: options.MinConfidence = 0.5,
    min_familiarity: options.MinFamiliarity = 0,
    interval: options.Interval = 90,
    under: options.Under = None,
    max_memory: options.MaxMemory = "1GiB",
    max_seconds: options.MaxSeconds = 10,
    annotate: options.Annotate = None,
    webcam: options.Webcam = None,
    rate: options.FrameRate = 5,
    frames: options.FramesFile = None,
    report: options.FacesPage = None,
    pack: options.Pack = "compact",
    device: options.Device = "auto",
    workers: options.Workers = None,
    heads: options.Heads = None,
    boxes: options.Boxes = None,
    aligned: options.Aligned = False,
    cache: options.Cache = None,
    shard: options.Shard = None,
    strict: options.Strict = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Predict age and gender of every face in images.

    Prints one row per face, in the order of the paths. An image without a face, or one that cannot be read,
    is a row too. PATH may be - for one image on standard input, or a video, which has a row for each person.
    """
    from arcage.images.limits import parse_limits
    from arcage.prediction import request, run

    inputs = request.images_or_webcam(paths, from_file, shard, webcam, boxes=boxes, aligned=aligned)
    wanted = request.PredictRequest(
        inputs=inputs,
        webcam=webcam,
        out=out,
        format=format_,
        annotate=annotate,
        report=report,
        frames=frames,
        rate=rate,
        overwrite=overwrite,
        pack=pack,
        device=device,
        workers=workers,
        heads=heads,
        cache=cache,
        faces=faces,
        min_score=min_score,
        min_face=min_face,
        max_width=max_width,
        min_confidence=min_confidence,
        min_familiarity=min_familiarity,
        interval=interval,
        under=tuple(dict.fromkeys(under or ())),
        limits=parse_limits(max_memory, max_seconds),
    )
    summary = run.predict(wanted, report=reporter(quiet), warn=say, progress=_progress(quiet))
    _finish(summary, inputs, quiet=quiet, strict=strict)


@app.command()
def extract(
    cache: options.ExtractTo,
    paths: options.Paths = None,
    from_file: options.FromFile = None,
    boxes: options.Boxes = None,
    aligned: options.Aligned = False,
    shard: options.Shard = None,
    no_names: options.NoNames = False,
    augment: options.ExtractVariants = 0,
    engine: options.Engine = "local",
    min_face: options.MinFace = 40,
    max_memory: options.MaxMemory = "1GiB",
    max_seconds: options.MaxSeconds = 10,
    pack: options.Pack = "compact",
    device: options.Device = "auto",
    workers: options.Workers = None,
    quiet: options.Quiet = False,
) -> None:
    """Compute the descriptors of all faces in images, and store them in a cache for `arcage fit`.

    Images that are already in the cache are skipped: run the same command again to continue after an
    interruption.
    """
    from arcage.extraction import request
    from arcage.extraction.inputs import named_images
    from arcage.images.limits import parse_limits

    inputs = named_images(paths, from_file, shard, boxes=boxes, aligned=aligned)
    wanted = request.ExtractRequest(
        inputs=inputs,
        cache=cache,
        names=not no_names,
        augment=augment,
        engine=engine,
        min_face=min_face,
        pack=pack,
        device=device,
        workers=workers,
        limits=parse_limits(max_memory, max_seconds),
    )
    summary = request.extract(wanted, warn=say, progress=_progress(quiet))
    _finish(summary, inputs, quiet=quiet)


@app.command()
def fit(
    cache: options.CacheFolders,
    labels: options.Labels,
    out: options.HeadsTo,
    columns: options.Columns = None,
    kind: options.HeadsKind = "boosted",
    base: options.Base = None,
    reference: options.Reference = None,
    forget: options.Forget = None,
    only: options.OnlyFor = None,
    holdout: options.Holdout = 0,
    augment: options.FitVariants = 0,
    ages: options.Ages = None,
    per_age: options.PerAge = None,
    balance: options.BalanceBy = None,
    search: options.Search = None,
    seed: options.Seed = 0,
    pack: options.Pack = "compact",
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit age and gender heads on cached descriptors; takes seconds to minutes, on the CPU.

    Prints the errors on faces that the heads were not fitted on: the held-out faces, or else all faces by
    cross-fitting.
    """
    from arcage.output.formats import print_stdout
    from arcage.output.progress import FitProgress
    from arcage.training import request, run

    wanted = request.FitRequest(
        caches=cache, labels=labels, columns=columns or (), pack=pack, out=out, kind=kind, base=base,
        reference=reference, forget=forget, only=only, holdout=holdout, augment=augment, ages=ages,
        per_age=per_age, balance=balance, search=search, seed=seed, overwrite=overwrite,
    )  # fmt: skip
    with FitProgress(quiet=quiet) as progress:
        result = run.fit(
            wanted, report=lambda text: progress.message(with_flags(text)), warn=say, callback=progress
        )
    if not quiet:
        print_stdout(result.text)
        for note in result.notes:
            say(note)


@app.command()
def calibrate(
    cache: options.CacheFolders,
    labels: options.Labels,
    out: options.HeadsTo,
    columns: options.Columns = None,
    heads: options.Heads = None,
    seed: options.Seed = 0,
    pack: options.Pack = "compact",
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Calibrate heads for a source of faces, given 50 to 500 labelled faces from it.

    Corrects the distribution of the age, with its intervals, and p_female; nothing else is fitted again.
    Prints coverage and errors before and after, and what is guaranteed for so many labels.
    """
    from arcage.output.formats import print_stdout
    from arcage.training import request, run

    wanted = request.CalibrateRequest(
        caches=cache,
        labels=labels,
        columns=columns or (),
        pack=pack,
        out=out,
        heads=heads,
        seed=seed,
        overwrite=overwrite,
    )
    result = run.calibrate(wanted, report=reporter(quiet), warn=say)
    if not quiet:
        print_stdout(result.text)
        for note in result.notes:
            say(note)


@app.command()
def evaluate(
    cache: options.CacheFolders,
    labels: options.Labels,
    columns: options.Columns = None,
    heads: options.Heads = None,
    holdout: options.Holdout = 0,
    out: options.MetricsFile = None,
    report: options.ReportFolder = None,
    images: options.Images = None,
    as_json: options.AsJson = False,
    pack: options.Pack = "compact",
    overwrite: options.Overwrite = False,
    quiet: options.QuietTable = False,
) -> None:
    """Report the heads' errors on labelled faces: overall, by age band, by gender and by group; and how many
    minors and adults an age check would accept and challenge.

    With --holdout, or labels with a split, only on the faces that `arcage fit` with the same share and labels
    holds out.
    """
    from arcage.output.formats import print_stdout
    from arcage.training import request, run

    wanted = request.EvaluateRequest(
        caches=cache,
        labels=labels,
        columns=columns or (),
        pack=pack,
        heads=heads,
        holdout=holdout,
        out=out,
        report=report,
        images=images or (),
        overwrite=overwrite,
    )
    metrics = run.evaluate(wanted, report=reporter(quiet), warn=say)
    if as_json or not (quiet and (out or report)):
        print_stdout(run.as_json(metrics) if as_json else run.evaluation_text(metrics))


@app.command()
def compare(
    heads_a: options.HeadsA,
    heads_b: options.HeadsB,
    cache: options.CacheFolders,
    labels: options.Labels,
    columns: options.Columns = None,
    holdout: options.Holdout = 0,
    format_: options.PrintFormat = "table",
    pack: options.Pack = "compact",
    quiet: options.QuietTable = False,
) -> None:
    """Compare two heads on the same labelled faces: which is better, by how much, and how certain that is.

    Differences are B minus A, with a 95 % interval by a paired bootstrap over persons, or over faces if no
    person is known. If an interval contains 0, there is no significant difference.
    """
    from arcage.evaluation.comparison import as_text
    from arcage.output.formats import print_stdout
    from arcage.training import request, run

    wanted = request.CompareRequest(
        caches=cache,
        labels=labels,
        columns=columns or (),
        pack=pack,
        heads_a=heads_a,
        heads_b=heads_b,
        holdout=holdout,
    )
    comparison = run.compare(wanted, report=reporter(quiet), warn=say)
    print_stdout(run.as_json(comparison) if format_ == "json" else as_text(comparison))


@data_app.command("describe")
def data_describe(
    cache: options.CacheFolders,
    labels: options.Labels,
    columns: options.Columns = None,
    format_: options.DescriptionFormat = "table",
    report: options.LabelReportFolder = None,
    images: options.Images = None,
    pack: options.Pack = "compact",
    overwrite: options.Overwrite = False,
    quiet: options.QuietTable = False,
) -> None:
    """Describe labels before fitting: ages, heaping, copies, persons, suspicious labels.

    A label is suspicious if heads that were fitted on other faces of the same set contradict it.
    """
    from arcage.audit.text import as_text
    from arcage.output.formats import print_stdout
    from arcage.training import request, run

    wanted = request.DescribeRequest(
        caches=cache,
        labels=labels,
        columns=columns or (),
        pack=pack,
        report=report,
        images=images or (),
        overwrite=overwrite,
    )
    description = run.describe_labels(wanted, report=reporter(quiet), warn=say)
    if format_ == "json" or not (quiet and report):
        print_stdout(run.as_json(description) if format_ == "json" else as_text(description))


@data_app.command("next")
def data_next(
    cache: options.CacheFolders,
    out: options.SheetFile,
    labels: options.LabelsSoFar = None,
    columns: options.Columns = None,
    heads: options.Heads = None,
    number: options.NumberOfFaces = 200,
    page: options.SheetPage = None,
    images: options.Images = None,
    pack: options.Pack = "compact",
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Choose the faces whose labels would help a fit most, and write them as a sheet to fill in.

    The filled-in sheet is a label file for `arcage fit`, one label per face. Empty cells are unknown, and the
    suggestions beside them are not read.
    """
    from arcage.training import next_labels

    wanted = next_labels.NextRequest(
        caches=cache,
        labels=labels or (),
        columns=columns or (),
        pack=pack,
        out=out,
        number=number,
        heads=heads,
        page=page,
        images=images or (),
        overwrite=overwrite,
    )
    for line in next_labels.next_labels(wanted, report=reporter(quiet), warn=say):
        reporter(quiet)(line)


@data_app.command("clean")
def data_clean(
    mat: options.MatFile,
    out: options.CleanedFile,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Write IMDB-WIKI's labels as a CSV file for --labels, and count the labels that each rule excludes.

    `--labels imdb.mat` does the same, and writes imdb.arcage.csv next to the file.
    """
    from arcage.data.imdb_wiki import check_labels_file, clean, counts
    from arcage.files import check_exist, check_replaceable

    check_replaceable(out, check_labels_file, overwrite=overwrite)
    check_exist({"": [mat]})
    clean(mat, out)
    reporter(quiet)(", ".join(f"{name} {count:,}" for name, count in counts(out).items()))


@app.command(name="app")
def page(
    host: options.Host = "127.0.0.1",
    port: options.Port = 7860,
    allow_host: options.AllowHost = None,
    pack: options.Pack = "compact",
    device: options.Device = "auto",
    heads: options.Heads = None,
    max_memory: options.MaxMemory = "1GiB",
    max_seconds: options.MaxSeconds = 10,
) -> None:
    """Serve a web page that predicts age and gender in photos; needs arcage[app].

    Prints the page's address. Nothing is stored, and nothing leaves this machine.
    """
    from arcage.files import check_exist
    from arcage.heads.place import heads_path
    from arcage.images.limits import parse_limits

    check_exist({"heads": [heads_path(heads)]})
    limits = parse_limits(max_memory, max_seconds)
    from arcage.app.serve import serve
    from arcage.predictor import Predictor

    predictor = Predictor(pack, device, heads=heads, limits=limits)
    serve(predictor, host, port, allow_host=allow_host or (), report=say)


@heads_app.command("export")
def heads_export(
    heads: options.ExportedHeads,
    out: options.OnnxFile,
    format_: options.ModelFormat = "onnx",
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Write heads as one model file: descriptors in; age, age_low, age_high and p_female out."""
    from arcage.heads.export import export_heads

    model = export_heads(heads, out, overwrite=overwrite)
    reporter(quiet)(f"{out}: for descriptors of the {model.pipeline_name}, float32 [n, {model.dimension}]")


@heads_app.command("pack")
def heads_pack(
    heads: options.PackedHeads,
    out: options.PackedFile,
    overwrite: options.Overwrite = False,
) -> None:
    """Write heads as one file, which --heads takes as a path or as a URL, and print its SHA-256.

    A URL needs the SHA-256, as in https://host/heads.arcage#sha256=..., and nothing is opened that has
    another one.
    """
    from arcage.heads.store import pack_heads
    from arcage.output.formats import print_stdout

    print_stdout(f"{pack_heads(heads, out, overwrite=overwrite)}  {out}")


@models_app.command("list")
def models_list(as_json: options.AsJson = False) -> None:
    """List the models on this machine: the bundled ones, and InsightFace packs.

    Standard error names the packs that `arcage models fetch` can download.
    """
    from arcage.embedder.packs.inventory import list_downloadable, list_models

    models = list_models()
    print_records(models, as_json=as_json)
    if not as_json and (more := list_downloadable(models)):
        say(f"`arcage models fetch` downloads, for non-commercial research only: {', '.join(map(str, more))}")


@models_app.command("fetch")
def models_fetch(
    name: options.PackName,
    yes: options.Yes = False,
    mirror: options.Mirror = "",
    sha256: options.ArchiveSha256 = "",
    quiet: options.Quiet = False,
) -> None:
    """Download a pack of InsightFace. Its weights are for non-commercial research only.

    The SHA-256 of every file is recorded and checked whenever the pack is used. An interrupted download
    continues. No other command downloads models, and with ARCAGE_OFFLINE=1 this one does not either.
    """
    from arcage.embedder.packs.download import check_can_fetch, fetch_pack, is_installed, plan_download
    from arcage.output.progress import bytes_progress

    plan = plan_download(name, mirror, sha256)
    if is_installed(plan):
        say(f"{name} is already on this machine, so nothing is downloaded:")
        models_verify(name)
        return
    check_can_fetch()
    say(*str(plan).split("\n"))
    if not (yes or _confirmed("Download it?")):
        say("nothing was downloaded")
        raise typer.Exit(FAILED)
    with bytes_progress(name, quiet=quiet) as progress:
        fetched = fetch_pack(plan, progress)
    report = reporter(quiet)
    for file, digest in {f"{name}.zip": fetched.archive, **fetched.files}.items():
        report(f"{digest}  {file}")
    report(
        f"{name} is in {fetched.folder}. To fit heads for it on your own labels, use `arcage extract` with "
        f"--pack {name}, then `arcage fit`"
    )


@models_app.command("add")
def models_add(
    file: options.EncoderFile,
    name: options.NewPack = "",
    scale: options.PixelScale = "",
    bgr: options.BlueFirst = False,
    size: options.ImageSize = None,
    licence: options.Licence = "",
    quiet: options.Quiet = False,
) -> None:
    """Add an image encoder, a CNN or a vision transformer in an ONNX file, as a model pack of your own.

    Finds its layers, appends their pooling, tries it, and records its SHA-256. What the file does not say is
    asked: how the network expects its pixels, and the licence of its weights.
    """
    from arcage.embedder.encoders.pixels import PRESETS
    from arcage.embedder.packs.add import add_pack, open_encoder

    encoder = open_encoder(file, name, size)
    if not scale:
        scale = (
            "raw" if encoder.normalises else _answer(f"Pixels ({', '.join(PRESETS)}, MEAN/STD)", "--scale")
        )
    added = add_pack(encoder, scale, licence or _answer("Licence of the weights", "--license"), bgr=bgr)
    report, name = reporter(quiet), added.pack.name
    for line in added.lines:
        report(line)
    report(
        f"{name} is in {added.pack.folder}. Predictions with it need heads of its own: use `arcage extract` "
        f"on labelled photos with --pack {name}, then `arcage fit`"
    )
    if added.warning:
        say(added.warning)


@models_app.command("remove")
def models_remove(name: options.AddedPack, quiet: options.Quiet = False) -> None:
    """Remove a model pack that `arcage models add` wrote."""
    from arcage.embedder.packs.add import remove_pack

    reporter(quiet)(f"removed {remove_pack(name)}")


@models_app.command("verify")
def models_verify(
    name: options.AnyPack = "",
    as_json: options.AsJson = False,
) -> None:
    """Compare the SHA-256 of model files with their record. Exits with 3 if one is damaged."""
    from arcage.embedder.packs.inventory import verify_models

    checked = print_records(verify_models(name), as_json=as_json)
    remedies = dict.fromkeys(model.remedy for model in checked if model.remedy)
    for remedy in remedies:
        say(f"to repair it, {remedy}")
    if remedies:
        raise typer.Exit(ENVIRONMENT)


@app.command()
def doctor(
    cache: options.CheckedCache = None,
    as_json: options.AsJson = False,
) -> None:
    """Check the installation: libraries, models, heads, device. Exits with 3 if something does not work.

    The output can be pasted into a bug report: it contains no user name and no path of the home folder.
    """
    from arcage.doctor import examine, is_healthy
    from arcage.files import check_exist

    check_exist({"cache": [cache]})
    findings = list(examine(cache)) if as_json else print_records(examine(cache))
    if as_json:
        print_json({"healthy": is_healthy(findings), "findings": findings})
    if not is_healthy(findings):
        raise typer.Exit(ENVIRONMENT)


def main() -> None:
    """Run the command in ``sys.argv``."""
    from arcage.process import streams

    with interrupt.handle_signals():
        streams.prepare_streams()
        try:
            app(prog_name="arcage")
        except KeyboardInterrupt:  # before or after the command
            interrupt.exit_now(INTERRUPTED)
        except SystemExit as left:
            if interrupt.is_stopping():
                interrupt.exit_now(left.code if isinstance(left.code, int) else FAILED)
            raise


def _progress(quiet: bool) -> ShowProgress:
    """Return the progress bar for a run."""
    from arcage.output.progress import item_progress

    return partial(item_progress, quiet=quiet)


def _finish(summary: Summary, inputs: Inputs, *, quiet: bool, strict: bool = False) -> None:
    """Report a run over images, and exit with 1 if it failed."""
    for message in summary.messages(str(inputs), quiet=quiet):
        say(message)
    if summary.error is not None:
        raise summary.error
    if code := summary.exit_code(only=inputs.only, strict=strict, shard=inputs.shard is not None):
        raise typer.Exit(code)


def _answer(question: str, option: str) -> str:
    try:
        return str(typer.prompt(question, err=True))
    except typer.Abort:
        raise UsageError(f"there was no answer; {option} answers without asking") from None


def _confirmed(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        raise UsageError("there was no answer; --yes downloads without asking") from None
