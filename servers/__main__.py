"""Run a toy server from the command line: python -m servers wsgi MODULE:ATTR, or asgi"""

import argparse
import importlib
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from servers import workers
from servers.arbiter import Arbiter


def main(argv: list[str] | None = None) -> None:
    """Parse the arguments and serve until SIGTERM or SIGINT; exit 0, 1 (cannot serve) or 2."""
    options = parse(argv)
    log = "%(asctime)s [%(process)d] %(levelname)s %(message)s"
    logging.basicConfig(format=log, level=logging.INFO)
    sys.path.insert(0, os.getcwd())
    if options.workers > 1:
        prefork(options)
    app = load(options.app)
    listener = open_listener(options)
    stop, stopper = socket.socketpair()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopper.close())
    announce(listener)
    if options.kind == "asgi":
        serve_asgi(listener, app, stop=stop)
    else:
        workers.serve_threads(listener, app, threads=options.threads, stop=stop)


def serve_asgi(listener: socket.socket, app: Callable[..., Any], **settings: Any) -> None:
    """Serve on a loop; exit 3 if the app says that it cannot start."""
    from servers import serving  # here, because a WSGI server needs no asyncio

    try:
        serving.serve(listener, app, **settings)
    except serving.StartupFailed as error:
        fail(f"the app's startup failed: {error}", 3)


def prefork(options: argparse.Namespace) -> NoReturn:
    """Serve with several processes; each imports the app itself, so a reload brings new code."""
    listener = open_listener(options)
    announce(listener)
    if options.kind == "asgi":
        sys.exit(prefork_asgi(options, listener))
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


def prefork_asgi(options: argparse.Namespace, listener: socket.socket) -> int:
    """Serve with several loops, a process each, that share one listener; return the status."""

    def work(lifeline: socket.socket, beat: Callable[[], None]) -> None:
        serve_asgi(listener, load(options.app), stop=lifeline, times=workers.PATIENT, beat=beat)

    with listener:
        return Arbiter(work, workers=options.workers, timeout=options.timeout,
                       grace=2 * workers.PATIENT.stop, at_stop=listener.close).run()  # fmt: skip


def announce(listener: socket.socket) -> None:
    """Print the URL: whoever asked for port 0 has no other way to know it."""
    host, port = listener.getsockname()[:2]
    print(f"http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the options; exit 2 with a line of usage if they are wrong."""
    parser = argparse.ArgumentParser(prog="python -m servers", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    wsgi = kinds.add_parser("wsgi", help="serve a WSGI application with threads and processes")
    asgi = kinds.add_parser("asgi", help="serve an ASGI application with loops in processes")
    for kind in (wsgi, asgi):
        add_common(kind)
    wsgi.add_argument("--threads", type=how_many, default=8, metavar="N", help="a worker")
    wsgi.add_argument("--max-requests", type=int, default=0, metavar="N",
                      help="after which one of several workers is replaced; 0: never")  # fmt: skip
    wsgi.add_argument("--max-requests-jitter", type=int, default=0, metavar="N",
                      help="at most so many more, at random")  # fmt: skip
    return parser.parse_args(argv)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options that both kinds have."""
    parser.add_argument("app", metavar="MODULE:ATTR", help="importable from the current folder")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=port_number, default=8000, help="0 picks a free one")
    parser.add_argument("--fd", type=int, help="use this listening socket instead of host and port")
    parser.add_argument("--workers", type=how_many, default=1, metavar="N", help="processes")
    parser.add_argument("--timeout", type=seconds, default=30.0, metavar="SECONDS",
                        help="a stuck one of several workers is killed after that")  # fmt: skip


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
