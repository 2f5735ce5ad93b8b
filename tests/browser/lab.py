"""A JupyterLab of its own and a Chromium in front of it, for tests that do what a learner does.

Rule 1  The lab serves a copy of the notebooks: whatever is saved there, no tracked file changes.
Rule 2  Nothing waits for a time to pass, only for what a person would wait to see.
Rule 3  Stored outputs prove nothing: they are cleared before a notebook is run.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from coursekit.authoring.notebooks import ROOT
from coursekit.doctor import TOOLS

SOON, SLOW = 20_000, 120_000  # milliseconds: until something small, until a whole notebook fails
expect.set_options(timeout=SOON)
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"
NOTEBOOK = "window.jupyterapp.shell.currentWidget"
CONTENT = f"{NOTEBOOK}.content"
MODEL = f"{CONTENT}.model.toJSON()"
FOLDERS = ("notebooks", "exercises")
QUIET = ("--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--disable-gpu")
OWN = {  # what JupyterLab must keep away from the files of whoever runs the tests
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}


@dataclass(frozen=True)
class Lab:
    """Hold a running JupyterLab: its URL, its process, and where its learner's progress is."""

    url: str
    process: psutil.Process
    progress: Path

    def known(self) -> dict:
        """Return what the course knows of the learner."""
        return json.loads(self.progress.read_text("utf-8")) if self.progress.exists() else {}


@contextmanager
def jupyterlab(place: Path, base_url: str = "/") -> Iterator[Lab]:
    """Run JupyterLab on a copy of the notebooks in an empty folder; end it with its kernels."""
    for folder in FOLDERS:
        hidden = shutil.ignore_patterns(".*")
        shutil.copytree(ROOT / folder, place / "course" / folder, ignore=hidden)
    # Whether to fetch Jupyter's news is asked in a box that lies over the page.
    news = place / OWN["JUPYTERLAB_SETTINGS_DIR"] / "@jupyterlab" / "apputils-extension"
    news.mkdir(parents=True)
    (news / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}', "utf-8")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE_", "JPY_"))}
    environment = {**kept, **{name: str(place / own) for name, own in OWN.items()}}
    environment["COURSEKIT_PROGRESS"] = str(place / "progress.json")
    # Over TCP about one kernel in a hundred loses a port that was picked for it; the path of a
    # Unix socket must be short.
    runtime = environment["JUPYTER_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="lab-", dir="/tmp")
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ServerApp.port=0", f"--ServerApp.base_url={base_url}"),
        *(f"--ServerApp.root_dir={place / 'course'}", "--IdentityProvider.token="),
        *("--LabApp.news_url=None", "--LabApp.expose_app_in_browser=True"),
        "--KernelManager.transport=ipc",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    with open(place / "lab.log", "wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        url = _answering(process, Path(runtime), place / "lab.log")
        yield Lab(url, psutil.Process(process.pid), place / "progress.json")
    finally:
        _end(process)
        shutil.rmtree(runtime)


def _answering(process: subprocess.Popen, runtime: Path, log: Path) -> str:
    """Return the URL of a lab once it answers. It says itself which port it was given."""
    deadline = time.monotonic() + SLOW / 1000
    said = runtime / f"jpserver-{process.pid}.json"
    while process.poll() is None and time.monotonic() < deadline:
        try:
            url = json.loads(said.read_text("utf-8"))["url"]
            httpx.get(f"{url}api/status", trust_env=False).raise_for_status()
            return str(url)
        except (OSError, ValueError, httpx.HTTPError):
            time.sleep(0.05)
    raise RuntimeError("JupyterLab did not start:\n" + log.read_text("utf-8")[-3000:])


def _end(process: subprocess.Popen) -> None:
    """End a lab, politely, and whatever it would leave."""
    below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()  # ends its kernels too
    try:
        process.wait(15)
    finally:
        for left in psutil.wait_procs(below, timeout=5)[1]:
            left.kill()
        process.kill()
        process.wait()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the machine's Chromium without a window."""
    # A container's Chromium cannot make its sandbox as root, and it sees our own pages alone.
    arguments = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=TOOLS["chromium"].path(), args=arguments
        )
        yield browser
        browser.close()


class Desk:
    """A page with JupyterLab in it, and the moves of a person who sits there."""

    def __init__(self, page: Page, lab: Lab) -> None:
        self.page, self.lab = page, lab
        self.complaints: list[str] = []
        page.set_default_timeout(SOON)
        page.set_default_navigation_timeout(SLOW)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location.get("url", "").removeprefix(self.lab.url)
            self.complaints.append(f"{message.text} [{where}]")

    def open(self, path: str) -> None:
        """Open a notebook of the course, alone: what was open is closed, its kernel ended."""
        # A kernel that is just being restarted may already have a new name.
        self.page.evaluate(
            "window.jupyterapp?.serviceManager.sessions.shutdownAll().catch(() => null)"
        )
        self.complaints.clear()
        self.page.goto(f"{self.lab.url}lab/tree/{path}?reset")
        self.idle()

    def idle(self) -> None:
        """Wait until the kernel of the notebook has nothing to do."""
        self.page.wait_for_function(
            "window.jupyterapp?.shell.currentWidget?.sessionContext"
            "?.session?.kernel?.status === 'idle'",
            timeout=SLOW,
        )

    def do(self, command: str, **arguments: object) -> None:
        """Run a command of JupyterLab that a test needs and is not about."""
        self.page.evaluate(
            "([command, args]) => window.jupyterapp.commands.execute(command, args)"
            ".then(() => null)",
            [command, arguments],
        )

    def menu(self, *names: str) -> None:
        """Choose from the menu bar."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{names[0]}$")).click()
        for name in names[1:]:
            item = self.page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{name}$"))
            item.last.click()

    def theme(self, name: str) -> None:
        """Choose a theme, and wait until it is drawn."""
        self.menu("Settings", "Theme", name)
        chosen = self.page.locator("body")
        expect(chosen).to_have_attribute("data-jp-theme-name", name)
        expect(chosen).to_have_attribute("data-jp-theme-light", str(name == LIGHT).lower())

    def restart_and_run_all(self) -> None:
        """Press that button, and wait until every code cell has run anew."""
        self.do("notebook:clear-all-cell-outputs")  # and the numbers of the cells
        self.page.locator("[data-command='notebook:restart-run-all']").first.click()
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.wait_for_function(
            f"""() => {{
                const cells = {MODEL}.cells.filter(
                    (cell) => cell.cell_type === "code" && [cell.source].flat().join("").trim());
                return cells.every((cell) => cell.execution_count)
                    || cells.some((cell) => cell.outputs.some((o) => o.output_type === "error"));
            }}""",
            timeout=SLOW,
        )
        self.idle()

    def outputs(self) -> list[dict]:
        """Return the outputs of the notebook as it is now, saved or not."""
        cells = self.page.evaluate(MODEL)["cells"]
        return [output for cell in cells for output in cell.get("outputs", [])]

    def frames_loaded(self) -> None:
        """Wait until every page shown inside the page has come."""
        for frame in self.page.frames[1:]:
            frame.locator("body:not(:empty)").wait_for()

    def kernel(self) -> psutil.Process:
        """Return the process of the notebook's kernel."""
        known = self.page.evaluate(f"{NOTEBOOK}.sessionContext.session.kernel.id")
        found = [p for p in self.lab.process.children() if known in " ".join(p.cmdline())]
        return found[0]

    def cell(self, holding: str) -> Locator:
        """Return the code cell whose source holds a text."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").filter(
            has=self.page.locator(".jp-InputArea", has_text=holding)
        )

    def write(self, cell: Locator, text: str) -> None:
        """Replace the text of a cell, as by pasting."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(text)

    def add_cell(self, text: str) -> Locator:
        """Add a code cell at the end."""
        self.page.evaluate(f"{CONTENT}.activeCellIndex = {CONTENT}.widgets.length - 1")
        self.do("notebook:insert-cell-below")
        cell = self.page.locator(".jp-Notebook .jp-CodeCell").last
        self.write(cell, text)
        return self.cell(text.splitlines()[-1])

    def run(self, cell: Locator) -> None:
        """Run one cell by the keyboard, and wait until it is done."""
        prompt = cell.locator(".jp-InputPrompt")
        before = prompt.text_content() or ""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        expect(prompt).not_to_have_text(before)
        expect(prompt).to_have_text(re.compile(r"\[\d+\]"), timeout=SLOW)
        self.idle()
