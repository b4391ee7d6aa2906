"""Draw the rooms of arcage and what they import from each other, as docs/images/rooms.svg.

    python tools/draw_rooms.py

A room is a package or module directly in ``arcage/``. An arrow from A to B means that A imports B, at the top
of a module or inside a function. An arrow is omitted if a longer path of arrows implies it. The drawing is
committed so that it can be read without a build, and a test compares it with the imports.
"""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
DRAWING = ROOT / "docs" / "images" / "rooms.svg"

GROUND = ("files", "process", "text", "types", "errors", "readers", "_version")
"""Modules that any room may import. They are drawn as one bar, without arrows."""
WHOLE = ("arcage", "__main__")
"""The front doors, which are not rooms: they only call into them."""

BOX, HEIGHT, ROW, GAP, MARGIN = 104, 34, 84, 26, 16
"""Width and height of a box, distance of rows, gap between columns and margin, in pixels."""

Arrows = dict[str, set[str]]


def imported(module: Path) -> set[str]:
    """Names of the rooms that a module imports, its own room included."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "arcage":
            found |= {f"arcage.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return {name.split(".")[1] for name in found if name.startswith("arcage.")}


def rooms(package: Path = ROOT / "arcage") -> Arrows:
    """Every room, and the rooms that it imports."""
    arrows: Arrows = {}
    for path in sorted(package.iterdir()):
        if path.is_dir() and (path / "__init__.py").exists():
            name, modules = path.name, sorted(path.rglob("*.py"))
        elif path.suffix == ".py" and path.stem != "__init__":
            name, modules = path.stem, [path]
        else:
            continue
        arrows[name] = set().union(*map(imported, modules)) - {name}
    names = set(arrows)
    return {name: targets & names for name, targets in arrows.items()}


def circle(arrows: Arrows) -> list[str]:
    """Return the rooms of one circle of imports, or an empty list."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name not in done:
            for target in sorted(arrows[name]):
                if found := visit(target, [*path, name]):
                    return found
            done.add(name)
        return []

    return next((found for name in sorted(arrows) if (found := visit(name, []))), [])


def reachable(arrows: Arrows, name: str) -> set[str]:
    """Return all rooms that a room imports, directly or through others."""
    found: set[str] = set()
    waiting = list(arrows[name])
    while waiting:
        if (room := waiting.pop()) not in found:
            found.add(room)
            waiting += arrows[room]
    return found


def reduced(arrows: Arrows) -> Arrows:
    """Leave out every arrow that follows from a longer path. The imports must have no circle."""
    return {
        name: {t for t in targets if not any(t in reachable(arrows, other) for other in targets - {t})}
        for name, targets in arrows.items()
    }


def levels(arrows: Arrows) -> dict[str, int]:
    """Return the row of each room, from 0 at the bottom: one above the highest room that it imports."""
    found: dict[str, int] = {}

    def level(name: str) -> int:
        if name not in found:
            found[name] = 1 + max(map(level, arrows[name]), default=-1)
        return found[name]

    for name in sorted(arrows):
        level(name)
    return found


def place(arrows: Arrows) -> tuple[dict[str, tuple[float, int]], list[list[str]]]:
    """Place the rooms in rows so that few arrows cross.

    An arrow over several rows gets a bend in each of them, which takes a narrow place of its own.

    Returns:
        The horizontal centre in pixels and the row of each room and each bend (``A>B@row``), and the
        places that each arrow passes, from its room to its target.
    """
    row = levels(arrows)
    paths = []
    for name in sorted(arrows):
        for target in sorted(arrows[name]):
            bends = [f"{name}>{target}@{level}" for level in range(row[name] - 1, row[target], -1)]
            row.update({bend: int(bend.rpartition("@")[2]) for bend in bends})
            paths.append([name, *bends, target])
    rows = [sorted(p for p in row if row[p] == level) for level in range(max(row.values()) + 1)]
    neighbours: dict[str, list[str]] = {p: [] for p in row}
    for path in paths:
        for upper, lower in pairwise(path):
            neighbours[upper].append(lower)
            neighbours[lower].append(upper)

    x: dict[str, float] = {}

    def spread(places: list[str]) -> None:
        widths = [BOX if p in arrows else 0 for p in places]
        total = sum(widths) + GAP * (len(places) - 1)
        left = -total / 2
        for p, width in zip(places, widths, strict=True):
            x[p] = left + width / 2
            left += width + GAP

    def crossings() -> int:
        edges = [(u, v) for path in paths for u, v in pairwise(path)]
        return sum(
            row[a] == row[c] and (x[a] - x[c]) * (x[b] - x[d]) < 0
            for i, (a, b) in enumerate(edges)
            for c, d in edges[:i]
        )

    for places in rows:
        spread(places)
    best, order = crossings(), [list(places) for places in rows]
    for sweep in range(24):
        for level in range(len(rows)) if sweep % 2 else reversed(range(len(rows))):
            beyond = level - 1 if sweep % 2 else level + 1

            def centre(p: str, beyond: int = beyond) -> float:
                near = [x[n] for n in neighbours[p] if row[n] == beyond] or [x[p]]
                return sum(near) / len(near)

            rows[level].sort(key=lambda p: (centre(p), p))
            spread(rows[level])
        if (now := crossings()) < best:
            best, order = now, [list(places) for places in rows]
    for places in order:
        spread(places)
    return {p: (x[p], row[p]) for p in row}, paths


def draw(arrows: Arrows) -> str:
    """Return the drawing as SVG."""
    if found := circle(arrows):
        raise SystemExit(f"circle of imports: {' > '.join(found)}")
    upper = {name: targets - set(GROUND) for name, targets in arrows.items() if name not in (*GROUND, *WHOLE)}
    places, paths = place(reduced(upper))
    least = min(x for x, _ in places.values()) - BOX / 2
    width = max(x for x, _ in places.values()) + BOX / 2 - least + 2 * MARGIN
    top = max(level for _, level in places.values())
    height = (top + 1) * ROW + HEIGHT + 2 * MARGIN

    def at(p: str) -> tuple[float, float]:
        x, level = places[p]
        return x - least + MARGIN, MARGIN + (top - level) * ROW + HEIGHT / 2

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="system-ui, sans-serif" font-size="14">',
        "<title>The rooms of arcage and their imports</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#5b6b7b"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        '<g fill="none" stroke="#5b6b7b" stroke-width="1.3">',
    ]
    for path in paths:
        x, y = at(path[0])
        curve = f"M{x:.0f} {y + HEIGHT / 2:.0f}"
        y += HEIGHT / 2
        for p in path[1:]:
            nx, ny = at(p)
            end = p in arrows
            ny -= HEIGHT / 2 if end else 0
            bend = (ny - y) / 2
            curve += f" C{x:.0f} {y + bend:.0f} {nx:.0f} {ny - bend:.0f} {nx:.0f} {ny:.0f}"
            x, y = nx, ny
        lines.append(f'<path d="{curve}" marker-end="url(#head)"/>')
    lines.append("</g>")
    for name in sorted(upper):
        x, y = at(name)
        lines.append(
            f'<rect x="{x - BOX / 2:.0f}" y="{y - HEIGHT / 2:.0f}" '
            f'width="{BOX}" height="{HEIGHT}" rx="6" fill="#e8f0fa" stroke="#2f5d8c"/>'
            f'<text x="{x:.0f}" y="{y + 5:.0f}" text-anchor="middle" fill="#14304d">{name}</text>'
        )
    y = MARGIN + (top + 1) * ROW
    ground = ", ".join(name for name in GROUND if name in arrows)
    lines += [
        f'<rect x="{MARGIN}" y="{y:.0f}" width="{width - 2 * MARGIN:.0f}" height="{HEIGHT}" rx="6" '
        'fill="#f3f3f0" stroke="#8a8a80"/>',
        f'<text x="{width / 2:.0f}" y="{y + HEIGHT / 2 + 5:.0f}" text-anchor="middle" fill="#333330">'
        f"every room may use: {ground}</text>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    DRAWING.write_text(draw(rooms()), encoding="utf-8")
