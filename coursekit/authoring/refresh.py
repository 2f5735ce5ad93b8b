"""Refresh: quoted code filled in, exercises made, lessons and solutions run, outputs stored.

Rule 1  A file is written only when its text changes, and a second refresh changes no byte.
Rule 2  A notebook with an error in it keeps its old outputs; the others are still done.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from traitlets.config import Config

from coursekit.authoring import notebooks, quote
from coursekit.authoring.exercises import write_exercises
from coursekit.authoring.notebooks import Notebook

AT_ONCE = 2
CELL_SECONDS = 120


def refresh(paths: Iterable[Path]) -> bool:
    """Refresh these notebooks; return whether every one of them ran without an error."""
    paths = [path.resolve() for path in paths]
    for path in paths:
        notebook = notebooks.read(path)
        if quote.fill(notebook, path.parent.parent):
            notebooks.write(path, notebook)
    for root in {path.parent.parent for path in paths if path.parent.name == "solutions"}:
        for made in write_exercises(root):
            print(f"exercises/{made.name}: made from the solution")
    return asyncio.run(_run_all([path for path in paths if path.parent.name != "exercises"]))


async def _run_all(paths: list[Path]) -> bool:
    gate, progress = asyncio.Semaphore(AT_ONCE), _Progress()
    return all(await asyncio.gather(*(_run_one(path, gate, progress) for path in paths)))


async def _run_one(path: Path, gate: asyncio.Semaphore, progress: "_Progress") -> bool:
    async with gate:
        name, began = f"{path.parent.name}/{path.name}", time.monotonic()
        notebook = notebooks.read(path)
        try:
            await run(notebook, path.parent, lambda done: progress.update(name, done))
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            progress.finish(name, f"stopped, its outputs are as they were\n{_reason(error)}")
            return False
        changed = notebooks.write(path, notebooks.normalise(notebook))
        seconds = time.monotonic() - began
        progress.finish(name, f"{'changed' if changed else 'as before'} ({seconds:.0f} s)")
        return True


def _reason(error: Exception) -> str:
    return error.traceback if isinstance(error, CellExecutionError) else str(error)


async def run(notebook: Notebook, folder: Path, tell: Callable[[str], None] = print) -> None:
    """Run a notebook in this folder with a fresh kernel; store its outputs in it.

    `tell` is called after each cell, with a text such as "3 of 40".
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    total = len(notebook.cells)

    def executed(cell_index: int, **_: object) -> None:
        tell(f"{cell_index + 1} of {total}")

    with tempfile.TemporaryDirectory() as scratch:
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
            on_cell_executed=executed,
            record_timing=False,
            store_widget_state=False,
            config=_over_ipc(scratch),
        )
        env = {**os.environ, "COURSEKIT_PROGRESS": os.path.join(scratch, "progress.json")}
        await client.async_execute(env=env)


def _over_ipc(scratch: str) -> Config:
    """Let a kernel speak over sockets in a folder: tcp ports, picked first, can be lost."""
    file = os.path.join(scratch, "kernel.json")
    return Config({"KernelManager": {"transport": "ipc", "connection_file": file}})


class _Progress:
    """One line on a terminal that says how far each running notebook is; plain lines elsewhere."""

    def __init__(self) -> None:
        self.running: dict[str, str] = {}
        self.live = sys.stderr.isatty()

    def update(self, name: str, done: str) -> None:
        self.running[name] = done
        self._draw()

    def finish(self, name: str, outcome: str) -> None:
        self.running.pop(name, None)
        print(f"{_CLEAR if self.live else ''}{name}: {outcome}", flush=True)
        self._draw()

    def _draw(self) -> None:
        if self.live:
            line = " · ".join(f"{name} cell {done}" for name, done in self.running.items())
            print(f"{_CLEAR}{line[:110]}", end="", file=sys.stderr, flush=True)


_CLEAR = "\r\x1b[K"
