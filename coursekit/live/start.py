"""live(): which server, where its app is, and which earlier server it replaces."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coursekit.live import cells
from coursekit.live.commands import FRONTS, child_for, hello, kinds
from coursekit.live.server import Errors, Server
from coursekit.live.thread import Thread


def live(
    kind: str,
    app: Any = None,
    *,
    upstream: Any = None,
    process: bool = False,
    here: bool = False,
    workers: int = 1,
    threads: int | None = None,
    watch: bool | str | os.PathLike[str] | None = None,
    errors: Errors = "raise",
    serve: Callable[..., None] | None = None,
    **options: Any,
) -> Server:
    """Start a server on a free port of this machine and return it when it answers.

    kind      "toy", "proxy" (the toy proxy), or the name of a file in servers/production
    app       MODULE:ATTR (apps.hello_wsgi:app, or hello_asgi where the server speaks ASGI); for
              the toy in the kernel also the app itself
    upstream  for a front, in place of an app: what it passes requests to. A Server, or whatever
              has an `.address`, such as a tap in front of one
    process   run the toy as a child process instead of in a thread of the kernel
    here      run uvicorn in the event loop of this notebook, with `async with`, or kept in a
              variable until `await server.stop()`. While a cell is busy, without an await, the
              server is frozen: it has no other thread. Ask it with asyncio.to_thread(server.get)
    watch     record the app's events in a JSON-lines file (True: a temporary one);
              the file is `Server.events_path`. Only for child processes
    errors    "raise": what fails inside the server fails the cell that used it;
              "log": it stays in the log
    serve     for the toy in the kernel: the function that serves, instead of
              servers.workers.serve_threads: serve(listener, app, *, stop, log, **options)
    options   become flags of the real server: timeout=1 is --timeout 1. Of the toy it is
              interface="asgi" that makes it serve an ASGI app

    ServerError says why a server did not start. Use it in a `with`, or keep it in a
    variable: running the cell again replaces it.
    """
    # long: the signature is what lessons call, an argument a line
    if kind not in kinds():
        raise ValueError(f"unknown server {kind!r}; there are: {', '.join(kinds())}")
    if upstream is None and kind in FRONTS:
        raise ValueError(f"{kind} calls no app: give it upstream=, a server to pass requests to")
    if upstream is None and app is None:
        app = hello(kind, options)
    cells.stop_previous()
    if here:
        server = _live_here(kind, app, workers, errors, options)
    elif kind == "toy" and not process:
        if workers != 1:
            raise ValueError("the toy in the kernel is one process: use process=True for workers")
        given = {**options} if threads is None else {"threads": threads, **options}
        interface = given.pop("interface", "wsgi")
        server = Server(kind, app, Thread(app, serve, given, interface), errors=errors)
    else:
        options = {"workers": workers, "threads": threads, **options}
        server = _live_child(kind, app, upstream, watch, errors, options)
    cells.remember(server)
    return server


def _live_here(
    kind: str, app: Any, workers: int, errors: Errors, options: dict[str, Any]
) -> Server:
    if kind != "uvicorn" or workers != 1:
        raise ValueError("of the real servers, only one process of uvicorn runs here")
    from coursekit.live.inloop import Here, InLoop  # it brings all of uvicorn

    return Here(kind, app, InLoop(app, options), errors=errors)


def _live_child(
    kind: str, app: Any, upstream: Any, watch: Any, errors: Errors, options: dict[str, Any]
) -> Server:
    if upstream is None and not isinstance(app, str):
        raise TypeError(f"{kind} runs in another process: name the app, as in apps.hello_wsgi:app")
    child = child_for(kind, "coursekit.flow.watched:app" if watch else app, upstream, options)
    events = None
    if watch:
        events = child.new_file("events.jsonl") if watch is True else Path(watch).resolve()
        child.env = {"COURSEKIT_APP": app, "COURSEKIT_EVENTS": str(events)}
    return Server(kind, app, child, errors=errors, events_path=events)
