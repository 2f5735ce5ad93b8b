"""The picture of a trace: a widget to step through, and what stands in where none can run.

One output carries several forms, and each page takes the richest it knows:
widget      JupyterLab with a kernel
mermaid     JupyterLab that runs nothing, also with a notebook that is not trusted
SVG         GitHub, nbviewer and nbconvert, which show it as an image
text        a terminal, nbval, a reader of the raw notebook
The last three hold no time, port or pid, so a second run saves the same.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from IPython.display import display

from coursekit.flow import compare, draw
from coursekit.flow.detail import detail
from coursekit.flow.steps import Step
from coursekit.flow.trace import Trace

HERE = Path(__file__).parent


class Flow(anywidget.AnyWidget):
    """Show one trace, or two side by side; `step` is the row that is looked at, from 0."""

    _esm = HERE / "flow.js"
    _css = HERE / "flow.css"
    step = traitlets.Int(0).tag(sync=True)
    data = traitlets.Dict().tag(sync=True)

    def __init__(self, a: Trace, b: Trace | None = None) -> None:
        self.still = _one(a) if b is None else _two(a, b)
        rows: list[tuple[Step | None, ...]] = (
            [(step,) for step in a.steps] if b is None else list(compare.pairs(a, b)))
        traces = [a] if b is None else [a, b]
        marks = [] if b is None else [compare.differs((x, y)) for x, y in compare.pairs(a, b)]
        super().__init__(data={
            "title": a.title() if b is None else f"{a.title()}. {compare.described(a, b)}",
            "alt": self.still["alt"],
            "table": self.still["text/plain"],
            "figures": [_figure(trace, [row[i] for row in rows], marks, b is not None)
                        for i, trace in enumerate(traces)],
            "rows": [[step and detail(trace, step) for trace, step in zip(traces, row, strict=True)]
                     for row in rows],
        })

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        forms = {name: form for name, form in self.still.items() if name != "alt"}
        return {**data, **forms}, metadata


def show(a: Trace, b: Trace | None = None) -> None:
    """Display the picture of a trace, or of two side by side with their differences marked."""
    display(Flow(a, b))


def _one(trace: Trace) -> dict[str, str]:
    alt = draw.described(trace)
    return {"alt": alt, "text/plain": trace.table(), "text/vnd.mermaid": trace.mermaid(),
            "image/svg+xml": draw.still([(trace, draw.even(trace.steps))], alt)}


def _two(a: Trace, b: Trace) -> dict[str, str]:
    alt = f"Two sequence diagrams. {compare.described(a, b)}"
    rows = compare.pairs(a, b)
    marks = [compare.differs(pair) for pair in rows]
    figures = [(a, draw.even([pair[0] for pair in rows], marks)),
               (b, draw.even([pair[1] for pair in rows], marks))]
    return {"alt": alt, "text/plain": compare.table(a, b),
            "text/vnd.mermaid": compare.mermaid(a, b), "image/svg+xml": draw.still(figures, alt)}


def _figure(trace: Trace, steps: Sequence[Step | None], marks: Sequence[bool],
            pair: bool) -> dict[str, Any]:
    """Return the drawings of one trace: evenly spaced, and to scale in time."""
    drawing = draw.Drawing(trace, live=True, pair=pair)
    height = draw.ROW * len(steps) + 12
    return {
        "name": trace.heading,
        "narrowest": drawing.narrowest,
        "many": drawing.many,
        "head": [draw.HEAD, drawing.head(clock=True)],
        "even": [height, drawing.body(draw.even(steps, marks), height, clock=True)],
        "time": [draw.SCALE, drawing.body(draw.timed(trace, steps, marks), draw.SCALE,
                                          clock=True)],
    }
