"""The requirements of a report."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from arcage.errors import ArcageError, ForeignFileError, OutputError, UsageError
from arcage.report.evaluation_report import check_report_files
from arcage.report.prepare import check_report, missing_thumbnails, prepare


def test_requirements_are_checked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    with pytest.raises(UsageError, match="not a folder"):
        prepare(tmp_path / "new", [tmp_path / "nothing"])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another place"):
        prepare(tmp_path / "file")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    with pytest.raises(ArcageError, match=r"pip install 'arcage\[report\]'") as raised:
        prepare(tmp_path / "new")
    assert raised.value.exit_code == 3
    assert not (tmp_path / "new").exists()


def test_a_report_is_checked_before_any_work(tmp_path: Path) -> None:
    check_report(None, [], check_report_files, overwrite=False)
    with pytest.raises(UsageError, match=r"^`images` is for the report's thumbnails: say with `report` DIR"):
        check_report(None, [tmp_path], check_report_files, overwrite=False)
    with pytest.raises(UsageError, match=r"^`images` .*none is not a folder"):
        check_report(tmp_path / "new", [tmp_path / "none"], check_report_files, overwrite=False)
    check_report(tmp_path / "new", [tmp_path], check_report_files, overwrite=False)
    (tmp_path / "new" / "report.html").write_text("mine")
    with pytest.raises(ForeignFileError):
        check_report(tmp_path / "new", [], check_report_files, overwrite=False)
    check_report(tmp_path / "new", [], check_report_files, overwrite=True)


def test_missing_thumbnails() -> None:
    faces = [
        {"sha256": name, "thumbnail": there} for name, there in (("a", True), ("b", False), ("b", False))
    ]
    assert missing_thumbnails(faces, []) == missing_thumbnails(faces[:1], [Path()]) == ""
    assert missing_thumbnails(faces, [Path()]).startswith(
        "thumbnails missing: 1; `images` must be the folder"
    )
