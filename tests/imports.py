"""Packages that ``arcage --help`` must not import, because they are slow to load."""

from __future__ import annotations

HEAVY = {
    "numpy",
    "cv2",
    "openvino",
    "onnxruntime",
    "pyarrow",
    "sklearn",
    "scipy",
    "pandas",
    "lightgbm",
    "rich",
}
