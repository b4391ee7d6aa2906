"""Resolve arcage and each of its extras with uv, and fail if a set is broken.

Broken: two ONNX Runtime wheels, or two OpenCV wheels (each pair shares one import folder, and the later one
overwrites the earlier), or no engine at all. Nothing is installed. Run from the repository root.
"""

from __future__ import annotations

import subprocess
import sys

EXTRAS = (
    "",
    "gpu",
    "insightface",
    "app",
    "gpu,insightface,app",
    "report",
    "tensorboard",
    "onnx",
    "remote",
    "ray",
    "formats",
    "test",
)


def main() -> None:
    failed = False
    for extras in EXTRAS:
        names = resolve(extras)
        runtimes = [n for n in names if n.startswith("onnxruntime")]
        opencvs = [n for n in names if n.startswith("opencv")]
        broken = len(runtimes) > 1 or len(opencvs) != 1 or "openvino" not in names
        failed |= broken
        print(
            f"arcage[{extras}]: {len(names)} packages, engines openvino {' '.join(runtimes)}, "
            + " ".join(opencvs)
            + (" BROKEN" if broken else "")
        )
    if failed:
        raise SystemExit(1)


def resolve(extras: str) -> list[str]:
    """Names of all packages that would be installed into an empty environment."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    for extra in filter(None, extras.split(",")):
        command += ["--extra", extra]
    done = subprocess.run([*command, "pyproject.toml"], check=True, stdout=subprocess.PIPE, text=True)
    return [line.split("==")[0] for line in done.stdout.split("\n") if "==" in line]


if __name__ == "__main__":
    main()
