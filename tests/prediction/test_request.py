"""Requests for a prediction."""

from __future__ import annotations

from pathlib import Path

import pytest

from arcage.errors import UsageError
from arcage.prediction.request import images_or_webcam
from arcage.sources.inputs import Inputs, named_inputs


def test_images_or_a_webcam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    assert images_or_webcam(["in"], None, None, None) == named_inputs(["in"])
    assert images_or_webcam(None, None, None, 2) == Inputs(("webcam-2",))
    for arguments in ((["in"], None, None), (None, "list.txt", None), (None, None, "1/2")):
        with pytest.raises(UsageError, match=r"^`webcam` cannot be combined with paths"):
            images_or_webcam(*arguments, 0)
