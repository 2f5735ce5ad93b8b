"""What of an environ or a scope may be shown: by a whitelist, because notebooks are shared.

On a JupyterHub the environment holds the user's tokens, wsgiref copies all of it into
every environ, and a request that came through Jupyter's proxy carries the user's session
cookie. A name that is not on these lists is not shown; of the last three, only that
they were there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

CGI = """
    REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING CONTENT_TYPE CONTENT_LENGTH
    SERVER_NAME SERVER_PORT SERVER_PROTOCOL SERVER_SOFTWARE REMOTE_ADDR REMOTE_PORT
    REMOTE_HOST GATEWAY_INTERFACE REQUEST_URI RAW_URI mod_wsgi.process_group
""".split()

HEADERS = """
    accept accept-charset accept-encoding accept-language cache-control connection
    content-encoding content-language content-length content-type date etag expect
    forwarded host if-match if-modified-since if-none-match if-unmodified-since
    keep-alive last-modified location origin pragma range referer sec-websocket-accept
    sec-websocket-extensions sec-websocket-key sec-websocket-protocol
    sec-websocket-version server te trailer transfer-encoding upgrade user-agent vary via
    x-forwarded-context x-forwarded-for x-forwarded-host x-forwarded-port
    x-forwarded-prefix x-forwarded-proto x-request-id x-real-ip
    allow content-range retry-after x-course
""".split()

MASKED = ["cookie", "set-cookie", "authorization", "proxy-authorization"]
MASK = "(not shown)"


def environ(environ: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be shown of a WSGI environ, names sorted."""
    found = {}
    for name in sorted(environ):
        if name in CGI or name.startswith("wsgi."):
            found[name] = environ[name]
        elif name.startswith("HTTP_"):
            header = name[5:].lower().replace("_", "-")
            if header in HEADERS:
                found[name] = environ[name]
            elif header in MASKED:
                found[name] = MASK
    return found


def headers(pairs: Iterable[tuple[Any, Any]]) -> list[tuple[str, str]]:
    """Return what may be shown of headers, in order; names and values as text."""
    found = []
    for name, value in pairs:
        name, value = _text(name), _text(value)
        if name.lower() in HEADERS:
            found.append((name, value))
        elif name.lower() in MASKED:
            found.append((name, MASK))
    return found


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
