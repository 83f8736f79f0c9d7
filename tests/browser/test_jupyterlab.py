"""Figures in JupyterLab: reopened untrusted, run live, with the kernel in another environment, light and dark."""

from __future__ import annotations

from collections.abc import Iterator

import nbformat
import numpy as np
import pytest
from lab_pages import book, choose_theme, opened, run_all, show
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


@pytest.fixture(scope="module")
def page(browser: Browser, lab) -> Iterator[Page]:
    """JupyterLab with three notebooks beside it: one stored with its output, two to be run."""
    bundle = figure()._repr_mimebundle_()
    output = nbformat.v4.new_output("execute_result", data=bundle, execution_count=1)
    stored = nbformat.v4.new_code_cell("figure", outputs=[output], execution_count=1)
    nbformat.write(book(stored), lab.folder / "untrusted.ipynb")
    where = nbformat.v4.new_code_cell("import sys\nprint('prefix', sys.prefix)")
    for kernel in ("python3", "elsewhere"):
        cells = [nbformat.v4.new_code_cell(SOURCE), where]
        nbformat.write(book(*cells, kernel=kernel), lab.folder / f"{kernel}.ipynb")
    page = opened(browser, lab.url, height=1000)
    yield page
    page.context.close()


@pytest.fixture(params=THEMES)
def theme(page: Page, request: pytest.FixtureRequest) -> str:
    choose_theme(page, request.param)
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


def run_once(page: Page, name: str) -> Locator:
    panel = show(page, name)
    if panel.locator("[data-readout]").count() == 0:
        run_all(page, name)
        panel.locator("[data-readout]").wait_for(timeout=60_000)
        panel.get_by_text("prefix").last.wait_for(timeout=20_000)
    return panel


@pytest.mark.parametrize("kernel", ["python3", "elsewhere"])
def test_a_live_figure_is_seen_and_read_with_the_keyboard(page, theme, kernel, check_figure):
    panel = run_once(page, f"{kernel}.ipynb")
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
        name: run_once(page, f"{name}.ipynb").locator(".jp-OutputArea").last.inner_text()
        for name in ("python3", "elsewhere")
    }
    assert "environment" in panels["elsewhere"]
    assert panels["python3"] != panels["elsewhere"]
