"""nbval as this project runs it: a pytest plugin, loaded by pyproject.toml.

Rule 1  A kernel talks over sockets in a folder of its own: over tcp about one notebook in a
        hundred fails by itself, because ports are picked, let go and then lost.
Rule 2  A learner's state and the coverage of the tests stay out of the kernels.
Rule 3  A dead kernel is reported at once, and not after the time limit of the cell.
"""

import os
import shutil
import tempfile
import time
from queue import Empty
from typing import Any

import nbval.kernel
import nbval.plugin
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

_scratch: list[str] = []


def environment(scratch: str) -> dict[str, str]:
    """Return the environment of a kernel whose learner has done nothing yet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return {**kept, "COURSEKIT_PROGRESS": os.path.join(scratch, "progress.json")}


def start_new_kernel(
    startup_timeout: float = 60, kernel_name: str = "python3", **options: Any
) -> tuple[KernelManager, BlockingKernelClient]:
    """Start a kernel over ipc; return it and a client that it has answered."""
    scratch = tempfile.mkdtemp(prefix="kernel-")
    _scratch.append(scratch)
    manager = KernelManager(
        kernel_name=kernel_name,
        kernel_spec_manager=nbval.kernel.NbvalKernelspecManager(),
        transport="ipc",
        connection_file=os.path.join(scratch, "kernel.json"),
    )
    manager.start_kernel(env=environment(scratch), **options)
    options["stderr"].close()
    client: BlockingKernelClient = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=startup_timeout)
    except RuntimeError:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        raise
    return manager, client


def await_reply(self: Any, msg_id: str, timeout: float | None = None) -> None:
    """Wait for the answer to one message; raise Empty in time, RuntimeError if the kernel ends."""
    end = time.monotonic() + (timeout or float("inf"))
    while True:
        try:
            left = end - time.monotonic()
            message = self.get_message(stream="shell", timeout=min(0.5, max(0.01, left)))
        except Empty:
            if not self.is_alive():
                raise RuntimeError("the kernel ended while it ran this cell") from None
            if time.monotonic() >= end:
                raise
            continue
        if message["parent_header"].get("msg_id") == msg_id:
            return


def pytest_configure(config: pytest.Config) -> None:
    """Put the functions above in the place of nbval's own."""
    nbval.kernel.start_new_kernel = start_new_kernel
    nbval.kernel.RunningKernel.await_reply = await_reply
    nbval.plugin.setup_coverage = nbval.plugin.teardown_coverage = lambda *_: None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folders of the kernels."""
    while _scratch:
        shutil.rmtree(_scratch.pop(), ignore_errors=True)
