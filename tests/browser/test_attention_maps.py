"""Attention maps on a page opened offline: the two-dimensional cursor reads what numpy holds, by pointer and by keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from ntviz import plot
from ntviz.genome import Interval

START, N = 43_029_423, 40
SPANS = np.concatenate([[[START, START]], START + 6 * np.arange(N)[:, None] + [0, 6]])
WINDOW = Interval("chr20", START, START + 6 * N, "+")
SEQUENCE = "ACGTTGCA" * (6 * N // 8)
HOSTILE = '</script><script>window.planted=1</script><img src=x onerror="window.planted=1">'


def weights(seed: int = 0, n: int = N + 1) -> np.ndarray:
    scores = np.exp(np.random.default_rng(seed).normal(0, 1.5, (n, n)))
    return scores / scores.sum(axis=1, keepdims=True)


def a_map(title: str = "Where does it look?", **options) -> plot.Figure:
    return plot.attention_map(
        weights(), SPANS, WINDOW, title=title, label="head 3", sequence=SEQUENCE, control=weights(1), **options
    )  # fmt: skip


def small() -> np.ndarray:
    return np.random.default_rng(2).random((2, 3, 8, 8)).astype(np.float32)


def figures() -> list[plot.Figure]:
    track = plot.signal_track(np.linspace(0, 2.39, 6 * N), label="ramp", unit="nats")
    grid = np.arange(12.0).reshape(3, 4) / 10
    return [
        a_map(),
        plot.locus(WINDOW, [track], title="A locus between", sequence=SEQUENCE),
        plot.head_atlas(grid, label="entropy", unit="nats", title="All heads", marks={"chosen": [(1, 2)]}),
        plot.thumbnails(small(), title="All maps", scale="linear"),
    ]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of maps and a locus, as a report has them."""
    path = tmp_path_factory.mktemp("maps") / "maps.html"
    body = "\n<p>prose</p>\n".join(figure.html() for figure in figures())
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>maps</title><body>{body}', "utf-8"
    )
    return path


def readout(figure) -> str:
    return figure.locator("[data-readout]").text_content()


def stage(figure):
    return figure.locator("[tabindex='0']")


def told(figure, label: str) -> float:
    return float(re.search(rf"{label}: (?:about )?([\d.]+(?:e−\d+)?)", readout(figure))[1].replace("−", "-"))


def point(opened, figure, x: float, y: float) -> None:
    """Move the pointer to a place in the image, given as fractions of it."""
    image = figure.locator("img")
    height = image.bounding_box()["height"]
    image.evaluate(
        f"node => window.scrollTo(0, node.getBoundingClientRect().top + scrollY + {y * height} - 400)"
    )
    box = image.bounding_box()
    opened.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])


@pytest.mark.parametrize("width", [1300, 500])
def test_the_pointer_reads_the_pair_beneath_it_in_the_map_and_in_its_control(open_offline, page_file, width):
    opened = open_offline(page_file, viewport={"width": width, "height": 900})
    figure = opened.figures[0]
    values, control = weights()[1:, 1:], weights(1)[1:, 1:]
    result, beside = figures()[0].readout.panes
    for pane, query, key in ((result, 0, 0), (result, 7, 31), (beside, 39, 2), (beside, 20, 39)):
        x = pane.x0 + (key + 0.5) / N * (pane.x1 - pane.x0)
        y = pane.y0 + (query + 0.5) / N * (pane.y1 - pane.y0)
        point(opened, figure, x, y)
        text = readout(figure)
        letters = [SEQUENCE[6 * i : 6 * i + 6] for i in (query, key)]
        places = [f"chr20:{START + 6 * i + 1:,}–{START + 6 * i + 6:,}" for i in (query, key)]
        assert text.startswith(f"query {places[0]} {letters[0]}  ·  key {places[1]} {letters[1]}")
        assert told(figure, "head 3") == pytest.approx(values[query, key], rel=6e-3)
        assert told(figure, re.escape("control (shuffled sequence)")) == pytest.approx(
            control[query, key], rel=6e-3
        )
        assert told(figure, "on <cls>") == pytest.approx(weights()[query + 1, 0], rel=6e-3)
    # Two lines and a frame in each of the two maps.
    assert stage(figure).locator("> div:visible").count() == 6
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.clean()


def test_the_keyboard_moves_in_two_directions_and_finds_the_largest(open_offline, page_file):
    opened = open_offline(page_file)
    page, figure = opened.page, opened.figures[0]
    values = weights()[1:, 1:]
    page.keyboard.press("Tab")
    assert stage(figure).evaluate("node => node === document.activeElement")
    assert stage(figure).evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    assert "Where does it look?" in stage(figure).get_attribute("aria-label")
    # The first arrow begins at the strongest pair.
    page.keyboard.press("ArrowRight")
    query, key = np.unravel_index(values.argmax(), values.shape)
    assert readout(figure).startswith(f"query chr20:{START + 6 * query + 1:,}")
    assert f"key chr20:{START + 6 * key + 1:,}–" in readout(figure)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert f"key chr20:{START + 6 * 11 + 1:,}–" in readout(figure)
    for _ in range(4):
        page.keyboard.press("Shift+ArrowDown")
    assert readout(figure).startswith(f"query chr20:{START + 6 * 39 + 1:,}")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("m")
    assert f"key chr20:{START + 6 * int(values[38].argmax()) + 1:,}–" in readout(figure)
    assert told(figure, "head 3") == pytest.approx(values[38].max(), rel=6e-3)
    page.keyboard.press("End")
    assert f"key chr20:{START + 6 * 39 + 1:,}–" in readout(figure)
    # The cursor is no trap, and the locus after it has its own.
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    assert readout(opened.figures[1]).startswith(f"chr20:{START + 1:,} A")
    assert "ramp: 0 nats" in readout(opened.figures[1])
    opened.clean()


def test_beside_a_map_its_row_and_above_it_its_column_is_meant(open_offline, page_file):
    opened = open_offline(page_file)
    figure = opened.figures[0]
    pane = figures()[0].readout.panes[0]
    point(opened, figure, (pane.x0 + pane.x1) / 2, (pane.y0 + pane.y1) / 2)
    before = readout(figure)
    point(opened, figure, pane.x1 + 0.01, pane.y0 + 0.5 / N * (pane.y1 - pane.y0))
    assert readout(figure).startswith(f"query chr20:{START + 1:,}–")
    assert readout(figure).split("  ·  ")[1] == before.split("  ·  ")[1]
    point(opened, figure, pane.x0 + 1.5 / N * (pane.x1 - pane.x0), pane.y0 - 0.01)
    assert readout(figure).startswith(f"query chr20:{START + 1:,}–")
    assert f"key chr20:{START + 7:,}–" in readout(figure)
    opened.clean()


def test_atlas_and_thumbnails_are_read_too(open_offline, page_file):
    opened = open_offline(page_file)
    _, _, atlas, maps = opened.figures
    stage(atlas).press("Home")
    assert readout(atlas).startswith("layer 2  ·  head 0  ·  entropy: 0.8 nats")
    stage(atlas).press("ArrowUp")
    stage(atlas).press("ArrowRight")
    stage(atlas).press("ArrowRight")
    assert readout(atlas) == "layer 1  ·  head 2  ·  entropy: 0.6 nats  ·  chosen"
    values = small().reshape(6, 8, 8)
    panes = figures()[3].readout.panes
    for sheet, row, column in ((0, 0, 0), (4, 3, 7), (5, 7, 2)):
        pane = panes[sheet]
        x = pane.x0 + (column + 0.5) / 8 * (pane.x1 - pane.x0)
        y = pane.y0 + (row + 0.5) / 8 * (pane.y1 - pane.y0)
        point(opened, maps, x, y)
        assert readout(maps).startswith(
            f"layer {sheet // 3} head {sheet % 3}  ·  queries bin {row}  ·  keys bin {column}"
        )
        assert told(maps, "largest weight") == pytest.approx(values[sheet, row, column], abs=0.02)
    stage(maps).press("PageUp")
    assert readout(maps).startswith("layer 1 head 1  ·  queries bin 7  ·  keys bin 2")
    opened.clean()


def test_without_decompression_the_places_are_still_read(open_offline, tmp_path):
    figure = a_map()
    html = f"<script>delete window.DecompressionStream</script>{figure.page()}"
    path = tmp_path / "old.html"
    path.write_text(html, "utf-8")
    opened = open_offline(path)
    stage(opened.figures[0]).press("Home")
    assert re.match(rf"query chr20:[\d,–]+ \w+  ·  key chr20:{START + 1:,}–", readout(opened.figures[0]))
    assert "head 3:" not in readout(opened.figures[0])
    opened.clean()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_maps_read_in_both_colour_schemes_and_run_nothing_planted(
    open_offline, tmp_path, check_figure, scheme
):
    path = a_map(HOSTILE, elements={HOSTILE: [[START, START + 30]]}).save(tmp_path / "map.html")
    opened = open_offline(path, color_scheme=scheme)
    [figure] = opened.figures
    check_figure(figure)
    stage(figure).press("Home")
    assert "<script>window.pla…" in readout(figure)
    assert opened.page.evaluate("window.planted") is None
    colours = figure.evaluate(
        "node => [node, node.querySelector('[data-readout]')].map(n => getComputedStyle(n)).map(s => [s.color, s.backgroundColor])"
    )
    assert colours[0][1] == "rgb(255, 255, 255)"
    for colour, _ in colours:
        assert sum(int(part) for part in re.findall(r"\d+", colour)[:3]) < 250
    opened.clean()
