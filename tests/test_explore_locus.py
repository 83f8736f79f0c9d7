"""The locus: components beside brute force, numbers that no view changes, what is computed and when, and the live view."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from attention_toy import first_token, on_tokens
from attention_toy import toy as known_heads
from drawn import named, notes
from explore_toy import annotated, snv
from splice_toy import Sites
from variant_toy import ToyModel, toy_reference

from ntviz import annotation, attribution, explore, landscape, models, motifs, plot, variants
from ntviz.explore.locus_component import Matches
from ntviz.explore.locus_modelled import Attributed, Expected, Hiding, Probability, Received, Saturated, Windows
from ntviz.genome import Interval
from ntviz.genome.sequence import shuffle
from ntviz.landscape import expectation
from ntviz.reference import Reference

FIXTURES = Path(__file__).parent / "fixtures"

pytestmark = pytest.mark.usefixtures("without_event_loop")


@pytest.fixture(scope="module")
def genome(tmp_path_factory) -> tuple[Reference, annotation.Annotation]:
    """6 kb of random bases with a gene on each strand, and a run of N."""
    folder = tmp_path_factory.mktemp("genome")
    one, two = ("ONE", "+", (2001, 2300), (2601, 2900)), ("TWO", "-", (5001, 5400))
    return toy_reference(folder, n=[("20", 4000, 4500)]), annotated(folder, "20", one, two)


@pytest.fixture
def toy() -> ToyModel:
    return ToyModel(vocabulary="nt-3mer")


@pytest.fixture(scope="module")
def tiny():
    return models.load(FIXTURES / "nt_v2_tiny", device="cpu")


def bases(reference: Reference, start: int, end: int) -> str:
    return reference.fetch(Interval("20", start, end)).sequence


def whole(component, view: Interval) -> pd.DataFrame:
    """What a component says over a view, from its pieces."""
    made = pd.concat([component.compute(piece) for piece in component.pieces(view)], ignore_index=True)
    return made[(made["start"] >= view.start) & (made["end"] <= view.end)].reset_index(drop=True)


class Gc:
    """A component as a user writes one: GC of blocks of 10 bp."""

    name, longest = "GC", 1_000

    def __init__(self, reference: Reference) -> None:
        self.reference, self.asked = reference, []

    def pieces(self, view: Interval) -> list[Interval]:
        return explore.tiles(view, 100)

    def compute(self, piece: Interval) -> pd.DataFrame:
        self.asked.append(piece)
        text, at = self.reference.fetch(piece).sequence, np.arange(0, len(piece), 10)
        shares = [sum(text[i : i + 10].count(base) for base in "GC") for i in at]
        return pd.DataFrame(
            {"chrom": piece.chrom, "start": piece.start + at, "end": piece.start + at + 10, "gc": shares}
        )

    def tracks(self, table: pd.DataFrame, view: Interval) -> list:
        return [plot.signal_track(explore.per_base(table, "gc", view), label="GC", unit="of 10 bp")]


def test_expected_bases_are_those_of_masking_the_middle_of_a_window(genome, toy):
    reference, _ = genome
    component = Expected(Hiding(toy, reference, window=120))
    (piece,) = component.pieces(Interval("20", 610, 620))
    assert piece == Interval("20", 600, 630)
    table = component.compute(piece)
    # The control is drawn from the piece and a window to either side.
    turned = shuffle(bases(reference, 480, 750), k=2, seed=480)
    for name, whole_text, first in (("", bases(reference, 0, 1_000), 0), ("shuffled_", turned, 480)):
        texts = [whole_text[token - 57 - first : token + 60 - first] for token in range(600, 630, 3)]
        plain = [expectation.masked(toy, text, frames=1, what=None).probabilities[57:60] for text in texts]
        np.testing.assert_allclose(table[[name + base for base in "ACGT"]], np.concatenate(plain), atol=1e-6)


def test_numbers_are_the_same_in_every_view_and_missing_at_n(genome, toy):
    hiding = Hiding(toy, genome[0])
    for component in (Expected(hiding), Saturated(hiding), Probability(toy, genome[0])):
        first, second = (whole(component, Interval("20", *view)) for view in ((3_900, 4_050), (3_951, 4_020)))
        pd.testing.assert_frame_equal(first.iloc[51:120].reset_index(drop=True), second)
        numbers = first.select_dtypes("float").to_numpy()
        assert np.isfinite(numbers[:95]).all() and np.isnan(numbers[100:]).all()
        nothing = component.compute(Interval("20", 4_200, 4_350))
        assert len(nothing) == 150 and np.isnan(nothing.select_dtypes("float").to_numpy()).all()


def test_probabilities_are_those_of_the_landscape_and_the_control_of_effects_by_shares_of_the_window(genome, toy):
    view, windows = Interval("20", 100, 1_500), Windows(toy, genome[0], 1_536)
    table = whole(Probability(toy, genome[0]), view)
    plain = landscape.reconstruct(toy, genome[0], view, window=windows.window, flank=windows.flank, what=None)
    np.testing.assert_allclose(table[["probability", "entropy"]].T, [plain.probability, plain.entropy], rtol=1e-5)
    np.testing.assert_array_equal(table["composition"], plain.controls["composition"])
    table = whole(Saturated(Hiding(toy, genome[0], window=120)), Interval("20", 500, 560))
    # The token of 510 is read from 453 to 570.
    text, base = bases(genome[0], 453, 570), bases(genome[0], 510, 511)
    effects = [np.log((text.count(other) + 1) / (text.count(base) + 1)) for other in "ACGT" if other != base]
    row = table[["composition", "composition_lowest"]].iloc[10].tolist()
    assert row == pytest.approx([np.mean(effects), np.min(effects)])
    found = explore.locus(toy, *genome, at="20:501-600", window=10, components=["attention"])
    assert "A window must have 4 tokens, 12 bp, or more; received 10 bp" in found.figure().layout.meta["alt"]


@pytest.mark.parametrize(("start", "end"), [(500, 560), (3_960, 4_020), (5_950, 6_000), (0, 40)])
def test_effects_are_those_of_saturation(genome, toy, start, end):
    view, hiding = Interval("20", start, end), Hiding(toy, genome[0], window=120)
    whole(Expected(hiding), view)
    read = toy.sequences
    # One forward pass serves both: the tokens on both strands, of the bases and of shuffled ones.
    table = whole(Saturated(hiding), view)
    assert toy.sequences == read > 0
    plain = variants.saturation(toy, genome[0], view, window=120, what=None)
    known = np.array([base in "ACGT" for base in plain.sequence]) & np.isfinite(plain.llr).all(axis=1)
    assert known.sum() >= 38
    np.testing.assert_array_equal(np.isfinite(table["mean"]), known)
    for at in np.flatnonzero(known):
        effects = np.delete(plain.llr[at], "ACGT".index(plain.sequence[at]))
        assert table[["mean", "lowest"]].iloc[at].tolist() == pytest.approx([effects.mean(), effects.min()], abs=1e-6)


def test_attention_received_is_known_for_known_heads(genome):
    reference, _ = genome
    model = known_heads([[on_tokens(lambda tokens: np.arange(len(tokens)) == 5), first_token]])
    everything = Received(model, reference, head=(0, 0), window=60)
    assert everything.window % Windows(model, reference, 60).k == 0
    piece, flank = everything.pieces(Interval("20", 600, 601))[0], everything.flank
    table = everything.compute(piece)
    # All that bases give goes to one token, which has 1 / tokens of the bases.
    text = bases(reference, piece.start - flank, piece.end + flank)
    span = model.tokenize(text).spans[5]
    first, last = span + piece.start - flank
    inside = table[(table["start"] >= first) & (table["start"] < last)]
    assert table["received"].min() < 0.01 and len(inside) > 0
    np.testing.assert_allclose(inside["received"], len(text) / (span[1] - span[0]), rtol=0.01)
    to_cls = Received(model, reference, head=(0, 1), window=60).compute(piece)
    assert to_cls["received"].max() < 0.01
    both = Received(model, reference, window=60).compute(piece)
    np.testing.assert_allclose(both["received"], (table["received"] + to_cls["received"]) / 2)


def test_attributions_are_those_of_the_functions_with_their_error(genome, tiny, mini):
    reference, change = genome[0], snv(genome[0])
    for target, (base, against) in ((change, (change.alt, change.ref)), ("chr20:2,101", (change.ref, None))):
        component = Attributed(tiny, reference, 60, target, "gradient_times_input")
        (piece,) = component.pieces(Interval("20", 2_000, 2_200))
        assert len(piece) == 60 and piece.start % component.k == 0
        assert component.pieces(Interval("20", 3_000, 3_100)) == []
        asked = attribution.BaseProbability(2_100 - piece.start, base, against)
        text = bases(reference, piece.start, piece.end)
        plain = attribution.gradient_times_input(tiny, text, asked, both_strands=True)
        np.testing.assert_allclose(component.compute(piece)["attribution"], plain.per_base(), atol=1e-7)
    direction = attribution.Direction(np.random.default_rng(0).normal(size=tiny.hidden_size), layer=1)
    component = Attributed(tiny, reference, 24, direction, "gradient_times_input")
    (piece,), flank = component.pieces(Interval("20", 2_020, 2_024)), component.flank
    assert (len(piece), flank) == (12, 6)
    text, table = bases(reference, piece.start - flank, piece.end + flank), component.compute(piece)
    for name, letters in (("attribution", text), ("shuffled", shuffle(text, k=2, seed=piece.start - flank))):
        plain = attribution.gradient_times_input(tiny, letters, direction, both_strands=True)
        np.testing.assert_allclose(table[name], plain.per_base()[flank:-flank], atol=1e-6)
    assert table["error"].isna().all()
    asked = {"at": "20:2061-2140", "components": ["attribution"], "target": "20:2101", "window": 60}
    found = explore.locus(mini, *genome, **asked)
    table = found.tables()["attribution"]
    base = attribution.BaseProbability(2_100 - int(table["start"][0]), bases(reference, 2_100, 2_101))
    plain = attribution.integrated_gradients(mini, "".join(table["base"]), base, both_strands=True)
    np.testing.assert_allclose(table["attribution"], plain.per_base(), rtol=1e-4, atol=1e-7)
    assert table["error"].tolist() == pytest.approx([plain.error] * 60) and "error" in notes(found.figure())


@pytest.mark.parametrize(("target", "method", "says"), [
    (attribution.BaseProbability(3, "A"), "integrated_gradients", "must be one base of the reference, A, C, G or T (chr20:43,042,364), or"),
    ("chr20:2,101-2,103", "integrated_gradients", "C>T); received chr20:2101-2103"),
    ("20:2101:AC>G", "integrated_gradients", "C>T); received 20:2101:AC>G"),
    ("20:4101", "integrated_gradients", "chr20:4,101-4,101 has N"),
    ("20:2101", "magic", "attribution must be one of integrated_gradients, gradient_times_input; received 'magic'"),
])  # fmt: skip
def test_a_target_that_is_none_is_said(genome, toy, target, method, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        explore.locus(toy, *genome, at="ONE", target=target, attribution=method)


def test_matches_are_those_of_the_whole_interval_whatever_the_pieces(genome):
    reference, view, columns = genome[0], Interval("20", 100, 900), ["start", "end", "strand", "motif"]
    chosen = [motifs.Motif.from_sites(*of) for of in (("planted", [bases(reference, 296, 306)]), ("short", ["ACGTC"]))]
    plain = motifs.hits(reference, Interval("20", 50, 950), chosen, p=2e-3)
    plain = plain[(plain["start"] < view.end) & (plain["end"] > view.start)]
    assert [296, 306, "+", "planted"] in plain[columns].values.tolist()
    for size in (100, 300, 5_000):
        component = Matches(reference, chosen, p=2e-3, piece=size)
        explorer = explore.LocusExplorer(None, *genome, [component], at=view)
        table = explorer.tables()["motifs"]
        real = table[table["sequence"] == "reference"].sort_values(["start", "end", "motif", "strand"])
        assert real[columns].values.tolist() == plain[columns].values.tolist()
        for piece in component.pieces(view):
            text = shuffle(bases(reference, piece.start, min(piece.end + 9, 6_000)), k=2, seed=piece.start)
            other = motifs.scan(text, chosen, p=2e-3)
            own = component.compute(piece)
            places = set((other["start"] + piece.start)[other["start"] < size])
            assert set(own["start"][own["sequence"] == "shuffled"]) == places
        assert "expected by chance" in notes(explorer.figure())


def test_files_of_the_user_are_tracks(genome, tmp_path):
    (tmp_path / "peaks.bed").write_text("chr20\t2100\t2150\t<b>peak</b>\nchr20\t5990\t6000\n")
    (tmp_path / "toy.bg").write_text("chr20\t2120\t2130\t2.5\n")
    files = {"beds": {"my <i>peaks</i>": tmp_path / "peaks.bed"}, "bedgraphs": {"signal": tmp_path / "toy.bg"}}
    found = explore.locus(None, *genome, at="20:2101-2200", **files)
    assert [one.name for one in found.components] == ["genes", "my <i>peaks</i>", "elements", "bases", "signal"]
    tables = found.tables()
    assert tables["my <i>peaks</i>"][["start", "end"]].values.tolist() == [[2100, 2150]]
    assert tables["signal"][["start", "value"]].values.tolist() == [[at, 2.5] for at in range(2120, 2130)]
    assert "".join(tables["bases"]["base"]) == bases(genome[0], 2100, 2200)
    assert set(tables["elements"]["element"]) <= {"promoter", "splice_donor", "splice_acceptor"}
    figure = found.figure()
    page = [text for trace in figure.data if trace.text is not None for text in np.atleast_1d(trace.text)]
    page += [one.text for one in figure.layout.annotations if one.name != "caption"]
    assert any("&lt;b&gt;peak" in text for text in page)
    assert not any("<b>peak" in text or "<i>peaks" in text for text in page)
    assert "my <i>peaks</i>: " in plot.alt(figure)
    found.go("20:3101-3200")
    assert found.tables()["signal"].empty and found.figure().layout.meta["alt"]


def test_a_component_of_ones_own_is_drawn_kept_and_saved(genome, tmp_path):
    gc = Gc(genome[0])
    found = explore.locus(None, *genome, at="20:2051-2250", components=["bases", gc])
    assert isinstance(gc, explore.Component)
    table = found.tables()["GC"]
    texts = [bases(genome[0], at, at + 10) for at in range(2050, 2250, 10)]
    assert table["gc"].tolist() == [text.count("G") + text.count("C") for text in texts] and len(gc.asked) == 3
    found.figure()
    found.look(Interval("20", 2_100, 2_200))
    found.figure()
    found.hide("GC")
    found.look(Interval("20", 2_400, 2_500))
    found.tables()
    # Parts of what was seen compute nothing, nor does what is hidden.
    assert len(gc.asked) == 3
    found.show("GC")
    assert [one.name for one in found.waiting()] == ["GC"]
    assert "GC: being computed …" in plot.alt(found.drawn()) and len(gc.asked) == 3
    assert "being computed" not in plot.alt(found.figure()) and found.waiting() == []
    found.go("20:1-2000")
    assert "Zoom in to see: GC (up to 1,000 bp)." in plot.alt(found.figure())
    assert set(found.tables()) == {"bases"}


def test_one_component_that_fails_leaves_the_others(genome):
    asked = []

    def fails(error: Exception):
        def call(*_):
            asked.append(error)
            raise error

        return call

    wrong = {
        "broken": {"compute": fails(ValueError("It must be <b>so</b>; it is not."))},
        "bare": {"compute": lambda self, piece: pd.DataFrame({"start": [1]})},
        "short": {"tracks": lambda self, table, view: [plot.signal_track(np.zeros(3), label="Short", unit="")]},
        "wordless": {"tracks": fails(RuntimeError("There is no word for it."))},
    }
    own = [type(name, (Gc,), {"name": name, **methods})(genome[0]) for name, methods in wrong.items()]
    found = explore.locus(None, *genome, at="20:2051-2150", components=["bases", *own])
    said = plot.alt(found.figure())
    assert "Short: 'Short' must have one value for each of the 100 bases of chr20:2,051-2,150" in said
    assert "Wordless: There is no word for it." in said and "Broken: It must be <b>so</b>" in said
    found.hide("short", "wordless")
    assert set(found.tables()) == {"bases"} and found.problems["broken"] == "It must be <b>so</b>; it is not."
    bare = "compute() of 'bare' must return a DataFrame with chrom, start, end; received DataFrame ['start']"
    assert bare in found.problems["bare"]
    texts = [trace.text[0] for trace in found.figure().data if trace.type == "scatter" and trace.mode == "text"]
    assert any("&lt;b&gt;so" in text for text in texts)
    assert sum(isinstance(error, ValueError) for error in asked) == 1


def test_a_view_moves_and_stays_on_its_contig(genome):
    found = explore.locus(None, *genome, width=400)
    assert found.place.name == "ONE" and found.view == Interval("chr20", 1_800, 2_200, "+")
    for asked, shown in (((-200, 200), (0, 400)), ((-4_000, 10_000), (0, 6_000))):
        found.look(Interval("20", *asked))
        assert found.view == Interval("chr20", *shown, "+")
    found.go("20:2,001-2,400(-)")
    found.look(found.view.shift(-100))
    assert found.view == Interval("chr20", 1_900, 2_300, "-")
    found.look(Interval("20", 3_000, 3_002))
    before = found.view
    assert len(before) == 20 and before.contains(Interval("20", 3_000, 3_002))
    for ask, message in (
        (lambda: found.show("motifs"), "must be one of genes, elements, bases; received 'motifs'"),
        (lambda: found.hide("x"), "must be one of genes, elements, bases; received 'x'"),
        (lambda: found.go("NOTHING"), "Type a gene"),
        (lambda: explore.tiles(before, 0), "A piece must have at least 1 bp; received 0"),
    ):
        with pytest.raises(ValueError, match=message):
            ask()
    assert found.view == before


@pytest.mark.parametrize(("asked", "says"), [
    ({"width": 5}, "width must be 20 to 200,000 bp; received 5"),
    ({"components": ["attention"]}, "one of genes, elements, bases; received 'attention'"),
    ({"components": ["bases", "bases"]}, "received 'bases' twice"),
    ({"components": [3]}, "must have name, longest, pieces, compute and tracks; received int"),
])  # fmt: skip
def test_what_cannot_be_asked_for_is_said(genome, asked, says):
    with pytest.raises((ValueError, TypeError), match=says):
        explore.locus(None, *genome, **asked)


def test_the_other_strand_is_read_backwards(genome, toy):
    own = ["bases", "expected bases", "probability"]
    forward, turned = (explore.locus(toy, *genome, at=at, components=own) for at in ("20:501-600", "20:501-600(-)"))
    for name, table in forward.tables().items():
        pd.testing.assert_frame_equal(table, turned.tables()[name])
    plus, minus = (named(one.figure(), "Probability of the reference base") for one in (forward, turned))
    np.testing.assert_array_equal(plus.y, minus.y[::-1])
    assert (minus.x0, minus.dx) == (600, -1)


def test_a_static_figure_shows_everything_with_its_control(genome, toy):
    found = explore.locus(toy, *genome, at="ONE", width=700)
    figure = found.figure()
    # The toy has no attention to observe: that is said, and takes nothing from the rest.
    assert list(found.problems) == ["attention"]
    names = [trace.name for trace in figure.data if trace.name]
    for label in ("Expected bases", "Probability of the reference base", "Effect of substitutions, mean"):
        assert label in names and any(name.startswith(f"{label}: control") for name in names)
    assert "Enlarged below: chr20:1,941-2,060." in plot.alt(figure)
    assert figure.layout.title.text == "ONE by toy of nt-3mer"
    assert repr(found).startswith("Locus ONE by toy of nt-3mer, chr20:1,651-2,350(+): genes")
    assert "Enlarged below" not in plot.alt(found.figure(enlarged=False))


def test_going_back_and_to_parts_of_what_was_seen_computes_nothing(genome, toy):
    own = ["expected bases", "saturation", "probability"]
    found = explore.locus(toy, *genome, at="20:501-900", components=own, window=120)
    found.figure()
    found.go("20:1501-1700")
    found.figure()
    read = toy.sequences
    found.back()
    assert found.view == Interval("chr20", 500, 900, "+")
    found.figure()
    found.look(Interval("20", 601, 687))
    assert found.where == "chr20:602-687"
    found.tables()
    found.whole()
    assert found.where == "chr20:501-900" and toy.sequences == read and len(found.table()) == 3 * 400
    assert found.tsv().count("expected bases\t") == 400


OWN = ["genes", "bases", "expected bases", "probability"]


def test_the_live_view_follows_a_zoom_and_computes_what_lies_beyond(genome, toy):
    found = explore.locus(toy, *genome, at="20:501-1500", components=OWN, window=120)

    def zoom(start: int, end: int) -> None:
        ranges = {"xaxis": [start + 0.5, end + 0.5], "yaxis": [0, 1]}
        found.live._heard(None, {"kind": "ranges", "ranges": ranges}, None)

    assert found.widget.children[1] is found.live
    read, whole_place = toy.sequences, found.live.whole
    zoom(700, 800)
    assert (found.view, found.toolbar.place.value) == (Interval("chr20", 700, 800, "+"), "chr20:701-800")
    letters = [np.asarray(trace.x) for trace in found.live.still.data if trace.meta == "letters"]
    assert {*np.concatenate(letters).round()} >= {701, 750, 800}
    # The page keeps its zoom, and nothing is read again.
    assert (toy.sequences, found.live.whole) == (read, whole_place)
    assert named(found.live.still, "Probability of the reference base").y.size == 1_000
    zoom(1_400, 1_600)
    assert found._drawn == Interval("chr20", 1_350, 1_650, "+") and toy.sequences > read
    assert found.waiting() == [] and found.live.still.layout.xaxis.maxallowed == 6_000.5
    assert "being computed" not in found.live.alt
    zoom(0, 5_900)
    assert "Zoom in to see: bases (up to 5,000 bp) and expected bases (up to 3,000 bp)." in found.live.alt
    # Back in, what is too long for the whole is computed around what is seen.
    zoom(2_000, 2_600)
    bits = named(found.live.still, "Expected bases").y
    assert len(found._drawn) == 6_000 and np.flatnonzero(np.isfinite(bits))[[0, -1]].tolist() == [1_850, 2_749]
    # Less than can be shown: the page is put to what is.
    before = found.live.whole
    zoom(2_300, 2_301)
    assert len(found.view) == 20
    found.whole()
    assert found.live.whole > before and found.view == found._drawn == Interval("chr20", 500, 1_500, "+")


def test_tracks_come_one_after_the_other_and_the_kernel_is_free_between_pieces(genome, toy):
    async def session() -> list[str]:
        found = explore.locus(toy, *genome, at="20:501-1100", components=OWN, window=120)
        found.widget  # noqa: B018 - shows it
        seen = [found.live.alt]
        assert "Genes: " in seen[0] and "Expected bases: being computed …" in seen[0]
        while found.waiting():
            await asyncio.sleep(0.001)
            if found.live.alt != seen[-1]:
                seen.append(found.live.alt)
            computing = "Computing probability" in found.toolbar.message.value
            if len(seen) == 2 and not computing and found.view.start == 500:
                found.look(Interval("20", 800, 1_300))
        await asyncio.sleep(0.02)
        assert found.toolbar.message.value.count("Computing") == 0
        return [*seen, found.live.alt]

    seen = asyncio.run(session())
    assert "being computed" not in seen[-1] and "chr20:801-1,300" in seen[-1]


def test_boxes_files_and_code(genome):
    found = explore.locus(None, *genome, at="20:2101-2200", beds=())
    found.widget  # noqa: B018 - shows it
    boxes = {box.description: box for box in found._boxes.children}
    assert list(boxes) == ["genes", "elements", "bases"]
    boxes["bases"].value = False
    assert found.shown == ("genes", "elements") and "Sequence" not in found.live.alt
    assert found.add_file("../peaks.bed", "chr20\t2100\t2150\tx\n") == "Added peaks."
    assert found.add_file("cover.bedgraph", "chr20\t2120\t2130\t2.5\n") == "Added cover."
    found.update()
    assert found._boxes.children[-1].description == "cover" and "cover: largest 2.5" in found.live.alt
    with pytest.raises(ValueError, match="Line 1"):
        found.add_file("bad.bedgraph", "nothing\n")
    compile(found.code(), "code", "exec")
    assert "at='chr20:2,101-2,200(+)'" in found.code()


def test_splice_sites_of_both_strands_in_whole_pieces(genome):
    made = explore.locus(Sites(60), *genome, at="20:200-420", components=["genes", "splice sites"])
    table, text = made.tables()["splice sites"], bases(genome[0], 150, 470)
    for row in table[(table["start"] >= 199) & (table["start"] < 420)].to_dict("records"):
        before, after = text[row["start"] - 152 : row["start"] - 150], text[row["start"] - 149 : row["start"] - 147]
        called = [row[name] for name in ("donor+", "acceptor+", "donor-", "acceptor-")]
        assert called == [after == "GT", before == "AG", before == "AC", after == "CT"]
    names = {trace.name for trace in made.figure(enlarged=False).data if trace.name}
    assert {"Splice sites, donor", "Splice sites, other strand, acceptor"} <= names
    assert any("control" in name for name in names) and made.model is None
