"""Options and arguments of the commands, with their help texts; those of several commands come first."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import typer

from arcage.console.messages import say
from arcage.output.registry import FormatName, file_help

Faces = Literal["all", "largest", "center"]
Runner = Literal["local", "ray"]
ReportFormat = Literal["table", "json"]
Kind = Literal["boosted", "linear", "lightgbm"]
Attribute = Literal["age", "gender"]
Balance = Literal["age", "source"]


@cache
def _warn_of_wheel() -> None:
    say("arcage: the heads wheel are now called bundled; the old name will be removed")


def heads_name(name: str | None) -> str | None:
    """Return a name of heads; warn once about the old name of the bundled ones."""
    if name != "wheel":
        return name
    _warn_of_wheel()
    return "bundled"


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
        help="Read paths or URLs from a file, one per line; - is standard input.",
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Process only part I of N, to share the work between N processes or machines. Images are "
        "assigned by their names, so the parts need no coordination.",
    ),
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        "--boxes",
        metavar="FILE",
        help="Take the faces from FILE instead of detecting them: a table with the columns path, x1, y1, "
        "x2 and y2, and perhaps landmarks, or COCO .json. Without PATH, its images are used.",
    ),
]
Aligned = Annotated[
    bool,
    typer.Option(
        "--aligned",
        help="Take each image as one face that is already aligned: ArcFace crops of 112x112 pixels.",
    ),
]
MinFace = Annotated[
    int,
    typer.Option(
        min=8,
        metavar="PIXELS",
        help="Find faces of at least this width; lower values take longer on large photos.",
    ),
]
MaxMemory = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="Refuse an image whose decoder takes more memory, such as 500MB or 2GB.",
    ),
]
MaxSeconds = Annotated[
    float,
    typer.Option(
        min=0.1,
        metavar="SECONDS",
        help="Refuse an image, or a frame of a video, whose decoder takes longer in a worker process.",
    ),
]
Pack = Annotated[
    str,
    typer.Option(
        metavar="NAME|DIR", help="Use this model pack: a name from `arcage models list`, or a folder."
    ),
]
Device = Annotated[
    str,
    typer.Option(
        # Typer 0.27 takes an option's name from a metavar that differs only in case.
        "--device",
        metavar="DEVICE",
        help="Run on auto, cpu, or a provider of ONNX Runtime such as cuda; cuda:1 is the second GPU. Only "
        "auto falls back.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        metavar="N",
        help="Share many images between N processes; 1 uses threads only. By default one for each core if "
        "there are more than three; on a GPU one for each four cores, at most four. With --device cuda:all, "
        "they share all GPUs.",
    ),
]
Heads = Annotated[
    str | None,
    typer.Option(
        # Typer 0.27 takes an option's name from a metavar that differs only in case.
        "--heads",
        metavar="HEADS",
        help="Use other heads than the bundled ones: a folder that `arcage fit` wrote, a file of "
        "`arcage heads pack`, or the URL of such a file, ending in #sha256=... (needs [remote]).",
    ),
]
CacheFolders = Annotated[
    list[Path],
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Read the descriptors that `arcage extract` stored: one DIR for all --labels, or one for each.",
    ),
]
Labels = Annotated[
    list[str],
    typer.Option(
        metavar="NAME|FILE",
        help="Read labels from file names: utkface, agedb, folders (male/, female/); from a table, .csv, "
        ".xlsx or .parquet: path,age,gender; from Label Studio or COCO: .json; or from IMDB-WIKI: imdb.mat, "
        "wiki.mat, or imdb-wiki if they are in this folder. Repeat the option to join several.",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=COLUMN,...", help="Name the columns of a table, as in age=Years,gender=sex."),
]
Images = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", help="Read the report's thumbnails from DIR, the folder that was extracted."),
]
Holdout = Annotated[
    float,
    typer.Option(
        min=0,
        max=0.9,
        help="Hold out this share of the faces, by person or content: never fitted on, only evaluated on. "
        "Faces that the column split of a table calls test or val are always held out.",
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

# arcage predict
RowsFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help=f"Write to {file_help()}, which needs [excel]."),
]
RowsFormat = Annotated[
    FormatName | None,
    typer.Option(
        "--format",
        help="Print in this format, by default a table on a terminal and CSV otherwise; with --out, write in "
        "it. excel-csv is CSV that Excel opens with accents intact. The suffix of FILE decides between csv, "
        "jsonl, json, parquet and xlsx; coco, label-studio and fiftyone are written to FILE.json.",
    ),
]
SelectedFaces = Annotated[Faces, typer.Option(help="Predict these faces of an image.")]
MinScore = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Ignore faces with a lower detector score than this; no score is below 0.5."
    ),
]
MaxWidth = Annotated[
    float,
    typer.Option(min=0, metavar="YEARS", help="Hide ages whose interval is wider than this."),
]
Interval = Annotated[
    float,
    typer.Option(min=1, max=99.6, metavar="PERCENT", help="Level of the interval in age_low and age_high."),
]
Under = Annotated[
    list[int] | None,
    typer.Option(
        min=1,
        max=120,
        metavar="YEARS",
        help="Add a column with the probability of being younger, such as p_under_18; repeatable.",
    ),
]
MinConfidence = Annotated[
    float,
    typer.Option(min=0.5, max=1, help="Hide genders whose probability is lower than this."),
]
MinFamiliarity = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Hide what is predicted for faces that are less like the training faces than this."
    ),
]
Annotate = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write images and videos with boxes and labels into DIR."),
]
Webcam = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Read from camera N (0, 1, ...) until Ctrl-C.")
]
FrameRate = Annotated[
    float,
    typer.Option(
        min=0.01, max=1000, metavar="FPS", help="Process this many frames per second of videos and webcams."
    ),
]
FramesFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write FILE.csv with every face in every processed frame."),
]
FacesPage = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.html", help="Write a page with all faces and predictions, to sort and filter."
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Store descriptors in DIR, so that an interrupted run can be continued."
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit with 1 if any image has no face or cannot be read.")
]

# arcage extract
ExtractTo = Annotated[Path, typer.Option(metavar="DIR", help="Store the descriptors in DIR.")]
NoNames = Annotated[
    bool, typer.Option("--no-names", help="Do not store file names, by which `arcage fit` finds labels.")
]
ExtractVariants = Annotated[
    int,
    typer.Option(
        min=0,
        max=9,
        metavar="N",
        help="Extract N degraded variants of each face as well, for `arcage fit --augment`.",
    ),
]
Engine = Annotated[
    Runner,
    typer.Option(
        help="Run in this process (local), or in actors of Ray (ray; needs [ray]), on this machine or in "
        "the cluster of RAY_ADDRESS, whose machines share the images and the cache."
    ),
]

# arcage fit
HeadsTo = Annotated[Path, typer.Option(metavar="DIR", help="Write the heads and their model card into DIR.")]
HeadsKind = Annotated[
    Kind, typer.Option(help="Fit heads of this kind: boosted is the most accurate; linear takes seconds.")
]
Base = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="bundled|HEADS",
        callback=heads_name,
        help="Start from the bundled heads or others, and adapt them to these faces.",
    ),
]
Reference = Annotated[
    tuple[Path, str] | None,
    typer.Option(
        "--reference",
        metavar="DIR NAME|FILE",
        help="Evaluate on other faces as well (their cache and labels), to measure what --from makes worse.",
    ),
]
Forget = Annotated[
    float | None,
    typer.Option(
        metavar="YEARS",
        help="Let --from change the predicted ages of faces like the old ones by YEARS on average, to gain "
        "more on the new ones; by default, by at most 0.25.",
    ),
]
OnlyFor = Annotated[Attribute | None, typer.Option(help="Fit for age alone, or for gender alone.")]
FitVariants = Annotated[
    int,
    typer.Option(
        min=0, max=9, metavar="N", help="Also fit on N degraded variants of each face, for poor pictures."
    ),
]
Ages = Annotated[
    str | None,
    typer.Option(
        metavar="LOW-HIGH", help="Use only faces of these ages, such as 0-90, in the fit and in all metrics."
    ),
]
PerAge = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Fit on at most N faces of each year of age, drawn by --seed."),
]
BalanceBy = Annotated[
    Balance | None,
    typer.Option(
        help="Give faces of rare ages, or of small sources, more weight: up to four times. Each of "
        "--ages, --per-age and --balance is compared with a fit without it."
    ),
]
Search = Annotated[
    float | None,
    typer.Option(
        metavar="MINUTES", help="Search for the best heads and settings for MINUTES first, then fit."
    ),
]
Seed = Annotated[
    int,
    typer.Option(min=0, help="The same seed gives the same heads, except with --search, which ends by time."),
]

# arcage evaluate
MetricsFile = Annotated[
    Path | None, typer.Option(metavar="FILE.json", help="Write the metrics to this file as well.")
]
ReportFolder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write report.html, report.json and plots there; needs [report]."),
]

# arcage compare
HeadsA = Annotated[
    str,
    typer.Argument(
        metavar="HEADS_A",
        callback=heads_name,
        help="Compare these heads, named as for --heads of `arcage predict`, or the bundled heads (bundled).",
    ),
]
HeadsB = Annotated[
    str, typer.Argument(metavar="HEADS_B", callback=heads_name, help="Compare them with these heads.")
]
PrintFormat = Annotated[ReportFormat, typer.Option("--format", help="Print in this format.")]

# arcage data describe
DescriptionFormat = Annotated[
    ReportFormat,
    typer.Option("--format", help="Print in this format; JSON contains all lists in full."),
]
LabelReportFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Write labels.html, labels.json and suspicious.csv there; needs [report]."
    ),
]

# arcage data next
LabelsSoFar = Annotated[
    list[str] | None,
    typer.Option(
        "--labels",
        metavar="NAME|FILE",
        help="Leave out the faces with a label in these, named as for `arcage fit`; repeatable.",
    ),
]
NumberOfFaces = Annotated[int, typer.Option("--n", min=1, max=2000, metavar="N", help="Choose N faces.")]
SheetFile = Annotated[Path, typer.Option(metavar="FILE.csv", help="Write the sheet to fill in to this file.")]
SheetPage = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.html", help="Write the sheet as a page with thumbnails as well; needs --images."
    ),
]

# arcage data clean
MatFile = Annotated[Path, typer.Argument(metavar="FILE.mat", help="Read IMDB-WIKI's imdb.mat or wiki.mat.")]
CleanedFile = Annotated[Path, typer.Option(metavar="FILE.csv", help="Write the cleaned labels to this file.")]

# arcage app
Host = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS", help="Listen on this address; 0.0.0.0 admits other machines, without a password."
    ),
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Listen on this port; 0 chooses a free one.")]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Allow this host name too: a name in the local network, or that of a proxy; repeatable. "
        "*.example.org allows all subdomains of example.org.",
    ),
]

# arcage heads export, arcage heads pack
ExportedHeads = Annotated[
    str,
    typer.Argument(
        metavar="HEADS",
        callback=heads_name,
        help="Export the heads in this folder or packed file, or the bundled heads (bundled).",
    ),
]
PackedHeads = Annotated[
    str,
    typer.Argument(
        metavar="HEADS",
        callback=heads_name,
        help="Pack the heads in this folder, or the bundled heads (bundled).",
    ),
]
PackedFile = Annotated[Path, typer.Option(metavar="FILE.arcage", help="Write the heads to this file.")]
OnnxFile = Annotated[Path, typer.Option(metavar="FILE.onnx", help="Write the model to this file.")]
ModelFormat = Annotated[
    Literal["onnx"],
    typer.Option("--format", help="Write ONNX, in plain operators; needs the package onnx."),
]

# arcage models fetch
PackName = Annotated[
    str, typer.Argument(metavar="NAME", help="Download this pack of InsightFace, such as buffalo_l.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Download without asking, and accept the licence.")]
Mirror = Annotated[
    str,
    typer.Option(
        metavar="URL",
        envvar="ARCAGE_MIRROR",
        help="Download from a folder on another server that has NAME.zip, not from InsightFace's "
        "release on GitHub.",
    ),
]
ArchiveSha256 = Annotated[
    str, typer.Option(metavar="HEX", help="Refuse a zip file that has another SHA-256 than this.")
]

# arcage models add, remove
EncoderFile = Annotated[Path, typer.Argument(metavar="FILE.onnx", help="Add the network in this file.")]
NewPack = Annotated[
    str, typer.Option("--name", metavar="NAME", help="Name the pack; by default like the file.")
]
PixelScale = Annotated[
    str,
    typer.Option(
        "--scale",
        metavar="PRESET|MEAN/STD",
        help="Give the network pixels as it was trained with: arcface (-1 to 1), imagenet, clip, unit (0 to "
        "1), raw (0 to 255), or mean and deviation of 0 to 255, such as 127.5/128. Asked if it is not given.",
    ),
]
BlueFirst = Annotated[bool, typer.Option("--bgr", help="Give the network blue, green, red, as OpenCV does.")]
ImageSize = Annotated[
    int | None,
    typer.Option(
        "--size", min=32, max=1024, metavar="PIXELS", help="Set the side of its image, if the file does not."
    ),
]
Licence = Annotated[
    str,
    typer.Option(
        "--license", metavar="TEXT", help="Record the licence of the weights. Asked if it is not given."
    ),
]
AddedPack = Annotated[str, typer.Argument(metavar="NAME", help="Remove this pack.")]

# arcage models verify
AnyPack = Annotated[
    str, typer.Argument(metavar="[NAME|DIR]", help="Check this pack; by default all on this machine.")
]

# arcage doctor
CheckedCache = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Check a cache of descriptors as well: read every byte of it."),
]
