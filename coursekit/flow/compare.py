"""Two traces in, their steps side by side out, with what differs marked."""

from __future__ import annotations

from difflib import SequenceMatcher
from itertools import zip_longest

from coursekit.flow.mermaid import escaped, header, message
from coursekit.flow.steps import Step
from coursekit.flow.trace import Trace, columns

WORK = {
    "call": "call", "read": "input", "http.request": "input",
    "start_response": "head", "http.response.start": "head",
    "chunk": "body", "write": "body", "http.response.body": "body",
}  # fmt: skip

Pair = tuple[Step | None, Step | None]


def pairs(a: Trace, b: Trace) -> list[Pair]:
    """Return the steps of both, those that match side by side, the others alone or opposed.

    Between WSGI and ASGI those match that do the same work: start_response and the first send.
    """
    both = len({call.interface for trace in (a, b) for call in trace.calls}) > 1
    left, right = ([_key(step, both) for step in trace.steps] for trace in (a, b))
    found: list[Pair] = []
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    for _, i, i_end, j, j_end in matcher.get_opcodes():
        found += zip_longest(a.steps[i:i_end], b.steps[j:j_end])
    return found


def _key(step: Step, both: bool) -> tuple[str, str]:
    """Return what a step is told by; `both`: the interfaces differ, so it is its work."""
    kind = str(step.info.get("type", "")) if step.kind in ("send", "receive") else step.kind
    work = WORK.get(kind) if both and step.call else None
    return ("", work) if work else (step.source, step.label)


def differs(pair: Pair) -> bool:
    """Tell whether a row holds different steps, or only one."""
    left, right = pair
    return left is None or right is None or (
        (left.source, left.label) != (right.source, right.label))


def table(a: Trace, b: Trace) -> str:
    """Return both as text; "<" and ">" mark steps of one side only, "|" marks different ones."""
    rows = [["", a.heading, "", b.heading]]
    for pair in pairs(a, b):
        left, right = pair
        mark = "" if not differs(pair) else ">" if left is None else "<" if right is None else "|"
        rows.append([_who(left or right), left.label if left else "", mark,
                     right.label if right else ""])
    return columns(rows)


def _who(step: Step | None) -> str:
    return f"{step.source} -> {step.target}" if step else ""


def mermaid(a: Trace, b: Trace) -> str:
    """Return one mermaid diagram with the lanes of both, and a note where they differ."""
    names: dict[tuple[int, object], str] = {}
    lines = header(f"{a.heading} and {b.heading}: {a.title()}", described(a, b))
    for i, trace in enumerate((a, b)):
        lines.append(f"    box {escaped(trace.heading)}")
        for lane in trace.lanes():
            names[i, lane] = f"L{len(names)}"
            lines.append(f"    participant {names[i, lane]} as {escaped(trace.label(lane))}")
        lines.append("    end")
    for pair in pairs(a, b):
        for i, (trace, step) in enumerate(zip((a, b), pair, strict=True)):
            if step is not None:
                source, target = (names[i, trace.lane(step, role)]
                                  for role in (step.source, step.target))
                lines.append(message(step, source, target, "≠ " if differs(pair) else ""))
    return "\n".join(lines) + "\n"


def described(a: Trace, b: Trace) -> str:
    """Return one sentence on what is compared, and how much differs."""
    rows = pairs(a, b)
    return (f"{a.heading} and {b.heading} side by side: "
            f"{sum(map(differs, rows))} of {len(rows)} rows differ.")
