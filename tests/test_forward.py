"""What a proxy changes in heads, and how it reads answers: no sockets."""

import pytest

from coursekit.live import wire
from servers.forward import (
    AnswerReader,
    answer_framing,
    answer_head,
    end_to_end,
    forwarded,
    parse_answer,
    request_head,
)
from servers.head import ProtocolError, parse_head
from servers.http11 import END

PEER = "192.0.2.7"


def asked(*lines, first="GET /a?b HTTP/1.1", host="Host: x"):
    text = "\r\n".join([first, *([host] if host else []), *lines, "", ""])
    return parse_head(text.encode("latin-1"))


def sent(*lines, framing=0, trusted=(), **how):
    """Return the lines of the head that goes up."""
    head = request_head(asked(*lines, **how), framing, b"up:80", PEER, trusted)
    assert head.endswith(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n")[:-2]


OURS = [f"X-Forwarded-For: {PEER}", "X-Forwarded-Proto: http", "X-Forwarded-Host: x"]


def test_a_plain_request():
    assert sent("Accept: */*", "Cookie: a=1") == [
        "GET /a?b HTTP/1.1", "Host: x", "accept: */*", "cookie: a=1", *OURS, "Via: 1.1 toy",
    ]  # fmt: skip


@pytest.mark.parametrize("lines", [
    ["Connection: keep-alive", "Keep-Alive: timeout=5"],
    ["Connection: X-Mine, close", "X-Mine: 1"],
    ["Connection: x-mine", "Connection: X-OTHER", "X-Mine: 1", "X-Other: 2", "x-mine: 3"],
    ["Connection: host, content-length"],
    ["Proxy-Connection: keep-alive"],
    ["TE: trailers", "Trailer: X-Sum"],
    ["Proxy-Authorization: Basic eA==", "Proxy-Authenticate: Basic"],
    ["Upgrade: websocket"],
    ["Upgrade: websocket", "Connection: close"],
    ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMA"],
    ["X_Forwarded_For: 203.0.113.9", "X_Mine: 1"],
    ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil"],
    ["X-Forwarded-Prefix: /admin", "X-Real-IP: 203.0.113.9", "Forwarded: for=203.0.113.9"],
], ids=lambda lines: lines[0])  # fmt: skip
def test_what_is_not_passed_on(lines):
    assert sent(*lines) == ["GET /a?b HTTP/1.1", "Host: x", *OURS, "Via: 1.1 toy"]


def test_what_a_trusted_proxy_says_is_believed_and_made_longer():
    said = ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop",
            "Via: 1.0 front"]  # fmt: skip
    assert sent(*said, trusted={PEER})[2:] == [
        f"X-Forwarded-For: 203.0.113.9, {PEER}", "X-Forwarded-Proto: https",
        "X-Forwarded-Host: shop", "Via: 1.0 front, 1.1 toy",
    ]  # fmt: skip
    assert sent(*said, trusted={"192.0.2.8"})[2:] == [*OURS, "Via: 1.0 front, 1.1 toy"]


def test_two_chains_are_one():
    request = asked("X-Forwarded-For: a, b", "X-Forwarded-For: c")
    assert forwarded(request, PEER, {PEER})[0] == (b"X-Forwarded-For", b"a, b, c, 192.0.2.7")


def test_http_1_0_without_a_host():
    lines = sent("Expect: 100-continue", first="GET / HTTP/1.0", host="")
    assert lines == ["GET / HTTP/1.1", "Host: up:80", *OURS[:2], "Via: 1.0 toy"]


@pytest.mark.parametrize(("lines", "framing", "last"), [
    (["Content-Length: 5"], 5, ["Content-Length: 5"]),
    (["Content-Length: 0"], 0, ["Content-Length: 0"]),
    (["Transfer-Encoding: chunked"], "chunked", ["Transfer-Encoding: chunked"]),
    (["Connection: Upgrade", "Upgrade: websocket, other"], 0,
     ["Connection: Upgrade", "Upgrade: websocket, other"]),
    (["Connection: Upgrade", "Upgrade: websocket", "Content-Length: 5"], 5, ["Content-Length: 5"]),
])  # fmt: skip
def test_the_proxys_own_framing_and_upgrade(lines, framing, last):
    head = sent(*lines, framing=framing)
    assert head[head.index("Via: 1.1 toy") + 1 :] == last


def test_no_upgrade_in_http_1_0():
    lines = sent("Connection: Upgrade", "Upgrade: websocket", first="GET / HTTP/1.0")
    assert not any("pgrade" in line for line in lines)


# --- answers ---


def answered(*lines, first="HTTP/1.1 200 OK"):
    return parse_answer("\r\n".join([first, *lines, "", ""]).encode("latin-1"))


def test_an_answers_head_keeps_its_spelling():
    response = answered("Content-Type: a", "Set-Cookie: a", "set-cookie: b", "Via: 1.1 up",
                        "Connection: close, X-Hop", "X-Hop: 1")  # fmt: skip
    assert response[:3] == (200, b"OK", (1, 1))
    assert response.fields[b"set-cookie"] == b"a, b"
    head = answer_head(response, asked(), 5, True)
    assert head.decode().split("\r\n") == [
        "HTTP/1.1 200 OK", "Content-Type: a", "Set-Cookie: a", "set-cookie: b",
        "Via: 1.1 up, 1.1 toy", "",
    ]  # fmt: skip
    assert end_to_end(response)[0] == (b"Content-Type", b"a")


@pytest.mark.parametrize(("first", "version", "framing", "keep", "says"), [
    ("HTTP/1.1 200 OK", "1.1", "chunked", False,
     ["Content-Length: 9", "Via: 1.1 toy", "Transfer-Encoding: chunked", "Connection: close"]),
    ("HTTP/1.0 200", "1.0", 9, True,
     ["Content-Length: 9", "Via: 1.0 toy", "Connection: keep-alive"]),
    ("HTTP/1.1 204 No Content", "1.1", 0, True, ["Via: 1.1 toy"]),
    ("HTTP/1.1 103 Early Hints", "1.1", 0, False, []),
    ("HTTP/1.1 101 Switching Protocols", "1.1", 0, True,
     ["Connection: Upgrade", "Upgrade: echo"]),
])  # fmt: skip
def test_the_head_that_goes_down(first, version, framing, keep, says):
    response = answered("Content-Length: 9", "Upgrade: echo", "Connection: upgrade", first=first)
    request = asked(first=f"GET / HTTP/{version}")
    assert answer_head(response, request, framing, keep).decode().split("\r\n")[1:-1] == says


@pytest.mark.parametrize("head", [
    b"", b"HTTP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 099 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\n\n", b"ICY 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nName : 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\na: 1\r\n 2\r\n\r\n", b"HTTP/1.1 200 O\x00K\r\n\r\n",
])  # fmt: skip
def test_what_is_no_answer(head):
    with pytest.raises(ProtocolError):
        parse_answer(head)


@pytest.mark.parametrize(("lines", "first", "method", "framing"), [
    (["Content-Length: 5"], "HTTP/1.1 200 OK", b"GET", 5),
    (["Content-Length: 5"], "HTTP/1.1 200 OK", b"HEAD", 0),
    (["Content-Length: 5"], "HTTP/1.1 304 Not Modified", b"GET", 0),
    (["Transfer-Encoding: chunked"], "HTTP/1.1 204 No Content", b"GET", 0),
    ([], "HTTP/1.1 100 Continue", b"GET", 0),
    ([], "HTTP/1.1 200 OK", b"GET", "close"),
    (["Transfer-Encoding: Chunked"], "HTTP/1.1 200 OK", b"GET", "chunked"),
    (["Transfer-Encoding: chunked", "Content-Length: 5"], "HTTP/1.1 200 OK", b"GET", None),
    (["Transfer-Encoding: chunked"], "HTTP/1.0 200 OK", b"GET", None),
    (["Transfer-Encoding: gzip, chunked"], "HTTP/1.1 200 OK", b"GET", None),
    (["Content-Length: 5", "Content-Length: 5"], "HTTP/1.1 200 OK", b"GET", None),
    (["Content-Length: +5"], "HTTP/1.1 200 OK", b"GET", None),
])  # fmt: skip
def test_how_an_answer_ends(lines, first, method, framing):
    response = answered(*lines, first=first)
    if framing is not None:
        assert answer_framing(response, method) == framing
    else:
        with pytest.raises(ProtocolError):
            answer_framing(response, method)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde"
CLOSE = b"HTTP/1.1 200 OK\r\n\r\nabcde"


def read(pieces):
    """Feed the pieces; return the status, the body and the last event."""
    reader, response, body, last = AnswerReader(), None, b"", None
    for piece in pieces:
        reader.feed(piece)
        response = response or reader.head(b"GET")
        while response and last is not END and (event := reader.next_event()):
            last = event
            body += b"" if event is END else event.body
    return response.status, body, last


@pytest.mark.parametrize("answer", [CHUNKED, LENGTH, CLOSE], ids=["chunked", "length", "close"])
def test_any_cut_gives_the_same_answer(answer):
    for pieces in wire.splits(answer):
        assert read([*pieces, b""]) == (200, b"abcde", END)


@pytest.mark.parametrize("answer", [CHUNKED, LENGTH], ids=["chunked", "length"])
def test_half_an_answer_is_an_error(answer):
    with pytest.raises(ProtocolError, match="in the middle"):
        read([answer[:-2], b""])


def test_a_head_without_end_is_refused():
    reader = AnswerReader()
    reader.feed(b"HTTP/1.1 200 OK\r\n" + b"a" * reader.limits.head)
    with pytest.raises(ProtocolError, match="bad answer"):
        reader.head(b"GET")
