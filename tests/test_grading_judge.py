"""The judge's parts: the format, the messages, the plain data, the limits of one check."""

import pytest
from nbformat import v4
from sample_course import tagged, write_course, write_notebook

from coursekit.grading import failures, inside, verdicts
from coursekit.grading.answer import CannotStart
from coursekit.grading.judge import judge
from coursekit.grading.prove import prove, prove_one
from coursekit.grading.source import (
    Exercise,
    FormatError,
    course,
    exercises,
    find,
    stub,
    untouched,
)

ANSWER = "# exercise: it\n### BEGIN SOLUTION\npass\n### END SOLUTION"


def exercise(checks, setup=""):
    head = "# checks: it\nfrom coursekit.grading import *\n"
    return Exercise("it", "It", "n", setup, ANSWER, head + checks)


# The format


def test_a_stub_fails_with_a_sentence_that_names_what_is_missing():
    answer = (
        "# exercise: reader\nclass Reader:\n    def feed(self):\n"
        "        ### BEGIN SOLUTION\n"
        "        return 1\n        ### END SOLUTION\n\n"
        "### BEGIN SOLUTION\nx = 1\n### END SOLUTION\n"
    )
    assert stub(answer) == (
        "# exercise: reader\nclass Reader:\n    def feed(self):\n"
        '        raise NotImplementedError("Reader.feed is not written yet")\n\n'
        'raise NotImplementedError("reader is not written yet")\n'
    )


def test_a_region_may_hold_its_own_stub():
    answer = (
        "def f(x):\n    ### BEGIN SOLUTION\n    #: y = x\n    #: return ...\n"
        "    return 2\n    ### END SOLUTION"
    )
    assert stub(answer) == "def f(x):\n    y = x\n    return ..."


@pytest.mark.parametrize(
    "text, same",
    [("a = 1", True), ("# note\n\na  =  1  # one\n", True), ("a = 2", False), ("a = (", False)],
)
def test_spaces_and_comments_are_no_attempt(text, same):
    assert untouched(text, "a = 1") is same


def test_a_course_is_read_from_its_notebooks(tmp_path):
    path = write_course(tmp_path)
    slugs = [found.slug for found in course(path.parent)]
    assert slugs == ["count-crlf", "echo", "who"]
    found = find("echo", path.parent)
    assert (found.title, found.notebook, len(found.hints)) == ("Echo", "90_sample", 2)
    assert "BEGIN" not in found.solution and "raise" not in found.solution
    assert exercises(path)[0].installs == ("servers.http11.count",)
    with pytest.raises(LookupError, match="no exercise is named 'nothing'"):
        find("nothing", path.parent)
    with pytest.raises(LookupError, match="not on this machine"):
        find("echo", tmp_path)


GOOD = {
    "answer": v4.new_code_cell(ANSWER),
    "check": v4.new_code_cell('check("it")'),
    "checks": tagged(v4.new_raw_cell("# checks: it\n"), "checks"),
}


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"answer": v4.new_code_cell("# exercise: it\npass")}, "no ### BEGIN"),
        ({"check": v4.new_code_cell("pass")}, "no cell check"),
        ({"checks": v4.new_raw_cell("")}, "0 cells `# checks: it`"),
        ({"checks": v4.new_code_cell("# checks: it")}, "must be a raw cell"),
        ({"again": v4.new_code_cell(ANSWER)}, "two answer cells"),
        ({"wrong": v4.new_raw_cell("# wrong: it\npass")}, "needs `# because:`"),
    ],
)
def test_a_malformed_notebook_says_what_is_amiss(change, reason, tmp_path):
    path = write_notebook(tmp_path / "n.ipynb", list((GOOD | change).values()))
    with pytest.raises(FormatError, match=reason):
        exercises(path)


# Messages


def test_a_caret_stands_under_the_first_wrong_byte():
    lines = failures.difference(b"GET /\r\n", b"GET /\n").lines
    (_, want), (_, got), (_, caret) = lines
    place = caret.index("^")
    assert (want[place:], got[place:]) == ("\\r\\n'", "\\n'")
    assert caret.endswith("byte 5")


@pytest.mark.parametrize(
    "want, got, cause",
    [
        (1, None, "nothing was returned"),
        (b"a", "a", "the wire carries bytes"),
        ("a", b"a", "text was wanted"),
        ([], "<generator>", "a generator came back"),
        (True, 1, "wanted bool, got int"),
        (b"a\r\n", b"a\n", "line ends differ"),
        ("Host", "host", "only upper and lower case"),
        (b"a", b" a", "only the spaces"),
        (b"abc", b"ab", "stops too soon: 2 of 3"),
        (b"ab", b"abc", "goes on too long"),
        (b"ab", b"", "nothing came"),
        ([1, 2], [1], "2 items were wanted, 1 came"),
    ],
)
def test_common_causes_are_named(want, got, cause):
    assert cause in failures.difference(want, got).likely


def test_a_difference_deep_inside_is_located():
    failure = failures.difference({"h": [(b"a", b"1")]}, {"h": [(b"a", b"2")]})
    assert ("differs", "at ['h'][0][1]") in failure.lines


def test_a_secret_stays_one():
    failure = failures.difference("client", "server", secret=True)
    assert "client" not in str(failure.lines) + str(failure.likely)


# What crosses


class Text(str):
    def __repr__(self):
        return "1"


@pytest.mark.parametrize(
    "value, crossed",
    [
        (Text("a"), "a"),
        (bytearray(b"a"), b"a"),
        (float("inf"), "inf"),
        ({(1, 2): {3}}, {(1, 2): {3}}),
        (
            verdicts.Result("n", "o", 1),
            {"name": "n", "outcome": "o", "points": 1, "lines": (), "detail": ""},
        ),
        ({object: 1}, {"<type>": 1}),
        (iter([]), "<list_iterator>"),
    ],
    ids=["str", "bytearray", "inf", "dict", "dataclass", "type", "iterator"],
)
def test_only_plain_data_crosses(value, crossed):
    found = inside.plain(value)
    assert (found, type(found)) == (crossed, type(crossed))


# Verdicts


def verdict(answer, checks, setup=""):
    return judge(exercise(checks, setup), f"# exercise: it\n{answer}")


CALLS = '@check("one", points=2)\ndef one(answer):\n    expect(answer.call("f", 1), 1)\n'


@pytest.mark.parametrize(
    "answer, outcome, part",
    [
        ("def f(x):\n    return x", verdicts.PASSED, "2 of 2 points"),
        ("async def f(x):\n    return x", verdicts.PASSED, "2 of 2 points"),
        ("%time\nawait __import__('asyncio').sleep(0)\nf = int", verdicts.PASSED, "2 of 2"),
        ("def f(x):\n    return 2", verdicts.FAILED, "expected  1\n      got       2"),
        ("def f(x):\n    return 1 / 0", verdicts.ERROR, "in line   3: return 1 / 0"),
        ("def f(x:", verdicts.ERROR, "in line   2"),
        ("def g(x): pass", verdicts.ERROR, "your cell defines no f"),
        ("def f(x):\n    return helper(x)", verdicts.ERROR, "define it here"),
        (
            'def f(x):\n    """Told."""\n    raise NotImplementedError("f is not written yet")',
            verdicts.NOT_ATTEMPTED,
            "not attempted",
        ),
    ],
)
def test_outcomes(answer, outcome, part):
    found = verdict(answer, CALLS)
    assert found.outcome == outcome, str(found)
    assert part in str(found)


def test_points_come_check_by_check_and_one_failure_costs_one_check():
    checks = (
        CALLS + '@check("two", limit=1, hint="When?")\ndef two(answer):\n    answer.call("g")\n'
    )
    checks += '@check("three", points=4)\ndef three(answer):\n    expect(answer.call("f", 3), 3)\n'
    found = verdict("def f(x):\n    return x\ndef g():\n    while True: pass", checks)
    assert (found.earned, found.points, found.outcome) == (6, 7, verdicts.FAILED)
    assert "not done within 1 s" in str(found) and "hint      When?" in str(found)


def test_the_machines_fault_is_nobodys_zero():
    found = verdict("def f(x): return x", CALLS, setup="import no_such_module")
    assert found.outcome == verdicts.NOT_JUDGED
    assert "no fault of the answer" in str(found) and "no_such_module" in str(found)


def test_an_answer_process_that_cannot_start_is_not_judged(monkeypatch):
    def refuse(self):
        raise CannotStart("no more processes")

    monkeypatch.setattr("coursekit.grading.answer.Answer.start", refuse)
    assert verdict("def f(x): return x", CALLS).outcome == verdicts.NOT_JUDGED


def test_a_check_that_trips_over_a_strange_value_has_failed():
    checks = '@check("one")\ndef one(answer):\n    expect(answer.call("f")[0], 1)\n'
    found = verdict("def f(): return 3", checks)
    assert found.outcome == verdicts.FAILED
    assert "could not be examined: TypeError" in str(found)


def test_raises_wants_the_name_and_the_status():
    checks = '@check("one")\ndef one(answer):\n    answer.raises("Bad", "f", status=400)\n'
    bad = "class Bad(Exception):\n    status = {}\ndef f(): raise Bad('x')"
    assert verdict(bad.format(400), checks).outcome == verdicts.PASSED
    assert "got       Bad with status 500" in str(verdict(bad.format(500), checks))
    assert "it returned 3" in str(verdict("def f(): return 3", checks))
    assert "raised    KeyError" in str(verdict("def f(): {}[1]", checks))


def test_a_harness_runs_among_the_learners_names():
    checks = (
        "def twice(x):\n    return 2 * x\n"
        "def use(n):\n    return list(numbers(twice(n)))\n"
        '@check("one")\ndef one(answer):\n'
        "    expect(answer.run(use, 2, using=(twice,)), [0, 1, 2, 3])\n"
    )
    assert verdict("def numbers(n):\n    yield from range(n)", checks).outcome == verdicts.PASSED


PEER = """@check("one", limit=3)
def one(answer):
    peer = answer.peer(b"ab", b"cd", end=True)
    expect(answer.call("f", peer), [b"ab", b"cd", b""])
    expect(peer.received, b"done")
"""


def test_a_peer_brings_its_pieces_one_by_one():
    reads = (
        "def f(sock):\n    found = [sock.recv(9) for _ in range(3)]\n"
        "    sock.sendall(b'done')\n    return found"
    )
    found = verdict(reads, PEER)
    assert found.outcome == verdicts.PASSED, str(found)


SERVED = """@check("hello", limit=8)
def hello(answer):
    with answer.serve(app="{app}", install={install}, mode="{mode}") as server:
        exchange = server.send(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
    expect_answer(exchange, body=b"{body}")
"""
APP = """def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"hi"]
def run(app, environ, send):
    return original(lambda e, s: ORDER(e, s), environ, send)
"""


MADE = """def made():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        return [word()]
    return app

@check("made", limit=8)
def it(answer):
    with answer.serve(made) as server:
        expect_answer(server.send(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"), 200, b"hi")
"""


def test_a_check_may_build_the_app_around_the_answer():
    found = verdict("def word():\n    return b'hi'", MADE)
    assert found.outcome == verdicts.PASSED, str(found)


@pytest.mark.parametrize("mode", ["threads", "serial"])
def test_a_learners_app_is_served_by_the_toy(mode):
    checks = SERVED.format(app="app", install={}, mode=mode, body="hi")
    found = verdict(APP, checks)
    assert found.outcome == verdicts.PASSED, str(found)


def test_a_learners_function_is_installed_into_the_toy():
    answer = (
        "from servers.http11 import ProtocolError\n"
        "def parse(head, *limits):\n    raise ProtocolError('mine', 431)"
    )
    install = {"servers.http11.parse_head": "parse"}
    found = verdict(
        answer, SERVED.format(app="apps.hello_wsgi:app", install=install, mode="threads", body="")
    )
    assert "expected  200\n      got       431" in str(found)
    assert "sent      b'GET / HTTP/1.1" in str(found) and "replay    server.send_raw(" in str(found)


def test_random_inputs_are_the_same_for_the_same_seed():
    checks = (
        '@check("one")\ndef one(answer):\n    expect(answer.call("f", answer.random.random()), 0)\n'
    )
    first, second = (judge(exercise(checks), "# exercise: it\nf = float", seed=s) for s in "ab")
    assert str(first) == str(judge(exercise(checks), "# exercise: it\nf = float", seed="a"))
    assert str(first) != str(second)
    assert "random inputs: seed a" in str(first)


# Proof


def test_the_sample_course_is_proven(tmp_path):
    assert prove(write_course(tmp_path)) == []


def test_a_weak_exercise_is_found_out():
    weak = Exercise(
        "it", "It", "n", "", ANSWER,
        "# checks: it\nfrom coursekit.grading import *\n" + CALLS,
    )  # fmt: skip
    said = "\n".join(prove_one(weak))
    assert "the solution does not pass" in said
    assert "0 hints, needs 2" in said and "0 wrong answers, needs 3" in said
