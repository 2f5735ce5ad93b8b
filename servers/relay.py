"""One request up, its answer down, both at the same time and neither held whole.

Rule 1  Neither side waits for the other: one poll watches both, so an answer may come while
        the body still goes up.
Rule 2  Who does not take its bytes is not read for: BUFFER bounds what waits for a side.
Rule 3  Only what is idempotent is sent twice, and only if not a byte of an answer came.
"""

import select

from servers.forward import AnswerFraming, AnswerReader, answer_head, request_head, upgrades
from servers.head import ProtocolError, Request, Response, request_framing, wants_keep_alive
from servers.http11 import Data, Reader, encode_chunk
from servers.service import Disconnected, date_field
from servers.upstream import Shared, Side, UpstreamError

BUFFER = 64 * 1024  # so much may wait for a side before more is read for it
# RFC 9110 9.2.2: to do these twice is to do them once.
IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
GONE = select.POLLERR | select.POLLHUP


class Exchange:
    """Carry one request up, and its answer down to the client."""

    def __init__(
        self, shared: Shared, client: Side, reader: Reader, request: Request, peer: str
    ) -> None:
        self.shared, self.client, self.reader, self.request = shared, client, reader, request
        self.framing = request_framing(request)
        self.head = request_head(
            request, self.framing, shared.upstream.host, peer, shared.trusted
        )
        self.whole = False  # the request has been read to its END
        self.response: Response | None = None  # its head is on the way to the client
        self.answered = False  # all of it is
        self.tunnel = False  # 101: from here on bytes, of whatever protocol
        self.keep = False  # the client's connection lives on
        self.down: AnswerFraming = 0  # how the client can tell the answer's end
        self.heard = False  # of the answer something has come
        self.answers = AnswerReader()
        side = shared.upstream.take()
        # What was sent so far, for a second try; only a reused connection deserves one.
        self.again = bytearray() if side and request.method in IDEMPOTENT else None
        self.side = side or shared.upstream.connect()
        self.send_up(self.head)

    def run(self) -> None:
        """Move bytes until the answer has come; raise whoever's error ends it.

        Its end stays in `client.out` until the upstream's connection is free again: a client
        that has the whole answer may ask the next question at once.
        """
        self.side.ending = self.client.eof
        try:
            while not self.done():
                self.read_request()
                self.turn()
        finally:
            if self.reusable():
                self.shared.upstream.give(self.side)
            else:
                self.side.sock.close()

    def done(self) -> bool:
        if self.tunnel:
            return self.client.eof and self.side.eof and not (self.client.out or self.side.out)
        return self.answered

    def reusable(self) -> bool:
        """Tell whether the upstream's connection is as good as new (RFC 9112 9.3)."""
        if not (self.answered and self.whole and self.response and not self.tunnel):
            return False
        side, ended = self.side, self.client.eof or self.answers.framing == "close"
        left = side.out or side.deaf or side.eof or self.answers.rest()
        return wants_keep_alive(self.response) and not (ended or left)

    def turn(self) -> None:
        """Wait until a byte can move, and move what can."""
        client, side = self.client, self.side
        from_client, from_side = self.wanted()
        wanted = {}
        if from_client or not client.eof:  # without an event it is watched for a reset
            wanted[client.sock] = from_client
        if from_side:
            wanted[side.sock] = from_side
        ready = self.shared.poll(wanted, self.patience())
        if not ready:
            self.expire()
        seen = ready.get(client.sock.fileno(), 0)
        if seen & from_client & select.POLLIN:
            self.from_client()
        elif seen & GONE:
            raise Disconnected("the client left")
        if from_side & select.POLLIN and ready.get(side.sock.fileno(), 0) & ~select.POLLOUT:
            self.from_upstream()
        self.side.flush()
        if not self.answered:
            client.flush()
        if client.deaf:
            raise Disconnected("the client left")

    def wanted(self) -> tuple[int, int]:
        """Return the events to wait for: at the client, at the upstream."""
        client, side = self.client, self.side
        waiting = len(self.reader.rest()) if self.whole and not self.tunnel else len(side.out)
        from_client = select.POLLIN if not client.eof and waiting < BUFFER else 0
        from_client |= select.POLLOUT if client.out else 0
        from_side = select.POLLIN if not side.eof and len(client.out) < BUFFER else 0
        from_side |= select.POLLOUT if side.out else 0
        return from_client, from_side

    def patience(self) -> float:
        return self.shared.times.idle if self.tunnel else self.shared.times.io

    def expire(self) -> None:
        """Raise the error of the one that all wait for."""
        if self.client.out:
            raise Disconnected("the client does not read")
        if not self.whole and not self.side.out:
            raise ProtocolError("the body took too long to arrive", 408)
        raise UpstreamError("the upstream took too long", 504)

    # --- up ---

    def from_client(self) -> None:
        """Take what the client sent, its end too: that is passed on, and no more is said of it.

        Toy: so a client that closed its half gets its answer. To nginx it has left (499).
        """
        try:
            data = self.client.receive()
        except OSError as error:
            raise Disconnected(str(error)) from error
        if self.tunnel:
            self.side.put(data or b"")
        elif data is not None:
            self.reader.feed(data)
            self.read_request()
        self.side.ending = self.client.eof

    def read_request(self) -> None:
        """Send up what has been read of the body."""
        while not self.whole and (event := self.reader.next_event()) is not None:
            data = event.body if isinstance(event, Data) else b""
            self.whole = not data
            self.send_up(encode_chunk(data) if self.framing == "chunked" else data)

    def send_up(self, data: bytes) -> None:
        self.side.put(data)
        if self.again is not None:
            self.again += data
            if len(self.again) > BUFFER:
                self.again = None

    def try_again(self, error: UpstreamError) -> None:
        """Send what was sent once more, over a new connection; raise `error` if that is wrong.

        RFC 9110 9.2.2: what is not idempotent, like a POST, may have been done already.
        """
        if self.heard or self.again is None:
            raise error
        self.side.sock.close()
        self.side, self.answers = self.shared.upstream.connect(), AnswerReader()
        self.side.put(bytes(self.again))
        self.side.ending = self.client.eof
        self.again = None

    # --- down ---

    def from_upstream(self) -> None:
        """Take what the upstream sent; raise UpstreamError if it broke off or is no HTTP."""
        try:
            data = self.side.receive()
        except OSError:
            return self.try_again(UpstreamError("the upstream reset the connection"))
        self.heard = self.heard or bool(data)
        if self.tunnel:
            self.client.put(data or b"")
            self.client.ending = self.side.eof
        elif self.side.eof and self.response is None:
            self.try_again(UpstreamError("the upstream closed the connection without an answer"))
        elif data is not None:
            self.answers.feed(data)
            try:
                self.read_answer()
            except ProtocolError as error:
                raise UpstreamError(f"the upstream's answer is broken: {error}") from error

    def read_answer(self) -> None:
        """Send down what has been read: heads that go before the answer, its own, its body."""
        while self.response is None:
            response = self.answers.head(self.request.method)
            if response is None:
                return
            if response.status == 101:
                return self.switch(response)
            if response.status >= 200:
                self.begin(response)
            else:
                self.answers.next_event()  # the END of no body
                if self.request.version >= (1, 1):  # RFC 9110 15.2: never to HTTP/1.0
                    self.client.put(answer_head(response, self.request, 0, True) + b"\r\n")
        while not self.answered and (event := self.answers.next_event()) is not None:
            data = event.body if isinstance(event, Data) else b""
            self.answered = not data
            self.client.put(encode_chunk(data) if self.down == "chunked" else data)

    def begin(self, response: Response) -> None:
        """Send the head of the answer, with an end that this client can see (RFC 9112 6.3)."""
        self.response, self.down = response, self.answers.framing
        if self.down in ("close", "chunked"):
            self.down = "chunked" if self.request.version >= (1, 1) else "close"
        # An answer that comes before the end of the body: the rest may never be wanted.
        reusable = self.whole and self.down != "close" and not self.shared.stopping
        self.keep = reusable and wants_keep_alive(self.request)
        date = b"" if b"date" in response.fields else date_field()  # RFC 9110 6.6.1
        head = answer_head(response, self.request, self.down, self.keep)
        self.client.put(head + date + b"\r\n")

    def switch(self, response: Response) -> None:
        """Become a tunnel (RFC 9110 7.8): what comes now is not HTTP, and is not looked at."""
        if not upgrades(self.request, self.framing):
            raise ProtocolError("it changes to a protocol that nobody asked for")
        self.response, self.tunnel, self.down = response, True, "close"
        head = answer_head(response, self.request, 0, True)
        self.client.put(head + b"\r\n" + self.answers.rest())
        self.side.put(self.reader.rest())
        self.client.ending, self.side.ending = self.side.eof, self.client.eof
