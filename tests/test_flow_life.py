"""Who starts and ends: from the real processes, and the same text at each run."""

import signal
import socket
import sys
import threading
from contextlib import contextmanager

import pytest

from coursekit import flow
from coursekit.flow import life, lived, sending
from coursekit.flow.steps import SLACK, Step
from coursekit.live import live

MS = 1_000_000
KINDS = {
    "gunicorn": {},
    "toy": {"process": True},
    # Without it, a HUP starts the Python that the environment was made from.
    "uwsgi": {"binary_path": sys.executable},
}
ONCE = {"headers": {"Connection": "close"}}


@pytest.fixture(params=[pytest.param(kind, marks=pytest.mark.needs(kind)) if kind == "uwsgi"
                        else kind for kind in KINDS])
def kind(request):
    return request.param


@contextmanager
def watched(kind, **options):
    with live(kind, "apps.gate_wsgi:app", workers=2, watch=True, errors="log",
              **{**KINDS[kind], **options}) as server:
        if kind == "gunicorn":
            # Its worker loses a TERM that comes before it has installed its handlers. Two requests
            # that are inside at once prove that both are up.
            for gate in [Gate(server.send_raw) for _ in range(2)]:
                gate.open()
        yield server


def rows(trace):
    """Return "who -> whom: label" of each step that is about a process."""
    named = [(trace.label(trace.lane(step, step.source), short=True),
              trace.label(trace.lane(step, step.target), short=True), step)
             for step in trace.steps]
    return [f"{who} -> {whom}: {step.label}" for who, whom, step in named
            if step.kind in lived.KINDS]


class Gate:
    """Send a request that stays inside the app until `open`, which returns its answer."""

    def __init__(self, send):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(20)
            port = listener.getsockname()[1]
            request = f"GET /gate?{port} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
            self.answers = []
            self.thread = threading.Thread(
                target=lambda: self.answers.append(send(request, timeout=20)))
            self.thread.start()
            self.inside, _ = listener.accept()
        self.inside.settimeout(20)
        self.pid = int(self.inside.recv(16))

    def open(self):
        self.inside.close()
        self.thread.join()
        return self.answers[0]


def test_a_reload_with_a_request_inside_is_told_the_same_at_each_run(kind):
    master = "master" if kind == "uwsgi" else "arbiter"
    started = [f"{master} -> worker {n}: starts" for n in (3, 4)]
    first, second = (f"worker {n} -> {master}: ends" for n in (1, 2))
    for _ in range(2):
        with watched(kind) as server, flow.record(server, processes=True) as trace:
            gate = Gate(trace.send)
            server.kill("master", signal.SIGHUP)
            trace.wait(ends=1, starts=0 if kind == "uwsgi" else 2)
            assert gate.open().status == 200
            trace.wait(starts=2, ends=2)
            assert trace.get("/", **ONCE).status_code == 200
            assert trace.counts == {"calls": 2, "starts": 2, "ends": 2}
        assert trace.counts == {"calls": 2, "starts": 2, "ends": 2}
        told = [f"you -> {master}: SIGHUP", second, first, *started]
        if kind != "uwsgi":
            told = [told[0], *started, second, first]
        assert rows(trace) == told, trace.table(times=True)
        at = {row: i for i, row in enumerate(
            f"{trace.label(trace.lane(s, s.source))}: {s.label}" for s in trace.steps)}
        assert at["client: connects"] > at["worker 1: ends"]  # the second: a new worker answers it
        assert at["worker 1: HTTP/1.1 200 OK"] < at["worker 1: ends"]
        assert {"worker 3: HTTP/1.1 200 OK", "worker 4: HTTP/1.1 200 OK"} & set(at)


def test_a_killed_worker_takes_its_request_with_it(kind):
    with watched(kind) as server, flow.record(server, processes=True) as trace:
        gate = Gate(trace.send)
        server.kill(gate.pid)
        assert gate.open().answers == []
        trace.wait(starts=1, ends=1)
    master = "master" if kind == "uwsgi" else "arbiter"
    told = rows(trace)
    assert told[:2] == ["you -> worker 1: SIGKILL", f"worker 1 -> {master}: ends"]
    assert told[-1] == f"{master} -> worker 3: starts" and len(told) == 4
    assert told[2].startswith(f"{master} -> you: ") and "worker 1" in told[2]
    assert not any(str(gate.pid) in form for form in (trace.table(), trace.mermaid()))
    closes = [step.source for step in trace.steps if step.ends]
    assert closes[0] == "server", trace.table(times=True)


def test_one_more_and_one_less():
    with watched("gunicorn") as server, flow.record(server, processes=True) as trace:
        for number, seen in ((signal.SIGTTIN, "starts"), (signal.SIGTTOU, "ends")):
            server.kill("master", number)
            trace.wait(**{seen: 1})
    assert rows(trace) == ["you -> arbiter: SIGTTIN", "arbiter -> worker 3: starts",
                           "you -> arbiter: SIGTTOU", "worker 1 -> arbiter: ends"]
    assert trace.lanes()[:2] == [("you", 0, 0), ("arbiter", 0, 0)]


def test_the_end_of_all(kind):
    with watched(kind) as server, flow.record(server, processes=True) as trace:
        server.kill("master", signal.SIGTERM)
        trace.wait(ends=2)
        gone = server.workers
        life.psutil.wait_procs([life.psutil.Process(row.pid) for row in gone if
                                life.psutil.pid_exists(row.pid)], timeout=10)
    master = "master" if kind == "uwsgi" else "arbiter"
    assert rows(trace) == [f"you -> {master}: SIGTERM", f"worker 1 -> {master}: ends",
                           f"worker 2 -> {master}: ends", f"{master} -> you: ends"]


def test_a_timeout_is_told_by_the_log_before_what_it_does():
    with watched("gunicorn", timeout=1) as server:
        with flow.record(server, processes=True) as trace:
            gate = Gate(trace.send)
            gate.thread.join()  # the dying worker answers
            trace.wait(starts=1, ends=1)
            assert gate.open().status == 500
    told = [step.label for step in trace.steps]
    log = told.index("WORKER TIMEOUT (worker 1)")
    assert told.index("app(environ, start_response)") < log < told.index("raises SystemExit")
    assert rows(trace)[0] == "arbiter -> you: WORKER TIMEOUT (worker 1)"
    assert rows(trace)[-1] == "arbiter -> worker 3: starts"


@pytest.mark.needs("nginx")
def test_all_lanes_in_one_picture():
    with watched("gunicorn") as server, live("nginx", upstream=server) as door:
        with flow.record(door, processes=True) as trace:
            trace.get("/")
            server.kill("master", signal.SIGTTIN)
            trace.wait(starts=1)
    assert [trace.label(lane, short=True) for lane in trace.lanes()] == [
        "you", "client", "nginx", "arbiter", "worker 1", "app 1", "worker 3"]
    widget = flow.Flow(trace)
    figure = widget.data["figures"][0]
    assert figure["many"] and 400 < figure["narrowest"] < 760 and "SIGTTIN" in figure["even"][1]
    assert any(row[0]["process"] for row in widget.data["rows"])
    assert "--)" in trace.mermaid()
    widget.close()


@pytest.mark.parametrize("options", [{}, {"process": True}])
def test_what_has_no_master_cannot_be_watched(options):
    with live("toy", **options) as server:
        with pytest.raises(ValueError, match="no master whose workers could be watched"):
            with flow.record(server, processes=True):
                pass


def test_waiting_has_an_end(monkeypatch):
    monkeypatch.setattr(sending, "PATIENCE", 0.05)
    with watched("gunicorn") as server, flow.record(server, processes=True) as trace:
        with pytest.raises(TimeoutError, match=r"waited for \{'starts': 1\}, saw \{'calls': 0"):
            trace.wait(starts=1)


def note(time, kind, pid=2, **values):
    return {"time": time * MS, "kind": kind, "pid": pid, "master": pid == 1, **values}


def told(notes, kind="gunicorn"):
    trace = flow.Trace(kind, workers=True, notes=notes)
    return [row.partition(": ")[0].replace("arbiter", "a").replace("worker ", "w") + ": "
            + row.partition(": ")[2] for row in rows(trace)]


def test_the_order_of_what_is_close_together_is_a_rule():
    before = [note(0, "here", 1), note(0, "here", 2), note(0, "here", 3)]
    crash = [note(10, "start", 4), note(12, "gone", 3),
             note(12, "log", 3, text="Worker (pid:3) was sent SIGKILL!")]
    assert told([*before, *crash]) == [
        "w1 -> a: ends", "a -> you: Worker (worker 1) was sent SIGKILL!", "a -> w3: starts"]
    reload = [note(5, "signal", 1, text="SIGHUP"), *crash]
    assert told([*before, *reload]) == [
        "you -> a: SIGHUP", "a -> w3: starts", "w1 -> a: ends",
        "a -> you: Worker (worker 1) was sent SIGKILL!"]
    assert told([*before, *reload], "uwsgi")[1] == "w1 -> master: ends"
    late = [note(5, "signal", 1, text="SIGHUP"), note(10, "gone", 3),
            note(11 + SLACK // MS, "start", 4)]
    assert told([*before, *late])[1:] == ["w1 -> a: ends", "a -> w3: starts"]
    last = [note(5, "gone", 1), note(6, "gone", 2), note(7, "gone", 3)]
    assert told([*before, *last]) == ["w1 -> a: ends", "w2 -> a: ends", "a -> you: ends"]


def made(*times):
    return [Step(time, "a", "b", "x", str(time)) for time in times]


def test_orders_are_joined_by_cause_then_clock_then_rule():
    left, right = made(0, 10 * MS), made(5 * MS, 500 * MS)
    assert lived.merge(left, right, {}) == [*left, *right]
    assert lived.merge(left, right, {id(left[1]): [right[0]]}) == [
        left[0], right[0], left[1], right[1]]
    late = made(2 * SLACK)
    assert lived.merge(late, right, {}) == [right[0], *late, right[1]]
    assert lived.merge(late, right, {id(right[0]): late}) == [*late, *right]
    both = {id(right[0]): [left[1]], id(left[0]): [right[1]]}  # cannot be: still all are there
    assert len(lived.merge(left, right, both)) == 4
