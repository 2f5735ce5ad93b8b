"""Run a learner's code for the judge, in the answer process. Started by `confined.py` only.

One socket (descriptor 0) brings requests and takes replies; both are the repr of plain data.
Nothing in here decides: it holds no expected value and no check.

Rule 1  Only the standard library, and no import of the course: this file runs on its own.
Rule 2  A reply is ("ok", value, notes) or ("raised", what, notes); notes are the background
        exceptions and log lines since the last reply.
"""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import enum
import gc
import importlib
import inspect
import linecache
import logging
import math
import os
import re
import socket
import struct
import sys
import threading
import time
import types
from collections.abc import Callable
from typing import Any

LARGEST = 2**20  # bytes of one reply
CELL = "<your cell>"
notes: dict[str, list[Any]] = {"background": [], "log": []}
names: dict[str, Any] = {}
kept: list[Any] = []


class NotDefined(Exception):
    """The learner's cell does not define what the exercise asks for."""


def plain(value: Any, depth: int = 40) -> Any:
    """Return a value as data that ast.literal_eval can read back; other objects become a text."""
    # long: a row for each kind of value
    if depth == 0:
        return "<nested too deep>"
    if isinstance(value, enum.Enum) and not isinstance(value, (int, str)):
        return value.name
    if value is None or value is Ellipsis or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name), depth - 1) for field in fields}
    if isinstance(value, dict):
        # A dataclass as a key becomes a dict, which cannot be one: so its text.
        pairs = ((plain(key, depth - 1), plain(item, depth - 1)) for key, item in value.items())
        return {repr(key) if isinstance(key, dict) else key: item for key, item in pairs}
    for shape in (list, tuple):
        if isinstance(value, shape):
            return shape(plain(item, depth - 1) for item in value)
    if isinstance(value, (set, frozenset)):
        return {plain(item, depth - 1) for item in value}
    return f"<{type(value).__name__}>"


def described(error: BaseException | None) -> dict[str, Any]:
    """Return an exception as data, with the line of the learner's cell that it passed last."""
    found: dict[str, Any] = {"line": None, "text": ""}
    trace = error.__traceback__ if error else None
    while trace:
        if trace.tb_frame.f_code.co_filename == CELL:
            found["line"] = trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename == CELL:
        found["line"] = error.lineno
    if found["line"]:
        found["text"] = linecache.getline(CELL, found["line"]).strip()[:200]
    status = getattr(error, "status", None)
    return found | {
        "type": type(error).__name__,
        "kinds": [kind.__name__ for kind in type(error).__mro__],
        "message": str(error)[:2000],
        "status": status if isinstance(status, int) else None,
    }


def watch_background() -> None:
    """Note exceptions that Python would only print: in threads, tasks and destructors."""

    def note(where: str, error: BaseException | None) -> None:
        notes["background"].append(described(error) | {"where": where})

    def in_thread(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_type is not SystemExit:
            note("a thread", arguments.exc_value)

    def in_loop(_loop: Any, context: dict[str, Any]) -> None:
        if context.get("exception") is not None:
            note("an asyncio task", context["exception"])

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            what = described(error) if error else None
            notes["log"].append((record.levelname, record.getMessage()[:500], what))

    threading.excepthook = in_thread
    sys.unraisablehook = lambda found: note("a destructor", found.exc_value)
    setattr(asyncio.BaseEventLoop, "default_exception_handler", in_loop)  # noqa: B010
    logging.getLogger("servers").addHandler(Lines())


def set_up(setup: str) -> None:
    """Make that module and run the setup cells in it."""
    global names
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    names = module.__dict__
    run_cell(setup, "<setup>")


def remember(source: str, name: str) -> None:
    """Let tracebacks show the lines of this source."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)


def run_cell(source: str, name: str = CELL) -> None:
    """Run a cell in the learner's module, top-level await and magics allowed."""
    remember(source, name)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        code = compile(source, name, "exec", flags=flags, dont_inherit=True)
    except SyntaxError:
        # Magics are the notebook's, not Python's: without them the cell may be fine.
        without = re.sub(r"^[ \t]*[%!?].*$", "pass", source, flags=re.M)
        if without == source:
            raise
        code = compile(without, name, "exec", flags=flags, dont_inherit=True)
    finished(eval(code, names))


def named(name: str) -> Any:
    """Look a name up in the learner's cell: `parse_head`, `Reader.feed`."""
    first, *rest = name.split(".")
    if first not in names:
        raise NotDefined(f"your cell defines no {first}")
    value = names[first]
    for attribute in rest:
        value = getattr(value, attribute)
    return value


def call(name: str, *args: Any, **kwargs: Any) -> Any:
    """Call a function of the learner."""
    return finished(named(name)(*args, **kwargs))


def finished(result: Any) -> Any:
    """Run a coroutine to its end; anything else is finished."""
    return asyncio.run(result) if inspect.iscoroutine(result) else result


def call_with(*given: Any) -> Any:
    """Call a function with sockets: in `args`, ("socket", 0) stands for the first one."""
    *sockets, name, args, kwargs = given
    marks = [("socket", number) for number in range(len(sockets))]
    args = [sockets[marks.index(arg)] if arg in marks else arg for arg in args]
    try:
        return call(name, *args, **kwargs)
    finally:
        for one in sockets:
            one.close()


def run(source: str, name: str, *args: Any) -> Any:
    """Run a harness of the judge: a function that sees the learner's names."""
    inside = dict(names)
    remember(source, "<harness>")
    exec(compile(source, "<harness>", "exec", dont_inherit=True), inside)
    return finished(inside[name](*args))


def serve(listener: socket.socket, app: str, install: dict[str, str], mode: str) -> None:
    """Serve an app with the toy on the judge's socket, the learner's functions in place."""
    for target, name in install.items():
        module, _, attribute = target.rpartition(".")
        setattr(importlib.import_module(module), attribute, named(name))
    if "\n" in app:  # a function of the check, and its source
        name, _, source = app.partition("\n")
        application = run(source, name)
    elif ":" in app:
        module, _, attribute = app.partition(":")
        application = getattr(importlib.import_module(module), attribute)
    else:
        application = named(app)
    workers = importlib.import_module("servers.workers")
    start(getattr(workers, f"serve_{mode}"), listener, application)


def serve_with(listener: socket.socket, name: str, *args: Any) -> None:
    """Serve with the learner's own function, which takes the listener."""
    kept.append(listener)  # or it would close by itself when the function returns, soon or late
    start(named(name), listener, *args)


def start(function: Any, *args: Any) -> None:
    """Serve in a thread from now on."""
    threading.Thread(target=lambda: finished(function(*args)), name="server", daemon=True).start()


def settle(patience: float = 0.05) -> None:
    """Let hidden exceptions come up: of threads that are about to end, and of forgotten tasks.

    asyncio reports a task when it is collected; a client may see its connection close before the
    thread that served it has reported why. `patience` is in seconds, for threads that live on.
    """
    until = time.monotonic() + patience
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(max(0.0, until - time.monotonic()))
    gc.collect()


STEPS = (set_up, run_cell, call, call_with, named, run, serve, serve_with, settle)
VERBS: dict[str, Callable[..., Any]] = {step.__name__: step for step in STEPS}


def answer(channel: socket.socket) -> None:
    """Answer one request."""
    text, sockets = receive(channel)
    verb, args, kwargs = ast.literal_eval(text)
    home = os.getpid()
    try:
        found = ("ok", plain(VERBS[verb](*sockets, *args, **kwargs)))
    except BaseException as error:
        found = ("raised", described(error))
    if os.getpid() != home:  # a forked child came back: it must not answer
        os._exit(0)
    taken = {kind: lines[:20] for kind, lines in notes.items()}
    for lines in notes.values():
        lines.clear()
    data = repr((*found, taken)).encode("utf-8", "backslashreplace")
    if len(data) > LARGEST:
        too_big = described(OverflowError(f"what came back is larger than {LARGEST} bytes"))
        data = repr(("raised", too_big, {})).encode()
    channel.sendall(struct.pack("!Q", len(data)) + data)


def receive(channel: socket.socket) -> tuple[str, list[socket.socket]]:
    """Read one request and the sockets that came with it."""
    head, descriptors, _, _ = socket.recv_fds(channel, 8, 8)
    while 0 < len(head) < 8:
        head += channel.recv(8 - len(head))
    if not head:
        os._exit(0)  # the judge is gone
    size, data = struct.unpack("!Q", head)[0], b""
    while len(data) < size:
        data += channel.recv(min(65536, size - len(data)))
    return data.decode(), [socket.socket(fileno=number) for number in descriptors]


def main() -> None:
    """Take the channel from descriptor 0 and answer until the judge leaves."""
    channel = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    watch_background()
    while True:
        answer(channel)
