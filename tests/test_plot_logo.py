"""Logos: the fast path against logomaker, letters upright on both strands, and the line for long windows."""

from __future__ import annotations

import logomaker
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing
from matplotlib.path import Path

from ntviz import plot
from ntviz.genome import Interval
from ntviz.plot.letters import letter_path, outline
from ntviz.plot.logo import draw_logo, information
from ntviz.plot.view import View


def probabilities(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet([0.4] * 4, n)


def view(n: int, strand: str = ".") -> View:
    interval = Interval("chr20", 0, n, strand)
    return View(interval, interval, 8.9)


def letters_of(ax, codes_per_letter) -> dict[str, list]:
    """Boxes (x0, x1, y0, y1) of the copies of each letter."""
    boxes = {}
    for patch in ax.patches:
        gid = patch.get_gid() or ""
        if gid.startswith("logo "):
            letter = gid[-1]
            path = patch.get_path()
            size = codes_per_letter[letter]
            copies = zip(path.vertices.reshape(-1, size, 2), path.codes.reshape(-1, size), strict=True)
            boxes[letter] = [
                [*box.intervalx, *box.intervaly] for box in (Path(*copy).get_extents() for copy in copies)
            ]
    return boxes


SIZES = {letter: len(outline(letter)[0]) for letter in "ACGT"}


@pytest.mark.parametrize("kind", ["bits", "probability"])
def test_letters_lie_where_logomaker_puts_them(kind):
    p = probabilities(12)
    ax = Drawing(figsize=(9, 2)).subplots()
    draw_logo(ax, view(12), p, kind=kind)
    ours = letters_of(ax, SIZES)
    heights = p * information(p)[:, None] if kind == "bits" else p
    theirs = logomaker.Logo(
        pd.DataFrame(heights, columns=list("ACGT")),
        ax=Drawing(figsize=(9, 2)).subplots(),
        font_name="DejaVu Sans",
        vpad=0.0,
        width=1.0,
        show_spines=False,
    )
    compared = 0
    for position, stack in enumerate(theirs.glyph_df.itertuples(index=False)):
        for letter, glyph in zip("ACGT", stack, strict=True):
            if glyph.ceiling - glyph.floor < 5e-3:
                continue
            box = next(b for b in ours[letter] if b[0] == pytest.approx(position, abs=0.01))
            # logomaker centres base p on p; ours covers p to p + 1.
            assert box[:2] == pytest.approx((glyph.p, glyph.p + 1), abs=1e-6)
            assert box[2:] == pytest.approx((glyph.floor, glyph.ceiling), abs=1e-6)
            compared += 1
    assert compared > 20


def test_outlines_are_logomakers_own():
    ax = Drawing().subplots()
    glyph = logomaker.Glyph(
        0.5, "G", width=1, floor=0, ceiling=1, vpad=0.0, ax=ax, font_name="DejaVu Sans", font_weight="bold"
    )
    ours = letter_path("G", np.array([0.0]), np.array([0.0]), np.array([1.0]), np.array([1.0]))
    theirs = glyph.patch.get_path()
    np.testing.assert_allclose(ours.vertices, theirs.vertices, atol=1e-6)
    np.testing.assert_array_equal(ours.codes, theirs.codes)


def test_information_of_known_distributions():
    rows = [[1, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0], [np.nan] * 4]
    np.testing.assert_allclose(information(np.array(rows)), [2, 0, 1, np.nan], atol=1e-12)


def test_stacks_are_as_high_as_their_information_with_the_likeliest_on_top():
    p = probabilities(30)
    ax = Drawing().subplots()
    draw_logo(ax, view(30), p, kind="bits")
    boxes = letters_of(ax, SIZES)
    bits = information(p)
    for position in range(30):
        here = {letter: box for letter, all_ in boxes.items() for box in all_ if round(box[0]) == position}
        top = max(here, key=lambda letter: here[letter][3])
        assert "ACGT".index(top) == p[position].argmax()
        assert here[top][3] == pytest.approx(bits[position], abs=1e-9)


def test_letters_read_upright_on_the_minus_strand():
    p = np.tile(np.eye(4)[2], (5, 1))
    paths = {}
    for strand in "+-":
        figure = Drawing()
        ax = figure.subplots()
        shown = view(5, strand)
        ax.set_xlim(*shown.limits)
        ax.set_ylim(0, 2)
        draw_logo(ax, shown, p, kind="bits")
        paths[strand] = ax.transData.transform(ax.patches[0].get_path().vertices)
    # The same pixels: a mirrored G would not be.
    np.testing.assert_allclose(paths["+"], paths["-"], atol=1e-6)


def labels(figure, gid):
    return [text.get_text() for text in figure.drawing.texts if text.get_gid() == gid]


def test_beyond_the_width_for_letters_the_logo_is_a_line_and_says_so():
    n = 1000
    p = probabilities(n)
    figure = plot.locus(Interval("chr20", 0, n), [plot.logo_track(p, control=p)], title="t")
    ax = next(ax for ax in figure.drawing.axes if ax.get_label() == "Bases the model expects")
    assert not [patch for patch in ax.patches if (patch.get_gid() or "").startswith("logo")]
    line = next(patch for patch in ax.patches if patch.get_gid() == "signal")
    np.testing.assert_allclose(line.get_data().values, information(p))
    assert any("as a line: 1,000 bp is too long for letters" in note for note in labels(figure, "track note"))


@pytest.mark.parametrize("n", [20, 200, 213, 1_000, 10_000, 100_000])
def test_every_length_of_window_draws(n):
    p = probabilities(n)
    sequence = "ACGTN" * (n // 5) + "A" * (n % 5)
    tracks = [plot.sequence_track(sequence), plot.logo_track(p)]
    figure = plot.locus(Interval("chr20", 0, n, "-"), tracks, title="t", sequence=sequence)
    assert figure.png()
    letters = any(
        (artist.get_gid() or "").startswith("logo") for ax in figure.drawing.axes for artist in ax.patches
    )
    assert letters == (n <= 213)


def test_axis_says_bits_or_probability():
    for kind, top in (("bits", 2.0), ("probability", 1.0)):
        figure = plot.locus(
            Interval("chr20", 0, 50), [plot.logo_track(probabilities(50), kind=kind)], title="t"
        )
        ax = figure.drawing.axes[-1]
        assert ax.get_ylabel() == kind
        assert ax.get_ylim() == (0, top)


def test_alt_text_and_cursor_say_the_expected_base_and_the_one_there():
    p = np.full((20, 4), 0.25)
    p[7] = [0, 0, 1, 0]
    figure = plot.locus(Interval("chr20", 100, 120), [plot.logo_track(p)], title="t", sequence="G" * 20)
    assert "largest 2 bits (G at 108), mean 0.1 of at most 2 bits." in figure.alt
    expected, there = figure.readout.lanes
    assert expected.letters[7] == "G"
    assert there.label == "probability of the base there"
    np.testing.assert_array_equal(there.values[[0, 7]], [0.25, 1.0])


def test_a_base_without_probabilities_leaves_a_gap():
    p = probabilities(20)
    p[5] = np.nan
    figure = plot.locus(Interval("chr20", 0, 20), [plot.logo_track(p)], title="t", sequence="N" * 20)
    assert figure.readout.lanes[0].letters[5] == "N"
    assert np.isnan(figure.readout.lanes[0].values[5])
    assert figure.png()


@pytest.mark.parametrize(
    ("p", "options", "message"),
    [
        (np.ones((5, 3)), {}, r"the shape \[base, 4\] in the order A, C, G, T; received \[5, 3\]"),
        (
            np.log(np.full((5, 4), 0.25)),
            {},
            r"probability distribution.*at base 0 \(5 such rows\)\. Take np\.exp",
        ),
        (np.full((5, 4), 0.5), {}, "probability distribution"),
        (np.full((5, 4), 0.25), {"kind": "nats"}, "'bits' or 'probability'; received 'nats'"),
        (np.full((5, 4), 0.25), {"control": np.ones((5, 4))}, "control' must be a probability distribution"),
    ],
)
def test_what_is_no_distribution_is_refused(p, options, message):
    with pytest.raises(ValueError, match=message):
        plot.logo_track(p, **options)


def test_a_sequence_track_refuses_other_letters():
    with pytest.raises(ValueError, match="A, C, G, T and N only; received 'a' at base 3"):
        plot.sequence_track("ACaT")
