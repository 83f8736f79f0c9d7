"""The locus in a running JupyterLab: typed, clicked, dragged, by keyboard; in both themes; and where it cannot be live."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator

import nbformat
import pandas as pd
import pytest
from lab_pages import book, choose_theme, contrasts, opened, ready, run_all
from playwright.sync_api import Browser, Locator

from ntviz import annotation, data, explore, models
from ntviz.genome import Interval
from ntviz.reference import Reference

AT = "chr20:43,029,901-43,030,020"
NAMES = ["genes", "bases", "expected bases", "probability", "attention"]
SOURCE = f"""
from ntviz import annotation, data, explore, models
from ntviz.reference import Reference

locus = explore.locus(
    models.load("ntviz-mini", device="cpu"), Reference(data.bundle("chr20")), annotation.read(data.bundle("genes")),
    at="{AT}", components={NAMES}, window=240, width=400,
)
locus
"""


@pytest.fixture(scope="module")
def twin() -> explore.LocusExplorer:
    """The same locus in this process, to compare with what the page shows."""
    return explore.locus(
        models.load("ntviz-mini", device="cpu"),
        Reference(data.bundle("chr20")),
        annotation.read(data.bundle("genes")),
        at=AT,
        components=NAMES,
        window=240,
        width=400,
    )


@pytest.fixture(scope="module")
def live(browser: Browser, lab) -> Iterator[Locator]:
    """The live locus in JupyterLab, ready."""
    nbformat.write(book(nbformat.v4.new_code_cell(SOURCE)), lab.folder / "locus.ipynb")
    page = opened(browser, lab.url)
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    panel = run_all(page, "locus.ipynb")
    root = panel.locator(".ntvl")
    root.wait_for(timeout=120_000)
    ready(root)
    yield root
    page.context.close()


def visit(root: Locator, text: str) -> None:
    box = root.get_by_label("Gene, region or variant")
    box.fill(text)
    box.press("Enter")
    ready(root)


def check(root: Locator, twin: explore.LocusExplorer) -> None:
    """The page shows the view of the locus in this process, and its picture says the same."""
    assert [int(root.get_attribute(f"data-{edge}")) for edge in ("start", "end")] == [
        twin.view.start,
        twin.view.end,
    ]
    assert root.locator(".ntvl-where").inner_text() == twin.view.label()
    image = root.locator("figure img")
    assert image.count() == 1
    assert image.evaluate("node => node.naturalWidth") > 500
    assert image.get_attribute("alt") == twin.figure(enlarged=False).alt
    for name in NAMES:
        assert root.get_by_label(name, exact=True).is_checked() == (name in twin.shown)


def pixel(root: Locator, twin: explore.LocusExplorer, position: float) -> tuple[float, float]:
    """Where a position of the genome stands on the page, in the middle of the figure."""
    image = root.locator("figure img")
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    pane = twin.figure(enlarged=False).readout.panes[0]
    share = (position - twin.view.start) / len(twin.view)
    x = box["x"] + box["width"] * (pane.x0 + share * (pane.x1 - pane.x0))
    return x, box["y"] + box["height"] * (pane.y0 + 0.3 * (pane.y1 - pane.y0))


def test_type_a_place_and_see_its_tracks(live, twin):
    visit(live, AT)
    twin.go(AT)
    check(live, twin)
    assert "done" in live.locator(".ntvl-status").inner_text()
    visit(live, "HNF4A")
    twin.go("HNF4A")
    check(live, twin)
    assert live.get_attribute("data-name") == "HNF4A"


def test_buttons_zoom_and_pan(live, twin):
    visit(live, AT)
    twin.go(AT)
    for label, step in (
        ("Zoom in", lambda: twin.scale(0.5)),
        ("Pan right", lambda: twin.pan(0.5)),
        ("Zoom out", lambda: twin.scale(2)),
        ("Pan left", lambda: twin.pan(-0.5)),
    ):
        live.get_by_label(label).click()
        ready(live)
        step()
        check(live, twin)


def test_a_stretch_is_dragged_over(live, twin):
    visit(live, AT)
    twin.go(AT)
    start, end = twin.view.start + 30.5, twin.view.start + 69.5
    (x0, y), (x1, _) = (pixel(live, twin, place) for place in (start, end))
    mouse = live.page.mouse
    mouse.move(x0, y)
    mouse.down()
    mouse.move((x0 + x1) / 2, y)
    mouse.move(x1, y)
    chosen = live.locator(".ntvl-chosen").bounding_box()
    assert chosen["x"] == pytest.approx(x0, abs=2)
    assert chosen["width"] == pytest.approx(x1 - x0, abs=3)
    mouse.up()
    ready(live)
    twin.look(Interval(twin.view.chrom, twin.view.start + 30, twin.view.start + 70, "+"))
    check(live, twin)
    assert not live.locator(".ntvl-chosen").is_visible()
    # A click is no drag, and a drag that is given up is none either.
    x, y = pixel(live, twin, twin.view.start + 10.5)
    mouse.click(x, y)
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 60, y)
    live.locator("figure [tabindex]").first.focus()
    live.page.keyboard.press("Escape")
    mouse.up()
    check(live, twin)


def test_a_double_click_zooms_in_there(live, twin):
    visit(live, AT)
    twin.go(AT)
    at = twin.view.start + 40
    live.page.mouse.dblclick(*pixel(live, twin, at + 0.5))
    ready(live)
    twin.scale(0.5, at=at)
    check(live, twin)


def test_everything_can_be_reached_with_the_keyboard(live, twin):
    page = live.page
    visit(live, AT)
    twin.go(AT)
    live.locator("figure [tabindex]").focus()
    for key, step in (
        ("+", lambda: twin.scale(0.5)),
        ("n", lambda: twin.pan(0.5)),
        ("-", lambda: twin.scale(2)),
        ("p", lambda: twin.pan(-0.5)),
    ):
        page.keyboard.press(key)
        ready(live)
        step()
        check(live, twin)
        # The figure is a new one, and has the focus that the old one had.
        assert page.evaluate("document.activeElement.closest('.ntvl-figure') !== null")
    page.keyboard.press("ArrowRight")
    assert "chr20:" in live.locator("[data-readout]").inner_text()
    box = live.get_by_label("bases", exact=True)
    box.focus()
    page.keyboard.press("Space")
    ready(live)
    twin.hide("bases")
    check(live, twin)
    page.keyboard.press("Space")
    ready(live)
    twin.show("bases")
    check(live, twin)


def test_bad_text_is_answered_in_place_and_the_view_stays(live, twin):
    visit(live, AT)
    twin.go(AT)
    visit(live, "<img src=x onerror=alert(1)>")
    problem = live.locator(".ntvl-error")
    assert "received '<img src=x onerror=alert(1)>'" in problem.inner_text()
    visit(live, "HNF4B")
    assert "Nearest: HNF4A" in problem.inner_text()
    check(live, twin)
    assert live.locator("img[src=x]").count() == 0
    visit(live, AT)
    assert problem.inner_text() == ""


def test_what_is_saved_is_the_locus(live, twin, tmp_path):
    visit(live, AT)
    twin.go(AT)
    for what, name in (("data", "locus.zip"), ("figure", "locus.html")):
        with live.page.expect_download() as waiting:
            live.locator(f".ntvl-save-{what}").click()
        ready(live)
        waiting.value.save_as(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "locus.zip") as archive:
        about = json.loads(archive.read("locus/locus.json"))
        assert about["view"]["label"] == twin.view.label()
        assert set(about["components"]) == set(twin.tables())
        for name, table in twin.tables().items():
            text = archive.read(f"locus/{about['components'][name]['file']}")
            read = pd.read_csv(io.BytesIO(text), sep="\t", keep_default_na=name != "genes")
            assert read["start"].tolist() == table["start"].tolist()
            for column in table.select_dtypes("float"):
                assert read[column].tolist() == pytest.approx(table[column].tolist(), rel=1e-3, nan_ok=True)
    assert (tmp_path / "locus.html").read_text().count("<figure") == 1


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_text_is_legible_in_both_themes(live, theme):
    visit(live, AT)
    choose_theme(live.page, theme)
    contrast = contrasts(
        live, "label, button, .ntvl-where, .ntvl-status, .ntvl-help, figcaption, [data-readout]"
    )
    assert len(contrast) >= 15
    assert min(contrast) > 4.5


# Where it cannot be live ----------------------------------------------------------------------------------------------


def test_a_report_has_the_locus(make_notebook, command, open_offline: Callable, tmp_path):
    parameters = 'profile: str = "ci"  # sizes'
    path = make_notebook("# What lies here?", SOURCE, parameters=parameters, name="lies")
    done = command("run", path, "--out", tmp_path / "run", timeout=180)
    assert done.returncode == 0, done.stderr
    page = open_offline(tmp_path / "run" / "report.html")
    image = page.page.locator("figure img")
    assert image.count() == 1
    assert "Expected bases: largest" in image.get_attribute("alt")
    page.clean()
