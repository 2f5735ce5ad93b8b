"""Where a program is missing, a cell says so and shows what it once put out."""

import nbformat
import pytest

from coursekit.authoring import notebooks
from coursekit.doctor import TOOLS, Tool
from coursekit.live import here, stored

NOWHERE = Tool("nowhere", ("no-such-program",), "this test", "nowhere", "nowhere", "nowhere")
CODE = 'if here("nowhere"):\n    print("it runs")'
MIME = "image/svg+xml"


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """Put a notebook with one cell in place of the course's; return a way to give it outputs."""
    monkeypatch.setitem(TOOLS, "nowhere", NOWHERE)
    path = tmp_path / "one.ipynb"
    monkeypatch.setattr(notebooks, "notebooks", lambda *folders: [path])
    monkeypatch.setattr(stored, "running_code", lambda: CODE + "\n")

    def write(*outputs):
        cell = nbformat.v4.new_code_cell(CODE, outputs=list(outputs), execution_count=1)
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)

    return write


def stream(text):
    return nbformat.v4.new_output("stream", text=text)


def test_what_is_here_is_here(capsys):
    assert here()
    assert capsys.readouterr().out == ""


def test_text_and_pictures_are_shown_and_called_recorded(notebook, capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(stored, "_display", shown.append)
    notebook(stream("one\ntwo\n"), nbformat.v4.new_output("display_data", {MIME: "<svg/>"}))
    assert not here("nowhere")
    said, *rest = capsys.readouterr().out.splitlines()
    assert said.startswith("nowhere is not on this machine. What brings it: ")
    assert said.endswith(stored.RECORDED.strip()) and rest == ["one", "two"]
    assert shown == [{MIME: "<svg/>"}]


def test_a_record_that_was_saved_with_our_words_shows_them_once(notebook, capsys):
    notebook(stream("one\n"))
    here("nowhere")
    saved = capsys.readouterr().out
    notebook(stream(saved))
    here("nowhere")
    assert capsys.readouterr().out == saved


def test_a_cell_that_was_changed_has_no_record(notebook, capsys, monkeypatch):
    notebook(stream("one\n"))
    monkeypatch.setattr(stored, "running_code", lambda: "another()")
    assert not here("nowhere")
    assert capsys.readouterr().out.count("\n") == 1


def test_outside_a_notebook_nothing_runs():
    assert stored.running_code() == ""
    assert list(stored.outputs_of("")) == []


def test_lesson_7_has_a_record_for_each_program():
    [lesson] = [path for path in notebooks.notebooks("notebooks") if path.name.startswith("07")]
    cells = [c for c in notebooks.read(lesson).cells if "here(" in c.source and c.outputs]
    assert len(cells) >= 8
    for cell in cells:
        assert list(stored.outputs_of(cell.source)) == cell.outputs
