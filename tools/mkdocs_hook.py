"""A hook of mkdocs: the pages that are generated, or that live outside of docs/.

- Files such as README.md and the model card become pages of the site; links to them, and from them, follow.
- ``docs/reference/commands.md`` gets the reference of every command, from the command line itself.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from arcage.cli import app

ROOT = Path(__file__).parents[1]

OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "arcage/heads/default/model-card.md": "evidence/model-card.md",
    "arcage/embedder/models/NOTICE.md": "model-files.md",
}
"""Files of the repository that are pages of the site, and their places in it."""

COMMANDS = "<!-- commands -->"
"""The mark in ``docs/reference/commands.md`` that the reference replaces."""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that live outside of docs/."""
    from mkdocs.structure.files import File  # The tests use this module without mkdocs.

    for path, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links at pages of the site, and fill in the command reference."""
    uri = page.file.src_uri
    source = next((path for path, to in OUTSIDE.items() if to == uri), f"docs/{uri}")
    return linked(markdown, source, uri).replace(COMMANDS, "\n".join(reference()))


def on_page_content(html: str, **_: Any) -> str:
    """Show the names in docstrings without their roles, which Markdown does not know: ``:func:`x```."""
    role = r":(?:attr|class|data|exc|func|meth|mod):<code>~?(?:[\w.]*\.)?(\w+)</code>"
    return re.sub(role, r"<code>\1</code>", html)


def linked(markdown: str, source: str, uri: str) -> str:
    """Rewrite the links of a page from places in the repository to places in the site.

    A link to a file that has no page, such as a licence or a module, becomes its text.

    Args:
        markdown: text of the page.
        source: its path in the repository.
        uri: its place in the site.
    """

    def replace(match: re.Match[str]) -> str:
        target, _, anchor = match[3].partition("#")
        if not target or re.match(r"[a-z]+:", match[3]):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        place = OUTSIDE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if place is None:
            return match[2]
        relative = posixpath.relpath(place, posixpath.dirname(uri) or ".")
        return f"{match[1]}[{match[2]}]({relative}{'#' + anchor if anchor else ''})"

    parts = re.split(r"(^```.*?^```)", markdown, flags=re.DOTALL | re.MULTILINE)
    for i, part in enumerate(parts):
        if not i % 2:
            part = re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", replace, part)
            # In a table, GitHub needs the backslash and Python-Markdown shows it.
            parts[i] = re.sub(r"`[^`\n]+`", lambda code: code[0].replace(r"\|", "|"), part)
    return "".join(parts)


def reference() -> Iterator[str]:
    """The reference of every command, in the order of ``arcage --help``, as lines of Markdown."""
    yield from described(typer.main.get_command(app), "arcage", None)


def described(command: Any, name: str, parent: Any) -> Iterator[str]:
    """The reference of one command and the commands below it."""
    context = command.context_class(command, info_name=name.split()[-1], parent=parent)
    yield from (f"## {name}", "", " ".join((command.help or "").split()), "")
    usage = command.get_usage(context).partition(":")[2]
    yield from ("```text", " ".join(usage.split()), "```", "")
    for title, is_argument in (("Argument", True), ("Option", False)):
        records = [
            record
            for p in command.get_params(context)
            if (p.param_type_name == "argument") is is_argument and (record := p.get_help_record(context))
        ]
        if records:
            yield from (f"| {title} | Meaning |", "|---|---|")
            for left, right in records:
                shown = re.sub(r" <(?:list\[str\]|str|path)>", "", left)
                shown = re.sub(r"<(?:float|int) range>", "NUMBER", shown)
                yield f"| `{shown}` | {cell(right)} |"
            yield ""
    for child in getattr(command, "commands", {}).values():
        if not child.hidden:
            yield from described(child, f"{name} {child.name}", context)


def cell(text: str) -> str:
    """Escape a text for a cell of a table."""
    return " ".join(text.split()).replace("|", r"\|")
