"""Plots and progress of a load, for the eye; in their place stands a text that is always the same.

A plot is an SVG inside an <img>: it has a name in words, and follows the page's theme because it
has no background and its ink is a grey that reads on white and on black.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from typing import Any

from coursekit.load.loops import PERCENTILES, Report
from coursekit.practice.widgets import VIEW, in_a_kernel, show

INK = "#767676"  # 4.5 to 1 on white, 4.6 to 1 on black (WCAG 1.4.3)
# Colour, line and marker differ, so that none of them is needed to tell the runs apart.
STYLE = """<style>.fsts-numbers :is(th, td) { padding: 2px 10px; text-align: right }
.fsts-numbers th:first-child { text-align: left }</style>"""
STYLES = (
    ("#0072b2", "-", "o"),
    ("#d55e00", "--", "s"),
    ("#8a6d00", "-.", "^"),
    ("#a0528a", ":", "D"),
)


def progress(name: str, requests: int) -> Callable[[int], None]:
    """Show a bar of a run, where there is a page; return what tells it how many are through."""
    if not in_a_kernel():
        return lambda through: None
    import ipywidgets as w  # type: ignore[import-untyped]
    from IPython.display import display

    bar = w.HTML()

    def tell(through: int) -> None:
        bar.value = (
            f'<progress aria-label="{html.escape(name)}" max="{requests}" value="{through}">'
            f"</progress> {html.escape(name)}: {through} of {requests}"
        )

    # No text beside it: if a run takes long is chance, and what is saved must not depend on it.
    model = {"version_major": 2, "version_minor": 0, "model_id": bar.model_id}
    display({VIEW: model}, raw=True)
    return tell


def plot(*reports: Report, title: str = "Latency by percentile") -> None:
    """Show the latencies of runs as curves, with the numbers below."""
    names = ", ".join(report.name for report in reports)
    show(f"[plot: {title.lower()}, of: {names}]", _latencies, reports, title)


def _latencies(reports: Sequence[Report], title: str) -> Any:
    shares = {"p50": 50, "p75": 75, "p90": 90, "p95": 95, "p99": 99, "worst": 100}

    def draw(axes: Any) -> None:
        for report, (colour, line, mark) in zip(reports, STYLES, strict=False):
            waits = [1000 * report.percentile(share) for share in shares.values()]
            axes.plot(list(shares), waits, line, marker=mark, color=colour, label=report.name)
        axes.set_yscale("log")
        axes.set_ylabel("milliseconds")

    rows = [["run", "errors", *(name for name, _ in PERCENTILES)]]
    for report in reports:
        waits = [f"{1000 * report.percentile(percent):.1f} ms" for _, percent in PERCENTILES]
        rows.append([report.name, str(sum(report.errors.values())), *waits])
    return picture(draw, f"{title}: the numbers are in the table below", title, rows)


def picture(draw: Callable[[Any], None], alt: str, title: str, rows: list[list[str]]) -> Any:
    """Return a widget with what `draw` puts on matplotlib axes, and a table under it."""
    import ipywidgets as w

    image = base64.b64encode(svg(draw, title).encode()).decode()
    source = f'<img alt="{html.escape(alt)}" src="data:image/svg+xml;base64,{image}">'
    return w.HTML(source + table(rows))


def svg(draw: Callable[[Any], None], title: str) -> str:
    """Return the drawing as SVG that reads on a light and on a dark page."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    draw(axes)
    axes.set_title(title, color=INK, fontsize=10)
    axes.tick_params(colors=INK, which="both")
    axes.yaxis.label.set_color(INK)
    axes.xaxis.label.set_color(INK)
    axes.grid(True, color=INK, alpha=0.25)
    axes.patch.set_alpha(0.0)
    for side in axes.spines.values():
        side.set_color(INK)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, labelcolor=INK, fontsize=9)
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return out.getvalue()


def table(rows: list[list[str]]) -> str:
    """Return rows as an HTML table; the first one has the titles."""
    head, *body = rows
    top = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    lines = [
        "<tr>" + f'<th scope="row">{html.escape(row[0])}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in body
    ]  # fmt: skip
    body_rows = "".join(lines)
    return f"{STYLE}<table class='fsts-numbers'><thead><tr>{top}</tr></thead>{body_rows}</table>"
