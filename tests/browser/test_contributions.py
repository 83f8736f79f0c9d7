"""Contributions, regions and logos of motifs on a page opened offline: read by keyboard, silent, legible, names stay text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lab_pages import contrasts

from ntviz import annotation, plot
from ntviz.genome import Interval

# As a line of a BED could name a region, whole and as long as a region's name may be.
HOSTILE = '<img src=x onerror="window.planted=1"></script><script>window.planted=1</script>'
SHORT = "<img src=x onerror=planted>"
START, N = 43_029_423, 60
SEQUENCE = "GATTACANGC" * (N // 10)
VALUES = np.round(np.linspace(-0.9, 1.46, N), 2)
SITE = np.eye(4)[[2, 0, 3]]  # GAT
LOOSE = np.array([[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]])


def bed(tmp_path: Path, *names: str) -> pd.DataFrame:
    """The table of a BED file, scored: 10 bp each, one after the other from the start of the window."""
    lines = [
        f"chr20\t{START + 10 * i}\t{START + 10 * i + 10}\t{name}\t0\t{'+-'[i % 2]}"
        for i, name in enumerate(names)
    ]
    path = tmp_path / "mine.bed"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return annotation.read(path).table.assign(score=np.arange(1.0, len(names) + 1))


def locus(tmp_path: Path, *, name: str = "peak", strand: str = "+") -> plot.Figure:
    tracks = [
        plot.contribution_track(
            VALUES, SEQUENCE, label=f"attribution {name}", unit="nats", control=VALUES[::-1] / 10, control_label=name
        ),
        plot.regions_track(bed(tmp_path, name, "second"), label=f"mine {name}", score_label=f"score {name}"),
    ]  # fmt: skip
    interval = Interval("chr20", START, START + N, strand)
    return plot.locus(interval, tracks, title=f"What counts at {name}?", sequence=SEQUENCE)


def logos(name: str = "known") -> plot.Figure:
    match = plot.Beside(SITE[::-1, ::-1], strand="-", name=name, note=f"q = 0.01 {name}")
    return plot.motif_logos(
        [SITE, LOOSE], names=["found", name], beside=[match, None], title=f"Which motifs, {name}?"
    )


@pytest.fixture
def opened(open_offline, tmp_path):
    """All figures on one page, as a report has them."""
    figures = [locus(tmp_path), locus(tmp_path, strand="-"), logos()]
    body = "\n<p>prose</p>\n".join(figure.html() for figure in figures)
    path = tmp_path / "page.html"
    path.write_text(f'<!doctype html><html lang="en"><meta charset="utf-8"><title>t</title><body>{body}', "utf-8")  # fmt: skip
    return open_offline(path)


def readout(figure) -> str:
    return figure.locator("[data-readout]").text_content()


def test_every_figure_is_seen_and_the_page_is_silent(opened, check_figure):
    assert len(opened.figures) == 3
    for figure in opened.figures:
        check_figure(figure)
        assert figure.locator("figcaption").is_visible()
        assert readout(figure).startswith("Point at the figure")
    opened.clean()


def test_the_keyboard_reads_contributions_and_regions_base_by_base(opened):
    figure, page = opened.figures[0], opened.page
    page.keyboard.press("Tab")
    cursor = figure.get_by_role("slider")
    assert cursor.evaluate("node => node === document.activeElement")
    page.keyboard.press("Home")
    said = readout(figure)
    assert said.startswith(f"chr20:{START + 1:,} G")
    assert "attribution peak: G −0.9 nats" in said
    # The control's values are those of the other end, a tenth as large.
    assert "control (peak): 0.146 nats" in said
    assert "mine peak: peak (+), score peak 1" in said
    page.keyboard.press("Shift+ArrowRight")
    said = readout(figure)
    assert said.startswith(f"chr20:{START + 11:,} G")
    assert f"attribution peak: G −{-VALUES[10]:g} nats" in said
    assert "mine peak: second (−), score peak 2" in said
    assert cursor.get_attribute("aria-valuetext") == said
    page.keyboard.press("End")
    assert "attribution peak: C 1.46 nats" in readout(figure)
    assert "second" not in readout(figure)
    opened.clean()


def test_a_window_on_the_minus_strand_is_read_from_its_own_start(opened):
    cursor = opened.figures[1].get_by_role("slider")
    cursor.press("Home")
    said = readout(opened.figures[1])
    assert said.startswith(f"chr20:{START + N:,} G (− strand)")
    assert "attribution peak: G −0.9 nats" in said
    cursor.press("End")
    said = readout(opened.figures[1])
    assert "attribution peak: C 1.46 nats" in said
    # Regions are of the genome: the first is at its last base here.
    assert "mine peak: peak (+)" in said
    opened.clean()


def test_the_keyboard_reads_logos_position_by_position(opened):
    figure = opened.figures[2]
    cursor = figure.get_by_role("slider")
    cursor.press("Home")
    assert readout(figure).startswith("found, position 1  ·  height: 2 bits  ·  probability of A: 0")
    assert "beneath: G of known (−), 2 bits" in readout(figure)
    cursor.press("ArrowRight")
    assert readout(figure).startswith("found, position 2  ·  height: 2 bits  ·  probability of A: 1")
    for _ in range(2):
        cursor.press("ArrowRight")
    assert readout(figure).startswith("known, position 1  ·  height: 0.64")
    assert "probability of A: 0.7" in readout(figure)
    assert "beneath: no match" in readout(figure)
    cursor.press("End")
    assert readout(figure).startswith("known, position 2  ·  height: 0 bits")
    opened.clean()


def test_the_pointer_reads_the_column_beneath_it(opened):
    figure = opened.figures[2]
    image = figure.locator("img")
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    for stop, head in ((0, "found, position 1"), (2, "found, position 3"), (4, "known, position 2")):
        x0, y0, x1, y1 = logos().readout.boxes[stop]
        opened.page.mouse.move(
            box["x"] + (x0 + x1) / 2 * box["width"], box["y"] + (y0 + y1) / 2 * box["height"]
        )
        assert readout(figure).startswith(head)


@pytest.mark.parametrize("name", [SHORT, HOSTILE], ids=["short", "long"])
def test_names_of_a_bed_file_and_of_motifs_stay_text(open_offline, tmp_path, check_figure, name):
    for figure in (locus(tmp_path, name=name), logos(name)):
        opened = open_offline(figure.save(tmp_path / "figure.html"))
        (shown,) = opened.figures
        check_figure(shown)
        shown.get_by_role("slider").press("Home")
        assert "<img src=x" in readout(shown)
        assert name[:20] in shown.locator("img").get_attribute("alt")
        assert opened.page.locator("img[src=x]").count() == 0
        assert opened.page.evaluate("window.planted") is None
        opened.clean()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_are_legible_in_both_colour_schemes(open_offline, tmp_path, check_figure, scheme):
    for figure in (locus(tmp_path), logos()):
        opened = open_offline(figure.save(tmp_path / "figure.html"), color_scheme=scheme)
        (shown,) = opened.figures
        check_figure(shown)
        shown.get_by_role("slider").press("Home")
        assert shown.evaluate("node => getComputedStyle(node).backgroundColor") == "rgb(255, 255, 255)"
        contrast = contrasts(shown, "figcaption, [data-readout]")
        assert len(contrast) == 2
        assert min(contrast) > 4.5
        opened.clean()
