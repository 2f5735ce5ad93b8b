"""Wrap an application, and note each crossing of the interface between server and app.

Rule 1  The server and the app notice nothing: the wrapper is correct by PEP 3333 on both sides.
        It iterates lazily, calls close() once, and has a length if and only if the app's result
        has one (wsgiref and Waitress compute Content-Length for a result of length 1).
Rule 2  A note is a flat dict of JSON values with "time" in ns (time.monotonic_ns, shared by all
        processes of the machine), "pid", "thread", "call" and "kind".
Rule 3  Only what coursekit.live.shown lets through of environ, scope and headers is noted.

Left out: a result made by wsgi.file_wrapper is handed on untouched, so that the server can still
use sendfile; its chunks and its close() are not seen. An app's threads are not followed.
"""

import inspect
import itertools
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from coursekit.flow.events import Note, Sink
from coursekit.live import shown

PREVIEW = 1024  # bytes of a chunk that are kept: enough to read, small enough for a notebook


class _Call:
    """Note what happens in one call of the app."""

    counter = itertools.count(1)

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.number = next(self.counter)

    def note(self, kind: str, **values: Any) -> None:
        thread = threading.current_thread()
        self.sink({"time": time.monotonic_ns(), "pid": os.getpid(), "thread": thread.ident,
                   "thread_name": thread.name, "call": self.number, "kind": kind, **values})

    def fail(self, error: BaseException) -> None:
        self.note("exception", type=type(error).__name__, message=str(error)[:PREVIEW])


def watch(app: Any, sink: Sink) -> Any:
    """Return `app`, WSGI or ASGI by its looks, so wrapped that `sink` gets a note of each event."""
    return watch_asgi(app, sink) if looks_like_asgi(app) else watch_wsgi(app, sink)


def looks_like_asgi(app: Any) -> bool:
    """Tell by inspection whether `app` is an ASGI 3 application: an async callable."""
    call = app if inspect.isroutine(app) else getattr(app, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(call)


def watch_wsgi(app: Callable[..., Any], sink: Sink) -> Callable[..., Iterable[bytes]]:
    """Return a WSGI app that behaves as `app` does and notes every event in `sink`."""

    def watched(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        call = _Call(sink)
        call.note("call", interface="wsgi", method=environ.get("REQUEST_METHOD"),
                  peer=_port(environ.get("REMOTE_PORT")), environ=_texts(shown.environ(environ)))
        environ["wsgi.input"] = _Input(environ["wsgi.input"], call)
        # A server that gives no file_wrapper gives no type to look for.
        wrapper = environ.get("wsgi.file_wrapper")
        try:
            result: Iterable[bytes] = app(environ, _watched_start(start_response, call))
        except BaseException as error:
            call.fail(error)
            call.note("done")
            raise
        is_file = isinstance(wrapper, type) and isinstance(result, wrapper)
        if is_file:
            call.note("return", what="a file wrapper")
            call.note("done")
            return result
        call.note("return", what=_describe(result))
        return _SizedChunks(result, call) if hasattr(result, "__len__") else _Chunks(result, call)

    return watched


def _watched_start(start_response: Callable[..., Any], call: _Call) -> Callable[..., Any]:
    def watched_start_response(*args: Any, **kwargs: Any) -> Any:
        # Passed on as they came: a wrong call is the server's to refuse.
        status, headers, exc_info = (*args, None, None, None)[:3]
        call.note("start_response", status=str(status), **_headers(headers),
                  exc_info=bool(exc_info or kwargs.get("exc_info")))
        write = start_response(*args, **kwargs)

        def watched_write(data: bytes) -> Any:
            call.note("write", **_preview(data))
            return write(data)

        return watched_write

    return watched_start_response


class _Input:
    """Pass wsgi.input through, and note how much was read by which method."""

    def __init__(self, stream: Any, call: _Call) -> None:
        self._stream, self._call = stream, call

    def read(self, *size: Any) -> Any:
        return self._noted("read", *size)

    def readline(self, *size: Any) -> Any:
        return self._noted("readline", *size)

    def readlines(self, *hint: Any) -> Any:
        return self._noted("readlines", *hint)

    def __iter__(self) -> Iterator[Any]:
        for line in self._stream:
            self._call.note("read", method="iteration", size=len(line), began=time.monotonic_ns())
            yield line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # close() and what else a server's stream may have

    def _noted(self, method: str, *args: Any) -> Any:
        began = time.monotonic_ns()
        data = getattr(self._stream, method)(*args)
        size = sum(map(len, data)) if isinstance(data, list) else len(data)
        self._call.note("read", method=method, size=size, began=began)
        return data


class _Chunks:
    """Pass an app's result through, chunk by chunk, when the server asks for the next one."""

    def __init__(self, result: Any, call: _Call) -> None:
        self._result, self._call = result, call
        self._chunks: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        self._chunks = iter(self._result)
        return self

    def __next__(self) -> bytes:
        if self._chunks is None:
            self._chunks = iter(self._result)
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self._call.note("end")
            raise
        except BaseException as error:
            self._call.fail(error)
            raise
        self._call.note("chunk", **_preview(chunk))
        return chunk

    def close(self) -> None:
        # The server may call this even if the app's result has no close(): `had` tells.
        close = getattr(self._result, "close", None)
        self._call.note("close", had=close is not None)
        try:
            if close is not None:
                close()
        except BaseException as error:
            self._call.fail(error)
            raise
        finally:
            self._call.note("done")


class _SizedChunks(_Chunks):
    """Have a length too, for an app's result that has one."""

    def __len__(self) -> int:
        return len(self._result)


Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def watch_asgi(app: Callable[..., Awaitable[None]], sink: Sink) -> Callable[..., Awaitable[None]]:
    """Return an ASGI app that behaves as `app` does and notes every message in `sink`."""

    async def watched(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        # long: three closures over one call, which apart would have to pass it around
        call = _Call(sink)
        client = scope.get("client") or ("", 0)
        call.note("call", scope=_scope(scope), peer=_port(client[1]),
                  method=scope.get("method"), interface="asgi", type=scope["type"])

        async def watched_receive() -> dict[str, Any]:
            began = time.monotonic_ns()
            message = await receive()
            call.note("receive", began=began, **_message(message))
            return message

        async def watched_send(message: dict[str, Any]) -> None:
            call.note("send", **_message(message))
            await send(message)

        try:
            await app(scope, watched_receive, watched_send)
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            call.note("done")

    return watched


def _message(message: dict[str, Any]) -> Note:
    note: Note = {"type": message.get("type"), "status": message.get("status"),
                  "more_body": message.get("more_body")}
    if "headers" in message:
        note |= _headers(message["headers"])
    for name in ("body", "bytes"):
        if message.get(name):
            note |= _preview(message[name])
    if message.get("text"):
        note |= _preview(message["text"].encode())
    return {name: value for name, value in note.items() if value is not None}


def _preview(data: Any) -> Note:
    if not isinstance(data, bytes):  # the app's mistake: the server shall judge it, not this
        return {"size": 0, "bytes": "", "wrong": type(data).__name__}
    return {"size": len(data), "bytes": data[:PREVIEW].decode("latin-1")}


def _headers(headers: Any) -> Note:
    try:
        return {"headers": shown.headers(headers), "count": len(headers)}
    except (TypeError, ValueError):
        return {"headers": [], "count": 0}  # the app's mistake: the server shall judge it


SCOPE = ("type", "http_version", "method", "scheme", "path", "root_path", "client", "server")


def _scope(scope: dict[str, Any]) -> Note:
    note = _texts({name: scope[name] for name in SCOPE if name in scope})
    return note | {"query_string": scope.get("query_string", b"").decode("latin-1"),
                   "headers": shown.headers(scope.get("headers", []))}


def _texts(values: dict[str, Any]) -> Note:
    # Objects, such as wsgi.errors, say nothing but their address.
    return {name: str(value) for name, value in values.items()
            if isinstance(value, (str, int, tuple, list))}


def _describe(result: Any) -> str:
    name = type(result).__name__
    return f"{name} of {len(result)}" if hasattr(result, "__len__") else name


def _port(value: Any) -> int:
    return int(value) if str(value or "").isdigit() else 0
