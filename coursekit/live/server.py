"""One live server, whichever it is: the object that lessons hold."""

from __future__ import annotations

import os
import signal
import traceback
import weakref
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import httpx
import psutil

from coursekit.live import wire
from coursekit.live.child import Child
from coursekit.live.errors import ServerError
from coursekit.live.log import Log
from coursekit.live.processes import Processes, Worker, wait_until_gone
from coursekit.live.thread import Thread

if TYPE_CHECKING:
    from coursekit.live.inloop import InLoop
    from coursekit.live.panel import Link, Panel

Errors = Literal["raise", "log"]
ENDING = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}


class Server:
    """Hold a running server. Made by `live`, which documents the arguments."""

    def __init__(
        self, kind: str, app: Any, runner: Child | Thread | InLoop, *, errors: Errors = "raise",
        events_path: Path | None = None,
    ) -> None:  # fmt: skip
        self.kind, self.errors, self.events_path = kind, errors, events_path
        self._runner = runner
        self.app_name = app if isinstance(app, str) else getattr(app, "__name__", "app")
        if app is None:  # a front
            self.app_name = getattr(self.upstream, "kind", "upstream")
        self.log = Log(runner.read_log)
        self._processes = Processes()
        self._client: httpx.Client | None = None
        self._panel: Panel | None = None
        self._in_with = False
        self.on_kill: list[Any] = []  # called with pid and number before a signal is sent
        # Runs when this object is collected, and when the kernel exits in good order.
        self._end = weakref.finalize(self, runner.stop)
        runner.start()

    # -- where it is

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self._runner.address

    @property
    def url(self) -> str:
        """The address as the root of URLs, without a slash at the end."""
        return "http://{}:{}".format(*self.address)

    @property
    def ws(self) -> str:
        """The URL for WebSocket clients on this machine."""
        return self.url.replace("http", "ws", 1)

    @property
    def running(self) -> bool:
        """True while it runs."""
        return self._runner.running

    @property
    def in_kernel(self) -> bool:
        """True if it runs in this process."""
        return not isinstance(self._runner, Child)

    @property
    def app(self) -> Any:
        """The app of a toy in the kernel; set it to change what the next request calls."""
        if isinstance(self._runner, Thread):
            return self._runner.app
        return self.app_name

    @app.setter
    def app(self, app: Any) -> None:
        """Exchange the app of a toy in the kernel; TypeError for a child process."""
        if not isinstance(self._runner, Thread):
            raise TypeError("the app of a child process cannot be exchanged: start another server")
        self._runner.app = app

    @property
    def upstream(self) -> Any:
        """What a front passes requests to, as it was given to `live`; None if it is no front.

        Set it to whatever has an `.address`: the front starts again, on the same port, and
        passes requests there. So a tap can be put between the two, and taken away.
        """
        return self._runner.upstream if isinstance(self._runner, Child) else None

    @upstream.setter
    def upstream(self, other: Any) -> None:
        """Pass requests to `other` from now on; TypeError if this is no front."""
        if not isinstance(self._runner, Child) or self._runner.upstream is None:
            raise TypeError(f"{self.kind} has no upstream: it calls an app")
        self._runner.upstream = other
        self.restart()

    # -- ask it

    def request(self, method: str, path: str = "/", **options: Any) -> httpx.Response:
        """Send a request over a new connection; `options` are those of httpx.request.

        ServerError if the server failed inside, or is gone.
        """
        try:
            response = self.ask(method, path, **options)
        except httpx.TransportError as error:
            self._show_failures(error)
            raise
        self._show_failures()
        return response

    def ask(self, method: str, path: str = "/", **options: Any) -> httpx.Response:
        """Send a request like `request`, whatever happens inside the server."""
        if self._client is None:
            # Kept-alive connections of ours would hold a worker of a server that has few.
            limits = httpx.Limits(max_keepalive_connections=0)
            self._client = httpx.Client(trust_env=False, verify=False, limits=limits, timeout=10)
        return self._client.request(method, self.url + path, **options)

    def get(self, path: str = "/", **options: Any) -> httpx.Response:
        """Send a GET request."""
        return self.request("GET", path, **options)

    def post(self, path: str = "/", **options: Any) -> httpx.Response:
        """Send a POST request."""
        return self.request("POST", path, **options)

    def send_raw(self, *pieces: bytes, **options: Any) -> wire.Exchange:
        """Send bytes as they are; `options` are those of `wire.send`."""
        try:
            exchange = wire.send(self, *pieces, **options)
        except OSError as error:
            self._show_failures(error)
            raise
        self._show_failures()
        return exchange

    # -- watch it

    @property
    def workers(self) -> list[Worker]:
        """Its processes: pid, role (master, worker, daemon, server, kernel), cpu in %, MiB."""
        if not self.running:
            return []
        if isinstance(self._runner, Child):
            return self._processes.rows(self._runner.pid or 0)
        row = self._processes.row(psutil.Process(), "kernel")
        return [row] if row else []

    # -- end it

    def kill(self, who: int | str = "worker", number: int = signal.SIGKILL) -> int:
        """Send a signal (default SIGKILL) to a pid, "worker", "master" or "all"; return the pid.

        "worker" is the oldest worker, or the whole server if it has no workers. SIGKILL cannot be
        refused, but takes a moment: the process is gone when this returns.
        """
        if not isinstance(self._runner, Child):
            raise TypeError("a thread cannot be killed: start the toy with process=True")
        rows = self.workers
        if not rows:
            raise ServerError(f"{self.kind} does not run")
        found = [row.pid for row in rows if row.role == who] or [rows[0].pid]
        pid = who if isinstance(who, int) else found[0]
        self._runner.ending |= number in ENDING and (who == "all" or pid == rows[0].pid)
        for told in self.on_kill:
            told(pid, number)
        if who == "all":
            self._runner.signal_all(number)
        else:
            os.kill(pid, number)
        if number == signal.SIGKILL:
            wait_until_gone(pid)
        return pid

    def stop(self) -> Any:
        """End it: requests in flight may finish, then by force. Stopping twice is fine."""
        self._runner.stop()
        if self._client is not None:
            self._client.close()
            self._client = None

    def start(self) -> None:
        """Start it again after a stop, on the same port if that is still free."""
        if not self.running:
            self._runner.start()

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    # -- in a notebook

    @property
    def link(self) -> Link:
        """A link to its page that works in JupyterLab, behind a prefix and on a Hub."""
        from coursekit.live.panel import Link

        return Link(self.address[1])

    def _repr_mimebundle_(self, **__: Any) -> dict[str, Any]:
        """Show the panel; in a `with`, where the server is about to go, only the text."""
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        if not self._in_with:
            from coursekit.live.panel import Panel

            self._panel = self._panel or Panel(self)
            data, _ = self._panel._repr_mimebundle_() or ({}, {})
            bundle = {**data, **bundle}
        return bundle

    def discard(self) -> None:
        """Stop it and take its panel away: its cell runs again."""
        self.stop()
        if self._panel is not None:
            self._panel.close()

    def __enter__(self) -> Server:
        self._in_with = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ended = [] if self.in_kernel else self._runner.failures()
        self.stop()
        self._show_failures(error, ended)

    # -- failures show

    def new_failures(self) -> list[str]:
        """Return, once, a sentence for each thing that failed inside the server."""
        return [self._sentence(failure) for failure in self._runner.failures()]

    def _sentence(self, failure: BaseException | str) -> str:
        named = f"{type(failure).__name__}: {failure}, raised in {self.kind}"
        return failure if isinstance(failure, str) else named

    def _show_failures(
        self, seen: BaseException | None = None, known: list[Any] | None = None
    ) -> None:
        """Raise what failed inside; if `seen` is on its way already, add it as a note."""
        failures = (known or []) + self._runner.failures()
        if not failures or self.errors == "log" or isinstance(seen, ServerError):
            return
        errors = [failure for failure in failures if isinstance(failure, BaseException)]
        if seen is None or isinstance(seen, (httpx.TransportError, OSError)):
            raise ServerError(self._sentence(failures[0]), errors) from _cause(errors, seen)
        for failure in failures:
            trace = isinstance(failure, BaseException) and traceback.format_exception(failure)
            seen.add_note("".join(trace) if trace else str(failure))

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        does = "serving" if self.upstream is None else "in front of"
        return f"<{self.kind} {does} {self.app_name}: {state}>"


def _cause(errors: list[BaseException], seen: BaseException | None) -> BaseException | None:
    if len(errors) > 1:
        return BaseExceptionGroup("in the server", errors)
    return errors[0] if errors else seen
