"""The row of the bench that is no request: a WebSocket message of 1 KiB, said and heard again.

The ratio is to Uvicorn with what it chooses by itself: the loop of uvloop and the frames of
websockets, where they are installed.
"""

from __future__ import annotations

from collections.abc import Callable

from coursekit.live import Server, live
from servers.websocket import TEXT, encode_frame

from .drive import Workload

OPENING = (
    b"GET / HTTP/1.1\r\nHost: echo\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SAID = b"x" * 1024
ECHO = Workload(
    "1 KiB WebSocket echo", "apps.chat_asgi:echo", encode_frame(TEXT, SAID),
    body=encode_frame(TEXT, SAID, mask=b"\x37\xfa\x21\x3d"), opening=OPENING,
)  # fmt: skip
BASE = "uvicorn"

SERVERS: dict[str, Callable[[str, int], Server]] = {
    "toy": lambda app, n: live("toy", app, process=True, interface="asgi", errors="log"),
    BASE: lambda app, n: live("uvicorn", app, errors="log"),
    "uvicorn asyncio": lambda app, n: live("uvicorn", app, loop="asyncio", errors="log"),
    "uvicorn wsproto": lambda app, n: live("uvicorn", app, ws="wsproto", errors="log"),
}
