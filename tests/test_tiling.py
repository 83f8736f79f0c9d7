"""Tiles: each place once, on the grid, far from edges; seams measured against brute force, and overlaps that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from variant_toy import REACH, ToyModel, toy_reference

from ntviz import data, embeddings, landscape, tiling, variants
from ntviz.genome import Interval
from ntviz.landscape import expectation
from ntviz.reference import Reference
from ntviz.tiling import Stretch

K = 6
NEEDED = 2 * REACH * K
"""bp that tiles must share for the toy, whose numbers follow from 4 tokens to each side."""
FINE = range(0, 120, 2 * K)
PLACE = Interval("20", 0, 2_000)


@pytest.fixture(scope="module")
def toy():
    return ToyModel(max_tokens=41)  # 240 bp


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return toy_reference(tmp_path_factory.mktemp("toy"), n=[("20", 1_000, 1_013), ("20", 1_020, 1_022)])


@pytest.mark.parametrize(("length", "size", "overlap", "step"), [
    (40, 18, 12, 6), (1_000, 96, 24, 6), (1_003, 96, 84, 6), (97, 96, 0, 6), (96, 96, 48, 6), (5, 96, 12, 6), (777, 50, 7, 1),
    (129, 128, 0, 1), (1_022, 120, 36, 3),
])  # fmt: skip
def test_each_base_is_in_one_tile_far_from_its_edges(length, size, overlap, step):
    run = Stretch(17, 17 + length)
    tiles = tiling.tiles(run, size, overlap, step)
    assert [base for tile in tiles for base in range(tile.first, tile.last)] == list(range(*run))
    assert (len(tiles) == 1) == (length <= size)
    for tile in tiles:
        assert (tile.start - 17) % step == 0 and tile.end - tile.start <= size
        assert run.start <= tile.start <= tile.first < tile.last <= tile.end <= run.end
        assert tile.start == run.start or tile.first - tile.start >= overlap // 2
        assert tile.end == run.end or tile.end - tile.last >= overlap // 2
    for place in range(17, 17 + length - step, step):
        window = tiling.centred(place, size, run, step)
        assert run.start <= window.start <= place < window.end <= run.end and (window.start - 17) % step == 0
        left, right = place - window.start, window.end - place - step
        # Only an end of the run keeps a place out of the middle.
        assert abs(left - right) <= 2 * step or run.start == window.start or window.end == run.end
        assert window.end - window.start > min(length, size) - step


def by_windows(model, bases, layer, context):
    """Brute force: each token, between N, from a window of its own with it in the middle; spans in the sequence."""
    vectors, spans = [], []
    for run in tiling.runs(bases):
        whole = (run.end - run.start) // K
        n = min(context // K, whole)
        for token in range(whole):
            first = max(0, min(token - n // 2, whole - n))
            text = bases[run.start + first * K : run.start + (first + n) * K]
            states = model.forward(model.tokenize(text), outputs=("hidden_states",), layers=(layer,)).hidden_states[
                0, 0
            ]
            vectors.append(states[1 + token - first])
            spans.append((run.start + token * K, run.start + (token + 1) * K))
    return np.array(vectors), np.array(spans)


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("layer", [1, 2])
def test_the_overlap_of_a_known_receptive_field_is_found_exactly(toy, reference, strand, layer):
    place = replace(PLACE, strand=strand)
    found = embeddings.along(toy, place, reference, layer=layer, tile=120, overlap=FINE, limit=1e-6)
    seams = found.seams
    assert (seams.overlap, seams.maximum, seams.mean, seams.error) == (NEEDED, 0, 0, 0) and seams.within
    assert [overlap for overlap, *_ in seams.tried] == [*range(0, NEEDED + 1, 12)]
    assert all(maximum > mean > 0 for _, maximum, mean in seams.tried[:-1])
    assert (seams.tile, seams.context, seams.sample, seams.seed) == (120, 240, 16, 0)
    bases = reference.fetch(place).sequence
    vectors, spans = by_windows(toy, bases, layer, 240)
    np.testing.assert_allclose(found.values, vectors, atol=1e-6)
    on_genome = 2_000 - spans[:, ::-1] if strand == "-" else spans
    np.testing.assert_array_equal(found.spans, on_genome)
    # N, and what is left of the runs of 1,000, 7 and 978 bp.
    assert found.unread == 15 + 4 + 1 == np.isnan(found.per_base()[:, 0]).sum()
    per_base = found.per_base()
    for vector, (start, end) in zip(vectors, spans, strict=True):
        np.testing.assert_allclose(per_base[start:end], np.tile(vector, (K, 1)), atol=1e-6)
    # Other tiles, the overlaps tried by default, another sample, bases without coordinates: the same numbers.
    usual = embeddings.along(toy, bases, layer=layer, limit=1e-6, seed=3, sample=9, batch_tokens=10)
    assert usual.seams.overlap == 60 and usual.seams.tile == 240 and usual.interval is None
    np.testing.assert_allclose(usual.values, found.values, atol=1e-6)
    np.testing.assert_array_equal(usual.spans, spans)


def test_if_no_overlap_reaches_the_limit_the_largest_is_taken_and_it_is_said(toy, reference):
    found = embeddings.along(toy, PLACE, reference, overlap=[12, 36], limit=1e-6)
    assert found.seams.overlap == 36 and not found.seams.within and found.seams.error > 1e-6
    assert "bp not read" in repr(found) and "no overlap that was tried keeps it within the limit of 0.0%" in repr(found)
    assert "at 16 places (seed 0)" in found.seams.note and "a dimension of the vectors of layer 2" in found.seams.note
    # A sample is of places without N; the numbers are those of these places, as if a seam lay there.
    one = embeddings.along(toy, PLACE, reference, overlap=36, limit=9, sample=300).seams
    assert one.within and one.tried == ((36, one.maximum, one.mean),) and one.maximum >= found.seams.maximum


def test_what_fits_is_read_in_one_piece(mini, toy, reference):
    bases = reference.fetch(Interval("20", 0, 240)).sequence
    found = embeddings.along(toy, bases)
    assert (found.seams.overlap, found.seams.maximum, found.seams.error, found.seams.sample) == (0, 0, 0, 0)
    assert found.seams.within and "no seam was measured" in repr(found)
    states = toy.forward(toy.tokenize(bases), outputs=("hidden_states",)).hidden_states[0, -1, 1:]
    np.testing.assert_allclose(found.values, states, atol=1e-6)
    mean = embeddings.embed(mini, [bases]).values[0, -1]
    np.testing.assert_allclose(embeddings.along(mini, bases).values.mean(axis=0), mean, atol=1e-4)


def test_the_default_model_gives_the_same_within_the_limit_whatever_the_tile(mini):
    chr20, place = Reference(data.bundle("chr20")), Interval("20", 43_000_000, 43_004_800, "-")
    how = {"layer": 4, "limit": 0.8, "sample": 8}
    long, short = (embeddings.along(mini, place, chr20, tile=tile, **how) for tile in (None, 1_020))
    bases = chr20.fetch(place).sequence
    rows = np.arange(5, 800, 60)
    for found in (long, short):
        seams = found.seams
        assert seams.within and 0 < seams.overlap < seams.tile / 2 and seams.context == 1_530
        # Smallest first: those before it do not reach the limit.
        assert all(maximum > 0.8 * seams.spread for _, maximum, _ in seams.tried[:-1])
        for row in rows:
            start = max(0, min(row - 127, 545)) * 6
            tokens = mini.tokenize(bases[start : start + 1_530])
            states = mini.forward(tokens, outputs=("hidden_states",), layers=(4,)).hidden_states[0, 0]
            assert np.abs(found.values[row] - states[1 + row - start // 6]).max() < 1.5 * 0.8 * seams.spread
    apart = np.abs(long.values - short.values)
    assert (apart > 2 * 0.8 * long.seams.spread).mean() < 1e-4 and apart.mean() < 0.1 * long.seams.spread


# Hidden tokens --------------------------------------------------------------------------------------------------------


def test_flanks_of_a_landscape_are_chosen_by_what_they_cost(toy, reference, tmp_path):
    place = Interval("20", 60, 930)

    def made(**how):
        return landscape.reconstruct(
            toy, reference, place, **{"window": 240, "share": None, "limit": 1e-6, "what": None, **how}
        )

    exact, short, wide, usual = made(flank=24), made(flank=18), made(window=180), made()
    for found, flank, within in ((exact, 24, True), (short, 18, False), (wide, 24, True), (usual, 30, True)):
        seams = found.settings["seams"]
        assert seams["overlap"] == 2 * flank == 2 * found.settings["flank"] and (seams["maximum"] == 0) == within
        assert ("keeps it within" in seams["note"]) != within and seams["note"] in repr(found)
    for found in (wide, usual):
        np.testing.assert_allclose(found.probability, exact.probability, atol=1e-6)
    assert np.nanmax(abs(short.probability - exact.probability)) > 1e-4
    # What is shorter than a window may have a seam in it all the same; of a contig that is, none is measured.
    few = landscape.reconstruct(toy, reference, Interval("20", 190, 230), window=240, limit=1e-6, share=None, what=None)
    assert few.settings["flank"] == 30 and few.settings["seams"]["sample"] == 16
    np.testing.assert_allclose(few.probability, exact.probability[130:170], atol=1e-6)
    alone = landscape.reconstruct(
        toy, toy_reference(tmp_path, contigs={"7": 200}), "7:1-200", window=240, limit=1e-6, what=None
    )
    assert (alone.settings["flank"], alone.settings["seams"]["overlap"]) == (
        60,
        120,
    ) and "no seam was measured" in repr(alone)
    # Kept with the landscape, and no other pieces than those of the same flank.
    one = made(out=tmp_path / "pieces", flank=30, limit=None)
    again = made(out=tmp_path / "pieces")
    assert "seams" not in one.settings and {k: v for k, v in again.settings.items() if k != "seams"} == one.settings
    loaded = landscape.Landscape.load(again.save(tmp_path / "x.npz"))
    assert loaded.settings["seams"]["note"] == again.settings["seams"]["note"]


@pytest.mark.parametrize("both_strands", [False, True])
def test_sequences_longer_than_the_model_reads_are_expected_without_seams(reference, both_strands):
    """Each run between N by itself, and each token from a window of its own as far as it is too long."""
    small, large = ToyModel(max_tokens=21), ToyModel(max_tokens=400)
    bases = reference.fetch(Interval("20", 300, 1_210)).sequence
    found = expectation.masked(small, bases, both_strands=both_strands, what=None)
    for first, last in tiling.runs(bases):
        alone = expectation.masked(large, bases[first:last], both_strands=both_strands, what=None)
        # Within reach of the ends of a long run, the single letters there are left out of windows.
        cut = REACH * K + 2 * K if last - first > small.max_bp else 0
        for name in ("probabilities", "readings", "spread"):
            ours, theirs = (of[cut : len(of) - cut] for of in (getattr(found, name)[first:last], getattr(alone, name)))
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert (found.readings > 0).tolist() == [base != "N" for base in bases]
    # Windows that are moved to an end hold whole tokens: with the frame of the whole, all is as in one piece.
    bases = bases[:600]
    ours, theirs = (
        expectation.masked(one, bases, frames=1, both_strands=both_strands, what=None) for one in (small, large)
    )
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-6)


def test_scores_of_a_locus_longer_than_the_model_reads_have_no_seams(reference):
    place = Interval("20", 300, 480)
    maps = [variants.saturation(ToyModel(max_tokens=n), reference, place, what=None) for n in (16, 64)]
    assert len(place) > ToyModel(max_tokens=16).max_bp
    np.testing.assert_allclose(maps[0].llr, maps[1].llr, atol=1e-5)


class Silent(ToyModel):
    max_bp = None


@pytest.mark.parametrize(("given", "message"), [
    ({"what": Interval("20", 5_000, 6_001)}, "must lie on its contig; received 20:5,001-6,001, and 20 has 6,000 bp"),
    ({"what": "20:0-500"}, "must lie on its contig"),
    ({"what": PLACE, "reference": None}, "needs a reference"),
    ({"limit": 0}, "limit must be above 0, a share of the spread of the values; received 0"),
    ({"what": "A" * 60, "limit": -1.0}, "limit must be above 0"),
    ({"sample": 400}, "sample must be 2 to 329, the places of 6 bp of the interval; received 400"),
    ({"sample": 1}, "sample must be 2 to"),
    ({"model": Silent()}, r"how many bp it reads at most \(max_bp\); toy of nt-v1 does not. Pass tile="),
    ({"tile": 246}, "A tile must have 12 to 240 bp; received 246"),
    ({"overlap": 240}, "less than the tile of 240 bp by a step of 6 bp; received 240"),
    ({"overlap": -12}, "An overlap must be 0 or more"),
    ({"overlap": []}, r"received \[\]"),
    ({"layer": 3}, r"layer must be 0 \(the embedding\) to 2 for toy of nt-v1; received 3"),
    ({"what": "ACGTNNACGTA"}, "A token is 6 bp without N; the 11 bp hold none"),
])  # fmt: skip
def test_what_cannot_be_tiled_is_said(toy, reference, given, message):
    with pytest.raises(ValueError, match=message):
        embeddings.along(**{"model": toy, "what": PLACE, "reference": reference, **given})


def test_a_model_that_does_not_say_how_much_it_reads_is_given_a_tile(toy, reference):
    found = embeddings.along(Silent(), PLACE, reference, tile=240, limit=1e-6)
    np.testing.assert_array_equal(found.values, embeddings.along(toy, PLACE, reference, limit=1e-6).values)


@pytest.mark.parametrize(("given", "message"), [
    ({"limit": -0.1}, "limit must be above 0"), ({"sample": 1_000}, "sample must be 2 to 166"),
])  # fmt: skip
def test_landscapes_refuse_the_same(toy, reference, given, message):
    how = {"window": 240, "limit": 0.1, "what": None, **given}
    with pytest.raises(ValueError, match=message):
        landscape.reconstruct(toy, reference, Interval("20", 60, 930), **how)
