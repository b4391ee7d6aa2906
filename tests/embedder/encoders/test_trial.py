"""Encoders that do not work are noticed when they are tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from arcage.embedder.encoders.trial import MAX_ALIKE, pictures, try_encoder
from arcage.errors import ModelError
from arcage.types import F32, Array


def columns(faces: Array) -> F32:
    """Return the means of nine regions of each face."""
    parts = faces[:, :111, :111].reshape(len(faces), 3, 37, 3, 37, 3).mean(axis=(2, 4))
    return (parts.reshape(len(faces), -1) - 127).astype(np.float32)


def network(result: Callable[[Array], Array]) -> Callable[..., Mapping[str, Array]]:
    def run(batch: Array, outputs: Sequence[str] = ()) -> Mapping[str, Array]:
        return {"descriptors": result(batch)}

    return run


def test_the_pictures() -> None:
    assert pictures().shape == (5, 112, 112, 3)
    assert len({picture.tobytes() for picture in pictures()}) == 5


def test_a_good_and_a_blind_network() -> None:
    assert try_encoder(network(columns), 27, 27) < MAX_ALIKE
    assert try_encoder(network(lambda x: columns(x) + 5000), 27, 27) > 0.99


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (lambda x: columns(x) * np.nan, "NaN"),
        (lambda x: columns(x)[:, :5], "NaN"),
        (lambda x: columns(x) * 1e6, "more than arcage can store: check `scale`"),
        (lambda x: columns(x) - columns(x).mean(axis=0), "mixes the images"),
        (lambda x: np.ones((len(x), 27), np.float32), "the same result for every picture"),
    ],
)
def test_what_is_refused(result: Callable[[Array], Array], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        try_encoder(network(result), 27, 27)
