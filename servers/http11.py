"""Bytes in, events out: HTTP/1.1 (RFC 9110, RFC 9112) with no sockets.

    reader = Reader()
    reader.feed(b"GET / HTTP/1.1\\r\\nHost: example.org\\r\\n\\r\\n")
    reader.next_event()     # Request(method=b"GET", target=b"/", ...)
    reader.next_event()     # END

Rule 1  Nothing here waits, reads a clock, or knows who the peer is.
Rule 2  Every way a connection can move is a row in NEXT.
Left out: trailers are checked and dropped (h11 hands them on).
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from servers.head import (
    BARE_LF,
    TOKEN,
    VALUE,
    Framing,
    Headers,
    ProtocolError,
    Request,
    bad_head,
    parse_head,
    request_framing,
)


class Data(NamedTuple):
    """Hold a piece of the request's body; where pieces are cut means nothing."""

    body: bytes


class Mark(Enum):
    """Name the two events that carry nothing: a request's end, and the connection's."""

    END = "end of request"
    EOF = "end of connection"


END, EOF = Mark.END, Mark.EOF
Event = Request | Data | Mark


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what a peer may send; sizes in bytes. Precedent: nginx 32 KiB, Apache 100 fields."""

    target: int = 8 * 1024
    head: int = 32 * 1024
    fields: int = 100
    body: int = 256 * 1024 * 1024
    chunk_line: int = 256
    message: int = 16 * 1024 * 1024  # of a WebSocket; precedent: uvicorn's ws_max_size


LIMITS = Limits()


# --- the reader ----------------------------------------------------------------------

HEADING, BODY, SIZE, CHUNK, TRAILER, CLOSED = "head", "body", "size", "chunk", "trailer", "closed"

NEXT = {
    (HEADING, "length"): BODY,  # Content-Length, or no body at all: length 0
    (HEADING, "chunked"): SIZE,
    (HEADING, "eof"): CLOSED,
    (BODY, "data"): BODY,
    (BODY, "end"): HEADING,
    (SIZE, "size"): CHUNK,
    (SIZE, "last size"): TRAILER,
    (CHUNK, "data"): CHUNK,
    (CHUNK, "end of chunk"): SIZE,
    (TRAILER, "end"): HEADING,
    (CLOSED, "eof"): CLOSED,
}

CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t -~\x80-\xff]*)?\r\n")
TRAILERS = re.compile(rb"(?:%b:%b\r\n)*+\r\n" % (TOKEN, VALUE))


class Reader:
    """Turn fed bytes into events, one request after another.

    `next_event` returns None when it needs more bytes. After END it goes on with the next
    pipelined request, so a server asks only when it has answered the one before.
    """

    __slots__ = ("at", "buffer", "eof", "left", "limits", "state", "total")

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self.state = HEADING
        self.buffer = b""
        self.at = 0  # where in the buffer the unread bytes begin
        self.eof = False
        self.left = 0  # bytes of the body or of the chunk still to come
        self.total = 0  # bytes of a chunked body so far

    def feed(self, data: bytes) -> None:
        """Take what recv returned; b"" says that the peer will send no more."""
        self.buffer = self.buffer[self.at :] + data if self.at < len(self.buffer) else data
        self.at = 0
        self.eof = self.eof or not data

    def next_event(self) -> Event | None:
        """Return the next event, or None if more bytes are needed; raise ProtocolError."""
        try:
            event = STEP[self.state](self)
            if event is None and self.eof:
                return self.at_eof()
            return event
        except ProtocolError:
            self.state = CLOSED
            raise

    def at_eof(self) -> Event:
        if self.state != CLOSED and (self.state != HEADING or not self.empty()):
            raise ProtocolError(f"the peer left in the middle of a request ({self.state})")
        self.state = NEXT[self.state, "eof"]
        return EOF

    def empty(self) -> bool:
        """Tell whether every byte that was fed has been used."""
        return self.at == len(self.buffer)

    def rest(self) -> bytes:
        """Return the bytes that no event has used yet; they stay."""
        return self.buffer[self.at :]

    def read_head(self) -> Event | None:
        buffer, at, limits = self.buffer, self.at, self.limits
        # RFC 9112 2.2: an empty line before the request line is skipped, for old clients.
        while buffer.startswith(b"\r\n", at):
            at = self.at = at + 2
        line, end = buffer.find(b"\r\n", at), buffer.find(b"\r\n\r\n", at) + 4
        if end < 4 or end - at > limits.head or line - at > limits.target + 100:
            return self.check_start(buffer[at:])
        request = parse_head(buffer[at:end], limits.fields)
        self.at = end
        if len(request.target) > limits.target:
            raise ProtocolError(f"target of {len(request.target)} bytes", 414)
        framing = request_framing(request)
        if framing != "chunked" and framing > limits.body:
            raise ProtocolError(f"body of {framing} bytes, limit {limits.body}", 413)
        self.begin_body(framing)
        return request

    def begin_body(self, framing: Framing) -> None:
        if framing == "chunked":
            self.state, self.total = NEXT[HEADING, "chunked"], 0
        else:
            self.state, self.left = NEXT[HEADING, "length"], framing

    def check_start(self, head: bytes) -> Event | None:
        """Refuse what can never become a good head, by its first fault; else wait for more.

        By the first one, so that how the bytes were cut never decides what the peer is told.
        """
        start = head[: self.limits.head + 1]
        line = start[: self.limits.target + 102]  # 100 for the method and the version, and CR LF
        # A TLS hello (0x16), or lines ended by LF alone: waiting would never end.
        if head[:1] == b"\x16" or BARE_LF.search(line):
            raise bad_head(head)
        if len(line) == self.limits.target + 102 and b"\r\n" not in line:
            raise ProtocolError(f"request line over {self.limits.target} bytes", 414)
        if BARE_LF.search(start):
            raise bad_head(head)
        if len(start) > self.limits.head:
            raise ProtocolError(f"head over {self.limits.head} bytes", 431)
        return None

    def read_body(self) -> Event | None:
        if self.left:
            return self.read_data()
        self.state = NEXT[BODY, "end"]
        return END

    def read_data(self) -> Event | None:
        data = self.buffer[self.at : self.at + self.left]
        if not data:
            return None
        self.at += len(data)
        self.left -= len(data)
        self.state = NEXT[self.state, "data"]
        return Data(data)

    def read_size(self) -> Event | None:
        line = CHUNK_LINE.match(self.buffer, self.at, self.at + self.limits.chunk_line)
        if line is None:
            rest = self.rest()
            if b"\n" in rest or len(rest) > self.limits.chunk_line:
                raise ProtocolError(f"bad chunk size line {rest[:80]!r} (RFC 9112 7.1)")
            return None
        self.at = line.end()
        self.left = int(line[1], 16)
        self.total += self.left
        if self.total > self.limits.body:
            raise ProtocolError(f"chunked body over {self.limits.body} bytes", 413)
        self.state = NEXT[SIZE, "size" if self.left else "last size"]
        return STEP[self.state](self)

    def read_chunk(self) -> Event | None:
        if self.left:
            return self.read_data()
        ending = self.buffer[self.at : self.at + 2]
        if not b"\r\n".startswith(ending):
            raise ProtocolError("a chunk is longer than its size says (RFC 9112 7.1)")
        if len(ending) < 2:
            return None
        self.at += 2
        self.state = NEXT[CHUNK, "end of chunk"]
        return self.read_size()

    def read_trailer(self) -> Event | None:
        trailers = TRAILERS.match(self.buffer, self.at, self.at + self.limits.head)
        if trailers is None:
            rest = self.rest()
            start = rest[: self.limits.head]
            if b"\r\n\r\n" in start or BARE_LF.search(start):
                raise ProtocolError(f"bad trailer {rest[:80]!r} (RFC 9112 7.1.2)")
            if len(rest) > self.limits.head:
                raise ProtocolError(f"trailers over {self.limits.head} bytes", 431)
            return None
        self.at = trailers.end()
        self.state = NEXT[TRAILER, "end"]
        return END

    def nothing_more(self) -> Event | None:
        self.at = len(self.buffer)
        return None


STEP = {
    HEADING: Reader.read_head,
    BODY: Reader.read_body,
    SIZE: Reader.read_size,
    CHUNK: Reader.read_chunk,
    TRAILER: Reader.read_trailer,
    CLOSED: Reader.nothing_more,
}


# --- the answer ----------------------------------------------------------------------

FIELD_NAME = re.compile(TOKEN)
FIELD_VALUE = re.compile(VALUE)


def encode_field(name: bytes, value: bytes) -> bytes:
    """Return a header line; raise ValueError on bytes that could end it (CR, LF, NUL).

    Otherwise whoever chose the value could write headers, or a whole answer, of his own.
    """
    if not FIELD_NAME.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
        raise ValueError(f"bad header {name!r}: {value!r}")
    return b"%b: %b\r\n" % (name, value)


def encode_head(status: bytes, headers: Headers) -> bytes:
    """Return the head of a response; `status` is like b"200 OK". Raise ValueError."""
    if not FIELD_VALUE.fullmatch(status):
        raise ValueError(f"bad status {status!r}")
    fields = [encode_field(name, value) for name, value in headers]
    return b"HTTP/1.1 %b\r\n%b\r\n" % (status, b"".join(fields))


def encode_chunk(data: bytes) -> bytes:
    """Frame one chunk (RFC 9112 7.1); b"" makes the last one, which ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
