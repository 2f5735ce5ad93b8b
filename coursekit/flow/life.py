"""The life of a server's processes: who starts, who ends, and what they were told.

    with live("gunicorn", "apps.work_wsgi:app", workers=2, watch=True) as server:
        with flow.record(server, processes=True) as trace:
            trace.get("/")
            server.kill("master", signal.SIGHUP)
            trace.wait(starts=2, ends=2)
    print(trace)

It works alike for every server with a master: Gunicorn, uWSGI, the toy with process=True. Known are
the master's children (looked at every TICK), the signals that `server.kill` and the panel's buttons
send, and lines of the log that tell of a worker's trouble. Not known is what the processes tell
each other, so no arrow shows a signal of the master's; a child that lives shorter than TICK may be
missed; of a process the program itself starts, nothing is shown.
What the text of it guarantees is said in coursekit.flow.lived.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from contextlib import suppress
from typing import Any

import psutil

from coursekit.flow.events import Note
from coursekit.flow.lived import EARLY

TICK = 0.02  # seconds between two looks at the processes
TROUBLE = re.compile(
    r"(WORKER TIMEOUT.*|HARAKIRI ON WORKER.*?\)|Worker \(pid.*(?:was sent|exited with code).*|"
    r"DAMN ! .*|worker \d+ ended (?:by|with).*)")


class Life:
    """Watch the master of a server and its children; use it in a `with`."""

    def __init__(self, server: Any) -> None:
        rows = server.workers
        if not rows or rows[0].role != "master":
            raise ValueError(f"this {server.kind} has no master whose workers could be watched; "
                             'the toy has one with process=True, workers=2')
        self.server = server
        self.master = psutil.Process(rows[0].pid)
        self._alive = {self.master, *self._children()}
        self._seen = set(self._alive)
        self._notes: list[Note] = []
        for process in self._alive:
            self._note("here", process)
        self._said = len(server.log)
        self._troubles: list[tuple[int, str]] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="life", daemon=True)

    def __enter__(self) -> Life:
        self.server.on_kill.append(self._told)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self.server.on_kill.remove(self._told)

    def count(self, kind: str) -> int:
        """Look, and return how many workers had a "start" or are "gone" since the beginning."""
        self._look()
        return sum(note["kind"] == kind and not note["master"] for note in self._notes)

    def read(self) -> list[Note]:
        """Look, and return the notes so far."""
        self._look()
        with self._lock:
            gone = {note["pid"]: note["time"] for note in self._notes if note["kind"] == "gone"}
            pids = {process.pid for process in self._seen - {self.master}}
            return self._notes + [
                {"time": seen if EARLY.search(text) else gone.get(pid, seen), "kind": "log",
                 "pid": pid, "master": False, "text": text}
                for seen, text in self._troubles for pid in pids & numbers(text)]

    def _listen(self) -> None:
        lines = self.server.log.lines[self._said:]
        self._said += len(lines)
        now = time.monotonic_ns()
        self._troubles += [(now, found[1]) for line in lines if "INFO" not in line
                           and (found := TROUBLE.search(line))]

    def _watch(self) -> None:
        while not self._over.wait(TICK):
            self._look()

    def _children(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return self.master.children()
        return []

    def _look(self) -> None:
        with self._lock:
            self._listen()
            new = [each for each in self._children() if each not in self._seen]
            for process in sorted(new, key=lambda each: each.pid):
                self._note("start", process)
            self._seen.update(new)
            self._alive.update(new)
            for process in [each for each in self._alive if ended(each)]:
                self._alive.remove(process)
                self._note("gone", process)

    def _told(self, pid: int, number: int) -> None:
        """Note a signal, after all that whoever sends it may have seen."""
        self._look()
        with self._lock:
            for process in self._alive:
                if process.pid == pid:
                    self._note("signal", process, text=signal.Signals(number).name)

    def _note(self, kind: str, process: psutil.Process, **values: Any) -> None:
        self._notes.append({"time": time.monotonic_ns(), "kind": kind, "pid": process.pid,
                            "master": process == self.master, **values})


def ended(process: psutil.Process) -> bool:
    """Tell whether a process is gone; a zombie is, only its parent did not look yet."""
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def nobody(pid: int) -> bool:
    """Tell whether no process has this pid any more."""
    with suppress(psutil.NoSuchProcess):
        return ended(psutil.Process(pid))
    return True


def numbers(text: str) -> set[int]:
    """Return the numbers in a line."""
    return set(map(int, re.findall(r"\d+", text)))
