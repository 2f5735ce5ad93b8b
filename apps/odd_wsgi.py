"""Apps that look odd and are right: PEP 3333 allows each, and some servers stumble.

Each is an app of its own, `apps.odd_wsgi:writes`, and all can be reached through
`apps.odd_wsgi:app` by their name as the path: /writes. The path / lists them; /closed counts how
often close() was called on the answer of /counted.
"""

import io
import sys

# One header; a new list is made around it each time, because a server may change the list.
PLAIN = ("Content-Type", "text/plain")
CLOSED = []


def writes(environ, start_response):
    """Use write(), the old way to send; what is returned follows it."""
    write = start_response("200 OK", [PLAIN])
    write(b"written, ")
    write(b"written again, ")
    return [b"and returned\n"]


def late_start(environ, start_response):
    """Call start_response when the server asks for the first bytes, not before."""
    start_response("200 OK", [PLAIN])
    yield b""  # an empty string does not send the head yet
    yield b"late, "
    yield b""
    yield b"but in time\n"


def changes_its_mind(environ, start_response):
    """Replace the head, with exc_info, while nothing has been sent."""
    start_response("200 OK", [PLAIN, ("X-First", "yes")])
    try:
        raise RuntimeError("on purpose: this page could not be made")
    except RuntimeError:
        start_response("503 Service Unavailable", [PLAIN, ("X-Second", "yes")], sys.exc_info())
    return [b"the second head won\n"]


def no_length(environ, start_response):
    """Leave the length to the server, which can count a list with one element."""
    start_response("200 OK", [PLAIN])
    return [b"sixteen letters\n"]


def no_list(environ, start_response):
    """Return an iterable without a length, with a class of its own."""

    class Body:
        def __iter__(self):
            yield b"one, "
            yield b"two\n"

    start_response("200 OK", [PLAIN])
    return Body()


def empty(environ, start_response):
    """Answer 200 with no body at all: an empty list is an iterable too."""
    start_response("200 OK", [PLAIN])
    return []


def no_content(environ, start_response):
    """Answer 204, which has neither a body nor a length (RFC 9110 8.6)."""
    start_response("204 No Content", [])
    return []


def same_name(environ, start_response):
    """Send two cookies: two headers with one name must stay two."""
    cookies = [("Set-Cookie", "first=1"), ("Set-Cookie", "second=2")]
    start_response("200 OK", [PLAIN, *cookies])
    return [b"two cookies\n"]


def binary(environ, start_response):
    """Send every byte that there is; a server that decodes bodies breaks them."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [bytes(range(256)), bytes(range(255, -1, -1))]


def latin_header(environ, start_response):
    """Send a header with a letter above ASCII: WSGI headers are latin-1."""
    start_response("200 OK", [PLAIN, ("X-Name", "Zoë")])
    return [b"look at the head\n"]


def reads_lines(environ, start_response):
    """Read the body with readline, then iteration, then readlines; read finds nothing more."""
    stream = environ["wsgi.input"]
    lines = [stream.readline()]
    lines += [line for _, line in zip(range(1), stream, strict=False)]
    lines += [*stream.readlines(), stream.read(100)]
    start_response("200 OK", [PLAIN])
    return [b"|".join(lines)]


def reads_all(environ, start_response):
    """Read without a number: the server ends the stream where the body ends (PEP 3333)."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [PLAIN])
    return [b"%d bytes\n" % len(body)]


def reads_nothing(environ, start_response):
    """Ignore the body of the request; the next request must be read as one all the same."""
    start_response("200 OK", [PLAIN])
    return [b"I did not look\n"]


def file(environ, start_response):
    """Return a file through wsgi.file_wrapper, where the server offers it."""
    start_response("200 OK", [PLAIN])
    content = io.BytesIO(b"from a file\n" * 1000)
    if "wsgi.file_wrapper" in environ:
        return environ["wsgi.file_wrapper"](content, 512)
    return iter(lambda: content.read(512), b"")


def counted(environ, start_response):
    """Count close(): a server has to call it exactly once."""

    class Body(list):
        def close(self):
            CLOSED.append("counted")

    start_response("200 OK", [PLAIN])
    return Body([b"closed at ", b"the end\n"])


APPS = {
    each.__name__: each
    for each in (
        writes, late_start, changes_its_mind, no_length, no_list, empty, no_content, same_name,
        binary, latin_header, reads_lines, reads_all, reads_nothing, file, counted,
    )
}  # fmt: skip


def app(environ, start_response):
    """Run the app that the path names; list them at /, and the closed ones at /closed."""
    name = environ["PATH_INFO"].strip("/")
    if name in APPS:
        return APPS[name](environ, start_response)
    lines = [f"/{each}  {APPS[each].__doc__}" for each in APPS]
    body = ("\n".join([*lines, ""]) if not name else f"{len(CLOSED)}").encode("utf-8")
    start_response("200 OK", [PLAIN, ("Content-Length", str(len(body)))])
    return [body]
