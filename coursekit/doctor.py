"""What the course can use on a machine, what is missing, and the command that brings it.

Rule 1  Nothing here is installed or changed; it only looks.
Rule 2  A missing tool takes away what is said beside it, and no more: the course runs without.
"""

import platform
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

# The places outside PATH where a tool may be: this environment, Debian's servers, and
# applications on macOS.
PLACES = (
    sysconfig.get_path("scripts"),
    "/usr/sbin",
    "/usr/local/sbin",
    "/opt/homebrew/bin",
    "/opt/homebrew/opt/httpd/bin",
    "/Applications/Google Chrome.app/Contents/MacOS",
    "/Applications/Chromium.app/Contents/MacOS",
)


@dataclass(frozen=True)
class Tool:
    """Name a program, by the commands it may have, what it is for, and its packages.

    A program without packages is a part of the course's environment, which `make lab` makes.
    """

    name: str
    commands: tuple[str, ...]
    use: str
    apt: str | None = None
    dnf: str | None = None
    brew: str | None = None
    linux_only: bool = False

    def path(self) -> str | None:
        """Return where the program is, or None."""
        for command in self.commands:
            found = shutil.which(command) or shutil.which(command, path=":".join(PLACES))
            if found:
                return found
        return None

    def wanted(self) -> bool:
        """Tell whether the program exists for this system at all."""
        return not self.linux_only or sys.platform == "linux"

    def remedy(self) -> str:
        """Return the command that brings the program to this machine."""
        if not self.apt:
            return "make lab"
        for manager, package in (("brew", self.brew), ("apt-get", self.apt), ("dnf", self.dnf)):
            if package and shutil.which(manager):
                return f"{'' if manager == 'brew' else 'sudo '}{manager} install {package}"
        return f"install {self.name} with your system's packages"


CHROME = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROME_MAC = ("Google Chrome", "Chromium")
TOOLS = {
    tool.name: tool
    for tool in (
        Tool("nginx", ("nginx",), "lessons that put a proxy in front", "nginx", "nginx", "nginx"),
        Tool("uwsgi", ("uwsgi",), "lessons on uWSGI"),
        Tool("apache", ("apache2", "httpd"), "lessons on Apache", "apache2", "httpd", "httpd"),
        Tool("apxs", ("apxs",), "building mod_wsgi", "apache2-dev", "httpd-devel", "httpd"),
        Tool("mod_wsgi", ("mod_wsgi-express",), "Python inside Apache: needs apache and apxs"),
        Tool(
            "chromium",
            CHROME + CHROME_MAC,
            "the tests in a real browser",
            "chromium",
            "chromium",
            "--cask chromium",
        ),
        Tool(
            "bubblewrap",
            ("bwrap",),
            "grading other people's code (without it: limits, no walls)",
            "bubblewrap",
            "bubblewrap",
            None,
            linux_only=True,
        ),
        Tool("wrk", ("wrk",), "the speed table of make bench", "wrk", "wrk", "wrk"),
    )
}
PYTHON = (3, 11)


def report() -> int:
    """Print what is here and what is not; return 0 when nothing is missing, else 1."""
    missing = [tool for tool in TOOLS.values() if tool.wanted() and not tool.path()]
    print(f"Python {platform.python_version()} on {platform.system()}, {sys.executable}")
    for tool in TOOLS.values():
        if tool.wanted():
            mark, where = ("missing", tool.remedy()) if tool in missing else ("ok", tool.path())
            print(f"{mark:8} {tool.name:11} {tool.use}\n{'':20} {where}")
    kernel = Path(sys.prefix, "share", "jupyter", "kernels", "python3")
    if not kernel.exists():
        print("missing  kernel      no Jupyter kernel in this environment: run make lab")
    if not missing and kernel.exists():
        print("Nothing is missing.")
    return bool(missing) or not kernel.exists()
