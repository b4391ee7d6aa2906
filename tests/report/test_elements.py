"""Elements of report pages."""

from __future__ import annotations

from dataclasses import fields

from arcage.data.notes import Counts
from arcage.report.elements import COUNTS


def test_every_count_has_a_description() -> None:
    assert set(COUNTS) == {field.name for field in fields(Counts)}
