"""Format the description of a set of labels as text."""

from __future__ import annotations

from typing import Any

from arcage.audit.duplicates import NEAR_COPY
from arcage.audit.heaping import PEAK_RATIO, WHIPPLE_AGES
from arcage.audit.label_errors import CONTRADICTED, FAR_OUTSIDE
from arcage.text import counted, percent, visible

COLUMNS = 8
"""Maximum number of groups in the table, the largest first."""
LISTED = 3
"""Maximum number of list entries. JSON has all of them."""


def as_text(report: dict[str, Any]) -> str:
    """Format a report of :func:`arcage.audit.describe.describe`: a table of ages, and a paragraph for each
    finding. Characters of names that cannot be seen are escaped."""
    report = _visible(report)
    parts = [
        _faces(report),
        _table(report["ages"]["bands"]),
        "\n".join(heaping_lines(report["heaping"])),
        _copies(report["copies"]),
        _persons(report),
        _suspicious(report["suspicious"]),
        _left_out(report),
    ]
    return "\n\n".join(part for part in parts if part)


def _visible(value: Any) -> Any:
    """Escape the texts in a report, also the names of groups, which are keys."""
    if isinstance(value, dict):
        return {_visible(key): _visible(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_visible(item) for item in value]
    return visible(value) if isinstance(value, str) else value


def heaping_lines(heaping: dict[str, Any], listed: int = 10) -> list[str]:
    """Describe age heaping in sentences without a full stop; none if there is nothing to report.

    Args:
        heaping: of :func:`arcage.audit.heaping.heaping`.
        listed: maximum number of peaks.
    """
    lines = []
    if heaping["whipple"] is not None:
        lines.append(
            f"Whipple's index, ages {WHIPPLE_AGES[0]} to {WHIPPLE_AGES[1]}: {heaping['whipple']:.0f} "
            "(100: no preference for ages ending in 0 or 5; 500: no other ages)"
        )
    if heaping["peaks"]:
        peaks = ", ".join(
            f"{p['age']} ({counted(p['faces'], 'face')}, {p['times']:.1f} times)"
            for p in heaping["peaks"][:listed]
        )
        lines.append(f"Ages with at least {PEAK_RATIO:g} times the faces of their neighbours: {peaks}")
    return lines


def _faces(report: dict[str, Any]) -> str:
    faces = report["faces"]
    text = (
        f"{counted(faces['all'], 'face')}; labels: age {faces['age']:,}, male {faces['male']:,}, "
        f"female {faces['female']:,}, group {faces['group']:,}, person {faces['person']:,}"
    )
    if faces["train"] or faces["held_out"]:
        text += f", training {faces['train']:,}, held out {faces['held_out']:,}"
    if faces["weight"]:
        text += f", weight {faces['weight']:,}"
    if len(report["sources"]) > 1:
        text += "\n" + ", ".join(f"{name} {count:,}" for name, count in report["sources"].items())
    return text


def _table(bands: list[dict[str, Any]]) -> str:
    if not bands:
        return ""
    groups = list(bands[0]["groups"])[:COLUMNS]
    # Columns of zeros are left out.
    genders = [name for name in ("male", "female", "unknown") if any(band[name] for band in bands)]
    lines = [("age", "faces", *genders, *groups)]
    for band in bands:
        cells = [band["faces"], *(band[name] for name in genders), *(band["groups"][g] for g in groups)]
        lines.append((f"{band['from']}-{band['to']}", *(f"{cell:,}" for cell in cells)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in lines)


def _copies(copies: dict[str, Any]) -> str:
    exact, contradictory, near = copies["exact"], copies["contradictory"], copies["near"]
    lines = [
        f"Images with several paths: {len(exact):,}; left out because their labels differ: "
        f"{len(contradictory):,}",
        *_listed([note["text"] for note in contradictory]),
        f"Near copies (cosine {NEAR_COPY:g} or more): {counted(len(near), 'pair')}, "
        f"{sum(pair['differs'] for pair in near):,} of them with different labels",
        *_listed([_pair(pair) for pair in near if pair["differs"]]),
    ]
    return "\n".join(lines)


def _pair(pair: dict[str, Any]) -> str:
    return f"{' and '.join(_labelled(face) for face in pair['faces'])}: cosine {pair['cosine']:.3f}"


def _labelled(face: dict[str, Any]) -> str:
    known = [f"{face['label_age']:g}"] if face["label_age"] is not None else []
    known += [face["label_gender"]] if face["label_gender"] else []
    return f"{_name(face)} ({', '.join(known)})"


def _persons(report: dict[str, Any]) -> str:
    persons, alike = report["persons"], report["look_alikes"]
    if persons["named"]:
        most = ", ".join(f"{one['person']} ({one['faces']:,})" for one in persons["most"][:LISTED])
        text = (
            f"Persons: {persons['named']:,} named, {persons['several']:,} of them with several faces "
            f"({persons['faces_of_several']:,} in total); most frequent: {most}"
        )
    else:
        text = "Persons: none is named, so splits keep only copies of an image together"
    names = " with different names" if persons["named"] else ""
    count = counted(alike["pairs"], "pair")
    if not alike["complete"]:
        count = f"more than {count}"
    lines = [
        text,
        f"Look-alikes{names} (cosine {alike['cosine']:g} or more, possibly the same person): {count} "
        f"among {counted(alike['compared'], 'compared face')}",
        *_listed([_pair(pair) for pair in alike["most"]], alike["pairs"]),
    ]
    return "\n".join(lines)


def _suspicious(suspicious: dict[str, Any]) -> str:
    lines = [f"Suspicious labels, by {suspicious['by']}:"]
    lines += [f"  {reason}" for reason in suspicious["not_compared"]]
    if suspicious["age"]:
        lines.append(f"Ages {FAR_OUTSIDE:g} years or more outside the 90 % interval: {suspicious['far']:,}")
        lines += _listed(
            [
                f"{_name(face)}: label {face['label_age']:g}, predicted {face['age']:.0f} "
                f"({face['age_low']:.0f} to {face['age_high']:.0f})"
                for face in suspicious["age"][: suspicious["far"]]
            ],
            suspicious["far"],
        )
    if suspicious["gender"]:
        lines.append(
            f"Genders predicted as the opposite with a probability of {percent(CONTRADICTED)} or more: "
            f"{suspicious['contradicted']:,}"
        )
        other = {"male": "female", "female": "male"}
        lines += _listed(
            [
                f"{_name(face)}: label {face['label_gender']}, predicted {other[face['label_gender']]} "
                f"{percent(face['doubt'], 1)}"
                for face in suspicious["gender"][: suspicious["contradicted"]]
            ],
            suspicious["contradicted"],
        )
    return "\n".join(lines if len(lines) > 1 else [f"{lines[0]} none"])


def _left_out(report: dict[str, Any]) -> str:
    lines = []
    for kind, title in (
        ("no_face", "Images without a face"),
        ("unreadable", "Unreadable images"),
        ("missing", "Labels whose image is not in the cache"),
        ("no_such_face", "Labels whose face is not in the cache"),
        ("ambiguous", "Labels that match several images"),
    ):
        texts = [note["text"] for note in report["left_out"] if note["kind"] == kind]
        if texts:
            lines += [f"{title}: {len(texts):,}", *_listed(texts)]
    return "\n".join(lines)


def _listed(texts: list[str], count: int | None = None) -> list[str]:
    """Indent the first entries of a list that may be truncated.

    Args:
        texts: the entries.
        count: length of the whole list; by default that of ``texts``.
    """
    count = count or len(texts)
    more = [f"  ... and {count - LISTED:,} more"] if count > LISTED else []
    return [f"  {text}" for text in texts[:LISTED]] + more


def _name(face: dict[str, Any]) -> str:
    return str(face["names"][0]) if face["names"] else f"{face['sha256'][:12]}..."
