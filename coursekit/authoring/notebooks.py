"""Notebooks as text that has one form only, so that a second save changes no byte.

Rule 1  What varies from run to run is dropped: times, widget ids and state, Python's version, and
        a widget without a text: a bar that only a long run shows.
Rule 2  What a reader or nbval compares is kept: streams, text, HTML, the message of an error.
"""

import warnings
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import nbformat
import nbformat.warnings

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("notebooks", "exercises", "solutions")
WIDGET = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "name": "python", "pygments_lexer": "ipython3"},
}
VARYING = ("execution", "ExecuteTime", "collapsed", "scrolled", "trusted")

Notebook = nbformat.NotebookNode


def notebooks(*folders: str, root: Path = ROOT) -> list[Path]:
    """List the notebooks of these folders of a project (all three when none is named), in order."""
    return [path for name in folders or FOLDERS for path in sorted((root / name).glob("*.ipynb"))]


def read(path: Path) -> Notebook:
    """Read a notebook; raise ValueError with the file's name when it is none."""
    try:
        with warnings.catch_warnings():
            # A double id gets a new one here; lint says so, with the cell.
            warnings.simplefilter("ignore", nbformat.warnings.DuplicateCellId)
            notebook: Notebook = nbformat.read(path, as_version=4)
        return notebook
    except (ValueError, nbformat.ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path.name} is not a readable notebook: {reason}") from error


def tags(cell: Notebook) -> list[str]:
    """Return the tags of a cell."""
    return list(cell.metadata.get("tags", []))


def text(notebook: Notebook) -> str:
    """Return the one text of a notebook, as JupyterLab would save it."""
    written: str = nbformat.writes(notebook, version=nbformat.NO_CONVERT)
    return written + "\n"


def write(path: Path, notebook: Notebook) -> bool:
    """Write a notebook when its text differs from the file's; return whether it did."""
    new = text(notebook)
    if path.exists() and path.read_text("utf-8") == new:
        return False
    path.parent.mkdir(exist_ok=True)
    path.write_text(new, "utf-8")
    return True


def normalise(notebook: Notebook) -> Notebook:
    """Drop from a notebook, in place, whatever would differ after another run of it."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.update(nbformat.from_dict(METADATA))
    count = 0
    for cell in notebook.cells:
        for name in VARYING:
            cell.metadata.pop(name, None)
        if cell.cell_type == "code":
            ran = cell.execution_count is not None
            count += ran
            cell.execution_count = count if ran else None
            cell.outputs = list(_outputs(cell.outputs, count))
    return notebook


def _outputs(outputs: Iterable[Notebook], count: int) -> Iterable[Notebook]:
    """Yield outputs in their lasting form: one stream of a name between two other outputs."""
    lasting = (output for output in outputs if set(output.get("data", [""])) - {WIDGET})
    for kind, group in groupby(lasting, lambda output: output.output_type):
        run = list(group)
        yield from _streams(run) if kind == "stream" else [_output(o, count) for o in run]


def _streams(run: list[Notebook]) -> list[Notebook]:
    """Merge a run of streams; stdout and stderr reach the page in no certain order."""
    texts: dict[str, str] = {}
    for output in run:
        texts[output.name] = texts.get(output.name, "") + output.text
    names = sorted(texts, reverse=True)
    return [nbformat.v4.new_output("stream", name=name, text=texts[name]) for name in names]


def _output(output: Notebook, count: int) -> Notebook:
    if output.output_type == "execute_result":
        output.execution_count = count
    if "data" in output:
        output.data.pop(WIDGET, None)
        output.metadata.pop(WIDGET, None)
    if output.output_type == "error":
        # Frames outside the notebook name this machine's folders, and the next version's lines.
        output.traceback = [frame for frame in output.traceback if not _outside(frame)]
    return output


def _outside(frame: Any) -> bool:
    return "\x1b[32mFile \x1b" in frame or frame.lstrip("\x1b[0123456789;m").startswith("File ")
