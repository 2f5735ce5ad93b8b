"""Apps that break PEP 3333 on purpose, each in one way.

Each is an app of its own, `apps.bad_wsgi:twice`, and all can be reached through `apps.bad_wsgi:app`
by their name as the path: /twice. The path / lists them with what is wrong; /closed counts the
streams that were closed. "Right" says what a server owes its client and its log all the same.
"""

import sys
import time

# One header; a new list is made around it each time, because a server may change the list.
PLAIN = ("Content-Type", "text/plain")
CLOSED = []


# --- the body is not an iterable of bytes ---------------------------------------------


def text_body(environ, start_response):
    """Return text instead of bytes. Right: 500."""
    start_response("200 OK", [PLAIN])
    return ["text, not bytes\n"]


def bare_text(environ, start_response):
    """Return a str, which is an iterable of one-letter strings. Right: 500."""
    start_response("200 OK", [PLAIN])
    return "text, not a list\n"


def bare_bytes(environ, start_response):
    """Return bytes, which are an iterable of numbers. Right: 500."""
    start_response("200 OK", [PLAIN])
    return b"bytes, not a list\n"


def nothing(environ, start_response):
    """Return None, as a function without `return` does. Right: 500."""
    start_response("200 OK", [PLAIN])


# --- start_response is called wrongly -------------------------------------------------


def silent(environ, start_response):
    """Never call start_response. Right: 500."""
    return [b"a body without a head\n"]


def twice(environ, start_response):
    """Call start_response twice without exc_info. Right: 500."""
    start_response("200 OK", [PLAIN])
    start_response("404 Not Found", [PLAIN])
    return [b"which of the two?\n"]


def dict_headers(environ, start_response):
    """Give the headers as a dict. Right: 500."""
    start_response("200 OK", {"Content-Type": "text/plain"})
    return [b"headers as a dict\n"]


def bytes_headers(environ, start_response):
    """Give names and values as bytes. Right: 500."""
    start_response("200 OK", [(b"Content-Type", b"text/plain")])
    return [b"headers as bytes\n"]


def number_status(environ, start_response):
    """Give the status as a number. Right: 500."""
    start_response(200, [PLAIN])
    return [b"a status without a reason\n"]


# --- headers that an app must not send ------------------------------------------------


def split_header(environ, start_response):
    """Put a line end into a header, so that a second header appears. Right: 500."""
    start_response("200 OK", [PLAIN, ("X-Name", "visitor\r\nX-Admin: yes")])
    return [b"one header became two\n"]


def split_status(environ, start_response):
    """Put a line end into the status. Right: 500."""
    start_response("200 OK\r\nX-Admin: yes", [PLAIN])
    return [b"the status became a header\n"]


def hop_by_hop(environ, start_response):
    """Send Connection: close, though the connection is the server's own. Right: 500."""
    start_response("200 OK", [PLAIN, ("Connection", "close"), ("Content-Length", "3")])
    return [b"ok\n"]


# --- Content-Length lies --------------------------------------------------------------


def too_short(environ, start_response):
    """Promise 10 bytes and send 5. Right: close, so that the client sees the gap."""
    start_response("200 OK", [PLAIN, ("Content-Length", "10")])
    return [b"five\n"]


def too_long(environ, start_response):
    """Promise 2 bytes and send 5. Right: never send more than 2."""
    start_response("200 OK", [PLAIN, ("Content-Length", "2")])
    return [b"five\n"]


# --- errors, early and late -----------------------------------------------------------


def raises(environ, start_response):
    """Raise at once. Right: 500."""
    raise RuntimeError("on purpose: before start_response")


def raises_before(environ, start_response):
    """Raise after start_response and before the first byte. Right: 500."""
    start_response("200 OK", [PLAIN])
    raise RuntimeError("on purpose: before the first byte")
    yield b""


def raises_after(environ, start_response):
    """Raise after the first bytes. Right: an answer that is visibly cut off."""
    start_response("200 OK", [PLAIN])
    yield b"the first half, "
    raise RuntimeError("on purpose: after the first bytes")


def replaces_after(environ, start_response):
    """Try to replace the head, with exc_info, after the first bytes. Right: visibly cut off."""
    start_response("200 OK", [PLAIN])
    yield b"the first half, "
    try:
        raise RuntimeError("on purpose: after the first bytes")
    except RuntimeError:
        start_response("500 Internal Server Error", [PLAIN], sys.exc_info())
    yield b"and an apology that must not follow\n"


def exits(environ, start_response):
    """Raise SystemExit, which is not an Exception. Right: 500, and the server lives on."""
    raise SystemExit("on purpose: this app wants to end the process")


# --- the end --------------------------------------------------------------------------


def raises_in_close(environ, start_response):
    """Raise in close(), when the answer is complete. Right: the answer arrives, whole."""

    class Body(list):
        def close(self):
            CLOSED.append("raises_in_close")
            raise RuntimeError("on purpose: in close()")

    start_response("200 OK", [PLAIN, ("Content-Length", "3")])
    return Body([b"ok\n"])


def endless(environ, start_response):
    """Never stop sending. Right: close() is called when the client has left."""
    start_response("200 OK", [PLAIN])
    try:
        while True:
            time.sleep(0.001)  # or one visitor takes a whole core
            yield b"more and more and more\n" * 1000
    finally:
        CLOSED.append("endless")


# --- all of them behind one address ---------------------------------------------------

APPS = {
    each.__name__: each
    for each in (
        text_body, bare_text, bare_bytes, nothing, silent, twice, dict_headers, bytes_headers,
        number_status, split_header, split_status, hop_by_hop, too_short, too_long, raises,
        raises_before, raises_after, replaces_after, exits, raises_in_close, endless,
    )
}  # fmt: skip


def app(environ, start_response):
    """Run the app that the path names; list them at /, and what was closed at /closed."""
    name = environ["PATH_INFO"].strip("/")
    if name in APPS:
        return APPS[name](environ, start_response)
    lines = [f"/{each}  {APPS[each].__doc__}" for each in APPS]
    body = "\n".join([*lines, ""]) if not name else " ".join(CLOSED)
    body = body.encode("utf-8")
    start_response("200 OK", [PLAIN, ("Content-Length", str(len(body)))])
    return [body]
