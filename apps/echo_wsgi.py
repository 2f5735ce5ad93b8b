"""Send back what was asked: the request line, the length of the body, and the body itself."""


def app(environ, start_response):
    """Answer with METHOD PATH, the number of body bytes, an empty line and the body."""
    body = read_body(environ)
    # PEP 3333 hands text over as latin-1: encoding it again gives the client's own bytes.
    line = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}".encode("latin-1")
    answer = b"%s\n%d bytes\n\n%s" % (line, len(body), body)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]


def read_body(environ):
    """Read the whole request body, whichever way the server says where it ends."""
    if environ.get("wsgi.input_terminated"):  # an extension: the server ends the stream itself
        return b"".join(iter(lambda: environ["wsgi.input"].read(65536), b""))
    # PEP 3333 knows CONTENT_LENGTH alone, and reading past it may wait for ever.
    left, parts = int(environ.get("CONTENT_LENGTH") or 0), []
    while left and (part := environ["wsgi.input"].read(min(left, 65536))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
