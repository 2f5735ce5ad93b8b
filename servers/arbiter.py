"""Prefork: a master that starts workers, watches that they live, and replaces them.

Rule 1  The master answers no request and imports no app: it has little to fail at.
Rule 2  A signal's handler does nothing. Its number comes through a pipe, and `run` acts on it.
Rule 3  A lifeline joins the master to each worker. The worker's heartbeat goes up; its end, for
        whatever reason (a reload, a stop, a master that was killed), tells it to finish and go.
Left out: a binary upgrade in place (Gunicorn: USR2), listening on several sockets.
"""

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from servers.lifeline import LEAVING, READY, Beat, heart, unlearn_signals
from servers.service import LOG

Work = Callable[[socket.socket, Beat], None]

PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds before a worker replaces one that died early
EARLY = 2.0  # seconds after its start


class Worker:
    """Be what the master knows of one worker."""

    def __init__(self, pid: int, lifeline: socket.socket, generation: int) -> None:
        self.pid, self.lifeline, self.generation = pid, lifeline, generation
        self.born = self.beaten = time.monotonic()
        self.ready = False  # it has loaded the app, and accepts
        self.kill_at: float | None = None  # when it must be gone; None: it may stay

    def leave(self, grace: float) -> None:
        """Ask it to finish its requests and go, within `grace` seconds."""
        if self.kill_at is None:
            self.kill_at = time.monotonic() + grace
            with suppress(OSError):
                self.lifeline.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """End it at once; what it was answering is lost."""
        os.kill(self.pid, signal.SIGKILL)
        self.kill_at = float("inf")  # once is enough


class Arbiter:
    """Keep a number of workers running, each a fork that runs `work(lifeline, beat)`.

    `work` calls `beat` as soon as it serves, and at least every second, and returns when
    `lifeline` is readable and its requests are answered. A worker that is not heard of for
    `timeout` seconds is killed, and so is one that takes longer than `grace` seconds to leave.

    TERM ends the workers gracefully, INT and QUIT at once; `at_stop` is called when that begins.
    HUP replaces them all, and loses no request; TTIN and TTOU make them one more, one less. USR1
    and USR2 do nothing.
    """

    def __init__(
        self, work: Work, *, workers: int = 2, timeout: float = 30.0, grace: float = 30.0,
        log: logging.Logger = LOG, at_stop: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.work, self.count, self.log, self.at_stop = work, workers, log, at_stop
        self.timeout, self.grace = timeout, grace
        self.workers: list[Worker] = []  # the oldest first
        self.generation = 0
        self.early = 0  # so many in a row died early
        self.not_before = 0.0  # when the next one may start
        self.stopping = False
        self.status = 0
        self.mailbox = -1  # where the signals arrive

    def run(self) -> int:
        """Run until told to end and no worker is left; return the exit status."""
        with receiving(*ACTIONS) as self.mailbox:
            while self.workers or not self.stopping:
                self.spawn_missing()
                self.wait()
                self.reap()
                self.end_late()
                self.release_old()
        return self.status

    # --- who is there, and who should be ---

    def current(self) -> list[Worker]:
        """Return the workers that are to stay."""
        found = [worker for worker in self.workers if worker.kill_at is None]
        return [worker for worker in found if worker.generation == self.generation]

    def spawn_missing(self) -> None:
        """Start what is missing: one alone while none has shown that the app can be loaded."""
        current = self.current()
        missing = 0 if self.stopping else self.count - len(current)
        if not any(worker.ready for worker in current):
            missing = min(missing, 0 if current else 1)
        if time.monotonic() >= self.not_before:
            for _ in range(missing):
                self.spawn()

    def spawn(self) -> None:
        """Fork a worker; it never returns from here."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        # A signal to the fork must not arrive in the master's mailbox, which it still shares.
        signal.pthread_sigmask(signal.SIG_BLOCK, ACTIONS)
        pid = os.fork()
        if pid == 0:
            ours.close()
            self.be_worker(theirs)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ACTIONS)
        theirs.close()
        self.workers.append(Worker(pid, ours, self.generation))
        self.log.info("worker %d started", pid)

    def be_worker(self, lifeline: socket.socket) -> None:
        """Work in the fork, then end the process, whatever happens."""
        status = 1
        try:
            # A copy of a sister's lifeline, kept here, would outlive the master's.
            for sister in self.workers:
                sister.lifeline.close()
            os.close(self.mailbox)
            unlearn_signals(ACTIONS, lifeline)
            self.work(lifeline, heart(lifeline, min(1.0, self.timeout / 4)))
            status = 0
        except SystemExit as error:  # what `load` says of an app that cannot be imported
            status = error.code if isinstance(error.code, int) else 1
        except BaseException as error:
            self.log.critical("worker %d failed: %s", os.getpid(), error, exc_info=error)
        finally:
            logging.shutdown()
            os._exit(status)  # not sys.exit: what the master wanted to do at its end is not ours

    def release_old(self) -> None:
        """Let go of the old generation when the new one is ready, and of those too many."""
        current = self.current()
        if sum(worker.ready for worker in current) >= self.count:
            for worker in self.workers:
                if worker.generation != self.generation:
                    worker.leave(self.grace)
            for worker in current[self.count :]:
                worker.leave(self.grace)

    # --- what happens ---

    def wait(self) -> None:
        """Wait for a signal, a heartbeat or half a second; act on the signals."""
        poll = select.poll()
        poll.register(self.mailbox, select.POLLIN)
        for worker in self.workers:
            poll.register(worker.lifeline, select.POLLIN)
        pause = min(500.0, max(10.0, (self.not_before - time.monotonic()) * 1000))
        ready = dict(poll.poll(pause if self.not_before > time.monotonic() else 500.0))
        for worker in self.workers:
            if worker.lifeline.fileno() in ready:
                self.listen(worker)
        if self.mailbox in ready:
            for number in os.read(self.mailbox, 4096):
                ACTIONS[number](self)

    def listen(self, worker: Worker) -> None:
        """Take what a worker sent. What ends it is no matter here: `reap` sees that."""
        with suppress(OSError):
            said = worker.lifeline.recv(4096)
            worker.beaten = time.monotonic()
            worker.ready = worker.ready or READY in said
            if LEAVING in said:
                worker.leave(self.grace)

    def reap(self) -> None:
        """Forget the workers that have ended, and say how."""
        for worker in list(self.workers):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self.listen(worker)  # for its last words: whether it ever served
                self.workers.remove(worker)
                worker.lifeline.close()
                self.judge(worker, os.waitstatus_to_exitcode(status))

    def judge(self, worker: Worker, code: int) -> None:
        """Decide what the end of a worker means: negative codes are signals."""
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        expected = worker.kill_at is not None or code == 0
        level = logging.INFO if expected else logging.ERROR
        self.log.log(level, "worker %d ended %s", worker.pid, how)
        if code > 0 and not worker.ready:
            self.boot_failed(code)
        elif not expected and time.monotonic() - worker.born < EARLY:
            pause = PAUSES[min(self.early, len(PAUSES) - 1)]
            self.early, self.not_before = self.early + 1, time.monotonic() + pause
        else:
            self.early = 0

    def boot_failed(self, code: int) -> None:
        """Stop, for another fork would fail likewise; or go on with the old code if it serves."""
        old = [w for w in self.workers if w.generation < self.generation and w.kill_at is None]
        if old:
            self.log.error("the reload failed: the old workers go on")
            self.generation = old[-1].generation
        else:
            self.status = code
            self.stop()

    def end_late(self) -> None:
        """Kill those that were not heard of for too long, and those that do not leave."""
        now = time.monotonic()
        for worker in self.workers:
            silent = worker.kill_at is None and now - worker.beaten > self.timeout
            if silent:
                self.log.critical("WORKER TIMEOUT: no heartbeat of worker %d", worker.pid)
            if silent or (worker.kill_at is not None and now > worker.kill_at):
                worker.kill()

    # --- what a signal asks for ---

    def stop(self) -> None:
        """End gracefully: requests in flight are answered, within `grace` seconds."""
        self.stopping = True
        self.at_stop()
        for worker in self.workers:
            worker.leave(self.grace)

    def stop_at_once(self) -> None:
        """End now: requests in flight are lost."""
        self.stopping = True
        self.at_stop()
        for worker in self.workers:
            worker.kill()

    def reload(self) -> None:
        """Begin a new generation, which imports the app anew; the old one leaves when it serves."""
        self.log.info("reload")
        self.generation += 1
        self.not_before = 0.0

    def add_worker(self) -> None:
        """Have one worker more."""
        self.count += 1

    def remove_worker(self) -> None:
        """Have one worker less, but keep one."""
        self.count = max(1, self.count - 1)

    def nothing(self) -> None:
        """Be woken: a child has ended, or somebody sent a signal that means nothing here."""


ACTIONS: dict[int, Callable[[Arbiter], None]] = {
    signal.SIGTERM: Arbiter.stop,
    signal.SIGINT: Arbiter.stop_at_once,
    signal.SIGQUIT: Arbiter.stop_at_once,
    signal.SIGHUP: Arbiter.reload,
    signal.SIGTTIN: Arbiter.add_worker,
    signal.SIGTTOU: Arbiter.remove_worker,
    **dict.fromkeys((signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD), Arbiter.nothing),
}


@contextmanager
def receiving(*signals: int) -> Iterator[int]:
    """Let the numbers of these signals arrive in a pipe; give the end to read them from."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    # With a handler of Python's own, C code writes the number; a full pipe loses what says no more.
    before = {number: signal.signal(number, lambda *_: None) for number in signals}
    old = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
