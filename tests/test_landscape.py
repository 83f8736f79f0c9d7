"""Landscapes: against brute force, on toys with known answers, and whole after any interruption."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from variant_toy import ToyModel, toy_reference

from ntviz import annotation, data, expectation, landscape, models
from ntviz.genome import Interval
from ntviz.landscape.hiding import readings
from ntviz.landscape.tiling import Stretch
from ntviz.models.protocol import Forward
from ntviz.reference import Reference
from ntviz.sequence import codes, reverse_complement, shuffle

PLACE = Interval("20", 600, 1_201)
ARRAYS = ("probability", "correct", "entropy")


@pytest.fixture(scope="module")
def toy():
    return ToyModel(max_tokens=64)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return toy_reference(tmp_path_factory.mktemp("toy"), n=[("20", 1_000, 1_013), ("20", 3_000, 6_000)])


def made(model, reference, place=PLACE, **options):
    return landscape.reconstruct(
        model, reference, place, **{"window": 240, "flank": 60, "what": None, **options}
    )


def same(one, other, **options):
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), **options)


class OneKmer(ToyModel):
    """Expects the same k-mer wherever a token is hidden."""

    expected = "AACGTC"

    def forward(self, batch, *, outputs=("logits",), at=None, layers=None):
        logits = np.full((*at.shape, self.tokenizer.vocabulary.n_logits), -50.0, np.float32)
        logits[..., self.tokenizer.vocabulary.id_of(self.expected)] = 0
        return SimpleNamespace(logits=logits)


class Uniform(ToyModel):
    """Says nothing."""

    def forward(self, batch, *, outputs=("logits",), at=None, layers=None):
        return SimpleNamespace(logits=np.zeros((*at.shape, self.tokenizer.vocabulary.n_logits), np.float32))


# Reconstruction -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [None, 0.15])
def test_a_model_that_expects_one_kmer(reference, share):
    found = made(OneKmer(), reference, share=share)
    bases = reference.fetch(PLACE).sequence
    agrees = np.array([base == "AACGTC"[at % 6] for at, base in zip(range(600, 1_201), bases, strict=True)])
    known = np.isfinite(found.probability)
    # N has no answer, nor have the bases beside it that share a token of the frame with one.
    assert np.flatnonzero(~known).tolist() == list(range(996 - 600, 1_014 - 600))
    np.testing.assert_allclose(found.probability[known], agrees[known], atol=1e-6)
    assert (found.correct[known] == agrees[known]).all()
    np.testing.assert_allclose(found.entropy[known], 0, atol=1e-5)
    assert found.perplexity[known & agrees] == pytest.approx(1)
    assert np.isnan(found.perplexity[~known]).all()


def test_a_uniform_model_says_nothing(reference):
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
        total, count = 0, 0
        window = reference.fetch(Interval("20", core - 60, core + 180)).sequence
        for frame in range(frames):
            text = window[frame : frame + 240 - (6 if frame else 0)]
            texts = [text, reverse_complement(text)] if both_strands else [text]
            for strand, one in enumerate(texts):
                p = expectation.masked(toy, one, frames=1, both_strands=False, what=None).probabilities
                p = p[::-1, ::-1] if strand else p
                total = total + p[60 - frame : 180 - frame]
                count += 1
        p = total / count
        here = slice(core - 1_200, min(core - 1_080, 150))
        p = p[: here.stop - here.start]
        own = p[np.arange(len(p)), codes(reference.fetch(place).sequence)[here]]
        np.testing.assert_allclose(found.probability[here], own, atol=2e-6)
        np.testing.assert_allclose(found.entropy[here], -(p * np.log2(p)).sum(axis=1), atol=1e-4)
        assert (found.correct[here] == (own == p.max(axis=1))).mean() > 0.99


@pytest.mark.parametrize(("apart", "passes"), [(None, 20), (7, 7)])
def test_every_token_is_hidden_exactly_once(toy, reference, apart, passes):
    place, wanted = Stretch(600, 840), Stretch(660, 780)
    text = reference.fetch(Interval("20", 600, 840)).sequence
    plain = toy.tokenize(text).ids
    found = list(readings(toy, text, place, wanted, apart=apart, both_strands=False, shuffled=False))
    assert len(found) == passes
    assert sorted(np.concatenate([one.starts for one in found]).tolist()) == list(range(660, 780, 6))
    for one in found:
        hidden = np.flatnonzero(one.tokens.ids == toy.mask_id)
        assert set(one.asked) <= set(hidden.tolist())
        assert (one.tokens.ids[hidden] != plain[hidden]).all() and (np.diff(hidden) == apart).all()
        kept = np.setdiff1d(np.arange(len(plain)), hidden)
        assert (one.tokens.ids[kept] == plain[kept]).all()


def test_hiding_many_at_once_is_another_question(toy, reference):
    one = made(toy, reference, share=None)
    # The toy sees no further than 4 tokens: with every 7th hidden it misses nothing, with every 2nd it does.
    same(made(toy, reference), one, atol=1e-5)
    many = made(toy, reference, share=0.5)
    assert np.array_equal(np.isfinite(one.probability), np.isfinite(many.probability))
    assert np.nanmax(abs(one.probability - many.probability)) > 1e-2


@pytest.mark.parametrize("share", [None, 0.2])
def test_a_base_does_not_depend_on_the_interval_batch_or_piece(toy, reference, share):
    options = {"share": share, "frames": 2, "control": ("shuffled", "composition")}
    whole = made(toy, reference, **options)
    part = made(toy, reference, Interval("chr20", 731, 1_100, "-"), batch_tokens=1, piece=100, **options)
    expected = whole.within(Interval("20", 731, 1_100))
    same(part, expected, atol=1e-6)
    assert list(part.controls) == ["composition", "shuffled"]
    for name, values in part.controls.items():
        np.testing.assert_allclose(values, expected.controls[name], atol=1e-6)
    with pytest.raises(ValueError, match="must lie inside 20:601-1,201; received 20:1-700"):
        whole.within(Interval("20", 0, 700))


def test_the_ends_of_a_contig_and_text_are_taken(toy, reference):
    found = made(toy, reference, "20:1-50")
    assert np.isfinite(found.probability[:48]).all() and len(found) == 50
    before_n = made(toy, reference, Interval("20", 2_990, 3_010))
    assert np.isfinite(before_n.probability).tolist() == [True] * 10 + [False] * 10


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
    assert sorted(shuffle(text, seed=1)) == sorted(text)


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "options", "message"),
    [
        ("7:1-10", {}, "A contig must be one of those present; received '7'"),
        ("20:5,990-6,010", {}, "must lie on its contig; received 20:5,990-6,010, and 20 has 6,000 bp"),
        ("20:3,100-3,200", {}, "must hold a base that is known; 20:3,100-3,200 holds only N"),
        (PLACE, {"frames": 0}, "frames must lie in 1 to 6, the bases of a token; received 0"),
        (PLACE, {"frames": 7}, "frames must lie in 1 to 6, the bases of a token; received 7"),
        (PLACE, {"share": 0.6}, "share must lie above 0 and up to 0.5 of the tokens; received 0.6"),
        (PLACE, {"share": 0}, "share must lie above 0 and up to 0.5 of the tokens; received 0"),
        (
            PLACE,
            {"window": 17},
            "must have 3 tokens, 18 bp, to the 378 bp that toy of nt-v1 reads; received 17",
        ),
        (PLACE, {"window": 900}, "to the 378 bp that toy of nt-v1 reads; received 900"),
        (
            PLACE,
            {"flank": 120},
            "Two flanks must leave a token of the window of 240 bp; received flanks of 120",
        ),
        (
            PLACE,
            {"flank": -1},
            "Two flanks must leave a token of the window of 240 bp; received flanks of -1",
        ),
        (PLACE, {"control": "random"}, "control must be one of composition, shuffled; received 'random'"),
        (PLACE, {"batch_tokens": 0}, "batch_tokens must be at least 1; received 0"),
        (PLACE, {"piece": 0}, "piece must be at least 1 bp; received 0"),
    ],
)
def test_what_cannot_be_done_is_said(toy, reference, place, options, message):
    with pytest.raises(ValueError, match=message):
        made(toy, reference, place, **options)


def test_models_without_a_mask_or_words_of_one_length_are_refused(reference):
    class Causal(ToyModel):
        @property
        def mask_id(self):
            raise ValueError("it reads from left to right")

    class Learned(ToyModel):
        def tokenize(self, sequence, *, phase=0):
            return SimpleNamespace(vocabulary=SimpleNamespace(name="bpe-4096", k=1))

    with pytest.raises(ValueError, match="trained with a mask; toy of nt-v1 has none .it reads from left"):
        made(Causal(), reference)
    with pytest.raises(ValueError, match="tokens of one length, k bases each; toy of nt-v1 has bpe-4096"):
        made(Learned(), reference)


# Folders --------------------------------------------------------------------------------------------------------------


class Failing(ToyModel):
    """Dies after some forward passes."""

    left = 3

    def forward(self, batch, **options) -> Forward:
        if not self.left:
            raise KeyboardInterrupt("stopped")
        self.left -= 1
        return super().forward(batch, **options)


def test_a_killed_run_goes_on_and_a_lost_piece_alone_is_made_again(reference, tmp_path):
    options = {"piece": 120, "control": ("composition", "shuffled")}
    plain = made(ToyModel(), reference, **options)
    dying = Failing()
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        made(dying, reference, out=tmp_path / "out", **options)
    kept = sorted((tmp_path / "out" / "pieces").iterdir())
    assert len(kept) == 3
    again = ToyModel()
    found = made(again, reference, out=tmp_path / "out", **options)
    same(found, plain)
    np.testing.assert_array_equal(found.controls["shuffled"], plain.controls["shuffled"])
    assert isinstance(found.probability, np.memmap)
    pieces = sorted((tmp_path / "out" / "pieces").iterdir())
    assert len(pieces) == 6 and again.forwards == 3
    pieces[1].unlink()
    pieces[4].write_bytes(pieces[4].read_bytes()[:-20])
    last = ToyModel()
    same(made(last, reference, out=tmp_path / "out", **options), plain)
    assert last.forwards == 2
    rest = ToyModel()
    same(made(rest, reference, out=tmp_path / "out", **options), plain)
    assert rest.forwards == 0
    assert not [path for path in (tmp_path / "out").rglob("*") if "tmp" in path.name]


def test_a_folder_of_other_settings_is_refused(toy, reference, tmp_path):
    made(toy, reference, out=tmp_path / "out")
    for options, message in (
        ({"share": None}, "was made with tokens_apart = 7, and None came"),
        ({"frames": 2}, "was made with frames = 1, and 2 came"),
        ({"place": Interval("20", 0, 60)}, "was made with end = 1201, and 60 came"),
    ):
        with pytest.raises(ValueError, match=message):
            made(toy, reference, out=tmp_path / "out", **options)
    with pytest.raises(ValueError, match="was made with weights = 'toy"):
        made(ToyModel(seed=1), reference, out=tmp_path / "out")
    (tmp_path / "out" / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"A manifest must be JSON that ntviz wrote; .*manifest.json is not"):
        made(toy, reference, out=tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(
        ValueError, match=r"must be new, empty, or hold manifest.json; .*other holds something else"
    ):
        made(toy, reference, out=tmp_path / "other")


def test_pieces_of_other_bases_are_made_again(toy, reference, tmp_path):
    made(toy, reference, out=tmp_path / "out")
    (tmp_path / "fa").mkdir()
    other = toy_reference(tmp_path / "fa", seed=5)
    found = made(toy, other, out=tmp_path / "out")
    same(found, made(toy, other))
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["contig"] == "20"


# The default model ----------------------------------------------------------------------------------------------------


def row(table, element, measure="probability"):
    found = table[(table.element == element) & (table.measure == measure)]
    assert len(found) == 1
    return found.iloc[0]


def test_the_default_model_over_an_exon():
    model = models.load(device="cpu")
    reference = Reference(data.bundle("chr20"))
    place = Interval("20", 43_028_400, 43_031_400)
    found = landscape.reconstruct(model, reference, place, what=None)
    assert np.isfinite(found.probability).all() and len(found) == 3_000
    table = landscape.by_element(
        found, annotation.read(data.bundle("genes")), block=500, draws=100, shifts=50
    )
    everything = row(table, "all")
    # Better than by guessing, and more than composition says.
    assert everything.value > 0.25 and everything.null_mean == pytest.approx(everything.value)
    assert row(table, "all", "over_composition").value > 0
    assert {"exon", "splice_donor", "CDS", "intron", "intergenic"} <= set(table.element)
    assert row(table, "CDS").n == 115 and row(table, "splice_donor").n == 2
    one = landscape.reconstruct(
        model, reference, Interval("20", 43_030_002, 43_030_122), share=None, what=None
    )
    many = found.within(one.interval)
    assert 0 < abs(one.probability - many.probability).mean() < 0.1
