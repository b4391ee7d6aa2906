"""Options and arguments that several commands share, and their values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Faces = Literal["all", "largest", "center"]
Runner = Literal["local", "ray"]
RowFormat = Literal["table", "csv", "excel-csv", "jsonl"]
ReportFormat = Literal["table", "json"]
Kind = Literal["boosted", "linear", "lightgbm"]
Attribute = Literal["age", "gender"]
Balance = Literal["age", "source"]

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
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Process only part I of N, for N processes or machines at once. The names of the images decide, "
        "so the parts need no coordination.",
    ),
]
MinFace = Annotated[
    int,
    typer.Option(
        min=8, metavar="PIXELS", help="Minimum face width; lower values take longer on large photos."
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
        help="Run on auto, cpu, or a provider of ONNX Runtime such as cuda. Only auto falls back.",
    ),
]
HeadsFolder = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Use heads that `arcage fit` wrote, not the bundled ones.")
]
CacheFolders = Annotated[
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
        ".parquet: path,age,gender; or from IMDB-WIKI: imdb.mat, wiki.mat, or imdb-wiki if they are in "
        "this folder. Several are joined.",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=COLUMN,...", help="Name the columns of a table, as in age=Years,gender=sex."),
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
