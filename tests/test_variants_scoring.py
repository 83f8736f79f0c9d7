"""Alleles in VCF's normal form, windows and statuses; scores against their definitions, one window and pass at a time."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from variant_brute import Brute, changed, turned, window
from variant_toy import ToyModel, another, fasta, toy_reference

from ntviz import data, models
from ntviz.genome import Interval, Variant
from ntviz.reference import Reference
from ntviz.variants.alleles import SCORED, STATUSES, Allele, Change, left_aligned, smallest
from ntviz.variants.options import SCORES, Options
from ntviz.variants.plan import LONG_INDEL, Mismatch, Planner
from ntviz.variants.scorer import Scorer
from ntviz.variants.windows import Contig

LENGTH = 6_000
N = (2_000, 2_050)


@pytest.fixture
def reference(tmp_path):
    return toy_reference(tmp_path, contigs={"20": LENGTH, "tiny": 5}, n=[("20", *N)])


@pytest.fixture
def contig(reference):
    return reference.fetch(Interval("20", 0, LENGTH)).sequence


@pytest.fixture
def model():
    return ToyModel(max_tokens=32)


def given(contig: str) -> dict[str, list[tuple[int, str, str]]]:
    """Status -> (1-based position, REF, ALT); windows of 186 bp."""
    here = contig[999]
    wrong, last = another(here), contig[N[0] - 1]
    return {
        "ok": [(1000, here, wrong), (1000, here.lower(), wrong.lower()), (1, contig[0], another(contig[0]))],
        "ref_mismatch": [(1000, wrong, here), (1000, wrong, another(here, 2)), (1000, wrong, wrong + "A")],
        "out_of_bounds": [(0, "A", "C"), (-1, "A", "C"), (LENGTH + 1, "A", "C"), (LENGTH, contig[-1] + "A", "C")],
        # Of the last one the base is there, and its token on the grid holds an N: 1,998 to 2,004.
        "n_in_window": [(N[0] + 5, "A", "C"), (N[0], last + "A", last), (N[0], last, another(last))],
        "ambiguous_base": [(1000, here, "N"), (1000, here, "R"), (1000, "N", "C"), (1000, "y", "C")],
        "symbolic": [(1000, here, text) for text in ("<DEL>", "*", "A[20:17[", "]20:17]A", "<NON_REF>", ".A", "<*>")],
        "missing": [(1000, here, "."), (1000, here, "")],
        "same_as_ref": [(1000, here, here), (1000, here, here.lower()), (1000, contig[999:1003], contig[999:1003])],
        "too_long": [(1000, contig[999:1093], here), (1000, here, here + "ACGTA" * 20)],
        "malformed": [(1000, "", "A"), (1000, ".", "A"), (1000, "A C", "A"), (1000, "1", "A"), (1000, "<X>", "A")],
    }


def test_each_status_and_nothing_else(reference, contig, model):
    cases = given(contig)
    # no_gene is of splice networks alone.
    assert {*cases, "swapped", "duplicate", "contig_missing", "no_gene"} == set(STATUSES)
    alleles = [Allele("20", *one) for rows in cases.values() for one in rows]
    wanted = [status for status, rows in cases.items() for _ in rows]
    here = reference.fetch("tiny:3-3").sequence
    alleles += [Allele("tiny", 3, here, another(here))]  # a contig shorter than a token
    alleles += [Allele("7", 100, "A", "C"), Allele("", 100, "A", "C"), Allele("chr20x", 1, "<DEL>", ".")]
    wanted += ["out_of_bounds", *["contig_missing"] * 3]
    found = Scorer(model, reference, Options(tuple(SCORES))).score(alleles)
    assert found.statuses == wanted
    for status, row in zip(found.statuses, found.values, strict=True):
        # Every score there is for what is scored, none for the rest.
        assert np.isfinite(row).all() if status in SCORED else np.isnan(row).all()
    first = [0, wanted.index("ref_mismatch"), wanted.index("n_in_window"), -1]
    assert [found.ref_agrees[at] for at in first] == [True, False, None, None]
    # Too long begins above half a window.
    for put, status in (("GGG", "ok"), ("GGGG", "too_long")):
        allele = Allele("20", 1000, contig[999], contig[999] + "ACGTA" * 18 + put)
        assert Planner(reference, 6, 31).plan(allele).status == status
    tiny = Scorer(model, reference, Options(frames=6)).score([Allele("tiny", 3, here, another(here))])
    assert tiny.statuses == ["out_of_bounds"]


def test_what_is_put_in_before_n_is_read_from_its_left(tmp_path, model):
    contig = "ACGTTGCAGA" * 60 + "N" * 30 + "ACGT" * 50
    found = Planner(fasta(tmp_path / "before.fa", contig), 6, 31).plan(Allele("20", 600, "A", "AGG"))
    assert (found.status, found.change) == ("ok", Change(600, 600, "", "GG"))
    assert [pair.alignment for pair in found.pairs] == [1]
    assert found.pairs[0].reference == contig[600 - 186 : 600]
    assert found.pairs[0].alternative == contig[600 - 184 : 600] + "GG"


def test_letters_of_the_reference_that_are_no_bases_are_n(tmp_path, model):
    found = fasta(tmp_path / "iupac.fa", "ACGT" * 60 + "R" + "acgt" * 60)
    alleles = [Allele("20", 241, "R", "A"), Allele("20", 241, "A", "G"), Allele("20", 302, "A", "G")]
    scored = Scorer(model, found).score(alleles)
    assert scored.statuses == ["ambiguous_base", "n_in_window", "ok"]
    assert scored.ref_agrees == [None, None, True]


def test_names_of_one_contig(reference, contig, model):
    alleles = [Allele(name, 1000, contig[999], another(contig[999])) for name in ("20", "chr20", "NC_000020.10")]
    found = Scorer(model, reference).score(alleles)
    assert found.statuses == ["ok"] * 3 and np.array_equal(found.values, np.repeat(found.values[:1], 3, axis=0))
    grch37 = Reference(data.bundle("chr20"))
    assert Planner(grch37, 6, 31).plan(Allele("NC_000020.10", 43042364, "C", "T")).status == "ok"
    assert Planner(grch37, 6, 31).plan(Allele("NC_000020.11", 43042364, "C", "T")).status == "contig_missing"


@pytest.mark.parametrize("size", [1, 3])
def test_mismatches_are_skipped_flagged_swapped_or_fatal(reference, contig, model, tmp_path, size):
    here = contig[998 : 998 + size]
    ref, alt = ("".join(another(base, by) for base in here) for by in (1, 2))
    three = [Allele("20", 999, *ends) for ends in ((ref, alt), (ref, here), (ref + contig[998 + size], ref))]
    found = {
        how: Scorer(model, reference, Options(tuple(SCORES), on_mismatch=how)).score(three)
        for how in ("skip", "flag", "swap")
    }
    assert found["skip"].statuses == found["flag"].statuses == ["ref_mismatch"] * 3
    assert found["swap"].statuses == ["ref_mismatch", "swapped", "ref_mismatch"]
    assert all(one.ref_agrees == [False] * 3 for one in found.values()) and np.isnan(found["skip"].values).all()
    assert np.isnan(found["swap"].values[[0, 2]]).all()
    assert np.array_equal(found["swap"].values[1], found["flag"].values[1])
    # Flagged: as if the reference had the record's REF.
    patched = fasta(tmp_path / "patched.fa", contig[:998] + ref + contig[998 + size :])
    plain = Scorer(model, patched, Options(tuple(SCORES))).score(three)
    assert plain.statuses == ["ok"] * 3
    np.testing.assert_allclose(found["flag"].values, plain.values, atol=1e-6)


def test_the_first_mismatch_ends_the_run(reference, contig, model):
    good = Allele("20", 1000, contig[999], another(contig[999]))
    bad = Allele("chr20", 1000, another(contig[999]), contig[999])
    scorer = Scorer(model, reference, Options(on_mismatch="fail"))
    for _ in range(2):
        with pytest.raises(Mismatch, match=rf"chr20:1000 {bad.ref}>{bad.alt}, where the reference has {bad.alt}\."):
            scorer.score([good, bad])
    # What is wrong in another way is a status still.
    assert scorer.score([good, Allele("20", 1000, bad.ref, "<DEL>")]).statuses == ["ok", "symbolic"]


@pytest.mark.parametrize("k", [1, 3, 6])
def test_windows_are_the_nearest_with_the_best_margins(tmp_path, k):
    rng, seen = np.random.default_rng(0), set()
    for length in range(28, 70, 1 if k == 6 else 4):
        text = "".join(rng.choice(list("ACGT"), size=length))
        if length % 3 == 0:
            text = "N" * (length % 5) + text + "NACGTACGT"
        contig = Contig(fasta(tmp_path / f"{length}.fa", text), "20")
        assert contig.window(-1, k, 5) is contig.window(len(text) - k + 1, k, 5) is None
        for token in range(len(text) - k):
            for margin in (margin for margin in (0, 1, 4, 6) if margin <= k):
                # Bases that may be taken out ask for a margin; without any it is the window of a substitution.
                taken = text[token : token + margin]
                found = contig.window(token, k, 5, margin)
                plain = window(text, token, taken or text[token], "" if taken else text[token], k, 5, token % k)
                assert plain == (None if found is None else (found.start, found.length))
                if found is None:
                    continue
                begin, right = found.start - found.margin, len(found.bases) - found.margin - found.length
                assert found.bases == text[begin : begin + len(found.bases)]
                assert found.inside == text[found.start : found.start + found.length]
                assert "N" not in found.bases and found.moved == found.start - (token - 2 * k)
                assert 0 <= found.margin <= margin and 0 <= right <= margin
                seen.add((found.margin == margin, right == margin, found.length == 5 * k))
    assert k < 6 or (len(seen) >= 7 and (False, False, False) not in seen)


def test_bases_are_fetched_right_across_blocks():
    reference = Reference(data.bundle("chr20"))
    contig = Contig(reference, "chr20")
    for start in (262_140, 524_288, 524_287, 63_025_500, 60_000, 786_400, 262_100):
        bases = reference.fetch(Interval("20", start, start + 40)).sequence
        assert contig.bases(start, start + 40) == bases[: 63_025_520 - start]
    assert contig.bases(1_000_000, 1_600_000) == reference.fetch(Interval("20", 1_000_000, 1_600_000)).sequence
    assert contig.bases(-20, 0) == contig.bases(63_025_520, 63_025_600) == ""


def test_notes_say_what_is_unusual(reference, contig, tmp_path):
    def note(pos, ref, alt, **options) -> str:
        return Planner(reference, 6, 31, **options).plan(Allele("20", pos, ref, alt)).note

    assert note(1000, contig[999], another(contig[999])) == ""
    assert note(13, contig[12], another(contig[12])) == "window moved +78 bp, off an end or N"
    assert note(1995, contig[1994], another(contig[1994])) == "window moved -90 bp, off an end or N"
    assert note(2, contig[1], another(contig[1]), frames=6).startswith("2 of 6 frames fit; ")
    assert note(2, contig[1], another(contig[1]), place=3).startswith("place 1 of the token, off an end; ")
    assert note(1000, contig[999], another(contig[999]), place=3) == ""
    assert note(1, contig[:2], contig[1]).endswith("; one boundary alignment only")
    assert note(1000, contig[999 : 1000 + LONG_INDEL], contig[999]) == ""
    assert note(1000, contig[999 : 1001 + LONG_INDEL], contig[999]) == "51 bp, above 50 bp: read with caution"
    short = Planner(fasta(tmp_path / "short.fa", contig[:100]), 6, 31).plan(
        Allele("20", 50, contig[49], another(contig[49]))
    )
    assert "contig shorter than the window: 96 bp read" in short.note


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"scores": ("llr", "lrl")}, ValueError, r"among llr, .*, or all; received 'lrl'\. Name"),
        ({"scores": ()}, ValueError, r"received 'none'"),
        ({"on_mismatch": "ignore"}, ValueError, r"one of skip, flag, swap, fail; received 'ignore'\. Use"),
        ({"region": "all"}, ValueError, r"'token', 'window' or a number .* received 'all'\."),
        ({"region": -1}, ValueError, r"received -1\."),
        ({"region": True}, ValueError, r"received True\."),
        ({"frames": 6, "place": 3}, ValueError, r"frames=1 only; received .* Leave"),
        ({"frames": "6"}, TypeError, r"frames must be a whole number; received '6'\. Pass an int\."),
        ({"window": 600.0}, TypeError, r"window must be a whole number; received 600\.0\. Pass an int, or None\."),
        ({"place": "3"}, TypeError, r"place must .* received '3'"),
        ({"layer": True}, TypeError, r"layer must .* received True"),
        ({"both_strands": 1}, TypeError, r"both_strands must be True or False; received 1\."),
        # What does not fit the model.
        ({"frames": 3}, ValueError, r"frames must be 1 or 6, the bases of a token of toy of nt-v1; received 3\. Use"),
        ({"place": 6}, ValueError, r"place must be in 0 to 5 for tokens of 6 bp; received 6\."),
        ({"place": -1}, ValueError, r"received -1\."),
        ({"window": 17}, ValueError, r"window must be 18 to 186 bp for toy of nt-v1; received 17\. Choose"),
        ({"window": 6_000}, ValueError, r"received 6000\."),
        ({"layer": 3}, ValueError, r"layer must be 0 .* to 2 .* received 3\."),
        ({"layer": -1}, ValueError, r"received -1\."),
    ],
)
def test_options_refuse(reference, model, given, error, message):
    with pytest.raises(error, match=message):
        Scorer(model, reference, Options(**given))


def test_windows_are_an_odd_number_of_tokens_columns_are_named_and_numbers_of_numpy_are_numbers():
    assert Options(frames=np.int64(6), window=np.int32(600)) == Options(frames=6, window=600)
    assert type(Options(layer=np.int64(1)).about["layer"]) is int
    for bp, tokens in {18: 3, 29: 3, 30: 5, 600: 99, 6_000: 999, 12_282: 2047}.items():
        assert Options(window=bp).fit(6, 12_282, 2, "toy") == (tokens, 2)
    # As the paper unless asked; as the model where it reads less.
    assert Options().fit(6, 12_282, 2, "toy") == (999, 2)
    assert Options(layer=0).fit(6, 5_994, 2, "toy") == (999, 0) and Options().fit(6, 600, 2, "toy") == (99, 2)
    assert Options("llr").columns == ("llr", "llr_fwd", "llr_rev", "llr_gap")
    forward = Options(("l2", "llr"), frames=6, both_strands=False)
    assert forward.columns == ("l2", "l2_spread", "llr", "llr_spread")
    assert Options("all").scores == tuple(SCORES) and Options(("llr", "llr")).scores == ("llr",)
    assert len({score.key for score in SCORES.values()}) == len(SCORES)


def repetitive(seed: int, length: int = 900) -> str:
    rng = np.random.default_rng(seed)
    units = ["A", "CA", "CAG", "GT", "AAAT", "ACGTTGCA", "T"]
    parts: list[str] = []
    while sum(map(len, parts)) < length:
        parts.append(str(rng.choice(units)) * int(rng.integers(1, 12)))
        parts.append("".join(rng.choice(list("ACGT"), size=int(rng.integers(0, 5)))))
    return "".join(parts)[:length]


def random_alleles(contig: str, seed: int, count: int) -> list[tuple[int, str, str]]:
    """Indels, substitutions and both at once, with bases around that need not be there, somewhere in a contig."""
    rng = np.random.default_rng(seed)
    found: list[tuple[int, str, str]] = []
    while len(found) < count:
        at, cut = int(rng.integers(1, len(contig) - 40)), int(rng.integers(0, 9))
        put = contig[at + 5 : at + 5 + int(rng.integers(0, 9))]
        if rng.random() < 0.3:
            put = "".join(rng.choice(list("ACGT"), size=len(put)))
        before, after = int(rng.integers(1, 4)), int(rng.integers(0, 4))
        begin = max(at - before, 0)
        left, right = contig[begin:at], contig[at + cut : at + cut + after]
        ref, alt = left + contig[at : at + cut] + right, left + put + right
        if ref != alt:
            found.append((begin + 1, ref, alt))
    return found


def test_the_form_is_the_same_edit_shortest_and_leftmost():
    for seed in range(6):
        contig = repetitive(seed, 300)
        for pos, ref, alt in random_alleles(contig, seed, 60):
            short = smallest(pos - 1, ref, alt)
            change = left_aligned(short, lambda at, contig=contig: contig[at : at + 1] if at >= 0 else "")
            assert contig[change.start : change.end] == change.ref
            edited = contig[: pos - 1] + alt + contig[pos - 1 + len(ref) :]
            assert contig[: change.start] + change.alt + contig[change.end :] == edited
            assert (change.start, change.ref, change.alt) == changed(contig, pos, ref, alt)
            assert change.length == max(len(change.ref), len(change.alt)) <= short.length


def test_the_form_is_that_of_bcftools(tmp_path):
    contig = repetitive(9)
    reference = fasta(tmp_path / "repeats.fa", contig)
    alleles = [*random_alleles(contig, 9, 400), (1, contig[:3], contig[2]), (1, contig[0], contig[0] * 3)]
    alleles += [(880, contig[879:890], contig[879:889]), (900, contig[899], contig[899] * 2)]
    lines = ["##fileformat=VCFv4.2", f"##contig=<ID=20,length={len(contig)}>"]
    lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
    for (pos, ref, alt), name in sorted(zip(alleles, range(len(alleles)), strict=True)):
        lines.append(f"20\t{pos}\t{name}\t{ref}\t{alt}\t.\t.\t.")
    (tmp_path / "in.vcf").write_text("\n".join(lines) + "\n")
    command = ["bcftools", "norm", "-c", "e", "-f", reference.path, tmp_path / "in.vcf"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    planner, kinds = Planner(reference, 6, 31), set()
    rows = [line.split("\t") for line in output.splitlines() if not line.startswith("#")]
    assert len(rows) == len(alleles)
    for _, pos, name, ref, alt, *_ in rows:
        change = planner.plan(Allele("20", *alleles[int(name)])).change
        start = int(pos) - 1
        if len(ref) != len(alt) and 1 in (len(ref), len(alt)):
            # VCF keeps one base beside an insertion or deletion: the one before, or at the very start the one after.
            if start == 0 and ref[-1] == alt[-1]:
                ref, alt = ref[:-1], alt[:-1]
            elif ref[0] == alt[0]:
                start, ref, alt = start + 1, ref[1:], alt[1:]
        assert change == Change(start, start + len(ref), ref, alt), alleles[int(name)]
        kinds.add(change.kind)
    assert kinds == {"SNV", "MNV", "insertion", "deletion", "delins"}
    assert Allele.of("chr20:1,000 C>T") == ("chr20", 1000, "C", "T")
    assert Allele.of(Variant("20", 1000, "C", "CA")) == ("20", 1000, "C", "CA")


# Scores against their definitions: one allele, one window, one strand and one pass at a time, on plain strings --------


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
def short(tmp_path):
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
def test_every_score_follows_its_definition(short, vocabulary, way):
    k = VOCABULARIES[vocabulary]
    options = {
        "grid": Options(ALL),
        "place": Options(ALL, place=k // 2, layer=1, region=2),
        "frames": Options(ALL, frames=k, region="window", layer=0),
        "forward": Options(ALL, both_strands=False, region=0),
    }[way]
    contig = text_of(short)
    check(ToyModel(vocabulary, max_tokens=102 // k + 2), short, contig, inside(contig), options)


@pytest.mark.parametrize(("region", "frames"), [("token", 1), ("window", 1), (2, 1), (2, 6)])
def test_at_the_contigs_ends_and_beside_n(short, frames, region):
    contig = text_of(short)
    # 700 is no multiple of 6: on the grid, the last token is moved back to fit. 336 to 340 is part of a token with N.
    singles = (0, 3, 5, 7, 335, 360, 691, 695, 697, 699)
    alleles = [substitution(contig, at) for at in singles]
    alleles += [substitution(contig, 4, 3), substitution(contig, 690, 4), substitution(contig, 694, 5)]
    alleles += [insertion(contig, *one) for one in ((325, "TTC"), (698, "CAT"), (699, "GATTACA"), (0, "GGTCA"))]
    alleles += [Allele("20", 1, contig[0], "GATTACA" + contig[0])]
    alleles += [Allele("20", 1, contig[:2], contig[1]), Allele("20", 1, contig[:15], contig[14])]
    taken = {0: 4, 2: 1, 9: 11, 330: 5, 352: 3, 361: 9, 660: 8, 680: 13, 688: 5, 696: 3, 698: 1}
    alleles += [deletion(contig, at, size) for at, size in taken.items()]
    check(ToyModel(max_tokens=22), short, contig, alleles, Options(ALL, frames=frames, region=region))


@pytest.mark.parametrize(("frames", "length"), [(6, 61), (1, 66), (1, 126), (6, 130)])
def test_contigs_that_are_no_longer_than_the_window(tmp_path, frames, length):
    reference = toy_reference(tmp_path, contigs={"20": length})
    contig = text_of(reference)
    alleles = [substitution(contig, at, by=2) for at in (0, 1, 20, 30, length - 7, length - 1)]
    alleles += [substitution(contig, 22, 5), insertion(contig, 30, "GA"), insertion(contig, 8, "GATTACAGATTACA")]
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
    alleles = [substitution(around, 400, 3), insertion(around, 377, "GATTACA"), substitution(around, 363)]
    alleles = [*alleles[:2], deletion(around, 420, 4)] if frames == 1 else alleles[2:]
    check(model, reference, around, alleles, Options(ALL, frames=frames, window=90, region=1), 2e-4, start)


@pytest.mark.parametrize("frames", [1, 6])
def test_scores_do_not_depend_on_company_order_or_batch(short, frames):
    contig = text_of(short)
    alleles = inside(contig)[:: 1 if frames == 1 else 3] * 2
    options = Options(ALL, frames=frames)

    def values(chosen, batch_tokens=16_384):
        scorer = Scorer(ToyModel(max_tokens=18), short, options, batch_tokens=batch_tokens)
        return scorer.score(chosen).values

    found, half = values(alleles), len(alleles) // 2
    assert np.array_equal(found[:half], found[half:], equal_nan=True)
    order = np.random.default_rng(5).permutation(len(alleles))
    for batch_tokens in (1, 40, 333):
        np.testing.assert_allclose(values([alleles[i] for i in order], batch_tokens), found[order], atol=1e-5)
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
    alleles += [deletion(contig, at, 3) for at in fixed[:3]]
    there = [Allele("20", len(contig) + 2 - a.pos - len(a.ref), turned(a.ref), turned(a.alt)) for a in alleles]
    both = []
    for sequence, chosen, turn in ((reference, alleles, False), (other, there, True)):
        found = Scorer(ToyModel(vocabulary, max_tokens=108 // k), sequence, Options(ALL, frames=k)).score(chosen)
        assert set(found.statuses) == {"ok"}
        names = [c.replace("_fwd", "_x").replace("_rev", "_fwd").replace("_x", "_rev") for c in found.columns]
        order = [found.columns.index(name) for name in names] if turn else slice(None)
        sign = np.array([-1 if turn and name.endswith("_gap") else 1 for name in found.columns])
        both.append(found.values[:, order] * sign)
    assert len(alleles) == 13
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
    assert read(word, scores=masked, frames=6) == 2 * (6 + 5) and read(word, scores=masked, place=3) == 2 * 6
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

    changed = [alleles[:1], alleles[::-1], *([alleles[0]._replace(**{x: third}), alleles[1]] for x in ("ref", "alt"))]
    weights = [ToyModel(max_tokens=32, seed=1), ToyModel("nt-v2", max_tokens=32), ToyModel(max_tokens=30)]
    others = [*map(identity, changed), *(identity(by=one) for one in weights)]
    near = contig[:950] + another(contig[950]) + contig[951:]
    others.append(identity(at=fasta(tmp_path / "near.fa", near)))
    others += [identity(**one) for one in (
        {"scores": ("llr",)}, {"frames": 6}, {"place": 3}, {"window": 150}, {"layer": 1}, {"region": "window"}, {"region": 1},
        {"both_strands": False}, {"on_mismatch": "swap"},
    )]  # fmt: skip
    assert len({own, *others}) == 1 + len(others)
    # The default said aloud is the same.
    assert identity(window=186, layer=2) == own


def test_weights_that_are_not_known_have_no_identity(short):
    class Nameless(ToyModel):
        info = property(lambda self: {"name": self.name})

    scorer, allele = Scorer(Nameless(max_tokens=18), short), substitution(text_of(short), 182)
    with pytest.raises(ValueError, match=r"info of toy of nt-v1 has no weights_sha256\. Add it"):
        scorer.identity([allele])
    assert scorer.score([allele]).statuses == ["ok"]
