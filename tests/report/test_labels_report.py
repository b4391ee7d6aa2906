"""The report of `arcage data describe`: its files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from pages import Page

from arcage.errors import ForeignFileError
from arcage.report.labels_report import (
    CSV,
    CSV_COLUMNS,
    HTML,
    JSON,
    check_label_report_files,
    faces_shown,
    write_label_report,
)


def test_the_files(description: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    full = write_label_report(tmp_path, description, labels="labels.csv")
    assert {path.name for path in tmp_path.iterdir()} == {HTML, JSON, CSV}
    assert json.loads((tmp_path / JSON).read_text("utf-8")) == full == {"labels": "labels.csv", **description}
    with (tmp_path / CSV).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    suspicious = description["suspicious"]
    assert [row["kind"] for row in rows] == [kind for kind in ("age", "gender") for _ in suspicious[kind]]
    assert all(tuple(row) == CSV_COLUMNS for row in rows)
    page = Page((tmp_path / HTML).read_text("utf-8"))
    assert page.cards() == len(faces_shown(description))
    # The files may be replaced, those of others may not.
    check_label_report_files(tmp_path)
    (tmp_path / CSV).write_text("a,b\n")
    with pytest.raises(ForeignFileError, match=CSV):
        check_label_report_files(tmp_path)
