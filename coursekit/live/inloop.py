"""Uvicorn in the event loop of the notebook itself: live("uvicorn", app, here=True).

    async with live("uvicorn", app, here=True) as server:
        answer = await asyncio.to_thread(server.get, "/")

Rule 1  There is one loop, the kernel's, in one thread: while a cell computes, sleeps or waits
        without `await`, the server is frozen, and so is each of its connections.
Rule 2  Signals are the kernel's: Uvicorn, which would take SIGINT and SIGTERM, gets none.
Rule 3  Nothing waits for the end but who says `await server.stop()`, or leaves the `async with`.

Left out: what two of these at a time write stands in both logs, for Uvicorn has one logger.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import httpx
import uvicorn

from coursekit.live import wire
from coursekit.live.errors import ServerError
from coursekit.live.server import Server
from coursekit.live.thread import GRACE, Notes, load

LOGGERS = ("uvicorn.error", "uvicorn.access")
BUSY = (
    "this cell holds the event loop that the server needs to answer, so it would wait for ever: "
    'await asyncio.to_thread(server.get, "/") asks from a thread and leaves the loop free'
)


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the kernel its signal handlers."""
        yield


class InLoop:
    """Run Uvicorn as a task of the running loop."""

    name = "uvicorn"

    def __init__(self, app: Any, options: dict[str, Any]) -> None:
        self.app = load(app) if isinstance(app, str) else app
        self.options = {"log_level": "info", "timeout_graceful_shutdown": int(GRACE), **options}
        self.address = ("127.0.0.1", 0)
        self._owner = os.getpid()
        self._notes = Notes()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = threading.Event()
        self._server: _Uvicorn | None = None
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Bind a port and make the task; connections wait in the backlog until the loop is free."""
        self._loop = self._loop or _running_loop()
        if self._loop is None:
            raise ServerError(
                "here=True needs a loop that runs: a notebook's cell has one, elsewhere async def"
            )
        listener = socket.create_server(self.address, backlog=2048)
        self.address = listener.getsockname()[:2]
        config = uvicorn.Config(self.app, log_config=None, **self.options)
        self._server = _Uvicorn(config)
        self._ended.clear()
        if self.inside:
            self._begin(self._server, listener)
        else:  # a button of the panel, in a thread
            self._loop.call_soon_threadsafe(self._begin, self._server, listener)

    def _begin(self, server: _Uvicorn, listener: socket.socket) -> None:
        self.task = asyncio.ensure_future(self._serve(server, listener))
        self.task.add_done_callback(lambda task: self._ended.set())

    async def _serve(self, server: _Uvicorn, listener: socket.socket) -> None:
        loggers = [logging.getLogger(name) for name in LOGGERS]
        for logger in loggers:
            logger.addHandler(self._notes)
            logger.propagate = False
        try:
            with listener:
                await server.serve(sockets=[listener])
        except (Exception, SystemExit) as error:
            # SystemExit, Uvicorn's way to say that it did not start, would end the kernel.
            self._notes.errors.append(ServerError(f"uvicorn ended: {error!r}\n{self.read_log()}"))
        finally:
            for logger in loggers:
                logger.removeHandler(self._notes)

    @property
    def inside(self) -> bool:
        """True in the thread whose loop this is."""
        return self._loop is not None and _running_loop() is self._loop

    @property
    def running(self) -> bool:
        """True until the task has ended."""
        return self._server is not None and not self._ended.is_set()

    @property
    def up(self) -> bool:
        """True when the app's startup is over and it answers."""
        return self.running and self._server is not None and self._server.started

    def read_log(self) -> str:
        """Return the log records as text."""
        return "\n".join(self._notes.lines)

    def failures(self) -> list[BaseException]:
        """Return, once, the exceptions raised inside the server or its app."""
        errors, self._notes.errors = self._notes.errors, []
        return errors

    def stop(self) -> None:
        """Ask for the end; from another thread, wait for it."""
        if self._owner != os.getpid() or self._server is None:
            return
        self._server.should_exit = True
        if not self.inside and self._loop is not None and self._loop.is_running():
            self._ended.wait(2 * GRACE)


class Here(Server):
    """Hold an Uvicorn that runs in this very loop."""

    _runner: InLoop

    async def ready(self) -> Here:
        """Wait until it answers; ServerError if it ended instead."""
        while not self._runner.up:
            if not self.running:
                self._show_failures()
                raise ServerError(f"uvicorn did not start:\n{self.log}")
            await asyncio.sleep(0.01)
        return self

    def ask(self, method: str, path: str = "/", **options: Any) -> httpx.Response:
        """Send a request from another thread; from the loop's own, say why that cannot be."""
        self._refuse_if_busy()
        return super().ask(method, path, **options)

    def send_raw(self, *pieces: bytes, **options: Any) -> wire.Exchange:
        """Send bytes from another thread; from the loop's own, say why that cannot be."""
        self._refuse_if_busy()
        return super().send_raw(*pieces, **options)

    def _refuse_if_busy(self) -> None:
        if self._runner.inside:
            raise ServerError(BUSY)

    def stop(self) -> Awaitable[None]:
        """End it in good order as soon as the loop is free: `await server.stop()` waits for it."""
        super().stop()
        return _End(self._runner.task if self._runner.inside else None)

    def restart(self) -> None:
        """Refuse in the loop's own thread, where nothing can wait for the end."""
        if self._runner.inside:
            raise ServerError("await server.stop() first, then server.start()")
        super().restart()

    def __enter__(self) -> Here:
        raise TypeError("it starts and ends in this loop: write `async with`, not `with`")

    async def __aenter__(self) -> Here:
        self._in_with = True
        try:
            return await self.ready()
        except BaseException:
            await self.stop()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
        self._show_failures(error)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _End:
    """Wait for the end of a task when awaited, and complain of nothing if nobody does."""

    def __init__(self, task: asyncio.Task[None] | None) -> None:
        self.task = task

    def __await__(self) -> Generator[Any, None, None]:
        if self.task is not None:
            yield from self._wait(self.task).__await__()

    @staticmethod
    async def _wait(task: asyncio.Task[None]) -> None:
        if not (await asyncio.wait({task}, timeout=2 * GRACE))[0]:
            task.cancel()  # an app's startup that never ends does not see that the end is asked for
            await asyncio.wait({task})
