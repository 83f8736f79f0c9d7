"""Live figures in JupyterLab: at once on a busy kernel, by mouse and keyboard, in both themes, reloaded, and where they cannot be live."""

from __future__ import annotations

import json
import shutil
import sysconfig
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import lab_pages
import nbformat
import numpy as np
import pytest
from lab_pages import SETUP, here, live_of, message, parts, pixel, place, run_all, running, says, show, visit
from playwright.sync_api import Browser, Locator, Page, expect

from ntviz import explore, plot
from ntviz.plot.theme import DARK, LIGHT

BUSY = "import pathlib, time\nwhile not pathlib.Path('{}').exists(): time.sleep(0.05)"
REGION = "chr20:43,029,000-43,034,999"


@pytest.fixture(scope="module")
def twin() -> explore.AttentionExplorer:
    """The same explorer in this process, to compare with what the page shows."""
    return explore.attention(*parts(), at="HNF4A")


@pytest.fixture(scope="module")
def page(browser: Browser, lab) -> Iterator[Page]:
    """JupyterLab with the explorer's notebook, run in a row in a kernel of another environment; the last cell keeps it busy."""
    cells = SETUP + 'explorer = explore.attention(*parts, at="HNF4A")', "explorer", BUSY.format("first")
    with running(browser, lab, "explorer.ipynb", *cells, kernel="elsewhere", wait=False) as page:
        page.errors = []
        page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
        yield page


@pytest.fixture
def live(page: Page) -> Locator:
    return live_of(here(page))


def seen(panel: Locator) -> None:
    """Wait for the still figure: JupyterLab's plotly extension saves a picture beside it, and shows that first."""
    panel.locator(".jp-RenderedPlotly img:visible, .js-plotly-plot:visible").first.wait_for(timeout=20_000)


def cells(live: Locator) -> np.ndarray:
    return np.array(live.evaluate("node => node._fullData.find(trace => trace.name === 'weight').z.map(row => [...row])"))  # fmt: skip


def test_all_cells_in_a_row_give_the_still_figure_then_the_live_one(page, twin, lab):
    panel = here(page)
    panel.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=90_000)
    assert panel.locator(".ntviz-live").count() == 0
    (lab.folder / "first").touch()
    live = live_of(panel)
    assert live.get_attribute("aria-label") == plot.alt(twin.figure())
    # The still one stays in the notebook, out of sight.
    expect(panel.locator(".js-plotly-plot:visible")).to_have_count(1)
    np.testing.assert_allclose(cells(live), twin.weights, rtol=5e-4)
    values = panel.locator(".jp-OutputArea select").evaluate_all("lists => lists.map(one => one.options[one.selectedIndex].text)")  # fmt: skip
    assert [value.replace("\xa0", " ") for value in values] == [
        "Save as …", str(twin.layer), str(twin.head), "reference", "sqrt", twin.score,
    ]  # fmt: skip


def test_type_a_place_click_a_head_zoom_and_click_a_cell(live, twin):
    page = live.page
    visit(live, REGION)
    twin.go(REGION)
    says(live, "1,000 queries by 1,000 keys")
    page.mouse.click(*pixel(live, 2.5, 3.5, ("2", "4")))
    says(live, "layer 3, head 2. chr20")
    twin.choose(3, 2)
    assert cells(live).shape == (250, 250)
    # From 6 kb to about 600 bp: single tokens now.
    page.mouse.move(*pixel(live, 43_029_900, 43_029_900, ("", "3")))
    page.mouse.down()
    page.mouse.move(*pixel(live, 43_030_500, 43_030_500, ("", "3")), steps=5)
    page.mouse.up()
    fine = "node => node._fullData.find(trace => trace.name === 'weight').z.length < 120"
    page.wait_for_function(fine, arg=live.element_handle())
    low, high = sorted(live.evaluate("node => node._fullLayout.xaxis.range"))
    assert 43_029_800 < low < high < 43_030_600
    places = twin.look.tokens.on(twin.look.interval)
    key = (int(np.flatnonzero(places[:, 1] > low - 0.5)[0]), int(np.flatnonzero(places[:, 0] < high - 0.5)[-1]) + 1)
    shown = cells(live)
    assert shown.shape[1] == key[1] - key[0]
    first = int(np.flatnonzero(places[:, 1] > min(live.evaluate("node => node._fullLayout.yaxis3.range")) - 0.5)[0])
    np.testing.assert_allclose(shown, twin.look.weights(3, 2, (first, first + len(shown)), key), rtol=5e-4)
    token = int(np.flatnonzero((places[:, 0] <= 43_030_199) & (places[:, 1] > 43_030_199))[0])
    page.mouse.click(*pixel(live, 43_030_203, 43_030_203, ("", "3")))
    weight = float(twin.look.weights(3, 2, (token, token + 1), (token, token + 1))[0, 0])
    expect(message(live)).to_contain_text(twin._pair(token, token, weight))
    # What JupyterLab's own shortcuts do with these keys must not happen.
    live.focus()
    page.keyboard.press("ArrowRight")
    least = "([node, low]) => Math.min(...node._fullLayout.xaxis.range)"
    page.wait_for_function(f"{least} > low + 20", arg=[live.element_handle(), low])
    page.keyboard.press("0")
    page.wait_for_function(f"{least} < 43029010", arg=[live.element_handle(), low])
    assert live.evaluate("node => node === document.activeElement")


def test_bad_text_is_answered_in_place(live):
    for text, answer in (("HNF4B", "Nearest: HNF4A"), ("43,029,700-43,031,200", "Type chr20:43,029,700-43,031,200")):
        visit(live, text)
        expect(message(live)).to_contain_text(answer)
        expect(place(live)).to_have_value(REGION)
    visit(live, "SNAP25")
    says(live, "SNAP25")
    expect(message(live)).to_have_text("")


def test_an_own_file_becomes_a_track_and_a_score(live):
    visit(live, "HNF4A")
    says(live, "HNF4A")
    text = "chr20\t43029700\t43029900\t<img src=x onerror=alert(1)>\nchr20\tbroken\n"
    with live.page.expect_file_chooser() as chooser:
        live.page.get_by_role("button", name="Add file").click()
    chooser.value.set_files({"name": "<b>mine.bed", "mimeType": "text/plain", "buffer": text.encode()})
    said = "<b>mine: 1 features, 200 bp of this window. 1 of 2 lines of <b>mine.bed could not be read"
    expect(message(live)).to_contain_text(said)
    assert live.page.locator("img[src=x], .ntviz-live b").count() == 0
    expect(live.locator(".y2tick text", has_text="<b>mine")).to_have_count(1)
    live.page.locator(".jp-OutputArea select").last.select_option("attention to <b>mine".replace(" ", "\xa0"))
    expect(live.locator(".annotation-text", has_text="Attention to <b>mine")).to_have_count(1)


def test_an_open_figure_follows_the_theme(live):
    for name, colours in (("JupyterLab Dark", DARK), ("JupyterLab Light", LIGHT)):
        lab_pages.choose_theme(live.page, name)
        shown = f"node => node._fullLayout.paper_bgcolor === '{colours.paper}'"
        live.page.wait_for_function(shown, arg=live.element_handle())
        assert live.evaluate("node => node._fullLayout.title.font.color") in (None, colours.ink)


def test_a_reloaded_page_has_the_figure_at_once_and_live_when_the_kernel_is_free(live, lab):
    page = live.page
    # The still figure in the notebook has followed, and stays out of sight.
    cells = "JSON.stringify(window.jupyterapp.shell.currentWidget.model.toJSON().cells)"
    page.wait_for_function(f"alt => {cells}.includes(JSON.stringify(alt))", arg=live.get_attribute("aria-label"), timeout=20_000)  # fmt: skip
    page.wait_for_function(f"() => {cells}.includes('Attention to')", timeout=20_000)
    expect(here(page).locator(".js-plotly-plot:visible")).to_have_count(1)
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save').then(() => null)")
    saved = json.loads((lab.folder / "explorer.ipynb").read_text())
    for output in (output for cell in saved["cells"] for output in cell.get("outputs", ())):
        # Half a megabyte that JupyterLab's plotly extension adds by itself.
        output.get("data", {}).pop("image/png", None)
    assert len(json.dumps(saved)) < 3e6  # 2.0 of it plotly.js
    kernel = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
    page.evaluate(f"code => void {kernel}.requestExecute({{code}})", BUSY.format("again"))
    page.reload()
    lab_pages.restored(page)
    panel = show(page, "explorer.ipynb")
    seen(panel)
    assert panel.locator(".ntviz-live").count() == 0
    (lab.folder / "again").touch()
    says(live_of(panel), "HNF4A")
    assert panel.locator(".jp-RenderedPlotly img:visible").count() == 0 and page.errors == []


def test_a_copy_without_its_kernel_keeps_the_figure(page, lab):
    shutil.copy(lab.folder / "explorer.ipynb", lab.folder / "copy.ipynb")
    panel = show(page, "copy.ipynb")
    seen(panel)
    expect(panel.locator(".js-plotly-plot .annotation-text", has_text="Attention to <b>mine")).to_have_count(1)


def other_anywidget(folder: Path) -> None:
    """The browser's part of anywidget under an older version's number, before that of the environment; files of other names, as the server keeps what it found."""
    shutil.copytree(Path(sysconfig.get_path("data")) / "share/jupyter/labextensions/anywidget", folder)
    files = [file for file in folder.rglob("*.js*") if file.is_file()]
    hashes = [file.name.split(".")[1] for file in files if file.parent.name == "static"]
    for file in files:
        text, name = file.read_text("utf-8").replace(version("anywidget"), "0.9.13"), file.name
        for part in hashes:
            text, name = text.replace(part, part[::-1]), name.replace(part, part[::-1])
        file.unlink()
        (file.parent / name).write_text(text, "utf-8")


def test_servers_that_others_look_after(browser, lab):
    """Without the extensions, and with those of an older anywidget: one notebook and kernel, whose cell runs again."""
    source = "import plotly.graph_objects as go\nfrom ntviz.plot.live import Live\nLive(go.Figure(go.Scatter(y=[1, 3, 2], name='toy')))"
    nbformat.write(lab_pages.book(source, kernel="elsewhere"), lab.folder / "toy.ipynb")
    config, extension = (lab.folder.parent / name for name in ("config/labconfig/page_config.json", "share/labextensions/anywidget"))  # fmt: skip
    config.parent.mkdir(parents=True)
    config.write_text('{"disabledExtensions": {"anywidget": true, "jupyterlab-plotly": true}}')
    try:
        page = lab_pages.opened(browser, lab.url)
        panel = run_all(page, "toy.ipynb")
        panel.locator(".js-plotly-plot:visible .main-svg").first.wait_for(timeout=30_000)
        page.wait_for_timeout(1_000)
        assert panel.locator(".ntviz-live").count() == 0 and panel.locator(".js-plotly-plot").first.is_visible()
        assert "Error" not in panel.locator(".jp-OutputArea").first.inner_text()
        page.context.close()
        config.unlink()
        other_anywidget(extension)
        page = lab_pages.opened(browser, lab.url)
        live_of(run_all(page, "toy.ipynb"))
        page.context.close()
    finally:
        config.unlink(missing_ok=True)
        shutil.rmtree(extension, ignore_errors=True)
