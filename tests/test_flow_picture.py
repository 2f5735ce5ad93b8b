"""The picture: every form complete, reproducible, and readable without colour or a mouse."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import pytest

from coursekit import flow
from coursekit.flow import draw, mermaid
from coursekit.flow.detail import hex_of, text_of
from coursekit.flow.tap import Wire

MS = 1_000_000
REQUEST = b"GET /a?b=<c>&d HTTP/1.1\r\nHost: 127.0.0.1:54321\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def note(time: int, kind: str, **values: Any) -> dict[str, Any]:
    return {"time": time, "pid": 4321, "thread": 99, "thread_name": "t", "call": 1, "kind": kind,
            **values}


def made(gap: int = MS, status: str = "200 OK") -> flow.Trace:
    """Return a trace of one request; `gap` is the time between its steps in ns."""
    wires = [Wire(1, 1, "client", "connect", port=7), Wire(gap, 1, "client", "data", REQUEST),
             Wire(6 * gap, 1, "server", "data", RESPONSE.replace(b"200 OK", status.encode())),
             Wire(8 * gap, 1, "client", "eof"), Wire(9 * gap, 1, "server", "reset")]
    environ = {"SCRIPT_NAME": "", "PATH_INFO": "/a"}
    notes = [note(2 * gap, "call", interface="wsgi", method="GET", environ=environ, peer=7),
             note(3 * gap, "start_response", status=status, headers=[], count=0, exc_info=False),
             note(4 * gap, "return", what="list of 1"),
             note(5 * gap, "chunk", size=5, bytes="hello"),
             note(7 * gap, "close", had=True), note(7 * gap + 1, "done")]
    return flow.Trace("toy", wires=wires, notes=notes)


@pytest.fixture(params=[False, True], ids=["one", "pair"])
def picture(request: pytest.FixtureRequest) -> Iterator[flow.Flow]:
    widget = flow.Flow(made(), made(status="404 Not Found") if request.param else None)
    yield widget
    widget.close()


def test_every_form_is_there(picture):
    data, _ = picture._repr_mimebundle_()
    assert {"text/plain", "text/vnd.mermaid", "image/svg+xml"} <= set(data)
    assert "application/vnd.jupyter.widget-view+json" in data


def test_the_saved_forms_hold_no_time_port_or_pid(picture):
    for name, form in picture.still.items():
        text = re.sub(r'(x|y|x1|x2|y1|y2|width|height|d)="[^"]*"', "", form)
        assert not re.search(r"54321|4321|\d\.\d\d|\bms\b", text), name


def test_the_saved_forms_do_not_depend_on_speed():
    slow, fast = flow.Flow(made(40 * MS)), flow.Flow(made(1000))
    assert slow.still == fast.still
    slow.close()
    fast.close()


def test_the_still_is_one_svg_with_a_name_and_no_style_or_script(picture):
    svg = ElementTree.fromstring(picture.still["image/svg+xml"])
    assert svg.get("role") == "img" and svg.get("aria-label")
    tags = {element.tag.rpartition("}")[2] for element in svg.iter()}
    assert {"title", "line", "path", "text"} <= tags
    assert not tags & {"style", "script", "foreignObject", "image"}


def test_each_kind_of_arrow_has_a_shape_of_its_own():
    trace = made()
    shapes = {}
    for step in trace.steps:
        kind = step.kind if step.ends else "interface" if step.call else "wire"
        shapes.setdefault(kind, re.sub("#[0-9a-f]{6}|fsts-[a-z]+|-?[0-9.]+ ?", "",
                                       draw._head(step, 1, 1, "#000000")))
    assert set(shapes) == {"wire", "interface", "eof", "reset"}
    assert len(set(shapes.values())) == 4


def test_the_page_gets_a_row_of_details_for_each_step():
    trace = made()
    widget = flow.Flow(trace)
    figure = widget.data["figures"][0]
    assert len(widget.data["rows"]) == len(trace.steps)
    for form in ("even", "time"):
        assert figure[form][1].count("data-row=") == len(trace.steps)
        ElementTree.fromstring(f"<svg>{figure[form][1]}</svg>")
    assert widget.data["rows"][1][0]["text"][0] == r"GET /a?b=<c>&d HTTP/1.1\r\n"
    widget.close()


def test_a_pair_marks_what_differs_and_leaves_gaps_where_one_has_nothing():
    short = flow.Trace("short", wires=made().wires[:2])
    widget = flow.Flow(made(), short)
    figures = widget.data["figures"]
    assert "≠" in figures[0]["even"][1] and "not here" in figures[1]["even"][1]
    assert [row[1] is None for row in widget.data["rows"]].count(True) == len(made().steps) - 2
    widget.close()


def test_to_scale_distances_are_as_times_and_crowded_labels_hide():
    rows = draw.timed(made(), made().steps)
    assert [row.y for row in rows] == sorted(row.y for row in rows)
    assert rows[-1].y == pytest.approx(draw.SCALE - 20)
    crowded = flow.Trace("toy", wires=[*made(1).wires, Wire(100 * MS, 1, "client", "data", b"x")])
    assert [row.labelled for row in draw.timed(crowded, crowded.steps)][:3] == [True, False, False]


def test_mermaid_names_itself_and_takes_labels_literally():
    source = made().mermaid()
    assert "accTitle: GET /a?b=#lt;c#gt;&d: 200" in source and "accDescr: " in source
    assert source.count("\n    activate ") == source.count("\n    deactivate ") == 1
    assert mermaid.escaped('a;b#c%%"<{}>\n') == "a#59;b#35;c#37;#37;#quot;#lt;#123;#125;#gt;"


def test_bytes_are_shown_as_text_and_hex():
    assert text_of(b"a'b\r\n\xff") == [r"a'b\r\n", r"\xff"]
    assert hex_of(b"GET /\r\n") == [f"0000  {'47 45 54 20 2f 0d 0a':47}  GET /.."]
    assert text_of(b"x" * 5000)[-1] == "... and 904 bytes more"
