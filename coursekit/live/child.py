"""A server as a child process, behind servers/_child.py."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

import servers._child
from coursekit.doctor import PLACES
from coursekit.live.errors import ServerError
from coursekit.live.log import KNOCK
from coursekit.live.processes import role

UP_WITHIN = 30.0  # seconds a server may take to answer; a cold Django on a small pod needs ten
GRACE = 5.0  # seconds between the polite request to end and SIGKILL
LOG = 4 * 2**20  # bytes of a log that are read: a flood must not fill the kernel
TRIES = 5  # free ports to try with a server that cannot be handed a socket

Words = Callable[..., list[str]]


class Child:
    """Run one server process and its workers.

    `words(port=, fd=, folder=)` returns the command line. Every method may be called at
    any time, from any thread; `stop` may be called twice.
    """

    def __init__(self, name: str, words: Words, takes_fd: bool, install: str) -> None:
        self.name, self.words, self.takes_fd, self.install = name, words, takes_fd, install
        self.address = ("127.0.0.1", 0)
        self.env: dict[str, str] = {}
        self.folder: Path | None = None
        self.workers = 1  # more than one: the server is up when all of them are
        self.upstream: Any = None  # of a front: a Server, or whatever has an address
        self.ready = ""  # what each worker's log says when it is up; "": it answers a knock
        self.failed = ""  # what its log says when it runs on without an app
        self.ending = False  # True once somebody asked for the end
        self._process: subprocess.Popen[bytes] | None = None
        self._kept = ""  # the log after the folder is gone
        self._owner = os.getpid()

    # -- start

    def start(self) -> None:
        """Start, and return when the server answers; ServerError says why it did not."""
        self.ending, self._kept = False, ""
        for attempt in range(TRIES):
            self._make_folder()
            try:
                self._launch()
                self._wait_until_up()
                return
            except ServerError as error:
                self.stop()
                self.address = ("127.0.0.1", 0)
                in_use = "in use" in str(error).lower() and not self.takes_fd
                if not in_use or attempt == TRIES - 1:
                    raise
            except BaseException:
                self.stop()
                raise

    def _make_folder(self) -> Path:
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="live-"))
        return self.folder

    def new_file(self, name: str) -> Path:
        """Return the path of a file of ours that goes when the server is stopped."""
        return self._make_folder() / name

    def _launch(self) -> None:
        listener = _bind(self.address)
        self.address = listener.getsockname()[:2]
        fd = listener.fileno() if self.takes_fd else None
        if fd is None:
            listener.close()
        try:
            words = self.words(port=self.address[1], fd=fd, folder=str(self.folder), **self._behind)
            command = [self._find(words[0]), *words[1:]]
            shim = [sys.executable, "-I", "-S", servers._child.__file__]
            self._log_file.write_bytes(b"")
            with open(self._log_file, "ab") as log:  # httpd opens it once more: both must append
                self._process = subprocess.Popen(
                    [*shim, str(fd or "-"), str(self.folder), *command],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=[fd] if fd else [],
                    env=_environment(self.env),
                    start_new_session=True,
                )
        finally:
            listener.close()

    @property
    def _behind(self) -> dict[str, Any]:
        return {"upstream": self.upstream.address} if self.upstream is not None else {}

    def _find(self, program: str) -> str:
        """Return the path of a program of this Python, or of this machine."""
        if program == "python":
            return sys.executable
        folders = [sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath), *PLACES]
        path = shutil.which(program, path=os.pathsep.join(folders))
        if path is None:
            raise ServerError(f"{program} is not on this machine. What brings it: {self.install}")
        return path

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + UP_WITHIN
        while time.monotonic() < deadline:
            if not self.running or self._says(self.failed, 1):
                raise ServerError(f"{self.name} did not start: {self.last_words()}")
            if self._is_up() and self._all_workers():
                return
            time.sleep(0.02)
        raise ServerError(f"{self.name} did not answer in {UP_WITHIN:.0f} s: {self.last_words()}")

    def _is_up(self) -> bool:
        if not self.ready:
            return _answers(self.address)
        return self._says(self.ready, self.workers) and _listens(self.address)

    def _says(self, pattern: str, times: int) -> bool:
        return bool(pattern) and len(re.findall(pattern, self.read_log())) >= times

    def _all_workers(self) -> bool:
        if self.workers == 1 or self._process is None:
            return True
        # Below the shim: the master, then its workers.
        below = psutil.Process(self._process.pid).children(recursive=True)
        return sum(role(process) != "helper" for process in below) > self.workers

    # -- while it runs

    @property
    def pid(self) -> int | None:
        """The shim's process id, which is also the group's."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """True while the server's first process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def _log_file(self) -> Path:
        assert self.folder is not None
        return self.folder / "log"

    def read_log(self) -> str:
        """Return what the server wrote since it was started: the last 4 MiB."""
        if self.folder is None or not self._log_file.exists():
            return self._kept
        with open(self._log_file, "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - LOG))
            return log.read().decode("utf-8", "replace")

    def last_words(self) -> str:
        """Say how the process ended, and what it wrote last."""
        status = self._process.poll() if self._process else None
        if status is None:
            how = "the process runs"
        elif status < 0:
            how = f"it was ended by {signal.Signals(-status).name}"
        else:
            how = f"it ended with exit status {status}"
        lines = [line for line in self.read_log().splitlines() if line.strip()]
        return "\n".join([how + (". Its last lines:" if lines else "."), *lines[-12:]])

    def failures(self) -> list[str]:
        """Return a sentence if the process ended though nobody asked for it."""
        if self._process is None or self.running or self.ending:
            return []
        return [f"{self.name} ended by itself: {self.last_words()}"]

    def signal_all(self, number: int) -> None:
        """Send a signal to the server, its workers and the shim."""
        self.ending = True
        if self._process is not None:
            _signal_group(self._process.pid, number)

    # -- stop

    def stop(self) -> None:
        """End the server: politely, then by force; remove its folder."""
        if self._owner != os.getpid():
            return  # a fork of the kernel does not own the kernel's servers
        self.ending = True
        process = self._process
        if process is not None and process.stdin is not None:
            process.terminate()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                _kill_below(process.pid)
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
            process.stdin.close()
        if self.folder is not None:
            self._kept, folder = self.read_log(), self.folder
            self.folder = None
            shutil.rmtree(folder, ignore_errors=True)


def _bind(address: tuple[str, int]) -> socket.socket:
    """Return a bound socket that does not listen yet: the server does that when it is ready."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError:  # after a restart: somebody else has the old port now
        listener.bind((address[0], 0))
    return listener


def _listens(address: tuple[str, int]) -> bool:
    """Connect and leave without a word: some write that they are up a moment before they listen."""
    try:
        socket.create_connection(address, 1.0).close()
        return True
    except OSError:
        return False


def _answers(address: tuple[str, int]) -> bool:
    """Knock with bytes that are no request: a worker that lives refuses them, no app is called."""
    try:
        with socket.create_connection(address, 1.0) as sock:
            sock.sendall(KNOCK)
            return sock.recv(1) != b""  # nothing: whoever listened is going away
    except OSError:
        return False


def _environment(extra: dict[str, str]) -> dict[str, str]:
    """Return this process's environment without Jupyter's tokens: a server needs none."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY_"))}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", **extra}


def _kill_below(pid: int) -> None:
    """Kill what a process started, the youngest first: whoever started it is there to reap it."""
    with suppress(psutil.NoSuchProcess):
        for process in reversed(psutil.Process(pid).children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.kill()
            psutil.wait_procs([process], timeout=0.5)


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS: EPERM when only zombies are left
        pass
