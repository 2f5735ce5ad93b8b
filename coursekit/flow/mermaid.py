"""A trace in, a mermaid sequence diagram out: the picture for pages that run nothing.

Rule 1  The text holds no time, port or pid: the same experiment gives the same diagram.
Rule 2  accTitle and accDescr are always there: JupyterLab makes alt text of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coursekit.flow.steps import Step
    from coursekit.flow.trace import Trace

# Bytes are solid, calls of the interface dashed: never told apart by colour alone.
# The life of processes has open heads, and a dashed cross at its end.
ARROWS = {"wire": "->>", "interface": "-->>", "end": "-x", "gone": "--x",
          "start": "--)", "signal": "--)", "log": "--)"}


def diagram(trace: Trace) -> str:
    """Return the mermaid source for `trace`."""
    lanes = trace.lanes()
    names = {lane: f"L{number}" for number, lane in enumerate(lanes)}
    lines = header(trace.title(), trace.summary())
    lines += [f"    participant {names[lane]} as {escaped(trace.label(lane))}" for lane in lanes]
    last = {id(step.call): step for step in trace.steps if step.call}
    for step in trace.steps:
        source, target = (names[trace.lane(step, role)] for role in (step.source, step.target))
        lines.append(message(step, source, target))
        if step.call and step.kind == "call":
            lines.append(f"    activate {target}")
        if step is last.get(id(step.call)):
            lines.append(f"    deactivate {target if step.target == 'app' else source}")
    return "\n".join(lines) + "\n"


def header(title: str, description: str) -> list[str]:
    """Return the first lines of a diagram."""
    return ["sequenceDiagram", f"    accTitle: {escaped(title)}",
            f"    accDescr: {escaped(description)}", "    autonumber"]


def message(step: Step, source: str, target: str, mark: str = "") -> str:
    """Return the line for one arrow."""
    kind = step.kind if step.kind in ARROWS else "wire"
    arrow = ARROWS["interface" if step.call else "end" if step.ends else kind]
    return f"    {source}{arrow}{target}: {mark}{escaped(step.label)}"


def escaped(text: str) -> str:
    """Return text that mermaid takes literally."""
    codes = {"#": "#35;", ";": "#59;", "<": "#lt;", ">": "#gt;", "%": "#37;", '"': "#quot;",
             "{": "#123;", "}": "#125;"}
    return "".join(codes.get(char, char) for char in text if char.isprintable())
