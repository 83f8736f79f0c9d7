"""The locus and the variant card in JupyterLab, two notebooks of one kernel: by wheel and by hand, typed, clicked, turned back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import nbformat
import numpy as np
import pytest
from lab_pages import SETUP, book, here, live_of, message, parts, pixel, place, run_all, running, says, visit
from playwright.sync_api import Browser, Locator, Page, expect

from ntviz import explore, plot
from ntviz.explore.variant_explorer import PARTS
from ntviz.plot.words import number

AT, CHANGE = "chr20:43,029,801-43,030,400", "chr20:43042364 C>T"
NAMES = ["genes", "bases", "expected bases", "probability"]
CELLS = f"{SETUP}locus = explore.locus(*parts, at={AT!r}, components={NAMES}, window=240)\nlocus", "print('the next cell', locus.waiting() != [])"  # fmt: skip
WHOLE = "node => node._fullLayout.xaxis.range.join() === '43029800.5,43030400.5'"


@pytest.fixture(scope="module")
def twins() -> tuple[explore.LocusExplorer, explore.VariantExplorer]:
    """The same locus and card in this process, to compare with what the page shows."""
    ours = parts()
    return explore.locus(*ours, at=AT, components=NAMES, window=240), explore.variant(*ours, at=CHANGE, around=10)


@pytest.fixture(scope="module")
def page(browser: Browser, lab) -> Iterator[Page]:
    with running(browser, lab, "locus.ipynb", *CELLS) as page:
        yield page


@pytest.fixture
def live(page: Page) -> Locator:
    return live_of(here(page))


@pytest.fixture(scope="module")
def beside(page: Page, lab) -> None:
    """The card's notebook, in the kernel of the locus."""
    kernel = page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.id")
    nbformat.write(
        book(f"card = explore.variant(*parts, at={CHANGE!r}, around=10)\ncard"), lab.folder / "variant.ipynb"
    )
    run_all(page, "variant.ipynb", kernel=kernel)


@pytest.fixture
def card(beside: None, page: Page) -> Locator:
    return live_of(here(page))


def done(live: Locator) -> None:
    expect(live).not_to_have_attribute("aria-label", re.compile("being computed"), timeout=60_000)
    expect(message(live)).to_have_text("", timeout=30_000)


def seen(live: Locator) -> tuple[int, int]:
    """The bases that the page shows, 0-based half-open."""
    low, high = live.evaluate("node => node._fullLayout.xaxis.range")
    return round(low - 0.5), round(high - 0.5)


def test_tracks_come_one_after_the_other_while_other_cells_run(live, twins):
    # The next cell ran before all was computed.
    expect(live.page.locator(".jp-OutputArea", has_text="the next cell True").first).to_be_visible()
    done(live)
    twins[0].figure()
    assert live.get_attribute("aria-label") == plot.alt(twins[0].drawn())
    boxes = live.page.locator(".jp-OutputArea input[type=checkbox]")
    assert boxes.count() == len(NAMES) and place(live).input_value() == AT


def test_the_wheel_zooms_to_letters_and_a_drag_goes_beyond_what_was_drawn(live):
    page = live.page
    page.mouse.move(*pixel(live, 43_030_100, 0.1, ("", "3")))
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
    x = live.evaluate("node => node._fullData.filter(trace => trace.meta === 'letters').flatMap(trace => [...(trace.x ?? [])])")  # fmt: skip
    letters = np.array(x, float)
    assert np.nanmin(letters) <= start + 2 and np.nanmax(letters) >= end - 1
    assert seen(live) == (start, end)
    visit(live, AT)
    page.wait_for_function(WHOLE, arg=live.element_handle())
    left, right = pixel(live, 43_029_900, 0.1, ("", "3")), pixel(live, 43_030_300, 0.1, ("", "3"))
    page.mouse.move(*right)
    page.mouse.down()
    page.mouse.move(*left, steps=6)
    page.mouse.up()
    says(live, "· 900 bp")
    done(live)
    assert 43_030_150 < seen(live)[0] < 43_030_250
    ready = live.evaluate("node => [...node._fullData.find(trace => trace.name === 'Probability of the reference base').y]")  # fmt: skip
    assert len(ready) == 900 and np.isfinite(np.array(ready, float)).all()


def test_the_toolbar_chooses_goes_back_and_saves(live, lab):
    page = live.page
    page.get_by_text("expected bases", exact=True).click()
    expect(live).not_to_have_attribute("aria-label", re.compile("Expected bases: "), timeout=20_000)
    page.get_by_text("expected bases", exact=True).click()
    says(live, "Expected bases: ")
    visit(live, "HNF4B")
    expect(message(live)).to_contain_text("Nearest: HNF4A")
    page.get_by_role("button", name="Whole").click()
    says(live, f"{AT} · 600 bp")
    page.wait_for_function(WHOLE, arg=live.element_handle())
    page.locator(".jp-OutputArea select").first.select_option(".html")
    expect(message(live)).to_contain_text("Saved", timeout=30_000)
    (saved,) = lab.folder.glob("*.html")
    assert "Enlarged below" in saved.read_text()


def check(card: Locator, twin: explore.VariantExplorer, part: str = "around") -> str:
    """The page shows the figure and the scores that the card in this process has; its words."""
    shown = re.compile(f"^{re.escape(plot.alt(twin.figure(part)))}$")
    expect(card).to_have_attribute("aria-label", shown, timeout=60_000)
    words = card.page.locator('section[data-ntviz="variant"]:visible')
    expect(words.locator('[data-ntviz="title"]')).to_have_text(f"{twin.card.name} by ntviz-mini")
    values = words.locator('table[data-ntviz="scores"] tbody tr td:nth-child(2)').all_inner_texts()
    assert values == [number(value) for value in twin.table()["value"]]
    expect(place(card)).to_have_value(twin.where)
    return words.inner_text()


def test_a_click_on_a_cell_turns_to_that_substitution_and_back(card, twins):
    twin = twins[1]
    assert "missense, T139I (codon ACT>ATT) in HNF4A" in check(card, twin)
    first, reference = twin.card.variant, twin.bench.reference.fetch("20:43042356").sequence
    base = next(base for base in "TGCA" if base != reference)
    row = card.evaluate("node => node._fullData.find(trace => trace.type === 'heatmap' && trace.name.startsWith('LLR')).yaxis")  # fmt: skip
    card.scroll_into_view_if_needed()
    card.page.mouse.click(*pixel(card, 43_042_356, "ACGT".index(base), ("", row[1:])))
    twin.change(43_042_356, base)
    check(card, twin)
    card.page.get_by_role("button", name="Back").click()
    twin.back()
    assert twin.card.variant == first
    check(card, twin)


def test_parts_are_chosen_and_bad_text_is_answered_in_place(card, twins):
    twin = twins[1]
    for part in ("dependencies", "genes", "around"):
        card.page.get_by_role("button", name=PARTS[part]).click()
        check(card, twin, part)
    here(card.page).locator(".jp-OutputArea select").last.select_option(index=twin.card.attention.moved.size - 1)
    twin.choose(*twin.card.attention.order[-1])
    check(card, twin)
    visit(card, "HNF4B")
    expect(message(card)).to_contain_text("Nearest: HNF4A")
    expect(place(card)).to_have_value(twin.where)
