"""See it: the wire tap, the trace, the diagram and its text equivalent."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coursekit.flow.loop import watch_loop
    from coursekit.flow.picture import Flow, show
    from coursekit.flow.recording import record
    from coursekit.flow.trace import Trace

__all__ = ["Flow", "Trace", "record", "show", "watch_loop"]

_HOME = {"Flow": "picture", "show": "picture", "record": "recording", "Trace": "trace",
         "watch_loop": "loop"}


def __getattr__(name: str) -> Any:
    # On demand, so that a watched worker does not load an HTTP client and widgets.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
