"""Bytes of one direction of a connection in, parts of HTTP/1.1 messages out.

Rule 1  It never fails: what cannot be read as HTTP is a part of kind "other".
Rule 2  The parts cover the bytes without a gap, in order.
Rule 3  It judges nothing. That is a server's work (servers/http11.py); here a wrong message must
        stay visible.
Rule 4  After a head that switches to WebSocket the parts are frames; the chunks of an event stream
        are told by the events in them.
Left out: HTTP/2, which is "other" after the head that switches to it.
"""

import re

from coursekit.flow import events_stream, frames
from coursekit.flow.parts import Head, Part, read_head

CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]+)[^\r\n]*\r?\n")


def requests(data: bytes) -> list[Part]:
    """Return the parts of a client's bytes."""
    parts: list[Part] = []
    at, message = 0, 0
    while at < len(data):
        head = read_head(data, at)
        if head is None or not _is_request(head):
            break
        parts.append(_head_part(head, at, message))
        at = _body(data, head.end, head, message, parts)
        if _switches(head) and not _is_request(read_head(data, at)):
            return parts + frames.read(data, at, message)
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
        if head.status == 101 and _switches(head):
            return parts + frames.read(data, at, message)
        message += 1
    return parts + _rest(data, at, message)


def _is_request(head: Head | None) -> bool:
    return head is not None and bool(re.search(r" HTTP/\d\.\d$", head.first))


def _switches(head: Head) -> bool:
    return head.headers.get("upgrade", "").lower() == "websocket"


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
        return _chunks(data, at, message, parts, events_stream.is_one(head))
    length = head.headers.get("content-length", "")
    if length.isdigit():
        end = min(len(data), at + int(length))
    else:
        end = len(data) if until_close else at
    if end > at and events_stream.is_one(head):
        parts += _events(data, "body", (at, end), (at, end), message)
    elif end > at:
        label = f"body, {end - at} bytes"
        if length.isdigit() and end < at + int(length):
            label = f"body cut off, {end - at} of {length} bytes"
        parts.append(Part("body", at, end, message, label, size=end - at))
    return end


def _events(data: bytes, kind: str, whole: tuple[int, int], content: tuple[int, int],
            message: int) -> list[Part]:
    """Return a part for each event; `content` is what of the `whole` is no framing."""
    start, at = whole[0], content[0]
    parts: list[Part] = []
    for end, label in events_stream.pieces(data[slice(*content)]):
        end += content[0]
        last = whole[1] if end == content[1] else end
        parts.append(Part(kind, start, last, message, label, size=end - at,
                          note=repr(data[at:end])))
        start, at = last, end
    return parts


def _chunks(data: bytes, at: int, message: int, parts: list[Part], events: bool) -> int:
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
        if events:
            parts += _events(data, "chunk", (at, end), (found.end(), end - 2), message)
        else:
            parts.append(Part("chunk", at, end, message, f"chunk of {size} bytes", size=size))
        at = end
    if at < len(data):
        parts.append(Part("cut off", at, len(data), message,
                          f"chunk cut off, {len(data) - at} bytes"))
    return len(data)
