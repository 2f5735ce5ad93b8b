"""The trace of ASGI: messages, frames and events of a stream among the bytes on the wire."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from websockets.sync.client import connect

from coursekit import flow
from coursekit.flow import compare, decode
from coursekit.flow.detail import detail
from coursekit.flow.events import EventList
from coursekit.flow.watch import watch
from coursekit.live import live

SERVERS = ["toy", "uvicorn"]


@contextmanager
def recording(kind: str, app: Any, **options: Any) -> Iterator[flow.Trace]:
    """Record an app on a server that runs in a thread."""
    if kind == "toy":
        with live("toy", app, interface="asgi", errors="log") as server:
            with flow.record(server, **options) as trace:
                yield trace
        return
    sink = EventList()
    config = uvicorn.Config(watch(app, sink), port=0, lifespan="off", log_level="critical")
    with threaded(uvicorn.Server(config)) as address:
        with flow.record(address, events=sink, name="uvicorn", **options) as trace:
            yield trace


@contextmanager
def threaded(server: uvicorn.Server) -> Iterator[tuple[str, int]]:
    ready = threading.Event()
    startup = server.startup

    async def started(sockets: Any = None) -> None:
        await startup(sockets)
        ready.set()

    server.startup = started
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        assert ready.wait(20)
        yield server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        thread.join(20)


async def hello(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def echo(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def events(scope, receive, send):
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"text/event-stream")]})
    for number in range(1, 4):
        text = b"event: tick\nid: %d\ndata: %d\n\n" % (number, number)
        await send({"type": "http.response.body", "body": text, "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


async def chat(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"].upper()})


def story(trace: flow.Trace) -> list[str]:
    return [f"{step.source[0]}>{step.target[0]} {step.label}" for step in trace.steps]


HELLO = [
    "c>s connects", "c>s GET /x HTTP/1.1", "s>a app(scope, receive, send)",
    "s>a receive() -> http.request", "a>s send(http.response.start 200)",
    "a>s send(http.response.body, 5 bytes)", "s>c HTTP/1.1 200 OK", "s>c body, 5 bytes",
    "c>s closes (FIN)", "s>c closes (FIN)"]  # fmt: skip


def test_the_toy_keeps_the_head_until_there_is_a_body():
    with recording("toy", hello) as trace:
        assert trace.get("/x").text == "hello"
    assert story(trace) == HELLO


def test_uvicorn_sends_the_head_at_once():
    with recording("uvicorn", hello) as trace:
        trace.get("/x")
    told = story(trace)
    assert told[4:6] == ["a>s send(http.response.start 200)", "s>c HTTP/1.1 200 OK"]


@pytest.mark.parametrize("kind", SERVERS)
def test_a_post_is_received_after_its_bytes(kind):
    with recording(kind, echo) as trace:
        for _ in range(3):
            trace.post("/", content=b"x" * 10)
    told = story(trace)[1:]
    assert told[:5] == told[8:13] == told[16:21] == [
        "c>s POST / HTTP/1.1", "c>s body, 10 bytes", "s>a app(scope, receive, send)",
        "s>a receive() -> http.request, 10 bytes", "a>s send(http.response.start 200)"]
    assert [each.call is not None for each in trace.exchanges] == [True] * 3
    assert [step.split("task ")[1] for step in trace.table().splitlines()
            if "app(scope" in step] == ["1", "2", "3"]


@pytest.mark.parametrize("kind", SERVERS)
def test_events_of_a_stream_are_steps(kind):
    with recording(kind, events) as trace:
        with trace.stream("GET", "/events") as answer:
            lines = answer.iter_lines()
            while next(lines) != "data: 3":
                pass
    told = story(trace)
    at = told.index("s>c SSE event, event: tick, id: 1, data: 1")
    assert told[at - 1].startswith("s>c HTTP/1.1 200") or "send(http.response.body" in told[at - 1]
    assert told[at + 1:at + 5] == [
        "a>s send(http.response.body, 27 bytes)", "s>c SSE event, event: tick, id: 2, data: 2",
        "a>s send(http.response.body, 27 bytes)", "s>c SSE event, event: tick, id: 3, data: 3"]
    assert told[at + 5:at + 7] == ["s>a receive() -> http.request", "c>s closes (FIN)"]
    # A client that leaves what was sent to it unread resets the connection: both ends hear it.
    assert sorted(told[at + 7:]) == ["s>a receive() -> http.disconnect", "s>c closes (FIN)"]


def test_frames_are_steps_between_the_messages():
    with recording("uvicorn", chat) as trace:
        with connect(trace.ws + "/chat", compression=None) as client:
            for word in "one", "two":
                client.send(word)
                assert client.recv() == word.upper()
    assert story(trace) == [
        "c>s connects", "c>s GET /chat HTTP/1.1", "s>a app(scope, receive, send)",
        "s>a receive() -> websocket.connect", "a>s send(websocket.accept)",
        "s>c HTTP/1.1 101 Switching Protocols",
        "c>s text frame, 3 bytes", "s>a receive() -> websocket.receive, 3 bytes",
        "a>s send(websocket.send, 3 bytes)", "s>c text frame, 3 bytes",
        "c>s text frame, 3 bytes", "s>a receive() -> websocket.receive, 3 bytes",
        "a>s send(websocket.send, 3 bytes)", "s>c text frame, 3 bytes",
        "c>s close frame 1000", "s>c close frame 1000",
        "s>a receive() -> websocket.disconnect 1000", "s>c closes (FIN)", "c>s closes (FIN)"]
    frames = [step for step in trace.steps if step.kind == "frame"]
    notes = [step.note for step in frames]
    fields = dict(detail(trace, frames[-1])["fields"])
    assert (fields["opcode"], fields["FIN"], fields["mask"], fields["code"]) == (
        "8 (close)", "True", "none", "1000")
    assert notes[:2] == ["FIN, masked: b'one'", "FIN: b'ONE'"]
    assert trace.title() == "GET /chat: 101"


@pytest.mark.parametrize("kind", SERVERS)
def test_overlapping_requests_have_a_task_each(kind):
    opened: list[asyncio.Event] = []

    async def gate(scope, receive, send):
        if scope["path"] == "/waits":
            opened.append(asyncio.Event())
            await opened[0].wait()
        else:
            opened[0].set()
        await hello(scope, receive, send)

    tables = set()
    for _ in range(2):
        opened.clear()
        with recording(kind, gate, apart=True) as trace:
            first = threading.Thread(target=httpx.get, args=[f"{trace.url}/waits"])
            first.start()
            trace.wait(calls=1)
            assert httpx.get(f"{trace.url}/opens").text == "hello"
            first.join()
        tables.add(trace.table())
        lanes = [trace.label(lane) for lane in trace.lanes()]
        assert lanes == ["client", "uvicorn" if kind == "uvicorn" else "toy",
                         "app, task 1", "app, task 2"]
        calls = [step for step in trace.steps if step.call]
        tasks = [trace.where(step).split("task ")[1] for step in calls]
        assert tasks[:2] == ["1", "2"] and set(tasks[2:5]) == {"2"} and tasks[-3:] == ["1"] * 3
    assert len(tables) == 1, "\n\n".join(tables)


def test_who_speaks_first_hears_it_with_the_others():
    rooms: list[Any] = []

    async def room(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        rooms.append(send)
        while (message := await receive())["type"] == "websocket.receive":
            for other in rooms:
                await other({"type": "websocket.send", "text": message["text"]})
        rooms.remove(send)

    tables = set()
    for _ in range(2):
        with recording("uvicorn", room) as trace, ExitStack() as stack:
            one, two = (stack.enter_context(connect(trace.ws, compression=None)) for _ in "12")
            for sender in one, two:
                sender.send("hello")
                assert one.recv() == two.recv() == "hello"
        tables.add(trace.table())
    assert len(tables) == 1, "\n\n".join(tables)
    assert len([step for step in trace.steps if step.label == "text frame, 5 bytes"]) == 6


def test_a_switch_that_is_refused_is_no_stream_of_frames():
    async def refuses(scope, receive, send):
        await receive()
        await send({"type": "websocket.close"})

    with recording("uvicorn", refuses) as trace:
        with pytest.raises(Exception, match="403"):
            connect(trace.ws)
    told = story(trace)
    assert told.index("a>s send(websocket.close)") + 1 == told.index("s>c HTTP/1.1 403 Forbidden")


def test_a_lifespan_is_seen_when_the_server_starts_again():
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await hello(scope, receive, send)

    with live("toy", app, interface="asgi") as server, flow.record(server) as trace:
        server.restart()
        trace.get("/x")
        server.restart()
    told = [step for step in story(trace) if "lifespan" in step]
    assert told == ["s>a receive() -> lifespan.startup", "a>s send(lifespan.startup.complete)",
                    "s>a receive() -> lifespan.shutdown", "a>s send(lifespan.shutdown.complete)",
                    "s>a receive() -> lifespan.startup", "a>s send(lifespan.startup.complete)"]
    assert "not known" not in trace.table()


KEY = b"\1\2\3\4"
MASKED = b"\x81\x85" + KEY + bytes(a ^ b for a, b in zip(b"hello", KEY + KEY, strict=False))
UPGRADE = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"


def test_frames_are_decoded_and_cover_all_bytes():
    data = UPGRADE + MASKED + b"\x01\x03one" + b"\x89\x00" + b"\x80\x7e\x00\x03two" + (
        b"\x88\x05\x03\xe8bye") + b"\x82\x7f\x00"
    parts = decode.requests(data)
    assert [part.label for part in parts] == [
        "GET / HTTP/1.1", "text frame, 5 bytes", "text frame, 3 bytes", "ping frame, 0 bytes",
        "continuation frame, 3 bytes", "close frame 1000", "frame cut off, 3 bytes"]
    assert [part.note for part in parts[1:6]] == [
        "FIN, masked: b'hello'", "no FIN: b'one'", "FIN", "FIN: b'two'", "FIN: b'bye'"]
    assert [part.size for part in parts] == [0, 1, 1, 0, 0, 0, 0]
    assert b"".join(data[part.start:part.end] for part in parts) == data
    assert parts[1].info["mask"] == "01 02 03 04"


def test_what_cannot_be_inflated_stays_as_it_is():
    parts = decode.requests(UPGRADE + b"\xc1\x03\xff\xff\xff" + b"\x8f\x00")
    assert [part.label for part in parts[1:]] == ["text frame, 3 bytes", "opcode 15 frame, 0 bytes"]


def test_an_upgrade_that_was_not_taken_up_is_followed_by_requests():
    again = b"GET /again HTTP/1.1\r\nHost: x\r\n\r\n"
    assert [part.message for part in decode.requests(UPGRADE + again)] == [0, 1]


@pytest.mark.parametrize("framing", [b"", b"Transfer-Encoding: chunked\r\n"])
def test_events_are_cut_at_empty_lines(framing):
    content = b": hi\n\ndata: 1\r\ndata: 2\r\n\r\nid: 3"
    body = b"%x\r\n%b\r\n" % (len(content), content) if framing else content
    data = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + framing + b"\r\n" + body
    parts = decode.responses(data, ["GET"])
    assert [part.label for part in parts[1:]] == [
        "SSE comment", "SSE event, data: 1, data: 2", "SSE, 5 bytes without an end"]
    assert b"".join(data[part.start:part.end] for part in parts) == data
    assert sum(part.size for part in parts) == len(content)


def test_the_same_request_through_both_interfaces_side_by_side():
    with live("toy", "apps.hello_wsgi:app") as server, flow.record(server, name="WSGI") as one:
        one.get("/")
    with recording("toy", hello, name="ASGI") as two:
        two.get("/")
    rows = [(a and a.label, b and b.label) for a, b in compare.pairs(one, two)]
    assert rows[2:8] == [
        ("app(environ, start_response)", "app(scope, receive, send)"),
        (None, "receive() -> http.request"),
        ('start_response("200 OK")', "send(http.response.start 200)"),
        ("returns list of 1", None),
        ("yields 16 bytes", "send(http.response.body, 5 bytes)"),
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK")]
    marks = [compare.differs(pair) for pair in compare.pairs(one, two)]
    assert marks[:2] + marks[7:8] == [False] * 3 and marks[2:7] == [True] * 5


CHILDREN = [
    ("toy", {"interface": "asgi", "process": True}), ("uvicorn", {"http": "httptools"}),
    ("hypercorn", {}), ("daphne", {}), ("granian", {}), ("gunicorn", {"worker_class": "asgi"}),
]  # fmt: skip
AT_ONCE = "uvicorn", "hypercorn"  # send the head without a body


@pytest.mark.parametrize("kind, options", CHILDREN, ids=[kind for kind, _ in CHILDREN])
def test_servers_of_other_processes_tell_the_same_story_at_each_run(kind, options):
    tables = set()
    with live(kind, "apps.echo_asgi:app", watch=True, **options) as server:
        for _ in range(3):
            with flow.record(server) as trace:
                # Hypercorn may be slow to close after its client did, so it is asked to.
                close = {"Connection": "close"}
                assert trace.post("/", content=b"posted", headers=close).status_code == 200
            tables.add(trace.table())
    assert len(tables) == 1, "\n\n".join(tables)
    told = story(trace)
    assert told[:4] == ["c>s connects", "c>s POST / HTTP/1.1", "c>s body, 6 bytes",
                        "s>a app(scope, receive, send)"]
    head = next(step for step in told if step.startswith("s>c HTTP/1.1 200"))
    before = "http.response.start" if kind in AT_ONCE else "http.response.body"
    assert before in told[told.index(head) - 1]


@pytest.mark.parametrize("kind, options", CHILDREN[:-1], ids=[kind for kind, _ in CHILDREN[:-1]])
def test_a_chat_of_two_is_the_same_at_each_run(kind, options):
    tables = set()
    with live(kind, "apps.chat_asgi:app", watch=True, **options) as server:
        for _ in range(2):
            with flow.record(server) as trace, ExitStack() as stack:
                one, two = (stack.enter_context(connect(f"{trace.ws}/room", compression=None))
                            for _ in range(2))
                for sender in one, two:
                    sender.send("hello")
                    assert one.recv() == two.recv() == "hello"
            tables.add(trace.table())
    assert len(tables) == 1, "\n\n".join(tables)
    receives = [step for step in trace.steps if "websocket.receive" in step.label]
    assert len(receives) == 2 and "task" in trace.where(receives[0])
