"""All small apps behind one address: the first part of the path chooses.

/echo/any/path   /environ   /stream/?n=3   /work/sleep?0.2   /bad/twice   /odd/writes   /

/validated/... is /echo/... under the standard library's referee, which raises AssertionError when
the server or the app breaks a rule of PEP 3333.
"""

from wsgiref.util import shift_path_info
from wsgiref.validate import validator

from apps import bad_wsgi, echo_wsgi, environ_wsgi, hello_wsgi, odd_wsgi, stream_wsgi, work_wsgi

APPS = {
    "echo": echo_wsgi.app,
    "environ": environ_wsgi.app,
    "stream": stream_wsgi.app,
    "work": work_wsgi.app,
    "bad": bad_wsgi.app,
    "odd": odd_wsgi.app,
    "validated": validator(echo_wsgi.app),
}


def app(environ, start_response):
    """Hand the request to the app that the first part of the path names, else say hello."""
    chosen = APPS.get(environ["PATH_INFO"].lstrip("/").partition("/")[0])
    if chosen is None:
        return hello_wsgi.app(environ, start_response)
    # The part moves from PATH_INFO to SCRIPT_NAME: this is how an app can live anywhere in a site.
    shift_path_info(environ)
    return chosen(environ, start_response)
