"""One client's connection: bytes come in, requests are answered in order, the end is clean.

Rule 1  The socket never blocks: where a wait is needed, `wait` stands there, with its limit.
Rule 2  One thread at a time serves a connection; who and when is up to `workers`.
Rule 3  A connection is closed so that the peer reads the answer first (RFC 9112 9.6).
Left out: TLS (a proxy ends it), a spool file for slow readers of long streams (waitress).
"""

import io
import select
import socket
import struct
import time

from servers import wsgi
from servers.head import ProtocolError, Request, wants_continue, wants_keep_alive
from servers.http11 import END, Data, Reader
from servers.service import Disconnected, Service, date_field, error_answer, wait

EARLY_BODY = 64 * 1024  # a body up to this size is read before a thread is spent on it
UNSENT = 256 * 1024  # what may wait for a slow reader before the app has to wait too
RECV = 64 * 1024


class Connection:
    """Serve one client. The socket never blocks: where a wait is needed, `wait` stands there."""

    __slots__ = ("busy", "closed", "complete", "deadline", "early", "expects", "last", "peer",
                 "reader", "request", "service", "size", "sock", "unsent", "watched")  # fmt: skip

    def __init__(self, sock: socket.socket, peer: tuple[str, int], service: Service) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock, self.peer, self.service = sock, peer, service
        self.reader = Reader(service.limits)
        self.give(service.times.head)
        self.unsent = b""  # what the peer has not taken yet
        self.busy = False  # a thread serves it
        self.last = False  # the last answer is out: read and drop until the peer closes
        self.watched = 0  # the event that the pool's selector waits for
        self.closed = False  # nothing more to do: the driver closes the socket
        self.reset()

    def reset(self) -> None:
        """Forget the request that was answered."""
        self.request: Request | None = None
        self.expects = False  # the client waits for 100 Continue
        self.early: list[bytes] = []  # pieces of the body read before the app is called
        self.size = 0  # of these, in bytes
        self.complete = False  # the request's END has been read

    def give(self, seconds: float) -> None:
        """Set the time by which the peer has to do something."""
        self.deadline = time.monotonic() + seconds

    def idle(self) -> bool:
        return self.request is None and not self.reader.rest() and not self.unsent

    # --- in ---

    def receive(self) -> None:
        """Feed the reader what has arrived; raise Disconnected."""
        try:
            self.reader.feed(self.sock.recv(RECV))
        except BlockingIOError:
            pass
        except OSError as error:
            raise Disconnected(str(error)) from error

    def advance(self) -> bool:
        """Read events until the app can be called; False if more bytes are needed."""
        while not (self.complete or self.expects or self.size >= EARLY_BODY):
            event = self.reader.next_event()
            if event is None:
                return False
            if isinstance(event, Request):
                self.request = event
                self.expects = wants_continue(event)
            elif isinstance(event, Data):
                self.early.append(event.body)
                self.size += len(event.body)
                self.give(self.service.times.io)
            elif event is END:
                self.complete = True
            else:
                raise Disconnected("the peer closed an idle connection")
        return True

    def more(self) -> bytes:
        """Return the body's next piece, b"" at its end; wait for it if need be."""
        if not self.early:
            expects, self.expects, self.size = self.expects, False, 0
            while not self.advance() and not self.early:
                if expects:
                    expects = False
                    self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                else:
                    wait(self.sock, select.POLLIN, self.service.times.io)
                    self.receive()
        return self.early.pop(0) if self.early else b""

    # --- out ---

    def send(self, data: bytes) -> None:
        """Send; keep up to UNSENT bytes that the peer does not take yet; raise Disconnected."""
        self.expects = False  # behind the first bytes of an answer, 100 would stand inside it
        if self.unsent:
            data = self.unsent + data
        sent = self.send_some(data)
        self.unsent = b""
        if sent < len(data):
            rest = memoryview(data)[sent:]
            while len(rest) > UNSENT:
                wait(self.sock, select.POLLOUT, self.service.times.io)
                rest = rest[self.send_some(rest) :]
            self.unsent = bytes(rest)

    def send_some(self, data: bytes | memoryview) -> int:
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise Disconnected(str(error)) from error

    # --- one request ---

    def answer(self) -> None:
        """Call the app for the request that is there, and decide how the connection goes on."""
        request, service = self.request, self.service
        assert request is not None
        response = wsgi.StartResponse(request, self.send, date_field, self.reusable)
        body: io.BufferedIOBase
        if self.complete:
            body = io.BytesIO(b"".join(self.early))
        else:
            body = io.BufferedReader(wsgi.BodyInput(self.more))
        try:
            wsgi.run_app(
                service.app, wsgi.environ_for(request, service.base, self.peer, body), response
            )
        except (Disconnected, ProtocolError):
            if not response.sent:
                raise
            return self.cut(response)
        except KeyboardInterrupt:  # Ctrl-C is not the app's doing
            raise
        except BaseException as error:  # sys.exit() in an app, or CancelledError, ends no server
            target = request.target.decode("latin-1")
            service.log.error("the app failed on %s: %s", target, error, exc_info=error)
            return self.cut(response)
        if not (response.keep_alive and self.reusable()):
            return self.leave()
        self.reset()
        self.give(service.times.io if self.unsent else service.times.idle)

    def reusable(self) -> bool:
        """Tell whether another request may follow; asked when the answer's head leaves."""
        return self.complete and not self.service.stopping

    def cut(self, response: wsgi.StartResponse) -> None:
        """End an answer that failed: a 500 if nothing was sent, else a visible break."""
        if not response.sent:
            return self.refuse(500, "the application failed; the server's log says how")
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
        self.closed = True

    # --- what a driver calls: the socket is ready, or the time is up ---

    def ready(self) -> bool:
        """Read and write what is possible without waiting; True if the app can be called."""
        try:
            if self.unsent:
                return self.flush()
            if self.last:
                if not self.sock.recv(RECV):
                    self.close()
                return False
            if self.idle():
                self.give(self.service.times.head)
            self.receive()
            return self.advance()
        except BlockingIOError:
            pass
        except Exception as error:
            self.fail(error)
        return False

    def flush(self) -> bool:
        self.send(b"")
        self.give(self.service.times.io if self.unsent else self.service.times.idle)
        if self.last and not self.unsent:
            self.leave()
        return not (self.unsent or self.last) and self.reader.rest() != b"" and self.advance()

    def serve(self) -> None:
        """Answer the request that is there, and those pipelined behind it, in order."""
        try:
            self.answer()
            while not (self.closed or self.last or self.unsent) and self.reader.rest():
                if not self.advance():
                    break
                self.answer()
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        try:
            if isinstance(error, ProtocolError):
                return self.refuse(error.status, str(error))
            if not isinstance(error, OSError):
                self.service.log.critical("a bug in the server: %s", error, exc_info=error)
                return self.refuse(500, "the server failed; its log says how")
        except OSError:
            pass
        except Exception as worse:
            self.service.log.critical("a bug in the server: %s", worse, exc_info=worse)
        self.close()

    def expire(self) -> None:
        """Do what is right when the deadline has passed: 408 to a slow head, else just close."""
        if self.last or self.unsent or self.idle():
            return self.close()
        self.fail(ProtocolError("the request took too long to arrive", 408))
