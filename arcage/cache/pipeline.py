"""``pipeline.json``: what made the descriptors of one folder, for people and as a check on opening."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arcage._version import CACHE_SCHEMA
from arcage.cache.parts import (
    TEMPORARY,
    read_error,
    sync_folder,
    unique_name,
    write_error,
    write_file,
)
from arcage.errors import CacheError

FILE = "pipeline.json"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The content of one ``pipeline.json``."""

    dimension: int
    description: Mapping[str, Any]


def is_fingerprint(text: str) -> bool:
    """Whether a text can name a pipeline's folder: it must not climb out of the cache or meet the names."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", text) is not None and text != "names"


def read_pipeline(folder: Path, dimension: int | None) -> Pipeline | None:
    """None where there is none yet. Raises CacheError where it does not go with what the caller expects."""
    path = folder / FILE
    try:
        content = json.loads(path.read_bytes())
        schema, stored = content["schema"], content["dimension"]
        found = Pipeline(int(stored), dict(content["pipeline"]))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise read_error(path, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CacheError(
            f"{path} is damaged ({error}). Delete this one file and run the extraction again: it is written"
            " anew, and the descriptors beside it are used as they are."
        ) from error
    if schema != CACHE_SCHEMA:
        raise CacheError(
            f"{folder} was written by another version of arcage (schema {schema}, this one reads"
            f" {CACHE_SCHEMA}). Choose another folder with --cache, or take the arcage that wrote it."
        )
    if dimension is not None and dimension != found.dimension:
        raise CacheError(
            f"{folder} holds descriptors of {found.dimension} columns and this pipeline makes {dimension},"
            " under one fingerprint. Choose another folder with --cache."
        )
    return found


def pipeline_name(description: Mapping[str, Any], fingerprint: str) -> str:
    """A readable name of a pipeline: its pack if the description names it, else its fingerprint."""
    pack, degraded = description.get("pack"), description.get("degraded")
    if not isinstance(pack, str) or not pack:
        return fingerprint
    variant = f", degraded variant {degraded.get('number')}" if isinstance(degraded, dict) else ""
    return f"{pack}{variant}"


def write_pipeline(folder: Path, fingerprint: str, dimension: int, description: Mapping[str, object]) -> None:
    """Create a pipeline's folder. Writers that do so at once write the same: the fingerprint sees to that."""
    content = {
        "schema": CACHE_SCHEMA,
        "fingerprint": fingerprint,
        "dimension": dimension,
        "pipeline": dict(description),
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"{FILE}.{unique_name()}.{TEMPORARY}"
        write_file(folder / FILE, [text.encode()], temporary=temporary)
        sync_folder(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise write_error(folder.parent, error) from error
