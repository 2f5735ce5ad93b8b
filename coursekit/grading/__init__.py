"""Judge answers: one exercise for `check()`, one notebook or many for `make grade`.

A learner's code runs in an answer process with limits (`sandbox`, `confined`, `inside`); the checks
run in a judge process (`checks`, `answer`, `judge`) and see plain data and bytes on a wire only.
"""

from coursekit.grading.checks import check, expect, expect_answer, expect_that
from coursekit.grading.failures import Failure

__all__ = ["Failure", "check", "expect", "expect_answer", "expect_that"]
