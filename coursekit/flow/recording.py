"""Record what passes between a client and a running server, and between the server and its app."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from coursekit.flow.events import EventList, Note, read_events
from coursekit.flow.steps import calls_of
from coursekit.flow.tap import Tap
from coursekit.flow.trace import Trace

PATIENCE = 2.0  # seconds to wait for an app's close() and for the ends of connections

Notes = Callable[[], list[Note]]


@contextmanager
def record(server: Any, *, events: Any = None, name: str = "", apart: bool = True
           ) -> Iterator[Trace]:
    """Relay to `server` and record: `with record(server) as trace: trace.get("/")`.

    `server` is a coursekit.live Server or an address (host, port). Calls of the app are seen if
    the server was started with watch=True; `events` (a path or an EventList) says where its notes
    are, if the server does not. Only what is sent through `trace` is seen.
    Which worker or thread takes a request is chance: with apart=False they share one lane, and
    the table is the same at each run.
    """
    read = _notes_since_now(getattr(server, "events_path", None) if events is None else events)
    trace = Trace(name or str(getattr(server, "kind", "server")), workers=_has_workers(server),
                  apart=apart)
    with Tap(getattr(server, "address", server)) as tap:
        client = httpx.Client(base_url=f"http://{tap.address[0]}:{tap.address[1]}",
                              trust_env=False)
        trace.open(tap.address, client)
        try:
            yield trace
        finally:
            _until(lambda: all(call.done for call in calls_of(read())))
            client.close()
            tap.wait(PATIENCE)
            trace.close(tap.events, read())


def _notes_since_now(source: Any) -> Notes:
    if source is None:
        return list
    if isinstance(source, EventList):
        read: Notes = source.read
    else:
        path = os.fspath(source)

        def read() -> list[Note]:
            return read_events(path)
    seen = len(read())
    return lambda: read()[seen:]


def _has_workers(server: Any) -> bool:
    return any(process.role == "worker" for process in getattr(server, "workers", ()))


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
