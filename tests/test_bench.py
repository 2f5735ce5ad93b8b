"""The bench counts right, notices wrong bodies, and says when its figures are worth nothing."""

import json
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from coursekit.live import live
from coursekit.load import bench, drive, on_loop, report, rest
from coursekit.load.client import Load, NotThere, closed, read_answer
from coursekit.load.drive import Sample, Workload, WrongAnswer, parse_wrk
from coursekit.load.idle import idle
from coursekit.load.report import Result, rows, table

HELLO = bench.WORKLOADS[0]


@pytest.fixture(scope="module")
def toy():
    with live("toy", "apps.every_wsgi:app", process=True, threads=2, errors="log") as server:
        yield server


def test_report_has_its_shape(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "import_milliseconds", lambda m: report.import_milliseconds(m, 1))
    path = tmp_path / "bench.json"
    few = ["--own", "--rounds", "1", "--seconds", "0.2", "--json", str(path)]
    assert bench.main([*few, "--workloads", "hello", "--servers", "toy", bench.BASE]) == 0
    found = json.loads(path.read_text())
    assert set(found) == {"machine", "base", "workloads", "on a loop", "lines", "import_ms"}
    toy, base = found["workloads"]["hello"]
    assert (toy["server"], base["server"]) == ("toy", bench.BASE)
    for row in toy, base:
        assert {"server", "errors", "note"} <= set(row) and row["errors"] == 0
        if not row["note"]:  # the client may be the slower side: then it says so
            assert row["per_cpu"] > 0 and row["per_second"] > 0
    assert found["lines"]["http11.py"] > 100 and found["import_ms"]["servers.workers"] > 0
    assert "hello" in capsys.readouterr().out


@pytest.mark.parametrize("workload", bench.WORKLOADS, ids=lambda w: w.name)
def test_every_workload_gets_the_right_body(workload):
    with live("toy", workload.app, process=True, threads=4, errors="log") as server:
        size = drive.check(server.address, workload)
        assert size > len(workload.expected)
        request = workload.request(server.address)
        load = closed(*server.address, request, workload.expected, seconds=0.3, clients=3)
        assert load.answers > 0 and (load.wrong, load.errors) == (0, 0)


@pytest.mark.parametrize("own", [True, pytest.param(False, marks=pytest.mark.needs("wrk"))])
def test_both_generators_agree(toy, own):
    sample = drive.drive(toy.address, toy.workers[0].pid, HELLO, 1.0 - 0.8 * own, own)
    assert sample.answers > 50 and sample.errors == 0
    assert sample.server_cpu > 0 and sample.generator_cpu > 0 and sample.seconds > 0.1


@pytest.mark.parametrize("target", ["/echo/x", "/bad/raises", "/bad/too_short"])
def test_wrong_bodies_are_noticed(toy, target):
    lie = Workload("lie", "apps.every_wsgi:app", HELLO.expected, target)
    with pytest.raises(WrongAnswer):
        drive.check(toy.address, lie)
    load = closed(*toy.address, lie.request(toy.address), lie.expected, seconds=0.1, clients=2)
    assert load.wrong == load.answers > 0 or load.errors > 0


def test_a_server_with_wrong_bodies_has_no_figures():
    lie = Workload("lie", "apps.hello_wsgi:app", b"something else")
    found = bench.measure({"toy": bench.SERVERS["toy"]}, [lie], rounds=2, seconds=0.1, own=True)
    (row,) = rows(found["lie"], "toy")
    assert "expected" in row["note"] and "per_cpu" not in row
    assert "left out" in table("lie", [row])


def test_a_server_that_does_not_start_is_left_out():
    def broken(app, threads):
        return bench.Server("toy", app, bench.Child("it", lambda **_: ["false"], False, ""))

    found = bench.measure({"it": broken}, [HELLO], rounds=1, seconds=0.1)
    assert "did not start" in rows(found["hello"], "it")[0]["note"]
    assert "did not start" in bench.measure_idle({"it": broken})["it"]


@contextmanager
def canned(*answers):
    """Serve one connection for each argument: the bytes that answer every request on it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        for answer in answers:
            with suppress(ConnectionError), listener.accept()[0] as sock:
                while answer and sock.recv(65536):
                    sock.sendall(answer)
        listener.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()
    listener.close()


def test_client_counts_what_breaks():
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    with canned(b"", good) as address:  # the first connection ends without an answer
        load = closed(*address, b"GET / HTTP/1.1\r\n\r\n", b"hi", seconds=0.3, clients=1)
    assert load.errors >= 1 and load.answers > 0 and load.wrong == 0


@pytest.mark.parametrize(
    "data, ended, expected",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", False, (200, b"hi", False)),
        (b"HTTP/1.1 404 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", False,
         (404, b"", True)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x=y\r\n!\r\n"
         b"0\r\n\r\n", False, (200, b"hi!", False)),
        (b"HTTP/1.0 200 OK\r\n\r\nhi", True, (200, b"hi", True)),
    ],
    ids=["length", "close", "chunked", "until the end"],
)  # fmt: skip
def test_client_reads_every_framing_at_any_cut(data, ended, expected):
    assert read_answer(data, ended) == expected
    for cut in range(len(data)):
        with pytest.raises(NotThere):
            read_answer(data[:cut], False)


WRK = """Running 1s test @ http://127.0.0.1:1/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.06ms    1.00ms  10.00ms   90.00%
  12345 requests in 1.10s, 1.50MB read
"""


def test_parse_wrk():
    assert parse_wrk(WRK) == (Load(answers=12345, seconds=1.1), round(1.5 * 1024**2))
    broken = WRK + "  Socket errors: connect 1, read 2, write 3, timeout 4\n"
    assert parse_wrk(broken)[0].errors == 10
    with pytest.raises(WrongAnswer, match="another status"):
        parse_wrk(WRK + "  Non-2xx or 3xx responses: 12\n")
    with pytest.raises(ValueError, match="not a result"):
        parse_wrk("unable to connect")


def test_wrk_byte_count_has_to_fit(toy, monkeypatch):
    """An answer that grows after the check is not seen by wrk, but its bytes are."""
    monkeypatch.setattr(drive, "_generate", lambda *_: WRK.encode())
    with pytest.raises(WrongAnswer, match="bytes for 12345 answers"):
        drive._wrk(toy.address, HELLO, 1.0, 20, None)
    load = drive._wrk(toy.address, HELLO, 1.0, 128, None)
    assert load.answers == 12345


def sample(answers=1000, server=1.0, generator=0.2, errors=0):
    return Sample(answers, 1.0, errors, server, generator)


ON_A_LOOP = [pytest.param(each, name, id=f"{each.workload.name}, {name}")
             for each in on_loop.TABLES for name in each.servers]  # fmt: skip
ECHO = on_loop.ECHO.workload


@pytest.mark.parametrize(("table", "name"), ON_A_LOOP)
def test_servers_on_a_loop_are_driven_and_checked(table, name):
    with table.servers[name](table.workload.app, 1) as server:
        sample = drive.drive(server.address, server.workers[0].pid, table.workload, 0.2, False)
    assert sample.answers > 10 and sample.errors == 0 and sample.server_cpu > 0


def test_a_wrong_echo_is_no_figure(toy):
    with pytest.raises(WrongAnswer, match="b'HTTP/1.1 200 OK"):
        drive.check(toy.address, ECHO)
    wrong = replace(ECHO, expected=ECHO.expected[:-1] + b"y")
    with on_loop.TOY(ECHO.app, 1) as server:
        with pytest.raises(WrongAnswer, match="1 KiB WebSocket echo: "):
            drive.check(server.address, wrong)


def test_servers_on_a_loop_have_tables_of_their_own(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "import_milliseconds", lambda m: 1.0)
    few = [each._replace(servers={name: each.servers[name] for name in ("toy", each.base)})
           for each in on_loop.TABLES]  # fmt: skip
    monkeypatch.setattr(on_loop, "TABLES", few)
    path, names = tmp_path / "bench.json", [each.workload.name for each in few]
    short = ["--own", "--rounds", "1", "--seconds", "0.2", "--json", str(path)]
    assert bench.main([*short, "--workloads", *names]) == 0
    found = json.loads(path.read_text())["on a loop"]
    assert {name: [row["server"] for row in found[name]] for name in names} == {
        each.workload.name: ["toy", each.base] for each in few
    }
    shown = capsys.readouterr().out
    assert all(name in shown for name in names)


def test_ratios_are_of_medians_in_one_run():
    results = {
        "base": Result([sample(900), sample(1000), sample(5000)]),
        "fast": Result([sample(4000), sample(3000, errors=2), sample(2000)]),
    }
    base, fast = rows(results, "base")
    assert (base["ratio"], base["per_cpu"]) == (1.0, 1000)
    assert (fast["ratio"], fast["low"], fast["high"]) == (3.0, 2.0, 4.0)
    assert fast["errors"] == 2
    text = table("hello", [base, fast])
    assert "3.00" in text and "2.00 - 4.00" in text


def test_a_busy_generator_spoils_the_figures():
    busy = sample(server=0.6, generator=0.9)
    assert busy.generator_bound
    assert not sample(server=0.01, generator=0.1).generator_bound  # the app waits, nobody is busy
    results = {"base": Result([sample()]), "fast": Result([busy, busy, sample()])}
    row = rows(results, "base")[1]
    assert row["note"] == "the load generator was the limit" and "ratio" not in row
    assert rows({"fast": Result([sample()])}, "base")[0].get("ratio") is None


def test_idle_connections_are_kept_and_counted(toy):
    seen = idle(toy.address, toy.workers[0].pid, HELLO, connections=20, asks=20)
    assert (seen.wanted, seen.kept, seen.answered) == (20, 20, 1.0) and seen.slowdown > 0
    assert "20 of 20" in report.idle_table({"toy": seen, "gone": "did not start"})


def test_a_server_that_closes_keeps_none():
    found = bench.measure_idle({"x": bench.SERVERS["wsgiref"]}, connections=5, asks=3)
    assert (found["x"].kept, found["x"].answered) == (0, 1.0)


def test_what_a_server_costs_at_rest(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "import_milliseconds", lambda m: 1.0)
    few = {name: on_loop.HELLO.servers[name] for name in ("toy", "granian")}
    monkeypatch.setattr(on_loop, "HELLO", on_loop.HELLO._replace(servers=few))
    path = tmp_path / "bench.json"
    short = ["--rounds", "1", "--json", str(path), "--workloads", bench.REST, "--servers", "toy"]
    assert bench.main(short) == 0
    found = json.loads(path.read_text())["rest"]
    assert list(found) == ["toy", "toy, ASGI", "granian"]
    assert [each["processes"] for each in found.values()] == [1, 1, 2]
    assert all(each["memory"] > 2**20 and each["answers_after"] > 0 for each in found.values())
    assert "granian" in capsys.readouterr().out


def test_a_server_that_does_not_start_has_no_cost_at_rest():
    def broken():
        return bench.Server("toy", "x", bench.Child("it", lambda **_: ["false"], False, ""))

    found = rest.measure({"it": broken}, 2, lambda line: None)
    assert "did not start" in found["it"] and "left out" in rest.table(found)
