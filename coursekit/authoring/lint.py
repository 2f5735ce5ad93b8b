"""The rules of a notebook, as functions from a notebook to what is wrong with it.

Rule 1  A finding names the file, the cell, the rule, and what to do.
Rule 2  Nothing is switched off for one notebook: a rule that does not fit is changed here.
Left out: whether the prose is good. style.md is read by people.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from coursekit.authoring import notebooks, quote
from coursekit.authoring.notebooks import Notebook, tags
from coursekit.authoring.seen import (
    LINK,
    Found,
    alternative_text,
    headings,
    links,
    no_machine,
    prose,
)
from coursekit.grading.source import FormatError, exercises

MOST_CELLS, MOST_LINES, MOST_QUOTED, MOST_WORDS = 60, 12, 40, 2000
LEAST_WRONG, LEAST_HINTS = 3, 2
OPENING = {
    "what you will be able to do": r"able to",
    "how long it takes": r"\d+\s*minutes",
    "what it needs": r"\bneeds?\b",
}
HIDING = re.compile(r"^\s*#+\s*(NBVAL_SKIP|NBVAL_IGNORE_OUTPUT|PYTEST_VALIDATE_IGNORE)", re.M)
HIDING_TAGS = {"nbval-skip", "nbval-ignore-output", "skip-execution"}


@dataclass(frozen=True)
class Finding:
    """Say what one rule found in one cell, and what to do."""

    file: str
    cell: str
    rule: str
    todo: str

    def __str__(self) -> str:
        return f"{self.file} [{self.cell}] {self.rule}: {self.todo}"


def lint(path: Path) -> list[Finding]:
    """Return what the rules find in one notebook; the folder it is in says which rules."""
    path = path.resolve()
    kind, name = path.parent.name, f"{path.parent.name}/{path.name}"
    try:
        notebook = notebooks.read(path)
    except ValueError as error:
        return [Finding(name, "-", "readable", str(error))]
    rules: list[Callable[[Notebook, Path], Found]] = list(EVERYWHERE)
    rules += {"notebooks": LESSON, "solutions": SOLUTION, "exercises": EXERCISE}.get(kind, [])
    return [Finding(name, *found) for rule in rules for found in rule(notebook, path)]


# Everywhere


def unique_ids(notebook: Notebook, path: Path) -> Found:
    """Cell ids are unique: a learner's work and nbval's reports hang on them."""
    saved = json.loads(path.read_text("utf-8"))["cells"]  # reading it as a notebook mends it
    for cell_id, times in Counter(cell.get("id", "") for cell in saved).items():
        if times > 1:
            yield cell_id, "unique-id", f"{times} cells have this id; give all but one a new one"


def saved_form(notebook: Notebook, path: Path) -> Found:
    """The file is what refresh would have written."""
    if path.read_text("utf-8") != notebooks.text(notebooks.normalise(notebook)):
        yield "-", "saved-form", "holds what varies from run to run; run `make refresh`"


def nothing_hidden(notebook: Notebook, path: Path) -> Found:
    """Every cell is run and compared; an error is announced by its tag."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if HIDING.search(cell.source) or HIDING_TAGS & set(tags(cell)):
            yield cell.id, "hidden", "kept from the tests; make its output stable instead"
        failed = any(output.output_type == "error" for output in cell.outputs)
        if failed != ("raises-exception" in tags(cell)) and cell.execution_count:
            yield cell.id, "error", "error and tag raises-exception: both or neither"
        if cell.outputs and cell.execution_count is None:
            yield cell.id, "not-run", "outputs of a cell that did not run; run `make refresh`"


def build_cells(notebook: Notebook, path: Path) -> Found:
    """A build cell holds what its module holds."""
    for cell in notebook.cells:
        if "build" in tags(cell):
            try:
                if cell.source != quote.quoted(cell.source.partition("\n")[0], path.parents[1]):
                    yield cell.id, "build", "differs from the module; run `make refresh`"
            except ValueError as error:
                yield cell.id, "build", str(error)


# Lessons


def size(notebook: Notebook, path: Path) -> Found:
    """A lesson fits one sitting, a cell one look."""
    if len(notebook.cells) > MOST_CELLS:
        yield "-", "cells", f"{len(notebook.cells)} cells; a lesson has {MOST_CELLS} at most"
    words = sum(len(re.findall(r"\w[\w'’-]*", LINK.sub(r"\2", prose(c)))) for c in notebook.cells)
    if words > MOST_WORDS:
        yield "-", "words", f"{words} words of prose; a lesson has {MOST_WORDS} at most"
    for cell in notebook.cells:
        lines = len(cell.source.splitlines())
        most = MOST_QUOTED if "build" in tags(cell) else MOST_LINES
        if cell.cell_type == "code" and lines > most:
            yield cell.id, "lines", f"{lines} lines; a cell of this kind has {most} at most"


def opening(notebook: Notebook, path: Path) -> Found:
    """The first cell is the title and says what the reader gets for what."""
    first = notebook.cells[0] if notebook.cells else None
    if first is None or not prose(first).startswith("# "):
        yield "-", "opening", "the first cell is markdown and begins with the title, `# ...`"
        return
    for what, pattern in OPENING.items():
        if not re.search(pattern, prose(first), re.I):
            yield first.id, "opening", f"does not say {what} (no match for {pattern!r})"


def alternation(notebook: Notebook, path: Path) -> Found:
    """Between two code cells stands a sentence; a question or a task is one."""
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        asks = before.source.startswith(("predict(", "# exercise: "))
        if before.cell_type == cell.cell_type == "code" and not asks:
            yield cell.id, "alternate", "two code cells in a row; say in a sentence why this one"


def ran(notebook: Notebook, path: Path) -> Found:
    """Every code cell was run, so that a reader without a kernel sees what it does."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            yield cell.id, "not-run", "no stored run; run `make refresh`"


# Solutions and exercises


def proven(notebook: Notebook, path: Path) -> Found:
    """An exercise can be read, helps, and is shown to catch what learners get wrong."""
    try:
        found = exercises(path)
    except FormatError as error:
        yield "-", "exercise", str(error)
        return
    for exercise in found:
        if len(exercise.wrong) < LEAST_WRONG:
            todo = f"{exercise.slug} has {len(exercise.wrong)} wrong answers; needs {LEAST_WRONG}"
            yield "-", "wrong-answers", todo
        if len(exercise.hints) < LEAST_HINTS:
            todo = f"{exercise.slug} has {len(exercise.hints)} hints; needs {LEAST_HINTS}"
            yield "-", "hints", todo


def generated(notebook: Notebook, path: Path) -> Found:
    """An exercise is what its solution makes, and has not been run."""
    from coursekit.authoring.exercises import exercise_of

    source = path.parents[1] / "solutions" / path.name
    if any(cell.get("outputs") for cell in notebook.cells):
        yield "-", "no-outputs", "an exercise is handed out unrun; run `make refresh`"
    if not source.exists():
        yield "-", "generated", f"there is no solutions/{path.name} to make it from"
        return
    try:
        made = notebooks.text(exercise_of(source))
    except FormatError:
        return  # said where the solution is read
    if path.read_text("utf-8") != made:
        yield "-", "generated", f"differs from what solutions/{path.name} makes; run `make refresh`"


Rules = list[Callable[[Notebook, Path], Found]]
EVERYWHERE: Rules = [
    unique_ids,
    saved_form,
    headings,
    alternative_text,
    links,
    no_machine,
    nothing_hidden,
    build_cells,
]
LESSON: Rules = [size, opening, alternation, ran]
SOLUTION: Rules = [proven, ran]
EXERCISE: Rules = [generated]
