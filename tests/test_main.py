"""The command line, as a person and as a parent process use it."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager

import psutil
import pytest

from coursekit.live import wire
from servers import _child
from servers.__main__ import main

PATIENCE = 30.0
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def command(*arguments):
    return [sys.executable, "-m", "servers", *arguments]


def run(*arguments, cwd=None, **options):
    """Run the command to its end; return (status, output, error output)."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, cwd=cwd,
                          timeout=PATIENCE, **options)  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@contextmanager
def started(*arguments, **options):
    """Run the command meanwhile; yield it and the address that it printed."""
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, text=True, **options) as it:
        try:
            host, _, port = it.stdout.readline().strip().removeprefix("http://").rpartition(":")
            yield it, (host.strip("[]"), int(port))
        finally:
            it.kill()


@pytest.fixture
def folder(tmp_path):
    """A folder with apps in modules of all kinds."""
    (tmp_path / "mine.py").write_text(textwrap.dedent("""
        import os
        import time

        app = None
        number = 5

        def slow(environ, start_response):
            start_response("200 OK", [])
            yield b"begun "
            while not os.path.exists("go"):
                time.sleep(0.002)
            yield b"and done"

        def where(environ, start_response):
            start_response("200 OK", [])
            flags = [environ["wsgi.multithread"], environ["wsgi.multiprocess"]]
            return [repr([*flags, environ["SERVER_NAME"], environ["SERVER_PORT"]]).encode()]

        def fails(environ, start_response):
            raise LookupError("on purpose")
    """))
    (tmp_path / "broken.py").write_text("a = 1\nb = 1 / 0\n")
    (tmp_path / "wrong.py").write_text("def app(:\n")
    return tmp_path


# --- what a person mistypes ---


@pytest.mark.parametrize(("spec", "status", "says"), [
    ("mine", 2, "'mine' is not MODULE:ATTR"),
    ("mine:", 2, "is not MODULE:ATTR"),
    (":app", 2, "is not MODULE:ATTR"),
    ("", 2, "is not MODULE:ATTR"),
    ("no_such_module:app", 1, "No module named 'no_such_module'"),
    ("mine.py:app", 1, "No module named 'mine.py'"),
    ("..mine:app", 1, "cannot import '..mine'"),
    ("mine:no_such_name", 1, "module 'mine' has no 'no_such_name'"),
    ("mine:slow.x", 1, "module 'mine' has no 'slow.x'"),
    ("mine:app", 1, "mine:app is NoneType, and not callable"),
    ("mine:number", 1, "mine:number is int, and not callable"),
    ("broken:app", 1, "ZeroDivisionError: division by zero"),
    ("wrong:app", 1, "SyntaxError: invalid syntax"),
])  # fmt: skip
def test_a_bad_app_is_one_line(folder, monkeypatch, capsys, spec, status, says):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as info:
        main(["wsgi", spec, "--port", "0"])
    for name in ("mine", "broken", "wrong"):
        sys.modules.pop(name, None)
    out, err = capsys.readouterr()
    assert info.value.code == status
    assert (out, err.count("\n")) == ("", 1)
    assert says in err


def test_a_broken_module_is_named_with_its_line(folder):
    status, out, err = run("wsgi", "broken:app", cwd=folder)
    assert (status, out) == (1, "")
    assert f"{folder / 'broken.py'}, line 2" in err
    assert "Traceback" not in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [
    [], ["wsgi"], ["asgi_"], ["wsgi", "a:b", "--port", "x"], ["wsgi", "a:b", "--port", "70000"],
    ["wsgi", "a:b", "--port", "-1"], ["wsgi", "a:b", "--threads", "0"],
    ["wsgi", "a:b", "--threads", "two"], ["wsgi", "a:b", "--fd", "x"], ["wsgi", "a:b", "--no"],
])  # fmt: skip
def test_bad_arguments_are_status_2_and_no_traceback(arguments, capsys):
    with pytest.raises(SystemExit) as info:
        main(arguments)
    assert info.value.code == 2
    out, err = capsys.readouterr()
    assert (out, "Traceback" in err) == ("", False)
    assert err.startswith("usage: python -m servers")


HELLO = "apps.hello_wsgi:app"


@pytest.mark.parametrize(("arguments", "says"), [
    (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1 port 8000: "),
    (["--host", "no.such.name.invalid"], "cannot listen on no.such.name.invalid port 8000: "),
    (["--fd", "999"], "cannot listen on file descriptor 999: Bad file descriptor"),
    (["--fd", "-5"], "cannot listen on file descriptor -5: "),
])  # fmt: skip
def test_what_cannot_be_listened_on_is_one_line(arguments, says, capsys):
    with pytest.raises(SystemExit) as info:
        main(["wsgi", HELLO, *arguments])
    out, err = capsys.readouterr()
    assert (info.value.code, out, err.count("\n")) == (1, "", 1)
    assert says in err


def test_a_port_in_use_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, out, err = run("wsgi", HELLO, "--port", str(taken.getsockname()[1]))
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "Address already in use" in err


def test_no_permission_is_one_line(monkeypatch, capsys):
    """Root may bind every port, so the refusal is made here."""

    def bind(self, address):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", bind, raising=False)
    with pytest.raises(SystemExit) as info:
        main(["wsgi", HELLO, "--port", "80"])
    out, err = capsys.readouterr()
    assert (info.value.code, out) == (1, "")
    assert err == "servers: cannot listen on 127.0.0.1 port 80: Permission denied\n"


def test_a_descriptor_that_is_no_socket_is_one_line(tmp_path):
    with open(tmp_path / "file", "w") as file:
        fd = file.fileno()
        status, out, err = run("wsgi", HELLO, "--fd", str(fd), pass_fds=[fd])
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert f"cannot listen on file descriptor {fd}: " in err


# --- serving ---


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_address_serves_and_ends_with_0(signal_):
    with started("wsgi", HELLO, "--port", "0", "--threads", "2") as (process, address):
        assert address[0] == "127.0.0.1"
        assert wire.send(address, GET).answer.body == b"Hello from WSGI\n"
        process.send_signal(signal_)
        assert process.wait(PATIENCE) == 0
        assert process.stdout.read() == ""


@pytest.mark.parametrize(("threads", "flag"), [("1", "False"), ("3", "True")])
def test_it_serves_modules_of_its_folder_and_says_what_it_is(folder, threads, flag):
    with started("wsgi", "mine:where", "--port", "0", "--threads", threads, cwd=folder) as (_, at):
        body = wire.send(at, GET).answer.body
    assert body.decode() == f"[{flag}, False, '127.0.0.1', '{at[1]}']"


def test_sigterm_finishes_the_request_in_flight(folder):
    with started("wsgi", "mine:slow", "--port", "0", cwd=folder) as (process, address):
        with wire.Connection(address, timeout=PATIENCE) as client:
            client.send(GET)
            while b"begun" not in client.exchange.received:
                client._turn(time.monotonic() + PATIENCE)
            process.terminate()
            process.terminate()  # twice is once
            while accepts(address):
                time.sleep(0.002)
            (folder / "go").touch()
            result = client.read()
        assert process.wait(PATIENCE) == 0
    assert result.answer.body == b"begun and done"


def accepts(address):
    """Tell whether anybody listens there still."""
    with socket.socket() as sock:
        return sock.connect_ex(address) == 0


def test_a_mistake_of_the_app_is_logged_on_stderr(folder):
    with started("wsgi", "mine:fails", "--port", "0", cwd=folder,
                 stderr=subprocess.PIPE) as (process, address):  # fmt: skip
        assert wire.send(address, GET).status == 500
        process.terminate()
        err = process.stderr.read()
        assert process.wait(PATIENCE) == 0
    assert "the app failed on /" in err
    assert "LookupError: on purpose" in err


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_bound_socket_can_be_handed_down(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as bound:
        bound.bind((host, 0))
        fd, address = bound.fileno(), bound.getsockname()[:2]
        with started("wsgi", HELLO, "--fd", str(fd), pass_fds=[fd]) as (process, printed):
            assert printed == address
            assert wire.send(address, GET).status == 200
            process.terminate()
            assert process.wait(PATIENCE) == 0


# --- the shim that ends with its parent ---

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHIM = [sys.executable, os.path.join(ROOT, "servers", "_child.py")]
SLEEPER = [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(1000)"]


@contextmanager
def shim(fd, folder, *arguments, **options):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*SHIM, str(fd), str(folder), *arguments], cwd=ROOT,
                          start_new_session=True, **pipes, **options) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def test_the_shim_hands_on_the_status_of_its_command_and_keeps_the_folder(tmp_path):
    with shim("-", tmp_path, sys.executable, "-c", "raise SystemExit(7)") as process:
        assert process.wait(PATIENCE) == 7
    assert tmp_path.exists()


def test_the_shim_hands_on_the_signal_that_ended_its_command(tmp_path):
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with shim("-", tmp_path, sys.executable, "-c", kill) as process:
        assert process.wait(PATIENCE) == -signal.SIGKILL


@pytest.mark.parametrize("end", [subprocess.Popen.terminate, lambda process: process.stdin.close()],
                         ids=["told to", "parent gone"])  # fmt: skip
def test_the_shim_ends_its_command_when_it_is_told_to_or_its_parent_goes(tmp_path, end):
    folder = tmp_path / "folder"
    folder.mkdir()
    with shim("-", folder, *SLEEPER) as process:
        assert process.stdout.readline() == "up\n"
        [child] = psutil.Process(process.pid).children()
        end(process)
        assert process.wait(PATIENCE) < 0
        child.wait(PATIENCE)
    assert folder.exists() == (end is subprocess.Popen.terminate)


def test_the_shim_keeps_no_copy_of_a_listening_socket(tmp_path):
    """A second copy would keep the port open, unanswered, when the server has ended."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        serve = command("wsgi", HELLO, "--fd", str(fd))
        with shim(fd, tmp_path, *serve, pass_fds=[fd]) as process:
            assert process.stdout.readline().startswith("http://127.0.0.1:")
            assert psutil.Process(process.pid).net_connections("tcp") == []
            process.terminate()
            assert process.wait(PATIENCE) == 0


class Calls:
    """Stand in for `os` in the shim: what would end this very process is noted instead."""

    def __init__(self, group, gone):
        self.made, self.group, self.gone = [], group, gone

    def read(self, fd, size):
        while not self.gone():
            time.sleep(0.002)

    def getpid(self):
        return 1

    def getpgrp(self):
        return self.group

    def __getattr__(self, name):
        return lambda *arguments: self.made.append((name, *arguments))


EXIT = "raise SystemExit(7)"
KILLED = "import os; os.kill(os.getpid(), 9)"
SLEEPS = "open('up', 'w'); import time; time.sleep(1000)"
IGNORES = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS
TERM, KILL = signal.SIGTERM, signal.SIGKILL


@pytest.mark.parametrize(("code", "fd", "group", "made"), [
    (EXIT, "-", 2, []),
    (EXIT, "-", 1, [("killpg", 0, TERM)]),
    (EXIT, "77", 2, [("close", 77)]),
    (KILLED, "-", 2, [("kill", 1, KILL)]),
    (SLEEPS, "-", 2, [("kill", 1, TERM)]),
    (SLEEPS, "-", 1, [("killpg", 0, KILL), ("kill", 1, TERM)]),
    (IGNORES, "-", 2, [("kill", 1, KILL)]),
])  # fmt: skip
def test_the_shim_step_by_step(code, fd, group, made, monkeypatch, tmp_path):
    """The parent goes as soon as the command has made the file `up`, if it makes it."""
    calls, folder = Calls(group, (tmp_path / "up").exists), tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_child, "os", calls)
    monkeypatch.setattr(_child, "GRACE", 0.1)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit):
        _child.main([fd, str(folder), sys.executable, "-c", code])
    seen = calls.made[:]
    calls.gone = lambda: True  # the watching thread ends too
    assert seen == made
    assert folder.exists() == (code in (EXIT, KILLED))
