"""The wrapper: correct by PEP 3333 on both sides, and every event noted."""

import asyncio
import functools
import importlib
import io
import json
import os
import subprocess
import sys
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

from coursekit.flow.events import EventFile, EventList, read_events
from coursekit.flow.steps import app_step, calls_of
from coursekit.flow.watch import watch, watch_wsgi
from coursekit.flow.watch_asgi import looks_like_asgi, watch_asgi


def environ(body: bytes = b"", **extra: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"REQUEST_METHOD": "GET",
                            "SCRIPT_NAME": "", "PATH_INFO": "/x", "QUERY_STRING": ""}
    setup_testing_defaults(made)
    return made | {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))} | extra


def serve(app: Any, env: dict[str, Any] | None = None) -> bytes:
    """Play the server: call, iterate, close."""
    written: list[bytes] = []
    result = app(env or environ(), lambda *args: written.append)
    try:
        for chunk in result:
            written.append(chunk)
    finally:
        if hasattr(result, "close"):
            result.close()
    return b"".join(written)


def kinds(sink: EventList) -> list[str]:
    return [note["kind"] for note in sink.read()]


def streaming(env, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one"
    yield b"two"


def reading(env, start_response):
    stream = env["wsgi.input"]
    got = stream.read(3) + stream.readline() + b"".join(stream.readlines()) + stream.read(1)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [got]


def writing(env, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])(b"written")
    return []


@pytest.mark.parametrize("app", [streaming, reading, writing])
def test_the_validator_is_content_on_both_sides(app):
    sink = EventList()
    assert serve(validator(watch(validator(app), sink)), environ(b"abc\ndef\n"))
    assert kinds(sink)[0] == "call" and kinds(sink)[-1] == "done"


def test_a_stream_is_noted_event_by_event():
    sink = EventList()
    assert serve(watch(streaming, sink)) == b"onetwo"
    assert kinds(sink) == ["call", "return", "start_response", "chunk", "chunk", "end", "close",
                           "done"]
    assert [note.get("bytes") for note in sink.read() if note["kind"] == "chunk"] == ["one", "two"]


def test_chunks_are_made_only_when_the_server_asks():
    made = []

    def lazy(env, start_response):
        start_response("200 OK", [])
        for number in range(3):
            made.append(number)
            yield b"x"

    chunks = iter(watch(lazy, EventList())(environ(), lambda *args: None))
    assert made == []
    next(chunks)
    assert made == [0]


def test_the_length_is_the_apps_own():
    def result_of(result: Any) -> Any:
        return watch_wsgi(lambda env, start_response: result, EventList())(environ(), print)

    assert len(result_of([b"x"])) == 1
    assert len(result_of((b"x", b"y"))) == 2
    assert not hasattr(result_of(iter([b"x"])), "__len__")


def test_close_is_called_once_and_passed_on():
    class Body:
        closed = 0

        def __iter__(self):
            return iter([b"x"])

        def close(self):
            self.closed += 1

    body = Body()
    serve(watch_wsgi(lambda env, start_response: body, EventList()))
    assert body.closed == 1


def test_reads_are_noted_with_method_and_size():
    sink = EventList()
    assert serve(watch(reading, sink), environ(b"abcdef\nghi")) == b"abcdef\nghi"
    reads = [(note["method"], note["size"]) for note in sink.read() if note["kind"] == "read"]
    assert reads == [("read", 3), ("readline", 4), ("readlines", 3), ("read", 0)]


def test_an_exception_passes_and_ends_the_call():
    def raising(env, start_response):
        raise ValueError("no")

    sink = EventList()
    with pytest.raises(ValueError, match="no"):
        watch(raising, sink)(environ(), print)
    assert kinds(sink) == ["call", "exception", "done"]


def test_an_exception_between_chunks_passes_too():
    def breaking(env, start_response):
        yield b"x"
        raise ValueError("no")

    sink = EventList()
    with pytest.raises(ValueError, match="no"):
        serve(watch(breaking, sink))
    assert kinds(sink) == ["call", "return", "chunk", "exception", "close", "done"]


def test_wrong_apps_are_left_for_the_server_to_judge():
    def wrong(env, start_response):
        start_response(200, {"a": "b"}, exc_info=None)
        return ["text"]

    sink = EventList()
    seen: list[Any] = []
    result = watch(wrong, sink)(environ(), lambda *args, **kwargs: seen.append((args, kwargs)))
    assert seen == [((200, {"a": "b"}), {"exc_info": None})]
    assert list(result) == ["text"]
    assert [note["wrong"] for note in sink.read() if note["kind"] == "chunk"] == ["str"]


def test_a_file_wrapper_stays_what_the_server_made():
    def app(env, start_response):
        start_response("200 OK", [])
        return env["wsgi.file_wrapper"](io.BytesIO(b"file"))

    sink = EventList()
    result = watch(app, sink)(environ(**{"wsgi.file_wrapper": FileWrapper}), print)
    assert type(result) is FileWrapper
    assert kinds(sink)[-2:] == ["return", "done"]


def test_secrets_are_not_noted():
    sink = EventList()
    secret = "s3cret"
    serve(watch(streaming, sink), environ(HTTP_COOKIE=secret, HTTP_AUTHORIZATION=secret,
                                          JUPYTERHUB_API_TOKEN=secret, HTTP_X_TOKEN=secret))
    assert secret not in json.dumps(sink.read())


def test_asgi_messages_are_noted_and_passed_on():
    async def app(scope, receive, send):
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": message["body"]})

    sent = []

    async def drive() -> None:
        async def receive():
            return {"type": "http.request", "body": b"hello", "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"cookie", b"s3cret")]}
        await watch(app, sink)(scope, receive, send)

    sink = EventList()
    asyncio.run(drive())
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert kinds(sink) == ["call", "receive", "send", "send", "done"]
    assert "s3cret" not in json.dumps(sink.read())


def test_wsgi_and_asgi_are_told_apart_by_looks():
    class Asgi:
        async def __call__(self, scope, receive, send):
            pass

    class Endpoint:  # as Starlette has them
        def __init__(self, scope, receive, send):
            pass

        def __await__(self):
            yield

    assert looks_like_asgi(Asgi()) and looks_like_asgi(Endpoint)
    assert looks_like_asgi(functools.partial(Asgi().__call__))
    assert not looks_like_asgi(streaming) and not looks_like_asgi(io.BytesIO)


@pytest.mark.parametrize("name", ["fastapi_app", "starlette_app", "quart_app", "litestar_app"])
def test_apps_of_frameworks_are_known(name):
    app = importlib.import_module(f"apps.{name}").app
    assert looks_like_asgi(app)


async def nothing():
    return {"type": "http.request"}


async def ignore(message):
    pass


def run_asgi(app: Any, sink: Any, **scope: Any) -> Any:
    return asyncio.run(watch(app, sink)({"type": "http", "path": "/", **scope}, nothing, ignore))


def test_what_an_asgi_app_returns_or_raises_passes():
    async def returns(scope, receive, send):
        return scope["path"]

    async def raises(scope, receive, send):
        await asyncio.sleep(0)
        raise ValueError("no")

    async def awaits_none(scope, receive, send):
        pass

    awaits_none = functools.wraps(awaits_none)(lambda *args: None)
    sink = EventList()
    assert run_asgi(returns, sink) == "/"
    with pytest.raises(ValueError, match="no"):
        run_asgi(raises, sink)
    with pytest.raises(TypeError, match="await"):
        asyncio.run(watch_asgi(awaits_none, sink)({"type": "http"}, nothing, ignore))
    assert kinds(sink) == ["call", "done", *["call", "exception", "done"] * 2]


def test_a_cancellation_reaches_the_app():
    seen = []

    async def waits(scope, receive, send):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            await asyncio.sleep(0)
            raise

    async def drive():
        task = asyncio.create_task(watch(waits, sink)({"type": "http"}, nothing, ignore))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    sink = EventList()
    asyncio.run(drive())
    assert seen == ["cancelled"] and kinds(sink) == ["call", "exception", "done"]


WRONG = [
    "text", None, {}, {"type": b"x"}, {"type": "t", "status": b"200", "body": "text"},
    {"type": "t", "text": b"x"}, {"type": "t", "headers": 5}, {"type": "t", "headers": [1]},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_wrong_messages_are_left_for_the_server_to_judge(wrong, tmp_path):
    heard = []

    async def app(scope, receive, send):
        await send(wrong)

    async def hear(message):
        heard.append(message)

    path = tmp_path / "events"
    asyncio.run(watch(app, EventFile(path))({"type": "http"}, nothing, hear))
    assert heard == [wrong]
    notes = read_events(path)
    assert [note["kind"] for note in notes] == ["call", "send", "done"]
    assert app_step(notes[1], calls_of(notes)[0]).label.startswith("send(")


def test_headers_that_can_be_read_once_are_the_servers():
    async def app(scope, receive, send):
        headers = iter([(b"a", b"b")])
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": memoryview(b"body")})

    async def send(message):
        heard.extend(message.get("headers", []))

    heard: list[Any] = []
    sink = EventList()
    asyncio.run(watch(app, sink)({"type": "http"}, nothing, send))
    assert heard == [(b"a", b"b")]
    assert sink.read()[2]["bytes"] == "body"


def test_notes_tell_tasks_and_their_turns():
    async def app(scope, receive, send):
        await receive()
        await asyncio.sleep(0)
        await receive()
        await asyncio.create_task(receive())

    sink = EventList()
    run_asgi(app, sink)
    notes = sink.read()
    tasks = [note["task"] - notes[0]["task"] for note in notes]
    assert tasks == [0, 0, 0, 1, 0]
    turns = [note["turn"] for note in notes]
    assert turns[:4] == [0, 0, 1, -1] and turns[4] > 1


def test_a_loop_that_is_not_asyncios_is_none_of_our_business():
    async def app(scope, receive, send):
        await receive()

    sink = EventList()
    steps = watch(app, sink)({"type": "http"}, nothing, ignore)
    with pytest.raises(StopIteration):
        steps.send(None)
    assert kinds(sink) == ["call", "receive", "done"]
    assert len({note["task"] for note in sink.read()}) == 1


WRITE = """
import sys
from coursekit.flow.events import EventFile
sink = EventFile(sys.argv[1])
for number in range(200):
    sink({"number": number, "padding": "x" * 500})
"""


def test_lines_of_several_processes_do_not_mix(tmp_path):
    path = tmp_path / "events"
    children = [subprocess.Popen([sys.executable, "-c", WRITE, str(path)]) for _ in range(3)]
    assert [child.wait(20) for child in children] == [0, 0, 0]
    assert len(read_events(path)) == 600


def test_a_line_still_in_writing_is_left_for_later(tmp_path):
    path = tmp_path / "events"
    EventFile(path)({"number": 1})
    with open(path, "ab") as file:
        file.write(b'{"number": ')
    assert read_events(path) == [{"number": 1}]
    assert read_events(tmp_path / "none") == []


def test_a_watched_worker_loads_no_http_client(tmp_path):
    code = ("import sys; from coursekit.flow.watched import app;"
            "sys.exit('httpx' in sys.modules or 'anywidget' in sys.modules)")
    env = os.environ | {"COURSEKIT_APP": "apps.hello_wsgi:app",
                        "COURSEKIT_EVENTS": str(tmp_path / "events")}
    assert subprocess.run([sys.executable, "-c", code], env=env, timeout=20).returncode == 0
