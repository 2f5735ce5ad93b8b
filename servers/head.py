"""A request's head: its grammar, and what it says of the connection (RFC 9110, RFC 9112).

Rule 1  Wire data is bytes. Nothing here decodes, waits, or remembers.
Rule 2  Validation is the parse itself: what is not in the grammar does not match.
Rule 3  What two servers could read differently is an error, never a guess:
        that difference is how requests are smuggled.
Left out: folded header lines are refused (h11 joins them).
"""

import re
from functools import lru_cache
from typing import Literal, NamedTuple

Headers = list[tuple[bytes, bytes]]
Framing = int | Literal["chunked"]


class ProtocolError(Exception):
    """Say what the peer did wrong; `status` is the answer that tells it (RFC 9110 15)."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Request(NamedTuple):
    """Hold a request's head, all in bytes.

    `headers` has every field in order of arrival, names in lower case. `fields` has each name
    once: RFC 9110 5.3 gives several fields of one name the meaning of one, joined by commas.
    """

    method: bytes
    target: bytes
    version: tuple[int, int]
    headers: Headers
    fields: dict[bytes, bytes]


class Response(NamedTuple):
    """Hold an answer's head, all in bytes: `headers` as they came, `fields` as in a Request."""

    status: int
    reason: bytes
    version: tuple[int, int]
    headers: Headers
    fields: dict[bytes, bytes]


# RFC 9110 5.6.2 (token) and 5.5 (field-value). Bytes that are not in these classes do not
# match, so validation is the parse itself. `++` and `*+` never give back what they took:
# a hostile head cannot make the match slow.
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
VALUE = rb"[^\x00-\x08\x0a-\x1f\x7f]*+"
HEAD = re.compile(
    rb"(%b) ([!\"$-~]++) HTTP/([0-9])\.([0-9])\r\n((?:%b:%b\r\n)*+)\r\n" % (TOKEN, TOKEN, VALUE)
)
BARE_LF = re.compile(rb"(?<!\r)\n")
# RFC 3986 3.2.2: a name, an IPv4 or a bracketed IPv6 address, and perhaps a port. It allows
# a comma in a name too, but "a,b" is also what is left of two Host fields.
HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%\-]*)(?::[0-9]*)?")
ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#@:][^/?#@]*)(.*)")


def parse_head(head: bytes, max_fields: int = 100) -> Request:
    """Turn a whole head, empty line included, into a Request; raise ProtocolError."""
    match = HEAD.fullmatch(head)
    if match is None:
        raise bad_head(head)
    method, target, major, minor, lines = match.groups()
    if major != b"1":
        raise ProtocolError(f"cannot speak HTTP/{major.decode()}.{minor.decode()}", 505)
    headers = []
    for line in lines.splitlines():
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value.strip(b" \t")))
    if len(headers) > max_fields:
        raise ProtocolError(f"{len(headers)} header fields, at most {max_fields} are taken", 431)
    # RFC 9110 2.5: a higher minor version is read as the highest one known.
    version = (1, 0) if minor == b"0" else (1, 1)
    fields = dict(headers)
    if len(fields) < len(headers):
        fields = join_fields(headers)
    check_host(fields.get(b"host"), version)
    if target[:1] != b"/" or method == b"CONNECT":
        target, host = origin_form(method, target)
        if host:  # RFC 9112 3.2.2: it replaces what the Host field says
            headers = [(b"host", host), *(field for field in headers if field[0] != b"host")]
            fields[b"host"] = host
    return Request(method, target, version, headers, fields)


def bad_head(head: bytes) -> ProtocolError:
    """Find the first line of `head` that broke the grammar, and name the fault."""
    if BARE_LF.search(head):
        # RFC 9112 2.2 lets a server accept it; then it and its proxy count lines differently.
        return ProtocolError("a line ends in LF alone, CR LF is needed")
    first, *lines = head.split(b"\r\n")
    if not re.fullmatch(rb"%b [!-~]+ HTTP/[0-9]\.[0-9]" % TOKEN, first):
        return ProtocolError(f"bad request line {first[:80]!r}: need METHOD SP TARGET SP HTTP/1.1")
    if b"#" in first:
        return ProtocolError("a fragment (#) in the request target never leaves a client")
    for line in lines:
        name, colon, _ = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            return ProtocolError(f"folded header line {line[:80]!r} (RFC 9112 5.2)")
        if colon and name != name.rstrip(b" \t"):
            # RFC 9112 5.1: space before the colon once let one server see a header
            # another did not (request smuggling), so it is an error, never trimmed.
            return ProtocolError(f"space before the colon in {line[:80]!r} (RFC 9112 5.1)")
        if line and not re.match(rb"%b:" % TOKEN, line):
            return ProtocolError(f"bad header line {line[:80]!r}")
    return ProtocolError("a control character stands in a header value")


def join_fields(headers: Headers) -> dict[bytes, bytes]:
    """Return each name once; several values are joined as RFC 9110 5.3 and RFC 6265 5.4 say."""
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        joint = b"; " if name == b"cookie" else b", "
        fields[name] = fields[name] + joint + value if name in fields else value
    return fields


def members(message: Request | Response, name: bytes) -> list[bytes]:
    """Return the members of a comma-separated field, in lower case (RFC 9110 5.6.1)."""
    value = message.fields.get(name)
    return [member.strip(b" \t") for member in value.lower().split(b",")] if value else []


@lru_cache(maxsize=64)
def is_host(host: bytes) -> bool:
    """Tell whether this is a name or an address, perhaps with a port. Nearly always the same."""
    return HOST.fullmatch(host) is not None


def check_host(host: bytes | None, version: tuple[int, int]) -> None:
    """Insist on one valid Host in HTTP/1.1, at most one in 1.0 (RFC 9112 3.2)."""
    if host is None:
        if version >= (1, 1):
            raise ProtocolError("there is no Host field (RFC 9112 3.2)")
    elif not is_host(host):  # two fields, joined by ", ", are no host either
        raise ProtocolError(f"bad Host {host[:80]!r}: exactly one name or address is needed")


def origin_form(method: bytes, target: bytes) -> tuple[bytes, bytes]:
    """Turn the other three target forms (RFC 9112 3.2) into a path, or "*", and a host or b""."""
    if method == b"CONNECT":
        raise ProtocolError("CONNECT asks for a tunnel, this is an origin server", 501)
    if target == b"*" and method == b"OPTIONS":
        return target, b""
    absolute = ABSOLUTE.fullmatch(target)
    if absolute is None or not is_host(absolute[1]):
        raise ProtocolError(f"bad request target {target[:80]!r}")
    path = absolute[2] if absolute[2][:1] == b"/" else b"/" + absolute[2]
    return path, absolute[1]


def request_framing(request: Request) -> Framing:
    """Return the body's length in bytes, or "chunked" (RFC 9112 6.3); raise ProtocolError."""
    length = request.fields.get(b"content-length")
    if b"transfer-encoding" in request.fields:
        if length is not None:
            # RFC 9112 6.1 and 6.3: allowed to a lenient server, and the classic smuggling form.
            raise ProtocolError("both Transfer-Encoding and Content-Length")
        check_codings(request)
        return "chunked"
    if length is None:
        return 0
    # A sign, a space, a list or a second field: each has been read in two ways by two servers.
    if not re.fullmatch(rb"[0-9]{1,18}", length):
        raise ProtocolError(f"bad Content-Length {length[:80]!r}")
    return int(length)


def check_codings(request: Request) -> None:
    """Accept the one transfer coding known here, chunked; raise ProtocolError on all others."""
    codings = members(request, b"transfer-encoding")
    if request.version < (1, 1):
        raise ProtocolError("Transfer-Encoding in HTTP/1.0 (RFC 9112 6.1)")
    if not codings or codings[-1] != b"chunked" or codings.count(b"chunked") > 1:
        raise ProtocolError(f"Transfer-Encoding must end in one chunked, got {codings!r}")
    if len(codings) > 1:
        raise ProtocolError(f"transfer coding {codings[0]!r} is not known here", 501)


def wants_continue(request: Request) -> bool:
    """Tell whether the client waits for 100 Continue (RFC 9110 10.1.1); raise on others (417)."""
    expectation = request.fields.get(b"expect")
    if not expectation or request.version < (1, 1):
        return False
    if expectation.lower() != b"100-continue":
        raise ProtocolError(f"cannot meet the expectation {expectation[:80]!r}", 417)
    return True


def wants_keep_alive(message: Request | Response) -> bool:
    """Tell whether the peer lets the connection live on (RFC 9112 9.3)."""
    if b"connection" not in message.fields:
        return message.version >= (1, 1)
    options = members(message, b"connection")
    return b"close" not in options and (message.version >= (1, 1) or b"keep-alive" in options)
