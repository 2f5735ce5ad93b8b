"""Tokens, cookies and passwords never get into what a notebook shows."""

import os
from wsgiref.handlers import BaseHandler
from wsgiref.util import setup_testing_defaults

import pytest

from coursekit.live import live, shown

SECRETS = {
    "JUPYTERHUB_API_TOKEN": "hub-secret",
    "JPY_API_TOKEN": "jpy-secret",
    "JUPYTER_TOKEN": "jupyter-secret",
    "AWS_SECRET_ACCESS_KEY": "aws-secret",
    "HTTP_PROXY": "http://user:proxy-secret@proxy",
}


def test_environ_is_a_whitelist() -> None:
    environ: dict[str, object] = {"HTTP_COOKIE": "session=cookie-secret", **SECRETS}
    environ["HTTP_AUTHORIZATION"] = "Basic login-secret"
    environ["HTTP_X_API_KEY"] = "key-secret"
    environ["HTTP_ACCEPT"] = "text/plain"
    environ["PATH_INFO"] = "/x"
    setup_testing_defaults(environ)
    seen = shown.environ(environ)
    assert "secret" not in repr(seen)
    assert seen["HTTP_COOKIE"] == seen["HTTP_AUTHORIZATION"] == shown.MASK
    assert (seen["PATH_INFO"], seen["HTTP_ACCEPT"]) == ("/x", "text/plain")
    assert seen["wsgi.version"] == (1, 0)
    assert list(seen) == sorted(seen)


def test_headers_as_bytes_and_as_text() -> None:
    raw = [(b"Host", b"x"), (b"cookie", b"secret"), (b"x-api-key", b"secret")]
    assert shown.headers(raw) == [("Host", "x"), ("cookie", shown.MASK)]
    assert shown.headers([("Set-Cookie", "secret")]) == [("Set-Cookie", shown.MASK)]


# wsgiref, inside this process, copies all of os.environ into every request's environ.
def serve_with_wsgiref(listener, app, *, stop, log):  # type: ignore[no-untyped-def]
    import select
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = WSGIServer(listener.getsockname(), Quiet, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_name, server.server_port = "localhost", listener.getsockname()[1]
    server.setup_environ()
    server.set_app(app)
    while stop not in select.select([listener, stop], [], [])[0]:
        server.handle_request()


def test_a_hub_under_wsgiref(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    # wsgiref makes its copy when it is imported, which may have been before this test.
    monkeypatch.setattr(BaseHandler, "os_environ", dict(os.environ))
    seen = []

    def app(environ, start_response):  # type: ignore[no-untyped-def]
        seen.append((repr(environ), repr(shown.environ(environ))))
        start_response("200 OK", [("Content-Length", "0")])
        return []

    with live("toy", app, serve=serve_with_wsgiref) as server:
        cookie = {"Cookie": "jupyterhub-user-ann=cookie-secret", "Accept": "text/css"}
        assert server.get("/", headers=cookie).status_code == 200
    raw, safe = seen[0]
    assert "hub-secret" in raw and "cookie-secret" in raw  # this is why the whitelist exists
    assert "secret" not in safe
    assert "text/css" in safe


@pytest.mark.parametrize("kind", ["wsgiref", "gunicorn", "waitress"])
def test_a_child_does_not_get_jupyters_tokens(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with live(kind, "tests.test_shown:environment") as server:
        names = server.get("/").text.split()
    assert "PYTHONUNBUFFERED" in names
    assert not [name for name in names if name.startswith(("JUPYTER", "JPY_"))]


def environment(environ, start_response):  # type: ignore[no-untyped-def]
    """Answer with the names in this process's environment."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["\n".join(os.environ).encode()]
