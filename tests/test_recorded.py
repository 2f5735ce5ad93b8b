"""Recordings load, say what they are, and still tell what a real run tells."""

import pytest

from coursekit.doctor import Tool
from coursekit.flow import recorded
from coursekit.flow.picture import Flow

NAMES = [
    pytest.param(name, marks=pytest.mark.needs(*needs), id=name)
    for name, (needs, _) in recorded.RUNS.items()
]


@pytest.mark.parametrize("name", recorded.RUNS)
def test_a_recording_says_that_it_is_one(name, monkeypatch, capsys):
    monkeypatch.setattr(Tool, "path", lambda self: None)
    trace = recorded.run(name)
    assert "is not on this machine. What brings it: " in capsys.readouterr().out
    assert trace.origin.startswith("recorded on 20")
    assert trace.origin in Flow(trace).still["alt"]
    assert trace.origin in trace.mermaid()
    assert trace.table().endswith(trace.origin)
    assert {"call", "done"} <= {note["kind"] for note in trace.notes}


@pytest.mark.parametrize("name", NAMES)
def test_a_real_run_tells_the_same(name):
    real, kept = recorded.run(name), recorded.recorded(name)
    assert not real.origin
    assert real.table() == kept.table().removesuffix(f"\n{kept.origin}")


def test_files_are_what_can_be_run():
    assert {recorded._file(name) for name in recorded.RUNS} == set(recorded.FOLDER.glob("*.json"))


def test_what_is_kept_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(recorded, "FOLDER", tmp_path / "new")
    trace = recorded.Trace("x", wires=[recorded.Wire(1, 1, "client", "data", bytes(range(256)))])
    recorded.keep("A b", trace, "x 1.0")
    again = recorded.recorded("A b")
    assert (again.wires, again.notes, again.name) == (trace.wires, trace.notes, "x")


def test_refresh_wants_everything(monkeypatch):
    monkeypatch.setattr(Tool, "path", lambda self: None)
    with pytest.raises(RuntimeError, match="not on this machine"):
        recorded.refresh()
