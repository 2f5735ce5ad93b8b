"""PEP 3333, line by line: environ, wsgi.input, start_response, and what is sent when."""

import io
import re
import sys
import traceback
from wsgiref.validate import validator

import pytest

from apps import bad_wsgi, odd_wsgi
from coursekit.live.wire import splits
from servers.head import parse_head
from servers.wsgi import (
    AppError,
    BodyInput,
    StartResponse,
    base_environ,
    environ_for,
    run_app,
)

OK = "200 OK"
TEXT = ("Content-Type", "text/plain")
DATE = b"Date: now\r\n"


def request_for(target=b"/", fields=b"", method=b"GET", version=b"1.1"):
    line = b"%b %b HTTP/%b\r\n" % (method, target, version)
    return parse_head(line + b"Host: a.example\r\n" + fields + b"\r\n")


def environ_of(target=b"/", fields=b"", method=b"GET", version=b"1.1", body=b"", **base):
    base = base_environ("192.0.2.1", 8000, **base)
    request = request_for(target, fields, method, version)
    return environ_for(request, base, ("192.0.2.9", 5555), io.BytesIO(body))


class Answer:
    """What an app sent: in pieces, as they were sent, and taken apart."""

    def __init__(self, app, method=b"GET", version=b"1.1", fields=b"", reusable=lambda: True):
        self.pieces = []
        self.error = None
        request = request_for(method=method, version=version, fields=fields)
        environ = environ_for(request, base_environ("a", 1), ("b", 2), io.BytesIO())
        self.response = StartResponse(request, self.pieces.append, lambda: DATE, reusable)
        try:
            run_app(app, environ, self.response)
        except BaseException as error:
            self.error = error
        head, _, self.body = b"".join(self.pieces).partition(b"\r\n\r\n")
        self.status, *self.lines = head.decode("latin-1").split("\r\n")


def name(line):
    return line.split(":")[0]


def app_of(chunks, headers=(TEXT,), status=OK):
    """Return an app that answers so; `chunks` may be any object, or a function that makes it."""

    def app(environ, start_response):
        start_response(status, list(headers))
        return chunks() if callable(chunks) else chunks

    return app


# --- environ ---


def test_environ_has_every_key_of_the_pep():
    environ = environ_of(b"/a/b?x=1&y=%20", method=b"POST")
    assert type(environ) is dict
    expected = {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/a/b",
        "QUERY_STRING": "x=1&y=%20",
        "SERVER_NAME": "192.0.2.1", "SERVER_PORT": "8000", "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.9", "REMOTE_PORT": "5555", "REQUEST_URI": "/a/b?x=1&y=%20",
        "HTTP_HOST": "a.example", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr, "wsgi.multithread": False, "wsgi.multiprocess": False,
        "wsgi.run_once": False, "wsgi.input_terminated": True,
    }  # fmt: skip
    kept = {key: value for key, value in environ.items()
            if key not in ("wsgi.input", "wsgi.file_wrapper")}  # fmt: skip
    assert kept == expected
    assert set(environ) - set(kept) == {"wsgi.input", "wsgi.file_wrapper"}


def test_every_request_has_an_environ_of_its_own():
    base = base_environ("a", 1)
    first, second = (environ_for(request_for(), base, ("b", 2), io.BytesIO()) for _ in "12")
    first["x"] = first["HTTP_HOST"] = "changed"
    assert second["HTTP_HOST"] == "a.example"
    assert "x" not in second
    assert not {"x", "HTTP_HOST"} & set(base)


@pytest.mark.parametrize(("threads", "processes"), [(False, False), (True, False), (True, True)])
def test_the_flags_say_what_the_server_does(threads, processes):
    environ = environ_of(threads=threads, processes=processes)
    assert (environ["wsgi.multithread"], environ["wsgi.multiprocess"]) == (threads, processes)


@pytest.mark.parametrize(("target", "path", "query"), [
    (b"/", "/", ""),
    (b"/?", "/", ""),
    (b"/a?b?c", "/a", "b?c"),
    (b"//a//b/", "//a//b/", ""),
    (b"/caf%C3%A9", "/caf\xc3\xa9", ""),
    (b"/caf%c3%a9", "/caf\xc3\xa9", ""),
    (b"/a%2Fb%3Fc%23", "/a/b?c#", ""),
    (b"/%25zz%zz%", "/%zz%zz%", ""),
    (b"/a+b", "/a+b", ""),
    (b"/%00%ff", "/\0\xff", ""),
    (b"/?caf%C3%A9", "/", "caf%C3%A9"),
    (b"http://a.example/x?y", "/x", "y"),
])  # fmt: skip
def test_the_path_is_decoded_to_bytes_in_latin_1_and_the_query_is_not(target, path, query):
    environ = environ_of(target)
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, query)


def test_options_star_is_handed_on():
    assert environ_of(b"*", method=b"OPTIONS")["PATH_INFO"] == "*"


@pytest.mark.parametrize(("version", "protocol"), [(b"1.0", "HTTP/1.0"), (b"1.1", "HTTP/1.1")])
def test_the_protocol_is_what_the_client_speaks(version, protocol):
    assert environ_of(version=version)["SERVER_PROTOCOL"] == protocol


@pytest.mark.parametrize(("target", "script", "path"), [
    (b"/app", "/app", ""),
    (b"/app/", "/app", "/"),
    (b"/app/x%20y", "/app", "/x y"),
    (b"/%61pp/x", "/app", "/x"),
    (b"/apple", "", "/apple"),
    (b"/other/app/x", "", "/other/app/x"),
])  # fmt: skip
def test_script_name_is_cut_from_the_path(target, script, path):
    environ = environ_of(target, script_name="/app")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script, path)


@pytest.mark.parametrize(("fields", "key", "value"), [
    (b"X-Y-Z: 1\r\n", "HTTP_X_Y_Z", "1"),
    (b"X: 1\r\nx: 2\r\nX: \r\n", "HTTP_X", "1, 2, "),
    (b"Cookie: a=1\r\nCookie: b=2\r\n", "HTTP_COOKIE", "a=1; b=2"),
    (b"X: caf\xc3\xa9 \xff\r\n", "HTTP_X", "caf\xc3\xa9 \xff"),
    (b"X:\r\n", "HTTP_X", ""),
    (b"Content-Type: text/plain; charset=utf-8\r\n", "CONTENT_TYPE", "text/plain; charset=utf-8"),
    (b"Content-Length: 5\r\n", "CONTENT_LENGTH", "5"),
    (b"Proxy: evil\r\n", "HTTP_PROXY", "evil"),
    (b"Transfer-Encoding: chunked\r\n", "HTTP_TRANSFER_ENCODING", "chunked"),
    (b"X-Under: right\r\nX_Under: forged\r\n", "HTTP_X_UNDER", "right"),
    (b"X_Under: forged\r\n", "HTTP_X_UNDER", None),
    (b"Content_Length: 5\r\n", "CONTENT_LENGTH", None),
    (b"Content_Type: a/b\r\n", "CONTENT_TYPE", None),
    (b"Content-Type: a/b\r\n", "HTTP_CONTENT_TYPE", None),
    (b"", "CONTENT_TYPE", None),
    (b"", "CONTENT_LENGTH", None),
])  # fmt: skip
def test_fields_become_keys(fields, key, value):
    assert environ_of(b"/", fields).get(key) == value


def test_an_absolute_target_decides_the_host():
    assert environ_of(b"http://b.example:81/")["HTTP_HOST"] == "b.example:81"


# --- wsgi.input ---

LINES = b"one\ntwo\n\nthree\r\nno end"


def input_of(*pieces):
    """Return a wsgi.input whose body comes in these pieces, and the number of calls so far."""
    calls = []

    def more():
        calls.append(1)
        return pieces[len(calls) - 1] if len(calls) <= len(pieces) else b""

    return io.BufferedReader(BodyInput(more)), calls


@pytest.fixture(params=range(4), ids=["whole", "by line", "by byte", "pieces"])
def stream(request):
    return input_of(*splits(LINES)[request.param])[0]


def test_read(stream):
    assert stream.read() == LINES
    assert [stream.read(), stream.read(5), stream.readline()] == [b""] * 3
    assert stream.readlines() == []


def test_read_with_a_number(stream):
    assert [stream.read(0), stream.read(3), stream.read(6)] == [b"", LINES[:3], LINES[3:9]]
    assert stream.read(1000) == LINES[9:]
    assert stream.read(1000) == b""


def test_readline(stream):
    lines = LINES.splitlines(keepends=True)
    assert [stream.readline() for _ in lines] == lines
    assert stream.readline() == stream.readline() == b""


def test_readline_with_a_number(stream):
    assert [stream.readline(2), stream.readline(9), stream.readline(9)] == [b"on", b"e\n", b"two\n"]


def test_readlines_and_iteration(stream):
    assert next(iter(stream)) == b"one\n"
    assert stream.readlines(1) == [b"two\n"]
    assert list(stream) == [b"\n", b"three\r\n", b"no end"]
    assert list(stream) == stream.readlines() == []


def test_nothing_is_read_before_the_app_asks_nor_behind_the_end():
    stream, calls = input_of(b"abc", b"def")
    assert calls == []
    assert stream.read(3) == b"abc"
    assert len(calls) == 1
    assert stream.read() == b"def"
    assert stream.read() == b""


def test_a_piece_larger_than_what_is_asked_for_is_kept():
    stream, calls = input_of(bytes(100_000))
    assert [len(stream.read(30_000)) for _ in range(4)] == [30_000, 30_000, 30_000, 10_000]
    assert len(calls) <= 2


# --- what is sent, and when ---


@pytest.mark.parametrize(("chunks", "version", "framing", "body"), [
    ([b"abc"], b"1.1", "Content-Length: 3", b"abc"),
    ((b"abc",), b"1.1", "Content-Length: 3", b"abc"),
    ([b""], b"1.1", "Content-Length: 0", b""),
    ([], b"1.1", "Content-Length: 0", b""),
    (lambda: iter([]), b"1.1", "Content-Length: 0", b""),
    (lambda: iter([b"", b""]), b"1.1", "Content-Length: 0", b""),
    ([b"ab", b"c"], b"1.1", "Transfer-Encoding: chunked", b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
    ([b"", b"abc"], b"1.1", "Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n"),
    (lambda: iter([b"abc"]), b"1.1", "Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n"),
    ({b"abc": 1}, b"1.1", "Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n"),
    ([b"abc"], b"1.0", "Content-Length: 3", b"abc"),
    ([b"ab", b"c"], b"1.0", "Connection: close", b"abc"),
    (lambda: iter([b"abc"]), b"1.0", "Connection: close", b"abc"),
    (lambda: iter([]), b"1.0", "Content-Length: 0", b""),
])  # fmt: skip
def test_the_framing_follows_from_what_is_known(chunks, version, framing, body):
    keep = b"Connection: keep-alive\r\n"
    answer = Answer(app_of(chunks), version=version, fields=keep)
    assert answer.error is None
    assert framing in answer.lines
    assert answer.body == body
    framings = {"Content-Length", "Transfer-Encoding"} & {name(line) for line in answer.lines}
    assert len(framings) == answer.response.keep_alive == (framing != "Connection: close")


@pytest.mark.parametrize("chunks", [[b"abc"], [b"a", b"bc"], [b"", b"abc", b""]])
def test_a_declared_length_is_kept(chunks):
    answer = Answer(app_of(chunks, [TEXT, ("content-length", "3")]))
    assert answer.lines == ["Content-Type: text/plain", "content-length: 3", "Date: now"]
    assert (answer.body, answer.error) == (b"abc", None)


def test_the_head_waits_for_the_first_bytes():
    seen, pieces = [], []

    def app(environ, start_response):
        start_response(OK, [TEXT])
        for chunk in (b"", b"", b"a", b"b"):
            seen.append(len(pieces))
            yield chunk

    run_app(app, {}, StartResponse(request_for(), pieces.append, lambda: DATE))
    assert seen == [0, 0, 0, 1]
    assert pieces[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert pieces[0].endswith(b"\r\n\r\n1\r\na\r\n")


def test_a_ready_answer_is_one_send():
    assert len(Answer(app_of([b"abc"])).pieces) == 1


@pytest.mark.parametrize(("method", "status", "length"), [
    (b"HEAD", "200 OK", "1000"), (b"HEAD", "200 OK", None), (b"GET", "304 Not Modified", "1000"),
    (b"GET", "304 Not Modified", None), (b"GET", "204 No Content", None), (b"HEAD", "404 No", "5"),
])  # fmt: skip
@pytest.mark.parametrize("chunks", [[b"abc"], [b"a", b"b"], []])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_answers_without_a_body(method, status, length, chunks, version):
    headers = [TEXT] + ([("Content-Length", length)] if length else [])
    answer = Answer(app_of(chunks, headers, status), method, version, b"Connection: keep-alive\r\n")
    assert (answer.body, answer.error) == (b"", None)
    assert (f"Content-Length: {length}" in answer.lines) == bool(length)
    assert not [line for line in answer.lines if line.startswith("Transfer-Encoding")]
    assert answer.response.keep_alive


def test_204_has_no_length_whatever_the_app_says():
    answer = Answer(app_of([], [("Content-Length", "0")], "204 No Content"))
    assert "Content-Length: 0" not in answer.lines


def test_the_apps_own_date_is_kept():
    answer = Answer(app_of([b""], [("date", "then")]))
    assert answer.lines == ["date: then", "Content-Length: 0"]


def test_headers_keep_their_order_case_and_number():
    headers = [("B", "1"), ("Set-Cookie", "a"), ("a", "Zo\xeb"), ("Set-Cookie", "b"), ("X", "")]
    answer = Answer(app_of([b""], headers))
    assert answer.lines[:5] == ["B: 1", "Set-Cookie: a", "a: Zo\xeb", "Set-Cookie: b", "X: "]


def test_a_connection_that_is_not_reusable_is_closed_openly():
    answer = Answer(app_of([b"a"]), reusable=lambda: False)
    assert "Connection: close" in answer.lines
    assert not answer.response.keep_alive


def test_whether_it_is_reusable_is_asked_when_the_head_leaves():
    reusable = []

    def app(environ, start_response):
        start_response(OK, [TEXT])
        reusable.append(1)
        return [b"a"]

    assert Answer(app, reusable=lambda: bool(reusable)).response.keep_alive


def test_a_file_is_sent_in_blocks_and_closed():
    file = io.BytesIO(b"0123456789")

    def app(environ, start_response):
        start_response(OK, [("Content-Length", "10")])
        return environ["wsgi.file_wrapper"](file, 4)

    answer = Answer(app)
    assert (answer.body, len(answer.pieces), file.closed) == (b"0123456789", 3, True)


# --- start_response ---


def raised():
    try:
        raise LookupError("on purpose")
    except LookupError:
        return sys.exc_info()


def test_write_is_returned_and_what_is_returned_follows_it():
    def app(environ, start_response):
        write = start_response(OK, [TEXT])
        write(b"a")
        write(b"")
        write(b"b")
        return [b"c"]

    assert Answer(app).body == b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"
    assert Answer(app, version=b"1.0").body == b"abc"


def test_write_keeps_to_the_declared_length():
    def app(environ, start_response):
        start_response(OK, [("Content-Length", "3")])(b"ab")
        return [b"cd"]

    answer = Answer(app)
    assert (answer.body, type(answer.error)) == (b"abc", AppError)


def test_exc_info_before_the_head_replaces_it():
    def app(environ, start_response):
        start_response(OK, [TEXT, ("Content-Length", "99"), ("Date", "then")])
        start_response("500 Sorry", [("X", "1")], raised())
        return [b"sorry"]

    answer = Answer(app)
    assert answer.status == "HTTP/1.1 500 Sorry"
    assert answer.lines == ["X: 1", "Content-Length: 5", "Date: now"]
    assert answer.error is None


def test_exc_info_of_the_first_call_is_no_matter():
    def app(environ, start_response):
        start_response("500 Sorry", [TEXT], raised())
        return [b"sorry"]

    assert Answer(app).status == "HTTP/1.1 500 Sorry"


def test_exc_info_behind_the_head_is_raised_again_with_its_traceback():
    def app(environ, start_response):
        start_response(OK, [TEXT])
        yield b"begun"
        start_response("500 Sorry", [TEXT], raised())
        yield b"never"

    answer = Answer(app)
    assert type(answer.error) is LookupError
    assert "raised" in [frame.name for frame in traceback.extract_tb(answer.error.__traceback__)]
    assert answer.body == b"5\r\nbegun\r\n"


@pytest.mark.parametrize("exc_info", [None, (), (None, None, None)])
def test_a_second_call_without_an_exception_is_a_mistake(exc_info):
    def app(environ, start_response):
        start_response(OK, [TEXT])
        start_response("404 No", [TEXT], exc_info)
        return [b""]

    answer = Answer(app)
    assert (type(answer.error), answer.pieces) == (AppError, [])


def test_an_app_may_try_again_after_a_refused_call():
    def app(environ, start_response):
        with pytest.raises(AppError):
            start_response("bad", [TEXT])
        start_response(OK, [TEXT])
        return [b""]

    assert Answer(app).status == "HTTP/1.1 200 OK"


@pytest.mark.parametrize("status", [
    "200", "200OK", "20 OK", "2000 OK", "OK", "", " 200 OK", "abc OK", 200, None, b"200 OK",
    "200 OK\r\nX: 1", "200 O\nK", "200 O\rK", "200 O\0K", "200 OK\x7f", "200 \u20ac",
    "100 Continue", "101 Switching Protocols", "000 No", "\u0662\u0660\u0660 OK", ["200 OK"],
])  # fmt: skip
def test_a_bad_status_never_reaches_the_wire(status):
    answer = Answer(app_of([b"a"], status=status))
    assert (type(answer.error), answer.pieces) == (AppError, [])


@pytest.mark.parametrize("status", ["200 ", "299 Zo\xeb", "999 x y"])
def test_an_odd_status_is_sent(status):
    assert Answer(app_of([b"a"], status=status)).status == f"HTTP/1.1 {status}"


@pytest.mark.parametrize("headers", [
    {"X": "1"}, (("X", "1"),), iter([("X", "1")]), None, "X: 1", [("X", 1)], [("X", None)],
    [(b"X", b"1")], [("X", b"1")], [(1, "1")], [("X",)], [("X", "1", "2")], ["X: 1"], [None],
    [("X", ["1"])], [(["X"], "1")], [("X", "\u20ac")], [("\u20ac", "1")], [("", "1")],
    [("X", "a\r\nY: b")], [("X", "a\nY: b")], [("X", "a\rb")], [("X", "a\0b")], [("X", "a\x7f")],
    [("X\r\nY", "1")], [("X\n", "1")], [("X:", "1")], [("X Y", "1")], [("X\0", "1")],
    [("X\xe9", "1")],
    [("Connection", "close")], [("connection", "keep-alive")], [("Keep-Alive", "1")], [("TE", "x")],
    [("Transfer-Encoding", "chunked")], [("Upgrade", "h2c")], [("Proxy-Authenticate", "x")],
    [("Content-Length", "five")], [("Content-Length", "-1")], [("Content-Length", "")],
    [("Content-Length", "1, 1")], [("Content-Length", "+1")], [("Content-Length", 1)],
    [("Content-Length", " 1")], [("Content-Length", "\u0661")], [("Content-Length", "9" * 30)],
    [("Content-Length", "1"), ("content-length", "2")],
])  # fmt: skip
def test_a_bad_header_never_reaches_the_wire(headers):
    def app(environ, start_response):
        start_response(OK, headers)
        return [b"a"]

    answer = Answer(app)
    assert (type(answer.error), answer.pieces) == (AppError, [])


def test_the_same_length_twice_is_sent_once():
    answer = Answer(app_of([b"a"], [("Content-Length", "1"), ("content-length", "1")]))
    assert answer.lines == ["Content-Length: 1", "Date: now"]


@pytest.mark.parametrize("chunks", [
    ["text"], "text", "t", b"bytes", b"b", [None], [1], [bytearray(b"a")], [b"".join], None, 5,
    lambda: iter(["text"]), lambda: iter("text"), ["text", b"a"],
])  # fmt: skip
def test_a_body_that_is_not_made_of_bytes_is_a_mistake_before_the_head(chunks):
    answer = Answer(app_of(chunks))
    assert type(answer.error) in (AppError, TypeError)
    assert answer.pieces == []


def test_text_behind_bytes_breaks_off():
    answer = Answer(app_of([b"a", "text"]))
    assert (type(answer.error), answer.body) == (AppError, b"1\r\na\r\n")
    assert not answer.response.done


@pytest.mark.parametrize("chunks", [[b"a"], [], lambda: iter([b"a"])])
def test_an_app_that_never_calls_start_response_sends_nothing(chunks):
    def app(environ, start_response):
        return chunks() if callable(chunks) else chunks

    answer = Answer(app)
    assert (type(answer.error), answer.pieces) == (AppError, [])


@pytest.mark.parametrize(("chunks", "length", "body", "done"), [
    ([b"abc"], "2", b"ab", True), ([b"ab", b"c"], "2", b"ab", True), ([b"a"], "0", b"", True),
    ([b"abc"], "5", b"abc", False), ([b"a", b"b"], "5", b"ab", False), ([], "5", b"", False),
    ([b""], "5", b"", False),
])  # fmt: skip
def test_a_wrong_length_is_named_and_no_more_is_sent(chunks, length, body, done):
    answer = Answer(app_of(chunks, [("Content-Length", length)]))
    assert (type(answer.error), answer.body) == (AppError, body)
    assert "Content-Length" in str(answer.error)
    assert answer.response.done == done
    assert f"Content-Length: {length}" in answer.lines


# --- close() ---


class Body:
    """An iterable that counts close() and may fail at every step."""

    def __init__(self, chunks=(b"a", b"b"), fail=""):
        self.chunks, self.fail, self.closed = iter(chunks), fail, 0

    def __iter__(self):
        if self.fail == "iter":
            raise LookupError("on purpose")
        return self

    def __next__(self):
        if self.fail == "next":
            raise LookupError("on purpose")
        return next(self.chunks)

    def close(self):
        self.closed += 1
        if self.fail == "close":
            raise LookupError("on purpose")


@pytest.mark.parametrize(("chunks", "fail", "error"), [
    ((b"a", b"b"), "", type(None)), ((), "", type(None)), ((b"a",), "iter", LookupError),
    ((b"a",), "next", LookupError), ((b"a",), "close", LookupError), ((b"a", "b"), "", AppError),
])  # fmt: skip
def test_close_is_called_once_whatever_happens(chunks, fail, error):
    body = Body(chunks, fail)
    answer = Answer(app_of(body))
    assert (body.closed, type(answer.error)) == (1, error)


def test_close_is_called_once_when_sending_fails():
    def send(data):
        raise ConnectionError("the peer has left")

    body = Body()
    response = StartResponse(request_for(), send, lambda: DATE)
    with pytest.raises(ConnectionError):
        run_app(app_of(body), {}, response)
    assert body.closed == 1


def test_close_comes_behind_the_last_bytes():
    seen = []

    class Late(Body):
        def close(self):
            seen.append(b"".join(pieces)[-5:])

    pieces = []
    run_app(app_of(Late()), {}, StartResponse(request_for(), pieces.append, lambda: DATE))
    assert seen == [b"0\r\n\r\n"]


def test_an_answer_is_done_although_close_fails():
    assert Answer(app_of(Body(fail="close"))).response.done


class Lies:
    """Say a length that is not true."""

    def __init__(self, *chunks):
        self.chunks = chunks

    def __len__(self):
        return 1

    def __iter__(self):
        return iter(self.chunks)


@pytest.mark.parametrize("chunks", [(), (b"a",), (b"a", b"b")])
def test_a_length_that_lies_costs_nobody_an_answer(chunks):
    answer = Answer(app_of(Lies(*chunks)))
    if answer.error is None:
        assert answer.response.done
        assert re.sub(rb"\d\r\n|\r\n", b"", answer.body) == b"".join(chunks)


# --- the referee of the standard library, and the odd and the bad apps ---


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("chunks", [[b"abc"], [b"a", b"bc"], []])
def test_the_referee_has_no_complaint(method, version, chunks):
    class List(list):
        def close(self):
            closed.append(1)

    def app(environ, start_response):
        assert environ["wsgi.input"].read(10) == b""
        start_response(OK, [TEXT])
        return List(chunks)

    closed = []
    answer = Answer(validator(app), method, version, b"X: 1\r\nCookie: a=1\r\n")
    assert answer.error is None
    assert closed == [1]


REFEREE_WANTS_MORE = {
    "no_content", "reads_lines", "reads_all", "latin_header", "file",  # rules beyond the PEP's
}


@pytest.mark.parametrize("name", sorted(set(odd_wsgi.APPS) - REFEREE_WANTS_MORE))
def test_odd_apps_pass_the_referee(name):
    assert Answer(validator(odd_wsgi.APPS[name])).error is None


@pytest.mark.parametrize("name", odd_wsgi.APPS)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_odd_apps_are_right(name, version):
    answer = Answer(odd_wsgi.APPS[name], version=version)
    assert answer.error is None
    assert answer.response.done


@pytest.mark.parametrize("name", [
    name for name in bad_wsgi.APPS if name not in ("endless", "raises_in_close")
])  # fmt: skip
def test_bad_apps_are_caught(name):
    answer = Answer(bad_wsgi.APPS[name])
    assert answer.error is not None
    after = name in ("too_short", "too_long", "raises_after", "replaces_after")
    assert bool(answer.pieces) == after
    assert answer.response.done == (name == "too_long")
