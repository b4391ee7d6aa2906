"""Extractors for actors of Ray, which import them by name: they report what they were given, or fail."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fakes import FakeExtractor

from arcage.embedder.engines.base import cores
from arcage.errors import CacheError

DEADLY = b"deadly"


class Reporting(FakeExtractor):
    """Writes what each process that extracts was given to a folder. Its GPUs work, unless there is a note."""

    def __init__(self, device: str, folder: Path, note: str = "") -> None:
        super().__init__(device=device)
        self.folder = folder
        self.note = note

    @property
    def engine(self) -> Any:
        device = "cpu" if self.note else "cuda"
        return SimpleNamespace(device=device if self.device == "auto" else self.device, note=self.note)

    def stream(self, images: Iterable[Any], lookup: Any = None, **more: Any) -> Generator[Any]:
        import ray

        given = {
            "device": self.device,
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
            "cores": cores(),
            "machine": ray.get_runtime_context().get_node_id(),
        }
        (self.folder / f"{os.getpid()}.json").write_text(json.dumps(given))
        yield from super().stream(images, lookup, **more)


class Full(FakeExtractor):
    """Fails as on a full disk."""

    def stream(self, images: Iterable[Any], lookup: Any = None, **more: Any) -> Generator[Any]:
        raise CacheError("the disk is full; free some space")


class Deadly(FakeExtractor):
    """Ends its process when it reads some images."""

    def _one(self, read: Any, lookup: Any) -> Any:
        if read() == DEADLY:
            os._exit(1)
        return super()._one(read, lookup)
