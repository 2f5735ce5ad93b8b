"""What a learner presses and types: panel, picture, predictions, an exercise; a dead kernel.

All of it under a base URL like a Hub's, so that every link and frame proves that it works there;
test_lessons.py does the same lessons at the root.
"""

import re
import socket

import psutil
import pytest
from lab import DARK, LIGHT
from look import OUTPUTS, barriers, pale, undrawn_widgets
from playwright.sync_api import expect

pytestmark = pytest.mark.needs("chromium")

BASE_URL = "/user/someone@example.org/"
LESSON, EXERCISES = "notebooks/00_start_here.ipynb", "exercises/00_start_here.ipynb"
ANSWER = r'request = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"'
# Keeps what a status said in passing: "restarting" is gone before a test could look.
LISTEN = """(node) => {
    window.said = [];
    new MutationObserver(() => window.said.push(node.textContent))
        .observe(node, {childList: true, characterData: true, subtree: true});
}"""
SAID = "(words) => words.every((word) => window.said.includes(word))"


@pytest.fixture(scope="module")
def lesson(desk):
    """Run lesson 0 once; the tests of its widgets share it."""
    desk.open(LESSON)
    desk.restart_and_run_all()
    assert not undrawn_widgets(desk.page)
    return desk


@pytest.fixture
def panel(lesson):
    return _in_view(lesson.page.locator(".fsts-panel[aria-label='Server toy']"))


@pytest.fixture
def picture(lesson):
    return _in_view(lesson.page.locator(".fsts-flow").first)


def _in_view(place):
    """Scroll there: the notebook does not draw what is far away, so it has no roles either."""
    place.scroll_into_view_if_needed()
    return place


# The panel


def test_panel_shows_the_page_through_the_proxy(lesson, panel):
    lesson.frames_loaded()
    frame = panel.locator("iframe")
    url = frame.get_attribute("src")
    assert re.fullmatch(re.escape(BASE_URL) + r"proxy/\d+/", url)
    expect(frame.content_frame.locator("body")).to_have_text("Hello from WSGI")
    with lesson.page.expect_popup() as opened:
        panel.get_by_role("link", name="Open in a new tab").click()
    expect(opened.value.locator("body")).to_have_text("Hello from WSGI")
    assert opened.value.url.endswith(url)
    opened.value.close()


def test_panel_stops_starts_and_restarts(lesson, panel):
    state = panel.locator(".fsts-state")
    state.evaluate(LISTEN)
    panel.get_by_role("button", name="Stop").click()
    expect(state).to_have_text("stopped")
    expect(panel.get_by_text("The server does not run.")).to_be_visible()
    expect(panel.locator("iframe")).to_be_hidden()
    expect(panel.get_by_role("button", name="Send")).to_be_disabled()
    panel.get_by_role("button", name="Start", exact=True).click()
    expect(state).to_have_text("running")
    panel.get_by_role("button", name="Restart").click()
    lesson.page.wait_for_function(SAID, arg=["stopping", "stopped", "starting", "restarting"])
    expect(state).to_have_text("running")
    expect(panel.locator("iframe").content_frame.locator("body")).to_have_text("Hello from WSGI")
    # A thread of the kernel is not a worker to be killed.
    expect(panel.get_by_role("button", name="Kill a worker")).to_be_disabled()


def test_request_box_by_keyboard_alone(lesson, panel):
    press = lesson.page.keyboard.press
    path = panel.get_by_label("Path")
    panel.get_by_role("button", name="Restart").focus()
    while not path.evaluate("(node) => node === document.activeElement"):
        inside = "(panel) => panel.contains(document.activeElement)"
        assert panel.evaluate(inside), "the path cannot be reached with Tab"
        press("Tab")
    press("ControlOrMeta+a")
    lesson.page.keyboard.type("/hello?by=keyboard")
    press("Enter")
    expect(panel.locator(".fsts-status")).to_have_text("HTTP/1.1 200 OK")
    expect(panel.get_by_label("Response headers")).to_contain_text("Content-Length: 16")
    expect(panel.get_by_label("Response body")).to_have_text("Hello from WSGI\n")
    press("Shift+Tab")  # to the method
    press("h")
    expect(panel.get_by_label("Method")).to_have_value("HEAD")
    press("Tab")
    press("Enter")
    expect(panel.get_by_label("Response body")).to_be_hidden()
    expect(panel.locator(".fsts-status")).to_have_text("HTTP/1.1 200 OK")
    # The keys went to the panel, not to the notebook around it.
    assert lesson.page.locator(".jp-Notebook .jp-CodeCell .fsts-panel").count() == 1


def test_panel_kills_a_worker(lesson):
    cell = lesson.add_cell('live("gunicorn", workers=2)')
    lesson.run(cell)
    panel = cell.locator(".fsts-panel")
    expect(panel.locator("tbody tr")).to_have_count(3)
    panel.get_by_role("button", name="Kill a worker").click()
    expect(panel.get_by_role("alert")).to_have_text(re.compile(r"Killed process \d+\."))
    killed = re.search(r"\d+", panel.get_by_role("alert").text_content())[0]
    expect(panel.locator("tbody")).not_to_contain_text(killed)
    expect(panel.locator("tbody tr")).to_have_count(3)  # the master has replaced it
    expect(panel.locator("tbody")).to_contain_text("master")
    expect(panel.locator(".fsts-state")).to_have_text("running")


def test_panel_sends_signals(lesson):
    cell = lesson.add_cell('live("gunicorn", workers=2)  # for its signals')
    lesson.run(cell)
    panel = cell.locator(".fsts-panel")
    roles = panel.locator("tbody td:first-child")
    expect(roles).to_have_text(["master", "\u2514 worker", "\u2514 worker"])
    panel.get_by_role("button", name="TTIN: one worker more").click()
    expect(panel.get_by_role("alert")).to_have_text(re.compile(r"Sent SIGTTIN to process \d+\."))
    expect(roles).to_have_count(4)
    # TERM would wait for the connections that the page in the panel may keep.
    panel.get_by_role("button", name="INT: end at once").press("Enter")
    expect(panel.locator(".fsts-state")).to_have_text("stopped")
    expect(panel.get_by_role("group", name="Signals to the master")).to_be_hidden()


# The picture


def test_picture_by_keyboard_alone(lesson, picture):
    press = lesson.page.keyboard.press
    place, pane = picture.locator(".fsts-place"), picture.get_by_label("The step in detail")
    stage = picture.get_by_label("Steps: left and right")
    active = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    picture.get_by_role("button", name="Hex").focus()
    at = lesson.page.evaluate(active)
    press("Tab")
    expect(stage).to_be_focused()
    press("Home")
    expect(place).to_have_text("1 of 10")
    press("ArrowRight")
    expect(place).to_have_text("2 of 10")
    expect(pane).to_contain_text(r"GET /hello HTTP/1.1\r\n")
    expect(picture.locator(".fsts-now")).to_have_attribute("data-row", "1")
    expect(picture.locator("[aria-live]")).to_contain_text("Step 2.")
    press("ArrowDown")
    expect(pane).to_contain_text("PATH_INFO")
    press("ArrowLeft")
    expect(place).to_have_text("2 of 10")
    press("End")
    expect(place).to_have_text("10 of 10")
    press("Tab")
    expect(pane).to_be_focused()
    assert lesson.page.evaluate(active) == at  # the notebook did not take the arrow keys


def test_picture_by_its_buttons(picture):
    place, pane = picture.locator(".fsts-place"), picture.get_by_label("The step in detail")
    back, on = (picture.get_by_role("button", name=f"{name} step") for name in ("Previous", "Next"))
    picture.locator("[data-row='0'] .fsts-band").click()
    expect(place).to_have_text("1 of 10")
    expect(back).to_be_disabled()
    on.click()
    expect(place).to_have_text("2 of 10")
    hexadecimal = picture.get_by_role("button", name="Show bytes as hexadecimal")
    hexadecimal.click()
    expect(hexadecimal).to_have_attribute("aria-pressed", "true")
    expect(pane).to_contain_text("0000  47 45 54 20 2f 68 65 6c 6c 6f")
    hexadecimal.click()
    expect(pane).to_contain_text("GET /hello")
    rows = picture.locator("svg.fsts-steps")
    even = rows.get_attribute("height")
    scale = picture.get_by_role("button", name="Space the steps to scale in time")
    scale.click()
    expect(scale).to_have_attribute("aria-pressed", "true")
    expect(rows).not_to_have_attribute("height", even)
    scale.click()
    expect(rows).to_have_attribute("height", even)
    back.click()
    expect(place).to_have_text("1 of 10")
    picture.get_by_text("The same as text").click()
    expect(picture.locator("details pre")).to_contain_text("GET /hello")


# Names of its own: the lesson's go on being used.
MANY = """
from coursekit import flow
with live("gunicorn", watch=True) as behind, live("nginx", upstream=behind) as front:
    with flow.record(front, processes=True) as reload:
        reload.get("/hello")
        behind.kill("master", 1)
        reload.wait(starts=1, ends=1)
flow.show(reload)
"""


@pytest.mark.needs("nginx")
def test_picture_of_a_reload_behind_nginx(lesson):
    cell = lesson.add_cell(MANY.strip())
    lesson.run(cell)
    drawn = _in_view(cell.locator(".fsts-flow"))
    titles = drawn.locator("svg.fsts-lanes text:not(.fsts-clock)")
    expect(titles).to_have_text(["you", "client", "nginx", "arbiter", "worker 1", "app 1",
                                 "worker 2"])
    expect(drawn.locator(".fsts-legend")).to_contain_text("a process: start, signal, log; end")
    drawn.get_by_label("Steps: left and right").focus()
    lesson.page.keyboard.press("End")
    pane = drawn.get_by_label("The step in detail")
    while "SIGHUP" not in pane.text_content():
        assert not drawn.locator(".fsts-place").text_content().startswith("1 of")
        lesson.page.keyboard.press("ArrowLeft")
    expect(pane).to_contain_text("you → gunicorn arbiter")
    for theme in (DARK, LIGHT):
        lesson.theme(theme)
        assert not barriers(lesson.page, OUTPUTS)
        assert not pale(lesson.page)


# Predictions, both themes, and the exercise


@pytest.mark.parametrize(
    "choice, verdict",
    [
        ("400 Bad Request", "You predicted it: 400 Bad Request"),
        ("200, as before", "You predicted: 200, as before. What did you think"),
    ],
)
def test_prediction_is_compared(lesson, choice, verdict):
    asked = lesson.cell('predict("no-host"').locator(".jp-OutputArea-output")
    asked.get_by_label(choice).focus()
    lesson.page.keyboard.press("Space")
    expect(asked).to_contain_text(f"Your prediction: {choice}")
    shown = lesson.cell('reveal("no-host"')
    lesson.run(shown)
    expect(shown).to_contain_text(verdict)
    assert lesson.lab.known()["predictions"]["no-host"]["predicted"] == choice


@pytest.mark.parametrize("theme", [DARK, LIGHT])
def test_lesson_can_be_read(lesson, panel, theme):
    lesson.theme(theme)
    panel.get_by_role("button", name="Send").click()
    expect(panel.locator(".fsts-response")).to_be_visible()
    assert not barriers(lesson.page, OUTPUTS)
    assert not pale(lesson.page)


def test_exercise_from_stub_to_board(desk):
    desk.open(EXERCISES)
    desk.restart_and_run_all()
    answer, judged = desk.cell("# exercise: first-request"), desk.cell('check("first-request")')
    said = judged.get_by_role("status")
    known = lambda: desk.lab.known()["exercises"]["first-request"]  # noqa: E731
    expect(judged).to_contain_text("first-request: not attempted")

    judged.get_by_role("button", name="Hint").click()
    expect(said).to_contain_text("Hint 1 of 3:")
    judged.get_by_role("button", name="Hint").click()
    expect(said).to_contain_text("Hint 2 of 3:")
    assert known()["hints"] == 2
    judged.get_by_role("button", name="Solution").click()
    expect(said).to_contain_text("It is counted.")
    judged.get_by_role("button", name="Not yet").click()
    assert "solution_seen" not in known()
    judged.get_by_role("button", name="Solution").click()
    judged.get_by_role("button", name="Show it").click()
    expect(said).to_contain_text("Host: localhost")
    assert known()["solution_seen"] is True

    desk.write(answer, f"# exercise: first-request\n{ANSWER}")
    desk.run(answer)
    judged.get_by_role("button", name="Check again").click()
    expect(said).to_contain_text("first-request: passed, 5 of 5 points")
    desk.run(judged)
    expect(judged).to_contain_text("first-request: passed, 5 of 5 points")
    board = desk.add_cell("progress()")
    desk.run(board)
    row = board.get_by_role("row", name="first-request")
    expect(row).to_contain_text(re.compile(r"passed\s*5 of 5\s*2\s*seen"))
    for theme in (DARK, LIGHT):
        desk.theme(theme)
        assert not barriers(desk.page, OUTPUTS)

    judged.get_by_role("button", name="Reset").click()
    expect(said).to_contain_text('request = b""')
    desk.run(board)
    expect(row).to_contain_text("open")
    assert "passed" not in known()


# The end


START = """
from coursekit.live import live
held = [live("toy"), live("toy", process=True), live("gunicorn", workers=2), live("waitress")]
print(*[server.address[1] for server in held])
"""


@pytest.mark.parametrize("way", ["menu", "kill"])
def test_no_server_outlives_its_kernel(desk, way):
    desk.open(EXERCISES)
    cell = desk.add_cell(START.strip())
    desk.run(cell)
    ports = [int(port) for port in cell.locator(".jp-OutputArea-output").text_content().split()]
    kernel = desk.kernel()
    servers = kernel.children(recursive=True)
    assert len(ports) == 4 and len(servers) >= 8  # a shim each, a server each, workers
    assert all(map(_answers, ports))
    if way == "menu":
        desk.menu("Kernel", "Restart Kernel…")
        desk.page.locator(".jp-Dialog .jp-mod-accept").click()
    else:
        kernel.kill()
    _, alive = psutil.wait_procs([kernel, *servers], timeout=20)
    assert not alive
    assert not any(map(_answers, ports))


def _answers(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
