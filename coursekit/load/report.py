"""Turn samples into ratios, and ratios into tables: the part of a bench that people read."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .drive import Sample, cores, have_wrk
from .idle import Idle

ROOT = Path(__file__).resolve().parents[2]
Row = dict[str, Any]


@dataclass
class Result:
    """Collect one server's rounds of one workload."""

    samples: list[Sample] = field(default_factory=list)
    problem: str = ""

    @property
    def errors(self) -> int:
        """Return how many connections failed in all rounds."""
        return sum(sample.errors for sample in self.samples)

    @property
    def note(self) -> str:
        """Say why the figures do not count; "" if they do."""
        if self.problem or not self.samples:
            return self.problem or "not measured"
        bound = 2 * sum(s.generator_bound for s in self.samples) > len(self.samples)
        return "the load generator was the limit" if bound else ""

    def middle(self, figure: Callable[[Sample], float]) -> float:
        """Return the median of a figure over the rounds; 0 if the figures do not count."""
        return 0.0 if self.note else median(map(figure, self.samples))


def rows(results: dict[str, Result], base: str) -> list[Row]:
    """Return a row of figures for each server of one workload, with ratios to server `base`."""
    unit = results[base].middle(lambda s: s.per_cpu) if base in results else 0.0
    found = []
    for server, result in results.items():
        row: Row = {"server": server, "errors": result.errors, "note": result.note}
        if not result.note:
            each = sorted(sample.per_cpu for sample in result.samples)
            row["per_cpu"] = round(median(each))
            row["per_second"] = round(result.middle(lambda s: s.answers / s.seconds))
            if unit:
                row["ratio"] = round(median(each) / unit, 2)
                row["low"], row["high"] = round(each[0] / unit, 2), round(each[-1] / unit, 2)
        found.append(row)
    return found


def table(name: str, found: list[Row]) -> str:
    """Return the rows of one workload as text."""
    lines = [f"{name:20}{'ratio':>7}{'from - to':>16}{'per CPU-s':>11}{'per s':>9}{'errors':>8}"]
    for row in found:
        if row["note"]:
            lines.append(f"  {row['server']:18}  left out: {row['note']}")
            continue
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else "-"
        spread = f"{row['low']:.2f} - {row['high']:.2f}" if "ratio" in row else "-"
        line = f"  {row['server']:18}{ratio:>7}{spread:>16}"
        lines.append(line + f"{row['per_cpu']:>11}{row['per_second']:>9}{row['errors']:>8}")
    return "\n".join(lines)


def idle_table(found: dict[str, Idle | str]) -> str:
    """Return what idle connections cost as text; a str in place of figures says why not."""
    titles = ("kept", "KiB each", "slower by", "answered")
    lines = [f"{'idle connections':20}{titles[0]:>14}{titles[1]:>10}{titles[2]:>11}{titles[3]:>10}"]
    for server, seen in found.items():
        if isinstance(seen, str):
            lines.append(f"  {server:18}  left out: {seen}")
            continue
        kept = f"{seen.kept} of {seen.wanted}"
        each = f"{seen.bytes_each / 1024:.1f}" if seen.kept else "-"
        slower = f"{seen.slowdown:.2f}" if seen.slowdown else "-"
        lines.append(f"  {server:18}{kept:>14}{each:>10}{slower:>11}{seen.answered:>10.0%}")
    return "\n".join(lines)


def machine(own: bool) -> dict[str, str]:
    """Say on what the figures were taken."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "generator": "coursekit.load.client" if own or not have_wrk() else "wrk",
        "pinned": "a core each" if cores() else "no: this system cannot, or has one core",
    }


def sizes() -> dict[str, int]:
    """Return the number of lines of each module of the toy."""
    modules = sorted((ROOT / "servers").glob("*.py"))
    return {m.name: len(m.read_text("utf-8").splitlines()) for m in modules if m.stem != "__init__"}


def import_milliseconds(module: str, rounds: int = 5) -> float:
    """Return the least time that importing a module took in a fresh interpreter."""
    code = (
        "import time; began = time.perf_counter(); "
        f"import {module}; print(time.perf_counter() - began)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
        for _ in range(rounds)
    ]
    return round(1000 * min(float(run.stdout) for run in runs), 1)
