"""Figures of enrichment, read back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn import HOSTILE, assert_text

from ntviz import plot
from ntviz.plot.attention import enrichment
from ntviz.plot.theme import LIGHT

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
    figure = enrichment(table, title="t")
    [model], [control] = traces(figure, "Model"), traces(figure, "Control: shuffled sequence")
    with np.errstate(divide="ignore"):
        expected = np.maximum(np.log2(table["ratio"].to_numpy().reshape(2, 6)), -99)
    order = [0, 1] if model.y[0] == "exon" else [1, 0]
    np.testing.assert_allclose(np.array(model.z)[order], expected)
    np.testing.assert_allclose(
        np.array(control.z)[order], np.log2(table["shuffle_ratio"].to_numpy().reshape(2, 6))
    )
    hover = np.array(model.customdata)[order]
    assert list(model.x) == ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2"]
    assert (model.zmin, model.zmax, control.zmin, control.zmax) == (-3, 3, -3, 3)
    assert model.colorscale[2][1] == LIGHT.signs[2]
    [empty] = traces(figure, "no test, or under 5 pairs")
    assert (list(empty.x), list(empty.y)) == (["0.2"], ["exon"])
    assert "1 ratios lie beyond the ends of the colours" in plot.alt(figure)
    low, high = table.loc[0, ["ratio_low", "ratio_high"]]
    assert hover[0, 0].startswith(
        f"<b>layer 0, head 0 on exon</b><br>ratio 4 (95 % interval {low:.3g} to {high:.3g})<br>shifted elements "
    )
    assert "pairs above the threshold" in hover[0, 0]
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
    assert (list(only.x), list(only.y), only.marker.symbol) == (
        ["0.1", "1.0"],
        ["exon", "exon"],
        "circle-open",
    )
    assert not traces(figure, "Control")
    assert "intron: 1 pass the shift null, 0 more the published test only" in plot.alt(figure)
    assert traces(figure, "Model")[0].customdata[0][2].endswith(PASSED)


def test_too_few_pairs_have_no_colour_unless_a_test_stands():
    table = made()
    table.loc[[0, 1], "n_above"] = 20  # chance puts 4 on the element
    table.loc[1, "significant"] = True
    z = traces(enrichment(table[table["element"] == "exon"], title="t"), "Model")[0].z
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


# Names and refusals ----------------------------------------------------------------------------------------------------


def test_names_from_files_stay_text():
    assert_text(enrichment(made(element=HOSTILE), title=HOSTILE))


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.drop(columns="ratio"), {}, "it lacks ratio, and has layer, head"),
        (lambda t: t[:0], {}, "must have rows"),
        (lambda t: t, {"control": "distance"}, r"those in the table \(shuffle, twin\); received 'distance'"),
        (lambda t: pd.concat([t, t[:1]]), {}, "received layer 0, head 0, element exon again"),
        (lambda t: t.assign(ratio=-1.0), {}, "at least 0, or NaN; received ratio -1.0"),
    ],
)  # fmt: skip
def test_an_enrichment_refuses_what_does_not_fit(change, options, message):
    with pytest.raises(ValueError, match=message):
        enrichment(change(made()), title="t", **options)
