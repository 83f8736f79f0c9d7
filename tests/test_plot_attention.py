"""Attention maps, head atlases, thumbnails and enrichments, read back from their artists and from their HTML."""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize, to_rgb
from PIL import Image

from ntviz import plot
from ntviz.annotation import Annotation
from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.cells import LEVELS, packed_levels
from ntviz.plot.figure import Figure
from ntviz.plot.grids import contrasting, score_colours, score_norm
from ntviz.plot.indexed import indexed_png, palette_of, stepped
from ntviz.plot.mapping import cut, pooled, side, weight_colours, weight_norm
from ntviz.plot.view import View
from ntviz.tokens import Tokenizer

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
COLUMNS = ["chrom", "start", "end", "strand", "element", "gene", "gene_id", "transcript", "name", "origin"]
START = 43_029_999
SEQUENCE = "ATTCCGATTCCGNACGTACGTAATTCCGCCCGGG"
WINDOW = Interval("chr20", START, START + len(SEQUENCE), "+")


def genes(name: str = "HNF4A", start: int = START, *, strand: str = "+") -> Annotation:
    rows = [
        ("20", start + 6, start + 12, strand, "exon", name, name, "t1", "", ""),
        ("20", start + 20, start + 30, strand, "exon", name, name, "t1", "", ""),
        ("20", start + 20, start + 26, strand, "CDS", name, name, "t1", "", ""),
        ("20", start + 8, start + 14, strand, "exon", name, name, "t2", "", ""),
    ]
    return Annotation(pd.DataFrame(rows, columns=COLUMNS))


def tokens_on(interval: Interval = WINDOW):
    tokens = Tokenizer("nt-v2")(SEQUENCE)
    return tokens.on(interval)


def softmax(shape: tuple[int, ...], seed: int = 0, sharp: float = 1.5) -> np.ndarray:
    scores = np.exp(np.random.default_rng(seed).normal(0, sharp, shape))
    return scores / scores.sum(axis=-1, keepdims=True)


def toy(**options) -> Figure:
    spans = tokens_on()
    settings = {"title": "A toy", "label": "Layer 1 head 2"} | options
    return plot.attention_map(softmax((len(spans), len(spans))), spans, WINDOW, **settings)


def axes_of(figure: Figure) -> dict[str, Axes]:
    return {ax.get_label(): ax for ax in figure.drawing.axes}


def artists(ax, gid: str) -> list:
    return [artist for artist in ax.findobj() if artist.get_gid() == gid]


def texts(ax, gid: str) -> list[str]:
    return [text.get_text() for text in artists(ax, gid)]


def mesh(ax: Axes):
    [found] = artists(ax, "cells")
    return found


def edges(ax: Axes) -> tuple[np.ndarray, np.ndarray]:
    corners = mesh(ax).get_coordinates()
    return corners[:, 0, 1], corners[0, :, 0]


class Elements(HTMLParser):
    """Start tags with their attributes, and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag == "script"

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.scripts.append(data)


def data_of(figure: Figure) -> dict:
    return json.loads(Elements(figure.html()).scripts[0])


def unpacked(lane: dict) -> np.ndarray:
    """Values of a lane as the script computes them."""
    if "values" in lane:
        return np.frombuffer(base64.b64decode(lane["values"]), "<f4").astype(float)
    raw = np.frombuffer(zlib.decompress(base64.b64decode(lane["deflated"])), np.uint8).astype(int)
    if lane["levels"] > 255:
        half = len(raw) // 2
        raw = raw[:half] * 0 + raw[half:] * 256 + raw[:half]
    values = lane["top"] * (raw / lane["levels"]) ** lane["power"]
    return np.where(raw > lane["levels"], np.nan, values)


# Levels ---------------------------------------------------------------------------------------------------------------


def test_levels_come_back_to_three_digits_zero_as_zero_and_nothing_as_nothing():
    values = np.append(softmax((50, 60), sharp=4), [[0.0, np.nan] * 30], axis=0)
    packed = packed_levels(values, most=1_000_000)
    assert (packed["levels"], packed["digits"]) == (65_534, 3)
    back = unpacked(packed).reshape(values.shape)
    large = values > 1e-5
    np.testing.assert_allclose(back[large], values[large], rtol=1e-3)
    np.testing.assert_array_equal(back[-1], values[-1])


def test_fewer_levels_are_taken_until_they_fit():
    values = softmax((200, 200), sharp=2)
    seen = []
    for most in (1_000_000, 50_000, 40_000, 30_000, 100):
        packed = packed_levels(values, most=most)
        seen.append(packed["levels"])
        assert len(packed["deflated"]) <= most or packed["levels"] == LEVELS[-1]
        large = values > 0.1 * values.max()
        back = unpacked(packed).reshape(values.shape)
        np.testing.assert_allclose(back[large], values[large], rtol=4 / packed["levels"])
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) > 3
    assert packed["digits"] == 2


# Images with a palette ------------------------------------------------------------------------------------------------


def test_a_picture_of_few_colours_comes_back_exactly_with_the_kept_ones_first():
    keep = palette_of(weight_colours(16))
    pixels = keep[np.random.default_rng(0).integers(0, 16, (20, 30))].repeat(2, axis=0)
    pixels = np.pad(pixels, ((3, 3), (3, 3), (0, 0)), constant_values=255)
    image = Image.open(BytesIO(indexed_png(pixels, keep=keep, texts={"Title": "5′ – 3′"})))
    assert image.mode == "P"
    assert image.text == {"Title": "5′ – 3′"}
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), pixels)
    np.testing.assert_array_equal(np.reshape(image.getpalette(), (-1, 3))[:16], keep)
    assert np.asarray(image)[3:-3, 3:-3].max() < 16


def test_of_too_many_colours_the_kept_and_the_frequent_stay_and_the_rest_moves_little():
    rng = np.random.default_rng(1)
    keep = palette_of(stepped(palette.sequential(), 128))
    pixels = rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)
    pixels[:20] = 255
    pixels[20:30] = (246, 248, 250)
    pixels[30:40, :60] = keep[rng.integers(0, 128, (10, 60))]
    back = np.asarray(Image.open(BytesIO(indexed_png(pixels, keep=keep))).convert("RGB"))
    np.testing.assert_array_equal(back[:40], pixels[:40])
    soft = np.zeros((40, 40, 3), np.uint8) + np.linspace(0, 255, 1600).astype(np.uint8).reshape(40, 40, 1)
    soft[..., 2] //= 2
    shown = np.asarray(Image.open(BytesIO(indexed_png(soft, keep=keep))).convert("RGB"))
    assert np.abs(shown.astype(int) - soft).max() <= 16


def test_pixels_of_a_map_have_exactly_the_colours_of_their_weights():
    figure = toy(scale="linear")
    image = Image.open(BytesIO(figure.png())).convert("RGB")
    ax = axes_of(figure)["map"]
    spans, weights = tokens_on()[1:], softmax((len(tokens_on()),) * 2)[1:, 1:]
    norm, colours = weight_norm("linear", weights.max(), 0.0), palette_of(weight_colours())
    box = ax.get_position()
    for query, key in np.ndindex(weights.shape):
        x = box.x0 + (spans[key].mean() - START) / len(SEQUENCE) * box.width
        y = 1 - box.y1 + (spans[query].mean() - START) / len(SEQUENCE) * box.height
        pixel = image.getpixel((int(x * image.width), int(y * image.height)))
        step = min(127, int(float(norm(weights[query, key])) * 128))
        assert pixel == tuple(colours[step].tolist())


# Where cells stand ----------------------------------------------------------------------------------------------------


def test_cells_have_the_edges_of_their_tokens_also_around_n():
    ax = axes_of(toy())["map"]
    spans = tokens_on()[1:]
    # 6-mers, then the single bases around an N, then 6-mers and what is left.
    assert len(set((spans[:, 1] - spans[:, 0]).tolist())) > 1
    rows, columns = edges(ax)
    np.testing.assert_array_equal(columns, [*spans[:, 0], spans[-1, 1]])
    np.testing.assert_array_equal(rows, columns)
    np.testing.assert_allclose(mesh(ax).get_array(), softmax((len(spans) + 1,) * 2)[1:, 1:])
    # The first row is at the top.
    assert ax.get_ylim() == (WINDOW.end, WINDOW.start)
    assert ax.get_xlim() == (WINDOW.start, WINDOW.end)


def test_a_gap_between_tokens_is_no_value():
    spans = np.array([[0, 6], [8, 14], [14, 15]])
    figure = plot.attention_map(softmax((3, 3)), spans, Interval("chr1", 0, 20), title="t")
    _, columns = edges(axes_of(figure)["map"])
    np.testing.assert_array_equal(columns, [0, 6, 8, 14, 15, 20])
    shown = mesh(axes_of(figure)["map"]).get_array().filled(np.nan)
    assert np.isnan(shown[1]).all()
    assert np.isnan(shown[:, [1, 4]]).all()
    assert np.isfinite(shown[np.ix_([0, 2, 3], [0, 2, 3])]).all()


def test_on_the_minus_strand_both_axes_read_in_its_direction():
    reverse = Interval("chr20", WINDOW.start, WINDOW.end, "-")
    spans = Tokenizer("nt-v2")("ACGTACGTACGG").on(Interval("chr20", 100, 112, "-"))
    assert spans[1].tolist() == [106, 112]
    weights = np.array([[0, 0, 0], [0, 0.1, 0.9], [0, 0.6, 0.4]])
    figure = plot.attention_map(
        weights, spans, Interval("chr20", 100, 112, "-"), title="t", sequence="ACGTACGTACGG"
    )
    ax = axes_of(figure)["map"]
    _, columns = edges(ax)
    np.testing.assert_array_equal(columns, [112, 106, 100])
    np.testing.assert_allclose(mesh(ax).get_array(), weights[1:, 1:])
    assert (ax.get_xlim(), ax.get_ylim()) == ((112, 100), (100, 112))
    data = data_of(figure)["columns"]
    assert np.cumsum(data["steps"]).tolist() == [106, 100]
    assert (data["bases"], data["reverse"], data["start"]) == ("ACGTACGTACGG", True, 100)
    assert "query 107–112 on key 101–106, 0.9" in figure.alt
    assert "− strand" in texts(figure.drawing, "region")[0]
    assert reverse.strand == "-"


def brute_pooled(weights, spans, view) -> np.ndarray:
    """Largest weight beneath each pixel, by looking at every token for every pixel."""
    bins = min(int(view.width * 96), len(view.interval))
    places = np.linspace(view.interval.start, view.interval.end, bins + 1)
    touched = [(spans[:, 0] < b) & (spans[:, 1] > a) for a, b in itertools.pairwise(places)]
    if view.reverse:
        touched = touched[::-1]
    result = np.full((bins, bins), np.nan)
    for i, row in enumerate(touched):
        for j, column in enumerate(touched):
            part = weights[np.ix_(row, column)]
            result[i, j] = part.max() if part.size else np.nan
    return result


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("step", [6, 3])
def test_pixels_of_thin_or_overlapping_tokens_hold_the_largest_weight_beneath_them(strand, step):
    starts = np.arange(1000, 1600, step)
    spans = np.stack([starts, starts + 6], axis=1)
    spans = spans[(starts < 1200) | (starts > 1250)]
    interval = Interval("chr1", 1000, 1606, strand)
    view = View(interval, interval, 0.5 if step == 6 else 1.2)
    placed = side(spans, view, "spans")
    cells = cut(placed.spans, view)
    weights = softmax((len(spans),) * 2)
    shown = pooled(weights[np.ix_(placed.tokens, placed.tokens)], cells, cells)
    np.testing.assert_allclose(shown, brute_pooled(weights, spans, view))
    assert np.isnan(shown).any()


def test_a_map_of_thin_tokens_says_that_it_is_pooled_and_loses_no_strong_pair():
    starts = 6 * np.arange(1000)
    spans = np.stack([starts, starts + 6], axis=1)
    weights = np.full((1000, 1000), 1e-4)
    weights[123, 877] = 0.9
    figure = plot.attention_map(weights, spans, Interval("chr1", 0, 6000), title="t", width=8)
    shown = mesh(axes_of(figure)["map"]).get_array()
    assert shown.shape[0] < 700
    assert shown.max() == pytest.approx(0.9)
    assert (
        "Tokens are thinner than a pixel: each pixel shows the largest weight beneath it." in figure.caption
    )
    assert "Tokens are thinner" not in toy().caption


# Special tokens -------------------------------------------------------------------------------------------------------


def test_attention_to_cls_is_a_strip_and_a_number_and_its_row_is_left_out():
    weights = softmax((len(tokens_on()),) * 2)
    figure = toy()
    strip = axes_of(figure)["map: <cls>"]
    [bars] = artists(strip, "special")
    values, places, _ = bars.get_data()
    np.testing.assert_allclose(values, weights[1:, 0])
    np.testing.assert_array_equal(places, edges(axes_of(figure)["map"])[0])
    share = f"{weights[1:, 0].mean():.0%} on <cls>"
    assert texts(figure.drawing, "panel note") == [share]
    assert share in figure.alt
    assert f"{len(weights) - 1} queries by {len(weights) - 1} keys" in figure.alt
    lane = data_of(figure)["lanes"][-1]
    assert (lane["label"], lane["of"]) == ("on <cls>", "row")
    np.testing.assert_allclose(unpacked(lane), weights[1:, 0], rtol=1e-6)


def test_without_special_tokens_there_is_no_strip_and_no_claim():
    spans = tokens_on()[1:]
    figure = plot.attention_map(softmax((len(spans),) * 2), spans, WINDOW, title="t")
    assert "map: <cls>" not in axes_of(figure)
    assert "<cls>" not in figure.alt + figure.caption


def test_a_window_of_rows_takes_its_own_place_and_its_share_as_given():
    spans = tokens_on()
    weights = softmax((len(spans),) * 2)
    figure = plot.attention_map(
        weights[2:5, 1:], spans[1:], WINDOW, title="t", query_spans=spans[2:5], to_special=weights[2:5, 0], sequence=SEQUENCE
    )  # fmt: skip
    ax = axes_of(figure)["map"]
    assert ax.get_ylim() == (spans[4, 1], spans[2, 0])
    np.testing.assert_allclose(mesh(ax).get_array(), weights[2:5, 1:])
    values, _, _ = artists(axes_of(figure)["map: <cls>"], "special")[0].get_data()
    np.testing.assert_allclose(values, weights[2:5, 0])
    data = data_of(figure)
    first = spans[2] - START
    assert data["rows"]["bases"] == SEQUENCE[first[0] : spans[4, 1] - START]
    assert data["rows"]["start"] == spans[2, 0]
    assert "(keys)" in figure.alt
    assert "(queries)" in figure.alt


# Around the map -------------------------------------------------------------------------------------------------------


def rectangles(ax: Axes, gid: str, axis: int) -> list[tuple[float, float]]:
    found = []
    for box in artists(ax, gid):
        low = box.get_xy()[axis]
        found.append((low, low + (box.get_width(), box.get_height())[axis]))
    return sorted(found)


def test_genes_and_elements_stand_along_both_axes_at_their_places():
    figure = toy(genes=genes(), elements=["exon", "CDS"])
    axes = axes_of(figure)
    for name, axis in (("map: columns' tracks", 0), ("map: rows' tracks", 1)):
        ax = axes[name]
        # Transcripts are merged: 6 to 12 and 8 to 14 are one exon.
        assert rectangles(ax, "exon", axis) == [(START + 6, START + 14), (START + 20, START + 30)]
        assert rectangles(ax, "CDS", axis) == [(START + 20, START + 26)]
        assert rectangles(ax, "element exon", axis) == [(START + 6, START + 14), (START + 20, START + 30)]
        assert texts(ax, "gene") == ["HNF4A"]
        assert (ax.get_xlim, ax.get_ylim)[axis]() == (
            axes["map"].get_xlim() if axis == 0 else axes["map"].get_ylim()
        )
    assert {text.get_rotation() for text in artists(axes["map: rows' tracks"], "gene")} == {90.0}
    assert sorted(texts(figure.drawing, "element name")) == ["CDS", "CDS", "exon", "exon"]
    assert f"HNF4A (+ strand), transcription start at {START + 7:,}" in figure.alt
    assert "exon covers 53% of the window" in figure.alt
    # The tracks touch the map without covering it.
    assert axes["map: columns' tracks"].get_position().y0 == pytest.approx(axes["map"].get_position().y1)
    assert axes["map: rows' tracks"].get_position().x1 == pytest.approx(axes["map"].get_position().x0)


def test_elements_may_be_stretches_and_their_names_read_well():
    figure = toy(elements={"five_prime_utr": np.array([[START + 3, START + 9]]), "none_here": []})
    ax = axes_of(figure)["map: columns' tracks"]
    assert rectangles(ax, "element 5′ UTR", 0) == [(START + 3, START + 9)]
    assert "none here covers 0% of the window." in figure.alt
    runs = data_of(figure)["columns"]["runs"]
    assert runs == [[0, 2, "5′ UTR"]]


def test_positions_are_one_based_and_named_on_both_axes():
    spans = 1000 + 6 * np.arange(101)[:, None] + [0, 6]
    figure = plot.attention_map(
        softmax((101, 101)), spans, Interval("chr20", 1000, 1606), title="t", assembly="GRCh37"
    )
    ax = axes_of(figure)["map"]
    for axis in (ax.xaxis, ax.yaxis):
        labels = [text.get_text() for text in axis.get_ticklabels()]
        assert "1,200" in labels
        assert all(
            int(label.replace(",", "")) - 0.5 == at
            for label, at in zip(labels, axis.get_ticklocs(), strict=True)
            if label
        )
    assert ax.get_xlabel() == "Key, looked at: position on chr20, bp (GRCh37)"
    assert ax.get_ylabel() == "Query, looking: position on chr20, bp (GRCh37)"
    assert texts(figure.drawing, "region") == ["chr20:1,001-1,606 · 606 bp · GRCh37"]
    assert axes_of(figure)["colour bar"].get_ylabel() == "share of attention (square-root scale)"


def test_tick_labels_never_touch_each_other_or_leave_the_page():
    figures = [
        toy(control=softmax((len(tokens_on()),) * 2, 1), zoom=Interval("chr20", START + 2, START + 24)),
        plot.attention_map(softmax((20, 20)), 57_466_300 + 3 * np.arange(20)[:, None] + [0, 3],
                           Interval("chr20", 57_466_300, 57_466_360), title="t", width=5),
    ]  # fmt: skip
    for figure in figures:
        figure.drawing.canvas.draw()
        page = figure.drawing.bbox
        for ax in figure.drawing.axes:
            labels = [text for text in ax.get_xticklabels() if text.get_text() and ax.axison]
            boxes = sorted((text.get_window_extent() for text in labels), key=lambda box: box.x0)
            assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
        for text in figure.drawing.findobj(lambda artist: hasattr(artist, "get_text")):
            box = text.get_window_extent()
            if text.get_text() and text.get_visible() and text.axes is None:
                assert box.x0 >= page.x0 - 1
                assert box.x1 <= page.x1 + 1


@pytest.mark.parametrize(("scale", "top"), [("linear", 0.5), ("sqrt", 0.5), ("log", 0.5)])
def test_scales_start_at_zero_but_for_the_logarithm(scale, top):
    norm = weight_norm(scale, top, 1e-9)
    assert float(norm(top)) == pytest.approx(1)
    assert float(norm(0.0)) == pytest.approx(0)
    middle = {"linear": 0.5, "sqrt": 0.5**0.5, "log": 1 - np.log10(2) / 3}[scale]
    assert float(norm(top / 2)) == pytest.approx(middle)
    assert isinstance(norm, Normalize)
    assert isinstance(norm, LogNorm) == (scale == "log")


def test_a_clipped_scale_and_a_logarithm_say_so():
    figure = toy(top=0.05, scale="log")
    largest = softmax((len(tokens_on()),) * 2)[1:, 1:].max()
    assert f"Weights above 0.05 have the darkest colour; the largest is {largest:.3g}." in figure.caption
    assert "have the palest colour" in figure.caption
    assert any(
        label.get_text().startswith("≥0.05") for label in axes_of(figure)["colour bar"].get_yticklabels()
    )


def test_the_control_stands_beside_on_the_same_scale_on_grey_paper_without_letters():
    control = softmax((len(tokens_on()),) * 2, 5, sharp=3)
    figure = toy(control=control, control_label="random weights", sequence=SEQUENCE)
    axes = axes_of(figure)
    left, right = axes["map"], axes["map: control"]
    assert mesh(left).norm is mesh(right).norm
    np.testing.assert_allclose(mesh(right).get_array(), control[1:, 1:])
    assert left.get_position().y0 == right.get_position().y0
    assert left.get_position().x1 < right.get_position().x0
    assert len(artists(figure.drawing, "control paper")) == 1
    assert texts(figure.drawing, "panel label") == ["Layer 1 head 2", "Control: random weights"]
    # The letters are those of the result; a shuffled control has others.
    assert "".join(texts(axes["map: columns' tracks"], "base")) == SEQUENCE
    assert texts(axes.get("map: control: columns' tracks", right), "base") == []
    assert "Control (random weights): strongest query" in figure.alt
    lanes = data_of(figure)["lanes"]
    assert [lane["label"] for lane in lanes] == [
        *("Layer 1 head 2", "control (random weights)", "on <cls>", "control on <cls>")
    ]
    np.testing.assert_allclose(
        unpacked(lanes[1]).reshape(len(control) - 1, -1), control[1:, 1:], rtol=1e-3, atol=1e-6
    )


def test_a_zoom_is_drawn_again_and_outlined_where_it_comes_from():
    part = Interval("chr20", START + 6, START + 18)
    figure = toy(zoom=(part, Interval("chr20", START, START + 12)))
    axes = axes_of(figure)
    near = axes["zoom"]
    assert (near.get_xlim(), near.get_ylim()) == ((START, START + 12), (START + 18, START + 6))
    box = artists(axes["map"], "zoomed part")[0]
    assert (box.get_xy(), box.get_width(), box.get_height()) == ((START, START + 6), 12, 12)
    assert mesh(near).norm is mesh(axes["map"]).norm
    panes = data_of(figure)["panes"]
    assert [pane["c"] for pane in panes] == [[START, WINDOW.end], [START, START + 12]]
    weights = softmax((len(tokens_on()),) * 2)[1:, 1:]
    np.testing.assert_allclose(mesh(near).get_array()[0, :2], weights[1, :2])


# What a map says ------------------------------------------------------------------------------------------------------


def test_the_cursor_has_every_pair_with_its_places_letters_and_genes():
    figure = toy(genes=genes(), sequence=SEQUENCE)
    weights, spans = softmax((len(tokens_on()),) * 2)[1:, 1:], tokens_on()[1:]
    data = data_of(figure)
    lane = data["lanes"][0]
    assert (lane["label"], lane["unit"], lane["digits"]) == ("Layer 1 head 2", "share of attention", 3)
    np.testing.assert_allclose(unpacked(lane).reshape(weights.shape), weights, rtol=1e-3, atol=1e-7)
    for name in ("rows", "columns"):
        starts = np.cumsum(data[name]["steps"])
        np.testing.assert_array_equal(starts, spans[:, 0])
        np.testing.assert_array_equal(starts + data[name]["sizes"], spans[:, 1])
        assert data[name]["bases"] == SEQUENCE
        assert [1, 9, "HNF4A exon"] not in data[name]["runs"]
        assert any(run[2] == "HNF4A transcription start" for run in data[name]["runs"])
    best = np.unravel_index(weights.argmax(), weights.shape)
    assert data["start"] == [0, *map(int, best)]
    [pane] = data["panes"]
    box = axes_of(figure)["map"].get_position()
    assert pane["box"] == pytest.approx([box.x0, box.x1, 1 - box.y1, 1 - box.y0], abs=1e-4)
    assert pane["reach"][0] < pane["box"][0] < pane["box"][1] < pane["reach"][1]


def test_the_alt_sentence_names_the_strongest_pair():
    weights = np.full((3, 3), 0.1)
    weights[1, 2] = 0.75
    spans = np.array([[0, 0], [100, 106], [106, 112]])
    figure = plot.attention_map(weights, spans, Interval("20", 100, 112), title="What?", label="head 7")
    assert "What? head 7 over 20:101-112, 2 queries by 2 keys." in figure.alt
    assert "Strongest: query 101–106 on key 107–112, 0.75 share of attention." in figure.alt
    assert "On average 10% on <cls>." in figure.alt
    assert repr(figure) == figure.alt
    assert axes_of(figure)["map"].get_xlabel().startswith("Key, looked at: position on chromosome 20")


def hostile_figures() -> list[Figure]:
    spans = tokens_on()
    table = enrichment_table(element=HOSTILE)
    options = {"title": HOSTILE, "caption": HOSTILE}
    return [
        toy(label=HOSTILE, unit=HOSTILE, special=HOSTILE, control_label=HOSTILE, control=softmax((len(spans),) * 2),
            genes=genes(HOSTILE), elements={HOSTILE: [[START, START + 5]]}, assembly=HOSTILE, **options),
        plot.head_atlas(softmax((3, 4)), label=HOSTILE, unit=HOSTILE, labels=[[HOSTILE] * 4] * 3,
                        marks={HOSTILE: [(0, 1)]}, control=softmax((3, 4)), control_label=HOSTILE, **options),
        plot.thumbnails(softmax((1, 2, 4, 4)), unit=HOSTILE, **options),
        plot.enrichment(table, **options),
        plot.enrichment(table, element=HOSTILE, **options),
    ]  # fmt: skip


def test_text_from_files_stays_text():
    for figure in hostile_figures():
        page = Elements(figure.html())
        names = [tag for tag, _ in page.tags]
        assert names == ["figure", "img", "figcaption", "script", "script"]
        image = page.tags[1][1]
        assert image["alt"] == figure.alt
        assert "alert(1)" in image["alt"]
        assert "</" not in page.scripts[0]
        assert "<!--" not in page.scripts[0]
        assert "alert(1)" in page.scripts[0]


def test_every_figure_is_one_light_card_with_alt_text_and_a_cursor_of_its_own():
    small = [
        toy(),
        plot.head_atlas(softmax((3, 4)), label="x", unit="nats", title="t"),
        plot.thumbnails(softmax((1, 2, 4, 4)), title="t"),
        plot.enrichment(enrichment_table(), title="t"),
        plot.enrichment(enrichment_table(), title="t", element="exon"),
    ]
    for figure in small:
        page = Elements(figure.html())
        card = page.tags[0][1]
        assert "background-color:#ffffff" in card["style"]
        assert "color:#1f2328" in card["style"]
        assert card["data-ntviz"] == "figure"
        assert len(figure.alt) > 40
        corner = Image.open(BytesIO(figure.png())).convert("RGB").getpixel((2, 2))
        assert corner == (255, 255, 255)
        kinds = [attributes.get("type") for tag, attributes in page.tags if tag == "script"]
        assert kinds[0] in ("application/vnd.ntviz.cells+json", "application/json")
        assert figure.svg().startswith("<?xml")
        for key, text in (("text/plain", figure.alt), ("text/html", figure.html())):
            assert figure._repr_mimebundle_()[key] == text


def test_the_script_is_small_and_has_no_markup():
    script = Elements(toy().html()).scripts[1]
    assert len(script.encode()) < 12_000
    assert "</" not in script
    assert "<!--" not in script
    assert "innerHTML" not in script


@pytest.mark.parametrize("control", [False, True])
def test_a_noisy_map_of_1000_tokens_stays_below_one_and_a_half_megabytes(control):
    n = 1000
    spans = START + 6 * np.arange(n)[:, None] + [0, 6]
    weights = softmax((n, n), sharp=1.8)
    figure = plot.attention_map(
        weights, spans, Interval("chr20", START, START + 6 * n), title="Noise", scale="log",
        control=weights[::-1] if control else None,
    )  # fmt: skip
    # Noise on a logarithmic scale is the worst that a map can be.
    assert len(figure.html()) < (1_800_000 if control else 1_500_000)
    lane = data_of(figure)["lanes"][0]
    # Each weight is that of the nearest level, and there are enough of them.
    back = unpacked(lane).reshape(n, n)
    away = np.abs((back / lane["top"]) ** 0.25 - (weights / lane["top"]) ** 0.25)
    assert away.max() <= 0.5 / lane["levels"] + 1e-6
    assert lane["levels"] >= (20 if control else 40)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spans": np.zeros((len(tokens_on()), 3), int)}, r"shape \[token, 2\]; received int64 \[\d+, 3\]\. Pass"),
        ({"spans": tokens_on().astype(float)}, "must be integers"),
        ({"spans": tokens_on()[:, ::-1]}, r"start <= end, also on the - strand; received"),
        ({"spans": tokens_on() - START}, "none of them there. Pass spans on the genome"),
        ({"weights": softmax((5, 3))}, r"shape \[query, key\] of its spans, \[\d+, \d+\]; received \[5, 3\]"),
        ({"weights": -softmax((len(tokens_on()),) * 2)}, r"finite and at least 0; received -0\.\d+ at query 0, key 0"),
        ({"control": softmax((2, 2))}, "control' must have the shape"),
        ({"scale": "cubic"}, "one of linear, sqrt, log; received 'cubic'"),
        ({"top": 0}, "must be above 0; received top=0"),
        ({"width": 2}, "5 to 30 inches wide; received 2"),
        ({"sequence": "ACGT"}, "one letter for each of the 34 bases"),
        ({"query_sequence": "ACGT"}, "The query_sequence must have one letter"),
        ({"query_interval": Interval("chr21", START, START + 9)}, "one contig and strand; received keys over"),
        ({"zoom": Interval("chr20", START - 5, START + 3)}, "A zoom must lie in chr20"),
        ({"to_special": np.ones(3)}, r"to_special must be one finite share for each of the \d+ queries"),
        ({"elements": ["exon"]}, "must have an annotation to look them up in; received 'exon'"),
        ({"genes": genes(), "elements": ["enhancr"]}, "An element must be one of those"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(change, message):
    spans = tokens_on()
    settings = {"weights": softmax((len(spans),) * 2), "spans": spans, "title": "t"} | change
    with pytest.raises(ValueError, match=message):
        plot.attention_map(settings.pop("weights"), settings.pop("spans"), WINDOW, **settings)


def test_a_map_beyond_all_reading_is_refused():
    spans = np.arange(5000)[:, None] + [0, 1]
    with pytest.raises(ValueError, match="at most 4,096 queries and keys; received 1 by 5,000"):
        plot.attention_map(
            np.zeros((1, 5000)), spans, Interval("1", 0, 5000), query_spans=spans[:1], title="t"
        )


# Head atlas -----------------------------------------------------------------------------------------------------------


def test_an_atlas_has_layers_down_heads_across_and_both_numbered_from_zero():
    grid = softmax((3, 5))
    grid[1, 4] = np.nan
    figure = plot.head_atlas(grid, label="entropy", unit="nats", title="t")
    ax = axes_of(figure)["atlas"]
    np.testing.assert_allclose(mesh(ax).get_array().filled(np.nan), grid)
    assert [text.get_text() for text in ax.get_xticklabels()] == list("01234")
    assert [text.get_text() for text in ax.get_yticklabels()] == list("012")
    assert ax.get_ylim() == (3, 0)
    assert "numbered from 0" in ax.get_xlabel()
    assert len(texts(ax, "cell text")) == 14
    [hatched] = artists(ax, "no value")
    assert hatched.get_xy() == (4, 1)
    assert "1 head has no value." in figure.alt
    best = np.unravel_index(np.nanargmax(grid), grid.shape)
    assert f"Largest: layer {best[0]} head {best[1]}" in figure.alt
    data = data_of(figure)
    assert data["start"] == [0, *map(int, best)]
    np.testing.assert_allclose(unpacked(data["lanes"][0]).reshape(3, 5), grid, rtol=1e-6)


def test_an_atlas_of_24_by_20_has_a_readable_number_in_every_cell():
    grid = np.random.default_rng(0).normal(size=(24, 20))
    figure = plot.head_atlas(grid, label="ratio", unit="log2", title="t", diverging=True)
    ax = axes_of(figure)["atlas"]
    figure.drawing.canvas.draw()
    cells = artists(ax, "cell text")
    assert len(cells) == 480
    assert len(ax.get_yticklabels()) == 24
    assert len(ax.get_xticklabels()) == 20
    wide, tall = ax.bbox.width / 20, ax.bbox.height / 24
    for text in cells:
        box = text.get_window_extent()
        assert box.width <= wide
        assert box.height <= tall
    assert len(figure.html()) < 400_000
    norm = mesh(ax).norm
    assert norm.vmin == -norm.vmax == -np.abs(grid).max()


def luminance(colour) -> np.ndarray:
    rgb = np.asarray([to_rgb(c) for c in colour] if not isinstance(colour, np.ndarray) else colour[..., :3])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("diverging", [False, True])
def test_numbers_stand_out_from_their_cells(diverging):
    values = np.linspace(-1, 1, 101) if diverging else np.linspace(0, 1, 101)
    norm, colours = score_norm([values], diverging=diverging, limits=None), score_colours(diverging=diverging)
    white = contrasting(colours, norm, values)
    cell, ink = luminance(colours(norm(values))), luminance([palette.INK])[0]
    text = np.where(white, 1.0, ink)
    assert ((np.maximum(cell, text) + 0.05) / (np.minimum(cell, text) + 0.05)).min() > 3.8


def test_the_map_of_weights_darkens_all_the_way_from_paper():
    levels = luminance(weight_colours()(np.arange(128)))
    assert (np.diff(levels) < 1e-9).all()
    assert levels[0] > 0.97
    assert levels[-1] < 0.03


def test_marks_have_shapes_corners_and_names_of_their_own():
    marks = {"promoter": [(0, 1), (2, 3)], "repeat": np.eye(3, 4, dtype=bool)}
    figure = plot.head_atlas(softmax((3, 4)), label="x", unit="nats", title="t", marks=marks, chosen=(1, 2))
    ax = axes_of(figure)["atlas"]
    [first], [second] = artists(ax, "mark promoter"), artists(ax, "mark repeat")
    assert np.floor(first.get_xdata()).tolist() == [1, 3]
    assert np.floor(first.get_ydata()).tolist() == [0, 2]
    assert first.get_marker() != second.get_marker()
    assert np.floor(second.get_xdata()).tolist() == [0, 1, 2]
    assert texts(figure.drawing, "key") == ["promoter", "repeat"]
    assert "Marked, promoter: 0.1 and 2.3 (layer.head)." in figure.alt
    assert {box.get_xy() for box in artists(ax, "chosen")} == {(2, 1)}
    told = data_of(figure)["lanes"][1]["texts"]
    assert [i for i, text in enumerate(told) if text == "promoter"] == [1, 11]


def test_an_atlas_takes_names_limits_and_a_control():
    names = [["exon", "", "CTCF"], ["", "intron", ""]]
    grid = np.array([[1.0, 2, 3], [4, 5, 9]])
    figure = plot.head_atlas(
        grid, label="score", unit="z", title="t", labels=names, limits=(0, 5), control=grid / 10, control_label="twin"
    )  # fmt: skip
    axes = axes_of(figure)
    assert sorted(texts(axes["atlas"], "cell text")) == ["CTCF", "exon", "intron"]
    assert "0.9" in texts(axes["control"], "cell text")
    assert mesh(axes["atlas"]).norm is mesh(axes["control"]).norm
    assert "1 scores lie beyond the ends of the colours" in figure.caption
    assert "Control (twin): largest 0.9 at layer 1 head 2" in figure.alt
    assert data_of(figure)["lanes"][2]["texts"] == ["exon", "", "CTCF", "", "intron", ""]


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        (np.zeros(3), {}, r"shape \[layer, head\], at most 200 by 200; received \[3\]"),
        (
            np.array([[np.inf]]),
            {},
            "finite, with NaN where there is no value; received inf at layer 0 head 0",
        ),
        (np.zeros((2, 2)), {"control": np.zeros((2, 3))}, r"shape of the grid, \[2, 2\]; received \[2, 3\]"),
        (np.zeros((2, 2)), {"labels": [["a"]]}, "one text for each of 2 layers by 2 heads"),
        (np.zeros((2, 2)), {"marks": {"x": [(2, 0)]}}, "numbered from 0; received layer 2 head 0 for 'x'"),
        (np.zeros((2, 2)), {"marks": {key: [] for key in "abcde"}}, "At most 4 kinds of marks"),
        (np.zeros((2, 2)), {"chosen": (0, 2)}, "received layer 0 head 2. Pass"),
        (np.zeros((2, 2)), {"limits": (1, 0)}, "two finite numbers, the smaller first"),
        (np.zeros((2, 2)), {"limits": (-1, 2), "diverging": True}, "symmetric about zero"),
    ],
)
def test_an_atlas_refuses_what_does_not_fit(grid, options, message):
    with pytest.raises(ValueError, match=message):
        plot.head_atlas(grid, label="x", unit="nats", title="t", **options)


# Thumbnails -----------------------------------------------------------------------------------------------------------


def noisy_maps(n_layers: int, n_heads: int, size: int = 64, tokens: int = 1000) -> np.ndarray:
    """Pooled softmax maps of several habits; from a few of full length, others by noise of their own, which nothing packs."""
    rng = np.random.default_rng(0)
    place = np.arange(tokens)
    away = place[None] - place[:, None]
    starts = np.linspace(0, tokens, size + 1).round().astype(int)[:-1]
    kinds = []
    for bias in (-np.abs(away) / 20, 6.0 * (away == -7), 2 * np.cos(away / 9), np.zeros((1, 1))):
        scores = np.exp(rng.normal(0, 1.5, (tokens, tokens)) + bias)
        weights = scores / scores.sum(axis=1, keepdims=True)
        kinds.append(np.maximum.reduceat(np.maximum.reduceat(weights, starts, axis=0), starts, axis=1))
    maps = np.stack([kinds[i % len(kinds)] for i in range(n_layers * n_heads)])
    noise = np.exp(rng.normal(0, 0.3, maps.shape))
    return np.minimum(maps * noise, 1.0).reshape(n_layers, n_heads, size, size).astype(np.float32)


def read_back(figure: Figure) -> np.ndarray:
    """[map, row, column] values from the picture, as the script reads them."""
    data = data_of(figure)
    [lane] = data["lanes"]
    numbers = np.asarray(Image.open(BytesIO(figure.png())))
    height, width = numbers.shape
    n_rows, n_columns = data["rows"]["n"], data["columns"]["n"]
    maps = []
    for pane, top in zip(data["panes"], lane["tops"], strict=True):
        x0, x1, y0, y1 = pane["box"]
        xs = np.floor((x0 + (np.arange(n_columns) + 0.5) / n_columns * (x1 - x0)) * width).astype(int)
        ys = np.floor((y0 + (np.arange(n_rows) + 0.5) / n_rows * (y1 - y0)) * height).astype(int)
        levels = numbers[np.ix_(ys, xs)]
        assert levels.max() <= lane["levels"]
        maps.append(top * (levels / lane["levels"]) ** lane["power"])
    return np.stack(maps)


def test_all_maps_of_24_by_16_heads_at_1000_tokens_take_less_than_two_megabytes():
    maps = noisy_maps(24, 16)
    starts = START + 6 * np.arange(1000)
    spans = np.concatenate([[[START, START]], np.stack([starts, starts + 6], axis=1)])
    places = np.linspace(0, 1000, 65).round().astype(int)
    figure = plot.thumbnails(
        maps, title="All", edges=places, spans=spans, interval=Interval("chr20", START, START + 6000)
    )
    assert len(figure.html()) < 2_000_000
    assert len(texts(figure.drawing, "head")) == 384
    assert texts(figure.drawing, "head")[-1] == "23.15"
    # The picture itself is the data, to half a level.
    lane = data_of(figure)["lanes"][0]
    assert lane["levels"] >= 11
    back = read_back(figure).reshape(maps.shape)
    tops = maps.max(axis=(2, 3), keepdims=True)
    np.testing.assert_allclose(np.sqrt(back / tops), np.sqrt(maps / tops), atol=0.5 / lane["levels"] + 1e-4)
    data = data_of(figure)
    assert data["sheets"][17] == "layer 1 head 1"
    assert data["rows"]["names"][0] == f"chr20:{START + 1:,}–{START + 6 * places[1]:,}"
    assert f"in {lane['levels'] + 1} steps up to each head's largest" in figure.caption


def test_small_maps_are_magnified_and_scaled_together_when_asked():
    maps = np.zeros((2, 3, 8, 8), np.float32)
    maps[0, 0] = np.eye(8) * 0.9
    maps[1, 2] = np.linspace(0, 0.3, 64).reshape(8, 8)
    own, common = (
        plot.thumbnails(maps, title="t", scaling=scaling, scale="linear") for scaling in ("head", "model")
    )
    np.testing.assert_allclose(read_back(own).reshape(maps.shape), maps, atol=0.9 / 95 / 2 + 1e-6)
    np.testing.assert_allclose(read_back(common).reshape(maps.shape), maps, atol=0.9 / 95 / 2 + 1e-6)
    assert data_of(common)["lanes"][0]["tops"] == [0.9] * 6
    assert texts(own.drawing, "largest") == ["0.9", "0", "0", "0", "0", "0.3"]
    assert texts(common.drawing, "largest") == []
    assert "largest of all heads" in common.caption
    assert "Largest weight: layer 0 head 0 (0.9), layer 1 head 2 (0.3) and layer 0 head 1 (0)." in own.alt
    assert "4 of 6 heads never exceed 0.1" in own.alt
    assert own.width >= 3 * 64


def test_many_heads_are_pooled_to_the_width_of_a_page_and_it_is_said():
    maps = np.random.default_rng(0).random((1, 25, 64, 64)).astype(np.float32)
    figure = plot.thumbnails(maps, title="t", edges=np.arange(65))
    size = data_of(figure)["rows"]["n"]
    assert size < 64
    assert figure.width <= 1240
    assert f"64 bins were pooled to {size}" in figure.caption
    starts = np.linspace(0, 64, size + 1).round().astype(int)[:-1]
    expected = np.maximum.reduceat(np.maximum.reduceat(maps, starts, axis=2), starts, axis=3)
    np.testing.assert_allclose(np.sqrt(read_back(figure)), np.sqrt(expected[0]), atol=0.01)
    assert data_of(figure)["rows"]["names"][0].startswith("token 0")


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        (np.zeros((2, 2, 4)), {}, r"shape \[layer, head, bin, bin\]; received \[2, 2, 4\]"),
        (np.full((1, 1, 2, 2), -1), {}, "at least 0; received -1.0 at layer 0 head 0"),
        (np.zeros((1, 1, 2, 2)), {"scaling": "row"}, "one of head, model; received 'row'"),
        (np.zeros((1, 1, 2, 2)), {"scale": "log"}, "one of linear, sqrt; received 'log'"),
        (np.zeros((1, 1, 2, 2)), {"edges": [0, 5]}, "Edges must be 3 rising numbers"),
        (np.zeros((1, 1, 2, 2)), {"spans": [[0, 6]]}, "come with the edges of the bins"),
        (np.zeros((1, 1, 2, 2)), {"edges": [0, 1, 2], "spans": [[0, 6], [6, 12]]}, "interval=None. Pass"),
    ],
)
def test_thumbnails_refuse_what_does_not_fit(maps, options, message):
    with pytest.raises(ValueError, match=message):
        plot.thumbnails(maps, title="t", **options)


# Enrichment -----------------------------------------------------------------------------------------------------------


def enrichment_table(
    n_layers: int = 2, n_heads: int = 3, element: str = "exon", *, seed: int = 0
) -> pd.DataFrame:
    """A table as attention.enrichment makes it, of two elements."""
    rng = np.random.default_rng(seed)
    rows = []
    for name in (element, "intron"):
        for layer, head in np.ndindex(n_layers, n_heads):
            ratio = float(np.exp(rng.normal(0, 0.8)))
            spread = float(rng.uniform(1.1, 1.6))
            rows.append(
                {
                    "layer": layer, "head": head, "element": name, "status": "ok", "ratio": ratio,
                    "ratio_low": ratio / spread, "ratio_high": ratio * spread, "background": 0.2,
                    "shift_mean": 0.2 * float(rng.uniform(0.8, 1.2)), "q_shift": 0.5, "significant": False,
                    "significant_published": False, "shuffle_ratio": float(rng.uniform(0.8, 1.2)),
                    "twin_ratio": float(rng.uniform(0.9, 1.1)), "n_above": int(rng.integers(10, 10_000)),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def test_the_heat_map_has_a_row_an_element_and_the_logarithm_of_each_ratio():
    table = enrichment_table()
    table.loc[0, ["ratio", "ratio_low"]] = [4.0, 3.0]
    table.loc[1, "ratio"] = 0.0
    table.loc[2, ["ratio", "ratio_low", "ratio_high"]] = np.nan
    table.loc[2, "status"] = "nothing above"
    figure = plot.enrichment(table, title="t")
    axes = axes_of(figure)
    shown = mesh(axes["ratios"]).get_array().filled(np.nan)
    expected = np.log2(np.maximum(table["ratio"].to_numpy().reshape(2, 6), 1e-30))
    np.testing.assert_allclose(shown, np.clip(expected, -3, 3))
    assert shown[0, 0] == 2
    assert [text.get_text() for text in axes["ratios"].get_yticklabels()] == ["exon", "intron"]
    labels = [text.get_text() for text in axes["ratios"].get_xticklabels()]
    assert labels == ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2"]
    [hatched] = artists(axes["ratios"], "no value")
    assert hatched.get_xy() == (2, 0)
    assert "1 ratios lie beyond the ends of the colours" in figure.caption
    # Beside it, on the same scale, what shuffled bases give.
    np.testing.assert_allclose(
        mesh(axes["control"]).get_array(), np.log2(table["shuffle_ratio"].to_numpy().reshape(2, 6))
    )
    assert texts(figure.drawing, "panel label") == ["Model", "Control: shuffled sequence"]
    norm = mesh(axes["ratios"]).norm
    assert (norm.vmin, norm.vmax) == (-3, 3)


def test_filled_marks_pass_the_null_and_hollow_ones_the_published_test_only():
    table = enrichment_table()
    table.loc[[1, 3, 8], "significant_published"] = True
    table.loc[[3], "significant"] = True
    figure = plot.enrichment(table, title="t", control=None)
    ax = axes_of(figure)["ratios"]
    [passed], [only] = (
        artists(ax, "mark passes the shift null"),
        artists(ax, "mark passes the published test only"),
    )
    at = lambda line: list(zip(np.floor(line.get_ydata()), np.floor(line.get_xdata()), strict=True))  # noqa: E731
    assert at(passed) == [(0, 3)]
    assert at(only) == [(0, 1), (1, 2)]
    assert passed.get_markerfacecolor() == palette.INK
    assert only.get_markerfacecolor() == palette.PAPER
    assert "exon: 1 pass the shift null, 1 more the published test only" in figure.alt
    told = next(lane for lane in data_of(figure)["lanes"] if lane["label"] == "")["texts"]
    assert told[3] == "passes the shift null"
    assert told[8] == "passes the published test only"
    assert texts(figure.drawing, "key") == ["passes the shift null", "passes the published test only"]


def test_without_a_shift_null_nothing_can_pass_it_and_that_is_said():
    table = enrichment_table().drop(
        columns=["q_shift", "significant", "shift_mean", "shuffle_ratio", "twin_ratio"]
    )
    table["significant_published"] = True
    figure = plot.enrichment(table, title="t")
    assert "no shift null, so nothing can be marked as passing it" in figure.caption
    assert "control" not in axes_of(figure)
    assert "0 pass the shift null, 6 more the published test only" in figure.alt


def test_a_large_model_has_a_grid_of_layers_by_heads_for_each_element():
    table = enrichment_table(24, 16)
    table.loc[17, "significant"] = True
    figure = plot.enrichment(table, title="t", control="twin")
    axes = axes_of(figure)
    for name, column in (("exon", "ratio"), ("control: exon", "twin_ratio")):
        shown = mesh(axes[name]).get_array()
        values = table.loc[table["element"] == "exon", column].to_numpy().reshape(24, 16)
        np.testing.assert_allclose(shown, np.clip(np.log2(values), -3, 3))
    [mark] = artists(axes["exon"], "mark passes the shift null")
    assert (np.floor(mark.get_xdata()).tolist(), np.floor(mark.get_ydata()).tolist()) == ([1], [1])
    data = data_of(figure)
    assert data["sheets"] == ["exon", "intron"]
    assert [pane.get("s", 0) for pane in data["panes"]] == [0, 0, 1, 1]
    np.testing.assert_allclose(unpacked(data["lanes"][0]), table["ratio"], rtol=1e-6)
    assert len(figure.html()) < 700_000


def test_one_element_is_sorted_by_ratio_and_the_rest_is_counted():
    table = enrichment_table(3, 4)
    exon = table["element"] == "exon"
    table.loc[0, ["ratio", "ratio_low", "ratio_high"]] = np.nan
    figure = plot.enrichment(table, title="t", element="exon", most=5)
    ax = axes_of(figure)["exon"]
    ranked = table[exon].dropna(subset="ratio").sort_values("ratio", ascending=False)
    heads = [f"{layer}.{head}" for layer, head in zip(ranked["layer"], ranked["head"], strict=True)]
    assert [text.get_text() for text in ax.get_yticklabels()] == heads[:5]
    points = artists(ax, "neither")
    np.testing.assert_allclose([line.get_xdata()[0] for line in points], ranked["ratio"][:5])
    lines = artists(ax, "interval") + artists(ax, "interval spans 1")
    ends = sorted(tuple(line.get_xdata()) for line in lines)
    expected = sorted(zip(ranked["ratio_low"][:5], ranked["ratio_high"][:5], strict=True))
    np.testing.assert_allclose(ends, expected)
    low, high = ranked["ratio"].iloc[-1], ranked["ratio"].iloc[5]
    left_out = f"Not drawn: 6 more heads, with ratios from {low:.3g} to {high:.3g}; 1 without a ratio."
    assert texts(figure.drawing, "rest") == [left_out]
    assert left_out in figure.alt
    assert f"Largest: {heads[0]}, " in figure.alt
    assert ax.get_xscale() == "log"
    assert len(artists(ax, "one")) == 1


def test_one_element_shows_its_nulls_and_controls_where_they_are():
    table = enrichment_table()
    null = 0.2 * np.random.default_rng(3).lognormal(0, 0.1, (400, 2, 3))
    figure = plot.enrichment(table, title="t", element="exon", null=null)
    ax = axes_of(figure)["exon"]
    exon = table[table["element"] == "exon"].sort_values("ratio", ascending=False)
    low, high = np.quantile(null[:, exon["layer"], exon["head"]], [0.025, 0.975], axis=0) / 0.2
    boxes = artists(ax, "null")
    np.testing.assert_allclose([box.get_x() for box in boxes], low)
    np.testing.assert_allclose([box.get_x() + box.get_width() for box in boxes], high)
    for key in ("shuffle", "twin"):
        drawn = [line.get_xdata()[0] for line in artists(ax, key)]
        np.testing.assert_allclose(drawn, exon[f"{key}_ratio"])
    assert "shifted 0." in figure.alt
    assert "shuffled sequence" in figure.alt
    assert "shifted elements, middle 95%" in texts(figure.drawing, "key")
    without = plot.enrichment(table, title="t", element="exon")
    ticks = [line.get_xdata()[0] for line in artists(axes_of(without)["exon"], "null")]
    np.testing.assert_allclose(ticks, exon["shift_mean"] / 0.2)
    assert "shifted elements, mean" in texts(without.drawing, "key")


def test_an_interval_that_spans_one_looks_like_it_and_the_published_test_alone_is_hollow():
    table = enrichment_table()[:3].copy()
    table[["ratio", "ratio_low", "ratio_high"]] = [[3, 2, 4], [2, 1.5, 2.5], [1.5, 0.9, 2.2]]
    table["significant_published"] = True
    table["significant"] = [True, False, False]
    ax = axes_of(plot.enrichment(table, title="t", element="exon"))["exon"]
    solid, dashed = artists(ax, "interval"), artists(ax, "interval spans 1")
    assert [line.get_linestyle() for line in solid] == ["-", "-"]
    assert [tuple(line.get_xdata()) for line in dashed] == [(0.9, 2.2)]
    assert dashed[0].get_linestyle() != "-"
    assert dashed[0].get_color() != solid[0].get_color()
    [filled], hollow = artists(ax, "passed"), artists(ax, "published")
    assert filled.get_xdata()[0] == 3
    assert filled.get_markerfacecolor() == palette.ACCENT
    assert [line.get_xdata()[0] for line in hollow] == [2, 1.5]
    assert {line.get_markerfacecolor() for line in hollow} == {palette.PAPER}


def test_ratios_of_nothing_and_far_away_stand_at_the_edge_with_an_arrow():
    table = enrichment_table()[:3].copy()
    table[["ratio", "ratio_low", "ratio_high"]] = [[500, 400, 600], [1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
    ax = axes_of(plot.enrichment(table, title="t", element="exon"))["exon"]
    low, high = ax.get_xlim()
    markers = {line.get_marker(): line.get_xdata()[0] for line in artists(ax, "neither")}
    assert markers[">"] == pytest.approx(high)
    assert markers["<"] == pytest.approx(low)
    assert "500 (400–600)" in texts(ax, "value")
    assert "0 (0–0)" in texts(ax, "value")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.drop(columns="ratio"), {}, "it lacks ratio. Pass the table of attention.enrichment"),
        (lambda t: t, {"elements": ["exn"]}, "one of those in the table: exon, intron; received 'exn'"),
        (lambda t: t, {"element": "exon", "elements": ["exon"]}, "Either one element or several"),
        (lambda t: t, {"null": np.zeros((2, 2, 3))}, "A null must belong to one element"),
        (lambda t: t, {"element": "exon", "null": np.zeros((5, 2, 2))}, r"received \[5, 2, 2\]\. Pass Enrichment"),
        (lambda t: t, {"element": "exon", "most": 0}, "received most=0"),
        (lambda t: t, {"control": "distance"}, r"one that the table has \(shuffle, twin\); received 'distance'"),
        (lambda t: pd.concat([t, t[:1]]), {}, "layer 0 head 0 more than once for 'exon'"),
        (lambda t: t.assign(ratio=-1.0), {}, "at least 0, or NaN where there is none; received -1.0"),
        (lambda t: t.assign(ratio=np.nan, status="nothing above"), {"element": "exon"}, r"received none \(nothing above\)"),
    ],
)  # fmt: skip
def test_an_enrichment_refuses_what_does_not_fit(change, options, message):
    with pytest.raises(ValueError, match=message):
        plot.enrichment(change(enrichment_table()), title="t", **options)
