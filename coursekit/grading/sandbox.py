"""Start a process that runs a learner's code, and end it with everything it started.

With bubblewrap (Linux): an own read-only root that holds Python, the course's packages and the
system's libraries, nothing else; own network with a loopback, own process ids, a small /tmp.
Everywhere: resource limits, an empty environment, a folder of its own, its own session.
`contained()` says what the machine at hand gives; the report repeats it.

Rule 1  A limit is never dropped to make a start succeed: what cannot be had is said.
Rule 2  `end` returns when the process is gone; children that left its session are looked for.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from coursekit.grading.source import ROOT

HERE = Path(__file__).parent
# What a learner's code may read of the project, and of the system.
SEEN = ("servers", "apps", "coursekit", "tests/wire")
SYSTEM = """
    /usr /lib /lib64 /bin /sbin /etc/ld.so.cache /etc/passwd /etc/group /etc/hosts /etc/localtime
    /etc/mime.types /etc/alternatives /etc/ssl
""".split()
MARK = "COURSEKIT_ANSWER"  # in the environment of every confined process, to find strays by
MiB = 2**20


@dataclass(frozen=True)
class Limits:
    """Hold what a confined process may use; memory in bytes, `cpu` in seconds."""

    cpu: int = 60
    data: int = 1024 * MiB
    file: int = 16 * MiB
    files: int = 1024
    processes: int = 64

    def rlimits(self, others: int) -> dict[str, int]:
        """Return them by resource name; `others` processes of this user run already."""
        return {
            "CPU": self.cpu,
            "DATA": self.data,
            "AS": 8 * self.data,
            "FSIZE": self.file,
            "NOFILE": self.files,
            "NPROC": self.processes + others,
            "CORE": 0,
        }


@dataclass
class Confined:
    """Hold a running confined process; `token` marks its descendants."""

    process: subprocess.Popen[bytes]
    token: str
    folder: tempfile.TemporaryDirectory[str] | None

    def end(self) -> None:
        """Kill the process and all it started; wait until they are gone."""
        deadline = time.monotonic() + 2
        found = descendants(self.process.pid)
        _kill(found)
        if contained().namespaces and found:
            self._reaped(2)  # bubblewrap collects its children, then leaves
        _signal_group(self.process.pid)
        self.process.wait()
        _gone(found, deadline)
        if (
            not contained().namespaces
        ):  # strays that left the session, and those they start meanwhile
            while (found := marked_with(self.token)) and time.monotonic() < deadline:
                _kill(found)
                _gone(found, deadline)
        if self.folder:
            self.folder.cleanup()

    def _reaped(self, seconds: float) -> None:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.Error:
            continue


def _gone(processes: Iterable[psutil.Process], deadline: float) -> None:
    """Wait until processes have ended; one that nobody collects stays as a harmless zombie."""
    for process in processes:
        while time.monotonic() < deadline:
            try:
                if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                    break
            except psutil.Error:
                break
            time.sleep(0.005)


def _signal_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def descendants(pid: int) -> list[psutil.Process]:
    """Return the processes that a process started, and those that they started."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def marked_with(token: str) -> list[psutil.Process]:
    """Return this user's processes whose environment holds the token."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == token and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@dataclass(frozen=True)
class Containment:
    """Say how far a learner's code is held on this machine."""

    namespaces: bool
    why_not: str = ""

    def __str__(self) -> str:
        limits = "time, open files, file size"
        if sys.platform == "linux":
            limits += ", memory"
        if self.namespaces:
            walls = "contained: network, processes, files (bubblewrap)"
            return f"{walls}; limited: {limits}, number of processes"
        if os.getuid() != 0:  # root is not bound by it
            limits += ", number of processes"
        return (
            f"limited: {limits}. NOT contained here ({self.why_not}): the answers can read this"
            " user's files, the solutions among them, and use the network"
        )


@functools.cache
def contained() -> Containment:
    """Find out once what this machine gives, by trying it."""
    if not sys.platform.startswith("linux"):
        return Containment(False, "bubblewrap needs Linux")
    if not shutil.which("bwrap"):
        return Containment(False, "bubblewrap is not installed")
    command = [*bubblewrap(), sys.executable, "-I", "-c", "import json, socket"]
    tried = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    if tried.returncode:
        said = tried.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        return Containment(False, f"bubblewrap does not work: {said[-1]}")
    return Containment(True)


def bubblewrap(write: Iterable[Path] = ()) -> list[str]:
    """Return the command that starts another with a root, a network and process ids of its own."""
    pythons = {
        Path(sys.prefix),
        Path(sys.base_prefix),
        Path(os.path.realpath(sys.executable)).parent,
    }
    shown = sorted({*map(Path, SYSTEM), *pythons, *(ROOT / name for name in SEEN)})
    arguments = ["bwrap", "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-net"]
    arguments += ["--unshare-ipc", "--unshare-uts", "--proc", "/proc", "--dev", "/dev"]
    arguments += ["--perms", "1777", "--size", str(64 * MiB), "--tmpfs", "/tmp"]
    arguments += ["--perms", "1777", "--size", str(4 * MiB), "--tmpfs", "/dev/shm"]
    made: set[Path] = {Path("/"), Path("/tmp"), Path("/dev")}
    for path in (*shown, *write):
        for parent in reversed(path.parents):
            if parent not in made and not any(parent.is_relative_to(other) for other in shown):
                # Without a mode bubblewrap makes it 0700, and a user without rights is locked out.
                arguments += ["--perms", "0755", "--dir", str(parent)]
                made.add(parent)
        arguments += ["--bind" if path in write else "--ro-bind-try", str(path), str(path)]
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--"]


def start(
    command: list[str],
    *,
    limits: Limits | None = None,
    stdin: int = subprocess.DEVNULL,
    write: Iterable[Path] = (),
    environ: dict[str, str] | None = None,
) -> Confined:
    """Start a command (a program, or a Python file with `main`) confined; OSError if it cannot."""
    token = os.urandom(8).hex()
    folder = None
    if not contained().namespaces:
        folder = tempfile.TemporaryDirectory(prefix="answer-", ignore_cleanup_errors=True)
    home = folder.name if folder else "/tmp"
    wrap = [] if folder else bubblewrap(write)
    confining = {"uid": _own_user(), "rlimits": (limits or Limits()).rlimits(_others())}
    process = subprocess.Popen(
        [*wrap, sys.executable, "-I", str(HERE / "confined.py"), json.dumps(confining), *command],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=home if folder else "/",
        env=_environ(home, token) | (environ or {}),
        start_new_session=True,
    )
    return Confined(process, token, folder)


def _environ(home: str, token: str) -> dict[str, str]:
    """Return an environment without secrets: nothing but where programs are."""
    return {
        "PATH": os.pathsep.join(
            [str(Path(sys.executable).parent), "/usr/bin", "/bin", "/usr/sbin"]
        ),
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "2",  # glibc reserves 64 MiB of addresses for every further one
        MARK: token,
    }


def _own_user() -> int | None:
    """Return a user number for one answer process if we may change to it and it can then read.

    A process limit does not bind root, and it counts all processes of a user: so one each.
    Without namespaces Python itself may lie in a folder that only root can enter.
    """
    if os.getuid() != 0 or not contained().namespaces:
        return None
    return 100_000 + os.getpid() % 10_000 * 100 + os.urandom(1)[0] % 100


def _others() -> int:
    """Count this user's threads outside: without a user of its own they count against the limit."""
    if os.getuid() == 0:
        return 0
    mine = psutil.process_iter(["uids", "num_threads"])
    return sum(
        process.info["num_threads"] or 1
        for process in mine
        if process.info["uids"] and process.info["uids"].real == os.getuid()
    )
