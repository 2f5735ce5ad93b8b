"""Workers and their master, as processes: who is there, who is lost, and what it costs."""

import asyncio
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

PATIENCE = 30.0  # seconds until a test gives up; never until it goes on
GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"


def until(condition):
    """Wait for a condition, and return what it gave; fail if it does not come true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return found


class Master:
    """A running `python -m servers wsgi mine:app --workers N`, in a folder of its own."""

    def __init__(self, folder, process):
        self.folder, self.process = folder, process
        host, _, port = process.stdout.readline().decode().strip()[len("http://"):].partition(":")
        self.address = (host, int(port))

    def workers(self):
        """Return the pids of the living workers, the oldest first."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with psutil_gone():
                if child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child.pid)
        return found

    def send(self, number):
        self.process.send_signal(number)

    def log(self):
        return (self.folder / "log").read_text()

    def ask(self, path="/"):
        """Return the body of an answer to a GET on a connection of its own."""
        answer = wire.send(self.address, GET % path.encode(), timeout=PATIENCE).answer
        assert answer.status == 200
        return answer.body.decode()

    def asking(self, path):
        """Send a GET, and return the socket on which the answer will come."""
        sock = socket.create_connection(self.address, PATIENCE)
        sock.sendall(GET % path.encode())
        return sock

    def go(self):
        """Let the requests to /gate go on."""
        (self.folder / "go").touch()

    def inside(self, count=1):
        """Wait until so many requests are inside the app; return the pids that serve them."""
        until(lambda: len(list(self.folder.glob("inside-*"))) >= count)
        return [int(path.name.split("-")[1]) for path in self.folder.glob("inside-*")]

    def ended(self):
        """Wait for the end; return the exit status."""
        return self.process.wait(PATIENCE)


@contextmanager
def psutil_gone():
    try:
        yield
    except psutil.NoSuchProcess:
        pass


APP = '''
    import ctypes, os, time

    VERSION = 1

    def app(environ, start_response):
        path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
        if path == "/gate":
            open(f"inside-{os.getpid()}-{time.monotonic_ns()}", "w").close()
            while not os.path.exists("go"):
                time.sleep(0.002)
        if path == "/sleep":
            time.sleep(float(query))
        if path == "/freeze":  # in C, with the lock of the interpreter held: no thread can run
            ctypes.PyDLL(None).sleep(int(query))
        if path == "/exit":
            os._exit(7)
        body = f"{os.getpid()} {VERSION} {environ['wsgi.multiprocess']}".encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
'''


@contextmanager
def master(folder, *arguments, app=APP, workers=2, bug=False):
    """Run a server with workers meanwhile; whatever happens, none of them is left."""
    (folder / "mine.py").write_text(textwrap.dedent(app))
    command = [sys.executable, "-m", "servers", "wsgi", "mine:app", "--port", "0"]
    command += ["--workers", str(workers), *arguments]
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log,
                                   env=environ)  # fmt: skip
    started = Master(folder, process)
    try:
        yield started
        if not bug:
            assert "Traceback" not in started.log()
        process.send_signal(signal.SIGINT)  # a killed one would not tell which lines it ran
        process.wait(PATIENCE)
    finally:
        left = psutil.Process(process.pid).children() if process.poll() is None else []
        process.kill()
        process.wait()
        process.stdout.close()
        for worker in left:
            with psutil_gone():
                worker.kill()


def ready(server, count=2):
    """Wait until so many workers have said that they serve; return their pids."""
    pids = until(lambda: len(found := server.workers()) == count and found)
    seen = set()
    until(lambda: seen.add(int(server.ask().split()[0])) or seen & set(pids))
    return pids


def test_several_processes_answer_and_say_so(tmp_path):
    with master(tmp_path) as server:
        pids = ready(server)
        seen = {pid for pid in pids if f"worker {pid} started" in server.log()}
        assert seen == set(pids)
        pid, _, multiprocess = server.ask().split()
        assert int(pid) in pids and multiprocess == "True"
        server.send(signal.SIGTERM)
        assert server.ended() == 0
        assert not any(map(psutil.pid_exists, pids))


def test_a_killed_worker_is_replaced_and_costs_only_its_own_requests(tmp_path):
    with master(tmp_path, "--threads", "1") as server:
        pids = ready(server)
        with server.asking("/gate") as one:
            server.inside()
            # Its worker has no other thread, so this one goes to the other worker.
            two = server.asking("/gate")
            assert set(server.inside(2)) == set(pids)
            os.kill(pids[0], signal.SIGKILL)
            until(lambda: pids[0] not in server.workers() and len(server.workers()) == 2)
            assert "ended by SIGKILL" in server.log()
            server.go()
            assert sorted(bool(receive(sock)) for sock in (one, two)) == [False, True]
            two.close()


def receive(sock):
    """Return the first that comes; b"" if the connection ended or was reset."""
    try:
        return sock.recv(65536)
    except ConnectionResetError:
        return b""


def test_a_frozen_worker_is_killed(tmp_path):
    with master(tmp_path, "--timeout", "1") as server:
        ready(server)
        with server.asking("/freeze?3600") as sock:
            until(lambda: "WORKER TIMEOUT" in server.log())
            assert receive(sock) == b""
        ready(server)


def test_a_stopped_worker_is_killed(tmp_path):
    with master(tmp_path, "--timeout", "1") as server:
        victim = ready(server)[0]
        os.kill(victim, signal.SIGSTOP)
        until(lambda: f"no heartbeat of worker {victim}" in server.log())
        until(lambda: victim not in server.workers())
        ready(server)


def test_a_busy_worker_is_not_killed(tmp_path):
    with master(tmp_path, "--timeout", "2", "--threads", "2") as server:
        pids = ready(server)
        sockets = []
        while len(sockets) < 4:  # one after the other, so that they take all threads of both
            sockets.append(server.asking("/gate"))
            server.inside(len(sockets))
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 4.5)  # twice its patience, and more
        server.go()
        assert all(receive(sock).startswith(b"HTTP/1.1 200") for sock in sockets)
        assert server.workers() == pids and "TIMEOUT" not in server.log()
        for sock in sockets:
            sock.close()


def test_term_finishes_what_is_in_flight(tmp_path):
    with master(tmp_path) as server:
        ready(server)
        with server.asking("/gate") as sock:
            server.inside()
            server.send(signal.SIGTERM)
            until(lambda: len(server.workers()) == 1)  # the one without a request has gone
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(server.address)
            server.go()
            answer = receive(sock)
        assert answer.startswith(b"HTTP/1.1 200") and b"Connection: close" in answer
        assert server.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_int_and_quit_end_at_once(tmp_path, number):
    with master(tmp_path) as server:
        ready(server)
        with server.asking("/gate") as sock:
            server.inside()
            server.send(number)
            assert receive(sock) == b""
        assert server.ended() == 0


def test_ttin_and_ttou_change_how_many_there_are(tmp_path):
    with master(tmp_path) as server:
        first = ready(server)
        server.send(signal.SIGTTIN)
        three = until(lambda: len(found := server.workers()) == 3 and found)
        assert three[:2] == first
        for count in (2, 1, 1):
            server.send(signal.SIGTTOU)
            until(lambda count=count: len(server.workers()) == count)
        assert server.ask().split()[0] == str(server.workers()[0])


def test_other_signals_do_no_harm(tmp_path):
    with master(tmp_path) as server:
        pids = ready(server)
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD):
            server.send(number)
            for pid in pids:
                os.kill(pid, number)
        for number in (signal.SIGHUP, signal.SIGINT):  # a terminal sends it to all: the master acts
            os.kill(pids[0], number)
        assert server.ask()
        server.send(signal.SIGTTIN)  # all earlier ones have been handled when this one is
        until(lambda: len(server.workers()) == 3)
        assert server.workers()[:2] == pids


def test_a_worker_that_is_told_to_end_is_replaced(tmp_path):
    with master(tmp_path) as server:
        first, other = ready(server)
        with server.asking("/gate") as sock:
            pid, = server.inside()  # fmt: skip
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGTERM)
            until(lambda: len(server.workers()) == 3)  # at once, not when it has gone
            server.go()
            assert receive(sock).startswith(b"HTTP/1.1 200")
        until(lambda: pid not in server.workers())


def test_a_worker_with_a_bug_tells_of_it(tmp_path):
    app = APP + """
    import servers.pool

    def fail(self):
        raise ZeroDivisionError("a bug")

    servers.pool.Pool.watch = fail
    """
    with master(tmp_path, app=app, bug=True) as server:
        until(lambda: server.log().count("ended with status 1") >= 2)  # it tries again
        assert server.log().count("ZeroDivisionError: a bug") >= 2


def test_workers_end_with_a_killed_master(tmp_path):
    with master(tmp_path) as server:
        pids = ready(server)
        server.process.kill()
        server.process.wait()
        until(lambda: not any(alive(pid) for pid in pids))


def alive(pid):
    with psutil_gone():
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_max_requests_loses_none(tmp_path):
    with master(tmp_path, "--max-requests", "5", "--max-requests-jitter", "2") as server:
        pids = [int(server.ask().split()[0]) for _ in range(40)]
        counts = [pids.count(pid) for pid in set(pids)]
        assert len(counts) >= 40 // 8 and max(counts) <= 8  # one may be accepted while it leaves
        until(lambda: "ended with status 0" in server.log())  # by itself, and not by our signal


# --- apps that cannot be loaded ---


def test_an_app_that_cannot_be_loaded_stops_it(tmp_path):
    with master(tmp_path, app="broken = 1 / 0") as server:
        assert server.ended() == 1
        assert server.log().count("ZeroDivisionError") == 1


def test_a_reload_of_broken_code_keeps_the_old_workers(tmp_path):
    with master(tmp_path, "--threads", "1") as server:
        pids = ready(server)
        with server.asking("/gate") as one:  # both have imported the app when both are inside it
            server.inside()
            with server.asking("/gate") as two:
                assert set(server.inside(2)) == set(pids)
                server.go()
                assert receive(one) and receive(two)
        (tmp_path / "mine.py").write_text("broken = 1 / 0")
        server.send(signal.SIGHUP)
        until(lambda: "the reload failed" in server.log())
        assert server.workers() == pids
        new = APP.replace("VERSION = 1", "VERSION = 2")
        (tmp_path / "mine.py").write_text(textwrap.dedent(new))
        server.send(signal.SIGHUP)
        until(lambda: server.ask().split()[1] == "2")
        until(lambda: not set(pids) & set(server.workers()))


def test_workers_that_die_early_are_replaced_more_and_more_slowly(tmp_path):
    with master(tmp_path) as server:
        ready(server)
        for _ in range(3):
            with server.asking("/exit") as sock:
                assert receive(sock) == b""
        until(lambda: server.log().count("ended with status 7") == 3)
        ready(server)


@pytest.mark.parametrize("option", [
    ("--workers", "0"), ("--timeout", "0"), ("--timeout", "x"), ("--max-requests", "many"),
])  # fmt: skip
def test_a_wrong_number_is_one_line(option):
    command = [sys.executable, "-m", "servers", "wsgi", "mine:app", *option]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert option[0] in done.stderr.splitlines()[-1]


# --- under load ---


class Crowd:
    """Clients with kept connections: what failed, on whose connection, and whether in flight."""

    def __init__(self, address):
        self.address = address
        self.answers, self.failed = 0, []
        self.over = False

    async def client(self):
        while not self.over:
            pid, sent = None, time.monotonic()
            try:
                reader, writer = await asyncio.open_connection(*self.address)
                try:
                    more = True
                    while more and not self.over:
                        sent = time.monotonic()
                        writer.write(GET % b"/sleep?0.02")
                        pid, more = await self.answer(reader)
                        self.answers += 1
                finally:
                    writer.close()
            except (OSError, EOFError) as error:
                self.failed.append((pid, sent, time.monotonic(), repr(error)))

    @staticmethod
    async def answer(reader):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        body = await reader.readexactly(length)
        return int(body.split()[0]), b"connection: close" not in head.lower()


@pytest.mark.parametrize("reloads", [int(os.environ.get("RELOADS", 4))])
def test_reloads_and_a_kill_cost_only_what_the_killed_worker_had(tmp_path, reloads):
    async def run(server):
        crowd = Crowd(server.address)
        clients = [asyncio.create_task(crowd.client()) for _ in range(200)]
        for number in range(reloads):
            old, answered = server.workers(), crowd.answers
            server.send(signal.SIGHUP)
            await replaced(server, old)
            await soon(lambda least=answered + 200: crowd.answers > least)
            if number == reloads // 2:
                killed, when = server.workers()[0], time.monotonic()
                os.kill(killed, signal.SIGKILL)
                await replaced(server, [killed])
        crowd.over = True
        await asyncio.wait_for(asyncio.gather(*clients), PATIENCE)
        return crowd, killed, when

    with master(tmp_path, "--threads", "8", workers=3) as server:
        ready(server, 3)
        crowd, killed, when = asyncio.run(run(server))
        assert crowd.answers > 200 * reloads
        for pid, sent, seen, error in crowd.failed:
            # On a new connection nobody knows who took it; then it must have been in flight.
            assert pid == killed or (pid is None and sent <= when <= seen), error
        server.send(signal.SIGTERM)
        assert server.ended() == 0


async def replaced(server, old):
    """Wait until these workers have gone, and there are three again."""
    await soon(lambda: len(found := server.workers()) == 3 and not set(old) & set(found))


async def soon(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)
