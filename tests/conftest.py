"""What all tests share: what a machine must have for some of them, and what they leave behind."""

import os
import threading
import time

import psutil
import pytest

from coursekit.doctor import TOOLS


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "needs(tool, ...): programs of coursekit.doctor without which a test is left out "
        "(in CI, where the variable CI is set, it fails)",
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out a test that needs a program this machine has not; in CI, fail it."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if not TOOLS[name].path():
                reason = f"needs {name}; to bring it: {TOOLS[name].remedy()}"
                if os.environ.get("CI"):
                    pytest.fail(reason, pytrace=False)
                pytest.skip(reason)


@pytest.fixture(autouse=True)
def fresh_progress(tmp_path, monkeypatch):
    """Keep the tests off the progress file of whoever runs them."""
    monkeypatch.setenv("COURSEKIT_PROGRESS", str(tmp_path / "progress.json"))


@pytest.fixture(autouse=True)
def no_thread_left():
    """Fail a test that leaves a thread which would keep Python from ending."""
    before = set(threading.enumerate())
    yield
    _until_none(lambda: [t for t in threading.enumerate() if not t.daemon and t not in before])


@pytest.fixture(autouse=True, scope="module")
def no_process_left():
    """Fail a test module that leaves a process."""
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    yield
    _until_none(lambda: [c for c in me.children(recursive=True) if c.pid not in before])


def _until_none(left, seconds=5.0):
    deadline = time.monotonic() + seconds
    while left() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left(), f"left running: {left()}"
