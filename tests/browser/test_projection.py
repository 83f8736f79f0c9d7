"""Maps of embeddings on a page opened offline: read with the pointer and the keyboard, and a region kept to copy."""

from __future__ import annotations

import pytest
from projection_toy import LINK, toy

from ntviz import plot

HOSTILE = '</script><script>window.planted=1</script><img src=x onerror="window.planted=1">'


@pytest.fixture
def opened(open_offline, tmp_path):
    figure = plot.embedding_map(toy(gene=HOSTILE), ["layer 0", "4-mers"], link=LINK)
    return open_offline(figure.save(tmp_path / "map.html"))


def readout(figure) -> str:
    return figure.locator("[data-readout]").text_content()


def rings(figure) -> list[tuple[float, float]]:
    """Middles of the rings, in pixels from the corner of the image."""
    image = figure.locator("img").bounding_box()
    boxes = [ring.bounding_box() for ring in figure.locator("[data-ring]").all()]
    return [
        (box["x"] + box["width"] / 2 - image["x"], box["y"] + box["height"] / 2 - image["y"]) for box in boxes
    ]


def test_the_keyboard_reads_windows_and_keeps_one(opened, check_figure):
    (figure,) = opened.figures
    check_figure(figure)
    assert readout(figure).startswith("Point at the figure")
    cursor = figure.get_by_role("slider")
    cursor.press("ArrowRight")
    assert readout(figure).startswith("chr20:1,001–1,600 (+)  ·  CDS")
    cursor.press("ArrowRight")
    assert readout(figure).startswith("chr20:2,001–2,600 (−)  ·  CDS")
    assert cursor.get_attribute("aria-valuetext").startswith("chr20:2,001–2,600 (−)")
    cursor.press("End")
    assert readout(figure) == "chr20:12,001–12,600 (+)  ·  5′ UTR  ·  GC 60 %"
    cursor.press("Enter")
    assert figure.locator("code").text_content() == "chr20:12001-12600"
    link = figure.locator("a")
    assert link.text_content() == "open at genome.example.org"
    assert (
        link.get_attribute("href") == "https://genome.example.org/view?db=hg19&position=chr20%3A12001-12600"
    )
    assert link.get_attribute("rel") == "noopener noreferrer"
    cursor.press("Home")
    assert figure.locator("code").text_content() == "chr20:1001-1600"
    cursor.press("Escape")
    assert figure.locator("code").count() == 0
    assert opened.page.evaluate("window.planted") is None
    opened.clean()


def test_the_pointer_rings_a_window_in_every_panel_and_a_click_keeps_it(opened):
    (figure,) = opened.figures
    figure.get_by_role("slider").press("Home")
    (left, right), image = rings(figure), figure.locator("img").bounding_box()
    # Where the second panel has the ring, the pointer finds the same window.
    figure.get_by_role("slider").press("End")
    opened.page.mouse.move(image["x"] + right[0], image["y"] + right[1])
    assert readout(figure).startswith("chr20:1,001–1,600 (+)")
    assert rings(figure) == [left, right]
    assert right[0] - left[0] > image["width"] / 4
    opened.page.mouse.click(image["x"] + left[0], image["y"] + left[1])
    opened.page.mouse.move(image["x"] + 5, image["y"] + image["height"] - 5)
    kept = readout(figure)
    assert kept.startswith("chr20:1,001–1,600 (+)")
    assert figure.locator("code").text_content() == "chr20:1001-1600"
    figure.locator("code").click()
    assert opened.page.evaluate("String(getSelection())") == "chr20:1001-1600"
    opened.page.mouse.click(image["x"] + left[0], image["y"] + left[1])
    assert figure.locator("code").count() == 0
    opened.clean()


def test_a_dark_page_leaves_figure_and_readout_light(open_offline, tmp_path, check_figure):
    path = plot.embedding_map(toy(), ["layer 0"]).save(tmp_path / "map.html")
    opened = open_offline(path, color_scheme="dark")
    (figure,) = opened.figures
    check_figure(figure)
    figure.get_by_role("slider").press("Enter")
    line = figure.locator("[data-readout]")
    assert line.evaluate("node => getComputedStyle(node).backgroundColor") == "rgb(255, 255, 255)"
    assert figure.locator("code").evaluate("node => getComputedStyle(node).color") == "rgb(31, 35, 40)"
    # Without a link there is none.
    assert figure.locator("a").count() == 0
    opened.clean()


def test_without_scripts_the_image_and_its_words_stay(open_offline, tmp_path, check_figure):
    path = plot.embedding_map(toy(), ["layer 0"]).save(tmp_path / "map.html")
    (figure,) = open_offline(path, java_script_enabled=True).figures
    alt = check_figure(figure)["alt"]
    still = open_offline(path, java_script_enabled=False)
    assert still.page.locator("figure[data-ntviz] img").get_attribute("alt") == alt
    assert still.page.locator("[data-readout]").count() == 0
