"""HTTP/1.1 as seen on the wire: the rows that need no more of WSGI than an app that answers."""

from __future__ import annotations

import time

from coursekit.live.wire import Exchange

from .rows import (
    Peer,
    Play,
    Row,
    body_has,
    body_is,
    describe,
    get,
    refused,
    request,
    statuses,
)

CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"2\r\nhi\r\n0\r\n\r\n"
ECHO_HI = b"POST /\n2 bytes\n\nhi"
HIDDEN = get("/echo/hidden")


def framing(exchange: Exchange) -> str:
    """Name what ends the first answer's body."""
    answer = exchange.answers[0]
    how = "length" if answer.header("Content-Length") else "close"
    how = "chunked" if answer.header("Transfer-Encoding") else how
    return how if answer.complete else f"{describe(exchange)}, {how}"


def whole(exchange: Exchange) -> bool:
    """Tell whether the stream arrived and its end could be told."""
    return exchange.answer.complete and exchange.answer.body.count(b"\n") == 3


def whole_1_0(exchange: Exchange) -> bool:
    """Tell the same for HTTP/1.0, which knows no chunks."""
    return whole(exchange) and not exchange.answer.header("Transfer-Encoding")


def by_encoding_alone(exchange: Exchange) -> bool:
    """Tell whether CL + TE was refused, or read by TE; and the rest was never a request."""
    first, end = exchange.answers[0], exchange.end
    right = first.status == 400 or (first.status == 200 and first.body == ECHO_HI)
    return right and len(exchange.answers) == 1 and end in ("closed", "reset")


def whose_body(exchange: Exchange) -> str:
    """Say by which header the body of a request with both was read."""
    bodies = [answer.body for answer in exchange.answers]
    by = ", by TE" if ECHO_HI in bodies else ", by CL" if exchange.status == 200 else ""
    return describe(exchange) + by


def bodiless_head(exchange: Exchange) -> bool:
    """Tell whether only the GET behind the HEAD brought a body."""
    bodies = [(answer.status, bool(answer.body)) for answer in exchange.answers]
    return bodies == [(200, False), (200, True)] and exchange.answers[1].complete


def garbage(peer: Peer) -> str:
    """Send what a TLS client sends to a plain port, then ask properly."""
    exchange = peer.ask(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    if peer.ask(get("/")).status != 200:
        return "does not survive"
    return "yes" if any(400 <= a.status < 500 for a in exchange.answers) else describe(exchange)


def empty_connection(peer: Peer) -> str:
    """Connect and leave without a word."""
    peer.plain().close()
    return "yes" if peer.ask(get("/")).status == 200 else "does not survive"


def keep_alive(peer: Peer) -> str:
    """Ask twice over one connection, the second time after the first answer."""
    with peer.connect() as connection:
        connection.send(get("/"))
        first = connection.read()
        if first.end != "open":
            return "closes"
        connection.send(get("/"))
        return "yes" if len(connection.read(2).answers) == 2 else "closes"


def idle_blocks_nobody(peer: Peer) -> str:
    """Hold half a head open while another client asks."""
    with peer.connect() as slow:
        slow.send(b"GET / HTTP/1.1\r\nHost:")
        other = peer.ask(get("/"))
        return "yes" if other.answers and other.status == 200 else "waits"


def overlap(peer: Peer) -> str:
    """Send two requests that wait for each other inside the app."""
    with peer.connect() as one, peer.connect() as two:
        one.send(get("/work/meet?2"))
        two.send(get("/work/meet?2"))
        both = {one.read().status, two.read().status}
    return "yes" if both == {200} else "one at a time"


def first_chunk_at_once(peer: Peer) -> str:
    """Ask for two chunks with a pause between, and look when the first arrives.

    One that is kept back until the app has made the second cannot come before the pause is over.
    """
    pause = 0.3 * peer.patience
    with peer.plain() as sock:
        asked = time.monotonic()
        sock.sendall(get(f"/stream/?n=2&pause={pause}"))
        peer.receive(sock, b"0 ....")
    return "yes" if time.monotonic() - asked < pause else "all at the end"


def continue_100(peer: Peer) -> str:
    """Announce a body and send it when the server says so."""
    announce = request("POST /echo/", "Content-Length: 2", "Expect: 100-continue")
    with peer.plain() as sock:
        sock.sendall(announce)
        peer.receive(sock, b"HTTP/1.1 100 Continue\r\n\r\n")
        sock.sendall(b"hi")
        peer.receive(sock, ECHO_HI)
    return "yes"


BIG = bytes(range(256)) * 400

ROWS: list[Row | Play] = [
    Row("GET", (get("/"),), "200", "RFC 9110 9.3.1", body_is(b"Hello from WSGI\n")),
    Row("head byte by byte", tuple(bytes([b]) for b in get("/")), "200", "RFC 9112 2.2",
        statuses(200)),
    Row("query apart from path", (get("/environ/a?b=c"),), "200", "PEP 3333 environ",
        body_has(b"QUERY_STRING = 'b=c'")),
    Row("%20 decoded in path", (get("/echo/a%20b"),), "200", "PEP 3333 environ",
        body_has(b"GET /a b\n")),
    Row("no space after colon", (request("GET /", "X-Try:1"),), "200", "RFC 9112 5",
        statuses(200)),
    Row("100 kB body", (request("POST /echo/", f"Content-Length: {len(BIG)}", body=BIG),),
        "200, all of it", "RFC 9112 6.2", body_has(BIG)),
    Row("chunked body", (request("POST /echo/", CHUNKED, body=CHUNKS),), "200, decoded",
        "RFC 9112 7.1", body_is(ECHO_HI), tell=lambda e: describe(e) if ECHO_HI in e.received
        else f"{describe(e)}, body lost"),
    Play("keep-alive", keep_alive, "second answer", "RFC 9112 9.3"),
    Row("two requests at once", (get("/echo/1") + get("/echo/2"),), "200 + 200, in order",
        "RFC 9112 9.3.2", tell=lambda e: f"{len(e.answers)} answer", judge=lambda e:
        [a.body[:7] for a in e.answers] == [b"GET /1\n", b"GET /2\n"]),
    Row("HEAD", (request("HEAD /") + request("GET /", "Connection: close"),),
        "200 without body", "RFC 9110 9.3.2", bodiless_head, tell=lambda e: describe(e)
        if bodiless_head(e) else "sends a body"),
    Play("Expect: 100-continue", continue_100, "100 first", "RFC 9110 10.1.1"),
    Row("no length, HTTP/1.1", (get("/stream/"),), "an end that shows", "RFC 9112 6.3", whole,
        tell=framing, shown=True),
    Row("no length, HTTP/1.0", (request("GET /stream/ HTTP/1.0"),), "no chunks", "RFC 9112 6.1",
        whole_1_0, tell=framing, shown=True),
    Play("first chunk at once", first_chunk_at_once, "no waiting for the rest",
         "PEP 3333 buffering"),
    Row("no Host", (request("GET /", host=""),), "400", "RFC 9112 3.2", refused(400), closing=True),
    Row("two Hosts", (request("GET /", "Host: y"),), "400", "RFC 9112 3.2", refused(400),
        closing=True),
    Row("CL and TE", (request("POST /echo/", "Content-Length: 12", CHUNKED, body=CHUNKS) + HIDDEN,),
        "400, or TE and close", "RFC 9112 6.3", by_encoding_alone, closing=True,
        tell=whose_body, shown=True),
    Row("two different CL", (request("POST /echo/", "Content-Length: 2", "Content-Length: 3",
        body=b"hi!"),), "400", "RFC 9112 6.3", refused(400), closing=True),
    Row("CL: +2", (request("POST /echo/", "Content-Length: +2", body=b"hi"),), "400",
        "RFC 9110 8.6", refused(400), closing=True),
    Row("CL: two", (request("POST /echo/", "Content-Length: two", body=b"hi"),), "400",
        "RFC 9110 8.6", refused(400), closing=True),
    Row("TE: gzip", (request("POST /echo/", "Transfer-Encoding: gzip", body=b"hi"),),
        "400 or 501", "RFC 9112 6.1", refused(400, 501), closing=True, shown=True),
    Row("bad chunk size", (request("POST /echo/", CHUNKED, body=b"0x2\r\nhi\r\n0\r\n\r\n"),),
        "400", "RFC 9112 7.1", refused(400), closing=True),
    Row("space before colon", (request("GET /", host="Host : x"),), "400", "RFC 9112 5.1",
        refused(400), closing=True),
    Row("line folded", (request("GET /", "X-Try: 1\r\n 2"),), "400, or one line", "RFC 9112 5.2",
        lambda e: e.status in (200, 400), shown=True),
    Row("lines end in LF alone", (b"GET / HTTP/1.1\nHost: x\n\n",), "an answer", "RFC 9112 2.2",
        lambda e: e.status in (200, 400), half_close=True, shown=True),
    Row("1 MB header", (get("/", "X-Try: " + "a" * 1_000_000),), "a 4xx", "RFC 6585 5",
        lambda e: 400 <= e.status < 500, shown=True),
    Play("not HTTP at all", garbage, "a 4xx, and it works on", "RFC 9112 2.2"),
    Play("connection without a word", empty_connection, "it works on", "RFC 9112 9.5"),
    Play("half a head blocks nobody", idle_blocks_nobody, "others are served", "RFC 9112 9.5"),
    Play("two requests overlap", overlap, "both inside", "PEP 3333 threads"),
]  # fmt: skip
