"""Every cut of the bytes gives the same requests or the same refusal, and nothing else."""

import dataclasses
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_cases import drive, wire_cases

from coursekit.live.wire import splits
from servers import http11
from servers.head import ProtocolError
from servers.http11 import (
    END,
    EOF,
    NEXT,
    STEP,
    Data,
    Limits,
    Reader,
    encode_chunk,
    encode_field,
    encode_head,
)

SMALL = Limits(target=50, head=300, fields=5, body=20, chunk_line=16)
HOST = b"Host: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


def outcomes(wire, limits=http11.LIMITS):
    """Return the different results that the different cuts of `wire` give."""
    cuts = [*splits(wire), *(splits(wire, seed)[-1] for seed in range(1, 6))]
    return {drive(pieces, limits) for pieces in cuts}


# --- the cases in files ---------------------------------------------------------------


@pytest.mark.parametrize("case", wire_cases("good"), ids=str)
def test_any_cut_gives_the_same_requests(case):
    assert {drive(pieces) for pieces in case.pieces()} == {(case.requests, 0)}


@pytest.mark.parametrize("case", wire_cases("bad"), ids=str)
def test_any_cut_gives_the_same_refusal(case):
    results = {drive(pieces) for pieces in case.pieces()}
    assert {status for _, status in results} == {case.status}
    assert len({requests for requests, _ in results}) == 1
    assert all(request[1] != b"/smuggled" for requests, _ in results for request in requests)


# --- limits: the same status at any cut, exactly at the boundary -----------------------


def get(target=b"/", fields=b""):
    return b"GET %b HTTP/1.1\r\n" % target + HOST + fields + b"\r\n"


def padded(size):
    """Return a request whose head has exactly `size` bytes."""
    return get(fields=b"X: %b\r\n" % (b"x" * (size - len(get()) - 5)))


LIMIT_ROWS = [
    ("target at the limit", get(b"/" * 50), 0),
    ("target over it", get(b"/" * 51), 414),
    ("target far over it", get(b"/" * 500), 414),
    ("target far over it, then nothing", b"GET /" + b"a" * 500, 414),
    ("method far over it", b"A" * 500 + b" / HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    ("method and target over it together", b"A" * 120 + get(b"/" * 50), 414),
    ("no line end at all", b"A" * 1000, 414),
    ("long line that is no request", b"A" * 500 + b"\r\n\r\n", 414),
    ("long line, then a bare LF", b"GET /" + b"a" * 500 + b"\n\n", 414),
    ("a bare LF, then a long line", b"GET /\n" + b"a" * 500, 400),
    ("a bare LF in a field, then a long one", get(fields=b"X: 1\nY: " + b"y" * 500), 400),
    ("a field, then a bare LF, then nothing", get(fields=b"X: " + b"x" * 150 + b"\n"), 400),
    ("a long field, then a bare LF", get(fields=b"X: " + b"x" * 500 + b"\nY: 1\r\n"), 431),
    ("a TLS hello with a long line", b"\x16" + b"A" * 500 + b"\r\n\r\n", 400),
    ("head at the limit", padded(300), 0),
    ("head over it", padded(301), 431),
    ("head far over it", padded(3000), 431),
    ("head over it, then nothing", padded(3000)[:-4], 431),
    ("many small fields over it", get(fields=b"X: 1\r\n" * 500), 431),
    ("fields at the limit", get(fields=b"X: 1\r\n" * 4), 0),
    ("fields over it", get(fields=b"X: 1\r\n" * 5), 431),
    ("length at the limit", get(fields=b"Content-Length: 20\r\n") + b"a" * 20, 0),
    ("length over it", get(fields=b"Content-Length: 21\r\n") + b"a" * 21, 413),
    ("chunks at the limit", CHUNKED + b"a\r\n0123456789\r\n" * 2 + b"0\r\n\r\n", 0),
    ("chunks over it", CHUNKED + b"a\r\n0123456789\r\n" * 2 + b"1\r\na\r\n0\r\n\r\n", 413),
    ("chunk over it", CHUNKED + b"15\r\n", 413),
    ("chunk line at the limit", CHUNKED + b"1;%b\r\na\r\n0\r\n\r\n" % (b"x" * 12), 0),
    ("chunk line over it", CHUNKED + b"1;%b\r\na\r\n0\r\n\r\n" % (b"x" * 13), 400),
    ("chunk line far over it", CHUNKED + b"1;%b\r\na\r\n0\r\n\r\n" % (b"x" * 500), 400),
    ("trailers at the limit", CHUNKED + b"0\r\nX: %b\r\n\r\n" % (b"x" * 293), 0),
    ("trailers over it", CHUNKED + b"0\r\nX: %b\r\n\r\n" % (b"x" * 294), 431),
    ("trailers far over it", CHUNKED + b"0\r\n" + b"X: 1\r\n" * 500 + b"\r\n", 431),
    ("trailers over it, then a bare LF", CHUNKED + b"0\r\nX: " + b"x" * 500 + b"\n\r\n", 431),
    ("trailers over it, a bad one", CHUNKED + b"0\r\nX: " + b"x" * 400 + b"\r\n \r\n\r\n", 431),
    ("empty lines without end", b"\r\n" * 2000 + get(), 0),
]


@pytest.mark.parametrize(("wire", "status"), [row[1:] for row in LIMIT_ROWS],
                         ids=[row[0] for row in LIMIT_ROWS])  # fmt: skip
def test_limits_hold_at_any_cut(wire, status):
    assert {status for _, status in outcomes(wire, SMALL)} == {status}


@pytest.mark.parametrize(("start", "middle", "end"), [
    (get()[:-2] + b"X:", b"    ", b"\rY: 1\r\n\r\n"),
    (get()[:-2] + b"X:", b" \t \t", b"\x00\r\n\r\n"),
    (get()[:-2] + b"X:", b"a a ", b"\rY: 1\r\n\r\n"),
    (get()[:-2] + b"X", b"    ", b"\r\n\r\n"),
    (CHUNKED + b"0\r\nX:", b"    ", b"\rY: 1\r\n\r\n"),
    (b"", b"AAAA", b"(\r\n\r\n"),
    (b"GET http://", b"a:a:", b" HTTP/1.1\r\n" + HOST + b"\r\n"),
], ids=["spaces", "tabs", "words", "name", "trailer", "token", "authority"])  # fmt: skip
def test_no_head_makes_the_parser_slow(start, middle, end):
    """A regex that gives back and takes again makes 16 times the bytes 256 times the work."""
    limits = dataclasses.replace(http11.LIMITS, target=40_000, head=40_000)

    def work(count):
        wire = start + middle * count + end
        best = float("inf")
        for _ in range(5):
            begun = time.process_time()
            assert drive([wire], limits)[1] == 400
            best = min(best, time.process_time() - begun)
        return best

    assert work(4000) < 64 * work(250)


# --- what comes back from what was encoded -----------------------------------------------

token = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=8).map(str.encode)
value = st.binary(max_size=12).map(lambda raw: re.sub(rb"[\x00-\x1f\x7f]", b"", raw).strip(b" "))
path = st.binary(max_size=12).map(lambda raw: b"/" + re.sub(rb"[^!-~]|#", b"", raw))
SPECIAL = {b"host", b"content-length", b"transfer-encoding", b"expect", b"connection"}
fields = st.lists(st.tuples(token, value), max_size=5).map(
    lambda pairs: [pair for pair in pairs if pair[0].lower() not in SPECIAL]
)
body = st.none() | st.binary(max_size=60) | st.lists(st.binary(min_size=1, max_size=20), max_size=4)
request = st.tuples(token.filter(lambda method: method != b"CONNECT"), path, fields, body)


def encoded(method, target, headers, body):
    """Return a request on the wire, and what must be read of it."""
    headers = [(b"Host", b"a.example"), *headers]
    content = b""
    if isinstance(body, list):
        headers.append((b"Transfer-Encoding", b"chunked"))
        content = b"".join(encode_chunk(piece) for piece in [*body, b""])
        body = b"".join(body)
    elif body is not None:
        headers.append((b"Content-Length", b"%d" % len(body)))
        content = body
    lines = b"".join(encode_field(*field) for field in headers)
    wire = b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, target, lines, content)
    read = tuple((name.lower(), value) for name, value in headers)
    return wire, (method, target, (1, 1), read, body or b"")


@settings(max_examples=100, deadline=None)
@given(st.lists(request, min_size=1, max_size=3), st.integers(0, 100))
def test_pipelined_requests_come_back_equal_at_any_cut(requests, seed):
    rows = [encoded(*row) for row in requests]
    wire = b"".join(row[0] for row in rows)
    expected = tuple(row[1] for row in rows), 0
    assert {drive(pieces) for pieces in splits(wire, seed)} == {expected}


LETTERS = [
    b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n", b"Host: a\r\n", b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n", b"\r\n", b"\r", b"\n", b" ", b"\t", b":", b"0", b"5",
    b"\r\n\r\n", b"\x00", b"\xff", b"a", b";", b"0\r\n\r\n", b"3\r\nabc\r\n", b"\x16", b"\x0b",
]  # fmt: skip
garbage = st.binary(max_size=200) | st.lists(st.sampled_from(LETTERS), max_size=25).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(garbage, st.integers(0, 100))
def test_garbage_is_read_or_refused_alike_at_any_cut(wire, seed):
    """Nothing but ProtocolError is raised (drive catches no more), and no cut loops for ever."""
    assert len({drive(pieces, SMALL) for pieces in splits(wire, seed)}) == 1


# --- the reader, step by step --------------------------------------------------------------


def test_the_reader_hands_on_data_as_it_comes():
    reader = Reader()
    assert reader.next_event() is None
    reader.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
    assert reader.next_event().method == b"POST"
    assert reader.next_event() == Data(b"he")
    assert reader.next_event() is None
    reader.feed(b"lloGET")
    assert [reader.next_event(), reader.next_event()] == [Data(b"llo"), END]
    assert reader.rest() == b"GET"


def test_the_end_of_a_connection_is_said_again_and_again():
    reader = Reader()
    reader.feed(b"")
    assert [reader.next_event() for _ in range(3)] == [EOF] * 3


def test_after_a_refusal_nothing_is_read():
    reader = Reader()
    reader.feed(b"GET\r\n\r\n")
    with pytest.raises(ProtocolError):
        reader.next_event()
    reader.feed(get())
    assert reader.next_event() is None


def test_a_request_waits_until_it_is_asked_for():
    reader = Reader()
    reader.feed(get(b"/1") + get(b"/2"))
    assert reader.next_event().target == b"/1"
    assert reader.next_event() is END
    assert reader.rest() == get(b"/2")


def test_every_state_of_the_table_has_a_step_and_can_be_left():
    assert {state for state, _ in NEXT} == set(NEXT.values()) == set(STEP)


def test_a_large_body_is_read_in_linear_time_and_not_kept():
    reader = Reader()
    reader.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (64 * 2**20))
    reader.next_event()
    piece, total = bytes(64 * 1024), 0
    while (event := reader.next_event()) is not END:
        if event is None:
            reader.feed(piece)
        else:
            total += len(event.body)
            assert not reader.rest()
    assert total == 64 * 2**20


# --- the answer ------------------------------------------------------------------------------

INJECTIONS = [b"a\r\nX: 1", b"a\nX: 1", b"a\rX: 1", b"a\x00", b"\r\n\r\n<html>", b"a\x7f", b"\x0b"]


@pytest.mark.parametrize("bad", INJECTIONS)
def test_no_status_or_field_can_end_its_line(bad):
    with pytest.raises(ValueError):
        encode_head(b"200 " + bad, [])
    with pytest.raises(ValueError):
        encode_head(b"200 OK", [(b"X", bad)])
    with pytest.raises(ValueError):
        encode_head(b"200 OK", [(bad, b"1")])


@pytest.mark.parametrize("name", [b"", b" X", b"X ", b"X:", b"X Y", b"\xe9"])
def test_a_field_name_is_a_token(name):
    with pytest.raises(ValueError):
        encode_field(name, b"1")


def test_a_head_is_its_lines_in_order():
    head = encode_head(b"200 OK", [(b"B", b"1"), (b"a", b""), (b"B", b"\xe9\t")])
    assert head == b"HTTP/1.1 200 OK\r\nB: 1\r\na: \r\nB: \xe9\t\r\n\r\n"


def test_chunks_have_their_size_in_hex():
    assert encode_chunk(b"a" * 26) == b"1a\r\n" + b"a" * 26 + b"\r\n"
    assert encode_chunk(b"") == b"0\r\n\r\n"


def test_the_core_knows_no_sockets():
    assert not {"socket", "asyncio", "time"} & set(vars(http11))
