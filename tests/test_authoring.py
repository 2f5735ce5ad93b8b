"""Quoted code, stored outputs and the rules of a notebook, tried on small notebooks."""

import asyncio
import textwrap

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

from coursekit.__main__ import main
from coursekit.authoring import notebooks, quote
from coursekit.authoring.lint import lint
from coursekit.authoring.refresh import refresh, run

MODULE = '''\
"""Say what this is."""

import re

LIMIT = 8
# RFC 9110 5.6.2
TOKEN = re.compile(
    "a"
)


# why it is cached
@staticmethod
def parse(head):
    """Parse."""
    return head  # as it is


class Reader:
    """Read."""

    # takes bytes
    def feed(self, data):
        """Take bytes."""
        return LIMIT
'''
OPENING = "# 7 · Title\n\nYou will be able to read. Takes 20 minutes, needs nothing."


def code(source, *tags, **more):
    cell = new_code_cell(textwrap.dedent(source).strip("\n"), **more)
    if tags:
        cell.metadata["tags"] = list(tags)
    return cell


def say(source="Now look."):
    return new_markdown_cell(textwrap.dedent(source).strip("\n"))


@pytest.fixture
def root(tmp_path):
    (tmp_path / "servers").mkdir()
    (tmp_path / "servers" / "http.py").write_text(MODULE)
    return tmp_path


@pytest.fixture
def save(root):
    """Return a function that writes a notebook with these cells, in its saved form."""

    def write(*cells, folder="notebooks", name="07_x.ipynb", normal=True):
        notebook = new_notebook(cells=list(cells))
        path = root / folder / name
        notebooks.write(path, notebooks.normalise(notebook) if normal else notebook)
        return path

    return write


def lesson(save, *cells, **more):
    """Write a lesson that keeps every rule but for these cells."""
    return save(new_markdown_cell(OPENING), *cells, **more)


def rules(path):
    return {finding.rule for finding in lint(path)}


# Quoting


@pytest.mark.parametrize(
    "names, source",
    [
        ("LIMIT", "LIMIT = 8"),
        ("re, LIMIT", "import re\nLIMIT = 8"),
        ("TOKEN", '# RFC 9110 5.6.2\nTOKEN = re.compile(\n    "a"\n)'),
        (
            "LIMIT, parse",
            "LIMIT = 8\n\n# why it is cached\n@staticmethod\ndef parse(head):\n"
            '    """Parse."""\n    return head  # as it is',
        ),
        (
            "Reader.feed",
            "# takes bytes\ndef feed(self, data):\n"
            '    """Take bytes."""\n    return LIMIT\n\n\nReader.feed = feed',
        ),
    ],
)
def test_a_build_cell_holds_the_text_of_the_module(root, names, source):
    header = f"# servers/http.py: {names}"
    assert quote.quoted(header, root) == f"{header}\n{source}"


@pytest.mark.parametrize(
    "header, said",
    [
        ("# servers/http.py", "begins"),
        ("import re", "begins"),
        ("# servers/none.py: a", "no file servers/none.py"),
        ("# servers/http.py: absent", "no absent"),
        ("# servers/http.py: parse.x", "no class parse"),
        ("# servers/http.py: Reader.x", "no Reader.x"),
    ],
)
def test_a_header_that_names_nothing_is_refused(root, header, said):
    with pytest.raises(ValueError, match=said):
        quote.quoted(header, root)


def test_only_what_differs_is_filled(root):
    header = "# servers/http.py: LIMIT"
    cells = [code(header, "build", id="a"), code(f"{header}\nLIMIT = 8", "build", id="b")]
    notebook = new_notebook(cells=[*cells, code(header, id="c")])
    assert quote.fill(notebook, root) == ["a"]
    assert [cell.source for cell in notebook.cells] == [f"{header}\nLIMIT = 8"] * 2 + [header]
    assert quote.fill(notebook, root) == []


# Stored outputs


def test_what_varies_is_dropped_and_what_is_said_is_kept():
    widget = {notebooks.WIDGET: {"model_id": "4f"}, "text/plain": "Slider(value=0)"}
    outputs = [
        new_output("stream", name="stderr", text="x"),
        new_output("stream", name="stdout", text="a"),
        new_output("display_data", data={notebooks.WIDGET: {"model_id": "5f"}}),
        new_output("stream", name="stdout", text="b"),
        new_output("display_data", data=widget),
        new_output("stream", name="stdout", text="c"),
        new_output("execute_result", data={"text/plain": "1"}, execution_count=31),
    ]
    cell = code("1", "t", outputs=outputs, execution_count=31)
    cell.metadata["execution"] = {"iopub.status.busy": "2026"}
    notebook = new_notebook(cells=[code(""), cell], metadata={"widgets": {}, "course": 1})
    notebook.metadata["language_info"] = {"version": "3.11.7"}
    notebooks.normalise(notebook)
    first, cell = notebook.cells
    assert first.execution_count is None
    assert cell.execution_count == 1
    assert cell.metadata == {"tags": ["t"]}
    assert [o.get("name") or dict(o.data) for o in cell.outputs] == [
        "stdout",
        "stderr",
        {"text/plain": "Slider(value=0)"},
        "stdout",
        {"text/plain": "1"},
    ]
    assert [o.text for o in cell.outputs if "text" in o] == ["ab", "x", "c"]
    assert cell.outputs[-1].execution_count == 1
    assert "widgets" not in notebook.metadata and notebook.metadata.course == 1
    assert "version" not in notebook.metadata.language_info
    once = notebooks.text(notebook)
    assert notebooks.text(notebooks.normalise(nbformat.reads(once, 4))) == once


SAMPLE = [
    say("# Title"),
    code("import json, os, sys\nprint('out')\nprint('err', file=sys.stderr)\nprint('out')\n6 * 7"),
    code("# servers/http.py: LIMIT, Reader", "build"),
    code(""),
    code("json.loads('x')", "raises-exception"),
    code("import ipywidgets\nipywidgets.IntSlider()"),
    code("os.path.exists(os.environ['COURSEKIT_PROGRESS']), os.path.basename(os.getcwd())"),
]


def test_a_second_refresh_changes_no_byte(save, capsys):
    path = save(*SAMPLE, normal=False)
    assert refresh([path])
    once = path.read_bytes()
    assert refresh([path])
    assert path.read_bytes() == once
    assert "changed" in capsys.readouterr().out
    cells = notebooks.read(path).cells
    assert cells[2].source.endswith("return LIMIT")
    assert [cell.execution_count for cell in cells[1:]] == [1, 2, None, 3, 4, 5]
    assert cells[4].outputs[0].ename == "JSONDecodeError"
    assert "json/" not in "".join(cells[4].outputs[0].traceback)  # a frame outside the notebook
    assert cells[6].outputs[0].data["text/plain"] == "(False, 'notebooks')"
    assert rules(path) == {"opening", "alternate"}


def test_a_notebook_that_fails_keeps_its_outputs_and_the_others_are_done(save, capsys):
    bad = save(say("# Title"), code("1 / 0"), name="01_bad.ipynb")
    good = save(say("# Title"), code("2"), name="02_good.ipynb")
    before = bad.read_bytes()
    assert not refresh([bad, good])
    assert bad.read_bytes() == before
    assert notebooks.read(good).cells[1].execution_count == 1
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_run_tells_how_far_it_is(root, save):
    told = []
    notebook = notebooks.read(save(say(), code("1"), say(), code("2")))
    asyncio.run(run(notebook, root, told.append))
    assert told == ["2 of 4", "4 of 4"]


# The rules


def test_a_good_lesson_has_no_findings(root, save):
    picture = "```mermaid\nsequenceDiagram\n  accTitle: a\n  accDescr: b\n  A->>B: x\n```"
    shown = [
        new_output("display_data", data={"text/html": '<img alt="a cat" src="x">'}),
        new_output("display_data", data={"image/svg+xml": '<svg aria-label="a cat"/>'}),
        new_output("display_data", data={"text/vnd.mermaid": "accTitle: a\naccDescr: b"}),
    ]
    path = lesson(
        save,
        code("x = 1", execution_count=1, outputs=shown),
        say(f"## Look\n\n[module](../servers/http.py#L3) [web](https://example.com)\n\n{picture}"),
        code("# servers/http.py: LIMIT\nLIMIT = 8", "build", execution_count=2),
        say("### Why\n\n![a cat](../servers/http.py)\n\n```\n# no heading, [no](link)\n```"),
    )
    assert [str(finding) for finding in lint(path)] == []


def error(ename="ValueError"):
    return new_output("error", ename=ename, evalue="x", traceback=["x"])


def shown(**data):
    return [new_output("display_data", data={k.replace("_", "/"): v for k, v in data.items()})]


@pytest.mark.parametrize(
    "rule, cells",
    [
        ("one-title", [say("# Again")]),
        ("heading-order", [say("### Deep")]),
        ("alt-text", [say("![](../servers/http.py)")]),
        ("alt-text", [say('<img src="x">')]),
        ("alt-text", [say("```mermaid\ngraph TD\n  accTitle: only\n```")]),
        ("alt-text", [code("1", execution_count=1, outputs=shown(image_png="aGk="))]),
        ("alt-text", [code("1", execution_count=1, outputs=shown(text_html="<svg width=1>"))]),
        ("alt-text", [code("1", execution_count=1, outputs=shown(text_html="<iframe src=x>"))]),
        (
            "alt-text",
            [code("1", execution_count=1, outputs=shown(**{"image/svg+xml": "<svg/>"}))],
        ),
        (
            "alt-text",
            [code("1", execution_count=1, outputs=shown(**{"text/vnd.mermaid": "graph TD"}))],
        ),
        ("link", [say("[gone](../servers/gone.py)")]),
        ("link", [say("[root](/servers/http.py)")]),
        ("machine-path", [say("Look in /home/ann/course.")]),
        ("machine-path", [code("open('/Users/ann/x')", execution_count=1)]),
        (
            "machine-path",
            [code("1", execution_count=1, outputs=shown(text_plain="/tmp/tmp8x_/kernel"))],
        ),
        ("hidden", [code("1", "nbval-skip", execution_count=1)]),
        ("hidden", [code("# NBVAL_IGNORE_OUTPUT\n1", execution_count=1)]),
        ("error", [code("1", execution_count=1, outputs=[error()])]),
        ("error", [code("1", "raises-exception", execution_count=1)]),
        ("not-run", [code("1", outputs=[new_output("stream", text="x")])]),
        ("not-run", [code("1")]),
        ("build", [code("# servers/http.py: LIMIT\nLIMIT = 9", "build", execution_count=1)]),
        ("build", [code("# servers/http.py: gone", "build", execution_count=1)]),
        ("cells", [say()] * 60),
        ("words", [say("word " * 2001)]),
        ("lines", [code("1\n" * 13, execution_count=1)]),
        ("alternate", [code("1", execution_count=1), code("2", execution_count=2)]),
    ],
)
def test_each_rule_finds_what_it_is_for(save, rule, cells):
    cells = [nbformat.from_dict({**cell}) for cell in cells]
    if rule == "cells":
        for number, cell in enumerate(cells):
            cell.id = f"c{number}"
    assert rules(lesson(save, *cells)) == {rule}


def test_a_double_id_is_found(save):
    path = lesson(save, new_markdown_cell("a", id="same"), new_markdown_cell("b", id="other"))
    path.write_text(path.read_text("utf-8").replace('"other"', '"same"'), "utf-8")
    assert [finding.cell for finding in lint(path) if finding.rule == "unique-id"] == ["same"]


def test_what_was_not_saved_by_refresh_is_found(save):
    cell = code("1", execution_count=7, outputs=[])
    assert rules(lesson(save, cell, normal=False)) == {"saved-form"}


@pytest.mark.parametrize(
    "first, words",
    [
        ("Hello", {"begins with the title"}),
        ("# Title", {"able to", "minutes", "need"}),
        ("# Title\n\nYou will be able to x in 20 minutes.", {"need"}),
    ],
)
def test_a_lesson_opens_with_what_how_long_and_what_for(save, first, words):
    found = [f.todo for f in lint(save(say(first))) if f.rule == "opening"]
    assert len(found) == len(words)
    assert all(any(word in todo for todo in found) for word in words)


def test_a_file_that_is_no_notebook_is_a_finding(root, capsys):
    path = root / "notebooks" / "x.ipynb"
    path.parent.mkdir()
    path.write_text("{")
    assert rules(path) == {"readable"}
    assert main(["lint", str(path)]) == 1
    assert "notebooks/x.ipynb [-] readable" in capsys.readouterr().out


ANSWER = """\
# exercise: double
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION
"""


def solution(save, hints=2, wrong=3):
    ladder = "\n".join(f"{n}. Why {n}?" for n in range(1, hints + 1))
    answers = [f"# wrong: double\n# because: b\n# fails: f\nx = {n}" for n in range(wrong)]
    hidden = [(answer, "wrong") for answer in answers]
    hidden += [("# checks: double", "checks"), (f"<!-- hints: double -->\n{ladder}", "hints")]
    cells = [say("# Title"), code(ANSWER), code('check("double")')]
    cells += [new_raw_cell(source, metadata={"tags": [tag]}) for source, tag in hidden]
    for number, cell in enumerate(c for c in cells if c.cell_type == "code"):
        cell.execution_count = number + 1
    return save(*cells, folder="solutions")


def test_an_exercise_is_proven(save):
    assert rules(solution(save)) == set()
    assert rules(solution(save, hints=1, wrong=2)) == {"hints", "wrong-answers"}


def test_an_exercise_without_checks_is_a_finding(save):
    path = save(say("# Title"), code(ANSWER, execution_count=1), folder="solutions")
    assert rules(path) == {"exercise"}


def test_an_exercise_is_what_its_solution_makes(root, save):
    from coursekit.authoring.exercises import write_exercises

    solution(save)
    (made,) = write_exercises(root)
    assert rules(made) == set()
    made.write_text(made.read_text("utf-8").replace("Title", "Another"), "utf-8")
    assert rules(made) == {"generated"}
    assert rules(save(say("# T"), folder="exercises", name="08_y.ipynb")) == {"generated"}
