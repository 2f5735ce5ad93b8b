"""Where notes go: a list in this process, or a file that several processes append to.

A note is a flat dict of JSON values with "time" (ns of time.monotonic_ns, one clock for all
processes of the machine on Linux and macOS), "pid", "thread", "call" and "kind".
"""

import json
import os
import threading
from collections.abc import Callable
from typing import Any

Note = dict[str, Any]
Sink = Callable[[Note], None]


class EventList:
    """Collect notes in memory: for an app that runs in this process."""

    def __init__(self) -> None:
        self._notes: list[Note] = []
        self._lock = threading.Lock()

    def __call__(self, note: Note) -> None:
        with self._lock:
            self._notes.append(note)

    def read(self) -> list[Note]:
        """Return the notes so far."""
        with self._lock:
            return list(self._notes)


class EventFile:
    """Append notes to a file, one JSON line each: for apps in other processes."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def __call__(self, note: Note) -> None:
        # One write with O_APPEND: lines of several processes never mix.
        os.write(self._fd, json.dumps(note).encode() + b"\n")


def read_events(path: str | os.PathLike[str]) -> list[Note]:
    """Return the notes in a file that EventFile wrote; a last line still in writing is left."""
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]
