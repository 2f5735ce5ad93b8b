"""Who held the loop, and for how long: each turn of an asyncio loop, timed.

    with flow.watch_loop(server) as held:    the toy in the kernel, with an ASGI app
    with flow.watch_loop() as held:          the loop that runs here, or asyncio.run() inside
        ...
    print(held)      who held it for long, in order; no seconds, so that it can be compared
    held.show()      a timeline, with seconds
    list(held)       pairs of name and seconds, every turn

What asyncio itself offers is its debug mode: it logs turns longer than slow_callback_duration, as
text. So this stands around Handle._run, the one place where asyncio calls what is ready. uvloop
has another: there nothing is seen. A turn's seconds pass on the wall: a machine with too much to
do makes them longer.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

from coursekit.flow.watch_asgi import Receive, Send, looks_like_asgi
from coursekit.practice import widgets

LONG = 0.2  # seconds: what holds a loop so long keeps people waiting
MOST = 12  # names that a picture has room for
KEPT = 100_000  # turns


@dataclass(frozen=True)
class Turn:
    """Hold one turn: who ran, when it began (in seconds since the watch did), and how long."""

    who: str
    began: float
    seconds: float
    loop: asyncio.AbstractEventLoop


class Held:
    """Watch one loop, and hold its turns; use it in a `with`."""

    def __init__(self, server: Any, longer: float) -> None:
        self.server, self.longer = server, longer
        self.turns: list[Turn] = []
        self._loops: set[asyncio.AbstractEventLoop] = set()  # empty: any
        self._names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()  # of the app's tasks
        self._now: dict[int, str] = {}  # of the turn that runs, by thread
        self._watching = False

    def __enter__(self) -> Held:
        if self.server is None:
            with suppress(RuntimeError):  # none runs here
                self._loops.add(asyncio.get_running_loop())
        else:
            self._app = self.server.app
            if not looks_like_asgi(self._app):
                raise TypeError("only the loop of an ASGI app in this process can be watched: "
                                'live("toy", app, interface="asgi")')
            self.server.app = self._named
        self._began, self._watching = time.perf_counter(), True
        self._run = asyncio.Handle._run
        run, ran = self._run, self._ran

        def timed(handle: asyncio.Handle) -> None:
            began = time.perf_counter()
            try:
                run(handle)
            finally:
                ran(handle, began)

        asyncio.Handle._run = timed  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        asyncio.Handle._run = self._run  # type: ignore[method-assign]
        self._watching = False
        if self.server is not None:
            self.server.app = self._app
        if self._loops or self.server is not None:
            self.turns = [turn for turn in self.turns if turn.loop in self._loops]

    async def _named(self, scope: dict[str, Any], receive: Receive, send: Send) -> Any:
        """Call the app; from now on the turns of this task are those of its request."""
        name = f"{scope.get('method', scope.get('type'))} {scope.get('path', '')}".strip()
        if task := asyncio.current_task():
            self._names[task] = name
        self._now[threading.get_ident()] = name  # the toy calls the app in the turn of the bytes
        self._loops.add(asyncio.get_running_loop())
        return await self._app(scope, receive, send)

    def _ran(self, handle: asyncio.Handle, began: float) -> None:
        seconds = time.perf_counter() - began
        named = self._now.pop(threading.get_ident(), "")
        if self._watching and len(self.turns) < KEPT:
            self.turns.append(Turn(named or self._who(handle), began - self._began, seconds,
                                   handle._loop))  # type: ignore[attr-defined]

    def _who(self, handle: asyncio.Handle) -> str:
        call: Any = handle._callback  # type: ignore[attr-defined]
        if call is None:
            return "(cancelled)"
        task = getattr(call, "__self__", None)
        if not isinstance(task, asyncio.Task):
            return str(getattr(call, "__qualname__", type(call).__name__))
        name = task.get_name()
        if re.fullmatch(r"Task-\d+", name):  # asyncio's own: another number at each run
            name = str(getattr(task.get_coro(), "__qualname__", "a task"))
        return self._names.get(task, name)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return ((turn.who, turn.seconds) for turn in self.turns)

    @property
    def long(self) -> list[Turn]:
        """Return the turns that were longer than `longer`, in order."""
        return [turn for turn in self.turns if turn.seconds > self.longer]

    def __str__(self) -> str:
        if not self.long:
            return f"nobody held the loop for {self.longer:g} s"
        names = [f"{number:3}  {turn.who}" for number, turn in enumerate(self.long, 1)]
        return "\n".join([f"held the loop for more than {self.longer:g} s, in this order:", *names])

    __repr__ = __str__

    def show(self) -> None:
        """Show a timeline: a row for each name, a bar for each of its turns."""
        widgets.show(str(self), self._picture)

    def _picture(self) -> Any:
        from coursekit.load import shown

        totals: dict[str, list[float]] = {}
        for turn in self.turns:
            totals.setdefault(turn.who, []).append(turn.seconds)
        most = sorted(totals, key=lambda name: sum(totals[name]))[-MOST:]
        names = [name for name in totals if name in most]  # in the order of their first turns

        def draw(axes: Any) -> None:
            for row, name in enumerate(names):
                bars = [(turn.began, turn.seconds) for turn in self.turns if turn.who == name]
                # A line in the bar's colour: a turn too short for a bar stays visible.
                axes.broken_barh(bars, (row - 0.3, 0.6), facecolor="#0072b2", edgecolor="#0072b2")
            axes.set_yticks(range(len(names)), names)
            axes.set_xlabel("seconds")
            axes.invert_yaxis()

        rows = [["who", "turns", "longest", "in all"]] + [
            [name, str(len(totals[name])), *(f"{1000 * seconds:.1f} ms" for seconds in
                                             (max(totals[name]), sum(totals[name])))]
            for name in names]
        alt = f"Timeline of the loop; {self}. The numbers are in the table below"
        return shown.picture(draw, alt, "Who held the loop", rows)


def watch_loop(server: Any = None, *, longer: float = LONG) -> Held:
    """Time what one asyncio loop runs: `with watch_loop(server) as held: ...; print(held)`.

    server  the toy in the kernel with an ASGI app; its turns are named by request. Without one
            it is the loop that runs here, or whichever runs inside the `with`
    longer  seconds from which on a turn is named in the text
    """
    return Held(server, longer)
