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
from coursekit.flow.watch import watch

PATIENCE = 5.0  # seconds to wait for an app's close() and for the ends of connections

Notes = Callable[[], list[Note]]


@contextmanager
def record(server: Any, *, events: Any = None, name: str = "", apart: bool = False
           ) -> Iterator[Trace]:
    """Relay to `server` and record: `with record(server) as trace: trace.get("/")`.

    `server` is a coursekit.live Server or an address (host, port). Calls of the app are seen if
    the server was started with watch=True; `events` (a path or an EventList) says where its notes
    are, if the server does not. Only what is sent through `trace` is seen.
    With apart=True each process and thread has a lane: which one takes a request is chance, so
    the picture then may differ from run to run.
    """
    trace = Trace(name or str(getattr(server, "kind", "server")), workers=_has_workers(server),
                  apart=apart)
    with _noting(server, events) as read, Tap(getattr(server, "address", server)) as tap:
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


@contextmanager
def _noting(server: Any, events: Any) -> Iterator[Notes]:
    """Find the notes of the app; wrap the app of the toy in this kernel for as long."""
    if events is None:
        events = getattr(server, "events_path", None)
    app = getattr(server, "app", None) if events is None else None
    if callable(app):
        events = EventList()
        server.app = watch(app, events)
    try:
        yield _notes_since_now(events)
    finally:
        if callable(app):
            server.app = app


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
