"""`python -m coursekit.grading [grade] NOTEBOOK... | prove NOTEBOOK... | judge`.

grade: 0 all passed, 1 not all, 2 could not grade. prove: 0 if nothing is amiss.
judge: JSON of an answer on stdin, JSON of its verdict on stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from coursekit.grading import verdicts
from coursekit.grading.judge import judge
from coursekit.grading.source import FormatError, exercises, find
from coursekit.grading.verdicts import Verdict

COMMANDS = ("grade", "prove", "judge")


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] not in (*COMMANDS, "-h", "--help"):
        arguments = ["grade", *arguments]
    options = _parser().parse_args(arguments)
    if options.command == "prove":
        return prove_all(options.notebooks)
    if options.command == "grade":
        return grade_all(options.notebooks, options.out, options.seed)
    return judge_stdin()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m coursekit.grading", description="Judge answers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    grading = commands.add_parser("grade", help="grade exercise notebooks")
    grading.add_argument("notebooks", nargs="+", type=Path)
    grading.add_argument("--out", type=Path, help="folder for reports: JSON, JUnit XML, CSV, HTML")
    grading.add_argument("--seed", help="for the checks' random inputs, instead of each one's own")
    proving = commands.add_parser("prove", help="prove the exercises of solution notebooks")
    proving.add_argument("notebooks", nargs="+", type=Path)
    commands.add_parser("judge", help="judge one answer: JSON on stdin, JSON on stdout")
    return parser


def grade_all(paths: list[Path], out: Path | None, seed: str | None) -> int:
    """Grade notebooks one after the other; return the worst status."""
    from coursekit.grading.grade import grade_one
    from coursekit.grading.terminal import show, working

    worst = 0
    for path in paths:
        with working(path.name):
            report = grade_one(path, out, seed=seed)
        show(report)
        worst = max(worst, report.status)
    return worst


def judge_stdin() -> int:
    """Judge the answer that stdin describes."""
    asked = json.load(sys.stdin)
    out, sys.stdout = sys.stdout, sys.stderr  # a check that prints must not break the JSON
    try:
        verdict = judge(find(asked["slug"]), asked["source"], asked["seed"])
    except (LookupError, FormatError, ValueError, SyntaxError) as error:
        verdict = Verdict(asked["slug"], verdicts.NOT_JUDGED, note=str(error))
    json.dump(verdict.as_dict(), out)
    return 0


def prove_all(paths: list[Path]) -> int:
    """Prove notebooks one after the other; print what is amiss."""
    from coursekit.grading.prove import prove

    amiss = 0
    for path in paths:
        try:
            lines = prove(path)
        except FormatError as error:
            lines = [str(error)]
        print("\n".join(lines) or f"{path.name}: {len(exercises(path))} exercises proven")
        amiss += len(lines)
    return 1 if amiss else 0


if __name__ == "__main__":
    sys.exit(main())
