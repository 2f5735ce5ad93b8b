"""The pool: who leads, when the lead is passed on, and what a bug in it does."""

import threading

import pytest

from apps.hello_wsgi import app
from coursekit.live import live
from servers import pool, workers


def test_a_bug_in_the_pool_ends_the_serving_and_is_raised(monkeypatch):
    def broken(self):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(pool.Pool, "watch", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        workers.serve_threads(workers.listen(), app, threads=2)


def test_the_lead_is_passed_on_once_and_only_by_one_who_is_in_the_app():
    listener = workers.listen()
    crew = pool.Pool(listener, workers.Service(app, {}), None)
    with crew.selector, listener:
        crew.lead.acquire()
        crew.pass_lead(crew.term)  # it waits in the selector: nobody is held up
        assert crew.lead.locked()
        crew.since = 1.0
        crew.pass_lead(crew.term)
        assert not crew.lead.locked() and crew.term == 1
        crew.since = 2.0
        crew.pass_lead(0)  # that term is over
        assert crew.since == 2.0 and crew.term == 1


@pytest.mark.parametrize("wary", [0, pool.WARY], ids=["trusted", "wary"])
def test_a_stuck_app_holds_up_nobody(monkeypatch, wary):
    release, inside = threading.Event(), threading.Event()

    def stuck(environ, start_response):
        if environ["PATH_INFO"] == "/stuck":
            inside.set()
            assert release.wait(20)
        return app(environ, start_response)

    real = pool.Pool.__init__

    def begin(self, *arguments):
        real(self, *arguments)
        self.wary = wary

    monkeypatch.setattr(pool.Pool, "__init__", begin)
    with live("toy", stuck, threads=2) as server:
        first = threading.Thread(target=server.get, args=("/stuck",))
        first.start()
        assert inside.wait(20)
        answers = [server.get("/").status_code for _ in range(3)]
        release.set()
        first.join()
    assert answers == [200, 200, 200]
