"""One client's connection: bytes come in, requests are answered in order, the end is clean.

Rule 1  The socket never blocks: where a wait is needed, `wait` stands there, with its limit.
Rule 2  A slow client costs no thread: a body waits in a Spool until it is whole, an answer
        until it is taken. The app's thread fills and empties spools, and moves on.
Rule 3  A connection is closed so that the peer reads the answer first (RFC 9112 9.6).
Left out: TLS (a proxy ends it); an app that reads while its client still sends (Gunicorn).
"""

import io
import socket
import struct
import time
from contextlib import suppress
from functools import partial

from servers import wsgi
from servers.head import ProtocolError, Request, wants_continue, wants_keep_alive
from servers.http11 import END, Data, Reader
from servers.sender import Sender
from servers.service import Disconnected, Service, date_field, error_answer
from servers.spool import Spool

RECV = 16 * 1024
BODY = 64 * 1024  # of a body that much stays in memory, the rest goes to disk


class Connection(Sender):
    """Serve one client; its way out is the Sender."""

    __slots__ = ("body", "busy", "closed", "complete", "deadline", "last", "peer", "reader",
                 "request", "watched")  # fmt: skip

    def __init__(self, sock: socket.socket, peer: tuple[str, int], service: Service) -> None:
        sock.setblocking(False)
        with suppress(OSError):  # macOS refuses on a connection that was reset meanwhile
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, service)
        self.peer = peer
        self.reader = Reader(service.limits)
        self.give(service.times.head)
        self.busy = False  # a thread serves it
        self.last = False  # the last answer is out: read and drop until the peer closes
        self.watched = 0  # the event that the pool's selector waits for
        self.closed = False  # nothing more to do: the driver closes the socket
        self.request: Request | None = None  # the one being read or answered
        self.body: Spool | None = None  # its body, if it has one
        self.complete = False  # its END has been read

    def reset(self) -> None:
        """Forget the request that was answered."""
        if self.body is not None:
            self.body.close()
        self.request = self.body = None
        self.complete = False

    def give(self, seconds: float) -> None:
        """Set the time by which the peer has to do something."""
        self.deadline = time.monotonic() + seconds

    def idle(self) -> bool:
        return self.request is None and self.reader.empty() and not self.unsent

    # --- in ---

    def receive(self) -> bytes | None:
        """Return what has arrived, b"" for the peer's end, None for nothing; raise Disconnected."""
        try:
            return self.sock.recv(RECV)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Disconnected(str(error)) from error

    def advance(self) -> bool:
        """Read events until the request is whole; False if more bytes are needed."""
        while (event := self.reader.next_event()) is not END:
            if event is None:
                return False
            if isinstance(event, Request):
                self.request = event
                if wants_continue(event) and self.reader.empty():
                    self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            elif isinstance(event, Data):
                if self.body is None:
                    self.body = Spool(BODY)
                self.body.put(event.body)
                self.give(self.service.times.io)
            else:
                raise Disconnected("the peer closed an idle connection")
        self.complete = True
        return True

    # --- one request ---

    def answer(self) -> None:
        """Call the app for the request that is there, and decide how the connection goes on."""
        request, service = self.request, self.service
        assert request is not None
        response = wsgi.StartResponse(request, self.send, date_field, service.goes_on, self.hold)
        body: io.BufferedIOBase = io.BytesIO()
        if self.body is not None:
            body = io.BufferedReader(wsgi.BodyInput(partial(self.body.take, RECV)))
        try:
            environ = wsgi.environ_for(request, service.base, self.peer, body)
            wsgi.run_app(service.app, environ, response)
        except Disconnected:
            return self.close()
        except KeyboardInterrupt:  # Ctrl-C is not the app's doing
            raise
        except BaseException as error:  # sys.exit() in an app, or CancelledError, ends no server
            target = request.target.decode("latin-1")
            service.log.error("the app failed on %s: %s", target, error, exc_info=error)
            return self.cut(response)
        if not response.keep_alive:
            self.push()
            return self.leave()
        self.reset()
        self.give(service.times.idle)

    def cut(self, response: wsgi.StartResponse) -> None:
        """End an answer that failed: a 500 if nothing was sent, else a visible break."""
        if not response.sent:
            return self.refuse(500, "the application failed; the server's log says how")
        self.push()
        if response.done:
            return self.leave()
        if not response.chunked and response.left is None and not response.bodiless:
            # Here the body ends where the connection does: only a reset looks unlike an end.
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def refuse(self, status: int, message: str) -> None:
        head, body = error_answer(status, message)
        bodiless = self.request is not None and self.request.method == b"HEAD"
        self.send(head if bodiless else head + body)
        self.leave()

    def leave(self) -> None:
        """Close, but let the peer read the last answer first.

        RFC 9112 9.6: to close while the peer still sends makes the kernel answer with a
        reset, which can destroy the answer on its way.
        """
        self.last = True
        if self.unsent:
            self.give(self.service.times.io)
        elif self.complete and self.request and not wants_keep_alive(self.request):
            self.close()  # the peer knew that this was the last request: it sends no more
        else:
            self.half_close()

    def half_close(self) -> None:
        self.give(self.service.times.linger)
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:  # the peer was faster
            self.close()

    def close(self) -> None:
        """Be done; the driver closes the socket."""
        self.closed = True
        self.reset()
        self.drop()

    # --- what a driver calls: the socket is ready, or the time is up ---

    def ready(self) -> bool:
        """Read and write what is possible without waiting; True if the app can be called."""
        try:
            if self.unsent:
                return self.go_on()
            data = self.receive()
            if self.last and data == b"":
                self.close()
            if self.last or data is None:
                return False
            fresh = self.request is None and self.reader.empty()
            self.reader.feed(data)
            if self.advance():
                return True
            if fresh and self.body is None:  # its time runs from the first byte on
                self.give(self.service.times.head)
        except Exception as error:
            self.fail(error)
        return False

    def go_on(self) -> bool:
        """Send what was left; when all is out, leave, or turn to a pipelined request."""
        self.flush()
        self.give(self.service.times.io if self.unsent else self.service.times.idle)
        if self.last and not self.unsent:
            self.leave()
        return self.turn_to_next()

    def turn_to_next(self) -> bool:
        """Read the request behind the answered one; True if it is here, and its turn."""
        if self.reader.empty() or self.closed or self.last or self.unsent:
            return False
        self.give(self.service.times.head)
        return self.advance()

    def serve(self) -> None:
        """Answer the request that is there, and those pipelined behind it, in order."""
        self.respond()
        self.release()

    def respond(self) -> None:
        """Let the app answer; what ends the last answer is held."""
        try:
            self.answer()
            while self.turn_to_next():
                self.answer()
        except Exception as error:
            self.fail(error)

    def release(self) -> None:
        """Send what is held; the peer has its time to take what does not leave at once."""
        try:
            self.push()
            if self.unsent:
                self.give(self.service.times.io)
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Tell the peer, and the log, what is wrong; if that fails too, just close."""
        try:
            if isinstance(error, ProtocolError):
                return self.refuse(error.status, str(error))
            if not isinstance(error, ConnectionError):
                self.service.log.critical("a bug in the server: %s", error, exc_info=error)
                return self.refuse(500, "the server failed; its log says how")
        except ConnectionError:
            pass
        except Exception as worse:
            self.service.log.critical("a bug in the server: %s", worse, exc_info=worse)
        self.close()

    def expire(self) -> None:
        """Do what is right when the deadline has passed: 408 to a slow head, else just close."""
        if self.last or self.unsent or self.idle():
            return self.close()
        self.fail(ProtocolError("the request took too long to arrive", 408))
