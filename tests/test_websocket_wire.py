"""WebSocket and server-sent events on the wire: raw sockets, websockets and wsproto as peers."""

import random
import socket
from contextlib import contextmanager

import httpx
import pytest
from frame_cases import CASES, LIMITS, close, text
from test_memory import GROWTH, MIB, Memory
from test_serving import PATIENCE, Gate, served, until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    Request,
    TextMessage,
)

from apps import chat_asgi
from coursekit.live import live
from servers.service import Times
from servers.websocket import CLOSE, PING, PONG, Close, FrameReader, Message

OPENING = (
    b"GET /room HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@contextmanager
def raw(address):
    """Open a WebSocket by hand; give its socket."""
    with socket.create_connection(address, PATIENCE) as sock:
        sock.sendall(OPENING)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")
        yield sock


def read_all(sock):
    """Return the frames that come until the server closes."""
    reader, came = FrameReader(limit=1 << 30, masked=False), []
    while data := sock.recv(65536):
        reader.feed(data)
        came += iter(reader.next_event, None)
    return came


def open_with(server, path="/room", **settings):
    """Open a WebSocket with the client of the websockets package."""
    host, port = server.address[:2]
    settings = {"proxy": None, "open_timeout": PATIENCE, "close_timeout": PATIENCE} | settings
    return connect(f"ws://{host}:{port}{path}", **settings)


@pytest.fixture(scope="module")
def echo():
    app = "apps.chat_asgi:echo"
    with live("toy", app, process=True, interface="asgi", errors="log") as server:
        yield server


# --- the cases of tests/frame_cases.py ---


def expected(case):
    """Return (messages, pongs, close): an echo's answers to a case."""
    came = list(case.comes)
    last = came.pop() if came and not isinstance(came[-1], Message) else Close(1000, "")
    pongs = [Message(PONG, data) for opcode, data in came if opcode == PING]
    return [m for m in came if m.opcode < CLOSE], pongs, last if isinstance(last, int) else last[0]


@pytest.mark.parametrize("case", [c for c in CASES if c not in LIMITS], ids=str)
def test_an_echo_answers_each_case_right(echo, case):
    cuts = sorted(random.Random(1).sample(range(len(case.wire) + 1), min(3, len(case.wire))))
    for edges in [0, len(case.wire)], [0, *cuts, len(case.wire)]:
        with raw(echo.address) as sock:
            for start, end in zip(edges, edges[1:], strict=False):
                sock.sendall(case.wire[start:end])
            if not case.comes or isinstance(case.comes[-1], Message):
                sock.sendall(close(1000))
            came = read_all(sock)
        messages, pongs, code = expected(case)
        assert [m for m in came[:-1] if m.opcode < CLOSE] == messages
        assert [m for m in came[:-1] if m.opcode == PONG] == pongs
        assert isinstance(came[-1], Close) and came[-1].code == code
        assert not isinstance(case.comes[-1:], int) or came[-1].reason


def test_no_case_left_an_error_behind(echo):
    with open_with(echo) as client:
        client.send("still there")
        assert client.recv(PATIENCE) == "still there"
    assert not echo.log.grep("Traceback") and not echo.log.grep("was never awaited")


# --- other people's clients ---


@pytest.mark.parametrize("compression", ["deflate", None])
def test_websockets_is_content(echo, compression):
    with open_with(echo, compression=compression, max_size=None) as client:
        for said in ("hello", "ö" * 40_000, b"\0\xff", "", b"", b"x" * MIB):
            client.send(said)
            assert client.recv(PATIENCE) == said
        client.send(["in", " three ", "parts"])
        assert client.recv(PATIENCE) == "in three parts"
        assert client.ping(b"hi").wait(PATIENCE)
        client.close(4000, "ö")
    assert (client.close_code, client.close_reason) == (4000, "")


def test_wsproto_is_content(echo):
    client = WSConnection(ConnectionType.CLIENT)
    came = []
    with socket.create_connection(echo.address, PATIENCE) as sock:

        def hear(kind):
            while not came or not isinstance(came[-1], kind):
                client.receive_data(sock.recv(65536) or None)
                came.extend(client.events())
            return came[-1]

        sock.sendall(client.send(Request(host="x", target="/room", subprotocols=["chat"])))
        assert hear(AcceptConnection).subprotocol is None
        sock.sendall(client.send(TextMessage("hel", message_finished=False)))
        sock.sendall(client.send(Ping(b"hi")) + client.send(TextMessage("lo")))
        sock.sendall(client.send(BytesMessage(b"\0" * 300)))
        assert bytes(hear(BytesMessage).data) == b"\0" * 300
        assert "hello" in [e.data for e in came if isinstance(e, TextMessage)]
        assert b"hi" in [bytes(e.payload) for e in came if isinstance(e, Pong)]
        sock.sendall(client.send(CloseConnection(1000, "bye")))
        assert hear(CloseConnection).code == 1000
        assert sock.recv(1) == b""


def test_the_limit_of_a_message(echo):
    with open_with(echo, max_size=None) as client:
        client.send(b"x" * (16 * MIB))
        assert len(client.recv(PATIENCE)) == 16 * MIB
        with pytest.raises(ConnectionClosed) as info:
            client.send(b"x" * (16 * MIB + 1))
            client.recv(PATIENCE)
    assert info.value.rcvd is None or info.value.rcvd.code == 1009


def test_a_denial_is_403():
    async def denies(scope, receive, send):
        await send({"type": "websocket.close"})

    with served(denies) as server, pytest.raises(InvalidStatus) as info, open_with(server):
        pass
    assert info.value.response.status_code == 403


# --- nobody may fill the server's memory ---


def test_who_sends_and_does_not_read_is_stopped_and_takes_little_memory(echo):
    with raw(echo.address) as sock:
        piece, size = text("x" * 60_000) * 4, 0
        memory = Memory(echo)
        sock.settimeout(1)
        with pytest.raises(TimeoutError):  # then the server reads no more
            while size < 64 * MIB:
                sock.sendall(piece)
                size += len(piece)
                memory.look()
    assert memory.most < GROWTH, f"grew by {memory.most / MIB:.1f} MiB"


# --- the server stops ---


def test_a_stop_is_1012_and_the_app_is_told():
    told = []

    async def app(scope, receive, send):
        assert scope["type"] == "websocket"
        await send({"type": "websocket.accept"})
        while not told or told[-1]["type"] != "websocket.disconnect":
            told.append(await receive())

    with served(app) as server, open_with(server) as client:
        until(lambda: told)
        server.stopper.close()
        with pytest.raises(ConnectionClosed) as info:
            client.recv(PATIENCE)
        server.end()
    assert info.value.rcvd.code == 1012
    assert told[-1]["code"] == 1012 and server.error is None
    assert not [line for line in server.lines if "lifespan" not in line]


def test_a_stop_does_not_wait_for_a_peer_that_does_not_answer():
    times = Times(linger=0.05, stop=PATIENCE)
    with served(chat_asgi.app, times=times) as server, raw(server.address) as sock:
        server.end()
        reader = FrameReader(masked=False)
        reader.feed(sock.recv(1000))
        assert reader.next_event() == Close(1012, "the server stops")
    assert not server.lines


def test_an_app_that_does_not_end_is_ended_at_the_deadline():
    gate = Gate()

    async def app(scope, receive, send):
        async def drop(message):
            pass

        assert scope["type"] == "websocket"
        await send({"type": "websocket.accept"})
        await gate(scope, receive, drop)

    with served(app, times=Times(stop=0.05)) as server, raw(server.address):
        assert gate.inside.wait(PATIENCE)
    assert gate.closed.is_set() and "1 requests took too long to stop for: ended" in server.lines


# --- the chat ---


@pytest.fixture(scope="module")
def chat():
    app = "apps.chat_asgi:app"
    with live("toy", app, process=True, interface="asgi", errors="log") as server:
        yield server


def rooms(server):
    return dict(line.rsplit(" ", 1) for line in server.get("/").text.splitlines())


def test_all_in_a_room_hear_all(chat):
    with open_with(chat, "/tea") as one, open_with(chat, "/tea") as two:
        with open_with(chat, "/office") as other:
            until(lambda: rooms(chat) == {"/tea": "2", "/office": "1"})
            one.send("hello")
            assert one.recv(PATIENCE) == two.recv(PATIENCE) == "hello"
            two.send("ö")
            two.send(b"binary is no talk")
            two.send("bye")
            assert [one.recv(PATIENCE), one.recv(PATIENCE)] == ["ö", "bye"]
            other.send("alone")
            assert other.recv(PATIENCE) == "alone"
        until(lambda: rooms(chat)["/office"] == "0")
        two.close()
        until(lambda: rooms(chat)["/tea"] == "1")
        one.send("anybody?")
        assert one.recv(PATIENCE) == "anybody?"
    assert not chat.log.grep("Traceback")


def test_who_does_not_read_holds_up_nobody(chat):
    with raw(chat.address) as slow, open_with(chat, "/room") as quick:
        until(lambda: rooms(chat)["/room"] == "2")
        for number in range(300):
            said = f"{number} ".ljust(60_000, "x")
            quick.send(said)
            assert quick.recv(PATIENCE) == said
        slow.shutdown(socket.SHUT_RDWR)
        until(lambda: rooms(chat)["/room"] == "1")


def test_a_chat_ends_with_its_server():
    with served(chat_asgi.app) as server, open_with(server, "/tea") as client:
        server.stopper.close()
        with pytest.raises(ConnectionClosed) as info:
            client.recv(PATIENCE)
        server.end()
    assert info.value.rcvd.code == 1012 and not server.lines and not chat_asgi.ROOMS


# --- server-sent events ---


@pytest.fixture(scope="module")
def sse():
    with live("toy", "apps.sse_asgi:app", process=True, interface="asgi", errors="log") as server:
        yield server


def test_events_come_one_by_one_and_end_when_the_client_leaves(sse):
    with httpx.stream("GET", f"{sse.url}/events?pause=0.001", trust_env=False) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = answer.iter_lines()
        came = [next(lines) for _ in range(9)]
        assert sse.get("/open").text == "1 open\n"
    assert came == ["id: 1", "data: 1", "", "id: 2", "data: 2", "", "id: 3", "data: 3", ""]
    until(lambda: sse.get("/open").text == "0 open\n")
    assert not sse.log.grep("Traceback")


def test_a_stream_goes_on_where_it_was_cut(sse):
    headers = {"last-event-id": "41"}
    with httpx.stream("GET", f"{sse.url}/events", headers=headers, trust_env=False) as answer:
        assert next(answer.iter_lines()) == "id: 42"
