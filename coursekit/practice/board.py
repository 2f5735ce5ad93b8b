"""The progress board: every exercise and prediction of the course, as a table and as text."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

from coursekit.grading import verdicts
from coursekit.grading.source import FormatError, course
from coursekit.practice import state

HEADINGS = ("Lesson", "Exercise", "Outcome", "Points", "Hints", "Solution")


@dataclass(frozen=True)
class Board:
    """Hold the rows of the board; Jupyter shows them as a table, print as text."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    predictions: list[tuple[str, str, str]] = field(default_factory=list)
    note: str = ""

    @property
    def passed(self) -> int:
        """How many exercises are passed."""
        return sum(row[2] == verdicts.PASSED for row in self.rows)

    def summary(self) -> str:
        """Return one line about the whole."""
        right = sum(said == happened for _, said, happened in self.predictions if happened)
        line = f"{self.passed} of {len(self.rows)} exercises passed"
        if self.predictions:
            line += f"; {len(self.predictions)} predictions, {right} as it happened"
        return f"{line}. {self.note}".strip()

    def __str__(self) -> str:
        table = [HEADINGS, *self.rows]
        widths = [max(len(row[place]) for row in table) for place in range(len(HEADINGS))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        said = [
            f"{id}: you said {said}; it was {was or 'not tried'}"
            for id, said, was in self.predictions
        ]
        return "\n".join([self.summary(), "", *lines, *([""] if said else []), *said])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        page = _table(self.summary(), HEADINGS, self.rows)
        if self.predictions:
            page += _table("Predictions", ("Prediction", "You said", "It was"), self.predictions)
        return page


def _table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return (
        f"<table><caption>{html.escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def progress() -> Board:
    """Return the board: what is passed, what is open, and what help was taken."""
    known = state.load()
    rows, note = [], ""
    try:
        for exercise in course():
            rows.append(
                _row(exercise.notebook, exercise.slug, known["exercises"].get(exercise.slug, {}))
            )
    except FormatError as error:
        note = str(error)
    left = set(known["exercises"]) - {row[1] for row in rows}
    rows += [_row("-", slug, known["exercises"][slug]) for slug in sorted(left)]
    said = [
        (id, entry.get("predicted", ""), entry.get("actual", ""))
        for id, entry in sorted(known["predictions"].items())
    ]
    return Board(rows, said, note)


def _row(lesson: str, slug: str, known: state.State) -> tuple[str, ...]:
    outcome = known.get("outcome", "open")
    if known.get("passed") and outcome != verdicts.PASSED:
        outcome = f"{verdicts.PASSED} before, now {outcome}"
    points = f"{known.get('best', 0)} of {known['points']}" if "points" in known else ""
    seen = "seen" if known.get("solution_seen") else ""
    return (lesson, slug, outcome, points, str(known.get("hints", "") or ""), seen)
