"""Figures of enrichment, read back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntviz import plot
from ntviz.plot.enrichment import enrichment
from ntviz.plot.theme import LIGHT

HOSTILE = "<b>exon</b>%{y}"
PASSED, PUBLISHED = "passes the shift null", "passes the published test only"


def made(n_layers: int = 2, n_heads: int = 3, element: str = "exon") -> pd.DataFrame:
    """A table as attention.enrichment makes it, of two elements."""
    rng = np.random.default_rng(0)
    rows = []
    for name in (element, "intron"):
        for layer, head in np.ndindex(n_layers, n_heads):
            ratio, spread = float(np.exp(rng.normal(0, 0.8))), float(rng.uniform(1.1, 1.6))
            rows.append({
                "layer": layer, "head": head, "element": name, "status": "ok", "ratio": ratio, "ratio_low": ratio / spread, "ratio_high": ratio * spread,
                "background": 0.2, "shift_mean": 0.2 * float(rng.uniform(0.8, 1.2)), "q_shift": 0.5, "significant": False, "significant_published": False,
                "shuffle_ratio": float(rng.uniform(0.8, 1.2)), "twin_ratio": float(rng.uniform(0.9, 1.1)), "n_above": int(rng.integers(100, 10_000)),
            })  # fmt: skip
    return pd.DataFrame(rows)


def traces(figure, name):
    return [trace for trace in figure.data if trace.name and trace.name.startswith(name)]


# All elements by all heads --------------------------------------------------------------------------------------------


def test_the_heat_map_holds_the_logarithm_of_each_ratio_and_the_control_below():
    table = made()
    table.loc[0, "ratio"] = 4.0
    table.loc[1, "ratio"] = 0.0
    table.loc[2, ["ratio", "ratio_low", "ratio_high"]] = np.nan
    figure = enrichment(table, title="t", elements=["exon", "intron"])
    [model], [control] = traces(figure, "Model"), traces(figure, "Control: shuffled sequence")
    with np.errstate(divide="ignore"):
        expected = np.maximum(np.log2(table["ratio"].to_numpy().reshape(2, 6)), -99)
    np.testing.assert_allclose(model.z, expected)
    np.testing.assert_allclose(control.z, np.log2(table["shuffle_ratio"].to_numpy().reshape(2, 6)))
    assert list(model.y) == ["exon", "intron"]
    assert list(model.x) == ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2"]
    assert (model.zmin, model.zmax, control.zmin, control.zmax) == (-3, 3, -3, 3)
    assert model.colorscale[2][1] == LIGHT.signs[2]
    [empty] = traces(figure, "no test, or under 5 pairs")
    assert (list(empty.x), list(empty.y)) == (["0.2"], ["exon"])
    assert "1 ratios lie beyond the ends of the colours" in plot.alt(figure)
    low, high = table.loc[0, ["ratio_low", "ratio_high"]]
    assert model.customdata[0][0].startswith(f"<b>layer 0, head 0 on exon</b><br>ratio 4 (95 % interval {low:.3g} to {high:.3g})<br>shifted elements ")
    assert "pairs above the threshold" in model.customdata[0][0]
    # Below it lies what shuffled sequence gives, in less than its height.
    assert np.diff(figure.layout.yaxis2.domain) < 0.7 * np.diff(figure.layout.yaxis.domain)


def test_filled_marks_pass_the_null_hollow_ones_the_published_test_only_and_the_answer_comes_first():
    table = made()
    table.loc[[1, 3, 8], "significant_published"] = True
    table.loc[[8], "significant"] = True
    figure = enrichment(table, title="t", control=None)
    assert list(traces(figure, "Model")[0].y) == ["intron", "exon"]
    [passed], [only] = traces(figure, PASSED), traces(figure, PUBLISHED)
    assert (list(passed.x), list(passed.y), passed.marker.symbol) == (["0.2"], ["intron"], "circle")
    assert (list(only.x), list(only.y), only.marker.symbol) == (["0.1", "1.0"], ["exon", "exon"], "circle-open")
    assert not traces(figure, "Control")
    assert "intron: 1 pass the shift null, 0 more the published test only" in plot.alt(figure)
    assert traces(figure, "Model")[0].customdata[0][2].endswith(PASSED)


def test_too_few_pairs_have_no_colour_unless_a_test_stands():
    table = made()
    table.loc[[0, 1], "n_above"] = 20  # chance puts 4 on the element
    table.loc[1, "significant"] = True
    z = traces(enrichment(table, title="t", elements=["exon"]), "Model")[0].z
    assert np.isnan(z[0]).tolist() == [True, False, False, False, False, False]


def test_without_a_shift_null_nothing_can_pass_it_and_that_is_said():
    table = made().drop(columns=["q_shift", "significant", "shift_mean", "shuffle_ratio", "twin_ratio"])
    figure = enrichment(table.assign(significant_published=True), title="t")
    assert "no shift null, so nothing can be marked as passing it" in plot.alt(figure)
    assert "0 pass the shift null, 6 more the published test only" in plot.alt(figure)


def test_a_large_model_fits_on_one_page_with_ticks_by_layer():
    figure = enrichment(made(24, 16), title="t", control="twin")
    assert np.shape(traces(figure, "Model")[0].z) == (2, 384)
    assert list(figure.layout.xaxis.tickvals)[:2] == ["0.0", "1.0"]
    assert traces(figure, "Control: randomly initialised model")


# One element ----------------------------------------------------------------------------------------------------------


def test_one_element_is_sorted_by_ratio_and_the_rest_is_counted():
    table = made(3, 4)
    table.loc[0, ["ratio", "ratio_low", "ratio_high"]] = np.nan
    figure = enrichment(table, title="t", element="exon", most=5)
    ranked = table[table["element"] == "exon"].dropna(subset="ratio").sort_values("ratio", ascending=False)
    heads = [f"{layer}.{head}" for layer, head in zip(ranked["layer"], ranked["head"], strict=True)]
    assert list(figure.layout.yaxis.ticktext) == heads[:5]
    drawn = {text: (x, y, x - less, x + more) for trace in traces(figure, "passes")
             for text, x, y, less, more in zip(trace.text, trace.x, trace.y, trace.error_x.arrayminus, trace.error_x.array, strict=True)}  # fmt: skip
    for place, (head, row) in enumerate(zip(heads[:5], ranked.itertuples(), strict=False)):
        np.testing.assert_allclose(drawn[head], (row.ratio, place - 0.16, row.ratio_low, row.ratio_high))
    low, high = ranked["ratio"].iloc[-1], ranked["ratio"].iloc[5]
    assert f"Not drawn: 6 more heads, with ratios from {low:.3g} to {high:.3g}; 1 without a ratio." in plot.alt(figure)
    assert f"Largest: {heads[0]}, " in plot.alt(figure)
    assert figure.layout.xaxis.type == "log"
    assert [shape.x0 for shape in figure.layout.shapes] == [1]


def test_one_element_shows_its_nulls_and_controls_in_grey():
    table = made()
    null = 0.2 * np.random.default_rng(3).lognormal(0, 0.1, (400, 2, 3))
    figure = enrichment(table, title="t", element="exon", null=null)
    exon = table[table["element"] == "exon"].sort_values("ratio", ascending=False)
    low, high = np.quantile(null[:, exon["layer"], exon["head"]], [0.025, 0.975], axis=0) / 0.2
    [shifted] = traces(figure, "shifted elements, middle 95 %")
    np.testing.assert_allclose(shifted.x - shifted.error_x.arrayminus, low)
    np.testing.assert_allclose(shifted.x + shifted.error_x.array, high)
    assert shifted.error_x.color == LIGHT.faint
    for key, name in (("shuffle", "shuffled sequence"), ("twin", "randomly initialised model")):
        [control] = traces(figure, name)
        np.testing.assert_allclose(control.x, exon[f"{key}_ratio"])
        assert control.marker.color == LIGHT.control
    assert "shifted 0." in plot.alt(figure)
    [mean] = traces(enrichment(table, title="t", element="exon"), "shifted elements, mean")
    np.testing.assert_allclose(mean.x, exon["shift_mean"] / 0.2)


def test_an_interval_that_holds_one_is_grey_and_the_published_test_alone_hollow():
    table = made()[:3].copy()
    table[["ratio", "ratio_low", "ratio_high"]] = [[3, 2, 4], [2, 1.5, 2.5], [1.5, 0.9, 2.2]]
    table["significant_published"], table["significant"] = True, [True, False, False]
    figure = enrichment(table, title="t", element="exon")
    looks = {trace.name: (list(trace.x), trace.marker.symbol[0], trace.error_x.color) for trace in traces(figure, "passes")}
    assert looks == {
        PASSED: ([3], "circle", LIGHT.accent),
        PUBLISHED: ([2], "circle-open", LIGHT.accent),
        f"{PUBLISHED}; its interval holds 1": ([1.5], "circle-open", LIGHT.control),
    }


def test_ratios_of_nothing_and_far_away_stand_at_the_edge_with_an_arrow():
    table = made()[:3].copy()
    table[["ratio", "ratio_low", "ratio_high"]] = [[500, 400, 600], [1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
    figure = enrichment(table, title="t", element="exon")
    low, high = 10 ** np.array(figure.layout.xaxis.range)
    symbols = {symbol: x for trace in traces(figure, "passes") for symbol, x in zip(trace.marker.symbol, trace.x, strict=True)}
    assert symbols["triangle-right"] == pytest.approx(high)
    assert symbols["triangle-left"] == pytest.approx(low)
    texts = [note.text for note in figure.layout.annotations]
    assert any(text.startswith("500 (400 to 600)") for text in texts)
    assert any(text.startswith("0 (0 to 0)") for text in texts)


@pytest.mark.parametrize("options", [{}, {"element": HOSTILE}])
def test_names_from_files_stay_text(options):
    figure = enrichment(made(element=HOSTILE), title=HOSTILE, **options)
    said = figure.to_json().replace("\\u003c", "<").replace("\\u003e", ">").split('"meta"')
    assert "<b>exon" not in said[0]
    assert not any("exon" in (trace.hovertemplate or "") for trace in figure.data)
    assert "<b>exon</b>" in plot.alt(figure)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.drop(columns="ratio"), {}, "it lacks ratio. Pass the table of attention.enrichment"),
        (lambda t: t, {"elements": ["exn"]}, "one of those in the table: exon, intron; received 'exn'"),
        (lambda t: t, {"elements": []}, "at least one element; received none"),
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
        enrichment(change(made()), title="t", **options)
