"""Format the effects of sampling options."""

from __future__ import annotations

from typing import Any

from arcage.evaluation.comparison import as_text, verdicts
from arcage.text import counted


def sampling_text(sampling: dict[str, Any], *, tables: bool = True) -> str:
    """Format which faces a fit left out, and the effect of each sampling option.

    Args:
        sampling: ``sampling`` of the heads' manifest.
        tables: include the tables of the comparisons with fits without the option.
    """
    lines = []
    if sampling["ages"]:
        low, high = sampling["ages"]
        outside = f"outside the ages {low} to {high}"
        lines.append(
            f"{counted(sampling['outside'], f'face {outside} is', f'faces {outside} are')} left out of the "
            "fit and of the metrics: MAE is not comparable with that of all ages"
        )
    if sampling["per_age"]:
        thinned = counted(sampling["thinned"], "face of a frequent age is", "faces of frequent ages are")
        lines.append(f"{thinned} not fitted on, but included in the metrics")
    parts = ["\n".join(lines)] if lines else []
    names = ("without", "with")
    for option, effect in sampling["effects"].items():
        compared = [as_text(effect, names)] if tables else [f"  {line}" for line in verdicts(effect, names)]
        parts.append("\n".join([f"{option}, without and with it:", *compared]))
    return "\n\n".join(parts)
