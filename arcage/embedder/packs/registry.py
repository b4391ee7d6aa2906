"""The model packs that can be downloaded: names, addresses, sizes, licences and SHA-256.

arcage bundles none of them: their weights are for non-commercial research only.
"""

from __future__ import annotations

from dataclasses import dataclass

LICENCE = "non-commercial research only (InsightFace's terms for its weights; its code is MIT)"
"""Licence of the weights of all InsightFace packs."""
SOURCE = "https://github.com/deepinsight/insightface/tree/master/model_zoo"
"""Publisher of all InsightFace packs."""
RELEASE = "https://github.com/deepinsight/insightface/releases/download/model-zoo"
"""Folder of the zip files, from ``insightface/utils/storage.py`` in version 2.1 on PyPI."""


@dataclass(frozen=True, slots=True)
class PublishedPack:
    """A zip file with a pack's ONNX files."""

    name: str
    megabytes: int
    """Approximate size of the zip file, as listed by a mirror of the release."""
    sha256: str = ""
    """Of the zip file; empty if it is unknown, so that the first download is trusted and recorded."""
    licence: str = LICENCE

    def __str__(self) -> str:
        return f"{self.name} ({self.megabytes} MB)"

    @property
    def file(self) -> str:
        """Name of the zip file."""
        return f"{self.name}.zip"

    @property
    def url(self) -> str:
        """Address of the zip file."""
        return f"{RELEASE}/{self.file}"


PUBLISHED = {
    pack.name: pack
    for pack in (
        PublishedPack("antelopev2", 361),
        PublishedPack("buffalo_l", 289),
        PublishedPack("buffalo_m", 276),
        PublishedPack("buffalo_s", 128),
        PublishedPack("buffalo_sc", 15),
    )
}
"""By name."""
