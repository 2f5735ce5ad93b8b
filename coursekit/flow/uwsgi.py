"""Bytes of the uwsgi protocol in, parts and variables out: what a front says to uWSGI.

A packet is modifier1 (0: a request), the size of what follows in 16 bits little endian, modifier2
(0), then names and values, each after its length in 16 bits. The content follows the packet.
Only the request is binary: the answer is HTTP.
https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html
"""

from coursekit.flow import decode
from coursekit.flow.parts import Part


def requests(data: bytes) -> list[Part]:
    """Return the parts of a front's bytes, in either protocol."""
    found = variables(data)
    if found is None:
        return decode.requests(data)
    end = 4 + _number(data, 1)
    label = f"uwsgi request, {len(found)} variables"
    asked = found.get("REQUEST_METHOD", ""), found.get("REQUEST_URI", "")
    parts = [Part("variables", 0, end, 0, label, asked=asked)]
    if size := len(data) - end:
        parts.append(Part("body", end, len(data), 0, f"body, {size} bytes", size=size))
    return parts


def variables(data: bytes) -> dict[str, str] | None:
    """Return the variables of the packet that begins here; None if it is none, or not complete."""
    end = 4 + _number(data, 1)
    if len(data) < max(4, end) or data[0] or data[3]:
        return None
    words, at = [], 4
    while at < end:
        start = at + 2
        at = start + _number(data, at)
        words.append(data[start:at].decode("latin-1"))
    if at != end or len(words) % 2:
        return None
    return dict(zip(words[::2], words[1::2], strict=True))


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at:at + 2], "little")
