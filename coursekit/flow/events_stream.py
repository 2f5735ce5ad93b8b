"""Content of a text/event-stream in, the events in it out (WHATWG HTML 9.2).

What arrives as one chunk may hold several events, or a part of one: then it is called that.
"""

import re

from coursekit.flow.parts import Head

END = re.compile(rb"\r\n\r\n|\n\n|\r\r")  # an empty line ends an event


def is_one(head: Head) -> bool:
    """Tell whether the body under this head is a stream of events."""
    return head.headers.get("content-type", "").lower().startswith("text/event-stream")


def pieces(content: bytes) -> list[tuple[int, str]]:
    """Return for each piece of the content where it ends, and what it is."""
    found: list[tuple[int, str]] = []
    at = 0
    for end in END.finditer(content):
        found.append((end.end(), _label(content[at:end.start()])))
        at = end.end()
    if at < len(content):
        found.append((len(content), f"SSE, {len(content) - at} bytes without an end"))
    return found


def _label(event: bytes) -> str:
    lines = event.decode("utf-8", "replace").splitlines()
    fields = [line for line in lines if line and not line.startswith(":")]
    return f"SSE event, {', '.join(fields)}" if fields else "SSE comment"
