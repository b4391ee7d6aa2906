"""The arithmetic of docs/guide/scaling.md, checked by hand."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks" / "speed"
COMMANDS = {"images_per_second": "made up"}


@pytest.fixture
def billion(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("billion")


def test_machines_and_hours(billion: Any) -> None:
    rates = billion.Rates(10, 2, 2.0, 1000, 100, COMMANDS)
    lines = billion.work(rates, 36e6, 20, [1, 10], 3.0)
    # 20 cores process 100 images a second, 360,000 an hour; 36 million take 100 hours.
    assert "36 GB are read, 7.2 GB of cache" in lines[0]
    assert [line for line in lines if line.startswith("| 1")] == [
        "| 1 | 100.0 | 100 kB a second | 300 | 8.33 |",
        "| 10 | 10.0 | 1 MB a second | 300 | 8.33 |",
    ]
    assert not any("cost" in line for line in billion.work(rates, 36e6, 20, [1], None))


def test_sizes_and_durations(billion: Any) -> None:
    assert [billion.size(n) for n in (9, 1500, 48e9, 2.13e12)] == ["9 B", "1.5 kB", "48 GB", "2.1 TB"]
    assert [billion.duration(n) for n in (0.5, 90, 600, 36000)] == ["0.5 s", "90 s", "10 min", "10 h"]


def test_what_a_reader_needs(billion: Any) -> None:
    reader = billion.measure(4000)
    # At least a SHA-256, a shard and a row per image; building the index takes more.
    assert 36 <= reader.index_bytes < 200
    assert reader.index_bytes < reader.index_peak_bytes
    assert 32 + 16 + 40 <= reader.table_bytes < reader.table_peak_bytes
    assert 32 <= reader.names_bytes < reader.names_peak_bytes
    lines = billion.limits(reader, 1e7)
    assert "| files, local / Ray | 1,465 / 2,930 | 14,648 / 29,297 |" in lines
    assert {line.count("|") for line in lines[2:]} == {4}


def test_the_page_is_refreshed(tmp_path: Path) -> None:
    page = tmp_path / "scaling.md"
    page.write_bytes((ROOT / "docs" / "guide" / "scaling.md").read_bytes())
    rates = {**json.loads((FOLDER / "rates.json").read_text()), "images_per_second": 76}
    (tmp_path / "rates.json").write_text(json.dumps(rates))
    command = [sys.executable, str(FOLDER / "billion.py"), str(tmp_path / "rates.json"), "--into", str(page)]
    subprocess.run(command, check=True, timeout=120)
    before, after = (ROOT / "docs" / "guide" / "scaling.md").read_text("utf-8"), page.read_text("utf-8")
    assert "Measured: 76 images a second" in after
    outside = re.compile("<!-- billion.py -->.*<!-- end of billion.py -->", re.DOTALL)
    assert outside.sub("", after) == outside.sub("", before)
