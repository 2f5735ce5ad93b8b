"""The commands of the course: `python -m coursekit COMMAND`."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from coursekit.authoring import notebooks


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line; the usage is what --help is for."""
        self.exit(2, f"{self.prog}: {message} (try --help)\n")


def main(argv: list[str] | None = None) -> int:
    """Run one command; return 0 (all well), 1 (something found) or 2 (a wrong command line)."""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options))
    except (ValueError, OSError, RuntimeError) as error:
        print(f"coursekit: {error}", file=sys.stderr)
        return 1


def _parser() -> _Parser:
    parser = _Parser(prog="python -m coursekit", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: object, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    add("doctor", _doctor, "say what is missing on this machine, and the command that brings it")
    links = add("links", _links, "rewrite every link to the repository of the course")
    links.add_argument("--repo", metavar="OWNER/NAME", help="the new ones (default: as now)")
    matrix = add("conformance", _conformance, "score every server that is here, row by row")
    matrix.add_argument("--write", action="store_true", help="keep it in docs/conformance.md")
    add("record", _record, "make anew the traces that stand in for systems a machine may lack")
    add("exercises", _exercises, "make the exercises from the solutions")
    for name, run, text in (
        ("refresh", _refresh, "fill quoted code, make exercises, run notebooks, store outputs"),
        ("lint", _lint, "check notebooks against the rules for writing them"),
    ):
        add(name, run, text).add_argument("notebooks", nargs="*", type=Path, help="default: all")
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from coursekit.doctor import report

    return report()


def _links(options: argparse.Namespace) -> int:
    from coursekit.links import rewrite

    for path in rewrite(notebooks.ROOT, options.repo):
        print(f"{path}: links rewritten")
    return 0


def _conformance(options: argparse.Namespace) -> int:
    from coursekit.load import matrix

    found = matrix.text(matrix.measure(), matrix.measure_asgi())
    if options.write:
        return int(not matrix.FILE.write_text(found, "utf-8"))
    print(found)
    return 0


def _record(options: argparse.Namespace) -> int:
    from coursekit.flow.recorded import refresh

    for path in refresh():
        print(f"{path.name}: recorded")
    return 0


def _refresh(options: argparse.Namespace) -> int:
    from coursekit.authoring.refresh import refresh

    return not refresh(options.notebooks or notebooks.notebooks("notebooks", "solutions"))


def _lint(options: argparse.Namespace) -> int:
    from coursekit.authoring.lint import lint

    findings = [f for path in options.notebooks or notebooks.notebooks() for f in lint(path)]
    print(*findings, sep="\n", end="\n" if findings else "")
    return bool(findings)


def _exercises(options: argparse.Namespace) -> int:
    from coursekit.authoring.exercises import write_exercises

    for path in write_exercises():
        print(f"exercises/{path.name}: made from the solution")
    return 0


if __name__ == "__main__":
    sys.exit(main())
