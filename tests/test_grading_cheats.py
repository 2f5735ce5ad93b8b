"""The cheat corpus: none of tests/cheats scores, and nothing of it is left running."""

import gc
import os
import socket
import threading
import time
from pathlib import Path

import psutil
import pytest
from sample_course import exercise as cells_of_exercise
from sample_course import write_notebook

from coursekit.grading import judge as judging
from coursekit.grading import sandbox, verdicts
from coursekit.grading.judge import judge
from coursekit.grading.sandbox import Containment
from coursekit.grading.source import exercises

CHEATS = sorted((Path(__file__).parent / "cheats").glob("*.py"))
# Without namespaces a fork bomb of root is not bounded, the files are open, and so is the network;
# the report says so.
NEED_NAMESPACES = {"fork_bomb", "reads_solutions", "network", "disk", "kills_the_judge"}

ANSWER = """# exercise: double
def double(n):
    ### BEGIN SOLUTION
    return 2 * n
    ### END SOLUTION"""

CHECKS = """# checks: double
from coursekit.grading import check, expect

@check("a random number is doubled", limit=1)
def number(answer):
    n = answer.random.randint(1000, 9999)
    expect(answer.call("double", n), 2 * n)
"""


@pytest.fixture(scope="module")
def exercise(tmp_path_factory):
    path = tmp_path_factory.mktemp("course") / "solutions" / "80_cheats.ipynb"
    path.parent.mkdir()
    cells = cells_of_exercise("double", "Double", ANSWER, CHECKS, ["2?", "2 * n"], [])
    write_notebook(path, cells)
    return exercises(path)[0]


@pytest.fixture
def helper():
    """A server outside that knows the answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def work():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"%d" % (2 * int(connection.recv(100))))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def strays():
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = " ".join(process.info["cmdline"] or [])
        if "cheat-own-session-child" in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def test_the_solution_scores(exercise):
    verdict = judge(exercise, exercise.solution)
    assert (verdict.outcome, verdict.earned) == (verdicts.PASSED, 1), str(verdict)


@pytest.mark.needs("bubblewrap")
@pytest.mark.parametrize("path", CHEATS, ids=lambda path: path.stem)
def test_no_cheat_scores(path, exercise, helper, monkeypatch):
    monkeypatch.setattr(judging, "LOADING", 1.0)
    gc.collect()  # what another test has left
    before = psutil.Process().num_fds()
    began = time.monotonic()
    verdict = judge(exercise, path.read_text().replace("PORT = 0", f"PORT = {helper}"))
    assert verdict.earned == 0, str(verdict)
    assert verdict.outcome != verdicts.PASSED
    assert verdict.outcome != verdicts.NOT_JUDGED, str(verdict)
    # It has an end, though not on a busy machine the promised one (limit + 2 s).
    assert time.monotonic() - began < 60
    assert not strays()
    assert psutil.Process().num_fds() <= before


@pytest.mark.parametrize(
    "path",
    [path for path in CHEATS if path.stem not in NEED_NAMESPACES],
    ids=lambda path: path.stem,
)
def test_no_cheat_scores_without_namespaces(path, exercise, monkeypatch):
    monkeypatch.setattr(sandbox, "contained", lambda: Containment(False, "switched off"))
    monkeypatch.setattr(judging, "LOADING", 1.0)
    verdict = judge(exercise, path.read_text())
    assert verdict.earned == 0, str(verdict)
    assert verdict.outcome not in (verdicts.PASSED, verdicts.NOT_JUDGED), str(verdict)
    assert not strays()


@pytest.mark.needs("bubblewrap")
def test_a_fork_bomb_stays_small(exercise):
    """Count the processes from outside while it burns."""
    path = Path(__file__).parent / "cheats" / "fork_bomb.py"
    most, done = 0, threading.Event()

    def watch():
        nonlocal most
        while not done.is_set():
            most = max(most, len(psutil.Process().children(recursive=True)))
            done.wait(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    judge(exercise, path.read_text())
    done.set()
    watcher.join()
    assert 2 < most <= sandbox.Limits().processes + 5


def test_an_answer_sees_no_secret_of_ours(exercise, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "secret")
    text = "# exercise: double\nimport os\ndef double(n):\n    return dict(os.environ)"
    verdict = judge(exercise, text)
    assert "LANG" in str(verdict)
    assert "secret" not in str(verdict) and os.path.expanduser("~") not in str(verdict)
