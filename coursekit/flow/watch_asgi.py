"""Wrap an ASGI 3 application, and note each message between server and app.

Rule 1  The server and the app notice nothing: scope, messages and exceptions pass as they are.
Rule 2  Only what coursekit.live.shown lets through of scope and headers is noted.
Rule 3  A note says in which task something happens, and in which of its turns: between two notes
        of one turn the loop ran nothing else. Tasks are counted in the order they are met.
"""

import asyncio
import inspect
import itertools
import time
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from coursekit.flow.events import Note, Sink
from coursekit.flow.noted import PREVIEW, Call, headers_of, port_of, preview_of, texts_of
from coursekit.live import shown

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[Any]]


def looks_like_asgi(app: Any) -> bool:
    """Tell by inspection whether `app` is an ASGI 3 application: what it returns can be awaited."""
    if inspect.isclass(app):  # calling it makes an object, as of Starlette's HTTPEndpoint
        return hasattr(app, "__await__")
    call = app if inspect.isroutine(app) else getattr(app, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(call)


class Turns:
    """Await what an app returned, and count how often its task gave the loop back."""

    numbers = itertools.count(1)
    known: WeakKeyDictionary[Any, "Turns"] = WeakKeyDictionary()

    def __init__(self) -> None:
        self.task, self.turn = next(self.numbers), -1  # not known where nothing is counted

    def of(self, app: Any) -> Any:
        """Count for this app from now on."""
        if not hasattr(app, "__await__"):
            return app  # not to be awaited: Python shall say so
        self.app = app
        return self

    def __await__(self) -> Generator[Any, None, Any]:
        steps = self.app.__await__()
        error: BaseException | None = None
        while True:
            try:
                future = steps.send(None) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            error = None
            self.turn += 1
            try:
                yield future
            except BaseException as raised:  # a cancellation: it is meant for the app
                error = raised


class _ASGICall(Call):
    """Note the messages of one call."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink)
        self.turns = self.here(Turns)

    def here(self, default: Callable[[], Turns]) -> Turns:
        """Return the count of the task that runs; not every server has tasks of asyncio."""
        with suppress(RuntimeError):
            if task := asyncio.current_task():
                if task not in Turns.known:
                    Turns.known[task] = Turns()
                return Turns.known[task]
        return default()

    def note(self, kind: str, **values: Any) -> None:
        """Note that something happens now, in the task that runs."""
        here = self.here(lambda: self.turns)
        super().note(kind, task=here.task, turn=here.turn, **values)

    def watched(self, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """Return both functions as the app shall have them."""

        async def watched_receive() -> Message:
            began = time.monotonic_ns()
            message = await receive()
            self.note("receive", began=began, **_message(message))
            return message

        async def watched_send(message: Message) -> None:
            self.note("send", **_message(message))
            await send(message)

        return watched_receive, watched_send


def watch_asgi(app: App, sink: Sink) -> App:
    """Return an ASGI app that behaves as `app` does and notes every message in `sink`."""

    async def watched(scope: dict[str, Any], receive: Receive, send: Send) -> Any:
        call = _ASGICall(sink)
        call.turns.turn += 1
        client = scope.get("client") or ("", 0)
        call.note("call", interface="asgi", type=scope.get("type"), scope=_scope(scope),
                  method=scope.get("method"), peer=port_of(client[1]))
        try:
            return await call.turns.of(app(scope, *call.watched(receive, send)))
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            call.note("done")

    return watched


PLAIN = ("type", "status", "more_body", "code", "reason", "subprotocol", "message")


def _message(message: Any) -> Note:
    if not isinstance(message, MutableMapping):  # the app's mistake
        return {"type": repr(message)[:PREVIEW]}
    values = {name: message[name] for name in PLAIN if message.get(name) is not None}
    note: Note = {name: value if isinstance(value, (str, int)) else repr(value)[:PREVIEW]
                  for name, value in values.items()}
    if isinstance(message.get("headers"), (list, tuple)):  # an iterator is the server's to read
        note |= headers_of(message["headers"])
    for name in ("body", "bytes", "text"):
        if data := message.get(name):
            note |= preview_of(_bytes(data, name))
    return note


def _bytes(data: Any, name: str) -> Any:
    if name == "text" and isinstance(data, str):
        return data.encode("utf-8", "surrogatepass")
    return bytes(data) if isinstance(data, (bytearray, memoryview)) else data


SCOPE = ("type", "http_version", "method", "scheme", "path", "root_path", "client", "server",
         "subprotocols")


def _scope(scope: dict[str, Any]) -> Note:
    note = texts_of({name: scope[name] for name in SCOPE if name in scope})
    if scope.get("type") == "lifespan":
        return note
    return note | {"query_string": scope.get("query_string", b"").decode("latin-1"),
                   "headers": shown.headers(scope.get("headers", []))}
