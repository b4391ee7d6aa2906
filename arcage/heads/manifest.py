"""Parse ``manifest.json`` of heads, and check the form of what arcage reads from it."""

from __future__ import annotations

from typing import Any

from arcage._version import HEADS_READ
from arcage.readers.strict_json import parse_json

MAX_BYTES = 1 << 24
"""Limit of the size: 16 MiB. It grows with the number of subgroups; without any, it is 20 kB."""
MAX_DIMENSION = 1 << 17
"""Limit of the length of a descriptor."""

# The form of a value is a type; an object's values by key, which may be missing; [form] for a list of any
# length; or (form, form) for a list of two values. Numbers are not negative.
_FILE = {"file": str, "bytes": int, "sha256": str}
_TRAINING = {
    "labels": str,
    "faces": int,
    "variants": int,
    "ages": (float, float),
    "held_out": int,
    "held_out_share": float,
    "split": bool,
    "sources": dict,
    "images": dict,
}
_NEEDED: dict[str, Any] = {"fingerprint": str, "dimension": int, "arrays": _FILE}
_DESCRIPTIONS: dict[str, Any] = {
    "pack": str,
    "models": [str],
    "research_only": bool,
    "settings": {"kind": str, "seed": int},
    "versions": {"arcage": str},
    "training": _TRAINING,
    "adapted": {"from": str, "training": _TRAINING},
    "sampling": {
        "ages": (float, float),
        "outside": int,
        "per_age": float,
        "thinned": int,
        "effects": dict,
    },
}
_MAY_BE_NULL = ("ages", "per_age", "sampling", "adapted")


class SchemaError(ValueError):
    """The manifest has a schema that this version of arcage does not read."""

    def __init__(self, schema: object) -> None:
        super().__init__(f"schema {schema}")
        self.schema = schema


def parse_manifest(data: bytes) -> dict[str, Any]:
    """Parse the manifest of heads.

    A description that is not as arcage writes it, such as ``training``, is left out.

    Raises:
        SchemaError: the heads are from a newer version of arcage.
        ValueError: it is damaged. The message is short and has no path.
    """
    manifest = parse_json(data, max_bytes=MAX_BYTES)
    if not isinstance(manifest, dict) or "schema" not in manifest:
        raise ValueError("the manifest has no schema")
    if type(manifest["schema"]) is not int or manifest["schema"] not in HEADS_READ:
        raise SchemaError(manifest["schema"])
    needed = {**_NEEDED, "images": _FILE} if manifest.get("images") is not None else _NEEDED
    for name, form in needed.items():
        if not _fits(manifest.get(name), form):
            raise ValueError(f"{name} in the manifest is not as arcage writes it")
    if not 0 < manifest["dimension"] <= MAX_DIMENSION:
        raise ValueError(f"the dimension is {manifest['dimension']}")
    return {
        name: value
        for name, value in manifest.items()
        if name not in _DESCRIPTIONS or _fits(value, _DESCRIPTIONS[name], name)
    }


def _fits(value: Any, form: Any, name: str = "") -> bool:
    if value is None:
        return name in _MAY_BE_NULL
    if isinstance(form, dict):
        return isinstance(value, dict) and all(
            _fits(value[key], inner, key) for key, inner in form.items() if key in value
        )
    if isinstance(form, list):
        return isinstance(value, list) and all(_fits(item, form[0]) for item in value)
    if isinstance(form, tuple):
        return isinstance(value, list) and len(value) == len(form) and all(map(_fits, value, form))
    if form in (int, float):
        return type(value) in (int, form) and value >= 0
    return isinstance(value, form)
