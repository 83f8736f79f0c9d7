"""Landscapes: against brute force, on toys with known answers, whole after any interruption; as files, tracks and tables."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from operator import attrgetter
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from variant_toy import ToyModel, toy_reference

from ntviz import annotation, data, landscape, models
from ntviz.genome import Interval
from ntviz.genome.sequence import codes, reverse_complement
from ntviz.landscape import Landscape, expectation
from ntviz.landscape.by_element import Circle
from ntviz.landscape.reconstruct import readings
from ntviz.landscape.result import track_rows
from ntviz.masking import Reader
from ntviz.reference import Reference
from ntviz.tiling import Stretch

PLACE = Interval("20", 600, 1_201)
ARRAYS = ("probability", "correct", "entropy")


@pytest.fixture(scope="module")
def toy():
    return ToyModel(max_tokens=64)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return toy_reference(tmp_path_factory.mktemp("toy"), n=[("20", 1_000, 1_013), ("20", 3_000, 6_000)])


def made(model, reference, place=PLACE, **options):
    options = {"window": 240, "flank": 60, "what": None, **options}
    return landscape.reconstruct(model, reference, place, **options)


def same(one, other, **options):
    assert list(one.controls) == list(other.controls)
    for which in (*map(attrgetter, ARRAYS), *(lambda of, name=name: of.controls[name] for name in one.controls)):
        np.testing.assert_allclose(which(one), which(other), **options)


def row(table, element, measure="probability"):
    return table.set_index(["element", "measure"]).loc[(element, measure)]


class OneKmer(ToyModel):
    """Expects the same k-mer wherever a token is hidden."""

    expected = "AACGTC"

    def forward(self, batch, *, outputs=("logits",), at=None, layers=None):
        logits = np.full((*at.shape, self.tokenizer.vocabulary.n_logits), -50.0, np.float32)
        logits[..., self.tokenizer.vocabulary.id_of(self.expected)] = 0
        return SimpleNamespace(logits=logits)


class Uniform(OneKmer):
    def forward(self, batch, **options):
        return SimpleNamespace(logits=0 * super().forward(batch, **options).logits)


@pytest.mark.parametrize("share", [None, 0.15])
def test_models_that_expect_one_kmer_or_nothing(reference, share):
    found = made(OneKmer(), reference, share=share)
    bases = reference.fetch(PLACE).sequence
    agrees = np.array([base == "AACGTC"[at % 6] for at, base in zip(range(600, 1_201), bases, strict=True)])
    known = np.isfinite(found.probability)
    # N has no answer, nor have the bases beside it that share a token of the frame with one.
    assert np.flatnonzero(~known).tolist() == list(range(996 - 600, 1_014 - 600))
    np.testing.assert_allclose(found.probability[known], agrees[known], atol=1e-6)
    assert (found.correct[known] == agrees[known]).all()
    np.testing.assert_allclose(found.entropy[known], 0, atol=1e-5)
    assert found.perplexity[known & agrees] == pytest.approx(1) and np.isnan(found.perplexity[~known]).all()
    found = made(Uniform(), reference, frames=6, both_strands=True)
    known = np.isfinite(found.probability)
    assert np.array_equal(known, codes(reference.fetch(PLACE).sequence) < 4)
    for values, expected in ((found.probability, 0.25), (found.entropy, 2), (found.perplexity, 4)):
        np.testing.assert_allclose(values[known], expected, atol=1e-6)
    assert "mean probability 0.250" in repr(found)


@pytest.mark.parametrize(("frames", "both_strands"), [(1, False), (1, True), (6, True)])
def test_one_by_one_equals_brute_force(toy, reference, frames, both_strands):
    """`expectation.masked` over each window, which hides every token in a pass of its own."""
    place = Interval("20", 1_200, 1_350)
    found = made(toy, reference, place, share=None, frames=frames, both_strands=both_strands)
    for core in (1_200, 1_320):
        read = []
        window = reference.fetch(Interval("20", core - 60, core + 180)).sequence
        for frame, strand in itertools.product(range(frames), range(1 + both_strands)):
            text = window[frame : frame + 240 - (6 if frame else 0)]
            text = reverse_complement(text) if strand else text
            p = expectation.masked(toy, text, frames=1, both_strands=False, what=None).probabilities
            read.append((p[::-1, ::-1] if strand else p)[60 - frame : 180 - frame])
        here = slice(core - 1_200, min(core - 1_080, 150))
        p = np.mean(read, axis=0)[: here.stop - here.start]
        own = p[np.arange(len(p)), codes(reference.fetch(place).sequence)[here]]
        np.testing.assert_allclose(found.probability[here], own, atol=2e-6)
        np.testing.assert_allclose(found.entropy[here], -(p * np.log2(p)).sum(axis=1), atol=1e-4)
        assert (found.correct[here] == (own == p.max(axis=1))).mean() > 0.99


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("apart", "passes"), [(None, 20), (7, 7)])
def test_every_token_is_hidden_exactly_once(toy, reference, apart, passes, reverse):
    text = reference.fetch(Interval("20", 600, 840)).sequence
    both = list(readings(text, Stretch(600, 840), Stretch(660, 780), k=6, apart=apart, both_strands=True))
    work = [(reading, starts) for reading, starts in both if reading.reverse == reverse]
    assert len(work) == passes == len(both) / 2
    assert sorted(np.concatenate([starts for _, starts in work]).tolist()) == list(range(660, 780, 6))
    for reading, starts in work:
        assert reading.sequence == text and set(reading.asked) <= set(reading.masked)
        assert (600 + Reader(toy).starts(reading)[list(reading.asked)] == starts).all()
        assert apart is None or (np.diff(reading.masked) == apart).all()


def test_the_ends_of_a_contig_are_taken_and_many_hidden_at_once_is_another_question(toy, reference):
    one = made(toy, reference, share=None)
    # The toy sees no further than 4 tokens: with every 7th hidden it misses nothing, with every 2nd it does.
    same(made(toy, reference), one, atol=1e-5)
    many = made(toy, reference, share=0.5)
    assert np.array_equal(np.isfinite(one.probability), np.isfinite(many.probability))
    assert np.nanmax(abs(one.probability - many.probability)) > 1e-2
    assert np.isfinite(made(toy, reference, "20:1-50").probability).tolist() == [True] * 50
    before_n = made(toy, reference, Interval("20", 2_990, 3_010))
    assert np.isfinite(before_n.probability).tolist() == [True] * 10 + [False] * 10


@pytest.mark.parametrize("share", [None, 0.2])
def test_a_base_does_not_depend_on_the_interval_batch_or_piece(toy, reference, share):
    options = {"share": share, "frames": 2, "control": ("shuffled", "composition")}
    whole = made(toy, reference, **options)
    part = made(toy, reference, Interval("chr20", 731, 1_100, "-"), batch_tokens=1, piece=100, **options)
    same(part, whole.within(Interval("20", 731, 1_100)), atol=1e-6)
    assert list(part.controls) == ["composition", "shuffled"]
    with pytest.raises(ValueError, match="must lie inside 20:601-1,201; received 20:1-700"):
        whole.within(Interval("20", 0, 700))


def test_controls_are_what_they_say(toy, reference):
    place = Interval("20", 1_320, 1_440)
    found = made(toy, reference, place, control=("composition", "shuffled"))
    text = reference.fetch(Interval("20", 1_260, 1_500)).sequence
    shares = [(text.count(base) - 1) / 239 for base in text[60:180]]
    np.testing.assert_allclose(found.controls["composition"], shares, atol=1e-6)
    assert found.controls["shuffled"].shape == (120,) and np.isfinite(found.controls["shuffled"]).all()
    assert not np.allclose(found.controls["shuffled"], found.probability)
    assert made(toy, reference, place, control=()).controls == {}
    # A model that sees nothing gives a shuffled window what it gives the real one.
    nothing = made(Uniform(), reference, place, control="shuffled")
    np.testing.assert_allclose(nothing.controls["shuffled"], 0.25)


class Causal(ToyModel):
    @property
    def mask_id(self):
        raise ValueError("it reads from left to right")


class Learned(ToyModel):
    def tokenize(self, sequence, *, phase=0):
        return SimpleNamespace(vocabulary=SimpleNamespace(name="bpe-4096", k=1))


@pytest.mark.parametrize(("place", "options", "message"), [
    ("7:1-10", {}, "A contig must be one of those present; received '7'"),
    ("20:5,990-6,010", {}, "must lie on its contig; received 20:5,990-6,010, and 20 has 6,000 bp"),
    ("20:3,100-3,200", {}, "must hold a base that is known; 20:3,100-3,200 holds only N"),
    (PLACE, {"frames": 0}, "frames must lie in 1 to 6, the bases of a token; received 0"),
    (PLACE, {"share": 0.6}, "share must lie above 0 and up to 0.5 of the tokens; received 0.6"),
    (PLACE, {"window": 17}, "3 tokens, 18 bp, to the 378 bp that toy of nt-v1 reads; received 17"),
    (PLACE, {"window": 900}, "to the 378 bp that toy of nt-v1 reads; received 900"),
    (PLACE, {"flank": 120}, "leave a token of the window of 240 bp; received flanks of 120"),
    (PLACE, {"control": "random"}, "control must be one of composition, shuffled; received 'random'"),
    (PLACE, {"batch_tokens": 0}, "batch_tokens and piece must be at least 1; received 0 and 250000 bp"),
    (PLACE, {"model": Causal()}, "trained with a mask; toy of nt-v1 has none .it reads from left"),
    (PLACE, {"model": Learned()}, "tokens of one length, k bases each; toy of nt-v1 has bpe-4096"),
])  # fmt: skip
def test_what_cannot_be_done_is_said(toy, reference, place, options, message):
    with pytest.raises(ValueError, match=message):
        made(**{"model": toy, "reference": reference, "place": place, **options})


def test_a_folder_keeps_pieces_and_those_of_other_settings_are_refused(reference, tmp_path, toy):
    out, options = tmp_path / "out", {"piece": 120, "control": ("composition", "shuffled")}
    plain = made(ToyModel(), reference, **options)
    for passes in (6, 0, 2):
        model, pieces = ToyModel(), sorted(out.glob("*.npz"))
        if passes == 2:
            pieces[1].unlink()
            pieces[4].write_bytes(pieces[4].read_bytes()[:-20])
        found = made(model, reference, out=out, **options)
        same(found, plain)
        assert model.forwards == passes and isinstance(found.probability, np.memmap)
    assert len(list(out.glob("*.npz"))) == 6 and not list(out.glob(".*"))
    out = tmp_path / "other"
    made(toy, reference, out=out)
    for options, message in (
        ({"share": None}, "was made with tokens_apart = 7, and None came"),
        ({"place": Interval("20", 0, 60)}, "was made with end = 1201, and 60 came"),
        ({"model": ToyModel(seed=1)}, "was made with weights = 'toy"),
    ):
        with pytest.raises(ValueError, match=message):
            made(**{"model": toy, "reference": reference, "out": out, **options})
    (tmp_path / "fa").mkdir()
    other = toy_reference(tmp_path / "fa", seed=5)
    same(made(toy, other, out=out), made(toy, other))


def test_save_and_load(toy, reference, tmp_path):
    found = made(toy, reference, control=("composition", "shuffled"))
    again = Landscape.load(found.save(tmp_path / "one.npz"))
    for name in ("interval", "settings", "model", "contig_length"):
        assert getattr(again, name) == getattr(found, name)
    same(again, found, rtol=0)
    assert {values.dtype for values in again.controls.values()} == {np.dtype(np.float32)}
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"bad.npz must be whole and as this version of ntviz writes it"):
        Landscape.load(tmp_path / "bad.npz")
    with pytest.raises(ValueError, match=r"correct has shape \[3\]"):
        replace(found, correct=found.correct[:3])


def small():
    values = np.array([0.5, 0.5, np.nan, 0.25, 0.25, 1.0, 0.0], np.float32)
    return Landscape(Interval("20", 9, 16), values, np.round(values), values, "toy", 100)


def test_tracks_say_what_every_base_has_as_text_and_as_bigwig(tmp_path, toy, reference, monkeypatch):
    found, path = small(), tmp_path / "track"
    lines = found.bedgraph(path).read_text().splitlines()
    assert lines == ["20\t9\t11\t0.5", "20\t12\t14\t0.25", "20\t14\t15\t1", "20\t15\t16\t0"]
    coarse = found.bedgraph(path, "entropy", bin=4, chrom="chr20").read_text()
    assert coarse.splitlines() == ["chr20\t9\t12\t0.5", "chr20\t12\t16\t0.375"]
    assert found.bedgraph(path, "perplexity").read_text().startswith("20\t9\t11\t2\n")
    assert found.chrom_sizes(tmp_path / "sizes", chrom="chr20").read_text() == "chr20\t100\n"
    with pytest.raises(ValueError, match="one of probability, entropy, correct, perplexity, .* received 'loss'"):
        found.bedgraph(tmp_path / "y", "loss")
    with pytest.raises(ValueError, match="bins of at least 1 bp; received 'probability' in 0"):
        found.bedgraph(tmp_path / "y", bin=0)
    assert not (tmp_path / "y").exists()
    assert list(track_rows(np.ones((1 << 20) + 7, np.float32), 5)) == [(5, (1 << 20) + 12, 1.0)]
    found = made(toy, reference)
    rows = list(track_rows(found.probability, PLACE.start))
    again = np.full(len(found), np.nan)
    for start, end, value in rows:
        assert np.isnan(again[start - 600 : end - 600]).all()
        again[start - 600 : end - 600] = value
    np.testing.assert_allclose(again, found.probability, atol=1e-8)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(rows))
    import pybigtools

    path = small().bigwig(tmp_path / "p", "correct", chrom="chr20")
    with path.open("rb") as handle, pybigtools.open(handle) as file:
        assert file.chroms() == {"chr20": 100}
        assert list(file.records("chr20")) == [(9, 11, 0), (12, 14, 0), (14, 15, 1), (15, 16, 0)]
    assert {path.name for path in tmp_path.iterdir()} == {"p", "track", "sizes"}
    monkeypatch.setitem(sys.modules, "pybigtools", None)
    with pytest.raises(ImportError, match=r"pip install 'ntviz\[bigwig\]', or write bedgraph"):
        small().bigwig(tmp_path / "p.bw")


def flat(values, start=0, controls=None):
    values = np.asarray(values, np.float32)
    place, correct = Interval("20", start, start + len(values)), (values > 0.5).astype(np.float32)
    return Landscape(place, values, correct, 2 - values, "toy", start + len(values), controls or {})


def test_elements_by_hand_or_of_an_annotation(reference, toy):
    values = np.array([0.25, np.nan, 0.5, 1.0, 0.25, 0.5, 0.5, 1.0])
    places = [("chr20", 100, 102, "site"), ("20", 103, 104, "site"), ("20", 102, 104, "site")]
    columns = ["chrom", "start", "end", "element"]
    sites = pd.DataFrame([*places, ("21", 100, 108, "elsewhere")], columns=columns)
    control = {"composition": np.full(8, 0.25, np.float32)}
    found = landscape.by_element(flat(values, 100, control), sites, block=4, draws=50, shifts=20)
    assert list(dict.fromkeys(found.element)) == ["all", "site", "elsewhere"]
    site, one = np.array([0.25, 0.5, 1.0]), row(found, "site")
    assert (one.n, one.blocks) == (3, 1) and np.isnan(one.low)
    assert one.difference == pytest.approx(site.mean() - np.nanmean(values))
    for measure, value in (
        ("probability", site.mean()), ("accuracy", 1 / 3), ("entropy", (2 - site).mean()), ("composition", 0.25),
        ("perplexity", np.exp(-np.log(site).mean())), ("over_composition", site.mean() - 0.25),
    ):  # fmt: skip
        assert row(found, "site", measure).value == pytest.approx(value), measure
    everything = row(found, "all")
    assert (everything.n, everything.blocks) == (7, 2) and everything.difference == 0
    assert everything.null_mean == pytest.approx(everything.value)
    empty = found[found.element == "elsewhere"]
    assert (empty.n == 0).all() and len(empty) == 6
    assert empty[["value", "low", "high", "difference", "null_mean"]].isna().all(axis=None)
    genes = pd.DataFrame({"chrom": "20", "start": [650, 900], "end": [700, 960], "element": "exon"})
    known = annotation.from_table(genes, kinds=["repeat"])
    table = landscape.by_element(made(toy, reference), known, draws=10, shifts=10)
    assert row(table, "exon").n == 110 and row(table, "repeat").n == 0


def test_blocks_and_shifts_equal_brute_force():
    rng = np.random.default_rng(0)
    values = rng.random(300).astype(np.float32)
    values[rng.random(300) < 0.1] = np.nan
    inside = np.repeat(rng.random(60) < 0.3, 5)
    circle = Circle(flat(values, 17), 40)
    starts, ends = circle.stretches(inside)
    sums = circle.summed(values.astype(float))
    block, known, turns = (17 + np.arange(300)) // 40, np.isfinite(values), rng.random(20)
    expected = [np.nansum(values[inside & (block == one)], dtype=float) for one in np.unique(block)]
    np.testing.assert_allclose(circle.by_block(sums, starts, ends), expected, atol=1e-9)
    rolled = [np.roll(inside[known], int(turn * known.sum())) for turn in turns]
    brute = [values[known][one].sum(dtype=float) for one in rolled]
    np.testing.assert_allclose(circle.shifted(sums, starts, ends, turns), brute, atol=1e-9)


def test_a_signal_leaves_the_null_and_noise_does_not():
    rng = np.random.default_rng(1)
    noise, inside = rng.random(20_000) * 0.5, np.arange(300, 20_300) % 400 < 10
    planted = np.where(inside, noise + 0.3, noise)
    for values, found in ((noise, False), (planted, True)):
        table = landscape.by_element(flat(values), {"site": inside}, block=500, draws=200)
        one = row(table, "site")
        assert one.blocks == 40 and one.low < one.value < one.high and (one.value > one.null_high) == found
        assert (one.difference_low > 0) == found
    again = landscape.by_element(flat(planted), {"site": inside}, block=500, draws=200)
    pd.testing.assert_frame_equal(table, again)
    # In two halves everything is counted as in one.
    rows = pd.DataFrame({"chrom": "20", "start": np.flatnonzero(inside), "element": "site"})
    rows["end"] = rows["start"] + 1
    halves = [flat(planted[10_000:], 10_000), flat(planted[:10_000])]
    both = landscape.by_element(halves, rows, block=500, draws=20, shifts=20)
    assert row(both, "site").value == pytest.approx(one.value) and row(both, "site").n == one.n


def test_tables_that_make_no_sense_are_refused():
    part = flat(np.ones(10))
    for given, elements, options, message in (
        ([], {}, {}, "There must be a landscape; received none"),
        ([part, part], {}, {}, "must not overlap, or bases would count twice; received 20:1-10 and 20:1-10"),
        ([part, replace(flat(np.ones(5), 20), model="b")], {}, {}, "be by one model .* received b with .* and toy"),
        ([part, flat(np.ones(5), 20, {"shuffled": np.ones(5)})], {}, {}, r"the same controls; .*\['shuffled'\] and"),
        (part, {"x": np.ones(9, bool)}, {}, r"must cover one landscape, \[10\] bases; 'x' has shape \[9\]"),
        (part, {"x": np.ones(10, bool)}, {"kinds": ["y"]}, "must be one of x; received 'y'"),
        (part, {}, {"block": 0}, "block must be at least 1; received 0"),
        (part, {}, {"shifts": 0}, "shifts must be at least 1; received 0"),
    ):
        with pytest.raises(ValueError, match=message):
            landscape.by_element(given, elements, **options)
    nothing = landscape.by_element(flat(np.full(5, np.nan)), {"x": np.ones(5, bool)}, draws=5, shifts=5)
    assert (nothing.n == 0).all() and nothing.value.isna().all()


def test_the_default_model_over_an_exon():
    model = models.load(device="cpu")
    reference = Reference(data.bundle("chr20"))
    place = Interval("20", 43_028_400, 43_031_400)
    found = landscape.reconstruct(model, reference, place, window=600, what=None)
    assert np.isfinite(found.probability).all() and len(found) == 3_000
    genes = annotation.read(data.bundle("genes"))
    table = landscape.by_element(found, genes, block=500, draws=100, shifts=50)
    everything = row(table, "all")
    # Better than by guessing, and more than composition says.
    assert everything.value > 0.25 and everything.null_mean == pytest.approx(everything.value)
    assert row(table, "all", "over_composition").value > 0
    assert {"exon", "splice_donor", "CDS", "intron", "intergenic"} <= set(table.element)
    assert row(table, "CDS").n == 115 and row(table, "splice_donor").n == 2
