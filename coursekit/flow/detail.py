"""A step in, what a reader sees of it out: its bytes as text and hex, or the event's contents."""

from typing import Any

from coursekit.flow import uwsgi
from coursekit.flow.events import Note
from coursekit.flow.lived import KINDS
from coursekit.flow.steps import Step
from coursekit.flow.trace import Trace
from coursekit.live import shown

TEXT, HEX = 4096, 512  # bytes of a step that are shown: a notebook should stay small


def detail(trace: Trace, step: Step) -> dict[str, Any]:
    """Return the contents of the detail pane for a step, ready to be sent to the page."""
    index = trace.steps.index(step)
    previous = trace.steps[index - 1] if index else step
    source, target = (trace.label(trace.lane(step, role)) for role in (step.source, step.target))
    where = f", {trace.where(step)}" if trace.where(step) else ""
    return {
        "number": index + 1,
        "label": step.label,
        "who": f"{source} → {target}{where}",
        "when": f"{trace.milliseconds(step):.3f} ms after the start" + (
            f", {(step.time - previous.time) / 1e6:+.3f} ms from the step before" if index else ""),
        "note": step.note,
        "fields": fields(step.info) if step.call else [*variables(step), *frame(step)],
        "process": step.kind in KINDS,
        "text": text_of(step.data),
        "hex": hex_of(step.data),
    }


def fields(note: Note) -> list[list[str]]:
    """Return what an event of the interface holds, as pairs of name and value."""
    pairs = [[name, str(note[name])] for name in ("status", "what", "method", "size", "type",
                                                  "message", "more_body", "code", "reason",
                                                  "subprotocol") if name in note]
    for name in ("environ", "scope"):
        pairs += [[key, str(value)] for key, value in note.get(name, {}).items()]
    pairs += [[f"header {name}", value] for name, value in note.get("headers", [])]
    return pairs + [["thread", str(note.get("thread_name", ""))], ["process", str(note["pid"])]]


def variables(step: Step) -> list[list[str]]:
    """Return names and values of a uwsgi request; of those that are not shown, the names."""
    found = uwsgi.variables(step.data) if step.kind == "variables" else None
    if found is None:
        return []
    values = shown.environ(found)
    return [[name, values.get(name, shown.MASK)] for name in found]


def frame(step: Step) -> list[list[str]]:
    """Return what a WebSocket frame holds, decoded."""
    return [[name, str(value)] for name, value in step.info.get("frame", {}).items()]


def text_of(data: bytes) -> list[str]:
    """Return bytes line by line, with line ends and what is not ASCII written as escapes."""
    lines = [repr(line)[2:-1].replace("\\'", "'") for line in data[:TEXT].splitlines(keepends=True)]
    return lines + ([f"... and {len(data) - TEXT} bytes more"] if len(data) > TEXT else [])


def hex_of(data: bytes) -> list[str]:
    """Return bytes as hex with offsets, 16 a line, and the ASCII beside them."""
    lines = []
    for at in range(0, min(len(data), HEX), 16):
        row = data[at:at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{at:04x}  {row.hex(' '):47}  {text}")
    return lines + ([f"... and {len(data) - HEX} bytes more"] if len(data) > HEX else [])
