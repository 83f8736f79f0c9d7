"""Letters and logos: outlines and stacks against logomaker's, upright on both strands; splice sites; motifs; aligned sites."""

from __future__ import annotations

import base64
import itertools

import logomaker
import numpy as np
import pandas as pd
import pytest
from drawn import HOSTILE, assert_text, named
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure as Drawing

from ntviz import data, motifs, plot
from ntviz.genome import Interval
from ntviz.plot.letters import LETTERS, information, letter_traces, outline, stacked
from ntviz.plot.theme import BASES, LIGHT, colours

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
    found = {}
    for letter, trace in zip(LETTERS, [trace for trace in traces if trace.meta == "letters"], strict=False):
        size = len(outline(letter)[0])
        for x, y in zip(*(np.asarray(values, float).reshape(-1, size) for values in (trace.x, trace.y)), strict=True):
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


def test_stacks_and_information_equal_those_by_hand():
    np.testing.assert_allclose(stacked(FOUR), [brute_floors(row) for row in FOUR], atol=1e-12)
    rows = np.array([[1, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0], [np.nan] * 4])
    np.testing.assert_allclose(information(rows), [2, 0, 1, np.nan], atol=1e-12)


@pytest.mark.parametrize("heights", [FOUR, np.where(np.eye(4)[[2, 0, 3, 3, 0]], [[1.0], [-2], [3], [-4], [5]], 0.0)])
def test_letters_lie_where_logomaker_puts_them_upside_down_below_zero(heights):
    ours = boxes(letter_traces(heights, np.arange(len(heights))))
    look = {"font_name": "DejaVu Sans", "vpad": 0.0, "width": 0.94, "flip_below": True, "show_spines": False}
    theirs = logomaker.Logo(pd.DataFrame(heights, columns=list("ACGT")), ax=Drawing().subplots(), **look)
    large = np.argwhere(np.abs(heights) > 0.05)
    assert len(large) >= 5
    for position, base in large:
        glyph = theirs.glyph_df.iloc[position, base]
        assert ours[position, "ACGT"[base]] == pytest.approx([-0.47, 0.47, glyph.floor, glyph.ceiling], abs=1e-4)


def test_a_negative_letter_is_upside_down_and_its_mirror_reads_on_a_falling_axis():
    heights = np.array([[0, 0, 1.0, 0], [0, 0, -1.0, 0]])
    g = letter_traces(heights, np.array([0.0, 1.0]))[2]
    x, (up, down) = (np.asarray(values).reshape(2, -1) for values in (g.x, g.y))
    np.testing.assert_allclose(up, -down, atol=1e-6)
    np.testing.assert_allclose(x[0], x[1] - 1)
    mirrored = letter_traces(heights[:1], np.array([0.0]), mirrored=True)[2]
    np.testing.assert_allclose(mirrored.x, -x[0], atol=1e-9)


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


def test_a_logo_is_as_high_as_its_information_with_the_likeliest_on_top_and_its_control_in_grey():
    p = probabilities(10)
    bits, figure = information(p), locus(plot.logo_track(p))
    np.testing.assert_allclose(named(figure, "Bases the model expects").y, bits, rtol=1e-6)
    found = boxes(figure.data)
    for position in range(10):
        tops = {letter: box[3] for (at, letter), box in found.items() if at == 101 + position}
        best = max(tops, key=tops.__getitem__)
        assert (best, tops[best]) == ("ACGT"[p[position].argmax()], pytest.approx(bits[position], rel=1e-5))
    assert figure.layout.yaxis.title.text == "bits" and figure.layout.yaxis.range[0] == 0
    p, control = np.full((10, 4), 0.25), np.full((10, 4), 0.25)
    p[7], control[2], p[5] = [0, 0, 1, 0], [0.05, 0.85, 0.05, 0.05], np.nan
    figure = locus(plot.logo_track(p, control=control))
    alt = "largest 2 bits (G at 108), mean 0.222; in the control (shuffled sequence) largest 1.15 bits (C at 103)"
    assert alt in plot.alt(figure)
    line = named(figure, "Bases the model expects")
    grey = named(figure, "Bases the model expects: control (shuffled sequence)")
    assert (np.isnan(line.y[5]), line.text[5]) == (True, "N")
    assert (grey.line.color, grey.yaxis, grey.text[2]) == (LIGHT.control, "y", "C")
    assert not any(trace.fillcolor == LIGHT.control for trace in figure.data)


def test_a_sequence_track_names_its_bases():
    figure = locus(plot.sequence_track(SEQUENCE))
    cells = next(trace for trace in figure.data if trace.type == "heatmap")
    assert "".join(LETTERS[code] for code in cells.z[0]) == SEQUENCE
    assert cells.colorscale[2] == (0.2, LIGHT.bases["C"])
    assert "Sequence: 9 known bases, 44% G or C." in plot.alt(figure)
    assert "Sequence: 0 known bases." in plot.alt(locus(plot.sequence_track("N" * 10)))


def test_one_value_a_base_is_one_letter_from_zero_over_a_line():
    short, n = locus(contributions()), 1_000
    found, values = boxes(short.data), enumerate(zip(SEQUENCE, VALUES, strict=True), 101)
    expected = {(at, base): sorted([0.0, value]) for at, (base, value) in values if value == value}
    assert {key: box[2:] for key, box in found.items()} == {key: pytest.approx(box) for key, box in expected.items()}
    assert named(short, "attribution").line.width == 0
    wide = locus(contributions(np.ones(n), "A" * n, control=np.ones(n), control_sequence="C" * n), n=n)
    kinds = ["letters" if trace.meta == "letters" else trace.name for trace in wide.data]
    assert kinds.index("attribution") < kinds.index("letters") and named(wide, "attribution").line.width > 0
    assert len({position for position, _ in boxes(wide.data)}) == 200


def test_a_control_has_its_own_bases_nothing_still_draws_and_values_elsewhere_are_cut():
    figure = locus(contributions(control=VALUES / 2, control_sequence="C" * 10))
    grey = named(figure, "attribution: control (shuffled sequence)")
    assert (grey.line.color, set(np.array(grey.text)[np.isfinite(VALUES)])) == (LIGHT.control, {"C"})
    np.testing.assert_allclose(grey.y, VALUES / 2, rtol=1e-6)
    control = "in the control (shuffled sequence) farthest from zero −0.5 nats (C at 105)"
    assert f"attribution: farthest from zero −1 nats (A at 105), mean 0.0333; {control}" in plot.alt(figure)
    figure = locus(contributions(np.full(10, np.nan)))
    assert "attribution: no values here." in plot.alt(figure) and boxes(figure.data) == {}
    assert {letter for _, letter in boxes(locus(contributions(VALUES, "N" * 10)).data)} == {"N"}
    line = named(locus(contributions(over=Interval("chr20", 95, 105))), "attribution")
    np.testing.assert_allclose(line.y, [*VALUES[5:], *[np.nan] * 5], rtol=1e-6)
    assert "".join(line.text) == SEQUENCE[5:] + "N" * 5


@pytest.mark.parametrize(("ask", "message"), [
    (lambda: plot.logo_track(np.ones((5, 3))), r"the shape \[base, 4\]; received \[5, 3\]"),
    (lambda: plot.logo_track(np.log(np.full((5, 4), 0.25))), r"distribution.*at base 0 \(5 such rows\)\. Take np\.exp"),
    (lambda: plot.logo_track(np.full((5, 4), 0.5)), "probability distribution"),
    (lambda: plot.logo_track(np.full((5, 4), 0.25), control=np.ones((5, 4))), "control' must be a probability distribution"),
    (lambda: plot.sequence_track("ACaT"), "A, C, G, T and N only; received 'a' at base 3"),
    (lambda: contributions(FOUR), r"'attribution' must have the shape \[base\]; received \[10, 4\]"),
    (lambda: contributions(np.zeros(9)), "one value for each of the 10 letters of its sequence; received 9"),
    (lambda: contributions(VALUES, ""), "one value for each of the 0 letters of its sequence; received 10"),
    (lambda: contributions(VALUES, SEQUENCE.lower()), "of 'attribution' must hold A, C, G, T and N only; received 'g' at base 1"),
    (lambda: contributions(np.where(VALUES > 0.6, np.inf, VALUES)), r"must be finite.*received inf at \[7\]"),
    (lambda: contributions(control=np.zeros(4)), r"'attribution: control' must have the shape \[10\]; received \[4\]"),
    (lambda: contributions(control=VALUES, control_sequence="ACG"), "each of the 3 letters of its sequence; received 10"),
    (lambda: contributions(control=VALUES, control_sequence="R" * 10), "of 'attribution: control' must hold A, C"),
    (lambda: plot.splice_track(np.zeros((20, 4))), r"shape \[base, 3\]; received \[20, 4\]"),
    (lambda: plot.splice_track(np.full((5, 3), -3.0)), "none, acceptor and donor; received 15 numbers below 0 or above 1"),
    (lambda: locus(plot.splice_track(sites(19)), n=20), "one value for each of the 20 bases"),
    (lambda: plot.splice_logo(np.zeros((10, 4)), "donor"), "A donor must have 9 positions"),
    (lambda: plot.splice_logo(np.zeros((9, 4)), "acceptor"), "A acceptor must have 23 positions"),
    (lambda: plot.splice_logo(np.zeros((9, 4)), "exon"), "received 'exon'"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(ask, message):
    with pytest.raises(ValueError, match=message):
        ask()


def sites(n: int, **at: float) -> np.ndarray:
    """Probabilities of none, acceptor and donor of n bases, of which `acceptor_5=0.9` names one."""
    found = np.zeros((n, 3))
    for name, value in at.items():
        kind, place = name.split("_")
        found[int(place), ["acceptor", "donor"].index(kind) + 1] = value
    found[:, 0] = 1 - found.sum(axis=1)
    return found


@pytest.mark.parametrize("strand", ["+", "-"])
def test_sites_stand_on_their_bases_and_the_control_is_grey(strand):
    reverse, control = sites(40, donor_30=0.4), sites(40, donor_7=0.2)
    track = plot.splice_track(sites(40, acceptor_5=0.9, donor_20=0.75), reverse=reverse, control=control)
    figure = plot.locus(Interval("chr20", 1_000, 1_040, strand), [track], title="t")
    at, grey = range(1_001, 1_041)[:: 1 if strand == "+" else -1], "Splice sites: control (shuffled sequence), donor"
    for name, place in {
        "Splice sites, acceptor": (at[5], 0.9), "Splice sites, donor": (at[20], 0.75),
        "Splice sites, other strand, donor": (at[30], -0.4), grey: (at[7], 0.2),
    }.items():  # fmt: skip
        trace = named(figure, name)
        assert [*zip(trace.x, trace.y, strict=True)] == [place]
        assert (trace.marker.color == LIGHT.control) == (name == grey)
    assert f"acceptor at {at[5]:,} (0.90); donor at {at[20]:,} (0.75)" in plot.alt(figure)
    assert "in the control (shuffled sequence) no donor of 0.5 or more, the highest is 0.2" in plot.alt(figure)


def test_nothing_found_and_markup():
    figure = plot.locus(
        Interval("chr20", 10, 30), [plot.splice_track(sites(20, donor_3=0.2), label=HOSTILE)], title="t"
    )
    assert "no donor of 0.5 or more, the highest is 0.2" in plot.alt(figure)
    assert_text(figure)


@pytest.mark.parametrize(
    ("kind", "n", "labels"),
    [("donor", 9, ["−3", "−2", "−1", "+1", "+2"]), ("acceptor", 23, ["−20", "−15", "−10", "−5", "−3", "−1", "+1"])],
)
def test_logos_count_from_the_junction(kind, n, labels):
    heights = np.full((n, 4), 0.1)
    heights[2, 3], heights[4, 0] = 1.5, -2
    axes = plot.splice_logo(heights, kind, title="Sites, all", unit="nats")
    numbers = [at for at in range(-20 if kind == "acceptor" else -3, 7) if at]
    largest = f"largest T at {numbers[2]:+d} (1.5) and A at {numbers[4]:+d} (−2), in nats."
    assert axes.get_label() == f"Sites, all, positions {numbers[0]} to +{n + numbers[0]}: {largest}"
    assert [text.get_text() for text in axes.get_xticklabels()][: len(labels)] == labels
    assert "exon" in axes.get_xlabel()
    assert any(0.5 - numbers[0] in np.asarray(line.get_xdata()).tolist() for line in axes.get_lines())


SURE = np.eye(4)
EVEN = np.full((3, 4), 0.25)


def letters(figure, axis: str = "x") -> dict[tuple[int, str], tuple[float, float]]:
    found = {}
    traces = [trace for trace in figure.data if trace.xaxis == axis and trace.meta == "letters"]
    for base, trace in zip(BASES, traces, strict=True):
        # A letter of several outlines, such as A, has several parts around one place.
        x, y = (np.asarray(values, dtype=float) for values in (trace.x, trace.y))
        for place in set(np.round(x[np.isfinite(x)]).astype(int).tolist()):
            inside = y[np.abs(x - place) < 0.5]
            found[place, base] = (float(inside.min()), float(inside.max()))
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

    before = plt.get_fignums()
    for _ in range(3):
        shown = plot.logo(SURE, title="sure", kind="bits")
    assert plt.get_fignums() == before
    shown_as, metadata = shown._repr_mimebundle_()
    assert base64.b64decode(shown_as["image/png"])[:4] == b"\x89PNG"
    assert shown_as["text/plain"] == metadata["image/png"]["alt"] == "sure: ACGT, 4 positions, 8 bits."
    ax, known = Drawing().subplots(), next(iter(motifs.read(data.bundle("motifs"))))
    assert plot.logo(SURE * 2, unit="log-odds", ax=ax) is ax
    assert (ax.get_ylabel(), plot.logo(known).get_ylabel()) == ("log-odds", "bits")
    plot.theme("dark")
    try:
        assert plot.logo(SURE).figure.get_facecolor() == pytest.approx(to_rgba(colours().paper))
    finally:
        plot.theme("light")


def test_many_motifs_have_their_information_and_their_match_column_under_column():
    first, second = list(motifs.read(data.bundle("motifs")))[:2]
    match = plot.Beside(second, offset=np.int64(-2), strand="-", name="<b>known</b>", note="q = 0.01")
    names = {"names": ["one", "flat"], "notes": ["12 sites", ""], "title": "Two"}
    figure = plot.motif_logos([first, EVEN], beside=[match, None], **names)
    p, upper = np.asarray(first.probabilities), named(figure, "one, 12 sites")
    expected = [sum(share * np.log2(share / 0.25) for share in row if share > 0) for row in p]
    np.testing.assert_allclose(upper.y, expected, atol=1e-9)
    assert list(upper.x) == list(range(1, len(p) + 1)) and list(upper.text) == [BASES[i] for i in p.argmax(1)]
    # The reverse complement, two columns to the right; the name from a file is no markup.
    lower = named(figure, "&lt;b&gt;known&lt;/b&gt; (−), q = 0.01")
    turned = np.asarray(second.probabilities)[::-1, ::-1]
    np.testing.assert_allclose(lower.y, information(turned), atol=1e-9)
    assert list(lower.x) == list(range(3, 3 + len(turned)))
    for words in ("; beneath it <b>known</b> (−), q = 0.01.", "flat: nnn, 3 positions, 0 bits; no match"):
        assert words in plot.alt(figure)


def test_letters_below_zero_hang_the_consensus_says_how_sure_it_is_and_names_are_text():
    weights = [np.array([[1.0, -2.0, 0.0, 0.0]])]
    figure = plot.motif_logos(weights, kind="weights", unit="log-odds", title="Weights")
    ends = [(np.nanmin(trace.y), np.nanmax(trace.y)) for trace in figure.data[:2]]
    assert ends == [(0, 1), (-2, 0)] and figure.layout.yaxis.range[0] < -2
    assert figure.layout.yaxis.title.text == "log-odds"
    motif = np.array([[1, 0, 0, 0], [0.1, 0.6, 0.2, 0.1], [0.25] * 4])
    assert "motif 1: Acn, 3 positions, 2.43 bits." in plot.alt(plot.motif_logos([motif], title="t"))
    names = {"names": [HOSTILE], "notes": [HOSTILE], "title": HOSTILE, "unit": HOSTILE}
    beside = [plot.Beside(SURE, name=HOSTILE, note=HOSTILE)]
    assert_text(plot.motif_logos([SURE], **names, kind="weights", beside=beside))


@pytest.mark.parametrize(("given", "match"), [
    ({"motifs": []}, "There must be a motif"),
    ({"motifs": [np.zeros((3, 5))]}, r"must have the shape \[position, 4\]; received \[3, 5\]"),
    ({"motifs": [pd.DataFrame(SURE, columns=list("ACGU"))]}, "must be finite; received 4 values"),
    ({"motifs": [SURE * 2]}, "must hold probabilities"),
    ({"motifs": [SURE], "kind": "height"}, "must be one of bits, probability, weights; received 'height'"),
    ({"motifs": [SURE], "notes": ["a", "b"]}, "notes must have one entry for each of the 1 motifs"),
    ({"motifs": [SURE], "beside": [plot.Beside(SURE, strand="x")]}, r"strand of a motif beside another must be \+ or -"),
    ({"motifs": [SURE], "beside": [plot.Beside(SURE * 2, name="k")]}, "Each position of 'k' must hold probabilities"),
])  # fmt: skip
def test_what_is_no_motif_is_refused(given, match):
    with pytest.raises(ValueError, match=match):
        plot.motif_logos(**given, title="x")
    if list(given) == ["motifs"] and given["motifs"]:
        with pytest.raises(ValueError, match=match):
            plot.logo(*given["motifs"], kind="bits")


@pytest.mark.parametrize(("offset", "strand"), [(-3, "+"), (0, "-"), (2, "+"), (9, "-")])
def test_columns_of_the_motif_beneath_line_up(offset, strand):
    # A known motif of which the upper one is columns; on the - strand the file has it the other way round.
    columns = np.random.default_rng(7).dirichlet([0.3] * 4, 7)
    known = plot.Beside(columns[::-1, ::-1] if strand == "-" else columns, offset=-offset, strand=strand, name="known")
    figure = plot.motif_logos([SURE], beside=[known], title="t")
    beneath, heights = letters(figure, "x2"), columns * information(columns)[:, None]
    for (place, base), (low, high) in beneath.items():
        assert high - low == pytest.approx(heights[place - 1 - offset, BASES.index(base)], abs=1e-6)
    assert {place for place, _ in beneath} == set(range(1 + offset, 8 + offset))
    layout = figure.layout
    assert layout.xaxis.range == layout.xaxis2.range and layout.xaxis.range[0] <= min(0, offset) + 0.5
    assert layout.xaxis.range[1] >= max(4, offset + 7) + 0.5 and layout.xaxis2.matches == "x"
    assert layout.yaxis.domain[0] > layout.yaxis2.domain[1]


@pytest.mark.parametrize(("n", "length"), [(1, 1), (14, 12), (3, 600)])
def test_many_motifs_share_a_grid_and_a_scale(n, length):
    drawn = [np.random.default_rng(i).dirichlet([0.5] * 4, length) for i in range(n)]
    layout = plot.motif_logos(drawn, title="t").layout
    axes = [(layout[f"xaxis{k}"], layout[f"yaxis{k}"]) for k in ["", *range(2, n + 1)]]
    for (x, y), (u, v) in itertools.combinations(axes, 2):
        apart = (x.domain, u.domain), (u.domain, x.domain), (y.domain, v.domain), (v.domain, y.domain)
        assert any(one[1] <= other[0] for one, other in apart)
    assert {(tuple(x.range), tuple(y.range)) for x, y in axes} == {(tuple(layout.xaxis.range), (0, 2))}
    assert max(layout.xaxis.tickvals) <= length
    assert ("And 8 more." in layout.meta["alt"], "motif 7:" in layout.meta["alt"]) == (n == 14, False)


def test_aligned_sites_stand_over_random_ones():
    rng = np.random.default_rng(0)
    shares, background = rng.dirichlet(np.ones(4), 9), rng.dirichlet(np.ones(4) * 20, 9)
    given = {"background": background, "chance": np.full(9, 0.3), "token": (3, 6), "sites": 40, "title": "Head"}
    figure = plot.aligned_logo(shares, **given, control=background[::-1])
    seen = named(figure, "attended sites")
    np.testing.assert_allclose(seen.y, information(shares, background), atol=1e-9)
    assert list(seen.x) == list(range(-3, 6))
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (-0.5, 2.5)
    assert named(figure, "control: one random set of as many sites").line.color == colours().control
    assert f"{(np.asarray(seen.y) > 0.3).sum()} of 9 positions exceed chance" in plot.alt(figure)
    for part in ("chance", "background", "control"):
        with pytest.raises(ValueError, match=f"{part}' must have the shape"):
            plot.aligned_logo(shares, **(given | {part: background[:5]}))
