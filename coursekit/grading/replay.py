"""Run a rebuilt notebook with nbval, confined, and say what each of its cells did.

The points are the judge's, from outside; here nbval compares what the kernel prints with the
judge's words. A difference means that the kernel was tampered with, or that the verdict depends
on what was run before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from coursekit.grading.rebuild import Rebuilt, with_verdicts
from coursekit.grading.sandbox import Limits, MiB, contained, start
from coursekit.grading.source import CHECK, marked
from coursekit.grading.verdicts import Verdict
from coursekit.practice.exercise import fingerprint

CELL_SECONDS = 20
LIMITS = Limits(cpu=600, data=2048 * MiB, processes=256)
PLUGINS = ("-p", "coursekit.authoring.nbval_plugin", "-p", "coursekit.grading.nbval_notes")
OPTIONS = ("-q", "-c", os.devnull, "-p", "no:cacheprovider", "-W", "ignore", "--color=no")
NBVAL = ("--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}")


@dataclass(frozen=True)
class Replay:
    """Hold what nbval found: a sentence for each cell that did not do what it should."""

    ran: bool
    findings: tuple[str, ...] = ()


def replay(rebuilt: Rebuilt, verdicts: list[Verdict], seconds: float = 600) -> Replay:
    """Run the notebook; `ran` is False if the machine could not (never the learner's fault)."""
    notebook = with_verdicts(rebuilt, {verdict.slug: str(verdict) for verdict in verdicts})
    # A short path: the kernel's sockets lie below it, and a socket's path has 104 bytes at most.
    short = "/tmp" if os.access("/tmp", os.W_OK) else None
    with tempfile.TemporaryDirectory(
        prefix="grade-", dir=short, ignore_cleanup_errors=True
    ) as name:
        folder = Path(name).resolve()
        folder.chmod(0o777)
        notes = _run(folder, notebook, _given(notebook, verdicts), seconds)
    if notes is None:
        return Replay(False, ("nbval could not run the notebook on this machine",))
    return Replay(True, tuple(_findings(notebook, notes)))


def _given(notebook: Any, verdicts: list[Verdict]) -> dict[str, dict[str, str]]:
    """Return the verdicts by exercise, each with the fingerprint of the source it judged."""
    sources = {marked(cell.source): cell.source for cell in notebook.cells}
    return {
        verdict.slug: {"text": str(verdict), "source": fingerprint(sources[verdict.slug])}
        for verdict in verdicts
    }


def _run(folder: Path, notebook: Any, given: dict[str, Any], seconds: float) -> Any:
    """Run pytest on the notebook, confined to the folder; return its notes by cell, or None."""
    path, told, notes = folder / "notebook.ipynb", folder / "verdicts.json", folder / "notes.json"
    nbformat.write(notebook, path)
    told.write_text(json.dumps(given), "utf-8")
    environ = {
        "COURSEKIT_VERDICTS": str(told),
        "COURSEKIT_NOTES": str(notes),
        "COURSEKIT_PROGRESS": str(folder / "progress.json"),
        "PYTHONPATH": "",
    }
    pytest = [sys.executable, "-m", "pytest", *OPTIONS, *PLUGINS, *NBVAL]
    confined = start(
        [*pytest, "--rootdir", str(folder), str(path)],
        limits=LIMITS, write=[folder], environ=environ,
    )  # fmt: skip
    try:
        confined.process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass
    finally:
        confined.end()
    try:
        return json.loads(notes.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _findings(notebook: Any, notes: dict[str, dict[str, str]]) -> list[str]:
    """Return a sentence for each cell that failed, did not run, or printed another verdict."""
    found: list[str] = []
    ended = False
    for number, cell in enumerate(notebook.cells, 1):
        note = notes.get(cell.id, {"outcome": "not run", "why": ""})
        if cell.cell_type != "code" or note["outcome"] == "passed":
            continue
        checked = CHECK.match(cell.source)
        slug = checked["slug"] if checked else marked(cell.source)
        where = f"{slug}: cell {number}" if slug else f"cell {number}"
        if note["outcome"] == "not run" or ended:
            found.append(f"{where} did not run: the kernel had ended before it")
        elif checked:
            found.append(
                f"{where}: the kernel did not print the judge's verdict; the judge's counts"
            )
        else:
            found.append(f"{where} failed: {note['why']}")
            ended = ended or "the kernel ended" in note["why"]
    return found


def containment() -> str:
    """Return how far the answers are held on this machine."""
    return str(contained())
