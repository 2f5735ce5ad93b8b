"""A report on the terminal."""

from __future__ import annotations

from contextlib import AbstractContextManager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coursekit.grading import verdicts
from coursekit.grading.report import Report

COLOURS = {
    verdicts.PASSED: "green",
    verdicts.FAILED: "red",
    verdicts.ERROR: "red",
    verdicts.NOT_ATTEMPTED: "yellow",
    verdicts.NOT_JUDGED: "magenta",
}
console = Console(highlight=False, soft_wrap=True)


def working(name: str) -> AbstractContextManager[object]:
    """Show that a notebook is being graded; where nobody watches, nothing."""
    return console.status(f"grading {name} ...")


def show(report: Report) -> None:
    """Print a report: a table of exercises, then each verdict that is not a pass, then the rest."""
    console.print(Text(f"{report.notebook}: {report.headline}", style="bold"))
    table = Table(box=None, pad_edge=False)
    for heading in ("exercise", "outcome", "points"):
        table.add_column(heading)
    for verdict in report.verdicts:
        outcome = Text(verdict.outcome, style=COLOURS[verdict.outcome])
        table.add_row(verdict.slug, outcome, f"{verdict.earned} of {verdict.points}")
    if report.verdicts:
        console.print(table)
    for verdict in report.verdicts:
        if verdict.outcome not in (verdicts.PASSED, verdicts.NOT_ATTEMPTED):
            console.print(Text(f"\n{verdict}"))
    for line in (*report.warnings, *report.findings):
        console.print(Text(f"warning: {line}", style="yellow"))
    console.print(Text(report.containment, style="dim"))
