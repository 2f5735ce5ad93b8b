"""Try it: exercises, verdicts, hints, installing one's own code, predictions, the progress board.

A learner's verbs: check(slug), hint(slug), solution(slug), install(slug), uninstall(), reset(slug),
predict(id, question, options), reveal(id, actual), progress().

The format of an exercise: solutions/NN_name.ipynb is the one source, and
`python -m coursekit exercises` makes exercises/NN_name.ipynb from it; docs/writing-exercises.md is
the manual. Cells are found by their first line:

    markdown                the task: a heading and what to do; stays
    code, tag `setup`       imports that answers need; stays, and runs before every judged answer
    # exercise: SLUG        code: the answer. Then perhaps `# installs: servers.http11.parse_head`.
                            ### BEGIN SOLUTION and ### END SOLUTION around what learners write;
                            lines `#: text` inside become the stub, else it is a raise
    check("SLUG")           code: the verdict; stays
    # checks: SLUG          raw, tag `checks`: functions declared with coursekit.grading.check
    <!-- hints: SLUG -->    markdown, tag `hints`: an ordered list, vaguest first
    # wrong: SLUG           raw, tag `wrong`: `# because: ...`, `# fails: part of the message`,
                            then a whole wrong answer; at least three
"""

from coursekit.practice import cells
from coursekit.practice.board import progress
from coursekit.practice.exercise import check, hint, reset, solution
from coursekit.practice.installing import install, uninstall
from coursekit.practice.predictions import predict, reveal

__all__ = [
    "check",
    "hint",
    "install",
    "predict",
    "progress",
    "reset",
    "reveal",
    "solution",
    "uninstall",
]

cells.watch()
