"""Waits of a person in a real JupyterLab: from running a cell to the first map of a 6-kb locus, and from a zoom to its numbers.

Run it from the repository, with the packages of the tests and a Chromium: `python benchmarks/jupyterlab.py`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from playwright.sync_api import sync_playwright

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS / "browser"), str(TESTS)]

SETUP = """
from ntviz import annotation, data, explore, models
from ntviz.reference import Reference
model, reference = models.load("ntviz-mini"), Reference(data.bundle("chr20"))
genes = annotation.read(data.bundle("genes"))
"""
FIRST = 'explorer = explore.attention(model, reference, genes, at="chr20:43,029,000-43,034,999")\nexplorer'
REDRAWN = "([node, name]) => !node.ariaBusy && node.layout.meta.alt !== name"


def main() -> None:
    """Prints each wait beside its limit."""
    from conftest import _started
    from lab_pages import book, execute, live_of, opened, run_all

    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright, _started(Path(home)) as lab:
        nbformat.write(book(SETUP, FIRST, kernel="elsewhere"), lab.folder / "wait.ipynb")
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = opened(chromium, lab.url)
        panel = run_all(page, "wait.ipynb")
        live_of(panel)
        # The last cell alone, once more: the kernel and JupyterLab are warm then, as for a person who looks at a second place.
        waits = {"the first map of a 6-kb locus": []}
        for _ in range(3):
            execute(page, "notebook:clear-cell-output")
            began = time.perf_counter()
            execute(page, "notebook:run-cell", wait=False)
            live = live_of(panel)
            waits["the first map of a 6-kb locus"].append(time.perf_counter() - began)
        middle, zooms = live.evaluate("node => node._fullLayout.xaxis.range.reduce((a, b) => a + b) / 2"), []
        for width in (900, 600, 300):
            shown = live.evaluate("node => node.layout.meta.alt")
            began = time.perf_counter()
            live.evaluate(
                "(node, [low, high]) => window.Plotly.relayout(node, {'xaxis.range[0]': low, 'xaxis.range[1]': high})",
                [middle - width / 2, middle + width / 2],
            )
            page.wait_for_function(REDRAWN, arg=[live.element_handle(), shown], timeout=20_000)
            zooms.append(time.perf_counter() - began)
        chromium.close()
    for name, times, limit in (
        *((n, t, 3.0) for n, t in waits.items()),
        ("a zoom, with its new numbers", zooms, 0.5),
    ):
        print(
            f"{name:32} {min(times):.2f} to {max(times):.2f} s = {min(times) / limit:.0%} to {max(times) / limit:.0%} of {limit:g} s"
        )


if __name__ == "__main__":
    main()
