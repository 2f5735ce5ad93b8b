"""Flask, Django and the course's own apps run on the toy unchanged, asked by a real client."""

import hashlib
import importlib
import socket
from wsgiref.validate import validator

import httpx
import pytest
from test_apps import RIGHT

from coursekit.live import live

SITES = {"flask": "apps.flask_app:app", "django": "apps.django_app:app"}
BIG = bytes(range(256)) * 20_480  # 5 MiB


@pytest.fixture(scope="module", params=SITES)
def site(request):
    with live("toy", SITES[request.param], process=True, threads=4, errors="log") as server:
        yield server


@pytest.fixture
def client(site):
    """One visitor with cookies and kept-alive connections."""
    with httpx.Client(base_url=site.url, trust_env=False, timeout=20) as client:
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


def test_chunked_upload(client, site):
    """A generator has no length, so httpx sends chunks; the multipart form is made by hand."""
    if "django" in site.app_name:
        return  # Django believes CONTENT_LENGTH alone, under any WSGI server
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


def test_sessions_are_apart(client, site):
    assert [client.get("/visits").text for _ in range(3)] == [f"visit {n}\n" for n in (1, 2, 3)]
    assert site.get("/visits").text == "visit 1\n"


def test_redirect(client):
    answer = client.get("/old", follow_redirects=True)
    assert [hop.status_code for hop in answer.history] == [302]
    assert (answer.url.path, answer.text) == ("/new", "the new place\n")


def test_stream(client):
    with client.stream("GET", "/stream") as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert b"".join(answer.iter_raw()) == b"line one\nline two\nline three\n"


def test_static_file(client):
    answer = client.get("/static/style.css")
    assert answer.headers["content-type"].startswith("text/css")
    assert "color-scheme" in answer.text
    unchanged = client.get(
        "/static/style.css", headers={"If-Modified-Since": answer.headers["last-modified"]}
    )
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_head_has_no_body(client):
    answer = client.head("/new")
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.get("/new").text == "the new place\n"


def test_error_is_a_500_and_the_site_goes_on(client):
    assert client.get("/fail").status_code == 500
    assert client.get("/nowhere").status_code == 404
    assert client.get("/new").status_code == 200


def test_one_connection_serves_all(site):
    """Pages, errors and uploads in a row: none may leave bytes behind that the next one meets."""
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        ports = set()
        for path in ["/", "/fail", "/stream", "/old", "/static/style.css", "/nowhere"] * 2:
            answer = client.get(path)
            stream = answer.extensions["network_stream"]
            ports.add(stream.get_extra_info("client_addr"))
        assert len(ports) == 1


@pytest.mark.parametrize(
    "app, words",
    [
        ("apps.flask_app:debug_app", ["ValueError: on purpose", "Traceback", "fail"]),
        ("apps.django_app:app", ["ValueError at /fail", "on purpose", "Request Method"]),
    ],
    ids=["flask", "django"],
)
def test_debug_page(app, words):
    with live("toy", app, process=True, errors="log") as server:
        answer = server.get("/fail", headers={"Accept": "text/html"})
        assert answer.status_code == 500
        assert [word for word in words if word not in answer.text] == []


@pytest.mark.parametrize("name", [name for name in RIGHT if not name.startswith("bad")])
def test_the_referee_finds_nothing(name):
    """The validator stands between the toy and each right app, and judges both."""
    module, _, attribute = name.partition(":")
    app = validator(getattr(importlib.import_module(f"apps.{module}"), attribute))
    with live("toy", app) as server:
        for target in RIGHT[name]:
            request = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            exchange = server.send_raw(request.encode())
            assert exchange.answer.complete, (target, exchange)
            good = exchange.status < 400 or target in ("/fail", "/changes_its_mind")
            assert good, (target, exchange)


def test_a_stream_is_closed_when_the_visitor_leaves():
    with live("toy", "apps.stream_wsgi:app", process=True, threads=2, errors="log") as server:
        with socket.create_connection(server.address) as sock:
            sock.sendall(b"GET /?n=100000&size=100000 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(1000)
        deadline = httpx.Timeout(10)
        for _ in range(500):
            text = server.get("/closed", timeout=deadline).text
            if "closed=1" in text:
                break
        assert text == "started=1 finished=0 closed=1"
