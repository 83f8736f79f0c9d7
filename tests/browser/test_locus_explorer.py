"""The locus in a running JupyterLab: track after track, by wheel and by hand, by the toolbar."""

from __future__ import annotations

import re
from collections.abc import Iterator

import nbformat
import numpy as np
import pytest
from lab_pages import book, live_of, opened, pixel, run_all
from playwright.sync_api import Browser, Locator, Page, expect

from ntviz import annotation, data, explore, models, plot
from ntviz.reference import Reference

AT = "chr20:43,029,601-43,030,600"
NAMES = ["genes", "bases", "expected bases", "probability"]
SOURCE = f"""
from ntviz import annotation, data, explore, models
from ntviz.reference import Reference
locus = explore.locus(
    models.load("ntviz-mini", device="cpu"), Reference(data.bundle("chr20")), annotation.read(data.bundle("genes")),
    at="{AT}", components={NAMES}, window=240,
)
locus
"""


@pytest.fixture(scope="module")
def twin() -> explore.LocusExplorer:
    """The same locus in this process, to compare with what the page shows."""
    parts = Reference(data.bundle("chr20")), annotation.read(data.bundle("genes"))
    return explore.locus(models.load("ntviz-mini", device="cpu"), *parts, at=AT, components=NAMES, window=240)


@pytest.fixture(scope="module")
def page(browser: Browser, lab) -> Iterator[Page]:
    nbformat.write(book(SOURCE, "print('the next cell', locus.waiting() != [])"), lab.folder / "locus.ipynb")
    page = opened(browser, lab.url)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    run_all(page, "locus.ipynb")
    yield page
    assert page.errors == []
    page.context.close()


@pytest.fixture
def live(page: Page) -> Locator:
    return live_of(page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)"))


def place(live: Locator) -> Locator:
    return live.page.get_by_placeholder("a gene, a region or a variant")


def says(live: Locator, text: str) -> None:
    expect(live).to_have_attribute("aria-label", re.compile(re.escape(text)), timeout=30_000)


def done(live: Locator) -> None:
    expect(live).not_to_have_attribute("aria-label", re.compile("being computed"), timeout=60_000)
    expect(live.page.locator(".ntviz-message")).to_have_text("", timeout=30_000)


def seen(live: Locator) -> tuple[int, int]:
    """The bases that the page shows, 0-based half-open."""
    low, high = live.evaluate("node => node._fullLayout.xaxis.range")
    return round(low - 0.5), round(high - 0.5)


def letters(live: Locator) -> np.ndarray:
    """Positions of the letters that the page draws."""
    x = live.evaluate(
        "node => node._fullData.filter(trace => trace.meta === 'letters').flatMap(trace => [...(trace.x ?? [])])"
    )
    return np.array(x, float)


def test_tracks_come_one_after_the_other_while_other_cells_run(live, twin):
    # The next cell ran before all was computed.
    expect(live.page.locator(".jp-OutputArea", has_text="the next cell True").first).to_be_visible()
    done(live)
    twin.figure()
    assert live.get_attribute("aria-label") == plot.alt(twin.drawn())
    boxes = live.page.locator(".jp-OutputArea input[type=checkbox]")
    assert boxes.count() == len(NAMES)
    assert place(live).input_value() == AT


def test_the_wheel_zooms_to_letters_and_a_drag_goes_beyond_what_was_drawn(live, twin):
    page = live.page
    x, y = pixel(live, 43_030_100, 0.1, ("", "3"))
    page.mouse.move(x, y)
    for _ in range(40):
        page.mouse.wheel(0, -120)
        page.wait_for_timeout(100)
        if seen(live)[1] - seen(live)[0] < 200:
            break
    page.wait_for_timeout(1_000)
    start, end = seen(live)
    assert end - start < 200
    expect(place(live)).to_have_value(re.compile(r"chr20:43,0(29|30),\d+-43,030,\d+"))
    live_of(page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)"))
    found = letters(live)
    assert np.nanmin(found) <= start + 2
    assert np.nanmax(found) >= end - 1
    # Redrawn, the page shows the same bases.
    assert seen(live) == (start, end)
    place(live).fill("chr20:43,029,601-43,030,600")
    place(live).press("Enter")
    page.wait_for_function(
        "node => node._fullLayout.xaxis.range.join() === '43029600.5,43030600.5'", arg=live.element_handle()
    )
    left, right = pixel(live, 43_029_700, 0.1, ("", "3")), pixel(live, 43_030_400, 0.1, ("", "3"))
    page.mouse.move(*right)
    page.mouse.down()
    page.mouse.move(*left, steps=6)
    page.mouse.up()
    says(live, "· 1,500 bp")
    done(live)
    start, end = seen(live)
    assert 43_030_250 < start < 43_030_350
    ready = live.evaluate(
        "node => [...node._fullData.find(trace => trace.name === 'Probability of the reference base').y]"
    )
    assert len(ready) == 1_500
    assert np.isfinite(np.array(ready, float)).all()


def test_the_toolbar_chooses_goes_back_and_saves(live, lab):
    page = live.page
    page.get_by_text("expected bases", exact=True).click()
    expect(live).not_to_have_attribute("aria-label", re.compile("Expected bases: "), timeout=20_000)
    page.get_by_text("expected bases", exact=True).click()
    says(live, "Expected bases: ")
    place(live).fill("HNF4B")
    place(live).press("Enter")
    expect(page.locator(".ntviz-message")).to_contain_text("Nearest: HNF4A")
    page.get_by_role("button", name="Whole").click()
    says(live, "chr20:43,029,601-43,030,600 · 1,000 bp")
    page.wait_for_function(
        "node => node._fullLayout.xaxis.range.join() === '43029600.5,43030600.5'", arg=live.element_handle()
    )
    page.locator(".jp-OutputArea select").first.select_option(".html")
    expect(page.locator(".ntviz-message")).to_contain_text("Saved", timeout=30_000)
    (saved,) = lab.folder.glob("*.html")
    assert "Enlarged below" in saved.read_text()
