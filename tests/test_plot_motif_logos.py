"""Logos of motifs in a grid: heights against logomaker and by hand, alignment with what stands beneath, words."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import logomaker
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing
from matplotlib.path import Path

from ntviz import data, motifs, plot
from ntviz.plot.letters import outline
from ntviz.plot.logo import information

SITE = np.eye(4)[[2, 0, 3, 3, 0, 1, 0]]  # GATTACA
SKEWED = np.array([0.4, 0.1, 0.1, 0.4])


def random_motif(n: int) -> np.ndarray:
    return np.random.default_rng(n).dirichlet([0.5] * 4, n)


@dataclass
class Known:
    """What a motif of another module looks like from here."""

    id: str
    name: str
    probabilities: np.ndarray


def letters(ax) -> dict[tuple[int, str], list[float]]:
    """[bottom, top] of each letter by its column and letter."""
    found = {}
    for patch in ax.patches:
        gid = patch.get_gid() or ""
        if gid.startswith("logo "):
            shape, codes = outline(gid[-1])
            for copy in patch.get_path().vertices.reshape(-1, len(shape), 2):
                box = Path(copy, codes).get_extents()
                found[int(np.floor((box.x0 + box.x1) / 2)), gid[-1]] = [box.y0, box.y1]
    return found


def axes_of(figure, name: str):
    return next(ax for ax in figure.drawing.axes if ax.get_label() == name)


def texts(figure, gid: str) -> list[str]:
    return [text.get_text() for text in figure.drawing.texts if text.get_gid() == gid]


# Heights --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bits", "probability", "weights"])
def test_letters_stand_where_logomaker_puts_them(kind):
    values = np.random.default_rng(8).normal(size=(9, 4)) if kind == "weights" else random_motif(9)
    found = letters(axes_of(plot.motif_logos([values], kind=kind, title="t"), "motif 1"))
    table = pd.DataFrame(values, columns=list("ACGT"))
    if kind == "bits":
        table = logomaker.transform_matrix(
            table, from_type="probability", to_type="information", pseudocount=0
        )
    theirs = logomaker.Logo(table, ax=Drawing().subplots(), vpad=0.0, show_spines=False)
    compared = 0
    for position, stack in enumerate(theirs.glyph_df.itertuples(index=False)):
        for letter, glyph in zip("ACGT", stack, strict=True):
            if glyph.ceiling - glyph.floor > 0.02:
                assert found[position, letter] == pytest.approx([glyph.floor, glyph.ceiling], abs=1e-6)
                compared += 1
    assert compared > 15


def test_information_is_over_the_background():
    motif = np.array([[0.4, 0.1, 0.1, 0.4], [0, 1.0, 0, 0], [1.0, 0, 0, 0]])
    figure = plot.motif_logos([motif], background=SKEWED, title="t")
    found = letters(axes_of(figure, "motif 1"))
    # By hand: nothing at the background's own shares, log2(1 / 0.1) and log2(1 / 0.4) bits at certain bases.
    assert found.keys() == {(1, "C"), (2, "A")}
    assert found[1, "C"] == pytest.approx([0, np.log2(10)])
    assert found[2, "A"] == pytest.approx([0, np.log2(2.5)])
    assert axes_of(figure, "motif 1").get_ylim() == pytest.approx((0, np.log2(10)))
    assert "over a background of 0.4, 0.1, 0.1, 0.4, at most 3.32 bits" in figure.caption
    # A background for each position is what logos of aligned sites have.
    np.testing.assert_allclose(
        information(motif, np.tile(SKEWED, (3, 1))), [0, np.log2(10), np.log2(2.5)], atol=1e-12
    )


def test_contributions_are_shared_as_probability_is_on_one_scale_for_all():
    found, contributions = (
        [SITE[:2], np.array([[0.75, 0.25, 0, 0]])],
        [np.array([1.0, -0.5]), np.array([0.2])],
    )
    figure = plot.motif_logos(found, contributions=contributions, unit="nats", title="t")
    first, second = (axes_of(figure, f"motif {i}") for i in (1, 2))
    assert letters(first)[0, "G"] == pytest.approx([0, 1])
    assert letters(first)[1, "A"] == pytest.approx([-0.5, 0])
    assert letters(second)[0, "A"] == pytest.approx([0.05, 0.2])
    assert letters(second)[0, "C"] == pytest.approx([0, 0.05])
    assert first.get_ylim() == second.get_ylim() == pytest.approx((-0.59, 1.09))
    assert first.get_ylabel() == "nats"
    assert "below zero upside down" in figure.caption


# What stands beneath --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("offset", [-3, 0, 2, 9])
def test_columns_of_the_motif_beneath_line_up(offset, strand):
    # A known motif of which the query is columns; on the - strand the file has it the other way round.
    columns = random_motif(7)
    filed = columns[::-1, ::-1] if strand == "-" else columns
    figure = plot.motif_logos(
        [SITE], beside=[plot.Beside(filed, offset=-offset, strand=strand, name="known")], title="t"
    )
    query = axes_of(figure, "motif 1")
    target = axes_of(figure, "known (−)" if strand == "-" else "known")
    bits = columns * information(columns)[:, None]
    found = letters(target)
    for position, base in itertools.product(range(7), range(4)):
        if bits[position, base] > 0.02:
            low, high = found[offset + position, "ACGT"[base]]
            assert high - low == pytest.approx(bits[position, base])
    # The same column, the same place on the page.
    assert query.get_xlim() == target.get_xlim() == (min(0, offset), max(7, offset + 7))
    assert query.get_position().x0 == target.get_position().x0
    assert query.get_position().x1 == target.get_position().x1
    assert query.get_position().y0 > target.get_position().y1
    shaded = [patch for patch in query.patches if patch.get_gid() == "shared columns"]
    assert [(p.get_x(), p.get_x() + p.get_width()) for p in shaded] == (
        [] if offset == 9 else [(max(0, offset), min(7, offset + 7))]
    )


def test_a_piece_of_a_motif_stands_over_the_columns_it_was_cut_from():
    known = random_motif(9)
    # The offset is where the piece begins in the known motif.
    figure = plot.motif_logos([known[2:7]], beside=[plot.Beside(known, offset=2, name="known")], title="t")
    above, below = (letters(axes_of(figure, name)) for name in ("motif 1", "known"))
    shared = [key for key in above if key in below]
    assert {column for column, _ in shared} == {0, 1, 2, 3, 4}
    assert min(column for column, _ in below) == -2
    for key in shared:
        assert above[key] == pytest.approx(below[key], abs=1e-9)


def test_a_collection_of_a_file_and_its_matches_draw_as_they_are():
    library = motifs.read(data.bundle("motifs"))
    chosen = [motif for motif, _ in zip(library, range(5), strict=False)]
    collection = motifs.Motifs(chosen, source="five of them")
    figure = plot.motif_logos(collection, beside=[plot.Beside(motif) for motif in chosen], title="t")
    assert texts(figure, "motif name")[::2] == [f"{motif.name} {motif.id}" for motif in chosen]
    bits = np.concatenate([motif.information for motif in chosen])
    np.testing.assert_allclose(figure.readout.lanes[0].values, bits, atol=1e-9)


def test_a_motif_beside_its_own_reverse_complement_is_itself():
    figure = plot.motif_logos([SITE], beside=[plot.Beside(SITE[::-1, ::-1], strand="-", name="x")], title="t")
    assert letters(axes_of(figure, "motif 1")) == letters(axes_of(figure, "x (−)"))


def test_no_match_is_said_in_picture_words_and_cursor():
    known = Known("MA1", "GAT1", SITE)
    figure = plot.motif_logos(
        [known, SITE],
        notes=["12 sites", ""],
        beside=[plot.Beside(known, offset=1, note="q = 0.003"), None],
        title="Found",
    )
    assert texts(figure, "no match") == ["no match"]
    assert texts(figure, "motif name") == ["GAT1 MA1", "GAT1 MA1", "motif 2"]
    assert texts(figure, "motif note") == ["12 sites", "q = 0.003"]
    assert figure.alt == (
        "Found. 2 motifs, in bits. GAT1 MA1: GATTACA, 7 positions, 14 bits, 12 sites; beneath it GAT1 MA1 from 1 position "
        "before it on, q = 0.003. motif 2: GATTACA, 7 positions, 14 bits; no match."
    )
    beneath = figure.readout.lanes[-1].texts
    assert beneath[0] == "A of GAT1 MA1, 2 bits"
    assert beneath[6:8] == ["nothing", "no match"]


# The grid and the cursor ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "length", "pairs"), [(1, 1, False), (14, 12, False), (5, 30, True), (3, 120, True), (2, 600, False)]
)
def test_cells_do_not_overlap_and_stay_on_the_page(n, length, pairs):
    drawn = [random_motif(length) for _ in range(n)]
    beside = [
        plot.Beside(motif, offset=-1, name=f"known {i}", note="a note " * 20) for i, motif in enumerate(drawn)
    ]
    figure = plot.motif_logos(drawn, beside=beside if pairs else None, title="Motifs " * 30)
    boxes = [ax.get_position() for ax in figure.drawing.axes]
    assert len(boxes) == n * (1 + pairs)
    assert all(box.x0 > 0 and box.x1 < 1 and box.y0 > 0 and box.y1 < 1 for box in boxes)
    for a, b in itertools.combinations(boxes, 2):
        assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
    # One width of a position for all, of four pixels at least.
    widths = {round(box.width * figure.drawing.get_figwidth() * 96 / (length + pairs), 6) for box in boxes}
    assert len(widths) == 1
    assert widths.pop() >= 4
    figure.drawing.canvas.draw()
    page = figure.drawing.bbox
    written = [text.get_window_extent() for text in figure.drawing.texts]
    assert all(
        page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1 for box in written
    )


def test_the_cursor_reads_each_position_where_it_is_drawn():
    drawn = [random_motif(5), SITE, random_motif(3)]
    figure = plot.motif_logos(drawn, names=["a", "b", "c"], title="t")
    readout = figure.readout
    assert readout.n == len(readout.heads) == len(readout.boxes) == 15
    assert readout.heads[5:7] == ["b, position 1", "b, position 2"]
    np.testing.assert_allclose(readout.lanes[0].values, np.concatenate([information(m) for m in drawn]))
    np.testing.assert_allclose(
        np.stack([lane.values for lane in readout.lanes[1:5]], 1), np.concatenate(drawn)
    )
    box = axes_of(figure, "b").get_position()
    for position, (x0, y0, x1, y1) in enumerate(readout.boxes[5:12]):
        assert (x0, x1) == pytest.approx(
            (box.x0 + box.width * position / 7, box.x0 + box.width * (position + 1) / 7)
        )
        assert y0 == pytest.approx(1 - box.y1)
        assert y1 > 1 - box.y0


def test_many_are_told_in_part():
    figure = plot.motif_logos([SITE] * 20, title="t")
    assert "motif 12: GATTACA" in figure.alt
    assert "motif 13" not in figure.alt
    assert figure.alt.endswith("And 8 more.")


def test_the_consensus_says_how_sure_it_is():
    motif = np.array([[1, 0, 0, 0], [0.1, 0.6, 0.2, 0.1], [0.25] * 4])
    assert "motif 1: Acn, 3 positions, 2.43 bits." in plot.motif_logos([motif], title="t").alt
    weights = np.array([[-1.0, 0.5, 0, 0], [3.0, 0, 0, 4.0]])
    assert "motif 1: CT, 2 positions." in plot.motif_logos([weights], kind="weights", title="t").alt


def test_names_are_shown_as_text_on_one_line():
    hostile = "x</script><img src=x>\n$y^2$"
    figure = plot.motif_logos(
        [SITE], names=[hostile], notes=[hostile], title=hostile, unit=hostile,
        beside=[plot.Beside(SITE, name=hostile, note=hostile)],
    )  # fmt: skip
    assert "<img src=x>" not in figure.html()
    assert "\n" not in figure.alt


@pytest.mark.parametrize(
    ("drawn", "options", "message"),
    [
        ([], {}, "must be a motif to draw; received none"),
        ([np.eye(3)], {}, r"'motif 1' must be \[position, 4\].*received \[3, 3\]"),
        ([np.zeros((0, 4))], {}, r"with a position; received \[0, 4\]"),
        ([SITE, np.where(SITE == 1, np.nan, 0)], {}, "'motif 2' must be finite; received 7 values.*at position 1"),
        ([SITE * 20], {}, r"probabilities \(at least 0, sum 1\); received .* at position 1\. Divide counts"),
        ([SITE - 0.5], {}, "Each position of 'motif 1' must hold probabilities"),
        ([SITE], {"kind": "nats"}, "one of bits, probability, weights; received 'nats'"),
        ([SITE], {"names": ["a", "b"]}, "names must have one entry for each of the 1 motifs; received 2"),
        ([SITE], {"beside": []}, "beside must have one entry for each of the 1 motifs; received 0"),
        ([SITE], {"contributions": [np.ones(3)]}, r"one finite number for each of its 7 positions; received the shape \[3\]"),
        ([SITE], {"contributions": [np.full(7, np.nan)]}, "with values that are not finite"),
        ([SITE], {"contributions": [np.ones(7)], "kind": "weights"}, "Contributions take the place of information; received kind='weights'"),
        ([SITE], {"background": (0.5, 0.5, 0, 0)}, r"four positive probabilities .*received \[0\.5, 0\.5, 0\.0, 0\.0\]"),
        ([SITE], {"beside": [plot.Beside(SITE, strand=".")]}, r"must be \+ or -; received '\.'"),
        ([SITE], {"beside": [plot.Beside(SITE * 2, name="k")]}, "Each position of 'k' must hold probabilities"),
        ([SITE], {"width": 40}, "4 to 30 inches wide; received 40"),
        ([np.full((300, 4), 0.25)], {"width": 10}, "received 300 positions for 10 inches. Pass width=14 or more"),
        ([np.full((900, 4), 0.25)], {}, "received 900 positions for 30 inches. Cut it, or draw it with contribution_track"),
        ([np.full((200, 4), 0.25)] * 400, {}, "at most 300 inches high; received 400 logos"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(drawn, options, message):
    with pytest.raises(ValueError, match=message):
        plot.motif_logos(drawn, title="t", **options)
