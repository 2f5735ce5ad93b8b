"""Many connections, a few threads: who watches the sockets, and who calls the app.

Rule 1  A thread is spent on a request, never on a connection: idle ones hold none.
Rule 2  Only the leader touches the listener; it does all that needs no app.
Rule 3  There is always a leader that watches, however long an app takes.
"""

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from servers.connection import Connection
from servers.service import Disconnected, Service

INFINITY = float("inf")
QUICK = 0.002  # seconds: an app that takes longer is slow
WARY = 100  # the most answers after slow ones that are not trusted to be quick
STUCK = 3.0  # seconds without a look at the sockets by a leader who is not in the app
OVERSEE = 0.01  # seconds between two looks of the overseer while an app is called
DOZE = 0.2  # seconds at most between two while none is: it has a heart that beats


class Pool:
    """Serve many connections with a few threads.

    Leader and followers: the thread that holds `lead` watches all sockets, accepts and reads.
    An app that is quick it calls itself. If the app takes long, the lead passes to another
    thread: at once if recent answers were slow, else when the overseer notices. So there is no
    queue and no wake-up for a quick app, and a slow one holds up nobody. The ends of answers that
    are made one right after the other are held, and leave one right after the other.
    """

    def __init__(
        self, listener: socket.socket, service: Service, stop: socket.socket | None
    ) -> None:
        self.listener, self.service = listener, service
        service.spooled = self.spooled
        self.lead = threading.Lock()
        self.term = 0  # counts the times that the lead was passed on
        self.since = INFINITY  # when the leader called the app; it is in the selector otherwise
        self.wary = 0  # so many answers from now on are not expected to be quick
        self.fault: BaseException | None = None  # a bug that ended a thread
        self.asleep = False  # the overseer: no app is being called
        self.alarm = threading.Event()  # what wakes it
        self.guard = threading.Lock()  # over the above, and a connection's busy and watched
        self.selector = selectors.DefaultSelector()
        self.connections: set[Connection] = set()
        self.waiting: deque[Connection] = deque()  # requests that no thread has taken yet
        self.answered: list[Connection] = []  # their answers are held, to leave together
        self.gathered = 0.0  # since when
        self.deadline = INFINITY  # of the graceful stop
        self.quiet_until = INFINITY  # then idle connections are closed too
        self.swept = time.monotonic()
        listener.setblocking(False)
        self.watch_listener(True)
        if stop is not None:
            self.selector.register(stop, selectors.EVENT_READ, partial(self.begin_stop, stop))

    def work(self) -> None:
        """Be one of the threads: lead, serve, lead again, until the stop is complete."""
        try:
            while not (self.ended() and not self.waiting):
                self.lead.acquire()
                self.lead_on(self.term)
        except BaseException as error:
            self.fault = error
        self.alarm.set()

    def lead_on(self, term: int) -> None:
        """Lead until the lead is passed on, or nothing is left to do."""
        while term == self.term:
            if self.waiting:
                self.serve(self.waiting.popleft(), term)
            elif self.ended():
                return self.lead.release()
            else:
                self.watch()

    def serve(self, connection: Connection, term: int) -> None:
        """Let the app answer; others lead meanwhile if it is likely to take long, or does."""
        began = self.since = time.monotonic()
        if self.asleep:
            self.alarm.set()
        if self.wary:
            self.pass_lead(term)
        connection.respond()
        now = time.monotonic()
        with self.guard:
            if term == self.term:
                self.since = INFINITY
            if now - began > QUICK:
                # One slow answer may be the system's doing, which ran another process meanwhile.
                self.wary = min(WARY, 2 * self.wary + 10)
            elif self.wary:
                self.wary -= 1
            self.answered.append(connection)
        if not self.waiting or now - self.gathered > QUICK or term != self.term:
            self.release()
            self.gathered = now

    def release(self) -> None:
        """Send the answers that are held, one right after the other.

        Their clients are often one process, a proxy: it wakes up once for many, not for each.
        """
        with self.guard:
            answered, self.answered = self.answered, []
        for connection in answered:
            connection.release()
            self.park(connection)

    def pass_lead(self, term: int) -> None:
        """Let another thread lead; once a term, and only while the leader is in the app."""
        with self.guard:
            if term != self.term or self.since == INFINITY:
                return
            self.term += 1
            self.since = INFINITY
            self.lead.release()
        self.release()

    def oversee(self, beat: Callable[[], None] = lambda: None) -> None:
        """Be the caller's thread: see that no app holds up the leader, until all have ended.

        Call `beat` again and again while the sockets are watched, or all threads are in the app.
        """
        while not self.ended() and self.fault is None:
            if self.alive():
                beat()
            time.sleep(OVERSEE)
            if time.monotonic() - self.since > QUICK:
                self.pass_lead(self.term)
            self.doze()
        if self.fault is not None:
            raise self.fault

    def alive(self) -> bool:
        """Tell whether the leader did not get stuck: it looks up once a second."""
        led = self.lead.locked() and self.since == INFINITY
        return not led or time.monotonic() - self.swept < STUCK

    def doze(self) -> None:
        """Wait until the leader calls an app, or a thread has ended."""
        self.alarm.clear()
        self.asleep = True
        idle = self.since == INFINITY  # looked up after `asleep` is set: no call is missed
        self.alarm.wait(idle * DOZE)
        self.asleep = False

    def ended(self) -> bool:
        if not self.service.stopping:
            return False
        return not self.connections or time.monotonic() > self.deadline

    def watch(self) -> None:
        """Wait for any socket, and do all that needs no app."""
        for key, _ in self.selector.select(0.1 if self.service.stopping else 1.0):
            key.data()
        now = self.gathered = time.monotonic()
        if now - self.swept >= 1.0 or self.service.stopping:
            self.swept = now
            self.sweep(now)

    def accept(self) -> None:
        try:
            while not self.service.stopping:
                sock, peer = self.listener.accept()
                connection = Connection(sock, peer[:2], self.service)
                self.connections.add(connection)
                self.park(connection)
        except BlockingIOError:
            pass
        except OSError as error:
            # No file descriptor is left, say. Asking again at once would spin: the backlog
            # keeps the rest until the next sweep.
            self.service.log.error("cannot accept: %s", error)
            self.watch_listener(False)

    def watch_listener(self, on: bool) -> None:
        watched = self.listener in self.selector.get_map()
        if on and not watched:
            self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        elif watched and not on:
            self.selector.unregister(self.listener)

    def park(self, connection: Connection) -> None:
        """Let the selector watch a connection that no thread serves; or part with it."""
        if self.ended():
            connection.close()
        event = selectors.EVENT_WRITE if connection.unsent else selectors.EVENT_READ
        with self.guard:
            connection.busy = False
            self.watch_for(connection, 0 if connection.closed else event)
        if connection.closed:
            self.connections.discard(connection)
            connection.sock.close()

    def watch_for(self, connection: Connection, event: int) -> None:
        if event == connection.watched:
            return
        if connection.watched:
            self.selector.unregister(connection.sock)
        if event:
            self.selector.register(connection.sock, event, partial(self.wake, connection))
        connection.watched = event

    def wake(self, connection: Connection) -> None:
        """Do what can be done at once for a connection whose socket is ready."""
        with self.guard:
            busy, connection.busy = connection.busy, True
        if busy:
            self.help(connection)
        elif connection.ready():
            self.waiting.append(connection)
        else:
            self.park(connection)

    def help(self, connection: Connection) -> None:
        """Send what the peer of a busy connection has left so far; do not read, it pipelines."""
        gone = False
        try:
            connection.flush()
        except Disconnected:  # its thread will find out
            gone = True
        with self.guard:
            if connection.busy:
                unsent = connection.unsent and not gone
                self.watch_for(connection, selectors.EVENT_WRITE if unsent else 0)

    def spooled(self, connection: Connection) -> None:
        """Let the leader send what waits for a slow peer while the app makes the next piece."""
        with self.guard:
            self.watch_for(connection, selectors.EVENT_WRITE)

    def sweep(self, now: float) -> None:
        """Part with whoever is too late; take connections again if that had to stop."""
        for connection in list(self.connections):
            late = now > connection.deadline or (now > self.quiet_until and connection.idle())
            if late and not connection.busy:
                connection.expire()
                self.park(connection)
        if not self.service.stopping:
            self.watch_listener(True)

    def begin_stop(self, stop: socket.socket) -> None:
        """Take no more connections; answer who is there, and let `sweep` close the idle ones."""
        self.accept()
        self.service.stopping = True
        self.deadline = time.monotonic() + self.service.times.stop
        self.quiet_until = time.monotonic() + self.service.times.quiet
        self.selector.unregister(stop)
        self.watch_listener(False)
        self.listener.close()
        for connection in list(self.connections):
            self.wake(connection)
