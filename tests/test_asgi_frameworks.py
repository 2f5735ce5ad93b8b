"""FastAPI, Starlette, Quart, Litestar and Django run on the toy unchanged."""

import hashlib
import socket
import time

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from coursekit.live import live

SITES = {
    "starlette": "apps.starlette_app:app",
    "fastapi": "apps.fastapi_app:app",
    "quart": "apps.quart_app:app",
    "litestar": "apps.litestar_app:app",
    "django": "apps.django_app:asgi",
}
BIG = bytes(range(256)) * 20_480  # 5 MiB
PATIENCE = 20


@pytest.fixture(scope="module", params=SITES)
def site(request):
    name = SITES[request.param]
    with live("toy", name, process=True, interface="asgi", errors="log") as server:
        yield server


@pytest.fixture
def client(site):
    """One visitor with cookies and kept-alive connections."""
    with httpx.Client(base_url=site.url, trust_env=False, timeout=PATIENCE) as client:
        yield client


def test_page(client):
    answer = client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text.startswith("<!doctype html>") and answer.text.endswith("</ul>\n")


def test_form(client):
    assert client.post("/form", data={"name": "Zoë & Söhne"}).text == "Hello Zoë & Söhne\n"


@pytest.mark.parametrize("content", [b"", b"a line\r\n", BIG], ids=["empty", "small", "5 MiB"])
def test_upload(client, content):
    answer = client.post("/upload", files={"file": ("a.bin", content)})
    assert answer.text == f"a.bin {len(content)} {hashlib.sha256(content).hexdigest()}\n"


def test_chunked_upload(site, client):
    """A generator has no length, so httpx sends chunks; the multipart form is made by hand."""
    if "django" in site.app_name:
        return  # Django believes Content-Length alone, with ASGI as with WSGI
    form = (
        b'--X\r\nContent-Disposition: form-data; name="file"; filename="c.bin"\r\n\r\n',
        *[BIG[at : at + 100_000] for at in range(0, len(BIG), 100_000)],
        b"\r\n--X--\r\n",
    )
    headers = {"Content-Type": "multipart/form-data; boundary=X"}
    answer = client.post("/upload", content=iter(form), headers=headers)
    assert answer.request.headers["transfer-encoding"] == "chunked"
    assert answer.text == f"c.bin {len(BIG)} {hashlib.sha256(BIG).hexdigest()}\n"


def test_cookies(client):
    answer = client.get("/cookie", params={"colour": "green", "size": "small"})
    assert len(answer.headers.get_list("set-cookie")) == 2
    assert client.get("/cookie").text == "{'colour': 'green', 'size': 'small'}\n"


def test_redirect_to_a_function_in_a_thread(client):
    answer = client.get("/old", follow_redirects=True)
    assert [hop.status_code for hop in answer.history] == [302]
    assert (answer.url.path, answer.text) == ("/new", "the new place\n")


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse")
def test_stream(client):
    with client.stream("GET", "/stream") as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert b"".join(answer.iter_raw()) == b"line one\nline two\nline three\n"


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse")
def test_server_sent_events(client):
    with client.stream("GET", "/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.read().count(b"\n\n") == 3
    assert answer.text.startswith("id: 1\ndata: event 1\n\n")


def open_websocket(site):
    return connect(f"{site.ws}/ws", proxy=None, open_timeout=PATIENCE, close_timeout=PATIENCE)


def test_websocket(site):
    if "django" in site.app_name:
        with pytest.raises(InvalidStatus) as info, open_websocket(site):
            pass
        assert info.value.response.status_code == 500
        assert site.log.grep("Django can only handle ASGI/HTTP connections, not websocket")
        return
    with open_websocket(site) as client:
        for said in ("hello", "ö" * 100_000, ""):
            client.send(said)
            assert client.recv(PATIENCE) == said.upper()
    assert client.close_code == 1000


def test_a_visitor_who_breaks_a_websocket_off_leaves_no_error(site, client):
    if "django" in site.app_name:
        return  # it knows no WebSocket
    errors = len(site.log.grep("the app failed"))
    for _ in range(5):
        with open_websocket(site) as websocket:
            websocket.send("hello")
            assert websocket.recv(PATIENCE) == "HELLO"
            websocket.socket.shutdown(socket.SHUT_RDWR)
    assert client.get("/new").status_code == 200
    assert len(site.log.grep("the app failed")) == errors


def test_static_file(client):
    answer = client.get("/static/style.css")
    assert answer.headers["content-type"].startswith("text/css")
    assert "color-scheme" in answer.text
    head = client.head("/static/style.css")
    assert head.status_code in (200, 405) and head.content == b""


def test_work_behind_the_answer(site, client):
    if "django" in site.app_name:
        return  # it has neither lifespan nor background work of its own
    assert client.get("/background").text == "accepted\n"
    deadline = time.monotonic() + PATIENCE
    while "in background" not in client.get("/done").text:
        assert time.monotonic() < deadline


def test_what_was_made_at_startup(site, client):
    if "django" in site.app_name:
        return  # it has neither lifespan nor background work of its own
    assert client.get("/state").text == "made at startup\n"


def test_error_is_a_500_and_the_site_goes_on(client):
    assert client.get("/fail").status_code == 500
    assert client.get("/nowhere").status_code == 404
    assert client.get("/new").status_code == 200


def test_one_connection_serves_all(site):
    """Pages, errors and uploads in a row: none may leave bytes behind that the next one meets."""
    with httpx.Client(base_url=site.url, trust_env=False, timeout=PATIENCE) as client:
        ports = set()
        for path in ["/", "/stream", "/old", "/static/style.css", "/nowhere"] * 2:
            stream = client.get(path).extensions["network_stream"]
            ports.add(stream.get_extra_info("client_addr"))
        assert len(ports) == 1


def test_a_visitor_who_leaves_leaves_no_error(site, client):
    upload = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    with socket.create_connection(site.address) as sock:
        sock.sendall(upload.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain\r\n\r\nsome"))
    for _ in range(20):
        assert client.get("/new").status_code == 200
    assert not site.log.grep("bug in the server") and not site.log.grep("was never awaited")
