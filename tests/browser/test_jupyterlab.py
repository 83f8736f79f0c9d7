"""Figures in JupyterLab: reopened untrusted, run live, with the kernel in another environment, light and dark."""

from __future__ import annotations

from collections.abc import Iterator

import nbformat
import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page

from ntviz import plot
from ntviz.genome import Interval

SOURCE = """
import sys
import numpy as np
from ntviz import plot
from ntviz.genome import Interval

track = plot.signal_track(np.linspace(0, 1, 101), label="ramp", unit="nats")
figure = plot.locus(Interval("chr20", 1000, 1101), [track], title="Live", assembly="GRCh37")
figure
"""
THEMES = ("JupyterLab Light", "JupyterLab Dark")


def figure() -> plot.Figure:
    track = plot.signal_track(np.linspace(0, 1, 101), label="ramp", unit="nats")
    return plot.locus(Interval("chr20", 1000, 1101), [track], title="Stored", assembly="GRCh37")


def notebook(*cells: nbformat.NotebookNode, kernel: str = "python3") -> nbformat.NotebookNode:
    book = nbformat.v4.new_notebook(cells=list(cells))
    book.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
    return book


@pytest.fixture(scope="module")
def page(browser: Browser, lab) -> Iterator[Page]:
    """JupyterLab with three notebooks beside it: one stored with its output, two to be run."""
    bundle = figure()._repr_mimebundle_()
    output = nbformat.v4.new_output("execute_result", data=bundle, execution_count=1)
    stored = nbformat.v4.new_code_cell("figure", outputs=[output], execution_count=1)
    nbformat.write(notebook(stored), lab.folder / "untrusted.ipynb")
    where = nbformat.v4.new_code_cell("import sys\nprint('prefix', sys.prefix)")
    for kernel in ("python3", "elsewhere"):
        cells = [nbformat.v4.new_code_cell(SOURCE), where]
        nbformat.write(notebook(*cells, kernel=kernel), lab.folder / f"{kernel}.ipynb")
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    opened = context.new_page()
    opened.goto(f"{lab.url}/lab?reset")
    opened.wait_for_function("window.jupyterapp && window.jupyterapp.restored")
    opened.evaluate("window.jupyterapp.restored.then(() => null)")
    yield opened
    context.close()


def execute(page: Page, command: str, **arguments: object) -> None:
    page.evaluate(
        "([command, options]) => window.jupyterapp.commands.execute(command, options).then(() => null)",
        [command, arguments],
    )


def show(page: Page, name: str) -> Locator:
    execute(page, "docmanager:open", path=name, factory="Notebook")
    panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    panel.locator(".jp-CodeCell").first.wait_for()
    return panel


@pytest.fixture(params=THEMES)
def theme(page: Page, request: pytest.FixtureRequest) -> str:
    execute(page, "apputils:change-theme", theme=request.param)
    light = str("Light" in request.param).lower()
    page.wait_for_selector(f"body[data-jp-theme-light='{light}']", state="attached")
    return request.param


def test_a_stored_notebook_that_is_not_trusted_shows_the_image(page, theme, check_figure):
    panel = show(page, "untrusted.ipynb")
    image = panel.locator("figure img, .jp-OutputArea-output img").first
    image.wait_for()
    shown = panel.locator(".jp-OutputArea-output figure")
    seen = check_figure(shown)
    assert seen["alt"] == figure().alt
    assert shown.locator("figcaption").is_visible()
    # JupyterLab has removed the script: so this is the untrusted case.
    assert panel.locator("[data-readout]").count() == 0
    assert page.evaluate("document.querySelectorAll('.jp-OutputArea-output script').length") == 0


def run_all(page: Page, name: str) -> Locator:
    panel = show(page, name)
    if panel.locator("[data-readout]").count() == 0:
        page.wait_for_function("window.jupyterapp.shell.currentWidget.sessionContext.isReady")
        execute(page, "notebook:run-all-cells")
        panel.locator("[data-readout]").wait_for(timeout=60_000)
        panel.get_by_text("prefix").last.wait_for(timeout=20_000)
    return panel


@pytest.mark.parametrize("kernel", ["python3", "elsewhere"])
def test_a_live_figure_is_seen_and_read_with_the_keyboard(page, theme, kernel, check_figure):
    panel = run_all(page, f"{kernel}.ipynb")
    shown = panel.locator(".jp-OutputArea-output figure")
    check_figure(shown)
    slider, line = shown.get_by_role("slider"), shown.locator("[data-readout]")
    slider.focus()
    page.keyboard.press("Home")
    assert line.text_content() == "chr20:1,001  ·  ramp: 0 nats"
    # JupyterLab's own shortcuts for these keys (move, collapse, extend the selection) must not see them.
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert line.text_content() == "chr20:1,013  ·  ramp: 0.12 nats"
    assert slider.evaluate("node => node === document.activeElement")
    box = shown.locator("img").bounding_box()
    pane = figure().readout.panes[0]
    page.mouse.move(
        box["x"] + (pane.x0 + pane.x1) / 2 * box["width"], box["y"] + (pane.y0 + pane.y1) / 2 * box["height"]
    )
    assert line.text_content() == "chr20:1,051  ·  ramp: 0.5 nats"


def test_the_two_kernels_live_in_two_environments(page):
    panels = {
        name: run_all(page, f"{name}.ipynb").locator(".jp-OutputArea").last.inner_text()
        for name in ("python3", "elsewhere")
    }
    assert "environment" in panels["elsewhere"]
    assert panels["python3"] != panels["elsewhere"]
