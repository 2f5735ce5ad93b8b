"""The trace of real servers: the same steps at each run, in text and in pictures."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from apps.hello_asgi import app as hello_asgi
from coursekit import flow
from coursekit.flow import compare, decode
from coursekit.flow.events import EventList
from coursekit.flow.watch import watch
from coursekit.live import live

KINDS = {"toy": {}, "wsgiref": {}, "gunicorn": {"workers": 2}, "waitress": {}}
KEEPS_ALIVE = {"toy", "waitress"}


@contextmanager
def serving(kind: str, app: str) -> Iterator[Any]:
    with live(kind, app, watch=None if kind == "toy" else True, errors="log",
              **KINDS[kind]) as server:
        yield server


def labels(trace: flow.Trace) -> list[str]:
    return [step.label for step in trace.steps]


def in_order(trace: flow.Trace, *wanted: str) -> None:
    """Assert that steps with these labels come in this order, others between them or not."""
    found = iter(labels(trace))
    missing = next((label for label in wanted if label not in found), None)
    assert missing is None, f"{missing!r} is not where it should be in\n{trace.table()}"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_hello_is_the_same_story_on_every_server_and_at_each_run(kind):
    with serving(kind, "apps.hello_wsgi:app") as server:
        tables = []
        for _ in range(3):
            with flow.record(server) as trace:
                assert trace.get("/hello?x=1").status_code == 200
            tables.append((trace.table(), trace.mermaid()))
    in_order(trace, "connects", "GET /hello?x=1 HTTP/1.1", "app(environ, start_response)",
             'start_response("200 OK")', "returns list of 1", "yields 16 bytes",
             f"HTTP/1.{int(kind != 'wsgiref')} 200 OK", "body, 16 bytes", "closes (FIN)",
             "closes (FIN)")
    assert tables[0] == tables[1] == tables[2]
    assert trace.address is None and str(server.address[1]) not in trace.table()


def test_bodies_of_get_and_post_are_seen_going_in(kind):
    with serving(kind, "apps.echo_wsgi:app") as server, flow.record(server) as trace:
        trace.request("GET", "/", content=b"in a GET")
        trace.post("/", content=b"posted")
    in_order(trace, "GET / HTTP/1.1", "body, 8 bytes", "app(environ, start_response)",
             "POST / HTTP/1.1", "body, 6 bytes", "app(environ, start_response)")
    reads = [step.info["size"] for step in trace.steps if step.kind == "read"]
    assert sum(reads) == 14
    assert [each.call is not None for each in trace.exchanges] == [True, True]


def test_two_requests_share_a_connection_where_the_server_keeps_it(kind):
    with serving(kind, "apps.hello_wsgi:app") as server, flow.record(server) as trace:
        trace.get("/one")
        trace.get("/two")
    connects = labels(trace).count("connects")
    assert connects == (1 if kind in KEEPS_ALIVE else 2)
    in_order(trace, "GET /one HTTP/1.1", "yields 16 bytes", "body, 16 bytes",
             "GET /two HTTP/1.1", "yields 16 bytes", "body, 16 bytes")
    assert [each.target for each in trace.exchanges] == ["/one", "/two"]


def test_a_stream_shows_each_chunk_before_the_next_is_made(kind):
    # wsgiref closes to end a body, waitress too (it sends no chunked); the others send chunks.
    part = "chunk of 8 bytes" if kind in ("toy", "gunicorn") else "body, 16 bytes"
    with serving(kind, "apps.stream_wsgi:app") as server, flow.record(server) as trace:
        trace.get("/?n=2&size=8&pause=0.1", headers={"Connection": "close"})
    told = [label for label in labels(trace) if label.startswith(("yields", part, "close()"))]
    if kind == "waitress":  # gathers chunks until it has enough or the app is through
        assert told[0] == "yields 8 bytes"
    elif kind == "wsgiref":
        assert told == ["yields 8 bytes", f"{part} (piece 1 of 2)", "yields 8 bytes",
                        f"{part} (piece 2 of 2)", "close()"]
    else:
        assert told == ["yields 8 bytes", part, "yields 8 bytes", part, "close()"]


def test_an_exception_is_seen_before_its_500(kind):
    with serving(kind, "apps.bad_wsgi:raises") as server, flow.record(server) as trace:
        assert trace.get("/", headers={"Connection": "close"}).status_code == 500
    raised = next(label for label in labels(trace) if label.startswith("raises "))
    in_order(trace, "app(environ, start_response)", raised,
             next(label for label in labels(trace) if label.startswith("HTTP/1.")))


def test_raw_bytes_that_are_no_http_stay_visible():
    with serving("toy", "apps.hello_wsgi:app") as server, flow.record(server) as trace:
        trace.send(b"nonsense\r\n\r\n")
    in_order(trace, "12 bytes that end no head", "HTTP/1.1 400 Bad Request")
    assert not trace.calls


def test_pieces_with_a_pause_between_are_steps_of_their_own():
    with serving("toy", "apps.hello_wsgi:app") as server, flow.record(server) as trace:
        with socket.create_connection(trace.address) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            time.sleep(0.12)  # the subject: a pause longer than SLACK
            sock.sendall(b"Connection: close\r\n\r\n")
            while sock.recv(1000):
                pass
    in_order(trace, "GET / HTTP/1.1 (piece 1 of 2)", "GET / HTTP/1.1 (piece 2 of 2)",
             "app(environ, start_response)")


def test_processes_are_told_apart_on_request():
    with serving("gunicorn", "apps.work_wsgi:app") as server:
        with flow.record(server, apart=True) as trace:
            threads = [threading.Thread(target=httpx.get, kwargs={
                "url": f"http://127.0.0.1:{trace.address[1]}/?sleep=0.3"}) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert {trace.label(lane) for lane in trace.lanes()} >= {"client", "worker 1",
                                                             "app in worker 1"}
    assert {each.call is not None for each in trace.exchanges} == {True}


def test_an_unwatched_server_has_no_app_lane_and_a_closed_trace_says_so():
    with live("gunicorn") as server, flow.record(server) as trace:
        trace.get("/")
    assert [lane[0] for lane in trace.lanes()] == ["client", "server"]
    with pytest.raises(RuntimeError, match="inside `with record"):
        trace.get("/")


def test_the_toys_own_app_is_back_after_the_recording():
    with serving("toy", "apps.hello_wsgi:app") as server:
        app = server.app
        with flow.record(server):
            assert server.app is not app
        assert server.app is app


def test_asgi_messages_make_steps_too():
    sink = EventList()
    config = uvicorn.Config(watch(hello_asgi, sink), port=0, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        address = server.servers[0].sockets[0].getsockname()
        with flow.record(address, events=sink, name="uvicorn") as trace:
            assert trace.get("/").text == "Hello from ASGI\n"
    finally:
        server.should_exit = True
        thread.join(10)
    in_order(trace, "GET / HTTP/1.1", "app(scope, receive, send)",
             "send(http.response.start 200)", "HTTP/1.1 200 OK",
             "send(http.response.body, 16 bytes)", "body, 16 bytes")


def test_two_traces_stand_side_by_side_with_differences_marked():
    traces = []
    for kind in ("toy", "wsgiref"):
        with serving(kind, "apps.hello_wsgi:app") as server, flow.record(server) as trace:
            trace.get("/")
        traces.append(trace)
    lines = compare.table(*traces).splitlines()
    assert "toy" in lines[0] and "wsgiref" in lines[0]
    head = next(line for line in lines if "HTTP/1.1 200 OK" in line)
    assert "|  HTTP/1.0 200 OK" in head
    same = next(line for line in lines if "yields 16 bytes" in line)
    assert not {"|", "<"} & set(same)


def test_chunked_bytes_are_decoded_and_cover_everything():
    data = (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nrest")
    parts = decode.responses(data, ["GET", "GET"])
    assert [(part.kind, part.message) for part in parts] == [
        ("head", 0), ("head", 0), ("chunk", 0), ("last chunk", 0), ("head", 1), ("other", 2)]
    assert b"".join(data[part.start:part.end] for part in parts) == data
