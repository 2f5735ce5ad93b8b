"""A front and what is behind it: the same steps at each run, with the bytes of both wires."""

import socket

import pytest

from coursekit import flow
from coursekit.flow import compare, decode, hops, tap
from coursekit.flow.detail import detail
from coursekit.flow.steps import SLACK, Step
from coursekit.flow.tap import Tap, Wire
from coursekit.live import live

MS = 1_000_000
PAIRS = [
    pytest.param("nginx", "gunicorn", "http", marks=pytest.mark.needs("nginx")),
    pytest.param("nginx", "uwsgi", "uwsgi", marks=pytest.mark.needs("nginx", "uwsgi")),
    pytest.param("apache", "gunicorn", "http", marks=pytest.mark.needs("apache")),
    pytest.param("proxy", "gunicorn", "http"),
]
BLOCK = b"\0\x1f\0\0\x0e\0REQUEST_METHOD\x03\0GET\x01\0A\x05\0hello"


def in_order(trace, *wanted):
    """Assert that these rows, "who -> whom" and the label, come in this order."""
    rows = iter([(trace.label(trace.lane(step, step.source)),
                  trace.label(trace.lane(step, step.target)), step.label) for step in trace.steps])
    missing = next((row for row in wanted if row not in rows), None)
    assert missing is None, f"{missing!r} is not where it should be in\n{trace.table()}"


@pytest.mark.parametrize("front, kind, protocol", PAIRS)
def test_a_request_is_the_same_story_at_each_run(front, kind, protocol):
    spoken = {"protocol": "uwsgi"} if protocol == "uwsgi" else {}
    with live(kind, "apps.echo_wsgi:app", watch=True, **spoken) as server:
        with live(front, upstream=server, **spoken) as door:
            tables = []
            for _ in range(3):
                with flow.record(door) as trace:
                    assert trace.get("/hello").status_code == 200
                    assert trace.post("/two", content=b"abc").content
                tables.append((trace.table(), trace.mermaid()))
            assert door.upstream is server
            assert door.get("/").status_code == 200
    worker = f"{kind} worker"
    asked = "uwsgi request" if protocol == "uwsgi" else "GET /hello HTTP/1."
    head = next(s.label for s in trace.steps if s.hop and s.label.startswith(asked))
    in_order(trace, ("client", front, "connects"), ("client", front, "GET /hello HTTP/1.1"),
             (front, worker, "connects"), (front, worker, head),
             (worker, "app", "app(environ, start_response)"),
             (worker, front, "closes (FIN)"), (front, "client", "HTTP/1.1 200 OK"),
             ("client", front, "POST /two HTTP/1.1"), ("client", front, "body, 3 bytes"),
             (front, worker, "connects"), (front, worker, "body, 3 bytes"),
             (front, "client", "HTTP/1.1 200 OK"))
    for each in tables:
        assert each == tables[-1], f"{each[0]}\n{trace.table(times=True)}"
    assert [each.call is not None for each in trace.exchanges] == [True, True]
    assert str(server.address[1]) not in trace.table()


@pytest.mark.needs("nginx", "uwsgi")
def test_the_detail_of_a_uwsgi_request_lists_its_variables():
    with live("uwsgi", protocol="uwsgi", watch=True) as server:
        with live("nginx", upstream=server, protocol="uwsgi") as door:
            with flow.record(door) as trace:
                trace.get("/hello?x=1")
    step = next(step for step in trace.steps if step.label.startswith("uwsgi request, "))
    shown = dict(detail(trace, step)["fields"])
    assert (shown["REQUEST_METHOD"], shown["QUERY_STRING"]) == ("GET", "x=1")
    assert step.label == f"uwsgi request, {len(shown)} variables"
    assert step.note == "GET /hello?x=1"


@pytest.mark.needs("nginx")
def test_a_stream_passes_piece_by_piece_only_if_the_front_lets_it():
    told = {}
    with live("gunicorn", "apps.stream_wsgi:app", watch=True) as server:
        for buffering in (True, False):
            with live("nginx", upstream=server, buffering=buffering) as door:
                with flow.record(door) as trace:
                    trace.get("/?n=2&size=8&pause=0.2", headers={"Connection": "close"})
            at = [i for i, step in enumerate(trace.steps) if step.label.startswith("yields")]
            first = next(i for i, step in enumerate(trace.steps)
                         if step.source == "front" and step.label == "HTTP/1.1 200 OK")
            told[buffering] = [first > i for i in at]
    assert told == {True: [True, True], False: [True, False]}


@pytest.mark.needs("apache")
def test_a_kept_connection_behind_the_front_has_no_end():
    with live("gunicorn", threads=2, watch=True) as server:
        with live("apache", upstream=server) as door, flow.record(door) as trace:
            assert [trace.get("/").status_code for _ in range(2)] == [200, 200]
    behind = [step.label for step in trace.steps if step.hop and step.kind in ("connect", "eof")]
    assert behind == ["connects"]


@pytest.mark.needs("nginx")
def test_a_connection_that_ends_without_a_word_has_its_ends():
    with live("gunicorn", threads=2, watch=True) as server:
        said = {"http_version": "1.1", "headers": {"Connection": ""}}
        with live("nginx", upstream=server, **said) as door, flow.record(door) as trace:
            trace.get("/")
    behind = [step.label for step in trace.steps if step.hop and step.kind in ("connect", "eof")]
    assert behind == ["connects", "closes (FIN)", "closes (FIN)"]


@pytest.mark.needs("nginx")
def test_direct_and_through_a_front_can_be_compared():
    with live("gunicorn", watch=True) as server:
        with flow.record(server) as direct:
            direct.get("/")
        with live("nginx", upstream=server) as door, flow.record(door) as through:
            through.get("/")
    assert through.name == "nginx, gunicorn"
    table = compare.table(direct, through)
    assert "front -> server" in table and "nginx, gunicorn" in table
    widget = flow.Flow(direct, through)
    assert "nginx" in widget.still["text/vnd.mermaid"]
    widget.close()


@pytest.mark.needs("nginx")
def test_a_front_with_nobody_behind_answers_alone():
    class Nobody:
        kind, address = "nobody", None

    with socket.create_server(("127.0.0.1", 0)) as free:
        Nobody.address = free.getsockname()
    with live("nginx", upstream=Nobody) as door, flow.record(door) as trace:
        assert trace.get("/", headers={"Connection": "close"}).status_code == 502
    in_order(trace, ("client", "nginx", "GET / HTTP/1.1"),
             ("nginx", "client", "HTTP/1.1 502 Bad Gateway"))


def test_a_block_of_variables_is_read_and_what_is_none_is_not():
    assert decode.variables(BLOCK) == [("REQUEST_METHOD", "GET"), ("A", "hello")]
    for broken in (b"", b"\0\x1f", BLOCK[:-1], b"\1" + BLOCK[1:], b"\0\x02\0\0\x01\0",
                   b"\0\x03\0\0\x01\0A"):
        assert decode.variables(broken) == []
    (head,) = decode.requests(BLOCK)
    assert (head.label, head.request, head.end) == (
        "uwsgi request, 2 variables", ("GET", ""), len(BLOCK))


def made(*times):
    return [Step(time, "a", "b", "x", str(time)) for time in times]


def test_orders_are_joined_by_cause_then_clock_then_rule():
    left, right = made(0, 10 * MS), made(5 * MS, 500 * MS)
    assert hops.merge(left, right, {}, first=0) == [*left, *right]
    assert hops.merge(left, right, {}, first=1) == [right[0], *left, right[1]]
    waits = {id(right[0]): [left[0]]}
    assert hops.merge(left, right, waits, first=1) == [left[0], right[0], left[1], right[1]]
    far = made(2 * SLACK)
    assert hops.merge(far, right, {}, first=0) == [right[0], *far, right[1]]
    both = {id(right[0]): [left[1]], id(left[0]): [right[1]]}  # cannot be: still all are there
    assert len(hops.merge(left, right, both, first=0)) == 4


def test_a_wire_is_settled_when_it_ended_or_is_kept():
    asked = Wire(1, 1, "client", "data", b"GET / HTTP/1.1\r\n\r\n")
    kept = Wire(2, 1, "server", "data", b"HTTP/1.1 204 No Content\r\n\r\n")
    last = Wire(2, 1, "server", "data", b"HTTP/1.1 204 No\r\nConnection: close\r\n\r\n")
    ends = [Wire(3, 1, "server", "eof"), Wire(4, 1, "client", "eof")]
    connect = Wire(0, 1, "client", "connect")
    for wires in ([], [connect], [connect, asked, kept], [connect, asked, last, *ends],
                  [connect, asked, Wire(3, 1, "server", "reset")]):
        assert hops.settled(wires), wires
    for wires in ([connect, asked], [connect, asked, last], [connect, asked, last, ends[0]],
                  [connect, asked, kept, ends[0]]):
        assert not hops.settled(wires), wires


def test_a_tap_that_is_full_relays_on_and_says_so(monkeypatch):
    monkeypatch.setattr(tap, "KEPT", 1000)
    with socket.create_server(("127.0.0.1", 0)) as listener, Tap(listener.getsockname()) as small:
        with socket.create_connection(small.address, timeout=5) as client:
            server, _ = listener.accept()
            with server:
                server.settimeout(5)
                for _ in range(3):
                    client.sendall(b"x" * 500)
                    assert len(server.recv(500, socket.MSG_WAITALL)) == 500
        assert small.full
        assert sum(len(wire.data) for wire in small.events) == 500
    trace = flow.Trace("small", wires=small.events)
    trace.full = True
    assert "more went by than is kept" in trace.table()
