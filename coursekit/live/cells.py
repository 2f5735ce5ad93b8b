"""Which servers a notebook cell started, so that running it again replaces them."""

from __future__ import annotations

import sys
import weakref
from typing import Any, Protocol


class Discardable(Protocol):
    """A server, as far as this module cares."""

    def discard(self) -> None:
        """Stop, for good."""


# cell -> (the run of that cell, the servers it started)
_started: dict[str, tuple[str, weakref.WeakSet[Any]]] = {}


def this_cell() -> tuple[str, str] | None:
    """Return (cell, run) of the cell that is running, or None outside a notebook.

    The kernel's parent message tells both, without a hook: JupyterLab names the cell in
    the metadata, other clients send only its code, which then stands for the cell.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or not hasattr(shell, "get_parent"):
        return None
    message = shell.get_parent()
    code = message.get("content", {}).get("code")
    if code is None:  # a button's callback, not a cell
        return None
    cell = message.get("metadata", {}).get("cellId") or f"code {hash(code)}"
    return cell, message["header"]["msg_id"]


def stop_previous() -> None:
    """Stop the servers that earlier runs of the running cell started."""
    here = this_cell()
    if here is None:
        return
    cell, run = here
    last_run, servers = _started.get(cell, (run, ()))
    if last_run != run:
        for server in list(servers):
            server.discard()
        del _started[cell]


def remember(server: Discardable) -> None:
    """Note that the running cell started this server."""
    here = this_cell()
    if here is not None:
        cell, run = here
        _started.setdefault(cell, (run, weakref.WeakSet()))[1].add(server)
