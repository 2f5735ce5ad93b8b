"""Bytes of one direction of a connection in, parts of HTTP/1.1 messages out.

Rule 1  It never fails: what cannot be read as HTTP is a part of kind "other".
Rule 2  The parts cover the bytes without a gap, in order.
Rule 3  It judges nothing. That is a server's work (servers/http11.py); here a wrong message must
        stay visible.
Left out: WebSocket frames and HTTP/2, which are "other" after the head that switches to them.
"""

import re
from dataclasses import dataclass

CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]+)[^\r\n]*\r?\n")


@dataclass(frozen=True)
class Part:
    """Hold one part of a message; `start` and `end` are offsets in the direction's bytes."""

    kind: str  # "head", "body", "chunk", "last chunk", "cut off", "other"
    start: int
    end: int
    message: int  # which message of this direction, from 0; interim responses count apart
    label: str
    size: int = 0  # bytes of content that it carries
    interim: bool = False
    asked: tuple[str, str] = "", ""  # method and target, in the first part of a request


@dataclass(frozen=True)
class Head:
    """Hold a message's first line and headers, names in lower case."""

    first: str
    headers: dict[str, str]
    end: int

    @property
    def status(self) -> int:
        """Return the status of a response, 0 where there is none."""
        found = re.match(r"HTTP/\d\.\d (\d{3})", self.first)
        return int(found[1]) if found else 0

    @property
    def method(self) -> str:
        """Return the method of a request."""
        return self.first.split(" ")[0]


def read_head(data: bytes, start: int) -> Head | None:
    """Return the head that begins at `start`, or None if its empty line has not come."""
    found = re.compile(rb"\r?\n\r?\n").search(data, start)
    if not found:
        return None
    first, *lines = data[start:found.start()].decode("latin-1").replace("\r\n", "\n").split("\n")
    fields = [line.partition(":") for line in lines]
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    return Head(first, headers, found.end())


def requests(data: bytes) -> list[Part]:
    """Return the parts of a client's bytes."""
    parts: list[Part] = []
    at, message = 0, 0
    while at < len(data):
        head = read_head(data, at)
        if head is None or not re.search(r" HTTP/\d\.\d$", head.first):
            break
        parts.append(_head_part(head, at, message))
        at = _body(data, head.end, head, message, parts)
        message += 1
    return parts + _rest(data, at, message)


def responses(data: bytes, methods: list[str]) -> list[Part]:
    """Return the parts of a server's bytes; `methods` are those of the requests, in order."""
    parts: list[Part] = []
    at, message = 0, 0
    while at < len(data):
        head = read_head(data, at)
        if head is None or not head.status:
            break
        interim = head.status < 200 and head.status != 101
        parts.append(_head_part(head, at, message, interim))
        at = head.end
        if interim:
            continue
        method = methods[message] if message < len(methods) else ""
        if method != "HEAD" and head.status not in (101, 204, 304):
            at = _body(data, at, head, message, parts, until_close=True)
        message += 1
    return parts + _rest(data, at, message)


def _head_part(head: Head, start: int, message: int, interim: bool = False) -> Part:
    target = head.first.partition(" ")[2].rpartition(" ")[0]
    return Part("head", start, head.end, message, head.first, interim=interim,
                asked=(head.method, target))


def _rest(data: bytes, at: int, message: int) -> list[Part]:
    if at >= len(data):
        return []
    return [Part("other", at, len(data), message, f"{len(data) - at} bytes that end no head")]


def _body(data: bytes, at: int, head: Head, message: int, parts: list[Part],
          until_close: bool = False) -> int:
    if "chunked" in head.headers.get("transfer-encoding", "").lower():
        return _chunks(data, at, message, parts)
    length = head.headers.get("content-length", "")
    if length.isdigit():
        end = min(len(data), at + int(length))
    else:
        end = len(data) if until_close else at
    if end > at:
        label = f"body, {end - at} bytes"
        if length.isdigit() and end < at + int(length):
            label = f"body cut off, {end - at} of {length} bytes"
        parts.append(Part("body", at, end, message, label, size=end - at))
    return end


def _chunks(data: bytes, at: int, message: int, parts: list[Part]) -> int:
    while found := CHUNK_SIZE.match(data, at):
        size = int(found[1], 16)
        if size == 0:
            end = data.find(b"\r\n\r\n", found.end() - 2)  # trailers may stand in between
            end = len(data) if end < 0 else end + 4
            parts.append(Part("last chunk", at, end, message, "last chunk, 0 bytes"))
            return end
        end = found.end() + size + 2
        if end > len(data):
            break
        parts.append(Part("chunk", at, end, message, f"chunk of {size} bytes", size=size))
        at = end
    if at < len(data):
        parts.append(Part("cut off", at, len(data), message,
                          f"chunk cut off, {len(data) - at} bytes"))
    return len(data)
