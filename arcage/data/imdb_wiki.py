"""Clean the labels of IMDB-WIKI: convert ``imdb.mat`` and ``wiki.mat`` to CSV.

Rothe, Timofte, Van Gool: Deep expectation of real and apparent age from a single image without facial
landmarks, IJCV 2018. The sets were collected automatically; :data:`RULES` leave out obvious errors.

Run as a module, this prints the CSV file. :func:`clean` does so in a subprocess, because scipy's reader
aborts the process on some damaged files.
"""

from __future__ import annotations

import csv
import math
import os
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from arcage.errors import ArcageError, UsageError
from arcage.files import MAX_FILE_BYTES, atomic_write, check_csv, reason
from arcage.text import csv_writer, to_spreadsheet

SETS = ("imdb", "wiki")
FOLDERS = ("{}.mat", "{0}_crop/{0}.mat", "{0}/{0}.mat")
"""Paths of the files in the published archives, relative to the folder where they were unpacked."""
COLUMNS = (
    "path", "age", "gender", "person", "left_out", "born", "photo_taken", "face_score", "second_face_score",
)  # fmt: skip
OLDEST = 100
"""Maximum age, years. Above it, a wrong year or a photo from after death is far more likely."""
RULES = {
    "no face": "face_score is not a finite number: the detector found no face",
    "two faces": "second_face_score is a number: it is unknown which face the age belongs to",
    "impossible age": f"below 0 or above {OLDEST} years on 1 July of the photo's year, or no date of birth",
    "path twice": "an earlier entry has the same file",
}
"""Why an entry is left out. The first rule that applies is counted."""
MEMORY = 2 << 30
"""Maximum address space of the subprocess, bytes. The published files need less than half of it."""
SECONDS, BYTES_PER_SECOND = 10, 50_000
"""Time limit of the subprocess for any file, and size for which it gets another second. The published files
take a tenth of that."""
_DAYS_BEFORE_PYTHON = 366
"""MATLAB's day 1 is 1 January of the year 0, Python's is 1 January of the year 1."""


def find(folder: Path) -> list[Path]:
    """Find ``imdb.mat`` and ``wiki.mat`` in a folder, or in an archive that was unpacked there.

    Raises:
        UsageError: neither exists.
    """
    places = [[folder / form.format(name) for form in FOLDERS] for name in SETS]
    found = [next(filter(Path.is_file, paths), None) for paths in places]
    there = [path for path in found if path is not None]
    if not there:
        raise UsageError(
            f"neither imdb.mat nor wiki.mat is in {folder.absolute()}, imdb_crop/ or wiki_crop/ below it: "
            "give the path, such as photos/imdb_crop/imdb.mat"
        )
    return there


def csv_of(mat: Path) -> Path:
    """Return the path of the CSV file with the cleaned labels of a .mat file, in the same folder.

    It is written if it does not exist or is older than the .mat file.

    Raises:
        UsageError: the .mat file cannot be read.
        OutputError: the CSV file cannot be written.
    """
    out = mat.with_suffix(".arcage.csv")
    try:
        if out.is_file() and out.stat().st_mtime >= mat.stat().st_mtime:
            return out
    except OSError as error:
        raise UsageError(f"cannot read {mat}: {reason(error)}") from None
    if os.path.isdir(mat.parent) and not os.access(mat.parent, os.W_OK):
        raise UsageError(
            f"{mat.parent} is read-only: write the labels to another folder with `arcage data clean {mat}`, "
            "and use that file"
        )
    clean(mat, out)
    return out


def check_labels_file(out: Path) -> None:
    """Check whether :func:`clean` may write ``out``.

    Raises:
        UsageError: the name does not end in ``.csv``, or arcage did not write the existing file.
    """
    check_csv(out, COLUMNS, "the labels")


def clean(mat: Path, out: Path) -> None:
    """Write the entries of ``imdb.mat`` or ``wiki.mat`` as CSV with :data:`COLUMNS`, one line per entry.

    Entries that a rule leaves out have its name in ``left_out`` and no age or gender. The day of a photo is
    unknown: ages are whole years on 1 July of the photo's year.

    Raises:
        UsageError: the .mat file cannot be read.
        OutputError: the CSV file cannot be written.
    """
    try:
        size = mat.stat().st_size
    except OSError as error:
        raise UsageError(f"cannot read {mat}: {reason(error)}") from None
    if not mat.is_file() or size > MAX_FILE_BYTES:
        raise UsageError(f"{mat} is not a file of {MAX_FILE_BYTES:,} bytes or less, as imdb.mat is")
    seconds = SECONDS + size / BYTES_PER_SECOND
    with atomic_write(out) as file:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "arcage.data.imdb_wiki", os.fspath(mat)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "PYTHONUTF8": "1",
                # Each thread reserves address space.
                "OPENBLAS_NUM_THREADS": "1",
            },
        )
        try:
            text, words = child.communicate(timeout=seconds)
        except BaseException as error:
            child.kill()
            child.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise UsageError(f"{mat} is damaged: reading it takes over {seconds:.0f} seconds") from None
            raise
        if child.returncode == UsageError.exit_code:
            raise UsageError(words.decode("utf-8", "replace").strip())
        if child.returncode:
            raise UsageError(f"{mat} is damaged: it cannot be read as a MATLAB file; download it again")
        file.write(text)


def counts(path: Path) -> dict[str, int]:
    """Count the entries of a file that :func:`clean` wrote.

    Returns:
        ``entries``, the number that each of :data:`RULES` left out, ``kept``, and ``gender unknown`` (of
        those kept).

    Raises:
        UsageError: the file is not one of them.
    """
    out = dict.fromkeys(("entries", *RULES, "kept", "gender unknown"), 0)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                out["entries"] += 1
                out[row.get("left_out") or "kept"] += 1
                out["gender unknown"] += not (row.get("left_out") or row.get("gender"))
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise UsageError(
            f"{path} is not as arcage wrote it ({error}): delete it, and it is written again"
        ) from None
    return out


def _load(mat: Path) -> dict[str, Any]:
    """Return the columns of the set in a .mat file, each of shape (entries,)."""
    import numpy as np
    from scipy.io import loadmat

    try:
        found = loadmat(mat, variable_names=SETS, appendmat=False)
        entry = next((found[name] for name in SETS if name in found), None)
        if entry is None or entry.dtype.names is None or entry.size != 1:
            raise UsageError(f"{mat} has no labels of IMDB-WIKI: there is no struct imdb or wiki")
        fields = ("dob", "photo_taken", "full_path", "gender", "name", "face_score", "second_face_score")
        if absent := sorted(set(fields) - set(entry.dtype.names)):
            missing = ", ".join(absent)
            raise UsageError(f"{mat} has no labels of IMDB-WIKI: the fields {missing} are missing")
        columns = {name: np.ravel(entry.ravel()[0][name]) for name in fields}
    except NotImplementedError:
        raise UsageError(
            f"{mat} was saved in MATLAB's format 7.3: use the published file, or save it with -v7"
        ) from None
    except UsageError:
        raise
    except MemoryError:
        raise UsageError(f"{mat} is damaged: reading it needs more than {MEMORY >> 30} GiB") from None
    except Exception as error:  # scipy's reader raises errors of any kind
        raise UsageError(f"{mat} is damaged: it cannot be read as a MATLAB file ({error})") from None
    if len({len(column) for column in columns.values()}) > 1:
        raise UsageError(f"{mat} is damaged: its fields differ in length")
    for name in set(fields) - {"full_path", "name"}:
        if columns[name].dtype.kind not in "iuf":
            raise UsageError(f"{mat} is damaged: {name} is not numeric")
    return columns


def _rows(columns: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    seen: Counter[str] = Counter()
    names = ("full_path", "name", "dob", "photo_taken", "gender", "face_score", "second_face_score")
    for path_, name_, *numbers in zip(*(columns[name].tolist() for name in names), strict=True):
        path, person = _text(path_), _text(name_)
        dob, taken, gender, score, second = map(float, numbers)
        born = _born(dob)
        age = _age(born, taken)
        spelled = unicodedata.normalize("NFC", path)
        seen[spelled] += 1
        rule = (
            "no face" if not math.isfinite(score)
            else "two faces" if not math.isnan(second)
            else "impossible age" if age is None or not 0 <= age <= OLDEST
            else "path twice" if seen[spelled] > 1 or not path
            else ""
        )  # fmt: skip
        # IMDB-WIKI has 1 for male.
        word = {0.0: "female", 1.0: "male"}.get(gender, "")
        yield (
            to_spreadsheet(path or "-"),
            "" if rule else str(age),
            "" if rule else word,
            to_spreadsheet(person),
            rule,
            born.isoformat() if born else "",
            f"{taken:.0f}" if math.isfinite(taken) else "",
            f"{score:.4g}",
            "" if math.isnan(second) else f"{second:.4g}",
        )


def _text(cell: Any) -> str:
    """Return the text in a cell, which is an array of one text or an empty array."""
    while not isinstance(cell, str):
        if not hasattr(cell, "__len__") or not len(cell):
            return ""
        cell = cell[0]
    return cell.strip()


def _born(day: float) -> date | None:
    try:
        return date.fromordinal(int(day) - _DAYS_BEFORE_PYTHON)
    except (ValueError, OverflowError):
        return None


def _age(born: date | None, taken: float) -> int | None:
    if born is None or not math.isfinite(taken):
        return None
    return int(taken) - born.year - ((born.month, born.day) > (7, 1))


def _limit_memory() -> None:
    try:
        import resource  # POSIX only
    except ImportError:
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(
        resource.RLIMIT_AS, (MEMORY if limit == resource.RLIM_INFINITY else min(MEMORY, limit), limit)
    )
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _main(mat: Path) -> int:
    _limit_memory()
    try:
        columns = _load(mat)
        sys.stdout.reconfigure(newline="", errors="backslashreplace")  # type: ignore[union-attr]
        writer = csv_writer(sys.stdout.write)
        writer.writerow(COLUMNS)
        writer.writerows(_rows(columns))
    except ArcageError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
