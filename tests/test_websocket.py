"""Frames without sockets: cases in the groups of the Autobahn test suite, at every cut.

Each case is what a client sends, and what must come of it: messages, and the code of the close.
Two other readers of frames, websockets and wsproto, are held against the same cases.
"""

import pytest
from frame_cases import (
    BAD_TEXT,
    CASES,
    HELLO,
    LIMITS,
    MASK,
    UTF8,
    frame,
    text,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.protocol import Protocol, Side, State
from wsproto.frame_protocol import FrameProtocol, ParseFailed

from coursekit.live.wire import splits
from servers.head import ProtocolError, parse_head
from servers.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Close,
    FrameReader,
    Message,
    accept_key,
    check_handshake,
    encode_close,
    encode_frame,
    is_code,
    subprotocols,
    unmask,
    wants_websocket,
)


def drive(pieces, limit=1 << 20, masked=True):
    """Feed a reader piece by piece; return what came, a fault as its code."""
    reader, came = FrameReader(limit, masked), []
    for piece in pieces:
        reader.feed(piece)
        try:
            while (event := reader.next_event()) is not None:
                came.append(event)
        except ProtocolError as error:
            came.append(error.status)
    return tuple(came)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_at_any_cut(case):
    cuts = [splits(case.wire, seed)[-1] for seed in range(4)]
    for pieces in (case.wire,), *splits(case.wire)[2:], *cuts:
        assert drive(pieces, case.limit) == case.comes


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_without_its_last_byte_is_not_more(case):
    """Nothing is made of what is not there: the same events, perhaps without the last."""
    came = drive((case.wire[:-1],), case.limit)
    assert came == case.comes[: len(came)]


@pytest.mark.parametrize("start, bad", BAD_TEXT, ids=str)
def test_a_bad_text_is_refused_at_its_first_bad_byte(start, bad):
    """Neither the end of the message nor that of the frame is waited for."""
    wire = text(start + bad + b"abcd", fin=False)
    at = len(wire) - 4
    assert drive((wire[: at - 1],)) == ()
    assert drive((wire[:at],)) == drive((wire[: at - 1], wire[at - 1 : at])) == (1007,)


@pytest.mark.parametrize("case", [c for c in LIMITS if c.comes == (1009,)], ids=str)
def test_a_size_is_refused_before_it_is_sent(case):
    start = case.wire.rindex(MASK) + 4
    assert drive((case.wire[:start],), case.limit) == (1009,)


# --- what others make of the same bytes ---


def by_wsproto(case):
    protocol, came = FrameProtocol(client=False, extensions=[]), []
    protocol.receive_bytes(case.wire)
    kind, parts = TEXT, []
    try:
        for got in protocol.received_frames():
            if got.opcode == CLOSE:
                came.append(Close(int(got.payload[0]), got.payload[1] or ""))
                break
            if got.opcode > CLOSE:
                came.append(Message(int(got.opcode), bytes(got.payload)))
                continue
            kind = int(got.opcode) or kind
            parts.append(got.payload)
            if got.message_finished:
                came.append(Message(kind, ("" if kind == TEXT else b"").join(parts)))
                parts = []
    except ParseFailed as error:
        came.append(int(error.code))
    return tuple(came)


# wsproto knows no 1014, and calls codes from 5000 on good; it leaves limits to others.
APART = {"7.7 code 1014", "7.9 code 5000", "7.9 code 65535"} | {c.name for c in LIMITS}


@pytest.mark.parametrize("case", [c for c in CASES if c.name not in APART], ids=str)
def test_wsproto_reads_the_same(case):
    assert by_wsproto(case) == case.comes


def by_websockets(case):
    """Return the code with which it fails, None if it does not."""
    protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=case.limit)
    protocol.receive_data(case.wire)
    failed = protocol.close_sent is not None and protocol.close_rcvd is None
    return int(protocol.close_sent.code) if failed else None


# It leaves the texts themselves, and sizes written too long, to others.
CHECKED = [c for c in CASES if c not in UTF8 and not c.name.startswith("10.3")]


@pytest.mark.parametrize("case", CHECKED, ids=str)
def test_websockets_refuses_the_same(case):
    refused = case.comes and isinstance(case.comes[-1], int)
    assert by_websockets(case) == (case.comes[-1] if refused else None)


# --- whatever comes ---

payload = st.one_of(st.text(max_size=40), st.binary(max_size=200))
a_mask = st.binary(min_size=4, max_size=4)
some_wire = st.sampled_from([c.wire for c in CASES if len(c.wire) < 300])
garbage = st.lists(st.one_of(st.binary(max_size=9), some_wire), max_size=4).map(b"".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(payload, st.integers(1, 5)), max_size=4), a_mask, st.integers(0, 100))
def test_messages_come_back_equal_from_any_fragments_at_any_cut(messages, mask, seed):
    wire, comes = b"", []
    for data, count in messages:
        raw, kind = (data.encode(), TEXT) if isinstance(data, str) else (data, BINARY)
        size = len(raw) // count + 1
        parts = [raw[at : at + size] for at in range(0, len(raw) or 1, size)]
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            wire += frame(CONTINUATION if number else kind, part, last, mask)
            wire += b"" if last else frame(PING, part[:125], mask=mask)
            comes += [] if last else [Message(PING, part[:125])]
        comes.append(Message(kind, data))
    assert {drive(pieces) for pieces in splits(wire, seed)} == {tuple(comes)}


@settings(max_examples=300, deadline=None)
@given(garbage, st.integers(0, 100))
def test_garbage_is_read_or_refused_alike_at_any_cut(wire, seed):
    """Nothing but ProtocolError is raised: drive catches no more."""
    assert len({drive(pieces, 300) for pieces in splits(wire, seed)}) == 1


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), a_mask)
def test_masks(data, mask):
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
    assert unmask(data, mask) == masked and unmask(masked, mask) == data


# --- what a server sends, and its client reads ---


@pytest.mark.parametrize(("wire", "opcode", "data", "fin", "mask"), [
    ("810548656c6c6f", TEXT, b"Hello", True, None),
    ("818537fa213d7f9f4d5158", TEXT, b"Hello", True, MASK),
    ("010348656c", TEXT, b"Hel", False, None),
    ("80026c6f", CONTINUATION, b"lo", True, None),
    ("890548656c6c6f", PING, b"Hello", True, None),
    ("8a8537fa213d7f9f4d5158", PONG, b"Hello", True, MASK),
    ("827e0100" + "00" * 256, BINARY, bytes(256), True, None),
    ("827f0000000000010000" + "00" * 65536, BINARY, bytes(65536), True, None),
])  # fmt: skip
def test_the_examples_of_the_rfc(wire, opcode, data, fin, mask):
    assert encode_frame(opcode, data, fin=fin, mask=mask) == bytes.fromhex(wire)


def test_a_client_reads_a_server_which_must_not_mask():
    def read(*frames):
        return drive((b"".join(frames),), masked=False)

    assert read(encode_frame(TEXT, b"hello"), encode_close(4000, "ö")) == (HELLO, Close(4000, "ö"))
    halves = encode_frame(TEXT, b"\xc3", fin=False), encode_frame(CONTINUATION, b"\xbc")
    assert read(*halves) == (Message(TEXT, "ü"),)
    assert read(encode_frame(TEXT, b"hello"), text("hello")) == (HELLO, 1002)


def test_a_close_frame_never_holds_what_it_must_not():
    assert encode_close(1005) == encode_frame(CLOSE, b"")
    assert encode_close(4000, "*" * 123) == encode_frame(CLOSE, b"\x0f\xa0" + b"*" * 123)
    for code, reason in [(1006, ""), (1015, ""), (999, ""), (5000, ""), (1000, "ü" * 62)]:
        with pytest.raises(ValueError, match=f"{code} is no close code"):
            encode_close(code, reason)
    assert [code for code in range(5100) if is_code(code)][:3] == [1000, 1001, 1002]


# --- the opening handshake ---

OPENING = {
    "Host": "x", "Upgrade": "websocket", "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
}  # fmt: skip


def opening(first="GET /chat HTTP/1.1", **changes):
    """Return an opening handshake in which some fields are changed; None leaves one out."""
    fields = OPENING | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return parse_head("\r\n".join([first, *lines, "", ""]).encode("latin-1"))


def test_the_key_of_the_rfc():
    assert accept_key(check_handshake(opening())) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(("request_", "wants"), [
    (opening(), True),
    (opening(Upgrade="h2c, WebSocket", Connection="keep-alive, upgrade"), True),
    (opening("POST / HTTP/1.1"), True),
    (opening("GET / HTTP/1.0"), False),
    (opening(Upgrade="h2c"), False),
    (opening(Upgrade=None), False),
    (opening(Connection="keep-alive"), False),
    (opening(Connection=None), False),
])  # fmt: skip
def test_who_wants_a_websocket(request_, wants):
    assert wants_websocket(request_) is wants


@pytest.mark.parametrize(("request_", "status", "says"), [
    (opening("POST / HTTP/1.1"), 400, "begins with a GET"),
    (opening(Content_Length="3"), 400, "has no body"),
    (opening(Transfer_Encoding="chunked"), 400, "has no body"),
    (opening(Sec_WebSocket_Version="8"), 426, "must be 13"),
    (opening(Sec_WebSocket_Version="13, 8"), 426, "must be 13"),
    (opening(Sec_WebSocket_Version=None), 426, "must be 13"),
    (opening(Sec_WebSocket_Key=None), 400, "not b''"),
    (opening(Sec_WebSocket_Key="c2hvcnQ="), 400, "16 bytes"),
    (opening(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZSB0b28="), 400, "16 bytes"),
    (opening(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZ!=="), 400, "16 bytes"),
    (opening(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==, x"), 400, "16 bytes"),
])  # fmt: skip
def test_a_handshake_that_is_refused(request_, status, says):
    with pytest.raises(ProtocolError, match=says) as info:
        check_handshake(request_)
    assert info.value.status == status


@pytest.mark.parametrize(("field", "names"), [
    (None, []), ("", []), ("chat", ["chat"]), ("Chat.v2,chat , ", ["Chat.v2", "chat"]),
])  # fmt: skip
def test_subprotocols_in_the_order_of_the_client(field, names):
    assert subprotocols(opening(Sec_WebSocket_Protocol=field)) == names
