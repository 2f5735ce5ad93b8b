"""A chat over WebSocket and a stream of events, live in the page of a notebook.

    chat(server, "/room")        what is said, by all who are there, and a field to speak
    stream(server, "/events")    what comes, and how much

The browser itself connects, the way the panel's page does: through Jupyter's own address and
jupyter-server-proxy, so it works behind a prefix, on a Hub and on Binder (wss where the page is
https). Where nothing can be drawn, a sentence stands in its place.

jupyter-server-proxy goes on reading a stream after the page has left it: the app is told that its
client has gone only without that proxy between, or when the server stops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coursekit.live.panel import Link
from coursekit.practice import widgets

if TYPE_CHECKING:
    from coursekit.live.server import Server


def chat(server: Server, path: str = "/") -> None:
    """Show a chat with whoever else is connected to `path`; the app speaks WebSocket there."""
    _show("chat", server, path, f"[a chat over WebSocket at {path}: live in JupyterLab]")


def stream(server: Server, path: str = "/events") -> None:
    """Show the events that come from `path`, a text/event-stream."""
    _show("stream", server, path, f"[a stream of events from {path}: live in JupyterLab]")


def _show(view: str, server: Server, path: str, text: str) -> None:
    widgets.show(text, Link, server.address[1], path, view)
