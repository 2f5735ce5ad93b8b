"""Stream: an answer from a generator, and a request's body in pieces.

/?n=3&size=16&pause=0.2   n chunks of `size` bytes, with a pause before each but the first
/closed                   how many streams were started, finished, and closed so far
POST to any path          how many bytes the body had; it is never held in memory as a whole
"""

import sys
import time
from collections import Counter
from urllib.parse import parse_qs

COUNT = Counter(started=0, finished=0, closed=0)


def app(environ, start_response):
    """Answer with a stream of unknown length; count a body; show the counters at /closed."""
    if environ["REQUEST_METHOD"] == "POST":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d bytes\n" % count(environ)]
    if environ["PATH_INFO"] == "/closed":
        text = " ".join(f"{name}={count}" for name, count in COUNT.items())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [text.encode("ascii")]
    query = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return chunks(int(query.get("n", 3)), int(query.get("size", 16)), float(query.get("pause", 0)))


def chunks(n, size, pause):
    """Yield n chunks: the server pulls, and this code runs only while it does."""
    COUNT["started"] += 1
    try:
        for number in range(n):
            if pause and number:
                time.sleep(pause)
            yield (b"%d " % number).ljust(size - 1, b".") + b"\n"
        COUNT["finished"] += 1
    finally:
        # PEP 3333: the server calls close() however the answer ended, and a generator's close()
        # runs this block. A client that leaves in the middle is seen here and nowhere else.
        COUNT["closed"] += 1


def count(environ):
    """Read the body piece by piece and return its length."""
    ended = environ.get("wsgi.input_terminated")  # then b"" is the end, else the length tells
    left, total = sys.maxsize if ended else int(environ.get("CONTENT_LENGTH") or 0), 0
    while left and (piece := environ["wsgi.input"].read(min(left, 65536))):
        left -= len(piece)
        total += len(piece)
    return total
