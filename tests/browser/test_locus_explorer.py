"""The locus in a running JupyterLab: track after track, by wheel and by hand, by the toolbar."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from lab_pages import SETUP, here, live_of, message, parts, pixel, place, running, says, visit
from playwright.sync_api import Browser, Locator, Page, expect

from ntviz import explore, plot

AT = "chr20:43,029,601-43,030,600"
NAMES = ["genes", "bases", "expected bases", "probability"]
CELLS = f"{SETUP}locus = explore.locus(*parts, at={AT!r}, components={NAMES}, window=240)\nlocus", "print('the next cell', locus.waiting() != [])"  # fmt: skip


@pytest.fixture(scope="module")
def twin() -> explore.LocusExplorer:
    """The same locus in this process, to compare with what the page shows."""
    return explore.locus(*parts(), at=AT, components=NAMES, window=240)


@pytest.fixture(scope="module")
def page(browser: Browser, lab) -> Iterator[Page]:
    with running(browser, lab, "locus.ipynb", *CELLS) as page:
        yield page


@pytest.fixture
def live(page: Page) -> Locator:
    return live_of(here(page))


def done(live: Locator) -> None:
    expect(live).not_to_have_attribute("aria-label", re.compile("being computed"), timeout=60_000)
    expect(message(live)).to_have_text("", timeout=30_000)


def seen(live: Locator) -> tuple[int, int]:
    """The bases that the page shows, 0-based half-open."""
    low, high = live.evaluate("node => node._fullLayout.xaxis.range")
    return round(low - 0.5), round(high - 0.5)


def letters(live: Locator) -> np.ndarray:
    """Positions of the letters that the page draws."""
    x = live.evaluate("node => node._fullData.filter(trace => trace.meta === 'letters').flatMap(trace => [...(trace.x ?? [])])")  # fmt: skip
    return np.array(x, float)


def test_tracks_come_one_after_the_other_while_other_cells_run(live, twin):
    # The next cell ran before all was computed.
    expect(live.page.locator(".jp-OutputArea", has_text="the next cell True").first).to_be_visible()
    done(live)
    twin.figure()
    assert live.get_attribute("aria-label") == plot.alt(twin.drawn())
    boxes = live.page.locator(".jp-OutputArea input[type=checkbox]")
    assert boxes.count() == len(NAMES) and place(live).input_value() == AT


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
    live_of(here(page))
    found = letters(live)
    assert np.nanmin(found) <= start + 2 and np.nanmax(found) >= end - 1
    # Redrawn, the page shows the same bases.
    assert seen(live) == (start, end)
    visit(live, AT)
    page.wait_for_function("node => node._fullLayout.xaxis.range.join() === '43029600.5,43030600.5'", arg=live.element_handle())  # fmt: skip
    left, right = pixel(live, 43_029_700, 0.1, ("", "3")), pixel(live, 43_030_400, 0.1, ("", "3"))
    page.mouse.move(*right)
    page.mouse.down()
    page.mouse.move(*left, steps=6)
    page.mouse.up()
    says(live, "· 1,500 bp")
    done(live)
    start, end = seen(live)
    assert 43_030_250 < start < 43_030_350
    ready = live.evaluate("node => [...node._fullData.find(trace => trace.name === 'Probability of the reference base').y]")  # fmt: skip
    assert len(ready) == 1_500 and np.isfinite(np.array(ready, float)).all()


def test_the_toolbar_chooses_goes_back_and_saves(live, lab):
    page = live.page
    page.get_by_text("expected bases", exact=True).click()
    expect(live).not_to_have_attribute("aria-label", re.compile("Expected bases: "), timeout=20_000)
    page.get_by_text("expected bases", exact=True).click()
    says(live, "Expected bases: ")
    visit(live, "HNF4B")
    expect(message(live)).to_contain_text("Nearest: HNF4A")
    page.get_by_role("button", name="Whole").click()
    says(live, "chr20:43,029,601-43,030,600 · 1,000 bp")
    page.wait_for_function("node => node._fullLayout.xaxis.range.join() === '43029600.5,43030600.5'", arg=live.element_handle())  # fmt: skip
    page.locator(".jp-OutputArea select").first.select_option(".html")
    expect(message(live)).to_contain_text("Saved", timeout=30_000)
    (saved,) = lab.folder.glob("*.html")
    assert "Enlarged below" in saved.read_text()
