"""The messages of a WebSocket in ASGI 3: the scope, and the bytes of what an app sends.

Rule 1  What an app says in a wrong way is its own mistake, AppError, and nothing of it is sent.
"""

from typing import Any

from servers.asgi import NOTHING, Ends, Message, Scope, State, field_line, flat, scope_for
from servers.head import Request
from servers.websocket import BINARY, TEXT, accept_key, encode_close, encode_frame, subprotocols
from servers.wsgi import AppError

SERVERS = (b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol",
           b"content-length")  # fmt: skip
FORBIDDEN: tuple[Message, ...] = (  # what websocket.close says if nothing was accepted
    {"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]},
    {"type": "http.response.body", "body": b"403 Forbidden: the app denied the WebSocket\n"},
)


def websocket_scope(
    request: Request, ends: Ends = (None, None), root_path: str = "", state: State = NOTHING
) -> Scope:
    """Return the scope of one WebSocket: that of a request, without a method."""
    scope = scope_for(request, ends, root_path, state)
    del scope["method"]
    scope.update(type="websocket", scheme="ws", subprotocols=subprotocols(request))
    scope["extensions"]["websocket.http.response"] = {}  # an app may deny with an own answer
    return scope


def encode_accept(request: Request, key: bytes, message: Message) -> bytes:
    """Return the head of the answer 101, which switches protocols; raise AppError."""
    lines = [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n" % accept_key(key)
    ]
    chosen, headers = message.get("subprotocol"), message.get("headers") or ()
    if chosen is not None:
        if chosen not in subprotocols(request):
            raise AppError(f"subprotocol {chosen!r} is none that the client speaks")
        lines.append(b"Sec-WebSocket-Protocol: %b\r\n" % chosen.encode("latin-1"))
    try:
        for name, value in headers:
            key, line = field_line(name, value)
            if key in SERVERS:
                raise AppError(f"header {name!r} belongs to the server")
            lines.append(line)
    except (ValueError, TypeError, AttributeError) as error:
        raise AppError(f"headers are pairs of bytes, not {headers!r:.80}: {error}") from error
    return b"".join(lines) + b"\r\n"


def encode_send(message: Message) -> bytes:
    """Return the frame of a websocket.send; raise AppError."""
    text, data = message.get("text"), message.get("bytes")
    if (text is None) == (data is None):
        raise AppError("websocket.send has either text or bytes")
    if text is None:
        return encode_frame(BINARY, data if type(data) is bytes else bytes(flat(data)))
    try:
        return encode_frame(TEXT, text.encode("utf-8"))
    except (ValueError, AttributeError) as error:
        raise AppError(f"text is a str of Unicode, not {text!r:.80}: {error}") from error


def encode_end(code: Any, reason: Any) -> bytes:
    """Return the frame of a websocket.close; raise AppError."""
    try:
        return encode_close(code, reason)
    except (ValueError, TypeError, AttributeError) as error:
        raise AppError(f"cannot close with {code!r}, {reason!r:.80}: {error}") from error
