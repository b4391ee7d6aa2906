"""Add an image encoder of the user's to the model packs."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from arcage.embedder.align import SIDE
from arcage.embedder.encoders.convert import ConvertedEncoder, check_operators, convert_isolated
from arcage.embedder.encoders.image_input import ImageInput, read_input
from arcage.embedder.encoders.pixels import parse_pixels
from arcage.embedder.encoders.read_model import ModelFile, read_model_file
from arcage.embedder.encoders.trial import MAX_ALIKE, try_encoder
from arcage.embedder.engines.choose import make_engine
from arcage.embedder.onnx_model import normalises, parse
from arcage.embedder.packs.insightface import insightface_home
from arcage.embedder.packs.record import (
    BUNDLED_NAME,
    RECORD_FILE,
    ModelRecord,
    Pack,
    bundled_pack,
    read_pack,
    write_record,
)
from arcage.embedder.packs.registry import PUBLISHED
from arcage.errors import ModelError, OutputError, UsageError
from arcage.files import atomic_write, reason, sha256_bytes, temporary_path

_RESEARCH = re.compile(r"non-?\s?commercial|research|\bNC\b", re.IGNORECASE)
"""In the licence of weights that are for research only."""


@dataclass(frozen=True, slots=True)
class EncoderFile:
    """An encoder that was read, and can become the pack ``name``."""

    file: ModelFile
    name: str
    image: ImageInput
    size: int | None
    normalises: bool
    """Whether its graph scales pixels of 0 to 255 itself."""


@dataclass(frozen=True, slots=True)
class AddedPack:
    """A pack that was added."""

    pack: Pack
    warning: str
    """What may be wrong with it; otherwise empty."""

    @property
    def lines(self) -> list[str]:
        """The input, the levels and the size of the descriptor, for a message."""
        encoder = self.pack.embedders[0]
        levels = [f"  {level}" for level in encoder.levels]
        return [
            f"input: {encoder.input}",
            f"levels, with their columns of {encoder.dimension:,}:",
            *levels,
        ]


def open_encoder(path: Path, name: str = "", size: int | None = None) -> EncoderFile:
    """Read an encoder, before anything is asked or written.

    Args:
        path: of the ONNX file.
        name: of the new pack; by default that of the file.
        size: side of the image, pixels, if the graph leaves it open.

    Raises:
        UsageError: the file cannot be read, the name is taken, or ``size`` is missing or wrong.
        ModelError: the file is not an image encoder, or the package onnx is missing.
    """
    name = name or re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).strip("-.")
    _check_name(name)
    file = read_model_file(path)
    try:
        model = parse(file.data)
        check_operators(model)
        image = read_input(model, size)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    return EncoderFile(file, name, image, size, image.dtype == "uint8" or normalises(model))


def add_pack(encoder: EncoderFile, scale: str, licence: str, *, bgr: bool = False) -> AddedPack:
    """Convert an encoder, try it, and write a pack with it and the bundled face detector.

    The pack is written completely or not at all.

    Args:
        encoder: from :func:`open_encoder`.
        scale: as for :func:`~arcage.embedder.encoders.pixels.parse_pixels`.
        licence: of the weights; any text.
        bgr: whether blue is the first channel.

    Raises:
        UsageError: ``scale`` is unknown, there is no licence, or the name is taken.
        ModelError: the network is not an encoder, or does not work.
        OutputError: the pack cannot be written.
    """
    licence = " ".join(licence.split())[:500]
    if not licence:
        raise UsageError("the licence of the weights is missing: give it as `licence`, such as MIT")
    pixels = parse_pixels(scale, bgr=bgr)
    try:
        converted = convert_isolated(encoder.file.data, pixels, encoder.size)
        alike = _try(converted)
    except ModelError as error:
        raise ModelError(f"{encoder.file.path}: {error}") from None
    detector = bundled_pack().detector
    record = ModelRecord(
        name=encoder.name,
        file=f"{encoder.name}.onnx",
        sha256=sha256_bytes(converted.data),
        kind="descriptor",
        licence=licence,
        source=f"{encoder.file.path.name}, sha256 {encoder.file.sha256}",
        input=f"{encoder.image}, {pixels}",
        dimension=converted.dimension,
        levels=converted.levels,
    )
    # Without the graphs that are built from it: they are those of the bundled pack.
    own = ModelRecord(
        detector.name,
        detector.file,
        detector.sha256,
        detector.kind,
        detector.licence,
        detector.source,
        detector.input,
    )
    folder = _home() / encoder.name
    pack = Pack(encoder.name, folder, own, (record,), bool(_RESEARCH.search(licence)))
    _write(pack, {own.file: bundled_pack().read(detector), record.file: converted.data})
    warning = ""
    if alike > MAX_ALIKE:
        warning = (
            f"a face and pictures without a face look alike to {encoder.name} (similarity {alike:.2f}, "
            f"{MAX_ALIKE} at most is expected): check `scale`, or the network was not made for faces"
        )
    return AddedPack(pack, warning)


def remove_pack(name: str) -> Path:
    """Remove a pack that :func:`add_pack` wrote, and return its folder.

    Raises:
        UsageError: there is no such pack, or it has files that are not in its record.
        OutputError: a file cannot be removed.
    """
    folder = _home() / name
    if name in (BUNDLED_NAME, "", ".", "..") or Path(name).name != name or not folder.is_dir():
        raise UsageError(f"no pack {name!r} was added: `arcage models list` shows the packs on this machine")
    if not (folder / RECORD_FILE).is_file():
        raise UsageError(f"{name} was not added by `arcage models add`: remove {folder} yourself")
    own = {RECORD_FILE, *read_pack(folder).files}
    try:
        others = sorted({path.name for path in folder.iterdir()} - own)
        if others:
            raise UsageError(
                f"{folder} has files of yours, such as {others[0]!r}: remove the folder yourself"
            )
        for file in own:
            (folder / file).unlink(missing_ok=True)
        folder.rmdir()
    except OSError as error:
        raise OutputError(f"cannot remove {folder}: {reason(error)}") from error
    return folder


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise UsageError(
            f"{name[:70]!r} cannot be the name of a pack: give a `name` of letters, digits, '.', '_' and '-'"
        )
    if name in (BUNDLED_NAME, *PUBLISHED, Path(bundled_pack().detector.file).stem):
        raise UsageError(f"{name} is the name of another pack: give this one a `name` of its own")
    folder = _home() / name
    if folder.exists():
        raise UsageError(
            f"there is a pack {name} in {folder} already: give this one another `name`, or run "
            f"`arcage models remove {name}` first"
        )


def _home() -> Path:
    home = insightface_home()
    if home is None:
        raise ModelError("this user has no home folder for model packs: set INSIGHTFACE_HOME to a folder")
    return home


def _try(converted: ConvertedEncoder) -> float:
    """Run a converted encoder on the CPU; return how alike a face and other pictures look to it."""
    network = make_engine("cpu").load(
        converted.data, (-1, SIDE, SIDE, 3), sha256=sha256_bytes(converted.data), trusted=False
    )
    embedding = int(converted.levels[-1].rsplit(" ", 1)[1])
    return try_encoder(network, converted.dimension, embedding)


def _write(pack: Pack, files: dict[str, bytes]) -> None:
    """Write a pack into a folder with a temporary name, and rename it."""
    home = pack.folder.parent
    try:
        home.mkdir(parents=True, exist_ok=True)
        temporary = Path(temporary_path(str(home)))
        try:
            temporary.mkdir()
            for name, data in {**files, RECORD_FILE: write_record(pack).encode()}.items():
                with atomic_write(temporary / name) as file:
                    file.write(data)
            temporary.rename(pack.folder)
        finally:
            with suppress(OSError):
                shutil.rmtree(temporary)
    except FileExistsError:
        raise UsageError(f"there is a pack {pack.name} already: give this one another `name`") from None
    except OSError as error:
        if pack.folder.exists():
            raise UsageError(f"there is a pack {pack.name} already: give this one another `name`") from None
        raise OutputError(f"cannot write {pack.folder}: {reason(error)}; free some space there") from error
