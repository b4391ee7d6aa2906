"""Label tables in CSV, JSON lines and Parquet, and exports of annotation tools."""

from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from arcage.data.labels import HELD_OUT, OLDEST, TRAIN
from arcage.data.tables import read_table
from tools.fuzz.campaign import Case, SilentChange, Verdict
from tools.fuzz.mutate import mutate

_COLUMNS: dict[str, list[Any]] = {
    "path": ["a.jpg", "b c.png", "größe/ü.jpg", "x" * 300, '"', "a,b;c\td.jpg"],
    "age": [30, 4.5, None, 120, 0, 60],
    "gender": ["f", "male", "", "0", "W", "Man"],
    "person": ["Ada", "1_23", "", "-5", "=1+1", "Bo"],
    "group": ["one", "two", "", "", "é", "x"],
    "weight": [1, 0.5, None, 3e-5, 1, 1],
    "split": ["train", "test", "", "val", "dev", "train"],
    "face": [0, 1, 2, 0, None, 5],
    "note": ["x" * 500] * 6,
}
_TYPES: list[Any] = [
    *(pa.int8(), pa.int64(), pa.uint64(), pa.float16(), pa.float64(), pa.string(), pa.large_string()),
    *(pa.binary(), pa.date32(), pa.date64(), pa.timestamp("ns"), pa.timestamp("us", "Mars/Olympus")),
    *(pa.time64("ns"), pa.duration("s"), pa.decimal128(38, 5), pa.bool_(), pa.null(), pa.binary(8)),
    *(pa.list_(pa.int8()), pa.struct({"a": pa.int8()}), pa.map_(pa.string(), pa.int8())),
]


_EXPORTS = Path(__file__).parents[3] / "tests" / "data" / "exports"


class Labels:
    """A table that is damaged, or in Parquet one with a column of any type."""

    name = "labels"

    def prepare(self, folder: Path) -> None:
        self._folder = folder
        names = list(_COLUMNS)
        rows = list(zip(*_COLUMNS.values(), strict=True))
        cells = [["" if cell is None else str(cell).replace('"', '""') for cell in row] for row in rows]
        self._seeds: list[tuple[str, bytes]] = []
        for separator in ",;\t":
            lines = [separator.join(names), *(separator.join(f'"{cell}"' for cell in row) for row in cells)]
            self._seeds.append(("csv", "\r\n".join(lines).encode("utf-8-sig")))
        lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
        self._seeds.append(("jsonl", "\n".join(lines).encode()))
        for name in ("label-studio.json", "label-studio-min.json", "cvat-coco.json", "label-studio.csv"):
            data = (_EXPORTS / name).read_bytes()
            self._seeds.append((name.split(".")[1], data))
        for compression in ("none", "snappy", "zstd", "gzip"):
            self._seeds.append(("parquet", _parquet(pa.table(_COLUMNS), compression)))

    def case(self, rng: np.random.Generator) -> Case:
        if rng.integers(5) == 0:
            kind = _TYPES[int(rng.integers(len(_TYPES)))]
            name = ["path", "age", "gender", "person", "weight"][int(rng.integers(5))]
            data = _parquet(_with_column(rng, name, kind), "snappy")
            return Case(data, about=f"{name} as {kind}", truth="parquet")
        suffix, seed = self._seeds[int(rng.integers(len(self._seeds)))]
        others = [data for other, data in self._seeds if other == suffix]
        return Case(mutate(rng, seed, others), about=suffix, truth=suffix)

    def run(self, case: Case) -> Verdict:
        path = self._folder / f"labels.{case.truth}"
        path.write_bytes(case.data)
        for label in read_table(path).labels.values():
            if not (math.isnan(label.age) or 0 <= label.age <= OLDEST):
                raise SilentChange(f"the age {label.age}")
            if not math.isnan(label.gender) and label.gender not in (0, 1):
                raise SilentChange(f"the gender {label.gender}")
            if label.weight < 0 or label.split not in ("", TRAIN, HELD_OUT):
                raise SilentChange(f"{label}")
        return "answered"


def _parquet(table: pa.Table, compression: str) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression=compression)
    return out.getvalue()


def _with_column(rng: np.random.Generator, name: str, kind: pa.DataType) -> pa.Table:
    """Return a table in which a column has a type and random values."""
    if pa.types.is_nested(kind):
        array = pa.array([None, None], kind)
    elif pa.types.is_null(kind) or pa.types.is_decimal(kind):
        array = pa.nulls(2, kind)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        array = pa.array(["é" * int(rng.integers(1, 40_000)), "\0"], kind)
    elif pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        array = pa.array([rng.bytes(8), rng.bytes(8)], kind)
    else:
        values = np.frombuffer(rng.bytes(16), np.int64)
        width = kind.bit_width
        buffers = [None, pa.py_buffer(values.tobytes()[: max(1, 2 * width // 8)])]
        array = pa.Array.from_buffers(kind, 2, buffers)
    if rng.integers(3) == 0 and not pa.types.is_nested(kind) and not pa.types.is_null(kind):
        with contextlib.suppress(pa.ArrowException):
            array = array.dictionary_encode()
    return pa.table({"path": ["a", "b"], "age": [3, 4], name: array})
