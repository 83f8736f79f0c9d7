"""Maps of substitutions and of dependencies, read back from their traces."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from drawn import HOSTILE, annotation, assert_text, named

from ntviz import plot
from ntviz.genome import Interval
from ntviz.plot.letters import information
from ntviz.plot.theme import BASES, DARK, LIGHT, darkened
from ntviz.plot.words import number

START = 43_029_999
MAP, MEAN = "LLR of each substitution", "Mean over the substitutions"
COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def genes(name: str = "HNF4A"):
    return annotation([("20", START + 6, START + 12, "+", "exon", name, name, "t1", "", "")])


@pytest.fixture
def dark():
    yield lambda: plot.theme("dark")
    plot.theme("light")


def mean_effect(result) -> list[float]:
    rows = zip(result.llr, map(BASES.find, result.sequence), strict=True)
    return [np.nan if code < 0 else np.nanmean(np.delete(row, code)) for row, code in rows]


def saturated(n: int = 60, *, seed: int = 0, strand: str = ".", unknown: tuple = (), **changes):
    """A result whose arrays agree with each other; `unknown` bases are N."""
    rng = np.random.default_rng(seed)
    letters = rng.choice(list(BASES), n)
    letters[list(unknown)] = "N"
    codes = np.array([BASES.find(letter) for letter in letters])
    p = rng.dirichlet([1] * 4, n)
    llr = np.log(p) - np.log(p[np.arange(n), codes])[:, None]
    swing = rng.normal(0, 0.2, (n, 4)) * (np.arange(4) != codes[:, None])
    p[codes < 0] = llr[codes < 0] = np.nan
    given = {
        "interval": Interval("20", START, START + n, strand), "sequence": "".join(letters), "llr": llr, "llr_fwd": llr + swing,
        "llr_rev": llr - swing, "base_llr": llr / 2, "probabilities": p, "model": "toy",
    }  # fmt: skip
    return SimpleNamespace(**(given | changes))


def dependent(n: int = 24, *, seed: int = 0, strand: str = ".", k: int = 6, **changes):
    rng = np.random.default_rng(seed)
    token = np.arange(n) // k
    same = token[:, None] == token
    given = {
        "interval": Interval("20", START, START + n, strand), "sequence": "".join(rng.choice(list(BASES), n)),
        "values": np.where(same, np.nan, rng.exponential(1, (n, n))), "same_token": same, "model": "toy",
    }  # fmt: skip
    return SimpleNamespace(**(given | changes))


def maps(figure) -> list:
    return [trace for trace in figure.data if trace.type == "heatmap" and trace.name]


def places(trace, axis: str = "x") -> np.ndarray:
    return trace[f"{axis}0"] + trace[f"d{axis}"] * np.arange(np.shape(trace.z)[axis == "x"])


def other(base: str) -> str:
    return "C" if base == "A" else "A"


@pytest.mark.parametrize("strand", [".", "-"])
def test_rows_are_the_alternative_bases_and_columns_count_from_one(strand):
    result, step = saturated(unknown=(7, 8), strand=strand), -1 if strand == "-" else 1
    figure = plot.saturation(result)
    cells = named(figure, MAP)
    # A heat map runs along the axis, which falls from left to right on the - strand.
    by_hand = np.where(result.llr == 0, np.nan, result.llr)[::step].T
    np.testing.assert_allclose(cells.z, by_hand, rtol=1e-6)
    np.testing.assert_array_equal(places(cells), START + 1 + np.arange(60))
    axis = figure.layout[cells.yaxis.replace("y", "yaxis")]
    assert (tuple(cells.y), tuple(axis.categoryarray), tuple(axis.range)) == (tuple(BASES), tuple(BASES), (3.5, -0.5))
    assert (figure.layout.xaxis.range[0] > figure.layout.xaxis.range[1]) == (strand == "-")
    dashes = figure.data[figure.data.index(cells) + 1]
    reference = np.array([BASES.find(base) for base in result.sequence])[::step]
    np.testing.assert_array_equal(np.isfinite(dashes.z), np.arange(4)[:, None] == reference)


def test_colours_diverge_at_zero_and_leave_outliers_out(dark):
    result = saturated(200)
    sizes, figure = np.abs(result.llr[result.llr != 0]), plot.saturation(result)
    cells, top = named(figure, MAP), np.sort(sizes)[int(np.ceil(0.99 * (len(sizes) - 1)))]
    assert (cells.zmin, cells.zmax) == (-top, top)
    assert [dict(cells.colorscale)[at] for at in (0, 0.5, 1)] == [LIGHT.signs[i] for i in (0, 2, -1)]
    assert list(cells.colorbar.ticktext) == [number(-top), "0", number(top)]
    assert f"{(sizes > top).sum()} beyond the strongest colour, {number(top)} nats" in plot.alt(figure)
    dark()
    assert dict(named(plot.saturation(result), MAP).colorscale)[0] == DARK.signs[0]


def test_tracks_stand_in_order_with_the_mean_its_control_and_expected_bases_in_bits():
    result, control = saturated(unknown=(7,)), saturated(seed=1)
    result.llr[20, (BASES.find(result.sequence[20]) + 1) % 4] = np.nan
    figure = plot.saturation(result, control=control, control_label="untrained")
    mean, grey = named(figure, MEAN), named(figure, f"{MEAN}: control (untrained)")
    np.testing.assert_allclose(mean.y, mean_effect(result), rtol=1e-6)
    np.testing.assert_allclose(grey.y, mean_effect(control), rtol=1e-5)
    assert grey.line.color == LIGHT.control and mean.yaxis == grey.yaxis
    assert "in the control (untrained)" in plot.alt(figure)
    result = saturated()
    extra = plot.signal_track(np.arange(60.0), label="Conservation", unit="score")
    figure = plot.saturation(result, annotation=genes(), tracks=[extra], assembly="GRCh37")
    bold = [note.text.split("</b>") for note in figure.layout.annotations if note.text.startswith("<b>")]
    expected = ["Genes", "Sequence", MAP, MEAN, "Bases the model expects", "Conservation"]
    assert [label.removeprefix("<b>") for label, _ in bold] == expected
    bits = named(figure, "Bases the model expects").y
    np.testing.assert_allclose(bits, information(result.probabilities), rtol=1e-6)
    assert "position, 1-based, on 20 (GRCh37)" in figure.to_json() and "HNF4A" in plot.alt(figure)


def test_the_pointer_reads_every_substitution_of_a_base_and_its_strands():
    result = saturated(unknown=(7,))
    cells = next(trace for trace in plot.saturation(result).data if trace.hovertext is not None)
    [texts], base = cells.hovertext, result.sequence[3]
    assert texts[7] == "N: no score"
    np.testing.assert_array_equal(places(cells), START + 1 + np.arange(60))
    for said, code in zip(texts[3].split("<br>"), np.delete(np.arange(4), BASES.index(base)), strict=True):
        value, forward, reverse = (number(array[3, code]) for array in (result.llr, result.llr_fwd, result.llr_rev))
        assert said == f"{base}>{BASES[code]} {value} nats ({forward} forward, {reverse} reverse)"
    figure = plot.saturation(saturated(llr_rev=None))
    assert "forward" not in str([trace.hovertext for trace in figure.data])
    assert "both strands" not in figure.to_json()


@pytest.mark.parametrize("strand", [".", "+", "-"])
def test_a_marked_substitution_has_a_frame_a_band_and_its_rank(strand):
    result, at = saturated(strand=strand), 12  # in the reading direction
    there, change = result.sequence[at], other(result.sequence[at])
    position = START + 60 - at if strand == "-" else START + at + 1
    ref, alt = (part.translate(COMPLEMENT) if strand == "-" else part for part in (there, change))
    figure = plot.saturation(result, variant=f"chr20:{position}:{ref}>{alt}")
    frame = next(shape for shape in figure.layout.shapes if shape.yref == named(figure, MAP).yaxis)
    row = BASES.index(change)
    assert (frame.x0, frame.x1, (frame.y0 + frame.y1) / 2) == (position - 0.5, position + 0.5, row)
    own, flat = result.llr[at, row], result.llr[result.llr != 0]
    rank = f"{number(own)} nats, lower than {(flat > own).mean():.0%} of all"
    for words in (f"{ref}>{alt} at {position:,}: {rank}", f"Marked: {ref}>{alt} at chr20:{position:,}."):
        assert words in plot.alt(figure)


def test_the_sentence_names_the_lowest_the_highest_and_other_small_variants():
    result = saturated()
    ref = result.sequence[10:13]
    figure = plot.saturation(result, variant=f"20:{START + 11}:{ref}>{ref[0]}")
    [band] = figure.layout.shapes
    assert (band.x0, band.x1) == (START + 10.5, START + 13.5) and f"Marked: {ref}>{ref[0]} at" in plot.alt(figure)
    result = saturated(strand="-")
    base, column = np.unravel_index(result.llr.argmin(), result.llr.shape)
    said = f"lowest {number(result.llr.min())} nats ({result.sequence[base]}>{BASES[column]} at {START + 60 - base:,})"
    assert f"{MAP}: 180 substitutions, {said}" in plot.alt(plot.saturation(result))
    result.llr[3] = np.where(result.llr[3] == 0, 0, np.nan)
    alt = plot.alt(plot.saturation(result))
    assert "177 substitutions" in alt and "3 without a score" in alt
    assert f"{MAP}: no scores here." in plot.alt(plot.saturation(saturated(4, unknown=(0, 1, 2, 3))))


@pytest.mark.parametrize("n", [1, 24, 12_000])
def test_any_length_draws_and_a_part_is_enlarged_on_the_same_colours(n):
    result = saturated(n)
    zoom = Interval("20", START + 1_000, START + 1_080) if n > 1_000 else None
    figure = plot.saturation(result, zoom=zoom)
    first, *near = maps(figure)
    assert np.shape(first.z) == (4, n) and len(near) == (zoom is not None)
    for part in near:
        np.testing.assert_array_equal(part.z, np.array(first.z)[:, 1_000:1_080])
        assert (part.zmax, part.showscale, part.xaxis) == (first.zmax, False, "x2")
    table = plot.table(figure)
    values = table[(table["trace"] == MAP) & (table["x"] == START + 1)].drop_duplicates()
    assert list(values["y"]) == [base for base in BASES if base != result.sequence[0]]
    np.testing.assert_allclose(values["z"].astype(float), result.llr[0][result.llr[0] != 0], rtol=1e-6)


def test_text_of_both_maps_is_no_markup():
    names = {"assembly": HOSTILE, "title": HOSTILE}
    track = plot.signal_track(np.zeros(60), label=HOSTILE, unit=HOSTILE)
    beside = {"control": saturated(), "control_label": HOSTILE, "tracks": [track], "annotation": genes(HOSTILE)}
    assert_text(plot.saturation(saturated(model=HOSTILE), **beside, **names))
    assert_text(plot.dependency(dependent(model=HOSTILE), null=dependent(seed=1), null_label=HOSTILE, **names))


@pytest.mark.parametrize(("make", "changes", "options", "message"), [
    ("saturation", {"llr": np.zeros((59, 4))}, {}, r"'llr of the result' must have the shape \[60, 4\]; received \[59, 4\]"),
    ("saturation", {"llr": None}, {}, r"'llr of the result' must have the shape.*received \[\]"),
    ("saturation", {"probabilities": np.zeros((60, 4))}, {}, "must be a probability distribution"),
    ("saturation", {"sequence": "ACGT"}, {}, "letter of the sequence for each; received 60 bp and 4 letters in the result"),
    ("saturation", {"llr": np.full((60, 4), -np.inf)}, {}, r"llr of the result' must be finite.*received -inf at \[0, 0\]"),
    ("saturation", {"llr": saturated(seed=1).llr}, {}, "0 at the reference base.*; received .*Check order, strand"),
    ("saturation", {}, {"variant": "20:5:A>C"}, "bases in 20:43,030,000-43,030,059; received 20:5:A>C, which lies elsewhere"),
    ("saturation", {}, {"variant": f"19:{START + 1}:A>C"}, "bases in 20:43,030,000-43,030,059; received 19:.*elsewhere"),
    ("saturation", {}, {"variant": "rs12"}, "must name contig, position, REF and ALT; received 'rs12'"),
    ("saturation", {}, {"variant": f"20:{START + 5}:{other(saturated().sequence[4])}>G"}, "its reference bases in .*; received .*, where . is"),
    ("saturation", {}, {"control": saturated(59)}, r"control' must have the shape \[60\]; received \[59\]"),
    ("saturation", {}, {"zoom": Interval("20", 0, 10)}, "'zoom' must lie in"),
    ("saturation", {"interval": Interval("20", 0, 20_001)}, {}, "at most 20,000 bp.*; received 20,001 bp .*Draw a part"),
    ("dependency", {"values": np.zeros((24, 23))}, {}, r"'values of the result' must have the shape \[24, 24\]; received \[24, 23\]"),
    ("dependency", {"same_token": np.zeros(24, bool)}, {}, r"'same_token of the result' must have the shape \[24, 24\]; received \[24\]"),
    ("dependency", {"values": np.full((24, 24), -1.0)}, {}, "at least 0, or NaN; received -1 at row 0, column 6 .432 such"),
    ("dependency", {"values": np.full((24, 24), np.inf)}, {}, r"must be finite.*received inf at \[0, 0\]"),
    ("dependency", {}, {"null": dependent(12)}, "null must be of the bases 20:43.* as the result; received 20:43,030,000-43,030,011"),
    ("dependency", {}, {"null": dependent(values=np.zeros(3))}, r"'values of the null' must.*received \[3\]"),
    ("dependency", {"interval": Interval("20", 0, 1_501)}, {}, "at most 1,500 bp.*; received 1,501 bp"),
])  # fmt: skip
def test_unusable_maps_are_refused(make, changes, options, message):
    drawn, given = {"saturation": (plot.saturation, saturated), "dependency": (plot.dependency, dependent)}[make]
    with pytest.raises(ValueError, match=message):
        drawn(given(**changes), **options)


def test_other_things_are_refused():
    nothing = SimpleNamespace(interval=Interval("1", 0, 5), sequence="ACGTA", probabilities=0)
    with pytest.raises(TypeError, match="must have interval, sequence, llr.*SimpleNamespace without llr"):
        plot.saturation(nothing)
    with pytest.raises(TypeError, match="null must have .*, values, same_token; received .* without values"):
        plot.dependency(dependent(), null=nothing)


@pytest.mark.parametrize("strand", [".", "-"])
def test_rows_are_substituted_and_columns_are_read(strand):
    result, step = dependent(strand=strand), -1 if strand == "-" else 1
    figure = plot.dependency(result, assembly="GRCh37")
    [cells] = maps(figure)
    np.testing.assert_allclose(cells.z, result.values[::step, ::step], rtol=1e-6)
    for axis in "xy":
        np.testing.assert_array_equal(places(cells, axis), START + 1 + np.arange(24))
    # The first base in the reading direction stands at the left and at the top; letters name the bases as they are read.
    ends, letters = [START + 0.5, START + 24.5], result.sequence[::step]
    x, y = figure.layout.xaxis, figure.layout.yaxis
    assert (list(x.range), list(y.range)) == (ends[::step], ends[::-step])
    assert "".join(x.ticktext) == "".join(y.ticktext) == letters
    assert cells.text[2][20] == f"{letters[2]}{START + 3:,} substituted, {letters[20]}{START + 21:,} read"
    row, column = np.unravel_index(np.nanargmax(result.values), (24, 24))
    numbers = np.arange(START + 1, START + 25)[::step]
    first, second = (f"{result.sequence[i]} at {numbers[i]:,}" for i in (column, row))
    strongest = f"{first} on {second} ({number(np.nanmax(result.values))})"
    assert f"Strongest, as log2 odds ratio: {strongest}" in plot.alt(figure)
    assert "20:43,030,000-43,030,023 · 24 bp · GRCh37" in figure.layout.title.subtitle.text
    assert (x.title.text, y.title.text) == ("base read, 1-based on 20", "base substituted")


def test_pairs_in_one_token_are_explained_and_the_strongest_and_what_lies_beyond_are_said():
    values = np.random.default_rng(0).random((24, 24))
    result = dependent(values=values)
    values[:, 20] = np.nan
    figure = plot.dependency(result)
    np.testing.assert_allclose(maps(figure)[0].z, np.where(result.same_token, np.nan, values), rtol=1e-6)
    assert figure.layout.plot_bgcolor == LIGHT.faint
    assert "grey: both bases in one token" in figure.layout.title.subtitle.text
    assert "Both bases within one token: 144 pairs. Without a value: 18 pairs." in plot.alt(figure)
    alone = plot.dependency(dependent(same_token=np.zeros((24, 24), bool), values=np.ones((24, 24))))
    assert "grey" not in alone.layout.title.subtitle.text
    values = np.full((12, 12), 0.5)
    values[1, 8], values[9, 2], values[0, 11] = 4.0, 3.0, 2.0
    figure = plot.dependency(dependent(12, values=values, sequence="ACGTACGTACGT"))
    base = [f"{'ACGT'[i % 4]} at {START + i + 1:,}" for i in range(12)]
    pairs = f"{base[8]} on {base[1]} (4), {base[2]} on {base[9]} (3) and {base[11]} on {base[0]} (2), median 0.5."
    assert f"Strongest, as log2 odds ratio: {pairs}" in plot.alt(figure)
    many = np.random.default_rng(0).random((100, 100))
    figure = plot.dependency(dependent(100, values=many, same_token=np.zeros((100, 100))))
    assert maps(figure)[0].zmax == np.sort(many.ravel())[-10]
    assert "9 pairs lie beyond the strongest colour, 0.9" in plot.alt(figure)
    empty, single = dependent(6, values=np.full((6, 6), np.nan)), dependent(1, same_token=np.ones((1, 1), bool))
    alt = "log2 odds ratio: no values. In the control (randomly initialised model): no values."
    assert alt in plot.alt(plot.dependency(empty, null=empty))
    assert "log2 odds ratio: no values." in plot.alt(plot.dependency(single))


@pytest.mark.parametrize(("n", "step", "strand"), [(65, 1, "."), (512, 1, "."), (1_300, 3, "."), (1_300, 3, "-")])
def test_long_maps_keep_the_largest_of_a_block(n, step, strand):
    result = dependent(n, strand=strand)
    figure = plot.dependency(result)
    [cells] = maps(figure)
    turned, shown = result.values[::-1, ::-1] if strand == "-" else result.values, np.array(cells.z)
    for row, column in np.random.default_rng(0).integers(0, len(shown), (200, 2)) * step:
        part = turned[row : row + step, column : column + step]
        by_hand = np.nan if np.isnan(part).all() else np.nanmax(part)
        assert shown[row // step, column // step] == pytest.approx(by_hand, nan_ok=True)
    assert (cells.x0 - cells.dx / 2, cells.dx, figure.layout.xaxis.ticktext) == (START + 0.5, step, None)
    assert (f"largest of {step} by {step} bases" in cells.hovertemplate) == (step > 1)


def test_a_null_stands_beside_on_the_same_colours_and_zooms_with_it():
    result, null = dependent(), dependent(seed=1)
    null.values *= 3
    figure = plot.dependency(result, null=null, null_label="untrained")
    first, second = maps(figure)
    np.testing.assert_allclose(second.z, null.values, rtol=1e-6)
    both = np.concatenate([part.values[~part.same_token] for part in (result, null)])
    assert first.zmax == second.zmax == both.max() and (first.showscale, second.showscale) == (True, False)
    assert (figure.layout.xaxis2.matches, figure.layout.yaxis2.matches) == ("x", "y")
    assert figure.layout.xaxis.domain[1] < figure.layout.xaxis2.domain[0]
    heads = [note.text for note in figure.layout.annotations[:2]]
    assert heads == ["<b>toy</b>", "<b>Control: untrained</b>"]
    assert "".join(figure.layout.xaxis2.ticktext) == null.sequence
    row, column = np.unravel_index(np.nanargmax(null.values), (24, 24))
    first, second = (f"{null.sequence[i]} at {START + i + 1:,}" for i in (column, row))
    largest = number(np.nanmax(null.values))
    assert f"In the control (untrained): {first} on {second} ({largest}), " in plot.alt(figure)
    assert set(plot.table(figure)["trace"]) == {"toy", "Control: untrained"}
    for n, alone, beside in ((32, True, True), (48, True, False), (65, False, False)):
        assert (plot.dependency(dependent(n)).layout.xaxis.ticktext is not None) == alone
        assert (plot.dependency(dependent(n), null=dependent(n)).layout.yaxis.ticktext is not None) == beside


def test_colours_are_those_of_the_theme_string_by_string(dark):
    """A live widget replaces light colours by dark ones, so no other may stand in a figure."""
    ours, theirs = saturated(), dependent()

    def made() -> str:
        both = plot.saturation(ours, control=saturated(seed=1)), plot.dependency(theirs, null=dependent(seed=1))
        return " ".join(figure.to_json() for figure in both)

    text = made()
    dark()
    for old, new in darkened().items():
        text = text.replace(old, new)
    assert text == made()
