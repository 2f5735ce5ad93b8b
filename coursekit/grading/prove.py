"""Prove that the exercises of a notebook can tell right answers from wrong ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from coursekit.grading import verdicts
from coursekit.grading.judge import judge
from coursekit.grading.source import Exercise, exercises
from coursekit.grading.verdicts import Verdict

WRONG_ANSWERS = 3
HINTS = 2
AT_ONCE = 3


def prove(path: Path) -> list[str]:
    """Return what is amiss with the exercises of a solution notebook; an empty list proves them.

    For each: the solution passes every check, the stub is not attempted, and each of three or
    more wrong answers fails with its own message. FormatError if the notebook is not well-formed.
    """
    found = [line for exercise in exercises(path) for line in prove_one(exercise)]
    return [f"{path.name}: {line}" for line in found]


def prove_one(exercise: Exercise) -> list[str]:
    """Return what is amiss with one exercise."""
    answers = [exercise.solution, exercise.stub, *(wrong.source for wrong in exercise.wrong)]
    with ThreadPoolExecutor(AT_ONCE) as pool:  # most of a judge's time is waiting
        solved, stub, *others = pool.map(lambda answer: judge(exercise, answer), answers)
    amiss = []
    if solved.outcome != verdicts.PASSED:
        amiss.append(f"the solution does not pass:\n{solved}\n{_details(solved)}")
    if stub.outcome != verdicts.NOT_ATTEMPTED or not exercise.stub.strip():
        amiss.append(f"the stub is {stub.outcome}, not {verdicts.NOT_ATTEMPTED}")
    if len(exercise.hints) < HINTS:
        amiss.append(f"{len(exercise.hints)} hints, needs {HINTS}")
    if len(exercise.wrong) < WRONG_ANSWERS:
        amiss.append(f"{len(exercise.wrong)} wrong answers, needs {WRONG_ANSWERS}")
    return [f"{exercise.slug}: {line}" for line in amiss + _wrong_ones(exercise, others)]


def _wrong_ones(exercise: Exercise, found: list[Verdict]) -> list[str]:
    amiss = []
    seen: dict[str, str] = {}
    for wrong, verdict in zip(exercise.wrong, found, strict=True):
        text = str(verdict)
        if verdict.outcome not in (verdicts.FAILED, verdicts.ERROR):
            amiss.append(f"the wrong answer that {wrong.because} is {verdict.outcome}")
        elif wrong.fails not in text:
            amiss.append(f"{wrong.because}: no {wrong.fails!r} in\n{text}\n{_details(verdict)}")
        if text in seen:
            amiss.append(f"{wrong.because}: the same message as: {seen[text]}")
        seen[text] = wrong.because
    return amiss


def _details(verdict: Verdict) -> str:
    return "\n".join(result.detail for result in verdict.results if result.detail)
