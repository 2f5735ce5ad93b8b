"""The learner's verbs for one exercise: check, hint, solution, reset."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from coursekit.grading import verdicts
from coursekit.grading.judge import judge_apart
from coursekit.grading.source import find
from coursekit.grading.verdicts import Verdict
from coursekit.practice import bar, cells, state


def check(slug: str) -> None:
    """Judge the newest run of an exercise's answer cell; print the verdict, buttons below."""
    given = os.environ.get("COURSEKIT_VERDICTS")
    if given:  # graded: the judge was here before, outside; only its words are repeated
        print(_given(Path(given), slug))
        return
    print(judged(slug))
    bar.show(slug)


def judged(slug: str) -> Verdict:
    """Return the verdict on the newest run of an answer cell, and remember it."""
    verdict = judge_apart(slug, cells.newest(slug))
    if verdict.outcome != verdicts.NOT_JUDGED:
        state.exercise(slug, lambda known: _remember(known, verdict))
    return verdict


def _remember(known: state.State, verdict: Verdict) -> None:
    known["outcome"] = verdict.outcome
    known["earned"], known["points"] = verdict.earned, verdict.points
    known["best"] = max(known.get("best", 0), verdict.earned)
    known["passed"] = known.get("passed", False) or verdict.outcome == verdicts.PASSED
    if verdict.outcome != verdicts.NOT_ATTEMPTED:
        known["checks"] = known.get("checks", 0) + 1


def _given(path: Path, slug: str) -> str:
    """Return the text of the verdict that was given outside on this very source."""
    verdict = json.loads(path.read_text("utf-8")).get(slug, {})
    if verdict.get("source") != fingerprint(cells.newest(slug)):
        return f"{slug}: {verdicts.NOT_JUDGED}: what ran here is not what was handed in"
    return str(verdict["text"])


def fingerprint(source: str | None) -> str:
    """Return what tells one answer's text from another."""
    return hashlib.sha256((source or "").encode("utf-8", "replace")).hexdigest()


def hint(slug: str) -> None:
    """Show the next hint of an exercise, the vaguest first; how many were seen is counted."""
    print(_or_reason(lambda: next_hint(slug)))


def next_hint(slug: str) -> str:
    """Return the next hint as text; after the last one, all of them."""
    hints = find(slug).hints  # first: what is not there is not counted

    def count(known: state.State) -> None:
        known["hints"] = min(known.get("hints", 0) + 1, len(hints) + 1)

    seen = state.exercise(slug, count)["hints"]
    if not hints:
        return f"{slug} has no hints."
    if seen > len(hints):
        lines = [f"  {number}. {text}" for number, text in enumerate(hints, 1)]
        return "\n".join([f"These were all hints for {slug}:", *lines])
    last = ", the last" if seen == len(hints) else ""
    return f"Hint {seen} of {len(hints)}{last}: {hints[seen - 1]}"


def solution(slug: str, sure: bool = False) -> None:
    """Show a solution after passing; before that only if you are `sure`, and counted."""
    print(_or_reason(lambda: solution_text(slug, sure)))


def _or_reason(make: Callable[[], str]) -> str:
    """Return a text, or why there is none: the solutions may be kept elsewhere."""
    try:
        return make()
    except LookupError as error:
        return str(error)


def solution_text(slug: str, sure: bool = False) -> str:
    """Return the solution, or the sentence that asks first."""
    known = state.load()["exercises"].get(slug, {})
    if not (known.get("passed") or known.get("solution_seen") or sure):
        return (
            f'{slug} is not passed yet. solution("{slug}", sure=True) shows one, and it is counted.'
        )
    if not known.get("passed"):
        state.exercise(slug, lambda known: known.update(solution_seen=True))
    return find(slug).solution


def reset(slug: str) -> None:
    """Begin an exercise anew: its stub comes in a cell below, verdict and hints are forgotten."""
    text = forgotten(slug)
    running = cells.shell()
    if running is not None and hasattr(running, "set_next_input"):
        running.set_next_input(text)
        print(f"{slug} begins anew: its answer cell, as it was, is in the cell below.")
    else:
        print(text)


def forgotten(slug: str) -> str:
    """Forget what is known of an exercise, and return its stub. Counts of help given stay."""
    stub = find(slug).stub
    cells.forget(slug)

    def forget(known: state.State) -> None:
        for name in ("outcome", "earned", "best", "passed", "hints"):
            known.pop(name, None)

    state.exercise(slug, forget)
    return stub
