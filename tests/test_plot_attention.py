"""Attention tracks, maps, thumbnails and atlases, read back from plotly's traces and axes."""

from __future__ import annotations

import base64
import io
import itertools
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from drawn import HOSTILE, annotation, assert_text, contrast, rgb
from PIL import Image

from ntviz import plot
from ntviz.annotation import Annotation
from ntviz.genome import Interval
from ntviz.plot import alt
from ntviz.plot.attention import ARCS, SCALES, pooled
from ntviz.plot.theme import LIGHT
from ntviz.tokens import Tokenizer

START = 43_029_999
SEQUENCE = "ATTCCGATTCCGNACGTACGTAATTCCGCCCGGG"
WINDOW = Interval("chr20", START, START + len(SEQUENCE), "+")
AROUND = Interval("chr20", 100, 220)
SPANS = Tokenizer("nt-v2")(SEQUENCE).on(WINDOW)
N = len(SPANS)


def genes(name: str = "HNF4A") -> Annotation:
    parts = [("exon", 6, 12, "t1"), ("exon", 20, 30, "t1"), ("CDS", 20, 26, "t1"), ("exon", 8, 14, "t2")]
    return annotation([("20", START + a, START + b, "+", part, name, name, of, "", "") for part, a, b, of in parts])


def softmax(*shape: int, seed: int = 0) -> np.ndarray:
    scores = np.exp(np.random.default_rng(seed).normal(0, 1.5, shape))
    return scores / scores.sum(axis=-1, keepdims=True)


def toy(**options) -> go.Figure:
    return plot.attention_map(softmax(N, N), SPANS, WINDOW, **({"title": "A toy", "label": "Layer 1, head 2"} | options))  # fmt: skip


def traces(fig: go.Figure, kind: str) -> list:
    return [trace for trace in fig.data if trace.type == kind and trace.name]


def attention(interval: Interval = AROUND, **options) -> go.Figure:
    spans, values = np.array([[0, 0], *([100 + 6 * i, 106 + 6 * i] for i in range(20))]), np.full(21, 0.01)
    values[[0, 5, 15]] = 0.31, 0.20, 0.30
    track = plot.attention_track(values, spans, **({"label": "head 3", "query_span": (160, 166)} | options))
    return plot.locus(interval, [track], title="t")


@pytest.mark.parametrize("strand", ["+", "-"])
def test_a_track_has_bars_on_their_bases_arcs_from_the_query_and_the_control_below(strand):
    fig = attention(Interval("chr20", 100, 220, strand), control=np.full(21, 1 / 21))
    bars, control = traces(fig, "bar")
    assert (bars.x[4] - bars.width[4] / 2, bars.x[4] + bars.width[4] / 2, bars.y[4]) == (124.5, 130.5, 0.20)
    np.testing.assert_allclose(control.y, -1 / 21)
    assert control.marker.color == LIGHT.control and bars.text[4] == "125–130"
    arcs = [trace for trace in fig.data if trace.type == "scatter" and trace.line.color == LIGHT.positive]
    widest = max(arcs, key=lambda arc: arc.line.width)
    assert len(arcs) == ARCS and {round(widest.x[0], 6), round(widest.x[-1], 6)} == {163.5, 187.5}
    assert list(fig.layout.yaxis.ticktext) == ["0.3", "0", "0.3"]
    said = "head 3: from 161–166, strongest on 185–190 (0.3 share of attention), 31.0% on special tokens; in the"
    assert f"{said} control (shuffled sequence)" in alt(fig)


def test_no_token_one_and_more_than_pixels_are_drawn():
    away = attention(Interval("chr20", 100, 150))
    assert not any(trace.type == "scatter" and trace.line.color == LIGHT.positive for trace in away.data)
    one, nowhere = (plot.attention_track(np.ones(1), np.array([span]), label="x") for span in ([5, 6], [0, 0]))
    assert traces(plot.locus(Interval("chr1", 5, 6), [one], title="t"), "bar")[0].x.tolist() == [6.0]
    assert "no token lies on the genome" in alt(plot.locus(Interval("chr1", 5, 12_005), [nowhere], title="t"))
    spans, values = 6 * np.arange(20_000)[:, None] + [0, 6], np.full(20_000, 1e-5)
    values[12_345] = 0.5
    track = plot.attention_track(values, spans, label="x")
    bars = traces(plot.locus(Interval("chr20", 0, 120_000), [track], title="t"), "bar")[0]
    best = int(np.argmax(bars.y))
    assert len(bars.y) < 2_000 and bars.y[best] == 0.5 and "largest of 12 tokens" in bars.text[best]
    assert abs(bars.x[best] - (6 * 12_345 + 3.5)) < bars.width[best] / 2


def test_blocks_keep_the_largest_gaps_are_no_value_and_overlapping_tokens_end_where_the_next_starts():
    values = softmax(7, 10)
    blocks = [[values[3 * i : 3 * i + 3, 3 * j : 3 * j + 3].max() for j in range(4)] for i in range(3)]
    np.testing.assert_array_equal(pooled(values, 3), blocks)
    places = np.array([[0, 6], [8, 14], [14, 15]])
    [cells] = traces(plot.attention_map(softmax(3, 3), places, Interval("chr1", 0, 20), title="t"), "heatmap")
    assert cells.x.tolist() == [0.5, 6.5, 8.5, 14.5, 15.5]
    assert np.isnan(cells.z[1]).all() and np.isnan(cells.z[:, 1]).all()
    assert np.isfinite(cells.z[np.ix_([0, 2, 3], [0, 2, 3])]).all()
    places = 3 * np.arange(10)[:, None] + [0, 6]
    [over] = traces(plot.attention_map(softmax(10, 10), places, Interval("chr1", 0, 33), title="t"), "heatmap")
    assert over.x.tolist() == [*(places[:, 0] + 0.5), 33.5]


@pytest.mark.parametrize("strand", ["+", "-"])
def test_cells_lie_on_the_bases_of_their_tokens_and_the_hover_names_them(strand):
    at = Interval("chr20", WINDOW.start, WINDOW.end, strand)
    spans = Tokenizer("nt-v2")(SEQUENCE).on(at)
    weights = softmax(len(spans), len(spans))
    fig = plot.attention_map(weights, spans, at, title="t", sequence=SEQUENCE)
    [cells], layout = traces(fig, "heatmap"), fig.layout
    for token, (start, end) in enumerate(spans[1:].tolist(), 1):
        column = int(np.searchsorted(cells.x, start + 0.5))
        assert (cells.x[column], cells.x[column + 1]) == (start + 0.5, end + 0.5)
        np.testing.assert_allclose(cells.z[column, column], weights[token, token], rtol=5e-4)
        first = start - START if strand == "+" else at.end - end
        name = f"{start + 1:,}–" * (end - start > 1) + f"{end:,} {SEQUENCE[first : first + end - start]}"
        assert layout.xaxis3.ticktext[column] == layout.yaxis3.ticktext[column] == name
        assert layout.xaxis3.tickvals[column] == (start + end) / 2 + 0.5
    ends, step = [START + 0.5, WINDOW.end + 0.5], 1 if strand == "+" else -1
    assert (list(layout.xaxis.range), list(layout.yaxis.range)) == (ends[::step], ends[::-step])
    assert ("− strand" in layout.xaxis.title.text) == (strand == "-") and layout.xaxis3.matches == "x"
    shown = plot.table(fig).query("trace == 'Attention'")
    assert set(shown.x) == set(spans[1:, 0] + 1)
    np.testing.assert_allclose(shown.z.sum(), weights[1:, 1:].sum(), rtol=1e-3)


@pytest.mark.parametrize("scale", ["linear", "sqrt", "log"])
def test_colours_follow_the_scale(scale):
    fig = toy(scale=scale)
    [cells] = traces(fig, "heatmap")
    largest = softmax(N, N)[1:, 1:].max()
    assert (cells.zmin, cells.zmax) == (0, largest)
    assert [share for share, _ in cells.colorscale] == SCALES[scale](np.linspace(0, 1, 9)).tolist()
    assert [colour for _, colour in cells.colorscale] == list(LIGHT.magnitudes)
    assert float(fig.layout.coloraxis.colorbar.ticktext[-1]) == pytest.approx(largest, rel=5e-3)


def test_special_tokens_are_a_number_and_the_alt_sentence_names_the_strongest_pair():
    weights, fig = softmax(N, N), toy()
    share = f"{weights[1:, 0].mean():.1%} on special tokens"
    assert share in alt(fig) and any(note.text.endswith(share) for note in fig.layout.annotations)
    assert f"{N - 1} queries by as many keys" in alt(fig)
    assert "special" not in alt(plot.attention_map(weights[1:, 1:], SPANS[1:], WINDOW, title="t"))
    weights = np.full((N, N), 0.01)
    weights[2, 4] = 0.9
    fig = plot.attention_map(weights, SPANS, WINDOW, title="A toy", label="head 0", assembly="GRCh37")
    query, key = (f"{a + 1:,}–{b:,}" if b - a > 1 else f"{b:,}" for a, b in SPANS[[2, 4]].tolist())
    pair = f"query {query} on key {key}, 0.9 share of attention; on average 1.0% on special tokens."
    assert f"Strongest: {pair}" in alt(fig)
    assert fig.layout.xaxis.title.text == "key, 1-based on chr20 (GRCh37), + strand"


def test_the_control_stands_beside_on_the_same_scale_and_zooms_along():
    control = softmax(N, N, seed=1)
    fig = toy(control=control, genes=genes(), sequence=SEQUENCE)
    real, beside = traces(fig, "heatmap")
    assert beside.name == "Control: shuffled sequence"
    np.testing.assert_allclose(beside.z, control[1:, 1:], rtol=5e-4)
    assert real.zmax == beside.zmax == max(softmax(N, N)[1:, 1:].max(), control[1:, 1:].max())
    assert [fig.layout[f"{axis}axis{k}"].matches for axis in "xy" for k in (2, 3, 4)] == ["x"] * 3 + ["y"] * 3
    # The control has other bases at the same places.
    assert [fig.layout[f"xaxis{k}"].ticktext[0].endswith(SEQUENCE[:6]) for k in (3, 4)] == [True, False]
    # An axis without a trace of its own would not be drawn.
    assert {trace.xaxis for trace in fig.data if trace.type == "scatter"} == {"x", "x2"}
    heading = next(note for note in fig.layout.annotations if note.text.startswith("<b>Control: shuffled sequence</b>"))
    row, _ = np.unravel_index(control[1:, 1:].argmax(), (N - 1,) * 2)
    assert heading.font.color == LIGHT.muted
    assert f"In the control (shuffled sequence): query {SPANS[row + 1, 0] + 1:,}" in alt(fig)


def test_genes_and_elements_stand_along_the_top_at_their_places():
    fig = toy(genes=genes(), elements=["exon", "CDS"])
    lanes = [trace for trace in traces(fig, "bar") if trace.orientation != "h"]
    assert [trace.name for trace in lanes] == ["HNF4A", "HNF4A", "exon", "exon", "CDS", "CDS"]
    assert list(fig.layout.yaxis9.ticktext) == ["HNF4A", "exon", "CDS"] and len(lanes[0].x) == 2
    half = [np.array([trace.x, trace.x]) + np.outer([-0.5, 0.5], trace.width) - 0.5 - START for trace in lanes[1::2]]
    exons, merged, coding = (ends.T.tolist() for ends in half)
    assert exons == [[6, 12], [8, 14], [20, 30]] and merged == [[6, 14], [20, 30]] and coding == [[20, 26]]
    assert lanes[1].text[0] == f"HNF4A, {START + 7:,}–{START + 12:,}"
    exons = f"exon {START + 7:,}–{START + 14:,} and {START + 21:,}–{START + 30:,}"
    assert alt(fig).endswith(f"{exons}; CDS {START + 21:,}–{START + 26:,}.")


def test_text_from_files_stays_text():
    names = {"title": HOSTILE, "label": HOSTILE, "unit": HOSTILE}
    assert_text(toy(**names, genes=genes(HOSTILE), control=softmax(N, N), control_label=HOSTILE))
    assert_text(plot.head_atlas(np.eye(2), **names, labels=[[HOSTILE] * 2] * 2))
    scores = {HOSTILE: np.ones((1, 1))}
    assert_text(plot.thumbnails(np.ones((1, 1, 4, 4)), title=HOSTILE, unit=HOSTILE, scores=scores))


def tiles(source: str) -> list[tuple[list[float], np.ndarray]]:
    """Tiles of an image as x, y, width and height, and their colours."""
    svg = source.removeprefix("data:image/svg+xml,").replace("%3C", "<").replace("%3E", ">")
    tags = re.findall(r"<image x='(.*?)' y='(.*?)' width='(.*?)' height='(.*?)' .*?base64,(.*?)'/>", svg)
    images = [Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for *_, data in tags]
    return [([*map(float, box)], np.asarray(image)) for (*box, _), image in zip(tags, images, strict=True)]


@pytest.mark.parametrize("strand", ["+", "-"])
def test_a_large_map_has_its_peaks_and_where_there_is_room_a_pixel_for_each_cell_on_its_bases(strand):
    edges = 1000 + np.concatenate([6 * np.arange(601), 3600 + np.arange(1, 4)])
    spans, weights = np.stack([edges[:-1], edges[1:]], axis=1), np.zeros((603, 603))
    weights[[5, 601, 602], [598, 7, 602]] = 1.0
    at = Interval("chr1", 1000, int(edges[-1]), strand)
    fig = plot.attention_map(weights, spans, at, title="t", scale="linear")
    [image] = fig.layout.images
    assert (image.sizex, image.sizey, image.layer) == (len(at), len(at), "above")
    assert image.x == image.y == (1000.5 if strand == "+" else at.end + 0.5)
    assert "max-width:602px){svg{display:none}}" in image.source
    dark = rgb(LIGHT.magnitudes[-1])
    assert len(tiles(image.source)) == 4
    found = set()
    for (x, y, w, h), pixels in tiles(image.source):
        for row, column in np.argwhere((pixels == dark).all(-1)):
            place = y + (row + 0.5) * h / pixels.shape[0], x + (column + 0.5) * w / pixels.shape[1]
            found.add(tuple(part if strand == "+" else len(at) - part for part in place))
    assert found == {(spans[q].mean() - 1000, spans[k].mean() - 1000) for q, k in np.argwhere(weights)}
    [cells] = traces(fig, "heatmap")
    assert "largest of 2 by 2 tokens" in cells.hovertemplate
    np.testing.assert_array_equal(cells.z, pooled(weights, 2))
    assert alt(fig).endswith("A cell shows the largest of 2 by 2 tokens, and where you zoom in one of each.")


def test_large_maps_are_pooled_and_stay_small():
    edges = np.concatenate([[0], np.cumsum(np.random.default_rng(0).integers(1, 12, 600))])
    weights, spans = softmax(600, 600), np.stack([edges[:-1], edges[1:]], 1)
    fig = plot.attention_map(weights, spans, Interval("chr1", 0, int(edges[-1])), title="t")
    [cells] = traces(fig, "heatmap")
    assert not fig.layout.images and cells.x.tolist() == (edges[::2] + 0.5).tolist()
    np.testing.assert_allclose(cells.z, pooled(weights, 2), rtol=5e-4)
    assert alt(fig).endswith("A cell shows the largest of 2 by 2 tokens.")
    spans, scores = 6 * np.arange(1000)[:, None] + [0, 6], {"entropy, nats": np.ones((24, 16))}
    one = plot.attention_map(softmax(1000, 1000), spans, Interval("chr1", 0, 6000), title="t")
    every = plot.thumbnails(softmax(24, 16, 64, 64), title="All", scores=scores)
    assert len(pio.to_json(one)) < 2.5e6 and len(pio.to_json(every)) < 2e6


def test_thumbnails_have_a_unit_square_for_each_head_and_keep_its_maxima():
    maps = softmax(3, 5, 16, 16)
    entropy = np.arange(15.0).reshape(3, 5)
    fig = plot.thumbnails(maps, title="All", scores={"entropy, nats": entropy}, interval=WINDOW)
    [tops] = traces(fig, "heatmap")
    np.testing.assert_allclose(tops.z, maps.max((2, 3)), rtol=1e-6)
    # A click tells (head, layer) + 0.5.
    assert (tops.x0, tops.dx, tops.y0, tops.dy) == (0.5, 1, 0.5, 1) and "layer 1, head 2" in tops.text[1][2]
    assert "entropy, nats: 7" in tops.text[1][2] and list(fig.layout.yaxis.range) == [3, 0]
    [(box, pixels)] = tiles(fig.layout.images[0].source)
    assert (box, pixels.shape) == ([0, 0, 5 * 18, 3 * 18], (3 * 18, 5 * 18, 3))
    dark = (pixels == rgb(LIGHT.magnitudes[-1])).all(-1)
    for layer, head in np.ndindex(3, 5):
        row, column = np.unravel_index(maps[layer, head].argmax(), (16, 16))
        assert dark[18 * layer + row, 18 * head + column]
    assert (pixels[16:18] == 255).all()
    assert f"Largest weight: layer {tops.z.argmax() // 5} head {tops.z.argmax() % 5}" in alt(fig)


def test_an_atlas_has_layers_down_heads_across_and_takes_labels_limits_and_a_control():
    grid, names = softmax(3, 5), {"label": "entropy", "unit": "nats", "title": "t"}
    grid[1, 4] = np.nan
    fig = plot.head_atlas(grid, **names, chosen=(0, 3))
    [cells], [text] = traces(fig, "heatmap"), [trace for trace in fig.data if trace.type == "scatter"]
    np.testing.assert_array_equal(cells.z, grid)
    assert list(fig.layout.yaxis.range) == [2.5, -0.5] and cells.customdata[1][4] == "–"
    assert (len(text.text), text.text[0]) == (15, f"{grid[0, 0]:.3f}".rstrip("0"))
    assert (fig.layout.shapes[0].x0, fig.layout.shapes[0].y0) == (2.5, -0.5)
    assert alt(fig).endswith("; 1 without a value. Framed: layer 0 head 3.")
    assert alt(plot.head_atlas(np.full((2, 2), np.nan), **names)).endswith("No head has a value in entropy, nats.")
    grid, control = softmax(2, 3), softmax(2, 3, seed=1)
    labels = [["offset +1", "the first token of all", ""], ["nearby", "nearby", "nearby"]]
    fig = plot.head_atlas(grid, **names, labels=labels, limits=(0, 4), control=control)
    real, beside = traces(fig, "heatmap")
    assert (real.zmin, real.zmax, beside.zmin, beside.zmax) == (0, 4, 0, 4)
    np.testing.assert_array_equal(beside.z, control)
    assert real.customdata[0][1] == "the first token of all"
    layer, head = np.unravel_index(control.argmax(), control.shape)
    largest = f"largest layer {layer} head {head} ({control.max():.3g})"
    assert f"Control: randomly initialised model: {largest}" in alt(fig)
    assert "Heads by label: nearby 3, offset +1 1 and the first token of all 1." in alt(fig)


@pytest.mark.parametrize("diverging", [False, True])
def test_text_of_an_atlas_stands_out_from_its_cell(diverging):
    grid = np.linspace(-1 if diverging else 0, 1, 20).reshape(4, 5)
    fig = plot.head_atlas(grid, label="x", unit="u", title="t", diverging=diverging)
    cells, [text] = fig.data[0], [trace for trace in fig.data if trace.type == "scatter"]
    stops, shades = zip(*cells.colorscale, strict=True)
    for x, y, colour in zip(text.x, text.y, text.textfont.color, strict=True):
        at = (grid[y, x] - cells.zmin) / (cells.zmax - cells.zmin)
        ground = [np.interp(at, stops, channel) for channel in np.array([rgb(shade) for shade in shades]).T]
        assert contrast(ground, rgb(colour)) >= 3.3


def a_track(values=None, spans=None, **options):
    values, spans = (np.ones(21) if values is None else values, np.ones((21, 2), int) if spans is None else spans)
    return plot.attention_track(values, spans, label="head 3", **options)


def a_map(weights=None, spans=SPANS, **options):
    return plot.attention_map(softmax(N, N) if weights is None else weights, spans, WINDOW, title="t", **options)


def an_atlas(grid=None, **options):
    return plot.head_atlas(np.ones((2, 2)) if grid is None else grid, label="x", unit="u", title="t", **options)


def all_heads(maps=None, **options):
    return plot.thumbnails(np.ones((1, 1, 2, 2)) if maps is None else maps, title="t", **options)


def an_enrichment(change=lambda table: table, **options):
    return plot.enrichment(change(enriched()), title="t", **options)


@pytest.mark.parametrize(("make", "options", "message"), [
    (a_track, {"values": np.ones(3)}, r"must have the shape \[21\]; received \[3\]"),
    (a_track, {"values": -np.ones(21)}, r"finite and at least 0.*; received -1\.0 at \[0\]"),
    (a_track, {"values": np.full(21, np.nan)}, "finite and at least 0.*; received nan"),
    (a_track, {"spans": np.ones(21)}, r"shape \[token, 2\].*received float64 \[21\]"),
    (a_track, {"query_span": (5, 5)}, r"cover a base; received the span \(5, 5\)"),
    (a_track, {"control": np.ones(2)}, r"'head 3: control' must have the shape"),
    (a_map, {"spans": np.zeros((N, 3), int)}, r"shape \[token, 2\].*received int64 \[\d+, 3\]\. Pass"),
    (a_map, {"spans": SPANS.astype(float)}, "must be integers"),
    (a_map, {"spans": SPANS[:, ::-1]}, "start <= end also on the - strand"),
    (a_map, {"spans": SPANS - START}, "received 0 of .* spans. Pass spans on the genome"),
    (a_map, {"weights": softmax(5, 3)}, r"must have the shape \[\d+, \d+\]; received \[5, 3\]"),
    (a_map, {"weights": -softmax(N, N)}, r"finite and at least 0.*; received -0\.\d+ at \[0, 0\]"),
    (a_map, {"control": softmax(2, 2)}, "control' must have the shape"),
    (a_map, {"scale": "cubic"}, "one of linear, sqrt, log; received 'cubic'"),
    (a_map, {"sequence": "ACGT"}, "sequence must be the 34 bases of .*; received 4"),
    (a_map, {"elements": ["exon"]}, "must have an annotation to look them up in; received .'exon'"),
    (a_map, {"genes": genes(), "elements": ["enhancr"]}, "An element must be one of those"),
    (a_map, {"spans": np.repeat(SPANS[1:2], 5000, 0)}, "From 1 to 4,096 tokens must lie in .*; received 5,000 of"),
    (all_heads, {"maps": np.ones((2, 2, 4))}, r"shape \[layer, head, bin, bin\]; received \[2, 2, 4\]"),
    (all_heads, {"maps": np.full((1, 1, 2, 2), np.nan)}, r"at least 0.*; received nan at \[0, 0, 0, 0\]"),
    (all_heads, {"scores": {"x": np.ones(3)}}, r"'x' must have the shape \[1, 1\]; received \[3\]"),
    (an_atlas, {"grid": np.ones(3)}, r"'x' must have the shape \[layer, head\]; received \[3\]"),
    (an_atlas, {"grid": np.full((2, 2), np.inf)}, r"NaN where there is no value; received inf at \[0, 0\]"),
    (an_atlas, {"control": np.ones((2, 3))}, r"'x: control' must have the shape \[2, 2\]"),
    (an_atlas, {"labels": [["a"]]}, "one text for each of 2 layers by 2 heads"),
    (an_atlas, {"limits": (1, 1)}, r"must be an interval; received \(1, 1\)"),
    (an_atlas, {"chosen": (0, 2)}, "one of 2 layers by 2 heads, .*received layer 0 head 2"),
    (an_enrichment, {"change": lambda t: t.drop(columns="ratio")}, "it lacks ratio, and has layer, head"),
    (an_enrichment, {"change": lambda t: t[:0]}, "must have rows"),
    (an_enrichment, {"control": "distance"}, r"those in the table \(shuffle, twin\); received 'distance'"),
    (an_enrichment, {"change": lambda t: pd.concat([t, t[:1]])}, "received layer 0, head 0, element exon again"),
    (an_enrichment, {"change": lambda t: t.assign(ratio=-1.0)}, "at least 0, or NaN; received ratio -1.0"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


PASSED, PUBLISHED = "passes the shift null", "passes the published test only"


def enriched(n_layers: int = 2, n_heads: int = 3, element: str = "exon") -> pd.DataFrame:
    rng, rows = np.random.default_rng(0), []
    for name, layer, head in itertools.product((element, "intron"), range(n_layers), range(n_heads)):
        ratio, spread = float(np.exp(rng.normal(0, 0.8))), float(rng.uniform(1.1, 1.6))
        rows.append({
            "layer": layer, "head": head, "element": name, "status": "ok", "ratio": ratio, "ratio_low": ratio / spread, "ratio_high": ratio * spread,
            "background": 0.2, "shift_mean": 0.2 * float(rng.uniform(0.8, 1.2)), "q_shift": 0.5, "significant": False, "significant_published": False,
            "shuffle_ratio": float(rng.uniform(0.8, 1.2)), "twin_ratio": float(rng.uniform(0.9, 1.1)), "n_above": int(rng.integers(100, 10_000)),
        })  # fmt: skip
    return pd.DataFrame(rows)


def begin(figure, name):
    return [trace for trace in figure.data if trace.name and trace.name.startswith(name)]


def test_the_heat_map_holds_the_logarithm_of_each_ratio_and_the_control_below():
    table = enriched()
    table.loc[0, "ratio"], table.loc[1, "ratio"] = 4.0, 0.0
    table.loc[2, ["ratio", "ratio_low", "ratio_high"]] = np.nan
    figure = plot.enrichment(table, title="t")
    [model], [control] = begin(figure, "Model"), begin(figure, "Control: shuffled sequence")
    order = [0, 1] if model.y[0] == "exon" else [1, 0]
    with np.errstate(divide="ignore"):
        for trace, column in ((model, "ratio"), (control, "shuffle_ratio")):
            expected = np.maximum(np.log2(table[column].to_numpy().reshape(2, 6)), -99)
            np.testing.assert_allclose(np.array(trace.z)[order], expected)
    assert list(model.x) == ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2"]
    assert (model.zmin, model.zmax, control.zmin, control.zmax) == (-3, 3, -3, 3)
    assert model.colorscale[2][1] == LIGHT.signs[2]
    [empty] = begin(figure, "no test, or under 5 pairs")
    assert (list(empty.x), list(empty.y)) == (["0.2"], ["exon"])
    assert "1 ratios lie beyond the ends of the colours" in plot.alt(figure)
    hover, (low, high) = np.array(model.customdata)[order][0, 0], table.loc[0, ["ratio_low", "ratio_high"]]
    interval = f"ratio 4 (95 % interval {low:.3g} to {high:.3g})"
    assert hover.startswith(f"<b>layer 0, head 0 on exon</b><br>{interval}<br>shifted elements ")
    assert "pairs above the threshold" in hover
    assert np.diff(figure.layout.yaxis2.domain) < 0.7 * np.diff(figure.layout.yaxis.domain)


def test_filled_marks_pass_the_null_hollow_ones_the_published_test_only_and_the_answer_comes_first():
    table = enriched().assign(significant_published=np.isin(range(12), [1, 3, 8]), significant=np.arange(12) == 8)
    figure = plot.enrichment(table, title="t", control=None)
    assert list(begin(figure, "Model")[0].y) == ["intron", "exon"]
    [passed], [only] = begin(figure, PASSED), begin(figure, PUBLISHED)
    assert (list(passed.x), list(passed.y), passed.marker.symbol) == (["0.2"], ["intron"], "circle")
    assert (list(only.x), list(only.y), only.marker.symbol) == (["0.1", "1.0"], ["exon", "exon"], "circle-open")
    assert not begin(figure, "Control")
    assert "intron: 1 pass the shift null, 0 more the published test only" in plot.alt(figure)
    assert begin(figure, "Model")[0].customdata[0][2].endswith(PASSED)


def test_few_pairs_no_null_and_large_models_are_drawn_and_said():
    table = enriched()
    table.loc[[0, 1], "n_above"] = 20  # chance puts 4 on the element
    table.loc[1, "significant"] = True
    z = begin(plot.enrichment(table[table["element"] == "exon"], title="t"), "Model")[0].z
    assert np.isnan(z[0]).tolist() == [True, False, False, False, False, False]
    table = enriched().drop(columns=["q_shift", "significant", "shift_mean", "shuffle_ratio", "twin_ratio"])
    figure = plot.enrichment(table.assign(significant_published=True), title="t")
    assert "no shift null, so nothing can be marked as passing it" in plot.alt(figure)
    assert "0 pass the shift null, 6 more the published test only" in plot.alt(figure)
    figure = plot.enrichment(enriched(24, 16), title="t", control="twin")
    assert np.shape(begin(figure, "Model")[0].z) == (2, 384)
    assert list(figure.layout.xaxis.tickvals)[:2] == ["0.0", "1.0"]
    assert begin(figure, "Control: randomly initialised model")
    assert_text(plot.enrichment(enriched(element=HOSTILE), title=HOSTILE))
