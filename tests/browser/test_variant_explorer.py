"""The variant card in a running JupyterLab: typed, clicked, by keyboard alone; in both themes; and where it cannot be live."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import nbformat
import numpy as np
import pytest
from lab_pages import book, choose_theme, contrasts, opened, ready, run_all, show
from playwright.sync_api import Browser, Locator

from ntviz import annotation, data, explore, models
from ntviz.reference import Reference

AT = "chr20:43042364 C>T"
SOURCE = f"""
from ntviz import annotation, data, explore, models
from ntviz.reference import Reference

card = explore.variant(
    models.load("ntviz-mini", device="cpu"), Reference(data.bundle("chr20")), annotation.read(data.bundle("genes")),
    at="{AT}", around=20,
)
card
"""


@pytest.fixture(scope="module")
def twin() -> explore.VariantExplorer:
    """The same card in this process, to compare with what the page shows."""
    return explore.variant(
        models.load("ntviz-mini", device="cpu"),
        Reference(data.bundle("chr20")),
        annotation.read(data.bundle("genes")),
        at=AT,
        around=20,
    )


@pytest.fixture(scope="module")
def live(browser: Browser, lab) -> Iterator[Locator]:
    """The live card in JupyterLab, ready."""
    nbformat.write(book(nbformat.v4.new_code_cell(SOURCE)), lab.folder / "variant.ipynb")
    page = opened(browser, lab.url)
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    panel = run_all(page, "variant.ipynb")
    root = panel.locator(".ntvv")
    root.wait_for(timeout=90_000)
    ready(root)
    yield root
    page.context.close()


def visit(root: Locator, text: str) -> None:
    box = root.get_by_label("Variant, gene or region")
    box.fill(text)
    box.press("Enter")
    ready(root)


def check(root: Locator, twin: explore.VariantExplorer) -> None:
    """The page says what the card in this process says, and its pictures are of the same variant."""
    assert root.get_attribute("data-name") == twin.card.name
    assert root.get_attribute("data-status") == twin.card.status
    rows = root.locator('table[data-ntviz="scores"] tbody tr').all()
    table = twin.table()
    assert len(rows) == len(table)
    for row, expected in zip(rows, table.to_dict("records"), strict=True):
        assert row.locator("th").inner_text() == expected["score"]
        shown = row.locator("td").first.inner_text().replace("−", "-").replace(",", "")
        assert float(shown) == pytest.approx(expected["value"], rel=0.02, abs=1e-6)
    alts = [image.get_attribute("alt") for image in root.locator("figure img").all()]
    drawn = [
        twin.figure(name) for name in ("genes", "expected", "attention", "substitutions", "dependencies")
    ]
    assert len(alts) == 5
    for shown, figure in zip(alts, drawn, strict=True):
        assert shown == figure.alt
    assert all(
        image.evaluate("node => node.naturalWidth") > 500 for image in root.locator("figure img").all()
    )


def test_type_a_variant_and_read_its_card(live, twin):
    twin.go(AT)
    check(live, twin)
    assert "missense, T139I (codon ACT>ATT) in HNF4A" in live.inner_text()
    here = twin.bench.reference.fetch("20:43042370").sequence
    other = f"20-43,042,370-{here}-{'A' if here != 'A' else 'G'}"
    visit(live, other)
    twin.go(other)
    check(live, twin)
    assert "done" in live.locator(".ntvv-status").inner_text()
    assert "A score is no verdict" in live.inner_text()


def test_alternative_bases_are_buttons(live, twin):
    visit(live, AT)
    letters = live.locator(".ntvv-bases button")
    assert [one.inner_text() for one in letters.all()] == list("ACGT")
    assert [one.is_disabled() for one in letters.all()] == [False, True, False, False]
    assert [one.get_attribute("aria-pressed") for one in letters.all()] == ["false", "false", "false", "true"]
    letters.nth(2).click()
    ready(live)
    twin.go("chr20:43042364 C>G")
    check(live, twin)
    assert letters.nth(2).get_attribute("aria-pressed") == "true"


def test_a_click_on_a_substitution_goes_there(live, twin):
    visit(live, AT)
    twin.go(AT)
    image = live.locator(".ntvv-substitutions img")
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    pane = twin.figure("substitutions").readout.panes[0]
    # Position 43,042,356 in the row of an alternative that is not the reference's base.
    at = 43_042_355
    here = twin.bench.reference.fetch(f"20:{at + 1}").sequence
    row = next(place for place, base in enumerate("ACGT") if base != here)
    share = (at + 0.5 - pane.columns[0]) / (pane.columns[1] - pane.columns[0])
    x = box["x"] + box["width"] * (pane.x0 + share * (pane.x1 - pane.x0))
    y = box["y"] + box["height"] * (pane.y0 + (row + 0.5) / 4 * (pane.y1 - pane.y0))
    live.page.mouse.click(x, y)
    ready(live)
    twin.go(f"20:{at + 1}:{here}>{'ACGT'[row]}")
    check(live, twin)


def test_everything_can_be_reached_with_the_keyboard(live, twin):
    page = live.page
    visit(live, AT)
    live.get_by_label("Variant, gene or region").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    # The reference's own base cannot be pressed: A is first.
    assert page.evaluate("document.activeElement.textContent") == "A"
    page.keyboard.press("Enter")
    ready(live)
    twin.go("chr20:43042364 C>A")
    check(live, twin)
    stage = live.locator(".ntvv-substitutions [role=application]")
    stage.focus()
    for key in ("Home", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    said = live.locator(".ntvv-substitutions [data-readout]").inner_text()
    start = twin.card.stretch.start
    assert f"chr20:{start + 3:,}" in said
    here = twin.bench.reference.fetch(f"20:{start + 3}").sequence
    row = said.split("alternative ")[1][0]
    if row == here:
        page.keyboard.press("ArrowDown" if row == "A" else "ArrowUp")
        row = "ACGT"["ACGT".index(row) + (1 if row == "A" else -1)]
    page.keyboard.press("Enter")
    ready(live)
    twin.go(f"20:{start + 3}:{here}>{row}")
    check(live, twin)
    # JupyterLab has not run the cell again or moved on: the card is still the one with the focus.
    assert live.locator(".ntvv-status").inner_text().endswith("done.")


def test_another_head_can_be_chosen(live, twin):
    visit(live, AT)
    twin.go(AT)
    select = live.get_by_label("Head", exact=True)
    assert select.locator("option").count() == twin.bench.model.layers * twin.bench.model.heads
    assert select.input_value() == f"{twin.layer},{twin.head}"
    layer, head = twin.card.attention.order[5]
    select.select_option(f"{layer},{head}")
    ready(live)
    twin.choose(layer, head)
    check(live, twin)
    twin.go(AT)


def test_bad_text_is_answered_in_place_and_the_card_stays(live, twin):
    visit(live, AT)
    visit(live, "<img src=x onerror=alert(1)>")
    problem = live.locator(".ntvv-error")
    assert "received '<img src=x onerror=alert(1)>'" in problem.inner_text()
    visit(live, "HNF4B")
    assert "Nearest: HNF4A" in problem.inner_text()
    twin.go(AT)
    check(live, twin)
    visit(live, "chr20:43042364 G>T")
    assert problem.inner_text() == ""
    assert live.get_attribute("data-status") == "ref_mismatch"
    assert "REF must be what the reference has; received G" in live.inner_text()
    assert live.locator("table").count() == 0
    # The way out: the bases that the position does have.
    live.locator(".ntvv-bases button").nth(3).click()
    ready(live)
    check(live, twin)
    assert live.locator("img[src=x]").count() == 0


def test_a_gene_is_a_place_to_pick_from(live):
    visit(live, "hnf4a")
    assert live.get_attribute("data-status") == ""
    assert "Pick a substitution" in live.inner_text()
    assert live.locator("figure").count() == 3
    assert not live.locator(".ntvv-heads").is_visible()


def test_what_is_saved_is_the_card(live, twin, tmp_path):
    visit(live, AT)
    twin.go(AT)
    for what, name in (("table", "variant.tsv"), ("figure", "variant.html")):
        with live.page.expect_download() as waiting:
            live.locator(f".ntvv-save-{what}").click()
        ready(live)
        waiting.value.save_as(tmp_path / name)
    lines = (tmp_path / "variant.tsv").read_text().splitlines()
    values = [float(line.split("\t")[1]) for line in lines[4:]]
    np.testing.assert_allclose(values, twin.table()["value"], rtol=1e-3, atol=1e-6)
    assert (tmp_path / "variant.html").read_text().count("<figure") == 5


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_text_is_legible_in_both_themes(live, theme):
    visit(live, AT)
    choose_theme(live.page, theme)
    contrast = contrasts(live, "h3, h4, p, th, td, .ntvv-status, .ntvv-bar button:not(:disabled), figcaption")
    assert len(contrast) >= 60
    assert min(contrast) > 4.5


# Where it cannot be live ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_an_untrusted_notebook_keeps_the_card(browser, lab, twin, monkeypatch, theme):
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook.ipynb")
    twin.go(AT)
    bundle = twin._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    stored = nbformat.v4.new_output("execute_result", data=json.loads(json.dumps(bundle)), execution_count=1)
    cell = nbformat.v4.new_code_cell("card", outputs=[stored], execution_count=1)
    nbformat.write(book(cell), lab.folder / "stored_card.ipynb")
    page = opened(browser, lab.url)
    try:
        panel = show(page, "stored_card.ipynb")
        choose_theme(page, theme)
        images = panel.locator(".jp-OutputArea-output img")
        images.first.wait_for()
        assert images.count() == 5
        assert all(image.get_attribute("alt") for image in images.all())
        assert "A score is no verdict" in panel.inner_text()
        ink, paper = panel.locator(".jp-OutputArea-output td").first.evaluate(
            """node => {
              const sum = text => text.match(/[\\d.]+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0);
              let part = node; while (getComputedStyle(part).backgroundColor === 'rgba(0, 0, 0, 0)') part = part.parentElement;
              return [sum(getComputedStyle(node).color), sum(getComputedStyle(part).backgroundColor)];
            }"""
        )
        assert abs(ink - paper) > 400
    finally:
        page.context.close()


def test_a_report_has_the_card(make_notebook, command, open_offline: Callable, tmp_path):
    parameters = 'profile: str = "ci"  # sizes'
    path = make_notebook("# What does it change?", SOURCE, parameters=parameters, name="changed")
    done = command("run", path, "--out", tmp_path / "run", timeout=180)
    assert done.returncode == 0, done.stderr
    page = open_offline(tmp_path / "run" / "report.html")
    assert len(page.page.locator("figure img").all()) == 5
    assert page.page.locator('table[data-ntviz="scores"] tbody tr').count() == 11
    assert "43,042,364 C>T" in page.page.locator("figure img").nth(1).get_attribute("alt")
    page.clean()
