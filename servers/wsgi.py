"""Events in, a call out: the server's side of WSGI (PEP 3333), with no sockets.

Rule 1  A string here is bytes decoded as latin-1: transport, never text.
Rule 2  The head leaves with the first bytes of the body. Until then the answer can still
        become a 500; after that only breaking off is honest.
Rule 3  What the app returned is closed exactly once, whatever happens.
Left out: wsgi.early_hints, run_once (Gunicorn has the first, CGI the second).
"""

import io
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.types import WSGIApplication
from wsgiref.util import FileWrapper, is_hop_by_hop

from servers.head import Request, wants_keep_alive
from servers.http11 import encode_chunk, encode_field

Environ = dict[str, Any]
Fields = list[tuple[str, str]]
Send = Callable[[bytes], None]
Date = Callable[[], bytes]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class AppError(Exception):
    """Say which rule of PEP 3333 the application broke."""


# --- the request: environ and wsgi.input ---------------------------------------------


def base_environ(
    host: str, port: int, script_name: str = "", threads: bool = False, processes: bool = False
) -> Environ:
    """Return the part of environ that is the same for every request to one server."""
    return {
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SCRIPT_NAME": script_name,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": threads,
        "wsgi.multiprocess": processes,
        "wsgi.run_once": False,
        # Not in the PEP, but the only way to say that read() stops at a chunked body's end.
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }


def environ_for(
    request: Request, base: Environ, peer: tuple[str, int], body: io.BufferedIOBase
) -> Environ:
    """Return the environ dictionary of PEP 3333 for one request."""
    method, target, version, _, fields = request
    environ = base.copy()
    environ["REQUEST_METHOD"] = method.decode("ascii")
    environ["REQUEST_URI"] = uri = target.decode("ascii")  # as it came: the way back from %2F
    path, _, query = uri.partition("?")
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path
    environ["QUERY_STRING"] = query
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if version == (1, 1) else "HTTP/1.0"
    environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = peer[0], str(peer[1])
    environ["wsgi.input"] = body
    for name, value in fields.items():
        if key := environ_key(name):
            environ[key] = value.decode("latin-1")
    if base["SCRIPT_NAME"]:
        cut_script_name(environ)
    return environ


@lru_cache(maxsize=256)
def environ_key(name: bytes) -> str:
    """Return the environ key of a header; "" if it is dropped."""
    if b"_" in name:
        # X_Auth and X-Auth would both be HTTP_X_AUTH: a client could forge what a proxy sets.
        return ""
    key = name.decode("ascii").upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


def cut_script_name(environ: Environ) -> None:
    """Move the prefix where the app is mounted from PATH_INFO to SCRIPT_NAME."""
    prefix, path = environ["SCRIPT_NAME"], environ["PATH_INFO"]
    if path == prefix or path.startswith(prefix + "/"):
        environ["PATH_INFO"] = path[len(prefix) :]
    else:
        environ["SCRIPT_NAME"] = ""


class BodyInput(io.RawIOBase):
    """Make a readable file of `more`, which returns the body's next piece, b"" at its end.

    `io.BufferedReader(BodyInput(more))` is a wsgi.input with read, readline, readlines
    and iteration (PEP 3333, Input and Error Streams).
    """

    def __init__(self, more: Callable[[], bytes]) -> None:
        self.more = more
        self.piece = b""

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        """Fill `target` with what is there, at most one piece; return its size, 0 at the end."""
        self.piece = self.piece or self.more()
        size = min(len(target), len(self.piece))
        target[:size], self.piece = self.piece[:size], self.piece[size:]
        return size


# --- the answer: start_response and the body -----------------------------------------

STATUS = re.compile(r"[2-9][0-9]{2} [^\x00-\x1f\x7f]*")


@lru_cache(maxsize=512)
def field_line(name: str, value: str) -> tuple[str, bytes]:
    """Return a header's name in lower case and its line on the wire; raise AppError.

    Cached, because nearly all of a server's answers carry the same few fields.
    """
    key = name.lower()
    if is_hop_by_hop(key):
        raise AppError(f"header {name!r} belongs to the server (PEP 3333, hop-by-hop)")
    if key == "content-length" and not re.fullmatch("[0-9]{1,18}", value):
        raise AppError(f"Content-Length is {value!r}")
    try:
        return key, encode_field(name.encode("latin-1"), value.encode("latin-1"))
    except ValueError as error:
        raise AppError(str(error)) from error


@lru_cache(maxsize=64)
def status_line(status: str) -> bytes:
    """Return the first line of an answer; raise AppError."""
    if not isinstance(status, str) or not STATUS.fullmatch(status):
        raise AppError(f"status must be a string like '200 OK', not {status!r}")
    return f"HTTP/1.1 {status}\r\n".encode("latin-1")


def head_lines(status: str, headers: Fields) -> tuple[list[bytes], int | None, bool]:
    """Return an answer's lines, its Content-Length, and if it is dated; raise AppError."""
    if type(headers) is not list:
        raise AppError(f"headers must be a list of (name, value), not {type(headers).__name__}")
    length, dated = None, False
    try:
        lines = [status_line(status)]
        for name, value in headers:
            key, line = field_line(name, value)
            if key == "content-length":
                size = int(value)
                if length not in (None, size):
                    raise AppError(f"Content-Length is {length}, and {value} too")
                if status[:3] == "204" or length is not None:
                    line = b""  # RFC 9110 8.6 forbids it in a 204, and two of them anywhere
                length = size
            dated = dated or key == "date"
            lines.append(line)
    except (ValueError, TypeError, AttributeError) as error:
        raise AppError(f"a status or header is not made of latin-1 strings: {error}") from error
    return lines, length, dated


class StartResponse:
    """Be the start_response callable of one request, and frame what the app sends.

    `send` takes bytes for the wire (`end` those that end the answer, if they may wait a little),
    `date` returns a Date field line, and `reusable` tells, when the head leaves, whether the
    server would keep the connection. After `finish`, `keep_alive` tells if the answer let it live.
    """

    __slots__ = ("bodiless", "chunked", "date", "dated", "done", "end", "keep_alive", "left",
                 "lines", "request", "reusable", "send", "sent", "surplus")  # fmt: skip

    def __init__(
        self, request: Request, send: Send, date: Date,
        reusable: Callable[[], bool] = lambda: True, end: Send | None = None,
    ) -> None:  # fmt: skip
        self.request, self.send, self.end = request, send, end or send
        self.date, self.reusable = date, reusable
        self.lines: list[bytes] = []  # of the head; empty until the app has called
        self.sent = self.done = False  # the head is on the wire; the whole answer is
        self.dated = self.chunked = self.keep_alive = False  # dated: the app gave a Date itself
        self.bodiless = request.method == b"HEAD"
        self.left: int | None = None  # bytes of the declared Content-Length still to come
        self.surplus = 0  # bytes the app sent beyond it, kept off the wire

    def __call__(
        self, status: str, headers: Fields, exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], None]:
        """Take status and headers; send nothing yet. Raise AppError, or exc_info if too late."""
        if exc_info and exc_info[1]:
            try:
                if self.sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # a traceback that holds its own frame is never freed
        elif self.lines:
            raise AppError("start_response was called a second time without exc_info")
        self.lines, self.left, self.dated = head_lines(status, headers)
        # RFC 9112 6.3: these answers never have a body, whatever a header says.
        self.bodiless = self.request.method == b"HEAD" or status[:3] in ("204", "304")
        return self.write

    def write(self, data: bytes, whole: bool = False) -> None:
        """Send a piece of the body, the head before the first; `whole`: there is no other."""
        if not isinstance(data, bytes):
            raise AppError(f"a body is made of bytes, not {type(data).__name__}")
        if not (data or whole):
            return
        head = b"" if self.sent else self.start(len(data) if whole else None)
        if self.bodiless:
            data = b""
        elif self.chunked:
            data = encode_chunk(data) if data else b""
        elif self.left is not None:
            if len(data) > self.left:  # never more than was declared
                self.surplus += len(data) - self.left
                data = data[: self.left]
            self.left -= len(data)
        (self.end if whole else self.send)(head + data)

    def finish(self) -> None:
        """End the body; raise AppError if the app sent less or more than it declared."""
        if not self.sent:
            self.end(self.start(0))
        if self.chunked:
            self.end(encode_chunk(b""))
        if self.left and not self.bodiless:
            raise AppError(f"the body ended {self.left} bytes before its Content-Length")
        self.done = True
        if self.surplus:
            raise AppError(f"the body is {self.surplus} bytes longer than its Content-Length")

    def start(self, length: int | None) -> bytes:
        """Return the head to send; `length` is the whole body's, if known."""
        if not self.lines:
            raise AppError("the app did not call start_response before its body")
        self.sent = True
        self.keep_alive = wants_keep_alive(self.request) and self.reusable()
        if self.left is None and not self.bodiless:
            if length is not None:
                self.lines.append(b"Content-Length: %d\r\n" % length)
                self.left = length
            elif self.request.version >= (1, 1):
                self.lines.append(b"Transfer-Encoding: chunked\r\n")
                self.chunked = True
            else:
                self.keep_alive = False  # RFC 9112 6.3: in HTTP/1.0 the end is the close
        if not self.dated:
            self.lines.append(self.date())
        if not self.keep_alive:
            self.lines.append(b"Connection: close\r\n")
        elif self.request.version < (1, 1):
            self.lines.append(b"Connection: keep-alive\r\n")
        return b"".join(self.lines) + b"\r\n"


def run_app(app: WSGIApplication, environ: Environ, response: StartResponse) -> None:
    """Call the app, send what it returns, close it; raise what the app or its mistake raises."""
    chunks = app(environ, response)
    try:
        # PEP 3333: of a sequence of one, the server may work out the Content-Length.
        whole = isinstance(chunks, (list, tuple)) and len(chunks) == 1
        for chunk in chunks:
            response.write(chunk, whole)
        response.finish()
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
