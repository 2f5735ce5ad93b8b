"""What is typed to start a server: a file of servers/production, or the toy's own command line.

Rule 1  The files that a server reads are written anew at every start, into a folder of its own.
Rule 2  A front is told its upstream's address at every start: it may be another one by then.
"""

from __future__ import annotations

import importlib
import pkgutil
import signal
from pathlib import Path
from typing import Any

import servers.production
from coursekit.doctor import TOOLS
from coursekit.live.child import Child
from coursekit.live.errors import ServerError

TOYS = {"toy": "wsgi", "proxy": "proxy"}  # kind -> the word after `python -m servers`

FRONTS = ("proxy", "nginx")  # these call no app


def kinds() -> list[str]:
    """Return the kinds of server that `live` can start."""
    found = [module.name for module in pkgutil.iter_modules(servers.production.__path__)]
    return [*TOYS, *sorted(found)]


def missing(*tools: str) -> str:
    """Say in one sentence what this machine lacks of `tools`, and what brings it; "" if nothing.

    The names are those of `python -m coursekit doctor`: "nginx", "apache", "mod_wsgi", "uwsgi".
    """
    lacking = next((TOOLS[name] for name in tools if not TOOLS[name].path()), None)
    if lacking is None:
        return ""
    return f"{lacking.name} is not on this machine. What brings it: {lacking.remedy()}"


def hello(kind: str, options: dict[str, Any]) -> str:
    """Return the app that a server of this kind gets if it is given none."""
    module = None if kind in TOYS else importlib.import_module(f"servers.production.{kind}")
    spoken = options.get("interface", getattr(module, "INTERFACE", "wsgi"))
    asgi = spoken != "wsgi" or options.get("worker_class") == "asgi"
    return f"apps.hello_{'asgi' if asgi else 'wsgi'}:app"


def signals(kind: str) -> dict[str, str]:
    """Return what signals to the master of this kind of server ask for, by name without SIG."""
    if kind == "toy":
        from servers.arbiter import ACTIONS, Arbiter

        asked = {signal.Signals(n).name[3:]: act for n, act in ACTIONS.items()}
        return {
            name: str(act.__doc__).splitlines()[0].rstrip(".").lower()
            for name, act in asked.items()
            if act is not Arbiter.nothing
        }
    if kind in TOYS:
        return {}
    module = importlib.import_module(f"servers.production.{kind}")
    return dict(getattr(module, "SIGNALS", {}))


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
    needs = ["apache", "mod_wsgi"] if kind == "apache" and app else [kind]
    if problem := missing(*TOOLS.keys() & needs):
        raise ServerError(problem)
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
    word = settings.pop("interface", TOYS[kind])

    def words(
        *, port: int, fd: int | None, folder: str, upstream: tuple[str, int] | None = None
    ) -> list[str]:
        what = app or "http://{}:{}".format(*upstream or ())
        where = {"port": port} if fd is None else {"fd": fd}
        return [
            "python",
            "-m",
            "servers",
            word,
            what,
            *servers.production.flags({**where, **settings}),
        ]

    name = "the toy" if kind == "toy" else "the toy proxy"
    return Child(name, words, True, "nothing: it is in servers/")
