"""The notebooks of the course as files; nbval runs them (pyproject.toml, testpaths)."""

import ast
import re
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from coursekit.authoring.lint import lint
from coursekit.authoring.notebooks import ROOT, normalise, notebooks, read, text

LESSONS = notebooks("notebooks")


def name(path):
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", notebooks(), ids=name)
def test_keeps_the_rules(path):
    found = "\n".join(str(finding) for finding in lint(path))
    assert not found, f"\n{found}"


@pytest.mark.parametrize("path", notebooks(), ids=name)
def test_refresh_would_not_touch_what_it_wrote(path):
    saved = path.read_text("utf-8")
    assert text(normalise(read(path))) == saved


@pytest.mark.parametrize("path", LESSONS, ids=name)
def test_a_lesson_imports_no_other(path):
    for cell in read(path).cells:
        if cell.cell_type == "code":
            assert "%run" not in cell.source
            assert not re.search(r"^\s*(from|import) (notebooks|solutions)\b", cell.source, re.M)


@pytest.mark.parametrize("path", LESSONS, ids=name)
def test_a_lesson_has_its_exercise_and_its_place_in_the_readme(path):
    assert (ROOT / "solutions" / path.name).exists()
    assert (ROOT / "exercises" / path.name).exists()
    row = re.search(rf"^\|.*\(notebooks/{re.escape(path.name)}\).*$", readme(), re.M)
    assert row, "no row in the table of lessons"
    assert f"lab/tree/notebooks/{path.name}" in row[0], "the row has no Binder link to it"
    assert f"(exercises/{path.name})" in row[0]


@pytest.mark.parametrize("path", notebooks("exercises", "solutions"), ids=name)
def test_an_exercise_has_its_lesson(path):
    assert (ROOT / "notebooks" / path.name).exists()


def test_the_readme_links_to_what_is_there():
    for target in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", readme()):
        assert (ROOT / target).exists(), target


def readme():
    return (ROOT / "README.md").read_text("utf-8")


# How nbval runs them


def nbval(folder, *cells):
    """Run nbval as `make test` does on a notebook of these cells; return what it says."""
    notebook = normalise(new_notebook(cells=list(cells)))
    nbformat.write(notebook, folder / "x.ipynb")
    settings = ["-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider", "--color=no"]
    command = [sys.executable, "-m", "pytest", *settings, "--nbval-cell-timeout=30", "x.ipynb"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90)
    return done.stdout + done.stderr


def printing(source, printed):
    output = new_output("stream", name="stdout", text=printed)
    return new_code_cell(source, execution_count=1, outputs=[output])


def test_outputs_are_compared(tmp_path):
    said = nbval(tmp_path, printing("print(1)", "1\n"), printing("print(2)", "3\n"))
    assert "1 failed, 1 passed" in said and "Cell outputs differ" in said


def test_a_learner_has_done_nothing_and_no_test_is_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("COVERAGE_PROCESS_CONFIG", "x")
    source = (
        "import os\n"
        "print(os.path.exists(os.environ['COURSEKIT_PROGRESS']))\n"
        "print('COVERAGE_PROCESS_CONFIG' in os.environ)"
    )
    assert "1 passed" in nbval(tmp_path, printing(source, "False\nFalse\n"))


def test_a_dead_kernel_is_reported_at_once(tmp_path):
    said = nbval(tmp_path, new_code_cell("import os\nos._exit(0)", execution_count=1))
    assert "the kernel ended while it ran this cell" in said
    assert "Timeout" not in said


def test_the_whole_suite_holds_the_notebooks():
    settings = (ROOT / "pyproject.toml").read_text("utf-8")
    folders = ast.literal_eval(re.search(r"^testpaths = (.*)$", settings, re.M)[1])
    assert {"notebooks", "solutions", "tests"} <= set(folders)
    assert re.search(r'^addopts = \[[^\]]*"--nbval"', settings, re.M)
