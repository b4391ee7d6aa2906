"""The memory of a mapped file, on Linux."""

from __future__ import annotations

import re
from pathlib import Path


def mapped_memory(path: Path) -> dict[str, int]:
    """Return the fields of ``/proc/self/smaps`` for the mappings of a file, in kB."""
    total: dict[str, int] = {}
    for mapping in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        first, *lines = mapping.split("\n")
        if first.endswith(str(path)):
            for name, size in re.findall(r"^(\w+): +(\d+) kB", "\n".join(lines), re.MULTILINE):
                total[name] = total.get(name, 0) + int(size)
    return total
