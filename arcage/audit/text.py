"""A description of a labelled set as text."""

from __future__ import annotations

from typing import Any

from arcage.audit.describe import FAR, NEAR_COPY, PEAK, SURE, WHIPPLE
from arcage.text import counted, percent

COLUMNS = 8
"""Groups in the table, the largest first."""
LISTED = 3
"""Entries of a list that are printed; JSON has them all."""


def as_text(report: dict[str, Any]) -> str:
    """Format a description of labelled faces: a table of ages, and a paragraph for each finding."""
    parts = [_faces(report), _table(report["ages"]["bands"]), _heaping(report["heaping"])]
    parts += [
        _copies(report["copies"]),
        _persons(report),
        _suspicious(report["suspicious"]),
        _left_out(report),
    ]
    return "\n\n".join(part for part in parts if part)


def heaping_words(heaping: dict[str, Any], listed: int = 10) -> list[str]:
    """What is to be said of heaped ages, sentence by sentence."""
    words = []
    if heaping["whipple"] is not None:
        words.append(
            f"Whipple's index of the ages {WHIPPLE[0]} to {WHIPPLE[1]}: {heaping['whipple']:.0f} (100: ages "
            "ending in 0 or 5 are as common as others; 500: there are no others)"
        )
    if heaping["peaks"]:
        peaks = ", ".join(
            f"{p['age']} ({counted(p['faces'], 'face')}, {p['times']:.1f} times)"
            for p in heaping["peaks"][:listed]
        )
        words.append(f"Ages with {PEAK:g} times the faces of their neighbours or more: {peaks}")
    return words


def _faces(report: dict[str, Any]) -> str:
    faces = report["faces"]
    words = (
        f"{counted(faces['all'], 'face')}; with an age {faces['age']:,}, male {faces['male']:,}, female "
        f"{faces['female']:,}, group {faces['group']:,}, person {faces['person']:,}"
    )
    if faces["train"] or faces["held_out"]:
        words += f", to be fitted on {faces['train']:,}, held out {faces['held_out']:,}"
    if faces["weight"]:
        words += f", weight {faces['weight']:,}"
    if len(report["sources"]) > 1:
        words += "\n" + ", ".join(f"{name} {count:,}" for name, count in report["sources"].items())
    return words


def _table(bands: list[dict[str, Any]]) -> str:
    if not bands:
        return ""
    groups = list(bands[0]["groups"])[:COLUMNS]
    # A column of noughts tells nothing.
    genders = [name for name in ("male", "female", "unknown") if any(band[name] for band in bands)]
    lines = [("age", "faces", *genders, *groups)]
    for band in bands:
        cells = [band["faces"], *(band[name] for name in genders), *(band["groups"][g] for g in groups)]
        lines.append((f"{band['from']}-{band['to']}", *(f"{cell:,}" for cell in cells)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in lines)


def _heaping(heaping: dict[str, Any]) -> str:
    return "\n".join(heaping_words(heaping))


def _copies(copies: dict[str, Any]) -> str:
    exact, contradictory, near = copies["exact"], copies["contradictory"], copies["near"]
    lines = [
        f"Images under several paths: {len(exact):,}, and with contradictory labels, left out: "
        f"{len(contradictory):,}",
        *_listed([note["text"] for note in contradictory]),
        f"Near copies (cosine {NEAR_COPY:g} or more): {counted(len(near), 'pair')}, with different labels "
        f"{sum(pair['differs'] for pair in near):,}",
        *_listed([pair_words(pair) for pair in near if pair["differs"]]),
    ]
    return "\n".join(lines)


def pair_words(pair: dict[str, Any]) -> str:
    """Two faces and what their labels say, in a line."""
    return f"{' and '.join(face_words(face) for face in pair['faces'])}: cosine {pair['cosine']:.3f}"


def face_words(face: dict[str, Any]) -> str:
    """A face's file and its labels."""
    known = [f"{face['label_age']:g}"] if face["label_age"] is not None else []
    known += [face["label_gender"]] if face["label_gender"] else []
    return f"{_name(face)} ({', '.join(known)})"


def _persons(report: dict[str, Any]) -> str:
    persons, alike = report["persons"], report["look_alikes"]
    if persons["named"]:
        most = ", ".join(f"{one['person']} ({one['faces']:,})" for one in persons["most"][:LISTED])
        words = (
            f"Persons: {persons['named']:,} named; {persons['several']:,} of them more than once, on "
            f"{counted(persons['faces_of_several'], 'face')}; most often {most}"
        )
    else:
        words = "Persons: none is named, so splits can keep only copies together"
    other = " of different persons by name" if persons["named"] else ""
    count = f"{alike['pairs']:,}" if alike["complete"] else f"more than {alike['pairs']:,}"
    lines = [
        words,
        f"Look-alikes{other} (cosine {alike['cosine']:g} or more; they may be one person, or not), pairs "
        f"among {counted(alike['compared'], 'face')} compared: {count}",
        *_listed([pair_words(pair) for pair in alike["most"]], alike["pairs"]),
    ]
    return "\n".join(lines)


def _suspicious(suspicious: dict[str, Any]) -> str:
    lines = [f"Suspicious labels, by {suspicious['by']}:"]
    lines += [f"  {reason}" for reason in suspicious["not_compared"]]
    if suspicious["age"]:
        lines.append(f"Ages {FAR:g} years or more outside the 90 % interval: {suspicious['far']:,}")
        lines += _listed(
            [
                f"{_name(face)}: label {face['label_age']:g}, answer {face['age']:.0f} "
                f"({face['age_low']:.0f} to {face['age_high']:.0f})"
                for face in suspicious["age"][: suspicious["far"]]
            ],
            suspicious["far"],
        )
    if suspicious["gender"]:
        lines.append(f"Genders contradicted with {percent(SURE)} or more: {suspicious['contradicted']:,}")
        lines += _listed(
            [
                f"{_name(face)}: label {face['label_gender']}, contradicted with {percent(face['doubt'], 1)}"
                for face in suspicious["gender"][: suspicious["contradicted"]]
            ],
            suspicious["contradicted"],
        )
    return "\n".join(lines if len(lines) > 1 else [f"{lines[0]} none"])


def _left_out(report: dict[str, Any]) -> str:
    lines = []
    for kind, words in (
        ("no_face", "Images without a face"),
        ("unreadable", "Unreadable images"),
        ("missing", "Labels without an image in the cache"),
        ("no_such_face", "Labels of a face that is not in the cache"),
        ("ambiguous", "Labels that fit several images"),
    ):
        texts = [note["text"] for note in report["left_out"] if note["kind"] == kind]
        if texts:
            lines += [f"{words}: {len(texts):,}", *_listed(texts)]
    return "\n".join(lines)


def _listed(texts: list[str], count: int | None = None) -> list[str]:
    """The first of ``count`` lines, which may be more than there are texts of."""
    count = count or len(texts)
    more = [f"  ... and {count - LISTED:,} more"] if count > LISTED else []
    return [f"  {text}" for text in texts[:LISTED]] + more


def _name(face: dict[str, Any]) -> str:
    return str(face["names"][0]) if face["names"] else f"{face['sha256'][:12]}..."
