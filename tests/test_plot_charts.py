"""Curves, bars, leaderboards and token strips, read back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn import HOSTILE, assert_text
from projection_toy import ELEMENTS as KINDS
from projection_toy import toy

from ntviz import plot
from ntviz.plot import live as live_module
from ntviz.plot import show
from ntviz.plot.charts import LiveCurves, Panel, bars, curves, embedding_map, leaderboard, token_strip
from ntviz.plot.theme import LIGHT
from ntviz.tokens import Tokenizer

TRAINING = pd.DataFrame({
    "tokens": [1e6, 2e6, 3e6, 4e6], "train": [8.2, 7.9, 7.7, 7.6], "held": [np.nan, 8.0, np.nan, 7.65], "accuracy": [1, 2, 3, 4],
})  # fmt: skip
LOSSES = {"train": "training", "held": "held out"}


def named(figure):
    return {trace.name: trace for trace in figure.data if trace.name}


def test_curves_draw_each_column_over_x_and_skip_what_was_not_measured():
    figure = curves(TRAINING, x="tokens", y=LOSSES, y_label="loss, nats", title="Does it learn?")
    lines = named(figure)
    np.testing.assert_array_equal(lines["training"].y, TRAINING["train"])
    np.testing.assert_array_equal(lines["held out"].x, [2e6, 4e6])
    assert figure.layout.yaxis.title.text == "loss, nats"
    assert all(
        lines["training"][look] != lines["held out"][look] for look in ("line.color", "line.dash", "marker.symbol")
    )
    assert plot.alt(figure) == (
        "Does it learn? By tokens: loss, nats: training lowest 7.6 at 4,000,000, highest 8.2 at 1,000,000; "
        "held out lowest 7.65 at 4,000,000, highest 8 at 2,000,000."
    )
    table = pd.DataFrame({"layer": [0, 1], "score": [0.5, 0.7]})
    ticks = [curves(table * by, x="layer", y={"score": "score"}, title="t").layout.xaxis.dtick for by in (1, 100)]
    assert ticks == [1, None]


def test_panels_share_the_horizontal_axis_and_one_name_looks_alike_in_all():
    panels = [Panel(LOSSES, "loss, nats", {"unigram": 8.04}), Panel({"accuracy": "held out"}, "accuracy, %")]
    figure = curves(TRAINING, x="tokens", y=panels, x_label="tokens seen", title="t")
    held, layout = [trace for trace in figure.data if trace.name == "held out"], figure.layout
    assert [(trace.yaxis, trace.showlegend) for trace in held] == [("y", True), ("y2", False)]
    assert len({trace.line.color for trace in held}) == 1 and {trace.xaxis for trace in figure.data} == {None}
    assert layout.xaxis.title.text == "tokens seen" and layout.yaxis.domain[0] > layout.yaxis2.domain[1]
    [line] = layout.shapes
    assert (line.y0, line.y1, line.yref, line.line.color) == (8.04, 8.04, "y", LIGHT.control)
    assert "unigram 8.04" in [note.text for note in layout.annotations]
    assert "unigram 8.04. accuracy, %: held out lowest 1 at 1,000,000" in plot.alt(figure)
    assert set(plot.table(figure)["trace"]) == {"training", "held out"}


def live_curves():
    losses = Panel({"loss": "training", "held_out": "held out"}, "loss, nats", {"unigram": 8.0})
    panels = [losses, Panel({"accuracy": "held out"}, "accuracy")]
    return LiveCurves(x="step", y=panels, title="A run", smooth=("loss",), every=0.0)


ROWS = [{"step": 1, "loss": 8.3}, {"step": 2, "loss": 8.1, "held_out": 8.2, "accuracy": 0.01}, {"step": 3, "loss": 8.0}]


@pytest.mark.parametrize("watched", [False, True])
def test_live_curves_are_one_figure_which_follows_while_somebody_watches(watched, monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    monkeypatch.setattr(live_module, "attended", lambda: watched)
    monkeypatch.setattr(show.Renderer, "first", lambda: True)
    InteractiveShell.instance()
    drawn = live_curves()
    try:
        with capture_output() as captured:
            for row in ROWS:
                drawn.add(row)
            drawn.draw()
    finally:
        InteractiveShell.clear_instance()
    library, *figures = captured._outputs
    assert "ntviz-plotlyjs" in library["data"]["text/html"]
    assert [bool(output.get("update")) for output in figures] == [False, *[True] * 3 * watched]
    assert len({output["transient"]["display_id"] for output in figures}) == 1
    assert "application/vnd.plotly.v1+json" in figures[-1]["data"]
    assert "training lowest 8 at 3" in figures[-1]["data"]["text/plain"]


def test_live_curves_collect_outside_of_a_kernel_and_leave_out_empty_panels():
    drawn = live_curves()
    with pytest.raises(ValueError, match="at least one row; received none"):
        _ = drawn.figure
    drawn.draw()
    drawn.add(ROWS[0])
    assert "accuracy" not in plot.alt(drawn.figure)
    drawn.add(ROWS[1])
    drawn.draw()
    assert "accuracy: held out lowest 0.01" in plot.alt(drawn.figure)


ELEMENTS = pd.DataFrame({
    "element": ["exon", "exon", "intron", "intron"], "model": ["mini", "Markov", "mini", "Markov"], "loss": [7.7, 7.8, 7.5, 7.52],
    "low": [7.6, 7.7, 7.4, 7.5], "high": [7.9, 7.85, 7.6, 7.6], "count": [1200, 1200, 240000, 240000],
})  # fmt: skip


def drawn_bars(table=ELEMENTS, **options):
    names = {"category": "element", "value": "loss", "series": "model", "title": "By element", "label": "loss, nats"}
    return bars(table, **(names | options))


def test_bars_are_as_long_as_their_values_and_names_of_near_lines_stand_above_each_other():
    figure = drawn_bars()
    drawn = {name: (trace.type, list(trace.x), list(trace.y)) for name, trace in named(figure).items()}
    values = {"mini": [7.7, 7.5], "Markov": [7.8, 7.52]}
    assert drawn == {name: ("bar", lengths, ["exon", "intron"]) for name, lengths in values.items()}
    assert figure.layout.xaxis.rangemode == "tozero" and figure.layout.yaxis.autorange == "reversed"
    assert len({(trace.marker.color, trace.marker.pattern.shape) for trace in figure.data}) == 2
    table = pd.DataFrame({"element": ["exon", "intron"], "loss": [7.5, 7.2]})
    lines = {"chance": 0.2}, {"chance": 0.2, "random twin": 0.25}
    one, near = (bars(table, category="element", value="loss", title="t", baselines=these).layout for these in lines)
    notes = {note.text: note.yshift for note in near.annotations if note.name != "caption"}
    assert notes == {"chance 0.2": 0, "random twin 0.25": 14} and near.margin.t - one.margin.t == 16


def test_points_may_leave_zero_out_and_have_intervals_and_counts():
    ends = {"low": "low", "high": "high", "error_label": "95 % interval"}
    figure = drawn_bars(zero=False, **ends, n="count", baselines={"unigram": 8.04})
    low, high = figure.layout.xaxis.range
    assert 7.3 < low < 7.4 < 8.04 < high < 8.1
    for model, part in ELEMENTS.groupby("model"):
        trace = named(figure)[model]
        assert trace.mode == "markers"
        np.testing.assert_allclose(trace.x - trace.error_x.arrayminus, part["low"])
        np.testing.assert_allclose(trace.x + trace.error_x.array, part["high"])
    assert named(figure)["mini"].customdata[0] == "exon: 7.7 (7.6 to 7.9), n = 1,200"
    assert "n = 240,000" in figure.layout.yaxis.ticktext[1]
    assert figure.layout.title.subtitle.text == "95 % interval"
    assert [(shape.x0, shape.line.color) for shape in figure.layout.shapes] == [(8.04, LIGHT.control)]
    assert plot.alt(figure) == (
        "By element. loss, nats: exon mini 7.7 (7.6 to 7.9), Markov 7.8 (7.7 to 7.85); "
        "intron mini 7.5 (7.4 to 7.6), Markov 7.52 (7.5 to 7.6). unigram 8.04."
    )
    table = ELEMENTS.assign(low=[np.nan, 7.7, 7.4, 7.5], high=[np.nan, 7.85, 7.6, 7.6])
    alt = plot.alt(drawn_bars(table, low="low", high="high", zero=False))
    assert "exon mini 7.7, Markov 7.8 (7.7 to 7.85);" in alt


ENTRIES = ["majority class", "ntviz-mini, logistic probe", "k-mers (3 to 6)"]


def board():
    rng, rows = np.random.default_rng(0), []
    for task in ("splice_sites_all", "promoter_all", "coding"):
        for place, entry in enumerate(ENTRIES):
            value = [0.0, 0.5, 0.6][place] + 0.05 * rng.random()
            rows.append({"task": task, "entry": entry, "value": value, "low": value - 0.05, "high": value + 0.04, "n_test": 1200,
                         "twin": 0.3 if place == 1 else np.nan, "permuted_high": 0.08 if place else np.nan})  # fmt: skip
    tasks = pd.DataFrame(rows)
    return tasks, tasks.groupby("entry", sort=False)[["value", "low", "high"]].mean().reset_index()


def test_every_value_stands_beside_its_controls_best_first_and_none_is_said():
    tasks, overall = board()
    figure = leaderboard(tasks, overall, title="Who does what", focus="ntviz-mini")
    heads = [note.text.split("<br>")[0] for note in figure.layout.annotations[:4]]
    assert heads == ["All tasks, mean", "splice sites all", "promoter all", "coding"]
    assert list(figure.layout.yaxis.categoryarray) == ENTRIES
    for task, part in tasks.groupby("task"):
        trace = named(figure)[task]
        np.testing.assert_allclose([trace.x, trace.x - trace.error_x.arrayminus], part[["value", "low"]].to_numpy().T)
        assert list(trace.marker.color) == [LIGHT.ink, LIGHT.accent, LIGHT.ink]
    controls = {trace.name: trace.marker for trace in figure.data if isinstance(trace.marker.color, str)}
    assert {marker.color for marker in controls.values()} == {LIGHT.control}
    symbols = [controls[name].symbol for name in ("randomly initialised model", "permuted labels, at most")]
    assert symbols == ["diamond-open", "line-ns-open"] and figure.layout.xaxis3.matches == "x"
    mean = "Who does what. Matthews' correlation (MCC), mean over tasks: k-mers (3 to 6) 0.6"
    assert plot.alt(figure).startswith(mean)
    assert "Best in each task: splice_sites_all: k-mers (3 to 6) 0.6" in plot.alt(figure)
    overall.loc[2, ["value", "low", "high"]] = np.nan
    tasks.loc[0, ["low", "high"]] = np.nan
    figure = leaderboard(tasks, overall, title="t")
    assert "k-mers (3 to 6) no value" in plot.alt(figure)
    assert named(figure)["splice_sites_all"].customdata[0] == f"majority class: {tasks['value'][0]:.3g}"


def test_a_strip_shows_every_base_token_and_id_of_one_vocabulary_or_several():
    tokens = Tokenizer("nt-v1")("ATTCCGNACGTAC")
    figure = token_strip(tokens, title="t")
    sequence, trace = (named(figure)[name] for name in ("sequence", "nt-v1"))
    inside = ~tokens.is_special
    pairs, spans = zip(np.array(tokens.strings)[inside], tokens.ids[inside], strict=True), tokens.spans[inside]
    special, *texts = trace.text
    assert "".join(sequence.text) == "ATTCCGNACGTAC" and texts == [f"{text}<br>{index}" for text, index in pairs]
    np.testing.assert_allclose(trace.x[1:] - (spans[:, 1] - spans[:, 0]) / 2, spans[:, 0] + 0.5)
    assert trace.hovertext[1] == f"ATTCCG, id {tokens.ids[1]}, 1–6"
    # Special tokens stand before the first base, inside of what is shown.
    assert special.startswith("&lt;cls&gt;") and figure.layout.xaxis.range[0] < trace.x[0] < 0.5
    names = ["nt-v1", "nt-3mer", "single-base"]
    figure = token_strip({name: Tokenizer(name)("ACGTACGTACGT") for name in names}, title="t")
    assert list(figure.layout.yaxis.ticktext) == ["sequence", *names]
    assert [named(figure)[name].base for name in names] == [0.6, 1.6, 2.6]
    assert plot.alt(figure) == (
        "t. 12 bases. nt-v1: 3 tokens, <cls> first, of 2 × 6 bp. nt-3mer: 5 tokens, <cls> first, of 4 × 3 bp. "
        "single-base: 12 tokens, of 12 × 1 bp."
    )


def drawn_curves(table=TRAINING.assign(empty=np.nan, text="a"), **options):  # noqa: B008 - never changed
    return curves(table, **({"x": "tokens", "title": "t"} | options))


def drawn_board(change):
    return leaderboard(change(board()[0]), board()[1], title="t")


def drawn_map(panels):
    maps = toy()
    maps.coordinates[0, 3] = np.nan
    return embedding_map(maps, panels)


@pytest.mark.parametrize(("make", "given", "message"), [
    (drawn_curves, {"y": {"nope": "a"}}, "it lacks nope, and has tokens, train"),
    (drawn_curves, {"y": {}}, "at least one column to draw; received none"),
    (drawn_curves, {"y": {"empty": "a"}}, "'empty' must have numbers; received none that is finite"),
    (drawn_curves, {"y": {"text": "a"}}, "'text' must have numbers"),
    (drawn_bars, {"low": "low"}, "two ends; received one of"),
    (drawn_bars, {"value": "nope"}, "it lacks nope"),
    (drawn_bars, {"series": None}, "the only one of its kind; received element exon again"),
    (drawn_bars, {"low": "high", "high": "low"}, "hold its value; received loss 7.7, high 7.9, low 7.6, element exon"),
    (drawn_bars, {"table": ELEMENTS.head(0)}, "must have rows and the columns element, model, loss; received 0 rows"),
    (drawn_bars, {"table": ELEMENTS.assign(loss=[np.nan, 1, 2, 3])}, "finite value; received loss nan, element exon"),
    (drawn_board, {"change": lambda table: table.drop(columns="low")}, "it lacks low"),
    (drawn_board, {"change": lambda table: pd.concat([table, table[:1]])}, "majority class, task splice_sites_all again"),
    (token_strip, {"tokens": {}, "title": "t"}, "one sequence of 1 to 240 bases; received 0"),
    (token_strip, {"tokens": Tokenizer("nt-v1")("ACGT" * 61), "title": "t"}, "1 to 240 bases; received 1 of up to 244"),
    (token_strip, {"tokens": {text: Tokenizer("nt-v1")(text) for text in ("ACGT", "ACGA")}, "title": "t"}, "1 to 240 bases; received 2"),
    (drawn_map, {"panels": ["layer 9"]}, "names of maps, one or more of layer 0, .*received .'layer 9'"),
    (drawn_map, {"panels": []}, r"received \[\]"),
    (drawn_map, {"panels": ["layer 0"]}, "finite; 1 of 12 windows of 'layer 0' have others"),
])  # fmt: skip
def test_what_cannot_be_drawn_says_why(make, given, message):
    with pytest.raises(ValueError, match=message):
        make(**given)


def test_names_from_files_stay_text():
    names = {"title": HOSTILE, "label": HOSTILE}
    assert_text(drawn_curves(y={"train": HOSTILE, "held": "b"}, y_label=HOSTILE, x_label=HOSTILE, title=HOSTILE))
    assert_text(drawn_curves(y=[Panel({"train": HOSTILE}, HOSTILE, {HOSTILE: 8.0})], title=HOSTILE))
    table = ELEMENTS.replace({"exon": HOSTILE, "mini": HOSTILE})
    assert_text(drawn_bars(table, **names, baselines={HOSTILE: 8.0}, n="count", error_label=HOSTILE))
    assert_text(leaderboard(*(part.replace({"coding": HOSTILE, ENTRIES[0]: HOSTILE}) for part in board()), **names))
    assert_text(token_strip({HOSTILE: Tokenizer("nt-v1")("ACGTAC")}, title=HOSTILE))
    maps = toy(elements=[HOSTILE, "intron"], gene=HOSTILE)
    maps.panels.loc[0, "panel"] = maps.separation.loc[:3, "panel"] = HOSTILE
    assert_text(embedding_map(maps, title=HOSTILE))


def titles(figure):
    return [note.text for note in figure.layout.annotations if note.name != "caption"]


def test_layers_stand_beside_their_controls_with_what_random_labels_reach():
    figure = embedding_map(toy())
    controls = [f"Control: {name}" for name in ("random twin, layer 4", "base composition", "4-mers")]
    heads = [text.split("</b>")[0].removeprefix("<b>") for text in titles(figure)]
    assert heads == ["Layer 0", "Layer 2", "Layer 4", *controls]
    assert "purity 0.30 (random labels 0.20), in the map 0.40" in titles(figure)[0]
    assert "silhouette −0.20 (random labels −0.30), in the map −0.10" in titles(figure)[0]
    assert "12 windows of 600 bp · t-SNE" in figure.layout.title.subtitle.text
    maps = toy()
    maps.separation.loc[maps.separation["measure"] == "silhouette", "value"] = np.nan
    assert "silhouette: no value" in titles(embedding_map(maps, ["layer 0"]))[0]
    maps.separation["value"] = np.nan
    assert plot.alt(embedding_map(maps, ["layer 0"])).endswith("in the vectors: layer 0 no value.")
    figure = embedding_map(toy(), ["layer 0", "random twin, layer 4"], title="Where are exons?")
    assert plot.alt(figure) == (
        "Where are exons? 12 windows (CDS 4, intron 4 and 5′ UTR 4) in 2 maps. Purity of neighbours in the vectors: "
        "layer 0 0.3 (0.4 in the map); random twin, layer 4 0.39 (0.49 in the map, as with random labels)."
    )


def test_every_window_is_a_point_of_its_element_in_every_map_and_one_legend_hides_all():
    maps = toy()
    figure = embedding_map(maps, ["layer 1", "4-mers"])
    assert len(figure.data) == 2 * len(KINDS)
    for i, trace in enumerate(figure.data):
        panel, index = divmod(i, len(KINDS))
        places = maps.coordinates[[1, 11][panel]][4 * index : 4 * index + 4]
        np.testing.assert_allclose(np.column_stack([trace.x, trace.y]), places)
        assert (trace.legendgroup, trace.showlegend, trace.xaxis) == (KINDS[index], panel == 0, ("x", "x2")[panel])
    looks = {(trace.marker.color, trace.marker.symbol) for trace in figure.data}
    assert len(looks) == len({colour for colour, _ in looks}) == len({shape for _, shape in looks}) == 3
    names = [trace.name for trace in figure.data[:3]]
    assert names == ["CDS: 4, GC 34 %", "intron: 4, GC 45 %", "5′ UTR: 4, GC 56 %"]
    assert {figure.layout.yaxis.scaleanchor, figure.layout.yaxis2.scaleanchor} == {"x", "x2"}
    assert len(plot.table(figure)) == 24
    figure = embedding_map(toy(elements=[f"e{i}" for i in range(14)]), ["layer 0"])
    assert len({(trace.marker.color, trace.marker.symbol) for trace in figure.data}) == 14
    texts = [text for trace in embedding_map(maps, ["layer 0"]).data for text in trace.text]
    assert texts[0] == "chr20:1,001–1,600 (+)<br>CDS<br>gene: GATA1<br>GC 30 %"
    assert texts[1].startswith("chr20:2,001–2,600 (−)<br>CDS")
    assert texts[11] == "chr20:12,001–12,600 (+)<br>5′ UTR<br>GC 60 %"
