"""What was recorded, to be asked, listed and drawn.

Rule 1  Text holds no time unless it is asked for, and no pid: the same experiment prints the same
        table at each run. With apart=True processes and threads are told apart, numbered in the
        order they appear; which of them takes a request is then up to the system.
Rule 2  What is not known is not drawn: without a watched app there is no lane for it.

The lane of a worker is the process in which the app was called. Bytes are drawn to that worker,
for with pre-forked servers it is the worker that holds the connection. Nothing of a request passes
a master process that only watches: it appears where processes are recorded too, see life.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from coursekit.flow import lived, mermaid
from coursekit.flow.front import through
from coursekit.flow.order import build
from coursekit.flow.sending import Sending
from coursekit.flow.steps import Call, Exchange, Step, count_of
from coursekit.flow.tap import Wire

RANKS = {"you": 0, "client": 1, "front": 2, "arbiter": 3, "server": 4, "app": 5}
OUTSIDE = "client", "front"  # what stands before the server

Lane = tuple[str, int, int]  # role, process (0: not known), thread (0: not told apart)


class Trace(Sending):
    """Hold a recording: `steps` in causal order, `events` as they were noted, `exchanges`."""

    def __init__(self, name: str = "server", *, workers: bool = False, apart: bool = False,
                 front: str = "", kind: str = "", wires: Iterable[Wire] = (),
                 notes: Iterable[dict[str, Any]] = ()) -> None:
        self.name = name
        self.kind = kind or name  # of the server, whatever it is called here
        self.full = False  # more went by than is kept
        self.front = front  # what stands before the server, if anything
        self.workers = workers
        self.apart = apart
        self.steps: list[Step] = []
        self.exchanges: list[Exchange] = []
        self.calls: list[Call] = []
        self.wires: list[Wire] = []
        self.behind: list[Wire] = []  # seen between the front and the server
        self.notes: list[dict[str, Any]] = []
        self.origin = ""  # of a recording: when and with what it was made
        self.load(wires, notes)
        super().__init__()

    def close(self, wires: Iterable[Wire], notes: Iterable[dict[str, Any]],
              behind: Iterable[Wire] = ()) -> None:
        """Send no more, and take what was recorded."""
        self.shut()
        self.load(wires, notes, behind)

    def load(self, wires: Iterable[Wire], notes: Iterable[dict[str, Any]],
             behind: Iterable[Wire] = ()) -> None:
        """Take these notes in place of those held; connections are numbered through."""
        self.wires, self.notes = list(wires), list(notes)
        first = max((wire.connection for wire in self.wires), default=0)
        self.behind = [replace(wire, connection=first + wire.connection) for wire in behind]
        of_app = [note for note in self.notes if "call" in note]
        steps, self.exchanges, self.calls = (
            through(self.wires, self.behind, of_app) if self.front
            else build(self.wires, of_app))
        self.steps = lived.among(steps, self.notes, self.calls, self.kind)
        self.lived = len(self.steps) > len(steps)  # something happened to processes
        self._pids = self._in_order()
        self._tasks = list(dict.fromkeys(
            (step.info["pid"], step.info["task"]) for step in self.steps
            if step.call and "task" in step.info))
        for step in self.steps:
            if step.kind == "log":
                step.label = step.label.replace("{}", str(self._pids.index(step.pid) + 1))

    @property
    def events(self) -> list[Wire | dict[str, Any]]:
        """Return the notes of the wire and of the app, as they were made, in order of time."""
        return sorted([*self.wires, *self.behind, *self.notes],
                      key=lambda e: e.time if isinstance(e, Wire) else int(e["time"]))

    @property
    def heading(self) -> str:
        """Return what was recorded: "nginx + gunicorn", without a front "gunicorn"."""
        return f"{self.front} + {self.name}" if self.front else self.name

    @property
    def many(self) -> bool:
        """Tell whether there is a wire with more than one connection."""
        return any(len({wire.connection for wire in wires}) > 1
                   for wires in (self.wires, self.behind))

    @property
    def start(self) -> int:
        """Return the time of the first step in ns."""
        return min((step.time for step in self.steps), default=0)

    def lane(self, step: Step, role: str) -> Lane:
        """Return the lane in which a step has its `role` ("client", "front", "server", "app")."""
        call = None if step.pid else step.call or self._call_on(step.connection)
        pid = call.pid if call else step.pid
        if role not in ("server", "app") or not pid or not (self.apart or self.lived):
            return role, 0, 0
        process = self._pids.index(pid) + 1
        if role == "server" or call is None or not self.apart:
            return role, process, 0
        return "app", process, self._strands(pid).index(call.strand) + 1

    def lanes(self) -> list[Lane]:
        """Return all lanes, from the client to the last app."""
        found = {self.lane(step, role) for step in self.steps
                 for role in (step.source, step.target)}
        return sorted(found, key=lambda lane: (
            min(RANKS[lane[0]], RANKS["server"]), lane[1], RANKS[lane[0]], lane))

    def label(self, lane: Lane, *, short: bool = False) -> str:
        """Return a lane's title: "client", "worker 1", "app, thread 2"; short: without the name."""
        role, process, thread = lane
        if role in (*OUTSIDE, "you"):
            return self.front if role == "front" else role
        if role == "arbiter":  # as Gunicorn calls its master, and the toy too
            word = "arbiter" if self.kind in ("gunicorn", "toy") else "master"
            return word if short else f"{self.name} {word}"
        many = bool(process) and (self.workers or len(self._pids) > 1)
        if role == "server":
            one = f"{self.name} worker" if self.workers else self.name
            if short:
                one = "worker" if self.workers else "server"
            return f"worker {process}" if many else one
        where = f"app in worker {process}" if many and not short else (
            f"app {process}" if many else "app")
        several = bool(thread) and len(self._strands(self._pids[process - 1])) > 1
        return f"{where}, {'task' if self._tasks else 'thread'} {thread}" if several else where

    def table(self, *, times: bool = False) -> str:
        """Return the steps as text, one line each; with times in ms since the first step."""
        rows = [self._row(number, step, times) for number, step in enumerate(self.steps, 1)]
        return columns(rows) + "".join(f"\n{line}" for line in self.remarks())

    def mermaid(self) -> str:
        """Return the steps as a mermaid sequence diagram, with a title and a description."""
        return mermaid.diagram(self)

    def summary(self) -> str:
        """Return one sentence: who took part, and what was asked and answered."""
        parties = ", ".join(map(self.label, self.lanes()))
        return f"{count_of(len(self.steps), 'step')} between {parties}."

    def title(self) -> str:
        """Return the requests and what came back: "GET /hello: 200"."""
        told = []
        for each in self.exchanges:
            heads = [step for step in each.response if step.kind == "head"]
            request = f"{each.method} {each.target}".strip() or "bytes that are no request"
            told.append(f"{request}: {heads[-1].label.split(' ')[1] if heads else 'no answer'}")
        more = f" and {len(told) - 3} more" if len(told) > 3 else ""
        mark = f" ({self.origin})" if self.origin else ""
        return (", ".join(told[:3]) or "nothing was sent") + more + mark

    def _row(self, number: int, step: Step, times: bool) -> list[str]:
        source = self.label(self.lane(step, step.source))
        target = self.label(self.lane(step, step.target))
        since = f"{self.milliseconds(step):9.2f} ms" if times else ""
        return [f"{number:3}", since, f"{source} -> {target}", step.label, step.note,
                self.where(step)]

    def where(self, step: Step) -> str:
        """Return "connection 2, task 3" where that is not clear, and "" where it is."""
        known = self.many and (step.connection or step.call)
        told = [f"connection {step.connection or '?'}"] if known else []
        if step.call and "task" in step.info and len(self._tasks) > 1:
            told.append(f"task {self._tasks.index((step.call.pid, step.info['task'])) + 1}")
        return ", ".join(told)

    def milliseconds(self, step: Step) -> float:
        """Return the time of a step in ms since the first one."""
        return (step.time - self.start) / 1e6

    def remarks(self) -> list[str]:
        """Say what could not be known."""
        lost = sum(call.exchange is None and call.events[0].get("type") != "lifespan"
                   for call in self.calls)
        remarks = [f"{lost} of {len(self.calls)} calls: not known which request they answer"]
        full = ["more went by than is kept: the rest is not shown"] if self.full else []
        return (remarks if lost else []) + full + ([self.origin] if self.origin else [])

    def _in_order(self) -> list[int]:
        """Return the pids of workers in the order of their numbers, see life."""
        if not self.lived:
            return list(dict.fromkeys(call.pid for call in self.calls))
        calls = ((step, step.call or self._call_on(step.connection)) for step in self.steps
                 if not {"server", "app"}.isdisjoint((step.source, step.target)) or step.pid)
        pids = (call.pid if call and not step.pid else step.pid for step, call in calls)
        seen, before = [pid for pid in dict.fromkeys(pids) if pid], lived.there(self.notes)
        return sorted(dict.fromkeys(seen + before), key=lambda pid: pid not in before)

    def _strands(self, pid: int) -> list[int]:
        return list(dict.fromkeys(call.strand for call in self.calls if call.pid == pid))

    def _call_on(self, connection: int) -> Call | None:
        known = [call for call in self.calls if call.connection == connection]
        if known or not connection:
            return known[0] if known else None
        # One process served everything: then it served this connection too.
        one = len({call.pid for call in self.calls}) == 1 and not self.lived
        return self.calls[0] if one else None

    def _count_now(self) -> dict[str, int]:
        kinds = [step.kind for step in self.steps if step.pid]
        return {"calls": len(self.calls), "starts": kinds.count("start"),
                "ends": kinds.count("gone")}

    def __repr__(self) -> str:
        return self.table()


def columns(rows: list[list[str]]) -> str:
    """Return rows as aligned text without trailing blanks; empty columns are left out."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width)
             for row in rows)
    return "\n".join(line.rstrip() for line in lines)

