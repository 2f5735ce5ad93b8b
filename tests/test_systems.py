"""The real systems, each really run: what is special about each, and that nothing is left of it."""

import http.client
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from coursekit.doctor import Tool
from coursekit.live import ServerError, live, missing, wire

ENVIRON = "apps.environ_wsgi:app"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def until(condition, seconds=15):
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def environ(server, path="/", **options):
    """Return what the app of a server was given, as a dict of texts."""
    lines = server.get(path, **options).text.splitlines()
    return {key: value.strip("'") for key, value in (line.split(" = ", 1) for line in lines)}


def roles(server):
    return sorted(row.role for row in server.workers)


def both_at_once(server):
    """Ask twice at the same time for an app that answers only if both are inside."""
    found = []

    def ask():
        found.append(server.get("/meet?2").status_code)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found == [200, 200]


# -- application servers


@pytest.mark.parametrize(
    "options, overlaps",
    [
        ({"worker_class": "sync"}, False),
        ({"worker_class": "gthread", "threads": 4}, True),
        ({"worker_class": "gevent"}, True),
        ({"worker_class": "sync", "workers": 3}, True),
    ],
    ids=["sync", "gthread", "gevent", "three of sync"],
)
def test_gunicorns_workers(options, overlaps):
    app = "apps.work_wsgi:app" if options.get("workers") is None else ENVIRON
    with live("gunicorn", app, log_level="info", **options) as server:
        assert server.log.grep(f"Using worker: {options['worker_class']}")
        if app == ENVIRON:
            assert environ(server)["wsgi.multiprocess"] == "True"
            assert roles(server) == ["master", "worker", "worker", "worker"]
        else:
            # gevent's patched locks let one greenlet wait while the other comes in.
            until(lambda: both_at_once(server)) if overlaps else None
            assert overlaps or not both_at_once(server)


ON_A_LOOP = [
    ("uvicorn", {"workers": 2}),
    ("hypercorn", {"workers": 2}),
    ("granian", {"workers": 2}),
    ("gunicorn", {"workers": 2, "worker_class": "asgi"}),
    ("toy", {"workers": 2, "interface": "asgi", "process": True}),
]


@pytest.mark.parametrize("kind, options", ON_A_LOOP, ids=[kind for kind, _ in ON_A_LOOP])
def test_workers_with_a_loop_each(kind, options):
    with live(kind, "apps.scope_asgi:app", **options) as server:
        assert environ(server)["type"] == "http"
        assert [role for role in roles(server) if role != "helper"] == ["master", *["worker"] * 2]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("http, status", [("h11", 200), ("httptools", 400)])
def test_uvicorns_parsers_and_loops(http, status, loop):
    """They can be told apart: h11 takes any word for a method, llhttp knows all there are."""
    with live("uvicorn", "apps.scope_asgi:app", http=http, loop=loop) as server:
        found = environ(server, "/a%20b?c")
        assert (found["path"], found["raw_path"]) == ("/a b", "b'/a%20b")
        assert wire.send(server, GET.replace(b"GET", b"FOO")).status == status


KEPT = [*(kind for kind, _ in ON_A_LOOP), "daphne"]


@pytest.mark.parametrize("kind", KEPT)
def test_a_connection_is_kept_and_the_log_holds_no_knock_of_ours(kind):
    options = {**dict(ON_A_LOOP).get(kind, {}), "workers": 1}
    with live(kind, "apps.stream_asgi:app", **options) as server:
        connection = http.client.HTTPConnection(*server.address, timeout=20)
        for _ in range(3):
            connection.request("GET", "/")
            assert connection.getresponse().read().count(b"\n") == 3
        connection.close()
        assert not server.log.grep("Invalid HTTP|is-anybody-there")


def test_granian_speaks_wsgi_too():
    with live("granian", interface="wsgi") as server:
        assert server.get("/").text == "Hello from WSGI\n"


@pytest.mark.parametrize("kind, replaces", [("uvicorn", True), ("hypercorn", False),
                                            ("granian", False), ("gunicorn", True)])  # fmt: skip
def test_who_replaces_a_worker_that_was_killed(kind, replaces):
    with live(kind, errors="log", **dict(ON_A_LOOP)[kind]) as server:
        pid = server.kill()
        if replaces:
            until(lambda: roles(server).count("worker") == 2)
            assert pid not in [row.pid for row in server.workers]
            assert server.get("/").status_code == 200
        until(lambda: server.running == replaces)


@pytest.mark.parametrize("kind", ["uvicorn", "hypercorn", "daphne", "granian"])
def test_an_asgi_server_overlaps_on_one_thread(kind):
    with live(kind, "apps.work_asgi:app") as server:
        until(lambda: both_at_once(server))


@pytest.mark.parametrize("protocol", ["http", "router"])
@pytest.mark.needs("uwsgi")
def test_uwsgi_speaks_http(protocol):
    with live("uwsgi", ENVIRON, protocol=protocol, workers=2, threads=2) as server:
        seen = environ(server)
        assert (seen["wsgi.multiprocess"], seen["wsgi.multithread"]) == ("True", "True")
        # The router is a process of its own.
        assert len(server.workers) == {"http": 3, "router": 4}[protocol]


@pytest.mark.needs("uwsgi")
def test_uwsgis_own_protocol_is_not_http():
    with live("uwsgi", ENVIRON, protocol="uwsgi") as server:
        assert wire.send(server, GET).answers == []
        # It took "ET" of GET for a length: bytes 1 and 2, the lower one first.
        assert server.log.wait(f"invalid request block size: {int.from_bytes(b'ET', 'little')}")


def test_cheroot_has_threads():
    with live("cheroot", "apps.work_wsgi:app", threads=3) as server:
        until(lambda: both_at_once(server))
        assert roles(server) == ["server"]


@pytest.mark.parametrize("mode", ["daemon", "embedded"])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.needs("apache", "mod_wsgi")
def test_mod_wsgi(mode, workers):
    with live("apache", ENVIRON, mode=mode, workers=workers, threads=3) as server:
        seen = environ(server)
        assert seen["mod_wsgi.process_group"] == {"daemon": "app", "embedded": ""}[mode]
        assert seen["wsgi.multiprocess"] == str(workers > 1)
        assert seen["wsgi.multithread"] == "True"
        extra = ["daemon"] * workers + ["worker"] if mode == "daemon" else ["worker"] * workers
        until(lambda: roles(server) == sorted([*extra, "master"]))


@pytest.mark.needs("apache", "mod_wsgi")
def test_apache_restarts_by_signal_in_a_notebook_too():
    """On HUP httpd signals its whole group, in which the shim of `live` is."""
    with live("apache", ENVIRON) as server:
        old = [row.pid for row in server.workers]
        server.kill("master", signal.SIGHUP)
        until(lambda: len(server.workers) == 3 and server.workers[-1].pid not in old)
        assert environ(server)["mod_wsgi.process_group"] == "app"


# -- fronts

UWSGI = {"protocol": "uwsgi"}
PAIRS = [
    pytest.param("nginx", "gunicorn", {}, marks=pytest.mark.needs("nginx")),
    pytest.param("nginx", "uwsgi", UWSGI, marks=pytest.mark.needs("nginx", "uwsgi")),
    pytest.param("nginx", "uwsgi", {}, marks=pytest.mark.needs("nginx", "uwsgi")),
    pytest.param("apache", "gunicorn", {}, marks=pytest.mark.needs("apache")),
    pytest.param("apache", "uwsgi", UWSGI, marks=pytest.mark.needs("apache", "uwsgi")),
]


@pytest.mark.parametrize("front, behind, options", PAIRS)
def test_a_front_passes_on(front, behind, options):
    spoken = options if behind == "uwsgi" else {}
    with live(behind, ENVIRON, **spoken) as server, live(front, upstream=server, **options) as door:
        assert door.upstream is server
        assert environ(door, "/a%20b?c=d")["PATH_INFO"] == "/a b"
        assert environ(door, "/a?c=d")["QUERY_STRING"] == "c=d"
        assert repr(door) == f"<{front} in front of {behind}: running>"
        assert "master" in roles(door) and "worker" in roles(door)
        port = door.address
        server.stop()
        assert door.get("/").status_code in (502, 503)
    assert not door.running and port == door.address


@pytest.mark.parametrize(
    "front", [pytest.param(front, marks=pytest.mark.needs(front)) for front in ("nginx", "apache")]
)
def test_an_upstream_can_be_exchanged(front):
    with live("toy", ENVIRON) as one, live("toy") as two, live(front, upstream=one) as door:
        port = door.address
        assert environ(door)["REQUEST_METHOD"] == "GET"
        door.upstream = two
        assert door.get("/").text == "Hello from WSGI\n"
        assert door.address == port and door.upstream is two
    with pytest.raises(TypeError, match="no upstream"), live("toy", process=True) as toy:
        toy.upstream = two


@pytest.mark.needs("nginx")
def test_nginx_options(tmp_path):
    (tmp_path / "hello.txt").write_text("from the disk")
    tmp_path.chmod(0o755)
    with (
        live("gunicorn", ENVIRON, access_logfile="-") as server,
        live("nginx", upstream=server, static=str(tmp_path), workers=2) as plain,
        live(
            "nginx",
            upstream=server,
            prefix="/api/",
            http_version="1.1",
            buffering=False,
            headers={"Host": "$host", "X-Forwarded-For": "$proxy_add_x_forwarded_for"},
            extra='proxy_set_header X-Try "extra";',
        ) as full,
    ):
        seen = environ(plain)
        assert (seen["SERVER_PROTOCOL"], "HTTP_X_FORWARDED_FOR" in seen) == ("HTTP/1.0", False)
        assert seen["HTTP_HOST"] == "{}:{}".format(*server.address)
        assert plain.get("/static/hello.txt").text == "from the disk"
        assert len([row for row in plain.workers if row.role == "worker"]) == 2
        seen = environ(full, "/api/x", headers={"X-Forwarded-For": "203.0.113.9"})
        assert (seen["SERVER_PROTOCOL"], seen["PATH_INFO"]) == ("HTTP/1.1", "/api/x")
        assert seen["HTTP_X_FORWARDED_FOR"] == "203.0.113.9, 127.0.0.1"
        assert (seen["HTTP_HOST"], seen["HTTP_X_TRY"]) == ("127.0.0.1", "extra")
        assert full.get("/else").status_code == 404
        assert not server.log.grep("hello.txt|/else")


# -- failures and ends


def test_what_is_not_here_is_said_with_the_remedy(monkeypatch):
    monkeypatch.setattr(Tool, "path", lambda self: "/usr/bin/true")
    assert missing("nginx", "apache") == ""
    monkeypatch.setattr(Tool, "path", lambda self: None)
    monkeypatch.setattr(Tool, "remedy", lambda self: f"get {self.name}")
    assert missing("nginx") == "nginx is not on this machine. What brings it: get nginx"
    with pytest.raises(ServerError, match="apache is not on this machine.*get apache"):
        live("apache", upstream=live)
    monkeypatch.setattr(Tool, "path", lambda self: self.name != "mod_wsgi" or None)
    with pytest.raises(ServerError, match="mod_wsgi is not on this machine"):
        live("apache")


@pytest.mark.parametrize("kind", ["nginx", "proxy"])
def test_a_front_alone_is_refused(kind):
    with pytest.raises(ValueError, match="give it upstream="):
        live(kind)


@pytest.mark.needs("apache", "mod_wsgi")
def test_a_missing_app_in_embedded_mode_is_named():
    with pytest.raises(ServerError, match=r"(?s)apache did not start.*No module named 'nosuch'"):
        live("apache", "nosuch:app", mode="embedded")


ENDING = """
import os, sys
from coursekit.live import live
behind = live("gunicorn")
made = [behind, {live}]
for server in made:
    pids = [row.pid for row in server.workers]
    print(server._runner.folder, server.address[1], *pids, flush=True)
{ending}
"""
TREES = [
    pytest.param(code, marks=pytest.mark.needs(*needs), id=code.split('"')[1] + str(number))
    for number, (code, needs) in enumerate(
        [
            ('live("nginx", upstream=behind, workers=2)', ["nginx"]),
            ('live("apache", workers=2)', ["apache", "mod_wsgi"]),
            ('live("apache", mode="embedded")', ["apache", "mod_wsgi"]),
            ('live("uwsgi", workers=2, protocol="router")', ["uwsgi"]),
        ]
    )
]


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("ending", ["", "os.kill(os.getpid(), 9)"])
def test_trees_end_with_the_kernel(tree, ending):
    code = ENDING.format(live=tree, ending=ending)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    lines = [line.split() for line in run.stdout.splitlines()]
    assert len(lines) == 2, run.stderr
    for folder, port, *pids in lines:
        assert len(pids) > 1
        until(lambda pids=pids: not any(psutil.pid_exists(int(pid)) for pid in pids))
        until(lambda folder=folder: not os.path.exists(folder))
        with pytest.raises(OSError):
            wire.send(("127.0.0.1", int(port)), GET)


@pytest.mark.parametrize("tree", TREES)
def test_a_killed_master_leaves_nothing(tree):
    with live("toy", process=True) as behind, eval(tree) as server:
        assert server is not behind
        pids = [row.pid for row in server.workers]
        server.kill("master")
        until(lambda: not server.running)
    until(lambda: not any(map(psutil.pid_exists, pids)))


AS_NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
             "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests have shown it: nobody here is root")
@pytest.mark.needs("apache", "mod_wsgi", "nginx")
def test_an_ordinary_user_can_start_them(tmp_path):
    tmp_path.chmod(0o777)
    code = """
from coursekit.live import live
with live("apache") as apache, live("nginx", upstream=apache) as nginx:
    print(nginx.get("/").text, end="")
with live("apache", mode="embedded") as server, live("apache", upstream=server) as front:
    print(front.get("/").text, end="")
"""
    env = {**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    run = subprocess.run(
        [*AS_NOBODY, sys.executable, "-c", code],
        env=env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert run.stdout == "Hello from WSGI\n" * 2, run.stderr
