"""Build cells: what a lesson quotes of servers/, filled from the module and compared with it.

A build cell has the tag `build` and begins with a line such as
`# servers/http11.py: parse_head, NEXT`. The rest of it is the text of these functions, classes,
constants and imports, with their decorators and the comments above them. `Reader.feed` is one
method of a class, followed by the line that puts it into the class.
"""

import ast
import re
import textwrap
from pathlib import Path

from coursekit.authoring.notebooks import Notebook, tags

HEADER = re.compile(r"^# (?P<file>[\w/]+\.py): (?P<names>[\w.]+(?:, [\w.]+)*)$")


def fill(notebook: Notebook, root: Path) -> list[str]:
    """Fill the build cells of a notebook from the modules under root; return the ids changed.

    Raises ValueError for a header that names no file, or nothing that is in it.
    """
    changed = []
    for cell in notebook.cells:
        if cell.cell_type == "code" and "build" in tags(cell):
            source = quoted(cell.source.partition("\n")[0], root)
            if source != cell.source:
                cell.source = source
                changed.append(cell.id)
    return changed


def quoted(header: str, root: Path) -> str:
    """Return the whole source of the build cell that begins with this header."""
    match = HEADER.match(header)
    if not match:
        raise ValueError(f"a build cell begins `# servers/MODULE.py: name, name`, not {header!r}")
    try:
        source = (root / match["file"]).read_text("utf-8")
    except OSError:
        raise ValueError(f"{header!r}: there is no file {match['file']}") from None
    parts = [_part(name, source, match["file"]) for name in match["names"].split(", ")]
    source = f"{header}\n{parts[0]}"
    for before, part in zip(parts, parts[1:], strict=False):
        source += ("\n\n" if "\n" in before + part else "\n") + part
    return source


def _part(name: str, source: str, file: str) -> str:
    scope = ast.parse(source).body
    owner, _, last = name.rpartition(".")
    for part in owner.split(".") if owner else []:
        found = _named(part, scope)
        if not isinstance(found, ast.ClassDef):
            raise ValueError(f"{file} has no class {part}")
        scope = found.body
    node = _named(last, scope)
    if node is None:
        raise ValueError(f"{file} has no {name} at its top level")
    part = textwrap.dedent(_lines(node, source))
    return f"{part}\n\n\n{name} = {last}" if owner else part


def _named(name: str, scope: list[ast.stmt]) -> ast.stmt | None:
    return next((node for node in scope if name in _names(node)), None)


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    inside = [node for target in targets if target for node in ast.walk(target)]
    return [node.id for node in inside if isinstance(node, ast.Name)]


def _lines(node: ast.stmt, source: str) -> str:
    """Return the whole lines of a statement, from the comments that stand right above it."""
    lines = source.splitlines()
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(d.lineno for d in decorators)]) - 1
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return "\n".join(lines[first : node.end_lineno])
