"""Make the exercise notebooks from the solved ones.

Kept: prose, setup cells, answer cells with a stub in place of each solution, verdict cells, and
every cell id.
Dropped: cells tagged `checks`, `hints`, `wrong`, outputs and execution counts.
"""

from pathlib import Path

from coursekit.authoring.notebooks import ROOT, Notebook, normalise, notebooks, read, tags, write
from coursekit.grading.source import HIDDEN, exercises, marked, stub

DROPPED = {*HIDDEN, "solution"}


def exercise_of(path: Path) -> Notebook:
    """Return the exercise notebook of a solution notebook; ValueError says what is amiss in it."""
    exercises(path)  # raises before anything is written
    notebook = normalise(read(path))
    notebook.cells = [cell for cell in notebook.cells if not DROPPED & set(tags(cell))]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            if marked(cell.source):
                cell.source = stub(cell.source)
    return notebook


def write_exercises(root: Path = ROOT) -> list[Path]:
    """Write exercises/NAME.ipynb for every solutions/NAME.ipynb; return those that changed."""
    changed = []
    for source in notebooks("solutions", root=root):
        target = root / "exercises" / source.name
        if write(target, exercise_of(source)):
            changed.append(target)
    return changed
