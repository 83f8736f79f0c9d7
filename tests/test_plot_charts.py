"""Curves, bars and token strips, read back from their artists."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from ntviz import plot
from ntviz.genome import Interval
from ntviz.tokens import Tokenizer

TRAINING = pd.DataFrame(
    {
        "tokens": [1e6, 2e6, 3e6, 4e6],
        "train": [8.2, 7.9, 7.7, 7.6],
        "held": [np.nan, 8.0, np.nan, 7.65],
        "accuracy": [1, 2, 3, 4],
    }
)


def found(figure, gid):
    figure.png()
    return [artist for artist in figure.drawing.findobj() if artist.get_gid() == gid]


# Curves ---------------------------------------------------------------------------------------------------------------


def test_curves_draw_each_column_over_x_and_skip_what_was_not_measured():
    figure = plot.curves(
        TRAINING, x="tokens", y={"train": "training", "held": "held out"}, y_label="loss, nats", title="t"
    )
    lines = {
        line.get_label(): line
        for line in figure.drawing.axes[0].lines
        if not line.get_label().startswith("_")
    }
    np.testing.assert_array_equal(lines["training"].get_ydata(), TRAINING["train"])
    np.testing.assert_array_equal(lines["held out"].get_xdata(), [2e6, 4e6])
    assert figure.drawing.axes[0].get_ylabel() == "loss, nats"
    styles = {(line.get_linestyle(), line.get_marker(), line.get_color()) for line in lines.values()}
    assert len({style[1] for style in styles}) == len({style[2] for style in styles}) == 2


def test_lines_and_baselines_are_named_at_the_right_edge_without_touching():
    baselines = {"unigram": 8.04, "Markov order 5": 7.66, "Markov order 10": 7.45}
    figure = plot.curves(
        TRAINING,
        x="tokens",
        y={"train": "training", "held": "held out"},
        y_label="loss, nats",
        baselines=baselines,
        title="t",
    )
    names = found(figure, "line name")
    assert {text.get_text() for text in names} == {"training", "held out", *baselines}
    figure.drawing.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in names), key=lambda box: box.y0)
    assert all(upper.y0 > lower.y1 for lower, upper in itertools.pairwise(boxes))
    page = figure.drawing.bbox
    assert all(box.x1 <= page.x1 for box in boxes)
    assert found(figure, "baseline Markov order 10")[0].get_ydata()[0] == 7.45
    low, high = figure.drawing.axes[0].get_ylim()
    assert low < 7.45
    assert high > 8.2
    assert "Baselines: unigram 8.04; Markov order 5 7.66; Markov order 10 7.45." in figure.alt


def test_panels_share_the_horizontal_axis():
    panels = [
        plot.Panel({"train": "training"}, "loss, nats", {"unigram": 8.04}),
        plot.Panel({"accuracy": "training"}, "accuracy, %"),
    ]
    figure = plot.curves(TRAINING, x="tokens", y=panels, x_label="tokens seen", title="t")
    upper, lower = figure.drawing.axes
    assert upper.get_xlim() == lower.get_xlim()
    assert upper.get_position().y0 > lower.get_position().y1
    assert (upper.get_xlabel(), lower.get_xlabel()) == ("", "tokens seen")
    assert [lane.label for lane in figure.readout.lanes] == ["loss, nats, training", "accuracy, %, training"]


def test_alt_text_of_curves_tells_the_course():
    figure = plot.curves(TRAINING, x="tokens", y=["train"], y_label="loss, nats", title="Does it learn?")
    assert figure.alt == "Does it learn? loss, nats: train from 8.2 to 7.6 (lowest 7.6 at tokens 4,000,000)."


def test_the_cursor_of_curves_stops_at_each_row():
    figure = plot.curves(TRAINING, x="tokens", y=["train"], title="t")
    assert figure.readout.heads == [
        "tokens 1,000,000",
        "tokens 2,000,000",
        "tokens 3,000,000",
        "tokens 4,000,000",
    ]
    ax = figure.drawing.axes[0]
    at = figure.drawing.transFigure.inverted().transform(ax.transData.transform((2e6, 8)))[0]
    box = figure.readout.boxes[1]
    assert box[0] < at < box[2]


def test_a_logarithmic_axis_leaves_out_zero():
    table = pd.DataFrame({"step": [0, 1, 10, 100], "loss": [9.0, 8, 7, 6]})
    figure = plot.curves(table, x="step", y=["loss"], title="t", x_log=True)
    assert figure.drawing.axes[0].get_xscale() == "log"
    assert figure.readout.n == 3
    assert figure.png()


def test_steps_are_counted_in_whole_numbers():
    table = pd.DataFrame({"step": [1, 2, 3], "loss": [8.0, 7.5, 7.25]})
    figure = plot.curves(table, x="step", y=["loss"], title="t")
    figure.png()
    labels = [text.get_text() for text in figure.drawing.axes[0].get_xticklabels()]
    assert {"1", "2", "3"} <= set(labels)
    assert not any("." in label for label in labels)


def test_long_tables_give_the_cursor_evenly_spaced_rows():
    table = pd.DataFrame({"step": np.arange(10_000), "loss": np.linspace(8, 7, 10_000)})
    figure = plot.curves(table, x="step", y=["loss"], title="t")
    assert figure.readout.n == 2_000
    assert len(figure.drawing.axes[0].lines[0].get_xdata()) == 10_000


@pytest.mark.parametrize("rows", [1, 2])
def test_the_first_points_of_a_run_are_a_figure_too(rows):
    assert plot.curves(TRAINING.head(rows), x="tokens", y=["train"], title="t").png()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"y": ["nope"]}, ValueError, "have the column 'nope'; received the columns 'tokens', 'train'"),
        ({"y": "train"}, TypeError, r"a list of columns; received the text 'train'\. Pass y=\['train'\]"),
        ({"y": []}, ValueError, "at least one column to draw; received none"),
        (
            {"y": ["empty"]},
            ValueError,
            "'empty' must have at least one finite value; received 4 rows without one",
        ),
        ({"y": ["words"]}, ValueError, "'words' must hold numbers; received"),
        (
            {"y": [plot.Panel({"train": "a"}, "b")], "baselines": {"c": 1}},
            ValueError,
            "Panels must carry their own",
        ),
    ],
)
def test_curves_that_cannot_be_drawn_say_why(options, error, message):
    table = TRAINING.assign(empty=np.nan, words="a")
    with pytest.raises(error, match=message):
        plot.curves(table, **({"x": "tokens", "title": "t"} | options))


# Bars -----------------------------------------------------------------------------------------------------------------

ELEMENTS = pd.DataFrame(
    {
        "element": ["exon", "exon", "intron", "intron"],
        "model": ["mini", "Markov", "mini", "Markov"],
        "loss": [7.7, 7.8, 7.5, 7.52],
        "low": [7.6, 7.7, 7.4, 7.5],
        "high": [7.9, 7.85, 7.6, 7.6],
        "count": [1200, 1200, 240000, 240000],
    }
)


def bars(**options):
    arguments = {
        "category": "element",
        "value": "loss",
        "series": "model",
        "title": "By element",
        "label": "loss, nats",
    }
    return plot.bars(options.pop("table", ELEMENTS), **(arguments | options))


def test_bars_are_as_long_as_their_values_from_zero():
    figure = bars()
    boxes = [patch for patch in figure.drawing.axes[0].patches if patch.get_width() > 0]
    assert [box.get_width() for box in boxes] == [7.7, 7.8, 7.5, 7.52]
    assert {box.get_x() for box in boxes} == {0}
    assert figure.drawing.axes[0].get_xlim()[0] == 0
    assert len({box.get_hatch() for box in boxes}) == 2
    assert [text.get_text() for text in found(figure, "value")] == ["7.70", "7.80", "7.50", "7.52"]


def test_points_may_leave_zero_out():
    figure = bars(zero=False, low="low", high="high")
    ax = figure.drawing.axes[0]
    assert ax.get_xlim()[0] > 7
    assert not [patch for patch in ax.patches if patch.get_height() > 0.01]
    assert {line.get_marker() for line in ax.lines if len(line.get_xdata()) == 1} >= {"o", "s"}


def test_error_bars_end_where_the_table_says_and_say_what_they_are():
    figure = bars(low="low", high="high", error_label="95 % interval", n="count", baselines={"unigram": 8.04})
    ax = figure.drawing.axes[0]
    ends = [
        container[2][0].get_segments()[0][:, 0].tolist() for container in ax.containers if len(container) == 3
    ]
    np.testing.assert_allclose(ends, ELEMENTS[["low", "high"]])
    assert "Error bars: 95 % interval" in [text.get_text() for text in figure.drawing.texts]
    assert [text.get_text() for text in found(figure, "n")] == ["n = 1,200", "n = 240,000"]
    assert figure.alt.startswith(
        "By element. loss, nats: exon, mini 7.7 (7.6 to 7.9); exon, Markov 7.8 (7.7 to 7.85);"
    )
    assert figure.alt.endswith("Baselines: unigram 8.04.")


def test_the_cursor_of_bars_goes_from_top_to_bottom():
    figure = bars()
    assert figure.readout.heads == ["exon, mini", "exon, Markov", "intron, mini", "intron, Markov"]
    tops = [box[1] for box in figure.readout.boxes]
    assert tops == sorted(tops)


def test_negative_values_grow_to_the_left():
    table = pd.DataFrame({"element": ["a", "b"], "loss": [-1.5, 2.0]})
    figure = bars(table=table, series=None)
    assert figure.drawing.axes[0].get_xlim()[0] < -1.5
    assert [text.get_text() for text in found(figure, "value")] == ["−1.5", "2.0"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": "low"}, "two ends; received low='low' and high=None"),
        ({"value": "nope"}, "have the column 'nope'"),
        ({"series": None}, "one row; received 'exon' more than once"),
        (
            {"low": "high", "high": "low"},
            "must hold its value; received 7.7 with ends 7.9 and 7.6 for 'exon'",
        ),
        ({"table": ELEMENTS.head(0)}, "at least one row; received an empty table"),
        ({"table": ELEMENTS.assign(loss=np.nan)}, "must be finite; received nan for 'exon'"),
    ],
)
def test_bars_that_cannot_be_drawn_say_why(options, message):
    with pytest.raises(ValueError, match=message):
        bars(**options)


# Token strips ---------------------------------------------------------------------------------------------------------


def test_a_strip_shows_every_base_every_token_and_every_id():
    tokens = Tokenizer("nt-v1")("ATTCCGNACGTAC")
    figure = plot.token_strip(tokens, title="t")
    assert "".join(text.get_text() for text in found(figure, "base")) == "ATTCCGNACGTAC"
    assert [text.get_text() for text in found(figure, "token text")] == tokens.strings
    assert [text.get_text() for text in found(figure, "token id")] == [str(index) for index in tokens.ids]


def test_a_token_across_a_line_end_is_drawn_in_two_parts_that_say_so():
    figure = plot.token_strip(Tokenizer("nt-v1")("ACGTAC" * 4), title="t", bases_per_line=8)
    texts = [text.get_text() for text in found(figure, "token text")]
    assert texts == ["<cls>", "ACGTAC", "AC…", "…GTAC", "ACGT…", "…AC", "ACGTAC"]


def test_positions_are_genomic_and_one_based_when_an_interval_is_given():
    tokens = Tokenizer("nt-3mer")("ACGTACGTACGT")
    texts = {
        text.get_text()
        for text in found(
            plot.token_strip(tokens, title="t", interval=Interval("chr20", 998, 1010)), "position"
        )
    }
    assert texts == {"999", "1,010"}
    minus = plot.token_strip(tokens, title="t", interval=Interval("chr20", 998, 1010, "-"))
    assert minus.readout.heads[0] == "chr20:1,010 A"


def test_vocabularies_of_one_sequence_stand_beneath_each_other():
    sequence = "ACGTACGTACGT"
    named = {name: Tokenizer(name)(sequence) for name in ("nt-v1", "nt-3mer", "single-base")}
    figure = plot.token_strip(named, title="t")
    rows = {text.get_text(): text.get_position()[1] for text in found(figure, "row")}
    assert rows["nt-v1"] < rows["nt-3mer"] < rows["single-base"]
    assert figure.readout.lanes[1].runs[0] == (0, 3, "token 1, ACG, id " + str(named["nt-3mer"].ids[1]))
    assert figure.alt == (
        "t. 12 bases. nt-v1: 3 tokens, <cls> first, of 2 × 6 bp. nt-3mer: 5 tokens, <cls> first, of 4 × 3 bp. "
        "single-base: 12 tokens, of 12 × 1 bp."
    )


def test_the_legend_names_single_bases_and_n_only_when_there():
    def legend(sequence):
        return found(plot.token_strip(Tokenizer("nt-v1")(sequence), title="t"), "legend")[0].get_text()

    assert legend("ACGTAC") == "Number in a box: token id"
    assert "dashed" in legend("ACGTACA")
    assert "orange: N" in legend("ACGTACN")


@pytest.mark.parametrize(
    ("tokens", "options", "message"),
    [
        ({}, {}, "at least one tokenization; received none"),
        (Tokenizer("nt-v1")("ACGT" * 61), {}, "1 to 240 bp; received 244 bp"),
        (
            {"a": Tokenizer("nt-v1")("ACGT"), "b": Tokenizer("nt-v1")("ACGA")},
            {},
            r"of one sequence; received 2 \(a: 4 bp",
        ),
        (
            Tokenizer("nt-v1")("ACGT"),
            {"interval": Interval("chr20", 0, 5)},
            "as long as the sequence, 4 bp; received chr20:1-5",
        ),
        (Tokenizer("nt-v1")("ACGT"), {"bases_per_line": 2}, "8 to 80 bases; received 2"),
    ],
)
def test_strips_that_cannot_be_drawn_say_why(tokens, options, message):
    with pytest.raises(ValueError, match=message):
        plot.token_strip(tokens, title="t", **options)


def test_a_bar_without_an_interval_has_no_error_bar():
    table = ELEMENTS.assign(low=[np.nan, 7.7, 7.4, 7.5], high=[np.nan, 7.85, 7.6, 7.6])
    figure = bars(table=table, low="low", high="high", zero=False)
    assert sum(len(container) == 3 for container in figure.drawing.axes[0].containers) == 3
    assert "exon, mini 7.7; exon, Markov 7.8 (7.7 to 7.85);" in figure.alt
    assert len(found(figure, "value")) == 4


def test_the_axis_of_values_that_are_never_negative_starts_at_zero_or_above():
    table = pd.DataFrame({"step": [1, 2], "accuracy": [0.0, 0.0]})
    figure = plot.curves(table, x="step", y=["accuracy"], title="t")
    assert figure.drawing.axes[0].get_ylim()[0] == 0


def test_live_curves_are_one_display_that_is_updated():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    live = plot.LiveCurves(
        x="step",
        y=[
            plot.Panel({"loss": "training", "held_out": "held out"}, "loss, nats", {"unigram": 8.0}),
            plot.Panel({"accuracy": "held out"}, "accuracy"),
        ],
        title="A run",
        smooth=("loss",),
        every=0.0,
    )
    with pytest.raises(ValueError, match="at least one row to be drawn; received none"):
        _ = live.figure
    live.add({"step": 1, "loss": 8.3})
    shell = InteractiveShell.instance()
    try:
        with capture_output() as captured:
            live.add({"step": 2, "loss": 8.1, "held_out": 8.2, "accuracy": 0.01})
            live.add({"step": 3, "loss": 8.0})
            live.draw()
    finally:
        InteractiveShell.clear_instance()
        del shell
    shown = [output for output in captured._outputs if "text/html" in output["data"]]
    assert [output["update"] for output in shown] == [False, True, True]
    assert len({output["transient"]["display_id"] for output in shown}) == 1
    assert "training from 8.3 to 8" in live.figure.alt and "held out" in live.figure.alt
