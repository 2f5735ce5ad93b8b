"""Servers start, answer, fail visibly, and leave nothing behind."""

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from jupyter_client.manager import AsyncKernelManager

import servers.production
from coursekit.live import Server, ServerError, kinds, live
from coursekit.live.child import Child
from coursekit.live.commands import FRONTS
from coursekit.live.commands import hello as app_for
from coursekit.live.panel import Panel

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
NEEDS = {"apache": ["apache", "mod_wsgi"], "uwsgi": ["uwsgi"]}
HOW = [("toy", {}), ("toy", {"process": True})]
HOW += [("toy", {"interface": "asgi"}), ("gunicorn", {"worker_class": "asgi"})]
HOW += [
    pytest.param(kind, {}, marks=pytest.mark.needs(*NEEDS.get(kind, ())), id=kind)
    for kind in kinds()
    if kind not in (*FRONTS, "toy")
]
CHILDREN = [case for case in HOW if case not in (("toy", {}), ("toy", {"interface": "asgi"}))]


def until(condition: Callable[[], Any], seconds: float = 15) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def open_port(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 1).close()
        return True
    except OSError:
        return False


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    me = psutil.Process()
    processes = {child.pid for child in me.children()}
    threads = set(threading.enumerate())
    yield
    gc.collect()
    until(lambda: {child.pid for child in me.children()} <= processes)
    until(lambda: set(threading.enumerate()) <= threads)


def raises(environ: Any, start_response: Any) -> Any:
    raise KeyError("app's mistake")


def raises_late(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    yield b"x"
    raise KeyError("app's late mistake")


@pytest.mark.parametrize(("kind", "options"), HOW)
def test_a_server_answers_and_goes(kind: str, options: dict[str, Any]) -> None:
    with live(kind, **options) as server:
        assert server.running
        hello = f"Hello from {'ASGI' if 'asgi' in app_for(kind, options) else 'WSGI'}\n"
        assert server.get("/").text == hello
        assert server.post("/", content=b"x").status_code == 200
        assert server.send_raw(GET).answer.body.decode() == hello
        assert server.url.endswith(str(server.address[1]))
        assert server.ws == server.url.replace("http:", "ws:")
        assert server.workers and all(row.memory > 1 for row in server.workers)
        assert "is-anybody-there" not in str(server.log)
    assert not server.running
    assert server.workers == []
    assert not open_port(server.address)
    server.stop()


def test_every_file_in_production_is_a_kind() -> None:
    files = {path.stem for path in Path(servers.production.__path__[0]).glob("[!_]*.py")}
    assert set(kinds()) == files | {"toy", "proxy"}
    with pytest.raises(ValueError, match="there are: toy, "):
        live("nosuch")


def test_options_become_flags() -> None:
    with live("gunicorn", timeout=7, log_level="debug", preload=True, reload=False) as server:
        text = str(server.log)
    assert "timeout: 7" in text and "preload_app: True" in text
    with pytest.raises(ServerError, match="unrecognized arguments: --nosuch"):
        live("gunicorn", nosuch=1)


@pytest.mark.parametrize("kind", ["uvicorn", "hypercorn", "daphne", "granian"])
def test_threads_are_not_for_servers_on_a_loop(kind: str) -> None:
    with pytest.raises(ValueError, match="thread"):
        live(kind, threads=2)


@pytest.mark.parametrize(("kind", "options"), CHILDREN)
def test_a_missing_app_is_named(kind: str, options: dict[str, Any]) -> None:
    with pytest.raises(ServerError, match=r"(?s)did not start.*nosuch"):
        live(kind, "nosuch:app", **options)


def test_a_missing_app_in_the_kernel() -> None:
    with pytest.raises(ModuleNotFoundError):
        live("toy", "nosuch:app")
    with pytest.raises(ValueError, match="MODULE:ATTR"):
        live("toy", "nosuch")
    with pytest.raises(ValueError, match="has no 'nosuch'"):
        live("toy", "apps.hello_wsgi:nosuch")


def test_a_missing_program_says_what_brings_it() -> None:
    child = Child("x", lambda **_: ["no-such-program"], takes_fd=True, install="apt install x")
    with pytest.raises(ServerError, match="not on this machine.*apt install x"):
        child.start()


@pytest.mark.parametrize("kind", ["waitress", "wsgiref", "cheroot", "daphne"])
def test_what_a_server_cannot_do_is_said(kind: str) -> None:
    with pytest.raises(ValueError, match="one process"):
        live(kind, workers=2)
    with pytest.raises(TypeError, match="name the app"):
        live(kind, raises)


def test_a_port_taken_in_between_is_replaced() -> None:
    tries = []

    with socket.create_server(("127.0.0.1", 0)) as taken:

        def words(port: int, **_: Any) -> list[str]:
            tries.append(port)
            port = taken.getsockname()[1] if len(tries) == 1 else port
            return servers.production.wsgiref.command("apps.hello_wsgi:app", port=port)

        child = Child("x", words, takes_fd=False, install="")
        try:
            child.start()
            assert len(tries) == 2 and child.address[1] == tries[1]
        finally:
            child.stop()


# -- failures show


@pytest.mark.parametrize("use", ["get", "raw"])
def test_an_exception_in_the_app_fails_the_cell(use: str) -> None:
    with pytest.raises(ServerError, match="KeyError") as caught:
        with live("toy", raises) as server:
            server.get("/") if use == "get" else server.send_raw(GET)
            pytest.fail("the failure did not show")
    (error,) = caught.value.errors
    assert caught.value.__cause__ is error
    assert error.__traceback__ is not None


def test_an_exception_after_the_answer_shows_at_the_latest_at_the_end() -> None:
    with pytest.raises(ServerError, match="late mistake"):
        with live("toy", raises_late) as server:
            try:
                server.get("/")
            except httpx.RemoteProtocolError:
                pass


def test_errors_can_stay_in_the_log() -> None:
    with live("toy", raises, errors="log") as server:
        assert server.get("/").status_code == 500
        assert server.log.wait("KeyError")
    assert server.log.grep("app's mistake")


def test_an_exception_on_its_way_is_kept_and_annotated() -> None:
    with pytest.raises(AssertionError) as caught:
        with live("toy", raises) as server:
            httpx.get(server.url, trust_env=False)
            raise AssertionError("the cell's own")
    assert any("app's mistake" in note for note in caught.value.__notes__)


def test_a_dead_server_thread_shows() -> None:
    def serve(listener: Any, app: Any, **_: Any) -> None:
        raise RuntimeError("bug in the server")

    with pytest.raises(ServerError, match="bug in the server"):
        with live("toy", serve=serve) as server:
            server.get("/")


def test_two_exceptions_come_as_a_group() -> None:
    with pytest.raises(ServerError) as caught:
        with live("toy", raises) as server:
            for _ in range(2):
                httpx.get(server.url, trust_env=False)
    assert len(caught.value.errors) == 2
    assert isinstance(caught.value.__cause__, BaseExceptionGroup)


@pytest.mark.parametrize("use", ["get", "leave"])
def test_a_child_that_died_shows(use: str) -> None:
    with pytest.raises(ServerError, match="gunicorn ended by itself: it was ended by SIGKILL"):
        with live("gunicorn") as server:
            os.kill(server.workers[0].pid, signal.SIGKILL)
            until(lambda: not server.running)
            if use == "get":
                server.get("/")


# -- kill, stop, restart


def test_a_killed_worker_is_replaced() -> None:
    with live("gunicorn", workers=2) as server:
        until(lambda: len(server.workers) == 3)
        assert [row.role for row in server.workers] == ["master", "worker", "worker"]
        pid = server.kill()
        until(lambda: len(server.workers) == 3 and pid not in [row.pid for row in server.workers])
        assert server.log.wait("SIGKILL")
        assert server.get("/").status_code == 200


@pytest.mark.parametrize("who", ["worker", "all"])
def test_kill_the_whole(who: str) -> None:
    with live("toy", process=True) as server:
        assert server.kill(who) > 0
        until(lambda: not server.running)
        with pytest.raises(ServerError, match="does not run"):
            server.kill()


def test_nothing_is_left_of_a_server_that_is_ended_by_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("coursekit.live.child.GRACE", 0.2)
    with live("gunicorn", workers=2) as server:
        pids = [row.pid for row in server.workers]
        os.kill(pids[-1], signal.SIGSTOP)  # this worker cannot end in good order
    assert not any(map(psutil.pid_exists, pids))


def test_a_thread_cannot_be_killed() -> None:
    with live("toy") as server, pytest.raises(TypeError, match="process=True"):
        server.kill()


@pytest.mark.parametrize(("kind", "options"), HOW)
def test_restart_keeps_the_port(kind: str, options: dict[str, Any]) -> None:
    with live(kind, **options) as server:
        before = server.address
        server.restart()
        assert server.address == before
        assert server.get("/").status_code == 200
        server.start()  # it runs: nothing happens
        assert server.running


def test_a_server_nobody_holds_is_stopped() -> None:
    kept = [live("toy"), live("toy", process=True)]
    addresses = [server.address for server in kept]
    kept.clear()
    gc.collect()
    assert not any(open_port(address) for address in addresses)


def test_the_app_of_a_toy_can_be_exchanged() -> None:
    def other(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"other"]

    with live("toy") as server:
        server.app = other
        assert server.get("/").text == "other"
    with live("wsgiref") as server, pytest.raises(TypeError):
        server.app = other


def test_the_shell_text_is_stable() -> None:
    with live("toy") as server:
        assert repr(server) == "<toy serving apps.hello_wsgi:app: running>"
    assert repr(server) == "<toy serving apps.hello_wsgi:app: stopped>"


# -- the panel, without a browser


def act(server: Server, **message: Any) -> Panel:
    """Do what a click in the panel does, and wait for it."""
    panel = server._panel
    assert panel is not None
    panel._act(message)
    return panel


def test_the_panel_shows_out_of_a_with_and_text_everywhere() -> None:
    server = live("toy")
    shown = server._repr_mimebundle_()
    assert shown["text/plain"] == repr(server)
    assert "application/vnd.jupyter.widget-view+json" in shown
    with server:
        assert list(server._repr_mimebundle_()) == ["text/plain"]
    server.discard()


def test_the_panels_buttons() -> None:
    server = live("gunicorn")
    server._repr_mimebundle_()
    pids = [row["pid"] for row in act(server, do="restart").workers]
    assert act(server, do="kill").notice == f"Killed process {pids[-1]}."
    assert act(server, do="signal", name="TTIN").notice == f"Sent SIGTTIN to process {pids[0]}."
    assert "SIGNONE" in act(server, do="signal", name="NONE").notice
    assert act(server, do="stop").state == "stopped"
    assert not server.running
    assert act(server, do="start").state == "running"
    panel = act(server, do="send", method="POST", path="x", body="hi")
    assert panel.answer["status"] == "HTTP/1.1 200 OK"
    assert panel.answer["body"] == "Hello from WSGI\n"
    server.discard()
    assert act(server, do="send", method="GET", path="/", body="").notice


@pytest.mark.parametrize("kind", ["gunicorn", "toy", "uvicorn", "granian"])
def test_signals_do_what_they_say(kind: str) -> None:
    server = live(kind, workers=2, process=kind == "toy", errors="log")
    server._repr_mimebundle_()
    old = {row.pid for row in server.workers if row.role == "worker"}
    assert [row.depth for row in server.workers if row.role != "helper"] == [0, 1, 1]
    assert {"HUP", "TERM", "INT"} <= set(act(server, do="signal", name="HUP").signals)
    until(lambda: not old & {row.pid for row in server.workers}, 40)
    until(lambda: [row.role for row in server.workers].count("worker") == 2)
    server.discard()


def test_a_toy_in_the_kernel_has_no_master_to_signal() -> None:
    server = live("toy")
    server._repr_mimebundle_()
    panel = act(server, do="signal", name="HUP")
    assert panel.signals == {} and "cannot be killed" in panel.notice
    server.discard()


def sets_a_cookie(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Set-Cookie", "session=secret"), ("Content-Length", "0")])
    return []


def test_the_panel_masks_cookies_and_shows_failures() -> None:
    server = live("toy", sets_a_cookie)
    server._repr_mimebundle_()
    panel = act(server, do="send", method="GET", path="/", body="")
    assert "Set-Cookie" in str(panel.answer) and "secret" not in str(panel.answer)
    server.app = raises
    panel = act(server, do="send", method="GET", path="/", body="")
    assert "500" in panel.answer["status"] and "KeyError" in panel.notice
    server.discard()


def test_a_panel_does_not_keep_its_server() -> None:
    server = live("toy")
    server._repr_mimebundle_()
    panel, address = server._panel, server.address
    assert panel is not None
    panel.watch()
    del server
    gc.collect()
    until(lambda: panel.state == "gone")
    assert not open_port(address)


def test_a_link_has_no_port_in_what_is_compared() -> None:
    with live("toy") as server:
        link = server.link("/form?x=1")
        assert str(link) == f"{server.url}/form?x=1"
        assert repr(link) == "<link to /form?x=1>"


# -- whatever ends the kernel ends the server

ONE_CHILD = """
import os, signal, sys, time
from coursekit.live import live
server = live({kind!r})
print(server._runner.folder, server.address[1], *[row.pid for row in server.workers], flush=True)
{ending}
"""
ENDINGS = {
    "exit": "",
    "an exception": "1 / 0",
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "os._exit": "os._exit(1)",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_children_end_with_the_kernel(ending: str) -> None:
    code = ONE_CHILD.format(kind="gunicorn", ending=ENDINGS[ending])
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    folder, port, *pids = run.stdout.split()
    assert folder and pids
    until(lambda: not any(psutil.pid_exists(int(pid)) for pid in pids))
    until(lambda: not Path(folder).exists())
    assert not open_port(("127.0.0.1", int(port)))


def test_an_interrupt_of_the_group_does_not_reach_a_child() -> None:
    code = ONE_CHILD.format(
        kind="wsgiref",
        ending="signal.signal(signal.SIGINT, lambda *_: None)\n"
        "os.killpg(0, signal.SIGINT); server.get('/'); print('alive')",
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
    )
    assert run.stdout.endswith("alive\n"), run.stderr


# -- in a kernel


class Kernel:
    """Run cells in a real kernel, as JupyterLab would."""

    def __init__(self, folder: str) -> None:
        self.loop = asyncio.Runner()
        # Over files, not TCP: picking ports for a kernel is a race.
        self.manager = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{folder}/k")
        self.loop.run(self.manager.start_kernel())
        self.client = self.manager.client()
        self.client.start_channels()
        self.loop.run(self.client.wait_for_ready(timeout=60))

    def begin(self, code: str, cell: str | None = None) -> str:
        """Send a cell and return the id of the message."""
        content = {"code": code, "silent": False, "store_history": True}
        metadata = {"cellId": cell} if cell else {}
        request = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(request)
        return str(request["header"]["msg_id"])

    def finish(self, request: str) -> str:
        """Return what a cell printed; AssertionError if it failed."""
        printed = ""
        while True:
            message = self.loop.run(self.client.get_iopub_msg(timeout=60))
            content = message["content"]
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["msg_type"] == "stream":
                printed += content["text"]
            if message["msg_type"] == "error":
                raise AssertionError("\n".join(content["traceback"]))
            if content.get("execution_state") == "idle":
                return printed

    def run(self, code: str, cell: str | None = None) -> str:
        return self.finish(self.begin(code, cell))

    def close(self) -> None:
        self.client.stop_channels()
        self.loop.run(self.manager.shutdown_kernel(now=True))
        self.loop.close()
        self.manager.context.destroy()


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with tempfile.TemporaryDirectory() as folder:
        kernel = Kernel(folder)
        try:
            yield kernel
        finally:
            kernel.close()


LOOK = """
import asyncio, gc, psutil, threading
gc.collect()
me = psutil.Process()
ports = [c.laddr.port for c in me.net_connections() if c.status == "LISTEN"]
print(len(me.children(recursive=True)), len(ports), threading.active_count(),
      len(asyncio.all_tasks()), me.num_fds())
"""
START = "from coursekit.live import live"


@pytest.mark.parametrize("cell", ["cell-1", None])
def test_fifty_reruns_leave_nothing(kernel: Kernel, cell: str | None) -> None:
    # The servers are kept in a list, so only the cell itself can replace them.
    kernel.run(START + "\nkept = []")
    code = "kept += [live('toy'), live('toy', process=True)]; kept[-1].get('/'); kept[-1]"
    kernel.run(code, cell)
    *before, files = kernel.run(LOOK).split()
    for _ in range(50 if cell else 3):
        kernel.run(code, cell)
    *after, more_files = kernel.run(LOOK).split()
    assert after == before
    assert int(more_files) < int(files) + 10  # the kernel itself opens one now and then
    assert kernel.run("print(sum(server.running for server in kept))") == "2\n"
    kernel.run("for server in kept: server.stop()\ndel server; kept.clear()")


def test_other_cells_are_left_alone(kernel: Kernel) -> None:
    kernel.run(START)
    kernel.run("one, two = [live('toy') for _ in range(2)]", "a")
    kernel.run("three = live('toy')", "b")
    kernel.run("three = live('toy')", "b")
    assert kernel.run("print(one.running, two.running, three.running)") == "True True True\n"
    kernel.run("del one, two, three")


def test_a_toy_answers_while_a_cell_is_busy(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run(START + "\nfrom pathlib import Path\nserver = live('toy')")
    port = kernel.run("print(server.address[1])").strip()
    done = tmp_path / "done"
    busy = kernel.begin(f"while not Path({str(done)!r}).exists(): pass")
    assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text == "Hello from WSGI\n"
    done.touch()
    kernel.finish(busy)
    kernel.run("del server")


# -- in the loop of the notebook itself

HERE = 'server = live("uvicorn", here=True)'
LOOP = """
import asyncio
from coursekit.live import live
from coursekit.live.errors import ServerError
ask = lambda: asyncio.to_thread(server.get, "/")
"""


def test_a_server_in_the_kernels_loop_leaves_nothing(kernel: Kernel) -> None:
    kernel.run(LOOP)
    entered = 'async with live("uvicorn", here=True) as server: print((await ask()).text, end="")'
    assert kernel.run(entered) == "Hello from ASGI\n"
    before = kernel.run(LOOK).split()[:4]
    for _ in range(3):
        kernel.run(entered)
    assert kernel.run(LOOK).split()[:4] == before
    for _ in range(3):  # kept, and replaced when its cell runs again
        kernel.run(f"{HERE}; kept = [*globals().get('kept', []), server]; await ask()", "here")
    kernel.run("await kept[0].stop(); await kept[1].stop()")
    assert kernel.run("print([each.running for each in kept])") == "[False, False, True]\n"
    kernel.run("await server.stop(); await server.stop()\ndel server, kept")
    assert kernel.run(LOOK).split()[:4] == before


def test_a_busy_cell_freezes_the_server_in_its_loop(kernel: Kernel) -> None:
    kernel.run("import signal, threading; handler = signal.getsignal(signal.SIGTERM)")
    kernel.run(LOOP + HERE + "; await server.ready(); found = []")
    kernel.run("asking = threading.Thread(target=lambda: found.append(server.get('/').text))")
    # The request is on its way while this cell holds the loop, and is not answered before its end.
    frozen = "asking.start(); asking.join(0.5); print(found, asking.is_alive())"
    assert kernel.run(frozen) == "[] True\n"
    free = "await asyncio.to_thread(asking.join, 20); print(found)"
    assert kernel.run(free) == "['Hello from ASGI\\n']\n"
    kernel.run("try: server.get('/')\nexcept ServerError as error: print(error)\nelse: 1 / 0")
    kernel.run("assert signal.getsignal(signal.SIGTERM) is handler")
    kernel.run("await server.stop()")


def test_here_in_a_loop_of_ours() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise KeyError("app's mistake")

    async def run() -> None:
        with pytest.raises(ServerError, match="(?s)uvicorn ended: SystemExit.*no database"):
            async with live("uvicorn", fails, here=True):
                pass
        with pytest.raises(ServerError, match="KeyError"):
            async with live("uvicorn", fails, here=True, lifespan="off") as server:
                await asyncio.to_thread(server.get, "/")
        async with live("uvicorn", here=True) as server:
            for use in server.get, server.restart, lambda: server.send_raw(GET):
                with pytest.raises(ServerError, match="await"):
                    use()
            with pytest.raises(TypeError, match="async with"), server:
                pass
            assert [row.role for row in server.workers] == ["kernel"] and server.in_kernel
            await asyncio.to_thread(server.restart)  # as the panel's button does
            await server.ready()
            assert (await asyncio.to_thread(server.send_raw, GET)).status == 200
        assert not server.running and len(asyncio.all_tasks()) == 1
        assert not open_port(server.address)

    asyncio.run(run())
    with pytest.raises(ServerError, match="needs a loop that runs"):
        live("uvicorn", here=True)
    for kind, options in ("hypercorn", {}), ("uvicorn", {"workers": 2}):
        with pytest.raises(ValueError, match="only one process of uvicorn"):
            live(kind, here=True, **options)
