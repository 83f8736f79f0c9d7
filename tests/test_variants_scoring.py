"""Scores of variants against their definitions: one allele, one window, one strand and one pass at a time, on plain strings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from variant_brute import Brute, turned
from variant_toy import ToyModel, another, fasta, toy_reference

from ntviz import data, models
from ntviz.genome import Interval
from ntviz.reference import Reference
from ntviz.variants.alleles import Allele
from ntviz.variants.options import SCORES, Options
from ntviz.variants.scorer import Scorer

ALL = tuple(SCORES)


def check(model, reference, contig: str, alleles: list[Allele], options: Options, atol=2e-5, start=0) -> None:
    scorer = Scorer(model, reference, options)
    found = scorer.score([one._replace(pos=one.pos + start) for one in alleles])
    brute = Brute(model, options, scorer.window_bp)
    for allele, status, row in zip(alleles, found.statuses, found.values, strict=True):
        plain = brute.row(contig, *allele[1:])
        assert (status == "ok") == bool(np.isfinite(plain).any()), (allele, status)
        np.testing.assert_allclose(row, plain, atol=atol, rtol=1e-5, err_msg=f"{allele} {scorer.columns}")


def substitution(contig: str, at: int, length: int = 1, by: int = 1) -> Allele:
    """0-based at; every base changes."""
    ref = contig[at : at + length]
    return Allele("20", at + 1, ref, "".join(another(base, by) for base in ref))


def deletion(contig: str, at: int, length: int) -> Allele:
    return Allele("20", at + 1, contig[at : at + 1 + length], contig[at])


def insertion(contig: str, at: int, bases: str) -> Allele:
    return Allele("20", at + 1, contig[at], contig[at] + bases)


def text_of(reference, name: str = "20") -> str:
    return reference.fetch(reference.whole(name)).sequence


@pytest.fixture
def reference(tmp_path):
    return toy_reference(tmp_path, contigs={"20": 700}, n=[("20", 340, 352)])


def inside(contig: str) -> list[Allele]:
    """Alleles of every kind between the start and the N; 180 to 186 is a token of the grid of 6 and of 3."""
    return [
        *(substitution(contig, 180 + place, by=1 + place % 3) for place in (0, 2, 5)),
        substitution(contig, 182, 3),
        substitution(contig, 184, 4),
        substitution(contig, 184, 10, by=2),
        Allele("20", 181, contig[180:186], another(contig[180]) + contig[181:185] + another(contig[185])),
        deletion(contig, 170, 1),
        deletion(contig, 183, 9),
        insertion(contig, 176, "A"),
        insertion(contig, 185, "GATTACAGA"),
        Allele("20", 190, contig[189:193], another(contig[189]) + another(contig[192])),
        Allele("20", 190, contig[189:191], another(contig[189]) + "ACGTACG" + another(contig[190])),
    ]


VOCABULARIES = {"nt-v1": 6, "nt-v2": 6, "nt-3mer": 3, "single-base": 1}


# The two vocabularies of 6-mers differ in their special tokens alone: the slowest way once.
WAYS = [(one, way) for one in VOCABULARIES for way in ("grid", "place", "frames", "forward") if (one, way) != ("nt-v1", "frames")]  # fmt: skip


@pytest.mark.parametrize(("vocabulary", "way"), WAYS)
def test_every_score_follows_its_definition(reference, vocabulary, way):
    k = VOCABULARIES[vocabulary]
    options = {
        "grid": Options(ALL),
        "place": Options(ALL, place=k // 2, layer=1, region=2),
        "frames": Options(ALL, frames=k, region="window", layer=0),
        "forward": Options(ALL, both_strands=False, region=0),
    }[way]
    contig = text_of(reference)
    check(ToyModel(vocabulary, max_tokens=102 // k + 2), reference, contig, inside(contig), options)


@pytest.mark.parametrize("frames", [1, 6])
@pytest.mark.parametrize("region", ["token", "window", 2])
def test_at_the_contigs_ends_and_beside_n(reference, frames, region):
    contig = text_of(reference)
    # 700 is no multiple of 6: on the grid, the last token is moved back to fit. 336 to 340 is part of a token with N.
    singles = (0, 3, 5, 7, 335, 360, 691, 695, 697, 699)
    alleles = [substitution(contig, at) for at in singles]
    alleles += [substitution(contig, 4, 3), substitution(contig, 690, 4), substitution(contig, 694, 5)]
    put_in = {325: "TTC", 698: "CAT", 699: "GATTACA", 0: "GGTCA"}
    alleles += [insertion(contig, at, bases) for at, bases in put_in.items()]
    alleles += [Allele("20", 1, contig[0], "GATTACA" + contig[0])]
    alleles += [Allele("20", 1, contig[:2], contig[1]), Allele("20", 1, contig[:15], contig[14])]
    taken = {0: 4, 2: 1, 9: 11, 330: 5, 352: 3, 361: 9, 660: 8, 680: 13, 688: 5, 696: 3, 698: 1}
    alleles += [deletion(contig, at, size) for at, size in taken.items()]
    check(ToyModel(max_tokens=22), reference, contig, alleles, Options(ALL, frames=frames, region=region))


@pytest.mark.parametrize("frames", [1, 6])
@pytest.mark.parametrize("length", [61, 66, 126, 130])
def test_contigs_that_are_no_longer_than_the_window(tmp_path, frames, length):
    reference = toy_reference(tmp_path, contigs={"20": length})
    contig = text_of(reference)
    alleles = [substitution(contig, at, by=2) for at in (0, 1, 20, 30, length - 7, length - 1)]
    alleles += [
        substitution(contig, 22, 5),
        insertion(contig, 30, "GA"),
        insertion(contig, 8, "GATTACAGATTACA"),
    ]
    check(ToyModel(max_tokens=22), reference, contig, alleles, Options(ALL, frames=frames, region=1))


@pytest.mark.parametrize("vocabulary", ["nt-v1", "nt-3mer", "single-base"])
def test_random_alleles_on_small_contigs_with_n_follow_the_definition(tmp_path, vocabulary):
    k, rng = VOCABULARIES[vocabulary], np.random.default_rng(11)
    for round_ in range(6):
        length, tokens = int(rng.integers(4 * k, 200)), int(rng.choice([5, 9, 15]))
        n = [("20", at, min(at + 7, length)) for at in rng.integers(0, length, size=round_ % 3)]
        (tmp_path / str(round_)).mkdir()
        reference = toy_reference(tmp_path / str(round_), seed=round_, contigs={"20": length}, n=n)
        contig = text_of(reference)
        alleles = []
        for at in rng.choice([0, 1, 3, length - 6, length - 2, *rng.integers(0, length, size=6)], size=10):
            ref = contig[at : at + int(rng.integers(1, 9))][: int(rng.integers(1, 9))]
            alt = "".join(rng.choice(list("ACGT"), size=int(rng.integers(1, 8))))
            alt = [alt, ref[0], ref + alt, alt + ref, ref[-1]][int(rng.integers(5))]
            half = tokens * k // 2
            if ref != alt and "N" not in ref and len(ref) <= half and len(alt) <= half:
                alleles.append(Allele("20", int(at) + 1, ref, alt))
        way = [{}, {"frames": k}, {"place": k // 2}][round_ % 3]
        model = ToyModel(vocabulary, max_tokens=tokens + (k > 1))
        check(model, reference, contig, alleles, Options(ALL, **way))


def test_repeats_are_scored_at_their_left_end(tmp_path):
    rng = np.random.default_rng(2)
    left, right = ("".join(rng.choice(list("ACGT"), size=160)) for _ in range(2))
    contig = left + "G" + "CA" * 12 + "T" + right
    reference, model = fasta(tmp_path / "repeat.fa", contig), ToyModel(max_tokens=22)
    same = [deletion(contig, at, 2) for at in range(160, 182, 2)]
    same += [Allele("20", 162, "CACACA", "CACA"), Allele("20", 170, contig[169:180], contig[171:180])]
    found = Scorer(model, reference, Options(ALL)).score(same)
    assert np.array_equal(found.values, np.repeat(found.values[:1], len(same), axis=0), equal_nan=True)
    check(model, reference, contig, same[:1] + same[-1:], Options(ALL, frames=6))


@pytest.mark.parametrize("frames", [1, 6])
def test_the_bundled_model_on_chromosome_20(frames):
    model, reference = models.load("ntviz-mini", device="cpu"), Reference(data.bundle("chr20"))
    start = 43_042_002  # on the grid of 6
    around = reference.fetch(Interval("chr20", start, start + 800)).sequence
    alleles = [substitution(around, 363), substitution(around, 400, 3), deletion(around, 420, 4), insertion(around, 377, "GATTACA")]  # fmt: skip
    alleles = alleles[:: 1 if frames == 1 else 2]
    check(model, reference, around, alleles, Options(ALL, frames=frames, window=90, region=1), 2e-4, start)


def test_swapped_alleles_turn_the_sign(tmp_path):
    reference, model = toy_reference(tmp_path), ToyModel(max_tokens=18)
    contig = text_of(reference)
    alleles = [substitution(contig, at, size) for at, size in ((600, 1), (703, 1), (910, 3), (1003, 9))]
    there = Scorer(model, reference, Options(("llr", "base_llr"))).score(alleles)
    back = [Allele(one.chrom, one.pos, one.alt, one.ref) for one in alleles]
    again = Scorer(model, reference, Options(("llr", "base_llr"), on_mismatch="swap")).score(back)
    assert again.statuses == ["swapped"] * 4
    # The masked reading is the same one, unless a token that holds a changed base were seen.
    np.testing.assert_allclose(again.values, -there.values, atol=1e-12)


@pytest.mark.parametrize("frames", [1, 6])
def test_scores_do_not_depend_on_company_order_or_batch(reference, frames):
    contig = text_of(reference)
    alleles = inside(contig)[:: 1 if frames == 1 else 3] * 2
    options = Options(ALL, frames=frames)

    def values(chosen, batch_tokens=16_384):
        scorer = Scorer(ToyModel(max_tokens=18), reference, options, batch_tokens=batch_tokens)
        return scorer.score(chosen).values

    found = values(alleles)
    half = len(alleles) // 2
    assert np.array_equal(found[:half], found[half:], equal_nan=True)
    order = np.random.default_rng(5).permutation(len(alleles))
    for batch_tokens in (1, 40, 333):
        other = values([alleles[i] for i in order], batch_tokens)
        np.testing.assert_allclose(other, found[order], atol=1e-5)
    bad = [Allele("7", 3, "A", "C"), Allele("20", 345, "N", "C"), Allele("20", 9, contig[8], "<DEL>")]
    mixed = values([bad[0], *alleles[:half], *bad[1:]])
    assert np.isnan(mixed[[0, -2, -1]]).all()
    np.testing.assert_allclose(mixed[1:-2], found[:half], atol=1e-5)
    for at in range(0, half, 4):
        np.testing.assert_allclose(values([alleles[at]])[0], found[at], atol=1e-5)


@pytest.mark.parametrize("vocabulary", ["nt-v2", "nt-3mer", "single-base"])
def test_the_other_strand_of_the_genome_gives_the_same_scores(tmp_path, vocabulary):
    k = VOCABULARIES[vocabulary]
    reference = toy_reference(tmp_path, contigs={"20": 401}, n=[("20", 250, 260)])
    contig = text_of(reference)
    other = fasta(tmp_path / "turned.fa", contig[::-1].translate(str.maketrans("ACGT", "TGCA")))
    alleles = [substitution(contig, at) for at in (0, 2, 100, 103, 240, 267, 396, 400)]
    alleles += [substitution(contig, 120, 3), substitution(contig, 151, 9)]
    # Insertions and deletions stand apart, where they cannot move.
    fixed = [
        at for at in range(130, 170)
        if len(set(contig[at : at + 2])) == 2 and all(contig[at + i] != contig[at + i + 3] for i in (0, 1, 3))
    ]  # fmt: skip
    moving = [deletion(contig, at, 3) for at in fixed[:3]]
    both = []
    for sequence, turn in ((reference, False), (other, True)):
        chosen = alleles + moving
        if turn:
            chosen = [Allele("20", len(contig) + 2 - a.pos - len(a.ref), turned(a.ref), turned(a.alt)) for a in chosen]
        model = ToyModel(vocabulary, max_tokens=108 // k)
        found = Scorer(model, sequence, Options(ALL, frames=k)).score(chosen)
        assert set(found.statuses) == {"ok"}
        names = [c.replace("_fwd", "_x").replace("_rev", "_fwd").replace("_x", "_rev") for c in found.columns]
        order = [found.columns.index(name) for name in names] if turn else slice(None)
        sign = np.array([-1 if turn and name.endswith("_gap") else 1 for name in found.columns])
        both.append(found.values[:, order] * sign)
    assert len(moving) == 3
    np.testing.assert_allclose(both[1], both[0], atol=1e-5)


def test_what_is_the_same_is_read_once(tmp_path):
    reference = toy_reference(tmp_path)
    contig = text_of(reference)
    word = [Allele("20", at + 1, contig[at], b) for at in range(600, 606) for b in "ACGT" if b != contig[at]]

    def read(alleles, **options) -> int:
        model = ToyModel()
        Scorer(model, reference, Options(**options)).score(alleles)
        return model.sequences

    masked = ("llr", "base_llr", "entropy")
    assert read(word, scores=masked, both_strands=False) == 1
    assert read(word, scores=masked) == read(word * 3, scores=masked) == 2
    assert read(word[:3], scores=masked, frames=6) == 2 * 6
    assert read(word, scores=masked, frames=6) == 2 * (6 + 5)
    assert read(word, scores=masked, place=3) == 2 * 6
    # The reference once, each alternative once; and nothing that nobody asked for.
    assert read(word, scores=("l2",)) == read(word, scores=("l2", "jsd", "wt_llr", "alt_loss")) == 2 * (1 + 18)
    assert read(word, scores=("llr", "l2")) == 2 * (1 + 1 + 18)
    # A deletion of one base: two tokens of each of two windows, and the reference's where they are the same ones.
    assert read([deletion(contig, 602, 1)], scores=("base_llr", "entropy")) == 0
    assert 2 * (2 * 2 + 2) <= read([deletion(contig, 602, 1)], scores=("llr",)) <= 2 * 2 * (2 + 2)


def test_identity_follows_content(tmp_path):
    reference, model = toy_reference(tmp_path), ToyModel(max_tokens=32)
    contig = text_of(reference)
    alleles = [substitution(contig, 999), insertion(contig, 1200, "GA")]
    third = another(contig[999], 2)
    own = Scorer(model, reference).identity(alleles)
    assert own == Scorer(model, reference, batch_tokens=100).identity(alleles)

    # Other names of the file, the contig and the model, and bases far away, make no difference.
    elsewhere = fasta(tmp_path / "other.fa", contig[:5_000] + "ACGT" * 100, "chr20")
    renamed = ToyModel(max_tokens=32)
    renamed.name = "a copy"
    assert Scorer(renamed, elsewhere).identity([one._replace(chrom="chr20") for one in alleles]) == own

    def identity(changes=alleles, by=model, at=reference, **options):
        return Scorer(by, at, replace(Options(), **options)).identity(changes)

    changed = [alleles[:1], alleles[::-1], [alleles[0]._replace(alt=third), alleles[1]], [alleles[0]._replace(ref=third), alleles[1]]]  # fmt: skip
    weights = [ToyModel(max_tokens=32, seed=1), ToyModel("nt-v2", max_tokens=32), ToyModel(max_tokens=30)]
    others = [identity(one) for one in changed] + [identity(by=one) for one in weights]
    near = contig[:950] + another(contig[950]) + contig[951:]
    others.append(identity(at=fasta(tmp_path / "near.fa", near)))
    others += [identity(**one) for one in (
        {"scores": ("llr",)}, {"frames": 6}, {"place": 3}, {"window": 150}, {"layer": 1}, {"region": "window"}, {"region": 1},
        {"both_strands": False}, {"on_mismatch": "swap"},
    )]  # fmt: skip
    assert len({own, *others}) == 1 + len(others)
    # The default said aloud is the same.
    assert identity(window=186, layer=2) == own


class Nameless(ToyModel):
    """A model that does not say which weights it has."""

    @property
    def info(self):
        return {"name": self.name}


def test_weights_that_are_not_known_have_no_identity(reference):
    scorer, allele = Scorer(Nameless(max_tokens=18), reference), substitution(text_of(reference), 182)
    with pytest.raises(ValueError, match=r"info of toy of nt-v1 has no weights_sha256\. Add it"):
        scorer.identity([allele])
    assert scorer.score([allele]).statuses == ["ok"]
