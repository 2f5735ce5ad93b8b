"""A conversation instead of a call: the interface of ASGI 3, with no sockets.

Rule 1  Every way a conversation can go is a row in NEXT. A message that has no row is the
        app's mistake, and the error names the message and the state.
Rule 2  The head leaves with the first body message. Until then the answer can still become
        a 500; after that only breaking off is honest.
Rule 3  What the app sends is framed as a WSGI app's body is: StartResponse does it for both.
Left out: trailers, push, pathsend, early hints. `extensions` of a request is empty.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote
from wsgiref.util import is_hop_by_hop

from servers.head import Request
from servers.http11 import encode_field
from servers.wsgi import AppError, StartResponse

Scope = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Sink = Callable[[bytes], None]
Ends = tuple[Any, Any]  # (host, port) of client and server; None where there is none
State = dict[str, Any]
NOTHING: State = {}

PIECE = 64 * 1024  # of a body that is sent at once; then the peer must have read

# --- the scope -----------------------------------------------------------------------


def scope_for(
    request: Request, ends: Ends = (None, None), root_path: str = "", state: State = NOTHING
) -> Scope:
    """Return the scope of one request.

    `ends` are the addresses of client and server, `state` is what the lifespan left.
    """
    method, target, version, headers, _ = request
    raw_path, _, query = target.partition(b"?")
    # Text, where WSGI has latin-1: bytes that are no UTF-8 become U+FFFD. raw_path has them all.
    path = unquote(raw_path.decode("ascii")) if b"%" in raw_path else raw_path.decode("ascii")
    if root_path and not f"{path}/".startswith(f"{root_path}/"):
        root_path = ""  # the app is not mounted there: path always begins with root_path
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1" if version == (1, 1) else "1.0",
        "method": method.decode("ascii"),
        "scheme": "http",
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": root_path,
        "headers": headers,
        "client": ends[0],
        "server": ends[1],
        "state": state.copy(),
        "extensions": {},
    }


# --- the order of messages -----------------------------------------------------------

MORE = " with more_body"
STARTING, RUNNING, FAILED, OVER = "before startup", "while it runs", "after a failure", "at the end"
NEW, STARTED, STREAMING, COMPLETE = (
    "before http.response.start", "after http.response.start", "in the body", "after the answer",
)  # fmt: skip
CONNECTING, OPEN, CLOSED, DENYING = (
    "before websocket.accept", "while the WebSocket is open", "after websocket.close",
    "after websocket.http.response.start",
)  # fmt: skip
START = {"http": NEW, "lifespan": STARTING, "websocket": CONNECTING}  # by the scope's type

NEXT = {
    (NEW, "http.response.start"): STARTED,
    (STARTED, "http.response.body"): COMPLETE,
    (STARTED, "http.response.body" + MORE): STREAMING,
    (STREAMING, "http.response.body"): COMPLETE,
    (STREAMING, "http.response.body" + MORE): STREAMING,
    (STARTING, "lifespan.startup.complete"): RUNNING,
    (STARTING, "lifespan.startup.failed"): FAILED,
    (RUNNING, "lifespan.shutdown.complete"): OVER,
    (RUNNING, "lifespan.shutdown.failed"): FAILED,
    (CONNECTING, "websocket.accept"): OPEN,
    (CONNECTING, "websocket.close"): CLOSED,
    (CONNECTING, "websocket.http.response.start"): DENYING,
    (DENYING, "websocket.http.response.body"): DENYING,
    (OPEN, "websocket.send"): OPEN,
    (OPEN, "websocket.close"): CLOSED,
}


def step(state: str, message: Message) -> str:
    """Return the state after a message that the app sends; raise AppError if it has no place."""
    try:
        event = message["type"]
        if event == "http.response.body" and message.get("more_body"):
            event += MORE
        return NEXT[state, event]
    except (KeyError, TypeError, AttributeError):
        raise wrong(state, message) from None


def wrong(state: str, message: Any) -> AppError:
    """Say what is wrong with a message, and what would be right in this state."""
    kind = message.get("type") if isinstance(message, MutableMapping) else None
    if not isinstance(kind, str):
        return AppError(f"a message is a dict with a 'type', not {message!r:.80} ({state})")
    right = " or ".join(repr(event) for before, event in NEXT if before == state and event)
    return AppError(f"{kind!r} cannot be sent {state}: {right or 'nothing more'} can")


# --- the answer ----------------------------------------------------------------------


@lru_cache(maxsize=512)
def field_line(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Return a header's name in lower case and its line on the wire; raise AppError.

    Cached, because nearly all of a server's answers carry the same few fields.
    """
    key = name.lower()
    if key == b"content-length" and not re.fullmatch(b"[0-9]{1,18}", value):
        raise AppError(f"Content-Length is {value!r}")
    try:
        line = encode_field(name, value)
    except ValueError as error:
        raise AppError(str(error)) from error
    # The spec ignores Transfer-Encoding; the others of one hop are the server's as well.
    return key, b"" if is_hop_by_hop(key.decode("ascii")) else line


@lru_cache(maxsize=64)
def status_line(status: int) -> bytes:
    """Return the first line of an answer; raise AppError."""
    if not isinstance(status, int) or not 200 <= status <= 999:
        raise AppError(f"status must be a number from 200 to 999, not {status!r}")
    with suppress(ValueError):
        return b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode("ascii"))
    return b"HTTP/1.1 %d \r\n" % status


def flat(body: Any) -> memoryview:
    """Return bytes that came in another wrapping; raise AppError for what is none."""
    try:
        return memoryview(body).cast("B")
    except TypeError:
        raise AppError(f"a body is made of bytes, not {type(body).__name__}") from None


class Answer(StartResponse):
    """Take the messages of one answer, in order, and give `send` the bytes for the wire."""

    __slots__ = ("state",)

    def __init__(
        self, request: Request, send: Sink, date: Callable[[], bytes],
        reusable: Callable[[], bool] = lambda: True, end: Sink | None = None,
    ) -> None:  # fmt: skip
        super().__init__(request, send, date, reusable, end)
        self.state = NEW

    def take(self, message: Message) -> Message | None:
        """Take a message, and return what is left of a long one; raise AppError on any fault."""
        state = step(self.state, message)
        if state is STARTED:
            self.take_start(message.get("status"), message.get("headers", ()))
            self.state = state
            return None
        body = message.get("body", b"")
        if type(body) is not bytes:
            body = flat(body)
        if len(body) > PIECE:  # the peer should read it before the rest is copied for it
            self.take({**message, "body": bytes(body[:PIECE]), "more_body": True})
            return {**message, "body": memoryview(body)[PIECE:]}
        body = bytes(body)
        if state is COMPLETE and self.sent:
            self.write(body)
            self.finish()
        elif state is COMPLETE:
            self.send_whole(body)
        elif body or self.sent:
            self.write(body)
        else:  # the head alone: somebody waits for it
            self.send(self.start(None))
        self.state = state
        return None

    def send_whole(self, body: bytes) -> None:
        """Send head and body as one, the most frequent answer of all."""
        head = self.start(len(body))
        if self.left == len(body) and not self.bodiless:
            self.left = 0
            self.done = True
            return self.end(head + body)
        self.send(head)
        self.write(body)
        self.finish()

    def take_start(self, status: Any, headers: Iterable[Iterable[bytes]]) -> None:
        """Take status and headers; send nothing yet."""
        left, dated = None, False
        try:
            lines = [status_line(status)]
            for name, value in headers:
                key, line = field_line(name, value)
                if key == b"content-length":
                    size = int(value)
                    if left not in (None, size):
                        raise AppError(f"Content-Length is {left}, and {size} too")
                    if status == 204 or left is not None:
                        line = b""  # RFC 9110 8.6 forbids it in a 204, and two of them anywhere
                    left = size
                elif key == b"date":
                    dated = True
                elif key == b"connection" and value.lower() == b"close":
                    self.reusable = lambda: False
                lines.append(line)
        except (ValueError, TypeError, AttributeError) as error:
            raise AppError(f"headers are pairs of bytes, not {headers!r:.80}: {error}") from error
        self.lines, self.left, self.dated = lines, left, dated
        # RFC 9112 6.3: these answers never have a body, whatever a header says.
        self.bodiless = self.bodiless or status in (204, 304)


# --- a conversation without a server -------------------------------------------------


class Conversation:
    """Drive an app with two queues: `tell` it messages, `hear` what it sends."""

    def __init__(self, app: ASGIApp, scope: Scope) -> None:
        self.state = START[scope["type"]]
        self.log: list[tuple[str, Message | None]] = []  # ("receive" or "send", message)
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.outbox: asyncio.Queue[Message | None] = asyncio.Queue()
        self.task = asyncio.ensure_future(self.run(app, scope))

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self.receive, self.send)
        finally:
            self.outbox.put_nowait(None)

    async def receive(self) -> Message:
        message = await self.inbox.get()
        self.log.append(("receive", message))
        return message

    async def send(self, message: Message) -> None:
        self.state = step(self.state, message)
        self.log.append(("send", message))
        self.outbox.put_nowait(message)

    def tell(self, message: Message) -> None:
        """Let the app's next receive() return this message."""
        self.inbox.put_nowait(message)

    async def hear(self) -> Message | None:
        """Wait for the app's next message; None if it has returned. Raise what it raised."""
        message = await self.outbox.get()
        if message is None:
            self.outbox.put_nowait(None)  # it stays at its end
            await self.task
        return message

    async def end(self) -> None:
        """End the app if it has not returned; what it raises is its own affair."""
        self.task.cancel()
        await asyncio.wait([self.task])
