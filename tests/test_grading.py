"""One submission: found again whatever happened to it, judged, run with nbval, reported."""

import copy
import json
import subprocess
import sys
from xml.etree import ElementTree

import nbformat
import pytest
from nbformat import v4
from sample_course import COUNT, COUNT_WRONG, ECHO, WHO, write_course

from coursekit.authoring.exercises import exercise_of
from coursekit.grading import grade, verdicts
from coursekit.grading.__main__ import main
from coursekit.grading.grade import grade_one
from coursekit.grading.rebuild import CannotGrade, read, rebuild
from coursekit.grading.replay import Replay
from coursekit.grading.report import COLUMNS, Report
from coursekit.grading.source import marked
from coursekit.grading.verdicts import Result, Verdict

ANSWERS = {"count-crlf": COUNT, "echo": ECHO, "who": WHO}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return write_course(tmp_path_factory.mktemp("course"))


@pytest.fixture
def submission(course):
    """The exercise notebook with every answer right; tests spoil it."""
    notebook = copy.deepcopy(exercise_of(course))
    for cell in notebook.cells:
        cell.source = ANSWERS.get(marked(cell.source), cell.source)
    return notebook


def answer_place(notebook, slug="count-crlf"):
    return next(
        number
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and marked(cell.source) == slug
    )


def rebuilt(notebook, course):
    return rebuild(notebook, "90_sample.ipynb", course.parent)


# Found again


def test_an_untouched_submission_needs_no_warning(submission, course):
    found = rebuilt(submission, course)
    assert found.answers == ANSWERS
    assert found.warnings == []


def spoil_metadata(notebook, place):
    for number, cell in enumerate(notebook.cells):
        cell.metadata = {}
        cell.id = f"new-{number}"


def spoil_order(notebook, place):
    notebook.cells.reverse()


def spoil_name_of_notebook(notebook, place):
    notebook.metadata = {}


@pytest.mark.parametrize("spoil", [spoil_metadata, spoil_order, spoil_name_of_notebook])
def test_what_is_lost_or_moved_changes_nothing(spoil, submission, course):
    spoil(submission, answer_place(submission))
    found = rebuild(submission, "renamed copy (2).ipynb", course.parent)
    assert (found.answers, found.warnings) == (ANSWERS, [])


def spoil_markdown(notebook, place):
    notebook.cells[place] = v4.new_markdown_cell(notebook.cells[place].source)


def spoil_fenced(notebook, place):
    notebook.cells[place] = v4.new_markdown_cell(f"```python\n{COUNT}\n```")


def spoil_raw(notebook, place):
    notebook.cells[place] = v4.new_raw_cell(notebook.cells[place].source)


def spoil_skip_comment(notebook, place):
    cell = notebook.cells[place]
    first, _, rest = cell.source.partition("\n")
    cell.source = f"{first}\n# NBVAL_SKIP\n{rest}"


def spoil_skip_tag(notebook, place):
    notebook.cells[place].metadata["tags"] = ["raises-exception", "nbval-skip"]


def spoil_duplicate(notebook, place):
    older = v4.new_code_cell(COUNT_WRONG[0].replace("wrong", "exercise"), execution_count=4)
    notebook.cells[place].execution_count = 9
    notebook.cells.append(older)


def spoil_stub_copy(notebook, place):
    stub = (
        'def count(data: bytes) -> int:\n    raise NotImplementedError("count is not written yet")'
    )
    notebook.cells.append(v4.new_code_cell(f"# exercise: count-crlf\n{stub}", execution_count=99))


def spoil_split_after_marker(notebook, place):
    first, _, rest = notebook.cells[place].source.partition("\n")
    notebook.cells[place].source = first
    notebook.cells.insert(place + 1, v4.new_code_cell(rest))


def spoil_split_in_function(notebook, place):
    lines = notebook.cells[place].source.splitlines()
    notebook.cells[place].source = "\n".join(lines[:-2])
    notebook.cells.insert(place + 1, v4.new_code_cell("\n".join(lines[-2:])))


def spoil_marker_gone(notebook, place):
    notebook.cells[place].source = notebook.cells[place].source.partition("\n")[2]


def spoil_marker_and_metadata_gone(notebook, place):
    spoil_marker_gone(notebook, place)
    spoil_metadata(notebook, place)


ODD = {
    spoil_markdown: "was a markdown cell",
    spoil_fenced: "was a markdown cell",
    spoil_raw: "was a raw cell",
    spoil_skip_comment: "skip markers have no effect",
    spoil_skip_tag: "skip markers have no effect",
    spoil_duplicate: "2 cells are marked",
    spoil_stub_copy: "2 cells are marked",
    spoil_split_after_marker: "was split; 2 cells were joined",
    spoil_split_in_function: "was split; 2 cells were joined",
    spoil_marker_gone: "its first line is gone",
    spoil_marker_and_metadata_gone: "its first line is gone",
}


@pytest.mark.parametrize("spoil", ODD, ids=lambda spoil: spoil.__name__)
def test_an_odd_submission_grades_with_a_warning(spoil, submission, course):
    spoil(submission, answer_place(submission))
    found = rebuilt(submission, course)
    assert [ODD[spoil] in warning for warning in found.warnings] == [True]
    assert found.warnings[0].startswith("count-crlf: ")
    kept = [line for line in found.answers["count-crlf"].splitlines() if line.strip()]
    assert [line for line in COUNT.splitlines() if "installs" not in line] == [
        line for line in kept if "installs" not in line
    ]
    assert found.answers["echo"] == ECHO
    place = answer_place(found.notebook)
    assert found.notebook.cells[place].source == found.answers["count-crlf"]
    assert "tags" not in found.notebook.cells[place].metadata


def test_scratch_beside_an_answer_is_no_part_of_it(submission, course):
    place = answer_place(submission)
    submission.cells.insert(place + 1, v4.new_code_cell("count(b'')\nprint('tried')"))
    assert rebuilt(submission, course).answers["count-crlf"] == COUNT


def test_a_missing_answer_is_said_and_not_taken_from_elsewhere(submission, course):
    del submission.cells[answer_place(submission)]
    found = rebuilt(submission, course)
    assert found.answers["count-crlf"] is None
    assert found.warnings == ["count-crlf: no answer cell was found"]


def test_deleted_and_retyped_verdict_cells_come_back(submission, course):
    for number, cell in enumerate(submission.cells):
        if cell.source.startswith("check("):
            submission.cells[number] = v4.new_markdown_cell(cell.source)
    submission.cells = [cell for cell in submission.cells if cell.source != 'check("who")']
    checks = [c.source for c in rebuilt(submission, course).notebook.cells if "check(" in c.source]
    assert checks == ['check("count-crlf")', 'check("echo")', 'check("who")']


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "is not a readable notebook"),
        ("{", "is not a readable notebook"),
        ('{"cells": 3}', "is not a readable notebook"),
        ('{\n<<<<<<< HEAD\n"cells": []}', "conflict marks"),
    ],
)
def test_an_unreadable_file_says_why(text, reason, tmp_path, course):
    path = tmp_path / "broken.ipynb"
    path.write_text(text)
    with pytest.raises(CannotGrade, match=reason):
        read(path)
    report = grade_one(path, tmp_path / "out", folder=course.parent)
    assert report.status == 2
    assert reason in report.headline
    assert json.loads((tmp_path / "out/broken.json").read_text())["status"] == 2


def test_a_notebook_of_another_course_says_so(tmp_path, course):
    path = tmp_path / "other.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell("1 + 1")]), path)
    report = grade_one(path, folder=course.parent)
    assert (report.status, "belongs to no exercise notebook" in report.problem) == (2, True)


# Graded whole, with nbval underneath


def graded(notebook, tmp_path, course):
    path = tmp_path / "90_sample.ipynb"
    nbformat.write(notebook, path)
    return grade_one(path, tmp_path / "out", folder=course.parent)


def test_a_right_submission_passes_everything(submission, tmp_path, course):
    report = graded(submission, tmp_path, course)
    assert (report.status, report.findings, report.warnings) == (0, (), ()), report
    assert report.headline == "all passed: 6 of 6 points"
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {
        ".json",
        ".xml",
        ".csv",
        ".html",
    }


TAMPERING = """# exercise: count-crlf
import ast, coursekit.practice, coursekit.practice.exercise as exercise
from IPython import get_ipython
shell = get_ipython()
class NoAsserts(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()
shell.ast_transformers.append(NoAsserts())
shell.set_custom_exc((BaseException,), lambda *args, **kwargs: None)
type(shell).showtraceback = lambda *args, **kwargs: None
def check(slug):
    print(f"{slug}: passed, 3 of 3 points")
exercise.check = coursekit.practice.check = check
def count(data):
    return 7
"""


def test_a_tampered_kernel_scores_nothing_and_is_noticed(submission, tmp_path, course):
    submission.cells[answer_place(submission)].source = TAMPERING
    exits = "# exercise: who\nimport os\nos._exit(0)"
    submission.cells[answer_place(submission, "who")].source = exits
    report = graded(submission, tmp_path, course)
    assert report.status == 1
    assert [verdict.earned for verdict in report.verdicts] == [0, 2, 0]
    other, other_too, ended, missed = report.findings
    assert other.startswith("count-crlf") and "did not print the judge's verdict" in other
    assert other_too.startswith("echo") and "did not print the judge's verdict" in other_too
    assert ended.startswith("who") and "the kernel ended" in ended
    assert missed.startswith("who") and "did not run" in missed


def test_what_the_machine_could_not_do_is_tried_again_and_is_no_zero(
    submission, tmp_path, course, monkeypatch
):
    tries = []
    monkeypatch.setattr(
        grade, "judge_apart", lambda slug, *_, **__: Verdict(slug, verdicts.NOT_JUDGED)
    )
    monkeypatch.setattr(grade, "replay", lambda *_: tries.append(1) or Replay(False))
    report = graded(submission, tmp_path, course)
    assert (report.status, len(tries)) == (2, 2)
    assert "3 could not be judged: grade again, this is no zero" in report.headline


# Reported

MIXED = Report(
    "a.ipynb",
    (
        Verdict("one", verdicts.PASSED, (Result("a", verdicts.PASSED, 2),)),
        Verdict(
            "two",
            verdicts.FAILED,
            (
                Result("b", verdicts.PASSED, 1),
                Result("c", verdicts.FAILED, 3, (("got", "\x00<x>"),)),
            ),
        ),
        Verdict("three", verdicts.NOT_ATTEMPTED, (Result("d", verdicts.NOT_ATTEMPTED, 1),)),
        Verdict("four", verdicts.ERROR, (Result("e", verdicts.ERROR, 1),)),
    ),
    {"one": "<One>"},
    warnings=("one: odd",),
)


def test_the_forms_of_a_report_agree():
    assert (MIXED.earned, MIXED.points, MIXED.status) == (3, 8, 1)
    assert "all passed" not in MIXED.headline
    data = json.loads(MIXED.json())
    assert (data["earned"], data["points"], data["exercises"][0]["title"]) == (3, 8, "<One>")
    row = dict(zip(COLUMNS, MIXED.csv_line().strip().split(","), strict=True))
    assert (row["earned"], row["points"], row["warnings"]) == ("3", "8", "1")
    suite = ElementTree.fromstring(MIXED.junit())
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5", "failures": "1", "errors": "1", "skipped": "1",
    }  # fmt: skip
    page = MIXED.html()
    assert "&lt;One&gt;: passed" in page and "&lt;x&gt;" in page and "<x>" not in page


@pytest.mark.parametrize(
    "change",
    [
        {"verdicts": ()},
        {"ran": False},
        {"problem": "unreadable"},
        {"verdicts": (Verdict("x", verdicts.NOT_JUDGED),)},
        {"findings": ("cell 3 failed",)},
        {"verdicts": (Verdict("x", verdicts.NOT_ATTEMPTED),)},
    ],
    ids=str,
)
def test_never_all_passed_when_something_did_not_run(change):
    good = {"notebook": "a", "verdicts": (MIXED.verdicts[0],)}
    assert Report(**good).status == 0
    report = Report(**good | change)
    assert report.status > 0
    assert "all passed" not in report.headline


def test_the_command_prints_and_returns_the_worst_status(tmp_path, monkeypatch, capsys, course):
    monkeypatch.setattr(
        "coursekit.grading.grade.grade_one", lambda path, out, seed: Report(path.name, problem="no")
    )
    assert main(["some.ipynb", "--out", str(tmp_path)]) == 2
    assert "some.ipynb: could not be graded: no" in capsys.readouterr().out


def test_the_judge_is_a_command_of_its_own(course):
    asked = json.dumps({"slug": "nothing", "source": None, "seed": None})
    done = subprocess.run(
        [sys.executable, "-m", "coursekit.grading", "judge"],
        input=asked, capture_output=True, text=True, check=True,
    )  # fmt: skip
    verdict = Verdict.from_dict(json.loads(done.stdout))
    assert verdict.outcome == verdicts.NOT_JUDGED
    assert "nothing" in verdict.note or "not on this machine" in verdict.note
