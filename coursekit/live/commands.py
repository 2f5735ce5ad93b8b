"""What is typed to start a server: a file of servers/production, or the toy's own command line.

Rule 1  The files that a server reads are written anew at every start, into a folder of its own.
Rule 2  A front is told its upstream's address at every start: it may be another one by then.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import servers.production
from coursekit.live.child import Child

TOYS = {"toy": "wsgi", "proxy": "proxy"}  # kind -> the word after `python -m servers`


def kinds() -> list[str]:
    """Return the kinds of server that `live` can start."""
    found = [module.name for module in pkgutil.iter_modules(servers.production.__path__)]
    return [*TOYS, *sorted(found)]


def child_for(kind: str, app: str | None, upstream: Any, options: dict[str, Any]) -> Child:
    """Return the process, not started yet, that serves `app` or stands in front of `upstream`.

    `options` are those of the server's command line; None is the same as not given.
    """
    options = {name: value for name, value in options.items() if value is not None}
    child = _toy(kind, app, options) if kind in TOYS else _production(kind, app, options)
    child.workers = options.get("workers", 1)
    child.upstream = upstream
    return child


def _production(kind: str, app: str | None, options: dict[str, Any]) -> Child:
    module = importlib.import_module(f"servers.production.{kind}")

    def words(*, folder: str, **where: Any) -> list[str]:
        if hasattr(module, "files"):
            for name, text in module.files(app, folder=folder, **where, **options).items():
                Path(folder, name).write_text(text)
            return list(module.command(folder=folder))
        return list(module.command(app, folder=folder, **where, **options))

    child = Child(kind, words, module.TAKES_FD, module.INSTALL)
    if app is not None:
        child.ready, child.failed = getattr(module, "READY", ""), getattr(module, "FAILED", "")
    return child


def _toy(kind: str, app: str | None, options: dict[str, Any]) -> Child:
    settings = {name: value for name, value in options.items() if (name, value) != ("workers", 1)}

    def words(
        *, port: int, fd: int | None, folder: str, upstream: tuple[str, int] | None = None
    ) -> list[str]:
        what = app or "http://{}:{}".format(*upstream or ())
        where = {"port": port} if fd is None else {"fd": fd}
        return ["python", "-m", "servers", TOYS[kind], what, *servers.production.flags(
            {**where, **settings})]

    name = "the toy" if kind == "toy" else "the toy proxy"
    return Child(name, words, kind == "toy", "nothing: it is in servers/")
