"""Resolve arcage and each of its extras with pip, and fail if a set is broken.

Broken: two ONNX Runtime wheels, or two OpenCV wheels (each pair shares one import folder, and the later one
overwrites the earlier), or no engine at all. Nothing is installed. Run from the repository root.
"""

from __future__ import annotations

import json
import subprocess
import sys

EXTRAS = (
    "",
    "[gpu]",
    "[insightface]",
    "[app]",
    "[gpu,insightface,app]",
    "[report]",
    "[tensorboard]",
    "[onnx]",
    "[remote]",
    "[ray]",
    "[formats]",
    "[test]",
)


def main() -> None:
    failed = False
    for extra in EXTRAS:
        names = resolve(f".{extra}")
        runtimes = [n for n in names if n.startswith("onnxruntime")]
        opencvs = [n for n in names if n.startswith("opencv")]
        broken = len(runtimes) > 1 or len(opencvs) != 1 or "openvino" not in names
        failed |= broken
        print(
            f"arcage{extra}: {len(names)} packages, engines openvino {' '.join(runtimes)}, "
            + " ".join(opencvs)
            + (" BROKEN" if broken else "")
        )
    if failed:
        raise SystemExit(1)


def resolve(requirement: str) -> list[str]:
    """Names of all packages that pip would install into an empty environment."""
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"),
        *("--report", "-", requirement),
    ]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return sorted(item["metadata"]["name"].lower().replace("_", "-") for item in report["install"])


if __name__ == "__main__":
    main()
