"""Alleles in VCF's normal form; what is read for them, or the status that says why nothing is; windows; options."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from variant_brute import changed, window
from variant_toy import ToyModel, another, fasta, toy_reference

from ntviz import data
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
    alleles += [Allele("7", 100, "A", "C"), Allele("", 100, "A", "C"), Allele("chr20x", 1, "<DEL>", ".")]
    wanted += ["contig_missing"] * 3
    found = Scorer(model, reference, Options(tuple(SCORES))).score(alleles)
    assert found.statuses == wanted
    for status, row in zip(found.statuses, found.values, strict=True):
        # Every score there is for what is scored, none for the rest.
        assert np.isfinite(row).all() if status in SCORED else np.isnan(row).all()
    agrees = dict(zip(alleles, found.ref_agrees, strict=True))
    assert agrees[alleles[0]] is True
    assert agrees[alleles[wanted.index("ref_mismatch")]] is False
    assert agrees[alleles[wanted.index("n_in_window")]] is None
    assert agrees[alleles[-1]] is None


def test_too_long_begins_above_half_a_window(reference, contig):
    planner = Planner(reference, 6, 31)
    for put, status in (("GGG", "ok"), ("GGGG", "too_long")):
        allele = Allele("20", 1000, contig[999], contig[999] + "ACGTA" * 18 + put)
        assert planner.plan(allele).status == status


def test_contigs_shorter_than_a_token_have_no_score(reference, model):
    here = reference.fetch("tiny:3-3").sequence
    allele = Allele("tiny", 3, here, another(here))
    for frames in (1, 6):
        assert Scorer(model, reference, Options(frames=frames)).score([allele]).statuses == ["out_of_bounds"]


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
    assert found.statuses == ["ok"] * 3
    assert np.array_equal(found.values, np.repeat(found.values[:1], 3, axis=0))
    grch37 = Reference(data.bundle("chr20"))
    assert Planner(grch37, 6, 31).plan(Allele("NC_000020.10", 43042364, "C", "T")).status == "ok"
    assert Planner(grch37, 6, 31).plan(Allele("NC_000020.11", 43042364, "C", "T")).status == "contig_missing"


@pytest.mark.parametrize("size", [1, 3])
def test_mismatches_are_skipped_flagged_swapped_or_fatal(reference, contig, model, tmp_path, size):
    here = contig[998 : 998 + size]
    ref, alt = ("".join(another(base, by) for base in here) for by in (1, 2))
    third = Allele("20", 999, ref, alt)
    turned = Allele("20", 999, ref, here)
    longer = Allele("20", 999, ref + contig[998 + size], ref)
    found = {
        how: Scorer(model, reference, Options(tuple(SCORES), on_mismatch=how)).score([third, turned, longer])
        for how in ("skip", "flag", "swap")
    }
    assert found["skip"].statuses == found["flag"].statuses == ["ref_mismatch"] * 3
    assert found["swap"].statuses == ["ref_mismatch", "swapped", "ref_mismatch"]
    assert all(one.ref_agrees == [False] * 3 for one in found.values())
    assert np.isnan(found["skip"].values).all()
    assert np.isnan(found["swap"].values[[0, 2]]).all()
    assert np.array_equal(found["swap"].values[1], found["flag"].values[1])
    # Flagged: as if the reference had the record's REF.
    patched = fasta(tmp_path / "patched.fa", contig[:998] + ref + contig[998 + size :])
    plain = Scorer(model, patched, Options(tuple(SCORES))).score([third, turned, longer])
    assert plain.statuses == ["ok"] * 3
    np.testing.assert_allclose(found["flag"].values, plain.values, atol=1e-6)


def test_the_first_mismatch_ends_the_run(reference, contig, model):
    good = Allele("20", 1000, contig[999], another(contig[999]))
    bad = Allele("chr20", 1000, another(contig[999]), contig[999])
    scorer = Scorer(model, reference, Options(on_mismatch="fail"))
    for _ in range(2):
        message = rf"chr20:1000 {bad.ref}>{bad.alt}, where the reference has {bad.alt}\."
        with pytest.raises(Mismatch, match=message):
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
    long = Interval("20", 1_000_000, 1_600_000)
    assert contig.bases(long.start, long.end) == reference.fetch(long).sequence
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
    short = Planner(fasta(tmp_path / "short.fa", contig[:100]), 6, 31)
    assert (
        "contig shorter than the window: 96 bp read"
        in short.plan(Allele("20", 50, contig[49], "ACGT"[contig[49] == "A"])).note
    )


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
        ({"frames": None}, TypeError, r"frames must be a whole number; received None"),
        (
            {"window": 600.0},
            TypeError,
            r"window must be a whole number; received 600\.0\. Pass an int, or None\.",
        ),
        ({"place": "3"}, TypeError, r"place must .* received '3'"),
        ({"layer": True}, TypeError, r"layer must .* received True"),
        ({"both_strands": 1}, TypeError, r"both_strands must be True or False; received 1\."),
        # What does not fit the model.
        (
            {"frames": 3},
            ValueError,
            r"frames must be 1 or 6, the bases of a token of toy of nt-v1; received 3\. Use",
        ),
        ({"frames": 0}, ValueError, r"frames must be 1 or 6"),
        ({"place": 6}, ValueError, r"place must be in 0 to 5 for tokens of 6 bp; received 6\."),
        ({"place": -1}, ValueError, r"received -1\."),
        ({"window": 17}, ValueError, r"window must be 18 to 186 bp for toy of nt-v1; received 17\. Choose"),
        ({"window": 6_000}, ValueError, r"window must be 18 to 186 bp .* received 6000\."),
        ({"layer": 3}, ValueError, r"layer must be 0 .* to 2 .* received 3\."),
        ({"layer": -1}, ValueError, r"received -1\."),
    ],
)
def test_options_refuse(reference, model, given, error, message):
    with pytest.raises(error, match=message):
        Scorer(model, reference, Options(**given))


def test_windows_are_an_odd_number_of_tokens_and_numbers_of_numpy_are_numbers():
    assert Options(frames=np.int64(6), window=np.int32(600)) == Options(frames=6, window=600)
    assert type(Options(layer=np.int64(1)).about["layer"]) is int
    for bp, tokens in {18: 3, 29: 3, 30: 5, 600: 99, 6_000: 999, 12_282: 2047}.items():
        assert Options(window=bp).fit(6, 12_282, 2, "toy") == (tokens, 2)
    # As the paper unless asked; as the model where it reads less.
    assert Options().fit(6, 12_282, 2, "toy") == (999, 2)
    assert Options(layer=0).fit(6, 5_994, 2, "toy") == (999, 0)
    assert Options().fit(6, 600, 2, "toy") == (99, 2)


def test_columns():
    assert Options("llr").columns == ("llr", "llr_fwd", "llr_rev", "llr_gap")
    forward = Options(("l2", "llr"), frames=6, both_strands=False)
    assert forward.columns == ("l2", "l2_spread", "llr", "llr_spread")
    assert Options("all").scores == tuple(SCORES)
    assert Options(("llr", "llr")).scores == ("llr",)
    assert len({score.key for score in SCORES.values()}) == len(SCORES) == 11


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
    lines = ["##fileformat=VCFv4.2", f"##contig=<ID=20,length={len(contig)}>", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]  # fmt: skip
    order = sorted(range(len(alleles)), key=lambda index: alleles[index][0])
    lines += [f"20\t{alleles[i][0]}\t{i}\t{alleles[i][1]}\t{alleles[i][2]}\t.\t.\t." for i in order]
    (tmp_path / "in.vcf").write_text("\n".join(lines) + "\n")
    bcftools = shutil.which("bcftools")
    assert bcftools, "This test needs bcftools. On Debian and Ubuntu: apt-get install bcftools"
    command = [bcftools, "norm", "-c", "e", "-f", str(reference.path), str(tmp_path / "in.vcf")]
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


def test_alleles_of_variants_and_text():
    assert Allele.of("chr20:1,000 C>T") == ("chr20", 1000, "C", "T")
    assert Allele.of(Variant("20", 1000, "C", "CA")) == ("20", 1000, "C", "CA")
