"""Letters: outlines and stacks against logomaker's, upright on both strands, lines beneath, controls and words."""

from __future__ import annotations

import logomaker
import numpy as np
import pandas as pd
import pytest
from drawn import named
from matplotlib.figure import Figure as Drawing

from ntviz import plot
from ntviz.genome import Interval
from ntviz.plot.letters import LETTERS, information, letter_traces, outline, stacked
from ntviz.plot.theme import LIGHT

SEQUENCE = "GATTACANGC"
VALUES = np.array([0.5, -0.2, 0.3, np.nan, -1.0, 0.25, 0.1, 0.7, -0.4, 0.05])
FOUR = np.random.default_rng(5).normal(size=(10, 4))


def probabilities(n: int) -> np.ndarray:
    return np.random.default_rng(0).dirichlet([0.4] * 4, n)


def locus(track, *, start: int = 100, n: int = 10, strand: str = ".", **options):
    return plot.locus(Interval("chr20", start, start + n, strand), [track], title="t", **options)


def contributions(values=VALUES, sequence=SEQUENCE, **options):
    return plot.contribution_track(values, sequence, **({"label": "attribution", "unit": "nats"} | options))


def boxes(traces) -> dict[tuple[int, str], list[float]]:
    """[left, right, bottom, top] of each letter, by position and letter."""
    found = {}
    for letter, trace in zip(LETTERS, [trace for trace in traces if trace.meta == "letters"], strict=False):
        size = len(outline(letter)[0])
        shapes = (np.asarray(values, float).reshape(-1, size) for values in (trace.x, trace.y))
        for x, y in zip(*shapes, strict=True):
            left, right = np.nanmin(x), np.nanmax(x)
            middle = (left + right) / 2
            found[round(middle), letter] = [left - middle, right - middle, np.nanmin(y), np.nanmax(y)]
    return found


def brute_floors(row: np.ndarray) -> np.ndarray:
    """Lower edges of one stack, letter by letter: positive ones upwards from zero, negative ones downwards."""
    floors, up, down = np.zeros(4), 0.0, 0.0
    for column in np.argsort(row, kind="stable"):
        if row[column] > 0:
            floors[column] = up
            up += row[column]
    for column in np.argsort(row, kind="stable")[::-1]:
        if row[column] < 0:
            down += row[column]
            floors[column] = down
    return floors


def test_stacks_equal_those_built_letter_by_letter():
    np.testing.assert_allclose(stacked(FOUR), [brute_floors(row) for row in FOUR], atol=1e-12)


@pytest.mark.parametrize(
    "heights", [FOUR, np.where(np.eye(4)[[2, 0, 3, 3, 0]], [[1.0], [-2], [3], [-4], [5]], 0.0)]
)
def test_letters_lie_where_logomaker_puts_them_upside_down_below_zero(heights):
    ours = boxes(letter_traces(heights, np.arange(len(heights))))
    look = {"font_name": "DejaVu Sans", "vpad": 0.0, "width": 0.94, "flip_below": True, "show_spines": False}
    theirs = logomaker.Logo(pd.DataFrame(heights, columns=list("ACGT")), ax=Drawing().subplots(), **look)
    compared = 0
    for position, stack in enumerate(theirs.glyph_df.itertuples(index=False)):
        for letter, glyph in zip("ACGT", stack, strict=True):
            if abs(heights[position, "ACGT".index(letter)]) > 0.05:
                box = [-0.47, 0.47, glyph.floor, glyph.ceiling]
                assert ours[position, letter] == pytest.approx(box, abs=1e-4)
                compared += 1
    assert compared >= 5


def test_a_negative_letter_is_upside_down_and_its_mirror_reads_on_a_falling_axis():
    heights = np.array([[0, 0, 1.0, 0], [0, 0, -1.0, 0]])
    g = letter_traces(heights, np.array([0.0, 1.0]))[2]
    (up, down), x = np.asarray(g.y).reshape(2, -1), np.asarray(g.x).reshape(2, -1)
    np.testing.assert_allclose(up, -down, atol=1e-6)
    np.testing.assert_allclose(x[0], x[1] - 1)
    mirrored = np.asarray(letter_traces(heights[:1], np.array([0.0]), mirrored=True)[2].x)
    np.testing.assert_allclose(mirrored, -x[0], atol=1e-9)


def test_letters_read_from_left_to_right_on_the_minus_strand():
    plus, minus = locus(contributions()), locus(contributions(), strand="-")
    for one, other in zip(plus.data, minus.data, strict=True):
        if one.meta == "letters":
            # The same places from the left edge of the page: the reading direction is the figure's.
            np.testing.assert_allclose(one.x - 100.5, 110.5 - other.x, atol=1e-6)
            np.testing.assert_array_equal(one.y, other.y)
    sequence = locus(plot.sequence_track(SEQUENCE), strand="-")
    cells = next(trace for trace in sequence.data if trace.type == "heatmap")
    assert "".join(cells.hovertext[0]) == SEQUENCE[::-1]
    assert "".join(letter for _, letter in sorted(boxes(sequence.data), reverse=True)) == SEQUENCE


# Logos ----------------------------------------------------------------------------------------------------------------


def test_information_of_known_distributions():
    rows = [[1, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0], [np.nan] * 4]
    np.testing.assert_allclose(information(np.array(rows)), [2, 0, 1, np.nan], atol=1e-12)


def test_a_logo_is_as_high_as_its_information_with_the_likeliest_on_top():
    p = probabilities(10)
    figure = locus(plot.logo_track(p))
    np.testing.assert_allclose(named(figure, "Bases the model expects").y, information(p), rtol=1e-6)
    found = boxes(figure.data)
    for position in range(10):
        tops = {letter: box[3] for (at, letter), box in found.items() if at == 101 + position}
        best = max(tops, key=tops.__getitem__)
        assert "ACGT".index(best) == p[position].argmax()
        assert tops[best] == pytest.approx(information(p)[position], rel=1e-5)
    assert figure.layout.yaxis.title.text == "bits"
    assert figure.layout.yaxis.range[0] == 0


def test_a_control_is_a_grey_line_on_the_axis_of_the_logo():
    p, control = np.full((10, 4), 0.25), np.full((10, 4), 0.25)
    p[7], control[2] = [0, 0, 1, 0], [0.05, 0.85, 0.05, 0.05]
    figure = locus(plot.logo_track(p, control=control))
    alt = (
        "largest 2 bits (G at 108), mean 0.2; in the control (shuffled sequence) largest 1.15 bits (C at 103)"
    )
    assert alt in plot.alt(figure)
    grey = named(figure, "Bases the model expects: control (shuffled sequence)")
    assert (grey.line.color, grey.yaxis, grey.text[2]) == (LIGHT.control, "y", "C")
    assert not any(trace.fillcolor == LIGHT.control for trace in figure.data)


def test_a_base_without_probabilities_leaves_a_gap():
    p = probabilities(10)
    p[5] = np.nan
    line = named(locus(plot.logo_track(p)), "Bases the model expects")
    assert (np.isnan(line.y[5]), line.text[5]) == (True, "N")


@pytest.mark.parametrize(
    ("p", "control", "message"),
    [
        (np.ones((5, 3)), None, r"the shape \[base, 4\]; received \[5, 3\]"),
        (np.log(np.full((5, 4), 0.25)), None, r"distribution.*at base 0 \(5 such rows\)\. Take np\.exp"),
        (np.full((5, 4), 0.5), None, "probability distribution"),
        (np.full((5, 4), 0.25), np.ones((5, 4)), "control' must be a probability distribution"),
    ],
)
def test_what_is_no_distribution_is_refused(p, control, message):
    with pytest.raises(ValueError, match=message):
        plot.logo_track(p, control=control)


def test_a_sequence_track_names_its_bases_and_refuses_other_letters():
    figure = locus(plot.sequence_track(SEQUENCE))
    cells = next(trace for trace in figure.data if trace.type == "heatmap")
    assert "".join(LETTERS[code] for code in cells.z[0]) == SEQUENCE
    assert cells.colorscale[2] == (0.2, LIGHT.bases["C"])
    assert "Sequence: 9 known bases, 44% G or C." in plot.alt(figure)
    assert "Sequence: 0 known bases." in locus(plot.sequence_track("N" * 10)).layout.meta["alt"]
    with pytest.raises(ValueError, match="A, C, G, T and N only; received 'a' at base 3"):
        plot.sequence_track("ACaT")


# Contributions --------------------------------------------------------------------------------------------------------


def test_one_value_a_base_is_one_letter_a_base_from_zero():
    found = boxes(locus(contributions()).data)
    values = enumerate(zip(SEQUENCE, VALUES, strict=True), 101)
    expected = {(at, base): sorted([0.0, value]) for at, (base, value) in values if value == value}
    assert found.keys() == expected.keys()
    for key, box in expected.items():
        assert found[key][2:] == pytest.approx(box, abs=1e-6)


def test_the_line_lies_beneath_letters_and_is_unseen_where_all_are_letters():
    short, n = locus(contributions()), 1_000
    assert named(short, "attribution").line.width == 0
    wide = locus(contributions(np.ones(n), "A" * n, control=np.ones(n), control_sequence="C" * n), n=n)
    kinds = ["letters" if trace.meta == "letters" else trace.name for trace in wide.data]
    assert kinds.index("attribution") < kinds.index("letters")
    assert named(wide, "attribution").line.width > 0
    assert len({position for position, _ in boxes(wide.data)}) == 200


def test_a_control_has_its_own_bases_and_words():
    figure = locus(contributions(control=VALUES / 2, control_sequence="C" * 10))
    grey = named(figure, "attribution: control (shuffled sequence)")
    assert (grey.line.color, set(np.array(grey.text)[np.isfinite(VALUES)])) == (LIGHT.control, {"C"})
    np.testing.assert_allclose(grey.y, VALUES / 2, rtol=1e-6)
    alt = plot.alt(figure)
    assert "attribution: farthest from zero −1 nats (A at 105), mean 0.0333;" in alt
    assert "in the control (shuffled sequence) farthest from zero −0.5 nats (C at 105)" in alt


def test_nothing_but_nan_still_draws_and_values_elsewhere_are_cut():
    figure = locus(contributions(np.full(10, np.nan)))
    assert "attribution: no values here." in plot.alt(figure)
    assert boxes(figure.data) == {}
    assert {letter for _, letter in boxes(locus(contributions(VALUES, "N" * 10)).data)} == {"N"}
    line = named(locus(contributions(over=Interval("chr20", 95, 105))), "attribution")
    np.testing.assert_allclose(line.y, [*VALUES[5:], *[np.nan] * 5], rtol=1e-6)
    assert "".join(line.text) == SEQUENCE[5:] + "N" * 5


@pytest.mark.parametrize(
    ("values", "sequence", "options", "message"),
    [
        (FOUR, SEQUENCE, {}, r"'attribution' must have the shape \[base\]; received \[10, 4\]"),
        (np.zeros(9), SEQUENCE, {}, "one value for each of the 10 letters of its sequence; received 9"),
        (VALUES, "", {}, "one value for each of the 0 letters of its sequence; received 10"),
        (VALUES, SEQUENCE.lower(), {}, "of 'attribution' must hold A, C, G, T and N only; received 'g' at base 1"),
        (np.where(VALUES > 0.6, np.inf, VALUES), SEQUENCE, {}, r"must be finite.*received inf at \[7\]"),
        (VALUES, SEQUENCE, {"control": np.zeros(4)}, r"'attribution: control' must have the shape \[10\]; received \[4\]"),
        (VALUES, SEQUENCE, {"control": VALUES, "control_sequence": "ACG"}, "each of the 3 letters of its sequence; received 10"),
        (VALUES, SEQUENCE, {"control": VALUES, "control_sequence": "R" * 10}, "of 'attribution: control' must hold A, C"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(values, sequence, options, message):
    with pytest.raises(ValueError, match=message):
        contributions(values, sequence, **options)
