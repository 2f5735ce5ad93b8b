"""The interface alone: scope, the order of messages, an answer's bytes, a conversation."""

import asyncio

import pytest

from servers import asgi
from servers.asgi import COMPLETE, NEW, NEXT, START, STARTED, STREAMING, Answer, Conversation, step
from servers.http11 import Reader
from servers.lifespan import Lifespan, StartupFailed
from servers.service import LOG
from servers.wsgi import AppError

CLIENT, SERVER = ("192.0.2.1", 5000), ("192.0.2.2", 80)


def request(first="GET / HTTP/1.1", *lines):
    reader = Reader()
    reader.feed("\r\n".join([first, "Host: x", *lines, "", ""]).encode("latin-1"))
    return reader.next_event()


def scope_of(first, *lines, root_path="", state=None):
    return asgi.scope_for(request(first, *lines), (CLIENT, SERVER), root_path, state or {})


# --- the scope ---


def test_every_key_has_the_type_that_the_specification_gives_it():
    assert scope_of("POST /a%20b/c%2Fd?e=%20f HTTP/1.1", "X-Try: 1", "x-TRY: 2") == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/a b/c/d",
        "raw_path": b"/a%20b/c%2Fd",
        "query_string": b"e=%20f",
        "root_path": "",
        "headers": [(b"host", b"x"), (b"x-try", b"1"), (b"x-try", b"2")],
        "client": CLIENT,
        "server": SERVER,
        "state": {},
        "extensions": {},
    }


@pytest.mark.parametrize(("target", "path"), [
    ("/caf%C3%A9", "/café"),  # text, where WSGI has "/cafÃ©"
    ("/caf%E9", "/caf\ufffd"),  # no UTF-8: raw_path has the byte
    ("/%zz%", "/%zz%"),
    ("/?", "/"),
    ("*", "*"),
    ("http://y/z?q", "/z"),
])  # fmt: skip
def test_path_is_text_and_raw_path_is_as_it_came(target, path):
    scope = scope_of(f"OPTIONS {target} HTTP/1.1")
    assert scope["path"] == path
    assert scope["raw_path"] == target.removeprefix("http://y").partition("?")[0].encode()


def test_an_older_version_is_told():
    assert scope_of("GET / HTTP/1.0")["http_version"] == "1.0"


@pytest.mark.parametrize(("path", "root"), [
    ("/site", "/site"), ("/site/a", "/site"), ("/sites", ""), ("/", ""),
])  # fmt: skip
def test_path_begins_with_root_path_or_there_is_none(path, root):
    scope = scope_of(f"GET {path} HTTP/1.1", root_path="/site")
    assert (scope["path"], scope["root_path"]) == (path, root)


def test_what_an_app_changes_in_its_scope_is_its_own():
    state = {"a": []}
    one = asgi.scope_for(request(), state=state)
    one["state"]["b"] = one["extensions"]["c"] = one["asgi"]["d"] = one["e"] = 1
    one["state"]["a"].append("shallow")
    two = asgi.scope_for(request(), state=state)
    assert two["state"] == {"a": ["shallow"]} == state
    assert "e" not in two and "d" not in two["asgi"] and two["extensions"] == {}


# --- the order of messages ---

MESSAGES = {
    "start": {"type": "http.response.start", "status": 200},
    "more": {"type": "http.response.body", "body": b"a", "more_body": True},
    "body": {"type": "http.response.body"},
}


@pytest.mark.parametrize(("names", "state"), [
    (["start"], STARTED),
    (["start", "body"], COMPLETE),
    (["start", "more"], STREAMING),
    (["start", "more", "more", "body"], COMPLETE),
])  # fmt: skip
def test_the_right_order(names, state):
    now = NEW
    for name in names:
        now = step(now, MESSAGES[name])
    assert now == state


@pytest.mark.parametrize(("state", "message", "says"), [
    (NEW, MESSAGES["body"], "'http.response.body' cannot be sent before http.response.start: "
     "'http.response.start' can"),
    (STARTED, MESSAGES["start"], "'http.response.start' cannot be sent after http.response.start"),
    (STREAMING, MESSAGES["start"], "in the body: 'http.response.body' or"),
    (COMPLETE, MESSAGES["body"], "after the answer: nothing more can"),
    (NEW, {"type": "websocket.send"}, "'websocket.send' cannot be sent before http.response.start"),
    (NEW, {"status": 200}, "a message is a dict with a 'type', not {'status': 200} (before"),
    (NEW, {"type": 7}, "not {'type': 7}"),
    (NEW, {"type": ["a"]}, "not {'type': ['a']}"),
    (NEW, "text", "not 'text'"),
    (NEW, None, "not None"),
])  # fmt: skip
def test_an_error_names_the_message_and_the_state(state, message, says):
    with pytest.raises(AppError) as info:
        step(state, message)
    assert says in str(info.value)


def test_every_state_can_be_reached_from_a_start():
    reached = set(START.values())
    for _ in NEXT:
        reached |= {after for (before, _), after in NEXT.items() if before in reached}
    assert reached == set(NEXT.values()) | set(START.values())
    assert {before for before, _ in NEXT} <= reached


# --- the answer ---

DATE = b"Date: now\r\n"


def answer_to(first, *messages, lines=(), reusable=lambda: True):
    """Return the bytes for the wire, and the answer."""
    wire = []
    answer = Answer(request(first, *lines), wire.append, lambda: DATE, reusable)
    for message in messages:
        while message is not None:
            message = answer.take(message)
    return b"".join(wire), answer


def start(*headers, status=200):
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data=b"", more=False):
    return {"type": "http.response.body", "body": data, "more_body": more}


GET, OLD, HEAD = "GET / HTTP/1.1", "GET / HTTP/1.0", "HEAD / HTTP/1.1"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKS = b"Transfer-Encoding: chunked\r\n" + DATE + b"\r\n"
CLOSE = b"Connection: close\r\n"


@pytest.mark.parametrize(("first", "messages", "wire"), [
    (GET, [start(), body(b"hi")], OK + b"Content-Length: 2\r\n" + DATE + b"\r\nhi"),
    (GET, [start(), body()], OK + b"Content-Length: 0\r\n" + DATE + b"\r\n"),
    (GET, [start((b"content-length", b"2")), body(b"hi")],
     OK + b"content-length: 2\r\n" + DATE + b"\r\nhi"),
    (GET, [start([b"x-a", b"1"], (b"date", b"then")), body(b"hi")],
     OK + b"x-a: 1\r\ndate: then\r\nContent-Length: 2\r\n\r\nhi"),
    (GET, [start(), body(b"hi", True), body()], OK + CHUNKS + b"2\r\nhi\r\n0\r\n\r\n"),
    (GET, [start(), body(b"", True), body(b"", True), body(b"hi")],
     OK + CHUNKS + b"2\r\nhi\r\n0\r\n\r\n"),
    (OLD, [start(), body(b"hi", True), body()], OK + DATE + CLOSE + b"\r\nhi"),
    (HEAD, [start((b"content-length", b"2")), body(b"hi")],
     OK + b"content-length: 2\r\n" + DATE + b"\r\n"),
    (HEAD, [start(), body(b"hi", True), body(b"ho")], OK + DATE + b"\r\n"),
    (GET, [start(status=304), body(b"hi")], b"HTTP/1.1 304 Not Modified\r\n" + DATE + b"\r\n"),
    (GET, [start((b"content-length", b"0"), status=204), body()],
     b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\n"),
    (GET, [start(status=299), body()],
     b"HTTP/1.1 299 \r\nContent-Length: 0\r\n" + DATE + b"\r\n"),
    (GET, [start((b"Transfer-Encoding", b"gzip"), (b"Keep-Alive", b"9")), body(b"hi")],
     OK + b"Content-Length: 2\r\n" + DATE + b"\r\nhi"),
    (GET, [start((b"connection", b"Close")), body(b"hi")],
     OK + b"Content-Length: 2\r\n" + DATE + CLOSE + b"\r\nhi"),
    (GET, [start((b"content-length", b"2"), (b"content-length", b"02")), body(b"hi")],
     OK + b"content-length: 2\r\n" + DATE + b"\r\nhi"),
    (GET, [start(), body(memoryview(b"hi"))], OK + b"Content-Length: 2\r\n" + DATE + b"\r\nhi"),
    (GET, [{"type": "http.response.start", "status": 200}, {"type": "http.response.body"}],
     OK + b"Content-Length: 0\r\n" + DATE + b"\r\n"),
])  # fmt: skip
def test_messages_become_an_answer(first, messages, wire):
    sent, answer = answer_to(first, *messages)
    assert sent == wire
    assert answer.done and answer.state == COMPLETE
    assert answer.keep_alive == (CLOSE not in wire)


def test_nothing_is_sent_before_the_first_body_message():
    sent, answer = answer_to(GET, start())
    assert (sent, answer.sent, answer.state) == (b"", False, STARTED)


def test_a_long_body_is_taken_in_pieces():
    long = bytes(range(256)) * 1024
    sent, answer = answer_to(GET, start((b"content-length", b"%d" % len(long))), body(long))
    assert sent.endswith(b"\r\n\r\n" + long) and answer.done
    rest = Answer(request(), lambda data: None, lambda: DATE)
    rest.take(start())
    left = rest.take(body(long, more=True))
    assert len(left["body"]) == len(long) - asgi.PIECE and left["more_body"]
    assert rest.state == STREAMING and not rest.done


@pytest.mark.parametrize(("message", "says"), [
    (start(status="200 OK"), "status must be a number from 200 to 999, not '200 OK'"),
    (start(status=103), "not 103"),
    (start(status=1000), "not 1000"),
    (start(status=None), "not None"),
    (start(status=[]), "unhashable"),
    (start(("a", "b")), "headers are pairs of bytes, not (('a', 'b'),)"),
    (start((b"a", "b")), "headers are pairs of bytes"),
    (start((b"a", 1)), "headers are pairs of bytes"),
    (start((b"a",)), "headers are pairs of bytes"),
    (start(None), "headers are pairs of bytes"),
    ({"type": "http.response.start", "status": 200, "headers": 5}, "not 5"),
    (start((b"a", b"b\r\nc: d")), "bad header"),
    (start((b"a\r\nb", b"c")), "bad header"),
    (start((b":status", b"200")), "bad header"),
    (start((b"content-length", b"-1")), "Content-Length is b'-1'"),
    (start((b"content-length", b"1"), (b"content-length", b"2")), "Content-Length is 1, and 2"),
])  # fmt: skip
def test_a_wrong_start_is_refused_and_sends_nothing(message, says):
    with pytest.raises(AppError) as info:
        answer_to(GET, message)
    assert says in str(info.value)


@pytest.mark.parametrize("wrong", ["text", None, 5, [b"a"]])
def test_a_body_is_made_of_bytes(wrong):
    with pytest.raises(AppError, match=f"made of bytes, not {type(wrong).__name__}"):
        answer_to(GET, start(), body(wrong))


@pytest.mark.parametrize(("pieces", "wire", "says"), [
    ([body(b"five\n")], b"fi", "3 bytes longer"),
    ([body(b"five\n", True), body(b"six")], b"fi", "6 bytes longer"),
])  # fmt: skip
def test_never_more_than_was_declared(pieces, wire, says):
    sent = []
    answer = Answer(request(), sent.append, lambda: DATE)
    answer.take(start((b"content-length", b"2")))
    with pytest.raises(AppError, match=says):
        for piece in pieces:
            answer.take(piece)
    assert b"".join(sent).endswith(b"\r\n\r\n" + wire)
    assert answer.done


def test_less_than_was_declared_is_no_complete_answer():
    answer = Answer(request(), lambda data: None, lambda: DATE)
    answer.take(start((b"content-length", b"10")))
    with pytest.raises(AppError, match="ended 5 bytes before its Content-Length"):
        answer.take(body(b"five\n"))
    assert not answer.done


# --- a conversation ---


async def greets(scope, receive, send):
    name = (await receive())["body"]
    await send(start())
    await send(body(b"hello " + name))


def test_a_conversation_needs_no_server():
    async def talk():
        conversation = Conversation(greets, {"type": "http"})
        conversation.tell({"type": "http.request", "body": b"you"})
        heard = [await conversation.hear() for _ in range(4)]
        return heard, conversation.log

    heard, log = asyncio.run(talk())
    assert heard == [start(), body(b"hello you"), None, None]
    assert [way for way, _ in log] == ["receive", "send", "send"]
    assert [message for _, message in log[1:]] == heard[:2]


def test_a_conversation_knows_the_order():
    async def wrong(scope, receive, send):
        await send(body(b"too early"))

    async def talk():
        conversation = Conversation(wrong, {"type": "http"})
        with pytest.raises(AppError, match="before http.response.start"):
            await conversation.hear()

    asyncio.run(talk())


def test_a_conversation_can_be_ended():
    async def patient(scope, receive, send):
        try:
            await receive()
        finally:
            ended.append("patient")

    async def talk():
        conversation = Conversation(patient, {"type": "http"})
        await asyncio.sleep(0)
        await conversation.end()

    ended = []
    asyncio.run(talk())
    assert ended == ["patient"]


# --- lifespan ---


def lifespan_of(answers, events):
    """Return an app that answers startup and shutdown with these messages."""

    async def app(scope, receive, send):
        events.append(scope["type"])
        scope["state"]["made"] = "at startup"
        for answer in answers:
            events.append((await receive())["type"])
            if isinstance(answer, Exception):
                raise answer
            if answer is not None:
                await send(answer)

    return app


def run_lifespan(app, caplog, seconds=10.0):
    async def run():
        lifespan = Lifespan(app, LOG)
        await lifespan.startup()
        await lifespan.shutdown(seconds)
        return lifespan.state

    with caplog.at_level("DEBUG", LOG.name):
        return asyncio.run(run())


UP, DOWN = {"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}


def test_an_app_is_told_of_startup_and_shutdown(caplog):
    events = []
    assert run_lifespan(lifespan_of([UP, DOWN], events), caplog) == {"made": "at startup"}
    assert events == ["lifespan", "lifespan.startup", "lifespan.shutdown"]
    assert not caplog.records


@pytest.mark.parametrize("first", [ValueError("no lifespan here"), None], ids=["raises", "returns"])
def test_an_app_that_knows_no_lifespan_is_served_all_the_same(caplog, first):
    events = []
    run_lifespan(lifespan_of([first], events), caplog)
    assert events == ["lifespan", "lifespan.startup"]
    assert all(record.levelname == "DEBUG" for record in caplog.records)


@pytest.mark.parametrize(("message", "says"), [
    ({"message": "no database"}, "no database"), ({}, "failed: it gives no reason"),
])  # fmt: skip
def test_an_app_that_fails_to_start_is_not_served(caplog, message, says):
    answer = {"type": "lifespan.startup.failed", **message}
    with pytest.raises(StartupFailed, match=says):
        run_lifespan(lifespan_of([answer, None], []), caplog)


@pytest.mark.parametrize(("last", "says"), [
    ({"type": "lifespan.shutdown.failed", "message": "files open"}, "shutdown failed: files open"),
    (RuntimeError("at the end"), "raised at lifespan.shutdown: RuntimeError('at the end')"),
    (UP, "'lifespan.startup.complete' cannot be sent while it runs"),
])  # fmt: skip
def test_a_shutdown_that_fails_is_logged(caplog, last, says):
    run_lifespan(lifespan_of([UP, last], []), caplog)
    assert says in caplog.text


def test_a_shutdown_has_its_time(caplog):
    async def app(scope, receive, send):
        await receive()
        await send(UP)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    ended = []
    run_lifespan(app, caplog, seconds=0.01)
    assert "took longer than 0.01 seconds" in caplog.text and ended
