"""live(): which server, where its app is, and which earlier server it replaces."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import servers.production
from coursekit.live import cells
from coursekit.live.child import Child
from coursekit.live.server import Errors, Server
from coursekit.live.thread import Thread


def kinds() -> list[str]:
    """Return the kinds of server that `live` can start."""
    found = [module.name for module in pkgutil.iter_modules(servers.production.__path__)]
    return ["toy", *sorted(found)]


def live(
    kind: str,
    app: Any = "apps.hello_wsgi:app",
    *,
    process: bool = False,
    workers: int = 1,
    threads: int | None = None,
    watch: bool | str | os.PathLike[str] | None = None,
    errors: Errors = "raise",
    serve: Callable[..., None] | None = None,
    **options: Any,
) -> Server:
    """Start a server on a free port of this machine and return it when it answers.

    kind      "toy" or the name of a file in servers/production, such as "gunicorn"
    app       MODULE:ATTR; for the toy in the kernel also the app itself
    process   run the toy as a child process instead of in a thread of the kernel
    watch     record the app's events in a JSON-lines file (True: a temporary one);
              the file is `Server.events_path`. Only for child processes
    errors    "raise": what fails inside the server fails the cell that used it;
              "log": it stays in the log
    serve     for the toy in the kernel: the function that serves, instead of
              servers.workers.serve_threads: serve(listener, app, *, stop, log, **options)
    options   become flags of the real server: timeout=1 is --timeout 1

    ServerError says why a server did not start. Use it in a `with`, or keep it in a
    variable: running the cell again replaces it.
    """
    if kind not in kinds():
        raise ValueError(f"unknown server {kind!r}; there are: {', '.join(kinds())}")
    cells.stop_previous()
    if kind == "toy" and not process:
        if workers != 1:
            raise ValueError("the toy in the kernel is one process: use process=True for workers")
        given = options if threads is None else {"threads": threads, **options}
        server = Server(kind, app, Thread(app, serve, given), errors=errors)
    else:
        server = _live_child(kind, app, watch, errors, workers=workers, threads=threads, **options)
    cells.remember(server)
    return server


def _live_child(kind: str, app: Any, watch: Any, errors: Errors, **options: Any) -> Server:
    if not isinstance(app, str):
        raise TypeError(f"{kind} runs in another process: name the app, as in apps.hello_wsgi:app")
    served = "coursekit.flow.watched:app" if watch else app
    if kind == "toy":
        child = Child("the toy", _toy_words(served, options), True, "nothing: it is in servers/")
    else:
        module = importlib.import_module(f"servers.production.{kind}")

        def words(**where: Any) -> list[str]:
            command: list[str] = module.command(served, **where, **options)
            return command

        child = Child(kind, words, module.TAKES_FD, module.INSTALL)
    child.workers = options["workers"]
    events = None
    if watch:
        events = child.new_file("events.jsonl") if watch is True else Path(watch).resolve()
        child.env = {"COURSEKIT_APP": app, "COURSEKIT_EVENTS": str(events)}
    return Server(kind, app, child, errors=errors, events_path=events)


def _toy_words(app: str, options: dict[str, Any]) -> Callable[..., list[str]]:
    """Return the function that makes the toy's own command line."""
    settings = {name: value for name, value in options.items() if value is not None}
    if settings.get("workers") == 1:
        del settings["workers"]

    def words(*, port: int, fd: int | None, folder: str) -> list[str]:
        flags = servers.production.flags({"fd": fd, **settings})
        return ["python", "-m", "servers", "wsgi", app, *flags]

    return words
