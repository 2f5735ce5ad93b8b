"""Traces of systems that a machine may lack: run for real where they are, shown as kept elsewhere.

    trace = run("mod_wsgi daemon")      the real thing, or else one sentence and the recording
    python -m coursekit record          make the recordings anew, from real runs

Rule 1  A recording says of itself, in every form of the picture, when and with what it was made.
Rule 2  A test runs each for real and compares the tables; a new run is one function in RUNS.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from coursekit.flow.recording import record
from coursekit.flow.tap import Wire
from coursekit.flow.trace import Trace
from coursekit.live import Server, live, missing

FOLDER = Path(__file__).parent / "recordings"
HELLO = "apps.hello_wsgi:app"


def mod_wsgi(mode: str) -> Trace:
    """Ask an app inside Apache for its page."""
    with live("apache", HELLO, mode=mode, watch=True) as server:
        return _ask(server)


def uwsgi_bytes() -> Trace:
    """Look between nginx and uWSGI, where the protocol is uWSGI's own."""
    with ExitStack() as stack:
        server = stack.enter_context(live("uwsgi", HELLO, protocol="uwsgi", watch=True))
        trace = stack.enter_context(record(server, name="uWSGI"))
        front = stack.enter_context(live("nginx", upstream=trace, protocol="uwsgi"))
        front.get("/", headers={"User-Agent": "client"})
    return trace


def _ask(server: Server) -> Trace:
    with record(server) as trace:
        trace.get("/")
    return trace


APACHE = ("apache", "mod_wsgi")
# name -> (what it needs, by coursekit.doctor's names; the run)
RUNS: dict[str, tuple[tuple[str, ...], Callable[[], Trace]]] = {
    "mod_wsgi daemon": (APACHE, lambda: mod_wsgi("daemon")),
    "mod_wsgi embedded": (APACHE, lambda: mod_wsgi("embedded")),
    "nginx to uWSGI": (("nginx", "uwsgi"), uwsgi_bytes),
}


def run(name: str) -> Trace:
    """Run an experiment of RUNS; where that cannot be, say so and return what was recorded."""
    needs, experiment = RUNS[name]
    if problem := missing(*needs):
        print(f"{problem}. Until then, this is a recording.")
        return recorded(name)
    return experiment()


def recorded(name: str) -> Trace:
    """Return the trace that was kept under this name; it says when it was recorded."""
    kept: dict[str, Any] = json.loads(_file(name).read_text("utf-8"))
    wires = [Wire(**{**wire, "data": wire["data"].encode("latin-1")}) for wire in kept["wires"]]
    trace = Trace(kept["name"], workers=kept["workers"], wires=wires, notes=kept["notes"])
    trace.origin = f"recorded on {kept['date']} with {kept['with']}"
    return trace


def keep(name: str, trace: Trace, versions: str) -> Path:
    """Write a trace into its file, with the date and what it was made with."""
    wires = [{**asdict(wire), "data": wire.data.decode("latin-1")} for wire in trace.wires]
    kept = {"date": date.today().isoformat(), "with": versions, "name": trace.name,
            "workers": trace.workers, "wires": wires, "notes": trace.notes}  # fmt: skip
    FOLDER.mkdir(exist_ok=True)
    _file(name).write_text(json.dumps(kept, indent=1, ensure_ascii=True) + "\n", "utf-8")
    return _file(name)


def refresh() -> list[Path]:
    """Run every experiment and keep its trace; RuntimeError if this machine lacks something."""
    from coursekit.load.matrix import version_of

    for needs, _ in RUNS.values():
        if problem := missing(*needs):
            raise RuntimeError(problem)
    return [
        keep(name, experiment(), " + ".join(map(version_of, needs)))
        for name, (needs, experiment) in RUNS.items()
    ]


def _file(name: str) -> Path:
    return FOLDER / f"{name.lower().replace(' ', '-')}.json"
