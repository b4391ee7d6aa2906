"""Starting Python processes; the tests of arcage.process.cell and calls start real ones."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from arcage.process import child
from arcage.process.child import ending


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX: signals")
def test_endings() -> None:
    assert ending(3) == "ended with exit code 3"
    assert ending(-signal.SIGKILL) == "was killed, probably because memory ran out"
    assert ending(-signal.SIGABRT) == "crashed (SIGABRT)"
    assert ending(-200) == "ended with exit code -200"


def test_arcage_is_always_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = str(Path(child.__file__).absolute().parents[2])
    monkeypatch.setattr(sys, "path", ["", str(tmp_path)])
    assert child._import_path() == [str(tmp_path), root]
    monkeypatch.chdir(tmp_path)
    assert child._import_path() == [root]
    # Even if it is the working directory.
    monkeypatch.setattr(sys, "path", ["", root])
    monkeypatch.chdir(root)
    assert child._import_path() == [root]
