"""Grade one submitted notebook: rebuild it, judge every exercise, run it with nbval, report.

`grade_one` is a function of the file, the course and the seed: it changes nothing but the folder
that it writes to, and may run beside others like it.
"""

from __future__ import annotations

from pathlib import Path

from coursekit.grading import verdicts
from coursekit.grading.judge import judge_apart
from coursekit.grading.rebuild import CannotGrade, Rebuilt, read, rebuild
from coursekit.grading.replay import Replay, containment, replay
from coursekit.grading.report import Report
from coursekit.grading.source import FormatError, solutions_folder
from coursekit.grading.verdicts import Verdict


def grade_one(
    path: Path, out: Path | None = None, *, seed: str | None = None, folder: Path | None = None
) -> Report:
    """Grade one notebook, and write its report into `out`; never raises for what it holds."""
    folder = folder or solutions_folder()
    try:
        rebuilt = rebuild(read(path), path.name, folder)
    except (CannotGrade, FormatError) as error:
        report = Report(path.name, problem=str(error), containment=containment())
    else:
        report = _graded(path.name, rebuilt, seed, folder)
    if out is not None:
        report.write(out)
    return report


def _graded(name: str, rebuilt: Rebuilt, seed: str | None, folder: Path) -> Report:
    found = tuple(_verdict(slug, source, seed, folder) for slug, source in rebuilt.answers.items())
    again = _replay(rebuilt, list(found))
    return Report(
        name,
        found,
        {exercise.slug: exercise.title for exercise in rebuilt.exercises},
        tuple(rebuilt.warnings),
        again.findings,
        again.ran,
        containment(),
    )


def _verdict(slug: str, source: str | None, seed: str | None, folder: Path) -> Verdict:
    try:
        return judge_apart(slug, source, seed=seed, folder=folder)
    except OSError as error:  # no process, no memory: the machine's fault
        return Verdict(slug, verdicts.NOT_JUDGED, note=f"The judge could not start: {error}")


def _replay(rebuilt: Rebuilt, found: list[Verdict]) -> Replay:
    """Run the notebook with nbval; what the machine could not do is tried once more."""
    again = replay(rebuilt, found)
    return again if again.ran else replay(rebuilt, found)
