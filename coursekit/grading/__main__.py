"""`python -m coursekit.grading judge | prove NOTEBOOK...`.

judge: JSON of an answer on stdin, JSON of its verdict on stdout. prove: 0 if nothing is amiss.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from coursekit.grading import verdicts
from coursekit.grading.judge import judge
from coursekit.grading.prove import prove
from coursekit.grading.source import FormatError, exercises, find
from coursekit.grading.verdicts import Verdict


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m coursekit.grading", description="Judge answers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("judge", help="judge one answer: JSON on stdin, JSON on stdout")
    proving = commands.add_parser("prove", help="prove the exercises of solution notebooks")
    proving.add_argument("notebooks", nargs="+", type=Path)
    options = parser.parse_args(arguments)
    if options.command == "prove":
        return prove_all(options.notebooks)
    return judge_stdin()


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
