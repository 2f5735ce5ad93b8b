"""The smallest complete WSGI application (PEP 3333)."""


def app(environ, start_response):
    """Answer every request with a greeting in plain text."""
    body = b"Hello from WSGI\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
