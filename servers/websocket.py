"""Frames in, messages out: WebSocket (RFC 6455) with no sockets.

    reader = FrameReader()
    reader.feed(encode_frame(TEXT, b"hello", mask=b"1234"))
    reader.next_event()     # Message(opcode=1, data="hello")

Rule 1  Nothing here waits, reads a clock, or knows who the peer is.
Rule 2  A fault is found at its first byte, and where the bytes were cut never changes it.
Rule 3  ProtocolError tells the peer: by an HTTP status in the handshake, by a close code after it.
Left out: permessage-deflate (websockets has it). No extension is offered, so none is agreed on.
"""

import re
from base64 import b64encode
from codecs import utf_8_decode
from hashlib import sha1
from typing import NamedTuple

from servers.head import ProtocolError, Request, members, request_framing

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

# --- the opening handshake -----------------------------------------------------------

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3: no other protocol knows it
KEY = re.compile(rb"[0-9A-Za-z+/]{22}==")  # 16 bytes in base64


def wants_websocket(request: Request) -> bool:
    """Tell whether this is an opening handshake; whatever else it asks for is plain HTTP.

    RFC 9110 7.8: Upgrade means nothing in HTTP/1.0, nor where Connection does not name it.
    """
    return (
        b"websocket" in members(request, b"upgrade")
        and b"upgrade" in members(request, b"connection")
        and request.version >= (1, 1)
    )


def check_handshake(request: Request) -> bytes:
    """Return the client's key, or raise ProtocolError with the status (RFC 6455 4.2.1)."""
    key = request.fields.get(b"sec-websocket-key", b"")
    if request.method != b"GET" or request_framing(request) != 0:
        raise ProtocolError("a WebSocket begins with a GET that has no body")
    if request.fields.get(b"sec-websocket-version") != b"13":
        raise ProtocolError("Sec-WebSocket-Version must be 13", 426)
    if not KEY.fullmatch(key):
        raise ProtocolError(f"Sec-WebSocket-Key must be 16 bytes in base64, not {key[:80]!r}")
    return key


def accept_key(key: bytes) -> bytes:
    """Return the Sec-WebSocket-Accept that proves that the server understood (RFC 6455 4.2.2)."""
    return b64encode(sha1(key + GUID).digest())


def subprotocols(request: Request) -> list[str]:
    """Return the subprotocols that the client speaks, the one it likes best first."""
    offered = request.fields.get(b"sec-websocket-protocol", b"").decode("latin-1")
    return [name for part in offered.split(",") if (name := part.strip(" \t"))]


# --- frames out ----------------------------------------------------------------------

FIN, MASKED = 0x80, 0x80  # the first bit of the first byte, and of the second


def encode_frame(
    opcode: int, payload: bytes, *, fin: bool = True, mask: bytes | None = None
) -> bytes:
    """Frame a payload (RFC 6455 5.2); a client gives a `mask` of 4 random bytes, a server none."""
    first, bit, size = opcode | FIN if fin else opcode, 0 if mask is None else MASKED, len(payload)
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 65536:
        head = bytes((first, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + size.to_bytes(8, "big")
    return head + payload if mask is None else head + mask + unmask(payload, mask)


def unmask(data: bytes, mask: bytes) -> bytes:
    """Return data XOR the mask, again and again: it masks, and unmasks (RFC 6455 5.3)."""
    size = len(data)
    masks = (mask * (size // 4 + 1))[:size]
    # As two long numbers: a loop over the bytes takes ten times as long and more.
    return (int.from_bytes(data, "big") ^ int.from_bytes(masks, "big")).to_bytes(size, "big")


def encode_close(code: int, reason: str = "") -> bytes:
    """Return a server's Close frame; raise ValueError for what must never be on the wire."""
    if code == NO_CODE:
        return encode_frame(CLOSE, b"")
    payload = code.to_bytes(2, "big") + reason.encode("utf-8") if is_code(code) else b""
    if not 2 <= len(payload) <= 125:
        raise ValueError(f"{code} is no close code, or a reason of over 123 bytes: {reason!r:.80}")
    return encode_frame(CLOSE, payload)


NO_CODE, CUT_OFF = 1005, 1006  # RFC 6455 7.4.1: what an app is told, never a frame


def is_code(code: int) -> bool:
    """Tell whether a Close frame may carry this code (RFC 6455 7.4, and IANA's list)."""
    return 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in (1004, NO_CODE, CUT_OFF))


# --- frames in -----------------------------------------------------------------------


class Message(NamedTuple):
    """Hold a whole message: of TEXT its str, of BINARY, PING and PONG the bytes."""

    opcode: int
    data: str | bytes


class Close(NamedTuple):
    """Say that the peer wants to end, and why; 1005 if it does not say."""

    code: int
    reason: str


Event = Message | Close

NOTHING = 0  # (what is being received, the opcode that comes): what is being received then
NEXT = {
    (NOTHING, TEXT): TEXT,
    (NOTHING, BINARY): BINARY,
    (TEXT, CONTINUATION): TEXT,
    (BINARY, CONTINUATION): BINARY,
}
DATA, CONTROL = (CONTINUATION, TEXT, BINARY), (CLOSE, PING, PONG)  # these may come at any time
FIRST = {*DATA, *(opcode | FIN for opcode in DATA + CONTROL)}  # first bytes that can be right


class FrameReader:
    """Turn fed bytes into messages; `masked` tells whose frames: a client's have a mask.

    `next_event` returns None when it needs more bytes. After a Close, or a ProtocolError,
    nothing more is read.
    """

    __slots__ = ("at", "buffer", "fin", "kind", "known", "left", "limit", "mask", "masked",
                 "message", "opcode", "over", "size")  # fmt: skip

    def __init__(self, limit: int = 16 * 1024 * 1024, masked: bool = True) -> None:
        self.limit, self.masked = limit, masked
        self.buffer, self.at = b"", 0  # and where in it the unread bytes begin
        self.over = False
        # Of the frame: the bytes of its payload still to come, and the mask for the next of them.
        self.opcode, self.fin, self.left, self.mask = 0, 0, 0, b""
        # Of the message: the size announced so far, what is here, how much of it is UTF-8.
        self.kind, self.size, self.message, self.known = NOTHING, 0, bytearray(), 0

    def feed(self, data: bytes) -> None:
        """Take what recv returned."""
        self.buffer = self.buffer[self.at :] + data if self.at < len(self.buffer) else data
        self.at = 0

    def next_event(self) -> Event | None:
        """Return the next message or Close, None if more bytes are needed; raise ProtocolError."""
        try:
            while not self.over and (self.left or self.read_head()):
                event = self.read_payload()
                if event is not None or self.left:
                    return event
        except ProtocolError:
            self.over = True
            raise
        return None

    def read_head(self) -> bool:
        """Read a frame's head (RFC 6455 5.2); tell whether it was there."""
        buffer, at = self.buffer, self.at + 2
        if len(buffer) < at:
            return False
        first, second = buffer[at - 2], buffer[at - 1]
        opcode, size = first & 15, second & 127
        if first not in FIRST or second >> 7 != self.masked or (size > 125 and opcode >= CLOSE):
            raise bad_frame(first, second)
        if size > 125:
            end = at + (2 if size == 126 else 8)
            if len(buffer) < end:
                return False
            size, at = long_size(buffer[at:end]), end
        mask = buffer[at : at + 4] if self.masked else b""
        at += 4 * self.masked
        # Of a control frame we wait for the whole, it is short; of others each byte is looked at.
        if len(buffer) < at + (size if opcode >= CLOSE else 0):
            return False
        if opcode < CLOSE:
            self.take_data(opcode, size)
        self.opcode, self.fin, self.left, self.mask, self.at = opcode, first & FIN, size, mask, at
        return True

    def take_data(self, opcode: int, size: int) -> None:
        """Let a data frame begin, or go on with, a message; raise ProtocolError."""
        kind = NEXT.get((self.kind, opcode))
        if kind is None:
            what = "nothing to continue" if opcode == CONTINUATION else "a message goes on"
            raise ProtocolError(f"opcode {opcode}, but there is {what} (RFC 6455 5.4)", 1002)
        self.kind = kind
        self.size += size
        if self.size > self.limit:
            raise ProtocolError(f"a message over {self.limit} bytes", 1009)

    def read_payload(self) -> Event | None:
        """Read what is here of a payload; return the message if it ends there."""
        data = self.buffer[self.at : self.at + self.left]
        self.at += len(data)
        self.left -= len(data)
        if self.mask:
            data = unmask(data, self.mask)
        if self.opcode >= CLOSE:
            self.over = self.opcode == CLOSE
            return read_close(data) if self.over else Message(self.opcode, data)
        if self.left or not self.fin:
            self.keep(data)
            return None
        if self.message:
            data = b"".join((self.message, data))
            self.message, self.known = bytearray(), 0
        kind, self.kind, self.size = self.kind, NOTHING, 0
        return Message(kind, text_of(data)[0] if kind == TEXT else data)

    def keep(self, data: bytes) -> None:
        """Keep a piece of a message; raise ProtocolError if it can never become UTF-8."""
        turn = len(data) % 4
        self.mask = self.mask[turn:] + self.mask[:turn]
        self.message += data
        if self.kind == TEXT:
            self.known += text_of(self.message[self.known :], final=False)[1]
            rest = self.message[self.known :]
            # RFC 3629 3: no surrogates. Python sees them at the third byte, they begin in two.
            text_of(rest, final=rest[:1] == b"\xed" and rest[1:] >= b"\xa0")


def bad_frame(first: int, second: int) -> ProtocolError:
    """Name the first fault in the two bytes that begin a frame."""
    opcode = first & 15
    if first & 0x70:
        fault = "a reserved bit is set, but no extension was agreed on (RFC 6455 5.2)"
    elif opcode not in DATA + CONTROL:
        fault = f"opcode {opcode} is reserved (RFC 6455 5.2)"
    elif opcode >= CLOSE and (not first & FIN or second & 127 > 125):
        fault = "a control frame is whole, and has 125 bytes at most (RFC 6455 5.5)"
    else:
        fault = "a client masks each frame, a server none (RFC 6455 5.1)"
    return ProtocolError(fault, 1002)


def long_size(field: bytes) -> int:
    """Return the size that stands in 2 or 8 bytes; raise ProtocolError if fewer would do."""
    size = int.from_bytes(field, "big")
    if not (126 <= size if len(field) == 2 else 65536 <= size < 1 << 63):
        raise ProtocolError("a size is written as short as can be (RFC 6455 5.2)", 1002)
    return size


def read_close(payload: bytes) -> Close:
    """Return what a Close frame says (RFC 6455 5.5.1); raise ProtocolError."""
    code = int.from_bytes(payload[:2], "big") if payload else NO_CODE
    if payload and (len(payload) < 2 or not is_code(code)):
        raise ProtocolError(f"close code {code} has no place on the wire (RFC 6455 7.4)", 1002)
    return Close(code, text_of(payload[2:])[0])


def text_of(data: bytes | bytearray, final: bool = True) -> tuple[str, int]:
    """Return the text and how many bytes it took; raise ProtocolError if it is not UTF-8.

    Unless it is `final`, a character may be missing its end.
    """
    try:
        return utf_8_decode(data, "strict", final)
    except UnicodeDecodeError as error:
        raise ProtocolError(f"not UTF-8: {error.reason} (RFC 6455 8.1)", 1007) from None
