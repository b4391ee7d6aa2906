"""Which models there are on this machine, for `arcage models list`."""

from __future__ import annotations

from dataclasses import dataclass

from arcage.embedder.insightface import LICENCE, SOURCE, list_insightface
from arcage.embedder.packs import bundled


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model file."""

    pack: str
    """What ``--pack`` takes."""
    model: str
    sha256: str | None
    """None where the file has not been opened: a pack outside the package has no record of its own."""
    dimension: int | None
    """Columns of the descriptor; None for a detector, and where the file has not been opened."""
    licence: str
    research_only: bool
    source: str
    """Who publishes it."""
    path: str


def list_models() -> list[ModelInfo]:
    """The bundled pack's models, and those of the InsightFace packs found on this machine.

    Raises:
        ModelError: the bundled pack's record is missing or damaged.
    """
    pack = bundled()
    infos = [
        ModelInfo(
            pack=pack.name,
            model=model.name,
            sha256=model.sha256,
            dimension=model.dimension,
            licence=model.licence,
            research_only=pack.research_only,
            source=model.source,
            path=str(pack.folder / model.file),
        )
        for model in pack.models
    ]
    for files in list_insightface():
        infos += [
            ModelInfo(
                pack=files.name,
                model=name.removesuffix(".onnx"),
                sha256=None,
                dimension=None,
                licence=LICENCE,
                research_only=True,
                source=SOURCE,
                path=str(files.folder / name),
            )
            for name in files.files
        ]
    return infos
