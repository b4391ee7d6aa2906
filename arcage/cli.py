"""The command line: parse, call one library function, print, leave with an exit code.

Exit codes: 0 done; 1 the only image has no face or cannot be read, no image was found, or
``--strict`` and some failed; 2 usage; 3 environment (model, device, heads, server); 130 interrupted
(Ctrl-C, SIGTERM or SIGHUP). Data go to standard output, messages and progress to standard error.

Whatever is heavy is imported inside the commands: ``arcage --help`` must answer at once.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, get_args, get_type_hints

import typer
from typer.core import TyperGroup

from arcage._version import __version__
from arcage.errors import ArcageError, ForeignFileError, UsageError
from arcage.process import interrupt
from arcage.text import alternatives, counted, percent, shortened

if TYPE_CHECKING:
    from arcage.cache import Cache
    from arcage.data.labelled import LabelledFaces
    from arcage.embedder.extractor import Extractor
    from arcage.output.summary import Summary
    from arcage.sources.source import Source

FAILED, ENVIRONMENT, INTERRUPTED = 1, 3, interrupt.EXIT_CODE


class Faces(Enum):
    all = "all"
    largest = "largest"
    center = "center"


class Runner(Enum):
    local = "local"
    ray = "ray"


class StdoutFormat(Enum):
    table = "table"
    csv = "csv"
    excel = "excel-csv"
    jsonl = "jsonl"


_CallError: type[Exception] = typer.BadParameter.__bases__[0]
"""Exceptions of Typer for wrong options or arguments."""


class Commands(TyperGroup):
    """Turns what a command raises into words and an exit code; a traceback is left to errors of arcage."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        with _errors_reported(), _completion_installed(list(args)), _typer_output_checked():
            return super().make_context(info_name, args, parent, **extra)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command: Any = super().get_command(ctx, cmd_name)
        for parameter in command.params if command is not None else ():
            parameter.process_value = partial(_without_underscores, parameter)
        return command

    def invoke(self, ctx: Any) -> Any:
        with _errors_reported(), _typer_output_checked():
            return super().invoke(ctx)


@contextmanager
def _errors_reported() -> Iterator[None]:
    try:
        yield
    except _CallError as error:
        _report_usage_error(error)
    except ForeignFileError as error:
        _say(f"arcage: {error}, or replace it with --overwrite")
        raise typer.Exit(error.exit_code) from None
    except ArcageError as error:
        _say(f"arcage: {error}")
        raise typer.Exit(error.exit_code) from None
    except (ImportError, SystemError) as error:
        # Some libraries raise this if an interrupt arrives while they are imported.
        if interrupt.is_stopping():
            raise _interrupted() from None
        if isinstance(error, SystemError):
            raise
        _say(f"arcage: a library cannot be loaded: {error}; see `arcage doctor`")
        raise typer.Exit(ENVIRONMENT) from None
    except BrokenPipeError:
        # The reader closed the pipe, as in `arcage predict ... | head`, which is not an error.
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        raise _interrupted() from None


@contextmanager
def _typer_output_checked() -> Iterator[None]:
    """Raise OutputError if the output of Typer, such as --help, cannot be written."""
    try:
        yield
    except OSError:
        from arcage.output.formats import flush_stdout

        flush_stdout()
        raise


@contextmanager
def _completion_installed(arguments: list[str]) -> Iterator[None]:
    """Raises ArcageError where Typer cannot write the shell's start-up file."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # Typer leaves a command with exceptions that are RuntimeErrors too.
        no_home = type(error) is RuntimeError
        if "--install-completion" not in arguments or not (no_home or isinstance(error, OSError)):
            raise
        why = "this user has no home folder" if no_home else str(error)
        raise ArcageError(
            f"the completion cannot be installed: {why}; --show-completion prints it, to be put where your "
            "shell reads it"
        ) from None


def _without_underscores(parameter: Any, context: Any, text: Any) -> Any:
    """What Typer makes of an option or argument, but no number of 1_0, which Python takes for 10."""
    value = type(parameter).process_value(parameter, context, text)
    if isinstance(value, int | float) and isinstance(text, str) and "_" in text:
        raise typer.BadParameter("not a number", ctx=context, param=parameter)
    return value


def _interrupted() -> typer.Exit:
    _say("arcage: interrupted; everything finished so far is kept")
    return typer.Exit(INTERRUPTED)


app = typer.Typer(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Read age and gender from the faces in photos.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models_app = typer.Typer(
    help="List, fetch and verify face detectors and embedders.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(models_app, name="models")
data_app = typer.Typer(
    help="Look at labelled sets of your own, and clean them.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(data_app, name="data")

heads_app = typer.Typer(help="Export fitted heads.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(heads_app, name="heads")

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH",
        help="Read images, folders that are searched for images at any depth, Parquet files with a column of "
        "image bytes, and URLs of all these, such as s3://bucket/photos (needs [remote]).",
    ),
]
FromFile = Annotated[
    str | None,
    typer.Option(
        "--from-file",
        metavar="LIST",
        help="Read paths or URLs from a file, one a line; - takes standard input.",
    ),
]
Pack = Annotated[
    str,
    typer.Option(
        metavar="NAME|DIR", help="Take these models: a name from `arcage models list`, or a folder."
    ),
]
Device = Annotated[
    str,
    typer.Option(
        # Typer 0.27 takes an option's name from a metavar that differs only in case.
        "--device",
        metavar="DEVICE",
        help="Run on auto, cpu, or a provider of ONNX Runtime such as cuda. Only auto falls back.",
    ),
]
HeadsFolder = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Use heads that `arcage fit` wrote, not the bundled ones.")
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Do only part I of N, for N processes or machines at once. Images are dealt out by their names, "
        "so the parts need not know of each other.",
    ),
]
MinFace = Annotated[
    int,
    typer.Option(
        min=8,
        metavar="PIXELS",
        help="Minimum face width; a lower one takes longer on large photos.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only, no progress and no summary.")]
QuietTable = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print errors only, and metrics unless another option writes them."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace existing files that arcage did not write.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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
    paths: Paths = None,
    from_file: FromFile = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to FILE.csv, FILE.jsonl or FILE.parquet.")
    ] = None,
    format_: Annotated[
        StdoutFormat | None,
        typer.Option(
            "--format",
            help="Output format; by default a table on a terminal, otherwise CSV. excel-csv is CSV "
            "with a byte-order mark, which Excel needs for accents; it also works with --out FILE.csv.",
        ),
    ] = None,
    faces: Annotated[Faces, typer.Option(help="Answer these faces of an image.")] = Faces.all,
    min_score: Annotated[
        float,
        typer.Option(min=0, max=1, help="Hide faces with a lower detector score; none is below 0.5."),
    ] = 0,
    min_face: MinFace = 40,
    max_width: Annotated[
        float,
        typer.Option(min=0, metavar="YEARS", help="Leave out ages whose 90 % interval is wider than this."),
    ] = math.inf,
    min_sure: Annotated[
        float, typer.Option(min=0.5, max=1, help="Leave out genders that are less probable than this.")
    ] = 0.5,
    annotate: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write pictures, and videos, with boxes and labels into DIR."),
    ] = None,
    webcam: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Look through camera N (0, 1, ...) until Ctrl-C.")
    ] = None,
    rate: Annotated[
        float,
        typer.Option(
            min=0.01, max=1000, metavar="FPS", help="Frames per second to process, of videos and webcams."
        ),
    ] = 5,
    frames: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write FILE.csv with every face in every frame that was looked at."
        ),
    ] = None,
    report_to: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE.html",
            help="Write a page to look through: the faces with their answers, sorted and filtered at will.",
        ),
    ] = None,
    pack: Pack = "compact",
    device: Device = "auto",
    heads: HeadsFolder = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep descriptors in DIR, where a stopped batch goes on."),
    ] = None,
    shard: Shard = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if any image has no face or cannot be read.")
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Read age and gender from every face in the images.

    One row per face, in the order of the paths. An image without a face, or that cannot be read, is a row
    too. PATH may be - for one image on standard input, or a video, which has a row for each person.
    """
    if webcam is not None and (paths or from_file or shard):
        raise UsageError("--webcam stands alone: run arcage once more for the paths")
    arguments = [f"webcam-{webcam}"] if webcam is not None else _arguments(paths, from_file)
    _require(("--heads", [heads]))
    from arcage.output.formats import check_rows_file, format_of, write_file, write_stdout

    if out is not None:
        suffix = format_of(out)
        excel = format_ is StdoutFormat.excel
        if format_ is not None and ("csv" if excel else format_.value) != suffix:
            raise UsageError(f"--out {out} sets the format itself; leave out --format {format_.value}")
        _may_replace(out, check_rows_file, overwrite)
        output = write_file(out, excel=excel)
    else:
        output = write_stdout(format_.value if format_ else "table" if sys.stdout.isatty() else "csv")
    sources = _sources(arguments, shard)

    annotator = None
    if annotate is not None:
        from arcage.output.annotate import Annotator

        annotator = Annotator(
            annotate, [argument for argument in arguments if argument != "-"], overwrite=overwrite
        )
        if webcam is None:
            annotator.check_all(sources())
    report = None
    if report_to is not None:
        from arcage.report.predictions_page import check_page_file, write_page

        _may_replace(report_to, check_page_file, overwrite)
        report = write_page(report_to, _named(arguments))
    if frames is not None:
        from arcage.video.write import check_frames_file

        _may_replace(frames, check_frames_file, overwrite)
        if out is not None and os.path.realpath(out) == os.path.realpath(frames):
            raise UsageError(f"--out and --frames are both {out}: give two names")

    from contextlib import nullcontext

    from arcage.output.progress import item_progress
    from arcage.output.save import save
    from arcage.predictor import Predictor
    from arcage.sources.read_ahead import ReadAhead
    from arcage.sources.suffixes import is_one_image
    from arcage.video.predictions import Videos
    from arcage.video.write import write_frames

    one = len(arguments) == 1 and is_one_image(arguments[0])
    predictor = Predictor(
        pack,
        device,
        hint="latency" if one else "throughput",
        heads=heads,
        cache=cache,
        faces=faces.value,
        min_score=min_score,
        min_face=min_face,
        max_width=max_width,
        min_sure=min_sure,
    )
    if predictor.note:
        _say(predictor.note)
    # Rows on the same terminal are progress enough, and a bar would run through them.
    hidden = quiet or one or (out is None and sys.stdout.isatty())
    try:
        with (
            item_progress("Predicting", sources, quiet=hidden) as advance,
            ReadAhead(sources()) as images,
            nullcontext() if frames is None else write_frames(frames) as write_frame,
        ):
            if webcam is not None and not quiet:
                _say(f"camera {webcam}: Ctrl-C ends it, and the answers follow")
            # The progress of a single video counts frames instead of images.
            hide_frames = quiet or not one or webcam is not None
            watching = partial(item_progress, "Reading frames", quiet=hide_frames)
            videos = Videos(predictor, rate, frames=write_frame, annotator=annotator, progress=watching)
            answers = videos.stream(images) if webcam is None else videos.camera(webcam)
            summary = save(answers, output, annotator=annotator, report=report, progress=advance)
        summary.multi_frame = predictor.multi_frame
        summary.drawn += videos.drawn
    finally:
        for damage in predictor.damaged:
            _say(str(damage))
    if annotate is not None and not quiet:
        _say(f"{summary.drawn:,} of {counted(summary.images, 'image')} drawn into {annotate}")
    if report_to is not None and not quiet:
        _say(f"report: {report_to}")
    _finish(
        summary,
        arguments,
        quiet=quiet,
        one=from_file is None,
        strict=strict,
        part=shard is not None,
        trouble=images.error,
    )


@app.command()
def extract(
    cache: Annotated[Path, typer.Option(metavar="DIR", help="Keep the descriptors in DIR.")],
    paths: Paths = None,
    from_file: FromFile = None,
    shard: Shard = None,
    no_names: Annotated[
        bool, typer.Option("--no-names", help="Do not keep file names, by which `arcage fit` finds labels.")
    ] = False,
    augment: Annotated[
        int,
        typer.Option(
            min=0,
            max=9,
            metavar="N",
            help="Keep N degraded variants of each face as well, for `arcage fit --augment`.",
        ),
    ] = 0,
    engine: Annotated[
        Runner,
        typer.Option(
            help="Run in this process (local), or in actors of Ray (ray; needs [ray]), on this machine or in "
            "the cluster of RAY_ADDRESS, whose machines share the images and the cache."
        ),
    ] = Runner.local,
    min_face: MinFace = 40,
    pack: Pack = "compact",
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Compute the descriptors of every face in the images, once, and keep them for `arcage fit`.

    Images that the cache has are passed over: run the same command again to go on after an interruption.
    """
    arguments = _arguments(paths, from_file)
    sources = _sources(arguments, shard)

    from arcage.embedder.extractor import Extractor
    from arcage.extraction import run as extraction
    from arcage.output.progress import item_progress
    from arcage.sources.read_ahead import ReadAhead

    run = extraction.extract_to_cache
    if engine is Runner.ray:
        if arguments == ["-"]:
            raise UsageError("- is one image: leave out --engine ray")
        from arcage.extraction import distributed

        run = distributed.extract_on_ray

    for variant in range(augment + 1):
        extractor = Extractor(pack, device, variant=variant, min_face=min_face)
        store = extraction.open_cache(cache, extractor)
        if extractor.engine.note and not variant:
            _say(extractor.engine.note)
        title = f"Variant {variant} of {augment}" if variant else "Extracting"
        try:
            with item_progress(title, sources, quiet=quiet) as advance, ReadAhead(sources()) as ahead:
                # Ray actors read the images themselves.
                images = sources() if engine is Runner.ray else ahead
                done = run(images, store, extractor, names=not no_names and not variant, progress=advance)
        finally:
            for damage in store.damaged:
                _say(str(damage))
        if not variant:
            summary = done
        if ahead.error is not None:
            break
    _finish(
        summary,
        arguments,
        quiet=quiet,
        one=from_file is None,
        part=shard is not None,
        trouble=ahead.error,
    )


class Head(Enum):
    boosted = "boosted"
    linear = "linear"
    lightgbm = "lightgbm"


class Only(Enum):
    age = "age"
    gender = "gender"


class Balance(Enum):
    age = "age"
    source = "source"


FitCaches = Annotated[
    list[Path],
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Read descriptors, as `arcage extract` keeps them: one DIR for all --labels, or one for each.",
    ),
]
Labels = Annotated[
    list[str],
    typer.Option(
        metavar="NAME|FILE",
        help="Take labels from file names: utkface, agedb, folders (male/, female/); from a table, .csv or "
        ".parquet: path,age,gender; or from IMDB-WIKI: imdb.mat, wiki.mat, or imdb-wiki where they are in "
        "this folder. Several are joined.",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=COLUMN,...", help="Say what a table calls its columns, as in age=Years,gender=sex."
    ),
]
Images = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", help="Take the report's thumbnails from DIR, the folder that was extracted."),
]
Holdout = Annotated[
    float,
    typer.Option(
        min=0,
        max=0.9,
        help="Hold out this share of the faces, by person or content: never fitted on, but reported on. "
        "Faces that a table's column split calls test or val are held out without it.",
    ),
]


@app.command()
def fit(
    cache: FitCaches,
    labels: Labels,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Write the heads and their model card into DIR.")],
    columns: Columns = None,
    head: Annotated[
        Head, typer.Option(help="Fit heads of this kind: boosted is the best; linear takes seconds.")
    ] = Head.boosted,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="wheel|DIR",
            help="Start from the bundled heads (wheel) or those in DIR, and adapt them to these faces.",
        ),
    ] = None,
    rest: Annotated[
        tuple[Path, str] | None,
        typer.Option(
            metavar="DIR NAME|FILE",
            help="Judge by a cache and labels of other faces as well, to see what --from forgets.",
        ),
    ] = None,
    forget: Annotated[
        float | None,
        typer.Option(
            metavar="YEARS",
            help="Let --from move the ages of faces like the old ones by so much on average, and gain more "
            "on these; 0.25 at most without.",
        ),
    ] = None,
    only: Annotated[Only | None, typer.Option(help="Fit for age alone, or for gender alone.")] = None,
    holdout: Holdout = 0,
    augment: Annotated[
        int,
        typer.Option(
            min=0, max=9, metavar="N", help="Fit on N degraded variants of each face too, for poor pictures."
        ),
    ] = 0,
    ages: Annotated[
        str | None,
        typer.Option(
            metavar="LOW-HIGH", help="Leave out faces of other ages, in the fit and in all figures: 0-90."
        ),
    ] = None,
    per_age: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Fit on N faces of each year of age at most, drawn by --seed."),
    ] = None,
    balance: Annotated[
        Balance | None,
        typer.Option(
            help="Give faces of rare ages, or of small sources, more weight: up to four times. Each of "
            "these three options is compared with a fit without it."
        ),
    ] = None,
    search: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES", help="First try heads and settings for so long, and take the best; then fit."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed gives the same heads, but for where --search runs out.")
    ] = 0,
    pack: Pack = "compact",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Fit age and gender heads on cached descriptors; takes seconds to minutes, on the CPU.

    Prints the errors on faces that the heads have not seen: the held-out ones, or else by cross-fitting.
    """
    if search is not None and not 0 < search < float("inf"):
        raise UsageError(f"--search {search:g} is not a time: give the minutes, more than 0")
    if from_ is not None and (head is not Head.boosted or augment or search or ages or per_age or balance):
        raise UsageError(
            "--from keeps the heads and their settings: leave out --head, --augment, --search, --ages, "
            "--per-age and --balance"
        )
    for option, given in (("--rest", rest), ("--forget", forget)):
        if given is not None and from_ is None:
            raise UsageError(f"{option} is for heads that are adapted: say with --from which")
    _require(
        ("--cache", cache),
        ("--labels", _label_files(labels)),
        ("--from", [_heads_folder(from_)]),
        ("--rest", [rest[0], *_label_files([rest[1]])] if rest else []),
    )
    if forget is not None and not 0 < forget < float("inf"):
        raise UsageError(f"--forget {forget:g} is nothing to go by: give years, more than 0")
    from arcage.data.sampling import Sampling, parse_ages
    from arcage.embedder.extractor import Extractor
    from arcage.heads.store import named_heads
    from arcage.output.formats import print_stdout
    from arcage.report.sampling import sampling_text
    from arcage.training.folder import check_heads_folder

    _may_replace(out, check_heads_folder, overwrite)
    sampling = Sampling(parse_ages(ages) if ages else None, per_age, balance.value if balance else None)
    extractor = Extractor(pack)
    if from_ is not None:
        base = named_heads(from_)
        base.check(extractor.fingerprint, extractor.pack.name)
    faces, _ = _labelled(cache, extractor, labels, columns, quiet)
    if only is not None:
        faces = faces.only(only.value)
    progress: Callable[[str], None] = (lambda text: None) if quiet else _say
    if from_ is not None:
        from arcage.evaluation.comparison import AFTER, as_text, verdicts
        from arcage.training.adapt import adapt_labelled
        from arcage.training.manifest import join_label_names
        from arcage.training.request import AdaptRequest

        others = _labelled([rest[0]], extractor, [rest[1]], None, quiet)[0] if rest else None
        adapt_request = AdaptRequest(
            base=base,
            base_name=Path(from_).name,
            pack=extractor.pack,
            labels=join_label_names(labels),
            out=out,
            holdout=holdout,
            reference=others,
            reference_labels=join_label_names([rest[1]]) if rest else "",
            forget=forget,
            seed=seed,
        )
        adapted = adapt_labelled(faces, adapt_request, report=progress)
        if not quiet:
            print_stdout(as_text(adapted.new, AFTER))
            if adapted.reference:
                print_stdout("\n".join(["", "reference set:", *verdicts(adapted.reference, AFTER)]))
            for note in adapted.notes:
                _say(note)
            _say(f"the adapted heads and their model card are in {out}")
        return

    from arcage.cache import Cache, join_tables
    from arcage.evaluation.metrics import as_table
    from arcage.heads.settings import Settings
    from arcage.output.progress import FitProgress
    from arcage.training.fit import fit_labelled
    from arcage.training.manifest import join_label_names
    from arcage.training.request import FitRequest

    degraded = [Extractor(pack, variant=number).fingerprint for number in range(1, augment + 1)]
    if lacking := [folder for folder in cache if not set(degraded) <= set(Cache.fingerprints(folder))]:
        raise UsageError(
            f"the cache {lacking[0]} lacks {counted(augment, 'degraded variant')} of its faces: "
            f"run `arcage extract` on the same images with --augment {augment} first"
        )
    with FitProgress(quiet=quiet) as fit_progress:
        request = FitRequest(
            pack=extractor.pack,
            fingerprint=extractor.fingerprint,
            labels=join_label_names(labels),
            out=out,
            settings=Settings(kind=head.value, seed=seed),
            holdout=holdout,
            variants=[
                join_tables([Cache(folder, fingerprint).table() for folder in cache])
                for fingerprint in degraded
            ],
            sampling=sampling,
            search_seconds=60 * (search or 0),
        )
        fitted = fit_labelled(faces, request, report=fit_progress.message, callback=fit_progress)
    for what, why in fitted.left_out.items():
        other = "gender" if what == "age" else "age"
        _say(f"{what} is not fitted, only {other} (as with --only {other}): {why}")
    if not quiet:
        print_stdout(as_table(fitted.held_out or fitted.out_of_fold))
        if chosen := fitted.heads.manifest.get("sampling"):
            print_stdout(f"\n{sampling_text(chosen, tables=False)}")
        seen = "held-out faces" if fitted.held_out else "training faces, each by models that did not see it"
        _say(f"above: errors on {seen}; the heads and their model card are in {out}")


class ReportFormat(Enum):
    table = "table"
    json = "json"


@app.command()
def evaluate(
    cache: FitCaches,
    labels: Labels,
    columns: Columns = None,
    heads: HeadsFolder = None,
    holdout: Holdout = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write the figures there as well.")
    ] = None,
    report_to: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="DIR", help="Write report.html, report.json and plots there; needs [report]."
        ),
    ] = None,
    images: Images = None,
    as_json: AsJson = False,
    pack: Pack = "compact",
    overwrite: Overwrite = False,
    quiet: QuietTable = False,
) -> None:
    """Report the heads' errors on labelled faces: overall, by age band, by gender and by group.

    With --holdout, or labels whose split says what is held out, only on the faces that `arcage fit` with the
    same share and labels leaves out.
    """
    if out is not None and out.suffix.lower() != ".json":
        raise UsageError(f"the figures are written as JSON: end the name of --out {out} in .json")
    _require(("--cache", cache), ("--labels", _label_files(labels)), ("--heads", [heads]))
    if out is not None:
        from arcage.files import refuse_foreign

        mark = rb'\A\{\s*"images": \{\s*"labelled": '
        _may_replace(out, lambda path: refuse_foreign(mark, path), overwrite)
    if report_to is not None:
        from arcage.report.evaluation_report import check_report_files
        from arcage.report.prepare import prepare

        _may_replace(report_to, check_report_files, overwrite)
        prepare(report_to, images or [])
    elif images:
        raise UsageError("--images is for the report's thumbnails: say with --report DIR where it goes")
    from arcage.embedder.extractor import Extractor
    from arcage.heads.store import load_heads
    from arcage.output.formats import print_stdout

    extractor = Extractor(pack)
    model = load_heads(heads)
    model.check(extractor.fingerprint, extractor.pack.name)
    faces, caches = _labelled(cache, extractor, labels, columns, quiet)
    faces, split = _judging(faces, holdout, quiet)

    from arcage.evaluation.metrics import as_table
    from arcage.evaluation.metrics import evaluate as evaluate_predictions
    from arcage.training.evaluate import predict_labelled
    from arcage.training.manifest import join_label_names
    from arcage.training.overlap import fitted_words

    called = join_label_names(labels)
    warning = _too_good(fitted_words(model, faces, called, holdout, split))
    if warning and not quiet:
        _say(warning)
    answers = predict_labelled(model, faces)
    report = {"images": dataclasses.asdict(faces.counts), **evaluate_predictions(answers, faces.labels())}
    text = json.dumps(report, indent=2, allow_nan=False)
    if out is not None:
        from arcage.files import atomic_write

        with atomic_write(out, "w") as file:
            file.write(text + "\n")
    if report_to is not None:
        from arcage.cache import join_names
        from arcage.report.evaluation_report import Evaluation, write_report

        evaluation = Evaluation(
            report,
            answers,
            faces,
            model,
            labels=called,
            holdout=holdout,
            warning=warning,
            names=join_names([one.names() for one in caches]),
        )
        written = write_report(report_to, evaluation, images=images or [])
        if not quiet:
            _say(f"report: {report_to / 'report.html'}")
            _say_absent([face for rows in written["worst_faces"].values() for face in rows], images)
    if as_json or not (quiet and (out or report_to)):
        print_stdout(text if as_json else as_table(report))


@app.command()
def compare(
    heads_a: Annotated[
        str,
        typer.Argument(
            metavar="HEADS_A", help="Compare the heads in this folder; wheel means the bundled ones."
        ),
    ],
    heads_b: Annotated[str, typer.Argument(metavar="HEADS_B", help="Compare them with these heads.")],
    cache: FitCaches,
    labels: Labels,
    columns: Columns = None,
    holdout: Holdout = 0,
    format_: Annotated[ReportFormat, typer.Option("--format", help="Print in this format.")] = (
        ReportFormat.table
    ),
    pack: Pack = "compact",
    quiet: QuietTable = False,
) -> None:
    """Say which of two heads is better on the same labelled faces, by how much, and how sure that is.

    Differences are B less A, with a 95 % interval by a paired bootstrap over persons, or over faces where
    no person is known. An interval that holds 0 means that nobody can tell.
    """
    _require(
        ("", map(_heads_folder, (heads_a, heads_b))), ("--cache", cache), ("--labels", _label_files(labels))
    )
    from arcage.embedder.extractor import Extractor
    from arcage.heads.store import named_heads
    from arcage.output.formats import print_stdout

    extractor = Extractor(pack)
    both = [named_heads(name) for name in (heads_a, heads_b)]
    for model in both:
        model.check(extractor.fingerprint, extractor.pack.name)
    faces, _ = _labelled(cache, extractor, labels, columns, quiet)
    faces, split = _judging(faces, holdout, quiet)

    from arcage.evaluation.comparison import as_text
    from arcage.training.evaluate import compare_labelled
    from arcage.training.manifest import join_label_names
    from arcage.training.overlap import fitted_words

    called = join_label_names(labels)
    warnings = {
        letter: warning
        for letter, model in zip("AB", both, strict=True)
        if (warning := _too_good(fitted_words(model, faces, called, holdout, split)))
    }
    if not quiet:
        for letter, warning in warnings.items():
            _say(f"{letter}: {warning}")
    report = {
        "heads": {"A": heads_a, "B": heads_b},
        "warnings": warnings,
        "images": dataclasses.asdict(faces.counts),
        **compare_labelled(both[0], both[1], faces),
    }
    print_stdout(
        json.dumps(report, indent=2, allow_nan=False) if format_.value == "json" else as_text(report)
    )


@data_app.command("describe")
def data_describe(
    cache: FitCaches,
    labels: Labels,
    columns: Columns = None,
    format_: Annotated[
        ReportFormat, typer.Option("--format", help="Print in this format; JSON holds every list in full.")
    ] = ReportFormat.table,
    report_to: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            help="Write labels.html, labels.json and suspicious.csv there; needs [report].",
        ),
    ] = None,
    images: Images = None,
    pack: Pack = "compact",
    overwrite: Overwrite = False,
    quiet: QuietTable = False,
) -> None:
    """Look at labels before anything is fitted on them: ages, heaping, copies, persons, suspicious labels.

    A label is suspicious where heads that were fitted on other faces of the same set contradict it.
    """
    _require(("--cache", cache), ("--labels", _label_files(labels)))
    if report_to is not None:
        from arcage.report.labels_report import check_label_report_files
        from arcage.report.prepare import prepare

        _may_replace(report_to, check_label_report_files, overwrite)
        prepare(report_to, images or [])
    elif images:
        raise UsageError("--images is for the report's thumbnails: say with --report DIR where it goes")
    from arcage.embedder.extractor import Extractor

    extractor = Extractor(pack)
    faces, caches = _labelled(cache, extractor, labels, columns, quiet)

    from arcage.audit.describe import describe
    from arcage.audit.text import as_text
    from arcage.cache import join_names
    from arcage.output.formats import print_stdout

    names = join_names([one.names() for one in caches])
    report = describe(faces, names, (lambda text: None) if quiet else _say)
    if report_to is not None:
        from arcage.report.labels_report import HTML, faces_shown, write_label_report
        from arcage.training.manifest import join_label_names

        write_label_report(report_to, report, labels=join_label_names(labels), images=images or [])
        if not quiet:
            _say(f"report: {report_to / HTML}")
            _say_absent(faces_shown(report), images)
    as_json = format_.value == "json"
    if as_json or not (quiet and report_to):
        print_stdout(json.dumps(report, indent=2, allow_nan=False) if as_json else as_text(report))


@data_app.command("clean")
def data_clean(
    mat: Annotated[Path, typer.Argument(metavar="FILE.mat", help="Read IMDB-WIKI's imdb.mat or wiki.mat.")],
    out: Annotated[Path, typer.Option(metavar="FILE.csv", help="Write the cleaned labels to this file.")],
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write IMDB-WIKI's labels as a CSV file for --labels, and say how many each rule leaves out.

    `--labels imdb.mat` does the same by itself, into imdb.arcage.csv beside the file.
    """
    from arcage.data.imdb_wiki import check_labels_file, clean, counts

    _may_replace(out, check_labels_file, overwrite)
    _require(("", [mat]))
    clean(mat, out)
    if not quiet:
        _say(", ".join(f"{name} {count:,}" for name, count in counts(out).items()))


@app.command(name="app")
def page(
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Listen on this address; 0.0.0.0 lets others in, without a password."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Listen on this port; 0 takes any that is free.")
    ] = 7860,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Allow this host name too: a name in the local network, or that of a proxy; repeatable. "
            "*.example.org allows all subdomains of example.org.",
        ),
    ] = None,
    pack: Pack = "compact",
    device: Device = "auto",
    heads: HeadsFolder = None,
) -> None:
    """Open a page for the browser, where photos are dropped and answered; needs arcage[app].

    Prints the page's address. Nothing is kept, and nothing leaves this machine.
    """
    _require(("--heads", [heads]))
    from arcage.app.serve import serve
    from arcage.predictor import Predictor

    predictor = Predictor(pack, device, heads=heads)
    serve(predictor, host, port, allow_host=allow_host or (), report=_say)


class ModelFormat(Enum):
    onnx = "onnx"


@heads_app.command("export")
def heads_export(
    heads: Annotated[
        str,
        typer.Argument(
            metavar="HEADS_DIR", help="Export the heads in this folder; wheel means the bundled ones."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.onnx", help="Write the model to this file.")],
    format_: Annotated[
        ModelFormat, typer.Option("--format", help="Write ONNX, in plain operators; needs the package onnx.")
    ] = ModelFormat.onnx,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write heads as one model file: descriptors in; age, age_low, age_high and p_female out."""
    _require(("", [_heads_folder(heads)]))
    from arcage.heads.export import check_onnx_file, write_onnx
    from arcage.heads.store import named_heads

    _may_replace(out, check_onnx_file, overwrite)
    model = named_heads(heads)
    write_onnx(model, out)
    if not quiet:
        pack = model.manifest.get("pack")
        pipeline = f"pack {pack}" if pack else f"pipeline {model.fingerprint}"
        _say(f"{out}: for descriptors of the {pipeline}, float32 [n, {model.dimension}]")


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """List the models on this machine: the bundled ones, and InsightFace packs.

    What `arcage models fetch` could add is said on standard error.
    """
    from arcage.embedder.packs.inventory import list_downloadable, list_models
    from arcage.output.formats import print_stdout

    models = list_models()
    if as_json:
        print_stdout(json.dumps([dataclasses.asdict(model) for model in models], indent=2))
        return
    for model in models:
        print_stdout(str(model))
    more = [str(pack) for pack in list_downloadable(models)]
    if more:
        _say(f"`arcage models fetch` downloads, for non-commercial research only: {', '.join(more)}")


@models_app.command("fetch")
def models_fetch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Download this pack of InsightFace, such as buffalo_l.")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Download without asking: the licence is known and accepted.")
    ] = False,
    mirror: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar="ARCAGE_MIRROR",
            help="Download from a folder on another server that has NAME.zip, not from InsightFace's "
            "release on GitHub.",
        ),
    ] = "",
    sha256: Annotated[
        str, typer.Option(metavar="HEX", help="Refuse a zip file that has another SHA-256 than this.")
    ] = "",
    quiet: Quiet = False,
) -> None:
    """Download a pack of InsightFace. Its weights are for non-commercial research only.

    The SHA-256 of every file is recorded and checked whenever the pack is used. A download that broke goes on
    where it stopped. No other command downloads models, and with ARCAGE_OFFLINE=1 neither does this one.
    """
    from arcage.embedder.packs.download import check_can_fetch, fetch_pack, is_installed, plan_download
    from arcage.output.progress import bytes_progress

    plan = plan_download(name, mirror, sha256)
    if is_installed(plan):
        _say(f"{name} is here already, so nothing is downloaded:")
        _verify(name)
        return
    check_can_fetch()
    _say(f"{name}: about {plan.megabytes} MB from {plan.url} into {plan.folder}\nLicence: {plan.licence}")
    try:
        agreed = yes or typer.confirm("Download it?", err=True)
    except typer.Abort:
        raise UsageError("nobody answered; --yes downloads without asking") from None
    if not agreed:
        _say("nothing was downloaded")
        raise typer.Exit(FAILED)
    with bytes_progress(name, quiet=quiet) as progress:
        fetched = fetch_pack(plan, progress)
    if not quiet:
        for file, digest in {f"{name}.zip": fetched.archive, **fetched.files}.items():
            _say(f"{digest}  {file}")
        _say(
            f"{name} is in {fetched.folder}. Heads for it come from your own labels: `arcage extract` with "
            f"--pack {name}, then `arcage fit`"
        )


@models_app.command("verify")
def models_verify(
    name: Annotated[
        str, typer.Argument(metavar="[NAME|DIR]", help="Check this pack; by default all on this machine.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Compare the SHA-256 of model files with what is recorded. Exits with 3 if one is damaged."""
    _verify(name, as_json)


def _verify(name: str, as_json: bool = False) -> None:
    from arcage.embedder.packs.inventory import verify_models
    from arcage.output.formats import print_stdout

    checked = []
    for model in verify_models(name):
        checked.append(model)
        if not as_json:
            print_stdout(str(model))
    if as_json:
        print_stdout(json.dumps([dataclasses.asdict(model) for model in checked], indent=2))
    remedies = dict.fromkeys(model.remedy for model in checked if model.remedy)
    for remedy in remedies:
        _say(f"to repair it, {remedy}")
    if remedies:
        raise typer.Exit(ENVIRONMENT)


@app.command()
def doctor(
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Check a cache of descriptors as well: read every byte of it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that this installation works: libraries, models, heads, device. Exits with 3 if it does not.

    What it prints can be pasted into a bug report: it has no user name and no path of the home folder.
    """
    _require(("--cache", [cache]))
    from arcage.doctor import examine
    from arcage.output.formats import print_stdout

    findings = []
    for finding in examine(cache):
        findings.append(finding)
        if not as_json:
            print_stdout(f"{finding.level:<8}  {finding.check}: {finding.text}")
    healthy = all(finding.level != "problem" for finding in findings)
    if as_json:
        report = {"healthy": healthy, "findings": [dataclasses.asdict(finding) for finding in findings]}
        print_stdout(json.dumps(report, indent=2))
    if not healthy:
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


def _report_usage_error(error: Any) -> NoReturn:
    """Report a usage error in one line, with the same message for every version of Typer."""
    if type(error).__name__ == "NoArgsIsHelpError":
        raise error
    name = getattr(error, "option_name", "")
    if type(error).__name__ == "MissingParameter":
        words = f"{_parameter(error.param)} is missing"
    elif isinstance(error, typer.BadParameter) and error.param is not None:
        words = f"{_parameter(error.param)} takes {_accepted(error) or 'another value'}"
    elif type(error).__name__ == "NoSuchOption":
        near = f" (did you mean {alternatives(error.possibilities)}?)" if error.possibilities else ""
        words = f"no such option {name}{near}"
    elif name:
        needed = re.search(r"requires (an?|\d+) ", error.message)
        several = needed and needed[1].isdecimal()
        values = f"{needed[1]} values" if needed and several else "a value"
        words = f"{name} needs {values}" if needed else f"{name} takes no value"
    else:
        words = error.format_message().removesuffix(".")
        words = words[:1].lower() + words[1:]
        words = re.sub(r"\. Did you mean:? (.*)\?$", r" (did you mean \1?)", words)
        words = re.sub(r"^got unexpected extra arguments?\S* \((.*)\)$", r"too many arguments: \1", words)
    command = ["arcage", *error.ctx.command_path.split()[1:]] if error.ctx is not None else []
    more = f"; see `{' '.join(command)} --help`" if command else ""
    _say(f"arcage: {words}{more}")
    raise typer.Exit(UsageError.exit_code) from None


def _parameter(parameter: Any) -> str:
    """Name an option or an argument as in its help."""
    named: str = parameter.opts[-1] if parameter.param_type_name == "option" else parameter.metavar
    return named


def _accepted(error: Any) -> str:
    """Describe the values that an option accepts, from its declaration."""
    declared = get_type_hints(inspect.unwrap(error.ctx.command.callback), include_extras=True)
    kind, info = get_args(declared[error.param.name])
    kinds = [one for one in get_args(kind) or (kind,) if one is not type(None)]
    if issubclass(kinds[0], Enum):
        return alternatives([one.value for one in kinds[0]])
    number = {int: "a whole number", float: "a number"}.get(kinds[0], "")
    if not number or info.min is None:
        return number
    if info.max is None:
        return f"{number} of {info.min:g} or more"
    return f"{number} from {info.min:g} to {info.max:g}"


def _may_replace(path: Path, check: Callable[[Path], None], overwrite: bool) -> None:
    """Refuse to replace files that arcage did not write, unless ``overwrite`` is set."""
    try:
        check(path)
    except ForeignFileError:
        if not overwrite:
            raise


def _arguments(paths: list[str] | None, from_file: str | None) -> list[str]:
    """All paths that were asked for; ``-`` is alone."""
    from arcage.sources.lists import read_list
    from arcage.sources.suffixes import is_video
    from arcage.sources.url import is_url
    from arcage.sources.walk import is_whole_disk, walk

    arguments = list(paths or [])
    _require(("", [path for path in arguments if path != "-" and not is_url(path)]))
    listed = []
    for path in arguments:
        if is_whole_disk(path):
            raise UsageError(f"{path} is the whole disk: name the folders that have the photos")
        holds_heads = os.path.isfile(os.path.join(path, "heads.npz"))
        # Photos may lie beside them.
        if (holds_heads or _is_cache(path)) and next(walk([path]), None) is None:
            if holds_heads:
                raise UsageError(f"{path} holds heads, not images: give it with --heads")
            raise UsageError(f"{path} is a cache of descriptors, not of images: give it with --cache")
    if from_file is not None:
        # Not the one for standard input: in a list, - is a file of that name.
        listed = [os.path.join(".", path) if path == "-" else path for path in read_list(from_file)]
    elif not arguments:
        raise UsageError("no images given: name files or folders, - for standard input, or --from-file LIST")
    if "-" in arguments and len(arguments + listed) > 1:
        raise UsageError("- (one image on standard input) stands alone: run arcage once more for the paths")
    named = [url for url in arguments if is_url(url) and not is_video(url)]
    by_scheme = {url.split("://", 1)[0]: url for url in listed if is_url(url) and not is_video(url)}
    if named or by_scheme:
        from arcage.sources.filesystems import check_scheme

        for url in named:
            check_scheme(url)
        for url in by_scheme.values():
            # In a list, a URL with an unknown scheme becomes a row.
            with suppress(UsageError):
                check_scheme(url)
    return arguments + listed


def _require(*options: tuple[str, Iterable[str | Path | None]]) -> None:
    """Raise UsageError if the path of an option does not exist, before any work is done."""
    from arcage.files import is_absent

    given = [(option, path) for option, paths in options for path in paths if path is not None]
    absent = [(option, os.fspath(path)) for option, path in given if is_absent(path)]
    if not absent:
        return
    shown = shortened([f"{option} {path}".strip()[:200] or "''" for option, path in absent], 5)
    makers = {"--cache": "`arcage extract` makes a cache", "--heads": "`arcage fit` makes heads"}
    advice = dict.fromkeys(makers[option] for option, _ in absent if option in makers)
    if any(letter in path for _, path in absent for letter in "*?["):
        advice["no file matches the pattern: name a folder to search it for images"] = None
    raise UsageError(f"no such file or folder: {shown}; {'; '.join(advice) or 'check the spelling'}")


def _label_files(labels: Iterable[str]) -> list[str]:
    """Return the values of --labels that are files; the others are names."""
    return [label for label in labels if Path(label).suffix or os.path.basename(label) != label]


def _heads_folder(name: str | None) -> str | None:
    """Return the folder of heads; None for the bundled ones."""
    return None if name == "wheel" else name


def _is_cache(path: str) -> bool:
    """Whether a folder is a cache, by its first entries: a folder of photos may have millions."""
    if not os.path.isdir(path):
        return False
    with suppress(OSError), os.scandir(path) as entries:
        places = [path, *(entry.path for entry in islice(entries, 20))]
        return any(os.path.isfile(os.path.join(place, "pipeline.json")) for place in places)
    return False


def _sources(arguments: list[str], shard: str | None) -> Callable[[], Iterable[Source]]:
    """What walks through the images that were asked for, each time from the start."""
    from arcage.sources.source import Source
    from arcage.sources.walk import walk

    if shard is not None:
        from arcage.extraction.shards import parse_shard

        part = parse_shard(shard)
        if arguments == ["-"]:
            raise UsageError("- is one image, which cannot be split: leave out --shard")
        return lambda: (source for source in walk(arguments) if source in part)
    if arguments != ["-"]:
        return lambda: walk(arguments)
    if sys.stdin.isatty():
        raise UsageError("no image on standard input: arcage predict - < photo.jpg")
    image = [Source("-", "-", data=sys.stdin.buffer.read())]
    return lambda: image


def _labelled(
    folders: list[Path], extractor: Extractor, labels: list[str], columns: list[str] | None, quiet: bool
) -> tuple[LabelledFaces, list[Cache]]:
    """The faces, and the caches that they are from."""
    from arcage.cache import Cache
    from arcage.data.join import join_labelled
    from arcage.data.label_source import pair_sources
    from arcage.data.tables import parse_columns

    caches = {
        folder: Cache(folder, extractor.fingerprint, pipeline=extractor.description)
        for folder in dict.fromkeys(folders)
    }
    try:
        faces = join_labelled(
            pair_sources(
                [caches[folder] for folder in folders], labels, [parse_columns(one) for one in columns or []]
            )
        )
    finally:
        for cache in caches.values():
            for damage in cache.damaged:
                _say(str(damage))
    if not quiet:
        for line in faces.remarks():
            _say(line)
        _say(f"images: {faces.counts}")
    return faces, list(caches.values())


def _judging(faces: LabelledFaces, holdout: float, quiet: bool) -> tuple[LabelledFaces, bool]:
    """The faces that heads are judged by, and whether the labels' split said which."""
    split = faces.has_split
    if not (holdout or split):
        return faces, split
    aside = faces.select(faces.held_out(holdout))
    if not len(aside):
        raise UsageError(
            f"none of the labelled faces is among the {percent(holdout)} held out: increase --holdout"
        )
    if split and not quiet:
        held_out = f"{len(aside):,} of {counted(len(faces), 'face')}"
        _say(f"{held_out} are held out by the split in the labels; only these are used")
    return aside, split


def _too_good(fitted: str) -> str:
    return fitted and (
        f"the heads {fitted}: the figures are too optimistic; use other faces, or fit and evaluate "
        "with the same --holdout"
    )


def _say_absent(faces: list[dict[str, Any]], images: list[Path] | None) -> None:
    absent = len({face["sha256"] for face in faces if not face["thumbnail"]})
    if images and absent:
        _say(
            f"thumbnails missing: {absent}; --images is to be the folder that was extracted, with its files "
            "unchanged, and the cache must have their names"
        )


def _finish(
    summary: Summary,
    arguments: list[str],
    *,
    quiet: bool,
    one: bool,
    strict: bool = False,
    part: bool = False,
    trouble: ArcageError | None = None,
) -> None:
    if not summary.images:
        _say(f"no images found in {_named(arguments)}")
    elif summary.images > 1 and not quiet:
        _say(str(summary))
    if summary.multi_frame and not quiet:
        one_of = "an image has" if summary.multi_frame == 1 else f"{summary.multi_frame:,} images have"
        _say(f"{one_of} more than one picture (an animation or pages): the first was read")
    if trouble is not None:
        raise trouble
    failed = summary.no_face + summary.unreadable > 0
    asked_for_one = one and summary.images == 1 and arguments == [summary.last]
    # A single shard may have no images.
    nothing = not summary.images and (strict or not part)
    if (failed and (strict or asked_for_one)) or nothing:
        raise typer.Exit(FAILED)


def _named(arguments: list[str]) -> str:
    return ", ".join(arguments[:3]) + (", ..." if len(arguments) > 3 else "") or "an empty list"


def _say(text: str) -> None:
    typer.echo(text, err=True)
