"""Shared by the speed benchmarks: description of the machine, JSON reports and plots."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "accuracy"))

from protocol import as_text, write_json

from arcage.embedder.engines.base import cores

__all__ = ["as_text", "cores", "machine", "median", "plot", "save"]

PACKAGES = ("arcage", "numpy", "opencv-python-headless", "openvino")


def machine() -> dict[str, Any]:
    """Describe this machine and its load."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")


def median(values: Sequence[float]) -> float:
    return float(statistics.median(values))


def save(out: Path, name: str, report: Mapping[str, Any]) -> None:
    """Write ``name``.json into a folder."""
    write_json(out / f"{name}.json", report)


def plot(
    path: Path,
    title: str,
    unit: str,
    rates: Mapping[str, float],
    shares: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """Plot bars of rates and, below them, the shares of the cores' time.

    Args:
        unit: unit of the rates.
        shares: share of each stage, 0 to 1, by run; the sum is at most 1.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import PercentFormatter

    rows = [len(rates), *([len(shares) + 1] if shares else [])]
    figure, axes = pyplot.subplots(
        len(rows),
        1,
        figsize=(9, 1.2 + 0.55 * sum(rows)),
        height_ratios=rows,
        squeeze=False,
        layout="constrained",
    )
    top = axes[0, 0]
    bars = top.barh(list(rates), list(rates.values()), color="#4477aa")
    top.bar_label(bars, fmt="{:.3g}", padding=3)
    top.set(title=title, xlabel=unit)
    top.invert_yaxis()
    top.margins(x=0.1)
    if shares:
        below = axes[1, 0]
        stages = list(dict.fromkeys(stage for run in shares.values() for stage in run))
        colours = pyplot.get_cmap("tab20").colors
        for i, run in enumerate(shares):
            left = 0.0
            for stage, share in shares[run].items():
                label = stage if i == next(j for j, r in enumerate(shares.values()) if stage in r) else None
                below.barh(run, share, left=left, color=colours[stages.index(stage) % 20], label=label)
                left += share
        below.set(xlabel="share of the time of all cores", xlim=(0, 1))
        below.xaxis.set_major_formatter(PercentFormatter(1))
        below.invert_yaxis()
        figure.legend(fontsize="x-small", ncols=4, loc="outside lower center")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    print(f"written: {path}", file=sys.stderr)
