"""What a cell shows where a program is not on this machine: its outputs as they were recorded.

    if here("nginx"):
        ...

Rule 1  The record is the outputs that the course's own notebooks hold: tests run these cells with
        the real programs and compare. There is no second copy that could grow old.
Rule 2  What was recorded is never shown without saying so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coursekit.live.commands import missing

RECORDED = "This was recorded where it is:\n"


def here(*tools: str) -> bool:
    """Tell whether this machine has these programs (by coursekit.doctor's names).

    If not, say so, and show what the running cell once put out on a machine that has them.
    """
    problem = missing(*tools)
    if not problem:
        return True
    record = list(outputs_of(running_code()))
    print(f"{problem}. {RECORDED if record else ''}", end="" if record else "\n")
    for output in record:
        if "text" in output:
            print(output["text"], end="")
        else:
            _display(dict(output["data"]))
    return False


def outputs_of(code: str) -> Iterator[Any]:
    """Yield the outputs that a notebook of the course holds for a cell with this code."""
    from coursekit.authoring import notebooks

    for path in notebooks.notebooks("notebooks", "solutions"):
        for cell in notebooks.read(path).cells:
            if cell.cell_type == "code" and code and cell.source.strip() == code.strip():
                # A notebook that was run and saved here holds our own words before the record.
                for output in cell.outputs:
                    if "text" in output:
                        output["text"] = output["text"].rpartition(RECORDED)[2]
                    yield output
                return


def running_code() -> str:
    """Return the code of the cell that runs; "" outside a notebook."""
    import sys

    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    parent = shell.get_parent() if shell and hasattr(shell, "get_parent") else {}
    return str(parent.get("content", {}).get("code", ""))


def _display(data: dict[str, Any]) -> None:
    from IPython.display import display

    display(data, raw=True)
