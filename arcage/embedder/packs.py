"""Model packs: which files, from where, under which licence. A pack is data, apart from what runs it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arcage.errors import ModelError
from arcage.files import atomic_write, verified_bytes

BUNDLED = Path(__file__).parent / "models"
DEFAULT = "compact"
"""The pack inside the wheel."""
BUNDLED_REMEDY = "reinstall arcage: pip install --force-reinstall --no-deps arcage"
LOCK = "sha256.json"
"""In the folder of a pack that `arcage models fetch` downloaded: the SHA-256 of every file."""


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """One ONNX file of a pack."""

    name: str
    file: str
    sha256: str
    kind: str
    """``yunet`` or ``scrfd`` (detectors); ``descriptor`` (faces in, descriptors out, as built by
    arcage); ``arcface`` (an embedder as published: levels are found when it is loaded)."""
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
        return verified_bytes(self.folder / record.file, record.sha256, hint=self._remedy)

    @property
    def _remedy(self) -> str:
        if self.folder == BUNDLED:
            return BUNDLED_REMEDY
        return "put the pack's files there again"


def bundled() -> Pack:
    """The pack inside the wheel.

    Raises:
        ModelError: its record is missing or damaged.
    """
    path = BUNDLED / "pack.json"
    try:
        record = json.loads(path.read_text("utf-8"))
        models = [_model(m) for m in record["models"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"cannot read {path} ({error}); {BUNDLED_REMEDY}") from error
    return Pack(DEFAULT, BUNDLED, models[0], tuple(models[1:]), research_only=False)


def write_record(pack: Pack) -> str:
    """The text of a ``pack.json``, for the script that builds the bundled pack."""
    return json.dumps({"name": pack.name, "models": [asdict(m) for m in pack.models]}, indent=2) + "\n"


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
    return ModelRecord(**{**fields, "levels": tuple(fields["levels"])})
