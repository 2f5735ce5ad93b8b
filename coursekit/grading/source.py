"""Read exercises out of a solution notebook: one source, cut into its parts.

Each cell of an exercise is found by its first line, never by its place or metadata:
`# exercise: SLUG`, `check("SLUG")`, `# checks: SLUG`, `<!-- hints: SLUG -->`, `# wrong: SLUG`.
The page docs/writing-exercises.md is the author's manual.

Rule 1  Only the standard library: the judge starts for every verdict, so it must start fast.
Rule 2  What is not well-formed raises FormatError with the notebook, the exercise and the remedy.
"""

from __future__ import annotations

import io
import json
import os
import re
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MARK = re.compile(r"^[ \t]*#+[ \t]*exercise[ \t]*:[ \t]*(?P<slug>[\w.-]+)", re.M | re.I)
CHECK = re.compile(r"""^\s*check\(\s*["'](?P<slug>[\w.-]+)["']\s*\)""", re.M)
HIDDEN = {"checks", "hints", "wrong"}
PARTS = {
    "checks": re.compile(r"^# checks: (?P<slug>[\w.-]+)$", re.M),
    "hints": re.compile(r"^<!-- hints: (?P<slug>[\w.-]+) -->$", re.M),
    "wrong": re.compile(r"^# wrong: (?P<slug>[\w.-]+)$", re.M),
}
REGION = re.compile(
    r"^(?P<indent>[ \t]*)### BEGIN SOLUTION[ \t]*\n(?P<body>.*?)^[ \t]*### END SOLUTION[ \t]*$",
    re.S | re.M,
)
SAID = re.compile(r"^# (because|fails|installs):[ \t]*(.+)$", re.M)
UNWRITTEN = "is not written yet"


class FormatError(ValueError):
    """A solution notebook does not hold what an exercise needs."""


@dataclass(frozen=True)
class Wrong:
    """Hold one wrong answer: why a learner writes it, and a part of the message it must get."""

    source: str
    because: str
    fails: str


@dataclass(frozen=True)
class Exercise:
    """Hold one exercise; `answer` is the solved cell, `stub` the same cell as learners get it."""

    slug: str
    title: str
    notebook: str
    setup: str
    answer: str
    checks: str
    hints: tuple[str, ...] = ()
    wrong: tuple[Wrong, ...] = ()

    @property
    def stub(self) -> str:
        """The answer cell with a stub in the place of every solution."""
        return stub(self.answer)

    @property
    def solution(self) -> str:
        """The answer cell without the markers."""
        return re.sub(
            r"^[ \t]*(### (BEGIN|END) SOLUTION[ \t]*|#: .*)\n?", "", self.answer, flags=re.M
        )

    @property
    def installs(self) -> tuple[str, ...]:
        """Where the answer goes in the toy, such as "servers.http11.parse_head"."""
        return installs(self.answer)


def installs(answer: str) -> tuple[str, ...]:
    """Return what the `# installs:` line of an answer cell names."""
    found = [names for kind, names in SAID.findall(answer) if kind == "installs"]
    return tuple(name.strip() for names in found for name in names.split(","))


def stub(answer: str) -> str:
    """Return an answer cell with each solution replaced by a line that fails with a sentence."""
    return REGION.sub(lambda region: _stub_of(answer, region), answer)


def _stub_of(answer: str, region: re.Match[str]) -> str:
    indent = region["indent"]
    given = re.findall(r"^[ \t]*#: ?(.*)$", region["body"], re.M)
    if given:
        return "\n".join(indent + line if line else "" for line in given)
    name = _enclosing(answer[: region.start()], indent) or _slug(answer)
    return f'{indent}raise NotImplementedError("{name} {UNWRITTEN}")'


def _enclosing(before: str, indent: str) -> str:
    """Name the function or class around a region: `parse_head`, `Reader.feed`."""
    names: list[str] = []
    width = len(indent)
    for line in reversed(before.splitlines()):
        found = re.match(r"([ \t]*)(?:async def|def|class) (\w+)", line)
        if found and len(found[1]) < width:
            names.insert(0, found[2])
            width = len(found[1])
    return ".".join(names)


def _slug(source: str) -> str:
    found = MARK.search(source)
    return found["slug"] if found else "this exercise"


def marked(source: str) -> str | None:
    """Return the slug that a cell's text is marked with, or None."""
    found = MARK.search(source)
    return found["slug"] if found else None


def untouched(answer: str, stub: str) -> bool:
    """Tell whether an answer is still the stub, whatever its spaces and comments."""
    return _tokens(answer) == _tokens(stub)


def _tokens(source: str) -> list[str]:
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type not in skipped:
                found.append(token.string)
    except (tokenize.TokenError, SyntaxError):
        return source.split()
    return found


def exercises(path: Path) -> list[Exercise]:
    """Return the exercises of one solution notebook in order; FormatError says what is amiss."""
    cells = cells_of(path)
    return [_exercise(path, slug, cells) for slug in _slugs(path, cells)]


def cells_of(path: Path) -> list[dict[str, Any]]:
    """Return a notebook's cells: kind, source, tags and id. FormatError if there are none."""
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        return [
            {
                "kind": cell["cell_type"],
                "source": "".join(cell["source"]),
                "tags": cell.get("metadata", {}).get("tags", []),
                "id": cell.get("id", ""),
            }
            for cell in cells
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path.name} is not a readable notebook: {error}") from None


def _slugs(path: Path, cells: list[dict[str, Any]]) -> list[str]:
    found = [
        slug
        for cell in cells
        if cell["kind"] == "code" and not HIDDEN & set(cell["tags"])
        for slug in [marked(cell["source"])]
        if slug
    ]
    for slug in found:
        if found.count(slug) > 1:
            raise FormatError(f"{path.name}: two answer cells are marked {slug!r}")
    return found


def _exercise(path: Path, slug: str, cells: list[dict[str, Any]]) -> Exercise:
    place, answer = next(
        (place, cell["source"])
        for place, cell in enumerate(cells)
        if marked(cell["source"]) == slug
        and cell["kind"] == "code"
        and not HIDDEN & set(cell["tags"])
    )
    if not REGION.search(answer):
        raise FormatError(f"{path.name}: {slug}: no ### BEGIN SOLUTION ... ### END SOLUTION")
    checks = _tagged(cells, "checks", slug)
    if len(checks) != 1:
        raise FormatError(f"{path.name}: {slug}: {len(checks)} cells `# checks: {slug}`, needs one")
    if not any(CHECK.match(cell["source"]) and slug in cell["source"] for cell in cells):
        raise FormatError(f'{path.name}: {slug}: no cell check("{slug}")')
    return Exercise(
        slug,
        _title(cells[:place], slug),
        path.stem,
        "\n\n".join(cell["source"] for cell in cells if "setup" in cell["tags"]),
        answer,
        checks[0],
        tuple(hint for text in _tagged(cells, "hints", slug) for hint in _hints(text)),
        tuple(_wrong(path, slug, text) for text in _tagged(cells, "wrong", slug)),
    )


def _tagged(cells: list[dict[str, Any]], part: str, slug: str) -> list[str]:
    """Return the texts of the cells that hold one part of one exercise."""
    texts = []
    for cell in cells:
        found = PARTS[part].match(cell["source"])
        if found and found["slug"] == slug:
            if cell["kind"] == "code":
                raise FormatError(
                    f"{slug}: `{part}` must be a raw cell: the notebook must not run it"
                )
            texts.append(cell["source"])
    return texts


def _title(before: list[dict[str, Any]], slug: str) -> str:
    for cell in reversed(before):
        headings = re.findall(r"^#+ +(.+)$", cell["source"], re.M)
        if cell["kind"] == "markdown" and headings:
            return str(headings[-1]).strip()
    return slug


def _hints(text: str) -> list[str]:
    """Return the items of an ordered list, their lines joined."""
    items = re.split(r"^\d+[.)] +", text, flags=re.M)[1:]
    return [textwrap.dedent(item).strip() for item in items]


def _wrong(path: Path, slug: str, text: str) -> Wrong:
    said = {kind: value.strip() for kind, value in SAID.findall(text)}
    if not {"because", "fails"} <= set(said):
        raise FormatError(f"{path.name}: {slug}: a wrong answer needs `# because:` and `# fails:`")
    return Wrong(text, said["because"], said["fails"])


def solutions_folder() -> Path:
    """Return where the solutions are: COURSEKIT_SOLUTIONS, else solutions/ of the project."""
    return Path(os.environ.get("COURSEKIT_SOLUTIONS") or ROOT / "solutions")


def course(folder: Path | None = None) -> Iterator[Exercise]:
    """Yield every exercise of the course, notebook by notebook."""
    for path in sorted((folder or solutions_folder()).glob("*.ipynb")):
        yield from exercises(path)


def find(slug: str, folder: Path | None = None) -> Exercise:
    """Return one exercise of the course; LookupError if there is none of this name."""
    folder = folder or solutions_folder()
    for path in sorted(folder.glob("*.ipynb")):
        if f"exercise: {slug}" in path.read_text("utf-8"):
            for exercise in exercises(path):
                if exercise.slug == slug:
                    return exercise
    if not any(folder.glob("*.ipynb")):
        raise LookupError(
            "the exercises' checks are not on this machine: no notebook in solutions/"
        )
    raise LookupError(f"no exercise is named {slug!r}")
