"""Put limits on this process, then become the learner's: `python -I confined.py LIMITS COMMAND...`.

LIMITS is a JSON object {"uid": int or null, "rlimits": {"NPROC": 64, ...}}. COMMAND is the name of
a Python file to run in this process (one start-up less), or a program to become.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import sys


def confine(uid: int | None, rlimits: dict[str, int]) -> None:
    """Set resource limits and change to a user of one's own; a limit unknown here is left out."""
    for name, value in rlimits.items():
        number = getattr(resource, f"RLIMIT_{name}", None)
        if number is None:
            continue
        hard = resource.getrlimit(number)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(number, (most, most))
        except (ValueError, OSError):  # macOS refuses some; the containment line says so
            continue
    if uid is not None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)


def main() -> None:
    """Confine this process and go on as the command."""
    limits = json.loads(sys.argv[1])
    confine(limits["uid"], limits["rlimits"])
    command = sys.argv[2:]
    if not command[0].endswith(".py"):
        os.execvp(command[0], command)
    spec = importlib.util.spec_from_file_location("inside", command[0])
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()


if __name__ == "__main__":
    main()
