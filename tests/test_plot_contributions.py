"""Contributions as letters: signed stacks against logomaker's, levels of detail, controls, cursor and words."""

from __future__ import annotations

import itertools

import logomaker
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing
from matplotlib.path import Path

from ntviz import plot
from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.letters import draw_letters, outline, stacked

SEQUENCE = "GATTACANGC"
VALUES = np.array([0.5, -0.2, 0.3, np.nan, -1.0, 0.25, 0.1, 0.7, -0.4, 0.05])
FOUR = np.random.default_rng(5).normal(size=(10, 4))


def bases(n: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), n))


def track(values=VALUES, sequence=SEQUENCE, **options) -> plot.contributions.ContributionTrack:
    return plot.contribution_track(values, sequence, **({"label": "attribution", "unit": "nats"} | options))


def locus(*tracks, n: int = 10, strand: str = ".", start: int = 100, **options):
    return plot.locus(Interval("chr20", start, start + n, strand), tracks, title="t", **options)


def axes_of(figure, name: str = "attribution"):
    return next(ax for ax in figure.drawing.axes if ax.get_label() == name)


def copies(ax) -> dict[str, list[np.ndarray]]:
    """Vertices of each drawn copy of each letter."""
    found = {}
    for patch in ax.patches:
        gid = patch.get_gid() or ""
        if gid.startswith("logo "):
            size = len(outline(gid[-1])[0])
            found[gid[-1]] = list(patch.get_path().vertices.reshape(-1, size, 2))
    return found


def boxes(ax) -> dict[tuple[int, str], list[float]]:
    """[bottom, top] of each letter, by position and letter."""
    found = {}
    for letter, shapes in copies(ax).items():
        for shape in shapes:
            box = Path(shape, outline(letter)[1]).get_extents()
            found[round((box.x0 + box.x1) / 2 - 0.5), letter] = [box.y0, box.y1]
    return found


def notes(figure) -> list[str]:
    return [text.get_text() for text in figure.drawing.texts if text.get_gid() == "track note"]


# Geometry -------------------------------------------------------------------------------------------------------------


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
def test_signed_letters_are_logomakers_own_upside_down_below_zero(heights):
    ours = Drawing().subplots()
    draw_letters(ours, heights, np.arange(len(heights)) - 0.5)
    theirs = logomaker.Logo(
        pd.DataFrame(heights, columns=list("ACGT")),
        ax=Drawing().subplots(),
        font_name="DejaVu Sans",
        vpad=0.0,
        width=1.0,
        flip_below=True,
        show_spines=False,
    )
    drawn = {letter: iter(shapes) for letter, shapes in copies(ours).items()}
    compared = {1: 0, -1: 0}
    for position, stack in enumerate(theirs.glyph_df.itertuples(index=False)):
        for letter, glyph in zip("ACGT", stack, strict=True):
            height = heights[position, "ACGT".index(letter)]
            if height:
                np.testing.assert_allclose(next(drawn[letter]), glyph.patch.get_path().vertices, atol=1e-6)
                compared[int(np.sign(height))] += 1
    assert min(compared.values()) >= 2


def test_one_value_a_base_is_one_letter_a_base_from_zero():
    found = boxes(axes_of(locus(track())))
    expected = {
        (100 + i, base): sorted([0.0, value])
        for i, (base, value) in enumerate(zip(SEQUENCE, VALUES, strict=True))
        if np.isfinite(value)
    }
    assert found.keys() == expected.keys()
    for key, box in expected.items():
        assert found[key] == pytest.approx(box, abs=1e-9)


def test_four_values_a_base_are_stacked_in_their_columns_whatever_the_sequence():
    found = boxes(axes_of(locus(track(FOUR))))
    floors = np.array([brute_floors(row) for row in FOUR])
    for i, column in np.ndindex(FOUR.shape):
        expected = [floors[i, column], floors[i, column] + abs(FOUR[i, column])]
        assert found[100 + i, "ACGT"[column]] == pytest.approx(expected, abs=1e-9)


def test_weights_without_a_sequence_are_drawn_and_read():
    figure = locus(track(FOUR, ""))
    assert len(boxes(axes_of(figure))) == FOUR.size
    assert [lane.label for lane in figure.readout.lanes] == ["attribution"]


def test_letters_read_from_left_to_right_on_the_minus_strand():
    pixels = {}
    for strand in "+-":
        ax = axes_of(locus(track(), strand=strand))
        pixels[strand] = {
            letter: ax.transData.transform(np.concatenate(shapes)) for letter, shapes in copies(ax).items()
        }
    for letter, seen in pixels["+"].items():
        # The same pixels: the reading direction is the figure's, and no letter is mirrored.
        np.testing.assert_allclose(seen, pixels["-"][letter], atol=1e-6)


# Levels of detail -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["base", "four"])
@pytest.mark.parametrize(("n", "drawn"), [(60, "letters"), (600, "fill"), (100_000, "band")])
def test_letters_become_bars_and_then_a_band(n, drawn, shape):
    values = np.random.default_rng(1).normal(size=n if shape == "base" else (n, 4))
    figure = locus(track(values, bases(n)), n=n)
    ax = axes_of(figure)
    gids = {str(artist.get_gid()).split()[0] for artist in ax.get_children()}
    assert {"letters": "logo", "fill": "fill", "band": "band"}[drawn] in gids
    assert ("logo" in gids) == (drawn == "letters")
    assert any("too long for letters" in note for note in notes(figure)) == (drawn != "letters")
    assert figure.png()


def test_the_bars_of_four_values_are_the_outline_of_their_letters():
    four = np.random.default_rng(2).normal(size=(600, 4))
    four[3] = np.nan
    four[4, :3] = np.nan
    ax = axes_of(locus(track(four, bases(600)), n=600))
    bars = [patch.get_data().values for patch in ax.patches if patch.get_gid() == "fill"]
    tops = [sum(value for value in row if value > 0) for row in four]
    floors = [sum(value for value in row if value < 0) for row in four]
    tops[3] = floors[3] = np.nan
    assert len(bars) == 2
    np.testing.assert_allclose(bars[0], tops)
    np.testing.assert_allclose(bars[1], floors)


def test_a_long_window_shows_the_mean_of_each_bin_between_its_extremes():
    n = 10_000
    values = np.random.default_rng(3).normal(size=n)
    ax = axes_of(locus(track(values, bases(n)), n=n))
    line = next(line for line in ax.lines if line.get_gid() == "signal").get_ydata()
    cuts = np.linspace(0, n, len(line) + 1).round().astype(int)
    np.testing.assert_allclose(line, [values[a:b].mean() for a, b in itertools.pairwise(cuts)])


def test_a_zoom_brings_the_letters_back_on_the_scale_of_the_whole():
    values = np.zeros(1000)
    values[[10, 505]] = 2.0, -0.5
    figure = locus(track(values, bases(1000)), n=1000, zoom=Interval("chr20", 600, 620))
    near, far = axes_of(figure, "zoom: attribution"), axes_of(figure)
    assert near.get_ylim() == far.get_ylim()
    assert list(boxes(near)) == [(605, bases(1000)[505])]


# Controls -------------------------------------------------------------------------------------------------------------


def test_a_control_is_beneath_on_the_same_scale_in_letters_of_its_own():
    shuffled = SEQUENCE[::-1]
    figure = locus(track(control=VALUES[::-1] * 3, control_sequence=shuffled, control_label="turned round"))
    real, control = axes_of(figure), axes_of(figure, "attribution: control")
    assert real.get_ylim() == control.get_ylim()
    assert real.get_position().y0 > control.get_position().y1
    assert {letter for _, letter in boxes(control)} == set(SEQUENCE)
    assert boxes(control)[100, "C"] == pytest.approx([0.0, 0.15])
    assert "turned round" in notes(figure)


def test_a_control_without_bases_is_a_line_and_says_so_and_one_of_four_needs_none():
    figure = locus(track(control=VALUES))
    control = axes_of(figure, "attribution: control")
    assert boxes(control) == {}
    assert [patch.get_gid() for patch in control.patches] == ["fill", "fill"]
    assert "shuffled sequence; as a line: its bases are not given" in notes(figure)
    assert len(boxes(axes_of(locus(track(FOUR, control=FOUR)), "attribution: control"))) == FOUR.size


@pytest.mark.parametrize(("values", "low"), [(np.abs(VALUES), 0.0), (-np.abs(VALUES), -1.06)])
def test_the_axis_holds_zero_and_what_is_there(values, low):
    limits = axes_of(locus(track(values))).get_ylim()
    assert limits[0] == pytest.approx(low)
    assert limits[1] == pytest.approx(1.06 if low == 0 else 0.0)
    assert ("upside down" in "".join(notes(locus(track(values))))) == (low < 0)


# Cursor and words -----------------------------------------------------------------------------------------------------


def test_cursor_and_sentence_give_value_letter_and_place():
    figure = locus(track(control=VALUES / 2, control_sequence=SEQUENCE))
    lane, control = figure.readout.lanes
    np.testing.assert_array_equal(lane.values, VALUES)
    assert (lane.letters, lane.unit, control.label) == (SEQUENCE, "nats", "control (shuffled sequence)")
    assert "attribution: farthest from zero −1 nats (A at 105), mean 0.0333;" in figure.alt
    assert "in the control (shuffled sequence) farthest from zero −0.5 nats (A at 105)" in figure.alt


def test_of_four_values_the_cursor_reads_the_strongest_and_that_of_the_base_there():
    four = np.zeros((10, 4))
    four[2] = [0.1, -0.9, 0.3, 0.2]
    four[5] = np.nan
    strongest, there = locus(track(four), strand="-").readout.lanes
    assert (strongest.values[2], strongest.letters[2], strongest.letters[5]) == (-0.9, "C", "N")
    assert there.values[2] == 0.2
    # There is no value for N, nor where there is none at all.
    assert np.isnan(there.values[[5, 7]]).all()
    assert "farthest from zero −0.9 nats (C at 108)" in locus(track(four), strand="-").alt


def test_nothing_but_nan_still_draws_and_says_so():
    for values in (np.full(10, np.nan), np.full((10, 4), np.nan)):
        figure = locus(track(values))
        assert "attribution: no values here." in figure.alt
        assert boxes(axes_of(figure)) == {}
        assert figure.png()
    figure = locus(track(VALUES, "N" * 10))
    assert {letter for _, letter in boxes(axes_of(figure))} == {"N"}
    assert axes_of(figure).patches[0].get_facecolor()[:3] == pytest.approx(
        (0x8C / 255, 0x95 / 255, 0x9F / 255)
    )
    assert palette.BASE_COLOURS["N"] == "#8C959F"


def test_values_over_another_interval_are_cut_and_missing_outside():
    figure = locus(track(over=Interval("chr20", 95, 105)), n=10)
    lane = figure.readout.lanes[0]
    np.testing.assert_array_equal(lane.values, [*VALUES[5:], *[np.nan] * 5])
    assert lane.letters == SEQUENCE[5:] + "N" * 5


def test_names_are_shown_as_text():
    label = 'x</script><img src=x onerror="y">'
    html = locus(track(label=label, control=VALUES, control_label=label, note=label)).html()
    assert "<img src=x" not in html


@pytest.mark.parametrize(
    ("values", "sequence", "options", "message"),
    [
        (np.zeros((10, 3)), SEQUENCE, {}, r"\[base\], or \[base, 4\] in the order A, C, G, T; received the shape \[10, 3\]"),
        (np.zeros(9), SEQUENCE, {}, "one value for each of the 10 letters of its sequence; received 9"),
        (np.zeros(10), SEQUENCE.lower(), {}, "The sequence of 'attribution' must hold A, C, G, T and N only; received 'g' at base 1"),
        (np.where(VALUES > 0.6, np.inf, VALUES), SEQUENCE, {}, "must be finite.*received 1 infinite ones, the first at base 7"),
        (np.where(np.arange(40).reshape(10, 4) == 18, -np.inf, FOUR), SEQUENCE, {}, "received 1 infinite ones, the first at base 4"),
        (VALUES, "", {}, "'attribution' of one value a base must come with its sequence; received ''"),
        (VALUES, SEQUENCE, {"control": np.zeros(4)}, "'attribution: control' must have as many bases as what it controls, 10; received 4"),
        (VALUES, SEQUENCE, {"control": VALUES, "control_sequence": "ACG"}, "each of the 3 letters of its sequence; received 10"),
        (VALUES, SEQUENCE, {"control": VALUES, "control_sequence": "R" * 10}, "The sequence of 'attribution: control' must hold A, C"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(values, sequence, options, message):
    with pytest.raises(ValueError, match=message):
        track(values, sequence, **options)
