"""Predictions as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from arcage.output.rows import COLUMNS, DECIMALS, more_values, values
from arcage.types import Prediction

if TYPE_CHECKING:
    import pandas


def to_frame(rows: Iterable[Prediction], more: Sequence[str] = ()) -> pandas.DataFrame:
    """Return rows as a DataFrame, one row per face, with full precision.

    The data types do not depend on the rows, so that frames can be concatenated: numbers are float64 with NaN
    for missing values, ``faces`` is int64, ``face`` is Int64 with NA, and texts are objects with None.

    Args:
        rows: of one or more images.
        more: names of additional columns, such as ``p_under_18``.
    """
    import pandas as pd  # takes a while

    types = {
        **dict.fromkeys(COLUMNS, "object"),
        **dict.fromkeys((*DECIMALS, *more), "float64"),
        "face": "Int64",
        "faces": "int64",
    }
    table = [(*values(row), *more_values(row, more)) for row in rows]
    columns = zip(*table, strict=True) if table else ((),) * len(types)
    return pd.DataFrame(
        {
            name: pd.Series(list(column), dtype=kind)
            for (name, kind), column in zip(types.items(), columns, strict=True)
        }
    )
