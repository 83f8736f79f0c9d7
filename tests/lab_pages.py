"""Notebooks in a running JupyterLab, as the browser tests open, run and measure them."""

from __future__ import annotations

import nbformat
from playwright.sync_api import Browser, Locator, Page


def book(*cells: nbformat.NotebookNode, kernel: str = "python3") -> nbformat.NotebookNode:
    """A notebook of these cells."""
    made = nbformat.v4.new_notebook(cells=list(cells))
    made.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
    return made


def opened(browser: Browser, url: str, *, height: int = 1250) -> Page:
    """JupyterLab in a context of its own, ready for commands."""
    context = browser.new_context(viewport={"width": 1400, "height": height}, accept_downloads=True)
    page = context.new_page()
    page.goto(f"{url}/lab?reset")
    page.wait_for_function("window.jupyterapp && window.jupyterapp.restored")
    page.evaluate("window.jupyterapp.restored.then(() => null)")
    return page


def execute(page: Page, command: str, **arguments: object) -> None:
    """Run a command of JupyterLab to its end."""
    page.evaluate(
        "([command, options]) => window.jupyterapp.commands.execute(command, options).then(() => null)",
        [command, arguments],
    )


def show(page: Page, name: str) -> Locator:
    """The panel of a notebook, opened where it is not yet."""
    execute(page, "docmanager:open", path=name, factory="Notebook")
    panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    panel.locator(".jp-CodeCell").first.wait_for()
    return panel


def run_all(page: Page, name: str) -> Locator:
    """The panel of a notebook whose cells have been sent to its kernel."""
    panel = show(page, name)
    page.wait_for_function("window.jupyterapp.shell.currentWidget.sessionContext.isReady")
    execute(page, "notebook:run-all-cells")
    return panel


def choose_theme(page: Page, name: str) -> None:
    """Go to "JupyterLab Light" or "JupyterLab Dark"."""
    execute(page, "apputils:change-theme", theme=name)
    light = str("Light" in name).lower()
    page.wait_for_selector(f"body[data-jp-theme-light='{light}']", state="attached")


def ready(root: Locator) -> None:
    """Wait until a live explorer has answered all that it was asked."""
    root.page.wait_for_function(
        "node => node.dataset.state === 'ready'", arg=root.element_handle(), timeout=120_000
    )


def contrasts(root: Locator, parts: str) -> list[float]:
    """Contrast of the text of parts of a node with what lies behind it, 1 to 21, as WCAG 2 defines it."""
    return root.evaluate(
        """(node, parts) => {
          const channel = text => text.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
            .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
          const light = text => { const [r, g, b] = channel(text); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
          const behind = part => { while (getComputedStyle(part).backgroundColor === 'rgba(0, 0, 0, 0)') part = part.parentElement;
            return light(getComputedStyle(part).backgroundColor); };
          return [...node.querySelectorAll(parts)].map(part => {
            const ink = light(getComputedStyle(part).color), paper = behind(part);
            return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
          });
        }""",
        parts,
    )
