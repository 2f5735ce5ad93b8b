"""The rules of the house: who imports whom, how long things are, what no file may hold."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from coursekit.authoring.notebooks import ROOT

SERVERS = sorted((ROOT / "servers").rglob("*.py"))
TOY = [path for path in SERVERS if path.parent.name == "servers"]
KIT = sorted((ROOT / "coursekit").rglob("*.py"))
CODE = SERVERS + KIT
# Bytes to events, events to a call: sans-I/O.
NO_IO = {"http11", "head", "forward", "wsgi", "websocket", "wsmessages"}
IO = {"socket", "asyncio", "threading", "selectors", "select", "time"}
MOST_LINES, MOST_IN_FUNCTION, MOST_WITH_REASON = 280, 25, 40


def name(path):
    return str(path.relative_to(ROOT))


def tracked():
    """List the text files that are, or would be, in the repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:  # an unpacked archive
        hidden = {".venv", ".git", "__pycache__", "build", "report"}
        every = ROOT.rglob("*")
        return [p for p in every if p.is_file() and not hidden & set(p.relative_to(ROOT).parts)]
    return [ROOT / file for file in done.stdout.split("\0") if file and (ROOT / file).is_file()]


def imported(path):
    """Yield the top-level names of what a module imports, at any depth."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def docstring_lines(node):
    if ast.get_docstring(node, clean=False) is None:
        return 0
    return node.body[0].end_lineno - node.body[0].lineno + 1


def functions(path):
    """Yield each function of a module with its full name."""

    def walk(node, owner):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                full = f"{owner}{child.name}"
                if not isinstance(child, ast.ClassDef):
                    yield full, child
                yield from walk(child, f"{full}.")
            else:
                yield from walk(child, owner)

    return walk(ast.parse(path.read_text("utf-8")), "")


@pytest.mark.parametrize("path", TOY, ids=name)
def test_toy_imports_the_standard_library_only(path):
    tops = {module.partition(".")[0] for module in imported(path)}
    assert tops <= sys.stdlib_module_names | {"servers", ""}


@pytest.mark.parametrize("path", SERVERS, ids=name)
def test_servers_know_nothing_of_the_course(path):
    tops = {module.partition(".")[0] for module in imported(path)}
    assert not tops & {"coursekit", "apps", "notebooks", "tests"}
    allowed = sys.stdlib_module_names | {"servers", ""}
    if path.parent.name == "production":
        allowed |= {path.stem}
    assert tops <= allowed


@pytest.mark.parametrize("path", [p for p in TOY if p.stem in NO_IO], ids=name)
def test_core_has_no_io(path):
    assert not {module.partition(".")[0] for module in imported(path)} & IO


@pytest.mark.parametrize("path", CODE, ids=name)
def test_loop_is_for_its_lesson_alone(path):
    assert not {"servers.loop"} & set(imported(path))
    assert not re.search(r"from servers import .*\bloop\b", path.read_text("utf-8"))


@pytest.mark.parametrize("path", KIT, ids=name)
def test_no_lesson_is_imported(path):
    tops = {module.partition(".")[0] for module in imported(path)}
    assert not tops & {"notebooks", "solutions", "exercises", "tests"}


@pytest.mark.parametrize("path", CODE, ids=name)
def test_modules_and_functions_are_short(path):
    lines = path.read_text("utf-8").splitlines()
    found = [f"{len(lines)} lines"] if len(lines) > MOST_LINES else []
    for full, node in functions(path):
        length = node.end_lineno - node.lineno + 1 - docstring_lines(node)
        body = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        most = MOST_WITH_REASON if re.search(r"# long: \S", body) else MOST_IN_FUNCTION
        if length > most:
            found.append(f"{full} has {length} lines, {most} at most (`# long: reason` allows 40)")
    assert not found


@pytest.mark.parametrize("path", CODE, ids=name)
def test_what_is_public_says_what_it_does(path):
    tree = ast.parse(path.read_text("utf-8"))
    found = [] if ast.get_docstring(tree) or not tree.body else ["the module"]
    scopes = [tree]
    if path in KIT:  # the toy's methods are the steps of one machine, said in the class
        scopes += [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name[0] != "_"]
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    for scope in scopes:
        for node in scope.body:
            if isinstance(node, kinds) and node.name[0] != "_" and not ast.get_docstring(node):
                found.append(node.name)
    assert not found, f"no docstring: {found}"


def test_no_file_names_a_machine_or_a_registry():
    # Put together here, so that this file does not hold what it looks for.
    hosts = [f"{host}.org" for host in ("pypi", "pythonhosted", "registry.npmjs", "anaconda")]
    options = ["index" + "-url", "find" + "-links", "trusted" + "-host"]
    homes = {f"{ROOT}/", f"{Path.home()}/", f"{Path.home()}/.pyenv"}
    words = [re.escape(word) for word in hosts + options + sorted(homes)]
    pattern = re.compile("|".join(words))
    found = []
    for path in tracked():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        found += [f"{name(path)}: {match[0]}" for match in pattern.finditer(text)]
    assert not found


def run(*command):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def test_ruff():
    run("ruff", "check", "--quiet", ".")


def test_mypy_strict():
    run("mypy")
