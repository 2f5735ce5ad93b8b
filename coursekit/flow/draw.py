"""A trace in, an SVG sequence diagram out, for a page that steps through it or for a still image.

Rule 1  One drawing for both. For a page (`live`) places are per cent of the width, so that it
        fits any window, and the style sheet may change every colour. A still has pixels and
        carries its colours in attributes: GitHub strips <style>, and scripts never run.
Rule 2  No meaning by colour alone: bytes are a solid line with a full head, calls of the
        interface a dashed line with an open head, ends of a connection have a bar or a cross.
        The life of processes is dotted; a worker's lane begins and ends with it, at a square.
Rule 3  A still holds no time, port or pid.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from coursekit.flow.lived import KINDS
from coursekit.flow.steps import Step
from coursekit.flow.trace import Lane, Trace

ROW = 32  # px from one step to the next when they are spaced evenly
HEAD = 44  # px for the titles of the lanes
WIDTH = 760  # px of a still
NARROW = 560  # px of each of two stills side by side
SCALE = 460  # px of a page's drawing to scale in time
LABEL = 15  # px that a label needs for itself
EDGES = 17.0, 87.0  # per cent of the width: first and last lane
TIGHT = 14.0, 84.0  # the same where two diagrams stand side by side
FULL = 14.0, 93.0  # the same with more than MANY lanes
MANY = 4  # lanes that are evenly spaced; more stand as close as their titles let them
STAGE = 470, 400, 800  # px that a page has, near enough: for one, one of a pair, many lanes

INK, DIM, LINE, PAPER = "#1f2328", "#59636e", "#afb8c1", "#ffffff"
ROLES = {"client": "#0969da", "front": "#1a7f37", "server": "#8250df", "app": "#9a6700",
         "you": "#0969da", "arbiter": "#bf3989"}
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"


@dataclass(frozen=True)
class Row:
    """Hold a step and its height in the drawing; no step where only the other trace has one."""

    step: Step | None
    y: float
    differs: bool = False
    labelled: bool = True


def even(steps: Sequence[Step | None], differs: Sequence[bool] = ()) -> list[Row]:
    """Return rows with the same space between all."""
    marks = differs or [False] * len(steps)
    return [Row(step, ROW * (i + 0.75), mark)
            for i, (step, mark) in enumerate(zip(steps, marks, strict=True))]


def timed(trace: Trace, steps: Sequence[Step | None], differs: Sequence[bool] = ()) -> list[Row]:
    """Return rows to scale in time; where they crowd, only the first keeps its label."""
    last = max((trace.milliseconds(step) for step in trace.steps), default=0) or 1
    rows: list[Row] = []
    y, free = 0.0, 0.0
    for i, step in enumerate(steps):
        if step is not None:  # never above the one before: its place is by cause, see order
            y = max(y, 20 + trace.milliseconds(step) / last * (SCALE - 40))
        labelled = step is not None and y >= free
        free = y + LABEL if labelled else free
        rows.append(Row(step, y, bool(differs and differs[i]), labelled))
    return rows


class Drawing:
    """Draw the steps of one trace."""

    def __init__(self, trace: Trace, *, live: bool, pair: bool = False) -> None:
        self.trace, self.live, self.pair = trace, live, pair
        self.lanes = trace.lanes()
        self.many = len(self.lanes) > MANY
        self.edges = FULL if self.many else TIGHT if pair else EDGES
        self.places = self._places()
        self.width = max(width(trace, pair), self.narrowest)
        self.numbers = {id(step): i for i, step in enumerate(trace.steps, 1)}

    @property
    def narrowest(self) -> int:
        """Return the width in px at which the titles of the lanes do not touch."""
        left, right = self.edges
        return round(self.places[-1] * 100 / (right - left)) if self.places else 0

    def _places(self) -> list[float]:
        """Return how far the lanes are from the first one at least, in px."""
        sizes = [self._size(lane) for lane in self.lanes]
        gaps = [(a + b) / 2 + 8 for a, b in zip(sizes, sizes[1:], strict=False)]
        if not self.many:
            gaps = [max(gaps, default=0)] * len(gaps)
        return [sum(gaps[:i]) for i in range(len(sizes))]

    def head(self, clock: bool = False) -> str:
        """Return the titles of the lanes, and one for the column of times."""
        unit = self._text("ms", "13%", 44, anchor="end", fill=DIM, size=10,
                          css="fsts-dim fsts-clock") if clock and not self.pair else ""
        return unit + "".join(self.at(i, self._title(lane)) for i, lane in enumerate(self.lanes))

    def body(self, rows: Sequence[Row], height: float, clock: bool = False) -> str:
        """Return lifelines, arrows and labels, from the top at 0 to `height`."""
        lines = ""
        for i, lane in enumerate(self.lanes):
            top, bottom = self._span(lane, rows, height)
            lines += (f'<line class="fsts-life" x1="{self.x(i)}" x2="{self.x(i)}" y1="{top:g}" '
                      f'y2="{bottom:g}" stroke="{LINE}"/>')
        bars = "".join(self._bars(rows))
        return lines + bars + "".join(
            self._row(index, row, clock) for index, row in enumerate(rows))

    def _span(self, lane: Lane, rows: Sequence[Row], height: float) -> tuple[float, float]:
        """Return from where to where a lane has a line: a worker, while it lives."""
        ends = {row.step.kind: row.y for row in rows if row.step and row.step.pid
                and self.trace.lane(row.step, "server")[1] == lane[1]}
        return ends.get("start", 0), ends.get("gone", height)

    def _name(self, lane: Lane) -> str:
        return self.trace.label(lane, short=self.many or (self.pair and self.live))

    def _size(self, lane: Lane) -> float:
        return (7 if self.many else 8) * len(self._name(lane)) + (14 if self.many else 22)

    def x(self, lane: float) -> str:
        """Return the place of a lane (or between two) across the page."""
        return self._across(self._percent(lane))

    def _percent(self, lane: float) -> float:
        (left, right), places, at = self.edges, self.places, int(lane)
        part = (lane - at) * (places[at + 1] - places[at]) if lane > at else 0
        return left + (places[at] + part) * (right - left) / (places[-1] or 1)

    def _across(self, percent: float) -> str:
        return f"{percent:.2f}%" if self.live else f"{percent * self.width / 100:.0f}"

    def at(self, lane: float, content: str, y: float = 0) -> str:
        """Return content that is drawn around (0, 0), moved to a lane."""
        if self.live:  # an inner <svg> is the one element that can be moved by per cent
            return f'<svg x="{self.x(lane)}" y="{y:g}" overflow="visible">{content}</svg>'
        return f'<g transform="translate({self.x(lane)} {y:g})">{content}</g>'

    def _title(self, lane: Lane) -> str:
        text, width, size = self._name(lane), self._size(lane), 11 if self.many else 13
        return (f'<rect class="fsts-lane fsts-{lane[0]}" x="{-width / 2:g}" y="8" '
                f'width="{width:g}" height="28" rx="6" fill="{PAPER}" stroke="{ROLES[lane[0]]}" '
                f'stroke-width="1.5"/>' + self._text(text, 0, 27, weight="600", size=size))

    def _text(self, text: str, x: float | str, y: float, *, anchor: str = "middle", size: int = 12,
              weight: str = "400", fill: str = INK, css: str = "fsts-text") -> str:
        return (f'<text class="{css}" x="{x}" y="{y:g}" text-anchor="{anchor}" font-size="{size}" '
                f'font-weight="{weight}" font-family="{FONT}" fill="{fill}">{escape(text)}</text>')

    def _bars(self, rows: Sequence[Row]) -> Iterator[str]:
        for call in self.trace.calls:
            mine = [row for row in rows if row.step and row.step.call is call]
            if mine and mine[0].step:
                lane = self.lanes.index(self.trace.lane(mine[0].step, "app"))
                top, bottom = mine[0].y, mine[-1].y
                yield self.at(lane, f'<rect class="fsts-bar" x="-5" width="10" rx="2" '
                              f'height="{max(bottom - top, 2):g}" fill="#fff8c5" '
                              f'stroke="{ROLES["app"]}"/>', top)

    def _row(self, index: int, row: Row, clock: bool) -> str:
        step = row.step
        css = "fsts-step" + (" fsts-differs" if row.differs else "")
        band = (f'<rect class="fsts-band" x="0" width="100%" y="{row.y - 20:g}" height="28" '
                'fill="none"/>') if self.live else ""
        if step is None:
            inner = self._text("not here", self.x((len(self.lanes) - 1) / 2), row.y - 2, fill=DIM,
                               css="fsts-dim")
        else:
            inner = self._margin(step, row, clock) + self._arrow(step, row)
        return f'<g class="{css}" data-row="{index}">{band}{inner}</g>'

    def _margin(self, step: Step, row: Row, clock: bool) -> str:
        mark = "≠ " if row.differs else ""
        text = mark + str(self.numbers[id(step)])
        hidden = "" if row.labelled else " fsts-crowded"
        number = self._text(text, 32 if row.differs else 22, row.y + 1, anchor="end", fill=DIM,
                            size=11, css="fsts-dim" + hidden)
        if not clock or self.pair:
            return number
        return number + self._text(f"{self.trace.milliseconds(step):.2f}", "13%", row.y + 1,
                                   anchor="end", fill=DIM, size=10,
                                   css="fsts-dim fsts-clock" + hidden)

    def _arrow(self, step: Step, row: Row) -> str:
        source, target = (self.lanes.index(self.trace.lane(step, role))
                          for role in (step.source, step.target))
        way = 1 if target > source else -1
        color = ROLES[step.source]
        dash = ' stroke-dasharray="5 4"' if step.call else ""
        if step.kind in KINDS:
            dash = ' stroke-dasharray="1.5 4"'
        line = (f'<line class="fsts-arrow fsts-{step.source}" x1="{self.x(source)}" '
                f'x2="{self.x(target)}" y1="{row.y:g}" y2="{row.y:g}" stroke="{color}" '
                f'stroke-width="1.6"{dash}/>')
        gap = 5 if step.target == "app" else 1
        head = self.at(target, _head(step, way, gap, color), row.y)
        room = 40 if "task" in step.info else 34  # ASGI says much
        text = step.label if len(step.label) <= room else step.label[:room - 1] + "…"
        hidden = "" if row.labelled else " fsts-crowded"
        middle, anchor = self._inside(self._percent(source), self._percent(target), text)
        # Text twice: the wide one below lifts the letters off the lines without paint-order,
        # which not every viewer of a still knows.
        back = self._text(text, middle, row.y - 5, anchor=anchor, css="fsts-halo" + hidden).replace(
            "<text ", f'<text stroke="{PAPER}" stroke-width="4" aria-hidden="true" ')
        return line + head + back + self._text(text, middle, row.y - 5, anchor=anchor,
                                               css="fsts-label" + hidden)

    def _inside(self, source: float, target: float, text: str) -> tuple[str, str]:
        """Return where a label stands: between its lanes, unless the edge is too near."""
        middle = (source + target) / 2
        room = STAGE[2 if self.many else int(self.pair)] if self.live else self.width
        half = 360 * len(text) / room
        if self.live or self.many:
            if middle + half > 99:
                return self._across(99), "end"
            if middle - half < 14 and not self.pair:
                return self._across(14), "start"
        return self._across(middle), "middle"


def _head(step: Step, way: int, gap: int, color: str) -> str:
    tip = -way * gap
    back = tip - way * 9
    css = f'class="fsts-head fsts-{step.source}"'
    if step.kind in ("reset", "refused"):
        near, far = tip - way * 2, tip - way * 10
        return (f'<path {css} d="M{near} -5L{far} 5M{near} 5L{far} -5" stroke="{color}" '
                'stroke-width="2" fill="none"/>')
    if step.kind == "eof":
        return (f'<path {css} d="M{tip - way * 2} -6V6" stroke="{color}" stroke-width="3" '
                'fill="none"/>')
    if step.kind == "gone":
        near, far = tip - way * 2, tip - way * 10
        return (f'<path {css} d="M{near} -4H{far}V4H{near}Z" stroke="{color}" stroke-width="1.6" '
                'fill="none"/>')
    if step.call or step.kind in KINDS:
        return (f'<path {css} d="M{back} -5L{tip} 0L{back} 5" stroke="{color}" '
                'stroke-width="1.6" fill="none"/>')
    return f'<path {css} fill="{color}" stroke="{color}" d="M{back} -5L{tip} 0L{back} 5Z"/>'


def still(figures: Sequence[tuple[Trace, list[Row]]], alt: str) -> str:
    """Return one diagram, or several side by side, as an image that needs no style sheet."""
    pair = len(figures) > 1
    drawings = [Drawing(trace, live=False, pair=pair) for trace, _ in figures]
    widths = [drawing.width for drawing in drawings]
    height = HEAD + ROW * max(len(rows) for _, rows in figures) + 12
    drawn = ""
    for i, (drawing, (_, rows)) in enumerate(zip(drawings, figures, strict=True)):
        drawn += (f'<g transform="translate({sum(widths[:i])} 0)">{drawing.head()}'
                  f'<g transform="translate(0 {HEAD})">{drawing.body(rows, height - HEAD)}</g></g>')
    size = f"{sum(widths)} {height}"
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{sum(widths)}" '
            f'height="{height}" viewBox="0 0 {size}" role="img" aria-label="{escape(alt)}">'
            f'<title>{escape(alt)}</title><rect width="100%" height="100%" fill="{PAPER}"/>'
            f'{drawn}</svg>')


def width(trace: Trace, pair: bool) -> int:
    """Return the width of a still in px: a front is one lane more, ASGI's messages are long."""
    wide = 80 if any(call.interface == "asgi" for call in trace.calls) else 0
    return ((NARROW if pair else WIDTH) + wide) * (4 if trace.front else 3) // 3


def described(trace: Trace) -> str:
    """Return the alt text: what is drawn, in one or two sentences."""
    return f"Sequence diagram. {trace.title()}. {trace.summary()}"
