"""Notebooks in a running JupyterLab, as the browser tests open, run and measure them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import nbformat
from playwright.sync_api import Browser, Locator, Page, expect

from ntviz import annotation, data, models
from ntviz.reference import Reference

SETUP = """
from ntviz import annotation, data, explore, models
from ntviz.reference import Reference
parts = models.load("ntviz-mini", device="cpu"), Reference(data.bundle("chr20")), annotation.read(data.bundle("genes"))
"""
# A kernel of a busy machine may take its time.
expect.set_options(timeout=20_000)


def parts() -> tuple:
    """What `SETUP` makes, in this process, to compare with what the page shows."""
    bundle = data.bundle
    return models.load("ntviz-mini", device="cpu"), Reference(bundle("chr20")), annotation.read(bundle("genes"))


@contextmanager
def running(browser: Browser, lab, name: str, *cells: str, kernel: str = "python3", wait: bool = True) -> Iterator[Page]:  # fmt: skip
    """JupyterLab with a notebook whose cells have been sent; at the end the page must not have complained."""
    nbformat.write(book(*cells, kernel=kernel), lab.folder / name)
    page, errors = opened(browser, lab.url), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    run_all(page, name, wait=wait)
    yield page
    assert errors == []
    page.context.close()


def here(page: Page) -> Locator:
    return page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")


def place(live: Locator) -> Locator:
    """The box of an explorer where a place is typed."""
    return here(live.page).get_by_placeholder("a gene, a region or a variant")


def visit(live: Locator, text: str) -> None:
    place(live).fill(text)
    place(live).press("Enter")


def message(live: Locator) -> Locator:
    return here(live.page).locator(".ntviz-message")


def says(live: Locator, text: str) -> None:
    expect(live).to_have_attribute("aria-label", re.compile(re.escape(text)), timeout=30_000)


def book(*cells: nbformat.NotebookNode | str, kernel: str = "python3") -> nbformat.NotebookNode:
    """A notebook of these cells, or of the code of such."""
    code = nbformat.v4.new_code_cell
    made = nbformat.v4.new_notebook(cells=[code(cell) if isinstance(cell, str) else cell for cell in cells])
    made.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
    return made


def opened(browser: Browser, url: str, *, height: int = 1250) -> Page:
    """JupyterLab in a context of its own, ready for commands."""
    context = browser.new_context(viewport={"width": 1400, "height": height}, accept_downloads=True)
    page = context.new_page()
    page.goto(f"{url}/lab?reset")
    restored(page)
    return page


def restored(page: Page) -> None:
    """Wait until JupyterLab takes commands."""
    page.wait_for_function("window.jupyterapp && window.jupyterapp.restored")
    page.evaluate("window.jupyterapp.restored.then(() => null)")


def execute(page: Page, command: str, *, wait: bool = True, **arguments: object) -> None:
    """Run a command of JupyterLab, to its end unless `wait` is false."""
    page.evaluate(
        "([command, options, wait]) => { const done = window.jupyterapp.commands.execute(command, options).then(() => null);"
        " return wait ? done : null; }",
        [command, arguments, wait],
    )


def show(page: Page, name: str, **options: object) -> Locator:
    """The panel of a notebook, opened where it is not yet."""
    execute(page, "docmanager:open", path=name, factory="Notebook", **options)
    here(page).locator(".jp-CodeCell").first.wait_for()
    return here(page)


def run_all(page: Page, name: str, *, wait: bool = True, kernel: str = "") -> Locator:
    """The panel of a notebook whose cells have been sent to its kernel (or that of an id), and run unless `wait` is false."""
    panel = show(page, name, **({"kernel": {"id": kernel}} if kernel else {}))
    page.wait_for_function("window.jupyterapp.shell.currentWidget.sessionContext.isReady")
    execute(page, "notebook:run-all-cells", wait=wait)
    return panel


def choose_theme(page: Page, name: str) -> None:
    execute(page, "apputils:change-theme", theme=name)
    light = str("Light" in name).lower()
    page.wait_for_selector(f"body[data-jp-theme-light='{light}']", state="attached")


def live_of(panel: Locator) -> Locator:
    """The live figure of a panel, drawn and not asking."""
    live = panel.locator(".ntviz-live").first
    live.locator(".main-svg").first.wait_for(timeout=90_000)
    live.page.wait_for_function("node => !node.ariaBusy", arg=live.element_handle(), timeout=60_000)
    return live


def pixel(live: Locator, x: float, y: float, axes: tuple[str, str] = ("", "")) -> tuple[float, float]:
    """Where a point of a live figure is on the page, by the numbers of its axes ("" for the first)."""
    left, top = live.evaluate(
        "(node, [x, y, [i, j]]) => { const f = node._fullLayout, a = f['xaxis' + i], b = f['yaxis' + j], r = node.getBoundingClientRect();"
        " return [r.left + a._offset + a.d2p(x), r.top + b._offset + b.d2p(y)]; }",
        [x, y, axes],
    )
    return left, top
