"""``pipeline.json``: a description of the pipeline of a folder, for people and to check the folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arcage._version import CACHE_SCHEMA
from arcage.cache.marker import check_seal, sealed
from arcage.cache.parts import (
    TEMPORARY,
    read_error,
    sync_folder,
    unique_name,
    write_error,
    write_file,
)
from arcage.errors import CacheError
from arcage.readers.strict_json import read_json

FILE = "pipeline.json"

MAX_DIMENSION = 1 << 20
"""Limit of the columns of a descriptor."""
_OLD_KEYS = ("schema", "fingerprint", "dimension", "pipeline")
"""The keys of files without a checksum, which earlier versions wrote."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The content of one ``pipeline.json``."""

    dimension: int
    description: Mapping[str, Any]


def is_fingerprint(text: str) -> bool:
    """Whether a text can be the name of a pipeline's folder: inside the cache, and not that of the names."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", text) is not None and text != "names"


def read_pipeline(folder: Path, dimension: int | None) -> Pipeline | None:
    """Read the description of a pipeline; return None if there is none.

    Args:
        folder: of the pipeline.
        dimension: expected columns of a descriptor; None for any.

    Raises:
        CacheError: the file cannot be read, is damaged, or has another schema or dimension.
    """
    path = folder / FILE
    try:
        content = read_json(path)
        if content["schema"] == CACHE_SCHEMA:
            content = check_seal(content, _OLD_KEYS)
        schema, fingerprint = content["schema"], content["fingerprint"]
        found = Pipeline(content["dimension"], content["pipeline"])
        fits = type(found.dimension) is int and 0 < found.dimension <= MAX_DIMENSION
        if not fits or not isinstance(found.description, dict):
            raise ValueError("it does not have the form that arcage writes")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise read_error(path, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CacheError(
            f"{path} is damaged ({error}). Delete this one file and run the extraction again: it is written"
            " again, and the descriptors next to it stay valid."
        ) from error
    if schema != CACHE_SCHEMA:
        raise CacheError(
            f"{folder} was written by another version of arcage (schema {schema}, this one reads"
            f" {CACHE_SCHEMA}). Choose another `cache`, or use the version that wrote it."
        )
    if fingerprint != folder.name:
        raise CacheError(
            f"{path} describes another pipeline than its folder is named after: the folder was renamed or"
            " copied. Give it its name again, or delete this one file and run the extraction again."
        )
    if dimension is not None and dimension != found.dimension:
        raise CacheError(
            f"{folder} holds descriptors of {found.dimension} columns and this pipeline makes {dimension},"
            " with the same fingerprint. Choose another `cache`."
        )
    return found


def pipeline_name(description: Mapping[str, Any], unnamed: str = "a pack without a name") -> str:
    """Return a readable name of a pipeline: its pack and the variant of its faces; or ``unnamed``."""
    pack, degraded = description.get("pack"), description.get("degraded")
    if not isinstance(pack, str) or not pack:
        return unnamed
    variant = f", degraded variant {degraded.get('number')}" if isinstance(degraded, dict) else ""
    own = f", {faces}" if isinstance(faces := description.get("faces"), str) else ""
    return f"{pack}{own}{variant}"


def write_pipeline(folder: Path, fingerprint: str, dimension: int, description: Mapping[str, object]) -> None:
    """Create a pipeline's folder. Concurrent writers write the same content, because they have the same
    fingerprint."""
    content = {
        "schema": CACHE_SCHEMA,
        "fingerprint": fingerprint,
        "dimension": dimension,
        "pipeline": dict(description),
    }
    text = json.dumps(sealed(content), indent=2, ensure_ascii=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"{FILE}.{unique_name()}.{TEMPORARY}"
        write_file(folder / FILE, [text.encode()], temporary=temporary)
        sync_folder(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise write_error(folder.parent, error) from error
