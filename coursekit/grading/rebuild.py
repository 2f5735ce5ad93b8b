"""Put a learner's answers into the pristine exercise notebook, wherever they are by now.

An answer is found by the marker in its text; if that is gone, by its cell's id, by the names that
it defines, or by likeness. Lost metadata, copied, moved, split and retyped cells all grade, with
a warning; skip markers and tags have no effect, because nothing but the answers' text is taken.
"""

from __future__ import annotations

import ast
import copy
import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from coursekit.authoring.exercises import exercise_of
from coursekit.grading.source import CHECK, UNWRITTEN, Exercise, exercises, marked, untouched

SKIPPING = {"nbval-skip", "raises-exception", "nbval-ignore-output", "skip-execution"}
SKIP_LINE = re.compile(r"^[ \t]*#[ \t]*(NBVAL_\w+|PYTEST_VALIDATE_\w+).*\n?", re.M | re.I)
FENCE = re.compile(r"^```.*$\n?", re.M)
ALIKE = 0.6  # difflib's ratio above which an unmarked cell is taken for an answer


class CannotGrade(Exception):
    """This file cannot be graded; the message says why and what to do."""


@dataclass
class Rebuilt:
    """Hold the pristine notebook with the answers in it, and what was odd about them."""

    notebook: Any
    exercises: list[Exercise]
    answers: dict[str, str | None] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read(path: Path) -> Any:
    """Read a submitted notebook; CannotGrade if it is none."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise CannotGrade(f"there is no file {path}") from None
    except Exception as error:
        text = path.read_text("utf-8", "replace") if path.is_file() else ""
        if "<<<<<<<" in text:
            why = "it holds conflict marks (<<<<<<<) of a merge: keep one side, then save"
        else:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CannotGrade(f"{path.name} is not a readable notebook: {why[:200]}") from None
    return notebook


def rebuild(submitted: Any, name: str, folder: Path) -> Rebuilt:
    """Rebuild a submission from the pristine notebook of the course that it belongs to."""
    source = _belongs_to(submitted, name, folder)
    rebuilt = Rebuilt(exercise_of(source), exercises(source))
    places = {marked(cell.source): cell for cell in _code(rebuilt.notebook)}
    taken: set[int] = set()
    for exercise in rebuilt.exercises:
        answer = _answer(submitted, exercise, places[exercise.slug], rebuilt, taken)
        rebuilt.answers[exercise.slug] = answer
        if answer is not None:
            places[exercise.slug].source = answer
    return rebuilt


def _code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _belongs_to(submitted: Any, name: str, folder: Path) -> Path:
    """Return the solution notebook that shares most exercises, or else the name."""
    here = {marked(cell.source) for cell in submitted.cells} - {None}
    checked = {found["slug"] for cell in submitted.cells for found in CHECK.finditer(cell.source)}
    best, most = None, 0
    for path in sorted(folder.glob("*.ipynb")):
        slugs = {exercise.slug for exercise in exercises(path)}
        score = 2 * len(slugs & (here | checked)) + (path.name == name)
        if slugs and score > most:
            best, most = path, score
    if best is None:
        raise CannotGrade(f"{name} belongs to no exercise notebook of this course ({folder.name}/)")
    return best


def _answer(
    submitted: Any, exercise: Exercise, place: Any, rebuilt: Rebuilt, taken: set[int]
) -> str | None:
    """Find one answer, and say what was odd about finding it."""
    # long: the ways to find it, one after the other

    def warn(text: str) -> None:
        rebuilt.warnings.append(f"{exercise.slug}: {text}")

    found = [
        number
        for number, cell in enumerate(submitted.cells)
        if _strictly_marked(cell.source) == exercise.slug and number not in taken
    ]
    if found:
        number = _newest(found, submitted.cells, exercise)
        if len(found) > 1:
            warn(f"{len(found)} cells are marked with it; graded: the newest (cell {number + 1})")
    else:
        guessed = _guess(submitted, exercise, place, rebuilt, taken)
        if guessed is None:
            warn("no answer cell was found")
            return None
        number = guessed
        warn(f"its first line is gone; cell {number + 1} was taken for the answer")
    text, cells_used = _joined(submitted.cells, number, exercise, rebuilt.notebook)
    taken.update(range(number, number + cells_used))
    if cells_used > 1:
        warn(f"the answer was split; {cells_used} cells were joined")
    return _cleaned(submitted.cells[number], text, exercise, warn)


def _strictly_marked(text: str) -> str | None:
    """Return the slug of a marker in the first lines; a heading in prose is no marker."""
    lines = [line for line in FENCE.sub("", text).splitlines() if line.strip()][:4]
    for line in lines:
        if re.match(r"\s*#\s*exercise\s*:", line, re.I):
            return marked(line)
    return None


def _newest(found: list[int], cells: list[Any], exercise: Exercise) -> int:
    """Return the attempted one that was run last; the last one if none was."""

    def rank(number: int) -> tuple[bool, int, int]:
        cell = cells[number]
        attempted = UNWRITTEN not in cell.source and not untouched(cell.source, exercise.stub)
        return attempted, cell.get("execution_count") or 0, number

    return max(found, key=rank)


def _guess(
    submitted: Any, exercise: Exercise, place: Any, rebuilt: Rebuilt, taken: set[int]
) -> int | None:
    """Return the unmarked cell that is most like the answer: by id, names, then likeness."""
    pristine = {cell.source for cell in rebuilt.notebook.cells}
    needed = _defined(exercise.stub)
    best: tuple[float, int | None] = (ALIKE, None)
    for number, cell in enumerate(submitted.cells):
        text = cell.source
        if number in taken or cell.cell_type == "markdown" or text in pristine or not text.strip():
            continue
        if _strictly_marked(text) or CHECK.search(text):
            continue
        score = difflib.SequenceMatcher(None, exercise.stub, text, autojunk=False).ratio()
        score += 2 * (cell.get("id") == place.id) + bool(needed and needed <= _defined(text))
        if score > best[0]:
            best = (score, number)
    return best[1]


def _defined(text: str) -> set[str]:
    """Return the names that a cell's top level defines; none if it does not compile."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return set()
    names = {node.name for node in body if hasattr(node, "name")}
    for node in body:
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def _compiles(text: str) -> bool:
    try:
        compile(text, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError):
        return False
    return True


def _joined(cells: list[Any], number: int, exercise: Exercise, pristine: Any) -> tuple[str, int]:
    """Return an answer with the cells that were split off it, and how many cells these are."""
    known = {cell.source for cell in pristine.cells}
    needed = _defined(exercise.stub)
    alone = text = FENCE.sub("", cells[number].source)
    used = 1
    for follower in cells[number + 1 :]:
        more = follower.source
        if more in known or _strictly_marked(more) or CHECK.search(more):
            break
        if follower.cell_type == "markdown":
            break
        if needed <= _defined(text) and _compiles(text) and _compiles(more):
            break
        text, used = f"{text}\n{more}", used + 1
    if _compiles(text) and needed <= _defined(text):
        return text, used
    return alone, 1


def _cleaned(cell: Any, text: str, exercise: Exercise, warn: Any) -> str:
    """Drop what would keep nbval from running or judging the cell; give the marker back."""
    if cell.cell_type != "code":
        warn(f"the answer was a {cell.cell_type} cell; graded as code")
    tags = SKIPPING & set(cell.metadata.get("tags", []))
    without = SKIP_LINE.sub("", text)
    if tags or without != text:
        warn(f"skip markers have no effect ({', '.join(sorted(tags)) or 'NBVAL_...'})")
    if marked(without) != exercise.slug:
        without = f"# exercise: {exercise.slug}\n{without}"
    return without


def with_verdicts(rebuilt: Rebuilt, texts: dict[str, str]) -> Any:
    """Return the notebook as nbval shall find it: each verdict cell printed the judge's words."""
    notebook = copy.deepcopy(rebuilt.notebook)
    for cell in _code(notebook):
        found = CHECK.match(cell.source)
        cell.outputs, cell.execution_count = [], None
        if found and found["slug"] in texts:
            text = texts[found["slug"]] + "\n"
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
            cell.execution_count = 1  # nbval compares cells that were run only
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "nbval-check-output"]
    return notebook
