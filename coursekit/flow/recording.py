"""Record what passes between a client and a running server, and between the server and its app.

    with live("gunicorn", APP, watch=True) as server, live("nginx", upstream=server) as front:
        with flow.record(front) as trace:  # client, nginx, worker, app; the bytes of both wires
            trace.get("/hello")
    flow.show(trace)

An ASGI app is recorded alike: each message is a step, and so is each WebSocket frame and each event
of a stream. Connect with a client of WebSocket to `trace.ws`, read a stream by `trace.stream`:

    with live("uvicorn", "apps.chat_asgi:app", watch=True) as server:
        with flow.record(server) as trace, connect(trace.ws + "/room") as client:
            client.send("hello")
            client.recv()

The app's startup and shutdown are seen if the server starts again meanwhile: server.restart().
With processes=True the arbiter and its workers take part too: coursekit.flow.life.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import httpx

from coursekit.flow.events import EventList, Note, read_events
from coursekit.flow.front import ended
from coursekit.flow.life import Life, nobody
from coursekit.flow.steps import Call, calls_of
from coursekit.flow.tap import Tap, Wire
from coursekit.flow.trace import Trace
from coursekit.flow.watch import watch

PATIENCE = 5.0  # seconds to wait for an app's close() and for the ends of connections

Notes = Callable[[], list[Note]]


@contextmanager
def record(server: Any, *, events: Any = None, name: str = "", apart: bool = False,
           processes: bool = False) -> Iterator[Trace]:
    """Relay to `server` and record: `with record(server) as trace: trace.get("/")`.

    `server` is a coursekit.live Server or an address (host, port). Calls of the app are seen if
    the server was started with watch=True; `events` (a path or an EventList) says where its notes
    are, if the server does not. Only what is sent through `trace` is seen.
    With apart=True each process and thread has a lane, of ASGI each task: which one takes a
    request is chance, so the picture then may differ from run to run.
    A front has a lane of its own: it is started anew with a second tap before its upstream, whose
    app is the one to watch, and once more at the end.
    With processes=True workers that start and end, and what they are told, are seen: see life.
    """
    # long: each `with` needs the one before it
    front = server if getattr(server, "upstream", None) is not None else None
    last = front.upstream if front else server
    kind = str(getattr(last, "kind", "server"))
    trace = Trace(name or kind, kind=kind, workers=_has_workers(last), apart=apart,
                  front=front.kind if front else "")
    with (Life(last) if processes else nullcontext() as life,
          _noting(last, events) as read, _between(front) as (behind, full),
          Tap(getattr(server, "address", server)) as tap):
        client = httpx.Client(base_url=f"http://{tap.address[0]}:{tap.address[1]}",
                              trust_env=False)
        trace.open(tap.address, client, lambda: _counts(read(), life))
        try:
            yield trace
        finally:
            _until(lambda: all(_over(call) for call in calls_of(read())))
            client.close()
            tap.wait(PATIENCE)
            _until(lambda: ended(behind()))
            trace.full = tap.full or full()
            trace.close(tap.events, [*read(), *(life.read() if life else ())], behind())


def _counts(notes: list[Note], life: Life | None) -> dict[str, int]:
    starts, ends = (life.count(kind) if life else 0 for kind in ("start", "gone"))
    return {"calls": sum(note["kind"] == "call" for note in notes), "starts": starts, "ends": ends}


@contextmanager
def _between(front: Any) -> Iterator[tuple[Callable[[], list[Wire]], Callable[[], bool]]]:
    """Put a second tap between a front and its upstream, for as long."""
    if front is None:
        yield list, bool
        return
    upstream = front.upstream
    with Tap(upstream.address) as tap:
        front.upstream = tap
        try:
            yield lambda: tap.events, lambda: tap.full
        finally:
            front.upstream = upstream


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


def _over(call: Call) -> bool:
    """Tell whether nothing more is to come of a call; a lifespan is as long as the server's."""
    return call.done or call.events[0].get("type") == "lifespan" or nobody(call.pid)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
