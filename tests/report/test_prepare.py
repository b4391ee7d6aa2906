"""The requirements of a report."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from arcage.errors import ArcageError, OutputError, UsageError
from arcage.report.prepare import prepare


def test_what_is_asked_for_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
