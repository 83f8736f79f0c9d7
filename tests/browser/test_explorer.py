"""The explorer in a running JupyterLab: by mouse and by keyboard, checked against numpy; and where it cannot be live."""

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

SOURCE = """
from ntviz import annotation, data, explore, models
from ntviz.reference import Reference

explorer = explore.attention(
    models.load("ntviz-mini", device="cpu"), Reference(data.bundle("chr20")), annotation.read(data.bundle("genes")), at="HNF4A"
)
explorer
"""


@pytest.fixture(scope="module")
def twin() -> explore.Explorer:
    """The same explorer in this process, to compare with what the page shows."""
    return explore.attention(
        models.load("ntviz-mini", device="cpu"),
        Reference(data.bundle("chr20")),
        annotation.read(data.bundle("genes")),
        at="HNF4A",
    )


@pytest.fixture(scope="module")
def live(browser: Browser, lab) -> Iterator[Locator]:
    """The live explorer in JupyterLab, ready."""
    nbformat.write(book(nbformat.v4.new_code_cell(SOURCE)), lab.folder / "explorer.ipynb")
    page = opened(browser, lab.url)
    panel = run_all(page, "explorer.ipynb")
    root = panel.locator(".ntv")
    root.wait_for(timeout=90_000)
    ready(root)
    yield root
    page.context.close()


def state(root: Locator, name: str) -> list[int]:
    return [int(part) for part in root.get_attribute(f"data-{name}").split(",")]


def visit(root: Locator, text: str) -> None:
    root.get_by_label("Gene, region or variant").fill(text)
    root.get_by_label("Gene, region or variant").press("Enter")
    ready(root)


def check_cursor(root: Locator, twin: explore.Explorer, allele: str = "reference") -> None:
    """What the readout says is what the model gives for that pair."""
    query, key, value = root.get_attribute("data-cursor").split(",")
    query, key = int(query), int(key)
    layer, head = state(root, "head")
    exact = twin.look.weights(layer, head, (query, query + 1), (key, key + 1), allele)[0, 0]
    assert float(value) == pytest.approx(exact, abs=1e-5)
    text = root.locator(".ntv-readout").inner_text()
    places = twin.look.tokens.on(twin.look.interval)
    for token in (query, key):
        first, last = places[token]
        where = f"{first + 1:,}" + (f"-{last:,}" if last > first + 1 else "")
        assert f"{twin.look.interval.chrom}:{where}" in text
        assert twin.look.bases(allele)[slice(*twin.look.tokens.spans[token])] in text


def test_type_a_gene_click_a_head_and_zoom(live, twin):
    visit(live, "snap25")
    twin.go("SNAP25")
    assert "SNAP25" in live.locator(".ntv-title").inner_text()
    assert twin.look.interval.label() in live.inner_text()
    live.locator('.ntv-cell[data-head="3,2"]').click()
    ready(live)
    assert state(live, "head") == [3, 2]
    assert state(live, "query") == list(twin.query)
    box = live.locator(".ntv-map").bounding_box()
    page = live.page
    page.mouse.move(box["x"] + box["width"] * 0.35, box["y"] + box["height"] * 0.4)
    check_cursor(live, twin)
    before = state(live, "key")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.42, box["y"] + box["height"] * 0.5, steps=4)
    page.mouse.up()
    ready(live)
    after = state(live, "key")
    assert before[0] <= after[0] < after[1] <= before[1]
    assert after[1] - after[0] < 0.3 * (before[1] - before[0])
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    check_cursor(live, twin)
    assert "every word exactly" in live.locator(".ntv-where").inner_text()


def test_a_word_shows_where_it_looks_and_what_looks_at_it(live, twin):
    visit(live, "HNF4A")
    twin.go("HNF4A")
    live.locator(".ntv-all").click()
    ready(live)
    box = live.locator(".ntv-map").bounding_box()
    live.page.mouse.click(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.45)
    ready(live)
    token = int(live.get_attribute("data-token"))
    row, column = twin.look.profile(*state(live, "head"), token)
    cells = live.locator(".ntv-strongest tr").nth(1).locator("td").all_inner_texts()
    assert float(cells[2]) == pytest.approx(row[1:].max(), rel=0.01)
    assert float(cells[5]) == pytest.approx(column[1:].max(), rel=0.01)
    assert live.locator(".ntv-profile").is_visible()
    assert "of its attention to <cls>" in live.inner_text()


def test_everything_can_be_reached_with_the_keyboard(live, twin):
    page = live.page
    visit(live, "chr20:43,029,500-43,030,500")
    twin.go("chr20:43,029,500-43,030,500")
    live.locator('.ntv-cell[aria-checked="true"]').focus()
    layer, head = state(live, "head")
    step = "ArrowLeft" if head else "ArrowRight"
    page.keyboard.press(step)
    ready(live)
    assert state(live, "head") == [layer, head - 1 if head else 1]
    live.locator(".ntv-map").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    check_cursor(live, twin)
    query = int(live.get_attribute("data-cursor").split(",")[0])
    page.keyboard.press("Enter")
    ready(live)
    assert int(live.get_attribute("data-token")) == query
    whole = state(live, "key")
    page.keyboard.press("+")
    ready(live)
    near = state(live, "key")
    assert near[1] - near[0] < whole[1] - whole[0]
    page.keyboard.press("Shift+ArrowRight")
    ready(live)
    assert state(live, "key")[0] > near[0]
    page.keyboard.press("0")
    ready(live)
    assert state(live, "key") == whole
    # JupyterLab's own shortcuts for these keys must not have seen them.
    assert live.locator(".ntv-map").evaluate("node => node === document.activeElement")


def test_bad_text_is_answered_in_place(live):
    visit(live, "HNF4B")
    assert "Nearest: HNF4A" in live.locator(".ntv-error").inner_text()
    visit(live, "chr20:1-900,000")
    assert "must be at most" in live.locator(".ntv-error").inner_text()
    visit(live, "HNF4A")
    assert live.locator(".ntv-error").inner_text() == ""


def test_a_variant_has_two_alleles_and_their_difference(live, twin):
    base = twin.sources.reference.fetch("chr20:43,030,000").sequence
    text = f"chr20:43,030,000 {base}>{'A' if base != 'A' else 'C'}"
    visit(live, text)
    twin.go(text)
    live.get_by_label("Allele").select_option("difference")
    ready(live)
    assert live.get_attribute("data-allele") == "difference"
    live.locator(".ntv-map").focus()
    live.page.keyboard.press("ArrowDown")
    check_cursor(live, twin, "difference")


def test_a_bed_file_becomes_a_track_and_a_score(live):
    visit(live, "HNF4A")
    text = "chr20\t43029700\t43029900\t<img src=x onerror=alert(1)>\nchr20\tbroken\n"
    live.locator("input[type=file]").set_input_files(
        {"name": "<b>mine.bed", "mimeType": "text/plain", "buffer": text.encode()}
    )
    ready(live)
    assert "1 of 2 lines of <b>mine.bed could not be read" in live.locator(".ntv-notice").inner_text()
    assert live.locator("img[src=x], .ntv b").count() == 0
    live.get_by_label("Colour heads by").select_option("attention to <b>mine.bed")
    assert "attention to <b>mine.bed" in live.locator(".ntv-cell").first.get_attribute("aria-label")


def test_what_is_saved_is_the_view(live, twin, tmp_path):
    visit(live, "HNF4A")
    twin.go("HNF4A")
    for what, name in (("table", "attention.tsv"), ("code", "attention.py"), ("figure", "attention.html")):
        with live.page.expect_download() as waiting:
            live.locator(f".ntv-save-{what}").click()
        ready(live)
        waiting.value.save_as(tmp_path / name)
    table = (tmp_path / "attention.tsv").read_text()
    assert "0-based, half-open" in table.splitlines()[1]
    names: dict = {}
    exec(compile((tmp_path / "attention.py").read_text(), "attention.py", "exec"), names)
    twin.choose(*state(live, "head"))
    np.testing.assert_allclose(names["weights"], twin.weights, atol=1e-5)
    strongest = table.splitlines()[3].split("\t")
    assert float(strongest[-1]) == pytest.approx(twin.weights.max(), rel=1e-4)
    assert "<figure" in (tmp_path / "attention.html").read_text()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_text_is_legible_in_both_themes(live, theme):
    choose_theme(live.page, theme)
    contrast = contrasts(live, ".ntv-title, .ntv-note, .ntv-where, .ntv-readout, .ntv-help")
    assert len(contrast) >= 5
    assert min(contrast) > 4.5


# Where it cannot be live ----------------------------------------------------------------------------------------------


def test_an_untrusted_notebook_keeps_the_picture(browser, lab, twin, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook.ipynb")
    twin.go("HNF4A")
    bundle = twin._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    stored = nbformat.v4.new_output("execute_result", data=json.loads(json.dumps(bundle)), execution_count=1)
    cell = nbformat.v4.new_code_cell("explorer", outputs=[stored], execution_count=1)
    nbformat.write(book(cell), lab.folder / "stored.ipynb")
    page = opened(browser, lab.url)
    try:
        images = show(page, "stored.ipynb").locator(".jp-OutputArea-output img")
        images.first.wait_for()
        assert images.count() == 2
        assert [image.get_attribute("alt") for image in images.all()] == [
            twin.still().heads.alt,
            twin.still().map.alt,
        ]
    finally:
        page.context.close()


def test_a_server_without_widgets_shows_the_picture(browser, lab_without_widgets):
    nbformat.write(book(nbformat.v4.new_code_cell(SOURCE)), lab_without_widgets.folder / "explorer.ipynb")
    page = opened(browser, lab_without_widgets.url)
    try:
        panel = run_all(page, "explorer.ipynb")
        images = panel.locator(".jp-OutputArea-output figure img")
        images.first.wait_for(timeout=90_000)
        assert images.count() == 2
        assert panel.locator(".ntv").count() == 0
        assert "HNF4A" in images.nth(1).get_attribute("alt")
    finally:
        page.context.close()


def test_a_report_has_the_picture(make_notebook, command, open_offline: Callable, tmp_path):
    parameters = 'profile: str = "ci"  # sizes'
    path = make_notebook("# What is seen?", SOURCE, parameters=parameters, name="explored")
    done = command("run", path, "--out", tmp_path / "run", timeout=180)
    assert done.returncode == 0, done.stderr
    page = open_offline(tmp_path / "run" / "report.html")
    assert len(page.page.locator("figure img").all()) == 2
    assert "layer 1, head 6" in page.page.locator("figure img").nth(1).get_attribute("alt")
    page.clean()
