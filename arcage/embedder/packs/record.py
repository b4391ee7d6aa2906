"""Model packs: which files, from where, under which licence. A pack is data, apart from what runs it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arcage.errors import ModelError
from arcage.files import atomic_write, verified_bytes

BUNDLED = Path(__file__).parents[1] / "models"
DEFAULT = "compact"
"""The pack inside the wheel."""
BUNDLED_REMEDY = "reinstall arcage: pip install --force-reinstall --no-deps arcage"
RECORD = "pack.json"
"""In the folder of a pack: what its models are. Packs of InsightFace have none."""
DETECTORS, EMBEDDERS = ("yunet", "scrfd"), ("descriptor", "arcface")
LOCK = "sha256.json"
"""In the folder of a pack that `arcage models fetch` downloaded: the SHA-256 of every file."""


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """One ONNX file of a pack."""

    name: str
    file: str
    sha256: str
    kind: str
    """``yunet`` or ``scrfd`` (detectors); ``arcface`` (an embedder as published: levels are found when it is
    loaded); ``descriptor`` (a network with one input, aligned faces, (n, 112, 112, 3) uint8 RGB, and the
    output ``descriptors``, (n, dimension) float32)."""
    licence: str
    source: str
    input: str
    """Shape, type, colour order and range, for people."""
    dimension: int | None = None
    """Columns of the descriptor; None for detectors, and for an embedder before it is loaded."""
    levels: tuple[str, ...] = ()
    """For people: tensor, pooling and columns of each level, as ``t57 mean 128``."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A detector and one or more embedders; their descriptors are joined in this order."""

    name: str
    folder: Path
    detector: ModelRecord
    embedders: tuple[ModelRecord, ...]
    research_only: bool

    @property
    def models(self) -> tuple[ModelRecord, ...]:
        return (self.detector, *self.embedders)

    def read(self, record: ModelRecord) -> bytes:
        """The model's bytes, verified before anything opens them.

        Raises:
            ModelError: the file is missing or damaged.
        """
        return verified_bytes(self.folder / record.file, record.sha256, hint=self.remedy)

    @property
    def remedy(self) -> str:
        """What to do where a file is missing or damaged."""
        if self.folder == BUNDLED:
            return BUNDLED_REMEDY
        return "put the pack's files there again"


def bundled() -> Pack:
    """The pack inside the wheel.

    Raises:
        ModelError: its record is missing or damaged.
    """
    return read_pack(BUNDLED)


def read_pack(folder: Path) -> Pack:
    """The pack that the ``pack.json`` in a folder describes. No model is opened.

    Raises:
        ModelError: the record is missing or damaged.
    """
    path = folder / RECORD
    remedy = BUNDLED_REMEDY if folder == BUNDLED else "CONTRIBUTING.md says what it is to hold"
    try:
        record = json.loads(path.read_text("utf-8"))
        detector, *embedders = (_model(fields) for fields in record["models"])
        name, research_only = str(record["name"]), bool(record.get("research_only", False))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"cannot read {path} ({error}); {remedy}") from error
    if detector.kind not in DETECTORS or not embedders or any(m.kind not in EMBEDDERS for m in embedders):
        raise ModelError(
            f"{path}: a pack is a detector ({' or '.join(DETECTORS)}), then one or more embedders "
            f"({' or '.join(EMBEDDERS)}); {remedy}"
        )
    return Pack(name, folder, detector, tuple(embedders), research_only)


def write_record(pack: Pack) -> str:
    """The text of a ``pack.json``, as :func:`read_pack` reads it."""
    record = {"name": pack.name, "research_only": pack.research_only}
    return json.dumps({**record, "models": [asdict(m) for m in pack.models]}, indent=2) + "\n"


def write_lock(folder: Path, url: str, sha256: str, files: dict[str, str]) -> None:
    """Record what a pack's files are.

    Raises:
        OutputError: it cannot be written.
    """
    record = {"archive": {"url": url, "sha256": sha256}, "files": files}
    with atomic_write(folder / LOCK, "w") as file:
        file.write(json.dumps(record, indent=2) + "\n")


def read_lock(folder: Path) -> dict[str, str] | None:
    """The SHA-256 of a pack's files by their names, None where nobody recorded them.

    Raises:
        ModelError: the record is damaged.
    """
    path = folder / LOCK
    try:
        files = json.loads(path.read_text("utf-8"))["files"]
        return {str(name): str(sha256) for name, sha256 in files.items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"cannot read {path} ({error}); {refetch(folder)}") from error


def refetch(folder: Path) -> str:
    """What to do about a damaged pack that was downloaded."""
    return f"remove {folder} and run `arcage models fetch {folder.name}`"


def _model(fields: dict[str, Any]) -> ModelRecord:
    model = ModelRecord(**{**fields, "levels": tuple(fields.get("levels", ()))})
    # A record may come from anybody: its files are those beside it.
    if Path(model.file).name != model.file:
        raise ValueError(f"{model.file!r} is no name of a file in this folder")
    if model.kind == "descriptor" and not (isinstance(model.dimension, int) and model.dimension > 0):
        raise ValueError(f"{model.name} has no dimension")
    return model
