"""Loads and their reports: every request is accounted for, and latency is what a user waits."""

import math
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from coursekit import load
from coursekit.live import live
from coursekit.load import shown, theory
from coursekit.load.canned import ANSWER, canned
from coursekit.load.loops import Report


@contextmanager
def serving(answer):
    """Serve one connection after the other; `answer(sock, number)` does it."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def serve():
        number = 0
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                sock.recv(65536)
                answer(sock, number)
                number += 1

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


@pytest.fixture(scope="module")
def toy():
    with live("toy", "apps.work_wsgi:app", process=True, threads=4, errors="log") as server:
        yield server


def test_a_closed_loop_asks_as_often_as_it_should(toy):
    report = load.closed(toy, "/sleep?0.01", clients=3, requests=20)
    assert (report.statuses, report.errors) == ({200: 20}, {})
    assert sum(report.served_by.values()) == 20
    assert 0 < report.p50 <= report.p99 <= report.percentile(100)
    # Three clients: at most three requests are under way at any time.
    events = sorted([(note["sent"], 1) for note in report.notes]
                    + [(note["done"], -1) for note in report.notes])  # fmt: skip
    inside = [sum(change for _, change in events[: n + 1]) for n in range(len(events))]
    assert max(inside) <= 3


def test_an_open_loop_does_not_wait_for_answers():
    with serving(lambda sock, number: None) as address:
        report = load.open(address, rate=1000, seconds=0.05)
    assert report.errors == {"EOFError": 50}
    due = [note["due"] for note in report.notes]
    assert due == pytest.approx([number / 1000 for number in range(50)])


def test_the_stall_that_a_closed_loop_hides_is_seen_by_an_open_one():
    def stalls_once(sock, number):
        if number == 20:
            time.sleep(1)
        sock.sendall(ANSWER)

    with serving(stalls_once) as address:
        hidden = load.closed(address, clients=1, requests=200)
    with serving(stalls_once) as address:
        seen = load.open(address, rate=100, seconds=2)
    assert hidden.statuses == seen.statuses == {200: 200}
    assert max(hidden.latencies) >= 1  # it is there, one of two hundred
    assert seen.p99 > 5 * hidden.p99


def test_errors_are_counted_and_said_first():
    answers = [ANSWER, b"", b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", b"what?\r\n\r\n"]
    with serving(lambda sock, number: sock.sendall(answers[number % 4])) as address:
        report = load.closed(address, clients=1, requests=8)
    assert report.errors == {"EOFError": 2, "ValueError": 2}
    assert report.statuses == {200: 2, 503: 2}
    lines = str(report).splitlines()
    assert lines[1].split() == ["errors", "2", "EOFError,", "2", "ValueError"]


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    report = load.closed(address, clients=1, requests=3)
    assert report.errors == {"ConnectionRefusedError": 3}
    assert math.isnan(report.p99) and report.per_second == 0
    assert "answers    none" in str(report)


NOTE = {"due": 0.0, "sent": 0.0, "done": 0.001, "status": 200, "error": "", "served_by": ""}


def test_the_generator_knows_its_limit():
    assert load.limit() > 100
    fast = Report("fast", 1.0, [NOTE] * round(load.limit()))
    slow = Report("slow", 10.0, [NOTE] * 10)
    assert "itself reaches" in str(fast) and "beware" not in str(slow)


def test_a_generator_that_was_late_says_so():
    late = {**NOTE, "sent": 1.0, "done": 1.5}
    assert "itself was late by worst 1.000 s" in str(Report("late", 10.0, [NOTE] * 199 + [late]))
    stalled = {**NOTE, "sent": 0.1, "done": 1.5}  # that was the server
    assert "beware" not in str(Report("stalled", 10.0, [NOTE] * 199 + [stalled]))


def test_a_canned_server_answers_anything():
    with canned() as address:
        assert load.closed(address, clients=4, requests=40).statuses == {200: 40}


def test_a_canned_server_ends_with_whoever_started_it():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "coursekit.load.canned", str(listener.fileno())]
        started = subprocess.Popen(command, pass_fds=[listener.fileno()], stdin=subprocess.PIPE)
        assert load.closed(listener.getsockname(), clients=1, requests=1).statuses == {200: 1}
        started.stdin.close()
        assert started.wait(30) == 0


@pytest.mark.parametrize("wrong", [
    lambda: load.closed(("127.0.0.1", 1), requests=0),
    lambda: load.closed(("127.0.0.1", 1), clients=0),
    lambda: load.open(("127.0.0.1", 1), rate=0),
    lambda: theory.amdahl(1.5, 2),
])  # fmt: skip
def test_a_load_of_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="above 0"):
        wrong()


# --- what is shown ---


def test_a_plot_has_a_name_a_table_and_no_background(toy):
    reports = [load.closed(toy, "/", clients=2, requests=10) for _ in range(2)]
    widget = shown._latencies(reports, "Latency")
    assert 'alt="Latency: the numbers are in the table below"' in widget.value
    assert widget.value.count("<tr>") == 3 and "2 clients, 10 requests" in widget.value
    drawing = shown.svg(lambda axes: axes.plot([1, 2], label="a line"), "A title")
    assert "<svg" in drawing and "fill: #ffffff" not in drawing


def test_outside_a_notebook_a_plot_is_a_sentence(toy, capsys):
    load.plot(load.closed(toy, "/", clients=1, requests=2), title="Latency")
    assert capsys.readouterr().out == "[plot: latency, of: 1 client, 2 requests]\n"


def test_a_long_run_shows_how_far_it_is(toy, monkeypatch):
    told = []

    def progress(name, requests):
        told.append((name, requests))
        return told.append

    monkeypatch.setattr(shown, "progress", progress)
    load.closed(toy, "/sleep?1.2", clients=1, requests=2)
    assert told[0] == ("1 client, 2 requests", 2)
    assert len(told) > 2 and told[-1] == 2  # at last it is full
    assert told[1:] == sorted(told[1:])


def test_a_bar_has_a_name_and_no_text(monkeypatch):
    bar, drawn = SimpleNamespace(value="", model_id="4f"), []
    monkeypatch.setattr(shown, "in_a_kernel", lambda: True)
    monkeypatch.setattr("ipywidgets.HTML", lambda: bar)
    monkeypatch.setattr("IPython.display.display", lambda data, raw: drawn.append(data))
    shown.progress("a <run>", 4)(1)
    assert [list(data) for data in drawn] == [[shown.VIEW]]
    assert 'aria-label="a &lt;run&gt;" max="4" value="1"' in bar.value
    assert bar.value.endswith("</progress> a &lt;run&gt;: 1 of 4")


def test_outside_a_notebook_there_is_no_bar(capsys):
    shown.progress("a run", 4)(1)
    assert capsys.readouterr().out == ""


def test_a_generator_that_fails_is_no_report(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises((RuntimeError, BrokenPipeError)):
        load.closed(("127.0.0.1", 1), requests=1)


# --- what arithmetic tells ---


def test_amdahl():
    assert theory.amdahl(1, 4) == 4 and theory.amdahl(0, 4) == 1
    assert theory.amdahl(0.5, 1e9) == pytest.approx(2)


def test_queues():
    assert theory.utilisation(8, 0.1, 1) == pytest.approx(0.8)
    # M/M/1: utilisation * service / (1 - utilisation)
    assert theory.waiting(8, 0.1, 1) == pytest.approx(0.4)
    assert theory.waiting(8, 0.1, 2) < theory.waiting(8, 0.1, 1) / 5
    assert theory.waiting(10, 0.1, 1) == math.inf


def test_makespan():
    assert theory.makespan([1] * 8, 8) == 1 and theory.makespan([1] * 8, 3) == 3
    assert theory.makespan([3, 1, 1, 1], 2) == 3
