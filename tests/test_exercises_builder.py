"""Exercises made from solutions: nothing of the solution in them, nothing of the lesson lost."""

import json

import pytest
from nbformat import v4
from sample_course import write_course

from coursekit.authoring.exercises import exercise_of, write_exercises
from coursekit.authoring.notebooks import ROOT, notebooks, read, text
from coursekit.grading.source import HIDDEN, FormatError, exercises


@pytest.fixture
def course(tmp_path):
    return write_course(tmp_path)


def test_tagged_cells_stay_behind_and_ids_are_kept(course):
    solved, made = read(course), exercise_of(course)
    kept = [cell.id for cell in solved.cells if not HIDDEN & set(cell.metadata.get("tags", []))]
    assert [cell.id for cell in made.cells] == kept
    assert any("setup" in cell.metadata.get("tags", []) for cell in made.cells)


def test_nothing_of_a_solution_is_in_an_exercise(course):
    written = json.dumps(exercise_of(course))
    for leak in ("BEGIN SOLUTION", "END SOLUTION", "# checks:", "# wrong:", "hints:", "sendall"):
        assert leak not in written
    assert "echo is not written yet" in written
    assert 'choice = None  # \\"client\\"' in written


def test_outputs_and_counts_are_dropped(course):
    solved = read(course)
    for cell in solved.cells:
        if cell.cell_type == "code":
            cell.execution_count = 7
            cell.outputs = [v4.new_output("stream", text="leak")]
    course.write_text(text(solved))
    made = exercise_of(course)
    assert all(c.execution_count is None and not c.outputs for c in made.cells if "outputs" in c)


def test_a_second_run_changes_no_byte(course):
    root = course.parents[1]
    (made,) = write_exercises(root)
    before = made.read_bytes()
    assert write_exercises(root) == []
    assert made.read_bytes() == before


def test_a_malformed_solution_writes_nothing(course):
    course.write_text(course.read_text().replace("### END SOLUTION", "### THE END"))
    with pytest.raises(FormatError, match="BEGIN SOLUTION"):
        write_exercises(course.parents[1])
    assert not list((course.parents[1] / "exercises").glob("*"))


@pytest.mark.parametrize("path", notebooks("solutions"), ids=lambda path: path.name)
def test_the_exercises_in_the_repository_are_up_to_date(path):
    made = ROOT / "exercises" / path.name
    assert made.read_text("utf-8") == text(exercise_of(path)), "run: make refresh"


def test_slugs_are_unique_in_the_course():
    slugs = [one.slug for path in notebooks("solutions") for one in exercises(path)]
    assert len(slugs) == len(set(slugs))
