"""The learner's verbs, in a kernel and out of one, and what is remembered of them."""

import asyncio
import json
import subprocess
import sys
import types

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbformat import v4
from sample_course import COUNT, ECHO, write_course

from coursekit import practice
from coursekit.authoring import refresh
from coursekit.grading import verdicts
from coursekit.practice import bar, cells, exercise, installing, predictions, state, widgets


@pytest.fixture(autouse=True)
def course(tmp_path, monkeypatch):
    path = write_course(tmp_path)
    monkeypatch.setenv("COURSEKIT_SOLUTIONS", str(path.parent))
    monkeypatch.delenv("COURSEKIT_VERDICTS", raising=False)
    monkeypatch.setattr(cells, "_newest", {})
    monkeypatch.setattr(installing, "_originals", {})
    return path


def known(slug):
    return state.load()["exercises"].get(slug, {})


# Cells


def test_the_newest_run_of_an_answer_cell_counts(monkeypatch):
    shell = InteractiveShell()
    monkeypatch.setattr(cells, "shell", lambda: shell)
    cells.watch()
    cells.watch()
    assert shell.events.callbacks["pre_run_cell"].count(cells._before_cell) == 1
    shell.run_cell("# exercise: it\nx = 1", store_history=False)
    shell.run_cell("# exercise: it\nx = (", store_history=False)
    shell.run_cell("y = 2", store_history=False)
    assert cells.newest("it") == "# exercise: it\nx = ("
    assert cells.newest("other") is None


# Check, hint, solution, reset


def test_check_prints_the_verdict_and_remembers_it(capsys):
    cells.note(COUNT)
    practice.check("count-crlf")
    assert capsys.readouterr().out.startswith("count-crlf: passed, 3 of 3 points\n")
    assert known("count-crlf") == {
        "outcome": "passed", "earned": 3, "points": 3, "best": 3, "passed": True, "checks": 1,
    }  # fmt: skip
    cells.note(COUNT.replace("return data", "data"))
    practice.check("count-crlf")
    now = known("count-crlf")
    assert (now["outcome"], now["best"], now["passed"], now["checks"]) == ("failed", 3, True, 2)


def test_an_unknown_exercise_could_not_be_judged(capsys):
    practice.check("nothing")
    said = capsys.readouterr().out
    assert "could not be judged" in said and "no exercise is named 'nothing'" in said
    assert known("nothing") == {}


def test_hints_come_one_by_one_and_are_counted(capsys):
    for _ in range(4):
        practice.hint("echo")
    first, second, *all_of_them = capsys.readouterr().out.splitlines()
    assert first == "Hint 1 of 2: Once?"
    assert second.startswith("Hint 2 of 2, the last: Loop")
    assert all_of_them[0] == "These were all hints for echo:"
    assert known("echo")["hints"] == 3


def test_a_solution_before_passing_needs_a_word_and_is_counted(capsys):
    practice.solution("echo")
    assert "sure=True" in capsys.readouterr().out
    assert "solution_seen" not in known("echo")
    practice.solution("echo", sure=True)
    assert "connection.sendall(data)" in capsys.readouterr().out
    assert known("echo")["solution_seen"]
    practice.solution("echo")
    assert "sendall" in capsys.readouterr().out


def test_after_passing_a_solution_is_free(capsys):
    state.exercise("echo", lambda entry: entry.update(passed=True))
    practice.solution("echo")
    assert "sendall" in capsys.readouterr().out
    assert "solution_seen" not in known("echo")


def test_reset_gives_the_stub_and_forgets(capsys):
    state.exercise("echo", lambda entry: entry.update(passed=True, best=2, hints=1, checks=4))
    cells.note(ECHO)
    practice.reset("echo")
    assert "echo is not written yet" in capsys.readouterr().out
    assert known("echo") == {"checks": 4}
    assert cells.newest("echo") is None


def test_without_solutions_help_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSEKIT_SOLUTIONS", str(tmp_path / "none"))
    practice.hint("echo")
    practice.solution("echo", sure=True)
    assert capsys.readouterr().out.count("not on this machine") == 2


def test_in_a_graded_kernel_the_outer_verdict_is_repeated(tmp_path, monkeypatch, capsys):
    path = tmp_path / "verdicts.json"
    entry = {"text": "echo: said outside", "source": exercise.fingerprint(ECHO)}
    path.write_text(json.dumps({"echo": entry}))
    monkeypatch.setenv("COURSEKIT_VERDICTS", str(path))
    practice.check("echo")
    assert "what ran here is not what was handed in" in capsys.readouterr().out
    cells.note(ECHO)
    practice.check("echo")
    assert capsys.readouterr().out == "echo: said outside\n"


# Installing


@pytest.fixture
def toy(monkeypatch):
    """A module that stands for the toy's."""
    module = types.ModuleType("servers.http11")
    module.count = original = lambda data: "the toy's"
    monkeypatch.setitem(sys.modules, "servers.http11", module)
    monkeypatch.setattr("servers.http11", module, raising=False)
    names = {"count": lambda data: "the learner's"}
    monkeypatch.setattr(cells, "shell", lambda: types.SimpleNamespace(user_ns=names))
    return types.SimpleNamespace(module=module, original=original, names=names)


def test_install_and_uninstall(toy, capsys):
    practice.install("count-crlf")
    practice.install("count-crlf")
    assert toy.module.count is toy.names["count"]
    assert installing.installed() == ["servers.http11.count"]
    practice.uninstall()
    assert toy.module.count is toy.original
    practice.uninstall()
    assert "Nothing was installed." in capsys.readouterr().out


def test_install_says_what_is_missing(toy):
    with pytest.raises(LookupError, match="nothing that the toy could use"):
        practice.install("echo")
    toy.names.clear()
    with pytest.raises(LookupError, match="run your cell first"):
        practice.install("count-crlf")
    with pytest.raises(LookupError, match="the toy has no servers.http11.nothing"):
        installing.put("servers.http11.nothing", None)


# Predictions and the board


def test_a_prediction_is_compared_with_what_happened(capsys):
    practice.predict("p", "Who?", ["a", "b"])
    assert capsys.readouterr().out == "Predict: Who?\n  1. a\n  2. b\n"
    practice.reveal("p", "a")
    assert capsys.readouterr().out == "It happened: a\n"
    box = predictions._choices("p", "Who?", ["a", "b"])
    box.children[1].value = "b"
    assert "Your prediction: b" in box.children[2].value
    practice.reveal("p", "a")
    assert "You predicted: b." in capsys.readouterr().out
    assert state.load()["predictions"]["p"]["actual"] == "a"
    assert predictions._choices("p", "Who?", ["a", "b"]).children[1].value == "b"
    assert "1 predictions, 0 as it happened" in str(practice.progress())


def test_the_board_lists_the_whole_course():
    state.exercise(
        "who", lambda entry: entry.update(outcome="passed", passed=True, best=1, points=1)
    )
    state.exercise("gone", lambda entry: entry.update(outcome="failed", best=1, points=2))
    board = practice.progress()
    assert [row[1:3] for row in board.rows] == [
        ("count-crlf", "open"), ("echo", "open"), ("who", verdicts.PASSED), ("gone", "failed"),
    ]  # fmt: skip
    assert str(board).startswith("1 of 4 exercises passed.")
    page = board._repr_html_()
    assert page.count("<tr>") == 5 and '<th scope="col">' in page and "<caption>" in page


# What is remembered


ADD = """
from coursekit.practice import state
for _ in range(30):
    state.exercise("echo", lambda entry: entry.update(checks=entry.get("checks", 0) + 1))
"""


def test_two_kernels_merge():
    both = [subprocess.Popen([sys.executable, "-c", ADD]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert known("echo")["checks"] == 60


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 99}', "\udc80"])
def test_a_damaged_file_is_kept_aside(text, capsys):
    path = state.place()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    state.exercise("echo", lambda entry: entry.update(hints=1))
    assert "it is kept as progress.damaged-1.json" in capsys.readouterr().out
    aside = path.with_name("progress.damaged-1.json")
    assert aside.read_bytes() == text.encode("utf-8", "surrogateescape")
    assert known("echo") == {"hints": 1}


def test_an_older_file_migrates(monkeypatch):
    monkeypatch.setattr(state, "VERSION", 2)
    renamed = {"version": 2, "exercises": {"echo": {"hints": 2}}, "predictions": {}}
    monkeypatch.setitem(state.MIGRATE, 1, lambda old: renamed)
    state.place().write_text(json.dumps(state.EMPTY | {"version": 1}))
    assert known("echo") == {"hints": 2}


def test_a_failing_edit_changes_nothing():
    state.exercise("echo", lambda entry: entry.update(hints=1))
    before = state.place().read_bytes()

    def fail(entry):
        entry["hints"] = 9
        raise ValueError

    with pytest.raises(ValueError):
        state.exercise("echo", fail)
    assert state.place().read_bytes() == before
    assert sorted(path.name for path in state.place().parent.glob("progress*")) == [
        "progress.json",
        "progress.json.lock",
    ]


# Widgets


def buttons(widget):
    found = {}
    for child in getattr(widget, "children", ()):
        found |= buttons(child)
        if hasattr(child, "on_click"):
            found[child.description] = child
    return found


def test_every_button_has_a_name_and_does_its_work():
    cells.note(ECHO)
    box = bar.Bar("echo").widget
    row, said, asked = box.children
    names = buttons(box)
    assert list(names) == ["Check again", "Hint", "Solution", "Reset"]
    assert all("echo" in button.tooltip for button in names.values())
    names["Check again"].click()
    assert "echo: passed, 2 of 2 points" in said.value and 'role="status"' in said.value
    names["Hint"].click()
    assert "Hint 1 of 2" in said.value
    names["Reset"].click()
    assert "echo is not written yet" in said.value
    names["Solution"].click()
    assert "Show a solution all the same?" in said.value
    buttons(asked)["Not yet"].click()
    assert "solution_seen" not in known("echo")
    names["Solution"].click()
    buttons(asked)["Show it"].click()
    assert "connection.sendall(data)" in said.value and known("echo")["solution_seen"]
    assert "Install into the live server" in buttons(bar.Bar("count-crlf").widget)


def test_a_button_says_what_went_wrong_instead_of_nothing(monkeypatch):
    monkeypatch.setattr(cells, "shell", lambda: None)
    box = bar.Bar("count-crlf").widget
    buttons(box)["Install into the live server"].click()
    assert "run your cell first" in box.children[1].value


def test_out_of_a_kernel_there_is_text_only(capsys):
    assert not widgets.in_a_kernel()
    bar.show("echo")
    widgets.show("text", None)
    assert capsys.readouterr().out == "text\n"


def test_in_a_kernel_the_text_stays_beside_the_widget(tmp_path):
    notebook = v4.new_notebook(
        cells=[
            v4.new_code_cell(source)
            for source in (
                "from coursekit.practice import check, predict",
                'predict("p", "Who?", ["a", "b"])',
                'check("who")',
            )
        ]
    )
    asyncio.run(refresh.run(notebook, tmp_path, lambda done: None))
    (asked,) = notebook.cells[1].outputs
    assert asked.data["text/plain"] == "Predict: Who?\n  1. a\n  2. b"
    verdict, below = notebook.cells[2].outputs
    assert verdict.text.startswith("who: not attempted\n")
    assert below.data["text/plain"] == "" and widgets.VIEW in below.data
    assert nbformat.validate(notebook) is None
