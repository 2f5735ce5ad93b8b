"""Frames of a client, in the groups of the Autobahn test suite, and what must come of them."""

import struct
from dataclasses import dataclass

from servers.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Close,
    Message,
    encode_frame,
)

MASK = bytes.fromhex("37fa213d")  # RFC 6455 5.7


def frame(opcode, payload=b"", fin=True, mask=MASK):
    return encode_frame(opcode, payload, fin=fin, mask=mask)


def text(payload, fin=True):
    return frame(TEXT, payload if isinstance(payload, bytes) else payload.encode(), fin)


def more(payload=b"", fin=False):
    return frame(CONTINUATION, payload, fin)


def close(code=None, reason=b""):
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def head(first, second, *rest):
    """Return a masked frame's beginning that encode_frame would not make."""
    return bytes((first, 0x80 | second)) + b"".join(rest)


@dataclass(frozen=True)
class Case:
    name: str
    wire: bytes
    comes: tuple  # messages, and at last Close or the code of the fault
    limit: int = 1 << 20

    def __str__(self):
        return self.name


def case(name, *frames, comes=(), **more):
    return Case(name, b"".join(frames), tuple(comes), **more)


HELLO, PINGED = Message(TEXT, "hello"), Message(PING, b"hi")

# --- 1 framing ---

SIZES = [0, 1, 125, 126, 127, 128, 65535, 65536]
FRAMING = [
    *(case(f"1.1 text of {n}", text("*" * n), comes=[Message(TEXT, "*" * n)]) for n in SIZES),
    *(case(f"1.2 binary of {n}", frame(BINARY, b"\xfe" * n), comes=[Message(BINARY, b"\xfe" * n)])
      for n in SIZES),
    case("1.3 two messages", text("hello"), frame(BINARY, b"\0"),
         comes=[HELLO, Message(BINARY, b"\0")]),
]  # fmt: skip

# --- 2 pings and pongs ---

PINGS = [
    case("2.1 empty ping", frame(PING), comes=[Message(PING, b"")]),
    case("2.2 small ping", frame(PING, b"hi"), comes=[PINGED]),
    case("2.3 binary ping", frame(PING, b"\0\xff\xfe"), comes=[Message(PING, b"\0\xff\xfe")]),
    case("2.4 ping of 125", frame(PING, b"\xfe" * 125), comes=[Message(PING, b"\xfe" * 125)]),
    case("2.5 ping of 126", frame(PING, b"\xfe" * 126), comes=[1002]),
    case("2.7 pong unasked", frame(PONG), comes=[Message(PONG, b"")]),
    case("2.8 pong with payload", frame(PONG, b"hi"), comes=[Message(PONG, b"hi")]),
    case("2.9 pong, then ping", frame(PONG, b"x"), frame(PING, b"hi"),
         comes=[Message(PONG, b"x"), PINGED]),
    case("2.10 ten pings", frame(PING, b"hi") * 10, comes=[PINGED] * 10),
]  # fmt: skip

# --- 3 reserved bits ---

RESERVED = [
    *(case(f"3.{bits} {name}", text("hello"), head(0x80 | bits << 4 | opcode, 0, MASK),
           frame(PING, b"hi"), comes=[HELLO, 1002])
      for bits in range(1, 8)
      for name, opcode in {"text": TEXT, "binary": BINARY, "close": CLOSE, "ping": PING,
                           "pong": PONG}.items()),
    case("3.8 in a continuation", text("a", fin=False), head(0x40, 0, MASK), comes=[1002]),
]  # fmt: skip

# --- 4 opcodes ---

OPCODES = [
    *(case(f"4.1 opcode {n}", head(0x80 | n, 0, MASK), frame(PING), comes=[1002])
      for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    *(case(f"4.2 opcode {n} behind a message", text("hello"), head(0x80 | n, 1, MASK, b"x"),
           comes=[HELLO, 1002])
      for n in (3, 7, 11, 15)),
]  # fmt: skip

# --- 5 fragmentation ---

AB, PONGED = [Message(TEXT, "ab")], Message(PONG, b"hi")
FRAGMENTS = [
    case("5.1 ping in fragments", frame(PING, b"a", False), more(b"b", True), comes=[1002]),
    case("5.2 pong in fragments", frame(PONG, b"a", False), more(b"b", True), comes=[1002]),
    case("5.2 close in fragments", frame(CLOSE, b"", False), more(b"", True), comes=[1002]),
    case("5.3 text in two", text("a", False), more(b"b", True), comes=AB),
    case("5.3 binary in three", frame(BINARY, b"a", False), more(b"b"), more(b"c", True),
         comes=[Message(BINARY, b"abc")]),
    case("5.6 ping between", text("a", False), frame(PING, b"hi"), more(b"b", True),
         comes=[PINGED, *AB]),
    case("5.7 pong between", text("a", False), frame(PONG, b"hi"), more(b"b", True),
         comes=[PONGED, *AB]),
    case("5.8 close between", text("a", False), close(1000), more(b"b", True),
         comes=[Close(1000, "")]),
    case("5.9 nothing to continue", more(b"a", True), text("hello"), comes=[1002]),
    case("5.10 nothing to continue, unfinished", more(b"a"), text("hello"), comes=[1002]),
    case("5.12 continued behind the end", text("ab"), more(b"c"), comes=[*AB, 1002]),
    case("5.15 three ends", text("a", False), more(b"b", True), more(b"c", True),
         text("d"), comes=[*AB, 1002]),
    case("5.18 text in a text", text("a", False), text("b"), comes=[1002]),
    case("5.18 binary in a text", text("a", False), frame(BINARY, b"b"), comes=[1002]),
    case("5.18 text in a binary", frame(BINARY, b"a", False), text("b"), comes=[1002]),
    case("5.19 pings among five", text("a", False), more(), frame(PING, b"hi"), more(b"b"),
         frame(PING, b"hi"), more(), more(b"", True), comes=[PINGED, PINGED, *AB]),
    case("5.20 a message behind the fragments", text("a", False), more(b"b", True), text("hello"),
         comes=[*AB, HELLO]),
    case("6.1 three empty fragments", text("", False), more(), more(b"", True),
         comes=[Message(TEXT, "")]),
    case("6.1 empty first and last", text("", False), more(b"ab"), more(b"", True), comes=AB),
    case("5.21 an ancient size of fragment", text("x" * 70_000, False), more(b"y" * 130, True),
         comes=[Message(TEXT, "x" * 70_000 + "y" * 130)]),
]  # fmt: skip

# --- 6 UTF-8 ---

GOOD_TEXT = [
    "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\0", "\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff",
    "\ue000", "\ufffd", "\ufffe", "\uffff", "\U00010000", "\U0010ffff", "\ufeffbom", "😀" * 50,
]  # fmt: skip
# Bytes that are good, and then the byte at which it is sure that they never become UTF-8.
BAD_TEXT = [
    (b"", b"\x80"), (b"", b"\xbf"), (b"ab", b"\xfe"), (b"", b"\xff"), (b"", b"\xc0"),
    (b"", b"\xc1"), (b"\xc3", b"("), (b"\xe0", b"\x80"), (b"\xe0", b"\x9f"), (b"\xe2\x82", b"a"),
    (b"\xed", b"\xa0"), (b"\xed", b"\xbf"), (b"\xf0", b"\x80"), (b"\xf0", b"\x8f"),
    (b"\xf0\x9f", b"a"), (b"\xf0\x9f\x98", b"\xf0"), (b"\xf4", b"\x90"), (b"", b"\xf5"),
    (b"", b"\xf8"), (b"", b"\xfc"), (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4", b"\x90"),
]  # fmt: skip
# An end in the middle of a character.
CUT_TEXT = [b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xce\xba\xe1"]


def in_pieces(data):
    """Return a text, a byte in each fragment."""
    frames = [more(bytes([byte])) for byte in data]
    return text(b"", fin=False) + b"".join(frames) + more(b"", fin=True)


WAYS = {"whole": text, "in fragments": in_pieces}
UTF8 = [
    *(case(f"6.2 {good[:8]!r} {name}", make(good.encode()), comes=[Message(TEXT, good)])
      for good in GOOD_TEXT for name, make in WAYS.items()),
    *(case(f"6.3 {start + bad} {name}", make(start + bad + b"abcd"), comes=[1007])
      for start, bad in BAD_TEXT for name, make in WAYS.items()),
    *(case(f"6.6 cut {bad} {name}", make(bad), comes=[1007])
      for bad in CUT_TEXT for name, make in WAYS.items()),
    case("6.7 cut, then the next message", text(b"\xc3"), text(b"\xbc"), comes=[1007]),
    case("6.8 a ping in a character", text(b"\xc3", False), frame(PING, b"hi"), more(b"\xbc", True),
         comes=[PINGED, Message(TEXT, "ü")]),
    case("6.9 binary is not looked at", frame(BINARY, b"\xff"), comes=[Message(BINARY, b"\xff")]),
]  # fmt: skip

# --- 7 closing ---

GOOD_CODES = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
BAD_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
CLOSING = [
    case("7.1 message, then close", text("hello"), close(1000), comes=[HELLO, Close(1000, "")]),
    case("7.1 two closes", close(1000), close(1001), comes=[Close(1000, "")]),
    case("7.1 ping behind a close", close(1000), frame(PING), comes=[Close(1000, "")]),
    case("7.1 text behind a close", close(1000), text("hello"), comes=[Close(1000, "")]),
    case("7.1 garbage behind a close", close(), b"\xff" * 20, comes=[Close(1005, "")]),
    case("7.3 no code", close(), comes=[Close(1005, "")]),
    case("7.3 one byte", frame(CLOSE, b"\x03"), comes=[1002]),
    case("7.3 a reason", close(1000, b"Hello World!"), comes=[Close(1000, "Hello World!")]),
    case("7.3 the longest reason", close(1000, b"*" * 123), comes=[Close(1000, "*" * 123)]),
    case("7.3 too long a reason", close(1000, b"*" * 124), comes=[1002]),
    case("7.5 a reason that is no text", close(1000, b"\xce\xba\xed\xa0\x80"), comes=[1007]),
    case("7.5 a reason cut in a character", close(1000, b"\xc3"), comes=[1007]),
    *(case(f"7.7 code {code}", close(code), comes=[Close(code, "")]) for code in GOOD_CODES),
    *(case(f"7.9 code {code}", close(code), comes=[1002]) for code in BAD_CODES),
]  # fmt: skip

# --- 9 limits ---

BIG = Message(BINARY, b"*" * 300)
LIMITS = [
    case("9.1 at the limit", frame(BINARY, b"*" * 300), comes=[BIG], limit=300),
    case("9.1 over the limit", frame(BINARY, b"*" * 301), comes=[1009], limit=300),
    case("9.2 fragments at the limit", frame(BINARY, b"*" * 200, False), more(b"*" * 100, True),
         comes=[BIG], limit=300),
    case("9.3 fragments over the limit", frame(BINARY, b"*" * 200, False), more(b"*" * 101, True),
         comes=[1009], limit=300),
    case("9.4 the limit of one message", frame(BINARY, b"*" * 300) * 3, comes=[BIG] * 3, limit=300),
    case("9.5 a huge size alone", head(0x82, 127, struct.pack("!Q", 1 << 62), MASK), comes=[1009]),
    case("9.7 a quarter of a MiB", text("é" * (1 << 17)), comes=[Message(TEXT, "é" * (1 << 17))]),
]  # fmt: skip

# --- 10 what else the RFC says ---

OTHER = [
    case("10.1 no mask", frame(TEXT, b"hello", mask=None), comes=[1002]),
    case("10.2 a mask of zeros", frame(TEXT, b"hello", mask=bytes(4)), comes=[HELLO]),
    case("10.3 a size in 2 bytes too many",
         head(0x81, 126, struct.pack("!H", 125), MASK), comes=[1002]),
    case("10.3 a size in 8 bytes too many",
         head(0x81, 127, struct.pack("!Q", 65535), MASK), comes=[1002]),
    case("10.3 a size with the highest bit", head(0x81, 127, struct.pack("!Q", 1 << 63), MASK),
         comes=[1002]),
    case("10.4 HTTP instead", b"GET / HTTP/1.1\r\n\r\n", comes=[1002]),
    case("10.5 nothing", comes=[]),
]  # fmt: skip

CASES = [*FRAMING, *PINGS, *RESERVED, *OPCODES, *FRAGMENTS, *UTF8, *CLOSING, *LIMITS, *OTHER]
