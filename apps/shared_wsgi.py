"""What workers share, and what each has for itself: a counter, a job, a connection.

/count       count up, and answer `PID NUMBER`
/job         answer `PID STARTED_IN alive|gone` of the job that this module starts when imported
/row?7       ask the database for row 7 over the one connection that was opened at import
/hash?20     compute in C for some time; says `begins` in wsgi.errors first
/pause?0.5   the same with a pause of Python's

The database is a server at 127.0.0.1:$TOY_DATABASE that sends every record of 16 bytes back.
"""

import hashlib
import os
import socket
import threading
import time

RECORD = 16

count = 0


def work_for_ever():
    """Be the job: in earnest it would send mails every minute."""
    while True:
        time.sleep(60)


job = threading.Thread(target=work_for_ever, daemon=True)
job.start()
started_in = os.getpid()

database = None
if "TOY_DATABASE" in os.environ:
    database = socket.create_connection(("127.0.0.1", int(os.environ["TOY_DATABASE"])))


def app(environ, start_response):
    """Answer in a line what the path asks for."""
    global count
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    said = f"{os.getpid()}"
    if path == "/count":
        count += 1
        said = f"{os.getpid()} {count}"
    elif path == "/job":
        said = f"{os.getpid()} {started_in} {'alive' if job.is_alive() else 'gone'}"
    elif path == "/row":
        said = row(query)
    elif path in ("/hash", "/pause"):
        print("begins", file=environ["wsgi.errors"], flush=True)
        wait(path, query)
    body = f"{said}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def row(number):
    """Ask the database, and return what it says."""
    database.sendall(f"row {number}".encode().ljust(RECORD))
    return database.recv(RECORD, socket.MSG_WAITALL).decode().strip()


def wait(path, amount):
    """Take time: in C, where nothing of Python runs, or in a sleep that a library may replace."""
    if path == "/hash":
        hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", int(amount or 1) * 100_000)
    else:
        time.sleep(float(amount or 0.5))
