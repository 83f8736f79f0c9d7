"""Colours stay apart for colour-blind readers, and readable on white paper."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from ntviz.plot import palette

# Machado, Oliveira, Fernandes (2009), severity 1.0, applied to linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


def linear(colour: object) -> np.ndarray:
    c = np.array(to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(colour: object, vision: str = "normal") -> np.ndarray:
    """CIELAB (D65) of a colour as an eye sees it."""
    rgb = np.clip(VISION[vision] @ linear(colour), 0, 1)
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    xyz = np.array(to_xyz) @ rgb / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(a: object, b: object, vision: str) -> float:
    return float(np.linalg.norm(lab(a, vision) - lab(b, vision)))


def contrast(colour: object, paper: str = palette.PAPER) -> float:
    levels = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (colour, paper))
    return (levels[1] + 0.05) / (levels[0] + 0.05)


def test_the_simulation_itself_sees_what_it_should():
    assert lab("white") == pytest.approx([100, 0, 0], abs=0.1)
    # Red and green of equal lightness are far apart to most eyes, and close to a deuteranope's.
    assert distance("#C04030", "#4F7A20", "normal") > 60
    assert distance("#C04030", "#4F7A20", "deuteranopia") < 40


@pytest.mark.parametrize("vision", VISION)
def test_base_colours_stay_apart(vision):
    # A difference of 2.3 is just noticeable; letters differ in shape as well.
    colours = [palette.BASE_COLOURS[base] for base in "ACGT"]
    assert min(distance(a, b, vision) for a, b in combinations(colours, 2)) > 15


@pytest.mark.parametrize("vision", VISION)
def test_the_first_line_colours_stay_apart(vision):
    assert min(distance(a, b, vision) for a, b in combinations(palette.LINES[:4], 2)) > 10


def test_no_two_lines_share_dash_and_marker():
    assert len(set(palette.DASHES)) == len(palette.DASHES) == len(palette.LINES)
    assert len(set(palette.MARKERS)) == len(palette.MARKERS) == len(palette.LINES)


@pytest.mark.parametrize("vision", VISION)
def test_the_two_signs_stay_apart(vision):
    assert distance(palette.POSITIVE, palette.NEGATIVE, vision) > 40


@pytest.mark.parametrize(
    "colour", [palette.INK, palette.MUTED, palette.GENE, palette.ACCENT, palette.POSITIVE]
)
def test_text_and_signals_read_on_paper(colour):
    assert contrast(colour) >= 4.5


def test_muted_text_reads_on_the_paper_of_controls():
    assert contrast(palette.MUTED, palette.CONTROL_PAPER) >= 4.5


def test_base_letters_stand_out_from_paper():
    # Large shapes; orange is the palest of the Okabe-Ito colours that keep the bases' usual hues.
    assert min(contrast(palette.BASE_COLOURS[base]) for base in "ACGT") >= 2.2


@pytest.mark.parametrize("vision", VISION)
def test_the_sequential_map_darkens_steadily(vision):
    lightness = [lab(palette.sequential()(x), vision)[0] for x in np.linspace(0, 1, 33)]
    assert all(a > b for a, b in pairwise(lightness))
    assert lightness[0] - lightness[-1] > 50


def test_the_diverging_map_is_white_at_zero_and_even_on_both_sides():
    colours = palette.diverging()
    assert to_rgb(colours(0.5)) == pytest.approx((1, 1, 1), abs=0.02)
    assert abs(lab(colours(0.0))[0] - lab(colours(1.0))[0]) < 6


def test_scales():
    norm = palette.sign_norm(np.array([-4.0, 1.0, np.nan]))
    assert (norm.vmin, norm.vcenter, norm.vmax) == (-4, 0, 4)
    assert float(norm(0.0)) == 0.5
    assert palette.magnitude_norm(np.zeros(3)).vmax == 1.0
    assert palette.sign_norm(np.array([np.nan])).vmax == 1.0
