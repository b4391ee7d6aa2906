"""The threshold of a decision that accepts at most a given share of some faces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from arcage.evaluation.bootstrap import FEWEST, percentile_ends, resamples
from arcage.types import F64, Array

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdSearch:
    """The search for the lowest threshold of a grid that accepts at most a share of some faces.

    A face is accepted if its score is at least the threshold.
    """

    target: float
    """The share."""
    grid: F64
    """Increasing thresholds, shape (g,)."""
    few: Array
    many: Array
    """Rows of the faces of which few must be accepted, and of those of which many should be, in decreasing
    order of the score."""
    accepted_few: Array
    accepted_many: Array
    """How many of them each threshold accepts, shape (g,)."""

    @classmethod
    def make(cls, target: float, grid: F64, score: F64, few: Array, many: Array) -> ThresholdSearch:
        """Prepare a search.

        Args:
            target: see the class.
            grid: see the class.
            score: of all n faces, shape (n,).
            few, many: see the class; in any order.
        """
        rows = [part[np.argsort(-score[part], kind="stable")] for part in (few, many)]
        # A threshold accepts the first faces of each part.
        accepted = [np.searchsorted(-score[part], -grid, side="right") for part in rows]
        return cls(target, grid, *rows, *accepted)

    def solve(self, times: F64) -> tuple[Array, F64]:
        """Find the threshold in samples of the faces.

        Args:
            times: how often each face is drawn, shape (samples, n).

        Returns:
            The index of the threshold in the grid, shape (samples,), or that after the last if none is high
            enough; and the share of the ``many`` that it does not accept.
        """
        shares = []
        for rows, accepted in ((self.few, self.accepted_few), (self.many, self.accepted_many)):
            total = np.zeros((len(times), len(rows) + 1))
            np.cumsum(times[:, rows], axis=1, out=total[:, 1:])
            shares.append(total[:, accepted] / np.maximum(total[:, -1:], 1))
        enough = np.column_stack([shares[0] <= self.target + 1e-9, np.ones(len(times), bool)])
        at = np.argmax(enough, axis=1)
        kept = np.column_stack([shares[1], np.zeros(len(times))])
        return at, 1 - kept[np.arange(len(times)), at]


def search_intervals(
    searches: Mapping[Key, ThresholdSearch], count: int, persons: Array | None, *, seed: int = 0
) -> dict[Key, list[list[float]]]:
    """Return the bootstrap intervals of the threshold, and of the share that it does not accept.

    All faces are resampled together, for all searches at once.

    Args:
        searches: of the same faces.
        count: number of faces.
        persons: shape (count,), a number for each face's person; None if each face shows another person.

    Returns:
        Two intervals for each search; nothing for fewer than :data:`~arcage.evaluation.bootstrap.FEWEST`
        persons. The last threshold of the grid stands for any that is higher.
    """
    names, person = np.unique(np.arange(count) if persons is None else persons, return_inverse=True)
    if not searches or len(names) < FEWEST:
        return {}
    drawn: dict[Key, list[F64]] = {key: [] for key in searches}
    for samples in resamples(len(names), seed=seed):
        times = samples if persons is None else samples[:, person]
        for key, search in searches.items():
            at, missed = search.solve(times)
            threshold = search.grid[np.minimum(at, len(search.grid) - 1)]
            drawn[key].append(np.stack([threshold, missed], axis=1))
    return {key: percentile_ends(np.concatenate(values)).tolist() for key, values in drawn.items()}
