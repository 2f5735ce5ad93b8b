"""Serve an ASGI app on one loop: start it, accept, watch the time, stop without losing requests.

Left out: threads that an app left running at the end; Python itself waits for them.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

from servers.arbiter import Arbiter
from servers.asgi import ASGIApp
from servers.firststep import Starter
from servers.http11 import LIMITS, Limits
from servers.lifeline import Beat
from servers.lifespan import Lifespan, StartupFailed
from servers.protocol import HTTPProtocol
from servers.service import LOG, TIMES, Times
from servers.workers import PATIENT

__all__ = ["Server", "StartupFailed", "serve", "serve_workers"]

TICK = 0.25  # seconds between two looks at the clock, for all connections together
QUICK = 0.002  # seconds that an answer may wait for others
LAST = 1.0  # seconds in which a cancelled request may clean up


def serve(
    listener: socket.socket,
    app: ASGIApp,
    *,
    stop: socket.socket,
    limits: Limits = LIMITS,
    times: Times = TIMES,
    log: logging.Logger = LOG,
    root_path: str = "",
    most: int = 0,
    beat: Beat = lambda: None,
) -> None:
    """Serve an ASGI app until `stop` is readable; raise StartupFailed if it does not want to start.

    `most` is how many requests may be answered at a time, the others get 503 (0: any number);
    `beat` is called while all is well.
    """
    asyncio.run(Server(app, limits, times, log, root_path, most).run(listener, stop, beat))


def serve_workers(
    listener: socket.socket,
    load: Callable[[], ASGIApp],
    *,
    workers: int = 2,
    timeout: float = 30.0,
    times: Times = PATIENT,
    log: logging.Logger = LOG,
    **settings: Any,
) -> int:
    """Serve with a loop in each of several processes that share `listener`; return the status.

    Each calls `load` for the app. Signals end it all: see Arbiter.
    """

    def work(lifeline: socket.socket, beat: Beat) -> None:
        try:
            serve(listener, load(), stop=lifeline, times=times, log=log, beat=beat, **settings)
        except StartupFailed as error:
            log.critical("%s", error)
            raise SystemExit(3) from None

    with listener:  # a worker has its time for requests, then for the app's shutdown
        return Arbiter(work, workers=workers, timeout=timeout, grace=2 * times.stop + LAST,
                       log=log, at_stop=listener.close).run()  # fmt: skip


class Server:
    """Hold what all connections of one server share."""

    def __init__(
        self, app: ASGIApp, limits: Limits = LIMITS, times: Times = TIMES,
        log: logging.Logger = LOG, root_path: str = "", most: int = 0,
    ) -> None:  # fmt: skip
        self.app, self.limits, self.times, self.log = app, limits, times, log
        self.root_path, self.most = root_path, most
        self.loop: asyncio.AbstractEventLoop
        self.starter: Starter
        self.state: dict[str, Any] = {}
        self.connections: set[HTTPProtocol] = set()
        self.tasks: set[asyncio.Task[None]] = set()  # of the apps that wait for something
        self.held: list[HTTPProtocol] = []  # answered in this turn of the loop
        self.turn = 0.0  # since when
        self.stopping = False  # each answer from now on says Connection: close
        self.ending = False  # the deadline has passed: tasks are cancelled

    async def run(self, listener: socket.socket, stop: socket.socket, beat: Beat) -> None:
        """Start the app, serve, stop, and end the app."""
        self.use(asyncio.get_running_loop())
        lifespan = Lifespan(self.app, self.log)
        await lifespan.startup()
        self.state = lifespan.state
        server = await self.loop.create_server(lambda: HTTPProtocol(self), sock=listener)
        listener.listen(1024)
        stopped = asyncio.Event()
        self.loop.add_reader(stop, stopped.set)
        while not stopped.is_set():
            beat()
            await wait_a_moment(stopped, TICK)
            self.sweep()
        self.loop.remove_reader(stop)
        self.loop.remove_reader(listener)
        await asyncio.sleep(0)  # who was accepted in this very moment becomes a connection
        server.close()
        await self.drain(beat)
        await lifespan.shutdown(self.times.stop)

    def use(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.starter = loop, Starter(loop)

    def holds(self, connection: HTTPProtocol) -> bool:
        """Tell whether an answer may wait for the others of this turn of the loop.

        Their clients are often one process, a proxy: it wakes up once for many, not for each.
        """
        now = time.monotonic()
        if not self.held:
            self.turn = now
            self.loop.call_soon(self.release)
        elif now - self.turn > QUICK:
            self.release()
            return False
        self.held.append(connection)
        return True

    def release(self) -> None:
        """Send the answers that are held, one right after the other."""
        held, self.held = self.held, []
        for connection in held:
            connection.write(b"")

    def sweep(self) -> None:
        """Part with whoever is too late."""
        now = time.monotonic()
        for connection in list(self.connections):
            if now > connection.deadline:
                connection.expire()

    async def drain(self, beat: Beat) -> None:
        """Answer the requests that are here, end what takes too long, and close everything."""
        self.stopping = True
        began = time.monotonic()
        while (seconds := time.monotonic() - began) <= self.times.stop:
            beat()
            await asyncio.sleep(TICK / 10)  # first, for what has arrived already
            if not (self.connections or self.tasks):
                return
            if seconds >= self.times.quiet:
                for connection in list(self.connections):
                    if connection.idle():
                        connection.close()
                    elif connection.cycle is not None:
                        connection.cycle.retire()
            self.sweep()
        await self.end_all()

    async def end_all(self) -> None:
        """Cancel the requests that are still being answered, and drop all connections."""
        self.ending = True
        if self.tasks:
            self.log.error("%d requests took too long to stop for: ended", len(self.tasks))
            for task in self.tasks:
                task.cancel()
            await asyncio.wait(self.tasks, timeout=LAST)
        for connection in list(self.connections):
            connection.abort()
        await asyncio.sleep(0)  # they are told that they are lost


async def wait_a_moment(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but not longer than that."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        pass
