"""Record what passes between a client and a running server, and between the server and its app.

    with live("gunicorn", APP, watch=True) as server, live("nginx", upstream=server) as front:
        with flow.record(front) as trace:  # client, nginx, worker, app; the bytes of both wires
            trace.get("/hello")
    flow.show(trace)

With processes=True the arbiter and its workers take part too: coursekit.flow.life.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx

from coursekit.flow.events import EventList, Note, read_events
from coursekit.flow.hops import settled
from coursekit.flow.life import Life, nobody
from coursekit.flow.steps import calls_of
from coursekit.flow.tap import Tap
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
    With apart=True each process and thread has a lane: which one takes a request is chance, so
    the picture then may differ from run to run.
    If `server` is a front, such as nginx, the wire behind it is recorded too: the front starts
    again, at the beginning and at the end, to be told of the tap in front of its upstream.
    With processes=True workers that start and end and what they are told are seen: see life.
    """
    # long: each `with` needs the one before it
    front, server = _parted(server)
    with ExitStack() as stack:
        life = stack.enter_context(Life(server)) if processes else None
        read = stack.enter_context(_noting(server, events))
        far = stack.enter_context(_behind(front)) if front else None
        tap = stack.enter_context(Tap(getattr(front or server, "address", server)))
        taps = [tap] + ([far] if far else [])
        trace = _trace(front, server, name, apart)
        client = httpx.Client(base_url=f"http://{tap.address[0]}:{tap.address[1]}",
                              trust_env=False)
        trace.open(tap.address, client, lambda: _counts(read(), life))
        try:
            yield trace
        finally:
            _until(lambda: all(call.done or nobody(call.pid) for call in calls_of(read())))
            client.close()
            tap.wait(PATIENCE)
            if far:
                _until(lambda: settled(far.events))
            trace.full = any(each.full for each in taps)
            trace.close([wire for each in taps for wire in each.events],
                        [*read(), *(life.read() if life else ())])


def _parted(server: Any) -> tuple[Any, Any]:
    """Return the front, or None, and the server that calls the app."""
    behind = getattr(server, "upstream", None)
    return (server, behind) if behind is not None else (None, server)


def _trace(front: Any, server: Any, name: str, apart: bool) -> Trace:
    kinds = [str(getattr(each, "kind", "server")) for each in (front, server) if each is not None]
    return Trace(name or ", ".join(kinds), workers=_has_workers(server), apart=apart,
                 front=kinds[0] if front else "", server=kinds[-1] if front else name or kinds[-1])


@contextmanager
def _behind(front: Any) -> Iterator[Tap]:
    """Put a tap between a front and its upstream, for as long."""
    upstream = front.upstream
    with Tap(upstream.address, hop=1) as tap:
        front.upstream = tap
        try:
            yield tap
        finally:
            front.upstream = upstream


def _counts(notes: list[Note], life: Life | None) -> dict[str, int]:
    calls = sum(note["kind"] == "call" for note in notes)
    starts, ends = (life.count(kind) if life else 0 for kind in ("start", "gone"))
    return {"calls": calls, "starts": starts, "ends": ends}


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
