"""The rows of the bench for servers on a loop: hello by ASGI, and a WebSocket's echo.

Each has a table of its own, and a base of its own: Uvicorn as it is without its extras (h11 on
asyncio) for hello, and with what it chooses by itself (the loop of uvloop and the frames of
websockets, where they are installed) for the echo. Nobody writes a log of who asked for what.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from coursekit.live import Server, live
from coursekit.live.child import Child
from servers.websocket import TEXT, encode_frame

from .drive import Workload

Start = Callable[[str, int], Server]  # (app, threads) -> a running server


class Table(NamedTuple):
    """Hold a workload, the servers that take it, and the one that the ratios are to."""

    workload: Workload
    servers: dict[str, Start]
    base: str


def starting(kind: str, **options: Any) -> Start:
    """Return what starts a server of this kind, a process with one loop."""
    return lambda app, threads: live(kind, app, errors="log", **options)


def bare(app: str, threads: int) -> Server:
    """Start an asyncio.Protocol with one answer: no server on the standard loop is faster."""
    module = "coursekit.load.bare"

    def words(*, port: int, fd: int | None, folder: str) -> list[str]:
        return [sys.executable, "-m", module, str(port)]

    return Server("bare", app, Child("a bare asyncio.Protocol", words, False, ""), errors="log")


MUTE = {"no_access_log": True}
TOY = starting("toy", process=True, interface="asgi")
HELLO = Table(
    Workload("hello, ASGI", "apps.hello_asgi:app", b"Hello from ASGI\n"),
    {
        "toy": TOY,
        "uvicorn h11": starting("uvicorn", http="h11", loop="asyncio", **MUTE),
        "uvicorn httptools": starting("uvicorn", http="httptools", loop="asyncio", **MUTE),
        "uvicorn uvloop": starting("uvicorn", http="httptools", loop="uvloop", **MUTE),
        "hypercorn": starting("hypercorn"),
        "daphne": starting("daphne", access_log=os.devnull),
        "granian": starting("granian"),
        "gunicorn asgi": starting("gunicorn", worker_class="asgi"),
        "bare Protocol": bare,
    },
    "uvicorn h11",
)

OPENING = (
    b"GET / HTTP/1.1\r\nHost: echo\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SAID = b"x" * 1024
ECHO = Table(
    Workload(
        "1 KiB WebSocket echo", "apps.chat_asgi:echo", encode_frame(TEXT, SAID),
        body=encode_frame(TEXT, SAID, mask=b"\x37\xfa\x21\x3d"), opening=OPENING,
    ),
    {
        "toy": TOY,
        "uvicorn": starting("uvicorn"),
        "uvicorn asyncio": starting("uvicorn", loop="asyncio"),
        "uvicorn wsproto": starting("uvicorn", ws="wsproto"),
    },
    "uvicorn",
)  # fmt: skip
TABLES = (HELLO, ECHO)
