"""Where the course lives: owner and name stand in pyproject.toml, every link follows them.

Rule 1  A link is a GitHub, nbviewer or Binder address with the name that stands there now.
Rule 2  Rewriting to the same name changes nothing.
"""

import re
import tomllib
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+")
HOSTS = r"(?:github\.com|raw\.githubusercontent\.com|mybinder\.org/v2/gh|nbviewer\.org/github)/"
SETTING = re.compile(r'^(repository = ")[^"]*(")$', re.M)
FILES = ("*.md", "docs/*.md", "*/*.ipynb", "coursekit/**/*.py")


def repository(root: Path) -> str:
    """Return the OWNER/NAME that pyproject.toml gives."""
    settings = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    return str(settings["tool"]["course"]["repository"])


def rewrite(root: Path, new: str | None = None) -> list[str]:
    """Point every link at OWNER/NAME (as now, when new is None); return the files that changed.

    Raises ValueError when new is not of that form.
    """
    old = repository(root)
    new = new or old
    if not NAME.fullmatch(new):
        raise ValueError(f"a repository is OWNER/NAME, not {new!r}")
    link = re.compile(rf"({HOSTS}){re.escape(old)}(?![\w-]|\.\w)")
    paths = [path for pattern in FILES for path in sorted(root.glob(pattern))]
    changed = [path for path in paths if _write(path, link, rf"\g<1>{new}")]
    if _write(root / "pyproject.toml", SETTING, rf"\g<1>{new}\g<2>"):
        changed.append(root / "pyproject.toml")
    return [str(path.relative_to(root)) for path in changed]


def _write(path: Path, pattern: re.Pattern[str], to: str) -> bool:
    before = path.read_text("utf-8")
    after = pattern.sub(to, before)
    if after != before:
        path.write_text(after, "utf-8")
    return after != before
