"""The formats of predictions: what the command line offers, and which file has which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from arcage.errors import UsageError
from arcage.text import alternatives

FormatName = Literal[
    "table", "csv", "excel-csv", "jsonl", "json", "parquet", "xlsx", "coco", "label-studio", "fiftyone"
]
"""The names in :data:`FORMATS`, for the choices of ``--format``."""


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """A format of predictions."""

    name: FormatName
    suffix: str
    """Of a file in this format; empty if it is only printed."""
    summary: str
    """What it is, as an entry of a list."""
    printed: bool = True
    """Whether it can be written to standard output."""
    images_only: bool = False
    """Whether it describes boxes in images, so that it cannot hold the persons of a video."""


DESCRIPTION = "Faces with age and gender, predicted by arcage"
"""The description in a COCO file, by which arcage recognises its own."""

FORMATS: dict[FormatName, OutputFormat] = {
    one.name: one
    for one in (
        OutputFormat("table", "", "a table for people"),
        OutputFormat("csv", ".csv", "CSV"),
        OutputFormat("excel-csv", ".csv", "CSV that Excel opens with accents"),
        OutputFormat("jsonl", ".jsonl", "JSON lines"),
        OutputFormat("json", ".json", "a JSON array"),
        OutputFormat("parquet", ".parquet", "Parquet", printed=False),
        OutputFormat("xlsx", ".xlsx", "an Excel workbook, which needs [excel]", printed=False),
        OutputFormat("coco", ".json", "COCO", images_only=True),
        OutputFormat("label-studio", ".json", "tasks of Label Studio with predictions", images_only=True),
        OutputFormat("fiftyone", ".json", "labels of FiftyOne", images_only=True),
    )
}
"""All formats by name. The first one of a suffix is the default for it."""

SUFFIXES: dict[str, FormatName] = {one.suffix: one.name for one in reversed(FORMATS.values()) if one.suffix}
"""The default format of each suffix."""


def format_of(path: Path) -> FormatName:
    """Return the default format of a file, by its suffix.

    Raises:
        UsageError: the suffix is unknown.
    """
    try:
        return SUFFIXES[path.suffix.lower()]
    except KeyError:
        known = ", ".join(suffixes())
        raise UsageError(f"cannot tell the format of {path}: end its name in one of {known}") from None


def suffixes() -> list[str]:
    """Return the suffixes of files, in the order of :data:`FORMATS`."""
    return list(dict.fromkeys(one.suffix for one in FORMATS.values() if one.suffix))


def file_format(path: Path, name: FormatName | None = None) -> OutputFormat:
    """Return the format in which a file is written.

    Args:
        path: the file.
        name: of a format; None for the default format of the file's suffix.

    Raises:
        UsageError: the suffix is unknown, or is not that of the format.
    """
    default = format_of(path)
    chosen = FORMATS[name or default]
    if chosen.suffix == path.suffix.lower():
        return chosen
    if chosen.suffix:
        raise UsageError(
            f"`format` {chosen.name} is written to {chosen.suffix}, but `out` is {path}: change one of them"
        )
    raise UsageError(f"`format` {chosen.name} is only printed: leave it out to write {default} to {path}")


def printed_format(name: FormatName) -> OutputFormat:
    """Return the format in which predictions are printed.

    Raises:
        UsageError: the format is only for files.
    """
    if not FORMATS[name].printed:
        raise UsageError(f"`format` {name} is not text: name a file, as in `out` faces{FORMATS[name].suffix}")
    return FORMATS[name]


def file_help() -> str:
    """Return the names of files for the help of ``--out``, such as ``FILE.csv or FILE.jsonl``."""
    return alternatives([f"FILE{suffix}" for suffix in suffixes()])
