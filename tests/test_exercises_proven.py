"""Every exercise of the course tells right from wrong, and its notebook grades whole."""

import pytest

from coursekit.authoring.notebooks import notebooks
from coursekit.grading.grade import grade_one
from coursekit.grading.prove import prove_one
from coursekit.grading.source import exercises

NOTEBOOKS = notebooks("solutions")
EXERCISES = [one for path in NOTEBOOKS for one in exercises(path)]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda one: f"{one.notebook}:{one.slug}")
def test_an_exercise_is_proven(exercise):
    amiss = prove_one(exercise)
    assert not amiss, "\n".join(amiss)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_solved_notebook_grades_whole(path):
    report = grade_one(path)
    assert report.status == 0, report.json()
