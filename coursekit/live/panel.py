"""The panel of a live server, and a link to its page, as widgets without network needs.

The browser draws and asks; this side does. Rule 1: the widget holds its server weakly,
because ipywidgets keeps every widget for ever, and a server must end when nobody holds
it. Rule 2: what takes time runs in a thread, and traits are sent at most five times a
second: a page that gets a thousand messages a second drops them.
"""

from __future__ import annotations

import signal
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import httpx
import traitlets

from coursekit.live import commands, shown
from coursekit.live.errors import ServerError

if TYPE_CHECKING:
    from coursekit.live.server import Server

HERE = Path(__file__).parent
EVERY = 0.2  # seconds between two looks at the server
LINES = 200  # of the log, in the page
FAILURES = (ServerError, httpx.HTTPError, OSError, LookupError, TypeError, ValueError)
BODY = 20_000  # characters of a response's body, in the page


class Link(anywidget.AnyWidget):
    """Show a link that works in JupyterLab, behind a prefix and on a Hub; str() is the URL.

    Call it with a path for another page of the same server: `server.link("/form")`.
    """

    _esm = HERE / "panel.js"
    _css = HERE / "panel.css"
    view = traitlets.Unicode("link").tag(sync=True)
    port = traitlets.Int().tag(sync=True)
    path = traitlets.Unicode("/").tag(sync=True)

    def __init__(self, port: int, path: str = "/", view: str = "link") -> None:
        super().__init__(port=port, path=path, view=view)

    def __call__(self, path: str) -> Link:
        return Link(self.port, path)

    def __str__(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    def __repr__(self) -> str:  # no port: notebooks are compared by this text
        return f"<link to {self.path}>"


class Panel(anywidget.AnyWidget):
    """Show a server: start, stop, restart, kill, a request box, its log, workers and page."""

    _esm = HERE / "panel.js"
    _css = HERE / "panel.css"
    view = traitlets.Unicode("panel").tag(sync=True)
    name = traitlets.Unicode().tag(sync=True)
    app = traitlets.Unicode().tag(sync=True)
    in_kernel = traitlets.Bool().tag(sync=True)
    port = traitlets.Int().tag(sync=True)
    state = traitlets.Unicode("running").tag(sync=True)
    notice = traitlets.Unicode().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)
    workers: traitlets.List[Any] = traitlets.List().tag(sync=True)
    signals: traitlets.Dict[str, str] = traitlets.Dict().tag(sync=True)
    log_tail = traitlets.Unicode().tag(sync=True)

    def __init__(self, server: Server) -> None:
        super().__init__(name=server.kind, app=server.app_name, in_kernel=server.in_kernel)
        self._server = weakref.ref(server)
        self._one = threading.Lock()  # one action at a time
        self._looking = threading.Lock()
        self._watcher: threading.Thread | None = None
        self._look(server)
        self.on_msg(self._asked)

    # -- from the browser

    def _asked(self, _: object, message: dict[str, Any], __: object) -> None:
        """Take a message of the page. This runs in the kernel's loop: hand it on."""
        if message.get("do") == "watch":
            self.watch()
        elif message.get("do") in ("start", "stop", "restart", "kill", "signal", "send"):
            threading.Thread(target=self._act, args=(message,), daemon=True).start()

    def _act(self, message: dict[str, Any]) -> None:
        server = self._server()
        if server is None:
            self.state = "gone"
            return
        with self._one:
            try:
                self.notice = ""
                self._do(server, message)
            except FAILURES as error:
                self.notice = str(error) or type(error).__name__
            self._look(server)
        self.watch()

    def _do(self, server: Server, message: dict[str, Any]) -> None:
        what = message["do"]
        if what == "send":
            self._request(server, message)
        elif what == "kill":
            self.notice = f"Killed process {server.kill()}."
        elif what == "signal":
            name = f"SIG{message['name']}"
            self.notice = f"Sent {name} to process {server.kill('master', signal.Signals[name])}."
        else:
            self.state = {"start": "starting", "stop": "stopping", "restart": "restarting"}[what]
            actions: dict[str, Callable[[], None]] = {
                "start": server.start,
                "stop": server.stop,
                "restart": server.restart,
            }
            actions[what]()

    def _request(self, server: Server, message: dict[str, Any]) -> None:
        path = "/" + str(message["path"]).lstrip("/")
        response = server.ask(str(message["method"]), path, content=str(message["body"]).encode())
        reason = response.reason_phrase
        self.answer = {
            "number": self.answer.get("number", 0) + 1,  # the same answer again is news too
            "status": f"{response.http_version} {response.status_code} {reason}".strip(),
            "headers": shown.headers(response.headers.raw),
            "body": response.text[:BODY],
        }
        self.notice = "\n".join(server.new_failures())

    # -- to the browser

    def watch(self) -> None:
        """Look at the server in a thread until it stops."""
        if self._watcher is None or not self._watcher.is_alive():
            self._watcher = threading.Thread(target=self._watch, daemon=True, name="panel")
            self._watcher.start()

    def _watch(self) -> None:
        pause = threading.Event()
        while (server := self._server()) is not None:
            if not self._one.locked():
                self._look(server)
            if not server.running or self.comm is None:
                return
            del server  # or this thread would keep it alive
            pause.wait(EVERY)
        self.state, self.workers = "gone", []

    def _look(self, server: Server) -> None:
        with self._looking:
            self.state = "running" if server.running else "stopped"
            self.port = server.address[1]
            self.log_tail = server.log.tail(LINES)
            self.workers = [
                {
                    "pid": row.pid,
                    "role": row.role,
                    "cpu": round(row.cpu),
                    "memory": round(row.memory),
                    "depth": row.depth,
                }
                for row in server.workers
            ]
            has_master = any(row["role"] == "master" for row in self.workers)
            self.signals = commands.signals(server.kind) if has_master else {}
