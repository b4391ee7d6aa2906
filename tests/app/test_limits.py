"""The limits, as the documentation states them."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")

from arcage.app.limits import Limits  # noqa: E402
from arcage.images.limits import DecodeLimits  # noqa: E402

DOCS = (
    (Path(__file__).parents[2] / "docs" / "guide" / "server.md").read_text("utf-8").partition("## Limits")[2]
)


def test_the_documentation_states_the_limits() -> None:
    values = {
        name: value.replace(",", "")
        for name, value in re.findall(r"^\|[^|]*\| `(\w+)` \| ([^|]*?) \|", DOCS, re.MULTILINE)
    }
    units = {"MiB": 1 << 20, "GiB": 1 << 30, "million": 1_000_000, "s": 1, "": 1}
    documented = {}
    for name, value in values.items():
        number, _, unit = value.partition(" ")
        documented[name] = int(number) * units[unit]
    assert documented == {"pixels": DecodeLimits().pixels, **asdict(Limits())}
