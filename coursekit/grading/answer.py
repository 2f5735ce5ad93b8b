"""The judge's hand on the answer process: call, run, serve; only plain data comes back.

    answer.call("parse_head", b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")   -> plain data
    answer.raises("ProtocolError", "parse_head", b"GET\\r\\n\\r\\n", status=400)
    with answer.serve(install={"servers.wsgi.run_app": "run_app"}) as server:
        server.send(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n").status

Rule 1  What the process sends is read by ast.literal_eval and nothing else.
Rule 2  Every wait ends at the deadline of the check: the process is killed, the check has failed.
Rule 3  A process that served, died or ran out of time is thrown away; the next check has its own.
"""

from __future__ import annotations

import inspect
import random
import socket
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from coursekit.grading.channel import Channel, Died
from coursekit.grading.failures import Failure, cut, shown
from coursekit.grading.peer import Peer
from coursekit.grading.sandbox import HERE, Confined, Limits, start
from coursekit.grading.served import Served

START_WITHIN = 30.0  # seconds for an interpreter to start, on a busy machine


class LearnerError(Exception):
    """The learner's code raised what the check did not ask for; `what` describes it."""

    def __init__(self, what: dict[str, Any]) -> None:
        super().__init__(f"{what['type']}: {what['message']}")
        self.what = what


class OutOfTime(Exception):
    """The check's time is up."""


class CannotStart(Exception):
    """The machine could not start an answer process: nobody's answer is to blame."""


def source_of(*functions: Callable[..., Any]) -> str:
    """Return the source of functions of a check, to be sent into the answer process."""
    return "\n\n".join(textwrap.dedent(inspect.getsource(one)) for one in functions)


class Answer:
    """Hold one learner's answer to one exercise and the process that runs it."""

    def __init__(self, setup: str, source: str, seed: str, limits: Limits | None = None) -> None:
        self._setup, self._source, self._seed = setup, source, seed
        self._limits = limits
        self._confined: Confined | None = None
        self._channel: Channel | None = None
        self._timer: threading.Timer | None = None
        self._deadline = 0.0
        self._check, self._loaded = "", False
        self.used_seed = False
        self.late = False
        self.evidence: list[tuple[str, str]] = []
        self.replay: str | None = None
        self.background: list[dict[str, Any]] = []
        self.log: list[tuple[str, str, dict[str, Any] | None]] = []

    # What checks use

    @property
    def random(self) -> random.Random:
        """Random numbers that are the same for the same seed and check."""
        self.used_seed = True
        if not hasattr(self, "_random"):
            self._random = random.Random(f"{self._seed}/{self._check}")
        return self._random

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function of the learner and return its result as plain data.

        An argument made by `peer` becomes a socket.
        """
        given = [repr(arg) for arg in args] + [f"{key}={arg!r}" for key, arg in kwargs.items()]
        self.replay = None
        self.evidence = [("called", cut(f"{name}({', '.join(given)})"))]
        peers = [arg for arg in args if isinstance(arg, Peer)]
        if not peers:
            return self._ask("call", name, *args, **kwargs)
        plain = [("socket", peers.index(arg)) if isinstance(arg, Peer) else arg for arg in args]
        self.ready()
        sockets = [peer.begin(self._deadline) for peer in peers]
        try:
            return self._ask("call_with", name, plain, kwargs, sockets=sockets)
        finally:
            for peer, one in zip(peers, sockets, strict=True):
                peer.over()
                one.close()

    def peer(self, *pieces: bytes, end: bool = False) -> Peer:
        """Return the other end of a socket to give to `call`: it brings the pieces one by one.

        `end` closes its direction after the last piece. `.received` is what came back.
        """
        return Peer(pieces, end=end)

    def value(self, name: str) -> Any:
        """Return a name's value as plain data."""
        self.replay, self.evidence = None, []
        return self._ask("named", name)

    def run(
        self, harness: Callable[..., Any], *args: Any, using: tuple[Callable[..., Any], ...] = ()
    ) -> Any:
        """Run a function of the check inside the answer process, among the learner's names.

        Its source is sent, with that of the functions in `using`; it imports what it needs
        itself, and what it returns is plain data.
        """
        self.replay, self.evidence = None, []
        return self._ask("run", source_of(*using, harness), harness.__name__, *args)

    def raises(
        self, kind: str, name: str, *args: Any, status: int | None = None, **kwargs: Any
    ) -> None:
        """Call a function that must raise an exception of this name (and `status`)."""
        wanted = kind if status is None else f"{kind} with status {status}"
        try:
            value = self.call(name, *args, **kwargs)
        except LearnerError as error:
            self._compare(kind, status, wanted, error)
        else:
            raise Failure(
                ("expected", wanted), ("got", f"no exception; it returned {shown(value)}"),
                likely="this input was accepted",
            )  # fmt: skip

    def _compare(self, kind: str, status: int | None, wanted: str, error: LearnerError) -> None:
        what = error.what
        if kind not in what["kinds"]:
            raise error
        if status is not None and what["status"] != status:
            raise Failure(
                ("expected", wanted), ("got", f"{what['type']} with status {what['status']}"),
                likely="the right refusal, but another status tells the client what to mend",
            )  # fmt: skip

    @contextmanager
    def serve(
        self,
        app: str | Callable[..., Any] = "apps.hello_wsgi:app",
        install: dict[str, str] | None = None,
        mode: str = "threads",
    ) -> Iterator[Served]:
        """Serve an app with the toy, the learner's functions in it; `mode`: "threads" or "serial".

        `app` is "module:attribute", the name of an app in the learner's cell, or a function of
        the check that returns an app, sent as `run` sends a harness. `install` says which
        function goes where: {"servers.wsgi.run_app": "run_app"}.
        """
        if callable(app):
            app = f"{app.__name__}\n{source_of(app)}"
        with self._serving("serve", app, install or {}, mode) as served:
            yield served

    @contextmanager
    def serve_with(self, name: str, *args: Any) -> Iterator[Served]:
        """Serve with the learner's own function, called with a listening socket and `args`."""
        with self._serving("serve_with", name, *args) as served:
            yield served

    @contextmanager
    def _serving(self, verb: str, *args: Any) -> Iterator[Served]:
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            self._ask(verb, *args, sockets=[listener])
            served = Served(listener.getsockname()[:2], self)
            listener.close()  # the answer process holds it now: when it dies, the port is free
            try:
                yield served
                self.settle(0.3)
            except Failure:
                with suppress(Died, OutOfTime):  # what broke out of sight belongs to the message
                    self.settle(0.3)
                raise
            finally:
                self.stop()

    # What the judge uses

    @contextmanager
    def within(self, seconds: float, check: str) -> Iterator[None]:
        """Run one check: at its deadline the process is killed, whoever waits for it."""
        self._check, self.late, self.background, self.log = check, False, [], []
        self.evidence, self.replay = [], None
        self.__dict__.pop("_random", None)
        self._timer = threading.Timer(seconds, self._out_of_time)
        self._timer.daemon = True
        self._deadline = time.monotonic() + seconds
        self._timer.start()
        try:
            yield
        finally:
            self._timer.cancel()
            if self.late:
                self.stop()

    def ready(self) -> None:
        """Start the process and let it run the learner's cell, if it does not run yet."""
        self.start()
        if not self._loaded:
            self._loaded = True
            self._ask("run_cell", self._source)

    def start(self) -> None:
        """Start the process, with the setup cells alone; CannotStart if the machine refuses."""
        if self._channel is None:
            self._start()

    def settle(self, patience: float = 0.05) -> None:
        """Let hidden exceptions come up; they are in `background` then."""
        if self._channel is not None:
            self._ask("settle", patience)

    def stop(self) -> None:
        """End the process and everything it started."""
        if self._channel:
            self._channel.close()
        if self._confined:
            self._confined.end()
        self._channel = self._confined = None
        self._loaded = False

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._confined = start(
                    [str(HERE / "inside.py")], stdin=theirs.fileno(), limits=self._limits
                )
        except OSError as error:
            raise CannotStart(f"no answer process: {error}") from error
        self._channel = Channel(ours, START_WITHIN)
        try:
            kind, value, _ = self._channel.exchange(("set_up", (self._setup,), {}), [])
        except (OSError, Died) as error:
            self.stop()
            raise CannotStart(f"the answer process did not start: {error!r}") from error
        if kind == "raised":
            self.stop()
            raise CannotStart(f"the setup cells fail: {value['type']}: {value['message']}")

    def _out_of_time(self) -> None:
        self.late = True
        if self._confined:
            self._confined.end()

    def _ask(
        self, verb: str, *args: Any, sockets: list[socket.socket] | None = None, **kwargs: Any
    ) -> Any:
        if verb != "run_cell":
            self.ready()
        assert self._channel
        self._channel.wait(max(0.05, self._deadline - time.monotonic() + 1))
        try:
            kind, value, notes = self._channel.exchange((verb, args, kwargs), sockets or [])
        except (TimeoutError, Died) as error:
            if self.late or isinstance(error, TimeoutError):
                self.late = True
                raise OutOfTime from None
            self.stop()
            raise Died from None
        self.background += notes.get("background", [])
        self.log += notes.get("log", [])
        if kind == "raised":
            raise LearnerError(value)
        return value
