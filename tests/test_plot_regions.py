"""Regions: where boxes lie, which way they point, what is drawn when there are many, cursor and words."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from ntviz import plot
from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.packing import lines_needed, packed

TABLE = pd.DataFrame(
    {
        "chrom": ["20", "chr20", "chr20", "chr21", "chr20"],
        "start": [110, 150, 90, 120, 190],
        "end": [130, 170, 105, 140, 230],
        "name": ["first", "second", "reaches in", "elsewhere", "reaches out"],
        "strand": ["+", "-", ".", "+", "+"],
        "score": [2.0, 8.0, np.nan, 99.0, 4.0],
    }
)


def many(n: int, length: int, *, wide: int = 20, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    start = rng.integers(0, length, n)
    names = [f"region {i}" for i in range(n)]
    return pd.DataFrame(
        {"chrom": "chr20", "start": start, "end": start + rng.integers(1, wide, n), "name": names}
    )


HERE = Interval("chr20", 100, 200)


def locus(table=TABLE, *, interval=HERE, zoom=None, **options):
    track = plot.regions_track(table, **({"label": "Regions"} | options))
    return plot.locus(interval, [track], title="t", zoom=zoom)


def axes_of(figure, name: str = "Regions"):
    return next(ax for ax in figure.drawing.axes if ax.get_label() == name)


def boxes(figure, name: str = "Regions") -> list[np.ndarray]:
    """Outline [vertex, 2] of each box, without the vertex that closes it."""
    found = [part for part in axes_of(figure, name).collections if part.get_gid() == "regions"]
    return [path.vertices[:-1] for part in found for path in part.get_paths()]


def names(figure, name: str = "Regions") -> list[str]:
    return [text.get_text() for text in axes_of(figure, name).texts if text.get_gid() == "region name"]


def notes(figure) -> str:
    return " | ".join(text.get_text() for text in figure.drawing.texts if text.get_gid() == "track note")


# Packing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_packing_leaves_gaps_and_needs_as_many_lines_as_lie_over_one_place(seed):
    rng = np.random.default_rng(seed)
    left = rng.integers(0, 60, 30) / 2
    right, gap = left + rng.integers(0, 20, 30) / 2, 0.5
    lines = packed(left, right, gap=gap)
    for line in set(lines.tolist()):
        placed = sorted(zip(left[lines == line], right[lines == line], strict=True))
        assert all(b[0] - a[1] >= gap for a, b in itertools.pairwise(placed))
    over = max(((left <= place) & (right + gap > place)).sum() for place in left)
    assert lines.max() + 1 == lines_needed(left, right, gap=gap) == over


def test_nothing_needs_no_line():
    assert lines_needed(np.zeros(0), np.zeros(0), gap=1.0) == 0
    assert packed(np.zeros(0), np.zeros(0), gap=1.0).tolist() == []


# Boxes ----------------------------------------------------------------------------------------------------------------


def test_boxes_lie_on_their_bases_and_end_where_the_picture_does():
    spans = [(box[:, 0].min(), box[:, 0].max()) for box in boxes(locus())]
    np.testing.assert_allclose(spans, [(100, 105), (110, 130), (150, 170), (190, 200)])
    # They come from left to right, here from the highest coordinate.
    spans = [
        (box[:, 0].min(), box[:, 0].max()) for box in boxes(locus(interval=Interval("chr20", 100, 200, "-")))
    ]
    np.testing.assert_allclose(spans, [(190, 200), (150, 170), (110, 130), (100, 105)])


@pytest.mark.parametrize("strand", ["+", "-"])
def test_boxes_point_to_the_end_of_their_strand_if_it_is_in_view(strand):
    tips = {}
    for box in boxes(locus(interval=Interval("chr20", 100, 200, strand))):
        low, high = box[:, 0].min(), box[:, 0].max()
        at = {low: 0, high: 0}
        for x in box[:, 0]:
            at |= {x: at[x] + 1} if x in at else {}
        tips[round(low)] = "left" if at[low] == 1 else "right" if at[high] == 1 else ""
    # In genome coordinates, whatever the direction of the picture.
    assert tips == {100: "", 110: "right", 150: "left", 190: ""}


def test_a_region_thinner_than_a_pixel_is_seen_around_its_middle():
    table = pd.DataFrame({"chrom": ["chr20"], "start": [50_000], "end": [50_001]})
    figure = locus(table, interval=Interval("chr20", 0, 100_000))
    (box,) = boxes(figure)
    assert np.ptp(box[:, 0]) / 100_000 * axes_of(figure).get_position().width * 960 == pytest.approx(1.5)
    assert (box[:, 0].min() + box[:, 0].max()) / 2 == pytest.approx(50_000.5)


def test_shade_is_the_score_on_one_scale_for_the_table_and_white_without_one():
    faces = axes_of(locus()).collections[0].get_facecolor()
    expected = [to_rgba(palette.PAPER), *palette.sequential()(np.array([2.0, 8.0, 4.0]) / 99.0)]
    np.testing.assert_allclose(faces, expected)
    assert "the darker, the larger: score, 0 to 99" in notes(locus())
    signed = TABLE.assign(score=[2.0, -8.0, np.nan, 0.0, 4.0])
    figure = locus(signed, score_label="effect, nats")
    faces = axes_of(figure).collections[0].get_facecolor()
    np.testing.assert_allclose(faces[1:], palette.diverging()((np.array([2.0, -8.0, 4.0]) + 8) / 16))
    assert "blue below zero, orange above: effect, nats, −8 to 8" in notes(figure)
    plain = axes_of(locus(TABLE.drop(columns="score"))).collections[0].get_facecolor()
    np.testing.assert_allclose(plain, np.tile(to_rgba(palette.GENE), (4, 1)))


# Levels of detail -----------------------------------------------------------------------------------------------------


def test_names_then_boxes_then_numbers():
    close, far = locus(many(12, 500), interval=Interval("chr20", 0, 500)), Interval("chr20", 0, 5_000)
    assert sorted(names(close)) == sorted(f"region {i}" for i in range(12))
    assert "do not fit" not in notes(close)
    bare = locus(many(100, 5_000), interval=far)
    assert (len(boxes(bare)), names(bare)) == (100, [])
    assert "names do not fit: zoom in, or point at a box" in notes(bare)
    dense = locus(many(5_000, 5_000), interval=far)
    assert boxes(dense) == []
    assert "how many of 5,000 lie over each base: too many to draw" in notes(dense)
    assert axes_of(dense).get_ylabel() == "regions"


def test_names_and_boxes_of_a_line_never_touch_and_stay_on_the_page():
    figure = locus(many(24, 500), interval=Interval("chr20", 0, 500), most_lines=20)
    figure.drawing.canvas.draw()
    ax = axes_of(figure)
    page = figure.drawing.bbox
    texts = [text for text in ax.texts if text.get_gid() == "region name"]
    assert len(texts) == 24
    drawn = [text.get_window_extent() for text in texts]
    assert all(page.x0 < box.x0 and box.x1 < page.x1 for box in drawn)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(drawn, 2))
    shapes = boxes(figure)
    for a, b in itertools.combinations(shapes, 2):
        apart = a[:, 0].max() < b[:, 0].min() or b[:, 0].max() < a[:, 0].min()
        assert apart or a[:, 1].max() < b[:, 1].min() or b[:, 1].max() < a[:, 1].min()


@pytest.mark.parametrize("strand", [".", "-"])
def test_numbers_of_regions_equal_those_counted_base_by_base(strand):
    table = many(900, 600)
    figure = locus(table, interval=Interval("chr20", 50, 550, strand))
    counted = [((table["start"] <= base) & (table["end"] > base)).sum() for base in range(50, 550)]
    line = next(patch for patch in axes_of(figure).patches if patch.get_gid() == "signal").get_data()
    np.testing.assert_array_equal(line.values, counted[::-1] if strand == "-" else counted)
    low, high = axes_of(figure).get_ylim()
    assert (low, high) == pytest.approx((0, 1.06 * max(counted)))


def test_a_zoom_brings_names_back():
    figure = locus(
        many(300, 5_000), interval=Interval("chr20", 0, 5_000), zoom=Interval("chr20", 1_000, 1_100)
    )
    assert names(figure) == []
    table = many(300, 5_000)
    near = table[(table["start"] < 1_100) & (table["end"] > 1_000)]
    assert sorted(names(figure, "zoom: Regions")) == sorted(near["name"])


@pytest.mark.parametrize("n", [1, 30, 3_000, 200_000])
@pytest.mark.parametrize("length", [60, 600, 100_000])
def test_every_number_of_regions_draws(n, length):
    assert locus(many(n, length), interval=Interval("chr20", 0, length)).png()


# Cursor and words -----------------------------------------------------------------------------------------------------


def test_cursor_and_sentence_name_regions_places_strands_and_scores():
    figure = locus()
    assert figure.readout.lanes[0].runs == [
        (0, 5, "reaches in"),
        (10, 30, "first (+), score 2"),
        (50, 70, "second (−), score 8"),
        (90, 100, "reaches out (+), score 4"),
    ]
    assert (
        "Regions: 4 regions: reaches in at 91–105, first (+) at 111–130, second (−) at 151–170 and "
        "reaches out (+) at 191–230; largest score 8 (second (−) at 151–170)." in figure.alt
    )


def test_of_very_many_the_cursor_reads_their_number():
    figure = locus(many(5_000, 600), interval=Interval("chr20", 0, 600))
    lane = figure.readout.lanes[0]
    assert (lane.unit, len(lane.values), list(lane.runs)) == ("regions", 600, [])
    assert " and 4," in figure.alt


def test_regions_without_names_are_told_by_their_place():
    for table in (
        TABLE.drop(columns=["name", "strand", "score"]),
        TABLE.assign(name=".", score="."),
        TABLE.assign(name=np.nan),
    ):
        figure = locus(table)
        assert names(figure) == []
        assert figure.readout.lanes[0].runs[1][2].startswith("111–130")
        assert "names do not fit" not in notes(figure)
        assert "Regions: 4 regions" in figure.alt


def test_none_here_says_so():
    for table in (TABLE.iloc[:0], TABLE[TABLE["chrom"] == "chr21"]):
        figure = locus(table)
        assert "Regions: none here." in figure.alt
        assert figure.readout.lanes[0].runs == []
        assert "none here" in [text.get_text() for text in axes_of(figure).texts]
        assert figure.png()


def test_names_are_shown_as_text_on_one_line():
    hostile = "a</script><img src=x>\n\x00b$x^2$"
    figure = locus(TABLE.assign(name=hostile), label=hostile, score_label=hostile)
    assert "<img src=x>" not in figure.html()
    assert "\n" not in figure.alt
    assert figure.png()


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (TABLE.drop(columns="start"), {}, "must have the columns chrom, start, end; it lacks start"),
        (
            TABLE.assign(end=TABLE["start"]),
            {},
            r"start before its end \(0-based half-open\); received 20 110 110",
        ),
        (
            TABLE.assign(start=TABLE["start"] / 2),
            {},
            "start of an element must be an integer, 0-based; received float64",
        ),
        (TABLE.assign(strand="plus"), {}, r"must have the strand \+, - or \."),
        (TABLE.assign(score=np.inf), {}, "scores of 'Regions' must be finite.*received inf in row 0"),
        (
            TABLE.assign(score="high"),
            {},
            "scores of 'Regions' must be numbers.*received could not convert string",
        ),
        (TABLE, {"most_lines": 0}, "at least one line; received most_lines=0"),
    ],
)
def test_tables_that_are_none_are_refused(table, options, message):
    with pytest.raises(ValueError, match=message):
        locus(table, **options)
