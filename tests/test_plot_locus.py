"""The locus figure, read back: coordinates, rows, zoom and marks, signals, genes, regions, letters that follow a zoom."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from drawn import HOSTILE, annotation, assert_text, named, notes

from ntviz import plot
from ntviz.genome import Interval
from ntviz.plot.locus import LocusFigure
from ntviz.plot.theme import LIGHT, WIDTH
from ntviz.plot.tracks import MOST_POINTS, Track, View, binned, packed


def features(gene: str, strand: str, exons, coding=(), *, transcript: str = "") -> list[tuple]:
    parts = [(exons[0][0], exons[-1][1], kind, "") for kind in ("gene", "transcript")]
    parts += [(a, b, "exon", "") for a, b in exons] + [(a, b, "CDS", "longest ATG ORF") for a, b in coding]
    names = {kind: (gene, gene, "" if kind == "gene" else transcript or f"{gene}-1", "") for _, _, kind, _ in parts}
    return [("20", a, b, strand, kind, *names[kind], origin) for a, b, kind, origin in parts]


def signal(n: int = 100, **options) -> Track:
    return plot.signal_track(np.arange(n, dtype=float), **({"label": "signal", "unit": "nats"} | options))


def locus(*tracks: Track, start: int = 0, end: int = 100, strand: str = ".", **options) -> LocusFigure:
    return plot.locus(Interval("chr20", start, end, strand), tracks, **({"title": "t"} | options))


def row(figure: go.Figure, number: int = 1) -> list:
    return [trace for trace in figure.data if trace.yaxis == f"y{number if number > 1 else ''}"]


def positions(trace) -> np.ndarray:
    return trace.x0 + trace.dx * np.arange(len(trace.y))


@pytest.mark.parametrize("strand", [".", "+", "-"])
def test_each_base_stands_around_its_one_based_number_in_reading_direction(strand):
    figure = locus(signal(), start=43_000_000, end=43_000_100, strand=strand, assembly="GRCh37")
    line, axis, step = named(figure, "signal"), figure.layout.xaxis, -1 if strand == "-" else 1
    np.testing.assert_array_equal(positions(line), np.arange(43_000_001, 43_000_101)[::step])
    edges = (43_000_000.5, 43_000_100.5)
    assert (axis.range, axis.minallowed, axis.maxallowed) == (edges[::step], *edges)
    assert axis.title.text.startswith("position, 1-based, on chr20 (GRCh37)")
    assert ("− strand, 5′ to 3′ from left to right" in axis.title.text) == (strand == "-")
    assert (axis.tickformat, axis.hoverformat, axis.unifiedhovertitle.text) == (",d", ",d", "chr20:%{x:,d}")
    last = "43,000,001" if strand == "-" else "43,000,100"
    assert f"signal: largest 99 nats at {last}, mean 49.5." in plot.alt(figure)
    assert figure.layout.title.subtitle.text.startswith("chr20:43,000,001-43,000,100 · 100 bp · GRCh37")
    assert figure.layout.meta["name"] == "chr20:43000001-43000100"
    assert plot.table(figure)["x"].tolist() == positions(line).tolist()


@pytest.mark.parametrize(("strand", "expected"), [("+", [*range(90, 100), *[np.nan] * 5]), ("-", [*[np.nan] * 5, *range(10)])])  # fmt: skip
def test_values_over_another_interval_are_cut_and_missing_outside(strand, expected):
    figure = locus(signal(over=Interval("20", 0, 100, strand)), start=90, end=105, strand=strand)
    np.testing.assert_array_equal(named(figure, "signal").y, expected)


@pytest.mark.parametrize(("values", "over", "message"), [
    (np.arange(10), None, r"one value for each of the 50 bases of chr20:101-150; received 10\. Pass the interval"),
    (np.arange(10), Interval("chr21", 100, 110), "on the contig and strand of the figure, chr20:101-150; received values"),
    (np.arange(10), Interval("chr20", 100, 110, "-"), "on the contig and strand of the figure"),
    (np.zeros((2, 2)), None, r"'x' must .*shape \[base\]; received \[2, 2\]"),
    (np.array([0.0, -np.inf]), None, r"'x' must .*received -inf at \[1\]"),
])  # fmt: skip
def test_values_that_do_not_fit_are_refused(values, over, message):
    with pytest.raises(ValueError, match=message):
        locus(plot.signal_track(values, label="x", unit="", over=over), start=100, end=150)


@pytest.mark.parametrize("strand", ["+", "-"])
def test_pixels_and_places_are_each_others_inverse(strand):
    at = Interval("chr20", 100, 300, strand)
    view = View(at, at, (100, 300))
    ends = view.across([(50, 150)])[0]
    assert tuple(ends) == ((0, WIDTH / 4) if strand == "+" else (WIDTH * 0.75, WIDTH))
    assert sorted(view.at(list(ends))) == [100.5, 150.5]


def test_rows_follow_the_list_and_marks_run_through_all():
    figure = locus(signal(height=50), signal(label="b", height=100), plot.genes_track(annotation()))
    spans = [figure.layout[name].domain for name in ("yaxis", "yaxis2", "yaxis3")]
    inner = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
    np.testing.assert_allclose([(high - low) * inner for low, high in spans], [50, 100, 40], atol=1e-6)
    assert all(upper[0] > lower[1] for upper, lower in itertools.pairwise(spans)) and spans[-1][0] == 0
    assert figure.layout.xaxis.anchor == "y3" and figure.layout.yaxis.title.text == "nats"
    assert {trace.xaxis for trace in figure.data} == {"x"}
    spans = {"HNF1A motif": ("chr20", 40, 50), "another of them": ("20", 45, 48), HOSTILE: ("chr20", 95, 200)}
    figure = locus(signal(), signal(label="b"), marks={name: Interval(*span) for name, span in spans.items()})
    shapes, names = figure.layout.shapes, [note for note in figure.layout.annotations if note.xref == "x"]
    assert [(shape.x0, shape.x1) for shape in shapes] == [(40.5, 50.5), (45.5, 48.5), (95.5, 100.5)]
    assert all(shape.y0 == 0 and shape.y1 > figure.layout.yaxis.domain[1] for shape in shapes)
    assert names[0].y > names[1].y and names[2].text.startswith("&lt;b&gt;")
    assert "Marked: HNF1A motif at chr20:41-50;" in plot.alt(figure)


def test_a_zoom_repeats_letters_below_over_its_own_axis():
    logo = plot.logo_track(np.eye(4)[np.arange(1000) % 4])
    figure = locus(plot.sequence_track("ACGT" * 250), logo, signal(1000), end=1000, zoom=Interval("chr20", 300, 400))
    assert figure.layout.xaxis2.range == (300.5, 400.5)
    assert {trace.xaxis for trace in row(figure, 4) + row(figure, 5)} == {"x2"}
    assert figure.layout.yaxis4.domain[1] < figure.layout.yaxis3.domain[0]
    np.testing.assert_array_equal(positions(row(figure, 5)[0]), np.arange(301, 401))
    band = figure.layout.shapes[0]
    assert (band.x0, band.x1, band.xref) == (300.5, 400.5, "x")
    assert "Enlarged below: chr20:301-400." in plot.alt(figure) and "Enlarged: chr20:301-400" in notes(figure)
    assert figure.layout.xaxis.title.text == ""
    assert "xaxis2" not in locus(plot.sequence_track("A" * 100), zoom=Interval("chr20", 10, 60)).layout


@pytest.mark.parametrize(("options", "message"), [
    ({"tracks": []}, "at least one track; received none"),
    ({"tracks": [signal(), signal()]}, "a label of its own; received 'signal' 2 times"),
    ({"zoom": Interval("chr20", 50, 150)}, "'zoom' must lie in chr20:1-100; received chr20:51-150"),
    ({"zoom": Interval("chr20", 50, 60)}, "a track of letters to enlarge; received none among 'signal'"),
    ({"marks": {"m": Interval("chr20", 100, 150)}}, "'m' must lie in chr20:1-100; received chr20:101-150"),
    ({"end": 2_000_001}, r"at most 2,000,000 bp; received 2,000,001 bp"),
])  # fmt: skip
def test_a_locus_that_cannot_be_drawn_says_why(options, message):
    tracks = options.pop("tracks", [signal()])
    with pytest.raises(ValueError, match=message):
        locus(*tracks, **options)


def test_text_from_data_is_never_markup():
    table = pd.DataFrame({"chrom": "chr20", "start": [10], "end": [20], "name": [HOSTILE]})
    rows = features(HOSTILE, "+", [(10, 50)], transcript=HOSTILE)
    tracks = [
        plot.genes_track(annotation(rows), label=f"{HOSTILE} 1"), plot.regions_track(table, label=f"{HOSTILE} 2", score_label=HOSTILE),
        signal(label=f"{HOSTILE} 3", unit=HOSTILE, note=HOSTILE, control=np.zeros(100), control_label=HOSTILE),
        plot.contribution_track(np.ones(100), "A" * 100, label=f"{HOSTILE} 4", unit=HOSTILE),
    ]  # fmt: skip
    assert_text(locus(*tracks, assembly=HOSTILE, title=HOSTILE))


def test_a_signal_has_a_grey_control_two_signs_and_gaps():
    figure = locus(signal(control=np.full(100, 140.0), control_label="shuffled"))
    control = named(figure, "signal: control (shuffled)")
    assert (control.line.color, control.yaxis) == (LIGHT.control, named(figure, "signal").yaxis)
    assert figure.layout.yaxis.range == pytest.approx((0, 140 * 1.06))
    assert "in the control (shuffled) largest 140 nats at 1, mean 140" in plot.alt(figure)
    assert "grey: shuffled" in notes(figure)
    figure = locus(plot.signal_track(np.linspace(-1, 3, 100), label="effect", unit="nats", diverging=True))
    assert figure.layout.yaxis.range == pytest.approx((-3.36, 3.36))
    filled = {trace.fillcolor: trace.y for trace in figure.data if trace.fill == "tozeroy"}
    assert filled.keys() == {LIGHT.positive, LIGHT.negative}
    assert filled[LIGHT.positive].min() == filled[LIGHT.negative].max() == 0
    values = np.where((np.arange(100) >= 40) & (np.arange(100) < 60), np.nan, 1.0)
    figure, nothing = (locus(plot.signal_track(v, label="x", unit="u")) for v in (values, np.full(100, np.nan)))
    assert np.isnan(named(figure, "x").y[40:60]).all() and (row(figure)[0].y[40:60] == 0).all()
    assert row(figure)[0].fill == "tozeroy" and "x: no values here." in plot.alt(nothing)


def test_a_long_signal_is_drawn_as_mean_and_band_of_bins_as_by_brute_force():
    values = np.zeros(100_000)
    values[77_777] = 50.0
    figure = locus(plot.signal_track(values, label="signal", unit="nats"), end=100_000)
    line = named(figure, "signal")
    assert len(line.y) < MOST_POINTS and "mean of 25 bp" in line.hovertemplate
    assert line.y.max() == pytest.approx(2) and max(trace.y.max() for trace in figure.data) == 50
    assert abs(positions(line)[line.y.argmax()] - 77_778) <= 12 and "largest 50 nats at 77,778" in plot.alt(figure)
    values = np.random.default_rng(1).normal(size=1003)
    values[::11] = values[100:150] = np.nan
    for low, mean, high, part in zip(*binned(values, 20), np.split(values, range(20, 1003, 20)), strict=True):
        part = part[np.isfinite(part)]
        expected = (part.min(), part.mean(), part.max()) if part.size else (np.nan,) * 3
        np.testing.assert_allclose((low, mean, high), expected, rtol=1e-5)


PLUS = features("HNF4A", "+", [(200, 300), (500, 600), (900, 950)], [(260, 300), (500, 560)])
MINUS = features("R3HDML", "-", [(1200, 1300), (1600, 1900)], [(1650, 1850)])


def genes(*rows, start: int = 0, end: int = 2000, strand: str = ".", **options) -> LocusFigure:
    return locus(plot.genes_track(annotation(*rows), **options), start=start, end=end, strand=strand)


def texts(figure: go.Figure):
    return next(trace for trace in figure.data if getattr(trace, "mode", "") == "text")


def boxes(figure: go.Figure) -> go.Bar:
    [bar] = [trace for trace in figure.data if trace.type == "bar"]
    return bar


def spans(trace, high: float = 0.0) -> set[tuple[int, int]]:
    chosen = np.isclose(trace.y, high) | (high == 0)
    x, half = np.asarray(trace.x, float)[chosen] - 0.5, np.asarray(trace.width, float)[chosen] / 2
    return set(zip((x - half).astype(int).tolist(), (x + half).astype(int).tolist(), strict=True))


def under(figure: go.Figure, base: int) -> str:
    """What the pointer reads of the genes over a base, 0-based."""
    line = next(trace for trace in figure.data if trace.text and len(trace.text) > 200)
    return line.text[base - int(line.x0) + 1]


def test_exons_are_thin_coding_parts_upon_them_thick_and_introns_lines():
    figure = genes(PLUS, MINUS)
    bar = boxes(figure)
    assert spans(bar, 0.05) == {(300, 500), (600, 900), (1300, 1600)}
    assert spans(bar, 0.2) == {(200, 300), (500, 600), (900, 950), (1200, 1300), (1600, 1900)}
    assert spans(bar, 0.4) == {(260, 300), (500, 560), (1650, 1850)}
    colours = {0.05: LIGHT.gene, 0.2: LIGHT.gene_pale, 0.4: LIGHT.gene}
    assert bar.marker.color == tuple(colours[round(high, 2)] for high in bar.y)
    pairs = itertools.combinations(zip(bar.x, bar.y, strict=True), 2)
    assert all(y < above for (x, y), (beside, above) in pairs if x == beside)
    # With an unclipped trace in its row plotly hides a box whose middle a zoom puts out of sight.
    assert not any(getattr(trace, "cliponaxis", None) is False for trace in figure.data)
    assert spans(boxes(genes(PLUS, start=280, end=520)), 0.4) == {(280, 300), (500, 520)}


@pytest.mark.parametrize("strand", ["+", "-"])
def test_chevrons_and_start_arrows_point_along_transcription(strand):
    (markers,) = (t for t in genes(PLUS, MINUS, strand=strand).data if getattr(t, "mode", "") == "markers")
    found: dict[str, list[float]] = {"triangle": [], "arrow": []}
    for x, symbol in zip(markers.x, markers.marker.symbol, strict=True):
        shape, side = symbol.split("-")
        assert side == ("right" if (x < 1000) == (strand == "+") else "left")
        found[shape].append(x)
    assert all(300 < x < 500 or 600 < x < 900 or 1300 < x < 1600 for x in found["triangle"])
    assert set(found["arrow"]) == {201, 1900}


def test_the_pointer_reads_what_lies_over_a_base_and_exons_are_numbered_along_transcription():
    figure = genes(PLUS, end=1000)
    for base, words in {
        199: "none", 200: "HNF4A exon 1, 201–300", 259: "HNF4A exon 1, 201–300", 499: "HNF4A intron, 301–500",
        260: "HNF4A exon 1, 201–300<br>HNF4A coding, 261–300", 570: "HNF4A exon 2, 501–600",
    }.items():  # fmt: skip
        assert under(figure, base) == f"Genes: {words}"
    line = next(trace for trace in genes(PLUS, end=300_000).data if trace.text and len(trace.text) > 200)
    assert len(line.text) <= 6_000 and [text for text in line.text if "intron" in text]
    figure = genes(PLUS, MINUS, start=450, end=1950)
    for base, words in {520: "HNF4A exon 2", 920: "HNF4A exon 3", 1250: "R3HDML exon 2", 1700: "R3HDML exon 1"}.items():
        assert under(figure, base).startswith(f"Genes: {words},")
    figure = genes(PLUS, MINUS)
    alt = plot.alt(figure)
    assert texts(figure).text == ("<i>HNF4A</i>", "<i>R3HDML</i>")
    assert "HNF4A (+ strand, transcription start at 201)" in alt
    assert "R3HDML (− strand, transcription start at 1,900)" in alt and "coding parts: longest ATG ORF" in alt


@pytest.mark.parametrize("strand", [".", "-"])
def test_names_do_not_meet_bodies_or_each_other(strand):
    rows = [features(f"GENE{i:03}", "+-"[i % 2], [(40 * i, 40 * i + 30)]) for i in range(20)]
    text = texts(genes(*rows, end=1000, strand=strand, most_lanes=20))
    by_line = {y: sorted(x for x, other in zip(text.x, text.y, strict=True) if other == y) for y in text.y}
    wide = 7 * 0.58 * 11 / WIDTH * 1000
    assert sum(map(len, by_line.values())) == 20
    assert all(b - a >= wide for xs in by_line.values() for a, b in itertools.pairwise(xs))


def test_transcripts_carry_their_names_too_many_are_counted_and_none_is_said():
    text = texts(genes(PLUS, features("HNF4A", "+", [(250, 300), (500, 600)], transcript="HNF4A-2")))
    assert text.text == ("<i>HNF4A HNF4A-1</i>", "<i>HNF4A HNF4A-2</i>") and text.y[0] != text.y[1]
    figure = genes(*[features(f"G{i:02}", "+", [(100, 900)]) for i in range(9)], most_lanes=3)
    assert len(texts(figure).text) == 3 and "6 more not drawn: choose a shorter region" in plot.alt(figure)
    assert "Genes: none here." in plot.alt(genes(PLUS, start=5000, end=6000))
    figure = genes([("20", 10, 30, ".", "region", "", "", "", "enhancer <1>", "")], end=500)
    assert spans(boxes(figure)) == {(10, 30)} and under(figure, 15) == "Genes: enhancer &lt;1&gt;, 11–30"
    with pytest.raises(ValueError, match="at least one line; received most_lanes=0"):
        plot.genes_track(annotation(PLUS), most_lanes=0)


TABLE = pd.DataFrame({
    "chrom": ["20", "chr20", "chr20", "chr21", "chr20"], "start": [110, 150, 90, 120, 190], "end": [130, 170, 105, 140, 230],
    "name": ["first", "second", "reaches in", "elsewhere", "reaches out"], "strand": ["+", "-", ".", "+", "+"], "score": [2.0, 8.0, np.nan, 99.0, 4.0],
})  # fmt: skip


def many(n: int, length: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    start = rng.integers(0, length, n)
    names = [f"region {i}" for i in range(n)]
    return pd.DataFrame({"chrom": "chr20", "start": start, "end": start + rng.integers(1, 20, n), "name": names})


def regions(table=TABLE, *, start: int = 100, end: int = 200, strand: str = ".", **options) -> LocusFigure:
    return locus(plot.regions_track(table, **({"label": "Regions"} | options)), start=start, end=end, strand=strand)


@pytest.mark.parametrize("strand", [".", "-"])
def test_regions_are_boxes_with_names_beside_and_words(strand):
    figure = regions(strand=strand)
    box, alt = boxes(figure), plot.alt(figure)
    assert spans(box) == {(100, 105), (110, 130), (150, 170), (190, 200)}
    assert "second (−) at 151–170, score 8" in box.text
    assert sorted(texts(figure).text) == ["first", "reaches in", "reaches out", "second"]
    assert "Regions: 4 regions: reaches in at 91–105, first (+) at 111–130, score 2, second (−)" in alt
    assert "largest: second (−) at 151–170, score 8." in alt


def test_shade_is_the_score_on_one_scale_and_what_a_table_lacks_is_said():
    marker = boxes(regions()).marker
    assert (marker.cmin, marker.cmax) == (0, 99)
    np.testing.assert_array_equal(marker.color, [np.nan, 2, 8, 4])
    signed = regions(TABLE.assign(score=[2.0, -8.0, np.nan, 0.0, 4.0]), score_label="effect, nats")
    marker = boxes(signed).marker
    assert (marker.cmin, marker.cmax) == (-8, 8) and "shade: effect, nats" in notes(signed)
    bare = TABLE.drop(columns=["name", "strand", "score"])
    assert set(boxes(regions(bare)).marker.color) == {LIGHT.gene_pale}
    for table in (bare, TABLE.assign(name=".", score="."), TABLE.assign(name=np.nan)):
        figure = regions(table)
        assert "Regions: 4 regions" in plot.alt(figure) and boxes(figure).text[1].startswith("region")
    for table in (TABLE.iloc[:0], TABLE[TABLE["chrom"] == "chr21"]):
        assert "Regions: none here." in plot.alt(regions(table))


@pytest.mark.parametrize(
    ("n", "length", "names", "boxes"), [(12, 500, True, True), (100, 5_000, False, True), (5_000, 5_000, False, False)]
)
def test_names_then_boxes_then_numbers(n, length, names, boxes):
    figure = regions(many(n, length), start=0, end=length)
    assert any(getattr(trace, "mode", "") == "text" and any(trace.text) for trace in figure.data) == names
    assert any(trace.type == "bar" and len(trace.x) == n for trace in figure.data) == boxes
    assert ("drawn as their number over each base" in plot.alt(figure)) != boxes


@pytest.mark.parametrize("strand", [".", "-"])
def test_numbers_of_regions_equal_those_counted_base_by_base(strand):
    table = many(900, 600)
    line = named(regions(table, start=50, end=550, strand=strand), "Regions")
    counted = [((table["start"] <= base) & (table["end"] > base)).sum() for base in range(50, 550)]
    np.testing.assert_array_equal(line.y, counted[::-1] if strand == "-" else counted)


@pytest.mark.parametrize(("table", "message"), [
    (TABLE.drop(columns="start"), "must have the columns chrom, start, end.*; it lacks start"),
    (TABLE.assign(end=TABLE["start"]), r"start before its end \(0-based half-open\); received 20 110 110"),
    (TABLE.assign(start=TABLE["start"] / 4 + 0.1), "start .* must be an integer, 0-based; received float64"),
    (TABLE.assign(strand="plus"), r"must have the strand \+, - or \."),
    (TABLE.assign(score=np.inf), "scores of 'Regions' must be finite.*received inf in row 0"),
    (TABLE.assign(score="high"), "scores of 'Regions' must be finite numbers, or NaN; received high in row 0"),
])  # fmt: skip
def test_tables_that_are_none_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        regions(table)


@pytest.mark.parametrize("seed", range(3))
def test_packing_leaves_gaps_and_needs_as_many_lines_as_lie_over_one_place(seed):
    rng, gap = np.random.default_rng(seed), 0.5
    left = rng.integers(0, 60, 30) / 2
    right = left + rng.integers(0, 20, 30) / 2
    lines = packed(left, right, gap=gap)
    for line in set(lines.tolist()):
        placed = sorted(zip(left[lines == line], right[lines == line], strict=True))
        assert all(b[0] - a[1] >= gap for a, b in itertools.pairwise(placed))
    assert lines.max() + 1 == max(((left <= place) & (right + gap > place)).sum() for place in left)
    np.testing.assert_array_equal(packed(left, right, gap=gap, most=3), np.minimum(lines, 3))


def spelled(figure: go.Figure) -> set[int]:
    """1-based positions with a letter."""
    x = np.concatenate([np.asarray(trace.x, float) for trace in figure.data if trace.meta == "letters"])
    return set(np.rint(x[np.isfinite(x)]).astype(int).tolist())


def long(strand: str = ".", **options) -> LocusFigure:
    p = np.full((3000, 4), 0.25)
    p[2000] = [0, 0, 1, 0]
    return locus(plot.sequence_track("ACGT" * 750), plot.logo_track(p), end=3000, strand=strand, **options)


@pytest.mark.parametrize("strand", ["+", "-"])
def test_letters_stand_where_they_matter_most_or_in_the_zoom_or_everywhere(strand):
    # The logo of `long` has one base with information, element 2,000 in the reading direction.
    peak = 2_001 if strand == "+" else 1_000
    figure = long(strand)
    assert spelled(figure) == set(range(peak - 100, peak + 100))
    assert f"Letters: zoom in at chr20:{peak - 100:,}-{peak + 99:,}." in plot.alt(figure)
    assert spelled(long(strand, zoom=Interval("chr20", 10, 20))) == set(range(11, 21))
    assert spelled(locus(plot.sequence_track("ACGT" * 100), end=400)) == set(range(1, 401))
    # Contributions come before a logo, whatever their order; without a value, the middle; never beyond an end.
    values, logo = np.zeros(3000), np.full((3000, 4), 0.25)
    values[700], values[10], logo[2000] = -2, 1, [0, 0, 1, 0]
    both, above = (plot.contribution_track(v, "A" * 3000, label="c", unit="nats") for v in (values, values.clip(0)))
    nothing = [plot.sequence_track("A" * 3000), plot.logo_track(np.full((3000, 4), np.nan))]
    logo = plot.logo_track(logo)
    for best, first, tracks in ((700, 600, [logo, both]), (10, 0, [above, logo]), (None, 1400, nothing)):
        first = first if strand == "+" or best is None else min(2999 - best - 100, 2800)
        assert locus(*tracks, end=3000, strand=strand)._part == (first, first + 200)


@pytest.mark.parametrize("strand", ["+", "-"])
def test_letters_follow_a_zoom_and_what_the_owner_changed_stays(strand, monkeypatch):
    figure = long(strand)
    figure.update_layout(title_text="mine").update_xaxes(title_text="my axis")
    live = figure.live()
    monkeypatch.setattr(live, "send", lambda *_, **__: None)
    first = live.figure["revision"]
    for ends in ([500.5, 600.5], [520, 580], [0, 3000]):
        ranges = {"xaxis": ends[:: -1 if strand == "-" else 1], "yaxis": [0, 1]}
        live._heard(None, {"kind": "ranges", "ranges": ranges}, [])
        assert spelled(figure) == set(range(451, 651)) and live.figure["revision"] == first + 1
    assert (figure.layout.title.text, figure.layout.xaxis.title.text) == ("mine", "my axis")
    # The letters of a figure that is made for this part alone.
    wanted = [trace for trace in long(strand, zoom=Interval("chr20", 450, 650)).data if trace.xaxis == "x"]
    for one, other in zip(figure.data, wanted, strict=True):
        if one.meta == "letters":
            np.testing.assert_array_equal([one.x, one.y], [other.x, other.y])


def test_a_locus_shows_itself_live_only_where_a_person_looks(monkeypatch):
    shown, figure, without = [], long(), locus(signal())
    monkeypatch.setattr("ntviz.plot.live.present", lambda box, live: shown.append(live))
    monkeypatch.setattr(go.Figure, "_ipython_display_", lambda self: shown.append(self))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    figure._ipython_display_()
    monkeypatch.setenv("JPY_SESSION_NAME", "x")
    without._ipython_display_()
    assert shown == [figure, without]
    figure._ipython_display_()
    assert shown[-1].still is figure
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    figure._ipython_display_()
    assert shown[-1] is figure


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, go.Figure, lambda figure: pickle.loads(pickle.dumps(figure))])  # fmt: skip
def test_a_copy_is_a_still_figure(again):
    figure = long()
    made = again(figure)
    assert made.to_plotly_json()["layout"]["meta"] == figure.layout.meta
    assert not isinstance(made, LocusFigure) or made.spell(500, 600) is False


@pytest.mark.parametrize(("start", "end", "strand"), [(43_030_000, 43_030_001, "."), (43_025_000, 43_037_000, "-")])
def test_one_base_and_twelve_kilobases_draw(start, end, strand):
    n, rng = end - start, np.random.default_rng(0)
    p, sequence = rng.dirichlet(np.ones(4), n), "".join(rng.choice(list("ACGTN"), n))
    tracks = [
        plot.genes_track(annotation(features("G", "-", [(start - 50, end + 50)]))), plot.sequence_track(sequence),
        plot.logo_track(p, control=p), signal(n), plot.contribution_track(p[:, 0] - 0.25, sequence, label="A", unit="nats"),
    ]  # fmt: skip
    figure = locus(*tracks, start=start, end=end, strand=strand)
    assert len(figure.to_json()) < 2_500_000 and "nan" not in notes(figure).split()
    assert (len(named(figure, "signal").y) == 1) == (figure.layout.xaxis.dtick == 1) == (n == 1)


def test_elements_stand_in_lanes_of_their_own_above_what_is_annotated():
    probabilities = np.zeros((50, 2))
    probabilities[10:20, 0], probabilities[:5, 1] = 0.8, np.nan
    annotated = np.zeros((50, 2), bool)
    annotated[12:22, 0] = True
    for strand in "+-":
        at = Interval("chr20", 100, 150, strand)
        figure = plot.locus(at, [plot.elements_track(probabilities, ["exon", HOSTILE], annotated=annotated)], title="t")
        shades, lines = figure.data[-2:]
        np.testing.assert_allclose(shades.z[0], probabilities[:, 0], atol=1e-6)
        np.testing.assert_array_equal(np.isnan(shades.z[1])[:5], True)
        assert np.flatnonzero(lines.z[0] == 1).tolist() == list(range(12, 22))
        first = 101 if strand == "+" else 150
        assert (shades.x0, shades.dx) == (first, 1 if strand == "+" else -1)
        assert (lines.x0, lines.dx) == (shades.x0, shades.dx)
        assert f"exon up to 0.80 at {first + (10 if strand == '+' else -10)}" in plot.alt(figure)
        assert_text(figure)
    with pytest.raises(ValueError, match=r"shape \[base, 2\]; received \[50, 3\]"):
        plot.elements_track(np.zeros((50, 3)), ["a", "b"])
    wide = plot.locus(Interval("chr20", 0, 50_000), [plot.elements_track(np.eye(50_000, 1, -49_998), ["a"])], title="t")
    assert wide.data[-1].z.shape == (1, 16_667) and wide.data[-1].z[0, -1] == 1  # bins keep the highest
