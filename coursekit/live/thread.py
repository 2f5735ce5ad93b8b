"""The toy in a thread of this process: it serves this notebook's own functions."""

from __future__ import annotations

import functools
import importlib
import itertools
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

GRACE = 5.0  # seconds that requests in flight may take when the server is stopped

Serve = Callable[..., None]
SERVE = {"wsgi": ("servers.workers", "serve_threads"), "asgi": ("servers.serving", "serve")}
_numbers = itertools.count(1)


class Thread:
    """Run `serve(listener, call_app, stop=socket, log=logger, **options)` in a daemon thread."""

    name = "the toy"

    def __init__(
        self, app: Any, serve: Serve | None, options: dict[str, Any], interface: str = "wsgi"
    ):
        if interface not in SERVE:
            raise ValueError(f"the toy speaks {' and '.join(SERVE)}, not {interface!r}")
        self.interface = interface
        self.app = load(app) if isinstance(app, str) else app
        self.serve, self.options = serve, options
        self.address = ("127.0.0.1", 0)
        self._owner = os.getpid()
        self._notes = Notes()
        self._thread: threading.Thread | None = None
        self._stop: socket.socket | None = None

    def start(self) -> None:
        """Bind a port and start the thread; an ASGI app has started up when this returns."""
        module, name = SERVE[self.interface]
        serve = self.serve or getattr(importlib.import_module(module), name)
        listener = socket.create_server(self._address_again())
        self.address = listener.getsockname()[:2]
        self._stop, stop = socket.socketpair()
        started = threading.Event()
        if self.interface == "asgi" and self.serve is None:
            serve = functools.partial(serve, beat=started.set)
        else:
            started.set()  # the port is open, more is not needed
        self._thread = threading.Thread(
            target=self._run, args=(serve, listener, stop), name="toy server", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + GRACE
        while self.running and not started.wait(0.01) and time.monotonic() < deadline:
            pass

    def _address_again(self) -> tuple[str, int]:
        """Return the port of last time if it is still free, else any."""
        try:
            socket.create_server(self.address).close()
        except OSError:
            return (self.address[0], 0)
        return self.address

    def _run(self, serve: Serve, listener: socket.socket, stop: socket.socket) -> None:
        log = logging.Logger(f"servers.toy-{next(_numbers)}", logging.DEBUG)
        log.addHandler(self._notes)
        try:
            with listener, stop:
                serve(listener, self.call_app, stop=stop, log=log, **self.options)
        except BaseException as error:
            self._notes.errors.append(error)
            log.error("the server ended: %r", error)

    def call_app(self, *what: Any) -> Any:
        """Call whatever `app` is now, so that it can be changed while the server runs.

        With environ and start_response, or with scope, receive and send.
        """
        return self.app(*what)

    @property
    def running(self) -> bool:
        """True while the thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def read_log(self) -> str:
        """Return the log records as text."""
        return "\n".join(self._notes.lines)

    def failures(self) -> list[BaseException]:
        """Return, once, the exceptions raised inside the server or its app."""
        errors, self._notes.errors = self._notes.errors, []
        return errors

    def stop(self) -> None:
        """Let requests in flight end, then the thread."""
        if self._owner != os.getpid() or self._stop is None:
            return
        self._stop.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(GRACE)


class Notes(logging.Handler):
    """Keep log lines, and the exceptions that came with them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.errors: list[BaseException] = []
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self.lines += self.format(record).splitlines()
        if record.exc_info and record.exc_info[1] is not None:
            self.errors.append(record.exc_info[1])


def load(name: str) -> Any:
    """Return the object that MODULE:ATTR names; ValueError says what is wrong with the name."""
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(f"an app is written MODULE:ATTR, as in apps.hello_wsgi:app; got {name!r}")
    found = importlib.import_module(module)
    if not hasattr(found, attribute):
        raise ValueError(f"module {module} has no {attribute!r}")
    return getattr(found, attribute)
