"""The locus figure, read back from its artists: coordinates, limits, labels, genes, alt text."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection

from ntviz import plot
from ntviz.annotation import Annotation
from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.figure import Figure
from ntviz.plot.ticks import tick_positions

COLUMNS = ["chrom", "start", "end", "strand", "element", "gene", "gene_id", "transcript", "name", "origin"]


def features(gene: str, strand: str, exons, coding=(), *, transcript: str = "") -> list[tuple]:
    transcript = transcript or f"{gene}-1"
    spans = [(exons[0][0], exons[-1][1], "gene", ""), (exons[0][0], exons[-1][1], "transcript", "")]
    spans += [(a, b, "exon", "") for a, b in exons] + [(a, b, "CDS", "longest ATG ORF") for a, b in coding]
    return [
        ("20", a, b, strand, kind, gene, gene, "" if kind == "gene" else transcript, "", origin)
        for a, b, kind, origin in spans
    ]


def annotation(*rows: list[tuple]) -> Annotation:
    return Annotation(pd.DataFrame([row for part in rows for row in part], columns=COLUMNS))


def axes_of(figure: Figure) -> dict[str, Axes]:
    figure.png()
    return {ax.get_label(): ax for ax in figure.drawing.axes}


def artists(ax: Axes, gid: str) -> list:
    return [artist for artist in ax.findobj() if artist.get_gid() == gid]


def signal(n: int, **options) -> plot.signals.SignalTrack:
    return plot.signal_track(np.arange(n, dtype=float), **({"label": "signal", "unit": "nats"} | options))


def figure_texts(figure: Figure, gid: str) -> list[str]:
    return [text.get_text() for text in figure.drawing.texts if text.get_gid() == gid]


# Coordinates ----------------------------------------------------------------------------------------------------------


def test_tick_labels_are_one_based_round_and_stand_under_the_middle_of_their_base():
    figure = plot.locus(
        Interval("chr20", 42_984_000, 42_985_000), [signal(1000)], title="t", assembly="GRCh37"
    )
    ax = axes_of(figure)["signal"]
    labels = {text.get_text(): tick for text, tick in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True)}
    assert labels["42,984,200"] == 42_984_199.5
    assert all(int(label.replace(",", "")) - 0.5 == at for label, at in labels.items())
    assert ax.get_xlim() == (42_984_000, 42_985_000)
    assert ax.get_xlabel() == "Position on chr20, bp (GRCh37)"
    assert ax.get_ylabel() == "nats"


@pytest.mark.parametrize("width", [20, 24, 137, 198, 1002, 6_000, 100_002, 1_999_999])
def test_ticks_never_touch(width):
    interval = Interval.around("chr1", 248_000_000, width)
    positions = tick_positions(interval, 8.9)
    assert 2 <= len(positions) <= 9
    assert len({b - a for a, b in itertools.pairwise(positions)}) == 1
    assert interval.start < positions[0] <= positions[-1] <= interval.end


def test_on_the_minus_strand_the_first_value_is_leftmost_and_coordinates_fall():
    interval = Interval("chr20", 100, 200, "-")
    figure = plot.locus(interval, [signal(100)], title="t", sequence="ACGTN" * 20)
    ax = axes_of(figure)["signal"]
    assert ax.get_xlim() == (200, 100)
    line = artists(ax, "signal")[0]
    values, edges, _ = line.get_data()
    # Value 0 covers base 200 (1-based), which is the leftmost.
    assert (values[0], edges[0], edges[1]) == (0.0, 200, 199)
    data = figure.readout.packed("t")["genome"]
    assert (data["first"], data["last"], data["step"]) == (200, 101, -1)
    assert "largest 99 nats at 101" in figure.alt
    assert "− strand" in figure.alt


def test_values_over_another_interval_are_cropped_to_the_figure_and_missing_outside():
    wide = Interval("20", 0, 100)
    figure = plot.locus(Interval("chr20", 90, 130), [signal(100, over=wide)], title="t")
    lane = figure.readout.lanes[0].values
    np.testing.assert_array_equal(lane[:10], np.arange(90, 100))
    assert np.isnan(lane[10:]).all()


def test_cropping_on_the_minus_strand_follows_the_reading_direction():
    wide = Interval("chr20", 0, 100, "-")
    figure = plot.locus(Interval("chr20", 90, 100, "-"), [signal(100, over=wide)], title="t")
    np.testing.assert_array_equal(figure.readout.lanes[0].values, np.arange(10))


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (None, r"one value for each of the 50 bases of chr20:101-150; received 10\. Pass the interval"),
        (
            Interval("chr21", 100, 110),
            r"on the contig and strand of the figure, chr20:101-150; received values",
        ),
        (Interval("chr20", 100, 110, "-"), "on the contig and strand of the figure"),
    ],
)
def test_values_that_do_not_fit_are_refused(over, message):
    with pytest.raises(ValueError, match=message):
        plot.locus(Interval("chr20", 100, 150), [signal(10, over=over)], title="t")


# Layout ---------------------------------------------------------------------------------------------------------------


def test_header_has_title_region_assembly_and_scale_bar():
    figure = plot.locus(Interval("chr20", 0, 1000), [signal(1000)], title="What?", assembly="GRCh38")
    assert figure_texts(figure, "title") == ["What?"]
    assert figure_texts(figure, "region") == ["chr20:1-1,000 · 1,000 bp · GRCh38"]
    assert figure_texts(figure, "scale bar length") == ["200 bp"]
    bars = [line for line in figure.drawing.findobj() if line.get_gid() == "scale bar"]
    longest = max(bars, key=lambda line: np.ptp(line.get_xdata()))
    ax = axes_of(figure)["signal"]
    assert np.ptp(longest.get_xdata()) / ax.get_position().width == pytest.approx(200 / 1000)


def test_a_control_stands_directly_beneath_on_the_same_scale_and_grey_paper():
    tracks = [signal(100, control=np.full(100, 40.0), control_label="shuffled"), signal(100, label="other")]
    axes = axes_of(plot.locus(Interval("chr20", 0, 100), tracks, title="t"))
    real, control, other = (axes[name] for name in ("signal", "signal: control", "other"))
    assert control.get_ylim() == real.get_ylim()
    assert (
        real.get_position().y0
        > control.get_position().y1
        > control.get_position().y0
        > other.get_position().y1
    )
    paper = artists(axes["background"], "control paper")
    assert len(paper) == 1
    assert paper[0].get_facecolor() == pytest.approx(
        (*[int(palette.CONTROL_PAPER[i : i + 2], 16) / 255 for i in (1, 3, 5)], 1)
    )


def test_rows_do_not_overlap_and_stay_on_the_page():
    genes = annotation(*(features(f"G{i}", "+-"[i % 2], [(i, i + 400)]) for i in range(0, 300, 20)))
    n = 600
    probabilities = np.full((n, 4), 0.25)
    tracks = [plot.genes_track(genes), plot.logo_track(probabilities, control=probabilities), signal(n)]
    figure = plot.locus(Interval("chr20", 0, n), tracks, title="t " * 100, zoom=Interval("chr20", 100, 150))
    boxes = sorted(
        (ax.get_position() for ax in figure.drawing.axes if ax.get_label() != "background"),
        key=lambda box: -box.y1,
    )
    assert all(box.y0 > 0 and box.y1 < 1 and box.x0 > 0 and box.x1 < 1 for box in boxes)
    assert all(upper.y0 > lower.y1 for upper, lower in itertools.pairwise(boxes))


def test_marks_run_through_all_rows_and_are_read_out():
    marks = {"HNF1A motif": Interval("chr20", 40, 50)}
    figure = plot.locus(
        Interval("chr20", 0, 100), [signal(100), signal(100, label="b")], title="t", marks=marks
    )
    shaded = artists(axes_of(figure)["background"], "mark")
    assert (shaded[0].get_x(), shaded[0].get_width()) == (40, 10)
    assert figure.readout.lanes[-1].runs == [(40, 50, "HNF1A motif")]
    assert "Marked: HNF1A motif at chr20:41-50." in figure.alt


def test_zoom_repeats_the_letters_below_over_its_own_coordinates():
    p = np.eye(4)[np.arange(1000) % 4]
    tracks = [plot.sequence_track("ACGT" * 250), plot.logo_track(p), signal(1000)]
    figure = plot.locus(Interval("chr20", 0, 1000), tracks, title="t", zoom=Interval("chr20", 300, 400))
    axes = axes_of(figure)
    near = axes["zoom: Bases the model expects"]
    assert near.get_xlim() == (300, 400)
    assert near.get_position().y1 < axes["signal"].get_position().y0
    assert artists(near, "logo A")
    assert not artists(axes["Bases the model expects"], "logo A")
    assert "zoom: signal" not in axes
    panes = figure.readout.panes
    assert [(pane.first, pane.last) for pane in panes] == [(0, 1000), (300, 400)]
    assert panes[0].y1 < panes[1].y0 < panes[1].y1 <= 1


def test_panes_of_the_cursor_lie_over_the_axes():
    figure = plot.locus(Interval("chr20", 0, 100), [signal(100)], title="t")
    box, pane = axes_of(figure)["signal"].get_position(), figure.readout.panes[0]
    assert (pane.x0, pane.x1) == pytest.approx((box.x0, box.x1))
    assert pane.y0 <= 1 - box.y1 < 1 - box.y0 == pytest.approx(pane.y1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tracks": []}, "at least one track; received none"),
        ({"tracks": [signal(100), signal(100)]}, "a label of its own; received 'signal' 2 times"),
        ({"sequence": "ACGT"}, "one letter for each of the 100 bases of chr20:1-100; received 4"),
        ({"zoom": Interval("chr20", 50, 150)}, "'zoom' must lie in chr20:1-100; received chr20:51-150"),
        ({"zoom": Interval("chr20", 50, 60)}, "a track of letters to enlarge; received none among 'signal'"),
        (
            {"marks": {"m": Interval("chr20", 100, 150)}},
            "'m' must lie in chr20:1-100; received chr20:101-150",
        ),
        ({"width": 2}, "4 to 30 inches wide; received 2"),
        ({"interval": Interval("chr20", 0, 2_000_001)}, r"at most 2,000,000 bp; received 2,000,001 bp"),
    ],
)
def test_a_locus_that_cannot_be_drawn_says_why(options, message):
    arguments = {"interval": Interval("chr20", 0, 100), "tracks": [signal(100)], "title": "t"} | options
    with pytest.raises(ValueError, match=message):
        plot.locus(arguments.pop("interval"), arguments.pop("tracks"), **arguments)


# Signals --------------------------------------------------------------------------------------------------------------


def test_a_long_signal_is_binned_to_mean_and_range_and_the_label_says_so():
    n = 100_000
    values = np.zeros(n)
    values[77_777] = 50.0
    figure = plot.locus(Interval("chr20", 0, n), [signal(n)], title="t")
    assert any(
        "mean of 117 bp, band: smallest to largest" in note for note in figure_texts(figure, "track note")
    )
    figure = plot.locus(
        Interval("chr20", 0, n), [plot.signal_track(values, label="signal", unit="nats")], title="t"
    )
    ax = axes_of(figure)["signal"]
    band = artists(ax, "band")[0].get_paths()[0].get_extents()
    assert band.y1 == pytest.approx(50)
    assert len(artists(ax, "signal")[0].get_xdata()) < 1000
    assert "largest 50 nats at 77,778" in figure.alt


def test_bins_equal_brute_force():
    values = np.random.default_rng(1).normal(size=1003)
    values[::11] = np.nan
    values[100:150] = np.nan
    low, mean, high = plot.signals.binned(values, 40)
    edges = np.linspace(0, 1003, 41).round().astype(int)
    for index in range(40):
        part = values[edges[index] : edges[index + 1]]
        part = part[np.isfinite(part)]
        if part.size:
            assert (low[index], high[index]) == (part.min(), part.max())
            assert mean[index] == pytest.approx(part.mean())
        else:
            assert np.isnan([low[index], mean[index], high[index]]).all()


def test_a_diverging_signal_is_centred_on_zero_with_a_colour_for_each_sign():
    values = np.linspace(-1, 3, 50)
    track = plot.signal_track(values, label="effect", unit="nats", diverging=True)
    ax = axes_of(plot.locus(Interval("chr20", 0, 50), [track], title="t"))["effect"]
    low, high = ax.get_ylim()
    assert low == pytest.approx(-high)
    colours = {artist.get_facecolor()[:3] for artist in artists(ax, "fill")}
    assert len(colours) == 2


def test_signals_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match=r"one number a base; received an array of shape \[2, 2\]"):
        signal(1) and plot.signal_track(np.zeros((2, 2)), label="x", unit="")
    with pytest.raises(ValueError, match=r"must be finite.*received 1 infinite ones, the first at base 1"):
        plot.signal_track(np.array([0.0, -np.inf]), label="x", unit="")


def test_a_signal_without_any_value_is_still_a_figure():
    figure = plot.locus(
        Interval("chr20", 0, 50), [plot.signal_track(np.full(50, np.nan), label="x", unit="u")], title="t"
    )
    assert "x: no values here." in figure.alt
    assert figure.png()


# Attention ------------------------------------------------------------------------------------------------------------


def attention(**options) -> plot.attention.AttentionTrack:
    spans = np.array([[0, 0], *([100 + 6 * i, 106 + 6 * i] for i in range(20))])
    values = np.full(21, 0.01)
    values[0], values[5], values[15] = 0.31, 0.20, 0.30
    return plot.attention_track(values, spans, **({"label": "head 3", "query_span": (160, 166)} | options))


def test_attention_has_a_bar_for_each_placed_token_arcs_from_the_query_and_the_uniform_line():
    figure = plot.locus(Interval("chr20", 100, 220), [attention()], title="t")
    axes = axes_of(figure)
    bars = next(artist for artist in axes["head 3"].collections if isinstance(artist, PatchCollection))
    boxes = [path.get_extents() for path in bars.get_paths()]
    assert len(boxes) == 20
    assert (boxes[4].x0, boxes[4].x1, boxes[4].y1) == pytest.approx((124, 130, 0.20))
    arcs = artists(axes["head 3: arcs"], "arc")
    assert len(arcs) == plot.attention.ARCS
    widest = max(arcs, key=lambda arc: arc.get_linewidth()).get_path().vertices
    assert (widest[0][0], widest[-1][0]) == (163, 187)
    assert artists(axes["head 3"], "uniform")[0].get_ydata()[0] == pytest.approx(1 / 21)
    assert "31% on special tokens" in figure_texts(figure, "track note")[0]
    assert (
        "head 3: from 161–166, strongest on 185–190 (0.3 share of attention), 31% on special tokens."
        in figure.alt
    )


def test_attention_is_read_out_at_every_base_of_a_token():
    figure = plot.locus(Interval("chr20", 97, 217, "-"), [attention()], title="t")
    values = figure.readout.lanes[0].values[::-1]
    assert np.isnan(values[:3]).all()
    np.testing.assert_array_equal(values[27:33], 0.20)
    np.testing.assert_array_equal(values[3:27], 0.01)


def test_a_query_outside_the_view_draws_no_arcs():
    axes = axes_of(plot.locus(Interval("chr20", 100, 150), [attention()], title="t"))
    assert "head 3: arcs" not in axes


def test_thin_tokens_keep_their_strongest_in_each_pixel():
    n = 20_000
    spans = np.stack([np.arange(n) * 6, np.arange(n) * 6 + 6], axis=1)
    values = np.full(n, 1e-5)
    values[12_345] = 0.5
    track = plot.attention_track(values, spans, label="head 3")
    ax = axes_of(plot.locus(Interval("chr20", 0, 6 * n), [track], title="t"))["head 3"]
    heights = [path.get_extents().y1 for path in next(iter(ax.collections)).get_paths()]
    assert len(heights) < 1000
    assert max(heights) == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"values": np.ones(3)}, r"one weight for each of its 21 spans; received the shape \[3\]"),
        ({"values": -np.ones(21)}, r"finite and at least 0; received -1\.0 at token 0 \(21 such\)"),
        ({"spans": np.ones(21)}, r"the shape \[token, 2\]; received \[21\]"),
        ({"query_span": (5, 5)}, r"cover at least one base; received the span \(5, 5\)"),
        ({"control": np.ones(2)}, r"'head 3: control' must have one weight for each of its 21 spans"),
    ],
)
def test_attention_that_does_not_fit_is_refused(options, message):
    good = attention()
    arguments = {"values": good.values, "spans": good.spans, "label": "head 3"} | options
    with pytest.raises(ValueError, match=message):
        plot.attention_track(arguments.pop("values"), arguments.pop("spans"), **arguments)


# Genes ----------------------------------------------------------------------------------------------------------------

PLUS = features("HNF4A", "+", [(200, 300), (500, 600), (900, 950)], [(260, 300), (500, 560)])
MINUS = features("R3HDML", "-", [(1200, 1300), (1600, 1900)], [(1650, 1850)])


def gene_axes(rows, interval, **options) -> tuple[Figure, Axes]:
    figure = plot.locus(interval, [plot.genes_track(annotation(*rows), **options)], title="t")
    return figure, axes_of(figure)["Genes"]


def test_exons_are_thin_coding_parts_thick_and_both_where_they_belong():
    _, ax = gene_axes([PLUS, MINUS], Interval("chr20", 0, 2000))
    exons = {(box.get_x(), box.get_x() + box.get_width()): box.get_height() for box in artists(ax, "exon")}
    coding = {(box.get_x(), box.get_x() + box.get_width()): box.get_height() for box in artists(ax, "CDS")}
    assert set(exons) == {(200, 300), (500, 600), (900, 950), (1200, 1300), (1600, 1900)}
    assert set(coding) == {(260, 300), (500, 560), (1650, 1850)}
    assert min(coding.values()) > 1.5 * max(exons.values())


def test_chevrons_stand_on_introns_and_point_along_transcription():
    _, ax = gene_axes([PLUS, MINUS], Interval("chr20", 0, 2000))
    plus, minus = artists(ax, "chevrons")
    assert all(300 < x < 500 or 600 < x < 900 for x in plus.get_xdata())
    assert all(1300 < x < 1600 for x in minus.get_xdata())
    tips = [line.get_marker().vertices[1][0] for line in (plus, minus)]
    assert tips[0] > 0 > tips[1]


def test_chevrons_turn_round_when_the_figure_reads_the_other_strand():
    _, ax = gene_axes([PLUS], Interval("chr20", 0, 2000, "-"))
    assert artists(ax, "chevrons")[0].get_marker().vertices[1][0] < 0


def test_the_start_arrow_stands_on_the_outer_edge_of_the_first_base_and_points_along():
    _, ax = gene_axes([PLUS, MINUS], Interval("chr20", 0, 2000))
    arrows = {arrow.xy[0]: arrow.xyann[0] for arrow in artists(ax, "TSS")}
    assert arrows[200] > 0
    assert arrows[1900] < 0


def test_exons_are_numbered_along_transcription_also_when_some_lie_outside():
    _, ax = gene_axes([PLUS, MINUS], Interval("chr20", 450, 1950))
    numbers = {round(text.xy[0]): text.get_text() for text in artists(ax, "exon number")}
    assert numbers == {550: "exon 2", 925: "3", 1250: "exon 2", 1750: "exon 1"}


def test_names_are_italic_and_alt_text_gives_strand_and_start():
    figure, ax = gene_axes([PLUS, MINUS], Interval("chr20", 0, 2000))
    names = artists(ax, "gene")
    assert {text.get_text() for text in names} == {"HNF4A", "R3HDML"}
    assert {text.get_fontstyle() for text in names} == {"italic"}
    assert "HNF4A (+ strand, transcription start at 201)" in figure.alt
    assert "R3HDML (− strand, transcription start at 1,900)" in figure.alt
    assert figure_texts(figure, "track note") == ["coding parts: longest ATG ORF"]


def test_the_cursor_names_what_lies_under_it():
    figure, _ = gene_axes([PLUS], Interval("chr20", 0, 1000))
    runs = figure.readout.lanes[0].runs

    def under(position):
        return [text for first, last, text in runs if first <= position < last]

    assert under(199) == []
    assert under(200) == ["HNF4A transcription start", "HNF4A exon 1, untranslated"]
    assert under(260) == ["HNF4A exon 1, coding"]
    assert under(400) == ["HNF4A intron"]
    assert under(570) == ["HNF4A exon 2, untranslated"]


def test_transcripts_of_one_gene_carry_their_names_and_do_not_overlap():
    other = features("HNF4A", "+", [(250, 300), (500, 600)], transcript="HNF4A-2")
    _, ax = gene_axes([PLUS, other], Interval("chr20", 0, 1000))
    names = {text.get_text(): text.xy[1] for text in artists(ax, "gene")}
    assert set(names) == {"HNF4A HNF4A-1", "HNF4A HNF4A-2"}
    assert len(set(names.values())) == 2


def test_too_many_transcripts_are_counted_not_dropped_silently():
    rows = [features(f"G{i:02}", "+", [(100, 900)]) for i in range(9)]
    figure, ax = gene_axes(rows, Interval("chr20", 0, 1000), most_lanes=3)
    assert len(artists(ax, "gene")) == 3
    assert figure_texts(figure, "track note") == ["6 more not drawn: zoom in to see them"]


def test_no_genes_here_is_said():
    figure, ax = gene_axes([PLUS], Interval("chr20", 5000, 6000))
    assert "Genes: none here." in figure.alt
    assert [text.get_text() for text in ax.texts] == ["none here"]


def test_regions_without_transcripts_are_boxes_with_names():
    rows = [("20", 10, 30, ".", "region", "", "", "", "enhancer <1>", "")]
    figure, ax = gene_axes([rows], Interval("chr20", 0, 100))
    assert [text.get_text() for text in artists(ax, "gene")] == ["enhancer <1>"]
    assert artists(ax, "region")[0].get_x() == 10
    assert "enhancer <1>" in figure.alt


def test_a_gene_track_has_at_least_one_line():
    with pytest.raises(ValueError, match="at least one line; received most_lanes=0"):
        plot.genes_track(annotation(PLUS), most_lanes=0)


@pytest.mark.parametrize("strand", ["+", "-"])
def test_no_position_runs_over_the_edge(strand):
    region = Interval("chr20", 43_034_599, 43_034_900, strand)
    figure = plot.locus(region, [plot.signal_track(np.ones(len(region)), label="x", unit="y")], title="Edges")
    drawing = figure.drawing
    drawing.canvas.draw()
    labels = drawing.axes[-1].get_xticklabels()
    assert "43,034,900" in [label.get_text() for label in labels]
    assert all(label.get_window_extent().x0 >= 0 for label in labels)
    assert all(label.get_window_extent().x1 <= drawing.bbox.x1 for label in labels)
