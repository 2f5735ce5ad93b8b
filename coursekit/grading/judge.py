"""Judge one answer to one exercise: start the answer process, run each check, return a Verdict.

`judge` runs the checks in this process. `judge_apart` does it in a judge process of its own, as
the notebook and the grader do, so that a hanging or broken check cannot take them along.

Rule 1  Each check ends by its limit + 2 s; an answer that died or hung costs that check alone.
Rule 2  A fault of the machine is "could not be judged", is tried twice, and is never a zero.
Rule 3  An exception in the background of the learner's code fails the check it came up in.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
import zlib
from pathlib import Path
from typing import Any

from coursekit.grading import verdicts
from coursekit.grading.answer import Answer, CannotStart, LearnerError, OutOfTime
from coursekit.grading.channel import Died
from coursekit.grading.checks import Check, declared_by
from coursekit.grading.failures import Failure
from coursekit.grading.sandbox import descendants
from coursekit.grading.source import UNWRITTEN, Exercise, untouched
from coursekit.grading.verdicts import Result, Verdict

LOADING = 5.0  # seconds for the cell itself
Lines = list[tuple[str, str]]


def judge(exercise: Exercise, source: str | None, seed: str | None = None) -> Verdict:
    """Judge an answer's source against an exercise; None or the stub is "not attempted"."""
    checks = declared_by(exercise.checks, exercise.slug)
    if source is None or untouched(source, exercise.stub):
        missed = tuple(Result(one.name, verdicts.NOT_ATTEMPTED, one.points) for one in checks)
        return Verdict(
            exercise.slug,
            verdicts.NOT_ATTEMPTED,
            missed,
            note="Write the answer cell, run it, then check.",
        )
    seed = (
        seed or os.environ.get("COURSEKIT_SEED") or str(zlib.crc32(exercise.slug.encode()) % 10_000)
    )
    answer = Answer(exercise.setup, source, f"{seed}/{exercise.slug}")
    try:
        results = _loading(answer, checks) or tuple(_one(answer, check) for check in checks)
    except CannotStart as error:
        return _not_judged(exercise, checks, str(error))
    finally:
        answer.stop()
    return Verdict(exercise.slug, _outcome(results), results, seed if answer.used_seed else "")


def _not_judged(exercise: Exercise, checks: list[Check], why: str) -> Verdict:
    missed = tuple(Result(one.name, verdicts.NOT_JUDGED, one.points, detail=why) for one in checks)
    note = f"This is no fault of the answer, and no zero: {why}. Check again."
    return Verdict(exercise.slug, verdicts.NOT_JUDGED, missed, note=note)


def _outcome(results: tuple[Result, ...]) -> str:
    """Return an exercise's outcome from those of its checks: never "passed" if one is not."""
    found = {result.outcome for result in results}
    if len(found) == 1:
        return found.pop()
    if verdicts.NOT_JUDGED in found:
        return verdicts.NOT_JUDGED
    return verdicts.ERROR if found <= {verdicts.ERROR, verdicts.NOT_ATTEMPTED} else verdicts.FAILED


def _loading(answer: Answer, checks: list[Check]) -> tuple[Result, ...] | None:
    """Let the cell run once before the checks; if it cannot, say so once, not for each."""
    answer.start()
    try:
        with answer.within(LOADING, "the cell itself"):
            answer.ready()
            return None
    except OutOfTime:
        outcome, lines = verdicts.FAILED, [("found", f"your cell did not end within {LOADING:g} s")]
    except Died:
        outcome, lines = verdicts.ERROR, [("found", "your cell ended the process it ran in")]
    except LearnerError as error:
        outcome, lines = _error(error.what)
    rest = [("see", "the first check")]
    return tuple(
        Result(one.name, outcome, one.points, tuple(lines if one is checks[0] else rest))
        for one in checks
    )


def _one(answer: Answer, check: Check) -> Result:
    """Run one check and return its result."""
    # long: every way a check can end is a row here
    detail = ""
    answer.start()
    try:
        with answer.within(check.limit, check.name):
            check.body(answer)
            answer.settle()
        outcome, lines = _background(answer)
    except CannotStart:
        raise
    except Failure as failure:
        outcome, lines = _failed(answer, check, failure)
    except LearnerError as error:
        outcome, lines = _error(error.what)
        lines = answer.evidence + lines
    except Died:
        outcome, lines = (
            verdicts.ERROR,
            [*answer.evidence, ("found", "your code ended the process it ran in")],
        )
    except OutOfTime:
        outcome, lines = verdicts.FAILED, []
    except Exception as error:  # the check met a value that no solution gives: shape, type, reset
        detail = traceback.format_exc(limit=-3)
        outcome = verdicts.FAILED
        lines = [*answer.evidence, ("found", _unusable(error))]
    if answer.late:
        outcome = verdicts.FAILED
        lines = [*answer.evidence, ("found", f"not done within {check.limit:g} s: it was stopped")]
    if outcome in (verdicts.FAILED, verdicts.ERROR):
        lines += _advice(answer, check)
    return Result(check.name, outcome, check.points, tuple(lines), detail)


def _unusable(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"the connection broke: {error.strerror or error}"
    return f"what came back could not be examined: {type(error).__name__}: {error}"


def _failed(answer: Answer, check: Check, failure: Failure) -> tuple[str, Lines]:
    lines = [*answer.evidence, *failure.lines]
    likely = failure.likely
    if likely is None and isinstance(check.likely, str):
        likely = check.likely
    if likely:
        lines.append(("likely", likely))
    lines += [("its log", f"{level} {said}" + _of(what)) for level, said, what in answer.log[:3]]
    for what in answer.background[:2]:
        lines.append(("and", f"an exception in {what['where']}" + _of(what)))
    if failure.replay:
        answer.replay = failure.replay
    return verdicts.FAILED, lines


def _background(answer: Answer) -> tuple[str, Lines]:
    """A check passed; unless something broke out of sight meanwhile."""
    if not answer.background:
        return verdicts.PASSED, []
    what = answer.background[0]
    return verdicts.ERROR, [
        *answer.evidence,
        ("found", f"an exception in {what['where']}"),
        *_error(what)[1],
    ]


def _of(what: dict[str, Any] | None) -> str:
    return f": {what['type']}: {what['message']}{_at(what)}" if what else ""


def _at(what: dict[str, Any]) -> str:
    return f" (line {what['line']}: {what['text']})" if what["line"] else ""


def _error(what: dict[str, Any]) -> tuple[str, Lines]:
    """Describe an exception of the learner's code; the stub's sentence is "not attempted"."""
    if what["type"] == "NotImplementedError" and what["message"].endswith(UNWRITTEN):
        return verdicts.NOT_ATTEMPTED, [("found", what["message"])]
    lines = [("raised", f"{what['type']}: {what['message']}".strip(": "))]
    if what["line"]:
        lines.append(("in line", f"{what['line']}: {what['text']}"))
    if what["type"] == "NameError":
        lines.append(
            ("likely", "the judge sees the setup cells and this cell only: define it here")
        )
    return verdicts.ERROR, lines


def _advice(answer: Answer, check: Check) -> Lines:
    lines = [("hint", check.hint), ("see", check.clause), ("replay", answer.replay or "")]
    return [(label, text) for label, text in lines if text]


def judge_apart(
    slug: str, source: str | None, *, seed: str | None = None, folder: Path | None = None
) -> Verdict:
    """Judge in a judge process; a fault of the machine is tried once more."""
    verdict = _apart(slug, source, seed, folder)
    return _apart(slug, source, seed, folder) if verdict.outcome == verdicts.NOT_JUDGED else verdict


def _apart(slug: str, source: str | None, seed: str | None, folder: Path | None) -> Verdict:
    environ = dict(os.environ)
    if folder:
        environ["COURSEKIT_SOLUTIONS"] = str(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "coursekit.grading", "judge"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environ, start_new_session=True,
    )  # fmt: skip
    try:
        asked = json.dumps({"slug": slug, "source": source, "seed": seed}).encode()
        out, err = process.communicate(asked, timeout=300)
        return Verdict.from_dict(json.loads(out))
    except (subprocess.TimeoutExpired, ValueError) as error:
        said = (
            err.decode("utf-8", "replace").strip() if isinstance(error, ValueError) else str(error)
        )
        why = (said.splitlines() or ["it said nothing"])[-1]
        return Verdict(slug, verdicts.NOT_JUDGED, note=f"The judge did not finish: {why}")
    finally:
        if process.poll() is None:  # it ended badly: take its answer processes along
            for stray in descendants(process.pid):
                stray.kill()
            process.kill()
            process.wait()
