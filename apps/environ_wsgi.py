"""Show what a server puts into environ, line by line: only the keys below, never the rest.

wsgiref copies the whole process environment into environ, and on a shared hub that holds access
tokens. So this app names what it shows instead of what it hides.
"""

SHOWN = (
    "REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING CONTENT_TYPE CONTENT_LENGTH "
    "SERVER_NAME SERVER_PORT SERVER_PROTOCOL SERVER_SOFTWARE REMOTE_ADDR RAW_URI REQUEST_URI "
    "HTTP_HOST HTTP_USER_AGENT HTTP_ACCEPT HTTP_TRANSFER_ENCODING HTTP_EXPECT "
    "HTTP_X_FORWARDED_FOR HTTP_X_FORWARDED_PROTO HTTP_X_FORWARDED_HOST HTTP_X_FORWARDED_PREFIX "
    "wsgi.version wsgi.url_scheme wsgi.multithread wsgi.multiprocess wsgi.run_once "
    "wsgi.input_terminated mod_wsgi.process_group"
).split()


def app(environ, start_response):
    """Answer with one `KEY = value` line for each key that is shown and was sent."""
    lines = [f"{key} = {environ[key]!r}\n" for key in SHOWN if key in environ]
    # X-Try... is for experiments with header names: which of X-Try and X_Try arrives?
    lines += [f"{k} = {environ[k]!r}\n" for k in sorted(environ) if k.startswith("HTTP_X_TRY")]
    body = "".join(lines).encode("utf-8")
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
