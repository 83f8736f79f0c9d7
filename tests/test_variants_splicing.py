"""Deltas of splice sites: known answers with a network that sees GT and AG, statuses of odd records, masks, and a VCF that comes back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from splice_toy import Sites

from ntviz import annotation, data, models, variants
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference
from ntviz.variants.alleles import Allele
from ntviz.variants.splice import EVENTS, SpliceScorer, genes_of

LENGTH, CONTEXT = 12_000, 5_000


def contig() -> str:
    """No G but those of two sites: AG before base 5,800 and GT behind base 5,899, counted from 0."""
    bases = np.random.default_rng(0).choice(list("ACT"), LENGTH)
    bases[5_798:5_800] = list("AG")
    bases[5_899:5_902] = list("CGT")
    for place in (6_489, 6_499):
        bases[place - 1 : place + 2] = list("CCT")
    return "".join(bases)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("splicing")
    sequence = contig()
    odd = sequence[:5_918].lower() + "CCY" + sequence[5_921:]  # soft-masked, and a letter that is no base
    texts = {"plus": sequence, "minus": reverse_complement(sequence), "odd": odd, "short": sequence[:9_000]}
    (where / "both.fa").write_text("".join(f">{name}\n{text}\n" for name, text in texts.items()))
    return where


def table(transcripts, genes=()) -> annotation.Annotation:
    """Exons of transcripts (contig, strand, gene, exons), and rows of genes (contig, strand, gene, gene_id, start, end)."""
    numbered = [(chrom, strand, gene, gene, "exon", f"{gene}.{i}", exons) for i, (chrom, strand, gene, exons) in enumerate(transcripts)]  # fmt: skip
    rows = [(*first, *exon) for *first, exons in numbered for exon in exons]
    rows += [(*gene[:4], "gene", "", *gene[4:]) for gene in genes]
    columns = ["chrom", "strand", "gene", "gene_id", "element", "transcript", "start", "end"]
    return annotation.from_table(pd.DataFrame(rows, columns=columns))


EXONS = [(5_500, 5_600), (5_800, 5_900), (6_400, 6_500)]
TURNED = [(LENGTH - end, LENGTH - start) for start, end in EXONS]
GENES = table([("plus", "+", "ONE", EXONS), ("minus", "-", "TWO", TURNED)])


def scorer(folder, genes=GENES, network=Sites, **options) -> SpliceScorer:
    return SpliceScorer(network(), Reference(folder / "both.fa"), genes, **options)


def effect_of(made: SpliceScorer, *allele):
    status, (effect,) = made.effects(Allele(*allele))
    assert status == "ok"
    return effect


def alleles(start: int, ref: str, alt: str) -> tuple[Allele, Allele]:
    """A change of plain replacement on the forward strand, 0-based, and the same on the turned contig."""
    turned = reverse_complement(ref), reverse_complement(alt)
    return Allele("plus", start + 1, ref, alt), Allele("minus", LENGTH - start - len(ref) + 1, *turned)


def test_a_lost_donor_and_a_made_acceptor_on_both_strands(folder):
    sequence = contig()
    lost = alleles(5_900, "G", "A")
    made = alleles(5_850, sequence[5_850:5_852], "AG")
    for allele, sign in zip(lost, (1, -1), strict=True):
        effect = effect_of(scorer(folder), *allele)
        assert effect.scores.tolist() == [0, 0, 0, 1]
        assert effect.places[3] == -1 * sign
    for allele, place in zip(made, (2, -1), strict=True):
        effect = effect_of(scorer(folder), *allele)
        assert (effect.scores.tolist(), effect.places[0]) == ([1, 0, 0, 0], place)
    assert effect.text("CT") == f"CT|TWO|1.00|0.00|0.00|0.00|-1|{'|'.join(map(str, effect.places[1:]))}"


def test_bases_put_in_or_taken_out_elsewhere_change_nothing_and_at_a_site_do(folder):
    sequence = contig()
    elsewhere = [
        (5_880, sequence[5_880], sequence[5_880] + "ACCA"),
        (5_880, sequence[5_880:5_885], sequence[5_880]),
        (5_905, sequence[5_905:5_909], "CA"),
    ]
    for start, ref, alt in elsewhere:
        effect = effect_of(scorer(folder), *alleles(start, ref, alt)[0])
        assert effect.scores.tolist() == [0, 0, 0, 0], (start, ref, alt)
    gone = effect_of(scorer(folder), "plus", 5_900, sequence[5_899:5_902], sequence[5_899])
    assert (gone.scores.tolist(), gone.places[3]) == ([0, 0, 0, 1], 0)
    longer = effect_of(scorer(folder), "plus", 5_850, sequence[5_849], sequence[5_849] + "CAGC")
    assert (longer.scores.tolist(), longer.places[0]) == ([1, 0, 0, 0], 0)


def test_every_odd_record_has_a_status(folder):
    sequence = contig()
    odd = {
        ("plus", 5_901, "T", "A"): "ref_mismatch",
        ("nowhere", 5_901, "G", "A"): "contig_missing",
        ("plus", 5_301, sequence[5_300], "G"): "no_gene",
        ("plus", 3, sequence[2], "G"): "out_of_bounds",
        ("plus", LENGTH + 5, "A", "G"): "out_of_bounds",
        ("plus", 5_901, "G", "<DEL>"): "symbolic",
        ("plus", 5_901, "G", "."): "missing",
        ("plus", 5_901, "G", "R"): "ambiguous_base",
        ("plus", 5_901, "G", "G"): "same_as_ref",
        ("plus", 5_701, sequence[5_700:5_801], sequence[5_700]): "too_long",
        ("plus", 5_701, sequence[5_700], sequence[5_700] + "A" * 50): "too_long",
        ("short", 4_501, sequence[4_500], "G"): "out_of_bounds",
        ("odd", 5_921, "A", "G"): "n_in_window",
        ("odd", 5_921, "Y", "G"): "ambiguous_base",
    }
    found = scorer(folder).score([Allele(*one) for one in odd])
    assert found.statuses == list(odd.values())
    assert np.isnan(found.values).all()
    assert "raise distance above 50 bp" in found.notes[10]
    assert "5,050 bp on each side" in found.notes[3]
    assert "5,050 bp on each side" in found.notes[11]
    with pytest.raises(ValueError, match="distance must be 1 to 5,000 bp; received 0"):
        scorer(folder, distance=0)
    with pytest.raises(ValueError, match="mask must be one of none, nearest, position"):
        scorer(folder, mask="all")
    with pytest.raises(variants.Mismatch, match="where the reference has G"):
        scorer(folder, on_mismatch="fail").score([Allele("plus", 5_901, "T", "A")])
    # A base that the reference does not know is no mismatch.
    unknown = scorer(folder, on_mismatch="fail").score([Allele("odd", 5_921, "A", "G")])
    assert unknown.statuses == ["n_in_window"]


def test_lower_case_is_upper_case_and_a_letter_that_is_no_base_is_n(folder):
    genes = table([("odd", "+", "ONE", EXONS), ("plus", "+", "ONE", EXONS)])
    made = scorer(folder, genes)
    lower, upper = (effect_of(made, *one) for one in (("odd", 5_901, "g", "a"), ("plus", 5_901, "G", "A")))
    np.testing.assert_array_equal(lower.scores, upper.scores)
    assert effect_of(made, "odd", 5_920, "C", "G").scores.tolist() == [0, 0, 0, 0]  # GY is no GT


def test_what_lies_outside_of_the_gene_is_hidden(folder):
    for start, donors in ((6_499, 0), (6_489, 1)):  # of GT there, the gene's end hides the T of the first
        effect = effect_of(scorer(folder), "plus", start + 1, "C", "G")
        assert effect.scores.tolist() == [0, 0, donors, 0]


def test_the_mask_by_position_asks_for_annotated_sites(folder):
    masked = {}
    for end in (5_900, 5_901):
        genes = table([("plus", "+", "ONE", [(5_500, 5_600), (5_800, end), (6_400, 6_500)])])
        effect = effect_of(scorer(folder, genes), "plus", 5_901, "G", "A")
        assert effect.scores.tolist() == [0, 0, 0, 1]
        masked[end] = effect.masked.tolist()
    assert masked == {5_900: [0, 0, 0, 1], 5_901: [0, 0, 0, 0]}
    made = effect_of(scorer(folder), "plus", 5_851, contig()[5_850:5_852], "AG")  # a new site
    assert made.masked.tolist() == [1, 0, 0, 0]


def test_nearest_and_position_disagree_where_two_sites_are_lost(folder):
    class Far(Sites):
        """An acceptor at 5,800 that hangs on the donor's G as well."""

        def probabilities(self, bases, *, pad=False):
            found = super().probabilities(bases).copy()
            middle = found.shape[1] // 2
            if not bases[0, 2, CONTEXT + middle]:
                found[0, middle - 100, 1] = 0
            return found

    masked = {}
    for mask in ("nearest", "position"):
        effect = effect_of(scorer(folder, GENES, Far, distance=200, mask=mask), "plus", 5_901, "G", "A")
        assert effect.scores.tolist() == [0, 1, 0, 1]
        masked[mask] = effect.masked.tolist()
    assert masked == {"nearest": [0, 0, 0, 1], "position": [0, 1, 0, 1]}


def test_genes_are_all_their_transcripts_and_reach_as_far_as_their_rows():
    (gene,) = genes_of(table([("20", "-", "X", [(10, 20), (30, 40)]), ("20", "-", "X", [(5, 20), (35, 60)])]))["20"]
    assert (gene.start, gene.end, gene.acceptors.tolist(), gene.donors.tolist()) == (5, 60, [19], [30, 35])
    assert gene.ends.tolist() == [5, 10, 19, 30, 35, 39, 59]
    rows = [("20", "+", "X", "X", 2, 90), ("20", "+", "RNA", "R1", 100, 120), ("20", "+", "RNA", "R2", 500, 520)]
    genes = genes_of(table([("20", "+", "X", [(10, 20), (30, 40)])], rows))["20"]
    assert [(gene.name, gene.start, gene.end) for gene in genes] == [("X", 2, 90), ("RNA", 100, 120), ("RNA", 500, 520)]
    assert [gene.donors.tolist() for gene in genes] == [[19], [], []]
    assert [gene.ends.tolist() for gene in genes] == [[10, 19, 30, 39], [100, 119], [500, 519]]


def test_each_input_is_predicted_once(folder):
    names = (("+", "WIDE"), ("+", "WIDER"), ("-", "BACK"))
    genes = table([("plus", "+", "ONE", EXONS)], [("plus", strand, name, name, 0, LENGTH) for strand, name in names])
    made = scorer(folder, genes)
    found = made.score([Allele("plus", 5_901, "G", alt) for alt in "ACT"])
    # Three inputs, as the two wide genes hide nothing on one strand, of the reference and each of three alternatives.
    assert made.model.calls == made.sequences == 3 * 4
    assert [len(texts.split(",")) for texts, _ in found.entries] == [4, 4, 4]
    for allele, texts in zip("ACT", found.entries, strict=True):
        assert scorer(folder, genes).score([Allele("plus", 5_901, "G", allele)]).entries[0] == texts
    with pytest.raises(ValueError, match="read-only"):
        made.effects(Allele("plus", 5_901, "G", "A"))[1][0].before[0] = 0


def test_a_vcf_comes_back_with_the_scores_of_each_gene(folder, tmp_path):
    sequence = contig()
    given = tmp_path / "in.vcf"
    lines = [
        f"plus\t5851\tmade\t{sequence[5_850:5_852]}\tAG\t.\tPASS\tDP=3",
        "plus\t5901\tlost\tG\tA,T\t.\tPASS\tNTV_SPLICE=old;DP=4",
        f"plus\t9001\tfar\t{sequence[9_000]}\tG\t.\t.\t.",
    ]
    head = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    given.write_text(head + "\n".join(lines) + "\n")
    made = scorer(folder, annotation_name="genes.gtf")
    summary = variants.score_file(given, tmp_path / "out.vcf", made, what=None, cache=tmp_path / "kept")
    # Reference and alternative of the first record, the reference and two alternatives of the second, nothing of the third.
    assert made.model.calls == 2 + 3
    text = (tmp_path / "out.vcf").read_text()
    records = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    assert [record[:7] for record in records] == [line.split("\t")[:7] for line in lines]
    first = dict(part.split("=") for part in records[0][7].split(";"))
    assert first["DP"] == "3"
    assert first["NTV_SPLICE"].startswith("AG|ONE|1.00|0.00|0.00|0.00|2|")
    assert first["NTV_SPLICE_MAX"] == "1"
    second = dict(part.split("=") for part in records[1][7].split(";"))
    assert [entry[:5] for entry in second["NTV_SPLICE"].split(",")] == ["A|ONE", "T|ONE"]
    assert second["NTV_SPLICE_MASKED_MAX"] == "1,1"
    assert records[2][7] == "NTV_STATUS=out_of_bounds"
    header = next(line for line in text.splitlines() if line.startswith("##INFO=<ID=NTV_SPLICE_MASKED,"))
    for said in ("within 50 bp of POS", "genes of genes.gtf", "mask position", "sites (none)"):
        assert said in header
    assert summary.scored == 3
    frame = pd.read_parquet(tmp_path / "out.parquet")
    assert frame[["splice", *(f"splice_{event}" for event in EVENTS)]].iloc[0].tolist() == [1, 1, 0, 0, 0]
    # Kept pieces are read again, and not where the distance is another one.
    again, wide = scorer(folder, annotation_name="genes.gtf"), scorer(folder, distance=60)
    variants.score_file(given, tmp_path / "again.vcf", again, what=None, cache=tmp_path / "kept")
    assert again.model.calls == 0
    assert (tmp_path / "again.vcf").read_text() == text
    variants.score_file(given, tmp_path / "wide.vcf", wide, what=None, cache=tmp_path / "kept")
    assert wide.model.calls == 5


def test_the_bundled_networks_score_a_table_of_known_sites():
    model, reference = models.load("ci-spliceai", device="cpu"), Reference(data.bundle("chr20"))
    genes = data.bundle("genes")
    # A donor of the canonical transcript of HNF4A; that of the first exon of its isoforms from the promoter P2, 45 kb before it; no gene.
    asked = ["chr20:43052895 G>C", "chr20:42984494 G>A", "chr20:25900000 A>G"]
    found = variants.score(model, reference, asked, annotation=genes, progress=None)
    assert found["status"].tolist() == ["ok", "ok", "no_gene"]
    assert found["splice_DL"].iloc[0] > 0.95
    assert found["splice_DL"].iloc[1] > 0.5
    assert found["splice_DL_at"].iloc[:2].tolist() == [-1, -1]
    assert found["splice_masked_DL"].iloc[1] == 0  # no exon of the annotation ends there
    assert found["splice_AL"].iloc[0] < 0.05
    assert found.attrs["scoring"]["annotation"] == genes.name
    with pytest.raises(TypeError, match="frames"):
        variants.score(model, reference, [], annotation=genes, frames=6)
    with pytest.raises(ValueError, match="must be told the genes"):
        variants.score(model, reference, [])
