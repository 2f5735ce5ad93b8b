"""A course of three small exercises for tests: a function, a server, a choice."""

from pathlib import Path

import nbformat
from nbformat import v4

START = "from coursekit.practice import check"
SETUP = "import socket"

COUNT = '''# exercise: count-crlf
# installs: servers.http11.count
def count(data: bytes) -> int:
    """Count the line ends in data."""
    ### BEGIN SOLUTION
    return data.count(b"\\r\\n")
    ### END SOLUTION'''

COUNT_CHECKS = """# checks: count-crlf
from coursekit.grading import check, expect

def lines(answer, n):
    return b"".join(answer.random.randbytes(3).replace(b"\\r", b"x") + b"\\r\\n" for _ in range(n))

@check("one line end", hint="Which two bytes end a line?", clause="RFC 9112 2.2")
def one(answer):
    expect(answer.call("count", b"GET / HTTP/1.1\\r\\n"), 1)

@check("many line ends", points=2, hint="Do you stop at the first?")
def many(answer):
    n = answer.random.randint(5, 50)
    early = lambda got: "it stops early" if got == 1 else None
    expect(answer.call("count", lines(answer, n)), n, likely=early)
"""

COUNT_WRONG = [
    """# wrong: count-crlf
# because: counts bytes
# fails: expected  1
def count(data):
    return len(data)""",
    """# wrong: count-crlf
# because: finds only the first
# fails: it stops early
def count(data):
    return 1""",
    """# wrong: count-crlf
# because: forgets the return
# fails: nothing was returned
def count(data):
    data.count(b"\\r\\n")""",
]

ECHO = '''# exercise: echo
def echo(listener: socket.socket) -> None:
    """Serve one connection: send back what comes until the client ends."""
    ### BEGIN SOLUTION
    connection, _ = listener.accept()
    with connection:
        while data := connection.recv(1024):
            connection.sendall(data)
    ### END SOLUTION'''

ECHO_CHECKS = """# checks: echo
from coursekit.grading import check, expect
import socket

@check("what was sent comes back", points=2, hint="How much does one recv return?", limit=3)
def back(answer):
    data = answer.random.randbytes(4000)
    with answer.serve_with("echo") as server:
        with socket.create_connection(server.address, timeout=2) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            got = b"".join(iter(lambda: client.recv(65536), b""))
    expect(got, data)
"""

ECHO_WRONG = [
    """# wrong: echo
# because: reads once
# fails: it stops too soon: 1024 of 4000
def echo(listener):
    connection, _ = listener.accept()
    with connection:
        connection.sendall(connection.recv(1024, socket.MSG_WAITALL))
        connection.recv(100000, socket.MSG_WAITALL)""",
    """# wrong: echo
# because: never sends
# fails: nothing came
def echo(listener):
    connection, _ = listener.accept()
    with connection:
        while connection.recv(1024):
            pass""",
    """# wrong: echo
# because: sends text
# fails: an exception in a thread
def echo(listener):
    connection, _ = listener.accept()
    with connection:
        while data := connection.recv(1024):
            pass
        connection.sendall(str(data))""",
]

WHO = """# exercise: who
### BEGIN SOLUTION
#: choice = None  # "client", "server" or "both"
choice = "client"
### END SOLUTION"""

WHO_CHECKS = """# checks: who
from coursekit.grading import check, expect

@check("who speaks first", hint="Who has the question?")
def first(answer):
    expect(answer.value("choice"), "client", secret=True)
"""

WHO_WRONG = [
    f"# wrong: who\n# because: {because}\n# fails: got       {value!r}\nchoice = {value!r}"
    for because, value in [("guesses", "server"), ("hedges", "both"), ("invents", "nobody")]
]


def tagged(cell, *tags):
    cell.metadata["tags"] = list(tags)
    return cell


def exercise(slug, title, answer, checks, hints, wrong):
    """Return the cells of one exercise."""
    ordered = "\n".join(f"{number}. {hint}" for number, hint in enumerate(hints, 1))
    return [
        v4.new_markdown_cell(f"## {title}\n\nDo it."),
        v4.new_code_cell(answer),
        v4.new_code_cell(f'check("{slug}")'),
        tagged(v4.new_raw_cell(checks), "checks"),
        tagged(v4.new_markdown_cell(f"<!-- hints: {slug} -->\n{ordered}"), "hints"),
        *(tagged(v4.new_raw_cell(text), "wrong") for text in wrong),
    ]


def notebook():
    """Return the solution notebook, with cell ids that stay."""
    made = v4.new_notebook(
        cells=[
            v4.new_markdown_cell("# A sample lesson"),
            v4.new_code_cell(START),
            tagged(v4.new_code_cell(SETUP), "setup"),
            *exercise(
                "count-crlf",
                "Count",
                COUNT,
                COUNT_CHECKS,
                ["What ends a line?", "count()"],
                COUNT_WRONG,
            ),
            *exercise("echo", "Echo", ECHO, ECHO_CHECKS, ["Once?", "Loop until b''."], ECHO_WRONG),
            *exercise("who", "Who", WHO, WHO_CHECKS, ["Who asks?", "Not the server."], WHO_WRONG),
        ]
    )
    for number, cell in enumerate(made.cells):
        cell.id = f"cell-{number}"
    made.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return made


def write_course(root: Path) -> Path:
    """Write the sample course under root and return the path of its solution notebook."""
    path = root / "solutions" / "90_sample.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebook(), path)
    return path


def write_notebook(path: Path, cells: list) -> Path:
    """Write a notebook of these cells."""
    nbformat.write(v4.new_notebook(cells=cells), path)
    return path
