"""wire.send keeps exactly what came, tells the endings apart, and never hangs."""

import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from coursekit.live import wire
from coursekit.live.answers import methods

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@contextmanager
def answering(
    reply: bytes, end: str = "open", read: int = 1, heard: list[bytes] | None = None
) -> Iterator[tuple[str, int]]:
    """Read once (or `read` bytes), send `reply`, then close, reset, or leave it open."""
    done = threading.Event()

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            data = bytearray()
            while len(data) < read and (more := sock.recv(65536)):
                data += more
            if heard is not None:
                heard.append(bytes(data))
            sock.sendall(reply)
            if end == "reset":
                # Wait until the client has read the reply: a reset may overtake it.
                done.wait(0.2)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif end == "drain":
                while sock.recv(65536):
                    pass
            elif end == "open":
                done.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            done.set()
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    ("reply", "end", "expected"),
    [
        (OK, "open", "open"),
        (OK, "close", "open"),  # all answers were there before the end
        (OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), "close", "closed"),
        (b"HTTP/1.0 200 OK\r\n\r\nhi", "close", "closed"),
        (b"", "close", "closed"),
        (b"", "reset", "reset"),
        (b"HTTP/1.1 200 OK\r\n", "reset", "reset"),
        (b"", "open", "timed out"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "open", "timed out"),
    ],
)
def test_endings(reply: bytes, end: str, expected: str) -> None:
    with answering(reply, end) as address:
        exchange = wire.send(address, GET, timeout=0.5)
    assert (exchange.end, exchange.received) == (expected, reply)


def test_answer_parts() -> None:
    reply = b"HTTP/1.1 201 Made It\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\nhi"
    with answering(reply) as address:
        answer = wire.send(address, GET).answer
    assert (answer.status, answer.reason) == (201, b"Made It")
    assert (answer.body, answer.text) == (b"hi", "hi")
    assert answer.header("X-a") == "1"
    assert answer.all("x-A") == ["1", "2"]
    assert answer.header("missing") is None
    assert answer.headers[0] == (b"X-A", b"1")
    assert answer.complete and not answer.problem


@pytest.mark.parametrize(
    ("sent", "reply", "statuses"),
    [
        (HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", [200]),
        (HEAD + GET, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + OK, [200, 200]),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\n", [204]),
        (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", [304]),
        (GET, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\n\r\n" + OK, [200]),
        (GET + GET, OK + OK.replace(b"200 OK", b"404 No"), [200, 404]),
        (
            GET,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            [200],
        ),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81\x02hi",
            [101],
        ),
    ],
)
def test_framing_ends_the_reading(sent: bytes, reply: bytes, statuses: list[int]) -> None:
    with answering(reply, read=len(sent)) as address:
        exchange = wire.send(address, sent)
    assert exchange.end == "open"
    assert [answer.status for answer in exchange.answers] == statuses
    assert all(answer.complete for answer in exchange.answers)


def test_interim_answers_are_kept_apart() -> None:
    with answering(b"HTTP/1.1 100 Continue\r\n\r\n" + OK) as address:
        assert wire.send(address, GET).answer.interim == (100,)


@pytest.mark.parametrize(
    ("reply", "status"),  # status 0: there was no head to read one from
    [
        (b"hello, not HTTP\r\n\r\n", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", 200),
        (b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", 0),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200),
    ],
)
def test_a_broken_answer_is_described_not_raised(reply: bytes, status: int) -> None:
    with answering(reply, "close") as address:
        exchange = wire.send(address, GET)
    assert exchange.received == reply
    assert (exchange.answer.status, exchange.answer.complete) == (status, False)
    assert exchange.answer.problem and exchange.answer.problem in str(exchange)


@pytest.mark.parametrize(
    "sent", [b"G\xe9T / HTTP/1.1\r\n\r\n", b"G,T\r\n\r\n", b"\r\n\r\n", b"\x16\x03"]
)
def test_nonsense_can_be_sent_and_its_answer_read(sent: bytes) -> None:
    with answering(OK) as address:
        assert wire.send(address, sent).status == 200


def test_nothing_came() -> None:
    with answering(b"", "close") as address:
        exchange = wire.send(address, GET)
    with pytest.raises(LookupError, match="no answer"):
        _ = exchange.status


def test_pieces_and_half_close() -> None:
    heard: list[bytes] = []
    with answering(OK, "close", read=1000, heard=heard) as address:
        exchange = wire.send(address, b"GET / HT", b"TP/1.1\r\n", half_close=True)
    # The server asked for 1000 bytes: only our end-of-file let it answer.
    assert heard == [b"GET / HTTP/1.1\r\n"]
    assert exchange.sent == (b"GET / HT", b"TP/1.1\r\n")
    assert exchange.status == 200


def test_a_server_that_does_not_read_costs_the_timeout() -> None:
    with answering(b"", "open") as address:
        exchange = wire.send(address, b"x" * 20_000_000, timeout=0.5)
    assert exchange.end == "timed out"


def test_an_answer_during_a_long_upload_is_read() -> None:
    size = 8_000_000  # more than any socket buffer
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"y" * size
    with answering(reply, "drain") as address:
        exchange = wire.send(address, GET + b"x" * size, answers=1, timeout=30)
    assert len(exchange.answer.body) == size


def test_zero_answers_returns_at_once() -> None:
    with answering(b"", "open") as address:
        assert wire.send(address, GET, answers=0).end == "open"


def test_turns_over_one_connection() -> None:
    with answering(OK, read=len(GET) * 2) as address, wire.Connection(address) as connection:
        connection.send(GET)
        assert connection.exchange.received == b""
        connection.send(GET)
        assert connection.read(1).status == 200


def test_no_connection_at_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with pytest.raises(OSError):
        wire.send(address, GET)


def test_repr_shows_line_ends_directions_and_the_end() -> None:
    pieces = b"GET / HTTP/1.0\r\n", b"\r\n"
    # To close before all of it is read would be a reset.
    reply, size = b"HTTP/1.0 200 OK\r\n\r\n\xffhi\n", len(b"".join(pieces))
    with answering(reply, "close", read=size) as address:
        shown = repr(wire.send(address, *pieces))
    assert shown.splitlines() == [
        r"--> GET / HTTP/1.0\r\n",
        r"--> \r\n",
        r"<-- HTTP/1.0 200 OK\r\n",
        r"<-- \r\n",
        r"<-- \xffhi\n",
        " =  the server closed the connection",
    ]


def test_repr_of_much_is_short() -> None:
    exchange = wire.Exchange((GET,), b"a\n" * 1000 + b"b" * 10_000, "open")
    assert len(str(exchange)) < 2000
    assert "more lines" in str(exchange)


def test_methods_as_far_as_they_can_be_read() -> None:
    assert methods(GET + HEAD) == [b"GET", b"HEAD"]
    assert methods(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi" + GET) == [
        b"POST",
        b"GET",
    ]
    assert methods(b"nonsense\r\n\r\n" + GET) == [b"nonsense"]
    assert methods(b"") == []


@pytest.mark.parametrize("data", [b"", b"a", b"ab", GET, bytes(range(256))])
def test_splits_are_the_same_bytes(data: bytes) -> None:
    whole, lines, single, cuts = wire.splits(data, seed=random.randrange(1000))
    assert whole == (data,)
    assert all(b"".join(pieces) == data for pieces in (lines, single, cuts))
    assert len(single) == len(data)
    assert wire.splits(data, seed=1) == wire.splits(data, seed=1)
