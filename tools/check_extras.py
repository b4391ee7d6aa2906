"""Resolve arcage and each of its extras with uv, and fail if a set is broken.

With the newest versions and with the lowest allowed. Broken: no versions agree; there are two ONNX Runtime
wheels, or two OpenCV wheels (each pair shares one import folder, and the later one overwrites the earlier);
or there is no engine. The base installation must also have wheels for each platform and Python below.
Nothing is installed. Run from the repository root.
"""

from __future__ import annotations

import itertools
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
    "docs",
    "test",
)

PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_40", "aarch64-apple-darwin", "windows")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def main() -> None:
    failed = False
    for extras, lowest in itertools.product(EXTRAS, (False, True)):
        names = resolve(extras, lowest)
        runtimes = [n for n in names if n.startswith("onnxruntime")]
        opencvs = [n for n in names if n.startswith("opencv")]
        broken = len(runtimes) > 1 or len(opencvs) != 1 or "openvino" not in names
        failed |= broken
        which = "lowest" if lowest else "newest"
        found = " ".join(["openvino", *runtimes, *opencvs])
        print(f"arcage[{extras}], {which}: {len(names)} packages, {found}{' BROKEN' if broken else ''}")
    for platform, python in itertools.product(PLATFORMS, PYTHONS):
        only = ("--only-binary", ":all:", "--python-platform", platform, "--python-version", python)
        print(f"arcage, {platform}, Python {python}: {len(resolve('', False, only))} packages, all as wheels")
    if failed:
        raise SystemExit(1)


def resolve(extras: str, lowest: bool, options: tuple[str, ...] = ()) -> list[str]:
    """Names of all packages that would be installed into an empty environment."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    command += ["--resolution", "lowest-direct" if lowest else "highest"]
    for extra in filter(None, extras.split(",")):
        command += ["--extra", extra]
    done = subprocess.run(
        [*command, *options, "pyproject.toml"], check=True, stdout=subprocess.PIPE, text=True
    )
    return [line.split("==")[0] for line in done.stdout.split("\n") if "==" in line]


if __name__ == "__main__":
    main()
