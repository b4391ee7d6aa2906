"""Run a face detector on batches of canvases."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from arcage.embedder.candidates import Candidates, check_finite, checked_candidates, joined
from arcage.embedder.detector_graph import BEST, VALUES
from arcage.embedder.engines.base import Engine, Network, batch_axis, batch_sizes, run_batches
from arcage.embedder.engines.once import OncePerKey
from arcage.errors import ModelError
from arcage.types import F32, U8, Array

DecodeCells = Callable[[F32, F32, F32], tuple[F32, F32]]
"""Returns boxes, (n, 4), and landmarks, (n, 5, 2), in pixels. Takes the values of cells, (n, 14), their
columns and rows, (n, 2), and their strides, (n, 1)."""

_LARGE = 640 * 640
"""Canvases with more pixels may be searched with fewer bits: they take most of the time of a photo, their
faces are small, and the landmarks are refined on smaller canvases."""
_BEST = ("scores", "cells", "values", "total")
_ALL = ("all_scores", "all_values", "total")


@dataclass(frozen=True, slots=True)
class DetectorForm:
    """What is the same for all detectors of one kind."""

    strides: tuple[int, ...]
    """Pixels of the canvas per cell, one for each scale of the network, finest first."""
    anchors: int
    """Rows of the outputs for each cell."""
    decode: DecodeCells


@dataclass(frozen=True, slots=True)
class _Sized:
    """The network for one size of canvas, and what its rows refer to."""

    network: Network
    cells: F32
    strides: F32


class GraphDetector:
    """A face detector whose networks :func:`~arcage.embedder.detector_graph.detector_graph` built.

    The networks are compiled for each size of canvas on first use.

    Args:
        engine: what runs the networks.
        plain: ONNX file of the network without mirror images, bytes.
        mirrored: of the one with them.
        form: of the detector.
        trusted: whether the model is part of arcage, as in :meth:`Engine.load`.
    """

    def __init__(
        self, engine: Engine, plain: bytes, mirrored: bytes, form: DetectorForm, *, trusted: bool
    ) -> None:
        self._engine = engine
        self._models = {False: plain, True: mirrored}
        self._form = form
        self._trusted = trusted
        self._sizes = OncePerKey(self._load)

    def candidates(self, canvases: U8, threshold: float, *, mirrored: bool = False) -> Candidates:
        """Return the candidates before non-maximum suppression, in pixels of their canvas.

        Args:
            canvases: shape (n, height, width, 3), uint8, RGB. Both are 160 or more.
            threshold: minimum score, more than 0 to 1.
            mirrored: search the mirror image of each canvas as well. It is picture n + i for canvas i. Small
                faces, which only the finest scale of the network finds, are left out.

        Raises:
            ModelError: the network does not accept canvases of this size, or returns something else.
        """
        if not len(canvases):
            return joined([])
        padded = _padded(canvases, self._form.strides[-1])
        sized = self._sizes[padded.shape[1], padded.shape[2], mirrored]
        sizes = batch_sizes(self._engine.detector_batches, padded.shape[1] * padded.shape[2])

        def search(start: int, count: int, batch: U8) -> Candidates:
            numbers = np.arange(start, start + count)
            if mirrored:
                # The mirror images of padding follow those of the canvases.
                numbers = np.concatenate([numbers, len(canvases) + numbers])
            return self._search(sized, batch, count, threshold, mirrored).numbered(numbers)

        return joined(run_batches(padded, sizes, search))

    def _search(
        self, sized: _Sized, canvases: U8, count: int, threshold: float, mirrored: bool
    ) -> Candidates:
        """Return the candidates of the first ``count`` canvases of a batch, and of their mirror images."""
        rows = len(canvases) * (1 + mirrored)
        used = np.arange(count)
        if mirrored:
            used = np.concatenate([used, len(canvases) + used])
        every_cell = mirrored
        out = sized.network(canvases, _ALL if every_cell else _BEST)
        check_finite(_output(out, "total", rows, (1,))[used])
        if not every_cell:
            scores = _output(out, "scores", rows, (BEST,))[used]
            if not scores[:, -1].max(initial=0) < threshold:  # a crowd
                every_cell = True
                out = sized.network(canvases, _ALL)
        if every_cell:
            count_of_cells = len(sized.cells)
            scores = _output(out, "all_scores", rows, (count_of_cells,))[used]
            picture, cells = np.nonzero(scores >= threshold)
            values = _output(out, "all_values", rows, (count_of_cells, VALUES))[used[picture], cells]
            scores = scores[picture, cells]
        else:
            picture, at = np.nonzero(scores >= threshold)
            cells = _output(out, "cells", rows, (BEST,))[used][picture, at]
            values = _output(out, "values", rows, (BEST, VALUES))[used[picture], at]
            scores = scores[picture, at]
        if cells.max(initial=0) >= len(sized.cells):
            raise _other_outputs()
        boxes, landmarks = self._form.decode(values, sized.cells[cells], sized.strides[cells])
        return checked_candidates(Candidates(boxes, landmarks, scores, picture.astype(np.intp)))

    def _load(self, size: tuple[int, int, bool]) -> _Sized:
        height, width, mirrored = size
        network = self._engine.load(
            self._models[mirrored],
            (batch_axis(self._engine.detector_batches), height, width, 3),
            reduced_precision=height * width > _LARGE,
            trusted=self._trusted,
        )
        # The network with mirror images leaves out the finest scale.
        return _Sized(network, *_cells(height, width, self._form.strides[mirrored:], self._form.anchors))


def _output(out: Mapping[str, Array], name: str, rows: int, shape: tuple[int, ...]) -> Array:
    """Return an output after checking its shape, (rows, *shape).

    Raises:
        ModelError: it is missing, or has another shape.
    """
    values = out.get(name)
    if values is None or values.shape != (rows, *shape):
        raise _other_outputs()
    return values


def _other_outputs() -> ModelError:
    return ModelError(
        "the face detector returns other outputs than its kind does: it does not match its record"
    )


def _padded(canvases: U8, stride: int) -> U8:
    """Return the canvases, with black at the right and below if the stride does not divide their size."""
    n, height, width, _ = canvases.shape
    rows, columns = (math.ceil(side / stride) * stride for side in (height, width))
    if (rows, columns) == (height, width):
        return canvases
    padded = np.zeros((n, rows, columns, 3), np.uint8)
    padded[:, :height, :width] = canvases
    return padded


def _cells(height: int, width: int, scales: tuple[int, ...], anchors: int) -> tuple[F32, F32]:
    """Return the cell of each row of the outputs: column and row, (rows, 2), and stride, (rows, 1)."""
    cells, strides = [], []
    for stride in scales:
        count, across = height // stride * (width // stride), width // stride
        rows, columns = np.divmod(np.arange(count), across)
        cells.append(np.repeat(np.stack([columns, rows], axis=1), anchors, axis=0))
        strides.append(np.full((count * anchors, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)
