"""What is wrong with a notebook as the browser shows it."""

from collections.abc import Iterator
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

OUTPUTS = ".jp-Notebook .jp-OutputArea-output"
AXE = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
}

# A widget's place in the page, matched with the model: a page that cannot draw a widget shows its
# text instead, which has no place marked as a widget's.
WIDGETS = """() => {
    const FAILED = /Loading widget|Error (displaying|creating) widget|Javascript error/i;
    const found = [];
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.widgets.forEach((cell, number) => {
        const outputs = cell.model.type === "code" ? cell.outputArea.model.toJSON() : [];
        outputs.forEach((output, place) => {
            if (!output.data?.["application/vnd.jupyter.widget-view+json"]) return;
            const child = cell.outputArea.widgets[place].node;
            const shown = child.querySelector(".jp-OutputArea-output");
            const text = shown ? shown.textContent : "";
            const leaves = shown ? [shown, ...shown.querySelectorAll(".lm-Widget")] : [];
            const empty = leaves.filter((leaf) => !leaf.children.length && !leaf.textContent.trim()
                && !leaf.matches(".widget-box"));
            const wrong = !shown ? "nothing" : shown.dataset.mimeType ? "text in its place"
                : FAILED.test(text) ? text
                : shown.getBoundingClientRect().height < 10 ? "no height"
                : empty.length ? "an empty box" : "";
            if (wrong) found.push(`output ${place} of cell ${number}: ${wrong}`);
        });
    });
    return found;
}"""

PICTURES = """() => {
    const given = (alt) => alt?.trim() !== "Image" && alt?.trim();  // JupyterLab adds that one
    const named = (node) => node.getAttribute("aria-label")?.trim()
        || given(node.getAttribute("alt"))
        || node.querySelector(":scope > title")?.textContent.trim()
        || document.getElementById(node.getAttribute("aria-labelledby"))?.textContent.trim();
    const shown = document.querySelectorAll(
        ".jp-Notebook .jp-OutputArea-output, .jp-Notebook .jp-MarkdownOutput");
    const pictures = "img, svg, canvas, [role=img]";
    return [...shown].flatMap((place) => [...place.querySelectorAll(pictures)])
        .filter((node) => !node.parentElement.closest("svg"))
        .filter((node) => !node.closest("[aria-hidden=true]") && !named(node))
        .map((node) => node.outerHTML.slice(0, 120));
}"""

HEADINGS = """() => {
    const levels = [...document.querySelectorAll(".jp-Notebook :is(h1, h2, h3, h4, h5, h6)")]
        .map((node) => [Number(node.tagName[1]), node.textContent]);
    const skips = levels.filter(([level], i) => level > (i ? levels[i - 1][0] : 0) + 1);
    return [...skips, ...levels.filter(([level]) => level === 1).slice(1)];
}"""

# axe does not look at text in an SVG. Colours are laid over each other as the browser would.
PALE = """() => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const paint = canvas.getContext("2d", {willReadFrequently: true});
    const light = (...layers) => {
        for (const colour of layers) {
            paint.fillStyle = colour;
            paint.fillRect(0, 0, 1, 1);
        }
        const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map((byte) => byte / 255)
            .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    };
    const found = [];
    for (const flow of document.querySelectorAll(".fsts-flow")) {
        const paper = getComputedStyle(flow).backgroundColor;
        const judge = (node, property, least) => {
            const band = node.closest(".fsts-now")?.querySelector(".fsts-band");
            const ground = [paper, ...(band ? [getComputedStyle(band).fill] : [])];
            const colour = getComputedStyle(node)[property];
            const [low, high] = [light(...ground), light(...ground, colour)].sort((a, b) => a - b);
            if (high / low < least)
                found.push(`${node.outerHTML.slice(0, 80)}: ${colour} ${(high / low).toFixed(2)}`);
        };
        const texts = flow.querySelectorAll("svg text:not(.fsts-halo)");
        texts.forEach((node) => judge(node, "fill", 4.5));
        flow.querySelectorAll(".fsts-arrow").forEach((node) => judge(node, "stroke", 3));
    }
    return found;
}"""


def undrawn_widgets(page: Page) -> list[str]:
    """Return which widgets of the notebook show nothing, or something else, and go on doing so."""
    try:
        page.wait_for_function(f"({WIDGETS})().length === 0", timeout=20_000)
    except PlaywrightTimeout:
        pass
    return page.evaluate(WIDGETS)


def nameless_pictures(page: Page) -> list[str]:
    """Return the pictures that say nothing to somebody who does not see them."""
    return page.evaluate(PICTURES)


def headings_out_of_order(page: Page) -> list[tuple[int, str]]:
    """Return the headings that skip a level, and every title but the first."""
    return page.evaluate(HEADINGS)


def barriers(page: Page, *places: str) -> list[str]:
    """Return what breaks WCAG 2.2 AA, as far as axe can tell, in these parts of the page."""
    with everything_in_view(page):
        found = Axe().run(page, {"include": list(places)}, AXE).response
    return [
        f"{rule['id']}: {node['html'][:150]} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@contextmanager
def everything_in_view(page: Page) -> Iterator[None]:
    """Make the window as high as the notebook: axe judges no colour of what is out of sight."""
    before = page.viewport_size
    # JupyterLab draws no cell that is far away; and its body, 0 high, hides what overflows it.
    page.add_style_tag(content=".jp-Cell { content-visibility: visible !important }")
    page.evaluate("document.body.style.height = '100vh'")
    high = page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollHeight")
    page.set_viewport_size({"width": before["width"], "height": high + 200})
    page.wait_for_function(
        "(high) => document.querySelector('.jp-WindowedPanel-outer').clientHeight >= high",
        arg=high,
    )
    yield
    page.set_viewport_size(before)


def pale(page: Page) -> list[str]:
    """Return what in the pictures has too little contrast: 4.5 for text, 3 for arrows."""
    return page.evaluate(PALE)
