"""Measure it: how right a server is, how fast, and how long its users wait.

    closed, open  load.closed(server, "/", clients=8, requests=64): a Report of what came of it
    plot          load.plot(report, another): their latencies, drawn, with the numbers
    theory        load.amdahl, load.utilisation, load.makespan: what arithmetic alone can tell
    conformance   score("toy"), side_by_side("toy", "gunicorn"): rows of HTTP/1.1 and PEP 3333
    bench         python -m coursekit.load.bench: speed, memory, ratios, side by side
    client        many clients at once, in a process of its own, every body checked
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coursekit.load.loops import Report, closed, limit, open
    from coursekit.load.shown import plot
    from coursekit.load.theory import amdahl, makespan, utilisation, waiting

__all__ = ["Report", "amdahl", "closed", "limit", "makespan", "open", "plot", "utilisation",
           "waiting"]  # fmt: skip

_HOME = {"plot": "shown", "Report": "loops", "closed": "loops", "limit": "loops", "open": "loops"}


def __getattr__(name: str) -> Any:
    # On demand: a generator's process has to start fast and light.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME.get(name, 'theory')}"), name)
