"""Wrap a WSGI application, and note each crossing of the interface between server and app.

Rule 1  The server and the app notice nothing: the wrapper is correct by PEP 3333 on both sides.
        It iterates lazily, calls close() once, and has a length if and only if the app's result
        has one (wsgiref and Waitress compute Content-Length for a result of length 1).
Rule 2  Only what coursekit.live.shown lets through of environ and headers is noted.

Left out: a result made by wsgi.file_wrapper is handed on untouched, so that the server can still
use sendfile; its chunks and its close() are not seen. An app's threads are not followed.
An ASGI app is wrapped by watch_asgi.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from coursekit.flow.events import Sink
from coursekit.flow.noted import Call, headers_of, port_of, preview_of, texts_of
from coursekit.flow.watch_asgi import looks_like_asgi, watch_asgi
from coursekit.live import shown


def watch(app: Any, sink: Sink) -> Any:
    """Return `app`, WSGI or ASGI by its looks, so wrapped that `sink` gets a note of each event."""
    return watch_asgi(app, sink) if looks_like_asgi(app) else watch_wsgi(app, sink)


def watch_wsgi(app: Callable[..., Any], sink: Sink) -> Callable[..., Iterable[bytes]]:
    """Return a WSGI app that behaves as `app` does and notes every event in `sink`."""

    def watched(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        call = Call(sink)
        call.note("call", interface="wsgi", method=environ.get("REQUEST_METHOD"),
                  peer=port_of(environ.get("REMOTE_PORT")),
                  environ=texts_of(shown.environ(environ)))
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


def _watched_start(start_response: Callable[..., Any], call: Call) -> Callable[..., Any]:
    def watched_start_response(*args: Any, **kwargs: Any) -> Any:
        # Passed on as they came: a wrong call is the server's to refuse.
        status, headers, exc_info = (*args, None, None, None)[:3]
        call.note("start_response", status=str(status), **headers_of(headers),
                  exc_info=bool(exc_info or kwargs.get("exc_info")))
        write = start_response(*args, **kwargs)

        def watched_write(data: bytes) -> Any:
            call.note("write", **preview_of(data))
            return write(data)

        return watched_write

    return watched_start_response


class _Input:
    """Pass wsgi.input through, and note how much was read by which method."""

    def __init__(self, stream: Any, call: Call) -> None:
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

    def __init__(self, result: Any, call: Call) -> None:
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
        self._call.note("chunk", **preview_of(chunk))
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


def _describe(result: Any) -> str:
    name = type(result).__name__
    return f"{name} of {len(result)}" if hasattr(result, "__len__") else name
