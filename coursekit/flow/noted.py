"""What a note says of a call, a body, headers: the parts that both interfaces share.

Rule 1  A note is a flat dict of JSON values with "time" in ns (time.monotonic_ns, shared by all
        processes of the machine), "pid", "thread", "call" and "kind".
Rule 2  Nothing here fails, whatever an app hands over: its mistakes are the server's to judge.
"""

import itertools
import os
import threading
import time
from typing import Any

from coursekit.flow.events import Note, Sink
from coursekit.live import shown

PREVIEW = 1024  # bytes of a chunk that are kept: enough to read, small enough for a notebook


class Call:
    """Note what happens in one call of the app."""

    counter = itertools.count(1)

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.number = next(self.counter)

    def note(self, kind: str, **values: Any) -> None:
        """Note that something happens now."""
        thread = threading.current_thread()
        self.sink({"time": time.monotonic_ns(), "pid": os.getpid(), "thread": thread.ident,
                   "thread_name": thread.name, "call": self.number, "kind": kind, **values})

    def fail(self, error: BaseException) -> None:
        """Note an exception of the app."""
        self.note("exception", type=type(error).__name__, message=str(error)[:PREVIEW])


def preview_of(data: Any) -> Note:
    """Return the size and the first bytes of a body."""
    if not isinstance(data, bytes):  # the app's mistake: the server shall judge it, not this
        return {"size": 0, "bytes": "", "wrong": type(data).__name__}
    return {"size": len(data), "bytes": data[:PREVIEW].decode("latin-1")}


def headers_of(headers: Any) -> Note:
    """Return what may be shown of headers, and how many there are."""
    try:
        return {"headers": shown.headers(headers), "count": len(headers)}
    except (TypeError, ValueError):
        return {"headers": [], "count": 0}  # the app's mistake: the server shall judge it


def texts_of(values: dict[str, Any]) -> Note:
    """Return the values of an environ or a scope as text."""
    # Objects, such as wsgi.errors, say nothing but their address.
    return {name: str(value) for name, value in values.items()
            if isinstance(value, (str, int, tuple, list))}


def port_of(value: Any) -> int:
    """Return a port that came as text or number; 0 if it is not known."""
    return int(value) if str(value or "").isdigit() else 0
