"""The variant card in a running JupyterLab: typed, clicked, turned back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from lab_pages import SETUP, here, live_of, message, parts, pixel, place, running, visit
from playwright.sync_api import Browser, Locator, Page, expect

from ntviz import explore, plot
from ntviz.explore.variant_explorer import PARTS
from ntviz.plot.words import number

AT = "chr20:43042364 C>T"


@pytest.fixture(scope="module")
def twin() -> explore.VariantExplorer:
    """The same card in this process, to compare with what the page shows."""
    return explore.variant(*parts(), at=AT, around=20)


@pytest.fixture(scope="module")
def page(browser: Browser, lab) -> Iterator[Page]:
    source = f"{SETUP}card = explore.variant(*parts, at={AT!r}, around=20)\ncard"
    with running(browser, lab, "variant.ipynb", source) as page:
        yield page


@pytest.fixture
def live(page: Page) -> Locator:
    return live_of(here(page))


def check(live: Locator, twin: explore.VariantExplorer, part: str = "around") -> None:
    """The page shows the figure and the scores that the card in this process has."""
    shown = re.compile(f"^{re.escape(plot.alt(twin.figure(part)))}$")
    expect(live).to_have_attribute("aria-label", shown, timeout=60_000)
    card = live.page.locator('section[data-ntviz="variant"]:visible')
    expect(card.locator('[data-ntviz="title"]')).to_have_text(f"{twin.card.name} by ntviz-mini")
    values = card.locator('table[data-ntviz="scores"] tbody tr td:nth-child(2)').all_inner_texts()
    assert values == [number(value) for value in twin.table()["value"]]
    expect(place(live)).to_have_value(twin.where)


def test_a_click_on_a_cell_turns_to_that_substitution_and_back(live, twin):
    check(live, twin)
    first = twin.card.variant
    assert (
        "missense, T139I (codon ACT>ATT) in HNF4A"
        in live.page.locator('section[data-ntviz="variant"]:visible').inner_text()
    )
    here = twin.bench.reference.fetch("20:43042356").sequence
    base = next(base for base in "TGCA" if base != here)
    row = live.evaluate("node => node._fullData.find(trace => trace.type === 'heatmap' && trace.name.startsWith('LLR')).yaxis")  # fmt: skip
    live.scroll_into_view_if_needed()
    live.page.mouse.click(*pixel(live, 43_042_356, "ACGT".index(base), ("", row[1:])))
    twin.change(43_042_356, base)
    check(live, twin)
    live.page.get_by_role("button", name="Back").click()
    twin.back()
    assert twin.card.variant == first
    check(live, twin)


def test_parts_are_chosen_and_bad_text_is_answered_in_place(live, twin):
    for part in ("dependencies", "genes", "around"):
        live.page.get_by_role("button", name=PARTS[part]).click()
        check(live, twin, part)
    layer, head = twin.card.attention.order[-1]
    live.page.locator(".jp-OutputArea select").last.select_option(index=twin.card.attention.moved.size - 1)
    twin.choose(layer, head)
    check(live, twin)
    visit(live, "HNF4B")
    expect(message(live)).to_contain_text("Nearest: HNF4A")
    expect(place(live)).to_have_value(twin.where)
