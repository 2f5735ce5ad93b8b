"""An event loop to look inside: many tasks that wait, one thread that runs whoever can go on.

Rule 1  A task that waits yields a Future, and nothing else. `await` and `yield from` do it.
Rule 2  In one turn each task that can go on runs once: nobody keeps the clock from its turn.
Rule 3  Nobody is interrupted: a task that does not wait holds up all the others.
Left out: cancelling, time-outs, two tasks that wait for one socket (asyncio has them).
"""

import heapq
import itertools
import socket
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import Any

Callback = Callable[[], None]
Work = Coroutine[Any, Any, Any] | Generator[Any, Any, Any]


class Future:
    """Be a result that is not there yet; whoever waits for it goes on when it is."""

    def __init__(self, what: str) -> None:
        self.what, self.done = what, False  # what it is: for those who look at the loop
        self.value: Any = None
        self.error: BaseException | None = None
        self.then: list[Callback] = []  # to be called when it is done

    def set(self, value: Any = None, error: BaseException | None = None) -> None:
        """Give the result, or the error; once is enough."""
        self.done, self.value, self.error = True, value, error
        for callback in self.then:
            callback()

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value

    def __await__(self) -> Generator["Future", None, Any]:
        if not self.done:
            yield self
        return self.result()

    __iter__ = __await__  # for `yield from`, which is all that a generator has


class Task(Future):
    """Run a coroutine or a generator from one wait to the next; be its result."""

    def __init__(self, loop: "Loop", work: Work, name: str) -> None:
        super().__init__(name)
        self.loop, self.work = loop, work
        self.waits_for: Future | None = None  # None: it can go on

    def step(self) -> None:
        """Go on up to the next wait, or to the end."""
        try:
            self.waits_for = None
            self.waits_for = self.work.send(None)
            self.waits_for.then.append(lambda: self.loop.ready.append(self.step))
        except StopIteration as end:
            self.set(end.value)
        except Exception as error:
            self.set(error=error)


class Loop:
    """Watch sockets and the clock, and run the tasks that can go on."""

    def __init__(self) -> None:
        self.ready: deque[Callback] = deque()  # to be called in the next turn
        self.timers: list[tuple[float, int, Future]] = []  # a heap: the next one is the first
        self.selector = DefaultSelector()
        self.tasks: list[Task] = []
        self.numbers = itertools.count(1)  # of tasks and timers; of two equal times it is the order
        self.bell, self.button = socket.socketpair()  # another thread pushes the button
        self.selector.register(self.bell, EVENT_READ, lambda: self.bell.recv(4096))

    def spawn(self, work: Work) -> Task:
        """Start a task; it runs in the next turn."""
        task = Task(self, work, f"{getattr(work, '__name__', 'task')} {next(self.numbers)}")
        self.tasks.append(task)
        self.ready.append(task.step)
        return task

    def call_from_thread(self, callback: Callback) -> None:
        """Call it in the next turn, and wake the loop up for it; any thread may ask for that."""
        self.ready.append(callback)
        with suppress(BlockingIOError):  # so many rings are on their way that it will wake up
            self.button.send(b"!", socket.MSG_DONTWAIT)

    def sleep(self, seconds: float) -> Future:
        """Return what is done when this time has passed."""
        timer = time.monotonic() + seconds, next(self.numbers), Future(f"{seconds:g} seconds")
        heapq.heappush(self.timers, timer)
        return timer[2]

    def wait_for(self, sock: socket.socket, event: int) -> Future:
        """Return what is done when a socket is ready for EVENT_READ or EVENT_WRITE."""
        future = Future(f"socket {sock.fileno()} to {'read' if event == EVENT_READ else 'write'}")
        future.then.append(lambda: self.selector.unregister(sock) and None)
        self.selector.register(sock, event, future.set)
        return future

    async def sock_recv(self, sock: socket.socket, size: int) -> bytes:
        """Receive without holding up the others."""
        await self.wait_for(sock, EVENT_READ)
        return sock.recv(size)

    async def sock_accept(self, sock: socket.socket) -> tuple[socket.socket, Any]:
        """Accept without holding up the others."""
        await self.wait_for(sock, EVENT_READ)
        return sock.accept()

    async def sock_sendall(self, sock: socket.socket, data: bytes) -> None:
        """Send all bytes, however slowly the peer takes them."""
        while data:
            await self.wait_for(sock, EVENT_WRITE)
            data = data[sock.send(data, socket.MSG_DONTWAIT) :]

    def turn(self) -> None:
        """Wait until something can go on, then let each of those go on once."""
        pause = max(0.0, self.timers[0][0] - time.monotonic()) if self.timers else None
        for key, _ in self.selector.select(0 if self.ready else pause):
            key.data()
        while self.timers and self.timers[0][0] <= time.monotonic():
            heapq.heappop(self.timers)[2].set()
        for _ in range(len(self.ready)):
            self.ready.popleft()()
        self.tasks = [task for task in self.tasks if not task.done]

    def run(self, work: Work) -> Any:
        """Run until `work` is done; return its result, or raise what it raised."""
        task = self.spawn(work)
        while not task.done:
            self.turn()
        return task.result()

    def __str__(self) -> str:
        lines = [f"{len(self.ready)} can go on, {len(self.timers)} timers:"]
        for task in self.tasks:
            wait = f"waits for {task.waits_for.what}" if task.waits_for else "can go on"
            lines.append(f"  {task.what:16} {wait}")
        return "\n".join(lines)

    def close(self) -> None:
        for each in (self.selector, self.bell, self.button):
            each.close()
