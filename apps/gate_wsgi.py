"""An app whose client knows that a request is inside, and says when it may go on.

/gate?PORT   connect to PORT of this machine, send our process id, wait until that side closes
/            answer at once

The body of every answer is the process id.
"""

import os
import socket


def app(environ, start_response):
    """Wait at the gate if there is one, then answer with the process id."""
    pid = str(os.getpid()).encode()
    if environ["PATH_INFO"] == "/gate":
        with socket.create_connection(("127.0.0.1", int(environ["QUERY_STRING"])), 10) as gate:
            gate.sendall(pid)
            gate.settimeout(30)
            gate.recv(1)
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(pid)))]
    start_response("200 OK", headers)
    return [pid]
