"""What came out of grading one notebook: one value, five forms of it.

Rule 1  The status is 0 only if every exercise passed and every cell ran as it should.
Rule 2  What could not be judged is never counted as zero: the status is 2.
"""

from __future__ import annotations

import csv
import html
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

from coursekit.grading import verdicts
from coursekit.grading.verdicts import Verdict

COLUMNS = ("notebook", "status", "earned", "points", "not_judged", "warnings", "outcomes")


@dataclass(frozen=True)
class Report:
    """Hold the result for one submitted notebook; `problem` says why it could not be graded."""

    notebook: str
    verdicts: tuple[Verdict, ...] = ()
    titles: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    ran: bool = True
    containment: str = ""
    problem: str = ""

    @property
    def earned(self) -> int:
        """Points of all checks that passed."""
        return sum(verdict.earned for verdict in self.verdicts)

    @property
    def points(self) -> int:
        """Points that could be had; those of what could not be judged among them."""
        return sum(verdict.points for verdict in self.verdicts)

    @property
    def not_judged(self) -> int:
        """How many exercises could not be judged."""
        return sum(verdict.outcome == verdicts.NOT_JUDGED for verdict in self.verdicts)

    @property
    def status(self) -> int:
        """0: all passed and all ran. 1: not all. 2: could not be graded, wholly or in part."""
        if self.problem or not self.verdicts or self.not_judged or not self.ran:
            return 2
        passed = all(verdict.outcome == verdicts.PASSED for verdict in self.verdicts)
        return 0 if passed and not self.findings else 1

    @property
    def headline(self) -> str:
        """One line about the whole."""
        if self.problem:
            return f"could not be graded: {self.problem}"
        passed = sum(verdict.outcome == verdicts.PASSED for verdict in self.verdicts)
        line = f"{self.earned} of {self.points} points"
        line += f", {passed} of {len(self.verdicts)} exercises passed"
        if self.status == 0:
            return f"all passed: {self.earned} of {self.points} points"
        if self.not_judged:
            line += f"; {self.not_judged} could not be judged: grade again, this is no zero"
        if not self.ran:
            line += "; the notebook could not be run with nbval: grade again"
        elif self.findings:
            line += f"; {len(self.findings)} cells did not run as they should"
        return line

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as data."""
        return {
            "notebook": self.notebook,
            "status": self.status,
            "headline": self.headline,
            "earned": self.earned,
            "points": self.points,
            "problem": self.problem,
            "exercises": [
                verdict.as_dict() | {"title": self.titles.get(verdict.slug, "")}
                for verdict in self.verdicts
            ],
            "warnings": list(self.warnings),
            "findings": list(self.findings),
            "ran": self.ran,
            "containment": self.containment,
        }

    def json(self) -> str:
        """Return it as JSON."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False) + "\n"

    def csv_line(self) -> str:
        """Return it as one line for a gradebook, in the order of COLUMNS."""
        outcomes = "; ".join(f"{one.slug}={one.outcome}" for one in self.verdicts)
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerow(
            [
                self.notebook,
                self.status,
                self.earned,
                self.points,
                self.not_judged,
                len(self.warnings) + len(self.findings),
                self.problem or outcomes,
            ]  # fmt: skip
        )
        return out.getvalue()

    def junit(self) -> str:
        """Return it as JUnit XML: a test case for each check."""
        suite = xml.Element("testsuite", name=self.notebook)
        counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
        for verdict in self.verdicts:
            for result in verdict.results or (None,):
                counts["tests"] += 1
                name = result.name if result else verdict.slug
                case = xml.SubElement(suite, "testcase", classname=verdict.slug, name=name)
                self._junit_outcome(case, verdict, result, counts)
        if self.problem:
            counts["errors"] += 1
            case = xml.SubElement(suite, "testcase", classname=self.notebook, name="grade")
            xml.SubElement(case, "error", message=self.problem)
        suite.attrib.update({name: str(count) for name, count in counts.items()})
        return xml.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"

    def _junit_outcome(
        self, case: xml.Element, verdict: Verdict, result: Any, counts: dict[str, int]
    ) -> None:
        outcome = result.outcome if result else verdict.outcome
        if outcome == verdicts.PASSED:
            return
        kinds = {verdicts.FAILED: "failure", verdicts.NOT_ATTEMPTED: "skipped"}
        kind = kinds.get(outcome, "error")
        counts["skipped" if kind == "skipped" else f"{kind}s"] += 1
        xml.SubElement(case, kind, message=outcome).text = _legal(str(verdict))

    def html(self) -> str:
        """Return a page for the learner: no script, readable in light and dark."""
        parts = [
            f"<h1>{html.escape(self.notebook)}</h1><p><strong>{html.escape(self.headline)}</strong></p>"
        ]
        for verdict in self.verdicts:
            title = self.titles.get(verdict.slug, verdict.slug)
            parts.append(f"<h2>{html.escape(title)}: {verdict.outcome}</h2>")
            parts.append(f"<pre>{html.escape(str(verdict))}</pre>")
        for heading, lines in (("Warnings", self.warnings), ("Cells", self.findings)):
            if lines:
                items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
                parts.append(f"<h2>{heading}</h2><ul>{items}</ul>")
        parts.append(f"<footer><p>{html.escape(self.containment)}</p></footer>")
        return PAGE.format(title=html.escape(self.notebook), body="\n".join(parts))

    def write(self, folder: Path) -> None:
        """Write NAME.json, NAME.xml, NAME.csv and NAME.html into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        name = Path(self.notebook).stem
        head = ",".join(COLUMNS) + "\n"
        for kind, text in (
            ("json", self.json()), ("xml", self.junit()),
            ("csv", head + self.csv_line()), ("html", self.html()),
        ):  # fmt: skip
            (folder / f"{name}.{kind}").write_text(text, "utf-8")


PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; }}
pre {{ overflow-x: auto; padding: .75rem; border: 1px solid; border-radius: .3rem; }}
</style></head>
<body><main>
{body}
</main></body></html>
"""


def _legal(text: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return "".join(char if char in "\t\n" or char.isprintable() else "?" for char in text)
