"""The description of the endpoints after OpenAPI 3.1, served as ``/openapi.json``.

The columns of a row come from :class:`arcage.types.Prediction`, the limits from
:class:`arcage.app.limits.Limits`. The tests send requests that follow it, and requests that do not.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from arcage._version import __version__
from arcage.app.limits import Limits
from arcage.app.options import NAME
from arcage.heads.distribution import HIGHEST_LEVEL, OLDEST
from arcage.output.rows import COLUMNS
from arcage.output.selection import Faces, Selection
from arcage.types import Prediction

_Schema = dict[str, Any]

MEANING = {
    "path": "Name of the photo as it was sent; `-` if it has none.",
    "face": "Number of the face in its photo, from 0, in decreasing order of the detector's confidence.",
    "faces": "Number of faces in the photo.",
    "x1": "Left border of the box, in pixels of the upright photo; it may extend beyond the photo.",
    "y1": "Upper border of the box.",
    "x2": "Right border of the box.",
    "y2": "Lower border of the box.",
    "det_score": "Confidence of the detector, 0 to 1.",
    "age": "Estimated age, years.",
    "age_low": "Lower end of the interval of the age, years.",
    "age_high": "Upper end of the interval of the age, years.",
    "gender": "The more probable gender.",
    "p_female": "Probability of `female`, 0 to 1.",
    "status": "`no_face`: the photo was read, and no face was found; `unreadable`: `error` says why.",
    "error": "Why the photo is unreadable.",
    "familiarity": "How much the face is like the training faces, 0 to 1.",
}
"""What each column of a row means."""

_ERRORS = {
    400: "The body is empty or interrupted, its form or zip cannot be read, or this is not HTTP/1.1.",
    403: "A page of another site sent the request.",
    408: "The request arrives too slowly.",
    413: "The body, or what is in the zip, exceeds a limit.",
    415: "The body is text, compressed, or a zip at the endpoint for photos.",
    421: "The Host header is neither an address nor a known name of this server.",
    422: "An option does not exist, its value is invalid, or the heads lack what it needs.",
    500: "The prediction failed; `error` says why.",
    503: "The server loads the networks, is busy, or stops: try again after the seconds in Retry-After.",
}
_ALWAYS = (400, 408, 421)
_POSTED = (400, 403, 408, 413, 415, 421, 422, 500, 503)

_OPTIONS: dict[str, tuple[str, _Schema]] = {
    "faces": (
        "Which faces to return: all, the one with the largest box, or the one nearest to the centre.",
        {"type": "string", "enum": list(get_args(Faces))},
    ),
    "min_score": (
        "Minimum detector score; other faces are ignored.",
        {"type": "number", "minimum": 0, "maximum": 1},
    ),
    "max_width": (
        "Hide ages whose interval is wider, years; by default none.",
        {"type": "number", "minimum": 0},
    ),
    "min_confidence": (
        "Hide genders with a lower probability.",
        {"type": "number", "minimum": 0.5, "maximum": 1},
    ),
    "min_familiarity": (
        "Hide all that is predicted for less familiar faces.",
        {"type": "number", "minimum": 0, "maximum": 1},
    ),
    "interval": (
        "Level of the interval in age_low and age_high, percent.",
        {"type": "number", "minimum": 1, "maximum": 100 * HIGHEST_LEVEL},
    ),
    "under": (
        "Add the column p_under_N, the probability of being younger than N years; repeatable.",
        {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": int(OLDEST)}},
    ),
    "pictures": (
        "1: the first row of each photo has a smaller copy of it. Ignored if CSV is returned.",
        {"type": "integer", "enum": [0, 1], "default": 0},
    ),
    "name": (
        "Name of the photo in its rows; by default its name in the form. Several photos keep those.",
        {"type": "string", "maxLength": NAME},
    ),
}


def openapi(limits: Limits) -> dict[str, Any]:
    """Return the description of the endpoints.

    Args:
        limits: those of the server.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "arcage",
            "version": __version__,
            "summary": "Age and gender from photos of faces.",
            "description": "Every error, those of unknown paths (404) and methods (405) included, is JSON "
            "with one `error`: a sentence that says what to do.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "./", "description": "Relative to this file, also behind a proxy."}],
        "paths": {
            "/api/predict": {"post": _predict(limits)},
            "/api/batch": {"post": _batch(limits)},
            "/api": {"get": _get("about", "Return the version, the columns and the limits.", _about(limits))},
            "/healthz": {
                "get": _get(
                    "healthz",
                    "Return whether photos can be sent: 503 before the networks are loaded, and while the "
                    "server stops.",
                    _object({"status": {"const": "ok"}}),
                    503,
                )
            },
            "/openapi.json": {"get": _get("openapi", "Return this description.", {"type": "object"})},
        },
        "components": {
            "schemas": {"Row": _row(), "Error": _object({"error": {"type": "string"}})},
            "responses": {str(status): _error(status) for status in _ERRORS},
        },
    }


def _predict(limits: Limits) -> dict[str, Any]:
    file = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
    form = _object({"file": {"type": "array", "items": file, "minItems": 1, "maxItems": 100}})
    rows = _object({"rows": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}, "minItems": 1}})
    return {
        "operationId": "predict",
        "summary": "Predict age and gender in a photo, or in several photos of a form.",
        "description": "A row for each face, in the order of the photos. A photo without a face, or one that "
        f"cannot be read, is a row as well. The photos are together at most {limits.photo_bytes:,} bytes.",
        "parameters": [_option(name) for name in _OPTIONS],
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {},
                "image/*": {},
                "multipart/form-data": {"schema": {**form, "additionalProperties": True}},
            },
        },
        "responses": {"200": _json("The rows.", rows), **_refused(*_POSTED)},
    }


def _batch(limits: Limits) -> dict[str, Any]:
    rows = "The rows, each sent as soon as it is computed."
    return {
        "operationId": "batch",
        "summary": "Predict age and gender in the photos of a zip.",
        "description": "A row for each face, in the order of the names. Returns CSV if the Accept header "
        f"names it. At most {limits.zip_photos:,} photos and {limits.zip_bytes:,} bytes.",
        "parameters": [_option(name) for name in _OPTIONS if name != "name"],
        "requestBody": {"required": True, "content": {"application/zip": {}}},
        "responses": {
            "200": {
                "description": rows,
                "content": {
                    "application/x-ndjson": {"schema": {"$ref": "#/components/schemas/Row"}},
                    "text/csv": {"schema": {"type": "string"}},
                },
            },
            **_refused(*_POSTED),
        },
    }


def _option(name: str) -> dict[str, Any]:
    description, schema = _OPTIONS[name]
    default = {one.name: one.default for one in fields(Selection) if one.name not in ("max_width", "under")}
    if name in default:
        schema = {**schema, "default": default[name]}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _get(name: str, summary: str, schema: _Schema, *errors: int) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": _json("As asked.", schema), **_refused(*_ALWAYS, *errors)},
    }


def _refused(*statuses: int) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _error(status: int) -> dict[str, Any]:
    response = _json(_ERRORS[status], {"$ref": "#/components/schemas/Error"})
    if status == 503:
        seconds = {"description": "Seconds.", "required": True, "schema": {"type": "integer"}}
        response["headers"] = {"Retry-After": seconds}
    return response


def _json(description: str, schema: _Schema) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _object(properties: dict[str, Any]) -> _Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _about(limits: Limits) -> _Schema:
    limit = {name: {"type": "number"} for name in ("pixels", *asdict(limits))}
    return _object(
        {
            "arcage": {"type": "string"},
            "columns": {"type": "array", "items": {"type": "string"}},
            "decimals": {"type": "object", "additionalProperties": {"type": "integer"}},
            "limits": _object(limit),
        }
    )


def _row() -> _Schema:
    hints = get_type_hints(Prediction)
    row = _object({name: {**_schema(hints[name]), "description": MEANING.get(name, "")} for name in COLUMNS})
    size = {"type": "integer", "minimum": 1}
    row["properties"]["picture"] = {
        **_object({"width": size, "height": size, "jpeg": {"type": "string", "contentEncoding": "base64"}}),
        "description": "With pictures=1, of the first row of a photo: its size, in whose pixels the boxes "
        "are, and a smaller copy.",
    }
    probability = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
    row["patternProperties"] = {r"^p_under_\d+$": probability}
    return row


def _schema(kind: Any) -> _Schema:
    """Return the schema of a field with this type."""
    if isinstance(kind, UnionType) or type(None) in get_args(kind):
        (inner,) = (one for one in get_args(kind) if one is not type(None))
        schema = _schema(inner)
        if "enum" in schema:
            schema["enum"].append(None)
        return {**schema, "type": [schema["type"], "null"]}
    if get_origin(kind) is Literal:
        return {"type": "string", "enum": list(get_args(kind))}
    return {"type": {float: "number", int: "integer", str: "string"}[kind]}
