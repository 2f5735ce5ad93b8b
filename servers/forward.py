"""A message passes a proxy: what changes in its head, and how an answer is read. No sockets.

Rule 1  What belongs to one connection ends there (RFC 9110 7.6.1): each side is framed anew.
Rule 2  What a message says of who sent it is believed if a `trusted` address says it.
Rule 3  An answer whose end two readers could see in two places is refused, never guessed.
Left out: trailers, Max-Forwards (Apache httpd has both), Forwarded (RFC 7239: HAProxy).
"""

import re
from collections.abc import Container
from typing import Literal

from servers.head import (
    TOKEN,
    VALUE,
    Framing,
    Headers,
    ProtocolError,
    Request,
    Response,
    join_fields,
    members,
)
from servers.http11 import END, Event, Limits, Reader, encode_field

NAME = b"toy"  # what Via calls this proxy
AnswerFraming = Framing | Literal["close"]

# --- what is passed on ---------------------------------------------------------------

# RFC 9110 7.6.1 names these, whether Connection does or not; RFC 9110 11.7 the two of proxies.
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade "
    b"proxy-authenticate proxy-authorization".split()
)
FORWARDED = re.compile(rb"forwarded|x-forwarded-.*|x-real-ip")


def end_to_end(message: Request | Response) -> Headers:
    """Return the fields that go further than this connection (RFC 9110 7.6.1)."""
    dropped = HOP_BY_HOP.union(members(message, b"connection"))
    return [(name, value) for name, value in message.headers if name.lower() not in dropped]


def forwarded(request: Request, peer: str, trusted: Container[str] = ()) -> Headers:
    """Return the fields that tell the upstream who asked, how, and for which host.

    A client can write them too. They are believed, and the chain made longer, only if `peer`
    is a proxy of ours; else what it says is dropped.
    """
    said = request.fields if peer in trusted else {}
    chain = [said.get(b"x-forwarded-for"), peer.encode()]
    fields = [
        (b"X-Forwarded-For", b", ".join(filter(None, chain))),
        (b"X-Forwarded-Proto", said.get(b"x-forwarded-proto", b"http")),
        (b"X-Forwarded-Host", said.get(b"x-forwarded-host") or request.fields.get(b"host", b"")),
    ]
    return [field for field in fields if field[1]]  # in HTTP/1.0 there may be no host


def via(message: Request | Response) -> tuple[bytes, bytes]:
    """Return the Via field with this proxy at its end (RFC 9110 7.6.3)."""
    before = [message.fields[b"via"]] if b"via" in message.fields else []
    return b"Via", b", ".join([*before, b"%d.%d %b" % (*message.version, NAME)])


def request_head(
    request: Request, framing: Framing, host: bytes, peer: str, trusted: Container[str] = ()
) -> bytes:
    """Return the head to send to the upstream; `host` is for a client that named none."""
    own = [
        (b"Host", request.fields.get(b"host", host)),
        *((name, value) for name, value in end_to_end(request) if passes(request, name)),
        *forwarded(request, peer, trusted),
        via(request),
    ]
    if framing == "chunked":
        own.append((b"Transfer-Encoding", b"chunked"))
    elif b"content-length" in request.fields:
        own.append((b"Content-Length", b"%d" % framing))
    if upgrade := upgrades(request, framing):
        own += [(b"Connection", b"Upgrade"), (b"Upgrade", upgrade)]
    fields = b"".join(encode_field(*field) for field in own)
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method, request.target, fields)


def passes(request: Request, name: bytes) -> bool:
    """Tell whether an end-to-end field goes on as the client wrote it."""
    if name in (b"host", b"content-length", b"via") or FORWARDED.fullmatch(name):
        return False  # the proxy writes these itself, or nobody does
    if name == b"expect" and request.version < (1, 1):
        return False  # RFC 9110 10.1.1: in HTTP/1.0 it means nothing
    # X_Forwarded_For and X-Forwarded-For are one key in environ: nginx drops these too.
    return b"_" not in name


def upgrades(request: Request, framing: Framing) -> bytes:
    """Return the protocols that the client would change to; b"" if it has to stay.

    RFC 9110 7.8: never with HTTP/1.0. Toy: nor with a body, which HTTP allows. And not to h2c:
    a tunnel of HTTP/2 would carry requests past this proxy, whose forged fields nobody drops.
    """
    upgrade = members(request, b"upgrade")
    asked = b"upgrade" in members(request, b"connection") and request.version >= (1, 1)
    if not asked or framing != 0 or b"h2c" in upgrade:
        return b""
    return request.fields.get(b"upgrade", b"")


def answer_head(response: Response, request: Request, framing: AnswerFraming, keep: bool) -> bytes:
    """Return the head to send to the client, without the empty line that ends it."""
    dropped = {b"via"}
    if response.status < 200 or response.status == 204:
        dropped.add(b"content-length")  # RFC 9110 8.6
    own = [field for field in end_to_end(response) if field[0].lower() not in dropped]
    if response.status >= 200:
        own.append(via(response))  # a gateway may, and need not
    if framing == "chunked":
        own.append((b"Transfer-Encoding", b"chunked"))
    if response.status == 101:
        own += [(b"Connection", b"Upgrade"), (b"Upgrade", response.fields.get(b"upgrade", b""))]
    elif response.status >= 200 and not keep:
        own.append((b"Connection", b"close"))
    elif response.status >= 200 and request.version < (1, 1):
        own.append((b"Connection", b"keep-alive"))
    fields = b"".join(encode_field(*field) for field in own)
    return b"HTTP/1.1 %d %b\r\n%b" % (response.status, response.reason, fields)


# --- how an answer is read -----------------------------------------------------------

ANSWER = re.compile(
    rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: (%b))?\r\n((?:%b:%b\r\n)*+)\r\n" % (VALUE, TOKEN, VALUE)
)
UNKNOWN = 2**63  # a length that no body reaches


def parse_answer(head: bytes) -> Response:
    """Turn a whole head, empty line included, into a Response; raise ProtocolError."""
    match = ANSWER.fullmatch(head)
    if match is None:
        raise ProtocolError(f"bad answer, it begins {head[:80]!r}")
    minor, status, reason, lines = match.groups()
    pairs = [line.partition(b":")[::2] for line in lines.splitlines()]
    headers = [(name, value.strip(b" \t")) for name, value in pairs]
    fields = join_fields([(name.lower(), value) for name, value in headers])
    version = (1, 0) if minor == b"0" else (1, 1)
    return Response(int(status), reason or b"", version, headers, fields)


def answer_framing(response: Response, method: bytes) -> AnswerFraming:
    """Return the body's length, "chunked", or "close" (RFC 9112 6.3); raise ProtocolError."""
    if method == b"HEAD" or response.status < 200 or response.status in (204, 304):
        return 0  # whatever its fields say
    length = response.fields.get(b"content-length")
    if b"transfer-encoding" in response.fields:
        codings = members(response, b"transfer-encoding")
        if length is not None or response.version < (1, 1) or codings != [b"chunked"]:
            raise ProtocolError("an answer whose Transfer-Encoding cannot be relied on")
        return "chunked"
    if length is None:
        return "close"
    if not re.fullmatch(rb"[0-9]{1,18}", length):
        raise ProtocolError(f"an answer with a bad Content-Length, {length[:80]!r}")
    return int(length)


class AnswerReader(Reader):
    """Turn what an upstream sends into events: `head`, then `next_event` up to END."""

    __slots__ = ("framing",)

    def __init__(self) -> None:
        super().__init__(Limits(body=UNKNOWN))
        self.framing: AnswerFraming = 0

    def head(self, method: bytes) -> Response | None:
        """Return the next head, None if more bytes are needed; raise ProtocolError."""
        end = self.buffer.find(b"\r\n\r\n", self.at) + 4
        if end < 4 and len(self.buffer) - self.at <= self.limits.head:
            return None
        response = parse_answer(self.buffer[self.at : end])
        self.at = end
        self.framing = answer_framing(response, method)
        self.begin_body(UNKNOWN if self.framing == "close" else self.framing)
        return response

    def at_eof(self) -> Event:
        """Return END if the end of the connection is the answer's end; raise ProtocolError."""
        if self.framing == "close":
            return END
        raise ProtocolError("the answer ends in the middle")
