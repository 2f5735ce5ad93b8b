"""The outcome of judging, and its one text form.

Rule 1  The text is the same on every run and machine: no time, port or address. nbval compares it.
Rule 2  It never holds the solution or a check's source.
"""

from __future__ import annotations

import dataclasses
import textwrap
from dataclasses import dataclass
from typing import Any

PASSED, FAILED, ERROR = "passed", "failed", "error in your code"
NOT_ATTEMPTED, NOT_JUDGED = "not attempted", "could not be judged"
OUTCOMES = (PASSED, FAILED, ERROR, NOT_ATTEMPTED, NOT_JUDGED)


@dataclass(frozen=True)
class Result:
    """Hold the outcome of one check; `lines` are (label, text) pairs for the reader."""

    name: str
    outcome: str
    points: int
    lines: tuple[tuple[str, str], ...] = ()
    detail: str = ""

    @property
    def earned(self) -> int:
        """Points for this check."""
        return self.points if self.outcome == PASSED else 0


@dataclass(frozen=True)
class Verdict:
    """Hold the outcome of one exercise."""

    slug: str
    outcome: str
    results: tuple[Result, ...] = ()
    seed: str = ""
    note: str = ""

    @property
    def earned(self) -> int:
        """Points for the checks that passed."""
        return sum(result.earned for result in self.results)

    @property
    def points(self) -> int:
        """Points that could be had."""
        return sum(result.points for result in self.results)

    def __str__(self) -> str:
        head = f"{self.slug}: {self.outcome}"
        if self.results and self.outcome not in (NOT_ATTEMPTED, NOT_JUDGED):
            head += f", {self.earned} of {self.points} points"
        lines = [head, *textwrap.wrap(self.note, 96, initial_indent="  ", subsequent_indent="  ")]
        if self.outcome == NOT_ATTEMPTED:
            return "\n".join(lines)
        for result in self.results:
            lines += _lines(result)
        if self.seed:
            lines.append(f"  random inputs: seed {self.seed}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return it as data for JSON."""
        return dataclasses.asdict(self) | {"earned": self.earned, "points": self.points}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Verdict:
        """Read what as_dict wrote."""
        results = tuple(
            Result(
                one["name"], one["outcome"], one["points"],
                tuple((label, text) for label, text in one["lines"]), one["detail"],
            )
            for one in data["results"]
        )  # fmt: skip
        return cls(data["slug"], data["outcome"], results, data["seed"], data["note"])


def _lines(result: Result) -> list[str]:
    lines = [f"  [{result.outcome}] {result.name} ({result.earned} of {result.points})"]
    for label, text in result.lines:
        first, *more = text.splitlines() or [""]
        lines.append(f"      {label:<9} {first}".rstrip())
        lines += [f"      {'':<9} {line}".rstrip() for line in more]
    return lines
