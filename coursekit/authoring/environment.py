"""environment.yml, made from the lock: Binder and conda get the same versions as `make lab`.

Rule 1  The pins stand in the file itself. With a reference to another file of the repository
        (-r, -e .) Binder would build the environment anew at every commit.
Rule 2  No hashes: the pip that conda runs would then refuse whatever conda itself installed.
"""

import re
from pathlib import Path

from packaging.requirements import Requirement

from coursekit.authoring.notebooks import ROOT

PYTHON = "3.13"
BINDER = {
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}
HEAD = f"""\
# Made from requirements.txt by `make lock`; a test fails when the two differ.
name: from-socket-to-scope
channels:
  - conda-forge
dependencies:
  - python={PYTHON}
  - pip
  - pip:
"""


def pins(lock: str, **markers: str) -> dict[str, str]:
    """Return name and version of all that a lock's text installs where these markers hold."""
    found = (Requirement(line) for line in re.findall(r"^([a-z0-9][^\\\n]*==[^\\\n]*)", lock, re.M))
    return {
        requirement.name: str(requirement.specifier).removeprefix("==")
        for requirement in found
        if requirement.marker is None or requirement.marker.evaluate({**BINDER, **markers})
    }


def environment(lock: str) -> str:
    """Return the text of environment.yml for a lock's text."""
    return HEAD + "".join(f"      - {name}=={v}\n" for name, v in pins(lock).items())


def main(root: Path = ROOT) -> None:
    """Write environment.yml beside the lock."""
    lock = (root / "requirements.txt").read_text("utf-8")
    (root / "environment.yml").write_text(environment(lock), "utf-8")


if __name__ == "__main__":
    main()
