"""Take docs/picture.png, the picture in the README: `make picture`.

Lesson 0 in JupyterLab, of which two cells are left: the one that draws a request, and the panel.
"""

import sys
import tempfile
from pathlib import Path

from lab import LIGHT, Desk, chromium, jupyterlab
from look import undrawn_widgets
from playwright.sync_api import expect

from coursekit.authoring import notebooks

LESSON = "notebooks/00_start_here.ipynb"
SIZE = {"width": 1400, "height": 1082}


def take(target: Path) -> None:
    """Run the two cells, step to the request, send another from the panel; save the page."""
    with tempfile.TemporaryDirectory() as place, jupyterlab(Path(place)) as lab:
        lesson = Path(place, "course", LESSON)
        notebook = notebooks.read(lesson)
        notebook.cells = [c for c in notebook.cells if wanted(c.source)]
        notebooks.write(lesson, notebook)
        with chromium() as browser:
            desk = Desk(browser.new_page(viewport=SIZE), lab)
            desk.open(LESSON)
            desk.theme(LIGHT)
            desk.do("application:toggle-left-area")
            desk.restart_and_run_all()
            arrange(desk)
            desk.page.screenshot(path=target)


def wanted(source: str) -> bool:
    """Tell whether a cell belongs in the picture."""
    return source == "server" or source.startswith(("import asyncio", 'server = live("toy"'))


def arrange(desk: Desk) -> None:
    """Show the bytes of the request in the picture, and an answer in the panel."""
    page = desk.page
    assert not undrawn_widgets(page)
    page.get_by_role("button", name="Next step").click()
    panel = page.locator(".fsts-panel")
    panel.get_by_label("Path").fill("/hello")
    panel.get_by_role("button", name="Send").click()
    expect(panel.get_by_label("Response body")).to_contain_text("Hello from WSGI")
    desk.frames_loaded()
    desk.cell('server = live("toy"').evaluate("(node) => node.scrollIntoView()")
    expect(page.locator(".fsts-flow")).to_be_in_viewport()


if __name__ == "__main__":
    take(Path(sys.argv[1]))
