"""The page about pandas: its code runs from the top to the bottom, and prints what the page shows."""

from __future__ import annotations

import csv
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from arcage.output.formats import write_file
from arcage.output.rows import COLUMNS
from arcage.types import Prediction

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "guide" / "pandas-excel.md"
SAMPLE = ROOT / "examples" / "fairface.csv"
WHOLE = {"face", "faces"}
TEXT = {"path", "gender", "status", "error"}

pytest.importorskip("pandas")
pytest.importorskip("openpyxl")


def sample() -> list[Prediction]:
    """Return the rows of the example file."""

    def value(name: str, cell: str) -> Any:
        return None if cell == "" else cell if name in TEXT else int(cell) if name in WHOLE else float(cell)

    rows = []
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            values = {name: value(name, cell) for name, cell in line.items()}
            rows.append(Prediction(*(values.pop(name) for name in COLUMNS), more=values))
    return rows


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the example in every format."""
    monkeypatch.chdir(tmp_path)
    for suffix in ("csv", "parquet", "json", "jsonl", "xlsx"):
        with write_file(Path(f"faces.{suffix}"), more=["p_under_18"]) as write:
            write(sample())
    return tmp_path


def test_the_example_is_an_output_of_arcage(folder: Path) -> None:
    assert Path("faces.csv").read_bytes() == SAMPLE.read_bytes()


def test_the_code_prints_what_is_shown(folder: Path) -> None:
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```(python|text)\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    printed = shown = ""
    for language, text in blocks:
        if language == "text":
            shown += text
            assert printed == shown
        else:
            out = StringIO()
            with redirect_stdout(out):
                exec(compile(text, str(PAGE), "exec"), names)
            printed += out.getvalue()
    assert printed == shown


def test_all_formats_have_the_same_values(folder: Path) -> None:
    import pandas as pd

    backend: dict[str, Any] = {"dtype_backend": "numpy_nullable"}
    expected = pd.read_csv("faces.csv", **backend)
    for read in (
        pd.read_json("faces.json", **backend),
        pd.read_json("faces.jsonl", lines=True, **backend),
        pd.read_excel("faces.xlsx", **backend),
        pd.read_parquet("faces.parquet", **backend).round(6),
    ):
        pd.testing.assert_frame_equal(read, expected, check_dtype=False)


def test_the_corrected_rows_are_labels(folder: Path) -> None:
    from arcage.data.tables import read_table

    test_the_code_prints_what_is_shown(folder)
    labels = read_table(folder / "corrected.csv").labels
    assert 10 < len(labels) < 200
    (corrected,) = (label for place, label in labels.items() if place.path.endswith("_0022.jpg"))
    assert corrected.age == 45
