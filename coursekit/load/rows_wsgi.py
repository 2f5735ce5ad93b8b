"""PEP 3333 as seen on the wire: the rows that need an app of a special kind.

The apps are `apps.odd_wsgi` (looks odd, is right) and `apps.bad_wsgi` (breaks one rule each).
"""

from __future__ import annotations

from coursekit.live.wire import Exchange

from .rows import (
    Judge,
    Peer,
    Play,
    Row,
    Tell,
    body_has,
    body_is,
    cut_off,
    describe,
    get,
    is_500,
    request,
)

LINES = b"one\ntwo\nthree\nfour"


def odd(
    name: str, title: str, right: str, judge: Judge, clause: str = "PEP 3333", wrong: str = ""
) -> Row:
    """Return the row of an app that looks odd and is right; `wrong` says what a failure is."""
    return Row(title, (get(f"/odd/{name}"),), right, clause, judge, tell=telling(judge, wrong))


def bad(
    name: str, title: str, judge: Judge = is_500, right: str = "500", clause: str = "PEP 3333",
    wrong: str = "",
) -> Row:  # fmt: skip
    """Return the row of an app that breaks a rule; `wrong` says what a failure is."""
    return Row(
        title, (get(f"/bad/{name}"),), right, clause, judge,
        closing=judge in (cut_off, never_more), tell=telling(judge, wrong),
    )  # fmt: skip


def telling(judge: Judge, wrong: str) -> Tell:
    """Return a function that says `wrong` where a plain status would not show what is wrong."""

    def tell(exchange: Exchange) -> str:
        failed = wrong and exchange.answers and not judge(exchange)
        return f"{exchange.status}, {wrong}" if failed else describe(exchange)

    return tell


def second_head(exchange: Exchange) -> bool:
    """Tell whether exc_info replaced the whole head."""
    answer = exchange.answers[0]
    replaced = answer.header("X-Second") and not answer.header("X-First")
    return answer.status == 503 and bool(replaced) and answer.body == b"the second head won\n"


def two_cookies(exchange: Exchange) -> bool:
    """Tell whether both headers of one name arrived."""
    return exchange.answers[0].all("Set-Cookie") == ["first=1", "second=2"]


def bare_204(exchange: Exchange) -> bool:
    """Tell whether a 204 came without body, length and chunks (RFC 9110 8.6, RFC 9112 6.1)."""
    answer = exchange.answers[0]
    framed = answer.header("Content-Length") or answer.header("Transfer-Encoding")
    return answer.status == 204 and not framed and not answer.body


def counted(exchange: Exchange) -> bool:
    """Tell whether a 200 of the right length was given to a list with one element."""
    answer = exchange.answers[0]
    return answer.status == 200 and answer.complete and answer.body == b"sixteen letters\n"


def not_split(exchange: Exchange) -> bool:
    """Tell whether no header of the app's making got through."""
    return is_500(exchange) and not exchange.answers[0].header("X-Admin")


def never_more(exchange: Exchange) -> bool:
    """Tell whether no byte beyond Content-Length was sent, or none at all."""
    return len(exchange.answers) == 1 and b"fiv" not in exchange.received


def own_connection(exchange: Exchange) -> bool:
    """Tell whether the app's Connection header was refused, or dropped."""
    answer = exchange.answers[0]
    return is_500(exchange) or (answer.status == 200 and exchange.end == "timed out")


def body_not_read(exchange: Exchange) -> bool:
    """Tell whether a body that the app left alone was not taken for a request."""
    answers = exchange.answers
    right = [answer.status for answer in answers] == [200, 200] and b"GET /echo" not in (
        answers[0].body
    )
    return right or (len(answers) == 1 and answers[0].status == 200)


def closed_once(peer: Peer) -> str:
    """Ask for the answer that counts its close(), and for the count before and after."""
    before = int(peer.ask(get("/odd/closed")).answer.body)
    peer.ask(get("/odd/counted"))
    after = int(peer.ask(get("/odd/closed")).answer.body)
    return {0: "never", 1: "yes"}.get(after - before, "more than once")


def closed_for_the_lost(peer: Peer) -> str:
    """Leave in the middle of an endless answer, and wait for its close()."""
    peer = Peer(peer.address, 8)  # a server that buffers (waitress) finds out seconds later

    def count() -> int:
        return peer.ask(get("/bad/closed")).answer.body.count(b"endless")

    before = count()
    with peer.plain() as sock:
        sock.sendall(get("/bad/endless"))
        peer.receive(sock, b"more and more")
    return "yes" if peer.wait_for(lambda: count() > before) else "never"


def lives_after_exit(peer: Peer) -> str:
    """Let the app raise SystemExit, then ask again."""
    first = peer.ask(get("/bad/exits"))
    if not peer.wait_for(lambda: bool(peer.ask(get("/")).answers)):
        return "does not survive"
    return describe(first)


def sends(path: str, body: bytes) -> tuple[bytes, ...]:
    """Return a request with a body, whose connection is left open."""
    return (request(f"POST {path}", f"Content-Length: {len(body)}", body=body),)


ROWS: list[Row | Play] = [
    Row("validator finds nothing", sends("/validated/", b"hi"), "200", "PEP 3333",
        body_is(b"POST /\n2 bytes\n\nhi")),
    odd("writes", "uses write()", "200, in order", body_is(b"written, written again, and "
        b"returned\n"), "PEP 3333 write()"),
    odd("late_start", "starts at the first chunk", "200", body_is(b"late, but in time\n"),
        "PEP 3333 start_response"),
    odd("changes_its_mind", "exc_info before output", "its 503", second_head,
        "PEP 3333 exc_info", "both heads"),
    odd("no_length", "list of one, no length", "200, whole", counted, "PEP 3333 Content-Length"),
    odd("no_list", "iterable of its own class", "200", body_is(b"one, two\n")),
    odd("empty", "empty list", "200, no body", body_is(b"")),
    odd("no_content", "204", "no length, no chunks", bare_204, "RFC 9110 8.6",
        "with a length"),
    odd("same_name", "two Set-Cookie", "two", two_cookies, "RFC 9110 5.3"),
    odd("binary", "all 256 bytes, both ways", "unchanged", body_is(bytes(range(256)) + bytes(
        range(255, -1, -1)))),
    odd("latin_header", "ë in a header", "one latin-1 byte",
        lambda e: b"Zo\xeb\r\n" in e.received, "PEP 3333 Unicode"),
    Row("readline, iteration, read()", sends("/odd/reads_lines", LINES), "every line once",
        "PEP 3333 input", body_is(b"one\n|two\n|three\n|four|")),
    Row("body that the app does not read", (sends("/odd/reads_nothing", get("/echo/hidden"))[0]
        + get("/"),), "never a request", "RFC 9112 9.3", body_not_read),
    odd("file", "wsgi.file_wrapper", "200", body_is(b"from a file\n" * 1000),
        "PEP 3333 file handling"),
    Play("close() after the answer", closed_once, "once", "PEP 3333 close()"),
    Play("close() when the client left", closed_for_the_lost, "called", "PEP 3333 close()"),
    bad("text_body", "returns [str]"),
    bad("bare_text", "returns str"),
    bad("bare_bytes", "returns bytes"),
    bad("nothing", "returns None"),
    bad("silent", "never calls start_response"),
    bad("twice", "calls it twice"),
    bad("dict_headers", "headers as dict"),
    bad("bytes_headers", "headers as bytes"),
    bad("number_status", "status as number"),
    bad("split_header", "CR LF in a header", not_split, clause="RFC 9110 5.5", wrong="split"),
    bad("split_status", "CR LF in the status", not_split, clause="RFC 9112 4", wrong="split"),
    Row("sends Connection: close", (get("/bad/hop_by_hop"),), "500, or not passed on",
        "PEP 3333 hop-by-hop", own_connection, closing=True),
    bad("too_short", "sends less than its length", cut_off, "cut off", "RFC 9112 8"),
    bad("too_long", "sends more than its length", never_more, "no byte more", "RFC 9112 6.2",
        "sends it all"),
    bad("raises", "raises at once"),
    bad("raises_before", "raises before output"),
    bad("raises_after", "raises after output", cut_off, "cut off", "RFC 9112 8",
        "looks whole"),
    bad("replaces_after", "exc_info after output", cut_off, "cut off", "PEP 3333 exc_info",
        "looks whole"),
    bad("raises_in_close", "raises in close()", body_has(b"ok\n"), "200, whole"),
    Play("raises SystemExit", lives_after_exit, "500, and it works on", "PEP 3333", good="500"),
]  # fmt: skip
