"""Write the errors of all boosting rounds next to the heads: as JSON, as a plot, and for TensorBoard."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from arcage.errors import OutputError
from arcage.files import atomic_path, atomic_write, make_folder, reason
from arcage.report.plots import png, style

JSON, PNG, EVENTS = "curves.json", "curves.png", "tensorboard"
LOG = "events.out.tfevents.arcage"
"""TensorBoard reads files with ``tfevents`` in their name. The default name contains the host name."""

CurveRows = list[dict[str, Any]]


def write_curves(folder: Path, rows: CurveRows) -> str:
    """Write the curves into a folder of heads, and remove curves of heads that were there before.

    Args:
        rows: from :meth:`arcage.heads.callbacks.LossCurves.rows`; empty if nothing was boosted.

    Returns:
        A note on what is missing because a library is not installed; empty if nothing is.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        for old in (folder / JSON, folder / PNG, *folder.glob(f"{EVENTS}/*/{LOG}")):
            old.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot remove old curves from {folder}: {reason(error)}") from None
    if not rows:
        return ""
    with atomic_write(folder / JSON, "w") as file:
        file.write(json.dumps({"curves": rows}, allow_nan=False) + "\n")
    _write_events(folder / EVENTS, rows)
    try:
        picture = draw_curves(rows)
    except ImportError:
        return f"no {PNG}: it needs matplotlib (pip install 'arcage[report]'); {JSON} has its numbers"
    with atomic_write(folder / PNG) as file:
        file.write(picture)
    return ""


def draw_curves(rows: CurveRows) -> bytes:
    """Draw a PNG with one plot for each boosted model: thin lines for the folds, a thick one for their mean.

    Raises:
        ImportError: matplotlib cannot be loaded.
    """
    with style(dark=False) as colours:
        from matplotlib.figure import Figure

        across = min(2, len(rows))
        down = -(-len(rows) // across)
        figure = Figure(figsize=(5.4 * across, 3.6 * down), dpi=120)
        places = figure.subplots(down, across, squeeze=False).flat
        for axes, row in zip(places, rows, strict=False):
            for number, fold in enumerate(row["folds"]):
                label = None if number else "held-out faces of one fold"
                axes.plot(row["rounds"], fold, color=colours.first, alpha=0.35, linewidth=0.9, label=label)
            axes.plot(row["rounds"], row["mean"], color=colours.second, linewidth=1.8, label="mean")
            axes.set(title=f"{row['attribute']}: {row['stage']}", xlabel="boosting round", ylabel=row["loss"])
        for axes in list(figure.axes)[len(rows) :]:
            axes.remove()
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
        return png(figure)


def _write_events(folder: Path, rows: CurveRows) -> None:
    """Write event logs, a run for each fold and one for the mean; nothing without tensorboardX."""
    try:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import RecordWriter
        from tensorboardX.summary import scalar
    except ImportError:
        return
    now = time.time()
    for run in ("mean", *(f"fold-{number}" for number in range(1, 1 + max(len(r["folds"]) for r in rows)))):
        make_folder(folder / run)
        with atomic_path(folder / run / LOG) as log:
            writer = RecordWriter(str(log))
            writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
            for row in rows:
                errors = row["mean"] if run == "mean" else row["folds"][int(run.removeprefix("fold-")) - 1]
                tag = f"{row['attribute']}/{row['stage']}".replace(" ", "-")
                for step, error in zip(row["rounds"], errors, strict=True):
                    event = Event(wall_time=now, step=step, summary=scalar(tag, error))
                    writer.write(event.SerializeToString())
            writer.close()
