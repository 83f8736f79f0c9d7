"""Motif logos: one by logomaker, many as plotly, aligned sites; heights against loops, names escaped, bad input refused."""

from __future__ import annotations

import base64
import itertools

import numpy as np
import pandas as pd
import pytest
from drawn import HOSTILE, assert_text, named
from matplotlib.colors import to_hex, to_rgba

from ntviz import data, motifs, plot
from ntviz.plot.letters import information
from ntviz.plot.theme import BASES, colours

SURE = np.eye(4)
EVEN = np.full((3, 4), 0.25)


def letters(figure, axis: str = "x") -> dict[tuple[int, str], tuple[float, float]]:
    """Bottom and top of each letter of a row by its place and its base."""
    found = {}
    traces = [trace for trace in figure.data if trace.xaxis == axis and trace.meta == "letters"]
    for base, trace in zip(BASES, traces, strict=True):
        # A letter of several outlines, such as A, has several parts around one place.
        x, y = (np.asarray(values, dtype=float) for values in (trace.x, trace.y))
        for place in set(np.round(x[np.isfinite(x)]).tolist()):
            inside = np.abs(x - place) < 0.5
            found[int(place), base] = (float(y[inside].min()), float(y[inside].max()))
    return found


@pytest.mark.parametrize("kind", ["bits", "probability", "weights"])
def test_letters_stand_where_logomaker_puts_them_in_our_colours(kind):
    rng = np.random.default_rng(8)
    motif = rng.normal(size=(9, 4)) if kind == "weights" else rng.dirichlet([0.5] * 4, 9)
    ax = plot.logo(pd.DataFrame(motif, columns=list(BASES))[list("TGCA")], kind=kind, title="M$1$")
    colour = [to_hex(patch.get_facecolor()) for patch in ax.patches]
    assert set(colour) == {colours().bases[base] for base in BASES}
    assert [tick.get_text() for tick in ax.get_xticklabels()] == [str(i) for i in range(1, 10)]
    assert (ax.get_ylabel(), ax.get_title(loc="left")) == ("" if kind == "weights" else kind, "M$1$")
    boxes = [patch.get_extents().transformed(ax.transData.inverted()) for patch in ax.patches]
    placed = zip(boxes, colour, strict=True)
    theirs = {(round((box.x0 + box.x1) / 2), shade): (box.y0, box.y1) for box, shade in placed}
    ours = letters(plot.motif_logos([motif], kind=kind, title="t"))
    for (place, base), ends in ours.items():
        assert ends == pytest.approx(theirs[place, colours().bases[base]], abs=2e-3)
    assert len(ours) > 15


def test_a_logo_shows_itself_and_leaves_no_figure_of_pyplot_behind():
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    before = plt.get_fignums()
    for _ in range(22):
        shown = plot.logo(SURE, title="sure", kind="bits")
    assert plt.get_fignums() == before
    shown_as, metadata = shown._repr_mimebundle_()
    assert base64.b64decode(shown_as["image/png"])[:4] == b"\x89PNG"
    assert shown_as["text/plain"] == metadata["image/png"]["alt"] == "sure: ACGT, 4 positions, 8 bits."
    ax = Figure().subplots()
    # Heights are drawn as they are, as logomaker draws them; a motif in bits.
    assert plot.logo(SURE * 2, unit="log-odds", ax=ax) is ax
    assert ax.get_ylabel() == "log-odds"
    assert plot.logo(next(iter(motifs.read(data.bundle("motifs"))))).get_ylabel() == "bits"
    plot.theme("dark")
    try:
        assert plot.logo(SURE).figure.get_facecolor() == pytest.approx(to_rgba(colours().paper))
    finally:
        plot.theme("light")


def test_many_motifs_have_their_information_and_their_match_column_under_column():
    first, second = list(motifs.read(data.bundle("motifs")))[:2]
    # A table of names gives numbers of numpy.
    match = plot.Beside(second, offset=np.int64(-2), strand="-", name="<b>known</b>", note="q = 0.01")
    names = {"names": ["one", "flat"], "notes": ["12 sites", ""], "title": "Two"}
    figure = plot.motif_logos([first, EVEN], beside=[match, None], **names)
    p = np.asarray(first.probabilities)
    upper = named(figure, "one, 12 sites")
    expected = [sum(row[k] * np.log2(row[k] / 0.25) for k in range(4) if row[k] > 0) for row in p]
    np.testing.assert_allclose(upper.y, expected, atol=1e-9)
    assert list(upper.x) == list(range(1, len(p) + 1))
    assert list(upper.text) == [BASES[i] for i in p.argmax(1)]
    # The reverse complement, two columns to the right; the name from a file is no markup.
    lower = named(figure, "&lt;b&gt;known&lt;/b&gt; (−), q = 0.01")
    turned = np.asarray(second.probabilities)[::-1, ::-1]
    np.testing.assert_allclose(lower.y, information(turned), atol=1e-9)
    assert list(lower.x) == list(range(3, 3 + len(turned)))
    alt = plot.alt(figure)
    assert "; beneath it <b>known</b> (−), q = 0.01." in alt
    assert "flat: nnn, 3 positions, 0 bits; no match" in alt


def test_letters_below_zero_hang_upside_down():
    weights = [np.array([[1.0, -2.0, 0.0, 0.0]])]
    figure = plot.motif_logos(weights, kind="weights", unit="log-odds", title="Weights")
    ends = [(np.nanmin(trace.y), np.nanmax(trace.y)) for trace in figure.data[:2]]
    assert ends == [(0, 1), (-2, 0)]
    assert figure.layout.yaxis.range[0] < -2
    assert figure.layout.yaxis.title.text == "log-odds"


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"motifs": []}, "There must be a motif"),
        ({"motifs": [np.zeros((3, 5))]}, r"must have the shape \[position, 4\]; received \[3, 5\]"),
        ({"motifs": [pd.DataFrame(SURE, columns=list("ACGU"))]}, "must be finite; received 4 values"),
        ({"motifs": [SURE * 2]}, "must hold probabilities"),
        ({"motifs": [SURE], "kind": "height"}, "must be one of bits, probability, weights; received 'height'"),
        ({"motifs": [SURE], "notes": ["a", "b"]}, "notes must have one entry for each of the 1 motifs"),
        ({"motifs": [SURE], "beside": [plot.Beside(SURE, strand="x")]}, r"strand of a motif beside another must be \+ or -"),
        ({"motifs": [SURE], "beside": [plot.Beside(SURE * 2, name="k")]}, "Each position of 'k' must hold probabilities"),
    ],
)  # fmt: skip
def test_what_is_no_motif_is_refused(given, match):
    with pytest.raises(ValueError, match=match):
        plot.motif_logos(**given, title="x")
    if list(given) == ["motifs"] and given["motifs"]:
        with pytest.raises(ValueError, match=match):
            plot.logo(*given["motifs"], kind="bits")


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("offset", [-3, 0, 2, 9])
def test_columns_of_the_motif_beneath_line_up(offset, strand):
    # A known motif of which the upper one is columns; on the - strand the file has it the other way round.
    columns = np.random.default_rng(7).dirichlet([0.3] * 4, 7)
    filed = columns[::-1, ::-1] if strand == "-" else columns
    known = plot.Beside(filed, offset=-offset, strand=strand, name="known")
    figure = plot.motif_logos([SURE], beside=[known], title="t")
    beneath, heights = letters(figure, "x2"), columns * information(columns)[:, None]
    for (place, base), (low, high) in beneath.items():
        assert high - low == pytest.approx(heights[place - 1 - offset, BASES.index(base)], abs=1e-6)
    assert {place for place, _ in beneath} == set(range(1 + offset, 8 + offset))
    layout = figure.layout
    assert layout.xaxis.range == layout.xaxis2.range
    assert layout.xaxis.range[0] <= min(0, offset) + 0.5
    assert layout.xaxis.range[1] >= max(4, offset + 7) + 0.5
    assert layout.xaxis2.matches == "x"
    assert layout.yaxis.domain[0] > layout.yaxis2.domain[1]


@pytest.mark.parametrize(("n", "length"), [(1, 1), (14, 12), (3, 600)])
def test_many_motifs_share_a_grid_and_a_scale(n, length):
    drawn = [np.random.default_rng(i).dirichlet([0.5] * 4, length) for i in range(n)]
    layout = plot.motif_logos(drawn, title="t").layout
    axes = [(layout[f"xaxis{k}"], layout[f"yaxis{k}"]) for k in ["", *range(2, n + 1)]]
    places = [(*x.domain, *y.domain) for x, y in axes]
    for (x0, x1, y0, y1), (u0, u1, v0, v1) in itertools.combinations(places, 2):
        assert x1 <= u0 or u1 <= x0 or y1 <= v0 or v1 <= y0
    assert {(tuple(x.range), tuple(y.range)) for x, y in axes} == {(tuple(layout.xaxis.range), (0, 2))}
    assert max(layout.xaxis.tickvals) <= length
    assert ("And 8 more." in layout.meta["alt"], "motif 7:" in layout.meta["alt"]) == (n == 14, False)


def test_the_consensus_says_how_sure_it_is():
    motif = np.array([[1, 0, 0, 0], [0.1, 0.6, 0.2, 0.1], [0.25] * 4])
    assert "motif 1: Acn, 3 positions, 2.43 bits." in plot.alt(plot.motif_logos([motif], title="t"))


def test_names_are_shown_as_text():
    names = {"names": [HOSTILE], "notes": [HOSTILE], "title": HOSTILE, "unit": HOSTILE}
    beside = [plot.Beside(SURE, name=HOSTILE, note=HOSTILE)]
    assert_text(plot.motif_logos([SURE], **names, kind="weights", beside=beside))


def test_aligned_sites_stand_over_random_ones():
    rng = np.random.default_rng(0)
    shares, background = rng.dirichlet(np.ones(4), 9), rng.dirichlet(np.ones(4) * 20, 9)
    given = {
        "background": background,
        "chance": np.full(9, 0.3),
        "token": (3, 6),
        "sites": 40,
        "title": "Head",
    }
    figure = plot.aligned_logo(shares, **given, control=background[::-1])
    seen = named(figure, "attended sites")
    np.testing.assert_allclose(seen.y, information(shares, background), atol=1e-9)
    # Positions count from the attended token, which is shaded.
    assert list(seen.x) == list(range(-3, 6))
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (-0.5, 2.5)
    assert named(figure, "control: one random set of as many sites").line.color == colours().control
    assert f"{(np.asarray(seen.y) > 0.3).sum()} of 9 positions exceed chance" in plot.alt(figure)
    for name, part in (("chance", "chance"), ("background", "background"), ("shares: control", "control")):
        with pytest.raises(ValueError, match=f"'{name}' must have the shape"):
            plot.aligned_logo(shares, **(given | {part: background[:5]}))
