"""The learner's verbs for one exercise: check, hint, solution, reset."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from coursekit.grading import verdicts
from coursekit.grading.judge import judge_apart
from coursekit.grading.verdicts import Verdict
from coursekit.practice import cells


def check(slug: str) -> None:
    """Judge the newest run of the answer cell of an exercise, and print the verdict."""
    print(verdict_of(slug))


def verdict_of(slug: str) -> Verdict | str:
    """Return the verdict on the newest run of an answer cell."""
    source = cells.newest(slug)
    given = os.environ.get("COURSEKIT_VERDICTS")
    if given:  # graded: the judge was here before, outside; only its words are repeated
        return _given(Path(given), slug, source)
    return judge_apart(slug, source)


def _given(path: Path, slug: str, source: str | None) -> str:
    """Return the text of the verdict that was given on this very source."""
    verdict = json.loads(path.read_text("utf-8")).get(slug, {})
    if verdict.get("source") != fingerprint(source):
        return f"{slug}: {verdicts.NOT_JUDGED}: what ran here is not what was handed in"
    return str(verdict["text"])


def fingerprint(source: str | None) -> str:
    """Return what tells one answer's text from another."""
    return hashlib.sha256((source or "").encode("utf-8", "replace")).hexdigest()
