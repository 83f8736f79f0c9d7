"""Figures on a page opened offline: seen, silent, read with the pointer and with the keyboard, in every theme."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntviz import plot
from ntviz.annotation import Annotation
from ntviz.genome import Interval
from ntviz.plot.figure import Figure
from ntviz.tokens import Tokenizer

HOSTILE = '</script><script>window.planted=1</script><img src=x onerror="window.planted=1">'
START, N = 43_029_423, 240
SEQUENCE = "ACGTTGCA" * (N // 8)
VALUES = np.linspace(0, 2.39, N)


def genes(name: str) -> Annotation:
    columns = [
        "chrom",
        "start",
        "end",
        "strand",
        "element",
        "gene",
        "gene_id",
        "transcript",
        "name",
        "origin",
    ]
    exon = ["20", START + 100, START + 400, "+", "exon", name, name, "t", "", ""]
    return Annotation(pd.DataFrame([exon], columns=columns))


def locus(*, strand: str = "+", name: str = "HNF4A", zoom: Interval | None = None) -> Figure:
    interval = Interval("chr20", START, START + N, strand)
    spans = np.array([[0, 0], *([START + 6 * i, START + 6 * i + 6] for i in range(N // 6))])
    weights = np.full(len(spans), 1 / len(spans))
    p = np.random.default_rng(0).dirichlet([0.5] * 4, N)
    tracks = [
        plot.genes_track(genes(name)),
        plot.sequence_track(SEQUENCE),
        plot.logo_track(p, control=p[::-1]),
        plot.signal_track(VALUES, label=f"ramp {name}", unit="nats"),
        plot.attention_track(weights, spans, label="head 3", query_span=(START + 96, START + 102)),
    ]
    return plot.locus(
        interval, tracks, title=f"What is at {name}?", assembly="GRCh37", sequence=SEQUENCE, zoom=zoom
    )


def several() -> list[Figure]:
    training = pd.DataFrame({"step": [1, 2, 3], "loss": [8.0, 7.5, 7.25]})
    elements = pd.DataFrame({"element": ["exon", "intron"], "loss": [7.5, 7.25]})
    return [
        locus(zoom=Interval("chr20", START + 80, START + 140)),
        locus(strand="-"),
        plot.curves(
            training,
            x="step",
            y=["loss"],
            y_label="loss, nats",
            title="Does it learn?",
            baselines={"unigram": 8},
        ),
        plot.bars(
            elements, category="element", value="loss", label="loss, nats", title="Where is it better?"
        ),
        plot.token_strip(Tokenizer("nt-v1")("ATTCCGNACGTACGGATTACA"), title="How is it cut?"),
    ]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of several figures, one of them twice, as a report has them."""
    figures = several()
    fragments = [figure.html() for figure in (*figures, figures[0])]
    path = tmp_path_factory.mktemp("page") / "several.html"
    body = "\n<p>prose</p>\n".join(fragments)
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>several</title><body>{body}', "utf-8"
    )
    return path


def readout(figure) -> str:
    return figure.locator("[data-readout]").text_content()


def test_every_figure_is_seen_and_the_page_is_silent(open_offline, page_file, check_figure):
    opened = open_offline(page_file)
    assert len(opened.figures) == 6
    for figure in opened.figures:
        check_figure(figure)
        assert figure.get_attribute("role") == "group"
        assert figure.locator("figcaption").is_visible()
        assert figure.locator("[data-readout]").count() == 1
    opened.clean()


def test_the_network_guard_itself_counts(open_offline, tmp_path):
    path = tmp_path / "loud.html"
    path.write_text(
        '<!doctype html><img src="https://example.org/a.png" alt="x"><script>console.error("loud")</script>'
    )
    opened = open_offline(path)
    assert opened.refused == ["https://example.org/a.png"]
    assert any("loud" in text for text in opened.errors)
    with pytest.raises(AssertionError, match=r"example\.org"):
        opened.clean()


def test_the_keyboard_moves_the_cursor_base_by_base(open_offline, page_file):
    opened = open_offline(page_file)
    page, figure = opened.page, opened.figures[0]
    slider = figure.get_by_role("slider")
    page.keyboard.press("Tab")
    assert slider.evaluate("node => node === document.activeElement")
    assert slider.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    page.keyboard.press("Home")
    assert readout(figure).startswith(f"chr20:{START + 1:,} A")
    assert "ramp HNF4A: 0 nats" in readout(figure)
    page.keyboard.press("ArrowRight")
    assert readout(figure).startswith(f"chr20:{START + 2:,} C")
    assert "ramp HNF4A: 0.01 nats" in readout(figure)
    page.keyboard.press("Shift+ArrowRight")
    assert readout(figure).startswith(f"chr20:{START + 12:,} ")
    assert "ramp HNF4A: 0.11 nats" in readout(figure)
    page.keyboard.press("ArrowLeft")
    assert readout(figure).startswith(f"chr20:{START + 11:,} ")
    page.keyboard.press("End")
    assert readout(figure).startswith(f"chr20:{START + N:,} A")
    assert "Genes: HNF4A exon 1" in readout(figure)
    assert slider.get_attribute("aria-valuetext") == readout(figure)
    assert slider.get_attribute("aria-valuenow") == str(N - 1)
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuenow") == str(N - 1)
    # The cursor is no trap, and a figure's cursor leaves the others alone.
    page.keyboard.press("Tab")
    second = opened.figures[1].get_by_role("slider")
    assert second.evaluate("node => node === document.activeElement")
    page.keyboard.press("Home")
    assert readout(opened.figures[1]).startswith(f"chr20:{START + N:,} A (− strand)")
    assert slider.get_attribute("aria-valuenow") == str(N - 1)
    opened.clean()


def test_the_first_arrow_key_starts_in_the_middle(open_offline, page_file):
    opened = open_offline(page_file)
    opened.page.keyboard.press("Tab")
    opened.page.keyboard.press("ArrowRight")
    assert opened.figures[0].get_by_role("slider").get_attribute("aria-valuenow") == str(N // 2)


@pytest.mark.parametrize("width", [1200, 420])
def test_the_pointer_reads_the_base_beneath_it_also_when_the_page_is_narrow(open_offline, page_file, width):
    opened = open_offline(page_file, viewport={"width": width, "height": 900})
    figure = opened.figures[0]
    image = figure.locator("img")
    image.scroll_into_view_if_needed()
    pane, near = several()[0].readout.panes
    for shown, stop in ((pane, 0), (pane, 137), (pane, N - 1), (near, 80), (near, 139)):
        box = image.bounding_box()
        across = shown.x0 + (stop + 0.5 - shown.first) / (shown.last - shown.first) * (shown.x1 - shown.x0)
        down = (shown.y0 + shown.y1) / 2
        image.evaluate(
            f"node => window.scrollTo(0, node.getBoundingClientRect().top + scrollY + {down * box['height']} - 400)"
        )
        box = image.bounding_box()
        opened.page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
        assert readout(figure).startswith(f"chr20:{START + stop + 1:,} {SEQUENCE[stop]}")
    # A base inside the enlarged part is marked in the overview and in the enlargement.
    assert figure.locator("div[role=slider] > div:visible").count() == 2
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.clean()


def test_other_figures_have_cursors_too(open_offline, page_file):
    opened = open_offline(page_file)
    _, _, curves, bars, strip, _ = opened.figures
    curves.get_by_role("slider").press("End")
    assert readout(curves) == "step 3  ·  loss: 7.25"
    bars.get_by_role("slider").press("Home")
    assert readout(bars) == "exon  ·  loss, nats: 7.5"
    strip.get_by_role("slider").press("Home")
    assert re.match(r"base 1 A  ·  nt-v1: token 1, ATTCCG, id \d+", readout(strip))
    box = strip.locator("img").bounding_box()
    x0, y0, x1, y1 = several()[4].readout.boxes[6]
    strip.scroll_into_view_if_needed()
    box = strip.locator("img").bounding_box()
    opened.page.mouse.move(box["x"] + (x0 + x1) / 2 * box["width"], box["y"] + (y0 + y1) / 2 * box["height"])
    assert readout(strip).startswith("base 7 N")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_saved_pages_read_in_both_colour_schemes(open_offline, tmp_path, check_figure, scheme):
    path = locus().save(tmp_path / "figure.html")
    opened = open_offline(path, color_scheme=scheme)
    check_figure(opened.figures[0])
    colours = opened.figures[0].evaluate(
        """figure => [figure, figure.querySelector('figcaption'), figure.querySelector('[data-readout]'), document.body]
          .map(node => getComputedStyle(node)).map(style => [style.color, style.backgroundColor])"""
    )
    assert colours[0][1] == "rgb(255, 255, 255)"
    # Text on the card stays dark, whatever colour the page gives to its own text.
    for colour, _ in colours[:3]:
        assert sum(int(part) for part in re.findall(r"\d+", colour)[:3]) < 250
    opened.clean()


def test_without_scripts_the_image_its_alt_text_and_the_caption_stay(
    open_offline, page_file, check_figure, browser
):
    opened = open_offline(page_file, java_script_enabled=False)
    for figure in opened.page.locator("figure[data-ntviz]").all():
        box = figure.locator("img").bounding_box()
        assert box["height"] > 100
        assert len(figure.locator("img").get_attribute("alt")) > 20
        assert figure.locator("figcaption").is_visible()
        assert figure.locator("[data-readout]").count() == 0


def test_script_tags_planted_in_names_do_not_run(open_offline, tmp_path, check_figure):
    path = locus(name=HOSTILE).save(tmp_path / "figure.html")
    opened = open_offline(path)
    assert opened.page.evaluate("window.planted") is None
    assert len(opened.figures) == 1
    check_figure(opened.figures[0])
    opened.figures[0].get_by_role("slider").press("End")
    assert "window.planted" in readout(opened.figures[0])
    assert opened.page.evaluate("window.planted") is None
    opened.clean()


def test_a_window_of_100_kb_has_a_cursor_over_bins(open_offline, tmp_path, check_figure):
    n = 100_000
    track = plot.signal_track(np.arange(n, dtype=float), label="ramp", unit="nats")
    path = plot.locus(Interval("chr20", 0, n), [track], title="Long").save(tmp_path / "long.html")
    opened = open_offline(path)
    check_figure(opened.figures[0])
    opened.figures[0].get_by_role("slider").press("Home")
    assert readout(opened.figures[0]) == "chr20:1–5  ·  ramp: 4 nats"
    opened.figures[0].get_by_role("slider").press("End")
    assert readout(opened.figures[0]).startswith("chr20:99,996–100,000  ·  ramp: 99,999 nats")
    opened.clean()
