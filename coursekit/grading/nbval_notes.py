"""A pytest plugin: write what nbval found, cell by cell, to the file COURSEKIT_NOTES names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_notes: dict[str, dict[str, str]] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note the outcome under the cell's id: cell numbers differ between nbval's versions."""
    report = yield
    cell = getattr(item, "cell", None)
    if cell is not None and (report.when == "call" or report.failed):
        outcome = "not run" if hasattr(report, "wasxfail") else str(report.outcome)
        _notes[cell.get("id", item.name)] = {"outcome": outcome, "why": _why(call.excinfo)}
    return report


def _why(excinfo: Any) -> str:
    """Return one line about a failure: the exception in the cell, else what nbval says."""
    if excinfo is None:
        return ""
    value = excinfo.value
    trace = str(getattr(value, "inner_traceback", "") or "").strip()
    said = trace.splitlines() or [str(value).strip().partition("\n")[0]]
    return COLOUR.sub("", str(said[-1]))[:300]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the notes."""
    Path(os.environ["COURSEKIT_NOTES"]).write_text(json.dumps(_notes), "utf-8")
