"""One WebSocket on the loop, without sockets: the app's side, and what it makes of the peer's."""

import logging

import pytest
from frame_cases import close, frame, more, text
from test_protocol import Peer, Stuck, on_a_loop, settle

from apps import chat_asgi
from servers.asgi import PIECE, Conversation
from servers.head import Request
from servers.http11 import Limits, Reader
from servers.service import Disconnected, Times
from servers.websocket import BINARY, PING, PONG, TEXT, Close, FrameReader, Message
from servers.wscycle import WebSocketCycle
from servers.wsgi import AppError
from servers.wsmessages import websocket_scope

OPENING = (
    b"GET /chat%20room?a=b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: chat.v2, chat\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
)
ACCEPT = {"type": "websocket.accept"}
HI = {"type": "websocket.send", "text": "hi"}
BYE = {"type": "websocket.close"}


def frames(peer):
    """Return what the server sent behind its answer 101."""
    reader = FrameReader(masked=False)
    reader.feed(peer.transport.wire.partition(b"\r\n\r\n")[2])
    return list(iter(reader.next_event, None))


async def opened(app, *first, **settings):
    """Return a peer whose handshake was accepted, and sent some frames."""
    peer = Peer(app, **settings)
    await peer.send(OPENING)
    assert peer.transport.wire.startswith(SWITCHED)
    await peer.send(*first)
    return peer


class Does:
    """An app that sends messages and then listens until it is told of the end."""

    def __init__(self, *sends, listens=True, raises=None):
        self.sends, self.listens, self.raises = sends, listens, raises
        self.heard, self.errors, self.scope = [], [], None

    async def __call__(self, scope, receive, send):
        self.scope = scope
        try:
            for message in self.sends:
                await send(message)
            while self.listens:
                self.heard.append(await receive())
                self.listens = not self.heard[-1]["type"].endswith("disconnect")
            if self.raises:
                raise self.raises
        except BaseException as error:
            self.errors.append(error)
            raise

    @property
    def end(self):
        return self.heard[-1].get("code"), self.heard[-1].get("reason")


# --- the scope, and the handshake ---


@on_a_loop
async def test_every_key_of_the_scope_has_its_type():
    app = Does(ACCEPT)
    peer = Peer(app, root_path="/chat room")
    peer.server.state = {"made": "at startup"}
    await peer.send(OPENING)
    headers = app.scope.pop("headers")
    assert app.scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/chat room",
        "raw_path": b"/chat%20room",
        "query_string": b"a=b",
        "root_path": "/chat room",
        "client": ("192.0.2.1", 5000),
        "server": ("192.0.2.1", 5000),
        "subprotocols": ["chat.v2", "chat"],
        "state": {"made": "at startup"},
        "extensions": {"websocket.http.response": {}},
    }
    assert (b"sec-websocket-version", b"13") in headers and (b"host", b"x") in headers


@on_a_loop
async def test_accept_chooses_a_subprotocol_and_adds_headers():
    headers = [(b"X-Name", b"value"), [b"set-cookie", b"a=b"], (b"connection", b"close")]
    peer = Peer(Does({**ACCEPT, "subprotocol": "chat", "headers": headers}))
    await peer.send(OPENING)
    own = b"Sec-WebSocket-Protocol: chat\r\nX-Name: value\r\nset-cookie: a=b\r\n\r\n"
    assert peer.transport.wire == SWITCHED + own
    assert (await opened(Does({**ACCEPT, "headers": None}))).transport.wire == SWITCHED + b"\r\n"


@pytest.mark.parametrize(("wrong", "says"), [
    ({"subprotocol": "soap"}, "subprotocol 'soap' is none that the client speaks"),
    ({"subprotocol": b"chat"}, "subprotocol b'chat' is none"),
    ({"headers": [(b"Sec-WebSocket-Protocol", b"chat")]}, "belongs to the server"),
    ({"headers": [(b"content-length", b"3")]}, "belongs to the server"),
    ({"headers": [("x", "text")]}, "headers are pairs of bytes"),
    ({"headers": [(b"x",)]}, "headers are pairs of bytes"),
    ({"headers": 7}, "headers are pairs of bytes"),
    ({"headers": [(b"x", b"a\r\nb")]}, "bad header"),
])  # fmt: skip
@on_a_loop
async def test_a_wrong_accept_is_a_500(wrong, says, caplog):
    peer = Peer(Does({**ACCEPT, **wrong}))
    assert (await peer.send(OPENING)).statuses == [500]
    assert says in caplog.text


@pytest.mark.parametrize(("old", "new", "status", "lines"), [
    (b"Version: 13", b"Version: 8", 426, [b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"]),
    (b"25jZQ==", b"25jZ==", 400, []),
    (b"GET", b"POST", 400, []),
])  # fmt: skip
@on_a_loop
async def test_a_wrong_handshake_is_refused_before_the_app(old, new, status, lines):
    app = Does(ACCEPT)
    peer = Peer(app)
    assert (await peer.send(OPENING.replace(old, new))).statuses == [status]
    assert app.scope is None and peer.transport.asked == ["eof"]
    assert all(b"\r\n" + line + b"\r\n" in peer.transport.wire for line in lines)


@on_a_loop
async def test_what_asks_for_another_upgrade_is_plain_http():
    app = Does(listens=False)
    peer = Peer(app)
    await peer.send(OPENING.replace(b"Upgrade: websocket", b"Upgrade: h2c"))
    assert app.scope["type"] == "http"


@on_a_loop
async def test_one_too_many_is_503():
    stuck = Stuck()
    peer = Peer(stuck, most=1)
    await peer.send(OPENING)
    other = Peer(Does(ACCEPT))
    other.server.most, other.server.tasks = 1, peer.server.tasks
    assert (await other.send(OPENING)).statuses == [503]
    stuck.go.set()
    await settle()


# --- to deny ---


@on_a_loop
async def test_close_before_accept_is_403_and_the_connection_stays():
    app = Does(BYE)
    peer = Peer(app)
    assert (await peer.send(OPENING)).statuses == [403]
    assert b"\r\n\r\n403 Forbidden: " in peer.transport.wire and app.end == (1006, "")
    peer.server.app = Does(BYE, listens=False)
    assert (await peer.send(OPENING)).statuses == [403, 403]
    assert peer.transport.asked == [] and peer.protocol.idle()


@on_a_loop
async def test_an_app_denies_with_an_answer_of_its_own():
    start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-a", b"b")]}
    body = {"type": "websocket.http.response.body"}
    app = Does(start, {**body, "body": b"who ", "more_body": True}, {**body, "body": b"are you?"})
    peer = Peer(app)
    assert (await peer.send(OPENING)).statuses == [401]
    assert b"\r\nx-a: b\r\n" in peer.transport.wire
    assert peer.transport.wire.endswith(b"4\r\nwho \r\n8\r\nare you?\r\n0\r\n\r\n")
    peer.server.app = Does(start, body)
    assert (await peer.send(OPENING)).statuses == [401, 401]


@pytest.mark.parametrize(("sends", "says"), [
    ([], "the app returned before websocket.accept"),
    ([{"type": "websocket.http.response.start", "status": 200}],
     "the app returned after websocket.http.response.start"),
    ([{"type": "websocket.http.response.start", "status": "no"}], "status must be a number"),
    ([HI], "'websocket.send' cannot be sent before websocket.accept: 'websocket.accept' or "
     "'websocket.close' or 'websocket.http.response.start' can"),
    ([{"type": "http.response.start", "status": 200}], "'http.response.start' cannot be sent"),
    ([{"type": "websocket.http.response.start", "status": 403}, ACCEPT],
     "'websocket.accept' cannot be sent after websocket.http.response.start"),
    (["text"], "a message is a dict with a 'type'"),
])  # fmt: skip
@on_a_loop
async def test_an_app_that_is_wrong_before_it_accepts_is_a_500(sends, says, caplog):
    peer = Peer(Does(*sends, listens=False))
    assert (await peer.send(OPENING)).statuses == [500]
    assert says in caplog.text


@on_a_loop
async def test_an_app_that_fails_in_its_denial_breaks_it_off(caplog):
    start = {"type": "websocket.http.response.start", "status": 403}
    more = {"type": "websocket.http.response.body", "body": b"no", "more_body": True}
    peer = Peer(Does(start, more, listens=False, raises=ValueError("on purpose")))
    assert (await peer.send(OPENING)).statuses == [403]
    assert peer.transport.asked == ["close"] and "on purpose" in caplog.text


@pytest.mark.parametrize("event", ["eof_received", "connection_lost"])
@on_a_loop
async def test_a_client_that_leaves_before_it_is_accepted(event, caplog):
    stuck = Stuck(after=[ACCEPT], listens=True)
    peer = Peer(stuck)
    await peer.send(OPENING)
    await peer.tell(event, *([None] if event == "connection_lost" else []))
    stuck.listens = False
    stuck.go.set()
    await settle()
    assert [type(error) for error in stuck.errors] == [Disconnected] and not caplog.records
    quiet = Does()
    peer = Peer(quiet)
    await peer.send(OPENING)
    await peer.tell("eof_received")
    assert quiet.heard[0] == {"type": "websocket.connect"} and quiet.end == (1006, "")
    assert peer.transport.wire == b"" and peer.transport.asked == ["close"]


# --- messages ---


@on_a_loop
async def test_text_and_binary_go_both_ways_whatever_the_cuts():
    wire = text("hello") + frame(BINARY, b"\0\1") + text("ö", fin=True) + frame(BINARY)
    for size in (1, 2, 7, len(wire)):
        peer = await opened(chat_asgi.echo)
        await peer.send(*[wire[at : at + size] for at in range(0, len(wire), size)])
        assert frames(peer) == [
            Message(TEXT, "hello"), Message(BINARY, b"\0\1"), Message(TEXT, "ö"),
            Message(BINARY, b""),
        ]  # fmt: skip
        assert peer.transport.asked == []


@on_a_loop
async def test_frames_that_came_with_the_handshake_are_not_lost():
    peer = Peer(chat_asgi.echo)
    await peer.send(OPENING + text("hello") + text("again"), text("third"))
    assert frames(peer) == [Message(TEXT, word) for word in ("hello", "again", "third")]
    slow = Stuck(after=[ACCEPT])
    peer = Peer(slow)
    await peer.send(OPENING, text("x" * PIECE) + text("y"))
    assert peer.transport.asked == ["pause"]  # much came before the app said yes
    slow.go.set()
    await settle()
    assert frames(peer) == [Close(1000, "")]


@pytest.mark.parametrize(("wrong", "says"), [
    ({}, "websocket.send has either text or bytes"),
    ({"text": "a", "bytes": b"a"}, "websocket.send has either text or bytes"),
    ({"text": None, "bytes": None}, "websocket.send has either text or bytes"),
    ({"text": b"bytes"}, "text is a str of Unicode, not b'bytes'"),
    ({"text": "\ud800"}, "text is a str of Unicode"),
    ({"bytes": "text"}, "made of bytes, not str"),
    ({"type": "websocket.accept"}, "'websocket.accept' cannot be sent while the WebSocket is open"),
    ({"type": "websocket.close", "code": 1006}, "cannot close with 1006"),
    ({"type": "websocket.close", "code": "1000"}, "cannot close with '1000'"),
    ({"type": "websocket.close", "reason": b"no"}, "cannot close with 1000, b'no'"),
    ({"type": "websocket.close", "reason": "ö" * 62}, "over 123 bytes"),
])  # fmt: skip
@on_a_loop
async def test_an_app_that_says_something_wrong_is_1011(wrong, says, caplog):
    peer = await opened(Does(ACCEPT, {"type": "websocket.send"} | wrong))
    assert frames(peer) == [Close(1011, "")]
    assert says in caplog.text and "the app failed on /chat%20room?a=b" in caplog.text


@on_a_loop
async def test_bytes_may_come_in_another_wrapping():
    sends = [{"type": "websocket.send", "bytes": kind(b"ab")} for kind in (bytearray, memoryview)]
    assert frames(await opened(Does(ACCEPT, *sends))) == [Message(BINARY, b"ab")] * 2


@on_a_loop
async def test_pings_are_answered_and_pongs_are_not_although_the_app_does_not_listen():
    peer = await opened(Stuck(before=[ACCEPT]))
    await peer.send(frame(PING, b"a"), frame(PONG, b"b"), frame(PING), text("a", fin=False),
                    frame(PING, b"c"), more(b"b", fin=True))  # fmt: skip
    assert frames(peer) == [Message(PONG, b"a"), Message(PONG, b""), Message(PONG, b"c")]


# --- to end ---


@pytest.mark.parametrize(("wire", "answer", "told"), [
    (close(1000), Close(1000, ""), (1000, "")),
    (close(4001, b"because"), Close(4001, ""), (4001, "because")),
    (close(), Close(1005, ""), (1005, "")),
])  # fmt: skip
@on_a_loop
async def test_the_peer_closes(wire, answer, told):
    app = Does(ACCEPT)
    peer = await opened(app, wire)
    assert frames(peer) == [answer] and peer.transport.asked == ["close"]
    assert app.end == told and not peer.server.tasks


@pytest.mark.parametrize(("wire", "code", "says"), [
    (frame(3), 1002, "opcode 3 is reserved (RFC 6455 5.2)"),
    (text(b"\xff"), 1007, "not UTF-8: invalid start byte (RFC 6455 8.1)"),
    (text("*" * 101), 1009, "a message over 100 bytes"),
])  # fmt: skip
@on_a_loop
async def test_the_peer_is_told_of_its_fault_and_no_more_of_it_is_read(wire, code, says):
    app = Does(ACCEPT)
    peer = await opened(app, wire + frame(PING), frame(PING) * 9, limits=Limits(message=100))
    assert frames(peer) == [Close(code, says)] and app.end == (code, says)
    assert peer.transport.asked == ["eof"]  # what comes is dropped, until the peer has read it
    assert peer.transport.protocol.frames.buffer == wire[:] + frame(PING)
    await peer.tell("eof_received")
    assert peer.transport.asked == ["eof", "close"]


@pytest.mark.parametrize(("last", "code"), [(close(1000), 1000), (frame(3), 1002)])
@on_a_loop
async def test_what_came_before_the_end_has_its_turn(last, code):
    peer = await opened(chat_asgi.echo, text("one") + text("two") + last)
    came = frames(peer)
    assert came[:2] == [Message(TEXT, "one"), Message(TEXT, "two")] and came[2].code == code


@on_a_loop
async def test_the_app_has_its_last_words_although_the_peer_sends_no_more():
    stuck = Stuck(before=[ACCEPT], after=[HI])
    peer = await opened(stuck, text("unheard") + close(1000))
    await peer.tell("eof_received")
    stuck.go.set()
    await settle()
    assert frames(peer) == [Message(TEXT, "hi"), Close(1000, "")]
    assert peer.transport.asked == ["close"]


@pytest.mark.parametrize("event", ["eof_received", "connection_lost"])
@on_a_loop
async def test_a_connection_that_is_cut_is_1006_after_what_came_before(event, caplog):
    stuck = Stuck(before=[ACCEPT], after=[HI])
    peer = await opened(stuck, text("one"))
    listener = Does(ACCEPT)
    other = await opened(listener, text("one"))
    for each in (peer, other):
        await each.tell(event, *([None] if event == "connection_lost" else []))
    stuck.go.set()
    await settle()
    assert [type(error) for error in stuck.errors] == [Disconnected] and not caplog.records
    assert [m["type"] for m in listener.heard] == [
        "websocket.connect", "websocket.receive", "websocket.disconnect"
    ]  # fmt: skip
    assert listener.end == (1006, "") and frames(other) == []  # nobody is there to be told


@on_a_loop
async def test_an_app_that_never_hears_what_came_before_the_close_is_not_waited_for():
    stuck = Stuck(before=[ACCEPT], after=[HI])
    peer = await opened(stuck, text("unheard") + close(1000))
    assert peer.protocol.deadline < float("inf") and frames(peer) == []
    await peer.tell("resume_writing")
    assert peer.protocol.deadline < float("inf")
    assert (await peer.late()).asked == ["abort"]
    await peer.tell("connection_lost", None)
    stuck.go.set()
    await settle()
    assert [type(error) for error in stuck.errors] == [Disconnected]


@on_a_loop
async def test_the_app_closes_and_the_peer_agrees():
    app = Does(ACCEPT, {**BYE, "code": 4000, "reason": "ö"})
    peer = await opened(app)
    assert frames(peer) == [Close(4000, "ö")] and peer.transport.asked == []
    await peer.send(text("too late"), frame(PING), close(4000))
    assert peer.transport.asked == ["close"] and len(frames(peer)) == 1
    assert app.end == (4000, "") and len(app.heard) == 1


@on_a_loop
async def test_a_peer_that_does_not_agree_is_left():
    app = Does(ACCEPT, {**BYE, "reason": None})
    peer = await opened(app)
    began = peer.protocol.deadline
    assert began < float("inf")
    await peer.send(text("too late"))
    assert peer.protocol.deadline == began
    assert (await peer.late()).asked == ["abort"]
    await peer.tell("connection_lost", None)
    assert app.end == (1006, "")


@on_a_loop
async def test_an_app_that_returns_has_said_1000():
    peer = await opened(Does(ACCEPT, listens=False))
    assert frames(peer) == [Close(1000, "")]
    await peer.send(close(1000))
    assert peer.transport.asked == ["close"]


@pytest.mark.parametrize(("sends", "came"), [
    ([ACCEPT], [Close(1011, "")]),
    ([ACCEPT, BYE], [Close(1000, "")]),
])  # fmt: skip
@on_a_loop
async def test_an_app_that_raises(sends, came, caplog):
    peer = await opened(Does(*sends, listens=False, raises=SystemExit("on purpose")))
    assert frames(peer) == came and "on purpose" in caplog.text


@on_a_loop
async def test_an_app_that_raises_because_the_peer_left_is_no_error(caplog):
    caplog.set_level(logging.INFO)
    await opened(Does(ACCEPT, raises=LookupError("left")), close(1001))
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("INFO", "the client of /chat%20room?a=b left, the app raised LookupError('left')")
    ]


@on_a_loop
async def test_to_send_after_the_end(caplog):
    app = Does(ACCEPT, BYE, HI)
    await opened(app)
    assert "'websocket.send' cannot be sent after websocket.close: nothing more can" in caplog.text
    assert isinstance(app.errors[0], AppError)
    stuck = Stuck(before=[ACCEPT], after=[HI])
    await opened(stuck, close(1000))
    stuck.go.set()
    await settle()
    assert isinstance(stuck.errors[0], Disconnected) and isinstance(stuck.errors[0], OSError)


@on_a_loop
async def test_ctrl_c_is_not_the_apps_doing():
    async def interrupted(scope, receive, send):
        raise KeyboardInterrupt

    peer = Peer(interrupted)
    reader = Reader()
    reader.feed(OPENING)
    with pytest.raises(KeyboardInterrupt):  # by hand: a task would end the loop with it
        WebSocketCycle(peer.protocol, reader.next_event()).run().send(None)
    assert peer.transport.wire == b""


# --- neither side fills our memory ---


@on_a_loop
async def test_an_app_that_does_not_receive_stops_the_peer():
    stuck = Stuck(before=[ACCEPT])
    peer = await opened(stuck, text("x" * 1000) * 200)
    cycle = peer.transport.protocol
    assert peer.transport.asked == ["pause"]
    assert cycle.waiting < PIECE + 2000 and len(cycle.inbox) < 60
    stuck.go.set()
    listener = Does(ACCEPT)
    peer = await opened(listener, text("x" * 1000) * 200)
    assert peer.transport.asked == ["pause", "resume"]
    assert len(listener.heard) == 201 and peer.transport.protocol.waiting == 0


@on_a_loop
async def test_small_messages_count_too():
    peer = await opened(Stuck(before=[ACCEPT]), frame(BINARY) * 5000)
    assert peer.transport.asked == ["pause"] and len(peer.transport.protocol.inbox) < 400


@on_a_loop
async def test_an_app_that_closes_while_the_peer_is_stopped_still_hears_it_agree():
    stuck = Stuck(before=[ACCEPT], after=[BYE])
    peer = await opened(stuck, text("x" * 1000) * 200)
    stuck.go.set()
    await settle()
    assert peer.transport.asked == ["pause", "resume"]
    await peer.send(close(1000))
    assert peer.transport.asked == ["pause", "resume", "close"]


@on_a_loop
async def test_send_waits_until_the_peer_reads():
    stuck = Stuck(before=[ACCEPT], after=[HI, HI])
    peer = await opened(stuck)
    await peer.tell("pause_writing")
    stuck.go.set()
    await settle()
    assert frames(peer) == [Message(TEXT, "hi")] and peer.protocol.deadline < float("inf")
    await peer.tell("resume_writing")
    assert frames(peer) == [Message(TEXT, "hi")] * 2 + [Close(1000, "")]


@on_a_loop
async def test_send_stops_waiting_when_the_peer_leaves_or_does_not_read():
    for ends in ("connection_lost", "late"):
        stuck = Stuck(before=[ACCEPT], after=[HI])
        peer = await opened(stuck, times=Times(io=0.0))
        await peer.tell("pause_writing")
        stuck.go.set()
        await settle()
        if ends == "late":
            peer.transport.size = 900
            assert (await peer.late()).asked == []  # it may be slow
            assert (await peer.late()).asked == ["abort"]
        await peer.tell("connection_lost", None)
        assert [type(error) for error in stuck.errors] == [Disconnected]


@on_a_loop
async def test_of_the_pings_of_a_peer_that_does_not_read_the_last_is_answered():
    peer = await opened(Stuck(before=[ACCEPT]))
    await peer.tell("pause_writing")
    await peer.send(frame(PING, b"a"), frame(PING, b"b"))
    assert frames(peer) == []
    await peer.tell("resume_writing")
    await peer.tell("pause_writing")
    await peer.tell("resume_writing")
    assert frames(peer) == [Message(PONG, b"b")]


@on_a_loop
async def test_no_pong_follows_a_close():
    peer = await opened(Stuck(before=[ACCEPT]))
    await peer.tell("pause_writing")
    await peer.send(frame(PING, b"a"), close(1000))
    peer.transport.asked.clear()
    await peer.tell("resume_writing")
    assert frames(peer) == [Close(1000, "")]


@on_a_loop
async def test_several_may_wait_and_one_may_be_cancelled():
    class Both(Does):
        async def __call__(self, scope, receive, send):
            import asyncio

            await send(ACCEPT)
            await receive()
            one, two = (asyncio.ensure_future(receive()) for _ in range(2))
            await asyncio.sleep(0)
            one.cancel()
            self.heard.append(await two)

    app = Both()
    await opened(app, text("hello"))
    assert app.heard == [{"type": "websocket.receive", "text": "hello"}]


@on_a_loop
async def test_a_deadline_that_nobody_waits_for_never_becomes_an_http_answer():
    peer = await opened(Stuck(before=[ACCEPT]))
    assert peer.protocol.deadline == float("inf")
    assert (await peer.late()).asked == ["abort"] and peer.transport.statuses == [101]


# --- the server stops ---


@on_a_loop
async def test_a_server_that_stops_tells_both_sides():
    app, asks = Does(ACCEPT), Stuck(before=[ACCEPT], after=[HI])
    peer, other = await opened(app), await opened(asks, text("unheard") + close(1000))
    for each in (peer, other):
        each.protocol.cycle.retire()
        each.protocol.cycle.retire()
    asks.go.set()
    await settle()
    assert frames(peer) == frames(other) == [Close(1012, "the server stops")]
    assert app.end == (1012, "the server stops") and peer.transport.asked == []
    assert [type(error) for error in asks.errors] == [Disconnected]
    assert other.transport.asked == ["close"]
    await peer.send(close(1012))
    assert peer.transport.asked == ["close"]


@on_a_loop
async def test_a_handshake_goes_on_although_the_server_stops():
    stuck = Stuck(after=[ACCEPT])
    peer = Peer(stuck)
    await peer.send(OPENING)
    peer.protocol.cycle.retire()
    stuck.go.set()
    await settle()
    assert peer.transport.wire.startswith(SWITCHED)


# --- an app without a server ---


@on_a_loop
async def test_a_conversation_drives_a_websocket_app():
    reader = Reader()
    reader.feed(OPENING)
    request = reader.next_event()
    assert isinstance(request, Request)
    talk = Conversation(chat_asgi.echo, websocket_scope(request))
    talk.tell({"type": "websocket.connect"})
    assert await talk.hear() == ACCEPT
    talk.tell({"type": "websocket.receive", "text": "hi"})
    assert await talk.hear() == HI
    talk.tell({"type": "websocket.disconnect", "code": 1000})
    assert await talk.hear() is None
