"""Saturation and dependency maps, read back from their artists and from their HTML."""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from html.parser import HTMLParser
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from PIL import Image

from ntviz import plot
from ntviz.annotation import Annotation
from ntviz.genome import Interval, Variant
from ntviz.plot import palette
from ntviz.plot.figure import Figure
from ntviz.plot.indexed import palette_of
from ntviz.plot.logo import information
from ntviz.plot.mapping import weight_colours
from ntviz.plot.substitutions import farthest, sign_colours

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
COLUMNS = ["chrom", "start", "end", "strand", "element", "gene", "gene_id", "transcript", "name", "origin"]
START = 43_029_999
MAP = "LLR of each substitution"
MEAN = "Mean over the substitutions"
COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def genes(name: str = "HNF4A", start: int = START) -> Annotation:
    rows = [
        ("20", start + 6, start + 12, "+", "exon", name, name, "t1", "", ""),
        ("20", start + 20, start + 30, "+", "exon", name, name, "t1", "", ""),
    ]
    return Annotation(pd.DataFrame(rows, columns=COLUMNS))


def saturated(n: int = 60, *, seed: int = 0, strand: str = ".", unknown: tuple = (), **changes):
    """A result whose arrays agree with each other; `unknown` bases are N."""
    rng = np.random.default_rng(seed)
    letters = rng.choice(list("ACGT"), n)
    letters[list(unknown)] = "N"
    codes = np.array(["ACGT".find(letter) for letter in letters])
    known = codes >= 0
    scores = rng.normal(0, 1, (n, 4))
    scores[np.flatnonzero(known), codes[known]] += 2 * rng.random(known.sum())
    p = np.exp(scores)
    p /= p.sum(axis=1, keepdims=True)
    llr = np.log(p) - np.log(p[np.arange(n), codes])[:, None]
    swing = rng.normal(0, 0.2, (n, 4)) * (np.arange(4) != codes[:, None])
    p[~known] = llr[~known] = np.nan
    given = {
        "interval": Interval("20", START, START + n, strand),
        "sequence": "".join(letters),
        "llr": llr,
        "llr_fwd": llr + swing,
        "llr_rev": llr - swing,
        "base_llr": llr / 2,
        "probabilities": p,
        "model": "toy",
    }
    return SimpleNamespace(**(given | changes))


def dependent(n: int = 24, *, seed: int = 0, strand: str = ".", k: int = 6, **changes):
    rng = np.random.default_rng(seed)
    token = np.arange(n) // k
    same = token[:, None] == token
    given = {
        "interval": Interval("20", START, START + n, strand),
        "sequence": "".join(rng.choice(list("ACGT"), n)),
        "values": np.where(same, np.nan, rng.exponential(1, (n, n))),
        "same_token": same,
        "model": "toy",
    }
    return SimpleNamespace(**(given | changes))


def axes_of(figure: Figure) -> dict[str, Axes]:
    figure.png()
    return {ax.get_label(): ax for ax in figure.drawing.axes}


def artists(ax, gid: str) -> list:
    return [artist for artist in ax.findobj() if artist.get_gid() == gid]


def texts(ax, gid: str) -> list[str]:
    return [text.get_text() for text in artists(ax, gid)]


def mesh(ax: Axes, gid: str = "substitutions"):
    [found] = artists(ax, gid)
    return found


def shown(ax: Axes, gid: str = "substitutions") -> np.ndarray:
    return mesh(ax, gid).get_array().filled(np.nan)


class Elements(HTMLParser):
    """Start tags with their attributes, and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag == "script"

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.scripts.append(data)


def data_of(figure: Figure) -> dict:
    return json.loads(Elements(figure.html()).scripts[0])


def unpacked(lane: dict) -> np.ndarray:
    """Values of a lane as the script computes them."""
    if "values" in lane:
        return np.frombuffer(base64.b64decode(lane["values"]), "<f4").astype(float)
    raw = np.frombuffer(zlib.decompress(base64.b64decode(lane["deflated"])), np.uint8).astype(int)
    if lane["levels"] > 255:
        half = len(raw) // 2
        raw = raw[half:] * 256 + raw[:half]
    values = lane["top"] * (raw / lane["levels"]) ** lane["power"]
    return np.where(raw > lane["levels"], np.nan, values)


def lanes_of(figure: Figure) -> dict[str, dict]:
    return {lane["label"]: lane for lane in data_of(figure)["lanes"]}


def codes_of(result) -> np.ndarray:
    return np.array(["ACGT".find(base) for base in result.sequence])


# Saturation: the map --------------------------------------------------------------------------------------------------


def test_rows_are_the_alternative_bases_and_cells_their_ratios():
    result = saturated(unknown=(7, 8))
    ax = axes_of(plot.saturation(result))[MAP]
    np.testing.assert_allclose(shown(ax), result.llr.T)
    corners = mesh(ax).get_coordinates()
    np.testing.assert_array_equal(corners[0, :, 0], np.arange(START, START + 61))
    # A at the top.
    assert ax.get_ylim() == (4, 0)
    assert [label.get_text() for label in ax.get_yticklabels()] == list("ACGT")
    assert [label.get_position()[1] for label in ax.get_yticklabels()] == [0.5, 1.5, 2.5, 3.5]
    assert [to_hex(label.get_color()).upper() for label in ax.get_yticklabels()] == [
        palette.BASE_COLOURS[base] for base in "ACGT"
    ]
    assert ax.get_ylabel() == "alternative"


def test_zero_is_white_below_is_blue_and_above_is_orange():
    figure = plot.saturation(saturated())
    map_ = mesh(axes_of(figure)[MAP])
    assert map_.norm.vcenter == 0
    assert map_.norm.vmin == -map_.norm.vmax
    low, zero, high = (map_.cmap(map_.norm(value))[:3] for value in (-9.0, 0.0, 9.0))
    assert zero == (1.0, 1.0, 1.0)
    assert low[2] > low[0]
    assert high[0] > high[2]


def test_pixels_have_exactly_the_colours_of_their_values():
    result = saturated(30)
    figure = plot.saturation(result, top=3.0)
    image = Image.open(BytesIO(figure.png())).convert("RGB")
    ax = axes_of(figure)[MAP]
    map_, box, colours = mesh(ax), ax.get_position(), palette_of(sign_colours())
    for base, column in itertools.product(range(30), range(4)):
        # Beside the dot of the reference base, which stands in the middle of its cell.
        x = box.x0 + (base + 0.2) / 30 * box.width
        y = 1 - box.y1 + (column + 0.5) / 4 * box.height
        pixel = image.getpixel((int(x * image.width), int(y * image.height)))
        step = min(126, int(float(map_.norm(np.clip(result.llr[base, column], -3, 3))) * 127))
        assert pixel == tuple(colours[step].tolist())


def test_the_base_that_is_there_has_a_dot_and_a_dash_where_bases_are_narrow():
    result = saturated(unknown=(7,))
    [dots] = artists(axes_of(plot.saturation(result))[MAP], "reference")
    known = np.flatnonzero(codes_of(result) >= 0)
    np.testing.assert_allclose(dots.get_xdata(), START + known + 0.5)
    np.testing.assert_allclose(dots.get_ydata(), codes_of(result)[known] + 0.5)
    assert dots.get_marker() == "o"
    longer = saturated(500)
    [dashes] = artists(axes_of(plot.saturation(longer))[MAP], "reference")
    pieces = np.array(dashes.get_segments())
    np.testing.assert_allclose(pieces[:, :, 0], START + np.arange(500)[:, None] + [0, 1])
    np.testing.assert_allclose(pieces[:, 0, 1], codes_of(longer) + 0.5)
    assert artists(axes_of(plot.saturation(saturated(2_000)))[MAP], "reference") == []


def test_what_has_no_score_is_hatched_and_the_key_says_so():
    axes = axes_of(plot.saturation(saturated(unknown=(7, 8, 9))))
    assert np.isnan(shown(axes[MAP])[:, 7:10]).all()
    assert axes[MAP].patch.get_hatch()
    assert to_hex(axes[MAP].get_facecolor()).upper() == palette.FAINT
    said = texts(axes[f"{MAP}: key"], "key")
    assert said[0].startswith("nats; below 0")
    assert said[1:] == ["reference base", "no score"]
    complete = axes_of(plot.saturation(saturated()))
    assert texts(complete[f"{MAP}: key"], "key")[1:] == ["reference base"]
    assert texts(axes_of(plot.saturation(saturated(2_000)))[f"{MAP}: key"], "key")[1:] == []


def test_a_part_keeps_the_value_farthest_from_zero():
    values = np.random.default_rng(3).normal(0, 1, (101, 4))
    values[5:20] = np.nan
    values[30, 1] = np.nan
    for bins in (1, 7, 33, 101):
        edges = np.linspace(0, 101, bins + 1).round().astype(int)
        by_hand = np.full((bins, 4), np.nan)
        for row, column in np.ndindex(by_hand.shape):
            part = values[edges[row] : edges[row + 1], column]
            part = part[np.isfinite(part)]
            if part.size:
                by_hand[row, column] = part[np.abs(part).argmax()]
        np.testing.assert_array_equal(farthest(values, bins), by_hand)


def test_a_wide_locus_is_binned_to_pixels_and_says_so():
    result = saturated(3_000, unknown=tuple(range(100, 140)))
    figure = plot.saturation(result)
    map_ = shown(axes_of(figure)[MAP])
    bins = map_.shape[1]
    assert 800 < bins < 960
    np.testing.assert_array_equal(map_.T, farthest(result.llr, bins))
    assert np.isnan(map_).any()
    [note] = [text for text in texts(figure.drawing, "track note") if "farthest" in text]
    assert note.startswith(f"farthest from zero of {3_000 / bins:.0f} bp; mean of both strands")


def test_strongest_colours_leave_outliers_out_and_say_how_many():
    result = saturated(200)
    sizes = np.abs(result.llr[result.llr != 0])
    figure = plot.saturation(result)
    top = mesh(axes_of(figure)[MAP]).norm.vmax
    assert top == np.sort(sizes)[int(np.ceil(0.99 * (len(sizes) - 1)))]
    beyond = int((sizes > top).sum())
    assert 0 < beyond <= 6
    assert any(
        text.endswith(f"colours end at ±{top:.3g}, {beyond} beyond")
        for text in texts(figure.drawing, "track note")
    )
    assert mesh(axes_of(plot.saturation(result, top=20.0))[MAP]).norm.vmax == 20.0
    assert not any(
        "beyond" in text for text in texts(plot.saturation(result, top=20.0).drawing, "track note")
    )


# Saturation: the other tracks -----------------------------------------------------------------------------------------


def test_tracks_stand_in_order_over_one_axis_that_counts_from_one():
    extra = plot.signal_track(np.arange(60.0), label="Conservation", unit="score")
    figure = plot.saturation(saturated(), annotation=genes(), tracks=[extra], assembly="GRCh37")
    assert texts(figure.drawing, "track label") == [
        "Genes",
        "Bases there",
        MAP,
        MEAN,
        "Bases the model expects",
        "Conservation",
    ]
    assert texts(figure.drawing, "region") == ["20:43,030,000-43,030,059 · 60 bp · GRCh37"]
    assert texts(figure.drawing, "title") == ["Every single-base substitution, scored by toy"]
    ax = axes_of(figure)["Conservation"]
    assert ax.get_xlabel() == "Position on chromosome 20, bp (GRCh37)"
    ticks = zip(ax.get_xticklabels(), ax.get_xticks(), strict=True)
    assert all(int(label.get_text().replace(",", "")) - 0.5 == at for label, at in ticks)
    assert "HNF4A" in figure.alt


def test_the_summary_is_the_mean_over_the_substitutions_alone():
    result = saturated(unknown=(7,))
    result.llr[20, (codes_of(result)[20] + 1) % 4] = np.nan
    lane = lanes_of(plot.saturation(result))[MEAN]
    by_hand = [
        np.nan if code < 0 else np.nanmean(np.delete(row, code))
        for row, code in zip(result.llr, codes_of(result), strict=True)
    ]
    np.testing.assert_allclose(unpacked(lane).reshape(4, -1), np.tile(by_hand, (4, 1)), rtol=1e-6)
    assert axes_of(plot.saturation(result))[MEAN].get_ylabel() == "nats"


def test_expected_bases_are_a_logo_in_bits():
    result = saturated()
    axes = axes_of(plot.saturation(result))
    ax = axes["Bases the model expects"]
    assert ax.get_ylabel() == "bits"
    assert ax.get_ylim()[1] <= 2
    [patch] = artists(ax, "logo G")
    top = patch.get_path().get_extents().y1
    assert 0 < top <= information(result.probabilities).max() + 1e-9


def test_bases_are_letters_then_blocks_then_the_share_of_g_and_c():
    def drawn(n: int):
        figure = plot.saturation(saturated(n))
        return figure, axes_of(figure)["Bases there"]

    letters, blocks = drawn(100)[1], drawn(400)[1]
    for ax, n, corners in ((letters, 100, len(plot.letters.outline("A")[0])), (blocks, 400, 5)):
        [patch] = artists(ax, "base A")
        assert len(patch.get_path().vertices) == corners * saturated(n).sequence.count("A")
    figure, strip = drawn(4_000)
    [grey] = artists(strip, "gc")
    bins = grey.get_array().size
    strong = np.array([base in "GC" for base in saturated(4_000).sequence], dtype=float)
    edges = np.linspace(0, 4_000, bins + 1).round().astype(int)
    by_hand = [strong[a:b].mean() for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(grey.get_array().ravel(), by_hand)
    assert any(text.startswith("share of G and C in") for text in texts(figure.drawing, "track note"))


def test_an_enlarged_part_repeats_the_map_at_its_own_scale():
    result = saturated(3_000)
    part = Interval("20", START + 1_000, START + 1_080)
    figure = plot.saturation(result, zoom=part)
    axes = axes_of(figure)
    np.testing.assert_allclose(shown(axes[f"zoom: {MAP}"]), result.llr[1_000:1_080].T)
    assert axes[f"zoom: {MAP}"].get_xlim() == (part.start, part.end)
    assert artists(axes[f"zoom: {MAP}"], "reference")
    assert f"zoom: {MAP}: key" not in axes
    assert mesh(axes[f"zoom: {MAP}"]).norm.vmax == mesh(axes[MAP]).norm.vmax
    whole, near = data_of(figure)["panes"]
    assert whole["c"] == [START, START + 3_000]
    assert near["c"] == [part.start, part.end]
    assert near["box"][2] > whole["box"][3]


# Saturation: variants and strands -------------------------------------------------------------------------------------


def other(base: str) -> str:
    return "C" if base == "A" else "A"


@pytest.mark.parametrize("strand", [".", "+", "-"])
def test_a_marked_substitution_has_a_frame_a_band_and_its_rank(strand):
    result = saturated(strand=strand)
    at = 12  # in the reading direction
    there, change = result.sequence[at], other(result.sequence[at])
    position = START + 60 - at if strand == "-" else START + at + 1
    ref, alt = (
        (there.translate(COMPLEMENT), change.translate(COMPLEMENT)) if strand == "-" else (there, change)
    )
    figure = plot.saturation(result, variant=f"chr20:{position}:{ref}>{alt}")
    axes = axes_of(figure)
    boxes = artists(axes[MAP], "marked")
    assert {(box.get_x(), box.get_width()) for box in boxes} == {(position - 1, 1)}
    assert {box.get_y() for box in boxes} == {"ACGT".index(change)}
    [band] = artists(axes["background"], "mark")
    assert (band.get_x(), band.get_width()) == (position - 1, 1)
    own = result.llr[at, "ACGT".index(change)]
    flat = result.llr[np.arange(4) != codes_of(result)[:, None]]
    share = f"lower than {(flat > own).mean():.0%} of all"
    assert f"{ref}>{alt} at {position:,}: {plot.words.number(own)} nats, {share}" in figure.alt
    assert [text for *_, text in data_of(figure)["columns"]["runs"]] == [
        f"{ref}>{alt} at {position:,}, marked"
    ]
    assert data_of(figure)["columns"]["runs"][0][:2] == [at, at + 1]
    np.testing.assert_allclose(shown(axes[MAP]), result.llr.T)


def test_a_marked_deletion_has_a_band_and_no_frame():
    result = saturated()
    variant = Variant("20", START + 11, result.sequence[10:13], result.sequence[10])
    figure = plot.saturation(result, variant=variant)
    assert artists(axes_of(figure)[MAP], "marked") == []
    [band] = artists(axes_of(figure)["background"], "mark")
    assert (band.get_x(), band.get_width()) == (START + 10, 3)
    assert "of all" not in figure.alt


def test_the_mark_of_a_thin_base_stays_visible():
    result = saturated(3_000)
    variant = f"20:{START + 1_501}:{result.sequence[1_500]}>{other(result.sequence[1_500])}"
    ax = axes_of(plot.saturation(result, variant=variant))[MAP]
    box = artists(ax, "marked")[0]
    assert box.get_width() * ax.get_position().width * 960 / 3_000 == pytest.approx(4)
    assert box.get_x() + box.get_width() / 2 == pytest.approx(START + 1_500.5)


def test_on_the_minus_strand_positions_fall():
    result = saturated(strand="-")
    figure = plot.saturation(result)
    ax = axes_of(figure)[MAP]
    assert ax.get_xlim() == (START + 60, START)
    base, column = np.unravel_index(np.nanargmin(result.llr), (60, 4))
    change = f"{result.sequence[base]}>{'ACGT'[column]}"
    assert f"({change} at {START + 60 - base:,})" in figure.alt
    assert np.cumsum(data_of(figure)["columns"]["steps"])[[0, -1]].tolist() == [START + 59, START]


# Saturation: words and the cursor -------------------------------------------------------------------------------------


def test_the_alt_sentence_is_built_from_the_data():
    result = saturated(unknown=(7,))
    figure = plot.saturation(result)
    low, high = np.nanargmin(result.llr), np.nanargmax(result.llr)

    def told(index) -> str:
        base, column = divmod(int(index), 4)
        value = plot.words.number(result.llr[base, column])
        return f"{value} nats ({result.sequence[base]}>{'ACGT'[column]} at {START + base + 1:,})"

    flat = result.llr[(np.arange(4) != codes_of(result)[:, None]) & np.isfinite(result.llr)]
    assert f"{MAP}: 177 substitutions, lowest {told(low)}, highest {told(high)}, " in figure.alt
    assert f"{(flat < 0).mean():.0%} below 0, 4 without a score." in figure.alt


def test_the_cursor_reads_every_substitution_with_both_strands_and_the_probability():
    result = saturated(unknown=(7,))
    extra = plot.signal_track(np.linspace(-1, 1, 60), label="Conservation", unit="score")
    figure = plot.saturation(result, annotation=genes(), tracks=[extra])
    data, lanes = data_of(figure), lanes_of(figure)
    assert data["rows"] == {"name": "alternative", "n": 4, "names": list("ACGT")}
    assert np.cumsum(data["columns"]["steps"]).tolist() == list(range(START, START + 60))
    there = np.arange(4) == codes_of(result)[:, None]
    for label, values in (
        ("LLR", result.llr),
        ("forward strand", result.llr_fwd),
        ("reverse strand", result.llr_rev),
    ):
        expected = np.where(there, np.nan, values)
        np.testing.assert_allclose(unpacked(lanes[label]).reshape(4, 60), expected.T, rtol=1e-6)
        assert lanes[label]["unit"] == "nats"
    np.testing.assert_allclose(
        unpacked(lanes["expected probability"]).reshape(4, 60), result.probabilities.T, rtol=2e-3, atol=1e-7
    )
    changes = np.reshape(lanes[""]["texts"], (4, 60))
    for column, base in itertools.product(range(4), range(60)):
        letter = result.sequence[base]
        same = letter in ("N", "ACGT"[column])
        assert changes[column, base] == (
            f"{letter}, the base there" if same else f"{letter}>{'ACGT'[column]}"
        )
    for row in unpacked(lanes["Conservation"]).reshape(4, 60):
        np.testing.assert_allclose(row, np.linspace(-1, 1, 60), rtol=1e-6)
    assert any("HNF4A" in text and first == 6 for first, _, text in data["columns"]["runs"])
    # The cursor begins at the strongest effect, and its pane is the map.
    base, column = divmod(int(np.abs(np.where(there, 0, np.nan_to_num(result.llr))).argmax()), 4)
    assert data["start"] == [0, column, base]
    ax = axes_of(figure)[MAP]
    [pane], box = data["panes"], ax.get_position()
    np.testing.assert_allclose(pane["box"], [box.x0, box.x1, 1 - box.y1, 1 - box.y0], atol=1e-5)
    assert (pane["c"], pane["r"]) == ([START, START + 60], [0, 4])


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("llr_fwd", "LLR, forward strand"),
        ("llr_rev", "LLR, reverse strand"),
        ("base_llr", "LLR of the base alone"),
    ],
)
def test_one_of_the_other_arrays_can_be_drawn(kind, label):
    result = saturated()
    figure = plot.saturation(result, kind=kind)
    ax = axes_of(figure)[f"{label} of each substitution"]
    np.testing.assert_allclose(shown(ax), getattr(result, kind).T)
    assert ("both strands" in figure.caption) == (kind == "base_llr")
    assert ("keeps the others as they are" in figure.caption) == (kind != "base_llr")
    assert data_of(figure)["lanes"][0]["label"] == label


def test_a_reading_of_one_strand_says_nothing_of_two():
    result = saturated(llr_rev=np.full((60, 4), np.nan))
    figure = plot.saturation(result)
    assert "both strands" not in figure.caption
    assert not any("strand" in label for label in lanes_of(figure))
    assert not any("strands" in text for text in texts(figure.drawing, "track note"))
    bare = saturated()
    for name in ("llr_fwd", "llr_rev", "base_llr", "model"):
        delattr(bare, name)
    assert texts(plot.saturation(bare).drawing, "title") == ["Every single-base substitution"]


@pytest.mark.parametrize("sequence", ["ACGTA", "NNNNN"])
def test_without_any_score_the_picture_says_so(sequence):
    empty = np.full((5, 4), np.nan)
    result = saturated(
        5, sequence=sequence, llr=empty, llr_fwd=empty, llr_rev=empty, base_llr=empty, probabilities=empty
    )
    figure = plot.saturation(result)
    assert f"{MAP}: no scores here." in figure.alt
    assert "Bases the model expects: no values here" in figure.alt
    assert np.isnan(shown(axes_of(figure)[MAP])).all()
    assert np.isnan(unpacked(lanes_of(figure)["LLR"])).all()


def test_equal_scores_of_zero_are_a_picture():
    figure = plot.saturation(saturated(llr=np.zeros((60, 4))))
    assert "lowest 0 nats" in figure.alt
    assert mesh(axes_of(figure)[MAP]).norm.vmax == 1.0


def test_six_kilobases_stay_below_two_megabytes():
    rng = np.random.default_rng(0)
    tracks = [plot.signal_track(rng.random(6_000), label=f"track {i}", unit="score") for i in range(3)]
    figure = plot.saturation(saturated(6_000), tracks=tracks, zoom=Interval("20", START, START + 150))
    assert len(figure.html()) < 2_000_000


def test_names_cannot_leave_their_place():
    result = saturated(model=HOSTILE)
    track = plot.signal_track(np.zeros(60), label=HOSTILE, unit=HOSTILE)
    figure = plot.saturation(result, tracks=[track], annotation=genes(HOSTILE), assembly=HOSTILE)
    elements = Elements(figure.html())
    assert [tag for tag, _ in elements.tags] == ["figure", "img", "figcaption", "script", "script"]
    assert not any("onerror" in attributes for _, attributes in elements.tags)
    assert json.loads(elements.scripts[0])["title"].startswith("Every single-base substitution")


# Saturation: what is refused ------------------------------------------------------------------------------------------


def infinite() -> np.ndarray:
    values = saturated().llr.copy()
    values[3, 2] = -np.inf
    return values


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        (
            {"llr": np.zeros((59, 4))},
            {},
            r"llr must have the shape \[base, 4\].*\[60, 4\].*received \[59, 4\]",
        ),
        ({"llr": np.zeros((60, 3))}, {}, r"received \[60, 3\]\. Pass one row for each base"),
        ({"llr_fwd": np.zeros(60)}, {}, r"llr_fwd must have the shape.*received \[60\]"),
        ({"probabilities": np.zeros((4, 60))}, {}, r"probabilities must have the shape.*received \[4, 60\]"),
        ({"probabilities": np.zeros((60, 4))}, {}, "must be a probability distribution"),
        ({"sequence": "ACGT"}, {}, "one letter for each of the 60 bases.*received 4. Pass the sequence"),
        ({"llr": infinite()}, {}, "llr must be finite.*received -inf at base 3, G .1 such.. Clip them"),
        (
            {"llr": saturated(seed=1).llr},
            {},
            "llr must be 0 at the base that is there; received .*same strand",
        ),
        ({}, {"kind": "entropy"}, "must be one of llr, llr_fwd, llr_rev, base_llr; received 'entropy'"),
        ({}, {"top": 0.0}, "strongest colours must be above 0; received top=0.0. Leave it out"),
        ({}, {"top": np.nan}, "strongest colours must be above 0; received top=nan"),
        ({}, {"variant": "20:5:A>C"}, "must lie in 20:43,030,000-43,030,059; received 20:5:A>C"),
        ({}, {"variant": f"19:{START + 1}:A>C"}, "must lie in 20:43,030,000-43,030,059; received 19:"),
        ({}, {"variant": "rs12"}, "must name contig, position, REF and ALT; received 'rs12'"),
        ({"llr_rev": None}, {"kind": "llr_rev"}, r"llr_rev must have the shape.*received \[0\]"),
        ({}, {"zoom": Interval("20", 0, 10)}, "'zoom' must lie in"),
        ({}, {"width": 99.0}, "must be 4 to 30 inches wide; received 99"),
    ],
)
def test_unusable_saturations_are_refused(changes, options, message):
    with pytest.raises(ValueError, match=message):
        plot.saturation(saturated(**changes), **options)


def test_a_variant_with_other_reference_bases_is_refused():
    result = saturated()
    wrong = other(result.sequence[4])
    with pytest.raises(
        ValueError, match=rf"reference bases of the window; received .*, where {result.sequence[4]} is"
    ):
        plot.saturation(result, variant=f"20:{START + 5}:{wrong}>{'G' if wrong != 'G' else 'T'}")


def test_a_longer_locus_than_can_be_drawn_is_refused():
    with pytest.raises(ValueError, match=r"at most 20,000 bp to be drawn; received 20,001 bp .*Draw a part"):
        plot.saturation(saturated(interval=Interval("20", 0, 20_001)))


def test_something_else_is_no_saturation():
    with pytest.raises(
        TypeError, match="must have interval, sequence, llr.*received SimpleNamespace without llr"
    ):
        plot.saturation(SimpleNamespace(interval=Interval("1", 0, 5), sequence="ACGTA", probabilities=0))


# Dependency -----------------------------------------------------------------------------------------------------------


def test_rows_are_substituted_and_columns_are_read():
    result = dependent()
    figure = plot.dependency(result, assembly="GRCh37")
    ax = axes_of(figure)["map"]
    np.testing.assert_allclose(shown(ax, "cells"), result.values)
    corners = mesh(ax, "cells").get_coordinates()
    np.testing.assert_array_equal(corners[0, :, 0], np.arange(START, START + 25))
    np.testing.assert_array_equal(corners[:, 0, 1], np.arange(START, START + 25))
    # The first base is at the left and at the top.
    assert (ax.get_xlim(), ax.get_ylim()) == ((START, START + 24), (START + 24, START))
    assert ax.get_xlabel() == "Base read: position on chromosome 20, bp (GRCh37)"
    assert ax.get_ylabel() == "Base substituted: position on chromosome 20, bp (GRCh37)"
    for axis in (ax.xaxis, ax.yaxis):
        ticks = zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
        assert all(int(label.get_text().replace(",", "")) - 0.5 == at for label, at in ticks)
    assert texts(figure.drawing, "region") == ["20:43,030,000-43,030,023 · 24 bp · GRCh37"]
    assert axes_of(figure)["colour bar"].get_ylabel().replace("\n", " ") == "log2 odds ratio (linear scale)"
    bottom, right = ax.get_position().height, ax.get_position().width
    assert bottom * figure.drawing.get_figheight() == pytest.approx(right * figure.drawing.get_figwidth())


def test_pairs_in_one_token_are_neutral_hatched_and_explained():
    values = np.random.default_rng(0).random((24, 24))
    result = dependent(values=values)
    figure = plot.dependency(result)
    ax = axes_of(figure)["map"]
    np.testing.assert_allclose(shown(ax, "cells"), np.where(result.same_token, np.nan, values))
    assert ax.patch.get_hatch()
    assert to_hex(ax.get_facecolor()).upper() == palette.FAINT
    assert " ".join(texts(figure.drawing, "key")) == "both bases in one token, which the model reads at once"
    assert "Hatched: both bases in one token, which the model reads at once." in figure.caption
    assert "Within one token, where nothing is told: 144 pairs." in figure.alt
    image = Image.open(BytesIO(figure.png())).convert("RGB")
    box = ax.get_position()
    where = (
        int((box.x0 + box.width / 8) * image.width),
        int((1 - box.y1 + box.height / 8) * image.height),
    )
    patch = image.crop((where[0] - 20, where[1] - 20, where[0] + 20, where[1] + 20))
    colours = {to_hex(np.divide(colour, 255)).upper() for _, colour in patch.getcolors()}
    assert palette.FAINT in colours
    assert not colours & {to_hex(colour / 255).upper() for colour in palette_of(weight_colours())}
    alone = plot.dependency(dependent(k=1, same_token=np.zeros((24, 24), bool), values=values))
    assert texts(alone.drawing, "key") == []
    assert "Hatched" not in alone.caption


def test_missing_values_elsewhere_are_told_apart():
    result = dependent()
    result.values[:, 20] = np.nan
    figure = plot.dependency(result)
    assert "Without a value: 18 pairs." in figure.alt
    assert " ".join(texts(figure.drawing, "key")).endswith("reads at once or no value")
    assert "which the model reads at once or no value." in figure.caption


@pytest.mark.parametrize("strand", [".", "-"])
def test_where_bases_are_thinner_than_pixels_the_largest_value_is_kept(strand):
    result = dependent(1_000, strand=strand)
    figure = plot.dependency(result)
    ax = axes_of(figure)["map"]
    cells = shown(ax, "cells")
    # Both sides are cut alike, in the order of the picture.
    edges = np.abs(mesh(ax, "cells").get_coordinates()[0, :, 0] - ax.get_xlim()[0])
    assert len(cells) < 1_000
    first, last = np.floor(edges[:-1] + 1e-6).astype(int), np.ceil(edges[1:] - 1e-6).astype(int)
    for row, column in np.random.default_rng(0).integers(0, len(cells), (300, 2)):
        part = result.values[first[row] : last[row], first[column] : last[column]]
        by_hand = np.nan if np.isnan(part).all() else np.nanmax(part)
        assert np.array_equal(cells[row, column], by_hand, equal_nan=True)
    assert "each pixel shows the largest value beneath it." in figure.caption


def test_letters_stand_along_both_sides_where_they_fit():
    result = dependent(40)
    axes = axes_of(plot.dependency(result))
    assert texts(axes["map: columns' tracks"], "base") == list(result.sequence)
    assert texts(axes["map: rows' tracks"], "base") == list(result.sequence)
    longer = axes_of(plot.dependency(dependent(400)))
    assert "map: columns' tracks" not in longer


def test_on_the_minus_strand_both_sides_read_in_its_direction():
    result = dependent(strand="-")
    figure = plot.dependency(result)
    ax = axes_of(figure)["map"]
    assert (ax.get_xlim(), ax.get_ylim()) == ((START + 24, START), (START, START + 24))
    np.testing.assert_allclose(shown(ax, "cells"), result.values)
    row, column = np.unravel_index(np.nanargmax(result.values), (24, 24))
    told = [f"{result.sequence[i]} at {START + 24 - i:,}" for i in (column, row)]
    assert f"Strongest, as log2 odds ratio: {told[0]} on {told[1]} (" in figure.alt
    columns = data_of(figure)["columns"]
    assert (columns["bases"], columns["reverse"]) == (result.sequence, True)
    assert np.cumsum(columns["steps"])[0] == START + 23


def test_a_null_stands_beside_on_the_same_colours():
    result, null = dependent(), dependent(seed=1)
    null.values *= 3
    figure = plot.dependency(result, null=null, null_label="random twin", annotation=genes())
    axes = axes_of(figure)
    np.testing.assert_allclose(shown(axes["map: control"], "cells"), null.values)
    norms = [mesh(axes[name], "cells").norm for name in ("map", "map: control")]
    both = np.concatenate([part.values[~part.same_token] for part in (result, null)])
    assert [norm.vmax for norm in norms] == [both.max()] * 2
    assert texts(figure.drawing, "panel label") == ["Dependency", "Control: random twin"]
    assert axes["map: control"].get_xlabel() == "Base read: position on chromosome 20, bp"
    assert axes["map: control"].get_ylabel() == ""
    # A control may be of other bases at the same places.
    assert texts(axes["map: control: columns' tracks"], "base") == list(null.sequence)
    row, column = np.unravel_index(np.nanargmax(null.values), (24, 24))
    told = [f"{null.sequence[i]} at {START + i + 1:,}" for i in (column, row)]
    highest = plot.words.number(np.nanmax(null.values))
    assert f"Control (random twin): strongest {told[0]} on {told[1]} ({highest})" in figure.alt
    lanes = lanes_of(figure)
    for label, part in (("log2 odds ratio", result), ("control (random twin)", null)):
        np.testing.assert_allclose(unpacked(lanes[label]).reshape(24, 24), part.values, rtol=2e-3, atol=1e-6)
    assert len(data_of(figure)["panes"]) == 2


def test_the_strongest_are_told_largest_first():
    values = np.full((12, 12), 0.5)
    values[1, 8], values[9, 2], values[0, 11] = 4.0, 3.0, 2.0
    figure = plot.dependency(dependent(12, values=values, sequence="ACGTACGTACGT"))
    expected = [(8, 1, "4"), (2, 9, "3"), (11, 0, "2")]
    told = [
        f"{'ACGT'[j % 4]} at {START + j + 1:,} on {'ACGT'[i % 4]} at {START + i + 1:,} ({v})"
        for j, i, v in expected
    ]
    assert f"Strongest, as log2 odds ratio: {told[0]}, {told[1]} and {told[2]}. Median 0.5." in figure.alt
    assert data_of(figure)["start"] == [0, 1, 8]
    assert data_of(figure)["rows"]["name"] == "substituted"
    assert data_of(figure)["columns"]["name"] == "read"


def test_a_given_top_and_scale_are_said():
    result = dependent()
    figure = plot.dependency(result, top=1.0, scale="sqrt")
    assert mesh(axes_of(figure)["map"], "cells").norm.vmax == 1.0
    highest = plot.words.number(np.nanmax(result.values))
    assert f"Values above 1 have the darkest colour; the largest is {highest}." in figure.caption
    assert "square-root scale" in figure.caption
    assert axes_of(figure)["colour bar"].get_yticklabels()[0].get_text() == "≥1"


def test_without_any_value_the_map_says_so():
    empty = np.full((6, 6), np.nan)
    result = dependent(6, values=empty)
    figure = plot.dependency(result, null=dependent(6, values=empty))
    assert "Dependencies between 6 bases. No values here. Control (random weights): no values." in figure.alt
    assert np.isnan(shown(axes_of(figure)["map"], "cells")).all()
    assert np.isnan(unpacked(lanes_of(figure)["log2 odds ratio"])).all()
    single = dependent(1, values=np.full((1, 1), np.nan), same_token=np.ones((1, 1), bool))
    assert "Dependencies between 1 base. No values here." in plot.dependency(single).alt


def test_a_large_map_stays_below_two_megabytes():
    # Most pairs do next to nothing, as in a real map; pure noise of all sizes would take a fifth more.
    values = np.abs(np.random.default_rng(0).normal(0, 0.12, (1_500, 1_500)))
    values[400:500, 900:1_000] += 4 * np.eye(100)
    assert len(plot.dependency(dependent(1_500, values=values)).html()) < 2_000_000


def test_names_of_a_map_cannot_leave_their_place():
    figure = plot.dependency(
        dependent(model=HOSTILE),
        null=dependent(seed=1),
        null_label=HOSTILE,
        annotation=genes(HOSTILE),
        assembly=HOSTILE,
    )
    elements = Elements(figure.html())
    assert [tag for tag, _ in elements.tags] == ["figure", "img", "figcaption", "script", "script"]
    assert not any("onerror" in attributes for _, attributes in elements.tags)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        (
            {"values": np.zeros((24, 23))},
            {},
            r"values must fit the 24 bases.*\[24, 24\].*received \[24, 23\]",
        ),
        (
            {"same_token": np.zeros(24, bool)},
            {},
            r"same_token must fit the 24 bases.*received \[24\] in the res",
        ),
        ({"sequence": "ACGT"}, {}, "sequence must fit the 24 bases .*received 4 in the result. Pass arrays"),
        (
            {"values": np.full((24, 24), -1.0)},
            {},
            "at least 0, with NaN.*received -1.0 at row 0, column 6 of the result .432 such.. Pass sizes",
        ),
        ({"values": np.full((24, 24), np.inf)}, {}, "must be finite and at least 0.*received inf at row 0"),
        (
            {},
            {"null": dependent(12)},
            "null must have as many bases as the result, 24; received 12 .*same int",
        ),
        ({}, {"null": dependent(values=np.zeros(3))}, r"received \[3\] in the null"),
        ({}, {"top": -1.0}, "darkest colour must be above 0; received top=-1.0. Leave it out"),
        ({}, {"scale": "cubic"}, "must have a scale of linear, sqrt, log .*received scale='cubic'"),
        ({}, {"width": 2.0}, "be 5 to 30 inches wide; received .*width=2.0"),
        ({"interval": Interval("20", 0, 1_501)}, {}, "at most 1,500 bp to be drawn; received 1,501 bp"),
    ],
)
def test_unusable_dependencies_are_refused(changes, options, message):
    with pytest.raises(ValueError, match=message):
        plot.dependency(dependent(**changes), **options)


def test_something_else_is_no_dependency_map():
    with pytest.raises(TypeError, match="must have interval, sequence, values, same_token; received as null"):
        plot.dependency(dependent(), null=SimpleNamespace(interval=1))
