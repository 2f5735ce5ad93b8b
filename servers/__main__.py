"""Run a toy server from the command line: python -m servers wsgi MODULE:ATTR (or proxy URL)"""

import argparse
import importlib
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn
from urllib.parse import urlsplit

from servers import proxy, workers


def main(argv: list[str] | None = None) -> None:
    """Parse the arguments and serve until SIGTERM or SIGINT; exit 0, 1 (cannot serve) or 2."""
    options = parse(argv)
    log = "%(asctime)s [%(process)d] %(levelname)s %(message)s"
    logging.basicConfig(format=log, level=logging.INFO)
    sys.path.insert(0, os.getcwd())
    if options.kind == "wsgi" and options.workers > 1:
        prefork(options)
    serve = server(options)
    listener = open_listener(options)
    stop, stopper = socket.socketpair()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopper.close())
    announce(listener)
    serve(listener, stop=stop)


def server(options: argparse.Namespace) -> Callable[..., None]:
    """Return the function that serves in this process, all but its listener and `stop` given."""
    if options.kind == "proxy":
        trusted = frozenset(options.trusted)
        return partial(proxy.serve_proxy, upstream=options.upstream, trusted=trusted)
    return partial(workers.serve_threads, app=load(options.app), threads=options.threads)


def prefork(options: argparse.Namespace) -> NoReturn:
    """Serve with several processes; each imports the app itself, so a reload brings new code."""
    listener = open_listener(options)
    announce(listener)
    status = workers.serve_prefork(
        listener,
        lambda: load(options.app),
        workers=options.workers,
        threads=options.threads,
        timeout=options.timeout,
        max_requests=options.max_requests,
        jitter=options.max_requests_jitter,
    )
    sys.exit(status)


def announce(listener: socket.socket) -> None:
    """Print the URL: whoever asked for port 0 has no other way to know it."""
    host, port = listener.getsockname()[:2]
    print(f"http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the options; exit 2 with a line of usage if they are wrong."""
    parser = argparse.ArgumentParser(prog="python -m servers", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    wsgi = kinds.add_parser("wsgi", help="serve a WSGI application with threads and processes")
    wsgi.add_argument("app", metavar="MODULE:ATTR", help="importable from the current folder")
    front = kinds.add_parser("proxy", help="pass requests on to another server")
    front.add_argument("upstream", type=upstream_url, metavar="URL", help="http://HOST:PORT")
    for kind in (wsgi, front):
        kind.add_argument("--host", default="127.0.0.1")
        kind.add_argument("--port", type=port_number, default=8000, help="0 picks a free one")
        kind.add_argument("--fd", type=int, help="use this listening socket, not host and port")
    front.add_argument("--trusted", action="append", default=[], metavar="ADDRESS",
                       help="a proxy before this one, whose X-Forwarded-* is believed")  # fmt: skip
    add_workers(wsgi)
    return parser.parse_args(argv)


def add_workers(wsgi: argparse.ArgumentParser) -> None:
    """Add the options about threads and processes."""
    wsgi.add_argument("--threads", type=how_many, default=8, metavar="N", help="a worker")
    wsgi.add_argument("--workers", type=how_many, default=1, metavar="N", help="processes")
    several = wsgi.add_argument_group("with several workers")
    several.add_argument("--timeout", type=seconds, default=30.0, metavar="SECONDS",
                         help="a worker that is stuck for so long is killed")  # fmt: skip
    several.add_argument("--max-requests", type=int, default=0, metavar="N",
                         help="after which a worker is replaced; 0: never")  # fmt: skip
    several.add_argument("--max-requests-jitter", type=int, default=0, metavar="N",
                         help="at most so many more, at random")  # fmt: skip


def upstream_url(text: str) -> tuple[str, int]:
    """Return host and port of http://HOST:PORT; raise ArgumentTypeError or ValueError."""
    url = urlsplit(text)
    if url.scheme != "http" or not url.hostname or url.path.strip("/") or url.query:
        raise argparse.ArgumentTypeError(f"{text!r} is not http://HOST:PORT")
    return url.hostname, url.port or 80


def port_number(text: str) -> int:
    """Return a TCP port; raise ArgumentTypeError or ValueError."""
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not between 0 and 65535")
    return port


def how_many(text: str) -> int:
    """Return a number of threads or workers; raise ArgumentTypeError or ValueError."""
    count = int(text)
    if not 1 <= count <= 1000:
        raise argparse.ArgumentTypeError(f"{count} is not between 1 and 1000")
    return count


def seconds(text: str) -> float:
    """Return a time; raise ArgumentTypeError or ValueError."""
    time = float(text)
    if not 1 <= time <= 86400:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 86400 seconds")
    return time


def load(spec: str) -> Callable[..., Any]:
    """Import MODULE:ATTR and return it; leave with one line if that cannot be done."""
    name, _, attribute = spec.partition(":")
    if not name or not attribute:
        fail(f"{spec!r} is not MODULE:ATTR, like 'apps.hello_wsgi:app'", 2)
    try:
        module = importlib.import_module(name)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = "" if "importlib" in place.filename else f" ({place.filename}, line {place.lineno})"
        fail(f"cannot import {name!r}: {type(error).__name__}: {error}{where}")
    if not hasattr(module, attribute):
        fail(f"module {name!r} has no {attribute!r}")
    app = getattr(module, attribute)
    if not callable(app):
        fail(f"{spec} is {type(app).__name__}, and not callable")
    return app  # type: ignore[no-any-return]


def open_listener(options: argparse.Namespace) -> socket.socket:
    """Return the listening socket; exit 1 with a line that says why there is none."""
    try:
        if options.fd is not None:
            listener = socket.socket(fileno=options.fd)
            listener.listen(1024)  # the parent may have bound it only; twice does no harm
            return listener
        return workers.listen(options.host, options.port)
    except (OSError, ValueError) as error:
        place = f"{options.host} port {options.port}"
        if options.fd is not None:
            place = f"file descriptor {options.fd}"
        fail(f"cannot listen on {place}: {getattr(error, 'strerror', None) or error}")


def fail(message: str, status: int = 1) -> NoReturn:
    """Say in one line what is wrong, and exit."""
    print(f"servers: {message}", file=sys.stderr)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
