"""The logo of aligned sites: letters as high as the data say, chance and the token marked, the readout exact."""

from __future__ import annotations

import numpy as np
import pytest

from ntviz import plot

RNG = np.random.default_rng(4)
BACKGROUND = np.tile([0.3, 0.2, 0.2, 0.3], (12, 1))
SHARES = BACKGROUND.copy()
SHARES[3:9] = RNG.dirichlet([0.4] * 4, size=6)
BITS = (SHARES * np.log2(SHARES / BACKGROUND)).sum(1)
CHANCE = np.full(12, 0.08)


def logo(**changed):
    options = {
        "chance": CHANCE,
        "token": (3, 9),
        "sites": 1234,
        "title": "Layer 1 <b>",
        "control": BACKGROUND,
    }
    return plot.aligned_logo(SHARES, BACKGROUND, **{**options, **changed})


def test_letters_are_as_high_as_the_difference_and_the_control_is_flat():
    axes = {ax.get_label(): ax for ax in logo().drawing.axes}
    assert list(axes) == ["Attended sites", "Control: random sites"]
    tops = []
    for name in axes:
        paths = [part for part in axes[name].get_children() if str(part.get_gid()).startswith("logo ")]
        if name == "Attended sites":
            assert [part.get_gid() for part in paths] == [f"logo {letter}" for letter in "ACGT"]
        # The vertex of a code that closes a letter is no corner of it.
        closing = 79
        outlines = [part.get_path() for part in paths]
        corners = np.concatenate(
            [np.empty((0, 2)), *(path.vertices[path.codes != closing] for path in outlines)]
        )
        # Letters of no height to see are not drawn.
        near = [corners[np.abs(corners[:, 0] - place) < 0.5, 1] for place in range(-3, 9)]
        columns = [heights.max(initial=0.0) for heights in near]
        tops.append(columns)
    np.testing.assert_allclose(tops[0], BITS, atol=1e-6)
    np.testing.assert_allclose(tops[1], 0, atol=1e-9)
    assert axes["Attended sites"].get_ylim() == axes["Control: random sites"].get_ylim()
    line = next(part for part in axes["Attended sites"].lines if part.get_gid() == "chance")
    np.testing.assert_allclose(line.get_ydata()[:-1], CHANCE)


def test_the_sentence_and_the_readout_say_the_numbers():
    figure = logo()
    best = "".join("ACGT"[base] for base in SHARES[3:9].argmax(1))
    assert f"Most likely bases of the attended token: {best}" in figure.alt
    assert f"{(BITS > CHANCE).sum()} of 12 positions exceed chance" in figure.alt
    assert "1,234 sites" in figure.caption
    assert figure.readout.heads[:4] == ["−3 bp", "−2 bp", "−1 bp", "0 bp"]
    np.testing.assert_allclose(figure.readout.lanes[0].values, BITS)
    html = figure._repr_mimebundle_()["text/html"]
    assert "<b>" not in html


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"shares must be \[position, 4\], and background must fit"):
        plot.aligned_logo(SHARES, BACKGROUND[:-1], chance=CHANCE, token=(0, 6), sites=2, title="x")
    with pytest.raises(ValueError, match="and chance must fit"):
        logo(chance=CHANCE[:3])
    with pytest.raises(ValueError, match="and control must fit"):
        logo(control=BACKGROUND[:5])
