"""The rules of a notebook that are about what a reader sees or hears.

Rule 1  No meaning is in a picture alone: each has its name in words.
Rule 2  What is shown holds on every machine: links inside the repository, no path from outside.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from coursekit.authoring.notebooks import Notebook

FENCE = re.compile(r"^(```|~~~)(\w*)[^\n]*\n(.*?)^\1[ \t]*$", re.S | re.M)
HEADING = re.compile(r"^(#{1,6}) +\S", re.M)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(<?([^)\s>]+)>?(?:\s+[\"'][^)]*)?\)")
MACHINE = re.compile(r"(?<![\w.:/-])(/(?:home|Users|root|tmp|var/folders)/[\w.-]+|[A-Z]:\\\w+)")

Found = Iterator[tuple[str, str, str]]


def prose(cell: Notebook) -> str:
    """Return a markdown cell's text without its fenced blocks."""
    return FENCE.sub("", cell.source) if cell.cell_type == "markdown" else ""


def _shown(cell: Notebook) -> Iterator[str]:
    """Yield everything a reader sees of a cell, as text."""
    yield cell.source
    for output in cell.get("outputs", []):
        yield from (output.get("text", ""), output.get("evalue", ""), *output.get("traceback", []))
        yield from (value for value in output.get("data", {}).values() if isinstance(value, str))


def headings(notebook: Notebook, path: Path) -> Found:
    """One title, and no level left out on the way down."""
    before, titles = 0, 0
    for cell in notebook.cells:
        for marks in HEADING.findall(prose(cell)):
            level = len(marks)
            titles += level == 1
            if level == 1 and titles > 1:
                yield cell.id, "one-title", "a second `#` heading; make it `##`"
            if level > before + 1:
                yield cell.id, "heading-order", f"`{marks}` follows level {before}; leave none out"
            before = level
    if not titles:
        yield "-", "one-title", "no `#` heading; the first cell is the place for it"


def alternative_text(notebook: Notebook, path: Path) -> Found:
    """Every picture says in words what it shows."""
    for cell in notebook.cells:
        texts = [cell.source] if cell.cell_type == "markdown" else []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            texts += [data.get("text/html", ""), data.get("image/svg+xml", "")]
            if {"image/png", "image/jpeg"} & set(data):
                yield cell.id, "alt-text", 'picture output; show HTML with <img alt="..."> instead'
            if not _titled(data.get("text/vnd.mermaid")):
                yield cell.id, "alt-text", "mermaid output; give it accTitle: and accDescr:"
        for text in texts:
            yield from ((cell.id, "alt-text", todo) for todo in _unnamed(text))


def _titled(mermaid: str | None) -> bool:
    return mermaid is None or ("accTitle" in mermaid and "accDescr" in mermaid)


def _unnamed(text: str) -> Iterator[str]:
    """Yield what to do about each picture in markdown or HTML that has no name."""
    for _, language, body in FENCE.findall(text):
        if language == "mermaid" and not _titled(body):
            yield "mermaid picture; give it accTitle: and accDescr:"
    for mark, alt, target in LINK.findall(FENCE.sub("", text)):
        if mark and not alt.strip():
            yield f"![]({target}) has no text between the brackets; say what it shows"
    for tag in re.findall(r"<img\b[^>]*>", text):
        if not re.search(r"\balt=[\"'][^\"']", tag):
            yield "<img> without alt; say what it shows"
    for tag in re.findall(r"<(?:svg|iframe)\b[^>]*>", text):
        if not re.search(r"\b(aria-label|aria-labelledby|aria-hidden|title)=", tag):
            yield f"{tag[:30]}... without aria-label (svg) or title (iframe)"


def links(notebook: Notebook, path: Path) -> Found:
    """A link to a file of this repository finds it."""
    for cell in notebook.cells:
        for _, _, target in LINK.findall(prose(cell)):
            file = unquote(target.partition("#")[0])
            if re.match(r"[a-z]+:", target) or not file:
                continue
            if file.startswith("/") or not (path.parent / file).exists():
                yield cell.id, "link", f"{target} is not there (seen from {path.parent.name}/)"


def no_machine(notebook: Notebook, path: Path) -> Found:
    """No path of the machine that a notebook was written or run on."""
    here = [f"{folder}/" for folder in (path.parents[1], Path.home())]
    for cell in notebook.cells:
        for text in _shown(cell):
            found = MACHINE.search(text)
            known = next((folder for folder in here if folder in text), None)
            if found or known:
                place = found[0] if found else known
                yield cell.id, "machine-path", f"{place} exists here only; show a relative path"
                break
