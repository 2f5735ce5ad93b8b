"""uWSGI: a master and workers, written in C, with Python inside; and a protocol of its own.

"uwsgi" in small letters is that protocol: a block of names and values, which is `environ`
already, in place of a head of HTTP. nginx (uwsgi_pass) and Apache (mod_proxy_uwsgi) speak it.

    protocol="http"     --http-socket   the workers themselves speak HTTP, a little of it
    protocol="uwsgi"    --socket        the workers speak uwsgi: needs a front that does too
    protocol="router"   --http          one more process speaks HTTP to the world, uwsgi inside

Where to look in its source, https://github.com/unbit/uwsgi:
    core/master.c                   the master: starts, watches and replaces workers
    proto/uwsgi.c, proto/http.c     the two protocols, as bytes
    plugins/python/wsgi_handlers.c  environ, start_response, the iterable
    plugins/http/http.c             the router
Options: https://uwsgi-docs.readthedocs.io/en/latest/Options.html
"""

from servers.production import flags

INSTALL = "pip install pyuwsgi"
TAKES_FD = False  # it takes --socket fd://N, if N listens already
# It takes whatever comes for a request, so that no knock goes unseen by the app. And a worker that
# is told to end before it accepts does not hear it.
READY = r"(?m)^ready$"
# HUP is not among them: it runs the program anew, which in its form of a Python package does not
# find itself again.
SIGNALS = {
    "TERM": "end, because of --die-on-term; without it: load everything anew",
    "INT": "end at once",
}
PROTOCOLS = {"http": "--http-socket", "uwsgi": "--socket", "router": "--http"}


def command(
    app: str,
    *,
    port: int = 8000,
    fd: int | None = None,
    workers: int = 1,
    threads: int | None = None,
    folder: str | None = None,
    protocol: str = "http",
    **options: object,
) -> list[str]:
    """Return the command line that serves `app` on 127.0.0.1:`port`."""
    words = ["uwsgi", PROTOCOLS[protocol], f"127.0.0.1:{port}", "--module", app]
    # TERM means "load everything anew" to uWSGI unless it is told what the world means by it.
    words += ["--master", "--workers", str(workers), "--die-on-term", "--need-app"]
    words += ["--hook-accepting", "print:ready"]
    if threads is not None:
        words += ["--threads", str(threads)]
    return words + flags(options)
