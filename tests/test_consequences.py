"""Consequences against translation of whole transcripts, simulated pairs, and baselines that need no model."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from variant_toy import toy_reference

from ntviz import annotation, data, variants
from ntviz.annotation.elements import COLUMNS
from ntviz.genome import Interval, Variant
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference
from ntviz.variants import consequences, simulation

STOPS = ("TAA", "TAG", "TGA")


def toy_annotation(rows):
    return annotation.Annotation(pd.DataFrame(rows, columns=list(COLUMNS)))


def other(base):
    return "ACGT"[("ACGT".index(base) + 1) % 4]


def substitutions(reference, places):
    bases = [reference.fetch(Interval("20", at - 1, at)).sequence for at in places]
    return [Variant("chr20", at, base, other(base)) for at, base in zip(places, bases, strict=True)]


def row(start, end, element, strand="+", gene="G", chrom="20"):
    return (chrom, start, end, strand, element, gene, gene, f"{gene}.1", "", "")


@pytest.fixture(scope="module", params=["+", "-"])
def gene(request, tmp_path_factory):
    """A gene of three exons with split codons: exons 100-150, 200-230, 300-360; CDS 120-345 with stop, on either strand."""
    strand = request.param
    folder = tmp_path_factory.mktemp("gene")
    reference = toy_reference(folder, contigs={"20": 600})
    bases = list(reference.fetch("20:1-600").sequence)
    exons = [(100, 150), (200, 230), (300, 360)]
    coding = [at for start, end in exons for at in range(start, end) if 120 <= at < 345]
    while len(coding) % 3:
        coding.pop()
    order = coding if strand == "+" else coding[::-1]
    rng = np.random.default_rng(3)
    words = ["ATG", *("".join(rng.choice(list("ACGT"), 3)) for _ in range(len(order) // 3 - 2))]
    words = [*("TGG" if word in STOPS else word for word in words), "TAA"]
    for at, letter in zip(order, "".join(words), strict=True):
        bases[at] = letter if strand == "+" else reverse_complement(letter)
    path = folder / "gene.fa"
    path.write_text(">20\n" + "".join(bases) + "\n")
    low, high = min(order[:-3]), max(order[:-3]) + 1
    rows = [row(100, 360, "gene", strand), row(100, 360, "transcript", strand)]
    rows += [row(start, end, "exon", strand) for start, end in exons]
    coding = [(max(start, low), min(end, high)) for start, end in exons]
    rows += [row(start, end, "CDS", strand) for start, end in coding if start < end]
    return toy_annotation(rows), Reference(path), strand, exons, order


def expected(bases, at, alt, strand, exons, order):
    """The consequence from the definitions, the whole CDS translated."""
    ends = ("splice_donor", "splice_acceptor")[:: 1 if strand == "+" else -1]
    names = set()
    for (_, start), (end, _) in itertools.pairwise(exons):
        if at in (start, start + 1, end - 2, end - 1):
            names.add(ends[at >= end - 2])
        if start - 3 <= at < start + 8 or end - 8 <= at < end + 3:
            names.add("splice_region")
    if any(start <= at < end for start, end in exons):
        if at in order:
            turn = (lambda base: base) if strand == "+" else reverse_complement
            before = "".join(turn(bases[place]) for place in order)
            after = "".join(turn(alt if place == at else bases[place]) for place in order)
            ours, theirs = (
                [consequences.CODE[text[i : i + 3]] for i in range(0, len(text), 3)] for text in (before, after)
            )
            codon = order.index(at) // 3
            if codon == 0:
                names.add("start_lost")
            elif ours == theirs:
                names.add("synonymous")
            else:
                gained = theirs[codon] == "*"
                names.add("stop_gained" if gained else "stop_lost" if ours[codon] == "*" else "missense")
        else:
            first = at < min(order)
            names.add("five_prime_utr" if first == (strand == "+") else "three_prime_utr")
    elif exons[0][0] <= at < exons[-1][1] and not names:
        names.add("intron")
    return min(names or {"intergenic"}, key=variants.SEVERITY.index)


def test_every_substitution_and_changes_of_length_of_a_gene(gene):
    genes, reference, strand, exons, order = gene
    bases = reference.fetch("20:1-600").sequence
    changes = [Variant("chr20", at + 1, bases[at], alt) for at in range(90, 370) for alt in "ACGT" if alt != bases[at]]
    found = variants.consequence(changes, genes, reference)
    wanted = [expected(bases, one.start, one.alt, strand, exons, order) for one in changes]
    assert found["consequence"].tolist() == wanted
    assert len(set(wanted)) == 12  # all of them are there, or the test would show little
    assert (found["rank"] == [variants.SEVERITY.index(name) for name in wanted]).all()
    coding = found[found["codons"] != ""]
    assert coding["codons"].str.fullmatch("[ACGT]{3}>[ACGT]{3}").all()
    assert (found["gene"] == np.where(found["consequence"] == "intergenic", "", "G")).all()

    def name_of(start, end, alt=""):
        anchored = Variant("20", start, bases[start - 1 : end], bases[start - 1] + alt)
        return variants.consequence([anchored], genes, reference)["consequence"][0]

    left, right = ("splice_donor", "splice_acceptor")[:: 1 if strand == "+" else -1]
    utr = "five_prime_utr" if strand == "+" else "three_prime_utr"
    cases = {
        (210, 211): "frameshift", (210, 213): "inframe_indel", (210, 210, "AC" if bases[209] != "C" else "GT"): "frameshift",
        (149, 152): left, (199, 201): right, (170, 172): "intron", (105, 107): utr, (20, 22): "intergenic",
    }  # fmt: skip
    assert [name_of(*case) for case in cases] == list(cases.values())
    # Two bases of one codon, changed at once.
    two = Variant("20", 211, bases[210:212], "".join(other(base) for base in bases[210:212]))
    coding = ("missense", "synonymous", "stop_gained")
    assert variants.consequence([two], genes, reference)["consequence"][0] in coding


def test_what_is_not_known_is_not_guessed_and_other_genes_are_looked_at(tmp_path):
    reference = toy_reference(tmp_path, contigs={"20": 600})
    broken = [row(100, 200, "exon"), row(100, 149, "CDS")]
    changes = substitutions(reference, (121, 351))
    found = variants.consequence(changes, toy_annotation([*broken, row(300, 400, "exon", gene="NC")]), reference)
    assert found["consequence"].tolist() == ["coding_unknown", "non_coding_exon"]
    with pytest.raises(ValueError, match="must have exons"):
        variants.consequence(changes, toy_annotation([row(1, 5, "gene")]), reference)
    reference = toy_reference(tmp_path, contigs={"20": 600})
    rows = [row(50, 500, "gene", gene="WIDE"), row(300, 400, "exon", gene="WIDE"), row(100, 500, "gene", gene="LATER")]
    rows += [row(120, 180, "gene", "-", gene="IN"), row(120, 180, "exon", "-", gene="IN")]
    # Between the last base of WIDE and the next one: an insertion touches both.
    last = reference.fetch("20:500-500").sequence
    changes = [*substitutions(reference, (151, 201, 351, 551)), Variant("20", 500, last, last + "AC")]
    found = variants.consequence(changes, toy_annotation(rows), reference)
    expected = ["non_coding_exon", "intragenic", "non_coding_exon", "intergenic", "intragenic"]
    assert found["consequence"].tolist() == expected
    # Of several genes the one that begins first.
    assert found["gene"].tolist() == ["IN", "WIDE", "WIDE", "", "WIDE"]


@pytest.fixture(scope="module")
def chr20():
    return annotation.read(data.bundle("genes")), Reference(data.bundle("chr20"))


def test_places_of_hnf4a(chr20):
    # Threonine 139 of HNF4A to isoleucine, rs1800961, the common variant of the gene: chr20:43042364 C>T.
    found = variants.consequence([Variant.from_str("chr20:43042364 C>T")], *chr20)
    told = found.loc[0, ["consequence", "gene", "protein", "codons"]].tolist()
    assert told == ["missense", "HNF4A", "T139I", "ACT>ATT"]
    # The first exon of HNF4A's isoforms of promoter P2, and bases between it and P1; then outside of the gene.
    places = (42_984_440, 43_020_000, 42_984_340, 42_984_339)
    found = variants.consequence(substitutions(chr20[1], places), *chr20)
    assert found["consequence"].tolist() == ["intragenic"] * 3 + ["intergenic"]
    assert found["gene"].tolist() == ["HNF4A"] * 3 + [""] and (found["transcript"] == "").all()
    assert variants.SEVERITY.index("intron") < found["rank"][0] < found["rank"][3]


@pytest.fixture(scope="module")
def simulated(chr20):
    return variants.simulate(*chr20, per_class=12, interval=Interval("20", 20_000_000, 50_000_000), seed=4)


def test_simulated_pairs_are_what_they_say(chr20, simulated):
    again = variants.consequence(simulated, *chr20)
    assert again["consequence"].tolist() == simulated["consequence"].tolist()
    cases, controls = (simulated[simulated["role"] == role].set_index("pair") for role in ("case", "control"))
    assert (controls["consequence"] == "intergenic").all() and (cases["context"] == controls["context"]).all()
    counts = cases["consequence"].value_counts()
    short = simulated.attrs["short"]
    for name in simulation.CLASSES:
        assert counts.get(name, 0) == short.get(name, 12)
    assert len(short) <= 1 and not simulated["pos"].duplicated().any()
    assert simulated["pos"].between(20_000_001, 50_000_000).all()
    reference = chr20[1]
    for one in simulated.itertuples():
        around = reference.fetch(Interval("20", one.pos - 2, one.pos + 1)).sequence
        assert around[1] == one.ref and simulation.context_of(around, one.alt) == one.context
    # From all of the stretch: genes lie unevenly, but what is taken first is not what lies first.
    for part in (cases, controls):
        assert pd.cut(part["pos"], 3).value_counts(normalize=True).between(0.1, 0.65).all()
    assert cases["gene"].nunique() > 40


def test_intron_controls_are_the_nearest_that_fit_or_say_why_there_is_none(chr20, simulated):
    """Against a search base by base, outwards from the change."""
    annotation, reference = chr20
    cases = simulated[simulated["role"] == "case"].groupby("consequence").head(2).reset_index(drop=True)
    controls = variants.intron_controls(cases, annotation, reference, apart=60)
    assert {"ok", "no_gene"} <= set(controls["status"])
    matched = 0
    for change, control in zip(cases.itertuples(), controls.itertuples(), strict=True):
        assert (control.chrom, control.ref, control.alt) == (change.chrom, change.ref, change.alt)
        if control.status != "ok":
            assert pd.isna(control.pos)
            continue
        assert control.apart == abs(control.pos - change.pos) >= 60
        reach = int(control.apart)
        around = reference.fetch(Interval("20", change.pos - reach - 2, change.pos + reach + 1)).sequence
        three = around[reach : reach + 3]
        steps = [step for step in range(-reach, reach + 1) if abs(step) >= 60]
        places = [change.pos + step for step in steps if around[reach + step : reach + step + 3] == three]
        fits = [Variant("20", at, change.ref, change.alt) for at in (change.pos, *places)]
        table = variants.consequence(fits, annotation, reference)
        inside = (table["consequence"] == "intron") & (table["gene"] == table["gene"][0])
        introns = [at for at, fit in zip(places, inside[1:], strict=True) if fit]
        assert control.pos in introns and min(abs(at - change.pos) for at in introns) == control.apart
        matched += 1
    assert matched >= 8
    single = annotation.gene("SOX12")
    (change,) = substitutions(reference, [single.start + 501])
    outside = int(simulated.loc[simulated["role"] == "control", "pos"].iloc[0])
    changes = [change, Variant("20", change.pos, change.alt, change.ref), Variant("20", outside, "A", "C")]
    found = variants.intron_controls(changes, annotation, reference)
    assert found["status"].tolist() == ["no_intron", "ref_mismatch", "no_gene"] and found["pos"].isna().all()


def test_simulation_follows_its_seed(chr20):
    place = Interval("20", 30_000_000, 34_000_000)
    first, again, other = (variants.simulate(*chr20, per_class=2, interval=place, seed=seed) for seed in (4, 4, 5))
    pd.testing.assert_frame_equal(first, again)
    assert len(first) > 20 and not set(other["pos"]) >= set(first["pos"])
    with pytest.raises(ValueError, match="must be transcripts to draw from"):
        variants.simulate(*chr20, per_class=2, interval=Interval("20", 30_000_000, 30_000_100))


def test_markov_equals_counting(tmp_path):
    reference = toy_reference(tmp_path, contigs={"20": 900, "21": 200}, n=[("20", 400, 420)])
    chain = variants.Markov.fit(reference, order=2, pseudocount=0.5)
    counts = np.full((4, 4, 4), 0.5)
    texts = [reference.fetch(reference.whole(name)).sequence for name in reference.contigs]
    for text in (*texts, *map(reverse_complement, texts)):
        for at in range(len(text) - 2):
            if "N" not in text[at : at + 3]:
                counts[tuple(map("ACGT".index, text[at : at + 3]))] += 1
    expected_probs = counts / counts.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(np.exp(chain.log_probs), expected_probs.reshape(-1, 4), rtol=1e-12)

    def log_p(text):
        at = [tuple(map("ACGT".index, text[start : start + 3])) for start in range(len(text) - 2)]
        return sum(np.log(expected_probs[three]) for three in at)

    assert chain.llr("GGAC", "T", "A", "TTCG") == pytest.approx(log_p("ACATT") - log_p("ACTTT"))
    assert chain.llr("AC", "T", "A", "TT") == pytest.approx(-chain.llr("AC", "A", "T", "TT"))
    assert np.isnan(chain.llr("AN", "T", "A", "TT"))
    # What is left out is not counted.
    part = variants.Markov.fit(reference, order=1, leave_out=Interval("20", 0, 900))
    (tmp_path / "small").mkdir()
    small = toy_reference(tmp_path / "small", contigs={"20": 900, "21": 200}, n=[("20", 0, 900)])
    np.testing.assert_allclose(part.log_probs, variants.Markov.fit(small, order=1).log_probs)
    with pytest.raises(ValueError, match="order must be 1 to 11"):
        variants.Markov.fit(reference, order=12)


def test_baselines_by_hand(tmp_path, gene):
    genes, reference, *_ = gene
    bases = reference.fetch("20:1-600").sequence
    cpg = bases.index("CG", 60)
    plain = next(at for at in range(60, 500) if bases[at] == "C" and bases[at + 1] != "G")
    rows = [(cpg + 1, "C", "T"), (cpg + 2, "G", "A"), (plain + 1, "C", "T"), (plain + 1, "C", "A")]
    table = pd.DataFrame(rows, columns=["pos", "ref", "alt"]).assign(chrom="20")
    found = variants.baselines(table, reference, genes, markov=variants.Markov.fit(reference, order=3))
    assert found["cpg_transition"].tolist() == [1, 1, 0, 0] and found["transition"].tolist() == [1, 1, 1, 0]
    around = bases[cpg - 50 : cpg + 51]
    assert found["gc"][0] == pytest.approx((around.count("G") + around.count("C")) / 101)
    assert (found["severity"] == -found["rank"]).all()
